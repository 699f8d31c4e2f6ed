//! Ten thousand reports from one trial: is it slowed, and is any lost?

use std::path::Path;
use std::process::{Command, Stdio};

use kilter_study::{History, Sqlite, Storage};

use super::engine::text;
use super::gauge::timed_program;
use super::paired::{Figure, Sheet, Unit, in_turn};
use crate::root;

/// So many figures `xtask/bench/reporter.py` reports.
const REPORTS: usize = 10_000;

/// Measures everything; scratch files live under `target/bench` and go away.
pub fn bench(target: &Path, quick: bool) -> Result<Sheet, String> {
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).map_err(text)?;
    let scratch = tempfile::tempdir_in(&folder).map_err(text)?;
    let rounds = if quick { 3 } else { 9 };
    let reporter = root().join("xtask/bench/reporter.py").display().to_string();
    let took = scratch.path().join("took");
    let read = || -> Result<f64, String> { std::fs::read_to_string(&took).map_err(text)?.trim().parse().map_err(text) };
    let mut number = 0;
    let mut least_kept = REPORTS;
    let mut tuned = |how: &str| -> Result<f64, String> {
        number += 1;
        let file = scratch.path().join(format!("{number}.db"));
        let mut tune = Command::new(target.join("release/kilter"));
        tune.current_dir(scratch.path()).args(["tune", "--quiet", "--sampler", "random", "--param", "x=0.0..1.0"]);
        tune.args(["--metric", "loss=([0-9.]+)", "--minimize", "--trials", "1"]);
        tune.arg("--storage").arg(format!("sqlite:{}", file.display()));
        tune.args(["--", "python3", &reporter, how]).arg(&took);
        timed_program(&mut tune)?;
        least_kept = least_kept.min(kept(&file)?);
        read()
    };
    let alone = || -> Result<f64, String> {
        let mut command = Command::new("python3");
        command.args([&reporter, "output"]).arg(&took).stdout(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => read(),
            Ok(status) => Err(format!("{reporter}: {status}")),
            Err(why) => Err(format!("no python3: {why}")),
        }
    };
    let output = in_turn(rounds, || tuned("output"), Some(&mut ()), |()| alone())?;
    let socket = in_turn(rounds, || tuned("socket"), None::<&mut ()>, |()| alone())?;
    let notes = vec![format!(
        "As the trial sees it: {REPORTS} lines of output, each flushed, by itself into /dev/null; over the socket it waits \
             for each answer. Of {REPORTS} reports at least {least_kept} are stored."
    )];
    let figures = vec![
        Figure::of("10,000 reports in its output, wall", Unit::Seconds, &output),
        Figure::of("10,000 reports over the socket, wall", Unit::Seconds, &socket),
    ];
    Ok(Sheet { title: "reports of one trial", peer: Some("/dev/null".to_owned()), quick, figures, notes })
}

/// How many of its reports the first trial in a database has.
fn kept(file: &Path) -> Result<usize, String> {
    let storage = Sqlite::open(file).map_err(text)?;
    let study = storage.studies().map_err(text)?.first().map(|entry| entry.id).ok_or("no study")?;
    let mut history = History::default();
    for event in storage.changes(study, 0, usize::MAX).map_err(text)?.events {
        history.apply(&event);
    }
    Ok(history.get(0).map_or(0, |row| row.points.len()))
}
