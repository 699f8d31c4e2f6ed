//! `kilter measure scaling`: what families of models reach in hours of a device, the laws through that, and where they
//! cross.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use kilter_laws::compute_class::{ClassRun, Comparison, ScalingFit, compare_families, fit_family};
use kilter_laws::power_law::Saturating;
use kilter_plot::{Chart, Mark, Scale, Series};
use kilter_space::nearest;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::figure::Figured;
use crate::look::look_at;
use crate::style::{Voice, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(after_help = "Trials of a study need a hyperparameter class_hours; a table needs columns family, hours and \
                  normalised_perplexity. Of each class the best run counts.\n\nExamples:\n  kilter tune char-gpt --param 'class_hours=0.001|0.002|0.004' --trials 30\n  \
                  kilter measure scaling char-gpt char-qlstm --figure=scaling.html")]
pub struct ScalingArgs {
    /// Studies, a family each, or a CSV with all runs
    #[arg(value_name = "STUDY or FILE", required = true, num_args = 1..)]
    from: Vec<String>,
    /// Which metric of a study it is
    #[arg(long, value_name = "NAME", default_value = "normalised_perplexity")]
    metric: String,
    /// Resamples of each class's runs, for the interval of a crossing
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: usize,
    #[command(flatten)]
    figured: Figured,
    #[command(flatten)]
    storage: InStorage,
}

/// A family's runs and its laws.
struct Family {
    name: String,
    runs: Vec<ClassRun>,
    fit: ScalingFit,
    saturating: Option<Saturating>,
}

/// Runs by family.
type Families = BTreeMap<String, Vec<ClassRun>>;

