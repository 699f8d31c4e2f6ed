//! A command to be tuned: is it there, where are its metrics, which way are they better.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kilter_space::{Outline, nearest};
use kilter_study::Goal;
use kilter_study::process::{MetricSource, Template};

use crate::aims::{Direction, is_built_in};
use crate::fault::Fault;
use crate::plan::Job;
use crate::study_file::Origin;

/// A command as what a study runs, if command, hyperparameters and metrics go together.
pub fn command_job(words: &[String], metrics: &[String], outline: &Outline, from: &Origin<'_>) -> Result<Job, Fault> {
    let command = from.option(&["command"]);
    let template = Template::new(words.to_vec()).map_err(Fault::call).map_err(&command)?;
    template.check(outline).map_err(Fault::call).map_err(&command)?;
    if let Some(program) = template.program() {
        find_program(program).map_err(&command)?;
    }
    let read =
        |text: &String| MetricSource::parse(text).map_err(|why| Fault::call(format!("--metric {text:?}: {why}")));
    let metrics: Vec<MetricSource> =
        metrics.iter().map(read).collect::<Result<_, _>>().map_err(from.option(&["metric"]))?;
    let names: Vec<&str> = metrics.iter().map(MetricSource::name).collect();
    if let Some(name) = names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name)) {
        return Err(Fault::call(format!(
            "two metrics are named `{name}`; put a name before each: --metric 'NAME=…' --metric 'OTHER=…'"
        )));
    }
    Ok(Job::Command { command: template, folder: std::env::current_dir().map_err(Fault::work)?, metrics })
}

/// The goals of a command with these metrics.
pub fn command_goals(sources: &[MetricSource], directions: Vec<Direction>) -> Result<Vec<Goal>, Fault> {
    if directions.is_empty() {
        return Err(Fault::call(
            "say which way is better: --minimize or --maximize (with several metrics: --minimize=NAME)",
        ));
    }
    directions.into_iter().map(|direction| command_goal(sources, direction)).collect()
}

fn command_goal(sources: &[MetricSource], Direction { metric, better }: Direction) -> Result<Goal, Fault> {
    let names: Vec<&str> = sources.iter().map(MetricSource::name).collect();
    let metric = match (metric, names.as_slice()) {
        (None, [only]) => (*only).to_owned(),
        (Some(name), _) if is_built_in(&name) => name,
        // The only metric may go by the name of every nameless one.
        (Some(name), [only]) if name == "value" => (*only).to_owned(),
        (None, []) => {
            return Err(Fault::call(
                "say what is measured: --metric 'loss=([0-9.eE+-]+)' reads it from the output; or name what the command \
                 reports by `kilter report loss=…` or prints as JSON: --minimize=loss",
            ));
        }
        (None, several) => {
            return Err(Fault::call(format!(
                "there are several metrics ({}); say which one: --minimize={}",
                several.join(", "),
                several[0]
            )));
        }
        (Some(name), known) if known.is_empty() || known.contains(&name.as_str()) => name,
        (Some(name), known) => {
            let near = nearest(&name, known.iter().copied()).unwrap_or(known[0]);
            return Err(Fault::call(format!(
                "no --metric is named `{name}`; did you mean `{near}`? (or say where it is: --metric {name}=json:{name})"
            )));
        }
    };
    Ok(Goal { metric, better })
}

/// A program that is not there is found out before the first trial.
fn find_program(program: &str) -> Result<(), Fault> {
    let is_there = |path: &Path| path.is_file();
    if program.contains('/') && is_there(Path::new(program)) && !may_run(Path::new(program)) {
        return Err(Fault::call(format!(
            "the command `{program}` may not be run; allow it with chmod +x {program}, or name its interpreter before it"
        )));
    }
    let there = if program.contains('/') {
        is_there(Path::new(program))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| is_there(&folder.join(program)) && may_run(&folder.join(program)))
    };
    if there {
        return Ok(());
    }
    let hint = if Path::new(program).is_file() {
        format!("; it is in this folder: write ./{program}")
    } else if program.contains('/') {
        "; there is no such file".to_owned()
    } else {
        "; it is not in the PATH".to_owned()
    };
    Err(Fault::call(format!("command not found: `{program}`{hint}")))
}

/// May somebody run this file?
fn may_run(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

/// `train` for `python3 train.py --lr {lr}`: the script's name, else the program's.
pub fn stem_of(command: &[String]) -> String {
    let words: Vec<&str> = command.iter().flat_map(|word| word.split_whitespace()).collect();
    let script = words.iter().skip(1).find(|word| {
        !word.starts_with('-')
            && Path::new(word).extension().is_some_and(|e| e.len() <= 4)
            && !word.contains(['{', '='])
    });
    let named = script
        .or_else(|| words.iter().find(|word| !word.contains('=')))
        .map(|word| Path::new(word).file_stem().unwrap_or_default());
    named.map_or_else(|| "study".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
