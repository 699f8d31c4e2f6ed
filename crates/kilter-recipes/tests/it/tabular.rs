use std::collections::BTreeSet;
use std::fs;

use kilter_data::csv::Task;
use kilter_recipes::tabular::{names, outer_split, test_diagnosis, validation_folds};
use kilter_recipes::{Subject, Tabular};
use kilter_space::{Config, Defaults, Value, Walk, parse_value};
use kilter_study::{Recipe, Run};
use tempfile::TempDir;

fn on(recipe: &str, data: &str, target: Option<&str>) -> Tabular {
    let subject = Subject { data: data.to_owned(), target: target.map(str::to_owned), ..Subject::default() };
    Tabular::on(recipe, subject, &[]).unwrap()
}

fn set(recipe: &Tabular, pairs: &[(&str, &str)]) -> Config {
    let set: Vec<(String, Value)> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), parse_value(value))).collect();
    Defaults::config(&recipe.outline().unwrap().specialise(&set, &[]).unwrap()).unwrap()
}

fn score(recipe: &Tabular, pairs: &[(&str, &str)], metric: &str) -> f64 {
    recipe.run(&set(recipe, pairs), &mut Run::offline(0)).unwrap().metrics[metric]
}

#[test]
fn every_recipe_of_a_table_declares_its_space() {
    for name in names() {
        let recipe = Tabular::new(name).unwrap();
        assert!(Defaults::config(recipe.outline().unwrap()).is_ok(), "{name}");
        assert!(!recipe.metrics().is_empty());
    }
}

/// Guessing the mean gives r² = 0, guessing one of three equally frequent classes an accuracy of 1/3.
#[test]
fn every_family_learns_numbers_and_several_classes() {
    let numbers = on("tabular", "diabetes", None);
    for family in ["ridge", "decision_tree", "random_forest", "boosting", "knn", "mlp"] {
        let depth = if family == "decision_tree" { ("tree.max_depth", "3") } else { ("folds", "5") };
        let r2 = score(&numbers, &[("family", family), depth], "r2");
        assert!(r2 > 0.2, "{family}: {r2}");
    }
    let classes = on("tabular", "iris", None);
    for family in ["logistic_regression", "decision_tree", "random_forest", "boosting", "knn", "mlp"] {
        let accuracy = score(&classes, &[("family", family)], "accuracy");
        assert!(accuracy > 0.9, "{family}: {accuracy}");
    }
}

#[test]
fn the_held_out_rows_of_numbers_are_spread_over_their_range() {
    let data = kilter_data::open("diabetes", None, Task::Auto, None).unwrap();
    let outer = outer_split(&data, 3).unwrap();
    let test: BTreeSet<usize> = outer.test.iter().copied().collect();
    assert_eq!(outer.test.len(), 88);
    for fold in validation_folds(&data, 3, 5).unwrap() {
        assert!(fold.train.iter().chain(&fold.test).all(|row| !test.contains(row)));
    }
}

#[test]
fn missing_values_and_categories_reach_every_family() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("t.csv");
    let towns = ["Ulm", "Bonn", ""];
    let row = |i: usize| {
        let area = (i * 37) % 100;
        let price = area as f64 + if i % 3 == 1 { 50.5 } else { 0.5 };
        let area = if i.is_multiple_of(10) { String::new() } else { area.to_string() };
        format!("{area},{},{price}\n", towns[i % 3])
    };
    fs::write(&file, format!("area,town,price\n{}", (0..120).map(row).collect::<String>())).unwrap();
    let recipe = on("tabular", file.to_str().unwrap(), Some("price"));
    for family in ["ridge", "decision_tree", "random_forest", "boosting", "knn", "mlp"] {
        let r2 = score(&recipe, &[("family", family)], "r2");
        assert!(r2 > 0.6, "{family}: {r2}");
    }
    assert!(
        recipe.facts()[0]
            .ends_with("120 rows, 2 columns (1 of categories), 52 values missing; price: numbers from 0.5 to 142.5"),
        "{:?}",
        recipe.facts()
    );
}

