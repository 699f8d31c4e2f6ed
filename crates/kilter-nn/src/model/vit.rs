//! Vision transformer (Dosovitskiy et al., *An Image is Worth 16x16 Words*, 2021): an image's patches are the tokens; a
//! learned first token gathers the class.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ModelError, Network, must};
use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::layer::{Attention, Block, Conv, LayerNorm, Linear};
use crate::op::{Conv2dShape, Curve, Mask};
use crate::params::{Declared, Params, Role, Scope};
use crate::view::{Dual, Pair};

/// Vision transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vit {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Side of a patch; divides both sides of the image.
    pub patch: usize,
    /// Width.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Classes.
    pub classes: usize,
    /// Share that training drops.
    #[serde(default)]
    pub dropout: f64,
}

impl Vit {
    fn patches(&self) -> Conv {
        let shape = Conv2dShape { stride: [self.patch, self.patch], ..Conv2dShape::default() };
        Conv { inputs: self.image[0], outputs: self.width, kernel: self.patch, shape, bias: true, init: Init::LECUN }
    }

    fn tokens(&self) -> usize {
        1 + self.image[1] / self.patch * (self.image[2] / self.patch)
    }

    fn block(&self) -> Block {
        let init = Init::XavierUniform { gain: 1.0 };
        let attention = Attention { width: self.width, heads: self.heads, init, output_init: init };
        let (hidden, curve) = (4 * self.width, Curve::Exact);
        Block { attention, hidden, curve, norm_first: true, epsilon: 1e-6, dropout: self.dropout }
    }

    /// `[batch, channels, height, width]` to `[batch, classes]`.
    pub fn forward(&self, params: &Params, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<2> {
        let scope = Scope::new(params);
        let (batch, tokens, width) = (x.dims()[0], self.tokens(), self.width);
        let x = self.patches().forward(&scope.of("patches"), x, context);
        let x: Tensor<3> = x.reshape([batch, width, tokens - 1]).swap_dims(1, 2);
        let class = scope.get::<2>("class").unsqueeze::<3>().expand([batch, 1, width]);
        let class = context.observed(class, || (scope.full("class"), None, Rule::Added));
        let x = Tensor::cat(vec![class, x], 1) + scope.get::<2>("positions").unsqueeze::<3>();
        let x = context.observed(x, || (scope.full("positions"), None, Rule::Added));
        let mut x: Tensor<2> = x.reshape([batch * tokens, width]);
        x = context.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().forward(&scope.of(&format!("blocks.{i}")), x, batch, Mask::Full, context);
        }
        let x: Tensor<3> = x.reshape([batch, tokens, width]);
        let x: Tensor<2> = x.slice([0..batch, 0..1, 0..width]).reshape([batch, width]);
        let x = LayerNorm { width, epsilon: 1e-6 }.forward(&scope.of("norm"), x, context);
        Linear::new(width, self.classes).forward(&scope.of("head"), x, context)
    }

    /// The same along a direction, in evaluation.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<2> {
        let (batch, tokens, width) = (x.value.dims()[0], self.tokens(), self.width);
        let x = self.patches().dual(&weights.of("patches"), x);
        let x: Dual<3> = x.linear(|x| x.reshape([batch, width, tokens - 1]).swap_dims(1, 2));
        let added = |name: &str, rows: usize| -> Dual<3> {
            weights.get::<2>(name).linear(|x| x.unsqueeze::<3>().expand([batch, rows, width]))
        };
        let x = Dual::cat(vec![added("class", 1), x], 1).plus(added("positions", tokens));
        let mut x: Dual<2> = x.linear(|x| x.reshape([batch * tokens, width]));
        for i in 0..self.layers {
            x = self.block().dual(&weights.of(&format!("blocks.{i}")), x, batch, &Mask::Full);
        }
        let first = |x: Tensor<2>| x.reshape([batch, tokens, width]).slice([0..batch, 0..1, 0..width]);
        let x = x.linear(|x| first(x).reshape([batch, width]));
        let x = LayerNorm { width, epsilon: 1e-6 }.dual(&weights.of("norm"), x);
        Linear::new(width, self.classes).dual(&weights.of("head"), x)
    }
}

impl Network for Vit {
    fn declare(&self, declared: &mut Declared) {
        let init = Init::Normal { deviation: 0.02 };
        declared.part("patches", |d| self.patches().declare(d));
        declared.tensor("class", &[1, self.width], init, Role::Vector);
        declared.tensor("positions", &[self.tokens(), self.width], init, Role::Vector);
        for i in 0..self.layers {
            declared.part(&format!("blocks.{i}"), |d| self.block().declare(d));
        }
        declared.part("norm", |d| LayerNorm::new(self.width).declare(d));
        declared.part("head", |d| Linear::new(self.width, self.classes).declare(d));
    }

    fn trace(&self, tracer: &mut Tracer<'_>) -> usize {
        let (tokens, width) = (self.tokens(), self.width);
        let x = tracer.input(&self.image);
        let x = self.patches().trace(&mut tracer.of("patches"), x);
        let x = tracer.of("rows").resized(Operation::Reshaped, &[x], &[tokens - 1, width]);
        let mut added = |name: &str, rows: usize| {
            let weights = vec![tracer.full(name)];
            tracer.of(name).node(Operation::Weights, weights, &[], &[rows, width], 0)
        };
        let (class, positions) = (added("class", 1), added("positions", tokens));
        let x = tracer.of("tokens").resized(Operation::Concatenated, &[class, x], &[tokens, width]);
        let x = tracer.of("sum").each(Operation::Sum, &[x, positions]);
        let mut x = tracer.dropout(x, self.dropout);
        for i in 0..self.layers {
            x = self.block().trace(&mut tracer.of(&format!("blocks.{i}")), x, &Mask::Full);
        }
        let x = tracer.of("first").resized(Operation::First, &[x], &[width]);
        let x = LayerNorm { width, epsilon: 1e-6 }.trace(&mut tracer.of("norm"), x);
        Linear::new(width, self.classes).trace(&mut tracer.of("head"), x)
    }

    fn check(&self) -> Result<(), ModelError> {
        must(
            "vit",
            "the number of heads",
            self.heads,
            self.heads > 0 && self.width.is_multiple_of(self.heads.max(1)),
            "a divisor of the width",
        )?;
        for side in [self.image[1], self.image[2]] {
            let ok = self.patch > 0 && side.is_multiple_of(self.patch);
            must("vit", "a side of the image", side, ok, &format!("a multiple of the patch, {}", self.patch))?;
        }
        Ok(())
    }
}
