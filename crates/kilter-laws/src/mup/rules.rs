//! Per tensor: the initial deviation, forward multiplier, learning rate and weight decay with which what was tuned on a
//! narrow net holds on a wide one.
//!
//! The rules of *Tensor Programs V* (2022) in the form of the authors' `mup` package, with every ratio against a base
//! shape: at the base width all factors are 1. Adam's rules presume decay multiplied by the learning rate (AdamW of
//! PyTorch). What transfers: learning rate, schedule, momenta, initial deviations, multipliers. What does not: dropout,
//! weight decay as regularisation, tokens, batch. Cost: O(tensors).

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which family of optimisers: rules differ where updates are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam, AdamW and others whose update does not scale with the gradient.
    Adam,
    /// SGD, with or without momentum.
    Sgd,
}

/// Which of a tensor's dimensions grow with the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Fixed in, width out: embeddings, first layers; also biases and gains of width size.
    Input,
    /// Width in and out.
    Hidden,
    /// Width in, fixed out: output heads.
    Output,
    /// No width dimension: never rescaled.
    Fixed,
}

/// One dimension of a tensor, with its size in the base net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimension {
    /// Size in the net to be trained.
    pub size: u64,
    /// Size in the base net.
    pub base: u64,
    /// Whether it grows with the width.
    pub width: bool,
}

/// A tensor by its fan-in and fan-out dimensions; further dimensions (kernels) do not matter. A vector (bias, gain) has
/// only `fan_out`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name in the net.
    pub name: String,
    /// What it multiplies; none for a vector.
    pub fan_in: Option<Dimension>,
    /// What it gives.
    pub fan_out: Dimension,
}

/// Hyperparameters as tuned on the base net.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseValues {
    /// Learning rate.
    pub learning_rate: f64,
    /// Initial deviation.
    pub init_std: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Multiplier of the output, tunable, default 1.
    pub output_multiplier: f64,
}

impl Default for BaseValues {
    fn default() -> Self {
        Self { learning_rate: 1e-3, init_std: 0.02, weight_decay: 0.0, output_multiplier: 1.0 }
    }
}

/// Factors on what was tuned at the base width; all 1 there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// On the initial deviation.
    pub init_std: f64,
    /// On the layer's output in the forward pass.
    pub multiplier: f64,
    /// On the learning rate.
    pub learning_rate: f64,
    /// On the weight decay.
    pub weight_decay: f64,
}

/// A tensor's factors and, applied to base values, its hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorRule {
    /// The tensor's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Growth of the fan-in; 1 without width.
    pub m_in: f64,
    /// Growth of the fan-out; 1 without width.
    pub m_out: f64,
    /// Factors.
    pub factors: Rule,
    /// Initial deviation.
    pub init_std: f64,
    /// Forward multiplier.
    pub multiplier: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// Why tensors have no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// A size of 0.
    #[error("tensor `{0}`: a dimension has size 0; give its size in this net and in the base net")]
    Empty(String),
    /// A fixed dimension that differs.
    #[error(
        "tensor `{name}`: a fixed dimension is {size} here and {base} in the base net; is the base of another architecture?"
    )]
    Base {
        /// Which tensor.
        name: String,
        /// Size here.
        size: u64,
        /// Size in the base net.
        base: u64,
    },
    /// Heads must divide the width.
    #[error("width {width} is not divisible by {heads} heads; the nearest that is: {nearest}")]
    Heads {
        /// The width.
        width: u64,
        /// Attention heads.
        heads: u64,
        /// The nearest multiple.
        nearest: u64,
    },
    /// Nothing to transfer from or to.
    #[error("{what}: {value} must be at least 1")]
    NotPositive {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: u64,
    },
}

/// The factors of a role whose fan-in has grown by `m_in` and fan-out by `m_out` (1 where there is no width).
pub fn rule(role: Role, optimizer: Optimizer, m_in: f64, m_out: f64) -> Rule {
    let same = Rule { init_std: 1.0, multiplier: 1.0, learning_rate: 1.0, weight_decay: 1.0 };
    // SGD's decay is divided by what multiplied its rate, so that their product stays.
    let sgd = |factor: f64| Rule { learning_rate: factor, weight_decay: 1.0 / factor, ..same };
    match (role, optimizer) {
        (Role::Fixed, _) | (Role::Input, Optimizer::Adam) => same,
        (Role::Input, Optimizer::Sgd) => sgd(m_out),
        (Role::Hidden, Optimizer::Adam) => {
            Rule { init_std: 1.0 / m_in.sqrt(), learning_rate: 1.0 / m_in, weight_decay: m_in, ..same }
        }
        (Role::Hidden, Optimizer::Sgd) => Rule { init_std: 1.0 / m_in.sqrt(), ..sgd(m_out / m_in) },
        (Role::Output, Optimizer::Adam) => Rule { multiplier: 1.0 / m_in, ..same },
        (Role::Output, Optimizer::Sgd) => Rule { multiplier: 1.0 / m_in, ..sgd(m_in) },
    }
}

