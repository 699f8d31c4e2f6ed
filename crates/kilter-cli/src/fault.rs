//! What went wrong, and the exit code that says so.

use std::process::ExitCode;

use kilter_space::text::TextError;
use kilter_study::{StorageError, StudyError};

/// Exit 1: the work failed.
pub const FAILED: u8 = 1;
/// Exit 3: interrupted; what was done is kept.
pub const INTERRUPTED: u8 = 3;

/// A message for people, and an exit code.
#[derive(Debug)]
pub enum Fault {
    /// Exit 2: the call was wrong, nothing was changed.
    Call(String),
    /// Exit 1: the work failed.
    Work(String),
    /// Exit 4: the storage cannot be reached.
    Storage(String),
    /// Exit 2: a file is wrong, here and there; nothing was changed.
    Text(TextError),
    /// Nobody reads our output any more.
    PipeClosed,
}

impl Fault {
    /// The call was wrong.
    pub fn call(why: impl std::fmt::Display) -> Self {
        Self::Call(why.to_string())
    }

    /// The work failed.
    pub fn work(why: impl std::fmt::Display) -> Self {
        Self::Work(why.to_string())
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Call(_) | Self::Text(_) => 2,
            Self::Work(_) => FAILED,
            Self::Storage(_) => 4,
            Self::PipeClosed => 0,
        })
    }

    /// The message.
    pub fn message(&self) -> &str {
        match self {
            Self::Call(why) | Self::Work(why) | Self::Storage(why) => why,
            Self::Text(_) | Self::PipeClosed => "",
        }
    }
}

impl From<StorageError> for Fault {
    fn from(why: StorageError) -> Self {
        match why {
            StorageError::NameTaken(_) | StorageError::NoStudy(_) | StorageError::InUse(_) => Self::call(why),
            _ => Self::Storage(why.to_string()),
        }
    }
}

impl From<StudyError> for Fault {
    fn from(why: StudyError) -> Self {
        match why {
            StudyError::Storage(why) => why.into(),
            StudyError::Search { .. } | StudyError::Changed(_) => Self::work(why),
            StudyError::Devices(_)
            | StudyError::Space(_)
            | StudyError::Unfit(_)
            | StudyError::NotAsked { .. }
            | StudyError::NotProposed { .. }
            | StudyError::Unknown { .. } => Self::call(why),
        }
    }
}

impl From<TextError> for Fault {
    fn from(why: TextError) -> Self {
        Self::Text(why)
    }
}

impl From<std::io::Error> for Fault {
    fn from(why: std::io::Error) -> Self {
        if why.kind() == std::io::ErrorKind::BrokenPipe { Self::PipeClosed } else { Self::work(why) }
    }
}
