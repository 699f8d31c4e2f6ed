//! Networks of others, read: tokens and vectors beside PyTorch's, and what does not belong together.

use std::fs;
use std::path::{Path, PathBuf};

use kilter_nn::init::Init;
use kilter_nn::model::{Encoder, Network, Pooling, TextClassifier};
use kilter_nn::params::{Params, Role, Spec, numbers};
use kilter_nn::pretrained::{SentenceEncoder, describe, load_bert};
use kilter_nn::tokens::{Tokenizer, Tokens};
use kilter_nn::train::{device, save_weights};
use kilter_nn::{DType, Device};
use kilter_numerics::Stream;
use kilter_weights::Checkpoint;
use tempfile::TempDir;

use crate::golden::{close, folder, list, read};

fn tiny() -> PathBuf {
    folder().join("nn/minilm/tiny")
}

fn cpu() -> Device {
    device("cpu").unwrap()
}

/// A copy of the tiny network's folder.
fn copied() -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn refused(folder: &Path) -> String {
    SentenceEncoder::open(folder, &cpu()).unwrap_err().to_string()
}

#[test]
fn golden_minilm() {
    let golden = read(&folder().join("nn/minilm/tiny.json"));
    let tolerance = golden["tolerance"].as_f64().unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    let model = SentenceEncoder::open(&tiny(), &cpu()).unwrap();
    let texts: Vec<&str> = cases.iter().map(|case| case["text"].as_str().unwrap()).collect();
    let tokens = model.tokenizer.encode(&texts).unwrap();
    let (mean, unit) =
        (model.embed(&texts, Pooling::Mean).unwrap(), model.embed(&texts, Pooling::NormalisedMean).unwrap());
    for (at, case) in cases.iter().enumerate() {
        let ids: Vec<f64> = tokens[at].iter().map(|&id| f64::from(id)).collect();
        assert_eq!(ids, list(&case["ids"]), "{}", texts[at]);
        close(&mean[at], &list(&case["mean"]), tolerance, texts[at]);
        close(&unit[at], &list(&case["normalised_mean"]), tolerance, texts[at]);
        // Alone, without padding.
        close(&model.embed(&texts[at..=at], Pooling::Mean).unwrap()[0], &list(&case["mean"]), tolerance, texts[at]);
    }
}

#[test]
fn an_encoder_within_a_classifier_has_the_same_weights() {
    let encoder = describe(&tiny()).unwrap();
    let model = TextClassifier { encoder: encoder.clone(), pooling: Pooling::Mean, classes: 3 };
    let fresh = model.init(&Stream::new(&[1], "weights"), &cpu());
    let loaded = load_bert(&fresh, TextClassifier::ENCODER, &tiny()).unwrap();
    let alone = load_bert(&encoder.init(&Stream::new(&[2], "weights"), &cpu()), "", &tiny()).unwrap();
    for (spec, value) in alone.specs().iter().zip(alone.values()) {
        let at = loaded.place(&format!("encoder.{}", spec.name)).unwrap();
        assert_eq!(numbers(value), numbers(&loaded.values()[at]), "{}", spec.name);
    }
    let head = fresh.place("head.weight").unwrap();
    assert_eq!(numbers(&fresh.values()[head]), numbers(&loaded.values()[head]));
}

#[test]
fn a_tokenizer_of_another_network_is_refused_with_both_numbers() {
    let copy = copied();
    let other = Tokenizer::learn(["a few other words"].into_iter(), 40).unwrap();
    fs::write(copy.path().join("tokenizer.json"), other.json().unwrap()).unwrap();
    let said = refused(copy.path());
    assert!(said.contains(&other.vocabulary().to_string()) && said.contains("27"), "{said}");
    assert!(said.contains("do not belong together"), "{said}");
    fs::write(copy.path().join("tokenizer.json"), "{}").unwrap();
    assert!(refused(copy.path()).contains("tokenizer.json"));
}

