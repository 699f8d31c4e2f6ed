//! Secrets in a command line: they are not stored with the study. Where one stood, the stored command has a mark, and
//! whoever runs it again sets the mark's variable.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::command::{Template, shell_quoted};

/// A secret that a stored command lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the command holds a secret that was not stored (`{name}`); set it in the environment, as in: export {variable}=…"
)]
pub struct SecretNeeded {
    /// Its name in the mark, as it was called on the command line: `api_key`.
    pub name: String,
    /// The variable that it is taken from.
    pub variable: String,
}

/// What names a secret: `--api-key`, `HF_TOKEN=`, `db.password`. What a model calls a token is none.
const NAME: &str = r"(?i:[a-z0-9_.-]*(?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|account[_-]?key|auth[_-]?key|token|secret|passwd|password|passphrase|credentials?))";

/// `--pad-token '<pad>'` and its like.
static HARMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:^|[_.-])(?:pad|eos|bos|unk|mask|cls|sep|special|start|end|stop|begin|num|n|max|min|per|image|next)[_-]?token$").ok()
});

/// The forms a secret comes in, each with the groups `name` (where it has one) and `value`.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let value = r#"(?<value>'[^']*'|"[^"]*"|[^\s'"]+)"#;
    [
        // --api-key X in a shell line, --api-key=X, TOKEN=X
        format!(r"(?:^|\s)--?(?<name>{NAME})\s+{value}"),
        format!(r"(?:^|[\s;&|'(])(?:--?)?(?<name>{NAME})=(?:{value})"),
        // postgres://user:password@host
        r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:(?<value>[^\s/@]+)@".to_owned(),
        // -H "Authorization: Bearer X"
        r"(?i:\bauthorization:\s*(?:bearer|basic|token)\s+)(?<value>[^\s'\x22]+)".to_owned(),
        // Keys that tell what they are by themselves.
        r"\b(?<value>(?:sk|hf|gh[pousr]|glpat|xox[abprs])[_-][A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16})".to_owned(),
    ]
    .iter()
    .filter_map(|form| Regex::new(form).ok())
    .collect()
});

/// The mark of a masked secret. A colon is no part of a parameter's name, so no placeholder looks like it.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{secret:([a-z0-9_]+)\}").ok());

/// An option that is a word of its own: the word behind it is the secret.
static OPTION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("^--?({NAME})$")).ok());

