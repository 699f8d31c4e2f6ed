//! Spaces: a walk of a thousand questions, a million feasible draws, reading and counting.

use std::hint::black_box;

use kilter_numerics::Stream;
use kilter_space::text::{Document, Format};
use kilter_space::{ByRun, Chooser, Config, Count, Defaults, Entry, Expr, Feasible, Outline, Random, replay};

use super::gauge::{Took, timed};
use super::paired::{Figure, Sheet, Unit};

/// Questions of the long walk.
const QUESTIONS: usize = 1000;
/// Draws of the feasible set.
const DRAWS: u64 = 1_000_000;

/// Measures everything.
pub fn bench(quick: bool) -> Result<Sheet, String> {
    let mut figures = Vec::new();
    let mut measure = |name: &str, per: f64, rounds: usize, work: &dyn Fn(u64) -> Result<(), String>| {
        work(0)?;
        let rounds = (0..rounds).map(|round| timed(|| work(1 + round as u64))).collect::<Result<Vec<_>, _>>()?;
        // Wall above CPU is what others on the machine took: there is no waiting in a walk.
        for (what, of) in [("CPU", (|took| took.cpu_seconds) as fn(&Took) -> f64), ("wall", |took| took.wall_seconds)] {
            let rounds: Vec<(f64, Option<f64>)> = rounds.iter().map(|took| (of(took) / per, None)).collect();
            figures.push(Figure::of(&format!("{name}, {what}"), Unit::Seconds, &rounds));
        }
        Ok::<(), String>(())
    };
    let pick = |full, fast| if quick { fast } else { full };
    let repeats = pick(200, 20);

    let flat = long_walk(|_| None)?;
    let nested = long_walk(|i| (i > 0).then(|| format!("q{} >= 0", i - 1)))?;
    let constrained = Outline::constrained(flat.entries().to_vec(), vec![expr("q0 + q1 <= 1")?]).map_err(text)?;
    let many = |work: &dyn Fn(u64) -> Result<Config, String>, seed: u64| {
        (0..repeats).try_for_each(|i| work(seed * repeats + i).map(|config| drop(black_box(config))))
    };
    let random = |space: &Outline, seed| Random::new(Stream::new(&[seed], "bench")).config(space).map_err(text);
    let per = repeats as f64;
    measure("walk of 1,000 questions, at random", per, 9, &|seed| many(&|seed| random(&flat, seed), seed))?;
    measure("… each under a condition", per, 9, &|seed| many(&|seed| random(&nested, seed), seed))?;
    measure("… with a constraint", per, 9, &|seed| many(&|seed| random(&constrained, seed), seed))?;
    measure("… with the defaults", per, 9, &|seed| many(&|_| Defaults::config(&flat).map_err(text), seed))?;
    let stored = random(&flat, 1)?;
    let replayed = |_| match replay(&stored, &flat).map_err(text)? {
        kilter_space::Fit::Whole(config) => Ok(config),
        other => Err(format!("{other:?}")),
    };
    measure("… replayed", per, 9, &|seed| many(&replayed, seed))?;
    let closure = ByRun::new(|chooser: &mut dyn Chooser| {
        for entry in flat.entries() {
            kilter_space::Ask::ask(chooser, entry.name.as_str(), &entry.domain)?;
        }
        Ok(())
    });
    measure("… asked by a closure", per, 9, &|seed| {
        many(&|seed| Random::new(Stream::new(&[seed], "bench")).config(&closure).map_err(text), seed)
    })?;

    let ten = ten_parameters()?;
    let draws = pick(DRAWS, DRAWS / 20);
    measure("1e6 feasible draws, 10 parameters, 2 constraints", draws as f64 / DRAWS as f64, 5, &|seed| {
        let feasible = Feasible::new(&ten).map_err(text)?;
        let mut stream = Stream::new(&[seed], "draws");
        (0..draws).try_for_each(|_| feasible.config(&mut stream).map(|config| drop(black_box(config))).map_err(text))
    })?;
    let toml = flat.to_toml();
    measure("reading 1,000 parameters of TOML", 1.0, 9, &|_| {
        let document = Document::read("bench.toml", toml.as_bytes(), Format::Toml).map_err(text)?;
        document.space(&[]).and_then(|space| space.outline()).map(|outline| drop(black_box(outline))).map_err(text)
    })?;
    let listed = Outline::constrained(
        (0..6).map(|i| entry(&format!("n{i}"), "int:1..8")).collect::<Result<_, _>>()?,
        vec![expr("n0 + n1 + n2 <= n3 + n4 + n5")?],
    );
    let listed = listed.map_err(text)?;
    measure("counting 262,144 combinations under a constraint", 1.0, 9, &|_| match listed.count().map_err(text)? {
        Count::Exact(count) => {
            black_box(count);
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })?;
    let rate = Feasible::new(&ten).map_err(text)?.rate();
    let notes = vec![format!("Of the ten parameters' configurations {:.0} % are feasible.", rate * 100.0)];
    Ok(Sheet { title: "spaces", peer: None, quick, figures, notes })
}

/// A thousand numbers, each under the condition that `when` gives it.
fn long_walk(when: impl Fn(usize) -> Option<String>) -> Result<Outline, String> {
    let question = |i: usize| {
        let entry = entry(&format!("q{i}"), "0..1")?.default(0.25).map_err(text)?;
        when(i).map_or(Ok(entry.clone()), |when| entry.when(&when).map_err(text))
    };
    Outline::new((0..QUESTIONS).map(question).collect::<Result<_, _>>()?).map_err(text)
}

/// Ten parameters of every kind under two constraints.
pub(super) fn ten_parameters() -> Result<Outline, String> {
    let entries = [
        ("lr", "log:1e-5..1e-1"),
        ("warmup", "int:0..1000"),
        ("steps", "int:100..5000"),
        ("batch", "16|32|64|128|256"),
        ("dropout", "0..0.5/0.05"),
        ("width", "int:log:16..1024"),
        ("depth", "int:1..12"),
        ("optimizer", "adamw|soap|sgd"),
        ("size", "ordinal:s<m<l"),
        ("decay", "0..0.3"),
    ];
    let entries = entries.into_iter().map(|(name, domain)| entry(name, domain)).collect::<Result<_, _>>()?;
    Outline::constrained(entries, vec![expr("warmup < steps")?, expr("batch * depth <= 1024")?]).map_err(text)
}

fn entry(name: &str, domain: &str) -> Result<Entry, String> {
    Entry::new(name, kilter_space::parse_domain(domain).map_err(text)?).map_err(text)
}

fn expr(source: &str) -> Result<Expr, String> {
    Expr::parse(source).map_err(text)
}

fn text(why: impl ToString) -> String {
    why.to_string()
}
