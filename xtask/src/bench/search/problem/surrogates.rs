//! Surrogates of real trainings: networks that were fitted to many thousand of them, so that spaces without a grid, and
//! curves over epochs, can be searched at the cost of a look-up.
//!
//! Pfisterer, Schneider, Moosbauer, Binder and Bischl, *YAHPO Gym: An Efficient Multi-Objective Multi-Fidelity Benchmark
//! for Hyperparameter Optimization* (2022), for the tasks of its suites that the kept surrogates have, and for further
//! ones. Their inputs are the categories' codes and the numbers, both in a fixed order, 0 where a question is not asked;
//! their outputs the metrics as they are.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use kilter_data::catalogue::Shelves;
use kilter_space::{Config, Entry, Value};
use serde::Deserialize;
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TValue, Tensor, TractResult, TypedSimplePlan,
    tvec,
};

use super::long_search::long_search;
use super::{Collector, FURTHER, HELD_OUT, Objective, Problem, Sketch, entry, text};

/// What a scenario's surrogate takes and gives, as its authors order them.
struct Scenario {
    name: &'static str,
    numbers: &'static [&'static str],
    categories: &'static [&'static str],
    /// The category that names the task.
    task: &'static str,
    /// What is no hyperparameter, at its full value.
    full: &'static [(&'static str, f64)],
}

const LCBENCH: Scenario = Scenario {
    name: "lcbench",
    numbers: &[
        "epoch",
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "num_layers",
        "max_units",
        "max_dropout",
    ],
    categories: &["OpenML_task_id"],
    task: "OpenML_task_id",
    full: &[(EPOCH, EPOCHS as f64)],
};

const XGBOOST: Scenario = Scenario {
    name: "rbv2_xgboost",
    numbers: &[
        "nrounds",
        "eta",
        "gamma",
        "lambda",
        "alpha",
        "subsample",
        "max_depth",
        "min_child_weight",
        "colsample_bytree",
        "colsample_bylevel",
        "rate_drop",
        "skip_drop",
        "trainsize",
        "repl",
    ],
    categories: &["task_id", "booster", "num.impute.selected.cpo"],
    task: "task_id",
    full: &[("trainsize", 1.0), ("repl", 10.0)],
};

const RPART: Scenario = Scenario {
    name: "rbv2_rpart",
    numbers: &["cp", "maxdepth", "minbucket", "minsplit", "trainsize", "repl"],
    categories: &["task_id", "num.impute.selected.cpo"],
    task: "task_id",
    full: &[("trainsize", 1.0), ("repl", 10.0)],
};

const GLMNET: Scenario = Scenario {
    name: "iaml_glmnet",
    numbers: &["alpha", "s", "trainsize"],
    categories: &["task_id"],
    task: "task_id",
    full: &[("trainsize", 1.0)],
};

/// LCBench's fidelity.
const EPOCH: &str = "epoch";
const EPOCHS: u64 = 52;

/// One of a surrogate's outputs as a loss.
#[derive(Clone, Copy)]
struct Loss {
    output: usize,
    /// What the metric is taken from, where more is better.
    from: Option<f64>,
}

const LCBENCH_TIME: Loss = Loss { output: 0, from: None };
const LCBENCH_ERROR: Loss = Loss { output: 1, from: Some(100.0) };
const RBV2_ERROR: Loss = Loss { output: 0, from: Some(1.0) };
const IAML_ERROR: Loss = Loss { output: 0, from: None };
const IAML_FEATURES: Loss = Loss { output: 11, from: None };

/// A surrogate, read.
struct Surrogate {
    scenario: &'static Scenario,
    /// Of one row, and of a row per epoch.
    plans: HashMap<usize, Arc<TypedSimplePlan>>,
    /// Of each category its values' codes.
    codes: HashMap<String, HashMap<String, i32>>,
    hyperparameters: Vec<Hyperparameter>,
    conditions: Vec<Condition>,
}

