//! Graphs of networks: what they tell must be what a forward pass does.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use kilter_nn::context::{Context, Passed, Rule};
use kilter_nn::graph::{Graph, Node, Operation};
use kilter_nn::model::{
    Activation, Cnn, Gpt, LstmLanguageModel, Mlp, Network, Pooling, QuasiLstmLanguageModel, ResNet, TextClassifier,
    Vit, Xception,
};
use kilter_nn::params::{Params, Role, Scope};
use kilter_nn::tokens::Tokens;
use serde_json::json;

use crate::view::{EXAMPLES, IMAGE, LENGTH, pictures, rows, small_encoder, text, weights};

const ALL: [usize; EXAMPLES] = [0, 1, 2];

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The graph holds together, and has the network's tensors and no others.
fn well_formed(name: &str, network: &dyn Network, graph: &Graph) {
    let nodes = &graph.nodes;
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names.len(), nodes.len(), "{name}: names");
    for (place, node) in nodes.iter().enumerate() {
        assert!(node.inputs.iter().all(|&input| input < place), "{name}: {node:?}");
        assert_eq!(node.operation == Operation::Input, place == 0, "{name}: {node:?}");
        let begins = matches!(node.operation, Operation::Input | Operation::Weights);
        assert_eq!(node.inputs.is_empty(), begins, "{name}: {node:?}");
        let shapes = || node.inputs.iter().map(|&input| &nodes[input].shape);
        match node.operation {
            Operation::Sum => {
                assert!(node.inputs.len() > 1 && shapes().all(|shape| *shape == node.shape), "{name}: {node:?}");
            }
            Operation::Concatenated => {
                assert_eq!(shapes().map(|shape| count(shape)).sum::<usize>(), count(&node.shape), "{name}: {node:?}");
            }
            Operation::Reshaped => {
                assert!(shapes().all(|shape| count(shape) == count(&node.shape)), "{name}: {node:?}");
            }
            _ => {}
        }
    }
    let used: BTreeSet<usize> = nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
    assert!(used.into_iter().eq(0..nodes.len() - 1), "{name}: all but the last go somewhere");
    let declared: BTreeSet<String> = network.specs().into_iter().map(|spec| spec.name).collect();
    let told: BTreeSet<String> = nodes.iter().flat_map(|node| node.weights.iter().cloned()).collect();
    assert_eq!(told, declared, "{name}");
}

