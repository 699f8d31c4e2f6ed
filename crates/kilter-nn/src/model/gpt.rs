//! Decoder-only transformer (Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019): learned
//! positions, normalisation before each part, the output table tied to the input's.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::layer::{Attention, Block, Embedding, LayerNorm};
use crate::op::{Curve, Mask, linear};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// GPT decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpt {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens seen at a time, at most.
    pub context: usize,
    /// Width.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Share that training drops.
    #[serde(default)]
    pub dropout: f64,
}

/// The deviation of GPT-2's initial weights, and the width it was chosen for.
const GPT2: (f64, f64) = (0.02, 768.0);

impl Gpt {
    /// The deviation of initial weights: GPT-2's at its width; a narrower network begins with larger weights, so that its
    /// logits are of the same size.
    fn deviation(&self) -> f64 {
        GPT2.0 * (GPT2.1 / self.width as f64).sqrt()
    }

    fn tokens(&self) -> Embedding {
        Embedding { rows: self.vocabulary, width: self.width, init: Init::Normal { deviation: self.deviation() } }
    }

    fn positions(&self) -> Embedding {
        Embedding { rows: self.context, width: self.width, init: Init::Normal { deviation: self.deviation() } }
    }

    fn block(&self) -> Block {
        let init = Init::Normal { deviation: self.deviation() };
        // Residual steps shrink with depth, so that their sum does not grow (GPT-2, section 2.3).
        let output_init = Init::Normal { deviation: self.deviation() / (2.0 * self.layers as f64).sqrt() };
        let attention = Attention { width: self.width, heads: self.heads, init, output_init };
        let (hidden, curve) = (4 * self.width, Curve::Tanh);
        Block { attention, hidden, curve, norm_first: true, epsilon: 1e-5, dropout: self.dropout }
    }

    /// Tokens `[batch · length]`, example after example, to logits `[batch · length, vocabulary]` of each next token.
    pub fn forward(&self, params: &Params, tokens: Arc<[i64]>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let length = tokens.len() / batch;
        let positions: Arc<[i64]> = (0..batch).flat_map(|_| 0..length as i64).collect();
        let x = self.tokens().forward(&scope.of("tokens"), tokens, context)
            + self.positions().forward(&scope.of("positions"), positions, context);
        let mut x = context.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().forward(&scope.of(&format!("blocks.{i}")), x, batch, Mask::Causal, context);
        }
        let x = LayerNorm::new(self.width).forward(&scope.of("norm"), x, context);
        let logits = linear(x.clone(), scope.of("tokens").get("weight"), None);
        context.observed(logits, || (scope.full("tokens.weight"), None, Rule::Linear(x)))
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, tokens: &Arc<[i64]>, batch: usize) -> Dual<2> {
        let length = tokens.len() / batch;
        let positions: Arc<[i64]> = (0..batch).flat_map(|_| 0..length as i64).collect();
        let mut x = self.tokens().dual(&weights.of("tokens"), tokens);
        x = x.plus(self.positions().dual(&weights.of("positions"), &positions));
        for i in 0..self.layers {
            x = self.block().dual(&weights.of(&format!("blocks.{i}")), x, batch, &Mask::Causal);
        }
        let x = LayerNorm::new(self.width).dual(&weights.of("norm"), x);
        x.matmul(weights.of("tokens").get::<2>("weight").linear(Tensor::transpose))
    }
}

impl Network for Gpt {
    fn declare(&self, declared: &mut Declared) {
        declared.part("tokens", |d| self.tokens().declare(d));
        declared.part("positions", |d| self.positions().declare(d));
        for i in 0..self.layers {
            declared.part(&format!("blocks.{i}"), |d| self.block().declare(d));
        }
        declared.part("norm", |d| LayerNorm::new(self.width).declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let input = tracer.input(&[self.context]);
        let tokens = self.tokens().trace(&mut tracer.of("tokens"), input);
        let positions = self.positions().trace(&mut tracer.of("positions"), input);
        let x = tracer.of("sum").each(Operation::Sum, &[tokens, positions]);
        let mut x = tracer.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().trace(&mut tracer.of(&format!("blocks.{i}")), x, &Mask::Causal);
        }
        let x = LayerNorm::new(self.width).trace(&mut tracer.of("norm"), x);
        self.tokens().trace_tied(&mut tracer.of("head"), "tokens.weight", x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must(
            "gpt",
            "the number of heads",
            self.heads,
            self.heads > 0 && self.width.is_multiple_of(self.heads.max(1)),
            "a divisor of the width",
        )?;
        must("gpt", "the context", self.context, self.context > 0, "at least 1")?;
        must("gpt", "the vocabulary", self.vocabulary, self.vocabulary > 1, "at least 2")
    }
}
