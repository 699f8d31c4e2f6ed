//! The trainer: what it learns, and that a resumed training equals an uninterrupted one.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use kilter_nn::context::Context;
use kilter_nn::model::{Mlp, Network};
use kilter_nn::op::cross_entropy;
use kilter_nn::params::Params;
use kilter_nn::train::{Ended, Task, TrainConfig, TrainError, Training, device, load_weights};
use kilter_numerics::Stream;

/// Two rings of points, which no straight line parts.
struct Rings {
    network: Mlp,
    points: Vec<[f32; 2]>,
    classes: Vec<i64>,
    spoilt: bool,
}

impl Rings {
    fn new() -> Self {
        let mut stream = Stream::new(&[5], "rings");
        let (mut points, mut classes) = (Vec::new(), Vec::new());
        for i in 0..200 {
            let angle = stream.uniform() * std::f64::consts::TAU;
            let radius = 1.0 + f64::from(i % 2) + 0.1 * stream.normal();
            points.push([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
            classes.push(i64::from(i % 2));
        }
        Self { network: Mlp { dropout: 0.1, ..Mlp::new(&[2, 32, 32, 2]) }, points, classes, spoilt: false }
    }

    fn logits(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<2> {
        let numbers: Vec<f32> = examples.iter().flat_map(|&i| self.points[i]).collect();
        let x = Tensor::from_data(TensorData::new(numbers, [examples.len(), 2]), params.device());
        self.network.forward(params, x, context)
    }
}

impl Task for Rings {
    fn examples(&self) -> usize {
        self.points.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let classes: Arc<[i64]> = examples.iter().map(|&i| self.classes[i]).collect();
        let loss = cross_entropy(self.logits(params, examples, context), classes, 0.0);
        if self.spoilt { loss * f64::NAN } else { loss }
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let all: Vec<usize> = (0..self.points.len()).collect();
        let logits = self.logits(params, &all, &mut Context::evaluation());
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let wrong = logits.chunks(2).zip(&self.classes).filter(|(row, class)| i64::from(row[1] > row[0]) != **class);
        vec![("error", wrong.count() as f64 / 200.0)]
    }
}

fn training(steps: u64) -> Training {
    let config = TrainConfig { steps, learning_rate: 0.01, average: Some(0.98), seed: 3, ..TrainConfig::default() };
    let params = Rings::new().network.init(&Stream::new(&[3], "weights"), &device("cpu").unwrap());
    Training::new(config, params).unwrap()
}

#[test]
fn two_rings_are_told_apart() {
    let task = Rings::new();
    let mut training = training(300);
    let mut last = None;
    let ended = training
        .run(&task, None, &mut |report: &kilter_nn::train::StepReport| {
            last = report.evaluated.clone();
            true
        })
        .unwrap();
    assert_eq!(ended, Ended::Finished);
    let error = last.unwrap()[0].1;
    assert!(error < 0.03, "{error}");
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one() {
    let (task, folder) = (Rings::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("training.safetensors");
    let mut whole = training(60);
    whole.run(&task, None, &mut |_: &kilter_nn::train::StepReport| true).unwrap();
    let mut first = training(60);
    let ended = first.run(&task, Some(&path), &mut |report: &kilter_nn::train::StepReport| report.step < 25).unwrap();
    assert_eq!(ended, Ended::Stopped);
    let mut second = Training::resume(&path, training(60).params().clone(), None).unwrap();
    assert_eq!(second.steps_done(), 25);
    second.run(&task, None, &mut |_: &kilter_nn::train::StepReport| true).unwrap();
    assert_eq!(whole.params().flat(), second.params().flat());
    assert_eq!(whole.result().flat(), second.result().flat());
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_and_names_the_step() {
    let task = Rings { spoilt: true, ..Rings::new() };
    let why = training(5).run(&task, None, &mut |_: &kilter_nn::train::StepReport| true).unwrap_err();
    assert!(matches!(&why, TrainError::NotFinite { step: 1, what, .. } if what == "the loss"), "{why}");
}

#[test]
fn weights_of_another_network_are_refused_by_name_and_sizes() {
    let (task, folder) = (Rings::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("training.safetensors");
    training(1).run(&task, Some(&path), &mut |_: &kilter_nn::train::StepReport| true).unwrap();
    let other = Mlp::new(&[2, 16, 2]).init(&Stream::new(&[0], "weights"), &device("cpu").unwrap());
    let why = load_weights(&other, &path).unwrap_err().to_string();
    assert!(why.contains("layers.0.weight") && why.contains("[32, 2]") && why.contains("[16, 2]"), "{why}");
}

#[test]
fn cut_batches_give_the_whole_batches_gradient() {
    let run = |accumulation| {
        let network = Mlp::new(&[2, 8, 2]);
        let task = Rings { network: network.clone(), ..Rings::new() };
        let config = TrainConfig { steps: 3, batch: 30, accumulation, ..TrainConfig::default() };
        let params = network.init(&Stream::new(&[3], "weights"), &device("cpu").unwrap());
        let mut training = Training::new(config, params).unwrap();
        training.run(&task, None, &mut |_: &kilter_nn::train::StepReport| true).unwrap();
        training.params().flat()
    };
    for (a, b) in run(1).into_iter().zip(run(3)) {
        // Adam divides by the gradient's own size, which magnifies rounding where gradients are tiny.
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}
