//! A study in one file: what the options of `kilter tune` say, under the same names, and its space.
//!
//! ```toml
//! command = "python3 train.py --lr {learning_rate}"
//! metric = "loss=([0-9.eE+-]+)"
//! minimize = true
//! trials = 100
//! [parameters.learning_rate]
//! float = [1e-5, 1e-1]
//! log = true
//! ```
//!
//! Every option of `tune` is a key by itself: the file's keys are read by the parser of the command line, and count where
//! the command line says nothing.

use std::path::Path;

use clap::builder::ArgAction;
use clap::{Arg, Args, Command, FromArgMatches};
use kilter_data::near_file;
use kilter_space::quoted;
use kilter_space::text::{Document, Format, Kind, Member, Node, Problem, SpaceText, TextError};

use crate::fault::Fault;
use crate::tune::Tune;

/// The study file that `kilter tune` looks for where it is called.
pub const HERE: &str = "kilter.toml";

/// Options that a file has no use for: it declares its space under `parameters`.
const NO_KEYS: [&str; 3] = ["file", "space", "param"];

/// Of each of these only one can be meant: given in the command, it outdoes the others in the file.
const TOGETHER: [&[&str]; 2] = [&["recipe", "command"], &["minimize", "maximize"]];

/// A study's file, and what was taken from it.
pub struct StudyFile {
    document: Document,
    taken: Vec<String>,
}

impl StudyFile {
    /// The file that `args` name, or the one that lies here if they name nothing to tune; what it says is put where they
    /// say nothing.
    pub fn complete(args: &mut Tune) -> Result<Option<Self>, Fault> {
        let nothing_named = args.recipe.is_none() && args.command.is_empty();
        let path = match &args.file {
            Some(path) => path.as_path(),
            None if nothing_named && Path::new(HERE).exists() => Path::new(HERE),
            None => return Ok(None),
        };
        let mut file = Self { document: read(path)?, taken: Vec::new() };
        let mut problems = Vec::new();
        let options = options();
        for member in file.document.members() {
            let key = member.key.as_str();
            let Some(option) = options.get_arguments().find(|option| option.get_id() == key && is_key(option)) else {
                continue;
            };
            let outdone = |key: &str| args.given.iter().any(|given| given == key);
            let rivals = TOGETHER.iter().find(|together| together.contains(&key));
            if outdone(key) || rivals.is_some_and(|rivals| rivals.iter().any(|rival| outdone(rival))) {
                continue;
            }
            match file.words(option, member).and_then(|words| file.parsed(&options, member, &words)) {
                Ok(matches) => {
                    args.update_from_arg_matches(&matches).map_err(Fault::work)?;
                    file.taken.push(key.to_owned());
                }
                Err(problem) => problems.push(problem),
            }
        }
        TextError::unless(problems, Some(file)).map_err(Fault::from)
    }

    /// Its space.
    pub fn space(&self) -> Result<SpaceText, Fault> {
        Ok(space_of(&self.document)?)
    }

