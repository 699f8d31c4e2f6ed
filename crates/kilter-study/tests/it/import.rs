//! Bringing in what other programs did. The databases were made by Optuna itself: see testdata/optuna/make.py.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kilter_space::{Value, parse_domain};
use kilter_study::import::{Imported, Table, read_optuna, read_table};
use kilter_study::{Asked, Goal, History, Memory, NoPruner, State, Storage, Study, StudySpec};

use crate::given::{Digest, fold};

fn optuna(version: u32) -> Vec<Imported> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/optuna");
    read_optuna(&root.join(format!("optuna-{version}.db"))).unwrap()
}

fn history(study: &Imported) -> History {
    fold(&study.events)
}

#[test]
fn every_distribution_of_optuna_is_a_domain() {
    for version in [2, 5] {
        let studies = optuna(version);
        let names: Vec<&str> = studies.iter().map(|study| study.spec.name.as_str()).collect();
        assert_eq!(names, ["train", "several", "empty"]);
        let outline = &studies[0].spec.outline;
        for (name, domain) in [
            ("optimizer", "adam|sgd|null"),
            ("rate", "log:1e-5..1e-1"),
            ("dropout", "0.0..0.5/0.1"),
            ("layers", "int:1..8"),
            ("width", "int:log:16..256"),
            ("batch", "int:8..64/8"),
            ("shift", "-1.0..1.0"),
            ("nesterov", "true|false"),
            ("momentum", "0.0..0.9"),
        ] {
            assert_eq!(outline.entry(name).unwrap().domain, parse_domain(domain).unwrap(), "{name} in {version}");
        }
        let when = outline.entry("momentum").unwrap().when.as_ref().map(ToString::to_string);
        assert_eq!(when.as_deref(), Some("optimizer == 'sgd'"), "the one choice that decides it");
    }
}

#[test]
fn trials_of_optuna_keep_states_values_reports_and_notes() {
    for version in [2, 5] {
        let studies = optuna(version);
        let history = history(&studies[0]);
        let goal = &studies[0].spec.goals[0];
        assert_eq!(*goal, Goal::minimize("value"));
        let states: Vec<State> = history.rows().map(|row| row.state).collect();
        let mut expected = vec![State::Complete; 12];
        (expected[4], expected[5], expected[6]) = (State::Pruned, State::Failed, State::Failed);
        // The one that ran there is failed here; the one that waited had chosen two of nine only.
        expected.push(State::Failed);
        assert_eq!(states, expected);
        let failure = |number: u64| history.get(number).unwrap().end.as_ref().unwrap().failure.clone().unwrap();
        assert_eq!((failure(6).name(), failure(5).name()), ("not_finite", "refused"));
        assert!(failure(12).to_string().contains("still running in Optuna"));
        let first = history.get(0).unwrap();
        assert_eq!(first.value("value"), Some(1.9694561620201203));
        assert_eq!(first.curve("value").collect::<Vec<_>>()[0], (0, 4.96945616202012));
        assert_eq!(first.curve("value").count(), 3);
        assert_eq!(first.config().get("optimizer"), Some(&Value::from("sgd")));
        assert_eq!(first.config().get("rate"), Some(&Value::Float(0.0001619311091244073)));
        assert_eq!((first.tags["note"].as_str(), first.tags["shape"][1].as_i64()), (Some("trial 0"), Some(26)));
        let seconds = first.end.as_ref().unwrap().usage.wall_seconds;
        assert!(seconds > 0.1 && seconds < 60.0, "{seconds}");
        assert_eq!(history.tags()["team"], "vision");
        assert_eq!(
            studies[0].remarks,
            [
                "`momentum` is asked when optimizer == 'sgd': so it was in all complete trials; conditions are not in the file",
                "1 still ran there when the file was read, and count as failed here",
                "1 that waited with only some of their hyperparameters chosen is left out",
            ]
        );
    }
}

#[test]
fn what_of_optuna_is_guessed_or_left_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optuna.db");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/optuna");
    std::fs::copy(root.join("optuna-5.db"), &file).unwrap();
    let on = rusqlite::Connection::open(&file).unwrap();
    let wider = r#"{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.5, "high": 3.0, "log": false}}"#;
    on.execute("UPDATE trial_params SET distribution_json = ?1 WHERE param_name = 'shift' AND trial_id = 3", [wider])
        .unwrap();
    on.execute("DELETE FROM trial_params WHERE param_name = 'layers' AND trial_id = 2", []).unwrap();
    on.execute("INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (1, 'artifacts:a1', '{}')", [])
        .unwrap();
    drop(on);
    let study = read_optuna(&file).unwrap().remove(0);
    let told = |text: &str| assert!(study.remarks.iter().any(|remark| remark == text), "{:?}", study.remarks);
    told("`shift` was not always asked for the same there; it is searched in -1.0..3.0 here");
    told("`layers` is always asked here, though some complete trials lack it; conditions are not in the file");
    told("1 artifact stays where it is: the file holds their names only");
}

#[test]
fn several_objectives_and_constraints_of_optuna_are_kept() {
    for (version, metrics) in [(2, ["values_0", "values_1"]), (5, ["cost", "gain"])] {
        let several = &optuna(version)[1];
        assert_eq!(several.spec.goals, [Goal::minimize(metrics[0]), Goal::maximize(metrics[1])]);
        let history = history(several);
        assert_eq!(history.count(State::Complete), 8);
        for row in history.rows() {
            let x = row.config().float("x").unwrap();
            assert_eq!(row.is_feasible(), x <= 0.75, "{x}");
            assert_eq!(row.end.as_ref().unwrap().violations, [x - 0.75, -1.0]);
        }
        assert!(!history.front(&several.spec.goals).is_empty());
    }
}

