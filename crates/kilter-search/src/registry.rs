//! Samplers and pruners by name, with options as written on the command line: `tpe:candidates=48,startup=20`.

use kilter_space::{Count, Outline, nearest, parse_value};
use kilter_study::{NoPruner, Pruner, Sampler};
use serde::de::DeserializeOwned;

use crate::grid::{Grid, GridConfig, total};
use crate::median::{PercentileConfig, PercentilePruner};
use crate::partial::Partial;
use crate::quasi::{Design, Designed};
use crate::random::RandomSearch;
use crate::tpe::{Tpe, TpeConfig};

/// A sampler or a pruner in a list.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its options with their defaults.
    pub options: &'static str,
}

/// All samplers.
pub const SAMPLERS: &[Listed] = &[
    Listed { name: "auto", about: "what suits most studies; today tpe", options: "" },
    Listed { name: "random", about: "every configuration by itself, at random", options: "" },
    Listed {
        name: "tpe",
        about: "tree-structured Parzen estimator: tries where good trials are dense and bad ones thin",
        options: "flavour=kilter|optuna|hyperopt startup=10 candidates=48 multivariate=true constant_liar=true \
                  prior_weight=1.0 gamma=tenth|quarter_root|root weights=age|uniform|hypervolume least_steps=0.5 varied=0.3 \
                  single=0.25 recall=512 repeats=false",
    },
    Listed {
        name: "sobol",
        about: "Sobol's sequence: fills the space evenly, learns nothing",
        options: "scramble=true",
    },
    Listed {
        name: "halton",
        about: "Halton's sequence: fills the space evenly, in any number of dimensions",
        options: "scramble=true",
    },
    Listed {
        name: "latin",
        about: "Latin hypercubes: each n-th of every hyperparameter once in n trials (0: as many as are wanted)",
        options: "points=0",
    },
    Listed {
        name: "grid",
        about: "every combination once, continuous hyperparameters cut into points; then the study ends",
        options: "points=10",
    },
    Listed {
        name: "exhaustive",
        about: "every configuration of a finite space once, conditions and constraints included; then the study ends",
        options: "",
    },
    Listed {
        name: "partial",
        about: "another sampler with some answers fixed: partial:by=tpe,learning_rate=0.01",
        options: "by=auto",
    },
];

/// All pruners.
pub const PRUNERS: &[Listed] = &[
    Listed { name: "auto", about: "what suits most studies; today none: nothing is stopped unasked", options: "" },
    Listed { name: "none", about: "stops nothing", options: "" },
    Listed {
        name: "median",
        about: "stops a trial whose best value so far is worse than the median of completed trials at the same step",
        options: "n_startup_trials=5 n_warmup_steps=0 interval_steps=1 n_min_trials=1",
    },
    Listed {
        name: "percentile",
        about: "like median, for any percentile counted from the best",
        options: "percentile=25 n_startup_trials=5 n_warmup_steps=0 interval_steps=1 n_min_trials=1",
    },
];

