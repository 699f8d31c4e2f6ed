//! Reading the reference values.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of reference values, with its own relative tolerance.
pub fn golden(folder: &str, file: &str) -> (Value, f64) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = std::env::var_os("KILTER_GOLDEN").map_or_else(|| workspace.join("testdata/golden"), PathBuf::from);
    let path = root.join(folder).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let golden: Value = serde_json::from_str(&text).unwrap();
    let tolerance = number(&golden["tolerance"]["relative"]);
    (golden, tolerance)
}

/// The cases under `key`; a list without a case is no reference.
pub fn cases<'a>(golden: &'a Value, key: &str) -> &'a [Value] {
    let cases = golden[key].as_array().map_or(&[][..], Vec::as_slice);
    assert!(!cases.is_empty(), "no case under {key}");
    cases
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub fn integer(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

/// Whether two numbers agree to `relative`, zero only with zero.
#[track_caller]
pub fn near(found: f64, expected: f64, relative: f64) {
    near_absolute(found, expected, relative * expected.abs());
}

#[track_caller]
pub fn near_absolute(found: f64, expected: f64, absolute: f64) {
    assert!((found - expected).abs() <= absolute, "{found} is not within {absolute:e} of {expected}");
}
