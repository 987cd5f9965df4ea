//! Keras's `TextVectorization` (`keras/src/layers/preprocessing/text_vectorization.py`).

use super::encode::OutputMode;
use super::index_lookup::{Arguments, Buckets, Table};
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, show, single};
use crate::layers::texts::Texts;
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`TextVectorization`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextVectorizationConfig {
    /// The words in the order of their ids, with or without the special ones before them. A layer without them can be
    /// looked at, not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
    /// The most words, the special ones counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// What is done to a text first; none for nothing.
    #[serde(default = "both")]
    pub standardize: Option<Standardize>,
    /// Where a text is split; none where it is one word.
    #[serde(default = "whitespace")]
    pub split: Option<Split>,
    /// Words in a row that are words as well; none for single words alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ngrams: Option<Widths>,
    /// How the ids leave the layer.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// The ids of a text; none for as many as the longest of the batch has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_sequence_length: Option<usize>,
    /// Weights of the words for `tf_idf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idf_weights: Option<Vec<f32>>,
    /// Vectors as long as `max_tokens`.
    #[serde(default)]
    pub pad_to_max_tokens: bool,
}

/// What is done to a text first, by Keras's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardize {
    /// `A` to `Z` in lower case. Other letters stay, as in TensorFlow.
    Lower,
    /// Punctuation, that of ASCII, taken out.
    StripPunctuation,
    /// Both.
    LowerAndStripPunctuation,
}

/// Where a text is split, by Keras's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// At white space, that of ASCII.
    Whitespace,
    /// Into characters.
    Character,
}

/// The number of words in a row: up to so many, or just these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or a list of them")]
pub enum Widths {
    /// From 1 to this.
    UpTo(usize),
    /// Each of these.
    Each(Vec<usize>),
}

impl Widths {
    /// The most words in a row, and the most widths; more are a mistake.
    const MOST: usize = 64;

    fn list(&self) -> Vec<usize> {
        match self {
            Self::UpTo(most) => (1..=*most).collect(),
            Self::Each(widths) => widths.clone(),
        }
    }

    fn check(&self) -> Checked<()> {
        let fits = match self {
            Self::UpTo(most) => (1..=Self::MOST).contains(most),
            Self::Each(widths) => {
                (1..=Self::MOST).contains(&widths.len())
                    && widths.iter().all(|w| (1..=Self::MOST).contains(w))
            }
        };
        if fits { Ok(()) } else { Err(format!("ngrams must be from 1 to {}", Self::MOST)) }
    }
}

fn both() -> Option<Standardize> {
    Some(Standardize::LowerAndStripPunctuation)
}

fn whitespace() -> Option<Split> {
    Some(Split::Whitespace)
}

/// What `strip_punctuation` takes out.
const PUNCTUATION: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'";

impl TextVectorizationConfig {
    /// The `tf_idf` weight of each place of what it gives; none in other modes.
    ///
    /// # Errors
    /// If the weights do not fit the vocabulary.
    pub(crate) fn place_weights(&self) -> Checked<Option<Vec<f32>>> {
        self.arguments(&Self::special()).place_weights()
    }

    fn arguments<'a>(&'a self, special: &'a [String; 2]) -> Arguments<'a, String> {
        let [mask, oov] = special;
        Arguments {
            vocabulary: self.vocabulary.as_deref(),
            idf_weights: self.idf_weights.as_deref(),
            max_tokens: self.max_tokens,
            num_oov_indices: 1,
            mask_token: Some(mask),
            oov_token: Some(oov),
            output_mode: self.output_mode,
            pad_to_max_tokens: self.pad_to_max_tokens,
            invert: false,
            buckets: Buckets::Hash(None),
        }
    }

    fn special() -> [String; 2] {
        [String::new(), "[UNK]".into()]
    }

    /// The text after `standardize`.
    fn standardized(&self, text: &str) -> String {
        let (lower, strip) = match self.standardize {
            None => return text.into(),
            Some(Standardize::Lower) => (true, false),
            Some(Standardize::StripPunctuation) => (false, true),
            Some(Standardize::LowerAndStripPunctuation) => (true, true),
        };
        let kept = text.chars().filter(|c| !strip || !PUNCTUATION.contains(*c));
        kept.map(|c| if lower { c.to_ascii_lowercase() } else { c }).collect()
    }

    /// The words of one text.
    fn words(&self, text: &str) -> Vec<String> {
        let text = self.standardized(text);
        match self.split {
            // All that C calls a space; Rust's own list leaves the vertical tab out.
            Some(Split::Whitespace) => {
                let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
                text.split(is_space).filter(|word| !word.is_empty()).map(String::from).collect()
            }
            Some(Split::Character) => text.chars().map(String::from).collect(),
            None => vec![text],
        }
    }

