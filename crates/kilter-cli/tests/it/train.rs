//! `kilter train` and `kilter apply`.

use std::fs;

use crate::room::{Room, wait_until};
use crate::schemas::holds;

#[test]
fn a_network_is_trained_and_applied_in_two_lines() {
    let room = Room::new();
    room.line("train mlp --set width=32 --set epochs=20 -o net.safetensors")
        .done()
        .says("validation  ")
        .says("accuracy")
        .says("net.safetensors in ")
        .remarks("kilter apply net.safetensors --data FILE");
    assert_eq!(room.files(), ["net.safetensors"]);
    room.line("apply net.safetensors --data digits -o predictions.csv")
        .done()
        .says("1797 pictures of digits: accuracy 0.9")
        .remarks("the figures flatter it");
    let table = room.read("predictions.csv");
    assert_eq!(table.lines().count(), 1798);
    assert!(table.starts_with("picture,predicted,label,probability_0,"), "{table}");
    let said = room.line("apply net.safetensors --data digits --json").done().json();
    holds("apply_pictures", &said);
    assert_eq!(said["predictions"][0]["predicted"], 0);
    assert_eq!(said["predictions"][0]["probabilities"].as_array().unwrap().len(), 10);
    room.line("apply net.safetensors --graph net.dot").done().says("net.dot: ").says("multiply-adds of an example");
    assert!(room.read("net.dot").contains("label=\"layers.0\\nlinear, 64 to 32\\n32\""));
    let said = room.line("apply net.safetensors --graph net.json --json").done().json();
    holds("apply_graph", &said);
    let graph: serde_json::Value = serde_json::from_str(&room.read("net.json")).unwrap();
    assert_eq!(graph["nodes"].as_array().unwrap().len(), said["operations"].as_u64().unwrap() as usize);
    room.line("apply net.safetensors --graph net.dot --data digits").with(2).remarks("--data");
}

#[test]
fn a_text_is_learnt_and_continued() {
    let room = Room::new();
    fs::write(room.at("song.txt"), "la li lu, only the man in the moon sees us. ".repeat(100)).unwrap();
    let words = ["train", "char-gpt", "--data", "song.txt", "--json"];
    let set = ["steps=60", "width=32", "context=16", "layers=1", "learning_rate=0.01"];
    let set = set.iter().flat_map(|set| ["--set", set]);
    let said = room.kilter(words.into_iter().chain(set)).done().remarks("text ").json();
    holds("train", &said);
    assert_eq!(said["model"], "char-gpt.safetensors");
    // Each character follows from those before it.
    assert!(said["metrics"]["loss"].as_f64().unwrap() < 1.0, "{said}");
    room.kilter(["apply", "char-gpt.safetensors", "--prompt", "la ", "--length", "6", "--temperature", "0"])
        .done()
        .says("la li lu,");
    let said = room.line("apply char-gpt.safetensors --prompt la --length 3 --json").done().json();
    holds("apply_text", &said);
}

#[test]
fn texts_are_told_apart_in_two_lines() {
    let room = Room::new();
    let rows = (0..80).map(|i| format!("a {} film {}\n", ["good", "bad"][i % 2], i % 5));
    let rows: String =
        rows.enumerate().map(|(i, row)| row.replace('\n', &format!(",{}\n", ["yes", "no"][i % 2]))).collect();
    fs::write(room.at("reviews.csv"), format!("review,liked\n{rows}")).unwrap();
    let set = "--set width=16 --set layers=1 --set heads=1 --set epochs=10 --set learning_rate=0.01 --set batch=8";
    room.line(&format!("train text-classifier --data reviews.csv --target liked {set}"))
        .done()
        .says("accuracy")
        .remarks("texts ")
        .remarks("kilter apply text-classifier.safetensors --data FILE");
    fs::write(room.at("new.csv"), "review\na good film\na bad film\n").unwrap();
    room.line("apply text-classifier.safetensors --data new.csv -o said.csv").done().says("a good film");
    let said = room.read("said.csv");
    assert!(said.starts_with("text,predicted,probability_no,probability_yes\n0,yes,"), "{said}");
    let said = room.line("apply text-classifier.safetensors --data reviews.csv --json").done().json();
    holds("apply_texts", &said);
    assert_eq!(said["metrics"]["accuracy"], 1.0);
    let prompt = ["apply", "text-classifier.safetensors", "--json", "--prompt", "a bad film"];
    let said = room.kilter(prompt).done().json();
    holds("apply_texts", &said);
    assert_eq!(said["predictions"][0]["predicted"], "no");
    room.line("apply text-classifier.safetensors").with(2).remarks("--prompt");
    room.line("train text-classifier --data reviews.csv").with(2).remarks("--target label");
    room.line("train text-classifier --data reviews.csv --target likd").with(2).remarks("did you mean `liked`?");
    let mut bare = Room::new();
    bare.set("KILTER_DATA", &bare.at("nothing").to_string_lossy());
    bare.set("XDG_CACHE_HOME", &bare.at("nothing").to_string_lossy());
    bare.line("train text-classifier --set encoder=all-minilm-l6-v2 --set epochs=1")
        .with(1)
        .remarks("`kilter data get all-minilm-l6-v2` brings it");
}

