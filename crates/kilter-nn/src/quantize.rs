//! Codes and exponents of a linear layer, learned so that its outputs on real inputs stay what they were.
//!
//! Yvinec, Dapogny and Bailly, *NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search* (2023), the part
//! with data; with codes that move to a neighbour only and an exponent of 1 it is AdaRound (Nagel et al., *Up or Down?
//! Adaptive Rounding for Post-Training Quantization*, ICML 2020). Of every code a real number v is learned, q = round(v)
//! within the grid, and the exponent a of the layer beside them; what is minimised is the mean square of the layer's outputs'
//! errors, summed over outputs, plus a term that drives v to whole numbers once a tenth of the steps are done. Changed, since
//! no code is published: gradients pass the rounding as if it were not there, with the slope of the level's neighbours (that
//! of the power itself is zero at zero and would hold every zero fast); the code of each row's largest weight is kept, so that
//! the scale stays what it is; codes and exponent of the step that was best on all inputs are the answer, so it is never worse
//! than the start. Cost: three products of the layer's size for each step.

use kilter_numerics::Stream;
use kilter_weights::quantize::{Grid, Scratch};
use serde::{Deserialize, Serialize};

use crate::op::gemm::{Matrix, multiply};
use crate::optim::{AdamConfig, Optimizer, Parameter, State};

/// How far codes may move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Anywhere on the grid.
    #[default]
    Grid,
    /// To the level below or above the weight.
    Neighbours,
}

/// Settings of the learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearnConfig {
    /// Bits per code, 2 to 8.
    pub bits: u32,
    /// Steps, at least 1. Default 2000.
    pub steps: u64,
    /// Inputs per step, at least 1. Default 32.
    pub batch: usize,
    /// Adam's rate of the codes. Default 1e-3.
    pub code_rate: f64,
    /// Adam's rate of the exponent; 0 keeps it. Default 1e-4.
    pub exponent_rate: f64,
    /// Weight of what drives codes to whole numbers. Default 0.01.
    pub rounding: f64,
    /// How far codes may move.
    pub reach: Reach,
    /// Seed of the order of inputs.
    pub seed: u64,
}

impl Default for LearnConfig {
    fn default() -> Self {
        Self {
            bits: 4,
            steps: 2000,
            batch: 32,
            code_rate: 1e-3,
            exponent_rate: 1e-4,
            rounding: 0.01,
            reach: Reach::Grid,
            seed: 0,
        }
    }
}

/// A layer, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[outputs, inputs]`; a row shares a scale.
    pub weight: &'a [f32],
    /// How many outputs.
    pub outputs: usize,
    /// What reaches it when all before it is quantised, `[rows, inputs]`.
    pub inputs: &'a [f32],
    /// What its product with the weights should be, `[rows, outputs]`, without bias.
    pub targets: &'a [f32],
}

/// A quantised layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// What the codes stand for, `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// The exponent.
    pub exponent: f64,
    /// Mean over rows of the squared error, summed over outputs, at the start and at the end.
    pub loss: [f64; 2],
}

/// The exponent is `LEAST + softplus(alpha)`, at most 2.
const LEAST: f64 = 0.1;
const LARGEST: f64 = 2.0;

/// The power of the term that drives codes to whole numbers falls from the first to the second.
const SHARPNESS: [f64; 2] = [20.0, 2.0];

/// Distances from the middle between two codes that are told apart.
const BINS: usize = 256;

/// Evaluations on all inputs.
const LOOKS: u64 = 20;

