use std::path::Path;

use kilter_space::{Config, Defaults, Outline, Random, Value};
use kilter_weights::merge::average::{Linear, PerTensor, Uniform};
use kilter_weights::merge::breadcrumbs::{Breadcrumbs, Granularity, survivors_of_row, trim_rows};
use kilter_weights::merge::dare::{Combine, Dare, Draws, Rescale, l1_factor};
use kilter_weights::merge::fisher::Fisher;
use kilter_weights::merge::regmean::RegMean;
use kilter_weights::merge::slerp::{Slerp, arc};
use kilter_weights::merge::task_arithmetic::TaskArithmetic;
use kilter_weights::merge::ties::{Among, Ties, ZeroSign, elect, sign_of_total, sum_of_signs};
use kilter_weights::merge::{METHODS, Merge, find, merge};
use kilter_weights::{Checkpoint, Dtype, Options};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::files::{Plain, bytes, noise, numbers, plain, save};
use crate::golden::{assert_close, cases, flat, list, read, shape};

fn checkpoint(path: &Path, tensors: &Json, dtype: Dtype) -> Checkpoint {
    let tensors: Vec<Plain> = tensors
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| plain(name, dtype, &shape(value), &flat(value)))
        .collect();
    save(path, &tensors, &[])
}

/// Every arm of every case of `28-model-breadcrumbs/merge.json`, through files: inputs in f32, outputs in f64 (so the
/// tolerance is the golden file's own, 1e-6) and in f32 (half a unit in the last place more).
#[test]
fn merged_tensors_are_the_golden_ones() {
    for case in cases("28-model-breadcrumbs/merge.json") {
        let folder = tempfile::tempdir().unwrap();
        let base = checkpoint(&folder.path().join("base.safetensors"), &case["base"], Dtype::F32);
        let models: Vec<Checkpoint> = list(&case["models"])
            .iter()
            .enumerate()
            .map(|(i, model)| checkpoint(&folder.path().join(format!("{i}.safetensors")), model, Dtype::F32))
            .collect();
        let models: Vec<&Checkpoint> = models.iter().collect();
        let number = |name: &str| case[name].as_f64().unwrap();
        let (scale, weights) = (number("scale"), flat(&case["weights"]));
        let crumbs = |granularity| Breadcrumbs {
            scale,
            keep: number("keep"),
            drop_top: number("drop_top"),
            granularity,
            weights: weights.clone(),
        };
        let arms: [(&str, Box<dyn Merge>); 5] = [
            ("task_arithmetic", Box::new(TaskArithmetic { scale, weights: weights.clone(), normalize: false })),
            ("breadcrumbs_tensor", Box::new(crumbs(Granularity::Tensor))),
            ("breadcrumbs_row", Box::new(crumbs(Granularity::Row))),
            ("breadcrumbs_model", Box::new(crumbs(Granularity::Model))),
            (
                "ties",
                Box::new(Ties {
                    scale,
                    density: number("ties_density"),
                    zero_sign: ZeroSign::Plus,
                    granularity: Among::Tensor,
                    weights: weights.clone(),
                }),
            ),
        ];
        assert_eq!(case["expected"].as_object().unwrap().len(), arms.len());
        for (arm, method) in &arms {
            for dtype in [Dtype::F64, Dtype::F32] {
                let target = folder.path().join(format!("{arm}.safetensors"));
                merge(&**method, Some(&base), &models, Some(dtype), &target, &Options::default()).unwrap();
                let merged = Checkpoint::open(&target).unwrap();
                for (name, expected) in case["expected"][arm].as_object().unwrap() {
                    assert_close(&numbers(&merged, name), &flat(expected), 1e-6, &format!("{arm} {name}"));
                }
            }
        }
        let survivors = case["breadcrumbs_tensor_survivors"].as_object().unwrap();
        for (name, expected) in survivors {
            let ones = Breadcrumbs { scale: 1.0, weights: vec![1.0], ..crumbs(Granularity::Tensor) };
            for (model, count) in models.iter().zip(flat(expected)) {
                let target = folder.path().join("one.safetensors");
                merge(&ones, Some(&base), &[model], Some(Dtype::F64), &target, &Options::default()).unwrap();
                let merged = numbers(&Checkpoint::open(&target).unwrap(), name);
                let moved = merged.iter().zip(numbers(&base, name)).filter(|(m, b)| *m != b).count();
                assert_eq!(moved as f64, count, "{name}");
            }
        }
    }
}

