//! ln Σ exp of many terms that arrive in blocks, with at most one exponential per term.
//!
//! The loops are written over eight lanes so that the compiler turns them into vector instructions without leave to
//! reorder sums; the result is the same on every machine.

/// Terms are summed so many at a time.
pub(super) const LANES: usize = 8;

/// Terms this far below the largest are left out: a hundred thousand of them change the sum by 3·10⁻¹⁵.
const NEGLIGIBLE: f64 = 45.0;

/// A running ln Σ exp.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogSumExp {
    top: f64,
    sum: f64,
}

impl LogSumExp {
    pub(super) const EMPTY: Self = Self { top: f64::NEG_INFINITY, sum: 0.0 };

    /// A term below this doesn't matter beside what was added and `term`, which will be.
    #[inline(always)]
    pub(super) fn floor_with(&self, term: f64) -> f64 {
        let top = if term > self.top { term } else { self.top };
        top - NEGLIGIBLE
    }

    #[inline(always)]
    pub(super) fn add(&mut self, terms: &[f64]) {
        let top = maximum(terms);
        if top > self.top {
            self.sum *= (self.top - top).exp();
            self.top = top;
        }
        if top > self.top - NEGLIGIBLE {
            self.sum += sum_of_exp(terms, self.top);
        }
    }

    pub(super) fn value(&self) -> f64 {
        self.top + self.sum.ln()
    }
}

#[inline(always)]
fn maximum(terms: &[f64]) -> f64 {
    let greater = |a: f64, b: f64| if a > b { a } else { b };
    let mut lanes = [f64::NEG_INFINITY; LANES];
    let (blocks, rest) = terms.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &term) in lanes.iter_mut().zip(block) {
            *lane = greater(*lane, term);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f64::NEG_INFINITY, greater)
}

/// Σ exp(term - top), no term above `top`.
#[inline(always)]
fn sum_of_exp(terms: &[f64], top: f64) -> f64 {
    let floor = top - NEGLIGIBLE;
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = terms.as_chunks::<LANES>();
    for block in blocks {
        if block.iter().fold(false, |any, &term| any | (term > floor)) {
            for (lane, &term) in lanes.iter_mut().zip(block) {
                *lane += exp_of_negative(term - top);
            }
        }
    }
    lanes.into_iter().sum::<f64>() + rest.iter().map(|&term| exp_of_negative(term - top)).sum::<f64>()
}

/// exp(x) for x ≤ 0, to a relative error of 10⁻¹⁴; below -700, where a sum that contains exp(0) can't notice, the
/// value at -700.
///
/// Cody and Waite's reduction, exp(x) = 2ᵏ exp(r) with |r| ≤ ln 2 / 2, and the Taylor polynomial of degree 11.
#[inline(always)]
fn exp_of_negative(x: f64) -> f64 {
    /// Adding 1.5 · 2⁵² rounds to an integer and leaves it in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// ln 2 in two parts; the first has 21 trailing zeros, so that k times it is exact.
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut series = 1.0 / 39_916_800.0;
    for inverse_factorial in [
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series * r + inverse_factorial;
    }
    // The exponent of a double is stored with 1023 added, above 52 bits of mantissa.
    series * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_agree_with_the_library() {
        for i in 0..=70_000 {
            let x = -0.01 * f64::from(i);
            // Remainder 0.3466¹²/12! = 6e-15 relative to exp(r) ≥ 0.7.
            assert!((exp_of_negative(x) / x.exp() - 1.0).abs() < 1e-14, "{x}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert!(exp_of_negative(f64::NEG_INFINITY) < 1e-300);
    }

    #[test]
    fn blocks_in_any_split_give_the_same_sum() {
        let terms: Vec<f64> = (0..100).map(|i| 300.0 * f64::sin(f64::from(i))).collect();
        let exact = 300.0 + terms.iter().map(|t| (t - 300.0).exp()).sum::<f64>().ln();
        for cut in 0..=100 {
            let mut running = LogSumExp::EMPTY;
            running.add(&terms[..cut]);
            running.add(&terms[cut..]);
            assert!((running.value() - exact).abs() < 1e-12, "{cut}");
        }
    }

    #[test]
    fn nothing_sums_to_nothing() {
        let mut running = LogSumExp::EMPTY;
        running.add(&[]);
        running.add(&[f64::NEG_INFINITY; 3]);
        assert_eq!(running.value(), f64::NEG_INFINITY);
        running.add(&[-1e4]);
        assert_eq!(running.value(), -1e4);
    }
}