struct Codes {
    last: f32,
    /// Per row, the largest size.
    scales: Vec<f32>,
    inputs: usize,
    /// Real codes.
    values: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Codes {
    fn code(&self, at: usize) -> f32 {
        self.values[at].clamp(self.low[at], self.high[at]).round_ties_even().clamp(-self.last, self.last)
    }

    /// What each code from -L to L stands for, in units of the scale.
    fn levels(&self, exponent: f64) -> Vec<f32> {
        let last = self.last as i32;
        let level = |code: i32| {
            let size = (f64::from(code.abs()) / f64::from(last)).powf(1.0 / exponent);
            (size * f64::from(code.signum())) as f32
        };
        (-last..=last).map(level).collect()
    }

    fn decode(&self, levels: &[f32], out: &mut [f32]) {
        let last = self.last as i32;
        for (row, (out, scale)) in out.chunks_mut(self.inputs).zip(&self.scales).enumerate() {
            for (k, out) in out.iter_mut().enumerate() {
                *out = levels[(self.code(row * self.inputs + k) as i32 + last) as usize] * scale;
            }
        }
    }
}

/// `out = x wᵀ`, `[rows, outputs]`.
fn product(x: &[f32], w: &[f32], rows: usize, inputs: usize, outputs: usize, out: &mut [f32]) {
    multiply(out, outputs, Matrix::new(x, rows, inputs), Matrix::new(w, outputs, inputs).t(), 1.0, 0.0, true);
}

fn loss(layer: &Layer<'_>, weight: &[f32], rows: usize, inputs: usize) -> f64 {
    let mut out = vec![0.0; rows * layer.outputs];
    product(layer.inputs, weight, rows, inputs, layer.outputs, &mut out);
    let squares = out.iter().zip(layer.targets).map(|(out, target)| f64::from(out - target).powi(2));
    squares.sum::<f64>() / rows.max(1) as f64
}

/// Learns from `exponent` on, whose power grid gives the first codes; 1 is the uniform grid.
///
/// # Panics
/// If the sizes of the layer's slices do not fit each other: a defect of the caller.
pub fn learn(layer: &Layer<'_>, exponent: f64, config: &LearnConfig) -> Learned {
    let outputs = layer.outputs.max(1);
    let inputs = layer.weight.len() / outputs;
    let rows = layer.inputs.len() / inputs.max(1);
    assert!(layer.inputs.len() == rows * inputs && layer.targets.len() == rows * outputs, "sizes of a layer");
    let mut codes = begin(layer, outputs, inputs, exponent, config);
    let mut weight = vec![0.0; layer.weight.len()];
    codes.decode(&codes.levels(exponent), &mut weight);
    let start = loss(layer, &weight, rows, inputs);
    let mut best = Learned { weight: weight.clone(), exponent, loss: [start, start] };
    if rows == 0 {
        return best;
    }

    let optimizer = Optimizer::Adam(AdamConfig::default());
    let (mut of_codes, mut of_exponent) = (State::default(), State::default());
    let inverse_softplus = |x: f64| (x.exp() - 1.0).max(1e-12).ln();
    let mut alpha = [inverse_softplus(exponent - LEAST)];
    let mut exponent = exponent;
    let mut order = Stream::new(&[config.seed], "calibration");
    let batch = config.batch.clamp(1, rows);
    let (mut x, mut target) = (vec![0.0; batch * inputs], vec![0.0; batch * outputs]);
    let mut out = vec![0.0; batch * outputs];
    let mut of_weight = vec![0.0_f32; weight.len()];
    let mut gradient = vec![0.0_f32; weight.len()];
    for step in 1..=config.steps {
        for at in 0..batch {
            let row = order.index(rows);
            x[at * inputs..(at + 1) * inputs].copy_from_slice(&layer.inputs[row * inputs..(row + 1) * inputs]);
            target[at * outputs..(at + 1) * outputs]
                .copy_from_slice(&layer.targets[row * outputs..(row + 1) * outputs]);
        }
        let levels = codes.levels(exponent);
        codes.decode(&levels, &mut weight);
        product(&x, &weight, batch, inputs, outputs, &mut out);
        out.iter_mut().zip(&target).for_each(|(out, target)| *out = 2.0 * (*out - target) / batch as f32);
        let (errors, x_view) = (Matrix::new(&out, batch, outputs).t(), Matrix::new(&x, batch, inputs));
        multiply(&mut of_weight, inputs, errors, x_view, 1.0, 0.0, true);

        let done = step as f64 / config.steps as f64;
        let sharpness = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * ((done - 0.1) / 0.8).clamp(0.0, 1.0);
        let rounding = if done > 0.1 { config.rounding } else { 0.0 };
        // One power for each of some hundred distances, not for each code.
        let power = |at: usize| (at as f64 / BINS as f64).powf(sharpness - 1.0);
        let powers: Vec<f64> = (0..=BINS).map(power).collect();
        let last = codes.last as i32;
        let mut of_a = 0.0;
        for (row, scale) in codes.scales.iter().enumerate() {
            for k in 0..inputs {
                let at = row * inputs + k;
                let code = codes.code(at) as i32;
                let neighbour = |code: i32| levels[(code.clamp(-last, last) + last) as usize];
                // Outside the grid and for codes that are kept no gradient passes.
                let passes = codes.values[at] > codes.low[at] && codes.values[at] < codes.high[at];
                let span = ((code + 1).min(last) - (code - 1).max(-last)).max(1) as f32;
                let slope = (neighbour(code + 1) - neighbour(code - 1)) / span * scale;
                let beyond = f64::from(codes.values[at] - codes.values[at].floor());
                let away = 2.0 * beyond - 1.0;
                let bin = (away.abs() * BINS as f64) as usize;
                let drive = -rounding * 2.0 * sharpness * powers[bin.min(BINS)] * away.signum();
                gradient[at] = if passes { of_weight[at] * slope + drive as f32 } else { 0.0 };
                if code != 0 {
                    let size = f64::from(code.abs()) / f64::from(last);
                    of_a -= f64::from(of_weight[at] * weight[at]) * size.ln() / (exponent * exponent);
                }
            }
        }
        optimizer.update(Parameter {
            weights: &mut codes.values,
            gradient: &gradient,
            shape: &[outputs, inputs],
            state: &mut of_codes,
            step,
            learning_rate: config.code_rate,
            weight_decay: 0.0,
        });
        if config.exponent_rate > 0.0 {
            let of_alpha = [of_a / (1.0 + (-alpha[0]).exp())];
            optimizer.update(Parameter {
                weights: &mut alpha,
                gradient: &of_alpha,
                shape: &[1],
                state: &mut of_exponent,
                step,
                learning_rate: config.exponent_rate,
                weight_decay: 0.0,
            });
            exponent = (LEAST + alpha[0].exp().ln_1p()).min(LARGEST);
        }
        if step.is_multiple_of((config.steps / LOOKS).max(1)) || step == config.steps {
            // A file holds an exponent in f32.
            let held = f64::from(exponent as f32);
            codes.decode(&codes.levels(held), &mut weight);
            let now = loss(layer, &weight, rows, inputs);
            if now < best.loss[1] {
                best = Learned { weight: weight.clone(), exponent: held, loss: [start, now] };
            }
        }
    }
    best
}

/// The codes of the weights' power grid.
fn begin(layer: &Layer<'_>, outputs: usize, inputs: usize, exponent: f64, config: &LearnConfig) -> Codes {
    let last = f32::from((1_u8 << (config.bits.clamp(2, 8) - 1)) - 1);
    let grid = Grid::power(config.bits.clamp(2, 8), exponent);
    let mut scratch = Scratch::default();
    let mut codes = Codes {
        last,
        scales: Vec::with_capacity(outputs),
        inputs,
        values: Vec::with_capacity(layer.weight.len()),
        low: vec![-last - 0.5; layer.weight.len()],
        high: vec![last + 0.5; layer.weight.len()],
    };
    for (row, weights) in layer.weight.chunks(inputs.max(1)).enumerate() {
        let wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let scale = wide.iter().fold(0.0_f64, |largest, w| largest.max(w.abs()));
        let scale = if scale < 1e-30 { 0.0 } else { scale };
        let mut nearest = vec![0; wide.len()];
        grid.encode(&wide, scale, &mut nearest, &mut scratch);
        for (k, (w, &code)) in wide.iter().zip(&nearest).enumerate() {
            let at = row * inputs + k;
            let exact = if scale > 0.0 { f64::from(last) * (w.abs() / scale).powf(exponent) * w.signum() } else { 0.0 };
            let exact = exact as f32;
            codes.values.push(exact);
            if config.reach == Reach::Neighbours {
                (codes.low[at], codes.high[at]) = (exact.floor(), exact.floor() + 1.0);
            }
            // Kept: the codes that hold the scale, and rows of zeros.
            if f32::from(code.unsigned_abs()) == last && w.abs() == scale || scale == 0.0 {
                codes.values[at] = f32::from(code);
                (codes.low[at], codes.high[at]) = (f32::from(code), f32::from(code));
            }
        }
        codes.scales.push(scale as f32);
    }
    codes
}
