//! Trained networks in few bits: power grids beside uniform and logarithmic ones, found without data and learned with it.
//!
//! Yvinec, Dapogny and Bailly, *NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search* (2023) and
//! *PowerQuant* (ICLR 2023). Subjects are the recipes `mlp`, `cnn` and `char-gpt` as they train, judged by what they never
//! saw, and with `--full` a pretrained sentence encoder. Errors are root mean squares of logits against the float network's.
//! Cost: one training and some thousand steps on single layers a seed.

use std::path::{Path, PathBuf};

use kilter_nn::context::Context;
use kilter_nn::params::{Params, numbers};
use kilter_nn::quantize::LearnConfig;
use kilter_nn::train::{load_weights, save_weights};
use kilter_numerics::Stream;
use kilter_space::{Config, Defaults, Outline, SpaceError, Value};
use kilter_study::{Better, Failure, Outcome, Recipe, Run};
use kilter_weights::quantize::{Curve, QuantizeConfig, quantize, quantize_with};
use kilter_weights::{Checkpoint, Options};

use super::mean;
use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};
use crate::measuring::{Measuring, arm, entry, higher, lower, reported, seed};
use crate::network::activations::Activations;
use crate::network::minilm;
use crate::network::quantize::rounded;
use crate::network::soup::Logits;
use crate::network::{MODEL, Network, Part, Rounding, Subject, Trained, exponents};

/// The recipe of one network in few bits.
pub const BITS: &str = "network-bits";

/// Windows or pictures that judge, at most.
const JUDGES: usize = 512;

/// Examples that calibrate.
const CALIBRATION: usize = 512;

/// The recipe [`BITS`].
pub(super) fn bits() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("subject", "mlp|cnn|char-gpt", "mlp", "which network")?,
        entry("bits", "int:2..8", 4_i64, "bits of a weight")?,
        entry("steps", "int:1..20000", 2000_i64, "steps that learn the codes of a layer")?,
        entry("neighbours", "true|false", true, "are AdaRound and GPTQ measured, too?")?.setting(),
        seed("chance")?,
    ])?;
    let mut metrics: Vec<_> = [
        "error_over_uniform",
        "log_over_uniform",
        "nupes_over_power",
        "adaround_over_uniform",
        "nupes_over_adaround",
        "gptq_over_uniform",
        "nupes_over_gptq",
        "accuracy_lost",
        "accuracy_lost_uniform",
        "accuracy_lost_nupes",
        "accuracy_lost_in_integers",
        "accuracy_lost_w4a8",
        "loss_added",
        "loss_added_uniform",
        "loss_added_nupes",
        "integer_gap",
        "size_over_float",
        "size_over_theory",
        "mean_exponent",
    ]
    .map(lower)
    .to_vec();
    metrics.push(higher("float_accuracy"));
    Ok(Measuring { name: BITS, about: "a network in few bits", outline, metrics, run })
}

/// A network as its recipe trains it; the pictures or characters that judge it were never seen.
fn trained(name: &str, seed: i64, folder: &Path) -> Result<PathBuf, Failure> {
    let recipe = Network::new(name).ok_or_else(|| Failure::refused(format!("there is no network `{name}`")))?;
    let mut set: Vec<(String, Value)> = vec![
        ("split_seed".to_owned(), seed.into()),
        ("score_on".to_owned(), "test".into()),
        ("checkpoint_every".to_owned(), 0_i64.into()),
    ];
    let further: &[(&str, Value)] = match name {
        "mlp" => &[("width", Value::Int(128)), ("layers", Value::Int(2)), ("epochs", Value::Int(60))],
        "cnn" => &[("channels", Value::Int(8)), ("epochs", Value::Int(20)), ("learning_rate", Value::Float(5e-3))],
        _ => &[
            ("width", Value::Int(64)),
            ("heads", Value::Int(2)),
            ("context", Value::Int(32)),
            ("steps", Value::Int(300)),
            ("learning_rate", Value::Float(0.01)),
        ],
    };
    set.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let outline =
        kilter_space::Walk::outline(&recipe).ok_or_else(|| Failure::refused("a network declares its space"))?;
    let config = Defaults::config(&outline.specialise(&set, &[])?)?;
    recipe.run(&config, &mut Run::offline(seed.unsigned_abs()).with_folder(folder.to_owned()))?;
    Ok(folder.join(MODEL))
}

