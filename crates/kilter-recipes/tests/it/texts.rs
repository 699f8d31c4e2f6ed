//! The recipe that tells texts apart, and the pretrained encoder in it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kilter_recipes::Network;
use kilter_recipes::network::{MODEL, Trained};
use kilter_space::{Config, Defaults, Domain, Value, Walk};
use kilter_study::{Failure, Outcome, Recipe, Run};
use tempfile::TempDir;

const NAME: &str = "text-classifier";

/// Sentences whose class hangs on one word among others.
fn sentences(folder: &Path) -> String {
    let mut table = "text,label\n".to_owned();
    let (animals, verbs) = (["cat", "dog", "bird", "fish", "horse"], ["sat", "ran", "slept", "ate"]);
    for i in 0..160 {
        let (good, label) = if i % 2 == 0 { ("lovely", "pos") } else { ("dreadful", "neg") };
        writeln!(table, "the {good} {} {} on mat {},{label}", animals[i % 5], verbs[i / 2 % 4], i % 7).unwrap();
    }
    let path = folder.join("sentences.csv");
    fs::write(&path, table).unwrap();
    path.to_string_lossy().into_owned()
}

/// The defaults of a small network but for these.
fn config(recipe: &Network, set: &[(&str, Value)], params: &[(&str, &str)]) -> Config {
    let small = [
        ("width", Value::Int(16)),
        ("layers", Value::Int(1)),
        ("heads", Value::Int(2)),
        ("vocabulary", Value::Int(500)),
        ("length", Value::Int(16)),
        ("batch", Value::Int(16)),
        ("learning_rate", Value::Float(5e-3)),
    ];
    let usual = small.iter().filter(|(name, _)| !set.iter().any(|(other, _)| other == name));
    let set: Vec<(String, Value)> = usual.chain(set).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let params: Vec<(String, Domain)> =
        params.iter().map(|(name, value)| ((*name).to_owned(), Domain::Fixed((*value).into()))).collect();
    // What is asked of a fresh encoder only is not asked of another.
    let pretrained = !params.is_empty();
    let fresh_only = ["width", "layers", "heads", "vocabulary"];
    let set: Vec<(String, Value)> =
        set.into_iter().filter(|(name, _)| !(pretrained && fresh_only.contains(&name.as_str()))).collect();
    Defaults::config(&recipe.outline().unwrap().specialise(&set, &params).unwrap()).unwrap()
}

fn trained(data: &str, set: &[(&str, Value)], params: &[(&str, &str)], folder: &Path) -> Result<Outcome, Failure> {
    let recipe = Network::about(NAME, data, Some("label"))?;
    recipe.run(&config(&recipe, set, params), &mut Run::offline(0).with_folder(folder.to_owned()))
}

/// The tiny network of the golden values.
fn tiny() -> PathBuf {
    let golden = std::env::var_os("KILTER_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden")), PathBuf::from);
    golden.join("nn/minilm/tiny")
}

#[test]
fn texts_are_told_apart_and_the_model_is_put_to_use() {
    let folder = TempDir::new().unwrap();
    let data = sentences(folder.path());
    let outcome = trained(&data, &[("epochs", Value::Int(8))], &[], folder.path()).unwrap();
    assert!(outcome.metrics["accuracy"] > 0.95, "{:?}", outcome.metrics);
    let model = Trained::open(&folder.path().join(MODEL), "cpu").unwrap();
    assert_eq!(model.recipe(), NAME);
    let own = model.sort(&data).unwrap();
    assert!(own.learnt_from && own.metrics["accuracy"] > 0.95 && own.texts.len() == 160, "{:?}", own.metrics);
    // The same judgement from the model file as from the training.
    assert_eq!(model.validate().unwrap()["log_loss"], outcome.metrics["log_loss"]);
    let new = folder.path().join("new.csv");
    fs::write(&new, "review\nwhat a lovely bird\na dreadful fish\n").unwrap();
    let said = model.sort(&new.to_string_lossy()).unwrap();
    assert_eq!((said.names.clone(), said.labels.clone()), (vec!["neg".to_owned(), "pos".to_owned()], None));
    assert!(said.probabilities[1] > 0.9 && said.probabilities[2] > 0.9, "{:?}", said.probabilities);
    let one = model.read_one("a dreadful fish").unwrap();
    // Alone or beside a longer one, a text is the same.
    assert!((one.probabilities[0] - said.probabilities[2]).abs() < 1e-5);
    // Classes stand in another order, and not all are there.
    fs::write(&new, "text,label\nlovely cat,pos\nlovely dog,pos\n").unwrap();
    assert_eq!(model.sort(&new.to_string_lossy()).unwrap().labels, None, "one class is nothing to be told apart");
    fs::write(&new, "text,label\nlovely cat,pos\nlovely dog,strange\n").unwrap();
    let said = model.sort(&new.to_string_lossy()).unwrap_err().to_string();
    assert!(said.contains("\"strange\"") && said.contains("neg, pos"), "{said}");
    assert!(model.write("a", 1, 1.0, 0).is_err());
}

