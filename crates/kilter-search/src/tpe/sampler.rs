//! The estimator as a study's sampler.
//!
//! Questions that are always asked together (those with the same condition) are estimated jointly; each such group
//! learns from the trials in which it was asked. So a conditional space needs no imputed values, and a flat space is one
//! group: the multivariate estimator. Running trials count among the worse ones, as if they would disappoint (the
//! constant liar of Ginsbourger, Le Riche and Carraro 2010): parallel workers then keep apart.

use std::collections::HashMap;

use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Domain, Halt, Name, Outline, Question, Random, Value, Walk};
use kilter_study::{Ask, Change, Event, Goal, History, Next, Proposal, Row, Sampler, SearchError, State};
use serde::{Deserialize, Serialize};

use super::hyperopt::AdaptiveParzen;
use super::parzen::{Column, Parzen, ParzenOptions};
use super::split::{
    Candidate, Outcome, Split, default_gamma, default_weights, hyperopt_gamma, multi_objective_gamma, split,
};
use super::{Dimension, best_candidate};

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
    /// Every trial's answers as numbers, by question and trial number; NaN where a question was not asked.
    columns: HashMap<Name, Vec<f64>>,
    /// The space that `columns` was made for.
    fingerprint: u64,
    /// Trials whose answers are not in `columns` yet.
    new: Vec<u64>,
}

impl Tpe {
    /// A sampler that has seen nothing yet.
    pub fn new(config: TpeConfig) -> Self {
        Self { config, columns: HashMap::new(), fingerprint: 0, new: Vec::new() }
    }

