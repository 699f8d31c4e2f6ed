//! Trials as plain columns: what tables outside of kilter are made of.

use kilter_space::Value;

use crate::history::Row;

/// One column of a table of trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, as in [`crate::fields`].
    pub name: String,
    /// Its cells, one per trial.
    pub cells: Cells,
}

/// The cells of a column, of the narrowest kind that holds all of them. A cell that its trial does not have is nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Truths.
    Bool(Vec<Option<bool>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Numbers.
    Float(Vec<Option<f64>>),
    /// Everything else, as text.
    Text(Vec<Option<String>>),
}

impl Column {
    /// The column `name` of these trials; nothing if none of them has it.
    pub fn of(rows: &[&Row], name: &str) -> Option<Self> {
        let values: Vec<Option<Value>> = rows.iter().map(|row| row.field(name)).collect();
        let all = |fits: fn(&Value) -> bool| values.iter().flatten().all(fits);
        values.iter().any(Option::is_some).then_some(())?;
        let cells = if all(|value| matches!(value, Value::Bool(_))) {
            let truth = |value: &Option<Value>| if let Some(Value::Bool(b)) = value { Some(*b) } else { None };
            Cells::Bool(values.iter().map(truth).collect())
        } else if all(|value| matches!(value, Value::Int(_))) {
            let whole = |value: &Option<Value>| if let Some(Value::Int(i)) = value { Some(*i) } else { None };
            Cells::Int(values.iter().map(whole).collect())
        } else if all(|value| value.as_f64().is_some()) {
            Cells::Float(values.iter().map(|value| value.as_ref().and_then(Value::as_f64)).collect())
        } else {
            Cells::Text(values.iter().map(|value| value.as_ref().map(ToString::to_string)).collect())
        };
        Some(Self { name: name.to_owned(), cells })
    }

    /// The cell of the `row`-th trial as text that reads back the same; empty if it has none.
    pub fn text(&self, row: usize) -> String {
        fn at<T: Clone + Into<Value>>(cells: &[Option<T>], row: usize) -> String {
            cells.get(row).cloned().flatten().map_or_else(String::new, |cell| cell.into().to_string())
        }
        match &self.cells {
            Cells::Bool(cells) => at(cells, row),
            Cells::Int(cells) => at(cells, row),
            Cells::Float(cells) => at(cells, row),
            Cells::Text(cells) => cells.get(row).cloned().flatten().unwrap_or_default(),
        }
    }
}
