//! Tables: every configuration was run beforehand, so that a search costs nothing but itself, and the best is known.

use std::path::{Path, PathBuf};

use kilter_space::{Choice, Config, Domain, Entry, Int, Value};
use serde::Deserialize;

use super::{Best, Collector, Levels, Objective, Problem, Sketch, median, text};

/// One hyperparameter of a table.
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub levels: Vec<Value>,
    /// Asked only when the column of this index is at one of these levels.
    pub active_if: Option<(usize, Vec<usize>)>,
}

/// How a column's levels are shown to a search.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// The level's index, a whole number.
    Index,
    /// The levels themselves, in order.
    Ordinal,
    /// The levels themselves, without order.
    Choice,
}

impl Column {
    fn domain(&self) -> Result<Domain, String> {
        let last = self.levels.len() as i64 - 1;
        Ok(match self.kind {
            Kind::Index => Domain::Int(Int::new(0, last).map_err(text)?),
            Kind::Ordinal => Domain::Ordinal(Choice::new(self.levels.clone()).map_err(text)?),
            Kind::Choice => Domain::Choice(Choice::new(self.levels.clone()).map_err(text)?),
        })
    }

    fn level(&self, value: &Value) -> Option<usize> {
        match (self.kind, value) {
            (Kind::Index, Value::Int(level)) => usize::try_from(*level).ok(),
            _ => self.levels.iter().position(|level| level == value),
        }
    }
}

/// A table in memory: a dense array, one digit per column, inactive ones at 0.
pub struct Table {
    columns: Vec<Column>,
    /// Losses by goal, then by place.
    losses: Vec<Vec<f64>>,
    /// Steps of the fidelity, and the loss at each, by place.
    curves: Option<(Vec<u64>, Vec<Vec<f64>>)>,
}

impl Table {
    /// A table without fidelity, its losses by goal, then by place: the last column's levels change fastest.
    pub fn new(columns: Vec<Column>, losses: Vec<Vec<f64>>) -> Self {
        Self { columns, losses, curves: None }
    }

    fn size(columns: &[Column]) -> usize {
        columns.iter().map(|column| column.levels.len()).product()
    }

    fn place(&self, config: &Config) -> Result<usize, String> {
        let mut place = 0;
        for column in &self.columns {
            let level = match config.get(&column.name) {
                Some(value) => column.level(value).ok_or_else(|| format!("{} has no level {value}", column.name))?,
                None => 0,
            };
            place = place * column.levels.len() + level;
        }
        Ok(place)
    }

    /// The problem of this table: its best is its minimum, or its front, its median that of its rows.
    pub fn problem(self, name: &str, group: &'static str, about: &str) -> Result<Problem, String> {
        let mut entries = Vec::new();
        for column in &self.columns {
            let mut entry = Entry::new(&column.name, column.domain()?).map_err(text)?;
            if let Some((parent, levels)) = &column.active_if {
                let parent = &self.columns[*parent];
                let shown = levels.iter().map(|level| match parent.levels[*level].as_str() {
                    Some(text) => format!("'{text}'"),
                    None => parent.levels[*level].to_string(),
                });
                let shown: Vec<String> = shown.collect();
                entry = entry.when(&format!("{} in [{}]", parent.name, shown.join(", "))).map_err(text)?;
            }
            entries.push(entry);
        }
        let rows = |goal: &[f64]| goal.iter().copied().filter(|loss| loss.is_finite()).collect::<Vec<f64>>();
        let first = rows(&self.losses[0]);
        let sketch = Sketch {
            name,
            group,
            about,
            entries,
            constraints: &[],
            goals: self.losses.len(),
            steps: self.curves.as_ref().and_then(|(steps, _)| steps.last().copied()).unwrap_or(1),
        };
        if let [_, _, ..] = self.losses.as_slice() {
            let front = (0..self.losses[0].len()).map(|place| self.losses.iter().map(|goal| goal[place]).collect());
            let front: Vec<Vec<f64>> = front.collect();
            return Problem::drawn(sketch, self, Best::Front(front));
        }
        let best = match &self.curves {
            // The whole trial's loss may be worse than an earlier step's.
            Some((_, curves)) => rows(&curves.concat()).into_iter().fold(f64::INFINITY, f64::min),
            None => first.iter().copied().fold(f64::INFINITY, f64::min),
        };
        let levels = Levels::Loss { best, median: median(first) };
        Problem::known(sketch, self, levels)
    }
}

