//! The quasi-LSTM language model (*The Languini Kitchen: Enabling Language Modelling Research at Different Scales of
//! Compute*, 2023): a decoder like [`Gpt`](super::Gpt) whose blocks mix positions by cells instead of attention. It has no
//! positions; its output table is tied to the input's, as that of [`Gpt`](super::Gpt) here (the paper's is not).

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::{Context, Rule};
use crate::graph::Tracer;
use crate::init::Init;
use crate::layer::{Embedding, LayerNorm, QuasiBlock, QuasiLstm};
use crate::op::linear;
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// Quasi-LSTM language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuasiLstmLanguageModel {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens seen at a time, at most; each stretch begins from a state of zeros, unless the pass carries one to it.
    pub context: usize,
    /// Width, and cells of each block.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Steps that are computed at once where no kernel runs; divides every stretch there.
    pub block: usize,
    /// Share that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl QuasiLstmLanguageModel {
    /// As that of [`Gpt`](super::Gpt): 0.02 at width 768, larger in narrower ones.
    fn deviation(&self) -> f64 {
        0.02 * (768.0 / self.width as f64).sqrt()
    }

    fn tokens(&self) -> Embedding {
        Embedding { rows: self.vocabulary, width: self.width, init: Init::Normal { deviation: self.deviation() } }
    }

    fn block(&self) -> QuasiBlock {
        let init = Init::Normal { deviation: self.deviation() };
        let output_init = Init::Normal { deviation: self.deviation() / (2.0 * self.layers as f64).sqrt() };
        let mixer = QuasiLstm { width: self.width, units: self.width, block: self.block, init, output_init };
        QuasiBlock { mixer, hidden: 4 * self.width, dropout: self.dropout }
    }

    /// Tokens `[batch · length]`, example after example, to logits `[batch · length, vocabulary]` of each next token.
    pub fn forward(&self, params: &Params, tokens: Arc<[i64]>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let x = self.tokens().forward(&scope.of("tokens"), tokens, context);
        let mut x = context.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().forward(&scope.of(&format!("blocks.{i}")), x, batch, context);
        }
        let x = LayerNorm::new(self.width).forward(&scope.of("norm"), x, context);
        let logits = linear(x.clone(), scope.of("tokens").get("weight"), None);
        context.observed(logits, || (scope.full("tokens.weight"), None, Rule::Linear(x)))
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, tokens: &Arc<[i64]>, batch: usize) -> Dual<2> {
        let mut x = self.tokens().dual(&weights.of("tokens"), tokens);
        for i in 0..self.layers {
            x = self.block().dual(&weights.of(&format!("blocks.{i}")), x, batch);
        }
        let x = LayerNorm::new(self.width).dual(&weights.of("norm"), x);
        x.matmul(weights.of("tokens").get::<2>("weight").linear(Tensor::transpose))
    }
}

impl Network for QuasiLstmLanguageModel {
    fn declare(&self, declared: &mut Declared) {
        declared.part("tokens", |d| self.tokens().declare(d));
        for i in 0..self.layers {
            declared.part(&format!("blocks.{i}"), |d| self.block().declare(d));
        }
        declared.part("norm", |d| LayerNorm::new(self.width).declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let x = tracer.input(&[self.context]);
        let x = self.tokens().trace(&mut tracer.of("tokens"), x);
        let mut x = tracer.of("tokens").dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().trace(&mut tracer.of(&format!("blocks.{i}")), x);
        }
        let x = LayerNorm::new(self.width).trace(&mut tracer.of("norm"), x);
        self.tokens().trace_tied(&mut tracer.of("head"), "tokens.weight", x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must("quasi-lstm", "the width", self.width, self.width > 0, "at least 1")?;
        must("quasi-lstm", "the vocabulary", self.vocabulary, self.vocabulary > 1, "at least 2")?;
        must(
            "quasi-lstm",
            "the block",
            self.block,
            self.block > 0 && self.context > 0 && self.context.is_multiple_of(self.block.max(1)),
            &format!("a divisor of the context, which is {}", self.context),
        )
    }
}
