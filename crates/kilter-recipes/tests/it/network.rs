//! The recipes of networks: what they learn, that they go on where they stopped, and what they refuse.

use std::fs;
use std::path::Path;

use kilter_recipes::Network;
use kilter_recipes::network::{MODEL, Trained, names};
use kilter_space::{Config, Defaults, Value, Walk};
use kilter_study::{Failure, Flow, Outcome, Recipe, Run, RunPort, Why};
use tempfile::TempDir;

/// The defaults but for these.
fn config(recipe: &dyn Recipe, set: &[(&str, Value)]) -> Config {
    let set: Vec<(String, Value)> = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Defaults::config(&recipe.outline().unwrap().specialise(&set, &[]).unwrap()).unwrap()
}

fn run(name: &str, set: &[(&str, Value)], folder: &Path) -> Result<Outcome, Failure> {
    let recipe = Network::new(name).unwrap();
    recipe.run(&config(&recipe, set), &mut Run::offline(0).with_folder(folder.to_owned()))
}

#[test]
fn every_network_learns_the_digits() {
    let folder = TempDir::new().unwrap();
    for (name, set) in [
        ("mlp", vec![("width", Value::Int(64)), ("epochs", Value::Int(15))]),
        ("cnn", vec![("channels", Value::Int(8)), ("epochs", Value::Int(12)), ("learning_rate", Value::Float(5e-3))]),
        ("resnet", vec![("width", Value::Int(4)), ("epochs", Value::Int(12)), ("learning_rate", Value::Float(1e-2))]),
        ("vit", vec![("patch", Value::Int(4)), ("epochs", Value::Int(12)), ("learning_rate", Value::Float(5e-3))]),
    ] {
        let outcome = run(name, &set, folder.path()).unwrap();
        // Chance is 0.1, a linear model reaches about 0.95.
        assert!(outcome.metrics["accuracy"] > 0.9, "{name}: {:?}", outcome.metrics);
        assert!(folder.path().join(MODEL).is_file());
    }
}

#[test]
fn a_transformer_learns_more_than_how_often_characters_come() {
    let folder = TempDir::new().unwrap();
    let set = [
        ("steps", Value::Int(150)),
        ("learning_rate", Value::Float(0.01)),
        ("width", Value::Int(32)),
        ("heads", Value::Int(2)),
        ("context", Value::Int(32)),
    ];
    let outcome = run("char-gpt", &set, folder.path()).unwrap();
    // The text's characters, each by its own frequency, cost 3.08 nats (counted).
    assert!(outcome.metrics["loss"] < 2.8, "{:?}", outcome.metrics);
    let model = Trained::open(&folder.path().join(MODEL), "cpu").unwrap();
    let written = model.write("It was ", 40, 0.8, 1).unwrap();
    assert_eq!(written.chars().count(), 40);
    assert_eq!(written, model.write("It was ", 40, 0.8, 1).unwrap());
    assert_ne!(written, model.write("It was ", 40, 0.8, 2).unwrap());
    let why = model.write("日本", 4, 1.0, 0).unwrap_err().to_string();
    assert!(why.contains("never saw"), "{why}");
    assert!(model.sort("digits").unwrap_err().to_string().contains("--prompt"));
}

#[test]
fn passes_in_bf16_are_refused_on_the_cpu() {
    let folder = TempDir::new().unwrap();
    for name in names() {
        let why = run(name, &[("precision", "bf16".into())], folder.path()).unwrap_err().to_string();
        assert!(
            why.contains("precision=bf16 gains nothing on the CPU") && why.contains("device=cuda"),
            "{name}: {why}"
        );
    }
}

/// Says stop after some reports.
struct Impatient {
    reports: u64,
    why: Why,
}

impl RunPort for Impatient {
    fn report(&mut self, step: u64, _: &[(&str, f64)]) -> Flow {
        if step + 1 >= self.reports { Flow::Stop(self.why.clone()) } else { Flow::Go }
    }
    fn progress(&mut self, _: u64, _: u64) {}
    fn flow(&mut self) -> Flow {
        Flow::Go
    }
}

