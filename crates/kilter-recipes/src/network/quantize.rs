//! Quantising a network with its data: codes of its linear layers.
//!
//! NUPES and AdaRound ([`kilter_nn::quantize`]) learn them layer after layer, each on what reaches it from those that are
//! quantised already; exponents of NUPES begin at what [`kilter_weights::quantize::search`] finds without data. GPTQ
//! ([`with_feedback`]) rounds by the second moments of what reaches a layer of the float network. Convolutions and tables
//! keep what is found without data. Cost: two forward passes of the calibration examples for each layer, and the layer's
//! learning; one forward pass for GPTQ.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_nn::context::Context;
use kilter_nn::params::{Params, numbers};
use kilter_nn::quantize::{Layer, LearnConfig, Reach, learn};
use kilter_nn::train::{device, save_weights};
use kilter_nn::{Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_study::Failure;
use kilter_weights::Checkpoint;
use kilter_weights::quantize::{Grid, Profile, Scratch, search, with_feedback};
use serde::Serialize;

use super::soup::Logits;
use super::{Part, Statistic, Trained, measured};

/// Rows of a layer's inputs that are kept, at most: a text brings one for each character.
const ROWS: usize = 8192;

/// Examples per forward pass.
const PASS: usize = 128;

/// A method that rounds with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Codes anywhere on a power grid, and its exponent, learned (Yvinec et al. 2023).
    Nupes,
    /// Up or down on a uniform grid, learned (Nagel et al. 2020).
    Adaround,
    /// To nearest on a uniform grid, errors made good by the weights that are still to be rounded (Frantar et al. 2023).
    Gptq,
}

impl Rounding {
    /// The method of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "nupes" => Some(Self::Nupes),
            "adaround" => Some(Self::Adaround),
            "gptq" => Some(Self::Gptq),
            _ => None,
        }
    }
}

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

/// Rounds the linear layers' weights; those that the codes stand for, and what became of each layer.
pub(crate) fn rounded(
    params: &Params,
    logits: &Logits<'_>,
    examples: &[usize],
    rounding: Rounding,
    config: &LearnConfig,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(Params, Vec<LearnedLayer>), Failure> {
    let bends = rounding == Rounding::Nupes;
    let config = &match rounding {
        Rounding::Nupes => *config,
        Rounding::Adaround => LearnConfig { reach: Reach::Neighbours, exponent_rate: 0.0, ..*config },
        Rounding::Gptq => return fed_back(params, logits, examples, config.bits, progress),
    };
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

/// Linear layers on a uniform grid, rounded with feedback. Errors of outputs follow from the second moments M of inputs:
/// the mean over rows of |D x|² is the trace of D M Dᵀ.
fn fed_back(
    params: &Params,
    logits: &Logits<'_>,
    examples: &[usize],
    bits: u32,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(Params, Vec<LearnedLayer>), Failure> {
    let mut stream = Stream::new(&[0], "none is drawn");
    let cpu = device("cpu").map_err(Failure::refused)?;
    let moments = measured(params, logits, examples, Statistic::Moments, &mut stream, &cpu)?;
    let grid = Grid::power(bits, 1.0);
    let mut rounded = params.detached();
    let mut layers = Vec::with_capacity(moments.specs().len());
    for (done, spec) in moments.specs().iter().enumerate() {
        let weight = numbers(&params.get::<2>(&spec.name));
        let of_layer = numbers(&moments.get::<2>(&spec.name));
        let made = with_feedback(&weight, &of_layer, &grid).map_err(Failure::refused)?;
        let inputs = spec.shape[0];
        let nearest = nearest(&weight, inputs, &grid);
        let error = |made: &[f64]| {
            let rows = made.chunks(inputs).zip(weight.chunks(inputs));
            let of_row = |(made, weight): (&[f64], &[f64])| {
                let away: Vec<f64> = made.iter().zip(weight).map(|(a, b)| a - b).collect();
                let times = |row: &[f64]| row.iter().zip(&away).map(|(m, d)| m * d).sum::<f64>();
                away.iter().zip(of_layer.chunks(inputs)).map(|(d, row)| d * times(row)).sum::<f64>()
            };
            rows.map(of_row).sum::<f64>()
        };
        layers.push(LearnedLayer {
            name: spec.name.clone(),
            exponent: [1.0, 1.0],
            loss: [error(&nearest), error(&made)],
        });
        let count = made.len();
        let data = TensorData::new(made, [count]).convert_dtype(rounded.dtype());
        let value = Tensor::from_data(data, (rounded.device(), rounded.dtype()));
        rounded = rounded.with(&spec.name, value).map_err(Failure::refused)?;
        if !progress(done + 1, moments.specs().len()) {
            return Err(Failure::refused("interrupted"));
        }
    }
    Ok((rounded, layers))
}

/// Weights rounded to nearest, a scale for each row.
fn nearest(weight: &[f64], inputs: usize, grid: &Grid) -> Vec<f64> {
    let mut scratch = Scratch::default();
    let of_row = |row: &[f64]| {
        let scale = row.iter().fold(0.0_f64, |largest, w| largest.max(w.abs()));
        let mut codes = vec![0; row.len()];
        grid.encode(row, scale, &mut codes, &mut scratch);
        codes.into_iter().map(|code| grid.decode(code, scale)).collect::<Vec<_>>()
    };
    weight.chunks(inputs.max(1)).flat_map(of_row).collect()
}

/// `x wᵀ` on the device of `params`.
fn product(x: &[f32], weight: &[f32], width: usize, outputs: usize, params: &Params) -> Vec<f32> {
    let rows = x.len() / width.max(1);
    let on = (params.device(), params.dtype());
    let x = Tensor::<2>::from_data(TensorData::new(x.to_vec(), [rows, width]), on);
    let weight = Tensor::<2>::from_data(TensorData::new(weight.to_vec(), [outputs, width]), on);
    numbers(&x.matmul(weight.transpose())).into_iter().map(|x| x as f32).collect()
}

/// Rounds a model file's linear layers with `examples` of those that it learnt from (of `data`, if that is named), drawn by
/// the configuration's seed, and writes the weights that the codes stand for, which
/// [`kilter_weights::quantize::quantize_with`] then packs with the learned exponents without changing them.
///
/// # Errors
/// The file is no trained network or has no linear layer, or its examples cannot be read.
pub fn learn_codes(
    model: &Path,
    data: Option<&str>,
    examples: usize,
    rounding: Rounding,
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
    let (weights, layers) = rounded(trained.params(), &logits, &chosen, rounding, config, progress)?;
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
