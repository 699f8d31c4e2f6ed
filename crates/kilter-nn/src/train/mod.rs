//! The one trainer: minibatches in a seeded order, clipping, groups, a schedule, averaged weights, evaluation, early
//! stopping and checkpoints. Every random draw follows from (seed, step), so a training that was killed and resumed ends
//! in the same weights as one that was not.

mod checkpoint;
#[cfg(feature = "cuda")]
mod cuda;
mod groups;
mod memory;
mod precision;

pub use checkpoint::{CheckpointError, load_named, load_weights, previous, save_weights};
pub use groups::Group;
pub use memory::Memory;
pub use precision::Precision;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kilter_numerics::Stream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::{Context, States};
use crate::layer::BatchNorm;
use crate::op::{Moments, wide_square_norm};
use crate::optim::{Optimizer, Parameter, State, sam};
use crate::params::{Params, ParamsError, Role};
use crate::schedule::{Ending, Fall, Schedule, ScheduleError, Shape};

/// What is trained: a loss on examples.
pub trait Task {
    /// How many training examples there are.
    fn examples(&self) -> usize;

    /// The mean loss on these examples, `[1]`; what the network is fed is in the precision of `params`.
    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1>;

    /// Figures on data that is not trained on, the first of them deciding about early stopping (smaller is better).
    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)>;
}

/// How it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainConfig {
    /// Steps in all, at least 1.
    pub steps: u64,
    /// Examples per step, at least 1.
    pub batch: usize,
    /// Into how many parts a batch is cut to save memory; their gradients are averaged. At least 1.
    pub accumulation: usize,
    /// The peak learning rate, above 0.
    pub learning_rate: f64,
    /// How the rate moves; its unit is the step.
    pub schedule: Schedule,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Groups of parameters with factors of their own; the last that matches a name wins.
    pub groups: Vec<Group>,
    /// How far away the gradient is taken, ρ of sharpness-aware minimisation, above 0 (see [`crate::optim::sam`]).
    pub sam: Option<f64>,
    /// What forward and backward passes compute with.
    pub precision: Precision,
    /// The largest norm of the whole gradient; longer ones are scaled down to it (Pascanu et al. 2013).
    pub clip: Option<f64>,
    /// Decay of an average of the weights that is evaluated and kept instead of them, in [0, 1).
    pub average: Option<f64>,
    /// Steps between evaluations; 0: only at the end.
    pub evaluate_every: u64,
    /// Ends after so many evaluations without a better one; 0: never.
    pub patience: u64,
    /// Steps between checkpoints; 0: none.
    pub checkpoint_every: u64,
    /// Examples are stretches of one text, in order: each row of a batch goes on where its last one ended, with the states
    /// that recurrent layers had there; gradients end at a stretch's beginning. Otherwise examples are shuffled.
    pub carry: bool,
    /// Seed of order, dropout and initial weights.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 32,
            accumulation: 1,
            learning_rate: 1e-3,
            schedule: Schedule::default(),
            optimizer: Optimizer::adamw(),
            groups: Group::usual(),
            sam: None,
            precision: Precision::F32,
            clip: Some(1.0),
            average: None,
            evaluate_every: 0,
            patience: 0,
            checkpoint_every: 0,
            carry: false,
            seed: 0,
        }
    }
}

/// Why a training did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("{what} is {got}, and must be {wanted}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What it is.
        got: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The schedule cannot be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The loss or a gradient is no number any more.
    #[error(
        "{what} is not finite in step {step}{}: the learning rate ({learning_rate}) may be too large; a smaller one, or \
         --set clip=1, usually helps", .kept.as_ref().map_or(String::new(), |path| format!(" (the last good state is in {})", path.display()))
    )]
    NotFinite {
        /// The loss, or which tensor's gradient.
        what: String,
        /// In which step, from 1.
        step: u64,
        /// The rate of that step.
        learning_rate: f64,
        /// The last good checkpoint.
        kept: Option<PathBuf>,
    },
    /// It would not fit into memory.
    #[error("{}", memory::too_little(.needs, *.free))]
    Memory {
        /// What it needs.
        needs: Memory,
        /// Bytes that are free.
        free: u64,
    },
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights do not fit.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// What a step was like.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Which, from 1.
    pub step: u64,
    /// The mean loss of its batch before the step.
    pub loss: f64,
    /// The rate it took.
    pub learning_rate: f64,
    /// The norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// The figures, if it ended with an evaluation.
    pub evaluated: Option<Vec<(&'static str, f64)>>,
}

