//! The Optuna flavour of the Parzen estimator.
use crate::golden::{self, assert_close, list, numbers};
use kilter_numerics::Stream;
use kilter_search::tpe::parzen::{Column, Expected, Kernel, Known, Parzen, ParzenOptions, sorted_order};
use kilter_search::tpe::split::{Candidate, Outcome, default_weights, split};
use kilter_search::tpe::{Dimension, best_candidate};
use proptest::prelude::*;
use serde_json::Value;

fn dimension(distribution: &Value) -> Dimension {
    if distribution["type"] == "categorical" {
        return Dimension::Categorical { choices: distribution["n_choices"].as_u64().unwrap() as usize };
    }
    Dimension::Numeric {
        low: distribution["low"].as_f64().unwrap(),
        high: distribution["high"].as_f64().unwrap(),
        log: distribution["log"].as_bool().unwrap(),
        step: distribution["step"].as_f64(),
    }
}

/// The parameters of a case: their names, domains and observations.
fn parameters(case: &Value) -> (Vec<&String>, Vec<Dimension>, Vec<Vec<f64>>) {
    let names: Vec<&String> = case["distributions"].as_object().unwrap().keys().collect();
    let dimensions = names.iter().map(|name| dimension(&case["distributions"][name])).collect();
    let columns = names.iter().map(|name| numbers(&case["observations"][name])).collect();
    (names, dimensions, columns)
}

fn options(value: &Value) -> ParzenOptions {
    serde_json::from_value(value.clone()).unwrap()
}

fn fit(dimensions: &[Dimension], columns: &[Vec<f64>], options: &ParzenOptions) -> Parzen {
    let weights = default_weights(columns[0].len());
    let columns: Vec<Column<'_>> = columns.iter().map(|values| Column { values, order: None }).collect();
    let fitted = Parzen::fit(dimensions, &columns, &weights, options);
    // The sorted order that a caller brings along must change nothing.
    let orders: Vec<Vec<u32>> = columns.iter().map(|column| sorted_order(column.values)).collect();
    let sorted: Vec<Column<'_>> =
        columns.iter().zip(&orders).map(|(c, order)| Column { values: c.values, order: Some(order) }).collect();
    assert_eq!(format!("{fitted:?}"), format!("{:?}", Parzen::fit(dimensions, &sorted, &weights, options)));
    fitted
}

fn rows(columns: &[Vec<f64>]) -> Vec<f64> {
    (0..columns[0].len()).flat_map(|i| columns.iter().map(move |column| column[i])).collect()
}

fn assert_kernels(fitted: &Parzen, parameter: usize, expected: &Value, tolerance: f64, what: &str) {
    let kernels: Vec<Kernel> = (0..fitted.weights().len()).map(|i| fitted.kernel(parameter, i)).collect();
    if expected["kind"] == "categorical" {
        for (kernel, probabilities) in kernels.iter().zip(list(&expected["probs"])) {
            let &Kernel::Choice { own, hit, miss } = kernel else { panic!("{what}: {kernel:?}") };
            let expected = numbers(probabilities);
            let got: Vec<f64> = (0..expected.len()).map(|k| if own == Some(k) { hit } else { miss }).collect();
            assert_close(&got, &expected, tolerance, what);
        }
        return;
    }
    let pairs: Vec<(f64, f64)> = kernels
        .iter()
        .map(|kernel| match *kernel {
            Kernel::Normal { mean, sigma } => (mean, sigma),
            _ => panic!("{what}: {kernel:?}"),
        })
        .collect();
    let (mu, sigma): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    assert_close(&mu, &numbers(&expected["mu"]), tolerance, what);
    assert_close(&sigma, &numbers(&expected["sigma"]), tolerance, what);
}

