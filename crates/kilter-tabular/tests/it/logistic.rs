use kilter_numerics::Stream;
use kilter_tabular::logistic::{ClassWeight, LogisticError, Penalty};
use kilter_tabular::{Examples, Logistic, LogisticConfig, Model, Standardiser, Table};
use proptest::prelude::*;

use crate::golden::{breast_cancer, cases, integers, near, numbers};

/// Tolerances of the file: 1e-4 absolute on coefficients (and so on what is computed from them), 1e-6 relative on the
/// objective.
#[test]
fn golden_logreg() {
    let (values, labels) = breast_cancer();
    for case in cases("logreg.json") {
        let (rows, columns) = (integers(&case["row_indices"]), integers(&case["columns"]));
        let chosen: Vec<f64> =
            rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))).map(|(r, c)| values[r * 30 + c]).collect();
        let table = Table::new(&chosen, columns.len()).unwrap();
        let scaled = Standardiser::fit(table).unwrap().apply(table).unwrap();
        let table = Table::new(&scaled, columns.len()).unwrap();
        let labels: Vec<u8> = rows.iter().map(|&row| labels[row]).collect();

        let config = LogisticConfig { c: case["C"].as_f64().unwrap(), ..LogisticConfig::default() };
        let model = Logistic::fit(Examples::new(table, &labels).unwrap(), &config).unwrap();
        assert!(model.converged && model.violation <= 1e-6);
        let expected = numbers(&case["coef"]);
        assert_eq!(model.coefficients.len(), expected.len());
        for (found, expected) in model.coefficients.iter().zip(expected) {
            near(*found, expected, 1e-4);
        }
        near(model.intercept, case["intercept"].as_f64().unwrap(), 1e-4);
        let objective = case["objective"].as_f64().unwrap();
        near(model.objective, objective, 1e-6 * objective);
        let probabilities = model.predict_table(table);
        let losses = labels.iter().zip(&probabilities).map(|(&l, p)| -(if l == 1 { *p } else { 1.0 - p }).ln());
        let log_loss = losses.sum::<f64>() / labels.len() as f64;
        near(log_loss, case["log_loss_mean"].as_f64().unwrap(), 1e-4);
        for (found, expected) in probabilities.iter().zip(numbers(&case["first_10_probabilities"])) {
            near(*found, expected, 1e-4);
        }
    }
}

/// The whole table, standardised, as scikit-learn 1.9.1 solves it (saga for L1, lbfgs for L2, tol 1e-10): the objective
/// to the nine digits printed.
#[test]
fn objectives_of_the_whole_table_match_scikit_learn() {
    use {ClassWeight as W, Penalty as P};
    let (values, labels) = scaled_breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    for (penalty, class_weight, c, objective) in [
        (P::L1, W::None, 0.05, 7.996777822),
        (P::L2, W::None, 0.05, 4.062475921),
        (P::L1, W::None, 1.0, 46.081685660),
        (P::L2, W::None, 1.0, 37.758945962),
        (P::L1, W::Balanced, 1.0, 48.714023184),
        (P::L2, W::Balanced, 1.0, 40.609439158),
    ] {
        let config = LogisticConfig { c, penalty, class_weight, ..LogisticConfig::default() };
        let model = Logistic::fit(examples, &config).unwrap();
        assert!(model.converged);
        near(model.objective, objective, 1e-9);
    }
}

/// The hardest corner of the tuned space: the table is separable, so almost nothing holds the weights.
#[test]
fn every_c_of_the_tuned_space_converges() {
    let (values, labels) = scaled_breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    for penalty in [Penalty::L1, Penalty::L2] {
        for c in [1e-4, 1e-2, 1.0, 1e2, 1e4] {
            let model = Logistic::fit(examples, &LogisticConfig { c, penalty, ..LogisticConfig::default() }).unwrap();
            assert!(model.converged, "{penalty:?}, C = {c}: violation {}", model.violation);
            let (violation, _) = conditions(&model, examples, c, penalty);
            // Recomputed with other roundings, of sums of 569 terms of up to C * 30.
            assert!(violation <= 1e-6 + 1e-14 * 569.0 * 30.0 * c, "{penalty:?}, C = {c}: {violation}");
        }
    }
}

