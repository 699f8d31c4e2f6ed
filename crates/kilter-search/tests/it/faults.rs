//! What no sampler may stumble over, for each in the list.

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_search::{SAMPLERS, pruner, sampler};
use kilter_space::{Config, Entry, Expr, Fit, Name, Outline, Random, Space, Value, Walk, parse_domain, replay};
use kilter_study::{
    Ask, Asked, Change, Conduct, Duplicates, End, Event, Failure, Goal, History, Memory, Next, Opened, Study,
    StudyError, StudySpec, Trial, Usage,
};

fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

fn mixed() -> Outline {
    let momentum = entry("momentum", "0.0..0.99").when("kind == 'sgd'").unwrap();
    Outline::new(vec![entry("lr", "log:1e-5..1e-1"), entry("n", "int:1..8"), entry("kind", "adam|sgd"), momentum])
        .unwrap()
}

/// All samplers, and variants of those with a way of their own.
fn all() -> Vec<String> {
    let listed = SAMPLERS.iter().map(|listed| listed.name.to_owned());
    let variants = ["tpe:flavour=optuna", "tpe:flavour=hyperopt", "tpe:multivariate=false", "tpe:varied=1"];
    listed.chain(variants.map(str::to_owned)).collect()
}

fn study(outline: &Outline, by: &str) -> Study {
    Study::create(Arc::new(Memory::new()), spec(outline, by), sampler(by).unwrap(), pruner("none").unwrap()).unwrap()
}

fn spec(outline: &Outline, by: &str) -> StudySpec {
    StudySpec {
        name: "s".to_owned(),
        outline: outline.clone(),
        goals: vec![Goal::minimize("loss")],
        sampler: by.to_owned(),
        pruner: "none".to_owned(),
        seed: 1,
        trials: None,
        conduct: Conduct::default(),
        limits: kilter_study::Limits::default(),
        requirements: Vec::new(),
        plan: serde_json::Value::Null,
    }
}

/// Runs up to `trials` trials and gives how many were asked; every configuration fits the space. A study may be done
/// earlier, and a sampler may refuse a space with reasons, but nothing else.
fn survive(outline: &Outline, by: &str, trials: usize, mut end: impl FnMut(usize, &Trial) -> End) -> usize {
    let mut study = study(outline, by);
    for at in 0..trials {
        match study.ask() {
            Ok(Asked::Trial(trial)) => {
                assert_eq!(replay(trial.config(), outline).unwrap(), Fit::Whole(trial.config().clone()), "{by}");
                let end = end(at, &trial);
                study.tell(&trial, &end).unwrap();
            }
            Ok(Asked::Done(why)) => {
                assert!(why.contains("tried") || why.contains("asked"), "{by}: {why}");
                return at;
            }
            Err(why @ StudyError::Search { .. }) => {
                assert!(by == "exhaustive" && why.to_string().contains("continuous"), "{by}: {why}");
                return 0;
            }
            other => panic!("{by}: {other:?}"),
        }
    }
    trials
}

fn value(loss: f64) -> End {
    End::of([("loss".to_owned(), loss)].into(), &[Goal::minimize("loss")], Usage::default())
}

#[test]
fn studies_in_which_everything_fails_go_on() {
    for by in all() {
        survive(&mixed(), &by, 40, |_, _| {
            End::failed(Failure::Refused { message: "by the test".to_owned() }, Usage::default())
        });
    }
}

#[test]
fn equal_values_and_values_that_are_none_are_survived() {
    for by in all() {
        survive(&mixed(), &by, 40, |_, _| value(0.0));
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -1e300, 1e300, 1e-300, 0.0, -0.0];
        survive(&mixed(), &by, 60, |at, _| value(odd[at % odd.len()]));
    }
}

#[test]
fn spaces_of_one_point_end_or_go_on() {
    let point = Outline::new(vec![entry("fixed", "fixed:3"), entry("only", "choice:a")]).unwrap();
    for by in all() {
        let asked = survive(&point, &by, 15, |_, _| value(1.0));
        // By the study's own policy, a finite space is asked once.
        assert_eq!(asked, 1, "{by}");
    }
    let empty = Outline::new(Vec::new()).unwrap();
    for by in all() {
        survive(&empty, &by, 15, |_, _| value(1.0));
    }
}

#[test]
fn five_hundred_dimensions() {
    let names: Vec<Entry> =
        (0..500).map(|d| entry(&format!("x{d}"), ["0.0..1.0", "int:1..9", "a|b|c"][d % 3])).collect();
    let wide = Outline::new(names).unwrap();
    for by in all() {
        survive(&wide, &by, 14, |at, _| value(at as f64));
    }
}

#[test]
fn ten_thousand_categories() {
    let words: Vec<String> = (0..10_000).map(|i| format!("w{i}")).collect();
    let space = Outline::new(vec![entry("word", &words.join("|")), entry("x", "0.0..1.0")]).unwrap();
    for by in all() {
        survive(&space, &by, 25, |at, _| value(at as f64));
    }
}

#[test]
fn values_from_the_smallest_to_the_largest() {
    let space =
        Outline::new(vec![entry("x", "log:1e-300..1e300"), entry("y", "-8e307..8e307"), entry("z", "0..1e-300")])
            .unwrap();
    for by in all() {
        survive(&space, &by, 40, |_, trial| value(trial.config().float("x").unwrap()));
    }
}

