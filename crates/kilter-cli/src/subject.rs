//! What a study is about: a recipe with its table, or a command with its space.

use std::path::Path;

use kilter_recipes::{About, Subject};
use kilter_space::text::SpaceText;
use kilter_space::{Domain, Outline, Value, nearest};
use kilter_study::process::Template;
use kilter_study::{Goal, Metric};

use crate::aims::{Direction, is_built_in};
use crate::command::{command_goals, command_job, stem_of};
use crate::fault::Fault;
use crate::plan::Job;
use crate::study_file::Origin;
use crate::tune::Tune;

/// Trials of a recipe, and of a command, where the user names no number.
const RECIPE_TRIALS: u64 = 50;
const COMMAND_TRIALS: u64 = 100;

/// What a study is about.
pub struct What {
    pub outline: Outline,
    pub goals: Vec<Goal>,
    /// All metrics that a trial gives, if that is known beforehand.
    pub metrics: Option<Vec<String>>,
    pub job: Job,
    pub trials: u64,
    pub stem: String,
    /// What was seen on reading its table.
    pub facts: Vec<String>,
}

/// A recipe as what a study is about.
pub fn of_recipe(
    name: &str,
    args: &Tune,
    space: Option<&SpaceText>,
    set: &[(String, Value)],
    params: &[(String, Domain)],
    directions: Vec<Direction>,
    from: &Origin<'_>,
) -> Result<What, Fault> {
    let Some(recipe) = kilter_recipes::find(name) else {
        let known = kilter_recipes::recipes();
        let near = nearest(name, known.iter().map(|recipe| recipe.name()));
        let advice = match (near, args.aims.directions.bare()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(option)) => format!("a metric is written --{option}={name}"),
            (None, None) => "`kilter recipes` lists them".to_owned(),
        };
        let why = format!("there is no recipe `{name}`; {advice} (a command of your own goes after --)");
        return Err(from.option(&["recipe"])(Fault::call(why)));
    };
    if !args.metric.is_empty() {
        let why = "--metric says where a command's output carries a metric; a recipe tells its own";
        return Err(from.option(&["metric"])(Fault::call(why)));
    }
    let (recipe, subject, facts) = match on_data(name, args, set).map_err(from.option(&["data", "target"]))? {
        Some(About { recipe, subject, facts }) => (recipe, Some(subject), facts),
        None => (recipe, None, Vec::new()),
    };
    let declared = recipe.outline().ok_or_else(|| Fault::call(format!("`{name}` declares no space")))?;
    let declared = match space {
        Some(space) => space.over(declared)?,
        None => declared.clone(),
    };
    let outline = declared.specialise(set, params).map_err(Fault::call).map_err(from.option(&["set"]))?;
    if outline.entries().iter().all(|entry| matches!(entry.domain, Domain::Fixed(_))) {
        return Err(Fault::call("every hyperparameter is fixed, so there is nothing to search; leave out a --set"));
    }
    let metrics = recipe.metrics();
    let goal = |Direction { metric, better }: Direction| {
        let metric = match metric.as_deref() {
            None => metrics.first().map(|metric| metric.name.as_str()),
            Some(built_in) if is_built_in(built_in) => Some(built_in),
            Some(wanted) => {
                Some(find_metric(wanted, metrics, name).map_err(from.option(&["minimize", "maximize"]))?.name.as_str())
            }
        };
        let metric = metric.ok_or_else(|| Fault::call(format!("`{name}` gives no metric")))?.to_owned();
        Ok::<_, Fault>(Goal { metric, better })
    };
    let usual = metrics.first().map(|metric| Goal { metric: metric.name.clone(), better: metric.better });
    let goals = match directions.is_empty() {
        true => vec![usual.ok_or_else(|| Fault::call(format!("`{name}` gives no metric")))?],
        false => directions.into_iter().map(goal).collect::<Result<_, _>>()?,
    };
    let metrics = Some(metrics.iter().map(|metric| metric.name.clone()).collect());
    let job = Job::Recipe { name: name.to_owned(), subject };
    Ok(What { outline, goals, metrics, job, trials: RECIPE_TRIALS, stem: name.to_owned(), facts })
}

