//! Constraints: what is feasible, what narrowing leaves, and what is said if nothing is left.

use kilter_numerics::Stream;
use kilter_space::{
    Config, Defaults, Domain, Entry, Expr, Feasible, Fit, Halt, Means, Outline, Question, Random, SpaceError, Value,
    Walk, parse_domain, replay,
};
use proptest::prelude::*;

pub fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

pub fn constrained(entries: Vec<Entry>, constraints: &[&str]) -> Outline {
    Outline::constrained(entries, constraints.iter().map(|text| Expr::parse(text).unwrap()).collect()).unwrap()
}

pub fn config(answers: &[(&str, Value)]) -> Config {
    Config::new(answers.iter().map(|(name, value)| (kilter_space::Name::new(name).unwrap(), value.clone())).collect())
}

/// What is allowed of each question when these answers are given; the last is not answered.
fn allowed(outline: &Outline, answers: &[(&str, Value)]) -> Result<Domain, Halt> {
    struct Look<'a>(&'a [(&'a str, Value)], Option<Domain>);
    impl kilter_space::Chooser for Look<'_> {
        fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
            match self.0.iter().find(|(name, _)| *question.name == **name) {
                Some((_, value)) => Ok(value.clone()),
                None => {
                    self.1 = Some(question.allowed.clone());
                    Err(Halt::Enough)
                }
            }
        }
    }
    let mut look = Look(answers, None);
    match outline.walk(&mut look) {
        Ok(()) | Err(Halt::Enough) => Ok(look.1.unwrap()),
        refused => refused.map(|()| unreachable!()),
    }
}

fn left(outline: &Outline, answers: &[(&str, Value)]) -> String {
    allowed(outline, answers).unwrap().to_string()
}

/// A continuous range up to rounding: the constraint itself rounds, and whatever it then allows is allowed.
fn assert_range(outline: &Outline, answers: &[(&str, Value)], low: f64, high: f64) {
    let allowed = allowed(outline, answers).unwrap();
    let (a, b) = match &allowed {
        Domain::Float(range) => (range.low(), range.high()),
        Domain::Fixed(value) => (value.as_f64().unwrap(), value.as_f64().unwrap()),
        other => panic!("{other}"),
    };
    let near = |x: f64, y: f64| (x - y).abs() <= 8.0 * f64::EPSILON * y.abs();
    assert!(near(a, low) && near(b, high), "{allowed} is not {low}..{high}");
}

#[test]
fn an_answer_breaks_a_constraint_and_an_unasked_question_none() {
    let outline = constrained(
        vec![entry("kind", "a|b"), entry("x", "0..1").when("kind == 'a'").unwrap(), entry("y", "0..1")],
        &["x + y <= 1", "y != 0.5"],
    );
    let with = |kind: &str, x: Option<f64>, y: f64| {
        let mut answers = vec![("kind", Value::from(kind)), ("y", y.into())];
        answers.extend(x.map(|x| ("x", x.into())));
        config(&answers)
    };
    assert!(outline.is_feasible(&with("a", Some(0.5), 0.25)));
    assert_eq!(outline.violated(&with("a", Some(0.8), 0.25)).unwrap().source(), "x + y <= 1");
    assert!(outline.is_feasible(&with("b", None, 1.0)));
    assert!(outline.is_feasible(&with("b", Some(1.0), 1.0)), "x is not asked, so it says nothing");
    assert_eq!(outline.violated(&with("b", None, 0.5)).unwrap().source(), "y != 0.5");
    assert!(Outline::new(vec![entry("x", "0..1")]).unwrap().is_feasible(&config(&[("x", 7.0.into())])));
}

