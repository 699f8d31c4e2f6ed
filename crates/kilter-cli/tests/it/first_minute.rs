//! The first thing that anybody types.

use serde_json::Value as Json;

use crate::room::{Room, essence, numberless, numbers, states};
use crate::schemas::holds;

/// A tree is fitted in milliseconds; forests take their time.
const QUICK: [&str; 4] = ["tune", "breast-cancer", "--set", "family=decision_tree"];

fn quick(room: &Room, more: &str) -> crate::room::Said {
    room.kilter(QUICK.into_iter().chain(more.split_whitespace()))
}

#[test]
fn a_recipe_is_tuned_and_summed_up() {
    let room = Room::new();
    let said = room.line("tune breast-cancer --trials 12").done();
    assert_eq!(room.files(), ["kilter.db", "kilter.trials"]);
    // The best, the five best, the course, what tuning was worth, what to type next.
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("best log_loss 0.") && lines[0].ends_with("(12 trials: 12 complete)"), "{}", lines[0]);
    let table = lines.iter().skip(2).take_while(|line| !line.is_empty() && !line.contains("all of them with"));
    assert_eq!(table.count(), 6, "a head and five rows\n{}", said.out);
    let picture = lines.iter().skip_while(|line| !line.contains("best so far")).skip(1);
    let picture: Vec<_> = picture.take_while(|line| line.contains(['┤', '│'])).collect();
    assert_eq!(picture.len(), 8, "{}", said.out);
    for part in ["validation", "honest test"] {
        let line = lines.iter().find(|line| line.trim_start().starts_with(part)).unwrap();
        let told: String = line.split('(').map(|word| word.split_once(')').map_or(word, |(_, rest)| rest)).collect();
        let scores = told.split_whitespace().filter(|word| word.parse::<f64>().is_ok());
        assert_eq!(scores.count(), 2, "the defaults' and the tuned: {line}");
    }
    let best = room.line("best --json").done().json()["number"].clone();
    let said = said.says(&format!("kilter show {best} --study breast-cancer")).says("resume breast-cancer --trials 24");
    assert!(said.err.starts_with("study breast-cancer: smallest log_loss of 30 hyperparameters, 12 trials"));
    assert_eq!(said.err.matches('\x1b').count() + said.out.matches('\x1b').count(), 0, "a pipe gets no colours");
    assert!(!said.err.contains('\r') && said.err.contains("1/12 trials"), "a pipe gets plain lines\n{}", said.err);
    // What is proposed can be typed.
    room.line(&format!("show {best} --study breast-cancer")).done();
    room.line("resume breast-cancer --trials 13 --quiet").done();
    assert_eq!(room.trials().len(), 13);
}

#[test]
fn the_report_keeps_its_shape() {
    let room = Room::new();
    let said = quick(&room, "--trials 6 --set tree.criterion=gini --sampler random").done();
    insta::assert_snapshot!(numberless(&said.out));
}

#[test]
fn the_first_trial_is_that_of_the_defaults() {
    let room = Room::new();
    let said = quick(&room, "--trials 2 --json").done().json();
    assert_eq!(said["default"]["number"], 0);
    assert_eq!(said["default"]["params"]["tree.max_depth"], 20);
    assert_eq!(said["default"]["params"]["folds"], 5);
}

#[test]
fn json_is_one_document_and_progress_goes_elsewhere() {
    let room = Room::new();
    let said = quick(&room, "--trials 4 --json").done();
    let document = said.json();
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    for key in ["best", "counts", "default", "holdout", "interrupted", "study"] {
        assert!(keys.contains(&&key.to_owned()), "{keys:?}");
    }
    assert_eq!(document["counts"]["complete"], 4);
    assert_eq!(document["interrupted"], false);
    assert!(document["holdout"]["tuned"]["log_loss"].is_number() && document["holdout"]["default"]["auc"].is_number());
    let best = &document["best"];
    assert!(best["values"][0].is_number() && best["wall_seconds"].is_number() && best["params"].is_object());
    said.remarks("study breast-cancer").remarks("4 trials");
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let room = Room::new();
    let said = quick(&room, "--trials 3 --quiet").done();
    assert_eq!(said.err, "");
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    assert!(said.out.contains("tree.max_depth"), "{}", said.out);
    let said = quick(&room, "--trials 3 --quiet --json").done();
    assert_eq!((said.err.as_str(), said.json()["counts"]["complete"].as_u64()), ("", Some(3)));
}

#[test]
fn the_same_seed_gives_the_same_trials_and_another_does_not() {
    let room = Room::new();
    for (study, seed) in [("a", "7"), ("b", "7"), ("c", "8")] {
        quick(&room, &format!("--trials 8 --sampler tpe:startup=3 --quiet --study {study} --seed {seed}")).done();
    }
    let of = |study: &str| essence(&room.trials_of(&[study]));
    assert_eq!(of("a"), of("b"));
    assert_ne!(of("a"), of("c"));
    assert_eq!(of("a")[0], of("c")[0], "the defaults are nobody's chance");
}

#[test]
fn what_is_set_is_fixed_and_what_is_declared_is_searched() {
    let room = Room::new();
    quick(&room, "--trials 6 --param tree.max_depth=int:1..3 --set folds=3 --quiet").done();
    for trial in room.trials() {
        let params = &trial["params"];
        assert_eq!((params["family"].as_str(), params["folds"].as_u64()), (Some("decision_tree"), Some(3)));
        assert!((1..=3).contains(&params["tree.max_depth"].as_u64().unwrap()), "{params}");
        assert!(params.get("forest.trees").is_none(), "what the family has no use for is not asked: {params}");
    }
}

