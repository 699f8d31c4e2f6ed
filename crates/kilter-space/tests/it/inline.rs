use kilter_space::{Choice, Domain, DomainError, InlineError, Value, parse_domain, parse_value};
use proptest::prelude::*;

use crate::given;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_domain_survives_the_command_line(domain in given::plain_domain()) {
        let text = domain.to_string();
        prop_assert_eq!(parse_domain(&text), Ok(domain), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in given::text()) {
        let _ = (parse_domain(&text), parse_value(&text));
    }

    #[test]
    fn whatever_is_read_reads_the_same_again(text in "(int:|log:|fixed:|choice:|)['\"0-9a-e|./ -]{0,10}") {
        if let Ok(domain) = parse_domain(&text) {
            prop_assert_eq!(parse_domain(&domain.to_string()), Ok(domain));
        }
    }
}

fn refused(text: &str) -> InlineError {
    match parse_domain(text) {
        Err(why) => why,
        Ok(domain) => panic!("{text} was read as {domain:?}"),
    }
}

#[test]
fn ranges_are_written_as_in_the_documentation() {
    for text in
        ["0.0..1.0", "log:1e-5..0.1", "int:1..8", "int:log:16..512", "0.0..1.0/0.05", "int:0..100/10", "adam|sgd"]
    {
        assert_eq!(parse_domain(text).unwrap().to_string(), text);
    }
    assert_eq!(parse_domain(" log: 1e-5 .. 1e-1 ").unwrap().to_string(), "log:1e-5..0.1");
    assert_eq!(parse_domain("-1...5/.5").unwrap().to_string(), "-1.0..0.5/0.5");
}

#[test]
fn a_choice_of_one_is_no_fixed_value_and_reads_back() {
    let one = Domain::Choice(Choice::new(vec!["adam".into()]).unwrap());
    assert_eq!(parse_domain(&one.to_string()), Ok(one));
}

#[test]
fn quotes_keep_bars_colons_numbers_and_each_other() {
    let choice = |text: &str| match parse_domain(text) {
        Ok(Domain::Choice(choice)) => choice.values().to_vec(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(choice("'1'|1|1.0|null|'null'").len(), 5);
    assert_eq!(choice("'a|b'|c"), [Value::from("a|b"), "c".into()]);
    assert_eq!(choice("'int:3'|b"), [Value::from("int:3"), "b".into()]);
    assert_eq!(choice("don't|do"), [Value::from("don't"), "do".into()]);
    assert_eq!(choice("'it''s|'| \"'|'\" "), [Value::from("it's|"), "'|'".into()]);
    assert_eq!(choice("'open|b"), [Value::from("'open"), "b".into()]);
    assert_eq!(choice("''|a"), [Value::from(""), "a".into()]);
}

#[test]
fn a_quote_within_quotes_is_written_twice() {
    assert_eq!(parse_value("'it''s \"so\"'"), Value::from("it's \"so\""));
    assert_eq!(parse_value("\"it's\""), Value::from("it's"));
    assert_eq!(parse_value("'"), Value::from("'"));
    assert_eq!(parse_value("''"), Value::from(""));
}

#[test]
fn words_that_other_languages_call_numbers_are_words() {
    for word in ["nan", "NaN", "inf", "-inf", "infinity", "1e999", "0x10", "1_000", "True"] {
        assert_eq!(parse_value(word), Value::from(word));
    }
    assert_eq!(parse_value("9223372036854775807"), Value::from(i64::MAX));
    assert_eq!(parse_value("-9223372036854775808"), Value::from(i64::MIN));
    assert_eq!(parse_value("1e300"), Value::from(1e300));
}

#[test]
fn impossible_domains_are_named() {
    let domain = |text: &str| match refused(text) {
        InlineError::Domain(why) => why,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(domain("1..0"), DomainError::Swapped { low: 1.0.into(), high: 0.0.into() });
    assert_eq!(domain("int:8..1"), DomainError::Swapped { low: 8_i64.into(), high: 1_i64.into() });
    assert_eq!(domain("2..2"), DomainError::OnePoint(2.0.into()));
    assert!(matches!(domain("log:0..1"), DomainError::LogOfNonPositive { .. }));
    assert!(matches!(domain("log:-1..1"), DomainError::LogOfNonPositive { .. }));
    assert!(matches!(domain("int:log:0..1"), DomainError::LogOfNonPositive { .. }));
    assert!(matches!(domain("nan..1"), DomainError::NotFinite { .. }));
    assert!(matches!(domain("0..inf"), DomainError::NotFinite { .. }));
    assert!(matches!(domain("0..1e999"), DomainError::NotFinite { .. }));
    assert_eq!(domain("0..1/0"), DomainError::BadStep(0.0.into()));
    assert_eq!(domain("0..1/-0.1"), DomainError::BadStep((-0.1).into()));
    assert_eq!(domain("int:0..4/0"), DomainError::BadStep(0_i64.into()));
    assert_eq!(domain("int:0..4/-2"), DomainError::BadStep((-2_i64).into()));
    assert!(matches!(domain("0..1/2"), DomainError::LongStep { .. }));
    assert!(matches!(domain("int:0..4/5"), DomainError::LongStep { .. }));
    assert_eq!(domain("log:0.1..1/0.1"), DomainError::LogWithStep);
    for text in ["", "  "] {
        assert_eq!(domain(text), DomainError::NoChoice);
    }
    for text in ["|", "a|", "|a", "a||b", "a| |b"] {
        assert_eq!(domain(text), DomainError::EmptyChoice, "{text}");
    }
    assert_eq!(domain("a|b|a"), DomainError::TwiceTheSame("a".into()));
    assert_eq!(domain("a|'a'"), DomainError::TwiceTheSame("a".into()));
}

#[test]
fn misspelt_kinds_are_named() {
    for (text, kind) in [("lgo:1..2", "lgo"), ("Int:1..8", "Int"), ("uniform:0..1", "uniform"), ("float:3", "float")] {
        assert_eq!(refused(text), InlineError::UnknownKind(kind.into()), "{text}");
    }
}

#[test]
fn what_is_no_number_is_shown() {
    let wrong = |text: &str| match refused(text) {
        InlineError::NotANumber { text, .. } => text,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(wrong("a..1"), "a");
    assert_eq!(wrong("0..b"), "b");
    assert_eq!(wrong("0..1/x"), "x");
    assert_eq!(wrong("1..2..3"), "2..3");
    assert_eq!(wrong("int:0..1.5"), "1.5");
    assert_eq!(wrong("int:0..9223372036854775808"), "9223372036854775808");
    assert_eq!(wrong("int:0..8/0.5"), "0.5");
}

#[test]
fn half_ranges_and_single_values_are_named() {
    for text in ["..1", "0..", "..", "log:5", "int:8", "int:log:", "int:..8"] {
        assert!(matches!(refused(text), InlineError::NotARange(_)), "{text}");
    }
    for text in ["adam", "3", "'x:y'", "'0..1'"] {
        assert_eq!(refused(text), InlineError::SingleValue(text.into()));
    }
}
