//! Verbs that look and change nothing: studies, trials, best, show, logs, recipes, samplers, pruners.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use kilter_search::{Listed, PRUNERS, SAMPLERS};
use kilter_space::{Domain, nearest};
use kilter_study::storage::{Storage, StudyEntry, StudyId};
use kilter_study::{History, Recipe, Row, State};
use serde_json::json;

use crate::args::{InStorage, Named, OfStudy, OfTrial};
use crate::fault::Fault;
use crate::place::Place;
use crate::session::quoted;
use crate::style::{Voice, bytes, duration, short, sparkline, table};
use crate::summary::{count_words, trial_json, trials_table};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter logs 17")]
pub struct Logs {
    #[command(flatten)]
    pub of: OfTrial,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
}

/// Everything that happened to a study.
fn history(storage: &Arc<dyn Storage>, study: StudyId) -> Result<History, Fault> {
    let mut history = History::default();
    loop {
        let changes = storage.changes(study, history.revision(), 10_000)?;
        for event in &changes.events {
            history.apply(event);
        }
        if !changes.more {
            history.mark_stale(&storage.held(study)?);
            return Ok(history);
        }
    }
}

fn look_at(study: Option<&str>, at: &InStorage) -> Result<(Place, StudyEntry, History), Fault> {
    let place = Place::open(at)?;
    let entry = place.study(study)?;
    let history = history(&place.storage, entry.id)?;
    Ok((place, entry, history))
}

