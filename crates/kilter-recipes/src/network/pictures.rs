//! Networks that tell pictures of classes apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_data::split::stratified_split;
use kilter_data::{Images, Pictures};
use kilter_nn::context::Context;
use kilter_nn::model::{Activation, Cnn, Mlp, Network, ResNet, Vit};
use kilter_nn::op::cross_entropy;
use kilter_nn::params::Params;
use kilter_nn::train::Task;
use kilter_nn::{Device, Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::{Failure, Metric};

use super::{Input, Kind, Part, Subject, predicted, size};
use crate::tabular;

/// Shares of the examples that are held back, and of the rest that judge.
const HELD_BACK: f64 = 0.2;

/// Pictures per evaluation pass.
const PASS: usize = 256;

/// Metrics of so many classes; the first is the usual goal.
pub fn metrics(classes: usize) -> Vec<Metric> {
    tabular::class_metrics(classes)
}

/// A network with its sizes.
enum Model {
    Mlp(Mlp),
    Cnn(Cnn),
    ResNet(ResNet),
    Vit(Vit),
}

impl Model {
    fn of(kind: Kind, config: &Config, shape: [usize; 3], classes: usize) -> Result<Self, Failure> {
        let dropout = config.float("dropout")?;
        let model = match kind {
            Kind::Cnn => {
                let first = size(config, "channels")?;
                let channels = (0..size(config, "convolutions")?).map(|i| first << i).collect();
                let (kernel, hidden) = (size(config, "kernel")?, size(config, "hidden")?);
                Self::Cnn(Cnn { image: shape, channels, kernel, pooled: false, hidden, classes, dropout })
            }
            Kind::ResNet => {
                let (width, stages, blocks) =
                    (size(config, "width")?, size(config, "stages")?, size(config, "blocks")?);
                Self::ResNet(ResNet { image: shape, width, stages, blocks, kernel: 3, classes, dropout })
            }
            Kind::Vit => {
                let (patch, width) = (size(config, "patch")?, size(config, "width")?);
                let (layers, heads) = (size(config, "layers")?, size(config, "heads")?);
                Self::Vit(Vit { image: shape, patch, width, layers, heads, classes, dropout })
            }
            _ => {
                let hidden = vec![size(config, "width")?; size(config, "layers")?];
                let widths = [vec![shape.iter().product()], hidden, vec![classes]].concat();
                let activation = match config.text("activation")? {
                    "gelu" => Activation::Gelu,
                    "tanh" => Activation::Tanh,
                    _ => Activation::Relu,
                };
                Self::Mlp(Mlp { widths, activation, dropout })
            }
        };
        model.network().check().map_err(Failure::refused)?;
        Ok(model)
    }

    fn network(&self) -> &dyn Network {
        match self {
            Self::Mlp(model) => model,
            Self::Cnn(model) => model,
            Self::ResNet(model) => model,
            Self::Vit(model) => model,
        }
    }

    /// `[batch, colours, height, width]` to `[batch, classes]`.
    fn forward(&self, params: &Params, x: Tensor<4>, context: &mut Context<'_>) -> Tensor<2> {
        match self {
            Self::Mlp(model) => model.forward(params, x.flatten(1, 3), context),
            Self::Cnn(model) => model.forward(params, x, context),
            Self::ResNet(model) => model.forward(params, x, context),
            Self::Vit(model) => model.forward(params, x, context),
        }
    }
}

/// A network, and how it sees pictures.
pub struct Sorter {
    model: Model,
    shape: [usize; 3],
    peak: u8,
    classes: usize,
}

impl Sorter {
    pub fn of(kind: Kind, config: &Config, shape: [usize; 3], peak: u8, classes: usize) -> Result<Self, Failure> {
        Ok(Self { model: Model::of(kind, config, shape, classes)?, shape, peak, classes })
    }

    pub fn network(&self) -> &dyn Network {
        self.model.network()
    }

    fn picture(&self) -> usize {
        self.shape.iter().product()
    }

    /// Pixels from 0 to 1, where and in which precision the weights are: `[rows, colours, height, width]`.
    fn batch(&self, pictures: &Pictures, rows: &[usize], params: &Params) -> Tensor<4> {
        let (size, scale) = (self.picture(), 1.0 / f32::from(self.peak));
        let pixels = rows.iter().flat_map(|&row| &pictures.pixels[row * size..(row + 1) * size]);
        let numbers: Vec<f32> = pixels.map(|&pixel| f32::from(pixel) * scale).collect();
        let [colours, height, width] = self.shape;
        let data = TensorData::new(numbers, [rows.len(), colours, height, width]).convert_dtype(params.dtype());
        Tensor::from_data(data, (params.device(), params.dtype()))
    }

    /// Probabilities, `[rows, classes]`.
    pub fn probabilities<'a>(
        &self,
        params: &Params,
        pictures: &Pictures,
        rows: &[usize],
        pass: &dyn Fn() -> Context<'a>,
    ) -> Vec<f64> {
        let params = params.detached();
        let mut all = Vec::with_capacity(rows.len() * self.classes);
        for rows in rows.chunks(PASS) {
            let x = self.batch(pictures, rows, &params);
            let logits = self.model.forward(&params, x, &mut pass());
            let logits: Vec<f64> = kilter_nn::params::numbers(&logits);
            all.extend(predicted::softmax(&logits, self.classes));
        }
        all
    }

    /// The classes' names: their numbers.
    pub fn names(&self) -> Vec<String> {
        (0..self.classes).map(|class| class.to_string()).collect()
    }

    /// All metrics of these probabilities.
    pub fn judge(&self, labels: &[u8], probabilities: &[f64]) -> Result<BTreeMap<&'static str, f64>, Failure> {
        predicted::judge(&self.names(), labels, probabilities)
    }
}

