//! Anybody's table: a CSV file, read as a stream, twice.
//!
//! The first reading finds out what each column holds, in memory that does not grow with the rows; the second fills the
//! table. Separator (`,` `;` tab `|`), a byte-order mark, gzip and Latin-1 are recognised; where `;` separates, `1,5` is
//! one and a half. Cost: two passes; memory 8 bytes per cell of the columns that are kept.

mod rows;
mod survey;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use ::csv::ByteRecord;
use serde::{Deserialize, Serialize};

use rows::{Cell, Opened};
use survey::{Column, Survey};

use crate::dataset::{Dataset, DatasetError, Feature, Target};
use crate::labelled_texts::Texts;

/// Different texts of a column of categories at most; one with more is left out.
pub const MOST_CATEGORIES: usize = 255;

/// Whole numbers with at most so many different values are classes, unless said otherwise.
const FEW: usize = 10;

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

/// Reads a column of texts and their classes from a table: of columns beside the target `text`, else the one with the
/// longest texts. Without a target there are no classes.
///
/// # Errors
/// What is wrong with the file, where, and what would be right.
pub fn texts<S: Source + ?Sized>(source: &S, target: Option<&str>) -> Result<Texts, DatasetError> {
    let name = source.name();
    let survey = Survey::of(source, &name)?;
    let target = target.map(|wanted| survey.target(&name, wanted)).transpose()?;
    let reading = Reading { task: Task::Classification, ..Reading::default() };
    let classes = match target {
        Some(at) => classes(&survey.columns[at], &reading, &name, &survey.header[at], survey.rows)?,
        None => None,
    };
    let (by_name, names) = classes.unwrap_or_default();
    let mut opened = Opened::new(source, &name)?;
    let (mut record, mut columns) = (ByteRecord::new(), vec![Vec::new(); survey.header.len()]);
    let mut labels = Vec::new();
    while opened.next(&mut record, &name)?.is_some() {
        for (at, (bytes, column)) in record.iter().zip(&mut columns).enumerate() {
            if Some(at) != target {
                column.push(rows::text(bytes.trim_ascii()));
                continue;
            }
            let label = match opened.cell(bytes) {
                Cell::Number(number) => number.to_string(),
                Cell::Text(text) => text,
                Cell::Missing => String::new(),
            };
            let changed = || DatasetError::Csv { file: name.clone(), why: "it changed while it was read".to_owned() };
            labels.push(*by_name.get(&label).ok_or_else(changed)?);
        }
    }
    let others = || (0..columns.len()).filter(|at| Some(*at) != target);
    let long = |at: &usize| columns[*at].iter().map(String::len).sum::<usize>();
    let named = others().find(|at| survey.header[*at].eq_ignore_ascii_case("text"));
    // There is a column beside the target: the survey saw to it.
    let column = named.or_else(|| others().max_by_key(long)).unwrap_or(0);
    let mut notes = Vec::new();
    if named.is_none() && others().count() > 1 {
        notes.push(format!("texts are those of column `{}`, the longest", survey.header[column]));
    }
    let texts = std::mem::take(&mut columns[column]);
    let empty = texts.iter().filter(|text| text.is_empty()).count();
    if empty == texts.len() {
        let why = format!("its column `{}` holds no text", survey.header[column]);
        return Err(DatasetError::Csv { file: name, why });
    }
    if empty > 0 {
        notes.push(format!("{empty} of {} texts are empty", texts.len()));
    }
    Ok(Texts { name, texts, labels, names, held_out: Vec::new(), notes })
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
        let (name, held_out) = (name.to_owned(), Vec::new());
        Ok(Dataset { name, features, values, target_name, target, notes, held_out, picture: None })
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
