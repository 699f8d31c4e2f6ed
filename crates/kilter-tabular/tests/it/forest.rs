use kilter_numerics::Stream;
use kilter_tabular::tree::TreeError;
use kilter_tabular::{Examples, Forest, ForestConfig, Model, Table, Tree};
use proptest::prelude::*;

use crate::golden::{breast_cancer, near};

#[test]
fn a_tree_does_not_depend_on_how_many_others_there_are() {
    let (values, labels) = breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    let grow = |trees, seed| {
        let config = ForestConfig { trees, ..ForestConfig::default() };
        Forest::fit(examples, &config, &Stream::new(&[seed], "forest")).unwrap()
    };
    assert_eq!(grow(10, 1), grow(10, 1));
    assert_eq!(grow(10, 1).trees()[..4], grow(4, 1).trees()[..]);
    assert_ne!(grow(4, 1), grow(4, 2));
}

/// Without bootstrap and with every column in sight, chance has nothing left to decide.
#[test]
fn a_forest_without_chance_is_one_tree_many_times() {
    let (values, labels) = breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    let tree = kilter_tabular::TreeConfig { max_depth: Some(3), ..Default::default() };
    let forest =
        Forest::fit(examples, &ForestConfig { trees: 3, bootstrap: false, tree }, &Stream::new(&[1], "forest"))
            .unwrap();
    let alone = Tree::fit(examples, &tree, &mut Stream::new(&[2], "tree")).unwrap();
    assert!(forest.trees().iter().all(|tree| *tree == alone));
}

/// Five-fold cross-validation gives forests of 100 trees an AUC of 0.99 and an accuracy of 0.96 here and in scikit-learn;
/// learning from half the rows costs some of that, and the bound leaves room for it.
#[test]
fn a_forest_tells_malignant_from_benign() {
    let (values, labels) = breast_cancer();
    let half = |odd: usize| -> (Vec<f64>, Vec<u8>) {
        let rows = || (0..labels.len()).filter(move |row| row % 2 == odd);
        (
            rows().flat_map(|row| &values[row * 30..(row + 1) * 30]).copied().collect(),
            rows().map(|row| labels[row]).collect(),
        )
    };
    let ((train, train_labels), (test, test_labels)) = (half(0), half(1));
    let examples = Examples::new(Table::new(&train, 30).unwrap(), &train_labels).unwrap();
    let forest = Forest::fit(examples, &ForestConfig::default(), &Stream::new(&[3], "forest")).unwrap();
    let scores = forest.predict_table(Table::new(&test, 30).unwrap());
    let right = scores.iter().zip(&test_labels).filter(|(p, label)| (**p >= 0.5) == (**label == 1)).count();
    assert!(right as f64 > 0.92 * scores.len() as f64, "{right} of {}", scores.len());
}

#[test]
fn a_forest_of_no_trees_is_refused() {
    let examples = Examples::new(Table::new(&[1.0, 2.0], 1).unwrap(), &[0, 1]).unwrap();
    let config = ForestConfig { trees: 0, ..ForestConfig::default() };
    assert_eq!(Forest::fit(examples, &config, &Stream::new(&[0], "forest")), Err(TreeError::NoTrees));
}

/// A row of weight zero may be drawn and must then count for nothing; with one row that counts, every sample needs it.
#[test]
fn a_sample_never_consists_of_rows_without_weight() {
    let examples = Examples::new(Table::new(&[1.0, 2.0, 3.0, 4.0], 1).unwrap(), &[0, 0, 1, 0]).unwrap();
    let only_third = examples.weighted(&[0.0, 0.0, 1.0, 0.0]).unwrap();
    let forest = Forest::fit(only_third, &ForestConfig::default(), &Stream::new(&[0], "forest")).unwrap();
    assert_eq!(forest.predict(&[1.0]), 1.0);
}

proptest! {
    #[test]
    fn a_forest_is_the_mean_of_its_trees(seed: u64, rows in 4_usize..60) {
        let mut stream = Stream::new(&[seed], "rows");
        let values: Vec<f64> = (0..rows * 4).map(|_| stream.normal()).collect();
        let labels: Vec<u8> = (0..rows).map(|_| stream.index(2) as u8).collect();
        let table = Table::new(&values, 4).unwrap();
        let config = ForestConfig { trees: 7, ..ForestConfig::default() };
        let forest = Forest::fit(Examples::new(table, &labels).unwrap(), &config, &stream).unwrap();
        for (row, score) in table.iter().zip(forest.predict_table(table)) {
            let mean = forest.trees().iter().map(|tree| tree.predict(row)).sum::<f64>() / 7.0;
            prop_assert_eq!(score, mean);
            prop_assert_eq!(forest.predict(row), mean);
            near(score.clamp(0.0, 1.0), score, 1e-15);
        }
        // A bootstrap sample has as many draws as the table has rows.
        prop_assert!(forest.trees().iter().all(|tree| tree.nodes()[0].weight == rows as f64));
    }
}
