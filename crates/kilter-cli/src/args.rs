//! The one table of verbs: parsing, help and suggestions come from it. Each verb's options stand in its own file.

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::apply::Apply;
use crate::ask::{Ask, Tell};
use crate::best::Best;
use crate::cluster::PlanVerb;
use crate::completions::{Completions, Man};
use crate::data::Data;
use crate::enqueue::Enqueue;
use crate::export::Export;
use crate::fault::Fault;
use crate::hint;
use crate::import::Import;
use crate::logs::Logs;
use crate::measure::Measure;
use crate::merge::Merge;
use crate::predict::Predict;
use crate::quantize::Quantize;
use crate::recipes::Recipes;
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
use crate::train::Train;
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
                  'loss=([0-9.eE+-]+)' --minimize \\\n      -- python3 train.py --lr {lr}",
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
        let matches = Self::command().try_get_matches().map_err(|why| hint::name(why, &Self::command()))?;
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
    /// Run a recipe once; leaves a model
    Train(Train),
    /// Run a model that kilter made: predictions, text
    Apply(Apply),
    /// Print a method's claims and whether they hold
    Reproduce(Reproduce),
    /// Hyperparameters without running anything: laws, transfer, starting points
    Predict(Predict),
    /// The cost and shape of something before doing it
    Plan(PlanVerb),
    /// Score something that exists
    Measure(Measure),
    /// Make one model of several
    Merge(Merge),
    /// Make a model smaller: fewer bits per weight
    Quantize(Quantize),
    /// List the studies of a storage
    #[command(after_help = "Example:\n  kilter studies --storage sqlite:kilter.db")]
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
    Recipes(Recipes),
    /// Look at a search space: describe, check, sample, count, diff
    Space(SpaceVerb),
    /// Data sets and models: what there is, where it is, and bringing it
    Data(Data),
    /// List the samplers
    #[command(
        after_help = "Examples:\n  kilter samplers tpe\n  kilter tune breast-cancer --sampler tpe:startup=20,candidates=24"
    )]
    Samplers(Named),
    /// List the pruners
    #[command(
        after_help = "Examples:\n  kilter pruners median\n  kilter tune breast-cancer --pruner median:n_startup_trials=8"
    )]
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
    /// Its number, or STUDY:TRIAL [default: the best]
    #[arg(value_name = "TRIAL")]
    pub trial: Option<String>,
    /// The study [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

impl OfTrial {
    /// The study and the trial's number, as far as they were named.
    pub fn named(&self) -> Result<(Option<&str>, Option<u64>), Fault> {
        let Some(word) = self.trial.as_deref() else { return Ok((self.study.as_deref(), None)) };
        if let Ok(number) = word.parse() {
            return Ok((self.study.as_deref(), Some(number)));
        }
        if let Some(study) = &self.study {
            return Err(Fault::call(format!(
                "`{word}` is no trial's number, and --study {study} names the study already"
            )));
        }
        let behind = word.rsplit_once(':').and_then(|(study, number)| Some((study, number.parse().ok()?)));
        Ok(behind.map_or((Some(word), None), |(study, number)| (Some(study), Some(number))))
    }
}

#[derive(Debug, Args)]
pub struct Named {
    /// One of them, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    /// Every verb and verb of a verb, with the words that name it.
    fn verbs() -> Vec<(String, Command)> {
        fn collect(command: &Command, path: &str, all: &mut Vec<(String, Command)>) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                collect(verb, &path, all);
                all.push((path, verb.clone()));
            }
        }
        let mut all = Vec::new();
        collect(&Cli::command(), "kilter", &mut all);
        all
    }

    /// The calls of kilter in a help text, from its examples on.
    fn examples(help: &str) -> Vec<String> {
        let whole = help.replace("\\\n", " ");
        let shown = whole.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
        shown.filter(|line| line.trim_start().starts_with("kilter ")).map(|line| line.trim().to_owned()).collect()
    }

    /// A line as a shell takes it apart, up to a pipe, a redirection or a remark.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, '|' | '>' | '(') => break,
                (None, ' ') => words.extend(word.take()),
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_verb_has_an_example_that_parses() {
        for (verb, command) in verbs() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{verb} --help shows no example");
            let shown = examples(&help);
            assert!(shown.iter().any(|line| line.starts_with(&verb)) || help.contains(&verb), "{verb}: {help}");
            for line in shown {
                let read = Cli::command().try_get_matches_from(words(&line));
                assert!(
                    read.is_ok(),
                    "{verb} --help: {line}\n{}",
                    read.err().map_or(String::new(), |why| why.to_string())
                );
            }
        }
        let general = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(general.contains("kilter tune breast-cancer"));
    }

    /// What is no document: text for shells and for `man`.
    const NO_DOCUMENT: [&str; 2] = ["kilter completions", "kilter man"];

    #[test]
    fn what_every_verb_says_in_json_is_documented() {
        let schema = include_str!("../../../docs/json/schema.json");
        let documented = |verb: &str| {
            let mut told = schema.lines().filter(|line| line.contains("\"description\": \"`kilter "));
            told.any(|line| {
                line.split('`').any(|call| {
                    let rest = call.strip_prefix(verb);
                    rest.is_some_and(|rest| rest.starts_with(' ') && rest.ends_with("--json"))
                })
            })
        };
        for (verb, command) in verbs() {
            if command.has_subcommands() && command.is_subcommand_required_set() || NO_DOCUMENT.contains(&verb.as_str())
            {
                continue;
            }
            assert!(documented(&verb), "docs/json/schema.json says nothing of `{verb} --json`");
        }
    }
}
