//! The encodings that files of text come in, found out from their bytes, and read as UTF-8 piece by piece.

use encoding_rs::{Decoder, DecoderResult, EUC_KR, UTF_8, UTF_16BE, UTF_16LE};
use std::io::{self, Cursor, Read};
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

/// How a file's bytes are text: UTF-8 or UTF-16 by the mark at the beginning, UTF-16 without a mark by its zeros, UTF-8, CP949
/// (which holds EUC-KR).
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    encoding: &'static encoding_rs::Encoding,
    /// The bytes of the mark.
    mark: usize,
}

/// What ends the search for an encoding.
#[derive(Debug)]
pub(super) enum Fault {
    /// The file cannot be read.
    Io(io::Error),
    /// It is no text, in words, with the line.
    NoText(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// So much of a file tells its encoding at first sight; and so much is read at a time.
const PART: usize = 1 << 16;

/// A line that is longer has something in it that is no row.
pub(super) const LONGEST: usize = 256 << 20;

impl Coding {
    /// The encoding that is named, or finds it out ([`find`](Self::find)).
    ///
    /// # Errors
    /// As [`find`](Self::find), and for a text that is not in the encoding that is named.
    pub(super) fn of<R: Read>(
        named: Option<Encoding>,
        open: impl Fn() -> io::Result<R>,
    ) -> Result<Self, Fault> {
        let Some(Encoding(encoding)) = named else { return Self::find(open) };
        let mut first = vec![];
        open()?.take(PART as u64).read_to_end(&mut first)?;
        let is_utf_16 = |encoding| encoding == UTF_16LE || encoding == UTF_16BE;
        // `utf-16` says nothing of the order of the bytes, and a mark does.
        let coding = match encoding_rs::Encoding::for_bom(&first) {
            Some((of, mark)) if of == encoding || is_utf_16(of) && is_utf_16(encoding) => {
                Self { encoding: of, mark }
            }
            Some((of, _)) => {
                let (of, named) = (of.name(), encoding.name());
                let what =
                    format!("begins with the mark of {of}, and {named} is what is asked for; ask for {of}");
                return Err(Fault::NoText(what));
            }
            None if is_utf_16(encoding) => {
                Self { encoding: without_mark(&first).unwrap_or(encoding), mark: 0 }
            }
            None => Self { encoding, mark: 0 },
        };
        match coding.lines(open()?)? {
            (_, true) => Ok(coding),
            (line, false) => {
                let what = format!("is not {} throughout: line {line} is not", encoding.name());
                Err(Fault::NoText(what))
            }
        }
    }

    /// Finds it out, for which all bytes are looked at: `open` begins them anew.
    ///
    /// # Errors
    /// What is none of these, with the line; what cannot be read.
    pub(super) fn find<R: Read>(open: impl Fn() -> io::Result<R>) -> Result<Self, Fault> {
        let mut first = vec![];
        open()?.take(PART as u64).read_to_end(&mut first)?;
        if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(&first) {
            let coding = Self { encoding, mark };
            return match coding.lines(open()?)? {
                (_, true) => Ok(coding),
                (line, false) if encoding == UTF_8 => Err(Fault::NoText(format!(
                    "line {line} is not UTF-8, as the mark at the file's beginning says"
                ))),
                _ => Err(Fault::NoText(format!("begins as {} text, and is not throughout", coding.name()))),
            };
        }
        if let Some(encoding) = without_mark(&first) {
            let coding = Self { encoding, mark: 0 };
            if coding.lines(open()?)?.1 {
                return Ok(coding);
            }
        }
        let [utf_8, korean] = [UTF_8, EUC_KR].map(|encoding| Self { encoding, mark: 0 });
        let (line, is_text) = utf_8.lines(open()?)?;
        if is_text {
            return Ok(utf_8);
        }
        match is_korean(open()?)? && korean.lines(open()?)?.1 {
            true => Ok(korean),
            false => Err(Fault::NoText(format!(
                "line {line} is not UTF-8, and the file is no UTF-16 or CP949 (EUC-KR) text either; save it as UTF-8"
            ))),
        }
    }

    /// The bytes as UTF-8.
    pub(super) fn read<R: Read>(self, mut bytes: R) -> io::Result<Decoded<R>> {
        io::copy(&mut (&mut bytes).take(self.mark as u64), &mut io::sink())?;
        let decoder = self.encoding.new_decoder_without_bom_handling();
        Ok(Decoded {
            bytes,
            decoder,
            part: vec![0; PART],
            ready: 0..0,
            out: vec![],
            given: 0,
            is_end: false,
            is_done: false,
        })
    }

    /// The last line, and whether all of the bytes are text in this encoding; where they are not, the line of the first that is
    /// none.
    fn lines(self, bytes: impl Read) -> io::Result<(usize, bool)> {
        let mut text = self.read(bytes)?;
        let (mut line, mut length) = (1, 0);
        loop {
            let filled = text.fill();
            match text.out.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => length = text.out.len() - end,
                None => length += text.out.len(),
            }
            line += text.out.iter().filter(|&&byte| byte == b'\n').count();
            if length > LONGEST {
                // Nobody would read it, and what is packed might go on for long.
                let what = format!("line {line} is longer than {} MiB", LONGEST >> 20);
                return Err(io::Error::other(what));
            }
            match filled {
                Ok(0) => return Ok((line, true)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok((line, false)),
                Err(error) => return Err(error),
            }
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self.encoding {
            it if it == UTF_16LE || it == UTF_16BE => "UTF-16",
            it if it == EUC_KR => "CP949",
            it => it.name(),
        }
    }
}

/// Bytes that are read as UTF-8.
pub(super) struct Decoded<R> {
    bytes: R,
    decoder: Decoder,
    part: Vec<u8>,
    /// What of the part is still to be decoded.
    ready: std::ops::Range<usize>,
    /// Text that is decoded, and how much of it is given out.
    out: Vec<u8>,
    given: usize,
    /// Whether the bytes are at their end, and whether all of them are decoded.
    is_end: bool,
    is_done: bool,
}

impl<R: Read> Decoded<R> {
    /// Decodes more, and says how many bytes of text that gave; none at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.given = 0;
        self.out.clear();
        if self.is_done {
            return Ok(0);
        }
        self.out.resize(PART * 2, 0);
        let mut filled = 0;
        let ended = loop {
            if self.ready.is_empty() && !self.is_end {
                let count = match self.bytes.read(&mut self.part) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                (self.ready, self.is_end) = (0..count, count == 0);
            }
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
                &self.part[self.ready.clone()],
                &mut self.out[filled..],
                self.is_end,
            );
            self.ready.start += read;
            filled += written;
            match result {
                DecoderResult::Malformed(..) => {
                    self.is_done = true;
                    break Err(io::Error::new(io::ErrorKind::InvalidData, "is no text"));
                }
                DecoderResult::OutputFull => break Ok(filled),
                DecoderResult::InputEmpty if self.is_end => {
                    self.is_done = true;
                    break Ok(filled);
                }
                DecoderResult::InputEmpty if filled > 0 => break Ok(filled),
                DecoderResult::InputEmpty => {}
            }
        };
        self.out.truncate(filled);
        ended
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.out.len() && self.fill()? == 0 {
            return Ok(0);
        }
        let rest = &self.out[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

/// The text of bytes that are all there, and the name of its encoding.
///
/// # Errors
/// In words: what is no text, with the line.
pub(super) fn decode(bytes: &[u8], named: Option<Encoding>) -> Result<(String, &'static str), String> {
    let read = || -> Result<(String, &'static str), Fault> {
        let coding = Coding::of(named, || Ok(Cursor::new(bytes)))?;
        let mut text = String::new();
        coding.read(Cursor::new(bytes))?.read_to_string(&mut text)?;
        Ok((text, coding.name()))
    };
    read().map_err(|fault| match fault {
        Fault::Io(error) => error.to_string(),
        Fault::NoText(what) => what,
    })
}

/// UTF-16, where every tenth character or more is of ASCII: its zeros stand on one side of the pairs only.
fn without_mark(sample: &[u8]) -> Option<&'static encoding_rs::Encoding> {
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
fn is_korean(mut bytes: impl Read) -> io::Result<bool> {
    let (mut common, mut others) = (0_usize, 0_usize);
    let (mut part, mut first) = (vec![0; PART], None::<u8>);
    loop {
        let count = bytes.read(&mut part)?;
        for &byte in &part[..count] {
            match first.take() {
                Some(0xa1..) if byte >= 0xa1 => common += 1,
                Some(_) => others += 1,
                None if byte >= 0x80 => first = Some(byte),
                None => {}
            }
        }
        if count == 0 {
            others += usize::from(first.is_some());
            return Ok(common > 3 * others);
        }
    }
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
            assert_eq!(decode(&bytes, None), Ok((text.to_string(), expected)));
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
            ("utf-16le", b"\xff\xfea\0", "a"),
            ("utf-16", b"\xfe\xff\0a", "a"),
            ("utf-16be", b"\xff\xfea\0", "a"),
            ("utf-16", b"\0a\0b", "ab"),
            ("utf-16", b"a\0b\0", "ab"),
        ] {
            assert!(named(name).is_some(), "{name}");
            assert_eq!(decode(bytes, named(name)).map(|it| it.0), Ok(text.to_string()), "{name}");
        }
        assert!(named("utf-9").is_none());
        for (name, bytes) in
            [("latin1", &b"\xef\xbb\xbfa"[..]), ("latin1", b"\xff\xfea\0"), ("utf-8", b"\xfe\xff\0a")]
        {
            let what = decode(bytes, named(name)).expect_err(name);
            assert!(what.starts_with("begins with the mark of UTF-"), "{what}");
        }
        let wrong = decode(b"\xff", named("utf8"));
        assert_eq!(wrong, Err("is not UTF-8 throughout: line 1 is not".into()));
    }

    #[test]
    fn other_encodings_are_refused_with_the_line() {
        for bytes in [
            b"text,label\nit\x92s good,1\n".to_vec(),
            "a,b\n".bytes().chain(*b"\xec\x9e\xac,\xff\xff\n").collect(),
        ] {
            let what = decode(&bytes, None).expect_err("refused");
            assert!(what.starts_with("line 2 is not UTF-8"), "{what}");
        }
    }

    /// Wherever the parts begin and end.
    #[test]
    fn texts_longer_than_a_part() {
        let text: String = (0..60_000).map(|at| format!("{at} 재미있는 영화\n")).collect();
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for (bytes, expected) in [
            (text.clone().into_bytes(), "UTF-8"),
            (utf16, "UTF-16"),
            (EUC_KR.encode(&text).0.into_owned(), "CP949"),
        ] {
            assert!(decode(&bytes, None) == Ok((text.clone(), expected)), "{expected}");
        }
        let broken = [text.as_bytes(), b"\xff\n"].concat();
        assert!(decode(&broken, None).is_err_and(|what| what.starts_with("line 60001 is not UTF-8")));
        // One that ends within a character.
        let cut = &text.as_bytes()[..text.len() - 2];
        assert!(decode(cut, None).is_err_and(|what| what.starts_with("line 60000 is not UTF-8")));
    }
}