#[test]
fn conditions_decide_what_is_asked() {
    let room = Room::new();
    let words = "tune breast-cancer --trials 8 --sampler random --quiet --param forest.trees=int:2..4 --set folds=2";
    room.line(words).done();
    let trials = room.trials();
    let families: std::collections::BTreeSet<&str> =
        trials.iter().map(|trial| trial["params"]["family"].as_str().unwrap()).collect();
    assert!(families.len() > 1, "{families:?}");
    for trial in &trials {
        let has = |start: &str| trial["params"].as_object().unwrap().keys().any(|name| name.starts_with(start));
        let family = trial["params"]["family"].as_str().unwrap();
        assert_eq!(has("logistic."), family == "logistic_regression", "{trial}");
        assert_eq!(has("tree."), family == "decision_tree", "{trial}");
        assert_eq!(has("forest."), family == "random_forest", "{trial}");
    }
}

#[test]
fn samplers_and_pruners_go_by_name() {
    let room = Room::new();
    for (study, how) in [
        ("random", "--sampler random"),
        ("hyperopt", "--sampler tpe:flavour=hyperopt,startup=3"),
        ("median", "--pruner median:n_startup_trials=1"),
    ] {
        quick(&room, &format!("--trials 6 --quiet --study {study} {how}")).done();
        let trials = room.trials();
        let states = states(&trials);
        assert_eq!(numbers(&trials), (0..6).collect::<Vec<_>>());
        assert!(states.keys().all(|state| state == "complete" || state == "pruned"), "{study}: {states:?}");
        assert!(states["complete"] >= 2, "{study}: {states:?}");
    }
    let values = |study: &str| essence(&room.trials_of(&[study]));
    assert_ne!(values("random")[4..], values("hyperopt")[4..]);
}

#[test]
fn two_workers_do_the_same_number_of_trials() {
    let room = Room::new();
    let said = quick(&room, "--trials 7 --workers 2 --json").done().json();
    assert_eq!(said["counts"]["complete"], 7);
    assert_eq!(numbers(&room.trials()), (0..7).collect::<Vec<_>>());
    // Without adaption there is nothing to wait for: any number of workers finds the same.
    quick(&room, "--trials 6 --sampler random --quiet --study one").done();
    quick(&room, "--trials 6 --sampler random --quiet --study two --workers 2").done();
    assert_eq!(essence(&room.trials_of(&["one"])), essence(&room.trials_of(&["two"])));
}

#[test]
fn another_metric_is_maximised() {
    let room = Room::new();
    let said = quick(&room, "--trials 5 --maximize=auc").done().says("best auc").remarks("largest auc");
    let auc = |trial: &Json| trial["metrics"]["auc"].as_f64().unwrap();
    let trials = room.trials();
    let best = room.line("best --json").done().json();
    assert!(trials.iter().all(|trial| auc(trial) <= auc(&best)));
    assert_eq!(best["values"][0].as_f64(), Some(auc(&best)));
    let course = said.out.lines().find(|line| line.contains("best so far")).unwrap().to_owned();
    assert!(!course.contains('█') || course.contains("█  0"), "it rises: {course}");
}

#[test]
fn studies_of_one_recipe_get_names_of_their_own() {
    let room = Room::new();
    for _ in 0..2 {
        quick(&room, "--trials 1 --quiet").done();
    }
    quick(&room, "--trials 1 --quiet --study").with(2);
    room.kilter(QUICK.into_iter().chain(["--trials", "1", "--quiet", "--study", "a name / with ünïcode"])).done();
    let studies = room.line("studies --json").done().json();
    let names: Vec<&str> =
        studies["studies"].as_array().unwrap().iter().map(|study| study["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["breast-cancer", "breast-cancer-2", "a name / with ünïcode"]);
    room.kilter(["show", "0", "--study", "a name / with ünïcode"]).done();
}

#[test]
fn claims_are_listed_and_reproduced() {
    let room = Room::new();
    let said = room.line("reproduce").done();
    insta::assert_snapshot!("reproductions", said.out);
    assert!(room.files().is_empty());
    holds("reproductions", &room.line("reproduce --json").done().json());
    let said = room.line("reproduce breast-cancer --quick --json").done();
    holds("reproduce", &said.json());
    let claims = said.json()["claims"].clone();
    let claims = claims.as_array().unwrap();
    assert_eq!(claims.len(), 10);
    let mut shown = 0;
    for claim in claims {
        let finding = claim["finding"].as_str().unwrap();
        if finding == "not_shown_here" {
            assert_eq!(claim["trouble"], "it needs --full", "{claim}");
            continue;
        }
        shown += 1;
        assert!(["holds", "fails", "inconclusive"].contains(&finding), "{claim}");
        assert!(claim["seeds"].as_u64().unwrap() > 1 && claim["ours"]["mean"].is_number(), "{claim}");
        assert!(!(claim["gate"].as_bool().unwrap() && finding == "fails"), "{claim}");
    }
    // The tree's, that of logistic regression, of the neighbours and of the small forest.
    assert_eq!(shown, 4);
}

#[test]
fn studies_begun_at_the_same_moment_each_get_a_name() {
    let room = Room::new();
    let words = || QUICK.into_iter().chain(["--trials", "1", "--quiet"]);
    let tuners: Vec<_> = (0..6).map(|_| room.begin(words())).collect();
    for tuner in tuners {
        assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
    }
    assert_eq!(room.line("studies --json").done().json()["studies"].as_array().unwrap().len(), 6);
}

#[test]
fn a_reproduction_is_not_resumed_but_reproduced() {
    let room = Room::new();
    let tuner = room.begin(["reproduce", "breast-cancer", "--workers", "1"]);
    crate::room::wait_until("the study", || room.exists("kilter.trials/reproduce-breast-cancer-quick/0"));
    tuner.kill();
    room.line("resume").with(2).remarks("`kilter reproduce METHOD`");
}
