//! Optuna's SQLite databases, of version 2.4 and later (schema 12).
//!
//! Distributions become domains, of several for one name the widest. Optuna stores no conditions: where a hyperparameter was
//! asked exactly under certain values of one categorical, that is its condition; else it is always asked. Moments are
//! taken for universal time, of which the file says nothing. Samplers and pruners are not in the file; artifacts and what
//! samplers noted for themselves stay there. Whatever had to be guessed or left is told in [`Imported::remarks`].

use std::collections::BTreeMap;
use std::path::Path;

use kilter_meter::Usage;
use kilter_space::{Choice, Domain, DomainError, Entry, Float, Int, Outline, SpaceError, Value};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;

use super::{ImportError, Imported, Past, log};
use crate::event::{End, EndState, Point};
use crate::goal::{Better, Goal};
use crate::history::Tags;
use crate::limits::Limits;
use crate::recipe::Failure;
use crate::run::Why;
use crate::storage::{Conduct, StudySpec};

/// The schema since Optuna 2.4.
const SCHEMA: i64 = 12;

/// All studies of an Optuna database, oldest first.
///
/// # Errors
/// If the file is none, or of an Optuna too old.
pub fn read_optuna(path: &Path) -> Result<Vec<Imported>, ImportError> {
    let unreadable = |why: rusqlite::Error| ImportError::Unreadable { path: path.to_owned(), why: why.to_string() };
    let not_known = |why: String| ImportError::NotKnown { path: path.to_owned(), why };
    let on = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unreadable)?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('studies', 'trials', 'trial_params')";
    let tables: i64 = match on.query_row(tables, [], |row| row.get(0)) {
        Ok(tables) => tables,
        Err(why) if why.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(not_known("it is no SQLite file".to_owned()));
        }
        Err(why) => return Err(unreadable(why)),
    };
    if tables < 3 {
        return Err(not_known("it is a SQLite file, but not one of Optuna's".to_owned()));
    }
    let schema: i64 =
        on.query_row("SELECT schema_version FROM version_info", [], |row| row.get(0)).map_err(unreadable)?;
    if schema != SCHEMA {
        return Err(not_known(format!(
            "it has Optuna's schema {schema}; this kilter reads {SCHEMA}: bring it forward with `optuna storage upgrade`"
        )));
    }
    let studies: Vec<(i64, String)> =
        rows(&on, "SELECT study_id, study_name FROM studies ORDER BY study_id", 0, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(unreadable)?;
    studies.into_iter().map(|(id, name)| Study { on: &on, path, id, name }.read()).collect()
}

fn rows<T>(
    on: &Connection,
    select: &str,
    id: i64,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = on.prepare(select)?;
    let parameters: &[&dyn rusqlite::ToSql] = if statement.parameter_count() == 0 { &[] } else { &[&id] };
    statement.query_map(parameters, read)?.collect()
}

struct Study<'a> {
    on: &'a Connection,
    path: &'a Path,
    id: i64,
    name: String,
}

/// What one name was asked for, in the order of trials.
#[derive(Default)]
struct Asked {
    domain: Option<Domain>,
    /// Not always for the same.
    changed: bool,
    in_trials: Vec<i64>,
}

