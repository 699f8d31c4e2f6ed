//! `kilter studies`: what a storage holds.

use std::process::ExitCode;

use kilter_study::State;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::history;
use crate::place::Place;
use crate::style::{Voice, short, table};
use crate::summary::count_words;

/// `kilter studies`
pub fn studies(args: &InStorage, voice: &Voice) -> Result<ExitCode, Fault> {
    let place = Place::open(args)?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for study in place.storage.studies()? {
        let history = history(&place.storage, study.id)?;
        let goal = &study.spec.goals[0];
        let best = history.best(goal).and_then(|row| row.value(&goal.metric));
        documents.push(json!({
            "name": study.spec.name, "trials": history.len(), "complete": history.count(State::Complete),
            "goal": goal, "best": best, "sampler": study.spec.sampler, "created_ms": study.created_ms,
        }));
        let value = best.map_or_else(|| "–".to_owned(), short);
        rows.push(vec![study.spec.name.clone(), goal.metric.clone(), value, count_words(&history)]);
    }
    if voice.json {
        voice.document(&json!({ "studies": documents }))?;
    } else {
        voice.say(&table(&["study", "metric", "best", "trials"].map(str::to_owned), rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
