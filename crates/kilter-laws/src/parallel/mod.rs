//! What a training costs on a cluster, before it is started: memory per device, time per step, and every way of cutting a
//! decoder over tensor, pipeline and data parallel ranks that fits (*Optimizing Distributed Training on Frontier for Large
//! Language Models*, 2023; it released no code, so the formulas are the published ones that it builds on: 1F1B and
//! interleaved pipelines and activation memory of Narayanan et al. 2021 and Korthikanti et al. 2022, ZeRO of Rajbhandari
//! et al. 2020).
//!
//! Everything is closed form: a plan costs some hundred operations, so whole spaces are listed instead of searched. The
//! model knows no kernels: its one free number is the efficiency of a hardware row.

mod batch;
mod enumerate;
mod hardware;
mod memory;
mod published;
mod time;

pub use batch::{Filled, largest_batches};
pub use enumerate::{Bounds, Found, Plan, Refusal, divisors, plans, smallest_that_fits};
pub use hardware::{HARDWARE, Hardware};
pub use memory::{Memory, memory};
pub use published::{PUBLISHED, Point, Published, calibrated, published};
pub use time::{Time, time};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::transformer_cost::{Mixer, ShapeError, Transformer};

/// A GPT-like decoder with feed-forward nets of 4 h, or of a shape of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Blocks, l.
    pub layers: u64,
    /// Width, h.
    pub hidden: u64,
    /// Attention heads, A.
    pub heads: u64,
    /// Tokens per sequence, s.
    pub seq_len: u64,
    /// Tokens of the vocabulary, V.
    pub vocabulary: u64,
    /// Its shape, if it is another than GPT's: what is counted then. Layers, width, heads, tokens and vocabulary are its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Transformer>,
}

/// Models of the paper and usual smaller ones: name, layers, width, heads.
pub const MODELS: &[(&str, u64, u64, u64)] = &[
    ("gpt-125m", 12, 768, 12),
    ("gpt-1.3b", 24, 2048, 16),
    ("gpt-6.7b", 32, 4096, 32),
    ("gpt-22b", 48, 6144, 48),
    ("gpt-175b", 96, 12_288, 96),
    ("gpt-1t", 128, 25_600, 128),
];

impl Model {
    /// The model of this name, with 2048 tokens per sequence and a vocabulary of 51,200.
    pub fn named(name: &str) -> Option<Self> {
        let &(name, layers, hidden, heads) = MODELS.iter().find(|model| model.0 == name)?;
        Some(Self { name: name.to_owned(), layers, hidden, heads, seq_len: 2048, vocabulary: 51_200, shape: None })
    }

    /// A model of this shape: grouped queries, gated feed-forward nets, tied heads and the like are counted as they are.
    ///
    /// # Errors
    /// Sizes that make no decoder with attention.
    pub fn of_shape(name: &str, shape: &Transformer) -> Result<Self, ModelError> {
        shape.check()?;
        if shape.mixer != Mixer::Attention {
            return Err(ModelError::NoAttention);
        }
        let Transformer { layers, hidden, heads, seq_len, vocabulary, .. } = *shape;
        Ok(Self { name: name.to_owned(), layers, hidden, heads, seq_len, vocabulary, shape: Some(*shape) })
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// A size of 0, or a width that the heads do not divide.
    pub fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("seq_len", self.seq_len),
            ("vocabulary", self.vocabulary),
        ];
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((what, _)) => Err(ModelError::Zero(what)),
            // A shape of its own says how wide its heads are.
            None if self.shape.is_some() => Ok(()),
            None if !self.hidden.is_multiple_of(self.heads) => {
                Err(ModelError::Heads { hidden: self.hidden, heads: self.heads })
            }
            None => Ok(()),
        }
    }

    /// `12 l h² (1 + 13/(12 h) + (V + s)/(12 l h))`; of a shape of its own, what its tensors hold.
    pub fn parameters(&self) -> f64 {
        if let Some(shape) = &self.shape {
            return shape.parameters().total() as f64;
        }
        let (l, h) = (self.layers as f64, self.hidden as f64);
        12.0 * l * h * h * (1.0 + 13.0 / (12.0 * h) + (self.vocabulary + self.seq_len) as f64 / (12.0 * l * h))
    }

    /// Operations of so many sequences in `passes` forward passes: 3 of training, 4 with full recomputation.
    pub fn flop(&self, sequences: f64, passes: f64) -> f64 {
        if let Some(shape) = &self.shape {
            // The head's share of a pass as in the formula below, where four passes count its three once.
            let token = shape.block_forward_flop() + 0.75 * shape.head_forward_flop();
            return passes * sequences * self.seq_len as f64 * token;
        }
        let (l, h, s) = (self.layers as f64, self.hidden as f64, self.seq_len as f64);
        24.0 * passes * sequences * s * l * h * h * (1.0 + s / (6.0 * h) + self.vocabulary as f64 / (16.0 * l * h))
    }
}

impl Model {
    /// Parameters outside of the blocks: of the first stage and of the last.
    fn ends(&self) -> (f64, f64) {
        let h = self.hidden as f64;
        match &self.shape {
            None => ((self.vocabulary + self.seq_len) as f64 * h, self.vocabulary as f64 * h),
            Some(shape) => {
                let parts = shape.parameters();
                // A tied head is held by the last stage, too.
                ((parts.embedding + parts.positions) as f64, (self.vocabulary * self.hidden) as f64)
            }
        }
    }

