//! What the properties are tried on.

use kilter_space::{Choice, Domain, Float, Int, Value};
use proptest::prelude::*;

/// Finite numbers of every magnitude, with the ends of the format among them.
pub fn number() -> impl Strategy<Value = f64> {
    let edges =
        [0.0, -0.0, 0.1, -0.1, 0.3, 1.0, 1e-300, -1e-300, 1e300, -1e300, 5e-324, f64::MAX, f64::MIN, 1e16, 1e-5];
    prop_oneof![
        3 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        3 => -1e3..1e3_f64,
        2 => prop::sample::select(edges.to_vec()),
    ]
}

/// Whole numbers, with the ends of the format among them.
pub fn whole() -> impl Strategy<Value = i64> {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    prop_oneof![any::<i64>(), -100..100_i64, prop::sample::select(edges.to_vec())]
}

/// Texts, most of them chosen to trip a reader of the inline syntax.
pub fn text() -> impl Strategy<Value = String> {
    let traps = [
        "",
        " ",
        " a",
        "null",
        "true",
        "1",
        "1.0",
        "1e5",
        "nan",
        "inf",
        "-",
        "a|b",
        "|",
        "'",
        "\"",
        "''",
        "'a",
        "a'",
        "'a'",
        "\"a\"",
        "don't",
        "it's \"so\"",
        "'\"|",
        "'a'|\"b\"",
        "0..1",
        "a..b",
        "int:1..2",
        "log:1..2",
        "fixed:1",
        "fixed:",
        "int:",
        "choice:a",
        "x:y",
        "größe",
        "数",
        "🦀|🦀",
        "a\nb",
        "a=b",
        "\\",
        "\u{a0}",
        "''|''",
    ];
    prop_oneof![
        prop::sample::select(traps.to_vec()).prop_map(str::to_owned),
        "\\PC{0,12}",
        "[ab'\"|.:/ ]{0,8}",
        "[a-z_]{1,12}",
    ]
}

/// Values that are no lists.
pub fn plain_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => whole().prop_map(Value::from),
        3 => number().prop_map(Value::from),
        4 => text().prop_map(|text| Value::from(text.as_str())),
    ]
}

/// Values, lists of lists among them.
pub fn value() -> impl Strategy<Value = Value> {
    plain_value()
        .prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(|items| Value::List(items.into())))
}

fn float() -> impl Strategy<Value = Float> {
    let plain = || (number(), number()).prop_filter_map("a range", |(a, b)| Float::new(a.min(b), a.max(b)).ok());
    let log = (number(), number()).prop_filter_map("a range", |(a, b)| {
        let (a, b) = (a.abs(), b.abs());
        Float::log(a.min(b), a.max(b)).ok()
    });
    let stepped = (plain(), 1e-13..1.0_f64)
        .prop_filter_map("a grid", |(range, share)| range.clone().step((range.high() - range.low()) * share).ok());
    let decimal =
        (-1000..1000_i32, 1..5000_i32, 1..100_i32, 0..7_i32).prop_filter_map("a grid", |(low, width, step, p)| {
            let unit = 10_f64.powi(p);
            Float::new(f64::from(low) / unit, f64::from(low + width) / unit).ok()?.step(f64::from(step) / unit).ok()
        });
    prop_oneof![plain(), log, stepped, decimal]
}

fn int() -> impl Strategy<Value = Int> {
    let plain = || (whole(), whole()).prop_filter_map("a range", |(a, b)| Int::new(a.min(b), a.max(b)).ok());
    let log = (whole(), whole()).prop_filter_map("a range", |(a, b)| {
        let (a, b) = (a.saturating_abs(), b.saturating_abs());
        Int::log(a.min(b), a.max(b)).ok()
    });
    let width = prop_oneof![1..20_u64, any::<u64>(), Just(u64::MAX)];
    let stepped = (plain(), width).prop_filter_map("a grid", |(range, step)| range.step(step).ok());
    prop_oneof![plain(), log, stepped]
}

fn domain_of(value: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Domain> {
    let kinds = [Domain::Choice as fn(Choice) -> Domain, Domain::Ordinal, Domain::Subset, Domain::Permutation];
    let choice = (prop::collection::vec(value.clone(), 1..6), prop::sample::select(kinds.to_vec()))
        .prop_filter_map("distinct values", |(values, kind)| Choice::new(values).ok().map(kind));
    prop_oneof![float().prop_map(Domain::Float), int().prop_map(Domain::Int), choice, value.prop_map(Domain::Fixed)]
}

/// Domains of plain values.
pub fn plain_domain() -> impl Strategy<Value = Domain> {
    domain_of(plain_value().boxed())
}

/// Domains of any values.
pub fn domain() -> impl Strategy<Value = Domain> {
    domain_of(value().boxed())
}
