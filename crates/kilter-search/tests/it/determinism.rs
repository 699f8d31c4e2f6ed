//! Every sampler of the registry: a proposal is a function of the study's seed, the trial's number and what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_search::{SAMPLERS, sampler};
use kilter_space::{Config, Entry, Outline, parse_domain};
use kilter_study::{
    Asked, Conduct, End, Failure, Goal, Limits, Memory, NoPruner, Storage, Study, StudyError, StudySpec, Trial, Usage,
    recompute,
};

const TRIALS: u64 = 26;

/// Spaces from the richest to the plainest: a sampler that cannot search one may search the next.
fn spaces() -> Vec<Outline> {
    let entry = |name: &str, domain: &str| Entry::new(name, parse_domain(domain).unwrap()).unwrap();
    let conditional = vec![
        entry("x", "-2..2"),
        entry("lr", "log:1e-5..1e-1"),
        entry("layers", "int:1..8"),
        entry("kind", "a|b|c"),
        entry("b.x", "0..1").when("kind == 'b'").unwrap(),
    ];
    let floats = vec![entry("x", "-2..2"), entry("y", "0..1")];
    let finite = vec![entry("x", "int:1..4"), entry("kind", "a|b|c"), entry("n", "int:1..3")];
    [conditional, floats, finite].into_iter().map(|entries| Outline::new(entries).unwrap()).collect()
}

/// A function of every answer; some trials fail.
fn end(trial: &Trial, goals: &[Goal]) -> End {
    let answers = trial.config().answers().iter();
    let sum = answers.map(|(_, value)| value.as_f64().unwrap_or(value.to_string().len() as f64)).sum::<f64>();
    if trial.number() % 9 == 5 {
        return End::failed(Failure::refused("by the test"), Usage::default());
    }
    End::of(BTreeMap::from([("loss".to_owned(), (sum - 1.0).abs())]), goals, Usage::default())
}

struct Bench {
    storage: Arc<dyn Storage>,
    by: &'static str,
}

impl Bench {
    fn new(by: &'static str, outline: &Outline, in_order: Option<u64>) -> Self {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let spec = StudySpec {
            name: "s".to_owned(),
            outline: outline.clone(),
            goals: vec![Goal::minimize("loss")],
            sampler: by.to_owned(),
            pruner: "none".to_owned(),
            seed: 5,
            trials: Some(TRIALS),
            conduct: Conduct { in_order, ..Conduct::default() },
            requirements: Vec::new(),
            limits: Limits::default(),
            plan: serde_json::Value::Null,
        };
        storage.create(&spec).unwrap();
        Self { storage, by }
    }

    fn hold(&self) -> Study {
        let entry = self.storage.studies().unwrap().remove(0);
        Study::hold(self.storage.clone(), entry.id, entry.spec, sampler(self.by).unwrap(), Box::new(NoPruner)).unwrap()
    }

    /// Runs the study with a worker, who is replaced after each of `stops` trials: resumed that often.
    fn run_one_by_one(&self, stops: &[u64]) -> Result<Vec<Config>, StudyError> {
        let mut study = self.hold();
        for ran in 0.. {
            if stops.contains(&ran) {
                // A trial that ran when it was stopped is run again.
                if let Asked::Trial(trial) = study.ask()? {
                    study.storage().release(&trial.lease)?;
                }
                study = self.hold();
            }
            let Asked::Trial(trial) = study.ask()? else { break };
            let end = end(&trial, &study.spec().goals);
            study.tell(&trial, &end)?;
        }
        Ok(study.history().rows().map(|row| row.config().clone()).collect())
    }

    /// Three workers of one process, of whom by chance one or the other gets on.
    fn run_together(&self, chance: u64) -> Vec<Config> {
        let mut study = self.hold();
        let mut held: Vec<Trial> = Vec::new();
        let mut chance = Stream::new(&[chance], "whose turn");
        loop {
            let asked = if held.len() < 3 { Some(study.ask().unwrap()) } else { None };
            match asked {
                Some(Asked::Trial(trial)) => held.push(trial),
                Some(Asked::Done(_)) if held.is_empty() => break,
                _ => {
                    let trial = held.remove(chance.below(held.len() as u64) as usize);
                    let end = end(&trial, &study.spec().goals);
                    study.tell(&trial, &end).unwrap();
                }
            }
        }
        study.history().rows().map(|row| row.config().clone()).collect()
    }

    fn every_proposal_comes_out_again(&self) {
        let entry = self.storage.studies().unwrap().remove(0);
        for number in [0, 1, 11, 12, TRIALS - 1] {
            match recompute(&self.storage, &entry, sampler(self.by).unwrap(), number) {
                Ok(both) => assert_eq!(both.stored, both.again, "{} trial {number}", self.by),
                // A finite space may be used up before.
                Err(why) => assert!(why.to_string().contains("there is no such trial"), "{why}"),
            }
        }
    }
}

/// What a promise holds for: every sampler in every space that it can search.
fn for_every_sampler(promise: impl Fn(&'static str, &Outline)) {
    for listed in SAMPLERS {
        let able = |outline: &&Outline| match Bench::new(listed.name, outline, None).hold().ask() {
            Ok(_) => true,
            Err(StudyError::Search { .. }) => false,
            Err(why) => panic!("{}: {why}", listed.name),
        };
        let spaces = spaces();
        let spaces: Vec<&Outline> = spaces.iter().filter(able).collect();
        assert!(!spaces.is_empty(), "{} can search none of these spaces", listed.name);
        spaces.into_iter().for_each(|outline| promise(listed.name, outline));
    }
}

#[test]
fn a_resumed_study_equals_an_uninterrupted_one() {
    for_every_sampler(|by, outline| {
        let whole = Bench::new(by, outline, None).run_one_by_one(&[]).unwrap();
        for stops in [&[1][..], &[4, 5, 13], &[10, 20, 25]] {
            let bench = Bench::new(by, outline, None);
            assert_eq!(bench.run_one_by_one(stops).unwrap(), whole, "{by} stopped at {stops:?}");
            bench.every_proposal_comes_out_again();
        }
    });
}

#[test]
fn a_parallel_study_in_order_is_the_same_whoever_is_quick() {
    for_every_sampler(|by, outline| {
        let trials = |chance| {
            let bench = Bench::new(by, outline, Some(3));
            let trials = bench.run_together(chance);
            bench.every_proposal_comes_out_again();
            trials
        };
        let expected = trials(0);
        for chance in 1..4 {
            assert_eq!(trials(chance), expected, "{by}");
        }
    });
}

#[test]
fn any_proposal_of_a_parallel_study_can_be_computed_again() {
    for_every_sampler(|by, outline| {
        let bench = Bench::new(by, outline, None);
        bench.run_together(9);
        bench.every_proposal_comes_out_again();
    });
}

#[test]
fn random_search_is_the_same_for_any_number_of_workers() {
    let outline = &spaces()[0];
    let one = Bench::new("random", outline, None).run_one_by_one(&[]).unwrap();
    for chance in 0..3 {
        assert_eq!(Bench::new("random", outline, None).run_together(chance), one);
    }
}
