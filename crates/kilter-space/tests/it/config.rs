use kilter_numerics::Stream;
use kilter_space::{
    Answered, Ask, Chooser, Config, Defaults, Domain, Entry, Fit, Halt, Name, Outline, Question, Random, Scope,
    SpaceError, Value, Walk, parse_domain, replay,
};
use proptest::prelude::*;

use crate::given;

fn config(answers: &[(&str, Value)]) -> Config {
    Config::new(answers.iter().map(|(name, value)| (Name::new(name).unwrap(), value.clone())).collect())
}

fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

fn random(seed: u64) -> Random {
    Random::new(Stream::new(&[seed], "test"))
}

proptest! {
    #[test]
    fn a_configuration_survives_json_in_order_and_in_kind(
        answers in prop::collection::vec(("[a-zé_][a-z0-9_.]{0,5}", given::value()), 0..12),
    ) {
        let answers = answers.into_iter().filter_map(|(name, value)| Some((Name::new(&name).ok()?, value)));
        let config = Config::new(answers.collect());
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }
}

#[test]
fn json_keeps_order_and_integers_from_floats() {
    let written = r#"{"z":1,"a":1.0,"m":[1,2.0,"x"],"b":null,"größe":0.001,"n":-9223372036854775808}"#;
    let read: Config = serde_json::from_str(written).unwrap();
    assert_eq!(read.get("z"), Some(&Value::Int(1)));
    assert_eq!(read.get("a"), Some(&Value::Float(1.0)));
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
    assert!(serde_json::from_str::<Config>(r#"{"not a name":1}"#).is_err());
}

#[test]
fn typed_reading_names_what_is_missing_or_of_another_kind() {
    let config =
        config(&[("learning_rate", 0.1.into()), ("depth", 3_i64.into()), ("on", true.into()), ("by", "x".into())]);
    assert_eq!(config.float("depth"), Ok(3.0));
    assert_eq!((config.int("depth"), config.flag("on"), config.text("by")), (Ok(3), Ok(true), Ok("x")));
    let missing = config.float("learning_rat").unwrap_err().to_string();
    assert!(missing.contains("did you mean `learning_rate`?"), "{missing}");
    let kind = config.int("learning_rate").unwrap_err().to_string();
    assert!(kind.contains("0.1") && kind.contains("an integer"), "{kind}");
}

fn space() -> Outline {
    Outline::new(vec![
        entry("optimizer", "adam|sgd").default("adam").unwrap(),
        entry("momentum", "0..0.9").when("optimizer == 'sgd'").unwrap(),
        entry("rate", "log:1e-4..1"),
    ])
    .unwrap()
}

#[test]
fn an_old_configuration_that_answers_everything_fits_whole() {
    let old =
        config(&[("rate", 1_i64.into()), ("gone", "x".into()), ("momentum", 0.5.into()), ("optimizer", "adam".into())]);
    let whole = config(&[("optimizer", "adam".into()), ("rate", 1.0.into())]);
    assert_eq!(replay(&old, &space()), Ok(Fit::Whole(whole)), "in walk order, without what is not asked");
}

#[test]
fn defaults_fill_what_an_old_configuration_lacks_and_the_rest_is_named() {
    let old = config(&[("rate", 0.1.into())]);
    assert_eq!(replay(&old, &space()), Ok(Fit::Whole(config(&[("optimizer", "adam".into()), ("rate", 0.1.into())]))));
    let missing = replay(&config(&[("optimizer", "sgd".into())]), &space());
    assert_eq!(missing, Ok(Fit::Missing(vec![Name::new("momentum").unwrap(), Name::new("rate").unwrap()])));
}

#[test]
fn answers_outside_are_named_with_the_reason() {
    let old = config(&[("optimizer", "lion".into()), ("rate", 2.0.into())]);
    let Ok(Fit::Outside(answers)) = replay(&old, &space()) else { panic!() };
    let lines: Vec<String> = answers.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(lines, ["optimizer: lion is outside adam|sgd", "rate: 2.0 is outside log:0.0001..1.0"]);
}

#[test]
fn what_was_drawn_replays_as_itself() {
    for seed in 0..200 {
        let drawn = random(seed).config(&space()).unwrap();
        assert_eq!(replay(&drawn, &space()), Ok(Fit::Whole(drawn)));
    }
}

#[test]
fn defaults_answer_or_name_who_has_none() {
    assert_eq!(Defaults::config(&space()), Err(SpaceError::Unanswered(Name::new("rate").unwrap())));
    let space = Outline::new(vec![entry("a", "fixed:3"), entry("b", "x|null").default(Value::Null).unwrap()]).unwrap();
    assert_eq!(Defaults::config(&space), Ok(config(&[("a", 3_i64.into()), ("b", Value::Null)])));
}

/// Asks twice for one thing, then with another domain if told so.
struct Twice {
    other: bool,
}

impl Walk for Twice {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        let first = chooser.float("x", 0.0, 1.0)?;
        assert_eq!(chooser.float("x", 0.0, 1.0)?, first);
        if self.other {
            chooser.float("x", 0.0, 2.0)?;
        }
        Ok(())
    }
}

#[test]
fn the_same_question_has_the_same_answer_and_another_domain_is_refused() {
    let answered = || Answered::new(Config::default(), Box::new(random(1)));
    assert_eq!(answered().walk(&Twice { other: false }).unwrap().answers().len(), 1);
    let refused = answered().walk(&Twice { other: true }).unwrap_err();
    assert!(matches!(refused, SpaceError::AskedDifferently { .. }));
    assert_eq!(
        refused.to_string(),
        "hyperparameter `x` was asked as 0.0..1.0 and now as 0.0..2.0; one name has one domain within a trial"
    );
}

#[test]
fn answers_drawn_jointly_come_first_and_the_unforeseen_from_the_rest() {
    let joint = config(&[("optimizer", "sgd".into()), ("momentum", 7.0.into()), ("unasked", 1_i64.into())]);
    let walked = Answered::new(joint, Box::new(random(2))).walk(&space()).unwrap();
    assert_eq!(walked.text("optimizer"), Ok("sgd"));
    assert!(walked.float("momentum").unwrap() <= 0.9, "an answer outside its domain is drawn anew");
    assert_eq!(
        walked.answers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["optimizer", "momentum", "rate"]
    );
}

#[test]
fn scopes_put_their_name_before_the_question() {
    struct Scoped;
    impl Walk for Scoped {
        fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
            let mut outer = Scope::new(chooser, "tree");
            let mut inner = Scope::new(&mut outer, "leaf");
            inner.int("size", 1, 9)?;
            chooser.pick("kind", &["a", "b"])?;
            Ok(())
        }
    }
    let drawn = random(3).config(&Scoped).unwrap();
    assert_eq!(drawn.answers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["tree.leaf.size", "kind"]);
}

#[test]
fn a_range_that_cannot_be_is_refused_with_the_question_s_name() {
    struct Swapped;
    impl Walk for Swapped {
        fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
            chooser.float("lr", 1.0, 0.0).map(|_| ())
        }
    }
    let refused = random(4).config(&Swapped).unwrap_err().to_string();
    assert_eq!(refused, "hyperparameter `lr`: low (1.0) must be below high (0.0); did you swap them?");
}

#[test]
fn a_chooser_that_has_enough_ends_the_walk_in_peace() {
    struct First;
    impl Chooser for First {
        fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
            if question.name == "rate" { Err(Halt::Enough) } else { Ok(question.domain.at_share(0.0)) }
        }
    }
    let partial = Answered::new(Config::default(), Box::new(First)).walk(&space()).unwrap();
    assert_eq!(partial, config(&[("optimizer", "adam".into())]));
}

#[test]
fn every_domain_can_be_asked_by_itself() {
    let mut chooser = random(5);
    let domain: Domain = parse_domain("1|2|x").unwrap();
    let answer = chooser.ask("any", &domain).unwrap();
    assert_eq!(domain.accept(&answer), Some(answer));
}
