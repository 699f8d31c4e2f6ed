//! A space as read from a text: its parts with their places, and what becomes of them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::node::{Kind, character_places};
use super::problem::{Problem, Source, TextError};
use super::reader::{Reader, declares};
use super::{Document, Format};
use crate::domain::Domain;
use crate::entry::Entry;
use crate::expression::Expr;
use crate::name::{Name, nearest};
use crate::outline::{Outline, SpaceError};
use crate::value::Value;

/// A space as read: its parts, each with its place.
#[derive(Clone, Debug)]
pub struct SpaceText {
    source: Arc<Source>,
    format: Format,
    parameters: Vec<Parameter>,
    constraints: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub entry: Entry,
    pub place: Range<usize>,
    pub when: Option<Condition>,
}

/// An expression and its text's place, quotes included.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub expr: Expr,
    pub place: Range<usize>,
}

impl SpaceText {
    pub(super) fn read(document: &Document, further: &[&str]) -> Result<Self, TextError> {
        let mut reader = Reader { source: &document.source, format: document.format, problems: Vec::new() };
        let mut space = Self {
            source: document.source.clone(),
            format: document.format,
            parameters: Vec::new(),
            constraints: Vec::new(),
        };
        let known: Vec<&str> = ["parameters", "constraints"].iter().chain(further).copied().collect();
        reader.once(&document.root);
        for member in &document.root {
            match (member.key.as_str(), &member.value.kind) {
                ("parameters", Kind::Table(members)) => {
                    reader.once(members);
                    for member in members {
                        reader.parameter("", member, &mut space.parameters);
                    }
                }
                ("parameters", _) => {
                    reader.wrong_kind(member, "a table of parameters", "write [parameters.learning_rate]");
                }
                ("constraints", Kind::List(items)) => {
                    space.constraints.extend(items.iter().filter_map(|item| reader.constraint(item)));
                }
                ("constraints", _) => reader.wrong_kind(
                    member,
                    "a list of constraints",
                    "write [[constraints]] with two brackets on each side, then require = \"a < b\"",
                ),
                (key, _) if known.contains(&key) => {}
                (key, value) => {
                    let problem = document.problem(format!("unknown key `{key}`"), member.key_span.clone());
                    let is_parameter = matches!(value, Kind::Table(members) if declares(members));
                    reader.problems.push(match nearest(key, known.iter().copied()) {
                        _ if is_parameter => problem.help(format!("a parameter is written [parameters.{key}]")),
                        Some(near) => problem.help(format!("did you mean `{near}`?")),
                        None => problem.help(format!("there are {}", known.join(", "))),
                    });
                }
            }
        }
        // Scopes and lists of tables may be written apart.
        space.parameters.sort_by_key(|parameter| parameter.place.start);
        TextError::unless(reader.problems, space)
    }

