//! Standard test functions in closed form: continuous, conditional, mixed, constrained, with several goals.
//!
//! Branin, Hartmann, Ackley, Rosenbrock, Rastrigin and Lévy as Surjanovic and Bingham's *Virtual Library of Simulation
//! Experiments* has them; the tree of Jenatton et al., *Bayesian Optimization with Tree-structured Dependencies* (2017);
//! the constrained ones of Mishra, *Some New Test Functions for Global Optimization* (2006), and the disk of Parr et al.
//! (2012); Zitzler, Deb and Thiele, *Comparison of Multiobjective Evolutionary Algorithms* (2000).

use std::f64::consts::{E, PI, TAU};

use kilter_space::{Config, Entry};

use super::{Best, Collector, Objective, Problem, Sketch, entry, text};

/// A function of the numbers in a configuration, in the order of `names`.
struct Plain {
    names: Vec<String>,
    losses: fn(&[f64]) -> Vec<f64>,
    /// Positive outside the constraint.
    outside: fn(&[f64]) -> f64,
}

impl Plain {
    fn numbers(&self, config: &Config) -> Result<Vec<f64>, String> {
        self.names.iter().map(|name| config.float(name).map_err(text)).collect()
    }
}

impl Objective for Plain {
    fn losses(&self, config: &Config) -> Result<Vec<f64>, String> {
        Ok((self.losses)(&self.numbers(config)?))
    }

    fn violation(&self, config: &Config) -> f64 {
        self.numbers(config).map_or(0.0, |numbers| (self.outside)(&numbers).max(0.0))
    }
}

/// A function of a whole configuration.
struct Whole(fn(&Config) -> Result<f64, String>);

impl Objective for Whole {
    fn losses(&self, config: &Config) -> Result<Vec<f64>, String> {
        Ok(vec![(self.0)(config)?])
    }
}

fn nowhere(_: &[f64]) -> f64 {
    -1.0
}

/// Floats `x1…` in boxes.
fn boxes(domains: &[&str]) -> Result<Vec<Entry>, String> {
    domains.iter().enumerate().map(|(i, domain)| entry(&format!("x{}", i + 1), domain)).collect()
}

fn plain(entries: &[Entry], losses: fn(&[f64]) -> Vec<f64>, outside: fn(&[f64]) -> f64) -> Plain {
    Plain { names: entries.iter().map(|entry| entry.name.to_string()).collect(), losses, outside }
}

