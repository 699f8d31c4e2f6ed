//! What becomes of a configuration that was tried before.

use std::collections::BTreeSet;

use crate::room::{LOSS, Room};

fn room() -> Room {
    let room = Room::new();
    room.script("train.sh", "#!/bin/sh\necho run >> runs\necho loss=$1\n");
    room
}

fn tune(more: &[&str]) -> Vec<String> {
    let mut words = vec!["tune", "--param", "a=1|2|3", "--param", "b=x|y", "--metric", LOSS, "--minimize"];
    words.extend_from_slice(more);
    words.extend(["--", "./train.sh", "{a}", "{b}"]);
    words.into_iter().map(str::to_owned).collect()
}

fn runs(room: &Room) -> usize {
    room.read("runs").lines().count()
}

#[test]
fn a_finite_space_is_never_asked_twice_and_ends_when_it_is_used_up() {
    for sampler in ["random", "tpe:startup=2"] {
        // Some samplers keep account themselves and say so first: in the same words.
        let why = "all 6 configurations of the space were asked";
        for workers in ["1", "3"] {
            let room = room();
            let said = room.kilter(tune(&["--sampler", sampler, "--workers", workers])).done();
            said.remarks(&format!("the study has ended: {why}"));
            let asked: BTreeSet<String> = room.trials().iter().map(|trial| trial["params"].to_string()).collect();
            assert_eq!((asked.len(), room.trials().len(), runs(&room)), (6, 6, 6), "{sampler}, {workers} workers");
            // More cannot be had.
            room.line("resume --trials 500").done().remarks(why);
            assert_eq!(runs(&room), 6);
        }
    }
}

#[test]
fn conditions_and_fixed_parameters_do_not_confuse_the_count() {
    let room = room();
    let words = ["tune", "--param", "a=1|2", "--set", "b=y", "--metric", LOSS, "--minimize", "--json", "--"];
    let said = room.kilter(words.into_iter().chain(["./train.sh", "{a}", "{b}"])).done();
    assert_eq!(said.json()["why"], "all 2 configurations of the space were asked");
    assert_eq!(runs(&room), 2);
}

#[test]
fn a_value_is_reused_without_a_run_and_says_whose_it_is() {
    let room = room();
    room.kilter(tune(&["--duplicates", "reuse", "--sampler", "random", "--trials", "9"])).done();
    let trials = room.trials();
    let copies: Vec<_> = trials.iter().filter(|trial| !trial["copy_of"].is_null()).collect();
    assert!(!copies.is_empty() && runs(&room) == trials.len() - copies.len(), "{trials:?}");
    for copy in &copies {
        let original = &trials[copy["copy_of"].as_u64().unwrap() as usize];
        assert_eq!(
            (&copy["params"], &copy["values"], &copy["state"]),
            (&original["params"], &original["values"], &original["state"]),
        );
        assert!(original["copy_of"].is_null(), "of a copy, the original");
        let (copy, original) = (copy["number"].as_u64().unwrap(), original["number"].as_u64().unwrap());
        room.line(&format!("show {copy}")).done().says(&format!("complete (copy of {original})"));
    }
    room.line("trials").done().says("complete (copy of");
    // When everything has a value there is nothing more to learn.
    room.line("resume --trials 100000").done().remarks("all 6 configurations of the space have a value");
    assert_eq!(runs(&room), 6);
}

#[test]
fn what_is_allowed_runs_again() {
    // Six configurations: also those that would pass over what was tried run more often.
    for sampler in ["random", "auto", "tpe:startup=2"] {
        let room = room();
        room.kilter(tune(&["--duplicates", "allow", "--sampler", sampler, "--trials", "20"])).done();
        assert_eq!((room.trials().len(), runs(&room)), (20, 20), "{sampler}");
    }
}

#[test]
fn a_resumed_study_avoids_what_was_asked_before() {
    let (whole, halves) = (room(), room());
    whole.kilter(tune(&["--sampler", "random", "--trials", "6"])).done();
    halves.kilter(tune(&["--sampler", "random", "--trials", "3"])).done();
    halves.line("resume --trials 6").done();
    assert_eq!(crate::room::essence(&whole.trials()), crate::room::essence(&halves.trials()));
}

#[test]
fn a_policy_that_does_not_exist_is_refused() {
    let room = room();
    let said = room.kilter(tune(&["--duplicates", "avoidd"])).with(2);
    said.remarks("invalid value 'avoidd' for '--duplicates <POLICY>'").remarks("avoid, reuse, allow");
    assert!(!room.exists("kilter.db"));
}
