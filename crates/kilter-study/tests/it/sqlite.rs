//! What only a file promises.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use kilter_study::storage::Opening;
use kilter_study::{Sqlite, State, Storage, StorageError, Worker};
use rusqlite::Connection;

use crate::given::{alive, complete, fold, opened, spec};

fn refused(path: &Path) -> (StorageError, String) {
    match Sqlite::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(why) => {
            let words = why.to_string();
            (why, words)
        }
    }
}

#[test]
fn a_second_handle_sees_the_same_study_and_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("größe und mehr.db");
    let first = Sqlite::open(&path).unwrap();
    let id = first.create(&spec("shared")).unwrap();
    let number = first.reserve(id, &alive()).unwrap();
    let lease = first.open(id, number, &opened(0.25), &alive(), false).unwrap().lease().unwrap();
    let second = Sqlite::open(&path).unwrap();
    assert_eq!(second.path(), path);
    assert_eq!(second.studies().unwrap()[0].spec, spec("shared"));
    assert_eq!(second.reserve(id, &alive()).unwrap(), 1);
    second.finish(&lease, &complete(0.5)).unwrap();
    assert_eq!(first.changes(id, 0, 9).unwrap().events, second.changes(id, 0, 9).unwrap().events);
    drop((first, second));
    assert_eq!(Sqlite::open(&path).unwrap().changes(id, 0, 9).unwrap().events.len(), 2);
}

#[test]
fn names_that_sqlite_reads_in_its_own_way_are_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file:study.db", "file:x?mode=memory", "a%20b.db", "#x"] {
        let path = folder.path().join(name);
        let id = Sqlite::open(&path).unwrap().create(&spec("s")).unwrap();
        assert!(path.is_file(), "{name}");
        assert_eq!(Sqlite::open(&path).unwrap().studies().unwrap()[0].id, id);
    }
    assert!(Sqlite::open(Path::new("")).is_err());
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("short.csv", "a,b\n1,2\n".to_owned()), ("long.csv", "a,b\n1,2\n".repeat(1000))] {
        let path = folder.path().join(name);
        fs::write(&path, &content).unwrap();
        let (why, words) = refused(&path);
        assert!(matches!(why, StorageError::NotOurs { .. }), "{words}");
        assert!(words.contains("is not a kilter database: it is not a SQLite file"), "{words}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn databases_of_others_are_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tables = [
        ("CREATE TABLE trial_params (a); CREATE TABLE studies (a);", "it is an Optuna database"),
        ("CREATE TABLE studies (id INTEGER PRIMARY KEY, name TEXT);", "it is another program's SQLite database"),
    ];
    for (k, (tables, whose)) in tables.into_iter().enumerate() {
        let path = folder.path().join(format!("{k}.db"));
        let theirs = Connection::open(&path).unwrap();
        theirs.execute_batch(tables).unwrap();
        drop(theirs);
        let before = fs::read(&path).unwrap();
        let (why, words) = refused(&path);
        assert!(matches!(why, StorageError::NotOurs { .. }));
        assert!(words.contains(whose), "{words}");
        assert!(words.contains("--storage sqlite:FILE"), "{words}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn an_empty_file_becomes_a_study_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    Sqlite::open(&path).unwrap().create(&spec("s")).unwrap();
    assert_eq!(Sqlite::open(&path).unwrap().studies().unwrap().len(), 1);
}

#[test]
fn a_file_of_a_newer_kilter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let (why, words) = refused(&path);
    assert!(matches!(why, StorageError::Newer { found: 99, .. }));
    assert!(words.contains("newer kilter (schema 99") && words.contains("update kilter"), "{words}");
}

/// Made by the first kilter: one study of six trials that ended, one whose tuner was killed while its trial ran.
#[test]
fn a_file_of_the_first_kilter_is_read_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/storage/schema-1.db"), &path).unwrap();
    let storage = Sqlite::open(&path).unwrap();
    let studies = storage.studies().unwrap();
    let history = |k: usize| fold(&storage.changes(studies[k].id, 0, usize::MAX).unwrap().events);
    assert_eq!(studies.iter().map(|study| study.spec.name.as_str()).collect::<Vec<_>>(), ["old", "killed"]);
    let old = history(0);
    assert_eq!((old.count(State::Complete), old.count(State::Failed)), (4, 2));
    assert_eq!(old.get(5).unwrap().value("loss"), Some(3.669233107583125e-5));
    assert_eq!(history(1).count(State::Running), 1);
    assert_eq!(storage.reserve(studies[0].id, &alive()).unwrap(), 6);
    assert_eq!(storage.reserve(studies[1].id, &alive()).unwrap(), 1);
}

