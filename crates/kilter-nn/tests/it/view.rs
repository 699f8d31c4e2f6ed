//! Views of networks, in f64: gradients of single examples beside those of batches of one, derivatives along a direction
//! beside differences, products with the Hessian beside differences of gradients.

use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use kilter_nn::context::{Context, Rule};
use kilter_nn::model::{
    Activation, Cnn, Encoder, Gpt, LstmLanguageModel, Mlp, Network, Pooling, QuasiLstmLanguageModel, ResNet,
    TextClassifier, Vit, Xception,
};
use kilter_nn::op::{Curve, cross_entropy};
use kilter_nn::params::{Params, Scope, numbers};
use kilter_nn::tokens::Tokens;
use kilter_nn::train::device;
use kilter_nn::view::{Dual, Pair, ViewError, direction, hessian_vector, hessian_vector_by_differences, per_example};
use kilter_numerics::Stream;

use crate::golden::close;

/// Weights in f64, moved a little, so that none is at 0 or 1.
pub fn weights(network: &dyn Network) -> Params {
    network.check().unwrap();
    let stream = Stream::new(&[11], "weights");
    let fresh = Params::init(network.specs(), &stream, &device("cpu").unwrap(), DType::F64);
    let mut noise = Stream::new(&[11], "noise");
    let moved: Vec<f64> = fresh.flat().into_iter().map(|w| w + 0.1 * noise.normal()).collect();
    fresh.with_flat(&moved).unwrap()
}

fn random<const D: usize>(shape: [usize; D], params: &Params) -> Tensor<D> {
    let mut stream = Stream::new(&[12], "examples");
    let drawn: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(drawn, shape).convert_dtype(params.dtype()), (params.device(), params.dtype()))
}

pub const EXAMPLES: usize = 3;
pub const IMAGE: [usize; 3] = [2, 8, 8];
const TEXT: [i64; 12] = [1, 4, 2, 0, 3, 3, 1, 2, 4, 0, 2, 1];
pub const LENGTH: usize = 4;

pub fn pictures(params: &Params, examples: &[usize]) -> Tensor<4> {
    let all = random([EXAMPLES, 2, 8, 8], params);
    Tensor::cat(examples.iter().map(|&i| all.clone().slice([i..i + 1, 0..2, 0..8, 0..8])).collect(), 0)
}

pub fn rows(params: &Params, examples: &[usize]) -> Tensor<2> {
    let all = random([EXAMPLES, 5], params);
    Tensor::cat(examples.iter().map(|&i| all.clone().slice([i..i + 1, 0..5])).collect(), 0)
}

fn classes(examples: &[usize]) -> Arc<[i64]> {
    examples.iter().map(|&i| i as i64 % 3).collect()
}

pub fn text(examples: &[usize]) -> Arc<[i64]> {
    examples.iter().flat_map(|&i| TEXT[i * LENGTH..(i + 1) * LENGTH].to_vec()).collect()
}

fn next(examples: &[usize]) -> Arc<[i64]> {
    examples.iter().flat_map(|&i| (0..LENGTH).map(move |t| TEXT[(i * LENGTH + t + 1) % TEXT.len()])).collect()
}

/// The sum over examples, from a mean over rows.
fn summed(logits: Tensor<2>, classes: Arc<[i64]>) -> Tensor<1> {
    let rows = classes.len() as f64;
    cross_entropy(logits, classes, 0.0) * rows
}