#[test]
fn golden_parzen_of_one_parameter() {
    let file = golden::read("hpo-tpe/parzen-1d.json");
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    let parts = file["tolerance"]["weights_mu_sigma"].as_f64().unwrap();
    let density = file["tolerance"]["log_pdf"].as_f64().unwrap();
    for (i, case) in cases.iter().enumerate() {
        let what = format!("case {i} ({})", case["space"]);
        let dimensions = [dimension(&case["distribution"])];
        let fitted = fit(&dimensions, &[numbers(&case["observations"])], &options(&case["options"]));
        assert_close(fitted.weights(), &numbers(&case["weights"]), parts, &what);
        assert_kernels(&fitted, 0, &case["components"], parts, &what);
        assert_close(&fitted.log_density(&numbers(&case["query"])), &numbers(&case["log_pdf"]), density, &what);
    }
}

#[test]
fn golden_parzen_of_several_parameters() {
    let file = golden::read("hpo-tpe/parzen-multivariate.json");
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let what = format!("case {i}");
        let (names, dimensions, columns) = parameters(case);
        let fitted = fit(&dimensions, &columns, &ParzenOptions::default());
        // The parts have the tolerance of the file on one parameter.
        assert_close(fitted.weights(), &numbers(&case["weights"]), 1e-12, &what);
        for (d, name) in names.iter().enumerate() {
            assert_kernels(&fitted, d, &case["components"][name], 1e-12, &what);
        }
        let query: Vec<Vec<f64>> = names.iter().map(|name| numbers(&case["query"][name])).collect();
        let tolerance = file["tolerance"]["log_pdf"].as_f64().unwrap();
        assert_close(&fitted.log_density(&rows(&query)), &numbers(&case["log_pdf"]), tolerance, &what);
    }
}

/// Optuna 4's kernels of choices between which there are distances; Optuna 5 has no such thing.
#[test]
fn golden_distances_between_choices() {
    let file = golden::read("hpo-tpe/distances.json");
    let tolerance = |of: &str| file["tolerance"][of].as_f64().unwrap();
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let what = format!("case {i}");
        let (names, dimensions, columns) = parameters(case);
        let known = names.iter().map(|name| match case["distances"].get(name) {
            Some(rows) => Known::Distances(serde_json::from_value(rows.clone()).unwrap()),
            None => Known::Nothing,
        });
        let known: Vec<Known> = known.collect();
        let weights = default_weights(columns[0].len());
        let of_columns: Vec<Column<'_>> = columns.iter().map(|values| Column { values, order: None }).collect();
        let fitted = Parzen::fit_knowing(&dimensions, &of_columns, &weights, &options(&case["options"]), &known);
        assert_close(fitted.weights(), &numbers(&case["weights"]), tolerance("probs"), &what);
        for (d, name) in names.iter().enumerate() {
            let Some(probabilities) = case["probs"].get(name) else { continue };
            for (component, expected) in list(probabilities).iter().enumerate() {
                let Kernel::Choices(got) = fitted.kernel(d, component) else { panic!("{what}") };
                assert_close(&got, &numbers(expected), tolerance("probs"), &what);
            }
        }
        let query: Vec<Vec<f64>> = names.iter().map(|name| numbers(&case["query"][name])).collect();
        assert_close(&fitted.log_density(&rows(&query)), &numbers(&case["log_pdf"]), tolerance("log_pdf"), &what);
    }
}

/// Distances have a unit, which must not matter, however small or large.
#[test]
fn the_unit_of_distances_does_not_matter() {
    let dimension = Dimension::Categorical { choices: 3 };
    for gaps_of_choices in [false, true] {
        let density = |unit: f64| {
            let rows = [vec![0.0, unit, 3.0 * unit], vec![unit, 0.0, 2.0 * unit], vec![3.0 * unit, 2.0 * unit, 0.0]];
            let known = [Known::Distances(kilter_space::Distances::new(&rows).unwrap())];
            let column = Column { values: &[0.0, 1.0, 1.0, 2.0], order: None };
            let options = ParzenOptions { gaps_of_choices, least_steps: 0.5, ..ParzenOptions::default() };
            Parzen::fit_knowing(&[dimension], &[column], &[1.0; 4], &options, &known).log_density(&[0.0, 1.0, 2.0])
        };
        for unit in [1e-300, 1e-5, 1e300] {
            assert_close(&density(unit), &density(1.0), 1e-12, &format!("{unit}"));
        }
    }
}

