//! The densities of a group of parameters, kept from ask to ask: the better trials are mostly the same, and of the worse few
//! come or go in between, so only their kernels and those of their neighbours are made anew. Both densities are what
//! [`Parzen::fit_knowing`] gives.
//!
//! Cost for n worse trials of d parameters of which m come or go: O(m d log n), moving O(m n d) numbers up or down, and n
//! logarithms. Where most come or go, and of so few trials that each changes the kernels of all, what a fit costs.

use super::Dimension;
use super::bandwidth::{Bandwidth, Form};
use super::draft::{has_all, values_of};
use super::masses::Masses;
use super::parzen::{Axis, Column, Known, Parzen, ParzenOptions, own_choice, sort_key, sorted_order};
use super::split::default_weights;

/// What a density is estimated with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model<'a> {
    pub(super) dimensions: &'a [Dimension],
    pub(super) known: &'a [Known],
    pub(super) options: ParzenOptions,
}

/// The better trials and how much each weighs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Better<'a> {
    pub(super) numbers: &'a [u64],
    pub(super) weights: &'a [f64],
}

/// The densities of the better and the worse trials.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    dimensions: Vec<Dimension>,
    known: Vec<Known>,
    options: ParzenOptions,
    /// Whose the components of the better trials' density are.
    better_numbers: Vec<u64>,
    /// How much they weigh before all weights add up to 1.
    better_weights: Vec<f64>,
    better: Parzen,
    /// Whose the components of the worse trials' density are, ascending; the prior's comes after them.
    numbers: Vec<u64>,
    /// Of the worse trials, by coordinate, in ascending order: the value as a key, and the trial's number.
    sorted: Vec<Vec<(u64, u64)>>,
    worse: Parzen,
    masses: Vec<Option<Masses>>,
}

impl Kept {
    /// The better trials' density.
    pub(super) fn better(&self) -> &Parzen {
        &self.better
    }

    /// Brings the densities up to date. `worse` are the worse trials, ascending; those count that have a value in each of
    /// the `columns`, which hold the trials' values by number. A value that is there never changes.
    pub(super) fn update(&mut self, model: Model<'_>, better: Better<'_>, worse: &[u64], columns: &[&[f64]]) {
        let Model { dimensions, known, options } = model;
        if self.dimensions != dimensions || self.known != known || self.options != options {
            let masses = dimensions.iter().map(|&dimension| Masses::new(dimension)).collect();
            let (dimensions, known) = (dimensions.to_vec(), known.to_vec());
            *self = Self { dimensions, known, options, masses, ..Self::default() };
        }
        self.update_better(better, columns);
        self.update_worse(worse, columns);
        self.forget_if_full();
    }

    /// The log density of each candidate among the better trials and among the worse, of these only as far as tells whose
    /// ratio of the two is the greatest (see [`Parzen::log_density_beside`]).
    pub(super) fn log_densities(&mut self, candidates: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let below = self.better.log_density_beside(candidates, None, &mut self.masses);
        let above = self.worse.log_density_beside(candidates, Some(&below), &mut self.masses);
        (below, above)
    }

    fn update_better(&mut self, Better { numbers, weights }: Better<'_>, columns: &[&[f64]]) {
        let is_fitted = !self.better.weights().is_empty();
        if is_fitted && self.better_numbers == numbers && self.better_weights == weights {
            return;
        }
        let values: Vec<Vec<f64>> = columns.iter().map(|column| values_of(column, numbers)).collect();
        let columns: Vec<Column<'_>> = values.iter().map(|values| Column { values, order: None }).collect();
        self.better = Parzen::fit_knowing(&self.dimensions, &columns, weights, &self.options, &self.known);
        self.better.number_kernels(&mut self.masses);
        (self.better_numbers, self.better_weights) = (numbers.to_vec(), weights.to_vec());
    }

