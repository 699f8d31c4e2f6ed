//! Sums in sixteen lanes, which compilers turn into the widest vectors of the machine and which round less than a single one.
//! Nothing is fused, so that they are the same on every machine.

use crate::op::real::Real;

/// Numbers that are summed side by side.
pub const LANES: usize = 16;

/// `Σ x`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn sum<R: Real>(x: &[R]) -> R {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [R::zero(); LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).sum()
}

/// `Σ a·(b - centre)`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn dot_about<R: Real>(a: &[R], b: &[R], centre: R) -> R {
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [R::zero(); LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * (b - centre);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| a * (b - centre));
    lanes.into_iter().chain(rest).sum()
}

/// `Σ a·b`.
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    dot_about(a, b, R::zero())
}

/// `Σ (x - centre)²`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn squares_about<R: Real>(x: &[R], centre: R) -> R {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [R::zero(); LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += (x - centre) * (x - centre);
        }
    }
    let rest = rest.iter().map(|&x| (x - centre) * (x - centre));
    lanes.into_iter().chain(rest).sum()
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
