//! Trials by what is asked of them by name: filters, order, columns of tables and exports.
//!
//! A trial's own fields go by the names in [`FIELDS`], its metrics by `metrics.NAME`, its hyperparameters by
//! `params.NAME`, what users wrote on it by `user.NAME`. A bare `NAME` means the first of these that there is.

use std::cmp::Ordering;

use kilter_space::{Expr, ExprError, Truth, Value, nearest};

use crate::event::End;
use crate::history::{History, Row, State};
use crate::limits::built_in;
use crate::storage::StudySpec;

/// A trial's own fields. Times are in seconds, sizes in bytes, moments in milliseconds since 1970.
pub const FIELDS: [&str; 12] = [
    "number",
    "state",
    "feasible",
    "violation",
    "failure",
    "attempt",
    "opened_ms",
    "ended_ms",
    "wall_seconds",
    "cpu_seconds",
    "peak_bytes",
    "energy_joules",
];

/// Which trials, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    filter: Option<Expr>,
    sort: Option<Sort>,
    limit: Option<usize>,
}

#[derive(Clone, Debug)]
struct Sort {
    field: String,
    descending: bool,
}

/// Why a selection cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// The filter is no expression, or asks for what no trial has.
    #[error(transparent)]
    Filter(#[from] ExprError),
    /// No trial has this.
    #[error("{}", unknown(.name, .nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
}

fn unknown(name: &str, nearest: Option<&str>) -> String {
    let advice = nearest.map_or_else(
        || "trials have number, state, wall_seconds, …, and their metrics and hyperparameters".to_owned(),
        |nearest| format!("did you mean `{nearest}`?"),
    );
    format!("no trial of this study has `{name}`; {advice}")
}

/// Everything that can be asked of a study's trials, each by its full name: its own fields, then `metrics.`, `params.`
/// and `user.`.
pub fn fields(spec: &StudySpec, history: &History) -> Vec<String> {
    let mut all: Vec<String> = FIELDS.iter().map(|field| (*field).to_owned()).collect();
    let mut add = |kind: &str, name: &str| {
        let full = format!("{kind}.{name}");
        if !all.contains(&full) {
            all.push(full);
        }
    };
    spec.goals.iter().for_each(|goal| add("metrics", &goal.metric));
    for row in history.rows() {
        row.end.iter().flat_map(|end| end.metrics.keys()).for_each(|name| add("metrics", name));
    }
    spec.outline.entries().iter().for_each(|entry| add("params", entry.name.as_str()));
    for row in history.rows() {
        row.config().answers().iter().for_each(|(name, _)| add("params", name.as_str()));
    }
    history.rows().flat_map(|row| row.tags.keys()).for_each(|name| add("user", name));
    all
}

/// Is `name` one of `fields`, in full or bare?
fn knows(fields: &[String], name: &str) -> bool {
    fields.iter().any(|field| field == name || field.split_once('.').is_some_and(|(_, bare)| bare == name))
}

/// The field nearest to a mistyped one: bare names first, since people type those.
fn near(fields: &[String], name: &str) -> Option<String> {
    let bare = fields.iter().map(|field| field.split_once('.').map_or(field.as_str(), |(_, bare)| bare));
    nearest(name, bare).or_else(|| nearest(name, fields.iter().map(String::as_str))).map(str::to_owned)
}

/// Refuses a name that no trial could have.
///
/// # Errors
/// [`SelectError::Unknown`], with the nearest name.
pub fn check_field(fields: &[String], name: &str) -> Result<(), SelectError> {
    if knows(fields, name) {
        return Ok(());
    }
    Err(SelectError::Unknown { name: name.to_owned(), nearest: near(fields, name) })
}

impl Row {
    /// What the trial has by this name, if it has it: see the module's words on names.
    pub fn field(&self, name: &str) -> Option<Value> {
        let metric = |name: &str| self.value(name).map(Value::Float);
        let param = |name: &str| self.config().get(name).cloned();
        let tag = |name: &str| self.tags.get(name).map(value_of);
        if let Some((kind, bare)) = name.split_once('.') {
            match kind {
                "metrics" => return metric(bare),
                "params" => return param(bare),
                "user" => return tag(bare),
                _ => {}
            }
        }
        if FIELDS.contains(&name) { self.own(name) } else { metric(name).or_else(|| param(name)).or_else(|| tag(name)) }
    }

