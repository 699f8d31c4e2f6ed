//! Every operation of our own: its values beside Burn's, its gradients beside differences of its values, in f64.

use std::sync::Arc;

use burn::tensor::{Bool, DType, Device, Tensor, TensorData, activation};
use kilter_nn::op::{
    Conv2dShape, Curve, Mask, attention, batch_norm, conv2d, cross_entropy, dropout, embedding, gelu, layer_norm,
    linear, max_pool2d, quasi_lstm, quasi_lstm_in_blocks, quasi_lstm_state, relu,
};
use kilter_numerics::{Stream, philox4x32};

fn device() -> Device {
    Device::flex().autodiff()
}

/// Random numbers of a shape.
fn random<const D: usize>(shape: [usize; D], purpose: &str) -> Vec<f64> {
    let mut stream = Stream::new(&[1], purpose);
    (0..shape.iter().product()).map(|_| stream.normal()).collect()
}

fn tensor<const D: usize>(numbers: &[f64], shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape).convert_dtype(dtype), (&device(), dtype))
}

fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().inner().into_data().iter::<f64>().collect()
}

fn close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}[{i}]: {a} and {b}");
    }
}

/// Gradients of a weighted sum of `run`'s output beside central differences, for every input.
fn check(inputs: &[(&str, Vec<f64>)], run: impl Fn(&[Vec<f64>], bool) -> (f64, Vec<Vec<f64>>)) {
    let point: Vec<Vec<f64>> = inputs.iter().map(|(_, numbers)| numbers.clone()).collect();
    let (_, gradients) = run(&point, true);
    let step = 1e-5;
    for (i, (name, numbers)) in inputs.iter().enumerate() {
        for at in 0..numbers.len() {
            let value = |shift: f64| {
                let mut moved = point.clone();
                moved[i][at] += shift;
                run(&moved, false).0
            };
            let difference = (value(step) - value(-step)) / (2.0 * step);
            let gradient = gradients[i][at];
            // Central differences in f64 with step 1e-5 are good to about 1e-9 of the values' size.
            assert!(
                (difference - gradient).abs() < 1e-6 * (1.0 + gradient.abs()),
                "{name}[{at}]: {gradient} and {difference}"
            );
        }
    }
}

/// A scalar of a tensor: its numbers times fixed random ones.
fn scalar<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let weights = random(y.dims(), "weights");
    let weights = tensor(&weights, y.dims(), y.dtype());
    (y * weights).sum()
}

macro_rules! check_op {
    ($([$name:literal, $shape:expr]),+ => |$($t:ident),+| $body:expr) => {{
        let inputs = [$(($name, random($shape, $name))),+];
        check(&inputs, |point, gradients| {
            let mut at = 0;
            $(
                let $t = tensor(&point[at], $shape, DType::F64).require_grad();
                at += 1;
            )+
            let _ = at;
            let leaves = ($($t.clone(),)+);
            let value = scalar($body);
            let loss = numbers(&value)[0];
            if !gradients {
                return (loss, Vec::new());
            }
            let tape = value.backward();
            let ($($t,)+) = leaves;
            (loss, vec![$($t.grad(&tape).unwrap().into_data().iter::<f64>().collect()),+])
        });
    }};
}

#[test]
fn convolution_of_every_shape() {
    let shapes = [
        ([2, 3, 5, 6], [4, 3, 3, 3], Conv2dShape::same(3)),
        ([2, 4, 6, 5], [6, 2, 3, 3], Conv2dShape { stride: [2, 1], padding: [1, 0], groups: 2 }),
        ([3, 2, 4, 4], [5, 2, 1, 1], Conv2dShape::default()),
        ([1, 1, 7, 7], [2, 1, 5, 3], Conv2dShape { stride: [3, 2], padding: [2, 2], groups: 1 }),
        ([2, 3, 4, 4], [3, 1, 3, 3], Conv2dShape { stride: [1, 1], padding: [1, 1], groups: 3 }),
        // More channels than a block, rows that fill no vector, kernels of several shapes, padding beyond the kernel.
        ([2, 2, 3, 9], [9, 2, 2, 4], Conv2dShape { padding: [0, 2], ..Conv2dShape::default() }),
        ([2, 2, 4, 5], [3, 2, 1, 3], Conv2dShape { padding: [0, 3], ..Conv2dShape::default() }),
    ];
    for (images, kernels, shape) in shapes {
        check_op!(["x", images], ["weight", kernels], ["bias", [kernels[0]]] => |x, w, b| conv2d(x, w, Some(b), shape));
        check_op!(["x", images], ["weight", kernels] => |x, w| conv2d(x, w, None, shape));
        let (xs, ws) = (random(images, "x"), random(kernels, "weight"));
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let ours = conv2d(tensor(&xs, images, dtype), tensor(&ws, kernels, dtype), None, shape);
            let options = burn::tensor::ops::ConvOptions::new(shape.stride, shape.padding, [1, 1], shape.groups);
            let theirs =
                burn::tensor::module::conv2d(tensor(&xs, images, dtype), tensor(&ws, kernels, dtype), None, options);
            assert_eq!(ours.dims(), theirs.dims());
            close(&numbers(&ours), &numbers(&theirs), tolerance, "convolution");
        }
    }
}

