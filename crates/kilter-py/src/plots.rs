//! A study's figures: its columns, handed to `kilter-plot`.

use kilter_plot::{Axis, Bar, Cell, Course, Curve, Figure, Param, Point};
use kilter_search::importance::PedAnovaConfig;
use kilter_space::{Value, nearest};
use kilter_study::{Better, Goal, Row, State, Study};

/// The figures that there are.
const FIGURES: [&str; 11] = [
    "optimization_history",
    "edf",
    "pareto_front",
    "intermediate_values",
    "timeline",
    "slice",
    "contour",
    "parallel_coordinate",
    "param_importances",
    "rank",
    "hypervolume_history",
];

/// What a figure shows.
pub struct Shown {
    /// Its kind.
    pub kind: String,
    /// The hyperparameters; nothing: all.
    pub params: Option<Vec<String>>,
    /// The metric; nothing: the first direction's.
    pub target: Option<String>,
    /// Of a hypervolume, the point that it is measured from, a value per direction.
    pub reference: Option<Vec<f64>>,
}

/// A figure of `study`.
pub fn figure(study: &Study, shown: &Shown) -> Result<Figure, String> {
    let (goals, history) = (&study.spec().goals, study.history());
    let goal = goal(goals, shown.target.as_deref())?;
    let (kind, params) = (shown.kind.as_str(), shown.params.as_deref());
    let complete: Vec<&Row> = history.rows().filter(|row| row.state == State::Complete).collect();
    let valued: Vec<(&Row, f64)> = complete.iter().filter_map(|row| Some((*row, row.value(&goal.metric)?))).collect();
    let larger_is_better = goal.better == Better::Higher;
    let points: Vec<Point> = valued.iter().map(|(row, value)| Point { number: row.number, value: *value }).collect();
    let course = [Course { name: &study.spec().name, points: &points, larger_is_better }];
    let values: Vec<f64> = valued.iter().map(|(_, value)| *value).collect();
    let numbers: Vec<u64> = valued.iter().map(|(row, _)| row.number).collect();
    let rows: Vec<&Row> = valued.iter().map(|(row, _)| *row).collect();
    Ok(match kind {
        "optimization_history" => kilter_plot::optimization_history(&course, &goal.metric),
        "edf" => kilter_plot::edf(&course, &goal.metric),
        "pareto_front" => {
            let names: Vec<&str> = goals.iter().map(|goal| goal.metric.as_str()).collect();
            let trials: Vec<(u64, Vec<f64>)> =
                complete.iter().filter_map(|row| Some((row.number, row.values(goals)?))).collect();
            let front: Vec<u64> = history.front(goals).into_iter().map(|row| row.number).collect();
            let figure = kilter_plot::pareto_front(&trials, &front, &names);
            figure.ok_or_else(|| format!("a front of {} directions cannot be drawn; two or three can", names.len()))?
        }
        "intermediate_values" => {
            let curve = |row: &Row| {
                let mut points: Vec<(u64, f64)> = row.curve(&goal.metric).collect();
                points.sort_by_key(|(step, _)| *step);
                Curve { number: row.number, is_pruned: row.state == State::Pruned, points }
            };
            let curves: Vec<Curve> = history.rows().map(curve).collect();
            kilter_plot::intermediate_values(&curves, &goal.metric)
        }
        "timeline" => {
            let bars: Vec<Bar> = history.rows().filter(|row| row.state != State::Waiting).map(bar).collect();
            kilter_plot::timeline(&bars)
        }
        "slice" => kilter_plot::slice(&columns(study, &rows, params)?, &numbers, &values, &goal.metric),
        "contour" => match &columns(study, &rows, params)?[..] {
            [x, y] => kilter_plot::contour(x, y, &values, &goal.metric),
            other => {
                return Err(format!("a contour shows two hyperparameters, not {}; name them in params", other.len()));
            }
        },
        "parallel_coordinate" => {
            kilter_plot::parallel_coordinate(&columns(study, &rows, params)?, &values, &goal.metric, larger_is_better)
        }
        "param_importances" => {
            let all = importances(study, &PedAnovaConfig::default(), shown.target.as_deref())?;
            let chosen = columns(study, &rows, params)?;
            let is_chosen = |name: &String| chosen.iter().any(|param| param.name == *name);
            let chosen: Vec<(String, f64)> = all.into_iter().filter(|(name, _)| is_chosen(name)).collect();
            kilter_plot::param_importances(&chosen, &goal.metric)
        }
        "rank" => match &columns(study, &rows, params)?[..] {
            few @ ([] | [_]) => {
                return Err(format!("ranks are shown over two hyperparameters or more, not {}", few.len()));
            }
            several => kilter_plot::rank(several, &values, &goal.metric, larger_is_better),
        },
        "hypervolume_history" => hypervolumes(study, shown.reference.as_deref())?,
        other => return Err(format!("there is no figure `{other}`; there are {}", FIGURES.join(", "))),
    })
}

