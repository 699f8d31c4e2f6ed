//! Step Law: the learning rate and batch size of language-model pre-training from model size and tokens.
//!
//! *Predictable Scale: Part I - Optimal Hyperparameter Scaling Law in Large Language Model Pretraining* (2025):
//! `lr = 1.79 N^-0.713 D^0.307`, `B = 0.58 D^0.571` (tokens), N parameters without embeddings, D training tokens. The
//! default here is the mean of the authors' 1000 released bootstrap fits, which differs from the paper's rounded constants
//! by about 1 % at the sizes they trained; the interval pushes (N, D) through all 1000 fits, because intercepts and slopes
//! are strongly anti-correlated. Cost: a prediction evaluates 1000 rows; the table is parsed once per process.

mod fit;
mod plateau;
mod released;

use kilter_numerics::compare::Interval;
use serde::Serialize;
use thiserror::Error;

pub use fit::{
    FitConfig, Gap, HeldOut, Regressor, Run, StepLawFitError, Uncertain, Unfitted, UserFit, fit, gaps, hold_out_cell,
    hold_out_largest,
};
pub use plateau::{Plateau, PlateauError, nearest_released, plateau};
pub use released::{bootstrap_rows, dense_runs};

use crate::limits::{Fitted, Outside, Quantity, serialize_optional_interval};
use crate::power_law::percentile_interval;

/// The sequence length of all runs behind the law, in tokens.
pub const SEQUENCE_LENGTH: u64 = 2048;

/// What the runs behind the law have in common, as remembered but for the final learning rate and the sequence length.
/// The fixed final learning rate matters: with a tenth of the peak instead, the best peak of large learning rates shifts
/// downwards.
pub const ASSUMPTIONS: [&str; 6] = [
    "AdamW: beta1 0.9, beta2 0.95, epsilon 1e-8, weight decay 0.1, gradients clipped at 1.0",
    "cosine decay after 2000 steps of warm-up to a fixed final learning rate of 1e-5 (not a share of the peak)",
    "sequences of 2048 tokens",
    "pre-norm with RMSNorm, no biases, SwiGLU",
    "N counts layers * (4 h² + 3 h ffn): no embeddings, no output head, no norms",
    "mixtures of experts: N is the total without embeddings",
];

/// The sizes of the fitted dense runs (non-embedding parameters; lower end as remembered; the upper end
/// covers the largest released runs, 1,073,741,824).
pub const FITTED_PARAMETERS: Fitted = Fitted { quantity: Quantity::Parameters, low: 6e7, high: 1.1e9 };
/// The training lengths of the fitted dense runs.
pub const FITTED_TOKENS: Fitted = Fitted { quantity: Quantity::Tokens, low: 2e9, high: 1e11 };

/// One fit in log space: `ln lr = lr[0] + lr[1] ln N + lr[2] ln D`, `ln B = batch[0] + batch[1] ln D` (B in tokens).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coefficients {
    /// Intercept, exponent of N, exponent of D.
    pub lr: [f64; 3],
    /// Intercept, exponent of D.
    pub batch: [f64; 2],
}

impl Coefficients {
    /// Peak learning rate and batch in tokens.
    pub fn at(&self, parameters: f64, tokens: f64) -> (f64, f64) {
        let (n, d) = (parameters.ln(), tokens.ln());
        let lr = self.lr[0] + self.lr[1] * n + self.lr[2] * d;
        (lr.exp(), (self.batch[0] + self.batch[1] * d).exp())
    }
}

/// Where a law's constants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Constants {
    /// The paper's, rounded.
    Paper,
    /// The mean of the released bootstrap fits.
    Released,
    /// Fitted to the user's own runs.
    Own,
}

/// The law: constants, their uncertainty, and the range they were fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLaw {
    /// Where the constants come from.
    pub constants: Constants,
    /// The constants.
    pub coefficients: Coefficients,
    /// Fits of resampled rows, for intervals; may be empty.
    pub bootstrap: Vec<Coefficients>,
    /// Range of the non-embedding parameters.
    pub parameters: Fitted,
    /// Range of the tokens.
    pub tokens: Fitted,
}

impl StepLaw {
    /// The paper's rounded constants; the interval is that of the released fits.
    pub fn paper() -> Self {
        let lr = [1.79_f64.ln(), -0.713, 0.307];
        let coefficients = Coefficients { lr, batch: [0.58_f64.ln(), 0.571] };
        Self { constants: Constants::Paper, coefficients, ..Self::released() }
    }

