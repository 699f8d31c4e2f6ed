//! Stable? Trivial? Features or a kernel? The answer for any abc-parametrisation, in exact fractions.
//!
//! Layer l's weight is `n^-a_l w`, `w ~ N(0, n^-2b_l)`, the learning rate `eta n^-c`, n the width. The classification is
//! that of *Feature Learning in Infinite-Width Neural Networks* (2020): everything follows from
//! `r = min(a_out + b_out, 2 a_out + c) + c - 1 + min_l (2 a_l + [l = 1])`. Equalities decide the class, so exponents are
//! fractions and never floats. Cost: O(layers).

use std::fmt;

use num_rational::Ratio;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// An exponent of the width.
pub type Exponent = Ratio<i128>;

/// Largest numerator and denominator that are read: sums of a parametrisation's few terms then cannot overflow.
const LARGEST: i128 = 1_000_000;

/// Why there is no such parametrisation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AbcError {
    /// The tables must name the same layers.
    #[error("a has {a} entries and b has {b}; both need one per layer, from the first to the output")]
    Lengths {
        /// Entries of a.
        a: usize,
        /// Entries of b.
        b: usize,
    },
    /// At least one hidden layer.
    #[error("{0} layer is no network with a hidden layer; give at least a first and an output layer")]
    TooShallow(usize),
    /// Not a fraction.
    #[error("exponent `{0}`: write a whole number or a fraction such as -1/2, with parts up to a million")]
    Exponent(String),
}

/// Reads `1`, `-1/2`.
///
/// # Errors
/// Anything else, a denominator of 0, or parts beyond a million.
pub fn parse_exponent(text: &str) -> Result<Exponent, AbcError> {
    let wrong = || AbcError::Exponent(text.to_owned());
    let part = |text: &str| text.trim().parse::<i128>().ok().filter(|part| part.abs() <= LARGEST).ok_or_else(wrong);
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let under = part(under)?;
    if under == 0 { Err(wrong()) } else { Ok(Ratio::new(part(over)?, under)) }
}

/// A parametrisation: `a` and `b` from the first layer to the output, and `c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbcParam {
    a: Vec<Exponent>,
    b: Vec<Exponent>,
    c: Exponent,
}

/// What the infinitely wide network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Something diverges.
    #[serde(rename = "unstable")]
    Unstable,
    /// The function never moves.
    #[serde(rename = "trivial")]
    Trivial,
    /// The function moves, the features do not.
    #[serde(rename = "kernel")]
    Kernel,
    /// The features move.
    #[serde(rename = "feature learning")]
    FeatureLearning,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unstable => "unstable",
            Self::Trivial => "trivial",
            Self::Kernel => "kernel",
            Self::FeatureLearning => "feature learning",
        })
    }
}

/// What the infinitely wide network computes before training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum InitialFunction {
    /// A draw from a Gaussian process.
    #[serde(rename = "gaussian process")]
    GaussianProcess,
    /// Zero.
    #[serde(rename = "zero")]
    Zero,
    /// Nothing finite.
    #[serde(rename = "divergent")]
    Divergent,
}

/// A condition of stability that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// `a_1 + b_1 = 0`, `a_l + b_l = 1/2`, `a_out + b_out >= 1/2`: activations of order one at initialisation.
    Initialisation,
    /// `r >= 0`: features do not blow up.
    Features,
    /// `2 a_out + c >= 1` and `a_out + b_out + r >= 1`: the output does not blow up.
    Output,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initialisation => "a_1 + b_1 = 0, a_l + b_l = 1/2 and a_out + b_out >= 1/2 do not all hold",
            Self::Features => "r >= 0 does not hold: features blow up in training",
            Self::Output => "2 a_out + c >= 1 and a_out + b_out + r >= 1 do not both hold: the output blows up",
        })
    }
}

/// The class of a parametrisation and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Classification {
    /// Features change like `width^-r`.
    #[serde(serialize_with = "as_text")]
    pub r: Exponent,
    /// Whether activations are of order one at the start.
    pub initialisation_ok: bool,
    /// Whether nothing diverges.
    pub stable: bool,
    /// Which conditions of stability fail.
    pub violated: Vec<Violation>,
    /// Whether the function changes at all, were it stable.
    pub nontrivial: bool,
    /// The class.
    pub kind: Kind,
    /// The function before training.
    pub initial_function: InitialFunction,
}

impl AbcParam {
    /// One entry per layer in `a` and `b`, from the first to the output; at least one hidden layer.
    ///
    /// # Errors
    /// Tables of different lengths, or fewer than two layers.
    pub fn new(a: Vec<Exponent>, b: Vec<Exponent>, c: Exponent) -> Result<Self, AbcError> {
        if a.len() != b.len() {
            return Err(AbcError::Lengths { a: a.len(), b: b.len() });
        }
        if a.len() < 2 { Err(AbcError::TooShallow(a.len())) } else { Ok(Self { a, b, c }) }
    }

