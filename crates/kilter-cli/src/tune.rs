//! `kilter tune`: a study is made and run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use kilter_recipes::{Subject, Tabular};
use kilter_search::{pruner, sampler};
use kilter_space::text::SpaceText;
use kilter_space::{Defaults, Domain, Feasible, Outline, Value, nearest, parse_domain, parse_value};
use kilter_study::devices::{Demand, Share};
use kilter_study::process::{MetricSource, Template};
use kilter_study::storage::{Retry, StudyEntry};
use kilter_study::{Conduct, Duplicates, Goal, Metric, QueueOnly, Recipe, StorageError, Study, StudySpec};

use crate::aims::{self, Aims, Direction, is_built_in, seconds};
use crate::args::InStorage;
use crate::fault::Fault;
use crate::place::{Place, check_name};
use crate::plan::{Job, Plan};
use crate::reproduce::REPRODUCTION;
use crate::session;
use crate::study_file::{Origin, StudyFile, space_in};
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "DOMAIN is 0..1 (float), log:1e-5..1e-1, 0..1/0.05 (step), int:1..8, int:log:16..512, adam|sgd|soap \
                  (choice; typed: true|false, 1|2|4), ordinal:s<m<l, subset:a,b,c, permutation:a,b,c or \
                  fixed:3.\n\nA study in one file: every option is a key of the same name, and after them comes what is \
                  searched. `kilter tune` beside a kilter.toml needs no more words.\n\n  \
                  command = \"python3 train.py --opt {optimizer} --lr {lr} --momentum {momentum}\"\n  \
                  metric = \"loss=([0-9.eE+-]+)\"\n  minimize = true\n  trials = 100\n  \
                  [parameters.optimizer]\n  choice = [\"adam\", \"sgd\"]\n  \
                  [parameters.lr]\n  float = [1e-5, 1e-1]\n  log = true\n  default = 1e-3\n  \
                  [parameters.momentum]\n  float = [0, 0.99]\n  when = \"optimizer == 'sgd'\"\n  \
                  [[constraints]]\n  require = \"lr < 0.01 or momentum < 0.5\"\n\nExamples:\n  kilter tune breast-cancer --trials 50\n  \
                  kilter tune tabular --data houses.csv --target price\n  \
                  kilter tune --param lr=log:1e-5..1e-1 --param layers=int:1..8 \\\n      --metric 'loss=([0-9.eE+-]+)' \
                  --minimize -- python3 train.py --lr {lr} --layers {layers}"
)]
pub struct Tune {
    /// The recipe to tune (`kilter recipes` lists them), or nothing with -- COMMAND
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// The command to tune; {name} stands for a parameter, {config} for a JSON file of all; also {folder}, {trial},
    /// {seed}, {repeat}
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// The table: a file (CSV, also gzipped) or a bundled one (`kilter data list`)
    #[arg(long, value_name = "FILE or NAME", help_heading = "Data")]
    pub data: Option<String>,
    /// The column to be predicted
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub target: Option<String>,

    /// Search this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=DOMAIN", help_heading = "What is searched")]
    pub param: Vec<String>,
    /// Search the space of this file (TOML or JSON; `kilter space --help` shows one)
    #[arg(long, value_name = "FILE", help_heading = "What is searched")]
    pub space: Option<PathBuf>,
    /// Take everything that is not said here from this study file [default: kilter.toml, if nothing to tune is named]
    #[arg(long, value_name = "FILE", help_heading = "What is searched")]
    pub file: Option<PathBuf>,
    /// Fix this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What is searched")]
    pub set: Vec<String>,
    /// Where a command's metric is: a pattern (last match, first group), json:KEY or NAME=file:PATH
    #[arg(long, value_name = "[NAME=]REGEX", help_heading = "What is better")]
    pub metric: Vec<String>,
    #[command(flatten)]
    pub aims: Aims,

