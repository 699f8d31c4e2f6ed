//! Networks on pictures and text: the recipes `mlp`, `cnn`, `resnet`, `vit`, `char-gpt`, `char-qlstm`, `char-lstm` and
//! `text-classifier`. Every training is a run that reports its figures, can be pruned, goes on from its last checkpoint when its worker died, and leaves a model.
//!
//! The protocol: what the source holds back for the test, else 20 % drawn by seed, is never seen by tuning; of the rest
//! 20 % judge a configuration. With `score_on = test` the network learns from all of the rest and is judged on what was
//! held back. A text is cut at its end instead: the last tenth is the test, the tenth before it the validation.
//!
//! Cost of a trial: one training.

pub(crate) mod activations;
mod apply;
mod class;
mod language;
pub(crate) mod minilm;
mod pictures;
pub(crate) mod plain;
mod predicted;
pub(crate) mod quantize;
pub(crate) mod soup;
mod space;
mod statistics;
mod texts;

pub use apply::{Applied, Trained, made_by};
pub use class::{Stopped, Sweep, Throughput, Timing, sweep, throughput};
pub use kilter_nn::quantize::LearnConfig;
pub use quantize::{LearnedLayer, Rounding, exponents, learn_codes};
pub use soup::{LearnedSoup, learn_soup};
pub(crate) use statistics::measured;
pub use statistics::{Statistic, running_statistics, statistics};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilter_nn::context::Context;
use kilter_nn::model::{Encoder, TextClassifier};
use kilter_nn::op::is_host;
use kilter_nn::optim::{AdafactorConfig, AdamConfig, LionConfig, MuonConfig, NAdamConfig, Optimizer, SgdConfig};
use kilter_nn::params::{Params, Role};
use kilter_nn::schedule::{Ending, Fall, Schedule, Shape};
use kilter_nn::train::{
    CheckpointError, Group, Memory, Precision, StepReport, Task, TrainConfig, TrainError, Training, device, previous,
    save_weights,
};
use kilter_nn::{Device, Tensor};
use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Halt, Outline, Walk};
use kilter_study::{Failure, Flow, Metric, Outcome, Recipe, Run, Why};
use serde::{Deserialize, Serialize};

/// The file that a training leaves in its trial's folder.
pub const MODEL: &str = "model.safetensors";

/// The file that a training leaves beside it, if it is asked to, for others to start from.
pub const TRAINING: &str = "training.safetensors";

/// The recipe that takes a table of texts.
pub const TEXT_CLASSIFIER: &str = "text-classifier";

/// The answer that names the training to start from.
pub const START_FROM: &str = "start_from";

/// Metadata of a model file: the recipe that made it.
const RECIPE: &str = "kilter.recipe";
/// Metadata of a model file: the configuration that made it.
const CONFIG: &str = "kilter.config";
/// Metadata of a model file: what it is fed.
const INPUT: &str = "kilter.input";

/// What a network is fed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// Pictures of classes.
    Pictures {
        /// Colours, height, width.
        shape: [usize; 3],
        /// The brightest pixel, which becomes 1.
        peak: u8,
        /// How many classes.
        classes: usize,
    },
    /// Characters of text.
    Characters {
        /// All that there are, in order.
        characters: String,
    },
    /// Texts of classes.
    Texts {
        /// What reads them.
        encoder: Encoder,
        /// The classes.
        names: Vec<String>,
        /// Its `tokenizer.json`.
        tokenizer: String,
    },
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mlp,
    Cnn,
    ResNet,
    Vit,
    CharGpt,
    CharQuasiLstm,
    CharLstm,
    TextClassifier,
}

impl Kind {
    /// Does it learn from text?
    fn writes(self) -> bool {
        matches!(self, Self::CharGpt | Self::CharQuasiLstm | Self::CharLstm)
    }
}

struct Named {
    name: &'static str,
    about: &'static str,
    kind: Kind,
}