/// A network, and what it says of the examples that judge.
struct Lab<'a> {
    subject: &'a dyn Subject,
    rows: Vec<usize>,
    classes: Vec<i64>,
    /// The float network's logits.
    float: Vec<f64>,
    width: usize,
}

impl<'a> Lab<'a> {
    fn new(subject: &'a dyn Subject, params: &Params) -> Self {
        let rows: Vec<usize> = (0..subject.count(Part::Judge).min(JUDGES)).collect();
        let mut lab = Self { subject, rows, classes: Vec::new(), float: Vec::new(), width: 1 };
        for rows in lab.rows.chunks(64) {
            let (logits, classes) = subject.logits(Part::Judge, params, rows, &mut Context::evaluation());
            lab.width = logits.dims()[1];
            lab.classes.extend(classes.iter());
            lab.float.extend(numbers(&logits));
        }
        lab
    }

    /// Logits under these weights, linear layers fed as said.
    fn logits(&self, params: &Params, activations: Option<&Activations>) -> Vec<f64> {
        let mut all = Vec::new();
        for rows in self.rows.chunks(64) {
            let mut context = activations.map_or_else(Context::evaluation, Activations::pass);
            all.extend(numbers(&self.subject.logits(Part::Judge, params, rows, &mut context).0));
        }
        all
    }

    fn error(&self, logits: &[f64]) -> f64 {
        mean(logits.iter().zip(&self.float).map(|(a, b)| (a - b).powi(2))).sqrt()
    }

    fn accuracy(&self, logits: &[f64]) -> f64 {
        let likeliest = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        let right =
            logits.chunks(self.width).zip(&self.classes).filter(|(row, class)| likeliest(row) as i64 == **class);
        right.count() as f64 / self.classes.len().max(1) as f64
    }

    fn loss(&self, logits: &[f64]) -> f64 {
        mean(logits.chunks(self.width).zip(&self.classes).map(|(row, &class)| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            top + row.iter().map(|x| (x - top).exp()).sum::<f64>().ln() - row[class as usize]
        }))
    }

    /// The largest less the least logit of the float network.
    fn range(&self) -> f64 {
        let ends = self.float.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        ends.1 - ends.0
    }
}

