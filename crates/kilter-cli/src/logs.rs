//! `kilter logs`: what a trial printed.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::args::OfTrial;
use crate::fault::Fault;
use crate::look::{chosen, look_at};
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter logs 17\n  kilter logs breast-cancer:17")]
pub struct Logs {
    #[command(flatten)]
    pub of: OfTrial,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
}

/// `kilter logs`
pub fn logs(args: &Logs, voice: &Voice) -> Result<ExitCode, Fault> {
    let (study, trial) = args.of.named()?;
    let (place, entry, history) = look_at(study, &args.of.storage)?;
    let row = chosen(trial, &entry, &history)?;
    let folder = place.trials_folder(&entry.spec.name).join(row.number.to_string());
    // Later repeats have folders of their own.
    let repeats = entry.spec.conduct.repeats.unwrap_or(1);
    let folders: Vec<_> = std::iter::once(folder.clone())
        .chain((1..repeats).map(|repeat| folder.join(format!("repeat-{repeat}"))))
        .collect();
    let read = |name: &str| {
        let all: Vec<Vec<u8>> = folders.iter().filter_map(|folder| std::fs::read(folder.join(name)).ok()).collect();
        (!all.is_empty()).then(|| all.concat())
    };
    let (out, err) = (read("stdout.log"), read("stderr.log"));
    if out.is_none() && err.is_none() {
        return Err(Fault::work(format!("trial {} has left no output in {}", row.number, folder.display())));
    }
    if voice.json {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        voice.document(&json!({ "number": row.number, "stdout": text(&out), "stderr": text(&err) }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    if let Some(out) = out.filter(|_| !args.stderr) {
        stdout.write_all(&out)?;
    }
    if let Some(err) = err.filter(|err| !err.is_empty()) {
        if !args.stderr {
            voice.remark(&format!("--- trial {}, standard error ---", row.number));
        }
        stdout.write_all(&err)?;
    }
    Ok(ExitCode::SUCCESS)
}
