use kilter_measure::classification::LOG_LOSS_CLIP;
use kilter_measure::{Confusion, Predictions, ScoreError};
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{cases, labels, near, numbers};

/// Tolerance of the file: 1e-10 absolute. Every key of every case is compared; an unknown one fails.
#[test]
fn golden_metrics() {
    for case in cases("metrics.json") {
        let (labels, scores) = (labels(&case["y"]), numbers(&case["score"]));
        let predictions = Predictions::new(&labels, &scores).unwrap();
        let counts = predictions.confusion(0.5);
        let number = |value: Option<f64>| value.map_or(Vec::new(), |v| vec![v]);
        let proportion = |interval: Option<kilter_numerics::compare::Interval>| number(interval.map(|i| i.estimate));
        for (key, expected) in case.as_object().unwrap() {
            let found = match key.as_str() {
                "y" | "score" => continue,
                "tp" => vec![counts.true_positives as f64],
                "fp" => vec![counts.false_positives as f64],
                "fn" => vec![counts.false_negatives as f64],
                "tn" => vec![counts.true_negatives as f64],
                "accuracy" => proportion(counts.accuracy()),
                "sensitivity" => proportion(counts.sensitivity()),
                "specificity" => proportion(counts.specificity()),
                "precision" => proportion(counts.precision()),
                "f1" => number(counts.f1()),
                "auc" => number(predictions.auc()),
                "brier" => number(predictions.brier()),
                "wilson_sensitivity" => counts.sensitivity().map_or(Vec::new(), |i| vec![i.low, i.high]),
                "wilson_specificity" => counts.specificity().map_or(Vec::new(), |i| vec![i.low, i.high]),
                "largest_threshold_with_sensitivity_090" => number(predictions.threshold_for_sensitivity(0.9)),
                other => panic!("the reference has {other:?}, which this test does not know"),
            };
            let expected = match expected {
                Value::Null => Vec::new(),
                Value::Array(_) => numbers(expected),
                one => vec![one.as_f64().unwrap()],
            };
            assert_eq!(found.len(), expected.len(), "{key}");
            for (found, expected) in found.iter().zip(expected) {
                near(*found, expected, 1e-10);
            }
        }
    }
}

#[test]
fn one_certain_error_costs_thirty_six() {
    let log_loss = |label, score| Predictions::new(&[label], &[score]).unwrap().log_loss().unwrap();
    near(log_loss(1, 0.0), 36.043_653_389_117_15, 1e-12);
    near(log_loss(0, 1.0), 36.043_653_389_117_15, 1e-12);
    near(log_loss(1, 1.0), LOG_LOSS_CLIP, 1e-30);
    near(log_loss(1, 0.25), 4.0_f64.ln(), 1e-15);
}

#[test]
fn nothing_is_undefined_in_silence() {
    let none = Predictions::new(&[], &[]).unwrap();
    assert_eq!((none.log_loss(), none.brier(), none.auc()), (None, None, None));
    assert_eq!(none.threshold_for_sensitivity(0.5), None);
    let counts = none.confusion(0.5);
    assert_eq!(counts, Confusion::default());
    assert_eq!(
        (counts.accuracy(), counts.sensitivity(), counts.specificity(), counts.precision()),
        (None, None, None, None)
    );
    assert_eq!(counts.f1(), None);
}

#[test]
fn what_is_no_prediction_is_refused() {
    assert!(matches!(Predictions::new(&[1], &[0.1, 0.2]), Err(ScoreError::Length { found: 2, rows: 1, .. })));
    assert!(matches!(Predictions::new(&[2], &[0.1]), Err(ScoreError::Label { row: 0, found: 2, .. })));
    assert!(matches!(Predictions::new(&[1], &[f64::NAN]), Err(ScoreError::Prediction { row: 0, .. })));
}

proptest! {
    #[test]
    fn auc_is_the_share_of_pairs_in_order(rows in prop::collection::vec((0_u8..2, 0_u8..10), 2..60)) {
        let (labels, scores): (Vec<u8>, Vec<f64>) = rows.into_iter().map(|(l, s)| (l, f64::from(s))).unzip();
        let of_class = |class: u8| labels.iter().zip(&scores).filter(move |(l, _)| **l == class).map(|(_, s)| *s);
        let pairs: Vec<f64> = of_class(1)
            .flat_map(|p| of_class(0).map(move |n| if p > n { 1.0 } else if p == n { 0.5 } else { 0.0 }))
            .collect();
        let auc = Predictions::new(&labels, &scores).unwrap().auc();
        if pairs.is_empty() {
            prop_assert_eq!(auc, None);
        } else {
            // Sums of halves are exact; one division each.
            prop_assert_eq!(auc, Some(pairs.iter().sum::<f64>() / pairs.len() as f64));
        }
    }

    #[test]
    fn a_threshold_reaches_the_sensitivity_and_the_next_score_does_not(
        rows in prop::collection::vec((0_u8..2, 0_u8..10), 1..60), wanted in 0.0..=1.0_f64,
    ) {
        let (labels, scores): (Vec<u8>, Vec<f64>) = rows.into_iter().map(|(l, s)| (l, f64::from(s))).unzip();
        let predictions = Predictions::new(&labels, &scores).unwrap();
        let reached = |threshold: f64| predictions.confusion(threshold).sensitivity().is_some_and(|s| s.estimate >= wanted);
        let best = scores.iter().copied().filter(|&score| reached(score)).max_by(f64::total_cmp);
        prop_assert_eq!(predictions.threshold_for_sensitivity(wanted), best);
    }
}
