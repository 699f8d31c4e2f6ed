//! Fronts, hypervolumes and greedy subsets.
use kilter_search::hypervolume::{contributions, greedy_subset, hypervolume, non_domination_ranks};
use proptest::prelude::*;

fn slices(points: &[Vec<f64>]) -> Vec<&[f64]> {
    points.iter().map(Vec::as_slice).collect()
}

/// Unit cells of an integer grid that some point dominates.
fn counted(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let mut cells = vec![Vec::new()];
    for &end in reference {
        cells = cells
            .into_iter()
            .flat_map(|cell: Vec<f64>| (0..end as usize).map(move |k| cell.iter().copied().chain([k as f64]).collect()))
            .collect();
    }
    cells.iter().filter(|cell| points.iter().any(|p| p.iter().zip(*cell).all(|(p, c)| p <= c))).count() as f64
}

#[test]
fn ranks_peel_front_after_front() {
    let points = [vec![1.0, 1.0], vec![0.0, 3.0], vec![2.0, 2.0], vec![1.0, 1.0], vec![3.0, 3.0], vec![1.0, 2.0]];
    let points = slices(&points);
    let all = [Some(0), Some(0), Some(2), Some(0), Some(3), Some(1)];
    assert_eq!(non_domination_ranks(&points, 6), all);
    assert_eq!(non_domination_ranks(&points, 4), [Some(0), Some(0), None, Some(0), None, Some(1)]);
    assert_eq!(non_domination_ranks(&points, 0), [None; 6]);
}

#[test]
fn copies_are_chosen_last() {
    let points = [vec![1.0, 1.0], vec![1.0, 1.0], vec![0.0, 1.5], vec![1.5, 0.0]];
    let mut subset = greedy_subset(&slices(&points), 3, &[2.0, 2.0]);
    subset.sort_unstable();
    assert_eq!(subset, [0, 2, 3]);
    assert_eq!(greedy_subset(&slices(&points), 4, &[2.0, 2.0]).len(), 4);
    assert_eq!(greedy_subset(&slices(&points), 2, &[f64::INFINITY, 2.0]), [2, 0]);
}

proptest! {
    #[test]
    fn hypervolumes_count_cells(
        objectives in 1..5_usize,
        points in proptest::collection::vec(proptest::collection::vec(0..6_u8, 4), 0..10),
    ) {
        let points: Vec<Vec<f64>> =
            points.iter().map(|p| p[..objectives].iter().map(|&x| f64::from(x)).collect()).collect();
        let reference = [5.0; 4];
        // Integers: exact.
        prop_assert_eq!(hypervolume(&slices(&points), &reference[..objectives]), counted(&points, &reference[..objectives]));
    }

    #[test]
    fn contributions_are_what_a_front_lacks_without_a_point(
        objectives in 2..5_usize,
        points in proptest::collection::vec(proptest::collection::vec(0..6_u8, 4), 1..10),
    ) {
        let points: Vec<Vec<f64>> =
            points.iter().map(|p| p[..objectives].iter().map(|&x| f64::from(x)).collect()).collect();
        let all = slices(&points);
        let reference = &[6.0; 4][..objectives];
        let added = contributions(&all, reference);
        let ranks = non_domination_ranks(&all, all.len());
        let front = |but: usize| -> Vec<&[f64]> {
            (0..all.len()).filter(|&i| ranks[i] == Some(0) && i != but).map(|i| all[i]).collect()
        };
        for (i, &added) in added.iter().enumerate() {
            let lacks = hypervolume(&front(all.len()), reference) - hypervolume(&front(i), reference);
            prop_assert_eq!(added, lacks);
        }
    }

    #[test]
    fn subsets_grow_by_the_largest_gain(
        objectives in 1..5_usize,
        points in proptest::collection::vec(proptest::collection::vec(0..6_u8, 4), 1..10),
        count in 0..10_usize,
    ) {
        let points: Vec<Vec<f64>> =
            points.iter().map(|p| p[..objectives].iter().map(|&x| f64::from(x)).collect()).collect();
        let all = slices(&points);
        let reference = &[6.0; 4][..objectives];
        let mut distinct = all.clone();
        distinct.sort_by(|a, b| a.partial_cmp(b).unwrap());
        distinct.dedup();
        prop_assert_eq!(greedy_subset(&all, count, reference).len(), count.min(points.len()));
        let subset = greedy_subset(&all, count % distinct.len(), reference);
        let mut chosen: Vec<&[f64]> = Vec::new();
        for &i in &subset {
            let gain = |p: &[f64]| hypervolume(&[&chosen[..], &[p]].concat(), reference) - hypervolume(&chosen, reference);
            let best = distinct.iter().filter(|p| !chosen.contains(p)).map(|p| gain(p)).fold(0.0, f64::max);
            prop_assert_eq!(gain(all[i]), best);
            chosen.push(all[i]);
        }
    }
}

#[test]
fn contributions_are_what_each_alone_adds() {
    let points = [vec![0.0, 3.0], vec![1.0, 1.0], vec![3.0, 0.0], vec![3.0, 3.0]];
    // Below (4, 4): rectangles that no other point covers.
    assert_eq!(contributions(&slices(&points), &[4.0, 4.0]), [1.0, 4.0, 1.0, 0.0]);
}
