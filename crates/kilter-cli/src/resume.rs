//! `kilter resume`: a study goes on where it stopped.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kilter_space::{Domain, Feasible, Outline, diff};
use kilter_study::{Amendment, Limits, Study};

use crate::aims::Aims;
use crate::args::InStorage;
use crate::command::command_job;
use crate::fault::Fault;
use crate::pairs::{named_once, param};
use crate::place::Place;
use crate::plan::{Job, Plan};
use crate::reproduce::REPRODUCTION;
use crate::session;
use crate::space;
use crate::study_file::{Origin, space_in};
use crate::style::Voice;
use crate::tune::search;

#[derive(Debug, Args)]
#[command(
    after_help = "A study that was asked by hand or imported runs with the command given after --.\n\nA study's space may \
                        change while it is searched: a new choice, a wider or narrower range, a new or dropped \
                        hyperparameter. Trials that there are stay; samplers learn from what still fits, and a declared \
                        default answers what an old trial was not asked. `kilter space diff --study STUDY FILE` shows it \
                        beforehand.\n\nExamples:\n  \
                        kilter resume breast-cancer --trials 100\n  kilter resume --budget 4h --stop-when 'loss < 0.01'\n  \
                        kilter resume imported --metric 'loss=([0-9.eE+-]+)' \\\n      -- python3 train.py --lr {lr}\n  \
                        kilter resume train --param optimizer='adam|sgd|soap'\n  kilter resume train --space space.toml \\\n      \
                        -- python3 train.py --lr {lr} --warmup {warmup}"
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
    /// Search this hyperparameter from now on, or in this domain (repeatable)
    #[arg(long, value_name = "NAME=DOMAIN")]
    pub param: Vec<String>,
    /// Search the space of this file from now on (of a recipe: what the file says of it)
    #[arg(long, value_name = "FILE")]
    pub space: Option<PathBuf>,
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
    let mut spec = study.spec().clone();
    let of_recipe = args.command.is_empty() && matches!(Plan::of(&spec), Ok(Plan { job: Job::Recipe { .. }, .. }));
    spec.outline = changed_space(args, &spec.outline, of_recipe, voice)?;
    let mut plan = match args.command.as_slice() {
        [] => Plan::of(&spec)?,
        _ => {
            let before = Plan::of(&spec).unwrap_or_default();
            let mut job = command_job(&args.command, &args.metric, &spec.outline, &Origin(None))?;
            // A new command prints its metric as the old one did, unless told otherwise.
            if let (true, Job::Command { metrics, .. }, Job::Command { metrics: old, .. }) =
                (args.metric.is_empty(), &mut job, &before.job)
            {
                metrics.clone_from(old);
            }
            Plan { job, ..before }
        }
    };
    plan.check(&spec)?;
    plan.workers = args.workers.unwrap_or(plan.workers);
    let recipe = plan.recipe(&spec)?;
    // What goes together is stored together: a study killed between the two would run the old command in the new space.
    let command = match args.command.is_empty() {
        true => Vec::new(),
        false => vec![Amendment::Plan(plan.to_value()?)],
    };
    change_space(&mut study, &spec.outline, &command, voice)?;
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
    if let Some(trials) = args.trials {
        study.want_trials(trials)?;
    }
    if study.history().stopped().is_some() {
        study.amend(&Amendment::GoOn)?;
    }
    session::run(study, &place, &plan, recipe, voice)
}

/// The space of a study with what `--space` and `--param` say. A recipe's hyperparameters are all there from the beginning.
fn changed_space(args: &Resume, now: &Outline, of_recipe: bool, voice: &Voice) -> Result<Outline, Fault> {
    if args.param.is_empty() && args.space.is_none() {
        return Ok(now.clone());
    }
    let params = args.param.iter().map(|text| param(text)).collect::<Result<Vec<_>, _>>()?;
    named_once(&params, &[])?;
    let text = args.space.as_deref().map(space_in).transpose()?;
    let mut outline = match &text {
        Some(text) if of_recipe => text.over(now)?,
        Some(text) => text.outline()?.specialise(&[], &[]).map_err(Fault::call)?,
        None => now.clone(),
    };
    for (name, domain) in params {
        if of_recipe {
            outline.entry(&name).map_err(Fault::call)?;
        }
        outline = outline.with(&name, domain).map_err(Fault::call)?;
    }
    if let Some(doubts) = text.as_ref().and_then(|text| text.doubts(now.entries())) {
        voice.doubt(&doubts);
    }
    let feasible = Feasible::new(&outline);
    feasible.map_err(|why| text.as_ref().map_or_else(|| Fault::call(&why), |text| text.refusal(&why).into()))?;
    if outline.entries().iter().all(|entry| matches!(entry.domain, Domain::Fixed(_))) {
        return Err(Fault::call("every hyperparameter would be fixed, so there would be nothing left to search"));
    }
    Ok(outline)
}

/// Stores another space and what goes with it, and tells what changed.
fn change_space(study: &mut Study, outline: &Outline, with: &[Amendment], voice: &Voice) -> Result<(), Fault> {
    let changes = diff(&study.spec().outline, outline);
    if changes.is_empty() && study.spec().outline.fingerprint() == outline.fingerprint() {
        return Ok(with.iter().try_for_each(|what| study.amend(what))?);
    }
    voice.remark("the space changes:");
    changes.iter().for_each(|change| voice.remark(&format!("  {change}")));
    if !study.history().is_empty() {
        voice.remark(&space::fits(study.history(), outline).to_string());
    }
    Ok(study.change_space(outline, with)?)
}
