use kilter_tabular::{MedianImputer, Standardiser, Table, TableError};
use proptest::prelude::*;

use crate::golden::near;

const NAN: f64 = f64::NAN;

#[test]
fn columns_get_mean_zero_and_population_deviation_one() {
    let table = Table::new(&[1.0, 0.1, 3.0, 0.1, 5.0, 0.1], 2).unwrap();
    let scale = Standardiser::fit(table).unwrap();
    assert_eq!(scale.means, [3.0, 0.1]);
    near(scale.deviations[0], (8.0_f64 / 3.0).sqrt(), 1e-15);
    // The constant column is shifted and left alone otherwise, though 0.1 has no exact mean in binary.
    assert_eq!(scale.deviations[1], 1.0);
    let scaled = scale.apply(table).unwrap();
    near(scaled[0], -(1.5_f64.sqrt()), 1e-15);
    assert_eq!(scaled.iter().skip(1).step_by(2).copied().collect::<Vec<_>>(), [0.0; 3]);
}

#[test]
fn a_missing_value_becomes_the_training_median() {
    let train = Table::new(&[1.0, NAN, 9.0, 4.0, 2.0, 8.0, NAN, 6.0], 2).unwrap();
    let imputer = MedianImputer::fit(train).unwrap();
    assert_eq!(imputer.medians, [2.0, 6.0]);
    let other = Table::new(&[NAN, 1.0, 100.0, NAN], 2).unwrap();
    assert_eq!(imputer.apply(other).unwrap(), [2.0, 1.0, 100.0, 6.0]);
    let even = Table::new(&[1.0, 4.0, 2.0, 100.0], 1).unwrap();
    assert_eq!(MedianImputer::fit(even).unwrap().medians, [3.0]);
}

#[test]
fn what_cannot_be_learnt_is_refused() {
    let missing = Table::new(&[1.0, NAN, 2.0, NAN], 2).unwrap();
    assert_eq!(MedianImputer::fit(missing), Err(TableError::NoValues { column: 1 }));
    assert!(matches!(Standardiser::fit(missing), Err(TableError::NotFinite { row: 0, column: 1, .. })));
    assert_eq!(Standardiser::fit(Table::new(&[], 2).unwrap()), Err(TableError::Empty));
    let scale = Standardiser::fit(Table::new(&[1.0, 2.0], 1).unwrap()).unwrap();
    let wider = Table::new(&[1.0, 2.0], 2).unwrap();
    assert_eq!(scale.apply(wider), Err(TableError::Width { found: 2, expected: 1 }));
}

proptest! {
    /// Rows that were not learnt from pass through the training rows' line, whatever they hold.
    #[test]
    fn other_rows_do_not_move_the_scale(
        train in prop::collection::vec(-1e3..1e3_f64, 2..40), other in prop::collection::vec(-1e6..1e6_f64, 1..10),
    ) {
        let scale = Standardiser::fit(Table::new(&train, 1).unwrap()).unwrap();
        let before = scale.clone();
        let scaled = scale.apply(Table::new(&other, 1).unwrap()).unwrap();
        for (value, scaled) in other.iter().zip(scaled) {
            let back = scaled * scale.deviations[0] + scale.means[0];
            prop_assert!((back - value).abs() <= 1e-12 * (1.0 + value.abs() + scale.means[0].abs()));
        }
        prop_assert_eq!(scale, before);
    }
}

#[test]
fn categories_become_columns_and_unknown_ones_are_zero_everywhere() {
    use kilter_tabular::OneHot;
    let train = [1.5, 2.0, 0.5, 0.0, 2.5, 2.0];
    let one_hot = OneHot::fit(Table::new(&train, 2).unwrap(), &[false, true]).unwrap();
    assert_eq!(one_hot.columns(), 3);
    let asked = [9.0, 0.0, 8.0, 2.0, 7.0, 5.0, 6.0, f64::NAN];
    let out = one_hot.apply(Table::new(&asked, 2).unwrap()).unwrap();
    assert_eq!(out, [9.0, 1.0, 0.0, 8.0, 0.0, 1.0, 7.0, 0.0, 0.0, 6.0, 0.0, 0.0]);
}

#[test]
fn only_the_most_frequent_categories_get_columns() {
    use kilter_tabular::OneHot;
    let many: Vec<f64> = (0..80).flat_map(|code| vec![f64::from(code); if code < 30 { 1 } else { 2 }]).collect();
    let table = Table::new(&many, 1).unwrap();
    let one_hot = OneHot::fit(table, &[true]).unwrap();
    assert_eq!(one_hot.columns(), OneHot::MOST);
    assert!(one_hot.apply(Table::new(&[5.0], 1).unwrap()).unwrap().iter().all(|v| *v == 0.0));
}
