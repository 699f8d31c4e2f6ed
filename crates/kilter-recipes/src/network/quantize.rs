//! Quantising a network with its data: codes and exponents of its linear layers, layer after layer, each on what reaches it
//! from those that are quantised already.
//!
//! The method is [`kilter_nn::quantize`]'s; exponents begin at what [`kilter_weights::quantize::search`] finds without data.
//! Convolutions and tables keep what is found without data. Cost: two forward passes of the calibration examples for each
//! layer, and the layer's learning.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_nn::context::Context;
use kilter_nn::params::{Params, numbers};
use kilter_nn::quantize::{Layer, LearnConfig, learn};
use kilter_nn::train::save_weights;
use kilter_nn::{Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_study::Failure;
use kilter_weights::Checkpoint;
use kilter_weights::quantize::{Profile, search};
use serde::Serialize;

use super::soup::Logits;
use super::{Part, Trained};

/// Rows of a layer's inputs that are kept, at most: a text brings one for each character.
const ROWS: usize = 8192;

/// Examples per forward pass.
const PASS: usize = 128;

/// What was learned of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnedLayer {
    /// Its weight's name.
    pub name: String,
    /// The exponent found without data, and the learned one.
    pub exponent: [f64; 2],
    /// Mean squared error of its outputs on calibration rows, summed over outputs, before and after.
    pub loss: [f64; 2],
}

/// What reaches the linear layers, `[rows, inputs]` each, in the order in which they are met.
fn inputs(params: &Params, logits: &Logits<'_>, examples: &[usize], only: Option<&str>) -> Vec<(String, Vec<f32>)> {
    let mut found: Vec<(String, Vec<f32>)> = Vec::new();
    for examples in examples.chunks(PASS) {
        let mut context = Context::evaluation().with_hook(|place, x| {
            let layer = place.strip_suffix(":in").map(|layer| format!("{layer}.weight"));
            if let Some(layer) = layer.filter(|layer| only.is_none_or(|only| only == layer)) {
                let [_, width] = x.dims();
                let data: Vec<f32> = numbers(&x).into_iter().map(|x| x as f32).collect();
                let at = found.iter().position(|(name, _)| *name == layer).unwrap_or_else(|| {
                    found.push((layer, Vec::new()));
                    found.len() - 1
                });
                let room = ROWS.saturating_mul(width).saturating_sub(found[at].1.len());
                found[at].1.extend_from_slice(&data[..data.len().min(room)]);
            }
            x
        });
        let _ = logits(params, examples, &mut context);
    }
    found
}

/// The exponent of a weight `[outputs, inputs]` with a scale per row, found without data.
fn found(weight: &[f32], outputs: usize, bits: u32) -> f64 {
    let mut profile = Profile::new(2.0);
    for row in weight.chunks((weight.len() / outputs.max(1)).max(1)) {
        let row: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
        profile.add(&row, row.iter().fold(0.0_f64, |largest, w| largest.max(w.abs())));
    }
    f64::from(search(&[profile], bits, 0.2, 1.2).exponent as f32)
}

/// Learns the linear layers' codes; the weights that they stand for, and what was learned of each layer. Without `bends`
/// the grid is uniform and stays so.
pub(crate) fn learned(
    params: &Params,
    logits: &Logits<'_>,
    examples: &[usize],
    bends: bool,
    config: &LearnConfig,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(Params, Vec<LearnedLayer>), Failure> {
    let float = params.detached();
    let mut quantised = float.clone();
    let of_float = inputs(&float, logits, examples, None);
    let mut layers = Vec::with_capacity(of_float.len());
    for (done, (name, x)) in of_float.iter().enumerate() {
        let at = float.place(name).map_err(Failure::refused)?;
        let &[outputs, width] = float.specs()[at].shape.as_slice() else { continue };
        let weight: Vec<f32> = numbers(&float.values()[at]).into_iter().map(|w| w as f32).collect();
        let reaches = inputs(&quantised, logits, examples, Some(name)).pop().map_or_else(Vec::new, |(_, x)| x);
        let targets = product(x, &weight, width, outputs, &float);
        let exponent = if bends { found(&weight, outputs, config.bits) } else { 1.0 };
        let layer = Layer { weight: &weight, outputs, inputs: &reaches, targets: &targets };
        let made = learn(&layer, exponent, config);
        let count = made.weight.len();
        let value = Tensor::from_data(TensorData::new(made.weight, [count]), (float.device(), float.dtype()));
        quantised = quantised.with(name, value).map_err(Failure::refused)?;
        layers.push(LearnedLayer { name: name.clone(), exponent: [exponent, made.exponent], loss: made.loss });
        if !progress(done + 1, of_float.len()) {
            return Err(Failure::refused("interrupted"));
        }
    }
    Ok((quantised, layers))
}

/// `x wᵀ` on the device of `params`.
fn product(x: &[f32], weight: &[f32], width: usize, outputs: usize, params: &Params) -> Vec<f32> {
    let rows = x.len() / width.max(1);
    let on = (params.device(), params.dtype());
    let x = Tensor::<2>::from_data(TensorData::new(x.to_vec(), [rows, width]), on);
    let weight = Tensor::<2>::from_data(TensorData::new(weight.to_vec(), [outputs, width]), on);
    numbers(&x.matmul(weight.transpose())).into_iter().map(|x| x as f32).collect()
}

/// Learns a model file's codes on `examples` of those that it learnt from (of `data`, if that is named), drawn by the
/// configuration's seed, and writes the weights that they stand for, which [`kilter_weights::quantize::quantize_with`] then
/// packs with the learned exponents without changing them.
///
/// # Errors
/// The file is no trained network or has no linear layer, or its examples cannot be read.
pub fn learn_codes(
    model: &Path,
    data: Option<&str>,
    examples: usize,
    config: &LearnConfig,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<LearnedLayer>, Failure> {
    let trained = Trained::open(model, "cpu")?;
    let subject = trained.subject(data)?;
    let mut chosen: Vec<usize> = (0..subject.count(Part::Learn)).collect();
    Stream::new(&[config.seed], "calibration examples").shuffle(&mut chosen);
    chosen.truncate(examples);
    let logits =
        |params: &Params, rows: &[usize], context: &mut Context<'_>| subject.logits(Part::Learn, params, rows, context);
    let (weights, layers) = learned(trained.params(), &logits, &chosen, true, config, progress)?;
    if layers.is_empty() {
        return Err(Failure::refused(format!("a `{}` has no linear layers to learn", trained.recipe())));
    }
    let metadata = Checkpoint::open(model).map_err(Failure::refused)?.metadata().clone();
    save_weights(&weights, out, &metadata).map_err(Failure::refused)?;
    Ok(layers)
}

/// The exponents of learned layers, by name.
pub fn exponents(layers: &[LearnedLayer]) -> BTreeMap<String, f64> {
    layers.iter().map(|layer| (layer.name.clone(), layer.exponent[1])).collect()
}
