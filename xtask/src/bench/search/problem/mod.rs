//! What is searched: a space, the losses of its configurations, and the two levels between which regret is measured.

mod functions;
mod large;
#[cfg(feature = "surrogates")]
mod long_search;
#[cfg(feature = "surrogates")]
mod surrogates;
mod tables;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kilter_numerics::Stream;
use kilter_search::hypervolume::hypervolume;
use kilter_space::{Chooser, Config, Entry, Expr, Halt, Outline, Random, Walk, parse_domain};
use kilter_study::{Better, Failure, Fidelity, Flow, Goal, Interrupt, Metric, Outcome, Recipe, Run};
use serde::{Deserialize, Serialize};

pub use tables::golden_tables;

use super::options::{FURTHER, HELD_OUT};

/// The groups, in the order of the report.
pub const GROUPS: [&str; 12] = [
    "tables",
    "hpobench",
    "hpolib",
    "nas",
    "surrogates",
    "functions",
    "conditional",
    "constrained",
    "fronts",
    "steps",
    FURTHER,
    HELD_OUT,
];

/// Draws of which a function's median is taken.
const DRAWS: u64 = 10_000;

/// The losses of configurations. All are minimised.
pub trait Objective: Send + Sync {
    /// One loss per goal.
    fn losses(&self, config: &Config) -> Result<Vec<f64>, String>;

    /// How far the configuration lies outside the constraints; 0: inside. Only peers that learn constraints by trying
    /// ever ask for one outside.
    fn violation(&self, _: &Config) -> f64 {
        0.0
    }

    /// The loss after each step of the fidelity, the last the whole; nothing where there is no fidelity.
    fn curve(&self, _: &Config) -> Option<Result<Vec<(u64, f64)>, String>> {
        None
    }
}

/// A problem.
pub struct Problem {
    /// Its name.
    pub name: String,
    /// One of [`GROUPS`].
    pub group: &'static str,
    /// What it is, in a line.
    pub about: String,
    /// Its space.
    pub outline: Outline,
    /// Its space without what must be fulfilled together: peers cannot be told.
    pub free: Outline,
    /// Steps of the fidelity that a whole trial takes; 1 where there is no fidelity. Budgets count whole trials.
    pub steps: u64,
    metrics: Vec<Metric>,
    levels: Levels,
    objective: Box<dyn Objective>,
}

/// Between what regret is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Levels {
    /// One goal: the best loss there is, and the median configuration's.
    Loss { best: f64, median: f64 },
    /// Two goals: the hypervolume of the whole front below a reference that the median configuration, too, does not
    /// dominate.
    Front { reference: Vec<f64>, hypervolume: f64 },
}

/// What makes a [`Problem`].
pub struct Sketch<'a> {
    pub name: &'a str,
    pub group: &'static str,
    pub about: &'a str,
    pub entries: Vec<Entry>,
    pub constraints: &'a [&'a str],
    pub goals: usize,
    pub steps: u64,
}

impl Problem {
    /// A problem whose best loss is known, or its front, and whose median is that of random draws.
    pub fn drawn(sketch: Sketch<'_>, objective: impl Objective + 'static, best: Best) -> Result<Self, String> {
        let mut problem = Self::sketched(sketch, objective)?;
        let mut losses: Vec<Vec<f64>> = Vec::new();
        for draw in 0..DRAWS {
            let stream = Stream::new(&[draw], "the median configuration");
            let config = Random::new(stream).config(&problem.outline).map_err(text)?;
            losses.push(problem.objective.losses(&config)?);
        }
        let median = |goal: usize| median(losses.iter().map(|losses| losses[goal]).collect());
        problem.levels = match best {
            Best::Loss(best) => Levels::Loss { best, median: median(0) },
            Best::Front(points) => front_levels(points, &(0..problem.metrics.len()).map(median).collect::<Vec<f64>>()),
        };
        Ok(problem)
    }

