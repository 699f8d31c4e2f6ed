//! Claims: what a method promises, as data; the arms that decide it, as trials of a study.

use std::collections::BTreeMap;
use std::sync::Arc;

use kilter_laws::compute_class::{ClassRun, compare_families};
use kilter_numerics::Stream;
use kilter_numerics::compare::{CompareError, Interval, mean_interval, paired_difference};
use kilter_search::{pruner, sampler};
use kilter_space::{
    Chooser, Config, Defaults, Domain, Entry, Fit, Halt, Outline, Value, Walk, parse_domain, parse_value, replay,
};
use kilter_study::{
    Asked, Better, Conduct, End, Failure, Flow, Goal, History, Limits, Memory, Metric, Outcome, Recipe, Row, Run,
    State, Study, StudySpec,
};
use serde::Serialize;

use crate::Subject;

/// How long a reproduction may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// At most 30 seconds on two cores.
    Quick,
    /// At most 10 minutes on two cores.
    Full,
}

impl Scale {
    /// `quick` or `full`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// A metric of every tuned arm: the area under the course of its tuning, which is the mean over trials of the best value of
/// the tuned metric so far. Less is better.
pub const TUNING_AREA: &str = "tuning_area";

/// A number for each scale.
#[derive(Clone, Copy, Debug)]
pub struct Scaled {
    /// For [`Scale::Quick`].
    pub quick: u64,
    /// For [`Scale::Full`].
    pub full: u64,
}

impl Scaled {
    /// The number for `scale`.
    pub fn at(self, scale: Scale) -> u64 {
        match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        }
    }
}

/// A method's claims, and how they are decided.
#[derive(Debug)]
pub struct Reproduction {
    /// The method's name.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What is compared.
    pub arms: &'static [Arm],
    /// The recipes' setting that takes the seed.
    pub seed_setting: &'static str,
    /// Seeds per arm; the seeds are 0, 1, …
    pub seeds: Scaled,
    /// Trials of a tuned arm, for each seed.
    pub trials: Scaled,
    /// What is claimed.
    pub claims: &'static [Claim],
}

/// One side of a comparison.
#[derive(Debug)]
pub struct Arm {
    /// Its name.
    pub name: &'static str,
    /// The recipe it runs.
    pub recipe: &'static str,
    /// The data it is about, by name; nothing: the recipe's own.
    pub data: Option<&'static str>,
    /// Settings, as written on the command line.
    pub set: &'static [(&'static str, &'static str)],
    /// The sampler that tunes it; nothing: it runs with its defaults.
    pub tuned: Option<&'static str>,
    /// The metric that is tuned; nothing: the recipe's first.
    pub goal: Option<&'static str>,
    /// Whether `--quick` has no time for it.
    pub only_full: bool,
    /// Its seeds and trials, if it costs so much that it has others than the reproduction.
    pub costly: Option<Costly>,
}

/// Seeds and trials of a costly arm.
#[derive(Clone, Copy, Debug)]
pub struct Costly {
    /// The first seed: one that chose no default.
    pub first: u64,
    /// So many seeds, from the first on.
    pub seeds: u64,
    /// Trials, if it is tuned, for each seed.
    pub trials: u64,
}

/// One claim.
#[derive(Debug)]
pub struct Claim {
    /// What is claimed.
    pub sentence: &'static str,
    /// The metric, on rows that tuning never saw; or [`TUNING_AREA`].
    pub metric: &'static str,
    /// Which way it is better.
    pub better: Better,
    /// Our arm; of several, the mean over them, seed by seed.
    pub ours: &'static [&'static str],
    /// The arms it is compared with; none: it is compared with nothing.
    pub baseline: &'static [&'static str],
    /// When it holds. Set before measuring.
    pub judge: Judge,
    /// Does a failure make the command fail? Others are reported.
    pub gate: bool,
}

/// When a claim holds.
#[derive(Clone, Copy, Debug)]
pub enum Judge {
    /// Our advantage, paired over seeds, is above `margin` with this confidence (two-sided t interval).
    Beats {
        /// Advantage asked for, in the metric's unit.
        margin: f64,
        /// Confidence of the interval.
        confidence: f64,
    },
    /// Our mean disadvantage, paired over seeds, is at most its own standard error.
    WithinOneStandardError,
    /// Our mean, paired over seeds, is at least as good as the baseline's.
    NotBehind,
    /// Our mean over seeds is at least this.
    MeanAtLeast(f64),
    /// Our mean over seeds is at most this.
    MeanAtMost(f64),
    /// Ours and the baseline's straight lines in logarithms, through the best of each class, cross later than in the
    /// largest class: in at least 95 % of the resamples of seeds they cross, and the interval of where lies beyond it.
    CrossesLater {
        /// The metrics that hold the hours of each class and the perplexity there.
        classes: &'static [(&'static str, &'static str)],
    },
}