/// The recipe about the data asked for, if some are.
fn on_data(name: &str, args: &Tune, set: &[(String, Value)]) -> Result<Option<About>, Fault> {
    let Some(data) = &args.data else {
        return match &args.target {
            Some(_) => Err(Fault::call("--target names a column of a table; name the table with --data FILE")),
            None => Ok(None),
        };
    };
    let subject = Subject { data: data_path(data), target: args.target.clone(), ..Subject::default() };
    kilter_recipes::on(name, subject, set).map(Some).map_err(Fault::call)
}

/// The data as a trial finds them, which runs elsewhere: a name of the catalogue, or a path from the root.
pub fn data_path(data: &str) -> String {
    if kilter_data::catalogue::find(data).is_some() {
        return data.to_owned();
    }
    Path::new(data).canonicalize().map_or_else(|_| data.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn find_metric<'a>(wanted: &str, metrics: &'a [Metric], recipe: &str) -> Result<&'a Metric, Fault> {
    metrics.iter().find(|metric| metric.name == wanted).ok_or_else(|| {
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        let near =
            nearest(wanted, names.iter().copied()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        Fault::call(format!("`{recipe}` gives no metric `{wanted}`; {near}it gives {}", names.join(", ")))
    })
}

/// The space of a command: as declared in a file, with the domains of `params` and the answers of `set`.
fn declared(space: Option<&SpaceText>, set: &[(String, Value)], params: &[(String, Domain)]) -> Result<Outline, Fault> {
    let space = space.filter(|space| !space.is_empty()).map(SpaceText::outline).transpose()?;
    let mut outline = space.map_or_else(|| Outline::new(Vec::new()).map_err(Fault::call), Ok)?;
    for (name, domain) in params {
        outline = outline.with(name, domain.clone()).map_err(Fault::call)?;
    }
    let (known, further): (Vec<_>, Vec<_>) = set.iter().cloned().partition(|(name, _)| outline.entry(name).is_ok());
    for (name, value) in further {
        outline = outline.with(&name, Domain::Fixed(value)).map_err(Fault::call)?;
    }
    outline.specialise(&known, &[]).map_err(Fault::call)
}

/// A command as what a study is about.
pub fn of_command(
    args: &Tune,
    space: Option<&SpaceText>,
    set: &[(String, Value)],
    params: &[(String, Domain)],
    directions: Vec<Direction>,
    from: &Origin<'_>,
) -> Result<What, Fault> {
    if args.data.is_some() || args.target.is_some() {
        return Err(Fault::call("--data and --target are of recipes; a command reads its own data"));
    }
    // A wrong command is told before a wrong space.
    Template::new(args.command.clone()).map_err(Fault::call).map_err(from.option(&["command"]))?;
    let outline = declared(space, set, params)?;
    if outline.entries().iter().all(|entry| matches!(entry.domain, Domain::Fixed(_))) {
        return Err(Fault::call(
            "there is nothing to search; declare a parameter, as in --param lr=log:1e-5..1e-1, and write {lr} into the \
             command",
        ));
    }
    let job = command_job(&args.command, &args.metric, &outline, from)?;
    let Job::Command { metrics: sources, .. } = &job else { return Err(Fault::work("a command is no command")) };
    let goals = command_goals(sources, directions).map_err(from.option(&["minimize", "maximize", "metric"]))?;
    // Without a source every metric may come by `kilter report`.
    let named = sources.iter().map(|source| source.name().to_owned());
    let metrics: Option<Vec<String>> = (!sources.is_empty()).then(|| named.collect());
    let stem = stem_of(&args.command);
    Ok(What { outline, goals, metrics, job, trials: COMMAND_TRIALS, stem, facts: Vec::new() })
}
