//! Scaled dot-product attention (Vaswani et al., *Attention Is All You Need*, 2017, eq. 1), fused: softmax in place,
//! causal rows cut short, heads shared out among threads; only the probabilities are kept for the backward pass.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::gemm::{Matrix, multiply};
use crate::op::kernel::{Kernel, apply3, numbers, on_host, sizes, tensor};
use crate::op::real::Real;
use crate::op::reduce::{dot, largest, sum};

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

/// `softmax(q·kᵀ / √width)·v` for `q`, `k`, `v` `[batch, heads, tokens, width]`.
///
/// # Panics
/// If the sizes do not fit: layers check them.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Mask) -> Tensor<4> {
    if on_host(&q) {
        return apply3(Attention { mask }, q, k, v);
    }
    let [batch, heads, queries, width] = q.dims();
    let keys = k.dims()[2];
    let device = q.device();
    let mut scores = q.matmul(k.swap_dims(2, 3)) / (width as f64).sqrt();
    if let Some(hidden) = mask.hidden([batch, heads, queries, keys], &device) {
        scores = scores.mask_fill(hidden, f64::NEG_INFINITY);
    }
    activation::softmax(scores, 3).matmul(v)
}

#[derive(Debug)]
struct Attention {
    mask: Mask,
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Plan {
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    value: usize,
}

impl Plan {
    fn new(q: &[usize], k: &[usize], v: &[usize]) -> Self {
        assert!(q[..2] == k[..2] && k[..3] == v[..3] && q[3] == k[3], "attention of {q:?}, {k:?} and {v:?}");
        Self { heads: q[1], queries: q[2], keys: k[2], width: q[3], value: v[3] }
    }
}

impl Attention {
    /// The result and the probabilities.
    fn forward<R: Real>(&self, plan: Plan, q: &[R], k: &[R], v: &[R]) -> (Vec<R>, Vec<R>) {
        let Plan { heads, queries, keys, width, value } = plan;
        let scale = R::of(1.0 / (width as f64).sqrt());
        let all = q.len() / (queries * width).max(1);
        let mut y = vec![R::zero(); all * queries * value];
        let mut p = vec![R::zero(); all * queries * keys];
        y.par_chunks_mut(queries * value).zip(p.par_chunks_mut(queries * keys)).enumerate().for_each(|(i, (y, p))| {
            let q = Matrix::new(&q[i * queries * width..], queries, width);
            let k = Matrix::new(&k[i * keys * width..], keys, width);
            multiply(p, keys, q, k.t(), scale, R::zero(), false);
            for (row, p) in p.chunks_mut(keys).enumerate() {
                let seen = self.mask.seen(i / heads, row, keys);
                let (p, hidden) = p.split_at_mut(seen);
                hidden.fill(R::zero());
                let top = largest(p);
                for p in p.iter_mut() {
                    *p -= top;
                }
                R::exp_all(p);
                let inverse = R::one() / sum(p);
                for p in p {
                    *p *= inverse;
                }
            }
            let p = Matrix::new(p, queries, keys);
            multiply(y, value, p, Matrix::new(&v[i * keys * value..], keys, value), R::one(), R::zero(), false);
        });
        (y, p)
    }

    /// Gradients of queries, keys and values.
    fn backward<R: Real>(plan: Plan, q: &[R], k: &[R], v: &[R], p: &[R], dy: &[R]) -> (Vec<R>, Vec<R>, Vec<R>) {
        let Plan { queries, keys, width, value, .. } = plan;
        let scale = R::of(1.0 / (width as f64).sqrt());
        let (mut dq, mut dk, mut dv) = (vec![R::zero(); q.len()], vec![R::zero(); k.len()], vec![R::zero(); v.len()]);
        let places = dq
            .par_chunks_mut(queries * width)
            .zip(dk.par_chunks_mut(keys * width))
            .zip(dv.par_chunks_mut(keys * value));
        places.enumerate().for_each_init(
            || vec![R::zero(); queries * keys],
            |ds, (i, ((dq, dk), dv))| {
                let q = Matrix::new(&q[i * queries * width..], queries, width);
                let k = Matrix::new(&k[i * keys * width..], keys, width);
                let v = Matrix::new(&v[i * keys * value..], keys, value);
                let dy = Matrix::new(&dy[i * queries * value..], queries, value);
                let p = &p[i * queries * keys..][..queries * keys];
                multiply(dv, value, Matrix::new(p, queries, keys).t(), dy, R::one(), R::zero(), false);
                multiply(ds, keys, dy, v.t(), R::one(), R::zero(), false);
                // Through the softmax: ds = p·(dp - Σ p·dp), row by row.
                for (ds, p) in ds.chunks_mut(keys).zip(p.chunks(keys)) {
                    let mean = dot(ds, p);
                    for (d, &p) in ds.iter_mut().zip(p) {
                        *d = p * (*d - mean);
                    }
                }
                let ds = Matrix::new(ds, queries, keys);
                multiply(dq, width, ds, k, scale, R::zero(), false);
                multiply(dk, width, ds.t(), q, scale, R::zero(), false);
            },
        );
        (dq, dk, dv)
    }
}

impl Kernel for Attention {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let [q, k, v] = [0, 1, 2].map(|i| sizes(&inputs[i]));
        let plan = Plan::new(q, k, v);
        let (shape, probabilities) = ([q[0], q[1], q[2], v[3]], [q[0], q[1], q[2], k[2]]);
        by_precision!(inputs[0], R => {
            let (y, p) = self.forward::<R>(plan, numbers(&inputs[0]), numbers(&inputs[1]), numbers(&inputs[2]));
            (tensor(y, shape), vec![tensor(p, probabilities)])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        _: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let [q, k, v] = [0, 1, 2].map(|i| sizes(&inputs[i]).to_vec());
        let plan = Plan::new(&q, &k, &v);
        by_precision!(gradient, R => {
            let [a, b, c] = [0, 1, 2].map(|i| numbers::<R>(&inputs[i]));
            let (dq, dk, dv) = Self::backward(plan, a, b, c, numbers(&saved[0]), numbers(gradient));
            vec![Some(tensor(dq, q)), Some(tensor(dk, k)), Some(tensor(dv, v))]
        })
    }
}
