//! A study in one file, and a space in a file of its own.

use std::fs;

use serde_json::Value as Json;

use crate::room::{Room, Said};

const STUDY: &str = r#"command = "sh train.sh {rate} {optimizer} {every}"
metric = "loss=([0-9.eE+-]+)"
minimize = ["value"]
sampler = "random"
trials = 8
[parameters.optimizer]
choice = ["adam", "soap", { null = true }]
[parameters.every]      # asked after what its condition speaks of, wherever it stands
int = [1, 100]
log = true
when = "optimizer == 'soap'"
[parameters.rate]
float = [1e-5, 1e-1]
log = true
prior = { center = 3e-4, spread = 3.0 }
[[constraints]]
require = "rate < 0.01 or optimizer != 'adam'"
"#;

fn room(name: &str, text: &str) -> Room {
    let room = Room::new();
    room.script("train.sh", "#!/bin/sh\necho loss=\"$1\"\n");
    fs::write(room.at(name), text).unwrap();
    room
}

fn rates(room: &Room) -> Vec<f64> {
    room.trials().iter().map(|trial| trial["params"]["rate"].as_f64().unwrap()).collect()
}

#[test]
fn tune_beside_a_study_file_needs_no_more_words() {
    let room = room("kilter.toml", STUDY);
    room.line("tune").done();
    let trials = room.trials();
    assert_eq!(trials.len(), 8);
    for trial in &trials {
        let (params, value) = (&trial["params"], &trial["values"][0]);
        assert_eq!(params["rate"], *value, "the command saw its parameters");
        assert_eq!(params["optimizer"] == "soap", params.get("every").is_some(), "{trial}");
        assert!(params["rate"].as_f64().unwrap() < 0.01 || params["optimizer"] != "adam", "{trial}");
    }
}

#[test]
fn the_call_outdoes_the_file() {
    let room = room("kilter.toml", STUDY);
    room.line("tune --trials 3 --param rate=0.5..1 --set optimizer=soap --maximize --study mine").done();
    assert_eq!(rates(&room).len(), 3);
    assert!(rates(&room).iter().all(|rate| *rate >= 0.5));
    let study = room.line("studies --json").done().json()["studies"][0].clone();
    assert_eq!(
        (study["name"].as_str(), study["goals"][0]["better"].as_str()),
        (Some("mine"), Some("higher")),
        "{study}"
    );
    assert!(room.trials().iter().all(|trial| trial["params"]["optimizer"] == "soap"));
    // A recipe or a command that is named does not look for the file.
    fs::write(room.at("kilter.toml"), "no study").unwrap();
    room.kilter([
        "tune",
        "--trials",
        "1",
        "--minimize=loss",
        "--metric",
        "loss=(.*)",
        "--param",
        "rate=0..1",
        "--",
        "sh",
        "train.sh",
        "{rate}",
    ])
    .done();
}

#[test]
fn a_study_file_may_lie_elsewhere_and_be_json() {
    let text = r#"{"command": ["sh", "train.sh", "{rate}"], "metric": ["loss=([0-9.eE+-]+)"], "minimize": true, "trials": 2,
        "seed": 4, "study": "in json", "set": {"kind": "1"},
        "parameters": {"rate": "0..1", "kind": {"choice": ["1", 1]}}}"#;
    let room = room("study.json", text);
    // The command does not use `kind`.
    let said = room.line("tune --file study.json").with(2);
    assert!(said.err.contains("`kind` is never used") && said.err.contains("study.json:1:13"), "{}", said.err);
    fs::write(room.at("study.json"), text.replace("{rate}", "{rate}\", \"{kind}")).unwrap();
    room.line("tune --file study.json").done();
    let trials = room.trials_of(&["--study", "in json"]);
    assert_eq!(trials[0]["params"]["kind"], Json::from("1"), "a text stays one");
    assert_eq!(trials.len(), 2);
}

#[test]
fn a_space_has_a_file_of_its_own() {
    let room = room("space.toml", "[parameters]\nrate = \"0.25..0.5\"\n");
    let words = "tune --space space.toml --trials 2 --metric loss=(.*) --minimize -- sh train.sh {rate}";
    room.line(words).done();
    assert!(rates(&room).iter().all(|rate| (0.25..0.5).contains(rate)));
    // A study's file holds one too.
    fs::write(room.at("study.toml"), STUDY).unwrap();
    room.line(
        "tune --space study.toml --trials 1 --metric loss=(.*) --minimize -- sh train.sh {rate} {every} {optimizer}",
    )
    .done();
}

