//! What a quantised file says of a tensor, and which entries share a scale.
//!
//! Of a tensor `NAME` are written: `NAME.scale` (largest size per group), `NAME.exponent` (one, or one per channel),
//! `NAME.codes` (bytes, see [`pack`](super::pack())) and, with outliers, `NAME.outlier_index` and `NAME.outlier_value`
//! (f16). Codes and outlier values are filled with zeros to a multiple of eight bytes, so that every tensor of the file lies
//! at a multiple of its width. The metadata say `kilter.quant = power/1`, and in `kilter.quant.tensors` each tensor's shape,
//! type, bits and groups. `kilter.activation_bits` is there where linear layers are fed whole numbers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::pack::packed_bytes;
use super::{Curve, Granularity, QuantizeConfig};
use crate::storage::{Declared, Dtype, Tensor};

/// Metadata that tell a quantised file.
pub(super) const FORMAT: (&str, &str) = ("kilter.quant", "power/1");

/// Metadata that describe its tensors.
pub(super) const TENSORS: &str = "kilter.quant.tensors";

/// Metadata that say in how many bits a linear layer is fed. Floats that were turned back keep them.
pub(super) const ACTIVATIONS: &str = "kilter.activation_bits";

/// Pieces begin at multiples of so many entries, so that their codes begin at whole bytes.
pub(super) const ALIGN: u64 = 8;

/// How one tensor was quantised: what its reader must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Layout {
    pub shape: Vec<u64>,
    pub dtype: Dtype,
    pub bits: u32,
    pub curve: Curve,
    /// Entries of a row; groups do not go beyond one.
    pub row: u64,
    /// Entries of a group; the last of a row may be shorter.
    pub group: u64,
    /// How many entries are kept apart.
    pub outliers: u64,
}

impl Layout {
    pub fn new(tensor: &Tensor, config: &QuantizeConfig) -> Self {
        let entries = tensor.entries();
        let (first, last) = (tensor.shape().first(), tensor.shape().last());
        let channel = entries / first.copied().unwrap_or(1).max(1);
        let (row, group) = match config.granularity {
            Granularity::Tensor => (entries, entries),
            Granularity::Channel => (channel, channel),
            Granularity::Block(block) => (last.copied().unwrap_or(1), block),
        };
        Self {
            shape: tensor.shape().to_vec(),
            dtype: tensor.dtype(),
            bits: config.bits,
            curve: config.curve,
            row,
            group: group.min(row),
            outliers: (config.outliers * entries as f64).floor() as u64,
        }
    }

    pub fn entries(&self) -> u64 {
        self.shape.iter().product()
    }

    pub fn groups(&self) -> u64 {
        self.entries() / self.row * self.row.div_ceil(self.group)
    }

    /// Scales and exponents have this type.
    pub fn wide(&self) -> Dtype {
        if self.dtype == Dtype::F64 { Dtype::F64 } else { Dtype::F32 }
    }

    pub fn code_bytes(&self) -> u64 {
        packed_bytes(self.entries(), self.bits).next_multiple_of(8)
    }

    /// The stretches of `start..start + length` that lie in one group each: the group and the stretch, counted from
    /// `start`.
    pub fn stretches(&self, start: u64, length: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (row, group, per_row) = (self.row, self.group, self.row.div_ceil(self.group));
        let end = start + length as u64;
        let mut at = start;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let (of_row, column) = (at / row, at % row);
                let next = (of_row * row + ((column / group + 1) * group).min(row)).min(end);
                let stretch = (at - start) as usize..(next - start) as usize;
                at = next;
                ((of_row * per_row + column / group) as usize, stretch)
            })
        })
    }

    /// What is written of the tensor.
    pub fn declared(&self, name: &str, exponents: u64) -> Vec<Declared> {
        let part = |of: &str, dtype, entries| Declared { name: format!("{name}.{of}"), dtype, shape: vec![entries] };
        let mut parts = vec![
            part("scale", self.wide(), self.groups()),
            part("exponent", self.wide(), exponents),
            part("codes", Dtype::U8, self.code_bytes()),
        ];
        if self.outliers > 0 {
            parts.push(part("outlier_index", Dtype::U32, self.outliers));
            parts.push(part("outlier_value", Dtype::F16, self.outliers.next_multiple_of(4)));
        }
        parts
    }
}
