//! Tables of trials in CSV: kilter's own exports, data frames of other programs, anybody's notes.
//!
//! Hyperparameters are the columns `params.NAME` or `params_NAME`; where there are none, every column that is no goal and
//! no field of a trial. A domain that is not declared is as wide as what was tried.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_meter::Usage;
use kilter_space::{Choice, Domain, Entry, Float, Int, Name, Outline, Value, nearest, parse_value};

use super::{ImportError, Imported, Past, log};
use crate::event::{End, EndState};
use crate::goal::Goal;
use crate::history::Tags;
use crate::limits::Limits;
use crate::recipe::Failure;
use crate::run::Why;
use crate::select::FIELDS;
use crate::storage::{Conduct, StudySpec};

/// What a table does not say itself.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The study's name.
    pub name: String,
    /// The study's directions; each is a column.
    pub goals: Vec<Goal>,
    /// Domains of hyperparameters; the others' are as wide as what was tried.
    pub params: Vec<(String, Domain)>,
    /// The moment of import, in milliseconds since 1970.
    pub now_ms: i64,
}

/// Columns of other programs' tables that are no hyperparameters.
const OTHERS: [&str; 6] = ["datetime_start", "datetime_complete", "duration", "trial", "trial_id", ""];

/// What a column holds.
enum Kind {
    Metric(String),
    Param(String),
    Tag(String),
    Field(String),
}

/// A table as a study.
///
/// # Errors
/// If the file is no such table, or lacks a goal's column.
pub fn read_table(path: &Path, table: Table) -> Result<Imported, ImportError> {
    let not_known = |why: String| ImportError::NotKnown { path: path.to_owned(), why };
    let text = std::fs::read(path)
        .map_err(|why| ImportError::Unreadable { path: path.to_owned(), why: why.to_string() })
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_known("it is no text in UTF-8".to_owned())))?;
    let (header, records) = cells(&text).map_err(not_known)?;
    let kinds = kinds(&header, &table).map_err(not_known)?;
    let mut remarks = Vec::new();
    let outline = outline(&kinds, &records, &table, &mut remarks).map_err(not_known)?;
    let mut pasts = Vec::new();
    for (line, record) in records.iter().enumerate() {
        let past = past(&kinds, record, &table).map_err(|why| not_known(format!("line {}: {why}", line + 2)))?;
        for (name, value) in &past.answers {
            if let Some(Err(why)) = outline.entry(name).ok().map(|entry| entry.check(value)) {
                return Err(not_known(format!("line {}: {why}", line + 2)));
            }
        }
        pasts.push(past);
    }
    let trials = Some(pasts.len() as u64);
    let events = log(pasts, &outline, Tags::new(), &mut remarks);
    let spec = StudySpec {
        name: table.name,
        outline,
        goals: table.goals,
        sampler: "auto".to_owned(),
        pruner: "none".to_owned(),
        seed: 0,
        trials,
        requirements: Vec::new(),
        limits: Limits::default(),
        conduct: Conduct::default(),
        plan: serde_json::Value::Null,
    };
    Ok(Imported { spec, created_ms: table.now_ms, events, remarks })
}

/// The columns' names and the rows of a table whose separator is `,` `;` tab or `|`; where it is `;`, `1,5` is one and a
/// half.
fn cells(text: &str) -> Result<(Vec<String>, Vec<csv::StringRecord>), String> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let outside_quotes =
        |separator: char| first.split('"').step_by(2).map(|part| part.matches(separator).count()).sum();
    // Of equally frequent ones the first.
    let separator =
        [',', ';', '\t', '|'].into_iter().rev().max_by_key(|separator| -> usize { outside_quotes(*separator) });
    let separator = separator.unwrap_or(',');
    let mut reader = csv::ReaderBuilder::new();
    reader.trim(csv::Trim::All).flexible(true).delimiter(separator as u8);
    let mut reader = reader.from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(|why| why.to_string())?.iter().map(str::to_owned).collect();
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|why| why.to_string())?;
        if record.len() != header.len() {
            let line = record.position().map_or(0, csv::Position::line);
            let (found, named) = (record.len(), header.len());
            return Err(format!("line {line}: {found} cells, and the first line names {named}"));
        }
        let with_point = |cell: &str| match cell.split_once(',') {
            Some((whole, rest)) if separator == ';' && format!("{whole}.{rest}").parse::<f64>().is_ok() => {
                format!("{whole}.{rest}")
            }
            _ => cell.to_owned(),
        };
        records.push(record.iter().map(with_point).collect());
    }
    Ok((header, records))
}

/// `params.lr` and `params_lr` without what stands before the name.
fn bare<'a>(column: &'a str, kind: &str) -> Option<&'a str> {
    column.strip_prefix(kind).and_then(|rest| rest.strip_prefix(['.', '_'])).filter(|rest| !rest.is_empty())
}

