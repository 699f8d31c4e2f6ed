//! The only unsafe code of this room: bytes of a file as memory.
//!
//! A window maps a part of a file for as long as somebody reads it. Mapping parts and not whole files keeps the resident
//! memory at a few windows, whatever the files' sizes, and needs no copy into buffers.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use crate::fault::WeightsError;

/// Bytes of a file, mapped until dropped.
#[derive(Debug)]
pub struct Window(Option<Mmap>);

impl Window {
    /// Maps `length` bytes from `offset` of a file that had `file_length` bytes when it was opened.
    ///
    /// # Errors
    /// If the file has another length now, or the system refuses.
    pub(super) fn open(
        file: &File,
        path: &Path,
        file_length: u64,
        offset: u64,
        length: usize,
    ) -> Result<Self, WeightsError> {
        let found = file.metadata().map_err(|why| WeightsError::io("read", path, why))?.len();
        if found != file_length || offset.checked_add(length as u64).is_none_or(|end| end > file_length) {
            return Err(WeightsError::Changed { path: path.to_owned(), expected: file_length, found });
        }
        if length == 0 {
            return Ok(Self(None));
        }
        Self::map(file, offset, length).map(|map| Self(Some(map))).map_err(|why| WeightsError::io("map", path, why))
    }

    /// Invariants: the range lies within the file (checked by the caller just before), the mapping is read-only and
    /// private, and nothing is derived from its bytes but numbers, so that bytes which change under us give wrong numbers
    /// and never a wrong program. What no check can exclude is another process that truncates the file while a window is
    /// open: the kernel then ends this process (SIGBUS), as it does for every reader of a mapping; what was written until
    /// then is a temporary file, so no output is left half-written under its name.
    #[expect(unsafe_code, reason = "a mapping is unsafe because others may write the file; see the invariants above")]
    fn map(file: &File, offset: u64, length: usize) -> std::io::Result<Mmap> {
        let mut options = MmapOptions::new();
        options.offset(offset).len(length).populate();
        // SAFETY: see the invariants above.
        unsafe { options.map(file) }
    }
}

impl Deref for Window {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