#[test]
fn linear_constraints_narrow_ranges_to_their_bounds() {
    let sum = constrained(vec![entry("a", "0..10"), entry("b", "0..10"), entry("c", "2..10")], &["a + b + c <= 10"]);
    assert_range(&sum, &[], 0.0, 8.0);
    assert_range(&sum, &[("a", 3.0.into())], 0.0, 5.0);
    assert_range(&sum, &[("a", 3.0.into()), ("b", 4.5.into())], 2.0, 2.5);
    assert_range(&sum, &[("a", 3.0.into()), ("b", 5.0.into())], 2.0, 2.0);
    let scaled = constrained(vec![entry("a", "int:1..100"), entry("b", "int:1..100")], &["3 * a - b / 2 >= 20"]);
    assert_eq!(left(&scaled, &[]), "int:7..100");
    assert_eq!(left(&scaled, &[("a", 10_i64.into())]), "int:1..20");
    let grid = constrained(vec![entry("a", "0..1/0.1"), entry("b", "0..1/0.1")], &["a + b < 0.75"]);
    assert_eq!(left(&grid, &[]), "0.0..0.7/0.1");
    assert_eq!(left(&grid, &[("a", 0.3.into())]), "0.0..0.4/0.1");
    let log = constrained(vec![entry("low", "log:1e-5..1"), entry("high", "log:1e-5..1")], &["high >= 10 * low"]);
    assert_range(&log, &[], 1e-5, 0.1);
    assert_range(&log, &[("low", 0.001.into())], 0.01, 1.0);
    assert!(left(&log, &[]).starts_with("log:"));
    let ints = constrained(vec![entry("n", "int:log:1..1024"), entry("m", "int:log:1..1024")], &["n * m <= 100"]);
    assert_eq!(left(&ints, &[]), "int:log:1..100");
    assert_eq!(left(&ints, &[("n", 9_i64.into())]), "int:log:1..11");
}

#[test]
fn bounds_pass_through_questions_in_between() {
    let chain = constrained(
        vec![entry("a", "0..1"), entry("b", "0..1"), entry("c", "0..1")],
        &["a <= b", "b <= c", "c <= 0.25"],
    );
    assert_eq!(left(&chain, &[]), "0.0..0.25");
    let extremes = constrained(vec![entry("a", "0..10"), entry("b", "0..10")], &["max(a, b) <= 4", "min(a, b) >= 1"]);
    assert_eq!(left(&extremes, &[]), "1.0..4.0");
    let either =
        constrained(vec![entry("a", "0..10"), entry("b", "0..10")], &["a <= 2 and b <= 9 or a >= 5 and a < 7"]);
    assert_eq!(left(&either, &[]), format!("0.0..{:?}", 7.0_f64.next_down()));
    let not = constrained(vec![entry("a", "0..10")], &["not (a > 3 or a < 1)"]);
    assert_eq!(left(&not, &[]), "1.0..3.0");
    let among = constrained(vec![entry("a", "int:0..10")], &["a in [3, 5, 8]"]);
    assert_eq!(left(&among, &[]), "int:3..8");
    let edges = constrained(vec![entry("a", "int:0..10")], &["a not in [0, 1, 9, 10, 5]"]);
    assert_eq!(left(&edges, &[]), "int:2..8");
}

#[test]
fn choices_are_narrowed_value_by_value() {
    let outline = constrained(
        vec![entry("device", "cpu|gpu|tpu"), entry("batch", "8|64|512|4096"), entry("size", "ordinal:s<m<l<xl")],
        &["device != 'cpu' or batch <= 64", "device == 'tpu' or size in ['s', 'm']"],
    );
    assert_eq!(left(&outline, &[]), "cpu|gpu|tpu");
    assert_eq!(left(&outline, &[("device", "cpu".into())]), "8|64");
    assert_eq!(left(&outline, &[("device", "gpu".into())]), "8|64|512|4096");
    assert_eq!(left(&outline, &[("device", "gpu".into()), ("batch", 8_i64.into())]), "ordinal:s<m");
    assert_eq!(left(&outline, &[("device", "tpu".into()), ("batch", 8_i64.into())]), "ordinal:s<m<l<xl");
}

