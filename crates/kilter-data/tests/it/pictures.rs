//! Pictures and text: what is in the binary, folders of IDX files, and files that are none.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kilter_data::catalogue::{Source, Terms, find};
use kilter_data::{Shelves, books, images, text};
use tempfile::TempDir;

/// An IDX file of bytes.
fn idx(shape: &[u32], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    bytes.extend(numbers);
    bytes
}

fn folder(pictures: &[u8], labels: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("train-images-idx3-ubyte"), pictures).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    folder
}

fn complaint(folder: &Path) -> String {
    images(&folder.to_string_lossy()).unwrap_err().to_string()
}

#[test]
fn the_digits_and_the_novel_are_in_the_binary_and_may_be() {
    let digits = images("digits").unwrap();
    assert_eq!((digits.shape, digits.classes(), digits.train.labels.len()), ([1, 8, 8], 10, 1797));
    assert_eq!(digits.train.pixels.len(), 1797 * 64);
    assert_eq!(digits.train.pixels.iter().max(), Some(&digits.peak));
    // The first lines of the file.
    assert_eq!(digits.train.labels[..4], [0, 1, 2, 3]);
    assert_eq!(digits.train.pixels[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    let novel = text("penelope").unwrap();
    assert!(novel.starts_with("PENELOPE BRANDLING"));
    assert_eq!(novel.chars().count(), 119_513);
    for name in ["digits", "penelope"] {
        let set = find(name).unwrap();
        assert_eq!((set.source, set.terms), (Source::Binary, Terms::Free), "{name}");
        assert_eq!(Shelves::new(vec!["/nowhere".into()]).verify(set).unwrap(), Some(1), "{name}");
    }
}

#[test]
fn a_folder_of_idx_files_is_read_gzipped_or_not() {
    let folder = folder(&idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]), &idx(&[2], &[1, 0]));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&idx(&[1, 1, 3], &[7, 8, 9])).unwrap();
    fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(folder.path().join("t10k-labels-idx1-ubyte"), idx(&[1], &[2])).unwrap();
    let found = images(&folder.path().to_string_lossy()).unwrap();
    assert_eq!((found.shape, found.classes(), found.peak), ([1, 1, 3], 3, 255));
    assert_eq!((found.train.pixels, found.train.labels), (vec![1, 2, 3, 4, 5, 6], vec![1, 0]));
    assert_eq!(found.test.unwrap().pixels, [7, 8, 9]);
}

#[test]
fn a_file_that_is_cut_too_long_or_lies_about_its_size_is_refused_by_name() {
    let labels = idx(&[2], &[1, 0]);
    let cut = complaint(folder(&idx(&[2, 1, 3], &[1, 2, 3, 4, 5]), &labels).path());
    assert!(cut.contains("train-images-idx3-ubyte") && cut.contains("6 bytes, and 5 follow"), "{cut}");
    let long = complaint(folder(&idx(&[2, 1, 3], &[0; 7]), &labels).path());
    assert!(long.contains("6 bytes, and more follow"), "{long}");
    // A header that speaks of terabytes takes no memory.
    let huge = complaint(folder(&idx(&[u32::MAX, 100, 3], &[0; 7]), &labels).path());
    assert!(huge.contains("and 7 follow"), "{huge}");
    let header = complaint(folder(&[0, 0, 8], &labels).path());
    assert!(header.contains("ends within its header"), "{header}");
    let other = complaint(folder(b"\x89PNG and so on, 16 bytes at least", &labels).path());
    assert!(other.contains("no IDX file of bytes with 3 axes"), "{other}");
    let count = complaint(folder(&idx(&[1, 1, 3], &[1, 2, 3]), &labels).path());
    assert!(count.contains("1 pictures of 1x3") && count.contains("2 classes"), "{count}");
}

#[test]
fn what_is_missing_is_named() {
    let nothing = images("no-such-thing").unwrap_err().to_string();
    assert!(nothing.contains("kilter data list --kind images"), "{nothing}");
    let empty = TempDir::new().unwrap();
    let nothing = complaint(empty.path());
    assert!(nothing.contains("train-images-idx3-ubyte"), "{nothing}");
    fs::write(empty.path().join("train-images-idx3-ubyte"), idx(&[1, 1, 1], &[0])).unwrap();
    let half = complaint(empty.path());
    assert!(half.contains("train-labels-idx1-ubyte") && half.contains("missing"), "{half}");
}

#[test]
fn text_must_be_utf8_and_not_empty() {
    let folder = TempDir::new().unwrap();
    let of = |bytes: &[u8]| {
        let path = folder.path().join("text");
        fs::write(&path, bytes).unwrap();
        text(&path.to_string_lossy())
    };
    assert_eq!(of("é, ß\n".as_bytes()).unwrap(), "é, ß\n");
    let latin = of(b"caf\xe9").unwrap_err().to_string();
    assert!(latin.contains("byte 3 is no UTF-8"), "{latin}");
    assert!(of(b" \n").unwrap_err().to_string().contains("empty"));
    assert!(text("no-such-file").unwrap_err().to_string().contains("`penelope`"));
}

/// Four packed lines of JSON, as `zstd -19 --long=27` packs them: two frames, one after the other.
const PACKED: &[u8] = include_bytes!("books.jsonl.zst");

#[test]
fn books_are_lines_of_json_packed_or_not_and_one_text_is_one_book() {
    let folder = TempDir::new().unwrap();
    let of = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        books(&path.to_string_lossy())
    };
    let line = "{\"author\":\"A\",\"title\":\"B\",\"year\":1900,\"text\":\"one\\ntwo\"}\n\n{\"text\":\"three\"}\n";
    let plain = of("books.jsonl", line.as_bytes()).unwrap();
    assert_eq!((plain.len(), plain[0].author.as_str(), plain[1].text.as_str()), (2, "A", "three"));
    let packed = of("books.jsonl.zst", PACKED).unwrap();
    let titles: Vec<&str> = packed.iter().map(|book| book.title.as_str()).collect();
    assert_eq!(titles, ["First", "Second", "Third", "Fourth"]);
    assert!(packed.iter().all(|book| book.text.len() > 100), "{packed:?}");
    assert_eq!(of("one.txt", b"all in one").unwrap().len(), 1);
    assert_eq!(text(&folder.path().join("books.jsonl").to_string_lossy()).unwrap(), "one\ntwo\nthree");
    let wrong = of("wrong.jsonl", b"{\"text\":\"a\"}\n{\"txt\":1}\n").unwrap_err().to_string();
    assert!(wrong.contains("line 2") && wrong.contains("text"), "{wrong}");
    let cut = of("cut.jsonl.zst", &PACKED[..40]).unwrap_err().to_string();
    assert!(cut.contains("cut.jsonl.zst"), "{cut}");
}
