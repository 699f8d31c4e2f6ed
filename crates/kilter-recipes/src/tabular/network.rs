//! Networks among the families: a perceptron on columns, and small convolutional networks on pictures: plain, residual, or
//! of separable convolutions.
//!
//! A tenth of the rows to learn from, stratified, is not learnt from but judges every epoch; the weights of the best epoch
//! are kept. A perceptron's training ends when ten epochs brought nothing better (Prechelt, *Early Stopping – But When?*,
//! 1998). The perceptron's defaults are scikit-learn's (one hidden layer of 100, Adam at 0.001, `alpha` as there: the
//! squares of the weights cost `alpha / 2` per batch).
//!
//! Cost: at most `epochs` passes over the rows.

use std::sync::{Arc, Mutex, PoisonError};

use kilter_data::split::stratified_split;
use kilter_nn::context::Context;
use kilter_nn::model::{Activation, Cnn, Mlp, Network, ResNet, Xception};
use kilter_nn::op::cross_entropy;
use kilter_nn::optim::{AdamConfig, Optimizer};
use kilter_nn::params::{Params, numbers};
use kilter_nn::schedule::{Schedule, Shape};
use kilter_nn::train::{Task, TrainConfig, Training, device};
use kilter_nn::{Device, Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::Failure;
use kilter_tabular::table::Target as Goal;
use kilter_tabular::{Examples, Model, Table};

/// Epochs without a better one after which a training ends.
const PATIENCE: u64 = 10;

/// Share of the rows that judges the epochs.
const JUDGES: f64 = 0.1;

/// Pictures that a convolutional network learns from at a time; not searched.
const CNN_BATCH: usize = 32;

/// Rows per pass of an evaluation.
const PASS: usize = 256;

/// A network with its sizes.
#[derive(Debug)]
enum Body {
    Mlp(Mlp),
    Cnn(Cnn),
    ResNet(ResNet),
    Xception(Xception),
}

impl Body {
    fn network(&self) -> &dyn Network {
        match self {
            Self::Mlp(model) => model,
            Self::Cnn(model) => model,
            Self::ResNet(model) => model,
            Self::Xception(model) => model,
        }
    }

    /// Logits of rows, `[count, columns]`: of pictures, colour by colour.
    fn forward(&self, params: &Params, rows: Vec<f32>, count: usize, context: &mut Context<'_>) -> Tensor<2> {
        let device = params.device();
        let pictures = |[colours, height, width]: [usize; 3], rows| {
            Tensor::from_data(TensorData::new(rows, [count, colours, height, width]), device)
        };
        match self {
            Self::Mlp(model) => {
                let columns = rows.len() / count.max(1);
                model.forward(params, Tensor::from_data(TensorData::new(rows, [count, columns]), device), context)
            }
            Self::Cnn(model) => model.forward(params, pictures(model.image, rows), context),
            Self::ResNet(model) => model.forward(params, pictures(model.image, rows), context),
            Self::Xception(model) => model.forward(params, pictures(model.image, rows), context),
        }
    }
}

/// By how much the numbers to be predicted are moved and stretched.
#[derive(Clone, Copy, Debug)]
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// So that these have mean 0 and deviation 1.
    fn of(numbers: &[f64]) -> Self {
        let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
        let squares = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / numbers.len().max(1) as f64;
        Self { mean, deviation: if squares > 0.0 { squares.sqrt() } else { 1.0 } }
    }
}

/// How pictures are varied while they are learnt from.
#[derive(Clone, Copy, Debug, Default)]
struct Variation {
    flip: bool,
    shift: bool,
}

/// A network as it sees rows.
#[derive(Debug)]
struct Eye {
    body: Body,
    /// Of the numbers to be predicted.
    targets: Scale,
    /// Classes; 0: numbers are predicted.
    classes: usize,
    /// How pictures are seen; columns come with a scale of their own.
    lens: Option<Lens>,
}

impl Eye {
    /// Logits `[rows, classes]`, or numbers `[rows, 1]`.
    fn forward(&self, params: &Params, rows: Vec<f32>, count: usize, context: &mut Context<'_>) -> Tensor<2> {
        let rows = match &self.lens {
            Some(lens) => lens.see(&rows),
            None => rows,
        };
        self.body.forward(params, rows, count, context)
    }

    /// The mean loss of what the network said of rows with these targets.
    fn loss(&self, said: Tensor<2>, rows: &[usize], goal: Goal<'_>) -> Tensor<1> {
        match goal {
            Goal::Classes { labels, .. } => {
                let classes: Arc<[i64]> = rows.iter().map(|&row| i64::from(labels[row])).collect();
                cross_entropy(said, classes, 0.0)
            }
            Goal::Numbers(numbers) => {
                let scaled = |&row: &usize| ((numbers[row] - self.targets.mean) / self.targets.deviation) as f32;
                let wanted: Vec<f32> = rows.iter().map(scaled).collect();
                let wanted = Tensor::<2>::from_data(TensorData::new(wanted, [rows.len(), 1]), &said.device());
                (said - wanted).square().mean()
            }
        }
    }
}

