//! How good predicted probabilities of two classes are: the numbers a clinician asks for.
//!
//! AUC by midranks, which count a tie as one half (Hanley and McNeil, *The Meaning and Use of the Area under a Receiver
//! Operating Characteristic Curve*, 1982); Brier's mean square (1950); Wilson's intervals. An undefined ratio (0/0) is
//! `None`, never 0. Cost: one sort for the AUC, one pass for the rest.

use kilter_numerics::compare::{Interval, Z_95, wilson};

use crate::{ScoreError, check, check_labels};

/// Probabilities this near 0 or 1 are moved here before their logarithm is taken: the spacing of `f64` at 1, as
/// scikit-learn does. One certain and wrong prediction therefore costs 36.04.
pub const LOG_LOSS_CLIP: f64 = f64::EPSILON;

/// Predicted scores (probabilities of class 1, or for ranks anything that grows with them) beside the true classes.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    labels: &'a [u8],
    scores: &'a [f64],
}

impl<'a> Predictions<'a> {
    /// Joins true classes and scores, row by row.
    ///
    /// # Errors
    /// Different lengths, a label other than 0 and 1, or a score that is not finite.
    pub fn new(labels: &'a [u8], scores: &'a [f64]) -> Result<Self, ScoreError> {
        check(labels.len(), 1, scores)?;
        check_labels(labels, 2)?;
        Ok(Self { labels, scores })
    }

    /// Scores and classes, row by row.
    pub(crate) fn pairs(self) -> Vec<(f64, u8)> {
        self.scores.iter().copied().zip(self.labels.iter().copied()).collect()
    }

    /// Mean of `-ln p(true class)` with probabilities clipped to `[LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP]`; in nats, lower is
    /// better. `None` without rows.
    pub fn log_loss(self) -> Option<f64> {
        self.mean(|label, score| {
            let p = score.clamp(LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP);
            -(if label == 1 { p } else { 1.0 - p }).ln()
        })
    }

    /// Mean square of probability minus class, in [0, 1], lower is better. `None` without rows.
    pub fn brier(self) -> Option<f64> {
        self.mean(|label, score| (score - f64::from(label)).powi(2))
    }

    /// The chance that a random positive scores above a random negative, ties counting one half, in [0, 1]. `None`
    /// unless both classes are present.
    pub fn auc(self) -> Option<f64> {
        let positives = self.positives();
        let negatives = self.labels.len() - positives;
        if positives == 0 || negatives == 0 {
            return None;
        }
        let mut ascending = self.pairs();
        ascending.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // Twice the midranks of the positives: whole numbers, so the sum is exact.
        let (mut doubled, mut before) = (0, 0);
        for tied in ascending.chunk_by(|a, b| a.0 == b.0) {
            let midrank_doubled = 2 * before + tied.len() + 1;
            doubled += midrank_doubled * tied.iter().filter(|(_, label)| *label == 1).count();
            before += tied.len();
        }
        Some((doubled - positives * (positives + 1)) as f64 / (2.0 * positives as f64 * negatives as f64))
    }

    /// The four counts when a score of at least `threshold` is called positive.
    pub fn confusion(self, threshold: f64) -> Confusion {
        let mut counts = Confusion::default();
        for (&label, &score) in self.labels.iter().zip(self.scores) {
            match (label == 1, score >= threshold) {
                (true, true) => counts.true_positives += 1,
                (false, true) => counts.false_positives += 1,
                (true, false) => counts.false_negatives += 1,
                (false, false) => counts.true_negatives += 1,
            }
        }
        counts
    }

    /// The largest observed score that, taken as threshold, reaches the sensitivity. `None` without positives, or if
    /// `min_sensitivity` is above 1.
    pub fn threshold_for_sensitivity(self, min_sensitivity: f64) -> Option<f64> {
        let positives = self.positives();
        if positives == 0 {
            return None;
        }
        let needed = (0..=positives).find(|&k| k as f64 / positives as f64 >= min_sensitivity)?;
        if needed == 0 {
            return self.scores.iter().copied().max_by(f64::total_cmp);
        }
        // Sensitivity changes at the positives' scores only, so the threshold is one of them.
        let mut descending: Vec<f64> =
            self.scores.iter().zip(self.labels).filter(|(_, label)| **label == 1).map(|(score, _)| *score).collect();
        descending.sort_unstable_by(|a, b| b.total_cmp(a));
        descending.get(needed - 1).copied()
    }

    fn positives(self) -> usize {
        self.labels.iter().filter(|&&label| label == 1).count()
    }

    fn mean(self, of: impl Fn(u8, f64) -> f64) -> Option<f64> {
        if self.labels.is_empty() {
            return None;
        }
        let sum: f64 = self.labels.iter().zip(self.scores).map(|(&label, &score)| of(label, score)).sum();
        Some(sum / self.labels.len() as f64)
    }
}

/// Counts of right and wrong calls at one threshold. Each proportion comes with its Wilson 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Positives called positive.
    pub true_positives: u64,
    /// Negatives called positive.
    pub false_positives: u64,
    /// Negatives called negative.
    pub true_negatives: u64,
    /// Positives called negative.
    pub false_negatives: u64,
}

impl Confusion {
    /// Share of right calls. `None` without rows.
    pub fn accuracy(self) -> Option<Interval> {
        let right = self.true_positives + self.true_negatives;
        wilson(right, right + self.false_positives + self.false_negatives, Z_95)
    }

    /// Share of the positives that were found, TP/(TP+FN). `None` without positives.
    pub fn sensitivity(self) -> Option<Interval> {
        wilson(self.true_positives, self.true_positives + self.false_negatives, Z_95)
    }

    /// Share of the negatives that were cleared, TN/(TN+FP). `None` without negatives.
    pub fn specificity(self) -> Option<Interval> {
        wilson(self.true_negatives, self.true_negatives + self.false_positives, Z_95)
    }

    /// Share of the positive calls that were right, TP/(TP+FP). `None` if nothing was called positive.
    pub fn precision(self) -> Option<Interval> {
        wilson(self.true_positives, self.true_positives + self.false_positives, Z_95)
    }

    /// Harmonic mean of precision and sensitivity, 2TP/(2TP+FP+FN), in [0, 1]. `None` if there was neither a positive
    /// nor a positive call.
    pub fn f1(self) -> Option<f64> {
        let doubled = 2 * self.true_positives;
        let all = doubled + self.false_positives + self.false_negatives;
        (all > 0).then(|| doubled as f64 / all as f64)
    }
}
