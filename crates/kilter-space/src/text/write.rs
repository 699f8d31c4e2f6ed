//! A space as TOML that reads back the same.

use std::fmt::Write;

use crate::domain::{Choice, Domain};
use crate::entry::Entry;
use crate::outline::Outline;
use crate::value::Value;

impl Outline {
    /// The space as TOML, in the schema of [`crate::text`]. A complete outline reads back the same.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        for entry in self.entries() {
            let several = self.entries().iter().filter(|other| other.name == entry.name).count() > 1;
            toml.push_str(&parameter(entry, several));
        }
        for constraint in self.constraints() {
            let _ = writeln!(toml, "[[constraints]]\nrequire = {}\n", text(constraint.source()));
        }
        toml.truncate(toml.trim_end().len());
        toml.push('\n');
        toml
    }
}

/// One question. `several` of one name, of which conditions choose, make a list of tables.
fn parameter(entry: &Entry, several: bool) -> String {
    let header = format!("[parameters.{}]", key(entry.name.as_str()));
    let mut lines = vec![if several { format!("[{header}]") } else { header }];
    let mut line = |key: &str, value: String| lines.push(format!("{key} = {value}"));
    match &entry.domain {
        Domain::Float(range) => {
            line("float", format!("[{:?}, {:?}]", range.low(), range.declared_high()));
            if range.is_log() {
                line("log", "true".to_owned());
            }
            if let Some(step) = range.step_width() {
                line("step", format!("{step:?}"));
            }
        }
        // TOML's whole numbers end at 2^63-1.
        Domain::Int(range) if i64::try_from(range.step_width()).is_err() => {
            line("domain", text(&entry.domain.to_string()));
        }
        Domain::Int(range) => {
            line("int", format!("[{}, {}]", range.low(), range.declared_high()));
            if range.is_log() {
                line("log", "true".to_owned());
            }
            if range.step_width() > 1 {
                line("step", range.step_width().to_string());
            }
        }
        Domain::Choice(items) => line("choice", list(items)),
        Domain::Ordinal(items) => line("ordinal", list(items)),
        Domain::Subset(items) => line("subset", list(items)),
        Domain::Permutation(items) => line("permutation", list(items)),
        Domain::Fixed(fixed) => line("fixed", value(fixed)),
    }
    if let Some(default) = &entry.default {
        line("default", value(default));
    }
    if let Some(prior) = &entry.prior {
        line("prior", format!("{{ center = {:?}, spread = {:?} }}", prior.center, prior.spread));
    }
    if let Some(distances) = &entry.distances {
        let rows: Vec<String> = (0..distances.values()).map(|place| format!("{:?}", distances.from(place))).collect();
        line("distances", format!("[{}]", rows.join(", ")));
    }
    if let Some(when) = &entry.when {
        line("when", text(when.source()));
    }
    if entry.setting {
        line("setting", "true".to_owned());
    }
    if !entry.about.is_empty() {
        line("about", text(&entry.about));
    }
    lines.join("\n") + "\n\n"
}

/// Bare where TOML lets it be; a `.` within quotes is part of the name.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(bare) { name.to_owned() } else { text(name) }
}

fn list(items: &Choice) -> String {
    value(&Value::List(items.values().into()))
}

fn value(of: &Value) -> String {
    match of {
        Value::Null => "{ null = true }".to_owned(),
        Value::Text(words) => text(words),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

fn text(words: &str) -> String {
    let mut quoted = String::with_capacity(words.len() + 2);
    quoted.push('"');
    for c in words.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