#[test]
fn zero_sums_elect_what_the_golden_rules_say() {
    let golden = &read("28-model-breadcrumbs/merge.json")["ties_zero_rules"];
    let vectors: Vec<Vec<f64>> = list(&golden["task_vectors"]).iter().map(flat).collect();
    let weights = flat(&golden["weights"]);
    let mut out = vec![0.0; vectors[0].len()];
    elect(&vectors, &weights, 1.0, &mut out);
    assert_eq!(out, flat(&golden["zero_as_plus"]));
    let total = sign_of_total(sum_of_signs(&vectors, &weights));
    elect(&vectors, &weights, total, &mut out);
    assert_eq!(out, flat(&golden["zero_as_total_sign"]));
    // The same through files, where the sum of signs is made of pieces.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let n = out.len() as u64;
    let base = save(&at("base.safetensors"), &[plain("w", Dtype::F32, &[n], &vec![0.0; n as usize])], &[]);
    let models: Vec<Checkpoint> = vectors
        .iter()
        .enumerate()
        .map(|(i, v)| save(&at(&format!("{i}.safetensors")), &[plain("w", Dtype::F32, &[n], v)], &[]))
        .collect();
    let models: Vec<&Checkpoint> = models.iter().collect();
    for (zero_sign, expected) in [(ZeroSign::Plus, "zero_as_plus"), (ZeroSign::Total, "zero_as_total_sign")] {
        let ties = Ties { scale: 1.0, density: 1.0, zero_sign, granularity: Among::Tensor, weights: weights.clone() };
        merge(&ties, Some(&base), &models, None, &at("out.safetensors"), &Options::default()).unwrap();
        assert_eq!(numbers(&Checkpoint::open(&at("out.safetensors")).unwrap(), "w"), flat(&golden[expected]));
    }
}

/// The mask is given: only the factor is DARE's.
#[test]
fn rescaled_survivors_are_the_golden_ones() {
    let golden = &read("28-model-breadcrumbs/merge.json")["rescale"];
    let (values, mask) = (flat(&golden["values"]), flat(&golden["mask"]));
    let masked: Vec<f64> = values.iter().zip(&mask).map(|(v, m)| v * m).collect();
    let size = |v: &[f64]| v.iter().map(|x| x.abs()).sum::<f64>();
    let scaled = |factor: f64| masked.iter().map(|v| v * factor).collect::<Vec<_>>();
    assert_close(&scaled(l1_factor(size(&values), size(&masked))), &flat(&golden["l1"]), 1e-12, "l1");
    let density = golden["density"].as_f64().unwrap();
    assert_close(&scaled(1.0 / density), &flat(&golden["inverse_density"]), 1e-12, "density");
    assert_eq!(l1_factor(3.0, 0.0), 1.0);
}

/// Every case and type of `14-model-soups/average.json`, bit for bit.
#[test]
fn uniform_soups_are_the_golden_ones() {
    for case in cases("14-model-soups/average.json") {
        for (name, arm) in case["dtypes"].as_object().unwrap() {
            let dtype = Dtype::from_setting(name).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let models: Vec<Checkpoint> = list(&arm["inputs"])
                .iter()
                .enumerate()
                .map(|(i, w)| {
                    let path = folder.path().join(format!("{i}.safetensors"));
                    save(&path, &[plain("w", dtype, &shape(w), &flat(w))], &[])
                })
                .collect();
            let models: Vec<&Checkpoint> = models.iter().collect();
            let target = folder.path().join("soup.safetensors");
            kilter_weights::soup::uniform(&models, None, &target, &Options::default()).unwrap();
            let soup = numbers(&Checkpoint::open(&target).unwrap(), "w");
            assert_eq!(soup, flat(&arm["mean"]), "{name}");
        }
    }
}

/// A base and models of ordinary numbers: two tensors, a single number and one without entries.
struct Family {
    folder: tempfile::TempDir,
    base: Checkpoint,
    models: Vec<Checkpoint>,
}

