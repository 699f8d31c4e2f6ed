//! Learned soups beside gradients computed elsewhere in f64: `14-model-soups/learned.json`.

use std::path::PathBuf;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kilter_nn::init::Init;
use kilter_nn::mixture::Mixture;
use kilter_nn::op::cross_entropy;
use kilter_nn::params::{Params, Role, Spec, numbers};
use kilter_numerics::Stream;
use serde_json::Value;

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn sides(value: &Value) -> Vec<usize> {
    match value {
        Value::Array(items) => std::iter::once(items.len()).chain(sides(&items[0])).collect(),
        _ => Vec::new(),
    }
}

fn leaf<const D: usize>(numbers: Vec<f64>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F64))
}

#[track_caller]
fn close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {got}, not {expected}");
    }
}

/// Networks of two matrices `a` and `b`.
fn models(a: &Value, b: &Value, device: &Device) -> Vec<Params> {
    let (shape_a, shape_b) = (sides(a), sides(b));
    let spec = |name: &str, shape: &[usize]| Spec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        init: Init::ZERO,
        role: Role::Weight,
    };
    let specs = vec![spec("a", &shape_a[1..]), spec("b", &shape_b[1..])];
    let empty = Params::init(specs, &Stream::new(&[0], "weights"), device, DType::F64);
    let of = |a: &Value, b: &Value| empty.with_flat(&[flat(a), flat(b)].concat()).unwrap();
    a.as_array().unwrap().iter().zip(b.as_array().unwrap()).map(|(a, b)| of(a, b)).collect()
}

#[test]
fn golden_learned_soups() {
    let folder = std::env::var_os("KILTER_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden")), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("14-model-soups/learned.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let tolerance = golden["tolerance"].as_f64().unwrap();
    let device = Device::flex().autodiff();
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let models = models(&case["A"], &case["B"], &device);
        let mixture = Mixture::new(&models, &device).unwrap();
        let raw = leaf(flat(&case["raw"]), [2, models.len()], &device).require_grad();
        let beta = leaf(flat(&case["beta"]), [1], &device).require_grad();
        let x_sides = sides(&case["x"]);
        let x = leaf(flat(&case["x"]), [x_sides[0], x_sides[1]], &device);
        let mixed = mixture.mix(raw.clone()).unwrap();
        let hidden = x.matmul(mixed.get::<2>("a").transpose()).tanh();
        let logits = hidden.matmul(mixed.get::<2>("b").transpose()) * beta.clone().unsqueeze();
        let classes: Vec<i64> = flat(&case["y"]).iter().map(|&class| class as i64).collect();
        let loss = cross_entropy(logits, classes.into(), 0.0);
        close(&numbers(&loss), &flat(&case["loss"]), tolerance, "loss");
        let gradients = loss.backward();
        let of_raw: Vec<f64> = raw.grad(&gradients).unwrap().into_data().iter::<f64>().collect();
        let of_beta: Vec<f64> = beta.grad(&gradients).unwrap().into_data().iter::<f64>().collect();
        close(&of_raw, &flat(&case["grad_raw"]), tolerance, "gradient in raw");
        close(&of_beta, &flat(&case["grad_beta"]), tolerance, "gradient in beta");
    }
}

#[test]
fn a_mixture_of_one_kind_is_each_of_them_and_others_are_refused() {
    let device = Device::flex().autodiff();
    let matrix = serde_json::json!([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]]);
    let models = models(&matrix, &matrix, &device);
    let mixture = Mixture::new(&models, &device).unwrap();
    let mixed = mixture.mix(leaf(vec![0.3, -2.0], [1, 2], &device)).unwrap();
    close(&mixed.flat(), &models[0].flat(), 1e-15, "mixture of equals");
    assert!(mixture.mix(leaf(vec![0.0; 3], [1, 3], &device)).is_err());
    assert!(Mixture::new(&[], &device).is_err());
}
