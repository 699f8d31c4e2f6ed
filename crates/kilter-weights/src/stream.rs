//! Whole checkpoints through a small memory: tensors are cut into pieces, pieces are computed in parallel and written in
//! order while the next are computed.
//!
//! A piece is about a million entries, within it a tile of a few thousand is decoded to `f64` at a time. Peak memory is a
//! few pieces per thread and input, whatever the sizes of tensors and models. Results do not depend on the number of
//! threads: every entry is computed by itself, and sums over a tensor are made of per-piece sums in piece order.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::fault::WeightsError;
use crate::storage::{Tensor, Window, Writer, Written};

/// Entries of a tile: with a handful of inputs in `f64` it stays in the second-level cache.
const TILE: u64 = 4096;

/// Entries of a piece, about.
const PIECE: u64 = 1 << 20;

/// Default size of an output's shards, in bytes: that of the tools around the format.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Told how many bytes of how many are written; [`ControlFlow::Break`] stops the work, and nothing is left of it.
pub type Progress<'a> = dyn Fn(u64, u64) -> ControlFlow<()> + Sync + 'a;

/// How checkpoints are read and written, whatever is done with them.
pub struct Options<'a> {
    /// Read NaN and infinities as they are instead of refusing them. Default no.
    pub allow_non_finite: bool,
    /// Largest shard of a sharded output, in bytes. Default [`SHARD_BYTES`].
    pub shard_bytes: u64,
    /// Told how far the work is.
    pub progress: &'a Progress<'a>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { allow_non_finite: false, shard_bytes: SHARD_BYTES, progress: &|_, _| ControlFlow::Continue(()) }
    }
}

/// Float tensors of one name and shape, from several checkpoints (the base first, where there is one).
pub struct Stack<'a> {
    tensors: Vec<&'a Tensor>,
    allow_non_finite: bool,
}

/// The same stretch of entries of every tensor of a stack.
pub struct Tile<'a> {
    /// The first entry's index in the tensor, row-major.
    pub start: u64,
    length: usize,
    flat: &'a [f64],
}

impl Tile<'_> {
    /// Entries of the stack's `i`-th tensor.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.flat[i * self.length..][..self.length]
    }

    /// How many entries.
    pub fn entries(&self) -> usize {
        self.length
    }
}

impl<'a> Stack<'a> {
    /// A stack of `tensors`, which have one shape.
    pub fn new(tensors: Vec<&'a Tensor>, allow_non_finite: bool) -> Self {
        debug_assert!(tensors.windows(2).all(|pair| pair[0].shape() == pair[1].shape()));
        Self { tensors, allow_non_finite }
    }

    /// How many tensors.
    pub fn height(&self) -> usize {
        self.tensors.len()
    }

    /// The first and the `i`-th tensor alone.
    pub(crate) fn pair(&self, i: usize) -> Self {
        Self { tensors: vec![self.tensors[0], self.tensors[i]], allow_non_finite: self.allow_non_finite }
    }

    /// The tensors' name.
    pub fn name(&self) -> &str {
        self.tensors.first().map_or("", |tensor| tensor.name())
    }

    /// Their shape.
    pub fn shape(&self) -> &[u64] {
        self.tensors.first().map_or(&[], |tensor| tensor.shape())
    }

    /// How many entries each has.
    pub fn entries(&self) -> u64 {
        self.tensors.first().map_or(0, |tensor| tensor.entries())
    }

    /// Has it no dimension: is it a single number?
    pub fn is_scalar(&self) -> bool {
        self.shape().is_empty()
    }

