//! all-MiniLM-L6-v2 beside PyTorch's: vectors of texts, and the rank correlation with people's judgement on the STS
//! benchmark (Cer et al., *SemEval-2017 Task 1*, 2017; Reimers and Gurevych, *Sentence-BERT*, 2019). The first run brings
//! the model (84 MB).

use std::path::{Path, PathBuf};

use kilter_data::catalogue::{self, Place};
use kilter_data::{Shelves, fetch};
use kilter_nn::model::Pooling;
use kilter_nn::pretrained::SentenceEncoder;
use kilter_nn::train::device;
use kilter_numerics::ranks::ranks;
use kilter_space::{Config, Outline, SpaceError};
use kilter_study::{Better, Failure, Outcome, Run};
use kilter_weights::quantize::{Curve, QuantizeConfig, quantize};
use kilter_weights::{Checkpoint, Options};
use serde::Deserialize;

use crate::claim::{Arm, Claim, Judge, Reproduction, Scaled};
use crate::measuring::{Measuring, arm, entry, higher, lower, seed};

/// The recipe that compares vectors.
pub const VECTORS: &str = "minilm-vectors";

/// The recipe that judges pairs of sentences.
pub const PAIRS: &str = "minilm-pairs";

/// The recipe that judges pairs of sentences by weights in few bits.
pub const BITS: &str = "minilm-bits";

const MODEL: &str = "all-minilm-l6-v2";

/// Texts with their tokens and vectors by PyTorch, in f64.
const REFERENCE: &str = include_str!("../../../../testdata/golden/nn/minilm/all-minilm-l6-v2.json");

/// Spearman's correlation on the benchmark's 1,379 test pairs, with the same weights in PyTorch.
const CORRELATION: f64 = 0.8203;

/// The recipe of this name.
pub fn find(name: &str) -> Option<Measuring> {
    let made = match name {
        VECTORS => vectors(),
        PAIRS => pairs(),
        BITS => bits(),
        _ => return None,
    };
    Some(made.unwrap_or_else(|why| unreachable!("the space of {name}: {why}")))
}

fn vectors() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![seed("nothing: there is no chance in it")?])?;
    let metrics = vec![lower("deviation"), lower("other_tokens")];
    Ok(Measuring { name: VECTORS, about: "vectors of texts beside PyTorch's", outline, metrics, run: run_vectors })
}

fn pairs() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![seed("nothing: there is no chance in it")?])?;
    let metrics = vec![higher("spearman"), lower("off_correlation")];
    Ok(Measuring { name: PAIRS, about: "likeness of sentences beside people's", outline, metrics, run: run_pairs })
}

fn bits() -> Result<Measuring, SpaceError> {
    let outline = Outline::new(vec![
        entry("bits", "int:2..8", 4_i64, "bits of a weight")?,
        seed("nothing: there is no chance in it")?,
    ])?;
    let metrics =
        ["spearman_lost", "spearman_lost_uniform", "lost_beyond_uniform", "size_over_float"].map(lower).to_vec();
    Ok(Measuring { name: BITS, about: "likeness of sentences by weights in few bits", outline, metrics, run: run_bits })
}

/// The model's folder, brought if it is not here.
fn folder(run: &mut Run) -> Result<PathBuf, Failure> {
    let set = catalogue::find(MODEL).ok_or_else(|| Failure::refused(format!("the catalogue lost {MODEL}")))?;
    let shelves = Shelves::from_environment().map_err(Failure::refused)?;
    if shelves.place(set) == Place::Missing {
        run.remark(format!("bringing {MODEL} ({:.0} MB)", set.bytes as f64 / 1e6));
    }
    fetch::bring(set, &shelves, false, &mut |_| ()).map_err(Failure::refused)
}

fn open(folder: &Path) -> Result<SentenceEncoder, Failure> {
    SentenceEncoder::open(folder, &device("cpu").map_err(Failure::refused)?).map_err(Failure::refused)
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f64>,
}

fn run_vectors(_: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let Reference { cases } = serde_json::from_str(REFERENCE).map_err(Failure::refused)?;
    let model = open(&folder(run)?)?;
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let ours = model.embed(&texts, Pooling::NormalisedMean).map_err(Failure::refused)?;
    let tokens = model.tokenizer.encode(&texts).map_err(Failure::refused)?;
    let other = cases.iter().zip(&tokens).filter(|(case, tokens)| case.ids != **tokens).count();
    let differences = cases.iter().zip(&ours).flat_map(|(case, ours)| {
        // A vector of another length is as far off as can be.
        let unlike = if case.embedding.len() == ours.len() { 0.0 } else { f64::INFINITY };
        std::iter::once(unlike).chain(case.embedding.iter().zip(ours).map(|(a, b)| (a - b).abs()))
    });
    Ok(Outcome::new([("deviation", differences.fold(0.0, f64::max)), ("other_tokens", other as f64)]))
}

