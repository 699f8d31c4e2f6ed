//! How a learning rate falls to the end of a training: shared by the laws that plan it and the trainer that keeps to it.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How a rate falls from where its last decay finds it, as a function of the share x of the decay that is done (*Power
/// Scheduler*, 2024, compares these).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fall {
    /// `(e^(1-x) - 1) / (e - 1)`: the normalised exponential of the authors' engine, 0 at the end.
    #[default]
    ExpZero,
    /// `0.001^x`: ends at a thousandth, because an exponential never ends.
    Exp,
    /// `1 - x`.
    Linear,
    /// `1 - √x`.
    Sqrt,
    /// `(1 + cos πx) / 2`.
    Cosine,
}

impl Fall {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::ExpZero, Self::Exp, Self::Linear, Self::Sqrt, Self::Cosine];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExpZero => "exp_zero",
            Self::Exp => "exp",
            Self::Linear => "linear",
            Self::Sqrt => "sqrt",
            Self::Cosine => "cosine",
        }
    }

    /// The factor on the last rate before the decay, 1 at 0; `x` is held to 0..=1.
    pub fn factor(self, x: f64) -> f64 {
        let x = x.clamp(0.0, 1.0);
        match self {
            Self::ExpZero => (1.0 - x).exp_m1() / 1.0_f64.exp_m1(),
            Self::Exp => 1e-3_f64.powf(x),
            Self::Linear => 1.0 - x,
            Self::Sqrt => 1.0 - x.sqrt(),
            Self::Cosine => 0.5 * (1.0 + (PI * x).cos()),
        }
    }
}
