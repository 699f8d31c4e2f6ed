//! Soups of digits: sixteen trainings from one start on a shifted, noisy target, averaged in every way there is.
//!
//! Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
//! inference time* (ICML 2022). A perceptron 64-128-128-10 learns 600 digits; each candidate goes on on 200 blurred and noisy
//! ones, with hyperparameters drawn at random; 400 choose, 597 judge. Cost: about 2,300 steps of a small network a seed.

use kilter_measure::landscape::{angle, barrier, correlation};
use kilter_nn::mixture::Mixture;
use kilter_nn::model::{Mlp, Network};
use kilter_nn::optim::{AdamConfig, Optimizer};
use kilter_nn::params::Params;
use kilter_nn::schedule::{Schedule, Shape};
use kilter_nn::train::TrainConfig;
use kilter_numerics::Stream;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};
use kilter_weights::soup::{Accept, Better as Which, GreedyConfig, greedy, uniform};
use kilter_weights::{Checkpoint, Options};

use super::{Lesson, Rows, accuracy, loaded, log_loss, logits, mean, saved, trainer};
use crate::claim::{Claim, Judge, Reproduction, Scaled};
use crate::measuring::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::network::soup::{Learning, mix};

/// The recipe of one seed's soups.
pub const SOUPS: &str = "digit-soups";

/// Models whose pairs tell of flatness.
const PAIRED: usize = 8;

/// The recipe [`SOUPS`].
pub(super) fn soups() -> Result<Measuring, SpaceError> {
    let outline =
        Outline::new(vec![entry("candidates", "int:2..72", 16_i64, "trainings from one start")?, seed("chance")?])?;
    let mut metrics: Vec<_> = [
        "greedy_over_best",
        "greedy_over_best_held_out",
        "uniform_over_mean",
        "greedy_over_ensemble",
        "greedy_over_uniform",
        "learned_over_mean",
        "base_accuracy",
        "mean_accuracy",
        "best_accuracy",
        "uniform_accuracy",
        "greedy_accuracy",
        "learned_accuracy",
        "ensemble_accuracy",
        "ingredients",
        "strangers_loss",
        "barrier_of_strangers",
        "flatness_correlation",
        "angle_correlation",
    ]
    .map(higher)
    .to_vec();
    metrics.extend(["uniform_below_mean", "barrier_of_siblings"].map(lower));
    Ok(Measuring { name: SOUPS, about: "soups of digits", outline, metrics, run })
}

/// The target: blurred along the rows, and noisy.
fn shifted(rows: &Rows, stream: &mut Stream) -> Rows {
    rows.mapped(|picture| {
        let blurred = |at: usize| 0.5 * picture[at] + if at.is_multiple_of(8) { 0.0 } else { 0.5 * picture[at - 1] };
        (0..picture.len()).map(|at| blurred(at) + (0.35 * stream.normal()) as f32).collect()
    })
}

/// AdamW for so many epochs.
fn settings(rows: &Rows, epochs: u64, batch: usize, rate: f64, decay: f64, shape: Shape, seed: u64) -> TrainConfig {
    TrainConfig {
        steps: (epochs * rows.count() as u64).div_ceil(batch as u64),
        batch,
        learning_rate: rate,
        schedule: Schedule { warmup: 0.0, shape, ..Schedule::default() },
        optimizer: Optimizer::Adam(AdamConfig { weight_decay: decay, decoupled: true, ..AdamConfig::default() }),
        clip: None,
        seed,
        ..TrainConfig::default()
    }
}

/// Where everybody begins.
fn pretrained(mlp: &Mlp, rows: &Rows, stream: &Stream, run: &mut Run) -> Result<Params, Failure> {
    let fresh = mlp.init(&stream.child("weights"), &trainer()?);
    let lesson = Lesson { noise: 0.25, ..Lesson::plain(mlp, rows) };
    let seed = stream.child("pretraining").bits();
    lesson.taught(&fresh, settings(rows, 60, 64, 2e-3, 1e-2, Shape::Constant, seed), run)
}

