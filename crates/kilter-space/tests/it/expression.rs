use std::collections::HashMap;

use kilter_space::{Expr, ExprError, Truth, Value};
use proptest::prelude::*;

/// The truth of an expression, given answers; whoever is not among them was not asked.
fn truth(expression: &str, answers: &[(&str, Value)]) -> Truth {
    let answers: HashMap<&str, Value> = answers.iter().cloned().collect();
    Expr::parse(expression).unwrap().truth(&|name| answers.get(name.as_str()).cloned())
}

fn refused(expression: &str) -> ExprError {
    match Expr::parse(expression) {
        Err(why) => why,
        Ok(read) => panic!("{expression} was read as {read:?}"),
    }
}

/// The text above the carets of a rendered error.
fn pointed_at(error: &ExprError) -> String {
    let rendered = error.to_string();
    let lines: Vec<&str> = rendered.lines().collect();
    let [.., source, carets] = lines[..] else { panic!("{rendered}") };
    let indent = carets.chars().take_while(|&c| c == ' ').count();
    let width = carets.chars().count() - indent;
    assert!(carets.trim_start().chars().all(|c| c == '^') && width > 0, "{rendered}");
    source.chars().skip(indent).take(width).collect()
}

#[test]
fn operators_bind_as_in_arithmetic_and_logic() {
    for (expression, holds) in [
        ("1 + 2 * 3 == 7", true),
        ("(1 + 2) * 3 == 9", true),
        ("10 - 4 - 3 == 3", true),
        ("16 / 4 / 2 == 2", true),
        ("2 - -3 == 5", true),
        ("-2 * -2 == 4", true),
        ("- - 2 == 2", true),
        ("true or true and false", true),
        ("(true or true) and false", false),
        ("not false and false", false),
        ("not (false and false)", true),
        ("not not true", true),
        ("not 1 == 2", true),
        ("min(3, 1, 2) == 1 and max(3, 1, 2) == 3", true),
        ("1 + 1 in [2, 3]", true),
        ("1 not in [2, 3]", true),
        ("not 1 in [1]", false),
        ("'a' in ['a', 'b']", true),
        ("1 == 1.0", true),
        ("'1' == 1", false),
        ("null == null", true),
        ("null != 'x'", true),
        ("1e-5 < .5", true),
        ("'it' == \"it\"", true),
    ] {
        assert_eq!(truth(expression, &[]), if holds { Truth::Yes } else { Truth::No }, "{expression}");
    }
}

#[test]
fn logic_with_unasked_questions_is_kleenes() {
    let table = [
        ("x or true", Truth::Yes),
        ("true or x", Truth::Yes),
        ("x or false", Truth::Unknown),
        ("x and false", Truth::No),
        ("false and x", Truth::No),
        ("x and true", Truth::Unknown),
        ("not x", Truth::Unknown),
        ("x == 1", Truth::Unknown),
        ("x != 1", Truth::Unknown),
        ("x == x", Truth::Unknown),
        ("x + 1 > 0", Truth::Unknown),
        ("min(x, 1) < 9", Truth::Unknown),
        ("x in [1, 2]", Truth::Unknown),
        ("x not in [1, 2]", Truth::Unknown),
        ("1 in [x, 1]", Truth::Yes),
        ("1 in [x, 2]", Truth::Unknown),
        ("1 not in [x, 2]", Truth::Unknown),
        ("(x or true) == true", Truth::Yes),
    ];
    for (expression, expected) in table {
        assert_eq!(truth(expression, &[]), expected, "{expression}");
    }
}

#[test]
fn whole_numbers_beyond_the_floats_compare_exactly() {
    let big = Value::from((1_i64 << 53) + 1);
    assert_eq!(truth("n == 9007199254740993", &[("n", big.clone())]), Truth::Yes);
    assert_eq!(truth("n == 9007199254740992", &[("n", big.clone())]), Truth::No);
    assert_eq!(truth("n > 9007199254740992", &[("n", big.clone())]), Truth::Yes);
    assert_eq!(truth("n in [9007199254740992]", &[("n", big)]), Truth::No);
    assert_eq!(truth("n == -9223372036854775808", &[("n", i64::MIN.into())]), Truth::Yes);
}

#[test]
fn what_cannot_be_compared_is_unknown() {
    assert_eq!(truth("a < 3", &[("a", "x".into())]), Truth::Unknown);
    assert_eq!(truth("a + 1 == 2", &[("a", "1".into())]), Truth::Unknown);
    assert_eq!(truth("a", &[("a", 1_i64.into())]), Truth::Unknown);
    assert_eq!(truth("a", &[("a", true.into())]), Truth::Yes);
}

#[test]
fn names_may_be_of_any_script_and_dotted() {
    assert_eq!(truth("größe > 3 and 数 == 'ß🦀'", &[("größe", 4_i64.into()), ("数", "ß🦀".into())]), Truth::Yes);
    assert_eq!(truth("tree.max_depth == 3", &[("tree.max_depth", 3_i64.into())]), Truth::Yes);
    let parsed = Expr::parse("größe > 3 and 数 == 'x' or größe < b.c").unwrap();
    let names: Vec<_> = parsed.names().into_iter().map(|(name, span)| (name.to_string(), span)).collect();
    let expected = [("größe", 0..5), ("数", 14..15), ("größe", 26..31), ("b.c", 34..37)];
    assert_eq!(names, expected.map(|(name, span)| (name.to_owned(), span)));
}