fn check(name: &str, network: &dyn Network, loss: impl Fn(&Params, &[usize], &mut Context<'_>) -> Tensor<1>) {
    let params = weights(network);
    let all: Vec<usize> = (0..EXAMPLES).collect();
    let found = per_example(&params, EXAMPLES, |params, context| loss(params, &all, context)).unwrap().flat().unwrap();
    for example in all {
        let alone = loss(&params, &[example], &mut Context::evaluation()).backward();
        let expected = params.flat_gradient(&alone);
        assert!(expected.iter().any(|g| g.abs() > 1e-3), "{name}: no gradient");
        close(&found[example], &expected, 1e-10, &format!("{name}, example {example}"));
    }
}

#[test]
fn gradients_of_single_examples_by_the_layers_rules() {
    let mlp = Mlp { activation: Activation::Gelu, ..Mlp::new(&[5, 7, 3]) };
    check("mlp", &mlp, |params, examples, context| {
        summed(mlp.forward(params, rows(params, examples), context), classes(examples))
    });
    let cnn = Cnn { image: IMAGE, channels: vec![3, 4], kernel: 3, pooled: false, hidden: 5, classes: 3, dropout: 0.0 };
    check("cnn", &cnn, |params, examples, context| {
        summed(cnn.forward(params, pictures(params, examples), context), classes(examples))
    });
    let resnet = ResNet { image: IMAGE, width: 2, stages: 2, blocks: 1, kernel: 3, classes: 3, dropout: 0.0 };
    check("resnet", &resnet, |params, examples, context| {
        summed(resnet.forward(params, pictures(params, examples), context), classes(examples))
    });
    // Convolutions in groups.
    let xception = Xception { image: IMAGE, width: 2, blocks: 1, kernel: 3, classes: 3, dropout: 0.0 };
    check("xception", &xception, |params, examples, context| {
        summed(xception.forward(params, pictures(params, examples), context), classes(examples))
    });
    let vit = Vit { image: IMAGE, patch: 4, width: 4, layers: 1, heads: 2, classes: 3, dropout: 0.0 };
    check("vit", &vit, |params, examples, context| {
        summed(vit.forward(params, pictures(params, examples), context), classes(examples))
    });
    // A table that is looked up and multiplied with.
    let gpt = Gpt { vocabulary: 5, context: LENGTH, width: 4, layers: 1, heads: 2, dropout: 0.0 };
    check("gpt", &gpt, |params, examples, context| {
        summed(gpt.forward(params, text(examples), examples.len(), context), next(examples))
    });
    // Weights that are used at every step.
    let lstm = LstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 2, dropout: 0.0 };
    check("lstm", &lstm, |params, examples, context| {
        summed(lstm.forward(params, text(examples), examples.len(), context), next(examples))
    });
    let quasi = QuasiLstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 1, block: 2, dropout: 0.0 };
    check("quasi-lstm", &quasi, |params, examples, context| {
        summed(quasi.forward(params, text(examples), examples.len(), context), next(examples))
    });
    let reader = TextClassifier { encoder: small_encoder(), pooling: Pooling::Mean, classes: 3 };
    check("text classifier", &reader, |params, examples, context| {
        let lengths = examples.iter().map(|&i| LENGTH - i % 2).collect();
        let texts = Tokens { ids: text(examples), lengths };
        summed(reader.forward(params, &texts, context), classes(examples))
    });
}

pub fn small_encoder() -> Encoder {
    let (vocabulary, positions, segments, width, layers, heads, hidden) = (5, LENGTH, 1, 4, 1, 2, 6);
    Encoder { vocabulary, positions, segments, width, layers, heads, hidden, epsilon: 1e-6, dropout: 0.0 }
}

#[test]
fn what_no_layer_tells_of_is_refused() {
    let mlp = Mlp::new(&[5, 3]);
    let params = weights(&mlp);
    let all = [0, 1, 2];
    let past = per_example(&params, EXAMPLES, |params, _| {
        let weight: Tensor<2> = params.get("layers.0.weight");
        summed(rows(params, &all).matmul(weight.transpose()), classes(&all)) + random([1], params)
    });
    assert_eq!(past.unwrap_err(), ViewError::NoRule("layers.0.weight".to_owned()));
    let odd = per_example(&params, 2, |params, context| {
        summed(mlp.forward(params, rows(params, &all), context), classes(&all))
    });
    assert!(odd.unwrap().flat().unwrap_err().to_string().contains("3 rows"));
}

#[test]
fn observers_see_every_layer_and_may_change_it() {
    let cnn = Cnn { image: IMAGE, channels: vec![3], kernel: 3, pooled: false, hidden: 0, classes: 3, dropout: 0.0 };
    let params = weights(&cnn);
    let mut seen = Vec::new();
    let mut context = Context::evaluation().with_observer(|layer, y| {
        if let Rule::Convolution(x, _) = &layer.rule {
            assert_eq!(x.dims(), [2, 2, 8, 8]);
        }
        seen.push((layer.weight.clone(), layer.shape.clone()));
        // Without what the convolution says, only biases are left.
        if layer.shape.len() == 4 { y * 0.0 } else { y }
    });
    let y = cnn.forward(&params, pictures(&params, &[0, 1]), &mut context);
    drop(context);
    let expected = [("convolutions.0.weight".to_owned(), vec![2, 3, 8, 8]), ("head.0.weight".to_owned(), vec![2, 3])];
    assert_eq!(seen, expected);
    close(&numbers(&y)[..3], &numbers(&params.get::<1>("head.0.bias")), 1e-12, "biases");
}

