//! A network that continues text, character by character.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kilter_data::Book;
use kilter_laws::compute_class::{Window, windows};
use kilter_nn::context::{Context, States};
use kilter_nn::model::{Gpt, LstmLanguageModel, Network, QuasiLstmLanguageModel};
use kilter_nn::op::{IGNORED, cross_entropy};
use kilter_nn::params::Params;
use kilter_nn::train::{Task, Training};
use kilter_nn::{Device, Tensor};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::{Better, Failure, Metric};

use super::{Input, Kind, Part, Subject, size};

/// Share of a text that is its validation, and as much again its test; of several books, whole ones.
const HELD_BACK: f64 = 0.1;

/// Contexts of targets that judge, at most: on long texts those at the beginning of the held-out part.
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

/// The characters of texts, each once, in order.
pub fn characters<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<char> {
    texts.flat_map(str::chars).collect::<BTreeSet<char>>().into_iter().collect()
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

/// A text as numbers of its characters: two bytes each, since a library of books has many.
type Text = Vec<u16>;

/// A network that learns to continue a text.
pub struct Writing {
    model: Model,
    characters: Vec<char>,
    learn: Text,
    judge: Text,
    /// What judges is scored in these windows.
    windows: Vec<Window>,
    /// Do recurrent layers go on, in training and in judgement, with the state that they had before a window?
    carry: bool,
}

impl Writing {
    pub fn open(kind: Kind, config: &Config) -> Result<Self, Failure> {
        let data = config.text("data")?;
        let books = kilter_data::books(data).map_err(Failure::refused)?;
        let characters = characters(books.iter().map(|book| book.text.as_str()));
        let place: HashMap<char, u16> = characters.iter().zip(0..).map(|(&c, i)| (c, i)).collect();
        let tokens = |book: &Book| -> Text { book.text.chars().filter_map(|c| place.get(&c).copied()).collect() };
        let tokens: Vec<Text> = books.iter().map(tokens).collect();
        let model = Model::of(kind, config, characters.len())?;
        let context = model.context();
        let on_test = config.text("score_on")? == "test";
        let (learn, judge) = parts(&tokens, on_test);
        // Configurations of older studies have no such settings.
        let setting = |name: &str| config.get(name).map_or(Ok(0), |_| size(config, name));
        let last = match setting("last_n")? {
            0 => context,
            last => last,
        };
        let windows = windows(judge.len(), context, last).map_err(Failure::refused)?;
        let windows: Vec<Window> = windows.take(JUDGES * context / last).collect();
        let least = context + 1;
        if windows.is_empty() || learn.len() < least {
            return Err(Failure::refused(format!(
                "{data}: {} characters are too few for a context of {context}: what is held back, a tenth or whole books, \
                 must be {least} characters at least; set a smaller context, or bring more text",
                tokens.iter().map(Vec::len).sum::<usize>(),
            )));
        }
        let carry = config.get("carry").map_or(Ok(false), |_| config.flag("carry"))?;
        Ok(Self { model, characters, learn, judge, windows, carry })
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

    fn part(&self, part: Part) -> &[u16] {
        match part {
            Part::Learn => &self.learn,
            Part::Judge => &self.judge,
        }
    }

    /// The mean loss of the characters after each of these stretches' own, in nats, of those that `scored` wants: by the
    /// place of the target.
    fn loss_of(
        &self,
        params: &Params,
        text: &[u16],
        stretches: &[std::ops::Range<usize>],
        scored: impl Fn(usize, usize) -> bool,
        context: &mut Context<'_>,
    ) -> Tensor<1> {
        let inputs = stretches.iter().flat_map(|stretch| &text[stretch.clone()]).map(|&c| i64::from(c)).collect();
        let target = |(row, at): (usize, usize)| if scored(row, at) { i64::from(text[at]) } else { IGNORED };
        let places = stretches.iter().enumerate();
        let targets =
            places.flat_map(|(row, s)| (s.start + 1..s.end + 1).map(move |at| (row, at))).map(target).collect();
        let logits = self.model.forward(params, inputs, stretches.len(), context);
        cross_entropy(logits, targets, 0.0)
    }

    /// The mean loss of a training's weights as they stand.
    pub fn loss_of_result(&self, training: &Training) -> f64 {
        let loss = self.mean_loss(&training.result(), &Context::evaluation);
        if loss.is_finite() { loss } else { f64::INFINITY }
    }

    /// The mean loss of all targets that are scored. Windows without a state are judged side by side; a state is carried
    /// from window to window in as many streams, each of which reads one whole window first.
    fn mean_loss<'a>(&self, params: &Params, pass: &dyn Fn() -> Context<'a>) -> f64 {
        let params = params.detached();
        let mut sum = 0.0;
        let last = self.windows.first().map_or(1, |window| window.scored_targets[1] - window.scored_targets[0]);
        let mut score = |stretches: &[std::ops::Range<usize>], states: States| {
            let mut context = pass().carrying(states);
            let wanted = |row: usize, at: usize| at + last > stretches[row].end;
            let loss = self.loss_of(&params, &self.judge, stretches, wanted, &mut context);
            sum += kilter_nn::params::numbers(&loss)[0] * (stretches.len() * last) as f64;
            context.states()
        };
        let whole = |window: &Window| window.input[0]..window.input[1];
        // The end of a stretch is the last target; its last input is before that.
        let (streams, left) = if self.carry && self.windows.len() > 1 {
            let streams = PASS.min(self.windows.len() / 2).max(1);
            self.windows.split_at(self.windows.len() / streams * streams)
        } else {
            self.windows.split_at(0)
        };
        if !streams.is_empty() {
            let count = PASS.min(self.windows.len() / 2).max(1);
            let each = streams.len() / count;
            let mut states = States::new();
            for k in 0..each {
                let of = |stream: usize| {
                    let window = &streams[stream * each + k];
                    if k == 0 { whole(window) } else { window.input[1] - last..window.input[1] }
                };
                states = score(&(0..count).map(of).collect::<Vec<_>>(), states);
            }
        }
        for windows in left.chunks(PASS) {
            score(&windows.iter().map(whole).collect::<Vec<_>>(), States::new());
        }
        sum / (self.windows.len() * last) as f64
    }
}

/// What to learn from and what judges: of one text its end, of several whole books.
fn parts(books: &[Text], on_test: bool) -> (Text, Text) {
    if let [only] = books {
        let tenth = (only.len() as f64 * HELD_BACK) as usize;
        let (held_back, validation) = (only.len() - tenth, only.len() - 2 * tenth);
        return match on_test {
            true => (only[..held_back].to_vec(), only[held_back..].to_vec()),
            false => (only[..validation].to_vec(), only[validation..held_back].to_vec()),
        };
    }
    let tenth = ((books.len() as f64 * HELD_BACK) as usize).max(1);
    let (held_back, validation) = (books.len() - tenth, books.len().saturating_sub(2 * tenth));
    match on_test {
        true => (books[..held_back].concat(), books[held_back..].concat()),
        false => (books[..validation].concat(), books[validation..held_back].concat()),
    }
}

impl Task for Writing {
    fn examples(&self) -> usize {
        (self.learn.len() - 1) / self.model.context()
    }

    fn loss(&self, params: &Params, examples: &[usize], context: &mut Context<'_>) -> Tensor<1> {
        let length = self.model.context();
        let stretches: Vec<_> = examples.iter().map(|at| at * length..(at + 1) * length).collect();
        self.loss_of(params, &self.learn, &stretches, |_, _| true, context)
    }

    fn evaluate(&self, params: &Params) -> Vec<(&'static str, f64)> {
        vec![("loss", self.mean_loss(params, &Context::evaluation))]
    }
}

impl Subject for Writing {
    fn init(&self, stream: &Stream, device: &Device) -> Result<Params, Failure> {
        Ok(self.model.network().init(stream, device))
    }

    fn network(&self) -> &dyn Network {
        self.model.network()
    }

    fn input(&self) -> Result<Input, Failure> {
        Ok(Input::Characters { characters: self.characters.iter().collect() })
    }

    fn count(&self, part: Part) -> usize {
        let windows = (self.part(part).len() - 1) / self.context();
        if part == Part::Judge { windows.min(JUDGES) } else { windows }
    }

    fn logits(
        &self,
        part: Part,
        params: &Params,
        examples: &[usize],
        context: &mut Context<'_>,
    ) -> (Tensor<2>, Arc<[i64]>) {
        let (text, length) = (self.part(part), self.model.context());
        let of = |shift: usize| -> Arc<[i64]> {
            let stretches = examples.iter().map(|w| w * length + shift..(w + 1) * length + shift);
            stretches.flat_map(|stretch| &text[stretch]).map(|&c| i64::from(c)).collect()
        };
        (self.model.forward(params, of(0), examples.len(), context), of(1))
    }

    fn tokens(&self) -> Option<u64> {
        Some(self.context() as u64)
    }

    fn judge<'a>(
        &self,
        params: &Params,
        pass: &dyn Fn() -> Context<'a>,
    ) -> Result<BTreeMap<&'static str, f64>, Failure> {
        let loss = self.mean_loss(params, pass);
        // Per byte of text, so that it compares whatever the tokens are.
        let first = self.windows.first().map_or(0, |window| window.scored_targets[0]);
        let end = self.windows.last().map_or(0, |window| window.scored_targets[1]);
        let bytes = |token: &u16| self.characters.get(usize::from(*token)).map_or(1, |c| c.len_utf8());
        let (judged, bytes) = (end - first, self.judge[first..end].iter().map(bytes).sum::<usize>());
        Ok(BTreeMap::from([
            ("loss", loss),
            ("bits_per_character", loss / std::f64::consts::LN_2),
            ("normalised_perplexity", (loss * judged as f64 / bytes as f64).exp()),
        ]))
    }
}

/// `length` characters after `prompt`; `choose` picks one by their logits.
pub fn write<'a>(
    model: &Model,
    params: &Params,
    pass: &dyn Fn() -> Context<'a>,
    characters: &[char],
    prompt: &str,
    length: usize,
    mut choose: impl FnMut(&[f64]) -> usize,
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
        let logits = model.forward(params, seen, 1, &mut pass());
        let logits = kilter_nn::params::numbers(&logits);
        let next = choose(&logits[(rows - 1) * characters.len()..]);
        tokens.push(next as i64);
        written.push(characters[next]);
    }
    Ok(written)
}

/// The class that a number from 0 to 1 falls on, probabilities sharpened by a temperature below 1; at 0 the likeliest.
pub fn draw(logits: &[f64], temperature: f64, chance: f64) -> usize {
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