    /// How many trials in all [default: 50 for a recipe, 100 for a command]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "How much")]
    pub trials: Option<u64>,
    /// Run each configuration so often ({seed}, {repeat} differ), its value is the mean; losers are stopped before
    #[arg(long, value_name = "K", allow_negative_numbers = true, help_heading = "How much")]
    pub repeats: Option<u64>,
    /// How long one trial may take (one repeat of it): 30s, 10m, 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "How much")]
    pub timeout: Option<String>,
    /// Trials at a time
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, help_heading = "How much")]
    pub workers: usize,

    /// How often a trial is begun anew when the process that ran it died
    #[arg(long, value_name = "N", default_value_t = 2, allow_negative_numbers = true, help_heading = "How much")]
    pub retries: u32,

    /// CPUs that each trial has to itself: 2, or a share: 0.5
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Where")]
    pub cpus_per_trial: Option<String>,
    /// GPUs that each trial has to itself: 1, or a share: 0.5 (KILTER_GPUS=0,1 names them, else those found)
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Where")]
    pub gpus_per_trial: Option<String>,

    /// How to search (`kilter samplers` lists them)
    #[arg(long, value_name = "NAME[:key=value,…]", default_value = "auto", help_heading = "How")]
    pub sampler: String,
    /// What becomes of a configuration that was tried before: propose another, copy its value, or run it again
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Policy::Avoid,
          help_heading = "How")]
    pub duplicates: Policy,
    /// When to stop hopeless trials (`kilter pruners` lists them)
    #[arg(long, value_name = "NAME[:key=value,…]", default_value = "auto", help_heading = "How")]
    pub pruner: String,
    /// Let each trial see exactly those up to WORKERS before it, waiting for them: the same study every time
    #[arg(long, help_heading = "How")]
    pub in_order: bool,
    /// The study's seed
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, help_heading = "How")]
    pub seed: u64,

    /// The study's name [default: made from the recipe's or the command's]
    #[arg(long, value_name = "NAME", help_heading = "Memory")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,

    /// The options that were given: a study file says the others.
    #[arg(skip)]
    pub given: Vec<String>,
}

/// What becomes of a configuration that was tried before.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Policy {
    Avoid,
    Reuse,
    Allow,
}

impl From<Policy> for Duplicates {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Avoid => Self::Avoid,
            Policy::Reuse => Self::Reuse,
            Policy::Allow => Self::Allow,
        }
    }
}

/// Trials of a recipe, and of a command, where the user names no number.
const RECIPE_TRIALS: u64 = 50;
const COMMAND_TRIALS: u64 = 100;

