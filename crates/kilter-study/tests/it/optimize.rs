//! The loop that runs trials.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use kilter_space::{Chooser, Config, Halt, Outline, Walk};
use kilter_study::devices::Devices;
use kilter_study::storage::LEASE_MS;
use kilter_study::{
    Better, Event, Failure, Flow, History, Interrupt, Memory, Metric, NoPruner, Outcome, Pruner, Recipe, Run, Running,
    State, Storage, Study, StudySpec, Summary, Verdict, Why, Workers,
};

use crate::given::{Digest, FakeClock, alive, complete, config, opened, outline, spec, stranger};

/// A recipe made of a closure.
struct Closure<F> {
    outline: Outline,
    metrics: Vec<Metric>,
    run: F,
}

impl<F: Send + Sync> Walk for Closure<F> {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl<F: Fn(&Config, &mut Run) -> Result<Outcome, Failure> + Send + Sync> Recipe for Closure<F> {
    fn name(&self) -> &str {
        "closure"
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        (self.run)(config, run)
    }
}

fn recipe(run: impl Fn(&Config, &mut Run) -> Result<Outcome, Failure> + Send + Sync + 'static) -> Arc<dyn Recipe> {
    Arc::new(Closure { outline: outline(), metrics: vec![Metric::new("loss", Better::Lower)], run })
}

fn loss(config: &Config) -> Result<Outcome, Failure> {
    Ok(Outcome::new([("loss", (config.float("x")? - 0.3).powi(2))]))
}

/// A study in memory, its recipe's runs and how they are run.
struct Bench {
    study: Study,
    workers: usize,
    time_limit: Option<Duration>,
    interrupt: Interrupt,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(trials: u64, workers: usize) -> Self {
        Self::judged(trials, workers, Box::new(NoPruner))
    }

    fn judged(trials: u64, workers: usize, pruner: Box<dyn Pruner>) -> Self {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let spec = StudySpec { trials: Some(trials), ..spec("bench") };
        let study = Study::create(storage, spec, Box::<Digest>::default(), pruner).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { study, workers, time_limit: None, interrupt: Interrupt::new(), folder }
    }

    fn run(&mut self, recipe: &Arc<dyn Recipe>) -> Summary {
        let how = Workers {
            count: self.workers,
            time_limit: self.time_limit,
            devices: Devices::shared(),
            folder: self.folder.path().to_owned(),
            interrupt: self.interrupt.clone(),
        };
        self.study.optimize(recipe, &how, &mut |_| {}).unwrap()
    }

    fn history(&self) -> &History {
        self.study.history()
    }
}

fn one_worker(bench: &Bench) -> Workers {
    Workers {
        count: 1,
        time_limit: None,
        folder: bench.folder.path().to_owned(),
        devices: Devices::shared(),
        interrupt: Interrupt::new(),
    }
}

#[test]
fn the_loop_runs_what_asking_and_telling_would() {
    let mut bench = Bench::new(12, 1);
    let mut ends = Vec::new();
    let how = one_worker(&bench);
    let run = recipe(|config, _| loss(config));
    let summary = bench.study.optimize(&run, &how, &mut |tick| ends.extend(tick.ended.map(|row| row.number))).unwrap();
    assert_eq!((summary.ran, summary.interrupted, summary.why.as_str()), (12, false, "12 trials were wanted"));
    assert_eq!(ends, (0..12).collect::<Vec<_>>(), "the observer sees every end");
    let mut other = Bench::new(12, 1);
    other.run(&run);
    let configs = |bench: &Bench| bench.history().rows().map(|row| row.config().clone()).collect::<Vec<_>>();
    assert_eq!(configs(&bench), configs(&other));
}

#[test]
fn four_workers_run_at_most_four_at_once_and_exactly_the_wanted_number() {
    let (now, most, runs) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let first_four = Barrier::new(4);
    let (seen_most, seen_runs) = (most.clone(), runs.clone());
    let run = recipe(move |config, run| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        runs.fetch_add(1, Ordering::SeqCst);
        if run.number() < 4 {
            first_four.wait();
        }
        now.fetch_sub(1, Ordering::SeqCst);
        loss(config)
    });
    let mut bench = Bench::new(41, 4);
    assert_eq!(bench.run(&run).ran, 41);
    assert_eq!((seen_most.load(Ordering::SeqCst), seen_runs.load(Ordering::SeqCst)), (4, 41));
    assert_eq!(bench.history().rows().map(|row| row.number).collect::<Vec<_>>(), (0..41).collect::<Vec<_>>());
    assert_eq!(bench.history().count(State::Complete), 41);
    assert_eq!(bench.run(&run).ran, 0, "nothing more is wanted");
}

