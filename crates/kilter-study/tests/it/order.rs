//! Studies in the order of their numbers.

use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_space::{Ask as _, Config, Outline};
use kilter_study::{
    Ask, Asked, Conduct, Event, History, Live, Memory, Next, NoPruner, Proposal, Sampler, SearchError, Storage, Study,
    StudySpec, Trial, recompute,
};

use crate::given::{Digest, complete, config, dead, spec};

fn study(storage: &Arc<dyn Storage>, in_order: Option<u64>) -> Study {
    let conduct = Conduct { in_order, ..Conduct::default() };
    let spec = StudySpec { trials: Some(20), conduct, ..spec("s") };
    Study::create(storage.clone(), spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap()
}

fn again(storage: &Arc<dyn Storage>) -> Study {
    let entry = storage.studies().unwrap().remove(0);
    Study::hold(storage.clone(), entry.id, entry.spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap()
}

fn tell(study: &mut Study, trial: &Trial) {
    study.tell(trial, &complete((trial.config().float("x").unwrap() - 0.3).powi(2))).unwrap();
}

/// Several processes with a trial each, of which by chance one or the other gets on.
fn run(storage: &Arc<dyn Storage>, processes: usize, chance: u64) -> Vec<Config> {
    let mut studies: Vec<Study> = (0..processes).map(|_| again(storage)).collect();
    let mut held: Vec<Option<Trial>> = vec![None; processes];
    let mut chance = Stream::new(&[chance], "whose turn");
    let mut done = 0;
    while done < processes {
        let turn = chance.below(processes as u64) as usize;
        done = match held[turn].take() {
            Some(trial) => {
                tell(&mut studies[turn], &trial);
                0
            }
            None => match studies[turn].ask().unwrap() {
                Asked::Trial(trial) => {
                    held[turn] = Some(trial);
                    0
                }
                Asked::Wait => 0,
                // Everybody has to hear it, since a trial may still run.
                Asked::Done(_) => done + usize::from(held.iter().all(Option::is_none)),
            },
        };
    }
    studies[0].sync().unwrap();
    studies[0].history().rows().map(|row| row.config().clone()).collect()
}

fn memory() -> Arc<dyn Storage> {
    Arc::new(Memory::new())
}

#[test]
fn a_parallel_study_in_order_is_the_same_whoever_is_quick() {
    let trials = |processes, chance| {
        let storage = memory();
        drop(study(&storage, Some(3)));
        run(&storage, processes, chance)
    };
    let expected = trials(3, 0);
    assert_eq!(expected.len(), 20);
    for chance in 1..12 {
        assert_eq!(trials(3, chance), expected, "chance {chance}");
    }
    assert_eq!(trials(1, 5), expected, "nor does it matter how many processes there are");
    assert_eq!(trials(5, 5), expected);
}

#[test]
fn without_order_a_parallel_study_hangs_on_who_is_quick() {
    let trials = |chance| {
        let storage = memory();
        drop(study(&storage, None));
        run(&storage, 3, chance)
    };
    assert!((1..12).any(|chance| trials(chance) != trials(0)), "else the test above says nothing");
}

#[test]
fn in_order_with_one_worker_is_an_ordinary_study() {
    let trials = |in_order| {
        let storage = memory();
        drop(study(&storage, in_order));
        run(&storage, 1, 0)
    };
    assert_eq!(trials(Some(1)), trials(None));
    assert_ne!(trials(Some(2)), trials(None));
}

#[test]
fn a_trial_waits_for_those_it_must_see_and_for_no_others() {
    let storage = memory();
    let mut study = study(&storage, Some(2));
    let mut ask = || match study.ask().unwrap() {
        Asked::Trial(trial) => Some(trial),
        _ => None,
    };
    let (zero, one) = (ask().unwrap(), ask().unwrap());
    assert!(ask().is_none(), "trial 2 must see trial 0");
    tell(&mut study, &one);
    assert!(matches!(study.ask().unwrap(), Asked::Wait));
    tell(&mut study, &zero);
    let Asked::Trial(two) = study.ask().unwrap() else { panic!() };
    assert_eq!(two.number(), 2);
    assert!(matches!(study.ask().unwrap(), Asked::Trial(three) if three.number() == 3));
}

#[test]
fn a_lost_worker_s_trial_is_seen_as_its_last_attempt_left_it() {
    let plain = memory();
    drop(study(&plain, Some(2)));
    let expected = run(&plain, 2, 0);
    let storage = memory();
    let mut first = study(&storage, Some(2));
    let Asked::Trial(zero) = first.ask().unwrap() else { panic!() };
    tell(&mut first, &zero);
    // Trial 1 in another's hands, who reports and dies.
    let number = storage.reserve(first.id(), &dead()).unwrap();
    let opened = kilter_study::Opened { config: expected[1].clone(), ..kilter_study::Opened::default() };
    let lease = storage.open(first.id(), number, &opened, &dead(), false).unwrap().lease().unwrap();
    storage.report(&lease, &[kilter_study::Point { step: 0, metric: "loss".to_owned(), value: 9.0 }]).unwrap();
    assert_eq!(first.reap().unwrap(), [1]);
    drop(first);
    assert_eq!(run(&storage, 2, 3), expected);
}

#[test]
fn any_proposal_of_a_study_can_be_computed_again_in_order_or_not() {
    for in_order in [None, Some(3)] {
        let storage = memory();
        drop(study(&storage, in_order));
        let configs = run(&storage, 3, 7);
        let entry = storage.studies().unwrap().remove(0);
        for (number, config) in configs.iter().enumerate() {
            let both = recompute(&storage, &entry, Box::<Digest>::default(), number as u64).unwrap();
            assert_eq!(both.stored, both.again, "trial {number} of {in_order:?}");
            assert_eq!(both.again.config, *config);
        }
    }
}

#[test]
fn what_was_never_proposed_cannot_be_computed_again() {
    let storage = memory();
    let mut study = study(&storage, None);
    study.enqueue(&config(&[("x", 0.5.into())])).unwrap();
    let entry = storage.studies().unwrap().remove(0);
    let words = |number| recompute(&storage, &entry, Box::<Digest>::default(), number).unwrap_err().to_string();
    assert_eq!(words(0), "trial 0 cannot be computed again: it was enqueued, no sampler proposed it");
    assert!(words(7).ends_with("there is no such trial"));
}

/// Proposes a number that hangs on which questions are known: an outline that is learnt too early or too late shows.
struct Learner;

impl Sampler for Learner {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let known = ask.space.outline.entries().iter().map(|entry| entry.name.as_str().len()).sum::<usize>();
        let x = (known as f64 * 0.137 + ask.number as f64 * 0.31) % 1.0;
        Ok(Next::Try(Proposal::new(config(&[("x", x.into())]), &ask.stream)))
    }
}

/// A function that asks while it runs: each trial a question that only some others ask.
fn asks(trial: &mut Live) -> f64 {
    let x = trial.float("x", 0.0, 1.0).unwrap();
    let name = format!("y{}", "_".repeat((x * 9.0) as usize));
    x + trial.float(&name, 0.0, 1.0).unwrap()
}

/// Three workers, of whom by chance one or the other gets on: asks, stores what it asked, or tells.
fn run_by_run(in_order: Option<u64>, chance: u64) -> Vec<Config> {
    let storage = memory();
    let conduct = Conduct { in_order, ..Conduct::default() };
    let outline = Outline::learnt(Vec::new()).unwrap();
    let spec = StudySpec { trials: Some(25), conduct, outline, ..spec("s") };
    let mut study = Study::create(storage.clone(), spec, Box::new(Learner), Box::new(NoPruner)).unwrap();
    let (mut held, mut done): (Vec<(Live, f64)>, bool) = (Vec::new(), false);
    let mut chance = Stream::new(&[chance], "whose turn");
    while !(done && held.is_empty()) {
        match chance.below(3) {
            0 if held.len() < 3 => match study.ask_by_run().unwrap() {
                Asked::Trial(mut trial) => {
                    let loss = asks(&mut trial);
                    held.push((trial, loss));
                }
                Asked::Wait => {}
                Asked::Done(_) => done = true,
            },
            1 if !held.is_empty() => {
                let at = chance.below(held.len() as u64) as usize;
                held[at].0.store().unwrap();
            }
            2 if !held.is_empty() => {
                let (trial, loss) = held.remove(chance.below(held.len() as u64) as usize);
                let trial = trial.close().unwrap();
                study.tell(&trial, &complete(loss)).unwrap();
            }
            _ => {}
        }
    }
    let entry = storage.studies().unwrap().remove(0);
    for number in [0, 3, 11, 24] {
        let both = recompute(&storage, &entry, Box::new(Learner), number).unwrap();
        assert_eq!(both.stored, both.again, "trial {number}");
    }
    study.sync().unwrap();
    study.history().rows().map(|row| row.config().clone()).collect()
}

/// What is known of the space goes by the order of the trials, too, not by who asked first.
#[test]
fn a_space_that_is_learnt_is_learnt_in_order() {
    let expected = run_by_run(Some(3), 0);
    assert_eq!(expected.len(), 25);
    for chance in 1..12 {
        assert_eq!(run_by_run(Some(3), chance), expected, "chance {chance}");
    }
    assert!((1..12).any(|chance| run_by_run(None, chance) != run_by_run(None, 0)), "else this says nothing");
}