/// One candidate, with hyperparameters drawn around good ones.
fn tuned(mlp: &Mlp, rows: &Rows, base: &Params, stream: &mut Stream, run: &mut Run) -> Result<Params, Failure> {
    let mut uniform = |low: f64, high: f64| low + (high - low) * stream.uniform();
    let (rate, decay) = (10_f64.powf(uniform(-3.5, -2.6)), 10_f64.powf(uniform(-4.0, -0.5)));
    let epochs = [10, 20, 30][stream.index(3)];
    let smoothing = [0.0, 0.1][stream.index(2)];
    let mixup = stream.index(2) == 1;
    let noise = [0.0, 0.1, 0.3][stream.index(3)];
    let lesson = Lesson { mlp, rows, noise, smoothing, mixup };
    let seed = stream.bits();
    lesson.taught(base, settings(rows, epochs, 32, rate, decay, Shape::Cosine { floor: 0.0 }, seed), run)
}

/// The weights so far on the way from `a` to `b`.
fn between(a: &Params, b: &Params, t: f64) -> Result<Params, Failure> {
    let (from, to) = (a.flat(), b.flat());
    let flat: Vec<f64> = from.iter().zip(&to).map(|(from, to)| (1.0 - t) * from + t * to).collect();
    a.with_flat(&flat).map_err(Failure::refused)
}

/// What a pair of networks tells: measured and predicted loss of their soup beyond their ensemble, the angle between them,
/// and what the soup gains over them.
struct Pair {
    measured: f64,
    predicted: f64,
    angle: f64,
    gain: f64,
}

