//! Tables: every configuration was run beforehand, so that a search costs nothing but itself, and the best is known.

use std::path::{Path, PathBuf};

use kilter_space::{Choice, Config, Domain, Entry, Int, Value};
use serde::Deserialize;

use super::{Best, Collector, FURTHER, HELD_OUT, Levels, Objective, Problem, Sketch, median, text};

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

/// What a small table's file says that it is.
const SCHEMA: &str = "kilter-hpo-table/1";

/// A small table of real trainings, as it lies in `testdata/golden/hpo-tables`.
#[derive(Deserialize)]
struct File {
    what: String,
    direction: Better,
    params: Vec<Param>,
    rows: Vec<Vec<f64>>,
    fidelity: Option<Steps>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Minimize,
    Maximize,
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

/// The tables of `testdata/golden/hpo-tables`, and those in the folders of `testdata/bench/tables`. Every
/// table that lies there is a problem of its file's name, one with a fidelity also in steps. Ordered levels are asked as
/// whole numbers, as the peers of `regret.json` were asked.
pub fn small(to: &mut Collector<'_>) -> Result<(), String> {
    let own = |group: &str| crate::root().join("testdata/bench/tables").join(group);
    for (folder, group) in [(golden_tables(), "tables"), (own(FURTHER), FURTHER), (own(HELD_OUT), HELD_OUT)] {
        for (name, file) in tables_in(&folder)? {
            to.offer(&name, group, || file.table(false)?.problem(&name, group, &file.what))?;
            if file.fidelity.is_some() {
                let (name, group) = (format!("{name}-steps"), if group == "tables" { "steps" } else { group });
                to.offer(&name, group, || file.table(true)?.problem(&name, group, &file.what))?;
            }
        }
    }
    Ok(())
}

/// The tables in a folder, with their names, in their order. What says that it is something else may lie beside them.
fn tables_in(folder: &Path) -> Result<Vec<(String, File)>, String> {
    let cannot = |why| format!("cannot read {}: {why}", folder.display());
    let found = std::fs::read_dir(folder).map_err(cannot)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = found.collect::<Result<_, _>>().map_err(cannot)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let cannot = |why: String| format!("cannot read {}: {why}", path.display());
        let read = std::fs::read_to_string(&path).map_err(|why| cannot(why.to_string()))?;
        let read: serde_json::Value = serde_json::from_str(&read).map_err(|why| cannot(why.to_string()))?;
        if read["schema"] != SCHEMA {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, serde_json::from_value(read).map_err(|why| cannot(why.to_string()))?));
    }
    Ok(files)
}

impl File {
    /// Its losses, with the curves of its fidelity or without.
    fn table(&self, in_steps: bool) -> Result<Table, String> {
        let columns = self.params.iter().map(|param| {
            let place = |name: &str| {
                let place = self.params.iter().position(|param| param.name == name);
                place.ok_or_else(|| format!("there is no column {name}"))
            };
            let active_if = match &param.active_if {
                Some(when) => Some((place(&when.param)?, when.r#in.clone())),
                None => None,
            };
            let kind = if param.kind == "ordered" { Kind::Index } else { Kind::Choice };
            Ok(Column { name: param.name.clone(), kind, levels: param.levels.clone(), active_if })
        });
        let columns: Vec<Column> = columns.collect::<Result<_, String>>()?;
        let loss = |value: f64| if self.direction == Better::Maximize { -value } else { value };
        let size = Table::size(&columns);
        let mut losses = vec![f64::NAN; size];
        let mut curves = self.fidelity.as_ref().filter(|_| in_steps).map(|steps| (steps, vec![Vec::new(); size]));
        for (number, row) in self.rows.iter().enumerate() {
            let (value, levels) = row.split_last().ok_or("an empty row")?;
            let mut place = 0;
            for (column, level) in columns.iter().zip(levels) {
                let level = if *level < 0.0 { 0 } else { *level as usize };
                if level >= column.levels.len() {
                    return Err(format!("row {number} has a level {level} of {}, which is not there", column.name));
                }
                place = place * column.levels.len() + level;
            }
            losses[place] = loss(*value);
            if let Some((steps, by_place)) = &mut curves {
                let curve = steps.values.get(number).ok_or_else(|| format!("row {number} has no curve"))?;
                by_place[place] = curve.iter().map(|value| loss(*value)).collect();
            }
        }
        let curves = curves.map(|(steps, by_place)| (steps.at.clone(), by_place));
        Ok(Table { columns, losses: vec![losses], curves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table dropped in is searched, whatever its name, and one to be maximised is turned round.
    #[test]
    fn every_table_of_a_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let table = r#"{"schema": "kilter-hpo-table/1", "what": "a table", "direction": "maximize",
            "params": [{"name": "kind", "kind": "categorical", "levels": ["a", "b"]},
                       {"name": "depth", "kind": "ordered", "levels": [1, 3], "active_if": {"param": "kind", "in": [1]}}],
            "rows": [[0, -1, 0.5], [1, 0, 0.7], [1, 1, 0.9]]}"#;
        write("dropped-in.json", table);
        write("other.json", r#"{"schema": "kilter-hpo-regret/1"}"#);
        let found = tables_in(folder.path()).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["dropped-in"]);
        let problem = found[0].1.table(false).unwrap().problem("dropped-in", "tables", "").unwrap();
        assert_eq!(problem.regret(&[vec![-0.9]]), 0.0);
        assert_eq!(problem.regret(&[vec![-0.7]]), 1.0);
        write("broken.json", &table.replace("[1, 1, 0.9]", "[1, 2, 0.9]"));
        let broken = &tables_in(folder.path()).unwrap()[0].1;
        assert!(broken.table(false).err().unwrap().contains("row 2 has a level 2 of depth"));
    }
}