#[test]
fn an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one() {
    let recipe = Network::new("cnn").unwrap();
    let set = [
        ("channels", Value::Int(4)),
        ("dropout", Value::Float(0.2)),
        ("epochs", Value::Int(4)),
        ("average", Value::Float(0.9)),
    ];
    let config = config(&recipe, &set);
    let (whole, parts) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let expected = run("cnn", &set, whole.path()).unwrap();
    let port = Impatient { reports: 2, why: Why::Interrupted };
    let mut first = Run::new(Box::new(port), 0, 0, 0, parts.path().to_owned());
    let why = recipe.run(&config, &mut first).unwrap_err();
    assert!(why.to_string().contains("interrupted"), "{why}");
    assert!(!parts.path().join(MODEL).exists());
    let resumed = recipe.run(&config, &mut Run::offline(0).with_folder(parts.path().to_owned())).unwrap();
    assert_eq!(expected, resumed);
    assert_eq!(fs::read(whole.path().join(MODEL)).unwrap(), fs::read(parts.path().join(MODEL)).unwrap());
}

#[test]
fn a_pruned_run_ends_with_what_it_has() {
    let recipe = Network::new("mlp").unwrap();
    let folder = TempDir::new().unwrap();
    let why = Why::Pruned { rule: "test".to_owned(), comparison: "always".to_owned() };
    let mut run = Run::new(Box::new(Impatient { reports: 1, why }), 0, 0, 0, folder.path().to_owned());
    let set = [("width", Value::Int(16)), ("epochs", Value::Int(500))];
    let outcome = recipe.run(&config(&recipe, &set), &mut run).unwrap();
    assert!(outcome.metrics.contains_key("log_loss"));
}

#[test]
fn held_out_pictures_are_others_than_those_that_tuning_sees() {
    let folder = TempDir::new().unwrap();
    let set = |on: &str| vec![("width", Value::Int(16)), ("epochs", Value::Int(1)), ("score_on", on.into())];
    let (validation, test) =
        (run("mlp", &set("validation"), folder.path()).unwrap(), run("mlp", &set("test"), folder.path()).unwrap());
    assert_ne!(validation, test);
}

#[test]
fn a_model_is_applied_without_being_told_what_it_is() {
    let folder = TempDir::new().unwrap();
    run("mlp", &[("width", Value::Int(32)), ("epochs", Value::Int(20))], folder.path()).unwrap();
    let model = Trained::open(&folder.path().join(MODEL), "cpu").unwrap();
    assert_eq!((model.recipe(), model.config().int("width").unwrap()), ("mlp", 32));
    let applied = model.sort("digits").unwrap();
    let labels = applied.labels.unwrap().len();
    assert_eq!((labels, applied.probabilities.len(), applied.names.len()), (1797, 17_970, 10));
    assert!(applied.learnt_from && applied.metrics["accuracy"] > 0.9, "{:?}", applied.metrics);
    assert!(model.write("a", 1, 1.0, 0).unwrap_err().to_string().contains("--data"));
    let why = Trained::open(&folder.path().join(MODEL), "tpu").unwrap_err().to_string();
    assert!(why.contains("tpu") && why.contains("cpu"), "{why}");
}

#[test]
fn what_cannot_be_trained_is_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("short.txt");
    fs::write(&text, "too short").unwrap();
    let refused = Network::on("char-gpt", &text.to_string_lossy()).unwrap();
    let outcome = refused.run(&config(&refused, &[]), &mut Run::offline(0));
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("9 characters are too few for a context of 64"), "{said}");
    let one = one_class();
    let network = Network::on("cnn", &one.path().to_string_lossy()).unwrap();
    let said = network.run(&config(&network, &[]), &mut Run::offline(0)).unwrap_err().to_string();
    assert!(said.contains("1 class"), "{said}");
}

/// A folder of IDX files whose pictures are all of class 0.
fn one_class() -> TempDir {
    let folder = TempDir::new().unwrap();
    let header = |sides: &[u32]| {
        let mut bytes = vec![0, 0, 8, sides.len() as u8];
        sides.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
        bytes
    };
    let pictures = [header(&[20, 4, 4]), vec![7; 320]].concat();
    fs::write(folder.path().join("train-images-idx3-ubyte"), pictures).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte"), [header(&[20]), vec![0; 20]].concat()).unwrap();
    folder
}

#[test]
fn every_space_has_defaults() {
    for name in names() {
        let recipe = Network::new(name).unwrap();
        assert!(!Defaults::config(&recipe).unwrap().answers().is_empty(), "{name}");
    }
}

/// Every network on text learns more than how often characters come, and writes.
#[test]
fn recurrent_networks_learn_text_too() {
    let folder = TempDir::new().unwrap();
    for name in ["char-qlstm", "char-lstm"] {
        let set = [
            ("steps", Value::Int(150)),
            ("learning_rate", Value::Float(0.01)),
            ("width", Value::Int(32)),
            ("layers", Value::Int(1)),
            ("context", Value::Int(16)),
        ];
        let outcome = run(name, &set, folder.path()).unwrap();
        // Each by its own frequency, the characters cost 3.08 nats.
        assert!(outcome.metrics["loss"] < 3.0, "{name}: {:?}", outcome.metrics);
        // The novel's characters are nearly all of one byte.
        let per_character = outcome.metrics["loss"].exp();
        assert!((outcome.metrics["normalised_perplexity"] / per_character - 1.0).abs() < 0.05, "{:?}", outcome.metrics);
        let model = Trained::open(&folder.path().join(MODEL), "cpu").unwrap();
        assert_eq!(model.write("It was ", 20, 0.8, 1).unwrap().chars().count(), 20);
    }
}

