//! What a study came to: the words at its beginning and its end, and one trial as text and as JSON.

use kilter_space::{Count, Expr};
use kilter_study::storage::StudyEntry;
use kilter_study::{Goal, History, Outcome, Row, State, Study, StudySpec, Summary};
use serde_json::{Value as Json, json};

use crate::fault::Fault;
use crate::picture::course;
use crate::place::Place;
use crate::session::quoted;
use crate::style::{Voice, duration, short, sparkline};
use crate::table::{fits_terminal, table, wide_table};

/// Scores on data that tuning never saw.
pub struct Honest {
    /// Of the best configuration.
    pub tuned: Outcome,
    /// Of the defaults, if there are any.
    pub defaults: Option<Outcome>,
}

/// How many trials the closing table shows.
const TOP: usize = 5;

/// One line before the first trial.
pub fn opening(study: &Study, voice: &Voice) {
    let spec = study.spec();
    let wanted = study
        .trials_wanted()
        .map_or(String::new(), |wanted| format!(", {wanted} trial{}", if wanted == 1 { "" } else { "s" }));
    let searched = spec.outline.searched().count();
    let aims: Vec<String> = spec.goals.iter().map(aim).collect();
    let required = match spec.requirements.as_slice() {
        [] => String::new(),
        requirements => format!(" with {}", requirements_words(requirements)),
    };
    voice.remark(&format!(
        "study {}: {}{required} of {searched} hyperparameter{}{wanted}, sampler {}{}",
        spec.name,
        aims.join(" and "),
        if searched == 1 { "" } else { "s" },
        spec.sampler,
        planned_words(spec),
    ));
}

/// How many configurations there are to try, where the sampler knows.
fn planned_words(spec: &StudySpec) -> String {
    match kilter_search::planned(&spec.sampler, &spec.outline) {
        Ok(Some(Count::Exact(1))) => " with 1 configuration".to_owned(),
        Ok(Some(Count::Exact(count))) => format!(" with {count} configurations"),
        Ok(Some(Count::AtMost(count))) => format!(" with at most {count} configurations"),
        _ => String::new(),
    }
}

fn aim(goal: &Goal) -> String {
    let verb = match goal.better {
        kilter_study::Better::Lower => "smallest",
        kilter_study::Better::Higher => "largest",
    };
    format!("{verb} {}", goal.metric)
}

/// The result, the picture, what to type next.
pub fn closing(
    study: &Study,
    honest: Option<&Honest>,
    ran: &Summary,
    place: &Place,
    voice: &Voice,
) -> Result<(), Fault> {
    let (spec, history) = (study.spec(), study.history());
    let goal = &spec.goals[0];
    let front = history.front(&spec.goals);
    if voice.json {
        let all = || front.iter().map(|row| trial_json(row, &spec.goals));
        let best: Json = if spec.goals.len() > 1 { all().collect() } else { all().next().into() };
        return voice.document(&json!({
            "study": spec.name,
            "interrupted": ran.interrupted,
            "why": study.enough().or_else(|| Some(ran.why.clone()).filter(|why| !why.ends_with("were wanted"))),
            "counts": counts(history),
            "best": best,
            "runner_up": runner_up_json(history, &spec.goals[0]),
            "default": default_row(study).map(|row| trial_json(row, &spec.goals)),
            "holdout": honest.map(|honest| json!({
                "tuned": honest.tuned.metrics,
                "default": honest.defaults.as_ref().map(|outcome| &outcome.metrics),
                "intervals": {
                    "tuned": honest.tuned.intervals,
                    "default": honest.defaults.as_ref().map(|outcome| &outcome.intervals),
                },
            })),
        }));
    }
    let Some(best) = front.first().copied() else {
        if history.count(State::Complete) > 0 {
            let (name, required) = (&spec.name, requirements_words(&spec.requirements));
            voice.say(&format!("no trial of {name} keeps what is required: {required} ({})", count_words(history)))?;
            let nearest = "kilter trials --where \"state == 'complete'\" --sort violation --limit 5";
            return voice.say(&format!("see which come nearest:\n  {}", next_words(nearest, study, place)));
        }
        voice.say(&format!("no trial of {} completed ({})", spec.name, count_words(history)))?;
        if history.count(State::Failed) == 0 {
            return Ok(());
        }
        let next = next_words(
            &format!("kilter logs {}", history.rows().next_back().map_or(0, |row| row.number)),
            study,
            place,
        );
        return voice.say(&format!("see what one printed:\n  {next}"));
    };
    if voice.quiet {
        return front.iter().try_for_each(|row| voice.say(&row.config().to_string()));
    }
    if spec.goals.len() > 1 {
        return closing_front(&front, study, place, voice);
    }
    let value = best.value(&goal.metric).unwrap_or(f64::NAN);
    let head = format!("best {} {} in trial {}", goal.metric, value_words(best, &goal.metric), best.number);
    voice.prose(&format!("{} ({})", voice.strong(&head), count_words(history)))?;
    if let Some(words) = repeats_words(best, history, goal) {
        voice.say(&words)?;
    }
    voice.say("")?;
    let top: Vec<&Row> = history.ranking(goal).into_iter().take(TOP).collect();
    voice.say(&trials_table(&top, &spec.goals, false))?;
    if let Some(common) = common(&top, study) {
        voice.say(&voice.faint(&format!("  all of them with {common}")))?;
    }
    let trials: Vec<(u64, f64)> = history
        .rows()
        .filter(|row| row.is_feasible())
        .filter_map(|row| Some((row.number, row.value(&goal.metric)?)))
        .collect();
    let drawn = course(&trials, &goal.metric, goal.better);
    if !drawn.is_empty() {
        voice.say("")?;
        voice.say(&drawn)?;
    }
    let defaults = default_row(study).and_then(|row| row.value(&goal.metric));
    if let Some(scores) = scores(value, defaults, honest, goal) {
        voice.say("")?;
        voice.say(&scores)?;
    }
    if honest.is_some() {
        let words =
            "  (validation: what was tuned for; honest test: rows that no trial ever saw,\n  with 95 % intervals)";
        voice.say(&voice.faint(words))?;
    }
    voice.say("")?;
    voice.say("next:")?;
    voice.say(&format!("  {}", next_words(&format!("kilter show {}", best.number), study, place)))?;
    voice.say(&format!("  {}", resume_words(study, place)))
}