const NAMED: &[Named] = &[
    Named {
        name: "mlp",
        about: "a multilayer perceptron on pictures: --data digits, a set or a folder",
        kind: Kind::Mlp,
    },
    Named {
        name: "cnn",
        about: "a convolutional network on pictures: --data digits, a set or a folder",
        kind: Kind::Cnn,
    },
    Named {
        name: "resnet",
        about: "a residual network on pictures: --data digits, a set or a folder",
        kind: Kind::ResNet,
    },
    Named {
        name: "vit",
        about: "a transformer on the patches of pictures: --data digits, a set or a folder",
        kind: Kind::Vit,
    },
    Named {
        name: "char-gpt",
        about: "a transformer that continues text, character by character: --data FILE",
        kind: Kind::CharGpt,
    },
    Named {
        name: "char-qlstm",
        about: "a quasi-LSTM that continues text: recurrent, and as quick to train as a transformer: --data FILE",
        kind: Kind::CharQuasiLstm,
    },
    Named {
        name: "char-lstm",
        about: "an LSTM that continues text, character by character: --data FILE",
        kind: Kind::CharLstm,
    },
    Named {
        name: TEXT_CLASSIFIER,
        about: "an encoder, fresh or pretrained, that tells texts apart: --data FILE.csv --target COLUMN",
        kind: Kind::TextClassifier,
    },
];

/// The names of all recipes of networks.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|named| named.name)
}

/// A recipe of a network.
pub struct Network {
    named: &'static Named,
    outline: Outline,
    metrics: Vec<Metric>,
    facts: Vec<String>,
}

impl Network {
    /// The recipe of this name about the data in the binary.
    pub fn new(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|named| named.name == name)?;
        let (outline, metrics) = match named.kind {
            kind if kind.writes() => (space::language(kind, "penelope"), language::metrics()),
            Kind::TextClassifier => (space::texts("sentence-polarity", "label"), crate::tabular::class_metrics(2)),
            kind => (space::pictures(kind, [1, 8, 8], "digits"), pictures::metrics(10)),
        };
        // The space is a constant of this room; a test walks it.
        let outline = outline.unwrap_or_else(|why| unreachable!("the space of {name}: {why}"));
        Some(Self { named, outline, metrics, facts: Vec::new() })
    }

    /// The recipe of this name about other data, which is read; see [`Network::about`].
    ///
    /// # Errors
    /// There is no such recipe, or the data cannot be read; says what would be right.
    pub fn on(name: &str, data: &str) -> Result<Self, Failure> {
        Self::about(name, data, None)
    }

    /// The recipe of this name about other data, which is read; `target` is the column of the classes, where it is a
    /// table.
    ///
    /// # Errors
    /// There is no such recipe, or the data cannot be read; says what would be right.
    pub fn about(name: &str, data: &str, target: Option<&str>) -> Result<Self, Failure> {
        let named = NAMED.iter().find(|named| named.name == name);
        let named = named.ok_or_else(|| Failure::refused(format!("there is no network `{name}`")))?;
        let (outline, metrics, facts) = match named.kind {
            kind if kind.writes() => {
                let books = kilter_data::books(data).map_err(Failure::refused)?;
                let texts = || books.iter().map(|book| book.text.as_str());
                let (count, kinds) =
                    (texts().map(|text| text.chars().count()).sum::<usize>(), language::characters(texts()));
                let of = if books.len() > 1 { format!(" in {} books", books.len()) } else { String::new() };
                let fact = format!("text {data}: {count} characters of {} kinds{of}", kinds.len());
                (space::language(kind, data)?, language::metrics(), vec![fact])
            }
            Kind::TextClassifier => {
                let texts = kilter_data::labelled_texts(data, target).map_err(Failure::refused)?;
                if texts.names.len() < 2 {
                    return Err(Failure::refused(format!("{data}: say where the classes are, as in --target label")));
                }
                let tests = texts.held_out.len();
                let fact = format!(
                    "texts {data}: {}{}, {} classes",
                    texts.texts.len() - tests,
                    if tests > 0 { format!(" to learn from, {tests} to test") } else { String::new() },
                    texts.names.len()
                );
                let facts = std::iter::once(fact).chain(texts.notes.iter().cloned()).collect();
                let metrics = crate::tabular::class_metrics(texts.names.len());
                (space::texts(data, target.unwrap_or_default())?, metrics, facts)
            }
            kind => {
                let images = kilter_data::images(data).map_err(Failure::refused)?;
                let [colours, height, width] = images.shape;
                let fact = format!(
                    "pictures {data}: {} to learn from{}, {height}x{width}, {colours} colour{}, {} classes",
                    images.train.labels.len(),
                    images.test.as_ref().map_or(String::new(), |test| format!(", {} to test", test.labels.len())),
                    if colours == 1 { "" } else { "s" },
                    images.classes()
                );
                let facts = std::iter::once(fact).chain(images.notes.iter().cloned()).collect();
                (space::pictures(kind, images.shape, data)?, pictures::metrics(images.classes()), facts)
            }
        };
        Ok(Self { named, outline, metrics, facts })
    }

    /// What was seen on reading the data, a line each.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }
}

