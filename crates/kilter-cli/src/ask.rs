//! `kilter ask` and `kilter tell`: one question and one answer at a time, for scripts and other languages.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use kilter_space::{Entry, Outline};
use kilter_study::{Asked, Conduct, End, EndState, Failure, Study, StudySpec, Usage};
use serde_json::json;

use crate::aims::Aims;
use crate::args::InStorage;
use crate::fault::{FAILED, Fault};
use crate::pairs::param;
use crate::place::Place;
use crate::session::quoted;
use crate::style::Voice;
use crate::summary::trial_json;
use crate::tune::search;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the trial's number and hyperparameters; the trial then waits for `kilter tell` as long as it \
                        takes. Exit status 1: there is nothing more to ask.\n\nExamples:\n  \
                        kilter ask bench --param size=int:log:16..512 --minimize=seconds --json\n  \
                        kilter tell 0 --study bench seconds=1.25"
)]
pub struct Ask {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    /// Search this hyperparameter (repeatable); makes the study if there is none of this name
    #[arg(long, value_name = "NAME=DOMAIN", help_heading = "To make the study at the first ask")]
    pub param: Vec<String>,
    #[command(flatten)]
    pub aims: Aims,
    /// How many trials in all [default: no end]
    #[arg(long, value_name = "N", help_heading = "To make the study at the first ask")]
    pub trials: Option<u64>,
    /// How to search (`kilter samplers` lists them)
    #[arg(
        long,
        value_name = "NAME[:key=value,…]",
        default_value = "auto",
        help_heading = "To make the study at the first ask"
    )]
    pub sampler: String,
    /// The study's seed
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "To make the study at the first ask")]
    pub seed: u64,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter tell 17 loss=0.2 latency_ms=8\n  kilter tell 18 --failed 'out of memory'")]
