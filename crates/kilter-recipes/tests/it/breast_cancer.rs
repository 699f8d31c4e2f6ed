use std::collections::BTreeSet;

use kilter_data::breast_cancer;
use kilter_recipes::find;
use kilter_recipes::tabular::{outer_split, validation_folds};
use kilter_space::{Config, Defaults, Domain, Value};
use kilter_study::Run;
use proptest::prelude::*;

fn set(pairs: &[(&str, Value)]) -> Config {
    let recipe = find("breast-cancer").unwrap();
    let set: Vec<(String, Value)> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Defaults::config(&recipe.outline().unwrap().specialise(&set, &[]).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    /// No row of the test set is ever in a fold, neither to learn from nor to be judged on.
    #[test]
    fn no_fold_ever_sees_a_test_row(seed in any::<u64>(), folds in 2..20_usize) {
        let data = breast_cancer().unwrap();
        let test: BTreeSet<usize> = outer_split(&data, seed).unwrap().test.into_iter().collect();
        prop_assert_eq!(test.len(), 114);
        for fold in validation_folds(&data, seed, folds).unwrap() {
            prop_assert!(fold.train.iter().chain(&fold.test).all(|row| !test.contains(row)));
        }
    }
}

#[test]
fn the_same_configuration_scores_the_same_in_any_trial() {
    let recipe = find("breast-cancer").unwrap();
    for family in ["logistic_regression", "decision_tree", "random_forest", "boosting", "knn", "mlp"] {
        let config = set(&[("family", family.into()), ("folds", 3_i64.into())]);
        let a = recipe.run(&config, &mut Run::offline(1)).unwrap();
        let b = recipe.run(&config, &mut Run::offline(2)).unwrap();
        assert_eq!(a, b);
        // A guess of one half costs ln 2; the few certain errors of an unlimited tree or of five neighbours cost more.
        let bound = if ["decision_tree", "knn"].contains(&family) { 5.0 } else { 0.3 };
        assert!(a.metrics["log_loss"] < bound && a.metrics["auc"] > 0.85, "{family}: {a:?}");
    }
}

/// The bounds of depth stand for "unlimited": no tree on this table, of any seed here, is as deep.
#[test]
fn the_default_depth_binds_no_tree() {
    use kilter_numerics::Stream;
    use kilter_tabular::{Examples, Table, Tree, TreeConfig};
    let data = breast_cancer().unwrap();
    for seed in 0..10 {
        let rows = outer_split(&data, seed).unwrap().train;
        let all = data.labels().unwrap();
        let (values, labels) = (data.values_of(&rows), rows.iter().map(|&row| all[row]).collect::<Vec<u8>>());
        let examples = Examples::new(Table::new(&values, data.columns()).unwrap(), &labels).unwrap();
        let tree = Tree::fit(examples, &TreeConfig::default(), &mut Stream::new(&[seed], "tree")).unwrap();
        assert!(tree.depth() < 20, "{}", tree.depth());
        // Every split of this tree gains more than the default price of a leaf.
        let priced = TreeConfig { ccp_alpha: 1e-5, ..TreeConfig::default() };
        assert_eq!(Tree::fit(examples, &priced, &mut Stream::new(&[seed], "tree")).unwrap(), tree);
    }
}

#[test]
fn every_hyperparameter_has_a_default_and_a_line_of_help() {
    let recipe = find("breast-cancer").unwrap();
    for entry in recipe.outline().unwrap().entries() {
        let answered = entry.default.is_some() || matches!(entry.domain, Domain::Fixed(_));
        assert!(answered && !entry.about.is_empty(), "{}", entry.name);
    }
}

#[test]
fn the_honest_test_is_another_score() {
    let recipe = find("breast-cancer").unwrap();
    let (setting, value) = recipe.holdout().unwrap();
    let family = ("family", Value::from("logistic_regression"));
    let validation = recipe.run(&set(std::slice::from_ref(&family)), &mut Run::offline(1)).unwrap();
    let test = recipe.run(&set(&[family, (setting, value)]), &mut Run::offline(1)).unwrap();
    assert_ne!(validation.metrics["log_loss"], test.metrics["log_loss"]);
    assert!(test.metrics["accuracy"] > 0.9);
}
