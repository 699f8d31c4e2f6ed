//! What a network computes, as a graph: every operation of a forward pass of one example, with its weights, the sizes of
//! what it gives, its multiply-adds, and the operations that it takes its inputs from. A network
//! [traces](crate::model::Network::trace) it from its description alone, layer by layer as it runs them; nothing is computed.

use std::fmt::{self, Display, Formatter, Write};

use serde::Serialize;

use crate::op::{Conv2dShape, Curve};

/// What a node computes, with the sizes that its inputs and outputs do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// Nothing: the example itself, numbers or tokens.
    Input,
    /// Nothing: the weights themselves, the same for every example.
    Weights,
    /// `x·Wᵀ` of every row, plus a bias if there are two weights.
    Linear {
        /// Width of a row.
        inputs: usize,
        /// Width of what is given.
        outputs: usize,
    },
    /// A convolution of an image.
    Convolution {
        /// Channels of the image.
        inputs: usize,
        /// Channels of what is given.
        outputs: usize,
        /// Side of the kernels.
        kernel: usize,
        /// How it walks.
        #[serde(flatten)]
        shape: Conv2dShape,
    },
    /// The rows of a table that tokens, their positions or their segments name.
    Lookup {
        /// Rows of the table.
        rows: usize,
        /// Width of a row.
        width: usize,
    },
    /// Normalisation of every row.
    LayerNorm,
    /// Normalisation of every channel over the batch, in evaluation by running statistics.
    BatchNorm,
    /// `max(0, x)`.
    Relu,
    /// `x·Φ(x)`.
    Gelu {
        /// Exact, or by the hyperbolic tangent.
        curve: Curve,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// In training some numbers are set to zero.
    Dropout {
        /// Their share.
        share: f64,
    },
    /// `softmax(q·kᵀ/√width)·v` of every head.
    Attention {
        /// Heads.
        heads: usize,
        /// Does a token see none after it?
        causal: bool,
    },
    /// LSTM cells, token after token, from what the tokens put into their four gates.
    Lstm {
        /// Cells.
        units: usize,
    },
    /// Cells whose gates see the tokens alone.
    QuasiLstm {
        /// Cells.
        units: usize,
    },
    /// The largest number of every square of every channel.
    MaxPool {
        /// Side of a square.
        side: usize,
        /// Steps between squares.
        stride: usize,
    },
    /// The mean of every channel, or of a text's tokens.
    Mean,
    /// The largest number of every channel.
    Largest,
    /// The first row.
    First,
    /// A vector of length 1 of the same direction.
    Normalised,
    /// The sum of the inputs.
    Sum,
    /// The inputs one after another.
    Concatenated,
    /// The same numbers in other sizes.
    Reshaped,
}

impl Operation {
    /// Does its backward pass want what went in?
    fn keeps_inputs(&self) -> bool {
        match self {
            Self::Linear { .. }
            | Self::Convolution { .. }
            | Self::LayerNorm
            | Self::BatchNorm
            | Self::Relu
            | Self::Gelu { .. }
            | Self::Attention { .. }
            | Self::Lstm { .. }
            | Self::QuasiLstm { .. }
            | Self::MaxPool { .. }
            | Self::Normalised => true,
            Self::Input
            | Self::Weights
            | Self::Lookup { .. }
            | Self::Tanh
            | Self::Dropout { .. }
            | Self::Mean
            | Self::Largest
            | Self::First
            | Self::Sum
            | Self::Concatenated
            | Self::Reshaped => false,
        }
    }

    /// Does it want what came out?
    fn keeps_output(&self) -> bool {
        matches!(self, Self::Tanh | Self::MaxPool { .. } | Self::Lstm { .. })
    }

