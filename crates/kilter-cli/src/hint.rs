//! What options of other programs are called here: a word that is spelt quite otherwise is no typing mistake.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Words of Optuna, Ray Tune, SMAC, W&B and make, and ours.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["--jobs", "--n-jobs", "--num-workers", "--n-workers", "--parallel", "--max-concurrent"], "--workers"),
    (&["--n-trials", "--num-samples", "--max-trials", "--max-evals", "--count", "--runs"], "--trials"),
    (&["--study-name", "--name", "--sweep", "--project"], "--study"),
    (&["--db", "--database", "--url"], "--storage"),
    (&["--direction", "--objective", "--goal", "--mode"], "--minimize"),
    (&["--timeout", "--time-budget", "--walltime-limit", "--max-time", "--max-duration"], "--budget"),
    (&["--algorithm", "--algo", "--search-alg", "--method"], "--sampler"),
    (&["--scheduler", "--early-stopping"], "--pruner"),
    (&["--parameter", "--hyperparameter", "--search-space"], "--param"),
    (&["--dataset", "--input"], "--data"),
    (&["--constraint", "--constraints"], "--require"),
];

/// `--maximize auc` or `--minimize loss` as it should be written, if `word` stands behind one of them: their metric may be
/// left out, so that it must hang on them.
pub fn detached(word: &str) -> Option<String> {
    let words: Vec<String> = std::env::args().take_while(|word| word != "--").collect();
    let behind = |pair: &&[String]| ["--maximize", "--minimize"].contains(&pair[0].as_str()) && pair[1] == word;
    words.windows(2).find(behind).map(|pair| format!("{}={}", pair[0], pair[1]))
}

/// Names the option that is meant, if the verb has one.
pub fn name(mut why: Error, cli: &Command) -> Error {
    if why.kind() != ErrorKind::UnknownArgument {
        return why;
    }
    let Some(ContextValue::String(wrong)) = why.get(ContextKind::InvalidArg) else { return why };
    if let Some(whole) = detached(wrong) {
        why.insert(ContextKind::SuggestedArg, ContextValue::String(whole));
        why.remove(ContextKind::Suggested);
        return why;
    }
    let wrong = wrong.split('=').next().unwrap_or(wrong);
    let ours = ELSEWHERE.iter().find(|(theirs, _)| theirs.contains(&wrong)).map(|(_, ours)| *ours);
    let verb = std::env::args().nth(1).and_then(|verb| cli.find_subcommand(verb));
    let has = |ours: &&str| {
        verb.is_some_and(|verb| verb.get_arguments().any(|arg| arg.get_long() == ours.strip_prefix("--")))
    };
    if let Some(ours) = ours.filter(has) {
        why.insert(ContextKind::SuggestedArg, ContextValue::String(ours.to_owned()));
        why.remove(ContextKind::Suggested);
    }
    why
}
