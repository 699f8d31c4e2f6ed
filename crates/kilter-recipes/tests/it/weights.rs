//! What the claims of merging and quantising are decided by, on a small scale.

use kilter_recipes::Reproduction;
use kilter_recipes::weights::{breadcrumbs, nupes, soups};
use kilter_space::{Defaults, Value};
use kilter_study::{Outcome, Run};

/// Runs a recipe, which must give what the claims are decided by.
fn run(name: &str, claims: &Reproduction, set: &[(&str, Value)]) -> Outcome {
    let recipe = kilter_recipes::find(name).unwrap();
    let set: Vec<(String, Value)> = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let config = Defaults::config(&recipe.outline().unwrap().specialise(&set, &[]).unwrap()).unwrap();
    let outcome = recipe.run(&config, &mut Run::offline(0)).unwrap();
    let known: Vec<&str> = recipe.metrics().iter().map(|metric| metric.name.as_str()).collect();
    for (name, value) in &outcome.metrics {
        assert!(value.is_finite() && known.contains(&name.as_str()), "{name} {value}");
    }
    let is_its = |arm: &&str| claims.arms.iter().any(|known| known.name == *arm && known.recipe == name);
    for claim in claims.claims.iter().filter(|claim| claim.ours.iter().any(is_its)) {
        assert!(outcome.metrics.contains_key(claim.metric), "{}", claim.sentence);
    }
    outcome
}

/// By construction, whatever the seed.
#[test]
fn a_greedy_soup_is_not_below_the_best_where_it_was_chosen() {
    let set = [("candidates", Value::Int(3)), ("seed", Value::Int(77))];
    let metrics = run(soups::SOUPS, &soups::REPRODUCTION, &set).metrics;
    assert!(metrics["greedy_over_best_held_out"] >= 0.0, "{metrics:?}");
    assert!((1.0..=3.0).contains(&metrics["ingredients"]));
    // Ten classes: chance is 0.1.
    assert!(metrics["base_accuracy"] > 0.4 && metrics["mean_accuracy"] > metrics["base_accuracy"], "{metrics:?}");
    assert!(metrics["barrier_of_strangers"] > metrics["barrier_of_siblings"]);
}

#[test]
fn two_tasks_in_one_network_keep_most_of_both() {
    let metrics = run(breadcrumbs::TASKS, &breadcrumbs::REPRODUCTION, &[("tasks", Value::Int(2))]).metrics;
    assert!(metrics["own"] > 0.9, "{metrics:?}");
    // A network that knows one of two tasks, and guesses at the other, has little more than half.
    assert!(metrics["breadcrumbs"] > 0.6 && metrics["arithmetic"] > 0.6, "{metrics:?}");
}

#[test]
fn whole_numbers_give_what_the_decoded_network_gives() {
    let set = [("bits", Value::Int(4)), ("steps", Value::Int(200))];
    let metrics = run(nupes::BITS, &nupes::REPRODUCTION, &set).metrics;
    assert!(metrics["float_accuracy"] > 0.95, "{metrics:?}");
    assert!(metrics["integer_gap"] < 1e-3, "{metrics:?}");
    assert!(metrics["nupes_over_power"] < 1.0, "{metrics:?}");
    // An eighth for the codes, and a scale for each row.
    assert!((0.125..0.16).contains(&metrics["size_over_float"]), "{metrics:?}");
}
