//! The quasi-LSTM and the block that has it in the place of attention.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{LayerNorm, Linear};
use crate::context::Context;
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{Curve, gelu, quasi_lstm, quasi_lstm_state, widened};
use crate::params::{Declared, Scope};
use crate::view::{Dual, Pair};

/// Cells whose gates see the input alone, and a map back to the width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuasiLstm {
    /// Width of the tokens' vectors.
    pub width: usize,
    /// Cells.
    pub units: usize,
    /// Steps that are computed at once where no kernel runs; divides the time.
    pub block: usize,
    /// How the gates' matrix is drawn.
    pub init: Init,
    /// How the last one is drawn.
    pub output_init: Init,
}

impl QuasiLstm {
    fn gates(&self) -> Linear {
        Linear { inputs: self.width, outputs: 4 * self.units, bias: true, init: self.init }
    }

    fn output(&self) -> Linear {
        Linear { inputs: self.units, outputs: self.width, bias: true, init: self.output_init }
    }

    /// Declares `gates` (forget, input, candidate, output) and `output`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.part("gates", |d| self.gates().declare(d));
        declared.part("output", |d| self.output().declare(d));
    }

    /// `[batch · tokens, width]` to the same, from the state that the pass carries here, or from zeros;
    /// between the matrices in f32 at least.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<2>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        let (name, dtype) = (weights.full("cell"), x.dtype());
        let time = x.dims()[0] / batch;
        // A stretch shorter than a context is cut into what divides both.
        let block = (1..=self.block).rev().find(|block| time.is_multiple_of(*block)).unwrap_or(1);
        let gates = widened(self.gates().forward(&weights.of("gates"), x, context));
        let before = context.state(&name, [batch, self.units], &gates);
        if context.is_carrying() {
            context.leave(name, quasi_lstm_state(&gates, &before));
        }
        let y = quasi_lstm(gates, before, block).cast(dtype);
        self.output().forward(&weights.of("output"), y, context)
    }

    /// The same along a direction, from a state of zeros.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<2>, batch: usize) -> Dual<2> {
        let gates = self.gates().dual(&weights.of("gates"), x);
        self.output().dual(&weights.of("output"), gates.quasi_lstm(batch))
    }

    /// Its nodes, from that of `x` `[tokens, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let gates = self.gates().trace(&mut tracer.of("gates"), x);
        let (units, tokens) = (self.units, tracer.shape(x)[0]);
        let y = tracer.of("cells").resized(Operation::QuasiLstm { units }, &[gates], &[tokens, units]);
        self.output().trace(&mut tracer.of("output"), y)
    }
}

/// A pre-norm block of a quasi-LSTM and a two-layer network, each with a residual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuasiBlock {
    /// What mixes positions.
    pub mixer: QuasiLstm,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Share of each part's output that training drops.
    pub dropout: f64,
}

impl QuasiBlock {
    fn norm(&self) -> LayerNorm {
        LayerNorm::new(self.mixer.width)
    }

    fn up(&self) -> Linear {
        Linear { inputs: self.mixer.width, outputs: self.hidden, bias: true, init: self.mixer.init }
    }

    fn down(&self) -> Linear {
        Linear { inputs: self.hidden, outputs: self.mixer.width, bias: true, init: self.mixer.output_init }
    }

    /// Declares `mixer`, `norm1`, `up`, `down` and `norm2`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.part("mixer", |d| self.mixer.declare(d));
        declared.part("norm1", |d| self.norm().declare(d));
        declared.part("up", |d| self.up().declare(d));
        declared.part("down", |d| self.down().declare(d));
        declared.part("norm2", |d| self.norm().declare(d));
    }

    /// `[batch · tokens, width]` to the same.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<2>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        let inner = self.norm().forward(&weights.of("norm1"), x.clone(), context);
        let y = self.mixer.forward(&weights.of("mixer"), inner, batch, context);
        let x = x + context.dropout(y, self.dropout);
        let inner = self.norm().forward(&weights.of("norm2"), x.clone(), context);
        let y = gelu(self.up().forward(&weights.of("up"), inner, context), Curve::Tanh);
        let y = self.down().forward(&weights.of("down"), y, context);
        x + context.dropout(y, self.dropout)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<2>, batch: usize) -> Dual<2> {
        let norm = |name: &str, x: Dual<2>| self.norm().dual(&weights.of(name), x);
        let inner = norm("norm1", x.clone());
        let x = x.plus(self.mixer.dual(&weights.of("mixer"), inner, batch));
        let y = self.up().dual(&weights.of("up"), norm("norm2", x.clone())).gelu(Curve::Tanh);
        x.plus(self.down().dual(&weights.of("down"), y))
    }

    /// Its nodes, from that of `x` `[tokens, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let inner = self.norm().trace(&mut tracer.of("norm1"), x);
        let y = self.mixer.trace(&mut tracer.of("mixer"), inner);
        let y = tracer.of("mixer").dropout(y, self.dropout);
        let x = tracer.of("sum1").each(Operation::Sum, &[x, y]);
        let inner = self.norm().trace(&mut tracer.of("norm2"), x);
        let y = self.up().trace(&mut tracer.of("up"), inner);
        let y = tracer.of("gelu").each(Operation::Gelu { curve: Curve::Tanh }, &[y]);
        let y = self.down().trace(&mut tracer.of("down"), y);
        let y = tracer.of("down").dropout(y, self.dropout);
        tracer.of("sum2").each(Operation::Sum, &[x, y])
    }
}