#[test]
fn the_same_seed_gives_the_same_model() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = sentences(one.path());
    let set = [("epochs", Value::Int(1)), ("dropout", Value::Float(0.2))];
    trained(&data, &set, &[], one.path()).unwrap();
    trained(&data, &set, &[], other.path()).unwrap();
    assert_eq!(fs::read(one.path().join(MODEL)).unwrap(), fs::read(other.path().join(MODEL)).unwrap());
}

#[test]
fn a_pretrained_encoder_is_tuned_finely_and_travels_with_the_model() {
    let folder = TempDir::new().unwrap();
    let data = sentences(folder.path());
    let encoder = tiny().to_string_lossy().into_owned();
    let set = [("epochs", Value::Int(2)), ("length", Value::Int(10)), ("encoder_rate", Value::Float(1e-3))];
    trained(&data, &set, &[("encoder", &encoder)], folder.path()).unwrap();
    let model = Trained::open(&folder.path().join(MODEL), "cpu").unwrap();
    // Its encoder hardly moved from where it was.
    let file = kilter_weights::Checkpoint::open(&folder.path().join(MODEL)).unwrap();
    let theirs = kilter_weights::Checkpoint::open(&tiny()).unwrap();
    let numbers = |file: &kilter_weights::Checkpoint, name: &str| {
        let tensor = file.get(name).unwrap();
        let mut numbers = vec![0.0; tensor.entries() as usize];
        tensor.dtype().decode(&tensor.window(0..tensor.bytes()).unwrap(), &mut numbers);
        numbers
    };
    let (now, then) =
        (numbers(&file, "encoder.blocks.0.up.weight"), numbers(&theirs, "encoder.layer.0.intermediate.dense.weight"));
    let moved = now.iter().zip(&then).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved > 0.0 && moved < 1e-3, "{moved}");
    // Nothing of its folder is needed any more.
    assert_eq!(model.read_one("the cat").unwrap().probabilities.len(), 2);
}

#[test]
fn what_cannot_be_learnt_is_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("texts.csv");
    let data = path.to_string_lossy().into_owned();
    let refused = |content: &str, set: &[(&str, Value)], params: &[(&str, &str)]| {
        fs::write(&path, content).unwrap();
        trained(&data, set, params, folder.path()).unwrap_err().to_string()
    };
    assert!(refused("", &[], &[]).contains("it is empty"));
    let one = refused("text,label\na,x\nb,x\n", &[], &[]);
    assert!(one.contains("there is nothing to tell apart"), "{one}");
    let few = refused("text,label\na,x\nb,y\n", &[], &[]);
    assert!(few.contains("class"), "{few}");
    let table = fs::read_to_string(sentences(folder.path())).unwrap();
    let no_encoder = refused(&table, &[], &[("encoder", "/nowhere")]);
    assert!(no_encoder.contains("no encoder `/nowhere`"), "{no_encoder}");
    let other = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(tiny().join(file), other.path().join(file)).unwrap();
    }
    let tokenizer = fs::read_to_string(tiny().join("tokenizer.json")).unwrap();
    fs::write(other.path().join("tokenizer.json"), tokenizer.replace("\"##x\": 26", "\"##x\": 26, \"more\": 27"))
        .unwrap();
    let wrong = refused(&table, &[], &[("encoder", &other.path().to_string_lossy())]);
    assert!(wrong.contains("28 tokens") && wrong.contains("the network 27"), "{wrong}");
    // Without a target there are no classes.
    fs::write(&path, table).unwrap();
    let said = Network::about(NAME, &data, None).err().unwrap().to_string();
    assert!(said.contains("--target label"), "{said}");
}

/// A training that cannot fit says so before it begins.
#[test]
fn a_training_that_does_not_fit_is_refused() {
    let folder = TempDir::new().unwrap();
    let recipe = Network::new("char-gpt").unwrap();
    let batch = [("batch".to_owned(), Domain::Fixed(Value::Int(1 << 40)))];
    let config = Defaults::config(&recipe.outline().unwrap().specialise(&[], &batch).unwrap()).unwrap();
    let said = recipe.run(&config, &mut Run::offline(0).with_folder(folder.path().to_owned())).unwrap_err().to_string();
    assert!(said.contains("GB are free; lower the batch"), "{said}");
}
