//! Networks of one architecture, mixed tensor by tensor with weights that can be learned.
//!
//! Wortsman et al., *Model soups* (ICML 2022), appendix on learned soups: theta_l = sum_i softmax(raw_l)_i theta_il. The
//! mixed network is a function of `raw`, so a loss on it is differentiated like any other: one backward pass of the
//! network and an inner product per tensor and model. Cost: all models in memory.

use burn::tensor::{DType, Device, Tensor, TensorData, activation};

use crate::params::{Params, ParamsError, numbers};

/// Several networks' weights, stacked.
#[derive(Clone, Debug)]
pub struct Mixture {
    like: Params,
    /// For each tensor, `[models, entries]`.
    stacks: Vec<Tensor<2>>,
    models: usize,
}

impl Mixture {
    /// The mixture of `models`, which are of one network, on a device.
    ///
    /// # Errors
    /// If there is none, or one has other tensors than the first.
    pub fn new(models: &[Params], device: &Device) -> Result<Self, ParamsError> {
        let first = models.first().ok_or(ParamsError::Length { got: 0, wanted: 1 })?;
        let dtype = first.dtype();
        let mut stacks = Vec::with_capacity(first.specs().len());
        for spec in first.specs() {
            let mut stack = Vec::with_capacity(models.len() * spec.count());
            for model in models {
                let at = model.place(&spec.name)?;
                let got = &model.specs()[at].shape;
                if *got != spec.shape {
                    let (name, wanted) = (spec.name.clone(), spec.shape.clone());
                    return Err(ParamsError::Shape { name, got: got.clone(), wanted });
                }
                stack.extend(numbers(&model.values()[at]));
            }
            stacks.push(on(stack, [models.len(), spec.count()], device, dtype));
        }
        Ok(Self { like: first.on(device), stacks, models: models.len() })
    }

    /// How many tensors a network has.
    pub fn tensors(&self) -> usize {
        self.stacks.len()
    }

    /// How many networks there are.
    pub fn models(&self) -> usize {
        self.models
    }

    /// The weights of each model under `raw`, which is `[tensors, models]`, or `[1, models]` for weights that all tensors
    /// share: its softmax over models.
    pub fn weights(raw: Tensor<2>) -> Tensor<2> {
        activation::softmax(raw, 1)
    }

    /// The mixed network, through which a loss is differentiated to `raw`.
    ///
    /// # Errors
    /// If `raw` has other rows than 1 or the tensors', or other columns than models.
    pub fn mix(&self, raw: Tensor<2>) -> Result<Params, ParamsError> {
        let [rows, columns] = raw.dims();
        if columns != self.models || (rows != 1 && rows != self.tensors()) {
            return Err(ParamsError::Length { got: rows * columns, wanted: self.tensors() * self.models });
        }
        let weights = Self::weights(raw);
        let mixed = self.stacks.iter().enumerate().map(|(at, stack)| {
            let row = if rows == 1 { 0 } else { at };
            weights.clone().slice([row..row + 1, 0..columns]).matmul(stack.clone()).flatten(0, 1)
        });
        self.like.with_values(mixed.collect())
    }
}

fn on(numbers: Vec<f64>, shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers, shape).convert_dtype(dtype), (device, dtype))
}