/// Resamples of seeds for where two laws cross.
const CROSSINGS: usize = 1000;

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It holds.
    Holds,
    /// It fails.
    Fails,
    /// The interval spans the margin.
    Inconclusive,
    /// It needs another scale than was run, or its arms did not finish.
    NotShownHere,
}

impl Finding {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Inconclusive => "inconclusive",
            Self::NotShownHere => "not shown here",
        }
    }
}

/// A claim measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What became of it.
    pub finding: Finding,
    /// What was expected, in words.
    pub expected: String,
    /// Our arm's mean over seeds with its 95 % interval.
    pub ours: Option<Interval>,
    /// The baseline's, likewise.
    pub baseline: Option<Interval>,
    /// Our advantage, positive if we are better, with the interval that decided.
    pub advantage: Option<Interval>,
    /// Hours at which two laws cross, with the 95 % interval over resampled seeds, where that was claimed.
    pub crossing_hours: Option<Interval>,
    /// Seeds that both arms finished.
    pub seeds: usize,
    /// Why it could not be decided, or what belongs to it.
    pub trouble: Option<String>,
}

impl Judge {
    /// What it expects, in words.
    pub fn expected(self) -> String {
        match self {
            Self::Beats { margin, confidence } => {
                format!("advantage above {margin} ({:.0} % interval, paired seeds)", confidence * 100.0)
            }
            Self::WithinOneStandardError => "disadvantage at most one standard error (paired seeds)".to_owned(),
            Self::NotBehind => "mean at least as good (paired seeds)".to_owned(),
            Self::MeanAtLeast(bound) => format!("mean at least {bound}"),
            Self::MeanAtMost(bound) => format!("mean at most {bound}"),
            Self::CrossesLater { .. } => "a crossing beyond the largest class (95 % of resampled seeds)".to_owned(),
        }
    }

    /// Decides from each seed's value of ours and, where there is one, of the baseline. Gives our advantage.
    fn decide(
        self,
        better: Better,
        ours: &[f64],
        baseline: &[f64],
    ) -> Result<(Finding, Option<Interval>), CompareError> {
        // Losses, so that baseline minus ours is our advantage.
        let losses = |values: &[f64]| values.iter().map(|&v| better.as_loss(v)).collect::<Vec<_>>();
        match self {
            Self::Beats { margin, confidence } => {
                let advantage = paired_difference(&losses(baseline), &losses(ours), confidence)?.difference;
                let finding = match () {
                    () if advantage.low > margin => Finding::Holds,
                    () if advantage.high <= margin => Finding::Fails,
                    () => Finding::Inconclusive,
                };
                Ok((finding, Some(advantage)))
            }
            Self::WithinOneStandardError => {
                let paired = paired_difference(&losses(baseline), &losses(ours), 0.95)?;
                let holds = paired.difference.estimate >= -paired.standard_error;
                Ok((if holds { Finding::Holds } else { Finding::Fails }, Some(paired.difference)))
            }
            Self::NotBehind => {
                let paired = paired_difference(&losses(baseline), &losses(ours), 0.95)?;
                let holds = paired.difference.estimate >= 0.0;
                Ok((if holds { Finding::Holds } else { Finding::Fails }, Some(paired.difference)))
            }
            Self::MeanAtLeast(bound) => {
                let mean = ours.iter().sum::<f64>() / ours.len().max(1) as f64;
                Ok((if mean >= bound { Finding::Holds } else { Finding::Fails }, None))
            }
            Self::MeanAtMost(bound) => {
                let mean = ours.iter().sum::<f64>() / ours.len().max(1) as f64;
                Ok((if mean <= bound { Finding::Holds } else { Finding::Fails }, None))
            }
            // Needs more than one metric: `crossing` decides it.
            Self::CrossesLater { .. } => Ok((Finding::NotShownHere, None)),
        }
    }
}

/// The trials of an arm that were completed.
fn finished<'a>(history: &'a History, arm: &'a str) -> impl Iterator<Item = &'a Row> {
    history.rows().filter(move |row| row.state == State::Complete && row.config().text("arm") == Ok(arm))
}

