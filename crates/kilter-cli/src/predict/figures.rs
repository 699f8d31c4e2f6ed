//! What predictions look like.

use kilter_laws::compute_class::CLASS_HOURS;
use kilter_laws::laws::{Given, compare as every_law};
use kilter_laws::limits::Quantity;
use kilter_laws::mup::{AbcParam, BaseValues, Optimizer, Role, RuleError, transformer_transfer};
use kilter_laws::power_scheduler::{Fall, PowerConfig, Schedule, ScheduleError};
use kilter_laws::step_law::{Plateau, Run, StepLaw};
use kilter_plot::{Chart, Mark, Scale, Series};

use crate::style::short;

/// Points of a curve.
const POINTS: usize = 80;

/// Values from `low` to `high`, equal factors apart.
fn factors(low: f64, high: f64) -> impl Iterator<Item = f64> + Clone {
    (0..POINTS).map(move |k| low * (high / low).powf(k as f64 / (POINTS - 1) as f64))
}

/// A prediction of the Step Law: each bootstrap fit's answer, the prediction, and the rim of the plateau about it.
/// `plateau` comes with the N and D of the runs it was measured on.
pub fn step_law(law: &StepLaw, parameters: f64, tokens: f64, plateau: Option<(f64, f64, Plateau)>) -> Chart {
    let (rate, batch) = law.coefficients.at(parameters, tokens);
    let title = format!("Step Law at {} parameters, {} tokens", short(parameters), short(tokens));
    let mut chart = Chart::new(&title, Scale::log("learning rate"), Scale::log("batch, tokens"));
    let draws: Vec<(f64, f64)> = law.bootstrap.iter().map(|row| row.at(parameters, tokens)).collect();
    if !draws.is_empty() {
        chart = chart.with(Series::new("bootstrap fits", Mark::Points, draws));
    }
    if let Some((n, d, found)) = plateau {
        let name = format!("loss within 0.25 %, as at {}, {}", short(n), short(d));
        chart = chart.with(Series::new(&name, Mark::Dashes, found.rim_about(rate, batch, POINTS)));
    }
    chart.with(Series::new("prediction", Mark::Points, vec![(rate, batch)]))
}

/// Runs of one size and length that a law was fitted to: the runs near the best, the plateau, what the law says.
pub fn grid(runs: &[Run], found: Option<&Plateau>, advice: (f64, f64), relative: f64) -> Chart {
    let (n, d) = runs.first().map_or((0.0, 0.0), |run| (run.parameters, run.tokens));
    let best = runs.iter().filter_map(|run| run.loss).fold(f64::INFINITY, f64::min);
    let title = format!("Runs at {} parameters, {} tokens", short(n), short(d));
    let mut chart = Chart::new(&title, Scale::log("learning rate"), Scale::log("batch, sequences"));
    // Shades of loss: within the plateau, four times as far, further.
    let shades = [
        ("within", 0.0, relative),
        ("within 4 times", relative, 4.0 * relative),
        ("above", 4.0 * relative, f64::INFINITY),
    ];
    for (name, from, to) in shades {
        let excess = |run: &Run| run.loss.map(|loss| loss / best - 1.0);
        let chosen: Vec<&Run> =
            runs.iter().filter(|run| excess(run).is_some_and(|e| (from..to).contains(&e))).collect();
        let points = chosen.iter().map(|run| (run.learning_rate, run.batch_sequences)).collect();
        let notes = chosen.iter().map(|run| format!("loss {}", run.loss.map_or_else(String::new, short))).collect();
        let name = if to.is_finite() {
            format!("{name} {:.2} % of the best", 100.0 * relative)
        } else {
            format!("{name} that")
        };
        chart = chart.with(Series::new(&name, Mark::Points, points).noted(notes));
    }
    if let Some(found) = found {
        for times in [1.0_f64, 4.0] {
            // A paraboloid's rim grows like the root of its height.
            let wider = Plateau { half_axes: found.half_axes.map(|axis| axis * times.sqrt()), ..*found };
            let rim = wider.rim_about(found.learning_rate, found.batch_sequences, POINTS);
            let name = format!("surface at {:.2} %", 100.0 * relative * times);
            chart = chart.with(Series::new(&name, if times > 1.0 { Mark::Dashes } else { Mark::Line }, rim));
        }
    }
    chart.with(Series::new("fitted law", Mark::Points, vec![advice]))
}

