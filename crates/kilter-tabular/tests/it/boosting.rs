use kilter_numerics::Stream;
use kilter_tabular::boosting::BoostingError;
use kilter_tabular::{Boosting, BoostingConfig, Examples, Model, Table, Target};

use crate::golden::{Case, breast_cancer, cases, near, numbers};

/// Tolerance of the file: 1e-5 absolute, since both sides keep slopes in `f32`.
#[test]
fn golden_boosting() {
    for value in cases("boosting.json") {
        let case = Case::new(&value);
        let config = &value["config"];
        let size = |name: &str| config[name].as_u64().map(|size| size as usize);
        let config = BoostingConfig {
            rounds: size("max_iter").unwrap(),
            learning_rate: config["learning_rate"].as_f64().unwrap(),
            max_leaves: size("max_leaf_nodes").unwrap(),
            max_depth: size("max_depth"),
            min_samples_leaf: size("min_samples_leaf").unwrap(),
            l2: config["l2_regularization"].as_f64().unwrap(),
            max_features: 1.0,
        };
        let examples = Examples::with_missing(case.table(), case.target()).unwrap();
        let model = Boosting::fit(examples, &config, &Stream::new(&[0], "boosting")).unwrap();
        let found = model.predict_table(case.queries());
        let expected = numbers(&value["prediction"]);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            near(*found, expected, 1e-5 * expected.abs().max(1.0));
        }
    }
}

fn log_loss(labels: &[u8], p: &[f64]) -> f64 {
    let losses = labels.iter().zip(p).map(|(&l, p)| -(if l == 1 { *p } else { 1.0 - p }).ln());
    losses.sum::<f64>() / labels.len() as f64
}

/// More than 255 distinct values in nearly every column: bins are made by rank. scikit-learn 1.9.1 reaches a training
/// log-loss of 0.0601 after 30 rounds.
#[test]
fn many_values_are_binned_by_rank() {
    let (values, labels) = breast_cancer();
    let table = Table::new(&values, 30).unwrap();
    let config = BoostingConfig { rounds: 30, ..BoostingConfig::default() };
    let model = Boosting::fit(Examples::new(table, &labels).unwrap(), &config, &Stream::new(&[0], "b")).unwrap();
    near(log_loss(&labels, &model.predict_table(table)), 0.0601, 0.002);
    assert_eq!(model.trees().len(), 30);
}

#[test]
fn every_round_brings_the_loss_down() {
    let (values, labels) = breast_cancer();
    let table = Table::new(&values, 30).unwrap();
    let loss = |rounds| {
        let config = BoostingConfig { rounds, max_features: 0.3, ..BoostingConfig::default() };
        let model = Boosting::fit(Examples::new(table, &labels).unwrap(), &config, &Stream::new(&[1], "b")).unwrap();
        log_loss(&labels, &model.predict_table(table))
    };
    let losses: Vec<f64> = (1..6).map(|k| loss(5 * k)).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
}

#[test]
fn a_row_of_weight_two_is_two_rows() {
    let values: Vec<f64> = (0..30).map(f64::from).collect();
    let y: Vec<f64> = values.iter().map(|x| (x * 7.0) % 11.0).collect();
    let (twice, y_twice): (Vec<f64>, Vec<f64>) =
        (values.iter().zip(&y)).flat_map(|(x, y)| vec![(*x, *y); if *x < 15.0 { 2 } else { 1 }]).unzip();
    let weights: Vec<f64> = values.iter().map(|x| if *x < 15.0 { 2.0 } else { 1.0 }).collect();
    let config = BoostingConfig { min_samples_leaf: 1, max_leaves: 4, ..BoostingConfig::default() };
    let fit = |values: &[f64], y: &[f64], weights: Option<&[f64]>| {
        let examples = Examples::of(Table::new(values, 1).unwrap(), Target::Numbers(y)).unwrap();
        let examples = weights.map_or(examples, |weights| examples.weighted(weights).unwrap());
        Boosting::fit(examples, &config, &Stream::new(&[0], "b")).unwrap()
    };
    let (a, b) = (fit(&values, &y, Some(&weights)), fit(&twice, &y_twice, None));
    for x in 0..30 {
        near(a.predict(&[f64::from(x)]), b.predict(&[f64::from(x)]), 1e-5);
    }
}

#[test]
fn a_bad_setting_is_named() {
    let examples = Examples::new(Table::new(&[1.0, 2.0], 1).unwrap(), &[0, 1]).unwrap();
    let refused =
        |config: BoostingConfig| Boosting::fit(examples, &config, &Stream::new(&[0], "b")).unwrap_err().to_string();
    let base = BoostingConfig::default();
    assert_eq!(refused(BoostingConfig { rounds: 0, ..base }), "rounds: 0 must be at least 1");
    assert_eq!(refused(BoostingConfig { max_leaves: 1, ..base }), "max_leaves: 1 must be at least 2");
    assert!(refused(BoostingConfig { learning_rate: 0.0, ..base }).starts_with("learning_rate: 0 must be finite"));
    let one = Examples::new(Table::new(&[1.0, 2.0], 1).unwrap(), &[1, 1]).unwrap();
    assert_eq!(Boosting::fit(one, &base, &Stream::new(&[0], "b")), Err(BoostingError::EmptyClass));
}
