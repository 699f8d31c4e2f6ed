//! How long kilter takes, beside its peers at the same work, in turn in the same run.
//!
//! Built without the feature `bench` this only builds what is to be measured, in release, and starts the measuring one.

#[cfg(feature = "bench")]
mod crates;
#[cfg(feature = "bench")]
mod diagnosis;
#[cfg(feature = "bench")]
mod engine;
#[cfg(any(feature = "bench", feature = "judge"))]
#[cfg_attr(not(feature = "bench"), allow(dead_code, reason = "only what is timed needs all of it"))]
mod gauge;
#[cfg(feature = "bench")]
mod instructions;
#[cfg(feature = "bench")]
mod networks;
#[cfg(feature = "bench")]
mod paired;
#[cfg(any(feature = "bench", feature = "judge"))]
#[cfg_attr(not(feature = "bench"), allow(dead_code, reason = "only what is timed needs all of it"))]
mod peer;
#[cfg(feature = "bench")]
mod predict;
#[cfg(feature = "bench")]
mod reports;
mod search;
#[cfg(feature = "bench")]
mod spaces;
#[cfg(feature = "bench")]
mod storage;
#[cfg(feature = "bench")]
mod tabular;
#[cfg(feature = "bench")]
mod weights;

/// What is asked for.
#[cfg_attr(not(feature = "judge"), allow(dead_code, reason = "this build hands over what it cannot do"))]
enum Wanted {
    /// How long things take.
    Speed(Speed),
    /// How well samplers search. Takes hours with peers, so only by its name.
    Search(search::options::Options),
    /// One of the processes that the storage's figures start.
    Process { file: String, seconds: f64 },
    /// kilter's side of a training beside its peer.
    Training { network: String, folder: String },
    /// A piece of work whose instructions are counted.
    Scenario { name: String, folder: String },
}

#[cfg_attr(not(feature = "bench"), allow(dead_code, reason = "this build hands over what it cannot do"))]
#[derive(Default)]
struct Speed {
    engine: bool,
    spaces: bool,
    storage: bool,
    tabular: bool,
    diagnosis: bool,
    instructions: bool,
    predict: bool,
    weights: bool,
    networks: bool,
    quick: bool,
    /// The instruction counts of this run are what later ones are compared with.
    keep: bool,
}

impl Speed {
    fn any(&self) -> bool {
        self.engine
            || self.spaces
            || self.storage
            || self.tabular
            || self.diagnosis
            || self.instructions
            || self.predict
            || self.weights
            || self.networks
    }

    fn all(&mut self) {
        (self.engine, self.spaces, self.storage, self.tabular) = (true, true, true, true);
        (self.diagnosis, self.instructions, self.predict) = (true, true, true);
        (self.weights, self.networks) = (true, true);
    }
}

impl Wanted {
    fn read(options: &[&str]) -> Result<Self, String> {
        if let ["search", rest @ ..] = options {
            return search::options::Options::read(rest).map(Self::Search);
        }
        if let ["storage-process", file, seconds] = options {
            let seconds = seconds.parse().map_err(|why| format!("{seconds}: {why}"))?;
            return Ok(Self::Process { file: (*file).to_owned(), seconds });
        }
        if let ["networks-process", network, folder] = options {
            return Ok(Self::Training { network: (*network).to_owned(), folder: (*folder).to_owned() });
        }
        if let ["scenario", name, folder] = options {
            return Ok(Self::Scenario { name: (*name).to_owned(), folder: (*folder).to_owned() });
        }
        let mut wanted = Speed::default();
        for &option in options {
            match option {
                "engine" => wanted.engine = true,
                "spaces" => wanted.spaces = true,
                "storage" => wanted.storage = true,
                "tabular" => wanted.tabular = true,
                "diagnosis" => wanted.diagnosis = true,
                "instructions" => wanted.instructions = true,
                "predict" => wanted.predict = true,
                "weights" => wanted.weights = true,
                "networks" => wanted.networks = true,
                "all" => wanted.all(),
                "--quick" => wanted.quick = true,
                "--keep" => wanted.keep = true,
                _ => {
                    return Err(format!(
                        "bench {option}: there are engine, spaces, storage, tabular, diagnosis, instructions, predict, weights, networks, all of them and the options --quick and --keep, or search and its own"
                    ));
                }
            }
        }
        if !wanted.any() {
            wanted.all();
        }
        Ok(Self::Speed(wanted))
    }

    /// The feature with which xtask does this.
    fn feature(&self) -> &'static str {
        match self {
            Self::Speed(_) | Self::Process { .. } | Self::Training { .. } | Self::Scenario { .. } => "bench",
            // With the networks that are problems; `judge` alone is what the tests build.
            Self::Search(_) => "surrogates",
        }
    }
}