/// Every law's learning rate and batch over the tokens (or the compute), a factor of 30 to either side.
pub fn compare(given: &Given) -> Option<Vec<Chart>> {
    let (what, title, asked) = match (given.tokens, given.compute_flop) {
        (Some(tokens), _) => (Quantity::Tokens, "training tokens", tokens),
        (None, Some(compute)) => (Quantity::ComputeFlop, "compute, operations", compute),
        (None, None) => return None,
    };
    let at = |value: f64| match what {
        Quantity::Tokens => Given { tokens: Some(value), ..*given },
        _ => Given { compute_flop: Some(value), ..*given },
    };
    let answers: Vec<(f64, Vec<_>)> =
        factors(asked / 30.0, asked * 30.0).map(|value| (value, every_law(&at(value)))).collect();
    let names: Vec<&str> = answers[0].1.iter().flatten().map(|answer| answer.law).collect();
    let chart = |quantity: Quantity, y: &str| {
        let mut chart = Chart::new(&format!("{y}: what the laws say"), Scale::log(title), Scale::log(y));
        for name in &names {
            let of = |all: &Vec<Result<kilter_laws::laws::Answer, _>>| {
                all.iter().flatten().find(|answer| answer.law == *name).and_then(|answer| answer.get(quantity))
            };
            let points: Vec<(f64, f64)> = answers.iter().filter_map(|(value, all)| Some((*value, of(all)?))).collect();
            if !points.is_empty() {
                chart = chart.with(Series::new(name, Mark::Line, points));
            }
        }
        chart
    };
    let drawn = [chart(Quantity::LearningRate, "learning rate"), chart(Quantity::BatchTokens, "batch, tokens")];
    Some(drawn.into_iter().filter(|chart| !chart.series.is_empty()).collect())
}

/// The power schedule beside warm-up, stable, decay and a cosine of the same peak, over the tokens of one run.
pub fn schedules(peak: f64, batch_tokens: f64, tokens: f64, config: &PowerConfig) -> Result<Chart, ScheduleError> {
    let total = tokens as u64;
    let (warmup, decay) = (total / 100, total / 10);
    let power = PowerConfig { batch_tokens, warmup_tokens: warmup, ..*config };
    let shape = Fall::ExpZero;
    let all = [
        ("power (a 4, b -0.51)", Schedule::power(&power)?.ending_at(total, decay, shape)?),
        ("warm-up, stable, decay", Schedule::wsd(peak, warmup)?.ending_at(total, decay, shape)?),
        ("cosine to a tenth", Schedule::cosine(peak, peak / 10.0, warmup, total)?),
    ];
    let mut chart =
        Chart::new("Learning rate over a run", Scale::linear("tokens trained"), Scale::linear("learning rate"))
            .saying("Warm-up over 1 % of the tokens, decay over the last 10 %; the peaks are the law's.");
    for (name, schedule) in all {
        let steps = 4 * POINTS as u64;
        let at = |k: u64| total / steps * k;
        let points = (0..=steps).map(|k| (at(k) as f64, schedule.learning_rate(at(k)))).collect();
        chart = chart.with(Series::new(name, Mark::Line, points));
    }
    Ok(chart)
}

/// Tokens over hours of the device, and what was asked for.
pub fn compute_class(tokens_per_second: f64, hours: f64, tokens: f64) -> Chart {
    let (low, high) = (hours.min(CLASS_HOURS[0]), hours.max(CLASS_HOURS[4]));
    let buys = |hours: f64| (hours, tokens_per_second * 3600.0 * hours);
    let classes: Vec<(f64, f64)> = CLASS_HOURS.iter().map(|&hours| buys(hours)).collect();
    let notes = CLASS_HOURS.iter().map(|hours| format!("class of {hours} h")).collect();
    Chart::new("What hours of the device buy", Scale::log("hours"), Scale::log("tokens"))
        .with(Series::new("tokens", Mark::Line, factors(low / 2.0, high * 2.0).map(buys).collect()))
        .with(Series::new("the paper's classes", Mark::Points, classes).noted(notes))
        .with(Series::new("asked", Mark::Points, vec![(hours, tokens)]))
}