impl Family {
    fn new(seed: u64, models: usize, dtype: Dtype) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let member = |name: String, seed: u64| {
            let tensors = [
                plain("a", dtype, &[6, 5], &noise(seed, 30)),
                plain("b", dtype, &[17], &noise(seed + 1, 17)),
                plain("s", dtype, &[], &noise(seed + 2, 1)),
                plain("none", dtype, &[0], &[]),
            ];
            save(&folder.path().join(name), &tensors, &[])
        };
        let base = member("base.safetensors".to_owned(), seed);
        let models = (0..models).map(|i| member(format!("{i}.safetensors"), seed + 10 * (i as u64 + 1))).collect();
        Self { base, models, folder }
    }

    fn merge(&self, method: &dyn Merge, order: &[usize], dtype: Option<Dtype>) -> Checkpoint {
        let models: Vec<&Checkpoint> = order.iter().map(|&i| &self.models[i]).collect();
        let target = self.folder.path().join("merged.safetensors");
        merge(method, Some(&self.base), &models, dtype, &target, &Options::default()).unwrap();
        Checkpoint::open(&target).unwrap()
    }
}

const TENSORS: [&str; 4] = ["a", "b", "s", "none"];

fn same(a: &Checkpoint, b: &Checkpoint) {
    for name in TENSORS {
        assert_eq!(bytes(a, name), bytes(b, name), "{name}");
    }
}

