//! What `StringLookup`, `IntegerLookup` and `TextVectorization` share: tokens to indices and back
//! (`keras/src/layers/preprocessing/index_lookup.py`).

use super::encode::OutputMode;
use super::hash::{Salt, bucket};
use crate::layers::shape::Checked;
use candle_core::{Result, bail};
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

/// A text or a whole number.
pub(super) trait Token: Clone + Debug + Eq + Hash {
    /// As TensorFlow prints it, to be hashed.
    fn text(&self) -> std::borrow::Cow<'_, str>;
}

impl Token for String {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        self.as_str().into()
    }
}

impl Token for i64 {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        self.to_string().into()
    }
}

/// How tokens that are not in the vocabulary find their index among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Buckets {
    /// The number's remainder.
    Remainder,
    /// A hash of the token.
    Hash(Option<Salt>),
}

/// The arguments that all of these layers have.
pub(super) struct Arguments<'a, T> {
    pub vocabulary: Option<&'a [T]>,
    pub idf_weights: Option<&'a [f32]>,
    pub max_tokens: Option<usize>,
    pub num_oov_indices: usize,
    pub mask_token: Option<&'a T>,
    pub oov_token: Option<&'a T>,
    pub output_mode: OutputMode,
    pub pad_to_max_tokens: bool,
    pub invert: bool,
    pub buckets: Buckets,
}

const MISSING: &str = "its vocabulary is missing";

/// The most tokens, and indices for unknown ones; more are a mistake.
const MOST: usize = 1 << 24;

impl<'a, T: Token> Arguments<'a, T> {
    /// The index of the first unknown token.
    fn oov_start(&self) -> usize {
        usize::from(self.mask_token.is_some() && self.output_mode == OutputMode::Int)
    }

    /// The index of the first token.
    fn start(&self) -> usize {
        self.oov_start() + self.num_oov_indices
    }

    /// The vocabulary without the special tokens that may stand before it.
    fn tokens(&self) -> Option<&'a [T]> {
        let vocabulary = self.vocabulary?;
        let oov = std::iter::repeat_n(self.oov_token, self.num_oov_indices);
        let special = std::iter::repeat_n(self.mask_token, self.oov_start()).chain(oov);
        let start = self.start();
        let found = vocabulary.len() >= start && special.zip(vocabulary).all(|(a, b)| a == Some(b));
        if found { vocabulary.get(start..) } else { Some(vocabulary) }
    }

    /// The length of what a sample becomes; none where it is not known.
    pub fn depth(&self) -> Option<usize> {
        match self.max_tokens {
            Some(most) if self.pad_to_max_tokens => Some(most),
            _ => self.tokens().map(|tokens| self.start() + tokens.len()),
        }
    }

    /// Checks the arguments.
    pub fn check(&self) -> Checked<()> {
        if self.num_oov_indices > MOST {
            return Err(format!("num_oov_indices must be at most {MOST}"));
        }
        if self.max_tokens.is_some_and(|most| most <= 1) {
            return Err("max_tokens must be more than 1".into());
        }
        if self.max_tokens.is_some_and(|most| most > MOST) {
            return Err(format!("max_tokens must be at most {MOST}"));
        }
        if self.pad_to_max_tokens && self.max_tokens.is_none() {
            return Err("pad_to_max_tokens needs max_tokens".into());
        }
        if self.invert && self.output_mode != OutputMode::Int {
            return Err("with invert, output_mode must be int".into());
        }
        if self.idf_weights.is_some() && self.output_mode != OutputMode::TfIdf {
            return Err("idf_weights go with output_mode `tf_idf` only".into());
        }
        let Some(tokens) = self.tokens() else { return Ok(()) };
        if tokens.is_empty() {
            return Err("its vocabulary is empty".into());
        }
        if self.max_tokens.is_some_and(|most| self.start() + tokens.len() > most) {
            let (most, found) = (self.max_tokens.unwrap_or(0), self.start() + tokens.len());
            return Err(format!("its vocabulary comes to {found} tokens, more than max_tokens, {most}"));
        }
        Ok(())
    }

    /// A weight for each place, where words are weighted.
    pub fn place_weights(&self) -> Checked<Option<Vec<f32>>> {
        if self.output_mode != OutputMode::TfIdf {
            return Ok(None);
        }
        let tokens = self.tokens().ok_or(MISSING)?;
        self.idf(tokens.len()).map(Some).ok_or_else(|| "its idf_weights do not fit its vocabulary".into())
    }

    /// The table, for layers that run.
    pub fn table(&self) -> Checked<Table<T>> {
        self.check()?;
        let tokens = self.tokens().ok_or(MISSING)?;
        let start = self.start();
        let mut indices = HashMap::with_capacity(tokens.len());
        for (token, index) in tokens.iter().zip(start as i64..) {
            if indices.insert(token.clone(), index).is_some() {
                return Err(format!("its vocabulary has {token:?} twice"));
            }
        }
        if self.mask_token.is_some_and(|mask| indices.contains_key(mask)) {
            return Err("its vocabulary has the mask_token among the words".into());
        }
        let idf = self.place_weights()?;
        Ok(Table {
            tokens: if self.invert { tokens.to_vec() } else { vec![] },
            indices: if self.invert { HashMap::new() } else { indices },
            mask: self.mask_token.cloned(),
            oov: self.oov_token.cloned(),
            oov_start: self.oov_start() as i64,
            num_oov: self.num_oov_indices,
            buckets: self.buckets,
            mode: self.output_mode,
            depth: self.depth().ok_or(MISSING)?,
            idf,
        })
    }

    /// A weight for each place: those given, before them the mean for unknown tokens, after them zeros.
    fn idf(&self, tokens: usize) -> Option<Vec<f32>> {
        let (given, depth) = (self.idf_weights?, self.depth()?);
        let front = if given.len() == tokens { self.start() } else { 0 };
        // What Keras writes may already have the zeros at its end.
        if front + given.len() != self.start() + tokens && given.len() != depth {
            return None;
        }
        let mean = given.iter().map(|&weight| f64::from(weight)).sum::<f64>() / given.len().max(1) as f64;
        let mut weights = vec![mean as f32; front];
        weights.extend_from_slice(given);
        weights.resize(depth, 0.0);
        Some(weights)
    }
}