#[test]
fn a_question_that_may_not_be_asked_narrows_nothing_until_it_is_sure() {
    let outline = constrained(
        vec![
            entry("x", "0..1"),
            entry("kind", "a|b"),
            entry("z", "0..1"),
            entry("y", "0.5..1").when("kind == 'a'").unwrap(),
        ],
        &["x + y <= 1", "z + y <= 1"],
    );
    assert_eq!(left(&outline, &[]), "0.0..1.0");
    let kind = |kind: &str| [("x", Value::from(0.25)), ("kind", kind.into())];
    assert_range(&outline, &kind("a"), 0.0, 0.5);
    assert_range(&outline, &kind("b"), 0.0, 1.0);
}

#[test]
fn contradictions_are_named_and_no_more_than_needed() {
    let conflict = |entries: Vec<Entry>, constraints: &[&str]| {
        let outline = constrained(entries, constraints);
        let drawn = Random::new(Stream::new(&[1], "none")).config(&outline).unwrap_err();
        assert!(outline.walk(&mut Random::new(Stream::new(&[1], "none"))).is_err());
        drawn
    };
    let numbers = || vec![entry("a", "0..1"), entry("b", "0..1"), entry("c", "0..1")];
    assert_eq!(
        conflict(numbers(), &["a + c <= 2", "a > b + 0.5", "c < 0.75", "b > a"]).to_string(),
        "no configuration fulfils `a > b + 0.5` and `b > a`; loosen or drop one of them"
    );
    assert_eq!(
        conflict(numbers(), &["b > a", "a > 3"]).to_string(),
        "no configuration fulfils `a > 3`; loosen or drop it"
    );
    // Not seen by intervals, but by listing everything.
    let choices = || vec![entry("p", "true|false"), entry("q", "true|false"), entry("r", "true|false")];
    let listed = constrained(choices(), &["p != q", "q != r", "r != p", "p or q or r"]);
    assert_eq!(
        Feasible::new(&listed).unwrap_err(),
        SpaceError::Contradiction(vec!["p != q".into(), "q != r".into(), "r != p".into()])
    );
    // Not linear and continuous: by a search that finds nothing.
    let product = constrained(numbers(), &["a * b > 0.5", "a * a + b * b < 0.9", "c > 0.1"]);
    let SpaceError::Contradiction(named) = Feasible::new(&product).unwrap_err() else { panic!() };
    assert_eq!(named, ["a * b > 0.5", "a * a + b * b < 0.9"]);
}

#[test]
fn an_exact_demand_on_continuous_numbers_is_explained() {
    let outline = constrained(vec![entry("a", "0..1"), entry("b", "0..1")], &["a + b == 1"]);
    let refused = Feasible::new(&outline).unwrap_err();
    assert_eq!(refused, SpaceError::Vanishing("a + b == 1".into()));
    assert!(refused.to_string().contains("compute it from the others"));
    // Asked one by one it can be met.
    assert_range(&outline, &[("a", 0.3.into())], 0.7, 0.7);
    let met = Random::new(Stream::new(&[1], "met"));
    let config = kilter_space::Answered::new(Config::default(), Box::new(met)).walk(&outline).unwrap();
    assert_eq!(config.float("a").unwrap() + config.float("b").unwrap(), 1.0);
    let steps = constrained(vec![entry("a", "0..1/0.1"), entry("b", "0..1/0.1")], &["a + b == 1"]);
    assert_eq!(Feasible::new(&steps).unwrap().means(), Means::Enumerated);
}

#[test]
fn a_stored_configuration_that_breaks_a_constraint_is_outside() {
    let outline = constrained(vec![entry("a", "0..1"), entry("b", "0..1")], &["a <= b"]);
    let fit = replay(&config(&[("a", 0.9.into()), ("b", 0.1.into())]), &outline).unwrap();
    let Fit::Outside(named) = fit else { panic!("{fit:?}") };
    assert_eq!(named[0].0.as_str(), "a");
    assert!(named[0].1.contains("`a <= b`"));
    let whole = config(&[("a", 0.1.into()), ("b", 0.9.into())]);
    assert_eq!(replay(&whole, &outline).unwrap(), Fit::Whole(whole));
}

