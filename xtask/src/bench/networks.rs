//! Training steps beside PyTorch: the same network from the same weights on the same batch, each side in a process of its
//! own with as many threads, both in turn; then every operation of our own, forward and backward, with one thread.

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kilter_nn::context::Context;
use kilter_nn::model::{Cnn, Gpt, Mlp, Network, ResNet};
use kilter_nn::op::{
    Conv2dShape, Curve, Mask, attention, batch_norm, conv2d, cross_entropy, dropout, embedding, gelu, layer_norm,
    linear, max_pool2d, relu,
};
use kilter_nn::optim::{AdamConfig, Optimizer};
use kilter_nn::params::Params;
use kilter_nn::schedule::{Schedule, Shape};
use kilter_nn::train::{StepReport, Task, TrainConfig, Training, device};
use kilter_nn::{Tensor, TensorData};
use kilter_numerics::Stream;
use serde_json::{Value, json};

use super::gauge::timed;
use super::paired::{Figure, Sheet, Unit, in_turn, part};
use super::peer::{Peer, Python};

const PACKAGES: &str = "torch numpy";

/// The networks, with the steps of a round.
const NETS: [(&str, u64); 4] = [("mlp", 40), ("cnn", 10), ("resnet", 10), ("gpt", 2)];

/// The operations, with how often a round does each.
const OPS: [(&str, u64); 13] = [
    ("conv2d 3x3, 64 to 64 channels of 16x16, 32 images", 5),
    ("conv2d 3x3, stride 2, 32 to 64 channels of 32x32, 32 images", 5),
    ("conv2d 3x3, 64 groups of one channel of 16x16, 32 images", 20),
    ("linear, 1024 rows of 256 to 1024", 10),
    ("attention, 8 texts of 128, 4 heads of 64, causal", 10),
    ("layer norm, 1024 rows of 256", 50),
    ("batch norm, 32 images of 64x16x16", 20),
    ("softmax with cross-entropy, 1024 rows of 4096", 5),
    ("gelu, 1024x1024", 10),
    ("relu, 1024x1024", 20),
    ("max pool 2x2, 32 images of 32x32x32", 20),
    ("embedding, 1024 of 4096 rows of 256", 20),
    ("dropout, 1024x1024", 10),
];

fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

