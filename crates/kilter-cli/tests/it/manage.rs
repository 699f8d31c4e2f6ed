//! Looking after studies: filters, exports, tags, names, copies, queues.

use std::fs;

use crate::room::{LOSS, Room, numbers, states};

/// Six trials of `t` with loss = depth; number 3 fails.
fn room() -> Room {
    let room = Room::new();
    room.script("t.sh", "[ $1 != 3 ] || [ -e mended ] || exit 7; echo loss=$2\n");
    let words =
        ["tune", "--sampler", "random", "--minimize", "--metric", LOSS, "--trials", "6", "--seed", "1", "--quiet"];
    let more =
        ["--param", "depth=int:1..50", "--param", "kind=a|b", "--", "sh", "t.sh", "{trial}", "{depth}", "{kind}"];
    room.kilter(words.into_iter().chain(more)).done();
    room
}

#[test]
fn trials_are_filtered_sorted_and_cut() {
    let room = room();
    let pick = |words: &[&str]| numbers(&room.trials_of(words));
    let all = room.trials();
    let mut by_loss: Vec<u64> = numbers(&all).into_iter().filter(|n| *n != 3).collect();
    let loss = |n: &u64| all[*n as usize]["values"][0].as_f64().unwrap() as i64;
    by_loss.sort_by_key(loss);
    assert_eq!(pick(&["--where", "state == 'complete'", "--sort", "loss"]), by_loss);
    assert_eq!(pick(&["--where", "failure == 'exit_status'"]), [3]);
    assert_eq!(pick(&["--sort", "-loss", "--limit", "1"]), [*by_loss.last().unwrap()]);
    assert_eq!(pick(&["--where", "depth > 50"]), [0_u64; 0]);
    room.line("trials --limit 2 --columns number,kind").done().says("(2 of 6 trials: 5 complete, 1 failed)");
    let said = room.kilter(["trials", "--where", "depht > 5"]).with(2);
    insta::assert_snapshot!("misspelt field", said.err);
    let said = room.kilter(["trials", "--where", "depth = 5"]).with(2);
    insta::assert_snapshot!("assignment in a filter", said.err);
    let said = room.kilter(["trials", "--where", "loss > 0 and state == 'complet'"]).done();
    said.says("(0 of 6 trials").remarks("no state is called `complet`; did you mean `complete`?");
    room.line("trials --sort los").with(2).remarks("did you mean `loss`?");
    room.line("trials --columns number,knd").with(2).remarks("did you mean `kind`?");
}

#[test]
fn a_study_is_exported_as_a_table_and_as_a_document() {
    let room = room();
    let csv = room.line("export --columns number,state,metrics.loss,params.depth,params.kind").done().out;
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("number,state,metrics.loss,params.depth,params.kind"));
    let trial = &room.trials()[0];
    let (depth, kind) = (trial["params"]["depth"].as_i64().unwrap(), trial["params"]["kind"].as_str().unwrap());
    assert_eq!(lines.next().unwrap(), format!("0,complete,{depth}.0,{depth},{kind}"));
    assert_eq!(lines.nth(2).unwrap().split(',').nth(1), Some("failed"));
    room.line("export -o all.csv").done().remarks("6 trials of t are in all.csv");
    assert!(room.read("all.csv").starts_with("number,state,feasible,"));
    room.kilter(["export", "-o", "some.json", "--where", "state == 'complete'"]).done();
    let document: serde_json::Value = serde_json::from_str(&room.read("some.json")).unwrap();
    assert_eq!(document["trials"].as_array().unwrap().len(), 5);
    assert_eq!(document["trials"][0]["reports"][0]["metric"], "loss");
    assert_eq!(document["goals"][0]["metric"], "loss");
    room.line("export -o all.xlsx").with(2).remarks("let it end in .csv, .parquet, .json, or add --format");
    // A column that was asked for is there, even if no trial has it.
    let csv = room.line("export --columns number,failure --limit 2").done().out;
    assert_eq!(csv, "number,failure\n0,\n1,\n");
    room.line("export -o no/where.csv").with(1).remarks("cannot write no/where.csv");
}

