//! `kilter resume`: a study goes on where it stopped.

use std::process::ExitCode;

use clap::Args;
use kilter_study::{Amendment, Limits};

use crate::aims::Aims;
use crate::args::InStorage;
use crate::fault::Fault;
use crate::place::Place;
use crate::plan::Plan;
use crate::reproduce::REPRODUCTION;
use crate::session;
use crate::study_file::Origin;
use crate::style::Voice;
use crate::tune::{command_job, search};

#[derive(Debug, Args)]
#[command(
    after_help = "A study that was asked by hand or imported runs with the command given after --.\n\nExamples:\n  \
                        kilter resume breast-cancer --trials 100\n  kilter resume --budget 4h --stop-when 'loss < 0.01'\n  \
                        kilter resume imported --metric 'loss=([0-9.eE+-]+)' -- python3 train.py --lr {lr}"
)]
pub struct Resume {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    /// How many trials in all [default: as many as were wanted]
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
    /// How much in all: 4h of running [default: as before]
    #[arg(long, value_name = "TIME or ENERGY", allow_hyphen_values = true)]
    pub budget: Vec<String>,
    /// As soon as this holds no trial begins any more; '' for never [default: as before]
    #[arg(long, value_name = "CONDITION")]
    pub stop_when: Option<String>,
    /// Trials at a time [default: as before]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Where the command's metric is: a pattern (last match, first group), json:KEY or NAME=file:PATH
    #[arg(long, value_name = "[NAME=]REGEX", requires = "command")]
    pub metric: Vec<String>,
    /// Run this command from now on; {name} stands for a parameter
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// Continues a study.
pub fn resume(args: &Resume, voice: &Voice) -> Result<ExitCode, Fault> {
    if args.trials == Some(0) || args.workers == Some(0) {
        return Err(Fault::call("--trials and --workers must be at least 1"));
    }
    let asked = Aims { budget: args.budget.clone(), stop_when: args.stop_when.clone(), ..Aims::default() }.limits()?;
    let place = Place::open(&args.storage)?;
    let entry = place.study(args.study.as_deref().or(args.study_option.as_deref()))?;
    if entry.spec.sampler == REPRODUCTION {
        return Err(Fault::call(format!(
            "`{}` measures a method's claims; continue it with `kilter reproduce METHOD`, or resume another study by its name",
            entry.spec.name
        )));
    }
    let mut study = search(&place, entry)?;
    let mut plan = match args.command.as_slice() {
        [] => Plan::of(study.spec())?,
        _ => {
            let job = command_job(&args.command, &args.metric, &study.spec().outline, &Origin(None))?;
            Plan { job, ..Plan::of(study.spec()).unwrap_or_default() }
        }
    };
    plan.check(study.spec())?;
    plan.workers = args.workers.unwrap_or(plan.workers);
    let recipe = plan.recipe(study.spec())?;
    let before = &study.spec().limits;
    let limits = Limits {
        seconds: asked.seconds.or(before.seconds),
        joules: asked.joules.or(before.joules),
        stop_when: if args.stop_when.is_some() { asked.stop_when } else { before.stop_when.clone() },
    };
    if limits != *before {
        let metrics = plan.metrics(&*recipe);
        limits.check(metrics.as_deref()).map_err(|why| Fault::call(format!("--stop-when: {why}")))?;
        study.amend(&Amendment::Limits(limits))?;
    }
    if !args.command.is_empty() {
        study.amend(&Amendment::Plan(plan.to_value()?))?;
    }
    if let Some(trials) = args.trials {
        study.want_trials(trials)?;
    }
    if study.history().stopped().is_some() {
        study.amend(&Amendment::GoOn)?;
    }
    session::run(study, &place, &plan, recipe, voice)
}
