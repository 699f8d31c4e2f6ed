//! Reading the reference values.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// All cases of a file of reference values of this method; a file without a case is no reference.
pub fn cases(file: &str) -> Vec<Value> {
    let root = std::env::var_os("KILTER_GOLDEN").map_or_else(|| workspace().join("testdata/golden"), PathBuf::from);
    let path = root.join("21-breast-cancer").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let golden: Value = serde_json::from_str(&text).unwrap();
    let cases = golden["cases"].as_array().cloned().unwrap_or_default();
    assert!(!cases.is_empty(), "{} has no case", path.display());
    cases
}

/// A JSON list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A JSON list of classes or indices.
pub fn integers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// The classes 0 and 1 of a JSON list.
pub fn labels(value: &Value) -> Vec<u8> {
    integers(value).into_iter().map(|class| class as u8).collect()
}

pub fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not within {tolerance} of {expected}");
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
