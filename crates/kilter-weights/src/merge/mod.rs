//! Several checkpoints of one architecture into one: a small algebra of task vectors on streamed tensors.
//!
//! A [`Merge`] gives, per tensor, a rule that turns the same entries of all inputs into the output's. The rules see
//! numbers, never files; what is read and written, in what pieces and types, is decided here. A task vector is a tuned
//! model minus its base (Ilharco et al., *Editing Models with Task Arithmetic*, ICLR 2023).
//!
//! Cost: one pass over the inputs, two to four more where a method ranks entries; memory as in [`crate::stream`].

pub mod average;
pub mod breadcrumbs;
pub mod dare;
pub mod fisher;
pub mod regmean;
pub mod slerp;
pub mod task_arithmetic;
pub mod ties;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use kilter_space::{Choice, Config, Domain, Entry, Float, Outline, SpaceError, Value, nearest};
use serde::Serialize;
use serde_json::json;

use crate::fault::WeightsError;
use crate::rank::Pieces;
use crate::storage::{Checkpoint, Declared, Dtype, Tensor, Writer, Written};
use crate::stream::{self, Options, Planned, Stack, Tile, pieces};

/// Turns the same entries of all inputs into the output's.
pub struct Rule<'a> {
    /// Tiles are multiples of so many entries.
    pub align: u64,
    /// Reads a tile, writes its merged entries.
    #[expect(clippy::type_complexity, reason = "one closure, written once")]
    pub apply: Box<dyn Fn(&Tile<'_>, &mut [f64]) + Send + Sync + 'a>,
}

/// Gives the rule of one of the stacks it was prepared for.
pub type Rules<'a> = Box<dyn Fn(usize) -> Result<Rule<'a>, WeightsError> + Send + Sync + 'a>;