#[test]
fn a_file_on_a_network_file_system_is_refused_before_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far.db");
    let how = Opening { network: |_| Some("NFS".to_owned()), ..Opening::default() };
    let Err(why) = Sqlite::open_with(&path, how) else { panic!("it was opened") };
    assert!(matches!(why, StorageError::Network { .. }));
    let words = why.to_string();
    assert!(words.contains("network file system (NFS)") && words.contains("on a local disk with --storage"), "{words}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_was_deleted_or_replaced_takes_no_more_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let storage = Sqlite::open(&path).unwrap();
    let id = storage.create(&spec("s")).unwrap();
    let gone = || {
        let why = storage.want_trials(id, 3).unwrap_err();
        assert!(matches!(why, StorageError::Gone(_)), "{why}");
        assert!(why.to_string().contains("deleted or replaced while in use"));
    };
    fs::rename(&path, folder.path().join("elsewhere.db")).unwrap();
    gone();
    Sqlite::open(&path).unwrap().create(&spec("another")).unwrap();
    gone();
}

/// A study of two trials, one of which ended, and what a check says of it after `damage`.
fn checked(damage: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let storage = Sqlite::open(&path).unwrap();
    let id = storage.create(&spec("s")).unwrap();
    for _ in 0..2 {
        let number = storage.reserve(id, &alive()).unwrap();
        let lease = storage.open(id, number, &opened(0.5), &alive(), false).unwrap().lease().unwrap();
        if number == 0 {
            storage.finish(&lease, &complete(0.5)).unwrap();
        }
    }
    storage.reserve(id, &alive()).unwrap();
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();
    let found = storage.check().unwrap();
    assert_eq!(found.studies, 1);
    found.faults
}

#[test]
fn a_check_finds_what_does_not_agree() {
    assert!(checked("").is_empty());
    let faults = checked("DELETE FROM events WHERE revision = 2");
    assert!(faults[0] == "study s: events 2 to 2 are missing", "{faults:?}");
    let faults = checked("DELETE FROM events WHERE revision = 3");
    assert!(faults[0] == "study s: the log ends at event 2, and should at 3", "{faults:?}");
    let faults = checked("UPDATE events SET change = '{\"unheard\":1}' WHERE revision = 2");
    assert!(faults[0].starts_with("study s: event 2:") && faults[0].contains("unheard"), "{faults:?}");
    let faults = checked("UPDATE trials SET stage = 3 WHERE number = 1");
    assert_eq!(faults, ["study s: trial 1 is running by its events, and something else in its table"]);
    let faults = checked("UPDATE trials SET number = 7 WHERE number = 0");
    assert!(faults.contains(&"study s: no event tells of trial 7".to_owned()), "{faults:?}");
}

#[test]
fn a_copy_holds_what_the_file_held_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Sqlite::open(&folder.path().join("s.db")).unwrap();
    let id = storage.create(&spec("s")).unwrap();
    (0..50).for_each(|k| storage.want_trials(id, k).unwrap());
    let to = folder.path().join("copy.db");
    assert_eq!(storage.copy_to(&to).unwrap(), fs::metadata(&to).unwrap().len());
    storage.want_trials(id, 99).unwrap();
    let copy = Sqlite::open(&to).unwrap();
    assert_eq!(copy.changes(id, 0, 99).unwrap().events, storage.changes(id, 0, 50).unwrap().events);
    assert!(matches!(storage.copy_to(&to), Err(StorageError::Unusable { .. })));
    assert_eq!(copy.changes(id, 0, 99).unwrap().events.len(), 50);
    let (before, after) = storage.vacuum().unwrap();
    assert!(before >= after && after > 0);
    assert_eq!(storage.changes(id, 0, 99).unwrap().events.len(), 51);
}

#[test]
fn places_that_cannot_be_used_are_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let words = |path: &Path| {
        let (why, words) = refused(path);
        assert!(matches!(why, StorageError::Unusable { .. }), "{words}");
        assert!(words.contains(&path.display().to_string()), "{words}");
        words
    };
    assert!(words(folder.path()).ends_with("it is a folder"));
    let missing = folder.path().join("no/such");
    assert!(words(&missing.join("study.db")).ends_with(&format!("the folder {} does not exist", missing.display())));
    // Not even root makes files in /proc.
    assert!(words(Path::new("/proc/study.db")).ends_with("the file cannot be opened or made there"));
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.db");
    let id = Sqlite::open(&path).unwrap().create(&spec("s")).unwrap();
    let connection = Connection::open(&path).unwrap();
    let insert = "INSERT INTO events (study, revision, at_ms, change) VALUES (?1, 1, 0, '{\"unheard\":1}')";
    connection.execute(insert, [id.0]).unwrap();
    drop(connection);
    let words = Sqlite::open(&path).unwrap().changes(id, 0, 9).unwrap_err().to_string();
    assert!(words.contains("something unreadable (events.change)") && words.contains("unheard"), "{words}");
    fs::write(&path, [fs::read(&path).unwrap()[..100].to_vec(), vec![7; 9000]].concat()).unwrap();
    let usable = Sqlite::open(&path).and_then(|storage| storage.studies());
    assert!(matches!(usable, Err(StorageError::Unusable { .. } | StorageError::NotOurs { .. })));
}

