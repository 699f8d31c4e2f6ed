//! Studies that other programs made, as histories that kilter goes on from.

mod optuna;
mod table;

use std::path::PathBuf;

use kilter_space::{Entry, Outline, SpaceError, Value};

pub use optuna::read_optuna;
pub use table::{Table, read_table};

use crate::event::{Change, End, Event, Opened, Point};
use crate::history::Tags;
use crate::storage::StudySpec;

/// A study of another program.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What it is. Its pruner is none, and it wants no more trials than it has.
    pub spec: StudySpec,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// What happened to it.
    pub events: Vec<Event>,
    /// What could not be carried over as it was, for people.
    pub remarks: Vec<String>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file holds nothing that can be imported.
    #[error("{} cannot be imported: {why}", .path.display())]
    NotKnown {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what would be right.
        why: String,
    },
    /// Its hyperparameters make no space.
    #[error("study `{study}`: {why}")]
    Space {
        /// The study.
        study: String,
        /// Why.
        why: Box<SpaceError>,
    },
}

/// One trial of another program.
#[derive(Clone, Debug, Default)]
struct Past {
    answers: Vec<(String, Value)>,
    points: Vec<Point>,
    tags: Tags,
    /// Nothing: it still waits to be run.
    end: Option<End>,
    began_ms: i64,
    ended_ms: i64,
}

/// The events of trials in the order of their numbers; answers are put in the outline's order, and as its domains hold
/// them. A trial that waits but does not answer every question is left out.
fn log(pasts: Vec<Past>, outline: &Outline, tags: Tags, remarks: &mut Vec<String>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |number: Option<u64>, at_ms: i64, change: Change| {
        events.push(Event { revision: events.len() as u64 + 1, number, at_ms, change });
    };
    let mut number = 0;
    let mut left_out = 0;
    for past in pasts {
        let place = |name: &str| outline.entries().iter().position(|entry| entry.name.as_str() == name);
        let mut answers: Vec<(usize, &Entry, &Value)> = past
            .answers
            .iter()
            .filter_map(|(name, value)| place(name).map(|at| (at, &outline.entries()[at], value)))
            .collect();
        answers.sort_by_key(|(at, ..)| *at);
        let answers = answers
            .into_iter()
            .map(|(_, entry, value)| (entry.name.clone(), entry.check(value).unwrap_or_else(|_| value.clone())))
            .collect();
        let config = kilter_space::Config::new(answers);
        let opened = Opened { config, fingerprint: outline.fingerprint(), ..Opened::default() };
        let Some(end) = past.end else {
            match kilter_space::replay(&opened.config, outline) {
                Ok(kilter_space::Fit::Whole(config)) => {
                    add(Some(number), past.began_ms, Change::Queued(Opened { config, ..opened }));
                    number += 1;
                }
                _ => left_out += 1,
            }
            continue;
        };
        add(Some(number), past.began_ms, Change::Opened(opened));
        if !past.points.is_empty() {
            add(Some(number), past.ended_ms, Change::Reported(past.points));
        }
        if !past.tags.is_empty() {
            add(Some(number), past.ended_ms, Change::Amended(crate::event::Amendment::Tags(past.tags)));
        }
        add(Some(number), past.ended_ms, Change::Ended(end));
        number += 1;
    }
    if left_out > 0 {
        remarks.push(format!(
            "{left_out} that waited with only some of their hyperparameters chosen {} left out",
            if left_out == 1 { "is" } else { "are" }
        ));
    }
    if !tags.is_empty() {
        let at_ms = events.last().map_or(0, |event| event.at_ms);
        let revision = events.len() as u64 + 1;
        let change = Change::Amended(crate::event::Amendment::Tags(tags));
        events.push(Event { revision, number: None, at_ms, change });
    }
    events
}