#[test]
fn a_table_that_cannot_be_split_or_predicted_so_is_refused_before_any_trial() {
    let folder = TempDir::new().unwrap();
    let refused = |recipe: &str, text: &str, set: &[(&str, &str)]| {
        let file = folder.path().join("t.csv");
        fs::write(&file, text).unwrap();
        let set: Vec<(String, Value)> = set.iter().map(|(n, v)| ((*n).to_owned(), parse_value(v))).collect();
        let subject =
            Subject { data: file.to_string_lossy().into_owned(), target: Some("y".to_owned()), ..Subject::default() };
        Tabular::on(recipe, subject, &set).map(|_| ()).unwrap_err().to_string()
    };
    let rare: String = (0..40).map(|i| format!("{i},{}\n", if i < 4 { "yes" } else { "no" })).collect();
    let rare = format!("x,y\n{rare}");
    assert!(
        refused("knn", &rare, &[]).contains("rows only, too few to hold some back and share the rest among 5 folds"),
        "{}",
        refused("knn", &rare, &[])
    );
    assert_eq!(
        refused("knn", "x,y\n1,a\n2,b\n3,a\n", &[]).split(": ").last().unwrap(),
        "3 rows are too few to hold some back; 10 at least"
    );
    let numbers: String = (0..40).map(|i| format!("{i},{}.5\n", i * i)).collect();
    let numbers = format!("x,y\n{numbers}");
    assert!(refused("logistic-regression", &numbers, &[]).ends_with("`ridge` or `tabular` does"));
    assert!(refused("ridge", &rare, &[]).ends_with("`logistic-regression` or `tabular` does"));
    assert_eq!(refused("knn", &rare, &[("task", "sorting")]), "task = sorting: it is classification or regression");
}

/// The threshold that is asked for finds its share on the folds' rows, and therefore calls more people ill.
#[test]
fn a_wanted_sensitivity_lowers_the_threshold() {
    let recipe = Tabular::new("breast-cancer").unwrap();
    let config = set(&recipe, &[("family", "logistic_regression")]);
    let usual = test_diagnosis(&config, None).unwrap();
    let careful = test_diagnosis(&config, Some(1.0)).unwrap();
    assert_eq!((usual.threshold, usual.labels.len()), (0.5, 114));
    assert_eq!(usual.scores, careful.scores);
    assert!(careful.threshold < 0.1, "{}", careful.threshold);
    let sensitivity = |min: &str| {
        score(
            &recipe,
            &[("family", "logistic_regression"), ("score_on", "test"), ("min_sensitivity", min)],
            "sensitivity",
        )
    };
    assert!(sensitivity("1") >= sensitivity("0"));
    assert!(
        test_diagnosis(&set(&on("knn", "iris", None), &[]), None)
            .unwrap_err()
            .to_string()
            .ends_with("this study has 3")
    );
}

