//! PED-ANOVA: the golden file, and what importance must be of simple functions.

use kilter_search::importance::{Coordinate, PedAnovaConfig, ped_anova};
use kilter_search::tpe::Dimension;
use serde_json::Value;

use crate::golden::{self, list};

fn dimension(domain: &Value) -> Dimension {
    match domain["type"].as_str().unwrap() {
        "categorical" => Dimension::Categorical { choices: list(&domain["choices"]).len() },
        _ => Dimension::Numeric {
            low: domain["low"].as_f64().unwrap(),
            high: domain["high"].as_f64().unwrap(),
            log: domain["log"].as_bool().unwrap(),
            step: domain["step"].as_f64(),
        },
    }
}

/// A trial's value as a number; NaN where the parameter was not asked.
fn code(domain: &Value, value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::Number(number) => number.as_f64().unwrap(),
        choice => list(&domain["choices"]).iter().position(|other| other == choice).unwrap() as f64,
    }
}

#[test]
fn golden_ped_anova() {
    let file = golden::read("hpo-misc/ped-anova.json");
    let tolerance = file["tolerance"].as_f64().unwrap();
    let studies = list(&file["studies"]);
    let mut compared = 0;
    for case in list(&file["cases"]) {
        let study = studies.iter().find(|study| study["study"] == case["study"]).unwrap();
        let sign = if study["direction"] == "maximize" { -1.0 } else { 1.0 };
        let trials = list(&study["trials"]);
        let losses: Vec<f64> = trials.iter().map(|trial| sign * trial["value"].as_f64().unwrap()).collect();
        let domains = study["distributions"].as_object().unwrap();
        let column = |(name, domain): (&String, &Value)| Coordinate {
            dimension: dimension(domain),
            values: trials.iter().map(|trial| code(domain, &trial["params"][name])).collect(),
        };
        let coordinates: Vec<Coordinate> = domains.iter().map(column).collect();
        let config: PedAnovaConfig = serde_json::from_value(case["options"].clone()).unwrap();
        let found = ped_anova(&coordinates, &losses, &config.checked().unwrap());
        let whole: f64 = found.iter().sum();
        for (name, raw) in domains.keys().zip(found) {
            for (what, found) in [("raw", raw), ("normalised", raw / whole)] {
                let expected = case[what][name].as_f64().unwrap();
                let off = (found - expected).abs();
                assert!(off <= tolerance * expected.abs().max(1.0), "{name}, {what}: {found}, not {expected}: {case}");
            }
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn what_the_loss_hangs_on_matters_and_the_rest_does_not() {
    let mut stream = kilter_numerics::Stream::new(&[1], "importance");
    let unit = Dimension::Numeric { low: 0.0, high: 1.0, log: false, step: None };
    let mut draw = || (0..300).map(|_| stream.uniform()).collect::<Vec<f64>>();
    let (x, noise) = (draw(), draw());
    let losses: Vec<f64> = x.iter().map(|x| (x - 0.3).abs()).collect();
    let never = vec![f64::NAN; 300];
    let coordinates = [x, noise, never].map(|values| Coordinate { dimension: unit, values });
    let found = ped_anova(&coordinates, &losses, &PedAnovaConfig::default());
    assert!(found[0] > 20.0 * found[1], "{found:?}");
    assert_eq!(found[2], 0.0);
    // Nothing can be told of no trials, nor of one.
    let empty = Coordinate { dimension: unit, values: Vec::new() };
    assert_eq!(ped_anova(&[empty], &[], &PedAnovaConfig::default()), [0.0]);
    let one = Coordinate { dimension: unit, values: vec![0.5] };
    assert_eq!(ped_anova(&[one], &[1.0], &PedAnovaConfig::default()), [0.0]);
}

#[test]
fn a_domain_of_one_value_matters_nothing() {
    let losses: Vec<f64> = (0..20).map(f64::from).collect();
    let point = |step| Dimension::Numeric { low: 2.0, high: 2.0, log: false, step };
    for dimension in [point(None), point(Some(1.0)), Dimension::Categorical { choices: 1 }] {
        let values = vec![if matches!(dimension, Dimension::Categorical { .. }) { 0.0 } else { 2.0 }; 20];
        let found = ped_anova(&[Coordinate { dimension, values }], &losses, &PedAnovaConfig::default());
        assert!(found[0].abs() < 1e-9, "{found:?}");
    }
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    for (target, region) in [(0.0, 1.0), (0.5, 0.5), (0.1, 1.5), (f64::NAN, 1.0)] {
        let config = PedAnovaConfig { target_quantile: target, region_quantile: region, ..Default::default() };
        assert!(config.checked().unwrap_err().contains("must lie above 0"), "{target} {region}");
    }
}
