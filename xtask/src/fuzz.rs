//! Broken checkpoints by the hundred thousand: a corpus and a loop that mutates it, on stable Rust.
//!
//! A hunt runs in a process of its own, under limits of memory and file size, so that a crash, a read outside a mapping or an
//! allocation by a header's word ends that process and not the report: the input lies in a file meanwhile. An input that is
//! answered as none was before joins the corpus of the hunt, which stands in for the coverage that other fuzzers measure.

use std::path::PathBuf;

use crate::{cargo, root};

/// What is asked for.
#[cfg_attr(not(feature = "fuzz"), allow(dead_code, reason = "this build hands over what it cannot do"))]
struct Options {
    seconds: f64,
    seed: u64,
    keep: bool,
    /// A file to look at instead.
    file: Option<PathBuf>,
    /// The process that hunts.
    hunts: bool,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { seconds: 30.0, seed: 0, keep: false, file: None, hunts: false };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut number = || words.next().ok_or_else(|| format!("fuzz {word}: how many?"));
            match word {
                "--seconds" => options.seconds = number()?.parse().map_err(|why| format!("fuzz --seconds: {why}"))?,
                "--seed" => options.seed = number()?.parse().map_err(|why| format!("fuzz --seed: {why}"))?,
                "--keep" => options.keep = true,
                "--hunts" => options.hunts = true,
                file if !file.starts_with('-') && options.file.is_none() => options.file = Some(file.into()),
                _ => return Err(format!("fuzz {word}: there are --seconds N, --seed N, --keep, or a FILE")),
            }
        }
        Ok(options)
    }
}

/// Hunts, if this is the build for it; else builds that one and hands over. Not in release: overflows are to be noticed.
///
/// # Errors
/// If an input was found that breaks a promise; says where it lies.
pub fn fuzz(words: &[&str]) -> Result<(), String> {
    let options = Options::read(words)?;
    #[cfg(feature = "fuzz")]
    return hunt::go(&options, words);
    #[cfg(not(feature = "fuzz"))]
    {
        let _ = options;
        let run = ["run", "--quiet", "--locked", "--package", "xtask", "--features", "xtask/fuzz", "--", "fuzz"];
        let status = std::process::Command::new(cargo()).args(run).args(words).current_dir(root()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the hunt: {status}")),
            Err(why) => Err(format!("cannot start cargo: {why}")),
        }
    }
}

#[cfg(feature = "fuzz")]
#[path = "../../crates/kilter-weights/tests/it/mutation.rs"]
mod mutation;

#[cfg(feature = "fuzz")]
mod hunt {
    use std::collections::BTreeMap;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use kilter_numerics::Stream;

    use super::mutation::{INDEX, is_index, mutate, mutate_index, read};
    use super::{Options, PathBuf, cargo, root};

    /// Memory that a hunt may map, in KiB, and blocks of 512 bytes that a file may grow to: far more than any input of a few
    /// kilobytes can need.
    const LIMITS: &str = "ulimit -v 3000000; ulimit -f 65536; exec \"$@\"";

    /// Larger inputs do not join the corpus.
    const LARGEST: usize = 4096;

    /// Between two lines of progress.
    const PACE: Duration = Duration::from_secs(5);