/// The command that goes on with a study, past whatever ended it.
fn resume_words(study: &Study, place: &Place) -> String {
    let (spec, history) = (study.spec(), study.history());
    let mut lift = String::new();
    if study.enough().is_some() && history.stopped().is_none() {
        if let Some(seconds) = spec.limits.seconds {
            lift.push_str(&format!(" --budget {}s", seconds * 2.0));
        }
        if spec.limits.stop_when.is_some() {
            lift.push_str(" --stop-when ''");
        }
    }
    let more = history.ended() as u64 * 2;
    format!("kilter resume {} --trials {more}{lift}{}", quoted(&spec.name), place.option())
}

/// How many trials of a front the closing table shows.
const FRONT: usize = 20;

/// The end of a study of several directions: the front, the course of its hypervolume, what to type next.
fn closing_front(front: &[&Row], study: &Study, place: &Place, voice: &Voice) -> Result<(), Fault> {
    let (spec, history) = (study.spec(), study.history());
    voice.prose(&format!("{} ({})", voice.strong(&front_words(front, &spec.goals)), count_words(history)))?;
    voice.say("")?;
    voice.say(&trials_table(&front[..front.len().min(FRONT)], &spec.goals, false))?;
    if let Some(common) = common(front, study) {
        voice.say(&voice.faint(&format!("  all of them with {common}")))?;
    }
    if front.len() > FRONT {
        let all = next_words("kilter best", study, place);
        voice.say(&voice.faint(&format!("  and {} more: {all}", front.len() - FRONT)))?;
    }
    voice.say("")?;
    let course = kilter_search::front_course(history, &spec.goals);
    if let (Some(first), Some(last)) = (course.first(), course.last()) {
        let line = format!("  hypervolume  {}  {} → {}", sparkline(&course, 60), short(*first), short(*last));
        voice.say(&line)?;
        voice.say(&voice.faint("  (the share of what lies between the worst and the best values seen)"))?;
    }
    voice.say("")?;
    voice.say("next:")?;
    voice.say(&format!("  {}", next_words(&format!("kilter show {}", front[0].number), study, place)))?;
    voice.say(&format!("  {}", resume_words(study, place)))
}

/// `front of 3 trials: loss 0.1 to 0.3, wall_seconds 2 to 9`
pub fn front_words(front: &[&Row], goals: &[Goal]) -> String {
    let range = |goal: &Goal| {
        let values = front.iter().filter_map(|row| row.value(&goal.metric));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low == high {
            format!("{} {}", goal.metric, short(low))
        } else {
            format!("{} {} to {}", goal.metric, short(low), short(high))
        }
    };
    let ranges: Vec<String> = goals.iter().map(range).collect();
    format!("front of {} trial{}: {}", front.len(), if front.len() == 1 { "" } else { "s" }, ranges.join(", "))
}

