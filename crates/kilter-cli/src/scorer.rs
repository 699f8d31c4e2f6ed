//! A model file put to the test: by anybody's command, or by the recipe that made it.

use std::path::Path;
use std::process::{Command, Stdio};

use kilter_recipes::network::{Trained, running_statistics};
use kilter_weights::soup::Better;
use kilter_weights::{Checkpoint, Options, replace};
use regex::Regex;

use crate::fault::Fault;
use crate::session::quoted;

/// Where a command is told which checkpoint to score.
pub const MODEL: &str = "{model}";

/// Lines of a failed command's output that are shown.
const SHOWN: usize = 5;

/// A number as programs print it.
const NUMBER: &str = r"(?i)(?:^|[^\w.])([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|[-+]?inf)(?:$|[^\w.]|\.(?:$|\s))";

/// A command in which [`MODEL`] stands for a model's path.
pub struct Program<'a>(&'a [String]);

impl<'a> Program<'a> {
    /// A command that says where the path goes; `example` shows one that does.
    pub fn new(words: &'a [String], example: &str) -> Result<Self, Fault> {
        if !words.iter().any(|word| word.contains(MODEL)) {
            return Err(Fault::call(format!(
                "the command must say where the model's path goes: {MODEL}, as in:\n  {example}"
            )));
        }
        Ok(Self(words))
    }

    /// The command after `--` that looks at a model just made, if there is one; the model may be `scratch` only for it.
    pub fn after(words: &'a [String], example: &str, scratch: bool, json: bool) -> Result<Option<Self>, Fault> {
        match (words, scratch, json) {
            ([], true, _) => Err(Fault::call(format!(
                "--scratch deletes what a command has seen; give the command, as in:\n  {example}"
            ))),
            ([], false, _) => Ok(None),
            (words, _, json) => {
                let program = Self::new(words, example)?;
                match json {
                    true => Err(Fault::call(
                        "--json is one document, and the command writes beside it; leave out one of them",
                    )),
                    false => Ok(Some(program)),
                }
            }
        }
    }

    /// The command about this model. A single word with spaces in it is a line for the shell.
    pub fn about(&self, model: &Path) -> Command {
        let path = model.display().to_string();
        match self.0 {
            [line] if line.contains(char::is_whitespace) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &line.replace(MODEL, &quoted(&path))]);
                shell
            }
            words => {
                let mut words = words.iter().map(|word| word.replace(MODEL, &path));
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command
            }
        }
    }

    /// Runs it in front of the user; its exit status.
    pub fn show(&self, model: &Path) -> Result<std::process::ExitStatus, Fault> {
        let ran = self.about(model).stdin(Stdio::null()).status();
        ran.map_err(|why| Fault::work(format!("{}: {why}", self.0[0])))
    }
}

/// What scores models.
pub struct Scorer<'a> {
    way: Way<'a>,
    /// Which scores are better.
    pub better: Better,
    /// Are running statistics of batch normalisations measured anew first?
    pub refreshes: bool,
}

enum Way<'a> {
    Program(Program<'a>, Regex),
    /// The recipe that made the model, and the metric that counts.
    Own(String),
}

impl<'a> Scorer<'a> {
    /// A command whose last number, or last match of `metric`, is the score.
    pub fn program(words: &'a [String], metric: Option<&str>, better: Option<Better>) -> Result<Self, Fault> {
        let example = "kilter merge soup --greedy --maximize a.safetensors b.safetensors -o soup.safetensors -- python3 \
                       eval.py {model}";
        let program = Program::new(words, example)?;
        let better = better.ok_or_else(|| Fault::call("is a higher score better? Say --maximize or --minimize"))?;
        let metric = Regex::new(metric.unwrap_or(NUMBER)).map_err(|why| Fault::call(format!("--metric: {why}")))?;
        if metric.captures_len() < 2 {
            return Err(Fault::call("--metric needs a group around the number, as in --metric 'acc=([0-9.]+)'"));
        }
        Ok(Self { way: Way::Program(program, metric), better, refreshes: false })
    }

    /// The recipe that made `model`, on the examples that judged it while it was tuned.
    pub fn own(model: &Path, metric: Option<&str>, better: Option<Better>) -> Result<Self, Fault> {
        let without_a_command = |why: kilter_study::Failure| {
            Fault::call(format!(
                "without a command after -- the recipe that made the models scores them, but {why}; or score them yourself, as \
                 in -- python3 eval.py {MODEL}; or average all models with --set kind=uniform"
            ))
        };
        let trained = Trained::open(model, "cpu").map_err(without_a_command)?;
        let recipe = kilter_recipes::find(trained.recipe());
        let metrics = recipe.as_ref().map_or(&[][..], |recipe| recipe.metrics());
        let known = match metric {
            None => metrics.first(),
            Some(name) => metrics.iter().find(|metric| metric.name == name),
        };
        let known = known.ok_or_else(|| {
            let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            Fault::call(format!("--metric: `{}` gives {}", trained.recipe(), names.join(", ")))
        })?;
        let usual = if known.better.prefers(0.0, 1.0) { Better::Lower } else { Better::Higher };
        Ok(Self { way: Way::Own(known.name.clone()), better: better.unwrap_or(usual), refreshes: false })
    }

    /// The model's score.
    pub fn score(&self, model: &Path) -> Result<f64, String> {
        if !self.refreshes {
            return self.score_of(model);
        }
        let found = running_statistics(model).map_err(|why| format!("--refresh-batchnorm: {why}"))?;
        let place = tempfile::tempdir().map_err(|why| why.to_string())?;
        let fresh = place.path().join("model.safetensors");
        let written = Checkpoint::open(model).and_then(|model| replace(&model, &found, &fresh, &Options::default()));
        written.map_err(|why| why.to_string())?;
        self.score_of(&fresh)
    }

    fn score_of(&self, model: &Path) -> Result<f64, String> {
        let (program, metric) = match &self.way {
            Way::Own(metric) => {
                let judged = Trained::open(model, "cpu").and_then(|trained| trained.validate());
                let judged = judged.map_err(|why| why.to_string())?;
                return judged.get(metric.as_str()).copied().ok_or_else(|| format!("it has no `{metric}`"));
            }
            Way::Program(program, metric) => (program, metric),
        };
        let ran = program.about(model).stdin(Stdio::null()).output();
        let ran = ran.map_err(|why| format!("{}: {why}", program.0[0]))?;
        let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        let last = || {
            let lines: Vec<&str> = said.lines().chain(complained.lines()).collect();
            let shown = lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| format!("\n    {line}"));
            let shown: String = shown.collect();
            if shown.is_empty() { "; it printed nothing".to_owned() } else { format!("; its last lines were:{shown}") }
        };
        if !ran.status.success() {
            return Err(format!("{}{}", ran.status, last()));
        }
        let number = metric.captures_iter(&said).last().and_then(|found| found.get(1)?.as_str().trim().parse().ok());
        number.ok_or_else(|| format!("no number was found in its output{}", last()))
    }
}