impl Template {
    /// This command with its secrets masked, and what they are called.
    pub fn masked(&self) -> (Self, Vec<String>) {
        let mut names: Vec<String> = Vec::new();
        let mut mask = |called: &str, value: &str| -> Option<String> {
            // What is searched is no secret, nor is what the shell fills in.
            if value.is_empty() || value.contains(['{', '$']) || HARMLESS.as_ref().is_some_and(|h| h.is_match(called)) {
                return None;
            }
            let name = called.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let name = name.trim_matches('_').to_owned();
            // Two secrets of one name are two secrets.
            let fresh = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}_{n}") });
            let name = fresh.into_iter().find(|name| !names.contains(name))?;
            names.push(name.clone());
            Some(format!("{{secret:{name}}}"))
        };
        let mut words: Vec<String> = Vec::new();
        for word in self.words() {
            let option = words.last().and_then(|before| Some(OPTION.as_ref()?.captures(before)?[1].to_owned()));
            if let Some(mark) = option.filter(|_| !word.starts_with('-')).and_then(|called| mask(&called, word)) {
                words.push(mark);
                continue;
            }
            let mut word = word.clone();
            for form in FORMS.iter() {
                word = form
                    .replace_all(&word, |found: &Captures<'_>| {
                        let whole = found[0].to_owned();
                        let Some(value) = found.name("value") else { return whole };
                        let called = found.name("name").map_or("password", |name| name.as_str());
                        let start = value.start() - found.get(0).map_or(0, |all| all.start());
                        match mask(called, value.as_str()) {
                            Some(mark) => format!("{}{mark}{}", &whole[..start], &whole[start + value.len()..]),
                            None => whole,
                        }
                    })
                    .into_owned();
            }
            words.push(word);
        }
        (Self::of(words), names)
    }

    /// This command with its secrets filled in again; `find` gives the value of a variable.
    ///
    /// # Errors
    /// [`SecretNeeded`] names the variable that is not set.
    pub fn unmasked(&self, find: impl Fn(&str) -> Option<String>) -> Result<Self, SecretNeeded> {
        let Some(mark) = MARK.as_ref() else { return Ok(self.clone()) };
        let shell = self.is_shell_line();
        let fill = |word: &String| {
            let mut missing = None;
            let filled = mark.replace_all(word, |found: &Captures<'_>| {
                let name = found[1].to_owned();
                let variable = format!("KILTER_SECRET_{}", name.to_uppercase());
                let Some(value) = find(&variable) else {
                    missing.get_or_insert(SecretNeeded { name, variable });
                    return String::new();
                };
                let value = if shell { shell_quoted(&value) } else { value };
                value.replace('{', "{{").replace('}', "}}")
            });
            let filled = filled.into_owned();
            missing.map_or(Ok(filled), Err)
        };
        Ok(Self::of(self.words().iter().map(fill).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    fn masked(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let (template, names) = Template::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap().masked();
        (template.words().to_vec(), names)
    }

    #[test]
    fn secrets_are_masked_in_every_form_they_come_in() {
        for (words, hidden, name) in [
            (&["train", "--api-key", "X7", "--lr", "{lr}"][..], "X7", "api_key"),
            (&["train", "--hf-token=X7"], "X7", "hf_token"),
            (&["env", "WANDB_API_KEY=X7", "train"], "X7", "wandb_api_key"),
            (&["TOKEN=X7 python3 train.py --lr {lr}"], "X7", "token"),
            (&["train --password 'X7 y' --lr {lr}"], "X7 y", "password"),
            (&["train", "--data", "postgres://me:X7@host/db"], "X7", "password"),
            (&["curl -H \"Authorization: Bearer X7\" {x}"], "X7", "password"),
            (&["train", "hf_abcdefghijklmnopqrstuvwx"], "hf_abcdefghijklmnopqrstuvwx", "password"),
        ] {
            let (after, names) = masked(words);
            assert!(!after.join(" ").contains(hidden), "{after:?}");
            assert_eq!(names, [name], "{after:?}");
            assert_eq!(after.len(), words.len());
        }
    }

    #[test]
    fn what_is_no_secret_is_left_alone() {
        for words in [
            &["train", "--pad-token", "<pad>", "--max-token=5", "--tokenizer", "gpt2", "--max-tokens", "9"][..],
            &["train", "--token", "{token}", "--token=$TOKEN"],
            &["train", "--secret", "--verbose"],
            &["train", "--data", "https://host/a:b@c", "--lr={lr}", "awk", "{print $1}"],
        ] {
            assert_eq!(masked(words), (words.iter().map(|word| (*word).to_owned()).collect(), vec![]));
        }
    }

    #[test]
    fn a_masked_command_is_whole_again_with_its_variables_and_names_the_one_that_lacks() {
        let words = ["train", "--api-key", "a{b}", "--lr", "{lr}", "--db", "x://u:p@h", "--api-key=c"];
        let template = Template::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap();
        let (stored, names) = template.masked();
        // A value with braces may be a placeholder, which is no secret.
        assert_eq!(names, ["password", "api_key"]);
        let find = |variable: &str| match variable {
            "KILTER_SECRET_API_KEY" => Some("{c}".to_owned()),
            "KILTER_SECRET_PASSWORD" => Some("p".to_owned()),
            _ => None,
        };
        let whole = stored.unmasked(find).unwrap();
        assert_eq!(whole.words()[6..], ["x://u:p@h", "--api-key={{c}}"]);
        assert_eq!(template.unmasked(|_| None).unwrap(), template);
        let why = stored.unmasked(|_| None).unwrap_err().to_string();
        assert!(why.contains("`password`") && why.ends_with("export KILTER_SECRET_PASSWORD=…"), "{why}");
        let line = Template::new(vec!["train --token X {x}".to_owned()]).unwrap().masked().0;
        assert_eq!(line.unmasked(|_| Some("a b".to_owned())).unwrap().words(), ["train --token 'a b' {x}"]);
    }
}