/// Values, derivatives along a direction, and products with the Hessian of a loss.
fn along(
    name: &str,
    network: &dyn Network,
    plain: impl Fn(&Params) -> Tensor<2>,
    dual: impl Fn(&Pair<'_>, &Params) -> Dual<2>,
    classes: &Arc<[i64]>,
) {
    let params = weights(network);
    let draw = |purpose: &str| -> Vec<f64> {
        let mut stream = Stream::new(&[13], purpose);
        (0..params.learned()).map(|_| stream.normal()).collect()
    };
    let (v, u) = (draw("one direction"), draw("another"));
    let towards = direction(&params, &v).unwrap();
    let found = dual(&Pair::new(&params, &towards), &params);
    close(&numbers(&found.value), &numbers(&plain(&params)), 1e-11, &format!("{name}: value"));
    let step = 1e-6;
    let at = |step: f64| {
        let moved: Vec<f64> = params.flat().iter().zip(&v).map(|(w, v)| w + step * v).collect();
        numbers(&plain(&params.with_flat(&moved).unwrap()))
    };
    let differences: Vec<f64> = at(step).iter().zip(at(-step)).map(|(up, down)| (up - down) / (2.0 * step)).collect();
    // Rounding of 1e-16 over a step of 1e-6, and its square times a third derivative along a direction of length √n.
    close(&numbers(&found.tangent), &differences, 1e-6, &format!("{name}: derivative"));

    let product = |v: &[f64]| hessian_vector(&params, v, |pair| dual(pair, &params).cross_entropy(classes)).unwrap();
    let (hv, hu) = (product(&v), product(&u));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // A Hessian is symmetric; differences know that to eight digits only.
    let (one, other) = (dot(&u, &hv), dot(&v, &hu));
    assert!((one - other).abs() <= 1e-9 * (1.0 + one.abs()), "{name}: u·Hv = {one}, v·Hu = {other}");
    let loss = |params: &Params| cross_entropy(plain(params), classes.clone(), 0.0);
    let differences = hessian_vector_by_differences(&params, &v, loss).unwrap();
    close(&hv, &differences, 1e-5, &format!("{name}: product with the Hessian"));
    assert!(hv.iter().any(|x| x.abs() > 1e-3), "{name}: no curvature");
}

#[test]
fn derivatives_along_a_direction_and_products_with_the_hessian() {
    let all = [0, 1, 2];
    for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh, Activation::Identity] {
        let mlp = Mlp { activation, ..Mlp::new(&[5, 7, 3]) };
        let plain = |params: &Params| mlp.forward(params, rows(params, &all), &mut Context::evaluation());
        let dual = |pair: &Pair<'_>, params: &Params| mlp.dual(pair, Dual::constant(rows(params, &all)));
        along(&format!("mlp {activation:?}"), &mlp, plain, dual, &classes(&all));
    }
    for (pooled, hidden) in [(false, 5), (true, 0)] {
        let cnn = Cnn { image: IMAGE, channels: vec![3, 4], kernel: 3, pooled, hidden, classes: 3, dropout: 0.0 };
        let plain = |params: &Params| cnn.forward(params, pictures(params, &all), &mut Context::evaluation());
        let dual = |pair: &Pair<'_>, params: &Params| cnn.dual(pair, Dual::constant(pictures(params, &all)));
        along("cnn", &cnn, plain, dual, &classes(&all));
    }
    let resnet = ResNet { image: IMAGE, width: 2, stages: 2, blocks: 1, kernel: 3, classes: 3, dropout: 0.0 };
    let plain = |params: &Params| resnet.forward(params, pictures(params, &all), &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, params: &Params| resnet.dual(pair, Dual::constant(pictures(params, &all)));
    along("resnet", &resnet, plain, dual, &classes(&all));
    // Sides that are odd after the first block: windows of its pooling reach over the edge.
    let xception = Xception { image: [2, 6, 6], width: 2, blocks: 2, kernel: 3, classes: 3, dropout: 0.0 };
    let small = |params: &Params| pictures(params, &all).slice([0..EXAMPLES, 0..2, 0..6, 0..6]);
    let plain = |params: &Params| xception.forward(params, small(params), &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, params: &Params| xception.dual(pair, Dual::constant(small(params)));
    along("xception", &xception, plain, dual, &classes(&all));
    let vit = Vit { image: IMAGE, patch: 4, width: 4, layers: 2, heads: 2, classes: 3, dropout: 0.0 };
    let plain = |params: &Params| vit.forward(params, pictures(params, &all), &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, params: &Params| vit.dual(pair, Dual::constant(pictures(params, &all)));
    along("vit", &vit, plain, dual, &classes(&all));
    let lstm = LstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 2, dropout: 0.0 };
    let plain = |params: &Params| lstm.forward(params, text(&all), EXAMPLES, &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, _: &Params| lstm.dual(pair, &text(&all), EXAMPLES);
    along("lstm", &lstm, plain, dual, &next(&all));
    let quasi = QuasiLstmLanguageModel { vocabulary: 5, context: LENGTH, width: 4, layers: 2, block: 2, dropout: 0.0 };
    let plain = |params: &Params| quasi.forward(params, text(&all), EXAMPLES, &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, _: &Params| quasi.dual(pair, &text(&all), EXAMPLES);
    along("quasi-lstm", &quasi, plain, dual, &next(&all));
    let gpt = Gpt { vocabulary: 5, context: LENGTH, width: 4, layers: 1, heads: 2, dropout: 0.0 };
    let plain = |params: &Params| gpt.forward(params, text(&all), EXAMPLES, &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, _: &Params| gpt.dual(pair, &text(&all), EXAMPLES);
    along("gpt", &gpt, plain, dual, &next(&all));
    let encoder = small_encoder();
    let lengths: Arc<[usize]> = [4, 2, 3].into();
    let plain =
        |params: &Params| encoder.forward(&Scope::new(params), text(&all), lengths.clone(), &mut Context::evaluation());
    let dual = |pair: &Pair<'_>, _: &Params| encoder.dual(pair, &text(&all), &lengths);
    // One row is of no class.
    let mut targets: Vec<i64> = (0..12).map(|i| i % 4).collect();
    targets[5] = kilter_nn::op::IGNORED;
    along("encoder", &encoder, plain, dual, &targets.into());
    let texts = Tokens { ids: text(&all), lengths };
    for pooling in [Pooling::Mean, Pooling::NormalisedMean, Pooling::First] {
        let reader = TextClassifier { encoder: encoder.clone(), pooling, classes: 3 };
        let plain = |params: &Params| reader.forward(params, &texts, &mut Context::evaluation());
        let dual = |pair: &Pair<'_>, _: &Params| reader.dual(pair, &texts);
        along(&format!("text classifier {pooling:?}"), &reader, plain, dual, &classes(&all));
    }
}

#[test]
fn curves_and_their_slopes() {
    let params = weights(&Mlp::new(&[5, 3]));
    let x = random([40], &params) * 2.0;
    let v = random([40], &params);
    type Curved = (&'static str, fn(Dual<1>) -> Dual<1>);
    let all: [Curved; 5] = [
        ("exact gelu", |x| x.gelu(Curve::Exact)),
        ("gelu by tanh", |x| x.gelu(Curve::Tanh)),
        ("sigmoid", Dual::sigmoid),
        ("softmax", Dual::softmax),
        ("a product", |x| x.clone().times(x.clone().tanh()).minus(x)),
    ];
    for (name, curve) in all {
        let found = curve(Dual { value: x.clone(), tangent: v.clone() });
        let at = |step: f64| numbers(&curve(Dual::constant(x.clone() + v.clone() * step)).value);
        let differences: Vec<f64> = at(1e-6).iter().zip(at(-1e-6)).map(|(up, down)| (up - down) / 2e-6).collect();
        close(&numbers(&found.tangent), &differences, 1e-8, name);
    }
}

#[test]
fn a_direction_of_another_network_is_refused() {
    let params = weights(&Mlp::new(&[5, 3]));
    let said = direction(&params, &[1.0; 4]).unwrap_err().to_string();
    assert!(said.contains("4 numbers") && said.contains("18"), "{said}");
}
