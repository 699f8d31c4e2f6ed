//! All trials of a study, folded from its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_space::{Config, Outline};
use serde::Serialize;

use crate::event::{Amendment, Change, End, EndState, Event, Opened, Point};
use crate::goal::Goal;
use crate::limits::Limits;
use crate::recipe::Failure;
use crate::repeats;
use crate::storage::{Held, StudySpec};

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
    /// All of them, in the order of a trial's life.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Running, Self::Stale, Self::Complete, Self::Pruned, Self::Failed];

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

/// What users wrote on a study or on a trial.
pub type Tags = BTreeMap<String, serde_json::Value>;

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
    /// When it ended, in milliseconds since 1970, if it has.
    pub ended_ms: Option<i64>,
    /// What users wrote on it.
    pub tags: Tags,
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

    /// By how much the study's requirements are missed together: 0 if all hold, nothing if the trial is not complete.
    pub fn violation(&self) -> Option<f64> {
        (self.state == State::Complete).then(|| self.end.as_ref().map(End::violation))?
    }

    /// Is it complete, and does it keep what the study requires?
    pub fn is_feasible(&self) -> bool {
        self.violation() == Some(0.0)
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
    /// How many trials there were when each of them came.
    trials_before: Vec<usize>,
    tags: Tags,
    stopped: Option<(String, bool)>,
    limits: Option<Limits>,
    plan: Option<serde_json::Value>,
    name: Option<String>,
    busy: Busy,
}

/// For how long at least one trial ran.
#[derive(Clone, Copy, Debug, Default)]
struct Busy {
    whole_ms: i64,
    since_ms: i64,
    /// When a trial last showed that it lives: where a worker was killed, nobody knows how long it lived on.
    lived_ms: i64,
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

    /// The highest number of a trial, if there is one.
    pub fn newest(&self) -> Option<u64> {
        self.rows.len().checked_sub(1).map(|last| last as u64)
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

    /// The spaces that came later, each with the number of trials that there were before it.
    pub fn space_changes(&self) -> impl Iterator<Item = (usize, &Outline)> {
        self.trials_before.iter().copied().zip(&self.spaces)
    }

    /// Brings what a study was made with up to date: with its newest space, limits, plan and name.
    pub fn amend_spec(&self, spec: &mut Arc<StudySpec>) {
        if let Some(newest) = self.spaces.last().filter(|newest| newest.fingerprint() != spec.outline.fingerprint()) {
            Arc::make_mut(spec).outline = newest.clone();
        }
        if let Some(limits) = self.limits.as_ref().filter(|limits| **limits != spec.limits) {
            Arc::make_mut(spec).limits = limits.clone();
        }
        if let Some(plan) = self.plan.as_ref().filter(|plan| **plan != spec.plan) {
            Arc::make_mut(spec).plan = plan.clone();
        }
        if let Some(name) = self.name.as_ref().filter(|name| **name != spec.name) {
            Arc::make_mut(spec).name = name.clone();
        }
    }

    /// What users wrote on the study.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Why no trial is to begin any more, if somebody stopped the study.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_ref().map(|(why, _)| why.as_str())
    }

    /// Are running trials to be stopped too?
    pub fn is_stopped_at_once(&self) -> bool {
        matches!(self.stopped, Some((_, true)))
    }

    /// For how long at least one trial ran, in seconds, up to the last event.
    pub fn busy_seconds(&self) -> f64 {
        let open = if self.count(State::Running) > 0 { self.busy.lived_ms - self.busy.since_ms } else { 0 };
        (self.busy.whole_ms + open.max(0)) as f64 / 1000.0
    }

