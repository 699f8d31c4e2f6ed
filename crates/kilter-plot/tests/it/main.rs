//! What figures show.

#![allow(clippy::unwrap_used)]

mod chart;

use kilter_plot::{
    Axis, Bar, Cell, Course, Curve, Param, Point, contour, edf, intermediate_values, optimization_history,
    parallel_coordinate, pareto_front, slice, timeline,
};
use serde_json::{Value, json};

fn numbers(values: &[f64]) -> Axis {
    Axis::new(values.iter().map(|value| Some(Cell::Number(*value))).collect())
}

fn words(values: &[Option<&str>]) -> Axis {
    Axis::new(values.iter().map(|value| value.map(|word| Cell::Word(word.to_owned()))).collect())
}

fn param(name: &str, axis: Axis) -> Param {
    Param { name: name.to_owned(), axis }
}

fn points(values: &[f64]) -> Vec<Point> {
    values.iter().enumerate().map(|(number, value)| Point { number: number as u64, value: *value }).collect()
}

#[test]
fn the_best_so_far_only_gets_better() {
    let points = points(&[3.0, 1.0, 2.0, 4.0]);
    for (larger_is_better, best) in [(false, json!([3.0, 1.0, 1.0, 1.0])), (true, json!([3.0, 3.0, 3.0, 4.0]))] {
        let figure = optimization_history(&[Course { name: "a", points: &points, larger_is_better }], "loss").json();
        assert_eq!(figure["data"][0]["y"], json!([3.0, 1.0, 2.0, 4.0]));
        assert_eq!(figure["data"][1]["y"], best);
        assert_eq!(figure["layout"]["yaxis"]["title"]["text"], "loss");
    }
}

#[test]
fn the_distribution_ends_at_one() {
    let points = points(&[3.0, 1.0, 2.0, 1.0]);
    let figure = edf(&[Course { name: "a", points: &points, larger_is_better: false }], "loss").json();
    assert_eq!(figure["data"][0]["x"], json!([1.0, 1.0, 2.0, 3.0]));
    assert_eq!(figure["data"][0]["y"], json!([0.25, 0.5, 0.75, 1.0]));
    assert_eq!(
        edf(&[Course { name: "none", points: &[], larger_is_better: false }], "").json()["data"][0]["x"],
        json!([])
    );
}

#[test]
fn a_front_has_two_or_three_axes() {
    let trials = [(0, vec![1.0, 2.0, 0.0]), (1, vec![2.0, 3.0, 1.0]), (2, vec![2.0, 1.0, 1.0])];
    let flat = pareto_front(&trials, &[0, 2], &["cost", "error"]).unwrap().json();
    assert_eq!((&flat["data"][0]["x"], &flat["data"][1]["x"]), (&json!([2.0]), &json!([1.0, 2.0])));
    assert_eq!(flat["data"][1]["text"], json!(["trial 0", "trial 2"]));
    let solid = pareto_front(&trials, &[0], &["a", "b", "c"]).unwrap().json();
    assert_eq!((&solid["data"][1]["type"], &solid["data"][1]["z"]), (&json!("scatter3d"), &json!([0.0])));
    assert!(pareto_front(&trials, &[], &["a"]).is_none());
}

#[test]
fn axes_are_logarithmic_where_numbers_are_far_apart_and_words_keep_an_order() {
    let params = [
        param("lr", numbers(&[1e-5, 1e-2, 1e-1])),
        param("layers", numbers(&[1.0, 2.0, 3.0])),
        param("kind", words(&[Some("b"), None, Some("a")])),
    ];
    let figure = slice(&params, &[0, 1, 2], &[0.1, 0.2, f64::NAN], "loss").json();
    let kind = |axis: &str| figure["layout"][axis]["type"].clone();
    assert_eq!([kind("xaxis"), kind("xaxis2"), kind("xaxis3")], [json!("log"), json!("linear"), json!("category")]);
    assert_eq!(figure["layout"]["xaxis3"]["categoryarray"], json!(["a", "b"]));
    assert_eq!(figure["data"][2]["x"], json!(["b", Value::Null, "a"]));
    assert_eq!(figure["data"][0]["y"], json!([0.1, 0.2, Value::Null]), "JSON knows no NaN");
    // Panels do not lie over each other.
    let domain = |axis: &str, at: usize| figure["layout"][axis]["domain"][at].as_f64().unwrap();
    assert!(domain("xaxis", 1) < domain("xaxis2", 0) && domain("xaxis2", 1) < domain("xaxis3", 0));
    assert!(domain("xaxis3", 1) <= 1.0);
}