/// The paper's equation 3 at alpha = 1/2 and beta = 1: L_soup - L_ens is about
/// alpha (1 - alpha) / 2 (-d²L/dalpha² + beta² E_x Var_{Y~p}(f_Y(x; b) - f_Y(x; a))).
fn pair(mlp: &Mlp, base: &[f64], a: &Params, b: &Params, rows: &Rows) -> Result<Pair, Failure> {
    let at = |t: f64| Ok::<_, Failure>(logits(mlp, &between(a, b, t)?, rows));
    let (first, soup, second) = (at(0.0)?, at(0.5)?, at(1.0)?);
    let loss = |logits: &[f64]| log_loss(logits, &rows.labels);
    let ensemble: Vec<f64> = first.iter().zip(&second).map(|(a, b)| 0.5 * (a + b)).collect();
    let curvature = (loss(&at(0.25)?) - 2.0 * loss(&soup) + loss(&at(0.75)?)) / 0.0625;
    let classes = first.len() / rows.count();
    let variance = |row: usize| {
        let stretch = row * classes..(row + 1) * classes;
        let top = soup[stretch.clone()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sums = [0.0; 3];
        for i in stretch {
            let (p, apart) = ((soup[i] - top).exp(), second[i] - first[i]);
            sums = [sums[0] + p, sums[1] + p * apart, sums[2] + p * apart * apart];
        }
        sums[2] / sums[0] - (sums[1] / sums[0]).powi(2)
    };
    let variance = mean((0..rows.count()).map(variance));
    Ok(Pair {
        measured: loss(&soup) - loss(&ensemble),
        predicted: 0.125 * (variance - curvature),
        angle: angle(base, &a.flat(), &b.flat()).unwrap_or(0.0),
        gain: 0.5 * (loss(&first) + loss(&second)) - loss(&soup),
    })
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let seed = config.int("seed")?.unsigned_abs();
    let candidates = config.int("candidates")?.unsigned_abs() as usize;
    let stream = Stream::new(&[seed], "soups of digits");
    let digits = Rows::digits()?;
    let mut order: Vec<usize> = (0..digits.count()).collect();
    stream.child("order").shuffle(&mut order);
    let source = digits.picked(&order[..600]);
    let target = shifted(&digits.picked(&order[600..]), &mut stream.child("target"));
    let part = |from: usize, to: usize| target.picked(&(from..to).collect::<Vec<_>>());
    let (learn, held_out, test) = (part(0, 200), part(200, 600), part(600, target.count()));

    let mlp = Mlp::new(&[64, 128, 128, 10]);
    let base = pretrained(&mlp, &source, &stream, run)?;
    let mut draws = stream.child("candidates");
    let mut models = Vec::with_capacity(candidates);
    for done in 0..candidates {
        models.push(tuned(&mlp, &learn, &base, &mut draws, run)?);
        run.progress(done as u64 + 1, candidates as u64 + 1);
    }
    let scored = |params: &Params, rows: &Rows| accuracy(&logits(&mlp, params, rows), &rows.labels);
    let on_test = |params: &Params| scored(params, &test);

    // Soups of files, as anybody would make them.
    let folder = tempfile::tempdir().map_err(Failure::refused)?;
    let file = |name: &str| folder.path().join(format!("{name}.safetensors"));
    let files: Vec<Checkpoint> =
        models.iter().enumerate().map(|(at, model)| saved(model, &file(&at.to_string()))).collect::<Result<_, _>>()?;
    let files: Vec<&Checkpoint> = files.iter().collect();
    let options = Options::default();
    uniform(&files, None, &file("uniform"), &options).map_err(Failure::refused)?;
    let choice = GreedyConfig { better: Which::Higher, accept: Accept::NotWorse, max_ingredients: None };
    let score = |path: &std::path::Path| {
        loaded(&base, path).map(|params| scored(&params, &held_out)).map_err(|why| why.to_string())
    };
    let chosen = greedy(&files, choice, None, &file("greedy"), &options, score).map_err(Failure::refused)?.greedy;
    let (of_all, of_chosen) = (loaded(&base, &file("uniform"))?, loaded(&base, &file("greedy"))?);
    let best = &models[chosen.order[0]];
    let best_held_out = chosen.single_scores[chosen.order[0]];

    let device = trainer()?;
    let mixture = Mixture::new(&models, &device).map_err(Failure::refused)?;
    let how = Learning { learning_rate: 0.05, epochs: 5, per_tensor: true, seed };
    let held = |params: &Params, rows: &[usize], context: &mut kilter_nn::context::Context<'_>| {
        let x = held_out.batch(rows, params.device());
        (mlp.forward(params, x, context), held_out.classes(rows).into())
    };
    let (learned, _) = mix(&mixture, &held, held_out.count(), how, &device, &mut |_, _| true)?;

    let singles: Vec<f64> = models.iter().map(&on_test).collect();
    let mut together = vec![0.0; test.count() * 10];
    for model in &models {
        together.iter_mut().zip(logits(&mlp, model, &test)).for_each(|(sum, logit)| *sum += logit);
    }
    let ensemble = accuracy(&together, &test.labels);
    let (mean_single, best_single) = (mean(singles), on_test(best));
    let (uniform_soup, greedy_soup, learned_soup) = (on_test(&of_all), on_test(&of_chosen), on_test(&learned));

    // Strangers: the same training from another start.
    let clean = digits.picked(&order[600..]);
    let stranger = pretrained(&mlp, &source, &stream.child("stranger"), run)?;
    let halves = scored(&between(&base, &stranger, 0.5)?, &clean);
    let strangers_loss = 0.5 * (scored(&base, &clean) + scored(&stranger, &clean)) - halves;
    let path = |a: &Params, b: &Params, rows: &Rows| {
        let loss = |step: u32| Ok(log_loss(&logits(&mlp, &between(a, b, f64::from(step) / 10.0)?, rows), &rows.labels));
        Ok::<_, Failure>(barrier(&(0..=10).map(loss).collect::<Result<Vec<f64>, Failure>>()?))
    };
    let start = base.flat();
    let mut pairs = Vec::new();
    for (at, a) in models.iter().take(PAIRED).enumerate() {
        for b in &models[at + 1..models.len().min(PAIRED)] {
            pairs.push(pair(&mlp, &start, a, b, &test)?);
        }
    }
    let column = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
    let together = |x: fn(&Pair) -> f64, y: fn(&Pair) -> f64| correlation(&column(x), &column(y)).unwrap_or(0.0);
    Ok(Outcome::new([
        ("greedy_over_best", greedy_soup - best_single),
        ("greedy_over_best_held_out", chosen.score - best_held_out),
        ("uniform_over_mean", uniform_soup - mean_single),
        ("uniform_below_mean", f64::from(u8::from(uniform_soup <= mean_single))),
        ("greedy_over_ensemble", greedy_soup - ensemble),
        ("greedy_over_uniform", greedy_soup - uniform_soup),
        ("learned_over_mean", learned_soup - mean_single),
        ("base_accuracy", on_test(&base)),
        ("mean_accuracy", mean_single),
        ("best_accuracy", best_single),
        ("uniform_accuracy", uniform_soup),
        ("greedy_accuracy", greedy_soup),
        ("learned_accuracy", learned_soup),
        ("ensemble_accuracy", ensemble),
        ("ingredients", chosen.ingredients.len() as f64),
        ("strangers_loss", strangers_loss),
        ("barrier_of_siblings", path(&models[0], &models[1], &test)?),
        ("barrier_of_strangers", path(&base, &stranger, &clean)?),
        ("flatness_correlation", together(|pair| pair.predicted, |pair| pair.measured)),
        ("angle_correlation", together(|pair| pair.angle, |pair| pair.gain)),
    ]))
}

