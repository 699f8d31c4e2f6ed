//! What a decoder-only language model costs: its parameters by part, floating-point operations, bytes.
//!
//! Exact counts of the tensors that a description implies; shared by the Step Law (non-embedding size), compute classes
//! and the planner. Operations count a multiply-add as two and only matrix products; attention is not halved for
//! causality, as is usual (Narayanan et al., *Efficient Large-Scale Language Model Training on GPU Clusters Using
//! Megatron-LM*, 2021, appendix). Cost: O(1).

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What mixes positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Softmax attention: query, key, value and output maps.
    #[default]
    Attention,
    /// Quasi-LSTM of *The Languini Kitchen* (2023): four maps from the input alone (gates f, i, o and z), and an output
    /// map; no learned positions.
    QuasiLstm,
}

/// What normalises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Layer norm: gain and bias.
    #[default]
    Layer,
    /// RMSNorm: gain.
    Rms,
}

/// A pre-norm decoder: per layer a mixer and a feed-forward net, each after a norm; a final norm; a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transformer {
    /// Blocks.
    pub layers: u64,
    /// Width of the residual stream, h.
    pub hidden: u64,
    /// Heads of queries.
    pub heads: u64,
    /// Heads of keys and values: `heads`, or fewer with grouped queries.
    pub kv_heads: u64,
    /// Units per head; `heads * head_dim` may differ from `hidden`.
    pub head_dim: u64,
    /// Width of the feed-forward net.
    pub ffn: u64,
    /// Whether the feed-forward net has a gate (three maps instead of two).
    pub gated: bool,
    /// Tokens of the vocabulary.
    pub vocabulary: u64,
    /// Tokens per sequence.
    pub seq_len: u64,
    /// What mixes positions.
    pub mixer: Mixer,
    /// What normalises.
    pub norm: Norm,
    /// Whether the block's maps have biases.
    pub biases: bool,
    /// Whether positions are learned (one vector per position of the sequence).
    pub learned_positions: bool,
    /// Whether the head is the embedding.
    pub tied_head: bool,
}

/// Parameters by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// Token embedding.
    pub embedding: u64,
    /// Learned positions.
    pub positions: u64,
    /// Matrices of attention or of the quasi-LSTM, all layers.
    pub mixer: u64,
    /// Matrices of the feed-forward nets, all layers.
    pub feed_forward: u64,
    /// Biases of the blocks' maps.
    pub biases: u64,
    /// Norms, the final one included.
    pub norms: u64,
    /// Output head; 0 when tied.
    pub head: u64,
}

impl Parameters {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.embedding + self.positions + self.mixer + self.feed_forward + self.biases + self.norms + self.head
    }

    /// N of the Step Law: the blocks' matrices; no embeddings, head, norms or biases.
    pub fn non_embedding(&self) -> u64 {
        self.mixer + self.feed_forward
    }
}

/// Why a description is no transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A size of 0.
    #[error("{0}: 0 must be at least 1")]
    Zero(&'static str),
    /// Groups of queries must be equal.
    #[error("{heads} heads are not divisible by {kv_heads} heads of keys and values; make kv_heads a divisor of heads")]
    Groups {
        /// Heads of queries.
        heads: u64,
        /// Heads of keys and values.
        kv_heads: u64,
    },
    /// The sizes multiply beyond what can be counted.
    #[error("the sizes give more than 1e18 parameters; check their units")]
    TooLarge,
}

impl Transformer {
    /// The shape of GPT-2 and GPT-3: layer norm, biases, learned positions, feed-forward of 4 h, tied head.
    pub fn gpt(layers: u64, hidden: u64, heads: u64, vocabulary: u64, seq_len: u64) -> Self {
        Self {
            layers,
            hidden,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads.max(1),
            ffn: 4 * hidden,
            gated: false,
            vocabulary,
            seq_len,
            mixer: Mixer::Attention,
            norm: Norm::Layer,
            biases: true,
            learned_positions: true,
            tied_head: true,
        }
    }

    /// The shape behind the Step Law and of Llama: RMSNorm, no biases, gated feed-forward, no learned positions, own head.
    pub fn llama(layers: u64, hidden: u64, heads: u64, ffn: u64, vocabulary: u64, seq_len: u64) -> Self {
        Self {
            ffn,
            gated: true,
            norm: Norm::Rms,
            biases: false,
            learned_positions: false,
            tied_head: false,
            ..Self::gpt(layers, hidden, heads, vocabulary, seq_len)
        }
    }

    /// Checks the description.
    ///
    /// # Errors
    /// A size of 0, groups of unequal size, or more than 1e18 parameters.
    pub fn check(&self) -> Result<(), ShapeError> {
        let sizes = [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("ffn", self.ffn),
            ("vocabulary", self.vocabulary),
            ("seq_len", self.seq_len),
        ];
        if let Some((what, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ShapeError::Zero(what));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ShapeError::Groups { heads: self.heads, kv_heads: self.kv_heads });
        }
        let (h, units) = (self.hidden as f64, self.heads as f64 * self.head_dim as f64);
        let block = h * (5.0 * units + 3.0 * self.ffn as f64);
        let around = h * (2.0 * self.vocabulary as f64 + self.seq_len as f64);
        if self.layers as f64 * block + around > 1e18 { Err(ShapeError::TooLarge) } else { Ok(()) }
    }

    /// Parameters by part, of a description that passes [`Self::check`].
    pub fn parameters(&self) -> Parameters {
        let Self { layers, hidden: h, ffn, vocabulary, .. } = *self;
        let (units, kv_units) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        // Widths of the mixer's maps out of the stream; one more map leads back.
        let mixed = match self.mixer {
            Mixer::Attention => units + 2 * kv_units,
            Mixer::QuasiLstm => 4 * units,
        };
        let ffn_in = if self.gated { 2 * ffn } else { ffn };
        let per_norm = match self.norm {
            Norm::Layer => 2 * h,
            Norm::Rms => h,
        };
        Parameters {
            embedding: vocabulary * h,
            positions: if self.learned_positions { self.seq_len * h } else { 0 },
            mixer: layers * (mixed * h + units * h),
            feed_forward: layers * (ffn_in * h + ffn * h),
            biases: if self.biases { layers * (mixed + h + ffn_in + h) } else { 0 },
            norms: (2 * layers + 1) * per_norm,
            head: if self.tied_head { 0 } else { vocabulary * h },
        }
    }

    /// Floating-point operations of one token through the blocks, forward, in a full sequence.
    pub fn block_forward_flop(&self) -> f64 {
        let parts = self.parameters();
        // Scores and weighted values: 2 * 2 * s * units per token and layer.
        let attention = match self.mixer {
            Mixer::Attention => 4.0 * (self.layers * self.seq_len * self.heads * self.head_dim) as f64,
            Mixer::QuasiLstm => 0.0,
        };
        2.0 * parts.non_embedding() as f64 + attention
    }

    /// Floating-point operations of one token through the head, forward.
    pub fn head_forward_flop(&self) -> f64 {
        2.0 * (self.vocabulary * self.hidden) as f64
    }

    /// Operations per token of training: a backward pass costs two forward passes, and full recomputation of activations
    /// runs the blocks (not the head) forward once more.
    pub fn training_flop(&self, recompute: bool) -> f64 {
        let passes = if recompute { 4.0 } else { 3.0 };
        passes * self.block_forward_flop() + 3.0 * self.head_forward_flop()
    }

    /// Bytes of all parameters at `bytes_per_parameter`.
    pub fn weight_bytes(&self, bytes_per_parameter: f64) -> f64 {
        self.parameters().total() as f64 * bytes_per_parameter
    }
}
