//! The Hyperopt flavour of the Parzen estimator.
use crate::golden::{self, assert_close, indices, list, numbers};
use kilter_numerics::Stream;
use kilter_search::tpe::Dimension;
use kilter_search::tpe::hyperopt::AdaptiveParzen;
use kilter_search::tpe::parzen::{Column, sorted_order};
use kilter_search::tpe::split::{default_weights, hyperopt_gamma};
use proptest::prelude::*;

fn fit(dimension: Dimension, values: &[f64]) -> AdaptiveParzen {
    AdaptiveParzen::fit(dimension, &Column { values, order: None }, &default_weights(values.len()), 1.0)
}

#[test]
fn golden_adaptive_parzen() {
    let file = golden::read("21-breast-cancer/parzen.json");
    let tolerance: f64 = file["tolerance"].as_str().unwrap().strip_prefix("rel ").unwrap().parse().unwrap();
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let what = format!("case {i}");
        match case["kind"].as_str().unwrap() {
            "split" => {
                assert_eq!(
                    vec![hyperopt_gamma(case["n"].as_u64().unwrap() as usize)],
                    indices(&vec![case["n_below"].clone()].into())
                );
            }
            "categorical" => {
                let dimension = Dimension::Categorical { choices: case["n_values"].as_u64().unwrap() as usize };
                let fitted = fit(dimension, &numbers(&case["observations_in_trial_order"]));
                let expected = numbers(&case["probabilities"]);
                assert_close(fitted.probabilities(), &expected, 1e-12, &what);
                let all: Vec<f64> = (0..expected.len()).map(|k| k as f64).collect();
                let expected: Vec<f64> = expected.iter().map(|p| p.ln()).collect();
                assert_close(&fitted.log_density(&all), &expected, 1e-12, &what);
            }
            "parzen" => {
                let (low, high) = (case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap());
                let dimension = Dimension::Numeric { low, high, log: false, step: None };
                let values = numbers(&case["observations_in_trial_order"]);
                let fitted = fit(dimension, &values);
                let components = fitted.components();
                let part = |part: fn(&kilter_search::tpe::hyperopt::Component) -> f64| {
                    components.iter().map(part).collect::<Vec<_>>()
                };
                assert_close(&part(|c| c.mean), &numbers(&case["mus"]), 1e-12, &what);
                assert_close(&part(|c| c.sigma), &numbers(&case["sigmas"]), 1e-12, &what);
                assert_close(&part(|c| c.weight), &numbers(&case["weights"]), 1e-12, &what);
                assert_eq!(fitted.prior_position().unwrap() as u64, case["prior_position"].as_u64().unwrap());
                let (got, expected) = (fitted.log_density(&numbers(&case["x"])), numbers(&case["log_density"]));
                for (got, expected) in got.iter().zip(expected) {
                    assert!((got - expected).abs() <= tolerance * expected.abs(), "{what}: {got}, not {expected}");
                }
                let order = sorted_order(&values);
                let sorted = Column { values: &values, order: Some(&order) };
                let again = AdaptiveParzen::fit(dimension, &sorted, &default_weights(values.len()), 1.0);
                assert_eq!(again.components(), components);
            }
            kind => panic!("unknown kind {kind}"),
        }
    }
}

#[test]
fn domains_of_one_value_are_certain() {
    for step in [None, Some(1.0)] {
        let fitted = fit(Dimension::Numeric { low: 2.0, high: 2.0, log: true, step }, &[2.0; 30]);
        assert_eq!(fitted.sample(2, &mut Stream::new(&[1], "test")), [2.0; 2]);
        assert!(fitted.log_density(&[2.0])[0].abs() < 1e-12);
        assert_eq!(fitted.log_density(&[3.0])[0], f64::NEG_INFINITY);
    }
}

proptest! {
    #[test]
    fn probabilities_add_up_to_one(
        low in 1..20_u32,
        steps in 0..40_u32,
        log: bool,
        picks in proptest::collection::vec(0..40_u32, 0..60),
        seed: u64,
    ) {
        let dimension =
            Dimension::Numeric { low: f64::from(low), high: f64::from(low + steps), log, step: Some(1.0) };
        let values: Vec<f64> = picks.iter().map(|pick| f64::from(low + pick % (steps + 1))).collect();
        let fitted = fit(dimension, &values);
        let grid: Vec<f64> = (low..=low + steps).map(f64::from).collect();
        // Sums of at most 60 · 40 masses, each to 2⁻⁵³.
        let total: f64 = fitted.log_density(&grid).iter().map(|d| d.exp()).sum();
        prop_assert!((total - 1.0).abs() < 1e-12, "{total}");
        for value in fitted.sample(20, &mut Stream::new(&[seed], "samples")) {
            prop_assert!(grid.contains(&value));
        }
    }

    #[test]
    fn densities_integrate_to_one(
        low in -1e3..1e3_f64,
        width in 1e-3..1e3_f64,
        shares in proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64], 0..60),
        seed: u64,
    ) {
        let high = low + width;
        let values: Vec<f64> = shares.iter().map(|share| low + share * width).collect();
        let fitted = fit(Dimension::Numeric { low, high, log: false, step: None }, &values);
        let cells = 5000;
        let at: Vec<f64> =
            (0..cells).map(|k| (low + width * (f64::from(k) + 0.5) / f64::from(cells)).min(high)).collect();
        let total: f64 =
            fitted.log_density(&at).iter().map(|d| d.exp() * width / f64::from(cells)).sum();
        // Midpoint rule, σ at least a hundredth of the width: error below (100/5000)² / 24 · 0.5 · 2.
        prop_assert!((total - 1.0).abs() < 5e-4, "{total}");
        for value in fitted.sample(20, &mut Stream::new(&[seed], "samples")) {
            prop_assert!((low..=high).contains(&value));
        }
    }
}