#[test]
fn a_weight_of_two_is_two_rows() {
    let (values, labels) = random_examples(40, 3, 5);
    let weights: Vec<f64> = (0..40).map(|i| f64::from(i % 3)).collect();
    let repeated: Vec<usize> = (0..40).flat_map(|i| std::iter::repeat_n(i, i % 3)).collect();
    let more: Vec<f64> = repeated.iter().flat_map(|&i| &values[i * 3..(i + 1) * 3]).copied().collect();
    let more_labels: Vec<u8> = repeated.iter().map(|&i| labels[i]).collect();
    for penalty in [Penalty::L1, Penalty::L2] {
        let config = LogisticConfig { penalty, ..LogisticConfig::default() };
        let examples = Examples::new(Table::new(&values, 3).unwrap(), &labels).unwrap();
        let weighted = Logistic::fit(examples.weighted(&weights).unwrap(), &config).unwrap();
        let examples = Examples::new(Table::new(&more, 3).unwrap(), &more_labels).unwrap();
        let repeated = Logistic::fit(examples, &config).unwrap();
        // Both stop at a violation of 1e-6; the curvature at the optimum is about 1.
        for (a, b) in weighted.coefficients.iter().zip(&repeated.coefficients) {
            near(*a, *b, 1e-5);
        }
    }
}

