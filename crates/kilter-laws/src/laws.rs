//! Published laws in one table: what each gives, from what, with its source, its fitted range and what it presumes.
//!
//! Asked together ([`compare`]) they show how far published advice differs at one size. A law that needs something the
//! question lacks says what; a value outside a law's range is named in its answer, and so is a range that is not known.
//! Cost: a few powers per law.

use serde::Serialize;
use thiserror::Error;

use crate::limits::{Fitted, Outside, Quantity, Trust};
use crate::power_scheduler::BATCH_UNIT_TOKENS;
use crate::{power_scheduler, step_law};

/// `loss(N, D) = floor + a / N^alpha + b / D^beta` (nats per token).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LossSurface {
    /// What no size and no data can remove.
    pub floor: f64,
    /// Amplitude over parameters.
    pub a: f64,
    /// Exponent of the parameters.
    pub alpha: f64,
    /// Amplitude over tokens.
    pub b: f64,
    /// Exponent of the tokens.
    pub beta: f64,
}

impl LossSurface {
    /// Loss of `parameters` trained on `tokens`.
    pub fn loss(&self, parameters: f64, tokens: f64) -> f64 {
        self.floor + self.a * parameters.powf(-self.alpha) + self.b * tokens.powf(-self.beta)
    }

    /// Parameters and tokens of least loss for `flop = 6 N D` (Hoffmann et al., 2022, equation 4).
    pub fn allocate(&self, flop: f64) -> (f64, f64) {
        let sum = self.alpha + self.beta;
        let balance = (self.alpha * self.a / (self.beta * self.b)).powf(1.0 / sum);
        let parameters = balance * (flop / 6.0).powf(self.beta / sum);
        (parameters, flop / (6.0 * parameters))
    }
}

/// How a quantity follows from others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// `coefficient * product of quantity^exponent`.
    Power {
        /// In front.
        coefficient: f64,
        /// Quantities and their exponents.
        exponents: &'static [(Quantity, f64)],
    },
    /// `intercept + slope * ln(of)`.
    Logarithmic {
        /// At 1.
        intercept: f64,
        /// Per factor e.
        slope: f64,
        /// Of what.
        of: Quantity,
    },
    /// The surface at (parameters, tokens).
    Loss(LossSurface),
    /// Parameters of least loss for the compute.
    OptimalParameters(LossSurface),
    /// Tokens of least loss for the compute.
    OptimalTokens(LossSurface),
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Short name, as the command line takes it.
    pub name: &'static str,
    /// Paper and place in it.
    pub source: &'static str,
    /// Whether the constants were checked.
    pub trust: Trust,
    /// What it gives, and how.
    pub gives: &'static [(Quantity, Form)],
    /// Ranges on which it was fitted, as far as known.
    pub fitted: &'static [Fitted],
    /// What it presumes.
    pub assumptions: &'static [&'static str],
}

const HOFFMANN: LossSurface = LossSurface { floor: 1.69, a: 406.4, alpha: 0.34, b: 410.7, beta: 0.28 };
const BESIROGLU: LossSurface = LossSurface { floor: 1.8172, a: 482.01, alpha: 0.3478, b: 2085.43, beta: 0.3658 };

const HOFFMANN_RANGE: [Fitted; 2] = [
    Fitted { quantity: Quantity::Parameters, low: 7e7, high: 1.6e10 },
    Fitted { quantity: Quantity::Tokens, low: 5e9, high: 5e11 },
];

