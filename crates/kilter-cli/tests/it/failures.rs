//! Trials that fail are named, and the study goes on.

use serde_json::Value as Json;

use crate::room::{LOSS, Room, Said, python, states};

fn tune(room: &Room, trials: &str, more: &[&str], command: &[&str]) -> Said {
    let words =
        ["tune", "--sampler", "random", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", trials];
    room.kilter(words.iter().chain(more).chain(&["--"]).chain(command))
}

fn kind(trial: &Json) -> &str {
    trial["failure"]["kind"].as_str().unwrap_or_else(|| panic!("no failure in {trial}"))
}

fn message(trial: &Json) -> &str {
    trial["failure"]["message"].as_str().unwrap_or_else(|| panic!("no failure in {trial}"))
}

#[test]
fn a_metric_that_never_matches_shows_the_last_lines() {
    let room = Room::new();
    room.script("t.sh", "for i in 1 2 3; do echo \"Loss: 0.$i\"; done\n");
    let said = tune(&room, "3", &[], &["sh", "t.sh", "{x}"]).with(1);
    // How often progress is told depends on the time that passes.
    let remarks: Vec<&str> = said.err.lines().filter(|line| !line.contains("/3 trials")).collect();
    insta::assert_snapshot!("never_matches_err", remarks.join("\n"));
    insta::assert_snapshot!("never_matches_out", said.out);
    let trials = room.trials();
    assert_eq!((trials.len(), kind(&trials[2])), (3, "missing_metric"));
    // What is proposed there can be typed.
    room.line("logs 2 --study t").done().says("Loss: 0.3");
}

#[test]
fn a_non_zero_exit_is_named_and_the_study_goes_on() {
    let room = Room::new();
    room.script("t.sh", "echo loss=1; [ $1 != 1 ] || { echo 'no such layer: conv9' >&2; exit 3; }\n");
    let said = tune(&room, "3", &[], &["sh", "t.sh", "{trial}", "{x}"]).done();
    let said = said.remarks("trial 1 failed: exit status 3").remarks("    no such layer: conv9");
    said.says("3 trials: 2 complete, 1 failed");
    let trials = room.trials();
    assert_eq!((kind(&trials[1]), trials[1]["failure"]["code"].as_u64()), ("exit_status", Some(3)));
    room.line("show 1").done().says("failed: exit status 3").says("    no such layer: conv9");
}

#[test]
fn a_signal_is_named() {
    let room = Room::new();
    room.script("t.sh", "[ $1 != 0 ] || kill -SEGV $$; [ $1 != 1 ] || kill -KILL $$; echo loss=1\n");
    let said = tune(&room, "3", &[], &["sh", "t.sh", "{trial}", "{x}"]).done();
    said.remarks("trial 0 failed: ended by signal 11").remarks("trial 1 failed: ended by signal 9 (killed;");
    let trials = room.trials();
    assert_eq!([kind(&trials[0]), kind(&trials[1])], ["signal", "signal"]);
}

#[test]
fn a_metric_that_is_no_number_is_a_failure() {
    let room = Room::new();
    room.script("t.sh", "case $1 in 0) echo loss=nan;; 1) echo loss=inf;; *) echo loss=1;; esac\n");
    let words = ["tune", "--minimize", "--metric", r"loss=(\S+)", "--param", "x=0..1", "--trials", "3"];
    let said = room.kilter(words.into_iter().chain(["--", "sh", "t.sh", "{trial}", "{x}"])).done();
    said.remarks("trial 0 failed: `loss` is NaN").remarks("trial 1 failed: `loss` is inf");
    let trials = room.trials();
    assert_eq!([kind(&trials[0]), kind(&trials[1])], ["not_finite", "not_finite"]);
    assert_eq!(room.line("best --json").done().json()["number"], 2);
}

#[test]
fn pythons_nan_in_json_is_a_failure_too() {
    let room = Room::new();
    room.script("t.py", "import json\nprint(json.dumps({'loss': float('nan')}))\n");
    let words = ["tune", "--minimize=loss", "--param", "x=0..1", "--trials", "1", "--", python(), "t.py", "{x}"];
    room.kilter(words).with(1);
    assert_eq!(kind(&room.trials()[0]), "not_finite");
}

#[test]
fn a_trial_that_takes_too_long_is_stopped_with_all_its_processes() {
    let room = Room::new();
    room.script("t.sh", "echo loss=1; [ $1 = 1 ] || { sh inner.sh & sh inner.sh; }\n")
        .script("inner.sh", "while :; do sleep 0.1; done\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    let said = tune(&room, "2", &["--timeout", "1s"], &["sh", &script, "{trial}", "{x}"]).done();
    said.remarks("trial 0 failed: stopped after its time limit of 1 s");
    let trials = room.trials();
    assert_eq!((kind(&trials[0]), trials[0]["failure"]["seconds"].as_f64()), ("timed_out", Some(1.0)));
    assert_eq!(trials[1]["state"], "complete", "a figure before the limit does not make it complete");
    room.wait_until_empty();
}

#[test]
fn a_trial_that_ignores_the_signal_is_killed() {
    let room = Room::new();
    room.script("t.sh", "trap '' TERM INT HUP; while :; do sleep 0.1; done\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    tune(&room, "1", &["--timeout", "0.2s"], &["sh", &script, "{x}"]).with(1);
    assert_eq!(kind(&room.trials()[0]), "timed_out");
    room.wait_until_empty();
}

#[test]
fn a_command_that_vanishes_is_named() {
    let room = Room::new();
    room.script("t.sh", "#!/bin/sh\necho loss=1; rm \"$0\"\n");
    tune(&room, "3", &[], &["./t.sh", "{x}"]).done().remarks("trial 1 failed: could not start `./t.sh`: ");
    let trials = room.trials();
    assert_eq!(states(&trials).into_iter().collect::<Vec<_>>(), [("complete".to_owned(), 1), ("failed".to_owned(), 2)]);
    assert_eq!(kind(&trials[2]), "not_started");
}

#[test]
fn a_folder_that_vanishes_is_named() {
    let room = Room::new();
    room.script("kilter-tune.sh", "echo loss=1\n");
    std::fs::create_dir(room.at("work")).unwrap();
    let command = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "1"];
    let command = command.into_iter().chain(["--storage", "sqlite:../kilter.db", "--", "echo", "loss={x}"]);
    let mut kilter = assert_cmd::Command::new(crate::room::KILTER);
    kilter.current_dir(room.at("work")).args(command).assert().success();
    std::fs::remove_dir_all(room.at("work")).unwrap();
    room.line("resume --trials 2").done();
    let trials = room.trials();
    let message = message(&trials[1]);
    assert!(message.contains("work"), "the folder is what is missing, not the program: {message}");
}

#[test]
fn all_failed_is_a_failure_and_says_where_to_look() {
    let room = Room::new();
    room.script("t.sh", "echo broken >&2; exit 1\n");
    let said = tune(&room, "4", &[], &["sh", "t.sh", "{x}"]).with(1);
    assert_eq!(said.err.matches("failed: exit status 1").count(), 2, "told twice, then counted\n{}", said.err);
    said.says("no trial of t completed (4 trials: 4 failed)").says("kilter logs 3 --study t");
    room.line("best").with(1).remarks("no trial of t is complete yet");
    room.line("show").done().says("failed: exit status 1");
    let said = tune(&room, "4", &["--json"], &["sh", "t.sh", "{x}"]).with(1).json();
    assert_eq!((said["best"].is_null(), said["counts"]["failed"].as_u64()), (true, Some(4)));
    let said = tune(&room, "4", &["--verbose"], &["sh", "t.sh", "{x}"]).with(1);
    assert_eq!(said.err.matches("failed: exit status 1").count(), 4, "{}", said.err);
}

#[test]
fn a_killed_supervisor_is_a_named_failure_and_leaves_nothing_behind() {
    let room = Room::new();
    // The first trial kills its supervisor, from a grandchild that has left group and session.
    room.script(
        "t.py",
        "import os, signal, sys, time\n\
         if sys.argv[1] == '0':\n    \
             supervisor = os.getppid()\n    \
             if os.fork() == 0:\n        os.setsid()\n        \
                 if os.fork() == 0:\n            os.kill(supervisor, signal.SIGKILL)\n            \
                     while True: time.sleep(0.1)\n        \
                 os._exit(0)\n    \
             while True: time.sleep(0.1)\n\
         print('loss=1')\n",
    );
    let script = room.at("t.py").to_string_lossy().into_owned();
    let said = tune(&room, "2", &[], &[python(), &script, "{trial}", "{x}"]).done();
    said.remarks("trial 0 failed: ");
    let trials = room.trials();
    assert_eq!([kind(&trials[0]), trials[1]["state"].as_str().unwrap()], ["signal", "complete"]);
    room.wait_until_empty();
}
