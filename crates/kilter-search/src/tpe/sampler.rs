//! The estimator as a study's sampler.
//!
//! Questions that are always asked together (those with the same condition) are estimated jointly; each such group
//! learns from the trials in which it was asked. So a conditional space needs no imputed values, and a flat space is one
//! group: the multivariate estimator. Running trials count among the worse ones, as if they would disappoint (the
//! constant liar of Ginsbourger, Le Riche and Carraro 2010): parallel workers then keep apart.

//!
//! Under constraints only candidates count that can still be completed; if there is none among those drawn from the
//! estimate, others are taken from the feasible set and judged by the same densities.

use kilter_space::{Encoding, Halt, Outline, SpaceError, Walk};
use kilter_study::{Ask, Change, Event, Goal, History, Next, Proposal, Row, Sampler, SearchError, State};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, Estimate};
use super::split::{Candidate, Outcome, Split, default_gamma, hyperopt_gamma, multi_objective_gamma, split};
use crate::random::at_random;

/// Which published program's estimator is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Optuna 5's: the default.
    #[default]
    Optuna,
    /// Hyperopt's: each parameter by itself, a smaller better set.
    Hyperopt,
}

/// Hyperparameters of the sampler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TpeConfig {
    /// Which estimator.
    pub flavour: Flavour,
    /// Finished trials before anything is estimated; until then configurations are random. Default 10.
    pub startup: usize,
    /// Candidates drawn for every proposal, at least 1. Default 24; more is greedier.
    pub candidates: usize,
    /// Estimate parameters that are asked together jointly (default) or each by itself. Always by itself in the
    /// Hyperopt flavour.
    pub multivariate: bool,
    /// Count running trials among the worse ones. Default yes.
    pub constant_liar: bool,
    /// Weight of the prior against one observation, above 0. Default 1; more explores more.
    pub prior_weight: f64,
}

impl Default for TpeConfig {
    fn default() -> Self {
        Self {
            flavour: Flavour::Optuna,
            startup: 10,
            candidates: 24,
            multivariate: true,
            constant_liar: true,
            prior_weight: 1.0,
        }
    }
}

impl TpeConfig {
    /// The same, if it can be.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn checked(self) -> Result<Self, String> {
        if self.candidates == 0 {
            return Err("candidates=0 leaves nothing to choose from; the default is 24".to_owned());
        }
        if !(self.prior_weight > 0.0 && self.prior_weight.is_finite()) {
            return Err(format!("prior_weight={} must be a number above 0; the default is 1", self.prior_weight));
        }
        Ok(self)
    }
}

/// The tree-structured Parzen estimator.
#[derive(Clone, Debug)]
pub struct Tpe {
    config: TpeConfig,
    /// Every trial's answers as numbers, by coordinate and trial number; NaN where a question was not asked.
    columns: Vec<Vec<f64>>,
    /// The space that `columns` was made for.
    fingerprint: u64,
    /// Trials whose answers are not in `columns` yet.
    new: Vec<u64>,
}

impl Tpe {
    /// A sampler that has seen nothing yet.
    pub fn new(config: TpeConfig) -> Self {
        Self { config, columns: Vec::new(), fingerprint: 0, new: Vec::new() }
    }

    /// Brings `columns` up to date.
    fn encode(&mut self, outline: &Outline, history: &History) {
        if self.fingerprint != outline.fingerprint() {
            self.fingerprint = outline.fingerprint();
            self.columns = vec![Vec::new(); Encoding::new(outline).coordinates().len()];
            self.new = history.rows().map(|row| row.number).collect();
        }
        for row in self.new.drain(..).filter_map(|number| history.get(number)) {
            let at = row.number as usize;
            for (column, code) in self.columns.iter_mut().zip(outline.encode(row.config())) {
                if column.len() <= at {
                    column.resize(at + 1, f64::NAN);
                }
                column[at] = code;
            }
        }
    }

    /// The trials that count, in order of their numbers, split into the better few and the rest.
    fn split(&self, history: &History, goals: &[Goal]) -> (Vec<u64>, Split) {
        let rows: Vec<(&Row, Standing)> =
            history.rows().filter_map(|row| Some((row, standing(row, goals, self.config.constant_liar)?))).collect();
        let candidates: Vec<Candidate<'_>> =
            rows.iter().map(|(_, standing)| Candidate { outcome: standing.outcome(), violation: 0.0 }).collect();
        let finished = rows.iter().filter(|(row, _)| row.state.is_ended()).count();
        let n_below = match (self.config.flavour, goals.len()) {
            (Flavour::Hyperopt, 1) => hyperopt_gamma(finished),
            (Flavour::Optuna, 1) => default_gamma(finished),
            _ => multi_objective_gamma(finished),
        };
        let maximize: Vec<bool> = goals.iter().map(|goal| goal.better == kilter_study::Better::Higher).collect();
        (rows.iter().map(|(row, _)| row.number).collect(), split(&candidates, &maximize, n_below))
    }
}

/// How a trial stands, if it counts at all.
enum Standing {
    Complete(Vec<f64>),
    Pruned(Option<(u64, f64)>),
    Running,
}

impl Standing {
    fn outcome(&self) -> Outcome<'_> {
        match self {
            Self::Complete(values) => Outcome::Complete(values),
            Self::Pruned(last) => Outcome::Pruned(*last),
            Self::Running => Outcome::Running,
        }
    }
}

fn standing(row: &Row, goals: &[Goal], liar: bool) -> Option<Standing> {
    match row.state {
        State::Complete => row.values(goals).map(Standing::Complete),
        State::Pruned => Some(Standing::Pruned(row.curve(&goals.first()?.metric).last())),
        State::Running | State::Stale | State::Waiting => liar.then_some(Standing::Running),
        State::Failed => None,
    }
}

impl Sampler for Tpe {
    fn observe(&mut self, new: &[Event], _: &History) {
        for event in new {
            if matches!(event.change, Change::Opened(_) | Change::Queued(_) | Change::Answered(_)) {
                self.new.extend(event.number);
            }
        }
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        self.encode(ask.space.outline, ask.history);
        if ask.history.count(State::Complete) + ask.history.count(State::Pruned) < self.config.startup.max(1) {
            return Ok(Next::Try(at_random(ask)?));
        }
        let (numbers, split) = self.split(ask.history, ask.goals);
        let outline = ask.space.outline;
        let estimate = Estimate {
            config: &self.config,
            columns: &self.columns,
            numbers: &numbers,
            split: &split,
            uniform_below: ask.goals.len() > 1,
        };
        let mut draft = Draft::new(outline, estimate, &ask.stream);
        match outline.walk(&mut draft) {
            // Where the answers so far leave none to the next question, the study repairs them.
            Ok(()) | Err(Halt::Enough | Halt::Refused(SpaceError::NothingLeft { .. })) => {
                Ok(Next::Try(Proposal::new(draft.into_joint(), &ask.stream)))
            }
            Err(Halt::Refused(why)) => Err(why.into()),
        }
    }
}