#[test]
fn a_parquet_file_holds_the_same_table_with_types() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    let room = room();
    room.line("tag --trial 2 sure=true").done();
    room.line("export -o all.parquet").done().remarks("6 trials of t are in all.parquet");
    room.line("export -o all.csv").done();
    let file = SerializedFileReader::new(fs::File::open(room.at("all.parquet")).unwrap()).unwrap();
    assert_eq!(file.metadata().file_metadata().num_rows(), 6);
    let csv = room.read("all.csv");
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for (row, line) in file.get_row_iter(None).unwrap().map(Result::unwrap).zip(lines) {
        let cells: Vec<_> = row.get_column_iter().collect();
        assert_eq!(cells.iter().map(|(name, _)| *name).collect::<Vec<_>>(), head.iter().collect::<Vec<_>>());
        for ((name, cell), text) in cells.into_iter().zip(line) {
            let (kind, told) = match cell {
                Field::Null => ("null", String::new()),
                Field::Bool(truth) => ("truth", truth.to_string()),
                Field::Long(whole) => ("whole", whole.to_string()),
                Field::Double(number) => ("number", kilter_space::Value::Float(*number).to_string()),
                Field::Str(text) => ("text", text.clone()),
                other => panic!("{name}: {other:?}"),
            };
            kinds.insert(kind);
            assert_eq!(told, text, "{name}");
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    // One that no trial has, and no trial at all.
    let line = "export --format parquet --columns number,failure";
    room.line(&format!("{line} --limit 2 -o empty-column.parquet")).done();
    let file = SerializedFileReader::new(fs::File::open(room.at("empty-column.parquet")).unwrap()).unwrap();
    let rows: Vec<_> = file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(rows, ["{number: 0, failure: null}", "{number: 1, failure: null}"]);
    room.line(&format!("{line} --limit 0 -o nothing.parquet")).done();
    let file = SerializedFileReader::new(fs::File::open(room.at("nothing.parquet")).unwrap()).unwrap();
    assert_eq!((file.metadata().file_metadata().num_rows(), file.metadata().num_row_groups()), (0, 0));
    // A pipe may have it, too.
    let mut call = std::process::Command::new(crate::room::KILTER);
    let piped = call.args(line.split(' ')).current_dir(room.path()).output().unwrap();
    assert!(piped.stdout.starts_with(b"PAR1") && piped.stdout.ends_with(b"PAR1"));
}

#[test]
fn failed_trials_run_again_under_their_number() {
    let room = room();
    room.line("retry 0").with(2).remarks("trial 0 of t is complete; only failed and pruned trials are run again");
    room.line("retry 9").with(2).remarks("its trials go from 0 to 5");
    let before = room.trials();
    fs::write(room.at("mended"), "").unwrap();
    room.line("retry").done().says("1 trial waits to run again in t").remarks("kilter resume t");
    assert_eq!(states(&room.trials())["waiting"], 1);
    room.line("resume --quiet").done();
    let after = room.trials();
    assert_eq!(states(&after)["complete"], 6);
    assert_eq!(before[3]["params"], after[3]["params"]);
    assert_eq!(after[3]["attempt"], 1);
    room.line("retry").done().says("nothing is run again");
}

#[test]
fn what_is_enqueued_runs_first() {
    let room = room();
    room.line("enqueue t --set depth=17 --set kind=b").done().says("trial 6 of t waits").remarks("kilter resume t");
    room.line("enqueue --from t:0 --set kind=a").done();
    room.line("enqueue --from t --set kind=b").done();
    room.line("resume --trials 10 --quiet").done();
    let trials = room.trials();
    assert_eq!((trials[6]["params"]["depth"].as_i64(), trials[6]["params"]["kind"].as_str()), (Some(17), Some("b")));
    assert_eq!(trials[7]["params"]["depth"], trials[0]["params"]["depth"]);
    assert_eq!(trials.len(), 10);
    room.line("enqueue --set depht=3").with(2).remarks("did you mean `depth`?");
    room.line("enqueue --set depth=99 --set kind=a").with(2).remarks("depth");
    room.line("enqueue --set depth=3").with(2).remarks("`kind`");
    room.line("enqueue --from t:99").with(2).remarks("its trials go from 0 to 9");
    assert_eq!(room.trials().len(), 10);
}

#[test]
fn studies_and_trials_carry_tags() {
    let room = room();
    room.line("tag team=vision paper=true").done().says("team = vision");
    room.kilter(["tag", "--trial", "2", "note=look again"]).done().says("note = look again");
    room.line("tag --remove paper").done();
    let tags = room.line("tag --json").done().json();
    assert_eq!(tags["user"], serde_json::json!({ "team": "vision" }));
    assert_eq!(room.trials()[2]["user"]["note"], "look again");
    assert_eq!(numbers(&room.trials_of(&["--where", "user.note == 'look again'"])), [2]);
    room.line("show 2").done().says("note = look again");
    room.line("tag --remove tem").with(2).remarks("did you mean `team`?");
    room.line("tag --trial 99 a=b").with(2);
    room.line("tag oops").with(2).remarks("NAME=VALUE");
}

#[test]
fn a_study_is_renamed_copied_and_deleted_with_what_belongs_to_it() {
    let room = room();
    room.line("copy t u").done().says("u is a copy of t (6 trials: 5 complete, 1 failed)");
    room.line("copy t u").with(2).remarks("there is a study named `u` already");
    room.line("copy t archived --to sqlite:archive.db").done();
    assert_eq!(room.trials_of(&["archived", "--storage", "sqlite:archive.db"]).len(), 6);
    room.line("rename t u").with(2);
    room.line("rename t best-of-all").done().says("t is now best-of-all");
    assert!(room.exists("kilter.trials/best-of-all/0") && !room.exists("kilter.trials/t"));
    room.line("logs 0 --study best-of-all").done().says("loss=");
    room.line("show 0 --study t").with(2);
    // The copy goes on by itself.
    room.line("resume u --trials 8 --quiet").done();
    assert_eq!(room.trials_of(&["u"]).len(), 8);
    assert_eq!(room.trials_of(&["best-of-all"]).len(), 6);
    room.line("delete u").with(2).remarks("say so with --yes");
    room.line("delete u --yes").done().says("deleted u (8 trials");
    assert!(!room.exists("kilter.trials/u"));
    room.line("trials u").with(2).remarks("there is no study `u`");
    room.line("delete best-of-al --yes").with(2).remarks("did you mean `best-of-all`?");
}

#[test]
fn shells_and_manuals_know_every_verb() {
    let room = Room::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        room.line(&format!("completions {shell}")).done().says("enqueue");
    }
    room.line("completions tcsh").with(2);
    room.line("man").done().says(".TH kilter 1").says("tune");
    room.line("man trials").done().says(".TH kilter-trials 1").says("--where".replace('-', "\\-").as_str());
    room.line("man trails").with(2).remarks("did you mean `trials`?");
    room.line("man --out pages").done();
    assert!(room.read("pages/kilter-tune.1").contains("kilter tune breast"));
}
