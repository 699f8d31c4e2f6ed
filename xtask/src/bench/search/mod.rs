//! Who finds good hyperparameters with the fewest trials: kilter's samplers beside the peers on the same problems.

pub mod options;

#[cfg(feature = "judge")]
mod cell;
#[cfg(feature = "judge")]
mod figure;
#[cfg(feature = "judge")]
mod judge;
#[cfg(feature = "judge")]
mod kept;
#[cfg(feature = "judge")]
mod method;
#[cfg(feature = "judge")]
mod page;
#[cfg(feature = "judge")]
mod peer;
#[cfg(feature = "judge")]
mod problem;
#[cfg(feature = "judge")]
mod reference;
#[cfg(feature = "judge")]
mod run;

#[cfg(feature = "judge")]
pub use run::bench;