/// All laws, best checked first.
pub static LAWS: [Law; 9] = [
    Law {
        name: "step-law",
        source: "Predictable Scale: Part I (2025), rounded constants of the paper",
        trust: Trust::Checked,
        gives: &[
            (
                Quantity::LearningRate,
                Form::Power {
                    coefficient: 1.79,
                    exponents: &[(Quantity::Parameters, -0.713), (Quantity::Tokens, 0.307)],
                },
            ),
            (Quantity::BatchTokens, Form::Power { coefficient: 0.58, exponents: &[(Quantity::Tokens, 0.571)] }),
        ],
        fitted: &[step_law::FITTED_PARAMETERS, step_law::FITTED_TOKENS],
        assumptions: &step_law::ASSUMPTIONS,
    },
    Law {
        name: "power-scheduler",
        source: "Power Scheduler (2024), fit over 12M, 36M and 121M parameters",
        trust: Trust::Checked,
        gives: &[(
            Quantity::LearningRate,
            Form::Power {
                coefficient: 4.6 / BATCH_UNIT_TOKENS,
                exponents: &[(Quantity::BatchTokens, 1.0), (Quantity::Tokens, -0.51)],
            },
        )],
        fitted: &[power_scheduler::FITTED_TOKENS, power_scheduler::FITTED_BATCH],
        assumptions: &power_scheduler::ASSUMPTIONS,
    },
    Law {
        name: "chinchilla",
        source: "Training Compute-Optimal Large Language Models (2022), approach 3",
        trust: Trust::Checked,
        gives: &[
            (Quantity::Parameters, Form::OptimalParameters(HOFFMANN)),
            (Quantity::Tokens, Form::OptimalTokens(HOFFMANN)),
        ],
        fitted: &HOFFMANN_RANGE,
        assumptions: &[
            "cosine decay over exactly the tokens trained",
            "parameters count embeddings",
            "loss on MassiveText",
        ],
    },
    Law {
        name: "chinchilla-loss",
        source: "Training Compute-Optimal Large Language Models (2022), equation 10",
        trust: Trust::Checked,
        gives: &[(Quantity::Loss, Form::Loss(HOFFMANN))],
        fitted: &HOFFMANN_RANGE,
        assumptions: &[
            "cosine decay over exactly the tokens trained",
            "parameters count embeddings",
            "loss on MassiveText",
        ],
    },
    Law {
        name: "chinchilla-refit",
        source: "Chinchilla Scaling: A replication attempt (2024)",
        trust: Trust::Remembered,
        gives: &[
            (Quantity::Parameters, Form::OptimalParameters(BESIROGLU)),
            (Quantity::Tokens, Form::OptimalTokens(BESIROGLU)),
        ],
        fitted: &HOFFMANN_RANGE,
        assumptions: &["refitted to points read off the original figure", "parameters count embeddings"],
    },
    Law {
        name: "deepseek",
        source: "DeepSeek LLM: Scaling Open-Source Language Models with Longtermism (2024), equation 1",
        trust: Trust::Remembered,
        gives: &[
            (
                Quantity::LearningRate,
                Form::Power { coefficient: 0.3118, exponents: &[(Quantity::ComputeFlop, -0.125)] },
            ),
            (Quantity::BatchTokens, Form::Power { coefficient: 0.2920, exponents: &[(Quantity::ComputeFlop, 0.3271)] }),
        ],
        fitted: &[Fitted { quantity: Quantity::ComputeFlop, low: 1e17, high: 2e19 }],
        assumptions: &["AdamW with a multi-step schedule", "compute taken as 6 N D (the paper counts FLOPs per token)"],
    },
    Law {
        name: "openai-learning-rate",
        source: "Scaling Laws for Neural Language Models (2020), equation D.1",
        trust: Trust::Remembered,
        gives: &[(
            Quantity::LearningRate,
            Form::Logarithmic { intercept: 0.003_239, slope: -0.000_139_5, of: Quantity::Parameters },
        )],
        fitted: &[Fitted { quantity: Quantity::Parameters, low: 768.0, high: 1.5e9 }],
        assumptions: &["Adam, batches of about 5e5 tokens", "3000 steps of warm-up, cosine decay to zero"],
    },
    Law {
        name: "openai-critical-batch",
        source: "Scaling Laws for Neural Language Models (2020), equation 1.4",
        trust: Trust::Remembered,
        gives: &[(
            Quantity::BatchTokens,
            Form::Power { coefficient: 2.1e8, exponents: &[(Quantity::Loss, -1.0 / 0.21)] },
        )],
        fitted: &[],
        assumptions: &["the batch at which twice the tokens are needed for half the steps", "loss on WebText2"],
    },
    Law {
        name: "minicpm",
        source: "MiniCPM: Unveiling the Potential of Small Language Models (2024), section 3.2",
        trust: Trust::Remembered,
        gives: &[(Quantity::BatchTokens, Form::Power { coefficient: 1.21e9, exponents: &[(Quantity::Loss, -6.24)] })],
        fitted: &[],
        assumptions: &["loss on C4", "warm-up, stable, decay"],
    },
];

/// What is known of a run; laws use what they need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Given {
    /// Parameters without embeddings.
    pub parameters: Option<f64>,
    /// Training tokens.
    pub tokens: Option<f64>,
    /// Training compute; `6 * parameters * tokens` where both are known and this is not.
    pub compute_flop: Option<f64>,
    /// Loss that is expected.
    pub loss: Option<f64>,
    /// Tokens per step.
    pub batch_tokens: Option<f64>,
}

