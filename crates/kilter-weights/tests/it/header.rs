//! Headers that lie. None of them may crash the reader, make it read outside, or make it allocate by what they say.

use std::fs;
use std::path::{Path, PathBuf};

use kilter_numerics::Stream;
use kilter_weights::storage::{Header, HeaderFault};
use kilter_weights::{Checkpoint, Dtype, WeightsError};
use proptest::prelude::*;

use crate::files::{listing, noise, plain, save};
use crate::mutation::{INDEX, is_index, mutate, mutate_index, read};

fn fault(json: &str, data: u64) -> HeaderFault {
    Header::parse(json.as_bytes(), 8 + json.len() as u64 + data).unwrap_err()
}

fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

#[test]
fn lengths_that_no_file_bears_out_are_refused() {
    assert_eq!(Header::length(*b"\0\0\0\0\0\0\0\0", 7), Err(HeaderFault::TooShort(7)));
    let declared = u64::MAX;
    assert_eq!(Header::length(declared.to_le_bytes(), 100), Err(HeaderFault::BeyondFile { declared, left: 92 }));
    assert_eq!(Header::length(200_000_000_u64.to_le_bytes(), 1 << 40), Err(HeaderFault::TooLong(200_000_000)));
    assert_eq!(Header::length(92_u64.to_le_bytes(), 100), Ok(92));
}

#[test]
fn every_lie_about_places_has_its_name() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let one = |text: String| format!("{{{text}}}");
    let two = |x: String, y: String| format!("{{{x},{y}}}");
    let size = |needed, begin, end| HeaderFault::Size { name: a.clone(), needed, begin, end };
    assert_eq!(fault(&one(entry("a", "F32", "[2]", 0, 4)), 4), size(8, 0, 4));
    assert_eq!(fault(&one(entry("a", "F32", "[2]", 8, 0)), 8), size(8, 8, 0));
    assert_eq!(
        fault(&one(entry("a", "F32", "[2]", 0, 8)), 7),
        HeaderFault::Outside { name: a.clone(), end: 8, data: 7 }
    );
    assert_eq!(fault(&one(entry("a", "F32", "[2]", 4, 12)), 12), HeaderFault::Hole { begin: 0, end: 4 });
    assert_eq!(fault(&one(entry("a", "F32", "[2]", 0, 8)), 9), HeaderFault::Hole { begin: 8, end: 9 });
    let overlap = two(entry("a", "F32", "[2]", 0, 8), entry("b", "F32", "[2]", 4, 12));
    assert_eq!(fault(&overlap, 12), HeaderFault::Overlap { first: a.clone(), second: b.clone() });
    let tied = two(entry("a", "F32", "[2]", 0, 8), entry("b", "F32", "[2]", 0, 8));
    assert_eq!(fault(&tied, 8), HeaderFault::Tied { first: a.clone(), second: b });
    let inside = two(entry("a", "F32", "[2]", 0, 8), entry("b", "F32", "[0]", 4, 4));
    assert!(matches!(fault(&inside, 8), HeaderFault::Overlap { .. }));
    assert_eq!(
        fault(&one(entry("a", "F33", "[2]", 0, 8)), 8),
        HeaderFault::Dtype { name: a.clone(), dtype: "F33".to_owned() }
    );
}

#[test]
fn sizes_like_zip_bombs_are_refused_before_anything_is_allocated() {
    let shapes = [
        "[18446744073709551615,18446744073709551615]",
        "[4294967296,4294967296]",
        "[18446744073709551615,2,0]",
        "[9223372036854775808]",
    ];
    for shape in shapes {
        let json = format!("{{{}}}", entry("a", "F32", shape, 0, 8));
        assert!(matches!(fault(&json, 8), HeaderFault::Shape { .. }), "{shape}");
    }
    // A size that is a number, but not of this file.
    let json = format!("{{{}}}", entry("a", "F32", "[1099511627776]", 0, 4_398_046_511_104));
    assert!(matches!(fault(&json, 8), HeaderFault::Outside { .. }));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(fault(&deep, 0), HeaderFault::NotJson(_)));
}

