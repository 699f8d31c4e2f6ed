//! The engine beside Optuna: starting, asking and telling, storing, running trials as processes, memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kilter_space::{Entry, Outline, parse_domain};
use kilter_study::{
    Asked, Conduct, End, Goal, Limits, Memory, NoPruner, Sampler, Sqlite, Storage, Study, StudySpec, Trial, Usage,
};
use serde_json::json;

use super::gauge::{Took, resident_bytes, timed, timed_program};
use super::paired::{Figure, Sheet, Unit, in_turn, part};
use super::peer::{Peer, Python};

/// Eight parameters of every kind; `xtask/bench/engine.py` declares the same.
const SPACE: [(&str, &str); 8] = [
    ("x0", "0.0..1.0"),
    ("x1", "0.0..1.0"),
    ("x2", "0.0..1.0"),
    ("l0", "log:1e-5..1e-1"),
    ("l1", "log:1e-5..1e-1"),
    ("n0", "int:1..64"),
    ("n1", "int:1..64"),
    ("c", "a|b|c|d"),
];

/// The command of an external trial.
const SHELL: [&str; 3] = ["sh", "-c", "echo loss=1"];

/// Measures everything; scratch files live under `target/bench` and go away.
pub fn bench(target: &Path, python: Option<&Python>, quick: bool) -> Result<Sheet, String> {
    let pick = |full, fast| if quick { fast } else { full };
    let bench = target.join("bench");
    std::fs::create_dir_all(&bench).map_err(|why| format!("cannot make {}: {why}", bench.display()))?;
    let scratch = tempfile::tempdir_in(&bench).map_err(|why| format!("cannot make a scratch folder: {why}"))?;
    let place = Place { kilter: target.join("release/kilter"), scratch: scratch.path(), files: RefCell::new(0) };

    // First of all, while nothing freed earlier can be used again.
    let mut figures = memory(python)?;
    figures.extend(starts(&place, python, pick(20, 5))?);
    let mut peer = python.map(|python| python.peer("engine.py")).transpose()?;
    for trials in [100, 1_000, 10_000] {
        let rounds = ask_and_tell(Arc::new(Memory::new()), trials, "", peer.as_mut(), pick(30, 10))?;
        let name = format!("TPE ask+tell, {trials} trials, CPU");
        figures.push(Figure::of(&name, Unit::Seconds, &part(&rounds, |took| took.cpu_seconds)));
    }
    let (ours, theirs) = (place.file(), place.file());
    let storage = Sqlite::open(Path::new(&ours)).map_err(text)?;
    let rounds = ask_and_tell(Arc::new(storage), 1_000, &theirs, peer.as_mut(), pick(30, 10))?;
    figures.push(Figure::of("… in SQLite, 1000 trials, CPU", Unit::Seconds, &part(&rounds, |took| took.cpu_seconds)));
    figures.push(Figure::of("… in SQLite, 1000 trials, wall", Unit::Seconds, &part(&rounds, |took| took.wall_seconds)));
    figures.extend(external(&place, peer.as_mut(), pick(7, 3), pick(50, 20))?);

    Ok(Sheet {
        title: "engine",
        peer: peer.map(|peer| peer.name.clone()),
        quick,
        figures,
        notes: vec![
            "TPE: the defaults of both sides (multivariate, constant liar, 10 startup trials; kilter draws 48 candidates, \
             Optuna 24); 8 mixed parameters."
                .into(),
            "SQLite: WAL and synchronous=NORMAL on both sides; by default Optuna also waits for the disk at every commit."
                .into(),
            "An external trial is `sh -c 'echo loss=1'` at random search in SQLite; what that process takes by itself \
             is subtracted. Optuna: subprocess.run; kilter: as `kilter tune` runs it, supervised, output kept in files."
                .into(),
        ],
    })
}

struct Place<'a> {
    kilter: std::path::PathBuf,
    scratch: &'a Path,
    files: RefCell<usize>,
}