/// Killed in the middle, the same command goes on; the model is the one that nobody disturbed.
#[test]
fn a_killed_training_goes_on_and_leaves_the_same_model() {
    let words = |out: &str| {
        let line = format!(
            "train cnn --set channels=8 --set epochs=15 --set dropout=0.3 --set checkpoint_every=5 --seed 3 -o {out}"
        );
        line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let room = Room::new();
    room.kilter(words("whole.safetensors")).done();
    let running = room.begin(words("parts.safetensors"));
    wait_until("a checkpoint", || room.exists("parts.safetensors.training/training-0.safetensors"));
    running.kill();
    let ended = room.exists("parts.safetensors");
    assert!(!ended, "the training was over before it was killed");
    room.kilter(words("parts.safetensors")).done().remarks("going on with the training in parts.safetensors.training");
    assert_eq!(fs::read(room.at("whole.safetensors")).unwrap(), fs::read(room.at("parts.safetensors")).unwrap());
    assert!(!room.exists("parts.safetensors.training"));
}

#[test]
fn a_refused_training_leaves_nothing_behind() {
    let room = Room::new();
    room.line("train mlp --set precision=bf16").with(1).remarks("gains nothing on the CPU");
    assert!(room.files().is_empty());
    if cfg!(not(feature = "cuda")) {
        room.line("train mlp --device cuda").with(1).remarks("this build has cpu only");
        assert!(room.files().is_empty());
    }
}

#[test]
fn an_interrupted_training_says_how_to_go_on_and_other_settings_are_refused() {
    let room = Room::new();
    let running = room.begin(["train", "mlp", "--set", "epochs=1000", "--set", "checkpoint_every=5"]);
    wait_until("a checkpoint", || room.exists("mlp.safetensors.training/training-0.safetensors"));
    room.line("train mlp").with(2).remarks("another process trains mlp.safetensors");
    running.signal("INT");
    assert_eq!(running.end(), Some(3));
    assert!(room.read("err").contains("Go on with the same command"), "{}", room.read("err"));
    room.line("train mlp --set epochs=2").with(2).remarks("unfinished training with other settings");
}

#[test]
fn a_tuned_network_is_trained_again_from_its_study() {
    let room = Room::new();
    room.line("tune mlp --trials 2 --set epochs=1 --param width=16|32 --quiet").done();
    room.line("train mlp --from mlp -o best.safetensors").done().says("best.safetensors in ");
    // Every trial left its model.
    for trial in [0, 1] {
        assert!(room.exists(&format!("kilter.trials/mlp/{trial}/model.safetensors")), "{trial}");
    }
}

#[test]
fn wrong_calls_are_told_and_leave_nothing() {
    let room = Room::new();
    room.line("train cmn").with(2).remarks("did you mean `cnn`?");
    room.line("train cnn --set chanels=8").with(2).remarks("channels");
    room.line("train cnn --set epochs=0").with(2).remarks("epochs");
    room.line("train cnn --data nowhere").with(2).remarks("kilter data list --kind images");
    room.line("train cnn --device tpu").with(2).remarks("device");
    room.line("train mlp --data digits --target 3").with(2).remarks("`tabular` takes tables");
    room.line("apply nothing.safetensors --data digits").with(2).remarks("nothing.safetensors");
    assert!(room.files().is_empty(), "{:?}", room.files());
}

#[test]
fn a_recipe_without_a_model_says_so() {
    let room = Room::new();
    room.line("train decision-tree").done().says("log_loss").remarks("leaves no model");
    assert!(room.files().is_empty(), "{:?}", room.files());
}

/// A training under a schedule that needs no end is ended twice, from the same file, over different lengths.
#[test]
fn a_kept_training_is_ended_when_it_is_wanted() {
    let room = Room::new();
    fs::write(room.at("song.txt"), "la li lu, only the man in the moon sees us. ".repeat(100)).unwrap();
    let set = "--set width=16 --set heads=1 --set layers=1 --set context=16 --set checkpoint_every=20";
    let words = format!(
        "train char-gpt --data song.txt {set} --set schedule=power --set decay=0 --set steps=60 --set keep_training=true \
         -o run.safetensors"
    );
    room.line(&words).done().remarks("--start-from run.training.safetensors");
    assert!(room.exists("run.safetensors") && room.exists("run.training.safetensors"));
    let before = room.line("apply run.safetensors --prompt la --length 3 --json").done().json();
    holds("apply_text", &before);
    let ended = |steps: u64| {
        let words = format!(
            "train char-gpt --start-from run.training.safetensors --set steps={steps} -o end{steps}.safetensors --json"
        );
        let said = room.line(&words).done().json();
        holds("train", &said);
        assert_eq!((&said["params"]["width"], &said["params"]["schedule"]), (&16.into(), &"power".into()));
        said["metrics"]["loss"].as_f64().unwrap()
    };
    let (short, long) = (ended(5), ended(30));
    assert!(long < short, "{long} and {short}");
    room.line("train char-gpt --start-from run.safetensors").with(1).remarks("--set keep_training=true");
    room.line("train char-lstm --start-from run.training.safetensors").with(2).remarks("it is a `char-gpt`");
    room.line("train char-gpt --start-from gone.safetensors").with(2).remarks("there is no such file");
    room.line("train char-gpt --start-from run.training.safetensors --set batch=8 -o x.safetensors")
        .with(1)
        .remarks("leave out what differs");
    room.line("train char-gpt --set schedule=power --set b=0.1").with(2).remarks("-0.4");
}
