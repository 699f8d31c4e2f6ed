//! Ctrl-C once finishes what runs, twice stops at once; SIGTERM stops at once.

use std::fs;

use crate::room::{LOSS, Room, Running, numbers, states, wait_until};

/// Every trial says that it runs and stays until the file `go` is there.
fn begin(room: &Room, more: &[&str]) -> Running {
    room.script("t.sh", "echo >> \"$1/begun\"; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "3"];
    let command = ["--", "sh", &script, "{folder}", "{x}"];
    let tuner = room.begin(words.iter().chain(more).chain(&command));
    wait_until("trial 0", || room.exists("kilter.trials/t/0/begun"));
    tuner
}

fn interrupt(room: &Room, tuner: &Running) {
    tuner.signal("INT");
    wait_until("a remark", || room.read("err").contains("finishing the trials that run"));
}

fn resume(room: &Room) {
    fs::write(room.at("go"), "").unwrap();
    room.line("resume t --quiet").done();
    let trials = room.trials();
    assert_eq!(numbers(&trials), [0, 1, 2]);
    assert_eq!(states(&trials)["complete"], 3);
}

#[test]
fn once_finishes_what_runs_and_tells_how_to_go_on() {
    let room = Room::new();
    let tuner = begin(&room, &[]);
    interrupt(&room, &tuner);
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(3));
    let trials = room.trials();
    assert_eq!((trials.len(), trials[0]["state"].as_str()), (1, Some("complete")));
    assert!(room.read("err").contains("\n  kilter resume t\n"), "{}", room.read("err"));
    assert!(room.read("out").contains("best loss 1 in trial 0 (1 trial: 1 complete)"), "{}", room.read("out"));
    resume(&room);
    assert_eq!(room.trials()[0]["attempt"], 1);
}

#[test]
fn twice_stops_at_once_and_the_trial_runs_again() {
    let room = Room::new();
    let tuner = begin(&room, &["--study", "t"]);
    interrupt(&room, &tuner);
    tuner.signal("INT");
    assert_eq!(tuner.end(), Some(3));
    room.wait_until_empty();
    assert!(room.read("err").contains("kilter resume t"), "{}", room.read("err"));
    assert_eq!(room.trials()[0]["state"], "waiting");
    assert!(!room.read("out").contains("failed"), "{}", room.read("out"));
    resume(&room);
    assert_eq!(room.read("kilter.trials/t/0/begun").len(), 2, "it ran twice");
    assert_eq!(room.trials()[0]["attempt"], 1, "the user's wish is no lost attempt");
}

#[test]
fn sigterm_stops_at_once() {
    let room = Room::new();
    let tuner = begin(&room, &["--json"]);
    tuner.signal("TERM");
    assert_eq!(tuner.end(), Some(3));
    room.wait_until_empty();
    let document: serde_json::Value = serde_json::from_str(&room.read("out")).unwrap();
    assert_eq!((document["interrupted"].as_bool(), document["best"].is_null()), (Some(true), true));
    resume(&room);
}

#[test]
fn a_closed_terminal_stops_at_once() {
    let room = Room::new();
    let tuner = begin(&room, &["--workers", "2"]);
    wait_until("trial 1", || room.exists("kilter.trials/t/1/begun"));
    tuner.signal("HUP");
    assert_eq!(tuner.end(), Some(3));
    room.wait_until_empty();
    resume(&room);
}

#[test]
fn a_study_in_another_storage_is_resumed_from_there() {
    let room = Room::new();
    fs::create_dir(room.at("my place")).unwrap();
    room.script("t.sh", "echo >> begun; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "2", "--study", "two words"];
    let more = ["--storage", "sqlite:my place/s.db", "--", "sh", "t.sh", "{x}"];
    let tuner = room.begin(words.into_iter().chain(more));
    wait_until("trial 0", || room.exists("begun"));
    tuner.signal("TERM");
    assert_eq!(tuner.end(), Some(3));
    // The line that was printed is typed as it stands.
    let told = room.read("err");
    let line = told.lines().find_map(|line| line.trim().strip_prefix("kilter ")).unwrap_or_else(|| panic!("{told}"));
    fs::write(room.at("go"), "").unwrap();
    let mut shell = assert_cmd::Command::new("sh");
    shell.current_dir(room.path()).arg("-c").arg(format!("'{}' {line}", crate::room::KILTER)).assert().success();
    let trials = room.trials_of(&["two words", "--storage", "sqlite:my place/s.db"]);
    assert_eq!(states(&trials)["complete"], 2);
}

#[test]
fn an_interrupted_reproduction_goes_on_where_it_stopped() {
    let room = Room::new();
    let tuner = room.begin(["reproduce", "breast-cancer", "--quick", "--workers", "1"]);
    let third = "kilter.trials/reproduce-breast-cancer-quick/2/task.json";
    wait_until(third, || room.exists(third));
    tuner.signal("TERM");
    assert_eq!(tuner.end(), Some(3));
    assert!(room.read("err").contains("kilter reproduce breast-cancer --quick"), "{}", room.read("err"));
    let done = states(&room.trials())["complete"];
    assert!((2..40).contains(&done), "{done}");
    let studies = room.line("studies --json").done().json();
    assert_eq!(studies["studies"].as_array().unwrap().len(), 1);
}
