//! Evaluates the kernels of [`Parzen`](super::parzen::Parzen) at candidates: first everything that is cheap, with an
//! upper bound where it isn't, then the rest where the bound leaves room. Of the worse trials' density only as much is
//! added up as tells which candidate is the best.
//!
//! The loops are compiled for any processor, and for those with vectors of four and of eight numbers. All do the same
//! operations in the same order (nothing is fused), so that a proposal does not hang on the machine.

use super::log_sum_exp::{LANES, LogSumExp};
use super::masses::Masses;
use super::parzen::Axis;
use kilter_numerics::normal::log_mass;
use std::f64::consts::SQRT_2;

/// Components of a mixture are summed in blocks of this many: enough to tell most candidates from the best one, and few
/// enough not to be wasted on the others.
const BLOCK: usize = 64;

/// Rounding must not rule out the best candidate.
const MARGIN: f64 = 1e-9;

/// Adds up the kernels of all components for each candidate: `log_constant` has the prior last, `sums` one sum per
/// candidate. With `better`, the candidates' log densities among the better trials, it goes only as far as tells which of
/// them has the greatest ratio of the two densities; the others' sums then stay at a part that shows that they have not.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn accumulate(passes: &[Pass<'_>], log_constant: &[f64], better: Option<&[f64]>, sums: &mut [LogSumExp]) {
    // The newest first, which lie nearest to what is drawn now, and with them the prior.
    let ends = (1..=log_constant.len()).rev().step_by(BLOCK);
    let blocks: Vec<(usize, &[f64])> =
        log_constant.rchunks(BLOCK).zip(ends).map(|(constants, end)| (end - constants.len(), constants)).collect();
    // Of every candidate one block bounds its ratio from above; the others are added where the bound is highest.
    let of_all = better.map_or(blocks.len(), |_| 1);
    for &block in &blocks[..of_all] {
        for (candidate, sum) in sums.iter_mut().enumerate() {
            add_block(passes, block, candidate, sum);
        }
    }
    let Some(better) = better.filter(|_| of_all < blocks.len()) else { return };
    let mut bounds: Vec<f64> = better.iter().zip(&*sums).map(|(better, sum)| better - sum.value()).collect();
    let mut reached = vec![of_all; sums.len()];
    let mut best = f64::NEG_INFINITY;
    while let Some(candidate) = greatest(&bounds).filter(|&candidate| bounds[candidate] >= best - MARGIN) {
        add_block(passes, blocks[reached[candidate]], candidate, &mut sums[candidate]);
        reached[candidate] += 1;
        bounds[candidate] = better[candidate] - sums[candidate].value();
        if reached[candidate] == blocks.len() {
            best = best.max(bounds[candidate]);
            bounds[candidate] = f64::NEG_INFINITY;
        }
    }
}

/// The first of the greatest numbers; nothing if none is above minus infinity.
fn greatest(numbers: &[f64]) -> Option<usize> {
    let mut greatest = None;
    let mut top = f64::NEG_INFINITY;
    for (i, &number) in numbers.iter().enumerate() {
        if number > top {
            (greatest, top) = (Some(i), number);
        }
    }
    greatest
}

/// Adds a block of components, the first of which has number `start`, to one candidate's sum.
#[inline(always)]
fn add_block(passes: &[Pass<'_>], (start, constants): (usize, &[f64]), candidate: usize, sum: &mut LogSumExp) {
    // What a whole number of vectors has more is nothing to sum.
    let mut terms = [f64::NEG_INFINITY; BLOCK];
    let whole = constants.len().next_multiple_of(LANES);
    let own = &mut terms[..constants.len()];
    own.copy_from_slice(constants);
    for pass in passes {
        pass.add_bound(candidate, start, own);
    }
    // The last of the first block is the prior: it is nowhere small, so it rules most of the others out.
    let (others, last) = own.split_at_mut(constants.len() - 1);
    for pass in passes {
        pass.tighten(candidate, start + others.len(), f64::NEG_INFINITY, last);
    }
    let floor = sum.floor_with(last[0]);
    for pass in passes {
        pass.tighten(candidate, start, floor, others);
    }
    sum.add(&terms[..whole]);
}

/// One parameter's contribution to the terms of the mixture, prepared for all candidates.
pub(super) enum Pass<'a> {
    Continuous {
        mean: &'a [f64],
        scale: &'a [f64],
        at: Vec<f64>,
    },
    Discrete {
        mean: &'a [f64],
        scale: &'a [f64],
        /// Per candidate, the ends of its cell.
        cells: Vec<(f64, f64)>,
    },
    Remembered {
        /// Per component, the number of its kernel.
        kernel: &'a [u32],
        /// Per candidate, the masses of its cell by kernel.
        masses: Vec<&'a [f64]>,
    },
    Categorical {
        own: &'a [f64],
        hit: f64,
        miss: f64,
        at: Vec<f64>,
    },
}