/// `latency_ms <= 10 and size < 3`
pub fn requirements_words(requirements: &[Expr]) -> String {
    requirements.iter().map(Expr::source).collect::<Vec<_>>().join(" and ")
}

/// What tuning was worth: the score it tuned, and the honest ones, beside the defaults'.
fn scores(value: f64, defaults: Option<f64>, honest: Option<&Honest>, goal: &Goal) -> Option<String> {
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    let mut rows = Vec::new();
    if defaults.is_some() || honest.is_some() {
        rows.push(vec!["validation".to_owned(), goal.metric.clone(), cell(defaults), short(value)]);
    }
    let tested = |outcome: &Outcome, name: &str| match (outcome.metrics.get(name), outcome.intervals.get(name)) {
        (None, _) => "–".to_owned(),
        (Some(value), None) => short(*value),
        (Some(value), Some([low, high])) => format!("{} ({} to {})", short(*value), rough(*low), rough(*high)),
    };
    for name in honest.iter().flat_map(|honest| ordered(&honest.tuned, goal)) {
        let Some(Honest { tuned, defaults }) = honest else { continue };
        let defaults = defaults.as_ref().map_or_else(|| "–".to_owned(), |outcome| tested(outcome, name));
        rows.push(vec!["honest test".to_owned(), name.to_owned(), defaults, tested(tuned, name)]);
    }
    let header = ["score", "metric", "defaults", "tuned"].map(str::to_owned);
    (!rows.is_empty()).then(|| table(&header, rows))
}

/// The ends of an interval need no more digits than these.
fn rough(x: f64) -> String {
    let digits = 2 - x.abs().log10().floor().clamp(-3.0, 2.0) as i32;
    if x == 0.0 || x.abs() >= 1e5 { short(x) } else { format!("{x:.*}", digits.clamp(0, 3) as usize) }
}

/// The names of its metrics, the goal's first.
fn ordered<'a>(outcome: &'a Outcome, goal: &Goal) -> Vec<&'a str> {
    let mut metrics: Vec<&str> = outcome.metrics.keys().map(String::as_str).collect();
    metrics.sort_by_key(|name| *name != goal.metric);
    metrics
}

/// A command that names the study where the newest would not do.
fn next_words(command: &str, study: &Study, place: &Place) -> String {
    format!("{command} --study {}{}", quoted(&study.spec().name), place.option())
}

/// The trial of the defaults, if the study began with it.
fn default_row(study: &Study) -> Option<&Row> {
    let defaults = kilter_space::Defaults::config(&study.spec().outline).ok()?;
    study.history().rows().find(|row| *row.config() == defaults && row.state == State::Complete)
}

