//! A file as rows of cells: separator, byte-order mark, gzip and Latin-1 are recognised here, and what is missing.

use std::io::{self, BufRead, BufReader, Read};

use ::csv::{ByteRecord, ReaderBuilder, Terminator};
use flate2::bufread::MultiGzDecoder;

use super::Source;
use crate::dataset::DatasetError;

/// How a missing value is written, whatever its case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// A file behind its header.
pub struct Opened<'a> {
    reader: ::csv::Reader<Box<dyn BufRead + 'a>>,
    pub header: Vec<String>,
    /// Empty lines above it.
    above: u64,
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
        let (mut first, mut above) = (Vec::new(), 0);
        loop {
            bytes.by_ref().take(1 << 20).read_until(b'\n', &mut first).map_err(cannot)?;
            if !first.iter().all(u8::is_ascii_whitespace) {
                break;
            }
            if bytes.fill_buf().map_err(cannot)?.is_empty() {
                return Err(wrong("it is empty; the first line names the columns, the others are rows"));
            }
            above += u64::from(first.ends_with(b"\n"));
            first.clear();
        }
        // Old Macs end lines by a carriage return alone.
        let old_mac = !first.contains(&b'\n') && first.contains(&b'\r');
        let separator =
            separator(if old_mac { first.split(|&byte| byte == b'\r').next().unwrap_or(&[]) } else { &first });
        // The last line ends, too, so that all do.
        let whole = io::Cursor::new(first).chain(bytes).chain(&b"\n"[..]);
        let whole: Box<dyn BufRead + 'a> = match old_mac {
            true => Box::new(BufReader::with_capacity(1 << 16, LineFeeds(whole))),
            false => Box::new(whole),
        };
        let mut builder = ReaderBuilder::new();
        let builder = builder.delimiter(separator).terminator(Terminator::Any(b'\n')).flexible(true);
        let mut reader = builder.from_reader(whole);
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
        Ok(Self { reader, header, above, decimal_comma: separator == b';' })
    }

    /// The next row with its line, if there is one.
    pub fn next(&mut self, record: &mut ByteRecord, name: &str) -> Result<Option<u64>, DatasetError> {
        let wrong = |why: String| DatasetError::Csv { file: name.to_owned(), why };
        loop {
            if !self.reader.read_byte_record(record).map_err(|why| wrong(why.to_string()))? {
                return Ok(None);
            }
            // A line of nothing but white space is none.
            if record.len() == 1 && self.header.len() > 1 && record[0].iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            // Where the reader began, empty lines before the row included. That is too early after one, so it is counted
            // from the row's end; a quote left open, whose row has no end, is only found by the former.
            let began = record.position().map_or(0, ::csv::Position::line);
            let within = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
            let line = self.above + began.max(self.reader.position().line().saturating_sub(within + 1));
            if record.len() != self.header.len() {
                let (found, expected) = (record.len(), self.header.len());
                return Err(DatasetError::Ragged { file: name.to_owned(), line, found, expected });
            }
            return Ok(Some(line));
        }
    }

    pub fn cell(&self, bytes: &[u8]) -> Cell {
        Cell::of(text(bytes.trim_ascii()), self.decimal_comma)
    }
}

/// Bytes with a line feed for every carriage return.
struct LineFeeds<R>(R);

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        buffer[..read].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        Ok(read)
    }
}

fn column_name(index: usize, cell: &[u8]) -> String {
    let name = text(cell.trim_ascii());
    if name.is_empty() { format!("column {}", index + 1) } else { name }
}

/// UTF-8, else Latin-1, in which every byte is a character.
pub fn text(bytes: &[u8]) -> String {
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
