//! Selecting trials by expressions, and trials as columns.

use std::collections::BTreeMap;

use kilter_study::{Cells, Column, SelectError, Selection, Usage, fields};

use crate::given::{Stage, alive, config, dead, spec};

/// Five trials: x = 0.1 … 0.5, losses 5, 4, 3, 2 and a failure; every second one is bent.
fn stage() -> Stage {
    let stage = Stage::memory();
    for i in 1..=5 {
        let x = f64::from(i) / 10.0;
        let mut answers = vec![("x", x.into()), ("kind", if i % 2 == 0 { "bent".into() } else { "plain".into() })];
        if i % 2 == 0 {
            answers.push(("bend", i64::from(i).into()));
        }
        let worker = if i == 5 { dead() } else { alive() };
        let number = stage.storage.reserve(stage.id, &worker).unwrap();
        let opened = kilter_study::Opened { config: config(&answers), ..kilter_study::Opened::default() };
        let lease = stage.storage.open(stage.id, number, &opened, &worker, false).unwrap().lease().unwrap();
        if i < 5 {
            let usage = Usage { wall_seconds: f64::from(i), ..Usage::default() };
            let metrics = BTreeMap::from([("loss".to_owned(), f64::from(6 - i))]);
            stage.storage.finish(&lease, &spec("first").judged(&opened.config, metrics, usage)).unwrap();
        }
    }
    stage.storage.reap(stage.id, kilter_study::storage::Retry { attempts: 1 }).unwrap();
    stage
}

fn numbers(filter: &str, sort: Option<&str>, limit: Option<usize>) -> Result<Vec<u64>, SelectError> {
    let history = stage().history();
    let selection = Selection::read(Some(filter).filter(|text| !text.is_empty()), sort, limit)?;
    Ok(selection.of(&spec("first"), &history)?.iter().map(|row| row.number).collect())
}

#[test]
fn filters_speak_of_states_metrics_and_hyperparameters() {
    for (filter, expected) in [
        ("", &[0, 1, 2, 3, 4][..]),
        ("state == 'complete' and loss < 4 and x > 0.3", &[3]),
        ("loss < 4", &[2, 3]),
        ("not loss < 4", &[0, 1]),
        ("failure == 'worker_lost'", &[4]),
        ("bend in [2, 3]", &[1]),
        ("params.kind == 'plain' and metrics.loss >= 5", &[0]),
        ("number >= 3 and wall_seconds < 100", &[3, 4]),
        ("feasible", &[0, 1, 2, 3]),
    ] {
        assert_eq!(numbers(filter, None, None).unwrap(), expected, "{filter}");
    }
}

#[test]
fn who_lacks_what_is_sorted_by_comes_last_either_way() {
    assert_eq!(numbers("", Some("loss"), None).unwrap(), [3, 2, 1, 0, 4]);
    assert_eq!(numbers("", Some("-loss"), None).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(numbers("", Some("-bend"), Some(3)).unwrap(), [3, 1, 0]);
    assert_eq!(numbers("", Some("kind"), None).unwrap(), [1, 3, 0, 2, 4]);
}

#[test]
fn a_misspelt_field_is_pointed_at_with_the_nearest_name() {
    let why = numbers("state == 'complete' and los < 4", None, None).unwrap_err().to_string();
    assert!(why.contains("did you mean `loss`?") && why.contains("^^^"), "{why}");
    let why = numbers("", Some("wall_second"), None).unwrap_err().to_string();
    assert!(why.contains("did you mean `wall_seconds`?"), "{why}");
    assert!(numbers("loss = 4", None, None).unwrap_err().to_string().contains("=="));
}

#[test]
fn columns_are_of_the_narrowest_kind_that_holds_them() {
    let history = stage().history();
    let rows: Vec<_> = history.rows().collect();
    let column = |name: &str| Column::of(&rows, name);
    let cells = |name: &str| column(name).unwrap().cells;
    assert_eq!(cells("number"), Cells::Int((0..5).map(Some).collect()));
    assert_eq!(cells("metrics.loss"), Cells::Float(vec![Some(5.0), Some(4.0), Some(3.0), Some(2.0), None]));
    assert_eq!(cells("params.bend"), Cells::Int(vec![None, Some(2), None, Some(4), None]));
    assert_eq!(cells("feasible"), Cells::Bool(vec![Some(true), Some(true), Some(true), Some(true), None]));
    assert_eq!(column("state").unwrap().text(4), "failed");
    assert_eq!(column("params.bend").unwrap().text(0), "");
    assert_eq!(column("cpu_seconds"), None, "nobody has it");
    assert!(fields(&spec("first"), &history).contains(&"params.bend".to_owned()));
}
