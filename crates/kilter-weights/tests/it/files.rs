//! Small checkpoints in temporary folders, written by the format's own library, so that reading is tested against it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kilter_weights::{Checkpoint, Dtype};
use safetensors::tensor::TensorView;

/// A tensor's name, type, shape and bytes.
pub type Plain = (String, Dtype, Vec<u64>, Vec<u8>);

pub fn plain(name: &str, dtype: Dtype, shape: &[u64], numbers: &[f64]) -> Plain {
    let mut bytes = Vec::new();
    dtype.encode(numbers, &mut bytes);
    (name.to_owned(), dtype, shape.to_vec(), bytes)
}

pub fn save(path: &Path, tensors: &[Plain], metadata: &[(&str, &str)]) -> Checkpoint {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let dtype = serde_json::from_value(serde_json::json!(dtype.name())).unwrap();
        let shape = shape.iter().map(|&side| side as usize).collect();
        (name.as_str(), TensorView::new(dtype, shape, bytes).unwrap())
    });
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    safetensors::serialize_to_file(views, Some(metadata), path).unwrap();
    Checkpoint::open(path).unwrap()
}

/// All numbers of a tensor.
pub fn numbers(checkpoint: &Checkpoint, name: &str) -> Vec<f64> {
    let tensor = checkpoint.get(name).unwrap_or_else(|| panic!("no tensor {name}"));
    let mut out = vec![0.0; tensor.entries() as usize];
    tensor.dtype().decode(&tensor.window(0..tensor.bytes()).unwrap(), &mut out);
    out
}

pub fn bytes(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let tensor = checkpoint.get(name).unwrap_or_else(|| panic!("no tensor {name}"));
    tensor.window(0..tensor.bytes()).unwrap().to_vec()
}

/// What lies in a folder.
pub fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// Reproducible numbers about -2 to 2, never zero.
pub fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut stream = kilter_numerics::Stream::new(&[seed], "noise");
    (0..n).map(|_| f64::from(stream.normal() as f32)).collect()
}
