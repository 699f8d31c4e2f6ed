//! What is measured, and which way is better.

use serde::{Deserialize, Serialize};

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Smaller is better: losses, errors, seconds.
    Lower,
    /// Larger is better: accuracies, rewards.
    Higher,
}

impl Better {
    /// `value` turned so that smaller is better.
    pub fn as_loss(self, value: f64) -> f64 {
        match self {
            Self::Lower => value,
            Self::Higher => -value,
        }
    }

    /// Is `a` strictly better than `b`?
    pub fn prefers(self, a: f64, b: f64) -> bool {
        self.as_loss(a) < self.as_loss(b)
    }
}

/// A figure that a recipe gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name: `log_loss`, `accuracy`.
    pub name: String,
    /// Its unit, empty for pure numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Which way it is better.
    pub better: Better,
}

impl Metric {
    /// A pure number.
    pub fn new(name: &str, better: Better) -> Self {
        Self { name: name.to_owned(), unit: String::new(), better }
    }
}

/// A direction of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The metric's name.
    pub metric: String,
    /// Which way it is better.
    pub better: Better,
}

impl Goal {
    /// `metric` is to be made small.
    pub fn minimize(metric: &str) -> Self {
        Self { metric: metric.to_owned(), better: Better::Lower }
    }

    /// `metric` is to be made large.
    pub fn maximize(metric: &str) -> Self {
        Self { metric: metric.to_owned(), better: Better::Higher }
    }
}