#[test]
fn errors_point_at_the_place() {
    for (expression, place, words) in [
        ("lr = 3", "=", "=="),
        ("(lr = 3)", "=", "=="),
        ("größe 🦀 3", "🦀", "does not belong"),
        ("ü == 1 && b", "&", "write and"),
        ("a || b", "|", "write or"),
        ("!a", "!", "write not"),
        ("a == 'b", "'b", "close it"),
        ("a < b < c", "<", "do not chain"),
        ("a == 12x4", "12x4", "not a number"),
        ("a == 1e999", "1e999", "not a number"),
        ("a b", "b", "out of place"),
        ("a == and", "and", "out of place"),
        ("a in (1, 2)", "(", "expected `[`"),
        ("a in []", "]", "out of place"),
        ("min 3", "3", "expected `(`"),
        ("a not 3", "3", "expected `in`"),
        ("a == 1)", ")", "out of place"),
        ("'é' == * 2", "*", "out of place"),
    ] {
        let error = refused(expression);
        assert_eq!(pointed_at(&error), place, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn an_end_too_early_is_pointed_at_behind_the_text() {
    for expression in ["", "a ==", "größe and", "(a", "a in [1", "min(", "not", "-"] {
        let error = refused(expression);
        assert_eq!(error.span, expression.chars().count()..expression.chars().count() + 1, "{error}");
        assert_eq!(pointed_at(&error), "", "{error}");
    }
}

#[test]
fn errors_in_several_lines_point_at_the_place_too() {
    let error = refused("a == 1\n\tand b = 2\n  or c == 3");
    assert_eq!(pointed_at(&error), "=");
    assert_eq!(error.to_string().lines().count(), 3, "message, text, carets: {error}");
}

#[test]
fn keywords_are_no_names() {
    for word in ["and", "or", "not", "in", "min", "max"] {
        assert!(Expr::parse(&format!("{word} == 1")).is_err(), "{word}");
        assert!(Expr::parse(&format!("1 == {word}")).is_err(), "{word}");
    }
    for word in ["android", "orange", "nothing", "inner", "minimum", "maximum", "truest", "And"] {
        assert_eq!(truth(&format!("{word} == 1"), &[(word, 1_i64.into())]), Truth::Yes);
    }
    assert_eq!(truth("'and' == 'and' and 'or' != ')'", &[]), Truth::Yes);
}

/// Test threads have 2 MiB of stack, as worker threads do.
#[test]
fn deep_nesting_is_an_error_and_no_stack_overflow() {
    let deep = [
        format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{}true", "not ".repeat(10_000)),
        format!("{}1 == 1", "-".repeat(10_000)),
        format!("{}1{} == 1", "min(".repeat(10_000), ")".repeat(10_000)),
        format!("{}1{}", "1 in [".repeat(10_000), "]".repeat(10_000)),
        format!("{}1{}", "not (1 in [-(".repeat(10_000), ")])".repeat(10_000)),
        "(".repeat(100_000),
    ];
    for expression in deep {
        assert!(refused(&expression).message.contains("deep"));
    }
    let fits = format!("{}true{}", "(".repeat(60), ")".repeat(60));
    assert_eq!(truth(&fits, &[]), Truth::Yes);
    let fits = format!("{}true{}", "not (".repeat(30), ")".repeat(30));
    assert_eq!(truth(&fits, &[]), Truth::Yes);
}

#[test]
fn a_hundred_thousand_terms_in_a_row_are_no_nesting() {
    let long = |term: &str, between: &str| vec![term; 100_000].join(between);
    for (expression, expected) in [
        (long("x == 1", " or "), Truth::Unknown),
        (format!("{} or true", long("x == 1", " or ")), Truth::Yes),
        (format!("{} and false", long("x", " and ")), Truth::No),
        (format!("{} == 100000", long("1", " + ")), Truth::Yes),
        (format!("{} == 1", long("1", " * ")), Truth::Yes),
        (format!("1 in [{}, 1]", long("2", ", ")), Truth::Yes),
    ] {
        let parsed = Expr::parse(&expression).unwrap();
        assert_eq!(parsed.truth(&|_| None), expected);
        let copy = parsed.clone();
        assert_eq!(copy.names().len(), parsed.names().len());
        assert!(copy == parsed);
        drop(format!("{parsed:?}"));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,30}") {
        if let Err(why) = Expr::parse(&text) {
            prop_assert!(why.span.start <= text.chars().count());
            pointed_at(&why);
        }
    }

    #[test]
    fn words_of_the_grammar_in_any_order_are_read_or_refused_in_place(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "b.c", "1", "2.5", "'t'", "and", "or", "not", "in", "(", ")", "[", "]", ",", "+", "-", "*", "/", "==",
            "!=", "<", "<=", "min", "max", "(", "true", "null",
        ]), 0..14),
    ) {
        let text = words.join(" ");
        match Expr::parse(&text) {
            Ok(expr) => {
                prop_assert_eq!(expr.source(), &text);
                let json = serde_json::to_string(&expr).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Expr>(&json).unwrap(), &expr);
                for (name, span) in expr.names() {
                    let there: String = text.chars().skip(span.start).take(span.len()).collect();
                    prop_assert_eq!(name.as_str(), there);
                }
                expr.truth(&|_| None);
            }
            Err(why) => prop_assert!(why.span.start <= text.chars().count()),
        }
    }
}
