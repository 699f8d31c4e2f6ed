//! Where a command's metrics come from: a pattern in its output, a line of JSON, a file, or `kilter report`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where one metric comes from, as written after `--metric`.
#[derive(Clone, Debug)]
pub struct MetricSource {
    name: String,
    text: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// The last match of a pattern in the output.
    Pattern(Regex),
    /// The last line of the output that is a JSON object with this key.
    Json(String),
    /// A file, read at the end: a number, or a JSON object with the metric's name as key.
    File(String),
}

/// Why a metric's source cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// The pattern has no capture group.
    #[error(
        "the pattern `{pattern}` has no group; put parentheses around what matches the number, as in \
         'loss=([0-9.eE+-]+)'"
    )]
    NoGroup {
        /// The pattern.
        pattern: String,
    },
    /// The pattern is no regular expression.
    #[error("the pattern `{pattern}` is no regular expression: {why}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// Why.
        why: String,
    },
    /// A file without a name for what it holds.
    #[error("`{0}` needs the metric's name before it, as in loss={0}")]
    Nameless(String),
    /// Nothing.
    #[error("a metric needs a pattern such as 'loss=([0-9.eE+-]+)', or json:KEY, or NAME=file:PATH")]
    Empty,
}

/// The name of a metric whose pattern tells none.
const NAMELESS: &str = "value";

impl MetricSource {
    /// Reads `[NAME=]PATTERN`, `[NAME=]json:KEY` or `NAME=file:PATH`.
    ///
    /// `loss=([0-9.]+)` is a pattern as a whole: what stands before `=` names the metric only if the rest can stand
    /// alone, that is, if it has words of its own. Without a name, the last word before the group gives it.
    ///
    /// # Errors
    /// [`MetricError`] says what would be right.
    ///
    /// ```
    /// use kilter_study::process::MetricSource;
    /// assert_eq!(MetricSource::parse("loss=([0-9.]+)")?.name(), "loss");
    /// assert_eq!(MetricSource::parse("err=final error: ([0-9.]+)")?.name(), "err");
    /// # Ok::<(), kilter_study::process::MetricError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, MetricError> {
        if text.trim().is_empty() {
            return Err(MetricError::Empty);
        }
        let named = text.split_once('=').filter(|(name, rest)| is_word(name) && stands_alone(rest));
        let (name, rest) = named.map_or((None, text), |(name, rest)| (Some(name), rest));
        let source = |name: &str, place| Self { name: name.to_owned(), text: text.to_owned(), place };
        if let Some(key) = rest.strip_prefix("json:") {
            return Ok(source(name.unwrap_or(key), Place::Json(key.to_owned())));
        }
        if let Some(path) = rest.strip_prefix("file:") {
            let name = name.ok_or_else(|| MetricError::Nameless(rest.to_owned()))?;
            return Ok(source(name, Place::File(path.to_owned())));
        }
        let pattern = Regex::new(rest).map_err(|why| {
            // The last line of the error says what; the lines before draw the place.
            MetricError::BadPattern { pattern: rest.to_owned(), why: why.to_string() }
        })?;
        if pattern.captures_len() < 2 {
            return Err(MetricError::NoGroup { pattern: rest.to_owned() });
        }
        let guessed = words_before_group(rest);
        Ok(source(name.or(guessed.as_deref()).unwrap_or(NAMELESS), Place::Pattern(pattern)))
    }

    /// A goal for which nothing was said: `kilter report`, or a line of JSON with its name as key.
    pub fn by_name(name: &str) -> Self {
        Self { name: name.to_owned(), text: format!("json:{name}"), place: Place::Json(name.to_owned()) }
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is looked for, in words.
    pub fn expected(&self) -> String {
        match &self.place {
            Place::Pattern(pattern) => format!("the pattern {pattern} matched nothing in its output"),
            Place::Json(key) => format!(
                "neither `kilter report {key}=…` was called nor did a line of its output hold a JSON object with \"{key}\""
            ),
            Place::File(path) => format!("the trial wrote no number for it into the file {path}"),
        }
    }

    /// The figure in a line of output, if it has one.
    pub(super) fn in_line(&self, line: &str) -> Option<f64> {
        match &self.place {
            Place::Pattern(pattern) => {
                let last = pattern.captures_iter(line).last()?;
                number(last.get(1)?.as_str())
            }
            Place::Json(key) => in_json(line, key),
            Place::File(_) => None,
        }
    }

    /// The file that the figure is in, if it comes from one; `fill` fills in placeholders.
    pub(super) fn file(&self, fill: impl FnOnce(&str) -> String, folder: &Path) -> Option<FigureFile> {
        let Place::File(path) = &self.place else { return None };
        let path = folder.join(fill(path));
        Some(FigureFile { name: self.name.clone(), found: written(&path), path })
    }
}

