//! Who finds good hyperparameters with the fewest trials: kilter's samplers beside the peers on the same problems.

pub mod options;

#[cfg(feature = "search")]
mod cell;
#[cfg(feature = "search")]
mod figure;
#[cfg(feature = "search")]
mod judge;
#[cfg(feature = "search")]
mod method;
#[cfg(feature = "search")]
mod page;
#[cfg(feature = "search")]
mod peer;
#[cfg(feature = "search")]
mod problem;
#[cfg(feature = "search")]
mod reference;
#[cfg(feature = "search")]
mod run;

#[cfg(feature = "search")]
pub use run::bench;
