//! `kilter tune`: a study is made and run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kilter_search::{check_sampler, planned, pruner, sampler};
use kilter_space::{Defaults, Feasible, Outline};
use kilter_study::devices::{Demand, Share};
use kilter_study::storage::{Retry, StudyEntry};
use kilter_study::{Conduct, Duplicates, QueueOnly, StorageError, Study, StudySpec};

use crate::aims::{self, Aims, seconds};
use crate::args::InStorage;
use crate::fault::Fault;
use crate::hint;
use crate::pairs::{named_once, param, setting};
use crate::place::{Place, check_name};
use crate::plan::Plan;
use crate::reproduce::REPRODUCTION;
use crate::session;
use crate::study_file::{Origin, StudyFile, space_in};
use crate::style::Voice;
use crate::subject::{of_command, of_recipe};
use crate::weights::of_weights;

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
                  kilter tune merge ties --base base.safetensors \\\n      --models a.safetensors b.safetensors --maximize \\\n      \
                  --metric 'acc=([0-9.]+)' -- python3 eval.py {model}\n  \
                  kilter tune quantize model.safetensors --maximize=acc --minimize=bytes \\\n      \
                  --metric acc='acc=([0-9.]+)' -- python3 eval.py {model}\n  \
                  kilter tune --param lr=log:1e-5..1e-1 --param layers=int:1..8 \\\n      --metric 'loss=([0-9.eE+-]+)' \
                  --minimize \\\n      -- python3 train.py --lr {lr} --layers {layers}"
)]
pub struct Tune {
    /// The recipe to tune (`kilter recipes` lists them), or nothing with -- COMMAND
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// With `merge` its method (`kilter merge --help` lists them); with `quantize` the model
    #[arg(value_name = "OBJECT")]
    pub object: Option<String>,
    /// The command to tune; {name} stands for a parameter, {config} for a JSON file of all; also {folder}, {trial},
    /// {seed}, {repeat}
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// The table: a file (CSV, also gzipped) or a bundled one (`kilter data list`); or pictures: a set, a folder, FILE.npz
    #[arg(long, value_name = "FILE or NAME", help_heading = "Data")]
    pub data: Option<String>,
    /// The column to be predicted
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub target: Option<String>,

    /// With `merge`: the models
    #[arg(long, value_name = "MODEL", num_args = 1.., help_heading = "Models")]
    pub models: Vec<PathBuf>,
    /// With `merge`: the model that the others were tuned from
    #[arg(long, value_name = "MODEL", help_heading = "Models")]
    pub base: Option<PathBuf>,
    /// With `merge fisher` and `merge regmean`: what they know of each model, in the models' order
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Models")]
    pub statistics: Vec<PathBuf>,

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
    let directions = args.aims.directions.read().map_err(from.option(&["minimize", "maximize"]))?;
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
    let spends = matches!(args.recipe.as_deref(), Some("merge" | "quantize"));
    if !spends
        && (args.object.is_some() || args.base.is_some() || !args.models.is_empty() || !args.statistics.is_empty())
    {
        if let Some(whole) = args.recipe.iter().chain(&args.object).find_map(|word| hint::detached(word)) {
            return Err(Fault::call(format!("a goal's metric is written with an equals sign: {whole}")));
        }
        return Err(Fault::call(
            "a second word, --models, --base and --statistics belong to `kilter tune merge METHOD --models …` and `kilter tune \
             quantize MODEL`",
        ));
    }
    let what = match (&args.recipe, args.command.is_empty()) {
        (Some(verb), _) if spends => of_weights(verb, &args, space.as_ref(), &set, &params, directions, &from)?,
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
    check_sampler(&args.sampler, &what.outline).map_err(Fault::call).map_err(from.option(&["sampler"]))?;
    planned(&args.sampler, &what.outline).map_err(Fault::call).map_err(from.option(&["sampler"]))?;
    let sampler = sampler(&args.sampler).map_err(Fault::call)?;
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

/// How many devices a trial has.
fn share(option: &str, text: Option<&str>) -> Result<Option<Share>, Fault> {
    text.map(|text| text.parse().map_err(|why| Fault::call(format!("{option}: {why}")))).transpose()
}
