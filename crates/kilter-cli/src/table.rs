//! Plain tables: columns apart by two spaces, numbers to the right, no frame. On a terminal they are as wide as it is, and
//! cells of text are broken between words; in a pipe a row is a line. A row of one cell is the heading of those below it.

use console::{Term, measure_text_width};

/// No column is made narrower than this.
const NARROWEST: usize = 12;

/// How many columns a terminal has; nothing where the output is none.
pub fn columns(term: &Term) -> Option<usize> {
    term.is_term().then(|| term.size_checked()).flatten().map(|(_, columns)| usize::from(columns))
}

/// Is no line wider than the terminal (120 columns where there is none)?
pub fn fits_terminal(text: &str) -> bool {
    text.lines().map(measure_text_width).max().unwrap_or(0) <= columns(&Term::stdout()).unwrap_or(120)
}

/// A table as wide as the terminal at most, if its texts can be broken so far.
pub fn table(header: &[String], rows: Vec<Vec<String>>) -> String {
    fitted(header, rows, columns(&Term::stdout()))
}

/// A table as wide as its cells. A hundred thousand rows take no time.
pub fn wide_table(header: &[String], rows: Vec<Vec<String>>) -> String {
    fitted(header, rows, None)
}

fn fitted(header: &[String], rows: Vec<Vec<String>>, most: Option<usize>) -> String {
    let is_number = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty() && *cell != "–");
        cells.clone().next().is_some() && cells.all(|cell| cell.trim_end_matches([' ', 's']).parse::<f64>().is_ok())
    };
    let right: Vec<bool> = (0..header.len()).map(is_number).collect();
    let lines = || std::iter::once(header).chain(rows.iter().map(Vec::as_slice));
    let is_heading = |row: &[String]| row.len() == 1 && header.len() > 1;
    let mut widths = vec![0; header.len()];
    for row in lines().filter(|row| !is_heading(row)) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = measure_text_width(cell).max(*width);
        }
    }
    let natural = widths.clone();
    if let Some(most) = most {
        let cells = |column: usize| {
            lines().filter(|row| !is_heading(row)).filter_map(move |row| Some(row.get(column)?.as_str()))
        };
        if widths.iter().map(|width| width + 2).sum::<usize>() > most {
            let words: Vec<usize> =
                (0..header.len()).map(|column| cells(column).map(longest_word).max().unwrap_or(0)).collect();
            narrow(&mut widths, &right, &words, most);
        }
    }
    let mut text = String::new();
    for row in lines() {
        if let ([heading], true) = (row, is_heading(row)) {
            text.push_str(&format!("\n  {heading}\n"));
            continue;
        }
        let cells: Vec<Vec<String>> = row
            .iter()
            .zip(widths.iter().zip(&natural))
            .map(|(cell, (width, natural))| if width < natural { broken(cell, *width) } else { vec![cell.clone()] })
            .collect();
        for i in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut line = String::new();
            for ((cell, width), right) in cells.iter().zip(&widths).zip(&right) {
                let cell = cell.get(i).map_or("", String::as_str);
                let gap = " ".repeat(width.saturating_sub(measure_text_width(cell)));
                let (before, behind) = if *right { (gap.as_str(), "") } else { ("", gap.as_str()) };
                for part in ["  ", before, cell, behind] {
                    line.push_str(part);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text.pop();
    text
}

/// Makes the widest columns of text narrower until the table is `most` wide, or none can be narrower: first as far as no
/// word is cut.
fn narrow(widths: &mut [usize], right: &[bool], words: &[usize], most: usize) {
    for cut_words in [false, true] {
        while widths.iter().map(|width| width + 2).sum::<usize>() > most {
            let least = |word: usize| if cut_words { NARROWEST } else { word.max(NARROWEST) };
            let columns = widths.iter_mut().zip(right.iter().zip(words));
            let text = columns.filter(|(width, (right, word))| !**right && **width > least(**word));
            match text.map(|(width, _)| width).max_by_key(|width| **width) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
    }
}

/// The pieces of a cell that are only cut where there is no room.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive([' ', '|', ',', '/'])
}

fn longest_word(text: &str) -> usize {
    words(text).map(|word| measure_text_width(word.trim_end())).max().unwrap_or(0)
}

/// `text` in lines of `width` at most: broken at spaces, behind `|` `,` and `/`, and within a word that is longer still.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words(text) {
        let bare = word.trim_end();
        let line = lines.last_mut().map_or(0, |line| measure_text_width(line));
        if line > 0 && line + measure_text_width(bare) > width {
            lines.push(String::new());
        }
        let mut rest = word;
        while measure_text_width(rest.trim_end()) > width {
            let cut = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
            if let Some(line) = lines.last_mut() {
                line.push_str(&rest[..cut]);
            }
            lines.push(String::new());
            rest = &rest[cut..];
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(rest);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Sentences broken between words at `most` columns. A line that is a command stays whole: it may be copied.
pub fn wrapped(text: &str, most: Option<usize>) -> String {
    let Some(most) = most else { return text.to_owned() };
    let line = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        if measure_text_width(line) <= most || line.trim_start().starts_with("kilter ") {
            return line.to_owned();
        }
        let (mut whole, mut width) = (indent.to_owned(), indent.len());
        for (i, word) in line.split_whitespace().enumerate() {
            let wide = measure_text_width(word);
            if i > 0 && width + 1 + wide > most {
                whole.push('\n');
                whole.push_str(indent);
                whole.push_str("  ");
                width = indent.len() + 2;
            } else if i > 0 {
                whole.push(' ');
                width += 1;
            }
            whole.push_str(word);
            width += wide;
        }
        whole
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{fitted, wrapped};

    fn told(most: Option<usize>) -> Vec<String> {
        let header = ["name", "domain", "loss", "what it does"].map(str::to_owned);
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = vec![
            row(["family", "logistic_regression|decision_tree|knn", "0.5", "kind of model, of three kinds"]),
            row(["c", "0..1", "12.25", "–"]),
        ];
        fitted(&header, rows, most).lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_where_there_is_room() {
        let expected = [
            "  name    domain                                  loss  what it does",
            "  family  logistic_regression|decision_tree|knn    0.5  kind of model, of three kinds",
            "  c       0..1                                   12.25  –",
        ];
        assert_eq!(told(None), expected);
        assert_eq!(told(Some(200)), expected);
    }

    #[test]
    fn a_table_is_broken_between_words_where_a_terminal_is_narrow() {
        assert_eq!(
            told(Some(60)),
            [
                "  name    domain                  loss  what it does",
                "  family  logistic_regression|     0.5  kind of model, of",
                "          decision_tree|knn             three kinds",
                "  c       0..1                   12.25  –",
            ]
        );
        let narrow = told(Some(30));
        assert!(narrow.iter().any(|line| line.contains("logistic_reg")), "{narrow:#?}");
    }

    #[test]
    fn no_word_is_cut_where_another_column_has_room_and_headings_take_none() {
        let header = ["name", "what it does"].map(str::to_owned);
        let rows = vec![
            vec!["boosting.min_samples_leaf".to_owned(), "rows of a leaf at least".to_owned()],
            vec!["when family == 'knn', which is a heading".to_owned()],
            vec!["a".to_owned(), "b".to_owned()],
        ];
        assert_eq!(
            fitted(&header, rows, Some(44)).lines().collect::<Vec<_>>(),
            [
                "  name                       what it does",
                "  boosting.min_samples_leaf  rows of a leaf",
                "                             at least",
                "",
                "  when family == 'knn', which is a heading",
                "  a                          b",
            ]
        );
    }

    #[test]
    fn sentences_are_broken_and_commands_are_not() {
        let text = "one two three four\n  kilter resume something --trials 100\n  five six seven eight";
        let told = "one two three\n  four\n  kilter resume something --trials 100\n  five six\n    seven eight";
        assert_eq!(wrapped(text, Some(15)), told);
        assert_eq!(wrapped(text, None), text);
    }
}
