//! The two precisions that kernels run in: f32 for training, f64 for exactness.

use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use burn::tensor::Element;
use num_traits::Float;

use crate::op::reduce::{LANES, sum};

/// Numbers in memory.
pub type View<'a, R> = &'a [R];

/// f32 or f64.
pub trait Real:
    Element + Float + bytemuck::Pod + AddAssign + SubAssign + MulAssign + DivAssign + std::iter::Sum + Send + Sync + 'static
{
    /// The nearest number of this precision.
    fn of(x: f64) -> Self;

    /// As f64.
    fn wide(self) -> f64;

    /// Replaces every `x` by `exp(x)`. In f32 within 2 units of the last place for finite results.
    fn exp_all(xs: &mut [Self]);

    /// Replaces every `x` by `exp(x - top)` and gives their sum, in sixteen lanes.
    fn exp_about(xs: &mut [Self], top: Self) -> Self;

    /// `exp(x - a - b)·scale - less` of every `x`, into `to`; `shift` is `[a, b]`.
    fn exp_scaled(to: &mut [Self], xs: &[Self], shift: [Self; 2], scale: Self, less: Self);

    /// The Gauss error function. In f32 within 2e-7.
    fn erf(self) -> Self;
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }

    fn exp_all(xs: &mut [Self]) {
        for x in xs {
            *x = x.exp();
        }
    }

    fn exp_about(xs: &mut [Self], top: Self) -> Self {
        for x in xs.iter_mut() {
            *x = (*x - top).exp();
        }
        sum(xs)
    }

    fn exp_scaled(to: &mut [Self], xs: &[Self], [a, b]: [Self; 2], scale: Self, less: Self) {
        for (to, x) in to.iter_mut().zip(xs) {
            *to = (x - a - b).exp() * scale - less;
        }
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn exp_all(xs: &mut [Self]) {
        exp_f32(xs);
    }

    fn exp_about(xs: &mut [Self], top: Self) -> Self {
        exp_about_f32(xs, top)
    }

    fn exp_scaled(to: &mut [Self], xs: &[Self], shift: [Self; 2], scale: Self, less: Self) {
        exp_scaled_f32(to, xs, shift, scale, less);
    }

    #[inline(always)]
    fn erf(self) -> Self {
        erf_f32(self)
    }
}

/// exp by 2ⁿ·2ᶠ with |f| ≤ ½ and a polynomial of degree 6 for eᶠ (Cephes' `expf`), without branches, so that the
/// compiler turns the loop into vectors of the widest kind the machine has.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn exp_f32(xs: &mut [f32]) {
    for x in xs {
        *x = exp_one(*x);
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn exp_about_f32(xs: &mut [f32], top: f32) -> f32 {
    let (chunks, rest) = xs.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = exp_one(*x - top);
            *lane += *x;
        }
    }
    for x in rest.iter_mut() {
        *x = exp_one(*x - top);
    }
    lanes.into_iter().chain(rest.iter().copied()).sum()
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn exp_scaled_f32(to: &mut [f32], xs: &[f32], [a, b]: [f32; 2], scale: f32, less: f32) {
    for (to, x) in to.iter_mut().zip(xs) {
        *to = exp_one(x - a - b) * scale - less;
    }
}

/// One exponential; see [`exp_f32`].
#[inline(always)]
pub fn exp_one(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n·ln 2 loses nothing (Cephes).
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.336_54, 88.722_84);
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    // The low bits of the rounded sum are n; 2ⁿ comes in two halves, since n reaches 128 and -126.
    let whole = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = whole >> 1;
    let power = |k: i32| f32::from_bits(((k + 127) as u32) << 23);
    let result = e * power(half) * power(whole - half);
    // What the clamp hid: infinity above, zero below, NaN stays NaN.
    let result = if x > 88.722_84 { f32::INFINITY } else { result };
    let result = if x < -87.336_54 { 0.0 } else { result };
    if x.is_nan() { x } else { result }
}

/// erf by Abramowitz and Stegun 7.1.26 (error below 1.5e-7), odd by construction.
#[inline(always)]
pub fn erf_f32(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let y = 1.0 - poly * exp_one(-a * a);
    if x < 0.0 { -y } else { y }
}
