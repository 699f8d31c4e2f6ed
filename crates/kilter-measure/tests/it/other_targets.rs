use kilter_measure::{ClassPredictions, Diagnosis, NumberPredictions, Predictions, ScoreError};

use crate::golden::{cases, labels, near, numbers};

/// Tolerance of the file: 1e-10 absolute.
#[test]
fn golden_scores() {
    for case in cases("scores.json") {
        let predicted = numbers(&case["prediction"]);
        let expect = |name: &str, found: Option<f64>| near(found.unwrap(), case[name].as_f64().unwrap(), 1e-10);
        match case["kind"].as_str().unwrap() {
            "classes" => {
                let labels = labels(&case["y"]);
                let count = case["count"].as_u64().unwrap() as usize;
                let scored = ClassPredictions::new(&labels, &predicted, count).unwrap();
                expect("log_loss", scored.log_loss());
                expect("auc", scored.auc());
                expect("accuracy", scored.accuracy().map(|share| share.estimate));
                expect("balanced_accuracy", scored.balanced_accuracy());
                expect("macro_f1", scored.macro_f1());
            }
            "numbers" => {
                let truth = numbers(&case["y"]);
                let scored = NumberPredictions::new(&truth, &predicted).unwrap();
                expect("rmse", scored.rmse());
                expect("mae", scored.mae());
                expect("r2", scored.r2());
            }
            "roc" => {
                let labels = labels(&case["y"]);
                let diagnosis = Diagnosis::new(Predictions::new(&labels, &predicted).unwrap(), 0.5);
                let (fpr, tpr) = (numbers(&case["fpr"]), numbers(&case["tpr"]));
                assert_eq!(diagnosis.roc.len(), fpr.len());
                for (point, (fpr, tpr)) in diagnosis.roc.iter().zip(fpr.iter().zip(tpr)) {
                    near(1.0 - point.counts.specificity().unwrap().estimate, *fpr, 1e-10);
                    near(point.counts.sensitivity().unwrap().estimate, tpr, 1e-10);
                }
            }
            other => panic!("unknown kind {other}"),
        }
    }
}

#[test]
fn what_is_undefined_is_absent() {
    let constant = NumberPredictions::new(&[2.0, 2.0], &[1.0, 3.0]).unwrap();
    assert_eq!((constant.r2(), constant.rmse()), (None, Some(1.0)));
    let nothing = NumberPredictions::new(&[], &[]).unwrap();
    assert_eq!((nothing.r2(), nothing.rmse(), nothing.mae()), (None, None, None));
    // Class 2 has no rows, so it has no AUC.
    let scored = ClassPredictions::new(&[0, 1], &[0.5, 0.4, 0.1, 0.1, 0.8, 0.1], 3).unwrap();
    assert_eq!((scored.auc(), scored.balanced_accuracy()), (None, Some(1.0)));
}

#[test]
fn predictions_that_do_not_fit_are_refused() {
    assert_eq!(
        ClassPredictions::new(&[0, 1], &[0.5; 5], 3).unwrap_err(),
        ScoreError::Length { found: 5, rows: 2, outputs: 3 }
    );
    assert_eq!(
        ClassPredictions::new(&[3], &[0.5; 3], 3).unwrap_err().to_string(),
        "labels, row 0: found 3; the class must be from 0 to 2"
    );
    assert!(matches!(NumberPredictions::new(&[1.0], &[f64::NAN]), Err(ScoreError::Prediction { row: 0, .. })));
}
