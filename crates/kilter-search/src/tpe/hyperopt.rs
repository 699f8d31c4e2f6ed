//! The Parzen estimator of the Hyperopt flavour, for one parameter: a mixture whose prior takes part in the order of
//! the observations, truncated to the domain as a whole.
//!
//! Bergstra, Yamins and Cox, *Making a Science of Model Search: Hyperparameter Optimization in Hundreds of Dimensions
//! for Vision Architectures* (2013), and the "adaptive Parzen" rule of their Hyperopt, which the 2011 paper on the
//! method leaves open. One change: a parameter with a step is estimated on its domain widened by half a step, so that
//! the values at the two ends have whole cells like all others (Hyperopt halves them).
//!
//! Differences from [`parzen`](super::parzen): the prior is a neighbour of the observations; each end has one gap; one
//! observation alone has half the domain's width as σ; components are not truncated one by one but the mixture is
//! divided by its mass inside the domain.
//!
//! Cost: O(n) to fit n observations whose sorted order is given, O(n) exponentials per candidate.

use super::dimension::{Dimension, Interval};
use super::log_sum_exp::LogSumExp;
use super::parzen::{Column, Lottery, sorted_order};
use kilter_numerics::Stream;
use kilter_numerics::normal::{LN_SQRT_2PI, Tails, mass, truncated_quantile};
use std::f64::consts::FRAC_1_SQRT_2;

/// A component this many σ from a cell has less than 2·10⁻³³ there, nothing beside the prior, and isn't looked at.
const FAR: f64 = 12.0;

/// A fitted estimator of one parameter.
#[derive(Clone, Debug)]
pub struct AdaptiveParzen {
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Mixture {
        interval: Interval,
        components: Vec<Component>,
        prior: usize,
        /// Per component, weight times mass inside the domain.
        shares: Vec<f64>,
        /// The sum of the shares.
        inside: f64,
    },
    Categorical(Vec<f64>),
    Point(f64),
}

/// A normal component of the mixture, before truncation; in log space for a `log` parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sigma: f64,
    /// Weight; all weights add up to 1.
    pub weight: f64,
}

impl AdaptiveParzen {
    /// Fits the estimator to observations in trial order; `weights[i]` is the i-th one's weight against the prior's
    /// (see [`default_weights`](super::split::default_weights)), `prior_weight` is above 0 (the usual is 1).
    pub fn fit(dimension: Dimension, column: &Column<'_>, weights: &[f64], prior_weight: f64) -> Self {
        debug_assert!(prior_weight > 0.0 && column.values.len() == weights.len());
        let shape = match dimension {
            Dimension::Categorical { choices } => categorical(choices, column.values, weights, prior_weight),
            Dimension::Numeric { low, high, log, step } => {
                let interval = Interval::new(low, high, log, step);
                if interval.is_point() { Shape::Point(low) } else { numeric(interval, column, weights, prior_weight) }
            }
        };
        Self { shape }
    }

    /// The components of a numeric parameter in order of their means, the prior's among them; none for a categorical
    /// parameter or a domain of one value.
    pub fn components(&self) -> &[Component] {
        match &self.shape {
            Shape::Mixture { components, .. } => components,
            Shape::Categorical(_) | Shape::Point(_) => &[],
        }
    }

    /// Which of the [`components`](Self::components) is the prior.
    pub fn prior_position(&self) -> Option<usize> {
        match &self.shape {
            Shape::Mixture { prior, .. } => Some(*prior),
            Shape::Categorical(_) | Shape::Point(_) => None,
        }
    }

    /// The choices' probabilities; none for a numeric parameter.
    pub fn probabilities(&self) -> &[f64] {
        match &self.shape {
            Shape::Categorical(probabilities) => probabilities,
            Shape::Mixture { .. } | Shape::Point(_) => &[],
        }
    }

    /// Draws values from the estimate.
    pub fn sample(&self, count: usize, stream: &mut Stream) -> Vec<f64> {
        match &self.shape {
            Shape::Mixture { interval, components, shares, .. } => {
                // The mixture truncated as a whole: a component is as likely as its mass inside the domain.
                let lottery = Lottery::new(shares.iter().copied());
                let draw = |_| {
                    let Component { mean, sigma, .. } = components[lottery.draw(stream)];
                    let (low, high) = ((interval.low - mean) / sigma, (interval.high - mean) / sigma);
                    interval.value(mean + sigma * truncated_quantile(stream.uniform(), low, high))
                };
                (0..count).map(draw).collect()
            }
            Shape::Categorical(probabilities) => (0..count).map(|_| stream.weighted(probabilities) as f64).collect(),
            &Shape::Point(only) => vec![only; count],
        }
    }