#[test]
fn whatever_goes_wrong_in_a_trial_is_a_named_failure_and_the_study_goes_on() {
    let run = recipe(|config, run| match run.number() % 6 {
        0 => panic!("out of luck at {}", run.number()),
        1 => Err(Failure::refused("not with these")),
        2 => Ok(Outcome::new([("loss", f64::NAN)])),
        3 => Ok(Outcome::new([("other", 1.0)])),
        4 => Ok(Outcome::new([("loss", f64::NEG_INFINITY), ("other", 1.0)])),
        _ => loss(config),
    });
    let mut bench = Bench::new(12, 3);
    assert_eq!(bench.run(&run).ran, 12);
    let mut failures: BTreeMap<u64, String> = BTreeMap::new();
    for row in bench.history().rows() {
        if let Some(failure) = &row.end.as_ref().unwrap().failure {
            failures.insert(row.number, format!("{}: {failure}", failure.name()));
        }
    }
    let expected = [
        (0, "panicked: panicked: out of luck at 0"),
        (1, "refused: not with these"),
        (2, "not_finite: `loss` is NaN"),
        (3, "missing_metric: no value for `loss`: the recipe did not give it"),
        (4, "not_finite: `loss` is -inf"),
    ];
    for (number, words) in expected {
        assert_eq!(failures[&number], words);
    }
    assert_eq!((bench.history().count(State::Complete), failures.len()), (2, 10));
    assert_eq!(bench.history().get(4).unwrap().value("other"), Some(1.0), "what it did measure is kept");
}

#[test]
fn a_wish_to_finish_lets_running_trials_end() {
    let mut bench = Bench::new(20, 2);
    let interrupt = bench.interrupt.clone();
    let both = Barrier::new(2);
    let run = recipe(move |config, run| {
        both.wait();
        if run.number() == 0 {
            interrupt.finish();
        }
        both.wait();
        assert_eq!(run.flow(), Flow::Go);
        loss(config)
    });
    let summary = bench.run(&run);
    assert!(summary.interrupted);
    assert_eq!((summary.ran, bench.history().len(), bench.history().count(State::Complete)), (2, 2, 2));
    assert_eq!(bench.run(&run).ran, 0, "the wish stands");
}

#[test]
fn a_wish_to_stop_at_once_lets_running_trials_wait_for_the_next_time() {
    let mut bench = Bench::new(5, 1);
    let interrupt = bench.interrupt.clone();
    let stopping = recipe(move |config, run| {
        assert_eq!(run.report(0, &[("loss", 9.0)]), Flow::Go);
        if run.number() == 2 {
            interrupt.at_once();
            assert_eq!(run.flow(), Flow::Stop(Why::Interrupted));
            return Err(Failure::refused("was told to stop"));
        }
        loss(config)
    });
    let summary = bench.run(&stopping);
    assert_eq!((summary.ran, summary.interrupted), (2, true));
    let row = bench.history().get(2).unwrap();
    assert_eq!((row.state, row.points.len()), (State::Waiting, 0));
    let open = row.config().clone();
    bench.interrupt = Interrupt::new();
    assert_eq!(bench.run(&recipe(|config, _| loss(config))).ran, 3);
    let row = bench.history().get(2).unwrap();
    assert_eq!((row.state, row.attempt, row.config()), (State::Complete, 1, &open));
    let mut never_stopped = Bench::new(5, 1);
    never_stopped.run(&recipe(|config, _| loss(config)));
    let configs = |bench: &Bench| bench.history().rows().map(|row| row.config().clone()).collect::<Vec<_>>();
    assert_eq!(configs(&bench), configs(&never_stopped));
}

#[test]
fn a_wish_that_came_before_the_loop_begins_no_trial() {
    let mut bench = Bench::new(5, 2);
    bench.interrupt.finish();
    let summary = bench.run(&recipe(|config, _| loss(config)));
    assert_eq!((summary.ran, summary.interrupted, bench.history().len()), (0, true, 0));
}

/// Stops whatever reports a loss above one.
struct AboveOne;

impl Pruner for AboveOne {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn verdict(&mut self, running: &Running<'_>, history: &History) -> Verdict {
        assert_eq!(history.get(running.number).unwrap().state, State::Running);
        match running.points.last() {
            Some(point) if point.value > 1.0 => Verdict::Stop(Why::Pruned {
                rule: "above one".to_owned(),
                comparison: format!("{} > 1 at step {}", point.value, point.step),
            }),
            _ => Verdict::Continue,
        }
    }
}

#[test]
fn a_pruner_stops_a_trial_and_says_why() {
    let run = recipe(|_, run| {
        for step in 0..10 {
            let value = if run.number() == 1 { step as f64 * 0.4 } else { 0.5 };
            if let Flow::Stop(_) = run.report(step, &[("loss", value)]) {
                assert!(matches!(run.flow(), Flow::Stop(Why::Pruned { .. })), "it stays stopped");
                // Returns with what there is; the NaN is nothing that there is.
                return Ok(Outcome::new([("loss", value), ("odd", f64::NAN)]));
            }
        }
        Ok(Outcome::new([("loss", 0.5)]))
    });
    let mut bench = Bench::judged(3, 2, Box::new(AboveOne));
    assert_eq!(bench.run(&run).ran, 3);
    let row = bench.history().get(1).unwrap();
    assert_eq!(row.state, State::Pruned);
    let end = row.end.as_ref().unwrap();
    assert_eq!(end.why.as_ref().unwrap().to_string(), "above one: 1.2000000000000002 > 1 at step 3");
    assert_eq!((row.value("loss"), end.metrics.len(), row.points.len()), (Some(1.2000000000000002), 1, 4));
    assert_eq!(bench.history().count(State::Complete), 2);
    assert_eq!(bench.history().get(0).unwrap().points.len(), 10, "every report is stored");
}

