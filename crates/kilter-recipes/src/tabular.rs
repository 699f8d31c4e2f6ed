//! Models tuned on a table and judged on rows that tuning never saw: the recipes `tabular` (all families of models),
//! `logistic-regression`, `decision-tree`, `random-forest`, `boosting`, `knn`, `ridge`, `tabular-mlp`, `small-cnn` (on
//! pictures), and `breast-cancer`. Pictures are a table, too: a row each, a column per pixel.
//!
//! The protocol is that of nested validation. The table is split 80/20 by seed, stratified (numbers by their rank), unless
//! its source says which rows are for the test. A
//! configuration's score is the mean over stratified folds of the 80 %; categories, medians in the place of missing
//! values, and scaling are learnt inside each fold. The honest score is that of a model fitted on the whole 80 % and
//! shown the 20 % once.
//!
//! Cost of a trial: `folds` fits.

mod facts;
mod fit;
mod named;
mod network;
mod score;
mod space;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use kilter_data::csv::Task;
use kilter_data::split::{Split, stratified_folds, stratified_split};
use kilter_data::{Dataset, Target};
use kilter_measure::Predictions;
use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Halt, Outline, Value, Walk};
use kilter_study::{Failure, Flow, Metric, Outcome, Recipe, Run};
use serde::{Deserialize, Serialize};

use facts::{facts, too_rare};
pub(crate) use named::TABULAR_MLP;
use named::{NAMED, Named};
use score::{THRESHOLD, metrics};
pub use space::Family;

/// Share of the rows that tuning never sees.
const TEST_FRACTION: f64 = 0.2;

/// Rows that a table must have at least.
const FEWEST_ROWS: usize = 10;

/// The table that a recipe is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A bundled table's name, or a file (from the root, since trials run elsewhere).
    pub data: String,
    /// The column to be predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// As what it is predicted.
    #[serde(default)]
    pub task: Task,
    /// Of two classes the positive one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
}

impl Subject {
    /// A bundled table.
    pub(crate) fn bundled(name: &str) -> Self {
        Self { data: name.to_owned(), ..Self::default() }
    }

    /// The table that a configuration is about.
    fn of(config: &Config) -> Self {
        let text = |name: &str| config.get(name).map(Value::to_string);
        Self {
            data: text("data").unwrap_or_else(|| "breast-cancer".to_owned()),
            target: text("target"),
            task: match text("task").as_deref() {
                Some("classification") => Task::Classification,
                Some("regression") => Task::Regression,
                _ => Task::Auto,
            },
            positive: text("positive"),
        }
    }

    /// Reads the table; the last one read is kept until its file changes.
    fn open(&self) -> Result<Arc<Dataset>, Failure> {
        type Stamp = Option<(u64, Option<SystemTime>)>;
        static LAST: Mutex<Option<(Subject, Stamp, Arc<Dataset>)>> = Mutex::new(None);
        let stamp = std::fs::metadata(&self.data).ok().map(|file| (file.len(), file.modified().ok()));
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((subject, then, data)) = &*last
            && subject == self
            && *then == stamp
        {
            return Ok(data.clone());
        }
        let data = kilter_data::open(&self.data, self.target.as_deref(), self.task, self.positive.as_deref());
        let data = Arc::new(data.map_err(Failure::refused)?);
        *last = Some((self.clone(), stamp, data.clone()));
        Ok(data)
    }
}

/// What is to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TwoClasses,
    Classes,
    Numbers,
}

impl Kind {
    fn of(data: &Dataset) -> Self {
        match &data.target {
            Target::Classes { names, .. } if names.len() == 2 => Self::TwoClasses,
            Target::Classes { .. } => Self::Classes,
            Target::Numbers(_) => Self::Numbers,
        }
    }
}

/// What a table asks of its models.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    kind: Kind,
    columns: usize,
    /// If a row is a picture: its colours, height and width.
    picture: Option<[usize; 3]>,
}

impl Seen {
    fn of(data: &Dataset) -> Self {
        Self { kind: Kind::of(data), columns: data.columns(), picture: data.picture }
    }

