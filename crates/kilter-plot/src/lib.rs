#![doc = include_str!("../README.md")]

mod columns;
mod curves;
mod figure;
mod history;
mod params;
mod time;

pub use columns::{Axis, Cell};
pub use curves::{Curve, intermediate_values};
pub use figure::Figure;
pub use history::{Course, Point, edf, optimization_history, pareto_front};
pub use params::{Param, contour, parallel_coordinate, slice};
pub use time::{Bar, timeline};