impl Study<'_> {
    fn unreadable(&self, why: impl ToString) -> ImportError {
        ImportError::Unreadable {
            path: self.path.to_owned(),
            why: format!("study `{}`: {}", self.name, why.to_string()),
        }
    }

    fn attributes(&self, table: &str) -> Result<Tags, ImportError> {
        let select = format!("SELECT key, value_json FROM {table} WHERE study_id = ?1 ORDER BY key");
        let pairs: Vec<(String, String)> = rows(self.on, &select, self.id, |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|why| self.unreadable(why))?;
        Ok(pairs.into_iter().map(|(key, text)| (key, json(&text))).collect())
    }

    fn read(self) -> Result<Imported, ImportError> {
        let sql = |why: rusqlite::Error| self.unreadable(why);
        let system = self.attributes("study_system_attributes")?;
        let directions: Vec<(usize, String)> = rows(
            self.on,
            "SELECT objective, direction FROM study_directions WHERE study_id = ?1 ORDER BY objective",
            self.id,
            |row| Ok((row.get::<_, i64>(0)? as usize, row.get(1)?)),
        )
        .map_err(sql)?;
        let several = directions.len() > 1;
        let goal = |(objective, direction): &(usize, String)| {
            let named = system.get("study:metric_names").and_then(|names| names.get(objective)?.as_str());
            let metric = match named {
                Some(name) => name.to_owned(),
                None if several => format!("values_{objective}"),
                None => "value".to_owned(),
            };
            Goal { metric, better: if direction == "MAXIMIZE" { Better::Higher } else { Better::Lower } }
        };
        let goals: Vec<Goal> = directions.iter().map(goal).collect();
        let mut remarks = Vec::new();
        let (order, asked, answers) = self.answers()?;
        let outline = self.outline(&order, &asked, &answers, &mut remarks)?;
        let pasts = self.trials(&goals, &answers, &mut remarks)?;
        let created_ms = pasts.first().map_or(0, |past| past.began_ms);
        let trials = Some(pasts.len() as u64);
        let events = log(pasts, &outline, self.attributes("study_user_attributes")?, &mut remarks);
        let spec = StudySpec {
            name: self.name,
            outline,
            goals,
            sampler: "auto".to_owned(),
            pruner: "none".to_owned(),
            seed: 0,
            trials,
            requirements: Vec::new(),
            limits: Limits::default(),
            conduct: Conduct::default(),
            plan: Json::Null,
        };
        Ok(Imported { spec, created_ms, events, remarks })
    }

    /// How many artifacts the study and its trials name.
    fn artifacts(&self) -> Result<i64, ImportError> {
        let select = "SELECT (SELECT count(*) FROM study_system_attributes WHERE study_id = ?1 AND key LIKE 'artifacts:%') \
                      + (SELECT count(*) FROM trial_system_attributes a JOIN trials t ON t.trial_id = a.trial_id \
                      WHERE t.study_id = ?1 AND a.key LIKE 'artifacts:%')";
        self.on.query_row(select, [self.id], |row| row.get(0)).map_err(|why| self.unreadable(why))
    }

    /// Names in the order in which they were first asked, what they were asked for, and every trial's answers.
    #[allow(clippy::type_complexity)]
    fn answers(
        &self,
    ) -> Result<(Vec<String>, BTreeMap<String, Asked>, BTreeMap<i64, Vec<(String, Value)>>), ImportError> {
        let select = "SELECT p.trial_id, p.param_name, p.param_value, p.distribution_json FROM trial_params p \
                      JOIN trials t ON t.trial_id = p.trial_id WHERE t.study_id = ?1 ORDER BY p.param_id";
        let params: Vec<(i64, String, f64, String)> =
            rows(self.on, select, self.id, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .map_err(|why| self.unreadable(why))?;
        let (mut order, mut asked, mut answers) = (Vec::new(), BTreeMap::<String, Asked>::new(), BTreeMap::new());
        for (trial, name, value, distribution) in params {
            let domain = domain(&json(&distribution)).map_err(|why| self.unreadable(format!("`{name}`: {why}")))?;
            let answer = match &domain {
                Domain::Choice(choice) => choice.values().get(value as usize).cloned().unwrap_or(Value::Null),
                Domain::Int(_) => Value::Int(value as i64),
                Domain::Fixed(value) => value.clone(),
                _ => Value::Float(value),
            };
            if !asked.contains_key(&name) {
                order.push(name.clone());
            }
            let all = asked.entry(name.clone()).or_default();
            all.in_trials.push(trial);
            all.domain = Some(match all.domain.take() {
                None => domain,
                Some(before) => {
                    all.changed |= before != domain;
                    widest(before, domain)
                }
            });
            answers.entry(trial).or_insert_with(Vec::new).push((name, answer));
        }
        Ok((order, asked, answers))
    }

    fn outline(
        &self,
        order: &[String],
        asked: &BTreeMap<String, Asked>,
        answers: &BTreeMap<i64, Vec<(String, Value)>>,
        remarks: &mut Vec<String>,
    ) -> Result<Outline, ImportError> {
        let fault = |why: SpaceError| ImportError::Space { study: self.name.clone(), why: Box::new(why) };
        // Trials that ended early may not have asked everything.
        let select = "SELECT trial_id FROM trials WHERE study_id = ?1 AND state = 'COMPLETE'";
        let complete: Vec<i64> =
            rows(self.on, select, self.id, |row| row.get(0)).map_err(|why| self.unreadable(why))?;
        let complete: Vec<i64> = complete.into_iter().filter(|trial| answers.contains_key(trial)).collect();
        let mut entries = Vec::new();
        for name in order {
            let Some(Asked { domain: Some(domain), changed, in_trials }) = asked.get(name) else { continue };
            let mut entry = Entry::new(name, domain.clone()).map_err(fault)?;
            if *changed {
                remarks
                    .push(format!("`{name}` was not always asked for the same there; it is searched in {domain} here"));
            }
            let has = |trial: &i64| in_trials.contains(trial);
            if !complete.iter().all(has) {
                let found = condition(order, asked, answers, &complete, &has);
                remarks.push(match &found {
                    Some(condition) => format!(
                        "`{name}` is asked when {condition}: so it was in all complete trials; conditions are not in the file"
                    ),
                    None => format!(
                        "`{name}` is always asked here, though some complete trials lack it; conditions are not in the file"
                    ),
                });
                if let Some(condition) = found {
                    entry = entry.when(&condition).map_err(fault)?;
                }
            }
            entries.push(entry);
        }
        Outline::new(entries).map_err(fault)
    }

    fn trials(
        &self,
        goals: &[Goal],
        answers: &BTreeMap<i64, Vec<(String, Value)>>,
        remarks: &mut Vec<String>,
    ) -> Result<Vec<Past>, ImportError> {
        let sql = |why: rusqlite::Error| self.unreadable(why);
        let of_trials = |what: &str, table: &str, order: &str| {
            format!(
                "SELECT x.trial_id, {what} FROM {table} x JOIN trials t ON t.trial_id = x.trial_id \
                 WHERE t.study_id = ?1 ORDER BY {order}"
            )
        };
        let has_types: bool = self
            .on
            .prepare("SELECT 1 FROM pragma_table_info('trial_values') WHERE name = 'value_type'")
            .and_then(|mut found| found.exists([]))
            .map_err(sql)?;
        // Since Optuna 3 infinities are told by a column of their own.
        let (value, intermediate) = match has_types {
            true => (
                "CASE x.value_type WHEN 'INF_POS' THEN 9e999 WHEN 'INF_NEG' THEN -9e999 ELSE x.value END",
                "CASE x.intermediate_value_type WHEN 'INF_POS' THEN 9e999 WHEN 'INF_NEG' THEN -9e999 ELSE \
                 x.intermediate_value END",
            ),
            false => ("x.value", "x.intermediate_value"),
        };
        let mut values: BTreeMap<i64, Vec<(usize, f64)>> = BTreeMap::new();
        let select = of_trials(&format!("x.objective, {value}"), "trial_values", "x.objective");
        for (trial, objective, value) in rows(self.on, &select, self.id, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<f64>>(2)?))
        })
        .map_err(sql)?
        {
            values.entry(trial).or_default().push((objective as usize, value.unwrap_or(f64::NAN)));
        }
        let mut points: BTreeMap<i64, Vec<Point>> = BTreeMap::new();
        let reported = goals.first().map_or_else(|| "value".to_owned(), |goal| goal.metric.clone());
        let select = of_trials(&format!("x.step, {intermediate}"), "trial_intermediate_values", "x.step");
        for (trial, step, value) in rows(self.on, &select, self.id, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<f64>>(2)?))
        })
        .map_err(sql)?
        {
            let step = u64::try_from(step).unwrap_or(0);
            let value = value.unwrap_or(f64::NAN);
            points.entry(trial).or_default().push(Point { step, metric: reported.clone(), value });
        }
        let mut tags: BTreeMap<i64, Tags> = BTreeMap::new();
        let mut system: BTreeMap<i64, Tags> = BTreeMap::new();
        for (into, table) in [(&mut tags, "trial_user_attributes"), (&mut system, "trial_system_attributes")] {
            let select = of_trials("x.key, x.value_json", table, "x.key");
            for (trial, key, text) in rows(self.on, &select, self.id, |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })
            .map_err(sql)?
            {
                into.entry(trial).or_default().insert(key, json(&text));
            }
        }
        let select = "SELECT trial_id, state, datetime_start, datetime_complete FROM trials WHERE study_id = ?1 \
                      ORDER BY number";
        let trials: Vec<(i64, String, Option<String>, Option<String>)> =
            rows(self.on, select, self.id, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .map_err(sql)?;
        let (mut pasts, mut running, mut constrained) = (Vec::new(), 0, false);
        for (id, state, start, complete) in trials {
            let system = system.remove(&id).unwrap_or_default();
            let began_ms = start.as_deref().and_then(moment).unwrap_or(0);
            let ended_ms = complete.as_deref().and_then(moment).unwrap_or(began_ms).max(began_ms);
            let usage = Usage { wall_seconds: (ended_ms - began_ms) as f64 / 1000.0, ..Usage::default() };
            let metrics: BTreeMap<String, f64> = values
                .remove(&id)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(objective, value)| Some((goals.get(objective)?.metric.clone(), value)))
                .collect();
            let mut answers = answers.get(&id).cloned().unwrap_or_default();
            let mut end = match state.as_str() {
                "COMPLETE" => Some(End::of(metrics, goals, usage)),
                "PRUNED" => {
                    let why = Why::Pruned { rule: "Optuna".to_owned(), comparison: "pruned there".to_owned() };
                    let metrics = metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
                    let violations = Vec::new();
                    Some(End {
                        state: EndState::Pruned,
                        metrics,
                        failure: None,
                        why: Some(why),
                        violations,
                        usage,
                        remarks: Vec::new(),
                    })
                }
                "FAIL" => Some(End::failed(Failure::refused("it failed in Optuna, which tells no reason"), usage)),
                "WAITING" => {
                    if let Some(Json::Object(fixed)) = system.get("fixed_params") {
                        answers = fixed.iter().map(|(name, answer)| (name.clone(), plain(answer))).collect();
                    }
                    None
                }
                _ => {
                    running += 1;
                    Some(End::failed(Failure::refused("it was still running in Optuna when it was imported"), usage))
                }
            };
            let constraints = system.get("constraints").or_else(|| system.get("nsga2:constraints"));
            if let (Some(Json::Array(constraints)), Some(end)) = (constraints, &mut end)
                && end.state == EndState::Complete
            {
                constrained = true;
                end.violations = constraints.iter().filter_map(Json::as_f64).collect();
            }
            pasts.push(Past {
                answers,
                points: points.remove(&id).unwrap_or_default(),
                tags: tags.remove(&id).unwrap_or_default(),
                end,
                began_ms,
                ended_ms,
            });
        }
        let artifacts = self.artifacts()?;
        if artifacts > 0 {
            let plural = if artifacts == 1 { "artifact stays where it is" } else { "artifacts stay where they are" };
            remarks.push(format!("{artifacts} {plural}: the file holds their names only"));
        }
        if running > 0 {
            remarks.push(format!("{running} still ran there when the file was read, and count as failed here"));
        }
        if constrained {
            remarks.push(
                "its trials keep their constraints' values; the constraints themselves are not in the file".to_owned(),
            );
        }
        Ok(pasts)
    }
}

