//! Spaces at the edges: the ends of the numbers, long lists, deep nesting.

use std::fmt::Write;

use kilter_numerics::Stream;
use kilter_space::text::{Document, Format, TextError};
use kilter_space::{
    Config, Count, Defaults, Domain, Entry, Expr, Feasible, Fit, Float, Int, Outline, Random, Truth, Value, diff,
    parse_domain, replay,
};

fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

fn toml(text: &str) -> Result<Outline, TextError> {
    Document::read("space.toml", text.as_bytes(), Format::Toml)?.space(&[]).and_then(|space| space.outline())
}

/// Everything that is done with a space, of one question.
fn walk_all_ways(domain: &Domain) {
    let outline = Outline::new(vec![Entry::new("x", domain.clone()).unwrap()]).unwrap();
    for seed in 0..200 {
        let config = Random::new(Stream::new(&[seed], "edges")).config(&outline).unwrap();
        let value = config.get("x").unwrap();
        assert_eq!(domain.accept(value).as_ref(), Some(value));
        assert_eq!(replay(&config, &outline), Ok(Fit::Whole(config.clone())));
        let coordinates = outline.encode(&config);
        assert!(coordinates.iter().all(|c| c.is_finite()), "{value} is {coordinates:?}");
        let decoded = outline.decode(&coordinates).unwrap();
        let back = decoded.get("x").unwrap();
        assert!(domain.accept(back).is_some(), "{domain}: {value} came back as {back}");
        // Coordinates are floats, which tell whole numbers apart up to 2^53.
        let is_countable = outline.count().is_ok_and(|count| matches!(count, Count::Exact(n) if n < 1 << 40));
        if is_countable && value.as_f64().is_none_or(|x| x.abs() < 9e15) {
            assert_eq!(back, value, "{domain}");
        }
    }
    for u in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
        let answer = domain.at_share(u);
        assert_eq!(domain.accept(&answer), Some(answer), "{domain} at {u}");
    }
    assert_eq!(parse_domain(&domain.to_string()).as_ref(), Ok(domain));
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline);
    let json = serde_json::to_string(&outline).unwrap();
    assert_eq!(serde_json::from_str::<Outline>(&json).unwrap(), outline);
}

#[test]
fn ranges_at_the_ends_of_the_floats() {
    let widest = f64::MAX / 2.0;
    for range in [
        Float::new(-widest, widest),
        Float::new(0.0, f64::MAX),
        Float::new(f64::MIN, 0.0),
        Float::new(0.0, 5e-324),
        Float::new(-5e-324, 5e-324),
        Float::new(1.0, 1.0 + f64::EPSILON),
        Float::new(1e308, 1.1e308),
        Float::log(5e-324, 1e-323),
        Float::log(5e-324, f64::MAX),
        Float::log(f64::MIN_POSITIVE, f64::MAX),
        Float::log(1e308, f64::MAX),
        Float::log(1.0, 1.0 + f64::EPSILON),
        Float::new(0.0, 1e-322).and_then(|range| range.step(5e-324)),
        Float::new(0.0, f64::MAX).and_then(|range| range.step(f64::MAX)),
        Float::new(0.0, f64::MAX).and_then(|range| range.step(f64::MAX / 3.0)),
        Float::new(-widest, widest).and_then(|range| range.step(widest / 7.0)),
    ] {
        walk_all_ways(&Domain::Float(range.unwrap()));
    }
}

#[test]
fn ranges_at_the_ends_of_the_whole_numbers() {
    for range in [
        Int::new(i64::MIN, i64::MAX),
        Int::new(i64::MAX - 1, i64::MAX),
        Int::new(i64::MIN, i64::MIN + 1),
        Int::log(1, i64::MAX),
        Int::log(i64::MAX - 1, i64::MAX),
        Int::new(i64::MIN, i64::MAX).and_then(|range| range.step(u64::MAX)),
        Int::new(i64::MIN, i64::MAX).and_then(|range| range.step(u64::MAX / 2 + 1)),
        Int::new(i64::MIN, i64::MAX).and_then(|range| range.step(1 << 60)),
        Int::new(-3, i64::MAX).and_then(|range| range.step(1 << 62)),
    ] {
        walk_all_ways(&Domain::Int(range.unwrap()));
    }
}

