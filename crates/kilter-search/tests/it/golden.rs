//! Golden files: `KILTER_GOLDEN`, or `testdata/golden` of the workspace, which also has those that the former lacks.
use serde_json::Value;
use std::path::{Path, PathBuf};

pub fn read(path: &str) -> Value {
    let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden")).join(path);
    let given = std::env::var_os("KILTER_GOLDEN").map(|folder| PathBuf::from(folder).join(path));
    let path = given.filter(|given| given.exists()).unwrap_or(own);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Numbers; null stands for NaN.
pub fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|v| if v.is_null() { f64::NAN } else { v.as_f64().unwrap() }).collect()
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
