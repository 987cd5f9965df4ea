//! From text to token ids: words as in Keras's IMDB data set, characters, or pieces of words; `tokenizer.json`, padding.

mod byte_pairs;
mod keras;
mod kind;
mod normal;
mod padding;
mod pieces;
mod tokenizer;
mod vocabulary;

pub use keras::Encoded;
pub use kind::TokenizerKind;
pub use padding::{Padding, Side, pad_sequences, pad_sequences_with};
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;

/// What Keras's cleaning turns into spaces (`keras.preprocessing.text.Tokenizer`, `filters`). Apostrophes stay.
pub const FILTERS: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";

/// The id of padding.
pub const PAD: u32 = 0;
/// The id that begins every text.
pub const START: u32 = 1;
/// The id of a word outside the vocabulary.
pub const UNKNOWN: u32 = 2;
/// What is added to a word's rank (1 for the most frequent) to give its id.
pub const INDEX_FROM: u32 = 3;

/// Whether Keras's cleaning puts a space in the place of `character`.
fn is_filtered(character: char) -> bool {
    character == ' ' || (character.is_ascii() && FILTERS.as_bytes().contains(&(character as u8)))
}

/// Keras's cleaning: lower case (character by character), each of [`FILTERS`] a space.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if is_filtered(character) {
            cleaned.push(' ');
        } else if character.is_ascii() {
            cleaned.push(character.to_ascii_lowercase());
        } else {
            cleaned.extend(character.to_lowercase());
        }
    }
    cleaned
}

/// The words of a text that [`clean`] made: what stands between spaces.
pub fn words(cleaned: &str) -> impl Iterator<Item = &str> {
    let mut rest = cleaned;
    // A loop over the bytes, for words are too short for a search that has to get ready first.
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(' ');
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}
