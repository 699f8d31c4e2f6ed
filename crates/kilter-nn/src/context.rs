//! What a forward pass is told and what it tells, beside input and output.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use kilter_numerics::Stream;

use crate::op::{Conv2dShape, Moments, dropout};

/// A hook on what passes a named place of a network: it may look, and may put another tensor in its place.
pub type Hook<'a> = Box<dyn FnMut(&str, Tensor<2>) -> Tensor<2> + 'a>;

/// What a layer does with its weights and what comes in.
#[derive(Clone, Debug)]
pub enum Rule {
    /// `x·Wᵀ + b` of every row: `[rows, inputs]`.
    Linear(Tensor<2>),
    /// Convolution of images `[batch, channels, height, width]`.
    Convolution(Tensor<4>, Conv2dShape),
    /// Rows of a table.
    Lookup(Arc<[i64]>),
    /// `weight·x̂ + bias` of normalised numbers, along the last axis: `[rows, width]`.
    Scale(Tensor<2>),
    /// The same along the channels of images.
    ScaleChannels(Tensor<4>),
    /// The weights themselves, added to every example.
    Added,
}

/// A layer in a forward pass, with its input.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The name of its weights.
    pub weight: String,
    /// The name of its bias, if it has one.
    pub bias: Option<String>,
    /// What it does.
    pub rule: Rule,
    /// The sizes of its output, examples first: `[batch · positions, width]` or `[batch, …]`.
    pub shape: Vec<usize>,
}

/// Whoever watches all layers: sees each with its input and its output, flat, and may put another output in its place.
pub type Observer<'a> = Box<dyn FnMut(Passed, Tensor<1>) -> Tensor<1> + 'a>;

/// States of recurrent layers by name, each `[batch, units]`, without a gradient.
pub type States = BTreeMap<String, Tensor<2>>;

/// One forward pass.
pub struct Context<'a> {
    stream: Option<Stream>,
    hook: Option<Hook<'a>>,
    observer: Option<Observer<'a>>,
    moments: Vec<(String, Moments)>,
    /// States before the pass, and after it; nothing where every pass begins from zeros.
    carried: Option<(States, States)>,
}

impl<'a> Context<'a> {
    /// A pass in training: dropout draws from `stream`, normalisations use the batch's moments and tell them.
    pub fn training(stream: Stream) -> Self {
        Self { stream: Some(stream), ..Self::evaluation() }
    }

    /// A pass in evaluation: nothing random, running statistics.
    pub fn evaluation() -> Self {
        Self { stream: None, hook: None, observer: None, moments: Vec::new(), carried: None }
    }

    /// With a hook on the inputs and outputs of linear layers (`NAME:in`, `NAME:out`; rows are examples, or positions of
    /// examples).
    #[must_use]
    pub fn with_hook(mut self, hook: impl FnMut(&str, Tensor<2>) -> Tensor<2> + 'a) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// With somebody who watches every layer that has weights.
    #[must_use]
    pub fn with_observer(mut self, observer: impl FnMut(Passed, Tensor<1>) -> Tensor<1> + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// A pass that goes on where another ended: recurrent layers begin with its states, with zeros where there are none,
    /// and leave theirs.
    #[must_use]
    pub fn carrying(mut self, before: States) -> Self {
        self.carried = Some((before, States::new()));
        self
    }

    /// Does somebody want the states after this pass?
    pub fn is_carrying(&self) -> bool {
        self.carried.is_some()
    }

    /// The state that a layer begins with: zeros unless one was carried to it. `like` says on which device, and in which
    /// precision.
    pub fn state<const D: usize>(&self, name: &str, sides: [usize; 2], like: &Tensor<D>) -> Tensor<2> {
        let carried = self.carried.as_ref().and_then(|(before, _)| before.get(name));
        let fits = carried.filter(|state| state.dims() == sides);
        match fits {
            Some(state) => state.clone().cast(like.dtype()),
            None => Tensor::zeros(sides, (&like.device(), like.dtype())),
        }
    }

    /// Leaves the state that a layer ends with.
    pub fn leave(&mut self, name: String, state: Tensor<2>) {
        if let Some((_, after)) = &mut self.carried {
            after.insert(name, state.detach());
        }
    }

    /// The states after the pass.
    pub fn states(&mut self) -> States {
        self.carried.as_mut().map(|(_, after)| std::mem::take(after)).unwrap_or_default()
    }

    /// Is this a pass in training?
    pub fn is_training(&self) -> bool {
        self.stream.is_some()
    }

    /// In training, chance that follows from the step: for whoever varies its examples.
    pub fn chance(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    /// Dropout in training, the tensor itself otherwise.
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>, share: f64) -> Tensor<D> {
        match &mut self.stream {
            Some(stream) => dropout(x, share, stream),
            None => x,
        }
    }

    /// Lets the hook see `x` at `place`.
    pub fn pass(&mut self, place: &str, end: &str, x: Tensor<2>) -> Tensor<2> {
        match &mut self.hook {
            Some(hook) => hook(&format!("{place}:{end}"), x),
            None => x,
        }
    }

    /// Lets the observer see a layer with its output. `layer` says its weights, its bias and its rule; it is not asked where
    /// nobody watches.
    pub fn observed<const D: usize>(
        &mut self,
        y: Tensor<D>,
        layer: impl FnOnce() -> (String, Option<String>, Rule),
    ) -> Tensor<D> {
        let Some(observer) = &mut self.observer else { return y };
        let shape = y.dims();
        let (weight, bias, rule) = layer();
        let flat = y.reshape([shape.iter().product::<usize>()]);
        observer(Passed { weight, bias, rule, shape: shape.to_vec() }, flat).reshape(shape)
    }

    /// Remembers a batch's moments at a normalisation.
    pub fn tell(&mut self, place: String, moments: Moments) {
        self.moments.push((place, moments));
    }

    /// The moments of the batch, by normalisation.
    pub fn moments(self) -> Vec<(String, Moments)> {
        self.moments
    }
}
