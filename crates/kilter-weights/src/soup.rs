//! Soups: averages of models tuned from one start, and the greedy choice of their ingredients.
//!
//! Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
//! inference time* (ICML 2022), recipe 1 (greedy): candidates in order of their held-out score, each kept if the soup does
//! not get worse. The paper accepts `>=`, its code `>`; both are here. A trial soup is averaged afresh from its ingredients
//! in f64, so nothing is lost by scaling a mean again and again. Never below the best single candidate on the held-out set,
//! by construction; so score the result on other data.
//!
//! Cost: n evaluations of single candidates and at most n - 1 of soups; each trial reads its ingredients once.

use std::path::Path;

use kilter_space::{Domain, DomainError, Entry, Float, Int, Outline, SpaceError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fault::WeightsError;
use crate::merge::average::Uniform;
use crate::merge::{MergeReport, common, merge, words};
use crate::storage::{Checkpoint, Dtype, Tensor};
use crate::stream::{Options, Stack};

/// Which scores are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Accuracy and its like.
    Higher,
    /// Loss and its like.
    Lower,
}

/// When a candidate joins the soup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// If the soup's score is not worse than before (the paper).
    #[default]
    NotWorse,
    /// If the soup's score is better than before (the authors' code).
    Better,
}

/// Settings of the greedy soup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreedyConfig {
    /// Which scores are better.
    pub better: Better,
    /// When a candidate joins.
    pub accept: Accept,
    /// At most so many ingredients, at least 1. Default: no limit.
    pub max_ingredients: Option<usize>,
}

/// One candidate put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tasting {
    /// The candidate, counted from zero in the order given.
    pub candidate: usize,
    /// Score of the soup with it.
    pub trial_score: f64,
    /// Did it join?
    pub accepted: bool,
}

/// A greedy choice, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Greedy {
    /// Each candidate's own score, in the order given.
    pub single_scores: Vec<f64>,
    /// Candidates by their own score, best first, ties in the order given.
    pub order: Vec<usize>,
    /// Every later candidate of that order that was tried.
    pub trace: Vec<Tasting>,
    /// Candidates in the soup, in order of acceptance.
    pub ingredients: Vec<usize>,
    /// The soup's score.
    pub score: f64,
}

/// What a greedy soup did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SoupReport {
    /// The choice.
    pub greedy: Greedy,
    /// The average of the chosen.
    #[serde(flatten)]
    pub merged: MergeReport,
}

/// The hyperparameters of a soup of so many candidates.
///
/// # Errors
/// None for at least one candidate.
pub fn outline(candidates: usize) -> Result<Outline, SpaceError> {
    let mut entries = vec![
        words("kind", &["greedy", "uniform", "learned"], "greedy chooses by score, learned weighs by gradient")?,
        words("accept", &["not_worse", "better"], "when a candidate joins a greedy soup")?.when("kind == 'greedy'")?,
    ];
    let most = i64::try_from(candidates).unwrap_or(i64::MAX);
    let domain = match Int::new(1, most) {
        Ok(range) => Domain::Int(range),
        Err(_) => Domain::Fixed(1_i64.into()),
    };
    let limit = Entry::new("max_ingredients", domain)?.default(most.max(1))?.about("at most so many join");
    entries.push(limit.setting().when("kind == 'greedy'")?);
    let domain = |name: &str, domain: Result<Domain, DomainError>| -> Result<Entry, SpaceError> {
        Entry::new(name, domain.map_err(|why| SpaceError::Domain { name: name.to_owned(), why })?)
    };
    let learned = "kind == 'learned'";
    let rate = domain("learning_rate", Float::log(1e-3, 0.5).map(Domain::Float))?.default(0.05)?;
    let epochs = domain("epochs", Int::new(1, 20).map(Domain::Int))?.default(5_i64)?;
    entries.extend([
        rate.about("rate of AdamW on the mixing weights").when(learned)?,
        epochs.about("how often every validation example is seen").when(learned)?,
        words("granularity", &["layer", "model"], "mixing weights per tensor and model, or per model")?
            .when(learned)?,
    ]);
    entries.extend(common()?);
    Outline::new(entries)
}

