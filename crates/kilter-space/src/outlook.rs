//! What can still become of an expression while some of its names are open.

use crate::domain::Domain;
use crate::domain::part::{above, below};
use crate::entry::Entry;
use crate::evaluate::{Comparison, Extreme, Node, compare};
use crate::expression::Truth;
use crate::interval::{Affine, Interval};
use crate::value::Value;

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It may be asked, or not.
    Open,
    /// It will be asked, with the domain of this entry.
    Certain(usize),
    /// It was asked.
    Answered,
    /// It will not be asked.
    Absent,
}

/// All that is known before the last answer.
#[derive(Clone, Copy)]
pub(crate) struct Outlook<'a> {
    pub(crate) entries: &'a [Entry],
    /// Answers so far.
    pub(crate) slots: &'a [Option<Value>],
    pub(crate) stages: &'a [Stage],
    /// Of a slot that one entry alone fills, that entry.
    pub(crate) only: &'a [Option<usize>],
    /// What numeric answers can still be.
    pub(crate) ranges: &'a [Interval],
    /// One slot with the answer that it would have.
    pub(crate) probe: Option<(usize, &'a Value)>,
}

/// The truths an expression can still come to, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truths(u8);

impl Truths {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const YES: Self = Self(1);
    pub(crate) const NO: Self = Self(2);
    pub(crate) const UNKNOWN: Self = Self(4);
    const ALL: Self = Self(7);

    fn only(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Self::YES,
            Truth::No => Self::NO,
            Truth::Unknown => Self::UNKNOWN,
        }
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }

    fn not(self) -> Self {
        Self(self.0 & 4).with(Self::NO.when(self.has(Self::YES))).with(Self::YES.when(self.has(Self::NO)))
    }

    /// A row of terms of which one `decisive` truth decides (no in an `and`, yes in an `or`).
    fn decided(terms: impl Iterator<Item = Self>, decisive: Self) -> Self {
        let weak = if decisive == Self::NO { Self::YES } else { Self::NO };
        // Can one term decide; can all be weak; can none decide; can one be unknown.
        let (mut decides, mut all_weak, mut none_decides, mut unknown) = (false, true, true, false);
        for term in terms {
            decides |= term.has(decisive);
            all_weak &= term.has(weak);
            none_decides &= term.has(weak.with(Self::UNKNOWN));
            unknown |= term.has(Self::UNKNOWN);
        }
        decisive.when(decides).with(weak.when(all_weak)).with(Self::UNKNOWN.when(none_decides && unknown))
    }
}

/// The values an expression can still come to.
#[derive(Clone, Copy, Debug)]
struct Guess<'a> {
    /// Perhaps it has none.
    absent: bool,
    what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Nothing,
    Among(&'a [Value]),
    Numbers(Interval),
    Anything,
}

static TRUE_AND_FALSE: [Value; 2] = [Value::Bool(true), Value::Bool(false)];

impl<'a> Guess<'a> {
    fn one(value: &'a Value) -> Self {
        Self { absent: false, what: What::Among(std::slice::from_ref(value)) }
    }

    const ANYTHING: Self = Self { absent: true, what: What::Anything };

    /// As numbers: the interval, if there can be any; whether there may be none.
    fn numbers(self) -> (Option<Interval>, bool) {
        match self.what {
            What::Nothing => (None, true),
            What::Anything => (Some(Interval::ALL), true),
            What::Numbers(interval) => (Some(interval), self.absent),
            What::Among(values) => {
                let mut found: Option<Interval> = None;
                let mut absent = self.absent;
                for value in values {
                    match number(value) {
                        Some(interval) => found = Some(found.map_or(interval, |f| f.hull(interval))),
                        None => absent = true,
                    }
                }
                (found, absent)
            }
        }
    }
}

/// A number as an interval of floats around it.
fn number(value: &Value) -> Option<Interval> {
    match value {
        Value::Int(i) => Some(Interval::new(below(*i), above(*i))),
        Value::Float(x) => Some(Interval::point(*x)),
        _ => None,
    }
}

/// Pairs of values are compared one by one up to this many.
const PAIRS: usize = 1 << 10;

fn compared(how: Comparison, a: Guess<'_>, b: Guess<'_>) -> Truths {
    let absent = Truths::UNKNOWN.when(a.absent || b.absent);
    let with = match (a.what, b.what) {
        (What::Nothing, _) | (_, What::Nothing) => Truths::UNKNOWN,
        (What::Anything, _) | (_, What::Anything) => Truths::ALL,
        (What::Numbers(a), What::Numbers(b)) => apart(how, a, b),
        (What::Numbers(a), What::Among(values)) => beside(how, a, values),
        (What::Among(values), What::Numbers(b)) => beside(how.mirrored(), b, values),
        (What::Among(xs), What::Among(ys)) if xs.len() * ys.len() <= PAIRS => {
            let pairs = xs.iter().flat_map(|x| ys.iter().map(move |y| Truths::only(compare(how, x, y))));
            pairs.fold(Truths::NONE, Truths::with)
        }
        (What::Among(_), What::Among(_)) => match how {
            Comparison::Equal | Comparison::Different => Truths::YES.with(Truths::NO),
            _ => Truths::ALL,
        },
    };
    absent.with(with)
}

