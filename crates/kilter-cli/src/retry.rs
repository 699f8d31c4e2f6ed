//! `kilter retry`: trials that failed or were pruned wait to run again.

use std::process::ExitCode;

use clap::Args;
use kilter_study::{Selection, State};
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::{chosen, look_at};
use crate::session::quoted;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "A retried trial keeps its number, its hyperparameters and its chance. `kilter resume` runs it.\n\n\
                        Examples:\n  kilter retry\n  kilter retry 17 18\n  kilter retry --where \"failure == 'timed_out'\""
)]
pub struct RetryTrials {
    /// The trials [default: every one that failed]
    #[arg(value_name = "TRIAL", conflicts_with = "filter")]
    pub trials: Vec<u64>,
    /// Of the failed and pruned trials those for which this holds
    #[arg(long = "where", value_name = "CONDITION")]
    pub filter: Option<String>,
    /// The study [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter retry`
pub fn retry(args: &RetryTrials, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(args.study.as_deref(), &args.storage)?;
    let name = &entry.spec.name;
    let mut wanted: Vec<u64> = Vec::new();
    for number in &args.trials {
        let row = chosen(Some(*number), &entry, &history)?;
        if !matches!(row.state, State::Failed | State::Pruned) {
            return Err(Fault::call(format!(
                "trial {number} of {name} is {}; only failed and pruned trials are run again",
                row.state.name()
            )));
        }
        if !wanted.contains(number) {
            wanted.push(*number);
        }
    }
    if args.trials.is_empty() {
        let filter = Some(args.filter.as_deref().unwrap_or("state == 'failed'"));
        let selected = Selection::read(filter, None, None).map_err(Fault::call)?;
        let selected = selected.of(&entry.spec, &history).map_err(Fault::call)?;
        let ended = selected.iter().filter(|row| matches!(row.state, State::Failed | State::Pruned));
        wanted = ended.map(|row| row.number).collect();
    }
    let mut retried = Vec::new();
    for number in wanted {
        if place.storage.retry(entry.id, number)? {
            retried.push(number);
        }
    }
    if voice.json {
        voice.document(&json!({ "study": name, "retried": retried }))?;
    } else if retried.is_empty() {
        voice.say(&format!("{name} has no such trial; nothing is run again"))?;
    } else {
        let trials = if retried.len() == 1 { "trial waits" } else { "trials wait" };
        voice.say(&format!("{} {trials} to run again in {name}", retried.len()))?;
        voice.remark(&format!("run them with:\n  kilter resume {}{}", quoted(name), place.option()));
    }
    Ok(ExitCode::SUCCESS)
}
