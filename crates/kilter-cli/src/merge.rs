//! `kilter merge`: several checkpoints of one architecture into one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kilter_recipes::network::{self, MODEL as MODEL_FILE};
use kilter_space::{Config, Value, parse_value};
use kilter_study::State;
use kilter_weights::merge::average::PerTensor;
use kilter_weights::merge::{MergeReport, common_of, find, merge as write_merged};
use kilter_weights::soup::{self, Accept, Better, GreedyConfig, SoupReport};
use kilter_weights::storage::Written;
use kilter_weights::{Checkpoint, Dtype, Options, WeightsError, replace};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::fault::Fault;
use crate::look::look_at;
use crate::pairs::setting;
use crate::scorer::{MODEL, Program, Scorer};
use crate::style::{Voice, short};
use crate::table::table;
use crate::weights::{Answers, Work, beside, open, target};

#[derive(Debug, Args)]
#[command(
    after_help = "METHOD is soup (uniform, greedy or learned), linear, slerp, fisher, regmean, task-arithmetic, ties, dare or \
                  breadcrumbs. `kilter tune merge METHOD` searches a method's own hyperparameters.\n\nExamples:\n  kilter \
                  merge soup a.safetensors b.safetensors --set kind=uniform \\\n      -o soup.safetensors\n  kilter merge soup \
                  --greedy --maximize runs/*.safetensors -o soup.safetensors \\\n      -- python3 eval.py {model}\n  kilter \
                  merge soup --greedy --study mlp --top 10 -o soup.safetensors\n  kilter \
                  merge breadcrumbs --base base.safetensors a.safetensors b.safetensors \\\n      --set keep=0.15 --set scale=0.3 \
                  -o multi.safetensors"
)]
pub struct Merge {
    /// How they are merged
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The models: .safetensors files, .safetensors.index.json files, or folders with either
    #[arg(value_name = "MODEL", required_unless_present = "study")]
    pub models: Vec<PathBuf>,
    /// A command that scores a model for a greedy soup, or sees what was merged; {model} stands for its path
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,

    /// The model that the others were tuned from
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// What fisher and regmean know of each model, in the models' order (repeatable); `kilter measure statistics` writes it
    #[arg(long, value_name = "FILE")]
    pub statistics: Vec<PathBuf>,
    /// Fix this hyperparameter of the method (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub answers: Answers,
    /// The file to write; .safetensors.index.json makes shards
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Measure batch normalisations' running statistics on what the models learnt from (models that kilter trained)
    #[arg(long)]
    pub refresh_batchnorm: bool,
    /// Delete the merged model when the command has seen it
    #[arg(long)]
    pub scratch: bool,

    /// Choose a soup's ingredients by their score; without a command the recipe that made the models scores them
    #[arg(long, help_heading = "Soups")]
    pub greedy: bool,
    /// Take the models that this study's complete trials left, best first
    #[arg(long, value_name = "NAME", help_heading = "Soups")]
    pub study: Option<String>,
    /// So many of them
    #[arg(long, value_name = "N", help_heading = "Soups")]
    pub top: Option<usize>,
    /// Where the command's score is: a pattern (last match, first group) [default: the last number]; or the recipe's metric
    #[arg(long, value_name = "REGEX or NAME", help_heading = "Soups")]
    pub metric: Option<String>,
    /// Smaller scores are better
    #[arg(long, conflicts_with = "maximize", help_heading = "Soups")]
    pub minimize: bool,
    /// Larger scores are better
    #[arg(long, help_heading = "Soups")]
    pub maximize: bool,
}

/// Merges; everything that can be checked beforehand is.
pub fn merge(args: &Merge, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    let out = target(args.out.as_deref())?;
    if args.method == "soup" {
        return stir(args, set, out, voice);
    }
    let method = find(&args.method)?;
    if args.greedy || args.study.is_some() || args.top.is_some() || args.metric.is_some() {
        return Err(Fault::call(format!(
            "{} chooses nothing: --greedy, --study, --top and --metric belong to `kilter merge soup`",
            method.name
        )));
    }
    let example = format!("kilter merge {} … -o merged.safetensors -- python3 eval.py {MODEL}", method.name);
    let program = Program::after(&args.command, &example, args.scratch, voice.json)?;
    if method.statistics.is_none() && !args.statistics.is_empty() {
        return Err(Fault::call(format!("{} needs no statistics; leave out --statistics", method.name)));
    }
    let models = open(&args.models)?;
    let base = args.base.as_ref().map(|path| Checkpoint::open(path)).transpose()?;
    let outline = (method.outline)(models.len()).map_err(Fault::call)?;
    let config = args.answers.over(&outline, &set)?;
    let built = (method.build)(&config, models.len(), open(&args.statistics)?)?;
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
    let fresh = Fresh::new(args, out)?;
    let written = write_merged(&*built, base.as_ref(), &models, dtype, fresh.target(), &options);
    let report = match work.end(written)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    let report = MergeReport { written: fresh.end(report.written, out, &options)?, ..report };
    let told = if args.scratch { Ok(ExitCode::SUCCESS) } else { tell(&report, json!(report), &work, voice) };
    match program {
        None => told,
        Some(program) => told.and_then(|_| shown(&program, out, &report.written, args.scratch)),
    }
}

