//! The tree of a text: TOML and JSON come to the same.

use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::Format;
use super::problem::{Source, TextError};
use crate::value::Value;

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands, in bytes.
    pub span: Range<usize>,
    /// What stands there.
    pub kind: Kind,
}

/// What stands somewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// JSON's null; in TOML `{ null = true }`.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order written.
    Table(Vec<Member>),
    /// Something that no key takes: a date, a number beyond all bounds.
    Other(&'static str),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// Where the key stands first, in bytes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) => "a whole number",
            Kind::Float(_) => "a float",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Other(what) => what,
        }
    }

    /// The text in it.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number in it.
    pub fn as_number(&self) -> Option<f64> {
        match self.kind {
            Kind::Int(i) => Some(i as f64),
            Kind::Float(x) => Some(x),
            _ => None,
        }
    }

    /// The answer in it; the node at fault if it cannot be one.
    ///
    /// # Errors
    /// If it is or holds a table (other than `{ null = true }`), a date, or a number that is not finite.
    pub fn value(&self) -> Result<Value, &Self> {
        Ok(match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Int(i) => Value::Int(*i),
            Kind::Float(x) if x.is_finite() => Value::Float(*x),
            Kind::Text(text) => Value::from(text.as_str()),
            Kind::List(items) => Value::List(items.iter().map(Self::value).collect::<Result<_, _>>()?),
            Kind::Table(members) => match members.as_slice() {
                [Member { key, value: Self { kind: Kind::Bool(true), .. }, .. }] if key == "null" => Value::Null,
                _ => return Err(self),
            },
            Kind::Float(_) | Kind::Other(_) => return Err(self),
        })
    }
}

/// A whole number beyond 64 bits.
const TOO_LARGE: &str = "a whole number beyond 2^63-1";

/// Reads TOML.
pub(super) fn toml(text: &str, source: &Arc<Source>) -> Result<Vec<Member>, TextError> {
    match DeTable::parse(text) {
        Ok(table) => Ok(toml_table(table.into_inner())),
        Err(why) => {
            let span = why.span().unwrap_or(text.len()..text.len());
            let near = text.get(span.start..).unwrap_or_default();
            Err(match near.starts_with("null") {
                true => source.problem("TOML knows no null", span).help("write { null = true }").into(),
                false => source.problem(why.message(), span).into(),
            })
        }
    }
}

fn toml_table(table: DeTable<'_>) -> Vec<Member> {
    let mut members: Vec<Member> = table
        .into_iter()
        .map(|(key, value)| Member {
            key_span: key.span(),
            key: key.into_inner().into_owned(),
            value: Node { span: value.span(), kind: toml_value(value.into_inner()) },
        })
        .collect();
    // The reader gives its tables sorted by name; what counts is the order written.
    members.sort_by_key(|member| member.key_span.start);
    members
}

fn toml_value(value: DeValue<'_>) -> Kind {
    match value {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).map_or(Kind::Other(TOO_LARGE), Kind::Int),
        DeValue::Float(x) => x.as_str().parse().map_or(Kind::Other("no number"), Kind::Float),
        DeValue::Boolean(b) => Kind::Bool(b),
        DeValue::Datetime(_) => Kind::Other("a date or time"),
        DeValue::Array(items) => Kind::List(
            items.into_iter().map(|item| Node { span: item.span(), kind: toml_value(item.into_inner()) }).collect(),
        ),
        DeValue::Table(table) => Kind::Table(toml_table(table)),
    }
}

/// JSON that nests deeper is a mistake; recursion must end before the stack does.
const DEEPEST: usize = 100;

/// Reads JSON.
pub(super) fn json(text: &str, source: &Arc<Source>) -> Result<Vec<Member>, TextError> {
    let wrong = |why: &serde_json::Error, span: Option<Range<usize>>| {
        let message = why.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let at = source.line_start(why.line()) + why.column().saturating_sub(1);
        TextError::from(source.problem(message, span.unwrap_or(at..at + 1)))
    };
    let whole = serde_json::from_str::<&RawValue>(text).map_err(|why| wrong(&why, None))?;
    let node = json_node(whole, text, DEEPEST).map_err(|(why, span)| wrong(&why, Some(span)))?;
    match node.kind {
        Kind::Table(members) => Ok(members),
        _ => {
            let advice = "write {\"parameters\": {…}, \"constraints\": […]}";
            Err(source.problem(format!("expected an object, not {}", node.what()), node.span).help(advice).into())
        }
    }
}

