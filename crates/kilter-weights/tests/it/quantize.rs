use kilter_space::{Defaults, Random};
use kilter_weights::quantize::{
    Curve, Exponent, Found, Granularity, Grid, IntegerTable, Profile, QuantizeConfig, QuantizeReport, Scratch,
    dequantize, outline, pack, packed_bytes, quantize, search, unpack, with_feedback,
};
use kilter_weights::{Checkpoint, Dtype, Options};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::files::{Plain, bytes, listing, noise, numbers, plain, save};
use crate::golden::{assert_close, cases, flat, shape};

fn granularity(case: &Json) -> Granularity {
    match case["granularity"].as_str() {
        Some("channel") => Granularity::Channel,
        Some(_) => Granularity::Tensor,
        None => Granularity::Block(case["granularity"].as_u64().unwrap()),
    }
}

fn bits(case: &Json) -> u32 {
    case["bits"].as_u64().unwrap() as u32
}

fn exponent(case: &Json) -> f64 {
    case["exponent"].as_f64().unwrap()
}

/// Codes of a whole tensor, given the largest size of each entry's group.
fn encode(grid: &Grid, weights: &[f64], group_max: &[f64]) -> Vec<i8> {
    let mut codes = vec![0; weights.len()];
    let mut scratch = Scratch::default();
    for ((weight, max), code) in weights.iter().zip(group_max).zip(codes.chunks_mut(1)) {
        grid.encode(&[*weight], *max, code, &mut scratch);
    }
    codes
}

/// Every case of `41-nupes/quantise.json`: codes exactly, decoded weights and errors within its tolerance, in memory.
#[test]
fn codes_and_decoded_weights_are_the_golden_ones() {
    for case in cases("41-nupes/quantise.json") {
        let grid = Grid::power(bits(&case), exponent(&case));
        let (w, max) = (flat(&case["w"]), flat(&case["group_max"]));
        let codes = encode(&grid, &w, &max);
        assert_eq!(codes.iter().map(|&c| f64::from(c)).collect::<Vec<_>>(), flat(&case["codes"]));
        let decoded: Vec<f64> = codes.iter().zip(&max).map(|(&code, &max)| grid.decode(code, max)).collect();
        assert_close(&decoded, &flat(&case["decoded"]), 1e-12, "decoded");
        let error: f64 = decoded.iter().zip(&w).map(|(d, w)| (d - w).powi(2)).sum();
        assert_close(&[error], &flat(&case["squared_error"]), 1e-12, "squared error");
    }
}

/// The same cases through files of f64, whose scales and exponents are f64 too: groups, packing and reading are in between.
#[test]
fn the_golden_weights_come_back_from_a_file() {
    for case in cases("41-nupes/quantise.json") {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let w = flat(&case["w"]);
        let model = save(&at("w.safetensors"), &[plain("w", Dtype::F64, &shape(&case["w"]), &w)], &[]);
        let config = QuantizeConfig {
            bits: bits(&case),
            granularity: granularity(&case),
            exponent: Exponent::Fixed(exponent(&case)),
            ..QuantizeConfig::default()
        };
        let report = quantize(&model, &config, &at("q.safetensors"), &Options::default()).unwrap();
        let error = report.quality[0].mean_squared_error * w.len() as f64;
        assert_close(&[error], &flat(&case["squared_error"]), 1e-12, "squared error");
        let coded = Checkpoint::open(&at("q.safetensors")).unwrap();
        dequantize(&coded, &at("f.safetensors"), &Options::default()).unwrap();
        let back = numbers(&Checkpoint::open(&at("f.safetensors")).unwrap(), "w");
        assert_close(&back, &flat(&case["decoded"]), 1e-12, "decoded");
    }
}

