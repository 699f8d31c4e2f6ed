//! `kilter recipes`: what can be tuned without a command.

use std::process::ExitCode;

use kilter_space::nearest;
use kilter_study::Recipe;
use serde_json::json;

use crate::args::Named;
use crate::fault::Fault;
use crate::space::hyperparameters;
use crate::style::Voice;
use crate::table::table;

/// `kilter recipes`
pub fn recipes(args: &Named, voice: &Voice) -> Result<ExitCode, Fault> {
    let all = kilter_recipes::recipes();
    let Some(name) = &args.name else {
        if voice.json {
            let all: Vec<_> =
                all.iter().map(|recipe| json!({ "name": recipe.name(), "about": recipe.about() })).collect();
            voice.document(&json!({ "recipes": all }))?;
        } else {
            let rows = all.iter().map(|recipe| vec![recipe.name().to_owned(), recipe.about().to_owned()]).collect();
            voice.say(&table(&["recipe".to_owned(), "what it does".to_owned()], rows))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let recipe = all.iter().find(|recipe| recipe.name() == name).ok_or_else(|| {
        let near = nearest(name, all.iter().map(|recipe| recipe.name()));
        let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Fault::call(format!("there is no recipe `{name}`{advice}"))
    })?;
    recipe_details(&**recipe, voice)?;
    Ok(ExitCode::SUCCESS)
}

fn recipe_details(recipe: &dyn Recipe, voice: &Voice) -> Result<(), Fault> {
    let entries = recipe.outline().map_or(&[][..], |outline| outline.entries());
    if voice.json {
        return voice.document(&json!({
            "name": recipe.name(), "about": recipe.about(), "metrics": recipe.metrics(), "hyperparameters": entries,
        }));
    }
    voice.prose(&format!("{}  {}", voice.strong(recipe.name()), recipe.about()))?;
    let metrics: Vec<String> = recipe
        .metrics()
        .iter()
        .map(|metric| format!("{} ({})", metric.name, if metric.better.prefers(0.0, 1.0) { "lower" } else { "higher" }))
        .collect();
    voice.prose(&format!("metrics, and which way is better: {}", metrics.join(", ")))?;
    voice.say("")?;
    hyperparameters(entries, voice)
}
