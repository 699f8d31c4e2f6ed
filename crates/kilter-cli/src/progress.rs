//! The first minute: what a study is doing, on a terminal or in a pipe.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kilter_study::{Failure, Goal, History, Row, State, Study, Tick};

use crate::style::{Voice, duration, short};

/// In a pipe, a line at most this often.
const PACE: Duration = Duration::from_secs(3);

/// Failures of one kind are told in full this often; then they are only counted.
const TOLD: usize = 2;

/// Tells how a study goes.
pub struct Progress {
    voice: Voice,
    bar: Option<ProgressBar>,
    wanted: Option<u64>,
    began: Instant,
    ended_before: usize,
    last: Option<Instant>,
    told: Vec<(&'static str, usize)>,
    starved: bool,
}

impl Progress {
    /// Begins to tell.
    pub fn new(study: &Study, voice: &Voice) -> Self {
        let wanted = study.trials_wanted();
        let bar = (voice.terminal && !voice.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(wanted, ProgressDrawTarget::stderr());
            // The template is a constant of this file.
            if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {pos}/{len}  {wide_msg}") {
                bar.set_style(style.progress_chars("━━╌"));
            }
            bar
        });
        let ended_before = study.history().ended();
        Self {
            voice: *voice,
            bar,
            wanted,
            began: Instant::now(),
            ended_before,
            last: None,
            told: Vec::new(),
            starved: false,
        }
    }

    /// Takes one tick of the loop.
    pub fn tick(&mut self, tick: &Tick<'_>, goals: &[Goal]) {
        if let Some(row) = tick.ended
            && let Some(failure) = row.end.as_ref().and_then(|end| end.failure.as_ref())
        {
            self.tell_failure(row, failure);
        }
        if tick.starved && !self.starved {
            self.line("waiting for devices: other processes of this machine use them");
        }
        self.starved = tick.starved;
        if let Some(bar) = &self.bar {
            bar.set_position(tick.history.ended() as u64);
            bar.set_message(self.state(tick.history, goals));
            bar.tick();
        } else if tick.ended.is_some() && self.last.is_none_or(|last| last.elapsed() >= PACE) {
            self.last = Some(Instant::now());
            let of = self.wanted.map_or(String::new(), |wanted| format!("/{wanted}"));
            let line = format!("{}{of} trials  {}", tick.history.ended(), self.state(tick.history, goals));
            self.voice.remark(&line);
        }
    }

    /// `best loss 0.081 (trial 7)  eta 12 s  2 running  1 failed`: the most wanted first, narrow terminals cut the end.
    fn state(&self, history: &History, goals: &[Goal]) -> String {
        let mut parts = Vec::new();
        match goals {
            [goal] => parts.extend(history.best(goal).map(|best| {
                let value = best.value(&goal.metric).unwrap_or(f64::NAN);
                format!("best {} {} (trial {})", goal.metric, short(value), best.number)
            })),
            several => match history.front(several).len() {
                0 => {}
                1 => parts.push("front of 1 trial".to_owned()),
                trials => parts.push(format!("front of {trials} trials")),
            },
        }
        let done = history.ended().saturating_sub(self.ended_before);
        if let Some(wanted) = self.wanted
            && done > 0
            && (history.ended() as u64) < wanted
        {
            let left = (wanted - history.ended() as u64) as f64;
            parts.push(format!("eta {}", duration(self.began.elapsed().as_secs_f64() / done as f64 * left)));
        }
        for state in [State::Running, State::Pruned, State::Failed] {
            match history.count(state) {
                0 => {}
                count => parts.push(format!("{count} {}", state.name())),
            }
        }
        parts.join("  ")
    }

    fn tell_failure(&mut self, row: &Row, failure: &Failure) {
        let count = match self.told.iter_mut().find(|(name, _)| *name == failure.name()) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.told.push((failure.name(), 1));
                1
            }
        };
        if count > TOLD && !self.voice.verbose {
            return;
        }
        let mut text = format!("trial {} failed: {failure}", row.number);
        if let Some(tail) = failure.tail() {
            let lines: Vec<String> = tail.lines().map(|line| format!("    {line}")).collect();
            text = format!("{text}\n  its last lines were:\n{}", lines.join("\n"));
        }
        if count == TOLD && !self.voice.verbose {
            text.push_str("\n  (further failures of this kind are only counted; `kilter trials` lists them)");
        }
        self.line(&text);
    }

    /// A line beside the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.voice.remark(text),
        }
    }

    /// Wipes the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
