#![doc = include_str!("../README.md")]

pub mod breast_cancer;
pub mod bundled;
pub mod catalogue;
pub mod csv;
pub mod dataset;
pub mod fetch;
pub mod images;
pub mod labelled_texts;
pub mod npz;
mod picture_files;
pub mod split;
pub mod text;
pub mod thermal;

pub use breast_cancer::breast_cancer;
pub use bundled::{BUNDLED, bundled, embedded, near_file, open};
pub use catalogue::{SETS, Set, Shelves};
pub use dataset::{Dataset, DatasetError, Feature, Target};
pub use images::{Images, Pictures, are_pictures, images};
pub use labelled_texts::{Texts, labelled_texts};
pub use text::{Book, books, text};
