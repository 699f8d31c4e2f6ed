//! The Python package: its wheel, and its tests in a fresh virtual environment that has the wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{cargo, root};

/// Where the package lies.
const PACKAGE: &str = "crates/kilter-py";

/// Builds the wheel of a release into `target/wheels`, with the command line in it.
///
/// # Errors
/// The step that failed.
pub fn wheel() -> Result<(), String> {
    let maturin = Environment::make(&target().join("python/build"), &["maturin>=1.9.4,<2"])?;
    println!("{}", release(&maturin)?.display());
    Ok(())
}

/// Measures the package as it is released beside Optuna. `options` are `--quick` or none.
///
/// # Errors
/// The step that failed.
pub fn bench(options: &[&str]) -> Result<(), String> {
    if let Some(wrong) = options.iter().find(|option| **option != "--quick") {
        return Err(format!("bench python {wrong}: it takes --quick alone"));
    }
    let place = target().join("python/bench");
    let environment = Environment::make(&place, &["maturin>=1.9.4,<2", "numpy", "optuna"])?;
    let wheel = release(&environment)?;
    run(environment.pip(&["install", "--quiet", "--no-deps", "--force-reinstall", &text(&wheel)]))?;
    let mut python = environment.command("python");
    python.arg(root().join("xtask/bench/python.py")).args(options).current_dir(&place);
    run(python)
}

/// Builds a wheel of what developers build, installs it into a fresh environment and runs the tests there. `filters` are
/// pytest's.
///
/// # Errors
/// The step that failed.
pub fn python(filters: &[&str]) -> Result<(), String> {
    // What the tests of the workspace have built already.
    run(cargo_words(&["test", "--workspace", "--features", "xtask/search", "--locked", "--no-run"]))?;
    let place = target().join("python");
    let tests = root().join(PACKAGE).join("tests");
    let requirements = tests.join("requirements.txt");
    let environment = Environment::make(&place.join("tests"), &["maturin>=1.9.4,<2", "-r", &text(&requirements)])?;
    let options = ["--profile", "dev", "--strip", "--compression-method", "stored"];
    let wheel = build(&environment, &target().join("debug/kilter"), &options, &place.join("wheel"))?;
    run(environment.pip(&["install", "--quiet", "--no-deps", "--force-reinstall", &text(&wheel)]))?;
    let mut pytest = environment.command("python");
    // Another folder than the package's: what is tested is what was installed.
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "--disable-warnings", "-ra"])
        .arg(&tests)
        .args(filters);
    pytest.current_dir(&place);
    run(pytest)
}

/// A virtual environment.
struct Environment(PathBuf);

impl Environment {
    /// A fresh one with these packages (words of `pip install`).
    fn make(path: &Path, packages: &[&str]) -> Result<Self, String> {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(path);
        run(make).map_err(|why| {
            format!("{why}\nthe tests of the Python package need venv and pip (Debian: apt-get install python3-venv)")
        })?;
        let environment = Self(path.to_owned());
        run(environment.pip(&[&["install", "--quiet", "--disable-pip-version-check"], packages].concat()))?;
        Ok(environment)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join("bin").join(program));
        command.env("VIRTUAL_ENV", &self.0).env_remove("PYTHONHOME").env_remove("PYTHONPATH");
        command
    }

    fn pip(&self, words: &[&str]) -> Command {
        let mut pip = self.command("python");
        pip.args(["-m", "pip"]).args(words);
        pip
    }
}

/// Builds the wheel of a release.
fn release(environment: &Environment) -> Result<PathBuf, String> {
    run(cargo_words(&["build", "--release", "--locked", "--bin", "kilter"]))?;
    build(environment, &target().join("release/kilter"), &["--release"], &target().join("wheels"))
}

/// Builds a wheel with `binary` in it into the empty folder `out`.
fn build(environment: &Environment, binary: &Path, options: &[&str], out: &Path) -> Result<PathBuf, String> {
    let inside = root().join(PACKAGE).join("python/kilter/_bin");
    let failed = |what: &Path, why: std::io::Error| format!("cannot write {}: {why}", what.display());
    fs::create_dir_all(&inside).map_err(|why| failed(&inside, why))?;
    let copy = inside.join("kilter");
    fs::copy(binary, &copy).map_err(|why| failed(&copy, why))?;
    // Its lines of debug information are ten times its size; without `strip` it is but larger.
    let _ = Command::new("strip").arg("--strip-debug").arg(&copy).status();
    if out.exists() {
        fs::remove_dir_all(out).map_err(|why| failed(out, why))?;
    }
    let mut maturin = environment.command("maturin");
    maturin.args(["build", "--locked", "--quiet", "--interpreter"]).arg(environment.0.join("bin/python"));
    maturin.args(options).arg("--out").arg(out).current_dir(root().join(PACKAGE)).env("CARGO_TARGET_DIR", target());
    let built = run(maturin);
    // Whoever builds without it must not find an old one.
    let _ = fs::remove_dir_all(&inside);
    built?;
    let entries = fs::read_dir(out).map_err(|why| format!("cannot read {}: {why}", out.display()))?;
    let mut wheels = entries.filter_map(|entry| Some(entry.ok()?.path()));
    wheels
        .find(|path| path.extension().is_some_and(|end| end == "whl"))
        .ok_or_else(|| "maturin made no wheel".to_owned())
}

/// Cargo's target folder.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |set| root().join(PathBuf::from(set)))
}

fn cargo_words(words: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(words).current_dir(root());
    command
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(mut command: Command) -> Result<(), String> {
    let typed = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let typed = typed();
    let status = command.status().map_err(|why| format!("cannot start `{typed}`: {why}"))?;
    if status.success() { Ok(()) } else { Err(format!("{status}: {typed}")) }
}
