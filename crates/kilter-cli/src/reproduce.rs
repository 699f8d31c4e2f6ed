//! `kilter reproduce`: a method's claims, measured here.

use std::process::ExitCode;

use clap::Args;
use kilter_numerics::compare::Interval;
use kilter_recipes::claim::{Measured, arms_name};
use kilter_recipes::{Finding, Reproduction, Scale};
use kilter_space::{Config, Name, nearest};
use kilter_study::devices::Demand;
use kilter_study::{Conduct, Limits, NoPruner, QueueOnly, Study, StudySpec};
use serde_json::json;

use crate::args::InStorage;
use crate::fault::{FAILED, Fault, INTERRUPTED};
use crate::place::Place;
use crate::plan::{Job, Plan};
use crate::session;
use crate::style::{Voice, duration, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter reproduce breast-cancer --quick")]
pub struct Reproduce {
    /// The method [all are listed without one]
    #[arg(value_name = "METHOD")]
    pub method: Option<String>,
    /// At most 30 seconds on two cores (the default)
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// At most 10 minutes on two cores
    #[arg(long)]
    pub full: bool,
    /// Trials at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// What stands for the sampler of a study whose trials were all enqueued.
pub const REPRODUCTION: &str = "queue";

/// Runs the arms of a method's claims as trials of a study and judges them.
pub fn reproduce(args: &Reproduce, voice: &Voice) -> Result<ExitCode, Fault> {
    let all = kilter_recipes::reproductions();
    let Some(method) = &args.method else {
        if voice.json {
            let method = |r: &&Reproduction| json!({ "name": r.name, "title": r.title, "claims": r.claims.len() });
            voice.document(&json!({ "methods": all.iter().map(method).collect::<Vec<_>>() }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows =
            all.iter().map(|r| vec![r.name.to_owned(), r.claims.len().to_string(), r.title.to_owned()]).collect();
        voice.say(&table(&["method", "claims", "title"].map(str::to_owned), rows))?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(reproduction) = all.iter().find(|r| r.name == method).copied() else {
        let near = nearest(method, all.iter().map(|r| r.name));
        let advice =
            near.map_or_else(|| "`kilter reproduce` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Fault::call(format!("there are no claims of `{method}`; {advice}")));
    };
    let scale = if args.full { Scale::Full } else { Scale::Quick };
    let workers = match args.workers {
        Some(0) => return Err(Fault::call("--workers 0 would run nothing; ask for at least 1")),
        Some(workers) => workers,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let place = Place::make(&args.storage)?;
    let (mut study, plan) = study_of(reproduction, scale, workers, &place)?;
    let recipe = plan.recipe(study.spec())?;
    if !voice.json {
        voice.prose(&voice.strong(reproduction.title))?;
        voice.remark(&format!(
            "{}: {} arms, {} runs of arms and seeds, study {}",
            scale.name(),
            reproduction.arms_at(scale).count(),
            reproduction.trials(scale).len(),
            study.spec().name
        ));
    }
    let ran = session::work(&mut study, &place, &plan, &recipe, voice)?;
    if ran.interrupted {
        let same = if scale == Scale::Full { "--full" } else { "--quick" };
        voice
            .remark(&format!("interrupted; what was done is kept. Continue with:\n  kilter reproduce {method} {same}"));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let history = study.history();
    let seconds: f64 = history.rows().filter_map(|row| row.end.as_ref()).map(|end| end.usage.wall_seconds).sum();
    let measured: Vec<Measured> = reproduction.claims.iter().map(|claim| reproduction.judge(claim, history)).collect();
    if voice.json {
        let claims: Vec<_> = reproduction
            .claims
            .iter()
            .zip(&measured)
            .map(|(claim, measured)| {
                let interval =
                    |i: &Option<Interval>| i.map(|i| json!({ "mean": i.estimate, "low": i.low, "high": i.high }));
                json!({
                    "claim": claim.sentence, "metric": claim.metric, "finding": measured.finding, "gate": claim.gate,
                    "expected": measured.expected, "ours": interval(&measured.ours), "arms": claim.ours,
                    "baseline": interval(&measured.baseline), "baseline_arms": claim.baseline,
                    "advantage": interval(&measured.advantage), "crossing_hours": measured.crossing_hours.map(|hours| json!({
                        "estimate": hours.estimate, "low": hours.low, "high": hours.high.is_finite().then_some(hours.high) })),
                    "seeds": measured.seeds, "trouble": measured.trouble,
                })
            })
            .collect();
        voice.document(&json!({
            "method": reproduction.name, "scale": scale, "study": study.spec().name, "seconds_of_trials": seconds,
            "claims": claims,
        }))?;
    } else {
        for (claim, measured) in reproduction.claims.iter().zip(&measured) {
            tell(claim, measured, voice)?;
        }
        voice.say(&format!(
            "\n{} runs, {} of work; study {}",
            reproduction.trials(scale).len(),
            duration(seconds),
            study.spec().name
        ))?;
    }
    let failed = reproduction.claims.iter().zip(&measured).any(|(claim, m)| claim.gate && m.finding == Finding::Fails);
    let nothing = measured.iter().all(|m| m.seeds == 0);
    Ok(if failed || nothing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn tell(claim: &kilter_recipes::claim::Claim, measured: &Measured, voice: &Voice) -> Result<(), Fault> {
    let kind = if claim.gate { "" } else { "  (reported, not a gate)" };
    let good = measured.finding != Finding::Fails;
    voice.prose(&format!("\n{}  {}{kind}", voice.verdict(good, measured.finding.name()), claim.sentence))?;
    voice.prose(&format!("  expected   {} of {}", measured.expected, claim.metric))?;
    let interval = |i: &Interval| format!("{} (95 % {} to {})", short(i.estimate), short(i.low), short(i.high));
    if let Some(ours) = &measured.ours {
        voice.prose(&format!("  measured   {} {}", claim.ours.join(", "), interval(ours)))?;
    }
    if let Some(baseline) = &measured.baseline {
        voice.prose(&format!("  baseline   {} {}", claim.baseline.join(", "), interval(baseline)))?;
    }
    if let Some(a) = &measured.advantage {
        voice.prose(&format!(
            "  advantage  {} ({} to {}), {} paired seeds",
            short(a.estimate),
            short(a.low),
            short(a.high),
            measured.seeds
        ))?;
    }
    if let Some(hours) = &measured.crossing_hours {
        let high = if hours.high.is_finite() { short(hours.high) } else { "unknown".to_owned() };
        let (estimate, low) = (short(hours.estimate), short(hours.low));
        voice.prose(&format!("  crossing   {estimate} h (95 % {low} to {high}), {} seeds", measured.seeds))?;
    }
    match (&measured.trouble, measured.finding) {
        (Some(why), Finding::NotShownHere) => voice.prose(&format!("  not decided: {why}")),
        (Some(why), _) => voice.prose(&format!("  {why}")),
        (None, _) => Ok(()),
    }
}

/// The study of the arms: the unfinished one of this name, else a new one with every arm enqueued.
fn study_of(
    reproduction: &'static Reproduction,
    scale: Scale,
    workers: usize,
    place: &Place,
) -> Result<(Study, Plan), Fault> {
    let plan = Plan {
        job: Job::Recipe { name: arms_name(reproduction, scale), subject: None },
        workers,
        devices: Demand::default(),
        timeout_seconds: None,
    };
    let stem = format!("reproduce-{}-{}", reproduction.name, scale.name());
    let trials = reproduction.trials(scale);
    let newest = place.storage.studies()?.into_iter().rev().find(|study| study.spec.name.starts_with(&stem));
    if let Some(entry) = newest {
        let study = Study::hold(place.storage.clone(), entry.id, entry.spec, Box::new(QueueOnly), Box::new(NoPruner))?;
        if study.history().ended() < trials.len() && study.spec().plan["job"] == plan.to_value()?["job"] {
            return fill(study, &trials).map(|study| (study, plan));
        }
    }
    let recipe =
        kilter_recipes::find(&arms_name(reproduction, scale)).ok_or_else(|| Fault::work("its arms are missing"))?;
    let outline = recipe.outline().ok_or_else(|| Fault::work("its arms declare no space"))?.clone();
    let spec = StudySpec {
        name: place.free_name(&stem)?,
        outline,
        goals: vec![reproduction.goal(scale)],
        sampler: REPRODUCTION.to_owned(),
        pruner: "none".to_owned(),
        seed: 0,
        trials: Some(trials.len() as u64),
        conduct: Conduct::default(),
        requirements: Vec::new(),
        limits: Limits::default(),
        plan: plan.to_value()?,
    };
    let study = Study::create(place.storage.clone(), spec, Box::new(QueueOnly), Box::new(NoPruner))?;
    fill(study, &trials).map(|study| (study, plan))
}

/// Enqueues what is not there yet: a process may have died between two of them.
fn fill(mut study: Study, trials: &[Vec<(&'static str, kilter_space::Value)>]) -> Result<Study, Fault> {
    for trial in &trials[study.history().len().min(trials.len())..] {
        let answers = trial.iter().map(|(name, value)| Ok((Name::new(name).map_err(Fault::work)?, value.clone())));
        study.enqueue(&Config::new(answers.collect::<Result<_, Fault>>()?))?;
    }
    Ok(study)
}