/// Where a merged model goes: to its place, or first beside it, for its running statistics to be measured.
struct Fresh {
    place: Option<TempDir>,
    target: PathBuf,
}

impl Fresh {
    fn new(args: &Merge, out: &Path) -> Result<Self, Fault> {
        let place = args.refresh_batchnorm.then(|| beside(out)).transpose()?;
        let target = place.as_ref().map_or(out.to_owned(), |place| place.path().join("merged.safetensors"));
        Ok(Self { place, target })
    }

    fn target(&self) -> &Path {
        &self.target
    }

    fn end(self, written: Written, out: &Path, options: &Options<'_>) -> Result<Written, Fault> {
        if self.place.is_none() {
            return Ok(written);
        }
        let found = network::running_statistics(&self.target)
            .map_err(|why| Fault::call(format!("--refresh-batchnorm: {why}")))?;
        Ok(replace(&Checkpoint::open(&self.target)?, &found, out, options)?)
    }
}

/// `kilter merge soup`.
fn stir(args: &Merge, mut set: Vec<(String, Value)>, out: &Path, voice: &Voice) -> Result<ExitCode, Fault> {
    if args.base.is_some() {
        return Err(Fault::call("a soup works without a base: leave out --base, or give it as a model"));
    }
    if args.scratch || !args.statistics.is_empty() {
        return Err(Fault::call("a soup needs no statistics, and is kept: leave out --statistics and --scratch"));
    }
    if args.greedy {
        set.push(("kind".to_owned(), parse_value("greedy")));
    }
    let paths = candidates(args)?;
    let config = args.answers.over(&soup::outline(paths.len()).map_err(Fault::call)?, &set)?;
    let (dtype, allow_non_finite) = common_of(&config)?;
    let kind = config.text("kind").map_err(Fault::call)?;
    if kind != "greedy" && !args.command.is_empty() {
        return Err(Fault::call(format!("a {kind} soup asks for no score; leave out the command")));
    }
    let models = open(&paths)?;
    let models: Vec<&Checkpoint> = models.iter().collect();
    let work = Work::begin(voice)?;
    let progress = |done, total| work.progress(done, total);
    let options = Options { allow_non_finite, progress: &progress, ..Options::default() };
    let fresh = Fresh::new(args, out)?;
    if kind != "greedy" {
        let made = match kind {
            "learned" => learn(&config, &models, dtype, fresh.target(), &options, &work, voice)?,
            _ => soup::uniform(&models, dtype, fresh.target(), &options),
        };
        return match work.end(made)? {
            Ok(report) => {
                let report = MergeReport { written: fresh.end(report.written, out, &options)?, ..report };
                tell(&report, json!(report), &work, voice)
            }
            Err(code) => Ok(code),
        };
    }
    let better = match (args.maximize, args.minimize) {
        (true, _) => Some(Better::Higher),
        (_, true) => Some(Better::Lower),
        _ => None,
    };
    let mut scorer = match args.command.is_empty() {
        true => Scorer::own(models[0].path(), args.metric.as_deref(), better)?,
        false => Scorer::program(&args.command, args.metric.as_deref(), better)?,
    };
    scorer.refreshes = args.refresh_batchnorm;
    let greedy = GreedyConfig {
        better: scorer.better,
        accept: if config.text("accept").map_err(Fault::call)? == "better" { Accept::Better } else { Accept::NotWorse },
        max_ingredients: usize::try_from(config.int("max_ingredients").map_err(Fault::call)?).ok(),
    };
    match work.end(taste(&scorer, &models, greedy, dtype, fresh.target(), &options, &work))? {
        Ok(mut report) => {
            report.merged.written = fresh.end(report.merged.written, out, &options)?;
            if !voice.json {
                voice.say(&ranking(&report, &models))?;
            }
            let document = json!(report);
            tell(&report.merged, document, &work, voice)
        }
        Err(code) => Ok(code),
    }
}