    /// What is known of a table in the binary without reading it.
    fn bundled(name: &str) -> Self {
        match name {
            "diabetes" => Self { kind: Kind::Numbers, columns: 10, picture: None },
            "thermal-synth" => Self { kind: Kind::TwoClasses, columns: 64 * 64, picture: Some([1, 64, 64]) },
            _ => Self { kind: Kind::TwoClasses, columns: 30, picture: None },
        }
    }
}

/// A recipe about a table.
pub struct Tabular {
    named: &'static Named,
    subject: Subject,
    outline: Outline,
    metrics: Vec<Metric>,
    facts: Vec<String>,
}

/// The names of all recipes about tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|named| named.name)
}

impl Tabular {
    /// The recipe of this name about its own table, which is not read for it.
    pub fn new(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|named| named.name == name)?;
        let seen = Seen::bundled(named.table);
        let subject = Subject::bundled(named.table);
        let space = space::outline(named.families, seen, &subject);
        // The space is a constant of this room; a test walks it.
        let outline = space.unwrap_or_else(|why| unreachable!("the space of {name}: {why}"));
        Some(Self { named, subject, outline, metrics: metrics(seen.kind), facts: Vec::new() })
    }

    /// The recipe of this name about another table, which is read; `set` are the settings that will be asked for.
    ///
    /// # Errors
    /// There is no such recipe, the table cannot be read, or it cannot be split; says what would be right.
    pub fn on(name: &str, mut subject: Subject, set: &[(String, Value)]) -> Result<Self, Failure> {
        let named = NAMED.iter().find(|named| named.name == name);
        let named = named.ok_or_else(|| Failure::refused(format!("the recipe `{name}` takes no table of yours")))?;
        if named.name == "breast-cancer" && subject.data != named.table {
            return Err(Failure::refused("`breast-cancer` is about its own table; `tabular` takes any"));
        }
        let asked = |name: &str| set.iter().rev().find(|(asked, _)| asked == name).map(|(_, value)| value);
        if let Some(task) = asked("task") {
            subject.task = match task.as_str() {
                Some("classification") => Task::Classification,
                Some("regression") => Task::Regression,
                _ => return Err(Failure::refused(format!("task = {task}: it is classification or regression"))),
            };
        }
        if let Some(positive) = asked("positive") {
            subject.positive = Some(positive.to_string());
        }
        let data = subject.open()?;
        let seen = Seen::of(&data);
        let kind = seen.kind;
        if let Target::Classes { names, .. } = &data.target {
            subject.positive = (names.len() == 2).then(|| names[1].clone());
        }
        subject.task = if kind == Kind::Numbers { Task::Regression } else { Task::Classification };
        subject.target = Some(data.target_name.clone());
        if let Some(families) = named.families
            && !families.iter().any(|family| family.suits(seen))
        {
            if families == [Family::Cnn] {
                return Err(Failure::refused(match data.picture {
                    Some([_, h, w]) => {
                        format!("the pictures of {} are {h}x{w}; `{name}` needs 4x4 at least", data.name)
                    }
                    None => {
                        format!("{} is a table, and `{name}` learns from pictures; `tabular` takes tables", data.name)
                    }
                }));
            }
            let (what, other) = match kind {
                Kind::Numbers => ("numbers", "ridge"),
                _ => ("classes", "logistic-regression"),
            };
            return Err(Failure::refused(format!(
                "the target `{}` of {} are {what}, which `{name}` does not predict; `{other}` or `tabular` does",
                data.target_name, data.name
            )));
        }
        if data.rows() < FEWEST_ROWS {
            return Err(Failure::refused(format!(
                "{}: {} rows are too few to hold some back; {FEWEST_ROWS} at least",
                data.name,
                data.rows()
            )));
        }
        let whole = |name: &str, default: u64| match asked(name) {
            Some(Value::Int(value)) => u64::try_from(*value).unwrap_or(default),
            _ => default,
        };
        let folds = whole("folds", 5).max(2) as usize;
        validation_folds(&data, whole("split_seed", 0), folds).map_err(|why| too_rare(&data, folds).unwrap_or(why))?;
        let facts = facts(&data, kind);
        let outline = space::outline(named.families, seen, &subject)?;
        Ok(Self { named, subject, outline, metrics: metrics(kind), facts })
    }

    /// The table it is about, with all that was found out on reading it: the same subject gives the same recipe again.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What was seen on reading the table, a line each.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }
}

