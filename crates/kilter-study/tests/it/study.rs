//! Asking and telling.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kilter_space::{Config, Entry, Outline, Value, parse_domain};
use kilter_study::storage::Ended;
use kilter_study::{
    Amendment, Ask, Asked, End, Event, Goal, History, Limits, Memory, Next, NoPruner, Opened, Proposal, QueueOnly,
    Sampler, SearchError, Sqlite, State, Storage, Study, StudyError, StudySpec, Trial,
};

use crate::given::{Digest, alive, complete, config, dead, spec, stranger};

fn study(storage: &Arc<dyn Storage>, trials: u64) -> Study {
    let spec = StudySpec { trials: Some(trials), ..spec("study") };
    Study::create(storage.clone(), spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap()
}

/// The same study in another's hands.
fn again(storage: &Arc<dyn Storage>) -> Study {
    let entry = storage.studies().unwrap().remove(0);
    Study::hold(storage.clone(), entry.id, entry.spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap()
}

fn memory() -> Arc<dyn Storage> {
    Arc::new(Memory::new())
}

fn trial(asked: Asked) -> Trial {
    match asked {
        Asked::Trial(trial) => trial,
        other => panic!("{other:?}"),
    }
}

fn loss(config: &Config) -> End {
    complete((config.float("x").unwrap() - 0.3).powi(2))
}

/// Asks and tells one trial; tells whether there was one.
fn advance(study: &mut Study) -> bool {
    match study.ask().unwrap() {
        Asked::Trial(trial) => {
            assert_eq!(study.tell(&trial, &loss(trial.config())).unwrap(), Ended::Counted);
            true
        }
        Asked::Done(_) => false,
        Asked::Wait => panic!("nothing to wait for"),
    }
}

/// What must not change by interruptions: answers, remarks and results by number.
fn result(study: &mut Study) -> Vec<(u64, Config, String, Option<f64>)> {
    study.sync().unwrap();
    let row =
        |row: &kilter_study::Row| (row.number, row.config().clone(), row.opened.note.to_string(), row.value("loss"));
    study.history().rows().map(row).collect()
}

fn uninterrupted(trials: u64) -> Vec<(u64, Config, String, Option<f64>)> {
    let mut study = study(&memory(), trials);
    while advance(&mut study) {}
    result(&mut study)
}

#[test]
fn a_study_runs_exactly_the_wanted_trials() {
    let expected = uninterrupted(12);
    assert_eq!(expected.iter().map(|row| row.0).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    assert!(expected.iter().all(|row| row.3.is_some()));
    assert_eq!(expected, uninterrupted(12), "and the same ones every time");
}

#[test]
fn a_resumed_study_equals_an_uninterrupted_one() {
    let expected = uninterrupted(12);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    for stop in 0..12 {
        let _ = std::fs::remove_file(&path);
        let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(&path).unwrap());
        let mut first = study(&storage, 12);
        (0..stop).for_each(|_| assert!(advance(&mut first)));
        let open = trial(first.ask().unwrap());
        storage.release(&open.lease).unwrap();
        drop((first, storage));
        let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(&path).unwrap());
        let mut second = again(&storage);
        let resumed = trial(second.ask().unwrap());
        assert_eq!((resumed.number(), resumed.lease.attempt), (stop, 1));
        assert_eq!(resumed.opened, open.opened);
        second.tell(&resumed, &loss(resumed.config())).unwrap();
        while advance(&mut second) {}
        assert_eq!(result(&mut second), expected, "stopped at {stop}");
        drop((second, storage));
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("study.db{end}")));
        }
    }
}

#[test]
fn a_study_whose_worker_died_equals_an_uninterrupted_one() {
    let expected = uninterrupted(8);
    // Between reserving a number and opening the trial.
    let storage = memory();
    let mut first = study(&storage, 8);
    (0..3).for_each(|_| assert!(advance(&mut first)));
    assert_eq!(storage.reserve(first.id(), &dead()).unwrap(), 3);
    drop(first);
    let mut second = again(&storage);
    while advance(&mut second) {}
    assert_eq!(result(&mut second), expected);

    // While a trial ran.
    let storage = memory();
    let mut first = study(&storage, 8);
    (0..3).for_each(|_| assert!(advance(&mut first)));
    let number = storage.reserve(first.id(), &dead()).unwrap();
    let open = Opened {
        config: expected[3].1.clone(),
        note: serde_json::from_str(&expected[3].2).unwrap(),
        ..Opened::default()
    };
    storage.open(first.id(), number, &open, &dead(), false).unwrap().lease().unwrap();
    drop(first);
    let mut second = again(&storage);
    assert_eq!(second.reap().unwrap(), [3]);
    while advance(&mut second) {}
    assert_eq!(result(&mut second), expected);
    assert_eq!(second.history().get(3).unwrap().attempt, 2);
}

