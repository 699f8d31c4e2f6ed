//! The recipes that put laws and plans to the test.

use kilter_numerics::Stream;
use kilter_recipes::laws::{cluster, compute_class, mup, power_scheduler, step_law};
use kilter_recipes::{Reproduction, Scale, find, recipes, weights};
use kilter_space::{Config, Defaults, Random, Value};
use kilter_study::{Failure, Outcome, Recipe, Run};

fn config(recipe: &dyn Recipe, set: &[(&str, Value)]) -> Config {
    let set: Vec<(String, Value)> = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Defaults::config(&recipe.outline().unwrap().specialise(&set, &[]).unwrap()).unwrap()
}

fn run(name: &str, set: &[(&str, Value)]) -> Result<Outcome, Failure> {
    let recipe = find(name).unwrap();
    recipe.run(&config(&*recipe, set), &mut Run::offline(0))
}

const ALL: [&Reproduction; 8] = [
    &step_law::REPRODUCTION,
    &compute_class::REPRODUCTION,
    &mup::REPRODUCTION,
    &cluster::REPRODUCTION,
    &power_scheduler::REPRODUCTION,
    &weights::soups::REPRODUCTION,
    &weights::breadcrumbs::REPRODUCTION,
    &weights::nupes::REPRODUCTION,
];

/// Every arm names a recipe and settings that it knows, and some claim is about it; every claim names arms, and metrics
/// that they give.
#[test]
fn arms_and_claims_fit_their_recipes() {
    for reproduction in ALL {
        let arms: Vec<&str> = reproduction.arms.iter().map(|arm| arm.name).collect();
        for arm in reproduction.arms_at(Scale::Full) {
            let recipe = find(arm.recipe).unwrap();
            let set: Vec<(&str, Value)> =
                arm.set.iter().map(|(name, value)| (*name, kilter_space::parse_value(value))).collect();
            config(&*recipe, &set);
            let mut claims = reproduction.claims.iter();
            let is_claimed = claims.any(|claim| claim.ours.contains(&arm.name) || claim.baseline.contains(&arm.name));
            assert!(is_claimed, "{}: {}", reproduction.name, arm.name);
        }
        for claim in reproduction.claims {
            for arm in claim.ours.iter().chain(claim.baseline) {
                assert!(arms.contains(arm), "{}: {arm}", reproduction.name);
                let recipe = find(reproduction.arms.iter().find(|known| known.name == *arm).unwrap().recipe).unwrap();
                assert!(recipe.metrics().iter().any(|metric| metric.name == claim.metric), "{arm}: {}", claim.metric);
            }
        }
    }
}

/// The published numbers of the release: mean gap 0.096 %, worst 0.31 % (the golden file's own).
#[test]
fn advice_is_judged_as_the_golden_file_says() {
    let gap = |advice: &str, group: i64| {
        run(step_law::ADVICE, &[("advice", advice.into()), ("seed", group.into())]).unwrap().metrics["gap_percent"]
    };
    let gaps: Vec<f64> = (0..17).map(|group| gap("paper", group)).collect();
    let mean = gaps.iter().sum::<f64>() / 17.0;
    assert!((mean - 0.096).abs() < 0.002, "{mean}");
    assert!((gaps.iter().copied().fold(0.0, f64::max) - 0.31).abs() < 0.01, "{gaps:?}");
    assert!(gap("held-out", 0) < 0.1);
    assert!(run(step_law::ADVICE, &[("seed", 17_i64.into())]).unwrap_err().to_string().contains("17 groups"));
}

#[test]
fn a_search_with_a_prior_begins_near_the_best() {
    let of = |prior: &str, seed: i64| run(step_law::SEARCH, &[("prior", prior.into()), ("seed", seed.into())]).unwrap();
    let mean = |prior: &str, metric: &str| (0..6).map(|seed| of(prior, seed).metrics[metric]).sum::<f64>() / 6.0;
    assert!(mean("law", "first_percent") < mean("none", "first_percent"));
    assert_eq!(of("law", 3).metrics, of("law", 3).metrics);
    assert!(of("law", 0).metrics["trials"] >= 1.0 && of("none", 0).metrics["trials"] <= 61.0);
}

