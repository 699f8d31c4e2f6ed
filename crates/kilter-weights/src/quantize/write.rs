//! From floats to codes: what is found out about a tensor, and how its parts are written.
//!
//! Tensors with fewer than two dimensions (norms, biases) and those that are no floats are kept as they are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::grid::{Grid, Scratch, lanes};
use super::layout::{ACTIVATIONS, ALIGN, FORMAT, Layout, TENSORS};
use super::pack::{pack, packed_bytes};
use super::search::{Profile, search};
use super::{Curve, Exponent, QuantizeConfig};
use crate::fault::WeightsError;
use crate::merge::refuse_quantised;
use crate::rank::{Pieces, Span, Survivors, key, span};
use crate::storage::{Checkpoint, Declared, Dtype, Tensor, Writer, Written, alignment_order};
use crate::stream::{self, Options, Planned, Stack, Tile, pieces};

/// A largest size below this counts as zero: dividing by it would overflow.
const ZERO: f64 = 1e-30;

/// What quantising did to one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorQuality {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Bits per code.
    pub bits: u32,
    /// The exponent (the mean, if each channel has one).
    pub exponent: f64,
    /// Mean squared error per entry, before rounding to the tensor's own type.
    pub mean_squared_error: f64,
    /// The same with the uniform grid.
    pub mean_squared_error_uniform: f64,
    /// Signal to quantisation noise in decibels; nothing where there is no noise.
    pub sqnr_decibels: Option<f64>,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes of codes, scales, exponents and outliers.
    pub bytes_after: u64,
}

/// What quantising did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuantizeReport {
    /// The settings.
    pub settings: QuantizeConfig,
    /// Bytes of the input's tensors.
    pub bytes_in: u64,
    /// Quantised tensors, in the order written.
    pub quality: Vec<TensorQuality>,
    /// What was written.
    #[serde(flatten)]
    pub written: Written,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A tensor's sizes, in pieces.
struct Sizes<'a> {
    stack: &'a Stack<'a>,
    ranges: Vec<Range<u64>>,
}

impl Pieces for Sizes<'_> {
    fn entries(&self) -> u64 {
        self.stack.entries()
    }
    fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
    fn visit(&self, piece: usize, each: &mut dyn FnMut(u64, &[f64])) -> Result<(), WeightsError> {
        self.stack.tiles(self.ranges[piece].clone(), 1, |tile| each(tile.start, tile.row(0)))
    }
}

/// A tensor about to be quantised.
struct Subject<'a> {
    stack: Stack<'a>,
    layout: Layout,
    name: &'a str,
    bytes: u64,
}

/// What was found out about it.
struct Analysis {
    /// Largest size per group.
    scales: Vec<f64>,
    /// One, or one per group.
    grids: Vec<Grid>,
    exponents: Vec<f64>,
    /// Places of the outliers, empty if there are none.
    apart: Option<Span>,
}