/// Whoever watches a training.
pub trait Progress {
    /// Takes a step; answers whether to go on.
    fn step(&mut self, report: &StepReport) -> bool;
}

impl<F: FnMut(&StepReport) -> bool> Progress for F {
    fn step(&mut self, report: &StepReport) -> bool {
        self(report)
    }
}

/// Where a training stands: all that a checkpoint holds.
#[derive(Clone, Debug)]
pub struct Training {
    config: TrainConfig,
    params: Params,
    average: Option<Vec<Vec<f32>>>,
    memory: Vec<State<f32>>,
    /// The states that recurrent layers end the last step with, for each part of a batch.
    carried: Vec<States>,
    done: u64,
    best: Option<f64>,
    since_best: u64,
    notes: BTreeMap<String, String>,
}

/// What a pass over a batch gives.
struct Pass {
    loss: f64,
    /// By tensor; empty where the loss does not depend on one.
    gradients: Vec<Vec<f32>>,
    /// The states that recurrent layers end with, for each part of the batch.
    carried: Vec<States>,
    /// What normalisations saw.
    moments: Vec<(String, Moments)>,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps were taken.
    Finished,
    /// Evaluations no longer improved.
    Converged,
    /// Whoever watched wanted no more.
    Stopped,
}

impl Training {
    /// A training of these weights, at its beginning.
    ///
    /// # Errors
    /// A setting that is out of its range.
    pub fn new(config: TrainConfig, params: Params) -> Result<Self, TrainError> {
        let must =
            |what, got: String, ok, wanted| if ok { Ok(()) } else { Err(TrainError::Setting { what, got, wanted }) };
        must("steps", config.steps.to_string(), config.steps > 0, "at least 1")?;
        must("batch", config.batch.to_string(), config.batch > 0, "at least 1")?;
        let parts = (1..=config.batch).contains(&config.accumulation);
        must("accumulation", config.accumulation.to_string(), parts, "from 1 to the batch size")?;
        let rate = config.learning_rate;
        must("learning_rate", rate.to_string(), rate.is_finite() && rate > 0.0, "above 0")?;
        if let Some(clip) = config.clip {
            must("clip", clip.to_string(), clip > 0.0, "above 0")?;
        }
        if let Some(rho) = config.sam {
            must("sam.rho", rho.to_string(), rho.is_finite() && rho > 0.0, "above 0")?;
        }
        if let Some(average) = config.average {
            must("average", average.to_string(), (0.0..1.0).contains(&average), "at least 0 and below 1")?;
        }
        let known = config.precision.is_known_to(params.device());
        must("precision", config.precision.name().to_owned(), known, "f32: the device does not compute with it")?;
        config.schedule.check()?;
        let memory = vec![State::default(); params.specs().len()];
        let mut training = Self {
            config,
            params,
            average: None,
            memory,
            carried: Vec::new(),
            done: 0,
            best: None,
            since_best: 0,
            notes: BTreeMap::new(),
        };
        if training.config.average.is_some() {
            training.average = Some(training.params.values().iter().map(host).collect());
        }
        Ok(training)
    }

    /// With further metadata for its checkpoints: what made it.
    #[must_use]
    pub fn with_notes(mut self, notes: BTreeMap<String, String>) -> Self {
        self.notes = notes;
        self
    }

