use std::collections::BTreeMap;

use kilter_recipes::claim::{Arm, Claim, Judge, Reproduction, Scaled, arms_name};
use kilter_recipes::{Finding, Scale, find, reproductions};
use kilter_space::{Config, Name, Value};
use kilter_study::{Better, Change, End, EndState, Event, History, Opened, Run, Usage};

const fn reproduction(claims: &'static [Claim]) -> Reproduction {
    Reproduction {
        name: "made-up",
        title: "",
        arms: &[
            Arm {
                name: "ours",
                recipe: "breast-cancer",
                data: None,
                set: &[],
                tuned: None,
                goal: None,
                only_full: false,
                costly: None,
            },
            Arm {
                name: "theirs",
                recipe: "breast-cancer",
                data: None,
                set: &[],
                tuned: None,
                goal: None,
                only_full: false,
                costly: None,
            },
        ],
        seed_setting: "split_seed",
        seeds: Scaled { quick: 3, full: 3 },
        trials: Scaled { quick: 1, full: 1 },
        claims,
    }
}

const fn claim(better: Better, baseline: &'static [&'static str], judge: Judge) -> Claim {
    Claim { sentence: "", metric: "m", better, ours: &["ours"], baseline, judge, gate: true }
}

/// A history in which each arm has these values, seed by seed.
fn history(ours: &[f64], theirs: &[f64]) -> History {
    let of = |arm: &'static str, values: &[f64]| {
        let trial = |(seed, value): (usize, &f64)| (arm, seed, BTreeMap::from([("m".to_owned(), *value)]));
        values.iter().enumerate().map(trial).collect::<Vec<_>>()
    };
    history_of([of("ours", ours), of("theirs", theirs)].concat())
}

/// A history of arms under seeds with these metrics.
fn history_of(trials: Vec<(&str, usize, BTreeMap<String, f64>)>) -> History {
    let mut history = History::default();
    let mut revision = 0;
    for (number, (arm, seed, metrics)) in trials.into_iter().enumerate() {
        let answers =
            vec![(Name::new("arm").unwrap(), Value::from(arm)), (Name::new("seed").unwrap(), Value::from(seed as i64))];
        let opened = Opened { config: Config::new(answers), ..Opened::default() };
        let end = End {
            state: EndState::Complete,
            metrics,
            failure: None,
            why: None,
            violations: Vec::new(),
            usage: Usage::default(),
            remarks: Vec::new(),
        };
        for change in [Change::Opened(opened), Change::Ended(end)] {
            revision += 1;
            history.apply(&Event { revision, number: Some(number as u64), at_ms: 0, change });
        }
    }
    history
}

fn finding(claim: Claim, ours: &[f64], theirs: &[f64]) -> Finding {
    let claims: &'static [Claim] = Box::leak(Box::new([claim]));
    let reproduction = reproduction(claims);
    reproduction.judge(&reproduction.claims[0], &history(ours, theirs)).finding
}

#[test]
fn a_claim_holds_fails_or_is_open_by_its_interval() {
    let beats = |better| claim(better, &["theirs"], Judge::Beats { margin: 0.1, confidence: 0.95 });
    let (low, high) = ([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]);
    assert_eq!(finding(beats(Better::Lower), &low, &high), Finding::Holds);
    assert_eq!(finding(beats(Better::Lower), &high, &low), Finding::Fails);
    assert_eq!(finding(beats(Better::Higher), &high, &low), Finding::Holds);
    assert_eq!(finding(beats(Better::Lower), &[1.0, 3.0, 0.0], &[2.0, 0.5, 2.0]), Finding::Inconclusive);
    // An advantage of 0.05 is none where 0.1 was claimed.
    assert_eq!(finding(beats(Better::Lower), &[1.0, 1.1, 0.9], &[1.05, 1.15, 0.95]), Finding::Fails);
}

#[test]
fn a_claim_without_enough_seeds_is_not_shown_here() {
    let beats = claim(Better::Lower, &["theirs"], Judge::Beats { margin: 0.0, confidence: 0.95 });
    assert_eq!(finding(beats, &[1.0], &[2.0]), Finding::NotShownHere);
    let mean = claim(Better::Higher, &[], Judge::MeanAtLeast(0.5));
    assert_eq!(finding(mean, &[], &[]), Finding::NotShownHere);
}

#[test]
fn not_worse_means_within_one_standard_error() {
    let not_worse = || claim(Better::Lower, &["theirs"], Judge::WithinOneStandardError);
    assert_eq!(finding(not_worse(), &[1.0, 1.2, 0.9], &[1.1, 1.0, 0.95]), Finding::Holds);
    assert_eq!(finding(not_worse(), &[2.0, 2.1, 2.2], &[1.0, 1.1, 1.2]), Finding::Fails);
    let not_behind = || claim(Better::Lower, &["theirs"], Judge::NotBehind);
    assert_eq!(finding(not_behind(), &[1.0, 1.1, 0.9], &[1.1, 1.0, 0.9]), Finding::Holds);
    assert_eq!(finding(not_behind(), &[1.0, 1.11, 0.9], &[1.1, 1.0, 0.9]), Finding::Fails);
    let mean = || claim(Better::Higher, &[], Judge::MeanAtLeast(0.95));
    assert_eq!(finding(mean(), &[0.96, 0.95], &[]), Finding::Holds);
    assert_eq!(finding(mean(), &[0.94, 0.95], &[]), Finding::Fails);
}

