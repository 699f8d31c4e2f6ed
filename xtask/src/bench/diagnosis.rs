//! The quick start beside Optuna with scikit-learn: the same table, folds, spaces and numbers of trials, one thread each.
//!
//! kilter's side is the command itself, with a process per trial and its storage on disk.

use std::path::Path;
use std::process::Command;

use kilter_numerics::compare::paired_difference;
use kilter_recipes::tabular::{outer_split, validation_folds};
use serde_json::{Value, json};

use super::gauge::{Took, timed_program};
use super::paired::{Figure, Sheet, Unit, part};
use super::peer::{Peer, Python};

const FAMILIES: [&str; 2] = ["logistic-regression", "random-forest"];

/// What the peer's solver for L1 is limited to, as `bench/diagnosis.py` has it.
const PEER_LIMIT: u32 = 100;

/// Measures everything.
pub fn bench(target: &Path, python: Option<&Python>, quick: bool) -> Result<Sheet, String> {
    let (seeds, trials) = if quick { (2, 20) } else { (5, 60) };
    let data = kilter_data::breast_cancer().map_err(|why| why.to_string())?;
    let scratch = tempfile::tempdir().map_err(|why| format!("no scratch folder: {why}"))?;
    let mut peer = python.map(|python| python.peer("diagnosis.py")).transpose()?;
    let mut sheet = Sheet {
        title: "diagnosis",
        peer: peer.as_ref().map(|peer| peer.name.clone()),
        quick,
        figures: Vec::new(),
        notes: vec![format!(
            "The same 569 x 30 table, outer split, 5 folds, spaces and {trials} trials of TPE, the defaults first; kilter by \
             its command, a process per trial. No CPU time: those processes are no children of the one that is measured."
        )],
    };
    let mut both: Vec<(Took, Option<Took>)> = Vec::new();
    for family in FAMILIES {
        let (mut aucs, mut fits) = (Vec::new(), [0.0; 2]);
        let ours = |seed| ours(target, scratch.path(), family, seed, trials);
        let mut rounds = Vec::new();
        for seed in 0..seeds {
            // Each side is first as often as the other.
            let mut theirs = || peer.as_mut().map(|peer| theirs(peer, &data, family, seed, trials)).transpose();
            let (ours, theirs) = if seed % 2 == 0 {
                let ours = ours(seed)?;
                (ours, theirs()?)
            } else {
                let theirs = theirs()?;
                (ours(seed)?, theirs)
            };
            aucs.push((ours.1, theirs.as_ref().map(|theirs| theirs.auc)));
            fits.iter_mut().zip(theirs.iter().flat_map(|theirs| theirs.fits)).for_each(|(sum, fits)| *sum += fits);
            rounds.push((ours.0, theirs.map(|theirs| theirs.took)));
        }
        let ours_auc: Vec<f64> = aucs.iter().map(|(ours, _)| *ours).collect();
        let theirs_auc: Vec<f64> = aucs.iter().filter_map(|(_, theirs)| *theirs).collect();
        let wall = |took: &Took| took.wall_seconds;
        sheet.figures.push(Figure::of(&format!("{family}: tune, wall"), Unit::Seconds, &part(&rounds, wall)));
        if let Ok(paired) = paired_difference(&ours_auc, &theirs_auc, 0.95) {
            let d = paired.difference;
            sheet.notes.push(format!(
                "{family}: test AUC of the tuned model, kilter less the peer, {:.4} (95 % {:.4} to {:.4}, {seeds} seeds)",
                d.estimate, d.low, d.high
            ));
        }
        if fits[1] > 0.0 {
            sheet.notes.push(format!(
                "{family}: {} of the peer's {} fits ended at liblinear's limit of {PEER_LIMIT} Newton steps (its own and \
                 scikit-learn's default; without one a fit can take hours). That can only shorten its time.",
                fits[1], fits[0]
            ));
        }
        let sum = |a: Took, b: Took| Took {
            wall_seconds: a.wall_seconds + b.wall_seconds,
            cpu_seconds: a.cpu_seconds + b.cpu_seconds,
        };
        if both.is_empty() {
            both = rounds;
        } else {
            both = both
                .into_iter()
                .zip(rounds)
                .map(|(a, b)| (sum(a.0, b.0), a.1.zip(b.1).map(|(a, b)| sum(a, b))))
                .collect();
        }
    }
    sheet.figures.push(Figure::of("both: tune, wall", Unit::Seconds, &part(&both, |took| took.wall_seconds)));
    Ok(sheet)
}

/// One tuning by kilter: what it took, and the tuned model's AUC on the test rows.
fn ours(target: &Path, scratch: &Path, family: &str, seed: u64, trials: u64) -> Result<(Took, f64), String> {
    let name = format!("{family}-{seed}");
    let mut command = Command::new(target.join("release/kilter"));
    command.args(["tune", family, "--sampler", "tpe", "--study", &name, "--json", "--quiet"]).current_dir(scratch);
    command.args(["--trials", &trials.to_string(), "--seed", &seed.to_string()]);
    command.args(["--set", &format!("split_seed={seed}")]);
    let took = timed_program(&mut command)?;
    // The best configuration once more, on the rows that tuning never saw.
    let mut measure = Command::new(target.join("release/kilter"));
    measure.args(["measure", "diagnosis", "--study", &name, "--json"]).current_dir(scratch);
    let output = measure.output().map_err(|why| format!("cannot start {measure:?}: {why}"))?;
    let told: Value = serde_json::from_slice(&output.stdout).map_err(|why| format!("{measure:?}: {why}"))?;
    let auc = told.get("auc").and_then(Value::as_f64).ok_or_else(|| format!("{measure:?} told no AUC"))?;
    Ok((took, auc))
}

/// One tuning by the peer.
struct Theirs {
    took: Took,
    /// Of the tuned model on the test rows.
    auc: f64,
    /// All fits, and those that ended at the solver's limit.
    fits: [f64; 2],
}

fn theirs(
    peer: &mut Peer,
    data: &kilter_data::Dataset,
    family: &str,
    seed: u64,
    trials: u64,
) -> Result<Theirs, String> {
    let outer = outer_split(data, seed).map_err(|why| why.to_string())?;
    let folds = validation_folds(data, seed, 5).map_err(|why| why.to_string())?;
    let folds: Vec<Value> = folds.iter().map(|fold| json!([fold.train, fold.test])).collect();
    let order = json!({
        "family": family, "trials": trials, "seed": seed, "folds": folds, "outer": [outer.train, outer.test],
    });
    let answer = peer.order(&order)?;
    let figure = |name: &str| answer.get(name).and_then(Value::as_f64).ok_or_else(|| format!("no {name} in {answer}"));
    let took = Took { wall_seconds: figure("wall_seconds")?, cpu_seconds: figure("cpu_seconds")? };
    Ok(Theirs { took, auc: figure("auc")?, fits: [figure("fits")?, figure("at_limit")?] })
}
