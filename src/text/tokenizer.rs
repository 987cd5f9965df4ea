//! The tokenizer that goes with a model, kept in the Hugging Face format.

use crate::panics;
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{FILTERS, START, UNKNOWN, Vocabulary, clean, words};
use crate::formats::read_text;
use crate::{Error, Result};

/// The tokens of the first ids: padding, start, word outside the vocabulary, and an id that Keras leaves free.
const SPECIAL: [&str; 4] = ["[PAD]", "[START]", "[UNK]", "[UNUSED]"];

/// Text to token ids and back, read from and written to a Hugging Face `tokenizer.json`.
///
/// A tokenizer made here is Keras's: 0 pads, 1 starts every text, 2 stands for words outside the vocabulary, 3 is free,
/// and the word of rank r (1 for the most frequent) has id r + 3. A file with another pipeline works as well; the
/// `tokenizers` crate runs it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    ids: HashMap<String, u32>,
    words: Vec<String>,
    /// The pipeline, where it is not Keras's.
    pipeline: Option<Box<tokenizers::Tokenizer>>,
}

impl Tokenizer {
    /// The tokenizer of words in the order of their rank, the most frequent first. Only ids below `vocab_size` are
    /// given: `vocab_size` - 4 words are kept.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `vocab_size` below 4, or a word that comes twice.
    pub fn from_words<W: Into<String>>(
        ranked: impl IntoIterator<Item = W>,
        vocab_size: usize,
    ) -> Result<Self> {
        if vocab_size < SPECIAL.len() || u32::try_from(vocab_size).is_err() {
            return Err(Error::argument(
                "vocab_size",
                format!(
                    "{vocab_size}, expected at least 4: ids 0 to 3 are padding, start, unknown and unused"
                ),
            ));
        }
        let special = SPECIAL.into_iter().map(String::from);
        let words: Vec<String> = special.chain(ranked.into_iter().map(Into::into)).take(vocab_size).collect();
        let mut ids = HashMap::with_capacity(words.len());
        for (word, id) in words.iter().zip(0..) {
            if ids.insert(word.clone(), id).is_some() {
                return Err(Error::argument("vocabulary", format!("the word {word:?} comes twice")));
            }
        }
        Ok(Self { ids, words, pipeline: None })
    }

