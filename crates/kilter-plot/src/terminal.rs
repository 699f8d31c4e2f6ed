//! A chart in a terminal: dots of Braille characters, letters for series, bars of blocks.

use crate::chart::{Chart, Mark, label};

/// A grid of dots, drawn with the 2 x 4 dots of Braille characters.
#[derive(Clone, Debug)]
pub struct Dots {
    columns: usize,
    cells: Vec<u8>,
}

impl Dots {
    /// An empty grid of so many characters.
    pub fn new(columns: usize, rows: usize) -> Self {
        Self { columns, cells: vec![0; columns * rows] }
    }

    /// Sets the dot in column `x` from the left and row `y` from the top; a dot outside is nowhere.
    pub fn set(&mut self, x: usize, y: usize) {
        // The bits of Unicode's Braille patterns, by column and row within a character.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        if x / 2 < self.columns
            && let Some(cell) = self.cells.get_mut(y / 4 * self.columns + x / 2)
        {
            *cell |= BITS[x % 2][y % 4];
        }
    }

    /// One row of characters.
    pub fn row(&self, row: usize) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        cells.iter().filter_map(|bits| char::from_u32(0x2800 + u32::from(*bits))).collect()
    }
}

/// Rows of characters of a drawing.
const ROWS: usize = 14;

/// What bars of the first, second, … series are made of.
const FILLS: [char; 5] = ['█', '▒', '▓', '░', '◆'];

/// More points than these are dots, fewer are letters.
const FEW: usize = 16;

/// The chart in lines of at most `width` characters (40 at least).
pub fn terminal(chart: &Chart, width: usize) -> String {
    let width = width.max(40);
    let drawn = if chart.categories.is_empty() { plane(chart, width) } else { bars(chart, width) };
    let mut lines = vec![format!("  {}", chart.title)];
    lines.extend(drawn);
    let lines: Vec<String> = lines.iter().map(|line| line.chars().take(width).collect()).collect();
    lines.join("\n")
}

fn plane(chart: &Chart, width: usize) -> Vec<String> {
    let (x, y) = chart.frame();
    let (top, bottom) = (y.value(1.0), y.value(0.0));
    let labels = [label(top), label(bottom)];
    let margin = labels.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let columns = (width - margin - 5).min(72);
    let mut dots = Dots::new(columns, ROWS);
    let mut letters: Vec<(usize, usize, char)> = Vec::new();
    let spot = |point: &(f64, f64)| {
        let across = x.place(point.0)? * (columns * 2 - 1) as f64;
        let down = (1.0 - y.place(point.1)?) * (ROWS * 4 - 1) as f64;
        Some((across.round().max(0.0) as usize, down.round().max(0.0) as usize))
    };
    for (at, series) in chart.series.iter().enumerate() {
        let letter = letter(at);
        let mut before: Option<(usize, usize)> = None;
        let few = series.mark == Mark::Points && series.points.len() <= FEW;
        for point in &series.points {
            let here = spot(point);
            match (here, before, series.mark) {
                (Some((px, py)), Some(from), Mark::Line | Mark::Dashes) => {
                    for (k, (dx, dy)) in between(from, (px, py)).into_iter().enumerate() {
                        if series.mark == Mark::Line || k % 4 < 2 {
                            dots.set(dx, dy);
                        }
                    }
                }
                (Some((px, py)), ..) if few => letters.push((px / 2, py / 4, letter)),
                (Some((px, py)), ..) => dots.set(px, py),
                (None, ..) => {}
            }
            before = here;
        }
        if let (false, Some((px, py))) = (few, series.points.iter().rev().find_map(spot)) {
            letters.push((px / 2, py / 4, letter));
        }
    }
    let mut lines = Vec::new();
    for row in 0..ROWS {
        let mut text: Vec<char> = dots.row(row).chars().collect();
        for (column, _, letter) in letters.iter().filter(|(_, line, _)| *line == row) {
            text[*column] = *letter;
        }
        let name = match row {
            0 => &labels[0],
            last if last == ROWS - 1 => &labels[1],
            _ => "",
        };
        let axis = if name.is_empty() { '│' } else { '┤' };
        lines.push(format!("  {name:>margin$} {axis}{}", text.into_iter().collect::<String>()));
    }
    let (from, to) = (label(x.value(0.0)), label(x.value(1.0)));
    let middle = columns.saturating_sub(from.chars().count() + to.chars().count());
    let title: String = chart.x.title.chars().take(middle.saturating_sub(2)).collect();
    lines.push(format!("  {:>margin$} └{}", "", "─".repeat(columns)));
    lines.push(format!("  {:>margin$}  {from}{title:^middle$}{to}", ""));
    lines.push(format!("  up: {}{}", chart.y.title, if chart.y.log { " (log)" } else { "" }));
    lines.extend(legend(chart, width, letter));
    lines
}

fn letter(at: usize) -> char {
    char::from(b'a' + (at % 26) as u8)
}

/// The dots of a straight line.
fn between(from: (usize, usize), to: (usize, usize)) -> Vec<(usize, usize)> {
    let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
    let at =
        |a: usize, b: usize, k: usize| (a as f64 + (b as f64 - a as f64) * k as f64 / steps as f64).round() as usize;
    (0..=steps).map(|k| (at(from.0, to.0, k), at(from.1, to.1, k))).collect()
}

fn bars(chart: &Chart, width: usize) -> Vec<String> {
    let (_, y) = chart.frame();
    let names = chart.categories.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(width / 3);
    let room = width - names - 14;
    let mut lines = Vec::new();
    for (at, name) in chart.categories.iter().enumerate() {
        let (mut bar, mut total) = (String::new(), 0.0);
        for (series, from, height) in chart.stack(at) {
            total = from + height;
            let end = (y.place(total).unwrap_or(0.0) * room as f64).round() as usize;
            let fill = FILLS[series % FILLS.len()];
            (bar.chars().count()..end).for_each(|_| bar.push(fill));
        }
        let name: String = name.chars().take(names).collect();
        lines.push(format!("  {name:<names$} {bar} {}", label(total)));
    }
    lines.push(format!("  {:names$} {}", "", chart.y.title));
    let bars = chart.series.iter().enumerate().filter(|(_, series)| series.mark == Mark::Bars);
    let shown = bars.map(|(at, series)| format!("{} {}", FILLS[at % FILLS.len()], series.name));
    lines.extend(wrapped(shown, width));
    for series in chart.series.iter().filter(|series| series.mark != Mark::Bars) {
        if let Some((_, height)) = series.points.first() {
            lines.push(format!("  {}: {}", series.name, label(*height)));
        }
    }
    lines
}

fn legend(chart: &Chart, width: usize, sign: impl Fn(usize) -> char) -> Vec<String> {
    wrapped(chart.series.iter().enumerate().map(|(at, series)| format!("{} {}", sign(at), series.name)), width)
}

fn wrapped(parts: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.chars().count() + 3 <= width => {
                line.push_str("   ");
                line.push_str(&part);
            }
            _ => lines.push(format!("  {part}")),
        }
    }
    lines
}