#[test]
fn defaults_that_break_a_constraint_are_refused() {
    let outline = constrained(
        vec![entry("a", "0..1").default(0.9).unwrap(), entry("b", "0..1").default(0.1).unwrap()],
        &["a <= b"],
    );
    let refused = Defaults::config(&outline).unwrap_err().to_string();
    assert_eq!(refused, "hyperparameter `b`: 0.1 is not allowed; allowed is 0.9..1.0");
}

#[test]
fn one_name_may_be_declared_for_cases_that_exclude_each_other() {
    let twice = |a: &str, b: &str| {
        Outline::new(vec![
            entry("kind", "a|b|c"),
            entry("on", "true|false"),
            entry("x", "0..1").when(a).unwrap(),
            entry("x", "5..6").when(b).unwrap(),
            entry("after", "1|2").when("x > 5.5").unwrap(),
        ])
    };
    for (a, b) in [
        ("kind == 'a'", "kind == 'b'"),
        ("kind == 'a'", "kind != 'a'"),
        ("kind in ['a', 'b']", "kind == 'c' and on"),
        ("kind in ['a', 'b']", "not (kind in ['a', 'b'])"),
        ("on", "not on"),
        ("on == true", "not (on or kind == 'a')"),
    ] {
        let outline = twice(a, b).unwrap();
        let mut seen = [false; 2];
        for seed in 0..64 {
            let drawn = Random::new(Stream::new(&[seed], "twice")).config(&outline).unwrap();
            let Ok(x) = drawn.float("x") else { continue };
            seen[usize::from(x > 1.0)] = true;
            assert_eq!(drawn.get("after").is_some(), x > 5.5);
            assert_eq!(outline.decode(&outline.encode(&drawn)).unwrap(), drawn);
            assert_eq!(replay(&drawn, &outline).unwrap(), Fit::Whole(drawn));
        }
        assert_eq!(seen, [true; 2], "{a} / {b}");
    }
    for (a, b) in
        [("kind == 'a'", "kind == 'a'"), ("kind == 'a'", "on"), ("kind != 'a'", "kind != 'b'"), ("on", "on or on")]
    {
        let refused = twice(a, b).unwrap_err().to_string();
        assert!(refused.contains("declared twice") && refused.contains("exclude each other"), "{refused}");
    }
}

#[test]
fn constraints_hold_on_whichever_of_two_entries_of_a_name_is_asked() {
    let outline = constrained(
        vec![
            entry("kind", "a|b"),
            entry("x", "0..1").when("kind == 'a'").unwrap(),
            entry("x", "0..100").when("kind == 'b'").unwrap(),
            entry("y", "0..1"),
        ],
        &["x + y <= 2"],
    );
    let source = Feasible::new(&outline).unwrap();
    let mut b = 0;
    for seed in 0..4000 {
        let drawn = source.config(&mut Stream::new(&[seed], "x")).unwrap();
        assert!(outline.is_feasible(&drawn));
        b += u32::from(drawn.text("kind") == Ok("b"));
    }
    // All of a (0.5) against 0.5 · 1.5 of 100: 0.0147 of all, with a standard deviation of 0.0019.
    assert!((30..90).contains(&b), "{b}");
    assert!(left(&outline, &[("kind", "b".into())]).starts_with("0.0..2.0"));
}