/// In f32 the vectors of the machine are used, whose widths f64 does not meet.
#[test]
fn convolution_of_every_width_in_f32() {
    for width in [5, 8, 9, 15, 16, 17, 31, 33] {
        for (groups, channels) in [(1, [5, 11]), (2, [3, 5]), (6, [1, 1])] {
            let (images, kernels) = ([3, groups * channels[0], 6, width], [groups * channels[1], channels[0], 3, 3]);
            let shape = Conv2dShape { groups, ..Conv2dShape::same(3) };
            let (xs, ws) = (random(images, "x"), random(kernels, "weight"));
            let both = |dtype| {
                let x = tensor(&xs, images, dtype).require_grad();
                let w = tensor(&ws, kernels, dtype).require_grad();
                let y = conv2d(x.clone(), w.clone(), None, shape);
                let tape = scalar(y.clone()).backward();
                [numbers(&y), numbers(&x.grad(&tape).unwrap()), numbers(&w.grad(&tape).unwrap())]
            };
            for (narrow, wide) in both(DType::F32).iter().zip(&both(DType::F64)) {
                close(narrow, wide, 2e-5, &format!("convolution of width {width} in {groups} groups"));
            }
        }
    }
}

#[test]
fn linear_layers_with_and_without_a_bias() {
    check_op!(["x", [5, 3]], ["weight", [4, 3]], ["bias", [4]] => |x, w, b| linear(x, w, Some(b)));
    check_op!(["x", [5, 3]], ["weight", [4, 3]] => |x, w| linear(x, w, None));
    let (xs, ws, bs) = (random([300, 7], "x"), random([4, 7], "weight"), random([4], "bias"));
    let [x, w] = [tensor(&xs, [300, 7], DType::F64), tensor(&ws, [4, 7], DType::F64)];
    let b = tensor(&bs, [4], DType::F64).require_grad();
    let theirs = x.clone().matmul(w.clone().transpose()) + b.clone().unsqueeze();
    let ours = linear(x, w, Some(b.clone()));
    close(&numbers(&ours), &numbers(&theirs), 1e-13, "linear");
    // More rows than a piece of the bias's sum.
    let tape = ours.sum().backward();
    assert_eq!(numbers(&b.grad(&tape).unwrap()), [300.0; 4]);
}

#[test]
fn rectifier() {
    check_op!(["x", [37]] => |x| relu(x));
    let x = tensor(&[-1.0, 0.0, 2.0, f64::NAN], [4], DType::F32).require_grad();
    let y = relu(x.clone());
    assert_eq!(numbers(&y)[..3], [0.0, 0.0, 2.0]);
    assert!(numbers(&y)[3].is_nan());
    assert_eq!(numbers(&x.grad(&y.sum().backward()).unwrap())[..3], [0.0, 0.0, 1.0]);
}

#[test]
fn the_largest_of_each_square() {
    for (images, side) in [([2, 3, 6, 4], 2), ([1, 2, 7, 5], 2), ([2, 1, 9, 10], 3), ([1, 1, 2, 2], 3)] {
        check_op!(["x", images] => |x| max_pool2d(x, side));
        let x = tensor(&random(images, "x"), images, DType::F64);
        if images[2] < side {
            assert_eq!(max_pool2d(x, side).dims(), [1, 1, 0, 0]);
            continue;
        }
        let options = burn::tensor::ops::MaxPoolOptions::new([side, side]);
        let theirs = burn::tensor::module::max_pool2d(x.clone(), options);
        assert_eq!(numbers(&max_pool2d(x, side)), numbers(&theirs));
    }
}

#[test]
fn layer_normalisation() {
    check_op!(["x", [5, 19]], ["gamma", [19]], ["beta", [19]] => |x, g, b| layer_norm(x, g, b, 1e-5));
    let (x, g, b) = (random([130, 40], "x"), random([40], "gamma"), random([40], "beta"));
    let ours =
        layer_norm(tensor(&x, [130, 40], DType::F32), tensor(&g, [40], DType::F32), tensor(&b, [40], DType::F32), 1e-5);
    let exact =
        layer_norm(tensor(&x, [130, 40], DType::F64), tensor(&g, [40], DType::F64), tensor(&b, [40], DType::F64), 1e-5);
    close(&numbers(&ours), &numbers(&exact), 1e-5, "layer norm in f32");
}

