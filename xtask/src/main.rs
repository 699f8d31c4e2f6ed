//! The project's only script entry: `cargo xtask test`, `cargo xtask arrows`, `cargo xtask bench`.

mod arrows;
mod bench;
mod fuzz;
mod python;
mod test;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [NAME-FILTER…]                   everything CI checks; filters narrow the tests step only
cargo xtask python [PYTEST-WORD…]                 the Python package's tests, in a fresh environment with its wheel
cargo xtask wheel                                 the Python package as a wheel, with the command line in it
cargo xtask fuzz [--seconds N] [--seed N] [--keep] broken checkpoints until one breaks a promise; [FILE] looks at one
cargo xtask arrows                                rooms import only rooms on lower floors
cargo xtask bench [engine|spaces|storage|tabular|diagnosis|predict|weights|networks|all] [--quick]  kilter beside its peers: medians of paired rounds, and ratios
cargo xtask bench python [--quick]                the Python package beside Optuna
cargo xtask bench instructions [--keep]           instructions that fixed pieces of work take, beside those kept
cargo xtask bench search [--ours-only] [--quick]  who finds good hyperparameters with the fewest trials; more: --help";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", filters @ ..] => test::test(filters),
        ["python", words @ ..] => python::python(words),
        ["wheel"] => python::wheel(),
        ["arrows"] => arrows::arrows().map(|said| println!("{said}")),
        ["fuzz", options @ ..] => fuzz::fuzz(options),
        ["bench", "python", options @ ..] => python::bench(options),
        ["bench", options @ ..] => bench::bench(options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("there is no `cargo xtask {}`; there are:\n{USAGE}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root folder.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that started this.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
