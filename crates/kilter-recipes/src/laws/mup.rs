//! Learning rates that hold at any width: sweeps of perceptrons on the digits under muP and as frameworks draw them.
//!
//! Method: *Feature Learning in Infinite-Width Neural Networks* (Tensor Programs IV, 2020) and *Tensor Programs V* (2022);
//! the rules are [`kilter_laws::mup`]'s. Changed: the head's forward multiplier 1/m is folded into its weights, which gives
//! the same training: under Adam their deviation and rate are divided by m, under SGD (whose gradient carries a second m)
//! likewise. Without decay nothing else depends on it. Cost: a sweep is some dozens of trainings of 20 steps.

use kilter_data::{Images, Pictures};
use kilter_laws::mup::{Optimizer as Family, Role, rule};
use kilter_nn::context::Context;
use kilter_nn::model::{Mlp, Network};
use kilter_nn::op::cross_entropy;
use kilter_nn::optim::{AdamConfig, Optimizer, SgdConfig};
use kilter_nn::params::{Params, numbers};
use kilter_nn::train::{Group, StepReport, Task, TrainConfig, Training, device};
use kilter_nn::{Device, Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};

use super::{Measuring, arm, entry, lower, reported, seed};
use crate::claim::{Arm, Claim, Judge, Reproduction, Scaled};

/// The recipe of a sweep.
pub const SWEEP: &str = "mup-sweep";

/// Steps of each training, and examples of each.
const STEPS: u64 = 20;
const BATCH: usize = 256;

/// Learning rates, as powers of two.
const ADAM_RATES: std::ops::RangeInclusive<i32> = -11..=-3;
const SGD_RATES: std::ops::RangeInclusive<i32> = -8..=2;

/// The recipe [`SWEEP`].
pub(super) fn sweep() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("parametrization", "mup|standard", "mup", "what a width does to a layer")?,
        entry("optimizer", "adam|sgd", "adam", "who takes the steps")?,
        entry("base", "int:8..4096", 16_i64, "the width at which both are the same, and that is tuned")?,
        entry("doublings", "int:0..6", 2_i64, "widths beyond it, each four times the one before")?,
        seed("chance")?,
    ])?;
    let metrics = ["shift", "transferred_loss", "wider_is_worse"].map(lower).to_vec();
    Ok(Measuring { name: SWEEP, about: "learning rates over widths", outline, metrics, run })
}

/// The digits as rows from 0 to 1.
struct Digits {
    mlp: Mlp,
    pictures: Pictures,
    peak: f32,
    device: Device,
}

impl Digits {
    fn batch(&self, rows: &[usize]) -> (Tensor<2>, Vec<i64>) {
        let size = self.mlp.widths[0];
        let pixels = rows.iter().flat_map(|&row| &self.pictures.pixels[row * size..(row + 1) * size]);
        let pixels: Vec<f32> = pixels.map(|&pixel| f32::from(pixel) / self.peak).collect();
        let classes = rows.iter().map(|&row| i64::from(self.pictures.labels[row])).collect();
        (Tensor::from_data(TensorData::new(pixels, [rows.len(), size]), &self.device), classes)
    }
}

impl Task for Digits {
    fn examples(&self) -> usize {
        self.pictures.labels.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let (x, classes) = self.batch(examples);
        cross_entropy(self.mlp.forward(params, x, context), classes.into(), 0.0)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let all: Vec<usize> = (0..self.examples()).collect();
        let loss = self.loss(params, &all, &mut Context::evaluation());
        vec![("loss", numbers(&loss)[0])]
    }
}

/// The role of a perceptron's layer.
fn role(layer: usize, layers: usize) -> Role {
    match layer {
        0 => Role::Input,
        last if last + 1 == layers => Role::Output,
        _ => Role::Hidden,
    }
}

/// Initial weights and groups of learning rates under muP, `m` the width over the base.
fn parametrised(mlp: &Mlp, family: Family, m: f64, params: Params) -> Result<(Params, Vec<Group>), Failure> {
    let layers = mlp.widths.len() - 1;
    let mut params = params;
    let mut groups = Vec::new();
    for layer in 0..layers {
        let role = role(layer, layers);
        let (m_in, m_out) = match role {
            Role::Input => (1.0, m),
            Role::Hidden => (m, m),
            _ => (m, 1.0),
        };
        let factors = rule(role, family, m_in, m_out);
        // The head's multiplier 1/m: the weights it multiplies are drawn as at the base width and divided by m; a step of
        // Adam on them is divided by m, and one of SGD by m² of the rule's m.
        let folded = match family {
            Family::Adam => factors.multiplier,
            Family::Sgd => factors.multiplier * factors.multiplier,
        };
        let name = format!("layers.{layer}.weight");
        // This room draws within 1/√fan_in, so the deviation already follows the width; the rule says by how much it
        // should from the base on.
        let drawn = match role {
            Role::Input => 1.0,
            _ => m_in.sqrt(),
        };
        let wanted = factors.init_std * factors.multiplier;
        let at = params.place(&name).map_err(Failure::refused)?;
        let scaled = params.values()[at].clone() * (drawn * wanted);
        params = params.with(&name, scaled.detach().require_grad()).map_err(Failure::refused)?;
        groups.push(Group { name, role: None, learning_rate: factors.learning_rate * folded, weight_decay: 1.0 });
        let bias = rule(if role == Role::Output { Role::Fixed } else { Role::Input }, family, 1.0, m_out);
        let name = format!("layers.{layer}.bias");
        groups.push(Group { name, role: None, learning_rate: bias.learning_rate, weight_decay: 1.0 });
    }
    Ok((params, groups))
}

