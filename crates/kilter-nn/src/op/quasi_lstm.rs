//! The quasi-LSTM's cell (*The Languini Kitchen*, 2023): gates that see the input alone, so that only the cell's own line
//! `c = f c + i z` has to wait for what was before, number by number and without a matrix product.
//!
//! On the CPU one kernel runs over time, side by side for the sequences of a batch. Elsewhere the line is cut into blocks,
//! each a lower triangle of products of forget gates, so that a step waits for `time / block` others instead of `time`.

use burn::tensor::{Tensor, TensorData, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::kernel::{Kernel, apply2, numbers, on_host, sizes, tensor};
use crate::op::real::Real;

/// Added to what the forget gate sees, so that a fresh cell remembers.
pub(crate) const FORGET_BIAS: f64 = 1.0;

/// Cells' outputs `[batch · time, units]` from what their gates see, `[batch · time, 4 · units]` in the order forget,
/// input, candidate, output, and from the state before, `[batch, units]`. `block` divides the time.
pub fn quasi_lstm(gates: Tensor<2>, before: Tensor<2>, block: usize) -> Tensor<2> {
    if on_host(&gates) {
        return apply2(QuasiLstm, gates, before);
    }
    quasi_lstm_in_blocks(gates, before, block).0
}

/// The same by blocks, with the state after: the form that waits less.
pub fn quasi_lstm_in_blocks(gates: Tensor<2>, before: Tensor<2>, block: usize) -> (Tensor<2>, Tensor<2>) {
    let [batch, units] = before.dims();
    let time = gates.dims()[0] / batch;
    let gates: Tensor<3> = gates.reshape([batch, time, 4 * units]);
    let part = |gate: usize, from: usize, to: usize| -> Tensor<3> {
        gates.clone().slice([0..batch, from..to, gate * units..(gate + 1) * units])
    };
    let (mut state, mut outputs) = (before, Vec::new());
    for from in (0..time).step_by(block) {
        let to = from + block;
        let logs = activation::log_sigmoid(part(0, from, to) + FORGET_BIAS);
        let new = activation::sigmoid(part(1, from, to)) * part(2, from, to).tanh();
        // Sums of logarithms up to each step; their differences are logarithms of products, never above 0.
        let mut so_far = Vec::with_capacity(block);
        let mut sum = Tensor::<3>::zeros([batch, 1, units], (&state.device(), state.dtype()));
        for k in 0..block {
            sum = sum + logs.clone().slice([0..batch, k..k + 1, 0..units]);
            so_far.push(sum.clone());
        }
        let carried: Tensor<3> = state.clone().reshape([batch, 1, units]);
        let cells: Vec<Tensor<3>> = (0..block)
            .map(|k| {
                let here = so_far[k].clone();
                let mut cell = here.clone().exp() * carried.clone();
                let earlier = Tensor::cat(so_far[..=k].to_vec(), 1);
                let weights = (here - earlier).exp();
                cell = cell + (weights * new.clone().slice([0..batch, 0..k + 1, 0..units])).sum_dim(1);
                cell
            })
            .collect();
        state = cells[block - 1].clone().reshape([batch, units]);
        outputs.push(activation::sigmoid(part(3, from, to)) * Tensor::cat(cells, 1).tanh());
    }
    (Tensor::cat(outputs, 1).reshape([batch * time, units]), state)
}

/// The state after a stretch of gates, without a gradient: what a next stretch begins with.
pub fn quasi_lstm_state(gates: &Tensor<2>, before: &Tensor<2>) -> Tensor<2> {
    let [batch, units] = before.dims();
    let (gates, state) = (gates.clone().into_data(), before.clone().into_data());
    let last = match (gates.as_slice::<f32>(), state.as_slice::<f32>()) {
        (Ok(gates), Ok(state)) => TensorData::new(last_cells(gates, state, units), [batch, units]),
        _ => {
            let (gates, state): (Vec<f64>, Vec<f64>) = (gates.iter().collect(), state.iter().collect());
            TensorData::new(last_cells(&gates, &state, units), [batch, units]).convert_dtype(before.dtype())
        }
    };
    Tensor::from_data(last, (&before.device(), before.dtype()))
}

/// The cells of the last step.
fn last_cells<R: Real>(seen: &[R], before: &[R], units: usize) -> Vec<R> {
    let batch = before.len() / units;
    let time = seen.len() / (4 * units * batch.max(1));
    let one = R::one();
    let mut cells = before.to_vec();
    cells.par_chunks_mut(units).zip(seen.par_chunks(4 * time * units)).for_each(|(cell, seen)| {
        let mut open = vec![R::zero(); 3 * units];
        for seen in seen.chunks(4 * units) {
            for u in 0..units {
                open[u] = -(seen[u] + R::of(FORGET_BIAS));
                open[units + u] = -seen[units + u];
                open[2 * units + u] = -(seen[2 * units + u] + seen[2 * units + u]);
            }
            R::exp_all(&mut open);
            for u in 0..units {
                let [f, i, z] = [0, 1, 2].map(|gate| one / (one + open[gate * units + u]));
                cell[u] = f * cell[u] + i * (z + z - one);
            }
        }
    });
    cells
}

#[derive(Debug)]
struct QuasiLstm;

/// Outputs, open gates and cells of every step, from what the gates see and the state before.
fn forward<R: Real>(seen: &[R], before: &[R], units: usize) -> (Vec<R>, Vec<R>, Vec<R>) {
    let batch = before.len() / units;
    let time = seen.len() / (4 * units * batch.max(1));
    let one = R::one();
    let mut outputs = vec![R::zero(); batch * time * units];
    let mut gates = vec![R::zero(); seen.len()];
    let mut cells = vec![R::zero(); batch * time * units];
    let sequences = outputs.par_chunks_mut(time * units).zip(gates.par_chunks_mut(4 * time * units));
    let sequences = sequences.zip(cells.par_chunks_mut(time * units));
    let given = seen.par_chunks(4 * time * units).zip(before.par_chunks(units));
    sequences.zip(given).for_each(|(((outputs, gates), cells), (seen, before))| {
        let mut cell = before.to_vec();
        let mut power = vec![R::zero(); units];
        for t in 0..time {
            let open = &mut gates[4 * t * units..4 * (t + 1) * units];
            let seen = &seen[4 * t * units..4 * (t + 1) * units];
            for (at, (open, &seen)) in open.iter_mut().zip(seen).enumerate() {
                // 1/(1 + e^-x) opens gates; the candidate is tanh x = 2/(1 + e^-2x) - 1.
                *open = match at / units {
                    0 => -(seen + R::of(FORGET_BIAS)),
                    2 => -(seen + seen),
                    _ => -seen,
                };
            }
            R::exp_all(open);
            for open in open.iter_mut() {
                *open = one / (one + *open);
            }
            let (open_f, rest) = open.split_at_mut(units);
            let (open_i, rest) = rest.split_at_mut(units);
            let (z, open_o) = rest.split_at_mut(units);
            for u in 0..units {
                z[u] = z[u] + z[u] - one;
                cell[u] = open_f[u] * cell[u] + open_i[u] * z[u];
                power[u] = -(cell[u] + cell[u]);
            }
            cells[t * units..(t + 1) * units].copy_from_slice(&cell);
            R::exp_all(&mut power);
            let output = &mut outputs[t * units..(t + 1) * units];
            for u in 0..units {
                let squashed = one / (one + power[u]);
                output[u] = open_o[u] * (squashed + squashed - one);
            }
        }
    });
    (outputs, gates, cells)
}

/// Gradients of what the gates see and of the state before.
fn backward<R: Real>(before: &[R], gates: &[R], cells: &[R], gradient: &[R], units: usize) -> (Vec<R>, Vec<R>) {
    let batch = before.len() / units;
    let time = cells.len() / (units * batch.max(1));
    let one = R::one();
    let mut seen = vec![R::zero(); gates.len()];
    let mut state = vec![R::zero(); before.len()];
    let results = seen.par_chunks_mut(4 * time * units).zip(state.par_chunks_mut(units));
    let known = gates.par_chunks(4 * time * units).zip(cells.par_chunks(time * units));
    let known = known.zip(gradient.par_chunks(time * units)).zip(before.par_chunks(units));
    results.zip(known).for_each(|((seen, state), (((gates, cells), gradient), before))| {
        let mut power = vec![R::zero(); units];
        for t in (0..time).rev() {
            let here = t * units..(t + 1) * units;
            for (power, &cell) in power.iter_mut().zip(&cells[here.clone()]) {
                *power = -(cell + cell);
            }
            R::exp_all(&mut power);
            let open = &gates[4 * t * units..4 * (t + 1) * units];
            let earlier = if t == 0 { before } else { &cells[(t - 1) * units..t * units] };
            let seen = &mut seen[4 * t * units..4 * (t + 1) * units];
            for u in 0..units {
                let (f, i, z, o) = (open[u], open[units + u], open[2 * units + u], open[3 * units + u]);
                let squashed = one / (one + power[u]);
                let tanh = squashed + squashed - one;
                let dy = gradient[t * units + u];
                let dc = state[u] + dy * o * (one - tanh * tanh);
                seen[u] = dc * earlier[u] * f * (one - f);
                seen[units + u] = dc * z * i * (one - i);
                seen[2 * units + u] = dc * i * (one - z * z);
                seen[3 * units + u] = dy * tanh * o * (one - o);
                state[u] = dc * f;
            }
        }
    });
    (seen, state)
}

impl Kernel for QuasiLstm {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let units = sizes(&inputs[1])[1];
        by_precision!(inputs[0], R => {
            let (outputs, gates, cells) = forward::<R>(numbers(&inputs[0]), numbers(&inputs[1]), units);
            let rows = outputs.len() / units;
            (tensor(outputs, [rows, units]), vec![tensor(gates, [rows, 4 * units]), tensor(cells, [rows, units])])
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let units = sizes(&inputs[1])[1];
        by_precision!(gradient, R => {
            let (gates, cells) = (numbers::<R>(&saved[0]), numbers(&saved[1]));
            let (seen, state) = backward::<R>(numbers(&inputs[1]), gates, cells, numbers(gradient), units);
            vec![
                wanted[0].then(|| tensor(seen, sizes(&inputs[0]).to_vec())),
                wanted[1].then(|| tensor(state, sizes(&inputs[1]).to_vec())),
            ]
        })
    }
}
