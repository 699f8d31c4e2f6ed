//! A network that continues text, character by character.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kilter_nn::context::Context;
use kilter_nn::model::{Gpt, LstmLanguageModel, Network, QuasiLstmLanguageModel};
use kilter_nn::op::cross_entropy;
use kilter_nn::params::Params;
use kilter_nn::train::Task;
use kilter_nn::{Device, Tensor};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::{Better, Failure, Metric};

use super::{Input, Kind, Subject, size};

/// Share of a text that is its validation, and as much again its test.
const HELD_BACK: f64 = 0.1;

/// Windows that judge, at most: on long texts those at the beginning of the held-out part.
const JUDGES: usize = 1024;

/// Windows per evaluation pass.
const PASS: usize = 32;

/// What a training on text gives.
pub fn metrics() -> Vec<Metric> {
    vec![
        Metric::new("loss", Better::Lower),
        Metric::new("bits_per_character", Better::Lower),
        Metric::new("normalised_perplexity", Better::Lower),
    ]
}

/// The characters of a text, each once, in order.
pub fn characters(text: &str) -> Vec<char> {
    text.chars().collect::<BTreeSet<char>>().into_iter().collect()
}

/// A network that gives each next character's logits.
#[derive(Clone, Debug)]
pub enum Model {
    Gpt(Gpt),
    QuasiLstm(QuasiLstmLanguageModel),
    Lstm(LstmLanguageModel),
}

impl Model {
    /// The network of a configuration over so many kinds of characters.
    pub fn of(kind: Kind, config: &Config, vocabulary: usize) -> Result<Self, Failure> {
        let (context, width, layers) = (size(config, "context")?, size(config, "width")?, size(config, "layers")?);
        let dropout = config.float("dropout")?;
        let model = match kind {
            Kind::CharQuasiLstm => {
                // The paper's sixteen steps at once, or fewer where the context is no multiple.
                let block = [16, 8, 4, 2].into_iter().find(|block| context.is_multiple_of(*block)).unwrap_or(1);
                Self::QuasiLstm(QuasiLstmLanguageModel { vocabulary, context, width, layers, block, dropout })
            }
            Kind::CharLstm => Self::Lstm(LstmLanguageModel { vocabulary, context, width, layers, dropout }),
            _ => Self::Gpt(Gpt { vocabulary, context, width, layers, heads: size(config, "heads")?, dropout }),
        };
        model.network().check().map_err(Failure::refused)?;
        Ok(model)
    }

    pub fn network(&self) -> &dyn Network {
        match self {
            Self::Gpt(model) => model,
            Self::QuasiLstm(model) => model,
            Self::Lstm(model) => model,
        }
    }

    /// Tokens seen at a time.
    pub fn context(&self) -> usize {
        match self {
            Self::Gpt(model) => model.context,
            Self::QuasiLstm(model) => model.context,
            Self::Lstm(model) => model.context,
        }
    }

    /// Logits `[batch · length, vocabulary]` of each next token.
    pub fn forward(&self, params: &Params, tokens: Arc<[i64]>, batch: usize, context: &mut Context<'_>) -> Tensor<2> {
        match self {
            Self::Gpt(model) => model.forward(params, tokens, batch, context),
            Self::QuasiLstm(model) => model.forward(params, tokens, batch, context),
            Self::Lstm(model) => model.forward(params, tokens, batch, context),
        }
    }
}

/// A network that learns to continue a text.
pub struct Writing {
    model: Model,
    characters: Vec<char>,
    learn: Vec<i64>,
    judge: Vec<i64>,
}

impl Writing {
    pub fn open(kind: Kind, config: &Config) -> Result<Self, Failure> {
        let data = config.text("data")?;
        let text = kilter_data::text(data).map_err(Failure::refused)?;
        let characters = characters(&text);
        let place: HashMap<char, i64> = characters.iter().zip(0..).map(|(&c, i)| (c, i)).collect();
        let tokens: Vec<i64> = text.chars().filter_map(|c| place.get(&c).copied()).collect();
        let model = Model::of(kind, config, characters.len())?;
        let context = model.context();
        let tenth = (tokens.len() as f64 * HELD_BACK) as usize;
        let least = context + 1;
        if tenth < least {
            return Err(Failure::refused(format!(
                "{data}: {} characters are too few for a context of {}: a tenth is held back, which must be {least} \
                 characters at least; set a smaller context, or bring more text",
                tokens.len(),
                context
            )));
        }
        let (held_back, validation) = (tokens.len() - tenth, tokens.len() - 2 * tenth);
        let (learn, judge) = match config.text("score_on")? {
            "test" => (tokens[..held_back].to_vec(), tokens[held_back..].to_vec()),
            _ => (tokens[..validation].to_vec(), tokens[validation..held_back].to_vec()),
        };
        Ok(Self { model, characters, learn, judge })
    }