const ARM: &str = "digits";

const fn at_least(sentence: &'static str, metric: &'static str, bound: f64) -> Claim {
    reported(sentence, metric, Better::Higher, &[ARM], &[], Judge::MeanAtLeast(bound))
}

const fn at_most(sentence: &'static str, metric: &'static str, bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, &[ARM], &[], Judge::MeanAtMost(bound))
}

/// The claims. Accuracies are shares of 597 test pictures; each metric is a difference within one seed, so that its
/// interval is a paired one.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "model-soups",
    title: "Soups of sixteen networks tuned from one start on shifted digits, beside the best of them and their ensemble",
    arms: &[arm(ARM, SOUPS, &[])],
    seed_setting: "seed",
    seeds: Scaled { quick: 4, full: 10 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        Claim {
            gate: true,
            ..at_least(
                "On the pictures that choose, a greedy soup is never below the best single network",
                "greedy_over_best_held_out",
                0.0,
            )
        },
        at_least("On the test it is at most 0.3 points behind the best single network", "greedy_over_best", -0.003),
        at_least("A uniform soup is half a point above the mean of its networks", "uniform_over_mean", 0.005),
        at_most("… and above it for every seed (share of seeds where it is not)", "uniform_below_mean", 0.0),
        at_least("A greedy soup is at most half a point behind the ensemble of all", "greedy_over_ensemble", -0.005),
        at_least("A learned soup is half a point above the mean of its networks", "learned_over_mean", 0.005),
        at_least("Networks of different starts lose 20 points when averaged", "strangers_loss", 0.2),
        at_most("Between siblings the loss hardly rises (nats)", "barrier_of_siblings", 0.05),
        at_least("Between strangers it does (nats)", "barrier_of_strangers", 0.5),
        at_least(
            "Curvature and the networks' disagreement predict a soup's loss beyond the ensemble's (correlation over pairs)",
            "flatness_correlation",
            0.5,
        ),
        at_least(
            "The larger the angle between two networks, the more their soup gains (correlation over pairs)",
            "angle_correlation",
            0.0,
        ),
        at_least(
            "A greedy soup is above the best single network, as published for ImageNet (81.03 against 80.39 %)",
            "greedy_over_best",
            0.0,
        ),
    ],
};
