#![doc = include_str!("../README.md")]

mod chart;
mod columns;
mod curves;
mod figure;
mod history;
mod page;
mod params;
mod svg;
mod terminal;
mod time;

pub use chart::{Chart, Mark, Scale, Series};
pub use columns::{Axis, Cell};
pub use curves::{Curve, intermediate_values};
pub use figure::Figure;
pub use history::{Course, Point, edf, hypervolume_history, optimization_history, pareto_front};
pub use page::page;
pub use params::{Param, contour, parallel_coordinate, param_importances, rank, slice};
pub use svg::svg;
pub use terminal::{Dots, terminal};
pub use time::{Bar, timeline};