impl Objective for Table {
    fn losses(&self, config: &Config) -> Result<Vec<f64>, String> {
        let place = self.place(config)?;
        Ok(self.losses.iter().map(|goal| goal[place]).collect())
    }

    fn curve(&self, config: &Config) -> Option<Result<Vec<(u64, f64)>, String>> {
        let (steps, curves) = self.curves.as_ref()?;
        Some(self.place(config).map(|place| steps.iter().copied().zip(curves[place].iter().copied()).collect()))
    }
}

/// `testdata/golden/hpo-tables`: small tables of real trainings, as they lie there.
#[derive(Deserialize)]
struct File {
    what: String,
    params: Vec<Param>,
    rows: Vec<Vec<f64>>,
    fidelity: Option<Steps>,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    kind: String,
    levels: Vec<Value>,
    active_if: Option<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    param: String,
    r#in: Vec<usize>,
}

#[derive(Deserialize)]
struct Steps {
    at: Vec<u64>,
    values: Vec<Vec<f64>>,
}

/// Where the small tables lie.
pub fn golden_tables() -> PathBuf {
    let folder = std::env::var_os("KILTER_GOLDEN").map(PathBuf::from);
    folder.unwrap_or_else(|| crate::root().join("testdata/golden")).join("hpo-tables")
}

/// The tables of `testdata/golden/hpo-tables`. Ordered levels are asked as whole numbers, as the peers of
/// `regret.json` were asked.
pub fn golden(to: &mut Collector<'_>) -> Result<(), String> {
    let folder = golden_tables();
    for name in ["svm-digits", "krr-diabetes", "gbm-cancer", "mlp-digits"] {
        to.offer(name, "tables", || {
            let (table, about) = read(&folder.join(format!("{name}.json")), false)?;
            table.problem(name, "tables", &about)
        })?;
    }
    to.offer("mlp-digits-steps", "steps", || {
        let (table, about) = read(&folder.join("mlp-digits.json"), true)?;
        table.problem("mlp-digits-steps", "steps", &about)
    })
}

fn read(file: &Path, fidelity: bool) -> Result<(Table, String), String> {
    let read = std::fs::read_to_string(file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let read: File = serde_json::from_str(&read).map_err(|why| format!("{}: {why}", file.display()))?;
    let names: Vec<String> = read.params.iter().map(|param| param.name.clone()).collect();
    let columns = read.params.into_iter().map(|param| {
        let place = |name: &str| names.iter().position(|n| n == name).ok_or(format!("there is no column {name}"));
        let active_if = param.active_if.map(|when| place(&when.param).map(|parent| (parent, when.r#in)));
        let kind = if param.kind == "ordered" { Kind::Index } else { Kind::Choice };
        Ok(Column { name: param.name, kind, levels: param.levels, active_if: active_if.transpose()? })
    });
    let columns: Vec<Column> = columns.collect::<Result<_, String>>()?;
    let size = Table::size(&columns);
    let mut losses = vec![f64::NAN; size];
    let fidelity = read.fidelity.filter(|_| fidelity);
    let mut curves = fidelity.map(|steps| (steps.at, steps.values, vec![Vec::new(); size]));
    for (number, row) in read.rows.iter().enumerate() {
        let (loss, levels) = row.split_last().ok_or("an empty row")?;
        let digit = |place: usize, (column, level): (&Column, &f64)| {
            place * column.levels.len() + if *level < 0.0 { 0 } else { *level as usize }
        };
        let place = columns.iter().zip(levels).fold(0, digit);
        losses[place] = *loss;
        if let Some((_, values, by_place)) = &mut curves {
            by_place[place].clone_from(&values[number]);
        }
    }
    let curves = curves.map(|(at, _, by_place)| (at, by_place));
    Ok((Table { columns, losses: vec![losses], curves }, read.what))
}
