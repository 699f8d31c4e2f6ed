//! What charts show, whoever draws them.

use kilter_plot::{Chart, Mark, Scale, Series, page, svg, terminal};
use serde_json::json;

fn curve() -> Chart {
    let points = vec![(1e3, 4.0), (1e5, 3.0), (1e7, f64::NAN), (1e9, 2.5)];
    Chart::new("Loss <of> tokens", Scale::log("tokens"), Scale::linear("loss, nats"))
        .with(Series::new("law", Mark::Line, points))
        .with(
            Series::new("runs", Mark::Points, vec![(1e4, 3.5), (-1.0, 3.0)])
                .noted(vec!["run 0".into(), "run 1".into()]),
        )
}

fn memory() -> Chart {
    let names = ["tp 1", "tp 2", "tp 4"].map(str::to_owned).to_vec();
    Chart::new("Memory", Scale::linear("plan"), Scale::linear("GB"))
        .of_categories(names)
        .with(Series::bars("state", [30.0, 20.0, 10.0]))
        .with(Series::bars("activations", [10.0, 5.0, 2.5]))
        .with(Series::new("device", Mark::Dashes, vec![(-0.5, 64.0), (2.5, 64.0)]))
}

/// Numbers that follow `name="` in a drawing.
fn attribute(text: &str, element: &str, name: &str) -> Vec<f64> {
    let elements = text.split('<').filter(|part| part.starts_with(element));
    let value = |part: &str| part.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok();
    elements.filter_map(value).collect()
}

#[test]
fn a_line_is_broken_where_there_is_no_number_and_what_no_logarithm_has_is_left_out() {
    let drawn = svg(&[curve()]);
    assert_eq!(drawn.matches("<circle").count(), 1 + 1, "one of two points, and the legend's");
    assert!(drawn.contains("<title>run 0</title>") && !drawn.contains("run 1"), "{drawn}");
    assert!(drawn.contains("Loss &lt;of&gt; tokens"));
    let path = drawn.split("<path d=\"").find(|part| part.contains("<title>law</title>"));
    let path = path.unwrap_or_default().split('"').next().unwrap_or_default();
    assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
}

/// Equal factors are equally far apart on a logarithmic axis, and higher values are higher up.
#[test]
fn places_follow_the_axes() {
    let points = vec![(1.0, 0.0), (10.0, 1.0), (100.0, 2.0)];
    let chart = Chart::new("", Scale::log("x"), Scale::linear("y")).with(Series::new("s", Mark::Points, points));
    let drawn = svg(&[chart]);
    let (x, y) = (attribute(&drawn, "circle", "cx"), attribute(&drawn, "circle", "cy"));
    // A tenth of a unit is what the drawing rounds to.
    assert!((x[1] - x[0] - (x[2] - x[1])).abs() < 0.3 && x[1] > x[0] + 100.0, "{x:?}");
    assert!((y[1] - y[0] - (y[2] - y[1])).abs() < 0.3 && y[1] < y[0] - 100.0, "{y:?}");
}

#[test]
fn bars_stand_on_each_other_in_every_drawing() {
    let drawn = svg(&[memory()]);
    let (y, high) = (attribute(&drawn, "rect", "y"), attribute(&drawn, "rect", "height"));
    assert_eq!(y.len(), 6 + 2, "{drawn}");
    for bar in 0..3 {
        // The second series ends where the first begins, and is a third or a quarter as high.
        assert!((y[3 + bar] + high[3 + bar] - y[bar]).abs() < 0.2, "{y:?} {high:?}");
    }
    assert!((high[0] / high[3] - 3.0).abs() < 0.05, "{high:?}");
    let said = terminal(&memory(), 80);
    assert!(said.contains("tp 1 █") && said.contains("▒ 40") && said.contains("device: 64"), "{said}");
    let figure = memory().figure().json();
    assert_eq!(figure["layout"]["barmode"], "stack");
    assert_eq!(figure["data"][0]["x"], json!(["tp 1", "tp 2", "tp 4"]));
}

#[test]
fn a_page_needs_nothing_but_itself_and_holds_the_numbers() {
    let page = page("Plans & costs", &[curve(), memory()]);
    for foreign in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("http://www.w3.org/2000/svg").count(), "only the name of SVG is an address");
    assert!(page.contains("<h1>Plans &amp; costs</h1>") && page.contains("<td>tp 2</td><td>20</td>"));
    assert_eq!(page.matches("<svg").count(), 2);
}

#[test]
fn a_terminal_shows_where_series_end_and_is_as_wide_as_asked() {
    for width in [40, 80, 200] {
        let said = terminal(&curve(), width);
        assert!(said.lines().all(|line| line.chars().count() <= width), "{said}");
    }
    let said = terminal(&curve(), 80);
    let line = |letter: char| said.lines().position(|line| line.contains(['│', '┤']) && line.contains(letter));
    assert!(line('a').is_some() && said.contains("a law") && said.contains("b runs"), "{said}");
    assert!(said.contains("tokens") && said.contains("loss, nats"));
}

#[test]
fn nothing_to_draw_is_drawn_as_nothing() {
    let empty = Chart::new("Empty", Scale::log("x"), Scale::log("y")).with(Series::new("none", Mark::Line, vec![]));
    assert!(svg(std::slice::from_ref(&empty)).contains("Empty") && terminal(&empty, 80).contains("Empty"));
    let one = Chart::new("One", Scale::linear("x"), Scale::linear("y"));
    let one = one.with(Series::new("p", Mark::Points, vec![(3.0, 3.0)]));
    assert_eq!(attribute(&svg(&[one]), "circle", "cx").len(), 2);
}
