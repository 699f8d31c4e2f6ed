//! What people are told of a table.

use kilter_data::{Dataset, Target};
use kilter_study::Failure;

use super::Kind;

/// Why a table of classes cannot be split: what there is too little of, by its name.
pub fn too_rare(data: &Dataset, folds: usize) -> Option<Failure> {
    let Target::Classes { labels, names } = &data.target else { return None };
    let count = |class: usize| labels.iter().filter(|label| usize::from(**label) == class).count();
    let (rows, name) = names.iter().enumerate().map(|(class, name)| (count(class), name)).min()?;
    let plural = if rows == 1 { "" } else { "s" };
    Some(Failure::refused(format!(
        "{}: `{}` is {name:?} in {rows} row{plural} only, too few to hold some back and share the rest among {folds} folds; \
         add such rows, or use fewer folds (--set folds=2)",
        data.name, data.target_name
    )))
}

/// What was seen on reading a table, a line each.
pub fn facts(data: &Dataset, kind: Kind) -> Vec<String> {
    let categories = data.features.iter().filter(|feature| feature.categories.is_some()).count();
    let missing = data.values.iter().filter(|value| value.is_nan()).count();
    let plural = if data.columns() == 1 { "" } else { "s" };
    let mut about = match data.picture {
        Some([1, height, width]) => format!("{} pictures of {height}x{width}", data.rows()),
        Some([colours, height, width]) => format!("{} pictures of {height}x{width}, {colours} colours", data.rows()),
        None => format!("{} rows, {} column{plural}", data.rows(), data.columns()),
    };
    if !data.held_out.is_empty() {
        about.push_str(&format!(", {} of them held back for the test by their source", data.held_out.len()));
    }
    if categories > 0 {
        about.push_str(&format!(" ({categories} of categories)"));
    }
    if missing > 0 {
        about.push_str(&format!(", {missing} values missing"));
    }
    let target = match &data.target {
        Target::Classes { labels, names } => {
            let count = |class: u8| labels.iter().filter(|label| **label == class).count();
            match kind {
                Kind::TwoClasses => {
                    format!("{} ({} rows, positive) or {} ({})", names[1], count(1), names[0], count(0))
                }
                _ => {
                    let shown = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
                    let more = if names.len() > 6 { ", …" } else { "" };
                    format!("{} classes: {shown}{more}", names.len())
                }
            }
        }
        Target::Numbers(numbers) => {
            let (low, high) =
                numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
            format!("numbers from {low} to {high}")
        }
    };
    let what = if data.picture.is_some() { "pictures" } else { "table" };
    let mut facts = vec![format!("{what} {}: {about}; {}: {target}", data.name, data.target_name)];
    facts.extend(data.notes.iter().cloned());
    facts
}