    fn own(&self, name: &str) -> Option<Value> {
        let usage = self.end.as_ref().map(|end| end.usage);
        Some(match name {
            "number" => Value::Int(self.number as i64),
            "state" => Value::from(self.state.name()),
            "failure" => Value::from(self.end.as_ref().and_then(End::failure_name)?),
            "attempt" => Value::Int(i64::from(self.attempt)),
            "feasible" => Value::Bool(self.violation()? == 0.0),
            "violation" => Value::Float(self.violation()?),
            "opened_ms" => Value::Int(self.opened_ms),
            "ended_ms" => Value::Int(self.ended_ms?),
            "peak_bytes" => Value::Int(i64::try_from(usage?.peak_bytes?).ok()?),
            _ => Value::Float(built_in(&usage?, name)?),
        })
    }
}

/// A tag as a value of tables; what is no plain value is its JSON text.
fn value_of(tag: &serde_json::Value) -> Value {
    match tag {
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        other => Value::from(other.to_string().as_str()),
    }
}

impl End {
    fn failure_name(&self) -> Option<&'static str> {
        self.failure.as_ref().map(crate::recipe::Failure::name)
    }
}

impl Selection {
    /// Trials for which `filter` holds (`state == 'complete' and loss < 0.2`), in the order of `sort` (a field, or `-field`
    /// for the largest first; by number without), at most `limit`.
    ///
    /// # Errors
    /// If `filter` is no expression.
    pub fn read(filter: Option<&str>, sort: Option<&str>, limit: Option<usize>) -> Result<Self, SelectError> {
        let filter = filter.map(Expr::parse).transpose()?;
        let sort = sort.map(|text| match text.strip_prefix('-') {
            Some(field) => Sort { field: field.to_owned(), descending: true },
            None => Sort { field: text.to_owned(), descending: false },
        });
        Ok(Self { filter, sort, limit })
    }

    /// Does it leave anything out?
    pub fn is_partial(&self) -> bool {
        self.filter.is_some() || self.limit.is_some()
    }

    /// Where the filter asks for a state that there is none of: what was meant, for people whose filter found nothing.
    pub fn misspelt_state(&self) -> Option<String> {
        let filter = self.filter.as_ref()?;
        filter.names().into_iter().find(|(name, _)| name.as_str() == "state")?;
        let states = State::ALL.map(State::name);
        // Every other piece between quotes is a text.
        let mut texts = filter.source().split(['\'', '"']).skip(1).step_by(2);
        let word = texts.find(|word| !states.contains(word) && nearest(word, states).is_some())?;
        Some(format!("no state is called `{word}`; did you mean `{}`?", nearest(word, states)?))
    }

    /// The trials selected. One that lacks what the filter asks for is not; one that lacks what it is sorted by comes
    /// last, and equals by number.
    ///
    /// # Errors
    /// If the filter or the order names what no trial of the study could have.
    pub fn of<'a>(&self, spec: &StudySpec, history: &'a History) -> Result<Vec<&'a Row>, SelectError> {
        let known = fields(spec, history);
        if let Some(filter) = &self.filter {
            for (name, span) in filter.names() {
                if let Err(why) = check_field(&known, name.as_str()) {
                    let source_text = filter.source().to_owned();
                    return Err(ExprError { message: why.to_string(), source_text, span }.into());
                }
            }
        }
        if let Some(sort) = &self.sort {
            check_field(&known, &sort.field)?;
        }
        let holds = |row: &&Row| {
            let truth = self.filter.as_ref().map(|filter| filter.truth(&|name| row.field(name.as_str())));
            truth.is_none_or(|truth| truth == Truth::Yes)
        };
        let mut rows: Vec<&Row> = history.rows().filter(holds).collect();
        if let Some(Sort { field, descending }) = &self.sort {
            let mut keyed: Vec<(Option<Value>, &Row)> = rows.into_iter().map(|row| (row.field(field), row)).collect();
            keyed.sort_by(|(a, _), (b, _)| match (a, b) {
                (Some(a), Some(b)) if *descending => order(b, a),
                (Some(a), Some(b)) => order(a, b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            });
            rows = keyed.into_iter().map(|(_, row)| row).collect();
        }
        rows.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(rows)
    }
}

/// Numbers by size and before everything else, which goes by its text.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        (x, y) => y.is_some().cmp(&x.is_some()).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}
