//! Layers: plain descriptions that declare their tensors and run on a part of a network's weights.

mod attention;
mod conv;
mod linear;
mod lstm;
mod norm;
mod quasi_lstm;

pub use attention::{Attention, Block};
pub use conv::Conv;
pub use linear::{Embedding, Linear};
pub use lstm::Lstm;
pub use norm::{BatchNorm, LayerNorm};
pub use quasi_lstm::{QuasiBlock, QuasiLstm};