/// Draws have the probabilities of the mixture: 20,000 of them, each frequency within 5 standard errors.
#[test]
fn draws_follow_the_distances() {
    let rows = [vec![0.0, 1.0, 3.0, 3.0], vec![1.0, 0.0, 3.0, 3.0], vec![3.0, 3.0, 0.0, 1.0], vec![3.0, 3.0, 1.0, 0.0]];
    let known = [Known::Distances(kilter_space::Distances::new(&rows).unwrap())];
    let column = Column { values: &[0.0, 0.0, 1.0], order: None };
    let dimension = Dimension::Categorical { choices: 4 };
    let options = ParzenOptions::default();
    let fitted = Parzen::fit_knowing(&[dimension], &[column], &[1.0; 3], &options, &known);
    let expected: Vec<f64> = fitted.log_density(&[0.0, 1.0, 2.0, 3.0]).iter().map(|log| log.exp()).collect();
    assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(expected[0] > expected[1] && expected[1] > expected[2]);
    let draws = fitted.sample(20_000, &mut Stream::new(&[4], "draws"));
    for (choice, expected) in expected.iter().enumerate() {
        let share = draws.iter().filter(|&&drawn| drawn == choice as f64).count() as f64 / 20_000.0;
        let error = (expected * (1.0 - expected) / 20_000.0).sqrt();
        assert!((share - expected).abs() < 5.0 * error, "{choice}: {share}, not {expected}");
    }
}

#[test]
fn golden_acquisition() {
    let file = golden::read("hpo-tpe/acquisition.json");
    let tolerance = file["tolerance"].as_f64().unwrap();
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let what = format!("case {i}");
        let (names, dimensions, columns) = parameters(case);
        let candidates: Vec<Vec<f64>> = names.iter().map(|name| numbers(&case["candidates"][name])).collect();
        let values = numbers(&case["values"]);
        let trials: Vec<Candidate<'_>> = values
            .iter()
            .map(|value| Candidate { outcome: Outcome::Complete(std::slice::from_ref(value)), violation: 0.0 })
            .collect();
        let sets = split(&trials, &[false], case["n_below"].as_u64().unwrap() as usize);
        let densities = |parameters: &[usize], trials: &[usize]| {
            let of = |columns: &[Vec<f64>]| parameters.iter().map(|&d| columns[d].clone()).collect::<Vec<_>>();
            let dimensions: Vec<Dimension> = parameters.iter().map(|&d| dimensions[d]).collect();
            let seen: Vec<Vec<f64>> =
                of(&columns).iter().map(|column| trials.iter().map(|&t| column[t]).collect()).collect();
            fit(&dimensions, &seen, &ParzenOptions::default()).log_density(&rows(&of(&candidates)))
        };
        let scores = |parameters: &[usize]| {
            let (below, above) = (densities(parameters, &sets.below), densities(parameters, &sets.above));
            let difference: Vec<f64> = below.iter().zip(&above).map(|(b, a)| b - a).collect();
            (best_candidate(&below, &above), difference)
        };
        let all: Vec<usize> = (0..names.len()).collect();
        let (chosen, score) = scores(&all);
        assert_close(&score, &numbers(&case["score_multivariate"]), tolerance, &what);
        assert_eq!(chosen, case["chosen"].as_u64().map(|c| c as usize), "{what}");
        for (d, name) in names.iter().enumerate() {
            assert_close(&scores(&[d]).1, &numbers(&case["score_independent"][name]), tolerance, &what);
        }
    }
}

