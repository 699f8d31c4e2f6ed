use kilter_space::Defaults;
use kilter_weights::soup::{Accept, Better, Greedy, GreedyConfig, choose, greedy, outline, uniform};
use kilter_weights::{Checkpoint, Dtype, Options, WeightsError};
use serde_json::Value as Json;

use crate::files::{listing, noise, numbers, plain, save};
use crate::golden::{assert_close, cases, flat, indices, list, read};

/// The golden file's score of a soup.
fn score_of(case: &Json) -> impl Fn(&[f64]) -> f64 {
    let target = case.get("target").map(flat);
    move |soup| match &target {
        Some(target) => -soup.iter().zip(target).map(|(s, t)| (s - t).powi(2)).sum::<f64>(),
        None => (-soup.iter().map(|x| x.abs()).sum::<f64>()).round_ties_even(),
    }
}

fn config(accept: Accept) -> GreedyConfig {
    GreedyConfig { better: Better::Higher, accept, max_ingredients: None }
}

fn assert_golden(got: &Greedy, expected: &Json) {
    assert_eq!(got.order, indices(&expected["order"]));
    assert_eq!(got.ingredients, indices(&expected["ingredients"]));
    assert_close(&[got.score], &flat(&expected["score"]), 1e-10, "score");
    if let Some(singles) = expected.get("single_scores") {
        assert_close(&got.single_scores, &flat(singles), 1e-10, "single scores");
        let trace = list(&expected["trace"]);
        assert_eq!(got.trace.len(), trace.len());
        for (got, expected) in got.trace.iter().zip(trace) {
            assert_eq!(got.candidate, expected["candidate"].as_u64().unwrap() as usize);
            assert_eq!(got.accepted, expected["accepted"].as_bool().unwrap());
            assert_close(&[got.trial_score], &flat(&expected["trial_score"]), 1e-10, "trial score");
        }
    }
}

/// Every case of `14-model-soups/greedy.json`, both rules, through files.
#[test]
fn greedy_choices_are_the_golden_ones() {
    for case in cases("14-model-soups/greedy.json") {
        let folder = tempfile::tempdir().unwrap();
        let score = score_of(&case);
        let models: Vec<Checkpoint> = list(&case["candidates"])
            .iter()
            .map(flat)
            .enumerate()
            .map(|(i, w)| {
                let path = folder.path().join(format!("{i}.safetensors"));
                save(&path, &[plain("w", Dtype::F64, &[w.len() as u64], &w)], &[])
            })
            .collect();
        let models: Vec<&Checkpoint> = models.iter().collect();
        for (rule, accept) in [("not_worse", Accept::NotWorse), ("better", Accept::Better)] {
            let target = folder.path().join("soup.safetensors");
            let evaluate = |path: &std::path::Path| Ok(score(&numbers(&Checkpoint::open(path).unwrap(), "w")));
            let report = greedy(&models, config(accept), None, &target, &Options::default(), evaluate).unwrap();
            assert_golden(&report.greedy, &case[rule]);
            if let Some(soup) = case[rule].get("soup") {
                let got = numbers(&Checkpoint::open(&target).unwrap(), "w");
                assert_close(&got, &flat(soup), 1e-10, "soup");
            }
        }
        assert_eq!(listing(folder.path()).len(), models.len() + 1, "a trial soup was left");
    }
}

/// The published table: the best of the 72 models on the held-out set leads the order, and the greedy soup is above it.
#[test]
fn the_published_table_is_ordered_as_published() {
    let table = read("14-model-soups/published.json");
    let held_out: Vec<f64> =
        list(&table["individual"]).iter().map(|model| model["ImageNet2p"].as_f64().unwrap()).collect();
    let greedy_score = table["greedy"]["ImageNet2p"].as_f64().unwrap();
    let alone = |ingredients: &[usize]| -> Result<f64, ()> {
        Ok(if let [single] = ingredients { held_out[*single] } else { 0.0 })
    };
    let found = choose(held_out.len(), config(Accept::NotWorse), alone).unwrap().unwrap();
    let best = &list(&table["individual"])[found.order[0]];
    assert_eq!(best["model_name"], table["best_on_held_out"]["model_name"]);
    assert_eq!(found.ingredients, [found.order[0]]);
    assert!(greedy_score > found.score);
}

