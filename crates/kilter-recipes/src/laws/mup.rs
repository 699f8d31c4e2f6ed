//! Learning rates that hold at any width: sweeps of perceptrons on the digits and of transformers on text under muP and as
//! frameworks draw them, and how large what leaves a layer is over widths.
//!
//! Method: *Feature Learning in Infinite-Width Neural Networks* (Tensor Programs IV, 2020) and *Tensor Programs V* (2022);
//! the rules are [`kilter_laws::mup`]'s. Changed: the head's forward multiplier 1/m is folded into its weights, which gives
//! the same training: under Adam their deviation and rate are divided by m, under SGD (whose gradient carries a second m)
//! likewise. The transformer's head is tied to its table, so there the multiplier is folded into the last normalisation.
//! Its heads stay as wide as they are, and there are more of them, so that logits of attention need no factor. Without decay
//! nothing else depends on it.
//!
//! What is claimed of SGD fails here, and why: on the digits the standard parametrisation does not break yet. Its best rate
//! is 2^-1 at widths 64, 256 and 1024, and what a step changes grows with the width, so that after the same 20 steps wider
//! nets are ahead (losses 1.81, 1.45, 0.72), while muP keeps the narrow net's pace by design (1.81, 1.80, 1.77). A base of 16
//! is also so narrow that its best rate, 2^0, lies at the edge of what wider nets bear. Cost: a sweep is some dozens of trainings of 20 steps, or of 100 with a transformer.

use kilter_data::{Images, Pictures};
use kilter_laws::mup::{BaseValues, Dimension, Optimizer as Family, Tensor as Shape, rule_of_tensor};
use kilter_laws::power_law::LogLinear;
use kilter_nn::context::Context;
use kilter_nn::model::{Mlp, Network};
use kilter_nn::op::cross_entropy;
use kilter_nn::optim::{AdamConfig, Optimizer, SgdConfig};
use kilter_nn::params::{Params, Spec, numbers};
use kilter_nn::train::{Group, StepReport, Task, TrainConfig, Training, device};
use kilter_nn::{Device, Tensor, TensorData};
use kilter_numerics::Stream;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Flow, Outcome, Run};

use super::{Measuring, arm, entry, lower, reported, seed};
use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};
use crate::network::plain::{begun, configured, until};

/// The recipe of a sweep.
pub const SWEEP: &str = "mup-sweep";

/// The recipe of a coordinate check.
pub const COORDINATES: &str = "mup-coordinates";

/// Steps of each training of a perceptron, and examples of each.
const STEPS: u64 = 20;
const BATCH: usize = 256;

/// Steps of each training of a transformer, sequences of each, characters of a sequence, and the width of a head.
const TEXT_STEPS: u64 = 100;
const TEXT_BATCH: i64 = 16;
const TEXT_CONTEXT: i64 = 64;
const HEAD: usize = 16;

/// Learning rates, as powers of two.
const ADAM_RATES: std::ops::RangeInclusive<i32> = -11..=-3;
const SGD_RATES: std::ops::RangeInclusive<i32> = -8..=2;
const TEXT_RATES: std::ops::RangeInclusive<i32> = -10..=-5;

/// Widths of a coordinate check beyond its base, each twice the one before, and its steps.
const CHECKED: u32 = 3;
const CHECKED_STEPS: u64 = 5;

/// The recipe [`SWEEP`].
pub(super) fn sweep() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("network", "perceptron|transformer", "perceptron", "what is trained")?,
        entry("parametrization", "mup|standard", "mup", "what a width does to a layer")?,
        entry("optimizer", "adam|sgd", "adam", "who takes the steps of a perceptron")?,
        entry("base", "int:8..4096", 16_i64, "the width at which both are the same, and that is tuned")?,
        entry("doublings", "int:0..6", 2_i64, "widths beyond it, each `growth` times the one before")?,
        entry("growth", "2|4", 4_i64, "factor of the widths")?,
        seed("chance")?,
    ])?;
    let metrics = ["shift", "transferred_loss", "wider_is_worse"].map(lower).to_vec();
    Ok(Measuring { name: SWEEP, about: "learning rates over widths", outline, metrics, run })
}

/// The recipe [`COORDINATES`].
pub(super) fn coordinates() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("parametrization", "mup|standard", "mup", "what a width does to a layer")?,
        entry("optimizer", "adam|sgd", "adam", "who takes the steps")?,
        entry("base", "int:8..4096", 64_i64, "the smallest width")?,
        entry("rate", "int:-12..3", -6_i64, "the learning rate, as a power of two")?,
        seed("chance")?,
    ])?;
    let metrics = ["hidden_slope", "steepest_slope"].map(lower).to_vec();
    Ok(Measuring { name: COORDINATES, about: "sizes of activations over widths", outline, metrics, run: check })
}