#[test]
fn the_first_of_equal_candidates_is_chosen() {
    assert_eq!(best_candidate(&[], &[]), None);
    assert_eq!(best_candidate(&[1.0, 2.0, 2.0], &[0.0, 1.0, 1.0]), Some(0));
    assert_eq!(best_candidate(&[f64::NEG_INFINITY, -5.0], &[f64::NEG_INFINITY, 0.0]), Some(1));
    assert_eq!(best_candidate(&[f64::NEG_INFINITY], &[f64::NEG_INFINITY]), Some(0));
}

#[test]
fn domains_of_one_value_are_certain() {
    let point = |log, step| Dimension::Numeric { low: 3.0, high: 3.0, log, step };
    let dimensions = [point(false, None), point(true, None), point(false, Some(1.0)), point(true, Some(1.0))];
    for dimension in dimensions.into_iter().chain([Dimension::Categorical { choices: 1 }]) {
        let only = if matches!(dimension, Dimension::Categorical { .. }) { 0.0 } else { 3.0 };
        for n in [0, 1, 40] {
            let fitted = fit(&[dimension], &[vec![only; n]], &ParzenOptions::default());
            assert_eq!(fitted.sample(3, &mut Stream::new(&[1], "test")), [only; 3]);
            let density = fitted.log_density(&[only])[0];
            assert!(density.abs() < 1e-12, "{dimension:?}, {n}: {density}");
            assert_eq!(fitted.log_density(&[7.0])[0], f64::NEG_INFINITY);
        }
    }
}

#[test]
fn a_given_prior_takes_the_place_of_the_wide_one() {
    let dimension = Dimension::Numeric { low: 0.0, high: 10.0, log: false, step: None };
    let column = Column { values: &[2.0, 3.0], order: None };
    let fit = |mean, sigma| {
        let prior = Known::Expected(Expected { mean, sigma });
        Parzen::fit_knowing(&[dimension], &[column], &[1.0; 2], &ParzenOptions::default(), &[prior]).kernel(0, 2)
    };
    let close = |kernel, mean: f64, sigma: f64| {
        let Kernel::Normal { mean: m, sigma: s } = kernel else { panic!("{kernel:?}") };
        assert!((m - mean).abs() < 1e-12 && (s - sigma).abs() < 1e-12, "{kernel:?}");
    };
    close(fit(7.0, 0.5), 7.0, 0.5);
    // A centre outside is moved to the end, a spread has bounds.
    close(fit(17.0, 50.0), 10.0, 10.0);
    close(fit(7.0, 1e-9), 7.0, 0.01);
}