#[test]
fn batch_normalisation_and_its_moments() {
    check_op!(["x", [3, 4, 5]], ["gamma", [4]], ["beta", [4]] => |x, g, b| batch_norm(x, g, b, 1e-5).0);
    let x = tensor(&[0.0, 2.0], [2, 1, 1], DType::F64);
    let one = tensor(&[1.0], [1], DType::F64);
    let (y, moments) = batch_norm(x, one.clone(), one.clone() * 0.0, 0.0);
    assert_eq!(numbers(&y), [-1.0, 1.0]);
    assert_eq!((moments.mean, moments.variance, moments.count), (vec![1.0], vec![1.0], 2));
}

#[test]
fn both_curves_of_gelu() {
    for curve in [Curve::Exact, Curve::Tanh] {
        check_op!(["x", [37]] => |x| gelu(x, curve));
    }
    let grid: Vec<f64> = (-120..=120).map(|i| f64::from(i) / 10.0).collect();
    let shape = [grid.len()];
    for curve in [Curve::Exact, Curve::Tanh] {
        let narrow = gelu(tensor(&grid, shape, DType::F32), curve);
        let wide = gelu(tensor(&grid, shape, DType::F64), curve);
        // erf in f32 is good to 1.5e-7, times x up to 12.
        close(&numbers(&narrow), &numbers(&wide), 2e-6, "gelu in f32");
    }
    let theirs = activation::gelu(tensor(&grid, shape, DType::F64));
    close(&numbers(&gelu(tensor(&grid, shape, DType::F64), Curve::Exact)), &numbers(&theirs), 1e-12, "gelu");
}

#[test]
fn cross_entropy_with_smoothing_and_ignored_rows() {
    let classes: Arc<[i64]> = [2, 0, -100, 4, 1, 1, 3].into();
    for smoothing in [0.0, 0.1] {
        check_op!(["logits", [7, 5]] => |x| cross_entropy(x, classes.clone(), smoothing));
    }
    let logits = random([7, 5], "logits");
    let ours = numbers(&cross_entropy(tensor(&logits, [7, 5], DType::F64), classes.clone(), 0.0))[0];
    let log_p = numbers(&activation::log_softmax(tensor(&logits, [7, 5], DType::F64), 1));
    let kept: Vec<f64> =
        classes.iter().enumerate().filter(|(_, c)| **c >= 0).map(|(row, &c)| -log_p[row * 5 + c as usize]).collect();
    close(&[ours], &[kept.iter().sum::<f64>() / 6.0], 1e-12, "mean loss");
    let huge = tensor(&[1e4, 0.0, -1e4], [1, 3], DType::F32);
    assert_eq!(numbers(&cross_entropy(huge, [0].into(), 0.0)), [0.0]);
}

#[test]
fn attention_under_every_mask() {
    let masks = [Mask::Full, Mask::Causal, Mask::Lengths([3, 1].into())];
    for mask in masks {
        // Two examples of four tokens, two heads of three.
        let shape = [8, 6];
        check_op!(["q", shape], ["k", shape], ["v", shape] => |q, k, v| attention(q, k, v, 2, 2, mask.clone()));
    }
    check_op!(["q", [3, 8]], ["k", [5, 8]], ["v", [5, 12]] => |q, k, v| attention(q, k, v, 1, 2, Mask::Full));
}

/// Values and gradients, for texts shorter and longer than a block of queries.
#[test]
fn attention_beside_its_formula() {
    let (batch, heads, width) = (2, 3, 4);
    for (tokens, causal) in [(5, false), (5, true), (32, true), (70, true)] {
        let shape = [batch * tokens, heads * width];
        let run = |ours: bool| {
            let leaves = ["q", "k", "v"].map(|name| tensor(&random(shape, name), shape, DType::F64).require_grad());
            let [q, k, v] = leaves.clone();
            let y = if ours {
                attention(q, k, v, batch, heads, if causal { Mask::Causal } else { Mask::Full })
            } else {
                let apart = |x: Tensor<2>| x.reshape([batch, tokens, heads, width]).swap_dims(1, 2);
                let mut scores = apart(q).matmul(apart(k).swap_dims(2, 3)) / (width as f64).sqrt();
                if causal {
                    let later = (0..tokens * tokens).map(|at| at % tokens > at / tokens).collect::<Vec<bool>>();
                    let later = TensorData::new(later, [1, 1, tokens, tokens]);
                    let later = Tensor::<4, Bool>::from_data(later, &device()).expand(scores.dims());
                    scores = scores.mask_fill(later, f64::NEG_INFINITY);
                }
                activation::softmax(scores, 3).matmul(apart(v)).swap_dims(1, 2).reshape(shape)
            };
            let tape = scalar(y.clone()).backward();
            let slopes = leaves.map(|leaf| numbers(&leaf.grad(&tape).unwrap()));
            [vec![numbers(&y)], slopes.to_vec()].concat()
        };
        for (ours, theirs) in run(true).iter().zip(&run(false)) {
            close(ours, theirs, 1e-12, &format!("attention of {tokens} tokens, causal: {causal}"));
        }
    }
}

