//! By how much a condition is missed: what a search under measured constraints learns from.

use crate::evaluate::{Comparison, Node};
use crate::expression::{Expr, Truth};
use crate::name::Name;
use crate::value::Value;

impl Expr {
    /// By how much the expression is missed: above 0 if it does not hold, otherwise 0 or, as a margin, below. For
    /// `latency <= 10` it is `latency - 10`; of terms joined by `and` the largest counts, of those joined by `or` the
    /// smallest; what knows no distance, such as `kind == 'a'`, is missed by 1. Nothing if it rests on an answer that
    /// there is not.
    pub fn excess(&self, answer: &dyn Fn(&Name) -> Option<Value>) -> Option<f64> {
        let answers: Vec<Option<Value>> = self.names().iter().map(|(name, _)| answer(name)).collect();
        self.compiled_as_written().excess(&answers)
    }
}

impl Node {
    fn excess(&self, slots: &[Option<Value>]) -> Option<f64> {
        match self {
            Self::Compare(how, a, b) => match (a.number(slots), b.number(slots)) {
                (Some(a), Some(b)) => Some(distance(*how, a - b)).filter(|distance| !distance.is_nan()),
                _ => self.by_truth(slots),
            },
            // `not a < b` is `a >= b`; of the rest, whatever just holds is then just missed.
            Self::Not(inner) => match &**inner {
                Self::Compare(how, a, b) => Self::Compare(how.opposite(), a.clone(), b.clone()).excess(slots),
                inner => inner.excess(slots).map(|excess| if excess == 0.0 { f64::MIN_POSITIVE } else { -excess }),
            },
            Self::And(terms) => {
                let known: Vec<Option<f64>> = terms.iter().map(|term| term.excess(slots)).collect();
                let largest = known.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
                (largest > 0.0 || known.iter().all(Option::is_some)).then_some(largest)
            }
            Self::Or(terms) => {
                let known: Vec<Option<f64>> = terms.iter().map(|term| term.excess(slots)).collect();
                let smallest = known.iter().flatten().copied().fold(f64::INFINITY, f64::min);
                (smallest <= 0.0 || known.iter().all(Option::is_some)).then_some(smallest)
            }
            _ => self.by_truth(slots),
        }
    }

    fn by_truth(&self, slots: &[Option<Value>]) -> Option<f64> {
        match self.truth(slots) {
            Truth::Yes => Some(0.0),
            Truth::No => Some(1.0),
            Truth::Unknown => None,
        }
    }
}

/// Above 0 where `difference how 0` does not hold.
fn distance(how: Comparison, difference: f64) -> f64 {
    // What must not be equal misses equality by the smallest there is.
    let strict = |d: f64| if d == 0.0 { f64::MIN_POSITIVE } else { d };
    match how {
        Comparison::AtMost => difference,
        Comparison::Less => strict(difference),
        Comparison::AtLeast => -difference,
        Comparison::Greater => strict(-difference),
        Comparison::Equal => difference.abs(),
        Comparison::Different => strict(-difference.abs()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Expr, Truth, Value};

    fn excess(source: &str, x: Option<f64>) -> Option<f64> {
        let expr = Expr::parse(source).unwrap();
        let answer = |name: &crate::Name| match name.as_str() {
            "x" => x.map(Value::Float),
            "kind" => Some(Value::from("a")),
            _ => None,
        };
        let excess = expr.excess(&answer);
        match expr.truth(&answer) {
            Truth::Yes => assert!(excess.unwrap() <= 0.0, "{source}: {excess:?}"),
            Truth::No => assert!(excess.unwrap() > 0.0, "{source}: {excess:?}"),
            Truth::Unknown => assert_eq!(excess, None, "{source}"),
        }
        excess
    }

    #[test]
    fn what_does_not_hold_is_missed_by_its_distance() {
        assert_eq!(excess("x <= 10", Some(12.0)), Some(2.0));
        assert_eq!(excess("x <= 10", Some(10.0)), Some(0.0));
        assert_eq!(excess("x >= 10", Some(4.0)), Some(6.0));
        assert_eq!(excess("10 > x", Some(7.0)), Some(-3.0));
        assert_eq!(excess("x == 3", Some(5.0)), Some(2.0));
        assert_eq!(excess("not x <= 10", Some(7.0)), Some(3.0));
        assert_eq!(excess("x <= 10 and x >= 9", Some(7.0)), Some(2.0));
        assert_eq!(excess("x >= 10 or x <= 6", Some(7.0)), Some(1.0));
        assert_eq!(excess("kind == 'b'", None), Some(1.0));
    }

    #[test]
    fn it_is_above_zero_exactly_where_the_expression_does_not_hold() {
        let sources = [
            "x < 10",
            "x > 10",
            "x != 10",
            "not (x < 10 and x > 2)",
            "not (x < 2 or x > 10)",
            "x in [1, 10]",
            "kind in ['a'] and x <= 10",
            "x <= 10 or y < 3",
            "y < 3",
            "x <= 10 and y < 3",
            "not kind == 'a'",
        ];
        for source in sources {
            for x in [None, Some(1.0), Some(2.0), Some(10.0), Some(11.0)] {
                excess(source, x);
            }
        }
    }
}
