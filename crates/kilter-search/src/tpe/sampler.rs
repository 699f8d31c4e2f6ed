//! The estimator as a study's sampler.
//!
//! Questions that are always asked together (those with the same condition) are estimated jointly; each such group
//! learns from the trials in which it was asked. So a conditional space needs no imputed values, and a flat space is one
//! group: the multivariate estimator. Of a closure, whose questions are not known before it has asked, those are a group
//! that every finished trial was asked. Running trials count among the worse ones, as if they would disappoint (the
//! constant liar of Ginsbourger, Le Riche and Carraro 2010): parallel workers then keep apart.
//!
//! Under constraints only candidates count that can still be completed; if there is none among those drawn from the
//! estimate, others are taken from the feasible set and judged by the same densities.
//!
//! The flavours `optuna` and `hyperopt` estimate as those programs do. `kilter`, the default, differs from `optuna`:
//! * In a space of finitely many configurations none is proposed twice: candidates that were tried are passed over, and
//!   when all were, the study is done.
//! * The density of the worse trials is estimated from at most `recall` of them, so that an ask costs the same after
//!   1,000 trials as after 100,000.
//! * Kernels on a grid are at least half a step wide, and 48 candidates are drawn instead of 24. Both were chosen on
//!   random functions and tables, as was to keep Optuna's size of the better set.
//! * Three tenths of the candidates are variations of the best trial, with several objectives of any of the better ones:
//!   its values but for a parameter or two. Where parameters act by themselves, a joint estimate alone finds it hard to keep
//!   what is right already.
//! * Between choices whose distances are declared kernels are as wide as the gaps between observations, as they are between
//!   numbers; Optuna 4, which knew such distances, made them so wide that little was learnt. The Hyperopt flavour has none.
//! * For a quarter of the proposals, with several objectives a half, each parameter is estimated by itself. So the values of
//!   different better trials meet, and a valley is left that the joint estimate, which tries near whole trials, keeps to.
//! * With two objectives the better trials weigh by what each adds to the hypervolume, as in the paper (Ozaki et al.
//!   2020), where Optuna 5 weighs all the same. With more, where that volume is costly, ours weigh all the same, too.
//!
//! docs/bench-search.md has the figures.

use std::collections::BTreeSet;

use kilter_numerics::Stream;
use kilter_space::{
    Chooser, Config, Count, Domain, Encoding, Entry, Feasible, Halt, Outline, Prior, Question, Random, SpaceError,
    Value, Walk,
};
use kilter_study::{Ask, Change, Duplicates, Event, History, Next, Proposal, Sampler, SearchError, State};
use serde::{Deserialize, Serialize};

use super::Dimension;
use super::draft::{Draft, Estimate};
use super::kept::Shelf;
use super::parzen::{Column, Expected, Known, Parzen, ParzenOptions};
use super::ranking::{Ranking, Sides};
use super::seen::Seen;
use super::split::{default_gamma, hyperopt_gamma, multi_objective_gamma, root_gamma};

/// Which published program's estimator is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Our own, the default: Optuna's with what the module's head says.
    #[default]
    Kilter,
    /// Optuna 5's.
    Optuna,
    /// Hyperopt's: each parameter by itself, a smaller better set.
    Hyperopt,
}

/// How many of n finished trials are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gamma {
    /// A tenth, at most 25: Optuna's (with several objectives a tenth without bound).
    Tenth,
    /// √n / 4, at most 25: Hyperopt's.
    QuarterRoot,
    /// √n, at most a quarter.
    Root,
}

/// How much each of the better trials weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// The newest 25 fully, older ones less: Optuna's and Hyperopt's with one objective.
    Age,
    /// All the same: Optuna's with several objectives, ours with more than two.
    Uniform,
    /// By what each adds to the hypervolume (Ozaki et al. 2020): ours with two objectives; with one all the same.
    Hypervolume,
}