    /// Its levels, in short: other levels, other words.
    pub fn levels_told(&self) -> String {
        let told = serde_json::to_vec(&self.levels).unwrap_or_default();
        let hash = Stream::new(&[], &String::from_utf8_lossy(&told)).bits();
        format!("{hash:016x}")
    }

    /// A problem whose levels are known.
    pub fn known(sketch: Sketch<'_>, objective: impl Objective + 'static, levels: Levels) -> Result<Self, String> {
        Ok(Self { levels, ..Self::sketched(sketch, objective)? })
    }

    fn sketched(sketch: Sketch<'_>, objective: impl Objective + 'static) -> Result<Self, String> {
        let constraints = sketch.constraints.iter().map(|constraint| Expr::parse(constraint).map_err(text));
        let free = Outline::new(sketch.entries.clone()).map_err(text)?;
        let outline = Outline::constrained(sketch.entries, constraints.collect::<Result<_, _>>()?).map_err(text)?;
        let names = (0..sketch.goals).map(|goal| if sketch.goals == 1 { "loss".into() } else { format!("loss{goal}") });
        Ok(Self {
            name: sketch.name.to_owned(),
            group: sketch.group,
            about: sketch.about.to_owned(),
            outline,
            free,
            steps: sketch.steps,
            metrics: names.map(|name| Metric::new(&name, Better::Lower)).collect(),
            levels: Levels::Loss { best: 0.0, median: 1.0 },
            objective: Box::new(objective),
        })
    }

    /// What is minimised.
    pub fn goals(&self) -> Vec<Goal> {
        self.metrics.iter().map(|metric| Goal::minimize(&metric.name)).collect()
    }

    /// A configuration's losses.
    pub fn losses(&self, config: &Config) -> Result<Vec<f64>, String> {
        self.objective.losses(config)
    }

    /// How far outside the constraints a configuration lies.
    pub fn violation(&self, config: &Config) -> f64 {
        self.objective.violation(config)
    }

    /// A configuration's loss after each step of the fidelity, where there is one.
    pub fn curve(&self, config: &Config) -> Option<Result<Vec<(u64, f64)>, String>> {
        self.objective.curve(config)
    }

    /// Whether trials may be cheaper than whole.
    pub fn has_fidelity(&self) -> bool {
        self.steps > 1
    }

    /// The regret of what was found: 0 the best there is, 1 the median configuration, above that worse. Below 0 where
    /// the best is known by search only and something better was found.
    pub fn regret(&self, found: &[Vec<f64>]) -> f64 {
        match &self.levels {
            Levels::Loss { best, median } => {
                let loss = found.iter().map(|losses| losses[0]).fold(f64::INFINITY, f64::min);
                (loss - best) / (median - best)
            }
            Levels::Front { reference, hypervolume: whole } => {
                let found: Vec<&[f64]> = found.iter().map(Vec::as_slice).collect();
                1.0 - hypervolume(&found, reference) / whole
            }
        }
    }
}

/// The best there is.
pub enum Best {
    /// Of one goal.
    Loss(f64),
    /// Of two: points among which the front lies, dense enough that their hypervolume is its.
    Front(Vec<Vec<f64>>),
}

/// The levels of a front that lies among these points, and of the median losses.
fn front_levels(points: Vec<Vec<f64>>, medians: &[f64]) -> Levels {
    let front = front_of(points);
    // A tenth beyond the front, so that its ends count too.
    let beyond = |(goal, median): (usize, &f64)| {
        let values = || front.iter().map(|point| point[goal]);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::MIN, f64::max));
        (high + 0.1 * (high - low)).max(*median)
    };
    let reference: Vec<f64> = medians.iter().enumerate().map(beyond).collect();
    let front: Vec<&[f64]> = front.iter().map(Vec::as_slice).collect();
    Levels::Front { hypervolume: hypervolume(&front, &reference), reference }
}

/// Those of many points with two losses that no other dominates.
fn front_of(mut points: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let mut least = f64::INFINITY;
    points.retain(|point| {
        let better = point[1] < least;
        least = least.min(point[1]);
        better
    });
    points
}

