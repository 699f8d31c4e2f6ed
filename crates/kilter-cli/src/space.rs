//! `kilter space`: what can be searched, before anything is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kilter_numerics::Stream;
use kilter_space::text::TextError;
use kilter_space::{
    Config, Count, Defaults, Domain, Entry, Feasible, Fit, Means, Outline, SpaceChange, SpaceError, Value, diff,
    nearest, replay,
};
use kilter_study::History;
use serde::Serialize;
use serde_json::json;

use crate::args::InStorage;
use crate::fault::Fault;
use crate::look::look_at;
use crate::pairs::{named_once, param, setting};
use crate::study_file::{HERE, space_in};
use crate::style::Voice;
use crate::table::{fits_terminal, table, wide_table};

#[derive(Debug, Args)]
#[command(
    after_help = "A space is a file (TOML or JSON, a study's own kilter.toml too), a recipe's name, or the space of a \
                  study that there is (--study); named by nothing, it is the kilter.toml here.\n\n  \
                  [parameters.optimizer]\n  choice = [\"adamw\", \"soap\", { null = true }]   # typed: 1, 1.5, true, \
                  \"text\"\n  distances = [[0, 1, 3], [1, 0, 3], [3, 3, 0]]      # how far they lie from each other, if \
                  known\n  [parameters.learning_rate]\n  float = [1e-5, 1e-1]\n  log = true\n  default = 1e-3\n  \
                  prior = { center = 3e-4, spread = 3.0 }           # where the best is expected, within this factor\n  \
                  [parameters.batch_size]\n  int = [16, 512]\n  step = 16\n  [parameters.precondition_every]\n  \
                  int = [1, 100]\n  when = \"optimizer == 'soap'\"\n  [parameters]\n  size = \"ordinal:s<m<l\"             \
                  # as after --param\n  features = { subset = [\"a\", \"b\", \"c\"] }\n  layers = { permutation = [1, 2, 3] \
                  }\n  [[constraints]]\n  require = \"batch_size * precondition_every <= 1000\"\n\nExpressions know == != < <= \
                  > >=, + - * /, min() max(), and or not, in [1, 2], 'text', numbers, true false null.\n\nExamples:\n  kilter \
                  space check\n  kilter space describe breast-cancer --toml > space.toml\n  kilter space diff --study \
                  train space.toml"
)]
pub struct SpaceVerb {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Show the hyperparameters, as a table or as TOML
    Describe(Describe),
    /// Say whether a space can be searched, and what is wrong with it
    #[command(after_help = "Example:\n  kilter space check space.toml --param momentum=0..0.99")]
    Check(OfSpace),
    /// Draw configurations at random, uniformly over those that the constraints allow
    Sample(Sample),
    /// Count the configurations
    #[command(after_help = "Example:\n  kilter space count space.toml")]
    Count(OfSpace),
    /// Show what changed from one space to another, and which trials of a study still fit
    Diff(Diff),
}

/// Which space.
#[derive(Debug, Args)]
pub struct OfSpace {
    /// A file, or a recipe's name [default: kilter.toml]
    #[arg(value_name = "SPACE")]
    pub space: Option<String>,
    #[command(flatten)]
    pub of: Of,
}

