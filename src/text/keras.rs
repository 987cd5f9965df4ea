//! Keras's own `Tokenizer` (`keras/src/legacy/preprocessing/text.py`): what `texts_to_sequences` does, and the forms in
//! which it is kept.

use super::{FILTERS, is_filtered};
use crate::formats::pickle::{Pickle, Value as Python};
use crate::json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The arguments of a `Tokenizer`, and the ids of its words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KerasTokenizer {
    ids: HashMap<String, u32>,
    /// Ids from here on are not given; 0 for no limit.
    num_words: u32,
    /// What stands for words that are not known, with its id; else they are left out.
    oov: Option<(String, u32)>,
    filters: HashSet<char>,
    lower: bool,
    split: String,
    char_level: bool,
    /// Words of a bare `word_index` that have no id since the model reads fewer.
    left_out: usize,
}

/// The ids of a text, and how many of its words have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The ids.
    pub ids: Vec<u32>,
    /// The words (or characters, or pieces of words) that the text was split into.
    pub words: usize,
    /// How many of these the vocabulary does not have.
    pub unknown: usize,
}

impl Encoded {
    /// The part of the words that is unknown; none where there are no words.
    pub fn unknown_share(&self) -> Option<f32> {
        (self.words > 0).then(|| self.unknown as f32 / self.words as f32)
    }
}

/// What `to_json` writes: the dictionaries as texts of JSON in the JSON.
#[derive(Deserialize, Serialize)]
struct File {
    class_name: String,
    config: Config,
}

#[derive(Deserialize, Serialize)]
struct Config {
    num_words: Option<i64>,
    filters: String,
    lower: bool,
    split: String,
    char_level: bool,
    oov_token: Option<String>,
    document_count: u64,
    word_counts: String,
    word_docs: String,
    index_docs: String,
    index_word: String,
    word_index: String,
}

/// The arguments on their way from a file.
#[derive(Default)]
struct Parts {
    word_index: Vec<(String, i64)>,
    num_words: Option<i64>,
    oov_token: Option<String>,
    filters: Option<String>,
    lower: Option<bool>,
    split: Option<String>,
    char_level: Option<bool>,
}

/// Whether JSON is what `Tokenizer.to_json()` writes.
pub(super) fn is_tokenizer(json: &Value) -> bool {
    json.get("class_name").is_some_and(|class| class == "Tokenizer")
}

impl KerasTokenizer {
    /// From the text of `Tokenizer.to_json()`.
    pub fn from_json(json: &Value) -> Result<Self, String> {
        // `json.dump(tokenizer.to_json(), file)` makes a text of the text.
        if let Value::String(text) = json {
            let json: Value = json::from_str(text)?;
            return if json.is_string() {
                Err("is a text within texts".into())
            } else {
                Self::from_json(&json)
            };
        }
        let wrong = |what: String| format!("not what Keras's Tokenizer.to_json() writes ({what})");
        let File { config, .. } = json::from_value(json).map_err(|what| wrong(what.to_string()))?;
        let words: HashMap<String, i64> =
            json::from_str(&config.word_index).map_err(|what| wrong(format!("word_index: {what}")))?;
        Self::new(Parts {
            word_index: words.into_iter().collect(),
            num_words: config.num_words,
            oov_token: config.oov_token,
            filters: Some(config.filters),
            lower: Some(config.lower),
            split: Some(config.split),
            char_level: Some(config.char_level),
        })
    }

