//! The SQLite storage: many processes on one file, and studies of a hundred thousand trials.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kilter_study::{NoPruner, Sqlite, Storage, Study};
use serde_json::{Value, json};

use super::engine::{one_trial, sampler, spec, text};
use super::gauge::{cpu_seconds, timed_program};
use super::paired::{Figure, Sheet, Unit};

/// As many processes as the issue of fairness needs to show.
const PROCESSES: usize = 32;

/// Measures everything; scratch files live under `target/bench` and go away.
pub fn bench(target: &Path, quick: bool) -> Result<Sheet, String> {
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).map_err(text)?;
    let scratch = tempfile::tempdir_in(&folder).map_err(text)?;
    let (seconds, rounds) = if quick { (3.0, 1) } else { (10.0, 3) };
    let together = (0..rounds)
        .map(|round| together(&scratch.path().join(format!("{round}.db")), seconds))
        .collect::<Result<Vec<_>, _>>()?;
    let figure = |name: &str, of: fn(&Together) -> f64| {
        Figure::of(name, Unit::Seconds, &together.iter().map(|round| (of(round), None)).collect::<Vec<_>>())
    };
    let mut figures = vec![
        figure("32 processes, ask+tell pair of all together", |round| round.seconds_per_pair),
        figure("… its CPU", |round| round.cpu_seconds_per_pair),
        figure("… longest wait for one pair", |round| round.longest_seconds),
    ];
    let trials = if quick { 10_000 } else { 100_000 };
    let file = scratch.path().join("long.db");
    fill(&file, trials)?;
    let kilter = target.join("release/kilter");
    for (what, words) in [
        ("list as JSON", &["trials", "--json"][..]),
        ("list", &["trials"]),
        ("best", &["best"]),
        ("export as CSV", &["export"]),
    ] {
        let took = || {
            let mut command = Command::new(&kilter);
            command.current_dir(scratch.path()).args(words).args(["--storage", "sqlite:long.db"]);
            timed_program(&mut command).map(|took| (took.wall_seconds, None))
        };
        let rounds = (0..rounds.max(2)).map(|_| took()).collect::<Result<Vec<_>, _>>()?;
        figures.push(Figure::of(&format!("{trials} trials, {what}"), Unit::Seconds, &rounds));
    }
    let resumed = (0..rounds.max(2))
        .map(|_| {
            let began = Instant::now();
            let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(&file).map_err(text)?);
            let id = storage.studies().map_err(text)?[0].id;
            let mut study = Study::hold(storage, id, spec()?, sampler("random")?, Box::new(NoPruner)).map_err(text)?;
            one_trial(&mut study)?;
            Ok((began.elapsed().as_secs_f64(), None))
        })
        .collect::<Result<Vec<_>, String>>()?;
    figures.push(Figure::of(&format!("{trials} trials, resume and one more"), Unit::Seconds, &resumed));
    let shares: Vec<String> = together.iter().map(|round| format!("{:.2}", round.least_over_most)).collect();
    let rates: Vec<String> = together.iter().map(|round| format!("{:.0}", 1.0 / round.seconds_per_pair)).collect();
    Ok(Sheet {
        title: "storage",
        peer: None,
        quick,
        figures,
        notes: vec![
            format!("{PROCESSES} processes: {} ask+tell pairs per second together.", rates.join(", ")),
            format!("The slowest of them had {} times the pairs of the quickest.", shares.join(", ")),
            "Random search over 8 parameters; each process keeps its own history of all trials up to date.".into(),
        ],
    })
}

struct Together {
    seconds_per_pair: f64,
    cpu_seconds_per_pair: f64,
    longest_seconds: f64,
    least_over_most: f64,
}

/// So many processes at one study for some seconds.
fn together(file: &Path, seconds: f64) -> Result<Together, String> {
    Sqlite::open(file).map_err(text)?.create(&spec()?).map_err(text)?;
    let this = std::env::current_exe().map_err(text)?;
    let start = |_| {
        Command::new(&this)
            .args(["bench", "storage-process", &file.display().to_string(), &seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(text)
    };
    let mut children: Vec<Child> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
    let mut answers = Vec::new();
    for child in &mut children {
        let mut answer = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        answer.read_line(&mut String::new()).map_err(text)?;
        answers.push(answer);
    }
    let before = cpu_seconds()?;
    for child in &mut children {
        writeln!(child.stdin.take().ok_or("no pipe")?).map_err(text)?;
    }
    let (mut pairs, mut longest, mut most, mut least) = (0.0, 0.0_f64, 0.0_f64, f64::INFINITY);
    for (child, answer) in children.iter_mut().zip(&mut answers) {
        let mut line = String::new();
        answer.read_line(&mut line).map_err(text)?;
        let said: Value = serde_json::from_str(&line).map_err(|_| "a process failed; what it said stands above")?;
        let of = |name: &str| said[name].as_f64().unwrap_or_default();
        pairs += of("pairs");
        longest = longest.max(of("longest"));
        (most, least) = (most.max(of("pairs")), least.min(of("pairs")));
        child.wait().map_err(text)?;
    }
    Ok(Together {
        seconds_per_pair: seconds / pairs,
        cpu_seconds_per_pair: (cpu_seconds()? - before) / pairs,
        longest_seconds: longest,
        least_over_most: least / most,
    })
}

/// One of them: says that it is ready, waits for a line, asks and tells, says how often.
pub fn process(file: &Path, seconds: f64) -> Result<(), String> {
    let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(file).map_err(text)?);
    let id = storage.studies().map_err(text)?[0].id;
    let mut study = Study::hold(storage, id, spec()?, sampler("random")?, Box::new(NoPruner)).map_err(text)?;
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).map_err(text)?;
    let (began, mut pairs, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while began.elapsed().as_secs_f64() < seconds {
        let pair = Instant::now();
        one_trial(&mut study)?;
        longest = longest.max(pair.elapsed());
        pairs += 1;
    }
    println!("{}", json!({ "pairs": pairs, "longest": longest.as_secs_f64() }));
    Ok(())
}

fn fill(file: &Path, trials: usize) -> Result<(), String> {
    let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(file).map_err(text)?);
    let mut study = Study::create(storage, spec()?, sampler("random")?, Box::new(NoPruner)).map_err(text)?;
    (0..trials).try_for_each(|_| one_trial(&mut study))
}
