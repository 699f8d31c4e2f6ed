//! Passes in bfloat16: they follow those in f32, and what is kept is f32.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use kilter_nn::context::Context;
use kilter_nn::model::{Gpt, LstmLanguageModel, Mlp, Network, QuasiLstmLanguageModel, ResNet};
use kilter_nn::op::cross_entropy;
use kilter_nn::params::Params;
use kilter_nn::train::{Memory, Precision, StepReport, Task, TrainConfig, Training, device};
use kilter_numerics::Stream;
use kilter_weights::{Checkpoint, Dtype};

const STEPS: u64 = 20;

/// A pass over some examples: logits, and the classes.
type Pass = Box<dyn Fn(&Params, &[usize], &mut Context<'_>) -> (Tensor<2>, Arc<[i64]>)>;

/// A network with what it learns.
struct Lesson {
    name: &'static str,
    learning_rate: f64,
    network: Box<dyn Network>,
    logits: Pass,
}

impl Task for Lesson {
    fn examples(&self) -> usize {
        40
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let (logits, classes) = (self.logits)(params, examples, context);
        cross_entropy(logits, classes, 0.0)
    }

    fn evaluate(&self, _: &Params) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Numbers whose mean tells the class.
fn numbers<const D: usize>(params: &Params, examples: &[usize], shape: [usize; D]) -> (Tensor<D>, Arc<[i64]>) {
    let classes: Arc<[i64]> = examples.iter().map(|&example| example as i64 % 3).collect();
    let each = shape[1..].iter().product();
    let row = |(&example, &class): (&usize, &i64)| {
        let mut stream = Stream::new(&[example as u64], "numbers");
        (0..each).map(|_| stream.normal() + class as f64 - 1.0).collect::<Vec<f64>>()
    };
    let drawn: Vec<f64> = examples.iter().zip(&*classes).flat_map(row).collect();
    let data = TensorData::new(drawn, shape).convert_dtype(params.dtype());
    (Tensor::from_data(data, (params.device(), params.dtype())), classes)
}

/// Stretches of eight tokens, each the sum of the two before it.
fn text(examples: &[usize], from: usize) -> Arc<[i64]> {
    let stretch = |&example: &usize| {
        let mut pair = (example as i64 % 7, example as i64 / 7 % 7);
        let next = move || {
            pair = (pair.1, (pair.0 + pair.1) % 7);
            pair.0
        };
        std::iter::repeat_with(next).skip(from).take(8)
    };
    examples.iter().flat_map(stretch).collect()
}

fn of_text<N: Network + Clone + 'static>(
    name: &'static str,
    network: N,
    forward: impl Fn(&N, &Params, Arc<[i64]>, usize, &mut Context<'_>) -> Tensor<2> + 'static,
) -> Lesson {
    let reader = network.clone();
    let logits: Pass = Box::new(move |params, examples, context| {
        (forward(&reader, params, text(examples, 0), examples.len(), context), text(examples, 1))
    });
    Lesson { name, learning_rate: 0.01, network: Box::new(network), logits }
}

fn lessons() -> Vec<Lesson> {
    let mlp = Mlp { dropout: 0.1, ..Mlp::new(&[5, 32, 32, 3]) };
    let resnet = ResNet { image: [1, 6, 6], width: 4, stages: 2, blocks: 1, kernel: 3, classes: 3, dropout: 0.1 };
    let gpt = Gpt { vocabulary: 7, context: 8, width: 16, layers: 2, heads: 2, dropout: 0.1 };
    let quasi = QuasiLstmLanguageModel { vocabulary: 7, context: 8, width: 16, layers: 1, block: 4, dropout: 0.1 };
    let lstm = LstmLanguageModel { vocabulary: 7, context: 8, width: 16, layers: 1, dropout: 0.1 };
    let (of_rows, of_pictures) = (mlp.clone(), resnet.clone());
    let rows: Pass = Box::new(move |params, examples, context| {
        let (x, classes) = numbers(params, examples, [examples.len(), 5]);
        (of_rows.forward(params, x, context), classes)
    });
    let pictures: Pass = Box::new(move |params, examples, context| {
        let (x, classes) = numbers(params, examples, [examples.len(), 1, 6, 6]);
        (of_pictures.forward(params, x, context), classes)
    });
    vec![
        Lesson { name: "mlp", learning_rate: 0.01, network: Box::new(mlp), logits: rows },
        Lesson { name: "resnet", learning_rate: 0.01, network: Box::new(resnet), logits: pictures },
        of_text("gpt", gpt, Gpt::forward),
        of_text("quasi-lstm", quasi, QuasiLstmLanguageModel::forward),
        Lesson { learning_rate: 0.1, ..of_text("lstm", lstm, LstmLanguageModel::forward) },
    ]
}

fn training(lesson: &Lesson, precision: Precision) -> Training {
    let config = TrainConfig {
        steps: STEPS,
        batch: 16,
        accumulation: 2,
        learning_rate: lesson.learning_rate,
        average: Some(0.9),
        precision,
        ..TrainConfig::default()
    };
    let params = lesson.network.init(&Stream::new(&[3], "weights"), &device("cpu").unwrap());
    Training::new(config, params).unwrap()
}

/// The losses of the steps that are left, or of as many.
fn losses(training: &mut Training, lesson: &Lesson, place: Option<&Path>, until: u64) -> Vec<f64> {
    let mut losses = Vec::new();
    let watch = &mut |report: &StepReport| {
        losses.push(report.loss);
        report.step < until
    };
    training.run(lesson, place, watch).unwrap();
    losses
}

#[test]
fn losses_in_bf16_follow_those_in_f32() {
    for lesson in lessons() {
        let name = lesson.name;
        let exact = losses(&mut training(&lesson, Precision::F32), &lesson, None, STEPS);
        let narrow = losses(&mut training(&lesson, Precision::Bf16), &lesson, None, STEPS);
        assert!(exact[STEPS as usize - 1] < 0.9 * exact[0], "{name} learns nothing: {exact:?}");
        assert_ne!(exact, narrow, "{name}: both are f32");
        for (exact, narrow) in exact.iter().zip(&narrow) {
            // A number is rounded by up to 2^-9 of its size, a dozen times on its way through these networks.
            assert!((exact - narrow).abs() < 12.0 / 512.0, "{name}: {exact} and {narrow}");
        }
    }
}

#[test]
fn gradients_through_a_cast_arrive_in_f32() {
    for lesson in lessons() {
        let params = training(&lesson, Precision::F32).params().clone();
        let narrow = params.cast_on_tape(DType::BF16);
        assert!(narrow.values().iter().all(|value| value.dtype() == DType::BF16));
        let loss = lesson.loss(&narrow, &[0, 1, 2], &mut Context::training(Stream::new(&[1], "dropout")));
        assert_eq!(loss.dtype(), DType::F32, "{}", lesson.name);
        let gradients = loss.backward();
        let found: Vec<DType> = params.values().iter().filter_map(|v| v.grad(&gradients)).map(|g| g.dtype()).collect();
        assert!(found.len() > 1 && found.iter().all(|&dtype| dtype == DType::F32), "{}: {found:?}", lesson.name);
    }
}

/// What is kept is f32, and all of it: a training that goes on from it ends in the same bits.
#[test]
fn a_training_in_bf16_keeps_f32_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    for lesson in lessons() {
        let path = folder.path().join(format!("{}.safetensors", lesson.name));
        let mut whole = training(&lesson, Precision::Bf16);
        losses(&mut whole, &lesson, None, STEPS);
        losses(&mut training(&lesson, Precision::Bf16), &lesson, Some(&path), 9);
        let file = Checkpoint::open(&path).unwrap();
        assert!(file.tensors().iter().all(|tensor| tensor.dtype() == Dtype::F32), "{}", lesson.name);
        let params = training(&lesson, Precision::Bf16).params().clone();
        let mut second = Training::resume(&path, params, None).unwrap();
        assert_eq!((second.steps_done(), second.config().precision), (9, Precision::Bf16));
        losses(&mut second, &lesson, None, STEPS);
        assert_eq!(whole.params().flat(), second.params().flat(), "{}", lesson.name);
        assert_eq!(whole.result().flat(), second.result().flat(), "{}", lesson.name);
        assert_eq!(whole.params().dtype(), DType::F32);
        // Steps are finer than bfloat16 could hold.
        let coarse = |x: &f64| (*x as f32).to_bits() & 0xffff == 0;
        assert!(!whole.params().flat().iter().all(coarse), "{}", lesson.name);
    }
}

#[test]
fn passes_in_bf16_keep_half_for_the_backward_pass() {
    let network = Mlp::new(&[100, 50, 10]);
    let of = |precision| {
        let config = TrainConfig { batch: 30, precision, ..TrainConfig::default() };
        Memory::of(&network.specs(), network.activations(), &config)
    };
    let (exact, narrow) = (of(Precision::F32), of(Precision::Bf16));
    assert_eq!(2 * narrow.activations, exact.activations);
    // The weights, and those that passes compute with.
    assert_eq!(2 * narrow.weights, 3 * exact.weights);
    assert_eq!((narrow.gradients, narrow.optimizer), (exact.gradients, exact.optimizer));
}
