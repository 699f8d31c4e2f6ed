//! Learned soups of trained networks: mixing weights by gradient on the examples that judged the networks.
//!
//! Wortsman et al., *Model soups* (ICML 2022): [`kilter_nn::mixture`] mixes, beta scales the logits, AdamW minimises their
//! cross-entropy. The authors' settings are the defaults. Cost: all models in memory; one forward and backward pass of the
//! network for each batch and epoch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilter_nn::context::Context;
use kilter_nn::init::Init;
use kilter_nn::mixture::Mixture;
use kilter_nn::op::cross_entropy;
use kilter_nn::optim::{AdamConfig, Optimizer};
use kilter_nn::params::{Params, Role, Spec, numbers};
use kilter_nn::schedule::{Schedule, Shape};
use kilter_nn::train::{StepReport, Task, TrainConfig, Training, device};
use kilter_nn::{DType, Device, Tensor};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::Failure;
use serde_json::json;

use super::{Part, Trained, whole};

/// What a learned soup came to.
#[derive(Clone, Debug)]
pub struct LearnedSoup {
    /// For each tensor, the weight of each model; they add up to 1.
    pub weights: BTreeMap<String, Vec<f64>>,
    /// What logits are multiplied by; the merged model itself does not hold it.
    pub beta: f64,
    /// The loss on the examples that it was learned from, of the plain average.
    pub loss_uniform: f64,
    /// The same of the learned soup.
    pub loss: f64,
    /// The settings, for a report.
    pub settings: serde_json::Value,
}

/// Logits and classes of some examples under some weights.
pub(crate) type Logits<'a> = dyn Fn(&Params, &[usize], &mut Context<'_>) -> (Tensor<2>, Arc<[i64]>) + 'a;

/// How mixing weights are learned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learning {
    pub learning_rate: f64,
    pub epochs: u64,
    /// One row of mixing weights per tensor, else one for all.
    pub per_tensor: bool,
    pub seed: u64,
}

/// Examples per step (the authors').
const BATCH: usize = 256;

struct Mixing<'a> {
    mixture: &'a Mixture,
    logits: &'a Logits<'a>,
    examples: usize,
}

impl Mixing<'_> {
    fn raw(&self, params: &Params) -> Tensor<2> {
        params.get("raw")
    }

    fn loss_of(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        // Rows and columns are those that the mixture was asked for.
        let Ok(mixed) = self.mixture.mix(self.raw(params)) else { unreachable!("mixing weights of another mixture") };
        let (logits, classes) = (self.logits)(&mixed, examples, context);
        cross_entropy(logits * params.get::<1>("beta").unsqueeze(), classes, 0.0)
    }
}

impl Task for Mixing<'_> {
    fn examples(&self) -> usize {
        self.examples
    }

    fn loss(&self, params: &Params, examples: &[usize], _: &mut Context<'_>) -> Tensor<1> {
        // What is mixed is evaluated, not trained: no dropout.
        self.loss_of(params, examples, &mut Context::evaluation())
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let all: Vec<usize> = (0..self.examples).collect();
        let of =
            |rows: &[usize]| numbers(&self.loss_of(params, rows, &mut Context::evaluation()))[0] * rows.len() as f64;
        vec![("loss", all.chunks(BATCH).map(of).sum::<f64>() / self.examples.max(1) as f64)]
    }
}

/// Learns how to mix; `progress` is told epochs and says whether to go on.
pub(crate) fn mix(
    mixture: &Mixture,
    logits: &Logits<'_>,
    examples: usize,
    how: Learning,
    device: &Device,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(Params, LearnedSoup), Failure> {
    let rows = if how.per_tensor { mixture.tensors() } else { 1 };
    let even = 1.0 / mixture.models() as f64;
    let spec = |name: &str, shape: Vec<usize>, value: f64| Spec {
        name: name.to_owned(),
        shape,
        init: Init::Constant { value },
        role: Role::Weight,
    };
    let specs = vec![spec("raw", vec![rows, mixture.models()], even), spec("beta", vec![1], 1.0)];
    let start = Params::init(specs, &Stream::new(&[how.seed], "soup"), device, DType::F32);
    let task = Mixing { mixture, logits, examples };
    let epoch = examples.div_ceil(BATCH).max(1) as u64;
    let config = TrainConfig {
        steps: how.epochs * epoch,
        batch: BATCH.min(examples.max(1)),
        learning_rate: how.learning_rate,
        schedule: Schedule { warmup: 0.0, shape: Shape::Constant, ..Schedule::default() },
        optimizer: Optimizer::Adam(AdamConfig { decoupled: true, ..AdamConfig::default() }),
        groups: Vec::new(),
        clip: None,
        evaluate_every: epoch,
        seed: how.seed,
        ..TrainConfig::default()
    };
    let loss_of = |params: &Params| task.evaluate(&params.detached()).first().map_or(f64::NAN, |(_, loss)| *loss);
    let loss_uniform = loss_of(&start);
    let mut training = Training::new(config, start).map_err(Failure::refused)?;
    let ran = training.run(&task, None, &mut |report: &StepReport| match report.evaluated {
        Some(_) => progress(report.step / epoch, how.epochs),
        None => true,
    });
    ran.map_err(Failure::refused)?;
    let result = training.result();
    let weights = numbers(&Mixture::weights(result.get("raw")));
    let mixed = mixture.mix(result.get("raw")).map_err(Failure::refused)?;
    let row = |at: usize| weights.chunks(mixture.models()).nth(if rows == 1 { 0 } else { at }).unwrap_or_default();
    let names = mixed.specs().iter().enumerate();
    let weights = names.map(|(at, spec)| (spec.name.clone(), row(at).to_vec())).collect();
    let (beta, loss) = (numbers(&result.get::<1>("beta"))[0], loss_of(&result));
    let settings = json!({
        "kind": "learned", "learning_rate": how.learning_rate, "epochs": how.epochs,
        "granularity": if how.per_tensor { "layer" } else { "model" }, "beta": beta,
        "loss_uniform": loss_uniform, "loss": loss,
    });
    Ok((mixed, LearnedSoup { weights, beta, loss_uniform, loss, settings }))
}

/// Learns how to mix model files of one recipe and one configuration of its network, by the examples that judged the first;
/// `config` answers a soup's questions ([`kilter_weights::soup::outline`]).
///
/// # Errors
/// A file is none of a network's, or the models are of different ones.
pub fn learn_soup(
    models: &[&Path],
    config: &Config,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<LearnedSoup, Failure> {
    let trained = models.iter().map(|path| Trained::open(path, "cpu")).collect::<Result<Vec<_>, _>>()?;
    let first = trained.first().ok_or_else(|| Failure::refused("a soup needs models"))?;
    let subject = first.judged_by()?;
    let device = device("cpu").map_err(Failure::refused)?;
    let all: Vec<Params> = trained.iter().map(|model| model.params().clone()).collect();
    let mixture = Mixture::new(&all, &device).map_err(Failure::refused)?;
    let how = Learning {
        learning_rate: config.float("learning_rate")?,
        epochs: whole(config, "epochs")?,
        per_tensor: config.text("granularity")? == "layer",
        seed: 0,
    };
    let logits =
        |params: &Params, rows: &[usize], context: &mut Context<'_>| subject.logits(Part::Judge, params, rows, context);
    mix(&mixture, &logits, subject.count(Part::Judge), how, &device, progress).map(|(_, soup)| soup)
}