/// How many trials are in each state.
pub fn counts(history: &History) -> Json {
    State::ALL
        .into_iter()
        .map(|state| (state.name().to_owned(), json!(history.count(state))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `50 trials: 48 complete, 2 failed`
pub fn count_words(history: &History) -> String {
    let states = [State::Complete, State::Pruned, State::Failed, State::Running, State::Stale, State::Waiting];
    let parts: Vec<String> = states
        .into_iter()
        .filter(|state| history.count(*state) > 0)
        .map(|state| {
            let infeasible = history.rows().filter(|row| row.violation().is_some_and(|v| v > 0.0)).count();
            let note = match state {
                State::Complete if infeasible > 0 => format!(", of them {infeasible} infeasible"),
                _ => String::new(),
            };
            format!("{} {}{note}", history.count(state), state.name())
        })
        .collect();
    format!("{} trial{}: {}", history.len(), if history.len() == 1 { "" } else { "s" }, parts.join(", "))
}

/// What was searched and came out the same in all of several trials: `family=logistic_regression`.
fn common(rows: &[&Row], study: &Study) -> Option<String> {
    let (first, rest) = rows.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let searched = |name: &str| study.spec().outline.entry(name).is_ok_and(|entry| entry.domain.count() != Some(1));
    let same = first.config().answers().iter().filter(|(name, value)| {
        searched(name.as_str()) && rest.iter().all(|row| row.config().get(name.as_str()) == Some(value))
    });
    let same: Vec<String> = same.map(|(name, value)| format!("{name}={}", value_cell(value))).collect();
    (!same.is_empty()).then(|| same.join(" "))
}

/// Trials as a table: number, state where it matters, values, hyperparameters. Too many columns for the terminal become
/// one of `name=value`.
pub fn trials_table(rows: &[&Row], goals: &[Goal], with_state: bool) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| row.config().answers()) {
        if !names.contains(&name.as_str()) {
            names.push(name.as_str());
        }
    }
    // What is the same in every row tells nothing.
    let varies = |name: &&str| rows.iter().any(|row| row.config().get(name) != rows[0].config().get(name));
    let shown: Vec<&str> =
        if rows.len() > 1 { names.iter().copied().filter(|name| varies(name)).collect() } else { names };
    let head = |rest: &[&str]| -> Vec<String> {
        let mut head = vec!["trial".to_owned()];
        head.extend(with_state.then(|| "state".to_owned()));
        head.extend(goals.iter().map(|goal| goal.metric.clone()));
        head.extend(with_state.then(|| "time".to_owned()));
        head.extend(rest.iter().map(|name| (*name).to_owned()));
        head
    };
    let start = |row: &Row| -> Vec<String> {
        let mut cells = vec![row.number.to_string()];
        cells.extend(with_state.then(|| state_words(row)));
        cells.extend(goals.iter().map(|goal| value_words(row, &goal.metric)));
        let time = row.end.as_ref().map_or_else(|| "–".to_owned(), |end| duration(end.usage.wall_seconds));
        cells.extend(with_state.then_some(time));
        cells
    };
    let wide = rows.iter().map(|row| {
        let mut cells = start(row);
        cells.extend(shown.iter().map(|name| row.config().get(name).map_or_else(|| "–".to_owned(), value_cell)));
        cells
    });
    let drawn = wide_table(&head(&shown), wide.collect());
    if fits_terminal(&drawn) {
        return drawn;
    }
    let narrow = rows.iter().map(|row| {
        let mut cells = start(row);
        let pairs = row.config().answers().iter().filter(|(name, _)| shown.contains(&name.as_str()));
        cells.push(pairs.map(|(name, value)| format!("{name}={}", value_cell(value))).collect::<Vec<_>>().join(" "));
        cells
    });
    table(&head(&["hyperparameters"]), narrow.collect())
}

/// `0.0812`, with repeats `0.0812 ± 0.004`: half of the 95 % interval of the mean.
pub fn value_words(row: &Row, metric: &str) -> String {
    let Some(value) = row.value(metric) else { return "–".to_owned() };
    match row.interval(metric) {
        Some(interval) => format!("{} ± {}", short(value), coarse((interval.high - interval.low) / 2.0)),
        None => short(value),
    }
}

/// An uncertainty: two digits say enough.
fn coarse(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return short(x);
    }
    let digits = 1 - x.abs().log10().floor() as i32;
    if (0..6).contains(&digits) { format!("{x:.*}", digits as usize) } else { short(x) }
}

/// What repeats say of the best trial: its interval, and whether it can be told from the one behind.
pub fn repeats_words(best: &Row, history: &History, goal: &Goal) -> Option<String> {
    let repeats = best.repeats(&goal.metric).len();
    let mean = match best.interval(&goal.metric) {
        Some(interval) => {
            format!("mean of {repeats} repeats, 95 % interval {} to {}", short(interval.low), short(interval.high))
        }
        None => return None,
    };
    let behind = history.runner_up(goal).map(|behind| {
        let difference = behind.difference.difference;
        format!(
            "\n  {}distinguishable from the runner-up, trial {} (difference {}, 95 % interval {} to {} over {} repeats)",
            if behind.is_distinguishable() { "" } else { "not " },
            behind.number,
            short(difference.estimate),
            short(difference.low),
            short(difference.high),
            behind.difference.pairs,
        )
    });
    let all: Vec<Vec<f64>> =
        history.rows().map(|row| row.repeats(&goal.metric)).filter(|values| values.len() > 1).collect();
    let same = all.len() > 1 && all.iter().all(|values| values.iter().all(|value| *value == values[0]));
    let advice = "\n  every repeat of a configuration gave the same: does it use {seed}, {repeat} or KILTER_SEED?";
    Some(format!("  {mean}{}{}", behind.unwrap_or_default(), if same { advice } else { "" }))
}

