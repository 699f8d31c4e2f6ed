//! The judgement as pictures: regret curves by problem, and mean ranks with the critical difference.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::judge::{Ranks, Section};
use super::problem::text;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Panels beside each other.
const COLUMNS: usize = 4;

/// Below this every regret is as good as none; the logarithmic axis ends here.
const LEAST: f64 = 1e-4;

/// The median configuration's regret; what is worse is cut off.
const MOST: f64 = 1.0;

/// A colour per method, the same in every panel.
fn colour(method: usize) -> RGBColor {
    let (r, g, b) = Palette99::pick(method).to_rgba().rgb();
    RGBColor(r, g, b)
}

/// Mean regret over trials, a panel per problem.
///
/// # Errors
/// If the file cannot be written.
pub fn curves(section: &Section, file: &Path) -> Result<(), String> {
    let rows = section.problems.len().div_ceil(COLUMNS);
    let legend = 20 * (1 + section.methods.len().div_ceil(COLUMNS) as u32) + 14;
    let size = (COLUMNS as u32 * 260, legend + rows as u32 * 180);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    let (head, body) = root.split_vertically(legend);
    let title = format!("{}: mean regret after so many trials; 1 is the median configuration's", section.title);
    let style = ("sans-serif", 14).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    head.draw(&Text::new(title, (10, 14), style)).map_err(text)?;
    for (method, name) in section.methods.iter().enumerate() {
        let (x, y) = ((method % COLUMNS) as i32 * 260 + 10, (method / COLUMNS) as i32 * 20 + 36);
        let line = PathElement::new(vec![(x, y), (x + 24, y)], colour(method).stroke_width(2));
        head.draw(&line).map_err(text)?;
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        head.draw(&Text::new(name.clone(), (x + 30, y), style)).map_err(text)?;
    }
    for ((area, problem), curves) in
        body.split_evenly((rows, COLUMNS)).iter().zip(&section.problems).zip(&section.curves)
    {
        panel(area, problem, curves)?;
    }
    root.present().map_err(text)
}

fn panel(area: &Area<'_>, problem: &str, curves: &[Vec<(f64, f64)>]) -> Result<(), String> {
    let points = || curves.iter().flatten();
    let last = points().map(|point| point.0).fold(2.0, f64::max);
    let least = points().map(|point| point.1).fold(MOST / 10.0, f64::min).max(LEAST);
    // Whole decades: each panel has at least two labels.
    let least = 10_f64.powf(least.log10().floor());
    let mut chart = ChartBuilder::on(area)
        .caption(problem, ("sans-serif", 13))
        .margin(6)
        .margin_right(16)
        .x_label_area_size(18)
        .y_label_area_size(44)
        .build_cartesian_2d(1.0..last, (least..MOST).log_scale())
        .map_err(text)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(5)
        .y_labels(5)
        .label_style(("sans-serif", 10))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()
        .map_err(text)?;
    for (method, curve) in curves.iter().enumerate() {
        let points = curve.iter().map(|&(trials, regret)| (trials, regret.clamp(least, MOST)));
        chart.draw_series(LineSeries::new(points, colour(method).stroke_width(1))).map_err(text)?;
    }
    Ok(())
}

/// Mean ranks on a line; a bar joins methods whose ranks differ by less than the critical difference.
///
/// # Errors
/// If the file cannot be written.
pub fn ranks(section: &Section, ranks: &Ranks, file: &Path) -> Result<(), String> {
    let mut order: Vec<(f64, usize)> =
        ranks.test.mean_ranks.iter().copied().zip(ranks.methods.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bars = cliques(&order, ranks.critical_difference);
    let count = order.len() as i32;
    let (left, right, axis) = (220, 680, 70);
    let below = axis + 14 + 8 * bars.len() as i32;
    let rows = (count + 1) / 2;
    let root = SVGBackend::new(file, (900, (below + 22 * rows + 20) as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    let at = |rank: f64| left + ((rank - 1.0) / f64::from(count - 1).max(1.0) * f64::from(right - left)) as i32;
    let line = |points: Vec<(i32, i32)>, width: u32| {
        root.draw(&PathElement::new(points, BLACK.stroke_width(width))).map_err(text)
    };
    let word = |said: String, place: (i32, i32), side: HPos| {
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
        root.draw(&Text::new(said, place, style)).map_err(text)
    };
    line(vec![(left, axis), (right, axis)], 1)?;
    for tick in 1..=count {
        let x = at(f64::from(tick));
        line(vec![(x, axis - 5), (x, axis)], 1)?;
        word(tick.to_string(), (x, axis - 14), HPos::Center)?;
    }
    let difference = at(1.0 + ranks.critical_difference).min(right);
    line(vec![(left, 34), (difference, 34)], 2)?;
    word(format!("critical difference {:.2}", ranks.critical_difference), (difference + 8, 34), HPos::Left)?;
    let what = format!("{}: mean ranks after {} trials", section.title, ranks.budget);
    word(format!("{what}, {} problems", ranks.test.problems), (left, 14), HPos::Left)?;
    for (number, (low, high)) in bars.iter().enumerate() {
        let y = axis + 10 + 8 * number as i32;
        line(vec![(at(*low) - 3, y), (at(*high) + 3, y)], 3)?;
    }
    for (place, (rank, method)) in order.iter().enumerate() {
        let place = place as i32;
        // The better half hangs to the left, the others to the right, worst first.
        let (row, edge, side) = match place < rows {
            true => (place, left - 10, HPos::Right),
            false => (count - 1 - place, right + 10, HPos::Left),
        };
        let y = below + 22 * row + 8;
        line(vec![(at(*rank), axis), (at(*rank), y), (edge, y)], 1)?;
        let gap = if place < rows { -4 } else { 4 };
        word(format!("{} {rank:.2}", section.methods[*method]), (edge + gap, y), side)?;
    }
    root.present().map_err(text)
}

/// The longest runs of neighbours that lie within the critical difference, as their lowest and highest ranks.
fn cliques(order: &[(f64, usize)], critical_difference: f64) -> Vec<(f64, f64)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for from in 0..order.len() {
        let to = (from..order.len()).rfind(|&to| order[to].0 - order[from].0 < critical_difference).unwrap_or(from);
        // A run within the one before says nothing new.
        if to > from && runs.last().is_none_or(|last| to > last.1) {
            runs.push((from, to));
        }
    }
    runs.into_iter().map(|(from, to)| (order[from].0, order[to].0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_join_what_is_not_told_apart() {
        let order = [(1.0, 0), (1.5, 1), (2.2, 2), (4.0, 3)];
        assert_eq!(cliques(&order, 1.0), [(1.0, 1.5), (1.5, 2.2)]);
        assert_eq!(cliques(&order, 4.0), [(1.0, 4.0)]);
        assert_eq!(cliques(&order, 0.1), []);
    }
}
