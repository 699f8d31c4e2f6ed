//! Tables in the binary, and how any table is opened by name or by file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::csv::{self, Reading, Task};
use crate::dataset::{Dataset, DatasetError, Target};
use crate::images::{Pictures, are_pictures, images};
use crate::npz::{self, Array};
use crate::picture_files::holds_pictures;

/// A table in the binary.
pub struct Bundled {
    /// Its name.
    pub name: &'static str,
    /// The file's bytes.
    pub bytes: &'static [u8],
    /// The file's name.
    pub file: &'static str,
    /// The column to be predicted, unless another is asked for.
    pub target: &'static str,
}

/// All tables in the binary; sources and licences in `data/README.md`.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "breast-cancer",
        bytes: include_bytes!("../data/breast-cancer.csv"),
        file: "breast-cancer.csv",
        target: "diagnosis",
    },
    Bundled {
        name: "california-housing",
        bytes: include_bytes!("../data/california-housing.csv.gz"),
        file: "housing.csv.gz",
        target: "median_house_value",
    },
    Bundled {
        name: "coimbra",
        bytes: include_bytes!("../data/coimbra.csv"),
        file: "coimbra.csv",
        target: "Classification",
    },
    Bundled {
        name: "diabetes",
        bytes: include_bytes!("../data/diabetes.csv"),
        file: "diabetes.csv",
        target: "progression",
    },
    Bundled { name: "iris", bytes: include_bytes!("../data/iris.csv"), file: "iris.csv", target: "species" },
    Bundled { name: "wine", bytes: include_bytes!("../data/wine.csv"), file: "wine.csv", target: "cultivar" },
];

/// The bundled table of this name.
pub fn bundled(name: &str) -> Option<&'static Bundled> {
    BUNDLED.iter().find(|table| table.name == name)
}

/// The file of this name in the binary, whatever it holds: its own name, and its bytes.
pub fn embedded(name: &str) -> Option<(&'static str, Cow<'static, [u8]>)> {
    match name {
        "digits" => Some(("digits.csv.gz", Cow::Borrowed(crate::images::DIGITS))),
        "sentence-polarity" => Some(("sentence-polarity.csv.gz", Cow::Borrowed(crate::labelled_texts::POLARITY))),
        "penelope" => Some(("penelope.txt.gz", Cow::Borrowed(crate::text::PENELOPE))),
        // What is in the binary is how they are made.
        "thermal-synth" => {
            let [_, height, width] = crate::thermal::thermal_synth().shape;
            let Pictures { pixels, labels } = crate::thermal::thermal_synth().train;
            let pictures = Array { shape: vec![labels.len(), height, width], numbers: pixels };
            let labels = Array { shape: vec![labels.len()], numbers: labels };
            let bytes = npz::write(&[("train_images", &pictures), ("train_labels", &labels)]).ok()?;
            Some(("thermal-synth.npz", Cow::Owned(bytes)))
        }
        _ => bundled(name).map(|table| (table.file, Cow::Borrowed(table.bytes))),
    }
}

/// A table by the name of a bundled one, or by its file. `target` may be left out of a bundled one. Pictures are a table
/// of pixels, whose target is `class`.
///
/// # Errors
/// There is no such table, or it cannot be read so; says what would be right.
pub fn open(data: &str, target: Option<&str>, task: Task, positive: Option<&str>) -> Result<Dataset, DatasetError> {
    let reading = |target: &str| Reading { target: target.to_owned(), task, positive: positive.map(str::to_owned) };
    if let Some(table) = bundled(data) {
        let wanted = target.unwrap_or(table.target);
        if table.name == "breast-cancer" {
            return match (wanted == table.target, task, positive) {
                (true, Task::Auto | Task::Classification, None | Some("malignant")) => crate::breast_cancer(),
                (true, Task::Auto | Task::Classification, Some(other)) => Err(DatasetError::Target {
                    file: data.to_owned(),
                    why: format!("the positive class is malignant, not {other:?}"),
                }),
                _ => Err(DatasetError::Target {
                    file: data.to_owned(),
                    why: "its target is `diagnosis`, two classes; it has no other".to_owned(),
                }),
            };
        }
        let mut dataset = csv::read(&(data, table.bytes), &reading(wanted))?;
        data.clone_into(&mut dataset.name);
        return Ok(dataset);
    }
    let path = Path::new(data);
    // Pictures without a class are refused there, with what to do.
    if are_pictures(data) || holds_pictures(path) {
        return pixels(data, target, task, positive);
    }
    if !path.exists() {
        return Err(DatasetError::Unknown(no_such(data)));
    }
    match target {
        Some(target) => csv::read(path, &reading(target)),
        None => {
            let columns = csv::columns(path)?;
            let example = columns.last().map_or("price", String::as_str);
            let shown = columns.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
            let more = if columns.len() > 12 { format!(" and {} more", columns.len() - 12) } else { String::new() };
            Err(DatasetError::Target {
                file: data.to_owned(),
                why: format!(
                    "say which column is to be predicted, as in --target {example:?}; its columns are {shown}{more}"
                ),
            })
        }
    }
}

/// Pictures as a table of their pixels.
fn pixels(data: &str, target: Option<&str>, task: Task, positive: Option<&str>) -> Result<Dataset, DatasetError> {
    let wrong = |why: String| DatasetError::Target { file: data.to_owned(), why };
    let mut dataset = images(data)?.table();
    if target.is_some_and(|target| target != dataset.target_name) || task == Task::Regression {
        return Err(wrong(
            "pictures have classes to be told apart, and no other target; leave out --target".to_owned(),
        ));
    }
    let Target::Classes { labels, names } = &mut dataset.target else { return Ok(dataset) };
    let mut present: Vec<u8> = labels.clone();
    present.sort_unstable();
    present.dedup();
    if present.len() < 2 {
        return Err(wrong(format!("its {} pictures are of one class; there is nothing to tell apart", labels.len())));
    }
    match (positive, &mut names[..]) {
        (None, _) => {}
        (Some(positive), [_, last]) if last == positive => {}
        (Some(positive), [first, last]) if first == positive => {
            std::mem::swap(first, last);
            labels.iter_mut().for_each(|label| *label = 1 - *label);
        }
        (Some(positive), [first, last]) => {
            return Err(wrong(format!("there is no class {positive:?}; there are {first:?} and {last:?}")));
        }
        (Some(_), more) => {
            return Err(wrong(format!("there are {} classes; only of two is one positive", more.len())));
        }
    }
    Ok(dataset)
}

/// A file of nearly this name in the same folder, of those with one of these endings.
pub fn near_file(path: &Path, endings: &[&str]) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = folder.read_dir().ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    let near = kilter_space::nearest(&path.file_name()?.to_string_lossy(), names.iter().map(String::as_str))?;
    Some(path.with_file_name(near))
}

fn no_such(data: &str) -> String {
    if let Some(set) = crate::catalogue::find(data) {
        return format!(
            "`{data}` is in the catalogue ({}), but no single table in the binary; find its files with `kilter data path \
             {data}` and name one with --data",
            set.about
        );
    }
    if let Some(near) = near_file(Path::new(data), &[".csv", ".tsv", ".txt", ".gz"]) {
        return format!("there is no file `{data}`; did you mean `{}`?", near.display());
    }
    let names = BUNDLED.iter().map(|table| table.name);
    let near = kilter_space::nearest(data, names.clone());
    match near {
        Some(near) => format!("there is no file and no bundled table `{data}`; did you mean `{near}`?"),
        None => format!("there is no file `{data}`; bundled tables are {}", names.collect::<Vec<_>>().join(", ")),
    }
}
