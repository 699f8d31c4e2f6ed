//! What merging wants to know of a network beside its weights: [`kilter_weights::merge::fisher`] and
//! [`kilter_weights::merge::regmean`], on the examples that it learnt from.
//!
//! Cost: Fisher information takes a backward pass for every example, second moments one forward pass.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_nn::context::Context;
use kilter_nn::init::Init;
use kilter_nn::layer::BatchNorm;
use kilter_nn::op::cross_entropy;
use kilter_nn::params::{Params, Role, Spec, numbers};
use kilter_nn::train::{device, save_weights};
use kilter_nn::{DType, Device, Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_study::Failure;
use serde::Serialize;

use super::soup::Logits;
use super::{Part, Trained};

/// What is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The diagonal of the Fisher information: mean squares of gradients of log p(y|x), y drawn from the network.
    Fisher,
    /// Second moments of the inputs of linear layers, `[inputs, inputs]`.
    Moments,
}

/// Examples per forward pass.
const PASS: usize = 256;

/// The statistics of a network on some examples, as named tensors: those of the network for Fisher information, those of
/// its linear layers for moments.
pub(crate) fn measured(
    params: &Params,
    logits: &Logits<'_>,
    examples: &[usize],
    kind: Statistic,
    stream: &mut Stream,
    device: &Device,
) -> Result<Params, Failure> {
    match kind {
        Statistic::Fisher => fisher(params, logits, examples, stream, device),
        Statistic::Moments => Ok(moments(params, logits, examples, device)),
    }
}

fn fisher(
    params: &Params,
    logits: &Logits<'_>,
    examples: &[usize],
    stream: &mut Stream,
    device: &Device,
) -> Result<Params, Failure> {
    let params = params.on(device);
    let mut sums: Vec<Vec<f64>> = params.specs().iter().map(|spec| vec![0.0; spec.count()]).collect();
    for &example in examples {
        let (logits, _) = logits(&params, &[example], &mut Context::evaluation());
        let [_, classes] = logits.dims();
        let drawn = numbers(&logits.clone().inner()).chunks(classes).map(|row| drawn(row, stream)).collect();
        let gradients = cross_entropy(logits, drawn, 0.0).backward();
        for (sum, value) in sums.iter_mut().zip(params.values()) {
            let Some(gradient) = value.grad(&gradients) else { continue };
            for (sum, g) in sum.iter_mut().zip(numbers(&gradient)) {
                *sum += g * g / examples.len() as f64;
            }
        }
    }
    let plain = device.clone().inner();
    let values = sums.into_iter().map(|sum| {
        let count = sum.len();
        Tensor::from_data(TensorData::new(sum, [count]).convert_dtype(DType::F32), (&plain, DType::F32))
    });
    params.detached().with_values(values.collect()).map_err(Failure::refused)
}

/// A class drawn with the probabilities of a row of logits.
fn drawn(logits: &[f64], stream: &mut Stream) -> i64 {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - top).exp()).collect();
    stream.weighted(&weights) as i64
}

fn moments(params: &Params, logits: &Logits<'_>, examples: &[usize], device: &Device) -> Params {
    let params = params.detached();
    let mut sums: BTreeMap<String, (usize, Vec<f64>, usize)> = BTreeMap::new();
    for examples in examples.chunks(PASS) {
        let mut context = Context::evaluation().with_hook(|place, x| {
            if let Some(layer) = place.strip_suffix(":in") {
                let [rows, inputs] = x.dims();
                let products = numbers(&x.clone().transpose().matmul(x.clone()));
                let (_, sum, seen) =
                    sums.entry(format!("{layer}.weight")).or_insert_with(|| (inputs, vec![0.0; inputs * inputs], 0));
                sum.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                *seen += rows;
            }
            x
        });
        let _ = logits(&params, examples, &mut context);
    }
    let spec = |(name, (inputs, ..)): (&String, &(usize, Vec<f64>, usize))| Spec {
        name: name.clone(),
        shape: vec![*inputs, *inputs],
        init: Init::ZERO,
        role: Role::Weight,
    };
    let specs: Vec<Spec> = sums.iter().map(spec).collect();
    let flat: Vec<f64> = sums.values().flat_map(|(_, sum, seen)| sum.iter().map(|x| x / *seen as f64)).collect();
    let empty = Params::init(specs, &Stream::new(&[0], "moments"), &device.clone().inner(), DType::F32);
    // As many numbers as the specs just made from them say.
    empty.with_flat(&flat).unwrap_or(empty)
}

