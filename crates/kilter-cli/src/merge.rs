//! `kilter merge`: several checkpoints of one architecture into one.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use kilter_space::{Value, parse_value};
use kilter_weights::merge::{MergeReport, common_of, find, merge as write_merged};
use kilter_weights::soup::{self, Accept, Better, GreedyConfig, SoupReport};
use kilter_weights::{Checkpoint, Dtype, Options};
use regex::Regex;
use serde_json::{Value as Json, json};

use crate::fault::Fault;
use crate::pairs::setting;
use crate::session::quoted;
use crate::style::{Voice, short};
use crate::table::table;
use crate::weights::{Work, answers, open, target};

#[derive(Debug, Args)]
#[command(
    after_help = "METHOD is soup (uniform or greedy), linear, task-arithmetic, ties, dare, slerp or breadcrumbs.\n\nExamples:\n  \
                  kilter merge soup a.safetensors b.safetensors --set kind=uniform \\\n      \
                  -o soup.safetensors\n  kilter merge soup \
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

/// Where a command is told which checkpoint to score.
const MODEL: &str = "{model}";

/// Lines of a failed command's output that are shown.
const SHOWN: usize = 5;

/// Merges; everything that can be checked beforehand is.
pub fn merge(args: &Merge, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    let out = target(args.out.as_deref())?;
    if args.method == "soup" {
        return stir(args, set, out, voice);
    }
    let method = find(&args.method)?;
    if args.greedy || !args.command.is_empty() {
        return Err(Fault::call(format!(
            "{} needs no score: --greedy and a command after -- belong to `kilter merge soup`",
            method.name
        )));
    }
    let models = open(&args.models)?;
    let base = args.base.as_ref().map(|path| Checkpoint::open(path)).transpose()?;
    let outline = (method.outline)(models.len()).map_err(Fault::call)?;
    let config = answers(&outline, &set)?;
    let built = (method.build)(&config, models.len())?;
    if base.is_some() && !built.needs_base() {
        return Err(Fault::call(format!(
            "{} works without a base: leave out --base, or give it as a model",
            method.name
        )));
    }
    let (dtype, allow_non_finite) = common_of(&config)?;
    let work = Work::begin(voice)?;
    let progress = |done, total| work.progress(done, total);
    let options = Options { allow_non_finite, progress: &progress, ..Options::default() };
    let models: Vec<&Checkpoint> = models.iter().collect();
    match work.end(write_merged(&*built, base.as_ref(), &models, dtype, out, &options))? {
        Ok(report) => tell(&report, json!(report), &work, voice),
        Err(code) => Ok(code),
    }
}

/// `kilter merge soup`.
fn stir(args: &Merge, mut set: Vec<(String, Value)>, out: &Path, voice: &Voice) -> Result<ExitCode, Fault> {
    if args.base.is_some() {
        return Err(Fault::call("a soup works without a base: leave out --base, or give it as a model"));
    }
    if args.greedy {
        set.push(("kind".to_owned(), parse_value("greedy")));
    }
    let config = answers(&soup::outline(args.models.len()).map_err(Fault::call)?, &set)?;
    let (dtype, allow_non_finite) = common_of(&config)?;
    let is_greedy = config.text("kind").map_err(Fault::call)? == "greedy";
    let judge = if is_greedy { Some(Judge::new(args)?) } else { None };
    if !is_greedy && !args.command.is_empty() {
        return Err(Fault::call("a uniform soup takes every model and asks for no score; leave out the command"));
    }
    let models = open(&args.models)?;
    let models: Vec<&Checkpoint> = models.iter().collect();
    let work = Work::begin(voice)?;
    let progress = |done, total| work.progress(done, total);
    let options = Options { allow_non_finite, progress: &progress, ..Options::default() };
    let Some(judge) = judge else {
        return match work.end(soup::uniform(&models, dtype, out, &options))? {
            Ok(report) => tell(&report, json!(report), &work, voice),
            Err(code) => Ok(code),
        };
    };
    let greedy = GreedyConfig {
        better: judge.better,
        accept: if config.text("accept").map_err(Fault::call)? == "better" { Accept::Better } else { Accept::NotWorse },
        max_ingredients: usize::try_from(config.int("max_ingredients").map_err(Fault::call)?).ok(),
    };
    match work.end(taste(&judge, &models, greedy, dtype, out, &options, &work))? {
        Ok(report) => {
            if !voice.json {
                voice.say(&ranking(&report, &models))?;
            }
            let document = json!(report);
            tell(&report.merged, document, &work, voice)
        }
        Err(code) => Ok(code),
    }
}

