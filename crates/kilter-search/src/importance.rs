//! Which hyperparameters mattered in a search: PED-ANOVA (Watanabe, Bansal and Hutter, *PED-ANOVA: Efficiently Quantifying
//! Hyperparameter Importance in Arbitrary Subspaces*, IJCAI 2023).
//!
//! A hyperparameter matters as far as its values among the better trials are distributed otherwise than among all: the
//! Pearson divergence of two densities, estimated on a grid. What the paper leaves open is as in Optuna 5, whose numbers the
//! golden test holds: grid, widths of kernels, prior, and conditional hyperparameters, which count by the share of the trials
//! in which they were asked. It needs no model of the objective.
//!
//! Cost for n trials and d coordinates: O(n d log n), and 50 grid points for each distinct one of them.

use std::collections::BTreeMap;

use kilter_numerics::normal::mass;
use kilter_space::Encoding;
use kilter_study::{Goal, History, Row, State, StudySpec};
use serde::{Deserialize, Serialize};

use crate::tpe::Dimension;

/// Grid points of a continuous hyperparameter (Optuna's).
const GRID: usize = 50;

/// Of Scott's rule for a normal density, as Optuna rounds it.
const SCOTT: f64 = 1.059;

/// A normal's interquartile range in standard deviations.
const NORMAL_IQR: f64 = 1.34;

/// The least width of a kernel on the grid: so that it leaves its own cell with a chance of a tenth (Optuna's).
const LEAST_WIDTH: f64 = 0.5 / 1.64;

/// Keeps a quotient of densities finite (Optuna's).
const TINY: f64 = 1e-12;

/// Settings of PED-ANOVA; the defaults are Optuna's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PedAnovaConfig {
    /// Share of the trials that are the better ones, above 0. Default 0.1.
    pub target_quantile: f64,
    /// Share of the trials that they are compared with, above `target_quantile`, at most 1. Default 1.
    pub region_quantile: f64,
    /// Compare with the density of those trials; otherwise with an even one. Default true.
    pub evaluate_on_local: bool,
}

impl Default for PedAnovaConfig {
    fn default() -> Self {
        Self { target_quantile: 0.1, region_quantile: 1.0, evaluate_on_local: true }
    }
}

impl PedAnovaConfig {
    /// The same, if it can be.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn checked(self) -> Result<Self, String> {
        let Self { target_quantile: target, region_quantile: region, .. } = self;
        match 0.0 < target && target < region && region <= 1.0 {
            true => Ok(self),
            false => Err(format!(
                "target_quantile={target} and region_quantile={region}: the first must lie above 0 and below the second, and \
                 that not above 1"
            )),
        }
    }
}

/// One coordinate of the space with its values.
#[derive(Clone, Debug)]
pub struct Coordinate {
    /// Its domain.
    pub dimension: Dimension,
    /// A value per trial; of a categorical one the choice's index; NaN where it was not asked.
    pub values: Vec<f64>,
}

/// The importance of each coordinate, not below 0 and not normalised: `losses` has one per trial, lower is better.
///
/// A coordinate that fewer than two of the trials looked at have, or none of the better ones, has importance 0; so have all
/// if there are no trials.
pub fn ped_anova(coordinates: &[Coordinate], losses: &[f64], config: &PedAnovaConfig) -> Vec<f64> {
    let mut ordered = losses.to_vec();
    ordered.sort_unstable_by(f64::total_cmp);
    // The better trials and all those that are as good as the last of them.
    let bar = |share: f64| {
        let count = ((share * losses.len() as f64).ceil() as usize).clamp(1, losses.len().max(1));
        if share >= 1.0 { f64::INFINITY } else { ordered.get(count - 1).copied().unwrap_or(f64::INFINITY) }
    };
    let (target_bar, region_bar) = (bar(config.target_quantile), bar(config.region_quantile));
    let target: Vec<usize> = (0..losses.len()).filter(|&i| losses[i] <= target_bar.min(region_bar)).collect();
    let region: Vec<usize> = (0..losses.len()).filter(|&i| losses[i] <= region_bar).collect();
    coordinates.iter().map(|coordinate| of_one(coordinate, &target, &region, config.evaluate_on_local)).collect()
}

