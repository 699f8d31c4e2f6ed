//! Normalisations.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{Moments, batch_norm, layer_norm};
use crate::params::{Declared, Params, ParamsError, Role, Scope};
use crate::view::{Dual, Pair};

/// Layer normalisation over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// Width of the last axis.
    pub width: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// With the usual 1e-5.
    pub fn new(width: usize) -> Self {
        Self { width, epsilon: 1e-5 }
    }

    /// Declares `weight` and `bias`, both `[width]`.
    pub fn declare(&self, declared: &mut Declared) {
        declared.tensor("weight", &[self.width], Init::ONE, Role::Vector);
        declared.tensor("bias", &[self.width], Init::ZERO, Role::Vector);
    }

    /// `[rows, width]`, normalised.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<2>, context: &mut Context<'_>) -> Tensor<2> {
        let y = layer_norm(x.clone(), weights.get("weight"), weights.get("bias"), self.epsilon);
        context.observed(y, || {
            let centred = x.clone() - x.mean_dim(1);
            let deviation = (centred.clone().square().mean_dim(1) + self.epsilon).sqrt();
            (weights.full("weight"), Some(weights.full("bias")), Rule::Scale(centred / deviation))
        })
    }
}

impl LayerNorm {
    /// The same along a direction.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<2>) -> Dual<2> {
        let rows = x.value.dims()[0];
        let row = |name: &str| weights.get::<1>(name).linear(|row| row.unsqueeze::<2>().expand([rows, self.width]));
        x.normalised(self.epsilon).times(row("weight")).plus(row("bias"))
    }

    /// Its node, from that of `x`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let (weights, shape) = (["weight", "bias"].map(|name| tracer.full(name)).to_vec(), tracer.shape(x).to_vec());
        tracer.node(Operation::LayerNorm, weights, &[x], &shape, 0)
    }
}

/// Batch normalisation over all axes but the second. Running variances are unbiased, as usual (PyTorch's too): a batch of
/// 0 and 2 has variance 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the new batch in the running statistics, 0 to 1.
    pub momentum: f64,
}

impl BatchNorm {
    /// With the usual 1e-5 and 0.1.
    pub fn new(channels: usize) -> Self {
        Self { channels, epsilon: 1e-5, momentum: 0.1 }
    }

    /// Declares `weight`, `bias`, `running_mean` and `running_var`, all `[channels]`.
    pub fn declare(&self, declared: &mut Declared) {
        let channels = [self.channels];
        declared.tensor("weight", &channels, Init::ONE, Role::Vector);
        declared.tensor("bias", &channels, Init::ZERO, Role::Vector);
        declared.tensor("running_mean", &channels, Init::ZERO, Role::Statistic);
        declared.tensor("running_var", &channels, Init::ONE, Role::Statistic);
    }

    /// `[batch, channels, height, width]`, normalised by the batch in training, by the running statistics otherwise; only
    /// the latter is seen by observers, since in training no example stands alone.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<4> {
        let shape = x.dims();
        let [batch, channels, height, width] = shape;
        let (gamma, beta) = (weights.get::<1>("weight"), weights.get::<1>("bias"));
        if context.is_training() {
            let (y, moments) = batch_norm(x.reshape([batch, channels, height * width]), gamma, beta, self.epsilon);
            context.tell(weights.full(""), moments);
            return y.reshape(shape);
        }
        let (mean, variance) = (weights.get::<1>("running_mean"), weights.get::<1>("running_var"));
        let deviation = (variance + self.epsilon).sqrt();
        let scale = gamma / deviation.clone();
        let shift = beta - mean.clone() * scale.clone();
        let over = [1, channels, 1, 1];
        let y = x.clone() * scale.reshape(over) + shift.reshape(over);
        context.observed(y, || {
            let normalised = (x - mean.reshape(over)) / deviation.reshape(over);
            (weights.full("weight"), Some(weights.full("bias")), Rule::ScaleChannels(normalised))
        })
    }

    /// The same along a direction, normalised by the running statistics, which do not move.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<4>) -> Dual<4> {
        let shape = x.value.dims();
        let over = |x: Tensor<1>| x.reshape([1, self.channels, 1, 1]).expand(shape);
        let (mean, variance) = (weights.get::<1>("running_mean").value, weights.get::<1>("running_var").value);
        let deviation = over((variance + self.epsilon).sqrt());
        let centred = Dual { value: x.value - over(mean), tangent: x.tangent };
        let normalised = centred.linear(|x| x / deviation.clone());
        normalised.times(weights.get::<1>("weight").linear(over)).plus(weights.get::<1>("bias").linear(over))
    }

    /// Its node, from that of `x` `[channels, height, width]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let weights = ["weight", "bias", "running_mean", "running_var"].map(|name| tracer.full(name)).to_vec();
        let shape = tracer.shape(x).to_vec();
        tracer.node(Operation::BatchNorm, weights, &[x], &shape, 0)
    }

    /// Moves the running statistics under `place` towards a batch's moments, as [`Context::moments`] tells them.
    ///
    /// # Errors
    /// If there is no normalisation there.
    pub fn refresh(params: &mut Params, place: &str, moments: &Moments, momentum: f64) -> Result<(), ParamsError> {
        let unbiased = moments.count as f64 / (moments.count.max(2) - 1) as f64;
        for (name, new, factor) in [("running_mean", &moments.mean, 1.0), ("running_var", &moments.variance, unbiased)]
        {
            let at = params.place(&format!("{place}{name}"))?;
            let old = crate::params::numbers(&params.values()[at]);
            let mixed = old.iter().zip(new).map(|(old, new)| (1.0 - momentum) * old + momentum * new * factor);
            params.put(at, mixed.collect());
        }
        Ok(())
    }
}
