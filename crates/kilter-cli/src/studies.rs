//! `kilter studies`: what a storage holds.

use std::process::ExitCode;

use kilter_study::State;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::history;
use crate::place::Place;
use crate::style::{Voice, short};
use crate::summary::count_words;
use crate::table::table;

/// `kilter studies`
pub fn studies(args: &InStorage, voice: &Voice) -> Result<ExitCode, Fault> {
    let place = Place::open(args)?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for study in place.storage.studies()? {
        let history = history(&place.storage, study.id)?;
        let goals = &study.spec.goals;
        let front = history.front(goals);
        let best = front.first().filter(|_| goals.len() == 1).and_then(|row| row.value(&goals[0].metric));
        documents.push(json!({
            "name": study.spec.name, "trials": history.len(), "complete": history.count(State::Complete),
            "goals": goals, "best": best, "front": front.len(), "user": history.tags(), "stopped": history.stopped(), "sampler": study.spec.sampler, "created_ms": study.created_ms,
        }));
        let value = match front.len() {
            0 => "–".to_owned(),
            n if goals.len() > 1 => format!("front of {n}"),
            _ => best.map_or_else(|| "–".to_owned(), short),
        };
        let metrics: Vec<&str> = goals.iter().map(|goal| goal.metric.as_str()).collect();
        rows.push(vec![study.spec.name.clone(), metrics.join(", "), value, count_words(&history)]);
    }
    if voice.json {
        voice.document(&json!({ "studies": documents }))?;
    } else {
        voice.say(&table(&["study", "metric", "best", "trials"].map(str::to_owned), rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
