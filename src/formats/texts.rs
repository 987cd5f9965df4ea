//! Arrays of texts that stay where they are, in a mapped file or in memory, until they are asked for.

use super::gathered::Gathered;
use super::stored::Bytes;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// An array of texts, of which those in memory are those that were asked for. A clone shares them.
///
/// What is said of a [`StoredArray`](super::StoredArray)'s file holds for this one's too.
#[derive(Clone, Debug)]
pub struct StoredTexts {
    content: Bytes,
    places: Places,
    shape: Vec<usize>,
}

/// Where texts stand.
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// One after the other, so many characters of 32 bits each.
    Characters { width: usize, is_big_endian: bool },
    /// One after the other, so many bytes of UTF-8 each.
    Utf8 { width: usize },
    /// One after the other in UTF-8, with the place where each of them ends.
    Ends(Bytes),
}

/// The bytes of a place among others.
const PLACE: usize = size_of::<u64>();

impl StoredTexts {
    /// Texts that stand so, in this shape; nothing where they do not fill it.
    pub(super) fn new(content: Bytes, places: Places, shape: Vec<usize>) -> Option<Self> {
        let count = shape.iter().try_fold(1_usize, |count, &axis| count.checked_mul(axis))?;
        (count.checked_mul(places.size()?)? == content.get().len()).then_some(Self { content, places, shape })
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same texts in another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Self> {
        let count = |shape: &[usize]| shape.iter().try_fold(1_usize, |count, &axis| count.checked_mul(axis));
        match count(&shape) == count(&self.shape) {
            true => Ok(Self { shape, ..self.clone() }),
            false => Err(Error::Data(format!("texts of shape {:?} have no shape {shape:?}", self.shape))),
        }
    }

    /// These texts, counted in C's order.
    ///
    /// # Errors
    /// [`Error::Data`] for texts that are not there or are not Unicode.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<String>> {
        let text = |at: usize| {
            let bytes = self.place(at).and_then(|place| self.content.get().get(place));
            let bytes = bytes.ok_or_else(|| Error::Data(format!("there is no text {at}")))?;
            self.text(bytes).ok_or_else(|| Error::Data(format!("text {at} is not Unicode")))
        };
        let texts = range.clone().map(text).collect::<Result<_>>()?;
        self.pass(range);
        Ok(texts)
    }

    /// Where the bytes of a text stand.
    fn place(&self, at: usize) -> Option<Range<usize>> {
        match &self.places {
            Places::Ends(ends) => {
                let end = |at: usize| {
                    let end = ends.get().as_chunks::<PLACE>().0.get(at)?;
                    usize::try_from(u64::from_le_bytes(*end)).ok()
                };
                let begin = if at == 0 { Some(0) } else { end(at - 1) };
                Some(begin?..end(at)?)
            }
            places => {
                let begin = at.checked_mul(places.size()?)?;
                Some(begin..begin.checked_add(places.size()?)?)
            }
        }
    }

    /// The text of these bytes.
    fn text(&self, bytes: &[u8]) -> Option<String> {
        match self.places {
            Places::Characters { is_big_endian, .. } => {
                let character = |&unit: &[u8; 4]| {
                    char::from_u32(match is_big_endian {
                        true => u32::from_be_bytes(unit),
                        false => u32::from_le_bytes(unit),
                    })
                };
                let text: Option<String> = bytes.as_chunks::<4>().0.iter().map(character).collect();
                Some(text?.trim_end_matches('\0').to_string())
            }
            Places::Utf8 { .. } => Some(std::str::from_utf8(bytes).ok()?.trim_end_matches('\0').to_string()),
            Places::Ends(_) => String::from_utf8(bytes.to_vec()).ok(),
        }
    }

    /// Says that one who reads the texts in order is done with these.
    fn pass(&self, range: Range<usize>) {
        if let Some(last) = range.end.checked_sub(1)
            && let (Some(from), Some(to)) = (self.place(range.start), self.place(last))
        {
            self.content.pass(from.start..to.end);
            if let Places::Ends(ends) = &self.places {
                ends.pass(range.start * PLACE..range.end * PLACE);
            }
        }
    }
}

impl Places {
    /// The bytes of a text, where all have the same number.
    fn size(&self) -> Option<usize> {
        match self {
            Self::Characters { width, .. } => width.checked_mul(4),
            Self::Utf8 { width } => Some(*width),
            Self::Ends(_) => None,
        }
    }
}

/// Texts that come one after the other.
pub(super) struct Gathering<'a> {
    texts: Gathered<'a>,
    ends: Gathered<'a>,
}

impl<'a> Gathering<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self { texts: Gathered::new(path), ends: Gathered::new(path) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.length() / PLACE
    }

    pub fn push(&mut self, text: &str) -> Result<()> {
        self.texts.push(text.as_bytes())?;
        self.ends.push(&(self.texts.length() as u64).to_le_bytes())
    }

    /// The array of all of them, with one axis.
    pub fn finish(self) -> Result<StoredTexts> {
        let shape = vec![self.count()];
        Ok(StoredTexts { content: self.texts.finish()?, places: Places::Ends(self.ends.finish()?), shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_where_they_stand() -> Result<()> {
        let mut gathering = Gathering::new(Path::new("x.csv"));
        for text in ["one", "", "three 가"] {
            gathering.push(text)?;
        }
        let texts = gathering.finish()?;
        assert_eq!(texts.shape(), [3]);
        assert_eq!(texts.read(0..3)?, ["one", "", "three 가"]);
        assert_eq!(texts.read(1..3)?, ["", "three 가"]);
        assert!(texts.read(2..2)?.is_empty());
        let what = texts.read(2..4).expect_err("refused").to_string();
        assert!(what.ends_with("there is no text 3"), "{what}");
        Ok(())
    }
}