impl Walk for Network {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for Network {
    fn name(&self) -> &str {
        self.named.name
    }

    fn about(&self) -> &str {
        self.named.about
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn holdout(&self) -> Option<(&'static str, kilter_space::Value)> {
        Some(("score_on", "test".into()))
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        match self.named.kind {
            kind if kind.writes() => {
                let task = language::Writing::open(kind, config)?;
                let steps = class::steps(config, &task, run)?;
                train(self.name(), config, &task, steps, (steps / 10).max(1), run)
            }
            kind => {
                let task: Box<dyn Subject> = match kind {
                    Kind::TextClassifier => Box::new(texts::Reading::open(config, None)?),
                    kind => Box::new(pictures::Sorting::open(kind, config)?),
                };
                let batch = whole(config, "batch")?.max(1);
                let epoch = (task.examples() as u64).div_ceil(batch);
                let epochs = run.fidelity().map_or(whole(config, "epochs")?, |epochs| epochs.round() as u64).max(1);
                train(self.name(), config, &*task, epochs * epoch, epoch, run)
            }
        }
    }
}

/// Which examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those that are learnt from.
    Learn,
    /// Those that judge.
    Judge,
}

/// A network with its data, as the adapter below wants it.
pub(crate) trait Subject: Task {
    /// Fresh weights.
    fn init(&self, stream: &Stream, device: &Device) -> Result<Params, Failure>;

    /// The network.
    fn network(&self) -> &dyn kilter_nn::model::Network;

    /// Numbers that a forward pass keeps of one example for the backward pass, about.
    fn activations(&self) -> u64 {
        self.network().activations()
    }

    /// What a model of it is fed.
    fn input(&self) -> Result<Input, Failure>;

    /// Tokens of an example, where it is text.
    fn tokens(&self) -> Option<u64> {
        None
    }

    /// How many examples there are: pictures, or windows of text.
    fn count(&self, part: Part) -> usize;

    /// Logits of some examples, `[rows, classes]`, and each row's class.
    fn logits(
        &self,
        part: Part,
        params: &Params,
        examples: &[usize],
        context: &mut Context<'_>,
    ) -> (Tensor<2>, Arc<[i64]>);

    /// All metrics of these weights on the examples that judge, each pass as `pass` makes it.
    fn judge<'a>(
        &self,
        params: &Params,
        pass: &dyn Fn() -> Context<'a>,
    ) -> Result<BTreeMap<&'static str, f64>, Failure>;
}

/// The one adapter between the trainer and a run.
fn train(
    name: &str,
    config: &Config,
    task: &dyn Subject,
    steps: u64,
    evaluate_every: u64,
    run: &mut Run,
) -> Result<Outcome, Failure> {
    let device = device(config.text("device")?).map_err(Failure::refused)?;
    let chance = Stream::new(&[config.int("split_seed")?.unsigned_abs(), run.repeat()], "network");
    let settings = settings(config, task.tokens(), steps, evaluate_every, chance.child("training").bits())?;
    if let (true, Some(free)) = (is_host(&device), kilter_meter::available_bytes()) {
        Memory::of(&task.network().specs(), task.activations(), &settings).fits(free).map_err(Failure::refused)?;
    }
    let params = task.init(&chance.child("weights"), &device)?;
    let place = run.folder().join(format!("training-{}.safetensors", run.repeat()));
    let json = |value: serde_json::Result<String>| value.map_err(|why| Failure::refused(why.to_string()));
    let metadata = BTreeMap::from([
        (RECIPE.to_owned(), name.to_owned()),
        (CONFIG.to_owned(), json(serde_json::to_string(config))?),
        (INPUT.to_owned(), json(serde_json::to_string(&task.input()?))?),
    ]);
    let begun = match config.get(START_FROM) {
        Some(_) => continued(Path::new(config.text(START_FROM)?), settings, params.clone(), config)?,
        None => Training::new(settings, params.clone()).map_err(Failure::refused)?,
    };
    let before = begun.steps_done();
    let mut training = resumed_or(begun, &params, &place, run)?.with_notes(metadata.clone());
    let pace = (steps / 100).max(1);
    let mut interrupted = false;
    let ended = training.run(task, Some(&place), &mut |report: &StepReport| {
        let step = report.step - before;
        if step.is_multiple_of(pace) || step == steps {
            run.progress(step, steps);
        }
        let flow = match &report.evaluated {
            Some(figures) => run.report(step.div_ceil(evaluate_every) - 1, figures),
            None if step.is_multiple_of(pace) => run.flow(),
            None => Flow::Go,
        };
        interrupted = flow == Flow::Stop(Why::Interrupted);
        flow == Flow::Go
    });
    ended.map_err(Failure::refused)?;
    if interrupted {
        return Err(Failure::refused(format!("interrupted; {} holds the training", place.display())));
    }
    let result = training.result();
    save_weights(&result, &run.folder().join(MODEL), &metadata).map_err(Failure::refused)?;
    let outcome = task.judge(&result, &Context::evaluation)?;
    if config.get("keep_training").is_some() && config.flag("keep_training")? {
        std::fs::rename(&place, run.folder().join(TRAINING)).map_err(|why| Failure::unwritable(&place, &why))?;
    } else {
        // The model is there, so the training need not be gone on with.
        let _ = std::fs::remove_file(&place);
    }
    let _ = std::fs::remove_file(previous(&place));
    Ok(Outcome::new(outcome))
}