/// Every case of `41-nupes/exponent_search.json`: the whole error curve, and its minimiser.
#[test]
fn error_curves_are_the_golden_ones() {
    for case in cases("41-nupes/exponent_search.json") {
        let w = flat(&case["w"]);
        let columns = shape(&case["w"])[1] as usize;
        let p = case["norm"].as_f64().unwrap();
        let mut profile = Profile::new(p);
        let group = if granularity(&case) == Granularity::Channel { columns } else { w.len() };
        for group in w.chunks(group) {
            profile.add(group, group.iter().fold(0.0, |max: f64, w| max.max(w.abs())));
        }
        let grid = flat(&case["grid"]);
        let errors: Vec<f64> = grid.iter().map(|&a| profile.error(&Grid::power(bits(&case), a))).collect();
        assert_close(&errors, &flat(&case["error"]), 1e-9, "error");
        assert_close(&[profile.error(&Grid::power(bits(&case), 1.0))], &flat(&case["error_uniform"]), 1e-9, "uniform");
        let best = grid[(0..grid.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap()];
        assert_eq!(best, case["best_on_grid"].as_f64().unwrap());
        let found = search(&[profile], bits(&case), 0.2, 1.2);
        assert!((found.exponent - best).abs() <= 0.02 + 1e-12, "{found:?}");
        let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(found.error <= least && found.error <= found.uniform);
    }
}

/// Every case of `41-nupes/exponent_gradient.json`.
#[test]
fn gradients_in_the_exponent_are_the_golden_ones() {
    for case in cases("41-nupes/exponent_gradient.json") {
        let grid = Grid::power(bits(&case), exponent(&case));
        let max = case["group_max"].as_f64().unwrap();
        let got: Vec<f64> = flat(&case["codes"]).iter().map(|&code| grid.gradient(code as i8, max)).collect();
        assert_close(&got, &flat(&case["d_decoded_d_exponent"]), 1e-10, "gradient");
    }
}

/// Every case of `41-nupes/integer_table.json`.
#[test]
fn integer_sums_are_the_golden_ones() {
    for case in cases("41-nupes/integer_table.json") {
        let grid = Grid::power(bits(&case), exponent(&case));
        let table = IntegerTable::new(&grid);
        let entries: Vec<f64> = table.entries().iter().map(|&entry| f64::from(entry)).collect();
        assert_eq!(entries, flat(&case["table_from_minus_L"]));
        let codes: Vec<i8> = flat(&case["codes"]).iter().map(|&c| c as i8).collect();
        let activations: Vec<i16> = flat(&case["activation_codes"]).iter().map(|&x| x as i16).collect();
        let sum = table.dot(&codes, &activations);
        assert_eq!(sum, case["integer_accumulator"].as_i64().unwrap());
        let exact = case["exact_sum_times_2_14"].as_f64().unwrap();
        let levels = codes.iter().zip(&activations).map(|(&c, &x)| 16_384.0 * grid.decode(c, 1.0) * f64::from(x));
        assert_close(&[levels.sum()], &[exact], 1e-12, "exact sum");
        assert!((sum as f64 - exact).abs() <= case["bound"].as_f64().unwrap());
    }
}

/// `clamp(round_half_even(L r^a), -L, L)`: the definition.
fn by_definition(weight: f64, max: f64, bits: u32, exponent: f64) -> (f64, f64) {
    let last = f64::from((1 << (bits - 1)) - 1);
    let real = last * (weight.abs() / max).powf(exponent);
    (real.round_ties_even().min(last).copysign(weight), real)
}

proptest! {
    /// Thresholds and powers may disagree where rounding turns on the last bit: within 1e-12 of a tie.
    #[test]
    fn thresholds_are_rounding(w in -1.0..1.0_f64, max in 1.0..3.0_f64, bits in 2..9_u32, a in 0.05..2.0_f64) {
        let grid = Grid::power(bits, a);
        let code = f64::from(encode(&grid, &[w], &[max])[0]);
        let (expected, real) = by_definition(w, max, bits, a);
        prop_assert!(code == expected || (real.fract() - 0.5).abs() < 1e-12, "{code}, not {expected} ({real})");
    }

    /// Multiples of L/2^k divide without rounding, so half of them are exact ties.
    #[test]
    fn exponent_one_is_uniform_with_ties_to_even(steps in -64..65_i32, bits in 2..9_u32) {
        let last = f64::from((1 << (bits - 1)) - 1);
        let (w, max) = (f64::from(steps) / 64.0 * last, last);
        let code = f64::from(encode(&Grid::power(bits, 1.0), &[w], &[max])[0]);
        prop_assert_eq!(code, w.round_ties_even());
    }

    #[test]
    fn decoding_is_idempotent_bounded_odd_and_monotone(
        mut weights in prop::collection::vec(-2.0..2.0_f64, 2..60), bits in 2..9_u32, a in 0.1..2.0_f64, log in any::<bool>()
    ) {
        let grid = if log { Grid::log(bits) } else { Grid::power(bits, a) };
        let max = weights.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
        prop_assume!(max > 0.0);
        let decoded = |w: f64| grid.decode(encode(&grid, &[w], &[max])[0], max);
        weights.sort_by(f64::total_cmp);
        for pair in weights.windows(2) {
            prop_assert!(decoded(pair[0]) <= decoded(pair[1]));
        }
        for &w in &weights {
            let once = decoded(w);
            prop_assert!(once.abs() <= max);
            prop_assert_eq!(decoded(once), once);
            prop_assert_eq!(decoded(-w), -once);
        }
        prop_assert_eq!(decoded(max), max);
    }

    #[test]
    fn packing_round_trips(bits in 2..9_u32, raw in prop::collection::vec(any::<i8>(), 0..100)) {
        let last = (1 << (bits - 1)) - 1;
        let codes: Vec<i8> = raw.iter().map(|&c| i8::try_from(i32::from(c).clamp(-last - 1, last)).unwrap()).collect();
        let mut packed = Vec::new();
        pack(&codes, bits, &mut packed);
        prop_assert_eq!(packed.len() as u64, packed_bytes(codes.len() as u64, bits));
        let mut back = vec![0; codes.len()];
        unpack(&packed, bits, &mut back);
        prop_assert_eq!(back, codes);
    }

    /// The table's rounding is all that integers lose, however long the sum.
    #[test]
    fn integer_inference_is_the_decoded_model(bits in 2..9_u32, a in 0.2..1.5_f64, seed in any::<u64>(), n in 1..3000_usize) {
        let grid = Grid::power(bits, a);
        let last = (1_i64 << (bits - 1)) - 1;
        let mut stream = kilter_numerics::Stream::new(&[seed], "dot");
        let codes: Vec<i8> = (0..n).map(|_| (stream.below(2 * last as u64 + 1) as i64 - last) as i8).collect();
        let x: Vec<i16> = (0..n).map(|_| stream.below(256) as i16).collect();
        let exact: f64 = codes.iter().zip(&x).map(|(&c, &x)| 16_384.0 * grid.decode(c, 1.0) * f64::from(x)).sum();
        let bound = 0.5 * x.iter().map(|&x| f64::from(x)).sum::<f64>();
        prop_assert!((IntegerTable::new(&grid).dot(&codes, &x) as f64 - exact).abs() <= bound + 1e-6);
    }
}

/// Codes and table by hand: 4-bit codes lie low nibble first.
#[test]
fn four_bit_codes_lie_low_nibble_first() {
    let mut packed = Vec::new();
    pack(&[1, -1, 7], 4, &mut packed);
    assert_eq!(packed, [0xF1, 0x07]);
}

/// With 2 bits the levels are -max, 0 and max for every exponent; only the threshold moves.
#[test]
fn two_bits_are_minus_zero_and_plus() {
    for a in [0.3, 0.5, 1.0, 1.7] {
        let grid = Grid::power(2, a);
        assert_eq!(grid.levels(), [0.0, 1.0]);
        assert!((grid.thresholds()[0] - 0.5_f64.powf(1.0 / a)).abs() < 1e-15);
    }
}

#[test]
fn the_log_grid_holds_powers_of_two() {
    assert_eq!(Grid::log(3).levels(), [0.0, 0.25, 0.5, 1.0]);
    assert_eq!(Grid::log(3).thresholds()[0], 0.125);
}

/// Beyond 32,768 entries sizes are counted in bins. An entry is put to the wrong side of a threshold by at most a bin's
/// width (0.2 %), which moves the error of 4 bits by far less than 1 %; the exponent found is as good within 0.1 %.
#[test]
fn a_profile_in_bins_finds_as_good_an_exponent() {
    let weights = noise(7, 200_000);
    let max = weights.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    let mut binned = Profile::new(2.0);
    weights.chunks(1000).for_each(|chunk| binned.add(chunk, max));
    let mut scratch = Scratch::default();
    scratch.measure(&weights, max);
    let exact = |a: f64| max * Grid::power(4, a).error(&scratch, 2.0).sqrt();
    for a in [0.3, 0.5, 0.75, 1.0, 1.1] {
        let (got, expected) = (binned.error(&Grid::power(4, a)), exact(a));
        assert!((got / expected - 1.0).abs() < 0.01, "{a}: {got}, not {expected}");
    }
    let Found { exponent, .. } = search(&[binned.clone()], 4, 0.2, 1.2);
    let least = (20..=120).map(|i| exact(f64::from(i) / 100.0)).fold(f64::INFINITY, f64::min);
    assert!(exact(exponent) < 1.001 * least, "{exponent}: {} against {least}", exact(exponent));
    // Profiles made apart and put together are the same.
    let (mut first, mut second) = (Profile::new(2.0), Profile::new(2.0));
    first.add(&weights[..10_000], max);
    second.add(&weights[10_000..], max);
    first.absorb(second);
    assert_close(&[first.error(&Grid::power(4, 0.7))], &[binned.error(&Grid::power(4, 0.7))], 1e-12, "absorbed");
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
    fn model(&self, dtype: Dtype) -> Checkpoint {
        let tensors: [Plain; 6] = [
            plain("conv", dtype, &[5, 3, 3, 3], &noise(1, 135)),
            plain("linear", dtype, &[7, 33], &noise(2, 231)),
            plain("norm", dtype, &[7], &noise(3, 7)),
            plain("zeros", dtype, &[2, 9], &[0.0; 18]),
            plain("none", dtype, &[0, 4], &[]),
            ("steps".to_owned(), Dtype::from_file("I64").unwrap(), vec![], 7_i64.to_le_bytes().to_vec()),
        ];
        save(&self.at("model.safetensors"), &tensors, &[("format", "pt")])
    }
    fn round_trip(&self, model: &Checkpoint, config: &QuantizeConfig) -> (QuantizeReport, Checkpoint) {
        let report = quantize(model, config, &self.at("q.safetensors"), &Options::default()).unwrap();
        let coded = Checkpoint::open(&self.at("q.safetensors")).unwrap();
        dequantize(&coded, &self.at("f.safetensors"), &Options::default()).unwrap();
        (report, Checkpoint::open(&self.at("f.safetensors")).unwrap())
    }
}

/// Every setting on every float type: names, shapes, types and metadata come back, what is not quantised bit for bit, the
/// rest with the error that the report tells (and the rounding of its own type).
#[test]
fn every_setting_round_trips_through_a_file() {
    let granularities = [Granularity::Tensor, Granularity::Channel, Granularity::Block(4), Granularity::Block(32)];
    let exponents = [Exponent::Tensor, Exponent::Global, Exponent::Channel, Exponent::Fixed(0.6)];
    for (i, dtype) in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64, Dtype::F8E4M3].into_iter().enumerate() {
        for curve in [Curve::Power, Curve::Uniform, Curve::Log] {
            for granularity in granularities {
                for exponent in exponents {
                    let config = QuantizeConfig {
                        curve,
                        bits: 2 + (i as u32 * 3) % 7,
                        granularity,
                        exponent,
                        outliers: if i % 2 == 0 { 0.02 } else { 0.0 },
                        norm: if i == 3 { 3.0 } else { 2.0 },
                        ..QuantizeConfig::default()
                    };
                    if config.check().is_ok() {
                        round_trips(dtype, &config);
                    }
                }
            }
        }
    }
}

