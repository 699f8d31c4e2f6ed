//! The one table of verbs: parsing, help and suggestions come from it. Each verb's options stand in its own file.

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::logs::Logs;
use crate::merge::Merge;
use crate::quantize::Quantize;
use crate::report::Report;
use crate::reproduce::Reproduce;
use crate::show::Show;
use crate::storage::StorageVerb;
use crate::tune::{Resume, Tune};
use crate::worker::Worker;

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

impl Cli {
    /// Reads the call. `tune` remembers which of its options were given: a study's file may say the others.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|why| why.format(&mut Self::command()))?;
        if let (Verb::Tune(tune), Some((_, words))) = (&mut cli.verb, matches.subcommand()) {
            let given = words.ids().filter(|id| words.value_source(id.as_str()) == Some(ValueSource::CommandLine));
            tune.given = given.map(ToString::to_string).collect();
        }
        Ok(cli)
    }
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
    /// Help run a study that another process began
    Worker(Worker),
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
    Show(Show),
    /// Print what a trial printed
    Logs(Logs),
    /// Look after the file that studies are remembered in
    Storage(StorageVerb),
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
pub struct Named {
    /// One of them, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}
