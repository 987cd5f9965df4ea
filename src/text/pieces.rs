//! Texts as characters, or as pieces of words by byte-pair encoding: two pipelines of Hugging Face's `tokenizers`, fitted and
//! run here. The `tokenizers` packages read what is kept and give the same ids.

use super::byte_pairs::{Merges, Scratch, learn};
use super::keras::Encoded;
use super::kind::TokenizerKind;
use super::normal::{WHITE_SPACE, normalized};
use crate::{Error, Result};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::HashMap;

/// The tokens of the first ids.
pub(super) const SPECIAL: [&str; 2] = ["[PAD]", "[UNK]"];
/// The id of a character that is not known.
const UNKNOWN: u32 = 1;
/// What stands before a word, in the place of the space.
const SPACE: char = '\u{2581}';
/// Characters up to here have their ids in a table.
const TABLE: usize = 1 << 16;

/// The ids of characters, and for byte-pair encoding what is joined.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    table: Vec<u32>,
    /// Those beyond the table.
    rare: HashMap<char, u32>,
    merges: Option<Merges>,
    /// The pairs in the order in which they were learnt, as texts.
    pairs: Vec<(String, String)>,
}

/// The pieces by their ids, with the rule that gives them.
pub(super) struct Fitted {
    pub(super) words: Vec<String>,
    pub(super) pieces: Pieces,
}

impl Pieces {
    /// Learns from texts; ids are below `vocab_size`, or below what is usual. Characters that come once have no id, where
    /// there are others; of equally frequent ones the first in Unicode's order is kept.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `vocab_size` that leaves no id; [`Error::Data`] where there is no character at all.
    pub(super) fn fit(
        kind: TokenizerKind,
        texts: &[impl AsRef<str> + Sync],
        vocab_size: Option<usize>,
    ) -> Result<Fitted> {
        let size = vocab_size.unwrap_or(kind.most());
        if size <= SPECIAL.len() || u32::try_from(size).is_err() {
            let what = format!("{size}, expected at least 3: ids 0 and 1 are padding and unknown");
            return Err(Error::argument("vocab_size", what));
        }
        let special = SPECIAL.into_iter().map(String::from);
        if kind != TokenizerKind::Bpe {
            let mut characters = characters(&count(texts, |text, counts| {
                text.chars().for_each(|character| *counts.entry(character).or_default() += 1);
            }))?;
            characters.truncate(size - SPECIAL.len());
            return Self::fitted(special.chain(characters.into_iter().map(String::from)).collect(), None);
        }
        let words = count(texts, |text, counts| {
            for word in words(&spaced(text)) {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => _ = counts.insert(word.to_string(), 1),
                }
            }
        });
        let mut counts = HashMap::<char, u64>::new();
        for (word, count) in &words {
            word.chars().for_each(|character| *counts.entry(character).or_default() += count);
        }
        let mut characters = characters(&counts)?;
        // What is left is for pieces of several characters.
        characters.truncate((size - SPECIAL.len()).div_ceil(2));
        characters.sort_unstable();
        let pieces = special.chain(characters.into_iter().map(String::from)).collect();
        let mut words: Vec<(&str, u64)> = words.iter().map(|(word, &count)| (word.as_str(), count)).collect();
        words.sort_unstable();
        let learnt = learn(&words, pieces, SPECIAL.len(), size);
        let text = |id: u32| learnt.pieces.get(id as usize).cloned().unwrap_or_default();
        let pairs = learnt.merges.iter().map(|&(left, right)| (text(left), text(right))).collect();
        Self::fitted(learnt.pieces, Some(pairs))
    }

    fn fitted(words: Vec<String>, pairs: Option<Vec<(String, String)>>) -> Result<Fitted> {
        let pieces =
            Self::new(&words, pairs).ok_or_else(|| Error::argument("vocabulary", "its pieces do not fit"))?;
        Ok(Fitted { words, pieces })
    }

    /// From the pieces by their ids and the pairs that are joined; nothing where a pair is not of these, or makes none of
    /// them.
    fn new(words: &[String], pairs: Option<Vec<(String, String)>>) -> Option<Self> {
        let (mut table, mut rare) = (vec![UNKNOWN; TABLE], HashMap::new());
        for (id, word) in (0..).zip(words).skip(SPECIAL.len()) {
            let mut characters = word.chars();
            let (first, None) = (characters.next()?, characters.next()) else { continue };
            match table.get_mut(first as usize) {
                Some(place) => *place = id,
                None => _ = rare.insert(first, id),
            }
        }
        let merges = match &pairs {
            None => None,
            Some(pairs) => {
                let ids: HashMap<&str, u32> = words.iter().map(String::as_str).zip(0..).collect();
                let id = |word: &str| ids.get(word).copied();
                let merge = |(left, right): &(String, String)| {
                    Some(((id(left)?, id(right)?), id(&format!("{left}{right}"))?))
                };
                Some(Merges::new(pairs.iter().map(merge).collect::<Option<Vec<_>>>()?))
            }
        };
        Some(Self { table, rare, merges, pairs: pairs.unwrap_or_default() })
    }

    /// What it splits texts into.
    pub(super) fn kind(&self) -> TokenizerKind {
        if self.merges.is_some() { TokenizerKind::Bpe } else { TokenizerKind::Char }
    }

    fn id(&self, character: char) -> u32 {
        match self.table.get(character as usize) {
            Some(id) => *id,
            None => self.rare.get(&character).copied().unwrap_or(UNKNOWN),
        }
    }

    /// The ids of a text.
    pub(super) fn encode(&self, text: &str) -> Encoded {
        let text = normalized(text);
        let mut ids = Vec::with_capacity(text.len() / 2);
        match &self.merges {
            None => ids.extend(text.chars().map(|character| self.id(character))),
            Some(merges) => {
                let mut scratch = Scratch::default();
                for word in words(&spaced(text)) {
                    let begin = ids.len();
                    ids.extend(word.chars().map(|character| self.id(character)));
                    merges.join(&mut ids, begin, &mut scratch);
                }
            }
        }
        let unknown = ids.iter().filter(|id| **id == UNKNOWN).count();
        Encoded { words: ids.len(), unknown, ids }
    }

    /// A text that is put together of pieces, with spaces where they have marks.
    pub(super) fn spaces(&self, text: &str) -> String {
        match self.kind() {
            TokenizerKind::Bpe => text.replace(SPACE, " ").trim().to_string(),
            _ => text.to_string(),
        }
    }

    /// The rule and its words, where the file says exactly what [`Pieces::json`] would write.
    pub(super) fn parse(json: &Value) -> Option<Fitted> {
        let vocab = json.pointer("/model/vocab")?.as_object()?;
        let mut words = vec![String::new(); vocab.len()];
        for (word, id) in vocab {
            words.get_mut(usize::try_from(id.as_u64()?).ok()?)?.clone_from(word);
        }
        let pairs = json.pointer("/model/merges")?.as_array()?;
        let text = |value: &Value| value.as_str().map(String::from);
        let pair = |pair: &Value| match pair.as_array()?.as_slice() {
            [left, right] => Some((text(left)?, text(right)?)),
            _ => None,
        };
        let pairs = pairs.iter().map(pair).collect::<Option<Vec<_>>>()?;
        let is_bpe = json.get("pre_tokenizer").is_some_and(Value::is_object);
        let pieces = Self::new(&words, (is_bpe || !pairs.is_empty()).then_some(pairs))?;
        (words.len() > SPECIAL.len() && pieces.json(&words) == *json).then_some(Fitted { words, pieces })
    }

    /// The `tokenizer.json`. That of characters is byte-pair encoding without pairs.
    pub(super) fn json(&self, words: &[String]) -> Value {
        let vocab: Map<String, Value> =
            words.iter().zip(0_u32..).map(|(word, id)| (word.clone(), id.into())).collect();
        let (pre_tokenizer, decoder) = match self.kind() {
            TokenizerKind::Bpe => {
                let metaspace = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
                (metaspace.clone(), metaspace)
            }
            _ => (Value::Null, json!({"type": "Fuse"})),
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "NFKC"},
                    {"type": "Lowercase"},
                    {"type": "Replace", "pattern": {"Regex": format!("[{WHITE_SPACE}]+")}, "content": " "},
                    {"type": "Strip", "strip_left": true, "strip_right": true},
                ],
            },
            "pre_tokenizer": pre_tokenizer,
            "post_processor": null,
            "decoder": decoder,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": SPECIAL[UNKNOWN as usize],
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocab,
                "merges": self.pairs,
            },
        })
    }
}

