use kilter_numerics::Stream;
use kilter_space::{Defaults, Domain, Entry, Name, Outline, Random, SpaceError, Value, Walk, nearest, parse_domain};

fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

fn when(name: &str, condition: &str) -> Entry {
    entry(name, "0..1").when(condition).unwrap()
}

fn names(outline: &Outline) -> Vec<&str> {
    outline.entries().iter().map(|entry| entry.name.as_str()).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn questions_keep_their_order_except_that_conditions_questions_come_first() {
    let outline = Outline::new(vec![
        entry("z", "0..1"),
        when("b", "c > 0 and a > 0"),
        entry("y", "0..1"),
        entry("a", "0..1"),
        when("c", "d > 0"),
        entry("d", "0..1"),
        entry("x", "0..1"),
    ]);
    assert_eq!(names(&outline.unwrap()), ["z", "d", "c", "a", "b", "y", "x"]);
    let plain = Outline::new(["q", "c", "b", "a"].map(|name| entry(name, "0..1")).to_vec()).unwrap();
    assert_eq!(names(&plain), ["q", "c", "b", "a"]);
}

#[test]
fn what_a_fixed_answer_rules_out_is_not_searched() {
    let outline = Outline::new(vec![
        entry("family", "a|b|c"),
        when("a.rate", "family == 'a'"),
        when("b.deep", "family == 'b'"),
        when("b.deeper", "b.deep > 0.5"),
        when("either", "family == 'c' or a.rate > 0.5"),
        entry("always", "0..1"),
    ]);
    let outline = outline.unwrap();
    let searched = |outline: &Outline| outline.searched().map(|entry| entry.name.to_string()).collect::<Vec<_>>();
    assert_eq!(searched(&outline), names(&outline));
    let fixed = |family: &str| outline.specialise(&[("family".to_owned(), family.into())], &[]).unwrap();
    assert_eq!(searched(&fixed("a")), ["a.rate", "either", "always"]);
    assert_eq!(searched(&fixed("b")), ["b.deep", "b.deeper", "always"]);
    assert_eq!(searched(&fixed("c")), ["either", "always"]);
}

#[test]
fn rings_of_conditions_are_named() {
    let ring = |entries| Outline::new(entries).unwrap_err();
    assert_eq!(ring(vec![when("a", "a > 0")]), SpaceError::Cycle(vec![name("a")]));
    let SpaceError::Cycle(mut names) = ring(vec![
        entry("free", "0..1"),
        when("a", "b > 0"),
        when("b", "c > 0"),
        when("c", "a > 0"),
        when("d", "a > 0"),
    ]) else {
        panic!()
    };
    names.sort();
    assert_eq!(names, ["a", "b", "c"].map(name));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let refused =
        Outline::new(vec![entry("optimizer", "adam|sgd"), when("momentum", "optimiser == 'sgd'")]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "hyperparameter `momentum`: its condition `optimiser == 'sgd'` speaks of `optimiser`, which is not declared; did \
         you mean `optimizer`?"
    );
    let outline = Outline::new(vec![entry("learning_rate", "0..1")]).unwrap();
    let unknown = outline.entry("lerning_rate").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no hyperparameter `lerning_rate`; did you mean `learning_rate`?");
    assert_eq!(outline.entry("qqq").unwrap_err().to_string(), "there is no hyperparameter `qqq`");
}

/// Names equally near: the one declared first, in every run.
#[test]
fn of_equally_near_names_the_first_declared_is_suggested() {
    for _ in 0..20 {
        let mut entries: Vec<Entry> = (0..9).map(|k| entry(&format!("x{k}"), "0..1")).collect();
        entries.push(when("z", "xx > 0"));
        let SpaceError::UnknownInCondition { suggestion, .. } = Outline::new(entries).unwrap_err() else { panic!() };
        assert_eq!(suggestion.as_deref(), Some("x0"));
    }
}

#[test]
fn only_near_names_are_suggested() {
    let known = ["learning_rate", "batch_size", "depth"];
    assert_eq!(nearest("learningrate", known), Some("learning_rate"));
    assert_eq!(nearest("batch", known), Some("batch_size"));
    assert_eq!(nearest("DEPTH", known), Some("depth"));
    assert_eq!(nearest("dpeth", known), Some("depth"));
    assert_eq!(nearest("rate", known), Some("learning_rate"));
    assert_eq!(nearest("momentum", known), None);
}

#[test]
fn names_are_unique() {
    let refused = Outline::new(vec![entry("a", "0..1"), entry("a", "0..2")]);
    assert_eq!(refused, Err(SpaceError::DeclaredTwice(name("a"))));
}

#[test]
fn names_that_cannot_be_are_refused_with_one_that_can() {
    let refused = |text: &str| Name::new(text).unwrap_err().to_string();
    assert!(refused("").contains("needs a name"));
    assert!(refused("learning-rate").contains("`learning_rate`"));
    assert!(refused("2nd").contains("`_2nd`"));
    assert!(refused("a b").contains("' '"));
    assert!(refused("max").contains("word of the condition grammar"));
    for text in ["größe", "_x", "tree.depth", "x2", "数"] {
        assert_eq!(name(text).as_str(), text);
    }
}

#[test]
fn a_condition_that_cannot_be_read_is_refused_with_its_place() {
    let refused = entry("momentum", "0..1").when("optimizer = 'sgd'").unwrap_err().to_string();
    assert!(refused.starts_with("hyperparameter `momentum`: its condition cannot be read"), "{refused}");
    assert!(refused.ends_with("\n  optimizer = 'sgd'\n            ^"), "{refused}");
}

#[test]
fn a_default_outside_its_domain_is_refused() {
    let refused = entry("x", "0..1").default(2.0).unwrap_err().to_string();
    assert_eq!(refused, "hyperparameter `x`: 2.0 is not allowed; allowed is 0.0..1.0");
    let json =
        r#"{"questions":[{"name":"x","domain":{"float":{"low":0.0,"high":1.0}},"default":2.0}],"complete":true}"#;
    let refused = serde_json::from_str::<Outline>(json).unwrap_err().to_string();
    assert!(refused.contains("2.0 is not allowed"), "{refused}");
    let mut by_hand = entry("x", "0..1");
    by_hand.default = Some("high".into());
    assert!(matches!(Outline::new(vec![by_hand]), Err(SpaceError::Outside { .. })));
}

#[test]
fn an_outline_survives_json() {
    let outline = Outline::new(vec![
        entry("kind", "a|b|null").default(Value::Null).unwrap().about("größe"),
        entry("folds", "int:2..9").default(5_i64).unwrap().setting(),
        when("x", "kind == null or folds > 3"),
        entry("list", "'x|y'|'1'|1"),
    ])
    .unwrap();
    let json = serde_json::to_string(&outline).unwrap();
    let read: Outline = serde_json::from_str(&json).unwrap();
    assert_eq!(read, outline);
    assert_eq!(read.entry("kind").unwrap().default, Some(Value::Null));
    assert_eq!(read.entry("x").unwrap().default, None);
    let learnt = Outline::learnt(vec![entry("x", "0..1")]).unwrap();
    let read: Outline = serde_json::from_str(&serde_json::to_string(&learnt).unwrap()).unwrap();
    assert!(!read.is_complete() && read == learnt);
}

#[test]
fn conditions_decide_what_is_asked() {
    let outline =
        Outline::new(vec![when("third", "second > 2"), when("second", "first == 'on'"), entry("first", "on|off")]);
    // `second` is never above 1, so `third` is never asked; `second` only after `on`.
    let outline = outline.unwrap();
    let mut sizes = [0; 3];
    for seed in 0..64 {
        let drawn = Random::new(Stream::new(&[seed], "walk")).config(&outline).unwrap();
        assert_eq!(drawn.get("second").is_some(), drawn.text("first") == Ok("on"));
        sizes[drawn.answers().len() - 1] += 1;
    }
    assert!(sizes[0] > 0 && sizes[1] > 0 && sizes[2] == 0, "{sizes:?}");
}

#[test]
fn a_thousand_chained_conditions_are_sorted_and_walked() {
    let chain = |last: &str| {
        let mut entries: Vec<Entry> = (1..1000)
            .rev()
            .map(|k| entry(&format!("x{k}"), "fixed:1").when(&format!("x{} == 1", k - 1)).unwrap())
            .collect();
        entries.push(entry("x0", last));
        Outline::new(entries)
    };
    let outline = chain("fixed:1").unwrap();
    assert_eq!(names(&outline)[..3], ["x0", "x1", "x2"]);
    assert_eq!(Defaults::config(&outline).unwrap().answers().len(), 1000);
    assert_eq!(Defaults::config(&chain("fixed:0").unwrap()).unwrap().answers().len(), 1);
    let mut ring: Vec<Entry> =
        (0..1000).map(|k| when(&format!("x{k}"), &format!("x{} == 1", (k + 1) % 1000))).collect();
    ring.push(entry("free", "0..1"));
    let Err(SpaceError::Cycle(members)) = Outline::new(ring) else { panic!() };
    assert_eq!(members.len(), 1000);
}

fn recipe() -> Outline {
    Outline::new(vec![
        entry("rate", "log:1e-4..1").default(0.1).unwrap(),
        entry("depth", "int:1..8").default(3_i64).unwrap(),
        when("extra", "depth > 4"),
        entry("folds", "int:2..20").default(5_i64).unwrap().setting(),
        entry("split", "int:0..9").default(0_i64).unwrap().setting(),
    ])
    .unwrap()
}

#[test]
fn settings_are_fixed_at_their_defaults_unless_set_or_searched() {
    let searched = [("folds".to_owned(), parse_domain("int:3..4").unwrap())];
    let special = recipe().specialise(&[("depth".into(), 4.0.into())], &searched).unwrap();
    assert_eq!(special.entry("rate").unwrap(), recipe().entry("rate").unwrap());
    assert_eq!(special.entry("depth").unwrap().domain, Domain::Fixed(4_i64.into()));
    assert_eq!(special.entry("folds").unwrap().domain, searched[0].1);
    assert!(!special.entry("folds").unwrap().setting);
    assert_eq!(special.entry("folds").unwrap().default, None, "5 is not within 3..4");
    assert_eq!(special.entry("split").unwrap().domain, Domain::Fixed(0_i64.into()));
    assert_eq!(special.entry("extra").unwrap().when, recipe().entry("extra").unwrap().when);
}

#[test]
fn specialising_a_second_time_changes_nothing() {
    let once = recipe().specialise(&[("folds".into(), 7_i64.into())], &[]).unwrap();
    assert_eq!(once.specialise(&[], &[]).unwrap(), once);
}

#[test]
fn what_is_set_or_searched_must_exist_and_fit() {
    let refused = |set: &[(String, Value)], searched: &[(String, Domain)]| {
        recipe().specialise(set, searched).unwrap_err().to_string()
    };
    assert!(refused(&[("dept".into(), 3_i64.into())], &[]).contains("did you mean `depth`?"));
    assert!(refused(&[], &[("rates".into(), parse_domain("0..1").unwrap())]).contains("did you mean `rate`?"));
    assert_eq!(
        refused(&[("depth".into(), 9_i64.into())], &[]),
        "hyperparameter `depth`: 9 is not allowed; allowed is int:1..8"
    );
    let undecided = Outline::new(vec![entry("seed", "int:0..9").setting()]).unwrap();
    assert_eq!(undecided.specialise(&[], &[]), Err(SpaceError::Unanswered(name("seed"))));
}

#[test]
fn the_fingerprint_follows_what_exists_and_not_the_defaults() {
    let of = |entries: Vec<Entry>| Outline::new(entries).unwrap().fingerprint();
    let base = of(vec![entry("a", "0..1"), entry("b", "x|y")]);
    assert_eq!(of(vec![entry("a", "0..1").default(0.5).unwrap().about("why"), entry("b", "x|y")]), base);
    for other in [
        vec![entry("a", "0..2"), entry("b", "x|y")],
        vec![entry("a", "log:0.5..1"), entry("b", "x|y")],
        vec![entry("a", "0..1/0.1"), entry("b", "x|y")],
        vec![entry("a", "0..1"), entry("b", "y|x")],
        vec![entry("a", "0..1"), entry("b", "x|y").when("a > 0").unwrap()],
        vec![entry("a", "0..1"), entry("b", "x|y").when("a > 0.1").unwrap()],
        vec![entry("a", "0..1"), entry("c", "x|y")],
        vec![entry("a", "0..1")],
        vec![entry("a", "fixed:1"), entry("b", "x|y")],
    ] {
        assert_ne!(of(other.clone()), base, "{other:?}");
    }
    assert_ne!(of(vec![entry("a", "fixed:1")]), of(vec![entry("a", "fixed:'1'")]));
    assert_ne!(of(vec![entry("a", "fixed:1")]), of(vec![entry("a", "fixed:1.0")]));
}

#[test]
fn a_space_is_counted_if_it_is_finite() {
    let of = |entries: Vec<Entry>| Outline::new(entries).unwrap().count_at_most();
    assert_eq!(
        of(vec![entry("a", "x|y"), entry("b", "int:1..5"), entry("c", "0..1/0.5"), entry("d", "fixed:1")]),
        Some(30)
    );
    assert_eq!(of(vec![entry("a", "0..1")]), None);
    let wide = |name: &str| entry(name, "int:-9223372036854775808..9223372036854775807");
    assert_eq!(of(vec![wide("a"), wide("b")]), None, "2^128 is beyond");
}

#[test]
fn a_wide_space_is_walked_whole() {
    let mut entries = vec![entry("on", "fixed:true")];
    entries.extend((0..1000).map(|k| entry(&format!("x{k}"), "0..1").when("on").unwrap()));
    let outline = Outline::new(entries).unwrap();
    for seed in 0..10 {
        assert_eq!(Random::new(Stream::new(&[seed], "wide")).config(&outline).unwrap().answers().len(), 1001);
    }
    assert!(outline.outline().is_some());
}
