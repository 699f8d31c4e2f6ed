//! The trees of conditions and constraints, and what they come to. Names are slots: positions among the answers.
//!
//! Truth is Kleene's three-valued one: whatever touches a question that was not asked is unknown, `unknown or true` is
//! true. Cost: a few nanoseconds per node; nothing is cloned.

use std::cmp::Ordering;

use crate::expression::Truth;
use crate::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Literal(Value),
    Name(usize),
    Not(Box<Node>),
    // Rows and not pairs: a row of a hundred thousand terms must not nest, or the stack ends before it does.
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Arithmetic(Box<Node>, Vec<(char, Node)>),
    Negate(Box<Node>),
    Extreme(Extreme, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Comparison {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extreme {
    Min,
    Max,
}

/// A value on its way through an expression.
#[derive(Clone, Copy, Debug)]
enum Passing<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Other(&'a Value),
}

impl<'a> Passing<'a> {
    fn new(value: &'a Value) -> Self {
        match value {
            Value::Int(i) => Self::Int(*i),
            Value::Float(x) => Self::Float(*x),
            Value::Bool(b) => Self::Bool(*b),
            other => Self::Other(other),
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(i as f64),
            Self::Float(x) => Some(x),
            Self::Bool(_) | Self::Other(_) => None,
        }
    }

    /// How two numbers stand to each other. Whole numbers compare exactly: floats cannot hold those beyond 2⁵³.
    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    /// Numbers compare as numbers (`1 == 1.0`), everything else by kind and content.
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }
}

/// Are these the same answer to an expression?
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    Passing::new(a).equals(Passing::new(b))
}

/// What comparing two values comes to.
pub(crate) fn compare(how: Comparison, a: &Value, b: &Value) -> Truth {
    how.holds(Passing::new(a), Passing::new(b))
}

impl Comparison {
    fn holds(self, a: Passing<'_>, b: Passing<'_>) -> Truth {
        let ordered =
            |wanted: fn(Ordering) -> bool| a.order(b).map_or(Truth::Unknown, |order| Truth::of(wanted(order)));
        match self {
            Self::Equal => Truth::of(a.equals(b)),
            Self::Different => Truth::of(!a.equals(b)),
            Self::Less => ordered(Ordering::is_lt),
            Self::AtMost => ordered(Ordering::is_le),
            Self::Greater => ordered(Ordering::is_gt),
            Self::AtLeast => ordered(Ordering::is_ge),
        }
    }

    /// What holds exactly where this, of two numbers, does not.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::Different,
            Self::Different => Self::Equal,
            Self::Less => Self::AtLeast,
            Self::AtMost => Self::Greater,
            Self::Greater => Self::AtMost,
            Self::AtLeast => Self::Less,
        }
    }

    /// The same with its sides exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }
}

impl Truth {
    fn of(b: bool) -> Self {
        if b { Self::Yes } else { Self::No }
    }
}

impl Node {
    /// The same tree with other slots.
    pub(crate) fn renamed(&self, slot: &dyn Fn(usize) -> usize) -> Self {
        let boxed = |node: &Self| Box::new(node.renamed(slot));
        let all = |list: &[Self]| list.iter().map(|node| node.renamed(slot)).collect();
        match self {
            Self::Literal(value) => Self::Literal(value.clone()),
            Self::Name(name) => Self::Name(slot(*name)),
            Self::Not(a) => Self::Not(boxed(a)),
            Self::Negate(a) => Self::Negate(boxed(a)),
            Self::And(list) => Self::And(all(list)),
            Self::Or(list) => Self::Or(all(list)),
            Self::Extreme(which, list) => Self::Extreme(*which, all(list)),
            Self::Compare(how, a, b) => Self::Compare(*how, boxed(a), boxed(b)),
            Self::In(a, list) => Self::In(boxed(a), all(list)),
            Self::Arithmetic(a, terms) => {
                Self::Arithmetic(boxed(a), terms.iter().map(|(sign, term)| (*sign, term.renamed(slot))).collect())
            }
        }
    }

    /// Does it hold? A slot without an answer is a question that was not asked.
    pub(crate) fn truth(&self, slots: &[Option<Value>]) -> Truth {
        match self {
            Self::Not(inner) => match inner.truth(slots) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Unknown => Truth::Unknown,
            },
            Self::And(terms) => decide(terms.iter().map(|term| term.truth(slots)), Truth::No),
            Self::Or(terms) => decide(terms.iter().map(|term| term.truth(slots)), Truth::Yes),
            Self::Compare(how, a, b) => match (a.value(slots), b.value(slots)) {
                (Some(a), Some(b)) => how.holds(a, b),
                _ => Truth::Unknown,
            },
            Self::In(item, list) => match item.value(slots) {
                Some(item) => {
                    let same =
                        |node: &Self| node.value(slots).map_or(Truth::Unknown, |entry| Truth::of(item.equals(entry)));
                    decide(list.iter().map(same), Truth::Yes)
                }
                None => Truth::Unknown,
            },
            _ => match self.value(slots) {
                Some(Passing::Bool(b)) => Truth::of(b),
                _ => Truth::Unknown,
            },
        }
    }

    /// The number it comes to, if it is one.
    pub(crate) fn number(&self, slots: &[Option<Value>]) -> Option<f64> {
        self.value(slots)?.number()
    }

    fn value<'a>(&'a self, slots: &'a [Option<Value>]) -> Option<Passing<'a>> {
        match self {
            Self::Literal(literal) => Some(Passing::new(literal)),
            Self::Name(slot) => slots[*slot].as_ref().map(Passing::new),
            Self::Arithmetic(first, terms) => {
                let mut result = first.number(slots)?;
                for (operator, term) in terms {
                    let term = term.number(slots)?;
                    match operator {
                        '+' => result += term,
                        '-' => result -= term,
                        '*' => result *= term,
                        _ => result /= term,
                    }
                }
                Some(Passing::Float(result))
            }
            Self::Negate(inner) => Some(Passing::Float(-inner.number(slots)?)),
            Self::Extreme(which, list) => {
                let pick = match which {
                    Extreme::Min => f64::min,
                    Extreme::Max => f64::max,
                };
                let mut numbers = list.iter().map(|node| node.number(slots));
                let first = numbers.next()??;
                numbers.try_fold(first, |best, number| Some(pick(best, number?))).map(Passing::Float)
            }
            _ => match self.truth(slots) {
                Truth::Yes => Some(Passing::Bool(true)),
                Truth::No => Some(Passing::Bool(false)),
                Truth::Unknown => None,
            },
        }
    }
}

/// A row joined by `or` (`decisive` is yes) or by `and` (it is no): one decisive term decides; else one unknown term
/// leaves the row unknown.
fn decide(terms: impl Iterator<Item = Truth>, decisive: Truth) -> Truth {
    let mut all = if decisive == Truth::Yes { Truth::No } else { Truth::Yes };
    for term in terms {
        if term == decisive {
            return decisive;
        }
        if term == Truth::Unknown {
            all = Truth::Unknown;
        }
    }
    all
}