/// A text with the mark of a word's beginning in the place of each space, and before the first word.
fn spaced(text: String) -> String {
    let mut marked = String::with_capacity(text.len() + 16);
    if !text.is_empty() && !text.starts_with([' ', SPACE]) {
        marked.push(SPACE);
    }
    marked.extend(text.chars().map(|character| if character == ' ' { SPACE } else { character }));
    marked
}

/// The words of such a text, each with its mark.
fn words(marked: &str) -> impl Iterator<Item = &str> {
    let mut rest = marked;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let end = rest[first..].find(SPACE).map_or(rest.len(), |at| at + first);
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Counts something in all texts, on all processors.
fn count<K: Eq + std::hash::Hash + Send>(
    texts: &[impl AsRef<str> + Sync],
    add: impl Fn(String, &mut HashMap<K, u64>) + Sync,
) -> HashMap<K, u64> {
    let counted = texts.par_chunks(1024).map(|texts| {
        let mut counts = HashMap::new();
        texts.iter().for_each(|text| add(normalized(text.as_ref()), &mut counts));
        counts
    });
    counted.reduce(HashMap::new, |a, b| {
        let (mut all, other) = if a.len() < b.len() { (b, a) } else { (a, b) };
        other.into_iter().for_each(|(key, count)| *all.entry(key).or_default() += count);
        all
    })
}

/// The characters that come twice or more, or all where none does, the most frequent first.
fn characters(counts: &HashMap<char, u64>) -> Result<Vec<char>> {
    if counts.is_empty() {
        return Err(Error::Data("the texts have no characters".into()));
    }
    let least = if counts.values().any(|&count| count > 1) { 2 } else { 1 };
    let mut kept: Vec<(char, u64)> = counts
        .iter()
        .map(|(&character, &count)| (character, count))
        .filter(|&(_, count)| count >= least)
        .collect();
    kept.sort_unstable_by_key(|&(character, count)| (Reverse(count), character));
    Ok(kept.into_iter().map(|(character, _)| character).collect())
}
