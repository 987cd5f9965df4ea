//! What becomes of a text before it is split into characters or pieces of words.

use unicode_normalization_alignments::UnicodeNormalization;

/// The white space that NFKC leaves as it is; all other white space it makes a space.
pub(super) const WHITE_SPACE: &str = "\t\n\u{b}\u{c}\r \u{85}\u{1680}\u{2028}\u{2029}";

/// Unicode's NFKC, lower case (character by character), one space for each run of white space, and none at the ends: what
/// the steps NFKC, Lowercase, Replace and Strip of Hugging Face's `tokenizers` make of it.
pub(super) fn normalized(text: &str) -> String {
    let mut clean = Cleaned { text: String::with_capacity(text.len()), space: false };
    if text.chars().all(is_plain) {
        text.chars().for_each(|character| clean.push(character));
    } else {
        text.nfkc().for_each(|(character, _)| clean.push(character));
    }
    clean.text
}

/// Whether NFKC leaves a character as it is, whatever plain ones stand beside it: ASCII, syllables of Korean, kana,
/// the common ideographs, and some marks.
fn is_plain(character: char) -> bool {
    matches!(character,
        '\0'..='\x7f' | '\u{ac00}'..='\u{d7a3}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}' | '\u{4e00}'..='\u{9fff}' | '\u{3001}' | '\u{3002}' | '\u{2018}' | '\u{2019}'
        | '\u{201c}' | '\u{201d}')
}

/// A text as it grows.
struct Cleaned {
    text: String,
    /// Whether white space came after the last character.
    space: bool,
}

impl Cleaned {
    fn push(&mut self, character: char) {
        if character.is_whitespace() {
            self.space = true;
            return;
        }
        if std::mem::take(&mut self.space) && !self.text.is_empty() {
            self.text.push(' ');
        }
        match character.is_ascii() {
            true => self.text.push(character.to_ascii_lowercase()),
            false => self.text.extend(character.to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The set of plain characters is what it says, alone and beside each other.
    #[test]
    fn plain_characters_stay() {
        let plain: Vec<char> = ('\0'..=char::MAX).filter(|&character| is_plain(character)).collect();
        assert_eq!(plain.iter().copied().nfkc().map(|(c, _)| c).collect::<Vec<_>>(), plain);
        let backwards: Vec<char> = plain.iter().rev().copied().collect();
        assert_eq!(backwards.iter().copied().nfkc().map(|(c, _)| c).collect::<Vec<_>>(), backwards);
    }

    #[test]
    fn white_space_is_one_space_between_words() {
        assert_eq!(normalized(" \tＡ\u{a0}B\r\n\u{3000}ㅋ\u{2028} "), "a b \u{110f}");
        assert_eq!(normalized("재미\n있는  영화\n"), "재미 있는 영화");
        assert_eq!(normalized(" \n"), "");
    }

    /// The white space that is left after NFKC, and nothing else.
    #[test]
    fn all_white_space_is_listed() {
        for character in ('\0'..=char::MAX).filter(|character| character.is_whitespace()) {
            for (left, _) in std::iter::once(character).nfkc() {
                assert!(WHITE_SPACE.contains(left), "{character:?}");
            }
        }
        assert!(WHITE_SPACE.chars().all(char::is_whitespace));
    }
}