/// ConfigSpace's JSON.
#[derive(Deserialize)]
struct SpaceFile {
    hyperparameters: Vec<Hyperparameter>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Hyperparameter {
    name: String,
    r#type: String,
    #[serde(default)]
    log: bool,
    lower: Option<f64>,
    upper: Option<f64>,
    #[serde(default)]
    choices: Vec<String>,
}

#[derive(Deserialize)]
struct Condition {
    child: String,
    parent: String,
    value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// Where the surrogates lie: in `yahpo` of a folder that holds data, packed as kilter's catalogue names them, or as a copy
/// of their repository.
fn folder() -> Result<PathBuf, String> {
    let shelves = Shelves::from_environment().map_err(text)?;
    let folders: Vec<PathBuf> = shelves.folders().iter().map(|shelf| shelf.join("yahpo")).collect();
    let is_there = |folder: &&PathBuf| file(folder, LCBENCH.name, "onnx").is_some();
    folders.iter().find(is_there).cloned().ok_or_else(|| {
        let folder = folders.first().map(|folder| folder.display().to_string()).unwrap_or_default();
        format!(
            "{folder}/lcbench.onnx.gz is not here, nor {folder}/lcbench/model.onnx; \
             git clone --depth 1 https://github.com/slds-lmu/yahpo_data {folder} brings it"
        )
    })
}

/// A file of a scenario.
fn file(folder: &Path, scenario: &str, kind: &str) -> Option<PathBuf> {
    let unpacked = if kind == "onnx" { "model.onnx" } else { kind };
    let names = [folder.join(format!("{scenario}.{kind}.gz")), folder.join(scenario).join(unpacked)];
    names.into_iter().find(|name| name.is_file())
}

fn content(file: &Path) -> Result<Vec<u8>, String> {
    let cannot = |why| format!("cannot read {}: {why}", file.display());
    let mut bytes = Vec::new();
    let mut read = std::fs::File::open(file).map_err(cannot)?;
    if file.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(read).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        read.read_to_end(&mut bytes).map_err(cannot)?;
    }
    Ok(bytes)
}

impl Surrogate {
    fn read(folder: &Path, scenario: &'static Scenario) -> Result<Self, String> {
        let read = |kind: &str| {
            let name = scenario.name;
            let found = file(folder, name, kind);
            content(&found.ok_or_else(|| format!("{} has no {name}.{kind}", folder.display()))?)
        };
        let space: SpaceFile = serde_json::from_slice(&read("config_space.json")?).map_err(text)?;
        let codes = serde_json::from_slice(&read("encoding.json")?).map_err(text)?;
        let network = read("onnx")?;
        let mut plans = HashMap::new();
        let in_epochs = scenario.numbers.contains(&EPOCH).then_some(EPOCHS as usize);
        for rows in std::iter::once(1).chain(in_epochs) {
            let plan = plan(&network, rows, scenario).map_err(|why| format!("{}: {why:#}", scenario.name))?;
            plans.insert(rows, plan);
        }
        let SpaceFile { hyperparameters, conditions } = space;
        Ok(Self { scenario, plans, codes, hyperparameters, conditions })
    }

    /// The questions, without the task and the fidelity.
    fn entries(&self) -> Result<Vec<Entry>, String> {
        let fixed = |name: &str| name == self.scenario.task || self.scenario.full.iter().any(|(full, _)| *full == name);
        let mut entries = Vec::new();
        for of in self.hyperparameters.iter().filter(|of| !fixed(&of.name)) {
            let log = if of.log { "log:" } else { "" };
            let (low, high) = (of.lower.unwrap_or(0.0), of.upper.unwrap_or(1.0));
            let domain = match of.r#type.as_str() {
                "uniform_float" => format!("{log}{low:?}..{high:?}"),
                "uniform_int" => format!("int:{log}{low}..{high}"),
                "categorical" => of.choices.join("|"),
                other => return Err(format!("{} is {other}, which is not read", of.name)),
            };
            let mut asked = entry(&of.name, &domain)?;
            if let Some(condition) = self.conditions.iter().find(|condition| condition.child == of.name) {
                let values: Vec<String> =
                    condition.value.iter().chain(&condition.values).map(|v| format!("'{v}'")).collect();
                asked = asked.when(&format!("{} in [{}]", condition.parent, values.join(", "))).map_err(text)?;
            }
            entries.push(asked);
        }
        Ok(entries)
    }

