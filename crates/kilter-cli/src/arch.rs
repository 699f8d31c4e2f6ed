//! Decoders by name or sizes, and `--arch FILE`: one of one's own, as a few lines of TOML, or the `config.json` that Hugging
//! Face keeps with a model.

use std::path::Path;

use kilter_laws::parallel::{MODELS, Model};
use kilter_laws::transformer_cost::{Mixer, Norm, Transformer};
use kilter_space::nearest;
use serde_json::{Map, Value as Json};

use crate::fault::Fault;

/// What a file may say, and how Hugging Face says it.
const KEYS: [(&str, &[&str]); 14] = [
    ("layers", &["num_hidden_layers", "n_layer"]),
    ("hidden", &["hidden_size", "n_embd"]),
    ("heads", &["num_attention_heads", "n_head"]),
    ("kv_heads", &["num_key_value_heads"]),
    ("head_dim", &[]),
    ("ffn", &["intermediate_size", "n_inner"]),
    ("gated", &[]),
    ("vocabulary", &["vocab_size"]),
    ("seq_len", &[]),
    ("mixer", &[]),
    ("norm", &[]),
    ("biases", &[]),
    ("learned_positions", &[]),
    ("tied_head", &["tie_word_embeddings"]),
];

/// Hugging Face's families whose blocks are known here: gated feed-forward nets, RMSNorm, no biases, no learned positions.
const LIKE_LLAMA: [&str; 8] = ["llama", "mistral", "qwen3", "gemma", "gemma2", "olmo2", "phi3", "smollm3"];

/// Tokens per sequence where nothing says them.
const SEQ_LEN: u64 = 2048;

/// Reads a decoder; `seq_len` wins over the file's.
pub fn read(path: &Path, seq_len: Option<u64>) -> Result<Transformer, Fault> {
    let wrong = |why: String| Fault::call(format!("--arch {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|why| wrong(why.to_string()))?;
    let is_json = text.trim_start().starts_with('{');
    let parsed: Result<Map<String, Json>, String> = if is_json {
        serde_json::from_str(&text).map_err(|why| why.to_string())
    } else {
        toml::from_str(&text).map_err(|why| why.to_string())
    };
    let file = parsed.map_err(|why| wrong(format!("{why}; it is TOML such as layers = 24, or a config.json")))?;
    let shape = match file.get("model_type") {
        Some(family) => theirs(&file, family.as_str().unwrap_or_default()),
        None => ours(&file),
    };
    let mut shape = shape.map_err(&wrong)?;
    shape.seq_len = seq_len.unwrap_or(shape.seq_len);
    shape.check().map_err(|why| wrong(why.to_string()))?;
    if found(&file, "head_dim").is_none() && shape.heads * shape.head_dim != shape.hidden {
        return Err(wrong(format!(
            "hidden = {} is not divisible by {} heads; say head_dim if that is meant",
            shape.hidden, shape.heads
        )));
    }
    Ok(shape)
}

fn found<'a>(file: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    let others = KEYS.iter().find(|(key, _)| *key == name).map_or(&[][..], |(_, others)| others);
    // Hugging Face writes null for what follows from the rest.
    std::iter::once(&name).chain(others).find_map(|key| file.get(*key)).filter(|value| !value.is_null())
}

fn count(file: &Map<String, Json>, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = found(file, name) else { return Ok(None) };
    value.as_u64().map(Some).ok_or_else(|| format!("{name} is {value}, and must be a count"))
}

fn needed(file: &Map<String, Json>, name: &str) -> Result<u64, String> {
    count(file, name)?.ok_or_else(|| format!("{name} is missing; a decoder has layers, hidden, heads and vocabulary"))
}

fn flag(file: &Map<String, Json>, name: &str) -> Result<Option<bool>, String> {
    let Some(value) = found(file, name) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| format!("{name} is {value}, and must be true or false"))
}

fn word<T: serde::de::DeserializeOwned>(
    file: &Map<String, Json>,
    name: &str,
    known: &str,
) -> Result<Option<T>, String> {
    let Some(value) = found(file, name) else { return Ok(None) };
    serde_json::from_value(value.clone()).map(Some).map_err(|_| format!("{name} is {value}, and must be {known}"))
}

/// A model by name or by sizes.
pub fn named(text: &str) -> Result<Model, Fault> {
    if let Some(model) = Model::named(text) {
        return Ok(model);
    }
    if !text.contains('=') {
        let names = MODELS.iter().map(|model| model.0);
        let near = nearest(text, names.clone()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        return Err(Fault::call(format!(
            "there is no model `{text}`; {near}there are {}; or give sizes: layers=24,hidden=2048,heads=16, or a file: --arch FILE",
            names.collect::<Vec<_>>().join(", ")
        )));
    }
    let mut model =
        Model { name: text.to_owned(), layers: 0, hidden: 0, heads: 0, seq_len: 2048, vocabulary: 51_200, shape: None };
    for part in text.split(',') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().parse().map_err(|_| {
            Fault::call(format!("{part:?} in {text:?}: write NAME=N, as in layers=24,hidden=2048,heads=16"))
        })?;
        match name.trim() {
            "layers" => model.layers = value,
            "hidden" => model.hidden = value,
            "heads" => model.heads = value,
            "seq_len" => model.seq_len = value,
            "vocabulary" => model.vocabulary = value,
            other => {
                let known = ["layers", "hidden", "heads", "seq_len", "vocabulary"];
                let near = nearest(other, known).map_or(known.join(", "), |near| format!("did you mean `{near}`?"));
                return Err(Fault::call(format!("a model has no size `{other}`; {near}")));
            }
        }
    }
    model.check().map_err(|why| Fault::call(format!("{text}: {why}")))?;
    Ok(model)
}