#[test]
fn two_handles_run_exactly_the_wanted_trials_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    let open = || -> Arc<dyn Storage> { Arc::new(Sqlite::open(&path).unwrap()) };
    let (one, two) = (open(), open());
    let mut first = study(&one, 11);
    let mut second = again(&two);
    // Both hold a trial at a time, so that every ask happens while the other's trial is open.
    let mut held: Vec<Trial> = Vec::new();
    loop {
        let asked = [first.ask().unwrap(), second.ask().unwrap()];
        held.extend(asked.into_iter().filter_map(|asked| match asked {
            Asked::Trial(trial) => Some(trial),
            _ => None,
        }));
        if held.is_empty() {
            break;
        }
        for (k, trial) in held.drain(..).enumerate() {
            let teller = if k == 0 { &mut second } else { &mut first };
            teller.tell(&trial, &loss(trial.config())).unwrap();
        }
    }
    let numbers: Vec<u64> = result(&mut first).iter().map(|row| row.0).collect();
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    assert_eq!(result(&mut first), result(&mut second));
    assert_eq!(first.history().count(State::Complete), 11);
}

/// Proposes at random, without looking at what there is.
struct Dice;

impl Sampler for Dice {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        Ok(Next::Try(Proposal::new(Config::default(), &ask.stream)))
    }
}

#[test]
fn no_two_handles_that_ask_at_once_open_the_same_configuration_of_a_finite_space() {
    const ALL: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.db");
    let entry = Entry::new("n", parse_domain(&format!("int:1..{ALL}")).unwrap()).unwrap();
    let outline = Outline::new(vec![entry]).unwrap();
    let spec = StudySpec { outline, trials: None, ..spec("finite") };
    let id = Sqlite::open(&path).unwrap().create(&spec).unwrap();
    let run = || {
        let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(&path).unwrap());
        let mut study = Study::hold(storage, id, spec.clone(), Box::new(Dice), Box::new(NoPruner)).unwrap();
        let mut asked = Vec::new();
        loop {
            match study.ask().unwrap() {
                Asked::Trial(trial) => {
                    study.tell(&trial, &complete(1.0)).unwrap();
                    asked.push(trial.config().int("n").unwrap());
                }
                Asked::Wait => {}
                Asked::Done(why) => {
                    assert_eq!(why, format!("all {ALL} configurations of the space were asked"));
                    return asked;
                }
            }
        }
    };
    let mut asked: Vec<i64> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    asked.sort_unstable();
    assert_eq!(asked, (1..=ALL as i64).collect::<Vec<_>>());
}

#[test]
fn a_wish_for_more_trials_from_elsewhere_is_heard_at_the_next_ask() {
    let storage = memory();
    let mut first = study(&storage, 2);
    while advance(&mut first) {}
    assert!(matches!(first.ask().unwrap(), Asked::Done(why) if why.contains("2 trials")));
    again(&storage).want_trials(4).unwrap();
    while advance(&mut first) {}
    assert_eq!(first.history().len(), 4);
    assert_eq!(first.trials_wanted(), Some(4));
    again(&storage).want_trials(3).unwrap();
    assert!(matches!(first.ask().unwrap(), Asked::Done(_)));
}

#[test]
fn enqueued_configurations_run_first_and_count_among_the_wanted() {
    let storage = memory();
    let mut study = study(&storage, 4);
    let wish = config(&[("bend", 3_i64.into()), ("kind", "bent".into()), ("x", 1_i64.into())]);
    assert_eq!(study.enqueue(&wish).unwrap(), 0);
    let first = trial(study.ask().unwrap());
    let answered = config(&[("x", 1.0.into()), ("kind", "bent".into()), ("bend", 3_i64.into())]);
    assert_eq!(*first.config(), answered, "in walk order and in the domains' kinds");
    study.tell(&first, &complete(0.1)).unwrap();
    assert_eq!(study.enqueue(&config(&[("x", 0.5.into())])).unwrap(), 1);
    assert_eq!(trial(study.ask().unwrap()).config().text("kind"), Ok("plain"), "the default fills the rest");
    while advance(&mut study) {}
    assert_eq!(study.history().len(), 4);
}

