//! Designs: golden sequences, evenness, grids that hold everything once, and parts of spaces.

use std::collections::HashSet;
use std::sync::Arc;

use kilter_search::quasi::{Sequence, halton::Halton, latin::Latin, sobol::Sobol};
use kilter_search::{pruner, sampler};
use kilter_space::{Config, Entry, Expr, Outline, Value, parse_domain};
use kilter_study::{Asked, Conduct, Goal, Memory, Study, StudyError, StudySpec};

use crate::golden::{self, assert_close, list, numbers};

#[test]
fn golden_sequences() {
    let file = golden::read("hpo-quasi/sequences.json");
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for case in cases {
        let method = case["method"].as_str().unwrap();
        let dimensions = case["dimensions"].as_u64().unwrap() as usize;
        let mut sequence: Box<dyn Sequence> = match method {
            "sobol" => Box::new(Sobol::new(dimensions, None)),
            _ => Box::new(Halton::new(dimensions, None)),
        };
        let first = case["first"].as_u64().unwrap_or(0);
        for (index, expected) in (first..).zip(list(&case["points"])) {
            let mut point = vec![f64::NAN; dimensions];
            sequence.point(index, &mut point);
            let what = format!("{method}, {dimensions} dimensions, point {index}");
            assert_close(&point, &numbers(expected), file["tolerance"][method].as_f64().unwrap(), &what);
        }
    }
}

/// How many of `n` points lie in each n-th of coordinate `at`.
fn occupied(sequence: &mut dyn Sequence, dimensions: usize, n: u64, at: usize) -> usize {
    let parts = (0..n).map(|index| {
        let mut point = vec![0.0; dimensions];
        sequence.point(index, &mut point);
        assert!(point.iter().all(|x| (0.0..1.0).contains(x)), "{point:?}");
        (point[at] * n as f64) as u64
    });
    parts.collect::<HashSet<_>>().len()
}

#[test]
fn each_part_of_every_coordinate_holds_one_point() {
    for seed in 0..3 {
        for at in [0, 1, 2, 17, 499] {
            let full = |sequence: &mut dyn Sequence, n| assert_eq!(occupied(sequence, 500, n, at), n as usize);
            full(&mut Sobol::new(500, Some(seed)), 256);
            full(&mut Latin::new(100, seed), 100);
        }
        // Whole powers of the base.
        for (at, n) in [(0, 64), (1, 81), (2, 125), (3, 49)] {
            assert_eq!(occupied(&mut Halton::new(4, Some(seed)), 4, n, at), n as usize);
        }
    }
}

#[test]
fn more_dimensions_than_there_are_direction_numbers() {
    let mut point = vec![2.0; 1500];
    Sobol::new(1500, Some(1)).point(7, &mut point);
    assert!(point.iter().all(|x| (0.0..1.0).contains(x)));
}

fn outline(entries: &[(&str, &str, &str)]) -> Outline {
    let entry = |&(name, domain, when): &(&str, &str, &str)| {
        let entry = Entry::new(name, parse_domain(domain).unwrap()).unwrap();
        if when.is_empty() { entry } else { entry.when(when).unwrap() }
    };
    Outline::new(entries.iter().map(entry).collect()).unwrap()
}

fn study(outline: Outline, by: &str, seed: u64, trials: Option<u64>) -> Study {
    let spec = StudySpec {
        name: "s".to_owned(),
        outline,
        goals: vec![Goal::minimize("loss")],
        sampler: by.to_owned(),
        pruner: "none".to_owned(),
        seed,
        trials,
        conduct: Conduct::default(),
        limits: kilter_study::Limits::default(),
        requirements: Vec::new(),
        plan: serde_json::Value::Null,
    };
    Study::create(Arc::new(Memory::new()), spec, sampler(by).unwrap(), pruner("none").unwrap()).unwrap()
}

/// Everything that is asked until the study is done, and what it says then.
fn all(study: &mut Study) -> (Vec<Config>, String) {
    let mut configs = Vec::new();
    loop {
        match study.ask().unwrap() {
            Asked::Trial(trial) => configs.push(trial.config().clone()),
            Asked::Done(why) => return (configs, why),
            Asked::Wait => panic!("nothing to wait for"),
        }
    }
}

fn distinct(configs: &[Config]) -> usize {
    configs.iter().map(Config::to_string).collect::<HashSet<_>>().len()
}