/// Sizes over a family's habits.
fn sized(file: &Map<String, Json>, gated: bool) -> Result<Transformer, String> {
    let (layers, hidden, heads) = (needed(file, "layers")?, needed(file, "hidden")?, needed(file, "heads")?);
    let (vocabulary, seq_len) = (needed(file, "vocabulary")?, count(file, "seq_len")?.unwrap_or(SEQ_LEN));
    let ffn = count(file, "ffn")?.unwrap_or(4 * hidden);
    let usual = if gated {
        Transformer::llama(layers, hidden, heads, ffn, vocabulary, seq_len)
    } else {
        Transformer { ffn, ..Transformer::gpt(layers, hidden, heads, vocabulary, seq_len) }
    };
    Ok(Transformer {
        kv_heads: count(file, "kv_heads")?.unwrap_or(heads),
        head_dim: count(file, "head_dim")?.unwrap_or(usual.head_dim),
        tied_head: flag(file, "tied_head")?.unwrap_or(usual.tied_head),
        ..usual
    })
}

fn ours(file: &Map<String, Json>) -> Result<Transformer, String> {
    let known = || KEYS.iter().map(|(key, _)| *key);
    let all = || KEYS.iter().flat_map(|(key, others)| std::iter::once(key).chain(*others));
    if let Some(unknown) = file.keys().find(|key| !all().any(|known| known == key)) {
        let near = nearest(unknown, known()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let list = known().collect::<Vec<_>>().join(", ");
        return Err(format!("a decoder has no `{unknown}`{near} (there are {list})"));
    }
    let usual = sized(file, flag(file, "gated")?.unwrap_or(false))?;
    Ok(Transformer {
        mixer: word::<Mixer>(file, "mixer", "attention or quasi_lstm")?.unwrap_or(usual.mixer),
        norm: word::<Norm>(file, "norm", "layer or rms")?.unwrap_or(usual.norm),
        biases: flag(file, "biases")?.unwrap_or(usual.biases),
        learned_positions: flag(file, "learned_positions")?.unwrap_or(usual.learned_positions),
        ..usual
    })
}

fn theirs(file: &Map<String, Json>, family: &str) -> Result<Transformer, String> {
    match family {
        "gpt2" => sized(file, false),
        family if LIKE_LLAMA.contains(&family) => sized(file, true),
        other => Err(format!(
            "blocks of model_type {other:?} are not known here (gpt2 and {} are); write layers, hidden, heads, ffn, gated, \
             vocabulary, norm, biases, tied_head in a TOML file of your own",
            LIKE_LLAMA.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn said(text: &str) -> Result<u64, String> {
        let folder = tempfile::TempDir::new().map_err(|why| why.to_string())?;
        let path = folder.path().join("arch");
        std::fs::write(&path, text).map_err(|why| why.to_string())?;
        read(&path, None).map(|shape| shape.parameters().total()).map_err(|fault| fault.message().to_owned())
    }

    #[test]
    fn known_models_have_the_parameters_that_they_are_known_for() {
        let gpt2 = r#"{"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": null, "n_ctx": 1024,
            "n_positions": 1024, "vocab_size": 50257, "seq_len": 1024, "activation_function": "gelu_new"}"#;
        assert_eq!(said(gpt2), Ok(124_439_808));
        let llama = r#"{"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
            "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
            "tie_word_embeddings": false}"#;
        assert_eq!(said(llama), Ok(8_030_261_248));
        let own =
            "layers = 32\nhidden = 4096\nheads = 32\nkv_heads = 8\nffn = 14336\ngated = true\nvocabulary = 128256";
        assert_eq!(said(own), said(llama));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let sizes = "layers = 2\nhidden = 64\nheads = 4\nvocabulary = 100\n";
        let wrong = |more: &str| said(&format!("{sizes}{more}")).err().unwrap_or_default();
        assert!(wrong("hiden = 3").contains("did you mean `hidden`?"), "{}", wrong("hiden = 3"));
        assert!(wrong("kv_heads = 3").contains("make kv_heads a divisor of heads"));
        assert!(wrong("norm = 'batch'").contains("must be layer or rms"));
        assert!(wrong("ffn = -4").contains("must be a count"));
        assert!(said("layers = 2").err().unwrap_or_default().contains("hidden is missing"));
        assert!(
            said("layers = 2\nhidden = 65\nheads = 4\nvocabulary = 9").err().unwrap_or_default().contains("head_dim")
        );
        assert!(said(r#"{"model_type": "mamba"}"#).err().unwrap_or_default().contains("gpt2 and llama"));
    }
}
