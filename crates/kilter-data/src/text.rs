//! Plain text: the novel in the binary, any file, and books: sets of the catalogue, or lines of JSON.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;

use crate::catalogue::{self, Kind, Place, Shelves};
use crate::dataset::DatasetError;

/// A short novel (source and licence in `data/README.md`).
pub(crate) const PENELOPE: &[u8] = include_bytes!("../data/penelope.txt.gz");

/// How far back a file packed with zstd may refer: as far as its program unpacks without being asked.
const WINDOW: u64 = 1 << 27;

/// One text of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Book {
    /// Who wrote it, as the source says it.
    #[serde(default)]
    pub author: String,
    /// What it is called, as the source says it.
    #[serde(default)]
    pub title: String,
    /// What it says.
    pub text: String,
}

/// The text of a file (UTF-8, gzipped or not), or `penelope`, the novel in the binary. Of books, one after the other.
///
/// # Errors
/// There is no such file, it cannot be read, it is no UTF-8, or there is nothing in it; says what would be right.
pub fn text(data: &str) -> Result<String, DatasetError> {
    Ok(books(data)?.into_iter().map(|book| book.text).collect::<Vec<_>>().join("\n"))
}

/// The books of a set of the catalogue (`novels`), or those of it whose author or title is named (`novels:conrad`,
/// `novels:emma,kim`); of a file of JSON lines with `text` and, if they like, `author` and `title` (gzipped, with zstd, or
/// neither); any other text as a single book.
///
/// # Errors
/// There is no such text, it cannot be read, it is no UTF-8, or there is nothing in it; says what would be right.
pub fn books(data: &str) -> Result<Vec<Book>, DatasetError> {
    let (name, wanted) = data.split_once(':').unwrap_or((data, ""));
    let all = match catalogue::find(name).filter(|set| set.kind == Kind::Text && set.name != "penelope") {
        Some(set) => {
            let shelves = Shelves::from_environment().map_err(|why| DatasetError::Unknown(why.to_string()))?;
            let Place::Folder(folder) = shelves.place(set) else {
                return Err(DatasetError::Unknown(format!("`{name}` is not here: {}", set.how(&shelves))));
            };
            let files: Vec<&str> = set.files.iter().copied().filter(|file| is_lines(Path::new(file))).collect();
            if files.is_empty() {
                return Err(DatasetError::Unknown(format!(
                    "`{name}` holds no plain books; find its files with `kilter data path {name}` and name one"
                )));
            }
            let read = files.iter().map(|file| lines(&folder.join(file))).collect::<Result<Vec<_>, _>>()?;
            chosen(data, read.concat(), wanted)?
        }
        None if data == "penelope" => vec![single(data, PENELOPE.to_vec())?],
        None if is_lines(Path::new(data)) && Path::new(data).is_file() => lines(Path::new(data))?,
        None if Path::new(data).is_file() => {
            let bytes = fs::read(data).map_err(|source| DatasetError::File { file: data.to_owned(), source })?;
            vec![single(data, bytes)?]
        }
        None => {
            return Err(DatasetError::Unknown(format!(
                "there is no file `{data}`: name one of plain text (UTF-8), or `penelope`, the novel in the binary; `kilter \
                 data list --kind text` shows sets"
            )));
        }
    };
    if all.iter().all(|book| book.text.trim().is_empty()) {
        return Err(DatasetError::Unknown(format!("{data} is empty")));
    }
    Ok(all)
}

/// Are these lines of JSON, by its name?
pub(crate) fn is_lines(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".jsonl", ".jsonl.gz", ".jsonl.zst"].iter().any(|ending| name.ends_with(ending))
}

fn single(data: &str, bytes: Vec<u8>) -> Result<Book, DatasetError> {
    Ok(Book { text: decoded(data, bytes)?, ..Book::default() })
}

/// The books whose author or title is among the words.
fn chosen(data: &str, all: Vec<Book>, wanted: &str) -> Result<Vec<Book>, DatasetError> {
    if wanted.is_empty() {
        return Ok(all);
    }
    let words: Vec<String> = wanted.split(',').map(|word| word.trim().to_lowercase()).collect();
    let is = |book: &Book, word: &str| book.author.to_lowercase() == word || book.title.to_lowercase() == word;
    if let Some(word) = words.iter().find(|word| !all.iter().any(|book| is(book, word))) {
        let names: Vec<&str> = all.iter().flat_map(|book| [book.author.as_str(), book.title.as_str()]).collect();
        let near = kilter_space::nearest(word, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(DatasetError::Unknown(format!("{data}: no author and no title is `{word}`{near}")));
    }
    Ok(all.into_iter().filter(|book| words.iter().any(|word| is(book, word))).collect())
}

/// The books of a file of JSON lines.
fn lines(path: &Path) -> Result<Vec<Book>, DatasetError> {
    let rows = json_lines(path)?;
    let book = |(line, row)| {
        serde_json::from_value(row).map_err(|why| {
            DatasetError::Unknown(format!(
                "{}, line {line}: {why}; a line is an object with \"text\", and \"author\" and \"title\" if you like",
                path.display()
            ))
        })
    };
    rows.into_iter().map(book).collect()
}

/// What stands in a file of JSON lines, each with the number of its line.
pub(crate) fn json_lines(path: &Path) -> Result<Vec<(usize, serde_json::Value)>, DatasetError> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| DatasetError::File { file: name.clone(), source })?;
    let text = decoded(&name, bytes)?;
    let filled = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let row = |(line, at): (&str, usize)| {
        serde_json::from_str(line).map(|row| (at, row)).map_err(|why| {
            DatasetError::Unknown(format!("{name}, line {at}: {why}; a line is an object with \"text\""))
        })
    };
    filled.map(row).collect()
}

/// UTF-8, unpacked if need be.
fn decoded(data: &str, bytes: Vec<u8>) -> Result<String, DatasetError> {
    let file = |source| DatasetError::File { file: data.to_owned(), source };
    let mut unpacked = Vec::new();
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).map_err(file)?;
        unpacked
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut packed = Cursor::new(bytes);
        // A file may hold several frames.
        while packed.position() < packed.get_ref().len() as u64 {
            let decoder = StreamingDecoder::new_with_max_window_size(&mut packed, WINDOW);
            let mut decoder = decoder.map_err(|why| file(std::io::Error::other(why.to_string())))?;
            decoder.read_to_end(&mut unpacked).map_err(file)?;
        }
        unpacked
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        DatasetError::Unknown(format!("{data}: byte {at} is no UTF-8; save the file as UTF-8 text"))
    })
}