    /// Brings `columns` up to date.
    fn encode(&mut self, outline: &Outline, history: &History) {
        if self.fingerprint != outline.fingerprint() {
            self.fingerprint = outline.fingerprint();
            self.columns.clear();
            self.new = history.rows().map(|row| row.number).collect();
        }
        for row in self.new.drain(..).filter_map(|number| history.get(number)) {
            for entry in outline.entries() {
                let code = row.config().get(entry.name.as_str()).and_then(|value| encode(&entry.domain, value));
                let at = row.number as usize;
                let column = match self.columns.get_mut(&entry.name) {
                    Some(column) => column,
                    None => self.columns.entry(entry.name.clone()).or_default(),
                };
                if column.len() <= at {
                    column.resize(at + 1, f64::NAN);
                }
                column[at] = code.unwrap_or(f64::NAN);
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
        State::Running | State::Waiting => liar.then_some(Standing::Running),
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
            return Ok(Next::Try(Proposal::new(Config::default(), &ask.stream)));
        }
        let (numbers, split) = self.split(ask.history, ask.goals);
        let mut draft = Draft {
            sampler: self,
            groups: groups(ask.space.outline, self.config.multivariate && self.config.flavour == Flavour::Optuna),
            numbers: &numbers,
            split: &split,
            uniform_below: ask.goals.len() > 1,
            stream: ask.stream.child("candidates"),
            rest: Random::new(ask.stream.child("unforeseen")),
            answers: HashMap::new(),
            joint: Config::default(),
        };
        match ask.space.outline.walk(&mut draft) {
            Ok(()) | Err(Halt::Enough) => Ok(Next::Try(Proposal::new(draft.joint, &ask.stream))),
            Err(Halt::Refused(why)) => Err(why.into()),
        }
    }
}

/// Questions that are estimated together.
type Group<'a> = Vec<(&'a Name, &'a Domain)>;

/// The groups of a space. Fixed questions belong to none.
fn groups(outline: &Outline, jointly: bool) -> Vec<Group<'_>> {
    let mut groups: Vec<(Option<&str>, Group<'_>)> = Vec::new();
    for entry in outline.entries() {
        if matches!(entry.domain, Domain::Fixed(_)) {
            continue;
        }
        let condition = entry.when.as_ref().map(kilter_space::Expr::source);
        // What a closure asks together is not known before it has asked.
        let joinable = jointly && outline.is_complete();
        match groups.iter_mut().find(|(of, _)| joinable && *of == condition) {
            Some((_, members)) => members.push((&entry.name, &entry.domain)),
            None => groups.push((condition, vec![(&entry.name, &entry.domain)])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// A proposal in the making: a group is estimated when its first question is asked, so inactive ones cost nothing.
struct Draft<'a> {
    sampler: &'a Tpe,
    groups: Vec<Group<'a>>,
    numbers: &'a [u64],
    split: &'a Split,
    uniform_below: bool,
    stream: Stream,
    rest: Random,
    answers: HashMap<&'a Name, Value>,
    joint: Config,
}

impl Chooser for Draft<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        if !self.answers.contains_key(question.name)
            && let Some(at) = self.groups.iter().position(|group| group.iter().any(|(name, _)| *name == question.name))
        {
            self.draw(at);
        }
        let value = match self.answers.get(question.name) {
            Some(value) => value.clone(),
            None => self.rest.choose(question)?,
        };
        self.joint.push(question.name.clone(), value.clone());
        Ok(value)
    }
}

impl Draft<'_> {
    /// Draws answers for the group: candidates from the better trials' density, the best of them by the ratio.
    fn draw(&mut self, at: usize) {
        let group = std::mem::take(&mut self.groups[at]);
        let dimensions: Vec<Dimension> = group.iter().map(|(_, domain)| dimension(domain)).collect();
        let below = self.columns_of(&group, &self.split.below);
        let above = self.columns_of(&group, &self.split.above);
        let seen = |columns: &[Vec<f64>]| columns.first().map_or(0, Vec::len);
        let below_weights =
            if self.uniform_below { vec![1.0; seen(&below)] } else { default_weights(seen(&below)) };
        let above_weights = default_weights(seen(&above));
        let config = &self.sampler.config;
        let chosen: Option<Vec<f64>> = match config.flavour {
            Flavour::Optuna => {
                let options = ParzenOptions { prior_weight: config.prior_weight, ..ParzenOptions::default() };
                let better = Parzen::fit(&dimensions, &as_columns(&below), &below_weights, &options);
                let worse = Parzen::fit(&dimensions, &as_columns(&above), &above_weights, &options);
                let drawn = better.sample(config.candidates, &mut self.stream);
                let best = best_candidate(&better.log_density(&drawn), &worse.log_density(&drawn));
                best.map(|i| drawn[i * dimensions.len()..(i + 1) * dimensions.len()].to_vec())
            }
            // Groups are single questions here.
            Flavour::Hyperopt => dimensions
                .iter()
                .enumerate()
                .map(|(d, dimension)| {
                    let fit = |values: &[f64], weights: &[f64]| {
                        AdaptiveParzen::fit(*dimension, &Column { values, order: None }, weights, config.prior_weight)
                    };
                    let (better, worse) = (fit(&below[d], &below_weights), fit(&above[d], &above_weights));
                    let drawn = better.sample(config.candidates, &mut self.stream);
                    best_candidate(&better.log_density(&drawn), &worse.log_density(&drawn)).map(|i| drawn[i])
                })
                .collect(),
        };
        for ((name, domain), code) in group.into_iter().zip(chosen.unwrap_or_default()) {
            self.answers.insert(name, decode(domain, code));
        }
    }

    /// The group's columns over those of the trials at `positions` in which it was asked, in order of their numbers.
    fn columns_of(&self, group: &[(&Name, &Domain)], positions: &[usize]) -> Vec<Vec<f64>> {
        let columns: Vec<&[f64]> =
            group.iter().map(|(name, _)| self.sampler.columns.get(*name).map_or(&[][..], Vec::as_slice)).collect();
        let at = |column: &[f64], number: u64| column.get(number as usize).copied().unwrap_or(f64::NAN);
        let asked: Vec<u64> = positions
            .iter()
            .map(|&position| self.numbers[position])
            .filter(|&number| columns.iter().all(|column| !at(column, number).is_nan()))
            .collect();
        columns.iter().map(|column| asked.iter().map(|&number| at(column, number)).collect()).collect()
    }
}

fn as_columns(columns: &[Vec<f64>]) -> Vec<Column<'_>> {
    columns.iter().map(|values| Column { values, order: None }).collect()
}

/// A domain as the estimators see it.
fn dimension(domain: &Domain) -> Dimension {
    match domain {
        Domain::Float(range) => Dimension::Numeric {
            low: range.low(),
            high: range.high(),
            log: range.is_log(),
            step: range.step_width(),
        },
        Domain::Int(range) => Dimension::Numeric {
            low: range.low() as f64,
            high: range.high() as f64,
            log: range.is_log(),
            step: Some(range.step_width() as f64),
        },
        Domain::Choice(choice) => Dimension::Categorical { choices: choice.values().len() },
        Domain::Fixed(_) => Dimension::Categorical { choices: 1 },
    }
}

/// An answer as a number: a choice is its place. Nothing if the domain does not allow it.
fn encode(domain: &Domain, value: &Value) -> Option<f64> {
    let accepted = domain.accept(value)?;
    match domain {
        Domain::Choice(choice) => choice.position(&accepted).map(|place| place as f64),
        Domain::Fixed(_) => Some(0.0),
        Domain::Float(_) | Domain::Int(_) => accepted.as_f64(),
    }
}

/// A number as an answer.
fn decode(domain: &Domain, code: f64) -> Value {
    match domain {
        Domain::Float(range) => Value::Float(range.nearest(code)),
        Domain::Int(range) => Value::Int(range.nearest(code)),
        Domain::Choice(choice) => {
            let last = choice.values().len() - 1;
            choice.values()[(code as usize).min(last)].clone()
        }
        Domain::Fixed(value) => value.clone(),
    }
}
