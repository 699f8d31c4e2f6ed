//! Fewer bits per weight: the power quantiser, its baselines, its files.
//!
//! Yvinec, Dapogny and Bailly, *NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search* (2023), and
//! *PowerQuant: Automorphism Search for Non-Uniform Quantization* (ICLR 2023). Codes are whole numbers of `bits` bits on a
//! [`Grid`] scaled by the largest weight of a group; the grid bends with an exponent that is searched without data. Changed:
//! the search is a grid and a golden section instead of Nelder and Mead, so that it is never worse than uniform. The part of
//! NUPES that learns codes and exponents from data needs a network and is not here, but for the gradient of decoding
//! ([`Grid::gradient`]).
//!
//! Cost: four passes over a tensor (maxima, profile, errors, codes); memory as in [`crate::stream`], and a scale per group.

mod feedback;
mod grid;
mod integer;
mod layout;
mod pack;
mod read;
mod search;
mod write;

use kilter_space::{Choice, Config, Domain, DomainError, Entry, Int, Outline, SpaceError, Value};
use serde::{Deserialize, Serialize};

pub use feedback::with_feedback;
pub use grid::{Grid, Scratch};
pub use integer::{IntegerLinear, IntegerTable, whole_numbers};
pub use pack::{pack, packed_bytes, unpack};
pub use read::{Decoded, activation_bits, decode, dequantize};
pub use search::{Found, Profile, search};
pub use write::{QuantizeReport, TensorQuality, quantize, quantize_with};

use crate::fault::WeightsError;
use crate::merge::{number, words};

/// The setting of [`QuantizeConfig::activation_bits`].
const ACTIVATIONS: &str = "activation_bits";

/// Which grid the codes are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// Levels `(k/L)^(1/a)`: finer near zero for a < 1.
    #[default]
    Power,
    /// Levels `k/L`: symmetric uniform, rounded to nearest.
    Uniform,
    /// Zero and powers of two, down from 1.
    Log,
}

/// Which weights share a scale: their largest size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The whole tensor.
    Tensor,
    /// An output channel: an index of the first axis.
    #[default]
    Channel,
    /// So many neighbours along the last axis, at least 1; the last block of a row may be shorter.
    Block(u64),
}

/// How the exponent of a power grid is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exponent {
    /// Searched for each tensor.
    #[default]
    Tensor,
    /// Searched once for all tensors together (PowerQuant).
    Global,
    /// Searched for each output channel; needs [`Granularity::Channel`].
    Channel,
    /// Given: 0.05 to 2; 1 is uniform.
    Fixed(f64),
}

/// Settings of quantising.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantizeConfig {
    /// The grid. Default power.
    pub curve: Curve,
    /// Bits per code, 2 to 8. Default 4; fewer are smaller and worse.
    pub bits: u32,
    /// What shares a scale. Default a channel.
    pub granularity: Granularity,
    /// How the exponent is found. Default per tensor.
    pub exponent: Exponent,
    /// Least exponent searched, at least 0.05. Default 0.2.
    pub exponent_low: f64,
    /// Largest exponent searched, at most 2. Default 1.2.
    pub exponent_high: f64,
    /// Which norm of the error the search minimises, 1 to 4. Default 2; larger cares more for the worst entries.
    pub norm: f64,
    /// Share of entries, the largest of a tensor, that are kept apart in f16: 0 to 0.02. Default 0.
    pub outliers: f64,
    /// Bits of what reaches a linear layer where the model is run, 4 to 8; nothing leaves it in floats (the default). Only
    /// noted in the file: whoever runs it must know the network.
    pub activation_bits: Option<u32>,
}

impl Default for QuantizeConfig {
    fn default() -> Self {
        Self {
            curve: Curve::Power,
            bits: 4,
            granularity: Granularity::Channel,
            exponent: Exponent::Tensor,
            exponent_low: 0.2,
            exponent_high: 1.2,
            norm: 2.0,
            outliers: 0.0,
            activation_bits: None,
        }
    }
}

/// Methods whose codes are learned with data by whoever has the network; here they are their grids.
pub const LEARNED: [&str; 3] = ["nupes", "adaround", "gptq"];

