//! Hyperparameters against values.

use serde_json::{Value, json};

use crate::columns::Axis;
use crate::figure::{Figure, number, numbers};

/// A hyperparameter and its column, one cell for each trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its cells.
    pub axis: Axis,
}

/// Values over each hyperparameter, one panel for each; later trials are darker.
pub fn slice(params: &[Param], trials: &[u64], values: &[f64], value: &str) -> Figure {
    let count = params.len().max(1) as f64;
    let gap = 0.2 / count;
    let suffix = |at: usize| if at == 0 { String::new() } else { (at + 1).to_string() };
    let trace = |(at, param): (usize, &Param)| {
        json!({
            "type": "scatter", "mode": "markers", "name": param.name, "showlegend": false,
            "x": param.axis.json(), "y": numbers(values.iter().copied()), "xaxis": format!("x{}", suffix(at)), "yaxis": "y",
            "marker": { "color": trials, "colorscale": "Blues", "showscale": at == 0, "colorbar": { "title": { "text": "trial" } } },
        })
    };
    let mut figure = Figure::new("Slices", "", value, params.iter().enumerate().map(trace).collect());
    for (at, param) in params.iter().enumerate() {
        let mut axis = param.axis.layout(&param.name);
        let from = at as f64 / count + if at == 0 { 0.0 } else { gap / 2.0 };
        axis["domain"] = json!([from, (at + 1) as f64 / count - gap / 2.0]);
        figure = figure.with(&format!("xaxis{}", suffix(at)), axis);
    }
    figure
}

/// A bar for each hyperparameter, as long as its share of the importance; the largest on top.
pub fn param_importances(importances: &[(String, f64)], value: &str) -> Figure {
    let mut sorted: Vec<&(String, f64)> = importances.iter().collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let names: Vec<&str> = sorted.iter().map(|(name, _)| name.as_str()).collect();
    let labels: Vec<String> = sorted.iter().map(|(_, share)| format!("{share:.2}")).collect();
    let data = json!({
        "type": "bar", "orientation": "h", "name": value, "x": numbers(sorted.iter().map(|(_, share)| *share)),
        "y": names, "text": labels, "textposition": "outside", "cliponaxis": false,
    });
    Figure::new("Hyperparameter importances", &format!("importance for {value}"), "", vec![data])
        .with("yaxis", json!({ "type": "category" }))
}

/// Trials over every two hyperparameters, coloured by the rank of their value: 0 the best, 1 the worst.
pub fn rank(params: &[Param], values: &[f64], value: &str, larger_is_better: bool) -> Figure {
    let ranks = shares_of_rank(values, larger_is_better);
    let hover: Vec<String> = values.iter().map(|number| format!("{value} {number}")).collect();
    let axis = |letter: &str, at: usize| if at == 0 { letter.to_owned() } else { format!("{letter}{}", at + 1) };
    let pairs: Vec<(usize, usize)> = match params.len() {
        0..=2 => (1..params.len()).map(|second| (0, second)).collect(),
        count => {
            (0..count).flat_map(|row| (0..count).map(move |column| (column, row))).filter(|(a, b)| a != b).collect()
        }
    };
    let trace = |(at, &(x, y)): (usize, &(usize, usize))| {
        json!({
            "type": "scatter", "mode": "markers", "name": format!("{}, {}", params[x].name, params[y].name),
            "showlegend": false, "x": params[x].axis.json(), "y": params[y].axis.json(), "text": hover,
            "xaxis": axis("x", at), "yaxis": axis("y", at),
            "marker": {
                "color": numbers(ranks.iter().copied()), "colorscale": "RdYlBu", "reversescale": true, "cmin": 0, "cmax": 1,
                "line": { "color": "grey", "width": 0.5 }, "showscale": at == 0,
                "colorbar": { "title": { "text": "rank" }, "tickvals": [0, 1], "ticktext": ["best", "worst"] },
            },
        })
    };
    let data = pairs.iter().enumerate().map(trace).collect();
    let mut figure = Figure::new("Ranks", "", "", data);
    let sides = if params.len() > 2 { params.len() as f64 } else { 1.0 };
    let domain = |place: usize| {
        let gap = if sides > 1.0 { 0.2 / sides } else { 0.0 };
        json!([place as f64 / sides + gap / 2.0, (place as f64 + 1.0) / sides - gap / 2.0])
    };
    for (at, &(x, y)) in pairs.iter().enumerate() {
        let several = params.len() > 2;
        let names_shown = |shown: bool, name: &str| if shown || !several { name.to_owned() } else { String::new() };
        let (last, first) = (params.len() - 1, 0);
        // Names stand at the outer panels only: below the lowest row, left of the first column.
        let lowest = y == last || (x == last && y + 1 == last);
        let leftmost = x == first || (y == first && x == 1);
        let mut below = params[x].axis.layout(&names_shown(lowest, &params[x].name));
        let mut beside = params[y].axis.layout(&names_shown(leftmost, &params[y].name));
        below["domain"] = domain(if several { x } else { 0 });
        beside["domain"] = domain(if several { last - y } else { 0 });
        below["anchor"] = axis("y", at).into();
        beside["anchor"] = axis("x", at).into();
        figure =
            figure.with(&axis("x", at).replace('x', "xaxis"), below).with(&axis("y", at).replace('y', "yaxis"), beside);
    }
    figure
}