#[test]
fn embedding_of_repeated_rows() {
    let indices: Arc<[i64]> = [1, 3, 1, 0].into();
    check_op!(["table", [5, 3]] => |t| embedding(t, indices.clone()));
}

#[test]
fn dropout_keeps_the_mean_and_draws_the_same_mask_twice() {
    check_op!(["x", [40]] => |x| dropout(x, 0.3, &mut Stream::new(&[7], "mask")));
    let ones = vec![1.0; 100_000];
    let y = numbers(&dropout(tensor(&ones, [100_000], DType::F32), 0.3, &mut Stream::new(&[7], "mask")));
    let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / 1e5;
    // Five standard deviations of a binomial share.
    assert!((kept - 0.7).abs() < 5.0 * (0.21_f64 / 1e5).sqrt(), "{kept}");
    assert!(y.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
    // The mask is the cipher's, four numbers to a block, however many blocks a machine draws at a time.
    let key = Stream::new(&[7], "mask").bits();
    let word = |i: usize| philox4x32([i as u32 / 4, 0, 0, 0], [key as u32, (key >> 32) as u32])[i % 4];
    let least = (0.3 * 4_294_967_296.0) as u32;
    assert!(y.iter().enumerate().all(|(i, &y)| (y == 0.0) == (word(i) < least)));
}

/// Sequential on the CPU; by blocks elsewhere. Both are the recurrence, state carried included.
#[test]
fn the_quasi_lstm_in_both_forms() {
    // Two sequences of eight steps of three cells.
    check_op!(["gates", [16, 12]], ["before", [2, 3]] => |g, b| quasi_lstm(g, b, 4));
    check_op!(["gates", [16, 12]], ["before", [2, 3]] => |g, b| quasi_lstm_in_blocks(g, b, 4).0);
    let (gates, before) = (random([2 * 32, 12], "gates"), random([2, 3], "before"));
    let gates_of = |dtype| tensor(&gates, [2 * 32, 12], dtype);
    let before_of = |dtype| tensor(&before, [2, 3], dtype);
    let ours = quasi_lstm(gates_of(DType::F64), before_of(DType::F64), 1);
    let state = quasi_lstm_state(&gates_of(DType::F64), &before_of(DType::F64));
    for block in [1, 4, 16] {
        let (blocks, after) = quasi_lstm_in_blocks(gates_of(DType::F64), before_of(DType::F64), block);
        close(&numbers(&blocks), &numbers(&ours), 1e-12, "blocks");
        close(&numbers(&after), &numbers(&state), 1e-12, "state");
    }
    let single = quasi_lstm(gates_of(DType::F32), before_of(DType::F32), 1);
    close(&numbers(&single), &numbers(&ours), 1e-5, "single precision");
}

#[test]
fn golden_quasi_lstm() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/12-compute-class/compute-class.json");
    let path = std::env::var("KILTER_GOLDEN")
        .map_or(path.to_owned(), |golden| format!("{golden}/12-compute-class/compute-class.json"));
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let tolerance = golden["tolerance"]["relative"].as_f64().unwrap();
    let cases = golden["quasi_lstm"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let list =
            |name: &str| -> Vec<f64> { case[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
        let size = |name: &str| case[name].as_u64().unwrap() as usize;
        let (time, units, block) = (size("time"), size("units"), size("block_length"));
        let parts = ["pre_f", "pre_i", "pre_z", "pre_o"].map(list);
        let gates: Vec<f64> = (0..time)
            .flat_map(|t| parts.iter().flat_map(move |part| part[t * units..(t + 1) * units].to_vec()))
            .collect();
        let gates = tensor(&gates, [time, 4 * units], DType::F64);
        let before = tensor(&list("c0"), [1, units], DType::F64);
        close(&numbers(&quasi_lstm(gates.clone(), before.clone(), block)), &list("y"), tolerance, "y");
        close(&numbers(&quasi_lstm_state(&gates, &before)), &list("c_last"), tolerance, "state");
        let (y, state) = quasi_lstm_in_blocks(gates, before, block);
        close(&numbers(&y), &list("y"), tolerance, "y in blocks");
        close(&numbers(&state), &list("c_last"), tolerance, "state after blocks");
    }
}