    fn update_worse(&mut self, trials: &[u64], columns: &[&[f64]]) {
        let (gone, new) = self.changes(trials, columns);
        let before = self.numbers.len();
        let after = before + new.len() - gone.len();
        if before.min(after) < Bandwidth::SETTLED || gone.len() + new.len() > after / 4 {
            self.numbers.retain(|number| gone.binary_search(number).is_err());
            self.numbers.extend(new);
            self.numbers.sort_unstable();
            self.fit_worse(columns);
        } else {
            self.adapt_worse(&gone, &new, columns);
            if before == after {
                self.worse.settle();
            } else {
                self.worse.weigh(&default_weights(after), self.options.prior_weight);
            }
        }
    }

    fn forget_if_full(&mut self) {
        if self.masses.iter().flatten().any(Masses::is_full) {
            self.masses = self.dimensions.iter().map(|&dimension| Masses::new(dimension)).collect();
            self.better.number_kernels(&mut self.masses);
            self.worse.number_kernels(&mut self.masses);
        }
    }

    /// The trials that are no longer among those that count, and those that are new there.
    fn changes(&self, trials: &[u64], columns: &[&[f64]]) -> (Vec<u64>, Vec<u64>) {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let mut kept = self.numbers.iter().copied().peekable();
        for &number in trials {
            gone.extend(std::iter::from_fn(|| kept.next_if(|&kept| kept < number)));
            if kept.next_if_eq(&number).is_none() && has_all(columns, number) {
                new.push(number);
            }
        }
        gone.extend(kept);
        (gone, new)
    }

    /// Makes the worse trials' density anew.
    fn fit_worse(&mut self, columns: &[&[f64]]) {
        let values: Vec<Vec<f64>> = columns.iter().map(|column| values_of(column, &self.numbers)).collect();
        let orders: Vec<Vec<u32>> = values.iter().map(|values| sorted_order(values)).collect();
        let columns = values.iter().zip(&orders).map(|(values, order)| Column { values, order: Some(order) });
        let columns: Vec<Column<'_>> = columns.collect();
        let weights = default_weights(self.numbers.len());
        self.worse = Parzen::fit_knowing(&self.dimensions, &columns, &weights, &self.options, &self.known);
        self.worse.forget_tails();
        let keyed = |(values, order): (&Vec<f64>, &Vec<u32>)| {
            order.iter().map(|&i| (sort_key(values[i as usize]), self.numbers[i as usize])).collect()
        };
        self.sorted = values.iter().zip(&orders).map(keyed).collect();
        self.worse.number_kernels(&mut self.masses);
    }

    /// Takes out the components of trials that are `gone` and puts in those of `new` ones.
    fn adapt_worse(&mut self, gone: &[u64], new: &[u64], columns: &[&[f64]]) {
        // By coordinate, the trials that have other neighbours now.
        let mut moved: Vec<Vec<u64>> = vec![Vec::new(); columns.len()];
        for &number in gone {
            let Ok(at) = self.numbers.binary_search(&number) else { continue };
            self.numbers.remove(at);
            self.worse.constants.remove(at);
            for (d, column) in columns.iter().enumerate() {
                self.worse.axes[d].remove(at);
                let sorted = &mut self.sorted[d];
                if let Ok(rank) = sorted.binary_search(&(sort_key(column[number as usize]), number)) {
                    sorted.remove(rank);
                    moved[d].extend(sorted[rank.saturating_sub(1)..].iter().take(2).map(|&(_, number)| number));
                }
            }
        }
        for &number in new {
            let at = self.numbers.partition_point(|&other| other < number);
            self.numbers.insert(at, number);
            self.worse.constants.insert(at, 0.0);
            for (d, column) in columns.iter().enumerate() {
                self.worse.axes[d].insert(at, column[number as usize]);
                let sorted = &mut self.sorted[d];
                let keyed = (sort_key(column[number as usize]), number);
                let rank = sorted.partition_point(|other| *other < keyed);
                sorted.insert(rank, keyed);
                moved[d].extend(sorted[rank.saturating_sub(1)..].iter().take(3).map(|&(_, number)| number));
            }
        }
        let mut changed = new.to_vec();
        for (d, moved) in moved.iter_mut().enumerate() {
            moved.sort_unstable();
            moved.dedup();
            moved.iter().for_each(|&number| self.widen(d, number, columns[d]));
            changed.append(moved);
        }
        changed.sort_unstable();
        changed.dedup();
        for at in changed.iter().filter_map(|number| self.numbers.binary_search(number).ok()) {
            self.worse.constants[at] = self.worse.constant(at);
        }
    }

