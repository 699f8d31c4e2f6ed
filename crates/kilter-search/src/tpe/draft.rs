//! A proposal in the making: a chooser that estimates each group of questions when its first one is asked.

use std::collections::BTreeSet;
use std::ops::Range;

use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Coordinate, Domain, Encoding, Feasible, Halt, Outline, Question, Random, Value};

use kilter_study::{Goal, History};

use super::hyperopt::AdaptiveParzen;
use super::kept::{Better, Kept, Model, Shelf};
use super::parzen::{Column, Known, ParzenOptions};
use super::ranking::{Ranking, Sides};
use super::sampler::{Flavour, TpeConfig, Weights, known};
use super::seen::Seen;
use super::split::default_weights;
use super::{Dimension, best_candidate};

/// What the estimators learn from.
pub(super) struct Estimate<'a> {
    pub(super) config: &'a TpeConfig,
    /// Are parameters that are asked together estimated jointly, or each by itself?
    pub(super) jointly: bool,
    /// How many candidates are drawn.
    pub(super) candidates: usize,
    /// Every trial's answers, by coordinate and trial number; NaN where a question was not asked.
    pub(super) columns: &'a [Vec<f64>],
    /// Of a closure, by coordinate the trials that were not asked.
    pub(super) unasked: &'a [BTreeSet<u64>],
    /// The better trials and those that they are compared with.
    pub(super) sides: &'a Sides,
    /// How much each of the better trials weighs.
    pub(super) weights: Weights,
    pub(super) history: &'a History,
    pub(super) goals: &'a [Goal],
    /// What must not be proposed again.
    pub(super) seen: &'a Seen,
}

impl Estimate<'_> {
    /// Was every trial that is learnt from and has ended asked for this coordinate?
    fn is_always_asked(&self, coordinate: usize) -> bool {
        let learnt_from = |number: &u64| {
            let Sides { below, above, .. } = self.sides;
            below.binary_search(number).is_ok() || above.binary_search(number).is_ok()
        };
        let has_ended = |number: &u64| self.history.get(*number).is_some_and(|row| row.end.is_some());
        let unasked = self.unasked.get(coordinate).into_iter().flatten();
        !unasked.rev().any(|number| learnt_from(number) && has_ended(number))
    }
}

/// Questions that are estimated together: their places in the outline.
type Group = Vec<usize>;