/// Hyperparameters of the sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TpeConfig {
    /// Which estimator.
    pub flavour: Flavour,
    /// Finished trials before anything is estimated; until then configurations are random. Default 10.
    pub startup: usize,
    /// Candidates drawn for every proposal, at least 1; more is greedier. The flavour's where absent: 48 of `kilter`, 24
    /// of the others.
    pub candidates: Option<usize>,
    /// Estimate parameters that are asked together jointly or each by itself; the flavour's where absent: `kilter`
    /// jointly, `optuna` jointly with one objective only. Always by itself in the Hyperopt flavour.
    pub multivariate: Option<bool>,
    /// Count running trials among the worse ones. Default yes.
    pub constant_liar: bool,
    /// Weight of the prior against one observation, above 0. Default 1; more explores more.
    pub prior_weight: f64,
    /// Size of the better set; the flavour's where absent.
    pub gamma: Option<Gamma>,
    /// Weights of the better trials; the flavour's where absent: with one objective by age; with two by hypervolume
    /// (`kilter`); else all the same.
    pub weights: Option<Weights>,
    /// Kernels on a grid are at least so many steps wide; the flavour's where absent.
    pub least_steps: Option<f64>,
    /// Share of the candidates that are variations of the best trial, its values but for a parameter or two, 0 to 1; with
    /// several objectives of any of the better trials. The flavour's where absent: 0.3 of `kilter`, none of the others.
    pub varied: Option<f64>,
    /// Share of the proposals, 0 to 1, for which each parameter is estimated by itself where they else are jointly, from half
    /// as many candidates. The flavour's where absent: of `kilter` 0.25, with several objectives 0.5; none of the others.
    pub single: Option<f64>,
    /// At most so many of the worse trials are remembered at an ask; the flavour's where absent. Others than `kilter`
    /// remember all.
    pub recall: Option<usize>,
    /// May a configuration of a finite space be proposed twice? The flavour's where absent: `kilter` says no, unless the
    /// study allows duplicates.
    pub repeats: Option<bool>,
}

impl Default for TpeConfig {
    fn default() -> Self {
        Self {
            flavour: Flavour::Kilter,
            startup: 10,
            candidates: None,
            multivariate: None,
            constant_liar: true,
            prior_weight: 1.0,
            gamma: None,
            weights: None,
            least_steps: None,
            varied: None,
            single: None,
            recall: None,
            repeats: None,
        }
    }
}

/// Twice Optuna's: 64 were better on some continuous functions and worse on tables at 100 trials; a compromise (`kilter`).
const CANDIDATES: usize = 48;

/// A kernel on a grid reaches its neighbours, so that what was learnt of a value tells of them, too (`kilter`).
const LEAST_STEPS: f64 = 0.5;

/// Enough to follow what single parameters do near the best, and to leave the larger part to the estimate (`kilter`).
const VARIED: f64 = 0.3;

/// Enough to leave a valley that the first better trials led to, which a joint estimate hardly does; half costs more than it
/// brings (docs/bench-search.md; `kilter`).
const SINGLE: f64 = 0.25;

/// The same with several objectives: a front lies in more than one valley (`kilter`).
const SINGLE_OF_SEVERAL: f64 = 0.5;

/// So many of the worse trials tell enough of their density (`kilter`).
const RECALL: usize = 512;

impl TpeConfig {
    /// The same, if it can be.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn checked(self) -> Result<Self, String> {
        if self.candidates == Some(0) {
            return Err("candidates=0 leaves nothing to choose from; the default is 48".to_owned());
        }
        if !(self.prior_weight > 0.0 && self.prior_weight.is_finite()) {
            return Err(format!("prior_weight={} must be a number above 0; the default is 1", self.prior_weight));
        }
        if self.recall.is_some_and(|recall| recall < 2) {
            return Err("recall must be at least 2; the default is 512".to_owned());
        }
        let steps = self.least_steps.unwrap_or(0.0);
        if !(steps >= 0.0 && steps.is_finite()) {
            return Err(format!("least_steps={steps} must be a number not below 0"));
        }
        for (name, share) in [("varied", self.varied), ("single", self.single)] {
            if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(format!("{name}={share} must be a share, from 0 to 1"));
            }
        }
        Ok(self)
    }

    fn is_own(&self) -> bool {
        self.flavour == Flavour::Kilter
    }

    pub(super) fn least_steps(&self) -> f64 {
        self.least_steps.unwrap_or(if self.is_own() { LEAST_STEPS } else { 0.0 })
    }

    fn candidates(&self) -> usize {
        self.candidates.unwrap_or(if self.is_own() { CANDIDATES } else { 24 })
    }

    /// How many of so many candidates are variations.
    pub(super) fn varied_of(&self, candidates: usize) -> usize {
        (self.varied.unwrap_or(if self.is_own() { VARIED } else { 0.0 }) * candidates as f64) as usize
    }

    /// The share of the proposals for which each parameter is estimated by itself.
    fn single(&self, several: bool) -> f64 {
        if self.flavour == Flavour::Hyperopt || !self.multivariate.unwrap_or(self.is_own() || !several) {
            return 1.0;
        }
        let own = if several { SINGLE_OF_SEVERAL } else { SINGLE };
        self.single.unwrap_or(if self.is_own() { own } else { 0.0 })
    }

    fn repeats(&self, duplicates: Duplicates) -> bool {
        self.repeats.unwrap_or(!self.is_own() || duplicates == Duplicates::Allow)
    }

    fn n_below(&self, finished: usize, several: bool) -> usize {
        let own = match self.flavour {
            Flavour::Hyperopt => Gamma::QuarterRoot,
            Flavour::Kilter | Flavour::Optuna => Gamma::Tenth,
        };
        match self.gamma.unwrap_or(own) {
            _ if several => multi_objective_gamma(finished),
            Gamma::Tenth => default_gamma(finished),
            Gamma::QuarterRoot => hyperopt_gamma(finished),
            Gamma::Root => root_gamma(finished, 1.0),
        }
    }
}