    /// Makes one trial's kernel as wide as its neighbours ask for.
    fn widen(&mut self, d: usize, number: u64, column: &[f64]) {
        let place = |number: u64| self.numbers.binary_search(&number).ok();
        let sorted = &self.sorted[d];
        let (Some(at), Ok(rank)) = (place(number), sorted.binary_search(&(sort_key(column[number as usize]), number)))
        else {
            return;
        };
        let (Axis::Continuous { interval, mean, scale, divisor, .. }
        | Axis::Discrete { interval, mean, scale, divisor, .. }) = &mut self.worse.axes[d]
        else {
            return;
        };
        let mean_of = |&(_, number): &(u64, u64)| place(number).map(|at| mean[at]);
        let left = rank.checked_sub(1).and_then(|rank| mean_of(&sorted[rank]));
        let right = sorted.get(rank + 1).and_then(mean_of);
        let sigma = Bandwidth::new(interval, self.numbers.len(), &self.options).sigma(left, mean[at], right);
        let form = Form::new(interval, mean[at], sigma);
        (scale[at], divisor[at]) = (form.scale, form.divisor);
        if let (Axis::Discrete { mean, scale, kernel, .. }, Some(masses)) =
            (&mut self.worse.axes[d], &mut self.masses[d])
        {
            kernel[at] = masses.number(mean[at], scale[at]);
        }
    }
}

impl Axis {
    /// Takes out a component. Nothing is drawn from the worse trials' density: it has no tails.
    fn remove(&mut self, at: usize) {
        match self {
            Self::Continuous { mean, scale, divisor, .. } => {
                for of_components in [mean, scale, divisor] {
                    of_components.remove(at);
                }
            }
            Self::Discrete { mean, scale, divisor, kernel, .. } => {
                for of_components in [mean, scale, divisor] {
                    of_components.remove(at);
                }
                if !kernel.is_empty() {
                    kernel.remove(at);
                }
            }
            Self::Categorical { own, .. } => {
                own.remove(at);
            }
            Self::Spread(spread) => {
                spread.own.remove(at);
            }
            Self::Point(_) => {}
        }
    }

    /// Puts in a component, whose kernel is still to be made.
    fn insert(&mut self, at: usize, value: f64) {
        match self {
            Self::Continuous { interval, mean, scale, divisor, .. } => {
                mean.insert(at, interval.position(value));
                for of_components in [scale, divisor] {
                    of_components.insert(at, f64::NAN);
                }
            }
            Self::Discrete { interval, mean, scale, divisor, kernel, .. } => {
                mean.insert(at, interval.position(value));
                for of_components in [scale, divisor] {
                    of_components.insert(at, f64::NAN);
                }
                if !kernel.is_empty() {
                    kernel.insert(at, 0);
                }
            }
            &mut Self::Categorical { choices, ref mut own, .. } => own.insert(at, own_choice(choices, value)),
            Self::Spread(spread) => spread.insert(at, value),
            Self::Point(_) => {}
        }
    }
}

/// The densities of each group of coordinates that was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Vec<(Vec<usize>, Kept)>);

