//! The tokenizer that goes with a model, kept in the Hugging Face format or, of Keras's `Tokenizer`, in Keras's.

use crate::panics;
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::keras::{Encoded, KerasTokenizer, is_tokenizer};
use super::kind::TokenizerKind;
use super::pieces::{self, Fitted, Pieces};
use super::{FILTERS, START, UNKNOWN, Vocabulary, clean, words};
use crate::formats::file::read_bytes;
use crate::formats::read_text;
use crate::json;
use crate::{Error, Result};

/// The tokens of the first ids: padding, start, word outside the vocabulary, and an id that Keras leaves free.
const SPECIAL: [&str; 4] = ["[PAD]", "[START]", "[UNK]", "[UNUSED]"];

/// Text to token ids and back, read from and written to a `tokenizer.json`.
///
/// A tokenizer of words is that of Keras's IMDB: 0 pads, 1 starts every text, 2 stands for words outside the vocabulary, 3 is free,
/// and the word of rank r (1 for the most frequent) has id r + 3. [`Tokenizer::fit`] makes others, of characters or of pieces
/// of words. Hugging Face files with another pipeline work as well; the `tokenizers` crate runs them. So does Keras's own
/// `Tokenizer` ([`Tokenizer::from_keras`]), whose ids are the ranks.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    ids: HashMap<String, u32>,
    words: Vec<String>,
    rule: Rule,
}

