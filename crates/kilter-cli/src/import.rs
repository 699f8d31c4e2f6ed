//! `kilter import`: studies of other programs go on here.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use kilter_space::nearest;
use kilter_study::import::{ImportError, Imported, Table, read_optuna, read_table};
use serde_json::json;

use crate::aims::Directions;
use crate::args::InStorage;
use crate::command::command_job;
use crate::fault::Fault;
use crate::look::look_at;
use crate::pairs::param;
use crate::place::{Place, check_name};
use crate::plan::Plan;
use crate::session::quoted;
use crate::study_file::Origin;
use crate::style::Voice;
use crate::summary::count_words;

#[derive(Debug, Args)]
#[command(
    after_help = "An Optuna database brings all its studies, or the one named by --study. A table (CSV) brings one; its \
                        hyperparameters are the columns params.NAME, those named by --param, or all that are nothing else.\n\nOf \
                        Optuna come distributions, states, values, reports, user attributes, several objectives, and the values \
                        of constraints. Not in its file are samplers, pruners, conditions (guessed from what was asked, and \
                        told) and the time zone (taken for UTC); its artifacts stay where they are.\n\n\
                        Examples:\n  kilter import optuna.db\n  kilter import optuna.db --study train --metric 'value=loss=([0-9.]+)' \\\n      \
                        -- python3 train.py {config}\n  kilter import notes.csv --minimize=loss --param lr=log:1e-5..1e-1"
)]
pub struct Import {
    /// An Optuna SQLite file, or a table in CSV
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The study: which of the file's, or what a table's is to be called [default: all, or the file's name]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    /// Of a table: its columns that are to be made small or large.
    #[command(flatten)]
    pub directions: Directions,
    /// A hyperparameter of a table, with what may be tried (repeatable)
    #[arg(long, value_name = "NAME=DOMAIN")]
    pub param: Vec<String>,
    /// Where the command's metric is: a pattern (last match, first group), json:KEY or NAME=file:PATH
    #[arg(long, value_name = "[NAME=]REGEX", requires = "command")]
    pub metric: Vec<String>,
    /// The command that further trials run
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// Does the file begin as a SQLite file does?
fn is_sqlite(file: &Path) -> Result<bool, Fault> {
    let mut head = [0; 16];
    let mut opened =
        std::fs::File::open(file).map_err(|why| Fault::call(format!("cannot read {}: {why}", file.display())))?;
    let read = opened.read(&mut head).map_err(|why| Fault::call(format!("cannot read {}: {why}", file.display())))?;
    Ok(head[..read].starts_with(b"SQLite format 3\0"))
}

/// `kilter import`
pub fn import(args: &Import, voice: &Voice) -> Result<ExitCode, Fault> {
    let wrong = |why: ImportError| Fault::call(why);
    let mut found = if is_sqlite(&args.file)? {
        if !args.directions.is_empty() || !args.param.is_empty() {
            return Err(Fault::call(
                "an Optuna database says itself what is better and what may be tried; leave that out",
            ));
        }
        chosen(read_optuna(&args.file).map_err(wrong)?, args)?
    } else {
        let stem = args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let params = args.param.iter().map(|text| param(text)).collect::<Result<_, _>>()?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let name = args.study.clone().unwrap_or(stem);
        vec![read_table(&args.file, Table { name, goals: args.directions.by_name()?, params, now_ms }).map_err(wrong)?]
    };
    for Imported { spec, .. } in &mut found {
        check_name(&spec.name)?;
        if !args.command.is_empty() {
            let plan = Plan {
                job: command_job(&args.command, &args.metric, &spec.outline, &Origin(None))?,
                ..Plan::default()
            };
            plan.check(spec)?;
            spec.plan = plan.to_value()?;
        }
    }
    let place = Place::make(&args.storage)?;
    let taken: Vec<String> = place.storage.studies()?.into_iter().map(|entry| entry.spec.name).collect();
    if let Some(Imported { spec, .. }) = found.iter().find(|study| taken.contains(&study.spec.name)) {
        return Err(Fault::call(format!(
            "there is a study named `{0}` here already; rename it first (kilter rename {0} NEW), or import into another \
             storage with --storage sqlite:FILE",
            spec.name
        )));
    }
    let mut documents = Vec::new();
    for Imported { spec, created_ms, events, remarks } in found {
        place.storage.adopt(&spec, created_ms, &events)?;
        let (_, _, history) = look_at(Some(&spec.name), &InStorage { storage: place.address() })?;
        if !voice.json {
            voice.say(&format!("{}  ({})", voice.strong(&spec.name), count_words(&history)))?;
            remarks.iter().for_each(|remark| voice.remark(&format!("  {remark}")));
            if !voice.quiet && !spec.outline.entries().is_empty() {
                let command = if spec.plan.is_null() { " --metric '…' -- COMMAND" } else { "" };
                let more = (history.len() * 2).max(10);
                let go_on = format!("kilter resume {} --trials {more}{}{command}", quoted(&spec.name), place.option());
                voice.remark(&format!("  goes on with: {go_on}"));
            }
        }
        documents.push(json!({ "study": spec.name, "trials": history.len(), "remarks": remarks }));
    }
    if voice.json {
        voice.document(&json!({ "imported": documents }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The study named, or all that have ever asked anything.
fn chosen(all: Vec<Imported>, args: &Import) -> Result<Vec<Imported>, Fault> {
    let Some(name) = &args.study else {
        if all.is_empty() {
            return Err(Fault::call(format!("{} holds no study", args.file.display())));
        }
        if all.len() > 1 && !args.command.is_empty() {
            return Err(Fault::call(
                "the file holds several studies; name the one that the command is for with --study",
            ));
        }
        return Ok(all);
    };
    let names: Vec<String> = all.iter().map(|study| study.spec.name.clone()).collect();
    match all.into_iter().find(|study| study.spec.name == *name) {
        Some(study) => Ok(vec![study]),
        None => {
            let advice = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it holds {}", names.join(", ")),
            };
            Err(Fault::call(format!("{} holds no study `{name}`; {advice}", args.file.display())))
        }
    }
}
