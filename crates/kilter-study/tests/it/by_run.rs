//! Define-by-run: closures ask while they run, and the space is learnt from what they asked.

use std::sync::Arc;

use kilter_meter::Usage;
use kilter_space::{Ask, ByRun, Chooser, Config, Domain, Float, Halt, Outline, SpaceError, Value, Walk};
use kilter_study::devices::Devices;
use kilter_study::{
    Asked, Change, End, Failure, Interrupt, Live, Metric, NoPruner, Outcome, Recipe, Run, State, Study, StudyError,
    Workers,
};

use crate::given::{Digest, Stage, spec};

/// A closure as a recipe: how deep, and then how wide each layer.
struct Layers<W>(W);

fn layers(chooser: &mut dyn Chooser) -> Result<(), Halt> {
    let depth = chooser.int("depth", 1, 3)?;
    for layer in 0..depth {
        chooser.log_float(&format!("width{layer}"), 8.0, 512.0)?;
    }
    Ok(())
}

impl<W: Walk> Walk for Layers<W> {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.0.walk(chooser)
    }
}

impl<W: Walk> Recipe for Layers<W> {
    fn name(&self) -> &str {
        "layers"
    }

    fn metrics(&self) -> &[Metric] {
        &[]
    }

    fn run(&self, config: &Config, _: &mut Run) -> Result<Outcome, Failure> {
        let depth = config.int("depth")?;
        assert_eq!(config.answers().len() as i64, 1 + depth, "what was asked, and nothing else");
        Ok(Outcome::new([("loss", config.float("width0")? / depth as f64)]))
    }
}

fn study(stage: &Stage) -> Study {
    let mut spec = spec("by run");
    spec.outline = Outline::learnt(Vec::new()).unwrap();
    spec.trials = Some(30);
    Study::create(stage.storage.clone(), spec, Box::new(Digest::default()), Box::new(NoPruner)).unwrap()
}

fn hold(stage: &Stage, name: &str) -> Study {
    let entry = stage.storage.studies().unwrap().into_iter().find(|entry| entry.spec.name == name).unwrap();
    Study::hold(stage.storage.clone(), entry.id, entry.spec, Box::new(Digest::default()), Box::new(NoPruner)).unwrap()
}

fn live(study: &mut Study) -> Live {
    match study.ask_by_run().unwrap() {
        Asked::Trial(live) => live,
        _ => panic!("no trial"),
    }
}

#[test]
fn a_closure_is_tuned_and_its_outline_is_learnt() {
    for stage in [Stage::memory(), Stage::sqlite()] {
        let mut study = study(&stage);
        let recipe: Arc<dyn Recipe> = Arc::new(Layers(ByRun::new(layers)));
        let folder = tempfile::tempdir().unwrap();
        let how = Workers {
            count: 2,
            time_limit: None,
            folder: folder.path().to_owned(),
            interrupt: Interrupt::new(),
            devices: Devices::shared(),
        };
        study.optimize(&recipe, &how, &mut |_| {}).unwrap();
        assert_eq!(study.history().count(State::Complete), 30);
        let mut names: Vec<&str> = study.spec().outline.entries().iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["depth", "width0", "width1", "width2"]);
        assert!(!study.spec().outline.is_complete());
        // Another process learns the same from the log.
        let other = hold(&stage, "by run");
        assert_eq!(other.spec().outline, study.spec().outline);
        for row in study.history().rows() {
            assert_eq!(other.history().get(row.number).unwrap().config(), row.config());
        }
    }
}

#[test]
fn asked_twice_one_answer_and_another_domain_is_refused() {
    let stage = Stage::memory();
    let mut study = study(&stage);
    let mut trial = live(&mut study);
    let x = trial.float("x", 0.0, 1.0).unwrap();
    assert_eq!(trial.float("x", 0.0, 1.0).unwrap(), x);
    let refused = trial.float("x", 0.0, 2.0).unwrap_err();
    assert!(matches!(&refused, Halt::Refused(SpaceError::AskedDifferently { name, .. }) if name.as_str() == "x"));
    let trial = trial.close().unwrap();
    assert_eq!(trial.config().answers().len(), 1);
}

#[test]
fn a_closure_that_asks_differently_ends_its_trial_and_the_study() {
    let stage = Stage::memory();
    let mut study = study(&stage);
    let walk = ByRun::new(|chooser: &mut dyn Chooser| {
        chooser.int("n", 1, 3)?;
        chooser.int("n", 1, 4).map(|_| ())
    });
    let recipe: Arc<dyn Recipe> = Arc::new(Layers(walk));
    let folder = tempfile::tempdir().unwrap();
    let how = Workers {
        count: 1,
        time_limit: None,
        folder: folder.path().to_owned(),
        interrupt: Interrupt::new(),
        devices: Devices::shared(),
    };
    let why = study.optimize(&recipe, &how, &mut |_| {}).unwrap_err();
    assert_eq!(
        why.to_string(),
        "hyperparameter `n` was asked as int:1..3 and now as int:1..4; one name has one domain within a trial"
    );
    assert_eq!(study.history().count(State::Failed), 1);
}

#[test]
fn a_trial_that_waits_again_keeps_the_answers_it_gave() {
    for stage in [Stage::memory(), Stage::sqlite()] {
        let mut study = study(&stage);
        let mut trial = live(&mut study);
        let (number, x) = (trial.number(), trial.float("x", 0.0, 1.0).unwrap());
        trial.store().unwrap();
        let lease = trial.close().unwrap().lease;
        stage.storage.release(&lease).unwrap();
        let mut again = live(&mut study);
        assert_eq!((again.number(), again.float("x", 0.0, 1.0).unwrap()), (number, x));
        let y = again.float("y", 0.0, 1.0).unwrap();
        let trial = again.close().unwrap();
        study
            .tell(&trial, &End::of([("loss".to_owned(), y)].into(), &study.spec().goals.clone(), Usage::default()))
            .unwrap();
        let config = study.history().get(number).unwrap().config().clone();
        assert_eq!(config.answers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    }
}

#[test]
fn what_was_enqueued_is_answered_first() {
    let stage = Stage::memory();
    let mut study = study(&stage);
    let name = kilter_space::Name::new("x").unwrap();
    study.enqueue(&Config::new(vec![(name, Value::Float(0.25))])).unwrap();
    let mut trial = live(&mut study);
    assert_eq!(trial.float("x", 0.0, 1.0).unwrap(), 0.25);
    assert!(trial.int("k", 1, 3).is_ok());
}

#[test]
fn what_needs_the_whole_space_is_refused_with_what_to_do() {
    let stage = Stage::memory();
    let mut study = study(&stage);
    let Err(StudyError::Space(why)) = study.ask() else { panic!("asked") };
    assert!(why.to_string().contains("declare its questions"), "{why}");
    let domain = Domain::Float(Float::new(0.0, 1.0).unwrap());
    let asked = [(kilter_space::Name::new("x").unwrap(), domain, Value::Float(0.5))];
    let learnt = study.spec().outline.learn(&asked).unwrap();
    assert!(learnt.count().is_err() && learnt.configs().is_err());
    assert_eq!(learnt.learn(&asked).unwrap(), learnt);
}

#[test]
fn every_answer_is_an_event() {
    let stage = Stage::memory();
    let mut study = study(&stage);
    let mut trial = live(&mut study);
    layers(&mut trial).unwrap();
    let trial = trial.close().unwrap();
    let events = stage.storage.changes(study.id(), 0, 100).unwrap().events;
    let answered: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.change {
            Change::Answered(answers) => Some(answers),
            _ => None,
        })
        .flatten()
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(answered, trial.config().answers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
}