/// Examples that running statistics are measured on, at most.
const RUNNING: usize = 4096;

/// The running statistics of a model's batch normalisations, by tensor, measured on up to 4096 of the examples that it
/// learnt from: those of a merged model are not the merged ones (Izmailov et al., *Averaging Weights Leads to Wider Optima
/// and Better Generalization*, 2018, section 3.2). Each is the mean over batches of 256, nothing dropped out.
///
/// # Errors
/// The file is no trained network, has no batch normalisation, or its examples cannot be read.
pub fn running_statistics(model: &Path) -> Result<BTreeMap<String, Vec<f64>>, Failure> {
    let trained = Trained::open(model, "cpu")?;
    let subject = trained.subject_with(&[("dropout", 0.0.into())])?;
    let mut stream = Stream::new(&[0], "running statistics");
    let mut chosen: Vec<usize> = (0..subject.count(Part::Learn)).collect();
    stream.shuffle(&mut chosen);
    chosen.truncate(RUNNING);
    let mut params = trained.params().clone();
    for (done, examples) in chosen.chunks(PASS).enumerate() {
        let mut context = Context::training(stream.child("pass"));
        let _ = subject.logits(Part::Learn, trained.params(), examples, &mut context);
        for (place, moments) in context.moments() {
            // The mean over batches.
            BatchNorm::refresh(&mut params, &place, &moments, 1.0 / (done + 1) as f64).map_err(Failure::refused)?;
        }
    }
    let of_statistics = params.specs().iter().zip(params.values()).filter(|(spec, _)| spec.role == Role::Statistic);
    let found: BTreeMap<_, _> = of_statistics.map(|(spec, value)| (spec.name.clone(), numbers(value))).collect();
    if found.is_empty() {
        return Err(Failure::refused(format!("a `{}` has no batch normalisation", trained.recipe())));
    }
    Ok(found)
}

/// Writes a model's statistics on `examples` of those that it learnt from (all, if there are fewer), drawn by `seed`; how
/// many were seen.
///
/// # Errors
/// The file is no trained network, its examples cannot be read, or `out` cannot be written.
pub fn statistics(model: &Path, kind: Statistic, examples: usize, seed: u64, out: &Path) -> Result<usize, Failure> {
    let trained = Trained::open(model, "cpu")?;
    let subject = trained.judged_by()?;
    let device = device("cpu").map_err(Failure::refused)?;
    let mut stream = Stream::new(&[seed], "statistics");
    let mut chosen: Vec<usize> = (0..subject.count(Part::Learn)).collect();
    stream.shuffle(&mut chosen);
    chosen.truncate(examples);
    let logits =
        |params: &Params, rows: &[usize], context: &mut Context<'_>| subject.logits(Part::Learn, params, rows, context);
    let found = measured(trained.params(), &logits, &chosen, kind, &mut stream, &device)?;
    if found.specs().is_empty() {
        return Err(Failure::refused(format!("a `{}` has no linear layers", trained.recipe())));
    }
    let what = match kind {
        Statistic::Fisher => "diagonal of the Fisher information",
        Statistic::Moments => "second moments of inputs",
    };
    let metadata = BTreeMap::from([("kilter.statistic".to_owned(), what.to_owned())]);
    save_weights(&found, out, &metadata).map_err(Failure::refused)?;
    Ok(chosen.len())
}
