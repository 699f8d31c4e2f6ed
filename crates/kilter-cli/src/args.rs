//! The one table of verbs: parsing, help and suggestions come from it. Each verb's options stand in its own file.

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::ask::{Ask, Tell};
use crate::best::Best;
use crate::completions::{Completions, Man};
use crate::data::Data;
use crate::enqueue::Enqueue;
use crate::export::Export;
use crate::import::Import;
use crate::logs::Logs;
use crate::measure::Measure;
use crate::merge::Merge;
use crate::quantize::Quantize;
use crate::rename::{Copy, Delete, Rename};
use crate::report::Report;
use crate::reproduce::Reproduce;
use crate::resume::Resume;
use crate::retry::RetryTrials;
use crate::show::Show;
use crate::space::SpaceVerb;
use crate::stop::Stop;
use crate::storage::StorageVerb;
use crate::tag::Tag;
use crate::trials::Trials;
use crate::tune::Tune;
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
    /// Let a study begin no more trials, wherever it runs
    Stop(Stop),
    /// Print a method's claims and whether they hold
    Reproduce(Reproduce),
    /// Score something that exists
    Measure(Measure),
    /// Make one model of several
    Merge(Merge),
    /// Make a model smaller: fewer bits per weight
    Quantize(Quantize),
    /// List the studies of a storage
    Studies(InStorage),
    /// List a study's trials, all or some
    Trials(Trials),
    /// Show a study's best trial
    Best(Best),
    /// Show one trial whole
    Show(Show),
    /// Print what a trial printed
    Logs(Logs),
    /// Look after the file that studies are remembered in
    Storage(StorageVerb),
    /// Write a study's trials as a table for other programs
    Export(Export),
    /// Bring in studies of Optuna, or a table of trials
    Import(Import),
    /// Try a configuration of your own next
    Enqueue(Enqueue),
    /// Run failed trials again
    Retry(RetryTrials),
    /// Write something on a study or a trial
    Tag(Tag),
    /// Give a study another name
    Rename(Rename),
    /// Copy a study, within a storage or into another
    Copy(Copy),
    /// Delete a study
    Delete(Delete),
    /// Ask for the next trial, to run it yourself
    Ask(Ask),
    /// Tell how a trial that you asked for ended
    Tell(Tell),
    /// List the recipes, or one recipe's hyperparameters
    Recipes(Named),
    /// Look at a search space: describe, check, sample, count, diff
    Space(SpaceVerb),
    /// Data sets and models: what there is, where it is, and bringing it
    Data(Data),
    /// List the samplers
    Samplers(Named),
    /// List the pruners
    Pruners(Named),
    /// From inside a trial, in any language: report figures, learn whether to stop
    Report(Report),
    /// Print what your shell needs to complete kilter's words
    Completions(Completions),
    /// Print the manual
    Man(Man),
}

/// Where studies are remembered.
#[derive(Clone, Debug, Args)]
pub struct InStorage {
    /// Where studies are remembered: sqlite:FILE
    #[arg(long, value_name = "URL", default_value = "sqlite:kilter.db", help_heading = "Memory")]
    pub storage: String,
}

#[derive(Debug, Args)]
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

impl OfStudy {
    /// The study's name, however it was given.
    pub fn name(&self) -> Option<&str> {
        self.study.as_deref().or(self.study_option.as_deref())
    }
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