fn round_trips(dtype: Dtype, config: &QuantizeConfig) {
    let place = Place::new();
    let model = place.model(dtype);
    let (report, back) = place.round_trip(&model, config);
    assert_eq!(back.metadata(), model.metadata());
    assert_eq!(back.tensors().len(), model.tensors().len());
    for name in ["norm", "zeros", "none", "steps"] {
        assert_eq!(bytes(&back, name), bytes(&model, name), "{name} {config:?}");
    }
    assert_eq!(report.quality.len(), 3);
    for quality in report.quality.iter().filter(|quality| quality.name != "zeros") {
        let (w, got) = (numbers(&model, &quality.name), numbers(&back, &quality.name));
        assert_eq!(back.get(&quality.name).unwrap().dtype(), dtype);
        if matches!(dtype, Dtype::F64 | Dtype::F32) && config.outliers == 0.0 {
            let error = w.iter().zip(&got).map(|(w, g)| (w - g).powi(2)).sum::<f64>() / w.len() as f64;
            assert!((error / quality.mean_squared_error - 1.0).abs() < 1e-6, "{config:?}");
        }
        if config.curve == Curve::Power && config.exponent == Exponent::Tensor && config.norm == 2.0 {
            assert!(quality.mean_squared_error <= quality.mean_squared_error_uniform, "{config:?}");
        }
        // The largest is exact without outliers; with them it is an outlier, exact up to f16.
        let at = (0..w.len()).max_by(|&a, &b| w[a].abs().total_cmp(&w[b].abs())).unwrap();
        let slack = if config.outliers > 0.0 { w[at].abs() / 2048.0 } else { 0.0 };
        assert!((got[at] - w[at]).abs() <= slack, "{} {} {config:?}", got[at], w[at]);
    }
    let coded = Checkpoint::open(&place.at("q.safetensors")).unwrap();
    let entries = 135 + 231 + 18;
    let codes: u64 = coded
        .tensors()
        .iter()
        .filter(|tensor| tensor.name().ends_with(".codes"))
        .map(kilter_weights::Tensor::bytes)
        .sum();
    assert!(codes >= packed_bytes(entries, config.bits) && codes <= packed_bytes(entries, config.bits) + 3 * 8);
}

