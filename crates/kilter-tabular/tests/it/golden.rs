//! Reading the reference values, and the table they were made from.

use std::path::{Path, PathBuf};

use kilter_tabular::{Table, Target};
use serde_json::Value;

/// All cases of a file of reference values of this method, in `KILTER_GOLDEN` or, where that lacks it, `testdata/golden`; a
/// file without a case is no reference.
pub fn cases(file: &str) -> Vec<Value> {
    let file = Path::new("21-breast-cancer").join(file);
    let given = std::env::var_os("KILTER_GOLDEN").map(|folder| Path::new(&folder).join(&file));
    let path = given.filter(|given| given.exists()).unwrap_or_else(|| workspace().join("testdata/golden").join(&file));
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

/// The breast-cancer table, row-major with 30 columns, and its classes with 1 = malignant. Read from the file and not
/// through kilter-data, which stands on the same floor.
pub fn breast_cancer() -> (Vec<f64>, Vec<u8>) {
    let text = std::fs::read_to_string(workspace().join("crates/kilter-data/data/breast-cancer.csv")).unwrap();
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        values.extend(&cells[..30]);
        labels.push(u8::from(cells[30] == 0.0));
    }
    assert_eq!(labels.iter().filter(|&&label| label == 1).count(), 212);
    (values, labels)
}

pub fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not within {tolerance} of {expected}");
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Training rows, targets and queries of a case; null is a missing value.
pub struct Case {
    columns: usize,
    values: Vec<f64>,
    queries: Vec<f64>,
    y: Vec<f64>,
    labels: Option<(Vec<u8>, usize)>,
}

impl Case {
    pub fn new(case: &Value) -> Self {
        let rows = |name: &str| -> Vec<f64> {
            let rows = case[name].as_array().cloned().unwrap_or_default();
            rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
        };
        let y = numbers(&case["y"]);
        let values = rows("X");
        let count = match case["task"].as_str() {
            Some("binary") => Some(2),
            Some("multiclass") => Some(3),
            _ => None,
        };
        let labels = count.map(|count| (y.iter().map(|y| *y as u8).collect(), count));
        Self { columns: values.len() / y.len(), values, queries: rows("queries"), y, labels }
    }

    pub fn table(&self) -> Table<'_> {
        Table::new(&self.values, self.columns).unwrap()
    }

    pub fn queries(&self) -> Table<'_> {
        Table::new(&self.queries, self.columns).unwrap()
    }

    pub fn y(&self) -> &[f64] {
        &self.y
    }

    pub fn target(&self) -> Target<'_> {
        match &self.labels {
            Some((labels, count)) => Target::Classes { labels, count: *count },
            None => Target::Numbers(&self.y),
        }
    }
}