/// Begins a study and runs it. Everything is checked before anything is written.
pub fn tune(mut args: Tune, voice: &Voice) -> Result<ExitCode, Fault> {
    let file = StudyFile::complete(&mut args)?;
    let from = Origin(file.as_ref());
    let space = match (&args.space, &file) {
        (Some(path), _) => Some(space_in(path)?),
        (None, Some(file)) => Some(file.space()?),
        (None, None) => None,
    };
    let params = args.param.iter().map(|text| param(text)).collect::<Result<Vec<_>, _>>()?;
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    named_once(&params, &set)?;
    let directions = args.aims.directions().map_err(from.option(&["minimize", "maximize"]))?;
    let requirements = args.aims.requirements().map_err(from.option(&["require"]))?;
    let limits = args.aims.limits().map_err(from.option(&["budget", "stop_when"]))?;
    if args.trials == Some(0) {
        return Err(from.option(&["trials"])(Fault::call("--trials 0 would run nothing; ask for at least 1")));
    }
    if args.workers == 0 {
        return Err(from.option(&["workers"])(Fault::call("--workers 0 would run nothing; ask for at least 1")));
    }
    if args.repeats == Some(0) {
        return Err(from.option(&["repeats"])(Fault::call(
            "--repeats 0 would run nothing; ask for at least 1 (3 or more give an interval worth having)",
        )));
    }
    let timeout_seconds = args.timeout.as_deref().map(|text| seconds("--timeout", text, "")).transpose();
    let timeout_seconds = timeout_seconds.map_err(from.option(&["timeout"]))?;
    let what = match (&args.recipe, args.command.is_empty()) {
        (Some(name), true) => of_recipe(name, &args, space.as_ref(), &set, &params, directions, &from)?,
        (None, false) => of_command(&args, space.as_ref(), &set, &params, directions, &from)?,
        (Some(name), false) if kilter_recipes::find(name).is_none() => {
            of_recipe(name, &args, space.as_ref(), &set, &params, directions, &from)?
        }
        (Some(name), false) => {
            return Err(Fault::call(format!("both a recipe (`{name}`) and a command are given; tune one of them")));
        }
        (None, true) => {
            return Err(Fault::call(
                "nothing to tune; name a recipe (`kilter recipes` lists them), as in: kilter tune breast-cancer\n  or a \
                 command after --, as in: kilter tune --param lr=log:1e-5..1e-1 --metric 'loss=([0-9.eE+-]+)' --minimize \
                 -- python3 train.py --lr {lr}\n  or write both into a kilter.toml (`kilter tune --help` shows one)",
            ));
        }
    };
    let sampler = sampler(&args.sampler).map_err(Fault::call).map_err(from.option(&["sampler"]))?;
    let pruner = pruner(&args.pruner).map_err(Fault::call).map_err(from.option(&["pruner"]))?;
    Feasible::new(&what.outline)
        .map_err(|why| space.as_ref().map_or_else(|| Fault::call(&why), |space| space.refusal(&why).into()))?;
    let devices = Demand {
        cpus: share("--cpus-per-trial", args.cpus_per_trial.as_deref())?,
        gpus: share("--gpus-per-trial", args.gpus_per_trial.as_deref())?,
    };
    let plan = Plan { job: what.job, workers: args.workers, devices, timeout_seconds };
    let mut spec = StudySpec {
        name: String::new(),
        outline: what.outline,
        goals: what.goals,
        sampler: args.sampler.clone(),
        pruner: args.pruner.clone(),
        seed: args.seed,
        trials: Some(args.trials.unwrap_or(what.trials)),
        conduct: conduct(&args)?,
        requirements,
        limits,
        plan: plan.to_value()?,
    };
    let metrics: Option<Vec<&str>> = what.metrics.as_ref().map(|all| all.iter().map(String::as_str).collect());
    aims::check(&spec, metrics.as_deref(), &from)?;
    if spec.goals.len() > 1 && !matches!(args.pruner.as_str(), "auto" | "none") {
        return Err(Fault::call(format!(
            "--pruner {}: a pruner judges by one metric, and there are {} directions; leave it out",
            args.pruner,
            spec.goals.len()
        )));
    }
    let recipe = plan.recipe(&spec)?;
    plan.devices()?;
    if let Some(name) = &args.study {
        check_name(name).map_err(from.option(&["study"]))?;
    }
    what.facts.iter().for_each(|fact| voice.remark(fact));
    let declared = args.recipe.as_deref().and_then(kilter_recipes::find);
    let declared = declared.as_ref().and_then(|recipe| recipe.outline()).map_or(&[][..], Outline::entries);
    if let Some(doubts) = space.as_ref().and_then(|space| space.doubts(declared)) {
        voice.doubt(&doubts);
    }
    let place = Place::make(&args.storage)?;
    // The defaults are the first trial: what tuning is worth is seen beside them.
    let defaults = Defaults::config(&spec.outline).ok();
    let id = loop {
        spec.name = match &args.study {
            Some(name) => name.clone(),
            None => place.free_name(&what.stem)?,
        };
        match place.storage.create(&spec) {
            // Another process was quicker to take the free name.
            Err(StorageError::NameTaken(_)) if args.study.is_none() => {}
            made => break made?,
        }
    };
    let mut study = Study::hold(place.storage.clone(), id, spec, sampler, pruner)?;
    if let Some(defaults) = &defaults {
        study.enqueue(defaults)?;
    }
    let secrets = plan.secrets();
    if !secrets.is_empty() {
        let variables: Vec<String> =
            secrets.iter().map(|name| format!("KILTER_SECRET_{}", name.to_uppercase())).collect();
        voice.remark(&format!(
            "the command holds what looks like a secret ({}), which is not stored; `kilter resume` will want {}",
            secrets.join(", "),
            variables.join(", ")
        ));
    }
    session::run(study, &place, &plan, recipe, voice)
}

/// A stored study with its sampler and its pruner.
pub fn search(place: &Place, entry: StudyEntry) -> Result<Study, Fault> {
    let sampler = match entry.spec.sampler.as_str() {
        REPRODUCTION => Box::new(QueueOnly),
        named => sampler(named).map_err(Fault::call)?,
    };
    let pruner = pruner(&entry.spec.pruner).map_err(Fault::call)?;
    Ok(Study::hold(place.storage.clone(), entry.id, entry.spec, sampler, pruner)?)
}

/// How trials are asked for and begun anew.
fn conduct(args: &Tune) -> Result<Conduct, Fault> {
    let pruner = args.pruner.split(':').next().unwrap_or_default();
    if args.in_order && args.workers > 1 && !["auto", "none"].contains(&pruner) {
        return Err(Fault::call(format!(
            "--in-order with several workers makes a study repeatable, but when `{pruner}` stops a trial hangs on how quick \
             the others are; leave out --pruner, or use --workers 1"
        )));
    }
    let repeats = args.repeats.filter(|repeats| *repeats > 1);
    if args.in_order && args.workers > 1 && repeats.is_some() {
        return Err(Fault::call(
            "--in-order --repeats: which configuration loses the race against the best depends on which one that is at the \
             time, so several workers cannot be repeatable; use --workers 1, or leave one of them out",
        ));
    }
    let in_order = args.in_order.then_some(args.workers as u64);
    Ok(Conduct {
        in_order,
        duplicates: args.duplicates.into(),
        repeats,
        retry: Retry { attempts: args.retries.saturating_add(1) },
    })
}

