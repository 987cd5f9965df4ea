//! The kinds of tokenizers that are fitted to texts.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What a text is split into by a tokenizer that is made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// Words, cleaned as Keras does it: 0 pads, 1 begins a text, 2 is unknown, 3 is free.
    #[default]
    Word,
    /// Characters: 0 pads, 1 is unknown.
    Char,
    /// Pieces of words, by byte-pair encoding: 0 pads, 1 is unknown.
    Bpe,
}

impl TokenizerKind {
    /// The number of ids where nobody says it, at most: 20,004 for words, 5,002 for characters, 8,000 for pieces of words.
    pub fn most(self) -> usize {
        match self {
            Self::Word => 20_004,
            Self::Char => 5_002,
            Self::Bpe => 8_000,
        }
    }

    /// The ids that stand for nothing in a text.
    pub fn special(self) -> usize {
        match self {
            Self::Word => 4,
            Self::Char | Self::Bpe => 2,
        }
    }

    /// What it splits texts into, in the plural.
    pub fn units(self) -> &'static str {
        match self {
            Self::Word => "words",
            Self::Char => "characters",
            Self::Bpe => "pieces of words",
        }
    }
}

impl FromStr for TokenizerKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "word" => Ok(Self::Word),
            "char" => Ok(Self::Char),
            "bpe" => Ok(Self::Bpe),
            _ => Err("give word, char or bpe".into()),
        }
    }
}
