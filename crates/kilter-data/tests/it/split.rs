use std::collections::BTreeSet;

use kilter_data::breast_cancer;
use kilter_data::split::{SplitError, stratified_folds, stratified_split};
use proptest::prelude::*;

#[test]
fn the_quick_start_split_is_455_to_114() {
    let table = breast_cancer().unwrap();
    let split = stratified_split(table.labels().unwrap(), 0.2, 0).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (455, 114));
    // 0.2 of 569 is 114; 114 * 212 / 569 = 42.47 and 114 * 357 / 569 = 71.53, which has the larger remainder.
    assert_eq!(split.test.iter().filter(|&&row| table.labels().unwrap()[row] == 1).count(), 42);
}

#[test]
fn the_seed_alone_decides_the_split() {
    let table = breast_cancer().unwrap();
    let split = |seed| stratified_split(table.labels().unwrap(), 0.2, seed).unwrap();
    assert_eq!(split(7), split(7));
    assert_ne!(split(7), split(8));
    let folds = |seed| stratified_folds(table.labels().unwrap(), &split(7).train, 5, seed).unwrap();
    assert_eq!(folds(7), folds(7));
    assert_ne!(folds(7), folds(8));
}

#[test]
fn fewer_positives_than_folds_says_what_to_do() {
    let target = [1, 1, 1, 0, 0, 0, 0, 0, 0];
    let rows: Vec<usize> = (0..9).collect();
    let error = stratified_folds(&target, &rows, 5, 0).unwrap_err();
    assert_eq!(error, SplitError::TooFewForFolds { class: 1, rows: 3, folds: 5 });
    assert!(error.to_string().contains("use folds = 3 or fewer"), "{error}");
    assert_eq!(stratified_folds(&target, &rows, 3, 0).unwrap().len(), 3);
}

#[test]
fn what_cannot_be_split_is_refused() {
    assert_eq!(stratified_split(&[1, 1], 0.5, 0), Err(SplitError::OneClass { class: Some(1), rows: 2 }));
    assert_eq!(stratified_split(&[], 0.5, 0), Err(SplitError::OneClass { class: None, rows: 0 }));
    assert_eq!(stratified_split(&[0, 1], 1.0, 0), Err(SplitError::Fraction(1.0)));
    assert!(matches!(stratified_split(&[0, 1, 0, 1], f64::NAN, 0), Err(SplitError::Fraction(_))));
    assert!(matches!(stratified_split(&[0, 0, 0, 0, 1], 0.2, 0), Err(SplitError::TooFewForTest { .. })));
    assert_eq!(stratified_folds(&[0, 1], &[0, 1], 1, 0), Err(SplitError::Folds(1)));
    assert_eq!(stratified_folds(&[0, 1], &[0, 2], 2, 0), Err(SplitError::RowOutside { row: 2, rows: 2 }));
}

/// A table with `zeros` and `ones` rows of the two classes, in an order that depends on both.
fn target(zeros: usize, ones: usize) -> Vec<u8> {
    (0..zeros + ones).map(|i| u8::from(i * ones % (zeros + ones) < ones)).collect()
}

proptest! {
    #[test]
    fn folds_are_disjoint_cover_and_hold_both_classes(
        zeros in 10_usize..80, ones in 10_usize..80, folds in 2_usize..10, seed: u64,
    ) {
        let target = target(zeros, ones);
        let outer = stratified_split(&target, 0.3, seed).unwrap();
        let Ok(splits) = stratified_folds(&target, &outer.train, folds, seed) else {
            let rarest = [0, 1].map(|c| outer.train.iter().filter(|&&row| target[row] == c).count());
            prop_assert!(rarest.into_iter().min() < Some(folds));
            return Ok(());
        };
        let test_rows: BTreeSet<usize> = outer.test.iter().copied().collect();
        let mut seen: Vec<usize> = Vec::new();
        for split in &splits {
            let mut both: Vec<usize> = split.train.iter().chain(&split.test).copied().collect();
            both.sort_unstable();
            prop_assert_eq!(&both, &outer.train);
            prop_assert!(both.iter().all(|row| !test_rows.contains(row)));
            for class in [0, 1] {
                prop_assert!(split.test.iter().any(|&row| target[row] == class));
                prop_assert!(split.train.iter().any(|&row| target[row] == class));
            }
            seen.extend(&split.test);
        }
        seen.sort_unstable();
        prop_assert_eq!(&seen, &outer.train);
        let sizes: Vec<usize> = splits.iter().map(|split| split.test.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    }

    #[test]
    fn a_split_keeps_shares_to_within_a_row(zeros in 5_usize..300, ones in 5_usize..300, seed: u64) {
        let target = target(zeros, ones);
        let split = stratified_split(&target, 0.25, seed).unwrap();
        let mut both: Vec<usize> = split.train.iter().chain(&split.test).copied().collect();
        both.sort_unstable();
        prop_assert_eq!(both, (0..target.len()).collect::<Vec<_>>());
        for class in [0, 1] {
            let of = |rows: &[usize]| rows.iter().filter(|&&row| target[row] == class).count() as f64;
            let all: Vec<usize> = (0..target.len()).collect();
            // Rounding the total moves a class by up to half a row, rounding its own share by less than one.
            prop_assert!((of(&split.test) - 0.25 * of(&all)).abs() < 1.5);
        }
    }
}
