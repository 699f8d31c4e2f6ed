//! The file that studies are remembered in, and what befalls it.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::room::{LOSS, Room, states, wait_until};

/// A study of so many trials that just say what they were given.
fn tuned(room: &Room, trials: &str) {
    let words = ["tune", "--quiet", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", trials];
    room.kilter(words.into_iter().chain(["--study", "s", "--", "sh", "-c", "echo loss=$KILTER_PARAM_X"])).done();
}

#[test]
fn a_whole_file_is_said_to_be_whole() {
    let room = Room::new();
    room.line("storage check").with(4).remarks("there is no kilter.db here");
    tuned(&room, "3");
    room.line("storage check").done().says("kilter.db is whole: 1 study, 3 trials, 9 events");
    let json = room.line("storage check --json").done().json();
    assert_eq!((&json["whole"], &json["trials"], &json["faults"]), (&true.into(), &3.into(), &serde_json::json!([])));
}

#[test]
fn a_damaged_file_is_said_to_be_damaged() {
    let room = Room::new();
    tuned(&room, "40");
    let file = fs::OpenOptions::new().write(true).open(room.at("kilter.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    // Any page but the first, which says what file it is.
    for page in 3..pages {
        file.write_all_at(&[0xAB; 512], page * 4096).unwrap();
    }
    let said = room.line("storage check");
    assert!([Some(1), Some(4)].contains(&said.code), "{:?} {}", said.code, said.err);
    assert!(said.out.contains("is damaged") || said.err.contains("malformed"), "{}{}", said.out, said.err);
}

#[test]
fn a_copy_is_made_while_others_write_and_holds_the_study() {
    let room = Room::new();
    tuned(&room, "5");
    room.line("storage copy copy.db").done().says("copied kilter.db to copy.db");
    room.line("storage copy copy.db").with(2).remarks("copy.db is there already");
    room.line("storage copy no/such/folder.db").with(4).remarks("no/such/folder.db");
    let original = room.trials();
    assert_eq!(room.trials_of(&["--storage", "sqlite:copy.db"]), original);
    room.line("storage check --storage sqlite:copy.db").done();
    room.script("t.sh", "while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "2", "--study", "t"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("a trial", || room.exists("kilter.trials/t/0/stdout.log"));
    room.line("storage copy second.db --quiet").done();
    room.line("storage vacuum").done().says("kilter.db takes");
    assert_eq!(states(&room.trials_of(&["t", "--storage", "sqlite:second.db"]))["running"], 1);
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
    assert_eq!(states(&room.trials_of(&["t"]))["complete"], 2);
    assert!(room.files().iter().all(|file| !file.contains(".part")), "{:?}", room.files());
}

#[test]
fn durability_is_part_of_the_address() {
    let room = Room::new();
    let tune = "tune breast-cancer --trials 2 --set family=decision_tree --storage";
    room.line(&format!("{tune} sqlite:s.db?durability=full")).done().says("--storage 'sqlite:s.db?durability=full'");
    assert!(room.exists("s.db"));
    room.line(&format!("{tune} sqlite:s.db?durabilty=full")).with(2).remarks("write ?durability=full");
    room.line("trials --storage sqlite:s.db?durability=normal").done();
}

/// The tuner's own file goes away under it.
#[test]
fn a_file_deleted_during_a_study_ends_it_with_the_reason() {
    let room = Room::new();
    room.script("t.sh", "echo >> begun; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "3"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("a trial", || room.exists("begun"));
    for name in ["kilter.db", "kilter.db-wal", "kilter.db-shm"] {
        let _ = fs::remove_file(room.at(name));
    }
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(4));
    let said = room.read("err");
    assert!(said.contains("kilter.db is not there any more") && said.contains("deleted"), "{said}");
    room.wait_until_empty();
}
