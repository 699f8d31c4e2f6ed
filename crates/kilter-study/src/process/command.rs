//! Anybody's command as a recipe: placeholders in, metrics out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kilter_space::{Chooser, Config, Halt, Name, Outline, Walk, nearest};
use serde::{Deserialize, Serialize};

use super::child::{Launch, tend};
use super::figures::{FigureFile, MetricSource};
use crate::goal::{Better, Goal, Metric};
use crate::recipe::{Failure, Outcome, Recipe};
use crate::run::{Run, Why};

/// A command with placeholders: `{learning_rate}` stands for a parameter, `{config}` for a JSON file of all of them,
/// `{folder}` for the trial's own folder, `{trial}` for its number, `{seed}` and `{repeat}` for its chance (unless a
/// parameter has that name). `{{` and `}}` stand for braces.
///
/// A command of one word with spaces in it is given to the shell; values are quoted for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(Vec<String>);

/// Why a command and a space do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// No command.
    #[error(
        "there is no command; write it after --, as in: kilter tune --param lr=log:1e-5..1e-1 -- python3 train.py --lr {{lr}}"
    )]
    Empty,
    /// A placeholder without parameter.
    #[error(
        "the command has a placeholder {{{placeholder}}}, but there is no parameter `{placeholder}`; {} with \
         --param {placeholder}=DOMAIN (braces that are not a placeholder are written {{{{ and }}}})",
        .suggestion.as_ref().map_or("declare it".to_owned(), |name| format!("did you mean {{{name}}}? Else declare it"))
    )]
    NoParameter {
        /// The placeholder.
        placeholder: String,
        /// The nearest parameter.
        suggestion: Option<String>,
    },
    /// A parameter that the command never sees.
    #[error(
        "the parameter `{name}` is never used: write {{{name}}} into the command, or {{config}} for a JSON file with all \
         parameters; a command without any placeholder reads them from its environment (KILTER_PARAM_{})",
        .name.to_uppercase()
    )]
    NeverUsed {
        /// The parameter.
        name: String,
    },
    /// A parameter whose name is a placeholder of its own.
    #[error("a parameter cannot be named `{0}`: {{{0}}} in a command stands for something else; rename it")]
    Reserved(String),
}

/// Placeholders that are no parameters.
const RESERVED: [&str; 3] = ["config", "folder", "trial"];

/// Placeholders that parameters of the same name come before.
const OFFERED: [&str; 2] = ["repeat", "seed"];

/// A piece of a word of the command.
enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