/// Small finite spaces are asked for every configuration once by those samplers that promise it.
#[test]
fn a_finite_space_is_used_up_without_a_repeat() {
    let few = Outline::new(vec![
        entry("n", "int:1..7"),
        entry("kind", "a|b|c"),
        entry("m", "int:0..4").when("kind == 'b'").unwrap(),
        entry("flags", "subset:p,q"),
    ])
    .unwrap();
    for by in ["tpe", "auto", "exhaustive", "grid", "tpe:multivariate=false", "tpe:flavour=optuna,repeats=false"] {
        let mut seen = std::collections::HashSet::new();
        let asked = survive(&few, by, 1000, |at, trial| {
            assert!(seen.insert(trial.config().to_string()), "{by} repeats {}", trial.config());
            value((at % 13) as f64)
        });
        assert_eq!(asked, 7 * (1 + 5 + 1) * 4, "{by}");
    }
}

#[test]
fn a_hundred_thousand_trials_are_history() {
    const TRIALS: u64 = 100_000;
    let outline = mixed();
    let mut random = Random::new(Stream::new(&[1], "history"));
    // A thousand different configurations will do.
    let configs: Vec<Config> = (0..1000).map(|_| random.config(&outline).unwrap()).collect();
    let mut events = Vec::new();
    for number in 0..TRIALS {
        let config = configs[number as usize % configs.len()].clone();
        let loss = config.float("lr").unwrap() * (1.0 + (number % 7) as f64);
        let opened = Opened { config, fingerprint: outline.fingerprint(), ..Opened::default() };
        for change in [Change::Opened(opened), Change::Ended(value(loss))] {
            events.push(Event { revision: events.len() as u64 + 1, number: Some(number), at_ms: 0, change });
        }
    }
    let mut history = History::default();
    events.iter().for_each(|event| history.apply(event));
    let goals = [Goal::minimize("loss")];
    for by in all() {
        let mut sampler = sampler(&by).unwrap();
        sampler.observe(&events, &history);
        let ask = Ask {
            number: TRIALS,
            space: Space { outline: &outline, walk: Some(&outline as &dyn Walk) },
            history: &history,
            goals: &goals,
            stream: Stream::new(&[1, TRIALS], "propose"),
            seed: 1,
            trials: None,
            duplicates: Duplicates::default(),
        };
        match sampler.next(&ask) {
            Ok(Next::Try(_)) => {}
            Ok(Next::Done(why)) => assert!(by == "grid", "{by}: {why}"),
            Ok(Next::Wait) => panic!("{by} waits"),
            Err(why) => assert!(by == "exhaustive", "{by}: {why}"),
        }
    }
}

/// A trial that misses what is required is worse than any that does not: the search stays where the requirement holds
/// although the loss is lower beyond it.
#[test]
fn requirements_keep_the_search_where_they_hold() {
    let space = Outline::new(vec![entry("x", "0.0..1.0"), entry("y", "0.0..1.0")]).unwrap();
    let within = |requirements: Vec<Expr>| {
        let spec = StudySpec { requirements, ..spec(&space, "tpe") };
        let storage = Arc::new(Memory::new());
        let mut study = Study::create(storage, spec.clone(), sampler("tpe").unwrap(), pruner("none").unwrap()).unwrap();
        let mut held = 0;
        for at in 0..100 {
            let Asked::Trial(trial) = study.ask().unwrap() else { panic!("the study ended") };
            let x = trial.config().float("x").unwrap();
            held += usize::from(at >= 50 && x <= 0.3);
            let metrics = BTreeMap::from([("loss".to_owned(), -x), ("memory".to_owned(), x)]);
            study.tell(&trial, &spec.judged(trial.config(), metrics, Usage::default())).unwrap();
        }
        held
    };
    let (limited, free) = (within(vec![Expr::parse("memory <= 0.3").unwrap()]), within(Vec::new()));
    // The best allowed x is the bound itself, so every second trial or so is beyond.
    assert!(limited >= 20 && free < 10, "{limited} and {free} of 50 within the limit");
}

/// An expert's prior draws the random start towards it.
#[test]
fn priors_are_believed_at_the_start() {
    let mut x = entry("x", "0.0..1.0");
    x.prior = Some(kilter_space::Prior { center: 0.8, spread: 0.05 });
    let mut rate = entry("rate", "log:1e-6..1");
    rate.prior = Some(kilter_space::Prior { center: 1e-3, spread: 2.0 });
    let space = Outline::new(vec![x, rate]).unwrap();
    let mut near = 0;
    survive(&space, "tpe", 10, |at, trial| {
        let (x, rate) = (trial.config().float("x").unwrap(), trial.config().float("rate").unwrap());
        near += usize::from((x - 0.8).abs() < 0.15 && (rate.log10() + 3.0).abs() < 0.9);
        value((at % 3) as f64)
    });
    assert!(near >= 8, "{near} of 10 near the prior");
}

#[test]
fn enqueued_configurations_are_not_proposed_again() {
    let space = Outline::new(vec![entry("n", "int:0..9")]).unwrap();
    let mut study = study(&space, "tpe");
    study.enqueue(&Config::new(vec![(Name::new("n").unwrap(), Value::Int(4))])).unwrap();
    let mut asked = Vec::new();
    while let Asked::Trial(trial) = study.ask().unwrap() {
        asked.push(trial.config().int("n").unwrap());
        study.tell(&trial, &value(trial.config().int("n").unwrap() as f64)).unwrap();
    }
    asked.sort_unstable();
    assert_eq!(asked, (0..10).collect::<Vec<_>>());
}
