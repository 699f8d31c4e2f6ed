//! Networks that tell texts of classes apart: an encoder, fresh or pretrained, the mean of its tokens' vectors, a linear
//! layer (Reimers and Gurevych, *Sentence-BERT*, 2019, section 3, the classification of single texts).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kilter_data::catalogue::Place;
use kilter_data::split::stratified_split;
use kilter_data::{Shelves, Texts, labelled_texts};
use kilter_nn::Device;
use kilter_nn::Tensor;
use kilter_nn::context::Context;
use kilter_nn::model::{Encoder, Network, Pooling, TextClassifier};
use kilter_nn::op::cross_entropy;
use kilter_nn::params::Params;
use kilter_nn::pretrained;
use kilter_nn::tokens::{Tokenizer, Tokens};
use kilter_nn::train::Task;
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::Failure;

use super::{Input, Part, Subject, predicted, size};

/// The encoder that is not pretrained.
pub const SMALL: &str = "small";

/// Shares of the examples that are held back, and of the rest that judge.
const HELD_BACK: f64 = 0.2;

/// Texts per evaluation pass.
const PASS: usize = 64;

/// The folder of a pretrained encoder: a model of the catalogue, or a folder.
pub fn folder_of(encoder: &str) -> Result<PathBuf, Failure> {
    let Some(set) = kilter_data::catalogue::find(encoder) else {
        let folder = PathBuf::from(encoder);
        if folder.is_dir() {
            return Ok(folder);
        }
        return Err(Failure::refused(format!(
            "there is no encoder `{encoder}`: {SMALL}, a model of `kilter data list --kind models`, or a folder with \
             config.json, model.safetensors and tokenizer.json"
        )));
    };
    let shelves = Shelves::from_environment().map_err(Failure::refused)?;
    match shelves.place(set) {
        Place::Folder(folder) => Ok(folder),
        _ => Err(Failure::refused(format!("`{encoder}` is not here: {}", set.how(&shelves)))),
    }
}

/// A network that reads, and how texts become its tokens.
pub struct Reader {
    model: TextClassifier,
    tokenizer: Tokenizer,
    names: Vec<String>,
}

impl Reader {
    /// As a model file tells it.
    pub fn of(input: &Input, config: &Config) -> Result<Self, Failure> {
        let Input::Texts { encoder, names, tokenizer } = input else {
            return Err(Failure::refused("this model reads no texts"));
        };
        let tokenizer = Tokenizer::parse(tokenizer).map_err(Failure::refused)?;
        tokenizer.fits(encoder.vocabulary).map_err(Failure::refused)?;
        Self::new(encoder.clone(), tokenizer, names.clone(), config)
    }

    /// For texts to learn from, of these classes: with a vocabulary of its own, or as a pretrained encoder wants it.
    fn for_texts(texts: &[&str], names: Vec<String>, config: &Config) -> Result<Self, Failure> {
        match config.text("encoder")? {
            SMALL => {
                let tokenizer = Tokenizer::learn(texts.iter().copied(), size(config, "vocabulary")?);
                let tokenizer = tokenizer.map_err(Failure::refused)?;
                let width = size(config, "width")?;
                let encoder = Encoder {
                    vocabulary: tokenizer.vocabulary(),
                    positions: size(config, "length")?,
                    segments: 1,
                    width,
                    layers: size(config, "layers")?,
                    heads: size(config, "heads")?,
                    hidden: 4 * width,
                    epsilon: 1e-5,
                    dropout: 0.0,
                };
                Self::new(encoder, tokenizer, names, config)
            }
            pretrained => {
                let folder = folder_of(pretrained)?;
                let encoder = pretrained::describe(&folder).map_err(Failure::refused)?;
                let tokenizer = Tokenizer::open(&folder.join("tokenizer.json")).map_err(Failure::refused)?;
                tokenizer.fits(encoder.vocabulary).map_err(Failure::refused)?;
                Self::new(encoder, tokenizer, names, config)
            }
        }
    }