/// Whose space, and how it is changed beforehand.
#[derive(Debug, Args)]
pub struct Of {
    /// The space that this study searches
    #[arg(long, value_name = "NAME")]
    pub study: Option<String>,
    /// With this hyperparameter as well, or in another domain (repeatable)
    #[arg(long, value_name = "NAME=DOMAIN")]
    pub param: Vec<String>,
    /// With this hyperparameter fixed (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub storage: InStorage,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter space describe breast-cancer --toml > space.toml")]
pub struct Describe {
    #[command(flatten)]
    pub of: OfSpace,
    /// As TOML that reads back the same
    #[arg(long)]
    pub toml: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter space sample space.toml -n 100 --json")]
pub struct Sample {
    #[command(flatten)]
    pub of: OfSpace,
    /// How many
    #[arg(short, long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    pub number: u64,
    /// The seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter space diff old.toml new.toml\n  kilter space diff --study train new.toml")]
pub struct Diff {
    /// The space as it was (or the new one, with --study), and the new one [default: kilter.toml]
    #[arg(value_name = "SPACE", num_args = 0..=2)]
    pub spaces: Vec<String>,
    #[command(flatten)]
    pub of: Of,
}

/// `kilter space …`
pub fn space(args: &SpaceVerb, voice: &Voice) -> Result<ExitCode, Fault> {
    match &args.what {
        What::Describe(args) => describe(args, voice),
        What::Check(args) => check(args, voice),
        What::Sample(args) => sample(args, voice),
        What::Count(args) => count(args, voice),
        What::Diff(args) => differ(args, voice),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A space, what it is called, and the trials of its study.
struct Found {
    name: String,
    outline: Outline,
    history: Option<History>,
    doubts: Option<TextError>,
}

/// The space of this name: a file or a recipe.
fn named(name: Option<&str>) -> Result<Found, Fault> {
    let name = name.unwrap_or(HERE);
    let mut doubts = None;
    let declared = kilter_recipes::find(name).filter(|_| !Path::new(name).is_file());
    let outline = match declared.as_ref().and_then(|recipe| recipe.outline()) {
        Some(outline) => outline.clone(),
        None => {
            let known = kilter_recipes::recipes();
            let near = nearest(name, known.iter().map(|recipe| recipe.name()));
            // A word without an end is meant as a recipe.
            if let Some(near) = near.filter(|_| Path::new(name).extension().is_none() && !Path::new(name).exists()) {
                return Err(Fault::call(format!("there is no file and no recipe `{name}`; did you mean `{near}`?")));
            }
            let text = space_in(&PathBuf::from(name))?;
            let outline = text.outline()?;
            Feasible::new(&outline).map_err(|why| text.refusal(&why))?;
            doubts = text.doubts(&[]);
            outline
        }
    };
    Ok(Found { name: name.to_owned(), outline, history: None, doubts })
}

impl Of {
    /// The study's space, if one is named.
    fn study(&self) -> Result<Option<Found>, Fault> {
        let Some(study) = self.study.as_deref() else { return Ok(None) };
        let (_, entry, history) = look_at(Some(study), &self.storage)?;
        let outline = history.later_spaces().last().unwrap_or(&entry.spec.outline).clone();
        Ok(Some(Found { name: study.to_owned(), outline, history: Some(history), doubts: None }))
    }

    /// `outline` with what `--param` and `--set` say. Settings are fixed as they will be searched, if `searched`.
    fn change(&self, mut outline: Outline, searched: bool) -> Result<Outline, Fault> {
        let params = self.param.iter().map(|text| param(text)).collect::<Result<Vec<_>, _>>()?;
        let set = self.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
        named_once(&params, &set)?;
        for (name, domain) in params {
            outline = outline.with(&name, domain).map_err(Fault::call)?;
        }
        if searched || !set.is_empty() {
            outline = outline.specialise(&set, &[]).map_err(Fault::call)?;
        }
        Ok(outline)
    }
}

impl OfSpace {
    fn find(&self, searched: bool) -> Result<Found, Fault> {
        let found = match (self.of.study()?, &self.space) {
            (Some(_), Some(space)) => {
                return Err(Fault::call(format!("both a study and a space (`{space}`) are named; name one of them")));
            }
            (Some(of_study), None) => of_study,
            (None, space) => named(space.as_deref())?,
        };
        let outline = self.of.change(found.outline, searched)?;
        Ok(Found { outline, ..found })
    }
}

fn describe(args: &Describe, voice: &Voice) -> Result<(), Fault> {
    let Found { name, outline, .. } = args.of.find(false)?;
    if args.toml {
        return voice.say(outline.to_toml().trim_end());
    }
    let constraints: Vec<&str> = outline.constraints().iter().map(kilter_space::Expr::source).collect();
    if voice.json {
        return voice.document(&json!({
            "space": name, "hyperparameters": outline.entries(), "constraints": constraints,
            "complete": outline.is_complete(), "fingerprint": format!("{:016x}", outline.fingerprint()),
        }));
    }
    hyperparameters(outline.entries(), voice)?;
    for constraint in constraints {
        voice.say(&format!("  requires {constraint}"))?;
    }
    Ok(())
}

/// Hyperparameters, and then settings, as tables.
pub fn hyperparameters(entries: &[Entry], voice: &Voice) -> Result<(), Fault> {
    let default = |value: &Option<Value>| value.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    for (setting, title) in [(false, "hyperparameter"), (true, "setting")] {
        let of_kind = || entries.iter().filter(|entry| entry.setting == setting);
        // What is always asked, then what is asked under each condition.
        let mut conditions: Vec<Option<String>> = vec![None];
        for entry in of_kind() {
            let when = entry.when.as_ref().map(|when| format!("when {when}"));
            if !conditions.contains(&when) {
                conditions.push(when);
            }
        }
        let mut rows: Vec<Vec<String>> = Vec::new();
        for when in conditions {
            let asked = of_kind().filter(|entry| entry.when.as_ref().map(|when| format!("when {when}")) == when);
            rows.extend(when.as_ref().map(|when| vec![voice.faint(when)]));
            rows.extend(asked.map(|entry| {
                let prior = entry.prior.map(|prior| match &entry.domain {
                    Domain::Float(range) if range.is_log() => {
                        format!("{} within a factor of {}", prior.center, prior.spread)
                    }
                    Domain::Int(range) if range.is_log() => {
                        format!("{} within a factor of {}", prior.center, prior.spread)
                    }
                    _ => format!("{} ± {}", prior.center, prior.spread),
                });
                let about = [
                    Some(entry.about.clone()).filter(|about| !about.is_empty()),
                    prior.map(|prior| format!("best expected at {prior}")),
                    entry.distances.as_ref().map(|_| "with distances between its values".to_owned()),
                ];
                let about: Vec<String> = about.into_iter().flatten().collect();
                vec![entry.name.to_string(), entry.domain.to_string(), default(&entry.default), about.join("; ")]
            }));
        }
        if !rows.is_empty() {
            if setting {
                voice.say("")?;
            }
            voice.say(&table(&[title, "domain", "default", "what it does"].map(str::to_owned), rows))?;
        }
    }
    if entries.iter().any(|entry| entry.setting) {
        voice.prose("\nsettings are fixed at their defaults; --set changes one, --param searches it")?;
    }
    Ok(())
}

fn check(args: &OfSpace, voice: &Voice) -> Result<(), Fault> {
    let Found { name, outline, doubts, .. } = args.find(true)?;
    if let Some(doubts) = doubts {
        voice.doubt(&doubts);
    }
    let feasible = if outline.is_complete() { Some(Feasible::new(&outline).map_err(Fault::call)?) } else { None };
    let rate = feasible.map_or(1.0, |feasible| feasible.rate());
    let means = feasible.map_or(Means::Plain, |feasible| feasible.means());
    let how = match means {
        Means::Plain => "nothing is forbidden",
        Means::Enumerated => "all combinations that matter were listed",
        Means::Rejection => "drawn again until one is allowed",
        Means::HitAndRun => "drawn by a random walk within the allowed ones",
    };
    let count = counted(&outline);
    let defaults = Defaults::config(&outline);
    let searched = outline.searched().count();
    if voice.json {
        return voice.document(&json!({
            "space": name, "hyperparameters": outline.entries().len(), "searched": searched,
            "constraints": outline.constraints().len(), "feasible_share": rate, "means": format!("{means:?}").to_lowercase(),
            "configurations": count, "defaults": defaults.as_ref().ok(),
        }));
    }
    let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let entries = many(outline.entries().len(), "hyperparameter");
    voice.say(&voice.strong(&format!("{name} can be searched")))?;
    voice.say(&format!(
        "  {entries}, of which {searched} are searched; {}",
        many(outline.constraints().len(), "constraint")
    ))?;
    voice.say(&format!("  configurations: {}", words_of(&count)))?;
    if !outline.constraints().is_empty() {
        let about = if means == Means::Enumerated { "" } else { "about " };
        voice.say(&format!("  allowed: {about}{} of all ({how})", percent(rate)))?;
    }
    match defaults {
        Ok(config) => voice.say(&format!("  defaults: {config}")),
        Err(why) => voice.say(&format!("  defaults: none, since {why}")),
    }
}

fn percent(share: f64) -> String {
    if share >= 0.0995 { format!("{:.0} %", share * 100.0) } else { format!("{:.2e} %", share * 100.0) }
}

/// How many configurations there are.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Counted {
    Exactly(u128),
    AtMost(u128),
    /// 2¹²⁷ and more.
    Beyond,
    /// Infinitely many: these are continuous.
    Infinite(Vec<String>),
    /// Nobody knows yet what else will be asked.
    Unfinished,
}

fn counted(outline: &Outline) -> Counted {
    let continuous = outline.entries().iter().filter(|entry| entry.domain.count().is_none());
    let continuous: Vec<String> = continuous.map(|entry| entry.name.to_string()).collect();
    match outline.count() {
        Ok(Count::Exact(count)) => Counted::Exactly(count),
        Ok(Count::AtMost(count)) => Counted::AtMost(count),
        Ok(Count::Beyond) => Counted::Beyond,
        Err(SpaceError::Unfinished(_)) => Counted::Unfinished,
        Err(_) => Counted::Infinite(continuous),
    }
}

fn words_of(count: &Counted) -> String {
    match count {
        Counted::Exactly(count) => count.to_string(),
        Counted::AtMost(count) => format!("at most {count} (too many to see which of them the conditions leave)"),
        Counted::Beyond => "more than 2^127".to_owned(),
        Counted::Infinite(names) => {
            let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("infinitely many ({shown}{more}: continuous)")
        }
        Counted::Unfinished => "not known before every question has been asked".to_owned(),
    }
}

fn count(args: &OfSpace, voice: &Voice) -> Result<(), Fault> {
    let Found { name, outline, .. } = args.find(true)?;
    let count = counted(&outline);
    if voice.json {
        #[derive(Serialize)]
        struct Answer<'a> {
            space: &'a str,
            configurations: &'a Counted,
        }
        return voice.document(&Answer { space: &name, configurations: &count });
    }
    voice.say(&words_of(&count))?;
    if let (Counted::Infinite(_), Err(why)) = (&count, outline.count()) {
        voice.remark(&why.to_string());
    }
    Ok(())
}

fn sample(args: &Sample, voice: &Voice) -> Result<(), Fault> {
    let Found { outline, .. } = args.of.find(true)?;
    if args.number == 0 {
        return Err(Fault::call("-n 0 would draw nothing; ask for at least 1"));
    }
    if !outline.is_complete() {
        return Err(Fault::call(SpaceError::Unfinished("drawing configurations")));
    }
    let feasible = Feasible::new(&outline).map_err(Fault::call)?;
    let draw = |number: u64| feasible.config(&mut Stream::new(&[args.seed, number], "sample")).map_err(Fault::work);
    let drawn = (0..args.number).map(draw).collect::<Result<Vec<Config>, _>>()?;
    if voice.json {
        return voice.document(&json!({ "configurations": drawn }));
    }
    if voice.quiet {
        return drawn.iter().try_for_each(|config| voice.say(&config.to_string()));
    }
    let mut names: Vec<&str> = outline.entries().iter().map(|entry| entry.name.as_str()).collect();
    names.dedup();
    let cell = |config: &Config, name: &str| config.get(name).map_or_else(|| "–".to_owned(), ToString::to_string);
    let rows = drawn.iter().map(|config| names.iter().map(|name| cell(config, name)).collect()).collect();
    let header: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let whole = wide_table(&header, rows);
    if fits_terminal(&whole) {
        return voice.say(&whole);
    }
    drawn.iter().try_for_each(|config| voice.say(&format!("  {config}")))
}

fn differ(args: &Diff, voice: &Voice) -> Result<(), Fault> {
    let (old, new) = match (args.of.study()?, args.spaces.as_slice()) {
        (Some(study), []) => (study, None),
        (Some(study), [new]) => (study, Some(new.as_str())),
        (Some(_), _) => return Err(Fault::call("with --study, name only the new space")),
        (None, [old, new]) => (named(Some(old))?, Some(new.as_str())),
        (None, [old]) => (named(Some(old))?, None),
        (None, _) => return Err(Fault::call("name two spaces, as in: kilter space diff old.toml new.toml")),
    };
    // A study's space may be its own new one, with what --param says.
    let new = match new {
        None if !args.of.param.is_empty() || !args.of.set.is_empty() => old.outline.clone(),
        // What a study searches has its settings fixed.
        new => match &old.history {
            Some(_) => named(new)?.outline.specialise(&[], &[]).map_err(Fault::call)?,
            None => named(new)?.outline,
        },
    };
    let new = args.of.change(new, false)?;
    let changes = diff(&old.outline, &new);
    let fits = old.history.as_ref().map(|history| fits(history, &new));
    if voice.json {
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        return voice.document(&json!({ "changes": lines, "trials": fits }));
    }
    tell(&changes, &mut |line| voice.say(line))?;
    fits.map_or(Ok(()), |fits| voice.say(&fits.to_string()))
}

/// Changes of a space, line by line.
pub fn tell(changes: &[SpaceChange], say: &mut dyn FnMut(&str) -> Result<(), Fault>) -> Result<(), Fault> {
    if changes.is_empty() {
        return say("no difference");
    }
    changes.iter().try_for_each(|change| say(&format!("  {change}")))
}

/// How the trials of a study fit another space.
#[derive(Debug, Default, Serialize)]
pub struct Fits {
    whole: usize,
    missing: usize,
    outside: usize,
}

/// How the trials of `history` fit `outline`.
pub fn fits(history: &History, outline: &Outline) -> Fits {
    let mut fits = Fits::default();
    for row in history.rows() {
        match replay(row.config(), outline) {
            Ok(Fit::Whole(_)) => fits.whole += 1,
            Ok(Fit::Missing(_)) => fits.missing += 1,
            Ok(Fit::Outside(_)) | Err(_) => fits.outside += 1,
        }
    }
    fits
}

impl std::fmt::Display for Fits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.whole + self.missing + self.outside;
        write!(f, "of {all} trial{} {} fit", if all == 1 { "" } else { "s" }, self.whole)?;
        for (count, what) in [(self.missing, "lack an answer that has no default"), (self.outside, "lie outside")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.missing + self.outside > 0 {
            f.write_str(" (those are kept, and samplers do not learn from what does not fit)")?;
        }
        Ok(())
    }
}
