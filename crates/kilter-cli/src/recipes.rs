//! `kilter recipes`: what can be tuned without a command.

use std::process::ExitCode;

use clap::Args;
use kilter_space::{Entry, nearest};
use kilter_study::{Metric, Recipe};
use serde_json::json;

use crate::fault::Fault;
use crate::space::hyperparameters;
use crate::style::Voice;
use crate::table::table;
use crate::weights;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter recipes\n  kilter recipes random-forest\n  kilter recipes merge ties")]
pub struct Recipes {
    /// One of them, in detail
    #[arg(value_name = "NAME", num_args = 0..=2)]
    pub name: Vec<String>,
}

/// What `kilter tune` takes, by the words that name it there.
pub struct Tunable {
    pub name: String,
    pub about: String,
    /// Its own; who has none is scored by a command.
    pub metrics: Vec<Metric>,
    pub entries: Vec<Entry>,
}

impl From<&dyn Recipe> for Tunable {
    fn from(recipe: &dyn Recipe) -> Self {
        Self {
            name: recipe.name().to_owned(),
            about: recipe.about().to_owned(),
            metrics: recipe.metrics().to_vec(),
            entries: recipe.outline().map_or_else(Vec::new, |outline| outline.entries().to_vec()),
        }
    }
}

/// `kilter recipes`
pub fn recipes(args: &Recipes, voice: &Voice) -> Result<ExitCode, Fault> {
    let of_recipes = kilter_recipes::recipes().into_iter().map(|recipe| Tunable::from(&*recipe));
    let all: Vec<Tunable> = of_recipes.chain(weights::tunable()?).collect();
    if args.name.is_empty() {
        if voice.json {
            let all: Vec<_> = all.iter().map(|one| json!({ "name": one.name, "about": one.about })).collect();
            voice.document(&json!({ "recipes": all }))?;
        } else {
            let rows = all.into_iter().map(|one| vec![one.name, one.about]).collect();
            voice.say(&table(&["recipe".to_owned(), "what it does".to_owned()], rows))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.name.join(" ");
    let one = all.iter().find(|one| one.name == name).ok_or_else(|| {
        let near = nearest(&name, all.iter().map(|one| one.name.as_str()));
        let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Fault::call(format!("there is no recipe `{name}`{advice}"))
    })?;
    details(one, voice)?;
    Ok(ExitCode::SUCCESS)
}

fn details(one: &Tunable, voice: &Voice) -> Result<(), Fault> {
    if voice.json {
        return voice.document(&json!({
            "name": one.name, "about": one.about, "metrics": one.metrics, "hyperparameters": one.entries,
        }));
    }
    voice.prose(&format!("{}  {}", voice.strong(&one.name), one.about))?;
    let way = |metric: &Metric| if metric.better.prefers(0.0, 1.0) { "lower" } else { "higher" };
    let metrics: Vec<String> = one.metrics.iter().map(|metric| format!("{} ({})", metric.name, way(metric))).collect();
    voice.prose(&match metrics.as_slice() {
        [] => "metrics: what the command after -- prints".to_owned(),
        metrics => format!("metrics, and which way is better: {}", metrics.join(", ")),
    })?;
    voice.say("")?;
    hyperparameters(&one.entries, voice)
}