#[test]
fn mixed_columns_sort_numbers_before_words() {
    let mixed = Axis::new(vec![Some(Cell::Word("x".to_owned())), Some(Cell::Number(10.0)), Some(Cell::Number(2.0))]);
    assert_eq!(mixed, Axis::Words(vec!["2".into(), "10".into(), "x".into()], vec![Some(2), Some(1), Some(0)]));
}

#[test]
fn a_contour_passes_through_its_points_and_stays_between_them() {
    let (xs, ys) = ([0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0, 0.5]);
    let values = [0.0, 1.0, 1.0, 2.0, 5.0];
    let figure = contour(&param("x", numbers(&xs)), &param("y", numbers(&ys)), &values, "loss").json();
    let z = &figure["data"][0]["z"];
    let corner = |row: usize, column: usize| z[row][column].as_f64().unwrap();
    assert_eq!([corner(0, 0), corner(0, 39), corner(39, 0), corner(39, 39)], [0.0, 1.0, 1.0, 2.0]);
    let all: Vec<f64> =
        z.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect();
    assert!(all.iter().all(|height| (0.0..=5.0).contains(height)));
    let kinds =
        contour(&param("x", words(&[Some("a"), Some("b")])), &param("y", numbers(&[1.0, 2.0])), &[1.0, 2.0], "loss")
            .json();
    assert!(
        kinds["data"].as_array().unwrap().iter().all(|trace| trace["type"] == "scatter"),
        "nothing lies between words"
    );
}

#[test]
fn parallel_coordinates_leave_out_trials_that_lack_one() {
    let params = [param("lr", numbers(&[1e-4, 1e-2, 1.0])), param("kind", words(&[Some("b"), Some("a"), None]))];
    let figure = parallel_coordinate(&params, &[3.0, 2.0, 1.0], "loss", false).json();
    let dimensions = &figure["data"][0]["dimensions"];
    assert_eq!(dimensions[0]["values"], json!([3.0, 2.0]));
    assert_eq!(dimensions[1]["values"], json!([-4.0, -2.0]));
    assert_eq!(dimensions[1]["ticktext"], json!(["1e-4", "1e-3", "1e-2"]));
    assert_eq!(dimensions[2]["values"], json!([1, 0]));
}

#[test]
fn curves_and_bars() {
    let curves = [
        Curve { number: 0, is_pruned: false, points: vec![(0, 1.0), (1, 0.5)] },
        Curve { number: 1, is_pruned: true, points: vec![(0, 2.0)] },
        Curve { number: 2, is_pruned: false, points: vec![] },
    ];
    let figure = intermediate_values(&curves, "loss").json();
    assert_eq!(figure["data"].as_array().unwrap().len(), 2, "who reported nothing has no line");
    assert_eq!(figure["data"][1]["name"], "trial 1 (pruned)");
    let bar = |number, state: &str, begin_ms| Bar { number, state: state.to_owned(), begin_ms, length_ms: 10 };
    let figure = timeline(&[bar(0, "complete", 5), bar(1, "failed", 7), bar(2, "complete", 9)]).json();
    assert_eq!(figure["data"][0]["y"], json!([0, 2]));
    assert_eq!(figure["data"][0]["base"], json!([5, 9]));
    assert_eq!(figure["layout"]["xaxis"]["type"], "date");
}
