//! What trials reported while they ran.

use serde_json::json;

use crate::figure::{Figure, numbers};

/// What one trial reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The trial.
    pub number: u64,
    /// Was it stopped early?
    pub is_pruned: bool,
    /// Steps and values, by step.
    pub points: Vec<(u64, f64)>,
}

/// A line for each trial that reported.
pub fn intermediate_values(curves: &[Curve], value: &str) -> Figure {
    let line = |curve: &Curve| {
        let steps: Vec<u64> = curve.points.iter().map(|(step, _)| *step).collect();
        json!({
            "type": "scatter", "mode": "lines+markers", "marker": { "size": 4 },
            "name": format!("trial {}{}", curve.number, if curve.is_pruned { " (pruned)" } else { "" }),
            "line": { "dash": if curve.is_pruned { "dot" } else { "solid" } },
            "x": steps, "y": numbers(curve.points.iter().map(|(_, value)| *value)),
        })
    };
    let data = curves.iter().filter(|curve| !curve.points.is_empty()).map(line).collect();
    Figure::new("Intermediate values", "step", value, data)
}
