//! The Wisconsin Diagnostic breast-cancer table, in the binary: 569 biopsies (212 malignant, 357 benign) by 30 features.
//!
//! Street, Wolberg and Mangasarian, *Nuclear feature extraction for breast tumor diagnosis* (1993); source and licence
//! in `data/README.md`. The file codes malignant as 0; here **malignant is 1**, because the positive class of a
//! diagnosis is the illness. Cost: one parse of 120 kB, about half a millisecond.

use crate::dataset::{Dataset, DatasetError, Feature, Target};

const NAME: &str = "breast-cancer";
const TEXT: &str = include_str!("../data/breast-cancer.csv");

/// The ten measures of a nucleus; the table holds their mean over the image, its standard error, and the mean of the
/// three largest ("worst"), in blocks of ten columns.
const MEASURES: [&str; 10] = [
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
];

/// Reads the embedded table: 569 rows, 30 columns, class 1 = malignant.
///
/// # Errors
/// Only if the embedded file was damaged in the source tree; the message says in which cell.
pub fn breast_cancer() -> Result<Dataset, DatasetError> {
    let features: Vec<Feature> = ["mean", "error", "worst"]
        .iter()
        .flat_map(|block| {
            MEASURES.iter().map(move |measure| match *block {
                "error" => format!("{measure} error"),
                block => format!("{block} {measure}"),
            })
        })
        .map(|name| Feature { name, categories: None })
        .collect();

    // The first line describes the table and has four cells, so line lengths are checked here and not by the reader.
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(TEXT.as_bytes());
    let mut records = reader.records().enumerate();
    let description = ["569", "30", "malignant", "benign"];
    if let Some((_, record)) = records.next() {
        let record = record.map_err(in_csv)?;
        for (column, expected) in description.into_iter().enumerate() {
            let found = record.get(column).unwrap_or_default();
            if found != expected {
                return Err(in_cell(0, column, found, expected));
            }
        }
    }

    let mut values = Vec::with_capacity(569 * 30);
    let mut target = Vec::with_capacity(569);
    for (line, record) in records {
        let record = record.map_err(in_csv)?;
        for column in 0..features.len() {
            let cell = record.get(column).unwrap_or_default();
            values.push(cell.parse().map_err(|_| in_cell(line, column, cell, "a number"))?);
        }
        match record.get(features.len()).unwrap_or_default() {
            "0" => target.push(1),
            "1" => target.push(0),
            found => {
                return Err(in_cell(line, features.len(), found, "the class, 0 (malignant) or 1 (benign)"));
            }
        }
    }
    Ok(Dataset {
        name: NAME.to_owned(),
        features,
        values,
        target_name: "diagnosis".to_owned(),
        target: Target::Classes { labels: target, names: vec!["benign".to_owned(), "malignant".to_owned()] },
        notes: Vec::new(),
        held_out: Vec::new(),
        picture: None,
    })
}

fn in_csv(why: ::csv::Error) -> DatasetError {
    DatasetError::Csv { file: NAME.to_owned(), why: why.to_string() }
}

/// `line` and `column` from 0, as the loops count; the message counts from 1, as editors do.
fn in_cell(line: usize, column: usize, found: &str, expected: &str) -> DatasetError {
    DatasetError::Cell {
        file: NAME.to_owned(),
        line: line as u64 + 1,
        column: (column + 1).to_string(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