#[test]
fn json_that_is_no_header_is_refused() {
    let twice = format!("{{{},{}}}", entry("a", "U8", "[1]", 0, 1), entry("a", "U8", "[1]", 1, 2));
    let bad = [
        "",
        "[]",
        "{",
        "{} x",
        "\u{feff}{}",
        twice.as_str(),
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
        r#"{"__metadata__":{"a":"1","a":"2"}}"#,
    ];
    for json in bad {
        assert!(matches!(fault(json, 4), HeaderFault::NotJson(_)), "{json}");
    }
    assert!(matches!(Header::parse(b"\xff\xfe{}", 12), Err(HeaderFault::NotJson(_))));
}

#[test]
fn what_is_allowed_is_read() {
    let json =
        format!(r#"{{"__metadata__":null,{},{}}}"#, entry("e", "F32", "[0,3]", 0, 0), entry("s", "F64", "[]", 0, 8));
    let header = Header::parse(json.as_bytes(), 16 + json.len() as u64).unwrap();
    assert_eq!(header.tensors.iter().map(|t| (t.name.as_str(), t.entries())).collect::<Vec<_>>(), [("e", 0), ("s", 1)]);
    assert!(Header::parse(b"{}      ", 16).unwrap().tensors.is_empty());
}

/// A sound file to be broken.
fn sound(folder: &Path) -> Vec<u8> {
    let path = folder.join("sound.safetensors");
    let tensors = [
        plain("w", Dtype::F32, &[3, 4], &noise(1, 12)),
        plain("b", Dtype::F16, &[4], &noise(2, 4)),
        plain("none", Dtype::F32, &[0, 7], &[]),
        ("steps".to_owned(), Dtype::from_file("I64").unwrap(), vec![], 7_i64.to_le_bytes().to_vec()),
    ];
    save(&path, &tensors, &[("format", "pt")]);
    fs::read(&path).unwrap()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = sound(folder.path());
    let path = folder.path().join("cut.safetensors");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(Checkpoint::open(&path), Err(WeightsError::Header { .. })), "{length} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Bits flipped, bytes replaced, numbers exchanged for dangerous ones, pieces cut out or doubled.
    #[test]
    fn no_mutation_of_a_header_crashes_the_reader(seed in any::<u64>(), strokes in 1..6_usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = sound(folder.path());
        let mut stream = Stream::new(&[seed], "mutation");
        for _ in 0..strokes {
            mutate(&mut bytes, &mut stream);
        }
        let path = folder.path().join("mutant.safetensors");
        fs::write(&path, &bytes).unwrap();
        read(&path).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The same of an index, whose shards lie beside it.
    #[test]
    fn no_mutation_of_an_index_crashes_the_reader(seed in any::<u64>(), strokes in 1..6_usize) {
        let folder = tempfile::tempdir().unwrap();
        let corpus = shards(folder.path());
        let mut bytes = fs::read(corpus.join(format!("sound{INDEX}"))).unwrap();
        let mut stream = Stream::new(&[seed], "mutation");
        for _ in 0..strokes {
            mutate_index(&mut bytes, &mut stream);
        }
        let path = folder.path().join(format!("mutant{INDEX}"));
        fs::write(&path, &bytes).unwrap();
        read(&path).unwrap();
    }
}

/// The corpus' whole checkpoints, which its indices name, in this folder; where the corpus is.
fn shards(folder: &Path) -> PathBuf {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fuzz");
    for file in listing(&corpus).iter().filter(|file| !is_index(file)) {
        let name = file.file_name().unwrap();
        if name.to_string_lossy().starts_with("sound-") {
            fs::copy(file, folder.join(name)).unwrap();
        }
    }
    corpus
}

/// Files that once were of interest: see testdata/README.md.
#[test]
fn the_corpus_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = shards(folder.path());
    let files = listing(&corpus);
    assert!(files.len() >= 20, "{} files", files.len());
    for file in files {
        let path = folder.path().join(format!("file{}", if is_index(&file) { INDEX } else { ".safetensors" }));
        fs::copy(&file, &path).unwrap();
        let outcome = read(&path).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let is_sound = file.file_name().unwrap().to_string_lossy().starts_with("sound");
        assert_eq!(is_sound, ["read", "turned back"].contains(&outcome.as_str()), "{}: {outcome}", file.display());
    }
}