    /// The feasible trial with the best value of a single goal; the earliest of equals.
    pub fn best(&self, goal: &Goal) -> Option<&Row> {
        let feasible = self.rows().filter(|row| row.is_feasible());
        let losses = feasible.filter_map(|row| Some((goal.better.as_loss(row.value(&goal.metric)?) + 0.0, row)));
        losses.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, row)| row)
    }

    /// The feasible trials that no other surpasses in every goal, by number; the earliest of equals. With one goal: the
    /// best.
    pub fn front(&self, goals: &[Goal]) -> Vec<&Row> {
        let losses = |row: &Row| -> Option<Vec<f64>> {
            let values = row.values(goals).filter(|_| row.is_feasible())?;
            Some(goals.iter().zip(values).map(|(goal, value)| goal.better.as_loss(value) + 0.0).collect())
        };
        let mut points: Vec<(Vec<f64>, &Row)> = self.rows().filter_map(|row| Some((losses(row)?, row))).collect();
        // In lexicographic order a trial is surpassed by earlier ones only, and if at all, then by one of the front.
        points.sort_by(|(a, _), (b, _)| {
            a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut front: Vec<(Vec<f64>, &Row)> = Vec::new();
        for (point, row) in points {
            if !front.iter().any(|(other, _)| other.iter().zip(&point).all(|(a, b)| a <= b)) {
                front.push((point, row));
            }
        }
        let mut rows: Vec<&Row> = front.into_iter().map(|(_, row)| row).collect();
        rows.sort_by_key(|row| row.number);
        rows
    }

    /// Feasible trials from best to worst; the earlier of equals first.
    pub fn ranking(&self, goal: &Goal) -> Vec<&Row> {
        let mut ranked: Vec<(f64, &Row)> = self
            .rows()
            .filter(|row| row.is_feasible())
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
            Change::SpaceChanged(outline) => {
                self.spaces.push(outline.clone());
                self.trials_before.push(self.len());
            }
            Change::Renamed(name) => self.name = Some(name.clone()),
            Change::Amended(what) => self.amend(event.number, what),
            _ => {}
        }
        let running = self.count(State::Running);
        self.move_trial(event);
        self.busy.see(event, running, self.count(State::Running));
    }

    fn amend(&mut self, number: Option<u64>, what: &Amendment) {
        match what {
            Amendment::Tags(tags) => {
                let kept = match number {
                    None => Some(&mut self.tags),
                    Some(number) => {
                        self.rows.get_mut(number as usize).and_then(Option::as_mut).map(|row| &mut row.tags)
                    }
                };
                let Some(kept) = kept else { return };
                for (name, value) in tags {
                    if value.is_null() {
                        kept.remove(name);
                    } else {
                        kept.insert(name.clone(), value.clone());
                    }
                }
            }
            Amendment::Stop { why, at_once } => self.stopped = Some((why.clone(), *at_once)),
            Amendment::GoOn => self.stopped = None,
            Amendment::Limits(limits) => self.limits = Some(limits.clone()),
            Amendment::Plan(plan) => self.plan = Some(plan.clone()),
        }
    }

    fn move_trial(&mut self, event: &Event) {
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
                ended_ms: None,
                tags: Tags::new(),
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
                    row.opened.config.set(name.clone(), value.clone());
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
                row.ended_ms = Some(event.at_ms);
            }
            Change::Requeued => {
                row.state = State::Waiting;
                row.points.truncate(repeats::still_counts(&row.points));
                (row.end, row.ended_ms) = (None, None);
            }
            Change::Late(end) => row.late.push(end.clone()),
            Change::TrialsWanted(_)
            | Change::SpaceChanged(_)
            | Change::Renamed(_)
            | Change::Amended(_)
            | Change::Queued(_)
            | Change::Opened(_) => {}
        }
        self.counts[before as usize] -= 1;
        self.counts[row.state as usize] += 1;
    }
}

impl Busy {
    /// Takes an event before which so many trials ran, and after which so many do.
    fn see(&mut self, event: &Event, before: usize, after: usize) {
        let lost = |end: &End| matches!(end.failure, Some(Failure::WorkerLost { .. }));
        let lives = match &event.change {
            Change::Opened(_) | Change::Claimed { .. } | Change::Answered(_) | Change::Reported(_) => true,
            Change::Ended(end) => !lost(end),
            _ => false,
        };
        if before == 0 && after > 0 {
            self.since_ms = event.at_ms;
        }
        if lives {
            self.lived_ms = event.at_ms;
        }
        if before > 0 && after == 0 {
            self.whole_ms += (self.lived_ms - self.since_ms).max(0);
        }
    }
}