/// Tokens and their indices.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    indices: HashMap<T, i64>,
    tokens: Vec<T>,
    mask: Option<T>,
    oov: Option<T>,
    oov_start: i64,
    num_oov: usize,
    buckets: Buckets,
    pub mode: OutputMode,
    pub depth: usize,
    pub idf: Option<Vec<f32>>,
}

impl<T: Token> Table<T> {
    /// The index of a token. What is masked gets one that counts nowhere, unless the indices themselves are asked for.
    pub fn index(&self, token: &T) -> Result<i64> {
        if self.mask.as_ref() == Some(token) {
            return Ok(if self.mode == OutputMode::Int { 0 } else { i64::MAX });
        }
        if let Some(&index) = self.indices.get(token) {
            return Ok(index);
        }
        let bucket = match (self.num_oov, self.buckets) {
            (0, _) => bail!("{token:?} is not in its vocabulary, and num_oov_indices is 0"),
            (1, _) => 0,
            (count, Buckets::Hash(salt)) => bucket(&token.text(), salt, count),
            (count, Buckets::Remainder) => match token.text().parse::<i64>() {
                Ok(number) => number.rem_euclid(count as i64),
                Err(_) => bail!("{token:?} is no whole number"),
            },
        };
        Ok(self.oov_start + bucket)
    }

    /// Whether an index that [`Table::index`] gave is that of an unknown token.
    pub fn is_unknown(&self, index: i64) -> bool {
        (self.oov_start..self.oov_start + self.num_oov as i64).contains(&index)
    }

    /// The token of an index.
    pub fn token(&self, index: i64) -> Result<T> {
        if let (0, Some(mask)) = (index, &self.mask) {
            return Ok(mask.clone());
        }
        let place = index.checked_sub(self.oov_start + self.num_oov as i64);
        let token = place.and_then(|place| self.tokens.get(usize::try_from(place).ok()?));
        match token.or(self.oov.as_ref()) {
            Some(token) => Ok(token.clone()),
            None => bail!("{index} is the index of no token, and there is no oov_token"),
        }
    }
}
