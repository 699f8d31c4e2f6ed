//! Columns of hyperparameters: numbers, or words in an order.

use serde_json::{Value, json};

use crate::figure::number;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// Anything else, as text.
    Word(String),
}

/// A column of cells; nothing where a trial does not have the hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    /// All that are there are numbers.
    Number(Vec<Option<f64>>),
    /// Words: the distinct ones in order, and the place of each cell's.
    Words(Vec<String>, Vec<Option<usize>>),
}

impl Axis {
    /// The column of these cells: of words if any of them is one. Words are sorted, numbers among them by size first.
    pub fn new(cells: Vec<Option<Cell>>) -> Self {
        let numbers = cells.iter().map(|cell| match cell {
            None => Some(None),
            Some(Cell::Number(number)) => Some(Some(*number)),
            Some(Cell::Word(_)) => None,
        });
        if let Some(numbers) = numbers.collect::<Option<Vec<_>>>() {
            return Self::Number(numbers);
        }
        let key = |cell: &Cell| match cell {
            Cell::Number(number) => (Some(*number), number.to_string()),
            Cell::Word(word) => (None, word.clone()),
        };
        let mut keys: Vec<(Option<f64>, String)> = cells.iter().flatten().map(key).collect();
        keys.sort_by(|a, b| match (a.0, b.0) {
            (Some(x), Some(y)) => x.total_cmp(&y),
            (x, y) => y.is_some().cmp(&x.is_some()).then_with(|| a.1.cmp(&b.1)),
        });
        keys.dedup_by(|a, b| a.1 == b.1);
        let words: Vec<String> = keys.into_iter().map(|(_, word)| word).collect();
        let place = |cell: &Option<Cell>| {
            let word = key(cell.as_ref()?).1;
            words.iter().position(|other| *other == word)
        };
        let places = cells.iter().map(place).collect();
        Self::Words(words, places)
    }

    /// Are its numbers so far apart that a logarithmic axis shows them better: all above 0, the largest a thousand times
    /// the smallest?
    pub(crate) fn wants_log(&self) -> bool {
        let Self::Number(numbers) = self else { return false };
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for number in numbers.iter().flatten() {
            (low, high) = (low.min(*number), high.max(*number));
        }
        low > 0.0 && high / low >= 1000.0
    }

    /// The cells as Plotly takes them.
    pub(crate) fn json(&self) -> Vec<Value> {
        match self {
            Self::Number(numbers) => numbers.iter().map(|cell| cell.map_or(Value::Null, number)).collect(),
            Self::Words(words, places) => {
                places.iter().map(|place| place.map_or(Value::Null, |place| json!(words[place]))).collect()
            }
        }
    }

    /// What Plotly needs to know of the axis.
    pub(crate) fn layout(&self, title: &str) -> Value {
        let mut layout = json!({ "title": { "text": title } });
        let kind = match self {
            Self::Words(words, _) => {
                layout["categoryarray"] = json!(words);
                "category"
            }
            Self::Number(_) if self.wants_log() => "log",
            Self::Number(_) => "linear",
        };
        layout["type"] = json!(kind);
        layout
    }
}