/// The models of a soup: those named, or those that a study's best trials left.
fn candidates(args: &Merge) -> Result<Vec<PathBuf>, Fault> {
    let Some(study) = &args.study else {
        return match (args.models.is_empty(), args.top) {
            (true, _) => {
                Err(Fault::call("which models? Name their files, or a study whose trials left some: --study NAME"))
            }
            (false, Some(_)) => {
                Err(Fault::call("--top says how many of a study's models; name the study: --study NAME"))
            }
            (false, None) => Ok(args.models.clone()),
        };
    };
    let (place, entry, history) = look_at(Some(study), &args.answers.storage)?;
    let goal =
        entry.spec.goals.first().ok_or_else(|| Fault::call(format!("{study} has no goal to rank its trials by")))?;
    let folder = place.trials_folder(&entry.spec.name);
    let mut ranked: Vec<(f64, PathBuf)> = history
        .rows()
        .filter(|row| row.state == State::Complete)
        .filter_map(|row| {
            let model = folder.join(row.number.to_string()).join(MODEL_FILE);
            Some((goal.better.as_loss(row.value(&goal.metric)?), model)).filter(|(_, model)| model.is_file())
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    if ranked.is_empty() {
        return Err(Fault::call(format!(
            "no complete trial of {study} left a model: looked for {}/NUMBER/{MODEL_FILE}, which recipes of networks write, and \
             a command of your own into {{folder}}",
            folder.display()
        )));
    }
    let wanted = args.top.unwrap_or(ranked.len());
    let best = ranked.into_iter().take(wanted).map(|(_, model)| model);
    Ok(best.chain(args.models.iter().cloned()).collect())
}

/// Runs a command on what was written; its exit code is the call's.
pub fn shown(program: &Program<'_>, out: &Path, written: &Written, scratch: bool) -> Result<ExitCode, Fault> {
    let status = program.show(out);
    if scratch {
        written.files.iter().try_for_each(std::fs::remove_file).map_err(Fault::work)?;
    }
    match status? {
        status if status.success() => Ok(ExitCode::SUCCESS),
        status => Err(Fault::work(format!("the command ended with {status}"))),
    }
}

/// Learns how to mix models by the validation examples of the recipe that made them, and mixes them.
fn learn(
    config: &Config,
    models: &[&Checkpoint],
    dtype: Option<Dtype>,
    out: &Path,
    options: &Options<'_>,
    work: &Work,
    voice: &Voice,
) -> Result<Result<MergeReport, WeightsError>, Fault> {
    let paths: Vec<&Path> = models.iter().map(|model| model.path()).collect();
    let learned = network::learn_soup(&paths, config, &mut |done, of| {
        work.remark(&format!("epoch {done} of {of}"));
        !work.is_interrupted()
    });
    let learned = match learned {
        Ok(learned) => learned,
        Err(_) if work.is_interrupted() => return Ok(Err(WeightsError::Interrupted)),
        Err(why) => return Err(Fault::call(why)),
    };
    if !voice.json && !voice.quiet {
        let mean = |model: usize| {
            let of_tensors = learned.weights.values().map(|weights| weights[model]);
            of_tensors.sum::<f64>() / learned.weights.len().max(1) as f64
        };
        let rows =
            paths.iter().enumerate().map(|(at, path)| vec![path.display().to_string(), short(mean(at))]).collect();
        voice.say(&table(&["model", "mean weight"].map(str::to_owned), rows))?;
        voice.say(&format!(
            "\nloss on the validation examples {} → {}; temperature {}\n",
            short(learned.loss_uniform),
            short(learned.loss),
            short(learned.beta)
        ))?;
    }
    let mixed = PerTensor { weights: learned.weights, settings: learned.settings };
    Ok(write_merged(&mixed, None, models, dtype, out, options))
}

/// Chooses and writes a greedy soup, telling each score as it comes.
fn taste(
    scorer: &Scorer<'_>,
    models: &[&Checkpoint],
    config: GreedyConfig,
    dtype: Option<Dtype>,
    out: &Path,
    options: &Options<'_>,
    work: &Work,
) -> Result<SoupReport, WeightsError> {
    let mut tasted = 0;
    soup::greedy(models, config, dtype, out, options, |path| {
        let score = scorer.score(path);
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
