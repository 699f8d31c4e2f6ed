//! The levels of a problem whose best nobody knows: random draws, then changes of the best of them, far more than any
//! judged search may try; once, and kept.

use std::path::Path;

use kilter_numerics::Stream;
use kilter_space::{Chooser, Config, Coordinate, Halt, Outline, Question, Random, Value, Walk};

use super::{DRAWS, Levels, Objective, Sketch, front_levels, front_of, median, text};

/// Configurations tried beyond the draws.
const CHANGES: u64 = 20_000;

/// With one goal so many of the best are changed; with two the whole front.
const KEPT: usize = 10;

/// The levels kept in `folder`, else found now and kept there.
pub fn long_search(sketch: &Sketch<'_>, objective: &dyn Objective, folder: Option<&Path>) -> Result<Levels, String> {
    let file = folder.map(|folder| folder.join(format!("{}.json", sketch.name)));
    if let Some(kept) = file.as_ref().and_then(|file| std::fs::read(file).ok())
        && let Ok(levels) = serde_json::from_slice(&kept)
    {
        return Ok(levels);
    }
    println!("searching long for the best of {}, once", sketch.name);
    let levels = found(&Outline::new(sketch.entries.clone()).map_err(text)?, objective)?;
    if let Some(file) = file {
        let write = |folder: &Path| {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&file, serde_json::to_vec(&levels)?)
        };
        folder.map_or(Ok(()), write).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
    }
    Ok(levels)
}

/// A configuration tried, and its losses; of a curve the least.
struct Tried {
    config: Config,
    losses: Vec<f64>,
}

fn found(outline: &Outline, objective: &dyn Objective) -> Result<Levels, String> {
    let whole = |config: &Config| objective.losses(config);
    let least = |config: &Config| -> Result<Vec<f64>, String> {
        match objective.curve(config) {
            Some(curve) => Ok(vec![curve?.into_iter().map(|(_, loss)| loss).fold(f64::INFINITY, f64::min)]),
            None => whole(config),
        }
    };
    let (mut drawn, mut kept): (Vec<Vec<f64>>, Vec<Tried>) = (Vec::new(), Vec::new());
    for draw in 0..DRAWS {
        let config = Random::new(Stream::new(&[draw], "the median configuration")).config(outline).map_err(text)?;
        drawn.push(whole(&config)?);
        kept.push(Tried { losses: least(&config)?, config });
    }
    let medians: Vec<f64> =
        (0..drawn[0].len()).map(|goal| median(drawn.iter().map(|losses| losses[goal]).collect())).collect();
    keep_the_best(&mut kept);
    for change in 0..CHANGES {
        let mut stream = Stream::new(&[change], "long search");
        let parent = &kept[stream.index(kept.len())];
        let mut mutant =
            Mutant { parent: &parent.config, rest: Random::new(stream.child("new")), stream, child: Config::default() };
        if let Err(Halt::Refused(why)) = outline.walk(&mut mutant) {
            return Err(why.to_string());
        }
        let config = mutant.child;
        kept.push(Tried { losses: least(&config)?, config });
        keep_the_best(&mut kept);
    }
    match medians.as_slice() {
        &[median] => Ok(Levels::Loss { best: kept[0].losses[0], median }),
        _ => Ok(front_levels(kept.into_iter().map(|tried| tried.losses).collect(), &medians)),
    }
}

fn keep_the_best(kept: &mut Vec<Tried>) {
    kept.retain(|tried| tried.losses.iter().all(|loss| loss.is_finite()));
    kept.sort_by(|a, b| a.losses.partial_cmp(&b.losses).unwrap_or(std::cmp::Ordering::Equal));
    if kept.first().is_some_and(|tried| tried.losses.len() == 1) {
        kept.truncate(KEPT);
        return;
    }
    let front = front_of(kept.iter().map(|tried| tried.losses.clone()).collect());
    let mut next = front.iter().peekable();
    kept.retain(|tried| next.next_if(|losses| **losses == tried.losses).is_some());
}

/// Answers as a parent did, but for some questions by a step towards a random answer, small or as far as it goes.
struct Mutant<'a> {
    parent: &'a Config,
    rest: Random,
    stream: Stream,
    child: Config,
}

/// How many orders of magnitude steps have.
const MAGNITUDES: f64 = 3.0;

impl Chooser for Mutant<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let (changes, length) = (self.stream.uniform() < 0.4, 10_f64.powf(-MAGNITUDES * self.stream.uniform()));
        let random = self.rest.choose(question)?;
        let before = self.parent.get(question.name.as_str()).cloned();
        let value = match before {
            None => random,
            Some(before) if !changes => before,
            Some(before) => stepped(question, &before, &random, length).unwrap_or(random),
        };
        let value = question.allowed.accept(&value).unwrap_or(value);
        self.child.push(question.name.clone(), value.clone());
        Ok(value)
    }
}

/// On numbers so large a part of the way from one answer to another; none for choices.
fn stepped(question: &Question<'_>, from: &Value, to: &Value, length: f64) -> Option<Value> {
    let [Coordinate::Numeric { log, .. }] = question.domain.coordinates()[..] else { return None };
    let number = |value: &Value| question.domain.encode(value).and_then(|code| code.first().copied());
    let (from, to) = (number(from)?, number(to)?);
    let at = if log { from.powf(1.0 - length) * to.powf(length) } else { from + length * (to - from) };
    Some(question.domain.decode(&[at]))
}