/// The learning rate and the deviation of each kind of tensor over widths from the tuned one to the wanted one.
pub fn transfer(
    from: u64,
    to: u64,
    heads: u64,
    optimizer: Optimizer,
    base: &BaseValues,
) -> Result<Vec<Chart>, RuleError> {
    let mut widths: Vec<u64> = factors(from.min(to) as f64, from.max(to) as f64)
        .map(|width| ((width / heads as f64).round() as u64).max(1) * heads)
        .collect();
    widths.dedup();
    let all = widths
        .iter()
        .map(|&width| Ok((width, transformer_transfer(from, width, heads, optimizer, base)?)))
        .collect::<Result<Vec<_>, RuleError>>()?;
    let roles = [(Role::Input, "embeddings, biases, gains"), (Role::Hidden, "matrices inside"), (Role::Output, "head")];
    let chart = |title: &str, of: fn(&kilter_laws::mup::TensorRule) -> f64| {
        let lines = roles.map(|(role, name)| {
            let value =
                |transfer: &kilter_laws::mup::Transfer| transfer.tensors.iter().find(|t| t.role == role).map(of);
            let points = all.iter().filter_map(|(width, transfer)| Some((*width as f64, value(transfer)?))).collect();
            (name.to_owned(), points)
        });
        apart(Chart::new(title, Scale::log("width"), Scale::log(title)), lines)
            .saying(&format!("Tuned at width {from}."))
    };
    Ok(vec![
        chart("learning rate", |tensor| tensor.learning_rate),
        chart("initial deviation", |tensor| tensor.init_std),
        chart("forward multiplier", |tensor| tensor.multiplier),
    ])
}

/// How much each hidden layer's own training moves its output, over widths.
pub fn parametrization(param: &AbcParam) -> Chart {
    let chart = Chart::new(
        "How far training moves each layer",
        Scale::log("width"),
        Scale::log("change of its output, relative to width 64"),
    );
    let exponents = param.change_exponents();
    let lines = exponents.iter().enumerate().map(|(layer, exponent)| {
        let e = *exponent.numer() as f64 / *exponent.denom() as f64;
        let points = factors(64.0, 16_384.0).map(|width| (width, (width / 64.0).powf(-e))).collect();
        (format!("layer {}: width^-({exponent})", layer + 1), points)
    });
    apart(chart, lines)
}

/// Lines, of which those that would hide each other are one.
fn apart(chart: Chart, lines: impl IntoIterator<Item = (String, Vec<(f64, f64)>)>) -> Chart {
    let mut seen: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (name, points) in lines {
        match seen.iter_mut().find(|(_, other)| *other == points) {
            Some((names, _)) => *names = format!("{names}; {name}"),
            None => seen.push((name, points)),
        }
    }
    seen.into_iter().fold(chart, |chart, (name, points)| chart.with(Series::new(&name, Mark::Line, points)))
}

/// Where priors lie: their centre, and one and two spreads about it.
pub fn start(rate: f64, rate_spread: f64, batch: f64, batch_spread: f64, bounds: [(f64, f64); 2]) -> Chart {
    let rim = |times: f64| {
        let at = |k: usize| {
            let (sin, cos) = (std::f64::consts::TAU * k as f64 / POINTS as f64).sin_cos();
            (rate * rate_spread.powf(times * cos), batch * batch_spread.powf(times * sin))
        };
        (0..=POINTS).map(at).collect()
    };
    let [(a, b), (c, d)] = bounds;
    Chart::new("Where to search", Scale::log("learning rate"), Scale::log("batch, sequences"))
        .with(Series::new("the space", Mark::Dashes, vec![(a, c), (b, c), (b, d), (a, d), (a, c)]))
        .with(Series::new("two spreads of the prior", Mark::Dashes, rim(2.0)))
        .with(Series::new("one spread", Mark::Line, rim(1.0)))
        .with(Series::new("centre", Mark::Points, vec![(rate, batch)]))
}