#[test]
fn defaults_of_a_declared_space_come_first() {
    let text = STUDY
        .replace("log = true\nprior", "log = true\ndefault = 1e-3\nprior")
        .replace("]\n[parameters.every]", "]\ndefault = \"adam\"\n[parameters.every]");
    let room = room("kilter.toml", &text);
    room.line("tune --trials 2").done();
    assert_eq!(rates(&room)[0], 1e-3);
}

#[test]
fn a_file_narrows_what_a_recipe_searches() {
    let text = "recipe = \"breast-cancer\"\ntrials = 2\nsampler = \"random\"\n[set]\nfamily = \"decision_tree\"\nfolds = 2\n\
                [parameters.tree.max_depth]\nint = [1, 2]\n[[constraints]]\nrequire = \"tree.min_samples_leaf >= 2\"\n";
    let room = room("kilter.toml", text);
    room.line("tune").done();
    for trial in &room.trials()[1..] {
        let params = &trial["params"];
        assert!(params["tree.max_depth"].as_i64().unwrap() <= 2, "{params}");
        assert!(params["tree.min_samples_leaf"].as_i64().unwrap() >= 2, "{params}");
        assert_eq!((params["family"].as_str(), params["folds"].as_i64()), (Some("decision_tree"), Some(2)), "{params}");
    }
}

/// `kilter tune` beside a file made from [`STUDY`] by putting `to` for `from`.
fn refused(name: &str, from: &str, to: &str) {
    assert!(STUDY.contains(from), "{from}");
    let room = room("kilter.toml", &STUDY.replacen(from, to, 1));
    let said: Said = room.line("tune").with(2);
    assert_eq!(said.out, "");
    assert_eq!(room.files(), ["kilter.toml", "train.sh"], "a refused call leaves nothing behind");
    insta::assert_snapshot!(name, said.err, to);
}

macro_rules! refused {
    ($($name:ident: $from:literal => $to:expr,)*) => { $(
        #[test]
        fn $name() {
            refused(stringify!($name), $from, $to);
        }
    )* };
}

refused! {
    a_key_that_is_misspelt: "trials = 8" => "trails = 8",
    a_number_in_words: "trials = 8" => "trials = \"many\"",
    a_list_of_trials: "trials = 8" => "trials = [8, 9]",
    nothing_to_run: "trials = 8" => "trials = 0",
    a_sampler_that_is_misspelt: "\"random\"" => "\"randm\"",
    a_pattern_without_group: "([0-9.eE+-]+)" => "[0-9]+",
    a_direction_of_another_metric: "[\"value\"]" => "[\"los\"]",
    a_command_that_is_not_there: "\"sh train.sh {rate} {optimizer} {every}\"" => "[\"./trian.sh\", \"{config}\"]",
    a_placeholder_that_is_misspelt: "{rate}" => "{rat}",
    a_parameter_beside_the_others: "[parameters.rate]" => "[rate]",
    two_things_at_once: "choice = [\"adam\", \"soap\", { null = true }]" => "choices = [\"adam\"]\n[parameters.x]\nint = [1.5, 2]",
    no_toml: "[1e-5, 1e-1]" => "[1e-5, 1e-1",
    a_condition_about_nobody: "'soap'\"" => "soap\"",
    a_contradiction: "rate < 0.01 or optimizer != 'adam'" => "rate > 0.2",
    a_setting_that_is_no_table: "trials = 8" => "set = \"optimizer=adam\"",
}

#[test]
fn a_file_that_is_not_there_or_no_file() {
    let room = room("kilter.toml", STUDY);
    room.line("tune --file kiltr.toml").with(2).remarks("did you mean kilter.toml?");
    room.line("tune --file .").with(2).remarks("name a file in it, such as ./kilter.toml");
    room.line("tune --space nowhere/at.all").with(2).remarks("cannot read nowhere/at.all");
    assert_eq!(room.files(), ["kilter.toml", "train.sh"]);
}
