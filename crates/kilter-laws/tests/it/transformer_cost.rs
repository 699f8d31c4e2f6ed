use kilter_laws::compute_class::SIZES;
use kilter_laws::step_law::dense_runs;
use kilter_laws::transformer_cost::{Mixer, ShapeError, Transformer};

use crate::golden::{cases, golden, integer, near, text};

#[test]
fn golden_parameter_counts() {
    let (golden, _) = golden("12-compute-class", "compute-class.json");
    for case in cases(&golden, "parameter_counts") {
        let size = SIZES.iter().find(|size| size.name == text(&case["size"])).unwrap();
        let mixer = if text(&case["family"]) == "gpt" { Mixer::Attention } else { Mixer::QuasiLstm };
        let model = size.model(mixer, integer(&case["vocabulary"]), case["seq_len"].as_u64().unwrap_or(512));
        assert_eq!(model.check(), Ok(()));
        assert_eq!(model.parameters().total(), integer(&case["parameters"]), "{case}");
    }
}

#[test]
fn the_step_laws_size_is_that_of_every_released_run() {
    // (h, ffn, layers) of all architectures among the released dense runs.
    let shapes = [(1024, 9552, 8), (1280, 9048, 13), (1280, 9472, 10), (2048, 8192, 16), (960, 9368, 7)];
    let sizes = shapes.map(|(h, ffn, layers)| {
        Transformer::llama(layers, h, h / 64, ffn, 65_536, 2048).parameters().non_embedding() as f64
    });
    for run in dense_runs() {
        assert!(sizes.contains(&run.parameters), "{}", run.parameters);
    }
    assert_eq!(sizes[4], 214_663_680.0);
    // Grouped keys and values: h (2 h + 2 h kv/heads).
    let grouped = Transformer { kv_heads: 2, ..Transformer::llama(1, 1024, 16, 1, 1, 1) };
    assert_eq!(grouped.parameters().mixer, 1024 * (2 * 1024 + 2 * 1024 / 8));
}

#[test]
fn operations_are_those_of_the_megatron_formula() {
    // 96 B s l h² (1 + s/(6h) + V/(16 l h)) with recomputation of the blocks, per token.
    let (l, h, s, v) = (96.0, 12288.0, 2048.0, 51200.0);
    let model = Transformer::gpt(96, 12288, 96, 51200, 2048);
    near(model.training_flop(true), 96.0 * l * h * h * (1.0 + s / (6.0 * h) + v / (16.0 * l * h)), 1e-14);
    // Without it 72 (1 + s/(6h) + V/(12 l h)): the head runs three times either way.
    near(model.training_flop(false), 72.0 * l * h * h * (1.0 + s / (6.0 * h) + v / (12.0 * l * h)), 1e-14);
    near(model.weight_bytes(2.0) / 2.0, 174.6e9, 1e-3);
}

#[test]
fn shapes_that_are_no_transformer_are_refused() {
    let model = Transformer::gpt(12, 768, 12, 50_257, 1024);
    assert_eq!(model.check(), Ok(()));
    assert_eq!(Transformer { layers: 0, ..model }.check(), Err(ShapeError::Zero("layers")));
    assert_eq!(Transformer { kv_heads: 5, ..model }.check(), Err(ShapeError::Groups { heads: 12, kv_heads: 5 }));
    assert_eq!(Transformer { vocabulary: u64::MAX, ..model }.check(), Err(ShapeError::TooLarge));
}