/// Each value's rank among all, from 0 (the best) to 1; equal values share the mean of theirs, NaN is the worst.
fn shares_of_rank(values: &[f64], larger_is_better: bool) -> Vec<f64> {
    let loss = |value: f64| {
        if value.is_nan() {
            f64::INFINITY
        } else if larger_is_better {
            -value
        } else {
            value
        }
    };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| loss(values[a]).total_cmp(&loss(values[b])));
    let last = values.len().saturating_sub(1).max(1) as f64;
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&a, &b| loss(values[a]) == loss(values[b])) {
        let first = order.iter().position(|at| *at == equal[0]).unwrap_or_default();
        let mean = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&at| ranks[at] = mean / last);
    }
    ranks
}

/// Values over two hyperparameters: trials as points, and between them the value of the plane through the nearest ones.
pub fn contour(x: &Param, y: &Param, values: &[f64], value: &str) -> Figure {
    let points = json!({
        "type": "scatter", "mode": "markers", "name": "trials", "showlegend": false, "x": x.axis.json(), "y": y.axis.json(),
        "marker": { "color": "black", "size": 5 },
    });
    let mut data = Vec::new();
    // Between words nothing can be interpolated.
    if let (Axis::Number(xs), Axis::Number(ys)) = (&x.axis, &y.axis) {
        let scale = |axis: &Axis, cell: f64| if axis.wants_log() { cell.ln() } else { cell };
        let known: Vec<(f64, f64, f64)> = xs
            .iter()
            .zip(ys)
            .zip(values)
            .filter_map(|((a, b), value)| Some((scale(&x.axis, (*a)?), scale(&y.axis, (*b)?), *value)))
            .filter(|(_, _, value)| value.is_finite())
            .collect();
        if known.len() > 3 {
            data.push(surface(x, y, &known, value));
        }
    } else {
        data.push(json!({
            "type": "scatter", "mode": "markers", "name": value, "showlegend": false, "x": x.axis.json(), "y": y.axis.json(),
            "marker": {
                "color": numbers(values.iter().copied()), "colorscale": "Viridis", "size": 14, "showscale": true,
                "colorbar": { "title": { "text": value } },
            },
        }));
    }
    data.push(points);
    Figure::new("Contour", &x.name, &y.name, data)
        .with("xaxis", x.axis.layout(&x.name))
        .with("yaxis", y.axis.layout(&y.name))
}

/// How many points a contour's grid has on each side.
const GRID: usize = 40;

