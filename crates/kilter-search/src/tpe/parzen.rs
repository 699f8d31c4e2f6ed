//! The Parzen estimator of the Optuna flavour: a mixture with one component per observation and one for the prior,
//! each a product of one kernel per parameter, truncated to the domain by itself.
//!
//! Bergstra, Bardenet, Bengio and Kégl, *Algorithms for Hyper-Parameter Optimization* (2011), section 4; products of
//! kernels after Watanabe, *Tree-Structured Parzen Estimator: Understanding Its Algorithm Components and Their Roles
//! for Better Empirical Performance* (2023), section 3. The estimator of one parameter is the product of one.
//!
//! Kernels, for n observations (in trial order, the prior last):
//! * numeric: a normal around the observation, σ the larger gap to its neighbours in sorted order, truncated to the
//!   domain; the prior sits in the middle with σ = the domain's width. With a step, a value's probability is the
//!   kernel's mass over the value's cell. `log` parameters live in log space, their density is the one of the
//!   logarithm.
//! * categorical with K choices: `prior_weight / (n + 1)` on every choice, 1 more on the observed one, normalised; the
//!   prior is uniform. Choices between which there are distances have kernels of their own, see `spread.rs`.
//!
//! Cost for n observations of d parameters and k candidates: O(n d) to fit where the sorted order is given, O(n d log
//! n) where it isn't; O(k n d) multiplications and at most k n exponentials for the densities. The mass of a cell is
//! remembered on a small grid, else only taken for components that an upper bound of it doesn't already rule out.

use super::bandwidth::{Bandwidth, Form};
use super::density::{Pass, accumulate};
use super::dimension::{Dimension, Interval};
use super::log_sum_exp::LogSumExp;
use super::masses::Masses;
use super::spread::Spread;
use kilter_numerics::Stream;
use kilter_numerics::normal::{LN_SQRT_2PI, Tails};
use kilter_space::Distances;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::Range;

/// How kernels get their width and the prior its weight; the defaults are Optuna's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParzenOptions {
    /// Weight of the prior, above 0; an observation of full age weight has 1. More explores more. Default 1.
    pub prior_weight: f64,
    /// Keep σ above the domain's width / min(100, n + 2), so that repeated observations don't turn into spikes;
    /// without it σ is only kept above 10⁻¹² and the spacing of floats. Default true.
    pub magic_clip: bool,
    /// Let the smallest and the largest of two or more observations count the gap to the end of the domain, too.
    /// Default false.
    pub endpoints: bool,
    /// Keep σ of a parameter with a step, or with distances between its choices, above so many steps. Default 0 (Optuna's).
    pub least_steps: f64,
    /// Make kernels of choices between which there are distances as wide as the gaps between observations, as those of
    /// numbers are; without it they have Optuna 4's width. Default false.
    pub gaps_of_choices: bool,
}

impl Default for ParzenOptions {
    fn default() -> Self {
        Self { prior_weight: 1.0, magic_clip: true, endpoints: false, least_steps: 0.0, gaps_of_choices: false }
    }
}

/// The observations of one parameter, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// One value per trial; of a categorical parameter, the choice's index. Values outside the domain are moved to
    /// its nearest end.
    pub values: &'a [f64],
    /// The trials in ascending order of value, of equal values the older first; sorted here where absent. Not used
    /// for a categorical parameter.
    pub order: Option<&'a [u32]>,
}

/// What somebody knows of a parameter before the first trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Known {
    /// Nothing.
    #[default]
    Nothing,
    /// Of a numeric one, where the best value is expected.
    Expected(Expected),
    /// Of a categorical one, how far its choices lie from each other.
    Distances(Distances),
}

/// Where the best value of a numeric parameter is expected beforehand: the prior's mean and standard deviation, of the
/// logarithm for a `log` parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sigma: f64,
}

/// One component's kernel in one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// A truncated normal, in log space for a `log` parameter.
    Normal {
        /// Mean before truncation.
        mean: f64,
        /// Standard deviation before truncation.
        sigma: f64,
    },
    /// Probabilities of choices.
    Choice {
        /// The observed choice; none for the prior.
        own: Option<usize>,
        /// Probability of the observed choice.
        hit: f64,
        /// Probability of each other choice.
        miss: f64,
    },
    /// Probabilities of choices between which there are distances.
    Choices(Vec<f64>),
    /// A numeric domain of a single value.
    Point,
}