    /// Parameters of the blocks.
    fn blocks(&self) -> f64 {
        let (l, h) = (self.layers as f64, self.hidden as f64);
        match &self.shape {
            None => (12.0 * h * h + 13.0 * h) * l,
            Some(shape) => {
                let parts = shape.parameters();
                (parts.mixer + parts.feed_forward + parts.biases + parts.norms) as f64
            }
        }
    }

    /// Bytes per token that a layer keeps for its backward pass, but for the scores: those that every tensor parallel rank
    /// holds, and those that are cut (Korthikanti et al. 2022, section 4.1).
    fn kept(&self) -> (f64, f64) {
        let h = self.hidden as f64;
        match &self.shape {
            None => (10.0 * h, 24.0 * h),
            Some(shape) => {
                let (units, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
                // Query, key, value and what goes into the output map; a gate keeps its two inputs, its activation and
                // their product.
                let mixer = 2 * (2 * units + 2 * kv);
                let feed_forward = if shape.gated { 8 * shape.ffn } else { 4 * shape.ffn };
                (10.0 * h, (mixer + feed_forward) as f64)
            }
        }
    }
}

/// Why sizes make no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// The shape is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// What recurs is cut over devices in other ways.
    #[error("mixer = \"quasi_lstm\" has no plan: the costs of activations and exchanges are those of attention")]
    NoAttention,
    /// A size of 0.
    #[error("{0}: 0 must be at least 1")]
    Zero(&'static str),
    /// Heads must divide the width.
    #[error("hidden = {hidden} is not divisible by {heads} heads")]
    Heads {
        /// The width.
        hidden: u64,
        /// The heads.
        heads: u64,
    },
}

/// Which activations are computed again in the backward pass instead of kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// None.
    None,
    /// Those of attention (as flash attention does).
    Selective,
    /// All of a layer.
    Full,
}

impl Recompute {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Selective, Self::Full];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Selective => "selective",
            Self::Full => "full",
        }
    }

    /// Forward passes that a step takes the time of.
    pub fn passes(self) -> f64 {
        if self == Self::Full { 4.0 } else { 3.0 }
    }
}

/// Bytes per parameter that a training keeps, as weights, gradients, optimizer (with master weights).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// The paper's table: 2, 4 and 8.
    Paper14,
    /// Half-precision gradients: 2, 2 and 12.
    Adam16,
    /// Full-precision gradients: 2, 4 and 12.
    #[default]
    Adam18,
}

impl Accounting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Paper14, Self::Adam16, Self::Adam18];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper14 => "paper14",
            Self::Adam16 => "adam16",
            Self::Adam18 => "adam18",
        }
    }

    /// Bytes per parameter of weights, gradients, optimizer.
    pub fn bytes(self) -> [f64; 3] {
        match self {
            Self::Paper14 => [2.0, 4.0, 8.0],
            Self::Adam16 => [2.0, 2.0, 12.0],
            Self::Adam18 => [2.0, 4.0, 12.0],
        }
    }
}

/// How a training is cut over devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Tensor parallel ranks, t.
    pub tp: u64,
    /// Pipeline stages, p.
    pub pp: u64,
    /// Data parallel replicas.
    pub dp: u64,
    /// Sequences per micro-batch, b.
    pub micro_batch: u64,
    /// Sequences per step, over all replicas.
    pub global_batch: u64,
    /// ZeRO stage, 0 to 3: optimizer, then gradients, then weights are cut over replicas.
    pub zero: u8,
    /// Chunks of layers per stage, v; 1 is the plain 1F1B pipeline.
    pub interleave: u64,
    /// What is computed again.
    pub recompute: Recompute,
    /// Are activations between tensor parallel parts cut along the sequence?
    pub sequence_parallel: bool,
}

impl Strategy {
    /// Devices that it takes.
    pub fn devices(&self) -> u64 {
        self.tp * self.pp * self.dp
    }

    /// Micro-batches that a replica runs per step, m.
    pub fn micro_batches(&self) -> u64 {
        self.global_batch / (self.dp * self.micro_batch).max(1)
    }
}

/// What the model of costs presumes beside hardware.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Bytes per parameter.
    pub accounting: Accounting,
    /// Share of the gradients' exchange that is hidden behind computing, 0 to 1, default 0.5.
    pub overlap: f64,
    /// Share of a device's memory that stays free, 0 to 0.3, default 0.08.
    pub headroom: f64,
    /// Memory lost to fragmentation, as a share of what is used, default 0.05.
    pub fragmentation: f64,
    /// Memory that the runtime takes, in bytes, default 1e9.
    pub runtime_bytes: f64,
    /// Tokens of a micro-batch at which half of the efficiency is reached, default 0 (always all of it).
    pub half_efficiency_tokens: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            accounting: Accounting::default(),
            overlap: 0.5,
            headroom: 0.08,
            fragmentation: 0.05,
            runtime_bytes: 1e9,
            half_efficiency_tokens: 0.0,
        }
    }
}
