//! `kilter tag`: what people write on studies and trials.

use std::process::ExitCode;

use clap::Args;
use kilter_study::{Amendment, Tags};
use serde_json::{Value as Json, json};

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::{chosen, look_at};
use crate::pairs::setting;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "Tags of trials can be asked for: kilter trials --where \"user.note == 'look again'\"\n\nExamples:\n  \
                        kilter tag team=vision paper=true\n  kilter tag --trial 17 note='look again'\n  kilter tag --remove paper"
)]
pub struct Tag {
    /// What is written [default: what is written already is shown]
    #[arg(value_name = "NAME=VALUE")]
    pub tags: Vec<String>,
    /// Take this tag away (repeatable)
    #[arg(long, value_name = "NAME")]
    pub remove: Vec<String>,
    /// On this trial instead of the study
    #[arg(long, value_name = "TRIAL")]
    pub trial: Option<u64>,
    /// The study [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter tag`
pub fn tag(args: &Tag, voice: &Voice) -> Result<ExitCode, Fault> {
    let mut change = Tags::new();
    for text in &args.tags {
        let (name, value) = setting(text)
            .map_err(|_| Fault::call(format!("{text:?} is no tag; write NAME=VALUE, for example team=vision")))?;
        if name.trim().is_empty() || name.contains('.') {
            return Err(Fault::call(format!("a tag cannot be named {name:?}; a name is not empty and has no dot")));
        }
        change.insert(name, serde_json::to_value(&value).map_err(Fault::work)?);
    }
    let (place, entry, history) = look_at(args.study.as_deref(), &args.storage)?;
    let row = args.trial.map(|number| chosen(Some(number), &entry, &history)).transpose()?;
    let mut tags = row.map_or_else(|| history.tags(), |row| &row.tags).clone();
    for name in &args.remove {
        if !tags.contains_key(name) {
            let near = kilter_space::nearest(name, tags.keys().map(String::as_str));
            let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(Fault::call(format!("there is no tag `{name}`{advice}")));
        }
        change.insert(name.clone(), Json::Null);
    }
    if !change.is_empty() {
        place.storage.amend(entry.id, args.trial, &Amendment::Tags(change.clone()))?;
        for (name, value) in change {
            if value.is_null() {
                tags.remove(&name);
            } else {
                tags.insert(name, value);
            }
        }
    }
    if voice.json {
        voice.document(&json!({ "study": entry.spec.name, "trial": args.trial, "user": tags }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let whose =
        args.trial.map_or_else(|| entry.spec.name.clone(), |number| format!("trial {number} of {}", entry.spec.name));
    if tags.is_empty() {
        voice.say(&format!("nothing is written on {whose}"))?;
    } else if !voice.quiet {
        voice.say(&voice.strong(&whose))?;
    }
    for (name, value) in &tags {
        voice.say(&format!("  {name} = {}", tag_text(value)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A tag as people wrote it.
pub fn tag_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
