//! Merging and quantising at the speed of the disk: beside `cat` of the same bytes, and beside mergekit at the same merge.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use kilter_meter::Descendants;
use kilter_numerics::Stream;
use serde_json::json;

use super::gauge::{Took, timed_program};
use super::paired::{Figure, Sheet, Unit, in_turn, part};
use super::peer::Python;

/// Models of one merge.
const MODELS: usize = 4;

/// The peer, and the environment that it comes with.
const PACKAGES: &str = "mergekit==0.1.5";

fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

/// Measures everything; the files lie under `target/bench` and go away.
pub fn bench(target: &Path, quick: bool) -> Result<Sheet, String> {
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(text)?;
    let scratch = tempfile::tempdir_in(&folder).map_err(text)?;
    let place = scratch.path();
    let (side, rounds) = if quick { (1024, 3) } else { (2048, 7) };
    // Matrices of 8 or 2 MiB.
    let files: Vec<PathBuf> = (0..MODELS).map(|at| model(place, at as u64, 32, side)).collect::<Result<_, _>>()?;
    let bytes: f64 = files.iter().map(|file| fs::metadata(file).map_or(0, |data| data.len()) as f64).sum();
    let kilter = target.join("release/kilter");
    let merged = || {
        let mut command = Command::new(&kilter);
        command.args(["merge", "linear", "--quiet", "-o"]).arg(place.join("merged.safetensors")).args(&files);
        timed_program(&mut command)
    };
    let mut figures = Vec::new();
    let mut wall = |name: String, rounds: &[(Took, Option<Took>)]| {
        figures.push(Figure::of(&name, Unit::Seconds, &part(rounds, |took| took.wall_seconds)));
        figures.push(Figure::of("… CPU", Unit::Seconds, &part(rounds, |took| took.cpu_seconds)));
    };

    // Reading everything once brings it into the page cache.
    merged()?;
    let mut cat = ();
    let copied = |_: &mut ()| {
        let mut command = Command::new("sh");
        command.args(["-c", "out=$1; shift; cat \"$@\" > \"$out\"", "sh"]).arg(place.join("copied")).args(&files);
        timed_program(&mut command)
    };
    let beside_cat = in_turn(rounds + 1, merged, Some(&mut cat), copied)?;
    let size = |bytes: f64| format!("{:.2} GB", bytes / 1e9);
    wall(format!("merge linear of {MODELS} models, {}; beside cat", size(bytes)), &beside_cat[1..]);
    fs::remove_file(place.join("copied")).map_err(text)?;
    let peak = Descendants::read().map(|all| all.peak_bytes as f64);

    let one = &files[0];
    let of_one = fs::metadata(one).map_err(text)?.len() as f64;
    let quantised = |set: &str| {
        let mut command = Command::new(&kilter);
        command.args(["quantize", "--quiet", "--set", set, "-o"]).arg(place.join("small.safetensors")).arg(one);
        timed_program(&mut command)
    };
    let mut speeds = Vec::new();
    for set in ["method=power", "method=uniform"] {
        let rounds = (0..rounds).map(|_| Ok((quantised(set)?, None))).collect::<Result<Vec<_>, String>>()?;
        let cpu = rounds.iter().map(|(took, _)| took.cpu_seconds).fold(f64::INFINITY, f64::min);
        speeds.push(format!("{set} {:.0} MB/s", of_one / cpu / 1e6));
        wall(format!("quantize to 4 bits, {set}, {}", size(of_one)), &rounds);
    }

    let python = Python::prepare(target, "bench-weights-venv", PACKAGES);
    let peer = match &python {
        Err(why) => {
            println!("no peer, kilter alone: {why}");
            None
        }
        Ok(_) => Some("cat; mergekit 0.1.5"),
    };
    let mut notes = vec![format!(
        "The files are bf16 and in the page cache; the output of cat has the bytes of all inputs, that of a merge those of \
         one. Least CPU time of a round: {} per core.",
        speeds.join(", ")
    )];
    if let Some(peak) = peak {
        notes.push(format!("Peak resident memory of any kilter or cat process: {:.0} MB.", peak / 1e6));
    }
    if let Ok(mut python) = python {
        let models: Vec<_> =
            files.iter().map(|file| json!({ "model": file, "parameters": { "weight": 1.0 } })).collect();
        let recipe = json!({ "merge_method": "linear", "models": models, "dtype": "bfloat16" });
        // JSON is YAML.
        let config = place.join("merge.yml");
        fs::write(&config, recipe.to_string()).map_err(text)?;
        let theirs = |python: &mut Python| {
            let mut command = python.program("mergekit-pytorch");
            command.arg(&config).arg(place.join("theirs")).env_remove("OMP_NUM_THREADS");
            timed_program(&mut command)
        };
        let beside = in_turn(rounds.min(3) + 1, merged, Some(&mut python), theirs)?;
        wall(format!("merge linear of {MODELS} models, {}; beside mergekit", size(bytes)), &beside[1..]);
        if let Some(after) = Descendants::read() {
            notes.push(format!("With mergekit the largest process has {:.0} MB.", after.peak_bytes as f64 / 1e6));
        }
    }
    Ok(Sheet { title: "weights", peer: peer.map(str::to_owned), quick, figures, notes })
}

/// A model of so many square matrices of bf16, about as a trained one's numbers are.
fn model(place: &Path, seed: u64, matrices: usize, side: usize) -> Result<PathBuf, String> {
    let path = place.join(format!("model-{seed}.safetensors"));
    let size = 2 * side * side;
    let entry = |at: usize| {
        let name = format!("model.layers.{at}.weight");
        (name, json!({ "dtype": "BF16", "shape": [side, side], "data_offsets": [at * size, (at + 1) * size] }))
    };
    let mut header: serde_json::Map<_, _> = (0..matrices).map(entry).collect();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut header = serde_json::Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    // A megabyte of normal numbers, over and over.
    let mut stream = Stream::new(&[seed], "weights");
    let bf16 = |x: f64| ((x as f32).to_bits() >> 16) as u16;
    let block: Vec<u8> = (0..1 << 19).flat_map(|_| bf16(0.02 * stream.normal()).to_le_bytes()).collect();
    let mut file = BufWriter::new(File::create(&path).map_err(text)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(text)?;
    file.write_all(header.as_bytes()).map_err(text)?;
    for _ in 0..matrices * size / block.len() {
        file.write_all(&block).map_err(text)?;
    }
    file.flush().map_err(text)?;
    Ok(path)
}