/// The condition under which the trials that `has` tells were asked: `optimizer in ['sgd']`, if one choice decides it.
fn condition(
    order: &[String],
    asked: &BTreeMap<String, Asked>,
    answers: &BTreeMap<i64, Vec<(String, Value)>>,
    complete: &[i64],
    has: &dyn Fn(&i64) -> bool,
) -> Option<String> {
    order.iter().find_map(|parent| {
        let choices = match asked.get(parent)?.domain.as_ref()? {
            Domain::Choice(choice) => choice.values(),
            _ => return None,
        };
        let answer = |trial: &i64| answers.get(trial)?.iter().find(|(name, _)| name == parent).map(|(_, value)| value);
        let with =
            |value: &Value| complete.iter().filter(|trial| answer(trial) == Some(value)).map(has).collect::<Vec<_>>();
        if !complete.iter().all(|trial| answer(trial).is_some()) {
            return None;
        }
        let mut under = Vec::new();
        for value in choices {
            let with = with(value);
            match (with.iter().all(|has| *has), with.iter().any(|has| *has)) {
                (true, true) => under.push(literal(value)),
                (_, false) => {}
                (false, true) => return None,
            }
        }
        (!under.is_empty() && under.len() < choices.len()).then(|| match under.as_slice() {
            [one] => format!("{parent} == {one}"),
            several => format!("{parent} in [{}]", several.join(", ")),
        })
    })
}

