//! How long a prediction takes, how many plans a second are costed, and what a search gains that begins where a law says.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use kilter_laws::parallel::{Assumptions, Bounds, Hardware, Model, plans};
use kilter_laws::step_law::{Question, StepLaw};
use kilter_recipes::laws::step_law::SEARCH;
use kilter_space::{Defaults, Value};
use kilter_study::Run;

use super::engine::text;
use super::gauge::{timed, timed_program};
use super::paired::{Figure, Sheet, Unit};

/// Predictions, and lists of plans, of one round.
const PREDICTIONS: usize = 1000;

/// Groups of released runs.
const GROUPS: i64 = 17;

/// Measures everything.
pub fn bench(target: &Path, quick: bool) -> Result<Sheet, String> {
    let rounds = if quick { 5 } else { 20 };
    let mut figures = Vec::new();
    let law = StepLaw::released();
    let alone = |figure: f64| (figure, None);
    let one = || {
        let took = timed(|| {
            for k in 0..PREDICTIONS {
                let question = Question::new(1e9 + k as f64, 5e10);
                black_box(law.predict(black_box(&question)).map_err(text)?);
            }
            Ok(())
        })?;
        Ok(alone(took.cpu_seconds / PREDICTIONS as f64))
    };
    let measured = (0..rounds).map(|_| one()).collect::<Result<Vec<_>, String>>()?;
    figures.push(Figure::of("step-law with 1000 bootstrap fits, CPU", Unit::Seconds, &measured));
    let (model, hardware) = (Model::named("gpt-175b"), Hardware::named("mi250x-gcd"));
    let (Some(model), Some(hardware)) = (model, hardware) else { return Err("the planner lost its model".to_owned()) };
    let mut strategies = 0;
    let one = |strategies: &mut usize| {
        let took = timed(|| {
            let found =
                plans(&model, hardware, 1024, 10_240, &Bounds::default(), &Assumptions::default()).map_err(text)?;
            *strategies = black_box(found).strategies;
            Ok(())
        })?;
        Ok(alone(took.cpu_seconds / *strategies as f64))
    };
    let measured = (0..rounds).map(|_| one(&mut strategies)).collect::<Result<Vec<_>, String>>()?;
    let fastest = measured.iter().map(|(seconds, _)| 1.0 / seconds).fold(0.0, f64::max);
    let mut sorted: Vec<f64> = measured.iter().map(|(seconds, _)| 1.0 / seconds).collect();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    figures.push(Figure::of("a plan of 175B on 1024 devices, costed and ranked, CPU", Unit::Seconds, &measured));
    for words in [
        "predict step-law --model-size 1.07B --tokens 56.9B",
        "predict power --tokens 1T --batch 1024",
        "predict compare --model-size 1.07B --tokens 56.9B",
        "predict transfer --from-width 256 --to-width 8192 --heads 8",
        "predict start --model-size 124M --tokens 2.5B",
        "plan cluster gpt-175b --devices 1024 --hardware mi250x-gcd --global-batch 10240",
    ] {
        let one = || {
            let mut kilter = Command::new(target.join("release/kilter"));
            timed_program(kilter.args(words.split(' '))).map(|took| alone(took.wall_seconds))
        };
        // The first brings the program into memory.
        one()?;
        let measured = (0..rounds).map(|_| one()).collect::<Result<Vec<_>, String>>()?;
        let name: Vec<&str> = words.split(' ').take(2).collect();
        figures.push(Figure::of(&format!("kilter {}, the whole call, wall", name.join(" ")), Unit::Seconds, &measured));
    }
    let chances = if quick { 2 } else { 10 };
    let mut pairs = Vec::new();
    for seed in 0..GROUPS * chances {
        pairs.push((trials("law", seed)?, Some(trials("none", seed)?)));
    }
    figures.push(Figure::of("trials until within 0.25 % of the best released run", Unit::Trials, &pairs));
    let mean = |side: fn(&(f64, Option<f64>)) -> f64| pairs.iter().map(side).sum::<f64>() / pairs.len() as f64;
    let (with, without) = (mean(|pair| pair.0), mean(|pair| pair.1.unwrap_or(f64::NAN)));
    let fewer = pairs.iter().filter(|(with, without)| without.is_some_and(|without| *with < without)).count();
    Ok(Sheet {
        title: "predict",
        peer: Some("TPE without priors".to_owned()),
        quick,
        figures,
        notes: vec![
            format!("{strategies} plans: {usual:.3e} plans per second and core (median), {fastest:.3e} at best."),
            format!(
                "Trials: {} searches, {GROUPS} sizes and lengths; means {with:.2} with and {without:.2} without priors, fewer \
                 with in {fewer}. Both search the space of `kilter predict start`; the table answers with the released run \
                 nearest to the question; the law behind the priors never saw the size.",
                pairs.len()
            ),
        ],
    })
}

/// Trials of a search of a group that begins with or without a prior.
fn trials(prior: &str, seed: i64) -> Result<f64, String> {
    let recipe = kilter_recipes::find(SEARCH).ok_or("the search is missing")?;
    let outline = recipe.outline().ok_or("the search declares no space")?;
    let set: [(String, Value); 2] = [("prior".to_owned(), prior.into()), ("seed".to_owned(), seed.into())];
    let config = Defaults::config(&outline.specialise(&set, &[]).map_err(text)?).map_err(text)?;
    let outcome = recipe.run(&config, &mut Run::offline(0)).map_err(text)?;
    outcome.metrics.get("trials").copied().ok_or_else(|| "the search counts no trials".to_owned())
}
