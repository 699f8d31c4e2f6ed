//! One sitting at a study: signals, progress, the end.

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;

use kilter_space::{Config, Defaults, Fit, diff, replay};
use kilter_study::{Interrupt, Outcome, Recipe, Run, State, Study, StudySpec, Summary, Tick, Workers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::fault::{FAILED, Fault, INTERRUPTED};
use crate::place::Place;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::style::Voice;
use crate::summary::{self, Honest};

/// Runs a study to its end and sums it up.
pub fn run(
    mut study: Study,
    place: &Place,
    plan: &Plan,
    recipe: Arc<dyn Recipe>,
    voice: &Voice,
) -> Result<ExitCode, Fault> {
    let name = study.spec().name.clone();
    summary::opening(&study, voice);
    let resume = format!("kilter resume {}{}", quoted(&name), place.option());
    let ran = work(&mut study, place, plan, &recipe, voice).map_err(|fault| match fault {
        Fault::Storage(why) => Fault::Storage(format!("{why}\n  continue then with: {resume}")),
        other => other,
    })?;
    if ran.interrupted || study.history().stopped().is_some() {
        summary::closing(&study, None, &ran, place, voice)?;
        let why = study.history().stopped().unwrap_or("interrupted");
        voice.remark(&format!("{why}; what was done is kept. Continue with:\n  {resume}"));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(why) = study.enough() {
        voice.remark(&format!("enough: {why}"));
    } else if !ran.why.is_empty() && !ran.why.ends_with("were wanted") {
        // That as many ran as were wanted is no news.
        voice.remark(&format!("the study has ended: {}", ran.why));
    }
    let honest = honest_scores(&study, &recipe, place, voice);
    summary::closing(&study, honest.as_ref(), &ran, place, voice)?;
    let all_failed = study.history().count(State::Complete) == 0 && study.history().count(State::Failed) > 0;
    Ok(if all_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Runs a study's trials under signals and with progress.
pub fn work(
    study: &mut Study,
    place: &Place,
    plan: &Plan,
    recipe: &Arc<dyn Recipe>,
    voice: &Voice,
) -> Result<Summary, Fault> {
    let devices = plan.devices()?;
    if let Some(at_a_time) = devices.capacity() {
        voice.remark(&format!("devices: {}", devices.describe()));
        if at_a_time < plan.workers {
            voice.remark(&format!(
                "they hold {at_a_time} trial{} at a time; the other {} of the {} workers wait for them",
                if at_a_time == 1 { "" } else { "s" },
                plan.workers - at_a_time,
                plan.workers
            ));
        } else if at_a_time > plan.workers {
            voice.remark(&format!("they would hold {at_a_time} trials at a time: --workers {at_a_time}"));
        }
    }
    let interrupt = Interrupt::new();
    listen(&interrupt, *voice)?;
    let how = Workers {
        count: plan.workers,
        time_limit: plan.time_limit(),
        folder: place.trials_folder(&study.spec().name),
        devices,
        interrupt,
    };
    let progress = RefCell::new(Progress::new(study, voice));
    let goals = study.spec().goals.clone();
    let mut renew = |was: &StudySpec, is: &StudySpec| renewed(was, is, &|line| progress.borrow().line(line));
    let mut watch = |tick: &Tick<'_>| progress.borrow_mut().tick(tick, &goals);
    let ran = study.optimize_changing(recipe, &mut renew, &how, &mut watch);
    progress.into_inner().end();
    Ok(ran?)
}

/// What the trials run now that somebody changed the study from elsewhere, with a word about it.
fn renewed(was: &StudySpec, is: &StudySpec, tell: &dyn Fn(&str)) -> Result<Arc<dyn Recipe>, String> {
    let plan = Plan::of(is).and_then(|plan| plan.check(is).map(|()| plan));
    let recipe = plan.and_then(|plan| plan.recipe(is)).map_err(|why| why.message().to_owned())?;
    let changes = diff(&was.outline, &is.outline);
    if !changes.is_empty() {
        tell("the space was changed from elsewhere:");
        changes.iter().for_each(|change| tell(&format!("  {change}")));
    }
    if was.plan != is.plan {
        tell("the command was changed from elsewhere, too; trials that begin from now on run the new one");
    }
    Ok(recipe)
}

/// Ctrl-C once finishes what runs, twice stops at once; SIGTERM and a closed terminal stop at once.
fn listen(interrupt: &Interrupt, voice: Voice) -> Result<(), Fault> {
    let interrupt = interrupt.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Fault::work)?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGINT || interrupt.is_set() {
                interrupt.at_once();
                continue;
            }
            interrupt.finish();
            voice.remark(
                "\nfinishing the trials that run; Ctrl-C again stops them at once (they will run again on resume)",
            );
        }
    });
    Ok(())
}

/// The best configuration and the defaults on data that tuning never saw, if the recipe holds any back.
fn honest_scores(study: &Study, recipe: &Arc<dyn Recipe>, place: &Place, voice: &Voice) -> Option<Honest> {
    let [goal] = study.spec().goals.as_slice() else { return None };
    let (setting, value) = recipe.holdout()?;
    let declared = recipe.outline()?;
    let best = study.history().best(goal)?;
    let score = |config: &Config, part: &str| -> Option<Outcome> {
        let answers = config.answers().iter().map(|(name, answer)| {
            let answer = if name.as_str() == setting { value.clone() } else { answer.clone() };
            (name.clone(), answer)
        });
        let Ok(Fit::Whole(config)) = replay(&Config::new(answers.collect()), declared) else { return None };
        let folder = place.trials_folder(&study.spec().name).join(part);
        match recipe.run(&config, &mut Run::offline(study.spec().seed).with_folder(folder)) {
            Ok(outcome) => Some(outcome),
            Err(why) => {
                voice.remark(&format!("the honest test of the {part} configuration failed: {why}"));
                None
            }
        }
    };
    let defaults = Defaults::config(&study.spec().outline).ok();
    Some(Honest {
        tuned: score(best.config(), "best")?,
        defaults: defaults.and_then(|config| score(&config, "default")),
    })
}

/// `text` as one word of a shell line.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=+,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