    /// Words in a row, after each other by their number.
    fn grams(&self, words: Vec<String>) -> Vec<String> {
        let Some(widths) = &self.ngrams else { return words };
        let of_width = |width: usize| words.windows(width.max(1)).map(|words| words.join(" "));
        widths.list().into_iter().flat_map(of_width).collect()
    }
}

impl Config for TextVectorizationConfig {
    fn check(&self) -> Checked<()> {
        if let Some(widths) = &self.ngrams {
            widths.check()?;
        }
        match (self.output_mode, self.output_sequence_length) {
            (OutputMode::OneHot, _) => {
                return Err("output_mode must be int, multi_hot, count or tf_idf".into());
            }
            (OutputMode::Int, Some(0)) => return Err("output_sequence_length must be at least 1".into()),
            (OutputMode::Int, _) | (_, None) => {}
            (_, Some(_)) => {
                return Err("output_sequence_length goes with output_mode `int` only".into());
            }
        }
        self.arguments(&Self::special()).check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let (batch, columns) = match (self.split, input.as_slice()) {
            (Some(_), [batch] | [batch, Some(1)]) => (*batch, None),
            (None, [batch, columns]) => (*batch, *columns),
            _ => return Err(format!("reads one text a sample, given {}", show(input))),
        };
        let length = match (self.split, &self.ngrams) {
            (None, None) => self.output_sequence_length.or(columns),
            _ => self.output_sequence_length,
        };
        if self.output_mode == OutputMode::Int {
            return Ok(Placed::one(vec![batch, length]));
        }
        let depth = self.arguments(&Self::special()).depth();
        Ok(Placed::one(self.output_mode.place(&[batch, None], depth)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(TextVectorization::new(self.clone(), vb)?))
    }

    fn first_input(&self) -> Option<Shape> {
        Some(vec![None, Some(1)])
    }
}

/// Texts to ids, or to vectors that count their words.
#[derive(Clone, Debug)]
pub struct TextVectorization {
    config: TextVectorizationConfig,
    table: Table<String>,
    device: Device,
}

impl TextVectorization {
    /// The layer. It has no variables; messages name it by the prefix of `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or there is no vocabulary.
    pub fn new(config: TextVectorizationConfig, vb: VarBuilder) -> Result<Self> {
        let table =
            config.check().and_then(|()| config.arguments(&TextVectorizationConfig::special()).table());
        match table {
            Ok(table) => Ok(Self { config, table, device: vb.device().clone() }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &TextVectorizationConfig {
        &self.config
    }

    /// Texts (batch) or (batch, 1) to ids (batch, length), i64, or to vectors (batch, words).
    ///
    /// # Errors
    /// If the shape is another, or no text of the batch has a word and the length is not given.
    pub fn call(&self, texts: &Texts) -> Result<Tensor> {
        let config = &self.config;
        let (rows, columns) = match (config.split, texts.dims()) {
            (Some(_), [rows] | [rows, 1]) => (*rows, 1),
            (None, [rows, columns]) => (*rows, *columns),
            (_, dims) => bail!("reads one text a sample, given texts in the shape {dims:?}"),
        };
        let mut ids = Vec::with_capacity(rows);
        for row in texts.values().chunks(columns.max(1)) {
            let words = row.iter().flat_map(|text| config.words(text)).collect();
            let words = config.grams(words);
            ids.push(words.iter().map(|word| self.table.index(word)).collect::<Result<Vec<i64>>>()?);
        }
        let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
        let Table { mode, depth, idf, .. } = &self.table;
        let width = match (mode, config.output_sequence_length) {
            (OutputMode::Int, Some(length)) => length,
            (OutputMode::Int, None) if longest == 0 => {
                bail!("no text of the batch has a word, and output_sequence_length is not set")
            }
            // What is counted needs a place at least.
            _ => longest.max(1),
        };
        check_numbers(&[rows, width])?;
        // Beyond every vocabulary: it counts nowhere.
        let pad = if *mode == OutputMode::Int { 0 } else { i64::MAX };
        let mut table = vec![pad; rows * width];
        for (out, row) in table.chunks_exact_mut(width).zip(&ids) {
            out.iter_mut().zip(row).for_each(|(out, &id)| *out = id);
        }
        mode.encode(table, &[rows, width], *depth, None, idf.as_deref(), &self.device)
    }

    /// The words of a text, and how many of them are unknown.
    ///
    /// # Errors
    /// None; as the layer's call.
    pub fn unknown(&self, text: &str) -> Result<(usize, usize)> {
        let words = self.config.grams(self.config.words(text));
        let unknown = words.iter().map(|word| Ok(self.table.is_unknown(self.table.index(word)?)));
        let unknown = unknown.collect::<Result<Vec<bool>>>()?;
        Ok((words.len(), unknown.into_iter().filter(|unknown| *unknown).count()))
    }
}

impl Layer for TextVectorization {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.call(first(inputs)?.values.texts()?)?.into()])
    }
}