/// Measures all networks with one thread and with two.
pub fn bench(target: &Path, quick: bool) -> Result<Sheet, String> {
    let python = Python::prepare(target, "networks-venv", PACKAGES);
    if let Err(why) = &python {
        println!("no peer, kilter alone: {why}");
    }
    let python = python.ok();
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(text)?;
    let scratch = tempfile::tempdir_in(&folder).map_err(text)?;
    let rounds = if quick { 5 } else { 15 };
    let (mut figures, mut notes, mut name) = (Vec::new(), Vec::new(), None);
    for (net, steps) in NETS {
        for threads in [1, 2] {
            let place = scratch.path().join(format!("{net}-{threads}"));
            fs::create_dir(&place).map_err(text)?;
            let threads_of = |command: &mut Command| {
                for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
                    command.env(variable, threads.to_string());
                }
            };
            let mut command = Command::new(std::env::current_exe().map_err(text)?);
            threads_of(command.args(["bench", "networks-process", net]).arg(&place));
            let mut ours = Peer::start(command, "networks-process")?;
            let mut theirs = python
                .as_ref()
                .map(|python| {
                    let mut command = python.script("networks.py");
                    threads_of(command.arg(net).arg(&place));
                    Peer::start(command, "networks.py")
                })
                .transpose()?;
            let order = json!({ "steps": steps });
            // The first round warms both up.
            let all = in_turn(rounds + 1, || ours.order(&order), theirs.as_mut(), |peer| peer.order(&order))?;
            let figure = |answer: &Value, name: &str| answer.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
            let words = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
            let of_step = |answer: &Value| figure(answer, "wall_seconds") / steps as f64;
            figures.push(Figure::of(&format!("{net}, {words}: step"), Unit::Seconds, &part(&all[1..], of_step)));
            if threads == 1 {
                let cpu = |answer: &Value| figure(answer, "cpu_seconds") / steps as f64;
                figures.push(Figure::of("… CPU", Unit::Seconds, &part(&all[1..], cpu)));
            }
            let last = &all[all.len() - 1..];
            figures.push(Figure::of("… peak memory", Unit::Bytes, &part(last, |answer| figure(answer, "peak_bytes"))));
            // Early, while there is a loss to compare.
            if let (ours, Some(theirs)) = &all[0] {
                let (ours, theirs) = (figure(ours, "loss"), figure(theirs, "loss"));
                notes.push(format!("Loss of {net}, {words}, in step {steps}: {ours:.5e} against {theirs:.5e}."));
            }
            name = theirs.map(|peer| peer.name.clone()).or(name);
        }
    }
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.args(["bench", "networks-process", "ops"]).arg(scratch.path()).env("RAYON_NUM_THREADS", "1");
    let mut ours = Peer::start(command, "networks-process")?;
    let theirs = python.as_ref().map(|python| {
        let mut command = python.script("networks.py");
        command.arg("ops").arg(scratch.path());
        Peer::start(command, "networks.py")
    });
    let mut theirs = theirs.transpose()?;
    for (op, times) in OPS {
        let order = json!({ "op": op, "steps": times });
        let all = in_turn(rounds + 1, || ours.timed(&order), theirs.as_mut(), |peer| peer.timed(&order))?;
        let seconds = part(&all[1..], |took| took.cpu_seconds / times as f64);
        figures.push(Figure::of(&format!("{op}, CPU"), Unit::Seconds, &seconds));
    }
    notes.push(
        "A step is forward, backward and Adam on one batch in memory, in f32; PyTorch's attention is its fused one."
            .to_owned(),
    );
    Ok(Sheet { title: "networks", peer: name, quick, figures, notes })
}

/// A network with the batch that it learns.
enum Net {
    Mlp(Mlp),
    Cnn(Cnn),
    ResNet(ResNet),
    Gpt(Gpt),
}

impl Net {
    /// The network of this name, how many examples it learns at a time, and the sizes of one: numbers, or tokens.
    fn named(name: &str) -> Result<(Self, usize, Vec<usize>), String> {
        Ok(match name {
            "mlp" => (Self::Mlp(Mlp::new(&[784, 512, 512, 10])), 128, vec![784]),
            "cnn" => {
                let (image, channels) = ([3, 32, 32], vec![32, 64]);
                let net = Cnn { image, channels, kernel: 3, pooled: false, hidden: 0, classes: 10, dropout: 0.0 };
                (Self::Cnn(net), 64, image.to_vec())
            }
            "resnet" => {
                let image = [64, 16, 16];
                let net = ResNet { image, width: 64, stages: 1, blocks: 1, kernel: 3, classes: 10, dropout: 0.0 };
                (Self::ResNet(net), 32, image.to_vec())
            }
            "gpt" => {
                let net = Gpt { vocabulary: 4096, context: 128, width: 256, layers: 4, heads: 4, dropout: 0.0 };
                (Self::Gpt(net), 8, vec![128])
            }
            other => return Err(format!("there is no network {other}")),
        })
    }

    fn network(&self) -> &dyn Network {
        match self {
            Self::Mlp(net) => net,
            Self::Cnn(net) => net,
            Self::ResNet(net) => net,
            Self::Gpt(net) => net,
        }
    }
}

struct Lesson {
    net: Net,
    batch: usize,
    shape: Vec<usize>,
    inputs: Vec<f32>,
    classes: Arc<[i64]>,
}

impl Lesson {
    fn input<const D: usize>(&self, params: &Params) -> Tensor<D> {
        let shape: Vec<usize> = std::iter::once(self.batch).chain(self.shape.iter().copied()).collect();
        Tensor::from_data(TensorData::new(self.inputs.clone(), shape), params.device())
    }
}

