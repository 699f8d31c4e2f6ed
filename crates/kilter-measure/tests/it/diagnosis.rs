use kilter_measure::diagnosis::Warning;
use kilter_measure::{Diagnosis, Predictions};
use proptest::prelude::*;

#[test]
fn swapped_labels_are_noticed() {
    let diagnosis = |labels: &[u8]| Diagnosis::new(Predictions::new(labels, &[0.1, 0.2, 0.8, 0.9]).unwrap(), 0.5);
    assert_eq!(diagnosis(&[1, 1, 0, 0]).warnings, [Warning::LabelsMayBeSwapped]);
    assert_eq!(diagnosis(&[0, 0, 1, 1]).warnings, []);
}

#[test]
fn a_diagnosis_of_one_class_says_what_it_can() {
    let diagnosis = Diagnosis::new(Predictions::new(&[1, 1], &[0.2, 0.7]).unwrap(), 0.5);
    assert_eq!((diagnosis.rows, diagnosis.auc), ([2, 0], None));
    assert_eq!(diagnosis.at.counts.sensitivity().map(|s| s.estimate), Some(0.5));
    assert_eq!(diagnosis.at.counts.specificity(), None);
}

proptest! {
    /// The ROC curve climbs from nobody to everybody, its area is the AUC, and the bins hold every row once.
    #[test]
    fn curve_and_bins_account_for_every_row(rows in prop::collection::vec((0_u8..2, 0_u32..12), 1..80)) {
        let (labels, scores): (Vec<u8>, Vec<f64>) =
            rows.into_iter().map(|(label, score)| (label, f64::from(score) / 11.0)).unzip();
        let diagnosis = Diagnosis::new(Predictions::new(&labels, &scores).unwrap(), 0.5);
        let [positives, negatives] = diagnosis.rows;
        prop_assert_eq!(positives + negatives, labels.len() as u64);
        let ends = (diagnosis.roc[0].counts, diagnosis.roc[diagnosis.roc.len() - 1].counts);
        prop_assert_eq!((ends.0.true_positives, ends.0.false_positives), (0, 0));
        prop_assert_eq!((ends.1.true_positives, ends.1.false_positives), (positives, negatives));
        let mut doubled = 0;
        for pair in diagnosis.roc.windows(2) {
            let (a, b) = (pair[0].counts, pair[1].counts);
            prop_assert!(pair[1].threshold < pair[0].threshold);
            doubled += (b.false_positives - a.false_positives) * (b.true_positives + a.true_positives);
        }
        match diagnosis.auc {
            Some(auc) => prop_assert!((auc - doubled as f64 / (2 * positives * negatives) as f64).abs() < 1e-12),
            None => prop_assert!(positives == 0 || negatives == 0),
        }
        prop_assert_eq!(diagnosis.calibration.iter().map(|bin| bin.rows).sum::<u64>(), labels.len() as u64);
        prop_assert!(diagnosis.calibration.windows(2).all(|pair| pair[0].predicted < pair[1].predicted));
    }
}