#[test]
fn configurations_that_do_not_fit_are_refused_with_the_reason() {
    let mut study = study(&memory(), 4);
    let mut refused = |answers: &[(&str, Value)]| study.enqueue(&config(answers)).unwrap_err().to_string();
    assert!(refused(&[]).ends_with("`x` without a value and without a default"));
    assert!(refused(&[("x", 2.0.into())]).ends_with("`x`: 2.0 is outside -1.0..1.0"));
    assert!(refused(&[("x", 0.0.into()), ("kind", "bent".into())]).contains("`bend`"));
    let misspelt = refused(&[("x", 0.0.into()), ("knid", "bent".into())]);
    assert!(misspelt.contains("`knid`") && misspelt.contains("did you mean `kind`?"), "{misspelt}");
    assert!(study.history().is_empty());
}

/// Answers from a list, one by one.
struct Scripted(Mutex<Vec<Script>>);

enum Script {
    Wait,
    Done,
    Refuse,
    /// Meanwhile somebody else takes the number.
    Lose(Arc<dyn Storage>),
    Propose,
}

impl Sampler for Scripted {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        match self.0.get_mut().unwrap().remove(0) {
            Script::Wait => Ok(Next::Wait),
            Script::Done => Ok(Next::Done("enough".to_owned())),
            Script::Refuse => Err(SearchError::Unsuitable("no floats please".to_owned())),
            Script::Lose(storage) => {
                let id = storage.studies().unwrap()[0].id;
                storage.give_back(id, ask.number, &alive()).unwrap();
                assert_eq!(storage.reserve(id, &stranger(7)).unwrap(), ask.number);
                Ok(Next::Try(Proposal::new(Config::default(), &ask.stream)))
            }
            Script::Propose => Ok(Next::Try(Proposal::new(Config::default(), &ask.stream))),
        }
    }
}

fn scripted(storage: &Arc<dyn Storage>, script: Vec<Script>) -> Study {
    let sampler = Box::new(Scripted(Mutex::new(script)));
    Study::create(storage.clone(), spec("scripted"), sampler, Box::new(NoPruner)).unwrap()
}

#[test]
fn a_number_that_came_to_nothing_is_used_by_the_next_ask() {
    let storage = memory();
    let mut study = scripted(&storage, vec![Script::Wait, Script::Refuse, Script::Done, Script::Propose]);
    assert!(matches!(study.ask().unwrap(), Asked::Wait));
    let refused = study.ask().unwrap_err();
    assert!(matches!(refused, StudyError::Search { .. }));
    assert_eq!(refused.to_string(), "the sampler `test` cannot go on: no floats please");
    assert!(matches!(study.ask().unwrap(), Asked::Done(why) if why == "enough"));
    assert_eq!(trial(study.ask().unwrap()).number(), 0);
}

#[test]
fn a_number_lost_during_a_long_ask_is_replaced_by_another() {
    let storage = memory();
    let mut study = scripted(&storage, vec![Script::Lose(storage.clone()), Script::Propose]);
    assert_eq!(trial(study.ask().unwrap()).number(), 1);
    assert_eq!(storage.changes(study.id(), 0, 9).unwrap().events.len(), 1);
}

#[test]
fn a_trial_asked_by_hand_is_told_from_another_process_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Storage> { Arc::new(Sqlite::open(&folder.path().join("s.db")).unwrap()) };
    let mut first = study(&open(), 3);
    let asked = trial(first.ask_by_hand().unwrap());
    let run = trial(first.ask().unwrap());
    drop(first);
    let mut second = again(&open());
    second.reap().unwrap();
    assert_eq!(second.tell_by_hand(asked.number(), &complete(0.5)).unwrap(), Ended::Counted);
    let mut refused = |number| second.tell_by_hand(number, &complete(0.1)).unwrap_err().to_string();
    assert_eq!(refused(asked.number()), "trial 0 does not wait for an answer: it is complete already");
    assert!(refused(run.number()).contains("a worker runs it"));
    assert!(refused(9).ends_with("there is none of this number; the last is 1"));
    assert_eq!(second.history().get(0).unwrap().value("loss"), Some(0.5));
}

#[test]
fn a_study_of_enqueued_trials_only_runs_those() {
    let storage = memory();
    let mut study =
        Study::create(storage, StudySpec { trials: None, ..spec("arms") }, Box::new(QueueOnly), Box::new(NoPruner))
            .unwrap();
    for x in [0.1, 0.2, 0.3] {
        study.enqueue(&config(&[("x", x.into())])).unwrap();
    }
    while advance(&mut study) {}
    assert_eq!(study.history().len(), 3);
    assert!(matches!(study.ask().unwrap(), Asked::Done(why) if why.contains("enqueued")));
}

