//! From codes back to floats, believing a file only as far as its parts bear it out.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::grid::{Grid, largest_code};
use super::layout::{ACTIVATIONS, ALIGN, FORMAT, Layout, TENSORS};
use super::pack::{packed_bytes, unpack};
use crate::fault::WeightsError;
use crate::storage::{Checkpoint, Declared, Dtype, Tensor, Writer, Written, alignment_order};
use crate::stream::{self, Options, Planned, pieces};

/// A quantised tensor as its file describes it.
struct Coded<'a> {
    layout: Layout,
    packed: &'a Tensor,
    scales: Vec<f64>,
    grids: Vec<Grid>,
    /// Ascending by index.
    outliers: Vec<(u64, f64)>,
    wrong: WrongFile<'a>,
}

/// Says what is wrong with a tensor of a quantised file.
#[derive(Clone, Copy)]
struct WrongFile<'a> {
    path: &'a Path,
    name: &'a str,
}

impl WrongFile<'_> {
    fn because(&self, why: &str) -> WeightsError {
        WeightsError::Index { path: self.path.to_owned(), why: format!("quantised tensor `{}`: {why}", self.name) }
    }
}

impl<'a> Coded<'a> {
    /// Reads and checks everything but the codes.
    fn open(model: &'a Checkpoint, name: &'a str, layout: Layout) -> Result<Self, WeightsError> {
        let wrong = WrongFile { path: model.path(), name };
        let entries = layout.shape.iter().try_fold(1_u64, |n, &side| n.checked_mul(side)).unwrap_or(0);
        let whole =
            layout.row > 0 && layout.group > 0 && layout.group <= layout.row && entries % layout.row.max(1) == 0;
        if !whole
            || entries == 0
            || entries > u64::MAX / 64
            || !(2..=8).contains(&layout.bits)
            || !layout.dtype.is_float()
        {
            return Err(wrong.because("its description cannot be"));
        }
        let part = |of: &str, dtype: Dtype| {
            let tensor = model.get(&format!("{name}.{of}")).filter(|tensor| tensor.dtype() == dtype);
            tensor.ok_or_else(|| wrong.because(&format!("`{name}.{of}` of type {dtype} is missing")))
        };
        let sized = |tensor: &'a Tensor, entries: u64| {
            (tensor.entries() == entries).then_some(tensor).ok_or_else(|| {
                wrong.because(&format!("`{}` has {} entries instead of {entries}", tensor.name(), tensor.entries()))
            })
        };
        let numbers = |tensor: &Tensor| {
            let mut numbers = vec![0.0; tensor.entries() as usize];
            tensor.dtype().decode(&tensor.window(0..tensor.bytes())?, &mut numbers);
            Ok::<_, WeightsError>(numbers)
        };
        let scales = numbers(sized(part("scale", layout.wide())?, layout.groups())?)?;
        let exponents = numbers(part("exponent", layout.wide())?)?;
        if exponents.len() != 1 && exponents.len() as u64 != layout.groups() {
            return Err(wrong.because("it has neither one exponent nor one per group"));
        }
        if scales.iter().any(|scale| !(scale.is_finite() && *scale >= 0.0)) {
            return Err(wrong.because("a scale is not a finite number from 0 up"));
        }
        if exponents.iter().any(|exponent| !(0.01..=10.0).contains(exponent)) {
            return Err(wrong.because("an exponent is not between 0.01 and 10"));
        }
        let packed = sized(part("codes", Dtype::U8)?, layout.code_bytes())?;
        let mut outliers = Vec::new();
        if layout.outliers > 0 {
            let index = sized(part("outlier_index", Dtype::U32)?, layout.outliers)?;
            let value = sized(part("outlier_value", Dtype::F16)?, layout.outliers.next_multiple_of(4))?;
            let window = index.window(0..index.bytes())?;
            let places = window.as_chunks::<4>().0.iter().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
            outliers = places.zip(numbers(value)?).collect();
            if outliers.iter().any(|(index, _)| *index >= entries) || !outliers.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(wrong.because("its outliers are not in order within the tensor"));
            }
        }
        let grids = exponents.iter().map(|&exponent| Grid::new(layout.curve, layout.bits, exponent)).collect();
        Ok(Self { layout, packed, scales, grids, outliers, wrong })
    }

    /// Codes of a range that begins at a multiple of eight.
    fn codes(&self, range: Range<u64>) -> Result<Vec<i8>, WeightsError> {
        let bits = self.layout.bits;
        let window = self.packed.window(packed_bytes(range.start, bits)..packed_bytes(range.end, bits))?;
        let mut codes = vec![0_i8; (range.end - range.start) as usize];
        unpack(&window, bits, &mut codes);
        let last = largest_code(bits) as i8;
        if codes.iter().any(|&code| code < -last) {
            return Err(self.wrong.because("a code is outside the grid"));
        }
        Ok(codes)
    }

    /// Weights of a range that begins at a multiple of eight.
    fn decode(&self, range: Range<u64>, out: &mut Vec<f64>) -> Result<(), WeightsError> {
        let codes = self.codes(range.clone())?;
        out.clear();
        for (group, stretch) in self.layout.stretches(range.start, codes.len()) {
            let grid = &self.grids[if self.grids.len() == 1 { 0 } else { group }];
            out.extend(codes[stretch].iter().map(|&code| grid.decode(code, self.scales[group])));
        }
        let first = self.outliers.partition_point(|(index, _)| *index < range.start);
        for (index, value) in self.outliers[first..].iter().take_while(|(index, _)| *index < range.end) {
            out[(index - range.start) as usize] = *value;
        }
        Ok(())
    }
}