/// The tree-structured Parzen estimator.
#[derive(Clone, Debug)]
pub struct Tpe {
    config: TpeConfig,
    /// Every trial's answers as numbers, by coordinate and trial number; NaN where a question was not asked.
    columns: Vec<Vec<f64>>,
    /// Of a closure, by coordinate the trials with no answer in `columns`.
    unasked: Vec<BTreeSet<u64>>,
    /// The space that `columns` was made for.
    fingerprint: u64,
    /// Trials whose answers are not in `columns` yet.
    new: Vec<u64>,
    /// The densities of groups.
    shelf: Shelf,
    ranking: Ranking,
    seen: Seen,
}

impl Tpe {
    /// A sampler that has seen nothing yet.
    pub fn new(config: TpeConfig) -> Self {
        let (shelf, ranking, seen) = (Shelf::default(), Ranking::default(), Seen::default());
        Self { config, columns: Vec::new(), unasked: Vec::new(), fingerprint: 0, new: Vec::new(), shelf, ranking, seen }
    }

    /// Brings `columns` up to date.
    fn encode(&mut self, ask: &Ask<'_>) {
        let (outline, history) = (ask.space.outline, ask.history);
        if self.fingerprint != outline.fingerprint() || self.columns.is_empty() {
            self.fingerprint = outline.fingerprint();
            self.columns = vec![Vec::new(); Encoding::new(outline).coordinates().len()];
            self.unasked = vec![BTreeSet::new(); self.columns.len()];
            self.shelf = Shelf::default();
            self.seen = Seen::new(outline, self.config.repeats(ask.duplicates));
            self.new = history.rows().map(|row| row.number).collect();
        }
        for row in self.new.drain(..).filter_map(|number| history.get(number)) {
            let at = row.number as usize;
            let code = outline.encode(row.config());
            for ((column, unasked), &code) in self.columns.iter_mut().zip(&mut self.unasked).zip(&code) {
                if code.is_nan() && !outline.is_complete() {
                    unasked.insert(row.number);
                } else {
                    unasked.remove(&row.number);
                }
                if column.len() <= at {
                    column.resize(at + 1, f64::NAN);
                }
                let before = std::mem::replace(&mut column[at], code);
                if !before.is_nan() && before != code {
                    self.shelf = Shelf::default();
                }
            }
            self.seen.insert(&code);
        }
    }

    fn sides(&self, ask: &Ask<'_>) -> Sides {
        let config = &self.config;
        let n_below = config.n_below(self.ranking.finished(), ask.goals.len() > 1);
        let recall = config.recall.unwrap_or(if config.is_own() { RECALL } else { usize::MAX });
        self.ranking.sides(n_below, config.constant_liar, recall)
    }

    fn weights(&self, goals: usize) -> Weights {
        self.config.weights.unwrap_or(match (goals, self.config.flavour) {
            (0 | 1, _) => Weights::Age,
            (2, Flavour::Kilter) => Weights::Hypervolume,
            _ => Weights::Uniform,
        })
    }

    /// One proposal from the estimate; nothing if it came upon a configuration that was tried.
    fn estimated(&mut self, ask: &Ask<'_>, sides: &Sides, stream: &Stream) -> Result<Option<Config>, SearchError> {
        let outline = ask.space.outline;
        let weights = self.weights(ask.goals.len());
        let single = self.config.single(ask.goals.len() > 1);
        let jointly = single == 0.0 || stream.child("single").uniform() >= single;
        let candidates = self.config.candidates();
        let estimate = Estimate {
            config: &self.config,
            jointly,
            // Of one parameter half as many find the best of the estimate as well.
            candidates: if jointly || single == 1.0 { candidates } else { candidates.div_ceil(2) },
            columns: &self.columns,
            unasked: &self.unasked,
            sides,
            weights,
            history: ask.history,
            goals: ask.goals,
            seen: &self.seen,
        };
        let mut draft = Draft::new(outline, estimate, &mut self.shelf, stream);
        match outline.walk(&mut draft) {
            // Where the answers so far leave none to the next question, the study repairs them.
            Ok(()) | Err(Halt::Enough | Halt::Refused(SpaceError::NothingLeft { .. })) => {
                Ok(draft.into_joint().filter(|joint| self.seen.is_new(outline, joint)))
            }
            Err(Halt::Refused(why)) => Err(why.into()),
        }
    }
}