/// The training that a file holds, if it is this one; this one, if there is no file.
fn resumed_or(begun: Training, params: &Params, place: &Path, run: &mut Run) -> Result<Training, Failure> {
    if !place.exists() {
        return Ok(begun);
    }
    let (training, damage) = Training::resume_newest(place, params)
        .map_err(|why| Failure::refused(format!("{why}; delete {} to begin anew", place.display())))?;
    if let Some(why) = damage {
        run.remark(format!("{why}; going on from the checkpoint before it, of step {}", training.steps_done()));
    }
    if training.config() == begun.config() {
        return Ok(training);
    }
    Err(Failure::refused(format!(
        "{} holds a training with other settings; delete it, or write the model elsewhere",
        place.display()
    )))
}

/// The training of a file over `settings.steps` more steps, in which its rate falls from what it was there.
fn continued(file: &Path, settings: TrainConfig, params: Params, config: &Config) -> Result<Training, Failure> {
    let of_file = |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", file.display()));
    let stands = Training::resume(file, params, None).map_err(|why| match why {
        TrainError::Checkpoint(why @ CheckpointError::NoTraining { .. }) => {
            Failure::refused(format!("{why}; a training leaves one with --set keep_training=true"))
        }
        why => Failure::refused(why),
    })?;
    let told = stands.config();
    let same = (&told.optimizer, told.batch, told.carry, told.average)
        == (&settings.optimizer, settings.batch, settings.carry, settings.average);
    if !same {
        return Err(of_file(&"it was trained with another optimizer, batch, carry or average; leave out what differs"));
    }
    let shape = config.text("decay_shape")?;
    let fall = Fall::ALL.into_iter().find(|fall| fall.name() == shape).unwrap_or_default();
    let decaying = stands.ending_in(settings.steps, fall).map_err(|why| of_file(&why))?;
    Ok(decaying.every(settings.evaluate_every, settings.checkpoint_every, settings.patience))
}

fn whole(config: &Config, name: &str) -> Result<u64, Failure> {
    u64::try_from(config.int(name)?).map_err(|_| Failure::refused(format!("`{name}` must not be negative")))
}

fn size(config: &Config, name: &str) -> Result<usize, Failure> {
    Ok(whole(config, name)? as usize)
}

