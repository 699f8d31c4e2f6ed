//! What `kilter merge` and `kilter quantize` share: opening files, progress in bytes, interruption, the closing line.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kilter_space::text::SpaceText;
use kilter_space::{Config, Defaults, Domain, Name, Outline, SpaceError, Value, parse_domain};
use kilter_weights::merge::{METHODS, Method, find};
use kilter_weights::quantize;
use kilter_weights::storage::Written;
use kilter_weights::{Checkpoint, WeightsError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;

use crate::aims::Direction;
use crate::args::InStorage;
use crate::command::{command_goals, command_job};
use crate::fault::{Fault, INTERRUPTED};
use crate::look::best_or;
use crate::place::Place;
use crate::plan::Job;
use crate::quantize::BYTES;
use crate::recipes::Tunable;
use crate::scorer::{MODEL, Program};
use crate::study_file::Origin;
use crate::style::{Voice, bytes, duration};
use crate::subject::What;
use crate::tune::Tune;

/// In a pipe, a line at most this often.
const PACE: Duration = Duration::from_secs(3);

/// One piece of work on checkpoints.
pub struct Work {
    voice: Voice,
    began: Instant,
    told: Mutex<Instant>,
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
}

impl Work {
    /// Begins: the first signal from here on stops the work.
    pub fn begin(voice: &Voice) -> Result<Self, Fault> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, interrupted.clone()).map_err(Fault::work)?;
        }
        let bar = (voice.terminal && !voice.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant of this file.
            if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {msg}  eta {eta}") {
                bar.set_style(style.progress_chars("━━╌"));
            }
            bar
        });
        let now = Instant::now();
        Ok(Self { voice: *voice, began: now, told: Mutex::new(now), bar, interrupted })
    }

    /// Has a signal come?
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Takes how many bytes of how many are written; breaks after a signal.
    pub fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        if self.is_interrupted() {
            return ControlFlow::Break(());
        }
        let state = || format!("{} of {}", bytes(done), bytes(total));
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(state());
        } else if let Ok(mut told) = self.told.lock()
            && told.elapsed() >= PACE
        {
            *told = Instant::now();
            let left = self.began.elapsed().as_secs_f64() / done.max(1) as f64 * (total - done) as f64;
            self.voice.remark(&format!("{} written, eta {}", state(), duration(left)));
        }
        ControlFlow::Continue(())
    }

    /// Writes a remark that a bar does not run over.
    pub fn remark(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.voice.remark(line)),
            None => self.voice.remark(line),
        }
    }

    /// Wall time since the beginning, in seconds.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The result, or how the call ends without one.
    pub fn end<T>(&self, result: Result<T, WeightsError>) -> Result<Result<T, ExitCode>, Fault> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match result {
            Ok(done) => Ok(Ok(done)),
            Err(_) if self.is_interrupted() => {
                self.voice.remark("interrupted; nothing was written");
                Ok(Err(ExitCode::from(INTERRUPTED)))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// `soup.safetensors: 148 tensors, 2.2 GB of 8.9 GB in 4.1 s`
    pub fn close(&self, written: &Written, bytes_in: u64) -> Result<(), Fault> {
        let name = written.files.last().map_or(String::new(), |file| file.display().to_string());
        let shards = match written.files.len() {
            0 | 1 => String::new(),
            n => format!(" in {} shards", n - 1),
        };
        self.voice.say(&format!(
            "{}: {} tensor{}{shards}, {} from {} in {}",
            self.voice.strong(&name),
            written.tensors.len(),
            if written.tensors.len() == 1 { "" } else { "s" },
            bytes(written.bytes),
            bytes(bytes_in),
            duration(self.seconds())
        ))
    }
}

/// Opens checkpoints; only headers are read.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Checkpoint>, Fault> {
    paths.iter().map(|path| Ok(Checkpoint::open(path)?)).collect()
}

/// The output's path, which must be given.
pub fn target(out: Option<&Path>) -> Result<&Path, Fault> {
    out.ok_or_else(|| Fault::call("where to? Name the file to be written, as in -o out.safetensors"))
}

/// Where answers come from beside `--set` and the defaults.
#[derive(Debug, Args)]
pub struct Answers {
    /// Take the best configuration of this study, or that trial's
    #[arg(long, value_name = "STUDY[:TRIAL]", conflicts_with = "config")]
    pub from: Option<String>,
    /// Take a configuration from a JSON file, as {config} of a trial
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub storage: InStorage,
}

