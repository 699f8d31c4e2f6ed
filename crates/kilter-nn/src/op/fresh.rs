//! Memory for results. Zeros for a whole tensor are written by one thread, and have left its cache before the others begin;
//! here each piece is cleared by the thread that fills it, just before it does.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::op::real::Real;

/// `count` numbers by pieces of so many (the last may be shorter), shared out among threads: `fill` takes scratch space that
/// it may use for several pieces, a piece's place in their order, and zeros. What it says of each piece is given beside the
/// numbers, in order.
pub fn in_pieces<R: Real, S, T: Send>(
    count: usize,
    piece: usize,
    scratch: impl Fn() -> S + Send + Sync,
    fill: impl Fn(&mut S, usize, &mut [R]) -> T + Send + Sync,
) -> (Vec<R>, Vec<T>) {
    let mut numbers = Vec::with_capacity(count);
    let room = &mut numbers.spare_capacity_mut()[..count];
    let pieces = room.par_chunks_mut(piece.max(1)).enumerate();
    let said = pieces.map_init(scratch, |scratch, (at, room)| fill(scratch, at, cleared(room))).collect();
    // SAFETY: so many numbers were cleared.
    unsafe { numbers.set_len(count) };
    (numbers, said)
}

/// The same without scratch space, of which nothing is said.
pub fn filled<R: Real>(count: usize, piece: usize, fill: impl Fn(usize, &mut [R]) + Send + Sync) -> Vec<R> {
    in_pieces(count, piece, || (), |(), at, numbers| fill(at, numbers)).0
}

fn cleared<R: Real>(room: &mut [MaybeUninit<R>]) -> &mut [R] {
    room.fill(MaybeUninit::new(R::zero()));
    // SAFETY: all of it was just written.
    unsafe { room.assume_init_mut() }
}
