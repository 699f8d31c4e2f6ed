//! Studies that end before their last trial: conditions, budgets, and `kilter stop`.

use std::fs;

use crate::room::{LOSS, Room, states, wait_until};

fn tune(room: &Room, more: &[&str]) -> crate::room::Said {
    room.script("t.sh", "echo loss=$1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=int:1..1000", "--trials", "30"];
    room.kilter(words.iter().chain(more).chain(&["--", "sh", "t.sh", "{x}"]))
}

#[test]
fn a_condition_ends_a_study_and_resume_lifts_it() {
    let room = Room::new();
    let said = tune(&room, &["--stop-when", "trials >= 4 or loss < 0"]).done();
    let said = said.remarks("enough: trials >= 4 or loss < 0 holds");
    said.says("kilter resume t --trials 8 --stop-when ''");
    assert_eq!(room.trials().len(), 4);
    room.line("resume").done().remarks("enough: ");
    assert_eq!(room.trials().len(), 4);
    room.kilter(["resume", "--stop-when", "trials >= 6"]).done();
    assert_eq!(room.trials().len(), 6);
    room.kilter(["resume", "--stop-when", "", "--trials", "8"]).done();
    assert_eq!(room.trials().len(), 8);
    room.kilter(["resume", "--stop-when", "los < 1"]).with(2).remarks("did you mean `loss`?");
}

#[test]
fn a_budget_of_time_ends_a_study() {
    let room = Room::new();
    tune(&room, &["--budget", "0.001s"]).done().remarks("its budget of 0.001 s is spent");
    let trials = room.trials().len();
    assert!(trials <= 1, "{trials}");
    room.line("resume --budget 1h --quiet").done();
    assert_eq!(room.trials().len(), 30);
}

/// The tuner of a study whose trials last until the file `go` is there.
fn begin(room: &Room) -> crate::room::Running {
    room.script("t.sh", "echo >> \"$1/begun\"; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "3"];
    let tuner = room.begin(words.iter().chain(&["--", "sh", &script, "{folder}", "{x}"]));
    wait_until("trial 0", || room.exists("kilter.trials/t/0/begun"));
    tuner
}

#[test]
fn a_running_study_is_stopped_from_elsewhere_and_goes_on() {
    let room = Room::new();
    let tuner = begin(&room);
    room.line("rename t u").with(2).remarks("kilter stop");
    room.line("stop").done().says("t begins no more trials; the trial that runs ends first").remarks("kilter resume t");
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(3));
    assert!(room.read("err").contains("stopped by `kilter stop`"), "{}", room.read("err"));
    assert_eq!(states(&room.trials()), [("complete".to_owned(), 1)].into());
    room.line("resume --quiet").done();
    assert_eq!(states(&room.trials()), [("complete".to_owned(), 3)].into());
}

#[test]
fn a_running_study_is_stopped_at_once() {
    let room = Room::new();
    let tuner = begin(&room);
    room.line("stop --now").done();
    assert_eq!(tuner.end(), Some(3));
    room.wait_until_empty();
    assert_eq!(states(&room.trials()), [("waiting".to_owned(), 1)].into());
    fs::write(room.at("go"), "").unwrap();
    room.line("resume --quiet").done();
    assert_eq!(states(&room.trials()), [("complete".to_owned(), 3)].into());
}
