//! Anybody's table: a CSV file, read as a stream, twice.
//!
//! The first reading finds out what each column holds, in memory that does not grow with the rows; the second fills the
//! table. Separator (`,` `;` tab `|`), a byte-order mark, gzip and Latin-1 are recognised; where `;` separates, `1,5` is
//! one and a half. Cost: two passes; memory 8 bytes per cell of the columns that are kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, DatasetError, Feature, Target};

/// Different texts of a column of categories at most; one with more is left out.
pub const MOST_CATEGORIES: usize = 255;

/// Whole numbers with at most so many different values are classes, unless said otherwise.
const FEW: usize = 10;

/// How a missing value is written, whatever its case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// Words that name the positive one of two classes, whatever their case.
const POSITIVE: [&str; 16] = [
    "1",
    "yes",
    "y",
    "true",
    "t",
    "positive",
    "pos",
    "malignant",
    "case",
    "patient",
    "disease",
    "sick",
    "event",
    "spam",
    "fraud",
    "churn",
];

/// What is to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Texts, and few whole numbers, are classes; other numbers are numbers.
    #[default]
    Auto,
    /// Every different value is a class.
    Classification,
    /// Numbers.
    Regression,
}

/// How a table is to be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The column to be predicted.
    pub target: String,
    /// As what.
    pub task: Task,
    /// Of two classes, the positive one [default: by its name, else the later].
    pub positive: Option<String>,
}

/// A table that can be read again and again.
pub trait Source {
    /// Its name in messages.
    fn name(&self) -> String;
    /// From the beginning.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open(&self) -> io::Result<Box<dyn BufRead + '_>>;
}

impl Source for Path {
    fn name(&self) -> String {
        self.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        let file = File::open(self)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a CSV file in it"));
        }
        Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
    }
}

impl Source for (&str, &[u8]) {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(self.1))
    }
}

/// Reads a table.
///
/// # Errors
/// What is wrong with the file, where, and what would be right.
pub fn read<S: Source + ?Sized>(source: &S, reading: &Reading) -> Result<Dataset, DatasetError> {
    let name = source.name();
    let survey = Survey::of(source, &name)?;
    let target = survey.target(&name, &reading.target)?;
    let plan = Plan::new(&survey, target, reading, &name)?;
    plan.fill(source, &survey, &name)
}

/// The columns' names, as the first line gives them.
///
/// # Errors
/// If there is none, or it is not a line of names.
pub fn columns<S: Source + ?Sized>(source: &S) -> Result<Vec<String>, DatasetError> {
    let name = source.name();
    Ok(Opened::new(source, &name)?.header)
}

/// A file behind its header.
struct Opened<'a> {
    reader: ::csv::Reader<Box<dyn BufRead + 'a>>,
    header: Vec<String>,
    decimal_comma: bool,
}