#[test]
fn a_claim_whose_arms_failed_says_why() {
    let mut history = history(&[], &[1.0]);
    let answers =
        vec![(Name::new("arm").unwrap(), Value::from("ours")), (Name::new("seed").unwrap(), Value::from(0_i64))];
    let opened = Opened { config: Config::new(answers), ..Opened::default() };
    let end = End::failed(kilter_study::Failure::refused("`xrays` is not here"), Usage::default());
    for (revision, change) in [(11, Change::Opened(opened)), (12, Change::Ended(end))] {
        history.apply(&Event { revision, number: Some(5), at_ms: 0, change });
    }
    let claims: &'static [Claim] = Box::leak(Box::new([claim(Better::Lower, &["theirs"], Judge::NotBehind)]));
    let measured = reproduction(claims).judge(&claims[0], &history);
    assert_eq!((measured.finding, measured.trouble.as_deref()), (Finding::NotShownHere, Some("`xrays` is not here")));
}

/// Every arm and claim of every reproduction can be found, and one quick trial of each arm runs.
#[test]
fn every_arm_of_every_reproduction_runs() {
    for reproduction in reproductions() {
        for claim in reproduction.claims {
            let known = |name: &str| reproduction.arms.iter().any(|arm| arm.name == name);
            assert!(claim.ours.iter().chain(claim.baseline).all(|arm| known(arm)), "{}", claim.sentence);
        }
        let recipe = find(&arms_name(reproduction, Scale::Quick)).unwrap();
        assert!(recipe.outline().is_some());
        // These train for a while; `weights.rs` runs them on a smaller scale.
        if ["model-soups", "model-breadcrumbs", "nupes"].contains(&reproduction.name) {
            continue;
        }
        // It brings a model of 84 MB; `texts.rs` reads a tiny one in its place.
        if reproduction.name == "minilm" {
            continue;
        }
        for trial in reproduction.trials(Scale::Quick).into_iter().take(reproduction.arms_at(Scale::Quick).count()) {
            let arm = trial[0].1.clone();
            let answers = trial.into_iter().map(|(name, value)| (Name::new(name).unwrap(), value)).collect();
            let outcome = recipe.run(&Config::new(answers), &mut Run::offline(0)).unwrap();
            let takes_part =
                |claim: &&Claim| claim.ours.iter().chain(claim.baseline).any(|name| arm == Value::from(*name));
            for claim in reproduction.claims.iter().filter(takes_part) {
                assert!(outcome.metrics.contains_key(claim.metric), "{arm}: {}", claim.sentence);
            }
        }
    }
}

/// Two laws of which ours is steeper cross at (5/3)^5 = 12.9 hours: later than the classes, or among them.
#[test]
fn a_crossing_holds_beyond_the_largest_class_only() {
    const CLASSES: [(&str, &str); 3] =
        [("hours_1", "perplexity_1"), ("hours_2", "perplexity_2"), ("hours_3", "perplexity_3")];
    let judged = |hours: [f64; 3], theirs: f64| {
        let run = |arm: &'static str, law: &dyn Fn(f64) -> f64| {
            let metrics = |seed: usize| {
                // Seeds differ by a thousandth.
                let of = |h: f64| law(h) * (1.0 + 1e-3 * ((seed as f64 + h).sin()));
                let classes = CLASSES.iter().zip(hours);
                let both = classes.flat_map(|((h, p), hours)| [((*h).to_owned(), hours), ((*p).to_owned(), of(hours))]);
                both.chain([("m".to_owned(), 0.0)]).collect::<BTreeMap<_, _>>()
            };
            (0..3).map(|seed| (arm, seed, metrics(seed))).collect::<Vec<_>>()
        };
        let trials = [run("ours", &|h| 5.0 * h.powf(-0.3)), run("theirs", &|h| 3.0 * h.powf(theirs))].concat();
        let crosses = claim(Better::Lower, &["theirs"], Judge::CrossesLater { classes: &CLASSES });
        let claims: &'static [Claim] = Box::leak(Box::new([crosses]));
        reproduction(claims).judge(&claims[0], &history_of(trials))
    };
    let later = judged([1.0, 2.0, 4.0], -0.1);
    let hours = later.crossing_hours.unwrap();
    assert_eq!(later.finding, Finding::Holds);
    assert!(hours.low > 4.0 && (hours.low..hours.high).contains(&(5.0_f64 / 3.0).powi(5)), "{hours:?}");
    assert_eq!(judged([1.0, 8.0, 64.0], -0.1).finding, Finding::Fails);
    // Ours is worse everywhere, and falls no faster.
    assert_eq!(judged([1.0, 2.0, 4.0], -0.9).finding, Finding::Fails);
}
