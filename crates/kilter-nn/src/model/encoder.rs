//! Bidirectional transformer encoder (Devlin et al., *BERT*, 2019): word, position and segment vectors, normalisation
//! after each part. MiniLM sentence encoders are of this kind.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::layer::{Attention, Block, Embedding, LayerNorm, Linear};
use crate::op::{Curve, Mask};
use crate::params::{Declared, Params, Scope};
use crate::tokens::Tokens;
use crate::view::{Dual, Pair};

/// How token vectors become one vector of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over its tokens.
    #[default]
    Mean,
    /// The mean, scaled to length 1.
    NormalisedMean,
    /// The first token's.
    First,
}

/// What a vector's length is at least where it is divided by it.
const SHORTEST: f64 = 1e-12;

/// BERT-like encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens of a text, at most.
    pub positions: usize,
    /// Segments.
    pub segments: usize,
    /// Width.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Added to variances.
    pub epsilon: f64,
    /// Share that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl Encoder {
    /// all-MiniLM-L6-v2 and its kin of `layers` layers.
    pub fn minilm(layers: usize) -> Self {
        let (vocabulary, positions, segments) = (30_522, 512, 2);
        let (width, heads, hidden, epsilon) = (384, 12, 1536, 1e-12);
        Self { vocabulary, positions, segments, width, layers, heads, hidden, epsilon, dropout: 0.0 }
    }

    fn table(&self, rows: usize) -> Embedding {
        Embedding { rows, width: self.width, init: Init::Normal { deviation: 0.02 } }
    }

    fn norm(&self) -> LayerNorm {
        LayerNorm { width: self.width, epsilon: self.epsilon }
    }

    fn block(&self) -> Block {
        let init = Init::Normal { deviation: 0.02 };
        let attention = Attention { width: self.width, heads: self.heads, init, output_init: init };
        let (epsilon, dropout) = (self.epsilon, self.dropout);
        Block { attention, hidden: self.hidden, curve: Curve::Exact, norm_first: false, epsilon, dropout }
    }

    /// Tokens `[batch · length]`, padded, with each text's number of tokens, to vectors `[batch · length, width]`.
    pub fn forward(
        &self,
        weights: &Scope<'_>,
        tokens: Arc<[i64]>,
        lengths: Arc<[usize]>,
        context: &mut Context<'_>,
    ) -> Tensor<2> {
        let batch = lengths.len();
        let length = tokens.len() / batch;
        let positions: Arc<[i64]> = (0..batch).flat_map(|_| 0..length as i64).collect();
        let segments: Arc<[i64]> = vec![0; tokens.len()].into();
        let mut of = |name: &str, rows: usize, indices| self.table(rows).forward(&weights.of(name), indices, context);
        let x = of("tokens", self.vocabulary, tokens)
            + of("positions", self.positions, positions)
            + of("segments", self.segments, segments);
        let x = self.norm().forward(&weights.of("norm"), x, context);
        let mut x = context.dropout(x, self.dropout);
        for i in 0..self.layers {
            let mask = Mask::Lengths(lengths.clone());
            x = self.block().forward(&weights.of(&format!("blocks.{i}")), x, batch, mask, context);
        }
        x
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, tokens: &Arc<[i64]>, lengths: &Arc<[usize]>) -> Dual<2> {
        let batch = lengths.len();
        let length = tokens.len() / batch;
        let positions: Arc<[i64]> = (0..batch).flat_map(|_| 0..length as i64).collect();
        let segments: Arc<[i64]> = vec![0; tokens.len()].into();
        let of = |name: &str, rows: usize, indices: &Arc<[i64]>| self.table(rows).dual(&weights.of(name), indices);
        let x = of("tokens", self.vocabulary, tokens).plus(of("positions", self.positions, &positions));
        let x = x.plus(of("segments", self.segments, &segments));
        let mut x = self.norm().dual(&weights.of("norm"), x);
        for i in 0..self.layers {
            let mask = Mask::Lengths(lengths.clone());
            x = self.block().dual(&weights.of(&format!("blocks.{i}")), x, batch, &mask);
        }
        x
    }

    /// One vector per text, `[batch, width]`, from the vectors of its tokens.
    pub fn pool(&self, x: Tensor<2>, lengths: &[usize], pooling: Pooling) -> Tensor<2> {
        let x = self.gather(x, lengths, pooling);
        match pooling {
            Pooling::NormalisedMean => x.clone() / x.square().sum_dim(1).sqrt().clamp_min(SHORTEST),
            Pooling::Mean | Pooling::First => x,
        }
    }

    /// The same along a direction.
    pub fn pool_dual(&self, x: Dual<2>, lengths: &[usize], pooling: Pooling) -> Dual<2> {
        let x = x.linear(|x| self.gather(x, lengths, pooling));
        match pooling {
            Pooling::NormalisedMean => x.of_length_one(SHORTEST),
            Pooling::Mean | Pooling::First => x,
        }
    }

    /// The first vector of each text, or the mean of all, `[batch, width]`.
    fn gather(&self, x: Tensor<2>, lengths: &[usize], pooling: Pooling) -> Tensor<2> {
        let batch = lengths.len();
        let length = x.dims()[0] / batch;
        let x: Tensor<3> = x.reshape([batch, length, self.width]);
        if pooling == Pooling::First {
            return x.slice([0..batch, 0..1, 0..self.width]).reshape([batch, self.width]);
        }
        let share = |(i, seen): (usize, usize)| if i < seen { 1.0 / seen as f32 } else { 0.0 };
        let shares = lengths.iter().flat_map(|&seen| (0..length).map(move |i| share((i, seen)))).collect::<Vec<_>>();
        let data = TensorData::new(shares, [batch, length, 1]).convert_dtype(x.dtype());
        let shares = Tensor::<3>::from_data(data, (&x.device(), x.dtype()));
        (x * shares).sum_dim(1).reshape([batch, self.width])
    }
}

