//! Instructions that fixed pieces of work take, counted by valgrind: hardly any chance in them, so a regression of some
//! percent shows even on a busy machine. The figures and profiles kept are in `xtask/bench/instructions.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_space::Feasible;
use kilter_study::{Memory, NoPruner, Sqlite, Storage, Study};

use super::engine::{one_trial, sampler, spec, text};
use super::spaces::ten_parameters;
use crate::root;

/// The work: name, what it is.
const SCENARIOS: [(&str, &str); 4] = [
    ("tpe-memory", "TPE, 1,000 times ask and tell in memory, 8 mixed parameters"),
    ("random-memory", "random search, 1,000 times ask and tell in memory"),
    ("random-sqlite", "random search, 1,000 times ask and tell in SQLite"),
    ("space-draws", "10,000 feasible draws of 10 parameters under 2 constraints"),
];

/// So many functions of each profile are kept.
const TOP: usize = 12;

/// A change by less than this is no news: other compilers and libraries make as much.
const NEWS: f64 = 0.02;

/// Does a piece of work once, in this process; valgrind watches from outside.
pub fn scenario(name: &str, folder: &Path) -> Result<(), String> {
    let run = |storage: Arc<dyn Storage>, by: &str| {
        let mut study = Study::create(storage, spec()?, sampler(by)?, Box::new(NoPruner)).map_err(text)?;
        (0..1_000).try_for_each(|_| one_trial(&mut study))
    };
    match name {
        "tpe-memory" => run(Arc::new(Memory::new()), "tpe"),
        "random-memory" => run(Arc::new(Memory::new()), "random"),
        "random-sqlite" => run(Arc::new(Sqlite::open(&folder.join("scenario.db")).map_err(text)?), "random"),
        "space-draws" => {
            let space = ten_parameters()?;
            let feasible = Feasible::new(&space).map_err(text)?;
            let mut stream = Stream::new(&[0], "draws");
            (0..10_000)
                .try_for_each(|_| feasible.config(&mut stream).map(|config| drop(black_box(config))).map_err(text))
        }
        _ => Err(format!("there is no scenario {name}")),
    }
}

/// What one scenario took, and where.
struct Counted {
    instructions: u64,
    /// Share and function, the largest first.
    profile: Vec<(f64, String)>,
}

/// Counts every scenario, prints it beside what is kept, and keeps it if asked.
pub fn bench(target: &Path, keep: bool) -> Result<(), String> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no instruction counts: valgrind is not installed");
        return Ok(());
    }
    let file = root().join("xtask/bench/instructions.txt");
    let kept = kept(&std::fs::read_to_string(&file).unwrap_or_default());
    let mut page = String::new();
    println!("\n{:<15} {:>16} {:>16} {:>9}", "instructions", "now", "kept", "change");
    for (name, what) in SCENARIOS {
        let Counted { instructions, profile } = count(target, name)?;
        let change = kept.get(name).map(|&kept| instructions as f64 / kept as f64 - 1.0);
        let said = change.map_or_else(|| "new".to_owned(), |change| format!("{:+.1} %", 100.0 * change));
        let verdict = match change {
            Some(change) if change > NEWS => "  more than before",
            Some(change) if change < -NEWS => "  less than before",
            _ => "",
        };
        let before = kept.get(name).map_or_else(|| "–".to_owned(), u64::to_string);
        println!("{name:<15} {instructions:>16} {before:>16} {said:>9}{verdict}");
        let _ = writeln!(page, "{name} {instructions}\n    {what}");
        for (share, function) in profile {
            let _ = writeln!(page, "    {share:>5.1} %  {function}");
        }
    }
    println!("\n{page}");
    if keep {
        let head = "# Instructions by scenario and the functions that they are spent in, kept by\n\
                    # `cargo xtask bench instructions --keep`. Other compilers, libraries and processors count some percent more or less.\n";
        std::fs::write(&file, format!("{head}{page}")).map_err(text)?;
        println!("kept in {}", file.display());
    }
    Ok(())
}

/// Reads the counts of a kept page.
fn kept(page: &str) -> BTreeMap<String, u64> {
    let lines = page.lines().filter(|line| !line.starts_with(['#', ' ']));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?)))
        .collect()
}

fn count(target: &Path, name: &str) -> Result<Counted, String> {
    let bench = target.join("bench");
    std::fs::create_dir_all(&bench).map_err(text)?;
    let scratch = tempfile::tempdir_in(&bench).map_err(text)?;
    let out = scratch.path().join("callgrind.out");
    let this = std::env::current_exe().map_err(text)?;
    let run = |command: &mut Command| {
        let output = command.output().map_err(|why| format!("{command:?}: {why}"))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    };
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    run(valgrind.arg(this).args(["bench", "scenario", name]).arg(scratch.path()))?;
    read_profile(&run(Command::new("callgrind_annotate").arg(&out))?)
}

/// Reads what `callgrind_annotate` prints: `12,345 (67.8%)  file:function [object]`, the whole program first.
fn read_profile(text: &str) -> Result<Counted, String> {
    let mut lines = text.lines().filter_map(|line| {
        let (count, rest) = line.trim_start().split_once(" (")?;
        let (share, rest) = rest.split_once("%)")?;
        Some((count.replace(',', "").parse::<u64>().ok()?, share.trim().parse::<f64>().ok()?, rest.trim()))
    });
    let whole = lines.next().filter(|(.., what)| what.starts_with("PROGRAM TOTALS"));
    let (instructions, ..) = whole.ok_or("callgrind_annotate printed no total")?;
    let function = |place: &str| {
        let name = place.split(" [").next().unwrap_or(place);
        let name = name.split_once(':').map_or(name, |(_, name)| name);
        // Versions of a generic function differ by a hash that changes with every build.
        let name = name.split("::h").next().unwrap_or(name);
        name.chars().take(100).collect::<String>()
    };
    let mut by_function: Vec<(f64, String)> = Vec::new();
    for (_, share, place) in lines {
        let name = function(place);
        match by_function.iter_mut().find(|(_, other)| *other == name) {
            Some((sum, _)) => *sum += share,
            None => by_function.push((share, name)),
        }
    }
    by_function.sort_by(|a, b| b.0.total_cmp(&a.0));
    by_function.truncate(TOP);
    Ok(Counted { instructions, profile: by_function })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_and_functions_in_several_files_are_added_up() {
        let page = "--------\nIr\n--------\n1,000 (100.0%)  PROGRAM TOTALS\n\nIr  file:function\n\
                    500 (50.0%)  ???:a::b [/x/xtask]\n300 (30.0%)  e_log.c:log [libm]\n 100 (10.0%)  log.c:log [libm]\n";
        let Counted { instructions, profile } = read_profile(page).unwrap();
        assert_eq!(instructions, 1_000);
        let profile: Vec<(f64, &str)> = profile.iter().map(|(share, name)| (*share, name.as_str())).collect();
        assert_eq!(profile[1], (40.0, "log"));
        assert_eq!(profile.len(), 2);
        assert!(read_profile("nothing").is_err());
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let kept = kept("# head\ntpe-memory 123\n    what it is\n     50.0 %  f\nspace-draws 7\n");
        assert_eq!(kept, BTreeMap::from([("tpe-memory".to_owned(), 123), ("space-draws".to_owned(), 7)]));
    }
}