/// A fitted mixture.
#[derive(Clone, Debug, Default)]
pub struct Parzen {
    /// Normalised; the prior last.
    weights: Vec<f64>,
    /// Their logarithms; the prior's less what its kernels of choices have too much.
    log_weights: Vec<f64>,
    /// Per component: what [`constant`](Self::constant) says.
    pub(super) constants: Vec<f64>,
    /// Per component: ln weight, less the logarithms of everything in its kernels that doesn't depend on the value.
    log_constant: Vec<f64>,
    pub(super) axes: Vec<Axis>,
}

/// One parameter's kernels, one per component.
#[derive(Clone, Debug)]
pub(super) enum Axis {
    Continuous {
        interval: Interval,
        mean: Vec<f64>,
        /// 1 / (σ √2)
        scale: Vec<f64>,
        /// The kernel's mass inside the domain, times σ, over the domain's width.
        divisor: Vec<f64>,
        /// What the kernel would have outside the domain: to draw from it.
        tails: Vec<Tails>,
    },
    Discrete {
        interval: Interval,
        mean: Vec<f64>,
        /// 1 / (σ √2)
        scale: Vec<f64>,
        /// The kernel's mass inside the domain.
        divisor: Vec<f64>,
        /// What the kernel would have outside the domain: to draw from it.
        tails: Vec<Tails>,
        /// Per component, the number of its kernel in [`Masses`]; empty where they are not numbered.
        kernel: Vec<u32>,
    },
    Categorical {
        choices: usize,
        /// The observed choice per component; the prior has none, written -1.
        own: Vec<f64>,
        hit: f64,
        miss: f64,
    },
    /// Choices between which there are distances.
    Spread(Spread),
    Point(f64),
}

