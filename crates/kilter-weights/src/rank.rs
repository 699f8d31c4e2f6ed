//! Order statistics of numbers that are read but never held.
//!
//! Entries are ordered by size `|v|`, ties by index. A [`Boundary`] is a place in that order, so "entry `i` is among the
//! smallest `r`" is one comparison and needs no mask, no sort and no second copy of the tensor. The place of rank `r` is
//! found exactly: a histogram of the leading bits of `|v|` tells in which bucket it lies, the bucket's members are
//! gathered and selected from (Hoare's *Find*, 1961). Cost: two passes over n numbers, three where equal sizes abound;
//! memory 8 MiB.

use std::ops::Range;

use rayon::prelude::*;

use crate::fault::WeightsError;

/// A place in the order by size and index: `(|v| as bits, index)`. Bits of non-negative doubles order as the doubles do.
pub type Boundary = (u64, u64);

/// After every entry.
pub const END: Boundary = (u64::MAX, u64::MAX);

/// The key of a size: NaN comes after infinity.
pub fn key(x: f64) -> u64 {
    x.abs().to_bits()
}

/// Which of `entries` survive when some are dropped by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivors {
    /// Ranks, smallest size first.
    pub ranks: (u64, u64),
}

impl Survivors {
    /// The `floor(keep * entries)` that remain when the largest `floor(drop_top * entries)` and enough of the smallest are
    /// dropped; if the two do not fit together, fewer of the largest are dropped. `keep >= 1` keeps all.
    pub fn middle(entries: u64, keep: f64, drop_top: f64) -> Self {
        if keep >= 1.0 {
            return Self { ranks: (0, entries) };
        }
        let share = |of: f64| (of * entries as f64).floor() as u64;
        let kept = share(keep).min(entries);
        let top = share(drop_top).min(entries - kept);
        let bottom = entries - kept - top;
        Self { ranks: (bottom, entries - top) }
    }

    /// The largest `floor(density * entries)`; all of them from 1 on.
    pub fn largest(entries: u64, density: f64) -> Self {
        Self::middle(entries, density, 0.0)
    }
}

/// A range of places: an entry survives if its place is in it.
pub type Span = Range<Boundary>;

/// Everything.
pub const ALL: Span = (0, 0)..END;

/// The span of these ranks within `sizes` (absolute values are taken here). `scratch` is reused.
pub fn span_of_slice(sizes: &[f64], survivors: Survivors, scratch: &mut Vec<u64>) -> Span {
    let place = |rank: u64, scratch: &mut Vec<u64>| {
        if rank >= sizes.len() as u64 {
            return END;
        }
        scratch.clear();
        scratch.extend(sizes.iter().map(|&x| key(x)));
        let (less, &mut value, _) = scratch.select_nth_unstable(rank as usize);
        let before = rank - less.iter().filter(|&&k| k < value).count() as u64;
        let mut equal = sizes.iter().enumerate().filter(|&(_, &x)| key(x) == value);
        (value, equal.nth(before as usize).map_or(0, |(i, _)| i as u64))
    };
    let (low, high) = survivors.ranks;
    if low == 0 && high == sizes.len() as u64 { ALL } else { place(low, scratch)..place(high, scratch) }
}

/// Numbers in pieces, which can be visited in any order and more than once.
pub trait Pieces: Sync {
    /// How many numbers.
    fn entries(&self) -> u64;
    /// The pieces, each a range of indices, in order.
    fn ranges(&self) -> &[Range<u64>];
    /// Gives one piece's numbers, a stretch at a time, with the index of each stretch's first.
    ///
    /// # Errors
    /// If they cannot be read.
    fn visit(&self, piece: usize, each: &mut dyn FnMut(u64, &[f64])) -> Result<(), WeightsError>;
}

/// Up to so many keys of a bucket are gathered at a time.
const GATHERED: u64 = 1 << 20;

/// Bits told apart by one histogram. The sign bit is always zero, so the first digit is sign, exponent and four bits of
/// fraction.
const DIGIT: u32 = 16;

/// What is known of the key of a rank: its leading bits.
#[derive(Clone, Copy)]
struct Search {
    rank: u64,
    /// The key's leading bits, the others zero.
    low: u64,
    /// How many bits are still unknown.
    open: u32,
    /// Keys that are smaller in the known bits.
    below: u64,
    /// Keys that agree in the known bits.
    within: u64,
}

impl Search {
    fn holds(&self, key: u64) -> bool {
        self.open == 64 || key >> self.open == self.low >> self.open
    }
}