    /// Reads `range` tile by tile, tiles being multiples of `align` entries (but the last).
    ///
    /// # Errors
    /// If a file changed, or an entry is not finite and that is not allowed.
    pub fn tiles(&self, range: Range<u64>, align: u64, mut each: impl FnMut(&Tile<'_>)) -> Result<(), WeightsError> {
        let windows = self.tensors.iter().map(|tensor| {
            let width = tensor.dtype().width() as u64;
            tensor.window(range.start * width..range.end * width)
        });
        let windows: Vec<Window> = windows.collect::<Result<_, _>>()?;
        let tile = tile_of(align).min(range.end - range.start);
        let mut flat = vec![0.0; tile as usize * self.tensors.len()];
        let mut start = range.start;
        while start < range.end {
            let length = tile.min(range.end - start) as usize;
            let from = (start - range.start) as usize;
            for ((tensor, window), row) in self.tensors.iter().zip(&windows).zip(flat.chunks_mut(length.max(1))) {
                let width = tensor.dtype().width();
                tensor.dtype().decode(&window[from * width..(from + length) * width], row);
                if !self.allow_non_finite && row.iter().fold(false, |any, x| any | !x.is_finite()) {
                    let at = row.iter().position(|x| !x.is_finite()).unwrap_or(0);
                    return Err(WeightsError::NonFinite {
                        path: tensor.path().to_owned(),
                        tensor: tensor.name().to_owned(),
                        index: start + at as u64,
                        value: row[at],
                    });
                }
            }
            each(&Tile { start, length, flat: &flat[..length * self.tensors.len()] });
            start += length as u64;
        }
        Ok(())
    }

    /// Looks at the whole tensor, in parallel: one `T` per piece, in piece order.
    ///
    /// # Errors
    /// As [`Stack::tiles`].
    pub fn survey<T: Default + Send>(
        &self,
        align: u64,
        look: impl Fn(&mut T, &Tile<'_>) + Sync,
    ) -> Result<Vec<T>, WeightsError> {
        pieces(self.entries(), align)
            .into_par_iter()
            .map(|range| {
                let mut found = T::default();
                self.tiles(range, align, |tile| look(&mut found, tile))?;
                Ok(found)
            })
            .collect()
    }
}

/// Entries of a tile that is a multiple of `align`.
fn tile_of(align: u64) -> u64 {
    align * (TILE / align).max(1)
}

/// A tensor's entries in pieces that are multiples of `align` (but the last).
pub(crate) fn pieces(entries: u64, align: u64) -> Vec<Range<u64>> {
    let piece = tile_of(align) * (PIECE / tile_of(align)).max(1);
    (0..entries.div_ceil(piece)).map(|i| i * piece..entries.min((i + 1) * piece)).collect()
}

/// How one tensor of the output is made: the ranges it is made of, and what appends a range's bytes.
pub(crate) struct Planned<'a> {
    pub ranges: Vec<Range<u64>>,
    #[expect(clippy::type_complexity, reason = "one closure, written once")]
    pub fill: Box<dyn Fn(Range<u64>, &mut Vec<u8>) -> Result<(), WeightsError> + Send + Sync + 'a>,
}

impl<'a> Planned<'a> {
    /// The tensor's bytes as they are.
    pub fn copy(tensor: &'a Tensor) -> Self {
        // Bytes, four to an entry of the usual width.
        let ranges = pieces(tensor.bytes(), 4);
        let fill = move |range: Range<u64>, out: &mut Vec<u8>| {
            out.extend_from_slice(&tensor.window(range)?);
            Ok(())
        };
        Self { ranges, fill: Box::new(fill) }
    }

    /// Bytes that are already there.
    pub fn ready(bytes: Vec<u8>) -> Self {
        let ranges = pieces(bytes.len() as u64, 4);
        let fill = move |range: Range<u64>, out: &mut Vec<u8>| {
            out.extend_from_slice(&bytes[range.start as usize..range.end as usize]);
            Ok(())
        };
        Self { ranges, fill: Box::new(fill) }
    }
}

/// Writes the tensors that `plans` yields, in order, and finishes the file. A plan is made just before its tensor is.
pub(crate) fn write<'a>(
    mut writer: Writer,
    plans: impl Iterator<Item = Result<Planned<'a>, WeightsError>> + Send,
    total_bytes: u64,
    options: &Options<'_>,
) -> Result<Written, WeightsError> {
    let pool: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let buffer = || pool.lock().ok().and_then(|mut pool| pool.pop()).unwrap_or_default();
    let batch_pieces = 2 * rayon::current_num_threads();
    let mut plans = plans.fuse();
    let mut open: Option<(Planned<'a>, usize)> = None;
    let mut ready: Vec<Vec<u8>> = Vec::new();
    let mut done = 0;
    loop {
        let make = || -> Result<Vec<Vec<u8>>, WeightsError> {
            let mut made = Vec::new();
            while made.len() < batch_pieces {
                let (plan, next) = match open.take() {
                    Some(open) => open,
                    None => match plans.next() {
                        Some(plan) => (plan?, 0),
                        None => break,
                    },
                };
                let last = plan.ranges.len().min(next + batch_pieces - made.len());
                let filled: Vec<Vec<u8>> = plan.ranges[next..last]
                    .par_iter()
                    .map(|range| {
                        let mut bytes = buffer();
                        bytes.clear();
                        (plan.fill)(range.clone(), &mut bytes).map(|()| bytes)
                    })
                    .collect::<Result<_, _>>()?;
                made.extend(filled);
                if last < plan.ranges.len() {
                    open = Some((plan, last));
                }
            }
            Ok(made)
        };
        let flush = || ready.iter().try_for_each(|bytes| writer.write(bytes));
        let (flushed, made) = rayon::join(flush, make);
        flushed?;
        done += ready.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if (options.progress)(done, total_bytes).is_break() {
            return Err(WeightsError::Interrupted);
        }
        if let Ok(mut pool) = pool.lock() {
            pool.append(&mut ready);
        }
        ready = made?;
        if ready.is_empty() {
            return writer.finish();
        }
    }
}
