//! `kilter enqueue`: a configuration of one's own, before anything that the sampler proposes.

use std::process::ExitCode;

use clap::Args;
use kilter_space::{Config, Name};
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::best_or;
use crate::pairs::setting;
use crate::place::Place;
use crate::session::quoted;
use crate::style::Voice;
use crate::tune::search;

#[derive(Debug, Args)]
#[command(after_help = "What is not set takes its value from --from, else its default.\n\nExamples:\n  \
                        kilter enqueue train --set lr=3e-4 --set layers=2\n  kilter enqueue --from train-2:17 --set layers=4")]
pub struct Enqueue {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    /// A hyperparameter's value (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Take the best configuration of this study, or that trial's
    #[arg(long, value_name = "STUDY[:TRIAL]")]
    pub from: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter enqueue`
pub fn enqueue(args: &Enqueue, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    let place = Place::open(&args.storage)?;
    let mut study = search(&place, place.study(args.study.as_deref().or(args.study_option.as_deref()))?)?;
    let mut config: Vec<_> = match &args.from {
        None => Vec::new(),
        Some(from) => best_or(from, &place)?.answers().to_vec(),
    };
    // What the other study had and this one has not is left behind; what is set by hand must be known.
    config.retain(|(name, _)| study.spec().outline.entry(name.as_str()).is_ok());
    for (name, value) in set {
        let value = study.spec().outline.entry(&name).and_then(|entry| entry.check(&value)).map_err(Fault::call)?;
        let name = Name::new(&name).map_err(Fault::call)?;
        config.retain(|(other, _)| *other != name);
        config.push((name, value));
    }
    let number = study.enqueue(&Config::new(config))?;
    let name = &study.spec().name;
    let row = study.history().get(number).ok_or_else(|| Fault::work("the trial is gone"))?;
    if voice.json {
        voice.document(&json!({ "study": name, "number": number, "params": row.config() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.say(&format!("trial {number} of {name} waits: {}", row.config()))?;
    voice.remark(&format!("run it with:\n  kilter resume {}{}", quoted(name), place.option()));
    Ok(ExitCode::SUCCESS)
}
