//! Long short-term memory (Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000).

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::context::{Context, Rule};
use crate::graph::{Operation, Tracer};
use crate::init::Init;
use crate::op::{linear, widened};
use crate::params::{Declared, Role, Scope};
use crate::view::{Dual, Pair};

/// One layer of LSTM cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lstm {
    /// Width of the input.
    pub inputs: usize,
    /// Cells.
    pub hidden: usize,
}

impl Lstm {
    /// Declares `weight_input` `[4·hidden, inputs]`, `weight_hidden` `[4·hidden, hidden]` and `bias` `[4·hidden]`; gates in
    /// the order input, forget, cell, output.
    pub fn declare(&self, declared: &mut Declared) {
        let init = Init::Uniform { bound: 1.0 / (self.hidden as f64).sqrt() };
        declared.tensor("weight_input", &[4 * self.hidden, self.inputs], init, Role::Weight);
        declared.tensor("weight_hidden", &[4 * self.hidden, self.hidden], init, Role::Weight);
        declared.tensor("bias", &[4 * self.hidden], init, Role::Vector);
    }

    /// `[batch, tokens, inputs]` to `[batch, tokens, hidden]`, from the state that the pass carries here, or from zeros;
    /// between the matrices in f32 at least.
    pub fn forward(&self, weights: &Scope<'_>, x: Tensor<3>, context: &mut Context<'_>) -> Tensor<3> {
        let [batch, tokens, inputs] = x.dims();
        let (h, dtype) = (self.hidden, x.dtype());
        let x: Tensor<2> = x.reshape([batch * tokens, inputs]);
        let of_input = linear(x.clone(), weights.get("weight_input"), Some(weights.get("bias")));
        let bias = || Some(weights.full("bias"));
        let of_input = context.observed(of_input, || (weights.full("weight_input"), bias(), Rule::Linear(x)));
        let of_input: Tensor<3> = widened(of_input.reshape([batch, tokens, 4 * h]));
        let recurrent = weights.get::<2>("weight_hidden");
        let [state_name, cell_name] = ["state", "cell"].map(|name| weights.full(name));
        let mut state = context.state(&state_name, [batch, h], &of_input);
        let mut cell = context.state(&cell_name, [batch, h], &of_input);
        let mut outputs = Vec::with_capacity(tokens);
        for t in 0..tokens {
            let now: Tensor<2> = of_input.clone().slice([0..batch, t..t + 1, 0..4 * h]).reshape([batch, 4 * h]);
            let seen = state.cast(dtype);
            let of_state = linear(seen.clone(), recurrent.clone(), None);
            let of_state = context.observed(of_state, || (weights.full("weight_hidden"), None, Rule::Linear(seen)));
            let gates = now + widened(of_state);
            let gate = |i: usize| gates.clone().slice([0..batch, i * h..(i + 1) * h]);
            let (input, forget) = (activation::sigmoid(gate(0)), activation::sigmoid(gate(1)));
            cell = forget * cell + input * gate(2).tanh();
            state = activation::sigmoid(gate(3)) * cell.clone().tanh();
            outputs.push(state.clone().reshape([batch, 1, h]));
        }
        context.leave(state_name, state);
        context.leave(cell_name, cell);
        Tensor::cat(outputs, 1).cast(dtype)
    }

    /// The same along a direction, from states of zeros.
    pub fn dual(&self, weights: &Pair<'_>, x: Dual<3>) -> Dual<3> {
        let [batch, tokens, inputs] = x.value.dims();
        let (h, rows) = (self.hidden, batch * tokens);
        let zeros = Tensor::<2>::zeros([batch, h], (&x.value.device(), x.value.dtype()));
        let matrix = |name: &str| weights.get::<2>(name).linear(Tensor::transpose);
        let bias = weights.get::<1>("bias").linear(|bias| bias.unsqueeze::<2>().expand([rows, 4 * h]));
        let of_input = x.linear(|x| x.reshape([rows, inputs])).matmul(matrix("weight_input")).plus(bias);
        let of_input: Dual<3> = of_input.linear(|x| x.reshape([batch, tokens, 4 * h]));
        let recurrent = matrix("weight_hidden");
        let (mut state, mut cell) = (Dual::constant(zeros.clone()), Dual::constant(zeros));
        let mut outputs = Vec::with_capacity(tokens);
        for t in 0..tokens {
            let now = of_input.clone().linear(|x| x.slice([0..batch, t..t + 1, 0..4 * h]).reshape([batch, 4 * h]));
            let gates = now.plus(state.matmul(recurrent.clone()));
            let gate = |i: usize| gates.clone().linear(|x| x.slice([0..batch, i * h..(i + 1) * h]));
            cell = gate(1).sigmoid().times(cell).plus(gate(0).sigmoid().times(gate(2).tanh()));
            state = gate(3).sigmoid().times(cell.clone().tanh());
            outputs.push(state.clone().linear(|x| x.reshape([batch, 1, h])));
        }
        Dual::cat(outputs, 1)
    }

    /// Its nodes, what the tokens put into the gates and the cells, from that of `x` `[tokens, inputs]`; see [`Tracer`].
    pub fn trace(&self, tracer: &mut Tracer<'_>, x: usize) -> usize {
        let of_input = ["weight_input", "bias"].map(|name| tracer.full(name)).to_vec();
        let gates = tracer.of("gates").linear(of_input, x, 4 * self.hidden);
        let (units, tokens) = (self.hidden, tracer.shape(x)[0]);
        let multiply_adds = (tokens * 4 * units * units) as u64;
        let weights = vec![tracer.full("weight_hidden")];
        tracer.node(Operation::Lstm { units }, weights, &[gates], &[tokens, units], multiply_adds)
    }
}
