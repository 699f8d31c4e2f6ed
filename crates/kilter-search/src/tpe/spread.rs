//! Kernels of choices between which somebody knows distances d: what was learnt of a choice tells of those near it, too.
//!
//! The kernel of an observed choice i gives choice c, before normalisation,
//! * with `gaps_of_choices`, exp(-d(i, c)² / 2σ²), as a number's kernel would. σ is the distance to the second nearest other
//!   observation: on a line, where neighbours lie on both sides, about the larger gap. It is bounded as that of numbers, the
//!   farthest choice from i being the width of the domain, the nearest one a step away.
//! * without, exp(-(d(i, c) / the largest d(i, ·))² ln((n + 1) / `prior_weight`) ln K / ln 6), for n observations and K
//!   choices: `categorical_distance_func` of Optuna 4; Optuna 5 has none.
//!
//! Only ratios of distances count, so their unit is the user's. Cost: O(m K) exponentials for m distinct observed choices at
//! every ask, and K² numbers kept.

use kilter_space::Distances;

use super::parzen::{ParzenOptions, own_choice};

/// The kernels of one parameter, one per component.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    distances: Distances,
    options: ParzenOptions,
    /// The observed choice per component; of the prior the number of choices.
    pub(super) own: Vec<u32>,
    /// By choice, and by whose kernel it is, the prior's last: ln of its probability.
    logs: Vec<f64>,
}

impl Spread {
    /// The kernels of these observations, and the prior's; they are to be [settled](Self::settle).
    pub(super) fn new(distances: &Distances, values: &[f64], options: &ParzenOptions) -> Self {
        let choices = distances.values();
        let own = values.iter().map(|&value| own_choice(choices, value) as u32).chain([choices as u32]).collect();
        Self { distances: distances.clone(), options: *options, own, logs: Vec::new() }
    }

    /// How many choices there are.
    pub(super) fn choices(&self) -> usize {
        self.distances.values()
    }

    /// ln of what a choice has in the kernel of each choice, and in the prior's.
    pub(super) fn logs_of(&self, value: f64) -> &[f64] {
        let width = self.choices() + 1;
        &self.logs[own_choice(self.choices(), value) as usize * width..][..width]
    }

    /// What each choice has in a component's kernel.
    pub(super) fn probabilities(&self, component: usize) -> impl Iterator<Item = f64> {
        let own = self.own[component] as usize;
        self.logs.chunks_exact(self.choices() + 1).map(move |row| row[own].exp())
    }

    /// Puts in a component.
    pub(super) fn insert(&mut self, at: usize, value: f64) {
        self.own.insert(at, own_choice(self.choices(), value) as u32);
    }

    /// Brings the kernels up to date with the observations.
    pub(super) fn settle(&mut self) {
        let choices = self.choices();
        let width = choices + 1;
        let mut counts = vec![0_usize; width];
        self.own.iter().for_each(|&own| counts[own as usize] += 1);
        self.logs.clear();
        self.logs.resize(choices * width, -(choices as f64).ln());
        for own in (0..choices).filter(|&own| counts[own] > 0) {
            let distances = self.distances.from(own);
            let sigma = self.sigma(own, &counts[..choices]);
            let log_weight = |distance: f64| -0.5 * (distance / sigma).powi(2);
            let total: f64 = distances.iter().map(|&distance| log_weight(distance).exp()).sum();
            for (choice, &distance) in distances.iter().enumerate() {
                self.logs[choice * width + own] = log_weight(distance) - total.ln();
            }
        }
    }

    /// σ of an observed choice's kernel; above 0, and infinite where all choices are the same to it.
    fn sigma(&self, own: usize, counts: &[usize]) -> f64 {
        let distances = self.distances.from(own);
        let observed = (self.own.len() - 1) as f64;
        let farthest = distances.iter().copied().fold(0.0, f64::max);
        if farthest == 0.0 {
            return f64::INFINITY;
        }
        if !self.options.gaps_of_choices {
            // A prior that outweighs all observations would turn near and far round.
            let narrowing = ((observed + 1.0) / self.options.prior_weight).ln().max(0.0);
            let steepness = narrowing * (self.choices() as f64).ln() / 6.0_f64.ln();
            return farthest / (2.0 * steepness).sqrt();
        }
        // Of the others, the two that are nearest.
        let (mut nearest, mut second) = (f64::INFINITY, f64::INFINITY);
        for (choice, &distance) in distances.iter().enumerate() {
            for _ in 0..(counts[choice] - usize::from(choice == own)).min(2) {
                if distance < nearest {
                    (nearest, second) = (distance, nearest);
                } else {
                    second = second.min(distance);
                }
            }
        }
        let gap = [second, nearest].into_iter().find(|gap| gap.is_finite()).unwrap_or(farthest);
        let step = distances.iter().copied().filter(|&distance| distance > 0.0).fold(farthest, f64::min);
        let least = if self.options.magic_clip { farthest / (observed + 2.0).min(100.0) } else { 1e-12 * farthest };
        gap.max(least).max(self.options.least_steps * step).min(farthest)
    }
}