    /// The surrogate's outputs for a configuration, a row for each of `epochs`; none: all that is no hyperparameter at
    /// its full value.
    fn outputs(&self, config: &Config, task: &str, epochs: Option<u64>) -> Result<Vec<Vec<f64>>, String> {
        let rows = epochs.unwrap_or(1) as usize;
        let plan = self.plans.get(&rows).ok_or("no such number of epochs")?;
        let code = |name: &&str| {
            let value = if *name == self.scenario.task { Some(task) } else { config.get(name).and_then(Value::as_str) };
            let code = self.codes.get(*name).and_then(|codes| codes.get(value.unwrap_or("#na#")));
            code.copied().ok_or_else(|| format!("{name} has no {value:?}"))
        };
        let number = |name: &&str, row: usize| {
            let full = self.scenario.full.iter().find(|(full, _)| full == name).map(|(_, at)| *at);
            match full {
                Some(_) if epochs.is_some() && *name == EPOCH => (row + 1) as f32,
                Some(at) => at as f32,
                None => config.float(name).unwrap_or(0.0) as f32,
            }
        };
        let codes: Vec<i32> = self.scenario.categories.iter().map(code).collect::<Result<_, String>>()?;
        let codes = codes.repeat(rows);
        let numbers: Vec<f32> =
            (0..rows).flat_map(|row| self.scenario.numbers.iter().map(move |name| number(name, row))).collect();
        run(plan, rows, &codes, &numbers).map_err(|why| format!("{}: {why:#}", self.scenario.name))
    }
}

fn plan(network: &[u8], rows: usize, scenario: &Scenario) -> TractResult<Arc<TypedSimplePlan>> {
    let shape = |width: usize| [rows, width];
    let (categories, numbers) = (shape(scenario.categories.len()), shape(scenario.numbers.len()));
    tract_onnx::onnx()
        .model_for_read(&mut &network[..])?
        .with_input_fact(0, InferenceFact::dt_shape(i32::datum_type(), categories))?
        .with_input_fact(1, InferenceFact::dt_shape(f32::datum_type(), numbers))?
        .with_output_fact(0, InferenceFact::default())?
        .into_optimized()?
        .into_runnable()
}

fn run(plan: &Arc<TypedSimplePlan>, rows: usize, codes: &[i32], numbers: &[f32]) -> TractResult<Vec<Vec<f64>>> {
    let input = |tensor: Tensor| TValue::from(tensor);
    let codes = Tensor::from_shape(&[rows, codes.len() / rows], codes)?;
    let numbers = Tensor::from_shape(&[rows, numbers.len() / rows], numbers)?;
    let said = plan.run(tvec!(input(codes), input(numbers)))?;
    let outputs = said[0].to_plain_array_view::<f32>()?;
    let outputs: Vec<f64> = outputs.iter().map(|&output| f64::from(output)).collect();
    Ok(outputs.chunks(outputs.len() / rows).map(<[f64]>::to_vec).collect())
}

/// A task of a scenario, with what is minimised.
struct Task {
    surrogate: Arc<Surrogate>,
    task: &'static str,
    losses: &'static [Loss],
    /// Are trials in epochs?
    in_epochs: bool,
}

impl Loss {
    fn of(self, outputs: &[f64]) -> f64 {
        let output = outputs.get(self.output).copied().unwrap_or(f64::NAN);
        self.from.map_or(output, |from| from - output)
    }
}

impl Objective for Task {
    fn losses(&self, config: &Config) -> Result<Vec<f64>, String> {
        let outputs = self.surrogate.outputs(config, self.task, None)?;
        Ok(self.losses.iter().map(|loss| loss.of(&outputs[0])).collect())
    }

    fn curve(&self, config: &Config) -> Option<Result<Vec<(u64, f64)>, String>> {
        self.in_epochs.then(|| {
            let outputs = self.surrogate.outputs(config, self.task, Some(EPOCHS))?;
            Ok((1..).zip(outputs.iter().map(|outputs| self.losses[0].of(outputs))).collect())
        })
    }
}

