//! Looking at studies and at what there is. Nothing here changes anything.

use std::fs;
use std::process::{Command, Stdio};

use crate::room::{KILTER, LOSS, Room, redacted};

/// A study that is the same everywhere: whole numbers, chosen at random.
fn room() -> Room {
    let room = Room::new();
    room.script(
        "fit.sh",
        "echo \"hello from $1\"; for s in 3 2 1; do echo loss=$(($2 + s)); done; [ $1 != 3 ] || exit 7; echo oops >&2\n",
    );
    let words = ["tune", "--sampler", "random", "--minimize", "--metric", LOSS, "--trials", "5", "--seed", "1"];
    let more =
        ["--param", "depth=int:1..50", "--param", "kind=a|b", "--", "sh", "fit.sh", "{trial}", "{depth}", "{kind}"];
    room.kilter(words.into_iter().chain(more)).done();
    room
}

#[test]
fn a_study_from_all_sides() {
    let room = room();
    let before = fs::read(room.at("kilter.db")).unwrap();
    assert_eq!(room.files(), ["fit.sh", "kilter.db", "kilter.trials"], "all is in the one file");
    for line in
        ["studies", "trials", "trials fit", "best", "show", "show 3", "show 3 --study fit", "logs 1", "best --quiet"]
    {
        let said = room.line(line).done();
        insta::assert_snapshot!(line, redacted(&said.out, &room));
    }
    for line in ["trials", "best", "show", "show 3", "studies"] {
        let said = room.line(&format!("{line} --json")).done();
        assert_eq!(said.err, "");
        said.json();
    }
    assert!(fs::read(room.at("kilter.db")).unwrap() == before, "looking changes nothing");
}

#[test]
fn json_has_the_documented_fields() {
    let room = room();
    let document = room.line("trials --json").done().json();
    assert_eq!(document["study"], "fit");
    let trials = document["trials"].as_array().unwrap();
    for field in [
        "number",
        "state",
        "values",
        "params",
        "user",
        "wall_seconds",
        "cpu_seconds",
        "peak_bytes",
        "metrics",
        "attempt",
    ] {
        assert!(trials.iter().all(|trial| trial.get(field).is_some()), "{field}");
    }
    assert_eq!((trials[3]["state"].as_str(), trials[3]["values"].is_null()), (Some("failed"), true));
    assert_eq!(
        (trials[3]["failure"]["kind"].as_str(), trials[3]["failure"]["code"].as_u64()),
        (Some("exit_status"), Some(7))
    );
    let shown = room.line("show 3 --json").done().json();
    assert_eq!(room.line("show fit:3 --json").done().json(), shown);
    assert_eq!(room.line("show fit --json").done().json(), room.line("show --json").done().json());
    room.line("show nowhere:3").with(2).remarks("there is no study `nowhere`");
    room.line("show fit:3 --study fit").with(2).remarks("--study fit names the study already");
    assert_eq!(shown["study"], "fit");
    assert_eq!(shown["reports"].as_array().unwrap().len(), 3);
    assert!(room.at(shown["folder"].as_str().unwrap()).is_dir());
    let best = room.line("best --json").done().json();
    assert_eq!(&best, trials.iter().find(|trial| trial["number"] == best["number"]).unwrap());
}

#[test]
fn what_there_is() {
    let room = Room::new();
    for line in ["recipes", "recipes breast-cancer", "samplers", "samplers tpe", "pruners", "pruners median"] {
        let said = room.line(line).done();
        assert_eq!(said.err, "");
        insta::assert_snapshot!(line, said.out);
        room.line(&format!("{line} --json")).done().json();
    }
    let recipe = room.line("recipes breast-cancer --json").done().json();
    let names: Vec<&str> =
        recipe["hyperparameters"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"family") && names.contains(&"folds"), "{names:?}");
    assert!(room.files().is_empty());
}

#[test]
fn resume_adds_trials() {
    let room = room();
    let said = room.line("resume --trials 7").done();
    assert!(said.out.contains("7 trials: 6 complete, 1 failed"), "{}", said.out);
    assert_eq!(room.trials().len(), 7);
    // Nothing is left to do: said, and no harm done.
    room.line("resume").done().says("7 trials");
    room.line("resume fit --trials 3").done().says("7 trials");
    room.line("resume --study fit --trials 8 --workers 2").done().says("8 trials");
    assert_eq!(room.trials().len(), 8);
}

#[test]
fn the_logs_of_a_trial_whose_folder_is_gone() {
    let room = room();
    fs::remove_dir_all(room.at("kilter.trials")).unwrap();
    room.line("logs 1").with(1).remarks("trial 1 has left no output");
    room.line("show 1").done();
    room.line("trials").done();
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let room = room();
    for line in [
        "trials",
        "trials --json",
        "show",
        "best",
        "logs 1",
        "studies",
        "recipes breast-cancer",
        "samplers",
        "--help",
        "tune --help",
        "resume --trials 6",
        "resume --json",
        "reproduce",
    ] {
        let mut child = Command::new(KILTER)
            .args(line.split_whitespace())
            .current_dir(room.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked") && !told.contains("error:"), "kilter {line}: {told}");
        assert_eq!(output.status.code(), Some(0), "kilter {line}: {told}");
    }
    let mut child = Command::new(KILTER)
        .args(["resume", "--trials", "8"])
        .current_dir(room.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "nobody listens to remarks");
}

#[test]
fn a_study_with_no_trial_yet() {
    let room = Room::new();
    room.script("t.sh", "touch begun; while :; do sleep 0.05; done\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--", "sh", "t.sh", "{x}"];
    let tuner = room.begin(words);
    crate::room::wait_until("a trial", || room.exists("begun"));
    room.line("trials").done().says("1 trial: 1 running");
    room.line("show 0").done().says("trial 0 of t: running");
    room.line("best").with(1).remarks("no trial of t is complete yet (1 trial: 1 running)");
    room.line("studies").done().says("1 running");
    tuner.kill();
    room.line("trials").done();
}

#[test]
fn a_storage_that_may_only_be_read_can_be_looked_at() {
    let room = room();
    let said = room.line("trials --storage sqlite://kilter.db").done();
    assert_eq!(said.out, room.line("trials --storage kilter.db").done().out);
}
