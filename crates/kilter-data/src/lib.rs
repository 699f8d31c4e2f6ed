#![doc = include_str!("../README.md")]

pub mod breast_cancer;
pub mod bundled;
pub mod catalogue;
pub mod csv;
pub mod dataset;
pub mod fetch;
pub mod split;

pub use breast_cancer::breast_cancer;
pub use bundled::{BUNDLED, bundled, near_file, open};
pub use catalogue::{SETS, Set, Shelves};
pub use dataset::{Dataset, DatasetError, Feature, Target};