/// A value as conditions write it.
fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) if text.contains('\'') => format!("\"{text}\""),
        Value::Text(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()))
}

/// A plain JSON value as an answer; what is no plain value stands as its text.
fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        other => Value::from(other.to_string().as_str()),
    }
}

/// A distribution as a domain.
fn domain(distribution: &Json) -> Result<Domain, String> {
    let name = distribution["name"].as_str().unwrap_or_default();
    let attribute = |key: &str| &distribution["attributes"][key];
    let number = |key: &str| attribute(key).as_f64().ok_or_else(|| format!("its distribution {name} has no {key}"));
    let whole = |key: &str| number(key).map(|x| x as i64);
    let is_log = attribute("log").as_bool() == Some(true) || name.contains("LogUniform");
    let told = |why: DomainError| why.to_string();
    match name {
        "CategoricalDistribution" => {
            let choices: Vec<Value> = attribute("choices").as_array().into_iter().flatten().map(plain).collect();
            match choices.as_slice() {
                [one] => Ok(Domain::Fixed(one.clone())),
                _ => Choice::new(choices).map(Domain::Choice).map_err(told),
            }
        }
        "FloatDistribution" | "UniformDistribution" | "LogUniformDistribution" | "DiscreteUniformDistribution" => {
            let (low, high) = (number("low")?, number("high")?);
            if low == high {
                return Ok(Domain::Fixed(Value::Float(low)));
            }
            let step = attribute("step").as_f64().or_else(|| attribute("q").as_f64());
            let float = if is_log { Float::log(low, high) } else { Float::new(low, high) };
            let float = match step {
                Some(step) => float.and_then(|float| float.step(step)),
                None => float,
            };
            float.map(Domain::Float).map_err(told)
        }
        "IntDistribution" | "IntUniformDistribution" | "IntLogUniformDistribution" => {
            let (low, high) = (whole("low")?, whole("high")?);
            if low == high {
                return Ok(Domain::Fixed(Value::Int(low)));
            }
            let int = if is_log { Int::log(low, high) } else { Int::new(low, high) };
            let int = match attribute("step").as_u64().filter(|step| *step > 1) {
                Some(step) => int.and_then(|int| int.step(step)),
                None => int,
            };
            int.map(Domain::Int).map_err(told)
        }
        other => Err(format!("the distribution `{other}` is not known here")),
    }
}

