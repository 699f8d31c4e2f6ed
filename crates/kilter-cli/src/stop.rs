//! `kilter stop`: a study begins no more trials, wherever it runs.

use std::process::ExitCode;

use clap::Args;
use kilter_study::{Amendment, State};
use serde_json::json;

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::session::quoted;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(after_help = "Whoever runs the study notices within a second. `kilter resume` goes on.\n\nExample:\n  \
                        kilter stop breast-cancer")]
pub struct Stop {
    #[command(flatten)]
    pub of: OfStudy,
    /// Stop the trials that run too; they run again when the study is resumed
    #[arg(long)]
    pub now: bool,
}

/// `kilter stop`
pub fn stop(args: &Stop, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(args.of.name(), &args.of.storage)?;
    let name = &entry.spec.name;
    let stop = Amendment::Stop { why: "stopped by `kilter stop`".to_owned(), at_once: args.now };
    place.storage.amend(entry.id, None, &stop)?;
    let running = history.count(State::Running);
    if voice.json {
        voice.document(&json!({ "study": name, "stopped": true, "running": running }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rest = match (running, args.now) {
        (0, _) => String::new(),
        (1, false) => "; the trial that runs ends first".to_owned(),
        (n, false) => format!("; the {n} trials that run end first"),
        (_, true) => "; what runs is stopped, to be run again".to_owned(),
    };
    voice.say(&format!("{name} begins no more trials{rest}"))?;
    voice.remark(&format!("go on with:\n  kilter resume {}{}", quoted(name), place.option()));
    Ok(ExitCode::SUCCESS)
}
