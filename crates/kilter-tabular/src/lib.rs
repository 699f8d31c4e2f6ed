#![doc = include_str!("../README.md")]

pub mod classifier;
pub mod forest;
pub mod logistic;
pub mod metrics;
pub mod scale;
pub mod table;
pub mod tree;

pub use classifier::Classifier;
pub use forest::{Forest, ForestConfig};
pub use logistic::{Logistic, LogisticConfig};
pub use metrics::{Confusion, Predictions};
pub use scale::{MedianImputer, Standardiser};
pub use table::{Examples, Table, TableError};
pub use tree::{Tree, TreeConfig};