    /// The log density (probability where there is a step or choices) of each value; minus infinity outside the domain.
    pub fn log_density(&self, values: &[f64]) -> Vec<f64> {
        match &self.shape {
            Shape::Mixture { interval, components, inside, .. } => {
                let common = LN_SQRT_2PI + inside.ln();
                // 1/(σ √2) and ln weight/σ once per component, not per value, and in columns for vector instructions.
                let mean: Vec<f64> = components.iter().map(|c| c.mean).collect();
                let scale: Vec<f64> = components.iter().map(|c| FRAC_1_SQRT_2 / c.sigma).collect();
                let constant: Vec<f64> = components.iter().map(|c| (c.weight / c.sigma).ln() - common).collect();
                let mut terms = vec![0.0; components.len()];
                let density = |&value: &f64| {
                    if !interval.contains(value) {
                        return f64::NEG_INFINITY;
                    }
                    if interval.has_step() {
                        let (low, high) = interval.cell(value);
                        let near = components.iter().filter(|c| (low - c.mean).max(c.mean - high) < FAR * c.sigma);
                        // No underflow: the prior is as wide as the domain.
                        let cell: f64 = near.map(|c| c.weight * c.mass_between(low, high)).sum();
                        return (cell / inside).ln();
                    }
                    let at = interval.position(value);
                    for (((term, constant), mean), scale) in terms.iter_mut().zip(&constant).zip(&mean).zip(&scale) {
                        let z = (at - mean) * scale;
                        *term = constant - z * z;
                    }
                    let mut sum = LogSumExp::EMPTY;
                    sum.add(&terms);
                    sum.value()
                };
                values.iter().map(density).collect()
            }
            Shape::Categorical(probabilities) => {
                let probability = |&value: &f64| {
                    let whole = value >= 0.0 && value.fract() == 0.0;
                    if whole { probabilities.get(value as usize).copied().unwrap_or(0.0) } else { 0.0 }
                };
                values.iter().map(|value| probability(value).ln()).collect()
            }
            Shape::Point(only) => {
                values.iter().map(|value| if value == only { 0.0 } else { f64::NEG_INFINITY }).collect()
            }
        }
    }
}

impl Component {
    fn mass_between(&self, low: f64, high: f64) -> f64 {
        mass((low - self.mean) / self.sigma, (high - self.mean) / self.sigma)
    }
}

fn numeric(interval: Interval, column: &Column<'_>, weights: &[f64], prior_weight: f64) -> Shape {
    let n = weights.len();
    let (middle, width) = (interval.middle(), interval.width());
    let total = weights.iter().sum::<f64>() + prior_weight;
    let sorted_here;
    let order = match column.order {
        Some(order) => order,
        None => {
            sorted_here = sorted_order(column.values);
            &sorted_here
        }
    };
    let means = interval.positions(order.iter().map(|&i| column.values[i as usize]));
    let weight = order.iter().map(|&i| weights[i as usize] / total);
    let mut components: Vec<Component> =
        means.into_iter().zip(weight).map(|(mean, weight)| Component { mean, sigma: 0.0, weight }).collect();
    let prior = components.partition_point(|c| c.mean < middle);
    components.insert(prior, Component { mean: middle, sigma: width, weight: prior_weight / total });
    let least = width / (n as f64 + 2.0).min(100.0);
    for i in (0..=n).filter(|&i| i != prior) {
        let at = components[i].mean;
        let left = if i > 0 { at - components[i - 1].mean } else { 0.0 };
        let right = components.get(i + 1).map_or(0.0, |next| next.mean - at);
        components[i].sigma = if n == 1 { 0.5 * width } else { left.max(right).max(least).min(width) };
    }
    let mass =
        |c: &Component| Tails::beyond((interval.low - c.mean) / c.sigma, (interval.high - c.mean) / c.sigma).between();
    let shares: Vec<f64> = components.iter().map(|c| c.weight * mass(c)).collect();
    let inside = shares.iter().sum();
    Shape::Mixture { interval, components, prior, shares, inside }
}

fn categorical(choices: usize, values: &[f64], weights: &[f64], prior_weight: f64) -> Shape {
    // Prior weight · K · 1/K on every choice.
    let mut counts = vec![prior_weight; choices];
    for (value, weight) in values.iter().zip(weights) {
        counts[(value.max(0.0) as usize).min(choices - 1)] += weight;
    }
    let total: f64 = counts.iter().sum();
    Shape::Categorical(counts.into_iter().map(|count| count / total).collect())
}