/// What a method knows of each model beside its weights.
#[derive(Clone, Copy, Debug)]
pub enum Statistics<'a> {
    /// Nothing.
    None,
    /// Checkpoints of the models' architecture: each stack holds their tensors behind the models'.
    Stacked(&'a [Checkpoint]),
    /// Checkpoints of tensors that the method looks up itself.
    Apart(&'a [Checkpoint]),
}

/// A way to merge.
pub trait Merge: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Does it work on differences from a base? Then each stack begins with the base's tensor.
    fn needs_base(&self) -> bool;

    /// What it knows of each model beside its weights. Default nothing.
    fn statistics(&self) -> Statistics<'_> {
        Statistics::None
    }

    /// Its settings, for the report and the output's metadata.
    fn settings(&self) -> serde_json::Value;

    /// Can it merge so many models?
    ///
    /// # Errors
    /// [`WeightsError::Models`] says how many it takes.
    fn takes(&self, models: usize) -> Result<(), WeightsError>;

    /// Gets ready for these stacks, all of the checkpoints in file order.
    ///
    /// # Errors
    /// If tensors had to be read and could not be.
    fn prepare<'a>(&'a self, stacks: &'a [Stack<'a>]) -> Result<Rules<'a>, WeightsError>;
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MergeReport {
    /// The method's name.
    pub method: String,
    /// Its settings.
    pub settings: serde_json::Value,
    /// Bytes of the inputs' tensors.
    pub bytes_in: u64,
    /// What was written.
    #[serde(flatten)]
    pub written: Written,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Merges `models` (differences from `base`, where the method works on such) into the file `target`. Float tensors are
/// merged and written as `dtype`, or as the base's or first model's type; others are copied from the base or the first
/// model. Metadata is the base's or first model's, with `kilter.merge` added.
///
/// # Errors
/// [`WeightsError`]; nothing is written then.
pub fn merge(
    method: &dyn Merge,
    base: Option<&Checkpoint>,
    models: &[&Checkpoint],
    dtype: Option<Dtype>,
    target: &Path,
    options: &Options<'_>,
) -> Result<MergeReport, WeightsError> {
    method.takes(models.len())?;
    if method.needs_base() && base.is_none() {
        return Err(WeightsError::NoBase { method: method.name() });
    }
    let base = base.filter(|_| method.needs_base());
    let (stacked_behind, apart) = match method.statistics() {
        Statistics::None => (&[][..], &[][..]),
        Statistics::Stacked(statistics) => (statistics, &[][..]),
        Statistics::Apart(statistics) => (&[][..], statistics),
    };
    let inputs: Vec<&Checkpoint> = base.into_iter().chain(models.iter().copied()).collect();
    let mut notes = Vec::new();
    let Some((&first, others)) = inputs.split_first() else {
        return Err(WeightsError::Models { method: method.name(), wanted: "at least one model", got: 0 });
    };
    for &other in others.iter().chain(&stacked_behind.iter().collect::<Vec<_>>()) {
        first.same_architecture(other)?;
    }
    inputs
        .iter()
        .try_for_each(|input| refuse_quantised(input, "merge the models it was made of and quantise the result"))?;
    if let Some(base) = base
        && let Some(model) = models.iter().find(|model| model.holds(base.path()))
    {
        notes.push(format!("{} is the base itself: it adds nothing", model.path().display()));
    }
    if first.tensors().iter().any(|tensor| tensor.name().ends_with("running_var")) {
        notes.push(
            "running statistics of batch normalisation are merged like weights: measure them on data with \
             --refresh-batchnorm"
                .to_owned(),
        );
    }
    let stacked =
        |tensor: &'_ Tensor| -> Vec<&Tensor> { inputs.iter().filter_map(|input| input.get(tensor.name())).collect() };
    let floats: Vec<&Tensor> = first.tensors().iter().filter(|tensor| tensor.dtype().is_float()).collect();
    let with_statistics = |tensor: &'_ Tensor| -> Vec<&Tensor> {
        stacked(tensor).into_iter().chain(stacked_behind.iter().filter_map(|of| of.get(tensor.name()))).collect()
    };
    let stacks: Vec<Stack<'_>> =
        floats.iter().map(|tensor| Stack::new(with_statistics(tensor), options.allow_non_finite)).collect();
    if let Some(mixed) =
        floats.iter().find(|tensor| stacked(tensor).iter().any(|other| other.dtype() != tensor.dtype()))
    {
        let to = dtype.unwrap_or(mixed.dtype());
        notes.push(format!("element types differ (`{}`, for one): computed in f64, written as {to}", mixed.name()));
    }
    for tensor in first.tensors().iter().filter(|tensor| !tensor.dtype().is_float()) {
        if let Some(other) = differing(tensor, &stacked(tensor))? {
            let name = tensor.name();
            notes.push(format!(
                "`{name}` is no float tensor and differs in {}: taken from {}",
                other.display(),
                first.path().display()
            ));
        }
    }
    let rules = method.prepare(&stacks)?;
    let declared: Vec<Declared> = first
        .tensors()
        .iter()
        .map(|tensor| Declared {
            name: tensor.name().to_owned(),
            dtype: if tensor.dtype().is_float() { dtype.unwrap_or(tensor.dtype()) } else { tensor.dtype() },
            shape: tensor.shape().to_vec(),
        })
        .collect();
    let order = crate::storage::alignment_order(declared.iter().map(|tensor| tensor.dtype.bits()));
    let total = declared.iter().map(Declared::bytes).sum::<Result<u64, _>>()?;
    let mut stack_of: BTreeMap<&str, usize> = BTreeMap::new();
    stack_of.extend(floats.iter().enumerate().map(|(i, tensor)| (tensor.name(), i)));
    let mut metadata = first.metadata().clone();
    let names: Vec<String> = models.iter().map(|model| file_name(model.path())).collect();
    let story = json!({
        "method": method.name(), "settings": method.settings(), "base": base.map(|base| file_name(base.path())), "models": names
    });
    metadata.insert("kilter.merge".to_owned(), story.to_string());
    let ordered: Vec<Declared> = order.iter().map(|&i| declared[i].clone()).collect();
    let read: Vec<&Checkpoint> = inputs.iter().copied().chain(stacked_behind).chain(apart).collect();
    let writer = Writer::create(target, ordered, &metadata, &read, options.shard_bytes)?;
    let plans = order.iter().map(|&i| {
        let tensor = &first.tensors()[i];
        match stack_of.get(tensor.name()) {
            None => Ok(Planned::copy(tensor)),
            Some(&at) => Ok(planned(&stacks[at], rules(at)?, declared[i].dtype)),
        }
    });
    let written = stream::write(writer, plans, total, options)?;
    let bytes_in = read.iter().map(|input| input.bytes()).sum();
    Ok(MergeReport { method: method.name().to_owned(), settings: method.settings(), bytes_in, written, notes })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// How a stack's merged tensor is made.
fn planned<'a>(stack: &'a Stack<'a>, rule: Rule<'a>, dtype: Dtype) -> Planned<'a> {
    let ranges = pieces(stack.entries(), rule.align);
    let fill = move |range: Range<u64>, out: &mut Vec<u8>| {
        let mut merged = Vec::new();
        let mut largest = 0_f64;
        stack.tiles(range, rule.align, |tile| {
            merged.clear();
            merged.resize(tile.entries(), 0.0);
            (rule.apply)(tile, &mut merged);
            // NaN is not larger than anything, so what was allowed in is allowed out.
            largest = merged.iter().fold(largest, |largest, x| if x.abs() > largest { x.abs() } else { largest });
            dtype.encode(&merged, out);
        })?;
        if dtype.overflows(largest) && largest.is_finite() {
            return Err(WeightsError::Overflow {
                tensor: stack.name().to_owned(),
                value: largest,
                dtype: dtype.name(),
                limit: dtype.largest(),
            });
        }
        Ok(())
    };
    Planned { ranges, fill: Box::new(fill) }
}

