//! Texts as numbers of tokens, by the `tokenizers` library and its `tokenizer.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{
    AddedToken, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, TruncationParams,
};

/// Why texts cannot be made tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no tokenizer, or cannot do what is asked.
    #[error("{what}: {why}")]
    Unusable {
        /// Which tokenizer.
        what: String,
        /// The library's reason.
        why: String,
    },
    /// The tokenizer is of another network.
    #[error(
        "the tokenizer knows {tokenizer} tokens, and the network {network}: they do not belong together; take the \
         tokenizer.json that came with the network's weights"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the network's table.
        network: usize,
    },
}

fn unusable(what: impl fmt::Display) -> impl FnOnce(tokenizers::Error) -> TokensError {
    move |why| TokensError::Unusable { what: what.to_string(), why: why.to_string() }
}

/// Tokens of several texts, padded to the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// `[texts · length]`, text after text; behind a text's end 0, which no mask lets through.
    pub ids: Arc<[i64]>,
    /// Tokens of each text, at least 1.
    pub lengths: Arc<[usize]>,
}

impl Tokens {
    /// Texts of these tokens.
    pub fn padded<'a>(texts: impl Iterator<Item = &'a [u32]> + Clone) -> Self {
        let lengths: Arc<[usize]> = texts.clone().map(|text| text.len().max(1)).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let row = |text: &'a [u32]| (0..longest).map(move |at| text.get(at).map_or(0, |&id| i64::from(id)));
        Self { ids: texts.flat_map(row).collect(), lengths }
    }
}

/// A tokenizer.
#[derive(Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary()).finish()
    }
}

/// Special tokens of BERT, at the beginning of a vocabulary that is made here.
const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

impl Tokenizer {
    /// Of a file `tokenizer.json`, with its truncation.
    ///
    /// # Errors
    /// If it cannot be read, or is no tokenizer.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let json =
            std::fs::read_to_string(path).map_err(|source| TokensError::File { path: path.to_owned(), source })?;
        Self::parse(&json).map_err(|why| match why {
            TokensError::Unusable { why, .. } => TokensError::Unusable { what: path.display().to_string(), why },
            why => why,
        })
    }

    /// Of the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(json: &str) -> Result<Self, TokensError> {
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(unusable("it is no tokenizer"))?;
        // Padding is ours: to the longest of a batch.
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }

    /// A vocabulary of WordPiece (Schuster and Nakajima 2012) with at most `size` tokens for these texts: all characters,
    /// alone and inside a word, then the most frequent words. So every text of these characters has tokens. Lower case,
    /// without accents, as BERT's.
    ///
    /// # Errors
    /// If the characters alone are more.
    pub fn learn<'a>(texts: impl Iterator<Item = &'a str>, size: usize) -> Result<Self, TokensError> {
        let failed = || unusable("the texts cannot be cut into words");
        let normalizer = BertNormalizer::default();
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            let mut cut = PreTokenizedString::from(text);
            cut.normalize(|text| normalizer.normalize(text)).map_err(failed())?;
            BertPreTokenizer.pre_tokenize(&mut cut).map_err(failed())?;
            for (word, ..) in cut.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                *words.entry(word.to_owned()).or_default() += 1;
            }
        }
        let characters: BTreeSet<char> = words.keys().flat_map(|word| word.chars()).collect();
        let within: BTreeSet<char> = words.keys().flat_map(|word| word.chars().skip(1)).collect();
        let mut tokens: Vec<String> = SPECIAL.map(str::to_owned).to_vec();
        tokens.extend(characters.iter().map(char::to_string));
        tokens.extend(within.iter().map(|c| format!("##{c}")));
        if tokens.len() > size {
            let why = format!("its characters alone are {}; allow as many at least", tokens.len());
            return Err(TokensError::Unusable { what: format!("a vocabulary of {size} tokens"), why });
        }
        let mut frequent: Vec<(String, u64)> =
            words.into_iter().filter(|(word, _)| word.chars().nth(1).is_some()).collect();
        // Stable, so that equals stay in the order of the alphabet.
        frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        tokens.extend(frequent.into_iter().map(|(word, _)| word).take(size - tokens.len()));
        let named = |at: usize| (SPECIAL[at].to_owned(), at as u32);
        let (separator, first) = (named(3), named(2));
        let vocabulary = WordPiece::read_bytes(tokens.join("\n").as_bytes()).map_err(failed())?;
        let model = WordPiece::builder().vocab(vocabulary).unk_token(SPECIAL[1].to_owned()).build();
        let mut tokenizer = tokenizers::Tokenizer::new(model.map_err(failed())?);
        tokenizer.with_normalizer(Some(normalizer)).map_err(failed())?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        tokenizer.with_post_processor(Some(BertProcessing::new(separator, first)));
        tokenizer.add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true))).map_err(failed())?;
        Ok(Self(tokenizer))
    }

    /// The same, cutting texts after so many tokens, special ones included: at least 3.
    #[must_use]
    pub fn truncated(mut self, length: usize) -> Self {
        let usual = self.0.get_truncation().cloned().unwrap_or_default();
        // It refuses only strides, and there is none.
        let _ = self.0.with_truncation(Some(TruncationParams { max_length: length.max(3), stride: 0, ..usual }));
        self
    }

    /// How many tokens a text has at most, if it is cut at all.
    pub fn longest(&self) -> Option<usize> {
        self.0.get_truncation().map(|truncation| truncation.max_length)
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// It belongs to a network of so many tokens.
    ///
    /// # Errors
    /// If their numbers differ.
    pub fn fits(&self, network: usize) -> Result<(), TokensError> {
        let tokenizer = self.vocabulary();
        if tokenizer == network { Ok(()) } else { Err(TokensError::Vocabulary { tokenizer, network }) }
    }

    /// The tokens of each text, special ones included.
    ///
    /// # Errors
    /// If the tokenizer cannot cut one: its vocabulary lacks a token for what is unknown.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokensError> {
        let encoded = self.0.encode_batch_fast(texts.to_vec(), true).map_err(unusable("the tokenizer"))?;
        Ok(encoded.into_iter().map(|text| text.get_ids().to_vec()).collect())
    }

    /// As the text of a `tokenizer.json`; the same tokenizer gives the same text.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn json(&self) -> Result<String, TokensError> {
        self.0.to_string(false).map_err(unusable("the tokenizer"))
    }
}