impl Subject<'_> {
    /// A tile's weights with zeros for outliers.
    fn inliers<'t>(tile: &'t Tile<'_>, apart: &Option<Span>, buffer: &'t mut Vec<f64>) -> &'t [f64] {
        let Some(apart) = apart else { return tile.row(0) };
        buffer.clear();
        let weights = (tile.start..).zip(tile.row(0));
        buffer.extend(weights.map(|(index, &w)| if apart.contains(&(key(w), index)) { 0.0 } else { w }));
        buffer
    }

    fn apart(&self) -> Result<Option<Span>, WeightsError> {
        if self.layout.outliers == 0 {
            return Ok(None);
        }
        let entries = self.layout.entries();
        let survivors = Survivors { ranks: (entries - self.layout.outliers, entries) };
        span(&Sizes { stack: &self.stack, ranges: pieces(entries, 1) }, survivors).map(Some)
    }

    /// Largest size per group, as the file will hold it.
    fn scales(&self, apart: &Option<Span>) -> Result<Vec<f64>, WeightsError> {
        let found = self.stack.survey(ALIGN, |maxima: &mut Vec<(usize, f64)>, tile| {
            let mut buffer = Vec::new();
            let weights = Self::inliers(tile, apart, &mut buffer);
            for (group, stretch) in self.layout.stretches(tile.start, tile.entries()) {
                let largest = lanes::largest(&weights[stretch]);
                match maxima.last_mut() {
                    Some((last, max)) if *last == group => *max = max.max(largest),
                    _ => maxima.push((group, largest)),
                }
            }
        })?;
        let mut scales = vec![0_f64; self.layout.groups() as usize];
        for (group, largest) in found.into_iter().flatten() {
            scales[group] = scales[group].max(largest);
        }
        scales.iter_mut().for_each(|scale| *scale = if *scale < ZERO { 0.0 } else { *scale });
        Ok(scales)
    }

    /// The tensor's profile for the search.
    fn profile(&self, scales: &[f64], apart: &Option<Span>, p: f64) -> Result<Profile, WeightsError> {
        let found = self.stack.survey(ALIGN, |profile: &mut Option<Profile>, tile| {
            let mut buffer = Vec::new();
            let weights = Self::inliers(tile, apart, &mut buffer);
            let profile = profile.get_or_insert_with(|| Profile::new(p));
            for (group, stretch) in self.layout.stretches(tile.start, tile.entries()) {
                profile.add(&weights[stretch], scales[group]);
            }
        })?;
        let mut whole = Profile::new(p);
        found.into_iter().flatten().for_each(|of_piece| whole.absorb(of_piece));
        Ok(whole)
    }

    /// One exponent per channel.
    fn channel_exponents(
        &self,
        config: &QuantizeConfig,
        scales: &[f64],
        apart: &Option<Span>,
    ) -> Result<Vec<f64>, WeightsError> {
        let row = self.layout.row;
        let of_row = |i: u64| {
            let mut profile = Profile::new(config.norm);
            self.stack.tiles(i * row..(i + 1) * row, 1, |tile| {
                let mut buffer = Vec::new();
                profile.add(Self::inliers(tile, apart, &mut buffer), scales[i as usize]);
            })?;
            Ok(search(&[profile], config.bits, config.exponent_low, config.exponent_high).exponent)
        };
        (0..self.layout.groups()).into_par_iter().map(of_row).collect()
    }

    /// Sums over the tensor: error of `grids` in the p-norm, its square, both for the uniform grid, and the weights'
    /// squares.
    fn sums(&self, found: &Analysis, p: f64) -> Result<[f64; 5], WeightsError> {
        let uniform = Grid::power(self.layout.bits, 1.0);
        let sums = self.stack.survey(ALIGN, |sums: &mut [f64; 5], tile| {
            let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
            let weights = Self::inliers(tile, &found.apart, &mut buffer);
            for (group, stretch) in self.layout.stretches(tile.start, tile.entries()) {
                let (weights, scale) = (&weights[stretch], found.scales[group]);
                sums[4] += lanes::energy(weights);
                if scale == 0.0 {
                    continue;
                }
                scratch.measure(weights, scale);
                let (grid, square) = (found.grid(group), scale * scale);
                sums[1] += square * grid.error(&scratch, 2.0);
                sums[3] += square * uniform.error(&scratch, 2.0);
                if p != 2.0 {
                    let power = scale.powf(p);
                    sums[0] += power * grid.error(&scratch, p);
                    sums[2] += power * uniform.error(&scratch, p);
                }
            }
        })?;
        let mut total = sums.iter().fold([0.0; 5], |total, of_piece| std::array::from_fn(|i| total[i] + of_piece[i]));
        if p == 2.0 {
            (total[0], total[2]) = (total[1], total[3]);
        }
        Ok(total)
    }

    /// Everything that must be known before a byte is written.
    fn analyse(
        &self,
        config: &QuantizeConfig,
        global: Option<f64>,
        given: Option<f64>,
    ) -> Result<(Analysis, TensorQuality), WeightsError> {
        let apart = self.apart()?;
        let scales = self.scales(&apart)?;
        let exponents = match (config.curve, config.exponent, global) {
            (Curve::Power, ..) if given.is_some() => given.into_iter().collect(),
            (Curve::Uniform | Curve::Log, ..) => vec![1.0],
            (Curve::Power, Exponent::Fixed(exponent), _) | (Curve::Power, _, Some(exponent)) => vec![exponent],
            (Curve::Power, Exponent::Channel, None) => self.channel_exponents(config, &scales, &apart)?,
            (Curve::Power, _, None) => {
                let profile = self.profile(&scales, &apart, config.norm)?;
                vec![search(&[profile], config.bits, config.exponent_low, config.exponent_high).exponent]
            }
        };
        let mut found = Analysis::new(scales, exponents, apart, &self.layout);
        let mut sums = self.sums(&found, config.norm)?;
        // A profile in bins knows errors only nearly; the promise never to be worse than uniform is kept here.
        if given.is_none() && config.exponent == Exponent::Tensor && config.curve == Curve::Power && sums[0] > sums[2] {
            found = Analysis::new(found.scales, vec![1.0], found.apart, &self.layout);
            sums = self.sums(&found, config.norm)?;
        }
        let [_, error, _, error_uniform, energy] = sums;
        let entries = self.layout.entries() as f64;
        let bytes_after = self
            .layout
            .declared("", found.exponents.len() as u64)
            .iter()
            .map(Declared::bytes)
            .sum::<Result<u64, _>>()?;
        let quality = TensorQuality {
            name: self.name.to_owned(),
            shape: self.layout.shape.clone(),
            bits: self.layout.bits,
            exponent: found.exponents.iter().sum::<f64>() / found.exponents.len() as f64,
            mean_squared_error: error / entries,
            mean_squared_error_uniform: error_uniform / entries,
            sqnr_decibels: (error > 0.0).then(|| 10.0 * (energy / error).log10()),
            bytes_before: self.bytes,
            bytes_after,
        };
        Ok((found, quality))
    }
}