/// How much each hyperparameter mattered to a metric; nothing: the first direction's.
pub fn importances(study: &Study, config: &PedAnovaConfig, target: Option<&str>) -> Result<Vec<(String, f64)>, String> {
    let spec = study.spec();
    let goal = goal(&spec.goals, target)?;
    Ok(kilter_search::importance::importances(spec, study.history(), goal, &config.checked()?))
}

/// The hypervolume dominated after each feasible trial: from `reference`, or as a share of the box that the trials span.
fn hypervolumes(study: &Study, reference: Option<&[f64]>) -> Result<Figure, String> {
    let (goals, history) = (&study.spec().goals, study.history());
    if goals.len() < 2 {
        return Err("a hypervolume needs at least two directions; plot_optimization_history shows one".to_owned());
    }
    let valued: Vec<(u64, Vec<f64>)> = history
        .rows()
        .filter(|row| row.is_feasible())
        .filter_map(|row| Some((row.number, row.values(goals)?)))
        .collect();
    let trials: Vec<u64> = valued.iter().map(|(number, _)| *number).collect();
    let Some(reference) = reference else {
        let course = kilter_search::front_course(history, goals);
        return Ok(kilter_plot::hypervolume_history(&trials, &course, "share of the box that the trials span"));
    };
    if reference.len() != goals.len() {
        return Err(format!("{} directions, and a reference point of {}", goals.len(), reference.len()));
    }
    let losses = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(goals).map(|(value, goal)| goal.better.as_loss(*value)).collect()
    };
    let reference = losses(reference);
    let points: Vec<Vec<f64>> = valued.iter().map(|(_, values)| losses(values)).collect();
    let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
    let upto = |count: usize| kilter_search::hypervolume::hypervolume(&points[..count], &reference);
    let course: Vec<f64> = (1..=points.len()).map(upto).collect();
    Ok(kilter_plot::hypervolume_history(&trials, &course, "hypervolume"))
}

fn goal<'a>(goals: &'a [Goal], target: Option<&str>) -> Result<&'a Goal, String> {
    let Some(target) = target else {
        return goals.first().ok_or_else(|| "the study has no direction".to_owned());
    };
    goals.iter().find(|goal| goal.metric == target).ok_or_else(|| {
        let all: Vec<&str> = goals.iter().map(|goal| goal.metric.as_str()).collect();
        format!("the study has no direction `{target}`; it has {}", all.join(", "))
    })
}

/// A trial's time; one that runs has run until it last reported or was opened.
fn bar(row: &Row) -> Bar {
    let wall_ms = row.end.as_ref().map(|end| (end.usage.wall_seconds * 1000.0) as i64);
    let length_ms = wall_ms.or_else(|| Some(row.ended_ms? - row.opened_ms)).unwrap_or(0);
    let end = row.ended_ms.unwrap_or(row.opened_ms);
    // A trial that waited began when its run did.
    let begin_ms = if row.ended_ms.is_some() { end - length_ms } else { row.opened_ms };
    Bar { number: row.number, state: row.state.name().to_owned(), begin_ms, length_ms }
}

fn columns(study: &Study, rows: &[&Row], wanted: Option<&[String]>) -> Result<Vec<Param>, String> {
    let mut known: Vec<&str> = study.spec().outline.entries().iter().map(|entry| entry.name.as_str()).collect();
    known.dedup();
    let names = match wanted {
        None => known,
        Some(wanted) => {
            for name in wanted {
                if !known.contains(&name.as_str()) {
                    let near = nearest(name, known.iter().copied());
                    let advice = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    return Err(format!("the study has no hyperparameter `{name}`{advice}"));
                }
            }
            wanted.iter().map(String::as_str).collect()
        }
    };
    let cell = |value: &Value| match value {
        Value::Bool(_) | Value::Null | Value::Text(_) | Value::List(_) => Cell::Word(value.to_string()),
        number => number.as_f64().map_or_else(|| Cell::Word(number.to_string()), Cell::Number),
    };
    let param = |name: &str| {
        let cells = rows.iter().map(|row| row.config().get(name).map(cell)).collect();
        Param { name: name.to_owned(), axis: Axis::new(cells) }
    };
    Ok(names.into_iter().map(param).collect())
}