/// A file that a trial writes a figure into, as it was before the trial.
pub(super) struct FigureFile {
    /// The metric's name.
    pub name: String,
    path: PathBuf,
    found: Option<(SystemTime, u64)>,
}

impl FigureFile {
    /// The figure that was written since; what an earlier trial or attempt left there is no result of this one.
    pub(super) fn figure(&self) -> Option<f64> {
        if self.found.is_some() && written(&self.path) == self.found {
            return None;
        }
        let text = std::fs::read_to_string(&self.path).ok()?;
        number(text.trim()).or_else(|| in_json(&text, &self.name))
    }
}

/// When a file was last written, and its length.
fn written(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

impl Serialize for MetricSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MetricSource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

/// Has the pattern a word of its own before its first group?
fn stands_alone(pattern: &str) -> bool {
    pattern.starts_with("json:") || pattern.starts_with("file:") || words_before_group(pattern).is_some()
}

/// The last word that a pattern spells out before its first group: `val_loss` for `val_loss[:=]\s*([0-9.]+)`.
fn words_before_group(pattern: &str) -> Option<String> {
    let (mut words, mut word, mut chars) = (Vec::new(), String::new(), pattern.chars());
    while let Some(c) = chars.next() {
        match c {
            '(' => break,
            c if c.is_alphanumeric() || c == '_' => {
                word.push(c);
                continue;
            }
            // An escape is no letter of a word, nor is what stands in a class.
            '\\' => drop(chars.next()),
            '[' => drop(chars.by_ref().find(|&c| c == ']')),
            _ => {}
        }
        words.push(std::mem::take(&mut word));
    }
    words.push(word);
    words.into_iter().rev().find(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// Reads a number; a sentence's full stop or a percent sign behind it does no harm.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.trim_end_matches(|c: char| !c.is_alphanumeric()).parse().ok())
}

/// The number under a (dotted) key of a JSON object.
fn in_json(text: &str, key: &str) -> Option<f64> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    let object: Value = serde_json::from_str(text).ok().or_else(|| {
        // Python writes NaN and Infinity, which JSON does not know.
        let plain = text.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null");
        serde_json::from_str(&plain).ok()
    })?;
    let found = object.get(key).or_else(|| key.split('.').try_fold(&object, |at, part| at.get(part)))?;
    match found {
        Value::Null => Some(f64::NAN),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{MetricError, MetricSource};

    fn named(text: &str) -> String {
        MetricSource::parse(text).unwrap().name().to_owned()
    }

    #[test]
    fn a_name_is_told_from_a_pattern() {
        assert_eq!(named("loss=([0-9.eE+-]+)"), "loss");
        assert_eq!(named(r"loss=\s*([0-9.]+)"), "loss");
        assert_eq!(named("acc=accuracy: ([0-9.]+)"), "acc");
        assert_eq!(named(r"val_loss[:=]\s*([0-9.]+)"), "val_loss");
        assert_eq!(named("([0-9.]+)"), "value");
        assert_eq!(named("json:eval.loss"), "eval.loss");
        assert_eq!(named("loss=json:eval.loss"), "loss");
        assert_eq!(named("loss=file:out.txt"), "loss");
    }

    #[test]
    fn the_last_match_of_a_line_counts_and_ornaments_do_no_harm() {
        let source = MetricSource::parse("loss=([0-9.eE+-]+)").unwrap();
        assert_eq!(source.in_line("loss=0.5 then loss=2e-1."), Some(0.2));
        assert_eq!(source.in_line("nothing"), None);
        assert!(MetricSource::parse(r"loss=(\S+)").unwrap().in_line("loss=nan").unwrap().is_nan());
    }

    #[test]
    fn json_lines_may_nest_and_hold_pythons_nan() {
        let source = MetricSource::parse("json:eval.loss").unwrap();
        assert_eq!(source.in_line(r#" {"eval": {"loss": 3}} "#), Some(3.0));
        assert_eq!(source.in_line(r#"{"eval.loss": 4.5}"#), Some(4.5));
        assert!(source.in_line(r#"{"eval": {"loss": NaN}}"#).unwrap().is_nan());
        assert_eq!(source.in_line("{not json"), None);
    }

    #[test]
    fn bad_sources_are_refused_with_advice() {
        assert!(matches!(MetricSource::parse("loss=[0-9.]+"), Err(MetricError::NoGroup { .. })));
        assert!(matches!(MetricSource::parse("loss=([0-9.]+"), Err(MetricError::BadPattern { .. })));
        assert!(matches!(MetricSource::parse("file:x"), Err(MetricError::Nameless(_))));
        assert_eq!(MetricSource::parse(" ").unwrap_err(), MetricError::Empty);
    }
}
