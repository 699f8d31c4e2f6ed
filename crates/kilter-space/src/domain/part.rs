//! Parts of domains: what constraints leave of them, and how much of the whole that is.

use super::{Choice, Domain, Float, Int};
use crate::value::Value;

impl Domain {
    /// The least and the greatest number, of a range.
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        match self {
            Self::Float(range) => Some((range.low, range.high())),
            Self::Int(range) => Some((below(range.low), above(range.high()))),
            _ => None,
        }
    }

    /// The part of a range between `low` and `high`, both included; nothing if no answer lies between them. Domains
    /// that are no ranges stay whole.
    pub(crate) fn between(&self, low: f64, high: f64) -> Option<Self> {
        match self {
            Self::Float(range) => range.between(low, high),
            Self::Int(range) => range.between(low, high),
            whole => Some(whole.clone()),
        }
    }

    /// The same domain with those of its values that `keep` wants; nothing if that is none. Only for choices, ordinals
    /// and fixed answers; other domains stay whole.
    pub(crate) fn keep(&self, mut keep: impl FnMut(&Value) -> bool) -> Option<Self> {
        let some = |choice: &Choice, keep: &mut dyn FnMut(&Value) -> bool| {
            let kept: Vec<Value> = choice.0.iter().filter(|value| keep(value)).cloned().collect();
            (!kept.is_empty()).then_some(Choice(kept))
        };
        match self {
            Self::Choice(choice) => some(choice, &mut keep).map(Self::Choice),
            Self::Ordinal(choice) => some(choice, &mut keep).map(Self::Ordinal),
            Self::Fixed(value) => keep(value).then(|| self.clone()),
            whole => Some(whole.clone()),
        }
    }

    /// The chance that a random answer is the `k`-th of a domain that can be counted.
    pub(crate) fn mass(&self, k: u128) -> f64 {
        match self {
            Self::Int(range) if range.log => {
                let x = range.at(k) as f64;
                ((x + 0.5) / (x - 0.5)).ln() / ((range.high as f64 + 0.5) / (range.low as f64 - 0.5)).ln()
            }
            domain => 1.0 / domain.count().unwrap_or(u128::MAX) as f64,
        }
    }

    /// A share at which [`Domain::at_share`] gives this answer, up to rounding; the middle where it is none, and for
    /// subsets and permutations, whose shares are seeds.
    pub(crate) fn share(&self, value: &Value) -> f64 {
        let cell = |k: f64, n: u128| (k + 0.5) / n as f64;
        let share = match (self, value) {
            (Self::Float(range), Value::Float(x)) => match (range.step, range.points()) {
                (Some(step), Some(n)) => cell(((x - range.low) / step).round(), n),
                _ if range.log => (x.ln() - range.low.ln()) / (range.high.ln() - range.low.ln()),
                _ => (x - range.low) / (range.high - range.low),
            },
            (Self::Int(range), Value::Int(i)) if range.log => {
                let (a, b) = ((range.low as f64 - 0.5).ln(), (range.high as f64 + 0.5).ln());
                ((*i as f64).ln() - a) / (b - a)
            }
            (Self::Int(range), Value::Int(i)) => {
                let offset = i128::from(*i) - i128::from(range.low);
                cell((offset / i128::from(range.step)) as f64, range.points())
            }
            (Self::Choice(choice) | Self::Ordinal(choice), value) => {
                choice.position(value).map_or(0.5, |k| cell(k as f64, choice.0.len() as u128))
            }
            _ => 0.5,
        };
        share.clamp(0.0, 1.0)
    }

    /// The chance that a random answer of `whole` lies in this part of it.
    pub(crate) fn share_of(&self, whole: &Self) -> f64 {
        let ratio = |part: f64, whole: f64| (part / whole).clamp(0.0, 1.0);
        match (self, whole) {
            (Self::Float(a), Self::Float(b)) if b.step.is_none() && b.log => {
                ratio((a.high / a.low).ln(), (b.high / b.low).ln())
            }
            (Self::Float(a), Self::Float(b)) if b.step.is_none() => ratio(a.high - a.low, b.high - b.low),
            (Self::Int(a), Self::Int(b)) if b.log => {
                let width = |range: &Int| ((range.high as f64 + 0.5) / (range.low as f64 - 0.5)).ln();
                ratio(width(a), width(b))
            }
            (Self::Fixed(only), Self::Int(range)) if range.log => {
                let x = only.as_f64().unwrap_or(1.0);
                ratio(((x + 0.5) / (x - 0.5)).ln(), ((range.high as f64 + 0.5) / (range.low as f64 - 0.5)).ln())
            }
            (part, whole) => match (part.count(), whole.count()) {
                (Some(part), Some(whole)) => part as f64 / whole as f64,
                (Some(_), None) => 0.0,
                _ => 1.0,
            },
        }
    }
}

impl Float {
    fn between(&self, low: f64, high: f64) -> Option<Domain> {
        let (mut a, mut b) = (low.max(self.low), high.min(self.high));
        let mut grid = self.grid;
        if let (Some(step), Some(points)) = (self.step, self.points()) {
            let last = (points - 1) as f64;
            let (mut first, mut end) =
                (((a - self.low) / step).floor().clamp(0.0, last), ((b - self.low) / step).ceil().clamp(0.0, last));
            // The quotient may be off by rounding, by far less than a step.
            while first <= last && self.at(first) < low {
                first += 1.0;
            }
            while end >= 0.0 && self.at(end) > high {
                end -= 1.0;
            }
            if first > end {
                return None;
            }
            (a, b) = (self.at(first), self.at(end));
            grid.before += first;
        }
        match a.partial_cmp(&b)? {
            std::cmp::Ordering::Less => Some(Domain::Float(Self { low: a, high: b, grid, ..self.clone() })),
            std::cmp::Ordering::Equal => Some(Domain::Fixed(Value::Float(a))),
            std::cmp::Ordering::Greater => None,
        }
    }
}

impl Int {
    fn between(&self, low: f64, high: f64) -> Option<Domain> {
        let step = i128::from(self.step);
        let offset = |x: f64| x.clamp(-2e19, 2e19) as i128 - i128::from(self.low);
        let last = (self.points() - 1) as i128;
        let first = offset(low.ceil()).max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as i128;
        let end = offset(high.floor()).div_euclid(step).min(last);
        if first > end {
            return None;
        }
        let (a, b) = (self.at(first.unsigned_abs()), self.at(end.unsigned_abs()));
        Some(if a == b { Domain::Fixed(Value::Int(a)) } else { Domain::Int(Self { low: a, high: b, ..self.clone() }) })
    }
}

/// The largest float not above `i`.
pub(crate) fn below(i: i64) -> f64 {
    if i.unsigned_abs() < 1 << 53 { i as f64 } else { (i as f64).next_down() }
}

/// The smallest float not below `i`.
pub(crate) fn above(i: i64) -> f64 {
    if i.unsigned_abs() < 1 << 53 { i as f64 } else { (i as f64).next_up() }
}
