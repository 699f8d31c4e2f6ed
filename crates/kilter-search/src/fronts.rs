//! Points sorted into fronts as they come: rank 0 holds those that no other dominates, rank 1 those that only rank 0
//! dominates, and so on. All coordinates are minimised, none is NaN.
//!
//! Li, Deb, Zhang, Suganthan and Chen, *Efficient Nondomination Level Update Method for Steady-State Evolutionary
//! Multiobjective Optimization* (2017). Its search for a point's front is a bisection here: whatever a front dominates,
//! every front before it dominates.
//!
//! Cost for fronts of f points in m coordinates: O(f m log n) to find the front of a point, and O(f m) for each front from
//! which it pushes others down.

use std::collections::HashMap;

use crate::hypervolume::{dominates, greedy_subset};

/// Points by their numbers, and their fronts.
#[derive(Clone, Debug, Default)]
pub struct Fronts {
    points: HashMap<u64, Vec<f64>>,
    fronts: Vec<Vec<u64>>,
}

impl Fronts {
    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is a point of this number.
    pub fn contains(&self, number: u64) -> bool {
        self.points.contains_key(&number)
    }

    /// Adds a point, in place of the one of its number if there is one.
    pub fn insert(&mut self, number: u64, point: Vec<f64>) {
        if self.points.get(&number) == Some(&point) {
            return;
        }
        self.remove(number);
        let beaten_by = |front: &Vec<u64>| front.iter().any(|other| dominates(&self.points[other], &point));
        let mut at = self.fronts.partition_point(beaten_by);
        self.points.insert(number, point);
        let mut pushed = vec![number];
        while !pushed.is_empty() {
            if at == self.fronts.len() {
                self.fronts.push(pushed);
                return;
            }
            let points = &self.points;
            let is_pushed = |old: &u64| pushed.iter().any(|new| dominates(&points[new], &points[old]));
            let (next, mut stay): (Vec<u64>, Vec<u64>) = self.fronts[at].iter().copied().partition(is_pushed);
            stay.append(&mut pushed);
            self.fronts[at] = stay;
            pushed = next;
            at += 1;
        }
    }

    /// Takes a point out. All others are sorted anew: this is for the rare trial whose values change.
    pub fn remove(&mut self, number: u64) {
        if self.points.remove(&number).is_none() {
            return;
        }
        self.fronts.clear();
        let mut left: Vec<(u64, Vec<f64>)> = std::mem::take(&mut self.points).into_iter().collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        left.into_iter().for_each(|(number, point)| self.insert(number, point));
    }

    /// The numbers of the `count` best, or of all: whole fronts, and of the front that no longer fits the greedy
    /// hypervolume subset. `reference` gives a point that is worse than a front's.
    pub fn best(&self, count: usize, reference: impl Fn(&[&[f64]]) -> Vec<f64>) -> Vec<u64> {
        let mut best = Vec::with_capacity(count.min(self.len()));
        for front in &self.fronts {
            let room = count - best.len();
            if room == 0 {
                break;
            }
            if front.len() <= room {
                best.extend(front);
                continue;
            }
            let mut front = front.clone();
            front.sort_unstable();
            let points: Vec<&[f64]> = front.iter().map(|number| self.points[number].as_slice()).collect();
            best.extend(greedy_subset(&points, room, &reference(&points)).into_iter().map(|at| front[at]));
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervolume::non_domination_ranks;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order in which points come and change, the fronts are those of sorting them all at once.
        #[test]
        fn fronts_are_those_of_all_points_at_once(
            points in proptest::collection::vec((0..30_u64, proptest::collection::vec(0..6_i32, 3)), 1..60),
        ) {
            let mut fronts = Fronts::default();
            let mut all = std::collections::BTreeMap::new();
            for (number, point) in points {
                let point: Vec<f64> = point.into_iter().map(f64::from).collect();
                all.insert(number, point.clone());
                fronts.insert(number, point);
            }
            let points: Vec<&[f64]> = all.values().map(Vec::as_slice).collect();
            let ranks = non_domination_ranks(&points, points.len());
            for (number, rank) in all.keys().zip(ranks) {
                prop_assert!(fronts.fronts[rank.unwrap()].contains(number));
            }
            prop_assert_eq!(fronts.fronts.iter().map(Vec::len).sum::<usize>(), all.len());
        }
    }
}
