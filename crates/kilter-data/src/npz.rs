//! NumPy's archives: a zip of `.npy` arrays (R. Kern, *A Simple File Format for NumPy Arrays*, NumPy Enhancement Proposal
//! 1, 2007), as far as pictures and classes need them: whole numbers from 0 to 255, in C order.
//!
//! Cost: one pass; memory for the arrays that are read, never more than the archive holds.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::dataset::DatasetError;

/// An array of small whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// Its numbers, the last axis running fastest.
    pub numbers: Vec<u8>,
}

/// An open archive.
pub struct Npz<R> {
    zip: ZipArchive<R>,
    file: String,
}

impl Npz<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is no archive.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = path.display().to_string();
        let bytes = File::open(path).map_err(|source| DatasetError::File { file: file.clone(), source })?;
        Self::new(BufReader::new(bytes), file)
    }
}

impl<R: Read + Seek> Npz<R> {
    /// The archive in these bytes, called `file` in messages.
    ///
    /// # Errors
    /// It is none.
    pub fn new(bytes: R, file: String) -> Result<Self, DatasetError> {
        let zip = ZipArchive::new(bytes)
            .map_err(|why| DatasetError::Unknown(format!("{file} is no NumPy archive (npz): {why}")))?;
        Ok(Self { zip, file })
    }

    /// The names of its arrays.
    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|name| name.ok()?.strip_suffix(".npy").map(str::to_owned)).collect()
    }

    /// The array of this name, if there is one.
    ///
    /// # Errors
    /// It is damaged, or holds other numbers than whole ones from 0 to 255.
    pub fn read(&mut self, name: &str) -> Result<Option<Array>, DatasetError> {
        let wrong =
            |why: &dyn std::fmt::Display| DatasetError::Unknown(format!("{}, array `{name}`: {why}", self.file));
        let entry = format!("{name}.npy");
        if self.zip.index_for_name(&entry).is_none() {
            return Ok(None);
        }
        let bytes = self.zip.by_name(&entry).map_err(|why| wrong(&why))?;
        array(bytes).map(Some).map_err(|why| wrong(&why))
    }
}

/// One `.npy`.
fn array(mut bytes: impl Read) -> Result<Array, String> {
    let damaged = |why: std::io::Error| format!("it is damaged ({why}); bring the file anew");
    let mut start = [0; 8];
    bytes.read_exact(&mut start).map_err(damaged)?;
    if &start[..6] != b"\x93NUMPY" {
        return Err("it is no NumPy array".to_owned());
    }
    // Version 1 says how long the header is in two bytes, later ones in four.
    let mut length = [0; 4];
    let bytes_of_length = if start[6] == 1 { 2 } else { 4 };
    bytes.read_exact(&mut length[..bytes_of_length]).map_err(damaged)?;
    let mut header = String::new();
    let wanted = u64::from(u32::from_le_bytes(length));
    bytes.by_ref().take(wanted).read_to_string(&mut header).map_err(damaged)?;
    let unread = || format!("its header cannot be understood: {}", header.trim());
    let kind = after(&header, "'descr':").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(unread)?;
    if after(&header, "'fortran_order':").ok_or_else(unread)?.starts_with("True") {
        return Err("it is in Fortran order; save it with numpy.ascontiguousarray".to_owned());
    }
    let shape = after(&header, "'shape':").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let sides = shape.ok_or_else(unread)?.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Vec<usize> = sides.map(str::parse).collect::<Result<_, _>>().map_err(|_| unread())?;
    let other = || {
        format!(
            "it holds numbers of the kind {kind:?}; whole numbers from 0 to 255 are read (save it with .astype('uint8'))"
        )
    };
    let (order, kind_of_number) = kind.split_at_checked(1).ok_or_else(other)?;
    let width: usize = match kind_of_number {
        "u1" | "i1" | "b1" => 1,
        "u2" | "i2" => 2,
        "u4" | "i4" => 4,
        "u8" | "i8" => 8,
        _ => return Err(other()),
    };
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    let length = count.and_then(|count| count.checked_mul(width)).ok_or_else(unread)?;
    // One byte more than there should be, so that what follows is seen; never more memory than the file fills.
    let mut raw = Vec::new();
    bytes.take(length as u64 + 1).read_to_end(&mut raw).map_err(damaged)?;
    if raw.len() != length {
        return Err(format!("its header speaks of {length} bytes, and other than that follow; bring the file anew"));
    }
    if width == 1 {
        return match kind_of_number == "i1" && raw.iter().any(|&number| number > 127) {
            true => Err("it holds numbers below 0; classes and pixels are counted from 0".to_owned()),
            false => Ok(Array { shape, numbers: raw }),
        };
    }
    let small = |cell: &[u8]| {
        let (&low, rest) = if order == ">" { cell.split_last() } else { cell.split_first() }?;
        rest.iter().all(|&byte| byte == 0).then_some(low)
    };
    let numbers: Option<Vec<u8>> = raw.chunks_exact(width).map(small).collect();
    let numbers = numbers.ok_or("it holds numbers below 0 or above 255; classes and pixels are from 0 to 255")?;
    Ok(Array { shape, numbers })
}

/// What follows a key of a header.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    header.split_once(key).map(|(_, rest)| rest.trim_start())
}

/// The bytes of an archive of these arrays.
///
/// # Errors
/// If the archive cannot be written.
pub fn write(arrays: &[(&str, &Array)]) -> Result<Vec<u8>, DatasetError> {
    let written = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, Array { shape, numbers }) in arrays {
            zip.start_file(format!("{name}.npy"), SimpleFileOptions::default())?;
            let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sides}), }}");
            // The numbers begin at a multiple of 64.
            let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
            zip.write_all(b"\x93NUMPY\x01\x00")?;
            zip.write_all(&u16::try_from(padded)?.to_le_bytes())?;
            zip.write_all(format!("{header:<width$}\n", width = padded - 1).as_bytes())?;
            zip.write_all(numbers)?;
        }
        Ok(zip.finish()?.into_inner())
    };
    written().map_err(|why| DatasetError::Unknown(format!("an archive cannot be written: {why}")))
}
