//! A model that a training left, put to use.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_data::{Pictures, Texts};
use kilter_nn::context::Context;
use kilter_nn::graph::Graph;
use kilter_nn::model;
use kilter_nn::params::Params;
use kilter_nn::train::{device, load_weights};
use kilter_numerics::Stream;
use kilter_space::{Config, Name, Value};
use kilter_study::Failure;
use kilter_weights::Checkpoint;
use serde::de::DeserializeOwned;

use super::activations::Activations;
use super::language::{self, Model};
use super::pictures::{Sorter, Sorting};
use super::texts::{Reader, Reading, relabelled};
use super::{CONFIG, INPUT, Input, Kind, NAMED, RECIPE, Subject, predicted};

/// A trained network.
#[derive(Debug)]
pub struct Trained {
    kind: Kind,
    recipe: String,
    config: Config,
    input: Input,
    params: Params,
    /// How its linear layers are fed, if not with floats.
    activations: Option<Activations>,
}

/// What a model says of examples of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Probabilities, `[examples, classes]`.
    pub probabilities: Vec<f64>,
    /// The classes' names.
    pub names: Vec<String>,
    /// The examples' own classes, where they are known.
    pub labels: Option<Vec<u8>>,
    /// How well the one predicts the other.
    pub metrics: BTreeMap<&'static str, f64>,
    /// Are examples among them that the model learnt from?
    pub learnt_from: bool,
    /// The examples, if they are texts.
    pub texts: Vec<String>,
}

/// What the metadata of a model file says under this name.
fn told<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Failure> {
    let text = told_text(path, what)?;
    serde_json::from_str(&text).map_err(|why| Failure::refused(format!("{}: its `{what}`: {why}", path.display())))
}

fn told_text(path: &Path, what: &str) -> Result<String, Failure> {
    let file = Checkpoint::open(path).map_err(Failure::refused)?;
    file.metadata().get(what).cloned().ok_or_else(|| {
        Failure::refused(format!(
            "{} says nothing of how it was made (its metadata has no `{what}`); models that `kilter train` leaves do",
            path.display()
        ))
    })
}

/// The recipe and the configuration that made a model, or a training to start from.
///
/// # Errors
/// It cannot be read, or was made by something else.
pub fn made_by(path: &Path) -> Result<(String, Config), Failure> {
    Ok((told_text(path, RECIPE)?, told(path, CONFIG)?))
}

/// Shows `look` the network that a configuration describes for what it is fed.
fn with_network<T>(
    kind: Kind,
    config: &Config,
    input: &Input,
    look: impl FnOnce(&dyn model::Network) -> T,
) -> Result<T, Failure> {
    Ok(match input {
        Input::Characters { characters } => look(Model::of(kind, config, characters.chars().count())?.network()),
        Input::Pictures { .. } => look(sorter(kind, config, input)?.network()),
        Input::Texts { .. } => look(Reader::of(input, config)?.network()),
    })
}

impl Trained {
    /// Reads a model file; which network it holds is in its metadata.
    ///
    /// # Errors
    /// It cannot be read, was made by something else, or lacks a tensor; says what would be right.
    pub fn open(path: &Path, on: &str) -> Result<Self, Failure> {
        let (recipe, config) = made_by(path)?;
        let named = NAMED.iter().find(|named| named.name == recipe);
        let kind = named.ok_or_else(|| Failure::refused(format!("this build has no network `{recipe}`")))?.kind;
        let input: Input = told(path, INPUT)?;
        let device = device(on).map_err(Failure::refused)?;
        let chance = Stream::new(&[0], "weights");
        let like = with_network(kind, &config, &input, |network| network.init(&chance, &device))?;
        let params = load_weights(&like, path).map_err(Failure::refused)?.detached();
        let activations = Activations::of(path, &params)?;
        Ok(Self { kind, recipe, config, input, params, activations })
    }

    /// What its network computes on one example, see [`Graph`].
    ///
    /// # Errors
    /// Its configuration describes none.
    pub fn graph(&self) -> Result<Graph, Failure> {
        with_network(self.kind, &self.config, &self.input, |network| network.graph())
    }

    /// How many numbers it learnt.
    pub fn learned(&self) -> usize {
        self.params.learned()
    }

