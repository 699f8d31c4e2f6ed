//! Multi-head attention and the transformer block.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LayerNorm, Linear};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{Curve, Mask, attention, gelu};
use crate::params::{Declared, Scope};
use crate::view::{Dual, Pair};

/// Multi-head self-attention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Width of the tokens' vectors.
    pub width: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// How all four matrices are drawn.
    pub init: Init,
    /// How the last one is drawn: deeper networks begin with smaller steps.
    pub output_init: Init,
}

impl Attention {
    fn linear(&self, init: Init) -> Linear {
        Linear { inputs: self.width, outputs: self.width, bias: true, init }
    }

    /// Declares `query`, `key`, `value` and `output`.
    pub fn declare(&self, declared: &mut Declared) {
        for name in ["query", "key", "value"] {
            declared.part(name, |d| self.linear(self.init).declare(d));
        }
        declared.part("output", |d| self.linear(self.output_init).declare(d));
    }

    /// `[batch·tokens, width]` to the same.
    pub fn forward(
        &self,
        weights: &Scope<'_>,
        x: Tensor<2>,
        batch: usize,
        mask: Mask,
        context: &mut Context<'_>,
    ) -> Tensor<2> {
        let mut part = |name: &str| self.linear(self.init).forward(&weights.of(name), x.clone(), context);
        let (q, k, v) = (part("query"), part("key"), part("value"));
        let y = attention(q, k, v, batch, self.heads, mask);
        self.linear(self.output_init).forward(&weights.of("output"), y, context)
    }

    /// The same along a direction.
    pub fn dual(&self, weights: &Pair<'_>, x: &Dual<2>, batch: usize, mask: &Mask) -> Dual<2> {
        let (tokens, width) = (x.value.dims()[0] / batch, self.width);
        let heads = [batch, tokens, self.heads, width / self.heads];
        let part = |name: &str| {
            let y = self.linear(self.init).dual(&weights.of(name), x.clone());
            y.linear(|y| y.reshape(heads).swap_dims(1, 2))
        };
        let y = part("query").attention(part("key"), part("value"), mask);
        let y = y.linear(|y| y.swap_dims(1, 2).reshape([batch * tokens, width]));
        self.linear(self.output_init).dual(&weights.of("output"), y)
    }

    /// Its nodes, from that of `x` `[tokens, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize, mask: &Mask) -> usize {
        let parts = ["query", "key", "value"].map(|name| self.linear(self.init).trace(&mut tracer.of(name), x));
        let shape = tracer.shape(x).to_vec();
        // Queries with keys, probabilities with values.
        let multiply_adds = (2 * shape[0] * shape[0] * self.width) as u64;
        let operation = Operation::Attention { heads: self.heads, causal: matches!(mask, Mask::Causal) };
        let y = tracer.of("heads").node(operation, Vec::new(), &parts, &shape, multiply_adds);
        self.linear(self.output_init).trace(&mut tracer.of("output"), y)
    }
}

/// A transformer block: attention and a two-layer network, each with a normalisation and a residual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Attention.
    pub attention: Attention,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Which GELU.
    pub curve: Curve,
    /// Is each part's input normalised (GPT-2), rather than the sum after it (BERT)?
    pub norm_first: bool,
    /// Added to variances.
    pub epsilon: f64,
    /// Share of each part's output that training drops.
    pub dropout: f64,
}

impl Block {
    fn norm(&self) -> LayerNorm {
        LayerNorm { width: self.attention.width, epsilon: self.epsilon }
    }

    fn up(&self) -> Linear {
        Linear { inputs: self.attention.width, outputs: self.hidden, bias: true, init: self.attention.init }
    }

    fn down(&self) -> Linear {
        Linear { inputs: self.hidden, outputs: self.attention.width, bias: true, init: self.attention.output_init }
    }

    /// Declares `attention`, `norm1`, `up`, `down` and `norm2`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.part("attention", |d| self.attention.declare(d));
        declared.part("norm1", |d| self.norm().declare(d));
        declared.part("up", |d| self.up().declare(d));
        declared.part("down", |d| self.down().declare(d));
        declared.part("norm2", |d| self.norm().declare(d));
    }

    /// `[batch·tokens, width]` to the same.
    pub fn forward(
        &self,
        weights: &Scope<'_>,
        x: Tensor<2>,
        batch: usize,
        mask: Mask,
        context: &mut Context<'_>,
    ) -> Tensor<2> {
        let (norm1, norm2) = (weights.of("norm1"), weights.of("norm2"));
        let inner = if self.norm_first { self.norm().forward(&norm1, x.clone(), context) } else { x.clone() };
        let y = self.attention.forward(&weights.of("attention"), inner, batch, mask, context);
        let x = x + context.dropout(y, self.dropout);
        let (x, inner) = if self.norm_first {
            (x.clone(), self.norm().forward(&norm2, x, context))
        } else {
            let x = self.norm().forward(&norm1, x, context);
            (x.clone(), x)
        };
        let y = gelu(self.up().forward(&weights.of("up"), inner, context), self.curve);
        let y = self.down().forward(&weights.of("down"), y, context);
        let x = x + context.dropout(y, self.dropout);
        if self.norm_first { x } else { self.norm().forward(&norm2, x, context) }
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<2>, batch: usize, mask: &Mask) -> Dual<2> {
        let norm = |name: &str, x: Dual<2>| self.norm().dual(&weights.of(name), x);
        let inner = if self.norm_first { norm("norm1", x.clone()) } else { x.clone() };
        let x = x.plus(self.attention.dual(&weights.of("attention"), &inner, batch, mask));
        let (x, inner) = if self.norm_first {
            (x.clone(), norm("norm2", x))
        } else {
            let x = norm("norm1", x);
            (x.clone(), x)
        };
        let y = self.up().dual(&weights.of("up"), inner).gelu(self.curve);
        let x = x.plus(self.down().dual(&weights.of("down"), y));
        if self.norm_first { x } else { norm("norm2", x) }
    }

    /// Its nodes, from that of `x` `[tokens, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize, mask: &Mask) -> usize {
        let norm = |tracer: &mut Tracer<'_>, name: &str, x: usize| self.norm().trace(&mut tracer.of(name), x);
        let inner = if self.norm_first { norm(tracer, "norm1", x) } else { x };
        let y = self.attention.trace(&mut tracer.of("attention"), inner, mask);
        let y = tracer.of("attention").dropout(y, self.dropout);
        let x = tracer.of("sum1").each(Operation::Sum, &[x, y]);
        let (x, inner) = if self.norm_first {
            (x, norm(tracer, "norm2", x))
        } else {
            let x = norm(tracer, "norm1", x);
            (x, x)
        };
        let y = self.up().trace(&mut tracer.of("up"), inner);
        let y = tracer.of("gelu").each(Operation::Gelu { curve: self.curve }, &[y]);
        let y = self.down().trace(&mut tracer.of("down"), y);
        let y = tracer.of("down").dropout(y, self.dropout);
        let x = tracer.of("sum2").each(Operation::Sum, &[x, y]);
        if self.norm_first { x } else { norm(tracer, "norm2", x) }
    }
}
