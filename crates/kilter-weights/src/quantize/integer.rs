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

/// A linear layer of a quantised file whose products are of whole numbers.
#[derive(Clone, Debug)]
pub struct IntegerLinear {
    /// `[outputs, inputs]`.
    codes: Vec<i8>,
    inputs: usize,
    /// One for the layer, or one per output.
    tables: Vec<IntegerTable>,
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
        Ok(Self {
            codes: coded.codes,
            inputs: inputs as usize,
            tables: coded.grids.iter().map(IntegerTable::new).collect(),
            scales: coded.scales,
        })
    }

    /// Products with 8-bit numbers (signed or not), each worth `scale`: one row of outputs, without bias. Sums are exact;
    /// what is not is the table's rounding.
    ///
    /// # Panics
    /// If there are other than `inputs` numbers: a defect of the caller.
    pub fn forward(&self, x: &[i16], scale: f64) -> Vec<f64> {
        assert_eq!(x.len(), self.inputs, "inputs of a layer");
        let rows = self.codes.chunks(self.inputs.max(1)).zip(&self.scales);
        let of_row = |(at, (codes, weight_scale)): (usize, (&[i8], &f64))| {
            let table = &self.tables[if self.tables.len() == 1 { 0 } else { at }];
            table.dot(codes, x) as f64 * (weight_scale * scale / UNIT)
        };
        rows.enumerate().map(of_row).collect()
    }
}