/// The problems: scenario, task, what is minimised, by what it differs from others of the task.
const PROBLEMS: &[(&Scenario, &str, &[Loss], &str)] = &[
    (&LCBENCH, "167168", &[LCBENCH_ERROR], ""),
    (&LCBENCH, "189873", &[LCBENCH_ERROR], ""),
    (&LCBENCH, "189906", &[LCBENCH_ERROR], ""),
    (&XGBOOST, "12", &[RBV2_ERROR], ""),
    (&XGBOOST, "1501", &[RBV2_ERROR], ""),
    (&XGBOOST, "16", &[RBV2_ERROR], ""),
    (&XGBOOST, "40499", &[RBV2_ERROR], ""),
    (&RPART, "14", &[RBV2_ERROR], ""),
    (&RPART, "40499", &[RBV2_ERROR], ""),
    (&GLMNET, "1067", &[IAML_ERROR], ""),
    (&GLMNET, "1489", &[IAML_ERROR], ""),
    (&LCBENCH, "167152", &[LCBENCH_ERROR, LCBENCH_TIME], "-time"),
    (&LCBENCH, "189873", &[LCBENCH_ERROR, LCBENCH_TIME], "-time"),
    (&GLMNET, "1067", &[IAML_ERROR, IAML_FEATURES], "-features"),
    (&LCBENCH, "167168", &[LCBENCH_ERROR], "-epochs"),
    (&LCBENCH, "189873", &[LCBENCH_ERROR], "-epochs"),
    (&LCBENCH, "189906", &[LCBENCH_ERROR], "-epochs"),
];

/// Scenario, what is minimised, by what it differs from others of the task; tasks.
type Tasks = &'static [(&'static Scenario, &'static [Loss], &'static str, &'static [&'static str])];

/// Further tasks: all others of LCBench, every tenth of the rest, every fourth of LCBench's with its time.
const FURTHER_TASKS: Tasks = &[
    (
        &LCBENCH,
        &[LCBENCH_ERROR],
        "",
        &[
            "126025", "126026", "126029", "146212", "167083", "167104", "167149", "167152", "167161", "167181",
            "167184", "167185", "167190", "167200", "167201", "168329", "168330", "168331", "168335", "168868",
            "168908", "168910", "189354", "189862", "189865", "189866", "189905", "189908", "189909", "34539", "3945",
            "7593",
        ],
    ),
    (
        &XGBOOST,
        &[RBV2_ERROR],
        "",
        &["1056", "1462", "1487", "18", "28", "375", "40900", "40984", "41157", "41212", "4541", "6332"],
    ),
    (
        &RPART,
        &[RBV2_ERROR],
        "",
        &["1111", "1478", "15", "188", "300", "40496", "40966", "41027", "41162", "4154", "50"],
    ),
    (&GLMNET, &[IAML_ERROR], "", &["40981", "41146"]),
    (
        &LCBENCH,
        &[LCBENCH_ERROR, LCBENCH_TIME],
        "-time",
        &["126029", "167149", "167185", "168329", "168868", "189862", "189908", "7593"],
    ),
];

/// Tasks that nothing was decided by.
const HELD_OUT_TASKS: Tasks = &[
    (
        &XGBOOST,
        &[RBV2_ERROR],
        "",
        &["1111", "1478", "15", "23", "31", "40536", "40978", "41142", "41164", "4154", "50"],
    ),
    (
        &RPART,
        &[RBV2_ERROR],
        "",
        &["1056", "1462", "1487", "1590", "23517", "334", "40685", "40982", "41150", "41168", "4541", "6332"],
    ),
    (
        &LCBENCH,
        &[LCBENCH_ERROR, LCBENCH_TIME],
        "-time",
        &["126025", "167083", "167181", "167200", "168331", "168910", "189866", "34539"],
    ),
];