    /// This training from where it stands, over `steps` more in which the rate falls from what it is now. All else is as
    /// it was, so a training whose rate does not depend on its length can be ended whenever it is wanted (Hu et al.,
    /// *MiniCPM*, 2024, section 4).
    ///
    /// # Errors
    /// No steps, or a rate that has fallen to 0 already.
    pub fn ending_in(mut self, steps: u64, fall: Fall) -> Result<Self, TrainError> {
        let setting = |what, got: String, wanted| TrainError::Setting { what, got, wanted };
        if steps == 0 {
            return Err(setting("the length of the decay", "0 steps".to_owned(), "at least 1"));
        }
        let factor = self.config.schedule.factor(self.done as f64, self.config.steps as f64);
        let rate = self.config.learning_rate * factor;
        if rate <= 0.0 {
            let wanted = "above 0: start from where the training was before its own decay";
            return Err(setting("the learning rate that the training stands at", rate.to_string(), wanted));
        }
        let ending = Ending { start: self.done as f64, length: steps as f64, fall };
        self.config.learning_rate = rate;
        self.config.steps = self.done + steps;
        self.config.schedule = Schedule { ending: Some(ending), ..Schedule::of(Shape::Constant) };
        // What evaluations brought before says nothing of the decay.
        (self.best, self.since_best) = (None, 0);
        Ok(self)
    }

    /// With other steps between evaluations and checkpoints, and another patience.
    #[must_use]
    pub fn every(mut self, evaluate: u64, checkpoint: u64, patience: u64) -> Self {
        (self.config.evaluate_every, self.config.checkpoint_every) = (evaluate, checkpoint);
        self.config.patience = patience;
        self
    }

    /// The weights as they are trained.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The weights to use: the averaged ones, where there are any.
    pub fn result(&self) -> Params {
        let mut params = self.params.clone();
        for (at, average) in self.average.iter().flatten().enumerate() {
            params.put(at, average.iter().map(|&x| f64::from(x)).collect());
        }
        params.detached()
    }

    /// Steps taken.
    pub fn steps_done(&self) -> u64 {
        self.done
    }

    /// Its configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Trains until all steps are taken, evaluations stop improving, or `progress` wants no more; writes checkpoints to
    /// `place`, if given, and a last one at the end. The one before stays beside it, as [`previous`] names it.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, or a checkpoint that cannot be written.
    pub fn run(
        &mut self,
        task: &dyn Task,
        place: Option<&Path>,
        progress: &mut dyn Progress,
    ) -> Result<Ended, TrainError> {
        let mut order = Order::new(self.config.seed, task.examples());
        if self.config.carry && task.examples() < self.config.batch {
            return Err(TrainError::Setting {
                what: "batch",
                got: self.config.batch.to_string(),
                wanted: "at most the number of examples, so that each row has a stretch of its own to go on in",
            });
        }
        let mut kept = place.filter(|place| place.exists()).map(Path::to_owned);
        let ended = loop {
            if self.done >= self.config.steps {
                break Ended::Finished;
            }
            let mut report = self.step(task, &mut order).map_err(|why| why.keeping(kept.clone()))?;
            let every = self.config.evaluate_every;
            let last = self.done == self.config.steps;
            if last || (every > 0 && self.done.is_multiple_of(every)) {
                let figures = task.evaluate(&self.result());
                if let Some(&(_, figure)) = figures.first() {
                    let better = self.best.is_none_or(|best| figure < best);
                    self.since_best = if better { 0 } else { self.since_best + 1 };
                    self.best = if better { Some(figure) } else { self.best };
                }
                report.evaluated = Some(figures);
            }
            let every = self.config.checkpoint_every;
            if let (Some(place), true) = (place, every > 0 && self.done.is_multiple_of(every)) {
                self.checkpoint(place)?;
                kept = Some(place.to_owned());
            }
            let go_on = progress.step(&report);
            if report.evaluated.is_some() && self.config.patience > 0 && self.since_best >= self.config.patience {
                break Ended::Converged;
            }
            if !go_on {
                break if last { Ended::Finished } else { Ended::Stopped };
            }
        };
        if let Some(place) = place {
            self.checkpoint(place)?;
        }
        Ok(ended)
    }