impl Answers {
    /// The answers of `set`, else those of a study or a file, else the defaults.
    pub fn over(&self, outline: &Outline, set: &[(String, Value)]) -> Result<Config, Fault> {
        let given = match (&self.from, &self.config) {
            (Some(from), _) => Some(best_or(from, &Place::open(&self.storage)?)?),
            (None, Some(file)) => {
                let wrong = |why: &dyn std::fmt::Display| Fault::call(format!("--config {}: {why}", file.display()));
                let text = std::fs::read(file).map_err(|why| wrong(&why))?;
                Some(serde_json::from_slice::<Config>(&text).map_err(|why| wrong(&why))?)
            }
            (None, None) => None,
        };
        let Some(given) = given else { return answers(outline, set) };
        let mut config: Vec<(Name, Value)> = given.answers().to_vec();
        if let Some((name, _)) = config.iter().find(|(name, _)| outline.entry(name.as_str()).is_err()) {
            return Err(Fault::call(format!("the configuration answers `{name}`, which is not asked here")));
        }
        for (name, value) in answers(outline, set)?.answers() {
            let is_set = set.iter().any(|(set, _)| name.as_str() == set);
            match config.iter_mut().find(|(known, _)| known == name) {
                Some((_, answer)) if is_set => *answer = value.clone(),
                Some(_) => {}
                None => config.push((name.clone(), value.clone())),
            }
        }
        Ok(Config::new(config))
    }
}

/// The answers that `set` and the defaults give.
fn answers(outline: &Outline, set: &[(String, Value)]) -> Result<Config, Fault> {
    if let Some((i, (name, _))) = set.iter().enumerate().find(|(i, (name, _))| set[..*i].iter().any(|(n, _)| n == name))
    {
        let first = set[..i].iter().find(|(n, _)| n == name).map_or(String::new(), |(_, value)| value.to_string());
        return Err(Fault::call(format!("--set {name} is given twice, first as {first}; drop one")));
    }
    let fixed = outline.specialise(set, &[]).map_err(Fault::call)?;
    let config = Defaults::config(&fixed).map_err(Fault::call)?;
    // A setting whose condition does not hold would be ignored without a word.
    match set.iter().find(|(name, _)| config.get(name).is_none()) {
        Some((name, _)) => {
            let when = outline.entry(name).ok().and_then(|entry| entry.when.as_ref()).map(ToString::to_string);
            Err(Fault::call(format!("--set {name} has no effect here: it counts when {}", when.unwrap_or_default())))
        }
        None => Ok(config),
    }
}

/// `kilter tune merge METHOD` and `kilter tune quantize MODEL`: a study whose trials merge or quantise and let a command see
/// what came of it. What a trial runs is this program, so that whoever looks at the study sees what made each model.
pub fn of_weights(
    verb: &str,
    args: &Tune,
    space: Option<&SpaceText>,
    set: &[(String, Value)],
    params: &[(String, Domain)],
    directions: Vec<Direction>,
    from: &Origin<'_>,
) -> Result<What, Fault> {
    if args.data.is_some() || args.target.is_some() {
        return Err(Fault::call("--data and --target are of recipes; the command after -- reads its own data"));
    }
    let example = format!("kilter tune {verb} … --maximize --metric 'acc=([0-9.]+)' -- python3 eval.py {MODEL}");
    if args.command.is_empty() {
        return Err(Fault::call(format!("a command must score each model, as in:\n  {example}")));
    }
    Program::new(&args.command, &example)?;
    let (declared, object, files) = if verb == "merge" { merging(args)? } else { quantising(args)? };
    let declared = match space {
        Some(space) => space.over(&declared)?,
        None => declared,
    };
    let outline = declared.specialise(set, params).map_err(Fault::call).map_err(from.option(&["set"]))?;
    if outline.entries().iter().all(|entry| matches!(entry.domain, Domain::Fixed(_))) {
        return Err(Fault::call(format!(
            "{verb} {object} has nothing to search unless you say so, as in --param weight_1=0..2; `kilter {verb} --help`"
        )));
    }
    let own = std::env::current_exe().map_err(Fault::work)?;
    let mut words: Vec<String> = vec![text(&own)?, verb.to_owned()];
    let escaped = |text: String| text.replace('{', "{{").replace('}', "}}");
    words.extend(files.into_iter().map(escaped));
    words.extend(
        ["--quiet", "--config", "{config}", "-o", "{folder}/model.safetensors", "--scratch", "--"].map(str::to_owned),
    );
    // The inner call fills in the model, the trial everything else.
    words.extend(args.command.iter().map(|word| word.replace(MODEL, "{{model}}")));
    let mut metrics = args.metric.clone();
    let size = directions.iter().any(|direction| direction.metric.as_deref() == Some(BYTES));
    if verb == "quantize" && size && !metrics.iter().any(|metric| metric.starts_with("bytes=")) {
        metrics.push(format!("{BYTES}={BYTES}=([0-9]+)"));
    }
    let job = command_job(&words, &metrics, &outline, from)?;
    let Job::Command { metrics: sources, .. } = &job else { return Err(Fault::work("a command is no command")) };
    let goals = command_goals(sources, directions).map_err(from.option(&["minimize", "maximize", "metric"]))?;
    let named = sources.iter().map(|source| source.name().to_owned());
    let metrics: Option<Vec<String>> = (!sources.is_empty()).then(|| named.collect());
    Ok(What { outline, goals, metrics, job, trials: TRIALS, stem: format!("{verb}-{object}"), facts: Vec::new() })
}