/// How a configuration trains; `tokens` of each example, where it is text.
fn settings(
    config: &Config,
    tokens: Option<u64>,
    steps: u64,
    evaluate_every: u64,
    seed: u64,
) -> Result<TrainConfig, Failure> {
    let weight_decay = config.float("weight_decay")?;
    let optimizer = match config.text("optimizer")? {
        "sgd" => {
            let momentum = config.float("momentum")?;
            Optimizer::Sgd(SgdConfig { momentum, nesterov: momentum > 0.0, weight_decay })
        }
        "adam" => Optimizer::Adam(AdamConfig { weight_decay, ..AdamConfig::default() }),
        "adamw" => Optimizer::Adam(AdamConfig { weight_decay, decoupled: true, ..AdamConfig::default() }),
        "nadam" => Optimizer::NAdam(NAdamConfig { weight_decay, ..NAdamConfig::default() }),
        "adafactor" => Optimizer::Adafactor(AdafactorConfig { weight_decay, ..AdafactorConfig::default() }),
        "lion" => Optimizer::Lion(LionConfig { weight_decay, ..LionConfig::default() }),
        "muon" => Optimizer::Muon(MuonConfig { weight_decay, ..MuonConfig::default() }),
        other => return Err(Failure::refused(format!("there is no optimizer `{other}`"))),
    };
    let mut groups = Group::usual();
    if config.get("encoder_rate").is_some() {
        let name = format!("{}.", TextClassifier::ENCODER);
        let learning_rate = config.float("encoder_rate")?;
        groups.push(Group { name: name.clone(), role: None, learning_rate, weight_decay: 1.0 });
        groups.push(Group { name, role: Some(Role::Vector), learning_rate, weight_decay: 0.0 });
    }
    let batch = size(config, "batch")?;
    let (learning_rate, schedule) = schedule(config, batch as u64 * tokens.unwrap_or(1), steps)?;
    let positive = |name: &str| config.float(name).map(|value| (value > 0.0).then_some(value));
    Ok(TrainConfig {
        steps,
        batch,
        accumulation: size(config, "accumulation")?,
        learning_rate,
        schedule,
        optimizer,
        groups,
        // Configurations of older studies have no such setting.
        sam: if config.get("sam.rho").is_some() { positive("sam.rho")? } else { None },
        precision: precision(config)?,
        clip: positive("clip")?,
        average: positive("average")?,
        evaluate_every,
        patience: whole(config, "patience")?,
        checkpoint_every: whole(config, "checkpoint_every")?,
        carry: config.get("carry").map_or(Ok(false), |_| config.flag("carry"))?,
        seed,
    })
}

/// What passes compute with.
fn precision(config: &Config) -> Result<Precision, Failure> {
    // Configurations of older studies have no such setting.
    let name = config.get("precision").map_or(Ok(Precision::F32.name()), |_| config.text("precision"))?;
    let precision = Precision::ALL.into_iter().find(|precision| precision.name() == name);
    let precision = precision.ok_or_else(|| Failure::refused(format!("there is no precision `{name}`")))?;
    if precision != Precision::F32 && config.text("device")? == "cpu" {
        return Err(Failure::refused(format!(
            "precision={name} gains nothing on the CPU, which computes it by way of f32: leave it at f32, or set device=cuda"
        )));
    }
    Ok(precision)
}

/// The peak rate, and how the rate moves over steps of so many tokens.
fn schedule(config: &Config, step_tokens: u64, steps: u64) -> Result<(f64, Schedule), Failure> {
    let kind = config.text("schedule")?;
    let warmup = (config.float("warmup")? * steps as f64).round();
    let (peak, shape) = match kind {
        "power" => {
            // min(eta_max, a · batch · n^b) after n tokens is eta_max up to where the power passes it, and falls from there.
            let (b, eta_max) = (config.float("b")?, config.float("eta_max")?);
            let batch = step_tokens as f64 / config.float("batch_unit_tokens")?;
            let reach = (eta_max / (config.float("a")? * batch)).powf(1.0 / b) / step_tokens as f64;
            (eta_max, Shape::Power { reach, exponent: b })
        }
        other => (
            config.float("learning_rate")?,
            match other {
                "constant" | "wsd" => Shape::Constant,
                "linear" => Shape::Linear { floor: 0.0 },
                "cosine" => Shape::Cosine { floor: 0.0 },
                other => return Err(Failure::refused(format!("there is no schedule `{other}`"))),
            },
        ),
    };
    let ending = match kind {
        "wsd" | "power" => {
            let length = (config.float("decay")? * steps as f64).round().min(steps as f64 - warmup);
            let shape = config.text("decay_shape")?;
            let fall = Fall::ALL.into_iter().find(|fall| fall.name() == shape);
            let fall = fall.ok_or_else(|| Failure::refused(format!("there is no decay `{shape}`")))?;
            (length > 0.0).then_some(Ending { start: steps as f64 - length, length, fall })
        }
        _ => None,
    };
    Ok((peak, Schedule { warmup, shape, ending }))
}