/// The loss on all digits after some steps; infinite where the training broke down.
fn loss(
    config: &Config,
    images: &Images,
    width: usize,
    base: usize,
    exponent: i32,
    run: &mut Run,
) -> Result<f64, Failure> {
    let mlp = Mlp::new(&[64, width, width, 10]);
    let on = device("cpu").map_err(Failure::refused)?;
    let seed = config.int("seed")?.unsigned_abs();
    let fresh = mlp.init(&Stream::new(&[seed], "weights"), &on);
    let (family, optimizer) = match config.text("optimizer")? {
        "sgd" => (Family::Sgd, Optimizer::Sgd(SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.0 })),
        _ => (Family::Adam, Optimizer::Adam(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() })),
    };
    let (params, groups) = match config.text("parametrization")? {
        "mup" => parametrised(&mlp, family, width as f64 / base as f64, fresh)?,
        _ => (fresh, Vec::new()),
    };
    let settings = TrainConfig {
        steps: STEPS,
        batch: BATCH,
        learning_rate: f64::from(exponent).exp2(),
        optimizer,
        groups,
        clip: None,
        seed,
        ..TrainConfig::default()
    };
    let task = Digits { mlp, peak: f32::from(images.peak), pictures: images.train.clone(), device: on };
    let mut training = Training::new(settings, params).map_err(Failure::refused)?;
    let mut last = f64::INFINITY;
    let ended = training.run(&task, None, &mut |report: &StepReport| {
        if let Some(&(_, found)) = report.evaluated.as_ref().and_then(|figures| figures.first()) {
            last = found;
        }
        run.flow() == kilter_study::Flow::Go
    });
    // A loss that is no number any more is a bad rate, no failure of the sweep.
    Ok(if ended.is_ok() && last.is_finite() { last } else { f64::INFINITY })
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let images = kilter_data::images("digits").map_err(Failure::refused)?;
    let base = config.int("base")?.unsigned_abs() as usize;
    let widths: Vec<usize> = (0..=config.int("doublings")?).map(|k| base << (2 * k)).collect();
    let rates: Vec<i32> = if config.text("optimizer")? == "sgd" { SGD_RATES.collect() } else { ADAM_RATES.collect() };
    let mut losses: Vec<Vec<f64>> = Vec::new();
    for (at, &width) in widths.iter().enumerate() {
        losses.push(rates.iter().map(|&rate| loss(config, &images, width, base, rate, run)).collect::<Result<_, _>>()?);
        run.progress(at as u64 + 1, widths.len() as u64);
    }
    let best = |of: &Vec<f64>| (0..of.len()).min_by(|&a, &b| of[a].total_cmp(&of[b])).unwrap_or(0);
    let tuned = best(&losses[0]);
    let shift = losses.iter().map(|of| best(of).abs_diff(tuned)).max().unwrap_or(0);
    let at_tuned: Vec<f64> = losses.iter().map(|of| of[tuned]).collect();
    let worse = at_tuned.windows(2).filter(|pair| pair[1] > pair[0]).count();
    let transferred = at_tuned.last().copied().unwrap_or(f64::INFINITY);
    Ok(Outcome::new([
        ("shift", shift as f64),
        // A training that broke down is as bad as guessing ten classes a thousandfold wrong.
        ("transferred_loss", transferred.min(10_f64.ln() * 1000.0)),
        ("wider_is_worse", worse as f64),
    ]))
}

const fn sweep_arm(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    arm(name, SWEEP, set)
}

const fn at_most(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

/// The claims. Margins are the sheet's.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "mup",
    title: "Learning rates over widths 16, 64 and 256 on the digits, under muP and as frameworks draw weights",
    arms: &[
        sweep_arm("mup-adam", &[("parametrization", "mup"), ("optimizer", "adam")]),
        sweep_arm("standard-adam", &[("parametrization", "standard"), ("optimizer", "adam")]),
        sweep_arm("mup-sgd", &[("parametrization", "mup"), ("optimizer", "sgd")]),
        sweep_arm("standard-sgd", &[("parametrization", "standard"), ("optimizer", "sgd")]),
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 2, full: 8 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        at_most(
            "Under muP the best rate of Adam moves by at most one doubling over widths",
            "shift",
            &["mup-adam"],
            1.0,
        ),
        at_most("Under muP the best rate of SGD moves by at most one doubling over widths", "shift", &["mup-sgd"], 1.0),
        reported(
            "Without it the best rate of Adam moves by at least two",
            "shift",
            Better::Higher,
            &["standard-adam"],
            &[],
            Judge::MeanAtLeast(2.0),
        ),
        reported(
            "At the rate tuned at width 16, the widest net has a lower loss under muP (Adam)",
            "transferred_loss",
            Better::Lower,
            &["mup-adam"],
            &["standard-adam"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        reported(
            "… and under SGD",
            "transferred_loss",
            Better::Lower,
            &["mup-sgd"],
            &["standard-sgd"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        at_most(
            "Under muP wider is better at the tuned rate (widths at which it is not)",
            "wider_is_worse",
            &["mup-adam"],
            0.0,
        ),
    ],
};