impl<'a> Opened<'a> {
    fn new<S: Source + ?Sized>(source: &'a S, name: &str) -> Result<Self, DatasetError> {
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
    fn next(&mut self, record: &mut ByteRecord, name: &str) -> Result<Option<u64>, DatasetError> {
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

    fn cell(&self, bytes: &[u8]) -> Cell {
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

enum Cell {
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

/// What a first reading learns of a column.
#[derive(Default)]
struct Column {
    numbers: u64,
    texts: u64,
    first_text: Option<(u64, String)>,
    first_missing: Option<u64>,
    missing: u64,
    fraction: bool,
    /// Different values as written, and how often; nothing more is added once there are too many.
    different: BTreeMap<String, u64>,
    too_many: bool,
}

/// What a first reading learns of a table.
struct Survey {
    header: Vec<String>,
    columns: Vec<Column>,
    rows: u64,
}

impl Survey {
    fn of<S: Source + ?Sized>(source: &S, name: &str) -> Result<Self, DatasetError> {
        let mut opened = Opened::new(source, name)?;
        let header = opened.header.clone();
        let mut columns: Vec<Column> = header.iter().map(|_| Column::default()).collect();
        let (mut record, mut rows) = (ByteRecord::new(), 0);
        while let Some(line) = opened.next(&mut record, name)? {
            rows += 1;
            for (column, cell) in columns.iter_mut().zip(&record) {
                column.see(opened.cell(cell), line);
            }
        }
        if rows == 0 {
            let why = "it has a first line and no rows".to_owned();
            return Err(DatasetError::Csv { file: name.to_owned(), why });
        }
        Ok(Self { header, columns, rows })
    }

    fn target(&self, name: &str, wanted: &str) -> Result<usize, DatasetError> {
        let wrong = |why: String| DatasetError::Target { file: name.to_owned(), why };
        let listed = || {
            let shown: Vec<&str> = self.header.iter().take(12).map(String::as_str).collect();
            let more = self.header.len().saturating_sub(12);
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{tail}", shown.join(", "))
        };
        let target =
            self.header.iter().position(|column| column == wanted).ok_or_else(|| {
                match kilter_space::nearest(wanted, self.header.iter().map(String::as_str)) {
                    Some(near) => wrong(format!("there is no column `{wanted}`; did you mean `{near}`?")),
                    None => wrong(format!("there is no column `{wanted}`; its columns are {}", listed())),
                }
            })?;
        if self.header.len() == 1 {
            return Err(wrong(format!(
                "it has one column, `{wanted}`, and nothing to predict it from; is it separated by , ; tab or |?"
            )));
        }
        let column = &self.columns[target];
        if let Some(line) = column.first_missing {
            return Err(wrong(format!(
                "the target `{wanted}` is missing in {} of {} rows, first in line {line}; remove those rows",
                column.missing, self.rows
            )));
        }
        Ok(target)
    }
}

impl Column {
    fn see(&mut self, cell: Cell, line: u64) {
        let value = match cell {
            Cell::Missing => {
                self.missing += 1;
                self.first_missing.get_or_insert(line);
                return;
            }
            Cell::Number(number) => {
                self.numbers += 1;
                self.fraction |= number.fract() != 0.0;
                if self.too_many {
                    return;
                }
                number.to_string()
            }
            Cell::Text(text) => {
                self.texts += 1;
                if self.first_text.is_none() {
                    self.first_text = Some((line, text.clone()));
                }
                if self.too_many {
                    return;
                }
                text
            }
        };
        if let Some(count) = self.different.get_mut(&value) {
            *count += 1;
        } else if self.different.len() < MOST_CATEGORIES {
            self.different.insert(value, 1);
        } else {
            self.too_many = true;
        }
    }

    /// A single value, or none at all.
    fn is_constant(&self) -> bool {
        self.different.len() < 2
    }

    fn check_mixed(&self, name: &str, column: &str) -> Result<(), DatasetError> {
        match &self.first_text {
            Some((line, found)) if self.numbers > self.texts => Err(DatasetError::Cell {
                file: name.to_owned(),
                line: *line,
                column: column.to_owned(),
                found: found.clone(),
                expected: format!(
                    "a number, as in {} other rows (a missing value is an empty cell, NA or ?)",
                    self.numbers
                ),
            }),
            _ => Ok(()),
        }
    }
}

/// What becomes of a column.
enum Use {
    Number,
    Category(BTreeMap<String, f64>),
    Nothing,
}

struct Plan {
    uses: Vec<Use>,
    features: Vec<Feature>,
    target: usize,
    target_name: String,
    /// Classes by what stands in the cells; nothing: numbers.
    classes: Option<(BTreeMap<String, u8>, Vec<String>)>,
    notes: Vec<String>,
}

impl Plan {
    fn new(survey: &Survey, target: usize, reading: &Reading, name: &str) -> Result<Self, DatasetError> {
        let (mut uses, mut features, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (column, column_name)) in survey.columns.iter().zip(&survey.header).enumerate() {
            if i == target {
                uses.push(Use::Nothing);
                continue;
            }
            column.check_mixed(name, column_name)?;
            let texts = column.texts > 0;
            let each_its_own = column.different.len() as u64 == survey.rows - column.missing && survey.rows > 20;
            let left_out = if column.is_constant() {
                Some("it has one value only".to_owned())
            } else if texts && column.too_many {
                Some(format!("text with more than {MOST_CATEGORIES} different values"))
            } else if texts && each_its_own {
                Some("text that is another in every row".to_owned())
            } else {
                None
            };
            if let Some(why) = left_out {
                notes.push(format!("column `{column_name}` is left out: {why}"));
                uses.push(Use::Nothing);
                continue;
            }
            let names: Option<Vec<String>> = texts.then(|| column.different.keys().cloned().collect());
            uses.push(match &names {
                Some(names) => Use::Category((0..).map(f64::from).zip(names).map(|(i, n)| (n.clone(), i)).collect()),
                None => Use::Number,
            });
            features.push(Feature { name: column_name.clone(), categories: names });
        }
        if features.is_empty() {
            let why = format!("no column is left to predict from ({})", notes.join("; "));
            return Err(DatasetError::Csv { file: name.to_owned(), why });
        }
        let target_name = survey.header[target].clone();
        let classes = classes(&survey.columns[target], reading, name, &target_name, survey.rows)?;
        Ok(Self { uses, features, target, target_name, classes, notes })
    }

    fn fill<S: Source + ?Sized>(self, source: &S, survey: &Survey, name: &str) -> Result<Dataset, DatasetError> {
        let changed = || DatasetError::Csv { file: name.to_owned(), why: "it changed while it was read".to_owned() };
        let rows = usize::try_from(survey.rows).unwrap_or(usize::MAX);
        let mut values = Vec::with_capacity(rows.saturating_mul(self.features.len()));
        let (mut labels, mut numbers) = (Vec::new(), Vec::new());
        let mut opened = Opened::new(source, name)?;
        let mut record = ByteRecord::new();
        while opened.next(&mut record, name)?.is_some() {
            for (i, (bytes, used)) in record.iter().zip(&self.uses).enumerate() {
                if i == self.target {
                    match (&self.classes, opened.cell(bytes)) {
                        (Some((by_name, _)), Cell::Number(number)) => {
                            labels.push(*by_name.get(&number.to_string()).ok_or_else(changed)?);
                        }
                        (Some((by_name, _)), Cell::Text(text)) => {
                            labels.push(*by_name.get(&text).ok_or_else(changed)?);
                        }
                        (None, Cell::Number(number)) => numbers.push(number),
                        _ => return Err(changed()),
                    }
                    continue;
                }
                match used {
                    Use::Nothing => {}
                    Use::Number => values.push(match opened.cell(bytes) {
                        Cell::Number(number) => number,
                        Cell::Missing => f64::NAN,
                        Cell::Text(_) => return Err(changed()),
                    }),
                    Use::Category(codes) => values.push(match opened.cell(bytes) {
                        Cell::Missing => f64::NAN,
                        Cell::Number(number) => *codes.get(&number.to_string()).ok_or_else(changed)?,
                        Cell::Text(text) => *codes.get(&text).ok_or_else(changed)?,
                    }),
                }
            }
        }
        let target = match self.classes {
            Some((_, names)) => Target::Classes { labels, names },
            None => Target::Numbers(numbers),
        };
        if target.rows() != rows {
            return Err(changed());
        }
        let (features, target_name, notes) = (self.features, self.target_name, self.notes);
        Ok(Dataset { name: name.to_owned(), features, values, target_name, target, notes })
    }
}

/// The classes of the target by what stands in its cells, and their names; nothing if numbers are to be predicted.
#[allow(clippy::type_complexity)]
fn classes(
    column: &Column,
    reading: &Reading,
    name: &str,
    target: &str,
    rows: u64,
) -> Result<Option<(BTreeMap<String, u8>, Vec<String>)>, DatasetError> {
    let wrong = |why: String| DatasetError::Target { file: name.to_owned(), why };
    let all_numbers = column.texts == 0;
    let few = !column.too_many && (column.different.len() <= 2 || (!column.fraction && column.different.len() <= FEW));
    let numbers = match reading.task {
        Task::Auto => all_numbers && !few,
        Task::Classification => false,
        Task::Regression => true,
    };
    if column.is_constant() {
        let only = column.different.keys().next().map_or("", String::as_str);
        return Err(wrong(format!(
            "the target `{target}` is {only:?} in all {rows} rows; there is nothing to tell apart"
        )));
    }
    if reading.task != Task::Classification {
        column.check_mixed(name, target)?;
    }
    if numbers {
        return match &column.first_text {
            Some((line, found)) => Err(DatasetError::Cell {
                file: name.to_owned(),
                line: *line,
                column: target.to_owned(),
                found: found.clone(),
                expected: "a number, since numbers are to be predicted (task=classification takes texts)".to_owned(),
            }),
            None => Ok(None),
        };
    }
    if column.too_many {
        return Err(wrong(format!(
            "the target `{target}` has more than {MOST_CATEGORIES} different values; as classes that is too many{}",
            if all_numbers { " (task=regression predicts them as numbers)" } else { "; is it the right column?" }
        )));
    }
    let mut names: Vec<String> = column.different.keys().cloned().collect();
    if all_numbers {
        names.sort_by(|a, b| a.parse::<f64>().unwrap_or(0.0).total_cmp(&b.parse().unwrap_or(0.0)));
    }
    match (&reading.positive, names.len()) {
        (Some(positive), 2) => match names.iter().position(|name| name == positive) {
            Some(0) => names.swap(0, 1),
            Some(_) => {}
            None => {
                return Err(wrong(format!(
                    "the target `{target}` has no value {positive:?}; its values are {}",
                    names.join(" and ")
                )));
            }
        },
        (None, 2) => {
            let says = |name: &String| POSITIVE.contains(&name.to_ascii_lowercase().as_str());
            if says(&names[0]) && !says(&names[1]) {
                names.swap(0, 1);
            }
        }
        (Some(_), more) => {
            return Err(wrong(format!("the target `{target}` has {more} classes; only of two is one positive")));
        }
        (None, _) => {}
    }
    let by_name = names.iter().cloned().zip(0..).collect();
    Ok(Some((by_name, names)))
}
