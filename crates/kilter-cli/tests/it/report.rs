//! `kilter report`, inside a trial and outside.

use crate::room::{KILTER, LOSS, Room};

#[test]
fn outside_a_trial_is_a_wrong_call() {
    let room = Room::new();
    let said = room.line("report loss=0.5").with(2);
    insta::assert_snapshot!("outside_a_trial", said.err);
    assert!(room.files().is_empty());
}

#[test]
fn figures_that_are_none_are_refused() {
    let room = Room::new();
    for line in ["report loss", "report =3", "report loss=low", "report --step -1 loss=3", "report"] {
        let said = room.line(line).with(2);
        assert!(!said.err.is_empty());
    }
    let said = room.line("report loss=low").with(2);
    insta::assert_snapshot!("no_figure", said.err);
}

#[test]
fn a_tuner_that_is_gone_is_a_failure() {
    let room = Room::new();
    let mut command = assert_cmd::Command::new(KILTER);
    let output = command.args(["report", "loss=1"]).env("KILTER_SOCKET", room.at("gone")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the tuner does not answer"));
}

#[test]
fn inside_a_trial_it_answers_in_words_and_in_json() {
    let room = Room::new();
    // Steps that are not given are counted; figures may be negative, and none at all.
    room.script(
        "t.sh",
        &format!(
            "k='{KILTER}'\n$k report loss=3 up=-1e-3\n$k report loss=2 --json\n$k report loss=1 --quiet\n\
             $k report loss=bad; echo code $?\n"
        ),
    );
    let words = ["tune", "--minimize=loss", "--param", "x=0..1", "--trials", "1", "--", "sh", "t.sh", "{x}"];
    room.kilter(words).done();
    let said = room.line("logs 0 --json").done().json();
    let out = said["stdout"].as_str().unwrap();
    assert!(out.starts_with("go\n{") && out.ends_with("}\ngo\ncode 2\n"), "{out}");
    assert!(out.contains("\"go\": true"), "{out}");
    let shown = room.line("show 0 --json").done().json();
    let steps: Vec<(u64, f64)> = shown["reports"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|point| point["metric"] == "loss")
        .map(|point| (point["step"].as_u64().unwrap(), point["value"].as_f64().unwrap()))
        .collect();
    assert_eq!(steps, [(0, 3.0), (1, 2.0), (2, 1.0)]);
    assert_eq!(shown["metrics"]["up"], -1e-3);
}

#[test]
fn a_figure_that_is_no_number_makes_the_trial_fail() {
    let room = Room::new();
    room.script("t.sh", &format!("'{KILTER}' report loss=nan\n"));
    let words = ["tune", "--minimize=loss", "--param", "x=0..1", "--trials", "1", "--", "sh", "t.sh", "{x}"];
    room.kilter(words).with(1);
    assert_eq!(room.trials()[0]["failure"]["kind"], "not_finite");
}

#[test]
fn a_script_that_lives_on_after_a_pattern_is_told_to_stop_through_its_answer() {
    // `--metric` and reports may be used together: both count as the metric's figures.
    let room = Room::new();
    room.script("t.sh", &format!("echo loss=5; '{KILTER}' report other=1; echo loss=4\n"));
    let words =
        ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "1", "--", "sh", "t.sh", "{x}"];
    room.kilter(words).done();
    let trial = &room.trials()[0];
    assert_eq!((trial["metrics"]["loss"].as_f64(), trial["metrics"]["other"].as_f64()), (Some(4.0), Some(1.0)));
}
