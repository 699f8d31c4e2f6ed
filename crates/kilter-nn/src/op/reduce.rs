//! Sums in many lanes, which compilers turn into a few of the widest vectors of the machine, so that none waits for the one
//! before, and which round less than a single one. Nothing is fused, so that they are the same on every machine.

use crate::op::real::Real;

/// Numbers of the longest vector.
pub const LANES: usize = 16;

/// Numbers that are summed side by side.
const SUMS: usize = 4 * LANES;

/// `Σ term(a, b)`: in all lanes, what is left of them in the first, what is left of these one by one. Inlined, so that the
/// instructions are those of the caller.
#[inline(always)]
fn total<R: Real>(a: &[R], b: &[R], term: impl Fn(R, R) -> R) -> R {
    let mut lanes = [R::zero(); SUMS];
    let ((a_chunks, a), (b_chunks, b)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    let ((a_chunks, a), (b_chunks, b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    // Halves upon halves.
    let mut half = SUMS;
    while half > 1 {
        half /= 2;
        for i in 0..half {
            lanes[i] += lanes[half + i];
        }
    }
    a.iter().zip(b).fold(lanes[0], |sum, (&a, &b)| sum + term(a, b))
}

/// `Σ x`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn sum<R: Real>(x: &[R]) -> R {
    total(x, x, |x, _| x)
}

/// `Σ a·(b - centre)`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn dot_about<R: Real>(a: &[R], b: &[R], centre: R) -> R {
    total(a, b, |a, b| a * (b - centre))
}

/// `Σ a·b`.
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    dot_about(a, b, R::zero())
}

/// `Σ (x - centre)²`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn squares_about<R: Real>(x: &[R], centre: R) -> R {
    total(x, x, |x, _| (x - centre) * (x - centre))
}

/// `Σ x²`, summed in f64.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn wide_square_norm(x: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.into_iter().chain(rest.iter().map(|&x| f64::from(x) * f64::from(x))).sum()
}

/// The largest number; minus infinity of none. A NaN is passed over.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn largest<R: Real>(x: &[R]) -> R {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [R::neg_infinity(); LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(R::neg_infinity(), |a, b| if b > a { b } else { a })
}