/// A hyperparameter is set or searched, and once.
pub fn named_once(params: &[(String, Domain)], set: &[(String, Value)]) -> Result<(), Fault> {
    let searched = params.iter().map(|(name, _)| (name, "--param"));
    let mut seen: Vec<(&String, &str)> = Vec::new();
    for (name, option) in searched.chain(set.iter().map(|(name, _)| (name, "--set"))) {
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, first)) if *first == option => {
                return Err(Fault::call(format!("{option} {name} is given twice; drop one")));
            }
            Some(_) => {
                return Err(Fault::call(format!(
                    "`{name}` is both searched (--param) and fixed (--set); drop one of them"
                )));
            }
            None => seen.push((name, option)),
        }
    }
    Ok(())
}

/// What a study is about.
struct What {
    outline: Outline,
    goals: Vec<Goal>,
    /// All metrics that a trial gives, if that is known beforehand.
    metrics: Option<Vec<String>>,
    job: Job,
    trials: u64,
    stem: String,
    /// What was seen on reading its table.
    facts: Vec<String>,
}

fn of_recipe(
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
        let bare = |names: &[String]| names.iter().any(String::is_empty);
        let advice = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if bare(&args.aims.minimize) => format!("a metric is written --minimize={name}"),
            None if bare(&args.aims.maximize) => format!("a metric is written --maximize={name}"),
            None => "`kilter recipes` lists them".to_owned(),
        };
        let why = format!("there is no recipe `{name}`; {advice} (a command of your own goes after --)");
        return Err(from.option(&["recipe"])(Fault::call(why)));
    };
    if !args.metric.is_empty() {
        let why = "--metric says where a command's output carries a metric; a recipe tells its own";
        return Err(from.option(&["metric"])(Fault::call(why)));
    }
    let (recipe, subject, facts) = match on_table(name, args, set).map_err(from.option(&["data", "target"]))? {
        Some(tabular) => {
            let (subject, facts) = (tabular.subject().clone(), tabular.facts().to_vec());
            (Arc::new(tabular) as Arc<dyn Recipe>, Some(subject), facts)
        }
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

/// The recipe about the table asked for, if one is.
fn on_table(name: &str, args: &Tune, set: &[(String, Value)]) -> Result<Option<Tabular>, Fault> {
    let Some(data) = &args.data else {
        return match &args.target {
            Some(_) => Err(Fault::call("--target names a column of a table; name the table with --data FILE")),
            None => Ok(None),
        };
    };
    let data = if kilter_data::bundled(data).is_some() {
        data.clone()
    } else {
        // Trials run elsewhere.
        Path::new(data).canonicalize().map_or_else(|_| data.clone(), |path| path.to_string_lossy().into_owned())
    };
    let subject = Subject { data, target: args.target.clone(), ..Subject::default() };
    Tabular::on(name, subject, set).map(Some).map_err(Fault::call)
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

fn of_command(
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

/// A command as what a study runs, if command, hyperparameters and metrics go together.
pub fn command_job(words: &[String], metrics: &[String], outline: &Outline, from: &Origin<'_>) -> Result<Job, Fault> {
    let command = from.option(&["command"]);
    let template = Template::new(words.to_vec()).map_err(Fault::call).map_err(&command)?;
    template.check(outline).map_err(Fault::call).map_err(&command)?;
    if let Some(program) = template.program() {
        find_program(program).map_err(&command)?;
    }
    let read =
        |text: &String| MetricSource::parse(text).map_err(|why| Fault::call(format!("--metric {text:?}: {why}")));
    let metrics: Vec<MetricSource> =
        metrics.iter().map(read).collect::<Result<_, _>>().map_err(from.option(&["metric"]))?;
    let names: Vec<&str> = metrics.iter().map(MetricSource::name).collect();
    if let Some(name) = names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name)) {
        return Err(Fault::call(format!(
            "two metrics are named `{name}`; put a name before each: --metric 'NAME=…' --metric 'OTHER=…'"
        )));
    }
    Ok(Job::Command { command: template, folder: std::env::current_dir().map_err(Fault::work)?, metrics })
}

fn command_goals(sources: &[MetricSource], directions: Vec<Direction>) -> Result<Vec<Goal>, Fault> {
    if directions.is_empty() {
        return Err(Fault::call(
            "say which way is better: --minimize or --maximize (with several metrics: --minimize=NAME)",
        ));
    }
    directions.into_iter().map(|direction| command_goal(sources, direction)).collect()
}

fn command_goal(sources: &[MetricSource], Direction { metric, better }: Direction) -> Result<Goal, Fault> {
    let names: Vec<&str> = sources.iter().map(MetricSource::name).collect();
    let metric = match (metric, names.as_slice()) {
        (None, [only]) => (*only).to_owned(),
        (Some(name), _) if is_built_in(&name) => name,
        // The only metric may go by the name of every nameless one.
        (Some(name), [only]) if name == "value" => (*only).to_owned(),
        (None, []) => {
            return Err(Fault::call(
                "say what is measured: --metric 'loss=([0-9.eE+-]+)' reads it from the output; or name what the command \
                 reports by `kilter report loss=…` or prints as JSON: --minimize=loss",
            ));
        }
        (None, several) => {
            return Err(Fault::call(format!(
                "there are several metrics ({}); say which one: --minimize={}",
                several.join(", "),
                several[0]
            )));
        }
        (Some(name), known) if known.is_empty() || known.contains(&name.as_str()) => name,
        (Some(name), known) => {
            let near = nearest(&name, known.iter().copied()).unwrap_or(known[0]);
            return Err(Fault::call(format!(
                "no --metric is named `{name}`; did you mean `{near}`? (or say where it is: --metric {name}=json:{name})"
            )));
        }
    };
    Ok(Goal { metric, better })
}

/// A program that is not there is found out before the first trial.
fn find_program(program: &str) -> Result<(), Fault> {
    let is_there = |path: &Path| path.is_file();
    if program.contains('/') && is_there(Path::new(program)) && !may_run(Path::new(program)) {
        return Err(Fault::call(format!(
            "the command `{program}` may not be run; allow it with chmod +x {program}, or name its interpreter before it"
        )));
    }
    let there = if program.contains('/') {
        is_there(Path::new(program))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| is_there(&folder.join(program)) && may_run(&folder.join(program)))
    };
    if there {
        return Ok(());
    }
    let hint = if Path::new(program).is_file() {
        format!("; it is in this folder: write ./{program}")
    } else if program.contains('/') {
        "; there is no such file".to_owned()
    } else {
        "; it is not in the PATH".to_owned()
    };
    Err(Fault::call(format!("command not found: `{program}`{hint}")))
}

