//! When trials ran.

use serde_json::json;

use crate::figure::Figure;

/// A trial's time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The trial.
    pub number: u64,
    /// Its state: bars of one state have one colour.
    pub state: String,
    /// When it began, in milliseconds since 1970.
    pub begin_ms: i64,
    /// How long it ran, in milliseconds.
    pub length_ms: i64,
}

/// A bar for each trial, from its beginning to its end.
pub fn timeline(bars: &[Bar]) -> Figure {
    let mut states: Vec<&str> = bars.iter().map(|bar| bar.state.as_str()).collect();
    states.sort_unstable();
    states.dedup();
    let of_state = |state: &&str| {
        let chosen: Vec<&Bar> = bars.iter().filter(|bar| bar.state == *state).collect();
        let numbers: Vec<u64> = chosen.iter().map(|bar| bar.number).collect();
        let begins: Vec<i64> = chosen.iter().map(|bar| bar.begin_ms).collect();
        // On an axis of dates a bar's length is in milliseconds.
        let lengths: Vec<i64> = chosen.iter().map(|bar| bar.length_ms).collect();
        json!({
            "type": "bar", "orientation": "h", "name": state, "y": numbers, "base": begins, "x": lengths,
        })
    };
    let data = states.iter().map(of_state).collect();
    Figure::new("Timeline", "time", "trial", data)
        .with("xaxis", json!({ "type": "date" }))
        .with("barmode", json!("overlay"))
}
