//! Samplers under constraints: no proposal is ever infeasible, whatever was told.

use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_search::{SAMPLERS, pruner, sampler};
use kilter_space::{Config, Entry, Expr, Feasible, Fit, Outline, Value, parse_domain, replay};
use kilter_study::{
    Asked, Conduct, End, Failure, Goal, Limits, Memory, Storage, Study, StudyError, StudySpec, Trial, Usage,
};
use proptest::prelude::*;

const ALL: [&str; 4] = ["random", "tpe", "tpe:multivariate=false", "tpe:flavour=hyperopt"];

/// Every sampler of the registry, and TPE's other ways.
fn every_sampler() -> Vec<&'static str> {
    let listed = SAMPLERS.iter().map(|listed| listed.name);
    listed.chain(ALL.into_iter().filter(|by| by.contains(':'))).chain(["tpe:flavour=optuna"]).collect()
}

fn entry(name: &str, domain: &str) -> Entry {
    Entry::new(name, parse_domain(domain).unwrap()).unwrap()
}

fn constrained(entries: Vec<Entry>, constraints: &[&str]) -> Outline {
    Outline::constrained(entries, constraints.iter().map(|text| Expr::parse(text).unwrap()).collect()).unwrap()
}

fn study(outline: Outline, by: &str, seed: u64) -> Study {
    let spec = StudySpec {
        name: "s".to_owned(),
        outline,
        goals: vec![Goal::minimize("loss")],
        sampler: by.to_owned(),
        pruner: "none".to_owned(),
        seed,
        trials: None,
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::Value::Null,
    };
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    Study::create(storage, spec, sampler(by).unwrap(), pruner("none").unwrap()).unwrap()
}

fn ask(study: &mut Study) -> Trial {
    match study.ask().unwrap() {
        Asked::Trial(trial) => trial,
        other => panic!("{other:?}"),
    }
}

fn tell(study: &mut Study, trial: &Trial, loss: Option<f64>) {
    let end = match loss {
        Some(loss) => End::of([("loss".to_owned(), loss)].into(), &study.spec().goals.clone(), Usage::default()),
        None => End::failed(Failure::Refused { message: "by the test".to_owned() }, Usage::default()),
    };
    study.tell(trial, &end).unwrap();
}

