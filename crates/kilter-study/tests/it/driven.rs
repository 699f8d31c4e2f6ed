//! Trials that a program drives itself.

use kilter_space::{Ask, Outline};
use kilter_study::{
    Asked, Driven, EndState, Ending, Failure, Flow, NoPruner, Pruner, Running, State, Study, Verdict, Why,
};
use kilter_study::{Event, History};

use crate::given::{Digest, Stage, spec};

/// Stops every trial whose report is above one half.
struct Strict;

impl Pruner for Strict {
    fn observe(&mut self, _: &[Event], _: &History) {}

    fn verdict(&mut self, running: &Running<'_>, _: &History) -> Verdict {
        match running.points.last() {
            Some(point) if point.value > 0.5 => {
                Verdict::Stop(Why::Pruned { rule: "strict".to_owned(), comparison: format!("{} > 0.5", point.value) })
            }
            _ => Verdict::Continue,
        }
    }
}

fn study(stage: &Stage, pruner: Box<dyn Pruner>) -> Study {
    let mut spec = spec("driven");
    spec.outline = Outline::learnt(Vec::new()).unwrap();
    Study::create(stage.storage.clone(), spec, Box::new(Digest::default()), pruner).unwrap()
}

fn driven(study: &mut Study) -> Driven {
    match study.ask_driven().unwrap() {
        Asked::Trial(trial) => trial,
        _ => panic!("no trial"),
    }
}

#[test]
fn every_ending_is_stored_with_what_was_asked_and_reported() {
    for stage in [Stage::memory(), Stage::sqlite()] {
        let mut study = study(&stage, Box::new(Strict));
        let metric = study.spec().goals[0].metric.clone();
        let endings = [
            Ending::Complete([(metric.clone(), 0.25)].into()),
            Ending::Pruned,
            Ending::Failed(Failure::Raised {
                exception: "ValueError".to_owned(),
                message: "no luck".to_owned(),
                tail: "line 3".to_owned(),
            }),
        ];
        for (ending, report) in endings.into_iter().zip([0.1, 0.9, 0.2]) {
            let mut trial = driven(&mut study);
            let x = trial.float("x", 0.0, 1.0).unwrap();
            let flow = trial.report(0, &[(&metric, report)]);
            assert_eq!(matches!(flow, Flow::Stop(_)), report > 0.5);
            assert_eq!(trial.stopped().is_some(), report > 0.5);
            assert_eq!(trial.config().float("x").unwrap(), x);
            trial.finish(ending).unwrap();
        }
        study.sync().unwrap();
        let rows: Vec<_> = study.history().rows().collect();
        let states: Vec<State> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Complete, State::Pruned, State::Failed]);
        assert!(rows.iter().all(|row| row.points.len() == 1 && row.config().get("x").is_some()));
        assert_eq!(rows[0].value(&metric), Some(0.25));
        let ends: Vec<_> = rows.iter().map(|row| row.end.as_ref().unwrap()).collect();
        assert_eq!(ends[1].state, EndState::Pruned);
        assert_eq!(ends[1].why.as_ref().unwrap().to_string(), "strict: 0.9 > 0.5");
        let failure = ends[2].failure.as_ref().unwrap();
        assert_eq!((failure.name(), failure.to_string().as_str()), ("raised", "ValueError: no luck"));
        assert_eq!(failure.tail(), Some("line 3"));
        assert_eq!(study.spec().outline.entries().len(), 1);
    }
}

#[test]
fn who_gives_a_trial_up_by_himself_says_so() {
    let stage = Stage::memory();
    let mut study = study(&stage, Box::new(NoPruner));
    driven(&mut study).finish(Ending::Pruned).unwrap();
    study.sync().unwrap();
    let why = study.history().get(0).unwrap().end.as_ref().unwrap().why.clone().unwrap();
    assert!(why.to_string().contains("the program's own"), "{why}");
}

#[test]
fn what_was_released_is_run_again_with_the_same_answers() {
    for stage in [Stage::memory(), Stage::sqlite()] {
        let mut study = study(&stage, Box::new(NoPruner));
        let mut first = driven(&mut study);
        let x = first.float("x", 0.0, 1.0).unwrap();
        first.release().unwrap();
        let mut again = driven(&mut study);
        assert_eq!(again.number(), 0);
        assert_eq!(again.float("x", 0.0, 1.0).unwrap(), x);
        let metric = study.spec().goals[0].metric.clone();
        again.finish(Ending::Complete([(metric, 1.0)].into())).unwrap();
        study.sync().unwrap();
        // An interrupted run is no attempt that failed.
        let row = study.history().get(0).unwrap();
        assert_eq!((row.state, row.attempt), (State::Complete, 1));
    }
}
