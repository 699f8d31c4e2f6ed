use kilter_laws::limits::Quantity;
use kilter_laws::step_law::{
    FitConfig, Plateau, PlateauError, Question, QuestionError, Regressor, Run, StepLaw, StepLawFitError,
    bootstrap_rows, dense_runs, fit, gaps, hold_out_largest, nearest_released, plateau,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{cases, golden, near, near_absolute, number, numbers};

// Runs of this machine are `kilter-recipes`' (`laws/step_law.rs`).

fn reference() -> (Value, f64) {
    golden("05-step-law", "step-law.json")
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[test]
fn golden_predictions() {
    let (golden, _) = reference();
    for case in cases(&golden, "predictions") {
        let question = Question::new(number(&case["N"]), number(&case["D"]));
        for (law, key) in [(StepLaw::paper(), "paper"), (StepLaw::released(), "released")] {
            let found = law.predict(&question).unwrap();
            // 1e-12: exponents of size 20 rounded to 4e-15.
            near(found.learning_rate, number(&case[key]["lr"]), 1e-12);
            near(found.batch_tokens, number(&case[key]["batch_tokens"]), 1e-12);
        }
    }
}

#[test]
fn golden_constants_are_the_released_ones() {
    let (golden, _) = reference();
    let released = &golden["constants"]["released_log_space"];
    let law = StepLaw::released().coefficients;
    assert_eq!((law.lr.to_vec(), law.batch.to_vec()), (numbers(&released["lr"]), numbers(&released["batch_tokens"])));
    let paper = StepLaw::paper().coefficients;
    assert_eq!(paper.lr[1..], numbers(&golden["constants"]["paper"]["lr"])[1..]);
    assert_eq!(paper.batch[1], number(&golden["constants"]["paper"]["batch_tokens"][1]));
}

#[test]
fn the_released_constants_are_the_mean_of_the_released_fits() {
    let rows = bootstrap_rows();
    assert_eq!(rows.len(), 1000);
    let law = StepLaw::released().coefficients;
    // The authors print six digits; deviations are to four.
    type Read = fn(&kilter_laws::step_law::Coefficients) -> f64;
    let statistics: [(Read, f64, f64); 5] = [
        (|c| c.lr[0], law.lr[0], 0.6237),
        (|c| c.lr[1], law.lr[1], 0.0299),
        (|c| c.lr[2], law.lr[2], 0.0191),
        (|c| c.batch[0], law.batch[0], 0.4372),
        (|c| c.batch[1], law.batch[1], 0.0187),
    ];
    for (of, expected, deviation) in statistics {
        let found = mean(rows.iter().map(of));
        near_absolute(found, expected, 5e-7);
        let variance = rows.iter().map(|row| (of(row) - found).powi(2)).sum::<f64>() / 999.0;
        near_absolute(variance.sqrt(), deviation, 6e-5);
    }
}

#[test]
fn golden_refit_of_the_released_runs() {
    let (golden, tolerance) = reference();
    assert_eq!(dense_runs().len(), 1911);
    let found = fit(dense_runs(), &FitConfig { bootstrap: 200, ..FitConfig::default() }).unwrap();
    let refit = &golden["refit_all"];
    assert_eq!(found.rows_kept as u64, refit["rows_kept"].as_u64().unwrap());
    for (found, expected) in found.law.coefficients.lr.iter().zip(numbers(&refit["lr"])) {
        near(*found, expected, tolerance);
    }
    for (found, expected) in found.law.coefficients.batch.iter().zip(numbers(&refit["batch_tokens"])) {
        near(*found, expected, tolerance);
    }
    // How near the released part of the runs comes to the published exponents.
    let published = StepLaw::paper().coefficients;
    near_absolute(found.law.coefficients.lr[1], published.lr[1], 0.06);
    near_absolute(found.law.coefficients.lr[2], published.lr[2], 0.12);
    near_absolute(found.law.coefficients.batch[1], published.batch[1], 0.05);
    assert!(found.unfitted.is_empty());
    for uncertain in found.lr.iter().chain(&found.batch) {
        let interval = uncertain.coefficient;
        assert!(interval.low < interval.estimate && interval.estimate < interval.high, "{uncertain:?}");
        assert!((uncertain.mean - interval.estimate).abs() < uncertain.deviation, "{uncertain:?}");
    }
}

#[test]
fn golden_gaps_of_the_published_law() {
    let (golden, tolerance) = reference();
    let law = StepLaw::paper().coefficients;
    let found = gaps(dense_runs(), 2048, 40, |n, d| law.at(n, d)).unwrap();
    let expected = cases(&golden, "gaps_paper_law");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.parameters, number(&expected["N"]));
        assert_eq!(found.tokens, number(&expected["D"]));
        assert_eq!(found.runs as f64, number(&expected["runs"]));
        assert_eq!(found.best_loss, number(&expected["best_loss"]));
        assert_eq!(found.nearest_learning_rate, number(&expected["nearest_learning_rate"]));
        assert_eq!(found.nearest_batch_sequences, number(&expected["nearest_batch"]));
        // A gap is a ratio near 1 minus 1: what is left of 1e-16.
        near_absolute(found.gap, number(&expected["gap"]), tolerance * 1e-3);
    }
    let mut sorted: Vec<f64> = found.iter().map(|gap| gap.gap).collect();
    sorted.sort_by(f64::total_cmp);
    let summary = &golden["gap_summary"];
    near(mean(sorted.iter().copied()), number(&summary["mean"]), tolerance);
    near(sorted[sorted.len() / 2], number(&summary["median"]), tolerance);
    near(sorted[sorted.len() - 1], number(&summary["max"]), tolerance);
}

