//! Every configuration once: a grid over the space, conditions and constraints included, in an order that spreads over
//! it, so that a study cut short has seen a coarser grid.
//!
//! `exhaustive` refuses continuous questions, `grid` cuts them into `points` values, ends included, evenly by the scale
//! on which they are searched. How many configurations there are is known before the first (see [`total`]). The k-th
//! proposal is configuration a k + b modulo their number, a prime to it: a permutation that needs no memory (Lehmer).
//!
//! Cost: O(questions) per proposal of a space without conditions and constraints. Else configurations are listed once,
//! up to 100,000 of them; more come in order, each after a walk over all before it.

use kilter_numerics::Stream;
use kilter_space::{Choice, Config, Count, Domain, Outline, SpaceError, Value};
use kilter_study::{Ask, Event, History, Next, Proposal, Sampler, SearchError};
use serde::{Deserialize, Serialize};

use crate::turn::Turn;

/// Hyperparameters of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Values of each continuous question, at least 2. Default 10.
    pub points: u32,
}

impl Default for GridConfig {
    fn default() -> Self {
        Self { points: 10 }
    }
}

impl GridConfig {
    /// The same, if it can be.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn checked(self) -> Result<Self, String> {
        if self.points < 2 {
            return Err(format!("points={} is no grid; at least 2, the default is 10", self.points));
        }
        Ok(self)
    }
}

/// Every configuration once.
pub struct Grid {
    /// Nothing: continuous questions are refused.
    cut: Option<GridConfig>,
    turn: Turn,
    plan: Option<Plan>,
}

struct Plan {
    /// The space that it is for.
    fingerprint: u64,
    outline: Outline,
    count: Count,
    /// How the order is spread: factor and shift.
    spread: (u128, u128),
    listed: Vec<Config>,
}

/// So many configurations are listed at most.
const LISTED: u128 = 100_000;

/// A space with its continuous questions cut into so many values.
fn cut(outline: &Outline, points: u32) -> Result<Outline, SpaceError> {
    let continuous = outline.entries().iter().filter_map(|entry| match &entry.domain {
        Domain::Float(range) if range.step_width().is_none() => {
            let share = |k: u32| f64::from(k) / f64::from(points - 1);
            let at = |u: f64| match (range.is_log(), u) {
                (_, 0.0) => range.low(),
                (_, 1.0) => range.high(),
                (true, u) => (range.low().ln() * (1.0 - u) + range.high().ln() * u).exp(),
                (false, u) => range.low() * (1.0 - u) + range.high() * u,
            };
            let mut values: Vec<f64> = (0..points).map(|k| at(share(k))).collect();
            values.dedup();
            let values = values.into_iter().map(Value::Float).collect();
            Choice::new(values).ok().map(|choice| (entry.name.to_string(), Domain::Choice(choice)))
        }
        _ => None,
    });
    let continuous: Vec<(String, Domain)> = continuous.collect();
    if continuous.is_empty() { Ok(outline.clone()) } else { outline.specialise(&[], &continuous) }
}

/// How many configurations a grid over `outline` has; `config` says how continuous questions are cut, nothing that they
/// are refused.
///
/// # Errors
/// If a question is continuous and must not be cut, or the space is known only as far as trials have asked.
pub fn total(outline: &Outline, config: Option<GridConfig>) -> Result<Count, SpaceError> {
    match config {
        Some(config) => cut(outline, config.points.max(2))?.count(),
        None => outline.count(),
    }
}

impl Grid {
    /// A grid; without a `cut`, continuous questions are refused.
    pub fn new(cut: Option<GridConfig>) -> Self {
        Self { cut, turn: Turn::default(), plan: None }
    }

    fn plan(&mut self, ask: &Ask<'_>) -> Result<&Plan, SearchError> {
        let fingerprint = ask.space.outline.fingerprint();
        let plan = match self.plan.take() {
            Some(plan) if plan.fingerprint == fingerprint => plan,
            _ => {
                let outline = match self.cut {
                    Some(config) => cut(ask.space.outline, config.points)?,
                    None => ask.space.outline.clone(),
                };
                let count = outline.count()?;
                let listed = match count {
                    Count::Exact(n) if n <= LISTED && !is_product(&outline) => outline.configs()?.collect(),
                    _ => Vec::new(),
                };
                let reachable = is_product(&outline) || !listed.is_empty();
                let spread = if reachable { spread(count, ask.seed) } else { (1, 0) };
                Plan { fingerprint, outline, count, spread, listed }
            }
        };
        Ok(self.plan.insert(plan))
    }
}

/// Are configurations all combinations of answers?
fn is_product(outline: &Outline) -> bool {
    outline.constraints().is_empty() && outline.entries().iter().all(|entry| entry.when.is_none())
}

fn spread(count: Count, seed: u64) -> (u128, u128) {
    let Count::Exact(n) = count else { return (1, 0) };
    // Products of two such numbers must fit.
    let Some(n) = u64::try_from(n).ok().filter(|n| *n > 2) else { return (1, 0) };
    let mut stream = Stream::new(&[seed], "grid");
    let shift = stream.below(n);
    loop {
        let factor = 1 + stream.below(n - 1);
        if gcd(factor, n) == 1 {
            return (u128::from(factor), u128::from(shift));
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Plan {
    fn config(&self, turn: u64) -> Result<Option<Config>, SpaceError> {
        let turn = u128::from(turn);
        let place = match self.count {
            Count::Exact(n) if turn >= n => return Ok(None),
            Count::Exact(n) => (turn * self.spread.0 + self.spread.1) % n,
            Count::AtMost(_) | Count::Beyond => turn,
        };
        if let Some(config) = usize::try_from(place).ok().and_then(|place| self.listed.get(place)) {
            return Ok(Some(config.clone()));
        }
        if !is_product(&self.outline) {
            let Ok(place) = usize::try_from(place) else { return Ok(None) };
            return Ok(self.outline.configs()?.nth(place));
        }
        let mut left = place;
        let mut answers = Vec::with_capacity(self.outline.entries().len());
        for entry in self.outline.entries().iter().rev() {
            let count = entry.domain.count().unwrap_or(1);
            answers.extend(entry.domain.nth(left % count).map(|value| (entry.name.clone(), value)));
            left /= count;
        }
        answers.reverse();
        Ok(Some(Config::new(answers)))
    }
}

impl Sampler for Grid {
    fn observe(&mut self, new: &[Event], _: &History) {
        self.turn.observe(new);
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let turn = self.turn.of(ask.number);
        let plan = self.plan(ask)?;
        Ok(match plan.config(turn)? {
            Some(config) => Next::Try(Proposal::new(config, &ask.stream)),
            None => {
                let all = match plan.count {
                    Count::Exact(all) => Some(all),
                    Count::AtMost(_) | Count::Beyond => None,
                };
                // Of a continuum there are more configurations than the grid has.
                let is_cut = plan.outline.fingerprint() != plan.fingerprint;
                match all.filter(|_| is_cut) {
                    Some(all) => Next::Done(format!("all {all} points of the grid were asked")),
                    None => Next::used_up(all),
                }
            }
        })
    }
}