/// Where the laws of two families cross, in hours, from the runs of each class.
fn crossing(ours: &[ClassRun], baseline: &[ClassRun]) -> Result<(Finding, Option<Interval>, Option<String>), String> {
    let found = compare_families(ours, baseline, CROSSINGS, 0).map_err(|why| why.to_string())?;
    let largest = ours.iter().chain(baseline).map(|run| run.hours).fold(0.0, f64::max);
    let share =
        format!("{:.0} % of the resamples cross; the largest class has {largest:.3e} h", 100.0 * found.share_crossing);
    let finding = match found.crossing_hours {
        Some(hours) if found.share_crossing >= 0.95 && hours.low > largest => Finding::Holds,
        Some(hours) if hours.high > largest && found.share_crossing > 0.05 => Finding::Inconclusive,
        _ => Finding::Fails,
    };
    Ok((finding, found.crossing_hours, Some(share)))
}

impl Reproduction {
    /// The arms that are run at this scale.
    pub fn arms_at(&self, scale: Scale) -> impl Iterator<Item = &'static Arm> {
        self.arms.iter().filter(move |arm| scale == Scale::Full || !arm.only_full)
    }

    /// What a study of the arms is to minimize or maximize, which every arm must give: the first claim's metric, or where
    /// some arms measure something else, the time they take.
    pub fn goal(&self, scale: Scale) -> Goal {
        let gives = |arm: &Arm, metric: &str| {
            crate::find(arm.recipe).is_some_and(|recipe| recipe.metrics().iter().any(|known| known.name == metric))
        };
        match self.claims.first() {
            Some(first) if self.arms_at(scale).all(|arm| gives(arm, first.metric)) => {
                Goal { metric: first.metric.to_owned(), better: first.better }
            }
            _ => Goal::minimize("wall_seconds"),
        }
    }

    /// Every arm under every seed, as configurations of [`Arms`]; seed by seed, so that an interrupted reproduction has
    /// whole pairs.
    pub fn trials(&self, scale: Scale) -> Vec<Vec<(&'static str, Value)>> {
        let seeds = |arm: &Arm| match arm.costly {
            Some(Costly { first, seeds, .. }) => first..first + seeds,
            None => 0..self.seeds.at(scale),
        };
        let end = self.arms_at(scale).map(|arm| seeds(arm).end).max().unwrap_or(0);
        (0..end)
            .flat_map(|seed| {
                self.arms_at(scale).filter(move |arm| seeds(arm).contains(&seed)).map(move |arm| (arm.name, seed))
            })
            .map(|(arm, seed)| vec![("arm", arm.into()), ("seed", (seed as i64).into())])
            .collect()
    }

    /// Judges `claim` by the finished trials of the arms' study.
    pub fn judge(&self, claim: &Claim, history: &History) -> Measured {
        let of_arm = |arm: &str| -> BTreeMap<i64, f64> {
            finished(history, arm)
                .filter_map(|row| Some((row.config().int("seed").ok()?, row.value(claim.metric)?)))
                .collect()
        };
        // The mean over several arms, of the seeds that all of them finished.
        let of_arms = |arms: &[&str]| -> BTreeMap<i64, f64> {
            let all: Vec<_> = arms.iter().map(|arm| of_arm(arm)).collect();
            let Some((first, _)) = all.split_first() else { return BTreeMap::new() };
            let mean = |seed: &i64| {
                let values = all.iter().map(|arm| arm.get(seed).copied()).collect::<Option<Vec<f64>>>()?;
                Some((*seed, values.iter().sum::<f64>() / values.len() as f64))
            };
            first.keys().filter_map(mean).collect()
        };
        let ours = of_arms(claim.ours);
        let baseline = (!claim.baseline.is_empty()).then(|| of_arms(claim.baseline));
        let seeds: Vec<i64> = match &baseline {
            Some(baseline) => ours.keys().filter(|seed| baseline.contains_key(seed)).copied().collect(),
            None => ours.keys().copied().collect(),
        };
        let values =
            |arm: &BTreeMap<i64, f64>| seeds.iter().filter_map(|seed| arm.get(seed).copied()).collect::<Vec<_>>();
        let (ours, baseline) = (values(&ours), baseline.as_ref().map(values));
        let needs_full = self
            .arms
            .iter()
            .any(|arm| arm.only_full && (claim.ours.contains(&arm.name) || claim.baseline.contains(&arm.name)));
        let takes_part = |arm: &str| claim.ours.contains(&arm) || claim.baseline.contains(&arm);
        let failed = history
            .rows()
            .filter(|row| row.config().text("arm").is_ok_and(takes_part))
            .find_map(|row| Some(row.end.as_ref()?.failure.as_ref()?.to_string()));
        let decided = claim.judge.decide(claim.better, &ours, baseline.as_deref().unwrap_or_default());
        let runs_of = |arms: &[&str], classes: &[(&str, &str)]| -> Vec<ClassRun> {
            let class = |row: &Row, (hours, perplexity): &(&str, &str)| {
                Some(ClassRun { hours: row.value(hours)?, perplexity: row.value(perplexity)? })
            };
            let rows = arms.iter().flat_map(|arm| finished(history, arm));
            rows.flat_map(|row| classes.iter().filter_map(move |names| class(row, names))).collect()
        };
        let mut crossing_hours = None;
        let (finding, advantage, trouble) = match (decided, claim.judge) {
            _ if seeds.is_empty() => {
                let trouble = failed
                    .unwrap_or_else(|| if needs_full { "it needs --full" } else { "no seed finished" }.to_owned());
                (Finding::NotShownHere, None, Some(trouble))
            }
            (_, Judge::CrossesLater { classes }) => {
                match crossing(&runs_of(claim.ours, classes), &runs_of(claim.baseline, classes)) {
                    Ok((finding, hours, share)) => {
                        crossing_hours = hours;
                        (finding, None, share)
                    }
                    Err(why) => (Finding::NotShownHere, None, Some(why)),
                }
            }
            (Ok((finding, advantage)), _) => (finding, advantage, None),
            (Err(why), _) => (Finding::NotShownHere, None, Some(why.to_string())),
        };
        Measured {
            finding,
            expected: claim.judge.expected(),
            ours: mean_interval(&ours, 0.95).ok(),
            baseline: baseline.and_then(|values| mean_interval(&values, 0.95).ok()),
            advantage,
            crossing_hours,
            seeds: seeds.len(),
            trouble,
        }
    }
}

