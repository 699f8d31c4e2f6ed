//! Spherical interpolation of two models, tensor by tensor.
//!
//! Shoemake, *Animating Rotation with Quaternion Curves* (SIGGRAPH 1985), applied to flattened tensors as mergekit does:
//! the angle is that of the normalised tensors, the weights apply to the tensors themselves, and nearly parallel tensors
//! (|cos| > 0.9995) or zero ones are interpolated on a line. Cost: two passes.

use kilter_space::Outline;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Merge, Method, Rule, Rules, common, number};
use crate::fault::WeightsError;
use crate::stream::{Stack, Tile};

/// Settings of spherical interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slerp {
    /// 0 is the first model, 1 the second. Default 0.5.
    pub t: f64,
}

pub(super) const METHOD: Method = Method {
    name: "slerp",
    about: "a point on the arc between two models",
    outline: |_| {
        let mut entries = vec![number("t", 0.0, 1.0, 0.5, "0 is the first model, 1 the second")?];
        entries.extend(common()?);
        Outline::new(entries)
    },
    statistics: None,
    build: |config, _, _| Ok(Box::new(Slerp { t: config.float("t")? })),
};

/// Beyond this cosine the arc is a line for every practical end (mergekit's threshold).
const PARALLEL: f64 = 0.9995;

/// Norms below this count as zero (mergekit's threshold).
const NO_DIRECTION: f64 = 1e-8;

/// The weights of the two ends at `t`, from their squared norms and inner product.
pub fn arc(t: f64, squares: (f64, f64), product: f64) -> (f64, f64) {
    let (a, b) = (squares.0.sqrt(), squares.1.sqrt());
    let cosine = product / (if a > NO_DIRECTION { a } else { 1.0 } * if b > NO_DIRECTION { b } else { 1.0 });
    if cosine.abs() > PARALLEL || cosine.is_nan() {
        return (1.0 - t, t);
    }
    let angle = cosine.acos();
    (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
}

impl Merge for Slerp {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn needs_base(&self) -> bool {
        false
    }

    fn settings(&self) -> serde_json::Value {
        json!(self)
    }

    fn takes(&self, models: usize) -> Result<(), WeightsError> {
        if models != 2 {
            return Err(WeightsError::Models { method: METHOD.name, wanted: "exactly two models", got: models });
        }
        if !(0.0..=1.0).contains(&self.t) {
            return Err(WeightsError::Setting(format!("t={} must be from 0 (first model) to 1 (second)", self.t)));
        }
        Ok(())
    }

    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError> {
        Ok(Box::new(move |at| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let sums = stacks[at].survey(1, |sums: &mut [f64; 3], tile| {
                sums[0] += dot(tile.row(0), tile.row(0));
                sums[1] += dot(tile.row(1), tile.row(1));
                sums[2] += dot(tile.row(0), tile.row(1));
            })?;
            let total = sums.iter().fold([0.0; 3], |total, of_piece| std::array::from_fn(|i| total[i] + of_piece[i]));
            let (first, second) = arc(self.t, (total[0], total[1]), total[2]);
            let apply = move |tile: &Tile<'_>, out: &mut [f64]| {
                let pairs = tile.row(0).iter().zip(tile.row(1));
                out.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = first * a + second * b);
            };
            Ok(Rule { align: 1, apply: Box::new(apply) })
        }))
    }
}