/// The graph's layers are those that an observer of a forward pass in evaluation sees, in their order.
fn check(name: &str, network: &dyn Network, forward: impl FnOnce(&Params, &mut Context<'_>) -> Tensor<2>) {
    let (graph, params) = (network.graph(), weights(network));
    well_formed(name, network, &graph);
    let mut seen: Vec<Passed> = Vec::new();
    let mut context = Context::evaluation().with_observer(|layer, y| {
        match seen.last_mut() {
            // Recurrent weights are seen at every step.
            Some(last) if last.weight == layer.weight => last.shape[0] += layer.shape[0],
            _ => seen.push(layer),
        }
        y
    });
    let y = forward(&params, &mut context);
    drop(context);
    assert_eq!(count(&y.dims()), EXAMPLES * count(&graph.nodes.last().unwrap().shape), "{name}");
    let layers: Vec<&Node> = graph.nodes.iter().filter(|node| !node.weights.is_empty()).collect();
    assert_eq!(seen.len(), layers.len(), "{name}");
    for (seen, node) in seen.iter().zip(layers) {
        let spec = |name: &str| &params.specs()[params.place(name).unwrap()];
        let learned = node.weights.iter().filter(|weight| spec(weight).role != Role::Statistic);
        let told: Vec<&String> = std::iter::once(&seen.weight).chain(&seen.bias).collect();
        assert!(learned.eq(told), "{name}: {node:?}, but {seen:?}");
        // The recurrent product goes into four gates of each cell.
        let gates = if matches!(node.operation, Operation::Lstm { .. }) { 4 } else { 1 };
        assert_eq!(count(&seen.shape), EXAMPLES * gates * count(&node.shape), "{name}: {node:?}, but {seen:?}");
        let width = |shape: &[usize]| match &seen.rule {
            Rule::Convolution(..) | Rule::ScaleChannels(_) => shape[shape.len() - 3..].to_vec(),
            _ => shape[shape.len() - 1..].to_vec(),
        };
        let expected: Vec<usize> = width(&node.shape).into_iter().map(|side| gates * side).collect();
        assert_eq!(width(&seen.shape), expected, "{name}: {node:?}, but {seen:?}");
        // Each number that a layer gives is a product with the weights of one of its outputs.
        let products = match &seen.rule {
            Rule::Linear(_) | Rule::Convolution(..) => {
                let weight = spec(&seen.weight);
                count(&seen.shape) / EXAMPLES * (weight.count() / weight.shape[0])
            }
            _ => 0,
        };
        assert_eq!(node.multiply_adds, products as u64, "{name}: {node:?}");
    }
}

#[test]
fn graphs_have_the_layers_of_a_forward_pass() {
    for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh, Activation::Identity] {
        let mlp = Mlp { activation, dropout: 0.1, ..Mlp::new(&[5, 7, 3]) };
        check("mlp", &mlp, |params, context| mlp.forward(params, rows(params, &ALL), context));
    }
    for (pooled, hidden) in [(false, 5), (true, 0)] {
        let cnn = Cnn { image: IMAGE, channels: vec![3, 4], kernel: 3, pooled, hidden, classes: 3, dropout: 0.1 };
        check("cnn", &cnn, |params, context| cnn.forward(params, pictures(params, &ALL), context));
    }
    let resnet = ResNet { image: IMAGE, width: 2, stages: 2, blocks: 2, kernel: 3, classes: 3, dropout: 0.1 };
    check("resnet", &resnet, |params, context| resnet.forward(params, pictures(params, &ALL), context));
    let xception = Xception { image: [2, 7, 7], width: 2, blocks: 2, kernel: 3, classes: 3, dropout: 0.1 };
    check("xception", &xception, |params, context| {
        let odd = pictures(params, &ALL).slice([0..EXAMPLES, 0..2, 0..7, 0..7]);
        xception.forward(params, odd, context)
    });
    let vit = Vit { image: IMAGE, patch: 4, width: 4, layers: 2, heads: 2, classes: 3, dropout: 0.1 };
    check("vit", &vit, |params, context| vit.forward(params, pictures(params, &ALL), context));
    let gpt = Gpt { vocabulary: 5, context: LENGTH, width: 4, layers: 2, heads: 2, dropout: 0.1 };
    check("gpt", &gpt, |params, context| gpt.forward(params, text(&ALL), EXAMPLES, context));
    let lstm = LstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 2, dropout: 0.1 };
    check("lstm", &lstm, |params, context| lstm.forward(params, text(&ALL), EXAMPLES, context));
    let quasi = QuasiLstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 2, block: 2, dropout: 0.1 };
    check("quasi-lstm", &quasi, |params, context| quasi.forward(params, text(&ALL), EXAMPLES, context));
    let encoder = small_encoder();
    let lengths = [LENGTH; EXAMPLES];
    check("encoder", &encoder, |params, context| {
        encoder.forward(&Scope::new(params), text(&ALL), lengths.into(), context)
    });
    for pooling in [Pooling::Mean, Pooling::NormalisedMean, Pooling::First] {
        let reader = TextClassifier { encoder: encoder.clone(), pooling, classes: 3 };
        let texts = Tokens { ids: text(&ALL), lengths: lengths.into() };
        check("text classifier", &reader, |params, context| reader.forward(params, &texts, context));
    }
}

/// The node of this name, with the names of those that it takes its inputs from.
fn fed<'a>(graph: &'a Graph, name: &str) -> (&'a Node, Vec<&'a str>) {
    let node = graph.nodes.iter().find(|node| node.name == name).unwrap();
    (node, node.inputs.iter().map(|&input| graph.nodes[input].name.as_str()).collect())
}