    /// One step.
    fn step(&mut self, task: &dyn Task, order: &mut Order) -> Result<StepReport, TrainError> {
        let step = self.done + 1;
        let config = &self.config;
        let factor = config.schedule.factor(self.done as f64, config.steps as f64);
        let learning_rate = config.learning_rate * factor;
        let not_finite = |what: String| TrainError::NotFinite { what, step, learning_rate, kept: None };
        let batch = if config.carry {
            let stretch = (task.examples() / config.batch) as u64;
            // Where the rows begin anew, nothing is carried.
            if self.done.is_multiple_of(stretch) {
                self.carried.clear();
            }
            (0..config.batch as u64).map(|row| (row * stretch + self.done % stretch) as usize).collect()
        } else {
            order.batch(self.done, config.batch)
        };
        let mut pass = self.pass(task, &self.params, &batch).map_err(&not_finite)?;
        let mut gradient_norm = self.norm(&pass.gradients).map_err(&not_finite)?;
        let (loss, carried, moments) = (pass.loss, pass.carried, pass.moments);
        if let Some(rho) = config.sam {
            let there = self.moved(&pass.gradients, sam::reach(rho, gradient_norm));
            pass = self.pass(task, &there, &batch).map_err(&not_finite)?;
            gradient_norm = self.norm(&pass.gradients).map_err(&not_finite)?;
        }
        for (place, moments) in moments {
            BatchNorm::refresh(&mut self.params, &place, &moments, BatchNorm::new(1).momentum)?;
        }
        let scale = self.config.clip.map_or(1.0, |clip| if gradient_norm > clip { clip / gradient_norm } else { 1.0 });
        self.update(step, learning_rate, pass.gradients, scale as f32);
        self.carried = if self.config.carry { carried } else { Vec::new() };
        self.done = step;
        Ok(StepReport { step, loss, learning_rate, gradient_norm, evaluated: None })
    }