fn of_one(coordinate: &Coordinate, target: &[usize], region: &[usize], on_local: bool) -> f64 {
    let scale = Scale::new(coordinate.dimension);
    let places = |trials: &[usize]| -> Vec<usize> {
        let values = trials.iter().map(|&i| coordinate.values[i]).filter(|value| !value.is_nan());
        values.map(|value| scale.place(value)).collect()
    };
    let (better, all) = (places(target), places(region));
    if better.is_empty() || all.len() < 2 {
        return 0.0;
    }
    let density = |places: &[usize]| -> Vec<f64> { scale.density(places).into_iter().map(|p| p + TINY).collect() };
    let top = density(&better);
    let local = if on_local { density(&all) } else { vec![1.0 / scale.places() as f64; scale.places()] };
    let divergence: f64 = top.iter().zip(&local).map(|(top, local)| local * (top / local - 1.0).powi(2)).sum();
    let share = target.len() as f64 / region.len() as f64;
    let asked_of_better = better.len() as f64 / target.len() as f64;
    let asked_of_all = all.len() as f64 / region.len() as f64;
    share * share * asked_of_better * asked_of_better / asked_of_all * divergence
}

/// The grid that a coordinate is looked at on.
enum Scale {
    Grid { low: f64, spacing: f64, places: usize, log: bool },
    Choices(usize),
}

impl Scale {
    fn new(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Categorical { choices } => Self::Choices(choices),
            Dimension::Numeric { low, high, log, step } => {
                let places = match step {
                    None => GRID,
                    // On whole numbers, twice the next is one place more.
                    Some(step) if log => (((high - low) / step + 1.0).log2().ceil() as usize + 1).min(GRID),
                    Some(step) => (((high - low) / step).round() as usize + 1).min(GRID),
                };
                let inward = |x: f64| if log { x.ln() } else { x };
                let width = inward(high) - inward(low);
                let places = if width > 0.0 { places.max(2) } else { 1 };
                let spacing = if places > 1 { width / (places - 1) as f64 } else { 1.0 };
                Self::Grid { low: inward(low), spacing, places, log }
            }
        }
    }

    fn places(&self) -> usize {
        match *self {
            Self::Grid { places, .. } | Self::Choices(places) => places,
        }
    }

    /// The nearest grid point, of two the lower.
    fn place(&self, value: f64) -> usize {
        match *self {
            Self::Choices(choices) => (value as usize).min(choices.saturating_sub(1)),
            Self::Grid { low, spacing, places, log } => {
                let value = if log { value.ln() } else { value };
                (((value - low) / spacing - 0.5).ceil().max(0.0) as usize).min(places - 1)
            }
        }
    }

    /// The probability of each grid point, from observed ones: a kernel per distinct one, and one for the prior.
    fn density(&self, observed: &[usize]) -> Vec<f64> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        observed.iter().for_each(|&place| *counts.entry(place).or_default() += 1.0);
        let total = observed.len() as f64;
        let prior = self.prior();
        let mut density: Vec<f64> = prior.into_iter().map(|p| p / (total + 1.0)).collect();
        let kernels = counts.len() as f64;
        let width = width(&counts, total);
        for (&place, &count) in &counts {
            let kernel: Vec<f64> = match self {
                Self::Grid { places, .. } => normal(*places, place as f64, width),
                Self::Choices(choices) => {
                    let even = 1.0 / (kernels + 1.0);
                    let whole = 1.0 + *choices as f64 * even;
                    (0..*choices).map(|choice| (even + f64::from(u8::from(choice == place))) / whole).collect()
                }
            };
            density.iter_mut().zip(kernel).for_each(|(sum, p)| *sum += count * p / (total + 1.0));
        }
        density
    }

    fn prior(&self) -> Vec<f64> {
        match *self {
            Self::Grid { places, .. } => normal(places, (places - 1) as f64 / 2.0, places as f64),
            Self::Choices(choices) => vec![1.0 / choices as f64; choices],
        }
    }
}

