//! Scaled dot-product attention (Vaswani et al., *Attention Is All You Need*, 2017, eq. 1), fused: softmax in place,
//! causal rows cut short by blocks, heads shared out among threads; only the probabilities are kept for the backward pass.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};
use burn_flex::FlexTensor;

use crate::op::by_precision;
use crate::op::fresh::{filled, in_pieces};
use crate::op::gemm::{Matrix, multiply};
use crate::op::kernel::{Kernel, apply3, numbers, on_host, sizes, tensor, widened};
use crate::op::real::Real;
use crate::op::reduce::{dot, largest};

/// Which keys a query may see.
#[derive(Clone, Debug, Default)]
pub enum Mask {
    /// All.
    #[default]
    Full,
    /// Those not after it; queries and keys are the same tokens.
    Causal,
    /// The first `length` keys of each example of the batch, at least one.
    Lengths(Arc<[usize]>),
}

impl Mask {
    /// How many keys query `row` of example `example` sees, of `keys`.
    fn seen(&self, example: usize, row: usize, keys: usize) -> usize {
        match self {
            Self::Full => keys,
            Self::Causal => (row + 1).min(keys),
            Self::Lengths(lengths) => lengths[example].clamp(1, keys),
        }
    }

    /// Which scores are hidden, for `[batch, heads, queries, keys]`; nothing if none is.
    pub(crate) fn hidden(&self, shape: [usize; 4], device: &Device) -> Option<Tensor<4, Bool>> {
        if matches!(self, Self::Full) {
            return None;
        }
        let [batch, _, queries, keys] = shape;
        let hidden: Vec<bool> = (0..batch)
            .flat_map(|b| (0..queries).map(move |row| (b, row)))
            .flat_map(|(b, row)| {
                let seen = self.seen(b, row, keys);
                (0..keys).map(move |key| key >= seen)
            })
            .collect();
        let hidden = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [batch, 1, queries, keys]), device);
        Some(hidden.expand(shape))
    }
}

/// `softmax(q·kᵀ / √width)·v` of every head: `q` `[batch·queries, heads·width]`, `k` `[batch·keys, heads·width]`, `v`
/// `[batch·keys, heads·value]`, each head's columns side by side; gives `[batch·queries, heads·value]`. The softmax in f32
/// at least.
///
/// # Panics
/// If the sizes do not fit: layers check them.
pub fn attention(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, batch: usize, heads: usize, mask: Mask) -> Tensor<2> {
    if on_host(&q) {
        return apply3(Attention { batch, heads, mask }, q, k, v);
    }
    let rows = q.dims()[0];
    let apart = |x: Tensor<2>| {
        let [rows, width] = x.dims();
        x.reshape([batch, rows / batch, heads, width / heads]).swap_dims(1, 2)
    };
    let (q, k, v) = (apart(q), apart(k), apart(v));
    let [_, _, queries, width] = q.dims();
    let [_, _, keys, value] = v.dims();
    let device = q.device();
    let dtype = q.dtype();
    let mut scores = widened(q.matmul(k.swap_dims(2, 3))) / (width as f64).sqrt();
    if let Some(hidden) = mask.hidden([batch, heads, queries, keys], &device) {
        scores = scores.mask_fill(hidden, f64::NEG_INFINITY);
    }
    activation::softmax(scores, 3).cast(dtype).matmul(v).swap_dims(1, 2).reshape([rows, heads * value])
}

/// Queries of a block whose later keys are left out of causal products: few, so that much is left out, and enough for a
/// product to be quick.
const BLOCK: usize = 32;

#[derive(Debug)]
struct Attention {
    batch: usize,
    heads: usize,
    mask: Mask,
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Plan {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    value: usize,
}

impl Plan {
    /// One head's rows of an example, in a tensor `[batch·tokens, heads·width]`.
    fn head<'a, R: Real>(&self, x: &'a [R], at: usize, tokens: usize, width: usize) -> Matrix<'a, R> {
        let (example, head) = (at / self.heads, at % self.heads);
        let stride = self.heads * width;
        Matrix::strided(&x[example * tokens * stride + head * width..], tokens, width, stride)
    }

    /// Heads side by side, of which each lies `apart` by itself: `tokens · width` numbers of each of `pieces`, from the same
    /// place on.
    fn together<R: Real>(&self, pieces: &[R], piece: usize, from: usize, [tokens, width]: [usize; 2]) -> Vec<R> {
        let stride = self.heads * width;
        filled(self.batch * tokens * stride, stride, |row, to| {
            let (example, token) = (row / tokens, row % tokens);
            for (head, to) in to.chunks_mut(width).enumerate() {
                let place = (example * self.heads + head) * piece + from + token * width;
                to.copy_from_slice(&pieces[place..][..width]);
            }
        })
    }
}

impl Attention {
    fn plan(&self, inputs: &[FlexTensor]) -> Plan {
        let [q, k, v] = [0, 1, 2].map(|i| sizes(&inputs[i]));
        let (batch, heads) = (self.batch, self.heads);
        let whole = |count: usize, parts: usize| parts > 0 && count.is_multiple_of(parts);
        let fits = k[0] == v[0] && q[1] == k[1] && [q[0], k[0]].iter().all(|&rows| whole(rows, batch));
        assert!(fits && whole(q[1], heads) && whole(v[1], heads), "attention of {q:?}, {k:?} and {v:?}");
        Plan { batch, heads, queries: q[0] / batch, keys: k[0] / batch, width: q[1] / heads, value: v[1] / heads }
    }

