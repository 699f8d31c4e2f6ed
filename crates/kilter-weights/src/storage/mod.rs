//! Checkpoints on disk: safetensors files, single or sharded, read through small windows and written atomically.
//!
//! Nothing here holds a model: a [`Tensor`] is a name, a shape and a place in a file, and its bytes are mapped only while
//! somebody looks at them ([`Tensor::window`]). Format: <https://huggingface.co/docs/safetensors>.

mod checkpoint;
mod dtype;
mod header;
mod window;
mod writer;

pub use checkpoint::{Checkpoint, Tensor};
pub use dtype::Dtype;
pub use header::{Header, HeaderFault, TensorInfo};
pub use window::Window;
pub(crate) use writer::alignment_order;
pub use writer::{Declared, TensorRecord, Writer, Written};
