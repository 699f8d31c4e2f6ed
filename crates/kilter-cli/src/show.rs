//! `kilter show`: one trial whole.

use std::process::ExitCode;

use clap::Args;
use kilter_search::sampler;
use kilter_space::{Fit, Name, replay};
use kilter_study::storage::StudyEntry;
use kilter_study::{Opened, Recomputed, Row, State, recompute};
use serde_json::json;

use crate::args::OfTrial;
use crate::fault::{FAILED, Fault};
use crate::look::{chosen, look_at};
use crate::place::Place;
use crate::session::quoted;
use crate::style::{Voice, bytes, duration, short, sparkline};
use crate::summary::{state_words, trial_json, value_words};
use crate::tag::tag_text;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter show 17\n  kilter show breast-cancer:17")]
pub struct Show {
    #[command(flatten)]
    pub of: OfTrial,
    /// Let the sampler propose this trial once more from what it had seen, and compare
    #[arg(long)]
    pub recompute: bool,
}

/// `kilter show`
pub fn show(args: &Show, voice: &Voice) -> Result<ExitCode, Fault> {
    let Show { of: args, recompute } = args;
    let (study, trial) = args.named()?;
    let (place, entry, history) = look_at(study, &args.storage)?;
    let row = chosen(trial, &entry, &history)?;
    let folder = place.trials_folder(&entry.spec.name).join(row.number.to_string());
    if *recompute {
        return recomputed(&place, &entry, row, voice);
    }
    if voice.json {
        let mut document = trial_json(row, &entry.spec.goals);
        if let Some(document) = document.as_object_mut() {
            document.insert("study".to_owned(), json!(entry.spec.name));
            let reports = row.points.iter().map(|p| json!({ "step": p.step, "metric": p.metric, "value": p.value }));
            document.insert("reports".to_owned(), reports.collect());
            document.insert("folder".to_owned(), json!(folder));
        }
        voice.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.say(&voice.strong(&format!("trial {} of {}: {}", row.number, entry.spec.name, state_words(row))))?;
    voice.say("hyperparameters")?;
    for (name, value) in row.config().answers() {
        voice.say(&format!("  {name} = {value}"))?;
    }
    if !row.tags.is_empty() {
        voice.say("tags")?;
        for (name, value) in &row.tags {
            voice.say(&format!("  {name} = {}", tag_text(value)))?;
        }
    }
    if let Some(end) = &row.end {
        if !end.metrics.is_empty() {
            voice.say("metrics")?;
            for name in end.metrics.keys() {
                let repeats: Vec<String> = row.repeats(name).into_iter().map(short).collect();
                let of = if repeats.is_empty() { String::new() } else { format!("  (of {})", repeats.join(", ")) };
                voice.say(&format!("  {name} = {}{of}", value_words(row, name)))?;
            }
        }
        for (requirement, violation) in entry.spec.requirements.iter().zip(&end.violations) {
            let verdict = match *violation {
                excess if excess > 0.0 => voice.verdict(false, &format!("missed by {}", short(excess))),
                _ => voice.verdict(true, "kept"),
            };
            voice.say(&format!("required {requirement}: {verdict}"))?;
        }
        if let Some(why) = &end.why {
            voice.say(&format!("stopped early: {why}"))?;
        }
        if let Some(failure) = &end.failure {
            voice.say(&format!("failed: {failure}"))?;
            for line in failure.tail().unwrap_or_default().lines() {
                voice.say(&format!("    {line}"))?;
            }
        }
        for remark in &end.remarks {
            voice.say(remark)?;
        }
        let mut took = vec![format!("{} wall", duration(end.usage.wall_seconds))];
        took.extend(end.usage.cpu_seconds.map(|seconds| format!("{} CPU", duration(seconds))));
        took.extend(end.usage.peak_bytes.map(|peak| format!("{} memory at the peak", bytes(peak))));
        let energy = end.usage.energy;
        took.extend(energy.map(|energy| format!("{} J ({})", short(energy.joules), energy.kind.name())));
        voice.say(&format!("took {}", took.join(", ")))?;
    }
    // Repeats are told above.
    let reported = row.points.iter().map(|point| point.metric.as_str());
    let mut metrics: Vec<&str> = reported.filter(|metric| !metric.ends_with('#')).collect();
    metrics.sort_unstable();
    metrics.dedup();
    for metric in metrics {
        let curve: Vec<f64> = row.curve(metric).map(|(_, value)| value).filter(|value| value.is_finite()).collect();
        if curve.len() > 1 {
            let (first, last) = (short(curve[0]), short(curve[curve.len() - 1]));
            voice.say(&format!(
                "reported {metric}  {}  {first} → {last} in {} reports",
                sparkline(&curve, 40),
                curve.len()
            ))?;
        }
    }
    let space = history.later_spaces().last().unwrap_or(&entry.spec.outline);
    if row.opened.fingerprint != space.fingerprint() {
        voice.say(&match replay(row.config(), space) {
            Ok(Fit::Missing(names)) => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                format!("proposed in an earlier space; the one searched now also asks for {}", names.join(", "))
            }
            Ok(Fit::Outside(answers)) => {
                let answers: Vec<String> = answers.iter().map(|(name, why)| format!("{name}: {why}")).collect();
                format!("proposed in an earlier space; outside the one searched now ({})", answers.join("; "))
            }
            _ => "proposed in an earlier space; it fits the one searched now".to_owned(),
        })?;
    }
    if row.attempt > 1 {
        voice.say(&format!("attempt {} (an earlier worker died)", row.attempt))?;
    }
    if row.state == State::Stale {
        voice.say(&format!("its worker died; it will run again with: kilter resume {}", quoted(&entry.spec.name)))?;
    }
    for end in &row.late {
        let metrics: Vec<String> =
            end.metrics.iter().map(|(name, value)| format!("{name} = {}", short(*value))).collect();
        let what = end.failure.as_ref().map_or_else(|| metrics.join(", "), |failure| format!("failed: {failure}"));
        voice.say(&format!("an attempt that had been given up for dead ended late, and does not count: {what}"))?;
    }
    voice.say(&format!("folder {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// `kilter show --recompute`: exit 1 if something else comes out.
fn recomputed(place: &Place, entry: &StudyEntry, row: &Row, voice: &Voice) -> Result<ExitCode, Fault> {
    let sampler = sampler(&entry.spec.sampler).map_err(Fault::call)?;
    let Recomputed { stored, again } = recompute(&place.storage, entry, sampler, row.number)?;
    let same = stored == again;
    if voice.json {
        voice.document(&json!({
            "study": entry.spec.name, "number": row.number, "seen": stored.seen, "same": same,
            "params": stored.config, "recomputed": again.config,
        }))?;
    } else {
        let head =
            format!("trial {} of {}, proposed again from its {} events", row.number, entry.spec.name, stored.seen);
        voice.say(&voice.strong(&head))?;
        let answers =
            |opened: &Opened| opened.config.answers().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut names = answers(&stored);
        names.extend(answers(&again).into_iter().filter(|name| stored.config.get(name.as_str()).is_none()));
        for name in names {
            let of = |opened: &Opened| opened.config.get(name.as_str()).map_or("–".to_owned(), ToString::to_string);
            let (was, is) = (of(&stored), of(&again));
            let note = if was == is { String::new() } else { format!("  (stored: {was})") };
            voice.say(&format!("  {name} = {is}{note}"))?;
        }
        voice.say(if same {
            "the same as stored"
        } else {
            "not the same as stored: made by another build, or on another kind of CPU"
        })?;
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