impl Task for Lesson {
    fn examples(&self) -> usize {
        1
    }

    fn loss(&self, params: &Params, _: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let logits = match &self.net {
            Net::Mlp(net) => net.forward(params, self.input(params), context),
            Net::Cnn(net) => net.forward(params, self.input(params), context),
            Net::ResNet(net) => net.forward(params, self.input(params), context),
            Net::Gpt(net) => {
                let tokens = self.inputs.iter().map(|&token| token as i64).collect();
                net.forward(params, tokens, self.batch, context)
            }
        };
        cross_entropy(logits, self.classes.clone(), 0.0)
    }

    fn evaluate(&self, _: &Params) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Our side of the operations: each line names one, and how often to do it.
fn ops() -> Result<(), String> {
    let device = device("cpu")?;
    let chance = std::cell::RefCell::new(Stream::new(&[0], "operations"));
    let numbers = |shape: &[usize]| {
        let mut chance = chance.borrow_mut();
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| chance.normal() as f32).collect();
        TensorData::new(numbers, shape.to_vec())
    };
    let vector = |sides: [usize; 1]| Tensor::<1>::from_data(numbers(&sides), &device).require_grad();
    let matrix = |sides: [usize; 2]| Tensor::<2>::from_data(numbers(&sides), &device).require_grad();
    let images = |sides: [usize; 4]| Tensor::<4>::from_data(numbers(&sides), &device).require_grad();
    let below = |count: usize, most: u64| -> Arc<[i64]> {
        (0..count).map(|_| chance.borrow_mut().below(most) as i64).collect()
    };
    let run = |name: &str, times: u64| -> Result<_, String> {
        let x = matrix([1024, 1024]);
        let mut dropped = Stream::new(&[1], "dropped");
        let convolution =
            |x: [usize; 4], w: [usize; 4], stride: usize, groups: usize| -> Box<dyn FnMut() -> Tensor<1>> {
                let shape = Conv2dShape { stride: [stride, stride], groups, ..Conv2dShape::same(3) };
                let (x, w) = (images(x), images(w));
                Box::new(move || conv2d(x.clone(), w.clone(), None, shape).sum())
            };
        let mut op: Box<dyn FnMut() -> Tensor<1>> = match name.split(',').next().unwrap_or_default() {
            "conv2d 3x3" if name.contains("stride") => convolution([32, 32, 32, 32], [64, 32, 3, 3], 2, 1),
            "conv2d 3x3" if name.contains("groups") => convolution([32, 64, 16, 16], [64, 1, 3, 3], 1, 64),
            "conv2d 3x3" => convolution([32, 64, 16, 16], [64, 64, 3, 3], 1, 1),
            "linear" => {
                let (x, w, b) = (matrix([1024, 256]), matrix([1024, 256]), vector([1024]));
                Box::new(move || linear(x.clone(), w.clone(), Some(b.clone())).sum())
            }
            "attention" => {
                let [q, k, v] = [(); 3].map(|()| matrix([1024, 256]));
                Box::new(move || attention(q.clone(), k.clone(), v.clone(), 8, 4, Mask::Causal).sum())
            }
            "layer norm" => {
                let (x, gamma, beta) = (matrix([1024, 256]), vector([256]), vector([256]));
                Box::new(move || layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5).sum())
            }
            "batch norm" => {
                let (x, gamma, beta) = (images([32, 64, 16, 16]).reshape([32, 64, 256]), vector([64]), vector([64]));
                let x: Tensor<3> = x.detach().require_grad();
                Box::new(move || batch_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5).0.sum())
            }
            "softmax with cross-entropy" => {
                let (x, classes) = (matrix([1024, 4096]), below(1024, 4096));
                Box::new(move || cross_entropy(x.clone(), classes.clone(), 0.0))
            }
            "gelu" => Box::new(move || gelu(x.clone(), Curve::Tanh).sum()),
            "relu" => Box::new(move || relu(x.clone()).sum()),
            "max pool 2x2" => {
                let x = images([32, 32, 32, 32]);
                Box::new(move || max_pool2d(x.clone(), 2).sum())
            }
            "embedding" => {
                let (table, rows) = (matrix([4096, 256]), below(1024, 4096));
                Box::new(move || embedding(table.clone(), rows.clone()).sum())
            }
            "dropout" => Box::new(move || dropout(x.clone(), 0.1, &mut dropped).sum()),
            other => return Err(format!("there is no operation {other}")),
        };
        timed(|| {
            (0..times).for_each(|_| drop(std::hint::black_box(op().backward())));
            Ok(())
        })
    };
    answer(|order| {
        let name = order.get("op").and_then(Value::as_str).ok_or("an order names an operation")?;
        let took = run(name, order.get("steps").and_then(Value::as_u64).ok_or("an order says how often")?)?;
        Ok(json!({ "wall_seconds": took.wall_seconds, "cpu_seconds": took.cpu_seconds }))
    })
}

