//! Normalisations.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::init::Init;
use crate::op::{Moments, batch_norm, layer_norm};
use crate::params::{Declared, Params, ParamsError, Role, Scope};

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
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<2>) -> Tensor<2> {
        layer_norm(x, weights.get("weight"), weights.get("bias"), self.epsilon)
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

    /// `[batch, channels, height, width]`, normalised by the batch in training, by the running statistics otherwise.
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
        let scale = gamma / (variance + self.epsilon).sqrt();
        let shift = beta - mean * scale.clone();
        let over = [1, channels, 1, 1];
        x * scale.reshape(over) + shift.reshape(over)
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