fn strata(data: &Dataset, folds: usize) -> Vec<u8> {
    data.target.strata((data.rows() / (2 * folds.max(5))).clamp(2, 10))
}

/// Rows for tuning and rows for the one honest test: what the source of the table holds back, else a share drawn by seed.
///
/// # Errors
/// If the table cannot be split.
pub fn outer_split(data: &Dataset, split_seed: u64) -> Result<Split, Failure> {
    if !data.held_out.is_empty() {
        let train = (0..data.rows()).filter(|row| data.held_out.binary_search(row).is_err()).collect();
        return Ok(Split { train, test: data.held_out.clone() });
    }
    stratified_split(&strata(data, 5), TEST_FRACTION, split_seed).map_err(Failure::refused)
}

/// The folds that a configuration is validated on: all their rows are from [`outer_split`]'s training part.
///
/// # Errors
/// If there are fewer rows of a class than folds.
pub fn validation_folds(data: &Dataset, split_seed: u64, folds: usize) -> Result<Vec<Split>, Failure> {
    let outer = outer_split(data, split_seed)?;
    stratified_folds(&strata(data, folds), &outer.train, folds, split_seed).map_err(Failure::refused)
}

/// The metrics of so many classes; the first is the usual goal.
pub(crate) fn class_metrics(classes: usize) -> Vec<Metric> {
    metrics(if classes == 2 { Kind::TwoClasses } else { Kind::Classes })
}

/// All metrics of predicted probabilities (of two classes those of the second), called from 0.5 on.
pub(crate) fn judge(truth: &Target, predicted: &[f64]) -> Result<BTreeMap<&'static str, f64>, Failure> {
    score::judge(truth, predicted, THRESHOLD)
}

/// Predictions beside the truth.
#[derive(Clone, Debug)]
struct Judged {
    truth: Target,
    predicted: Vec<f64>,
}

/// One run: the table, the seed, and the chance that hangs on the split's seed and not on the trial, so that the same
/// configuration scores the same.
struct Scoring<'a> {
    data: &'a Dataset,
    config: &'a Config,
    seed: u64,
    repeat: u64,
}

impl Scoring<'_> {
    fn chance(&self, part: &str) -> Stream {
        Stream::new(&[self.seed, self.repeat], part)
    }

    fn on(&self, split: &Split, part: &str) -> Result<Judged, Failure> {
        let predicted = fit::fit_and_predict(self.data, split, self.config, &self.chance(part))?;
        Ok(Judged { truth: self.data.target.of(&split.test), predicted })
    }

    fn folds(&self) -> Result<Vec<Split>, Failure> {
        let folds = usize::try_from(self.config.int("folds")?).unwrap_or(0);
        validation_folds(self.data, self.seed, folds)
    }

    fn on_fold(&self, fold: usize, split: &Split) -> Result<Judged, Failure> {
        self.on(split, &format!("fold {fold}"))
    }

    fn on_test(&self) -> Result<Judged, Failure> {
        self.on(&outer_split(self.data, self.seed)?, "test")
    }

    /// The threshold that reaches the sensitivity asked for on the folds' predictions; 0.5 if none is asked for.
    fn threshold(&self, folds: &[Judged]) -> Result<f64, Failure> {
        let wanted = self.config.float("min_sensitivity").unwrap_or(0.0);
        if wanted <= 0.0 {
            return Ok(THRESHOLD);
        }
        let (labels, scores) = pooled(folds);
        let predictions = Predictions::new(&labels, &scores).map_err(Failure::refused)?;
        Ok(predictions.threshold_for_sensitivity(wanted).unwrap_or(THRESHOLD))
    }
}

fn pooled(folds: &[Judged]) -> (Vec<u8>, Vec<f64>) {
    let mut all = (Vec::new(), Vec::new());
    for fold in folds {
        if let Target::Classes { labels, .. } = &fold.truth {
            all.0.extend(labels);
            all.1.extend(&fold.predicted);
        }
    }
    all
}

