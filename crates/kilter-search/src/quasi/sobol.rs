//! Sobol's sequence: of every 2ᵏ points one lies in each interval of length 2⁻ᵏ of every coordinate, and pairs of
//! coordinates are nearly as even.
//!
//! Sobol', *On the distribution of points in a cube and the approximate evaluation of integrals* (1967), in Gray code
//! order (Antonov and Saleev 1979); direction numbers of Joe and Kuo, *Constructing Sobol sequences with better
//! two-dimensional projections* (2008), for 1024 coordinates; later ones are independent random numbers. Scrambled
//! after Owen (1995) by the hash of Laine and Karras in the form of Burley, *Practical Hash-based Owen Scrambling*
//! (2020). The sequence repeats itself after 2³² points.

use kilter_numerics::Stream;

use super::Sequence;

/// Primitive polynomial (its coefficients as bits) and first direction numbers of each coordinate but the first.
const JOE_KUO: &str = include_str!("joe-kuo-1024.txt");

/// A point is a number of this many bits in each coordinate.
const BITS: usize = 32;

/// Sobol's sequence.
pub struct Sobol {
    directions: Vec<[u32; BITS]>,
    seed: Option<u64>,
    scrambles: Vec<u32>,
}

impl Sobol {
    /// The sequence for this many coordinates, scrambled by a seed if there is one.
    pub fn new(dimensions: usize, seed: Option<u64>) -> Self {
        let first: [u32; BITS] = std::array::from_fn(|bit| 1 << (BITS - 1 - bit));
        let directions: Vec<[u32; BITS]> =
            std::iter::once(first).chain(JOE_KUO.lines().map(directions)).take(dimensions).collect();
        let scramble = |at: usize| Stream::new(&[seed.unwrap_or(0), at as u64], "sobol").bits() as u32;
        Self { scrambles: (0..directions.len()).map(scramble).collect(), directions, seed }
    }
}

impl Sequence for Sobol {
    fn point(&mut self, index: u64, point: &mut [f64]) {
        let gray = (index ^ (index >> 1)) as u32;
        let mut known = point.iter_mut();
        // The coordinates come last: a zip that ends takes one more from what comes first.
        for ((directions, &scramble), x) in self.directions.iter().zip(&self.scrambles).zip(known.by_ref()) {
            let bits = (0..BITS).filter(|bit| gray >> bit & 1 == 1).fold(0, |sum, bit| sum ^ directions[bit]);
            *x = match self.seed {
                Some(_) => (f64::from(owen(bits, scramble)) + 0.5) / 4_294_967_296.0,
                None => f64::from(bits) / 4_294_967_296.0,
            };
        }
        let mut stream = Stream::new(&[self.seed.unwrap_or(0), index], "beyond sobol");
        known.for_each(|x| *x = stream.uniform());
    }
}

/// The direction numbers of one coordinate, by the recurrence of its polynomial.
fn directions(line: &str) -> [u32; BITS] {
    let mut numbers = line.split(' ').map(|word| word.parse::<u32>().unwrap_or(1));
    let polynomial = numbers.next().unwrap_or(1);
    let mut direction = [0; BITS];
    let mut degree = 0;
    for (bit, number) in numbers.enumerate() {
        direction[bit] = number << (BITS - 1 - bit);
        degree = bit + 1;
    }
    for bit in degree..BITS {
        let earlier = direction[bit - degree];
        direction[bit] = (1..degree)
            .filter(|k| polynomial >> (degree - k) & 1 == 1)
            .fold(earlier ^ (earlier >> degree), |sum, k| sum ^ direction[bit - k]);
    }
    direction
}

/// Every bit flipped or not as a hash of the bits above it says: Owen's nested uniform scrambling.
fn owen(bits: u32, seed: u32) -> u32 {
    let mut x = bits.reverse_bits().wrapping_add(seed);
    for factor in [0x6C50_B47C, 0xB82F_1E52, 0xC7AF_E638, 0x8D22_F6E6] {
        x ^= x.wrapping_mul(factor);
    }
    x.reverse_bits()
}