/// Hours are steps, as the speed that was told buys them; a class that buys none says which would.
#[test]
fn a_training_by_hours_has_the_steps_that_they_buy() {
    let folder = TempDir::new().unwrap();
    let set = |hours: f64| {
        [
            ("width", Value::Int(32)),
            ("layers", Value::Int(1)),
            ("heads", Value::Int(1)),
            ("context", Value::Int(16)),
            ("batch", Value::Int(8)),
            ("class_hours", Value::Float(hours)),
            ("tokens_per_second", Value::Float(1280.0)),
        ]
    };
    let recipe = Network::new("char-gpt").unwrap();
    let mut seen = Run::offline(0).with_folder(folder.path().to_owned());
    // 1280 tokens per second for 7.2 s are 72 steps of 8 sequences of 16.
    recipe.run(&config(&recipe, &set(0.002)), &mut seen).unwrap();
    assert!(seen.remarks().iter().any(|said| said.contains("72 steps")), "{:?}", seen.remarks());
    let refused = run("char-gpt", &set(1e-9), TempDir::new().unwrap().path()).unwrap_err().to_string();
    assert!(refused.contains("smallest class that works"), "{refused}");
}

/// Ten letters that come by chance and, seven places later, once more: only who remembers further than a window of four
/// knows the next one.
fn echoes(folder: &Path) -> String {
    let mut stream = kilter_numerics::Stream::new(&[3], "letters");
    let mut letters: Vec<u8> = (0..7).map(|_| b'a' + stream.index(10) as u8).collect();
    for at in 0..20_000 {
        let next = if at % 2 == 0 { letters[letters.len() - 7] } else { b'a' + stream.index(10) as u8 };
        letters.push(next);
    }
    let path = folder.join("echoes.txt");
    fs::write(&path, letters).unwrap();
    path.to_string_lossy().into_owned()
}

/// A recurrent network whose state is carried from window to window learns what no window holds; without it cannot.
#[test]
fn what_lies_before_a_window_is_remembered() {
    let folder = TempDir::new().unwrap();
    let data = echoes(folder.path());
    let recipe = Network::on("char-lstm", &data).unwrap();
    let loss = |carry: bool| {
        let set = [
            ("steps", Value::Int(400)),
            ("learning_rate", Value::Float(0.02)),
            ("width", Value::Int(64)),
            ("layers", Value::Int(1)),
            ("context", Value::Int(16)),
            ("batch", Value::Int(16)),
            ("carry", carry.into()),
            ("last_n", Value::Int(2)),
        ];
        let outcome = recipe.run(&config(&recipe, &set), &mut Run::offline(0).with_folder(folder.path().to_owned()));
        outcome.unwrap().metrics["loss"]
    };
    // Of one letter out of ten nothing is known: ln 10 = 2.30 for every second one at best.
    let (carried, forgotten) = (loss(true), loss(false));
    assert!(carried > 1.1 && carried < forgotten + 0.02, "{carried} and {forgotten}");
}

/// A song follows from any dozen of its letters, and not from one: sliding windows give a transformer as many to read before
/// what is scored.
#[test]
fn sliding_windows_know_more_and_must_divide() {
    let folder = TempDir::new().unwrap();
    let song = folder.path().join("song.txt");
    fs::write(&song, "la li lu, only the man in the moon sees us. ".repeat(100)).unwrap();
    let recipe = Network::on("char-gpt", &song.to_string_lossy()).unwrap();
    let of = |last: i64| {
        let set = [
            ("steps", Value::Int(80)),
            ("learning_rate", Value::Float(0.01)),
            ("width", Value::Int(32)),
            ("heads", Value::Int(1)),
            ("layers", Value::Int(1)),
            ("context", Value::Int(16)),
            ("last_n", Value::Int(last)),
        ];
        recipe.run(&config(&recipe, &set), &mut Run::offline(0).with_folder(folder.path().to_owned()))
    };
    let (whole, sliding) = (of(0).unwrap().metrics, of(4).unwrap().metrics);
    assert!(sliding["loss"] < 0.8 * whole["loss"], "{sliding:?} and {whole:?}");
    // Every letter is one byte.
    assert!((sliding["normalised_perplexity"] / sliding["loss"].exp() - 1.0).abs() < 1e-9, "{sliding:?}");
    let refused = of(5).unwrap_err().to_string();
    assert!(refused.contains("last_n 5 must divide seq_len 16"), "{refused}");
}