/// A diagnosis of two classes, tested: what `kilter measure diagnosis` shows.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The table.
    pub data: String,
    /// Names of the negative and the positive class.
    pub classes: [String; 2],
    /// The held-out rows' classes.
    pub labels: Vec<u8>,
    /// Their predicted probabilities of the positive class.
    pub scores: Vec<f64>,
    /// The threshold that reaches the sensitivity asked for on the folds of the other rows, or 0.5.
    pub threshold: f64,
}

/// Fits a configuration's model on the rows that tuning saw, and shows it the others.
///
/// # Errors
/// The table is not of two classes, or the model cannot be fitted.
pub fn test_diagnosis(config: &Config, min_sensitivity: Option<f64>) -> Result<Tested, Failure> {
    let data = Subject::of(config).open()?;
    let Target::Classes { names, .. } = &data.target else {
        return Err(Failure::refused("a diagnosis is of two classes, and the target of this study are numbers"));
    };
    let [negative, positive] = &names[..] else {
        return Err(Failure::refused(format!("a diagnosis is of two classes, and this study has {}", names.len())));
    };
    let mut config = config.clone();
    if let (Some(wanted), Ok(name)) = (min_sensitivity, kilter_space::Name::new("min_sensitivity")) {
        let others = config.answers().iter().filter(|(other, _)| *other != name).cloned();
        config = Config::new(others.chain([(name.clone(), wanted.into())]).collect());
    }
    let seed = config.int("split_seed")?.unsigned_abs();
    let task = Scoring { data: &data, config: &config, seed, repeat: 0 };
    let asks = config.float("min_sensitivity").is_ok_and(|wanted| wanted > 0.0);
    let folds = if asks { task.folds()? } else { Vec::new() };
    let folds: Vec<Judged> =
        folds.iter().enumerate().map(|(fold, split)| task.on_fold(fold, split)).collect::<Result<_, _>>()?;
    let threshold = task.threshold(&folds)?;
    let (labels, scores) = pooled(&[task.on_test()?]);
    Ok(Tested { data: data.name.clone(), classes: [negative.clone(), positive.clone()], labels, scores, threshold })
}

impl Walk for Tabular {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for Tabular {
    fn name(&self) -> &str {
        self.named.name
    }

    fn about(&self) -> &str {
        self.named.about
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn holdout(&self) -> Option<(&'static str, Value)> {
        Some(("score_on", "test".into()))
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let data = Subject::of(config).open()?;
        let seed = config.int("split_seed")?.unsigned_abs();
        let task = Scoring { data: &data, config, seed, repeat: run.repeat() };
        let on_test = config.text("score_on")? == "test";
        let asks = config.float("min_sensitivity").is_ok_and(|wanted| wanted > 0.0);
        let tested = |threshold: f64| {
            let Judged { truth, predicted } = task.on_test()?;
            score::judge_with_intervals(&truth, &predicted, threshold, &mut task.chance("intervals"))
        };
        if on_test && !asks {
            return tested(THRESHOLD);
        }
        let folds = task.folds()?;
        let first = metrics(Kind::of(&data)).swap_remove(0).name;
        let (of, mut judged, mut sum) = (folds.len(), Vec::new(), 0.0);
        for (fold, split) in folds.iter().enumerate() {
            let here = task.on_fold(fold, split)?;
            sum += score::judge(&here.truth, &here.predicted, THRESHOLD)?.get(&*first).copied().unwrap_or(f64::NAN);
            judged.push(here);
            run.progress(fold as u64 + 1, of as u64);
            if let Flow::Stop(_) = run.report(fold as u64, &[(&first, sum / (fold + 1) as f64)]) {
                break;
            }
        }
        let threshold = task.threshold(&judged)?;
        if on_test {
            return tested(threshold);
        }
        let mut sums: BTreeMap<&'static str, (f64, usize)> = BTreeMap::new();
        for here in &judged {
            for (name, value) in score::judge(&here.truth, &here.predicted, threshold)? {
                let (sum, count) = sums.entry(name).or_default();
                *sum += value;
                *count += 1;
            }
        }
        Ok(Outcome::new(sums.into_iter().map(|(name, (sum, count))| (name, sum / count as f64))))
    }
}
