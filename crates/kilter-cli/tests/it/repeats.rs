//! One configuration several times: the mean, the race, the verdict at the end.

use serde_json::Value as Json;

use crate::room::{LOSS, Room, states, wait_until};

/// A loss that depends on the configuration, and on the repeat as folds do: on one fold everything is worse.
const NOISY: &str = "#!/bin/sh
echo \"$1 $2 $KILTER_REPEAT $KILTER_SEED\" >> runs
case $2 in 0) fold=1;; 1) fold=5;; *) fold=3;; esac
echo loss=$(($1 * 10 + fold))
";

fn room() -> Room {
    let room = Room::new();
    room.script("train.sh", NOISY);
    room
}

fn tune<'a>(more: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["tune", "--sampler", "random", "--metric", LOSS, "--minimize"];
    words.extend_from_slice(more);
    words.push("--");
    words.extend_from_slice(command);
    words
}

fn runs(room: &Room) -> Vec<Vec<String>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    room.read("runs").lines().map(words).collect()
}

#[test]
fn the_value_is_the_mean_and_losers_are_stopped_before_their_last_repeat() {
    let room = room();
    let said =
        room.kilter(tune(&["--repeats", "3", "--param", "a=1|2|3|4|5|6"], &["./train.sh", "{a}", "{repeat}"])).done();
    let trials = room.trials();
    assert_eq!(trials.len(), 6);
    let mut best_so_far = f64::INFINITY;
    for trial in &trials {
        let a = trial["params"]["a"].as_f64().unwrap();
        let values = trial["repeats"]["loss"]["values"].as_array().unwrap();
        if a < best_so_far {
            // Mean of a·10 + 1, 5, 3.
            assert_eq!(
                (trial["state"].as_str(), trial["values"][0].as_f64()),
                (Some("complete"), Some(a * 10.0 + 3.0))
            );
            assert_eq!(values.len(), 3);
            assert!(trial["repeats"]["loss"]["low"].as_f64().unwrap() < a * 10.0 + 3.0);
            best_so_far = a;
        } else {
            // Worse by the same on both folds: the race is lost after two.
            assert_eq!((trial["state"].as_str(), values.len()), (Some("pruned"), 2), "{trial}");
            assert!(trial["stopped"].as_str().unwrap().starts_with("race: loss differs from the best, trial "));
        }
    }
    let done: usize = trials.iter().map(|trial| trial["repeats"]["loss"]["values"].as_array().unwrap().len()).sum();
    assert_eq!(runs(&room).len(), done, "no run but those told");
    said.says("mean of 3 repeats, 95 % interval").says("best loss 13 ±");
    room.line("trials").done().says("13 ± 5.0");
}

#[test]
fn every_configuration_meets_the_same_seeds_and_each_repeat_another() {
    let room = room();
    room.kilter(tune(
        &["--repeats", "2", "--trials", "3", "--param", "a=int:1..9"],
        &["./train.sh", "{a}", "{repeat}"],
    ))
    .done();
    let seed = |repeat: &str| -> Vec<String> {
        let mut seeds: Vec<String> = runs(&room)
            .into_iter()
            .filter(|run| run[2] == repeat && run[1] == repeat)
            .map(|run| run[3].clone())
            .collect();
        seeds.dedup();
        seeds
    };
    assert_eq!((seed("0").len(), seed("1").len()), (1, 1), "{:?}", runs(&room));
    assert_ne!(seed("0"), seed("1"));
}

#[test]
fn the_end_says_whether_the_best_can_be_told_from_the_runner_up() {
    let room = room();
    // Differences of 1 and 9, and of 5 and 5: the interval of the first holds zero.
    room.script(
        "unsure.sh",
        "#!/bin/sh\ncase $1$2 in a0) l=10;; a1) l=10;; b0) l=11;; b1) l=19;; esac\necho loss=$l\n",
    );
    let said = room.kilter(tune(&["--repeats", "2", "--param", "c=a|b"], &["./unsure.sh", "{c}", "{repeat}"])).done();
    said.says("not distinguishable from the runner-up, trial ");
    let best = room.line("best --json").done().json();
    assert_eq!((&best["params"]["c"], &best["runner_up"]["distinguishable"]), (&Json::from("a"), &Json::from(false)));
    assert_eq!(best["runner_up"]["difference"].as_f64(), Some(-5.0));
    room.line("best").done().says("loss 10 ± 0").says("not distinguishable");
    // Each of two that race at the same time may finish: then their difference is told, and it is clear.
    room.script("same.sh", "#!/bin/sh\ncase $1 in a) l=1;; b) l=2;; esac\necho loss=$l\n");
    room.kilter(tune(&["--repeats", "2", "--param", "c=b|a", "--study", "sure", "--seed", "1"], &["./same.sh", "{c}"]))
        .done();
    let best = room.line("best sure --json").done().json();
    assert_eq!(best["params"]["c"], "a");
    if best["runner_up"].is_object() {
        assert_eq!(best["runner_up"]["distinguishable"], true);
        room.line("best sure").done().says("does it use {seed}, {repeat} or KILTER_SEED?");
    }
}

