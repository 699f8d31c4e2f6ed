//! Domains and values in one line: `log:1e-5..1e-1`, `int:1..8`, `0..1/0.05`, `adam|sgd`, `fixed:3`.

use crate::domain::{Choice, Domain, DomainError, Float, Int};
use crate::name::nearest;
use crate::value::Value;

/// Why a text is no domain.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InlineError {
    /// The text follows the grammar, but no such domain can be.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// An end or a step is not a number of the right kind.
    #[error("`{text}` is not {wanted}")]
    NotANumber {
        /// What stood there.
        text: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// `..` stands there, but something is wrong around it.
    #[error("`{0}` is no range; write low..high, for example 0..1, log:1e-5..1e-1, int:1..8 or 0..1/0.05")]
    NotARange(String),
    /// A single word.
    #[error("`{0}` is a single value; write fixed:{0} to fix it, several as {0}|other, or a range as 0..1")]
    SingleValue(String),
    /// A word before `:` that starts no domain.
    #[error(
        "`{kind}:` starts no domain; {near}there are log:, int:, int:log:, ordinal:, subset:, permutation:, choice: and \
         fixed: (a text with a colon is quoted: '{kind}:…')",
        kind = .0,
        near = nearest_kind(.0)
    )]
    UnknownKind(String),
}

/// The kind that may be meant.
fn nearest_kind(word: &str) -> String {
    let kinds = ["log", "int", "ordinal", "subset", "permutation", "choice", "fixed"];
    nearest(word, kinds).map_or(String::new(), |kind| format!("did you mean `{kind}:`? "))
}

/// Reads a domain as it is written on the command line.
///
/// # Errors
/// [`InlineError`] with what would be right.
///
/// ```
/// use kilter_space::parse_domain;
/// assert_eq!(parse_domain("int:log:16..512")?.to_string(), "int:log:16..512");
/// assert!(parse_domain("1..0").is_err());
/// # Ok::<(), kilter_space::InlineError>(())
/// ```
pub fn parse_domain(text: &str) -> Result<Domain, InlineError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DomainError::NoChoice.into());
    }
    if let Some(value) = text.strip_prefix("fixed:") {
        return Ok(Domain::Fixed(parse_value(value)));
    }
    if let Some(rest) = text.strip_prefix("int:") {
        return int(rest);
    }
    if let Some(rest) = text.strip_prefix("log:") {
        return float(rest, true);
    }
    for (kind, between, make) in [
        ("ordinal:", '<', Domain::Ordinal as fn(Choice) -> Domain),
        ("subset:", ',', Domain::Subset),
        ("permutation:", ',', Domain::Permutation),
    ] {
        if let Some(rest) = text.strip_prefix(kind) {
            return Ok(make(distinct(rest, between)?));
        }
    }
    let (text, one_will_do) = text.strip_prefix("choice:").map_or((text, false), |rest| (rest, true));
    if split(text, '|').len() > 1 || one_will_do {
        return Ok(Domain::Choice(distinct(text, '|')?));
    }
    if text.starts_with(['\'', '"']) {
        return Err(InlineError::SingleValue(text.to_owned()));
    }
    match text.split_once(':') {
        Some((kind, _)) if !kind.contains("..") => Err(InlineError::UnknownKind(kind.to_owned())),
        _ if text.contains("..") => float(text, false),
        _ => Err(InlineError::SingleValue(text.to_owned())),
    }
}

/// Reads a value: `null`, `true`, `false`, an integer, a number, else text. Quotes (`'1'`) force text; the same quote
/// within is written twice (`'it''s'`).
pub fn parse_value(text: &str) -> Value {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Value::from(inner.replace(&format!("{quote}{quote}"), &quote.to_string()).as_str());
        }
    }
    match text {
        "null" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(i) = text.parse::<i64>() {
        return Value::Int(i);
    }
    // `inf`, `nan` and `infinity` parse as numbers in Rust; here they are words.
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            Value::Float(x)
        }
        _ => Value::from(text),
    }
}

