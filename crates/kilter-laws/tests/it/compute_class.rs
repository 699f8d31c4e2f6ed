use kilter_laws::compute_class::{
    ClassError, ClassRun, Window, budget, compare_families, fit_family, perplexity, windows,
};
use kilter_laws::power_law::FitError;
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{cases, golden, integer, near, number, numbers, text};

// Of `compute-class.json`, `quasi_lstm` is the forward pass of a layer: `kilter-nn` holds itself against it.

fn reference() -> (Value, f64) {
    golden("12-compute-class", "compute-class.json")
}

fn bought(case: &Value) -> kilter_laws::compute_class::Budget {
    let (batch, seq_len) = (integer(&case["batch"]), integer(&case["seq_len"]));
    budget(number(&case["tokens_per_second"]), number(&case["hours"]), batch, seq_len).unwrap()
}

#[test]
fn golden_steps() {
    let (golden, tolerance) = reference();
    for case in cases(&golden, "steps") {
        let found = bought(case);
        near(found.tokens, number(&case["tokens"]), tolerance);
        assert_eq!(found.steps, integer(&case["steps"]));
    }
    // The published rows round a step up here and there.
    for case in cases(&golden, "published_steps") {
        assert!(bought(case).steps.abs_diff(integer(&case["steps"])) <= 1, "{case}");
    }
}

#[test]
fn golden_perplexities() {
    let (golden, tolerance) = reference();
    for case in cases(&golden, "perplexity") {
        let found = perplexity(&numbers(&case["nll"]), text(&case["text"])).unwrap();
        near(found.normalised, number(&case["normalised_perplexity"]), tolerance);
        near(found.by_chars, number(&case["by_chars"]), tolerance);
        near(found.token, number(&case["token_perplexity"]), tolerance);
        near(found.bits_per_byte, number(&case["bits_per_byte"]), tolerance);
    }
}

#[test]
fn golden_windows() {
    let (golden, _) = reference();
    for case in cases(&golden, "windows") {
        let size = |key: &str| integer(&case[key]) as usize;
        let found: Vec<Window> = windows(size("n_tokens"), size("seq_len"), size("last_n")).unwrap().collect();
        assert_eq!(serde_json::to_value(&found).unwrap(), case["windows"]);
    }
}

fn runs(family: &Value) -> Vec<ClassRun> {
    let (hours, perplexities) = (numbers(&family["hours"]), numbers(&family["ppl"]));
    hours.into_iter().zip(perplexities).map(|(hours, perplexity)| ClassRun { hours, perplexity }).collect()
}

#[test]
fn golden_scaling_and_crossing() {
    let (golden, tolerance) = reference();
    for case in cases(&golden, "scaling") {
        let found = compare_families(&runs(&case["first"]), &runs(&case["second"]), 50, 0).unwrap();
        for (fit, key) in [(found.first, "first"), (found.second, "second")] {
            near(fit.a, number(&case[key]["a"]), tolerance);
            near(fit.b, number(&case[key]["b"]), tolerance);
            assert!(fit.r_squared > 0.99);
        }
        let crossing = found.crossing_hours.unwrap();
        near(crossing.estimate, number(&case["crossing_hours"]), tolerance);
        // One run per class: every resample is the same.
        assert_eq!((crossing.low, crossing.high, found.share_crossing), (crossing.estimate, crossing.estimate, 1.0));
    }
}

fn family(a: f64, b: f64, noise: f64) -> Vec<ClassRun> {
    let mut runs = Vec::new();
    for (class, hours) in [6.0, 12.0, 24.0, 48.0_f64].into_iter().enumerate() {
        for seed in 0..3 {
            let wobble = noise * f64::from((class as i32 * 7 + seed * 5) % 4);
            runs.push(ClassRun { hours, perplexity: (a + b * hours.ln() + wobble).exp() });
        }
    }
    runs
}

#[test]
fn a_crossing_over_noisy_seeds_has_an_interval_around_the_truth() {
    let found = compare_families(&family(1.0, -0.05, 0.002), &family(1.3, -0.09, 0.002), 500, 3).unwrap();
    let truth = (0.3_f64 / 0.04).exp();
    let crossing = found.crossing_hours.unwrap();
    assert!(crossing.low < crossing.high && crossing.low / 1.5 < truth && truth < crossing.high * 1.5, "{crossing:?}");
    let hours = found.first.hours_to(2.0).unwrap();
    near(found.first.at(hours), 2.0, 1e-12);
    near(found.first.tokens_to(2.0, 100.0).unwrap(), hours * 360_000.0, 1e-15);
}

#[test]
fn laws_that_never_meet_say_so() {
    let parallel = compare_families(&family(1.0, -0.05, 0.0), &family(1.3, -0.05, 0.0), 10, 0).unwrap();
    assert_eq!((parallel.crossing_hours, parallel.share_crossing), (None, 0.0));
    let far = compare_families(&family(1.0, -0.05, 0.0), &family(1.9, -0.06, 0.0), 10, 0).unwrap();
    assert_eq!(far.crossing_hours, None, "e^90 hours is no answer");
    let rising = fit_family(&family(1.0, 0.05, 0.0)).unwrap();
    assert_eq!(rising.hours_to(0.5), None);
}

#[test]
fn impossible_classes_are_refused() {
    let why = budget(1000.0, 0.001, 64, 512).unwrap_err();
    let ClassError::NoStep { smallest_hours, .. } = why else { panic!("{why}") };
    near(smallest_hours, 64.0 * 512.0 / 3.6e6, 1e-14);
    assert_eq!(budget(1000.0, smallest_hours * 1.0001, 64, 512).unwrap().steps, 1);
    assert!(budget(1000.0, 0.0, 64, 512).is_err() && budget(f64::NAN, 1.0, 64, 512).is_err());
    assert!(budget(1000.0, 1.0, 0, 512).is_err() && budget(1000.0, -1.0, 64, 512).is_err());
    let why = windows(100, 12, 5).map(Iterator::count).unwrap_err();
    assert_eq!(why, ClassError::LastN { last_n: 5, seq_len: 12, example: 4 });
    assert!(windows(100, 12, 0).is_err() && windows(100, 0, 1).is_err());
    assert_eq!(perplexity(&[], "text"), Err(ClassError::Nothing));
    assert_eq!(perplexity(&[1.0], ""), Err(ClassError::Nothing));
    assert!(matches!(perplexity(&[1.0, f64::NAN], "a"), Err(ClassError::Likelihood { index: 1, .. })));
    let one_class = [ClassRun { hours: 6.0, perplexity: 2.0 }; 3];
    assert_eq!(fit_family(&one_class), Err(ClassError::Fit(FitError::TooFew { rows: 1, coefficients: 2 })));
    assert!(fit_family(&[ClassRun { hours: 0.0, perplexity: 2.0 }]).is_err());
}

proptest! {
    #[test]
    fn every_target_after_the_first_window_is_scored_once(tokens in 0_usize..400, blocks in 1_usize..6, last_n in 1_usize..9) {
        let seq_len = blocks * last_n;
        let mut next = seq_len - last_n + 1;
        for window in windows(tokens, seq_len, last_n).unwrap() {
            prop_assert_eq!(window.scored_targets[0], next);
            prop_assert!(window.scored_targets[1] <= tokens);
            next = window.scored_targets[1];
        }
        // What is left over is less than one shift.
        prop_assert!(next + last_n > tokens);
    }
}
