//! A grid of levels, and which level a number belongs to.
//!
//! With L = 2^(bits-1) - 1, codes run from -L to L. A size r = |w| / max|w| has the code k if it lies between the k-th and
//! the next threshold. For the power grid level k is (k/L)^(1/a) and the threshold after it ((k + 1/2)/L)^(1/a), which is
//! `round_half_even(L r^a)` without a power per weight. Cost: 2L + 1 powers per grid, up to L comparisons per weight.

use super::Curve;

/// Levels and thresholds of one sign; the other sign mirrors them.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// `levels[k]` is what code k stands for, in units of the largest size: L + 1 of them, from 0 to 1.
    levels: Vec<f64>,
    /// A size above `thresholds[k]` has a code above k: L of them, ascending.
    thresholds: Vec<f64>,
    /// For each bin of sizes, the code at its lower end; below the first bin one begins at code 0.
    begins: Vec<u8>,
    exponent: f64,
    is_uniform: bool,
}

/// Up to so many thresholds every size is compared with each; beyond, the size's leading bits tell where to begin.
const COMPARED: usize = 15;

/// Sizes that are compared together.
const LANES: usize = 8;

/// Bins of sizes: 64 for each factor of two, from 2^-12 to 1.
const BIN_SHIFT: u32 = 52 - 6;
const FIRST_BIN: u64 = (1023 - 12) << 6;
const LAST_BIN: u64 = 1023 << 6;

impl Grid {
    /// The grid of a curve with codes of `bits` bits (2 to 8); the exponent only bends the power grid.
    pub fn new(curve: Curve, bits: u32, exponent: f64) -> Self {
        match curve {
            Curve::Power => Self::power(bits, exponent),
            Curve::Uniform => Self::power(bits, 1.0),
            Curve::Log => Self::log(bits),
        }
    }

    /// The power grid of this exponent; 1 is uniform.
    pub fn power(bits: u32, exponent: f64) -> Self {
        let last = largest_code(bits);
        let level = |k: f64| (k / f64::from(last)).powf(1.0 / exponent);
        let levels = (0..=last).map(|k| level(f64::from(k))).collect();
        let thresholds = (0..last).map(|k| even(k, level(f64::from(k) + 0.5))).collect();
        Self { is_uniform: exponent == 1.0, ..Self::with(levels, thresholds, exponent) }
    }

    /// Zero, and the powers of two from 1 down; sizes are rounded by their logarithm, those below half the least power to
    /// zero.
    pub fn log(bits: u32) -> Self {
        let last = largest_code(bits);
        let power = |k: f64| 2_f64.powf(k - f64::from(last));
        let levels = (0..=last).map(|k| if k == 0 { 0.0 } else { power(f64::from(k)) }).collect();
        let threshold = |k: i32| even(k, if k == 0 { power(0.0) } else { power(f64::from(k) + 0.5) });
        Self::with(levels, (0..last).map(threshold).collect(), 1.0)
    }

    fn with(levels: Vec<f64>, thresholds: Vec<f64>, exponent: f64) -> Self {
        // Few thresholds are compared with everything but the rest of a block, which may begin at code 0.
        let bins = if thresholds.len() > COMPARED { FIRST_BIN..LAST_BIN + 1 } else { 0..0 };
        let begin = |bin: u64| {
            // Sizes below 2^-12 share the first bin, which therefore begins at zero.
            let low = if bin == FIRST_BIN { 0.0 } else { f64::from_bits(bin << BIN_SHIFT) };
            thresholds.partition_point(|&threshold| threshold < low) as u8
        };
        let begins = bins.map(begin).collect();
        Self { levels, thresholds, begins, exponent, is_uniform: false }
    }