/// Why a text names no sampler or pruner.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// No such name.
    #[error("there is no {kind} `{name}`; {advice}")]
    Unknown {
        /// `sampler` or `pruner`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The nearest name, or where to look.
        advice: String,
    },
    /// An option that is not one, or has a value that cannot be.
    #[error("{kind} `{name}`: {why}")]
    Option {
        /// `sampler` or `pruner`.
        kind: &'static str,
        /// Whose option.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The sampler written as `NAME` or `NAME:key=value,…`.
///
/// # Errors
/// If there is no such sampler or option.
pub fn sampler(text: &str) -> Result<Box<dyn Sampler>, RegistryError> {
    let call = Call::read("sampler", text, SAMPLERS)?;
    match call.name {
        "random" => call.no_options().map(|()| Box::new(RandomSearch) as Box<dyn Sampler>),
        "sobol" => Ok(Box::new(Designed::new(Design::Sobol(call.options()?)))),
        "halton" => Ok(Box::new(Designed::new(Design::Halton(call.options()?)))),
        "latin" => Ok(Box::new(Designed::new(Design::Latin(call.options()?)))),
        "grid" => {
            let config = call.options::<GridConfig>()?.checked().map_err(|why| call.wrong(why))?;
            Ok(Box::new(Grid::new(Some(config))))
        }
        "exhaustive" => call.no_options().map(|()| Box::new(Grid::new(None)) as Box<dyn Sampler>),
        "partial" => {
            let by = call.given.iter().find(|(key, _)| *key == "by").map_or("auto", |(_, by)| by);
            let fixed = call.given.iter().filter(|(key, _)| *key != "by");
            let fixed = fixed.map(|(name, value)| ((*name).to_owned(), parse_value(value))).collect();
            Ok(Box::new(Partial::new(sampler(by)?, fixed)))
        }
        _ => Ok(Box::new(Tpe::new(call.options::<TpeConfig>()?.checked().map_err(|why| call.wrong(why))?))),
    }
}

/// Refuses a sampler that speaks of hyperparameters which `outline` does not have, or of answers that it does not allow.
///
/// # Errors
/// If there is no such sampler or option, or no such hyperparameter or answer.
pub fn check_sampler(text: &str, outline: &Outline) -> Result<(), RegistryError> {
    sampler(text)?;
    let call = Call::read("sampler", text, SAMPLERS)?;
    if call.name != "partial" {
        return Ok(());
    }
    let (by, fixed): (Vec<_>, Vec<_>) = call.given.iter().partition(|(key, _)| *key == "by");
    for (name, value) in fixed {
        let entry = outline.entry(name);
        entry.and_then(|entry| entry.check(&parse_value(value))).map_err(|why| call.wrong(why))?;
    }
    by.iter().try_for_each(|(_, inner)| check_sampler(inner, outline))
}

/// How many configurations the sampler written as `text` tries until it has tried all, where it knows beforehand: `grid` and
/// `exhaustive`.
///
/// # Errors
/// If there is no such sampler or option, or it cannot try all of this space.
pub fn planned(text: &str, outline: &Outline) -> Result<Option<Count>, RegistryError> {
    let call = Call::read("sampler", text, SAMPLERS)?;
    let cut = match call.name {
        "grid" => Some(call.options()?),
        "exhaustive" => None,
        _ => return Ok(None),
    };
    total(outline, cut).map(Some).map_err(|why| call.wrong(why))
}

/// The pruner written as `NAME` or `NAME:key=value,…`.
///
/// # Errors
/// If there is no such pruner or option.
pub fn pruner(text: &str) -> Result<Box<dyn Pruner>, RegistryError> {
    let call = Call::read("pruner", text, PRUNERS)?;
    let percentile = |config: PercentileConfig| {
        config
            .checked()
            .map_err(|why| call.wrong(why))
            .map(|config| Box::new(PercentilePruner::new(config)) as Box<dyn Pruner>)
    };
    match call.name {
        "median" if call.given.iter().any(|(key, _)| *key == "percentile") => {
            Err(call.wrong("the median is the 50th percentile; for another write percentile:percentile=25"))
        }
        "median" => percentile(call.options()?),
        "percentile" => {
            let mut config: PercentileConfig = call.options()?;
            if !call.given.iter().any(|(key, _)| *key == "percentile") {
                config.percentile = 25.0;
            }
            percentile(config)
        }
        _ => call.no_options().map(|()| Box::new(NoPruner) as Box<dyn Pruner>),
    }
}

/// A name with options, taken apart.
struct Call<'a> {
    kind: &'static str,
    name: &'static str,
    listed: &'static str,
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    fn read(kind: &'static str, text: &'a str, all: &[Listed]) -> Result<Self, RegistryError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let listed = all.iter().find(|listed| listed.name == name).ok_or_else(|| RegistryError::Unknown {
            kind,
            name: name.to_owned(),
            advice: match nearest(name, all.iter().map(|listed| listed.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`kilter {kind}s` lists them"),
            },
        })?;
        let mut call = Self { kind, name: listed.name, listed: listed.options, given: Vec::new() };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let pair = option.split_once('=').ok_or_else(|| {
                let usual = call.known().find(|(name, _)| *name == option).map_or("…", |(_, usual)| usual);
                call.wrong(format!("option `{option}` needs a value: {option}={usual}"))
            })?;
            call.given.push((pair.0.trim(), pair.1.trim()));
        }
        Ok(call)
    }

    fn wrong(&self, why: impl ToString) -> RegistryError {
        RegistryError::Option { kind: self.kind, name: self.name.to_owned(), why: why.to_string() }
    }

    /// The options as a configuration.
    fn options<T: DeserializeOwned>(&self) -> Result<T, RegistryError> {
        let read = |given: &[(&str, &str)]| {
            // A number's config fields may be floats: `1` is taken for `1.0` by serde.
            let value = |value: &str| serde_json::to_value(parse_value(value)).unwrap_or_default();
            let object = given.iter().map(|(key, text)| ((*key).to_owned(), value(text)));
            serde_json::from_value::<T>(serde_json::Value::Object(object.collect()))
        };
        read(&self.given).map_err(|why| {
            // Which of them it was: each is tried by itself.
            let culprit = self.given.iter().find(|pair| read(&[**pair]).is_err());
            culprit.map_or_else(|| self.wrong(why), |(key, value)| self.unfit(key, value))
        })
    }

    /// Its options with what the list says of each: `startup` and `10`.
    fn known(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.listed.split_whitespace().filter_map(|option| option.split_once('='))
    }

    /// What is wrong with an option that cannot be read.
    fn unfit(&self, key: &str, value: &str) -> RegistryError {
        let names = || self.known().map(|(name, _)| name);
        let Some((_, usual)) = self.known().find(|(name, _)| *name == key) else {
            return self.wrong(match nearest(key, names()) {
                Some(near) => format!("it has no option `{key}`; did you mean `{near}`?"),
                None => format!("it has no option `{key}`; it has {}", names().collect::<Vec<_>>().join(", ")),
            });
        };
        let words: Vec<&str> = usual.split('|').collect();
        let wanted = match (words.as_slice(), nearest(value, words.iter().copied())) {
            ([_, _, ..], Some(near)) => format!("did you mean `{near}`?"),
            ([first @ .., last], _) if !first.is_empty() => format!("it is {} or {last}", first.join(", ")),
            _ if usual.parse::<bool>().is_ok() => format!("it is true or false ({usual} unless said otherwise)"),
            _ if usual.parse::<u64>().is_ok() => format!("it is a whole number ({usual} unless said otherwise)"),
            _ if usual.parse::<f64>().is_ok() => format!("it is a number ({usual} unless said otherwise)"),
            _ => format!("it is written {key}={usual}"),
        };
        self.wrong(format!("{key}={value} cannot be: {wanted}"))
    }

    fn no_options(&self) -> Result<(), RegistryError> {
        match self.given.first() {
            None => Ok(()),
            Some((key, _)) => Err(self.wrong(format!("it has no options, so none named `{key}`"))),
        }
    }
}
