//! Options that give something a name: `--param NAME=DOMAIN`, `--set NAME=VALUE`.

use kilter_space::{Domain, Value, parse_domain, parse_value};

use crate::fault::Fault;

/// A hyperparameter is set or searched, and once.
pub fn named_once(params: &[(String, Domain)], set: &[(String, Value)]) -> Result<(), Fault> {
    let searched = params.iter().map(|(name, _)| (name, "--param"));
    let mut seen: Vec<(&String, &str)> = Vec::new();
    for (name, option) in searched.chain(set.iter().map(|(name, _)| (name, "--set"))) {
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, first)) if *first == option => {
                return Err(Fault::call(format!("{option} {name} is given twice; drop one")));
            }
            Some(_) => {
                return Err(Fault::call(format!(
                    "`{name}` is both searched (--param) and fixed (--set); drop one of them"
                )));
            }
            None => seen.push((name, option)),
        }
    }
    Ok(())
}
/// `NAME=DOMAIN` of a `--param`.
pub fn param(text: &str) -> Result<(String, Domain), Fault> {
    let (name, domain) = text.split_once('=').ok_or_else(|| {
        Fault::call(format!("--param {text:?}: write NAME=DOMAIN, for example --param lr=log:1e-5..1e-1"))
    })?;
    let domain = parse_domain(domain).map_err(|why| Fault::call(format!("--param {name}: {why}")))?;
    Ok((name.to_owned(), domain))
}

/// `NAME=VALUE` of a `--set`.
pub fn setting(text: &str) -> Result<(String, Value), Fault> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Fault::call(format!("--set {text:?}: write NAME=VALUE, for example --set folds=5")))?;
    Ok((name.to_owned(), parse_value(value)))
}
