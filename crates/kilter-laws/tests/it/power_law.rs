use kilter_laws::power_law::{FitError, LogLinear, Saturating, bootstrap, least_squares, percentile};
use kilter_numerics::Stream;
use proptest::prelude::*;

use crate::golden::{near, near_absolute};

#[test]
fn a_column_the_others_explain_is_named() {
    let (ones, x) = (vec![1.0; 4], vec![1.0, 2.0, 3.0, 4.0]);
    let twice: Vec<f64> = x.iter().map(|x| 2.0 * x + 1.0).collect();
    assert_eq!(least_squares(&[&ones, &x, &twice], &x), Err(FitError::Unidentified { column: 2 }));
    assert_eq!(least_squares(&[&ones, &ones, &x], &x), Err(FitError::Unidentified { column: 1 }));
    assert_eq!(least_squares(&[&ones[..1], &x[..1]], &[1.0]), Err(FitError::TooFew { rows: 1, coefficients: 2 }));
    assert_eq!(least_squares(&[&ones[..3]], &x), Err(FitError::Ragged { column: 0, found: 3, rows: 4 }));
}

#[test]
fn logarithms_of_nothing_are_refused_by_row() {
    let why = LogLinear::fit(&[&[1.0, 0.0, 2.0]], &[1.0, 2.0, 3.0]).unwrap_err();
    assert_eq!(why, FitError::NotPositive { row: 1, value: 0.0 });
    assert!(LogLinear::fit(&[&[1.0, 2.0, 3.0]], &[1.0, f64::NAN, 3.0]).is_err());
}

#[test]
fn percentiles_are_numpys() {
    let values = [1.0, 2.0, 4.0, 8.0];
    assert_eq!(percentile(&values, 0.5), Some(3.0));
    // numpy.percentile([1, 2, 4, 8], [2.5, 97.5])
    near(percentile(&values, 0.025).unwrap(), 1.075, 1e-14);
    near(percentile(&values, 0.975).unwrap(), 7.7, 1e-14);
    assert_eq!(percentile(&[], 0.5), None);
}

#[test]
fn a_bootstrap_that_never_fits_ends() {
    let mut stream = Stream::new(&[1], "test");
    assert!(bootstrap(3, 10, &mut stream, |_| None::<f64>).is_empty());
    assert_eq!(bootstrap(3, 10, &mut stream, |sample| Some(sample.len())), [3; 10]);
}

#[test]
fn a_saturating_law_is_recovered() {
    let x = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let y = x.map(|x: f64| 1.7 + 0.9 * x.powf(-0.4));
    let found = Saturating::fit(&x, &y).unwrap();
    // Golden section stops at 1e-10 in ln exponent, but sees squared errors only to 1e-16 of their scale, so to their
    // square root in the exponent.
    near(found.exponent, 0.4, 1e-6);
    near(found.floor, 1.7, 1e-6);
    near(found.at(1e3), 1.7 + 0.9 * 1e3_f64.powf(-0.4), 1e-6);
    assert_eq!(Saturating::fit(&x[..3], &y[..3]).unwrap_err(), FitError::TooFew { rows: 3, coefficients: 4 });
}

proptest! {
    #[test]
    fn power_laws_are_recovered(a in -3.0..3.0_f64, n in -1.0..1.0_f64, d in -1.0..1.0_f64) {
        let sizes = [1e8, 2e8, 4e8, 1e8, 2e8, 9e8];
        let tokens = [1e9, 7e9, 3e9, 5e10, 2e10, 4e9];
        let y: Vec<f64> = sizes.iter().zip(&tokens).map(|(s, t): (&f64, &f64)| (a + n * s.ln() + d * t.ln()).exp()).collect();
        let found = LogLinear::fit(&[&sizes, &tokens], &y).unwrap();
        // Logarithms near 20 rounded to 1e-15 each, times a condition number of a few hundred.
        for (found, expected) in found.coefficients.iter().zip([a, n, d]) {
            near_absolute(*found, expected, 1e-10);
        }
        prop_assert!(found.r_squared > 1.0 - 1e-9);
        near(found.at(&[3e8, 3e9]), (a + n * 3e8_f64.ln() + d * 3e9_f64.ln()).exp(), 1e-10);
    }
}