/// Pairs of sentences with the likeness that people gave them.
fn benchmark() -> Result<Vec<(f64, String, String)>, Failure> {
    let set = catalogue::find("sts").ok_or_else(|| Failure::refused("the catalogue lost `sts`"))?;
    let shelves = Shelves::from_environment().map_err(Failure::refused)?;
    let Place::Folder(folder) = shelves.place(set) else {
        return Err(Failure::refused(format!("`sts` is not here: {}", set.how(&shelves))));
    };
    let path: PathBuf = folder.join("sts-test.csv.gz");
    let text = kilter_data::text(&path.to_string_lossy()).map_err(Failure::refused)?;
    let pair = |(at, line): (usize, &str)| {
        let cells: Vec<&str> = line.split('\t').collect();
        match (cells.get(4).and_then(|score| score.parse().ok()), cells.get(5), cells.get(6)) {
            (Some(score), Some(one), Some(other)) => Ok((score, (*one).to_owned(), (*other).to_owned())),
            _ => Err(Failure::refused(format!("{}, line {}: no pair with a score", path.display(), at + 1))),
        }
    };
    text.lines().enumerate().map(pair).collect()
}

/// Pearson's correlation of ranks.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let count = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let product =
        |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 { x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum() };
    product(&a, mean_a, &b, mean_b) / (product(&a, mean_a, &a, mean_a) * product(&b, mean_b, &b, mean_b)).sqrt()
}

/// Spearman's correlation of the cosines of pairs of sentences with people's scores.
fn correlation(model: &SentenceEncoder, pairs: &[(f64, String, String)]) -> Result<f64, Failure> {
    let of = |texts: Vec<&str>| model.embed(&texts, Pooling::NormalisedMean).map_err(Failure::refused);
    let ours = of(pairs.iter().map(|(_, one, _)| one.as_str()).collect())?;
    let theirs = of(pairs.iter().map(|(_, _, other)| other.as_str()).collect())?;
    let cosine = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a * b).sum();
    let cosines: Vec<f64> = ours.iter().zip(&theirs).map(cosine).collect();
    let scores: Vec<f64> = pairs.iter().map(|(score, ..)| *score).collect();
    Ok(spearman(&cosines, &scores))
}

fn run_pairs(_: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let found = correlation(&open(&folder(run)?)?, &benchmark()?)?;
    Ok(Outcome::new([("spearman", found), ("off_correlation", (found - CORRELATION).abs())]))
}

fn run_bits(config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
    let (pairs, whole) = (benchmark()?, folder(run)?);
    let model = Checkpoint::open(&whole).map_err(Failure::refused)?;
    let bits = config.int("bits")?.unsigned_abs() as u32;
    let float = correlation(&open(&whole)?, &pairs)?;
    // What is lost on a grid, and the share of the bytes that is left.
    let on = |curve| {
        let place = tempfile::tempdir().map_err(Failure::refused)?;
        for name in ["config.json", "tokenizer.json"] {
            std::fs::copy(whole.join(name), place.path().join(name)).map_err(Failure::refused)?;
        }
        let target = place.path().join("model.safetensors");
        let quantised = QuantizeConfig { curve, bits, ..QuantizeConfig::default() };
        let report = quantize(&model, &quantised, &target, &Options::default()).map_err(Failure::refused)?;
        let lost = float - correlation(&open(place.path())?, &pairs)?;
        Ok::<_, Failure>((lost, report.written.bytes as f64 / model.bytes() as f64))
    };
    let ((lost, size), (lost_uniform, _)) = (on(Curve::Power)?, on(Curve::Uniform)?);
    Ok(Outcome::new([
        ("spearman_lost", lost),
        ("spearman_lost_uniform", lost_uniform),
        ("lost_beyond_uniform", lost - lost_uniform),
        ("size_over_float", size),
    ]))
}

const fn at_most(sentence: &'static str, metric: &'static str, arm: &'static [&'static str], bound: f64) -> Claim {
    let judge = Judge::MeanAtMost(bound);
    Claim { sentence, metric, better: Better::Lower, ours: arm, baseline: &[], judge, gate: true }
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "minilm",
    title: "A pretrained sentence encoder, all-MiniLM-L6-v2: the same tokens and vectors as in PyTorch",
    // Some thousand sentences take a minute where the machine has other work.
    arms: &[arm("vectors", VECTORS, &[]), Arm { only_full: true, ..arm("pairs", PAIRS, &[]) }],
    seed_setting: "seed",
    seeds: Scaled { quick: 1, full: 1 },
    trials: Scaled { quick: 0, full: 0 },
    claims: &[
        at_most("No number of a vector differs from PyTorch's by more than 1e-4", "deviation", &["vectors"], 1e-4),
        at_most("Every text has the same tokens", "other_tokens", &["vectors"], 0.0),
        at_most(
            "On the test pairs of the STS benchmark, Spearman's correlation of cosines with people's scores is 0.8203",
            "off_correlation",
            &["pairs"],
            5e-5,
        ),
    ],
};
