//! The normal distribution against 60-digit references, and its identities.

// The lints' leave for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used)]

use kilter_numerics::normal::{Tails, cdf, log_cdf, log_mass, mass, quantile, truncated_quantile};
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

fn golden(path: &str) -> Value {
    let folder = std::env::var_os("KILTER_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden")), PathBuf::from);
    serde_json::from_str(&std::fs::read_to_string(folder.join(path)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn golden_truncated_normal() {
    let file = golden("hpo-tpe/truncnorm.json");
    let (mass_tolerance, ppf_tolerance) =
        (file["tolerance"]["log_mass_abs"].as_f64().unwrap(), file["tolerance"]["ppf"].as_f64().unwrap());
    let (a, b) = (numbers(&file["a"]), numbers(&file["b"]));
    let (q, ppf) = (numbers(&file["quantile"]), numbers(&file["ppf"]));
    assert!(!a.is_empty());
    for (i, expected) in numbers(&file["log_mass"]).into_iter().enumerate() {
        let got = log_mass(a[i], b[i]);
        assert!((got - expected).abs() <= mass_tolerance, "log_mass({}, {}) = {got}, not {expected}", a[i], b[i]);
        let got = truncated_quantile(q[i], a[i], b[i]);
        assert!((got - ppf[i]).abs() <= ppf_tolerance, "quantile {} of [{}, {}]: {got}", q[i], a[i], b[i]);
        // Closer than asked: an interval of width 2e-9 must not be answered by its middle.
        assert!((got - ppf[i]).abs() <= 1e-6 * (b[i] - a[i]), "quantile {} of [{}, {}]: {got}", q[i], a[i], b[i]);
    }
    for (x, expected) in numbers(&file["x"]).into_iter().zip(numbers(&file["log_ndtr"])) {
        let got = log_cdf(x);
        assert!((got - expected).abs() <= 1e-13 * expected.abs(), "log_cdf({x}) = {got}, not {expected}");
    }
}

#[test]
fn the_pieces_of_log_cdf_meet() {
    // -30 joins `erfc` and Mills' ratio, whose neglected term is 10395/30^12 = 2e-14.
    assert!((log_cdf(-30.0) - log_cdf((-30.0_f64).next_up())).abs() < 1e-12);
    assert_eq!(log_cdf(f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert_eq!(log_cdf(f64::INFINITY), 0.0);
    assert_eq!(log_cdf(-1e200), f64::NEG_INFINITY);
    assert!(log_cdf(f64::NAN).is_nan());
}

#[test]
fn the_pieces_of_log_mass_meet() {
    for middle in [0.0, 0.3, 1.0, 3.0, 7.0, 20.0, 29.0, 35.0, 60.0_f64] {
        // Around the width where the midpoint series takes over from the difference of tails.
        let width = 0.02 / middle.max(1.0);
        let at = |w: f64| log_mass(middle - 0.5 * w, middle + 0.5 * w) - w.ln();
        let jump = at(width * 1.001) - at(width * 0.999);
        // Between them ln(mass/width) itself moves by at most (m² + 1) h²/12 · 0.002 < 7e-8.
        assert!(jump.abs() < 1e-7, "{middle}: {jump:e}");
        let series = at(width * (1.0 - 1e-12));
        let difference = at(width * (1.0 + 1e-12));
        // Two values near -m²/2, each rounded to 2⁻⁵³ of it, their tails' difference being 0.02 of each.
        assert!((series - difference).abs() < 2e-14 * (50.0 + middle * middle), "{middle}: {series} {difference}");
    }
}

#[test]
fn empty_intervals_have_no_mass() {
    for (a, b) in [(1.0, 1.0), (2.0, 1.0), (-1.0, -2.0), (0.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, f64::INFINITY)] {
        assert_eq!(mass(a, b), 0.0);
        assert_eq!(log_mass(a, b), f64::NEG_INFINITY);
    }
    assert_eq!(log_mass(f64::NEG_INFINITY, f64::INFINITY), 0.0);
    assert_eq!(log_mass(1e300, f64::INFINITY), f64::NEG_INFINITY);
}

#[test]
fn quantiles_of_the_whole_line_are_plain_quantiles() {
    for p in [1e-300, 1e-20, 0.02, 0.5, 0.7, 0.999] {
        let x = truncated_quantile(p, f64::NEG_INFINITY, f64::INFINITY);
        // Equal but below 1e-280, where Newton's method and the rational approximation may differ in the last place.
        assert!((x - quantile(p)).abs() <= 1e-15 * x.abs(), "{p}");
        // Φ has condition |x φ/Φ|·x ≈ x² at the quantile's rounding: 2000 units in the last place at 1e-300.
        assert!((cdf(quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
    }
    assert_eq!(quantile(0.0), f64::NEG_INFINITY);
    assert_eq!(quantile(1.0), f64::INFINITY);
}

#[test]
fn quantiles_in_hopeless_tails_stay_inside() {
    for (a, b) in [(1e9, 1e9 + 1.0), (-1e200, -1e199), (1e300, f64::INFINITY), (f64::NEG_INFINITY, -1e4)] {
        for q in [0.0, 1e-300, 0.3, 1.0] {
            let x = truncated_quantile(q, a, b);
            assert!((a..=b).contains(&x), "{q} of [{a}, {b}]: {x}");
        }
    }
}

proptest! {
    #[test]
    fn masses_add_up(mut cuts in proptest::array::uniform3(-45.0..45.0_f64)) {
        cuts.sort_by(f64::total_cmp);
        let [a, b, c] = cuts;
        let parts = [log_mass(a, b), log_mass(b, c)];
        let top = parts[0].max(parts[1]);
        prop_assume!(top.is_finite());
        let sum = top + parts.iter().map(|p| (p - top).exp()).sum::<f64>().ln();
        // Values down to -45²/2, a difference of tails of at least 0.02 of them: 1000 · 2⁻⁵³ / 0.02.
        prop_assert!((sum - log_mass(a, c)).abs() < 1e-11);
        prop_assert!((log_mass(a, c) - log_mass(-c, -a)).abs() < 1e-11);
        prop_assert!((mass(a, c) - log_mass(a, c).exp()).abs() < 1e-11 * mass(a, c) + 1e-300);
    }

    #[test]
    fn quantiles_invert_masses(a in -45.0..45.0_f64, width in 1e-6..20.0_f64, q in 0.0..1.0_f64) {
        let b = a + width;
        let x = truncated_quantile(q, a, b);
        prop_assert!((a..=b).contains(&x));
        let back = (log_mass(a, x) - log_mass(a, b)).exp();
        // The argument's rounding, 2⁻⁵³·45, against the width of the interval, or the tail's rate 45 per unit.
        prop_assert!((back - q).abs() < 1e-14 * 45.0 * (1.0 / width + 45.0), "{} {}", back, q);
    }

    #[test]
    fn tails_tell_what_lies_between(a in -20.0..0.0_f64, b in 0.0..20.0_f64, q in 1e-9..1.0_f64) {
        let tails = Tails::beyond(a, b);
        // Tails below 2⁻⁵³ are left out.
        prop_assert!((tails.between() - mass(a, b)).abs() < 4.0 * f64::EPSILON);
        prop_assume!(tails.between() > 0.1);
        let (got, expected) = (tails.quantile(q), truncated_quantile(q, a, b));
        // The argument's rounding, a few 2⁻⁵³ of the mass, over the density at the quantile.
        let density = (-0.5 * expected * expected).exp() / 2.5;
        prop_assert!((got - expected).abs() < 1e-14 + 1e-15 / density.max(1e-15), "{} {}", got, expected);
    }
}