    /// From a pickled `Tokenizer` of any version, or a pickled `word_index` as [`from_words`](Self::from_words) takes it.
    /// Nothing in it is run.
    pub fn from_pickle(bytes: &[u8], vocab_size: Option<usize>) -> Result<Self, String> {
        let (pickle, root) = Pickle::read(bytes)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let Some((module, name)) = pickle.class(root) else {
            let words = pickle.pairs(root).ok_or("holds neither Keras's Tokenizer nor its word_index")?;
            return Self::from_words(words_of(words)?, vocab_size);
        };
        if name != b"Tokenizer" || !module.ends_with(b"preprocessing.text") {
            let class = format!("{}.{}", text(module), text(name));
            return Err(format!("holds a {class}, expected Keras's Tokenizer; nothing of it was run"));
        }
        let state = pickle.state(root).ok_or("holds a Tokenizer without anything in it")?;
        let field = |names: &[&str]| {
            let named = |(key, _): &&(Python, Python)| matches!(key, Python::Text(key) if names.iter().any(|name| name.as_bytes() == *key));
            state.iter().find(named).map_or(Python::None, |(_, value)| *value)
        };
        let wrong = |name: &str| format!("its `{name}` is not what a Tokenizer has");
        let flag = |name: &str| match field(&[name]) {
            Python::Bool(flag) => Ok(Some(flag)),
            Python::Int(number) => Ok(Some(number != 0)),
            Python::None => Ok(None),
            _ => Err(wrong(name)),
        };
        let text = |name: &str| match field(&[name]) {
            Python::Text(text) => String::from_utf8(text.to_vec()).map(Some).map_err(|_| wrong(name)),
            Python::None => Ok(None),
            _ => Err(wrong(name)),
        };
        if field(&["analyzer"]) != Python::None {
            return Err(
                "has an `analyzer`, Python code that is not run; turn its texts into ids in Python".into()
            );
        }
        let words = pickle.pairs(field(&["word_index"])).ok_or_else(|| wrong("word_index"))?;
        Self::new(Parts {
            word_index: words_of(words)?,
            num_words: match field(&["num_words", "nb_words"]) {
                Python::Int(number) => Some(number),
                Python::None => None,
                _ => return Err(wrong("num_words")),
            },
            oov_token: text("oov_token")?,
            filters: text("filters")?,
            lower: flag("lower")?,
            split: text("split")?,
            char_level: flag("char_level")?,
        })
    }

    /// From a `word_index` alone, for a model that reads ids below `vocab_size`: a Tokenizer with Keras's defaults, whose
    /// `num_words` is no more than that. A first word that no text can hold is its `oov_token`.
    pub fn from_words(word_index: Vec<(String, i64)>, vocab_size: Option<usize>) -> Result<Self, String> {
        let odd = |word: &str| word.contains(is_filtered) || word.to_lowercase() != word;
        let oov_token =
            word_index.iter().find(|(word, id)| *id == 1 && odd(word)).map(|(word, _)| word.clone());
        if let Some((word, _)) =
            word_index.iter().filter(|(word, id)| *id > 1 && odd(word)).min_by_key(|(_, id)| *id)
        {
            return Err(format!(
                "the word {word:?} does not come from a Tokenizer with Keras's defaults, and a word_index does not say with \
                 which; give what Tokenizer.to_json() writes, or the pickled Tokenizer"
            ));
        }
        if word_index.len() > 1 && word_index.iter().all(|(word, _)| word.chars().count() == 1) {
            return Err("its words are single characters, and a word_index does not say whether all texts are split so; \
                        give what Tokenizer.to_json() writes, or the pickled Tokenizer"
                .into());
        }
        let largest = word_index.iter().map(|(_, id)| *id).max().unwrap_or(0);
        let size = vocab_size.and_then(|size| i64::try_from(size).ok()).filter(|size| largest >= *size);
        let defaults = Parts {
            filters: Some(FILTERS.into()),
            lower: Some(true),
            split: Some(" ".into()),
            ..Parts::default()
        };
        let beyond = |(_, id): &&(String, i64)| size.is_some_and(|size| *id >= size);
        let left_out = word_index.iter().filter(beyond).count();
        Ok(Self { left_out, ..Self::new(Parts { word_index, num_words: size, oov_token, ..defaults })? })
    }

    fn new(parts: Parts) -> Result<Self, String> {
        let missing = |name: &str| format!("a Tokenizer without its `{name}`");
        let count = parts.word_index.len();
        if count == 0 {
            return Err("a Tokenizer without words; it was not fitted on texts".into());
        }
        let most = i64::try_from(count.saturating_mul(8)).unwrap_or(i64::MAX).saturating_add(1024);
        let mut ids = HashMap::with_capacity(count);
        for (word, id) in parts.word_index {
            match u32::try_from(id) {
                Ok(small) if id <= most => ids.insert(word, small),
                Ok(_) => return Err(format!("the id {id} is far beyond the number of words")),
                Err(_) => return Err(format!("the word {word:?} has the id {id}")),
            };
        }
        let oov = match parts.oov_token {
            None => None,
            Some(token) => match ids.get(&token) {
                Some(&id) => Some((token, id)),
                None => return Err(format!("its oov_token {token:?} is not among its words")),
            },
        };
        let split = parts.split.ok_or_else(|| missing("split"))?;
        if split.is_empty() {
            return Err("its `split` is empty".into());
        }
        let num_words = u32::try_from(parts.num_words.unwrap_or(0));
        Ok(Self {
            ids,
            num_words: num_words
                .map_err(|_| format!("its num_words is {}", parts.num_words.unwrap_or_default()))?,
            oov,
            filters: parts.filters.ok_or_else(|| missing("filters"))?.chars().collect(),
            lower: parts.lower.ok_or_else(|| missing("lower"))?,
            split,
            char_level: parts.char_level.unwrap_or(false),
            left_out: 0,
        })
    }