impl Parzen {
    /// Fits a mixture to observations: `columns[d].values[i]` is parameter d in the i-th trial, `weights[i]` that
    /// trial's weight against the prior's (see [`default_weights`](super::split::default_weights)).
    ///
    /// Every column has as many values as there are weights; there may be none.
    pub fn fit(dimensions: &[Dimension], columns: &[Column<'_>], weights: &[f64], options: &ParzenOptions) -> Self {
        Self::fit_knowing(dimensions, columns, weights, options, &[])
    }

    /// The same, with what somebody knows of some parameters; of others the prior lies in the middle of the domain, as wide
    /// as it is, and all choices are equally far. `known` is as long as the parameters are many, or empty.
    pub fn fit_knowing(
        dimensions: &[Dimension],
        columns: &[Column<'_>],
        weights: &[f64],
        options: &ParzenOptions,
        known: &[Known],
    ) -> Self {
        debug_assert!(options.prior_weight > 0.0 && dimensions.len() == columns.len());
        debug_assert!(columns.iter().all(|column| column.values.len() == weights.len()));
        let axis = |(d, (&dimension, column)): (usize, (&Dimension, &Column<'_>))| match dimension {
            Dimension::Categorical { choices } => match known.get(d) {
                Some(Known::Distances(distances)) => Axis::Spread(Spread::new(distances, column.values, options)),
                _ => categorical(choices, column.values),
            },
            Dimension::Numeric { low, high, log, step } => {
                let interval = Interval::new(low, high, log, step);
                let expected = match known.get(d) {
                    Some(&Known::Expected(expected)) => Some(expected),
                    _ => None,
                };
                if interval.is_point() { Axis::Point(low) } else { numeric(interval, column, options, expected) }
            }
        };
        let axes = dimensions.iter().zip(columns).enumerate().map(axis).collect();
        let mut mixture = Self { axes, ..Self::default() };
        mixture.constants = (0..=weights.len()).map(|component| mixture.constant(component)).collect();
        mixture.weigh(weights, options.prior_weight);
        mixture
    }

    /// The logarithm of what doesn't depend on the value, nor on how many components there are, in one component's kernels.
    pub(super) fn constant(&self, component: usize) -> f64 {
        let mut constant = Constant { logarithm: 0.0, divisor: 1.0 };
        for axis in &self.axes {
            match axis {
                Axis::Continuous { interval, divisor, .. } => {
                    constant.divide(divisor[component]);
                    constant.logarithm -= interval.log_width + LN_SQRT_2PI;
                }
                Axis::Discrete { divisor, .. } => constant.divide(divisor[component]),
                Axis::Categorical { .. } | Axis::Spread(_) | Axis::Point(_) => {}
            }
        }
        constant.logarithm - constant.divisor.ln()
    }

    /// Gives the components their weights: the observations' against the prior's.
    pub(super) fn weigh(&mut self, weights: &[f64], prior_weight: f64) {
        let mut prior_excess = 0.0;
        for axis in &mut self.axes {
            if let Axis::Categorical { choices, hit, miss, .. } = axis {
                let share = prior_weight / (weights.len() as f64 + 1.0);
                let total = 1.0 + *choices as f64 * share;
                (*hit, *miss) = (((1.0 + share) / total).ln(), (share / total).ln());
                // The prior misses every choice, which this turns into 1/K.
                prior_excess += (*choices as f64).ln() + *miss;
            }
        }
        let total = weights.iter().sum::<f64>() + prior_weight;
        self.weights.clear();
        self.weights.extend(weights.iter().chain([&prior_weight]).map(|weight| weight / total));
        self.log_weights.clear();
        self.log_weights.extend(self.weights.iter().map(|weight| weight.ln()));
        self.log_weights[weights.len()] -= prior_excess;
        self.settle();
    }

    /// Brings the components' weights together with their kernels' constants.
    pub(super) fn settle(&mut self) {
        for axis in &mut self.axes {
            if let Axis::Spread(spread) = axis {
                spread.settle();
            }
        }
        self.log_constant.clear();
        let both = self.log_weights.iter().zip(&self.constants);
        self.log_constant.extend(both.map(|(log_weight, constant)| log_weight + constant));
    }

    /// The components' weights, adding up to 1: the observations' in trial order, then the prior's.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// One component's kernel in one parameter. Panics if there is no such component or parameter.
    pub fn kernel(&self, dimension: usize, component: usize) -> Kernel {
        match &self.axes[dimension] {
            Axis::Continuous { mean, scale, .. } | Axis::Discrete { mean, scale, .. } => {
                Kernel::Normal { mean: mean[component], sigma: FRAC_1_SQRT_2 / scale[component] }
            }
            &Axis::Categorical { choices, ref own, hit, miss } => {
                if own[component] < 0.0 {
                    let uniform = 1.0 / choices as f64;
                    Kernel::Choice { own: None, hit: uniform, miss: uniform }
                } else {
                    Kernel::Choice { own: Some(own[component] as usize), hit: hit.exp(), miss: miss.exp() }
                }
            }
            Axis::Spread(spread) => Kernel::Choices(spread.probabilities(component).collect()),
            Axis::Point(_) => Kernel::Point,
        }
    }

    /// Draws candidates, one after the other: `[count, parameters]`, row by row.
    pub fn sample(&self, count: usize, stream: &mut Stream) -> Vec<f64> {
        let lottery = Lottery::new(self.weights.iter().copied());
        let mut candidates = Vec::with_capacity(count * self.axes.len());
        for _ in 0..count {
            let component = lottery.draw(stream);
            candidates.extend(self.axes.iter().map(|axis| axis.sample(component, stream)));
        }
        candidates
    }

    /// Variations of one of these observations each: its values, but one parameter, and each other with chance
    /// 1 / parameters, drawn as [`sample`](Self::sample) would from any component. Panics if there are no such observations.
    pub fn vary(&self, observations: &Range<usize>, count: usize, stream: &mut Stream) -> Vec<f64> {
        let lottery = Lottery::new(self.weights.iter().copied());
        let chance = 1.0 / self.axes.len() as f64;
        let mut candidates = Vec::with_capacity(count * self.axes.len());
        for _ in 0..count {
            let observation = observations.start + stream.index(observations.len());
            let one = stream.index(self.axes.len().max(1));
            candidates.extend(self.axes.iter().enumerate().map(|(d, axis)| {
                let changes = d == one || stream.uniform() < chance;
                if changes { axis.sample(lottery.draw(stream), stream) } else { axis.observed(observation) }
            }));
        }
        candidates
    }

    /// The log density of each candidate (`[count, parameters]`, row by row, as [`sample`](Self::sample) gives them):
    /// density in continuous parameters, probability in the others. Minus infinity outside the domain.
    pub fn log_density(&self, candidates: &[f64]) -> Vec<f64> {
        let inside = |row: &[f64]| self.axes.iter().zip(row).all(|(axis, &value)| axis.contains(value));
        let densities = self.log_density_beside(candidates, None, &mut []);
        let rows = candidates.chunks_exact(self.axes.len().max(1));
        rows.zip(densities).map(|(row, density)| if inside(row) { density } else { f64::NEG_INFINITY }).collect()
    }

    /// The same of candidates in the domain, but with `better`, their log densities in another mixture, only a lower bound of
    /// it for those candidates of which it shows that another has a greater ratio of the other density to this one. `masses`
    /// remembers those of the parameters' kernels, if they are [numbered](Self::number_kernels).
    pub(super) fn log_density_beside(
        &self,
        candidates: &[f64],
        better: Option<&[f64]>,
        masses: &mut [Option<Masses>],
    ) -> Vec<f64> {
        let width = self.axes.len();
        if width == 0 {
            return Vec::new();
        }
        let mut sums = vec![LogSumExp::EMPTY; candidates.len() / width];
        let mut masses = masses.iter_mut();
        let mut passes: Vec<Pass<'_>> = Vec::with_capacity(width);
        for (d, axis) in self.axes.iter().enumerate() {
            let values = candidates.chunks_exact(width).map(|row| row[d]);
            passes.extend(Pass::new(axis, values, masses.next().and_then(Option::as_mut)));
        }
        accumulate(&passes, &self.log_constant, better, &mut sums);
        sums.iter().map(LogSumExp::value).collect()
    }

    /// Frees what only draws need.
    pub(super) fn forget_tails(&mut self) {
        for axis in &mut self.axes {
            if let Axis::Continuous { tails, .. } | Axis::Discrete { tails, .. } = axis {
                *tails = Vec::new();
            }
        }
    }

    /// Numbers the kernels of those parameters that have masses.
    pub(super) fn number_kernels(&mut self, masses: &mut [Option<Masses>]) {
        for (axis, masses) in self.axes.iter_mut().zip(masses) {
            if let (Axis::Discrete { mean, scale, kernel, .. }, Some(masses)) = (axis, masses) {
                kernel.clear();
                kernel.extend(mean.iter().zip(&*scale).map(|(&mean, &scale)| masses.number(mean, scale)));
            }
        }
    }
}

/// Draws components in proportion to their weights, O(log n) each.
pub(super) struct Lottery(Vec<f64>);

impl Lottery {
    /// `weights` are not negative and not all zero.
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let sum = |reached: &mut f64, weight| {
            *reached += weight;
            Some(*reached)
        };
        Self(weights.scan(0.0, sum).collect())
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> usize {
        let last = self.0.len() - 1;
        let drawn = stream.uniform() * self.0[last];
        self.0.partition_point(|&end| end <= drawn).min(last)
    }
}

/// The trials in ascending order of value, of equal values the older first.
pub fn sorted_order(values: &[f64]) -> Vec<u32> {
    let mut keyed: Vec<(u64, u32)> = values.iter().map(|&value| sort_key(value)).zip(0..).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, i)| i).collect()
}

/// An integer whose order is that of the numbers, since integers sort faster.
pub(super) fn sort_key(value: f64) -> u64 {
    // Adding 0 makes -0 and 0 one value. Flipping the sign bit, and all others below zero, makes the order of the bits
    // that of the numbers.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// A logarithm, less that of a divisor that is still to be taken: one for all parameters.
struct Constant {
    logarithm: f64,
    divisor: f64,
}

impl Constant {
    /// Divides by a factor between 10⁻¹⁷ and 1.
    fn divide(&mut self, factor: f64) {
        self.divisor *= factor;
        if self.divisor < 1e-200 {
            self.logarithm -= self.divisor.ln();
            self.divisor = 1.0;
        }
    }
}

fn numeric(interval: Interval, column: &Column<'_>, options: &ParzenOptions, expected: Option<Expected>) -> Axis {
    let mut mean = interval.positions(column.values.iter().copied());
    let observed = mean.len();
    let prior = expected.unwrap_or(Expected { mean: interval.middle(), sigma: interval.width() });
    mean.push(prior.mean.max(interval.low).min(interval.high));
    // So narrow a prior would leave nothing to be found elsewhere.
    let prior_sigma = prior.sigma.max(1e-3 * interval.width()).min(interval.width());
    let sorted_here;
    let order = match column.order {
        Some(order) => order,
        None => {
            sorted_here = sorted_order(&mean[..observed]);
            &sorted_here
        }
    };
    let bandwidth = Bandwidth::new(&interval, observed, options);
    let count = mean.len();
    let (mut scale, mut divisor, mut tails) = (vec![0.0; count], vec![0.0; count], vec![Tails::default(); count]);
    let mut newest: Option<(f64, f64, Form)> = None;
    let mut set = |i: usize, sigma: f64| {
        // Repeated values are neighbours in sorted order, and all but the first and the last of them have one σ.
        let form = match newest {
            Some((at, of, form)) if (at, of) == (mean[i], sigma) => form,
            _ => Form::new(&interval, mean[i], sigma),
        };
        newest = Some((mean[i], sigma, form));
        (scale[i], divisor[i], tails[i]) = (form.scale, form.divisor, form.tails);
    };
    let mean_of = |rank: usize| order.get(rank).map(|&i| mean[i as usize]);
    for (rank, &i) in order.iter().enumerate() {
        let left = rank.checked_sub(1).and_then(mean_of);
        set(i as usize, bandwidth.sigma(left, mean[i as usize], mean_of(rank + 1)));
    }
    set(observed, prior_sigma);
    if interval.has_step() {
        Axis::Discrete { interval, mean, scale, divisor, tails, kernel: Vec::new() }
    } else {
        Axis::Continuous { interval, mean, scale, divisor, tails }
    }
}

fn categorical(choices: usize, values: &[f64]) -> Axis {
    let own = values.iter().map(|&value| own_choice(choices, value)).chain([-1.0]).collect();
    // The probabilities depend on how many components there are and come with their weights.
    Axis::Categorical { choices, own, hit: f64::NAN, miss: f64::NAN }
}

/// The choice that was observed, moved into the domain.
pub(super) fn own_choice(choices: usize, value: f64) -> f64 {
    value.max(0.0).min(choices as f64 - 1.0)
}

impl Axis {
    fn contains(&self, value: f64) -> bool {
        match self {
            Self::Continuous { interval, .. } | Self::Discrete { interval, .. } => interval.contains(value),
            &Self::Categorical { choices, .. } => is_choice(value, choices),
            Self::Spread(spread) => is_choice(value, spread.choices()),
            &Self::Point(only) => value == only,
        }
    }

    /// The value that an observation had.
    fn observed(&self, observation: usize) -> f64 {
        match self {
            Self::Continuous { interval, mean, .. } | Self::Discrete { interval, mean, .. } => {
                interval.value(mean[observation])
            }
            Self::Categorical { own, .. } => own[observation],
            Self::Spread(spread) => spread.own[observation].into(),
            &Self::Point(only) => only,
        }
    }

    fn sample(&self, component: usize, stream: &mut Stream) -> f64 {
        match self {
            Self::Continuous { interval, mean, scale, tails, .. }
            | Self::Discrete { interval, mean, scale, tails, .. } => {
                let sigma = FRAC_1_SQRT_2 / scale[component];
                interval.value(mean[component] + sigma * tails[component].quantile(stream.uniform()))
            }
            &Self::Categorical { choices, ref own, hit, miss } => {
                // Two draws in either case, so that every candidate uses as much of the stream.
                let (kind, any) = (stream.uniform(), stream.index(choices) as f64);
                // What the observed choice has more than any other.
                let extra = hit.exp() - miss.exp();
                if own[component] >= 0.0 && kind < extra { own[component] } else { any }
            }
            Self::Spread(spread) => {
                let mut left = stream.uniform();
                let drawn = spread.probabilities(component).position(|probability| {
                    left -= probability;
                    left < 0.0
                });
                // Rounding may leave a little of 1 after the last.
                drawn.unwrap_or(spread.choices() - 1) as f64
            }
            &Self::Point(only) => only,
        }
    }
}

fn is_choice(value: f64, choices: usize) -> bool {
    value >= 0.0 && value < choices as f64 && value.fract() == 0.0
}