/// Numbers of an interval beside each of several values.
fn beside(how: Comparison, a: Interval, values: &[Value]) -> Truths {
    let other_kind = match how {
        Comparison::Equal => Truths::NO,
        Comparison::Different => Truths::YES,
        _ => Truths::UNKNOWN,
    };
    let each = values.iter().map(|value| number(value).map_or(other_kind, |b| apart(how, a, b)));
    each.fold(Truths::NONE, Truths::with)
}

/// Two intervals beside each other.
fn apart(how: Comparison, a: Interval, b: Interval) -> Truths {
    match how {
        Comparison::Equal => {
            let same = a.low == b.high && a.high == b.low;
            Truths::YES.when(a.meet(b).is_some()).with(Truths::NO.when(!same))
        }
        Comparison::Less => Truths::YES.when(a.low < b.high).with(Truths::NO.when(a.high >= b.low)),
        Comparison::AtMost => Truths::YES.when(a.low <= b.high).with(Truths::NO.when(a.high > b.low)),
        Comparison::Different => apart(Comparison::Equal, a, b).not(),
        Comparison::Greater | Comparison::AtLeast => apart(how.mirrored(), b, a),
    }
}

impl<'a> Outlook<'a> {
    /// The truths that `node` can still come to, and perhaps some more.
    pub(crate) fn truths(&self, node: &'a Node) -> Truths {
        match node {
            Node::Not(inner) => self.truths(inner).not(),
            Node::And(terms) => Truths::decided(terms.iter().map(|term| self.truths(term)), Truths::NO),
            Node::Or(terms) => Truths::decided(terms.iter().map(|term| self.truths(term)), Truths::YES),
            Node::Compare(how, a, b) => compared(*how, self.guess(a), self.guess(b)),
            Node::In(item, list) => {
                let item = self.guess(item);
                let same = |entry| compared(Comparison::Equal, item, self.guess(entry));
                Truths::decided(list.iter().map(same), Truths::YES)
            }
            _ => match self.guess(node) {
                Guess { what: What::Nothing | What::Numbers(_), .. } => Truths::UNKNOWN,
                Guess { what: What::Anything, .. } => Truths::ALL,
                Guess { what: What::Among(values), absent } => {
                    let each = values.iter().map(|value| match value {
                        Value::Bool(b) => Truths::only(if *b { Truth::Yes } else { Truth::No }),
                        _ => Truths::UNKNOWN,
                    });
                    each.fold(Truths::UNKNOWN.when(absent), Truths::with)
                }
            },
        }
    }

    fn guess(&self, node: &'a Node) -> Guess<'a> {
        match node {
            Node::Literal(value) => Guess::one(value),
            Node::Name(slot) => self.slot(*slot),
            Node::Negate(inner) => match self.guess(inner).numbers() {
                (Some(interval), absent) if interval.is_finite() => Guess { absent, what: What::Numbers(-interval) },
                (None, _) => Guess { absent: true, what: What::Nothing },
                _ => Guess::ANYTHING,
            },
            Node::Arithmetic(first, terms) => {
                let all = std::iter::once(('+', &**first)).chain(terms.iter().map(|(sign, term)| (*sign, term)));
                self.folded(all, Interval::operate)
            }
            Node::Extreme(which, list) => {
                let pick = match which {
                    Extreme::Min => f64::min,
                    Extreme::Max => f64::max,
                };
                let all = list.iter().map(|node| ('+', node));
                self.folded(all, |best, _, x| Some(Interval::new(pick(best.low, x.low), pick(best.high, x.high))))
            }
            _ => {
                let truths = self.truths(node);
                let what = match (truths.has(Truths::YES), truths.has(Truths::NO)) {
                    (true, true) => What::Among(&TRUE_AND_FALSE),
                    (true, false) => What::Among(&TRUE_AND_FALSE[..1]),
                    (false, true) => What::Among(&TRUE_AND_FALSE[1..]),
                    (false, false) => What::Nothing,
                };
                Guess { absent: truths.has(Truths::UNKNOWN), what }
            }
        }
    }

    /// A row of numbers made one. What may leave the finite numbers may be anything: infinities subtract to no number.
    fn folded(
        &self,
        row: impl Iterator<Item = (char, &'a Node)>,
        operate: impl Fn(Interval, char, Interval) -> Option<Interval>,
    ) -> Guess<'a> {
        let (mut result, mut absent) = (None, false);
        for (sign, node) in row {
            let (interval, may_be_absent) = self.guess(node).numbers();
            absent |= may_be_absent;
            let Some(interval) = interval else { return Guess { absent: true, what: What::Nothing } };
            let next = match result {
                None => Some(interval),
                Some(before) => operate(before, sign, interval),
            };
            match next.filter(|next| next.is_finite()) {
                Some(next) => result = Some(next),
                None => return Guess::ANYTHING,
            }
        }
        Guess { absent, what: result.map_or(What::Nothing, What::Numbers) }
    }

    fn slot(&self, slot: usize) -> Guess<'a> {
        if let Some((_, value)) = self.probe.filter(|(at, _)| *at == slot) {
            return Guess::one(value);
        }
        let open = |entry: usize, absent: bool| match &self.entries[entry].domain {
            Domain::Float(_) | Domain::Int(_) => Guess { absent, what: What::Numbers(self.ranges[slot]) },
            Domain::Choice(choice) | Domain::Ordinal(choice) => Guess { absent, what: What::Among(choice.values()) },
            Domain::Fixed(value) => Guess { absent, ..Guess::one(value) },
            Domain::Subset(_) | Domain::Permutation(_) => Guess::ANYTHING,
        };
        match self.stages[slot] {
            Stage::Absent => Guess { absent: true, what: What::Nothing },
            Stage::Answered => self.slots[slot].as_ref().map_or(Guess::ANYTHING, Guess::one),
            Stage::Certain(entry) => open(entry, false),
            Stage::Open => self.only[slot].map_or(Guess::ANYTHING, |entry| open(entry, true)),
        }
    }

