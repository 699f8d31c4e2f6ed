//! TPE beside the Rust crate `optimizer`, both in this process: the same space, as many trials, in memory.

use std::cell::RefCell;
use std::sync::Arc;

use kilter_study::{Memory, NoPruner, Study};
use optimizer::prelude::{CategoricalParam, Direction, FloatParam, IntParam, Parameter};
use optimizer::sampler::tpe::{MultivariateTpeSampler, TpeSampler};

use super::engine::{filled, one_trial, sampler, spec, text};
use super::gauge::timed;
use super::paired::{Figure, Sheet, Unit, in_turn, part};

/// Measures everything.
pub fn bench(quick: bool) -> Result<Sheet, String> {
    let rounds = if quick { 20 } else { 60 };
    let mut figures = Vec::new();
    for trials in [100, 1_000] {
        for jointly in [true, false] {
            let name = format!(
                "TPE ask+tell, {trials} trials, CPU, {}",
                if jointly { "theirs joint" } else { "theirs by parameter" }
            );
            figures.push(beside(&name, trials, jointly, rounds)?);
        }
    }
    Ok(Sheet {
        title: "engine beside a crate",
        peer: Some("optimizer 1.0.1 (Rust)".to_owned()),
        quick,
        figures,
        notes: vec![
            "8 mixed parameters; the trials before are random on both sides. kilter estimates jointly in either row; the crate \
             has a sampler of each kind."
                .into(),
        ],
    })
}

fn beside(name: &str, trials: usize, jointly: bool, rounds: usize) -> Result<Figure, String> {
    let storage = Arc::new(Memory::new());
    let random = filled(storage.clone(), trials)?;
    let study = Study::hold(storage, random.id(), spec()?, sampler("tpe")?, Box::new(NoPruner)).map_err(text)?;
    drop(random);
    let study = RefCell::new(study);
    let mut theirs = Theirs::filled(trials, jointly)?;
    let ours = || timed(|| one_trial(&mut study.borrow_mut()));
    let other = |theirs: &mut Theirs| timed(|| theirs.one_trial());
    // Both sides prepare something at their first ask.
    in_turn(4, ours, Some(&mut theirs), other)?;
    let rounds = in_turn(rounds, ours, Some(&mut theirs), other)?;
    Ok(Figure::of(name, Unit::Seconds, &part(&rounds, |took| took.cpu_seconds)))
}

/// The other side's study, with the space and the bowl of `engine.rs`.
struct Theirs {
    study: optimizer::Study<f64>,
    unit: Vec<FloatParam>,
    log: Vec<FloatParam>,
    whole: Vec<IntParam>,
    choice: CategoricalParam<&'static str>,
}

impl Theirs {
    fn filled(trials: usize, jointly: bool) -> Result<Self, String> {
        let study = if jointly {
            let sampler = MultivariateTpeSampler::builder().n_startup_trials(trials).seed(1).build().map_err(text)?;
            optimizer::Study::with_sampler(Direction::Minimize, sampler)
        } else {
            let sampler = TpeSampler::builder().n_startup_trials(trials).seed(1).build().map_err(text)?;
            optimizer::Study::with_sampler(Direction::Minimize, sampler)
        };
        let float = |name: String, low, high| FloatParam::new(low, high).name(name);
        let theirs = Self {
            study,
            unit: (0..3).map(|i| float(format!("x{i}"), 0.0, 1.0)).collect(),
            log: (0..2).map(|i| float(format!("l{i}"), 1e-5, 1e-1).log_scale()).collect(),
            whole: (0..2).map(|i| IntParam::new(1, 64).name(format!("n{i}"))).collect(),
            choice: CategoricalParam::new(vec!["a", "b", "c", "d"]).name("c"),
        };
        (0..trials).try_for_each(|_| theirs.one_trial()).map(|()| theirs)
    }

    fn one_trial(&self) -> Result<(), String> {
        let mut trial = self.study.ask();
        let mut loss = 0.0;
        for param in &self.unit {
            loss += (param.suggest(&mut trial).map_err(text)? - 0.3).powi(2);
        }
        for param in &self.log {
            loss += ((param.suggest(&mut trial).map_err(text)?.log10() + 3.0) / 4.0).powi(2);
        }
        for param in &self.whole {
            loss += ((param.suggest(&mut trial).map_err(text)? as f64 - 20.0) / 64.0).powi(2);
        }
        if self.choice.suggest(&mut trial).map_err(text)? != "b" {
            loss += 0.1;
        }
        self.study.tell(trial, Ok::<_, String>(loss));
        Ok(())
    }
}
