//! A file as rows of cells: separator, byte-order mark, gzip and Latin-1 are recognised here, and what is missing.

use std::io::{self, BufRead, BufReader, Read};

use ::csv::{ByteRecord, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;

use super::Source;
use crate::dataset::DatasetError;

/// How a missing value is written, whatever its case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// A file behind its header.
pub struct Opened<'a> {
    reader: ::csv::Reader<Box<dyn BufRead + 'a>>,
    pub header: Vec<String>,
    decimal_comma: bool,
}

impl<'a> Opened<'a> {
    pub fn new<S: Source + ?Sized>(source: &'a S, name: &str) -> Result<Self, DatasetError> {
        let cannot = |source| DatasetError::File { file: name.to_owned(), source };
        let wrong = |why: &str| DatasetError::Csv { file: name.to_owned(), why: why.to_owned() };
        let mut bytes = source.open().map_err(cannot)?;
        if bytes.fill_buf().map_err(cannot)?.starts_with(&[0x1f, 0x8b]) {
            bytes = Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(bytes)));
        }
        let start = bytes.fill_buf().map_err(cannot)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(wrong("it is UTF-16; save it as UTF-8"));
        }
        if start.starts_with(b"PK\x03\x04") {
            return Err(wrong("it is a zip or a spreadsheet, no text; save the sheet as CSV"));
        }
        if start.starts_with("\u{feff}".as_bytes()) {
            bytes.consume(3);
        }
        // The first line decides on the separator; it is read whole, and put before the rest again.
        let mut first = Vec::new();
        bytes.by_ref().take(1 << 20).read_until(b'\n', &mut first).map_err(cannot)?;
        if first.iter().all(u8::is_ascii_whitespace) && bytes.fill_buf().map_err(cannot)?.is_empty() {
            return Err(wrong("it is empty; the first line names the columns, the others are rows"));
        }
        let separator = separator(&first);
        let whole: Box<dyn BufRead + 'a> = Box::new(io::Cursor::new(first).chain(bytes));
        let mut reader = ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(whole);
        let header = reader.byte_headers().map_err(|why| wrong(&why.to_string()))?.clone();
        let header: Vec<String> = header.iter().enumerate().map(|(i, cell)| column_name(i, cell)).collect();
        if header.len() > 1 && header.iter().all(|cell| cell.parse::<f64>().is_ok()) {
            return Err(wrong("its first line holds numbers only; put the columns' names there"));
        }
        for (i, name) in header.iter().enumerate() {
            if let Some(first) = header[..i].iter().position(|other| other == name) {
                return Err(wrong(&format!(
                    "column name {name:?} stands twice, in columns {} and {}; rename one",
                    first + 1,
                    i + 1
                )));
            }
        }
        Ok(Self { reader, header, decimal_comma: separator == b';' })
    }

    /// The next row with its line, if there is one.
    pub fn next(&mut self, record: &mut ByteRecord, name: &str) -> Result<Option<u64>, DatasetError> {
        let wrong = |why: String| DatasetError::Csv { file: name.to_owned(), why };
        if !self.reader.read_byte_record(record).map_err(|why| wrong(why.to_string()))? {
            return Ok(None);
        }
        let line = record.position().map_or(0, ::csv::Position::line);
        // A line of nothing but white space is none.
        if record.len() == 1 && self.header.len() > 1 && record[0].iter().all(u8::is_ascii_whitespace) {
            return self.next(record, name);
        }
        if record.len() != self.header.len() {
            let (found, expected) = (record.len(), self.header.len());
            return Err(DatasetError::Ragged { file: name.to_owned(), line, found, expected });
        }
        Ok(Some(line))
    }

    pub fn cell(&self, bytes: &[u8]) -> Cell {
        Cell::of(text(bytes.trim_ascii()), self.decimal_comma)
    }
}

fn column_name(index: usize, cell: &[u8]) -> String {
    let name = text(cell.trim_ascii());
    if name.is_empty() { format!("column {}", index + 1) } else { name }
}

/// UTF-8, else Latin-1, in which every byte is a character.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_owned)
}

/// The separator that stands most often outside quotes.
fn separator(line: &[u8]) -> u8 {
    let mut counts = [0; 4];
    let candidates = *b",;\t|";
    let mut quoted = false;
    for byte in line {
        quoted ^= *byte == b'"';
        if let Some(i) = candidates.iter().position(|c| c == byte).filter(|_| !quoted) {
            counts[i] += 1;
        }
    }
    let most = (0..4).rev().max_by_key(|&i| counts[i]).unwrap_or(0);
    candidates[most]
}

/// What stands in a cell.
pub enum Cell {
    Missing,
    Number(f64),
    Text(String),
}

impl Cell {
    fn of(text: String, decimal_comma: bool) -> Self {
        if text.len() <= 4 && MISSING.contains(&text.to_ascii_lowercase().as_str()) {
            return Self::Missing;
        }
        let number = if decimal_comma && text.contains(',') && !text.contains('.') {
            text.replace(',', ".").parse()
        } else {
            text.parse()
        };
        match number {
            Ok(number) if f64::is_finite(number) => Self::Number(number),
            _ => Self::Text(text),
        }
    }
}
