//! `kilter worker`: one process more for a study that another one began.

use std::process::ExitCode;

use clap::Args;
use kilter_study::State;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::{FAILED, Fault, INTERRUPTED};
use crate::place::Place;
use crate::plan::Plan;
use crate::reproduce::REPRODUCTION;
use crate::session::{self, quoted};
use crate::style::Voice;
use crate::summary::{count_words, counts};
use crate::tune::search;

#[derive(Debug, Args)]
#[command(
    after_help = "Any number of workers may share a study, in as many processes; each ends when the wanted number of \
                        trials is reached. They may join before, during and after `kilter tune` and `kilter resume`.\n\n\
                        Example:\n  kilter worker breast-cancer --workers 2"
)]
pub struct Worker {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    /// Trials at a time in this process
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub workers: usize,
    #[command(flatten)]
    pub storage: InStorage,
}

/// Runs a study's trials beside other processes until the study has as many as it wants.
pub fn worker(args: &Worker, voice: &Voice) -> Result<ExitCode, Fault> {
    if args.workers == 0 {
        return Err(Fault::call("--workers 0 would run nothing; ask for at least 1"));
    }
    let place = Place::open(&args.storage)?;
    let entry = place.study(args.study.as_deref().or(args.study_option.as_deref()))?;
    let name = entry.spec.name.clone();
    if entry.spec.sampler == REPRODUCTION {
        return Err(Fault::call(format!(
            "`{name}` measures a method's claims; `kilter reproduce METHOD --workers N` runs several of its trials at a time"
        )));
    }
    let mut study = search(&place, entry)?;
    let mut plan = Plan::of(study.spec())?;
    plan.workers = args.workers;
    let recipe = plan.recipe(study.spec())?;
    let ran = session::work(&mut study, &place, &plan, &recipe, voice)?;
    let history = study.history();
    if voice.json {
        voice.document(&json!({
            "study": name, "ran": ran.ran, "interrupted": ran.interrupted, "counts": counts(history),
        }))?;
    } else if !voice.quiet {
        let trials = if ran.ran == 1 { "1 trial".to_owned() } else { format!("{} trials", ran.ran) };
        voice.say(&format!("this worker ran {trials} of {name} ({})", count_words(history)))?;
    }
    if ran.interrupted || history.stopped().is_some() {
        let why = history.stopped().unwrap_or("interrupted");
        voice.remark(&format!(
            "{why}; what was done is kept. Join again with:\n  kilter worker {}{}",
            quoted(&name),
            place.option()
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let all_failed = history.count(State::Complete) == 0 && history.count(State::Failed) > 0;
    Ok(if all_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}
