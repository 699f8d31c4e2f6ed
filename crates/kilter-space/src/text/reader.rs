//! Reading the schema of a space's text: each parameter, each constraint, with the place of whatever is wrong.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::Format;
use super::node::{Kind, Member, Node};
use super::problem::{Problem, Source};
use super::space::{Condition, Parameter, within};
use crate::distances::{Distances, DistancesError};
use crate::domain::{Choice, Domain, DomainError, Float, Int};
use crate::entry::{Entry, Prior};
use crate::expression::{Expr, ExprError};
use crate::inline::{InlineError, parse_domain};
use crate::name::nearest;
use crate::value::Value;

/// Keys that say what may be answered; a parameter has one of them.
const DOMAINS: [&str; 8] = ["float", "int", "choice", "ordinal", "subset", "permutation", "fixed", "domain"];

/// The other keys of a parameter.
const REMARKS: [&str; 8] = ["log", "step", "default", "prior", "distances", "when", "about", "setting"];

/// What a domain looks like.
const EXAMPLES: &str = "write one of float = [0, 1], int = [1, 8], choice = [\"a\", \"b\"], ordinal, subset, permutation, \
                        fixed = 3 or domain = \"log:1e-5..1e-1\"";

/// Does a table say what may be answered?
pub(super) fn declares(members: &[Member]) -> bool {
    members.iter().any(|member| DOMAINS.contains(&member.key.as_str()))
}

/// Is `key` none of the known ones, and nearest to one of `meant`?
fn misspelt(key: &str, meant: &[&str], others: &[&str]) -> bool {
    let known = || meant.iter().chain(others).copied();
    !known().any(|other| other == key) && nearest(key, known()).is_some_and(|near| meant.contains(&near))
}

/// Is it a scope: a table of parameters (`[parameters.tree.max_depth]`) and no parameter itself?
fn is_scope(members: &[Member]) -> bool {
    let parameter = |member: &Member| match &member.value.kind {
        Kind::Table(members) => member.key != "prior" && (declares(members) || is_scope(members)),
        Kind::Text(_) => nearest(&member.key, DOMAINS.into_iter().chain(REMARKS)).is_none(),
        _ => false,
    };
    !members.is_empty() && members.iter().all(parameter)
}