/// Whatever the sampler may propose divides everything, and some of it does not fit.
#[test]
fn proposed_plans_divide_and_some_run_out_of_memory() {
    let recipe = find(cluster::PLAN).unwrap();
    assert!(recipes().iter().any(|listed| listed.name() == cluster::PLAN));
    let outline = &recipe.outline().unwrap().specialise(&[], &[]).unwrap();
    let (mut out_of_memory, mut fitting) = (0, 0);
    for seed in 0..300 {
        let config = Random::new(Stream::new(&[seed], "plans")).config(outline).unwrap();
        let int = |name: &str| config.int(name).unwrap();
        let (tp, pp, micro, v) = (int("tp"), int("pp"), int("micro_batch"), int("interleave"));
        let dp = 1024 / (tp * pp);
        assert_eq!(tp * pp * dp, 1024);
        assert_eq!(10_240 % (dp * micro), 0, "{config:?}");
        let m = 10_240 / (dp * micro);
        assert!(96 % (pp * v) == 0 && (v == 1 || (pp > 1 && m % pp == 0)), "{config:?}");
        assert!(int("zero_stage") < 3 || pp == 1);
        let outcome = recipe.run(&config, &mut Run::offline(0)).unwrap();
        if outcome.metrics["tflops"] == 0.0 {
            out_of_memory += 1;
            assert!(outcome.metrics["memory_gb"] > 0.92 * 64.0);
        } else {
            fitting += 1;
            assert!(outcome.metrics["memory_gb"] <= 0.92 * 64.0 + 1e-9);
        }
    }
    assert!(out_of_memory > 50 && fitting > 20, "{out_of_memory} {fitting}");
    let alone = [("tp", 1_i64.into()), ("pp", 1_i64.into()), ("failures", "fail".into())];
    assert!(run(cluster::PLAN, &alone).unwrap_err().to_string().contains("out of memory"));
    let searched = run(cluster::SEARCH, &[("trials", 10_i64.into())]).unwrap().metrics;
    assert!(searched["best_tflops"] > 0.0 && searched["failed"] <= 10.0 && searched["behind_percent"] >= 0.0);
    let published = run(cluster::PUBLISHED, &[("model", "gpt-1t".into())]).unwrap().metrics;
    assert!(published["error_points"] < 6.0 && published["behind_percent"] < 10.0 && published["fits_alone"] == 0.0);
}

#[test]
fn at_its_base_width_mup_is_the_standard_parametrisation_and_beyond_it_is_not() {
    let sweep = |kind: &str, optimizer: &str, doublings: i64| {
        let set = [
            ("parametrization", kind.into()),
            ("optimizer", optimizer.into()),
            ("base", 16_i64.into()),
            ("doublings", doublings.into()),
        ];
        run(mup::SWEEP, &set).unwrap().metrics
    };
    for optimizer in ["adam", "sgd"] {
        assert_eq!(sweep("mup", optimizer, 0), sweep("standard", optimizer, 0), "{optimizer}");
        let (ours, theirs) = (sweep("mup", optimizer, 1), sweep("standard", optimizer, 1));
        assert_ne!(ours["transferred_loss"], theirs["transferred_loss"], "{optimizer}");
        assert!(ours["transferred_loss"] < 2.3, "{optimizer}: no better than guessing: {ours:?}");
    }
}

#[test]
fn a_class_buys_as_many_steps_as_the_machine_is_quick() {
    let set = [
        ("family", "char-qlstm".into()),
        ("first_seconds", 3.0.into()),
        ("classes", 2_i64.into()),
        ("batch", 8_i64.into()),
    ];
    let metrics = run(compute_class::LADDER, &set).unwrap().metrics;
    assert!(metrics["log2_tokens_per_second"] > 0.0 && metrics["normalised_perplexity"] > 1.0, "{metrics:?}");
    assert!(metrics["slope"].is_finite() && metrics["r_squared"] <= 1.0 + 1e-12, "{metrics:?}");
    let timed = run(compute_class::LADDER, &[("family", "char-lstm".into()), ("classes", 0_i64.into())]).unwrap();
    assert!(!timed.metrics.contains_key("normalised_perplexity"));
}

/// Activations of hidden layers are as large at any width under muP, and not otherwise.
#[test]
fn coordinates_stay_as_large_under_mup_and_grow_without() {
    let check = |kind: &str| run(mup::COORDINATES, &[("parametrization", kind.into())]).unwrap().metrics;
    let (ours, theirs) = (check("mup"), check("standard"));
    // The claim's own bound, on the seed of the first arm.
    assert!(ours["hidden_slope"] < 0.1 && ours["steepest_slope"] < 0.1, "{ours:?}");
    assert!(theirs["steepest_slope"] > 0.1, "{theirs:?}");
}

/// One real run, without a cap that would end this very process.
#[test]
fn a_job_tells_its_speed_and_memory() {
    let set =
        [("width", 64_i64.into()), ("cap_mb", 1e5.into()), ("micro_batch", 8_i64.into()), ("context", 32_i64.into())];
    let metrics = run(kilter_recipes::laws::job::JOB, &set).unwrap().metrics;
    assert!(metrics["tokens_per_second"] > 0.0 && metrics["peak_mb"] > 1.0, "{metrics:?}");
}

/// Arms that measure different things share only the time they take.
#[test]
fn a_study_of_arms_has_a_goal_that_every_arm_gives() {
    assert_eq!(step_law::REPRODUCTION.goal(Scale::Quick).metric, "gap_percent");
    assert_eq!(mup::REPRODUCTION.goal(Scale::Quick).metric, "wall_seconds");
    assert_eq!(power_scheduler::REPRODUCTION.goal(Scale::Quick).metric, "loss");
}
