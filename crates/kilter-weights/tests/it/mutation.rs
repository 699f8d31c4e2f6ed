//! Broken checkpoints: how they are made, and what must be true of whoever reads them. This room's tests use it, and
//! `cargo xtask fuzz`.

use std::fs;
use std::ops::Range;
use std::path::Path;

use kilter_numerics::Stream;
use kilter_weights::quantize::dequantize;
use kilter_weights::{Checkpoint, Options, WeightsError};

/// How the name of an index of shards ends.
pub const INDEX: &str = ".safetensors.index.json";

/// What a number or a word of a header is exchanged for.
const DANGEROUS: [&str; 15] = [
    "\"sound-nan.safetensors\"",
    "\"../sound-nan.safetensors\"",
    "\"\"",
    "0",
    "-1",
    "1e99",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "[]",
    "null",
    "\"",
    "[[",
    "\"F4\"",
    "\"BF16\"",
];

/// One stroke at a checkpoint: a bit flipped, a byte replaced, bytes cut out or doubled, the end cut off, or a number or word of the header
/// exchanged for a dangerous one, the header's length put right, so that the lie itself is what is met.
pub fn mutate(bytes: &mut Vec<u8>, stream: &mut Stream) {
    let Some(length) = bytes.first_chunk::<8>().map(|first| u64::from_le_bytes(*first)) else { return };
    if bytes.len() < 16 {
        return;
    }
    let header = length.saturating_add(8).clamp(9, bytes.len() as u64) as usize;
    // Most lies are told in the header.
    let reach = if stream.index(8) == 0 { bytes.len() } else { header };
    if let Some(added) = strike(bytes, reach, 8..header, stream) {
        let length = (header - 8).wrapping_add_signed(added) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
    }
}

/// One stroke at an index of shards.
pub fn mutate_index(bytes: &mut Vec<u8>, stream: &mut Stream) {
    if bytes.len() >= 16 {
        strike(bytes, bytes.len(), 1..bytes.len(), stream);
    }
}

/// A stroke at the first `reach` bytes. If a word of `json` was exchanged for another, how much longer that is.
fn strike(bytes: &mut Vec<u8>, reach: usize, json: Range<usize>, stream: &mut Stream) -> Option<isize> {
    let at = stream.index(reach);
    match stream.index(7) {
        0 => bytes[at] ^= 1 << stream.index(8),
        1 => bytes[at] = stream.index(256) as u8,
        2 => {
            bytes.drain(at..(at + 1 + stream.index(8)).min(bytes.len()));
        }
        3 => {
            let piece = bytes[at..(at + 1 + stream.index(24)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        4 => bytes.truncate(at.max(stream.index(bytes.len()))),
        _ => return exchange(bytes, json, stream),
    }
    None
}

/// Exchanges a number or a quoted word; by how much it grew.
fn exchange(bytes: &mut Vec<u8>, json: Range<usize>, stream: &mut Stream) -> Option<isize> {
    let begins = |i: &usize| bytes[*i] == b'"' || (bytes[*i].is_ascii_digit() && !bytes[*i - 1].is_ascii_digit());
    let tokens: Vec<usize> = json.clone().filter(begins).collect();
    if tokens.is_empty() {
        return None;
    }
    let begin = tokens[stream.index(tokens.len())];
    let end = match bytes[begin] {
        b'"' => (begin + 1..json.end).find(|&i| bytes[i] == b'"').map_or(json.end, |close| close + 1),
        _ => (begin..json.end).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(json.end),
    };
    let word = DANGEROUS[stream.index(DANGEROUS.len())];
    bytes.splice(begin..end, word.bytes());
    Some(word.len() as isize - (end - begin) as isize)
}

/// Opens a checkpoint or an index, reads every tensor whole and, if it says that it is quantised, turns it back to floats beside itself.
/// Says what came of it in a word or two.
///
/// # Errors
/// If a promise is broken: more is read than the file has, an error is of the wrong kind, something half-written is left, or
/// the format's own reader refuses what this one takes.
pub fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|why| why.to_string())?;
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(why @ (WeightsError::Header { .. } | WeightsError::Pickle { .. })) => return Ok(kind(&why)),
        // An index may name what is not there.
        Err(why @ (WeightsError::Index { .. } | WeightsError::Io { action: "open", .. })) if is_index(path) => {
            return Ok(kind(&why));
        }
        Err(other) => return Err(format!("refused with an error of another kind: {other}")),
    };
    // The format's own reader takes all that this one takes.
    if !is_index(path)
        && let Err(why) = safetensors::SafeTensors::deserialize(&bytes)
    {
        return Err(format!("we read what the format's reader refuses: {why}"));
    }
    for tensor in checkpoint.tensors() {
        let window = tensor.window(0..tensor.bytes()).map_err(|why| format!("`{}`: {why}", tensor.name()))?;
        let file = fs::metadata(tensor.path()).map_err(|why| why.to_string())?;
        if window.len() as u64 > file.len() || window.len() as u64 != tensor.bytes() {
            return Err(format!("`{}`: a window of {} bytes", tensor.name(), window.len()));
        }
        if tensor.dtype().is_float() {
            tensor.dtype().decode(&window, &mut vec![0.0; tensor.entries() as usize]);
        }
    }
    if !checkpoint.metadata().contains_key("kilter.quant") {
        return Ok("read".to_owned());
    }
    let target = path.with_extension("floats.safetensors");
    match dequantize(&checkpoint, &target, &Options::default()) {
        Ok(written) => {
            Checkpoint::open(&target).map_err(|why| format!("what was turned back cannot be read: {why}"))?;
            written.files.iter().try_for_each(fs::remove_file).map_err(|why| why.to_string())?;
            Ok("turned back".to_owned())
        }
        Err(_) if target.exists() => Err("a refused file was turned back all the same".to_owned()),
        Err(why @ (WeightsError::Io { .. } | WeightsError::Changed { .. })) => Err(why.to_string()),
        Err(why) => Ok(format!("quantised: {}", kind(&why))),
    }
}

/// Is it an index of shards by its name?
pub fn is_index(path: &Path) -> bool {
    path.to_string_lossy().ends_with(INDEX)
}

/// An error without what is particular to a file: names in quotes, and numbers.
fn kind(why: &WeightsError) -> String {
    let (mut kind, mut quoted) = (String::new(), false);
    let text = why.to_string();
    // The file's name stands before the first colon.
    for c in text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest).chars() {
        match c {
            '`' | '"' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => kind.push(c),
        }
    }
    kind.chars().take(72).collect()
}