impl Analysis {
    /// Exponents are rounded as the file will hold them, so that the reader's grid is the writer's.
    fn new(scales: Vec<f64>, exponents: Vec<f64>, apart: Option<Span>, layout: &Layout) -> Self {
        let held = |exponent: &f64| if layout.wide() == Dtype::F64 { *exponent } else { f64::from(*exponent as f32) };
        let exponents: Vec<f64> = exponents.iter().map(held).collect();
        let grids = exponents.iter().map(|&exponent| Grid::new(layout.curve, layout.bits, exponent)).collect();
        Self { scales, grids, exponents, apart }
    }

    fn grid(&self, group: usize) -> &Grid {
        &self.grids[if self.grids.len() == 1 { 0 } else { group }]
    }
}

/// The parts of a quantised tensor, in the order of [`Layout::declared`].
fn parts<'a>(subject: &'a Subject<'a>, found: Analysis) -> Result<Vec<Planned<'a>>, WeightsError> {
    let layout = &subject.layout;
    let numbers = |numbers: &[f64]| {
        let mut bytes = Vec::new();
        layout.wide().encode(numbers, &mut bytes);
        Planned::ready(bytes)
    };
    let (scale, exponent) = (numbers(&found.scales), numbers(&found.exponents));
    let mut outliers = Vec::new();
    if let Some(apart) = &found.apart {
        let of_pieces = subject.stack.survey(ALIGN, |found: &mut Vec<(u32, f64)>, tile| {
            let weights = (tile.start..).zip(tile.row(0));
            found.extend(weights.filter(|&(index, &w)| apart.contains(&(key(w), index))).map(|(i, &w)| (i as u32, w)));
        })?;
        let of_pieces: Vec<(u32, f64)> = of_pieces.into_iter().flatten().collect();
        if let Some((_, value)) = of_pieces.iter().find(|(_, value)| Dtype::F16.overflows(value.abs())) {
            return Err(WeightsError::Overflow {
                tensor: format!("{}.outlier_value", subject.name),
                value: value.abs(),
                dtype: Dtype::F16.name(),
                limit: Dtype::F16.largest(),
            });
        }
        let index = of_pieces.iter().flat_map(|(index, _)| index.to_le_bytes()).collect();
        let mut values: Vec<f64> = of_pieces.iter().map(|(_, value)| *value).collect();
        values.resize(values.len().next_multiple_of(4), 0.0);
        let mut value = Vec::new();
        Dtype::F16.encode(&values, &mut value);
        outliers = vec![Planned::ready(index), Planned::ready(value)];
    }
    let ranges = pieces(layout.entries(), ALIGN);
    let end = layout.entries();
    let filling = (layout.code_bytes() - packed_bytes(end, layout.bits)) as usize;
    let fill = move |range: Range<u64>, out: &mut Vec<u8>| {
        let (mut buffer, mut codes, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        let last = range.end == end;
        subject.stack.tiles(range, ALIGN, |tile| {
            codes.resize(tile.entries(), 0);
            let weights = Subject::inliers(tile, &found.apart, &mut buffer);
            for (group, stretch) in subject.layout.stretches(tile.start, tile.entries()) {
                let grid = found.grid(group);
                grid.encode(&weights[stretch.clone()], found.scales[group], &mut codes[stretch], &mut scratch);
            }
            pack(&codes, subject.layout.bits, out);
        })?;
        out.resize(out.len() + if last { filling } else { 0 }, 0);
        Ok(())
    };
    let codes = Planned { ranges, fill: Box::new(fill) };
    Ok([scale, exponent, codes].into_iter().chain(outliers).collect())
}

/// Quantises the float tensors of two and more dimensions into the file `target`.
///
/// # Errors
/// [`WeightsError`]; nothing is written then.
pub fn quantize(
    model: &Checkpoint,
    config: &QuantizeConfig,
    target: &Path,
    options: &Options<'_>,
) -> Result<QuantizeReport, WeightsError> {
    quantize_with(model, config, &BTreeMap::new(), target, options)
}

/// The same with exponents that are known of some tensors, by name: those that were learned.
///
/// # Errors
/// As [`quantize()`]; or an exponent is not from 0.05 to 2, or settings leave no room for it.
pub fn quantize_with(
    model: &Checkpoint,
    config: &QuantizeConfig,
    exponents: &BTreeMap<String, f64>,
    target: &Path,
    options: &Options<'_>,
) -> Result<QuantizeReport, WeightsError> {
    config.check()?;
    if !exponents.is_empty() && (config.curve != Curve::Power || config.exponent == Exponent::Channel) {
        return Err(WeightsError::setting("exponents that are known need method=power with one exponent a tensor"));
    }
    if let Some((name, exponent)) = exponents.iter().find(|(_, exponent)| !(0.05..=2.0).contains(*exponent)) {
        return Err(WeightsError::Setting(format!("the exponent {exponent} of `{name}` must be from 0.05 to 2")));
    }
    let advice = "turn it back first, as in: kilter quantize q.safetensors --set method=none -o f.safetensors";
    refuse_quantised(model, advice)?;
    let mut notes = Vec::new();
    let quantised = |tensor: &&Tensor| tensor.dtype().is_float() && tensor.shape().len() >= 2 && tensor.entries() > 0;
    let order = alignment_order(model.tensors().iter().map(|tensor| tensor.dtype().bits()));
    let tensors: Vec<&Tensor> = order.iter().map(|&i| &model.tensors()[i]).collect();
    let (kept, chosen): (Vec<&Tensor>, Vec<&Tensor>) = (
        tensors.iter().copied().filter(|tensor| !quantised(tensor)).collect(),
        tensors.iter().copied().filter(quantised).collect(),
    );
    if chosen.is_empty() {
        notes.push("no float tensor of two or more dimensions: everything is kept as it is".to_owned());
    }
    let subjects: Vec<Subject<'_>> = chosen
        .iter()
        .map(|tensor| Subject {
            stack: Stack::new(vec![tensor], false),
            layout: Layout::new(tensor, config),
            name: tensor.name(),
            bytes: tensor.bytes(),
        })
        .collect();
    if config.outliers > 0.0
        && let Some(subject) = subjects.iter().find(|subject| subject.layout.entries() > u64::from(u32::MAX))
    {
        return Err(WeightsError::Setting(format!("`{}` has more than 2^32 entries; set outliers=0", subject.name)));
    }
    let mut metadata = model.metadata().clone();
    metadata.insert(FORMAT.0.to_owned(), FORMAT.1.to_owned());
    let layouts: BTreeMap<&str, &Layout> = subjects.iter().map(|subject| (subject.name, &subject.layout)).collect();
    metadata.insert(TENSORS.to_owned(), serde_json::to_string(&layouts).map_err(WeightsError::setting)?);
    metadata.remove(ACTIVATIONS);
    metadata.extend(config.activation_bits.map(|bits| (ACTIVATIONS.to_owned(), bits.to_string())));
    let same = |tensor: &&Tensor| Declared {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
    };
    let exponents_of = |subject: &Subject<'_>| match (config.curve, config.exponent) {
        (Curve::Power, Exponent::Channel) => subject.layout.groups(),
        _ => 1,
    };
    let wide_kept = kept.iter().filter(|tensor| tensor.dtype().bits() >= 32).count();
    let (wide, narrow) = kept.split_at(wide_kept);
    let declared: Vec<Declared> = wide
        .iter()
        .map(same)
        .chain(subjects.iter().flat_map(|subject| subject.layout.declared(subject.name, exponents_of(subject))))
        .chain(narrow.iter().map(same))
        .collect();
    let total = declared.iter().map(Declared::bytes).sum::<Result<u64, _>>()?;
    let writer = Writer::create(target, declared, &metadata, &[model], options.shard_bytes)?;
    let global = match (config.curve, config.exponent) {
        (Curve::Power, Exponent::Global) => {
            let profile = |subject: &Subject<'_>| {
                let apart = subject.apart()?;
                subject.profile(&subject.scales(&apart)?, &apart, config.norm)
            };
            let profiles = subjects.iter().map(profile).collect::<Result<Vec<_>, _>>()?;
            Some(search(&profiles, config.bits, config.exponent_low, config.exponent_high).exponent)
        }
        _ => None,
    };
    let quality = Mutex::new(Vec::new());
    let made = subjects.iter().flat_map(|subject| {
        let made =
            subject.analyse(config, global, exponents.get(subject.name).copied()).and_then(|(found, of_tensor)| {
                if let Ok(mut quality) = quality.lock() {
                    quality.push(of_tensor);
                }
                parts(subject, found)
            });
        match made {
            Ok(parts) => parts.into_iter().map(Ok).collect(),
            Err(why) => vec![Err(why)],
        }
    });
    let plans =
        wide.iter().map(|t| Ok(Planned::copy(t))).chain(made).chain(narrow.iter().map(|t| Ok(Planned::copy(t))));
    let written = stream::write(writer, plans, total, options)?;
    let quality = quality.into_inner().unwrap_or_default();
    Ok(QuantizeReport { settings: *config, bytes_in: model.bytes(), quality, written, notes })
}
