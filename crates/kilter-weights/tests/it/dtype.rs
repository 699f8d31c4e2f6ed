use half::{bf16, f16};
use kilter_weights::Dtype;
use proptest::prelude::*;

const FLOATS: [Dtype; 6] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F8E4M3, Dtype::F8E5M2];

fn encoded(dtype: Dtype, x: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    dtype.encode(&[x], &mut bytes);
    bytes
}

fn decoded(dtype: Dtype, bytes: &[u8]) -> f64 {
    let mut out = [0.0];
    dtype.decode(bytes, &mut out);
    out[0]
}

/// Every number of the 8- and 16-bit types survives the way to f64 and back.
#[test]
fn every_narrow_number_round_trips() {
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F8E4M3, Dtype::F8E5M2] {
        for code in 0..(1_u32 << dtype.bits()) {
            let bytes = code.to_le_bytes()[..dtype.bits() as usize / 8].to_vec();
            let x = decoded(dtype, &bytes);
            if x.is_nan() {
                assert!(decoded(dtype, &encoded(dtype, x)).is_nan(), "{dtype} {code:#x}");
            } else {
                assert_eq!(encoded(dtype, x), bytes, "{dtype} {code:#x} is {x}");
            }
        }
    }
}

/// Known numbers of the 8-bit types (OCP 8-bit floating point specification, table 1 and 2).
#[test]
fn eight_bit_floats_are_those_of_the_specification() {
    let known = [(0x7E, 448.0), (0x01, 2_f64.powi(-9)), (0x08, 2_f64.powi(-6)), (0x38, 1.0), (0xB8, -1.0)];
    assert!(known.iter().all(|&(code, x)| decoded(Dtype::F8E4M3, &[code]) == x));
    let known =
        [(0x7B, 57_344.0), (0x01, 2_f64.powi(-16)), (0x04, 2_f64.powi(-14)), (0x3C, 1.0), (0x7C, f64::INFINITY)];
    assert!(known.iter().all(|&(code, x)| decoded(Dtype::F8E5M2, &[code]) == x));
    assert!(decoded(Dtype::F8E4M3, &[0x7F]).is_nan() && decoded(Dtype::F8E5M2, &[0x7E]).is_nan());
}

/// All numbers of a narrow type that are not NaN, ascending, with their codes.
fn ladder(dtype: Dtype) -> Vec<f64> {
    let codes = 0..(1_u32 << dtype.bits());
    let mut all: Vec<f64> =
        codes.map(|code| decoded(dtype, &code.to_le_bytes()[..dtype.bits() as usize / 8])).collect();
    all.retain(|x| x.is_finite());
    all.sort_by(f64::total_cmp);
    all
}

/// The midpoint of any two neighbours and the doubles just beside it: rounding through another type would fail here.
#[test]
fn rounding_happens_once() {
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F8E4M3, Dtype::F8E5M2] {
        let ladder = ladder(dtype);
        for pair in ladder.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            let middle = low / 2.0 + high / 2.0;
            let got = |x: f64| decoded(dtype, &encoded(dtype, x));
            assert_eq!(got(middle.next_down()), low, "{dtype} below the middle of {low} and {high}");
            assert_eq!(got(middle.next_up()), high, "{dtype} above the middle of {low} and {high}");
            let even = if encoded(dtype, low)[0].is_multiple_of(2) { low } else { high };
            assert_eq!(got(middle), even, "{dtype} at the middle of {low} and {high}");
        }
    }
}

proptest! {
    /// The conversions of `half` and of the language are an independent oracle for numbers that are singles.
    #[test]
    fn singles_round_as_half_and_the_language_do(x in any::<f32>()) {
        prop_assume!(!x.is_nan());
        let wide = f64::from(x);
        prop_assert_eq!(encoded(Dtype::F32, wide), x.to_le_bytes());
        prop_assert_eq!(encoded(Dtype::F16, wide), f16::from_f32(x).to_le_bytes());
        prop_assert_eq!(encoded(Dtype::Bf16, wide), bf16::from_f32(x).to_le_bytes());
    }

    /// Any double: the result is a nearest number of the type.
    #[test]
    fn no_other_number_is_nearer(x in prop_oneof![any::<f64>(), -500.0..500.0_f64, -1e-6..1e-6_f64]) {
        prop_assume!(x.is_finite());
        for dtype in [Dtype::F8E4M3, Dtype::F8E5M2, Dtype::F16] {
            if x.abs() > dtype.largest() { continue; }
            let got = decoded(dtype, &encoded(dtype, x));
            let nearest = ladder_distance(dtype, x);
            prop_assert!((got - x).abs() <= nearest, "{dtype}: {x} became {got}");
        }
    }
}

/// Distance from `x` to the nearest number of the type.
fn ladder_distance(dtype: Dtype, x: f64) -> f64 {
    use std::collections::HashMap;
    use std::sync::{Mutex, OnceLock};
    static LADDERS: OnceLock<Mutex<HashMap<Dtype, Vec<f64>>>> = OnceLock::new();
    let mut ladders = LADDERS.get_or_init(Mutex::default).lock().unwrap();
    let ladder = ladders.entry(dtype).or_insert_with(|| ladder(dtype));
    let at = ladder.partition_point(|&y| y < x);
    let near = ladder[at.saturating_sub(1)..(at + 1).min(ladder.len())].iter();
    near.map(|y| (y - x).abs()).fold(f64::INFINITY, f64::min)
}

#[test]
fn names_lead_to_types_and_back() {
    for dtype in FLOATS {
        assert_eq!(Dtype::from_file(dtype.name()), Some(dtype));
    }
    assert_eq!(Dtype::settings().map(|name| Dtype::from_setting(name).unwrap()), FLOATS);
    assert_eq!(Dtype::from_file("F4").unwrap().size(3), None);
    assert_eq!(Dtype::from_file("F4").unwrap().size(4), Some(2));
    assert_eq!(Dtype::F64.size(u64::MAX / 8), None);
}
