//! Limits on measured figures: `latency<=20`. A trial that breaks one is worse than any that breaks none.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A figure that must not pass a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The metric's name.
    pub metric: String,
    /// Must it stay below the bound (else above)?
    pub at_most: bool,
    /// The bound.
    pub bound: f64,
}

impl Limit {
    /// By how much a figure passes the bound; one that was not measured passes nothing.
    pub fn excess(&self, figure: Option<f64>) -> f64 {
        let Some(figure) = figure else { return 0.0 };
        let excess = if self.at_most { figure - self.bound } else { self.bound - figure };
        if excess.is_nan() { f64::INFINITY } else { excess.max(0.0) }
    }
}

/// Limits, written `latency<=20&accuracy>=0.9`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits(pub Vec<Limit>);

impl std::str::FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let limit = |part: &str| {
            let found = ["<=", ">="].into_iter().find_map(|sign| Some((sign, part.split_once(sign)?)));
            let (sign, (metric, bound)) =
                found.ok_or_else(|| format!("`{part}` is no limit; write latency<=20 or accuracy>=0.9"))?;
            let bound: f64 = bound.trim().parse().map_err(|_| format!("the bound of `{part}` is no number"))?;
            Ok::<_, String>(Limit { metric: metric.trim().to_owned(), at_most: sign == "<=", bound })
        };
        text.split('&').filter(|part| !part.trim().is_empty()).map(limit).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, limit) in self.0.iter().enumerate() {
            let (and, sign) = (if at > 0 { "&" } else { "" }, if limit.at_most { "<=" } else { ">=" });
            write!(f, "{and}{}{sign}{}", limit.metric, limit.bound)?;
        }
        Ok(())
    }
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