/// How a text becomes ids.
#[derive(Clone, Debug)]
enum Rule {
    /// As in Keras's IMDB.
    Imdb,
    /// As Keras's `Tokenizer` does.
    Keras(Box<KerasTokenizer>),
    /// By characters or pieces of words.
    Pieces(Box<Pieces>),
    /// By a pipeline of Hugging Face's, with the id of unknown pieces.
    Pipeline(Box<tokenizers::Tokenizer>, Option<u32>),
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
        Ok(Self { ids, words, rule: Rule::Imdb })
    }

    /// Counts the words of `texts` by Keras's rule ([`Vocabulary::from_texts`]) and keeps those with ids below
    /// `vocab_size`.
    ///
    /// # Errors
    /// As [`Tokenizer::from_words`].
    pub fn from_texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, vocab_size: usize) -> Result<Self> {
        Vocabulary::from_texts(texts).tokenizer(vocab_size)
    }

    /// Fits a tokenizer of this kind to texts: the words, characters or pieces of words that come twice or more (all
    /// where none does), with ids below `vocab_size`, or as many as is usual ([`TokenizerKind::most`]). Characters and pieces
    /// of words are those of the text in Unicode's NFKC and lower case, each run of white space one space; in pieces of words
    /// it is a mark before the word. The same texts give the same tokenizer.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `vocab_size` that leaves no id for them; [`Error::Data`] where the texts hold none.
    pub fn fit(
        kind: TokenizerKind,
        texts: &[impl AsRef<str> + Sync],
        vocab_size: Option<usize>,
    ) -> Result<Self> {
        if kind != TokenizerKind::Word {
            return Ok(Self::of_pieces(Pieces::fit(kind, texts, vocab_size)?));
        }
        let words = Vocabulary::from_texts(texts);
        if words.is_empty() {
            return Err(Error::Data("the texts have no words".into()));
        }
        let special = kind.special();
        // Where all words had ids, nothing would be learnt of unknown ones.
        let known = if words.repeated() > 0 { words.repeated() } else { words.len() };
        let all = words.len().saturating_add(special);
        words.tokenizer(vocab_size.unwrap_or((known + special).min(kind.most())).min(all))
    }

    fn of_pieces(Fitted { words, pieces }: Fitted) -> Self {
        let ids = words.iter().cloned().zip(0..).collect();
        Self { ids, words, rule: Rule::Pieces(Box::new(pieces)) }
    }

    /// The kind of a tokenizer that is made here; none of another file's.
    pub fn kind(&self) -> Option<TokenizerKind> {
        match &self.rule {
            Rule::Imdb => Some(TokenizerKind::Word),
            Rule::Pieces(pieces) => Some(pieces.kind()),
            Rule::Keras(_) | Rule::Pipeline(..) => None,
        }
    }

    /// Whether its ids are those of Keras's IMDB, as far as the most frequent words tell.
    pub fn is_imdb(&self) -> bool {
        const FIRST: [&str; 8] = ["the", "and", "a", "of", "to", "is", "br", "in"];
        let mut own = FIRST.iter().zip(4..).map(|(word, id)| self.word(id) == Some(word));
        matches!(self.rule, Rule::Imdb) && own.all(|is_same| is_same)
    }

    /// Takes the words from Keras's `imdb_word_index.json`.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing or not a word index; else as [`Tokenizer::from_words`].
    pub fn from_word_index_json(path: impl AsRef<Path>, vocab_size: usize) -> Result<Self> {
        Vocabulary::from_word_index_json(path)?.tokenizer(vocab_size)
    }

    /// Keras's own `Tokenizer` from what its `to_json()` wrote, from its pickle (nothing in which is run), or from its
    /// `word_index` as JSON or as a pickle. Its arguments are honoured as `texts_to_sequences` honours them: `num_words`,
    /// `oov_token`, `filters`, `lower`, `split`, `char_level`.
    ///
    /// A `word_index` does not hold them: Keras's defaults are taken, a first word that they would not let through for the
    /// `oov_token`, and where the ids reach `vocab_size` that for `num_words`.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing, something else, or a `word_index` that the defaults cannot have made.
    pub fn from_keras(path: impl AsRef<Path>, vocab_size: usize) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_bytes(path)?;
        let vocab_size = Some(vocab_size);
        // Pickles of protocol 0 and 1 have no mark of their own, but no JSON begins as they do.
        let is_pickle =
            [&b"\x80"[..], b"ccopy", b"(d", b"(i", b"}q"].iter().any(|start| bytes.starts_with(start));
        let keras = match is_pickle {
            true => KerasTokenizer::from_pickle(&bytes, vocab_size),
            false => {
                let json = read_text(path)?;
                match json::from_str::<Value>(&json) {
                    Ok(json) if is_tokenizer(&json) || json.is_string() => KerasTokenizer::from_json(&json),
                    _ => json::from_str::<HashMap<String, i64>>(&json)
                        .map_err(|what| {
                            format!(
                                "neither what Keras's Tokenizer.to_json() writes nor its word_index ({what})"
                            )
                        })
                        .and_then(|words| {
                            KerasTokenizer::from_words(words.into_iter().collect(), vocab_size)
                        }),
                }
            }
        };
        Ok(Self::of_keras(keras.map_err(|what| Error::file(path, what))?))
    }

    fn of_keras(keras: KerasTokenizer) -> Self {
        let mut words = vec![String::new(); keras.vocab_size()];
        for (word, &id) in keras.ids() {
            if let Some(place) = words.get_mut(id as usize) {
                // Of several words with one id the first in order, whatever the order of the map.
                if place.is_empty() || word < place {
                    place.clone_from(word);
                }
            }
        }
        Self { ids: keras.ids().clone(), words, rule: Rule::Keras(Box::new(keras)) }
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing or not a tokenizer.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read_text(path)?, path)
    }

    /// Reads the text of a `tokenizer.json`; `origin` stands for the file in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_json(json: &str, origin: &Path) -> Result<Self> {
        Self::parse(json.as_bytes()).map_err(|what| Error::file(origin, what))
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
        if is_tokenizer(&json) {
            return KerasTokenizer::from_json(&json).map(Self::of_keras);
        }
        if let Some(keras) = Self::parse_keras(&json) {
            return Ok(keras);
        }
        if let Some(fitted) = Pieces::parse(&json) {
            return Ok(Self::of_pieces(fitted));
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
        let unknown = match json.pointer("/model/unk_token").or_else(|| json.pointer("/model/unk_id")) {
            Some(Value::String(token)) => ids.get(token).copied(),
            Some(id) => id.as_u64().and_then(|id| u32::try_from(id).ok()),
            None => None,
        };
        Ok(Self { ids, words, rule: Rule::Pipeline(Box::new(pipeline), unknown) })
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
        match &self.rule {
            Rule::Pipeline(pipeline, _) => pipeline
                .to_string(true)
                .map_err(|error| Error::argument("tokenizer", &error).with_source(error)),
            Rule::Keras(keras) => keras.to_json().map_err(|error| Error::argument("tokenizer", error)),
            Rule::Pieces(pieces) => Ok(format!("{:#}", pieces.json(&self.words))),
            Rule::Imdb => Ok(format!("{:#}", self.keras_json())),
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

    /// The ids of a text, of any length; the start id comes first, where the tokenizer has one.
    ///
    /// # Errors
    /// [`Error::Argument`] where the pipeline of another file cannot take the text; never for Keras's.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_known(text, |_| true)
    }

    /// As [`Tokenizer::encode`], but words that are not `known` are left out instead of becoming the unknown id, as
    /// Keras leaves out of its IMDB file what does not occur in the training reviews. A file with another pipeline than
    /// that of Keras's IMDB takes the whole text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_known(&self, text: &str, known: impl Fn(&str) -> bool) -> Result<Vec<u32>> {
        self.encode_words(text, known).map(|encoded| encoded.ids)
    }

    /// As [`Tokenizer::encode`], with the number of words and of those that are unknown.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_counted(&self, text: &str) -> Result<Encoded> {
        self.encode_words(text, |_| true)
    }

    fn encode_words(&self, text: &str, known: impl Fn(&str) -> bool) -> Result<Encoded> {
        match &self.rule {
            Rule::Keras(keras) => Ok(keras.encode(text)),
            Rule::Pieces(pieces) => Ok(pieces.encode(text)),
            Rule::Pipeline(pipeline, unknown) => {
                let encoding = panics::contain(|| pipeline.encode_fast(text, true))
                    .ok_or_else(|| Error::argument("tokenizer", "its pipeline cannot take this text"))?
                    .map_err(|error| Error::argument("tokenizer", &error).with_source(error))?;
                let special = encoding.get_special_tokens_mask();
                let own = encoding.get_ids().iter().zip(special).filter(|&(_, &special)| special == 0);
                let (words, unknown) = own.fold((0, 0), |(words, unknowns), (id, _)| {
                    (words + 1, unknowns + usize::from(Some(*id) == *unknown))
                });
                Ok(Encoded { ids: encoding.get_ids().to_vec(), words, unknown })
            }
            Rule::Imdb => {
                let cleaned = clean(text);
                let mut encoded = Encoded { ids: vec![START], ..Encoded::default() };
                for word in words(&cleaned).filter(|word| known(word)) {
                    let id = self.ids.get(word).copied();
                    encoded.words += 1;
                    encoded.unknown += usize::from(id.is_none());
                    encoded.ids.push(id.unwrap_or(UNKNOWN));
                }
                Ok(encoded)
            }
        }
    }

    /// The text of ids, as far as they tell it, without padding and the start: the words with spaces between them, or the
    /// characters or pieces of words put together; `[?]` for what is unknown.
    pub fn decode(&self, ids: &[u32]) -> String {
        // Zeros within may be words of somebody's.
        let from = ids.iter().position(|&id| id != 0).unwrap_or(ids.len());
        let end = ids.iter().rposition(|&id| id != 0).map_or(from, |at| at + 1);
        let ids = &ids[from..end];
        let shown = |id: u32, first: u32| match self.word(id) {
            Some(word) if id >= first && !word.is_empty() => word,
            _ => "[?]",
        };
        let joined = |first: u32, between: &str| -> String {
            let known = ids.iter().filter(|&&id| id != 0).map(|&id| shown(id, first));
            known.collect::<Vec<_>>().join(between)
        };
        match &self.rule {
            Rule::Imdb => {
                let words = ids.iter().filter(|&&id| id > START).map(|&id| shown(id, SPECIAL.len() as u32));
                words.collect::<Vec<_>>().join(" ")
            }
            Rule::Keras(keras) => joined(1, if keras.is_by_characters() { "" } else { " " }),
            Rule::Pieces(pieces) => pieces.spaces(&joined(pieces::SPECIAL.len() as u32, "")),
            Rule::Pipeline(pipeline, _) => {
                let text = panics::contain(|| pipeline.decode(ids, true)).and_then(|text| text.ok());
                text.unwrap_or_else(|| joined(0, " "))
            }
        }
    }

    /// Of a bare `word_index` of Keras's `Tokenizer` that knows more words than the model: how many count as unknown.
    pub fn left_out(&self) -> usize {
        match &self.rule {
            Rule::Keras(keras) => keras.left_out(),
            Rule::Imdb | Rule::Pieces(_) | Rule::Pipeline(..) => 0,
        }
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
