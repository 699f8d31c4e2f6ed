//! From an infeasible configuration to a feasible one near it.

use kilter_numerics::Stream;

use crate::choosers::Answered;
use crate::config::{Config, Fit, replay};
use crate::encoding::{Coordinate, Encoding};
use crate::feasible::Feasible;
use crate::outline::{Outline, SpaceError};
use crate::walk::{Chooser, Walk};

/// So many feasible configurations are aimed at.
const AIMS: usize = 4;

/// Halvings of a line: more would not move an answer that somebody could tell apart.
const HALVINGS: usize = 24;

impl Outline {
    /// A feasible configuration near this one: itself if it is feasible, else the point nearest to it, along lines in
    /// the encoding to a few random feasible configurations, at which the line enters the feasible set.
    ///
    /// # Errors
    /// If no feasible configuration can be found.
    pub fn repair(&self, config: &Config, stream: &mut Stream) -> Result<Config, SpaceError> {
        if replay(config, self)? == Fit::Whole(config.clone()) {
            return Ok(config.clone());
        }
        let source = Feasible::new(self)?;
        let encoding = Encoding::new(self);
        let from = self.encode(config);
        let mut nearest: Option<(f64, Config)> = None;
        for _ in 0..AIMS {
            let aim = source.config(stream)?;
            let to = self.encode(&aim);
            let (mut outside, mut inside, mut found) = (0.0, 1.0, aim);
            for _ in 0..HALVINGS {
                let middle = 0.5 * (outside + inside);
                let between = self.decode_freely(&encoding.between(&from, &to, middle))?;
                if self.is_feasible(&between) {
                    (inside, found) = (middle, between);
                } else {
                    outside = middle;
                }
            }
            let distance = encoding.distance(&from, &self.encode(&found));
            if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
                nearest = Some((distance, found));
            }
        }
        match nearest {
            Some((_, found)) => Ok(found),
            None => source.config(stream),
        }
    }

    /// What a proposal comes to: answers from `joint` where the walk allows them, else from `rest`; repaired if that
    /// ends where no answer is left or breaks a constraint after all. Never infeasible.
    ///
    /// # Errors
    /// If a question cannot be answered, or no feasible configuration can be found.
    pub fn answered(
        &self,
        joint: Config,
        rest: Box<dyn Chooser + Send>,
        stream: &mut Stream,
    ) -> Result<Config, SpaceError> {
        if self.constraints().is_empty() {
            return Answered::new(joint, rest).walk(self as &dyn Walk);
        }
        match Answered::new(joint.clone(), rest).walk(self as &dyn Walk) {
            Ok(config) if self.is_feasible(&config) => Ok(config),
            Ok(config) => self.repair(&config, stream),
            Err(SpaceError::NothingLeft { .. }) => self.repair(&joint, stream),
            Err(why) => Err(why),
        }
    }
}

impl Encoding {
    /// The point at this share of the line; categories change in its middle, logarithmic numbers by their logarithm.
    fn between(&self, from: &[f64], to: &[f64], share: f64) -> Vec<f64> {
        let points = self.coordinates().iter().zip(from.iter().zip(to));
        points
            .map(|(coordinate, (&a, &b))| match coordinate {
                _ if a.is_nan() => b,
                _ if b.is_nan() => a,
                Coordinate::Category { .. } => {
                    if share < 0.5 {
                        a
                    } else {
                        b
                    }
                }
                Coordinate::Numeric { log: true, .. } => ((1.0 - share) * a.ln() + share * b.ln()).exp(),
                Coordinate::Numeric { .. } => (1.0 - share) * a + share * b,
            })
            .collect()
    }

    /// Mean squared distance in shares of the coordinates' ranges; 1 for another category or another activity.
    fn distance(&self, a: &[f64], b: &[f64]) -> f64 {
        let points = self.coordinates().iter().zip(a.iter().zip(b));
        let squares = points.map(|(coordinate, (&a, &b))| match *coordinate {
            _ if a.is_nan() && b.is_nan() => 0.0,
            _ if a.is_nan() || b.is_nan() => 1.0,
            Coordinate::Category { .. } => f64::from(u8::from(a != b)),
            Coordinate::Numeric { low, high, log: true, .. } => ((a / b).ln() / (high / low).ln()).powi(2),
            Coordinate::Numeric { low, high, .. } if high > low => (a / (high - low) - b / (high - low)).powi(2),
            Coordinate::Numeric { .. } => 0.0,
        });
        squares.sum::<f64>() / self.coordinates().len().max(1) as f64
    }
}
