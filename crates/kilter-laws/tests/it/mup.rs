use kilter_laws::mup::{
    AbcError, AbcParam, BaseValues, Dimension, Exponent, Kind, Optimizer, Role, RuleError, Tensor, Violation,
    ntk_kernel, parse_exponent, relu_kernel, rule, rule_of_tensor, step_kernel, transformer_transfer,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{cases, golden, near, near_absolute, number, numbers, text};

// Of `mup.json`, `linear_limit`, `symmetry` and `cbow` are training traces (SGD steps of a limit net, of a finite net and
// of word vectors): they belong to `kilter-nn` and the recipe, a later sitting.

fn exponents(values: &Value) -> Vec<Exponent> {
    values.as_array().unwrap().iter().map(|value| parse_exponent(text(value)).unwrap()).collect()
}

#[test]
fn golden_classification() {
    let (golden, _) = golden("24-mup", "mup.json");
    for case in cases(&golden, "classification") {
        let c = parse_exponent(text(&case["c"])).unwrap();
        let param = AbcParam::new(exponents(&case["a"]), exponents(&case["b"]), c).unwrap();
        let found = serde_json::to_value(param.classify()).unwrap();
        for key in ["r", "initialisation_ok", "stable", "nontrivial", "kind", "initial_function"] {
            assert_eq!(found[key], case[key], "{}: {key}", case["name"]);
        }
    }
}

#[test]
fn golden_rules() {
    let (golden, tolerance) = golden("24-mup", "mup.json");
    for case in cases(&golden, "rules") {
        let role: Role = serde_json::from_value(case["role"].clone()).unwrap();
        let optimizer: Optimizer = serde_json::from_value(case["optimizer"].clone()).unwrap();
        let found = rule(role, optimizer, number(&case["m_in"]), number(&case["m_out"]));
        let base = &case["base"];
        near(number(&base["std"]) * found.init_std, number(&case["std"]), tolerance);
        near(found.multiplier, number(&case["multiplier"]), tolerance);
        near(number(&base["lr"]) * found.learning_rate, number(&case["lr"]), tolerance);
        near(number(&base["weight_decay"]) * found.weight_decay, number(&case["weight_decay"]), tolerance);
    }
}

#[test]
fn golden_kernels() {
    let (golden, tolerance) = golden("24-mup", "mup.json");
    let reference = &golden["relu_kernels"];
    let rows = |key: &str, shape: &str| {
        let width = number(&reference[shape][1]) as usize;
        numbers(&reference[key]).chunks(width).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    let (x, z) = (rows("x", "shape_x"), rows("z", "shape_z"));
    let pairs: Vec<(&[f64], &[f64])> =
        x.iter().flat_map(|x| z.iter().map(move |z| (x.as_slice(), z.as_slice()))).collect();
    type Kernel = fn(&[f64], &[f64]) -> f64;
    let kernels: [(&str, Kernel); 3] =
        [("relu", relu_kernel), ("step", step_kernel), ("ntk_sigma_v_1", |x, y| ntk_kernel(x, y, 1.0))];
    for (key, kernel) in kernels {
        let expected = numbers(&reference[key]);
        assert_eq!(expected.len(), pairs.len());
        for (&(x, z), expected) in pairs.iter().zip(expected) {
            near(kernel(x, z), expected, tolerance);
        }
    }
    assert_eq!(relu_kernel(&[0.0], &[1.0]), 0.0);
    // E relu(w x)² = |x|²/2.
    near(relu_kernel(&[3.0, 4.0], &[3.0, 4.0]), 12.5, 1e-15);
}

#[test]
fn an_unstable_parametrisation_says_which_condition_fails() {
    let zero = Exponent::ZERO;
    let found = AbcParam::standard(2, zero).classify();
    assert_eq!((found.kind, found.violated), (Kind::Unstable, vec![Violation::Features, Violation::Output]));
    let loud = AbcParam::new(vec![zero; 3], vec![zero; 3], Exponent::ONE).unwrap().classify();
    assert!(loud.violated.contains(&Violation::Initialisation));
}

#[test]
fn layers_change_at_their_own_rate() {
    // Measured on tanh nets by an independent program: NTK -0.55 and -0.52, SP with c = 1 -1.57 and -0.47, muP -0.02 and 0.00.
    let show = |param: AbcParam| param.change_exponents().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(show(AbcParam::ntk(2)), ["1/2", "1/2"]);
    assert_eq!(show(AbcParam::standard(2, Exponent::ONE)), ["3/2", "1/2"]);
    assert_eq!(show(AbcParam::mup(2)), ["0", "0"]);
}

#[test]
fn tables_that_are_no_network_are_refused() {
    let one = vec![Exponent::ZERO];
    assert_eq!(AbcParam::new(one.clone(), vec![], Exponent::ZERO), Err(AbcError::Lengths { a: 1, b: 0 }));
    assert_eq!(AbcParam::new(one.clone(), one, Exponent::ZERO), Err(AbcError::TooShallow(1)));
    for wrong in ["", "1/0", "a", "1/2/3", "0.5", "1/10000000"] {
        assert_eq!(parse_exponent(wrong), Err(AbcError::Exponent(wrong.to_owned())));
    }
    assert_eq!(parse_exponent(" -2/4 ").unwrap().to_string(), "-1/2");
}

#[test]
fn a_transformer_transfers_by_tensor() {
    let base = BaseValues { learning_rate: 3e-3, weight_decay: 0.1, ..BaseValues::default() };
    let found = transformer_transfer(256, 8192, 8, Optimizer::Adam, &base).unwrap();
    let tensor = |name: &str| found.tensors.iter().find(|t| t.name == name).unwrap();
    let query = tensor("attention.query");
    assert_eq!((query.role, query.m_in, query.learning_rate), (Role::Hidden, 32.0, 3e-3 / 32.0));
    near(query.learning_rate * query.weight_decay, 3e-4, 1e-15);
    assert_eq!((tensor("embedding").learning_rate, tensor("head").multiplier), (3e-3, 1.0 / 32.0));
    assert_eq!(tensor("head.bias").role, Role::Fixed);
    assert_eq!(tensor("feed_forward.out").m_in, 32.0);
    // 1/sqrt(d) at the base: 32 per head there, 1024 here.
    near(found.attention.logits, 32.0_f64.sqrt() / 1024.0, 1e-15);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["tensors"][0]["role"], json!("input"));
}

#[test]
fn the_base_width_changes_nothing() {
    for optimizer in [Optimizer::Adam, Optimizer::Sgd] {
        let found = transformer_transfer(128, 128, 4, optimizer, &BaseValues::default()).unwrap();
        for tensor in &found.tensors {
            let factors = tensor.factors;
            let all = [factors.init_std, factors.multiplier, factors.learning_rate, factors.weight_decay];
            assert_eq!(all, [1.0; 4], "{}", tensor.name);
        }
        near(found.attention.logits, 1.0 / 32.0_f64.sqrt(), 1e-15);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_by_name() {
    let base = BaseValues::default();
    let why = transformer_transfer(256, 1000, 16, Optimizer::Adam, &base).unwrap_err();
    assert_eq!(why, RuleError::Heads { width: 1000, heads: 16, nearest: 1008 });
    assert!(transformer_transfer(0, 100, 4, Optimizer::Adam, &base).is_err());
    let fixed = |size, base| Dimension { size, base, width: false };
    let tensor = |fan_out| Tensor { name: "head".to_owned(), fan_in: None, fan_out };
    let wrong = rule_of_tensor(&tensor(fixed(10, 12)), Optimizer::Sgd, &base).unwrap_err();
    assert_eq!(wrong, RuleError::Base { name: "head".to_owned(), size: 10, base: 12 });
    let empty = rule_of_tensor(&tensor(fixed(0, 0)), Optimizer::Sgd, &base).unwrap_err();
    assert_eq!(empty, RuleError::Empty("head".to_owned()));
}

proptest! {
    #[test]
    fn equivalent_parametrisations_have_one_class(theta in -40_i128..40, hidden in 1_usize..6) {
        let theta = Exponent::new(theta, 8);
        for param in [AbcParam::mup(hidden), AbcParam::ntk(hidden), AbcParam::standard(hidden, Exponent::ONE)] {
            prop_assert_eq!(param.shifted(theta).classify(), param.classify());
        }
    }

    #[test]
    fn kernels_are_symmetric_and_bounded(x in prop::array::uniform3(-2.0..2.0_f64), y in prop::array::uniform3(-2.0..2.0_f64)) {
        near_absolute(relu_kernel(&x, &y), relu_kernel(&y, &x), 1e-15);
        prop_assert!((0.0..=0.5).contains(&step_kernel(&x, &y)));
        // Cauchy and Schwarz.
        prop_assert!(relu_kernel(&x, &y).powi(2) <= relu_kernel(&x, &x) * relu_kernel(&y, &y) + 1e-12);
    }
}
