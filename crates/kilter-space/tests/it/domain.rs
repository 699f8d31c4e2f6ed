use kilter_space::{Choice, Domain, DomainError, Float, Int, Value};
use proptest::prelude::*;

use crate::given;

fn grid(low: f64, high: f64, step: f64) -> Domain {
    Domain::Float(Float::new(low, high).unwrap().step(step).unwrap())
}

/// The middle of the `k`-th of `n` equal shares.
fn share(k: u32, n: u32) -> f64 {
    (f64::from(k) + 0.5) / f64::from(n)
}

proptest! {
    #[test]
    fn every_answer_at_a_share_is_accepted_as_it_is(
        domain in given::domain(),
        u in prop_oneof![0.0..1.0_f64, Just(0.0), Just(1.0 - f64::EPSILON / 2.0)],
    ) {
        let answer = domain.at_share(u);
        prop_assert_eq!(domain.accept(&answer), Some(answer));
    }

    #[test]
    fn accepting_twice_is_accepting_once(domain in given::domain(), value in given::value()) {
        if let Some(held) = domain.accept(&value) {
            prop_assert_eq!(domain.accept(&held), Some(held));
        }
    }

    #[test]
    fn the_nearest_number_is_accepted(domain in given::domain(), x in given::number()) {
        let nearest = match &domain {
            Domain::Float(range) => Value::from(range.nearest(x)),
            Domain::Int(range) => Value::from(range.nearest(x)),
            _ => return Ok(()),
        };
        prop_assert_eq!(domain.accept(&nearest), Some(nearest));
    }

    #[test]
    fn a_domain_survives_json(domain in given::domain()) {
        let json = serde_json::to_string(&domain).unwrap();
        prop_assert_eq!(serde_json::from_str::<Domain>(&json).unwrap(), domain);
    }

    #[test]
    fn a_value_survives_json(value in given::value()) {
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    }

    #[test]
    fn points_of_a_decimal_grid_are_the_decimals_that_were_meant(
        low in -10_000..10_000_i64, step in 1..1000_i64, n in 1..400_i64, rest in 0..1000_i64, p in 0..10_u32,
    ) {
        let decimal = |digits: i64| format!("{digits}e-{p}").parse::<f64>().unwrap();
        let high = low + n * step + rest % step;
        let Domain::Float(range) = grid(decimal(low), decimal(high), decimal(step)) else { unreachable!() };
        let domain = Domain::Float(range.clone());
        prop_assert_eq!(domain.count(), Some(n as u128 + 1));
        prop_assert_eq!(range.high(), decimal(low + n * step));
        for k in 0..=n {
            let meant = decimal(low + k * step);
            let point = domain.at_share(share(k as u32, n as u32 + 1));
            prop_assert_eq!(point.to_string(), Value::from(meant).to_string());
            prop_assert_eq!(domain.accept(&Value::from(meant)), Some(point));
        }
    }

    #[test]
    fn points_of_any_grid_ascend_within_the_range(low in given::number(), width in 1e-3..1e9_f64, share in 2e-3..1.0_f64) {
        let Ok(range) = Float::new(low, low + width) else { return Ok(()) };
        let Ok(range) = range.step(width * share) else { return Ok(()) };
        let domain = Domain::Float(range.clone());
        let n = domain.count().unwrap() as u32;
        let points: Vec<f64> = (0..n).map(|k| domain.at_share(self::share(k, n)).as_f64().unwrap()).collect();
        prop_assert!(points.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(points[0] == low && points[points.len() - 1] <= low + width);
        prop_assert_eq!(range.high(), points[points.len() - 1]);
    }
}

#[test]
fn a_step_of_a_tenth_gives_exact_tenths() {
    let domain = grid(0.0, 1.0, 0.1);
    let points: Vec<String> = (0..11).map(|k| domain.at_share(share(k, 11)).to_string()).collect();
    assert_eq!(points.join(" "), "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0");
}

#[test]
fn a_grid_through_zero_has_one_zero_without_a_sign() {
    let domain = grid(-0.3, 0.3, 0.1);
    let points: Vec<String> = (0..7).map(|k| domain.at_share(share(k, 7)).to_string()).collect();
    assert_eq!(points.join(" "), "-0.3 -0.2 -0.1 0.0 0.1 0.2 0.3");
}

#[test]
fn a_step_that_does_not_divide_ends_at_the_last_point_inside() {
    let domain = grid(0.0, 1.0, 0.3);
    assert_eq!(domain.count(), Some(4));
    let Domain::Float(range) = &domain else { unreachable!() };
    assert_eq!(range.high(), 0.9);
    assert_eq!(range.nearest(1.0), 0.9);
    assert_eq!(domain.accept(&1.0.into()), None);
    assert_eq!(domain.accept(&0.8999999999.into()), Some(0.9.into()), "written with a rounding error");
    assert_eq!(domain.accept(&0.89.into()), None);
}

#[test]
fn a_very_fine_grid_keeps_its_points_apart_and_inside() {
    let domain = grid(0.0, 1.0 + 5.5e-12, 1e-11);
    assert_eq!(domain.count(), Some(100_000_000_001));
    let Domain::Float(range) = &domain else { unreachable!() };
    assert_eq!(range.high(), 1.0);
}

#[test]
fn the_ends_of_the_integers_can_be_answers() {
    let range = Int::new(i64::MIN, i64::MAX).unwrap();
    assert_eq!(range.points(), 1 << 64);
    assert_eq!((range.at(0), range.at(u128::MAX)), (i64::MIN, i64::MAX));
    assert_eq!((range.nearest(f64::NEG_INFINITY), range.nearest(f64::INFINITY)), (i64::MIN, i64::MAX));
    let domain = Domain::Int(range.clone());
    for end in [i64::MIN, i64::MAX] {
        assert_eq!(domain.accept(&end.into()), Some(end.into()));
    }
    let two = range.step(u64::MAX).unwrap();
    assert_eq!((two.points(), two.low(), two.high()), (2, i64::MIN, i64::MAX));
    let odd = Int::new(1, 8).unwrap().step(3).unwrap();
    assert_eq!((odd.points(), odd.high()), (3, 7));
    assert_eq!(Domain::Int(odd).accept(&8_i64.into()), None);
}

#[test]
fn numbers_change_kind_only_where_nothing_is_lost() {
    let ints = Domain::Int(Int::new(0, 10).unwrap());
    assert_eq!(ints.accept(&3.0.into()), Some(3_i64.into()));
    assert_eq!(ints.accept(&3.5.into()), None);
    assert_eq!(ints.accept(&f64::NAN.into()), None);
    let floats = Domain::Float(Float::new(0.0, 10.0).unwrap());
    assert_eq!(floats.accept(&3_i64.into()), Some(3.0.into()));
    assert_eq!(floats.accept(&f64::NAN.into()), None);
    assert_eq!(floats.accept(&"3".into()), None);
    assert_eq!(Domain::Fixed(1.0.into()).accept(&1_i64.into()), Some(1.0.into()));
}

#[test]
fn impossible_float_ranges_are_named() {
    assert_eq!(Float::new(1.0, 0.0), Err(DomainError::Swapped { low: 1.0.into(), high: 0.0.into() }));
    assert_eq!(Float::new(1.0, 1.0), Err(DomainError::OnePoint(1.0.into())));
    assert_eq!(Float::new(-0.0, 0.0), Err(DomainError::OnePoint((-0.0).into())));
    for (low, high) in [(f64::NEG_INFINITY, 0.0), (0.0, f64::INFINITY), (f64::MIN, f64::MAX)] {
        assert_eq!(Float::new(low, high), Err(DomainError::NotFinite { low, high }));
    }
    assert!(matches!(Float::new(f64::NAN, 1.0), Err(DomainError::NotFinite { .. })));
    assert!(matches!(Float::new(0.0, f64::NAN), Err(DomainError::NotFinite { .. })));
    for low in [0.0, -1.0] {
        assert!(matches!(Float::log(low, 1.0), Err(DomainError::LogOfNonPositive { .. })), "{low}");
    }
    let range = Float::new(0.0, 1.0).unwrap();
    for step in [0.0, -0.1, f64::INFINITY] {
        assert_eq!(range.clone().step(step), Err(DomainError::BadStep(step.into())));
    }
    assert!(matches!(range.clone().step(f64::NAN), Err(DomainError::BadStep(_))));
    assert!(matches!(range.clone().step(1.5), Err(DomainError::LongStep { .. })));
    assert!(range.step(1.0).is_ok(), "two points");
    assert_eq!(Float::log(0.1, 1.0).unwrap().step(0.1), Err(DomainError::LogWithStep));
}

/// Beyond 2^53 neighbouring floats the grid's points are no longer different numbers.
#[test]
fn a_step_below_the_resolution_of_floats_is_refused() {
    for (low, high, step) in [(0.0, 1e300, 1e-300), (0.0, 1.0, 1e-20), (1e9, 1e9 + 1.0, 1e-9)] {
        let refused = Float::new(low, high).unwrap().step(step);
        assert!(matches!(refused, Err(DomainError::TinyStep { .. })), "{low}..{high}/{step}: {refused:?}");
    }
}

#[test]
fn the_suggested_start_of_a_log_range_works() {
    for high in [1.0, 1e-6, 1e-9, 1e-320, 1e300] {
        let Err(DomainError::LogOfNonPositive { suggestion, .. }) = Float::log(0.0, high) else { panic!("{high}") };
        assert!(Float::log(suggestion.as_f64().unwrap(), high).is_ok(), "{suggestion} below {high}");
    }
}

#[test]
fn impossible_integer_ranges_are_named() {
    assert_eq!(Int::new(2, 1), Err(DomainError::Swapped { low: 2_i64.into(), high: 1_i64.into() }));
    assert_eq!(Int::new(2, 2), Err(DomainError::OnePoint(2_i64.into())));
    assert!(matches!(Int::log(0, 9), Err(DomainError::LogOfNonPositive { .. })));
    let range = Int::new(1, 8).unwrap();
    assert_eq!(range.clone().step(0), Err(DomainError::BadStep(0_i64.into())));
    assert!(matches!(range.step(8), Err(DomainError::LongStep { .. })));
    assert_eq!(Int::log(1, 8).unwrap().step(2), Err(DomainError::LogWithStep));
}

#[test]
fn impossible_choices_are_named() {
    assert_eq!(Choice::new(vec![]), Err(DomainError::NoChoice));
    let twice = Choice::new(vec!["a".into(), "b".into(), "a".into()]);
    assert_eq!(twice, Err(DomainError::TwiceTheSame("a".into())));
    assert!(Choice::new(vec![0.0.into(), (-0.0).into()]).is_err(), "equal numbers");
}

#[test]
fn choices_that_only_look_alike_are_distinct() {
    let list = |items: &[Value]| Value::List(items.into());
    let alike = vec![
        Value::Null,
        "null".into(),
        1_i64.into(),
        1.0.into(),
        "1".into(),
        list(&[1_i64.into()]),
        list(&["1".into()]),
        list(&["a,b".into()]),
        list(&["a".into(), "b".into()]),
        list(&[]),
        "".into(),
    ];
    let choice = Choice::new(alike.clone()).unwrap();
    for (k, value) in alike.iter().enumerate() {
        assert_eq!(choice.position(value), Some(k));
    }
}

#[test]
fn impossible_domains_are_refused_in_json_too() {
    for (json, why) in [
        (r#"{"float":{"low":1,"high":0}}"#, "did you swap them"),
        (r#"{"float":{"low":0,"high":1,"log":true}}"#, "must begin above 0"),
        (r#"{"float":{"low":0.1,"high":1,"log":true,"step":0.1}}"#, "both log and a step"),
        (r#"{"int":{"low":0,"high":4,"step":0}}"#, "positive number"),
        (r#"{"choice":[]}"#, "at least one value"),
        (r#"{"choice":["a","a"]}"#, "stands twice"),
        (r#"{"fixed":18446744073709551615}"#, "above the largest integer"),
    ] {
        let refused = serde_json::from_str::<Domain>(json).unwrap_err().to_string();
        assert!(refused.contains(why), "{json}: {refused}");
    }
}
