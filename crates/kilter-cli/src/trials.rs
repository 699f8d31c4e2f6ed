//! `kilter trials`: the trials of a study, all or those asked for.

use std::process::ExitCode;

use clap::Args;
use kilter_space::{Outline, diff};
use kilter_study::{Goal, History, Row, Selection, StudySpec, check_field, fields};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::Voice;
use crate::summary::{count_words, trial_json, trials_table, value_cell};
use crate::table::table;

#[derive(Debug, Args)]
#[command(after_help = "Names are those of the table: number, state, failure, feasible, wall_seconds, …, metrics and \
                        hyperparameters; where two share one, metrics.NAME, params.NAME and user.NAME tell them apart.\n\n\
                        Examples:\n  kilter trials --where \"state == 'complete' and loss < 0.2 and lr > 1e-3\" \\\n      --sort loss\n  \
                        kilter trials breast-cancer --sort -wall_seconds --limit 5 \\\n      --columns number,wall_seconds,family")]
pub struct Trials {
    #[command(flatten)]
    pub of: OfStudy,
    #[command(flatten)]
    pub pick: Pick,
}

/// Which trials, in which order, with what of them.
#[derive(Debug, Args)]
pub struct Pick {
    /// Only trials for which this holds
    #[arg(long = "where", value_name = "CONDITION", help_heading = "Which trials")]
    pub filter: Option<String>,
    /// In the order of this; -FIELD puts the largest first [default: by number]
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true, help_heading = "Which trials")]
    pub sort: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", help_heading = "Which trials")]
    pub limit: Option<usize>,
    /// Only these columns of the table
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',', help_heading = "Which trials")]
    pub columns: Option<Vec<String>>,
}

impl Pick {
    /// The trials picked.
    pub fn rows<'a>(&self, spec: &StudySpec, history: &'a History, voice: &Voice) -> Result<Vec<&'a Row>, Fault> {
        let selection = Selection::read(self.filter.as_deref(), self.sort.as_deref(), self.limit);
        let selection = selection.map_err(|why| Fault::call(format!("--where: {why}")))?;
        let rows = selection.of(spec, history).map_err(Fault::call)?;
        if let (true, Some(hint)) = (rows.is_empty(), selection.misspelt_state()) {
            voice.remark(&hint);
        }
        Ok(rows)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    study: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    space_changes: Vec<Json>,
    trials: Each<'a>,
}

struct Each<'a>(&'a [&'a Row], &'a [Goal]);

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|row| trial_json(row, self.1)))
    }
}

/// Every change of the space: how many trials there were before it, and what changed.
fn space_changes(made_with: &Outline, history: &History) -> Vec<(usize, Vec<String>)> {
    let mut old = made_with;
    let mut changes = Vec::new();
    for (trials, new) in history.space_changes() {
        changes.push((trials, diff(old, new).iter().map(ToString::to_string).collect()));
        old = new;
    }
    changes
}

/// `kilter trials`
pub fn trials(args: &Trials, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(args.of.name(), &args.of.storage)?;
    let changed = space_changes(&place.study(args.of.name())?.spec.outline, &history);
    let goals = &entry.spec.goals;
    let rows = args.pick.rows(&entry.spec, &history, voice)?;
    if let Some(columns) = &args.pick.columns {
        let known = fields(&entry.spec, &history);
        columns.iter().try_for_each(|name| check_field(&known, name)).map_err(Fault::call)?;
    }
    if voice.json {
        // One after the other: a long study would fill the memory with text.
        let changed = changed.iter().map(|(trials, changes)| json!({ "after_trials": trials, "changes": changes }));
        let space_changes = changed.collect();
        voice.document(&Document { study: &entry.spec.name, space_changes, trials: Each(&rows, goals) })?;
        return Ok(ExitCode::SUCCESS);
    }
    if !voice.quiet {
        let shown = if rows.len() == history.len() { String::new() } else { format!("{} of ", rows.len()) };
        voice.say(&format!("{}  ({shown}{})", voice.strong(&entry.spec.name), count_words(&history)))?;
    }
    for (trials, changes) in changed.iter().filter(|_| !voice.quiet) {
        voice.say(&format!("the space changed after {trials} trial{}:", if *trials == 1 { "" } else { "s" }))?;
        changes.iter().try_for_each(|change| voice.say(&format!("  {change}")))?;
    }
    match &args.pick.columns {
        _ if rows.is_empty() => {}
        None => voice.say(&trials_table(&rows, goals, true))?,
        Some(columns) => {
            let cell = |row: &&Row, name: &String| row.field(name).map_or_else(|| "–".to_owned(), |v| value_cell(&v));
            let cells = rows.iter().map(|row| columns.iter().map(|name| cell(row, name)).collect());
            voice.say(&table(columns, cells.collect()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