#[test]
fn one_setting_for_all_sizes_costs_more_than_the_law() {
    // An independent program found 0.29 % for the best single setting of the table, 0.55 % for a usual guess.
    let law = StepLaw::paper().coefficients;
    let of_law = gaps(dense_runs(), 2048, 40, |n, d| law.at(n, d)).unwrap();
    let fixed = |lr: f64, batch: f64| gaps(dense_runs(), 2048, 40, |_, _| (lr, batch * 2048.0)).unwrap();
    let (single, usual) = (fixed(1.953e-3, 192.0), fixed(9.77e-4, 128.0));
    near_absolute(mean(single.iter().map(|gap| gap.gap)), 0.0029, 5e-5);
    near_absolute(mean(usual.iter().map(|gap| gap.gap)), 0.0055, 5e-5);
    assert_eq!(of_law.iter().zip(&single).filter(|(law, single)| law.gap < single.gap).count(), 14);
}

#[test]
fn the_largest_size_is_predicted_from_the_smaller_ones() {
    let config = FitConfig { bootstrap: 0, ..FitConfig::default() };
    let found = hold_out_largest(dense_runs(), &config, 40).unwrap();
    assert_eq!(found.gaps.len(), 2);
    for gap in &found.gaps {
        assert_eq!(gap.parameters, 1_073_741_824.0);
        assert!(gap.gap <= 0.001, "{gap:?}");
    }
    assert_eq!(found.fit.law.parameters.high, 536_872_960.0);
    let one_size: Vec<Run> = dense_runs().iter().copied().filter(|run| run.parameters == 1_073_741_824.0).collect();
    assert_eq!(hold_out_largest(&one_size, &config, 40).unwrap_err(), StepLawFitError::OneSize(1_073_741_824.0));
}

#[test]
fn a_prediction_says_its_interval_and_its_limits() {
    let law = StepLaw::released();
    let inside = law.predict(&Question::new(1_073_741_824.0, 56.9e9)).unwrap();
    assert!(inside.outside.is_empty() && inside.likely_meant.is_none());
    let interval = inside.learning_rate_interval.unwrap();
    assert!(interval.low < inside.learning_rate && inside.learning_rate < interval.high);
    // Intercepts and slopes are anti-correlated: added deviations would give a factor of e^(2 * 1.7) to either side.
    assert!(interval.high / interval.low < 1.5, "{interval:?}");
    assert_eq!(inside.batch_sequences % 8, 0);
    assert_eq!(inside.steps, (56.9e9 / (inside.batch_sequences * 2048) as f64).ceil() as u64);

    let beyond = law.predict(&Question::new(7e9, 1.4e12)).unwrap();
    let named: Vec<Quantity> = beyond.outside.iter().map(|outside| outside.fitted.quantity).collect();
    assert_eq!(named, [Quantity::Parameters, Quantity::Tokens]);
    near(beyond.outside[1].factor(), 14.0, 1e-12);
    assert!(beyond.outside[1].to_string().contains("tokens 1.400e12 is a factor 14.00 outside"));
}