/// A training: rows to learn from, and rows that judge.
struct Lesson<'a> {
    eye: &'a Eye,
    table: Table<'a>,
    goal: Goal<'a>,
    learn: Vec<usize>,
    judge: Vec<usize>,
    variation: Variation,
    best: Mutex<Option<(f64, Params)>>,
}

impl Lesson<'_> {
    fn values(&self, rows: &[usize]) -> Vec<f32> {
        rows.iter().flat_map(|&row| self.table.row(row)).map(|&value| value as f32).collect()
    }

    fn loss_of(&self, params: &Params, rows: &[usize]) -> f64 {
        let params = params.detached();
        let pass = |rows: &[usize]| {
            let said = self.eye.forward(&params, self.values(rows), rows.len(), &mut Context::evaluation());
            numbers(&self.eye.loss(said, rows, self.goal))[0] * rows.len() as f64
        };
        rows.chunks(PASS).map(pass).sum::<f64>() / rows.len() as f64
    }
}

impl Task for Lesson<'_> {
    fn examples(&self) -> usize {
        self.learn.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let rows: Vec<usize> = examples.iter().map(|&example| self.learn[example]).collect();
        let mut values = self.values(&rows);
        if let (Some(lens), Some(chance)) = (&self.eye.lens, context.chance()) {
            let pictures = values.chunks_exact_mut(lens.shape.iter().product());
            pictures.for_each(|picture| vary(picture, lens.shape, self.variation, chance));
        }
        self.eye.loss(self.eye.forward(params, values, rows.len(), context), &rows, self.goal)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let loss = self.loss_of(params, &self.judge);
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        if best.as_ref().is_none_or(|(least, _)| loss < *least) {
            *best = Some((loss, params.detached()));
        }
        vec![("loss", loss)]
    }
}

/// Mirrors a picture or moves it by up to a sixteenth of its sides; what comes in repeats the edge.
fn vary(picture: &mut [f32], [_, height, width]: [usize; 3], variation: Variation, chance: &mut Stream) {
    let mirrored = variation.flip && chance.uniform() < 0.5;
    let mut by = |side: usize| {
        let most = (side / 16).max(1);
        if variation.shift { chance.index(2 * most + 1) as isize - most as isize } else { 0 }
    };
    let (down, right) = (by(height), by(width));
    if !mirrored && down == 0 && right == 0 {
        return;
    }
    let before = picture.to_vec();
    let moved = |at: usize, by: isize, side: usize| at.saturating_add_signed(-by).min(side - 1);
    for (i, pixel) in picture.iter_mut().enumerate() {
        let (colour, row, column) = (i / (height * width), i / width % height, i % width);
        let (row, column) = (moved(row, down, height), moved(column, right, width));
        let column = if mirrored { width - 1 - column } else { column };
        *pixel = before[(colour * height + row) * width + column];
    }
}

/// How pictures are seen: averaged down, every pixel with mean 0 and deviation 1 over the pictures learnt from. A pixel
/// that hardly ever changes is not stretched as far: what is in it is noise.
#[derive(Debug)]
struct Lens {
    /// Colours, height and width as the pictures come.
    shape: [usize; 3],
    /// So many pixels a side become one; what is over at their ends is left out.
    by: usize,
    /// What is taken from each pixel, and what the rest is multiplied by.
    pixels: Vec<(f32, f32)>,
}

/// The least deviation that a pixel is divided by, as a share of that of all.
const LEAST_DEVIATION: f64 = 0.3;

impl Lens {
    fn of(table: Table<'_>, shape: [usize; 3], side: usize) -> Self {
        let [_, height, width] = shape;
        let by = height.max(width).div_ceil(side.max(1)).min(height.min(width)).max(1);
        let mut lens = Self { shape, by, pixels: Vec::new() };
        let size = lens.image().iter().product();
        let mut sums = vec![(0.0, 0.0); size];
        for picture in table.iter() {
            let picture: Vec<f32> = picture.iter().map(|&pixel| pixel as f32).collect();
            for (sum, pixel) in sums.iter_mut().zip(lens.shrunk(&picture)) {
                *sum = (sum.0 + f64::from(pixel), sum.1 + f64::from(pixel).powi(2));
            }
        }
        let count = table.rows().max(1) as f64;
        let moments: Vec<(f64, f64)> = sums
            .iter()
            .map(|(sum, squares)| (sum / count, (squares / count - (sum / count).powi(2)).max(0.0)))
            .collect();
        let least = LEAST_DEVIATION * (moments.iter().map(|(_, variance)| variance).sum::<f64>() / size as f64).sqrt();
        let pixel = |&(mean, variance): &(f64, f64)| (mean as f32, (1.0 / variance.sqrt().max(least).max(1e-6)) as f32);
        lens.pixels = moments.iter().map(pixel).collect();
        lens
    }