#[test]
fn residuals_and_tied_weights_are_seen() {
    let resnet = ResNet { image: IMAGE, width: 2, stages: 2, blocks: 2, kernel: 3, classes: 3, dropout: 0.0 };
    let graph = resnet.graph();
    assert_eq!(fed(&graph, "stages.0.1.sum").1, ["stages.0.0.relu2", "stages.0.1.norm2"]);
    assert_eq!(fed(&graph, "stages.1.0.sum").1, ["stages.1.0.shortcut_norm", "stages.1.0.norm2"]);
    let (shortcut, before) = fed(&graph, "stages.1.0.shortcut");
    assert_eq!((before, &shortcut.shape[..]), (vec!["stages.0.1.relu2"], &[4, 4, 4][..]));
    let gpt = Gpt { vocabulary: 5, context: LENGTH, width: 4, layers: 1, heads: 2, dropout: 0.0 };
    let graph = gpt.graph();
    assert_eq!(fed(&graph, "blocks.0.sum1").1, ["sum", "blocks.0.attention.output"]);
    assert_eq!(fed(&graph, "blocks.0.sum2").1, ["blocks.0.sum1", "blocks.0.down"]);
    let heads = ["blocks.0.attention.query", "blocks.0.attention.key", "blocks.0.attention.value"];
    assert_eq!(fed(&graph, "blocks.0.attention.heads").1, heads);
    for name in ["tokens", "head"] {
        assert_eq!(fed(&graph, name).0.weights, ["tokens.weight"]);
    }
    // A norm after the sum feeds both what follows and the next sum.
    let graph = small_encoder().graph();
    assert_eq!(fed(&graph, "blocks.0.sum2").1, ["blocks.0.norm1", "blocks.0.down"]);
}

#[test]
fn what_the_backward_pass_wants_is_counted_once() {
    // What goes into each convolution, normalisation and rectifier; of the residual only the sum; the mean, the logits.
    let resnet = ResNet { image: IMAGE, width: 2, stages: 1, blocks: 1, kernel: 3, classes: 3, dropout: 0.0 };
    assert_eq!(resnet.activations(), (64 * (2 + 2 * 2 + 6 * 2) + 2 + 3) as u64);
    // Of a block: what goes into two normalisations, the matrices of queries, keys and values together, the attention and
    // its probabilities, the last three matrices and the curve.
    let gpt = Gpt { vocabulary: 5, context: LENGTH, width: 4, layers: 1, heads: 2, dropout: 0.0 };
    let block = LENGTH * (2 * 4 + 4 + 3 * 4 + 2 * LENGTH + (4 + 4 + 16) + 16);
    assert_eq!(gpt.activations(), (block + LENGTH * (2 * 4 + 5)) as u64);
    // An image that is laid out anew is kept once.
    let cnn = Cnn { image: IMAGE, channels: vec![3], kernel: 3, pooled: false, hidden: 0, classes: 2, dropout: 0.0 };
    assert_eq!(cnn.activations(), (64 * (2 + 2 * 3) + 16 * 3 + 2) as u64);
}

#[test]
fn graphs_are_drawn_and_stored() {
    let graph = Mlp::new(&[2, 3]).graph();
    assert_eq!(
        graph.dot(),
        "digraph network {\n  node [shape=box, fontname=\"sans-serif\"];\n  n0 [label=\"input\\n2\"];\n  n1 \
         [label=\"layers.0\\nlinear, 2 to 3\\n3\"];\n  n0 -> n1;\n}\n"
    );
    let linear = json!({
        "name": "layers.0", "operation": { "kind": "linear", "inputs": 2, "outputs": 3 },
        "weights": ["layers.0.weight", "layers.0.bias"], "inputs": [0], "shape": [3], "multiply_adds": 6,
    });
    assert_eq!(serde_json::to_value(&graph).unwrap()["nodes"][1], linear);
    let xception = Xception { image: [2, 8, 8], width: 2, blocks: 1, kernel: 3, classes: 3, dropout: 0.0 };
    let shortcut = serde_json::to_value(fed(&xception.graph(), "blocks.0.shortcut").0.operation).unwrap();
    let expected = json!({
        "kind": "convolution", "inputs": 2, "outputs": 4, "kernel": 1, "stride": [2, 2], "padding": [0, 0], "groups": 1,
    });
    assert_eq!(shortcut, expected);
    assert!(xception.graph().dot().contains("convolution 3×3, 2 to 2, 2 groups"));
}