#[test]
fn a_soup_is_never_below_the_best_single_candidate() {
    for seed in 0..200 {
        let mut stream = kilter_numerics::Stream::new(&[seed], "scores");
        let better = if seed % 2 == 0 { Better::Higher } else { Better::Lower };
        let mut draw = |_: &[usize]| -> Result<f64, ()> { Ok((stream.normal() * 3.0).round()) };
        let found = choose(7, GreedyConfig { better, ..config(Accept::NotWorse) }, &mut draw).unwrap().unwrap();
        let best = found.single_scores[found.order[0]];
        let (soup, limit) = if better == Better::Higher { (found.score, best) } else { (-found.score, -best) };
        assert!(soup >= limit);
        assert!(found.single_scores.iter().all(|&s| if better == Better::Higher { s <= best } else { s >= best }));
    }
}

#[test]
fn nan_is_worst_and_never_joins() {
    let scores = [f64::NAN, f64::NEG_INFINITY, 1.0];
    let score = |ingredients: &[usize]| -> Result<f64, ()> {
        Ok(if ingredients.len() == 1 { scores[ingredients[0]] } else { f64::NAN })
    };
    let found = choose(3, config(Accept::NotWorse), score).unwrap().unwrap();
    assert_eq!(found.order, [2, 1, 0]);
    assert_eq!(found.ingredients, [2]);
    assert!(choose(2, config(Accept::NotWorse), |_| Ok::<_, ()>(f64::NAN)).unwrap().is_none());
    assert!(choose(0, config(Accept::NotWorse), |_| Ok::<_, ()>(1.0)).unwrap().is_none());
}

#[test]
fn a_limit_ends_the_loop() {
    let mut asked = 0;
    let count = |_: &[usize]| -> Result<f64, ()> {
        asked += 1;
        Ok(1.0)
    };
    let limited = GreedyConfig { max_ingredients: Some(2), ..config(Accept::NotWorse) };
    let found = choose(6, limited, count).unwrap().unwrap();
    assert_eq!((found.ingredients.len(), asked), (2, 7));
}

#[test]
fn an_evaluation_that_fails_says_so_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = |name: &str, seed| save(&at(name), &[plain("w", Dtype::F32, &[9], &noise(seed, 9))], &[]);
    let (a, b) = (model("a.safetensors", 1), model("b.safetensors", 2));
    let before = listing(folder.path());
    let target = at("soup.safetensors");
    let fail = |path: &std::path::Path| {
        if path == a.path() { Ok(1.0) } else { Err("exit status 1: no such data".to_owned()) }
    };
    let refused = greedy(&[&a, &b], config(Accept::Better), None, &target, &Options::default(), fail).unwrap_err();
    assert!(refused.to_string().contains("b.safetensors failed: exit status 1"), "{refused}");
    let nan = greedy(&[&a, &b], config(Accept::Better), None, &target, &Options::default(), |_| Ok(f64::NAN));
    assert!(matches!(nan, Err(WeightsError::Evaluation { .. })));
    assert_eq!(listing(folder.path()), before);
}

#[test]
fn models_of_different_origin_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = |name: &str, numbers: &[f64]| save(&at(name), &[plain("w", Dtype::F32, &[400], numbers)], &[]);
    let (a, b) = (model("a.safetensors", &noise(1, 400)), model("b.safetensors", &noise(2, 400)));
    let near: Vec<f64> = noise(1, 400).iter().zip(noise(2, 400)).map(|(x, y)| x + 0.1 * y).collect();
    let near = model("c.safetensors", &near);
    let notes =
        |models: &[&Checkpoint]| uniform(models, None, &at("o.safetensors"), &Options::default()).unwrap().notes;
    assert!(notes(&[&a, &b]).iter().any(|note| note.contains("do not average")));
    assert!(notes(&[&a, &near]).is_empty());
}

#[test]
fn a_soups_questions_have_defaults() {
    for candidates in [1, 2, 72] {
        let outline = outline(candidates).unwrap().specialise(&[], &[]).unwrap();
        let config = Defaults::config(&outline).unwrap();
        assert_eq!(config.text("accept").unwrap(), "not_worse");
        assert_eq!(config.int("max_ingredients").unwrap(), candidates as i64);
    }
}
