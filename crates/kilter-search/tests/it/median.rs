//! The percentile rule.
use crate::golden::{self, list, numbers};
use kilter_search::median::{PercentileConfig, PercentileRule, Stop};

/// Rules of the golden file that other files of this crate will hold.
const OF_OTHER_RULES: [&str; 4] = ["successive_halving", "hyperband", "threshold", "patient_median"];

#[test]
fn golden_median_and_percentile() {
    let file = golden::read("hpo-misc/pruners.json");
    let mut compared = 0;
    for case in list(&file["cases"]) {
        let kind = case["pruner"].as_str().unwrap();
        if OF_OTHER_RULES.contains(&kind) {
            println!("not compared here: {kind}");
            continue;
        }
        assert!(["median", "percentile"].contains(&kind), "unknown rule {kind}");
        let config: PercentileConfig = serde_json::from_value(case["options"].clone()).unwrap();
        let mut rule = PercentileRule::new(config, case["direction"] == "maximize");
        let stops = list(&case["stopped_at_step"]);
        for (trial, (curve, expected)) in list(&case["curves"]).iter().zip(stops).enumerate() {
            let curve: Vec<(u64, f64)> = (0..).zip(numbers(curve)).collect();
            let stop = (1..=curve.len()).find_map(|reports| rule.verdict(&curve[..reports]));
            assert_eq!(stop.map(|s| s.step), expected.as_u64(), "{kind}, trial {trial}: {stop:?}");
            if stop.is_none() {
                rule.observe_complete(&curve);
            }
        }
        compared += 1;
    }
    assert!(compared > 0);
}

fn after(config: PercentileConfig, maximize: bool, finals: &[f64]) -> PercentileRule {
    let mut rule = PercentileRule::new(config, maximize);
    for &value in finals {
        rule.observe_complete(&[(0, value)]);
    }
    rule
}

#[test]
fn a_verdict_names_the_numbers_compared() {
    let rule = after(PercentileConfig::default(), false, &[5.0, 1.0, 2.0, f64::NAN, 4.0]);
    assert_eq!(rule.verdict(&[(0, 3.5)]), Some(Stop { step: 0, best: 3.5, bar: 3.0, trials: 4 }));
    assert_eq!(rule.verdict(&[(0, 3.0)]), None);
    let stop = rule.verdict(&[(0, f64::NAN)]).unwrap();
    assert!(stop.best.is_nan() && stop.bar.is_nan());
}

#[test]
fn the_best_so_far_counts() {
    let mut rule = PercentileRule::new(PercentileConfig { n_startup_trials: 1, ..Default::default() }, true);
    rule.observe_complete(&[(0, 1.0), (1, 2.0)]);
    assert_eq!(rule.verdict(&[(0, 3.0), (1, 0.0)]), None);
    assert!(rule.verdict(&[(0, 1.5), (1, 0.0)]).is_some());
}

#[test]
fn nothing_is_stopped_without_grounds() {
    let finals = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(after(PercentileConfig::default(), false, &finals).verdict(&[(0, 9.0)]), None);
    let eager = PercentileConfig { n_startup_trials: 0, ..Default::default() };
    assert_eq!(after(eager, false, &[]).verdict(&[(0, 9.0)]), None);
    let rule = after(eager, false, &finals);
    assert_eq!(rule.verdict(&[]), None);
    // Nobody has been at step 7, so there is nothing to compare with.
    assert_eq!(rule.verdict(&[(7, 9.0)]), None);
    assert!(rule.verdict(&[(0, 9.0)]).is_some());
    let patient = PercentileConfig { n_warmup_steps: 1, ..eager };
    assert_eq!(after(patient, false, &finals).verdict(&[(0, 9.0)]), None);
}

#[test]
fn sparse_reports_are_judged_once_per_interval() {
    let config = PercentileConfig { n_startup_trials: 0, n_warmup_steps: 10, interval_steps: 5, ..Default::default() };
    let mut rule = PercentileRule::new(config, false);
    rule.observe_complete(&[(11, 0.0), (14, 0.0), (16, 0.0)]);
    assert_eq!(rule.verdict(&[(9, 1.0)]), None);
    assert!(rule.verdict(&[(9, 1.0), (11, 1.0)]).is_some());
    assert_eq!(rule.verdict(&[(9, 1.0), (11, 1.0), (14, 1.0)]), None);
    assert!(rule.verdict(&[(9, 1.0), (11, 1.0), (14, 1.0), (16, 1.0)]).is_some());
}