    /// A member as words of a command line.
    fn words(&self, option: &Arg, member: &Member) -> Result<Vec<String>, Problem> {
        let key = member.key.as_str();
        let wrong = |node: &Node, wanted: &str| {
            self.document.problem(format!("`{key}` must be {wanted}, not {}", node.what()), node.span.clone())
        };
        if option.is_positional() {
            let list = match &member.value.kind {
                Kind::List(items) if key == "command" => items.iter().map(word).collect(),
                _ => word(&member.value).map(|word| vec![word]),
            };
            let words = list.map_err(|node| wrong(node, "a text"))?;
            return Ok(if key == "command" { [vec!["--".to_owned()], words].concat() } else { words });
        }
        let repeatable = matches!(option.get_action(), ArgAction::Append);
        let takes_no_value = option.get_num_args().is_some_and(|count| count.min_values() == 0);
        let with = |value: &str| format!("--{}={value}", option.get_long().unwrap_or(key));
        match &member.value.kind {
            Kind::Bool(said) if takes_no_value => {
                Ok(if *said { vec![format!("--{}", option.get_long().unwrap_or(key))] } else { Vec::new() })
            }
            Kind::List(items) if repeatable && key != "set" => {
                let words = items.iter().map(|item| word(item).map(|word| with(&word)));
                words.collect::<Result<_, _>>().map_err(|node| wrong(node, "a text or a list of texts"))
            }
            Kind::Table(members) if key == "set" => {
                let setting = |member: &Member| {
                    let value = member.value.value().map_err(|node| wrong(node, "a table of values"))?;
                    Ok(with(&format!("{}={}", member.key, quoted(&value))))
                };
                members.iter().map(setting).collect()
            }
            _ if key == "set" => Err(wrong(&member.value, "a table: [set], then folds = 5")),
            _ => {
                let wanted = if repeatable { "a text or a list of texts" } else { "a text or a number" };
                word(&member.value).map(|word| vec![with(&word)]).map_err(|node| wrong(node, wanted))
            }
        }
    }

    /// The words as the command line's parser takes them.
    fn parsed(&self, options: &Command, member: &Member, words: &[String]) -> Result<clap::ArgMatches, Problem> {
        options.clone().try_get_matches_from(words).map_err(|why| {
            let reason = std::error::Error::source(&why).map_or_else(
                || why.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
                |reason| format!("`{}` cannot be this: {reason}", member.key),
            );
            self.document.problem(reason, member.value.span.clone())
        })
    }
}

/// Where options came from: the call, or a study's file.
pub struct Origin<'a>(pub Option<&'a StudyFile>);

impl<'a> Origin<'a> {
    /// What is wrong with one of these options, pointed at if the first of them that was given came from a file.
    pub fn option(&self, options: &'a [&str]) -> impl Fn(Fault) -> Fault + 'a {
        let said = self.0.and_then(|file| {
            let taken = |option: &&str| file.taken.iter().any(|taken| taken == option);
            let option = options.iter().copied().find(taken)?;
            Some((&file.document, file.document.get(option)?.span.clone()))
        });
        move |fault| match (&said, fault) {
            (Some((document, span)), Fault::Call(why)) => TextError::from(document.problem(why, span.clone())).into(),
            (_, fault) => fault,
        }
    }
}

/// A single value as a word.
fn word(node: &Node) -> Result<String, &Node> {
    match &node.kind {
        Kind::Text(text) => Ok(text.clone()),
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => node.value().map(|value| value.to_string()),
        _ => Err(node),
    }
}

/// The options of `tune`, without their defaults: what a file does not say, it leaves.
fn options() -> Command {
    let command = Command::new("tune").no_binary_name(true).disable_help_flag(true);
    Tune::augment_args_for_update(command).mut_args(|option| option.default_value(None))
}

fn is_key(option: &Arg) -> bool {
    !NO_KEYS.contains(&option.get_id().as_str())
}

/// A file with a space in it, its own or a study's.
pub fn space_in(path: &Path) -> Result<SpaceText, Fault> {
    Ok(space_of(&read(path)?)?)
}

fn space_of(document: &Document) -> Result<SpaceText, TextError> {
    let options = options();
    let keys: Vec<&str> =
        options.get_arguments().filter(|option| is_key(option)).map(|option| option.get_id().as_str()).collect();
    document.space(&keys)
}

fn read(path: &Path) -> Result<Document, Fault> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|why| {
        let advice = match why.kind() {
            std::io::ErrorKind::NotFound => {
                near_file(path, &[".toml", ".json"]).map(|near| format!("; did you mean {}?", near.display()))
            }
            std::io::ErrorKind::IsADirectory => Some(format!("; name a file in it, such as {name}/{HERE}")),
            _ => None,
        };
        Fault::call(format!("cannot read {name}: {why}{}", advice.unwrap_or_default()))
    })?;
    Ok(Document::read(&name, &bytes, Format::of(&name))?)
}
