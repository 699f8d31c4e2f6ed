//! How it is said: colours, tables, quiet, JSON.

use std::io::{IsTerminal, Write};

use console::Term;
use kilter_space::text::TextError;
use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::args::How;
use crate::fault::Fault;
use crate::table::{columns, wrapped};

/// How this call speaks.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// One JSON document on standard output, nothing else there.
    pub json: bool,
    /// Nothing but the result.
    pub quiet: bool,
    /// More of everything.
    pub verbose: bool,
    /// May standard error be redrawn?
    pub terminal: bool,
    color_out: bool,
    color_err: bool,
}

impl Voice {
    /// From the options and from what the outputs are. `NO_COLOR` counts as `--no-color`.
    pub fn new(how: &How) -> Self {
        let plain = how.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if plain {
            // The progress bar's own colours.
            console::set_colors_enabled_stderr(false);
            console::set_colors_enabled(false);
        }
        Self {
            json: how.json,
            quiet: how.quiet,
            verbose: how.verbose,
            terminal: std::io::stderr().is_terminal(),
            color_out: !plain && !how.json && std::io::stdout().is_terminal(),
            color_err: !plain && std::io::stderr().is_terminal(),
        }
    }

    /// Bold, on standard output.
    pub fn strong(&self, text: &str) -> String {
        if self.color_out { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Dim, on standard output.
    pub fn faint(&self, text: &str) -> String {
        if self.color_out { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Green or red, on standard output.
    pub fn verdict(&self, good: bool, text: &str) -> String {
        let color = if good { 32 } else { 31 };
        if self.color_out { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes a line of the result.
    pub fn say(&self, line: &str) -> Result<(), Fault> {
        Ok(writeln!(std::io::stdout().lock(), "{line}")?)
    }

    /// Writes sentences of the result, broken between words where a terminal is narrow.
    pub fn prose(&self, text: &str) -> Result<(), Fault> {
        self.say(&wrapped(text, columns(&Term::stdout())))
    }

    /// Writes the JSON document.
    pub fn document(&self, document: &impl serde::Serialize) -> Result<(), Fault> {
        let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        serde_json::to_writer_pretty(&mut out, document).map_err(std::io::Error::from)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }

    /// Writes a remark to standard error.
    pub fn remark(&self, line: &str) {
        if !self.quiet {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{}", wrapped(line, columns(&Term::stderr())));
        }
    }

    /// Asks on standard error; the answer is read from standard input.
    pub fn ask(&self, question: &str) {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question}");
        let _ = err.flush();
    }

    /// Shows what is hardly meant, unless nothing but errors is to be told.
    pub fn doubt(&self, doubts: &TextError) {
        if !self.quiet {
            self.point(doubts);
        }
    }

    /// Writes an error to standard error.
    pub fn complain(&self, fault: &Fault) {
        if let Fault::Text(why) = fault {
            return self.point(why);
        }
        if !fault.message().is_empty() {
            let head = if self.color_err { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
            let text = wrapped(&format!("{head} {}", fault.message()), columns(&Term::stderr()));
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

impl Voice {
    /// Shows each thing that is wrong with a text at its place.
    fn point(&self, why: &TextError) {
        let theme = if self.color_err { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let hand = GraphicalReportHandler::new_themed(theme).with_width(WIDTH);
        let mut said = String::new();
        for problem in why.problems() {
            // Writing into a text does not fail.
            let _ = hand.render_report(&mut said, problem);
        }
        let _ = write!(std::io::stderr().lock(), "{}", said.trim_start_matches('\n'));
    }
}

/// How wide messages about a file are at most: a terminal of the usual size.
const WIDTH: usize = 80;

/// Four significant digits, without a tail of zeros: `0.08121` is `0.08121`, `123456.7` is `1.235e5`.
pub fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".to_owned() } else { x.to_string() };
    }
    let magnitude = x.abs().log10().floor() as i32;
    if !(-4..6).contains(&magnitude) {
        let text = format!("{x:.3e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if digits.contains('.') => {
                format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        };
    }
    let text = format!("{x:.*}", usize::try_from(3 - magnitude).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `12.3 MB`.
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            let digits = usize::from(size < 10.0 && unit != "B");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// A picture of `values` in one line, at most `width` characters; the lowest is a low bar. Longer series are cut into
/// stretches, of each of which the last value is shown.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let count = values.len().min(width);
    let shown: Vec<f64> = (0..count).map(|i| values[(i + 1) * values.len() / count - 1]).collect();
    let (low, high) = shown.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let bar = |v: f64| {
        let share = if high > low { (v - low) / (high - low) } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    shown.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, short, sparkline};

    #[test]
    fn numbers_are_short_and_lose_no_digit_that_matters() {
        let shown: Vec<String> = [0.0, 0.081_214, 1.0, 12.5, 123_456.7, 1e-7, -0.5, 1_234_567.0].map(short).to_vec();
        assert_eq!(shown, ["0", "0.08121", "1", "12.5", "123457", "1e-7", "-0.5", "1.235e6"]);
    }

    #[test]
    fn durations_and_sizes_read_as_people_say_them() {
        assert_eq!([0.44, 12.0, 200.0, 7500.0].map(duration), ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]);
        assert_eq!([12, 4_500_000, 12_300_000].map(bytes), ["12 B", "4.5 MB", "12 MB"]);
    }

    #[test]
    fn a_sparkline_shows_the_fall_and_fits() {
        assert_eq!(sparkline(&[8.0, 4.0, 1.0], 60), "█▄▁");
        assert_eq!(sparkline(&(0..1000).map(f64::from).collect::<Vec<_>>(), 10).chars().count(), 10);
        assert_eq!(sparkline(&[2.0, 2.0], 60), "▁▁");
        assert_eq!(sparkline(&[], 60), "");
    }
}
