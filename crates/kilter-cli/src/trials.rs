//! `kilter trials`: the trials of a study.

use std::process::ExitCode;

use kilter_study::{Goal, History, Row};
use serde::{Serialize, Serializer};

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::Voice;
use crate::summary::{count_words, trial_json, trials_table};

#[derive(Serialize)]
struct Trials<'a> {
    study: &'a str,
    trials: Each<'a>,
}

struct Each<'a>(&'a History, &'a [Goal]);

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows().map(|row| trial_json(row, self.1)))
    }
}

/// `kilter trials`
pub fn trials(args: &OfStudy, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let goals = &entry.spec.goals;
    if voice.json {
        // One after the other: a long study would fill the memory with text.
        voice.document(&Trials { study: &entry.spec.name, trials: Each(&history, goals) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<&Row> = history.rows().collect();
    if !voice.quiet {
        voice.say(&format!("{}  ({})", voice.strong(&entry.spec.name), count_words(&history)))?;
    }
    if !rows.is_empty() {
        voice.say(&trials_table(&rows, goals, true))?;
    }
    Ok(ExitCode::SUCCESS)
}