fn crumbs(scale: f64, keep: f64, drop_top: f64, models: usize) -> Breadcrumbs {
    Breadcrumbs { scale, keep, drop_top, granularity: Granularity::Tensor, weights: vec![1.0; models] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_soup_of_identical_models_is_that_model(seed in 0..1000_u64, n in 2..9_usize, kind in 1..6_usize) {
        let dtype = Dtype::from_setting(Dtype::settings()[kind]).unwrap();
        let family = Family::new(seed, 1, dtype);
        same(&family.merge(&Uniform, &vec![0; n], None), &family.models[0]);
    }

    #[test]
    fn a_scale_of_zero_returns_the_base_byte_for_byte(seed in 0..1000_u64) {
        let family = Family::new(seed, 3, Dtype::F32);
        let methods: [Box<dyn Merge>; 3] = [
            Box::new(TaskArithmetic { scale: 0.0, weights: vec![1.0; 3], normalize: false }),
            Box::new(crumbs(0.0, 0.4, 0.1, 3)),
            Box::new(Ties { scale: 0.0, density: 0.5, zero_sign: ZeroSign::Plus, granularity: Among::Model, weights: vec![1.0; 3] }),
        ];
        for method in methods {
            same(&family.merge(&*method, &[0, 1, 2], None), &family.base);
        }
    }

    /// Numbers of one magnitude: their differences are exact in f64.
    #[test]
    fn one_model_kept_whole_is_that_model(seed in 0..1000_u64) {
        let family = Family::new(seed, 1, Dtype::F32);
        same(&family.merge(&crumbs(1.0, 1.0, 0.0, 1), &[0], None), &family.models[0]);
        let dare = Dare { scale: 1.0, density: 1.0, rescale: Rescale::L1, combine: Combine::Ties, seed, weights: vec![1.0] };
        same(&family.merge(&dare, &[0], None), &family.models[0]);
    }

    #[test]
    fn keeping_all_is_task_arithmetic(seed in 0..1000_u64, scale in -1.0..1.0_f64) {
        let family = Family::new(seed, 3, Dtype::F32);
        let arithmetic = TaskArithmetic { scale, weights: vec![1.0; 3], normalize: false };
        let expected = family.merge(&arithmetic, &[0, 1, 2], Some(Dtype::F64));
        let expected: Vec<Vec<u8>> = TENSORS.iter().map(|name| bytes(&expected, name)).collect();
        let got = family.merge(&crumbs(scale, 1.0, 0.0, 3), &[0, 1, 2], Some(Dtype::F64));
        prop_assert_eq!(TENSORS.iter().map(|name| bytes(&got, name)).collect::<Vec<_>>(), expected);
    }

    /// Sums of three doubles in another order differ by at most 2 units of 2^-53 of the largest term (below 16 here), so
    /// by less than 1e-14; a rounding of f32 may turn on that, by one unit in the last place.
    #[test]
    fn the_order_of_models_does_not_matter(seed in 0..1000_u64) {
        let family = Family::new(seed, 3, Dtype::F32);
        let methods: [Box<dyn Merge>; 3] = [
            Box::new(Uniform),
            Box::new(crumbs(0.3, 0.5, 0.1, 3)),
            Box::new(Ties { scale: 1.0, density: 0.5, zero_sign: ZeroSign::Plus, granularity: Among::Tensor, weights: vec![1.0; 3] }),
        ];
        for method in methods {
            let one = family.merge(&*method, &[0, 1, 2], Some(Dtype::F64));
            let one: Vec<Vec<f64>> = TENSORS.iter().map(|name| numbers(&one, name)).collect();
            let other = family.merge(&*method, &[2, 0, 1], Some(Dtype::F64));
            for (name, one) in TENSORS.iter().zip(one) {
                assert_close(&numbers(&other, name), &one, 1e-14, name);
            }
        }
    }

    #[test]
    fn rows_keep_exactly_their_share(seed in any::<u64>(), rows in 1..6_usize, columns in 1..40_usize,
                                     keep in 0.01..1.0_f64, drop_top in 0.0..0.9_f64) {
        let mut vector = noise(seed, rows * columns);
        trim_rows(&mut vector, columns, keep, drop_top, &mut Vec::new());
        let (low, high) = survivors_of_row(columns as u64, keep, drop_top).ranks;
        for row in vector.chunks(columns) {
            prop_assert_eq!(row.iter().filter(|v| **v != 0.0).count() as u64, high - low);
        }
    }
}

/// Over 4000 seeds the mean of a surviving share is within 4 standard errors of the entry itself, at every entry.
#[test]
fn dare_changes_nothing_in_the_mean() {
    let (seeds, density) = (4000_u32, 0.3);
    let vector = noise(5, 40);
    let mut sums = vec![0.0; vector.len()];
    for seed in 0..seeds {
        let mut dropped = vector.clone();
        Draws::new(u64::from(seed), 1, "layer.weight", density).drop(3, &mut dropped);
        sums.iter_mut().zip(dropped).for_each(|(sum, v)| *sum += v / density);
    }
    for (sum, v) in sums.iter().zip(&vector) {
        let standard_error = v.abs() * ((1.0 - density) / density / f64::from(seeds)).sqrt();
        assert!((sum / f64::from(seeds) - v).abs() < 4.0 * standard_error);
    }
}

#[test]
fn a_dare_draw_depends_on_its_place_alone() {
    let draws = Draws::new(7, 2, "w", 0.5);
    let mut whole = vec![1.0; 1000];
    draws.drop(0, &mut whole);
    let mut at = 0;
    for length in [1, 2, 3, 5, 7, 100, 882] {
        let mut piece = vec![1.0; length];
        draws.drop(at as u64, &mut piece);
        assert_eq!(piece, whole[at..at + length]);
        at += length;
    }
    let others = [Draws::new(8, 2, "w", 0.5), Draws::new(7, 1, "w", 0.5), Draws::new(7, 2, "v", 0.5)];
    for other in others {
        let mut drawn = vec![1.0; 1000];
        other.drop(0, &mut drawn);
        assert_ne!(drawn, whole);
    }
}

/// Between orthogonal unit vectors the arc's middle has length 1; ends are the models; parallel ones go on a line.
#[test]
fn slerp_stays_on_the_arc() {
    let (a, b) = arc(0.5, (1.0, 1.0), 0.0);
    assert!((a * a + b * b - 1.0).abs() < 1e-15 && (a - b).abs() < 1e-15);
    assert_eq!(arc(0.25, (4.0, 4.0), 4.0), (0.75, 0.25));
    assert_eq!(arc(0.25, (0.0, 4.0), 0.0).0, (0.75_f64 * std::f64::consts::FRAC_PI_2).sin());
    let family = Family::new(3, 2, Dtype::F32);
    same(&family.merge(&Slerp { t: 0.0 }, &[0, 1], None), &family.models[0]);
    same(&family.merge(&Slerp { t: 1.0 }, &[0, 1], None), &family.models[1]);
}

#[test]
fn a_weighted_mean_weighs() {
    let family = Family::new(4, 2, Dtype::F32);
    let mean = family.merge(&Linear { weights: vec![3.0, 1.0], normalize: true }, &[0, 1], Some(Dtype::F64));
    let (x, y) = (numbers(&family.models[0], "a"), numbers(&family.models[1], "a"));
    let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (3.0 * x + y) / 4.0).collect();
    assert_close(&numbers(&mean, "a"), &expected, 1e-15, "mean");
}

fn searched(outline: &Outline) -> Outline {
    outline.specialise(&[], &[]).unwrap()
}