#[test]
fn the_honest_test_brings_intervals_and_the_validation_none() {
    for (recipe, data, names) in [
        ("ridge", "diabetes", &["rmse", "mae", "r2"][..]),
        (
            "knn",
            "breast-cancer",
            &["log_loss", "auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "brier"],
        ),
        ("decision-tree", "wine", &["log_loss", "auc", "accuracy", "balanced_accuracy", "macro_f1"]),
    ] {
        let recipe = on(recipe, data, None);
        let run = |part: &str| recipe.run(&set(&recipe, &[("score_on", part)]), &mut Run::offline(0)).unwrap();
        let tested = run("test");
        assert_eq!(tested, run("test"), "the same rows are drawn");
        assert_eq!(tested.intervals.len(), names.len(), "{tested:?}");
        for name in names {
            let (value, [low, high]) = (tested.metrics[*name], tested.intervals[*name]);
            assert!(low <= value && value <= high && low < high, "{name}: {low} {value} {high}");
        }
        assert!(run("validation").intervals.is_empty());
    }
    // Of 88 errors of this size the mean square is known to about a seventh (of two standard errors: 2 sqrt(2 / 88) = 0.30,
    // halved by the root).
    let ridge = on("ridge", "diabetes", None);
    let tested = ridge.run(&set(&ridge, &[("score_on", "test")]), &mut Run::offline(0)).unwrap();
    let [low, high] = tested.intervals["rmse"];
    let half = (high - low) / 2.0 / tested.metrics["rmse"];
    assert!((0.08..0.25).contains(&half), "{half}");
}

/// 60 X-rays to learn from, 20 to validate, 30 to test.
const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pictures/pneumoniamnist.npz");

#[test]
fn pictures_are_diagnosed_like_a_table_on_the_rows_that_their_source_holds_back() {
    let recipe = on("small-cnn", EXTRACT, None);
    assert_eq!(
        recipe.facts()[0],
        format!(
            "pictures {EXTRACT}: 110 pictures of 28x28, 30 of them held back for the test by their source; class: 1 (55 \
             rows, positive) or 0 (55)"
        )
    );
    let data = kilter_data::open(EXTRACT, None, Task::Auto, None).unwrap();
    for seed in [0, 1] {
        assert_eq!(outer_split(&data, seed).unwrap().test, (80..110).collect::<Vec<_>>());
        let folds = validation_folds(&data, seed, 4).unwrap();
        assert!(folds.iter().all(|fold| fold.train.iter().chain(&fold.test).all(|&row| row < 80)));
    }
    let config = set(&recipe, &[("cnn.blocks", "2"), ("cnn.width", "8"), ("folds", "2")]);
    let tested = test_diagnosis(&config, None).unwrap();
    assert_eq!((tested.labels.len(), tested.classes), (30, ["0".to_owned(), "1".to_owned()]));
    // Pneumonia clouds the lungs: 80 pictures are enough to see more than chance does.
    let auc = kilter_measure::Predictions::new(&tested.labels, &tested.scores).unwrap().auc().unwrap();
    assert!(auc > 0.7, "{auc}");
    let logistic = on("logistic-regression", EXTRACT, None);
    assert!(score(&logistic, &[("score_on", "test")], "auc") > 0.6);
}

/// Narrow ones on few pictures, a few times: enough to see more than chance does.
#[test]
fn every_architecture_learns_from_pictures() {
    let recipe = on("small-cnn", EXTRACT, None);
    for architecture in ["resnet-s", "xception-s"] {
        let narrow =
            [("cnn.architecture", architecture), ("cnn.width", "8"), ("cnn.blocks", "2"), ("cnn.epochs", "10")];
        let auc = score(&recipe, &[&narrow[..], &[("score_on", "test")]].concat(), "auc");
        assert!(auc > 0.65, "{architecture}: {auc}");
    }
}

#[test]
fn the_space_of_a_network_fits_the_pictures() {
    let entries = |recipe: &Tabular| -> Vec<String> {
        recipe.outline().unwrap().entries().iter().map(|entry| entry.name.to_string()).collect()
    };
    let thermal = Tabular::new("small-cnn").unwrap();
    assert_eq!(thermal.outline().unwrap().entry("cnn.blocks").unwrap().domain.to_string(), "int:2..4");
    // It sees 32x32, whatever the pictures' side. Of 8x8 a third halving would leave one pixel.
    let digits = on("small-cnn", "digits", None);
    assert_eq!(digits.outline().unwrap().entry("cnn.blocks").unwrap().domain.to_string(), "fixed:2");
    assert!(entries(&on("tabular", "digits", None)).contains(&"cnn.width".to_owned()));
    assert!(!entries(&on("tabular", "iris", None)).contains(&"cnn.width".to_owned()));
    let table = Subject { data: "iris".to_owned(), ..Subject::default() };
    let why = Tabular::on("small-cnn", table, &[]).map(|_| ()).unwrap_err().to_string();
    assert_eq!(why, "iris is a table, and `small-cnn` learns from pictures; `tabular` takes tables");
}

#[test]
fn mlp_takes_tables_and_pictures() {
    let subject = |data: &str| Subject { data: data.to_owned(), ..Subject::default() };
    let name = |data: &str| kilter_recipes::on("mlp", subject(data), &[]).unwrap().recipe.name().to_owned();
    assert_eq!((name("iris"), name("digits"), name(EXTRACT)), ("tabular-mlp".into(), "mlp".into(), "mlp".into()));
}

/// Nothing but chance decides about the weights, and chance follows from the seed.
#[test]
fn a_network_varies_its_pictures_the_same_way_every_time() {
    let recipe = on("small-cnn", EXTRACT, None);
    let score = |flip: &str, shift: &str| {
        let pairs = [("cnn.flip", flip), ("cnn.shift", shift), ("cnn.width", "8"), ("cnn.epochs", "2"), ("folds", "2")];
        score(&recipe, &pairs, "log_loss")
    };
    let plain = score("false", "false");
    assert_eq!((plain, score("true", "true")), (score("false", "false"), score("true", "true")));
    assert!(plain != score("true", "false") && plain != score("false", "true"));
}
