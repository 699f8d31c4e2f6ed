//! What peers came to in earlier calls, kept with the project: their searches take hours, and are the same whenever the
//! same version of them searches the same problem under the same seed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Searched};
use super::method::PEERS;
use super::problem::{Problem, text};

/// A line of a method's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    problem: String,
    /// Of the problem as it was: where its levels are others, its regrets are, too.
    levels: String,
    version: String,
    seed: u64,
    budget: u64,
    cpu_seconds: f64,
    sinks: Vec<(f64, f64)>,
}

/// All that is kept.
pub struct Kept {
    /// By method.
    lines: BTreeMap<&'static str, Vec<Line>>,
    levels: HashMap<String, String>,
}

fn file(method: &str) -> PathBuf {
    crate::root().join("testdata/bench/peers").join(format!("{method}.jsonl"))
}

impl Kept {
    /// Reads the files of all peers.
    ///
    /// # Errors
    /// Names the file that is none of these.
    pub fn read(problems: &[Arc<Problem>]) -> Result<Self, String> {
        let mut lines = BTreeMap::new();
        for peer in PEERS {
            let file = file(peer.name);
            let Ok(content) = std::fs::read_to_string(&file) else { continue };
            let read = |line: &str| serde_json::from_str(line).map_err(|why| format!("{}: {why}", file.display()));
            lines.insert(peer.name, content.lines().map(read).collect::<Result<_, _>>()?);
        }
        Ok(Self { lines, levels: problems.iter().map(|p| (p.name.clone(), p.levels_told())).collect() })
    }

    /// The version of which most is kept.
    pub fn version(&self, method: &str) -> Option<&str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in self.lines.get(method)? {
            *counts.entry(&line.version).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(version, _)| version)
    }

    /// The searches of problems that are as they were, by the cell without its budget.
    pub fn searched(&self) -> HashMap<Cell, Searched> {
        let of = |method: &&'static str, line: &Line| {
            let cell = Cell {
                method: (*method).to_owned(),
                version: line.version.clone(),
                problem: line.problem.clone(),
                seed: line.seed,
                budget: 0,
            };
            let searched = Searched { sinks: line.sinks.clone(), budget: line.budget, cpu_seconds: line.cpu_seconds };
            (cell, searched)
        };
        let still = |line: &&Line| self.levels.get(&line.problem) == Some(&line.levels);
        self.lines
            .iter()
            .flat_map(|(method, lines)| lines.iter().filter(still).map(move |line| of(method, line)))
            .collect()
    }

    /// Adds what was found, and writes it all. Gives how many searches are kept.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn keep(&self, found: &HashMap<Cell, Searched>) -> Result<usize, String> {
        let mut all = self.lines.clone();
        for (cell, searched) in found {
            let Some(peer) = PEERS.iter().find(|peer| peer.name == cell.method) else { continue };
            let Some(levels) = self.levels.get(&cell.problem) else { continue };
            let lines = all.entry(peer.name).or_default();
            lines.retain(|line| (&line.problem, &line.version, line.seed) != (&cell.problem, &cell.version, cell.seed));
            lines.push(Line {
                problem: cell.problem.clone(),
                levels: levels.clone(),
                version: cell.version.clone(),
                seed: cell.seed,
                budget: searched.budget,
                cpu_seconds: rounded(searched.cpu_seconds),
                sinks: searched.sinks.iter().map(|(spent, regret)| (rounded(*spent), rounded(*regret))).collect(),
            });
        }
        let mut count = 0;
        for (method, mut lines) in all {
            lines.sort_by(|a, b| (&a.problem, a.seed, &a.version).cmp(&(&b.problem, b.seed, &b.version)));
            count += lines.len();
            let mut content = String::new();
            for line in &lines {
                content += &serde_json::to_string(line).map_err(text)?;
                content.push('\n');
            }
            let file = file(method);
            let write = || {
                std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
                std::fs::write(&file, content)
            };
            write().map_err(|why| format!("cannot write {}: {why}", file.display()))?;
        }
        Ok(count)
    }
}

/// To six digits: more would only fill the file.
fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_six_digits() {
        assert_eq!(rounded(0.123_456_78), 0.123_457);
        assert_eq!(rounded(200.0), 200.0);
        assert_eq!(rounded(0.0), 0.0);
        assert!(rounded(f64::NAN).is_nan());
    }

    #[test]
    fn what_is_kept_can_be_read_and_is_of_peers() {
        let kept = Kept::read(&[]).unwrap();
        for (method, lines) in &kept.lines {
            assert!(kept.version(method).is_some(), "{method}");
            for line in lines {
                assert!(line.sinks.windows(2).all(|pair| pair[1].0 > pair[0].0 && pair[1].1 <= pair[0].1), "{line:?}");
            }
        }
        assert!(kept.searched().is_empty(), "no problem is asked for");
    }
}