    /// An evaluation pass as its file wants it.
    fn pass(&self) -> Context<'_> {
        self.activations.as_ref().map_or_else(Context::evaluation, Activations::pass)
    }

    /// Its weights.
    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    /// Its network with the examples that it learnt from and those that judged it.
    pub(super) fn judged_by(&self) -> Result<Box<dyn Subject>, Failure> {
        if self.config.text("score_on")? == "test" {
            return Err(Failure::refused(
                "it was trained on all but the test examples, which must not choose anything; train with score_on=validation",
            ));
        }
        self.subject(None)
    }

    /// Its network with examples: its own, or others of the same kind.
    pub(crate) fn subject(&self, data: Option<&str>) -> Result<Box<dyn Subject>, Failure> {
        let data = data.map(|data| ("data", data.into()));
        self.subject_with(data.as_slice())
    }

    /// The same with some answers of its configuration exchanged.
    pub(super) fn subject_with(&self, exchanged: &[(&str, Value)]) -> Result<Box<dyn Subject>, Failure> {
        let answer = |(name, value): &(Name, Value)| {
            let other = exchanged.iter().find(|(other, _)| name.as_str() == *other);
            (name.clone(), other.map_or_else(|| value.clone(), |(_, value)| value.clone()))
        };
        let config = Config::new(self.config.answers().iter().map(answer).collect());
        Ok(match self.kind {
            kind if kind.writes() => Box::new(language::Writing::open(kind, &config)?),
            Kind::TextClassifier => Box::new(Reading::open(&config, Some(&self.input))?),
            kind => Box::new(Sorting::open(kind, &config)?),
        })
    }

    /// Its recipe's metrics on the examples that judged it: never those that are held out for the test.
    ///
    /// # Errors
    /// The examples cannot be read, or it learnt from them.
    pub fn validate(&self) -> Result<BTreeMap<&'static str, f64>, Failure> {
        self.judged_by()?.judge(&self.params, &|| self.pass())
    }

    /// The recipe that made it.
    pub fn recipe(&self) -> &str {
        &self.recipe
    }

    /// The configuration that made it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it is fed.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// What it says of the pictures of a set or a folder, or of the texts of a table: those to test where there are some,
    /// else all.
    ///
    /// # Errors
    /// It writes text, or the examples cannot be read or are of another kind or size.
    pub fn sort(&self, data: &str) -> Result<Applied, Failure> {
        if let Input::Texts { .. } = self.input {
            return self.read(data);
        }
        let Input::Pictures { shape, classes, .. } = self.input else {
            return Err(Failure::refused(format!(
                "a `{}` continues text: give it a beginning with --prompt instead of --data",
                self.recipe
            )));
        };
        let images = kilter_data::images(data).map_err(Failure::refused)?;
        if images.shape != shape {
            return Err(Failure::refused(format!(
                "the pictures of {data} are {}x{} with {} colours, and this model was made for {}x{} with {}",
                images.shape[1], images.shape[2], images.shape[0], shape[1], shape[2], shape[0]
            )));
        }
        if images.classes() > classes {
            return Err(Failure::refused(format!(
                "{data} has {} classes, and this model knows {classes}",
                images.classes()
            )));
        }
        let learnt_from = images.test.is_none() && self.config.text("data").is_ok_and(|own| own == data);
        let pictures: Pictures = images.test.unwrap_or(images.train);
        let sorter = sorter(self.kind, &self.config, &self.input)?;
        let rows: Vec<usize> = (0..pictures.labels.len()).collect();
        let probabilities = sorter.probabilities(&self.params, &pictures, &rows, &|| self.pass());
        let metrics = sorter.judge(&pictures.labels, &probabilities)?;
        let (names, labels) = (sorter.names(), Some(pictures.labels));
        Ok(Applied { probabilities, names, labels, metrics, learnt_from, texts: Vec::new() })
    }

    /// What it says of the texts of a table, whose classes need not be known.
    fn read(&self, data: &str) -> Result<Applied, Failure> {
        let target = self.config.text("target")?;
        // Without its target, a table has texts all the same.
        let target = (!target.is_empty()).then_some(target);
        let known = kilter_data::labelled_texts(data, target).or_else(|_| kilter_data::labelled_texts(data, None));
        let Texts { name, mut texts, labels, names, held_out, .. } = known.map_err(Failure::refused)?;
        let reader = Reader::of(&self.input, &self.config)?;
        let mut labels = match names.len() {
            0 => None,
            _ => Some(relabelled(&name, &labels, &names, reader.names())?),
        };
        let learnt_from = held_out.is_empty() && self.config.text("data").is_ok_and(|own| own == data);
        if !held_out.is_empty() {
            texts = held_out.iter().map(|&row| std::mem::take(&mut texts[row])).collect();
            labels = labels.map(|labels| held_out.iter().map(|&row| labels[row]).collect());
        }
        self.classify(texts, labels, learnt_from)
    }

    /// What it says of one text.
    ///
    /// # Errors
    /// It reads no texts.
    pub fn read_one(&self, text: &str) -> Result<Applied, Failure> {
        self.classify(vec![text.to_owned()], None, false)
    }

    fn classify(&self, texts: Vec<String>, labels: Option<Vec<u8>>, learnt_from: bool) -> Result<Applied, Failure> {
        let reader = Reader::of(&self.input, &self.config)?;
        let tokens = reader.tokens(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        let probabilities = reader.probabilities(&self.params, &tokens, &|| self.pass());
        let names = reader.names().to_vec();
        let metrics = match &labels {
            Some(labels) => predicted::judge(&names, labels, &probabilities)?,
            None => BTreeMap::new(),
        };
        Ok(Applied { probabilities, names, labels, metrics, learnt_from, texts })
    }

    /// `length` characters after `prompt`.
    ///
    /// # Errors
    /// It sorts pictures, or never saw a character of the prompt.
    pub fn write(&self, prompt: &str, length: usize, temperature: f64, seed: u64) -> Result<String, Failure> {
        let Input::Characters { characters } = &self.input else {
            return Err(Failure::refused(format!("a `{}` writes no text: name examples with --data", self.recipe)));
        };
        let characters: Vec<char> = characters.chars().collect();
        let model = Model::of(self.kind, &self.config, characters.len())?;
        let mut stream = Stream::new(&[seed], "characters");
        let choose = |logits: &[f64]| language::draw(logits, temperature, stream.uniform());
        language::write(&model, &self.params, &|| self.pass(), &characters, prompt, length, choose)
    }
}

fn sorter(kind: Kind, config: &Config, input: &Input) -> Result<Sorter, Failure> {
    match *input {
        Input::Pictures { shape, peak, classes } => Sorter::of(kind, config, shape, peak, classes),
        Input::Characters { .. } | Input::Texts { .. } => Err(Failure::refused("this model sees no pictures")),
    }
}
