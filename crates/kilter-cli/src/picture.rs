//! A picture of a study for the terminal: every trial a dot, the best so far a line.

use kilter_plot::Dots;
use kilter_study::Better;

use crate::style::short;

/// Rows of characters; each is four dots high.
const ROWS: usize = 8;

/// Characters a row; each is two dots wide.
const COLUMNS: usize = 60;

/// From so many trials on, the worst tenth may lie outside of the picture: one bad trial would leave the others a line.
const MANY: usize = 10;

/// The course of a search: `trials` are numbers and values of complete trials in their order. Empty below two trials.
pub fn course(trials: &[(u64, f64)], metric: &str, better: Better) -> String {
    let (Some(first), Some(last)) = (trials.first(), trials.last()) else { return String::new() };
    if first.0 == last.0 {
        return String::new();
    }
    let (low, high) = range(trials, better);
    let across = |number: u64| {
        ((number - first.0) as f64 / (last.0 - first.0) as f64 * (COLUMNS * 2 - 1) as f64).round() as usize
    };
    let down = |value: f64| {
        let share = if high > low { (high - value) / (high - low) } else { 1.0 };
        (share.clamp(0.0, 1.0) * (ROWS * 4 - 1) as f64).round() as usize
    };
    let mut dots = Dots::new(COLUMNS, ROWS);
    let (mut outside, mut best, mut before) = (0, f64::NAN, None::<(usize, usize)>);
    for (number, value) in trials {
        if (low..=high).contains(value) {
            dots.set(across(*number), down(*value));
        } else {
            outside += 1;
        }
        if best.is_nan() || better.prefers(*value, best) {
            best = *value;
        }
        // The line goes on level and then steps to the new best.
        let (x, y) = (across(*number), down(best));
        if let Some((x_before, y_before)) = before {
            (x_before..=x).for_each(|x| dots.set(x, y_before));
            (y.min(y_before)..=y.max(y_before)).for_each(|y| dots.set(x, y));
        }
        before = Some((x, y));
    }
    let labels = [short(high), short(low)];
    let width = labels.iter().map(String::len).max().unwrap_or(0);
    let mut lines = vec![format!("  {metric} by trial, and the best so far")];
    for row in 0..ROWS {
        let label = if row == 0 {
            &labels[0]
        } else if row == ROWS - 1 {
            &labels[1]
        } else {
            ""
        };
        let axis = if label.is_empty() { '│' } else { '┤' };
        lines.push(format!("  {label:>width$} {axis}{}", dots.row(row)));
    }
    let (from, to) = (first.0.to_string(), last.0.to_string());
    let gap = COLUMNS.saturating_sub(from.len() + to.len());
    lines.push(format!("  {:>width$} └{}", "", "─".repeat(COLUMNS)));
    lines.push(format!("  {:>width$}  {from}{}{to}", "", " ".repeat(gap)));
    if outside > 0 {
        let (trials, lie) = if outside == 1 { ("trial", "lies") } else { ("trials", "lie") };
        let side = if better == Better::Lower { "above" } else { "below" };
        lines.push(format!("  {:>width$}  ({outside} {trials} {lie} {side} the picture)", ""));
    }
    lines.join("\n")
}

/// The lowest and the highest value shown: from the best to the worst, of many trials to the worst but a tenth.
fn range(trials: &[(u64, f64)], better: Better) -> (f64, f64) {
    let mut sorted: Vec<f64> = trials.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(|a, b| better.as_loss(*a).total_cmp(&better.as_loss(*b)));
    let last = sorted.len() - 1;
    let shown = if sorted.len() >= MANY { last - sorted.len() / 10 } else { last };
    (sorted[0].min(sorted[shown]), sorted[0].max(sorted[shown]))
}

#[cfg(test)]
mod tests {
    use kilter_study::Better;

    use super::course;

    #[test]
    fn the_best_so_far_is_a_falling_line_and_what_is_far_off_is_counted() {
        let values = [5.0, 4.0, 100.0, 3.0, 4.5, 2.0, 2.5, 1.5, 1.0, 1.2, 0.9, 0.5];
        let trials: Vec<(u64, f64)> = (0..).zip(values).collect();
        let drawn = course(&trials, "loss", Better::Lower);
        insta::assert_snapshot!(drawn);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
        assert!(lines[1].starts_with("    5 ┤") && lines[8].starts_with("  0.5 ┤"), "{drawn}");
        assert!(lines[11].ends_with("(1 trial lies above the picture)"), "{drawn}");
    }

    #[test]
    fn larger_may_be_better_and_little_may_be_known() {
        let drawn = course(&[(3, 0.1), (9, 0.7)], "accuracy", Better::Higher);
        assert!(drawn.contains("0.7 ┤") && drawn.contains("0.1 ┤") && drawn.ends_with('9'), "{drawn}");
        assert_eq!(course(&[(3, 0.1)], "accuracy", Better::Higher), "");
        assert_eq!(course(&[], "accuracy", Better::Higher), "");
        assert!(course(&[(0, 2.0), (1, 2.0)], "loss", Better::Lower).contains("2 ┤"));
    }
}