/// Spaces of every kind of domain, with conditions, and constraints that tie them together; some nearly empty.
fn spaces() -> Vec<Outline> {
    let numbers = || vec![entry("a", "0..1"), entry("b", "0..1"), entry("c", "log:1e-3..1")];
    vec![
        constrained(numbers(), &["a + b + c <= 0.5"]),
        constrained(numbers(), &["a <= b", "b <= c", "a >= 0.9 * c"]),
        constrained(numbers(), &["a * b >= 0.5", "c != a"]),
        constrained(numbers(), &["a - b <= 0.001", "b - a <= 0.001"]),
        constrained(
            vec![entry("n", "int:1..64"), entry("m", "int:log:1..1024"), entry("k", "2|4|8|16")],
            &["n * m == 64 * k or n == m", "n != 7"],
        ),
        constrained(
            vec![
                entry("kind", "a|b|c"),
                entry("x", "0..1/0.05").when("kind == 'a'").unwrap(),
                entry("y", "int:0..9").when("kind != 'a'").unwrap(),
                entry("y2", "0..9").when("kind == 'c' and y > 3").unwrap(),
                entry("level", "ordinal:low<mid<high"),
                entry("parts", "subset:p,q,r"),
                entry("order", "permutation:u,v,w"),
                entry("fixed", "fixed:3"),
            ],
            &[
                "x <= 0.3 or level == 'high'",
                "y2 <= y",
                "y >= fixed or level != 'low'",
                "kind != 'b' or y in [1, 4, 6]",
            ],
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever sampler is registered and whatever it was told: what it proposes is feasible, or it says at once that it
    /// cannot search such a space.
    #[test]
    fn every_proposal_of_every_sampler_is_feasible(seed in any::<u64>(), space in 0..6_usize,
        told in prop::collection::vec(prop_oneof![1 => Just(None), 4 => (-5.0..5.0_f64).prop_map(Some)], 20)) {
        let outline = spaces().swap_remove(space);
        for by in every_sampler() {
            let mut study = study(outline.clone(), by, seed);
            for loss in &told {
                let trial = match study.ask() {
                    Ok(Asked::Trial(trial)) => trial,
                    Ok(Asked::Done(_)) => break,
                    Err(StudyError::Search { .. }) if study.history().is_empty() => break,
                    other => panic!("{by} in space {space}: {other:?}"),
                };
                let fit = replay(trial.config(), &outline).unwrap();
                prop_assert_eq!(fit, Fit::Whole(trial.config().clone()), "{} in space {}", by, space);
                tell(&mut study, &trial, *loss);
            }
        }
    }
}

/// The optimum lies on a constraint: samplers must go to the edge and not over it.
#[test]
fn tpe_finds_an_optimum_on_the_edge() {
    let outline = || constrained(vec![entry("x", "0..1"), entry("y", "0..1")], &["x + y <= 1"]);
    let best = |by: &str, seed: u64| {
        let mut study = study(outline(), by, seed);
        let mut best = f64::INFINITY;
        for _ in 0..60 {
            let trial = ask(&mut study);
            let (x, y) = (trial.config().float("x").unwrap(), trial.config().float("y").unwrap());
            assert!(x + y <= 1.0);
            let loss = (x - 0.8).powi(2) + (y - 0.8).powi(2);
            best = best.min(loss);
            tell(&mut study, &trial, Some(loss));
        }
        best
    };
    // The nearest feasible point is (0.5, 0.5), at 0.18. Fixed seeds: this passes always or never.
    for by in &ALL[1..] {
        let mut all: Vec<f64> = (0..7).map(|seed| best(by, seed)).collect();
        all.sort_by(f64::total_cmp);
        assert!(all[3] < 0.2, "{by}: {all:?}");
    }
}

/// A subset and a permutation are searched for real: good items and orders are found more often than by chance.
#[test]
fn tpe_learns_subsets_and_permutations() {
    let outline = || {
        Outline::new(vec![entry("parts", "subset:a,b,c,d,e,f,g,h"), entry("order", "permutation:u,v,w,x,y")]).unwrap()
    };
    let wanted = |config: &Config| {
        let list = |name: &str| match config.get(name) {
            Some(Value::List(items)) => items.iter().map(Value::to_string).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let hits = list("parts").iter().filter(|item| "aceg".contains(&***item)).count();
        let misses = list("parts").len() - hits;
        let order = list("order").concat();
        let inversions = (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j)));
        let inversions = inversions.filter(|&(i, j)| order.as_bytes()[i] > order.as_bytes()[j]).count();
        (4 - hits + misses + inversions) as f64
    };
    let median = |by: &str| {
        let mut best: Vec<f64> = (0..9)
            .map(|seed| {
                let mut study = study(outline(), by, seed);
                let losses = (0..80).map(|_| {
                    let trial = ask(&mut study);
                    let loss = wanted(trial.config());
                    tell(&mut study, &trial, Some(loss));
                    loss
                });
                losses.fold(f64::INFINITY, f64::min)
            })
            .collect();
        best.sort_by(f64::total_cmp);
        best[4]
    };
    let random = median("random");
    for by in &ALL[1..] {
        let ours = median(by);
        assert!(ours < random, "{by}: {ours}, random: {random}");
    }
}

/// Random search under constraints is uniform over the feasible set, not over what a walk in narrowed domains gives.
#[test]
fn random_search_is_uniform_over_the_feasible_set() {
    let outline = constrained(vec![entry("x", "0..1"), entry("y", "0..1")], &["x + y <= 1"]);
    let mut study = study(outline.clone(), "random", 1);
    let mut left = 0;
    for _ in 0..2000 {
        left += u32::from(ask(&mut study).config().float("x").unwrap() < 0.5);
    }
    // 3/4 of the triangle; a walk would give 1/2. Standard deviation 19.
    assert!((1420..1580).contains(&left), "{left}");
    assert!((Feasible::new(&outline).unwrap().rate() - 0.5).abs() < 0.04);
}

#[test]
fn a_contradiction_stops_the_study_with_its_names() {
    let outline = constrained(vec![entry("x", "0..1"), entry("y", "0..1")], &["x > y", "y > x", "x + y <= 2"]);
    for by in ALL {
        let refused = study(outline.clone(), by, 1).ask().unwrap_err().to_string();
        assert!(refused.contains("`x > y` and `y > x`"), "{by}: {refused}");
    }
}

/// The same proposal from the same events, in another process.
#[test]
fn feasible_sources_are_the_same_everywhere() {
    for outline in spaces() {
        let json = serde_json::to_string(&outline).unwrap();
        let again: Outline = serde_json::from_str(&json).unwrap();
        let draw = |outline: &Outline| Feasible::new(outline).unwrap().config(&mut Stream::new(&[5], "same")).unwrap();
        assert_eq!(draw(&outline), draw(&again));
    }
}

/// Whoever notices first that a finite space is used up, the sampler or the study, says it in the same words.
#[test]
fn a_finite_space_that_is_used_up_is_told_in_the_same_words_whoever_searches() {
    let outline = || constrained(vec![entry("n", "int:1..4"), entry("kind", "a|b")], &["n != 2 or kind == 'a'"]);
    for listed in SAMPLERS {
        let mut study = study(outline(), listed.name, 3);
        let why = loop {
            match study.ask() {
                Ok(Asked::Trial(trial)) => tell(&mut study, &trial, Some(f64::from(trial.number() as u32))),
                Ok(Asked::Done(why)) => break why,
                Ok(Asked::Wait) => panic!("{} waits for nobody", listed.name),
                // It cannot search under constraints, and says so.
                Err(StudyError::Search { why, .. }) => break why.to_string(),
                Err(why) => panic!("{}: {why}", listed.name),
            }
        };
        let is_told = why == "all 7 configurations of the space were asked" && study.history().len() == 7;
        assert!(is_told || (why.contains("constraint") && study.history().is_empty()), "{}: {why}", listed.name);
    }
}
