//! How long kilter takes, beside its peers at the same work, in turn in the same run.
//!
//! Built without the feature `bench` this only builds what is to be measured, in release, and starts the measuring one.

#[cfg(feature = "bench")]
mod engine;
#[cfg(feature = "bench")]
mod gauge;
#[cfg(feature = "bench")]
mod paired;
#[cfg(feature = "bench")]
mod peer;
#[cfg(feature = "bench")]
mod tabular;

/// What is asked for.
struct Wanted {
    engine: bool,
    tabular: bool,
    quick: bool,
}

impl Wanted {
    fn read(options: &[&str]) -> Result<Self, String> {
        let mut wanted = Self { engine: false, tabular: false, quick: false };
        for &option in options {
            match option {
                "engine" => wanted.engine = true,
                "tabular" => wanted.tabular = true,
                "all" => (wanted.engine, wanted.tabular) = (true, true),
                "--quick" => wanted.quick = true,
                _ => return Err(format!("bench {option}: there are engine, tabular and all, and the option --quick")),
            }
        }
        if !wanted.engine && !wanted.tabular {
            (wanted.engine, wanted.tabular) = (true, true);
        }
        Ok(wanted)
    }
}

/// Builds in release and hands over to the measuring build.
///
/// # Errors
/// If the build or a measurement fails.
#[cfg(not(feature = "bench"))]
pub fn bench(options: &[&str]) -> Result<(), String> {
    use std::process::Command;

    Wanted::read(options)?;
    let run = |command: &mut Command, what: &str| match command.current_dir(crate::root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what}: {status}")),
        Err(why) => Err(format!("{what} cannot be started: {why}")),
    };
    let build = "build --release --locked --package kilter-cli --package xtask --features xtask/bench";
    run(Command::new(crate::cargo()).args(build.split(' ')), &format!("cargo {build}"))?;
    let measuring = target()?.join("release").join("xtask");
    run(Command::new(&measuring).arg("bench").args(options), "the measuring build of xtask")
}

/// Measures.
///
/// # Errors
/// If a measurement fails. A peer that cannot be had is said to be missing, no error.
#[cfg(feature = "bench")]
pub fn bench(options: &[&str]) -> Result<(), String> {
    let wanted = Wanted::read(options)?;
    if cfg!(debug_assertions) {
        return Err("figures of a debug build say nothing; run: cargo xtask bench".to_owned());
    }
    let target = target()?;
    let python = peer::Python::prepare(&target);
    if let Err(why) = &python {
        println!("no peers, kilter alone: {why}");
    }
    let python = python.ok();
    if wanted.engine {
        engine::bench(&target, python.as_ref(), wanted.quick)?.publish(&target.join("bench/engine.json"))?;
    }
    if wanted.tabular {
        tabular::bench(python.as_ref(), wanted.quick)?.publish(&target.join("bench/tabular.json"))?;
    }
    Ok(())
}

/// The target folder: this program lies in its `debug` or `release`.
fn target() -> Result<std::path::PathBuf, String> {
    let program = std::env::current_exe().map_err(|why| format!("cannot tell where xtask lies: {why}"))?;
    let target = program.ancestors().nth(2).ok_or("xtask does not lie in a target folder")?;
    Ok(target.to_owned())
}
