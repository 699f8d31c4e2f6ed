//! `kilter rename`, `kilter copy` and `kilter delete`: studies as things.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use kilter_study::StudySpec;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::look_at;
use crate::place::{Place, check_name};
use crate::style::Voice;
use crate::summary::count_words;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter rename train-7 baseline")]
pub struct Rename {
    /// The study
    #[arg(value_name = "STUDY")]
    pub study: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub new: String,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The copy has the same trials and goes on by itself; what trials wrote into their folders stays with the \
                        first.\n\nExamples:\n  kilter copy baseline baseline-longer\n  \
                        kilter copy baseline baseline --to sqlite:archive.db"
)]
pub struct Copy {
    /// The study
    #[arg(value_name = "STUDY")]
    pub study: String,
    /// The copy's name
    #[arg(value_name = "NEW")]
    pub new: String,
    /// Into another storage
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter delete train-7")]
pub struct Delete {
    /// The study
    #[arg(value_name = "STUDY")]
    pub study: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter rename`
pub fn rename(args: &Rename, voice: &Voice) -> Result<ExitCode, Fault> {
    check_name(&args.new)?;
    let place = Place::open(&args.storage)?;
    let entry = place.study(Some(&args.study))?;
    let (old, new) = (place.trials_folder(&args.study), place.trials_folder(&args.new));
    if old != new && old.exists() && new.exists() {
        return Err(Fault::call(format!(
            "{} is there already, from a study that was deleted or moved; remove it, or choose another name",
            new.display()
        )));
    }
    place.storage.rename(entry.id, &args.new)?;
    if old != new && old.exists() {
        std::fs::rename(&old, &new)
            .map_err(|why| Fault::work(format!("{} could not be moved to {}: {why}", old.display(), new.display())))?;
    }
    if voice.json {
        voice.document(&json!({ "study": args.new, "was": args.study }))?;
    } else {
        voice.say(&format!("{} is now {}", args.study, args.new))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `kilter copy`
pub fn copy(args: &Copy, voice: &Voice) -> Result<ExitCode, Fault> {
    check_name(&args.new)?;
    let place = Place::open(&args.storage)?;
    let entry = place.study(Some(&args.study))?;
    let events = place.storage.changes(entry.id, 0, usize::MAX)?.events;
    let spec = StudySpec { name: args.new.clone(), ..entry.spec };
    // A name that the first study had is not the copy's.
    let events: Vec<_> =
        events.into_iter().filter(|event| !matches!(event.change, kilter_study::Change::Renamed(_))).collect();
    let there = match &args.to {
        Some(address) => Some(Place::make(&InStorage { storage: address.clone() })?),
        None => None,
    };
    let there = there.as_ref().unwrap_or(&place);
    there.storage.adopt(&spec, entry.created_ms, &events)?;
    let (_, _, history) = look_at(Some(&args.new), &InStorage { storage: there.address() })?;
    if voice.json {
        voice.document(&json!({ "study": args.new, "from": args.study, "trials": history.len() }))?;
    } else {
        voice.say(&format!("{} is a copy of {} ({})", args.new, args.study, count_words(&history)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `kilter delete`
pub fn delete(args: &Delete, voice: &Voice) -> Result<ExitCode, Fault> {
    let (place, entry, history) = look_at(Some(&args.study), &args.storage)?;
    let folder = place.trials_folder(&args.study);
    let what = format!("{} ({})", args.study, count_words(&history));
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Fault::call(format!("this would delete {what} for good; say so with --yes")));
        }
        voice.ask(&format!("delete {what} and {} for good? [y/N] ", folder.display()));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            voice.say("nothing is deleted")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    place.storage.delete(entry.id)?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|why| Fault::work(format!("{} could not be removed: {why}", folder.display())))?;
    }
    if voice.json {
        voice.document(&json!({ "study": args.study, "deleted": true, "trials": history.len() }))?;
    } else {
        voice.say(&format!("deleted {what}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
