//! `kilter train`: a recipe run once; what it leaves is a model.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kilter_recipes::{About, Subject, network};
use kilter_space::{Config, Defaults, Domain, Value, nearest};
use kilter_study::{Flow, Recipe, Run, RunPort, Why};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::args::InStorage;
use crate::fault::{Fault, INTERRUPTED};
use crate::look::best_or;
use crate::pairs::setting;
use crate::place::Place;
use crate::session::quoted;
use crate::style::{Voice, duration, short, sparkline};
use crate::subject::data_path;
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "A training that was interrupted or killed goes on from its last checkpoint when the same command is given \
                  again.\n\nWhat --set keep_training=true leaves beside the model can be ended from where\nit stands: over \
                  --set steps=N more the rate falls, all else is as it was.\n\nExamples:\n  kilter train cnn --data digits -o \
                  digits.safetensors\n  kilter train char-gpt --data book.txt --set steps=2000\n  kilter train text-classifier --data \
                  reviews.csv --target label\n  kilter train cnn --from \
                  cnn-2 -o best.safetensors\n  kilter train char-gpt --set schedule=power --set keep_training=true\n  kilter \
                  train char-gpt --start-from char-gpt.training.safetensors \\\n      --set steps=100 -o done.safetensors"
)]
pub struct Train {
    /// The recipe to run (`kilter recipes` lists them)
    #[arg(value_name = "RECIPE")]
    pub recipe: String,
    /// The examples: a name of `kilter data list`, a file or a folder [default: the recipe's own]
    #[arg(long, value_name = "FILE or NAME")]
    pub data: Option<String>,
    /// The column to be predicted, of a table
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Fix this hyperparameter or setting (repeatable); the others have their defaults
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Take the best configuration of this study, or that trial's
    #[arg(long, value_name = "STUDY[:TRIAL]")]
    pub from: Option<String>,
    /// End this training, as another left it: its configuration, its weights, a falling rate
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub start_from: Option<PathBuf>,
    /// Chance: which examples are held out, the first weights, the order
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Where it is computed: cpu, or in builds that have it cuda
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// The model file to write [default: RECIPE.safetensors]
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter train`
pub fn train(args: &Train, voice: &Voice) -> Result<ExitCode, Fault> {
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", args.recipe)));
    if out.is_dir() {
        return Err(Fault::call(format!("--out {} is a folder; name the file to write", out.display())));
    }
    let (About { recipe, facts, .. }, config) = what(args)?;
    let workshop = Workshop::enter(&out, &*recipe, &config)?;
    for fact in facts {
        voice.remark(&fact);
    }
    if workshop.goes_on {
        voice.remark(&format!("going on with the training in {}", workshop.folder.display()));
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, interrupted.clone()).map_err(Fault::work)?;
    }
    let watch = Watch::new(voice, interrupted.clone());
    let (bar, curve) = (watch.bar.clone(), watch.curve.clone());
    let began = Instant::now();
    let mut run = Run::new(Box::new(watch), args.seed.unwrap_or(0), 0, 0, workshop.folder.clone());
    let outcome = recipe.run(&config, &mut run);
    bar.finish_and_clear();
    if interrupted.load(Ordering::Relaxed) {
        voice.remark(&format!(
            "interrupted; what was trained is kept in {}. Go on with the same command.",
            workshop.folder.display()
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    for said in run.remarks() {
        voice.remark(said);
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => {
            workshop.leave_if_empty();
            return Err(Fault::work(why));
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let (model, training) = workshop.leave(&out)?;
    if voice.json {
        voice.document(&json!({
            "recipe": recipe.name(), "params": config, "metrics": outcome.metrics, "model": model,
            "training": training, "wall_seconds": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let curve = curve.lock().map(|curve| curve.clone()).unwrap_or_default();
    if curve.len() > 2 && !voice.quiet {
        voice.say(&format!("validation  {}", sparkline(&curve, 60)))?;
    }
    let known = recipe.metrics().iter().filter_map(|metric| Some((&metric.name, outcome.metrics.get(&metric.name)?)));
    let rows = known.map(|(name, value)| vec![name.clone(), short(*value)]).collect();
    voice.say(&table(&["metric".to_owned(), "value".to_owned()], rows))?;
    match &model {
        Some(model) => {
            voice.say(&format!("{} in {}", model.display(), duration(seconds)))?;
            let what = if recipe.name().starts_with("char-") { "--prompt 'Once '" } else { "--data FILE" };
            voice.remark(&format!("use it with:\n  kilter apply {} {what}", quoted(&model.display().to_string())));
            if let Some(training) = &training {
                let training = quoted(&training.display().to_string());
                voice
                    .remark(&format!("end it from here with:\n  kilter train {} --start-from {training}", args.recipe));
            }
        }
        None => voice.remark(&format!("`{}` leaves no model that could be written, only its scores", recipe.name())),
    }
    Ok(ExitCode::SUCCESS)
}

/// The recipe, with what was seen on reading its data, and the configuration.
fn what(args: &Train) -> Result<(About, Config), Fault> {
    let name = args.recipe.as_str();
    let Some(known) = kilter_recipes::find(name) else {
        let all = kilter_recipes::recipes();
        let near = nearest(name, all.iter().map(|recipe| recipe.name()));
        let advice = near.map_or("`kilter recipes` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Fault::call(format!("there is no recipe `{name}`; {advice}")));
    };
    let mut set = args.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    if args.data.is_none() && args.target.is_some() {
        return Err(Fault::call("--target names a column of a table; name the table with --data FILE"));
    }
    let start = args.start_from.as_deref().map(|file| made_by(name, file)).transpose()?;
    let learnt = start.as_ref().and_then(|config| config.text("data").ok());
    let elsewhere = learnt.filter(|data| kilter_data::embedded(data).is_none());
    let about = match args.data.as_deref().or(elsewhere) {
        None => About { recipe: known, subject: Subject::default(), facts: Vec::new() },
        Some(data) => {
            let subject = Subject { data: data_path(data), target: args.target.clone(), ..Subject::default() };
            kilter_recipes::on(name, subject, &set).map_err(Fault::call)?
        }
    };
    let outline = about.recipe.outline().ok_or_else(|| Fault::call(format!("`{name}` declares no space")))?;
    let mut unless_set = |name: &str, value: Value| {
        if outline.entry(name).is_ok() && !set.iter().any(|(other, _)| other == name) {
            set.push((name.to_owned(), value));
        }
    };
    if let Some(seed) = args.seed {
        let seed = i64::try_from(seed).map_err(|_| Fault::call(format!("--seed {seed} is too large")))?;
        unless_set("split_seed", Value::Int(seed));
    }
    if let Some(device) = &args.device {
        unless_set("device", device.as_str().into());
    }
    if let Some(from) = &args.from {
        for (name, value) in best_or(from, &Place::open(&args.storage)?)?.answers() {
            // The data are those of this call.
            if name.as_str() != "data" || args.data.is_none() {
                unless_set(name.as_str(), value.clone());
            }
        }
    }
    let mut declared = outline.clone();
    if let (Some(start), Some(file)) = (start, &args.start_from) {
        for (name, value) in start.answers() {
            let how_long = ["steps", "epochs", "class_hours", "tokens_per_second", "keep_training", "data"];
            if !how_long.contains(&name.as_str()) && name.as_str() != network::START_FROM {
                unless_set(name.as_str(), value.clone());
            }
        }
        let file = data_path(&file.to_string_lossy());
        declared = declared.with(network::START_FROM, Domain::Fixed(file.as_str().into())).map_err(Fault::call)?;
    }
    let outline = declared.specialise(&set, &[]).map_err(Fault::call)?;
    let config = Defaults::config(&outline).map_err(Fault::call)?;
    Ok((about, config))
}

/// The configuration of a training to start from, which must be of this recipe.
fn made_by(recipe: &str, file: &Path) -> Result<Config, Fault> {
    if !file.is_file() {
        return Err(Fault::call(format!("--start-from {}: there is no such file", file.display())));
    }
    let (made, config) = network::made_by(file).map_err(|why| Fault::call(format!("--start-from {why}")))?;
    match made == recipe {
        true => Ok(config),
        false => Err(Fault::call(format!("--start-from {}: it is a `{made}`, no `{recipe}`", file.display()))),
    }
}

/// The folder beside the model where a training keeps what it needs to go on.
struct Workshop {
    folder: PathBuf,
    goes_on: bool,
    /// Locked as long as somebody trains here.
    _door: File,
}

impl Workshop {
    fn enter(out: &Path, recipe: &dyn Recipe, config: &Config) -> Result<Self, Fault> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".training");
        let folder = out.with_file_name(name);
        let cannot = |why: std::io::Error| Fault::call(format!("cannot train in {}: {why}", folder.display()));
        fs::create_dir_all(&folder).map_err(cannot)?;
        let door = File::create(folder.join("lock")).map_err(cannot)?;
        match door.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::call(format!(
                    "another process trains {} at this moment; wait for it, or give another --out",
                    out.display()
                )));
            }
            Err(TryLockError::Error(why)) => return Err(cannot(why)),
        }
        let asked = serde_json::to_string_pretty(&json!({ "recipe": recipe.name(), "params": config }));
        let asked = asked.map_err(Fault::work)?;
        let note = folder.join("training.json");
        let goes_on = match fs::read_to_string(&note) {
            Ok(before) if before == asked => true,
            Ok(_) => {
                return Err(Fault::call(format!(
                    "{} holds an unfinished training with other settings ({}); delete it, or give another --out",
                    folder.display(),
                    note.display()
                )));
            }
            Err(_) => false,
        };
        if !goes_on {
            // Whole or not at all: a note cut short would refuse the next call.
            let part = folder.join("training.json.part");
            fs::write(&part, asked).and_then(|()| fs::rename(&part, &note)).map_err(cannot)?;
        }
        Ok(Self { folder, goes_on, _door: door })
    }

    /// Clears the folder away if nothing was trained in it: what was refused is not gone on with.
    fn leave_if_empty(self) {
        let trained = |entry: fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "safetensors");
        if fs::read_dir(&self.folder).is_ok_and(|mut entries| !entries.any(|entry| entry.is_ok_and(trained))) {
            // Where that cannot be, the next call says what is in the way.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// Puts the model, and what can be started from, in their place and clears the folder away; the paths of what there
    /// is.
    fn leave(self, out: &Path) -> Result<(Option<PathBuf>, Option<PathBuf>), Fault> {
        let moved = |name: &str, to: &Path| -> Result<Option<PathBuf>, Fault> {
            let from = self.folder.join(name);
            if !from.is_file() {
                return Ok(None);
            }
            fs::rename(&from, to).map_err(|why| Fault::work(format!("cannot write {}: {why}", to.display())))?;
            Ok(Some(to.to_owned()))
        };
        let training = moved(network::TRAINING, &out.with_extension("training.safetensors"))?;
        let model = moved(network::MODEL, out)?;
        fs::remove_dir_all(&self.folder).map_err(Fault::work)?;
        Ok((model, training))
    }
}

/// Shows how a training goes.
struct Watch {
    voice: Voice,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    /// The first figure of every report.
    curve: Arc<std::sync::Mutex<Vec<f64>>>,
    said: Option<Instant>,
    figures: String,
}

/// In a pipe, a line at most this often.
const PACE: Duration = Duration::from_secs(3);

impl Watch {
    fn new(voice: &Voice, interrupted: Arc<AtomicBool>) -> Self {
        let target = match voice.terminal && !voice.quiet {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is a constant of this file.
        if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {pos}/{len} steps  eta {eta}  {wide_msg}") {
            bar.set_style(style.progress_chars("━━╌"));
        }
        Self { voice: *voice, bar, interrupted, curve: Arc::default(), said: None, figures: String::new() }
    }
}

impl RunPort for Watch {
    fn report(&mut self, step: u64, metrics: &[(&str, f64)]) -> Flow {
        let figures: BTreeMap<_, _> = metrics.iter().copied().collect();
        let figures: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        self.figures = figures.join("  ");
        self.bar.set_message(self.figures.clone());
        if let (Some((_, value)), Ok(mut curve)) = (metrics.first(), self.curve.lock()) {
            curve.push(*value);
        }
        if !self.voice.terminal && self.said.is_none_or(|said| said.elapsed() >= PACE) {
            self.said = Some(Instant::now());
            self.voice.remark(&format!("evaluation {}  {}", step + 1, self.figures));
        }
        self.flow()
    }

    fn progress(&mut self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    fn flow(&mut self) -> Flow {
        if self.interrupted.load(Ordering::Relaxed) { Flow::Stop(Why::Interrupted) } else { Flow::Go }
    }
}