#[test]
fn what_is_no_bert_is_named() {
    let copy = copied();
    let config = fs::read_to_string(tiny().join("config.json")).unwrap();
    let write = |config: String| fs::write(copy.path().join("config.json"), config).unwrap();
    write(config.replace("\"bert\"", "\"roberta\""));
    let said = refused(copy.path());
    assert!(said.contains("config.json") && said.contains("roberta"), "{said}");
    write(config.replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"));
    let said = refused(copy.path());
    assert!(said.contains("a divisor of the width"), "{said}");
    // Weights of other sizes than the description's.
    write(config.replace("\"intermediate_size\": 12", "\"intermediate_size\": 16"));
    let said = refused(copy.path());
    assert!(said.contains("encoder.layer.0.intermediate.dense") && said.contains("[12, 8]"), "{said}");
    write(config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"));
    let said = refused(copy.path());
    assert!(said.contains("encoder.layer.2"), "{said}");
}

/// Models with a head keep the encoder under `bert.`.
#[test]
fn an_encoder_under_a_name_of_its_own_is_found() {
    let file = Checkpoint::open(&tiny()).unwrap();
    let encoder = describe(&tiny()).unwrap();
    let alone = load_bert(&encoder.init(&Stream::new(&[2], "weights"), &cpu()), "", &tiny()).unwrap();
    let (mut specs, mut all) = (Vec::new(), Vec::new());
    for tensor in file.tensors().iter().filter(|tensor| tensor.dtype().is_float()) {
        let mut numbers = vec![0.0; tensor.entries() as usize];
        tensor.dtype().decode(&tensor.window(0..tensor.bytes()).unwrap(), &mut numbers);
        let shape = tensor.shape().iter().map(|&side| side as usize).collect();
        specs.push(Spec { name: format!("bert.{}", tensor.name()), shape, init: Init::ZERO, role: Role::Weight });
        all.extend(numbers);
    }
    let renamed = Params::init(specs, &Stream::new(&[0], "weights"), &cpu(), DType::F32).with_flat(&all).unwrap();
    let place = TempDir::new().unwrap();
    let path = place.path().join("model.safetensors");
    save_weights(&renamed, &path, &Default::default()).unwrap();
    let found = load_bert(&encoder.init(&Stream::new(&[3], "weights"), &cpu()), "", &path).unwrap();
    assert_eq!(found.flat(), alone.flat());
}

#[test]
fn a_vocabulary_is_learnt_and_written() {
    let texts = ["The cat sat.", "the cat ran", "a dog"];
    let learn = |size| Tokenizer::learn(texts.into_iter(), size);
    let tokenizer = learn(60).unwrap();
    let again = Tokenizer::parse(&tokenizer.json().unwrap()).unwrap();
    let seen = ["the cat", "THE CÄT", "dote", "zebra!"];
    let tokens = tokenizer.encode(&seen).unwrap();
    assert_eq!(tokens, again.encode(&seen).unwrap());
    assert_eq!(tokenizer.json().unwrap(), learn(60).unwrap().json().unwrap());
    // Frequent words are one token between the beginning's and the end's; accents and capitals do not count.
    assert_eq!(tokens[0].len(), 4);
    assert_eq!(tokens[0], tokens[1]);
    // A word that was never seen is its characters, if those were seen inside words.
    assert!(!tokens[2].contains(&1), "{:?}", tokens[2]);
    assert!(tokens[3].contains(&1), "{:?}", tokens[3]);
    assert_eq!(tokenizer.clone().truncated(3).encode(&["the cat sat"]).unwrap()[0].len(), 3);
    let said = learn(10).unwrap_err().to_string();
    assert!(said.contains("10 tokens") && said.contains("characters alone"), "{said}");
}

#[test]
fn padding_changes_no_vector() {
    let encoder = Encoder { positions: 8, layers: 1, width: 8, heads: 2, hidden: 8, ..Encoder::minilm(1) };
    let encoder = Encoder { vocabulary: 9, ..encoder };
    let params = encoder.init(&Stream::new(&[4], "weights"), &cpu());
    let texts: [&[u32]; 2] = [&[2, 5, 3], &[2, 4, 6, 7, 8, 3]];
    let vector = |texts: &[&[u32]]| {
        let Tokens { ids, lengths } = Tokens::padded(texts.iter().copied());
        let scope = kilter_nn::params::Scope::new(&params);
        let x = encoder.forward(&scope, ids, lengths.clone(), &mut kilter_nn::context::Context::evaluation());
        numbers(&encoder.pool(x, &lengths, Pooling::Mean))
    };
    let both = vector(&texts);
    close(&both[..8], &vector(&texts[..1]), 1e-5, "the shorter text");
    close(&both[8..], &vector(&texts[1..]), 1e-5, "the longer text");
}
