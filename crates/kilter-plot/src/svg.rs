//! Charts as SVG: shapes and text, no script, nothing fetched.

use std::fmt::Write as _;

use crate::chart::{Chart, Mark, Span, label};

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito, *Color Universal Design*, 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];

const WIDTH: f64 = 760.0;
const PLOT_HEIGHT: f64 = 340.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;

/// Charts below each other as one SVG element, 760 units wide, that can stand in a page or in a file of its own.
pub fn svg(charts: &[Chart]) -> String {
    let (mut below, mut height) = (String::new(), 0.0);
    for chart in charts {
        let (drawn, high) = drawn(chart);
        let _ = writeln!(below, "<g transform=\"translate(0 {height})\">\n{drawn}</g>");
        height += high;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\" style=\"background:#fff\">\n{below}</svg>\n"
    )
}

/// One chart and how high it is.
fn drawn(chart: &Chart) -> (String, f64) {
    let (x, y) = chart.frame();
    let names = &chart.categories;
    // Long names of categories lean, and need room below.
    let lean = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) * names.len() > 90;
    let below = if lean { leaning(names) + 16.0 } else { 48.0 };
    let legend = legend(chart, TOP + PLOT_HEIGHT + below);
    let mut text = format!(
        "<title>{0}</title>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"600\">{0}</text>\n",
        escape(&chart.title),
    );
    axes(chart, &x, &y, names, lean, &mut text);
    for at in 0..chart.series.len() {
        series(chart, at, &x, &y, &mut text);
    }
    text.push_str(&legend.0);
    (text, TOP + PLOT_HEIGHT + below + legend.1)
}

/// Where a title can stand below names that lean by 30 degrees: a letter is some 6.4 wide, so 3.2 deep.
fn leaning(names: &[String]) -> f64 {
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    34.0 + 3.2 * longest as f64
}

fn right(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn down(share: f64) -> f64 {
    TOP + (1.0 - share) * PLOT_HEIGHT
}

fn axes(chart: &Chart, x: &Span, y: &Span, names: &[String], lean: bool, text: &mut String) {
    let (left, end, bottom) = (right(0.0), right(1.0), down(0.0));
    for tick in y.ticks() {
        let Some(at) = y.place(tick).map(down) else { continue };
        let _ = writeln!(
            text,
            "<line x1=\"{left}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            label(tick)
        );
    }
    let ticks: Vec<(f64, String)> = if names.is_empty() {
        x.ticks().into_iter().map(|tick| (tick, label(tick))).collect()
    } else {
        names.iter().enumerate().map(|(at, name)| (at as f64, name.clone())).collect()
    };
    for (tick, name) in ticks {
        let Some(at) = x.place(tick).map(right) else { continue };
        if names.is_empty() {
            let _ = write!(text, "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#eee\"/>");
        }
        let (turned, anchor) = match lean {
            true => (format!(" transform=\"rotate(-30 {at:.1} {:.1})\"", bottom + 14.0), "end"),
            false => (String::new(), "middle"),
        };
        let _ = writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{turned}>{}</text>",
            bottom + 16.0,
            escape(&name)
        );
    }
    let _ = writeln!(
        text,
        "<path d=\"M{left} {TOP}V{bottom}H{end}\" fill=\"none\" stroke=\"#444\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (left + end) / 2.0,
        bottom + if lean { leaning(names) } else { 36.0 },
        escape(&chart.x.title),
        (TOP + bottom) / 2.0,
        escape(&chart.y.title)
    );
}

fn series(chart: &Chart, at: usize, x: &Span, y: &Span, text: &mut String) {
    let series = &chart.series[at];
    let colour = COLOURS[series.colour.unwrap_or(at) % COLOURS.len()];
    let spot = |point: &(f64, f64)| Some((right(x.place(point.0)?), down(y.place(point.1)?)));
    let note = |point: usize| {
        let (a, b) = series.points[point];
        let said = series.notes.get(point).map_or_else(
            || {
                let x = chart.categories.get(a as usize).cloned().unwrap_or_else(|| label(a));
                format!("{}: {x}, {}", series.name, label(b))
            },
            Clone::clone,
        );
        format!("<title>{}</title>", escape(&said))
    };
    match series.mark {
        Mark::Line | Mark::Dashes => {
            let mut path = String::new();
            let mut pen_down = false;
            for point in &series.points {
                let Some((px, py)) = spot(point) else {
                    pen_down = false;
                    continue;
                };
                let _ = write!(path, "{}{px:.1} {py:.1}", if pen_down { "L" } else { "M" });
                pen_down = true;
            }
            let dash = if series.mark == Mark::Dashes { " stroke-dasharray=\"6 4\"" } else { "" };
            let _ = writeln!(
                text,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{dash}><title>{}</title></path>",
                escape(&series.name)
            );
        }
        Mark::Points => {
            // Many points are small and let each other through.
            let (radius, opacity) = if series.points.len() > 60 { (2.2, 0.55) } else { (4.0, 0.9) };
            for (i, point) in series.points.iter().enumerate() {
                if let Some((px, py)) = spot(point) {
                    let _ = writeln!(
                        text,
                        "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"{radius}\" fill=\"{colour}\" \
                         fill-opacity=\"{opacity}\">{}</circle>",
                        note(i)
                    );
                }
            }
        }
        Mark::Bars => {
            let width = 0.7 * (WIDTH - LEFT - RIGHT) / chart.categories.len().max(1) as f64;
            for (i, (category, height)) in series.points.iter().enumerate() {
                let stack = chart.stack(*category as usize);
                let Some((_, from, _)) = stack.iter().find(|(owner, ..)| *owner == at) else { continue };
                let middle = x.place(*category).map(right);
                let (Some(middle), Some(low), Some(high)) = (middle, y.place(*from), y.place(from + height)) else {
                    continue;
                };
                let _ = writeln!(
                    text,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\">{}</rect>",
                    middle - width / 2.0,
                    down(high),
                    (down(low) - down(high)).max(0.0),
                    note(i)
                );
            }
        }
    }
}

/// The legend from `from` on, and how high it is.
fn legend(chart: &Chart, from: f64) -> (String, f64) {
    const LINE: f64 = 18.0;
    let (mut text, mut at, mut y) = (String::new(), LEFT, from + LINE);
    for (i, series) in chart.series.iter().enumerate() {
        // Letters of this size are about 6.6 units wide.
        let width = 34.0 + 6.6 * series.name.chars().count() as f64;
        if at > LEFT && at + width > WIDTH - RIGHT {
            (at, y) = (LEFT, y + LINE);
        }
        let colour = COLOURS[series.colour.unwrap_or(i) % COLOURS.len()];
        let sign = match series.mark {
            Mark::Bars => {
                format!("<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"10\" fill=\"{colour}\"/>", y - 9.0)
            }
            Mark::Points => format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", at + 7.0, y - 4.0),
            Mark::Line | Mark::Dashes => format!(
                "<path d=\"M{at:.1} {0:.1}h18\" stroke=\"{colour}\" stroke-width=\"2\"{1}/>",
                y - 4.0,
                if series.mark == Mark::Dashes { " stroke-dasharray=\"6 4\"" } else { "" }
            ),
        };
        let _ = writeln!(text, "{sign}<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>", at + 22.0, escape(&series.name));
        at += width;
    }
    (text, y - from + 14.0)
}

/// Text as XML takes it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