/// The groups of a space. Fixed questions belong to none. What a closure asks is not known before it has asked: those of its
/// questions are taken together that every finished trial was asked.
fn groups(outline: &Outline, encoding: &Encoding, estimate: &Estimate<'_>) -> Vec<Group> {
    let asked_always = |at: usize| encoding.span(at).all(|coordinate| estimate.is_always_asked(coordinate));
    // Who is estimated by itself stands under no condition that others share.
    let mut groups: Vec<(Option<Option<&str>>, Group)> = Vec::new();
    for (at, entry) in outline.entries().iter().enumerate() {
        if matches!(entry.domain, Domain::Fixed(_)) {
            continue;
        }
        let joinable = estimate.jointly && (outline.is_complete() || asked_always(at));
        let condition = joinable.then(|| entry.when.as_ref().map(kilter_space::Expr::source));
        match groups.iter_mut().find(|(of, _)| joinable && *of == condition) {
            Some((_, members)) => members.push(at),
            None => groups.push((condition, vec![at])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// A proposal in the making. Groups whose questions are not asked cost nothing.
pub(super) struct Draft<'a> {
    outline: &'a Outline,
    estimate: Estimate<'a>,
    encoding: Encoding,
    /// By entry its group; a group is taken out when it is estimated.
    group_of: Vec<Option<usize>>,
    groups: Vec<Group>,
    shelf: &'a mut Shelf,
    stream: Stream,
    rest: Random,
    /// The walk is before this entry.
    at: usize,
    /// Answers drawn beforehand, by entry.
    drawn: Vec<Option<Value>>,
    /// Answers given, by entry.
    answered: Vec<Option<Value>>,
    joint: Config,
    /// Would all candidates complete a configuration that was tried?
    given_up: bool,
}

impl Chooser for Draft<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        // A walk asks in the outline's order; of two questions of one name, the domain's own place tells which it is.
        let entries = self.outline.entries();
        let is_asked = |at: &usize| std::ptr::eq(&entries[*at].domain, question.domain);
        let at = (self.at..entries.len()).find(is_asked).ok_or(Halt::Enough)?;
        self.at = at + 1;
        if let Some(group) = self.group_of[at] {
            let group = std::mem::take(&mut self.groups[group]);
            group.iter().for_each(|&member| self.group_of[member] = None);
            self.draw(&group, question)?;
        }
        let value = match self.drawn[at].take().and_then(|value| question.allowed.accept(&value)) {
            Some(value) => value,
            None => self.rest.choose(question)?,
        };
        self.joint.push(question.name.clone(), value.clone());
        self.answered[at] = Some(value.clone());
        Ok(value)
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(outline: &'a Outline, estimate: Estimate<'a>, shelf: &'a mut Shelf, stream: &Stream) -> Self {
        let encoding = Encoding::new(outline);
        let groups = groups(outline, &encoding, &estimate);
        let mut group_of = vec![None; outline.entries().len()];
        for (group, members) in groups.iter().enumerate() {
            members.iter().for_each(|&at| group_of[at] = Some(group));
        }
        Self {
            outline,
            encoding,
            group_of,
            groups,
            estimate,
            shelf,
            stream: stream.child("candidates"),
            rest: Random::new(stream.child("unforeseen")),
            at: 0,
            drawn: vec![None; outline.entries().len()],
            answered: vec![None; outline.entries().len()],
            joint: Config::default(),
            given_up: false,
        }
    }

    /// All answers so far; nothing if all candidates had been tried.
    pub(super) fn into_joint(self) -> Option<Config> {
        (!self.given_up).then_some(self.joint)
    }

    /// Draws answers for the group, whose first question is asked: candidates from the better trials' density, of those
    /// that the constraints still allow the best by the ratio.
    fn draw(&mut self, group: &[usize], question: &Question<'_>) -> Result<(), Halt> {
        let coordinates: Vec<usize> = group.iter().flat_map(|&at| self.encoding.span(at)).collect();
        let mut kept = std::mem::take(self.shelf.of(&coordinates));
        let drawn = self.draw_beside(&mut kept, group, &coordinates, question);
        *self.shelf.of(&coordinates) = kept;
        drawn
    }

    /// The same; `kept` is what is remembered of the densities.
    fn draw_beside(
        &mut self,
        kept: &mut Kept,
        group: &[usize],
        coordinates: &[usize],
        question: &Question<'_>,
    ) -> Result<(), Halt> {
        let dimensions: Vec<Dimension> = coordinates.iter().map(|&at| self.encoding.coordinates()[at].into()).collect();
        let of_entry =
            |&at: &usize| std::iter::repeat_n(known(&self.outline.entries()[at]), self.encoding.span(at).len());
        let known: Vec<Known> = group.iter().flat_map(of_entry).collect();
        let mut densities = self.densities(kept, coordinates, &dimensions, &known);
        let count = self.estimate.candidates;
        let free = self.outline.constraints().is_empty();
        let rows: Vec<f64> = match &densities {
            Densities::Joint { parents, kept } => {
                let varied = if parents.is_empty() { 0 } else { self.estimate.config.varied_of(count) };
                let mut drawn = kept.better().sample(count - varied, &mut self.stream);
                drawn.extend(kept.better().vary(parents, varied, &mut self.stream));
                drawn
            }
            Densities::Single(parts) => {
                let drawn: Vec<Vec<f64>> =
                    parts.iter().map(|(better, _)| better.sample(count, &mut self.stream)).collect();
                if free && parts.len() > 1 {
                    // Nothing ties single coordinates together: each takes its own best.
                    let best = parts.iter().zip(&drawn).map(|((better, worse), drawn)| {
                        let best = best_candidate(&better.log_density(drawn), &worse.log_density(drawn));
                        best.and_then(|best| drawn.get(best)).copied().unwrap_or(f64::NAN)
                    });
                    best.collect()
                } else {
                    (0..count).flat_map(|at| drawn.iter().map(move |part| part[at])).collect()
                }
            }
        };
        let mut candidates = self.possible(group, rows);
        if candidates.is_empty() && free {
            self.given_up = true;
            return Err(Halt::Enough);
        }
        if candidates.is_empty() {
            let others = self.others(group, coordinates, question)?;
            candidates = self.possible(group, others);
        }
        let width = coordinates.len();
        if let Some(best) = densities.best_of(&candidates, width) {
            let answers: Vec<(usize, Value)> = self.answers(group, &candidates[best * width..][..width]).collect();
            answers.into_iter().for_each(|(at, value)| self.drawn[at] = Some(value));
        }
        Ok(())
    }

    /// The densities of the whole group, or in the Hyperopt flavour of each coordinate by itself.
    fn densities<'k>(
        &self,
        kept: &'k mut Kept,
        coordinates: &[usize],
        dimensions: &[Dimension],
        known: &[Known],
    ) -> Densities<'k> {
        let Estimate { sides, weights, config, history, goals, .. } = self.estimate;
        let columns = self.columns(coordinates);
        let asked = |numbers: &[u64]| numbers.iter().copied().filter(|&number| has_all(&columns, number)).collect();
        let below: Vec<u64> = asked(&sides.below);
        let below_weights = match weights {
            Weights::Age => default_weights(below.len()),
            Weights::Hypervolume if goals.len() > 1 => Ranking::hypervolume_weights(history, goals, &below),
            Weights::Uniform | Weights::Hypervolume => vec![1.0; below.len()],
        };
        match config.flavour {
            Flavour::Kilter | Flavour::Optuna => {
                let options = ParzenOptions {
                    prior_weight: config.prior_weight,
                    least_steps: config.least_steps(),
                    gaps_of_choices: config.flavour == Flavour::Kilter,
                    ..ParzenOptions::default()
                };
                let better = Better { numbers: &below, weights: &below_weights };
                kept.update(Model { dimensions, known, options }, better, &sides.above, &columns);
                // Of a group that the best trial was not asked, any of the better ones is varied.
                let best = sides.best.and_then(|best| below.binary_search(&best).ok());
                let parents = best.map_or(0..below.len(), |best| best..best + 1);
                Densities::Joint { parents, kept }
            }
            Flavour::Hyperopt => {
                let above: Vec<u64> = asked(&sides.above);
                let above_weights = default_weights(above.len());
                let single = |(&dimension, column): (&Dimension, &&[f64])| {
                    let fit = |numbers: &[u64], weights: &[f64]| {
                        let values = values_of(column, numbers);
                        let column = Column { values: &values, order: None };
                        AdaptiveParzen::fit(dimension, &column, weights, config.prior_weight)
                    };
                    (fit(&below, &below_weights), fit(&above, &above_weights))
                };
                Densities::Single(dimensions.iter().zip(&columns).map(single).collect())
            }
        }
    }

    /// The answers that a candidate's numbers stand for, with their places in the outline.
    fn answers<'b>(&'b self, group: &'b [usize], row: &'b [f64]) -> impl Iterator<Item = (usize, Value)> + 'b {
        let mut code = row;
        group.iter().map(move |&at| {
            let (own, rest) = code.split_at(self.encoding.span(at).len());
            code = rest;
            (at, self.outline.entries()[at].domain.decode(own))
        })
    }

    /// The candidates, row after row, that were not tried and that the constraints still allow beside the answers so far.
    fn possible(&self, group: &[usize], rows: Vec<f64>) -> Vec<f64> {
        let entries = self.outline.entries();
        let free = self.outline.constraints().is_empty();
        if free && !self.estimate.seen.is_kept() {
            return rows;
        }
        let mut code = vec![f64::NAN; self.encoding.coordinates().len()];
        self.joint_code(&mut code);
        let mut is_new = |row: &[f64]| {
            for (at, value) in self.answers(group, row) {
                if let Some(own) = entries[at].domain.encode(&value) {
                    code[self.encoding.span(at)].copy_from_slice(&own);
                }
            }
            !self.estimate.seen.contains(&code)
        };
        let is_allowed = |row: &[f64]| {
            let mut with = self.joint.clone();
            self.answers(group, row).for_each(|(at, value)| with.push(entries[at].name.clone(), value));
            self.outline.is_possible(&with)
        };
        let width: usize = group.iter().map(|&at| self.encoding.span(at).len()).sum();
        rows.chunks_exact(width.max(1))
            .filter(|row| is_new(row) && (free || is_allowed(row)))
            .flatten()
            .copied()
            .collect()
    }

    /// Candidates from what is feasible instead of from the estimate: for a single question from what is allowed, else
    /// from whole configurations.
    fn others(&mut self, group: &[usize], coordinates: &[usize], question: &Question<'_>) -> Result<Vec<f64>, Halt> {
        let mut rows = Vec::new();
        for _ in 0..self.estimate.candidates {
            if group.len() == 1 {
                rows.extend(question.domain.encode(&question.allowed.sample(&mut self.stream)).into_iter().flatten());
                continue;
            }
            let code = self.outline.encode(&Feasible::new(self.outline)?.config(&mut self.stream)?);
            if coordinates.iter().all(|&at| !code[at].is_nan()) {
                rows.extend(coordinates.iter().map(|&at| code[at]));
            }
        }
        Ok(rows)
    }

    /// Writes the answers so far as numbers.
    fn joint_code(&self, code: &mut [f64]) {
        for (at, answered) in self.answered.iter().enumerate() {
            let own = answered.as_ref().and_then(|value| self.outline.entries()[at].domain.encode(value));
            if let Some(own) = own {
                code[self.encoding.span(at)].copy_from_slice(&own);
            }
        }
    }

    /// The columns of some coordinates, by trial number.
    fn columns(&self, coordinates: &[usize]) -> Vec<&'a [f64]> {
        let columns = self.estimate.columns;
        coordinates.iter().map(|&at| columns.get(at).map_or(&[][..], Vec::as_slice)).collect()
    }
}