    /// Maximal update (muP) with `hidden` hidden layers, at least one.
    pub fn mup(hidden: usize) -> Self {
        let half = Ratio::new(1, 2);
        Self { a: layers(hidden, -half, Ratio::ZERO, half), b: layers(hidden, half, half, half), c: Ratio::ZERO }
    }

    /// Neural tangent parametrisation with `hidden` hidden layers, at least one.
    pub fn ntk(hidden: usize) -> Self {
        let (half, zero) = (Ratio::new(1, 2), Ratio::ZERO);
        Self { a: layers(hidden, zero, half, half), b: layers(hidden, zero, zero, zero), c: zero }
    }

    /// The usual initialisation (variance 1/fan-in) with learning rate `eta n^-c`; stable for c = 1.
    pub fn standard(hidden: usize, c: Exponent) -> Self {
        let (half, zero) = (Ratio::new(1, 2), Ratio::ZERO);
        Self { a: layers(hidden, zero, zero, zero), b: layers(hidden, zero, half, half), c }
    }

    /// The same training function under SGD: `(a + theta, b - theta, c - 2 theta)` in every layer.
    #[must_use]
    pub fn shifted(&self, theta: Exponent) -> Self {
        let add = |exponents: &[Exponent], by: Exponent| exponents.iter().map(|e| e + by).collect();
        Self { a: add(&self.a, theta), b: add(&self.b, -theta), c: self.c - theta * 2 }
    }

    /// Layer by layer, the exponent e such that layer l's own training changes its output like `width^-e`: r with the
    /// minimum over layers replaced by that layer's term. `[hidden layers]`.
    pub fn change_exponents(&self) -> Vec<Exponent> {
        let base = self.output_term() + self.c - 1;
        (0..self.a.len() - 1).map(|l| base + self.layer_term(l)).collect()
    }

    /// The class.
    pub fn classify(&self) -> Classification {
        let out = self.a.len() - 1;
        let sum = |l: usize| self.a[l] + self.b[l];
        let (half, one) = (Ratio::new(1, 2), Ratio::ONE);
        // At least one hidden layer, so the minimum exists; its own first term is a safe start.
        let least = (0..out).map(|l| self.layer_term(l)).fold(self.layer_term(0), Ord::min);
        let r = self.output_term() + self.c - 1 + least;
        let initialisation_ok = sum(0) == Ratio::ZERO && (1..out).all(|l| sum(l) == half) && sum(out) >= half;
        let output_ok = self.a[out] * 2 + self.c >= one && sum(out) + r >= one;
        let conditions = [
            (initialisation_ok, Violation::Initialisation),
            (r >= Ratio::ZERO, Violation::Features),
            (output_ok, Violation::Output),
        ];
        let violated: Vec<Violation> = conditions.iter().filter(|(holds, _)| !holds).map(|&(_, v)| v).collect();
        let stable = violated.is_empty();
        let nontrivial = sum(out) + r == one || self.a[out] * 2 + self.c == one;
        let kind = match (stable, nontrivial, r == Ratio::ZERO) {
            (false, ..) => Kind::Unstable,
            (true, false, _) => Kind::Trivial,
            (true, true, true) => Kind::FeatureLearning,
            (true, true, false) => Kind::Kernel,
        };
        let initial_function = match sum(out).cmp(&half) {
            std::cmp::Ordering::Less => InitialFunction::Divergent,
            std::cmp::Ordering::Equal => InitialFunction::GaussianProcess,
            std::cmp::Ordering::Greater => InitialFunction::Zero,
        };
        Classification { r, initialisation_ok, stable, violated, nontrivial, kind, initial_function }
    }

    fn output_term(&self) -> Exponent {
        let out = self.a.len() - 1;
        (self.a[out] + self.b[out]).min(self.a[out] * 2 + self.c)
    }

    fn layer_term(&self, l: usize) -> Exponent {
        self.a[l] * 2 + i128::from(l == 0)
    }
}

/// One exponent for the first layer, one for every further hidden layer, one for the output.
fn layers(hidden: usize, first: Exponent, middle: Exponent, output: Exponent) -> Vec<Exponent> {
    let mut exponents = vec![middle; hidden.max(1) + 1];
    exponents[0] = first;
    let last = exponents.len() - 1;
    exponents[last] = output;
    exponents
}

fn as_text<S: Serializer>(exponent: &Exponent, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(exponent)
}