#[test]
fn a_killed_tuner_loses_only_the_repeat_that_ran() {
    let room = room();
    let slow = "#!/bin/sh
if [ $2 = 1 ] && [ ! -e go ]; then touch waiting; sleep 600; fi
echo $2 >> runs
echo loss=$2
";
    room.script("slow.sh", slow);
    let command = ["./slow.sh", "{a}", "{repeat}"];
    let tuner = room.begin(tune(&["--repeats", "3", "--trials", "1", "--param", "a=0.0..1.0"], &command));
    wait_until("the second repeat", || room.exists("waiting"));
    tuner.kill();
    room.wait_until_empty();
    std::fs::write(room.at("go"), "").unwrap();
    room.line("resume --workers 2").done();
    assert_eq!(room.read("runs"), "0\n1\n2\n", "the first repeat is not run again");
    let trial = &room.trials()[0];
    assert_eq!((trial["values"][0].as_f64(), trial["attempt"].as_u64()), (Some(1.0), Some(2)));
    assert_eq!(trial["repeats"]["loss"]["values"], serde_json::json!([0.0, 1.0, 2.0]));
}

#[test]
fn several_workers_and_recipes_repeat_too() {
    let room = room();
    let words = ["--repeats", "3", "--workers", "3", "--trials", "6", "--param", "a=int:1..9"];
    room.kilter(tune(&words, &["./train.sh", "{a}", "{repeat}"])).done();
    assert_eq!(room.trials().len(), 6);
    room.line("tune breast-cancer --set family=decision_tree --trials 3 --repeats 2 --study recipe").done();
    let trials = room.trials_of(&["--study", "recipe"]);
    assert_eq!(states(&trials).values().sum::<usize>(), 3);
    assert_eq!(trials[0]["repeats"]["log_loss"]["values"].as_array().unwrap().len(), 2);
}

#[test]
fn a_repeat_that_fails_fails_the_trial() {
    let room = room();
    room.script("fails.sh", "#!/bin/sh\n[ $1 = 1 ] && exit 3\necho loss=1\n");
    room.kilter(tune(
        &["--repeats", "2", "--trials", "2", "--param", "a=0.0..1.0"],
        &["./fails.sh", "{repeat}", "{a}"],
    ))
    .with(1);
    let trial = &room.trials()[0];
    assert_eq!((trial["state"].as_str(), trial["failure"]["code"].as_i64()), (Some("failed"), Some(3)));
    assert_eq!(trial["repeats"]["loss"]["values"].as_array().unwrap().len(), 1);
}

#[test]
fn a_parameter_named_seed_comes_before_the_trials_seed() {
    let room = room();
    room.script("seed.sh", "#!/bin/sh\necho loss=$1\n");
    room.kilter(tune(&["--trials", "2", "--param", "seed=int:1..3"], &["./seed.sh", "{seed}"])).done();
    for trial in room.trials() {
        assert_eq!(trial["values"][0].as_f64(), trial["params"]["seed"].as_f64());
    }
}

#[test]
fn repeats_that_make_no_sense_are_refused() {
    let room = room();
    let call = |repeats: &str| {
        room.kilter(tune(&["--repeats", repeats, "--param", "a=0.0..1.0"], &["./train.sh", "{a}"])).with(2)
    };
    call("0").remarks("--repeats 0 would run nothing; ask for at least 1");
    call("-1").remarks("invalid value '-1' for '--repeats <K>'");
    call("three").remarks("invalid value 'three' for '--repeats <K>'");
    let both = ["--repeats", "3", "--in-order", "--workers", "2", "--param", "a=0.0..1.0"];
    room.kilter(tune(&both, &["./train.sh", "{a}"])).with(2).remarks("several workers cannot be repeatable");
    assert!(!room.exists("kilter.db"));
}