#[test]
fn tokens_in_billions_are_noticed() {
    let meant = |n, d| StepLaw::released().predict(&Question::new(n, d)).unwrap().likely_meant.map(|s| s.likely_tokens);
    assert_eq!(meant(1e9, 56.9), Some(56.9e9));
    assert_eq!(meant(1e9, 300_000.0), Some(300_000e9));
    assert_eq!(meant(7e9, 6.9e7), Some(6.9e7 * 1e6));
    assert_eq!(meant(1e9, 1e9), None);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let law = StepLaw::released();
    for (n, d) in [(0.0, 1e9), (1e9, -1.0), (f64::NAN, 1e9), (1e9, f64::INFINITY)] {
        assert!(law.predict(&Question::new(n, d)).is_err(), "{n} {d}");
    }
    let question = Question { round_to: 0, ..Question::new(1e9, 1e10) };
    assert_eq!(law.predict(&question), Err(QuestionError::NotPositive { what: "round_to", value: 0.0 }));
    let question = Question { seq_len: 0, ..Question::new(1e9, 1e10) };
    assert!(law.predict(&question).is_err());
    // A tiny run still gets one multiple of the granularity.
    assert_eq!(law.predict(&Question::new(1e6, 2e6)).unwrap().batch_sequences, 8);
}

fn grid(settings: &[(f64, f64)]) -> Vec<Run> {
    let law = StepLaw::paper().coefficients;
    let mut runs = Vec::new();
    for &(parameters, tokens) in settings {
        let (learning_rate, batch) = law.at(parameters, tokens);
        for factor in [0.5, 1.0, 2.0] {
            let loss = Some(2.0 + 0.1 * f64::ln(factor).powi(2));
            runs.push(Run {
                parameters,
                tokens,
                learning_rate: learning_rate * factor,
                batch_sequences: batch / 2048.0,
                loss,
            });
        }
    }
    runs
}

#[test]
fn exponents_the_runs_cannot_tell_are_named_and_left_out() {
    let config = FitConfig { bootstrap: 50, ..FitConfig::default() };
    let full = fit(&grid(&[(1e8, 1e9), (2e8, 1e9), (1e8, 8e9), (4e8, 9e9)]), &config).unwrap();
    near(full.law.coefficients.lr[1], -0.713, 1e-9);
    near(full.law.coefficients.lr[2], 0.307, 1e-9);
    assert!(full.unfitted.is_empty());

    let one_size = fit(&grid(&[(1e8, 1e9), (1e8, 2e9), (1e8, 8e9)]), &config).unwrap();
    assert_eq!(one_size.law.coefficients.lr[1], 0.0);
    near(one_size.law.coefficients.lr[2], 0.307, 1e-9);
    assert_eq!(one_size.unfitted.len(), 1);
    assert_eq!((one_size.unfitted[0].regressor, one_size.unfitted[0].confounded), (Regressor::Parameters, false));

    // Twenty tokens per parameter everywhere: N and D cannot be told apart.
    let chinchilla = fit(&grid(&[(1e8, 2e9), (2e8, 4e9), (4e8, 8e9)]), &config).unwrap();
    assert_eq!((chinchilla.unfitted[0].regressor, chinchilla.unfitted[0].confounded), (Regressor::Parameters, true));
    near(chinchilla.law.coefficients.lr[2], 0.307 - 0.713, 1e-9);

    let one_length = fit(&grid(&[(1e8, 2e9), (2e8, 2e9)]), &config).unwrap();
    assert_eq!(one_length.unfitted.len(), 2, "the tokens' exponent of both laws");
    near(one_length.law.coefficients.lr[1], -0.713, 1e-9);
}

#[test]
fn runs_that_cannot_be_are_refused_by_row() {
    let config = FitConfig::default();
    let mut runs = grid(&[(1e8, 1e9), (2e8, 1e9), (1e8, 8e9)]);
    runs[4].learning_rate = 0.0;
    let why = fit(&runs, &config).unwrap_err();
    assert_eq!(why, StepLawFitError::Row { row: 4, what: "learning_rate", value: 0.0 });
    let mut runs = grid(&[(1e8, 1e9), (2e8, 1e9), (1e8, 8e9)]);
    runs[0].loss = None;
    runs[3].loss = Some(f64::NAN);
    assert_eq!(fit(&runs, &FitConfig { bootstrap: 10, ..config }).unwrap().rows_without_loss, 2);
    runs.iter_mut().for_each(|run| run.loss = None);
    assert_eq!(fit(&runs, &config).unwrap_err(), StepLawFitError::NoLoss { rows: 9 });
    assert!(matches!(fit(&runs, &FitConfig { keep_within: 0.0, ..config }), Err(StepLawFitError::KeepWithin(_))));
}

