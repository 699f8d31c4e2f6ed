//! The sorted columns of the worse trials, kept from ask to ask: few trials come or go in between, so nothing is sorted
//! anew.
//!
//! Cost: O(n + m log m) per coordinate for n trials of which m are new, without comparisons where m is 0.

use super::parzen::sort_key;

/// Trials in ascending order of each of some coordinates.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Whose they are, ascending.
    numbers: Vec<u64>,
    /// By coordinate: the value as a key, and the trial's number.
    sorted: Vec<Vec<(u64, u64)>>,
    /// By trial number, its place among `numbers`.
    place: Vec<u32>,
}

impl Orders {
    /// For each coordinate the places of `numbers` (ascending) in ascending order of its column, of equal values the
    /// older first. `columns` are the trials' values, `numbers` of them each; a trial's never change.
    pub(super) fn update(&mut self, numbers: &[u64], columns: &[Vec<f64>]) -> Vec<Vec<u32>> {
        let end = numbers.last().map_or(0, |last| *last as usize + 1);
        let reach = self.place.len().max(end).max(self.numbers.last().map_or(0, |last| *last as usize + 1));
        self.place.resize(reach, ABSENT);
        // What stays has a place in both.
        self.numbers.iter().for_each(|&number| self.place[number as usize] = GONE);
        let mut new = Vec::new();
        for (at, &number) in numbers.iter().enumerate() {
            if std::mem::replace(&mut self.place[number as usize], at as u32) != GONE {
                new.push(at);
            }
        }
        self.sorted.resize(columns.len(), Vec::new());
        let orders = self.sorted.iter_mut().zip(columns).map(|(sorted, column)| {
            sorted.retain(|&(_, number)| self.place[number as usize] != GONE);
            let mut coming: Vec<(u64, u64)> = new.iter().map(|&at| (sort_key(column[at]), numbers[at])).collect();
            coming.sort_unstable();
            merge(sorted, &coming);
            sorted.iter().map(|&(_, number)| self.place[number as usize]).collect()
        });
        let orders = orders.collect();
        // No place outlives the trial's stay.
        self.numbers.iter().chain(numbers).for_each(|&number| self.place[number as usize] = ABSENT);
        numbers.clone_into(&mut self.numbers);
        orders
    }
}

/// The orders of each group of coordinates that was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Vec<(Vec<usize>, Orders)>);

impl Shelf {
    pub(super) fn of(&mut self, coordinates: &[usize]) -> &mut Orders {
        let at = self.0.iter().position(|(of, _)| of == coordinates).unwrap_or_else(|| {
            self.0.push((coordinates.to_owned(), Orders::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

const ABSENT: u32 = u32::MAX;
const GONE: u32 = u32::MAX - 1;

/// Merges `coming` into `sorted`, both ascending, from the end on.
fn merge(sorted: &mut Vec<(u64, u64)>, coming: &[(u64, u64)]) {
    let mut old = sorted.len();
    sorted.resize(old + coming.len(), (0, 0));
    for (left, &item) in coming.iter().enumerate().rev() {
        while old > 0 && sorted[old - 1] > item {
            sorted[old + left] = sorted[old - 1];
            old -= 1;
        }
        sorted[old + left] = item;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parzen::sorted_order;
    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_sorting_anew_gives(
            values in prop::collection::vec(prop::sample::select(vec![-2.0, -0.0, 0.0, 0.5, 1.0, 7.0]), 40),
            stays in prop::collection::vec(prop::collection::btree_set(0..40_u64, 0..40), 1..6),
        ) {
            let mut orders = Orders::default();
            for numbers in stays {
                let numbers: Vec<u64> = numbers.into_iter().collect();
                let column: Vec<f64> = numbers.iter().map(|&number| values[number as usize]).collect();
                let mirrored: Vec<f64> = column.iter().map(|value| -value).collect();
                let expected = vec![sorted_order(&column), sorted_order(&mirrored)];
                prop_assert_eq!(orders.update(&numbers, &[column, mirrored]), expected);
            }
        }
    }
}