/// Numbers, choices and conditions with constraints of every kind, most of them loose.
pub fn any_space() -> impl Strategy<Value = Outline> {
    let number = prop::sample::select(vec!["0..1", "-1..1", "log:1e-3..1", "int:0..9", "int:log:1..64", "0..1/0.1"]);
    let numbers = prop::collection::vec((number, prop::option::of(0..3_usize)), 2..5);
    let atom = |i: usize, j: usize, kind: usize, c: f64| match kind {
        0 => format!("x{i} + x{j} <= {c:?}"),
        1 => format!("x{i} < x{j} + {c:?}"),
        2 => format!("2 * x{i} - x{j} / 3 >= -{c:?}"),
        3 => format!("x{i} * x{j} <= {c:?}"),
        4 => format!("max(x{i}, x{j}) > {:?}", c / 4.0),
        5 => format!("min(x{i}, x{j}) <= {c:?}"),
        6 => format!("x{i} / (x{j} + 2) != {c:?}"),
        7 => format!("kind == 'a' or x{i} <= {c:?}"),
        8 => format!("not (kind == 'b' and x{i} > {c:?})"),
        9 => format!("level in ['low', 'high'] or kind != 'a' or x{j} >= {:?}", c / 8.0),
        10 => format!("(kind == 'c') == (x{i} > {c:?}) or x{j} < {c:?}"),
        _ => format!("(x{i} <= {c:?} and x{j} <= {c:?}) or x{i} > {:?}", c / 2.0),
    };
    let constraint = (0..5_usize, 0..5_usize, 0..12_usize, 0.2..4.0_f64);
    (numbers, prop::collection::vec(constraint, 1..4)).prop_filter_map("feasible", move |(numbers, constraints)| {
        let mut entries = vec![entry("kind", "a|b|c"), entry("level", "ordinal:low<mid<high")];
        for (i, (domain, when)) in numbers.iter().enumerate() {
            let plain = entry(&format!("x{i}"), domain);
            entries.push(match when {
                Some(0) => plain.when("kind == 'a'").unwrap(),
                Some(1) if i > 0 => plain.when("x0 > 0.25 or level != 'low'").unwrap(),
                _ => plain,
            });
        }
        let n = numbers.len();
        let constraints: Vec<Expr> = constraints
            .iter()
            .map(|&(i, j, kind, c)| Expr::parse(&atom(i % n, j % n, kind, (c * 8.0).round() / 8.0)).unwrap())
            .collect();
        Outline::constrained(entries, constraints).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Draw freely; whatever is feasible must pass the narrowed walk, answer by answer.
    #[test]
    fn narrowing_never_removes_a_feasible_point(outline in any_space(), seed in any::<u64>()) {
        let free = Outline::new(outline.entries().to_vec()).unwrap();
        let mut random = Random::new(Stream::new(&[seed], "free"));
        for _ in 0..50 {
            let config = random.config(&free).unwrap();
            if !outline.is_feasible(&config) {
                continue;
            }
            prop_assert!(outline.is_possible(&config));
            struct Follow<'a>(&'a Config, Vec<String>);
            impl kilter_space::Chooser for Follow<'_> {
                fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
                    let value = self.0.get(question.name.as_str()).unwrap().clone();
                    if question.allowed.accept(&value) != Some(value.clone()) {
                        self.1.push(format!("{} = {value} is not in {}", question.name, question.allowed));
                    }
                    Ok(value)
                }
            }
            let mut follow = Follow(&config, Vec::new());
            let walked = outline.walk(&mut follow);
            prop_assert!(walked.is_ok(), "{:?} of {config}", walked);
            prop_assert!(follow.1.is_empty(), "{:?} of {config}, {:?}", follow.1, outline.constraints());
        }
    }

    /// The feasible source, repair and decoding give feasible configurations of the space.
    #[test]
    fn whatever_is_drawn_or_repaired_is_feasible(outline in any_space(), seed in any::<u64>()) {
        let mut stream = Stream::new(&[seed], "draw");
        let source = match Feasible::new(&outline) {
            Ok(source) => source,
            Err(SpaceError::Contradiction(_)) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        let free = Outline::new(outline.entries().to_vec()).unwrap();
        for _ in 0..10 {
            let drawn = source.config(&mut stream).unwrap();
            prop_assert_eq!(replay(&drawn, &outline).unwrap(), Fit::Whole(drawn.clone()));
            prop_assert_eq!(&outline.repair(&drawn, &mut stream).unwrap(), &drawn);
            let any = Random::new(stream.child("any")).config(&free).unwrap();
            let repaired = outline.repair(&any, &mut stream).unwrap();
            prop_assert_eq!(replay(&repaired, &outline).unwrap(), Fit::Whole(repaired.clone()));
            let rest = Box::new(Random::new(stream.child("rest")));
            let answered = outline.answered(any, rest, &mut stream).unwrap();
            prop_assert_eq!(replay(&answered, &outline).unwrap(), Fit::Whole(answered.clone()));
        }
    }
}