fn bowl(h: [f64; 3], at: [f64; 2]) -> Vec<Run> {
    let mut runs = Vec::new();
    for i in -2..=2 {
        for j in -2..=2 {
            let (u, v) = (0.2 * f64::from(i), 0.3 * f64::from(j));
            let (du, dv) = (u - at[0], v - at[1]);
            let loss = 2.0 + h[0] * du * du + 2.0 * h[1] * du * dv + h[2] * dv * dv;
            let (learning_rate, batch_sequences) = (1e-3 * u.exp(), 100.0 * v.exp());
            runs.push(Run { parameters: 1e8, tokens: 1e9, learning_rate, batch_sequences, loss: Some(loss) });
        }
    }
    runs
}

#[test]
fn a_quadratic_surface_gives_back_its_plateau() {
    let runs = bowl([0.05, 0.01, 0.02], [0.1, -0.05]);
    let Plateau { learning_rate, batch_sequences, loss, curvature, half_axes, .. } = plateau(&runs, 0.0025).unwrap();
    near(learning_rate, 1e-3 * 0.1_f64.exp(), 1e-9);
    near(batch_sequences, 100.0 * (-0.05_f64).exp(), 1e-9);
    near(loss, 2.0, 1e-12);
    for (found, expected) in curvature.iter().zip([0.05, 0.01, 0.02]) {
        near(*found, expected, 1e-9);
    }
    // Area of the ellipse: pi r² / sqrt(det H), with r² = 0.0025 * 2.
    near(half_axes[0] * half_axes[1], 0.005 / (0.05 * 0.02 - 0.01 * 0.01_f64).sqrt(), 1e-9);
    assert!(half_axes[0] >= half_axes[1]);
}

#[test]
fn a_surface_without_a_minimum_has_no_plateau() {
    let saddle = bowl([0.05, 0.0, -0.02], [0.0, 0.0]);
    assert!(matches!(plateau(&saddle, 0.0025), Err(PlateauError::NotConvex(..))));
    assert!(matches!(plateau(&saddle[..4], 0.0025), Err(PlateauError::Undetermined { rows: 4, .. })));
    assert!(matches!(plateau(&[], 0.0025), Err(PlateauError::Undetermined { rows: 0, .. })));
    assert_eq!(plateau(&saddle, 0.0), Err(PlateauError::Relative(0.0)));
}

#[test]
fn the_released_grids_have_plateaus() {
    let group: Vec<Run> =
        dense_runs().iter().copied().filter(|run| run.parameters == 536_872_960.0 && run.tokens == 1e10).collect();
    let found = plateau(&group, 0.0025).unwrap();
    // The best run of this grid is at 9.766e-4 and 128 sequences.
    assert!((found.learning_rate / 9.766e-4).ln().abs() < 0.5 && (found.batch_sequences / 128.0).ln().abs() < 0.5);
    assert!(found.learning_rate_factor > 1.2 && found.batch_factor > 1.2, "{found:?}");
}

proptest! {
    #[test]
    fn doubling_the_tokens_scales_both(n in 1e7..1e10_f64, d in 1e8..1e12_f64) {
        let law = StepLaw::paper().coefficients;
        let ((lr, batch), (lr2, batch2)) = (law.at(n, d), law.at(n, 2.0 * d));
        near(lr2 / lr, 2.0_f64.powf(0.307), 1e-12);
        near(batch2 / batch, 2.0_f64.powf(0.571), 1e-12);
        prop_assert_eq!(law.at(2.0 * n, d).1, batch);
    }
}

/// The rim is where the surface is as high as was asked, also when it is moved elsewhere.
#[test]
fn a_plateaus_rim_is_as_high_as_asked() {
    let (n, d, found) = nearest_released(4e8, 2e10, 0.0025).unwrap();
    assert!(n > 1e8 && n < 2e9 && d > 4e9 && d < 1e11, "{n} {d}");
    for (rate, batch) in found.rim_about(found.learning_rate, found.batch_sequences, 24) {
        near(found.excess(rate, batch), 0.0025, 1e-9);
    }
    let moved = found.rim_about(1e-3, 100.0, 4);
    assert_eq!(moved.len(), 5);
    near(moved[0].0, moved[4].0, 1e-12);
    let (dr, db) = (found.learning_rate / 1e-3, found.batch_sequences / 100.0);
    near(found.excess(moved[1].0 * dr, moved[1].1 * db), 0.0025, 1e-9);
}