/// Fits and compares.
pub fn measure(args: &ScalingArgs, voice: &Voice) -> Result<(), Fault> {
    args.figured.check(voice)?;
    let mut runs = Families::new();
    for from in &args.from {
        if Path::new(from).is_file() { of_table(from, &mut runs)? } else { of_study(from, args, &mut runs)? }
    }
    let mut families = Vec::new();
    for (name, runs) in runs {
        let fit = fit_family(&runs).map_err(|why| Fault::call(format!("{name}: {why}")))?;
        let saturating = saturating(&runs).map_err(|why| voice.remark(&format!("{name}: {why}"))).ok();
        families.push(Family { name, runs, fit, saturating });
    }
    let mut crossings = Vec::new();
    for (at, first) in families.iter().enumerate() {
        for second in &families[at + 1..] {
            let found = compare_families(&first.runs, &second.runs, args.resamples, 0).map_err(Fault::call)?;
            crossings.push((first.name.as_str(), second.name.as_str(), found));
        }
    }
    args.figured.draw("Families over hours of a device", voice, || Ok(vec![chart(&families)]))?;
    if voice.json {
        let family = |family: &Family| {
            json!({
                "family": family.name, "fit": family.fit, "saturating": family.saturating, "runs": family.runs.len(),
                "best": best(&family.runs).iter().map(|run| json!({ "hours": run.hours, "perplexity": run.perplexity }))
                    .collect::<Vec<_>>(),
            })
        };
        let crossing = |(first, second, found): &(&str, &str, Comparison)| {
            json!({
                "first": first, "second": second, "crossing_hours": found.crossing_hours.map(|hours| json!({
                    "estimate": hours.estimate, "low": hours.low, "high": finite(hours.high) })),
                "share_crossing": found.share_crossing,
            })
        };
        return voice.document(&json!({
            "families": families.iter().map(family).collect::<Vec<_>>(),
            "crossings": crossings.iter().map(crossing).collect::<Vec<_>>(),
        }));
    }
    // The leaderboard: every class's best first.
    let mut rows: Vec<(f64, f64, Vec<String>)> = Vec::new();
    for family in &families {
        for run in best(&family.runs) {
            let (law, count) =
                (family.fit.at(run.hours), family.runs.iter().filter(|other| other.hours == run.hours).count());
            let cells = [short(run.hours), family.name.clone(), short(run.perplexity), short(law), count.to_string()];
            rows.push((run.hours, run.perplexity, cells.to_vec()));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let header = ["hours", "family", "perplexity", "by its law", "runs"].map(str::to_owned);
    voice.say(&table(&header, rows.into_iter().map(|row| row.2).collect()))?;
    voice.say("")?;
    let rows = families.iter().map(|family| {
        let ScalingFit { a, b, r_squared } = family.fit;
        let floor = family.saturating.map_or("–".to_owned(), |law| short(law.floor));
        vec![family.name.clone(), short(a.exp()), format!("{b:.4}"), format!("{r_squared:.3}"), floor]
    });
    let header = ["family", "at 1 h", "exponent", "R²", "floor"].map(str::to_owned);
    voice.say(&table(&header, rows.collect()))?;
    for (first, second, found) in &crossings {
        voice.say(&match found.crossing_hours {
            Some(hours) => format!(
                "{first} and {second} cross at {} h (95 % {} to {}; {:.0} % of the resamples cross)",
                voice.strong(&short(hours.estimate)),
                short(hours.low),
                if hours.high.is_finite() { short(hours.high) } else { "unknown".to_owned() },
                100.0 * found.share_crossing
            ),
            None => format!("{first} and {second}: no crossing from 1e-3 to 1e7 h"),
        })?;
    }
    let hours = || families.iter().flat_map(|family| family.runs.iter().map(|run| run.hours));
    let (low, high) = hours().fold((f64::INFINITY, 0.0_f64), |(low, high), hours| (low.min(hours), high.max(hours)));
    if crossings.iter().any(|(.., found)| found.crossing_hours.is_some_and(|at| !(low..=high).contains(&at.estimate))) {
        voice.remark(&format!(
            "extrapolated: classes were measured from {} to {} h; a crossing outside of them is a straight line's guess",
            short(low),
            short(high)
        ));
    }
    Ok(())
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The best run of each class, by hours.
fn best(runs: &[ClassRun]) -> Vec<ClassRun> {
    let mut best: Vec<ClassRun> = Vec::new();
    for run in runs {
        match best.iter_mut().find(|other| other.hours == run.hours) {
            Some(other) => other.perplexity = other.perplexity.min(run.perplexity),
            None => best.push(*run),
        }
    }
    best.sort_by(|a, b| a.hours.total_cmp(&b.hours));
    best
}

fn saturating(runs: &[ClassRun]) -> Result<Saturating, String> {
    let best = best(runs);
    if best.len() < 4 {
        return Err(format!("{} classes do not tell where it ends; a floor needs four", best.len()));
    }
    let column = |of: fn(&ClassRun) -> f64| best.iter().map(of).collect::<Vec<f64>>();
    Saturating::fit(&column(|run| run.hours), &column(|run| run.perplexity)).map_err(|why| why.to_string())
}

fn chart(families: &[Family]) -> Chart {
    let all = families.iter().flat_map(|family| &family.runs);
    let (low, high) = all.fold((f64::INFINITY, 0.0_f64), |(low, high), run| (low.min(run.hours), high.max(run.hours)));
    let mut chart =
        Chart::new("Families over hours", Scale::log("hours of the device"), Scale::log("normalised perplexity"));
    for (colour, family) in families.iter().enumerate() {
        let points = family.runs.iter().map(|run| (run.hours, run.perplexity)).collect();
        let at = |k: i32| low / 2.0 * (4.0 * high / low).powf(f64::from(k) / 40.0);
        let line = (0..=40).map(|k| (at(k), family.fit.at(at(k)))).collect();
        let law = Series::new(&format!("{}'s law", family.name), Mark::Line, line);
        chart = chart.with(Series::new(&family.name, Mark::Points, points).coloured(colour)).with(law.coloured(colour));
    }
    chart
}

fn of_study(name: &str, args: &ScalingArgs, runs: &mut Families) -> Result<(), Fault> {
    let (_, entry, history) = look_at(Some(name), &args.storage)?;
    let mut found = Vec::new();
    for row in history.rows() {
        let Some(perplexity) = row.value(&args.metric) else { continue };
        let hours = row.config().float("class_hours").map_err(|_| {
            Fault::call(format!(
                "the trials of {name} have no class_hours; give them some: --param 'class_hours=0.01|0.02'"
            ))
        })?;
        if hours == 0.0 {
            return Err(Fault::call(format!(
                "trial {} of {name} was trained by steps (class_hours = 0); a class is hours above 0",
                row.number
            )));
        }
        found.push(ClassRun { hours, perplexity });
    }
    if found.is_empty() {
        return Err(Fault::call(format!("no trial of {name} has a {}; --metric says another", args.metric)));
    }
    runs.entry(entry.spec.name.clone()).or_default().extend(found);
    Ok(())
}

fn of_table(path: &str, runs: &mut Families) -> Result<(), Fault> {
    let wrong = |why: String| Fault::call(format!("{path}: {why}"));
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|why| wrong(why.to_string()))?;
    let header: Vec<String> =
        reader.headers().map_err(|why| wrong(why.to_string()))?.iter().map(str::to_owned).collect();
    let place = |names: &[&str]| {
        header.iter().position(|column| names.contains(&column.as_str())).ok_or_else(|| {
            let near = nearest(names[0], header.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(" (is it `{near}`?)"));
            wrong(format!("there is no column {}{near}; it needs family, hours and normalised_perplexity", names[0]))
        })
    };
    let (family, hours) = (place(&["family"])?, place(&["hours", "class_hours"])?);
    let perplexity = place(&["normalised_perplexity", "perplexity"])?;
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|why| wrong(why.to_string()))?;
        let number = |at: usize| {
            let cell = record.get(at).unwrap_or_default();
            cell.parse::<f64>()
                .map_err(|_| wrong(format!("line {}: {} is {cell:?}, which is no number", row + 2, header[at])))
        };
        let run = ClassRun { hours: number(hours)?, perplexity: number(perplexity)? };
        runs.entry(record.get(family).unwrap_or_default().to_owned()).or_default().push(run);
    }
    Ok(())
}