fn run(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (name, seed) = (config.text("subject")?.to_owned(), config.int("seed")?);
    let bits = config.int("bits")?.unsigned_abs() as u32;
    let folder = tempfile::tempdir().map_err(Failure::refused)?;
    let file = |name: &str| folder.path().join(name);
    let path = trained(&name, seed, folder.path())?;
    run.progress(1, 3);
    let open = |path: &Path| Checkpoint::open(path).map_err(Failure::refused);
    let (float_file, network) = (open(&path)?, Trained::open(&path, "cpu")?);
    let (params, subject) = (network.params(), network.subject(None)?);
    let lab = Lab::new(&*subject, params);
    let of = |path: &Path| load_weights(params, path).map_err(Failure::refused);

    let options = Options::default();
    let plain = QuantizeConfig { bits, ..QuantizeConfig::default() };
    let made = |curve, name: &str| {
        let target = file(name);
        let config = QuantizeConfig { curve, ..plain };
        let report = quantize(&float_file, &config, &target, &options).map_err(Failure::refused)?;
        Ok::<_, Failure>((of(&target)?, report, target))
    };
    let (power, report, power_file) = made(Curve::Power, "power.safetensors")?;
    let (uniform, ..) = made(Curve::Uniform, "uniform.safetensors")?;
    let (log, ..) = made(Curve::Log, "log.safetensors")?;

    let mut chosen: Vec<usize> = (0..subject.count(Part::Learn)).collect();
    Stream::new(&[seed.unsigned_abs()], "calibration").shuffle(&mut chosen);
    chosen.truncate(CALIBRATION);
    let on_learnt: &Logits<'_> = &|params, rows, context| subject.logits(Part::Learn, params, rows, context);
    let how = LearnConfig {
        bits,
        steps: config.int("steps")?.unsigned_abs(),
        seed: seed.unsigned_abs(),
        ..LearnConfig::default()
    };
    let (weights, layers) = rounded(params, on_learnt, &chosen, Rounding::Nupes, &how, &mut |_, _| true)?;
    // Through a file, as anybody's would be.
    save_weights(&weights, &file("learned.safetensors"), &std::collections::BTreeMap::new())
        .map_err(Failure::refused)?;
    let packed = file("nupes.safetensors");
    quantize_with(&open(&file("learned.safetensors"))?, &plain, &exponents(&layers), &packed, &options)
        .map_err(Failure::refused)?;
    let nupes = of(&packed)?;
    run.progress(2, 3);

    let [of_power, of_uniform, of_log, of_nupes] =
        [&power, &uniform, &log, &nupes].map(|params| lab.logits(params, None));
    let (float_accuracy, float_loss) = (lab.accuracy(&lab.float), lab.loss(&lab.float));
    let [error, error_uniform, error_log, error_nupes] =
        [&of_power, &of_uniform, &of_log, &of_nupes].map(|logits| lab.error(logits));
    let coded: f64 = report.quality.iter().map(|tensor| tensor.bytes_after as f64).sum();
    let entries = |tensor: &kilter_weights::quantize::TensorQuality| tensor.shape.iter().product::<u64>() as f64;
    let theory = |tensor: &kilter_weights::quantize::TensorQuality| {
        // Codes, a scale for each row, an exponent.
        entries(tensor) * f64::from(bits) / 8.0 + 4.0 * (tensor.shape.first().copied().unwrap_or(1) + 1) as f64
    };
    let mut metrics = vec![
        ("error_over_uniform", error / error_uniform),
        ("log_over_uniform", error_log / error_uniform),
        ("nupes_over_power", error_nupes / error),
        ("float_accuracy", float_accuracy),
        ("accuracy_lost", float_accuracy - lab.accuracy(&of_power)),
        ("accuracy_lost_uniform", float_accuracy - lab.accuracy(&of_uniform)),
        ("accuracy_lost_nupes", float_accuracy - lab.accuracy(&of_nupes)),
        ("accuracy_lost_w4a8", float_accuracy - lab.accuracy(&lab.logits(&nupes, Some(&Activations::simulated(8))))),
        ("loss_added", lab.loss(&of_power) - float_loss),
        ("loss_added_uniform", lab.loss(&of_uniform) - float_loss),
        ("loss_added_nupes", lab.loss(&of_nupes) - float_loss),
        ("size_over_float", coded / report.quality.iter().map(|tensor| tensor.bytes_before as f64).sum::<f64>()),
        ("size_over_theory", coded / report.quality.iter().map(theory).sum::<f64>()),
        ("mean_exponent", mean(report.quality.iter().map(|tensor| tensor.exponent))),
    ];
    if config.flag("neighbours")? {
        let error_of = |rounding: Rounding, name: &str| {
            let (weights, _) = rounded(params, on_learnt, &chosen, rounding, &how, &mut |_, _| true)?;
            let floats = file("rounded.safetensors");
            save_weights(&weights, &floats, &std::collections::BTreeMap::new()).map_err(Failure::refused)?;
            // What is no linear layer is on the uniform grid, too.
            let (packed, uniformly) = (file(name), QuantizeConfig { curve: Curve::Uniform, ..plain });
            quantize(&open(&floats)?, &uniformly, &packed, &options).map_err(Failure::refused)?;
            Ok::<_, Failure>(lab.error(&lab.logits(&of(&packed)?, None)))
        };
        let error_rounded = error_of(Rounding::Adaround, "adaround.safetensors")?;
        metrics.push(("adaround_over_uniform", error_rounded / error_uniform));
        metrics.push(("nupes_over_adaround", error_nupes / error_rounded));
        let error_fed = error_of(Rounding::Gptq, "gptq.safetensors")?;
        metrics.push(("gptq_over_uniform", error_fed / error_uniform));
        metrics.push(("nupes_over_gptq", error_nupes / error_fed));
    }
    if name == "mlp" {
        let model = open(&power_file)?;
        let by_integers = lab.logits(&power, Some(&Activations::integers(&model, &power, 8)));
        let simulated = lab.logits(&power, Some(&Activations::simulated(8)));
        let gap = by_integers.iter().zip(&simulated).fold(0.0_f64, |gap, (a, b)| gap.max((a - b).abs()));
        metrics.push(("integer_gap", gap / lab.range()));
        metrics.push(("accuracy_lost_in_integers", float_accuracy - lab.accuracy(&by_integers)));
    }
    Ok(Outcome::new(metrics))
}

