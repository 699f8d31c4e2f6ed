//! Hyperparameters that hold at any width: which parametrisations learn features, and what transfers between widths.
//!
//! *Feature Learning in Infinite-Width Neural Networks* (Tensor Programs IV, 2020) for the classification of
//! abc-parametrisations and the kernel limits; *Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
//! Hyperparameter Transfer* (2022) and the authors' `mup` package for the rules per tensor. Pure: numbers in, factors out.

mod abc;
mod kernels;
mod rules;

pub use abc::{AbcError, AbcParam, Classification, Exponent, InitialFunction, Kind, Violation, parse_exponent};
pub use kernels::{ntk_kernel, relu_kernel, step_kernel};
pub use rules::{
    AttentionScale, BaseValues, Dimension, Optimizer, Role, Rule, RuleError, Tensor, TensorRule, Transfer,
    attention_scale, rule, rule_of_tensor, transformer_transfer,
};