    /// Counts the words of `texts` by Keras's rule ([`Vocabulary::from_texts`]) and keeps those with ids below
    /// `vocab_size`.
    ///
    /// # Errors
    /// As [`Tokenizer::from_words`].
    pub fn from_texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, vocab_size: usize) -> Result<Self> {
        Vocabulary::from_texts(texts).tokenizer(vocab_size)
    }

    /// Takes the words from Keras's `imdb_word_index.json`.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing or not a word index; else as [`Tokenizer::from_words`].
    pub fn from_word_index_json(path: impl AsRef<Path>, vocab_size: usize) -> Result<Self> {
        Vocabulary::from_word_index_json(path)?.tokenizer(vocab_size)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing or not a tokenizer.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(read_text(path)?.as_bytes()).map_err(|what| Error::file(path, what))
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Argument`] where they are not a tokenizer.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::parse(bytes.as_ref()).map_err(|what| Error::argument("tokenizer.json", what))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("not a Hugging Face tokenizer.json ({error})");
        let json: Value = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        if let Some(keras) = Self::parse_keras(&json) {
            return Ok(keras);
        }
        let pipeline = panics::contain(|| tokenizers::Tokenizer::from_bytes(bytes))
            .ok_or_else(|| wrong(&"its parser gave up"))?
            .map_err(|error| wrong(&error))?;
        let ids = pipeline.get_vocab(true);
        let size = ids.values().max().map_or(0, |&id| id as usize + 1);
        if size > bytes.len() {
            return Err(format!("the ids reach {size}, far more than there are words"));
        }
        let mut words = vec![String::new(); size];
        for (word, &id) in &ids {
            words[id as usize].clone_from(word);
        }
        Ok(Self { ids, words, pipeline: Some(Box::new(pipeline)) })
    }

    /// The tokenizer, where the file says exactly what [`Tokenizer::to_json`] would write.
    fn parse_keras(json: &Value) -> Option<Self> {
        let vocab = json.pointer("/model/vocab")?.as_object()?;
        let mut words = vec![""; vocab.len()];
        for (word, id) in vocab {
            *words.get_mut(usize::try_from(id.as_u64()?).ok()?)? = word;
        }
        let tokenizer = Self::from_words(words.get(SPECIAL.len()..)?.iter().copied(), words.len()).ok()?;
        (words.starts_with(&SPECIAL) && tokenizer.keras_json() == *json).then_some(tokenizer)
    }

    fn keras_json(&self) -> Value {
        let vocab: Map<String, Value> =
            self.words.iter().zip(0..).map(|(word, id): (_, u32)| (word.clone(), id.into())).collect();
        let filters: String = FILTERS.chars().map(regex_escape).collect();
        let start = json!({"SpecialToken": {"id": "[START]", "type_id": 0}});
        let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Lowercase"},
                    {"type": "Replace", "pattern": {"Regex": format!("[{filters}]")}, "content": " "},
                ],
            },
            "pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": " "},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [start, text("A", 0)],
                "pair": [start, text("A", 0), text("B", 1)],
                "special_tokens": {"[START]": {"id": "[START]", "ids": [START], "tokens": ["[START]"]}},
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
        })
    }

    /// The text of `tokenizer.json`: the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// [`Error::Argument`] where the pipeline of another file cannot be written.
    pub fn to_json(&self) -> Result<String> {
        match &self.pipeline {
            Some(pipeline) => pipeline
                .to_string(true)
                .map_err(|error| Error::argument("tokenizer", &error).with_source(error)),
            None => Ok(format!("{:#}", self.keras_json())),
        }
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = self.to_json()?;
        std::fs::write(&path, json).map_err(|error| Error::io(path, error))
    }

    /// The ids of a text, of any length; the start id comes first.
    ///
    /// # Errors
    /// [`Error::Argument`] where the pipeline of another file cannot take the text; never for Keras's.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_known(text, |_| true)
    }

    /// As [`Tokenizer::encode`], but words that are not `known` are left out instead of becoming the unknown id, as
    /// Keras leaves out of its IMDB file what does not occur in the training reviews. A file with another pipeline than
    /// Keras's takes the whole text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_known(&self, text: &str, known: impl Fn(&str) -> bool) -> Result<Vec<u32>> {
        if let Some(pipeline) = &self.pipeline {
            let encoding = panics::contain(|| pipeline.encode_fast(text, true))
                .ok_or_else(|| Error::argument("tokenizer", "its pipeline cannot take this text"))?
                .map_err(|error| Error::argument("tokenizer", &error).with_source(error))?;
            return Ok(encoding.get_ids().to_vec());
        }
        let cleaned = clean(text);
        let ids = words(&cleaned)
            .filter(|word| known(word))
            .map(|word| self.ids.get(word).copied().unwrap_or(UNKNOWN));
        Ok(std::iter::once(START).chain(ids).collect())
    }

    /// The number of ids: one more than the largest.
    pub fn vocab_size(&self) -> usize {
        self.words.len()
    }

    /// The word, or the name of the special token, of an id.
    pub fn word(&self, id: u32) -> Option<&str> {
        self.words.get(id as usize).map(String::as_str)
    }

    /// The id of a word in its cleaned form.
    pub fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }
}

/// A character as a regular expression's character class takes it literally.
fn regex_escape(character: char) -> String {
    match character {
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '[' | ']' | '\\' | '^' | '-' | '&' | '~' => format!("\\{character}"),
        other => other.into(),
    }
}