/// Defaults are in range, and every configuration that can be drawn makes a method that accepts its models.
#[test]
fn every_configuration_of_every_method_merges() {
    let family = Family::new(6, 2, Dtype::F32);
    for method in &METHODS {
        assert!(std::ptr::eq(find(method.name).unwrap(), method) || find(method.name).unwrap().name == method.name);
        let outline = searched(&(method.outline)(2).unwrap());
        let mut configs: Vec<Config> = vec![Defaults::config(&outline).unwrap()];
        let mut random = Random::new(kilter_numerics::Stream::new(&[1], method.name));
        configs.extend((0..5).map(|_| random.config(&outline).unwrap()));
        for config in configs {
            let statistics = match method.name {
                "fisher" => family.models.clone(),
                "regmean" => vec![moments(&family, 1), moments(&family, 2)],
                _ => Vec::new(),
            };
            let built = (method.build)(&config, 2, statistics).unwrap();
            assert_eq!(built.name(), method.name);
            family.merge(&*built, &[0, 1], None);
        }
    }
    let set = [("weight_2".to_owned(), Value::Float(0.5))];
    let outline = (find("breadcrumbs").unwrap().outline)(2).unwrap().specialise(&set, &[]).unwrap();
    let built = (find("breadcrumbs").unwrap().build)(&Defaults::config(&outline).unwrap(), 2, Vec::new()).unwrap();
    assert_eq!(built.settings()["weights"], serde_json::json!([1.0, 0.5]));
}

/// Second moments of the inputs of `a` `[6, 5]` over twelve random inputs.
fn moments(family: &Family, seed: u64) -> Checkpoint {
    let x = noise(seed, 60);
    let entry = |i: usize, j: usize| x.chunks(5).map(|x| x[i] * x[j]).sum::<f64>() / 12.0;
    let gram: Vec<f64> = (0..25).map(|at| entry(at / 5, at % 5)).collect();
    let path = family.folder.path().join(format!("moments-{seed}.safetensors"));
    save(&path, &[plain("a", Dtype::F64, &[5, 5], &gram)], &[])
}

/// What minimises a sum of squares has no gradient: sum_i w_i (W - W_i) G_i = 0.
#[test]
fn regmean_minimises_the_squares_it_says_and_averages_the_rest() {
    let family = Family::new(5, 2, Dtype::F64);
    let all = vec![moments(&family, 1), moments(&family, 2)];
    let grams: Vec<Vec<f64>> = all.iter().map(|of| numbers(of, "a")).collect();
    let method = RegMean { weights: vec![1.0, 0.5], off_diagonal: 1.0, moments: all };
    let merged = family.merge(&method, &[0, 1], None);
    let (w, a, b) = (numbers(&merged, "a"), numbers(&family.models[0], "a"), numbers(&family.models[1], "a"));
    for row in 0..6 {
        for j in 0..5 {
            let of = |models: &[f64], gram: &[f64]| -> f64 {
                (0..5).map(|k| (w[row * 5 + k] - models[row * 5 + k]) * gram[k * 5 + j]).sum()
            };
            let gradient = of(&a, &grams[0]) + 0.5 * of(&b, &grams[1]);
            // The ridge is a millionth of moments of about 1, weights differ by about 2.
            assert!(gradient.abs() < 1e-5, "{gradient}");
        }
    }
    let (x, y) = (numbers(&family.models[0], "b"), numbers(&family.models[1], "b"));
    let mean: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (x + 0.5 * y) / 1.5).collect();
    assert_close(&numbers(&merged, "b"), &mean, 1e-15, "b has no moments");
}

/// Where every input looks alike, nothing is known better than the mean; and equal models stay what they are.
#[test]
fn regmean_of_equal_moments_is_the_mean_and_of_equal_models_the_model() {
    let family = Family::new(5, 2, Dtype::F64);
    let equal = || vec![moments(&family, 3), moments(&family, 3)];
    let of = |off_diagonal, moments| RegMean { weights: vec![1.0; 2], off_diagonal, moments };
    let mean = family.merge(&Uniform, &[0, 1], None);
    let expected = numbers(&mean, "a");
    assert_close(&numbers(&family.merge(&of(0.9, equal()), &[0, 1], None), "a"), &expected, 1e-12, "equal moments");
    let different = vec![moments(&family, 1), moments(&family, 2)];
    let merged = family.merge(&of(0.9, different), &[1, 1], None);
    assert_close(&numbers(&merged, "a"), &numbers(&family.models[1], "a"), 1e-12, "equal models");
}

