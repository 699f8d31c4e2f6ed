//! `--figure`: a prediction as a drawing.

use std::path::PathBuf;

use clap::Args;
use console::Term;
use kilter_plot::{Chart, page, svg, terminal};
use serde_json::json;

use crate::fault::Fault;
use crate::style::Voice;
use crate::table::columns;

/// What stands for the terminal.
const HERE: &str = "-";

#[derive(Clone, Debug, Args)]
pub struct Figured {
    /// Draw it too: here, or into a file (.html: a page that works offline; .svg; .json: for Plotly)
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = HERE,
        help_heading = "Output"
    )]
    figure: Option<PathBuf>,
}

/// Where a figure goes.
#[derive(Clone, Copy)]
enum Kind {
    Terminal,
    Page,
    Svg,
    Plotly,
}

impl Figured {
    fn kind(&self, voice: &Voice) -> Result<Option<Kind>, Fault> {
        let Some(path) = &self.figure else { return Ok(None) };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match (path.to_str(), ending.as_deref()) {
            (Some(HERE), _) if voice.json => {
                Err(Fault::call("--figure draws where --json writes; give it a file, as in --figure=figure.html"))
            }
            (Some(HERE), _) => Ok(Some(Kind::Terminal)),
            (_, Some("html" | "htm")) => Ok(Some(Kind::Page)),
            (_, Some("svg")) => Ok(Some(Kind::Svg)),
            (_, Some("json")) => Ok(Some(Kind::Plotly)),
            _ => Err(Fault::call(format!(
                "--figure={}: the file's name says what it becomes; let it end in .html, .svg or .json",
                path.display()
            ))),
        }
    }

    /// Draws, if it was asked for. `charts` are made only then.
    pub fn draw(
        &self,
        title: &str,
        voice: &Voice,
        charts: impl FnOnce() -> Result<Vec<Chart>, Fault>,
    ) -> Result<(), Fault> {
        let (Some(kind), Some(path)) = (self.kind(voice)?, &self.figure) else { return Ok(()) };
        let charts = charts()?;
        let text = match kind {
            Kind::Terminal => {
                let width = columns(&Term::stdout()).unwrap_or(80);
                for chart in &charts {
                    voice.say(&format!("\n{}", terminal(chart, width)))?;
                    if !chart.note.is_empty() {
                        voice.prose(&format!("  {}", chart.note))?;
                    }
                }
                return Ok(());
            }
            Kind::Page => page(title, &charts),
            Kind::Svg => svg(&charts),
            Kind::Plotly => match charts.as_slice() {
                [only] => only.figure().json().to_string(),
                several => json!(several.iter().map(|chart| chart.figure().json()).collect::<Vec<_>>()).to_string(),
            },
        };
        std::fs::write(path, text).map_err(|why| Fault::work(format!("cannot write {}: {why}", path.display())))?;
        voice.remark(&format!("drawn into {}", path.display()));
        Ok(())
    }

    /// Is it drawn on standard output?
    pub fn is_here(&self) -> bool {
        self.figure.as_deref().is_some_and(|path| path.as_os_str() == HERE)
    }

    /// Is what was asked for possible? Said before anything else is done.
    pub fn check(&self, voice: &Voice) -> Result<(), Fault> {
        self.kind(voice).map(|_| ())
    }
}
