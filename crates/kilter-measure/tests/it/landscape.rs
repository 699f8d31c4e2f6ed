use kilter_measure::landscape::{angle, barrier, correlation};
use proptest::prelude::*;

#[test]
fn a_barrier_is_measured_from_the_line_between_the_ends() {
    assert_eq!(barrier(&[1.0, 2.0, 3.0]), 0.0);
    assert_eq!(barrier(&[1.0, 5.0, 3.0]), 3.0);
    assert_eq!(barrier(&[1.0, 0.0, 3.0]), 0.0);
    assert!(barrier(&[1.0, f64::NAN, 3.0]).is_nan());
    assert_eq!((barrier(&[]), barrier(&[2.0])), (0.0, 0.0));
}

#[test]
fn angles_are_seen_from_the_start() {
    let start = [1.0, 1.0];
    let seen = |a: [f64; 2], b: [f64; 2]| angle(&start, &a, &b);
    assert!((seen([2.0, 1.0], [1.0, 3.0]).unwrap() - 90.0).abs() < 1e-12);
    assert!(seen([2.0, 2.0], [3.0, 3.0]).unwrap() < 1e-6);
    assert!((seen([2.0, 2.0], [0.0, 0.0]).unwrap() - 180.0).abs() < 1e-6);
    assert_eq!(seen(start, [0.0, 0.0]), None);
}

proptest! {
    #[test]
    fn correlation_knows_lines(x in prop::collection::vec(-10.0..10.0_f64, 3..20_usize), slope in 0.1..9.0, shift in -9.0..9.0) {
        prop_assume!(x.iter().any(|v: &f64| (v - x[0]).abs() > 1e-3));
        let along: Vec<f64> = x.iter().map(|x| slope * x + shift).collect();
        let against: Vec<f64> = along.iter().map(|y| -y).collect();
        prop_assert!((correlation(&x, &along).unwrap() - 1.0).abs() < 1e-9);
        prop_assert!((correlation(&x, &against).unwrap() + 1.0).abs() < 1e-9);
        prop_assert_eq!(correlation(&x, &vec![shift; x.len()]).filter(|c| c.abs() > 1e-6), None);
    }
}
