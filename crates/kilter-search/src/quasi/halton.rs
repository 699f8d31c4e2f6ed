//! Halton's sequence: coordinate d counts in the base of the d-th prime and mirrors the digits at the point.
//!
//! Halton, *On the efficiency of certain quasi-random sequences of points in evaluating multi-dimensional integrals*
//! (1960). Coordinates of large primes run in step for as long as the prime; the random linear scrambling of the digits
//! (Matoušek, *On the L2-discrepancy for anchored boxes*, 1998: x -> f x + r modulo the base, f and r drawn per
//! coordinate and place) undoes that. Sobol's sequence is better where it can be had.

use kilter_numerics::Stream;

use super::Sequence;

/// Halton's sequence.
pub struct Halton {
    /// Per coordinate the base, and per digit the factor and the shift.
    digits: Vec<(u64, Vec<(u64, u64)>)>,
}

impl Halton {
    /// The sequence for this many coordinates, scrambled by a seed if there is one.
    pub fn new(dimensions: usize, seed: Option<u64>) -> Self {
        let digits = primes(dimensions).into_iter().enumerate().map(|(at, base)| {
            // As many digits as a float can tell apart.
            let places = (f64::from(f64::MANTISSA_DIGITS) / (base as f64).log2()).ceil() as usize;
            let scrambles = match seed {
                None => vec![(1, 0); places],
                Some(seed) => {
                    let mut stream = Stream::new(&[seed, at as u64], "halton");
                    (0..places).map(|_| (1 + stream.below(base - 1), stream.below(base))).collect()
                }
            };
            (base, scrambles)
        });
        Self { digits: digits.collect() }
    }
}

impl Sequence for Halton {
    fn point(&mut self, index: u64, point: &mut [f64]) {
        for (x, (base, places)) in point.iter_mut().zip(&self.digits) {
            let (mut left, mut weight) = (index, 1.0);
            *x = 0.0;
            for (factor, shift) in places {
                weight /= *base as f64;
                *x += ((left % base * factor + shift) % base) as f64 * weight;
                left /= base;
            }
            // All digits being the highest rounds to 1.
            *x = x.min(1.0_f64.next_down());
        }
    }
}

/// The first primes.
fn primes(count: usize) -> Vec<u64> {
    let mut primes: Vec<u64> = Vec::with_capacity(count);
    let mut candidate = 2;
    while primes.len() < count {
        if primes.iter().take_while(|&prime| prime * prime <= candidate).all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    primes
}
