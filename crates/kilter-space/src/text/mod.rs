//! Spaces as text: TOML and JSON of one schema, read with the place of every word, so that whatever is wrong can be
//! pointed at; and written so that they read back the same.
//!
//! ```toml
//! [parameters.optimizer]
//! choice = ["adamw", "soap", { null = true }]
//! distances = [[0, 1, 3], [1, 0, 3], [3, 3, 0]]
//! [parameters.learning_rate]
//! float = [1e-5, 1e-1]
//! log = true
//! prior = { center = 3e-4, spread = 3.0 }
//! [parameters]
//! warmup_steps = "int:0..1000"
//! [[constraints]]
//! require = "warmup_steps < 500 or optimizer != 'soap'"
//! ```
//!
//! A text becomes a tree of [`Node`]s, which keeps the order and the places; the tree becomes [`SpaceText`], and that an
//! [`Outline`](crate::Outline). Files that hold more than a space (a study's `kilter.toml`) read their further keys from
//! the same tree.

mod node;
mod problem;
mod reader;
mod space;
mod write;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use node::{Kind, Member, Node};
pub use problem::{Problem, TextError};
pub use space::SpaceText;

use problem::Source;

/// The notation of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// The notation of a file of this name: JSON if it ends so, else TOML.
    pub fn of(name: &str) -> Self {
        let json = Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if json { Self::Json } else { Self::Toml }
    }
}

/// A text that follows its notation, with the place of every word.
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<Source>,
    format: Format,
    root: Vec<Member>,
}

impl Document {
    /// Reads `bytes`; `name` is the file's, for messages.
    ///
    /// # Errors
    /// If they are no UTF-8, do not follow the notation, or are no table at the top.
    pub fn read(name: &str, bytes: &[u8], format: Format) -> Result<Self, TextError> {
        let text = String::from_utf8_lossy(bytes);
        let source = Arc::new(Source::new(name, &text));
        if let Err(why) = std::str::from_utf8(bytes) {
            let at = why.valid_up_to();
            let message = format!("byte {} is not UTF-8 text", at + 1);
            return Err(source.problem(message, at..at + 3).help("save the file as UTF-8").into());
        }
        let root = match format {
            Format::Toml => node::toml(&text, &source)?,
            Format::Json => node::json(&text, &source)?,
        };
        Ok(Self { source, format, root })
    }

    /// The members at the top, in the order written.
    pub fn members(&self) -> &[Member] {
        &self.root
    }

    /// The member of this name at the top.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.root.iter().find(|member| member.key == key).map(|member| &member.value)
    }

    /// Something wrong at `span` (in bytes).
    pub fn problem(&self, message: impl Into<String>, span: Range<usize>) -> Problem {
        self.source.problem(message, span)
    }

    /// The space in it: its `parameters` and `constraints`. Other keys at the top than those and `further` are refused.
    ///
    /// # Errors
    /// With everything that is wrong, each with its place.
    pub fn space(&self, further: &[&str]) -> Result<SpaceText, TextError> {
        SpaceText::read(self, further)
    }
}