/// The digits as rows from 0 to 1.
struct Digits {
    mlp: Mlp,
    pictures: Pictures,
    peak: f32,
}

impl Digits {
    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, Vec<i64>) {
        let size = self.mlp.widths[0];
        let pixels = rows.iter().flat_map(|&row| &self.pictures.pixels[row * size..(row + 1) * size]);
        let pixels: Vec<f32> = pixels.map(|&pixel| f32::from(pixel) / self.peak).collect();
        let classes = rows.iter().map(|&row| i64::from(self.pictures.labels[row])).collect();
        (Tensor::from_data(TensorData::new(pixels, [rows.len(), size]), device), classes)
    }
}

impl Task for Digits {
    fn examples(&self) -> usize {
        self.pictures.labels.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let (x, classes) = self.batch(examples, params.device());
        cross_entropy(self.mlp.forward(params, x, context), classes.into(), 0.0)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let all: Vec<usize> = (0..self.examples()).collect();
        let loss = self.loss(params, &all, &mut Context::evaluation());
        vec![("loss", numbers(&loss)[0])]
    }
}

/// A tensor's shape as the rules see it: what grows from the base network to this one is width. Tables of vectors are
/// `[rows, width]`, matrices `[outputs, inputs]`.
fn shape(spec: &Spec, base: &Spec) -> Shape {
    let side = |at: usize| Dimension {
        size: spec.shape[at] as u64,
        base: base.shape[at] as u64,
        width: spec.shape[at] != base.shape[at],
    };
    let is_table = ["tokens.", "positions."].iter().any(|table| spec.name.starts_with(table));
    let (fan_in, fan_out) = match (spec.shape.len(), is_table) {
        (1, _) => (None, side(0)),
        (_, true) => (Some(side(0)), side(1)),
        (_, false) => (Some(side(1)), side(0)),
    };
    Shape { name: spec.name.clone(), fan_in, fan_out }
}

/// Initial weights and groups of learning rates under muP, from what the network of the base width has. `tied` names the
/// normalisation before a head that is a table of vectors, where there is one.
fn parametrised(
    base: &[Spec],
    family: Family,
    tied: Option<&str>,
    mut params: Params,
) -> Result<(Params, Vec<Group>), Failure> {
    let specs = params.specs().to_vec();
    let mut groups = Vec::new();
    for (at, (spec, base)) in specs.iter().zip(base).enumerate() {
        let rule = rule_of_tensor(&shape(spec, base), family, &BaseValues::default()).map_err(Failure::refused)?;
        let before_tied_head = tied.is_some_and(|norm| spec.name.starts_with(norm));
        let multiplier = if before_tied_head { 1.0 / rule.m_out } else { rule.factors.multiplier };
        // A step of Adam on what was multiplied is divided by m, and one of SGD by m² of the rule's m.
        let folded = match family {
            Family::Adam => multiplier,
            Family::Sgd => multiplier * multiplier,
        };
        // What the network draws follows the width in its own way; the rule says by how much it should from the base on.
        let (drawn, at_base) = (spec.init.deviation(&spec.shape), base.init.deviation(&base.shape));
        let wanted = if drawn > 0.0 { rule.factors.init_std * at_base / drawn } else { 1.0 };
        let scaled = params.values()[at].clone() * (wanted * multiplier);
        params = params.with(&spec.name, scaled.detach().require_grad()).map_err(Failure::refused)?;
        let learning_rate = rule.factors.learning_rate * folded;
        groups.push(Group { name: spec.name.clone(), role: None, learning_rate, weight_decay: 1.0 });
    }
    Ok((params, groups))
}

fn family(config: &Config) -> Result<(Family, Optimizer), Failure> {
    Ok(match config.text("optimizer")? {
        "sgd" => (Family::Sgd, Optimizer::Sgd(SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.0 })),
        _ => (Family::Adam, Optimizer::Adam(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() })),
    })
}

/// A perceptron's training that has not begun, and the digits.
fn perceptron(
    config: &Config,
    images: &Images,
    [width, base]: [usize; 2],
    exponent: i32,
    steps: u64,
) -> Result<(Digits, Training), Failure> {
    let of = |width: usize| Mlp::new(&[64, width, width, 10]);
    let mlp = of(width);
    let on = device("cpu").map_err(Failure::refused)?;
    let seed = config.int("seed")?.unsigned_abs();
    let fresh = mlp.init(&Stream::new(&[seed], "weights"), &on);
    let (family, optimizer) = family(config)?;
    let (params, groups) = match config.text("parametrization")? {
        "mup" => parametrised(&of(base).specs(), family, None, fresh)?,
        _ => (fresh, Vec::new()),
    };
    let settings = TrainConfig {
        steps,
        batch: BATCH,
        learning_rate: f64::from(exponent).exp2(),
        optimizer,
        groups,
        clip: None,
        seed,
        ..TrainConfig::default()
    };
    let task = Digits { mlp, peak: f32::from(images.peak), pictures: images.train.clone() };
    Ok((task, Training::new(settings, params).map_err(Failure::refused)?))
}