fn kinds(header: &[String], table: &Table) -> Result<Vec<Kind>, String> {
    let is_goal = |name: &str| table.goals.iter().any(|goal| goal.metric == name);
    let is_declared = |name: &str| table.params.iter().any(|(param, _)| param == name);
    let named = header.iter().any(|column| bare(column, "params").is_some());
    let kind = |column: &String| match column.as_str() {
        name if is_goal(name) => Kind::Metric(name.to_owned()),
        name if bare(name, "metrics").is_some() => Kind::Metric(name["metrics.".len()..].to_owned()),
        name if bare(name, "params").is_some() => Kind::Param(name["params.".len()..].to_owned()),
        name if is_declared(name) => Kind::Param(name.to_owned()),
        name if bare(name, "user").is_some() => Kind::Tag(name["user.".len()..].to_owned()),
        name if FIELDS.contains(&name) || OTHERS.contains(&name) => Kind::Field(name.to_owned()),
        name if named || !table.params.is_empty() => Kind::Field(name.to_owned()),
        name => Kind::Param(name.to_owned()),
    };
    let kinds: Vec<Kind> = header.iter().map(kind).collect();
    let missing = |wanted: &str, of: &str| {
        let advice = match nearest(wanted, header.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", header.join(", ")),
        };
        format!("it has no column for the {of} `{wanted}`; {advice}")
    };
    for goal in &table.goals {
        if !kinds.iter().any(|kind| matches!(kind, Kind::Metric(name) if *name == goal.metric)) {
            return Err(missing(&goal.metric, "metric"));
        }
    }
    for (param, _) in &table.params {
        if !kinds.iter().any(|kind| matches!(kind, Kind::Param(name) if name == param)) {
            return Err(missing(param, "hyperparameter"));
        }
    }
    if !kinds.iter().any(|kind| matches!(kind, Kind::Param(_))) {
        return Err("it has no column for a hyperparameter".to_owned());
    }
    Ok(kinds)
}

fn outline(
    kinds: &[Kind],
    records: &[csv::StringRecord],
    table: &Table,
    remarks: &mut Vec<String>,
) -> Result<Outline, String> {
    let mut entries = Vec::new();
    for (column, kind) in kinds.iter().enumerate() {
        let Kind::Param(name) = kind else { continue };
        Name::new(name).map_err(|why| why.to_string())?;
        let declared = table.params.iter().find(|(param, _)| param == name).map(|(_, domain)| domain.clone());
        let domain = match declared {
            Some(domain) => domain,
            None => {
                let cells = records.iter().filter_map(|record| record.get(column)).filter(|cell| !cell.is_empty());
                let domain = tried(&cells.map(parse_value).collect::<Vec<_>>()).ok_or_else(|| {
                    format!("nothing was ever tried for `{name}`; declare it with --param {name}=DOMAIN")
                })?;
                remarks.push(format!("{name} is taken for {domain}, as wide as what was tried"));
                domain
            }
        };
        entries.push(Entry::new(name, domain).map_err(|why| why.to_string())?);
    }
    Outline::new(entries).map_err(|why| why.to_string())
}

/// The narrowest domain of everything tried: a range of numbers, else a choice.
fn tried(values: &[Value]) -> Option<Domain> {
    let mut different: Vec<Value> = Vec::new();
    for value in values {
        if !different.contains(value) {
            different.push(value.clone());
        }
    }
    if let [one] = different.as_slice() {
        return Some(Domain::Fixed(one.clone()));
    }
    let numbers: Option<Vec<f64>> = different.iter().map(Value::as_f64).collect();
    if let Some(numbers) = numbers {
        let (low, high) = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
        if different.iter().all(|value| matches!(value, Value::Int(_))) {
            return Int::new(low as i64, high as i64).map(Domain::Int).ok();
        }
        return Float::new(low, high).map(Domain::Float).ok();
    }
    Choice::new(different).map(Domain::Choice).ok()
}

fn past(kinds: &[Kind], record: &csv::StringRecord, table: &Table) -> Result<Past, String> {
    let mut past = Past { began_ms: table.now_ms, ended_ms: table.now_ms, ..Past::default() };
    let (mut metrics, mut usage, mut state) = (BTreeMap::new(), Usage::default(), String::new());
    for (kind, cell) in kinds.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty()) {
        match kind {
            Kind::Metric(name) => {
                let figure = cell.parse::<f64>().map_err(|_| format!("{name} is {cell:?}, which is no number"))?;
                metrics.insert(name.clone(), figure);
            }
            Kind::Param(name) => past.answers.push((name.clone(), parse_value(cell))),
            Kind::Tag(name) => {
                let value = serde_json::to_value(parse_value(cell)).unwrap_or_default();
                past.tags.insert(name.clone(), value);
            }
            Kind::Field(name) => match name.as_str() {
                "state" => state = cell.to_lowercase(),
                "wall_seconds" => usage.wall_seconds = cell.parse().unwrap_or(0.0),
                "cpu_seconds" => usage.cpu_seconds = cell.parse().ok(),
                "peak_bytes" => usage.peak_bytes = cell.parse().ok(),
                "opened_ms" => past.began_ms = cell.parse().unwrap_or(past.began_ms),
                "ended_ms" => past.ended_ms = cell.parse().unwrap_or(past.ended_ms),
                _ => {}
            },
        }
    }
    past.end = match state.as_str() {
        "waiting" => None,
        "pruned" => {
            let why = Why::Pruned { rule: "imported".to_owned(), comparison: "pruned where it ran".to_owned() };
            let violations = Vec::new();
            Some(End {
                state: EndState::Pruned,
                metrics,
                failure: None,
                why: Some(why),
                violations,
                usage,
                remarks: Vec::new(),
            })
        }
        "failed" | "fail" | "running" | "stale" => {
            Some(End::failed(Failure::refused(format!("{state} in the imported table")), usage))
        }
        _ => Some(End::of(metrics, &table.goals, usage)),
    };
    Ok(past)
}
