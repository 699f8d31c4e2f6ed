use kilter_tabular::knn::{Distance, KnnError};
use kilter_tabular::{Examples, Knn, KnnConfig, Model, Table};

use crate::golden::{Case, cases, near, numbers};

/// Tolerance of the file: 1e-10 absolute.
#[test]
fn golden_knn() {
    for value in cases("knn.json") {
        let case = Case::new(&value);
        let config = KnnConfig {
            neighbours: value["neighbours"].as_u64().unwrap() as usize,
            by_distance: value["weights"] == "distance",
            distance: if value["p"] == 1 { Distance::Manhattan } else { Distance::Euclidean },
        };
        let model = Knn::fit(Examples::of(case.table(), case.target()).unwrap(), &config).unwrap();
        let (found, expected) = (model.predict_table(case.queries()), numbers(&value["prediction"]));
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(found, expected)| near(*found, expected, 1e-10));
    }
}

#[test]
fn of_equally_near_rows_the_earlier_one_counts_and_few_rows_all_count() {
    let examples = Examples::new(Table::new(&[1.0, -1.0, 5.0], 1).unwrap(), &[1, 0, 0]).unwrap();
    let ask =
        |neighbours| Knn::fit(examples, &KnnConfig { neighbours, ..KnnConfig::default() }).unwrap().predict(&[0.0]);
    assert_eq!(ask(1), 1.0);
    near(ask(9), 1.0 / 3.0, 1e-15);
    assert_eq!(Knn::fit(examples, &KnnConfig { neighbours: 0, ..KnnConfig::default() }), Err(KnnError::NoNeighbours));
}

#[test]
fn a_missing_value_is_refused_by_its_place() {
    let table = Table::new(&[1.0, f64::NAN], 1).unwrap();
    let examples =
        Examples::with_missing(table, kilter_tabular::Target::Classes { labels: &[0, 1], count: 2 }).unwrap();
    let why = Knn::fit(examples, &KnnConfig::default()).unwrap_err().to_string();
    assert_eq!(why, "table, row 1, column 0: NaN is not finite; impute missing values first (MedianImputer)");
}
