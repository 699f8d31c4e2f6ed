//! Charts as one HTML page that needs nothing but itself: no script, no font, no address.

use std::fmt::Write as _;

use crate::chart::{Chart, label};
use crate::svg::{escape, svg};

/// Rows of a table that a page shows of each series at most; the drawing has them all.
const ROWS: usize = 200;

/// A page of charts, each with the numbers behind it.
pub fn page(title: &str, charts: &[Chart]) -> String {
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>\n\
         body {{ font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2rem auto; \
         padding: 0 1rem; }}\nsvg {{ width: 100%; height: auto; }}\nfigure {{ margin: 0 0 2rem; }}\n\
         table {{ border-collapse: collapse; margin: .5rem 0; }}\ntd, th {{ padding: .1rem .7rem; text-align: right; \
         border-bottom: 1px solid #ddd; }}\n</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(title)
    );
    for chart in charts {
        let _ = write!(text, "<figure>\n{}", svg(std::slice::from_ref(chart)));
        if !chart.note.is_empty() {
            let _ = writeln!(text, "<figcaption>{}</figcaption>", escape(&chart.note));
        }
        let _ = writeln!(text, "<details><summary>numbers</summary>");
        for series in &chart.series {
            let _ = writeln!(
                text,
                "<table><caption>{}</caption><tr><th>{}</th><th>{}</th></tr>",
                escape(&series.name),
                escape(&chart.x.title),
                escape(&chart.y.title)
            );
            for (x, y) in series.points.iter().take(ROWS) {
                let x = chart.categories.get(*x as usize).map_or_else(|| label(*x), |name| escape(name));
                let _ = writeln!(text, "<tr><td>{x}</td><td>{}</td></tr>", label(*y));
            }
            let _ = writeln!(text, "</table>");
            if series.points.len() > ROWS {
                let _ = writeln!(text, "<p>the first {ROWS} of {} rows</p>", series.points.len());
            }
        }
        text.push_str("</details>\n</figure>\n");
    }
    text.push_str("</body>\n</html>\n");
    text
}
