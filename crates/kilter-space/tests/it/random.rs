use std::collections::BTreeMap;

use kilter_numerics::Stream;
use kilter_space::{Chooser, Domain, Name, Outline, Question, Random, Value, parse_domain};

const DRAWS: u32 = 100_000;

/// Draws from the domain with a fixed seed and counts each answer by its text.
fn counts(domain: &Domain) -> BTreeMap<String, u32> {
    let mut random = Random::new(Stream::new(&[7], "counts"));
    let name = Name::new("x").unwrap();
    let question = Question { name: &name, domain, allowed: domain, default: None, prior: None };
    let mut counts = BTreeMap::new();
    for _ in 0..DRAWS {
        let answer = random.choose(&question).unwrap();
        assert_eq!(domain.accept(&answer).as_ref(), Some(&answer));
        *counts.entry(answer.to_string()).or_insert(0) += 1;
    }
    counts
}

/// Checks counts against masses by Pearson's chi-square. The limit is the quantile at 1 - 1e-4 (Wilson and Hilferty
/// 1931: (X/k)^(1/3) is nearly normal with mean 1 - 2/9k and variance 2/9k; z = 3.719). The seed is fixed, so the test
/// cannot flicker.
fn assert_follows(domain: &str, masses: &[(String, f64)]) {
    let domain = parse_domain(domain).unwrap();
    let counts = counts(&domain);
    let total: f64 = masses.iter().map(|(_, mass)| mass).sum();
    let mut chi_square = 0.0;
    for (answer, mass) in masses {
        let expected = f64::from(DRAWS) * mass / total;
        let seen = f64::from(counts.get(answer).copied().unwrap_or(0));
        chi_square += (seen - expected).powi(2) / expected;
    }
    assert_eq!(counts.keys().filter(|key| !masses.iter().any(|(answer, _)| answer == *key)).count(), 0, "strangers");
    let k = masses.len() as f64 - 1.0;
    let limit = k * (1.0 - 2.0 / (9.0 * k) + 3.719 * (2.0 / (9.0 * k)).sqrt()).powi(3);
    assert!(chi_square < limit, "{domain}: {chi_square} of {limit}");
}

fn even<T: Into<Value>>(answers: impl IntoIterator<Item = T>) -> Vec<(String, f64)> {
    answers.into_iter().map(|answer| (answer.into().to_string(), 1.0)).collect()
}

#[test]
fn integers_are_uniform() {
    assert_follows("int:-5..14", &even(-5..=14_i64));
    assert_follows("int:0..100/7", &even((0..=98_i64).step_by(7)));
}

#[test]
fn logarithmic_integers_have_the_mass_of_half_a_unit_around_them() {
    let mass = |k: i64| (k.to_string(), ((k as f64 + 0.5) / (k as f64 - 0.5)).ln());
    assert_follows("int:log:1..40", &(1..=40).map(mass).collect::<Vec<_>>());
    assert_follows("int:log:16..64", &(16..=64).map(mass).collect::<Vec<_>>());
}

#[test]
fn choices_are_uniform() {
    assert_follows("adam|sgd|1|null|true", &even(["adam", "sgd", "1", "null", "true"]));
}

#[test]
fn points_of_a_grid_are_uniform() {
    assert_follows("0..1/0.05", &even((0..=20).map(|k| f64::from(k) / 20.0)));
    assert_follows("0..1/0.3", &even([0.0, 0.3, 0.6, 0.9]));
}

/// Draws fall into twenty equal shares of the range (of its logarithm).
#[test]
fn continuous_ranges_are_uniform_in_their_own_measure() {
    let twentieths = |domain: &str, share: fn(f64) -> f64| {
        let domain = parse_domain(domain).unwrap();
        let mut seen = [0_u32; 20];
        for (text, count) in counts(&domain) {
            let share = share(text.parse().unwrap());
            seen[((share * 20.0) as usize).min(19)] += count;
        }
        // Chi-square with 19 degrees of freedom: 1 - 1e-4 at 50.8.
        let expected = f64::from(DRAWS) / 20.0;
        let chi_square: f64 = seen.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 50.8, "{domain}: {chi_square}");
    };
    twentieths("-1..3", |x| (x + 1.0) / 4.0);
    twentieths("log:1e-5..1e-1", |x| (x.log10() + 5.0) / 4.0);
    twentieths("log:1e-300..1e300", |x| (x.log10() + 300.0) / 600.0);
}

#[test]
fn all_bits_of_a_wide_integer_range_are_drawn() {
    let domain = parse_domain("int:-9223372036854775808..9223372036854775807").unwrap();
    let name = Name::new("x").unwrap();
    let mut random = Random::new(Stream::new(&[3], "wide"));
    let (mut ones, mut zeros) = (0_u64, 0_u64);
    for _ in 0..64 {
        let Ok(Value::Int(i)) =
            random.choose(&Question { name: &name, domain: &domain, allowed: &domain, default: None, prior: None })
        else {
            panic!()
        };
        ones |= i as u64;
        zeros |= !(i as u64);
    }
    assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
}

#[test]
fn the_same_stream_draws_the_same_configuration() {
    let entry = |name: &str, domain: &str| kilter_space::Entry::new(name, parse_domain(domain).unwrap()).unwrap();
    let space = Outline::new(vec![entry("a", "0..1"), entry("b", "log:1e-3..1"), entry("c", "x|y|z")]).unwrap();
    let draw = |seed| Random::new(Stream::new(&[seed], "draw")).config(&space).unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