/// Entries decoded at a time.
const DECODED: u64 = 4096;

/// What a quantised file says of its quantised tensors.
fn layouts(model: &Checkpoint) -> Result<BTreeMap<String, Layout>, WeightsError> {
    let wrong = |why: String| WeightsError::Index { path: model.path().to_owned(), why };
    if model.metadata().get(FORMAT.0).map(String::as_str) != Some(FORMAT.1) {
        return Err(wrong(format!("not a file quantised by kilter: its metadata lack {} = {}", FORMAT.0, FORMAT.1)));
    }
    let described = model.metadata().get(TENSORS).map_or("", String::as_str);
    serde_json::from_str(described).map_err(|why| wrong(format!("its {TENSORS} cannot be read: {why}")))
}

/// A quantised tensor, its codes unpacked.
pub(super) struct Unpacked {
    pub shape: Vec<u64>,
    pub codes: Vec<i8>,
    pub scales: Vec<f64>,
    pub grids: Vec<Grid>,
    pub has_outliers: bool,
}

/// A quantised tensor of a file; nothing if the file holds none of this name.
pub(super) fn coded(model: &Checkpoint, name: &str) -> Result<Option<Unpacked>, WeightsError> {
    if !model.metadata().contains_key(FORMAT.0) {
        return Ok(None);
    }
    let Some((name, layout)) = layouts(model)?.remove_entry(name) else { return Ok(None) };
    let coded = Coded::open(model, &name, layout)?;
    let codes = coded.codes(0..coded.layout.entries())?;
    let Coded { layout, scales, grids, outliers, .. } = coded;
    Ok(Some(Unpacked { shape: layout.shape, codes, scales, grids, has_outliers: !outliers.is_empty() }))
}

/// In how many bits whoever runs a model is to feed its linear layers; nothing where floats are fed.
///
/// # Errors
/// [`WeightsError`] if the file says something else than 4 to 8.
pub fn activation_bits(model: &Checkpoint) -> Result<Option<u32>, WeightsError> {
    let said = model.metadata().get(ACTIVATIONS);
    let bits = |said: &String| said.parse().ok().filter(|bits| (4..=8).contains(bits));
    said.map(|said| {
        bits(said).ok_or_else(|| WeightsError::Index {
            path: model.path().to_owned(),
            why: format!("its {ACTIVATIONS} are `{said}` instead of 4 to 8"),
        })
    })
    .transpose()
}