    /// `texts_to_sequences` of one text.
    pub fn encode(&self, text: &str) -> Encoded {
        let mut encoded = Encoded::default();
        let lowered = self.lower.then(|| text.to_lowercase());
        let text = lowered.as_deref().unwrap_or(text);
        if self.char_level {
            let mut buffer = [0; 4];
            text.chars().for_each(|c| self.word(c.encode_utf8(&mut buffer), &mut encoded));
            return encoded;
        }
        let mut cleaned = String::with_capacity(text.len());
        for c in text.chars() {
            match self.filters.contains(&c) {
                true => cleaned.push_str(&self.split),
                false => cleaned.push(c),
            }
        }
        let words = cleaned.split(self.split.as_str()).filter(|word| !word.is_empty());
        words.for_each(|word| self.word(word, &mut encoded));
        encoded
    }

    fn word(&self, word: &str, encoded: &mut Encoded) {
        encoded.words += 1;
        let known = self.ids.get(word).copied().filter(|&id| self.num_words == 0 || id < self.num_words);
        if known.is_none() || known == self.oov.as_ref().map(|(_, id)| *id) {
            encoded.unknown += 1;
        }
        encoded.ids.extend(known.or(self.oov.as_ref().map(|(_, id)| *id)));
    }

    /// Each word with its id.
    pub fn ids(&self) -> &HashMap<String, u32> {
        &self.ids
    }

    /// Whether its words are characters.
    pub fn is_by_characters(&self) -> bool {
        self.char_level
    }

    /// The words of a bare `word_index` that were left without an id.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// One more than the largest id that it gives.
    pub fn vocab_size(&self) -> usize {
        let given = self.ids.values().filter(|&&id| self.num_words == 0 || id < self.num_words);
        given.chain(self.oov.as_ref().map(|(_, id)| id)).max().map_or(0, |&id| id as usize + 1)
    }

    /// What `Tokenizer.to_json()` writes, without the counts that only further fitting would need. Keras's
    /// `tokenizer_from_json` reads it.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut ranked: Vec<(&str, u32)> = self.ids.iter().map(|(word, &id)| (word.as_str(), id)).collect();
        ranked.sort_unstable_by_key(|&(word, id)| (id, word));
        let word_index: serde_json::Map<String, Value> =
            ranked.iter().map(|&(word, id)| (word.to_string(), id.into())).collect();
        let index_word: BTreeMap<u32, &str> = ranked.iter().map(|&(word, id)| (id, word)).collect();
        let mut filters: Vec<char> = self.filters.iter().copied().collect();
        filters.sort_unstable();
        let file = File {
            class_name: "Tokenizer".into(),
            config: Config {
                num_words: (self.num_words > 0).then_some(self.num_words.into()),
                filters: filters.into_iter().collect(),
                lower: self.lower,
                split: self.split.clone(),
                char_level: self.char_level,
                oov_token: self.oov.as_ref().map(|(token, _)| token.clone()),
                document_count: 0,
                word_counts: "{}".into(),
                word_docs: "{}".into(),
                index_docs: "{}".into(),
                index_word: serde_json::to_string(&index_word)?,
                word_index: serde_json::to_string(&word_index)?,
            },
        };
        serde_json::to_string_pretty(&file)
    }
}

/// The words of a pickled dictionary. Half a character, as Python can hold, is in no text: such words are left out.
fn words_of(pairs: &[(Python, Python)]) -> Result<Vec<(String, i64)>, String> {
    let word = |pair: &(Python, Python)| match *pair {
        (Python::Text(word), Python::Int(id)) => {
            Ok(String::from_utf8(word.to_vec()).ok().map(|word| (word, id)))
        }
        _ => Err("its word_index does not give each word a whole number".to_string()),
    };
    pairs.iter().filter_map(|pair| word(pair).transpose()).collect()
}