    /// Colours, height and width as the network sees them.
    fn image(&self) -> [usize; 3] {
        let [colours, height, width] = self.shape;
        [colours, height / self.by, width / self.by]
    }

    fn shrunk(&self, pictures: &[f32]) -> Vec<f32> {
        let ([_, height, width], [_, rows, columns]) = (self.shape, self.image());
        let mut small = Vec::with_capacity(pictures.len() / (self.by * self.by));
        for plane in pictures.chunks_exact(height * width) {
            for place in 0..rows * columns {
                let corner = place / columns * self.by * width + place % columns * self.by;
                let square = (0..self.by).flat_map(|row| &plane[corner + row * width..][..self.by]);
                small.push(square.sum::<f32>() / (self.by * self.by) as f32);
            }
        }
        small
    }

    fn see(&self, pictures: &[f32]) -> Vec<f32> {
        let mut small = self.shrunk(pictures);
        for (pixel, (mean, factor)) in small.iter_mut().zip(self.pixels.iter().cycle()) {
            *pixel = (*pixel - mean) * factor;
        }
        small
    }
}

/// A trained network.
struct Trained {
    eye: Eye,
    params: Params,
}

impl Model for Trained {
    fn outputs(&self) -> usize {
        if self.eye.classes > 2 { self.eye.classes } else { 1 }
    }

    fn predict_into(&self, row: &[f64], out: &mut [f64]) {
        let rows = row.iter().map(|&value| value as f32).collect();
        let said = self.eye.forward(&self.params, rows, 1, &mut Context::evaluation());
        self.tell(&numbers(&said), out);
    }

    fn predict_table(&self, table: Table<'_>) -> Vec<f64> {
        let mut out = vec![0.0; table.rows() * self.outputs()];
        let passes = table.values().chunks(PASS * table.columns());
        for (values, out) in passes.zip(out.chunks_mut(PASS * self.outputs())) {
            let (count, rows) = (values.len() / table.columns(), values.iter().map(|&value| value as f32).collect());
            let said = self.eye.forward(&self.params, rows, count, &mut Context::evaluation());
            let said: Vec<f64> = numbers(&said);
            for (said, out) in said.chunks(self.eye.classes.max(1)).zip(out.chunks_mut(self.outputs())) {
                self.tell(said, out);
            }
        }
        out
    }
}

impl Trained {
    /// What the network's own numbers of a row mean.
    fn tell(&self, said: &[f64], out: &mut [f64]) {
        if self.eye.classes == 0 {
            out[0] = said[0] * self.eye.targets.deviation + self.eye.targets.mean;
            return;
        }
        let top = said.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = said.iter().map(|logit| (logit - top).exp()).sum();
        let probability = |class: usize| (said[class] - top).exp() / sum;
        match out {
            [positive] => *positive = probability(1),
            all => all.iter_mut().enumerate().for_each(|(class, out)| *out = probability(class)),
        }
    }
}

fn size(config: &Config, name: &str) -> Result<usize, Failure> {
    usize::try_from(config.int(name)?).map_err(|_| Failure::refused(format!("`{name}` must not be negative")))
}

fn outputs(goal: Goal<'_>) -> (usize, usize) {
    match goal {
        Goal::Classes { count, .. } => (count, count),
        Goal::Numbers(_) => (0, 1),
    }
}

fn targets(goal: Goal<'_>) -> Scale {
    match goal {
        Goal::Classes { .. } => Scale::NONE,
        Goal::Numbers(numbers) => Scale::of(numbers),
    }
}

/// A perceptron with the settings `mlp.…`, on columns of mean 0 and deviation 1.
pub fn perceptron(examples: Examples<'_>, config: &Config, stream: &Stream) -> Result<Box<dyn Model>, Failure> {
    let goal = examples.target();
    let (classes, outputs) = outputs(goal);
    let hidden = vec![size(config, "mlp.units")?; size(config, "mlp.layers")?];
    let activation = if config.text("mlp.activation")? == "tanh" { Activation::Tanh } else { Activation::Relu };
    let body = Body::Mlp(Mlp {
        widths: [vec![examples.table().columns()], hidden, vec![outputs]].concat(),
        activation,
        dropout: config.float("mlp.dropout")?,
    });
    let batch = size(config, "mlp.batch")?.max(1);
    let adam = AdamConfig { weight_decay: config.float("mlp.alpha")? / batch as f64, ..AdamConfig::default() };
    let how = How {
        epochs: size(config, "mlp.epochs")?,
        batch,
        learning_rate: config.float("mlp.learning_rate")?,
        schedule: Schedule::of(Shape::Constant),
        optimizer: Optimizer::Adam(adam),
        variation: Variation::default(),
        patience: PATIENCE,
        device: "cpu",
    };
    learn(examples, Eye { body, targets: targets(goal), classes, lens: None }, how, stream)
}

