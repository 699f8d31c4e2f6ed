//! Texts of classes: the sentences in the binary, a column of anybody's table, lines of JSON, a set of the catalogue.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{self, Place, Shelves};
use crate::csv::{self, MOST_CATEGORIES};
use crate::dataset::DatasetError;
use crate::text::{is_lines, json_lines};

/// Sentences of film reviews (source and licence in `data/README.md`).
pub(crate) const POLARITY: &[u8] = include_bytes!("../data/sentence-polarity.csv.gz");

/// Texts and their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Their name in the catalogue, or their file.
    pub name: String,
    /// The texts.
    pub texts: Vec<String>,
    /// The class of each; none where no target was named.
    pub labels: Vec<u8>,
    /// The classes' names; of two, the second is the positive one.
    pub names: Vec<String>,
    /// Those that the source itself holds back for the test, ascending; none: whoever tests draws some.
    pub held_out: Vec<usize>,
    /// What was seen on reading them, a line each.
    pub notes: Vec<String>,
}

/// The texts of `sentence-polarity` (in the binary), of the set `20news`, of a table (CSV, its column `text` or the one
/// with the longest texts), or of lines of JSON with `text`. `target` is the column, or the key, of the classes; sets have
/// their own.
///
/// # Errors
/// There are no such texts, they cannot be read, or there are not two classes at least; says what would be right.
pub fn labelled_texts(data: &str, target: Option<&str>) -> Result<Texts, DatasetError> {
    let path = Path::new(data);
    let mut texts = match data {
        "sentence-polarity" => csv::texts(&(data, POLARITY), Some(target.unwrap_or("label")))?,
        "20news" => newsgroups(target.unwrap_or("group"))?,
        _ if is_lines(path) && path.is_file() => of_lines(data, json_lines(path)?, target)?,
        _ if path.is_file() => csv::texts(path, target)?,
        _ => {
            let near = crate::near_file(path, &[".csv", ".tsv", ".jsonl", ".gz"]);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{}`?", near.display()));
            return Err(DatasetError::Unknown(format!(
                "there is no file `{data}`{near}; name a table of texts and classes, as in --data reviews.csv --target \
                 label, or `sentence-polarity`, the sentences in the binary"
            )));
        }
    };
    data.clone_into(&mut texts.name);
    Ok(texts)
}

/// 20 Newsgroups: what came later is the test.
fn newsgroups(target: &str) -> Result<Texts, DatasetError> {
    let unknown = |why: String| DatasetError::Unknown(why);
    let set = catalogue::find("20news").ok_or_else(|| unknown("the catalogue lost `20news`".to_owned()))?;
    let shelves = Shelves::from_environment().map_err(|why| unknown(why.to_string()))?;
    let Place::Folder(folder) = shelves.place(set) else {
        return Err(unknown(format!("`20news` is not here: {}", set.how(&shelves))));
    };
    let (mut rows, mut train) = (Vec::new(), 0);
    for part in ["train", "test"] {
        for file in set.files.iter().filter(|file| file.starts_with(part)) {
            rows.extend(json_lines(&folder.join(file))?);
        }
        train = if part == "train" { rows.len() } else { train };
    }
    let count = rows.len();
    Ok(Texts { held_out: (train..count).collect(), ..of_lines("20news", rows, Some(target))? })
}

/// Objects with `text` and, if there is a target, its class: a text, a number, or true and false.
fn of_lines(data: &str, rows: Vec<(usize, Value)>, target: Option<&str>) -> Result<Texts, DatasetError> {
    let wrong = |line: usize, why: String| DatasetError::Unknown(format!("{data}, line {line}: {why}"));
    let (mut texts, mut classes) = (Vec::with_capacity(rows.len()), Vec::new());
    for (line, row) in rows {
        let text = row.get("text").and_then(Value::as_str);
        texts.push(text.ok_or_else(|| wrong(line, "it has no \"text\"".to_owned()))?.to_owned());
        if let Some(target) = target {
            classes.push(match row.get(target) {
                Some(Value::String(class)) => class.clone(),
                Some(class @ (Value::Number(_) | Value::Bool(_))) => class.to_string(),
                _ => {
                    let keys: Vec<&str> =
                        row.as_object().into_iter().flat_map(|row| row.keys()).map(String::as_str).collect();
                    let why = format!("it has no class {target:?}; its keys are {}", keys.join(", "));
                    return Err(wrong(line, why));
                }
            });
        }
    }
    if texts.is_empty() {
        return Err(DatasetError::Unknown(format!("{data} is empty")));
    }
    let mut numbers: BTreeMap<String, u8> = classes.iter().map(|class| (class.clone(), 0)).collect();
    let refused = |why: String| DatasetError::Target { file: data.to_owned(), why };
    if let Some(target) = target {
        match numbers.len() {
            1 => {
                let only = classes.first().map_or("", String::as_str);
                let rows = texts.len();
                return Err(refused(format!(
                    "the target `{target}` is {only:?} in all {rows} rows; there is nothing to tell apart"
                )));
            }
            count if count > MOST_CATEGORIES => {
                return Err(refused(format!(
                    "the target `{target}` has more than {MOST_CATEGORIES} different values; is it the right key?"
                )));
            }
            _ => {}
        }
    }
    numbers.values_mut().zip(0..).for_each(|(number, place)| *number = place);
    let labels = classes.iter().filter_map(|class| numbers.get(class).copied()).collect();
    let names = numbers.into_keys().collect();
    Ok(Texts { name: data.to_owned(), texts, labels, names, held_out: Vec::new(), notes: Vec::new() })
}