/// The probabilities of 0, 1, … under a normal cut off half a step beyond both ends.
fn normal(places: usize, mean: f64, sigma: f64) -> Vec<f64> {
    let at = |x: f64| (x - mean) / sigma;
    let whole = mass(at(-0.5), at(places as f64 - 0.5));
    (0..places).map(|place| mass(at(place as f64 - 0.5), at(place as f64 + 0.5)) / whole).collect()
}

/// The kernels' width by Scott's rule, in steps of the grid: from the standard deviation or the interquartile range,
/// whichever is less.
fn width(counts: &BTreeMap<usize, f64>, total: f64) -> f64 {
    let mean = counts.iter().map(|(&place, count)| place as f64 * count).sum::<f64>() / total;
    let squares: f64 = counts.iter().map(|(&place, count)| count * (place as f64 - mean).powi(2)).sum();
    let deviation = (squares / (total - 1.0).max(1.0)).sqrt();
    let mut reached = 0.0;
    let cumulated: Vec<(f64, f64)> = counts
        .iter()
        .map(|(&place, count)| {
            reached += count;
            (place as f64, reached)
        })
        .collect();
    let (quarter, three) = ((total / 4.0).floor(), (3.0 * total / 4.0).floor());
    let last = cumulated.last().map_or(0.0, |(place, _)| *place);
    let lower = cumulated.iter().find(|(_, reached)| *reached >= quarter).map_or(last, |(place, _)| *place);
    let upper = cumulated.iter().find(|(_, reached)| *reached > three).map_or(last, |(place, _)| *place);
    let spread = ((upper - lower) / NORMAL_IQR).min(deviation);
    (SCOTT * spread * total.powf(-0.2)).max(LEAST_WIDTH)
}

/// How much each hyperparameter of a study mattered to `goal`, by name, in the order of the space; they add up to 1, or are
/// all 0 where nothing can be said. Complete trials with a value count.
///
/// Of a hyperparameter with several coordinates (a share of a simplex, an order) they are added up.
pub fn importances(spec: &StudySpec, history: &History, goal: &Goal, config: &PedAnovaConfig) -> Vec<(String, f64)> {
    let complete = history.rows().filter(|row| row.state == State::Complete);
    let rows: Vec<(&Row, f64)> = complete.filter_map(|row| Some((row, row.value(&goal.metric)?))).collect();
    let losses: Vec<f64> = rows.iter().map(|(_, value)| goal.better.as_loss(*value)).collect();
    let codes: Vec<Vec<f64>> = rows.iter().map(|(row, _)| spec.outline.encode(row.config())).collect();
    let encoding = Encoding::new(&spec.outline);
    let column = |at: usize| codes.iter().map(|code| code[at]).collect();
    let coordinate =
        |(at, &coordinate): (usize, &_)| Coordinate { dimension: Dimension::from(coordinate), values: column(at) };
    let coordinates: Vec<Coordinate> = encoding.coordinates().iter().enumerate().map(coordinate).collect();
    let raw = ped_anova(&coordinates, &losses, config);
    let whole: f64 = raw.iter().sum();
    let mut found: Vec<(String, f64)> = Vec::new();
    for (at, entry) in spec.outline.entries().iter().enumerate() {
        let own: f64 = raw[encoding.span(at)].iter().sum();
        let share = if whole > 0.0 { own / whole } else { 0.0 };
        match found.iter_mut().find(|(name, _)| name == entry.name.as_str()) {
            Some((_, sum)) => *sum += share,
            None => found.push((entry.name.to_string(), share)),
        }
    }
    found
}