/// `kilter studies`
pub fn studies(args: &InStorage, voice: &Voice) -> Result<ExitCode, Fault> {
    let place = Place::open(args)?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for study in place.storage.studies()? {
        let history = history(&place.storage, study.id)?;
        let goal = &study.spec.goals[0];
        let best = history.best(goal).and_then(|row| row.value(&goal.metric));
        documents.push(json!({
            "name": study.spec.name, "trials": history.len(), "complete": history.count(State::Complete),
            "goal": goal, "best": best, "sampler": study.spec.sampler, "created_ms": study.created_ms,
        }));
        let value = best.map_or_else(|| "–".to_owned(), short);
        rows.push(vec![study.spec.name.clone(), goal.metric.clone(), value, count_words(&history)]);
    }
    if voice.json {
        voice.document(&json!({ "studies": documents }))?;
    } else {
        voice.say(&table(&["study", "metric", "best", "trials"].map(str::to_owned), rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `kilter trials`
pub fn trials(args: &OfStudy, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let goals = &entry.spec.goals;
    if voice.json {
        let all: Vec<_> = history.rows().map(|row| trial_json(row, goals)).collect();
        voice.document(&json!({ "study": entry.spec.name, "trials": all }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<&Row> = history.rows().collect();
    if !voice.quiet {
        voice.say(&format!("{}  ({})", voice.strong(&entry.spec.name), count_words(&history)))?;
    }
    if !rows.is_empty() {
        voice.say(&trials_table(&rows, goals, true))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `kilter best`
pub fn best(args: &OfStudy, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let goal = &entry.spec.goals[0];
    let best = history.best(goal).ok_or_else(|| {
        Fault::work(format!("no trial of {} is complete yet ({})", entry.spec.name, count_words(&history)))
    })?;
    if voice.json {
        voice.document(&trial_json(best, &entry.spec.goals))?;
    } else if voice.quiet {
        voice.say(&best.config().to_string())?;
    } else {
        let value = short(best.value(&goal.metric).unwrap_or(f64::NAN));
        voice
            .say(&voice.strong(&format!("{} {value}  (trial {} of {})", goal.metric, best.number, entry.spec.name)))?;
        for (name, value) in best.config().answers() {
            voice.say(&format!("  {name} = {value}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The trial asked for, or the best.
fn chosen<'a>(trial: Option<u64>, entry: &StudyEntry, history: &'a History) -> Result<&'a Row, Fault> {
    match trial {
        Some(number) => history.get(number).ok_or_else(|| {
            Fault::call(match history.rows().next_back() {
                Some(last) => {
                    format!("{} has no trial {number}; its trials go from 0 to {}", entry.spec.name, last.number)
                }
                None => format!("{} has no trial yet", entry.spec.name),
            })
        }),
        None => history
            .best(&entry.spec.goals[0])
            .or_else(|| history.rows().next_back())
            .ok_or_else(|| Fault::call(format!("{} has no trial yet", entry.spec.name))),
    }
}

/// `kilter show`
pub fn show(args: &OfTrial, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(args.study.as_deref(), &args.storage)?;
    let row = chosen(args.trial, &entry, &history)?;
    let folder = place.trials_folder(&entry.spec.name).join(row.number.to_string());
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
    voice.say(&voice.strong(&format!("trial {} of {}: {}", row.number, entry.spec.name, row.state.name())))?;
    voice.say("hyperparameters")?;
    for (name, value) in row.config().answers() {
        voice.say(&format!("  {name} = {value}"))?;
    }
    if let Some(end) = &row.end {
        if !end.metrics.is_empty() {
            voice.say("metrics")?;
            for (name, value) in &end.metrics {
                voice.say(&format!("  {name} = {}", short(*value)))?;
            }
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
        let mut took = vec![format!("{} wall", duration(end.usage.wall_seconds))];
        took.extend(end.usage.cpu_seconds.map(|seconds| format!("{} CPU", duration(seconds))));
        took.extend(end.usage.peak_bytes.map(|peak| format!("{} memory at the peak", bytes(peak))));
        voice.say(&format!("took {}", took.join(", ")))?;
    }
    let mut metrics: Vec<&str> = row.points.iter().map(|point| point.metric.as_str()).collect();
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

/// `kilter logs`
pub fn logs(args: &Logs, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(args.of.study.as_deref(), &args.of.storage)?;
    let row = chosen(args.of.trial, &entry, &history)?;
    let folder = place.trials_folder(&entry.spec.name).join(row.number.to_string());
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let (out, err) = (read("stdout.log"), read("stderr.log"));
    if out.is_none() && err.is_none() {
        return Err(Fault::work(format!("trial {} has left no output in {}", row.number, folder.display())));
    }
    if voice.json {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        voice.document(&json!({ "number": row.number, "stdout": text(&out), "stderr": text(&err) }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    if let Some(out) = out.filter(|_| !args.stderr) {
        stdout.write_all(&out)?;
    }
    if let Some(err) = err.filter(|err| !err.is_empty()) {
        if !args.stderr {
            voice.remark(&format!("--- trial {}, standard error ---", row.number));
        }
        stdout.write_all(&err)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `kilter recipes`
pub fn recipes(args: &Named, voice: &Voice) -> Result<ExitCode, Fault> {
    let all = kilter_recipes::recipes();
    let Some(name) = &args.name else {
        if voice.json {
            let all: Vec<_> =
                all.iter().map(|recipe| json!({ "name": recipe.name(), "about": recipe.about() })).collect();
            voice.document(&json!({ "recipes": all }))?;
        } else {
            let rows = all.iter().map(|recipe| vec![recipe.name().to_owned(), recipe.about().to_owned()]).collect();
            voice.say(&table(&["recipe".to_owned(), "what it does".to_owned()], rows))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let recipe = all.iter().find(|recipe| recipe.name() == name).ok_or_else(|| {
        let near = nearest(name, all.iter().map(|recipe| recipe.name()));
        let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Fault::call(format!("there is no recipe `{name}`{advice}"))
    })?;
    recipe_details(&**recipe, voice)?;
    Ok(ExitCode::SUCCESS)
}

fn recipe_details(recipe: &dyn Recipe, voice: &Voice) -> Result<(), Fault> {
    let entries = recipe.outline().map_or(&[][..], |outline| outline.entries());
    if voice.json {
        return voice.document(&json!({
            "name": recipe.name(), "about": recipe.about(), "metrics": recipe.metrics(), "hyperparameters": entries,
        }));
    }
    voice.say(&format!("{}  {}", voice.strong(recipe.name()), recipe.about()))?;
    let metrics: Vec<String> = recipe
        .metrics()
        .iter()
        .map(|metric| format!("{} ({})", metric.name, if metric.better.prefers(0.0, 1.0) { "lower" } else { "higher" }))
        .collect();
    voice.say(&format!("metrics, and which way is better: {}", metrics.join(", ")))?;
    voice.say("")?;
    let default =
        |value: &Option<kilter_space::Value>| value.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    for (setting, title) in [(false, "hyperparameter"), (true, "setting")] {
        let of_kind = entries.iter().filter(|entry| entry.setting == setting);
        let rows: Vec<Vec<String>> = of_kind
            .map(|entry| {
                let when = entry.when.as_ref().map_or_else(String::new, |when| format!("when {when}"));
                let about = [entry.about.clone(), when].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
                let domain = match &entry.domain {
                    Domain::Fixed(value) => format!("fixed:{value}"),
                    domain => domain.to_string(),
                };
                vec![entry.name.to_string(), domain, default(&entry.default), about.join("; ")]
            })
            .collect();
        if !rows.is_empty() {
            if setting {
                voice.say("")?;
            }
            voice.say(&table(&[title, "domain", "default", "what it does"].map(str::to_owned), rows))?;
        }
    }
    if entries.iter().any(|entry| entry.setting) {
        voice.say("\nsettings are fixed at their defaults; --set changes one, --param searches it")?;
    }
    Ok(())
}

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