const fn at_most(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    reported(sentence, metric, Better::Lower, arm, &[], Judge::MeanAtMost(bound))
}

const fn only_full(arm: Arm) -> Arm {
    Arm { only_full: true, ..arm }
}

/// all-MiniLM-L6-v2 on the pairs of sentences of the STS benchmark; there is no chance in it.
const fn of_minilm(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm { only_full: true, costly: Some(Costly { first: 0, seeds: 1, trials: 0 }), ..arm(name, minilm::BITS, set) }
}

/// The claims. Errors are root mean squares of logits; ratios are within one seed.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "nupes",
    title: "Trained networks in 4, 3 and 2 bits: power grids beside uniform, logarithmic and learned ones",
    arms: &[
        arm("mlp-w4", BITS, &[("subject", "mlp"), ("bits", "4"), ("neighbours", "false")]),
        arm("mlp-w3", BITS, &[("subject", "mlp"), ("bits", "3")]),
        only_full(arm("mlp-w2", BITS, &[("subject", "mlp"), ("bits", "2"), ("neighbours", "false")])),
        only_full(arm("cnn-w4", BITS, &[("subject", "cnn"), ("bits", "4"), ("neighbours", "false")])),
        of_minilm("minilm-w8", &[("bits", "8")]),
        of_minilm("minilm-w4", &[("bits", "4")]),
        only_full(arm("gpt-w4", BITS, &[("subject", "char-gpt"), ("bits", "4"), ("neighbours", "false")])),
    ],
    seed_setting: "seed",
    seeds: Scaled { quick: 2, full: 5 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        at_most("In 4 bits a power grid's error is 10 % below a uniform one's", "error_over_uniform", &["mlp-w4"], 0.9),
        at_most("… and costs at most half a point of accuracy", "accuracy_lost", &["mlp-w4"], 0.005),
        at_most("In 3 bits it is below, too", "error_over_uniform", &["mlp-w3"], 1.0),
        at_most(
            "Codes and exponents learned with data have a lower error (4 bits)",
            "nupes_over_power",
            &["mlp-w4"],
            1.0,
        ),
        at_most("… in 3 bits, too", "nupes_over_power", &["mlp-w3"], 1.0),
        at_most("… and in 2 bits, where a power grid brings nothing", "nupes_over_power", &["mlp-w2"], 1.0),
        at_most(
            "Codes that move over the whole grid with its exponent beat rounding up or down (3 bits)",
            "nupes_over_adaround",
            &["mlp-w3"],
            1.0,
        ),
        at_most(
            "… and rounding to nearest with feedback (GPTQ) on a uniform grid (3 bits)",
            "nupes_over_gptq",
            &["mlp-w3"],
            1.0,
        ),
        Claim {
            gate: true,
            ..at_most(
                "Sums of whole numbers equal the decoded weights' within a thousandth of the logits' range",
                "integer_gap",
                &["mlp-w4"],
                1e-3,
            )
        },
        at_most(
            "With activations in 8 bits, in whole numbers, it loses at most half a point",
            "accuracy_lost_in_integers",
            &["mlp-w4"],
            0.005,
        ),
        at_most(
            "The file is within 1 % of what codes, scales and exponents take",
            "size_over_theory",
            &["mlp-w4"],
            1.01,
        ),
        at_most("A convolutional network in 4 bits loses at most a point", "accuracy_lost_nupes", &["cnn-w4"], 0.01),
        at_most(
            "A pretrained sentence encoder in 8 bits loses at most 0.001 of its correlation",
            "spearman_lost",
            &["minilm-w8"],
            0.001,
        ),
        at_most("… and in 4 bits, data-free, at most 0.03", "spearman_lost", &["minilm-w4"], 0.03),
        at_most("… less than on a uniform grid", "lost_beyond_uniform", &["minilm-w4"], 0.0),
        at_most("In a transformer learned codes have a lower error, too", "nupes_over_power", &["gpt-w4"], 1.0),
        at_most("… and cost at most 0.02 nats per character", "loss_added_nupes", &["gpt-w4"], 0.02),
    ],
};
