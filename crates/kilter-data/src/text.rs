//! Plain text: the novel in the binary, or any file.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::dataset::DatasetError;

/// A short novel (source and licence in `data/README.md`).
pub(crate) const PENELOPE: &[u8] = include_bytes!("../data/penelope.txt.gz");

/// The text of a file (UTF-8, gzipped or not), or `penelope`, the novel in the binary.
///
/// # Errors
/// There is no such file, it cannot be read, it is no UTF-8, or there is nothing in it; says what would be right.
pub fn text(data: &str) -> Result<String, DatasetError> {
    let file = |source| DatasetError::File { file: data.to_owned(), source };
    let bytes = if data == "penelope" {
        PENELOPE.to_vec()
    } else if Path::new(data).is_file() {
        fs::read(data).map_err(file)?
    } else {
        return Err(DatasetError::Unknown(format!(
            "there is no file `{data}`: name one of plain text (UTF-8), or `penelope`, the novel in the binary"
        )));
    };
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).map_err(file)?;
        unpacked
    } else {
        bytes
    };
    let text = String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        DatasetError::Unknown(format!("{data}: byte {at} is no UTF-8; save the file as UTF-8 text"))
    })?;
    if text.trim().is_empty() { Err(DatasetError::Unknown(format!("{data} is empty"))) } else { Ok(text) }
}
