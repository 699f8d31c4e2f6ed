//! Storage addresses: which file, and what a power cut may cost.

use std::fmt;
use std::path::PathBuf;

use super::Durability;

/// A storage address taken apart: `sqlite:FILE`, `sqlite:FILE?durability=full`, or the file's name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The SQLite file.
    pub file: PathBuf,
    /// What a power cut may cost.
    pub durability: Durability,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        let (address, durability) = match text.rsplit_once('?') {
            Some((address, "durability=full")) => (address, Durability::Full),
            Some((address, "durability=normal")) => (address, Durability::Normal),
            Some((_, option)) if option.contains('=') => {
                return Err(format!(
                    "storage `{text}`: there is no option `{option}`; write ?durability=full (a power cut loses nothing, \
                     each change waits for the disk) or ?durability=normal"
                ));
            }
            _ => (text, Durability::Normal),
        };
        let file = match address.split_once(':') {
            Some(("sqlite", file)) => file.trim_start_matches("//"),
            Some((scheme, _)) if scheme.len() > 1 => {
                return Err(format!(
                    "storage `{address}`: `{scheme}:` is not known here; write sqlite:FILE, for example sqlite:kilter.db"
                ));
            }
            _ => address,
        };
        if file.is_empty() {
            return Err("storage: the file's name is missing; write for example sqlite:kilter.db".to_owned());
        }
        Ok(Self { file: PathBuf::from(file), durability })
    }
}

/// As it is written.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durability = match self.durability {
            Durability::Normal => "",
            Durability::Full => "?durability=full",
        };
        write!(f, "sqlite:{}{durability}", self.file.display())
    }
}