/// `value` written so that [`parse_value`] reads it back.
pub fn quoted(value: &Value) -> String {
    let plain = value.to_string();
    match value {
        // Bars, commas and < part values, a colon may end the name of a kind, a quote in front would open a quoted text.
        Value::Text(_)
            if parse_value(&plain) != *value || plain.is_empty() || plain.contains(['|', ':', '<', ',', '\'', '"']) =>
        {
            if plain.contains('\'') && !plain.contains('"') {
                format!("\"{plain}\"")
            } else {
                format!("'{}'", plain.replace('\'', "''"))
            }
        }
        _ => plain,
    }
}

/// Distinct values with `between` between them.
fn distinct(text: &str, between: char) -> Result<Choice, InlineError> {
    let parts = split(text, between);
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err(DomainError::EmptyChoice.into());
    }
    Ok(Choice::new(parts.into_iter().map(parse_value).collect())?)
}

/// Splits at the signs that stand outside quotes.
fn split(text: &str, between: char) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(bar) = rest[quoted_length(rest)..].find(between).map(|bar| bar + quoted_length(rest)) {
        parts.push(&rest[..bar]);
        rest = &rest[bar + 1..];
    }
    parts.push(rest);
    parts
}

/// How many bytes at the front are within quotes. A quote counts only where a choice begins and only if it is closed:
/// `don't|do` is two words.
fn quoted_length(text: &str) -> usize {
    let inner = text.trim_start();
    let Some(quote) = inner.chars().next().filter(|c| ['\'', '"'].contains(c)) else { return 0 };
    let start = text.len() - inner.len() + 1;
    let mut at = start;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1; // written twice: not the end
    }
    0
}

/// `low..high` or `low..high/step`.
fn ends(text: &str) -> Result<(&str, &str, Option<&str>), InlineError> {
    let (low, rest) = text.split_once("..").ok_or_else(|| InlineError::NotARange(text.to_owned()))?;
    let (high, step) = match rest.split_once('/') {
        Some((high, step)) => (high, Some(step.trim())),
        None => (rest, None),
    };
    if low.trim().is_empty() || high.trim().is_empty() {
        return Err(InlineError::NotARange(text.to_owned()));
    }
    Ok((low.trim(), high.trim(), step))
}

fn float(text: &str, log: bool) -> Result<Domain, InlineError> {
    let number = |part: &str| {
        part.parse::<f64>()
            .map_err(|_| InlineError::NotANumber { text: part.to_owned(), wanted: "a number such as 1e-5" })
    };
    let (low, high, step) = ends(text)?;
    let (low, high) = (number(low)?, number(high)?);
    let range = if log { Float::log(low, high)? } else { Float::new(low, high)? };
    Ok(Domain::Float(match step {
        Some(step) => range.step(number(step)?)?,
        None => range,
    }))
}

fn int(text: &str) -> Result<Domain, InlineError> {
    let not_a_number = |part: &str| InlineError::NotANumber {
        text: part.to_owned(),
        wanted: "a whole number between -2^63 and 2^63-1 (int: ranges take no fractions)",
    };
    let number = |part: &str| part.parse::<i64>().map_err(|_| not_a_number(part));
    let (log, text) = text.strip_prefix("log:").map_or((false, text), |rest| (true, rest));
    let (low, high, step) = ends(text)?;
    let (low, high) = (number(low)?, number(high)?);
    let range = if log { Int::log(low, high)? } else { Int::new(low, high)? };
    Ok(Domain::Int(match step {
        Some(step) => {
            // A step may be as wide as the whole range, 2^64-1.
            range.step(match step.parse::<u64>() {
                Ok(width) => width,
                Err(_) => return Err(DomainError::BadStep(number(step)?.into()).into()),
            })?
        }
        None => range,
    }))
}