    /// Numbers that it wants besides, where it gives these sizes.
    fn keeps_besides(&self, shape: &[usize]) -> usize {
        match self {
            // The probabilities, of all keys for every query.
            Self::Attention { heads, .. } => heads * shape[0] * shape[0],
            // Four gates after their curves, the cell, its curve.
            Self::Lstm { .. } => 6 * count(shape),
            // Four gates after their curves, the cell.
            Self::QuasiLstm { .. } => 5 * count(shape),
            _ => 0,
        }
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("input"),
            Self::Weights => f.write_str("weights"),
            Self::Linear { inputs, outputs } => write!(f, "linear, {inputs} to {outputs}"),
            Self::Convolution { inputs, outputs, kernel, shape } => {
                write!(f, "convolution {kernel}×{kernel}, {inputs} to {outputs}")?;
                if shape.stride != [1, 1] {
                    write!(f, ", stride {}×{}", shape.stride[0], shape.stride[1])?;
                }
                if shape.groups > 1 { write!(f, ", {} groups", shape.groups) } else { Ok(()) }
            }
            Self::Lookup { rows, .. } => write!(f, "lookup in {rows} rows"),
            Self::LayerNorm => f.write_str("layer norm"),
            Self::BatchNorm => f.write_str("batch norm"),
            Self::Relu => f.write_str("relu"),
            Self::Gelu { .. } => f.write_str("gelu"),
            Self::Tanh => f.write_str("tanh"),
            Self::Dropout { share } => write!(f, "dropout of {share}"),
            Self::Attention { heads, causal } => {
                write!(f, "{}attention, {heads} heads", if *causal { "causal " } else { "" })
            }
            Self::Lstm { units } => write!(f, "lstm, {units} cells"),
            Self::QuasiLstm { units } => write!(f, "quasi-lstm, {units} cells"),
            Self::MaxPool { side, stride } => write!(f, "max pool {side}×{side}, stride {stride}"),
            Self::Mean => f.write_str("mean"),
            Self::Largest => f.write_str("largest"),
            Self::First => f.write_str("first"),
            Self::Normalised => f.write_str("normalised"),
            Self::Sum => f.write_str("sum"),
            Self::Concatenated => f.write_str("concatenated"),
            Self::Reshaped => f.write_str("reshaped"),
        }
    }
}

/// One operation of a forward pass of one example.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Its name, dotted, no other's: what its weights' names begin with, where they are its own.
    pub name: String,
    /// What it computes.
    pub operation: Operation,
    /// The full names of its tensors, running statistics too; a tensor may belong to several nodes.
    pub weights: Vec<String>,
    /// The nodes that its inputs come from, by their place in the list; all stand before it.
    pub inputs: Vec<usize>,
    /// The sizes of what it gives: `[channels, height, width]` of an image, `[tokens, width]` of a text, `[width]`.
    pub shape: Vec<usize>,
    /// Multiply-adds of its products; additions, curves and normalisations are not counted.
    pub multiply_adds: u64,
}

/// The operations of a network's forward pass of one example, in their order; the last gives what the network gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Graph {
    /// The operations.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// Multiply-adds of one forward pass of one example.
    pub fn multiply_adds(&self) -> u64 {
        self.nodes.iter().map(|node| node.multiply_adds).sum()
    }

    /// Numbers that a forward pass of one example keeps for the backward pass, about: each tensor once, however many
    /// operations want it. The output is among them, since the loss wants it.
    pub fn activations(&self) -> u64 {
        let mut kept = vec![false; self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            if node.operation.keeps_inputs() {
                node.inputs.iter().for_each(|&input| kept[self.source(input)] = true);
            }
            if node.operation.keeps_output() || place + 1 == self.nodes.len() {
                kept[self.source(place)] = true;
            }
        }
        let of_node = |(node, kept): (&Node, bool)| {
            usize::from(kept) * count(&node.shape) + node.operation.keeps_besides(&node.shape)
        };
        self.nodes.iter().zip(kept).map(of_node).sum::<usize>() as u64
    }

    /// The node whose memory this one's numbers lie in.
    fn source(&self, mut place: usize) -> usize {
        while let Node { operation: Operation::Reshaped, inputs, .. } = &self.nodes[place] {
            place = inputs[0];
        }
        place
    }

    /// The graph in Graphviz' language: each node with its name, operation and sizes.
    pub fn dot(&self) -> String {
        let mut dot = "digraph network {\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
        // Writing to a string does not fail; no name holds a quotation mark.
        for (place, node) in self.nodes.iter().enumerate() {
            let sizes: Vec<String> = node.shape.iter().map(usize::to_string).collect();
            let (name, sizes) = (&node.name, sizes.join("×"));
            let _ = match node.operation {
                Operation::Input => writeln!(dot, "  n{place} [label=\"{name}\\n{sizes}\"];"),
                operation => writeln!(dot, "  n{place} [label=\"{name}\\n{operation}\\n{sizes}\"];"),
            };
            for input in &node.inputs {
                let _ = writeln!(dot, "  n{input} -> n{place};");
            }
        }
        dot.push_str("}\n");
        dot
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Writes a graph down as a forward pass would go: beside `forward`, layers and networks have a `trace` that takes the
/// places of their inputs and gives that of their output. Names begin as those of the weights, see [`Tracer::of`].
#[derive(Debug)]
pub struct Tracer<'a> {
    graph: &'a mut Graph,
    prefix: String,
}

