//! Several processes at one study.

use std::fs;

use crate::room::{LOSS, Room, Running, essence, numbers, states, wait_until};

/// Begins a study whose trials stay until the file `go` is there, and say by whom they were started.
fn begin(room: &Room, trials: &str) -> Running {
    room.script("t.sh", "echo $PPID >> who; while [ ! -e go ]; do sleep 0.02; done; echo loss=$1\n");
    let words =
        ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", trials, "--sampler", "random"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("the first trial", || room.read("who").lines().count() == 1);
    tuner
}

#[test]
fn workers_share_a_study_and_end_with_it() {
    let room = Room::new();
    let tuner = begin(&room, "12");
    let mut workers: Vec<Running> =
        (0..3).map(|k| room.begin_as(&format!("w{k}"), ["worker", "t", "--quiet"])).collect();
    workers.push(room.begin_as("w3", ["worker", "--workers", "2", "--json"]));
    wait_until("all of them at work", || room.read("who").lines().count() == 6);
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
    workers.into_iter().for_each(|worker| assert_eq!(worker.end(), Some(0)));
    let trials = room.trials();
    assert_eq!(numbers(&trials), (0..12).collect::<Vec<_>>());
    assert_eq!(states(&trials).into_iter().collect::<Vec<_>>(), [("complete".to_owned(), 12)]);
    assert_eq!(room.read("who").lines().count(), 12, "no trial ran twice");
    assert!(room.read("out").contains("12 trials: 12 complete"), "the tuner sums up the whole study");
    let said: serde_json::Value = serde_json::from_str(&room.read("w3.out")).unwrap();
    assert!(said["ran"].as_u64().unwrap() >= 2, "{said}");
    assert_eq!(said["counts"]["complete"], 12);
    assert_eq!(room.read("w0.out"), "");
}

#[test]
fn a_worker_finishes_what_a_killed_tuner_left() {
    let room = Room::new();
    let tuner = begin(&room, "3");
    let worker = room.begin_as("w", ["worker", "t"]);
    wait_until("both at work", || room.read("who").lines().count() == 2);
    tuner.kill();
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(worker.end(), Some(0), "{}", room.read("w.err"));
    let trials = room.trials();
    assert_eq!((numbers(&trials), states(&trials)["complete"]), (vec![0, 1, 2], 3));
    assert_eq!(trials[0]["attempt"], 2);
    assert!(
        room.read("w.out").contains("this worker ran 3 trials of t (3 trials: 3 complete)"),
        "{}",
        room.read("w.out")
    );
}

#[test]
fn an_interrupted_worker_tells_how_to_join_again_and_the_others_go_on() {
    let room = Room::new();
    let tuner = begin(&room, "4");
    let worker = room.begin_as("w", ["worker", "t"]);
    wait_until("both at work", || room.read("who").lines().count() == 2);
    worker.signal("TERM");
    assert_eq!(worker.end(), Some(3));
    assert!(room.read("w.err").contains("\n  kilter worker t\n"), "{}", room.read("w.err"));
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(0));
    assert_eq!(states(&room.trials())["complete"], 4);
}

#[test]
fn calls_that_make_no_sense_change_nothing() {
    let room = Room::new();
    room.line("worker").with(4).remarks("there is no kilter.db here; begin a study");
    let tuner = begin(&room, "1");
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(0));
    room.line("worker --workers 0").with(2).remarks("--workers 0 would run nothing");
    room.line("worker tt").with(2).remarks("did you mean `t`?");
    room.line("worker t").done().says("this worker ran 0 trials of t (1 trial: 1 complete)");
}

/// However long which trial takes.
#[test]
fn a_parallel_study_in_order_is_the_same_every_time() {
    let trials = |workers: &str, joining: bool| {
        let room = Room::new();
        room.script("t.sh", "sleep 0.0$(($$ % 7)); echo loss=$1\n");
        let words =
            ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "24", "--quiet", "--study", "t"];
        let more = ["--sampler", "tpe:startup=4", "--in-order", "--workers", workers, "--", "sh", "t.sh", "{x}"];
        let tuner = room.begin(words.into_iter().chain(more));
        if joining {
            wait_until("a study", || room.exists("kilter.trials/t/0"));
            room.line("worker t --quiet").done();
        }
        assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
        room.line("show 20 --recompute").done().says("the same as stored");
        essence(&room.trials())
    };
    let expected = trials("3", false);
    assert_eq!(trials("3", false), expected);
    assert_eq!(trials("3", true), expected, "a process more");
}

#[test]
fn a_proposal_comes_out_again_and_what_was_enqueued_says_so() {
    let room = Room::new();
    room.line("tune breast-cancer --trials 6 --sampler tpe:startup=2 --set family=decision_tree --quiet").done();
    let said = room.line("show 5 --recompute").done();
    assert!(said.out.contains("trial 5 of breast-cancer, proposed again from its"), "{}", said.out);
    assert!(said.out.contains("the same as stored") && !said.out.contains("(stored:"), "{}", said.out);
    let json = room.line("show 4 --recompute --json").done().json();
    assert_eq!((&json["same"], &json["params"]), (&serde_json::json!(true), &json["recomputed"]));
    room.line("show 0 --recompute").with(2).remarks("it was enqueued, no sampler proposed it");
}

#[test]
fn how_often_a_lost_trial_is_begun_anew_is_the_user_s_to_say() {
    let room = Room::new();
    room.script("t.sh", "echo >> begun; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "2", "--retries", "0"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("a trial", || room.exists("begun"));
    tuner.kill();
    fs::write(room.at("go"), "").unwrap();
    room.line("resume --quiet").done();
    let trials = room.trials();
    assert_eq!(trials[0]["failure"]["kind"], "worker_lost", "{}", trials[0]);
    assert_eq!(trials[1]["state"], "complete");
}