    /// Characters seen at a time.
    pub fn context(&self) -> usize {
        self.model.context()
    }

    /// Numbers in the table of characters.
    pub fn embedding(&self) -> usize {
        let table = self.model.network().specs().into_iter().find(|spec| spec.name == "tokens.weight");
        table.map_or(0, |spec| spec.count())
    }

    /// The mean loss of the characters after each of these windows' own, in nats.
    fn loss_of(&self, params: &Params, text: &[i64], windows: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let length = self.model.context();
        let of = |shift: usize| -> Arc<[i64]> {
            windows.iter().flat_map(|&w| &text[w * length + shift..(w + 1) * length + shift]).copied().collect()
        };
        let logits = self.model.forward(params, of(0), windows.len(), context);
        cross_entropy(logits, of(1), 0.0)
    }

    fn windows(&self, text: &[i64]) -> usize {
        (text.len() - 1) / self.model.context()
    }

    fn mean_loss(&self, params: &Params) -> f64 {
        let params = params.detached();
        let windows: Vec<usize> = (0..self.windows(&self.judge).min(JUDGES)).collect();
        let of = |windows: &[usize]| {
            let loss = self.loss_of(&params, &self.judge, windows, &mut Context::evaluation());
            kilter_nn::params::numbers(&loss)[0] * windows.len() as f64
        };
        windows.chunks(PASS).map(of).sum::<f64>() / windows.len() as f64
    }
}

impl Task for Writing {
    fn examples(&self) -> usize {
        self.windows(&self.learn)
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        self.loss_of(params, &self.learn, examples, context)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        vec![("loss", self.mean_loss(params))]
    }
}

impl Subject for Writing {
    fn init(&self, stream: &Stream, device: &Device) -> Result<Params, Failure> {
        Ok(self.model.network().init(stream, device))
    }

    fn input(&self) -> Input {
        Input::Characters { characters: self.characters.iter().collect() }
    }

    fn judge(&self, params: &Params) -> Result<BTreeMap<&'static str, f64>, Failure> {
        let loss = self.mean_loss(params);
        // Per byte of text, so that it compares whatever the tokens are.
        let judged = self.windows(&self.judge).min(JUDGES) * self.context();
        let bytes = |token: &i64| self.characters.get(*token as usize).map_or(1, |c| c.len_utf8());
        let bytes: usize = self.judge[1..=judged].iter().map(bytes).sum();
        Ok(BTreeMap::from([
            ("loss", loss),
            ("bits_per_character", loss / std::f64::consts::LN_2),
            ("normalised_perplexity", (loss * judged as f64 / bytes as f64).exp()),
        ]))
    }
}

/// `length` characters after `prompt`, each drawn from the network's probabilities, sharpened by a temperature below 1.
pub fn write(
    model: &Model,
    params: &Params,
    characters: &[char],
    prompt: &str,
    length: usize,
    temperature: f64,
    mut stream: Stream,
) -> Result<String, Failure> {
    let place = |c: char| characters.binary_search(&c).map(|at| at as i64);
    let unknown = prompt.chars().find(|&c| place(c).is_err());
    if let Some(unknown) = unknown {
        return Err(Failure::refused(format!("the prompt holds {unknown:?}, which the model never saw")));
    }
    let mut tokens: Vec<i64> = prompt.chars().filter_map(|c| place(c).ok()).collect();
    if tokens.is_empty() {
        tokens.push(place('\n').unwrap_or(0));
    }
    let mut written = String::new();
    for _ in 0..length {
        let seen: Arc<[i64]> = tokens[tokens.len().saturating_sub(model.context())..].into();
        let rows = seen.len();
        let logits = model.forward(params, seen, 1, &mut Context::evaluation());
        let logits = kilter_nn::params::numbers(&logits);
        let last = &logits[(rows - 1) * characters.len()..];
        let next = draw(last, temperature, stream.uniform());
        tokens.push(next as i64);
        written.push(characters[next]);
    }
    Ok(written)
}

/// The class that a number from 0 to 1 falls on; at temperature 0 the likeliest.
fn draw(logits: &[f64], temperature: f64, chance: f64) -> usize {
    let top = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
    if temperature == 0.0 {
        return top;
    }
    let weight = |logit: &f64| ((logit - logits[top]) / temperature).exp();
    let mut rest = chance * logits.iter().map(weight).sum::<f64>();
    logits
        .iter()
        .position(|logit| {
            rest -= weight(logit);
            rest < 0.0
        })
        .unwrap_or(top)
}