pub struct Tell {
    /// The trial's number, as `kilter ask` gave it
    #[arg(value_name = "TRIAL")]
    pub trial: u64,
    /// Its metrics
    #[arg(value_name = "NAME=NUMBER", required_unless_present = "failed", conflicts_with = "failed")]
    pub figures: Vec<String>,
    /// It failed, and why
    #[arg(long, value_name = "WHY")]
    pub failed: Option<String>,
    /// The study [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// The study that an ask would make.
fn declared(args: &Ask, name: &str) -> Result<StudySpec, Fault> {
    let params = args.param.iter().map(|text| param(text)).collect::<Result<Vec<_>, _>>()?;
    let entries = params.into_iter().map(|(name, domain)| Entry::new(&name, domain)).collect::<Result<_, _>>();
    let outline = Outline::new(entries.map_err(Fault::call)?).map_err(Fault::call)?;
    let goals = args.aims.directions.by_name()?;
    let spec = StudySpec {
        name: name.to_owned(),
        outline,
        goals,
        sampler: args.sampler.clone(),
        pruner: "none".to_owned(),
        seed: args.seed,
        trials: args.trials,
        requirements: args.aims.requirements()?,
        limits: args.aims.limits()?,
        conduct: Conduct::default(),
        plan: serde_json::Value::Null,
    };
    Ok(spec)
}

/// The study to ask, made if it is declared and not there.
fn study(args: &Ask) -> Result<(Study, Place), Fault> {
    let name = args.study.as_deref().or(args.study_option.as_deref());
    if args.param.is_empty() {
        if args.aims.are_given() {
            return Err(Fault::call(
                "a study is made with --param too; leave the directions out to ask one that is there",
            ));
        }
        let place = Place::open(&args.storage)?;
        let entry = place.study(name)?;
        return Ok((search(&place, entry)?, place));
    }
    let name = name.ok_or_else(|| {
        Fault::call("give the study a name, so that the next ask finds it: kilter ask NAME --param … --minimize=METRIC")
    })?;
    let spec = declared(args, name)?;
    kilter_search::sampler(&spec.sampler).map_err(Fault::call)?;
    let place = Place::make(&args.storage)?;
    let there = place.storage.studies()?.into_iter().find(|entry| entry.spec.name == name);
    let entry = match there {
        Some(entry) => {
            if (&entry.spec.outline, &entry.spec.goals) != (&spec.outline, &spec.goals) {
                return Err(Fault::call(format!(
                    "the study `{name}` is there already, with other hyperparameters or directions; leave --param and the \
                     directions out to ask it, or choose another name"
                )));
            }
            entry
        }
        None => {
            place.storage.create(&spec)?;
            place.study(Some(name))?
        }
    };
    Ok((search(&place, entry)?, place))
}

/// `kilter ask`
pub fn ask(args: &Ask, voice: &Voice) -> Result<ExitCode, Fault> {
    let (mut study, place) = study(args)?;
    if let Some(trials) = args.trials.filter(|trials| study.trials_wanted() != Some(*trials)) {
        study.want_trials(trials)?;
    }
    study.reap()?;
    let name = study.spec().name.clone();
    let trial = match study.ask_by_hand()? {
        Asked::Trial(trial) => trial,
        asked => {
            let why = match asked {
                Asked::Done(why) => why,
                _ => "nothing until a trial that runs is told".to_owned(),
            };
            if voice.json {
                voice.document(&json!({ "study": name, "number": null, "why": why }))?;
            }
            voice.remark(&format!("nothing to ask {name}: {why}"));
            return Ok(ExitCode::from(FAILED));
        }
    };
    if voice.json {
        voice.document(&json!({
            "study": name, "number": trial.number(), "params": trial.config(), "fidelity": trial.opened.fidelity,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if voice.quiet {
        voice.say(&format!("{} {}", trial.number(), trial.config()))?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.say(&voice.strong(&format!("trial {} of {name}", trial.number())))?;
    for (name, value) in trial.config().answers() {
        voice.say(&format!("  {name} = {value}"))?;
    }
    let metrics: Vec<String> = study.spec().needed_metrics().iter().map(|metric| format!("{metric}=…")).collect();
    let tell =
        format!("kilter tell {} {} --study {}{}", trial.number(), metrics.join(" "), quoted(&name), place.option());
    voice.remark(&format!("answer it with:\n  {tell}"));
    Ok(ExitCode::SUCCESS)
}

/// `kilter tell`
pub fn tell(args: &Tell, voice: &Voice) -> Result<ExitCode, Fault> {
    let figures = args.figures.iter().map(|text| figure(text)).collect::<Result<BTreeMap<_, _>, _>>()?;
    let place = Place::open(&args.storage)?;
    let mut study = search(&place, place.study(args.study.as_deref())?)?;
    let row = study.history().get(args.trial);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    // From the question to the answer: nothing else is known of it.
    let wall_seconds = row.map_or(0.0, |row| (now_ms - row.opened_ms).max(0) as f64 / 1000.0);
    let usage = Usage { wall_seconds, ..Usage::default() };
    let end = match &args.failed {
        Some(why) => End::failed(Failure::refused(why), usage),
        None => {
            let config = row.map(|row| row.config().clone()).unwrap_or_default();
            study.spec().judged(&config, figures.clone(), usage)
        }
    };
    if let (None, EndState::Failed, Some(failure)) = (&args.failed, end.state, &end.failure) {
        let needed = study.spec().needed_metrics();
        let said: Vec<&str> = figures.keys().map(String::as_str).collect();
        let missing = needed.iter().find(|metric| !said.contains(&metric.as_str()));
        let near = missing.and_then(|missing| kilter_space::nearest(missing, said.iter().copied()));
        let advice = match (missing, near) {
            (Some(missing), Some(near)) => format!("`{near}` is given where {missing}=NUMBER is needed"),
            (Some(_), None) => {
                format!("give {}", needed.iter().map(|m| format!("{m}=NUMBER")).collect::<Vec<_>>().join(" "))
            }
            (None, _) => "tell it with --failed WHY if that is its end".to_owned(),
        };
        return Err(Fault::call(format!("{failure}; {advice}")));
    }
    study.tell_by_hand(args.trial, &end)?;
    let row = study.history().get(args.trial).ok_or_else(|| Fault::work("the trial is gone"))?;
    if voice.json {
        voice.document(&trial_json(row, &study.spec().goals))?;
    } else {
        let best = study.spec().goals.first().and_then(|goal| study.history().best(goal));
        let is_best = study.spec().goals.len() == 1 && best.is_some_and(|best| best.number == args.trial);
        let note = if is_best { ", the best so far" } else { "" };
        voice.say(&format!("trial {} of {} is {}{note}", args.trial, study.spec().name, row.state.name()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn figure(text: &str) -> Result<(String, f64), Fault> {
    let wrong = || Fault::call(format!("{text:?} is no metric; write NAME=NUMBER, for example loss=0.2"));
    let (name, number) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(wrong)?;
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    if !number.is_finite() {
        return Err(Fault::call(format!("{name} is {number}; a trial without a number is told with --failed WHY")));
    }
    Ok((name.trim().to_owned(), number))
}
