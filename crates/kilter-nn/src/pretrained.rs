//! Networks that were trained elsewhere: BERT checkpoints as their authors publish them, read into ours.
//!
//! A folder holds `config.json`, `model.safetensors` and `tokenizer.json`. Names and layout of the tensors are those of
//! Hugging Face's BERT (Devlin et al., *BERT*, 2019); sentence vectors are Reimers and Gurevych's (*Sentence-BERT*, 2019).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kilter_numerics::Stream;
use kilter_weights::Checkpoint;
use serde::Deserialize;

use crate::context::Context;
use crate::model::{Encoder, Network, Pooling};
use crate::params::{Params, Scope, numbers};
use crate::tokens::{Tokenizer, Tokens, TokensError};
use crate::train::{CheckpointError, load_named};

/// Why a pretrained network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// Its description cannot be read, or is of another kind of network.
    #[error("{}: {why}", .path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

/// `config.json`, as far as the network follows from it.
#[derive(Debug, Deserialize)]
struct BertConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    #[serde(default)]
    hidden_dropout_prob: f64,
}

/// The encoder that a folder's `config.json` describes.
///
/// # Errors
/// If it cannot be read, or describes another kind of network.
pub fn describe(folder: &Path) -> Result<Encoder, PretrainedError> {
    let path = folder.join("config.json");
    let wrong = |why: String| PretrainedError::Description { path: path.clone(), why };
    let text = std::fs::read(&path).map_err(|why| wrong(format!("cannot be read: {why}")))?;
    let config: BertConfig =
        serde_json::from_slice(&text).map_err(|why| wrong(format!("it describes no BERT: {why}")))?;
    for (what, got, wanted) in [("model_type", &config.model_type, "bert"), ("hidden_act", &config.hidden_act, "gelu")]
    {
        if got != wanted {
            return Err(wrong(format!("its {what} is {got:?}, and {wanted:?} is what can be read")));
        }
    }
    let encoder = Encoder {
        vocabulary: config.vocab_size,
        positions: config.max_position_embeddings,
        segments: config.type_vocab_size,
        width: config.hidden_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        hidden: config.intermediate_size,
        epsilon: config.layer_norm_eps,
        dropout: config.hidden_dropout_prob,
    };
    encoder.check().map_err(|why| wrong(why.to_string()))?;
    Ok(encoder)
}

/// What BERT's checkpoints call a tensor of an [`Encoder`].
fn bert_name(ours: &str) -> Option<String> {
    let (part, kind) = ours.rsplit_once('.')?;
    let theirs = match part {
        "tokens" => "embeddings.word_embeddings".to_owned(),
        "positions" => "embeddings.position_embeddings".to_owned(),
        "segments" => "embeddings.token_type_embeddings".to_owned(),
        "norm" => "embeddings.LayerNorm".to_owned(),
        block => {
            let (layer, part) = block.strip_prefix("blocks.")?.split_once('.')?;
            let part = match part {
                "attention.query" => "attention.self.query",
                "attention.key" => "attention.self.key",
                "attention.value" => "attention.self.value",
                "attention.output" => "attention.output.dense",
                "norm1" => "attention.output.LayerNorm",
                "up" => "intermediate.dense",
                "down" => "output.dense",
                "norm2" => "output.LayerNorm",
                _ => return None,
            };
            format!("encoder.layer.{layer}.{part}")
        }
    };
    Some(format!("{theirs}.{kind}"))
}

/// The weights of `like`, of which those of an [`Encoder`] under `prefix` (empty: all) come from a BERT checkpoint: a file,
/// its index, or its folder.
///
/// # Errors
/// If it cannot be read, lacks a tensor, or has one of other sizes.
pub fn load_bert(like: &Params, prefix: &str, path: &Path) -> Result<Params, CheckpointError> {
    let file = Checkpoint::open(path)?;
    // Models with a head keep the encoder under its name.
    let outer = if file.get("bert.embeddings.word_embeddings.weight").is_some() { "bert." } else { "" };
    load_named(like, &file, |ours| {
        let inner = if prefix.is_empty() { ours } else { ours.strip_prefix(prefix)?.strip_prefix('.')? };
        bert_name(inner).map(|theirs| format!("{outer}{theirs}"))
    })
}

/// An encoder of sentences with its tokenizer.
#[derive(Clone, Debug)]
pub struct SentenceEncoder {
    /// The network.
    pub encoder: Encoder,
    /// Its weights.
    pub params: Params,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// Texts per pass.
const PASS: usize = 32;

impl SentenceEncoder {
    /// Reads a folder.
    ///
    /// # Errors
    /// If a file of it cannot be read, is of another kind of network, or the tokenizer is another network's.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, PretrainedError> {
        let encoder = describe(folder)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"))?;
        tokenizer.fits(encoder.vocabulary)?;
        // A text has no more tokens than there are positions.
        let tokenizer = match tokenizer.longest() {
            Some(longest) if longest <= encoder.positions => tokenizer,
            _ => tokenizer.truncated(encoder.positions),
        };
        let fresh = encoder.init(&Stream::new(&[0], "weights"), &device.clone().inner());
        let params = load_bert(&fresh, "", folder)?;
        Ok(Self { encoder, params, tokenizer })
    }

    /// One vector per text, `[texts][width]`, in their order.
    ///
    /// # Errors
    /// If the tokenizer cannot cut a text.
    pub fn embed(&self, texts: &[&str], pooling: Pooling) -> Result<Vec<Vec<f64>>, TokensError> {
        let tokens = self.tokenizer.encode(texts)?;
        // Texts of like length stand together, so that little is padded.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| tokens[at].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for part in order.chunks(PASS) {
            let Tokens { ids, lengths } = Tokens::padded(part.iter().map(|&at| &tokens[at][..]));
            let scope = Scope::new(&self.params);
            let x = self.encoder.forward(&scope, ids, lengths.clone(), &mut Context::evaluation());
            let pooled = numbers(&self.encoder.pool(x, &lengths, pooling));
            for (&at, vector) in part.iter().zip(pooled.chunks(self.encoder.width)) {
                vectors[at] = vector.to_vec();
            }
        }
        Ok(vectors)
    }
}
