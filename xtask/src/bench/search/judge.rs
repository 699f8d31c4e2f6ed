//! What the cells say: regrets with intervals, ranks with a critical difference, who beats whom where.

use std::collections::HashMap;

use kilter_numerics::Stream;
use kilter_numerics::compare::{Interval, bootstrap_mean, paired_difference};
use kilter_numerics::ranks::{Friedman, critical_difference, friedman};
use serde_json::{Value, json};

use super::cell::Searched;
use super::problem::Problem;

/// Confidence of every interval and of the critical difference.
pub const CONFIDENCE: f64 = 0.95;

/// Resamples of every bootstrap; they know an end of an interval to some per cent of its width.
const RESAMPLES: usize = 2_000;

/// Where nothing was found yet, the median configuration's regret stands.
const NOTHING: f64 = 1.0;

/// Problems that are judged together.
pub struct Section {
    pub title: &'static str,
    /// The name of its files.
    pub file: &'static str,
    pub problems: Vec<String>,
    pub groups: Vec<&'static str>,
    pub methods: Vec<String>,
    pub budgets: Vec<u64>,
    /// By problem, method and budget: the seeds' regrets, in the order of seeds; empty where nothing was searched.
    regrets: Vec<Vec<Vec<Vec<f64>>>>,
    /// By method: CPU seconds per trial, the median over cells.
    cpu_seconds: Vec<Option<f64>>,
    /// By problem and method: mean regret every few trials.
    pub curves: Vec<Vec<Vec<(f64, f64)>>>,
}

/// Mean ranks at a budget.
pub struct Ranks {
    pub budget: u64,
    /// Places in the section's methods.
    pub methods: Vec<usize>,
    pub test: Friedman,
    pub critical_difference: f64,
}

impl Section {
    /// The section of these problems, from the searched cells by (problem, method): in the order of seeds.
    pub fn new(
        (title, file): (&'static str, &'static str),
        problems: &[&Problem],
        methods: &[String],
        budgets: &[u64],
        cells: &HashMap<(String, String), Vec<Searched>>,
    ) -> Self {
        let of = |problem: &Problem, method: &String| {
            cells.get(&(problem.name.clone(), method.clone())).map_or(&[] as &[Searched], Vec::as_slice)
        };
        let any = |method: &&String| problems.iter().any(|problem| !of(problem, method).is_empty());
        let methods: Vec<String> = methods.iter().filter(any).cloned().collect();
        let at = |cells: &[Searched], budget: u64| -> Vec<f64> {
            let cells = cells.iter().filter(|cell| cell.budget >= budget);
            cells.map(|cell| cell.regret(budget).unwrap_or(NOTHING)).collect()
        };
        let regrets = |problem: &&Problem| {
            methods.iter().map(|m| budgets.iter().map(|&budget| at(of(problem, m), budget)).collect()).collect()
        };
        let per_trial = |method: &String| {
            let cells = problems.iter().flat_map(|problem| of(problem, method));
            let seconds: Vec<f64> = cells.map(|cell| cell.cpu_seconds / cell.budget as f64).collect();
            (!seconds.is_empty()).then(|| super::problem::median(seconds))
        };
        let last = budgets.last().copied().unwrap_or(0);
        let curve = |cells: &[Searched]| -> Vec<(f64, f64)> {
            let until = cells.iter().map(|cell| cell.budget).min().unwrap_or(0).min(last);
            let mean = |trials: u64| {
                let sum: f64 = cells.iter().map(|cell| cell.regret(trials).unwrap_or(NOTHING)).sum();
                (trials as f64, sum / cells.len() as f64)
            };
            (1..=until).filter(|trials| *trials < 20 || trials % 2 == 0).map(mean).collect()
        };
        Self {
            title,
            file,
            problems: problems.iter().map(|problem| problem.name.clone()).collect(),
            groups: problems.iter().map(|problem| problem.group).collect(),
            budgets: budgets.to_vec(),
            regrets: problems.iter().map(regrets).collect(),
            cpu_seconds: methods.iter().map(per_trial).collect(),
            curves: problems.iter().map(|problem| methods.iter().map(|m| curve(of(problem, m))).collect()).collect(),
            methods,
        }
    }

    /// Median CPU seconds per trial of a method.
    pub fn cpu_seconds(&self, method: usize) -> Option<f64> {
        self.cpu_seconds[method]
    }

    /// The fewest and the most seeds of a method.
    pub fn seeds(&self, method: usize) -> (usize, usize) {
        let seeds = || self.regrets.iter().map(|methods| methods[method][0].len()).filter(|seeds| *seeds > 0);
        (seeds().min().unwrap_or(0), seeds().max().unwrap_or(0))
    }

