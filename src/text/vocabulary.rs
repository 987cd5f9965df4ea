//! Words by rank: the whole vocabulary of a data set, of which a [`Tokenizer`] keeps the head.

use std::collections::HashMap;
use std::path::Path;

use super::{INDEX_FROM, Tokenizer, clean, words};
use crate::formats::read_text;
use crate::json;
use crate::{Error, Result};

/// All words of a data set with their ranks, 1 for the most frequent.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    ranks: HashMap<String, u32>,
    /// The words that were counted more than once.
    repeated: usize,
}

impl Vocabulary {
    /// Counts the words of `texts` by Keras's rule: the more frequent first, of equally frequent ones the one that came
    /// first (`Tokenizer.fit_on_texts`).
    pub fn from_texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut counts: HashMap<String, (u64, usize)> = HashMap::new();
        for text in texts {
            for word in words(&clean(text.as_ref())) {
                match counts.get_mut(word) {
                    Some((count, _)) => *count += 1,
                    None => {
                        let first = counts.len();
                        counts.insert(word.into(), (1, first));
                    }
                }
            }
        }
        let mut counted: Vec<_> = counts.into_iter().collect();
        counted.sort_unstable_by_key(|&(_, (count, first))| (std::cmp::Reverse(count), first));
        let repeated = counted.partition_point(|&(_, (count, _))| count > 1);
        let ranks = counted.into_iter().zip(1..).map(|((word, _), rank)| (word, rank)).collect();
        Self { ranks, repeated }
    }

    /// Reads Keras's `imdb_word_index.json`: one object, word to rank.
    ///
    /// # Errors
    /// [`Error::File`] where the file is missing or holds something else.
    pub fn from_word_index_json(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ranks: HashMap<String, u32> = json::from_str(&read_text(path)?).map_err(|what| {
            Error::file(path, format!("not a word index, an object that gives each word's rank ({what})"))
        })?;
        let mut seen: Vec<u32> = ranks.values().copied().collect();
        seen.sort_unstable();
        if seen.is_empty() || seen[0] == 0 || seen.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::file(path, "not a word index: ranks must differ and count from 1"));
        }
        let repeated = ranks.len();
        Ok(Self { ranks, repeated })
    }

    /// Whether these are the words of Keras's IMDB as Keras ships them, by their number and some of them.
    pub fn is_imdb(&self) -> bool {
        let of_imdb = [("the", 1), ("br", 7), ("fawn", 34_701)];
        self.len() == 88_584 && of_imdb.iter().all(|&(word, rank)| self.rank(word) == Some(rank))
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.ranks.len()
    }

    /// The number of words that come more than once, as far as they were counted; they have the first ranks.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// A word's rank, 1 for the most frequent.
    pub fn rank(&self, word: &str) -> Option<u32> {
        self.ranks.get(word).copied()
    }

    /// The tokenizer of the words whose ids are below `vocab_size`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `vocab_size` below 4, or where a rank among these words is missing.
    pub fn tokenizer(&self, vocab_size: usize) -> Result<Tokenizer> {
        let mut ranked: Vec<(u32, &str)> = self
            .ranks
            .iter()
            .filter(|&(_, &rank)| (rank.saturating_add(INDEX_FROM) as usize) < vocab_size)
            .map(|(word, &rank)| (rank, word.as_str()))
            .collect();
        ranked.sort_unstable();
        if let Some((at, _)) = (1..).zip(&ranked).find(|&(expected, &(rank, _))| rank != expected) {
            return Err(Error::argument("vocabulary", format!("no word has rank {at}")));
        }
        Tokenizer::from_words(ranked.into_iter().map(|(_, word)| word), vocab_size)
    }
}
