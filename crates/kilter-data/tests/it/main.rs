//! One test binary for the crate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod breast_cancer;
mod catalogue;
mod csv;
mod labelled_texts;
mod npz;
mod picture_files;
mod pictures;
mod split;