impl Sampler for Tpe {
    fn observe(&mut self, new: &[Event], _: &History) {
        for event in new {
            if matches!(event.change, Change::Opened(_) | Change::Queued(_) | Change::Answered(_)) {
                self.new.extend(event.number);
            }
            if !matches!(event.change, Change::Answered(_) | Change::Reported(_)) {
                self.ranking.touch(event.number);
            }
        }
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        let outline = ask.space.outline;
        self.encode(ask);
        self.ranking.update(ask.history, ask.goals);
        let at_start =
            ask.history.count(State::Complete) + ask.history.count(State::Pruned) < self.config.startup.max(1);
        let sides = if at_start { Sides::default() } else { self.sides(ask) };
        for attempt in 0..ATTEMPTS {
            let stream = if attempt == 0 { ask.stream.clone() } else { ask.stream.child(&format!("again {attempt}")) };
            let joint = if at_start {
                let joint = start(outline, &stream)?;
                self.seen.is_new(outline, &joint).then_some(joint)
            } else {
                self.estimated(ask, &sides, &stream)?
            };
            if let Some(joint) = joint {
                return Ok(Next::Try(Proposal::new(joint, &stream)));
            }
        }
        Ok(match self.seen.any_left(outline, &mut ask.stream.child("left"))? {
            Some(left) => Next::Try(Proposal::new(left, &ask.stream)),
            None => Next::used_up(match outline.count()? {
                Count::Exact(all) => Some(all),
                Count::AtMost(_) | Count::Beyond => None,
            }),
        })
    }
}

/// So often a proposal is drawn before what is left of a finite space is listed.
const ATTEMPTS: u32 = 8;

/// A random configuration, where somebody expects the best more often.
fn start(outline: &Outline, stream: &Stream) -> Result<Config, SpaceError> {
    if !outline.constraints().is_empty() {
        return Feasible::new(outline)?.config(&mut stream.child("feasible"));
    }
    let mut expectant = Expectant {
        rest: Random::new(stream.child("unforeseen")),
        stream: stream.child("expected"),
        joint: Config::default(),
    };
    match outline.walk(&mut expectant) {
        Ok(()) | Err(Halt::Enough) => Ok(expectant.joint),
        Err(Halt::Refused(why)) => Err(why),
    }
}

/// Answers at random: questions with a prior by it, others uniformly.
struct Expectant {
    rest: Random,
    stream: Stream,
    joint: Config,
}

impl Chooser for Expectant {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let drawn = expected(question.domain, question.prior).map(|(dimension, expected)| {
            let column = Column { values: &[], order: None };
            let options = ParzenOptions::default();
            let prior = Parzen::fit_knowing(&[dimension], &[column], &[], &options, &[Known::Expected(expected)]);
            question.domain.decode(&prior.sample(1, &mut self.stream))
        });
        let value = match drawn.and_then(|value| question.allowed.accept(&value)) {
            Some(value) => value,
            None => self.rest.choose(question)?,
        };
        self.joint.push(question.name.clone(), value.clone());
        Ok(value)
    }
}

/// What is known of a question beforehand, as the estimators see it.
pub(super) fn known(entry: &Entry) -> Known {
    if let Some(distances) = &entry.distances {
        return Known::Distances(distances.clone());
    }
    expected(&entry.domain, entry.prior.as_ref()).map_or(Known::Nothing, |(_, expected)| Known::Expected(expected))
}

/// The prior of a numeric question.
fn expected(domain: &Domain, prior: Option<&Prior>) -> Option<(Dimension, Expected)> {
    let prior = prior?;
    let [coordinate] = domain.coordinates()[..] else { return None };
    let dimension = Dimension::from(coordinate);
    let Dimension::Numeric { log, .. } = dimension else { return None };
    let inward = |x: f64| if log { x.ln() } else { x };
    let expected = Expected { mean: inward(prior.center), sigma: inward(prior.spread) };
    (expected.mean.is_finite() && expected.sigma > 0.0).then_some((dimension, expected))
}
