//! What a first reading of a table learns, in memory that does not grow with its rows.

use std::collections::BTreeMap;

use ::csv::ByteRecord;

use super::rows::{Cell, Opened};
use super::{MOST_CATEGORIES, Source};
use crate::dataset::DatasetError;

/// What a first reading learns of a column.
#[derive(Default)]
pub struct Column {
    pub numbers: u64,
    pub texts: u64,
    pub first_text: Option<(u64, String)>,
    first_missing: Option<u64>,
    pub missing: u64,
    pub fraction: bool,
    /// Different values as written, and how often; nothing more is added once there are too many.
    pub different: BTreeMap<String, u64>,
    pub too_many: bool,
}

/// What a first reading learns of a table.
pub struct Survey {
    pub header: Vec<String>,
    pub columns: Vec<Column>,
    pub rows: u64,
}

impl Survey {
    pub fn of<S: Source + ?Sized>(source: &S, name: &str) -> Result<Self, DatasetError> {
        let mut opened = Opened::new(source, name)?;
        let header = opened.header.clone();
        let mut columns: Vec<Column> = header.iter().map(|_| Column::default()).collect();
        let (mut record, mut rows) = (ByteRecord::new(), 0);
        while let Some(line) = opened.next(&mut record, name)? {
            rows += 1;
            for (column, cell) in columns.iter_mut().zip(&record) {
                column.see(opened.cell(cell), line);
            }
        }
        if rows == 0 {
            let why = "it has a first line and no rows".to_owned();
            return Err(DatasetError::Csv { file: name.to_owned(), why });
        }
        Ok(Self { header, columns, rows })
    }

    pub fn target(&self, name: &str, wanted: &str) -> Result<usize, DatasetError> {
        let wrong = |why: String| DatasetError::Target { file: name.to_owned(), why };
        let listed = || {
            let shown: Vec<&str> = self.header.iter().take(12).map(String::as_str).collect();
            let more = self.header.len().saturating_sub(12);
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{tail}", shown.join(", "))
        };
        let target =
            self.header.iter().position(|column| column == wanted).ok_or_else(|| {
                match kilter_space::nearest(wanted, self.header.iter().map(String::as_str)) {
                    Some(near) => wrong(format!("there is no column `{wanted}`; did you mean `{near}`?")),
                    None => wrong(format!("there is no column `{wanted}`; its columns are {}", listed())),
                }
            })?;
        if self.header.len() == 1 {
            return Err(wrong(format!(
                "it has one column, `{wanted}`, and nothing to predict it from; is it separated by , ; tab or |?"
            )));
        }
        let column = &self.columns[target];
        if let Some(line) = column.first_missing {
            return Err(wrong(format!(
                "the target `{wanted}` is missing in {} of {} rows, first in line {line}; remove those rows",
                column.missing, self.rows
            )));
        }
        Ok(target)
    }
}

impl Column {
    fn see(&mut self, cell: Cell, line: u64) {
        let value = match cell {
            Cell::Missing => {
                self.missing += 1;
                self.first_missing.get_or_insert(line);
                return;
            }
            Cell::Number(number) => {
                self.numbers += 1;
                self.fraction |= number.fract() != 0.0;
                if self.too_many {
                    return;
                }
                number.to_string()
            }
            Cell::Text(text) => {
                self.texts += 1;
                if self.first_text.is_none() {
                    self.first_text = Some((line, text.clone()));
                }
                if self.too_many {
                    return;
                }
                text
            }
        };
        if let Some(count) = self.different.get_mut(&value) {
            *count += 1;
        } else if self.different.len() < MOST_CATEGORIES {
            self.different.insert(value, 1);
        } else {
            self.too_many = true;
        }
    }

    /// A single value, or none at all.
    pub fn is_constant(&self) -> bool {
        self.different.len() < 2
    }

    pub fn check_mixed(&self, name: &str, column: &str) -> Result<(), DatasetError> {
        match &self.first_text {
            Some((line, found)) if self.numbers > self.texts => Err(DatasetError::Cell {
                file: name.to_owned(),
                line: *line,
                column: column.to_owned(),
                found: found.clone(),
                expected: format!(
                    "a number, as in {} other rows (a missing value is an empty cell, NA or ?)",
                    self.numbers
                ),
            }),
            _ => Ok(()),
        }
    }
}