/// Refuses a checkpoint most of whose bytes are integers.
pub(crate) fn refuse_quantised(checkpoint: &Checkpoint, advice: &'static str) -> Result<(), WeightsError> {
    let integers = checkpoint.tensors().iter().filter(|tensor| !tensor.dtype().is_float());
    let (bytes_integer, bytes_all) = (integers.map(Tensor::bytes).sum::<u64>(), checkpoint.bytes());
    if bytes_integer > bytes_all / 2 {
        return Err(WeightsError::Quantised { path: checkpoint.path().to_owned(), bytes_integer, bytes_all, advice });
    }
    Ok(())
}

/// The first of `others` whose bytes differ.
fn differing<'a>(tensor: &Tensor, others: &[&'a Tensor]) -> Result<Option<&'a Path>, WeightsError> {
    for other in others {
        for range in pieces(tensor.bytes(), 1) {
            if *tensor.window(range.clone())? != *other.window(range)? {
                return Ok(Some(other.path()));
            }
        }
    }
    Ok(None)
}

/// One model's task vector as numbers in pieces.
pub(crate) struct TaskVector<'a> {
    stacks: &'a [Stack<'a>],
    model: usize,
    entries: u64,
    ranges: Vec<Range<u64>>,
    /// For each piece, its stack and the index that the stack's first entry has here.
    places: Vec<(usize, u64)>,
}

impl<'a> TaskVector<'a> {
    /// The task vector of the `model`-th model (from 1; 0 is the base) over `stacks`, as if they were one tensor.
    pub fn new(stacks: &'a [Stack<'a>], model: usize) -> Self {
        let (mut ranges, mut places, mut first) = (Vec::new(), Vec::new(), 0);
        for (at, stack) in stacks.iter().enumerate() {
            for range in pieces(stack.entries(), 1) {
                ranges.push(first + range.start..first + range.end);
                places.push((at, first));
            }
            first += stack.entries();
        }
        Self { stacks, model, entries: first, ranges, places }
    }
}

impl Pieces for TaskVector<'_> {
    fn entries(&self) -> u64 {
        self.entries
    }

    fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    fn visit(&self, piece: usize, each: &mut dyn FnMut(u64, &[f64])) -> Result<(), WeightsError> {
        let (at, first) = self.places[piece];
        let range = &self.ranges[piece];
        let pair = self.stacks[at].pair(self.model);
        let mut vector = Vec::new();
        pair.tiles(range.start - first..range.end - first, 1, |tile| {
            difference(tile, 1, &mut vector);
            each(first + tile.start, &vector);
        })
    }
}

/// Entries of the `model`-th model (from 1) minus the base's.
pub(crate) fn difference(tile: &Tile<'_>, model: usize, out: &mut Vec<f64>) {
    out.clear();
    out.extend(tile.row(model).iter().zip(tile.row(0)).map(|(tuned, base)| tuned - base));
}

/// `base + scale * delta`, and the base itself, bit for bit, where the delta is zero.
pub(crate) fn add_scaled(base: &[f64], scale: f64, delta: &[f64], out: &mut [f64]) {
    for ((out, &base), &delta) in out.iter_mut().zip(base).zip(delta) {
        let step = scale * delta;
        *out = if step == 0.0 { base } else { base + step };
    }
}

/// Makes a method from its hyperparameters, the number of models, and the statistics of each that it asked for.
pub type Build = fn(&Config, usize, Vec<Checkpoint>) -> Result<Box<dyn Merge>, WeightsError>;

/// What a method is called, what it asks, and how its answers make it.
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What it needs of each model beside its weights, if anything.
    pub statistics: Option<&'static str>,
    /// Its hyperparameters, for so many models.
    pub outline: fn(usize) -> Result<Outline, SpaceError>,
    /// The method with these answers, for so many models.
    pub build: Build,
}

/// Every method there is. Soups are averages: [`average::Uniform`], and [`crate::soup`] chooses their ingredients.
pub const METHODS: [Method; 8] = [
    average::LINEAR,
    slerp::METHOD,
    fisher::METHOD,
    regmean::METHOD,
    task_arithmetic::METHOD,
    ties::METHOD,
    dare::METHOD,
    breadcrumbs::METHOD,
];