    fn new(encoder: Encoder, tokenizer: Tokenizer, names: Vec<String>, config: &Config) -> Result<Self, Failure> {
        let tokenizer = tokenizer.truncated(size(config, "length")?.min(encoder.positions));
        let encoder = Encoder { dropout: config.float("dropout")?, ..encoder };
        let model = TextClassifier { encoder, pooling: Pooling::Mean, classes: names.len() };
        model.check().map_err(Failure::refused)?;
        Ok(Self { model, tokenizer, names })
    }

    /// The network.
    pub fn network(&self) -> &dyn Network {
        &self.model
    }

    /// The classes' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The tokens of each text.
    pub fn tokens(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, Failure> {
        self.tokenizer.encode(texts).map_err(Failure::refused)
    }

    /// Probabilities of texts, `[texts, classes]`, in their order.
    pub fn probabilities<'a>(&self, params: &Params, tokens: &[Vec<u32>], pass: &dyn Fn() -> Context<'a>) -> Vec<f64> {
        let (params, classes) = (params.detached(), self.names.len());
        // Texts of like length stand together, so that little is padded.
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&at| tokens[at].len());
        let mut all = vec![0.0; tokens.len() * classes];
        for part in order.chunks(PASS) {
            let texts = Tokens::padded(part.iter().map(|&at| &tokens[at][..]));
            let logits = self.model.forward(&params, &texts, &mut pass());
            let logits: Vec<f64> = kilter_nn::params::numbers(&logits);
            let rows: Vec<f64> = predicted::softmax(&logits, classes).collect();
            for (&at, row) in part.iter().zip(rows.chunks(classes)) {
                all[at * classes..(at + 1) * classes].copy_from_slice(row);
            }
        }
        all
    }
}

/// Texts as tokens, and their classes.
struct Read {
    tokens: Vec<Vec<u32>>,
    labels: Vec<u8>,
}

/// A network that learns to tell texts apart, some of which judge it.
pub struct Reading {
    reader: Reader,
    /// Where the encoder's first weights are.
    pretrained: Option<PathBuf>,
    learn: Read,
    judge: Read,
}

impl Reading {
    /// The network of a configuration, or the one that a model file tells of.
    pub fn open(config: &Config, made: Option<&Input>) -> Result<Self, Failure> {
        let target = config.text("target")?;
        let Texts { name, texts, labels, names, held_out, .. } =
            labelled_texts(config.text("data")?, (!target.is_empty()).then_some(target)).map_err(Failure::refused)?;
        if names.len() < 2 {
            return Err(Failure::refused(format!(
                "{name}: say where the classes are, as in --target label; there must be two at least to be told apart"
            )));
        }
        let seed = config.int("split_seed")?.unsigned_abs();
        let (learn, judge) = parts(&labels, held_out, seed, config.text("score_on")? == "test")?;
        let of = |rows: &[usize]| -> Vec<&str> { rows.iter().map(|&row| texts[row].as_str()).collect() };
        let (reader, pretrained, labels) = match made {
            None => {
                let encoder = config.text("encoder")?;
                let pretrained = if encoder == SMALL { None } else { Some(folder_of(encoder)?) };
                (Reader::for_texts(&of(&learn), names, config)?, pretrained, labels)
            }
            Some(input) => {
                let reader = Reader::of(input, config)?;
                let labels = relabelled(&name, &labels, &names, reader.names())?;
                (reader, None, labels)
            }
        };
        let read = |rows: &[usize]| -> Result<Read, Failure> {
            let labels = rows.iter().map(|&row| labels[row]).collect();
            Ok(Read { tokens: reader.tokens(&of(rows))?, labels })
        };
        let (learn, judge) = (read(&learn)?, read(&judge)?);
        Ok(Self { reader, pretrained, learn, judge })
    }

    fn part(&self, part: Part) -> &Read {
        match part {
            Part::Learn => &self.learn,
            Part::Judge => &self.judge,
        }
    }
}