/// The trial behind the best, as JSON; nothing without repeats.
pub fn runner_up_json(history: &History, goal: &Goal) -> Option<Json> {
    history.runner_up(goal).map(|behind| {
        let difference = behind.difference.difference;
        json!({
            "number": behind.number, "difference": difference.estimate, "low": difference.low, "high": difference.high,
            "repeats": behind.difference.pairs, "distinguishable": behind.is_distinguishable(),
        })
    })
}

/// `complete`, `failed (exit_status)`, `complete (copy of 3)`
pub fn state_words(row: &Row) -> String {
    let failure = row.end.as_ref().and_then(|end| end.failure.as_ref());
    let more = failure.map(|failure| failure.name().to_owned());
    let infeasible = row.violation().is_some_and(|violation| violation > 0.0);
    let more = more.or_else(|| infeasible.then(|| "infeasible".to_owned()));
    let more = more.or_else(|| row.opened.copy_of.map(|number| format!("copy of {number}")));
    more.map_or_else(|| row.state.name().to_owned(), |more| format!("{} ({more})", row.state.name()))
}

/// A value for a table: floats short, the rest as it is.
pub fn value_cell(value: &kilter_space::Value) -> String {
    match value {
        kilter_space::Value::Float(x) => short(*x),
        other => other.to_string(),
    }
}

/// A study as JSON: what it is, and how far it has come.
pub fn study_json(entry: &StudyEntry, history: &History) -> Json {
    let spec = &entry.spec;
    json!({
        "name": spec.name, "goals": spec.goals, "requirements": spec.requirements, "limits": spec.limits,
        "sampler": spec.sampler, "pruner": spec.pruner, "seed": spec.seed, "space": spec.outline,
        "trials_wanted": history.trials_wanted().or(spec.trials), "stopped": history.stopped(), "user": history.tags(),
        "counts": counts(history), "created_ms": entry.created_ms,
    })
}

/// What each repeat gave of the goals, and the mean's interval.
fn repeats_json(row: &Row, goals: &[Goal]) -> Json {
    let of_goal = |goal: &Goal| {
        let values = row.repeats(&goal.metric);
        let interval = row.interval(&goal.metric);
        let told = json!({
            "values": values, "mean": interval.map(|i| i.estimate), "low": interval.map(|i| i.low),
            "high": interval.map(|i| i.high),
        });
        (!values.is_empty()).then(|| (goal.metric.clone(), told))
    };
    let all: serde_json::Map<String, Json> = goals.iter().filter_map(of_goal).collect();
    if all.is_empty() { Json::Null } else { Json::Object(all) }
}

/// One trial as JSON, the same in every command.
pub fn trial_json(row: &Row, goals: &[Goal]) -> Json {
    let mut object = json!({
        "number": row.number,
        "state": row.state,
        "values": row.values(goals),
        "params": row.config(),
        "user": row.tags,
        "attempt": row.attempt,
        "copy_of": row.opened.copy_of,
        "repeats": repeats_json(row, goals),
        "feasible": row.violation().map(|violation| violation == 0.0),
        "opened_ms": row.opened_ms,
        "ended_ms": row.ended_ms,
    });
    if let (Some(end), Some(object)) = (&row.end, object.as_object_mut()) {
        object.insert("metrics".to_owned(), json!(end.metrics));
        if !end.violations.is_empty() {
            object.insert("violations".to_owned(), json!(end.violations));
        }
        object.insert("wall_seconds".to_owned(), json!(end.usage.wall_seconds));
        object.insert("cpu_seconds".to_owned(), json!(end.usage.cpu_seconds));
        object.insert("energy_joules".to_owned(), json!(end.usage.energy.map(|energy| energy.joules)));
        object.insert("energy_kind".to_owned(), json!(end.usage.energy.map(|energy| energy.kind)));
        object.insert("peak_bytes".to_owned(), json!(end.usage.peak_bytes));
        if let Some(failure) = &end.failure {
            let mut told = json!(failure);
            if let Some(told) = told.as_object_mut() {
                told.insert("message".to_owned(), json!(failure.to_string()));
            }
            object.insert("failure".to_owned(), told);
        }
        if !end.remarks.is_empty() {
            object.insert("remarks".to_owned(), json!(end.remarks));
        }
        if let Some(why) = &end.why {
            object.insert("stopped".to_owned(), json!(why.to_string()));
        }
    }
    // Attempts that had been given up for dead and ended after all: kept, not counted.
    if let Some(object) = object.as_object_mut().filter(|_| !row.late.is_empty()) {
        object.insert("late".to_owned(), json!(row.late));
    }
    object
}