/// Offers all of them.
pub fn functions(to: &mut Collector<'_>) -> Result<(), String> {
    let mut smooth = |name: &str, domains: &[&str], best: f64, function: fn(&[f64]) -> Vec<f64>| {
        to.offer(name, "functions", || {
            let entries = boxes(domains)?;
            let objective = plain(&entries, function, nowhere);
            let about = format!("{} continuous parameters", entries.len());
            let sketch =
                Sketch { name, group: "functions", about: &about, entries, constraints: &[], goals: 1, steps: 1 };
            Problem::drawn(sketch, objective, Best::Loss(best))
        })
    };
    smooth("branin", &["-5.0..10.0", "0.0..15.0"], BRANIN, |x| vec![branin(x)])?;
    smooth("hartmann6", &["0.0..1.0"; 6], -3.322_368_011_391_339, |x| vec![hartmann6(x)])?;
    smooth("ackley5", &["-15.0..30.0"; 5], 0.0, |x| vec![ackley(x)])?;
    smooth("rosenbrock4", &["-5.0..10.0"; 4], 0.0, |x| vec![rosenbrock(x)])?;
    smooth("rastrigin5", &["-4.0..6.0"; 5], 0.0, |x| vec![rastrigin(x)])?;
    smooth("levy4", &["-10.0..10.0"; 4], 0.0, |x| vec![levy(x)])?;
    smooth("rastrigin-whole", &["int:-12..20"; 5], 0.0, |x| {
        vec![rastrigin(&x.iter().map(|x| x / 4.0).collect::<Vec<f64>>())]
    })?;

    let mut conditional = |name: &str, about: &str, best: f64, entries, function| {
        to.offer(name, "conditional", || {
            let entries: Vec<Entry> = Result::from_iter::<Vec<Result<Entry, String>>>(entries)?;
            let sketch = Sketch { name, group: "conditional", about, entries, constraints: &[], goals: 1, steps: 1 };
            Problem::drawn(sketch, Whole(function), Best::Loss(best))
        })
    };
    let when = |name: &str, domain: &str, condition: &str| entry(name, domain)?.when(condition).map_err(text);
    conditional(
        "tree",
        "two choices deep: four leaves of two continuous parameters each",
        0.1,
        vec![
            entry("x1", "left|right"),
            when("x2", "left|right", "x1 == 'left'"),
            when("x3", "left|right", "x1 == 'right'"),
            when("x4", "-1.0..1.0", "x2 == 'left'"),
            when("x5", "-1.0..1.0", "x2 == 'right'"),
            when("x6", "-1.0..1.0", "x3 == 'left'"),
            when("x7", "-1.0..1.0", "x3 == 'right'"),
            when("r8", "0.0..1.0", "x1 == 'left'"),
            when("r9", "0.0..1.0", "x1 == 'right'"),
        ],
        tree,
    )?;
    conditional(
        "training",
        "what a training asks: logarithmic, whole, ordinal and categorical parameters, some under conditions",
        0.0,
        vec![
            entry("optimizer", "sgd|adam|rmsprop"),
            entry("learning_rate", "log:1e-5..1.0"),
            when("momentum", "0.0..0.99", "optimizer == 'sgd'"),
            when("beta2", "log:1e-4..0.1", "optimizer == 'adam'"),
            entry("weight_decay", "log:1e-7..1e-1"),
            entry("layers", "int:1..6"),
            entry("width", "int:log:16..1024"),
            when("skip", "every|second|none", "layers >= 3"),
            entry("batch", "ordinal:16<32<64<128<256<512"),
            entry("activation", "relu|gelu|tanh|silu"),
            entry("dropout", "0.0..0.6/0.1"),
        ],
        training,
    )?;

    let mut constrained = |name: &str, about: &str, domains: &[&str], best, constraint: &str, function, outside| {
        to.offer(name, "constrained", || {
            let entries = boxes(domains)?;
            let objective = plain(&entries, function, outside);
            let constraints = &[constraint];
            let sketch = Sketch { name, group: "constrained", about, entries, constraints, goals: 1, steps: 1 };
            Problem::drawn(sketch, objective, Best::Loss(best))
        })
    };
    constrained(
        "branin-disk",
        "branin within a disk",
        &["-5.0..10.0", "0.0..15.0"],
        BRANIN,
        "(x1 - 2.5) * (x1 - 2.5) + (x2 - 7.5) * (x2 - 7.5) <= 50",
        |x| vec![branin(x)],
        |x| (x[0] - 2.5).powi(2) + (x[1] - 7.5).powi(2) - 50.0,
    )?;
    constrained(
        "bird-disk",
        "Mishra's bird within a disk, its best near the edge",
        &["-10.0..0.0", "-6.5..0.0"],
        -106.764_536_749_265_4,
        "(x1 + 5) * (x1 + 5) + (x2 + 5) * (x2 + 5) <= 25",
        |x| vec![bird(x)],
        |x| (x[0] + 5.0).powi(2) + (x[1] + 5.0).powi(2) - 25.0,
    )?;
    constrained(
        "mixture",
        "four shares of which a fifth is the rest, the best on an edge of the simplex",
        &["0.0..1.0"; 4],
        0.0,
        "x1 + x2 + x3 + x4 <= 1",
        |x| vec![mixture(x)],
        |x| x.iter().sum::<f64>() - 1.0,
    )?;

    let mut zdt = |name: &str, function: fn(&[f64]) -> Vec<f64>, front: fn(f64) -> f64| {
        to.offer(name, "fronts", || {
            let entries = boxes(&["0.0..1.0"; 10])?;
            let objective = plain(&entries, function, nowhere);
            let about = "two goals, 10 continuous parameters";
            let sketch = Sketch { name, group: "fronts", about, entries, constraints: &[], goals: 2, steps: 1 };
            // Points off the front (ZDT3's lies in pieces) add no volume.
            let front = (0..=20_000).map(|i| f64::from(i) / 20_000.0).map(|x| vec![x, front(x)]).collect();
            Problem::drawn(sketch, objective, Best::Front(front))
        })
    };
    zdt("zdt1", |x| zdt_of(x, |f, g| 1.0 - (f / g).sqrt()), |f| 1.0 - f.sqrt())?;
    zdt("zdt2", |x| zdt_of(x, |f, g| 1.0 - (f / g).powi(2)), |f| 1.0 - f * f)?;
    const WAVE: fn(f64, f64) -> f64 = |f, g| 1.0 - (f / g).sqrt() - f / g * (10.0 * PI * f).sin();
    zdt("zdt3", |x| zdt_of(x, WAVE), |f| 1.0 - f.sqrt() - f * (10.0 * PI * f).sin())
}

/// 5 / (4 π): branin at (π, 2.275) and two more places.
const BRANIN: f64 = 0.397_887_357_729_738_16;

