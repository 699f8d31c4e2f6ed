//! Golden files: `KILTER_GOLDEN`, or `testdata/golden` of the workspace.
//!
//! Not here, since it needs a network: `14-model-soups/learned.json` (gradients of a learned soup) is of the network room; of
//! `41-nupes` every file is used.

use std::path::PathBuf;

use serde_json::Value;

pub fn read(path: &str) -> Value {
    let folder = std::env::var_os("KILTER_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden")), PathBuf::from);
    let path = folder.join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// All cases of a file; a file without a case is no reference.
pub fn cases(path: &str) -> Vec<Value> {
    let cases = read(path)["cases"].as_array().cloned().unwrap_or_default();
    assert!(!cases.is_empty(), "{path} has no case");
    cases
}

/// All numbers of a nested list (or a single one), in order.
pub fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        Value::Null => vec![f64::NAN],
        number => vec![number.as_f64().unwrap()],
    }
}

/// The shape of a nested list; empty for a single number.
pub fn shape(value: &Value) -> Vec<u64> {
    match value {
        Value::Array(items) => {
            let inner = items.first().map(shape).unwrap_or_default();
            std::iter::once(items.len() as u64).chain(inner).collect()
        }
        _ => Vec::new(),
    }
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

pub fn indices(value: &Value) -> Vec<usize> {
    list(value).iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// Compares two lists; the tolerance is absolute for small numbers and relative for large ones.
#[track_caller]
pub fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "{what}[{i}]: {g}, not {e}");
    }
}
