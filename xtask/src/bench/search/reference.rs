//! What peers came to before, by their own packages on the same tables and functions, normalised alike:
//! `testdata/golden/hpo-tables/regret.json`. So a look at kilter alone is still a look beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::judge::Section;
use super::page::{figure, wrapped};
use super::problem::golden_tables;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    tables: BTreeMap<String, BTreeMap<String, Course>>,
    functions: BTreeMap<String, Function>,
}

#[derive(Deserialize)]
struct Function {
    methods: BTreeMap<String, Course>,
}

#[derive(Deserialize)]
struct Course {
    n_seeds: u64,
    at: Vec<u64>,
    mean: Vec<f64>,
}

/// Mean regrets of this section's methods beside the stored ones, at the largest budget that both have.
///
/// # Errors
/// If the file cannot be read.
pub fn page(section: &Section) -> Result<String, String> {
    let file = golden_tables().join("regret.json");
    let read = std::fs::read_to_string(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let stored: File = serde_json::from_str(&read).map_err(|why| format!("{}: {why}", file.display()))?;
    let on = |problem: &str| {
        let table = stored.tables.get(&problem.replace('-', "_"));
        table.or_else(|| stored.functions.get(problem).map(|function| &function.methods))
    };
    let mut text = String::new();
    for (at, budget) in section.budgets.iter().enumerate().rev() {
        let mut lines = String::new();
        for (problem, name) in section.problems.iter().enumerate() {
            let Some(courses) = on(name) else { continue };
            let mut said = format!("{name:<12}");
            for (method, label) in section.methods.iter().enumerate() {
                if let Some(mean) = section.on(problem, method, at) {
                    let _ = write!(said, " {label} {}", figure(mean.estimate));
                }
            }
            said.push_str(" |");
            for (method, course) in courses {
                if let Some(place) = course.at.iter().position(|trials| trials == budget) {
                    let _ = write!(said, " {method} {} ({})", figure(course.mean[place]), course.n_seeds);
                }
            }
            lines.push_str(&wrapped(&said, 2));
        }
        if !lines.is_empty() {
            let versions: Vec<String> =
                stored.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
            let said =
                format!("after {budget} trials, beside what peers came to before (seeds): {}", versions.join(", "));
            text.push_str(&wrapped(&said, 2));
            text.push_str(&lines);
            break;
        }
    }
    Ok(text)
}
