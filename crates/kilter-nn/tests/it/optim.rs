//! Optimizers beside an independent implementation, and what each promises.

use kilter_nn::optim::{
    AdafactorConfig, AdamConfig, LionConfig, MuonConfig, NAdamConfig, Optimizer, Parameter, SgdConfig, State,
    orthogonalise,
};
use kilter_numerics::Stream;

use crate::golden::{close, folder, list, read};

/// Runs an optimizer on `Σ c·(w - t)²/2`, whose gradient is known.
fn run(optimizer: &Optimizer, steps: u64, rate: f64) -> Vec<f64> {
    let shape = [3, 4];
    let target: Vec<f64> = (0..12).map(|i| f64::from(i) / 6.0 - 1.0).collect();
    let mut weights = vec![0.5_f64; 12];
    let mut state = State::default();
    for step in 1..=steps {
        let gradient: Vec<f64> =
            weights.iter().zip(&target).enumerate().map(|(i, (w, t))| (1.0 + i as f64 / 4.0) * (w - t)).collect();
        optimizer.update(Parameter {
            weights: &mut weights,
            gradient: &gradient,
            shape: &shape,
            state: &mut state,
            step,
            learning_rate: rate,
            weight_decay: optimizer.weight_decay(),
        });
    }
    weights.iter().zip(target).map(|(w, t)| (w - t).abs()).collect()
}

/// Every step of every case, in f64, beside an independent implementation.
#[test]
fn golden_optim() {
    let folder = folder().join("nn/optim");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let mut count = 0;
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let golden = read(&file);
        let tolerance = golden["tolerance"]["relative"].as_f64().unwrap();
        for (at, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
            let optimizer: Optimizer = serde_json::from_value(case["optimizer"].clone()).unwrap();
            let shape: Vec<usize> = list(&case["shape"]).into_iter().map(|side| side as usize).collect();
            let mut weights = list(&case["weights"]);
            let mut state = State::default();
            let mut wanted = case["trajectory"].as_array().unwrap().iter().peekable();
            assert!(wanted.len() > 0);
            for (step, gradient) in (1..).zip(case["gradients"].as_array().unwrap()) {
                optimizer.update(Parameter {
                    weights: &mut weights,
                    gradient: &list(gradient),
                    shape: &shape,
                    state: &mut state,
                    step,
                    learning_rate: case["learning_rate"].as_f64().unwrap(),
                    weight_decay: optimizer.weight_decay(),
                });
                if let Some(then) = wanted.next_if(|then| then["step"] == step) {
                    let what = format!("{}, case {at}, step {step}", file.display());
                    close(&weights, &list(&then["weights"]), tolerance, &what);
                    count += 1;
                }
            }
            assert!(wanted.next().is_none(), "{}, case {at}: a step was not reached", file.display());
        }
    }
    assert!(count > 0, "{} holds no case", folder.display());
}

#[test]
fn every_optimizer_comes_to_the_minimum() {
    let all = [
        (Optimizer::Sgd(SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 0.0 }), 0.02, 400),
        (Optimizer::Adam(AdamConfig::default()), 0.02, 1500),
        (Optimizer::NAdam(NAdamConfig::default()), 0.02, 1500),
        (Optimizer::Adafactor(AdafactorConfig::default()), 0.02, 4000),
        (Optimizer::Lion(LionConfig::default()), 0.002, 1500),
        // Each singular direction moves by the rate at most, and begins up to 2.4 away.
        (Optimizer::Muon(MuonConfig { weight_decay: 0.0, ..MuonConfig::default() }), 0.002, 4000),
    ];
    for (optimizer, rate, steps) in all {
        let left = run(&optimizer, steps, rate);
        assert!(left.iter().all(|&left| left < 0.02), "{optimizer:?}: {left:?}");
    }
}

#[test]
fn orthogonalised_matrices_have_singular_values_near_one() {
    for (rows, columns) in [(4, 9), (9, 4), (6, 6)] {
        let mut stream = Stream::new(&[3], "matrix");
        let matrix: Vec<f64> = (0..rows * columns).map(|_| stream.normal()).collect();
        let x = orthogonalise(&matrix, rows, columns, 5);
        let short = rows.min(columns);
        let product = |i: usize, j: usize| -> f64 {
            if rows <= columns {
                (0..columns).map(|k| x[i * columns + k] * x[j * columns + k]).sum()
            } else {
                (0..rows).map(|k| x[k * columns + i] * x[k * columns + j]).sum()
            }
        };
        // The trace of the Gram matrix is the sum of squared singular values, each between 0.6² and 1.3².
        let trace: f64 = (0..short).map(|i| product(i, i)).sum();
        assert!((0.36 * short as f64..1.7 * short as f64).contains(&trace), "{rows} × {columns}: {trace}");
    }
}

#[test]
fn configurations_are_read_as_they_are_written() {
    let optimizer = Optimizer::adamw();
    let text = serde_json::to_string(&optimizer).unwrap();
    assert_eq!(serde_json::from_str::<Optimizer>(&text).unwrap(), optimizer);
    let read: Optimizer = serde_json::from_str(r#"{"name": "adam", "beta1": 0.8}"#).unwrap();
    assert_eq!(read, Optimizer::Adam(AdamConfig { beta1: 0.8, ..AdamConfig::default() }));
}