#[test]
fn a_trial_beyond_its_time_limit_has_failed_by_it() {
    let run = recipe(|config, run| {
        if run.number() == 1 {
            return loss(config);
        }
        assert!(matches!(run.flow(), Flow::Stop(Why::TimeLimit { .. })));
        Err(Failure::refused("was told to stop"))
    });
    let mut bench = Bench::new(2, 1);
    bench.time_limit = Some(Duration::ZERO);
    bench.run(&run);
    let end = bench.history().get(0).unwrap().end.clone().unwrap();
    assert_eq!(end.failure, Some(Failure::TimedOut { seconds: 0.0 }));
    assert_eq!(
        bench.history().get(1).unwrap().state,
        State::Complete,
        "it never looked at the clock, and came to its end"
    );
}

#[test]
fn enqueued_trials_run_in_the_loop() {
    let mut bench = Bench::new(3, 2);
    bench.study.enqueue(&config(&[("x", 0.125.into())])).unwrap();
    bench.run(&recipe(|config, _| loss(config)));
    assert_eq!(bench.history().get(0).unwrap().config().float("x"), Ok(0.125));
    assert_eq!(bench.history().count(State::Complete), 3);
}

#[test]
fn every_trial_has_a_folder_and_chance_of_its_own_and_the_same_at_every_attempt() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let store = seen.clone();
    let run = recipe(move |config, run| {
        let draw = run.stream("init").uniform();
        store.lock().unwrap().push((run.number(), draw, run.folder().file_name().unwrap().to_owned()));
        loss(config)
    });
    Bench::new(4, 1).run(&run);
    Bench::new(4, 4).run(&run);
    let mut seen = seen.lock().unwrap().clone();
    assert!(seen.iter().all(|(number, _, folder)| *folder == *number.to_string()));
    seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

/// A study of three trials of which others hold the first.
fn held_by(worker: &kilter_study::Worker) -> (Bench, Arc<FakeClock>, kilter_study::Lease) {
    let clock = FakeClock::new();
    let storage: Arc<dyn Storage> = Arc::new(Memory::with_clock(clock.clone()));
    let mut bench = Bench::new(3, 1);
    let spec = StudySpec { trials: Some(3), ..spec("shared") };
    bench.study = Study::create(storage.clone(), spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap();
    let number = storage.reserve(bench.study.id(), worker).unwrap();
    let lease = storage.open(bench.study.id(), number, &opened(0.5), worker, false).unwrap().lease().unwrap();
    (bench, clock, lease)
}

#[test]
fn the_loop_waits_for_others_and_takes_over_when_they_die() {
    let (mut bench, clock, lease) = held_by(&stranger(7));
    let how = one_worker(&bench);
    let mut waited = 0;
    let mut watch = |tick: &kilter_study::Tick<'_>| {
        // Nobody is left but the other: it is given up only when its time is up.
        waited += usize::from(tick.ended.is_none() && tick.history.ended() == 2);
        if waited == 3 {
            clock.advance(LEASE_MS + 1);
        }
    };
    let summary = bench.study.optimize(&recipe(|config, _| loss(config)), &how, &mut watch).unwrap();
    assert_eq!((summary.ran, waited >= 3), (3, true));
    assert_eq!(bench.history().get(lease.number).unwrap().attempt, 2);
    assert_eq!(bench.history().count(State::Complete), 3);
}

#[test]
fn the_loop_ends_with_the_others_last_trial() {
    let (mut bench, _, lease) = held_by(&stranger(7));
    let storage = bench.study.storage().clone();
    let how = one_worker(&bench);
    let mut ended = false;
    let mut watch = |tick: &kilter_study::Tick<'_>| {
        if !ended && tick.ended.is_none() && tick.history.ended() == 2 {
            storage.finish(&lease, &complete(0.1)).unwrap();
            ended = true;
        }
    };
    let summary = bench.study.optimize(&recipe(|config, _| loss(config)), &how, &mut watch).unwrap();
    assert_eq!((summary.ran, bench.history().count(State::Complete)), (2, 3));
}

#[test]
fn the_loop_does_not_wait_for_what_is_in_a_person_s_hands() {
    let (mut bench, _, lease) = held_by(&alive());
    assert!(bench.study.storage().entrust(&lease).unwrap());
    assert_eq!(bench.run(&recipe(|config, _| loss(config))).ran, 2);
    assert_eq!(bench.history().count(State::Running), 1);
}