/// A value that follows the notation and still cannot be, and its place.
type Misread = (serde_json::Error, Range<usize>);

/// A value that is known to follow the notation. Its place is that of its slice within the text.
fn json_node(raw: &RawValue, text: &str, depth: usize) -> Result<Node, Misread> {
    let raw = raw.get();
    let start = raw.as_ptr() as usize - text.as_ptr() as usize;
    let span = start..start + raw.len();
    let at = |why| (why, span.clone());
    let kind = match raw.as_bytes().first() {
        Some(b'{' | b'[') if depth == 0 => {
            return Err(at(serde::de::Error::custom(format!("this nests more than {DEEPEST} deep"))));
        }
        Some(b'{') => {
            let members = serde_json::Deserializer::from_str(raw).deserialize_map(Members).map_err(at)?;
            let member = |(key, value): (&RawValue, &RawValue)| {
                let key_start = key.get().as_ptr() as usize - text.as_ptr() as usize;
                let key_span = key_start..key_start + key.get().len();
                Ok(Member {
                    key: serde_json::from_str(key.get()).map_err(|why| (why, key_span.clone()))?,
                    key_span,
                    value: json_node(value, text, depth - 1)?,
                })
            };
            Kind::Table(members.into_iter().map(member).collect::<Result<_, Misread>>()?)
        }
        Some(b'[') => {
            let items = serde_json::Deserializer::from_str(raw).deserialize_seq(Items).map_err(at)?;
            let items = items.into_iter().map(|item| json_node(item, text, depth - 1));
            Kind::List(items.collect::<Result<_, Misread>>()?)
        }
        Some(b'"') => Kind::Text(serde_json::from_str(raw).map_err(at)?),
        Some(b'n') => Kind::Null,
        Some(b't') => Kind::Bool(true),
        Some(b'f') => Kind::Bool(false),
        _ if raw.contains(['.', 'e', 'E']) => Kind::Float(serde_json::from_str(raw).map_err(at)?),
        _ => raw.parse().map_or(Kind::Other(TOO_LARGE), Kind::Int),
    };
    Ok(Node { span, kind })
}

/// An object's members as slices of the text, in the order written.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        std::iter::from_fn(|| map.next_entry().transpose()).collect()
    }
}

/// A list's items as slices of the text.
struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        std::iter::from_fn(|| list.next_element().transpose()).collect()
    }
}

/// Where each character of a text begins within `raw`, the text as it is written with its quotes (in bytes; at the end
/// that of the closing quote).
pub(super) fn character_places(raw: &str, format: Format) -> Vec<usize> {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| raw.starts_with(quote)).unwrap_or_default();
    let (long, literal) = (quote.len() == 3, quote.starts_with('\'') && format == Format::Toml);
    let inner = raw.get(..raw.len().saturating_sub(quote.len())).unwrap_or_default();
    let mut at = quote.len();
    if long && inner[at.min(inner.len())..].starts_with('\n') {
        at += 1; // a line's end right behind the quotes does not count
    } else if long && inner[at.min(inner.len())..].starts_with("\r\n") {
        at += 2;
    }
    let mut places = Vec::new();
    while let Some(c) = inner.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &inner[at..];
        let length = match rest[c.len_utf8()..].chars().next() {
            _ if c != '\\' || literal => c.len_utf8(),
            // A pair of surrogates is one character.
            Some('u') if rest.get(2..4).is_some_and(|high| ("d8".."dc").contains(&&*high.to_lowercase())) => 12,
            Some('u') => 6,
            Some('U') => 10,
            Some('x') => 4,
            Some(white) if white.is_whitespace() => {
                // A backslash at a line's end swallows all blanks behind it.
                at += 1 + rest[1..].len() - rest[1..].trim_start().len();
                continue;
            }
            _ => 2,
        };
        places.push(at);
        at += length;
    }
    places.push(inner.len());
    places
}
