//! `kilter samplers` and `kilter pruners`: what there is.

use std::process::ExitCode;

use kilter_search::{Listed, PRUNERS, SAMPLERS};
use kilter_space::nearest;
use serde_json::json;

use crate::args::Named;
use crate::fault::Fault;
use crate::style::Voice;
use crate::table::table;

/// `kilter samplers`
pub fn samplers(args: &Named, voice: &Voice) -> Result<ExitCode, Fault> {
    listed("sampler", SAMPLERS, args, voice)
}

/// `kilter pruners`
pub fn pruners(args: &Named, voice: &Voice) -> Result<ExitCode, Fault> {
    listed("pruner", PRUNERS, args, voice)
}

fn listed(kind: &str, all: &[Listed], args: &Named, voice: &Voice) -> Result<ExitCode, Fault> {
    let chosen: Vec<&Listed> = match &args.name {
        None => all.iter().collect(),
        Some(name) => {
            let found = all.iter().find(|listed| listed.name == name).ok_or_else(|| {
                let near = nearest(name, all.iter().map(|listed| listed.name));
                let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                Fault::call(format!("there is no {kind} `{name}`{advice}"))
            })?;
            vec![found]
        }
    };
    if voice.json {
        let all: Vec<_> = chosen
            .iter()
            .map(|listed| json!({ "name": listed.name, "about": listed.about, "options": listed.options }))
            .collect();
        voice.document(&json!({ format!("{kind}s"): all }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows =
        chosen.iter().map(|listed| vec![listed.name.to_owned(), listed.about.to_owned(), listed.options.to_owned()]);
    voice.say(&table(&[kind.to_owned(), "what it does".to_owned(), "options".to_owned()], rows.collect()))?;
    Ok(ExitCode::SUCCESS)
}