/// A convolutional network with the settings `cnn.…`, on pictures of this shape.
pub fn convolutional(
    examples: Examples<'_>,
    image: [usize; 3],
    config: &Config,
    stream: &Stream,
) -> Result<Box<dyn Model>, Failure> {
    let goal = examples.target();
    let (classes, outputs) = outputs(goal);
    let lens = Lens::of(examples.table(), image, size(config, "cnn.side")?);
    let (image, out, dropout) = (lens.image(), outputs, config.float("cnn.dropout")?);
    let (width, blocks, kernel) =
        (size(config, "cnn.width")?, size(config, "cnn.blocks")?, size(config, "cnn.kernel")?);
    let body = match config.text("cnn.architecture")? {
        "resnet-s" => Body::ResNet(ResNet { image, width, stages: blocks, blocks: 1, kernel, classes: out, dropout }),
        "xception-s" => Body::Xception(Xception { image, width, blocks, kernel, classes: out, dropout }),
        _ => {
            let channels = vec![width; blocks];
            Body::Cnn(Cnn { image, channels, kernel, pooled: true, hidden: 0, classes: out, dropout })
        }
    };
    let decay = config.float("cnn.weight_decay")?;
    let how = How {
        epochs: size(config, "cnn.epochs")?,
        batch: CNN_BATCH,
        learning_rate: config.float("cnn.learning_rate")?,
        schedule: Schedule::of(Shape::Cosine { floor: 0.0 }),
        optimizer: Optimizer::Adam(AdamConfig { weight_decay: decay, decoupled: true, ..AdamConfig::default() }),
        variation: Variation { flip: config.flag("cnn.flip")?, shift: config.flag("cnn.shift")? },
        // The rate falls to the end, and the best epochs are often the last.
        patience: 0,
        device: config.text("cnn.device")?,
    };
    learn(examples, Eye { body, targets: targets(goal), classes, lens: Some(lens) }, how, stream)
}

/// How a network learns.
struct How<'a> {
    epochs: usize,
    batch: usize,
    learning_rate: f64,
    schedule: Schedule,
    optimizer: Optimizer,
    variation: Variation,
    /// Epochs without a better one after which the training ends; 0: never.
    patience: u64,
    device: &'a str,
}

fn learn(examples: Examples<'_>, eye: Eye, how: How<'_>, stream: &Stream) -> Result<Box<dyn Model>, Failure> {
    eye.body.network().check().map_err(Failure::refused)?;
    let device: Device = device(how.device).map_err(Failure::refused)?;
    let (table, goal) = (examples.table(), examples.target());
    let (learn, judge) = parts(table.rows(), goal, stream);
    let epoch = learn.len().div_ceil(how.batch) as u64;
    let settings = TrainConfig {
        steps: epoch * how.epochs.max(1) as u64,
        batch: how.batch,
        learning_rate: how.learning_rate,
        schedule: how.schedule,
        optimizer: how.optimizer,
        evaluate_every: epoch,
        patience: how.patience,
        seed: stream.child("training").bits(),
        ..TrainConfig::default()
    };
    let params = eye.body.network().init(&stream.child("weights"), &device);
    let mut training = Training::new(settings, params).map_err(Failure::refused)?;
    let lesson = Lesson { eye: &eye, table, goal, learn, judge, variation: how.variation, best: Mutex::new(None) };
    training.run(&lesson, None, &mut |_: &kilter_nn::train::StepReport| true).map_err(Failure::refused)?;
    let best = lesson.best.into_inner().unwrap_or_else(PoisonError::into_inner);
    let params = best.map_or_else(|| training.result(), |(_, params)| params);
    Ok(Box::new(Trained { eye, params }))
}

/// The rows to learn from and those that judge; where a class is too small to be on both sides, all do both.
fn parts(rows: usize, goal: Goal<'_>, stream: &Stream) -> (Vec<usize>, Vec<usize>) {
    let strata = match goal {
        Goal::Classes { labels, .. } => labels.to_vec(),
        Goal::Numbers(numbers) => kilter_data::Target::Numbers(numbers.to_vec()).strata((rows / 20).clamp(2, 10)),
    };
    match stratified_split(&strata, JUDGES, stream.child("judges").bits()) {
        Ok(split) => (split.train, split.test),
        Err(_) => ((0..rows).collect(), (0..rows).collect()),
    }
}