/// The name of the recipe that runs a reproduction's arms.
pub fn arms_name(reproduction: &Reproduction, scale: Scale) -> String {
    format!("reproduce/{}/{}", reproduction.name, scale.name())
}

/// The arms of the reproduction with this [`arms_name`].
pub(crate) fn find_arms(name: &str) -> Option<Arms> {
    let all = crate::reproductions().into_iter().flat_map(|r| [(r, Scale::Quick), (r, Scale::Full)]);
    all.into_iter().find(|(r, scale)| arms_name(r, *scale) == name).and_then(|(r, scale)| Arms::new(r, scale))
}

/// The arms of a reproduction, as a recipe: one run is one arm under one seed, a tuned arm's whole tuning included.
pub struct Arms {
    reproduction: &'static Reproduction,
    scale: Scale,
    name: String,
    outline: Outline,
    metrics: Vec<Metric>,
}

impl Arms {
    fn new(reproduction: &'static Reproduction, scale: Scale) -> Option<Self> {
        let arms: Vec<&str> = reproduction.arms_at(scale).map(|arm| arm.name).collect();
        let arm = match arms.as_slice() {
            // A choice has several values.
            [only] => Domain::Fixed((*only).into()),
            several => parse_domain(&several.join("|")).ok()?,
        };
        let outline = Outline::new(vec![
            Entry::new("arm", arm).ok()?.about("what is run"),
            Entry::new("seed", parse_domain("int:0..1000000").ok()?).ok()?.about("its seed"),
        ]);
        let mut metrics: Vec<Metric> = Vec::new();
        for claim in reproduction.claims {
            if !metrics.iter().any(|metric| metric.name == claim.metric) {
                metrics.push(Metric::new(claim.metric, claim.better));
            }
        }
        Some(Self { reproduction, scale, name: arms_name(reproduction, scale), outline: outline.ok()?, metrics })
    }
}

