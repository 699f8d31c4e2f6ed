//! `kilter export`: a study's trials as a table for other programs.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use kilter_study::{Row, check_field, fields};
use serde_json::json;

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::Voice;
use crate::summary::{study_json, trial_json};
use crate::table_file::{columns, csv, parquet};
use crate::trials::Pick;

#[derive(Debug, Args)]
#[command(
    after_help = "A table (CSV, Parquet) has the columns number, state, …, metrics.NAME, params.NAME and user.NAME; JSON \
                        holds the space and every report too.\n\nExamples:\n  kilter export > trials.csv\n  \
                        kilter export breast-cancer --where \"state == 'complete'\" -o trials.csv\n  \
                        kilter export -o trials.parquet"
)]
pub struct Export {
    #[command(flatten)]
    pub of: OfStudy,
    #[command(flatten)]
    pub pick: Pick,
    /// Write here [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// As what [default: by the file's name, else csv]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Format {
    /// A table, values apart by commas
    Csv,
    /// The same table with types, in columns
    Parquet,
    /// One document with everything
    Json,
}

impl Export {
    fn format(&self, voice: &Voice) -> Result<Format, Fault> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let Some(out) = &self.out else { return Ok(if voice.json { Format::Json } else { Format::Csv }) };
        let extension = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Format::from_str(&extension, true).map_err(|_| {
            let known: Vec<String> = Format::value_variants()
                .iter()
                .filter_map(|format| Some(format!(".{}", format.to_possible_value()?.get_name())))
                .collect();
            Fault::call(format!(
                "the name {} does not say as what to write; let it end in {}, or add --format",
                out.display(),
                known.join(", ")
            ))
        })
    }
}

/// `kilter export`
pub fn export(args: &Export, voice: &Voice) -> Result<ExitCode, Fault> {
    let format = args.format(voice)?;
    let (_, entry, history) = look_at(args.of.name(), &args.of.storage)?;
    let rows = args.pick.rows(&entry.spec, &history, voice)?;
    if format == Format::Parquet && args.out.is_none() && std::io::stdout().is_terminal() {
        return Err(Fault::call("Parquet is nothing to read on a terminal; name a file, as in -o trials.parquet"));
    }
    let bytes = match format {
        Format::Csv | Format::Parquet => {
            let known = fields(&entry.spec, &history);
            args.pick.columns.iter().flatten().try_for_each(|name| check_field(&known, name)).map_err(Fault::call)?;
            let columns = match &args.pick.columns {
                Some(asked) => columns(&rows, asked, true),
                None => columns(&rows, &known, false),
            };
            if format == Format::Csv { csv(&columns, rows.len())? } else { parquet(&columns, rows.len())? }
        }
        Format::Json => {
            let trials: Vec<_> = rows
                .iter()
                .map(|row| {
                    let mut trial = trial_json(row, &entry.spec.goals);
                    trial["reports"] = reports(row);
                    trial
                })
                .collect();
            let mut study = study_json(&entry, &history);
            study["trials"] = trials.into();
            let mut bytes = serde_json::to_vec_pretty(&study).map_err(Fault::work)?;
            bytes.push(b'\n');
            bytes
        }
    };
    match &args.out {
        None => std::io::stdout().lock().write_all(&bytes)?,
        Some(out) => {
            let written = File::create(out).and_then(|mut file| file.write_all(&bytes));
            written.map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))?;
            voice.remark(&format!("{} trials of {} are in {}", rows.len(), entry.spec.name, out.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a trial reported, as JSON.
pub fn reports(row: &Row) -> serde_json::Value {
    let point = |p: &kilter_study::Point| {
        let value = Some(p.value).filter(|value| value.is_finite());
        json!({ "step": p.step, "metric": p.metric, "value": value })
    };
    row.points.iter().map(point).collect()
}