    /// The parameters, in the order written.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.parameters.iter().map(|parameter| &parameter.entry)
    }

    /// What every configuration must fulfil, in the order written.
    pub fn constraints(&self) -> impl Iterator<Item = &Expr> {
        self.constraints.iter().map(|constraint| &constraint.expr)
    }

    /// Does it declare no parameter?
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Gives the parameter `name` another domain, or declares it, behind all others. A default, a prior, distances that the
    /// new domain does not hold go.
    ///
    /// # Errors
    /// If `name` cannot be a name.
    pub fn replace(&mut self, name: &str, domain: Domain) -> Result<(), SpaceError> {
        let mut declared = false;
        for entry in self.parameters.iter_mut().map(|parameter| &mut parameter.entry) {
            if entry.name == *name {
                entry.search(domain.clone());
                declared = true;
            }
        }
        if !declared {
            self.parameters.push(Parameter { entry: Entry::new(name, domain)?, place: 0..0, when: None });
        }
        Ok(())
    }

    /// Something wrong with the parameter `name`, at the place where it is declared.
    pub fn problem_of(&self, name: &str, message: impl Into<String>) -> Problem {
        match self.parameters.iter().find(|parameter| parameter.entry.name == *name) {
            Some(parameter) => self.source.problem(message, parameter.place.clone()),
            None => self.source.problem_of_all(message),
        }
    }

    /// The space.
    ///
    /// # Errors
    /// If it declares no parameter, conditions speak of unknown names or wait for each other.
    pub fn outline(&self) -> Result<Outline, TextError> {
        if self.is_empty() {
            let problem = self.source.problem_of_all("no parameter is declared");
            return Err(problem.help("write [parameters.learning_rate] and under it float = [1e-5, 1e-1]").into());
        }
        let names: Vec<&str> = self.entries().map(|entry| entry.name.as_str()).collect();
        self.only_speaks_of(&names)?;
        let entries = self.entries().cloned().collect();
        let constraints = self.constraints().cloned().collect();
        Outline::constrained(entries, constraints).map_err(|why| self.refusal(&why))
    }

    /// `declared` with these parameters in the place of its own of the same name, and under these constraints as well.
    /// What a parameter does not say here (default, prior, distances, what it does) it says as declared, if that still fits.
    ///
    /// # Errors
    /// If a parameter is not declared, or has a condition: when it is asked is not for this text to say. Also as
    /// [`SpaceText::outline`].
    pub fn over(&self, declared: &Outline) -> Result<Outline, TextError> {
        let names: Vec<&str> = declared.entries().iter().map(|entry| entry.name.as_str()).collect();
        let mut problems = Vec::new();
        for Parameter { entry, place, when } in &self.parameters {
            let name = &entry.name;
            if !names.contains(&name.as_str()) {
                let problem = self.source.problem(format!("there is no hyperparameter `{name}`"), place.clone());
                problems.push(match nearest(name.as_str(), names.iter().copied()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(format!("there are {}", names.join(", "))),
                });
            } else if let Some(when) = when {
                let problem =
                    self.source.problem(format!("when `{name}` is asked is not to be changed"), when.place.clone());
                problems.push(problem.help("leave out `when`"));
            }
        }
        TextError::unless(problems, ())?;
        self.only_speaks_of(&names)?;
        let mut entries = declared.entries().to_vec();
        for entry in &mut entries {
            let Some(said) = self.entries().find(|said| said.name == entry.name) else { continue };
            entry.search(said.domain.clone());
            entry.setting = said.setting;
            entry.default = said.default.clone().or(entry.default.take());
            entry.prior = said.prior.or(entry.prior.take());
            entry.distances = said.distances.clone().or(entry.distances.take());
            if !said.about.is_empty() {
                entry.about.clone_from(&said.about);
            }
        }
        let constraints = declared.constraints().iter().chain(self.constraints()).cloned().collect();
        Outline::constrained(entries, constraints).map_err(|why| self.refusal(&why))
    }

    /// Refuses conditions and constraints that speak of other names than `names`.
    fn only_speaks_of(&self, names: &[&str]) -> Result<(), TextError> {
        let known: HashSet<&str> = names.iter().copied().collect();
        let mut problems = Vec::new();
        for condition in self.conditions() {
            for (name, span) in condition.expr.names() {
                if !known.contains(name.as_str()) {
                    let place = within(&self.source, &condition.place, &span, self.format);
                    let problem = self.source.problem(format!("there is no hyperparameter `{name}`"), place);
                    problems.push(match nearest(name.as_str(), names.iter().copied()) {
                        Some(near) => problem.help(format!("did you mean `{near}`? (a text is written '{name}')")),
                        None => problem.help(format!("declare it, or write '{name}' if a text is meant")),
                    });
                }
            }
        }
        TextError::unless(problems, ())
    }

    /// What can be but is hardly meant, if there is something: a condition or a constraint that says of a hyperparameter
    /// that it is a text which it never is. It would never hold (or always), and nobody would notice. No error, since a
    /// space may be narrowed with its conditions left as they are. `declared` are further hyperparameters that conditions
    /// may speak of.
    pub fn doubts(&self, declared: &[Entry]) -> Option<TextError> {
        let mut domains: HashMap<&str, Vec<&Domain>> = HashMap::new();
        for entry in self.entries().chain(declared) {
            domains.entry(entry.name.as_str()).or_default().push(&entry.domain);
        }
        let mut doubts = Vec::new();
        for condition in self.conditions() {
            for (name, text, span) in condition.expr.texts() {
                let Some(domains) = domains.get(name.as_str()) else { continue };
                let value = Value::from(text.as_str());
                if domains.iter().any(|domain| domain.accept(&value).is_some()) {
                    continue;
                }
                let allowed: Vec<String> = domains.iter().map(ToString::to_string).collect();
                let why = format!("`{name}` is never '{text}': it is {}", allowed.join(" or "));
                let place = within(&self.source, &condition.place, &span, self.format);
                let doubt = self.source.problem(why, place).doubt();
                doubts.push(match nearest(&text, domains.iter().flat_map(|domain| domain.texts())) {
                    Some(near) => doubt.help(format!("did you mean '{near}'?")),
                    None => doubt.help("this part of the condition decides nothing; drop it, or add the value"),
                });
            }
        }
        TextError::unless(doubts, ()).err()
    }

    /// All conditions, then all constraints.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.parameters.iter().filter_map(|parameter| parameter.when.as_ref()).chain(&self.constraints)
    }

    /// A refusal of the space as a whole, at the parameters or constraints that it is about.
    pub fn refusal(&self, why: &SpaceError) -> TextError {
        let names: &[Name] = match why {
            SpaceError::Cycle(names) => names,
            SpaceError::DeclaredTwice(name) | SpaceError::Outside { name, .. } => std::slice::from_ref(name),
            _ => &[],
        };
        let rules: &[String] = match why {
            SpaceError::Contradiction(rules) => rules,
            SpaceError::Vanishing(rule) => std::slice::from_ref(rule),
            _ => &[],
        };
        let members = names.iter().filter_map(|name| self.parameters.iter().find(|p| p.entry.name == *name));
        let places = members.map(|p| p.when.as_ref().map_or(p.place.clone(), |when| when.place.clone()));
        let rules = rules.iter().filter_map(|rule| self.constraints.iter().find(|c| c.expr.source() == rule));
        let mut places = places.chain(rules.map(|rule| rule.place.clone()));
        let Some(first) = places.next() else {
            return self.source.problem_of_all(why.to_string()).into();
        };
        places.fold(self.source.problem(why.to_string(), first), Problem::and_at).into()
    }
}

/// The place of some characters of a text that is written at `place`, quotes included.
pub(super) fn within(source: &Source, place: &Range<usize>, characters: &Range<usize>, format: Format) -> Range<usize> {
    let places = character_places(source.slice(place), format);
    let at = |character: usize| place.start + places.get(character).or(places.last()).copied().unwrap_or(0);
    at(characters.start)..at(characters.end)
}
