//! All trials of a study, folded from its events.

use kilter_space::{Config, Outline};
use serde::Serialize;

use crate::event::{Change, End, EndState, Event, Opened, Point};
use crate::goal::Goal;
use crate::storage::Held;

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker.
    Waiting,
    /// A worker runs it.
    Running,
    /// A worker ran it and died; nobody has taken it up again yet. No event says so: see [`History::mark_stale`].
    Stale,
    /// It has a value for every goal.
    Complete,
    /// It was stopped early as hopeless.
    Pruned,
    /// It failed.
    Failed,
}

impl State {
    /// Has it ended?
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running | Self::Stale)
    }

    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Stale => "stale",
            Self::Complete => "complete",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
        }
    }
}

/// One trial.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number, from 0.
    pub number: u64,
    /// Its state.
    pub state: State,
    /// How it was opened: answers, fidelity, note.
    pub opened: Opened,
    /// Which attempt runs or ran, from 1; 0 if none did yet.
    pub attempt: u32,
    /// When it was opened or enqueued, in milliseconds since 1970.
    pub opened_ms: i64,
    /// What the current attempt has reported, in order.
    pub points: Vec<Point>,
    /// How it ended, if it has.
    pub end: Option<End>,
    /// How attempts ended that had been given up for dead; kept, not counted.
    pub late: Vec<End>,
}

impl Row {
    /// Its answers.
    pub fn config(&self) -> &Config {
        &self.opened.config
    }

    /// Its final value of a metric.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.end.as_ref()?.metrics.get(metric).copied()
    }

    /// Its values for `goals`, if it is complete.
    pub fn values(&self, goals: &[Goal]) -> Option<Vec<f64>> {
        (self.state == State::Complete).then(|| goals.iter().map(|goal| self.value(&goal.metric)).collect())?
    }

    /// What it reported of a metric: (step, value) in order.
    pub fn curve<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (u64, f64)> + 'a {
        self.points.iter().filter(move |point| point.metric == metric).map(|point| (point.step, point.value))
    }
}

/// All trials, by number. Numbers that are only reserved have no row yet.
#[derive(Clone, Debug, Default)]
pub struct History {
    revision: u64,
    rows: Vec<Option<Row>>,
    counts: [usize; 6],
    trials_wanted: Option<u64>,
    spaces: Vec<Outline>,
}

impl History {
    /// The last event's revision; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The trial of this number.
    pub fn get(&self, number: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// All trials, by number.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.iter().flatten()
    }

    /// How many trials are in `state`.
    pub fn count(&self, state: State) -> usize {
        self.counts[state as usize]
    }

    /// How many trials there are.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Is there no trial at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many trials have ended.
    pub fn ended(&self) -> usize {
        [State::Complete, State::Pruned, State::Failed].into_iter().map(|state| self.count(state)).sum()
    }

    /// How many trials are wanted, if that was changed after the study was made.
    pub fn trials_wanted(&self) -> Option<u64> {
        self.trials_wanted
    }

    /// The spaces that came after the one the study was made with, oldest first; the last is the one searched now.
    pub fn later_spaces(&self) -> &[Outline] {
        &self.spaces
    }

    /// The complete trial with the best value of a single goal; the earliest of equals.
    pub fn best(&self, goal: &Goal) -> Option<&Row> {
        self.ranking(goal).into_iter().next()
    }

    /// Complete trials from best to worst; the earlier of equals first.
    pub fn ranking(&self, goal: &Goal) -> Vec<&Row> {
        let mut ranked: Vec<(f64, &Row)> = self
            .rows()
            .filter(|row| row.state == State::Complete)
            // Adding zero makes -0.0 and 0.0 the equals that they are.
            .filter_map(|row| Some((goal.better.as_loss(row.value(&goal.metric)?) + 0.0, row)))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.into_iter().map(|(_, row)| row).collect()
    }

    /// Marks the running trials that are stale, for whoever looks at a study without working on it.
    pub fn mark_stale(&mut self, held: &[Held]) {
        for held in held.iter().filter(|held| held.is_stale()) {
            if let Some(Some(row)) = self.rows.get_mut(held.number as usize)
                && row.state == State::Running
            {
                row.state = State::Stale;
                self.counts[State::Running as usize] -= 1;
                self.counts[State::Stale as usize] += 1;
            }
        }
    }

    /// Goes on behind an event that cannot be read.
    pub(crate) fn skip_to(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Takes one event. Events come in revision order; one seen before changes nothing.
    pub fn apply(&mut self, event: &Event) {
        if event.revision <= self.revision {
            return;
        }
        self.revision = event.revision;
        match &event.change {
            Change::TrialsWanted(trials) => self.trials_wanted = Some(*trials),
            Change::SpaceChanged(outline) => self.spaces.push(outline.clone()),
            _ => {}
        }
        let Some(number) = event.number else { return };
        let at = number as usize;
        if let Change::Queued(opened) | Change::Opened(opened) = &event.change {
            let running = matches!(event.change, Change::Opened(_));
            let state = if running { State::Running } else { State::Waiting };
            if self.rows.len() <= at {
                self.rows.resize_with(at + 1, || None);
            }
            let row = Row {
                number,
                state,
                opened: opened.clone(),
                attempt: u32::from(running),
                opened_ms: event.at_ms,
                points: Vec::new(),
                end: None,
                late: Vec::new(),
            };
            if let Some(old) = self.rows[at].replace(row) {
                self.counts[old.state as usize] -= 1;
            }
            self.counts[state as usize] += 1;
            return;
        }
        let Some(row) = self.rows.get_mut(at).and_then(Option::as_mut) else { return };
        let before = row.state;
        match &event.change {
            Change::Claimed { attempt } => {
                row.state = State::Running;
                row.attempt = *attempt;
            }
            Change::Answered(answers) => {
                for (name, _, value) in answers {
                    row.opened.config.push(name.clone(), value.clone());
                }
            }
            Change::Reported(points) => row.points.extend_from_slice(points),
            Change::Ended(end) => {
                row.state = match end.state {
                    EndState::Complete => State::Complete,
                    EndState::Pruned => State::Pruned,
                    EndState::Failed => State::Failed,
                };
                row.end = Some(end.clone());
            }
            Change::Requeued => {
                row.state = State::Waiting;
                row.points.clear();
            }
            Change::Late(end) => row.late.push(end.clone()),
            Change::TrialsWanted(_) | Change::SpaceChanged(_) | Change::Queued(_) | Change::Opened(_) => {}
        }
        self.counts[before as usize] -= 1;
        self.counts[row.state as usize] += 1;
    }
}
