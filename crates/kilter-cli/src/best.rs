//! `kilter best`: the trial to use.

use std::process::ExitCode;

use crate::args::OfStudy;
use crate::fault::Fault;
use crate::look::look_at;
use crate::style::{Voice, short};
use crate::summary::{count_words, trial_json};

/// `kilter best`
pub fn best(args: &OfStudy, voice: &Voice) -> Result<ExitCode, Fault> {
    let (_, entry, history) = look_at(args.study.as_deref().or(args.study_option.as_deref()), &args.storage)?;
    let goal = &entry.spec.goals[0];
    let best = history.best(goal).ok_or_else(|| {
        Fault::work(format!("no trial of {} is complete yet ({})", entry.spec.name, count_words(&history)))
    })?;
    if voice.json {
        voice.document(&trial_json(best, &entry.spec.goals))?;
    } else if voice.quiet {
        voice.say(&best.config().to_string())?;
    } else {
        let value = short(best.value(&goal.metric).unwrap_or(f64::NAN));
        voice
            .say(&voice.strong(&format!("{} {value}  (trial {} of {})", goal.metric, best.number, entry.spec.name)))?;
        for (name, value) in best.config().answers() {
            voice.say(&format!("  {name} = {value}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