#[test]
fn ten_thousand_categories() {
    let choices = 10_000;
    let dimension = Dimension::Categorical { choices };
    let fitted = fit(&[dimension], &[vec![9_999.0, 0.0, 9_999.0]], &ParzenOptions::default());
    let all: Vec<f64> = (0..choices).map(|k| k as f64).collect();
    let density = fitted.log_density(&all);
    assert!((density.iter().map(|d| d.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(density[9_999] > density[0] && density[0] > density[1]);
    assert_eq!(fitted.log_density(&[10_000.0, -1.0, 0.5]), [f64::NEG_INFINITY; 3]);
}

#[test]
fn hopelessly_narrow_kernels_leave_a_finite_density() {
    let options = ParzenOptions { magic_clip: false, ..ParzenOptions::default() };
    for step in [None, Some(1e298)] {
        let dimension = Dimension::Numeric { low: -1e300, high: 1e300, log: false, step };
        let fitted = fit(&[dimension; 2], &[vec![1e299; 30], vec![0.0; 30]], &options);
        for value in fitted.log_density(&[1e299, 0.0, -1e300, 1e300, 0.0, 1e298]) {
            assert!(value.is_finite(), "{step:?}: {value}");
        }
    }
}

/// A domain, and how to pick values of it from numbers in [0, 1].
fn any_dimension() -> impl Strategy<Value = Dimension> {
    let scale = (-300.0..300.0_f64).prop_map(|e| 10.0_f64.powf(e));
    let float = (scale.clone(), -1.0..1.0_f64).prop_map(|(width, offset)| Dimension::Numeric {
        low: offset * width,
        high: offset * width + width,
        log: false,
        step: None,
    });
    let log_float = (scale.clone(), 0.0..1.0_f64).prop_map(|(low, share)| Dimension::Numeric {
        low,
        high: 10.0_f64.powf(low.log10() + share * (300.0 - low.log10())).max(low),
        log: true,
        step: None,
    });
    let stepped = (scale, 0..40_u32, -20..20_i32).prop_map(|(step, steps, start)| Dimension::Numeric {
        low: f64::from(start) * step,
        high: f64::from(start) * step + f64::from(steps) * step,
        log: false,
        step: Some(step),
    });
    let int = (1..50_i32, 0..60_i32, any::<bool>()).prop_map(|(low, steps, log)| Dimension::Numeric {
        low: f64::from(low),
        high: f64::from(low + steps),
        log,
        step: Some(1.0),
    });
    let categorical = (1..8_usize).prop_map(|choices| Dimension::Categorical { choices });
    prop_oneof![float, log_float, stepped, int, categorical]
}

fn place(dimension: Dimension, share: f64) -> f64 {
    match dimension {
        Dimension::Categorical { choices } => (share * choices as f64).floor().min(choices as f64 - 1.0),
        Dimension::Numeric { low, high, step: Some(step), .. } => low + step * (share * ((high - low) / step)).round(),
        Dimension::Numeric { low, high, log: true, .. } => (low.ln() + share * (high.ln() - low.ln())).exp(),
        Dimension::Numeric { low, high, .. } => low + share * (high - low),
    }
}

/// All values of a countable domain.
fn grid(dimension: Dimension) -> Option<Vec<f64>> {
    match dimension {
        Dimension::Categorical { choices } => Some((0..choices).map(|k| k as f64).collect()),
        Dimension::Numeric { low, high, step: Some(step), .. } => {
            Some((0..=((high - low) / step).round() as usize).map(|k| low + step * k as f64).collect())
        }
        Dimension::Numeric { .. } => None,
    }
}

fn any_options() -> impl Strategy<Value = ParzenOptions> {
    (0.01..5.0_f64, any::<bool>(), any::<bool>()).prop_map(|(prior_weight, magic_clip, endpoints)| ParzenOptions {
        prior_weight,
        magic_clip,
        endpoints,
        ..ParzenOptions::default()
    })
}

proptest! {
    #[test]
    fn probabilities_add_up_to_one(
        dimension in any_dimension(),
        shares in proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0_f64], 0..60),
        options in any_options(),
    ) {
        let values: Vec<f64> = shares.iter().map(|&share| place(dimension, share)).collect();
        let fitted = fit(&[dimension], &[values], &options);
        if let Some(grid) = grid(dimension) {
            let total: f64 = fitted.log_density(&grid).iter().map(|d| d.exp()).sum();
            // Neighbouring cells of a step of 2⁻⁵³ · 20 relative rounding share their ends to that precision.
            prop_assert!((total - 1.0).abs() < 1e-11, "{total}");
        } else if let Dimension::Numeric { low, high, log, .. } = dimension && options.magic_clip {
            // Midpoint rule; the narrowest kernel is a hundredth of the domain wide.
            let cells = 5000;
            let middles: Vec<f64> =
                (0..cells).map(|k| place(dimension, (f64::from(k) + 0.5) / f64::from(cells))).collect();
            let width = if log { high.ln() - low.ln() } else { high - low };
            prop_assume!(width > 1e-9 * low.ln().abs() || !log);
            let total: f64 =
                fitted.log_density(&middles).iter().map(|d| (d + (width / f64::from(cells)).ln()).exp()).sum();
            // Error h²/24 · |f'(high) - f'(low)|, f' ≤ 0.25/σ² · 2 with σ ≥ width / 100, h = width / 5000.
            prop_assert!((total - 1.0).abs() < 5e-4, "{total}");
        }
    }

    #[test]
    fn samples_lie_in_the_domain_and_on_the_grid(
        dimensions in proptest::collection::vec(any_dimension(), 1..5),
        shares in proptest::collection::vec(0.0..1.0_f64, 0..30),
        options in any_options(),
        seed: u64,
    ) {
        let columns: Vec<Vec<f64>> =
            dimensions.iter().map(|&d| shares.iter().map(|&share| place(d, share)).collect()).collect();
        let fitted = fit(&dimensions, &columns, &options);
        let candidates = fitted.sample(20, &mut Stream::new(&[seed], "samples"));
        prop_assert_eq!(candidates.len(), 20 * dimensions.len());
        prop_assert!(fitted.log_density(&candidates).iter().all(|d| d.is_finite()));
        for row in candidates.chunks(dimensions.len()) {
            for (&dimension, value) in dimensions.iter().zip(row) {
                match (dimension, grid(dimension)) {
                    (_, Some(grid)) => prop_assert!(grid.contains(value), "{value} of {dimension:?}"),
                    (Dimension::Numeric { low, high, .. }, None) => prop_assert!(low <= *value && *value <= high),
                    (Dimension::Categorical { .. }, None) => unreachable!("choices are countable"),
                }
            }
        }
    }
}

#[test]
fn samples_follow_the_density() {
    let dimensions = [
        Dimension::Numeric { low: 1.0, high: 12.0, log: true, step: Some(1.0) },
        Dimension::Numeric { low: 0.0, high: 1.0, log: false, step: Some(0.25) },
        Dimension::Categorical { choices: 3 },
    ];
    for dimension in dimensions {
        let grid = grid(dimension).unwrap();
        let fitted = fit(&[dimension], &[vec![grid[1], grid[2], grid[1]]], &ParzenOptions::default());
        let expected: Vec<f64> = fitted.log_density(&grid).iter().map(|d| d.exp()).collect();
        let draws = 40_000;
        let samples = fitted.sample(draws, &mut Stream::new(&[5], "frequencies"));
        for (value, probability) in grid.iter().zip(expected) {
            let seen = samples.iter().filter(|s| *s == value).count() as f64 / draws as f64;
            // Five standard errors; the stream is fixed, so this can't fail by chance twice.
            let error = (probability * (1.0 - probability) / draws as f64).sqrt();
            assert!((seen - probability).abs() < 5.0 * error, "{dimension:?} {value}: {seen}, not {probability}");
        }
    }
}

/// A variation of an observation lies in the domain, keeps more than half of its values and changes something.
#[test]
fn variations_stay_near_what_they_vary() {
    let numeric = |low, high, log, step| Dimension::Numeric { low, high, log, step };
    let dimensions = [
        numeric(-2.0, 3.0, false, None),
        numeric(1e-6, 1.0, true, None),
        numeric(1.0, 64.0, true, Some(1.0)),
        Dimension::Categorical { choices: 5 },
        numeric(4.0, 4.0, false, None),
    ];
    let columns =
        [vec![0.5, -1.0, 2.5], vec![1e-3, 1e-5, 0.5], vec![16.0, 2.0, 40.0], vec![1.0, 4.0, 2.0], vec![4.0; 3]];
    let fitted = fit(&dimensions, &columns, &ParzenOptions::default());
    let varied = fitted.vary(&(1..2), 400, &mut Stream::new(&[5], "vary"));
    assert!(fitted.log_density(&varied).iter().all(|density| density.is_finite()));
    let kept: Vec<usize> = varied
        .chunks(5)
        // A logarithm and back is not exact.
        .map(|row| (0..4).filter(|&d| (row[d] - columns[d][1]).abs() <= 1e-12 * columns[d][1].abs()).count())
        .collect();
    let share = kept.iter().sum::<usize>() as f64 / 1600.0;
    assert!(share > 0.5 && share < 0.85, "{share} of the values were kept");
    assert!(kept.iter().filter(|&&kept| kept == 4).count() < 200, "too many variations vary nothing");
}