impl Template {
    /// Program and arguments, with placeholders.
    ///
    /// # Errors
    /// If there is no program.
    pub fn new(words: Vec<String>) -> Result<Self, TemplateError> {
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(TemplateError::Empty);
        }
        Ok(Self(words))
    }

    /// Words that make a command.
    pub(super) fn of(words: Vec<String>) -> Self {
        Self(words)
    }

    /// The words as written.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// Is it one line for the shell?
    pub fn is_shell_line(&self) -> bool {
        self.0.len() == 1 && self.0[0].contains(char::is_whitespace)
    }

    /// The program that will be started, if that does not depend on a placeholder.
    pub fn program(&self) -> Option<&str> {
        let word = if self.is_shell_line() { "sh" } else { &self.0[0] };
        (!pieces(word).iter().any(|piece| matches!(piece, Piece::Placeholder(_)))).then_some(word)
    }

    /// Checks that placeholders and parameters go together.
    ///
    /// # Errors
    /// [`TemplateError`] names the one that does not.
    pub fn check(&self, outline: &Outline) -> Result<(), TemplateError> {
        let names: Vec<&str> = outline.entries().iter().map(|entry| entry.name.as_str()).collect();
        if let Some(name) = names.iter().find(|name| RESERVED.contains(name)) {
            return Err(TemplateError::Reserved((*name).to_owned()));
        }
        let used: BTreeSet<&str> = self
            .0
            .iter()
            .flat_map(|word| pieces(word))
            .filter_map(|piece| match piece {
                Piece::Placeholder(name) => Some(name),
                Piece::Text(_) => None,
            })
            .collect();
        if let Some(placeholder) =
            used.iter().find(|name| !names.contains(name) && !RESERVED.contains(name) && !OFFERED.contains(name))
        {
            return Err(TemplateError::NoParameter {
                placeholder: (*placeholder).to_owned(),
                suggestion: nearest(placeholder, names.iter().copied().chain(RESERVED).chain(OFFERED))
                    .map(str::to_owned),
            });
        }
        let named = names.iter().any(|name| used.contains(name));
        match names.iter().find(|name| !used.contains(*name)) {
            Some(name) if named && !used.contains("config") => {
                Err(TemplateError::NeverUsed { name: (*name).to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Program and arguments for one configuration. A parameter that was not asked becomes an empty word.
    fn fill(&self, value: &dyn Fn(&str) -> String) -> Vec<OsString> {
        let shell = self.is_shell_line();
        let fill = |word: &str| fill(word, &|name| if shell { shell_quoted(&value(name)) } else { value(name) });
        let words = self.0.iter().map(|word| OsString::from(fill(word)));
        if shell {
            [OsString::from("sh"), OsString::from("-c")].into_iter().chain(words).collect()
        } else {
            words.collect()
        }
    }
}

/// `text` with its placeholders filled in.
fn fill(text: &str, value: &dyn Fn(&str) -> String) -> String {
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Placeholder(name) => value(name),
        })
        .collect()
}

/// Cuts a word into text and placeholders. Braces around anything but a name are text: `{print $1}`, `{1:2}`.
fn pieces(word: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), word);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        pieces.push(Piece::Text(before));
        if from.starts_with("{{") || from.starts_with("}}") {
            pieces.push(Piece::Text(&from[..1]));
            rest = &from[2..];
            continue;
        }
        let inner = from.strip_prefix('{').and_then(|from| from.split_once('}')).map(|(inner, _)| inner);
        match inner.filter(|inner| Name::new(inner).is_ok()) {
            Some(name) => {
                pieces.push(Piece::Placeholder(name));
                rest = &from[name.len() + 2..];
            }
            None => {
                pieces.push(Piece::Text(&from[..1]));
                rest = &from[1..];
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// `text` as one word of a POSIX shell.
pub(super) fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Anybody's command, as a recipe.
pub struct CommandRecipe {
    name: String,
    outline: Outline,
    template: Template,
    sources: Vec<MetricSource>,
    metrics: Vec<Metric>,
    goals: Vec<Goal>,
    current_folder: PathBuf,
    supervisor: PathBuf,
}

impl CommandRecipe {
    /// A command that searches `outline` for `goals`. `sources` tell where metrics are found; a goal that none of them
    /// names is looked for by its name. `supervisor` is the binary whose `main` calls [`super::supervise`].
    ///
    /// # Errors
    /// If placeholders and parameters do not go together.
    pub fn new(
        template: Template,
        outline: Outline,
        mut sources: Vec<MetricSource>,
        goals: Vec<Goal>,
        current_folder: PathBuf,
        supervisor: PathBuf,
    ) -> Result<Self, TemplateError> {
        template.check(&outline)?;
        for goal in &goals {
            if !sources.iter().any(|source| source.name() == goal.metric) {
                sources.push(MetricSource::by_name(&goal.metric));
            }
        }
        let direction = |name: &str| goals.iter().find(|goal| goal.metric == name).map_or(Better::Lower, |g| g.better);
        let metrics = sources.iter().map(|source| Metric::new(source.name(), direction(source.name()))).collect();
        let program = template.program().unwrap_or("command");
        let name = Path::new(program).file_name().map_or("command".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, outline, template, sources, metrics, goals, current_folder, supervisor })
    }

    fn environment(&self, config: &Config, config_file: &Path, run: &Run) -> Vec<(String, OsString)> {
        let mut environment = vec![
            ("KILTER_CONFIG".to_owned(), config_file.into()),
            ("KILTER_FOLDER".to_owned(), run.folder().into()),
            ("KILTER_TRIAL".to_owned(), run.number().to_string().into()),
            ("KILTER_SEED".to_owned(), seed_of(run).to_string().into()),
            ("KILTER_REPEAT".to_owned(), run.repeat().to_string().into()),
            // A Python that writes into a pipe holds its output back, and with it every report.
            ("PYTHONUNBUFFERED".to_owned(), "1".into()),
        ];
        let named = |spell: &dyn Fn(&str) -> String| -> Vec<(String, OsString)> {
            let answers = config.answers().iter();
            let spelt = |name: &Name| format!("KILTER_PARAM_{}", spell(&name.as_str().replace('.', "_")));
            answers.map(|(name, value)| (spelt(name), value.to_string().into())).collect()
        };
        // The later of equals counts: of `x` and `X`, a name as written comes before one in capitals.
        environment.extend(named(&str::to_uppercase));
        environment.extend(named(&str::to_owned));
        environment
    }
}

/// A seed for whatever chance the command has, below 2³¹: not every generator takes a larger one.
fn seed_of(run: &Run) -> u64 {
    run.stream("seed").below(1 << 31)
}

impl Walk for CommandRecipe {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for CommandRecipe {
    fn name(&self) -> &str {
        &self.name
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let folder = std::path::absolute(run.folder()).unwrap_or_else(|_| run.folder().to_owned());
        let config_file = folder.join("config.json");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&config_file, serde_json::to_vec_pretty(config)?))
            .map_err(|why| Failure::unwritable(&config_file, &why))?;
        if let Some((name, _)) = config.answers().iter().find(|(name, _)| self.outline.entry(name.as_str()).is_err()) {
            return Err(Failure::refused(format!(
                "this trial answers `{name}`, of which the command knows nothing: the study's space changed after this worker \
                 began (start it again), or dropped it"
            )));
        }
        let number = run.number().to_string();
        let (seed, repeat) = (seed_of(run), run.repeat());
        let value = |name: &str| match name {
            "config" => config_file.display().to_string(),
            "folder" => folder.display().to_string(),
            "trial" => number.clone(),
            _ => match (config.get(name), name) {
                (Some(value), _) => value.to_string(),
                (None, "seed") if self.outline.entry("seed").is_err() => seed.to_string(),
                (None, "repeat") if self.outline.entry("repeat").is_err() => repeat.to_string(),
                (None, _) => String::new(),
            },
        };
        let launch = Launch {
            supervisor: &self.supervisor,
            argv: self.template.fill(&value),
            environment: self.environment(config, &config_file, run),
            current_folder: &self.current_folder,
            sources: &self.sources,
        };
        let files =
            self.sources.iter().filter_map(|source| source.file(|path| fill(path, &value), &self.current_folder));
        let files: Vec<FigureFile> = files.collect();
        let mut finished = tend(launch, run)?;
        run.took(finished.usage);
        for file in files {
            if let Some(figure) = file.figure() {
                finished.figures.insert(file.name, figure);
            }
        }
        let pruned = matches!(finished.stopped, Some(Why::Pruned { .. }));
        if let Some(failure) = finished.failure().filter(|_| !pruned) {
            return Err(failure);
        }
        let missing = self.goals.iter().find(|goal| !finished.figures.contains_key(&goal.metric));
        match missing.and_then(|goal| self.sources.iter().find(|source| source.name() == goal.metric)) {
            Some(source) if !pruned => Err(Failure::MissingMetric {
                metric: source.name().to_owned(),
                expected: source.expected(),
                tail: finished.tail,
            }),
            _ => Ok(Outcome { metrics: finished.figures, ..Outcome::default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use kilter_space::{Entry, Outline, parse_domain};

    use super::{Template, TemplateError};

    fn template(words: &[&str]) -> Template {
        Template::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap()
    }

    fn space(names: &[&str]) -> Outline {
        Outline::new(names.iter().map(|name| Entry::new(name, parse_domain("0..1").unwrap()).unwrap()).collect())
            .unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_kept() {
        let t = template(&["awk", "{print $1}", "--x={x}", "{{x}}", "{1:2}", "{学習率}{x}"]);
        let filled = t.fill(&|name| format!("<{name}>"));
        assert_eq!(filled, ["awk", "{print $1}", "--x=<x>", "{x}", "{1:2}", "<学習率><x>"]);
    }

    #[test]
    fn a_shell_line_quotes_its_values() {
        let t = template(&["echo {x} | tr a b"]);
        assert_eq!(t.fill(&|_| "it's; rm".to_owned()), ["sh", "-c", "echo 'it'\\''s; rm' | tr a b"]);
    }

    #[test]
    fn placeholders_and_parameters_must_go_together() {
        let unknown = template(&["train", "{learning_rte}"]).check(&space(&["learning_rate"]));
        let Err(TemplateError::NoParameter { suggestion: Some(name), .. }) = unknown else { panic!("{unknown:?}") };
        assert_eq!(name, "learning_rate");
        let unused = template(&["train", "{a}"]).check(&space(&["a", "b"]));
        assert_eq!(unused, Err(TemplateError::NeverUsed { name: "b".to_owned() }));
        assert_eq!(template(&["train", "{a}", "{config}"]).check(&space(&["a", "b"])), Ok(()));
        assert_eq!(template(&["train"]).check(&space(&["a", "b"])), Ok(()));
        assert_eq!(template(&["x"]).check(&space(&["folder"])), Err(TemplateError::Reserved("folder".to_owned())));
        assert_eq!(Template::new(vec![]), Err(TemplateError::Empty));
    }
}