    /// Blocks of queries: the first, how many, and how many keys any of them sees.
    fn blocks(&self, plan: Plan) -> impl Iterator<Item = (usize, usize, usize)> {
        let size = if matches!(self.mask, Mask::Causal) { BLOCK } else { plan.queries.max(1) };
        (0..plan.queries).step_by(size).map(move |first| {
            let count = size.min(plan.queries - first);
            let seen = if matches!(self.mask, Mask::Causal) { (first + count).min(plan.keys) } else { plan.keys };
            (first, count, seen)
        })
    }

    /// The result and the probabilities, head after head.
    fn forward<R: Real>(&self, plan: Plan, q: &[R], k: &[R], v: &[R]) -> (Vec<R>, Vec<R>) {
        let Plan { batch, heads, queries, keys, width, value } = plan;
        let scale = R::of(1.0 / (width as f64).sqrt());
        let p = filled(batch * heads * queries * keys, queries * keys, |i, p: &mut [R]| {
            let (q, k) = (plan.head(q, i, queries, width), plan.head(k, i, keys, width));
            for (first, count, seen) in self.blocks(plan) {
                let p = &mut p[first * keys..];
                multiply(p, keys, q.rows(first, count), k.rows(0, seen).t(), scale, R::zero(), false);
            }
            for (row, p) in p.chunks_mut(keys).enumerate() {
                let seen = self.mask.seen(i / heads, row, keys);
                let (p, hidden) = p.split_at_mut(seen);
                hidden.fill(R::zero());
                let top = largest(p);
                let inverse = R::one() / R::exp_about(p, top);
                times(p, inverse);
            }
        });
        let y = filled(batch * heads * queries * value, queries * value, |i, y: &mut [R]| {
            let (p, v) = (&p[i * queries * keys..], plan.head(v, i, keys, value));
            for (first, count, seen) in self.blocks(plan) {
                let p = Matrix::strided(&p[first * keys..], count, seen, keys);
                multiply(&mut y[first * value..], value, p, v.rows(0, seen), R::one(), R::zero(), false);
            }
        });
        (plan.together(&y, queries * value, 0, [queries, value]), p)
    }

    /// Gradients of queries, keys and values.
    fn backward<R: Real>(&self, plan: Plan, q: &[R], k: &[R], v: &[R], p: &[R], dy: &[R]) -> [Vec<R>; 3] {
        let Plan { batch, heads, queries, keys, width, value } = plan;
        let scale = R::of(1.0 / (width as f64).sqrt());
        // Of each head all three, one after the other.
        let piece = (queries + keys) * width + keys * value;
        let (pieces, _) = in_pieces(
            batch * heads * piece,
            piece,
            || vec![R::zero(); queries * keys],
            |ds, i, all: &mut [R]| {
                let (dq, rest) = all.split_at_mut(queries * width);
                let (dk, dv) = rest.split_at_mut(keys * width);
                let (q, k) = (plan.head(q, i, queries, width), plan.head(k, i, keys, width));
                let (v, dy) = (plan.head(v, i, keys, value), plan.head(dy, i, queries, value));
                let p = &p[i * queries * keys..][..queries * keys];
                for (first, count, seen) in self.blocks(plan) {
                    let (q, dy) = (q.rows(first, count), dy.rows(first, count));
                    // The first block is the first to write.
                    let keep = if first == 0 { R::zero() } else { R::one() };
                    let p = &p[first * keys..];
                    let ds = &mut ds[..count * seen];
                    let p_rows = Matrix::strided(p, count, seen, keys);
                    multiply(dv, value, p_rows.t(), dy, R::one(), keep, false);
                    multiply(ds, seen, dy, v.rows(0, seen).t(), R::one(), R::zero(), false);
                    // Through the softmax: ds = p·(dp - Σ p·dp), row by row.
                    for (ds, p) in ds.chunks_mut(seen).zip(p.chunks(keys)) {
                        let p = &p[..seen];
                        let mean = dot(ds, p);
                        through_softmax(ds, p, mean);
                    }
                    let ds = Matrix::new(ds, count, seen);
                    multiply(&mut dq[first * width..], width, ds, k.rows(0, seen), scale, R::zero(), false);
                    multiply(dk, width, ds.t(), q, scale, keep, false);
                }
            },
        );
        let together = |from: usize, sides: [usize; 2]| plan.together(&pieces, piece, from, sides);
        let (dk, dv) = (queries * width, (queries + keys) * width);
        [together(0, [queries, width]), together(dk, [keys, width]), together(dv, [keys, value])]
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn times<R: Real>(xs: &mut [R], factor: R) {
    xs.iter_mut().for_each(|x| *x *= factor);
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+fma", "x86_64+avx2+fma"))]
fn through_softmax<R: Real>(ds: &mut [R], p: &[R], mean: R) {
    for (d, &p) in ds.iter_mut().zip(p) {
        *d = p * (*d - mean);
    }
}

impl Kernel for Attention {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let plan = self.plan(inputs);
        let Plan { batch, heads, queries, keys, value, .. } = plan;
        by_precision!(inputs[0], R => {
            let (y, p) = self.forward::<R>(plan, numbers(&inputs[0]), numbers(&inputs[1]), numbers(&inputs[2]));
            (tensor(y, [batch * queries, heads * value]), vec![tensor(p, [batch, heads, queries, keys])])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let plan = self.plan(inputs);
        by_precision!(gradient, R => {
            let [a, b, c] = [0, 1, 2].map(|i| numbers::<R>(&inputs[i]));
            let all = self.backward(plan, a, b, c, numbers(&saved[0]), numbers(gradient));
            all.into_iter().zip(inputs).map(|(d, input)| Some(tensor(d, sizes(input).to_vec()))).collect()
        })
    }
}
