//! What CI checks, step by step; the first step that fails ends it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{arrows, cargo, python, root};

/// One command of a step.
struct Call {
    words: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
}

impl Call {
    /// `cargo` with these words.
    fn new(words: &str) -> Self {
        Self { words: words.split(' ').map(str::to_owned).collect(), environment: None }
    }

    fn filtered(mut self, filters: &[&str]) -> Self {
        if !filters.is_empty() {
            self.words.push("--".to_owned());
            self.words.extend(filters.iter().map(|&filter| filter.to_owned()));
        }
        self
    }

    /// The call as one types it.
    fn typed(&self) -> String {
        let set = self.environment.map(|(name, value)| format!("{name}=\"{value}\" ")).unwrap_or_default();
        format!("{set}cargo {}", self.words.join(" "))
    }

    fn run(&self) -> Result<(), String> {
        let mut command = Command::new(cargo());
        command.args(&self.words).envs(self.environment).current_dir(root());
        let status = command.status().map_err(|why| format!("cannot start `{}`: {why}", self.typed()))?;
        if status.success() { Ok(()) } else { Err(format!("{status}; rerun: {}", self.typed())) }
    }
}

/// All steps; `filters` narrow the tests.
///
/// # Errors
/// The first step that fails, and what reruns it.
pub fn test(filters: &[&str]) -> Result<(), String> {
    if let Some(option) = filters.iter().find(|filter| filter.starts_with('-')) {
        return Err(format!("`cargo xtask test` takes names of tests, no options such as `{option}`"));
    }
    let begun = Instant::now();
    step("format", || Call::new("fmt --all --check").run())?;
    step("lints", || {
        Call::new("clippy --workspace --all-targets --features xtask/search --locked -- -D warnings").run()
    })?;
    step("arrows", || {
        let said = arrows::arrows().map_err(|why| format!("{why}\nrerun: cargo xtask arrows"))?;
        println!("{said}");
        Ok(())
    })?;
    step("tests", || {
        needs_python()?;
        test_calls(is_present("cargo-nextest"), filters).iter().try_for_each(Call::run)
    })?;
    if filters.is_empty() {
        step("Python package", || python::python(&[]).map_err(|why| format!("{why}\nrerun: cargo xtask python")))?;
    } else {
        println!("\n== Python package: left out, since the tests are filtered; all of it: cargo xtask python");
    }
    step("documentation", || {
        let mut call = Call::new("doc --workspace --no-deps --locked");
        call.environment = Some(("RUSTDOCFLAGS", "-D warnings"));
        call.run()
    })?;
    println!("\n== all steps passed in {}", seconds(begun));
    Ok(())
}

/// With nextest, doctests are a call of their own: it does not run them.
fn test_calls(nextest: bool, filters: &[&str]) -> Vec<Call> {
    let calls = if nextest {
        // A name may be that of a doctest only.
        vec![
            Call::new("nextest run --workspace --features xtask/search --locked --no-tests=warn"),
            Call::new("test --doc --workspace --features xtask/search --locked"),
        ]
    } else {
        vec![Call::new("test --workspace --features xtask/search --locked")]
    };
    calls.into_iter().map(|call| call.filtered(filters)).collect()
}

fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("\n== {name}");
    // The commands write to the same terminal: what is said here comes first.
    let _ = std::io::stdout().flush();
    let begun = Instant::now();
    let done = work();
    println!("== {name}: {} after {}", if done.is_ok() { "passed" } else { "FAILED" }, seconds(begun));
    done.map_err(|why| format!("step `{name}` failed: {why}"))
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

fn needs_python() -> Result<(), String> {
    if is_present("python3") {
        return Ok(());
    }
    Err("some tests tune Python scripts, and there is no python3 that runs: install python3 (Debian: apt-get install \
         python3); rerun: cargo xtask test"
        .to_owned())
}

/// Can this program be started?
fn is_present(program: &str) -> bool {
    let mut command = Command::new(program);
    let status = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(nextest: bool, filters: &[&str]) -> Vec<String> {
        test_calls(nextest, filters).iter().map(Call::typed).collect()
    }

    #[test]
    fn plain_cargo_runs_doctests_in_the_same_call() {
        assert_eq!(typed(false, &[]), ["cargo test --workspace --features xtask/search --locked"]);
    }

    #[test]
    fn nextest_is_followed_by_doctests() {
        let expected = [
            "cargo nextest run --workspace --features xtask/search --locked --no-tests=warn",
            "cargo test --doc --workspace --features xtask/search --locked",
        ];
        assert_eq!(typed(true, &[]), expected);
    }

    #[test]
    fn filters_reach_every_test_call() {
        assert_eq!(
            typed(false, &["tpe", "golden"]),
            ["cargo test --workspace --features xtask/search --locked -- tpe golden"]
        );
        assert!(typed(true, &["tpe"]).iter().all(|call| call.ends_with(" -- tpe")));
    }

    #[test]
    fn the_environment_is_part_of_what_is_typed() {
        let mut call = Call::new("doc");
        call.environment = Some(("RUSTDOCFLAGS", "-D warnings"));
        assert_eq!(call.typed(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc");
    }
}
