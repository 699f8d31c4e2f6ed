//! Evaluates the kernels of [`Parzen`](super::parzen::Parzen) at candidates: first everything that is cheap, with an
//! upper bound where it isn't, then the rest where the bound leaves room.
//!
//! The loops are compiled twice, for any processor and for those with AVX2, which has vectors twice as long. Both do the
//! same operations in the same order (nothing is fused), so that a proposal does not hang on the machine.

use super::log_sum_exp::LogSumExp;
use super::parzen::Axis;
use kilter_numerics::normal::log_mass;
use std::f64::consts::SQRT_2;

/// A parameter with a step has its kernels' masses remembered when this many or fewer are different, as they are where
/// there are far fewer values than observations; more would hardly meet twice.
const FEW_KERNELS: usize = 256;

/// Components of a mixture are summed in blocks of this many: a block of eight parameters then fits the first-level
/// cache (16 KiB) while all candidates pass over it.
const BLOCK: usize = 128;

/// Adds up the kernels of all components for each candidate: `log_constant` has the prior last, `sums` one sum per
/// candidate. A candidate whose sum passes its limit is left there.
pub(super) fn accumulate(passes: &mut [Pass<'_>], log_constant: &[f64], limits: &[f64], sums: &mut [LogSumExp]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "the processor has what the function is compiled for: it was asked")]
        // SAFETY: its only precondition is that the processor has AVX2.
        return unsafe { accumulate_with_avx2(passes, log_constant, limits, sums) };
    }
    accumulate_blocks(passes, log_constant, limits, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn accumulate_with_avx2(passes: &mut [Pass<'_>], log_constant: &[f64], limits: &[f64], sums: &mut [LogSumExp]) {
    accumulate_blocks(passes, log_constant, limits, sums);
}

#[inline(always)]
fn accumulate_blocks(passes: &mut [Pass<'_>], log_constant: &[f64], limits: &[f64], sums: &mut [LogSumExp]) {
    // The prior first: it is nowhere small, so it rules most of the others out. Then the newest, which lie nearest to
    // what is drawn now.
    let (observed, prior) = log_constant.split_at(log_constant.len() - 1);
    let blocks = observed.chunks(BLOCK).enumerate().rev().map(|(block, constants)| (block * BLOCK, constants));
    let mut going_on: Vec<usize> = (0..sums.len()).collect();
    let mut terms = [0.0; BLOCK];
    for (start, constants) in [(observed.len(), prior)].into_iter().chain(blocks) {
        let terms = &mut terms[..constants.len()];
        for &candidate in &going_on {
            terms.copy_from_slice(constants);
            for pass in &*passes {
                pass.add_bound(candidate, start, terms);
            }
            for pass in &mut *passes {
                pass.tighten(candidate, start, sums[candidate].floor(), terms);
            }
            sums[candidate].add(terms);
        }
        going_on.retain(|&candidate| sums[candidate].value() <= limits[candidate]);
    }
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
        remembered: Option<Remembered<'a>>,
    },
    Categorical {
        own: &'a [f64],
        hit: f64,
        miss: f64,
        at: Vec<f64>,
    },
}

/// ln mass of cells that many components share.
pub(super) struct Remembered<'a> {
    kernel: &'a [u32],
    /// Per candidate, where the row of its value starts.
    rows: Vec<usize>,
    /// Per distinct value and kernel; NaN where not needed yet.
    masses: Vec<f64>,
}

/// The squared distance of a cell from a mean, over 2σ². The mass of a cell is below exp of minus that (Chernoff).
#[inline(always)]
fn cell_distance((low, high): (f64, f64), mean: f64, scale: f64) -> f64 {
    let greater = |a: f64, b: f64| if a > b { a } else { b };
    let z = greater(greater(low - mean, mean - high), 0.0) * scale;
    z * z
}

impl<'a> Pass<'a> {
    /// Prepares one parameter's kernels for its values in all candidates; nothing for a point.
    pub(super) fn new(axis: &'a Axis, values: impl Iterator<Item = f64>) -> Option<Self> {
        match axis {
            Axis::Continuous { interval, mean, scale } => {
                Some(Self::Continuous { mean, scale, at: interval.positions(values) })
            }
            &Axis::Discrete { interval, ref mean, ref scale, ref kernel, kernels } => {
                let values: Vec<f64> = values.collect();
                let cells = values.iter().map(|&value| interval.cell(value)).collect();
                let remembered = (kernels <= FEW_KERNELS).then(|| {
                    let mut distinct = values.clone();
                    distinct.sort_unstable_by(f64::total_cmp);
                    distinct.dedup();
                    let row = |value: &f64| distinct.partition_point(|d| d < value) * kernels;
                    Remembered {
                        kernel,
                        rows: values.iter().map(row).collect(),
                        masses: vec![f64::NAN; distinct.len() * kernels],
                    }
                });
                Some(Self::Discrete { mean, scale, cells, remembered })
            }
            &Axis::Categorical { ref own, hit, miss, .. } => {
                Some(Self::Categorical { own, hit, miss, at: values.collect() })
            }
            Axis::Point(_) => None,
        }
    }

    /// Adds the contribution of one candidate to the terms of the components from `start` on; for a parameter with a
    /// step, an upper bound of it.
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
            Self::Discrete { mean, scale, cells, .. } => {
                let cell = cells[candidate];
                for ((term, &mean), &scale) in terms.iter_mut().zip(&mean[range.clone()]).zip(&scale[range]) {
                    *term -= cell_distance(cell, mean, scale);
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
    pub(super) fn tighten(&mut self, candidate: usize, start: usize, floor: f64, terms: &mut [f64]) {
        let Self::Discrete { mean, scale, cells, remembered } = self else { return };
        let cell = cells[candidate];
        for (i, term) in (start..).zip(terms).filter(|(_, term)| **term > floor) {
            let (mean, scale) = (mean[i], scale[i]);
            let log_mass = || log_mass((cell.0 - mean) * (SQRT_2 * scale), (cell.1 - mean) * (SQRT_2 * scale));
            let exact = match remembered {
                None => log_mass(),
                Some(Remembered { kernel, rows, masses }) => {
                    let known = &mut masses[rows[candidate] + kernel[i] as usize];
                    if known.is_nan() {
                        *known = log_mass();
                    }
                    *known
                }
            };
            *term += cell_distance(cell, mean, scale) + exact;
        }
    }
}
