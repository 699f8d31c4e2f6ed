//! What people give by mistake, and what they are told.

use std::fs;
use std::path::PathBuf;

use kilter_weights::merge::average::{Linear, Uniform};
use kilter_weights::merge::breadcrumbs::{Breadcrumbs, Granularity};
use kilter_weights::merge::dare::{Combine, Dare, Rescale};
use kilter_weights::merge::slerp::Slerp;
use kilter_weights::merge::task_arithmetic::TaskArithmetic;
use kilter_weights::merge::{Merge, find, merge};
use kilter_weights::{Checkpoint, Dtype, Options, WeightsError};

use crate::files::{listing, noise, numbers, plain, save};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn model(&self, name: &str, tensors: &[(&str, &[u64])]) -> Checkpoint {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, shape)| plain(name, Dtype::F32, shape, &noise(1, shape.iter().product::<u64>() as usize)))
            .collect();
        save(&self.at(name), &tensors, &[])
    }
    /// The message of a merge that must not succeed and must leave nothing.
    fn refused(&self, method: &dyn Merge, base: Option<&Checkpoint>, models: &[&Checkpoint]) -> String {
        let before = listing(self.0.path());
        let refused = merge(method, base, models, None, &self.at("out.safetensors"), &Options::default());
        assert_eq!(listing(self.0.path()), before);
        refused.unwrap_err().to_string()
    }
}

fn arithmetic(models: usize) -> TaskArithmetic {
    TaskArithmetic { scale: 1.0, weights: vec![1.0; models], normalize: false }
}

#[test]
fn models_of_different_architecture_name_the_first_differences_of_both_sides() {
    let place = Place::new();
    let a = place.model("a.safetensors", &[("emb", &[8, 4]), ("head", &[4, 2]), ("only_a", &[1])]);
    let b = place.model("b.safetensors", &[("emb", &[9, 4]), ("head", &[4, 2]), ("only_b", &[3])]);
    let message = place.refused(&Uniform, None, &[&a, &b]);
    assert!(message.contains("`emb` is F32 [8, 4] in the first and F32 [9, 4] in the second"), "{message}");
    assert!(message.contains("`only_a` (F32 [1]) is only in") && message.contains("`only_b` (F32 [3]) is only in"));
    // Many differences: five are told, of both sides.
    let names: Vec<String> = (0..9).map(|i| format!("x{i}")).collect();
    let many: Vec<(&str, &[u64])> = names.iter().map(|name| (name.as_str(), &[2_u64] as &[u64])).collect();
    let c = place.model("c.safetensors", &many);
    let message = place.refused(&Uniform, None, &[&c, &b]);
    assert_eq!(message.matches("is only in").count(), 5, "{message}");
    assert!(message.contains("`emb`") && message.contains("`x0`") && message.contains("and 7 more"), "{message}");
}

#[test]
fn a_missing_base_is_asked_for() {
    let place = Place::new();
    let a = place.model("a.safetensors", &[("w", &[2])]);
    assert!(place.refused(&arithmetic(1), None, &[&a]).contains("--base base.safetensors"));
    let message = Checkpoint::open(&place.at("nowhere.safetensors")).unwrap_err().to_string();
    assert!(message.contains("cannot open") && message.contains("nowhere.safetensors"));
}

#[test]
fn one_model_or_too_many_are_told_apart() {
    let place = Place::new();
    let a = place.model("a.safetensors", &[("w", &[2])]);
    assert!(place.refused(&Slerp { t: 0.5 }, None, &[&a]).contains("exactly two models, and 1 is given"));
    assert!(place.refused(&Slerp { t: 0.5 }, None, &[&a, &a, &a]).contains("3 are given"));
    assert!(place.refused(&Uniform, None, &[]).contains("at least one model, and 0 are given"));
    let soup = kilter_weights::soup::uniform(&[&a], None, &place.at("o.safetensors"), &Options::default());
    assert!(soup.unwrap_err().to_string().contains("at least two models, and 1 is given"));
    let weights = Linear { weights: vec![1.0], normalize: true };
    assert!(place.refused(&weights, None, &[&a, &a]).contains("1 weights for 2 models"));
}

