//! A chart as data: two axes, and what is marked between them. Whoever draws it (`svg`, `page`, `terminal`, Plotly)
//! shows the same.

use serde_json::{Value, json};

use crate::figure::{Figure, numbers};

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What it measures, with its unit.
    pub title: String,
    /// Equal factors are equally far apart; what is not above 0 is not drawn.
    pub log: bool,
}

impl Scale {
    /// Equal differences are equally far apart.
    pub fn linear(title: &str) -> Self {
        Self { title: title.to_owned(), log: false }
    }

    /// Equal factors are equally far apart.
    pub fn log(title: &str) -> Self {
        Self { title: title.to_owned(), log: true }
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through its points.
    Line,
    /// A broken line: bounds, intervals, what is asked for.
    Dashes,
    /// Its points.
    Points,
    /// A bar for each category, on top of the series before it; x is the category's place.
    Bars,
}

/// What is drawn in one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// (x, y). What is not finite is left out, and a line is broken there.
    pub points: Vec<(f64, f64)>,
    /// What is said of each point where one asks; empty, or one for each point.
    pub notes: Vec<String>,
    /// Which of the colours it has; its place among the series decides where nothing is said.
    pub colour: Option<usize>,
}

impl Series {
    /// A series without notes.
    pub fn new(name: &str, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), mark, points, notes: Vec::new(), colour: None }
    }

    /// Bars of these heights, one for each category.
    pub fn bars(name: &str, heights: impl IntoIterator<Item = f64>) -> Self {
        let points = heights.into_iter().enumerate().map(|(at, height)| (at as f64, height)).collect();
        Self::new(name, Mark::Bars, points)
    }

    /// In this colour: what belongs together has the same.
    #[must_use]
    pub fn coloured(mut self, colour: usize) -> Self {
        self.colour = Some(colour);
        self
    }

    /// With a note for each point.
    #[must_use]
    pub fn noted(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What one must know to read it; may be empty.
    pub note: String,
    /// From left to right.
    pub x: Scale,
    /// From bottom to top.
    pub y: Scale,
    /// Names along x, for bars; empty otherwise.
    pub categories: Vec<String>,
    /// What is drawn, the last on top.
    pub series: Vec<Series>,
}

impl Chart {
    /// An empty chart.
    pub fn new(title: &str, x: Scale, y: Scale) -> Self {
        Self { title: title.to_owned(), note: String::new(), x, y, categories: Vec::new(), series: Vec::new() }
    }

    /// With one more series.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// With names along x.
    #[must_use]
    pub fn of_categories(mut self, categories: Vec<String>) -> Self {
        self.categories = categories;
        self
    }

