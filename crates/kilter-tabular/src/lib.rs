#![doc = include_str!("../README.md")]

pub mod boosting;
pub mod forest;
pub mod knn;
pub mod logistic;
pub mod model;
pub mod ridge;
pub mod scale;
pub mod table;
pub mod tree;

pub use boosting::{Boosting, BoostingConfig};
pub use forest::{Forest, ForestConfig};
pub use knn::{Knn, KnnConfig};
pub use logistic::{Logistic, LogisticConfig, OneVsRest};
pub use model::Model;
pub use ridge::Ridge;
pub use scale::{MedianImputer, OneHot, Standardiser};
pub use table::{Examples, Table, TableError, Target};
pub use tree::{Tree, TreeConfig};