/// A network that learns to tell pictures apart, some of which judge it.
pub struct Sorting {
    sorter: Sorter,
    learn: Pictures,
    judge: Pictures,
}

impl Sorting {
    pub fn open(kind: Kind, config: &Config) -> Result<Self, Failure> {
        let images = kilter_data::images(config.text("data")?).map_err(Failure::refused)?;
        let present: std::collections::BTreeSet<u8> = images.train.labels.iter().copied().collect();
        if present.len() < 2 {
            return Err(Failure::refused(format!(
                "{} holds pictures of {} class; there must be two at least to be told apart",
                images.name,
                present.len()
            )));
        }
        let seed = config.int("split_seed")?.unsigned_abs();
        let on_test = config.text("score_on")? == "test";
        let sorter = Sorter::of(kind, config, images.shape, images.peak, images.classes())?;
        let (learn, judge) = parts(images, seed, on_test)?;
        Ok(Self { sorter, learn, judge })
    }

    fn part(&self, part: Part) -> &Pictures {
        match part {
            Part::Learn => &self.learn,
            Part::Judge => &self.judge,
        }
    }
}

/// The pictures to learn from and those that judge.
fn parts(images: Images, seed: u64, on_test: bool) -> Result<(Pictures, Pictures), Failure> {
    let size = images.shape.iter().product();
    let (rest, held_back) = match images.test {
        Some(test) => (images.train, test),
        None => halves(images.train, size, seed)?,
    };
    if on_test { Ok((rest, held_back)) } else { halves(rest, size, seed.wrapping_add(1)) }
}

/// Some pictures, and a stratified share of them.
fn halves(pictures: Pictures, size: usize, seed: u64) -> Result<(Pictures, Pictures), Failure> {
    let split = stratified_split(&pictures.labels, HELD_BACK, seed).map_err(Failure::refused)?;
    let of = |rows: &[usize]| Pictures {
        pixels: rows.iter().flat_map(|&row| &pictures.pixels[row * size..(row + 1) * size]).copied().collect(),
        labels: rows.iter().map(|&row| pictures.labels[row]).collect(),
    };
    Ok((of(&split.train), of(&split.test)))
}

impl Task for Sorting {
    fn examples(&self) -> usize {
        self.learn.labels.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let (logits, classes) = self.logits(Part::Learn, params, examples, context);
        cross_entropy(logits, classes, 0.0)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let judged = self.judge(params, &Context::evaluation).unwrap_or_default();
        ["log_loss", "accuracy"].into_iter().filter_map(|name| Some((name, *judged.get(name)?))).collect()
    }
}

impl Subject for Sorting {
    fn init(&self, stream: &Stream, device: &Device) -> Result<Params, Failure> {
        Ok(self.sorter.network().init(stream, device))
    }

    fn network(&self) -> &dyn Network {
        self.sorter.network()
    }

    fn input(&self) -> Result<Input, Failure> {
        let Sorter { shape, peak, classes, .. } = self.sorter;
        Ok(Input::Pictures { shape, peak, classes })
    }

    fn count(&self, part: Part) -> usize {
        self.part(part).labels.len()
    }

    fn logits(
        &self,
        part: Part,
        params: &Params,
        examples: &[usize],
        context: &mut Context<'_>,
    ) -> (Tensor<2>, Arc<[i64]>) {
        let pictures = self.part(part);
        let classes = examples.iter().map(|&row| i64::from(pictures.labels[row])).collect();
        let x = self.sorter.batch(pictures, examples, params);
        (self.sorter.model.forward(params, x, context), classes)
    }

    fn judge<'a>(
        &self,
        params: &Params,
        pass: &dyn Fn() -> Context<'a>,
    ) -> Result<BTreeMap<&'static str, f64>, Failure> {
        let rows: Vec<usize> = (0..self.judge.labels.len()).collect();
        let probabilities = self.sorter.probabilities(params, &self.judge, &rows, pass);
        self.sorter.judge(&self.judge.labels, &probabilities)
    }
}
