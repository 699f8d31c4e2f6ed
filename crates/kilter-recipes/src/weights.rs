//! Merging and quantising put to the test, on small networks that are really trained: what `kilter reproduce` runs for
//! `kilter merge` and `kilter quantize`.
//!
//! Each file has the recipe that decides its claims. A run trains everything anew from its seed, so what is compared is
//! paired: the metrics are differences within one run.

pub mod breadcrumbs;
pub mod nupes;
pub mod soups;

use kilter_nn::context::Context;
use kilter_nn::model::Mlp;
use kilter_nn::op::cross_entropy;
use kilter_nn::params::{Params, numbers};
use kilter_nn::train::{StepReport, Task, TrainConfig, Training, device};
use kilter_nn::{Device, Tensor, TensorData};
use kilter_study::{Failure, Flow, Run};

use crate::measuring::Measuring;

/// The recipe of this name.
pub fn find(name: &str) -> Option<Measuring> {
    let made = match name {
        breadcrumbs::TASKS => breadcrumbs::tasks(),
        nupes::BITS => nupes::bits(),
        soups::SOUPS => soups::soups(),
        _ => return None,
    };
    // The spaces are constants of this room; a test walks them.
    Some(made.unwrap_or_else(|why| unreachable!("the space of {name}: {why}")))
}

/// Rows of numbers with classes.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// `[rows, width]`.
    pub x: Vec<f32>,
    pub labels: Vec<u8>,
    pub width: usize,
}

impl Rows {
    /// The digits: 1797 pictures of 8x8, from 0 to 1.
    pub fn digits() -> Result<Self, Failure> {
        let images = kilter_data::images("digits").map_err(Failure::refused)?;
        let peak = f32::from(images.peak);
        let x = images.train.pixels.iter().map(|&pixel| f32::from(pixel) / peak).collect();
        Ok(Self { x, labels: images.train.labels, width: images.shape.iter().product() })
    }

    pub fn count(&self) -> usize {
        self.labels.len()
    }

    pub fn row(&self, at: usize) -> &[f32] {
        &self.x[at * self.width..(at + 1) * self.width]
    }

    /// Some of them.
    pub fn picked(&self, rows: &[usize]) -> Self {
        let x = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Self { x, labels: rows.iter().map(|&row| self.labels[row]).collect(), width: self.width }
    }

    /// Each row made into another.
    pub fn mapped(&self, mut change: impl FnMut(&[f32]) -> Vec<f32>) -> Self {
        let x = (0..self.count()).flat_map(|at| change(self.row(at))).collect();
        Self { x, labels: self.labels.clone(), width: self.width }
    }

    /// These and others.
    pub fn with(mut self, others: &Self) -> Self {
        self.x.extend(&others.x);
        self.labels.extend(&others.labels);
        self
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let x: Vec<f32> = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Tensor::from_data(TensorData::new(x, [rows.len(), self.width]), device)
    }

    fn classes(&self, rows: &[usize]) -> Vec<i64> {
        rows.iter().map(|&row| i64::from(self.labels[row])).collect()
    }
}

/// A perceptron that learns rows.
pub(crate) struct Lesson<'a> {
    pub mlp: &'a Mlp,
    pub rows: &'a Rows,
    /// Deviation of the noise that every step adds to its examples.
    pub noise: f64,
    /// Share of each target that is spread over all classes.
    pub smoothing: f64,
    /// Does every step mix each example with another (Zhang et al. 2018), by a share drawn from Beta(1/2, 1/2)?
    pub mixup: bool,
}

impl Lesson<'_> {
    /// As it is.
    pub fn plain<'a>(mlp: &'a Mlp, rows: &'a Rows) -> Lesson<'a> {
        Lesson { mlp, rows, noise: 0.0, smoothing: 0.0, mixup: false }
    }

    /// The weights after a training from `start`.
    pub fn taught(&self, start: &Params, config: TrainConfig, run: &mut Run) -> Result<Params, Failure> {
        let steps = config.steps;
        let mut training = Training::new(config, start.on(&trainer()?)).map_err(Failure::refused)?;
        training.run(self, None, &mut |_: &StepReport| run.flow() == Flow::Go).map_err(Failure::refused)?;
        if training.steps_done() < steps {
            return Err(Failure::refused("interrupted"));
        }
        Ok(training.result())
    }
}

