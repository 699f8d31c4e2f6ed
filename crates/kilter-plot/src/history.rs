//! How a search went: values over trials, their distribution, the front of several.

use serde_json::{Value, json};

use crate::figure::{Figure, numbers};

/// A trial's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The trial.
    pub number: u64,
    /// Its value.
    pub value: f64,
}

/// The values of one study, by trial.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// Its complete trials, by number.
    pub points: &'a [Point],
    /// Which way is better.
    pub larger_is_better: bool,
}

/// Each trial's value, and the best so far.
pub fn optimization_history(courses: &[Course<'_>], value: &str) -> Figure {
    let mut data = Vec::new();
    for course in courses {
        let label = |what: &str| if courses.len() > 1 { format!("{what}, {}", course.name) } else { what.to_owned() };
        let trials: Vec<u64> = course.points.iter().map(|point| point.number).collect();
        let mut best = f64::NAN;
        let best = course.points.iter().map(|point| {
            // The first is better than none.
            best = if course.larger_is_better { best.max(point.value) } else { best.min(point.value) };
            best
        });
        data.push(json!({
            "type": "scatter", "mode": "markers", "name": label(value), "x": trials,
            "y": numbers(course.points.iter().map(|point| point.value)),
        }));
        data.push(json!({
            "type": "scatter", "mode": "lines", "name": label("best"), "x": trials, "y": numbers(best),
            "line": { "shape": "hv" },
        }));
    }
    Figure::new("Optimization history", "trial", value, data)
}

/// The share of trials at or below each value: the empirical distribution function of each study.
pub fn edf(courses: &[Course<'_>], value: &str) -> Figure {
    let line = |course: &Course<'_>| {
        let mut values: Vec<f64> = course.points.iter().map(|point| point.value).collect();
        values.sort_by(f64::total_cmp);
        let shares = (1..=values.len()).map(|count| count as f64 / values.len() as f64);
        json!({
            "type": "scatter", "mode": "lines", "name": course.name, "y": numbers(shares), "x": numbers(values),
            "line": { "shape": "hv" },
        })
    };
    let data = courses.iter().map(line).collect();
    Figure::new("Empirical distribution", value, "share of trials", data).with("yaxis", json!({ "range": [0, 1] }))
}

/// Trials by their first two or three values; `front` are the numbers of those that no other surpasses.
pub fn pareto_front(trials: &[(u64, Vec<f64>)], front: &[u64], names: &[&str]) -> Option<Figure> {
    let solid = match names.len() {
        2 => false,
        3 => true,
        _ => return None,
    };
    let part = |name: &str, best: bool| -> Value {
        let chosen: Vec<&(u64, Vec<f64>)> =
            trials.iter().filter(|(number, _)| front.contains(number) == best).collect();
        let axis = |at: usize| numbers(chosen.iter().map(|(_, values)| values.get(at).copied().unwrap_or(f64::NAN)));
        let text: Vec<String> = chosen.iter().map(|(number, _)| format!("trial {number}")).collect();
        let mut trace = json!({
            "type": if solid { "scatter3d" } else { "scatter" }, "mode": "markers", "name": name, "x": axis(0),
            "y": axis(1), "text": text,
        });
        if solid {
            trace["z"] = axis(2);
        }
        trace
    };
    let data = vec![part("others", false), part("best", true)];
    let figure = Figure::new("Pareto front", names[0], names[1], data);
    Some(if solid {
        let axis = |at: usize| json!({ "title": { "text": names[at] } });
        figure.with("scene", json!({ "xaxis": axis(0), "yaxis": axis(1), "zaxis": axis(2) }))
    } else {
        figure
    })
}

/// How much of the space of values the trials up to each one dominate together; `value` says in what.
pub fn hypervolume_history(trials: &[u64], hypervolumes: &[f64], value: &str) -> Figure {
    let data = json!({
        "type": "scatter", "mode": "lines+markers", "name": value, "x": trials, "y": numbers(hypervolumes.iter().copied()),
        "line": { "shape": "hv" }, "marker": { "size": 4 },
    });
    Figure::new("Hypervolume history", "trial", value, vec![data])
}
