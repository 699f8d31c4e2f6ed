//! The weights of a network, apart from the network: an ordered list of named tensors.
//!
//! A network here is a description; its forward pass is a function of the description, the weights and the input. So
//! running a network with given weights (from a hypernetwork, a subspace, a soup, another step) needs no second
//! mechanism, and flat views, gradients by name, parameter groups and checkpoints are all the same list.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use kilter_numerics::Stream;
use serde::{Deserialize, Serialize};

use crate::init::Init;

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Learned, and usually decayed: matrices, kernels, tables.
    #[default]
    Weight,
    /// Learned, usually not decayed: biases, and the factors of normalisations.
    Vector,
    /// Not learned but kept: running statistics.
    Statistic,
}

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name, dotted: `blocks.0.attention.query.weight`.
    pub name: String,
    /// The sizes of its axes; matrices are `[outputs, inputs]`.
    pub shape: Vec<usize>,
    /// How its first numbers are drawn.
    pub init: Init,
    /// What it is.
    pub role: Role,
}

impl Spec {
    /// How many numbers it holds.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Why weights cannot be used for a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// A tensor is missing.
    #[error("there is no tensor `{name}`{}", .near.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?")))]
    Missing {
        /// The name wanted.
        name: String,
        /// The nearest there is.
        near: Option<String>,
    },
    /// A tensor has other sizes.
    #[error("tensor `{name}` has the sizes {got:?}, and the network wants {wanted:?}")]
    Shape {
        /// Whose.
        name: String,
        /// What came.
        got: Vec<usize>,
        /// What the network wants.
        wanted: Vec<usize>,
    },
    /// A flat vector has another length.
    #[error("{got} numbers are no weights of this network, which has {wanted}")]
    Length {
        /// How many came.
        got: usize,
        /// How many it has.
        wanted: usize,
    },
}

#[derive(Debug)]
struct Table {
    specs: Vec<Spec>,
    index: HashMap<String, usize>,
}

/// Named tensors, each kept flat. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Params {
    table: Arc<Table>,
    values: Vec<Tensor<1>>,
    device: Device,
    dtype: DType,
}

impl Params {
    /// Fresh weights: each tensor from the child of `stream` that bears its name.
    pub fn init(specs: Vec<Spec>, stream: &Stream, device: &Device, dtype: DType) -> Self {
        let numbers = specs.iter().map(|spec| spec.init.draw(&spec.shape, &mut stream.child(&spec.name))).collect();
        Self::of(specs, numbers, device, dtype)
    }

    fn of(specs: Vec<Spec>, numbers: Vec<Vec<f64>>, device: &Device, dtype: DType) -> Self {
        let index = specs.iter().enumerate().map(|(i, spec)| (spec.name.clone(), i)).collect();
        let leaf = |(spec, numbers): (&Spec, Vec<f64>)| leaf(numbers, spec.role != Role::Statistic, device, dtype);
        let values = specs.iter().zip(numbers).map(leaf).collect();
        Self { table: Arc::new(Table { specs, index }), values, device: device.clone(), dtype }
    }

    /// What there is, in order.
    pub fn specs(&self) -> &[Spec] {
        &self.table.specs
    }

    /// Where the tensors lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Their precision.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The tensors, flat, in the order of [`Params::specs`].
    pub fn values(&self) -> &[Tensor<1>] {
        &self.values
    }

    /// How many numbers are learned.
    pub fn learned(&self) -> usize {
        self.specs().iter().filter(|spec| spec.role != Role::Statistic).map(Spec::count).sum()
    }

    /// The place of a tensor in the list.
    ///
    /// # Errors
    /// If there is none of this name; says the nearest.
    pub fn place(&self, name: &str) -> Result<usize, ParamsError> {
        self.table.index.get(name).copied().ok_or_else(|| {
            let near = self.specs().iter().map(|spec| (strsim::osa_distance(&spec.name, name), &spec.name)).min();
            ParamsError::Missing { name: name.to_owned(), near: near.map(|(_, near)| near.clone()) }
        })
    }

    /// The tensor of this name, in its shape.
    ///
    /// # Panics
    /// If the network never declared it, or with another rank: a defect of the network.
    #[expect(clippy::panic, reason = "no user can name a tensor here: the network does")]
    pub fn get<const D: usize>(&self, name: &str) -> Tensor<D> {
        let Some(&at) = self.table.index.get(name) else { panic!("the network declares no tensor `{name}`") };
        let shape: [usize; D] = match self.table.specs[at].shape.as_slice().try_into() {
            Ok(shape) => shape,
            Err(_) => panic!("tensor `{name}` has the sizes {:?}, no {D} axes", self.table.specs[at].shape),
        };
        self.values[at].clone().reshape(shape)
    }

    /// The same network with other tensors: a functional call. They may be results of a computation, and are then
    /// differentiated through.
    ///
    /// # Errors
    /// If their number or sizes differ.
    pub fn with_values(&self, values: Vec<Tensor<1>>) -> Result<Self, ParamsError> {
        if values.len() != self.values.len() {
            return Err(ParamsError::Length { got: values.len(), wanted: self.values.len() });
        }
        for (spec, value) in self.specs().iter().zip(&values) {
            let got = value.dims()[0];
            if got != spec.count() {
                let (name, wanted) = (spec.name.clone(), spec.shape.clone());
                return Err(ParamsError::Shape { name, got: vec![got], wanted });
            }
        }
        Ok(Self { values, ..self.clone() })
    }

    /// The same network with one tensor replaced.
    ///
    /// # Errors
    /// If there is none of this name, or its size differs.
    pub fn with(&self, name: &str, value: Tensor<1>) -> Result<Self, ParamsError> {
        let mut values = self.values.clone();
        values[self.place(name)?] = value;
        self.with_values(values)
    }

