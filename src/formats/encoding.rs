//! The encodings that files of text come in, found out from their bytes.

use encoding_rs::{EUC_KR, UTF_8, UTF_16BE, UTF_16LE};
use std::str::FromStr;

/// An encoding of text, by one of the names that the web has for it: `cp949`, `shift_jis`, `latin1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = match text.to_ascii_lowercase().as_str() {
            // Python's names.
            "cp949" | "uhc" => Some(EUC_KR),
            other => encoding_rs::Encoding::for_label(other.as_bytes())
                .or_else(|| encoding_rs::Encoding::for_label(other.replace('_', "-").as_bytes())),
        };
        let found = known.map(Self);
        found.ok_or_else(|| {
            "give the name of an encoding, such as utf-8, cp949, shift_jis, gb18030 or latin1".into()
        })
    }
}

/// A file's text and the name of its encoding. It is the one that is named, or found out: UTF-8 or UTF-16 by the mark at the beginning, UTF-16 without a mark by its
/// zeros, UTF-8, CP949 (which holds EUC-KR).
///
/// # Errors
/// In words: what is none of these, with the line.
pub(super) fn decode(bytes: Vec<u8>, named: Option<Encoding>) -> Result<(String, &'static str), String> {
    if let Some(Encoding(encoding)) = named {
        let mark =
            encoding_rs::Encoding::for_bom(&bytes).filter(|(of, _)| *of == encoding).map_or(0, |it| it.1);
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..]);
        let text = text.ok_or_else(|| format!("is not {} throughout", encoding.name()))?;
        return Ok((text.into_owned(), encoding.name()));
    }
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(&bytes) {
        let name = name(encoding);
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..]);
        let wrong = || match encoding == UTF_8 {
            true => format!("{} is not UTF-8, as the mark at the file's beginning says", line(&bytes)),
            false => format!("begins as {name} text, and is not throughout"),
        };
        return Ok((text.ok_or_else(wrong)?.into_owned(), name));
    }
    if let Some(encoding) = without_mark(&bytes)
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(&bytes)
    {
        return Ok((text.into_owned(), name(encoding)));
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok((text, "UTF-8")),
        Err(error) => error.into_bytes(),
    };
    match EUC_KR.decode_without_bom_handling_and_without_replacement(&bytes) {
        Some(text) if is_korean(&bytes) => Ok((text.into_owned(), "CP949")),
        _ => Err(format!(
            "{} is not UTF-8, and the file is no UTF-16 or CP949 (EUC-KR) text either; save it as UTF-8",
            line(&bytes)
        )),
    }
}

fn name(encoding: &'static encoding_rs::Encoding) -> &'static str {
    match encoding {
        it if it == UTF_16LE || it == UTF_16BE => "UTF-16",
        _ => "UTF-8",
    }
}

/// UTF-16, where every tenth character or more is of ASCII: its zeros stand on one side of the pairs only.
fn without_mark(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let sample = &bytes[..bytes.len().min(1 << 16)];
    let zeros = |side: usize| sample.chunks_exact(2).filter(|pair| pair[side] == 0).count();
    let least = sample.len().div_ceil(20).max(1);
    match (zeros(0), zeros(1)) {
        (0, zeros) if zeros >= least => Some(UTF_16LE),
        (zeros, 0) if zeros >= least => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether most characters beyond ASCII are the common syllables of Korean, two bytes from 0xA1 on. In Western encodings
/// such bytes stand among letters.
fn is_korean(bytes: &[u8]) -> bool {
    let (mut common, mut others, mut at) = (0_usize, 0_usize, 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (..0x80, _) => at += 1,
            (0xa1.., Some(0xa1..)) => (common, at) = (common + 1, at + 2),
            _ => (others, at) = (others + 1, at + 2),
        }
    }
    common > 3 * others
}

/// `line 7`: where UTF-8 ends.
fn line(bytes: &[u8]) -> String {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    format!("line {}", bytes[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        let text = "document,label\n재미있는 영화 good,1\n";
        let utf16 = |big: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        let marked = |mark: &[u8], rest: Vec<u8>| [mark.to_vec(), rest].concat();
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), "UTF-8"),
            (marked(b"\xef\xbb\xbf", text.into()), "UTF-8"),
            (marked(b"\xff\xfe", utf16(false)), "UTF-16"),
            (marked(b"\xfe\xff", utf16(true)), "UTF-16"),
            (utf16(false), "UTF-16"),
            (utf16(true), "UTF-16"),
            (EUC_KR.encode(text).0.into_owned(), "CP949"),
        ] {
            assert_eq!(decode(bytes, None), Ok((text.to_string(), expected)));
        }
    }

    #[test]
    fn a_named_encoding_is_taken() {
        let named = |name: &str| name.parse::<Encoding>().ok();
        for (name, bytes, text) in [
            ("latin1", &b"it\xe9"[..], "ité"),
            ("Shift_JIS", b"\x89f\x89\xe6", "映画"),
            ("CP949", b"\xbf\xb5\xc8\xad", "영화"),
            ("utf-8", b"\xef\xbb\xbfa", "a"),
            ("utf_16_le", b"\xff\xfea\0", "a"),
        ] {
            assert!(named(name).is_some(), "{name}");
            assert_eq!(decode(bytes.to_vec(), named(name)).map(|it| it.0), Ok(text.to_string()), "{name}");
        }
        assert!(named("utf-9").is_none());
        let wrong = decode(b"\xff".to_vec(), named("utf8"));
        assert_eq!(wrong, Err("is not UTF-8 throughout".into()));
    }

    #[test]
    fn other_encodings_are_refused_with_the_line() {
        for bytes in [
            b"text,label\nit\x92s good,1\n".to_vec(),
            "a,b\n".bytes().chain(*b"\xec\x9e\xac,\xff\xff\n").collect(),
        ] {
            let what = decode(bytes, None).expect_err("refused");
            assert!(what.starts_with("line 2 is not UTF-8"), "{what}");
        }
    }
}