/// A tensor that was held as codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its numbers, row-major.
    pub numbers: Vec<f64>,
}

/// The shape and all numbers of a tensor that a quantised file holds as codes; nothing if it holds none of this name.
///
/// # Errors
/// [`WeightsError`] if the file contradicts itself.
pub fn decode(model: &Checkpoint, name: &str) -> Result<Option<Decoded>, WeightsError> {
    if !model.metadata().contains_key(FORMAT.0) {
        return Ok(None);
    }
    let Some((name, layout)) = layouts(model)?.remove_entry(name) else { return Ok(None) };
    let coded = Coded::open(model, &name, layout)?;
    let mut numbers = Vec::new();
    coded.decode(0..coded.layout.entries(), &mut numbers)?;
    Ok(Some(Decoded { shape: coded.layout.shape.clone(), numbers }))
}

/// Turns a quantised file back into floats: same names, shapes and types as before.
///
/// # Errors
/// [`WeightsError`] if the file was not made by [`quantize`](super::quantize()) or contradicts itself; nothing is written then.
pub fn dequantize(model: &Checkpoint, target: &Path, options: &Options<'_>) -> Result<Written, WeightsError> {
    let wrong = |why: String| WeightsError::Index { path: model.path().to_owned(), why };
    let layouts = layouts(model)?;
    let coded = layouts.iter().map(|(name, layout)| Ok((name.as_str(), Coded::open(model, name, layout.clone())?)));
    let coded: BTreeMap<&str, Coded<'_>> = coded.collect::<Result<_, WeightsError>>()?;
    let is_part = |name: &str| {
        let (of, part) = name.rsplit_once('.').unwrap_or((name, ""));
        coded.contains_key(of) && ["scale", "exponent", "codes", "outlier_index", "outlier_value"].contains(&part)
    };
    let kept: Vec<&Tensor> = model.tensors().iter().filter(|tensor| !is_part(tensor.name())).collect();
    let mut declared: Vec<Declared> = kept
        .iter()
        .map(|tensor| Declared {
            name: tensor.name().to_owned(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
        })
        .collect();
    declared.extend(coded.iter().map(|(&name, coded)| Declared {
        name: name.to_owned(),
        dtype: coded.layout.dtype,
        shape: coded.layout.shape.clone(),
    }));
    let order = alignment_order(declared.iter().map(|tensor| tensor.dtype.bits()));
    let declared: Vec<Declared> = order.iter().map(|&i| declared[i].clone()).collect();
    let total = declared.iter().map(Declared::bytes).sum::<Result<u64, _>>()?;
    let mut metadata = model.metadata().clone();
    metadata.remove(FORMAT.0);
    metadata.remove(TENSORS);
    let writer = Writer::create(target, declared.clone(), &metadata, &[model], options.shard_bytes)?;
    let plans = declared.iter().map(|tensor| match coded.get(tensor.name.as_str()) {
        None => match model.get(&tensor.name) {
            Some(tensor) => Ok(Planned::copy(tensor)),
            None => Err(wrong(format!("tensor `{}` is missing", tensor.name))),
        },
        Some(coded) => {
            let fill = move |range: Range<u64>, out: &mut Vec<u8>| {
                let mut weights = Vec::new();
                for start in range.clone().step_by(DECODED as usize) {
                    coded.decode(start..range.end.min(start + DECODED), &mut weights)?;
                    coded.layout.dtype.encode(&weights, out);
                }
                Ok(())
            };
            Ok(Planned { ranges: pieces(coded.layout.entries(), ALIGN), fill: Box::new(fill) })
        }
    });
    stream::write(writer, plans, total, options)
}
