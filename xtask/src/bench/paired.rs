//! Two sides doing the same work in turn: medians, ratios of pairs, a table and a file.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// One figure of both sides, round by round.
pub struct Figure {
    name: String,
    unit: Unit,
    ours: Vec<f64>,
    /// As many as `ours`, or none without a peer.
    theirs: Vec<f64>,
}

/// What a figure counts. Less is better, always.
#[derive(Clone, Copy)]
pub enum Unit {
    Seconds,
    Bytes,
    Trials,
}

impl Unit {
    fn show(self, figure: f64) -> String {
        let units: &[(f64, &str)] = match self {
            Self::Seconds => &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")],
            Self::Bytes => &[(1024.0 * 1024.0, "MiB"), (1024.0, "KiB"), (1.0, "B")],
            Self::Trials => &[(1.0, "trials")],
        };
        let fitting = units.iter().find(|(size, _)| figure.abs() >= *size).or(units.last());
        fitting.map_or_else(String::new, |(size, unit)| {
            let figure = figure / size;
            let digits = if figure.abs() >= 100.0 { 0 } else { 2 - usize::from(figure.abs() >= 10.0) };
            format!("{figure:.digits$} {unit}")
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::Trials => "trials",
        }
    }
}

impl Figure {
    /// A figure whose rounds are taken already.
    pub fn of(name: &str, unit: Unit, rounds: &[(f64, Option<f64>)]) -> Self {
        let (ours, theirs) = rounds.iter().copied().unzip::<f64, Option<f64>, Vec<_>, Vec<_>>();
        Self { name: name.to_owned(), unit, ours, theirs: theirs.into_iter().flatten().collect() }
    }

    /// How many times as much the peer takes: the median over pairs.
    fn ratio(&self) -> Option<f64> {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours).collect();
        median(&ratios)
    }

    fn to_json(&self) -> Value {
        let side = |figures: &[f64]| json!({ "median": median(figures), "rounds": figures });
        let theirs = (!self.theirs.is_empty()).then(|| side(&self.theirs));
        json!({
            "name": self.name,
            "unit": self.unit.name(),
            "kilter": side(&self.ours),
            "peer": theirs,
            "peer_over_kilter": self.ratio(),
        })
    }
}

/// Both sides in turn, `rounds` times, each first as often as the other; `peer` is left out where there is none.
pub fn in_turn<T, P>(
    rounds: usize,
    mut ours: impl FnMut() -> Result<T, String>,
    peer: Option<&mut P>,
    mut theirs: impl FnMut(&mut P) -> Result<T, String>,
) -> Result<Vec<(T, Option<T>)>, String> {
    let Some(peer) = peer else { return (0..rounds).map(|_| Ok((ours()?, None))).collect() };
    let mut round = |number: usize| {
        Ok(if number.is_multiple_of(2) {
            let first = ours()?;
            (first, Some(theirs(peer)?))
        } else {
            let first = theirs(peer)?;
            (ours()?, Some(first))
        })
    };
    (0..rounds).map(&mut round).collect()
}

/// One part of each round.
pub fn part<T>(rounds: &[(T, Option<T>)], of: impl Fn(&T) -> f64) -> Vec<(f64, Option<f64>)> {
    rounds.iter().map(|(ours, theirs)| (of(ours), theirs.as_ref().map(&of))).collect()
}

/// All figures of a run.
pub struct Sheet {
    pub title: &'static str,
    /// The other side with its version, if it could be had.
    pub peer: Option<String>,
    pub quick: bool,
    pub figures: Vec<Figure>,
    /// What was the same on both sides, or was not; printed below the table.
    pub notes: Vec<String>,
}

impl Sheet {
    /// Prints the table and writes the file.
    pub fn publish(&self, file: &Path) -> Result<(), String> {
        println!("\n{}", self.table());
        let sheet = json!({
            "title": self.title,
            "kilter": env!("CARGO_PKG_VERSION"),
            "peer": self.peer,
            "quick": self.quick,
            "cores": std::thread::available_parallelism().map(usize::from).ok(),
            "figures": self.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
            "notes": self.notes,
        });
        let cannot = |why: std::io::Error| format!("cannot write {}: {why}", file.display());
        file.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(cannot)?;
        std::fs::write(file, format!("{sheet:#}\n")).map_err(cannot)?;
        println!("All rounds: {}", file.display());
        Ok(())
    }

    fn table(&self) -> String {
        let mut lines = vec![[
            self.title.to_owned(),
            "kilter".to_owned(),
            self.peer.clone().unwrap_or_else(|| "no peer".to_owned()),
            "peer / kilter".to_owned(),
            "rounds".to_owned(),
        ]];
        for figure in &self.figures {
            let show = |figures: &[f64]| median(figures).map_or_else(|| "–".to_owned(), |m| figure.unit.show(m));
            let ratio = figure.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            let rounds = figure.ours.len().to_string();
            lines.push([figure.name.clone(), show(&figure.ours), show(&figure.theirs), ratio, rounds]);
        }
        let widths: Vec<usize> =
            (0..5).map(|cell| lines.iter().map(|line| line[cell].chars().count()).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for [name, figures @ ..] in &lines {
            let _ = write!(text, "{name:<0$}", widths[0]);
            for (cell, width) in figures.iter().zip(&widths[1..]) {
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_pairs() {
        let figure = Figure::of("f", Unit::Seconds, &[(1.0, Some(2.0)), (1.0, Some(10.0)), (4.0, Some(4.0))]);
        assert_eq!(figure.ratio(), Some(2.0));
        assert_eq!(Figure::of("f", Unit::Seconds, &[(1.0, None)]).ratio(), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn figures_are_shown_in_a_fitting_unit() {
        assert_eq!(Unit::Seconds.show(0.000_012_34), "12.3 µs");
        assert_eq!(Unit::Seconds.show(0.123), "123 ms");
        assert_eq!(Unit::Bytes.show(1536.0), "1.50 KiB");
    }

    #[test]
    fn each_side_is_first_as_often_as_the_other() {
        let order = std::cell::RefCell::new(String::new());
        let say = |who: char| {
            order.borrow_mut().push(who);
            Ok(())
        };
        in_turn(4, || say('k'), Some(&mut ()), |()| say('p')).unwrap();
        assert_eq!(*order.borrow(), "kppkkppk");
    }
}