#[test]
fn fisher_weighs_every_entry_by_what_is_known_of_it() {
    let family = Family::new(7, 2, Dtype::F64);
    let known = |name: &str, a: f64| {
        let tensors = [
            plain("a", Dtype::F32, &[6, 5], &(0..30).map(|i| if i == 4 { 0.0 } else { a }).collect::<Vec<_>>()),
            plain("b", Dtype::F32, &[17], &[1.0; 17]),
            plain("s", Dtype::F32, &[], &[0.0]),
            plain("none", Dtype::F32, &[0], &[]),
        ];
        save(&family.folder.path().join(name), &tensors, &[])
    };
    let information = vec![known("f1.safetensors", 3.0), known("f2.safetensors", 1.0)];
    let merged = family.merge(&Fisher { weights: vec![1.0; 2], floor: 1e-6, information }, &[0, 1], None);
    for (name, shares) in [("a", [0.75, 0.25]), ("b", [0.5, 0.5]), ("s", [0.5, 0.5])] {
        let (x, y) = (numbers(&family.models[0], name), numbers(&family.models[1], name));
        let mut expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| shares[0] * x + shares[1] * y).collect();
        if name == "a" {
            // Nothing is known of this entry, so it is averaged.
            expected[4] = 0.5 * (x[4] + y[4]);
        }
        assert_close(&numbers(&merged, name), &expected, 1e-14, name);
    }
}

#[test]
fn statistics_that_do_not_fit_are_named() {
    let family = Family::new(9, 2, Dtype::F32);
    let told = |method: &dyn Merge| {
        let models: Vec<&Checkpoint> = family.models.iter().collect();
        let target = family.folder.path().join("refused.safetensors");
        let refused = merge(method, None, &models, None, &target, &Options::default()).unwrap_err().to_string();
        assert!(!target.exists());
        refused
    };
    let fisher = |information| Fisher { weights: vec![1.0; 2], floor: 1e-6, information };
    let message = told(&fisher(vec![family.base.clone()]));
    assert!(message.contains("1 files of them are given for 2 models"), "{message}");
    let message = told(&fisher(vec![family.base.clone(), moments(&family, 1)]));
    assert!(message.contains("not of one architecture"), "{message}");
    let regmean = |moments| RegMean { weights: vec![1.0; 2], off_diagonal: 0.9, moments };
    let message = told(&regmean(vec![moments(&family, 1), family.models[0].clone()]));
    assert!(message.contains("`a` have shape [6, 5], and [5, 5] belongs there"), "{message}");
    let path = family.folder.path().join("negative.safetensors");
    let negative: Vec<f64> = (0..25).map(|at| if at % 6 == 0 { -1.0 } else { 0.0 }).collect();
    let negative = save(&path, &[plain("a", Dtype::F32, &[5, 5], &negative)], &[]);
    let message = told(&regmean(vec![negative.clone(), negative]));
    assert!(message.contains("not positive definite"), "{message}");
    let onto = merge(
        &fisher(family.models.clone()),
        None,
        &family.models.iter().collect::<Vec<_>>(),
        None,
        family.models[1].path(),
        &Options::default(),
    );
    assert!(onto.unwrap_err().to_string().contains("the output is also an input"));
}

#[test]
fn a_learned_soup_weighs_every_tensor_by_itself() {
    let family = Family::new(3, 2, Dtype::F64);
    let weights = [("a", vec![0.25, 0.75]), ("b", vec![1.0, 0.0])];
    let weights = weights.into_iter().map(|(name, weights)| (name.to_owned(), weights)).collect();
    let merged = family.merge(&PerTensor { weights, settings: serde_json::json!({}) }, &[0, 1], None);
    let (x, y) = (numbers(&family.models[0], "a"), numbers(&family.models[1], "a"));
    let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 0.25 * x + 0.75 * y).collect();
    assert_close(&numbers(&merged, "a"), &expected, 1e-15, "a");
    assert_eq!(bytes(&merged, "b"), bytes(&family.models[0], "b"));
    let mean = 0.5 * (numbers(&family.models[0], "s")[0] + numbers(&family.models[1], "s")[0]);
    assert_close(&numbers(&merged, "s"), &[mean], 1e-15, "a tensor without weights is averaged");
}