    /// What each code from 0 on stands for, in units of the largest size.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Where codes change, in units of the largest size.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// Codes (without sign) of sizes in units of the largest.
    fn place(&self, sizes: &[f64], codes: &mut [u8]) {
        if self.thresholds.len() > COMPARED {
            for (code, &size) in codes.iter_mut().zip(sizes) {
                *code = self.halve(size) as u8;
            }
            return;
        }
        let (blocks, rest) = sizes.as_chunks::<LANES>();
        let (code_blocks, code_rest) = codes.as_chunks_mut::<LANES>();
        lanes::places(blocks, &self.thresholds, code_blocks);
        for (code, &size) in code_rest.iter_mut().zip(rest) {
            *code = self.halve(size) as u8;
        }
    }

    /// The code of a size: how many thresholds it is above.
    fn halve(&self, size: f64) -> usize {
        let bin = (size.to_bits() >> BIN_SHIFT).saturating_sub(FIRST_BIN) as usize;
        let begin = usize::from(self.begins.get(bin).copied().unwrap_or(0));
        let beyond = self.thresholds[begin..].iter().take_while(|&&threshold| threshold < size);
        begin + beyond.count()
    }

    /// Codes of weights, the largest size of whose group is `max`. A group of zeros has codes 0. `scratch` is reused.
    pub fn encode(&self, weights: &[f64], max: f64, codes: &mut [i8], scratch: &mut Scratch) {
        if max == 0.0 {
            codes.fill(0);
            return;
        }
        scratch.measure(weights, max);
        scratch.places.resize(weights.len(), 0);
        self.place(&scratch.sizes, &mut scratch.places);
        lanes::signed(&scratch.places, weights, codes);
    }

    /// Sum of `|r - level|^p` over the sizes that `scratch` has measured, in units of the largest size to the power p.
    pub fn error(&self, scratch: &Scratch, p: f64) -> f64 {
        let power = |off: f64| if p == 2.0 { off * off } else { off.abs().powf(p) };
        let (blocks, rest) = scratch.sizes.as_chunks::<LANES>();
        if self.is_uniform {
            // Adding and taking away 1.5 * 2^52 leaves a whole number, ties to even.
            let last = (self.levels.len() - 1) as f64;
            let off = |&size: &f64| power(size - ((size * last + WHOLE) - WHOLE) / last);
            return match p {
                2.0 => lanes::uniform_squares(blocks, last) + rest.iter().map(off).sum::<f64>(),
                _ => sum(&scratch.sizes, off),
            };
        }
        let one = |&size: &f64| power(size - self.levels[self.halve(size)]);
        if self.thresholds.len() > COMPARED {
            return sum(&scratch.sizes, one);
        }
        if p != 2.0 {
            return sum(&scratch.sizes, one);
        }
        lanes::squares(blocks, &self.thresholds, &self.levels) + rest.iter().map(one).sum::<f64>()
    }

    /// What a code stands for in a group whose largest size is `max`.
    pub fn decode(&self, code: i8, max: f64) -> f64 {
        let size = self.levels[usize::from(code.unsigned_abs()).min(self.levels.len() - 1)] * max;
        if code < 0 { -size } else { size }
    }

    /// Derivative of [`Grid::decode`] in the exponent of a power grid: -w ln(|q|/L) / a², 0 for code 0.
    pub fn gradient(&self, code: i8, max: f64) -> f64 {
        if code == 0 {
            return 0.0;
        }
        let share = f64::from(code.unsigned_abs()) / (self.levels.len() - 1) as f64;
        -self.decode(code, max) * share.ln() / (self.exponent * self.exponent)
    }
}

/// L: the largest code of `bits` bits.
pub(super) fn largest_code(bits: u32) -> i32 {
    (1 << (bits.clamp(2, 8) - 1)) - 1
}

/// Ties go to the even code: the threshold after an odd code counts as passed by what equals it.
fn even(k: i32, threshold: f64) -> f64 {
    if k % 2 == 0 { threshold } else { threshold.next_down() }
}

/// Turns a double below 2^51 into a whole number when it is added and taken away, ties to even.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// A sum in lanes, which compilers can vectorise.
fn sum(sizes: &[f64], term: impl Fn(&f64) -> f64) -> f64 {
    let (blocks, rest) = sizes.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, size)| *sum += term(size));
    }
    sums.iter().sum::<f64>() + rest.iter().map(term).sum::<f64>()
}