#[test]
fn an_end_needs_a_number_for_every_goal() {
    let goals = [Goal::minimize("loss"), Goal::maximize("score")];
    let of = |metrics: &[(&str, f64)]| {
        let metrics: BTreeMap<String, f64> = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        End::of(metrics, &goals, kilter_study::Usage::default())
    };
    let whole = of(&[("loss", 1.0), ("score", 2.0), ("extra", f64::NAN)]);
    assert!(whole.failure.is_none() && whole.metrics.len() == 2);
    assert_eq!(of(&[("loss", 1.0)]).failure.unwrap().name(), "missing_metric");
    let odd = of(&[("loss", f64::INFINITY), ("score", 2.0)]);
    assert_eq!(odd.failure.unwrap().to_string(), "`loss` is inf");
    assert_eq!(odd.metrics.len(), 1);
}

#[test]
fn a_stopped_study_begins_nothing_until_it_goes_on() {
    let storage = memory();
    let (mut here, mut there) = (study(&storage, 5), again(&storage));
    assert!(advance(&mut here));
    here.enqueue(&config(&[("x", 0.5.into()), ("kind", "plain".into())])).unwrap();
    there.amend(&Amendment::Stop { why: "stopped by hand".to_owned(), at_once: false }).unwrap();
    let Asked::Done(why) = here.ask().unwrap() else { panic!("it began a trial") };
    assert_eq!(why, "stopped by hand");
    assert_eq!(again(&storage).history().stopped(), Some("stopped by hand"));
    there.amend(&Amendment::GoOn).unwrap();
    while advance(&mut here) {}
    assert_eq!(here.history().count(State::Complete), 5);
}

#[test]
fn a_study_ends_when_its_condition_holds() {
    let limits = |text: &str| Limits { stop_when: Some(text.parse_expr()), ..Limits::default() };
    for (condition, trials) in
        [("trials >= 3", 3), ("loss < 1e9", 1), ("complete > 3 or failed > 0", 4), ("loss < -1", 9)]
    {
        let storage = memory();
        let mut study = study(&storage, 9);
        study.amend(&Amendment::Limits(limits(condition))).unwrap();
        while advance(&mut study) {}
        assert_eq!(study.history().len(), trials, "{condition}");
        assert!(!advance(&mut again(&storage)), "nor in another process: {condition}");
    }
    let storage = memory();
    let mut study = study(&storage, 200);
    study.amend(&Amendment::Limits(limits("without_improvement >= 4"))).unwrap();
    while advance(&mut study) {}
    let best = study.history().best(&Goal::minimize("loss")).unwrap().number;
    assert_eq!(study.history().len() as u64, best + 5);
}

trait ParseExpr {
    fn parse_expr(&self) -> kilter_space::Expr;
}

impl ParseExpr for str {
    fn parse_expr(&self) -> kilter_space::Expr {
        kilter_space::Expr::parse(self).unwrap()
    }
}

#[test]
fn what_is_required_is_judged_at_the_end_and_only_who_keeps_it_is_best() {
    let storage = memory();
    let spec =
        StudySpec { requirements: vec!["latency_ms <= 10".parse_expr(), "x < 0.9".parse_expr()], ..spec("study") };
    let judged = |x: f64, metrics: &[(&str, f64)]| {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        spec.judged(&config(&[("x", x.into())]), metrics, kilter_study::Usage::default())
    };
    let end = judged(0.5, &[("loss", 1.0), ("latency_ms", 12.5)]);
    assert_eq!((end.violations.as_slice(), end.violation()), (&[2.5, 0.5 - 0.9][..], 2.5));
    let missing = judged(0.5, &[("loss", 1.0)]);
    assert_eq!(missing.failure.unwrap().name(), "missing_metric");
    let odd = judged(0.5, &[("loss", 1.0), ("latency_ms", f64::NAN)]);
    assert_eq!(odd.failure.unwrap().name(), "not_finite");
    let mut study = Study::create(storage, spec.clone(), Box::<Digest>::default(), Box::new(NoPruner)).unwrap();
    for (loss, latency) in [(3.0, 9.0), (1.0, 11.0), (2.0, 10.0), (4.0, 1.0)] {
        let trial = trial(study.ask().unwrap());
        study.tell(&trial, &judged(0.5, &[("loss", loss), ("latency_ms", latency)])).unwrap();
    }
    let goal = Goal::minimize("loss");
    assert_eq!(study.history().best(&goal).unwrap().number, 2);
    assert_eq!(study.history().ranking(&goal).iter().map(|row| row.number).collect::<Vec<_>>(), [2, 0, 3]);
    assert_eq!(study.history().get(1).unwrap().violation(), Some(1.0));
    assert_eq!(study.history().count(State::Complete), 4);
}