/// Says who it is, then answers every line.
fn answer(mut to: impl FnMut(&Value) -> Result<Value, String>) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let mut say = |said: Value| writeln!(out, "{said}").and_then(|()| out.flush()).map_err(text);
    say(json!("kilter"))?;
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line.map_err(text)?).map_err(text)?;
        say(to(&order)?)?;
    }
    Ok(())
}

/// Our side: leaves weights and batch in `place` for the other one, then takes as many steps as each line asks for.
pub fn process(name: &str, place: &Path) -> Result<(), String> {
    // As the command line does.
    kilter_meter::keep_large_blocks();
    if name == "ops" {
        return ops();
    }
    let (net, batch, shape) = Net::named(name)?;
    let stream = Stream::new(&[0], "networks");
    let params = net.network().init(&stream.child("weights"), &device("cpu")?);
    let mut chance = stream.child("batch");
    let count = batch * shape.iter().product::<usize>();
    let (inputs, classes): (Vec<f32>, Vec<i64>) = match &net {
        Net::Gpt(gpt) => {
            let mut token = || chance.below(gpt.vocabulary as u64);
            ((0..count).map(|_| token() as f32).collect(), (0..count).map(|_| token() as i64).collect())
        }
        _ => {
            let inputs = (0..count).map(|_| chance.normal() as f32).collect();
            (inputs, (0..batch).map(|_| chance.below(10) as i64).collect())
        }
    };
    let tensors: Vec<_> = params.specs().iter().map(|spec| json!([spec.name, spec.shape])).collect();
    let told = json!({ "tensors": tensors, "batch": batch, "shape": shape, "classes": classes });
    fs::write(place.join("lesson.json"), told.to_string()).map_err(text)?;
    let weights = params.values().iter().flat_map(|value| value.to_data().iter::<f32>().collect::<Vec<_>>());
    let bytes: Vec<u8> = inputs.iter().copied().chain(weights).flat_map(f32::to_le_bytes).collect();
    fs::write(place.join("lesson.bin"), bytes).map_err(text)?;

    let config = TrainConfig {
        steps: u64::MAX,
        batch: 1,
        schedule: Schedule::of(Shape::Constant),
        optimizer: Optimizer::Adam(AdamConfig::default()),
        groups: Vec::new(),
        clip: None,
        ..TrainConfig::default()
    };
    let mut training = Training::new(config, params).map_err(text)?;
    let lesson = Lesson { net, batch, shape, inputs, classes: classes.into() };
    answer(|order| {
        let mut left = order.get("steps").and_then(Value::as_u64).ok_or("an order says how many steps")?;
        let mut loss = f64::NAN;
        let took = timed(|| {
            let mut progress = |report: &StepReport| {
                loss = report.loss;
                left -= 1;
                left > 0
            };
            training.run(&lesson, None, &mut progress).map(drop).map_err(text)
        })?;
        Ok(json!({
            "wall_seconds": took.wall_seconds, "cpu_seconds": took.cpu_seconds, "loss": loss, "peak_bytes": kilter_meter::peak_resident_bytes(),
        }))
    })
}
