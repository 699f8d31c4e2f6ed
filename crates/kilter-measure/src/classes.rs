//! How good predicted probabilities of several classes are.
//!
//! AUC is the mean over classes of each against the rest (Fawcett, *An Introduction to ROC Analysis*, 2006, unweighted).
//! Cost: one sort per class for the AUC, one pass for the rest.

use kilter_numerics::compare::{Interval, Z_95, wilson};

use crate::classification::{LOG_LOSS_CLIP, Predictions};
use crate::{ScoreError, check, check_labels};

/// A predicted probability for every class beside the true classes.
#[derive(Clone, Copy, Debug)]
pub struct ClassPredictions<'a> {
    labels: &'a [u8],
    /// `[rows, count]`.
    shares: &'a [f64],
    count: usize,
}

impl<'a> ClassPredictions<'a> {
    /// Joins true classes and the probabilities of all `count` classes, row by row.
    ///
    /// # Errors
    /// Different lengths, a label that is no class, or a probability that is not finite.
    pub fn new(labels: &'a [u8], shares: &'a [f64], count: usize) -> Result<Self, ScoreError> {
        check(labels.len(), count, shares)?;
        check_labels(labels, count)?;
        Ok(Self { labels, shares, count })
    }

    fn rows(self) -> impl Iterator<Item = (usize, &'a [f64])> {
        self.labels.iter().map(|&label| usize::from(label)).zip(self.shares.chunks_exact(self.count.max(1)))
    }

    /// Mean of `-ln p(true class)`, clipped as that of two classes; in nats, lower is better. `None` without rows.
    pub fn log_loss(self) -> Option<f64> {
        let sum: f64 = self.rows().map(|(class, p)| -p[class].clamp(LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP).ln()).sum();
        (!self.labels.is_empty()).then(|| sum / self.labels.len() as f64)
    }

    /// Mean over classes of the chance that a row of the class gets more of its probability than another row, ties counting
    /// one half. `None` unless every class has rows.
    pub fn auc(self) -> Option<f64> {
        let mut sum = 0.0;
        for class in 0..self.count {
            let labels: Vec<u8> = self.labels.iter().map(|&l| u8::from(usize::from(l) == class)).collect();
            let scores: Vec<f64> = self.rows().map(|(_, p)| p[class]).collect();
            sum += Predictions::new(&labels, &scores).ok()?.auc()?;
        }
        Some(sum / self.count as f64)
    }

    /// Share of rows whose most probable class is the true one, with its Wilson 95 % interval. `None` without rows.
    pub fn accuracy(self) -> Option<Interval> {
        let right = self.rows().filter(|(class, p)| called(p) == *class).count();
        wilson(right as u64, self.labels.len() as u64, Z_95)
    }

    /// Mean over the classes that have rows of the share of their rows that were found. `None` without rows.
    pub fn balanced_accuracy(self) -> Option<f64> {
        let counts = self.counts();
        let found: Vec<f64> =
            counts.iter().filter(|c| c.of_class > 0).map(|c| c.right as f64 / c.of_class as f64).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }

    /// Mean over classes of the harmonic mean of precision and recall; of a class with neither rows nor calls 0. `None`
    /// without rows.
    pub fn macro_f1(self) -> Option<f64> {
        let of = |c: &Counts| {
            if c.of_class + c.called == 0 { 0.0 } else { 2.0 * c.right as f64 / (c.of_class + c.called) as f64 }
        };
        (!self.labels.is_empty()).then(|| self.counts().iter().map(of).sum::<f64>() / self.count as f64)
    }

    fn counts(self) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.count];
        for (class, p) in self.rows() {
            let call = called(p);
            counts[class].of_class += 1;
            counts[call].called += 1;
            counts[class].right += usize::from(call == class);
        }
        counts
    }
}

#[derive(Clone, Default)]
struct Counts {
    of_class: usize,
    called: usize,
    right: usize,
}

/// The most probable class, the first of equals.
fn called(shares: &[f64]) -> usize {
    let mut best = 0;
    for (class, share) in shares.iter().enumerate() {
        if *share > shares[best] {
            best = class;
        }
    }
    best
}