#[test]
fn an_imported_study_goes_on() {
    for study in [optuna(2).remove(0), optuna(5).remove(0)] {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let spec = StudySpec { trials: None, ..study.spec };
        let id = storage.adopt(&spec, study.created_ms, &study.events).unwrap();
        let mut held = Study::hold(storage, id, spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap();
        for number in 13..20 {
            let Asked::Trial(trial) = held.ask().unwrap() else { panic!("it ended") };
            assert_eq!(trial.number(), number);
            let sgd = trial.config().get("optimizer") == Some(&"sgd".into());
            assert_eq!(trial.config().get("momentum").is_some(), sgd);
            let metrics = [("value".to_owned(), 1.0)].into();
            let end = held.spec().judged(trial.config(), metrics, kilter_study::Usage::default());
            held.tell(&trial, &end).unwrap();
        }
        assert_eq!(held.history().count(State::Complete), 10 + 6);
    }
}

#[test]
fn what_is_no_database_of_optuna_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: PathBuf| read_optuna(&path).unwrap_err().to_string();
    assert!(told(folder.path().join("missing.db")).contains("cannot read"));
    let text = folder.path().join("text.db");
    std::fs::write(&text, "number,state\n".repeat(100)).unwrap();
    assert!(told(text).contains("it is no SQLite file"));
    let ours = folder.path().join("ours.db");
    drop(kilter_study::Sqlite::open(&ours).unwrap());
    assert!(told(ours).contains("not one of Optuna's"));
}

fn table(text: &str, params: &[(&str, &str)], goals: &[&str]) -> Result<Imported, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    let params = params.iter().map(|(name, domain)| ((*name).to_owned(), parse_domain(domain).unwrap())).collect();
    let goals = goals.iter().map(|goal| Goal::minimize(goal)).collect();
    read_table(&path, Table { name: "t".to_owned(), goals, params, now_ms: 5 }).map_err(|why| why.to_string())
}

#[test]
fn notes_in_a_table_become_trials() {
    let text = "\u{feff}lr,layers,kind,loss\n0.1,2,a,0.5\n0.01, 3,b,0.25\n1e-3,2,a,\n";
    let declared = table(text, &[("lr", "log:1e-5..1")], &["loss"]).unwrap();
    assert_eq!(declared.spec.outline.entries().len(), 1, "who declares some, means no others");
    let study = table(text, &[], &["loss"]).unwrap();
    let domain = |name: &str| study.spec.outline.entry(name).unwrap().domain.clone();
    assert_eq!(domain("lr"), parse_domain("0.001..0.1").unwrap());
    assert_eq!(domain("layers"), parse_domain("int:2..3").unwrap());
    assert_eq!(domain("kind"), parse_domain("a|b").unwrap());
    let history = history(&study);
    let states: Vec<State> = history.rows().map(|row| row.state).collect();
    assert_eq!(states, [State::Complete, State::Complete, State::Failed]);
    assert_eq!(history.best(&study.spec.goals[0]).unwrap().number, 1);
}

#[test]
fn tables_with_other_separators_hold_the_same_trials() {
    let trials = |text: &str| {
        let study = table(text, &[], &["loss"]).unwrap();
        let history = history(&study);
        history.rows().map(|row| (row.config().clone(), row.value("loss"))).collect::<Vec<_>>()
    };
    let plain = trials("lr,kind,loss\n0.1,\"a;b\",0.5\n0.01,c,0.25\n");
    assert_eq!(plain.len(), 2);
    for text in [
        "\u{feff}lr;kind;loss\r\n0,1;\"a;b\";0,5\r\n0,01;c;0,25\r\n",
        "lr\tkind\tloss\n0.1\ta;b\t0.5\n0.01\tc\t0.25\n",
        "lr|kind|loss\n0.1|a;b|0.5\n0.01|c|0.25",
    ] {
        assert_eq!(trials(text), plain, "{text:?}");
    }
}

#[test]
fn a_table_that_does_not_fit_says_where() {
    let text = "lr,loss\n0.1,0.5\n2.5,0.25\n";
    assert!(table(text, &[("lr", "0..1")], &["loss"]).unwrap_err().contains("line 3"));
    assert!(table(text, &[], &["los"]).unwrap_err().contains("did you mean `loss`?"));
    assert!(table(text, &[("lrr", "0..1")], &["loss"]).unwrap_err().contains("did you mean `lr`?"));
    assert!(table("lr,loss\n0.1,much\n", &[], &["loss"]).unwrap_err().contains("line 2"));
    let ragged = table("lr,loss\n0.1,0.5\n0.1\n", &[], &["loss"]).unwrap_err();
    assert!(ragged.contains("line 3: 1 cells, and the first line names 2"), "{ragged}");
    assert!(table("", &[], &["loss"]).is_err());
}

#[test]
fn a_data_frame_of_optuna_is_understood() {
    let text = "number,value,datetime_start,params_lr,params_kind,state\n0,1.5,2024-01-01,0.1,a,COMPLETE\n\
                1,,2024-01-01,0.2,b,FAIL\n2,2.5,2024-01-01,0.3,a,PRUNED\n";
    let study = table(text, &[], &["value"]).unwrap();
    let names: Vec<&str> = study.spec.outline.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["lr", "kind"]);
    let states: Vec<State> = history(&study).rows().map(|row| row.state).collect();
    assert_eq!(states, [State::Complete, State::Failed, State::Pruned]);
}