/// What [`of_weights`] takes: the ways to merge (of two models), and quantising.
///
/// # Errors
/// None.
pub fn tunable() -> Result<Vec<Tunable>, Fault> {
    let of = |name: String, about: &str, outline: Result<Outline, SpaceError>| {
        let entries = outline.map_err(Fault::work)?.entries().to_vec();
        Ok(Tunable { name, about: about.to_owned(), metrics: Vec::new(), entries })
    };
    let merge = |method: &Method| {
        let about = format!("{}: --models FILE … -- COMMAND", method.about);
        of(format!("merge {}", method.name), &about, (method.outline)(2))
    };
    let merges = METHODS.iter().map(merge);
    let quantise = of("quantize".to_owned(), "a model in fewer bits: FILE -- COMMAND", quantize::outline());
    merges.chain([quantise]).collect()
}

/// A folder beside the output, gone when it is dropped.
pub fn beside(out: &Path) -> Result<TempDir, Fault> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new().prefix(".kilter-").tempdir_in(folder);
    made.map_err(|why| Fault::work(format!("cannot write to {}: {why}", folder.display())))
}

/// Trials of a study of [`of_weights`] whose number nobody says.
const TRIALS: u64 = 50;

/// What is searched of a merge, its method's name, and the words that name what is merged.
fn merging(args: &Tune) -> Result<(Outline, String, Vec<String>), Fault> {
    let known = || METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ");
    let name = args.object.as_deref().ok_or_else(|| Fault::call(format!("merge how? There are {}", known())))?;
    if name == "soup" {
        return Err(Fault::call(
            "a soup chooses its ingredients by itself: `kilter merge soup --greedy`; what can be tuned is `kilter tune merge \
             linear --param weight_1=0..2 …`",
        ));
    }
    let method = find(name)?;
    let models = open(&args.models)?;
    let base = args.base.as_ref().map(|path| Checkpoint::open(path)).transpose()?;
    // Whatever the answers, the method wants this many models, this base and these statistics.
    let outline = (method.outline)(models.len()).map_err(Fault::call)?;
    let config = answers(&outline, &[])?;
    let built = (method.build)(&config, models.len(), open(&args.statistics)?)?;
    built.takes(models.len())?;
    if built.needs_base() != base.is_some() {
        return Err(match base {
            Some(_) => Fault::call(format!("{name} works without a base; leave out --base")),
            None => WeightsError::NoBase { method: method.name }.into(),
        });
    }
    if let Some(first) = base.as_ref().or(models.first()) {
        models.iter().try_for_each(|model| first.same_architecture(model))?;
    }
    let mut words = vec![name.to_owned()];
    for model in &args.models {
        words.push(text(model)?);
    }
    for (option, files) in [("--base", args.base.as_slice()), ("--statistics", args.statistics.as_slice())] {
        for file in files {
            words.extend([option.to_owned(), text(file)?]);
        }
    }
    Ok((outline, name.to_owned(), words))
}

/// What is searched of quantising, the model's name, and the word that names it.
fn quantising(args: &Tune) -> Result<(Outline, String, Vec<String>), Fault> {
    let model = args.object.as_deref().ok_or_else(|| Fault::call("quantize what? Name a model file"))?;
    if !args.models.is_empty() || args.base.is_some() || !args.statistics.is_empty() {
        return Err(Fault::call("--models, --base and --statistics belong to `kilter tune merge METHOD`"));
    }
    Checkpoint::open(Path::new(model))?;
    // Rounding with data wants a model that kilter trained: it is for those who ask for it.
    let asked = args.set.iter().chain(&args.param).any(|word| word.starts_with("method="));
    let grids = parse_domain("power|uniform|log").map_err(Fault::work)?;
    let outline = quantize::outline().and_then(|outline| match asked {
        true => Ok(outline),
        false => outline.with("method", grids),
    });
    let stem = Path::new(model).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((outline.map_err(Fault::work)?, stem, vec![model.to_owned()]))
}

/// A path as a word that a study can store.
fn text(path: &Path) -> Result<String, Fault> {
    let whole = path.to_str().map(str::to_owned);
    whole.ok_or_else(|| Fault::call(format!("{}: a study can only store paths that are text", path.display())))
}

impl From<WeightsError> for Fault {
    fn from(why: WeightsError) -> Self {
        match why {
            // A file that is not there was named wrongly.
            WeightsError::Io { action: "open", .. } => Self::call(why),
            WeightsError::Io { .. }
            | WeightsError::Changed { .. }
            | WeightsError::Overflow { .. }
            | WeightsError::Evaluation { .. }
            | WeightsError::Interrupted => Self::work(why),
            _ => Self::call(why),
        }
    }
}