    /// Loss and gradient of a batch at these weights; what is not finite, if something is.
    fn pass(&self, task: &dyn Task, params: &Params, batch: &[usize]) -> Result<Pass, String> {
        let config = &self.config;
        let gradients = vec![Vec::new(); params.specs().len()];
        let mut pass = Pass { loss: 0.0, gradients, carried: Vec::new(), moments: Vec::new() };
        let part = batch.len().div_ceil(config.accumulation);
        for (i, examples) in batch.chunks(part).enumerate() {
            let mut context = Context::training(Stream::new(&[config.seed, self.done, i as u64], "dropout"));
            if config.carry {
                context = context.carrying(self.carried.get(i).cloned().unwrap_or_default());
            }
            let share = examples.len() as f64 / batch.len() as f64;
            let loss = task.loss(&config.precision.weights(params), examples, &mut context);
            let value = loss.clone().inner().into_data().iter::<f64>().next().unwrap_or(f64::NAN);
            if !value.is_finite() {
                return Err("the loss".to_owned());
            }
            pass.loss += value * share;
            let mut taped = if share < 1.0 { (loss * share).backward() } else { loss.backward() };
            pass.carried.push(context.states());
            for (sum, value) in pass.gradients.iter_mut().zip(params.values()) {
                // Statistics, and what the loss does not depend on, have none.
                let Some(gradient) = value.grad_remove(&mut taped) else { continue };
                let gradient = taken(gradient);
                if sum.is_empty() {
                    *sum = gradient;
                } else {
                    sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
            }
            pass.moments.extend(context.moments());
        }
        Ok(pass)
    }

    /// The norm of a whole gradient; which tensor's is not finite, if one's is.
    fn norm(&self, gradients: &[Vec<f32>]) -> Result<f64, String> {
        let squares: Vec<f64> = gradients.par_iter().map(|gradient| square_norm(gradient)).collect();
        match squares.iter().position(|square| !square.is_finite()) {
            Some(at) => Err(format!("the gradient of `{}`", self.params.specs()[at].name)),
            None => Ok(squares.iter().sum::<f64>().sqrt()),
        }
    }

    /// The weights so much further along a gradient.
    fn moved(&self, gradients: &[Vec<f32>], reach: f64) -> Params {
        let mut moved = self.params.clone();
        for (at, gradient) in gradients.iter().enumerate().filter(|(_, gradient)| !gradient.is_empty()) {
            let weights = sam::perturbed(&host(&self.params.values()[at]), gradient, reach);
            let count = weights.len();
            moved.set(at, TensorData::new(weights, [count]));
        }
        moved
    }

    fn update(&mut self, step: u64, learning_rate: f64, mut gradients: Vec<Vec<f32>>, scale: f32) {
        let specs = self.params.specs().to_vec();
        for (at, (spec, gradient)) in specs.iter().zip(&mut gradients).enumerate() {
            if gradient.is_empty() || spec.role == Role::Statistic {
                continue;
            }
            if scale != 1.0 {
                gradient.par_iter_mut().for_each(|g| *g *= scale);
            }
            let (rate, decay) = Group::factors(&self.config.groups, spec);
            let mut data = self.params.take(at);
            if let Ok(weights) = data.as_mut_slice::<f32>() {
                self.config.optimizer.update(Parameter {
                    weights,
                    gradient,
                    shape: &spec.shape,
                    state: &mut self.memory[at],
                    step,
                    learning_rate: learning_rate * rate,
                    weight_decay: self.config.optimizer.weight_decay() * decay,
                });
            }
            self.params.set(at, data);
        }
        if let (Some(average), Some(decay)) = (&mut self.average, self.config.average) {
            // The average forgets its beginning faster than `decay` alone would.
            let decay = decay.min((1.0 + step as f64) / (10.0 + step as f64)) as f32;
            for (average, value) in average.iter_mut().zip(self.params.values()) {
                for (average, now) in average.iter_mut().zip(host(value)) {
                    *average = decay * *average + (1.0 - decay) * now;
                }
            }
        }
    }
}

impl TrainError {
    fn keeping(self, checkpoint: Option<PathBuf>) -> Self {
        match self {
            Self::NotFinite { what, step, learning_rate, .. } => {
                Self::NotFinite { what, step, learning_rate, kept: checkpoint }
            }
            other => other,
        }
    }
}

/// The numbers of a tensor in memory.
fn host(tensor: &Tensor<1>) -> Vec<f32> {
    taken(tensor.clone())
}

/// The same of a tensor that nobody else wants, without a copy.
fn taken(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.inner().into_data().convert_dtype(DType::F32);
    data.try_into_vec::<f32>().unwrap_or_default()
}

/// `Σ g²`, in an order that does not depend on the number of threads.
fn square_norm(gradient: &[f32]) -> f64 {
    gradient.chunks(4096).map(wide_square_norm).sum()
}

/// The order of examples: in every epoch each once, shuffled by (seed, epoch). A batch may reach over its end.
#[derive(Debug)]
struct Order {
    seed: u64,
    examples: usize,
    epoch: Option<(u64, Arc<[usize]>)>,
}

impl Order {
    fn new(seed: u64, examples: usize) -> Self {
        Self { seed, examples, epoch: None }
    }

    /// The examples of the step after `done` steps.
    fn batch(&mut self, done: u64, size: usize) -> Vec<usize> {
        let (examples, size) = (self.examples as u64, size as u64);
        (done * size..(done + 1) * size)
            .map(|at| {
                let epoch = at / examples;
                if self.epoch.as_ref().is_none_or(|(current, _)| *current != epoch) {
                    let mut order: Vec<usize> = (0..self.examples).collect();
                    Stream::new(&[self.seed, epoch], "order of examples").shuffle(&mut order);
                    self.epoch = Some((epoch, order.into()));
                }
                self.epoch.as_ref().map_or(0, |(_, order)| order[(at % examples) as usize])
            })
            .collect()
    }
}

/// The device of this name, ready for training: `cpu`, and in builds that have it `cuda` or `cuda:1`.
///
/// # Errors
/// If this build has no such device, or the machine has not; says what there is.
pub fn device(name: &str) -> Result<Device, String> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::flex().autodiff()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => match index.parse::<usize>() {
            Ok(index) => cuda::device(index).map(Device::autodiff),
            Err(_) => Err(format!("device {name:?}: write cuda, or cuda:1 for the second")),
        },
        #[cfg(feature = "cuda")]
        _ => Err(format!("there is no device {name:?}; this build has cpu and cuda")),
        #[cfg(not(feature = "cuda"))]
        _ => Err(format!("there is no device {name:?}; this build has cpu only (cuda comes with --features cuda)")),
    }
}