impl Given {
    fn get(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Parameters => self.parameters,
            Quantity::Tokens => self.tokens,
            Quantity::ComputeFlop => self.compute_flop.or_else(|| Some(6.0 * self.parameters? * self.tokens?)),
            Quantity::Loss => self.loss,
            Quantity::BatchTokens => self.batch_tokens,
            Quantity::LearningRate => None,
        }
    }
}

/// Why a law has no answer.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LawError {
    /// Something the law needs.
    #[error("{law} needs {quantity}, which is not given")]
    Missing {
        /// Which law.
        law: &'static str,
        /// What it needs.
        quantity: Quantity,
    },
    /// Sizes are positive.
    #[error("{quantity}: {value} must be finite and above 0")]
    NotPositive {
        /// Which number.
        quantity: Quantity,
        /// What was given.
        value: f64,
    },
    /// Beyond its reach the law gives nonsense.
    #[error(
        "{law} gives {quantity} {value:.2e} here, which cannot be; the question is too far from where it was fitted"
    )]
    Nonsense {
        /// Which law.
        law: &'static str,
        /// Of what.
        quantity: Quantity,
        /// The impossible value.
        value: f64,
    },
    /// No such law.
    #[error("there is no law `{0}`; there are {names}", names = LAWS.each_ref().map(|law| law.name).join(", "))]
    Unknown(String),
}

/// One value of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Value {
    /// Of what.
    pub quantity: Quantity,
    /// How much.
    pub value: f64,
}

/// A law's answer and its limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Which law.
    pub law: &'static str,
    /// Paper and place in it.
    pub source: &'static str,
    /// Whether its constants were checked.
    pub trust: Trust,
    /// What it gives.
    pub values: Vec<Value>,
    /// What lies outside its fitted range, among what it was given and what it gives.
    pub outside: Vec<Outside>,
    /// Whether it is not known where it was fitted: then nothing can be outside, and nothing is known to be inside.
    pub range_unknown: bool,
    /// What it presumes.
    pub assumptions: &'static [&'static str],
}

impl Answer {
    /// The value of `quantity`, if the law gives it.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.values.iter().find(|found| found.quantity == quantity).map(|found| found.value)
    }
}

impl Law {
    /// The law of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<&'static Self, LawError> {
        LAWS.iter().find(|law| law.name == name).ok_or_else(|| LawError::Unknown(name.to_owned()))
    }

    /// What the law says.
    ///
    /// # Errors
    /// A quantity it needs is missing or not positive, or its answer is not a positive number.
    pub fn predict(&self, given: &Given) -> Result<Answer, LawError> {
        let mut values = Vec::with_capacity(self.gives.len());
        for &(quantity, form) in self.gives {
            let value = self.evaluate(form, given)?;
            if !(value.is_finite() && value > 0.0) {
                return Err(LawError::Nonsense { law: self.name, quantity, value });
            }
            values.push(Value { quantity, value });
        }
        let found = |quantity| values.iter().find(|v: &&Value| v.quantity == quantity).map(|v| v.value);
        let known = |fitted: &Fitted| found(fitted.quantity).or_else(|| given.get(fitted.quantity));
        let outside = self.fitted.iter().filter_map(|fitted| fitted.outside(known(fitted)?)).collect();
        Ok(Answer {
            law: self.name,
            source: self.source,
            trust: self.trust,
            values,
            outside,
            range_unknown: self.fitted.is_empty(),
            assumptions: self.assumptions,
        })
    }

    fn evaluate(&self, form: Form, given: &Given) -> Result<f64, LawError> {
        let need = |quantity| match given.get(quantity) {
            None => Err(LawError::Missing { law: self.name, quantity }),
            Some(value) if value.is_finite() && value > 0.0 => Ok(value),
            Some(value) => Err(LawError::NotPositive { quantity, value }),
        };
        Ok(match form {
            Form::Power { coefficient, exponents } => {
                let mut value = coefficient;
                for &(quantity, exponent) in exponents {
                    value *= need(quantity)?.powf(exponent);
                }
                value
            }
            Form::Logarithmic { intercept, slope, of } => intercept + slope * need(of)?.ln(),
            Form::Loss(surface) => surface.loss(need(Quantity::Parameters)?, need(Quantity::Tokens)?),
            Form::OptimalParameters(surface) => surface.allocate(need(Quantity::ComputeFlop)?).0,
            Form::OptimalTokens(surface) => surface.allocate(need(Quantity::ComputeFlop)?).1,
        })
    }
}

/// Every law's answer, or why it has none.
pub fn compare(given: &Given) -> Vec<Result<Answer, LawError>> {
    LAWS.iter().map(|law| law.predict(given)).collect()
}