/// Chooses and writes a greedy soup, telling each score as it comes.
fn taste(
    judge: &Judge,
    models: &[&Checkpoint],
    config: GreedyConfig,
    dtype: Option<Dtype>,
    out: &Path,
    options: &Options<'_>,
    work: &Work,
) -> Result<SoupReport, kilter_weights::WeightsError> {
    let mut tasted = 0;
    soup::greedy(models, config, dtype, out, options, |path| {
        let score = judge.score(path);
        if work.is_interrupted() {
            return Err("interrupted".to_owned());
        }
        let score = score?;
        tasted += 1;
        let what = if tasted <= models.len() {
            path.display().to_string()
        } else {
            format!("soup {} of {}", tasted - models.len(), models.len() - 1)
        };
        work.remark(&format!("{what}: {}", short(score)));
        Ok(score)
    })
}

/// What a greedy soup chose, candidates in their order.
fn ranking(report: &SoupReport, models: &[&Checkpoint]) -> String {
    let greedy = &report.greedy;
    let header = ["candidate", "score", "soup with it", ""].map(str::to_owned);
    let row = |&candidate: &usize| {
        let trial = greedy.trace.iter().find(|trial| trial.candidate == candidate);
        let joined = greedy.ingredients.contains(&candidate);
        vec![
            models[candidate].path().display().to_string(),
            short(greedy.single_scores[candidate]),
            trial.map_or("–".to_owned(), |trial| short(trial.trial_score)),
            if joined { "in".to_owned() } else { "–".to_owned() },
        ]
    };
    let rows = greedy.order.iter().map(row).collect();
    let count = greedy.ingredients.len();
    let many = if count == 1 { "" } else { "s" };
    format!("{}\n\nscore {} with {count} ingredient{many}", table(&header, rows), short(greedy.score))
}

/// Says what was done.
fn tell(report: &MergeReport, mut document: Json, work: &Work, voice: &Voice) -> Result<ExitCode, Fault> {
    for note in &report.notes {
        voice.remark(&format!("note: {note}"));
    }
    if voice.json {
        document["wall_seconds"] = json!(work.seconds());
        voice.document(&document)?;
    } else {
        work.close(&report.written, report.bytes_in)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Scores a checkpoint by a command.
struct Judge {
    command: Vec<String>,
    metric: Regex,
    better: Better,
}

/// A number as programs print it.
const NUMBER: &str = r"(?i)(?:^|[^\w.])([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|[-+]?inf)(?:$|[^\w.]|\.(?:$|\s))";

impl Judge {
    fn new(args: &Merge) -> Result<Self, Fault> {
        let example = "kilter merge soup --greedy --maximize a.safetensors b.safetensors -o soup.safetensors -- python3 \
                       eval.py {model}";
        if args.command.is_empty() {
            return Err(Fault::call(format!(
                "a greedy soup needs a command that scores a model, as in:\n  {example}\n  or average all models with --set \
                 kind=uniform"
            )));
        }
        if !args.command.iter().any(|word| word.contains(MODEL)) {
            return Err(Fault::call(format!(
                "the command must say where the model's path goes: {MODEL}, as in:\n  {example}"
            )));
        }
        let better = match (args.maximize, args.minimize) {
            (true, false) => Better::Higher,
            (false, true) => Better::Lower,
            _ => return Err(Fault::call("is a higher score better? Say --maximize or --minimize")),
        };
        let metric = Regex::new(args.metric.as_deref().unwrap_or(NUMBER))
            .map_err(|why| Fault::call(format!("--metric: {why}")))?;
        if metric.captures_len() < 2 {
            return Err(Fault::call("--metric needs a group around the number, as in --metric 'acc=([0-9.]+)'"));
        }
        Ok(Self { command: args.command.clone(), metric, better })
    }

    /// Runs the command on a checkpoint; the last match of its output counts.
    fn score(&self, model: &Path) -> Result<f64, String> {
        let path = model.display().to_string();
        let mut command = match self.command.as_slice() {
            [line] if line.contains(char::is_whitespace) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &line.replace(MODEL, &quoted(&path))]);
                shell
            }
            words => {
                let mut command = Command::new(&words[0]);
                command.args(words[1..].iter().map(|word| word.replace(MODEL, &path)));
                command
            }
        };
        let ran = command.stdin(Stdio::null()).output().map_err(|why| format!("{}: {why}", self.command[0]))?;
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
        let number =
            self.metric.captures_iter(&said).last().and_then(|found| found.get(1)?.as_str().trim().parse().ok());
        number.ok_or_else(|| format!("no number was found in its output{}", last()))
    }
}
