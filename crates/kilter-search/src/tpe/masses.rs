//! The masses of kernels on a small grid, kept from ask to ask: the same kernels meet the same few values again and again.
//! They are functions of the two alone, so that what is remembered changes no density.
//!
//! Cost: 8 bytes per value and kernel; a mass is taken once.

use std::collections::HashMap;

use super::Dimension;
use super::density::log_mass_of_cell;
use super::dimension::Interval;

/// On a grid of more values than this few kernels would meet a value twice.
const FEW_VALUES: f64 = 256.0;

/// When more kernels than this are known, those of former asks are forgotten (2 MiB with 256 values).
const MANY_KERNELS: usize = 1024;

/// ln masses of cells under kernels, of one parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Masses {
    /// By the bits of the kernel's mean and scale, its number.
    numbers: HashMap<(u64, u64), u32>,
    /// Mean and scale, by number.
    kernels: Vec<(f64, f64)>,
    /// The bits of values, ascending, with their rows.
    values: Vec<(u64, usize)>,
    /// By value and kernel.
    rows: Vec<Vec<f64>>,
}

impl Masses {
    /// Nothing yet; none for a parameter whose masses are not worth keeping.
    pub(super) fn new(dimension: Dimension) -> Option<Self> {
        match dimension {
            Dimension::Numeric { low, high, step: Some(step), .. } if (high - low) / step < FEW_VALUES => {
                Some(Self::default())
            }
            Dimension::Numeric { .. } | Dimension::Categorical { .. } => None,
        }
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.kernels.len() > MANY_KERNELS
    }

    /// The number of a kernel.
    pub(super) fn number(&mut self, mean: f64, scale: f64) -> u32 {
        let next = self.kernels.len() as u32;
        let number = *self.numbers.entry((mean.to_bits(), scale.to_bits())).or_insert(next);
        if number == next {
            self.kernels.push((mean, scale));
        }
        number
    }

    /// The number of a value's row, which then has the masses of all kernels numbered so far.
    pub(super) fn row_of(&mut self, value: f64, interval: &Interval) -> usize {
        let bits = value.to_bits();
        let at = match self.values.binary_search_by_key(&bits, |&(bits, _)| bits) {
            Ok(place) => self.values[place].1,
            Err(place) => {
                self.values.insert(place, (bits, self.rows.len()));
                self.rows.push(Vec::new());
                self.rows.len() - 1
            }
        };
        let row = &mut self.rows[at];
        if row.len() < self.kernels.len() {
            let cell = interval.cell(value);
            row.extend(self.kernels[row.len()..].iter().map(|&(mean, scale)| log_mass_of_cell(cell, mean, scale)));
        }
        at
    }

    /// The masses of a value's cell, by kernel.
    pub(super) fn row(&self, at: usize) -> &[f64] {
        &self.rows[at]
    }
}