/// A question written inline.
pub fn entry(name: &str, domain: &str) -> Result<Entry, String> {
    Entry::new(name, parse_domain(domain).map_err(text)?).map_err(text)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => f64::NAN,
        Some(&upper) if values.len() % 2 == 1 => upper,
        Some(&upper) => f64::midpoint(values[middle - 1], upper),
    }
}

pub fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

/// What a search has found so far, and what it has spent.
#[derive(Debug, Default)]
pub struct Course {
    /// Steps of the fidelity taken.
    pub spent: u64,
    /// Where the regret sank: after how many steps, and to what.
    pub sinks: Vec<(u64, f64)>,
    /// The best losses: one point, or a front.
    found: Vec<Vec<f64>>,
}

impl Course {
    /// Takes what a trial of so many steps found.
    pub fn take(&mut self, problem: &Problem, steps: u64, losses: Option<Vec<f64>>) {
        self.spent += steps;
        let Some(losses) = losses.filter(|losses| losses.iter().all(|loss| loss.is_finite())) else { return };
        let covers = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
        if self.found.iter().any(|found| covers(found, &losses)) {
            return;
        }
        self.found.retain(|found| !covers(&losses, found));
        self.found.push(losses);
        let regret = problem.regret(&self.found);
        if self.sinks.last().is_none_or(|&(_, before)| regret < before) {
            self.sinks.push((self.spent, regret));
        }
    }
}

/// A search of one problem: as a recipe it gives losses, and it keeps the course.
pub struct Sitting {
    pub problem: Arc<Problem>,
    /// In steps of the fidelity.
    pub budget: u64,
    /// Raised when the budget is spent.
    pub spent: Interrupt,
    course: Mutex<Course>,
}

impl Sitting {
    pub fn new(problem: Arc<Problem>, trials: u64) -> Self {
        let budget = trials * problem.steps;
        Self { problem, budget, spent: Interrupt::new(), course: Mutex::default() }
    }

    pub fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a trial found.
    pub fn take(&self, steps: u64, losses: Option<Vec<f64>>) {
        let mut course = self.course();
        course.take(&self.problem, steps, losses);
        if course.spent >= self.budget {
            self.spent.finish();
        }
    }
}

impl Walk for Sitting {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.problem.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.problem.outline)
    }
}

impl Recipe for Sitting {
    fn name(&self) -> &str {
        &self.problem.name
    }

    fn metrics(&self) -> &[Metric] {
        &self.problem.metrics
    }

    fn fidelity(&self) -> Option<Fidelity> {
        let (name, high) = ("steps".to_owned(), self.problem.steps as f64);
        self.problem.has_fidelity().then_some(Fidelity { name, low: 1.0, high })
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let Some(curve) = self.problem.curve(config) else {
            let losses = self.problem.losses(config).map_err(Failure::refused)?;
            self.take(1, Some(losses.clone()));
            let names = self.problem.metrics.iter().map(|metric| metric.name.clone());
            return Ok(Outcome { metrics: names.zip(losses).collect(), ..Outcome::default() });
        };
        let (mut last, upto) = ((0, f64::NAN), run.fidelity().unwrap_or(f64::INFINITY));
        for (step, loss) in curve.map_err(Failure::refused)? {
            if step as f64 > upto && last.0 > 0 {
                break;
            }
            self.take(step - last.0, Some(vec![loss]));
            last = (step, loss);
            if let Flow::Stop(_) = run.report(step, &[("loss", loss)]) {
                break;
            }
        }
        Ok(Outcome::new([("loss", last.1)]))
    }
}

/// All problems that are asked for and can be had here; what is missing is said. Without a target folder nothing is
/// fetched.
pub fn problems(wanted: &dyn Fn(&str, &str) -> bool, target: Option<&Path>) -> Result<Vec<Arc<Problem>>, String> {
    let mut all = Vec::new();
    let to = &mut Collector { wanted, all: &mut all };
    tables::small(to)?;
    match target.map(large::Large::have) {
        Some(Ok(large)) => large.offer(to)?,
        Some(Err(why)) => println!("without HPOBench, HPOLib and NAS-Bench-201: {why}"),
        None => {}
    }
    large::nas_bench_macro(to)?;
    #[cfg(feature = "surrogates")]
    surrogates::surrogates(to, target.is_some().then(|| crate::root().join("testdata/bench/levels")).as_deref())?;
    functions::functions(to)?;
    Ok(all)
}