/// The loss on all digits after some steps; infinite where the training broke down.
fn loss_of_digits(
    config: &Config,
    images: &Images,
    widths: [usize; 2],
    exponent: i32,
    run: &mut Run,
) -> Result<f64, Failure> {
    let (task, mut training) = perceptron(config, images, widths, exponent, STEPS)?;
    let mut last = f64::INFINITY;
    let ended = training.run(&task, None, &mut |report: &StepReport| {
        if let Some(&(_, found)) = report.evaluated.as_ref().and_then(|figures| figures.first()) {
            last = found;
        }
        run.flow() == Flow::Go
    });
    // A loss that is no number any more is a bad rate, no failure of the sweep.
    Ok(if ended.is_ok() && last.is_finite() { last } else { f64::INFINITY })
}

/// The loss of a transformer on text that it did not learn from; infinite where the training broke down.
fn loss_of_text(config: &Config, [width, base]: [usize; 2], exponent: i32, run: &mut Run) -> Result<f64, Failure> {
    let whole = |x: usize| i64::try_from(x).unwrap_or(i64::MAX).into();
    let seed = config.int("seed")?;
    let of = |width: usize| -> Result<_, Failure> {
        let set = [
            ("layers", 2_i64.into()),
            ("width", whole(width)),
            ("heads", whole(width / HEAD)),
            ("context", TEXT_CONTEXT.into()),
            ("batch", TEXT_BATCH.into()),
            ("learning_rate", f64::from(exponent).exp2().into()),
            ("schedule", "constant".into()),
            ("warmup", 0.0.into()),
            ("weight_decay", 1e-6.into()),
            ("clip", 0.0.into()),
            ("split_seed", seed.into()),
        ];
        begun("char-gpt", &configured("char-gpt", "penelope", &set)?, TEXT_STEPS, None)
    };
    let (task, mut training) = of(width)?;
    if config.text("parametrization")? == "mup" {
        let specs = of(base)?.1.params().specs().to_vec();
        let (params, groups) = parametrised(&specs, Family::Adam, Some("norm."), training.params().clone())?;
        let settings = TrainConfig { groups, ..training.config().clone() };
        training = Training::new(settings, params).map_err(Failure::refused)?;
    }
    match until(&mut training, &task, TEXT_STEPS, run) {
        Ok(()) => Ok(task.loss_of_result(&training)),
        Err(_) if run.flow() == Flow::Go => Ok(f64::INFINITY),
        Err(why) => Err(why),
    }
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let images = kilter_data::images("digits").map_err(Failure::refused)?;
    let base = config.int("base")?.unsigned_abs() as usize;
    let growth = config.int("growth")?.unsigned_abs() as usize;
    let count = config.int("doublings")?.unsigned_abs() as usize + 1;
    let widths: Vec<usize> = std::iter::successors(Some(base), |width| Some(width * growth)).take(count).collect();
    let writes = config.text("network")? == "transformer";
    let rates: Vec<i32> = match (writes, config.text("optimizer")?) {
        (true, _) => TEXT_RATES.collect(),
        (false, "sgd") => SGD_RATES.collect(),
        (false, _) => ADAM_RATES.collect(),
    };
    let mut losses: Vec<Vec<f64>> = Vec::new();
    for (at, &width) in widths.iter().enumerate() {
        let mut of = |&rate: &i32| match writes {
            true => loss_of_text(config, [width, base], rate, run),
            false => loss_of_digits(config, &images, [width, base], rate, run),
        };
        let found = rates.iter().map(&mut of).collect::<Result<Vec<f64>, Failure>>()?;
        run.remark(format!(
            "width {width}: losses {found:.4?} at rates 2^{} to 2^{}",
            rates[0],
            rates[rates.len() - 1]
        ));
        losses.push(found);
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

/// How the mean size of what leaves each layer grows with the width, before the first step and after each: the exponent
/// furthest from 0 of the hidden layers after a step, and the largest anywhere.
fn check(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let images = kilter_data::images("digits").map_err(Failure::refused)?;
    let base = config.int("base")?.unsigned_abs() as usize;
    let rate = i32::try_from(config.int("rate")?).map_err(Failure::refused)?;
    let widths: Vec<usize> = (0..=CHECKED).map(|k| base << k).collect();
    let rows: Vec<usize> = (0..BATCH).collect();
    // By width, then by step, then by layer.
    let mut sizes: Vec<Vec<Vec<f64>>> = Vec::new();
    for &width in &widths {
        let (task, mut training) = perceptron(config, &images, [width, base], rate, CHECKED_STEPS + 1)?;
        let mut of_steps = Vec::new();
        for step in 0..=CHECKED_STEPS {
            if step > 0 {
                let ran = training.run(&task, None, &mut |report: &StepReport| report.step < step);
                ran.map_err(Failure::refused)?;
            }
            let params = training.params().detached();
            let mut layers = Vec::new();
            let look = |place: &str, x: Tensor<2>| {
                if place.ends_with(":out") {
                    let all = numbers(&x);
                    layers.push(all.iter().map(|x| x.abs()).sum::<f64>() / all.len() as f64);
                }
                x
            };
            let (x, _) = task.batch(&rows, params.device());
            task.mlp.forward(&params, x, &mut Context::evaluation().with_hook(look));
            of_steps.push(layers);
        }
        sizes.push(of_steps);
        if let Flow::Stop(why) = run.flow() {
            return Err(Failure::refused(why));
        }
    }
    let axis: Vec<f64> = widths.iter().map(|&width| width as f64).collect();
    let (mut hidden, mut steepest) = (0.0_f64, f64::NEG_INFINITY);
    for step in 0..=CHECKED_STEPS as usize {
        let layers = sizes[0][step].len();
        for layer in 0..layers {
            let of_widths: Vec<f64> = sizes.iter().map(|of_width| of_width[step][layer]).collect();
            let slope = LogLinear::fit(&[&axis], &of_widths).map_err(Failure::refused)?.coefficients[1];
            steepest = steepest.max(slope);
            if step > 0 && layer + 1 < layers {
                hidden = hidden.max(slope.abs());
            }
        }
    }
    Ok(Outcome::new([("hidden_slope", hidden), ("steepest_slope", steepest)]))
}

const fn sweep_arm(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    arm(name, SWEEP, set)
}

/// Transformers take minutes.
const fn of_text(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { only_full: true, costly: Some(Costly { first: 0, seeds: 3, trials: 0 }), ..arm(name, SWEEP, set) }
}

const fn at_most(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "mup",
    title: "Learning rates over widths, under muP and as frameworks draw weights: the digits, and with --full text",
    arms: &[
        sweep_arm("mup-adam", &[("parametrization", "mup"), ("optimizer", "adam")]),
        sweep_arm("standard-adam", &[("parametrization", "standard"), ("optimizer", "adam")]),
        sweep_arm("mup-sgd", &[("parametrization", "mup"), ("optimizer", "sgd")]),
        sweep_arm("standard-sgd", &[("parametrization", "standard"), ("optimizer", "sgd")]),
        arm("mup-coordinates", COORDINATES, &[("parametrization", "mup")]),
        arm("standard-coordinates", COORDINATES, &[("parametrization", "standard")]),
        of_text(
            "mup-transformer",
            &[("network", "transformer"), ("parametrization", "mup"), ("base", "32"), ("growth", "2")],
        ),
        of_text(
            "standard-transformer",
            &[("network", "transformer"), ("parametrization", "standard"), ("base", "32"), ("growth", "2")],
        ),
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
        at_most(
            "Under muP what leaves hidden layers is as large at any width after five steps of Adam (exponent of the width)",
            "hidden_slope",
            &["mup-coordinates"],
            0.1,
        ),
        at_most("… and nothing grows with the width", "steepest_slope", &["mup-coordinates"], 0.1),
        reported(
            "Without it something grows",
            "steepest_slope",
            Better::Higher,
            &["standard-coordinates"],
            &[],
            Judge::MeanAtLeast(0.1),
        ),
        at_most(
            "Under muP the best rate of a transformer moves by at most one doubling over widths 32, 64 and 128",
            "shift",
            &["mup-transformer"],
            1.0,
        ),
        reported(
            "Without it that moves by at least two",
            "shift",
            Better::Higher,
            &["standard-transformer"],
            &[],
            Judge::MeanAtLeast(2.0),
        ),
        reported(
            "At the rate tuned at width 32, the widest transformer has a lower loss under muP",
            "transferred_loss",
            Better::Lower,
            &["mup-transformer"],
            &["standard-transformer"],
            Judge::Beats { margin: 0.0, confidence: 0.95 },
        ),
        at_most(
            "Under muP a wider transformer is better at the tuned rate",
            "wider_is_worse",
            &["mup-transformer"],
            0.0,
        ),
    ],
};