impl Walk for Arms {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for Arms {
    fn name(&self) -> &str {
        &self.name
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let arm = config.text("arm")?;
        let arm = self.reproduction.arms.iter().find(|known| known.name == arm);
        let arm = arm.ok_or_else(|| Failure::refused("there is no such arm"))?;
        let seed = config.int("seed")?;
        let recipe = match arm.data {
            None => crate::find(arm.recipe).ok_or_else(|| Failure::refused(format!("no recipe {}", arm.recipe)))?,
            Some(data) => crate::on(arm.recipe, Subject::bundled(data), &[])?.recipe,
        };
        let declared = recipe.outline().ok_or_else(|| Failure::refused("an arm's recipe needs a declared space"))?;
        let mut set: Vec<(String, Value)> =
            arm.set.iter().map(|(name, value)| ((*name).to_owned(), parse_value(value))).collect();
        set.push((self.reproduction.seed_setting.to_owned(), seed.into()));
        let tuning = declared.specialise(&set, &[])?;
        let (chosen, area) = match arm.tuned {
            None => (Defaults::config(&tuning)?, None),
            Some(by) => {
                let trials = arm.costly.map_or(self.reproduction.trials.at(self.scale), |costly| costly.trials);
                tune(&*recipe, tuning, by, arm.goal, seed.unsigned_abs(), trials, run)?
            }
        };
        if let Some((setting, value)) = recipe.holdout() {
            set.push((setting.to_owned(), value));
        }
        let honest = declared.specialise(&set, &[])?;
        match replay(&without_settings(&chosen, declared), &honest)? {
            Fit::Whole(config) => {
                let mut outcome = recipe.run(&config, &mut Run::offline(seed.unsigned_abs()))?;
                outcome.metrics.extend(area.map(|area| (TUNING_AREA.to_owned(), area)));
                Ok(outcome)
            }
            Fit::Missing(_) | Fit::Outside(_) => {
                Err(Failure::refused("the tuned configuration does not fit its recipe"))
            }
        }
    }
}

/// The answers that are no settings: settings belong to the space that they are replayed in.
pub fn without_settings(config: &Config, declared: &Outline) -> Config {
    let is_setting = |name: &str| declared.entry(name).is_ok_and(|entry| entry.setting);
    Config::new(config.answers().iter().filter(|(name, _)| !is_setting(name.as_str())).cloned().collect())
}

/// Tunes `recipe` over `outline` in memory; the best configuration, and the [`TUNING_AREA`].
fn tune(
    recipe: &dyn Recipe,
    outline: Outline,
    by: &str,
    goal: Option<&str>,
    seed: u64,
    trials: u64,
    run: &mut Run,
) -> Result<(Config, Option<f64>), Failure> {
    let mut metrics = recipe.metrics().iter();
    let metric = metrics.find(|metric| goal.is_none_or(|goal| metric.name == goal));
    let metric = metric.ok_or_else(|| Failure::refused("the recipe does not give the metric that is to be tuned"))?;
    let goal = Goal { metric: metric.name.clone(), better: metric.better };
    let defaults = Defaults::config(&outline)?;
    let spec = StudySpec {
        name: "tuning".to_owned(),
        outline,
        goals: vec![goal.clone()],
        sampler: by.to_owned(),
        pruner: "none".to_owned(),
        seed,
        trials: Some(trials),
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: serde_json::Value::Null,
    };
    let goals = spec.goals.clone();
    let (by, none) = (sampler(by).map_err(Failure::refused)?, pruner("none").map_err(Failure::refused)?);
    let mut study = Study::create(Arc::new(Memory::new()), spec, by, none).map_err(Failure::refused)?;
    study.enqueue(&defaults).map_err(Failure::refused)?;
    while let Asked::Trial(trial) = study.ask().map_err(Failure::refused)? {
        let watch = kilter_study::Stopwatch::start();
        let result =
            recipe.run(trial.config(), &mut Run::offline(Stream::new(&[seed, trial.number()], "trial").bits()));
        let end = match result {
            Ok(outcome) => End::of(outcome.metrics, &goals, watch.wall_only()),
            Err(failure) => End::failed(failure, watch.wall_only()),
        };
        study.tell(&trial, &end).map_err(Failure::refused)?;
        run.progress(trial.number() + 1, trials);
        if let Flow::Stop(why) = run.flow() {
            return Err(Failure::refused(why));
        }
    }
    let best = study.history().best(&goal).ok_or_else(|| Failure::refused("every trial of the tuning failed"))?;
    let values = study.history().rows().filter_map(|row| row.value(&goal.metric));
    let mut lowest = f64::INFINITY;
    let course: Vec<f64> = values
        .map(|value| {
            lowest = lowest.min(goal.better.as_loss(value));
            lowest
        })
        .collect();
    let area = (!course.is_empty()).then(|| course.iter().sum::<f64>() / course.len() as f64);
    Ok((best.config().clone(), area))
}