/// Takes the problems that are asked for; the others are not even made.
pub struct Collector<'a> {
    wanted: &'a dyn Fn(&str, &str) -> bool,
    all: &'a mut Vec<Arc<Problem>>,
}

impl Collector<'_> {
    pub fn offer(
        &mut self,
        name: &str,
        group: &str,
        make: impl FnOnce() -> Result<Problem, String>,
    ) -> Result<(), String> {
        if (self.wanted)(name, group) {
            self.all.push(Arc::new(make().map_err(|why| format!("problem {name}: {why}"))?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kilter_space::{Name, Value};
    use serde_json::Value as Json;

    use super::*;

    fn golden() -> Json {
        let file = std::fs::read_to_string(golden_tables().join("regret.json")).unwrap();
        serde_json::from_str(&file).unwrap()
    }

    fn by_name(groups: &[&str]) -> BTreeMap<String, Arc<Problem>> {
        let problems = problems(&|_, group| groups.contains(&group), None).unwrap();
        problems.into_iter().map(|problem| (problem.name.clone(), problem)).collect()
    }

    /// The expectation and deviation of random search over one run are known exactly for each table; 400 runs must
    /// come to within 4.5 of their standard errors (64 comparisons: a right judge fails once in two thousand sets of
    /// seeds, and these are fixed).
    #[test]
    fn golden_random_search_has_the_expected_regret() {
        const RUNS: u64 = 400;
        let (golden, problems) = (golden(), by_name(&["tables"]));
        let expected = golden["random_expected"].as_object().unwrap();
        assert!(!expected.is_empty());
        for (name, expected) in expected {
            let problem = &problems[&name.replace('_', "-")];
            let at: Vec<u64> = serde_json::from_value(expected["at"].clone()).unwrap();
            let mut sums = vec![0.0; at.len()];
            for run in 0..RUNS {
                let mut random = Random::new(Stream::new(&[run], "random search"));
                let mut course = Course::default();
                for (sum, at) in sums.iter_mut().zip(&at) {
                    while course.spent < *at {
                        let config = random.config(&problem.outline).unwrap();
                        course.take(problem, 1, Some(problem.losses(&config).unwrap()));
                    }
                    *sum += course.sinks.last().unwrap().1;
                }
            }
            for (place, sum) in sums.iter().enumerate() {
                let figure = |of: &str| expected[of][place].as_f64().unwrap();
                let (mean, error) = (sum / RUNS as f64, figure("sd") / (RUNS as f64).sqrt());
                assert!((mean - figure("mean")).abs() < 4.5 * error, "{name} at {}: {mean}", at[place]);
            }
        }
    }

    /// Two medians of ten thousand draws each: on the widest of these functions, Rosenbrock's, each has a standard error
    /// of 2.2 % of the scale (200 such medians in an independent computation), their difference 3.1 %; four of those.
    #[test]
    fn golden_functions_have_the_known_levels() {
        let (golden, problems) = (golden(), by_name(&["functions"]));
        for (name, expected) in golden["functions"].as_object().unwrap() {
            let Levels::Loss { best, median } = problems[name].levels else { panic!("{name} has one goal") };
            let (low, middle) = (expected["minimum"].as_f64().unwrap(), expected["median"].as_f64().unwrap());
            assert!((best - low).abs() < 1e-9, "{name}: {best}");
            assert!((median - middle).abs() < 0.125 * (middle - low), "{name}: {median} is not about {middle}");
        }
    }

    /// Each function at its known minimiser.
    #[test]
    fn the_best_is_reached_and_no_less() {
        let problems = by_name(&["functions", "conditional", "constrained"]);
        let at = |name: &str, answers: &[(&str, Value)]| {
            let answers = answers.iter().map(|(name, value)| (Name::new(name).unwrap(), value.clone()));
            let problem = &problems[name];
            let config = Config::new(answers.collect());
            assert!(problem.violation(&config) <= 0.0, "{name}");
            problem.regret(&[problem.losses(&config).unwrap()])
        };
        let numbers = |name: &str, x: &[f64]| {
            let names: Vec<String> = (1..=x.len()).map(|i| format!("x{i}")).collect();
            let answers: Vec<(&str, Value)> =
                names.iter().map(String::as_str).zip(x.iter().map(|&x| x.into())).collect();
            at(name, &answers)
        };
        let found = [
            numbers("branin", &[std::f64::consts::PI, 2.275]),
            numbers("branin-disk", &[std::f64::consts::PI, 2.275]),
            numbers("hartmann6", &[0.201_69, 0.150_011, 0.476_874, 0.275_332, 0.311_652, 0.657_3]),
            numbers("ackley5", &[0.0; 5]),
            numbers("rosenbrock4", &[1.0; 4]),
            numbers("rastrigin5", &[0.0; 5]),
            numbers("rastrigin-whole", &[0.0; 5]),
            numbers("levy4", &[1.0; 4]),
            numbers("bird-disk", &[-3.130_246_8, -1.582_142_18]),
            numbers("mixture", &[0.45, 0.55, 0.0, 0.0]),
            at("tree", &[("x1", "left".into()), ("x2", "left".into()), ("x4", 0.0.into()), ("r8", 0.0.into())]),
            at(
                "training",
                &[
                    ("optimizer", "adam".into()),
                    ("learning_rate", 1e-3.into()),
                    ("beta2", 1e-3.into()),
                    ("weight_decay", 1e-4.into()),
                    ("layers", Value::Int(3)),
                    ("width", Value::Int(256)),
                    ("skip", "every".into()),
                    ("batch", Value::Int(64)),
                    ("activation", "gelu".into()),
                    ("dropout", 0.2.into()),
                ],
            ),
        ];
        assert_eq!(found.len(), problems.len());
        for regret in found {
            assert!(regret.abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn a_front_has_no_regret_and_its_reference_all() {
        for (name, problem) in by_name(&["fronts"]) {
            let Levels::Front { reference, .. } = &problem.levels else { panic!("{name} has two goals") };
            assert_eq!(problem.regret(std::slice::from_ref(reference)), 1.0);
            // One point of it is worth something, and not all: ZDT's left end, or the network without any multiplication
            // but the stem's.
            let identities = || vec![Value::from("identity"); 8];
            let named = |values: Vec<Value>| {
                let names = (0..values.len()).map(|i| Name::new(&format!("layer{i}")).unwrap());
                Config::new(names.zip(values).collect())
            };
            let point = match name.starts_with("zdt") {
                true => vec![0.0, 1.0],
                false => problem.losses(&named(identities())).unwrap(),
            };
            let end = problem.regret(&[point]);
            assert!(end > 0.0 && end < 1.0, "{name}: {end}");
        }
    }

    /// What a trial in steps spends is what it took of its curve.
    #[test]
    fn a_stopped_trial_spends_its_steps_only() {
        let problem = by_name(&["steps"]).remove("mlp-digits-steps").unwrap();
        let sitting = Sitting::new(problem.clone(), 2);
        let config = Random::new(Stream::new(&[0], "steps")).config(&problem.outline).unwrap();
        let mut run = Run::offline(0).with_fidelity(Some(9.0));
        sitting.run(&config, &mut run).unwrap();
        assert_eq!(sitting.course().spent, 9);
        sitting.run(&config, &mut Run::offline(0)).unwrap();
        assert_eq!(sitting.course().spent, 9 + 27);
        assert!(!sitting.spent.is_set());
        sitting.run(&config, &mut Run::offline(0)).unwrap();
        assert!(sitting.spent.is_set());
    }
}
