#![doc = include_str!("../README.md")]

mod choosers;
mod config;
mod domain;
mod expression;
mod inline;
mod name;
mod outline;
mod value;
mod walk;

pub use choosers::{Answered, Defaults, Random, Replay};
pub use config::{Config, ConfigError, Fit, replay};
pub use domain::{Choice, Domain, DomainError, Float, Int};
pub use expression::{Expr, ExprError, Truth};
pub use inline::{InlineError, parse_domain, parse_value};
pub use name::{Name, NameError, nearest};
pub use outline::{Entry, Outline, SpaceError};
pub use value::Value;
pub use walk::{Ask, Chooser, Halt, Question, Scope, Space, Walk};