    /// Where the numeric answer of `slot` can lie if `node` is not to be false (`holds`; else: not to be true); nothing
    /// if it cannot be so at all. Exact where the answer stands once and linearly, else perhaps too wide.
    pub(crate) fn bounds(&self, node: &'a Node, slot: usize, holds: bool) -> Option<Interval> {
        match node {
            Node::Not(inner) => self.bounds(inner, slot, !holds),
            Node::And(terms) if holds => self.all(terms.iter().map(|term| self.bounds(term, slot, true))),
            Node::Or(terms) if !holds => self.all(terms.iter().map(|term| self.bounds(term, slot, false))),
            Node::Or(terms) if holds => self.any(terms.iter().map(|term| self.bounds(term, slot, true))),
            Node::And(terms) => self.any(terms.iter().map(|term| self.bounds(term, slot, false))),
            Node::Compare(how, a, b) => self.beside(if holds { *how } else { how.opposite() }, a, b, slot),
            Node::In(item, list) if holds => {
                self.any(list.iter().map(|entry| self.beside(Comparison::Equal, item, entry, slot)))
            }
            _ => {
                let wrong = if holds { Truths::NO } else { Truths::YES };
                (self.truths(node) != wrong).then_some(Interval::ALL)
            }
        }
    }

    fn all(&self, mut terms: impl Iterator<Item = Option<Interval>>) -> Option<Interval> {
        terms.try_fold(Interval::ALL, |all, term| all.meet(term?))
    }

    fn any(&self, terms: impl Iterator<Item = Option<Interval>>) -> Option<Interval> {
        terms.flatten().reduce(Interval::hull)
    }

    fn beside(&self, how: Comparison, a: &'a Node, b: &'a Node, slot: usize) -> Option<Interval> {
        let truths = compared(how, self.guess(a), self.guess(b));
        if truths == Truths::NO {
            return None;
        }
        if truths.has(Truths::UNKNOWN) || how == Comparison::Different {
            return Some(Interval::ALL);
        }
        if how == Comparison::Equal {
            let below = self.beside(Comparison::AtMost, a, b, slot)?;
            return below.meet(self.beside(Comparison::AtLeast, a, b, slot)?);
        }
        let (how, a, b) = match (a, b) {
            (_, Node::Extreme(..)) if !matches!(a, Node::Extreme(..)) => (how.mirrored(), b, a),
            _ => (how, a, b),
        };
        let small = matches!(how, Comparison::Less | Comparison::AtMost);
        if let Node::Extreme(which, list) = a {
            // The largest is small if all are; the largest is large if one is.
            let terms = list.iter().map(|term| self.beside(how, term, b, slot));
            return if small == (*which == Extreme::Max) { self.all(terms) } else { self.any(terms) };
        }
        let difference = || self.affine(a, slot)?.beside(self.affine(b, slot)?);
        match difference() {
            Some(difference) if small => difference.at_most_zero(),
            Some(difference) => difference.negated().at_most_zero(),
            None => Some(Interval::ALL),
        }
    }

    /// An expression as a line in the answer of `slot`, where it is one.
    fn affine(&self, node: &'a Node, slot: usize) -> Option<Affine> {
        let reach = self.ranges[slot].size();
        match node {
            Node::Name(at) if *at == slot => Some(Affine::unknown(reach)),
            Node::Literal(_) | Node::Name(_) => {
                let interval = self.guess(node).numbers().0.filter(|interval| interval.is_finite())?;
                Some(Affine::known(interval, reach))
            }
            Node::Negate(inner) => Some(self.affine(inner, slot)?.negated()),
            Node::Arithmetic(first, terms) => terms
                .iter()
                .try_fold(self.affine(first, slot)?, |sum, (sign, term)| sum.operate(*sign, self.affine(term, slot)?)),
            Node::Extreme(which, list) => {
                let pick = match which {
                    Extreme::Min => f64::min,
                    Extreme::Max => f64::max,
                };
                let mut terms = list.iter().map(|term| self.affine(term, slot));
                let first = terms.next()??;
                terms.try_fold(first, |best, term| best.extreme(term?, pick))
            }
            _ => None,
        }
    }
}
