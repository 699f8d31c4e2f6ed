//! The judgement as a table in the terminal.

use std::fmt::Write as _;

use kilter_numerics::compare::Interval;

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

/// Columns of a terminal.
const COLUMNS: usize = 80;

/// Words in lines of a terminal's width, the later ones indented; a word that is wider goes on in the next line.
pub fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut line, mut width) = (String::new(), String::new(), 0);
    for word in text.split(' ') {
        let letters = word.chars().count();
        if width > 0 && width + 1 + letters > COLUMNS {
            lines.push_str(&line);
            lines.push('\n');
            line = " ".repeat(indent);
            width = indent;
        } else if width > 0 {
            line.push(' ');
            width += 1;
        }
        for letter in word.chars() {
            if width == COLUMNS {
                lines.push_str(&line);
                lines.push('\n');
                line = " ".repeat(indent);
                width = indent;
            }
            line.push(letter);
            width += 1;
        }
    }
    lines + &line + "\n"
}

fn or_none(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "–".to_owned())
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
    // Best first, by the ranks of the largest budget at which there are any; those without at the end.
    let mut order: Vec<usize> = (0..section.methods.len()).collect();
    let key = |m: usize| (0..=last).rev().find_map(|b| rank(b, m).map(|r| (last - b, r))).unwrap_or((last + 1, 0.0));
    order.sort_by(|&a, &b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)));
    let _ = writeln!(text, "{}: {} problems\n", section.title, section.problems.len());
    methods(&mut text, section, &order, &rank);
    for ranks in ranks.iter().flatten() {
        let _ = writeln!(
            text,
            "   after {}: ranks further apart than {:.2} differ (Nemenyi); Friedman p = {:.0e}",
            ranks.budget, ranks.critical_difference, ranks.test.p_value
        );
    }
    averages(&mut text, section, &order);
    by_problem(&mut text, section, &order, last);
    text
}

/// Who there is, mean ranks, time per trial.
fn methods(text: &mut String, section: &Section, order: &[usize], rank: &dyn Fn(usize, usize) -> Option<f64>) {
    let widest = COLUMNS - 26 - 8 * section.budgets.len();
    let width = section.methods.iter().map(String::len).max().unwrap_or(6).clamp(6, widest);
    let _ = write!(text, "   {:<width$} {:>7}", "mean rank after", "seeds");
    for budget in &section.budgets {
        let _ = write!(text, " {budget:>7}");
    }
    let _ = writeln!(text, " {:>12}", "CPU a trial");
    for (at, &method) in order.iter().enumerate() {
        let seeds = match section.seeds(method) {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low}-{high}"),
        };
        let name: String = section.methods[method].chars().take(width).collect();
        let _ = write!(text, "{}  {name:<width$} {seeds:>7}", letter(at));
        for budget in 0..section.budgets.len() {
            let _ = write!(text, " {:>7}", or_none(rank(budget, method).map(|rank| format!("{rank:.2}"))));
        }
        let _ = writeln!(text, " {:>12}", or_none(section.cpu_seconds(method).map(time)));
    }
}

/// Mean regrets over all problems with their intervals.
fn averages(text: &mut String, section: &Section, order: &[usize]) {
    let _ = write!(text, "\nmean regret over the problems, with {:.0} % intervals\n   ", CONFIDENCE * 100.0);
    for budget in &section.budgets {
        let _ = write!(text, " {:>23}", format!("after {budget}"));
    }
    text.push('\n');
    for (at, &method) in order.iter().enumerate() {
        let _ = write!(text, "{}  ", letter(at));
        for budget in 0..section.budgets.len() {
            let average = section.average(method, budget);
            let said = average.map(|i| format!("{} ({}–{})", figure(i.estimate), figure(i.low), figure(i.high)));
            let _ = write!(text, " {:>23}", or_none(said));
        }
        text.push('\n');
    }
}

/// Mean regrets on each problem at a budget, some methods at a time.
fn by_problem(text: &mut String, section: &Section, order: &[usize], budget: usize) {
    let said = format!(
        "\nmean regret after {} trials ± half of the {:.0} % interval; * the least, · equal within the spread",
        section.budgets[budget],
        CONFIDENCE * 100.0
    );
    text.push_str(&wrapped(&said, 0));
    let width = section.problems.iter().map(String::len).max().unwrap_or(7);
    const CELL: usize = 13;
    let at_a_time = ((COLUMNS - width.min(COLUMNS / 2)) / CELL).max(1);
    let on = |problem: usize| order.iter().map(|&method| section.on(problem, method, budget)).collect();
    let cells: Vec<Vec<Option<Interval>>> = (0..section.problems.len()).map(on).collect();
    let columns: Vec<usize> = (0..order.len()).collect();
    for some in columns.chunks(at_a_time) {
        let _ = write!(text, "{:width$}", "");
        for &at in some {
            let _ = write!(text, " {:>11} ", letter(at));
        }
        text.push('\n');
        for (name, cells) in section.problems.iter().zip(&cells) {
            let best = cells.iter().flatten().min_by(|a, b| a.estimate.total_cmp(&b.estimate)).copied();
            let _ = write!(text, "{name:<width$}");
            for &at in some {
                let cell = cells[at];
                let mark = match (cell, best) {
                    (Some(cell), Some(best)) if cell.estimate == best.estimate => "*",
                    (Some(cell), Some(best)) if cell.low <= best.high => "·",
                    _ => " ",
                };
                let said = cell.map(|i| format!("{}±{}", figure(i.estimate), figure((i.high - i.low) / 2.0)));
                let _ = write!(text, " {:>11}{mark}", or_none(said));
            }
            text.push('\n');
        }
        text.push('\n');
    }
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
            let on = if w > 0 { format!(" ({})", worse.join(", ")) } else { String::new() };
            let said = format!("{name} beside {other} after {trials}: better on {b}, equal on {e}, worse on {w}{on}");
            text.push_str(&wrapped(&said, 2));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::cell::Searched;
    use super::super::problem::problems;
    use super::*;

    /// However many methods and however long their names, nothing is wider than a terminal.
    #[test]
    fn a_page_fits_the_terminal() {
        let problems = problems(&|_, group| ["nas", "fronts"].contains(&group), None).unwrap();
        let mut methods: Vec<String> = (0..14).map(|at| format!("optuna-tpe-independent{at}")).collect();
        methods.push("tpe:crossed=0.25,candidates=48,gamma=quarter_root,weights=uniform,least_steps=0.25".to_owned());
        let cell = |at: usize| Searched {
            sinks: vec![(1.0, 1.234), (9.0, 0.0123 * at as f64)],
            budget: 200,
            cpu_seconds: 0.3,
        };
        let mut cells = HashMap::new();
        for problem in &problems {
            for (at, method) in methods.iter().enumerate() {
                let seeds = if at == 3 { 2 } else { 3 };
                cells.insert((problem.name.clone(), method.clone()), (0..seeds).map(|seed| cell(at + seed)).collect());
            }
        }
        let problems: Vec<_> = problems.iter().map(|problem| &**problem).collect();
        let section = Section::new(("One goal", "one"), &problems, &methods, &[50, 100, 200], &cells);
        let said = page(&section) + &duels(&section, &methods[..2]);
        assert!(said.contains("nasbench-macro") && said.contains("Nemenyi"));
        for line in said.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }
}
