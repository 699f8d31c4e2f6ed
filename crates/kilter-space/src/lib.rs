#![doc = include_str!("../README.md")]

mod by_run;
mod choosers;
mod config;
mod constrained;
mod diff;
mod distances;
mod domain;
mod encoding;
mod entry;
mod enumerate;
mod evaluate;
mod excess;
mod expression;
mod feasible;
mod inline;
mod interval;
mod name;
mod narrow;
mod order;
mod outline;
mod outlook;
mod plan;
mod repair;
mod value;
mod walk;

pub mod text;

pub use by_run::ByRun;
pub use choosers::{Answered, Defaults, Random, Replay};
pub use config::{Config, ConfigError, Fit, replay};
pub use diff::{SpaceChange, diff};
pub use distances::{Distances, DistancesError};
pub use domain::{Choice, Domain, DomainError, Float, Int};
pub use encoding::{Coordinate, Encoding};
pub use entry::{Entry, Prior};
pub use enumerate::{Configs, Count};
pub use expression::{Expr, ExprError, Truth};
pub use feasible::{Feasible, Means};
pub use inline::{InlineError, parse_domain, parse_value, quoted};
pub use name::{Name, NameError, nearest};
pub use outline::{Outline, SpaceError};
pub use value::Value;
pub use walk::{Ask, Chooser, Halt, Question, Scope, Space, Walk};
