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