impl<'a> Tracer<'a> {
    /// Writes into a graph.
    pub fn new(graph: &'a mut Graph) -> Self {
        Self { graph, prefix: String::new() }
    }

    /// For the part `name` of this one.
    pub fn of(&mut self, name: &str) -> Tracer<'_> {
        Tracer { graph: &mut *self.graph, prefix: format!("{}{name}.", self.prefix) }
    }

    /// The full name of the tensor `name` here.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The sizes of what the node at a place gives.
    pub fn shape(&self, place: usize) -> &[usize] {
        &self.graph.nodes[place].shape
    }

    /// What goes into the network.
    pub fn input(&mut self, shape: &[usize]) -> usize {
        let node = Node { name: "input".to_owned(), ..self.unconnected(Operation::Input, shape) };
        self.push(node)
    }

    /// Any operation, named like this part; see [`Node`].
    pub fn node(
        &mut self,
        operation: Operation,
        weights: Vec<String>,
        inputs: &[usize],
        shape: &[usize],
        multiply_adds: u64,
    ) -> usize {
        let inputs = inputs.to_vec();
        let node = Node { weights, inputs, multiply_adds, ..self.unconnected(operation, shape) };
        self.push(node)
    }

    /// `x·Wᵀ` of every row of what `x` gives, by the matrix `weights[0]`; a second tensor is added.
    pub fn linear(&mut self, weights: Vec<String>, x: usize, outputs: usize) -> usize {
        let mut shape = self.shape(x).to_vec();
        let inputs = shape.last_mut().map_or(0, |width| std::mem::replace(width, outputs));
        let multiply_adds = (count(&shape) * inputs) as u64;
        self.node(Operation::Linear { inputs, outputs }, weights, &[x], &shape, multiply_adds)
    }

    /// An operation without weights that gives as many numbers as each of its inputs holds.
    pub fn each(&mut self, operation: Operation, inputs: &[usize]) -> usize {
        let shape = self.shape(inputs[0]).to_vec();
        self.node(operation, Vec::new(), inputs, &shape, 0)
    }

    /// An operation without weights that gives other sizes.
    pub fn resized(&mut self, operation: Operation, inputs: &[usize], shape: &[usize]) -> usize {
        self.node(operation, Vec::new(), inputs, shape, 0)
    }

    /// Dropout, where there is any.
    pub fn dropout(&mut self, x: usize, share: f64) -> usize {
        if share > 0.0 { self.of("dropout").each(Operation::Dropout { share }, &[x]) } else { x }
    }

    fn unconnected(&self, operation: Operation, shape: &[usize]) -> Node {
        let name = self.prefix.trim_end_matches('.').to_owned();
        Node { name, operation, weights: Vec::new(), inputs: Vec::new(), shape: shape.to_vec(), multiply_adds: 0 }
    }

    fn push(&mut self, node: Node) -> usize {
        self.graph.nodes.push(node);
        self.graph.nodes.len() - 1
    }
}