/// Where it is trained.
pub(crate) fn trainer() -> Result<Device, Failure> {
    device("cpu").map_err(Failure::refused)
}

impl Task for Lesson<'_> {
    fn examples(&self) -> usize {
        self.rows.count()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let mut x: Vec<f32> = examples.iter().flat_map(|&row| self.rows.row(row)).copied().collect();
        let classes = self.rows.classes(examples);
        let mut mixed = None;
        if let Some(chance) = context.chance() {
            if self.mixup {
                // The arcsine law is Beta(1/2, 1/2).
                let share = (0.5 * std::f64::consts::PI * chance.uniform()).sin().powi(2);
                let mut partners: Vec<usize> = (0..examples.len()).collect();
                chance.shuffle(&mut partners);
                let own = x.clone();
                for (at, &partner) in partners.iter().enumerate() {
                    for k in 0..self.rows.width {
                        let other = own[partner * self.rows.width + k];
                        x[at * self.rows.width + k] =
                            share as f32 * own[at * self.rows.width + k] + (1.0 - share as f32) * other;
                    }
                }
                mixed = Some((share, partners.iter().map(|&partner| classes[partner]).collect::<Vec<i64>>()));
            }
            if self.noise > 0.0 {
                x.iter_mut().for_each(|x| *x += (self.noise * chance.normal()) as f32);
            }
        }
        let x = Tensor::from_data(TensorData::new(x, [examples.len(), self.rows.width]), params.device());
        let logits = self.mlp.forward(params, x, context);
        match mixed {
            None => cross_entropy(logits, classes.into(), self.smoothing),
            Some((share, others)) => {
                cross_entropy(logits.clone(), classes.into(), self.smoothing) * share
                    + cross_entropy(logits, others.into(), self.smoothing) * (1.0 - share)
            }
        }
    }

    fn evaluate(&self, _: &Params) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Logits of all rows, `[rows, classes]`.
pub(crate) fn logits(mlp: &Mlp, params: &Params, rows: &Rows) -> Vec<f64> {
    let params = params.detached();
    let all: Vec<usize> = (0..rows.count()).collect();
    let x = rows.batch(&all, params.device());
    numbers(&mlp.forward(&params, x, &mut Context::evaluation()))
}

/// Share of rows whose largest logit is their class's.
pub(crate) fn accuracy(logits: &[f64], labels: &[u8]) -> f64 {
    let classes = logits.len() / labels.len().max(1);
    let right = |(row, label): &(&[f64], &u8)| {
        (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])) == Some(usize::from(**label))
    };
    logits.chunks(classes.max(1)).zip(labels).filter(right).count() as f64 / labels.len().max(1) as f64
}

/// Mean cross-entropy in nats.
pub(crate) fn log_loss(logits: &[f64], labels: &[u8]) -> f64 {
    let classes = logits.len() / labels.len().max(1);
    let of = |(row, &label): (&[f64], &u8)| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + row.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln() - row[usize::from(label)]
    };
    logits.chunks(classes.max(1)).zip(labels).map(of).sum::<f64>() / labels.len().max(1) as f64
}

pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    values.into_iter().for_each(|value| {
        sum += value;
        count += 1;
    });
    sum / count.max(1) as f64
}

/// Writes weights where a merge can read them.
pub(crate) fn saved(params: &Params, path: &std::path::Path) -> Result<kilter_weights::Checkpoint, Failure> {
    kilter_nn::train::save_weights(params, path, &std::collections::BTreeMap::new()).map_err(Failure::refused)?;
    kilter_weights::Checkpoint::open(path).map_err(Failure::refused)
}

/// Reads them back.
pub(crate) fn loaded(like: &Params, path: &std::path::Path) -> Result<Params, Failure> {
    kilter_nn::train::load_weights(like, path).map_err(Failure::refused)
}