/// A domain that holds what both hold, if there is one of their kind; else the later one.
fn widest(before: Domain, after: Domain) -> Domain {
    let wider = match (&before, &after) {
        (a, b) if a == b => Some(before.clone()),
        (Domain::Choice(a), Domain::Choice(b)) => {
            let new = b.values().iter().filter(|value| !a.values().contains(value));
            Choice::new(a.values().iter().chain(new).cloned().collect()).map(Domain::Choice).ok()
        }
        (Domain::Float(a), Domain::Float(b)) if a.step_width().is_none() && b.step_width().is_none() => {
            let (low, high) = (a.low().min(b.low()), a.high().max(b.high()));
            let float = if a.is_log() && b.is_log() { Float::log(low, high) } else { Float::new(low, high) };
            float.map(Domain::Float).ok()
        }
        (Domain::Int(a), Domain::Int(b)) => {
            let (low, high) = (a.low().min(b.low()), a.high().max(b.high()));
            let int = if a.is_log() && b.is_log() { Int::log(low, high) } else { Int::new(low, high) };
            int.map(Domain::Int).ok()
        }
        _ => None,
    };
    wider.unwrap_or(after)
}

/// `2026-11-28 20:31:24.598364` in milliseconds since 1970, as universal time.
fn moment(text: &str) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let second: f64 = time.next()?.parse().ok()?;
    // Days from the civil calendar; Howard Hinnant, chrono-Compatible Low-Level Date Algorithms.
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + (second * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_count_from_1970() {
        assert_eq!(moment("1970-01-01 00:00:00.000000"), Some(0));
        assert_eq!(moment("2000-03-01 00:00:00"), Some(951_868_800_000));
        assert_eq!(moment("2024-02-29 12:30:01.250"), Some(1_709_209_801_250));
        assert_eq!(moment("yesterday"), None);
    }
}
