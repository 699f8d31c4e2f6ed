//! Where studies are: storage addresses, the newest study, the trials' folders.

use std::path::PathBuf;
use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_space::nearest;
use kilter_study::storage::{Address, StudyEntry};
use kilter_study::{Sqlite, Storage, StudyError};

use crate::args::InStorage;
use crate::fault::Fault;
use crate::session::quoted;

/// An opened storage and its file.
pub struct Place {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    address: Address,
}

/// The file of a storage address that is there, with what only a file can do.
pub fn open_file(at: &InStorage) -> Result<Sqlite, Fault> {
    let address = Address::read(&at.storage).map_err(Fault::call)?;
    if !address.file.exists() {
        return Err(Fault::Storage(format!(
            "there is no {} here; begin a study with `kilter tune`, or name another file with --storage sqlite:FILE",
            address.file.display()
        )));
    }
    Ok(Sqlite::at(&address)?)
}

/// A study's name is a line of text.
pub fn check_name(name: &str) -> Result<(), Fault> {
    if name.trim().is_empty() || name.contains(char::is_control) {
        return Err(Fault::call(format!("--study {name:?}: a study's name is a line of text that is not empty")));
    }
    Ok(())
}

/// A folder's name is at most 255 bytes long on most systems.
const LONGEST_FOLDER: usize = 200;

impl Place {
    /// Opens the storage, making it if there is none.
    pub fn make(at: &InStorage) -> Result<Self, Fault> {
        let address = Address::read(&at.storage).map_err(Fault::call)?;
        Ok(Self { storage: Arc::new(Sqlite::at(&address)?), address })
    }

    /// Opens a storage that is there.
    pub fn open(at: &InStorage) -> Result<Self, Fault> {
        let address = Address::read(&at.storage).map_err(Fault::call)?;
        Ok(Self { storage: Arc::new(open_file(at)?), address })
    }

    /// The study of this name, or the newest.
    pub fn study(&self, name: Option<&str>) -> Result<StudyEntry, Fault> {
        let studies = self.storage.studies()?;
        let Some(name) = name else {
            return studies.into_iter().next_back().ok_or_else(|| {
                Fault::call(format!("{} holds no study yet; begin one with `kilter tune`", self.address.file.display()))
            });
        };
        let near = nearest(name, studies.iter().map(|study| study.spec.name.as_str())).map(str::to_owned);
        studies.into_iter().find(|study| study.spec.name == name).ok_or_else(|| match near {
            Some(_) => StudyError::Unknown { name: name.to_owned(), nearest: near }.into(),
            None => Fault::call(format!(
                "there is no study `{name}` here; `kilter studies{}` lists those that are",
                self.option()
            )),
        })
    }

    /// A study name beginning with `stem` that is still free.
    pub fn free_name(&self, stem: &str) -> Result<String, Fault> {
        let taken: Vec<String> = self.storage.studies()?.into_iter().map(|study| study.spec.name).collect();
        let numbered = (2..).map(|n| format!("{stem}-{n}"));
        let mut names = std::iter::once(stem.to_owned()).chain(numbered);
        names.find(|name| !taken.contains(name)).ok_or_else(|| Fault::work("no free name"))
    }

    /// The folder of a study's trials: beside the storage's file.
    pub fn trials_folder(&self, study: &str) -> PathBuf {
        // Names may hold anything; a path may not.
        let safe: String =
            study.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let kept = safe == study && !safe.trim_matches('.').is_empty() && safe.len() <= LONGEST_FOLDER;
        let folder = if kept {
            safe
        } else {
            // Two names that differ only in what a path may not hold must not share a folder.
            let short: String = safe.chars().take(LONGEST_FOLDER / 4).collect();
            format!("{short}-{:08x}", Stream::new(&[], study).below(1 << 32))
        };
        self.address.file.with_extension("trials").join(folder)
    }

    /// The storage's address.
    pub fn address(&self) -> String {
        format!("sqlite:{}", self.address.file.display())
    }

    /// `--storage …`, if it is not the default, to be added to suggested commands.
    pub fn option(&self) -> String {
        let address = self.address.to_string();
        if address == "sqlite:kilter.db" { String::new() } else { format!(" --storage {}", quoted(&address)) }
    }
}
