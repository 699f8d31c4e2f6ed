//! In which precision passes run (Micikevicius et al., *Mixed Precision Training*, 2018; with bfloat16, whose exponent reaches
//! as far as that of f32 so that losses need no scaling, Kalamkar et al., *A Study of BFLOAT16 for Deep Learning Training*,
//! 2019).
//!
//! A pass computes with weights that are cast, and the cast is on the tape: gradients arrive in f32, where steps are taken.
//! Cost: one more copy of the weights, of half the size; what a pass keeps for the backward pass takes half the memory.

use burn::backend::{Backend, Dispatch};
use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::params::Params;

/// What forward and backward passes compute with. Weights, their gradients, what the optimizer remembers, averages and
/// checkpoints are f32 whatever it is, and so is what is computed of losses, softmaxes and normalisations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The weights as they are.
    #[default]
    F32,
    /// bfloat16: eight bits of an exponent, eight digits.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Does the device compute with it?
    pub(super) fn is_known_to(self, device: &Device) -> bool {
        self == Self::F32 || Dispatch::supports_dtype(device.as_dispatch(), DType::BF16)
    }

    /// The weights that a pass computes with.
    pub(super) fn weights(self, params: &Params) -> Params {
        match self {
            Self::F32 => params.clone(),
            Self::Bf16 => params.cast_on_tape(DType::BF16),
        }
    }
}