    /// With what one must know to read it.
    #[must_use]
    pub fn saying(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// As Plotly draws it.
    pub fn figure(&self) -> Figure {
        let trace = |series: &Series| {
            let axis = |of: fn(&(f64, f64)) -> f64| numbers(series.points.iter().map(of));
            let (x, y) = (axis(|point| point.0), axis(|point| point.1));
            let text = (!series.notes.is_empty()).then_some(&series.notes);
            match series.mark {
                Mark::Bars => {
                    let names: Vec<&String> =
                        series.points.iter().filter_map(|point| self.categories.get(point.0 as usize)).collect();
                    json!({ "type": "bar", "name": series.name, "x": names, "y": y, "text": text })
                }
                Mark::Points => {
                    json!({ "type": "scatter", "mode": "markers", "name": series.name, "x": x, "y": y, "text": text })
                }
                mark => json!({
                    "type": "scatter", "mode": "lines", "name": series.name, "x": x, "y": y, "text": text,
                    "line": { "dash": if mark == Mark::Dashes { "dash" } else { "solid" } },
                }),
            }
        };
        let kind = |scale: &Scale| -> Value { json!({ "type": if scale.log { "log" } else { "linear" } }) };
        let x = if self.categories.is_empty() {
            kind(&self.x)
        } else {
            json!({ "type": "category", "categoryarray": self.categories })
        };
        Figure::new(&self.title, &self.x.title, &self.y.title, self.series.iter().map(trace).collect())
            .with("xaxis", x)
            .with("yaxis", kind(&self.y))
            .with("barmode", json!("stack"))
    }

    /// The bars of a category from bottom to top: which series, where it begins, how high it is.
    pub(crate) fn stack(&self, category: usize) -> Vec<(usize, f64, f64)> {
        let mut top = 0.0;
        let mut stack = Vec::new();
        for (at, series) in self.series.iter().enumerate().filter(|(_, series)| series.mark == Mark::Bars) {
            let found = series.points.iter().find(|point| point.0 as usize == category && point.1.is_finite());
            if let Some((_, height)) = found {
                stack.push((at, top, *height));
                top += height;
            }
        }
        stack
    }

    /// What each axis spans.
    pub(crate) fn frame(&self) -> (Span, Span) {
        let all = || self.series.iter().filter(|series| series.mark != Mark::Bars).flat_map(|s| s.points.iter());
        if self.categories.is_empty() {
            return (
                Span::of(self.x.log, all().map(|point| point.0)),
                Span::of(self.y.log, all().map(|point| point.1)),
            );
        }
        let tops =
            (0..self.categories.len()).filter_map(|c| self.stack(c).last().map(|(_, from, height)| from + height));
        let x = Span { log: false, low: -0.5, high: self.categories.len() as f64 - 0.5 };
        let mut y = Span::of(self.y.log, tops.chain(all().map(|point| point.1)));
        if !self.y.log {
            y.low = 0.0;
        }
        (x, y)
    }
}

/// The part of an axis that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    log: bool,
    low: f64,
    high: f64,
}

impl Span {
    /// All that can be shown, and a little air.
    fn of(log: bool, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite() && (!log || *value > 0.0)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = if log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let (from, to) = if log { (low.ln(), high.ln()) } else { (low, high) };
        let air = match to - from {
            0.0 if log => 1.0,
            0.0 => 0.5 * from.abs().max(1.0),
            length => 0.04 * length,
        };
        // What is never below 0 has no air there.
        let (from, to) = (if !log && from >= 0.0 { (from - air).max(0.0) } else { from - air }, to + air);
        if log { Self { log, low: from.exp(), high: to.exp() } } else { Self { log, low: from, high: to } }
    }

    /// How far along the axis a value lies, 0 to 1; nothing if it cannot be shown.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || (self.log && value <= 0.0) {
            return None;
        }
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share)
    }

    /// The value a share of the way along the axis.
    pub(crate) fn value(&self, share: f64) -> f64 {
        if self.log { self.low * (self.high / self.low).powf(share) } else { self.low + share * (self.high - self.low) }
    }

    /// Round values to mark, about five.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let inside = |value: &f64| self.place(*value).is_some();
        if self.log {
            let (from, to) = (self.low.log10(), self.high.log10());
            let every = ((to - from) / 6.0).ceil().max(1.0) as i32;
            let digits: &[f64] = match to - from {
                span if span > 3.0 => &[1.0],
                span if span > 0.7 => &[1.0, 2.0, 5.0],
                _ => return self.round_steps().into_iter().filter(inside).collect(),
            };
            let decades = (from.floor() as i32..=to.ceil() as i32).filter(|decade| decade.rem_euclid(every) == 0);
            return decades
                .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
                .filter(inside)
                .collect();
        }
        self.round_steps().into_iter().filter(inside).collect()
    }

    fn round_steps(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// A number beside an axis: at most four digits.
pub(crate) fn label(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // A step's multiples carry dust of rounding, which four digits sweep away.
    let scientific = format!("{value:.3e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-3..5).contains(&power) {
        let text = format!("{value:.*}", usize::try_from(3 - power).unwrap_or(0));
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}