/// Chooses among `candidates` by `score`, which is given the ingredients of a soup (one, for a candidate by itself).
/// A score that is NaN is worse than any other. Nothing if there is no candidate or every score is NaN.
///
/// # Errors
/// The first error of `score`.
pub fn choose<E>(
    candidates: usize,
    config: GreedyConfig,
    mut score: impl FnMut(&[usize]) -> Result<f64, E>,
) -> Result<Option<Greedy>, E> {
    let sign = if config.better == Better::Higher { 1.0 } else { -1.0 };
    let single_scores = (0..candidates).map(|i| score(&[i])).collect::<Result<Vec<f64>, E>>()?;
    let worth = |i: usize| if single_scores[i].is_nan() { f64::NEG_INFINITY } else { sign * single_scores[i] };
    let mut order: Vec<usize> = (0..candidates).collect();
    // NaN stands behind the worst number; a stable sort keeps ties as given.
    order.sort_by(|&a, &b| {
        worth(b).total_cmp(&worth(a)).then(single_scores[a].is_nan().cmp(&single_scores[b].is_nan()))
    });
    let Some(&first) = order.first().filter(|&&first| !single_scores[first].is_nan()) else { return Ok(None) };
    let (mut ingredients, mut best, mut trace) = (vec![first], single_scores[first], Vec::new());
    for &candidate in &order[1..] {
        if config.max_ingredients.is_some_and(|most| ingredients.len() >= most) {
            break;
        }
        ingredients.push(candidate);
        let trial_score = score(&ingredients)?;
        let gain = sign * trial_score - sign * best;
        let accepted = match config.accept {
            Accept::NotWorse => gain >= 0.0 || trial_score == best,
            Accept::Better => gain > 0.0,
        };
        trace.push(Tasting { candidate, trial_score, accepted });
        if accepted {
            best = trial_score;
        } else {
            ingredients.pop();
        }
    }
    Ok(Some(Greedy { single_scores, order, trace, ingredients, score: best }))
}

/// Writes the uniform soup of `models` into `target`.
///
/// # Errors
/// As [`merge`], and if there are fewer than two models.
pub fn uniform(
    models: &[&Checkpoint],
    dtype: Option<Dtype>,
    target: &Path,
    options: &Options<'_>,
) -> Result<MergeReport, WeightsError> {
    several(models)?;
    let mut report = merge(&Uniform, None, models, dtype, target, options)?;
    report.notes.extend(strangers(models)?);
    Ok(report)
}