/// The span of these ranks within `numbers`.
///
/// # Errors
/// If they cannot be read.
pub fn span(numbers: &dyn Pieces, survivors: Survivors) -> Result<Span, WeightsError> {
    let entries = numbers.entries();
    let (low, high) = survivors.ranks;
    if low == 0 && high == entries {
        return Ok(ALL);
    }
    let begin = |rank| Search { rank, low: 0, open: 64, below: 0, within: entries };
    let mut searches: Vec<Search> = [low, high].into_iter().filter(|&rank| rank < entries).map(begin).collect();
    // The first histogram serves both ranks.
    if entries > GATHERED {
        let counts = histogram(numbers, None)?;
        searches.iter_mut().for_each(|search| narrow(search, &counts));
    }
    for search in &mut searches {
        while search.within > GATHERED && search.open > 0 {
            let counts = histogram(numbers, Some(*search))?;
            narrow(search, &counts);
        }
    }
    let mut gathered = gather(numbers, &searches)?;
    let mut places = Vec::with_capacity(2);
    for (search, keys) in searches.iter().zip(&mut gathered) {
        let before = search.rank - search.below;
        let (value, ties_before) = if search.open == 0 {
            (search.low, before)
        } else {
            let (less, &mut value, _) = keys.select_nth_unstable(before as usize);
            (value, before - less.iter().filter(|&&k| k < value).count() as u64)
        };
        places.push((value, nth_equal(numbers, value, ties_before)?));
    }
    places.resize(2, END);
    // A low rank beyond the last entry leaves nothing: both ends are the end.
    Ok(places[0]..places[1])
}

fn histogram(numbers: &dyn Pieces, within: Option<Search>) -> Result<Vec<u64>, WeightsError> {
    let empty = || vec![0_u64; 1 << DIGIT];
    let shift = within.map_or(64, |search| search.open).saturating_sub(DIGIT);
    (0..numbers.ranges().len())
        .into_par_iter()
        .try_fold(empty, |mut counts, piece| {
            numbers.visit(piece, &mut |_, values| {
                for &value in values {
                    let key = key(value);
                    if within.is_none_or(|search| search.holds(key)) {
                        counts[(key >> shift) as usize & ((1 << DIGIT) - 1)] += 1;
                    }
                }
            })?;
            Ok(counts)
        })
        .try_reduce(empty, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            Ok(a)
        })
}

/// Goes into the bucket that holds the rank.
fn narrow(search: &mut Search, counts: &[u64]) {
    let shift = search.open.saturating_sub(DIGIT);
    for (digit, &count) in counts.iter().enumerate() {
        if search.rank < search.below + count {
            search.low |= (digit as u64) << shift;
            search.open = shift;
            search.within = count;
            return;
        }
        search.below += count;
    }
}

/// For each search with unknown bits, the keys that agree with it.
fn gather(numbers: &dyn Pieces, searches: &[Search]) -> Result<Vec<Vec<u64>>, WeightsError> {
    if searches.iter().all(|search| search.open == 0) {
        return Ok(vec![Vec::new(); searches.len()]);
    }
    let empty = || vec![Vec::new(); searches.len()];
    (0..numbers.ranges().len())
        .into_par_iter()
        .try_fold(empty, |mut found: Vec<Vec<u64>>, piece| {
            numbers.visit(piece, &mut |_, values| {
                for (search, found) in searches.iter().zip(&mut found).filter(|(search, _)| search.open > 0) {
                    found.extend(values.iter().map(|&x| key(x)).filter(|&key| search.holds(key)));
                }
            })?;
            Ok(found)
        })
        .try_reduce(empty, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| a.extend(b));
            Ok(a)
        })
}

/// The index of the `n`-th entry (from zero) whose key is `value`.
fn nth_equal(numbers: &dyn Pieces, value: u64, n: u64) -> Result<u64, WeightsError> {
    if n == 0 {
        return Ok(0);
    }
    let counts: Vec<u64> = (0..numbers.ranges().len())
        .into_par_iter()
        .map(|piece| {
            let mut count = 0;
            let mut add = |_, values: &[f64]| count += values.iter().filter(|&&x| key(x) == value).count() as u64;
            numbers.visit(piece, &mut add)?;
            Ok(count)
        })
        .collect::<Result<_, WeightsError>>()?;
    let mut left = n;
    for (piece, count) in counts.into_iter().enumerate() {
        if left >= count {
            left -= count;
            continue;
        }
        let mut found = 0;
        numbers.visit(piece, &mut |start, values| {
            for (i, _) in values.iter().enumerate().filter(|&(_, &x)| key(x) == value) {
                if left == 0 {
                    found = start + i as u64;
                }
                left = left.wrapping_sub(1);
            }
        })?;
        return Ok(found);
    }
    Ok(0)
}