    pub fn go(options: &Options, words: &[&str]) -> Result<(), String> {
        if let Some(file) = &options.file {
            println!("{}: {}", file.display(), read(&near(file)?)?);
            return Ok(());
        }
        if options.hunts {
            return hunt(options);
        }
        let place = place()?;
        let own = std::env::current_exe().map_err(|why| why.to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", LIMITS, "sh"]).arg(own).arg("fuzz").args(words).arg("--hunts").stdin(Stdio::null());
        // Every arena of the allocator maps 64 MiB.
        let status = command.env("MALLOC_ARENA_MAX", "2").env("RUST_BACKTRACE", "1").status();
        let status = status.map_err(|why| format!("cannot start the hunt: {why}"))?;
        if status.success() {
            return Ok(());
        }
        let (current, ending) = names(last(&place));
        let name = place.join(format!("broke-{}-{}{ending}", options.seed, std::process::id()));
        let _ = fs::copy(place.join(current), &name);
        Err(format!("{status}; the input lies in {0}; again: cargo xtask fuzz {0}", name.display()))
    }

    /// The input that is being read: a checkpoint, or an index of shards.
    const CURRENT: [&str; 2] = ["current.safetensors", "current.safetensors.index.json"];

    /// Its name, and how it ends.
    fn names(index: bool) -> (&'static str, &'static str) {
        if index { (CURRENT[1], INDEX) } else { (CURRENT[0], ".safetensors") }
    }

    /// Which of the two files was written last.
    fn last(place: &Path) -> bool {
        let changed = |name: &str| fs::metadata(place.join(name)).and_then(|file| file.modified()).ok();
        changed(CURRENT[1]) > changed(CURRENT[0])
    }

    /// Where a hunt writes.
    fn place() -> Result<PathBuf, String> {
        let own = std::env::current_exe().map_err(|why| why.to_string())?;
        let target = own.parent().and_then(Path::parent).ok_or("xtask lies in no target folder")?;
        let place = target.join("fuzz");
        fs::create_dir_all(&place).map_err(|why| format!("cannot make {}: {why}", place.display()))?;
        Ok(place)
    }

    /// A copy of a file that a reader may write beside.
    fn near(file: &Path) -> Result<PathBuf, String> {
        let copy = place()?.join(format!("given{}", names(is_index(file)).1));
        fs::copy(file, &copy).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        Ok(copy)
    }

    fn hunt(options: &Options) -> Result<(), String> {
        let kept = root().join("testdata/fuzz");
        let mut files: Vec<PathBuf> = fs::read_dir(&kept)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|why| format!("{}: {why}; {} test makes it", kept.display(), cargo()))?;
        files.sort();
        let place = place()?;
        // Indices name the corpus' whole checkpoints, which lie beside them.
        for file in files.iter().filter(|file| !is_index(file)) {
            let name = file.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with("sound-") {
                fs::copy(file, place.join(name)).map_err(|why| why.to_string())?;
            }
        }
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut answer = |index: bool, bytes: &[u8]| -> Result<Option<String>, String> {
            let current = place.join(names(index).0);
            fs::write(&current, bytes).map_err(|why| format!("cannot write {}: {why}", current.display()))?;
            let outcome = catch_unwind(|| read(&current)).map_err(|_| "it panicked".to_owned())??;
            let times = seen.entry(outcome.clone()).or_default();
            *times += 1;
            Ok((*times == 1).then_some(outcome))
        };
        let mut corpus = Vec::new();
        for file in &files {
            let bytes = fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
            corpus.push((is_index(file), bytes));
        }
        for (index, bytes) in &corpus {
            answer(*index, bytes)?;
        }
        let mut stream = Stream::new(&[options.seed], "fuzz");
        let (began, mut told, mut inputs) = (Instant::now(), Instant::now(), 0_u64);
        while began.elapsed().as_secs_f64() < options.seconds {
            let (index, mut bytes) = corpus[stream.index(corpus.len())].clone();
            for _ in 0..=stream.index(4) {
                if index { mutate_index(&mut bytes, &mut stream) } else { mutate(&mut bytes, &mut stream) }
            }
            inputs += 1;
            if let Some(outcome) = answer(index, &bytes)? {
                println!("new: {outcome}");
                if options.keep && bytes.len() <= LARGEST {
                    let words: Vec<&str> =
                        outcome.split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 3).collect();
                    let name = format!("{}{}", words[..words.len().min(5)].join("-"), names(index).1);
                    fs::write(kept.join(name), &bytes).map_err(|why| format!("cannot keep an input: {why}"))?;
                }
                if bytes.len() <= LARGEST {
                    corpus.push((index, bytes));
                }
            }
            if told.elapsed() > PACE {
                told = Instant::now();
                println!("{:.0} s: {inputs} inputs, corpus of {}", began.elapsed().as_secs_f64(), corpus.len());
            }
        }
        println!("\n{inputs} inputs from seed {}, nothing broken; they were answered:", options.seed);
        for (outcome, times) in seen {
            println!("{times:>8}  {outcome}");
        }
        Ok(())
    }
}