#[test]
fn nan_is_named_and_refused_unless_allowed() {
    let place = Place::new();
    let good = place.model("good.safetensors", &[("w", &[2, 3])]);
    for (value, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let mut weights = noise(2, 6);
        weights[4] = value;
        let bad = save(&place.at("bad.safetensors"), &[plain("w", Dtype::F32, &[2, 3], &weights)], &[]);
        let message = place.refused(&Uniform, None, &[&good, &bad]);
        assert!(message.contains(&format!("bad.safetensors: tensor `w` holds {word} at entry 4")), "{message}");
        let allowed = Options { allow_non_finite: true, ..Options::default() };
        let target = place.at("told.safetensors");
        merge(&Uniform, None, &[&good, &bad], None, &target, &allowed).unwrap();
        let merged = numbers(&Checkpoint::open(&target).unwrap(), "w");
        assert!(merged[4].is_nan() == value.is_nan() && !merged[4].is_finite() && merged[3].is_finite());
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn a_result_beyond_its_type_is_refused() {
    let place = Place::new();
    let base = save(&place.at("b.safetensors"), &[plain("w", Dtype::F16, &[2], &[0.0, 1.0])], &[]);
    let tuned = save(&place.at("t.safetensors"), &[plain("w", Dtype::F16, &[2], &[40_000.0, 1.0])], &[]);
    let twice = TaskArithmetic { scale: 2.0, ..arithmetic(1) };
    let message = place.refused(&twice, Some(&base), &[&tuned]);
    assert!(
        message.contains("tensor `w`: 8e4 is beyond what F16 can hold") && message.contains("dtype=f32"),
        "{message}"
    );
}

#[test]
fn pickles_are_refused_with_the_line_that_converts_them() {
    let place = Place::new();
    for (name, content) in
        [("m.bin", &b"\x80\x02}q\x00."[..]), ("m.pt", b"PK\x03\x04rest"), ("m.safetensors", b"PK\x03\x04rest")]
    {
        fs::write(place.at(name), content).unwrap();
        let message = Checkpoint::open(&place.at(name)).unwrap_err().to_string();
        assert!(message.contains("python3 -c") && message.contains("weights_only=True"), "{message}");
        assert!(message.contains(&place.at("m.safetensors").display().to_string()), "{message}");
    }
    fs::write(place.at("empty.safetensors"), b"").unwrap();
    let message = Checkpoint::open(&place.at("empty.safetensors")).unwrap_err().to_string();
    assert!(message.contains("0 bytes, too few for a header"), "{message}");
}

#[test]
fn an_output_onto_an_input_is_refused_under_every_name() {
    let place = Place::new();
    let a = place.model("a.safetensors", &[("w", &[2])]);
    let b = place.model("b.safetensors", &[("w", &[2])]);
    std::os::unix::fs::symlink(a.path(), place.at("soft.safetensors")).unwrap();
    fs::hard_link(b.path(), place.at("hard.safetensors")).unwrap();
    for name in ["a.safetensors", "soft.safetensors", "hard.safetensors"] {
        let refused = merge(&Uniform, None, &[&a, &b], None, &place.at(name), &Options::default());
        assert!(matches!(refused, Err(WeightsError::OutputIsInput { .. })), "{name}");
    }
    let refused = merge(&Uniform, None, &[&a, &b], None, &place.at("out.bin"), &Options::default());
    assert!(refused.unwrap_err().to_string().contains("must end in .safetensors"));
    let nowhere = place.at("no/such/folder/out.safetensors");
    let refused = merge(&Uniform, None, &[&a, &b], None, &nowhere, &Options::default());
    assert!(refused.unwrap_err().to_string().contains("cannot write"));
}

#[test]
fn quantised_checkpoints_are_refused() {
    let place = Place::new();
    let packed = ("w.qweight".to_owned(), Dtype::from_file("I32").unwrap(), vec![4, 4], vec![1; 64]);
    let scale = plain("w.scales", Dtype::F16, &[4], &[1.0; 4]);
    let model = save(&place.at("q.safetensors"), &[packed, scale], &[]);
    let message = place.refused(&Uniform, None, &[&model, &model]);
    assert!(
        message.contains("64 of its 72 bytes are integers") && message.contains("quantise the result"),
        "{message}"
    );
}

#[test]
fn settings_out_of_range_say_what_is_in_range() {
    let place = Place::new();
    let a = place.model("a.safetensors", &[("w", &[2])]);
    let crumbs = |scale, keep, drop_top| Breadcrumbs {
        scale,
        keep,
        drop_top,
        granularity: Granularity::Row,
        weights: vec![1.0],
    };
    for (method, expected) in [
        (crumbs(f64::NAN, 0.5, 0.0), "scale=NaN must be a finite number"),
        (crumbs(1.0, 0.0, 0.0), "keep=0 must be above 0 and at most 1"),
        (crumbs(1.0, f64::NAN, 0.0), "keep=NaN"),
        (crumbs(1.0, 0.5, 1.0), "drop_top=1 must be from 0 to below 1"),
    ] {
        let message = place.refused(&method, Some(&a), &[&a]);
        assert!(message.contains(expected), "{message}");
    }
    let dare =
        Dare { scale: 1.0, density: 0.0, rescale: Rescale::L1, combine: Combine::Sum, seed: 0, weights: vec![1.0] };
    assert!(place.refused(&dare, Some(&a), &[&a]).contains("density=0 must be above 0"));
    assert!(place.refused(&Slerp { t: 1.5 }, None, &[&a, &a]).contains("t=1.5 must be from 0"));
    let weights = Linear { weights: vec![f64::INFINITY], normalize: true };
    assert!(place.refused(&weights, None, &[&a]).contains("a weight of inf"));
}

#[test]
fn an_unknown_method_is_answered_with_the_nearest() {
    let message = |name: &str| find(name).map(|method| method.name).unwrap_err().to_string();
    assert!(message("breadcrumb").contains("did you mean `breadcrumbs`?"));
    assert!(message("xyzzy").contains("there are soup, linear"));
}

#[test]
fn integers_that_differ_are_taken_from_the_first_with_a_note() {
    let place = Place::new();
    let with_steps = |name: &str, steps: i64| {
        let counter = ("steps".to_owned(), Dtype::from_file("I64").unwrap(), vec![], steps.to_le_bytes().to_vec());
        save(&place.at(name), &[plain("w", Dtype::F32, &[4], &noise(1, 4)), counter], &[])
    };
    let (a, b) = (with_steps("a.safetensors", 7), with_steps("b.safetensors", 9));
    let target = place.at("out.safetensors");
    let report = merge(&Uniform, None, &[&a, &b], None, &target, &Options::default()).unwrap();
    assert!(report.notes[0].contains("`steps` is no float tensor and differs"), "{:?}", report.notes);
    assert_eq!(crate::files::bytes(&Checkpoint::open(&target).unwrap(), "steps"), 7_i64.to_le_bytes());
}

#[test]
fn mixed_types_are_noted() {
    let place = Place::new();
    let a = save(&place.at("a.safetensors"), &[plain("w", Dtype::Bf16, &[4], &noise(1, 4))], &[]);
    let b = save(&place.at("b.safetensors"), &[plain("w", Dtype::F32, &[4], &noise(2, 4))], &[]);
    let report = merge(&Uniform, None, &[&a, &b], None, &place.at("o.safetensors"), &Options::default()).unwrap();
    assert!(report.notes[0].contains("written as BF16"), "{:?}", report.notes);
    let report =
        merge(&arithmetic(2), Some(&a), &[&a, &b], None, &place.at("p.safetensors"), &Options::default()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("is the base itself")), "{:?}", report.notes);
}