/// With a weak penalty and a free intercept the mean prediction is the weighted share of class 1: one half.
#[test]
fn balanced_classes_predict_one_half_on_average() {
    let (values, labels) = random_examples(200, 2, 9);
    let table = Table::new(&values, 2).unwrap();
    let config = LogisticConfig { class_weight: ClassWeight::Balanced, ..LogisticConfig::default() };
    let model = Logistic::fit(Examples::new(table, &labels).unwrap(), &config).unwrap();
    let of_class = |class: u8| {
        let scores: Vec<f64> =
            table.iter().zip(&labels).filter(|(_, l)| **l == class).map(|(r, _)| model.predict(r)).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    // The intercept's condition: 100 * (mean over class 1 of 1 - p) = 100 * (mean over class 0 of p), to 1e-6.
    near(1.0 - of_class(1), of_class(0), 1e-7);
}

#[test]
fn running_out_of_iterations_is_told() {
    let (values, labels) = scaled_breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    for penalty in [Penalty::L1, Penalty::L2] {
        let config = LogisticConfig { penalty, max_iterations: 2, ..LogisticConfig::default() };
        let model = Logistic::fit(examples, &config).unwrap();
        assert!(!model.converged && model.iterations == 2 && model.violation > 1e-6);
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let table = Table::new(&[1.0, 2.0], 1).unwrap();
    let one_class = Examples::new(table, &[1, 1]).unwrap();
    let both = Examples::new(table, &[0, 1]).unwrap();
    let config = LogisticConfig::default();
    assert_eq!(Logistic::fit(one_class, &config), Err(LogisticError::OneClass { class: 1 }));
    let unseen = both.weighted(&[1.0, 0.0]).unwrap();
    assert_eq!(Logistic::fit(unseen, &config), Err(LogisticError::OneClass { class: 0 }));
    assert_eq!(Logistic::fit(both, &LogisticConfig { c: 0.0, ..config }), Err(LogisticError::C(0.0)));
    let tolerance = LogisticConfig { tolerance: -1.0, ..config };
    assert_eq!(Logistic::fit(both, &tolerance), Err(LogisticError::Tolerance(-1.0)));
}

#[test]
fn a_constant_column_gets_no_weight() {
    let values = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0];
    let examples = Examples::new(Table::new(&values, 2).unwrap(), &[0, 1, 0, 1]).unwrap();
    for penalty in [Penalty::L1, Penalty::L2] {
        let model = Logistic::fit(examples, &LogisticConfig { penalty, ..LogisticConfig::default() }).unwrap();
        assert!(model.converged && model.coefficients[0] == 0.0 && model.intercept.is_finite());
    }
}

/// More columns than may join at once, and more than rows.
#[test]
fn a_wide_table_converges_to_few_weights() {
    let (values, labels) = random_examples(60, 200, 11);
    let examples = Examples::new(Table::new(&values, 200).unwrap(), &labels).unwrap();
    let config = LogisticConfig { penalty: Penalty::L1, c: 10.0, ..LogisticConfig::default() };
    let model = Logistic::fit(examples, &config).unwrap();
    assert!(model.converged, "{}", model.violation);
    // An L1 solution in general position has at most as many weights as rows.
    assert!(model.coefficients.iter().filter(|w| **w != 0.0).count() <= 60);
    assert!(conditions(&model, examples, 10.0, Penalty::L1).0 < 1.1e-6);
}

proptest! {
    #[test]
    fn the_optimality_conditions_hold(
        seed: u64, rows in 10_usize..80, columns in 1_usize..8, log_c in -3.0..3.0_f64, lasso: bool,
    ) {
        let (values, labels) = random_examples(rows, columns, seed);
        prop_assume!(labels.contains(&0) && labels.contains(&1));
        let examples = Examples::new(Table::new(&values, columns).unwrap(), &labels).unwrap();
        let c = 10_f64.powf(log_c);
        let penalty = if lasso { Penalty::L1 } else { Penalty::L2 };
        let model = Logistic::fit(examples, &LogisticConfig { c, penalty, ..LogisticConfig::default() }).unwrap();
        prop_assert!(model.converged, "violation {}", model.violation);
        let (violation, objective) = conditions(&model, examples, c, penalty);
        prop_assert!(violation <= 1.001e-6, "{violation}");
        prop_assert!((objective - model.objective).abs() <= 1e-12 * (1.0 + objective));
    }
}

/// The largest violation of the conditions of an optimum, and the objective, from their definitions.
fn conditions(model: &Logistic, examples: Examples<'_>, c: f64, penalty: Penalty) -> (f64, f64) {
    let mut gradient = vec![0.0; model.coefficients.len()];
    let (mut of_intercept, mut loss) = (0.0, 0.0);
    for (row, &label) in examples.table().iter().zip(examples.classes().unwrap().0) {
        let z = model.intercept + row.iter().zip(&model.coefficients).map(|(x, w)| x * w).sum::<f64>();
        let signed = if label == 1 { z } else { -z };
        loss += c * if signed > 0.0 { (-signed).exp().ln_1p() } else { signed.exp().ln_1p() - signed };
        let slope = c * if label == 1 { -1.0 } else { 1.0 } / (1.0 + signed.exp());
        of_intercept += slope;
        for (gradient, x) in gradient.iter_mut().zip(row) {
            *gradient += slope * x;
        }
    }
    let weights = &model.coefficients;
    let charge: f64 = weights.iter().map(|w| if penalty == Penalty::L1 { w.abs() } else { w * w / 2.0 }).sum();
    let violations = gradient.iter().zip(weights).map(|(g, w)| match penalty {
        Penalty::L2 => (g + w).abs(),
        Penalty::L1 if *w == 0.0 => g.abs() - 1.0,
        Penalty::L1 => (g + w.signum()).abs(),
    });
    (violations.fold(f64::abs(of_intercept), f64::max), loss + charge)
}

fn scaled_breast_cancer() -> (Vec<f64>, Vec<u8>) {
    let (values, labels) = breast_cancer();
    let table = Table::new(&values, 30).unwrap();
    (Standardiser::fit(table).unwrap().apply(table).unwrap(), labels)
}

/// Normal columns; the first decides the class, with noise.
fn random_examples(rows: usize, columns: usize, seed: u64) -> (Vec<f64>, Vec<u8>) {
    let mut stream = Stream::new(&[seed], "examples");
    let values: Vec<f64> = (0..rows * columns).map(|_| stream.normal()).collect();
    let labels = (0..rows).map(|row| u8::from(values[row * columns] + stream.normal() > 0.3)).collect();
    (values, labels)
}

/// Tolerance of the file: 1e-5 absolute.
#[test]
fn golden_one_vs_rest() {
    for value in cases("one-vs-rest.json") {
        let case = crate::golden::Case::new(&value);
        let labels: Vec<u8> = case.y().iter().map(|y| *y as u8).collect();
        let target = kilter_tabular::Target::Classes { labels: &labels, count: 3 };
        let config = LogisticConfig { c: value["C"].as_f64().unwrap(), ..LogisticConfig::default() };
        let model = kilter_tabular::OneVsRest::fit(Examples::of(case.table(), target).unwrap(), &config).unwrap();
        let (found, expected) = (model.predict_table(case.queries()), numbers(&value["prediction"]));
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(found, expected)| near(*found, expected, 1e-5));
    }
}
