//! From text to token ids, as Keras's IMDB data set does it: cleaning, vocabulary, `tokenizer.json`, padding.

mod tokenizer;
mod vocabulary;

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
    cleaned.split(' ').filter(|word| !word.is_empty())
}

/// Keras's `pad_sequences(maxlen=max_len)`: a table (rows × `max_len`, row-major) with zeros before short rows, and of
/// long rows the end.
pub fn pad_sequences<R: AsRef<[u32]>>(rows: &[R], max_len: usize) -> Vec<u32> {
    let mut ids = Vec::with_capacity(rows.len() * max_len);
    for row in rows {
        let row = row.as_ref();
        let kept = &row[row.len().saturating_sub(max_len)..];
        ids.resize(ids.len() + max_len - kept.len(), PAD);
        ids.extend_from_slice(kept);
    }
    ids
}
