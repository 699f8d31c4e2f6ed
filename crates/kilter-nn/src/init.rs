//! Initial weights, drawn from streams of their own: a parameter's numbers depend on the run's seed and on its name, not
//! on the order in which a network is built.

use kilter_numerics::Stream;
use serde::{Deserialize, Serialize};

/// How a parameter's first numbers are drawn. `fan_in` is the number of inputs of one output: all axes but the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Init {
    /// All alike.
    Constant {
        /// The number.
        value: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniform between `-bound` and `bound`.
    Uniform {
        /// Half the width.
        bound: f64,
    },
    /// Uniform within `gain·√(3/fan_in)` (He et al., *Delving Deep into Rectifiers*, 2015; gain √2 for rectifiers).
    KaimingUniform {
        /// Factor of the deviation.
        gain: f64,
    },
    /// Normal with deviation `gain/√fan_in`.
    KaimingNormal {
        /// Factor of the deviation.
        gain: f64,
    },
    /// Uniform within `gain·√(6/(fan_in + fan_out))` (Glorot and Bengio 2010).
    XavierUniform {
        /// Factor of the deviation.
        gain: f64,
    },
}

impl Init {
    /// All zero.
    pub const ZERO: Self = Self::Constant { value: 0.0 };
    /// All one.
    pub const ONE: Self = Self::Constant { value: 1.0 };
    /// Uniform within `1/√fan_in`, as PyTorch's linear and convolution layers begin.
    pub const LECUN: Self = Self::KaimingUniform { gain: 0.577_350_269_189_625_8 };

    /// The standard deviation of the numbers of a tensor of this shape.
    pub fn deviation(&self, shape: &[usize]) -> f64 {
        let count: usize = shape.iter().product();
        let out = shape.first().copied().unwrap_or(1).max(1);
        let fan_in = (count as f64 / out as f64).max(1.0);
        let fan_out = (out * shape.iter().skip(2).product::<usize>()) as f64;
        match *self {
            Self::Constant { .. } => 0.0,
            Self::Uniform { bound } => bound / 3.0_f64.sqrt(),
            Self::Normal { deviation } => deviation,
            Self::KaimingUniform { gain } | Self::KaimingNormal { gain } => gain / fan_in.sqrt(),
            Self::XavierUniform { gain } => gain * (2.0 / (fan_in + fan_out)).sqrt(),
        }
    }

    /// The numbers of a tensor of this shape, by rows.
    pub fn draw(&self, shape: &[usize], stream: &mut Stream) -> Vec<f64> {
        let count = shape.iter().product();
        let out = shape.first().copied().unwrap_or(1).max(1);
        let fan_in = (count as f64 / out as f64).max(1.0);
        let receptive: usize = shape.iter().skip(2).product();
        let fan_out = (out * receptive) as f64;
        let mut uniform = |bound: f64| (0..count).map(|_| (2.0 * stream.uniform() - 1.0) * bound).collect();
        match *self {
            Self::Constant { value } => vec![value; count],
            Self::Uniform { bound } => uniform(bound),
            Self::KaimingUniform { gain } => uniform(gain * (3.0 / fan_in).sqrt()),
            Self::XavierUniform { gain } => uniform(gain * (6.0 / (fan_in + fan_out)).sqrt()),
            Self::Normal { deviation } => (0..count).map(|_| stream.normal() * deviation).collect(),
            Self::KaimingNormal { gain } => (0..count).map(|_| stream.normal() * gain / fan_in.sqrt()).collect(),
        }
    }
}