/// Writes the greedy soup of `models` into `target`. `score` is given a checkpoint's path: a candidate's own, or that of a
/// trial soup in a temporary folder beside the target. Candidates with NaN or infinities are refused before the first
/// evaluation (unless allowed).
///
/// # Errors
/// As [`merge`], if an evaluation fails, or if no candidate has a score.
pub fn greedy(
    models: &[&Checkpoint],
    config: GreedyConfig,
    dtype: Option<Dtype>,
    target: &Path,
    options: &Options<'_>,
    mut score: impl FnMut(&Path) -> Result<f64, String>,
) -> Result<SoupReport, WeightsError> {
    several(models)?;
    if config.max_ingredients == Some(0) {
        return Err(WeightsError::setting("max_ingredients=0 leaves no soup; ask for at least 1"));
    }
    let (first, others) = (models[0], &models[1..]);
    others.iter().try_for_each(|other| first.same_architecture(other))?;
    if let Some(input) = models.iter().find(|model| model.holds(target)) {
        return Err(WeightsError::OutputIsInput { path: input.path().to_owned() });
    }
    if !options.allow_non_finite {
        models.iter().try_for_each(|model| refuse_non_finite(model))?;
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kitchen = tempfile::Builder::new()
        .prefix(".kilter-soup-")
        .tempdir_in(folder)
        .map_err(|why| WeightsError::io("write to", folder, why))?;
    let trial = kitchen.path().join("trial.safetensors");
    let of = |ingredients: &[usize]| -> Vec<&Checkpoint> { ingredients.iter().map(|&i| models[i]).collect() };
    let choice = choose(models.len(), config, |ingredients| {
        let path = match ingredients {
            [single] => models[*single].path(),
            several => {
                merge(&Uniform, None, &of(several), dtype, &trial, options)?;
                trial.as_path()
            }
        };
        score(path).map_err(|why| WeightsError::Evaluation { candidate: path.display().to_string(), why })
    })?;
    let greedy = choice.ok_or_else(|| WeightsError::Evaluation {
        candidate: "every candidate".to_owned(),
        why: "all scores are NaN".to_owned(),
    })?;
    let mut merged = merge(&Uniform, None, &of(&greedy.ingredients), dtype, target, options)?;
    merged.settings = json!({
        "kind": "greedy", "better": config.better, "accept": config.accept, "max_ingredients": config.max_ingredients
    });
    merged.notes.extend(strangers(models)?);
    for (i, _) in greedy.single_scores.iter().enumerate().filter(|(_, score)| score.is_nan()) {
        merged.notes.push(format!("{} scored NaN: taken for the worst", models[i].path().display()));
    }
    Ok(SoupReport { greedy, merged })
}

fn several(models: &[&Checkpoint]) -> Result<(), WeightsError> {
    if models.len() < 2 {
        return Err(WeightsError::Models { method: "soup", wanted: "at least two models", got: models.len() });
    }
    Ok(())
}

/// Reads a whole checkpoint for NaN and infinities.
///
/// # Errors
/// [`WeightsError::NonFinite`] names the first.
pub fn refuse_non_finite(model: &Checkpoint) -> Result<(), WeightsError> {
    for tensor in model.tensors().iter().filter(|tensor| tensor.dtype().is_float()) {
        Stack::new(vec![tensor], false).survey(1, |(): &mut (), _| {})?;
    }
    Ok(())
}

/// Below this cosine two tensors of one name have hardly a common origin.
const STRANGERS: f64 = 0.5;

/// A warning if the largest tensor of two models points in different directions: networks of different starting points do
/// not average.
fn strangers(models: &[&Checkpoint]) -> Result<Option<String>, WeightsError> {
    let Some((first, others)) = models.split_first() else { return Ok(None) };
    let floats = first.tensors().iter().filter(|tensor| tensor.dtype().is_float());
    let Some(largest) = floats.max_by_key(|tensor| tensor.entries()) else { return Ok(None) };
    for other in others {
        let Some(tensor) = other.get(largest.name()) else { continue };
        let cosine = cosine(largest, tensor)?;
        if cosine < STRANGERS {
            return Ok(Some(format!(
                "`{}` of {} and {} have a cosine of {cosine:.2}: models that were not tuned from one start do not average",
                largest.name(),
                first.path().display(),
                other.path().display()
            )));
        }
    }
    Ok(None)
}

/// Cosine of the angle between two tensors; 1 if one is zero.
fn cosine(a: &Tensor, b: &Tensor) -> Result<f64, WeightsError> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let sums = Stack::new(vec![a, b], true).survey(1, |sums: &mut [f64; 3], tile| {
        sums[0] += dot(tile.row(0), tile.row(0));
        sums[1] += dot(tile.row(1), tile.row(1));
        sums[2] += dot(tile.row(0), tile.row(1));
    })?;
    let total = sums.iter().fold([0.0; 3], |total, of_piece| std::array::from_fn(|i| total[i] + of_piece[i]));
    let norms = (total[0] * total[1]).sqrt();
    Ok(if norms > 0.0 { total[2] / norms } else { 1.0 })
}