impl Shelf {
    pub(super) fn of(&mut self, coordinates: &[usize]) -> &mut Kept {
        let at = self.0.iter().position(|(of, _)| of == coordinates).unwrap_or_else(|| {
            self.0.push((coordinates.to_owned(), Kept::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

#[cfg(test)]
mod tests {
    use kilter_space::Distances;
    use proptest::prelude::*;

    use super::super::parzen::Expected;
    use super::*;

    const DIMENSIONS: [Dimension; 5] = [
        Dimension::Numeric { low: 0.0, high: 1.0, log: false, step: None },
        Dimension::Numeric { low: 1e-3, high: 1.0, log: true, step: None },
        Dimension::Numeric { low: 1.0, high: 9.0, log: false, step: Some(1.0) },
        Dimension::Categorical { choices: 3 },
        Dimension::Categorical { choices: 3 },
    ];

    /// `TRIALS` trials' values; some have not all.
    fn columns(seed: u64) -> Vec<Vec<f64>> {
        let mut stream = kilter_numerics::Stream::new(&[seed], "trials");
        let mut column = |value: fn(f64) -> f64| (0..TRIALS).map(|_| value(stream.uniform())).collect::<Vec<f64>>();
        let mut columns = vec![
            // Some are equal.
            column(|share| (share * 200.0).floor() / 200.0),
            column(|share| 1e-3 + share * 0.999),
            column(|share| 1.0 + (share * 9.0).floor()),
            column(|share| (share * 3.0).floor()),
            column(|share| (share * 3.0).floor()),
        ];
        (0..TRIALS as usize).step_by(17).for_each(|at| columns[1][at] = f64::NAN);
        columns
    }

    const TRIALS: u64 = 260;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_is_kept_is_what_a_fit_gives(
            seed in 0..1000_u64,
            steps in prop::collection::vec(prop::collection::btree_set(0..TRIALS, 0..12), 1..8),
            least_steps in prop::sample::select(vec![0.0, 0.5]),
            starts in 80..TRIALS,
        ) {
            let columns = columns(seed);
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let options = ParzenOptions { least_steps, ..ParzenOptions::default() };
            let distances = Distances::new(&[vec![0.0, 1.0, 2.0], vec![1.0, 0.0, 1.0], vec![2.0, 1.0, 0.0]]).unwrap();
            let mut known = vec![Known::Nothing; DIMENSIONS.len()];
            known[1] = Known::Expected(Expected { mean: -1.0, sigma: 0.5 });
            known[4] = Known::Distances(distances);
            let model = Model { dimensions: &DIMENSIONS, known: &known, options };
            let mut kept = Kept::default();
            let mut trials: std::collections::BTreeSet<u64> = (0..starts).collect();
            for step in steps {
                // Who is there goes, who is not comes.
                trials = &trials ^ &step;
                let listed: Vec<u64> = trials.iter().copied().collect();
                let few: Vec<u64> = listed.iter().copied().filter(|number| number % 40 == 1).collect();
                let better = Better { numbers: &few, weights: &vec![1.0; few.len()] };
                kept.update(model, better, &listed, &columns);
                let fit = |numbers: &[u64], weights: &[f64]| {
                    let values: Vec<Vec<f64>> = columns.iter().map(|column| values_of(column, numbers)).collect();
                    let columns: Vec<Column<'_>> = values.iter().map(|values| Column { values, order: None }).collect();
                    Parzen::fit_knowing(&DIMENSIONS, &columns, weights, &options, &known)
                };
                let counted: Vec<u64> = listed.into_iter().filter(|&number| has_all(&columns, number)).collect();
                let anew = [fit(better.numbers, better.weights), fit(&counted, &default_weights(counted.len()))];
                let Kept { better, worse, masses, .. } = &mut kept;
                for (kept, mut anew) in [better, worse].into_iter().zip(anew) {
                    prop_assert_eq!(kept.weights(), anew.weights());
                    for component in 0..kept.weights().len() {
                        for d in 0..DIMENSIONS.len() {
                            prop_assert_eq!(kept.kernel(d, component), anew.kernel(d, component));
                        }
                    }
                    let candidates = anew.sample(20, &mut kilter_numerics::Stream::new(&[seed], "candidates"));
                    let plain = anew.log_density(&candidates);
                    anew.number_kernels(masses);
                    let density = kept.log_density_beside(&candidates, None, masses);
                    prop_assert_eq!(&density, &anew.log_density_beside(&candidates, None, masses));
                    // What is remembered of masses is what they are, but its terms are added in another order.
                    for (density, plain) in density.iter().zip(plain) {
                        prop_assert!((density - plain).abs() < 1e-12 * plain.abs().max(1.0), "{} {}", density, plain);
                    }
                }
            }
        }
    }
}
