//! Integer inference with a power grid: codes are looked up, sums are of whole numbers.
//!
//! Powers do not preserve sums, so a code is decoded by a table of 2^14-fold levels, rounded to 16 bits. The sum over
//! inputs is exact in integers; one multiplication by `max|w| * activation scale / 2^14` ends it. It differs from the
//! decoded model by the table's rounding only: at most half the sum of the activations' sizes, in units of 2^-14.

use super::grid::Grid;

/// Levels as 16-bit whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerTable {
    /// From code -L to L.
    table: Vec<i16>,
}

/// What level 1 becomes.
const UNIT: f64 = 16_384.0;

/// Terms of at most 2^14 * 255 that a 32-bit sum holds: 514, cut to a power of two.
const STRETCH: usize = 512;

impl IntegerTable {
    /// The table of a grid.
    pub fn new(grid: &Grid) -> Self {
        let last = (grid.levels().len() - 1) as i8;
        Self { table: (-last..=last).map(|code| (UNIT * grid.decode(code, 1.0)).round() as i16).collect() }
    }

    /// The entries, from code -L to L.
    pub fn entries(&self) -> &[i16] {
        &self.table
    }

    /// Sum of looked-up codes times activations (8 bits, signed or not), exactly. Codes beyond the table count as its ends.
    pub fn dot(&self, codes: &[i8], activations: &[i16]) -> i64 {
        let last = (self.table.len() / 2) as i8;
        let entry = |code: i8| i32::from(self.table[(i16::from(code.clamp(-last, last)) + i16::from(last)) as usize]);
        let stretches = codes.chunks(STRETCH).zip(activations.chunks(STRETCH));
        let partial = |(codes, activations): (&[i8], &[i16])| {
            let terms = codes.iter().zip(activations).map(|(&code, &x)| entry(code) * i32::from(x.clamp(-255, 255)));
            i64::from(terms.sum::<i32>())
        };
        stretches.map(partial).sum()
    }
}