/// The values of some trials that all have one, in their order.
pub(super) fn values_of(column: &[f64], numbers: &[u64]) -> Vec<f64> {
    numbers.iter().map(|&number| column[number as usize]).collect()
}

/// Whether a trial has a value in each of the columns.
pub(super) fn has_all(columns: &[&[f64]], number: u64) -> bool {
    columns.iter().all(|column| column.get(number as usize).is_some_and(|value| !value.is_nan()))
}

/// The densities of a group.
enum Densities<'a> {
    Joint {
        /// The better trials of which candidates may be variations.
        parents: Range<usize>,
        kept: &'a mut Kept,
    },
    /// The better and the worse trials' of each coordinate.
    Single(Vec<(AdaptiveParzen, AdaptiveParzen)>),
}

impl Densities<'_> {
    /// The candidate with the greatest ratio of the densities, of rows of so many parameters; none only if there are none.
    fn best_of(&mut self, candidates: &[f64], width: usize) -> Option<usize> {
        match self {
            Self::Joint { kept, .. } => {
                let (below, above) = kept.log_densities(candidates);
                best_candidate(&below, &above)
            }
            Self::Single(parts) => {
                let count = candidates.len() / width;
                let (mut below, mut above) = (vec![0.0; count], vec![0.0; count]);
                let add =
                    |sums: &mut [f64], logs: Vec<f64>| sums.iter_mut().zip(logs).for_each(|(sum, log)| *sum += log);
                for (d, (better, worse)) in parts.iter().enumerate() {
                    let column: Vec<f64> = candidates.chunks_exact(width).map(|row| row[d]).collect();
                    add(&mut below, better.log_density(&column));
                    add(&mut above, worse.log_density(&column));
                }
                best_candidate(&below, &above)
            }
        }
    }
}

impl From<Coordinate> for Dimension {
    fn from(coordinate: Coordinate) -> Self {
        match coordinate {
            Coordinate::Numeric { low, high, log, step } => Self::Numeric { low, high, log, step },
            Coordinate::Category { choices } => Self::Categorical { choices },
        }
    }
}