/// Offers them; the levels of each are found by a long search, once, and kept in `levels`.
pub fn surrogates(to: &mut Collector<'_>, levels: Option<&Path>) -> Result<(), String> {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => {
            println!("without the surrogates: {why}");
            return Ok(());
        }
    };
    let mut read: HashMap<&str, Arc<Surrogate>> = HashMap::new();
    let apart = [(FURTHER_TASKS, FURTHER), (HELD_OUT_TASKS, HELD_OUT)];
    let apart = apart.iter().flat_map(|&(tasks, group)| {
        tasks.iter().flat_map(move |&(scenario, losses, suffix, tasks)| {
            tasks.iter().map(move |&task| (scenario, task, losses, suffix, Some(group)))
        })
    });
    let suites = PROBLEMS.iter().map(|&(scenario, task, losses, suffix)| (scenario, task, losses, suffix, None));
    for (scenario, task, losses, suffix, apart) in suites.chain(apart) {
        let name = format!("{}-{task}{suffix}", scenario.name);
        let in_epochs = suffix == "-epochs";
        let group = match losses {
            _ if in_epochs => "steps",
            [_] => "surrogates",
            _ => "fronts",
        };
        let group = apart.unwrap_or(group);
        to.offer(&name, group, || {
            let surrogate = match read.get(scenario.name) {
                Some(surrogate) => surrogate.clone(),
                None => {
                    let surrogate = Arc::new(Surrogate::read(&folder, scenario)?);
                    read.insert(scenario.name, surrogate.clone());
                    surrogate
                }
            };
            let entries = surrogate.entries()?;
            let about = format!("surrogate of {} hyperparameters of real trainings", entries.len());
            let steps = if in_epochs { EPOCHS } else { 1 };
            let goals = losses.len();
            let sketch = Sketch { name: &name, group, about: &about, entries, constraints: &[], goals, steps };
            let objective = Task { surrogate, task, losses, in_epochs };
            let known = long_search(&sketch, &objective, levels)?;
            Problem::known(sketch, objective, known)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kilter_space::Name;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        tolerance: f64,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        scenario: String,
        task: String,
        config: serde_json::Map<String, serde_json::Value>,
        outputs: Vec<f64>,
    }

    /// Another runtime's outputs of the same networks; without the networks there is nothing to compare.
    #[test]
    fn golden_outputs_of_the_surrogates() {
        let Ok(folder) = folder() else { return println!("the surrogates are not here") };
        let golden = std::fs::read(crate::root().join("testdata/bench/yahpo.json")).unwrap();
        let golden: Golden = serde_json::from_slice(&golden).unwrap();
        for scenario in [&LCBENCH, &XGBOOST, &RPART, &GLMNET] {
            let surrogate = Surrogate::read(&folder, scenario).unwrap();
            let cases: Vec<&Case> = golden.cases.iter().filter(|case| case.scenario == scenario.name).collect();
            assert!(!cases.is_empty());
            for case in cases {
                let answer = |(name, value): (&String, &serde_json::Value)| {
                    (Name::new(name).unwrap(), serde_json::from_value(value.clone()).unwrap())
                };
                let config = Config::new(case.config.iter().map(answer).collect());
                let near = |outputs: &[f64]| {
                    for (found, expected) in outputs.iter().zip(&case.outputs) {
                        let error = (found - expected).abs();
                        assert!(error <= golden.tolerance * expected.abs().max(1e-3), "{found} is not {expected}");
                    }
                };
                near(&surrogate.outputs(&config, &case.task, None).unwrap()[0]);
                if scenario.numbers.contains(&EPOCH) {
                    near(surrogate.outputs(&config, &case.task, Some(EPOCHS)).unwrap().last().unwrap());
                }
            }
        }
    }

    /// What a long search finds is not beaten by as many random draws again, and its median splits them.
    #[test]
    fn levels_are_those_of_a_long_search() {
        let mut all = Vec::new();
        surrogates(&mut Collector { wanted: &|name, _| name == "iaml_glmnet-1067", all: &mut all }, None).unwrap();
        for problem in all {
            let draw = |draw: u64| {
                let stream = kilter_numerics::Stream::new(&[draw], "other draws");
                let config = kilter_space::Random::new(stream).config(&problem.outline).unwrap();
                problem.regret(&[problem.losses(&config).unwrap()])
            };
            let regrets: Vec<f64> = (0..2_000).map(draw).collect();
            assert!(regrets.iter().all(|regret| *regret >= 0.0));
            let above = regrets.iter().filter(|regret| **regret > 1.0).count();
            // Two medians of many draws each: 5 of 2,000's standard errors.
            assert!((above as f64 - 1_000.0).abs() < 5.0 * 22.4, "{above} of 2,000 above the median");
        }
    }
}