fn branin(x: &[f64]) -> f64 {
    let bowl = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
    bowl * bowl + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0
}

fn hartmann6(x: &[f64]) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let well = |i: usize| {
        let distance: f64 = (0..6).map(|j| A[i][j] * (x[j] - P[i][j]).powi(2)).sum();
        ALPHA[i] * (-distance).exp()
    };
    -(0..4).map(well).sum::<f64>()
}

fn ackley(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let square = x.iter().map(|x| x * x).sum::<f64>() / n;
    let wave = x.iter().map(|x| (TAU * x).cos()).sum::<f64>() / n;
    -20.0 * (-0.2 * square.sqrt()).exp() - wave.exp() + 20.0 + E
}

fn rosenbrock(x: &[f64]) -> f64 {
    x.windows(2).map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2)).sum()
}

fn rastrigin(x: &[f64]) -> f64 {
    x.iter().map(|x| 10.0 + x * x - 10.0 * (TAU * x).cos()).sum()
}

fn levy(x: &[f64]) -> f64 {
    let w: Vec<f64> = x.iter().map(|x| 1.0 + (x - 1.0) / 4.0).collect();
    let Some((last, rest)) = w.split_last() else { return 0.0 };
    let between = |w: &f64| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2));
    (PI * w[0]).sin().powi(2)
        + rest.iter().map(between).sum::<f64>()
        + (last - 1.0).powi(2) * (1.0 + (TAU * last).sin().powi(2))
}

fn tree(config: &Config) -> Result<f64, String> {
    let side = |name: &str| config.text(name).map(|side| side == "left").map_err(text);
    let number = |name: &str| config.float(name).map_err(text);
    let (x, above, r) = match side("x1")? {
        true if side("x2")? => ("x4", 0.1, "r8"),
        true => ("x5", 0.2, "r8"),
        false if side("x3")? => ("x6", 0.3, "r9"),
        false => ("x7", 0.4, "r9"),
    };
    Ok(number(x)?.powi(2) + above + number(r)?)
}

/// Ours: a bowl in the units in which trainings are tuned; its best is 0 and reached: adam, its rate shifted by the
/// width, three layers with a connection past every one.
fn training(config: &Config) -> Result<f64, String> {
    let number = |name: &str| config.float(name).map_err(text);
    let word = |name: &str| config.text(name).map_err(text);
    let (layers, width) = (number("layers")?, number("width")?);
    let away = |x: f64, best: f64, scale: f64| ((x - best) / scale).powi(2);
    let mut loss = match word("optimizer")? {
        "sgd" => 0.05 + away(number("momentum")?, 0.9, 0.5),
        "adam" => away(number("beta2")?.log10(), -3.0, 3.0),
        _ => 0.15,
    };
    // The wider, the lower the rate that suits: both must be found together.
    loss += 0.5 * away(number("learning_rate")?.log10() + 0.5 * (width / 256.0).log2() / 2.0, -3.0, 1.5);
    loss += 0.1 * away(number("weight_decay")?.log10(), -4.0, 2.0);
    loss += 0.2 * away(width.log2(), 8.0, 3.0);
    loss += match layers as i64 {
        3.. if word("skip")? == "every" => 0.05 * away(layers, 3.0, 2.0),
        3.. if word("skip")? == "second" => 0.1 + 0.05 * away(layers, 4.0, 2.0),
        _ => 0.3 + 0.1 * away(layers, 2.0, 1.0),
    };
    loss += 0.05 * away(number("batch")?.log2(), 6.0, 2.0);
    loss += match word("activation")? {
        "gelu" => 0.0,
        "silu" => 0.01,
        "relu" => 0.03,
        _ => 0.2,
    };
    Ok(loss + 0.1 * away(number("dropout")?, 0.2, 0.2))
}

fn bird(x: &[f64]) -> f64 {
    let (cos, sin) = (x[0].cos(), x[1].sin());
    sin * (1.0 - cos).powi(2).exp() + cos * (1.0 - sin).powi(2).exp() + (x[0] - x[1]).powi(2)
}

/// Ours: a bowl whose middle, 0.45 and 0.55 of the first two shares, leaves nothing for the rest, each with its price.
fn mixture(x: &[f64]) -> f64 {
    let rest = 1.0 - x.iter().sum::<f64>();
    (x[0] - 0.45).powi(2) + (x[1] - 0.55).powi(2) + x[2] + 2.0 * x[3] + 0.5 * rest.max(0.0)
}

fn zdt_of(x: &[f64], shape: fn(f64, f64) -> f64) -> Vec<f64> {
    let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / (x.len() - 1) as f64;
    vec![x[0], g * shape(x[0], g)]
}
