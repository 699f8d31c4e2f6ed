//! The trainer: what it learns, and that a resumed training equals an uninterrupted one.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use kilter_nn::context::{Context, States};
use kilter_nn::model::{LstmLanguageModel, Mlp, Network, QuasiLstmLanguageModel};
use kilter_nn::op::cross_entropy;
use kilter_nn::optim::{AdafactorConfig, LionConfig, MuonConfig, NAdamConfig, Optimizer, Parameter, SgdConfig, State};
use kilter_nn::params::{Params, numbers};
use kilter_nn::schedule::{Ending, Fall, Schedule, Shape};
use kilter_nn::train::{
    Ended, Memory, StepReport, Task, TrainConfig, TrainError, Training, device, load_weights, previous,
};
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
        .run(&task, None, &mut |report: &StepReport| {
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
    whole.run(&task, None, &mut |_: &StepReport| true).unwrap();
    let mut first = training(60);
    let ended = first.run(&task, Some(&path), &mut |report: &StepReport| report.step < 25).unwrap();
    assert_eq!(ended, Ended::Stopped);
    let mut second = Training::resume(&path, training(60).params().clone(), None).unwrap();
    assert_eq!(second.steps_done(), 25);
    second.run(&task, None, &mut |_: &StepReport| true).unwrap();
    assert_eq!(whole.params().flat(), second.params().flat());
    assert_eq!(whole.result().flat(), second.result().flat());
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_and_names_the_step() {
    let task = Rings { spoilt: true, ..Rings::new() };
    let why = training(5).run(&task, None, &mut |_: &StepReport| true).unwrap_err();
    assert!(matches!(&why, TrainError::NotFinite { step: 1, what, .. } if what == "the loss"), "{why}");
}

#[test]
fn weights_of_another_network_are_refused_by_name_and_sizes() {
    let (task, folder) = (Rings::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("training.safetensors");
    training(1).run(&task, Some(&path), &mut |_: &StepReport| true).unwrap();
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
        training.run(&task, None, &mut |_: &StepReport| true).unwrap();
        training.params().flat()
    };
    for (a, b) in run(1).into_iter().zip(run(3)) {
        // Adam divides by the gradient's own size, which magnifies rounding where gradients are tiny.
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

/// A text whose next letter follows from the one six before: no window of three sees it.
struct Echo {
    network: QuasiLstmLanguageModel,
    text: Vec<i64>,
}

const WINDOW: usize = 3;

impl Echo {
    fn new() -> Self {
        let mut stream = Stream::new(&[9], "letters");
        let text = (0..120).map(|_| i64::from(stream.uniform() < 0.5)).collect();
        let network = QuasiLstmLanguageModel { vocabulary: 2, context: 3, width: 8, layers: 2, block: 1, dropout: 0.0 };
        Self { network, text }
    }

    fn init(&self) -> Params {
        self.network.init(&Stream::new(&[1], "weights"), &device("cpu").unwrap())
    }
}

impl Task for Echo {
    fn examples(&self) -> usize {
        (self.text.len() - 1) / WINDOW
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let of = |shift: usize| -> Arc<[i64]> {
            examples.iter().flat_map(|&w| &self.text[w * WINDOW + shift..(w + 1) * WINDOW + shift]).copied().collect()
        };
        cross_entropy(self.network.forward(params, of(0), examples.len(), context), of(1), 0.0)
    }

    fn evaluate(&self, _: &Params) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Two halves of a text, the second from the states of the first, are the whole text.
#[test]
fn states_carried_over_make_one_text_of_two() {
    let text: Vec<i64> = (0..24).map(|i| (i * i) % 5).collect();
    // Two rows of twelve.
    let half = |from: usize| -> Arc<[i64]> { [&text[from..from + 6], &text[12 + from..18 + from]].concat().into() };
    let (quasi, lstm) = (
        QuasiLstmLanguageModel { vocabulary: 5, context: 12, width: 8, layers: 2, block: 4, dropout: 0.0 },
        LstmLanguageModel { vocabulary: 5, context: 12, width: 8, layers: 2, dropout: 0.0 },
    );
    let on = device("cpu").unwrap();
    type Forward<'a> = Box<dyn Fn(Arc<[i64]>, &mut Context<'_>) -> Vec<f64> + 'a>;
    let (quasi_weights, lstm_weights) = (
        quasi.init(&Stream::new(&[2], "weights"), &on).detached(),
        lstm.init(&Stream::new(&[2], "weights"), &on).detached(),
    );
    let both: [Forward<'_>; 2] = [
        Box::new(|tokens, context| numbers(&quasi.forward(&quasi_weights, tokens, 2, context))),
        Box::new(|tokens, context| numbers(&lstm.forward(&lstm_weights, tokens, 2, context))),
    ];
    for forward in both {
        let whole = forward(text.clone().into(), &mut Context::evaluation());
        let mut first = Context::evaluation().carrying(States::new());
        let begin = forward(half(0), &mut first);
        let states = first.states();
        assert!(!states.is_empty());
        let end = forward(half(6), &mut Context::evaluation().carrying(states));
        let forgotten = forward(half(6), &mut Context::evaluation());
        // Rows of five logits: six positions of the first row, then of the second.
        let parts = [&begin[..30], &end[..30], &begin[30..], &end[30..]].concat();
        for (a, b) in whole.iter().zip(&parts) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
        assert!(end.iter().zip(&forgotten).any(|(a, b)| (a - b).abs() > 1e-4));
    }
}

/// With what it carries, a killed training ends in the very weights of one that nobody disturbed, and in others without.
#[test]
fn a_resumed_training_carries_its_states_on() {
    let (task, folder) = (Echo::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("training.safetensors");
    let of = |carry: bool| {
        let config =
            TrainConfig { steps: 12, batch: 4, accumulation: 2, carry, learning_rate: 0.02, ..TrainConfig::default() };
        Training::new(config, task.init()).unwrap()
    };
    let mut whole = of(true);
    whole.run(&task, None, &mut |_: &StepReport| true).unwrap();
    // Nine windows for each of four rows: the seventh step is in the middle, the tenth begins anew.
    let mut first = of(true);
    first.run(&task, Some(&path), &mut |report: &StepReport| report.step < 7).unwrap();
    let mut second = Training::resume(&path, task.init(), None).unwrap();
    second.run(&task, None, &mut |_: &StepReport| true).unwrap();
    assert_eq!(whole.params().flat(), second.params().flat());
    let mut without = of(false);
    without.run(&task, None, &mut |_: &StepReport| true).unwrap();
    assert_ne!(whole.params().flat(), without.params().flat());
    let config = TrainConfig { batch: 64, carry: true, ..TrainConfig::default() };
    let mut wide = Training::new(config, task.init()).unwrap();
    let why = wide.run(&task, None, &mut |_: &StepReport| true).unwrap_err().to_string();
    assert!(why.contains("batch is 64") && why.contains("stretch of its own"), "{why}");
}

/// A training that is ended where it stands: all is as it was but the rate, which falls to nothing from what it was.
#[test]
fn a_training_can_be_ended_wherever_it_stands() {
    let task = Rings::new();
    let mut stable = training(100);
    stable.run(&task, None, &mut |report: &StepReport| report.step < 20).unwrap();
    let mut ending = stable.clone().ending_in(10, Fall::Linear).unwrap();
    let mut rates = Vec::new();
    let ended = ending
        .run(&task, None, &mut |report: &StepReport| {
            rates.push(report.learning_rate);
            true
        })
        .unwrap();
    assert_eq!((ended, ending.steps_done(), rates.len()), (Ended::Finished, 30, 10));
    for (k, rate) in rates.iter().enumerate() {
        assert!((rate - 0.01 * (1.0 - k as f64 / 10.0)).abs() < 1e-15, "{rates:?}");
    }
    let why = ending.ending_in(5, Fall::Linear).unwrap_err().to_string();
    assert!(why.contains("before its own decay"), "{why}");
    assert!(stable.ending_in(0, Fall::Exp).unwrap_err().to_string().contains("at least 1"));
}

#[test]
fn schedules_fall_from_where_their_decay_finds_them() {
    let power = Schedule { warmup: 10.0, ..Schedule::of(Shape::Power { reach: 5.0, exponent: -0.5 }) };
    let ended = |fall| Schedule { ending: Some(Ending { start: 80.0, length: 20.0, fall }), ..power.clone() };
    for fall in Fall::ALL {
        let schedule = ended(fall);
        schedule.check().unwrap();
        // The warm-up rises to where the power begins, which is below its peak here.
        for done in [0.0, 5.0, 9.0, 10.0, 40.0, 80.0] {
            assert_eq!(schedule.factor(done, 100.0), power.factor(done, 100.0), "{fall:?} at {done}");
        }
        assert!((schedule.factor(5.0, 100.0) - 0.5 * 0.5_f64.sqrt()).abs() < 1e-15);
        let rates: Vec<f64> = (80..=100).map(|done| schedule.factor(f64::from(done), 100.0)).collect();
        assert!(rates.windows(2).all(|pair| pair[1] < pair[0]), "{fall:?}: {rates:?}");
        assert_eq!(schedule.factor(100.0, 100.0), schedule.factor(150.0, 100.0));
        let last = schedule.factor(100.0, 100.0) / power.factor(80.0, 100.0);
        assert!((last - if fall == Fall::Exp { 1e-3 } else { 0.0 }).abs() < 1e-15, "{fall:?}: {last}");
    }
    let early = Schedule { warmup: 90.0, ..ended(Fall::Exp) };
    assert!(early.check().unwrap_err().to_string().contains("warm-up"));
}

/// One step by hand: the gradient at `w + ρ·g/‖g‖`, taken from `w`.
#[test]
fn sharpness_aware_steps_follow_the_gradient_uphill() {
    let network = Mlp::new(&[2, 8, 2]);
    let task = Rings { network: network.clone(), ..Rings::new() };
    let params = network.init(&Stream::new(&[3], "weights"), &device("cpu").unwrap());
    let rate = 0.5;
    let stepped = |sam: Option<f64>, params: &Params| {
        let optimizer = Optimizer::Sgd(SgdConfig::default());
        let config =
            TrainConfig { steps: 1, batch: 200, learning_rate: rate, sam, optimizer, ..TrainConfig::default() };
        let config = TrainConfig { clip: None, schedule: Schedule::of(Shape::Constant), ..config };
        let mut training = Training::new(config, params.clone()).unwrap();
        training.run(&task, None, &mut |_: &StepReport| true).unwrap();
        training.params().flat()
    };
    let gradient = |params: &Params| -> Vec<f64> {
        params.flat().iter().zip(stepped(None, params)).map(|(before, after)| (before - after) / rate).collect()
    };
    let rho = 0.3;
    let here = gradient(&params);
    let norm = here.iter().map(|g| g * g).sum::<f64>().sqrt();
    let uphill: Vec<f64> = params.flat().iter().zip(&here).map(|(w, g)| w + rho * g / norm).collect();
    let there = gradient(&params.with_flat(&uphill).unwrap());
    let expected = params.flat().into_iter().zip(&there).map(|(w, g)| w - rate * g);
    for (found, expected) in stepped(Some(rho), &params).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
    assert!(here.iter().zip(&there).any(|(a, b)| (a - b).abs() > 1e-3), "both places have the same gradient");
    let refused = TrainConfig { sam: Some(-1.0), ..TrainConfig::default() };
    let said = Training::new(refused, params).unwrap_err().to_string();
    assert!(said.contains("sam.rho is -1"), "{said}");
}

/// A checkpoint cut short is named, and the one before it is gone on from, to the very same end.
#[test]
fn a_truncated_checkpoint_is_named_and_the_one_before_is_used() {
    let (task, folder) = (Rings::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("training.safetensors");
    let begun = || training(60).every(0, 10, 0);
    let mut whole = begun();
    whole.run(&task, None, &mut |_: &StepReport| true).unwrap();
    begun().run(&task, Some(&path), &mut |report: &StepReport| report.step < 35).unwrap();
    let params = begun().params().clone();
    let (untouched, damage) = Training::resume_newest(&path, &params).unwrap();
    assert!(untouched.steps_done() == 35 && damage.is_none());
    let bytes = std::fs::read(&path).unwrap();
    for left in [bytes.len() / 2, 100, 4, 0] {
        std::fs::write(&path, &bytes[..left]).unwrap();
        let (mut resumed, damage) = Training::resume_newest(&path, &params).unwrap();
        let said = damage.unwrap().to_string();
        assert!(said.contains("training.safetensors"), "{said}");
        assert_eq!(resumed.steps_done(), 30);
        resumed.run(&task, None, &mut |_: &StepReport| true).unwrap();
        assert_eq!(whole.params().flat(), resumed.params().flat());
    }
    std::fs::write(previous(&path), "nothing").unwrap();
    let said = Training::resume_newest(&path, &params).unwrap_err().to_string();
    assert!(said.contains("training.safetensors") && !said.contains("previous"), "{said}");
}

#[test]
fn what_a_training_needs_is_counted_before_it_begins() {
    let network = Mlp::new(&[100, 50, 10]);
    let config = TrainConfig { batch: 30, accumulation: 3, average: Some(0.9), ..TrainConfig::default() };
    let learned = 100 * 50 + 50 + 50 * 10 + 10;
    let needs = Memory::of(&network.specs(), network.activations(), &config);
    let expected = Memory {
        weights: 4 * 2 * learned,
        gradients: 4 * learned,
        // AdamW remembers two moments.
        optimizer: 4 * 2 * learned,
        // What goes into the matrices and the rectifier, and the logits.
        activations: 4 * 10 * (100 + 2 * 50 + 10),
        examples: 10,
    };
    assert_eq!(needs, expected);
    needs.fits(needs.total()).unwrap();
    let said = needs.fits(needs.total() - 1).unwrap_err().to_string();
    assert!(said.contains("at least 119.6 kB") && said.contains("optimizer 44.5 kB"), "{said}");
    let wide = Memory::of(&network.specs(), network.activations(), &TrainConfig { batch: 1_000_000_000, ..config });
    let said = wide.fits(1 << 30).unwrap_err().to_string();
    assert!(said.contains("1.1 GB are free; lower the batch, or raise the accumulation"), "{said}");
    let factored = Optimizer::Adafactor(AdafactorConfig::default());
    assert_eq!((factored.remembers(&[50, 100]), factored.remembers(&[50])), (150, 50));
}

/// What an optimizer says it remembers is what it remembers.
#[test]
fn optimizers_remember_what_they_say() {
    let all = [
        Optimizer::Sgd(SgdConfig::default()),
        Optimizer::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() }),
        Optimizer::adamw(),
        Optimizer::NAdam(NAdamConfig::default()),
        Optimizer::Adafactor(AdafactorConfig::default()),
        Optimizer::Lion(LionConfig::default()),
        Optimizer::Muon(MuonConfig::default()),
    ];
    for optimizer in all {
        for shape in [vec![6], vec![3, 4], vec![2, 3, 4]] {
            let count = shape.iter().product();
            let (mut weights, gradient, mut state) = (vec![1.0_f64; count], vec![0.5; count], State::default());
            let (step, learning_rate, weight_decay) = (1, 0.1, 0.0);
            let (weights, gradient, shape, state) = (&mut weights, &gradient[..], &shape[..], &mut state);
            optimizer.update(Parameter { weights, gradient, shape, state, step, learning_rate, weight_decay });
            let remembered: usize = state.vectors.iter().map(|(_, vector)| vector.len()).sum();
            assert_eq!(remembered, optimizer.remembers(shape), "{optimizer:?} of {shape:?}");
        }
    }
}
