//! Other views of a network than its output and the gradient of a mean loss: gradients of single examples, derivatives
//! along a direction, products with the Hessian.

mod dual;
mod per_example;

pub use dual::{Dual, Pair, direction, hessian_vector, hessian_vector_by_differences};
pub use per_example::{PerExample, ViewError, per_example};
