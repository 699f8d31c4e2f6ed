//! The one table of verbs and options: parsing, help and suggestions come from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Keeps your model's hyperparameters in kilter.
#[derive(Debug, Parser)]
#[command(
    name = "kilter",
    version,
    about = "Search, predict, learn, measure: keeps a model's hyperparameters in kilter.",
    after_help = "First steps:\n  kilter tune breast-cancer --trials 50\n  kilter tune --param lr=log:1e-5..1e-1 --metric \
                  'loss=([0-9.eE+-]+)' --minimize -- python3 train.py --lr {lr}",
    disable_help_subcommand = true,
    infer_subcommands = false
)]
pub struct Cli {
    #[command(flatten)]
    pub how: How,
    #[command(subcommand)]
    pub verb: Verb,
}

/// How it is said.
#[derive(Clone, Copy, Debug, Args)]
pub struct How {
    /// Write one JSON document to standard output
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Say nothing but the result
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Say more (failures in full, settings of the study)
    #[arg(long, short, global = true, help_heading = "Output")]
    pub verbose: bool,
    /// Use no colour
    #[arg(long, global = true, help_heading = "Output")]
    pub no_color: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Search for hyperparameters, of a recipe or of any command
    Tune(Box<Tune>),
    /// Continue a study where it stopped
    Resume(Resume),
    /// Print a method's claims and whether they hold
    Reproduce(Reproduce),
    /// Make one model of several
    Merge(Merge),
    /// Make a model smaller: fewer bits per weight
    Quantize(Quantize),
    /// List the studies of a storage
    Studies(InStorage),
    /// List a study's trials
    Trials(OfStudy),
    /// Show a study's best trial
    Best(OfStudy),
    /// Show one trial whole
    Show(OfTrial),
    /// Print what a trial printed
    Logs(Logs),
    /// List the recipes, or one recipe's hyperparameters
    Recipes(Named),
    /// List the samplers
    Samplers(Named),
    /// List the pruners
    Pruners(Named),
    /// From inside a trial, in any language: report figures, learn whether to stop
    Report(Report),
}

/// Where studies are remembered.
#[derive(Clone, Debug, Args)]
pub struct InStorage {
    /// Where studies are remembered: sqlite:FILE
    #[arg(long, value_name = "URL", default_value = "sqlite:kilter.db", help_heading = "Memory")]
    pub storage: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "DOMAIN is 0..1 (float), log:1e-5..1e-1, 0..1/0.05 (step), int:1..8, int:log:16..512, adam|sgd|soap \
                  (choice; typed: true|false, 1|2|4) or fixed:3.\n\nExamples:\n  kilter tune breast-cancer --trials 50\n  \
                  kilter tune --param lr=log:1e-5..1e-1 --param layers=int:1..8 \\\n      --metric 'loss=([0-9.eE+-]+)' \
                  --minimize -- python3 train.py --lr {lr} --layers {layers}"
)]
pub struct Tune {
    /// The recipe to tune (`kilter recipes` lists them), or nothing with -- COMMAND
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// The command to tune; {name} stands for a parameter, {config} for a JSON file of all, {folder}, {trial}
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// Search this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=DOMAIN", help_heading = "What is searched")]
    pub param: Vec<String>,
    /// Fix this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What is searched")]
    pub set: Vec<String>,
    /// Where a command's metric is: a pattern (last match, first group), json:KEY or NAME=file:PATH
    #[arg(long, value_name = "[NAME=]REGEX", help_heading = "What is better")]
    pub metric: Vec<String>,
    /// Smaller is better (of the only metric, or of METRIC)
    #[arg(long, value_name = "METRIC", num_args = 0..=1, require_equals = true, default_missing_value = "",
          help_heading = "What is better")]
    pub minimize: Vec<String>,
    /// Larger is better
    #[arg(long, value_name = "METRIC", num_args = 0..=1, require_equals = true, default_missing_value = "",
          help_heading = "What is better")]
    pub maximize: Vec<String>,

    /// How many trials in all [default: 50 for a recipe, 100 for a command]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "How much")]
    pub trials: Option<u64>,
    /// How long one trial may take: 30s, 10m, 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "How much")]
    pub timeout: Option<String>,
    /// Trials at a time
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, help_heading = "How much")]
    pub workers: usize,

    /// How to search (`kilter samplers` lists them)
    #[arg(long, value_name = "NAME[:key=value,…]", default_value = "auto", help_heading = "How")]
    pub sampler: String,
    /// When to stop hopeless trials (`kilter pruners` lists them)
    #[arg(long, value_name = "NAME[:key=value,…]", default_value = "auto", help_heading = "How")]
    pub pruner: String,
    /// The study's seed
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, help_heading = "How")]
    pub seed: u64,

    /// The study's name [default: made from the recipe's or the command's]
    #[arg(long, value_name = "NAME", help_heading = "Memory")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter resume breast-cancer --trials 100")]