/// Does it, if this is the build for it; else builds that one in release and hands over.
///
/// # Errors
/// If the build or a measurement fails. A peer that cannot be had is said to be missing, no error.
pub fn bench(options: &[&str]) -> Result<(), String> {
    let wanted = Wanted::read(options)?;
    match wanted {
        #[cfg(feature = "judge")]
        Wanted::Search(options) => measuring().and_then(|target| search::bench(&options, &target)),
        #[cfg(feature = "bench")]
        Wanted::Speed(speed) => measuring().and_then(|target| measure(&speed, &target)),
        #[cfg(feature = "bench")]
        Wanted::Process { file, seconds } => storage::process(std::path::Path::new(&file), seconds),
        #[cfg(feature = "bench")]
        Wanted::Training { network, folder } => networks::process(&network, std::path::Path::new(&folder)),
        #[cfg(feature = "bench")]
        Wanted::Scenario { name, folder } => instructions::scenario(&name, std::path::Path::new(&folder)),
        #[allow(unreachable_patterns, reason = "reachable without the features")]
        wanted => hand_over(wanted.feature(), options),
    }
}

#[cfg_attr(feature = "judge", allow(dead_code, reason = "this build does it all itself"))]
fn hand_over(feature: &str, options: &[&str]) -> Result<(), String> {
    use std::process::Command;

    let run = |command: &mut Command, what: &str| match command.current_dir(crate::root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what}: {status}")),
        Err(why) => Err(format!("{what} cannot be started: {why}")),
    };
    // Only the speed of kilter itself needs the program beside the rooms.
    let program = if feature == "bench" { "--package kilter-cli " } else { "" };
    let build = format!("build --release --locked {program}--package xtask --features xtask/{feature}");
    run(Command::new(crate::cargo()).args(build.split(' ')), &format!("cargo {build}"))?;
    let measuring = target()?.join("release").join("xtask");
    run(Command::new(&measuring).arg("bench").args(options), "the measuring build of xtask")
}

/// The target folder, if this build may measure.
#[cfg(any(feature = "bench", feature = "judge"))]
fn measuring() -> Result<std::path::PathBuf, String> {
    if cfg!(debug_assertions) {
        return Err("figures of a debug build say nothing; run: cargo xtask bench".to_owned());
    }
    target()
}

#[cfg(feature = "bench")]
fn measure(speed: &Speed, target: &std::path::Path) -> Result<(), String> {
    if speed.spaces {
        spaces::bench(speed.quick)?.publish(&target.join("bench/spaces.json"))?;
    }
    if speed.predict {
        predict::bench(target, speed.quick)?.publish(&target.join("bench/predict.json"))?;
    }
    if speed.weights {
        weights::bench(target, speed.quick)?.publish(&target.join("bench/weights.json"))?;
    }
    if speed.networks {
        networks::bench(target, speed.quick)?.publish(&target.join("bench/networks.json"))?;
    }
    if speed.instructions {
        instructions::bench(target, speed.keep)?;
    }
    if !(speed.engine || speed.storage || speed.tabular || speed.diagnosis) {
        return Ok(());
    }
    let python = peer::Python::prepare(target, "bench-venv", peer::PACKAGES);
    if let Err(why) = &python {
        println!("no peers, kilter alone: {why}");
    }
    let python = python.ok();
    if speed.engine {
        engine::bench(target, python.as_ref(), speed.quick)?.publish(&target.join("bench/engine.json"))?;
        crates::bench(speed.quick)?.publish(&target.join("bench/crates.json"))?;
        reports::bench(target, speed.quick)?.publish(&target.join("bench/reports.json"))?;
    }
    if speed.storage {
        storage::bench(target, speed.quick)?.publish(&target.join("bench/storage.json"))?;
    }
    if speed.tabular {
        tabular::bench(python.as_ref(), speed.quick)?.publish(&target.join("bench/tabular.json"))?;
    }
    if speed.diagnosis {
        diagnosis::bench(target, python.as_ref(), speed.quick)?.publish(&target.join("bench/diagnosis.json"))?;
    }
    Ok(())
}

/// The target folder: this program lies in its `debug` or `release`.
fn target() -> Result<std::path::PathBuf, String> {
    let program = std::env::current_exe().map_err(|why| format!("cannot tell where xtask lies: {why}"))?;
    let target = program.ancestors().nth(2).ok_or("xtask does not lie in a target folder")?;
    Ok(target.to_owned())
}
