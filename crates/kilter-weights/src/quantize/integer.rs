//! Integer inference with a power grid: codes are looked up, sums are of whole numbers.
//!
//! Powers do not preserve sums, so a code is decoded by a table of 2^14-fold levels, rounded to 16 bits. The sum over
//! inputs is exact in integers; one multiplication by `max|w| * activation scale / 2^14` ends it. It differs from the
//! decoded model by the table's rounding only: at most half the sum of the activations' sizes, in units of 2^-14.

use super::grid::Grid;
use super::read::coded;
use crate::fault::WeightsError;
use crate::storage::Checkpoint;

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

    /// What a code stands for. Codes beyond the table count as its ends.
    pub fn entry(&self, code: i8) -> i16 {
        let last = (self.table.len() / 2) as i8;
        self.table[(i16::from(code.clamp(-last, last)) + i16::from(last)) as usize]
    }

    /// Sum of looked-up codes times activations (8 bits, signed or not), exactly.
    pub fn dot(&self, codes: &[i8], activations: &[i16]) -> i64 {
        dot(&codes.iter().map(|&code| self.entry(code)).collect::<Vec<_>>(), activations)
    }
}

/// Sum of table entries times activations of 8 bits, exactly.
fn dot(weights: &[i16], activations: &[i16]) -> i64 {
    let stretches = weights.chunks(STRETCH).zip(activations.chunks(STRETCH));
    let partial = |(weights, activations): (&[i16], &[i16])| {
        let terms = weights.iter().zip(activations).map(|(&w, &x)| i32::from(w) * i32::from(x.clamp(-255, 255)));
        i64::from(terms.sum::<i32>())
    };
    stretches.map(partial).sum()
}

/// Whole numbers of so many bits, with a sign where there are numbers below zero, and what one of them is worth: the largest
/// size divided by the largest whole number, or 1 if all are zero.
pub fn whole_numbers(x: &[f64], bits: u32) -> (Vec<i16>, f64) {
    let largest = x.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let signed = x.iter().any(|&x| x < 0.0);
    let last = f64::from((1_u32 << if signed { bits - 1 } else { bits }) - 1);
    let scale = if largest > 0.0 { largest / last } else { 1.0 };
    (x.iter().map(|x| (x / scale).round_ties_even() as i16).collect(), scale)
}

/// A linear layer of a quantised file whose products are of whole numbers.
#[derive(Clone, Debug)]
pub struct IntegerLinear {
    /// What the codes stand for by their table, `[outputs, inputs]`.
    weights: Vec<i16>,
    inputs: usize,
    /// Per output.
    scales: Vec<f64>,
}

impl IntegerLinear {
    /// The layer of this weight: `[outputs, inputs]` in codes of a power grid, a scale for each output, no outliers apart.
    ///
    /// # Errors
    /// The file holds no such codes, or contradicts itself.
    pub fn open(model: &Checkpoint, weight: &str) -> Result<Self, WeightsError> {
        let wrong = |why: &str| WeightsError::Setting(format!("`{weight}` of {}: {why}", model.path().display()));
        let coded = coded(model, weight)?.ok_or_else(|| wrong("it is not quantised"))?;
        let &[outputs, inputs] = coded.shape.as_slice() else { return Err(wrong("it is no matrix")) };
        if coded.scales.len() as u64 != outputs || coded.has_outliers {
            return Err(wrong("integer inference wants granularity=channel and outliers=0"));
        }
        let inputs = inputs as usize;
        let tables: Vec<IntegerTable> = coded.grids.iter().map(IntegerTable::new).collect();
        let rows = coded.codes.chunks(inputs.max(1)).enumerate();
        let of_row = |(at, codes): (usize, &[i8])| {
            let table = &tables[if tables.len() == 1 { 0 } else { at }];
            codes.iter().map(|&code| table.entry(code)).collect::<Vec<_>>()
        };
        Ok(Self { weights: rows.flat_map(of_row).collect(), inputs, scales: coded.scales })
    }

    /// Products with 8-bit numbers (signed or not), each worth `scale`: one row of outputs, without bias. Sums are exact;
    /// what is not is the table's rounding.
    ///
    /// # Panics
    /// If there are other than `inputs` numbers: a defect of the caller.
    pub fn forward(&self, x: &[i16], scale: f64) -> Vec<f64> {
        assert_eq!(x.len(), self.inputs, "inputs of a layer");
        let rows = self.weights.chunks(self.inputs.max(1)).zip(&self.scales);
        rows.map(|(weights, weight_scale)| dot(weights, x) as f64 * (weight_scale * scale / UNIT)).collect()
    }
}