/// Loops over blocks of sizes, as wide as the processor's registers. The order of sums does not hang on the width.
pub(super) mod lanes {
    use super::{LANES, WHOLE};

    /// How many thresholds each size is above.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn places(sizes: &[[f64; LANES]], thresholds: &[f64], codes: &mut [[u8; LANES]]) {
        for (codes, sizes) in codes.iter_mut().zip(sizes) {
            let mut count = [0.0; LANES];
            for &threshold in thresholds {
                for (count, &size) in count.iter_mut().zip(sizes) {
                    *count += if size > threshold { 1.0 } else { 0.0 };
                }
            }
            *codes = count.map(|count| count as i32 as u8);
        }
    }

    /// Sum of squares of what is left of sizes when their level is taken away.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn squares(sizes: &[[f64; LANES]], thresholds: &[f64], levels: &[f64]) -> f64 {
        let mut sums = [0.0; LANES];
        for sizes in sizes {
            // Every threshold passed takes the difference of two levels off.
            let mut off = *sizes;
            for (&threshold, pair) in thresholds.iter().zip(levels.windows(2)) {
                let step = pair[1] - pair[0];
                for (off, &size) in off.iter_mut().zip(sizes) {
                    *off -= if size > threshold { step } else { 0.0 };
                }
            }
            sums.iter_mut().zip(off).for_each(|(sum, off)| *sum += off * off);
        }
        sums.iter().sum()
    }

    /// The same for levels k / `last`.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn uniform_squares(sizes: &[[f64; LANES]], last: f64) -> f64 {
        let mut sums = [0.0; LANES];
        for sizes in sizes {
            for (sum, &size) in sums.iter_mut().zip(sizes) {
                let off = size - ((size * last + WHOLE) - WHOLE) / last;
                *sum += off * off;
            }
        }
        sums.iter().sum()
    }

    /// Sizes of weights in units of `max`.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn measure(weights: &[f64], max: f64, sizes: &mut [f64]) {
        for (size, weight) in sizes.iter_mut().zip(weights) {
            *size = weight.abs() / max;
        }
    }

    /// Codes with the signs of their weights.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn signed(places: &[u8], weights: &[f64], codes: &mut [i8]) {
        for ((code, &place), &weight) in codes.iter_mut().zip(places).zip(weights) {
            let sign = if weight < 0.0 { -1 } else { 0 };
            *code = (place as i8 ^ sign) - sign;
        }
    }

    /// The largest size; 0 of none.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn largest(weights: &[f64]) -> f64 {
        let (blocks, rest) = weights.as_chunks::<LANES>();
        let mut tops = [0.0_f64; LANES];
        for block in blocks {
            for (top, weight) in tops.iter_mut().zip(block) {
                let size = weight.abs();
                *top = if size > *top { size } else { *top };
            }
        }
        tops.iter().chain(rest).fold(0.0, |top, weight| top.max(weight.abs()))
    }

    /// Sum of squares.
    #[multiversion::multiversion(targets("x86_64+avx512f+avx512dq", "x86_64+avx2"))]
    pub fn energy(weights: &[f64]) -> f64 {
        let (blocks, rest) = weights.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for block in blocks {
            sums.iter_mut().zip(block).for_each(|(sum, weight)| *sum += weight * weight);
        }
        sums.iter().sum::<f64>() + rest.iter().map(|weight| weight * weight).sum::<f64>()
    }
}

/// Buffers of [`Grid::encode`] and [`Grid::error`].
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    sizes: Vec<f64>,
    places: Vec<u8>,
}

impl Scratch {
    /// Measures weights in units of `max`, which is above zero.
    pub fn measure(&mut self, weights: &[f64], max: f64) {
        self.sizes.resize(weights.len(), 0.0);
        lanes::measure(weights, max, &mut self.sizes);
    }
}