/// Reads on after an error, so that all are told at once.
pub(super) struct Reader<'a> {
    pub source: &'a Arc<Source>,
    pub format: Format,
    pub problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, message: impl Into<String>, span: &Range<usize>) {
        self.problems.push(self.source.problem(message, span.clone()));
    }

    fn wrong_with_help(&mut self, message: impl Into<String>, span: &Range<usize>, help: impl Into<String>) {
        self.problems.push(self.source.problem(message, span.clone()).help(help));
    }

    pub(super) fn wrong_kind(&mut self, member: &Member, wanted: &str, help: &str) {
        let message = format!("`{}` must be {wanted}, not {}", member.key, member.value.what());
        self.wrong_with_help(message, &member.key_span, help);
    }

    /// JSON lets a key stand twice; here it must not.
    pub(super) fn once(&mut self, members: &[Member]) {
        let mut seen = HashSet::new();
        for member in members {
            if !seen.insert(member.key.as_str()) {
                self.wrong_with_help(format!("`{}` stands twice", member.key), &member.key_span, "drop one");
            }
        }
    }

    pub(super) fn parameter(&mut self, scope: &str, member: &Member, into: &mut Vec<Parameter>) {
        let full = format!("{scope}{}", member.key);
        let members = match &member.value.kind {
            Kind::Table(members) => members,
            Kind::Text(text) => {
                if let Some(domain) = self.inline(&full, text, &member.value.span) {
                    into.extend(self.named(&full, domain, member).map(|entry| Parameter {
                        entry,
                        place: member.key_span.clone(),
                        when: None,
                    }));
                }
                return;
            }
            // One name with several domains, of which conditions choose: `[[parameters.depth]]`.
            Kind::List(items) if !items.is_empty() && items.iter().all(|i| matches!(i.kind, Kind::Table(_))) => {
                for item in items {
                    if let Kind::Table(members) = &item.kind {
                        self.once(members);
                        let entry = self.entry(&full, member, members, into);
                        into.extend(entry.map(|(entry, when)| Parameter { entry, place: item.span.clone(), when }));
                    }
                }
                return;
            }
            Kind::List(items) => {
                let shown = self.source.slice(&member.value.span);
                let kind = match items.as_slice() {
                    [a, b] if [a, b].iter().all(|end| matches!(end.kind, Kind::Int(_))) => "int",
                    [a, b] if a.as_number().is_some() && b.as_number().is_some() => "float",
                    _ => "choice",
                };
                let help = format!("write {} = {{ {kind} = {shown} }}", member.key);
                return self.wrong_with_help(format!("hyperparameter `{full}` has no domain"), &member.key_span, help);
            }
            _ => {
                let message = format!("hyperparameter `{full}` must be a table or a domain in quotes");
                let shown = self.source.slice(&member.value.span);
                let help = format!("write {} = \"0..1\", or {0} = {{ fixed = {shown} }}", member.key);
                return self.wrong_with_help(message, &member.value.span, help);
            }
        };
        self.once(members);
        if is_scope(members) {
            for member in members {
                self.parameter(&format!("{full}."), member, into);
            }
            return;
        }
        if let Some((entry, when)) = self.entry(&full, member, members, into) {
            into.push(Parameter { entry, place: member.key_span.clone(), when });
        }
    }

    fn named(&mut self, name: &str, domain: Domain, member: &Member) -> Option<Entry> {
        Entry::new(name, domain).map_err(|why| self.wrong(why.to_string(), &member.key_span)).ok()
    }

    /// A parameter's table: its domain and what is said besides.
    fn entry(
        &mut self,
        name: &str,
        parameter: &Member,
        members: &[Member],
        into: &mut Vec<Parameter>,
    ) -> Option<(Entry, Option<Condition>)> {
        for member in members {
            let key = member.key.as_str();
            if DOMAINS.contains(&key) || REMARKS.contains(&key) {
                continue;
            }
            match &member.value.kind {
                // `[parameters.tree]` may be a parameter, and `[parameters.tree.depth]` another one.
                Kind::Table(inner) if declares(inner) || is_scope(inner) => {
                    self.parameter(&format!("{name}."), member, into);
                }
                _ => {
                    let message = format!("unknown key `{key}` of hyperparameter `{name}`");
                    let help = match nearest(key, DOMAINS.into_iter().chain(REMARKS)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}, {}", DOMAINS.join(", "), REMARKS.join(", ")),
                    };
                    self.wrong_with_help(message, &member.key_span, help);
                }
            }
        }
        let get = |key: &str| members.iter().find(|member| member.key == key);
        let domain = self.domain(name, parameter, members);
        let when = get("when").and_then(|member| self.condition(member));
        let about = get("about").and_then(|member| self.text(member)).unwrap_or_default();
        let setting = get("setting").and_then(|member| self.flag(member)).unwrap_or_default();
        let domain = domain?;
        let prior = get("prior").and_then(|member| self.prior(name, &member.value, &domain));
        let distances = get("distances").and_then(|member| self.distances(name, &member.value, &domain));
        let default = get("default").and_then(|member| Some((self.value(&member.value)?, &member.value.span)));
        let mut entry = self.named(name, domain, parameter)?;
        if let Some((value, span)) = default {
            entry.default = entry.check(&value).map_err(|why| self.wrong(format!("the default of {why}"), span)).ok();
        }
        entry.prior = prior;
        entry.distances = distances;
        entry.when = when.as_ref().map(|when| when.expr.clone());
        entry.setting = setting;
        entry.about = about;
        Some((entry, when))
    }

    fn domain(&mut self, name: &str, parameter: &Member, members: &[Member]) -> Option<Domain> {
        let given: Vec<&Member> = members.iter().filter(|m| DOMAINS.contains(&m.key.as_str())).collect();
        let [member] = given.as_slice() else {
            let problem = match given.as_slice() {
                // Said already, with the key that is meant.
                [] if members.iter().any(|member| misspelt(&member.key, &DOMAINS, &REMARKS)) => return None,
                [] => self
                    .source
                    .problem(format!("hyperparameter `{name}` has no domain"), parameter.key_span.clone())
                    .help(EXAMPLES),
                [first, rest @ ..] => {
                    let keys: Vec<String> = given.iter().map(|member| format!("`{}`", member.key)).collect();
                    let message =
                        format!("hyperparameter `{name}` has {} domains: {}", given.len(), keys.join(" and "));
                    let problem = self.source.problem(message, first.key_span.clone()).help("keep one of them");
                    rest.iter().fold(problem, |problem, member| problem.and_at(member.key_span.clone()))
                }
            };
            self.problems.push(problem);
            return None;
        };
        let get = |key: &str| members.iter().find(|member| member.key == key);
        let kind = member.key.as_str();
        if !matches!(kind, "float" | "int") {
            for belongs_to_ranges in ["log", "step"].into_iter().filter_map(get) {
                let key = &belongs_to_ranges.key;
                let message = format!("`{key}` of hyperparameter `{name}` goes with float and int, not with {kind}");
                let help = match (kind, key.as_str()) {
                    ("domain", "log") => "say it in the domain: \"log:1e-5..1e-1\"",
                    ("domain", _) => "say it in the domain: \"0..1/0.05\"",
                    _ => "leave it out",
                };
                self.wrong_with_help(message, &belongs_to_ranges.key_span, help);
            }
        }
        let range = RangeText { name, kind, list: &member.value, log: get("log"), step: get("step") };
        match kind {
            "float" => self.float(&range),
            "int" => self.int(&range),
            "choice" => self.items(name, member).map(Domain::Choice),
            "ordinal" => self.items(name, member).map(Domain::Ordinal),
            "subset" => self.items(name, member).map(Domain::Subset),
            "permutation" => self.items(name, member).map(Domain::Permutation),
            "fixed" => self.value(&member.value).map(Domain::Fixed),
            _ => {
                let text = self.text(member)?;
                self.inline(name, &text, &member.value.span)
            }
        }
    }

    /// The two ends of a range.
    fn ends<T>(&mut self, range: &RangeText<'_>, wanted: &str, read: impl Fn(&Node) -> Option<T>) -> Option<(T, T)> {
        let help = format!("write {} = [low, high]", range.kind);
        let Kind::List(items) = &range.list.kind else {
            let message = format!("`{}` must be a list of two numbers, not {}", range.kind, range.list.what());
            self.wrong_with_help(message, &range.list.span, help);
            return None;
        };
        let [low, high] = items.as_slice() else {
            let message = format!("a range has two ends, and here are {}", items.len());
            self.wrong_with_help(message, &range.list.span, help);
            return None;
        };
        let ends = (read(low), read(high));
        for (end, read) in [(low, &ends.0), (high, &ends.1)] {
            if read.is_none() {
                let shown = self.source.slice(&end.span);
                self.wrong(format!("hyperparameter `{}`: {shown} is not {wanted}", range.name), &end.span);
            }
        }
        Some((ends.0?, ends.1?))
    }

    fn float(&mut self, range: &RangeText<'_>) -> Option<Domain> {
        let ends = self.ends(range, "a number", Node::as_number);
        let log = range.log.and_then(|member| self.flag(member)).unwrap_or_default();
        let step = match range.step {
            Some(member) => {
                let step = member.value.as_number();
                if step.is_none() {
                    self.wrong_kind(member, "a number", "write for example step = 0.05");
                }
                Some(step?)
            }
            None => None,
        };
        let (low, high) = ends?;
        let whole = if log { Float::log(low, high) } else { Float::new(low, high) };
        let made = whole.and_then(|whole| step.map_or(Ok(whole.clone()), |step| whole.step(step)));
        made.map(Domain::Float).map_err(|why| self.refuse_range(range, &why)).ok()
    }

    fn int(&mut self, range: &RangeText<'_>) -> Option<Domain> {
        let whole = |node: &Node| match node.kind {
            Kind::Int(i) => Some(i),
            _ => None,
        };
        let ends =
            self.ends(range, "a whole number between -2^63 and 2^63-1 (a range with fractions is a float)", whole);
        let log = range.log.and_then(|member| self.flag(member)).unwrap_or_default();
        let step = match range.step {
            Some(member) => {
                let step = whole(&member.value);
                match step {
                    None => self.wrong_kind(member, "a whole number", "write for example step = 2"),
                    Some(step) if step < 1 => {
                        self.wrong(DomainError::BadStep(step.into()).to_string(), &member.value.span);
                    }
                    Some(_) => {}
                }
                Some(u64::try_from(step?).ok().filter(|step| *step > 0)?)
            }
            None => None,
        };
        let (low, high) = ends?;
        let whole = if log { Int::log(low, high) } else { Int::new(low, high) };
        let made = whole.and_then(|whole| step.map_or(Ok(whole.clone()), |step| whole.step(step)));
        made.map(Domain::Int).map_err(|why| self.refuse_range(range, &why)).ok()
    }

    fn refuse_range(&mut self, range: &RangeText<'_>, why: &DomainError) {
        let value =
            |member: Option<&Member>| member.map_or(range.list.span.clone(), |member| member.value.span.clone());
        let place = match (why, &range.list.kind) {
            (DomainError::BadStep(_) | DomainError::LongStep { .. } | DomainError::TinyStep { .. }, _) => {
                value(range.step)
            }
            (DomainError::LogOfNonPositive { .. }, Kind::List(items)) => items[0].span.clone(),
            (DomainError::LogWithStep, _) => value(range.log),
            _ => range.list.span.clone(),
        };
        let problem = self.source.problem(format!("hyperparameter `{}`: {}", range.name, in_a_table(why)), place);
        let both = matches!(why, DomainError::LogWithStep);
        self.problems.push(if both { problem.and_at(value(range.step)) } else { problem });
    }

    /// Distinct values.
    fn items(&mut self, name: &str, member: &Member) -> Option<Choice> {
        let Kind::List(items) = &member.value.kind else {
            let help = format!("write {} = [\"adam\", \"sgd\"]", member.key);
            self.wrong_kind(member, "a list of values", &help);
            return None;
        };
        let values: Vec<Option<Value>> = items.iter().map(|item| self.value(item)).collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        match Choice::new(values.clone()) {
            Ok(choice) => Some(choice),
            Err(why) => {
                let twice = match &why {
                    DomainError::TwiceTheSame(twice) => values.iter().rposition(|value| value == twice),
                    _ => None,
                };
                let place = twice.map_or(&member.value.span, |at| &items[at].span);
                self.wrong(format!("hyperparameter `{name}`: {}", in_a_table(&why)), place);
                None
            }
        }
    }

    fn value(&mut self, node: &Node) -> Option<Value> {
        match node.value() {
            Ok(value) => Some(value),
            Err(at) => {
                let help = match at.kind {
                    Kind::Other(_) => "put it in quotes",
                    Kind::Table(_) => "a value is a text, a number, true, false or { null = true }",
                    _ => "numbers must be finite",
                };
                let shown = self.source.slice(&at.span);
                self.wrong_with_help(format!("{shown} ({}) cannot be a value", at.what()), &at.span, help);
                None
            }
        }
    }

    /// A domain in inline syntax.
    fn inline(&mut self, name: &str, text: &str, place: &Range<usize>) -> Option<Domain> {
        parse_domain(text)
            .map_err(|why| {
                let mut place = place.clone();
                if let InlineError::NotANumber { text: word, .. } = &why
                    && let Some(at) = text.find(word.as_str()).filter(|_| !word.is_empty())
                {
                    let start = text[..at].chars().count();
                    place = within(self.source, &place, &(start..start + word.chars().count()), self.format);
                }
                self.wrong(format!("hyperparameter `{name}`: {why}"), &place);
            })
            .ok()
    }

    fn prior(&mut self, name: &str, node: &Node, domain: &Domain) -> Option<Prior> {
        let example = "write prior = { center = 3e-4, spread = 3.0 }";
        let Kind::Table(members) = &node.kind else {
            let message = format!("the prior of `{name}` must be a table, not {}", node.what());
            self.wrong_with_help(message, &node.span, example);
            return None;
        };
        self.once(members);
        for member in members.iter().filter(|member| !["center", "spread"].contains(&member.key.as_str())) {
            let near = nearest(&member.key, ["center", "spread"]);
            let help = near.map_or(example.to_owned(), |near| format!("did you mean `{near}`?"));
            self.wrong_with_help(format!("unknown key `{}` of a prior", member.key), &member.key_span, help);
        }
        let mut number = |key: &str| {
            let Some(member) = members.iter().find(|member| member.key == key) else {
                if !members.iter().any(|member| misspelt(&member.key, &[key], &[])) {
                    self.wrong_with_help(format!("the prior of `{name}` has no `{key}`"), &node.span, example);
                }
                return None;
            };
            let number = member.value.as_number();
            if number.is_none() {
                self.wrong_kind(member, "a number", example);
            }
            number
        };
        let (center, spread) = (number("center"), number("spread"));
        let prior = Prior { center: center?, spread: spread? };
        match prior.trouble(domain) {
            None => Some(prior),
            Some((key, why)) => {
                let at =
                    members.iter().find(|member| member.key == key).map_or(&node.span, |member| &member.value.span);
                self.wrong(format!("the prior of `{name}`: {why}"), at);
                None
            }
        }
    }

    /// From each value of a choice a list of the distances to each.
    fn distances(&mut self, name: &str, node: &Node, domain: &Domain) -> Option<Distances> {
        let example = "for three values, write distances = [[0, 1, 4], [1, 0, 4], [4, 4, 0]]";
        let row = |node: &Node| match &node.kind {
            Kind::List(items) => items.iter().map(Node::as_number).collect::<Option<Vec<f64>>>(),
            _ => None,
        };
        let Kind::List(rows) = &node.kind else {
            let message = format!("the distances of `{name}` must be a list of lists of numbers, not {}", node.what());
            self.wrong_with_help(message, &node.span, example);
            return None;
        };
        let mut table = Vec::with_capacity(rows.len());
        for node in rows {
            let Some(row) = row(node) else {
                let message = format!("the distances of `{name}` from one value must be a list of numbers");
                self.wrong_with_help(message, &node.span, example);
                return None;
            };
            table.push(row);
        }
        let made = match Distances::trouble(table.len(), domain) {
            None => Distances::new(&table),
            Some(why) => Err(DistancesError::of_all(why)),
        };
        let at = |why: &DistancesError| why.row.map_or(&node.span, |row| &rows[row].span);
        made.map_err(|why| self.wrong(format!("the distances of `{name}`: {why}"), at(&why))).ok()
    }

    fn condition(&mut self, member: &Member) -> Option<Condition> {
        let Some(text) = member.value.as_text() else {
            self.wrong_kind(member, "a text", &format!("write {} = \"optimizer == 'sgd'\"", member.key));
            return None;
        };
        let place = member.value.span.clone();
        match Expr::parse(text) {
            Ok(expr) => Some(Condition { expr, place }),
            Err(ExprError { message, span, .. }) => {
                self.wrong(message, &within(self.source, &place, &span, self.format));
                None
            }
        }
    }

    pub(super) fn constraint(&mut self, item: &Node) -> Option<Condition> {
        let example = "write require = \"a < b\"";
        let Kind::Table(members) = &item.kind else {
            let message = format!("a constraint is a table with `require`, not {}", item.what());
            self.wrong_with_help(message, &item.span, example);
            return None;
        };
        self.once(members);
        for member in members {
            match member.key.as_str() {
                "require" => {}
                // For whoever reads the file.
                "about" => drop(self.text(member)),
                key => {
                    let near = nearest(key, ["require", "about"]);
                    let help = near.map_or(example.to_owned(), |near| format!("did you mean `{near}`?"));
                    self.wrong_with_help(format!("unknown key `{key}` of a constraint"), &member.key_span, help);
                }
            }
        }
        match members.iter().find(|member| member.key == "require") {
            Some(member) => self.condition(member),
            None if members.iter().any(|member| misspelt(&member.key, &["require"], &["about"])) => None,
            None => {
                self.wrong_with_help("this constraint requires nothing", &item.span, example);
                None
            }
        }
    }

    fn text(&mut self, member: &Member) -> Option<String> {
        if member.value.as_text().is_none() {
            self.wrong_kind(member, "a text", "put it in quotes");
        }
        member.value.as_text().map(str::to_owned)
    }

    fn flag(&mut self, member: &Member) -> Option<bool> {
        match member.value.kind {
            Kind::Bool(flag) => Some(flag),
            _ => {
                self.wrong_kind(member, "true or false", "leave it out for false");
                None
            }
        }
    }
}

/// A range as written, with what belongs to it.
struct RangeText<'a> {
    name: &'a str,
    kind: &'a str,
    list: &'a Node,
    log: Option<&'a Member>,
    step: Option<&'a Member>,
}

/// A refusal, with its advice in the notation of a file.
fn in_a_table(why: &DomainError) -> String {
    match why {
        DomainError::OnePoint(value) => {
            format!("low and high are both {value}, so there is nothing to search; write fixed = {value}")
        }
        DomainError::NoChoice => "there must be at least one value; write for example [\"adam\", \"sgd\"]".to_owned(),
        why => why.to_string(),
    }
}