pub struct Resume {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    /// How many trials in all [default: as many as were wanted]
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
    /// Trials at a time [default: as before]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    #[command(flatten)]
    pub storage: InStorage,
}

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

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter trials\n  kilter best breast-cancer --json")]
pub struct OfStudy {
    /// The study [default: the newest]
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// The study, as an option
    #[arg(long = "study", value_name = "NAME", conflicts_with = "study")]
    pub study_option: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter show 17 --study breast-cancer")]
pub struct OfTrial {
    /// The trial's number [default: the best]
    #[arg(value_name = "TRIAL")]
    pub trial: Option<u64>,
    /// The study [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter logs 17")]
pub struct Logs {
    #[command(flatten)]
    pub of: OfTrial,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
}

#[derive(Debug, Args)]
pub struct Named {
    /// One of them, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Prints `go`, or `stop` and why: then end soon, or be ended.\n\nExample, inside a training script:\n  \
                  kilter report --step 3 loss=0.2 accuracy=0.91"
)]
pub struct Report {
    /// Figures: NAME=NUMBER
    #[arg(value_name = "NAME=NUMBER", required = true)]
    pub figures: Vec<String>,
    /// The step they belong to [default: the next]
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "METHOD is soup (uniform or greedy), linear, task-arithmetic, ties, dare, slerp or breadcrumbs.\n\nExamples:\n  \
                  kilter merge soup a.safetensors b.safetensors --set kind=uniform -o soup.safetensors\n  kilter merge soup \
                  --greedy --maximize runs/*.safetensors -o soup.safetensors \\\n      -- python3 eval.py {model}\n  kilter \
                  merge breadcrumbs --base base.safetensors a.safetensors b.safetensors \\\n      --set keep=0.15 --set scale=0.3 \
                  -o multi.safetensors"
)]
pub struct Merge {
    /// How they are merged
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The models: .safetensors files, .safetensors.index.json files, or folders with either
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<PathBuf>,
    /// A command that scores a model for a greedy soup; {model} stands for its path
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// The model that the others were tuned from
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// Fix this hyperparameter of the method (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The file to write; .safetensors.index.json makes shards
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,

    /// Choose a soup's ingredients by their score
    #[arg(long, help_heading = "Greedy soups")]
    pub greedy: bool,
    /// Where the command's score is: a pattern (last match, first group) [default: the last number]
    #[arg(long, value_name = "REGEX", help_heading = "Greedy soups")]
    pub metric: Option<String>,
    /// Smaller scores are better
    #[arg(long, conflicts_with = "maximize", help_heading = "Greedy soups")]
    pub minimize: bool,
    /// Larger scores are better
    #[arg(long, help_heading = "Greedy soups")]
    pub maximize: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Settings: method=power (or uniform, log; none turns a quantised file back to floats), bits=4, \
                  granularity=channel, exponent=tensor, outliers=0, norm=2.\n\nExamples:\n  kilter quantize \
                  model.safetensors --set bits=4 -o small.safetensors\n  kilter quantize small.safetensors --set method=none -o \
                  floats.safetensors"
)]
pub struct Quantize {
    /// The model: a .safetensors file, a .safetensors.index.json file, or a folder with either
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Fix this hyperparameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The file to write; .safetensors.index.json makes shards
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}