/// Sums, products, negations and quotients that leave the numbers: an answer, and no panic.
#[test]
fn arithmetic_of_conditions_at_the_ends() {
    let truth = |rule: &str, n: Value| Expr::parse(rule).unwrap().truth(&|_| Some(n.clone()));
    let (most, least) = (Value::from(i64::MAX), Value::from(i64::MIN));
    for (rule, n, expected) in [
        ("n + 1 > 0", most.clone(), Truth::Yes),
        ("n + n > n", most.clone(), Truth::Yes),
        ("n * n > n", most.clone(), Truth::Yes),
        ("n - 1 < 0", least.clone(), Truth::Yes),
        ("-n > 0", least.clone(), Truth::Yes),
        ("n * n * n < 0", least.clone(), Truth::Yes),
        ("n - n - n > 0", least.clone(), Truth::Yes),
        ("n / -1 > 0", least.clone(), Truth::Yes),
        ("n / 2 < n", most.clone(), Truth::Yes),
        ("max(n, -n) > 0", least.clone(), Truth::Yes),
        ("n * 10 > 1e308", Value::from(f64::MAX), Truth::Yes),
        ("n == 9223372036854775807", most, Truth::Yes),
        ("n == -9223372036854775808", least, Truth::Yes),
    ] {
        assert_eq!(truth(rule, n.clone()), expected, "{rule} for {n}");
    }
    // What is no number compares with nothing.
    for rule in ["n / 0 == n / 0", "0 / n > 1", "0 / n < 1", "n - n / n > 0"] {
        assert_ne!(truth(rule, Value::from(0_i64)), Truth::Yes, "{rule}");
    }
    assert!(Expr::parse("n == 9223372036854775808000000000000000000000000000").is_ok());
    assert!(Expr::parse("n == 1e999").unwrap_err().message.contains("not a number"));
}

#[test]
fn constraints_at_the_ends_leave_what_they_should() {
    let whole = "int:-9223372036854775808..9223372036854775807";
    for (domain, rule) in [
        (whole, "x >= 9223372036854775800"),
        (whole, "x <= -9223372036854775800"),
        (whole, "x + 1 > 0"),
        (whole, "-x >= 0"),
        ("log:5e-324..1e-300", "x < 1e-310"),
        ("0..1.7976931348623157e308", "x > 1e308"),
        ("-8.9e307..8.9e307", "x + x > 1e308"),
    ] {
        let outline = Outline::constrained(vec![entry("x", domain)], vec![Expr::parse(rule).unwrap()]).unwrap();
        let feasible = Feasible::new(&outline).unwrap_or_else(|why| panic!("{domain} with {rule}: {why}"));
        for seed in 0..50 {
            let config = feasible.config(&mut Stream::new(&[seed], "ends")).unwrap();
            assert!(outline.is_feasible(&config), "{domain} with {rule}: {config}");
        }
    }
}

/// The last point of a grid is the last that does not pass its end, whatever the step.
#[test]
fn steps_that_do_not_divide() {
    for (text, count, last) in [
        ("0..1/0.3", 4, "0.9"),
        ("0..1/0.7", 2, "0.7"),
        ("0..1/0.9999999", 2, "0.9999999"),
        ("-1..1/0.3", 7, "0.8"),
        ("0.1..1/0.25", 4, "0.85"),
        ("0..0.3/0.1", 4, "0.3"),
        ("int:1..10/4", 3, "9"),
        ("int:-7..7/5", 3, "3"),
        ("int:0..9223372036854775807/5000000000000000000", 2, "5000000000000000000"),
    ] {
        let domain = parse_domain(text).unwrap();
        assert_eq!(domain.count(), Some(count), "{text}");
        assert_eq!(domain.nth(count - 1).unwrap().to_string(), last, "{text}");
        assert_eq!(domain.nth(count), None);
        walk_all_ways(&domain);
    }
}

#[test]
fn ten_thousand_choices_are_searched_like_ten() {
    let choices: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let domain = parse_domain(&choices.join("|")).unwrap();
    walk_all_ways(&domain);
    let outline = Outline::constrained(
        vec![Entry::new("x", domain.clone()).unwrap(), entry("n", "int:0..9").when("x != 'c7'").unwrap()],
        vec![Expr::parse("x in ['c1', 'c77', 'c9999'] or n == 3").unwrap()],
    );
    let outline = outline.unwrap();
    // Three with any n, 9,996 with n = 3, and c7 without.
    assert_eq!(outline.count(), Ok(Count::Exact(3 * 10 + 9_996 + 1)));
    let feasible = Feasible::new(&outline).unwrap();
    let drawn: Vec<Config> = (0..300).map(|k| feasible.config(&mut Stream::new(&[k], "many")).unwrap()).collect();
    assert!(drawn.iter().all(|config| outline.is_feasible(config)));
    let wider = parse_domain(&format!("{}|new", choices.join("|"))).unwrap();
    let changes = diff(&outline, &outline.with("x", wider).unwrap());
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["x: new choice new"]);
    let slip = toml(&format!("[parameters.x]\nchoice = {choices:?}\ndefault = \"c10000\"\n")).unwrap_err();
    assert!(slip.to_string().len() < 600, "{slip}");
}