#[test]
fn a_grid_holds_every_combination_once() {
    let space = [("x", "0.0..1.0", ""), ("lr", "log:1e-4..1e-1", ""), ("n", "int:1..3", ""), ("c", "a|b", "")];
    let mut study = study(outline(&space), "grid:points=4", 5, None);
    let (configs, why) = all(&mut study);
    assert_eq!((configs.len(), distinct(&configs)), (96, 96));
    assert!(why.contains("all 96"), "{why}");
    let rates: HashSet<String> = configs.iter().map(|config| format!("{:.6}", config.float("lr").unwrap())).collect();
    let expected = ["0.000100", "0.001000", "0.010000", "0.100000"];
    assert_eq!(rates, expected.map(str::to_owned).into());
}

#[test]
fn brute_force_knows_conditions_and_constraints() {
    let conditional =
        outline(&[("kind", "a|b|c", ""), ("n", "int:1..5", "kind == 'a'"), ("m", "int:1..4", "kind == 'b'")]);
    let (configs, why) = all(&mut study(conditional, "exhaustive", 1, None));
    assert_eq!((configs.len(), distinct(&configs)), (5 + 4 + 1, 10), "{why}");
    let entries = [("a", "int:1..9"), ("b", "int:1..9")];
    let entries = entries.map(|(name, domain)| Entry::new(name, parse_domain(domain).unwrap()).unwrap());
    let rule = Expr::parse("a + b <= 9").unwrap();
    let constrained = Outline::constrained(entries.to_vec(), vec![rule]).unwrap();
    let (configs, _) = all(&mut study(constrained, "exhaustive", 1, None));
    assert_eq!((configs.len(), distinct(&configs)), (36, 36));
    assert!(configs.iter().all(|config| config.int("a").unwrap() + config.int("b").unwrap() <= 9));
}

#[test]
fn brute_force_refuses_a_continuum_and_says_what_would_do() {
    let mut study = study(outline(&[("x", "0.0..1.0", "")]), "exhaustive", 1, None);
    let Err(why @ StudyError::Search { .. }) = study.ask() else { panic!("asked a continuum") };
    assert!(why.to_string().contains("`x` is continuous"), "{why}");
}

#[test]
fn enqueued_trials_leave_no_hole_in_a_grid() {
    let mut study = study(outline(&[("n", "int:0..9", "")]), "grid", 3, None);
    let mut configs = Vec::new();
    for _ in 0..3 {
        let Asked::Trial(trial) = study.ask().unwrap() else { panic!("done too soon") };
        configs.push(trial.config().clone());
    }
    let by_hand = Config::new(vec![(kilter_space::Name::new("n").unwrap(), Value::Int(0))]);
    study.enqueue(&by_hand).unwrap();
    let Asked::Trial(enqueued) = study.ask().unwrap() else { panic!("done too soon") };
    assert_eq!(enqueued.config(), &by_hand);
    configs.extend(all(&mut study).0);
    assert_eq!((configs.len(), distinct(&configs)), (10, 10));
}

#[test]
fn a_latin_hypercube_has_as_many_points_as_trials_are_wanted() {
    let (configs, _) = all(&mut study(outline(&[("x", "0.0..1.0", "")]), "latin", 3, Some(40)));
    let parts: HashSet<u64> = configs.iter().map(|config| (config.float("x").unwrap() * 40.0) as u64).collect();
    assert_eq!(parts.len(), 40);
}

#[test]
fn a_part_of_a_space_keeps_its_fixed_answers() {
    for by in ["random", "tpe", "sobol"] {
        let space = outline(&[
            ("x", "0.0..1.0", ""),
            ("y", "0.0..1.0", ""),
            ("kind", "a|b", ""),
            ("n", "int:1..5", "kind == 'b'"),
        ]);
        let mut study = study(space, &format!("partial:by={by},kind=b,x=0.25"), 3, Some(25));
        let (configs, _) = all(&mut study);
        assert_eq!(configs.len(), 25);
        for config in configs {
            assert_eq!((config.text("kind").unwrap(), config.float("x").unwrap()), ("b", 0.25), "{by}");
            assert!(config.int("n").is_ok(), "{by}");
        }
    }
    let mut misspelt = study(outline(&[("rate", "0.0..1.0", "")]), "partial:rat=0.5", 1, None);
    let why = misspelt.ask().err().map(|why| why.to_string()).unwrap_or_default();
    assert!(why.contains("did you mean `rate`"), "{why}");
}
