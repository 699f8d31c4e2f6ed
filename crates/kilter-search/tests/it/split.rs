//! Gamma, age weights and the split into below and above.
use crate::golden::{self, assert_close, indices, list, numbers};
use kilter_search::tpe::split::{
    Candidate, Outcome, Split, default_gamma, default_weights, hyperopt_gamma, multi_objective_gamma, split,
};
use proptest::prelude::*;

#[test]
fn golden_gamma_and_weights() {
    let file = golden::read("hpo-tpe/gamma-weights.json");
    let n = indices(&file["n"]);
    assert!(!n.is_empty());
    let sizes = |rule: fn(usize) -> usize| n.iter().map(|&n| rule(n)).collect::<Vec<_>>();
    assert_eq!(sizes(default_gamma), indices(&file["default_gamma"]));
    assert_eq!(sizes(multi_objective_gamma), indices(&file["default_gamma_multiobjective"]));
    assert_eq!(sizes(hyperopt_gamma), indices(&file["hyperopt_gamma"]));
    let weights = file["default_weights"].as_object().unwrap();
    assert!(!weights.is_empty());
    for (n, expected) in weights {
        assert_close(&default_weights(n.parse().unwrap()), &numbers(expected), 1e-15, n);
    }
}

#[test]
fn golden_split() {
    let file = golden::read("hpo-tpe/split.json");
    let cases = list(&file["cases"]);
    assert!(!cases.is_empty());
    for (i, case) in cases.iter().enumerate() {
        let maximize: Vec<bool> = list(&case["directions"]).iter().map(|d| d == "maximize").collect();
        let trials = list(&case["trials"]);
        let values: Vec<Vec<f64>> =
            trials.iter().map(|t| if t["values"].is_null() { Vec::new() } else { numbers(&t["values"]) }).collect();
        let seen: Vec<Candidate<'_>> = trials
            .iter()
            .zip(&values)
            .map(|(trial, values)| {
                let last = trial["intermediate"].as_object().and_then(|reports| {
                    let steps = reports.iter().map(|(step, v)| (step.parse().unwrap(), v.as_f64().unwrap_or(f64::NAN)));
                    steps.max_by_key(|&(step, _)| step)
                });
                let constraints =
                    if trial["constraints"].is_null() { Vec::new() } else { numbers(&trial["constraints"]) };
                Candidate {
                    outcome: match trial["state"].as_str().unwrap() {
                        "COMPLETE" => Outcome::Complete(values),
                        "PRUNED" => Outcome::Pruned(last),
                        "RUNNING" => Outcome::Running,
                        state => panic!("unknown state {state}"),
                    },
                    violation: constraints.iter().filter(|&&c| c > 0.0).sum(),
                }
            })
            .collect();
        let got = split(&seen, &maximize, case["n_below"].as_u64().unwrap() as usize);
        let expected = Split { below: indices(&case["below"]), above: indices(&case["above"]) };
        assert_eq!(got, expected, "case {i}");
    }
}

#[test]
fn nothing_to_split() {
    assert_eq!(split(&[], &[false], 3), Split { below: vec![], above: vec![] });
    let running = Candidate { outcome: Outcome::Running, violation: 0.0 };
    assert_eq!(split(&[running; 2], &[false, true], 5), Split { below: vec![], above: vec![0, 1] });
}

#[test]
fn pruned_trials_without_a_number_come_last_at_their_step() {
    let trial = |last| Candidate { outcome: Outcome::Pruned(last), violation: 0.0 };
    let trials = [trial(None), trial(Some((2, f64::NAN))), trial(Some((1, 0.0))), trial(Some((2, 9.0)))];
    let order: Vec<Vec<usize>> = (1..=4).map(|n| split(&trials, &[false], n).below).collect();
    assert_eq!(order, [vec![3], vec![1, 3], vec![1, 2, 3], vec![0, 1, 2, 3]]);
}

proptest! {
    #[test]
    fn below_is_the_head_of_a_stable_sort(values in proptest::collection::vec(-3..3_i32, 0..60), n in 0..70_usize, maximize: bool) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let trials: Vec<Candidate<'_>> = values
            .iter()
            .map(|v| Candidate { outcome: Outcome::Complete(std::slice::from_ref(v)), violation: 0.0 })
            .collect();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| if maximize { values[b].total_cmp(&values[a]) } else { values[a].total_cmp(&values[b]) });
        order.truncate(n);
        order.sort_unstable();
        let got = split(&trials, &[maximize], n);
        prop_assert_eq!(&got.below, &order);
        let mut all = got.below.clone();
        all.extend(&got.above);
        all.sort_unstable();
        prop_assert_eq!(all, (0..values.len()).collect::<Vec<_>>());
    }

    #[test]
    fn below_has_the_size_asked_for(
        values in proptest::collection::vec(proptest::array::uniform3(-2..2_i32), 0..30),
        n in 0..40_usize,
    ) {
        let values: Vec<Vec<f64>> = values.into_iter().map(|v| v.into_iter().map(f64::from).collect()).collect();
        let trials: Vec<Candidate<'_>> =
            values.iter().map(|v| Candidate { outcome: Outcome::Complete(v), violation: 0.0 }).collect();
        let got = split(&trials, &[false, true, false], n);
        prop_assert_eq!(got.below.len(), n.min(values.len()));
        // Nobody above dominates anybody below.
        let better = |a: &[f64], b: &[f64]| {
            let le = a[0] <= b[0] && a[1] >= b[1] && a[2] <= b[2];
            le && a != b
        };
        for &a in &got.above {
            for &b in &got.below {
                prop_assert!(!better(&values[a], &values[b]));
            }
        }
    }
}