/// Classes of `names` as those of `known`, by name.
pub fn relabelled(data: &str, labels: &[u8], names: &[String], known: &[String]) -> Result<Vec<u8>, Failure> {
    let places: Vec<u8> = names
        .iter()
        .map(|name| {
            let place = known.iter().position(|other| other == name).ok_or_else(|| {
                Failure::refused(format!("{data} has a class {name:?}, and the model knows {}", known.join(", ")))
            })?;
            Ok(place as u8)
        })
        .collect::<Result<_, Failure>>()?;
    Ok(labels.iter().map(|&label| places[usize::from(label)]).collect())
}

/// The rows to learn from and those that judge.
fn parts(labels: &[u8], held_out: Vec<usize>, seed: u64, on_test: bool) -> Result<(Vec<usize>, Vec<usize>), Failure> {
    let halves = |rows: Vec<usize>, seed: u64| -> Result<(Vec<usize>, Vec<usize>), Failure> {
        let of_rows: Vec<u8> = rows.iter().map(|&row| labels[row]).collect();
        let split = stratified_split(&of_rows, HELD_BACK, seed).map_err(Failure::refused)?;
        let of = |places: Vec<usize>| places.into_iter().map(|at| rows[at]).collect();
        Ok((of(split.train), of(split.test)))
    };
    let (rest, held_back) = match held_out.is_empty() {
        true => halves((0..labels.len()).collect(), seed)?,
        false => ((0..labels.len()).filter(|row| held_out.binary_search(row).is_err()).collect(), held_out),
    };
    if on_test { Ok((rest, held_back)) } else { halves(rest, seed.wrapping_add(1)) }
}

impl Task for Reading {
    fn examples(&self) -> usize {
        self.learn.labels.len()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let (logits, classes) = self.logits(Part::Learn, params, examples, context);
        cross_entropy(logits, classes, 0.0)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        let judged = self.judge(params, &Context::evaluation).unwrap_or_default();
        ["log_loss", "accuracy"].into_iter().filter_map(|name| Some((name, *judged.get(name)?))).collect()
    }
}

impl Subject for Reading {
    fn init(&self, stream: &Stream, device: &Device) -> Result<Params, Failure> {
        let fresh = self.reader.model.init(stream, device);
        match &self.pretrained {
            None => Ok(fresh),
            Some(folder) => pretrained::load_bert(&fresh, TextClassifier::ENCODER, folder).map_err(Failure::refused),
        }
    }

    fn network(&self) -> &dyn Network {
        self.reader.network()
    }

    fn activations(&self) -> u64 {
        // Texts are cut, so that most positions stay empty.
        let longest = self.learn.tokens.iter().map(Vec::len).max().unwrap_or(1);
        Encoder { positions: longest, ..self.reader.model.encoder.clone() }.activations()
    }

    fn input(&self) -> Result<Input, Failure> {
        let tokenizer = self.reader.tokenizer.json().map_err(Failure::refused)?;
        let names = self.reader.names.clone();
        Ok(Input::Texts { encoder: self.reader.model.encoder.clone(), names, tokenizer })
    }

    fn count(&self, part: Part) -> usize {
        self.part(part).labels.len()
    }

    fn logits(
        &self,
        part: Part,
        params: &Params,
        examples: &[usize],
        context: &mut Context<'_>,
    ) -> (Tensor<2>, Arc<[i64]>) {
        let read = self.part(part);
        let texts = Tokens::padded(examples.iter().map(|&row| &read.tokens[row][..]));
        let classes = examples.iter().map(|&row| i64::from(read.labels[row])).collect();
        (self.reader.model.forward(params, &texts, context), classes)
    }

    fn judge<'a>(
        &self,
        params: &Params,
        pass: &dyn Fn() -> Context<'a>,
    ) -> Result<BTreeMap<&'static str, f64>, Failure> {
        let probabilities = self.reader.probabilities(params, &self.judge.tokens, pass);
        predicted::judge(&self.reader.names, &self.judge.labels, &probabilities)
    }
}