/// Inverse-distance weights (Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968) on a
/// grid over the known points, with power 2 on axes scaled to one.
fn surface(x: &Param, y: &Param, known: &[(f64, f64, f64)], value: &str) -> Value {
    let range = |pick: fn(&(f64, f64, f64)) -> f64| {
        let low = known.iter().map(pick).fold(f64::INFINITY, f64::min);
        let high = known.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
        (low, if high > low { high } else { low + 1.0 })
    };
    let ((x_low, x_high), (y_low, y_high)) = (range(|point| point.0), range(|point| point.1));
    let at = |low: f64, high: f64, k: usize| low + (high - low) * k as f64 / (GRID - 1) as f64;
    let back = |axis: &Axis, cell: f64| if axis.wants_log() { cell.exp() } else { cell };
    let height = |a: f64, b: f64| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (px, py, value) in known {
            let (dx, dy) = ((px - a) / (x_high - x_low), (py - b) / (y_high - y_low));
            let squared = dx * dx + dy * dy;
            if squared < 1e-18 {
                return *value;
            }
            sum += value / squared;
            weights += 1.0 / squared;
        }
        sum / weights
    };
    let rows: Vec<Value> = (0..GRID)
        .map(|row| {
            let b = at(y_low, y_high, row);
            numbers((0..GRID).map(|column| height(at(x_low, x_high, column), b)))
        })
        .collect();
    json!({
        "type": "contour", "colorscale": "Viridis", "name": value, "colorbar": { "title": { "text": value } },
        "x": numbers((0..GRID).map(|k| back(&x.axis, at(x_low, x_high, k)))),
        "y": numbers((0..GRID).map(|k| back(&y.axis, at(y_low, y_high, k)))),
        "z": rows, "contours": { "coloring": "heatmap" },
    })
}

/// A line for each trial through all of its hyperparameters. Trials that lack one of them are left out.
pub fn parallel_coordinate(params: &[Param], values: &[f64], value: &str, larger_is_better: bool) -> Figure {
    let whole: Vec<usize> = (0..values.len())
        .filter(|&row| {
            params.iter().all(|param| match &param.axis {
                Axis::Number(cells) => cells[row].is_some(),
                Axis::Words(_, places) => places[row].is_some(),
            })
        })
        .collect();
    let shown = || whole.iter().map(|&row| values[row]);
    let mut dimensions = vec![json!({ "label": value, "values": numbers(shown()) })];
    for param in params {
        dimensions.push(match &param.axis {
            Axis::Number(cells) if param.axis.wants_log() => {
                let logs: Vec<f64> = whole.iter().filter_map(|&row| cells[row]).map(f64::log10).collect();
                let low = logs.iter().copied().fold(f64::INFINITY, f64::min).floor() as i32;
                let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() as i32;
                let ticks: Vec<i32> = (low..=high).collect();
                let texts: Vec<String> = ticks.iter().map(|tick| format!("1e{tick}")).collect();
                json!({ "label": param.name, "values": numbers(logs), "tickvals": ticks, "ticktext": texts })
            }
            Axis::Number(cells) => {
                json!({ "label": param.name, "values": numbers(whole.iter().filter_map(|&row| cells[row])) })
            }
            Axis::Words(words, places) => {
                let places: Vec<usize> = whole.iter().filter_map(|&row| places[row]).collect();
                let ticks: Vec<usize> = (0..words.len()).collect();
                json!({ "label": param.name, "values": places, "tickvals": ticks, "ticktext": words })
            }
        });
    }
    let bounds =
        shown().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let data = json!({
        "type": "parcoords", "dimensions": dimensions,
        "line": {
            "color": numbers(shown()), "colorscale": "Blues", "reversescale": !larger_is_better, "showscale": true,
            "cmin": number(bounds.0), "cmax": number(bounds.1), "colorbar": { "title": { "text": value } },
        },
    });
    Figure::new("Parallel coordinates", "", "", vec![data])
}