/// Every tensor of a quantised file, whatever the outliers, lies at a multiple of its width.
#[test]
fn tensors_of_a_quantised_file_are_aligned() {
    let place = Place::new();
    for (bits, outliers) in [(3, 0.02), (4, 0.0), (5, 0.013), (8, 0.008)] {
        let model = place.model(Dtype::F32);
        let config = QuantizeConfig { bits, outliers, ..QuantizeConfig::default() };
        place.round_trip(&model, &config);
        let raw = std::fs::read(place.at("q.safetensors")).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&raw).unwrap();
        for (name, view) in theirs.tensors() {
            let offset = view.data().as_ptr() as usize - raw.as_ptr() as usize;
            let width =
                Checkpoint::open(&place.at("q.safetensors")).unwrap().get(&name).unwrap().dtype().bits() as usize / 8;
            assert!(view.data().is_empty() || offset.is_multiple_of(width), "{name} at {offset}");
        }
    }
}

#[test]
fn every_configuration_quantises() {
    let place = Place::new();
    let model = place.model(Dtype::F32);
    let outline = outline().unwrap();
    let defaults = Defaults::config(&outline.specialise(&[], &[]).unwrap()).unwrap();
    assert_eq!(QuantizeConfig::from_config(&defaults).unwrap(), Some(QuantizeConfig::default()));
    let none = [("method".to_owned(), "none".into())];
    let none = Defaults::config(&outline.specialise(&none, &[]).unwrap()).unwrap();
    assert_eq!(QuantizeConfig::from_config(&none).unwrap(), None);
    let mut random = Random::new(kilter_numerics::Stream::new(&[2], "quantize"));
    let mut quantised = 0;
    for _ in 0..60 {
        let config = random.config(&outline).unwrap();
        match QuantizeConfig::from_config(&config) {
            Ok(Some(config)) => {
                place.round_trip(&model, &config);
                quantised += 1;
            }
            Ok(None) => {}
            Err(why) => assert!(why.to_string().contains("exponent=channel needs granularity=channel"), "{why}"),
        }
    }
    assert!(quantised > 20);
}