    /// All learned numbers as one vector, in order.
    pub fn flat(&self) -> Vec<f64> {
        let learned = self.specs().iter().zip(&self.values).filter(|(spec, _)| spec.role != Role::Statistic);
        learned.flat_map(|(_, value)| numbers(value)).collect()
    }

    /// The same network with these learned numbers, as fresh leaves of the tape.
    ///
    /// # Errors
    /// If their number differs.
    pub fn with_flat(&self, flat: &[f64]) -> Result<Self, ParamsError> {
        if flat.len() != self.learned() {
            return Err(ParamsError::Length { got: flat.len(), wanted: self.learned() });
        }
        let mut rest = flat;
        let mut values = self.values.clone();
        for (value, spec) in values.iter_mut().zip(self.specs()).filter(|(_, spec)| spec.role != Role::Statistic) {
            let (here, later) = rest.split_at(spec.count());
            *value = leaf(here.to_vec(), true, &self.device, self.dtype);
            rest = later;
        }
        Ok(Self { values, ..self.clone() })
    }

    /// The gradient of every learned number as one vector, zeros where the loss does not depend on it.
    pub fn flat_gradient(&self, gradients: &Gradients) -> Vec<f64> {
        let learned = self.specs().iter().zip(&self.values).filter(|(spec, _)| spec.role != Role::Statistic);
        learned
            .flat_map(|(spec, value)| match value.grad(gradients) {
                Some(gradient) => gradient.into_data().iter::<f64>().collect(),
                None => vec![0.0; spec.count()],
            })
            .collect()
    }

    /// The same weights off the tape, for evaluation.
    #[must_use]
    pub fn detached(&self) -> Self {
        let device = self.device.clone().inner();
        let values = self.values.iter().map(|value| value.clone().inner()).collect();
        Self { values, device, ..self.clone() }
    }

    /// The same weights on a device, as fresh leaves.
    #[must_use]
    pub fn on(&self, device: &Device) -> Self {
        let numbers = self.values.iter().map(numbers).collect();
        Self::of(self.specs().to_vec(), numbers, device, self.dtype)
    }

    /// The same weights as fresh leaves of the tape.
    #[must_use]
    pub fn on_tape(&self) -> Self {
        let device = self.device.clone();
        self.on(&if device.is_autodiff() { device } else { device.autodiff() })
    }

    /// The same weights in another precision, as fresh leaves.
    #[must_use]
    pub fn cast(&self, dtype: DType) -> Self {
        let numbers = self.values.iter().map(numbers).collect();
        Self::of(self.specs().to_vec(), numbers, &self.device, dtype)
    }

    /// The same weights in another precision, computed from these: gradients of theirs reach these in their own.
    #[must_use]
    pub fn cast_on_tape(&self, dtype: DType) -> Self {
        let values = self.values.iter().map(|value| value.clone().cast(dtype)).collect();
        Self { values, dtype, ..self.clone() }
    }

    /// Replaces a tensor's numbers.
    pub(crate) fn put(&mut self, at: usize, numbers: Vec<f64>) {
        let count = numbers.len();
        self.set(at, TensorData::new(numbers, [count]).convert_dtype(self.dtype));
    }

    /// Replaces a tensor by numbers computed outside, as fresh leaves; used by optimizers and loading.
    pub(crate) fn set(&mut self, at: usize, data: TensorData) {
        let learned = self.table.specs[at].role != Role::Statistic;
        let fresh = Tensor::<1>::from_data(data, (&self.device, self.dtype));
        self.values[at] = if learned && self.device.is_autodiff() { fresh.require_grad() } else { fresh };
    }

    /// Takes the numbers of a tensor out, without a copy where nobody else holds them.
    pub(crate) fn take(&mut self, at: usize) -> TensorData {
        let empty = Tensor::<1>::zeros([0], (&self.device, self.dtype));
        std::mem::replace(&mut self.values[at], empty).inner().into_data()
    }
}

/// The numbers of a tensor.
pub fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().into_data().iter::<f64>().collect()
}

fn leaf(numbers: Vec<f64>, learned: bool, device: &Device, dtype: DType) -> Tensor<1> {
    let count = numbers.len();
    let tensor = Tensor::<1>::from_data(TensorData::new(numbers, [count]).convert_dtype(dtype), (device, dtype));
    if learned && device.is_autodiff() { tensor.require_grad() } else { tensor }
}

/// Part of a network's weights: those under a prefix.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    params: &'a Params,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// All of them.
    pub fn new(params: &'a Params) -> Self {
        Self { params, prefix: String::new() }
    }

    /// Those under `name.` of this part.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        Self { params: self.params, prefix: format!("{}{name}.", self.prefix) }
    }

    /// The tensor `name` of this part; see [`Params::get`].
    pub fn get<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.params.get(&self.full(name))
    }

    /// The full name of `name` here.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Collects what a network declares.
#[derive(Debug, Default)]
pub struct Declared {
    specs: Vec<Spec>,
    prefix: String,
}

impl Declared {
    /// Declares a tensor.
    pub fn tensor(&mut self, name: &str, shape: &[usize], init: Init, role: Role) {
        self.specs.push(Spec { name: format!("{}{name}", self.prefix), shape: shape.to_vec(), init, role });
    }

    /// Declares what `part` declares, under `name.`.
    pub fn part(&mut self, name: &str, part: impl FnOnce(&mut Self)) {
        let before = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        part(self);
        self.prefix.truncate(before);
    }

    /// What was declared, in order.
    pub fn specs(self) -> Vec<Spec> {
        self.specs
    }
}