/// The role of a tensor, its ratios, its factors, and what they make of the base values.
///
/// # Errors
/// A dimension of size 0, or a fixed dimension that differs from the base.
pub fn rule_of_tensor(tensor: &Tensor, optimizer: Optimizer, base: &BaseValues) -> Result<TensorRule, RuleError> {
    let name = &tensor.name;
    for dimension in tensor.fan_in.iter().chain([&tensor.fan_out]) {
        if dimension.size == 0 || dimension.base == 0 {
            return Err(RuleError::Empty(name.clone()));
        }
        if !dimension.width && dimension.size != dimension.base {
            return Err(RuleError::Base { name: name.clone(), size: dimension.size, base: dimension.base });
        }
    }
    let ratio = |dimension: &Dimension| dimension.size as f64 / dimension.base as f64;
    let m_in = tensor.fan_in.as_ref().map_or(1.0, ratio);
    let m_out = ratio(&tensor.fan_out);
    let role = match (tensor.fan_in.is_some_and(|d| d.width), tensor.fan_out.width) {
        (true, true) => Role::Hidden,
        (true, false) => Role::Output,
        (false, true) => Role::Input,
        (false, false) => Role::Fixed,
    };
    let factors = rule(role, optimizer, m_in, m_out);
    let tunable = if role == Role::Output { base.output_multiplier } else { 1.0 };
    Ok(TensorRule {
        name: name.clone(),
        role,
        m_in,
        m_out,
        factors,
        init_std: base.init_std * factors.init_std,
        multiplier: tunable * factors.multiplier,
        learning_rate: base.learning_rate * factors.learning_rate,
        weight_decay: base.weight_decay * factors.weight_decay,
    })
}

/// By what attention logits are multiplied: `sqrt(base d_head) / d_head`, which is the usual `1/sqrt(d_head)` at the base.
pub fn attention_scale(d_head: f64, base_d_head: f64) -> f64 {
    base_d_head.sqrt() / d_head
}

/// The scale of attention logits at both widths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AttentionScale {
    /// Size of one head in the base net.
    pub base_d_head: f64,
    /// Size of one head here.
    pub d_head: f64,
    /// What logits are multiplied by here.
    pub logits: f64,
}

/// A transformer from one width to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// The width the hyperparameters were tuned at.
    pub from_width: u64,
    /// The width they are wanted for.
    pub to_width: u64,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// One entry per kind of tensor.
    pub tensors: Vec<TensorRule>,
    /// How attention logits are scaled.
    pub attention: AttentionScale,
}

/// The rules of a decoder-only transformer whose number of heads stays (`heads`) while its width grows; vocabulary,
/// positions and depth stay as they are. A head tied to the embedding keeps its forward multiplier `1/m`.
///
/// # Errors
/// A width or number of heads of 0, or a width that the heads do not divide.
pub fn transformer_transfer(
    from_width: u64,
    to_width: u64,
    heads: u64,
    optimizer: Optimizer,
    base: &BaseValues,
) -> Result<Transfer, RuleError> {
    for (what, value) in [("from-width", from_width), ("to-width", to_width), ("heads", heads)] {
        if value == 0 {
            return Err(RuleError::NotPositive { what, value });
        }
    }
    if let Some(width) = [from_width, to_width].into_iter().find(|width| width % heads != 0) {
        let nearest = ((width as f64 / heads as f64).round() as u64).max(1) * heads;
        return Err(RuleError::Heads { width, heads, nearest });
    }
    let width = Dimension { size: to_width, base: from_width, width: true };
    let feed_forward = Dimension { size: 4 * to_width, base: 4 * from_width, width: true };
    // Its size does not enter the rules, only that it stays.
    let fixed = Dimension { size: 1, base: 1, width: false };
    let tensors = [
        ("embedding", Some(fixed), width),
        ("positions", Some(fixed), width),
        ("norm.gain", None, width),
        ("norm.bias", None, width),
        ("attention.query", Some(width), width),
        ("attention.key", Some(width), width),
        ("attention.value", Some(width), width),
        ("attention.output", Some(width), width),
        ("attention.bias", None, width),
        ("feed_forward.in", Some(width), feed_forward),
        ("feed_forward.in.bias", None, feed_forward),
        ("feed_forward.out", Some(feed_forward), width),
        ("feed_forward.out.bias", None, width),
        ("head", Some(width), fixed),
        ("head.bias", None, fixed),
    ];
    let tensor = |(name, fan_in, fan_out): (&str, _, _)| Tensor { name: name.to_owned(), fan_in, fan_out };
    let rules = tensors.into_iter().map(|parts| rule_of_tensor(&tensor(parts), optimizer, base));
    let (d_head, base_d_head) = (to_width as f64 / heads as f64, from_width as f64 / heads as f64);
    Ok(Transfer {
        from_width,
        to_width,
        optimizer,
        tensors: rules.collect::<Result<_, _>>()?,
        attention: AttentionScale { base_d_head, d_head, logits: attention_scale(d_head, base_d_head) },
    })
}
