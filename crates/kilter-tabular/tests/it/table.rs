use kilter_tabular::{Examples, Table, TableError};

#[test]
fn a_table_is_rows_of_columns() {
    let table = Table::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3).unwrap();
    assert_eq!((table.rows(), table.columns(), table.row(1)), (2, 3, &[4.0, 5.0, 6.0][..]));
    assert_eq!(table.column(2).collect::<Vec<_>>(), [3.0, 6.0]);
    assert_eq!(table.iter().count(), 2);
}

#[test]
fn what_is_no_table_is_refused() {
    assert_eq!(Table::new(&[1.0], 0), Err(TableError::Shape { values: 1, columns: 0 }));
    assert_eq!(Table::new(&[1.0, 2.0, 3.0], 2), Err(TableError::Shape { values: 3, columns: 2 }));
}

#[test]
fn examples_say_which_cell_is_wrong() {
    let table = Table::new(&[1.0, 2.0, 3.0, f64::INFINITY], 2).unwrap();
    let refused = |labels: &[u8]| Examples::new(table, labels).unwrap_err();
    assert_eq!(refused(&[0]), TableError::Length { what: "labels", found: 1, rows: 2 });
    assert_eq!(refused(&[0, 2]), TableError::Label { row: 1, found: 2, count: 2 });
    assert_eq!(refused(&[0, 1]), TableError::NotFinite { row: 1, column: 1, found: f64::INFINITY });
    assert_eq!(Examples::new(Table::new(&[], 2).unwrap(), &[]).unwrap_err(), TableError::Empty);

    let examples = Examples::new(Table::new(&[1.0, 2.0], 1).unwrap(), &[0, 1]).unwrap();
    let refused = |weights: &[f64]| examples.weighted(weights).unwrap_err();
    assert_eq!(refused(&[1.0]), TableError::Length { what: "weights", found: 1, rows: 2 });
    assert_eq!(refused(&[1.0, -1.0]), TableError::Weight { row: 1, found: -1.0 });
    assert_eq!(refused(&[0.0, 0.0]), TableError::Empty);
}
