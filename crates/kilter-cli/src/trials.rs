//! `kilter trials`: the trials of a study.

use std::process::ExitCode;

use kilter_study::Row;
use serde_json::json;

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::Voice;
use crate::summary::{count_words, trial_json, trials_table};

/// `kilter trials`
pub fn trials(args: &OfStudy, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let goals = &entry.spec.goals;
    if voice.json {
        let all: Vec<_> = history.rows().map(|row| trial_json(row, goals)).collect();
        voice.document(&json!({ "study": entry.spec.name, "trials": all }))?;
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
