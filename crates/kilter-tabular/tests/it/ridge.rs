use kilter_tabular::ridge::RidgeError;
use kilter_tabular::{Examples, Model, Ridge, Table, TableError, Target};

use crate::golden::{Case, cases, near, numbers};

/// Tolerance of the file: 1e-9 absolute.
#[test]
fn golden_ridge() {
    for value in cases("ridge.json") {
        let case = Case::new(&value);
        let weights = numbers(&value["weights"]);
        let examples = Examples::of(case.table(), Target::Numbers(case.y())).unwrap().weighted(&weights).unwrap();
        let model = Ridge::fit(examples, value["alpha"].as_f64().unwrap()).unwrap();
        near(model.intercept, value["intercept"].as_f64().unwrap(), 1e-9);
        let expected = numbers(&value["coef"]);
        assert_eq!(model.coefficients.len(), expected.len());
        model.coefficients.iter().zip(expected).for_each(|(found, expected)| near(*found, expected, 1e-9));
    }
}

#[test]
fn more_columns_than_rows_and_equal_columns_are_no_trouble() {
    let values = [1.0, 1.0, 2.0, 2.0, 2.0, 4.0];
    let table = Table::new(&values, 3).unwrap();
    let model = Ridge::fit(Examples::of(table, Target::Numbers(&[0.0, 1.0])).unwrap(), 1e-6).unwrap();
    near(model.coefficients[0], model.coefficients[1], 1e-9);
    near(model.predict(table.row(1)), 1.0, 1e-5);
}

#[test]
fn classes_and_a_bad_alpha_are_refused() {
    let table = Table::new(&[1.0, 2.0], 1).unwrap();
    let classes = Examples::new(table, &[0, 1]).unwrap();
    let kind = TableError::Kind { needs: "numbers", found: "classes" };
    assert_eq!(Ridge::fit(classes, 1.0), Err(RidgeError::Examples(kind)));
    let numbers = Examples::of(table, Target::Numbers(&[0.0, 1.0])).unwrap();
    assert_eq!(Ridge::fit(numbers, 0.0), Err(RidgeError::Alpha(0.0)));
}
