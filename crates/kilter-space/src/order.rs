//! The order in which questions are asked, and whether two of one name exclude each other.

use crate::evaluate::{Comparison, Node, equal};
use crate::expression::Expr;
use crate::name::Name;
use crate::value::Value;

/// An order in which parents come first and otherwise the given order holds, or the members of a ring.
pub(crate) fn sort(parents: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; parents.len()];
    let mut order = Vec::with_capacity(parents.len());
    // An explicit stack: spaces with a thousand nested conditions exist.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..parents.len() {
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            path.push((start, 0));
        }
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            match parents[node].get(*next) {
                None => {
                    marks[node] = Mark::Done;
                    order.push(node);
                    path.pop();
                }
                Some(&parent) => {
                    *next += 1;
                    match marks[parent] {
                        Mark::Done => {}
                        Mark::Open => {
                            let from = path.iter().position(|&(n, _)| n == parent).unwrap_or(0);
                            return Err(path[from..].iter().map(|&(n, _)| n).collect());
                        }
                        Mark::New => {
                            marks[parent] = Mark::Open;
                            path.push((parent, 0));
                        }
                    }
                }
            }
        }
    }
    Ok(order)
}

/// What a condition demands of one name: one of these values, or (`but`) any other than these.
struct Demand {
    name: Name,
    values: Vec<Value>,
    but: bool,
}

/// Can these conditions never both hold? Seen where both test one name against literals: by `==`, `!=`, `in`, `not in`,
/// or as true or false by itself.
pub(crate) fn exclude_each_other(a: &Expr, b: &Expr) -> bool {
    let (a, b) = (demands(a), demands(b));
    let among = |value: &Value, values: &[Value]| values.iter().any(|other| equal(value, other));
    a.iter().any(|a| {
        b.iter().filter(|b| a.name == b.name).any(|b| match (a.but, b.but) {
            (false, false) => !a.values.iter().any(|value| among(value, &b.values)),
            (false, true) => a.values.iter().all(|value| among(value, &b.values)),
            (true, false) => b.values.iter().all(|value| among(value, &a.values)),
            (true, true) => false,
        })
    })
}

/// What must hold of single names if the condition is to hold.
fn demands(condition: &Expr) -> Vec<Demand> {
    let names = condition.names();
    // Slots are the names' places in the text.
    let root = condition.compiled(|name| names.iter().position(|(other, _)| *other == name).unwrap_or(usize::MAX));
    let (mut found, mut open) = (Vec::new(), vec![(&root, true)]);
    let literal = |node: &Node| match node {
        Node::Literal(value) => Some(value.clone()),
        _ => None,
    };
    while let Some((node, holds)) = open.pop() {
        let demand = match node {
            Node::And(terms) if holds => {
                open.extend(terms.iter().map(|term| (term, true)));
                None
            }
            Node::Or(terms) if !holds => {
                open.extend(terms.iter().map(|term| (term, false)));
                None
            }
            Node::Not(inner) => {
                open.push((inner, !holds));
                None
            }
            Node::Name(slot) => Some((*slot, Some(vec![Value::Bool(holds)]), false)),
            Node::Compare(how @ (Comparison::Equal | Comparison::Different), a, b) => match (&**a, &**b) {
                (Node::Name(slot), other) | (other, Node::Name(slot)) => {
                    Some((*slot, literal(other).map(|value| vec![value]), (*how == Comparison::Equal) != holds))
                }
                _ => None,
            },
            Node::In(item, list) => match &**item {
                Node::Name(slot) => Some((*slot, list.iter().map(literal).collect(), !holds)),
                _ => None,
            },
            _ => None,
        };
        if let Some((slot, Some(values), but)) = demand
            && let Some((name, _)) = names.get(slot)
        {
            found.push(Demand { name: (*name).clone(), values, but });
        }
    }
    found
}