#[test]
fn built_in_metrics_are_goals_like_any_other() {
    let spec = StudySpec { goals: vec![Goal::minimize("loss"), Goal::minimize("wall_seconds")], ..spec("study") };
    let usage = kilter_study::Usage { wall_seconds: 2.5, ..kilter_study::Usage::default() };
    let end = spec.judged(&Config::default(), BTreeMap::from([("loss".to_owned(), 1.0)]), usage);
    assert_eq!((end.metrics["wall_seconds"], end.failure), (2.5, None));
    let unmeasured = StudySpec { goals: vec![Goal::minimize("peak_bytes")], ..spec };
    let end = unmeasured.judged(&Config::default(), BTreeMap::new(), usage);
    assert_eq!(end.failure.unwrap().name(), "missing_metric");
}

#[test]
fn the_front_holds_who_is_surpassed_by_nobody() {
    let storage = memory();
    let goals = vec![Goal::minimize("loss"), Goal::maximize("speed")];
    let spec = StudySpec { goals: goals.clone(), ..spec("study") };
    let mut study = Study::create(storage, spec.clone(), Box::<Digest>::default(), Box::new(NoPruner)).unwrap();
    for (loss, speed) in [(3.0, 9.0), (1.0, 1.0), (3.0, 8.0), (2.0, 9.0), (1.0, 1.0), (2.0, 5.0)] {
        let trial = trial(study.ask().unwrap());
        let metrics = BTreeMap::from([("loss".to_owned(), loss), ("speed".to_owned(), speed)]);
        study.tell(&trial, &spec.judged(trial.config(), metrics, kilter_study::Usage::default())).unwrap();
    }
    let front = study.history().front(&goals);
    assert_eq!(front.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 3]);
    let single = study.history().front(&goals[..1]);
    assert_eq!(single.iter().map(|row| row.number).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_study_s_running_time_leaves_out_pauses_and_what_a_dead_worker_never_ran() {
    let stage = crate::given::Stage::memory();
    let seconds = || stage.history().busy_seconds();
    let begin = |worker: &kilter_study::Worker| {
        let number = stage.storage.reserve(stage.id, worker).unwrap();
        stage.storage.open(stage.id, number, &crate::given::opened(0.5), worker, false).unwrap().lease().unwrap()
    };
    let lease = begin(&alive());
    stage.clock.advance(1_000);
    let second = begin(&alive());
    stage.clock.advance(500);
    stage.storage.finish(&lease, &complete(1.0)).unwrap();
    stage.clock.advance(500);
    stage.storage.finish(&second, &complete(1.0)).unwrap();
    assert_eq!(seconds(), 2.0);
    stage.clock.advance(1_000_000);
    let lost = begin(&dead());
    stage.clock.advance(3_000);
    stage.storage.report(&lost, &[kilter_study::Point { step: 0, metric: "loss".to_owned(), value: 1.0 }]).unwrap();
    stage.clock.advance(1_000_000);
    assert_eq!(seconds(), 5.0);
    stage.storage.reap(stage.id, kilter_study::storage::Retry::default()).unwrap();
    assert_eq!(seconds(), 5.0);
}

#[test]
fn a_budget_of_energy_is_what_its_trials_took_together() {
    let storage = memory();
    let limits = Limits { joules: Some(25.0), ..Limits::default() };
    let spec = StudySpec { goals: vec![Goal::minimize("energy_joules")], limits, ..spec("study") };
    let mut study = Study::create(storage, spec, Box::<Digest>::default(), Box::new(NoPruner)).unwrap();
    let energy = kilter_study::Energy { joules: 10.0, kind: kilter_study::EnergyKind::Measured };
    let usage = kilter_study::Usage { energy: Some(energy), ..kilter_study::Usage::default() };
    for _ in 0..3 {
        let trial = trial(study.ask().unwrap());
        let end = study.spec().judged(trial.config(), BTreeMap::new(), usage);
        assert_eq!(end.metrics["energy_joules"], 10.0);
        study.tell(&trial, &end).unwrap();
    }
    let Asked::Done(why) = study.ask().unwrap() else { panic!("it goes on") };
    assert_eq!(why, "its budget of 25 J is spent");
}
