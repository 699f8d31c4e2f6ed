//! `kilter storage`: look after the file that studies are remembered in.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::InStorage;
use crate::fault::{FAILED, Fault};
use crate::place::open_file;
use crate::style::{Voice, bytes};

#[derive(Debug, Args)]
#[command(
    after_help = "A killed process loses nothing. With --storage 'sqlite:FILE?durability=full' neither does a power cut; \
                        every change then waits for the disk.\n\nExamples:\n  kilter storage check\n  kilter storage copy backup.db\n  kilter storage vacuum \
                        --storage sqlite:old.db"
)]
pub struct StorageVerb {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Check that the file is whole and that what it holds agrees with itself
    #[command(after_help = "Example:\n  kilter storage check --storage sqlite:old.db")]
    Check(InStorage),
    /// Copy the file as it is at one moment, also while others write into it
    Copy(Copy),
    /// Give the space of what was deleted back to the disk
    #[command(after_help = "Example:\n  kilter storage vacuum")]
    Vacuum(InStorage),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter storage copy backup.db")]
pub struct Copy {
    /// The new file; it must not be there yet
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub storage: InStorage,
}

/// `kilter storage check|copy|vacuum`
pub fn storage(args: &StorageVerb, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::Check(at) => check(at, voice),
        What::Copy(args) => copy(args, voice),
        What::Vacuum(at) => vacuum(at, voice),
    }
}

fn check(at: &InStorage, voice: &Voice) -> Result<ExitCode, Fault> {
    let storage = open_file(at)?;
    let found = storage.check()?;
    let file = storage.path().display();
    if voice.json {
        voice.document(&json!({
            "file": storage.path(), "whole": found.faults.is_empty(), "studies": found.studies, "trials": found.trials,
            "events": found.events, "faults": found.faults,
        }))?;
    } else if found.faults.is_empty() {
        let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        voice.say(&format!(
            "{file} is whole: {}, {}, {}",
            if found.studies == 1 { "1 study".to_owned() } else { format!("{} studies", found.studies) },
            of(found.trials, "trial"),
            of(found.events, "event"),
        ))?;
    } else {
        voice.say(&format!("{file} is damaged:"))?;
        for fault in &found.faults {
            voice.say(&format!("  {fault}"))?;
        }
        voice.remark("what can still be read can be saved with: kilter trials STUDY --json");
    }
    Ok(if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn copy(args: &Copy, voice: &Voice) -> Result<ExitCode, Fault> {
    let storage = open_file(&args.storage)?;
    if args.to.exists() {
        return Err(Fault::call(format!("{} is there already; name a file that is not", args.to.display())));
    }
    let size = storage.copy_to(&args.to)?;
    if voice.json {
        voice.document(&json!({ "from": storage.path(), "to": args.to, "bytes": size }))?;
    } else if !voice.quiet {
        voice.say(&format!("copied {} to {} ({})", storage.path().display(), args.to.display(), bytes(size)))?;
        voice.remark("(the studies; what trials printed and left in their folders stays where it is)");
    }
    Ok(ExitCode::SUCCESS)
}

fn vacuum(at: &InStorage, voice: &Voice) -> Result<ExitCode, Fault> {
    let storage = open_file(at)?;
    let (before, after) = storage.vacuum()?;
    if voice.json {
        voice.document(&json!({ "file": storage.path(), "bytes_before": before, "bytes": after }))?;
    } else if !voice.quiet {
        voice.say(&format!("{} takes {} now; before, {}", storage.path().display(), bytes(after), bytes(before)))?;
    }
    Ok(ExitCode::SUCCESS)
}
