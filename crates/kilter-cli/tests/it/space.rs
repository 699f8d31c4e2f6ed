//! `kilter space`, and a space that changes while it is searched.

use std::fs;

use crate::crash::rounds;
use crate::room::{LOSS, Room, python, wait_until};

const SPACE: &str = r#"[parameters.optimizer]
choice = ["adam", "soap", { null = true }]
default = "adam"
[parameters.every]
int = [1, 4]
when = "optimizer == 'soap'"
[parameters.batch]
int = [16, 64]
step = 16
about = "Examples per step"
[parameters.folds]
int = [2, 10]
default = 5
setting = true
[[constraints]]
require = "batch <= 48 or optimizer != 'adam'"
"#;

fn room() -> Room {
    let room = Room::new();
    fs::write(room.at("kilter.toml"), SPACE).unwrap();
    room
}

macro_rules! said {
    ($($name:ident: $line:literal,)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), room().line($line).done().out, $line);
        }
    )* };
}

said! {
    described: "space describe",
    described_with_more: "space describe --param rate=log:1e-5..1 --set batch=32",
    described_in_json: "space describe --json --set optimizer=adam",
    checked: "space check",
    checked_in_json: "space check --json",
    checked_without_end: "space check --param rate=0..1",
    a_recipe_checked: "space check breast-cancer",
    sampled: "space sample -n 4",
    sampled_quietly: "space sample -n 2 --quiet --seed 3",
    counted: "space count",
    counted_in_json: "space count --json",
    counted_too_many: "space count --param a=int:1..9000000000000000000 --param b=int:1..9000000000000000000 --param c=int:0..9",
    counted_without_end: "space count --param rate=log:1e-5..1",
}

#[test]
fn toml_reads_back_the_same() {
    let room = room();
    let toml = room.line("space describe --toml").done().out;
    fs::write(room.at("again.toml"), &toml).unwrap();
    assert_eq!(room.line("space describe --toml again.toml").done().out, toml);
    room.line("space diff kilter.toml again.toml").done().says("no difference");
    let recipe = room.line("space describe breast-cancer --toml").done().out;
    fs::write(room.at("recipe.toml"), &recipe).unwrap();
    room.line("space diff breast-cancer recipe.toml").done().says("no difference");
}

#[test]
fn differences_are_told() {
    let room = room();
    let new = SPACE
        .replace("\"soap\", ", "\"soap\", \"sgd\", ")
        .replace("[16, 64]", "[16, 128]")
        .replace("[1, 4]", "[1, 2]")
        .replace("[parameters.folds]", "[parameters.momentum]\nfloat = [0.0, 1.0]\n[parameters.folds]")
        .replace("batch <= 48", "batch <= 64");
    fs::write(room.at("new.toml"), new).unwrap();
    insta::assert_snapshot!("differences", room.line("space diff kilter.toml new.toml").done().out);
    room.line("space diff new.toml").done().says("dropped question momentum");
}

#[test]
fn wrong_calls() {
    let room = room();
    for (line, why) in [
        ("space describe breast-cancr", "there is no file and no recipe `breast-cancr`; did you mean `breast-cancer`?"),
        ("space describe nowhere.toml", "cannot read nowhere.toml"),
        ("space sample -n 0", "ask for at least 1"),
        ("space sample --param x=1..0", "did you swap them?"),
        ("space count --set batc=16", "there is no hyperparameter `batc`; did you mean `batch`?"),
        ("space count --set batch=17", "17 is not allowed"),
        ("space diff", "name two spaces"),
        ("space check --set optimizer=adam --param batch=int:50..60", "no configuration fulfils"),
    ] {
        let said = room.line(line).with(2);
        assert!(said.err.contains(why), "{line}: {}", said.err);
    }
    fs::write(room.at("no.toml"), SPACE.replace("batch <= 48 or optimizer != 'adam'", "batch > 64")).unwrap();
    insta::assert_snapshot!("a_contradiction_checked", room.line("space check no.toml").with(2).err);
    room.line("space check --study none").with(4);
}

/// A study of six trials whose script prints its first argument.
fn study() -> Room {
    let room = Room::new();
    room.script(
        "t.py",
        "import os, sys, json\nc = json.load(open(os.environ['KILTER_CONFIG']))\nprint('loss=%r' % c['x'])\n",
    );
    let python = python();
    room.kilter([
        "tune",
        "--study",
        "s",
        "--sampler",
        "tpe:startup=3",
        "--trials",
        "6",
        "--metric",
        LOSS,
        "--minimize",
        "--param",
        "x=0..1",
        "--param",
        "kind=a|b",
        "--",
        python,
        "t.py",
        "{config}",
    ])
    .done();
    room
}

