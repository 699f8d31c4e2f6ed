//! A training that nobody watches: what reproductions of laws are made of.

use std::collections::BTreeMap;
use std::time::Instant;

use kilter_nn::Tensor;
use kilter_nn::context::Context;
use kilter_nn::params::Params;
use kilter_nn::schedule::Schedule;
use kilter_nn::train::{StepReport, Task, TrainConfig, Training, device};
use kilter_numerics::Stream;
use kilter_space::{Config, Defaults, Value, Walk};
use kilter_study::{Failure, Flow, Run};

pub(crate) use super::language::Writing;
use super::{NAMED, Network, Subject, settings};

/// What became of it.
pub(crate) struct Trained {
    /// The recipe's metrics on what judges.
    pub metrics: BTreeMap<&'static str, f64>,
    /// Seconds of its steps, evaluation not counted.
    pub seconds: f64,
}

/// A configuration of a network on a text: its defaults but for these.
pub(crate) fn configured(name: &str, data: &str, set: &[(&str, Value)]) -> Result<Config, Failure> {
    let recipe = Network::on(name, data)?;
    let set: Vec<(String, Value)> = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let outline = recipe.outline().ok_or_else(|| Failure::refused("a network declares its space"))?;
    Ok(Defaults::config(&outline.specialise(&set, &[])?)?)
}

/// A training of a network on text that has not begun, with a schedule of its own if one is given, and its text.
pub(crate) fn begun(
    name: &str,
    config: &Config,
    steps: u64,
    schedule: Option<Schedule>,
) -> Result<(Writing, Training), Failure> {
    let kind = NAMED.iter().find(|named| named.name == name).map(|named| named.kind);
    let kind = kind.ok_or_else(|| Failure::refused(format!("there is no network `{name}`")))?;
    let task = Writing::open(kind, config)?;
    let device = device(config.text("device")?).map_err(Failure::refused)?;
    let chance = Stream::new(&[config.int("split_seed")?.unsigned_abs()], "network");
    let usual = settings(config, Subject::tokens(&task), steps, 0, chance.child("training").bits())?;
    let schedule = schedule.unwrap_or_else(|| usual.schedule.clone());
    let plain = TrainConfig { schedule, checkpoint_every: 0, patience: 0, ..usual };
    let params = Subject::init(&task, &chance.child("weights"), &device)?;
    Ok((task, Training::new(plain, params).map_err(Failure::refused)?))
}

/// A text that is learnt from, and judged only by whoever asks: not after the last step, whose time would be wrong then.
struct Unjudged<'a>(&'a Writing);

impl Task for Unjudged<'_> {
    fn examples(&self) -> usize {
        self.0.examples()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        self.0.loss(params, examples, context)
    }

    fn evaluate(&self, _: &Params) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Goes on with a training until so many steps are taken. Fails where the loss does, or where the run is to stop.
pub(crate) fn until(training: &mut Training, task: &Writing, steps: u64, run: &mut Run) -> Result<(), Failure> {
    let goes_on = |report: &StepReport| report.step < steps && run.flow() == Flow::Go;
    training.run(&Unjudged(task), None, &mut { goes_on }).map_err(Failure::refused)?;
    if training.steps_done() < steps { Err(Failure::refused("interrupted")) } else { Ok(()) }
}

/// Trains a network on text for so many steps, with a schedule of its own if one is given. Fails where the loss does.
pub(crate) fn plainly(
    name: &str,
    config: &Config,
    steps: u64,
    schedule: Option<Schedule>,
    run: &mut Run,
) -> Result<Trained, Failure> {
    let (task, mut training) = begun(name, config, steps, schedule)?;
    let began = Instant::now();
    until(&mut training, &task, steps, run)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Trained { metrics: task.judge(&training.result(), &Context::evaluation)?, seconds })
}
