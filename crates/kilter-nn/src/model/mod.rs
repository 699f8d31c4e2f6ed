//! Networks: plain descriptions with their sizes, from which weights are declared, costs are counted and forward passes
//! follow.

mod cnn;
mod encoder;
mod gpt;
mod lstm;
mod mlp;
mod quasi_lstm;
mod resnet;
mod vit;
mod xception;

pub use cnn::Cnn;
pub use encoder::{Encoder, Pooling, TextClassifier};
pub use gpt::Gpt;
pub use lstm::LstmLanguageModel;
pub use mlp::{Activation, Mlp};
pub use quasi_lstm::QuasiLstmLanguageModel;
pub use resnet::ResNet;
pub use vit::Vit;
pub use xception::Xception;

use burn::tensor::{DType, Device};
use kilter_numerics::Stream;

use crate::graph::{Graph, Tracer};
use crate::params::{Declared, Params, Spec};

/// Why a network cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{network}: {what} is {got}, and must be {wanted}")]
pub struct ModelError {
    /// Which network.
    pub network: &'static str,
    /// Which size.
    pub what: &'static str,
    /// What it is.
    pub got: String,
    /// What it must be.
    pub wanted: String,
}

fn must(network: &'static str, what: &'static str, got: usize, ok: bool, wanted: &str) -> Result<(), ModelError> {
    if ok { Ok(()) } else { Err(ModelError { network, what, got: got.to_string(), wanted: wanted.to_owned() }) }
}

/// What every network can tell of itself.
pub trait Network: Send + Sync {
    /// Its tensors.
    fn declare(&self, declared: &mut Declared);

    /// Writes down its operations as a forward pass of one example runs them; gives the place of the last. Its sizes must
    /// [fit](Network::check).
    fn trace(&self, tracer: &mut Tracer<'_>) -> usize;

    /// Its operations and what they take from each other; texts are as long as it reads at a time.
    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        self.trace(&mut Tracer::new(&mut graph));
        graph
    }

    /// Multiply-adds of one forward pass of one example, see [`Graph::multiply_adds`].
    fn multiply_adds(&self) -> u64 {
        self.graph().multiply_adds()
    }

    /// Numbers that a forward pass of one example keeps for the backward pass, see [`Graph::activations`].
    fn activations(&self) -> u64 {
        self.graph().activations()
    }

    /// Its sizes fit together.
    ///
    /// # Errors
    /// The first that does not.
    fn check(&self) -> Result<(), ModelError>;

    /// Its tensors, in order.
    fn specs(&self) -> Vec<Spec> {
        let mut declared = Declared::default();
        self.declare(&mut declared);
        declared.specs()
    }

    /// Numbers that it learns.
    fn parameters(&self) -> u64 {
        let learned = self.specs().into_iter().filter(|spec| spec.role != crate::params::Role::Statistic);
        learned.map(|spec| spec.count() as u64).sum()
    }

    /// Fresh weights in f32.
    fn init(&self, stream: &Stream, device: &Device) -> Params {
        Params::init(self.specs(), stream, device, DType::F32)
    }
}
