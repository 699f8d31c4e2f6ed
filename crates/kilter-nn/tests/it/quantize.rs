//! Learned codes: never worse than where they began, on the grid, and packed without being changed.

use kilter_nn::quantize::{Layer, LearnConfig, Learned, Reach, learn};
use kilter_numerics::Stream;
use kilter_weights::quantize::{Grid, Scratch};

const OUTPUTS: usize = 6;
const INPUTS: usize = 12;
const ROWS: usize = 96;

struct Given {
    weight: Vec<f32>,
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

/// Inputs that depend on each other: errors of one weight can be made good by another's.
fn given(seed: u64) -> Given {
    let mut stream = Stream::new(&[seed], "layer");
    let weight: Vec<f32> = (0..OUTPUTS * INPUTS).map(|_| stream.normal() as f32).collect();
    let mut inputs = Vec::new();
    for _ in 0..ROWS {
        let common = stream.normal();
        inputs.extend((0..INPUTS).map(|_| (common + 0.3 * stream.normal()) as f32));
    }
    let targets = (0..ROWS * OUTPUTS)
        .map(|at| dot(&inputs[at / OUTPUTS * INPUTS..][..INPUTS], &weight[at % OUTPUTS * INPUTS..][..INPUTS]))
        .collect();
    Given { weight, inputs, targets }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn learnt(given: &Given, exponent: f64, config: &LearnConfig) -> Learned {
    let layer = Layer { weight: &given.weight, outputs: OUTPUTS, inputs: &given.inputs, targets: &given.targets };
    learn(&layer, exponent, config)
}

fn config() -> LearnConfig {
    LearnConfig { bits: 3, steps: 1500, code_rate: 3e-3, ..LearnConfig::default() }
}

#[test]
fn learned_codes_beat_the_nearest_by_far_where_inputs_depend_on_each_other() {
    let mut sums = [0.0; 2];
    for seed in 0..8 {
        let learned = learnt(&given(seed), 0.8, &config());
        let [before, after] = learned.loss;
        assert!(after < before, "seed {seed}: {before} to {after}");
        assert!((0.1..=2.0).contains(&learned.exponent) && learned.exponent != 0.8, "{}", learned.exponent);
        sums = [sums[0] + before, sums[1] + after];
    }
    assert!(sums[1] < 0.5 * sums[0], "{sums:?}");
}

/// Packing what the codes stand for with the learned exponent gives the same numbers again.
#[test]
fn what_is_learned_lies_on_the_grid_of_its_exponent_and_keeps_each_rows_largest() {
    for (seed, bits) in [(1, 2), (2, 3), (3, 4), (4, 8)] {
        let given = given(seed);
        let learned = learnt(&given, 0.7, &LearnConfig { bits, steps: 300, ..config() });
        let grid = Grid::power(bits, learned.exponent);
        let mut scratch = Scratch::default();
        for (row, before) in learned.weight.chunks(INPUTS).zip(given.weight.chunks(INPUTS)) {
            let largest = |row: &[f32]| row.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
            assert_eq!(largest(row), largest(before));
            let wide: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
            let mut codes = vec![0; INPUTS];
            grid.encode(&wide, f64::from(largest(row)), &mut codes, &mut scratch);
            for (&code, &weight) in codes.iter().zip(row) {
                let again = grid.decode(code, f64::from(largest(row))) as f32;
                assert!((again - weight).abs() <= 1e-6 * largest(row), "{bits} bits: {weight} and {again}");
            }
        }
    }
}

/// AdaRound: each weight goes to the level below or above it, on a grid that stays uniform.
#[test]
fn rounding_up_or_down_goes_no_further() {
    let given = given(5);
    let config = LearnConfig { reach: Reach::Neighbours, exponent_rate: 0.0, ..config() };
    let learned = learnt(&given, 1.0, &config);
    assert_eq!(learned.exponent, 1.0);
    assert!(learned.loss[1] < learned.loss[0]);
    for (row, before) in learned.weight.chunks(INPUTS).zip(given.weight.chunks(INPUTS)) {
        let step = before.iter().fold(0.0_f32, |largest, w| largest.max(w.abs())) / 3.0;
        for (now, before) in row.iter().zip(before) {
            assert!((now - before).abs() <= step * 1.000_01, "{before} to {now}, a step is {step}");
        }
    }
}

#[test]
fn nothing_to_learn_from_changes_nothing_and_chance_is_the_seeds() {
    let mut given = given(6);
    assert_eq!(learnt(&given, 0.7, &config()), learnt(&given, 0.7, &config()));
    let other = learnt(&given, 0.7, &LearnConfig { seed: 1, ..config() });
    assert_ne!(other, learnt(&given, 0.7, &config()));
    (given.inputs, given.targets) = (Vec::new(), Vec::new());
    let kept = learnt(&given, 0.7, &config());
    assert_eq!((kept.exponent, kept.loss), (0.7, [0.0, 0.0]));
    given.weight.fill(0.0);
    assert!(learnt(&given, 0.7, &config()).weight.iter().all(|&w| w == 0.0));
}