/// The method of this name.
///
/// # Errors
/// If there is none; the nearest is named.
pub fn find(name: &str) -> Result<&'static Method, WeightsError> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| {
        let known: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        let advice = match nearest(name, known.iter().copied().chain(["soup"])) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are soup, {}", known.join(", ")),
        };
        WeightsError::Setting(format!("there is no way to merge named `{name}`; {advice}"))
    })
}

/// A number's question with its default.
pub(crate) fn number(name: &str, low: f64, high: f64, default: f64, about: &str) -> Result<Entry, SpaceError> {
    let range = Float::new(low, high).map_err(|why| SpaceError::Domain { name: name.to_owned(), why })?;
    Ok(Entry::new(name, Domain::Float(range))?.default(default)?.about(about))
}

/// A question with words for answers; the first is the default.
pub(crate) fn words(name: &str, words: &[&str], about: &str) -> Result<Entry, SpaceError> {
    let values = words.iter().map(|&word| Value::from(word)).collect();
    let choice = Choice::new(values).map_err(|why| SpaceError::Domain { name: name.to_owned(), why })?;
    let entry = Entry::new(name, Domain::Choice(choice))?.about(about);
    match words.first() {
        Some(&first) => entry.default(first),
        None => Ok(entry),
    }
}

/// A question answered by yes or no; no is the default.
pub(crate) fn flag(name: &str, about: &str) -> Result<Entry, SpaceError> {
    let choice = Choice::new(vec![false.into(), true.into()])
        .map_err(|why| SpaceError::Domain { name: name.to_owned(), why })?;
    Entry::new(name, Domain::Choice(choice))?.about(about).default(false)
}

/// What every method asks: how the result is written and what is read.
pub(crate) fn common() -> Result<Vec<Entry>, SpaceError> {
    let types: Vec<&str> = std::iter::once(AS_BEFORE).chain(Dtype::settings()).collect();
    Ok(vec![
        words("dtype", &types, "element type of the result; keep: that of the base or first model")?.setting(),
        flag("allow_non_finite", "read NaN and infinities as they are instead of refusing them")?.setting(),
    ])
}

/// Leaves element types as they are.
const AS_BEFORE: &str = "keep";

/// The element type and the leave for NaN and infinities that a configuration of any method names.
///
/// # Errors
/// If it names neither.
pub fn common_of(config: &Config) -> Result<(Option<Dtype>, bool), WeightsError> {
    Ok((Dtype::from_setting(config.text("dtype")?), config.flag("allow_non_finite")?))
}

/// One weight per model, 1 unless set, and what every method asks: settings, since usually only the common scale is
/// searched.
pub(crate) fn weights(models: usize) -> Result<Vec<Entry>, SpaceError> {
    let weight = |i| {
        Ok(number(&format!("weight_{i}"), 0.0, 2.0, 1.0, "weight of this model (from 1, in the order given)")?
            .setting())
    };
    (1..=models).map(weight).chain(common()?.into_iter().map(Ok)).collect()
}

/// The weights of a configuration.
pub(crate) fn weights_of(config: &Config, models: usize) -> Result<Vec<f64>, WeightsError> {
    (1..=models).map(|i| Ok(config.float(&format!("weight_{i}"))?)).collect()
}

/// Several models, at least one.
pub(crate) fn at_least_one(method: &'static str, weights: &[f64], models: usize) -> Result<(), WeightsError> {
    if models == 0 {
        return Err(WeightsError::Models { method, wanted: "at least one model", got: models });
    }
    if weights.len() != models {
        return Err(WeightsError::Setting(format!("{method}: {} weights for {models} models", weights.len())));
    }
    match weights.iter().find(|weight| !weight.is_finite()) {
        Some(weight) => Err(WeightsError::Setting(format!("{method}: a weight of {weight} is no finite number"))),
        None => Ok(()),
    }
}

/// Statistics of every model, where a method needs them.
pub(crate) fn one_each(method: &Method, statistics: usize, models: usize) -> Result<(), WeightsError> {
    let needed = method.statistics.map_or(0, |_| models);
    if statistics == needed {
        return Ok(());
    }
    Err(WeightsError::Setting(match method.statistics {
        None => format!("{} needs no statistics, and {statistics} files of them are given", method.name),
        Some(what) => format!(
            "{} needs of each model {what}; {statistics} files of them are given for {models} models",
            method.name
        ),
    }))
}

/// A share between 0 (excluded) and 1.
pub(crate) fn checked_share(name: &str, share: f64) -> Result<(), WeightsError> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(WeightsError::Setting(format!("{name}={share} must be above 0 and at most 1")))
}

/// A finite number.
pub(crate) fn checked_scale(scale: f64) -> Result<(), WeightsError> {
    if scale.is_finite() {
        Ok(())
    } else {
        Err(WeightsError::Setting(format!("scale={scale} must be a finite number")))
    }
}