/// The squared distance of a cell from a mean, over 2σ². The mass of a cell is below exp of minus that (Chernoff).
#[inline(always)]
fn cell_distance((low, high): (f64, f64), mean: f64, scale: f64) -> f64 {
    let greater = |a: f64, b: f64| if a > b { a } else { b };
    let z = greater(greater(low - mean, mean - high), 0.0) * scale;
    z * z
}

/// ln mass of a kernel in a cell.
pub(super) fn log_mass_of_cell((low, high): (f64, f64), mean: f64, scale: f64) -> f64 {
    log_mass((low - mean) * (SQRT_2 * scale), (high - mean) * (SQRT_2 * scale))
}

impl<'a> Pass<'a> {
    /// Prepares one parameter's kernels for its values in all candidates; nothing for a point. `masses` remembers those of
    /// the kernels, if they are numbered.
    pub(super) fn new(
        axis: &'a Axis,
        values: impl Iterator<Item = f64>,
        masses: Option<&'a mut Masses>,
    ) -> Option<Self> {
        match axis {
            Axis::Continuous { interval, mean, scale, .. } => {
                Some(Self::Continuous { mean, scale, at: interval.positions(values) })
            }
            Axis::Discrete { interval, mean, scale, kernel, .. } => {
                Some(match masses.filter(|_| kernel.len() == mean.len()) {
                    None => Self::Discrete { mean, scale, cells: values.map(|value| interval.cell(value)).collect() },
                    Some(masses) => {
                        let rows: Vec<usize> = values.map(|value| masses.row_of(value, interval)).collect();
                        let masses = &*masses;
                        Self::Remembered { kernel, masses: rows.into_iter().map(|row| masses.row(row)).collect() }
                    }
                })
            }
            &Axis::Categorical { ref own, hit, miss, .. } => {
                Some(Self::Categorical { own, hit, miss, at: values.collect() })
            }
            Axis::Spread(spread) => Some(Self::Remembered {
                kernel: &spread.own,
                masses: values.map(|value| spread.logs_of(value)).collect(),
            }),
            Axis::Point(_) => None,
        }
    }

    /// Adds the contribution of one candidate to the terms of the components from `start` on; for a parameter with a
    /// step whose masses are not remembered, an upper bound of it.
    #[inline(always)]
    pub(super) fn add_bound(&self, candidate: usize, start: usize, terms: &mut [f64]) {
        let range = start..start + terms.len();
        match self {
            Self::Continuous { mean, scale, at } => {
                let at = at[candidate];
                for ((term, mean), scale) in terms.iter_mut().zip(&mean[range.clone()]).zip(&scale[range]) {
                    let z = (at - mean) * scale;
                    *term -= z * z;
                }
            }
            Self::Discrete { mean, scale, cells } => {
                let cell = cells[candidate];
                for ((term, &mean), &scale) in terms.iter_mut().zip(&mean[range.clone()]).zip(&scale[range]) {
                    *term -= cell_distance(cell, mean, scale);
                }
            }
            Self::Remembered { kernel, masses } => {
                let masses = masses[candidate];
                for (term, &kernel) in terms.iter_mut().zip(&kernel[range]) {
                    *term += masses[kernel as usize];
                }
            }
            &Self::Categorical { own, hit, miss, ref at } => {
                let at = at[candidate];
                for (term, &own) in terms.iter_mut().zip(&own[range]) {
                    *term += if own == at { hit } else { miss };
                }
            }
        }
    }

    /// Replaces the bound by the contribution itself in all terms that may still matter.
    #[inline(always)]
    pub(super) fn tighten(&self, candidate: usize, start: usize, floor: f64, terms: &mut [f64]) {
        let Self::Discrete { mean, scale, cells } = self else { return };
        let cell = cells[candidate];
        for (i, term) in (start..).zip(terms).filter(|(_, term)| **term > floor) {
            *term += cell_distance(cell, mean[i], scale[i]) + log_mass_of_cell(cell, mean[i], scale[i]);
        }
    }
}
