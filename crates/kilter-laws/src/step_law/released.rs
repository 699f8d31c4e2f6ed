//! The authors' released material: 1000 bootstrap fits and the losses of 1911 dense runs (see `data/README.md`).

use std::sync::LazyLock;

use super::{Coefficients, Run};

static BOOTSTRAP: LazyLock<Vec<Coefficients>> = LazyLock::new(|| {
    let fit = |[a, n, d, b, e]: [f64; 5]| Coefficients { lr: [a, n, d], batch: [b, e] };
    rows(include_str!("../../data/step-law-bootstrap.csv")).map(fit).collect()
});

static DENSE: LazyLock<Vec<Run>> = LazyLock::new(|| {
    let run = |[parameters, tokens, learning_rate, batch_sequences, loss]: [f64; 5]| Run {
        parameters,
        tokens,
        learning_rate,
        batch_sequences,
        loss: Some(loss),
    };
    rows(include_str!("../../data/step-law-dense.csv")).map(run).collect()
});

/// The 1000 released bootstrap fits.
pub fn bootstrap_rows() -> &'static [Coefficients] {
    &BOOTSTRAP
}

/// The 1911 released dense runs, in the order of the release; sequences of 2048 tokens.
pub fn dense_runs() -> &'static [Run] {
    &DENSE
}

/// The rows of a table that is compiled in; a test counts them, so that none can be lost silently.
fn rows(table: &'static str) -> impl Iterator<Item = [f64; 5]> {
    csv::Reader::from_reader(table.as_bytes()).into_deserialize().filter_map(Result::ok)
}
