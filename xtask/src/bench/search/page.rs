//! The judgement as a table in the terminal.

use std::fmt::Write as _;

use super::judge::{CONFIDENCE, Section};

/// `0.0123`, short.
pub fn figure(regret: f64) -> String {
    match regret {
        r if r.abs() >= 9.995 => format!("{r:.0}"),
        r if r.abs() >= 0.9995 => format!("{r:.2}"),
        0.0 => "0".to_owned(),
        r if r.abs() < 0.000_05 => "<.0001".to_owned(),
        r => format!("{r:.4}").replacen("0.", ".", 1),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 1e-2 => format!("{:.0} ms", s * 1e3),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// Letters for columns.
fn letter(at: usize) -> String {
    char::from_digit(at as u32 + 10, 36).map_or_else(|| at.to_string(), |letter| letter.to_string())
}

/// The section's page.
pub fn page(section: &Section) -> String {
    let mut text = String::new();
    let Some(last) = section.budgets.len().checked_sub(1) else { return text };
    let ranks: Vec<_> = (0..=last).map(|budget| section.ranks(budget)).collect();
    let rank = |budget: usize, method: usize| {
        let ranks = ranks[budget].as_ref()?;
        let place = ranks.methods.iter().position(|m| *m == method)?;
        Some(ranks.test.mean_ranks[place])
    };
    let _ = writeln!(text, "{}: {} problems", section.title, section.problems.len());
    let width = section.methods.iter().map(String::len).max().unwrap_or(6).max(6);
    let _ = write!(text, "   {:<width$} seeds", "method");
    for budget in &section.budgets {
        let _ = write!(text, " {:>6}", format!("rk@{budget}"));
    }
    for budget in &section.budgets {
        let _ = write!(text, " {:>6}", format!("@{budget}"));
    }
    let _ = writeln!(text, " {:>13} {:>7}", format!("{:.0} % interval", CONFIDENCE * 100.0), "CPU");
    // Best first, by the ranks of the largest budget at which there are any; those without at the end.
    let mut order: Vec<usize> = (0..section.methods.len()).collect();
    let key = |m: usize| (0..=last).rev().find_map(|b| rank(b, m).map(|r| (last - b, r))).unwrap_or((last + 1, 0.0));
    order.sort_by(|&a, &b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)));
    for (at, &method) in order.iter().enumerate() {
        let seeds = match section.seeds(method) {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low}-{high}"),
        };
        let _ = write!(text, "{}  {:<width$} {seeds:>5}", letter(at), section.methods[method]);
        for budget in 0..=last {
            let _ = write!(text, " {:>6}", rank(budget, method).map_or("–".to_owned(), |rank| format!("{rank:.2}")));
        }
        let averages: Vec<_> = (0..=last).map(|budget| section.average(method, budget)).collect();
        for average in &averages {
            let _ = write!(text, " {:>6}", average.map_or("–".to_owned(), |average| figure(average.estimate)));
        }
        let interval = averages.last().copied().flatten();
        let interval = interval.map_or("–".to_owned(), |i| format!("{}–{}", figure(i.low), figure(i.high)));
        let cpu = section.cpu_seconds(method).map_or("–".to_owned(), time);
        let _ = writeln!(text, " {interval:>13} {cpu:>7}");
    }
    for ranks in ranks.iter().flatten() {
        let _ = writeln!(
            text,
            "   after {}: mean ranks further apart than {:.2} differ (Nemenyi); Friedman's p = {:.2e} over {} problems",
            ranks.budget, ranks.critical_difference, ranks.test.p_value, ranks.test.problems
        );
    }
    let _ =
        writeln!(text, "\nmean regret after {} trials; * the least, · equal within the spread", section.budgets[last]);
    let width = section.problems.iter().map(String::len).max().unwrap_or(7);
    let _ = write!(text, "{:width$}", "");
    for at in 0..order.len() {
        let _ = write!(text, " {:>7}", letter(at));
    }
    text.push('\n');
    for (problem, name) in section.problems.iter().enumerate() {
        let cells: Vec<_> = order.iter().map(|&method| section.on(problem, method, last)).collect();
        let best = cells.iter().flatten().min_by(|a, b| a.estimate.total_cmp(&b.estimate)).copied();
        let _ = write!(text, "{name:<width$}");
        for cell in cells {
            let mark = match (cell, best) {
                (Some(cell), Some(best)) if cell.estimate == best.estimate => "*",
                (Some(cell), Some(best)) if cell.low <= best.high => "·",
                _ => " ",
            };
            let _ = write!(text, " {:>6}{mark}", cell.map_or("–".to_owned(), |cell| figure(cell.estimate)));
        }
        text.push('\n');
    }
    text
}

/// Where each of `ours` stands beside every other method, at the largest budget that both have.
pub fn duels(section: &Section, ours: &[String]) -> String {
    let mut text = String::new();
    let ours: Vec<usize> =
        ours.iter().filter_map(|name| section.methods.iter().position(|method| method == name)).collect();
    for (at, &a) in ours.iter().enumerate() {
        for b in (0..section.methods.len()).filter(|b| !ours[..=at].contains(b)) {
            let sides = |budget: usize| section.against(a, b, budget);
            let Some(budget) = (0..section.budgets.len()).rev().find(|&b| sides(b).iter().any(|s| !s.is_empty()))
            else {
                continue;
            };
            let [better, equal, worse] = sides(budget);
            let (name, other, trials) = (&section.methods[a], &section.methods[b], section.budgets[budget]);
            let (b, e, w) = (better.len(), equal.len(), worse.len());
            let _ = write!(text, "{name} beside {other} after {trials}: better on {b}, equal on {e}, worse on {w}");
            let _ = writeln!(text, "{}", if w > 0 { format!(" ({})", worse.join(", ")) } else { String::new() });
        }
    }
    text
}