#[test]
fn a_running_study_grows() {
    let room = study();
    let said = room.line("resume s --trials 14 --param x=0..0.5 --param kind=a|b|c --param momentum=0.5..0.75").done();
    for line in [
        "x: narrower, from 0.0..1.0 to 0.0..0.5",
        "kind: new choice c",
        "new question momentum: 0.5..0.75 (no default, so old trials lack it)",
        "of 6 trials 0 fit",
    ] {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    let trials = room.trials();
    for trial in &trials[6..] {
        assert!(trial["params"]["x"].as_f64().unwrap() <= 0.5, "{trial}");
        assert!((0.5..=0.75).contains(&trial["params"]["momentum"].as_f64().unwrap()), "{trial}");
    }
    assert_eq!(trials.len(), 14);
    room.line("trials").done().says("the space changed after 6 trials:").says("kind: new choice c");
    let document = room.line("trials --json").done().json();
    assert_eq!(document["space_changes"][0]["after_trials"], 6);
    room.line("show 0").done().says("proposed in an earlier space");
    // Every later look and resume goes by the new space.
    room.line("space describe --study s").done().says("momentum").says("a|b|c");
    room.line("space diff --study s --param x=0..0.25").done().says("x: narrower").says("of 14 trials");
    room.line("resume s --trials 15").done();
    assert!(room.trials()[14]["params"].get("momentum").is_some());
}

#[test]
fn a_study_takes_the_space_of_a_file_and_a_command_that_goes_with_it() {
    let room = study();
    fs::write(room.at("space.toml"), "[parameters]\nx = \"0.5..1\"\n[parameters.warmup]\nint = [1, 9]\ndefault = 3\n")
        .unwrap();
    room.script("u.sh", "echo loss=\"$2\"\n");
    room.line("space diff --study s space.toml")
        .done()
        .says("dropped question kind")
        .says("old trials count as warmup=3");
    // The old command takes `{config}`; the new one names what it wants.
    room.line("resume s --trials 8 --space space.toml -- sh u.sh {x}").with(2).remarks("`warmup` is never used");
    assert_eq!(room.trials().len(), 6);
    room.line("resume s --trials 8 --space space.toml -- sh u.sh {x} {warmup}").done();
    let trials = room.trials();
    assert_eq!(trials[7]["values"][0].as_f64().unwrap(), trials[7]["params"]["warmup"].as_f64().unwrap());
    assert!(trials[7]["params"].get("kind").is_none() && trials[0]["params"].get("kind").is_some());
    room.line("resume s --trials 9").done();
    assert_eq!(room.trials()[8]["values"][0], room.trials()[8]["params"]["warmup"].as_f64().unwrap());
}

#[test]
fn a_change_that_cannot_be_changes_nothing() {
    let room = study();
    let before = room.line("trials --json").done().out;
    fs::write(room.at("bad.toml"), "[parameters.x]\nfloat = [1, 0]\n").unwrap();
    for (line, why) in [
        ("resume s --trials 9 --param x=1..0", "did you swap them?"),
        ("resume s --trials 9 --space bad.toml", "bad.toml:2:9"),
        ("resume s --trials 9 --param x=fixed:1 --param kind=fixed:a", "nothing left to search"),
        ("resume s --trials 9 --param x=0..1 --param x=0..2", "given twice"),
        ("resume s --trials 9 -- ./nowhere {config}", "command not found"),
    ] {
        let said = room.line(line).with(2);
        assert!(said.err.contains(why), "{line}: {}", said.err);
    }
    assert_eq!(room.line("trials --json").done().out, before);
}

/// Another space, and the command that goes with it: its loss is its `warmup`.
const WITH_WARMUP: &str = "resume s --space space.toml -- sh u.sh {x} {warmup}";

fn write_warmup(room: &Room) {
    fs::write(room.at("space.toml"), "[parameters]\nx = \"0.5..1\"\nwarmup = \"int:2..9\"\n").unwrap();
    room.script("u.sh", "echo loss=\"$2\"\n");
}

#[test]
fn a_tuner_and_a_worker_go_on_in_the_space_that_somebody_else_changed() {
    let room = Room::new();
    write_warmup(&room);
    room.script("t.sh", "echo >> begun; while [ ! -e go ]; do sleep 0.02; done; echo loss=$1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..0.25", "--trials", "10", "--study", "s"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("a trial", || room.read("begun").lines().count() == 1);
    let worker = room.begin_as("w", ["worker", "s"]);
    wait_until("both at work", || room.read("begun").lines().count() == 2);
    // Whoever changes the space is gone at once: the others have to find it out by themselves.
    let changer = room.begin_as("c", WITH_WARMUP.split(' '));
    wait_until("the change", || room.line("space describe --study s").done().out.contains("warmup"));
    changer.kill();
    fs::write(room.at("go"), "").unwrap();
    assert_eq!((tuner.end(), worker.end()), (Some(0), Some(0)), "{}{}", room.read("err"), room.read("w.err"));
    let trials = room.trials();
    assert_eq!(trials.len(), 10);
    for trial in &trials {
        let (params, value) = (&trial["params"], trial["values"][0].as_f64().unwrap());
        match trial["number"].as_u64().unwrap() {
            0 | 1 => assert!(params.get("warmup").is_none() && value == params["x"].as_f64().unwrap(), "{trial}"),
            _ => assert_eq!(value, params["warmup"].as_f64().unwrap(), "{trial}"),
        }
    }
    let said = ["err", "w.err"].map(|name| room.read(name));
    let told = said.iter().filter(|said| {
        said.contains("the space was changed from elsewhere:")
            && said.contains("new question warmup: int:2..9")
            && said.contains("the command was changed from elsewhere, too")
    });
    assert!(told.count() >= 1, "whoever ran a trial since tells of it: {said:?}");
}

/// A worker that cannot run what the study runs now leaves the trial to others, and says why.
#[test]
fn a_worker_that_cannot_run_the_changed_study_says_so() {
    let room = Room::new();
    write_warmup(&room);
    room.script("t.sh", "echo >> begun; while [ ! -e go ]; do sleep 0.02; done; echo loss=$1\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..0.25", "--trials", "9", "--study", "s"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", "t.sh", "{x}"]));
    wait_until("a trial", || room.read("begun").lines().count() == 1);
    let secret = format!("{WITH_WARMUP} --api-key hunter2x");
    let changer = room.begin_as("c", secret.split(' '));
    wait_until("the change", || room.line("space describe --study s").done().out.contains("warmup"));
    changer.kill();
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(tuner.end(), Some(1));
    let said = room.read("err");
    assert!(said.contains("the study was changed while it ran, and cannot go on here"), "{said}");
    assert!(said.contains("KILTER_SECRET_API_KEY"), "{said}");
    let states = crate::room::states(&room.trials());
    assert!(states["complete"] >= 1 && !states.contains_key("running") && !states.contains_key("failed"), "{states:?}");
}

#[test]
fn a_change_that_is_killed_in_the_middle_has_changed_all_or_nothing() {
    let (mut old, mut new) = (0, 0);
    for round in 0..rounds() {
        let room = Room::new();
        write_warmup(&room);
        room.script("t.sh", "echo loss=$1\n");
        let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..0.25", "--trials", "2", "--quiet"];
        room.kilter(words.into_iter().chain(["--study", "s", "--", "sh", "t.sh", "{x}"])).done();
        let changer = room.begin(WITH_WARMUP.replace("resume s", "resume s --trials 4").split(' '));
        // As long as a change and a trial take, more or less.
        let mut chance = kilter_numerics::Stream::new(&[round], "space rounds");
        let moment = std::time::Duration::from_micros(chance.below(120_000));
        let began = std::time::Instant::now();
        while began.elapsed() < moment {
            std::thread::yield_now();
        }
        changer.kill();
        room.wait_until_empty();
        room.line("storage check").done().says("is whole");
        let is_new = room.line("space describe --study s").done().out.contains("warmup");
        *(if is_new { &mut new } else { &mut old }) += 1;
        room.line("resume s --trials 5 --quiet").done();
        let trials = room.trials();
        assert_eq!(trials.len(), 5, "round {round}");
        for trial in &trials {
            let in_new = is_new && trial["number"].as_u64().unwrap() >= 2;
            let name = if in_new { "warmup" } else { "x" };
            assert_eq!(trial["values"][0].as_f64(), trial["params"][name].as_f64(), "round {round}: {trial}");
            assert_eq!(trial["params"].get("warmup").is_some(), in_new, "round {round}: {trial}");
        }
        let changes = room.line("trials --json").done().json()["space_changes"].as_array().map_or(0, Vec::len);
        assert_eq!(changes, usize::from(is_new), "round {round}: the change is recorded once");
    }
    println!("{} rounds: {old} before the change, {new} after it", rounds());
}

/// How many there are is said before the first trial, and what cannot be tried whole is refused before there is a study.
#[test]
fn a_grid_says_how_many_it_has() {
    let room = Room::new();
    room.script("t.py", "print('loss=1')\n");
    let tune = |sampler: &str, x: &str| {
        let words = ["tune", "--sampler", sampler, "--param", x, "--param", "units=32|64|128", "--trials", "2"];
        room.kilter(words.into_iter().chain(["--metric", LOSS, "--minimize", "--", python(), "t.py", "{x}", "{units}"]))
    };
    tune("grid:points=4", "x=0.0..1.0").done().remarks("sampler grid:points=4 with 12 configurations");
    tune("exhaustive", "x=int:1..5").done().remarks("sampler exhaustive with 15 configurations");
    tune("exhaustive", "x=0.0..1.0").with(2).remarks("x");
    assert_eq!(room.line("studies --json").done().json()["studies"].as_array().unwrap().len(), 2);
}