#[test]
fn ranges_at_the_ends_of_the_formats_are_narrowed() {
    let wide = "int:-9223372036854775808..9223372036854775807";
    let outline = constrained(vec![entry("a", wide), entry("b", wide)], &["a < b"]);
    // Floats hold whole numbers of this size to 1024 at best, so bounds are exact only up to that.
    let Domain::Int(b) = allowed(&outline, &[("a", Value::Int(i64::MAX - 5000))]).unwrap() else { panic!() };
    assert!(b.low() > i64::MAX - 8000 && b.high() == i64::MAX);
    for seed in 0..50 {
        let drawn = Random::new(Stream::new(&[seed], "wide")).config(&outline).unwrap();
        assert!(drawn.int("a").unwrap() < drawn.int("b").unwrap());
    }
    let huge =
        constrained(vec![entry("a", "-8e307..8e307"), entry("b", "-8e307..8e307")], &["a - b >= 1e300", "a * b < 0"]);
    for seed in 0..50 {
        let drawn = Random::new(Stream::new(&[seed], "huge")).config(&huge).unwrap();
        assert!(huge.is_feasible(&drawn));
    }
    let tiny = constrained(vec![entry("a", "log:1e-300..1e300"), entry("b", "log:1e-300..1e300")], &["a < b / 1e10"]);
    let Domain::Float(a) = allowed(&tiny, &[]).unwrap() else { panic!() };
    assert!(a.high() < 1.001e290 && a.low() == 1e-300);
    for seed in 0..50 {
        let drawn = Random::new(Stream::new(&[seed], "tiny")).config(&tiny).unwrap();
        assert!(drawn.float("a").unwrap() < drawn.float("b").unwrap() / 1e10);
    }
}

#[test]
fn ten_thousand_choices_are_narrowed() {
    let values: Vec<String> = (0..10_000).map(|k| format!("c{k}")).collect();
    let outline = constrained(
        vec![entry("size", "small|big"), entry("c", &values.join("|")), entry("k", &values.join("|"))],
        &["size == 'big' or c in ['c1', 'c9999']", "c == k"],
    );
    assert_eq!(left(&outline, &[("size", "small".into())]), "c1|c9999");
    assert_eq!(left(&outline, &[("size", "big".into()), ("c", "c77".into())]), "choice:c77");
    let drawn = Random::new(Stream::new(&[1], "many")).config(&outline).unwrap();
    assert_eq!(drawn.get("c"), drawn.get("k"));
}

#[test]
fn a_thousand_nested_conditions_with_a_constraint() {
    let mut entries = vec![entry("x0", "0..1")];
    for k in 1..1000 {
        entries.push(entry(&format!("x{k}"), "0..1").when(&format!("x{} >= 0", k - 1)).unwrap());
    }
    let outline = constrained(entries, &["x999 <= x0", "x500 <= 0.5"]);
    let drawn = Random::new(Stream::new(&[1], "deep")).config(&outline).unwrap();
    assert_eq!(drawn.answers().len(), 1000);
    assert!(outline.is_feasible(&drawn));
    assert!(outline.walk(&mut Random::new(Stream::new(&[2], "deep"))).is_ok());
}

#[test]
fn long_rows_of_constraints_are_no_nesting() {
    let row: Vec<String> = (0..5_000).map(|k| format!("x != {k}.5")).collect();
    let outline = constrained(vec![entry("x", "0..9000")], &[&row.join(" and "), "x <= 100"]);
    let drawn = Random::new(Stream::new(&[1], "row")).config(&outline).unwrap();
    assert!(drawn.float("x").unwrap() <= 100.0);
}