/// Root may write whatever the permissions say, so this says something only to others.
#[test]
fn a_read_only_file_can_be_looked_at_and_says_why_it_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let id = Sqlite::open(&path).unwrap().create(&spec("s")).unwrap();
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return;
    }
    let storage = Sqlite::open(&path).unwrap();
    assert_eq!(storage.studies().unwrap().len(), 1);
    let words = storage.reserve(id, &alive()).unwrap_err().to_string();
    assert!(words.ends_with("the file is read-only"), "{words}");
}

/// Eight handles on one file, each used as a process would use its own.
#[test]
fn many_writers_get_distinct_dense_numbers_and_lose_nothing() {
    const WRITERS: usize = 8;
    const EACH: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let id = Sqlite::open(&path).unwrap().create(&spec("shared")).unwrap();
    let numbers: Vec<u64> = std::thread::scope(|scope| {
        let run = |_| {
            scope.spawn(|| {
                let storage = Sqlite::open(&path).unwrap();
                let work = |_| {
                    let number = storage.reserve(id, &alive()).unwrap();
                    let lease = storage.open(id, number, &opened(0.5), &alive(), false).unwrap().lease().unwrap();
                    storage.finish(&lease, &complete(number as f64)).unwrap();
                    number
                };
                (0..EACH).map(work).collect::<Vec<_>>()
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(run).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let all = (WRITERS * EACH) as u64;
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (0..all).collect::<BTreeSet<_>>());
    assert_eq!(numbers.len() as u64, all);
    let events = Sqlite::open(&path).unwrap().changes(id, 0, usize::MAX).unwrap().events;
    let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=2 * all).collect::<Vec<_>>());
}

#[test]
fn many_processes_may_make_one_file_at_once() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.db");
        let start = Arc::new(Barrier::new(8));
        let made: Vec<bool> = std::thread::scope(|scope| {
            let open = |_| {
                let start = start.clone();
                let path = &path;
                scope.spawn(move || {
                    start.wait();
                    let storage = Sqlite::open(path).unwrap_or_else(|why| panic!("round {round}: {why}"));
                    storage.create(&spec("one")).is_ok()
                })
            };
            let makers: Vec<_> = (0..8).map(open).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "one of them made the study");
    }
}

#[test]
fn many_readers_see_whole_revisions_while_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let writer = Sqlite::open(&path).unwrap();
    let id = writer.create(&spec("s")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let reader = Sqlite::open(&path).unwrap();
                let mut seen = 0;
                while seen < 200 {
                    for event in reader.changes(id, seen, 7).unwrap().events {
                        assert_eq!(event.revision, seen + 1);
                        seen = event.revision;
                    }
                }
            });
        }
        (0..200).for_each(|k| writer.want_trials(id, k).unwrap());
    });
}

/// Two workers of one machine that both find the dead one's number: one gets it.
#[test]
fn a_dead_worker_s_number_is_given_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("once.db");
    let id = Sqlite::open(&path).unwrap().create(&spec("s")).unwrap();
    let storage = Sqlite::open(&path).unwrap();
    let dead = Worker { pid: u32::MAX, ..alive() };
    for _ in 0..4 {
        storage.reserve(id, &dead).unwrap();
        let start = Barrier::new(4);
        let numbers: BTreeSet<u64> = std::thread::scope(|scope| {
            let reserve = |_| {
                scope.spawn(|| {
                    let storage = Sqlite::open(&path).unwrap();
                    start.wait();
                    storage.reserve(id, &alive()).unwrap()
                })
            };
            let takers: Vec<_> = (0..4).map(reserve).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(numbers.len(), 4);
    }
    assert_eq!(storage.reserve(id, &alive()).unwrap(), 16);
}

/// The line of those who wait is a courtesy: whoever is stopped in it, or locks the folder for another reason, holds up
/// nobody for ever.
#[test]
fn a_line_that_does_not_get_on_keeps_nobody_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let storage = Sqlite::open(&path).unwrap();
    let id = storage.create(&spec("s")).unwrap();
    let stopped = fs::File::open(folder.path()).unwrap();
    stopped.lock().unwrap();
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let others: Vec<Sqlite> = (0..4).map(|_| Sqlite::open(&path).unwrap()).collect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| storage.want_trials(id, 3));
        // Nobody in line: written at once.
        writer.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap().unwrap();
        let all: Vec<_> = others
            .iter()
            .map(|other| scope.spawn(move || (0..20).try_for_each(|k| other.want_trials(id, k))))
            .collect();
        all.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
    });
    stopped.unlock().unwrap();
    assert_eq!(storage.changes(id, 0, 100).unwrap().events.len(), 81);
}
