//! What a forward pass is told and what it tells, beside input and output.

use burn::tensor::Tensor;
use kilter_numerics::Stream;

use crate::op::{Moments, dropout};

/// A hook on what passes a named place of a network: it may look, and may put another tensor in its place.
pub type Hook<'a> = Box<dyn FnMut(&str, Tensor<2>) -> Tensor<2> + 'a>;

/// One forward pass.
pub struct Context<'a> {
    stream: Option<Stream>,
    hook: Option<Hook<'a>>,
    moments: Vec<(String, Moments)>,
}

impl<'a> Context<'a> {
    /// A pass in training: dropout draws from `stream`, normalisations use the batch's moments and tell them.
    pub fn training(stream: Stream) -> Self {
        Self { stream: Some(stream), hook: None, moments: Vec::new() }
    }

    /// A pass in evaluation: nothing random, running statistics.
    pub fn evaluation() -> Self {
        Self { stream: None, hook: None, moments: Vec::new() }
    }

    /// With a hook on the inputs and outputs of linear layers (`NAME:in`, `NAME:out`; rows are examples, or positions of
    /// examples).
    #[must_use]
    pub fn with_hook(mut self, hook: impl FnMut(&str, Tensor<2>) -> Tensor<2> + 'a) -> Self {
        self.hook = Some(Box::new(hook));
        self
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

    /// Remembers a batch's moments at a normalisation.
    pub fn tell(&mut self, place: String, moments: Moments) {
        self.moments.push((place, moments));
    }

    /// The moments of the batch, by normalisation.
    pub fn moments(self) -> Vec<(String, Moments)> {
        self.moments
    }
}
