//! Names of hyperparameters, and the nearest of them to a mistyped one.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// The name of a hyperparameter: a letter or `_` first, then letters, digits, `_` and `.` (any script).
///
/// The same name is used on the command line, in TOML, JSON and expressions; a `.` separates scopes (`tree.max_depth`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Name(Arc<str>);

impl<'de> Deserialize<'de> for Name {
    /// A history of a hundred thousand trials has a handful of names, a hundred thousand times each: those read before
    /// are shared.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As many as any space has; a file full of names must not fill the memory.
        const MOST: usize = 1024;
        thread_local! {
            static READ: RefCell<HashSet<Name>> = RefCell::default();
        }
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a hyperparameter")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name, E> {
                READ.with_borrow_mut(|read| match read.get(text) {
                    Some(name) => Ok(name.clone()),
                    None => {
                        let name = Name::new(text).map_err(E::custom)?;
                        if read.len() < MOST {
                            read.insert(name.clone());
                        }
                        Ok(name)
                    }
                })
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Why a text cannot name a hyperparameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a hyperparameter needs a name; write for example learning_rate")]
    Empty,
    /// The text holds something that a name cannot.
    #[error(
        "`{name}` cannot name a hyperparameter: {found:?} is not allowed there; use letters, digits, _ and ., beginning \
         with a letter or _, for example `{suggestion}`"
    )]
    Forbidden {
        /// The whole text.
        name: String,
        /// The first character that is out of place.
        found: char,
        /// A name near it that would do.
        suggestion: String,
    },
    /// The text is a word of the expression grammar.
    #[error("`{0}` is a word of the condition grammar (and, or, not, in, min, max, true, false, null); choose another")]
    Keyword(String),
}

/// Words that conditions and constraints use themselves.
pub(crate) const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "min", "max", "true", "false", "null"];

impl Name {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, holds a forbidden character, or is a keyword.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let fits =
            |(i, c): (usize, char)| c == '_' || c.is_alphabetic() || (i > 0 && (c.is_alphanumeric() || c == '.'));
        if let Some((_, found)) = text.chars().enumerate().find(|&at| !fits(at)) {
            let mut suggestion: String =
                text.chars().map(|c| if c == '_' || c == '.' || c.is_alphanumeric() { c } else { '_' }).collect();
            if !suggestion.starts_with(|c: char| c == '_' || c.is_alphabetic()) {
                suggestion.insert(0, '_');
            }
            return Err(NameError::Forbidden { name: text.to_owned(), found, suggestion });
        }
        if KEYWORDS.contains(&text) {
            return Err(NameError::Keyword(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// The candidate nearest to a mistyped `word`, if one is near enough to be meant.
///
/// Near enough: Damerau-Levenshtein distance of at most a third of the word's length plus one, or one text begins with
/// the other, or the candidate holds the word.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= word.chars().count() / 3 + 1
                || (word.len() > 2 && (candidate.starts_with(word) || word.starts_with(candidate)))
                || (word.len() > 2 && candidate.contains(word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