/// A question under a question, so many deep: none of the ways through a space may need the stack for it.
fn chain(length: usize) -> Outline {
    let question = |i: usize| {
        let entry = entry(&format!("p{i}"), "0|1").default(1_i64).unwrap();
        if i == 0 { entry } else { entry.when(&format!("p{} == 1", i - 1)).unwrap() }
    };
    // Written the wrong way round: they have to be sorted, too.
    Outline::new((0..length).rev().map(question).collect()).unwrap()
}

#[test]
fn a_thousand_conditions_one_under_the_other() {
    let outline = chain(1000);
    assert_eq!(Defaults::config(&outline).unwrap().answers().len(), 1000);
    for seed in 0..20 {
        let config = Random::new(Stream::new(&[seed], "chain")).config(&outline).unwrap();
        assert_eq!(replay(&config, &outline), Ok(Fit::Whole(config.clone())));
        assert_eq!(outline.decode(&outline.encode(&config)), Ok(config));
    }
    // It ends at the first 0, or never.
    assert_eq!(outline.count(), Ok(Count::Exact(1001)));
    assert_eq!(outline.configs().unwrap().count(), 1001);
    assert!(diff(&outline, &chain(1000)).is_empty());
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline);
    let json = serde_json::to_string(&outline).unwrap();
    assert_eq!(serde_json::from_str::<Outline>(&json).unwrap(), outline);
    let deep = vec![Expr::parse("p999 == 0 or p500 == 0").unwrap()];
    let constrained = Outline::constrained(outline.entries().to_vec(), deep).unwrap();
    let feasible = Feasible::new(&constrained).unwrap();
    for seed in 0..20 {
        assert!(constrained.is_feasible(&feasible.config(&mut Stream::new(&[seed], "chain")).unwrap()));
    }
}

#[test]
fn a_ring_of_a_thousand_conditions_is_named() {
    let question = |i: usize| entry(&format!("p{i}"), "0|1").when(&format!("p{} == 1", (i + 999) % 1000)).unwrap();
    let words = Outline::new((0..1000).map(question).collect()).unwrap_err().to_string();
    assert!(words.contains("wait for each other"), "{words}");
}

/// Texts that nest a hundred thousand deep are refused; test threads have 2 MiB of stack.
#[test]
fn a_hundred_thousand_brackets_are_an_error_in_every_notation() {
    const DEEP: usize = 100_000;
    let around = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(DEEP), close.repeat(DEEP));
    let mut texts = vec![
        format!("[parameters.x]\nfixed = {}\n", around("[", "1", "]")),
        format!("[parameters.x]\nfixed = {}\n", "[".repeat(DEEP)),
        format!("[parameters.x]\nfixed = {}\n", around("{ a = ", "1", " }")),
        format!("[parameters.x]\nfloat = [0, 1]\nwhen = \"{}\"\n", around("(", "x", ")")),
        format!("[parameters.x]\nfloat = [0, 1]\n[[constraints]]\nrequire = \"{}\"\n", around("not (", "x < 1", ")")),
    ];
    let mut dotted = "[parameters]\na".to_owned();
    (0..DEEP).for_each(|_| dotted.push_str(".a"));
    texts.push(format!("{dotted} = \"0..1\"\n"));
    texts.push(format!("[parameters{}]\nfloat = [0, 1]\n", ".a".repeat(DEEP)));
    for text in texts {
        let told = toml(&text).map_err(|told| told.to_string());
        let head: String = text.chars().take(60).collect();
        let Err(told) = told else { panic!("accepted: {head}") };
        assert!(told.starts_with("space.toml:") && told.len() < 1000, "{head}: {}", &told[..told.len().min(300)]);
    }
    for inner in [around("[", "1", "]"), around("{\"a\":", "1", "}")] {
        let mut json = String::new();
        write!(json, "{{\"parameters\": {{\"x\": {{\"fixed\": {inner}}}}}}}").unwrap();
        let read = Document::read("space.json", json.as_bytes(), Format::Json).and_then(|d| d.space(&[]));
        assert!(read.unwrap_err().to_string().starts_with("space.json:1:"));
    }
}