    /// A method's mean regret on a problem.
    pub fn on(&self, problem: usize, method: usize, budget: usize) -> Option<Interval> {
        let seeds = &self.regrets[problem][method][budget];
        bootstrap_mean(&[seeds], CONFIDENCE, RESAMPLES, &mut Stream::new(&[problem as u64], "bootstrap")).ok()
    }

    /// A method's mean regret over all problems, if it has searched all of them.
    pub fn average(&self, method: usize, budget: usize) -> Option<Interval> {
        let groups: Vec<&[f64]> = self.regrets.iter().map(|methods| methods[method][budget].as_slice()).collect();
        bootstrap_mean(&groups, CONFIDENCE, RESAMPLES, &mut Stream::new(&[method as u64], "bootstrap")).ok()
    }

    /// Ranks at a budget of the methods that have searched every problem so far; none if they are fewer than two, or
    /// the problems are.
    pub fn ranks(&self, budget: usize) -> Option<Ranks> {
        let whole = |method: &usize| self.regrets.iter().all(|methods| !methods[*method][budget].is_empty());
        let methods: Vec<usize> = (0..self.methods.len()).filter(whole).collect();
        let mean = |seeds: &Vec<f64>| {
            let mean = seeds.iter().sum::<f64>() / seeds.len() as f64;
            // What differs by rounding only is equal.
            (mean * 1e9).round() / 1e9
        };
        let rows: Vec<Vec<f64>> =
            self.regrets.iter().map(|of| methods.iter().map(|&m| mean(&of[m][budget])).collect()).collect();
        let test = friedman(&rows).ok()?;
        let critical_difference = critical_difference(methods.len(), rows.len(), CONFIDENCE).ok()?;
        Some(Ranks { budget: self.budgets[budget], methods, test, critical_difference })
    }

    /// Problems on which `a` is better than `b`, equal within the seeds' spread, and worse: paired over their common
    /// seeds.
    pub fn against(&self, a: usize, b: usize, budget: usize) -> [Vec<&str>; 3] {
        let mut sides: [Vec<&str>; 3] = Default::default();
        for (problem, of) in self.regrets.iter().enumerate() {
            let (a, b) = (&of[a][budget], &of[b][budget]);
            let common = a.len().min(b.len());
            let Ok(difference) = paired_difference(&a[..common], &b[..common], CONFIDENCE) else { continue };
            let side = match difference.difference {
                Interval { high, .. } if high < 0.0 => 0,
                Interval { low, .. } if low > 0.0 => 2,
                _ => 1,
            };
            sides[side].push(&self.problems[problem]);
        }
        sides
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        let interval = |i: Interval| json!({ "mean": i.estimate, "low": i.low, "high": i.high });
        let budgets = || self.budgets.iter().enumerate();
        let methods = || self.methods.iter().enumerate();
        let by_budget = |of: &dyn Fn(usize) -> Option<Interval>| -> Value {
            budgets().filter_map(|(at, budget)| Some((budget.to_string(), interval(of(at)?)))).collect()
        };
        let seeds = |p: usize, m: usize| -> Value {
            budgets().map(|(at, budget)| (budget.to_string(), json!(self.regrets[p][m][at]))).collect()
        };
        let on_problem = |p: usize, m: usize| {
            let regret = by_budget(&|at| self.on(p, m, at));
            json!({ "regret": regret, "seeds": seeds(p, m), "curve": self.curves[p][m] })
        };
        let of_problem = |(p, name): (usize, &String)| {
            let of: Value = methods().map(|(m, method)| (method.clone(), on_problem(p, m))).collect();
            (name.clone(), json!({ "group": self.groups[p], "methods": of }))
        };
        let ranks_at = |at: usize| {
            let ranks = self.ranks(at)?;
            let places = ranks.methods.iter().zip(&ranks.test.mean_ranks);
            let of: Value = places.map(|(m, rank)| (self.methods[*m].clone(), json!(rank))).collect();
            Some(json!({
                "budget": ranks.budget, "problems": ranks.test.problems, "mean_ranks": of,
                "friedman_chi_squared": ranks.test.chi_squared, "friedman_p": ranks.test.p_value,
                "critical_difference": ranks.critical_difference,
            }))
        };
        let of_method = |(m, name): (usize, &String)| {
            let regret = by_budget(&|at| self.average(m, at));
            (name.clone(), json!({ "regret": regret, "cpu_seconds_per_trial": self.cpu_seconds[m] }))
        };
        let problems: Value = self.problems.iter().enumerate().map(of_problem).collect();
        let ranks: Vec<Value> = budgets().filter_map(|(at, _)| ranks_at(at)).collect();
        let averages: Value = methods().map(of_method).collect();
        json!({ "title": self.title, "methods": averages, "ranks": ranks, "problems": problems })
    }
}