#[test]
fn what_cannot_be_quantised_is_named() {
    let place = Place::new();
    let mut weights = noise(1, 12);
    weights[5] = f64::NAN;
    let bad = save(&place.at("bad.safetensors"), &[plain("w", Dtype::F32, &[3, 4], &weights)], &[]);
    let before = listing(place.0.path());
    let refused = |config: &QuantizeConfig| {
        let refused = quantize(&bad, config, &place.at("q.safetensors"), &Options::default());
        assert_eq!(listing(place.0.path()), before);
        refused.unwrap_err().to_string()
    };
    let plain_config = QuantizeConfig::default();
    assert!(refused(&plain_config).contains("tensor `w` holds NaN at entry 5"));
    for (config, expected) in [
        (QuantizeConfig { bits: 9, ..plain_config }, "bits=9 must be from 2 to 8"),
        (QuantizeConfig { bits: 1, ..plain_config }, "bits=1 must be from 2 to 8"),
        (QuantizeConfig { norm: f64::NAN, ..plain_config }, "norm=NaN must be from 1 to 4"),
        (QuantizeConfig { granularity: Granularity::Block(0), ..plain_config }, "a block needs at least 1 entry"),
        (QuantizeConfig { exponent: Exponent::Fixed(0.0), ..plain_config }, "exponent_value=0 must be from 0.05 to 2"),
        (
            QuantizeConfig { exponent: Exponent::Channel, granularity: Granularity::Tensor, ..plain_config },
            "exponent=channel needs granularity=channel",
        ),
    ] {
        let message = refused(&config);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn an_outlier_beyond_f16_is_refused() {
    let place = Place::new();
    let mut weights = vec![1.0; 100];
    weights[3] = 1e6;
    let model = save(&place.at("m.safetensors"), &[plain("w", Dtype::F32, &[10, 10], &weights)], &[]);
    let config = QuantizeConfig { outliers: 0.01, ..QuantizeConfig::default() };
    let refused = quantize(&model, &config, &place.at("q.safetensors"), &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("`w.outlier_value`: 1e6 is beyond what F16 can hold"), "{refused}");
}

/// A quantised file that contradicts itself is refused by name, and none of the lies crashes the reader.
#[test]
fn quantised_files_that_lie_are_refused() {
    let place = Place::new();
    let model = save(&place.at("m.safetensors"), &[plain("w", Dtype::F32, &[4, 8], &noise(1, 32))], &[]);
    let config =
        QuantizeConfig { outliers: 0.02, bits: 3, granularity: Granularity::Tensor, ..QuantizeConfig::default() };
    let config = QuantizeConfig { outliers: 0.0, ..config };
    let (_, back) = place.round_trip(&model, &config);
    assert!(back.metadata().is_empty());
    let unquantised = dequantize(&model, &place.at("x.safetensors"), &Options::default()).unwrap_err().to_string();
    assert!(unquantised.contains("not a file quantised by kilter"), "{unquantised}");
    let coded = Checkpoint::open(&place.at("q.safetensors")).unwrap();
    let layout = coded.metadata()["kilter.quant.tensors"].clone();
    let part = |name: &str| -> Plain {
        let tensor = coded.get(name).unwrap();
        (name.to_owned(), tensor.dtype(), tensor.shape().to_vec(), bytes(&coded, name))
    };
    let (scale, exponent, codes) = (part("w.scale"), part("w.exponent"), part("w.codes"));
    let mut outside = codes.clone();
    outside.3[0] = 0b100;
    let parts = |scale: &Plain, exponent: &Plain, codes: &Plain| vec![scale.clone(), exponent.clone(), codes.clone()];
    let nan = |name: &str| plain(name, Dtype::F32, &[1], &[f64::NAN]);
    let lies: [(Vec<Plain>, String, &str); 12] = [
        (vec![scale.clone(), codes.clone()], layout.clone(), "`w.exponent` of type F32 is missing"),
        (parts(&nan("w.scale"), &exponent, &codes), layout.clone(), "a scale is not a finite number"),
        (parts(&scale, &nan("w.exponent"), &codes), layout.clone(), "an exponent is not between"),
        (parts(&scale, &exponent, &outside), layout.clone(), "a code is outside the grid"),
        (parts(&scale, &exponent, &codes), layout.replace("\"bits\":3", "\"bits\":8"), "has 16 entries instead of 32"),
        (parts(&scale, &exponent, &codes), layout.replace("\"bits\":3", "\"bits\":99"), "its description cannot be"),
        (
            parts(&scale, &exponent, &codes),
            layout.replace("[4,8]", "[4294967296,4294967296]"),
            "its description cannot be",
        ),
        (parts(&scale, &exponent, &codes), layout.replace("[4,8]", "[4,0]"), "its description cannot be"),
        (parts(&scale, &exponent, &codes), layout.replace("\"row\":32", "\"row\":0"), "its description cannot be"),
        (parts(&scale, &exponent, &codes), layout.replace("\"group\":32", "\"group\":8"), "has 1 entries instead of 4"),
        (parts(&scale, &exponent, &codes), layout.replace("\"F32\"", "\"I8\""), "its description cannot be"),
        (parts(&scale, &exponent, &codes), "[]".to_owned(), "cannot be read"),
    ];
    for (tensors, layout, expected) in lies {
        let path = place.at("lie.safetensors");
        let lie = save(&path, &tensors, &[("kilter.quant", "power/1"), ("kilter.quant.tensors", &layout)]);
        let message = dequantize(&lie, &place.at("x.safetensors"), &Options::default()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// More than one piece, so that parts meet: 1.5 million entries, of which the last piece is not full.
#[test]
fn a_tensor_of_several_pieces_round_trips() {
    let place = Place::new();
    let (rows, columns) = (1500_u64, 1001_u64);
    let weights: Vec<f64> = noise(4, 7919).into_iter().cycle().take((rows * columns) as usize).collect();
    let model = save(&place.at("m.safetensors"), &[plain("w", Dtype::F32, &[rows, columns], &weights)], &[]);
    for (granularity, outliers) in
        [(Granularity::Tensor, 0.01), (Granularity::Channel, 0.0), (Granularity::Block(128), 0.0)]
    {
        let config = QuantizeConfig { bits: 3, granularity, outliers, ..QuantizeConfig::default() };
        let (report, back) = place.round_trip(&model, &config);
        let error =
            numbers(&back, "w").iter().zip(&weights).map(|(g, w)| (g - w).powi(2)).sum::<f64>() / weights.len() as f64;
        let told = report.quality[0].mean_squared_error;
        // Outliers are rounded to f16 here and left out there: 1 % of entries, 2^-11 of at most 4, squared.
        let slack = if outliers > 0.0 { 1e-7 } else { told * 1e-6 };
        assert!((error - told).abs() < slack, "{granularity:?}: {error}, told {told}");
    }
}

/// With inputs that depend on each other, the outputs of rounding with feedback are nearer than those of rounding alone; with
/// independent ones it is rounding to nearest.
#[test]
fn feedback_makes_good_what_rounding_spoils() {
    let (inputs, outputs, rows) = (16, 8, 200);
    let weight = noise(1, inputs * outputs);
    let grid = Grid::power(3, 1.0);
    let nearest = |weight: &[f64]| -> Vec<f64> {
        let of_row = |row: &[f64]| {
            let scale = row.iter().fold(0.0_f64, |largest, w| largest.max(w.abs()));
            let mut codes = vec![0; inputs];
            grid.encode(row, scale, &mut codes, &mut Scratch::default());
            codes.into_iter().map(|code| grid.decode(code, scale)).collect::<Vec<_>>()
        };
        weight.chunks(inputs).flat_map(of_row).collect()
    };
    let moments = |x: &[f64]| -> Vec<f64> {
        let entry = |i: usize, j: usize| x.chunks(inputs).map(|x| x[i] * x[j]).sum::<f64>() / rows as f64;
        (0..inputs * inputs).map(|at| entry(at / inputs, at % inputs)).collect()
    };
    let free = noise(2, inputs * rows);
    let common = noise(3, rows);
    let bound: Vec<f64> = free.iter().enumerate().map(|(at, x)| 0.5 * x + common[at / inputs]).collect();
    let error = |rounded: &[f64]| -> f64 {
        let off = |x: &[f64], o: usize| -> f64 {
            (0..inputs).map(|k| x[k] * (rounded[o * inputs + k] - weight[o * inputs + k])).sum()
        };
        bound.chunks(inputs).flat_map(|x| (0..outputs).map(move |o| off(x, o).powi(2))).sum()
    };
    let fed = with_feedback(&weight, &moments(&bound), &grid).unwrap();
    // Fixed before it was measured.
    assert!(error(&fed) < 0.5 * error(&nearest(&weight)), "{} and {}", error(&fed), error(&nearest(&weight)));
    let mut identity = vec![0.0; inputs * inputs];
    (0..inputs).for_each(|j| identity[j * inputs + j] = 2.0);
    assert_eq!(with_feedback(&weight, &identity, &grid).unwrap(), nearest(&weight));
    assert!(with_feedback(&weight, &identity[1..], &grid).unwrap_err().to_string().contains("no one layer"));
    let negative: Vec<f64> = identity.iter().map(|x| -x).collect();
    assert!(with_feedback(&weight, &negative, &grid).unwrap_err().to_string().contains("positive definite"));
}