    /// The mean of the released bootstrap fits, in log space, at the six digits the authors print.
    pub fn released() -> Self {
        Self {
            constants: Constants::Released,
            coefficients: Coefficients { lr: [0.586_308, -0.712_922, 0.307_491], batch: [-0.543_542, 0.570_944] },
            bootstrap: bootstrap_rows().to_vec(),
            parameters: FITTED_PARAMETERS,
            tokens: FITTED_TOKENS,
        }
    }

    /// What to train with.
    ///
    /// # Errors
    /// A size, length, sequence length or granularity that is not positive.
    pub fn predict(&self, question: &Question) -> Result<Prediction, QuestionError> {
        let Question { parameters, tokens, seq_len, round_to } = *question;
        for (what, value) in [("parameters", parameters), ("tokens", tokens)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(QuestionError::NotPositive { what, value });
            }
        }
        for (what, value) in [("seq_len", seq_len), ("round_to", round_to)] {
            if value == 0 {
                return Err(QuestionError::NotPositive { what, value: 0.0 });
            }
        }
        let (learning_rate, batch_tokens) = self.coefficients.at(parameters, tokens);
        let draws: Vec<(f64, f64)> = self.bootstrap.iter().map(|row| row.at(parameters, tokens)).collect();
        let unit = (seq_len * round_to) as f64;
        let batch_sequences = (batch_tokens / unit).round().max(1.0) as u64 * round_to;
        Ok(Prediction {
            constants: self.constants,
            learning_rate,
            learning_rate_interval: percentile_interval(learning_rate, draws.iter().map(|draw| draw.0)),
            batch_tokens,
            batch_tokens_interval: percentile_interval(batch_tokens, draws.iter().map(|draw| draw.1)),
            batch_sequences,
            steps: (tokens / (batch_sequences * seq_len) as f64).ceil() as u64,
            outside: [self.parameters.outside(parameters), self.tokens.outside(tokens)].into_iter().flatten().collect(),
            likely_meant: SuspectUnit::of(parameters, tokens),
        })
    }
}

/// What is to be trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// Parameters without embeddings and output head ([`crate::transformer_cost`] counts them).
    pub parameters: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Tokens per sequence, default 2048.
    pub seq_len: u64,
    /// The batch is rounded to a multiple of so many sequences, default 8.
    pub round_to: u64,
}

impl Question {
    /// With the law's sequence length and batches in multiples of 8 sequences.
    pub fn new(parameters: f64, tokens: f64) -> Self {
        Self { parameters, tokens, seq_len: SEQUENCE_LENGTH, round_to: 8 }
    }
}

/// A question without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum QuestionError {
    /// Sizes are positive.
    #[error("{what}: {value} must be finite and above 0")]
    NotPositive {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: f64,
    },
}

/// What to train with, how sure that is, and whether the law knows this size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Where the constants come from.
    pub constants: Constants,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The same with the 95 % interval of the bootstrap fits.
    #[serde(serialize_with = "serialize_optional_interval")]
    pub learning_rate_interval: Option<Interval>,
    /// Tokens per step, not rounded.
    pub batch_tokens: f64,
    /// The same with the 95 % interval of the bootstrap fits.
    #[serde(serialize_with = "serialize_optional_interval")]
    pub batch_tokens_interval: Option<Interval>,
    /// Sequences per step, the nearest multiple of the granularity, at least one.
    pub batch_sequences: u64,
    /// Steps of `batch_sequences` that use up the tokens: `ceil(D / batch)`.
    pub steps: u64,
    /// What lies outside the fitted range; empty inside.
    pub outside: Vec<Outside>,
    /// A unit that looks wrong.
    pub likely_meant: Option<SuspectUnit>,
}

/// Token counts that look as if they were given in another unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SuspectUnit {
    /// What was given.
    pub tokens: f64,
    /// What was likely meant.
    pub likely_tokens: f64,
}

impl SuspectUnit {
    /// Fewer than a million tokens, or than a hundredth of the parameters, is no training run: the count was in billions,
    /// or else in millions or thousands, whichever first gives a run that is not longer than all text there is.
    pub fn of(parameters: f64, tokens: f64) -> Option<Self> {
        let enough = (parameters / 100.0).max(1e6);
        let scaled = [1e9, 1e6, 1e3].map(|unit| tokens * unit);
        let likely = scaled.into_iter().find(|run| (enough..=1e15).contains(run)).unwrap_or(scaled[0]);
        (tokens < enough).then_some(Self { tokens, likely_tokens: likely })
    }
}