impl Place<'_> {
    /// A database that is not there yet.
    fn file(&self) -> String {
        *self.files.borrow_mut() += 1;
        self.scratch.join(format!("{}.db", self.files.borrow())).display().to_string()
    }

    /// `kilter ask` of the study in this database, made if there is none.
    fn ask(&self, file: &str) -> Command {
        let mut command = Command::new(&self.kilter);
        command.current_dir(self.scratch).args(["ask", "bench", "--json", "--minimize=loss"]);
        command.args(SPACE.iter().flat_map(|(name, domain)| ["--param".to_owned(), format!("{name}={domain}")]));
        command.args(["--storage", &format!("sqlite:{file}")]);
        command
    }

    /// `kilter tune` of the external command, in a new database.
    fn tune(&self, trials: usize) -> Command {
        let mut command = Command::new(&self.kilter);
        command.current_dir(self.scratch).args(["tune", "--quiet", "--sampler", "random", "--param", "x=0.0..1.0"]);
        command.args(["--metric", "loss=([0-9.]+)", "--minimize", "--trials", &trials.to_string()]);
        command.args(["--storage", &format!("sqlite:{}", self.file()), "--"]).args(SHELL);
        command
    }
}

pub(super) fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

pub(super) fn sampler(name: &str) -> Result<Box<dyn Sampler>, String> {
    kilter_search::sampler(name).map_err(text)
}

pub(super) fn spec() -> Result<StudySpec, String> {
    let entry = |(name, domain): &(&str, &str)| Entry::new(name, parse_domain(domain).map_err(text)?).map_err(text);
    let entries: Vec<Entry> = SPACE.iter().map(entry).collect::<Result<_, String>>()?;
    Ok(StudySpec {
        name: "bench".to_owned(),
        outline: Outline::new(entries).map_err(text)?,
        goals: vec![Goal::minimize("loss")],
        sampler: "tpe".to_owned(),
        pruner: "none".to_owned(),
        seed: 0,
        trials: None,
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::Value::Null,
    })
}

/// Asks, answers, tells.
pub(super) fn one_trial(study: &mut Study) -> Result<(), String> {
    let Asked::Trial(trial) = study.ask().map_err(text)? else {
        return Err("the study had nothing to ask".to_owned());
    };
    let metrics = BTreeMap::from([("loss".to_owned(), loss(&trial)?)]);
    let end = End::of(metrics, &study.spec().goals, Usage::default());
    study.tell(&trial, &end).map(|_| ()).map_err(text)
}

/// A bowl; `xtask/bench/engine.py` computes the same.
fn loss(trial: &Trial) -> Result<f64, String> {
    let config = trial.config();
    let float = |name: &str| config.float(name).map_err(text);
    let mut loss = if config.text("c").map_err(text)? == "b" { 0.0 } else { 0.1 };
    for name in ["x0", "x1", "x2"] {
        loss += (float(name)? - 0.3).powi(2);
    }
    for name in ["l0", "l1"] {
        loss += ((float(name)?.log10() + 3.0) / 4.0).powi(2);
    }
    for name in ["n0", "n1"] {
        loss += ((float(name)? - 20.0) / 64.0).powi(2);
    }
    Ok(loss)
}

/// A study with this many random trials behind it.
pub(super) fn filled(storage: Arc<dyn Storage>, trials: usize) -> Result<Study, String> {
    let mut study = Study::create(storage, spec()?, sampler("random")?, Box::new(NoPruner)).map_err(text)?;
    for _ in 0..trials {
        one_trial(&mut study)?;
    }
    Ok(study)
}

fn ask_and_tell(
    storage: Arc<dyn Storage>,
    trials: usize,
    file: &str,
    mut peer: Option<&mut Peer>,
    rounds: usize,
) -> Result<Vec<(Took, Option<Took>)>, String> {
    let random = filled(storage.clone(), trials)?;
    let mut study = Study::hold(storage, random.id(), spec()?, sampler("tpe")?, Box::new(NoPruner)).map_err(text)?;
    drop(random);
    if let Some(peer) = peer.as_mut() {
        peer.order(&json!({ "do": "fill", "trials": trials, "file": file }))?;
    }
    let mut ours = || timed(|| one_trial(&mut study));
    let mut theirs = |peer: &mut Peer| peer.timed(&json!({ "do": "ask_and_tell" }));
    // Both sides prepare something at their first ask.
    in_turn(2, &mut ours, peer.as_deref_mut(), &mut theirs)?;
    in_turn(rounds, ours, peer, theirs)
}