/// The hyperparameters of quantising; `method = none` turns a quantised file back to floats. `nupes` is on the power grid,
/// [`LEARNED`] beside it on the uniform one.
///
/// # Errors
/// None.
pub fn outline() -> Result<Outline, SpaceError> {
    let bits = Int::new(2, 8).map_err(|why| SpaceError::Domain { name: "bits".to_owned(), why })?;
    let (quantising, choosing) = ("method != 'none'", "method in ['power', 'uniform', 'log']");
    let (learning, stepping) = ("method in ['nupes', 'adaround', 'gptq']", "method in ['nupes', 'adaround']");
    let whole = |name: &str, range: Result<Int, DomainError>, default: i64| {
        let domain = range.map(Domain::Int).map_err(|why| SpaceError::Domain { name: name.to_owned(), why })?;
        Entry::new(name, domain)?.default(default)
    };
    let searching = "method == 'power' and exponent != 'fixed'";
    let widths = Choice::new(std::iter::once("none".into()).chain((4..=8_i64).rev().map(Value::from)).collect())
        .map_err(|why| SpaceError::Domain { name: ACTIVATIONS.to_owned(), why })?;
    Outline::new(vec![
        words(
            "method",
            &["power", "nupes", "uniform", "log", "adaround", "gptq", "none"],
            "grid of the codes; nupes, adaround and gptq round them with data; none turns codes back to floats",
        )?,
        Entry::new("bits", Domain::Int(bits))?.default(4_i64)?.about("bits per weight").when(quantising)?,
        words("granularity", &["channel", "tensor", "block32", "block64", "block128"], "which weights share a scale")?
            .when(choosing)?,
        words("exponent", &["tensor", "global", "channel", "fixed"], "what one exponent is searched for")?
            .when("method == 'power'")?,
        number("exponent_value", 0.05, 2.0, 0.5, "the exponent, if it is fixed; 1 is uniform")?
            .when("method == 'power' and exponent == 'fixed'")?,
        number("exponent_low", 0.05, 1.0, 0.2, "least exponent searched")?.setting().when(searching)?,
        number("exponent_high", 1.0, 2.0, 1.2, "largest exponent searched")?.setting().when(searching)?,
        number("norm", 1.0, 4.0, 2.0, "norm of the error that the search minimises")?.when(searching)?,
        number("outliers", 0.0, 0.02, 0.0, "share of entries, the largest, kept apart in f16")?.when(choosing)?,
        whole("steps", Int::log(100, 20_000), 2000)?.about("steps that learn a layer's codes").when(stepping)?,
        whole("calibration", Int::log(32, 4096), 512)?.about("examples that they are learned on").when(learning)?,
        Entry::new(ACTIVATIONS, Domain::Choice(widths))?
            .default("none")?
            .about("bits of what reaches a linear layer when it is run")
            .setting()
            .when(quantising)?,
    ])
}

impl QuantizeConfig {
    /// The settings of a configuration of [`outline`]; nothing for `method = none`.
    ///
    /// # Errors
    /// If an answer is missing or contradicts another.
    pub fn from_config(config: &Config) -> Result<Option<Self>, WeightsError> {
        let plain = Self::default();
        let or = |name: &str, default: f64| if config.get(name).is_some() { config.float(name) } else { Ok(default) };
        let curve = match config.text("method")? {
            "none" => return Ok(None),
            "uniform" | "adaround" | "gptq" => Curve::Uniform,
            "log" => Curve::Log,
            _ => Curve::Power,
        };
        let exponent = match (curve, config.get("exponent").and_then(|value| value.as_str())) {
            (Curve::Power, Some("global")) => Exponent::Global,
            (Curve::Power, Some("channel")) => Exponent::Channel,
            (Curve::Power, Some("fixed")) => Exponent::Fixed(config.float("exponent_value")?),
            _ => Exponent::Tensor,
        };
        let granularity = match config.get("granularity").and_then(|value| value.as_str()) {
            Some("tensor") => Granularity::Tensor,
            Some("block32") => Granularity::Block(32),
            Some("block64") => Granularity::Block(64),
            Some("block128") => Granularity::Block(128),
            _ => Granularity::Channel,
        };
        let quantize = Self {
            curve,
            bits: u32::try_from(config.int("bits")?).unwrap_or(0),
            granularity,
            exponent,
            exponent_low: or("exponent_low", plain.exponent_low)?,
            exponent_high: or("exponent_high", plain.exponent_high)?,
            norm: or("norm", plain.norm)?,
            outliers: or("outliers", plain.outliers)?,
            activation_bits: match config.get(ACTIVATIONS) {
                Some(Value::Int(bits)) => u32::try_from(*bits).ok(),
                _ => None,
            },
        };
        quantize.check().map(|()| Some(quantize))
    }

    /// Can these settings be?
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn check(&self) -> Result<(), WeightsError> {
        let inside = |name: &str, x: f64, low: f64, high: f64| {
            let wrong = || WeightsError::Setting(format!("{name}={x} must be from {low} to {high}"));
            (low..=high).contains(&x).then_some(()).ok_or_else(wrong)
        };
        inside("bits", f64::from(self.bits), 2.0, 8.0)?;
        inside("norm", self.norm, 1.0, 4.0)?;
        inside("outliers", self.outliers, 0.0, 0.02)?;
        inside("exponent_low", self.exponent_low, 0.05, 1.0)?;
        inside("exponent_high", self.exponent_high, 1.0, 2.0)?;
        if let Some(bits) = self.activation_bits {
            inside(ACTIVATIONS, f64::from(bits), 4.0, 8.0)?;
        }
        if let Exponent::Fixed(exponent) = self.exponent {
            inside("exponent_value", exponent, 0.05, 2.0)?;
        }
        if self.exponent == Exponent::Channel && self.granularity != Granularity::Channel {
            return Err(WeightsError::setting("exponent=channel needs granularity=channel: one scale per exponent"));
        }
        if self.granularity == Granularity::Block(0) {
            return Err(WeightsError::setting("a block needs at least 1 entry; usual are 32, 64 and 128"));
        }
        Ok(())
    }
}
