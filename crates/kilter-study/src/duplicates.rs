//! Questions asked twice: what a study does with a proposal that it has made before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use kilter_numerics::Stream;
use kilter_space::{Config, Count, Outline, Random, Value};
use serde::{Deserialize, Serialize};

use crate::event::{Change, Event, Opened};
use crate::history::{History, Row, State};

/// What becomes of a proposal that was asked before. Enqueued trials, repeats and continued trials are always run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// It is proposed again. A finite space is never asked the same twice and ends when it is used up; in an infinite one
    /// the sampler has some tries.
    #[default]
    Avoid,
    /// It ends at once with the value that the earlier trial had, and says which one it copies. What has no value yet is
    /// run.
    Reuse,
    /// It is run.
    Allow,
}

/// How often a sampler may propose anew before something else is done.
pub(crate) const TRIES: u64 = 8;

/// Random configurations are new with probability 1/2 at least where this many fail once in 10^19 asks.
const DRAWS: usize = 64;

/// Which trials asked a question: by a hash of it, since a history holds the questions already.
#[derive(Default)]
pub(crate) struct Questions {
    by_hash: HashMap<u64, Vec<u64>>,
}

impl Questions {
    /// Takes what is new; `history` includes it.
    pub(crate) fn observe(&mut self, new: &[Event], history: &History) {
        for event in new {
            if let (Change::Opened(_) | Change::Queued(_) | Change::Answered(_), Some(number)) =
                (&event.change, event.number)
                && let Some(row) = history.get(number)
            {
                let trials = self.by_hash.entry(hash(row.config(), row.opened.fidelity)).or_default();
                if !trials.contains(&number) {
                    trials.push(number);
                }
            }
        }
    }

    /// The trials that asked this, the earliest first.
    fn trials<'a>(
        &'a self,
        config: &'a Config,
        fidelity: Option<f64>,
        history: &'a History,
    ) -> impl Iterator<Item = &'a Row> {
        let numbers = self.by_hash.get(&hash(config, fidelity)).into_iter().flatten();
        numbers
            .filter_map(|&number| history.get(number))
            .filter(move |row| row.config() == config && row.opened.fidelity == fidelity)
    }

    pub(crate) fn has(&self, config: &Config, fidelity: Option<f64>, history: &History) -> bool {
        self.trials(config, fidelity, history).next().is_some()
    }

    /// The trial that has a value for this; never a copy.
    pub(crate) fn original(&self, config: &Config, fidelity: Option<f64>, history: &History) -> Option<u64> {
        let known = self.trials(config, fidelity, history).find(|row| row.state == State::Complete)?;
        Some(known.opened.copy_of.unwrap_or(known.number))
    }

    /// A configuration of a finite space that was never asked, any of them as likely as any other; nothing, if there is
    /// none left.
    pub(crate) fn unasked(&self, outline: &Outline, history: &History, mut stream: Stream) -> Unasked {
        let Ok(Count::Exact(count) | Count::AtMost(count)) = outline.count() else { return Unasked::Unknown };
        if history.len() as u128 * 2 < count {
            for draw in 0..DRAWS {
                let mut chooser = Random::new(stream.child(&format!("draw {draw}")));
                if let Ok(config) = chooser.config(outline)
                    && !self.has(&config, None, history)
                {
                    return Unasked::One(config);
                }
            }
        }
        // Hardly more than there are trials; or there are far more, but the draws hit old ones only.
        let Ok(configs) = outline.configs() else { return Unasked::Unknown };
        let mut chosen = None;
        let (mut seen, mut all) = (0, 0_u64);
        for config in configs {
            all += 1;
            if !self.has(&config, None, history) {
                seen += 1;
                if stream.below(seen) == 0 {
                    chosen = Some(config);
                }
            }
        }
        chosen.map_or(Unasked::None(all), Unasked::One)
    }

    /// How many configurations a finite space has, if each of them has a value.
    pub(crate) fn all_known(&self, outline: &Outline, history: &History) -> Option<u64> {
        let Ok(Count::Exact(count) | Count::AtMost(count)) = outline.count() else { return None };
        if history.count(State::Complete) as u128 * 2 < count {
            return None;
        }
        let mut all = 0;
        for config in outline.configs().ok()? {
            all += 1;
            self.original(&config, None, history)?;
        }
        Some(all)
    }
}

/// What is left of a finite space.
pub(crate) enum Unasked {
    /// This, among others.
    One(Config),
    /// Nothing; so many there were.
    None(u64),
    /// The space is not finite.
    Unknown,
}

/// May this proposal be a duplicate at all? What continues a trial, or asks its question under other chance, is not.
pub(crate) fn counts(opened: &Opened) -> bool {
    opened.parent.is_none() && opened.repeat_of.is_none()
}

fn hash(config: &Config, fidelity: Option<f64>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in config.answers() {
        name.as_str().hash(&mut hasher);
        absorb(value, &mut hasher);
    }
    fidelity.map(f64::to_bits).hash(&mut hasher);
    hasher.finish()
}

fn absorb(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(flag) => (1_u8, flag).hash(hasher),
        Value::Int(number) => (2_u8, number).hash(hasher),
        // Adding zero makes -0.0 and 0.0 the equals that they are.
        Value::Float(number) => (3_u8, (number + 0.0).to_bits()).hash(hasher),
        Value::Text(text) => (4_u8, text).hash(hasher),
        Value::List(values) => {
            (5_u8, values.len()).hash(hasher);
            values.iter().for_each(|value| absorb(value, hasher));
        }
    }
}
