//! The random sampler under constraints: uniform over what is feasible, by chi-square with fixed seeds.

use std::collections::BTreeMap;

use kilter_numerics::Stream;
use kilter_space::{Config, Feasible, Means, Outline, Random};

use crate::constrained::{constrained, entry};

/// The chi-square that a fit of `k` degrees of freedom exceeds once in 10,000 times (Wilson and Hilferty).
fn limit(k: f64) -> f64 {
    k * (1.0 - 2.0 / (9.0 * k) + 3.719 * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

fn draws(outline: &Outline, count: u64, means: Means) -> Vec<Config> {
    let source = Feasible::new(outline).unwrap();
    assert_eq!(source.means(), means);
    let drawn: Vec<Config> =
        (0..count).map(|seed| source.config(&mut Stream::new(&[seed], "uniform")).unwrap()).collect();
    assert!(drawn.iter().all(|config| outline.is_feasible(config)));
    drawn
}

/// Compares counts per cell with expected shares.
fn assert_fits(drawn: &[Config], cell: impl Fn(&Config) -> String, shares: &BTreeMap<String, f64>) {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    drawn.iter().for_each(|config| *counts.entry(cell(config)).or_default() += 1.0);
    let total: f64 = shares.values().sum();
    let mut chi_square = 0.0;
    for (cell, share) in shares {
        let expected = share / total * drawn.len() as f64;
        assert!(expected >= 5.0, "too few for {cell}");
        chi_square += (counts.remove(cell).unwrap_or(0.0) - expected).powi(2) / expected;
    }
    assert!(counts.is_empty(), "strangers: {counts:?}");
    assert!(chi_square < limit(shares.len() as f64 - 1.0), "{chi_square} of {}", limit(shares.len() as f64 - 1.0));
}

/// As likely as under plain draws that are thrown away while they are infeasible.
fn assert_like_rejection(outline: &Outline, drawn: &[Config], cell: impl Fn(&Config) -> String, trials: u64) {
    let free = Outline::new(outline.entries().to_vec()).unwrap();
    let mut random = Random::new(Stream::new(&[99], "free"));
    let (mut ours, mut theirs): (BTreeMap<String, f64>, BTreeMap<String, f64>) = Default::default();
    let mut accepted = 0.0;
    for config in (0..trials).map(|_| random.config(&free).unwrap()).filter(|config| outline.is_feasible(config)) {
        *theirs.entry(cell(&config)).or_default() += 1.0;
        accepted += 1.0;
    }
    drawn.iter().for_each(|config| *ours.entry(cell(config)).or_default() += 1.0);
    let n = drawn.len() as f64;
    let cells: Vec<String> =
        theirs.keys().chain(ours.keys()).cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    // Two samples: Σ (√(m/n) a - √(n/m) b)² / (a + b).
    let chi_square: f64 = cells
        .iter()
        .map(|cell| {
            let (a, b) = (ours.get(cell).copied().unwrap_or(0.0), theirs.get(cell).copied().unwrap_or(0.0));
            ((accepted / n).sqrt() * a - (n / accepted).sqrt() * b).powi(2) / (a + b)
        })
        .sum();
    assert!(chi_square < limit(cells.len() as f64 - 1.0), "{chi_square} of {}", limit(cells.len() as f64 - 1.0));
}

#[test]
fn listed_spaces_are_drawn_uniformly() {
    let outline = constrained(
        vec![entry("a", "int:0..5"), entry("b", "int:0..5"), entry("free", "0..1")],
        &["a + b <= 5", "a != b"],
    );
    let drawn = draws(&outline, 20_000, Means::Enumerated);
    let cell = |config: &Config| format!("{} {}", config.int("a").unwrap(), config.int("b").unwrap());
    let pairs = (0..6).flat_map(|a| (0..6).map(move |b| (a, b))).filter(|(a, b)| a + b <= 5 && a != b);
    let shares: BTreeMap<String, f64> = pairs.map(|(a, b)| (format!("{a} {b}"), 1.0)).collect();
    assert_fits(&drawn, cell, &shares);
    let rate = Feasible::new(&outline).unwrap().rate();
    assert!((rate - shares.len() as f64 / 36.0).abs() < 1e-12, "{rate}");
}

/// A walk reaches the branches of a tree with equal chances, and a leaf of the larger branch with a smaller one.
#[test]
fn listed_trees_keep_the_measure_of_the_walk() {
    let outline = constrained(
        vec![
            entry("kind", "a|b"),
            entry("n", "int:log:1..8").when("kind == 'a'").unwrap(),
            entry("m", "int:0..2").when("kind == 'b'").unwrap(),
        ],
        &["n <= 4", "m != 1"],
    );
    let drawn = draws(&outline, 20_000, Means::Enumerated);
    let mut shares = BTreeMap::new();
    for n in 1..=4 {
        let n = f64::from(n);
        shares.insert(format!("kind=a n={n}"), 0.5 * ((n + 0.5) / (n - 0.5)).ln() / (8.5_f64 / 0.5).ln());
    }
    shares.insert("kind=b m=0".to_owned(), 0.5 / 3.0);
    shares.insert("kind=b m=2".to_owned(), 0.5 / 3.0);
    assert_fits(&drawn, Config::to_string, &shares);
}

#[test]
fn rejection_keeps_the_measure_in_conditional_and_logarithmic_spaces() {
    let outline = constrained(
        vec![
            entry("kind", "a|b"),
            entry("x", "0..1"),
            entry("lr", "log:1e-4..1").when("kind == 'a'").unwrap(),
            entry("y", "0..1").when("kind == 'b'").unwrap(),
        ],
        &["x + lr <= 1", "y <= 0.5 * x"],
    );
    let drawn = draws(&outline, 20_000, Means::Rejection);
    let cell = |config: &Config| {
        let other = config.float("lr").map_or_else(|_| config.float("y").unwrap(), |lr| (lr.log10() + 4.0) / 4.0);
        let x = config.float("x").unwrap();
        format!("{} {} {}", config.text("kind").unwrap(), (x * 4.0) as u32, (other * 4.0) as u32)
    };
    assert_like_rejection(&outline, &drawn, cell, 60_000);
    let rate = Feasible::new(&outline).unwrap().rate();
    // b: a quarter of it; a: 1 - the mean of lr, (1 - 1e-4) / ln 1e4.
    let exact = 0.5 * 0.25 + 0.5 * (1.0 - 0.9999 / 1e4_f64.ln());
    assert!((rate - exact).abs() < 0.04, "{rate}, {exact}");
}

/// Five numbers in order: one in 120 draws. Every gap of the ordered numbers has the same distribution, and the k-th is
/// a Beta(k, 6 - k) variable.
#[test]
fn hit_and_run_is_uniform_on_a_simplex() {
    let names = ["a", "b", "c", "d", "e"];
    let outline =
        constrained(names.iter().map(|name| entry(name, "0..1")).collect(), &["a <= b", "b <= c", "c <= d", "d <= e"]);
    let drawn = draws(&outline, 6000, Means::HitAndRun);
    // P(the k-th smallest of 5 <= x) = Σ_{j >= k} C(5, j) x^j (1 - x)^(5 - j).
    let below = |k: i32, x: f64| {
        let choose = [1.0, 5.0, 10.0, 10.0, 5.0, 1.0];
        (k..=5).map(|j| choose[j as usize] * x.powi(j) * (1.0 - x).powi(5 - j)).sum::<f64>()
    };
    for (k, name) in (1..).zip(names) {
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        for cell in 0..10 {
            let share = below(k, f64::from(cell + 1) / 10.0) - below(k, f64::from(cell) / 10.0);
            // Cells at the far end are nearly empty; they are drawn together.
            let key = if share * 6000.0 < 20.0 { "rare".to_owned() } else { cell.to_string() };
            *shares.entry(key).or_default() += share;
        }
        let keys: Vec<String> = shares.keys().cloned().collect();
        let cell = |config: &Config| {
            let cell = ((config.float(name).unwrap() * 10.0) as u32).to_string();
            if keys.contains(&cell) { cell } else { "rare".to_owned() }
        };
        if shares.get("rare").is_some_and(|share| share * 6000.0 < 5.0) {
            let rare = shares.remove("rare").unwrap();
            assert!(drawn.iter().filter(|config| cell(config) == "rare").count() < 20, "{rare}");
            let usual: Vec<Config> = drawn.iter().filter(|config| cell(config) != "rare").cloned().collect();
            assert_fits(&usual, cell, &shares);
        } else {
            assert_fits(&drawn, cell, &shares);
        }
    }
}

/// A thin band across the square, a thousand times longer than wide: steps along the axes alone would never get along.
#[test]
fn hit_and_run_follows_a_thin_band() {
    let outline = constrained(vec![entry("a", "0..1"), entry("b", "0..1")], &["a - b <= 0.0005", "b - a <= 0.0005"]);
    let drawn = draws(&outline, 4000, Means::HitAndRun);
    let shares: BTreeMap<String, f64> = (0..10).map(|cell| (cell.to_string(), 1.0)).collect();
    assert_fits(&drawn, |config| ((config.float("a").unwrap() * 10.0) as u32).to_string(), &shares);
}

/// Whole, logarithmic and plain numbers together, against plain draws.
#[test]
fn hit_and_run_agrees_with_rejection() {
    let outline = constrained(
        vec![
            entry("n", "int:1..40"),
            entry("lr", "log:1e-3..1"),
            entry("x", "0..1"),
            entry("y", "0..1"),
            entry("z", "0..1"),
        ],
        &["n <= 20 * lr", "x <= lr", "y <= x", "n >= 20 * x", "z <= 0.5 * y"],
    );
    let drawn = draws(&outline, 4000, Means::HitAndRun);
    let cell = |config: &Config| {
        let (n, lr) = (config.int("n").unwrap(), config.float("lr").unwrap());
        format!("{} {}", n / 8, (lr * 4.0) as u32)
    };
    assert_like_rejection(&outline, &drawn, cell, 1_500_000);
    let cell = |config: &Config| {
        format!("{} {}", (config.float("x").unwrap() * 6.0) as u32, (config.float("y").unwrap() * 8.0) as u32)
    };
    assert_like_rejection(&outline, &drawn, cell, 1_500_000);
}
