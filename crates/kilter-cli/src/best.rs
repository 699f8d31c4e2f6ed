//! `kilter best`: the trial to use, or the front of several directions.

use std::process::ExitCode;

use clap::Args;
use kilter_study::State;

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::Voice;
use crate::summary::{
    count_words, front_words, repeats_words, requirements_words, runner_up_json, trial_json, trials_table, value_words,
};

#[derive(Debug, Args)]
#[command(
    after_help = "With several directions it shows the front: the trials that no other surpasses in all of them; with \
                        --json a list.\n\nExamples:\n  kilter best\n  kilter best breast-cancer --json"
)]
pub struct Best {
    #[command(flatten)]
    pub of: OfStudy,
}

/// `kilter best`
pub fn best(args: &Best, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.of.name(), &args.of.storage)?;
    let (name, goals) = (&entry.spec.name, &entry.spec.goals);
    let front = history.front(goals);
    let Some(best) = front.first() else {
        let complete = history.count(State::Complete);
        return Err(Fault::work(match entry.spec.requirements.as_slice() {
            requirements if complete > 0 && !requirements.is_empty() => {
                format!(
                    "none of the {complete} complete trials of {name} keeps what is required ({}); the nearest: kilter trials \
                     --where \"state == 'complete'\" --sort violation --limit 5",
                    requirements_words(requirements)
                )
            }
            _ => format!("no trial of {name} is complete yet ({})", count_words(&history)),
        }));
    };
    if goals.len() > 1 {
        if voice.json {
            voice.document(&front.iter().map(|row| trial_json(row, goals)).collect::<Vec<_>>())?;
        } else if voice.quiet {
            front.iter().try_for_each(|row| voice.say(&row.config().to_string()))?;
        } else {
            voice.say(&format!("{}  ({})", voice.strong(&front_words(&front, goals)), count_words(&history)))?;
            voice.say(&trials_table(&front, goals, false))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if voice.json {
        let mut document = trial_json(best, goals);
        if let (Some(document), Some(behind)) = (document.as_object_mut(), runner_up_json(&history, &goals[0])) {
            document.insert("runner_up".to_owned(), behind);
        }
        voice.document(&document)?;
    } else if voice.quiet {
        voice.say(&best.config().to_string())?;
    } else {
        let metric = &goals[0].metric;
        let value = value_words(best, metric);
        voice.say(&voice.strong(&format!("{metric} {value}  (trial {} of {name})", best.number)))?;
        if let Some(words) = repeats_words(best, &history, &goals[0]) {
            voice.say(&words)?;
        }
        for (name, value) in best.config().answers() {
            voice.say(&format!("  {name} = {value}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