/// Of several books whole ones judge, and their authors' letters are all known.
#[test]
fn books_are_held_back_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("books.jsonl");
    let book = |letter: &str| format!("{{\"title\":\"{letter}\",\"text\":\"{}\"}}\n", letter.repeat(300));
    fs::write(&path, ["ab", "c", "d"].map(book).concat()).unwrap();
    let recipe = Network::on("char-gpt", &path.to_string_lossy()).unwrap();
    assert!(recipe.facts()[0].contains("4 kinds in 3 books"), "{:?}", recipe.facts());
    let set = |on: &str| {
        vec![
            ("steps", Value::Int(60)),
            ("learning_rate", Value::Float(0.02)),
            ("width", Value::Int(16)),
            ("heads", Value::Int(1)),
            ("layers", Value::Int(1)),
            ("context", Value::Int(16)),
            ("score_on", on.into()),
        ]
    };
    let loss = |on: &str| {
        let run = &mut Run::offline(0).with_folder(folder.path().to_owned());
        recipe.run(&config(&recipe, &set(on)), run).unwrap().metrics["loss"]
    };
    // Who learnt from `abab…` alone is surprised by `cccc…`; who learnt from both still is by `dddd…`.
    assert!(loss("validation") > 2.0 && loss("test") > 2.0, "{} {}", loss("validation"), loss("test"));
}

/// The rates of a training under `schedule = power` are those of the law's own schedule, in tokens.
#[test]
fn a_power_schedule_in_steps_is_the_one_in_tokens() {
    use kilter_laws::power_scheduler::{Fall, PowerConfig, Schedule};
    let folder = TempDir::new().unwrap();
    let set = [
        ("schedule", "power".into()),
        ("steps", Value::Int(50)),
        ("warmup", Value::Float(0.1)),
        ("batch", Value::Int(8)),
        ("width", Value::Int(16)),
        ("heads", Value::Int(1)),
        ("layers", Value::Int(1)),
        ("context", Value::Int(16)),
        ("keep_training", true.into()),
    ];
    run("char-gpt", &set, folder.path()).unwrap();
    let kept = folder.path().join(kilter_recipes::network::TRAINING);
    let (recipe, asked) = kilter_recipes::network::made_by(&kept).unwrap();
    assert_eq!((recipe.as_str(), asked.text("schedule").unwrap()), ("char-gpt", "power"));
    let text = String::from_utf8_lossy(&fs::read(&kept).unwrap()[8..20_000]).into_owned();
    let header: serde_json::Value = serde_json::Deserializer::from_str(&text).into_iter().next().unwrap().unwrap();
    let told: serde_json::Value =
        serde_json::from_str(header["__metadata__"]["kilter.training"].as_str().unwrap()).unwrap();
    let ours: kilter_nn::train::TrainConfig = serde_json::from_value(told["config"].clone()).unwrap();
    let config = PowerConfig { batch_tokens: 128.0, warmup_tokens: 5 * 128, ..PowerConfig::default() };
    let theirs = Schedule::power(&config).unwrap().ending_at(50 * 128, 5 * 128, Fall::ExpZero).unwrap();
    for step in 0..=50_u64 {
        let rate = ours.learning_rate * ours.schedule.factor(step as f64, 50.0);
        let expected = theirs.learning_rate(step * 128);
        assert!((rate - expected).abs() <= 1e-12 * expected.max(1e-300), "step {step}: {rate} and {expected}");
    }
    // The kept training can be ended from where it stands only while its rate has not fallen.
    let again = |set: &[(&str, Value)]| -> Result<Outcome, Failure> {
        let recipe = Network::new("char-gpt").unwrap();
        let outline = recipe.outline().unwrap();
        let from = kilter_space::Domain::Fixed(kept.to_string_lossy().as_ref().into());
        let outline = outline.with(kilter_recipes::network::START_FROM, from).unwrap();
        let set: Vec<(String, Value)> = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let config = Defaults::config(&outline.specialise(&set, &[]).unwrap()).unwrap();
        recipe.run(&config, &mut Run::offline(0).with_folder(TempDir::new().unwrap().keep()))
    };
    let over = again(&set).unwrap_err().to_string();
    assert!(over.contains("before its own decay"), "{over}");
}