fn starts(place: &Place<'_>, python: Option<&Python>, rounds: usize) -> Result<Vec<Figure>, String> {
    let figure = |name: &str, rounds: &[(Took, Option<Took>)]| {
        Figure::of(name, Unit::Seconds, &part(rounds, |took| took.wall_seconds))
    };
    let mut python = python;
    let version = || timed_program(Command::new(&place.kilter).arg("--version"));
    let version =
        in_turn(rounds, version, python.as_mut(), |python| timed_program(python.program("optuna").arg("--version")))?;
    let first = || timed_program(&mut place.tune(1));
    let first = in_turn(rounds, first, python.as_mut(), |python| {
        timed_program(python.script("engine.py").args(["first-trial", &place.file()]))
    })?;
    let ask = || timed_program(&mut place.ask(&place.file()));
    let ask = in_turn(rounds, ask, python.as_mut(), |python| {
        timed_program(python.script("engine.py").args(["first-ask", &place.file()]))
    })?;
    let again = place.file();
    timed_program(&mut place.ask(&again))?;
    let again = in_turn(rounds, || timed_program(&mut place.ask(&again)), None::<&mut ()>, |()| unreachable())?;
    Ok(vec![
        figure("start (--version), wall", &version),
        figure("start, a new study and its first ask (kilter ask), wall", &ask),
        figure("start and an ask of a study that there is, wall", &again),
        figure("start and one external trial, wall", &first),
    ])
}

fn unreachable() -> Result<Took, String> {
    Err("there is no peer".to_owned())
}

/// What a trial takes beyond the process that it is.
fn external(place: &Place<'_>, peer: Option<&mut Peer>, rounds: usize, trials: usize) -> Result<Vec<Figure>, String> {
    let per_trial = |whole: Took, once: Took, bare: Took| Took {
        wall_seconds: (whole.wall_seconds - once.wall_seconds) / trials as f64 - bare.wall_seconds,
        cpu_seconds: (whole.cpu_seconds - once.cpu_seconds) / trials as f64 - bare.cpu_seconds,
    };
    let bare = || {
        let mut sum = Took::default();
        for _ in 0..trials {
            let took = timed_program(Command::new(SHELL[0]).args(&SHELL[1..]))?;
            sum.wall_seconds += took.wall_seconds;
            sum.cpu_seconds += took.cpu_seconds;
        }
        Ok::<_, String>(Took {
            wall_seconds: sum.wall_seconds / trials as f64,
            cpu_seconds: sum.cpu_seconds / trials as f64,
        })
    };
    // One more trial, less one: the start of the program is no part of a trial.
    let ours = || {
        let once = timed_program(&mut place.tune(1))?;
        Ok(per_trial(timed_program(&mut place.tune(1 + trials))?, once, bare()?))
    };
    let theirs = |peer: &mut Peer| {
        let order = json!({ "do": "external", "trials": trials, "file": place.file(), "command": SHELL });
        Ok(per_trial(peer.timed(&order)?, Took::default(), bare()?))
    };
    let rounds = in_turn(rounds, ours, peer, theirs)?;
    // No CPU time: the supervisors are no children of the process that is measured.
    let wall = part(&rounds, |took| took.wall_seconds);
    Ok(vec![Figure::of("overhead per external trial, wall", Unit::Seconds, &wall)])
}

/// What a trial holds of memory, from the growth over 10,000 in a process that held none.
fn memory(python: Option<&Python>) -> Result<Vec<Figure>, String> {
    const TRIALS: usize = 10_000;
    let resident = || resident_bytes().ok_or("the system does not tell a process's memory");
    // What is loaded once is no part of a trial.
    drop(filled(Arc::new(Memory::new()), 10)?);
    let before = resident()?;
    let study = filled(Arc::new(Memory::new()), TRIALS)?;
    let ours = (resident()? - before) / TRIALS as f64;
    drop(study);
    let theirs = python.map(|python| {
        let answer = python.peer("engine.py")?.order(&json!({ "do": "memory", "trials": TRIALS }))?;
        answer.as_f64().ok_or_else(|| format!("the peer knows no memory: {answer}"))
    });
    let theirs = theirs.transpose()?;
    let share = |bytes: f64| bytes / SPACE.len() as f64;
    Ok(vec![
        Figure::of("memory per trial, in memory", Unit::Bytes, &[(ours, theirs)]),
        Figure::of("… per trial and parameter", Unit::Bytes, &[(share(ours), theirs.map(share))]),
    ])
}
