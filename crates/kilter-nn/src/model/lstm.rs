//! A recurrent language model: vectors of tokens, layers of LSTM cells, logits.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::Context;
use crate::graph::Tracer;
use crate::init::Init;
use crate::layer::{Embedding, Linear, Lstm};
use crate::params::{Declared, Params, Scope};
use crate::view::{Dual, Pair};

/// LSTM language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LstmLanguageModel {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens seen at a time.
    pub context: usize,
    /// Width of vectors and cells.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Share that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl LstmLanguageModel {
    fn tokens(&self) -> Embedding {
        let init = Init::Normal { deviation: 1.0 / (self.width as f64).sqrt() };
        Embedding { rows: self.vocabulary, width: self.width, init }
    }

    fn cells(&self) -> Lstm {
        Lstm { inputs: self.width, hidden: self.width }
    }

    fn head(&self) -> Linear {
        Linear::new(self.width, self.vocabulary)
    }

    /// Tokens `[batch · length]` to logits `[batch · length, vocabulary]` of each next token.
    pub fn forward(&self, params: &Params, tokens: Arc<[i64]>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let length = tokens.len() / batch;
        let x = self.tokens().forward(&scope.of("tokens"), tokens, context);
        let mut x: Tensor<3> = context.dropout(x, self.dropout).reshape([batch, length, self.width]);
        for i in 0..self.layers {
            x = self.cells().forward(&scope.of(&format!("cells.{i}")), x, context);
            x = context.dropout(x, self.dropout);
        }
        self.head().forward(&scope.of("head"), x.reshape([batch * length, self.width]), context)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, tokens: &Arc<[i64]>, batch: usize) -> Dual<2> {
        let length = tokens.len() / batch;
        let x = self.tokens().dual(&weights.of("tokens"), tokens);
        let mut x: Dual<3> = x.linear(|x| x.reshape([batch, length, self.width]));
        for i in 0..self.layers {
            x = self.cells().dual(&weights.of(&format!("cells.{i}")), x);
        }
        self.head().dual(&weights.of("head"), x.linear(|x| x.reshape([batch * length, self.width])))
    }
}

impl Network for LstmLanguageModel {
    fn declare(&self, declared: &mut Declared) {
        declared.part("tokens", |d| self.tokens().declare(d));
        for i in 0..self.layers {
            declared.part(&format!("cells.{i}"), |d| self.cells().declare(d));
        }
        declared.part("head", |d| self.head().declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let x = tracer.input(&[self.context]);
        let x = self.tokens().trace(&mut tracer.of("tokens"), x);
        let mut x = tracer.of("tokens").dropout(x, self.dropout);
        for i in 0..self.layers {
            let tracer = &mut tracer.of(&format!("cells.{i}"));
            x = self.cells().trace(tracer, x);
            x = tracer.dropout(x, self.dropout);
        }
        self.head().trace(&mut tracer.of("head"), x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must("lstm", "the width", self.width, self.width > 0, "at least 1")?;
        must("lstm", "the vocabulary", self.vocabulary, self.vocabulary > 1, "at least 2")
    }
}