/// May somebody run this file?
fn may_run(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

/// `train` for `python3 train.py --lr {lr}`: the script's name, else the program's.
fn stem_of(command: &[String]) -> String {
    let words: Vec<&str> = command.iter().flat_map(|word| word.split_whitespace()).collect();
    let script = words.iter().skip(1).find(|word| {
        !word.starts_with('-')
            && Path::new(word).extension().is_some_and(|e| e.len() <= 4)
            && !word.contains(['{', '='])
    });
    let named = script
        .or_else(|| words.iter().find(|word| !word.contains('=')))
        .map(|word| Path::new(word).file_stem().unwrap_or_default());
    named.map_or_else(|| "study".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// `NAME=DOMAIN` of a `--param`.
pub fn param(text: &str) -> Result<(String, Domain), Fault> {
    let (name, domain) = text.split_once('=').ok_or_else(|| {
        Fault::call(format!("--param {text:?}: write NAME=DOMAIN, for example --param lr=log:1e-5..1e-1"))
    })?;
    let domain = parse_domain(domain).map_err(|why| Fault::call(format!("--param {name}: {why}")))?;
    Ok((name.to_owned(), domain))
}

/// `NAME=VALUE` of a `--set`.
pub fn setting(text: &str) -> Result<(String, Value), Fault> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Fault::call(format!("--set {text:?}: write NAME=VALUE, for example --set folds=5")))?;
    Ok((name.to_owned(), parse_value(value)))
}

/// How many devices a trial has.
fn share(option: &str, text: Option<&str>) -> Result<Option<Share>, Fault> {
    text.map(|text| text.parse().map_err(|why| Fault::call(format!("{option}: {why}")))).transpose()
}