impl Network for Encoder {
    fn declare(&self, declared: &mut Declared) {
        for (name, rows) in [("tokens", self.vocabulary), ("positions", self.positions), ("segments", self.segments)] {
            declared.part(name, |d| self.table(rows).declare(d));
        }
        declared.part("norm", |d| self.norm().declare(d));
        for i in 0..self.layers {
            declared.part(&format!("blocks.{i}"), |d| self.block().declare(d));
        }
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let input = tracer.input(&[self.positions]);
        let rows = [("tokens", self.vocabulary), ("positions", self.positions), ("segments", self.segments)];
        let parts = rows.map(|(name, rows)| self.table(rows).trace(&mut tracer.of(name), input));
        let x = tracer.of("sum").each(Operation::Sum, &parts);
        let x = self.norm().trace(&mut tracer.of("norm"), x);
        let mut x = tracer.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().trace(&mut tracer.of(&format!("blocks.{i}")), x, &Mask::Full);
        }
        x
    }

    fn check(&self) -> Result<(), ModelError> {
        must(
            "encoder",
            "the number of heads",
            self.heads,
            self.heads > 0 && self.width.is_multiple_of(self.heads.max(1)),
            "a divisor of the width",
        )?;
        must("encoder", "the number of positions", self.positions, self.positions > 0, "at least 1")
    }
}

/// A text's class from its vector: an encoder, its pooling, a linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextClassifier {
    /// What reads.
    pub encoder: Encoder,
    /// How a text's vector comes about.
    #[serde(default)]
    pub pooling: Pooling,
    /// Classes.
    pub classes: usize,
}

impl TextClassifier {
    /// What its encoder's tensors are called by.
    pub const ENCODER: &'static str = "encoder";

    fn head(&self) -> Linear {
        Linear::new(self.encoder.width, self.classes)
    }

    /// Texts to logits `[texts, classes]`.
    pub fn forward(&self, params: &Params, texts: &Tokens, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let reader = scope.of(Self::ENCODER);
        let x = self.encoder.forward(&reader, texts.ids.clone(), texts.lengths.clone(), context);
        let x = self.encoder.pool(x, &texts.lengths, self.pooling);
        let x = context.dropout(x, self.encoder.dropout);
        self.head().forward(&scope.of("head"), x, context)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, texts: &Tokens) -> Dual<2> {
        let x = self.encoder.dual(&weights.of(Self::ENCODER), &texts.ids, &texts.lengths);
        self.head().dual(&weights.of("head"), self.encoder.pool_dual(x, &texts.lengths, self.pooling))
    }
}

impl Network for TextClassifier {
    fn declare(&self, declared: &mut Declared) {
        declared.part(Self::ENCODER, |d| self.encoder.declare(d));
        declared.part("head", |d| self.head().declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let x = self.encoder.trace(&mut tracer.of(Self::ENCODER));
        let width = [self.encoder.width];
        let x = match self.pooling {
            Pooling::First => tracer.of("first").resized(Operation::First, &[x], &width),
            Pooling::Mean | Pooling::NormalisedMean => tracer.of("mean").resized(Operation::Mean, &[x], &width),
        };
        let x = match self.pooling {
            Pooling::NormalisedMean => tracer.of("normalised").each(Operation::Normalised, &[x]),
            Pooling::Mean | Pooling::First => x,
        };
        let x = tracer.dropout(x, self.encoder.dropout);
        self.head().trace(&mut tracer.of("head"), x)
    }

    fn check(&self) -> Result<(), ModelError> {
        self.encoder.check()?;
        must("text classifier", "the number of classes", self.classes, self.classes > 0, "at least 1")
    }
}
