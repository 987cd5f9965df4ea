//! Texts in columns that commas, semicolons, tabs or bars separate: which of them, whether fields stand in quotes, and whether
//! the first line holds names.

use std::collections::HashMap;
use std::io::{self, Read};

/// Takes a row, by its number, with the fields that were asked for, in that order, or with what is wrong with it.
pub(crate) type OnRow<'a> = &'a mut dyn FnMut(usize, std::result::Result<&[Option<&str>], String>);

/// How the fields of a file are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) separator: u8,
    /// Whether a field may stand in quotes.
    pub(super) quotes: bool,
}

const SEPARATORS: [u8; 4] = *b"\t,;|";

/// A row that is longer has a quote in it that was meant otherwise.
const LONGEST: usize = 256 << 20;

/// Why a file's separators cannot be told.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// The line, and what is wrong in it.
    Line(usize, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Dialect {
    /// Finds it out from the beginning of a text, and from all of it, which `open` begins anew. `is_name` knows the names that
    /// columns often have.
    ///
    /// # Errors
    /// A quote that never closes; what cannot be read.
    pub(super) fn find<R: Read>(
        sample: &str,
        open: impl Fn() -> io::Result<R>,
        is_name: fn(&str) -> bool,
    ) -> Result<Self, Fault> {
        let mut best = (0.0, b',');
        for separator in SEPARATORS {
            // Where there are quotes that nobody closes, lines tell more than records.
            let plain = Quotes::of(sample.as_bytes(), separator)?.is_plain();
            let score = Self { separator, quotes: plain }.score(sample, is_name)?;
            if score > best.0 {
                best = (score, separator);
            }
        }
        let separator = best.1;
        let (quoted, bare) = (Self { separator, quotes: true }, Self { separator, quotes: false });
        let quotes = Quotes::of(open()?, separator)?;
        if quotes.is_plain() {
            return Ok(quoted);
        }
        // Some files have quotes that mean nothing, and then every line has its fields.
        let (odd, all) = bare.odd(open()?)?;
        if odd * 100 <= all {
            return Ok(bare);
        }
        match quotes.open {
            Some(line) => Err(Fault::Line(line, "a quote opens here and never closes".into())),
            None => Ok(quoted),
        }
    }

    /// How well a beginning falls into fields: the share of records with as many as most have, and more where the first line
    /// has names that are known.
    fn score(self, sample: &str, is_name: fn(&str) -> bool) -> io::Result<f64> {
        let (odd, all) = self.odd(sample.as_bytes())?;
        let mut first = self.records(sample.as_bytes());
        let Some(record) = first.next()? else { return Ok(0.0) };
        let names = record.fields.iter().filter(|field| is_name(field)).count();
        Ok(match record.fields.len() {
            0 | 1 => 0.0,
            _ => (all - odd) as f64 / all.max(1) as f64 + names.min(2) as f64,
        })
    }

    /// The records with another number of fields than most have, or with one; and all records.
    fn odd(self, text: impl Read) -> io::Result<(usize, usize)> {
        let (mut counts, mut all) = (HashMap::<usize, usize>::new(), 0);
        let mut records = self.records(text);
        while let Some(record) = records.next()? {
            *counts.entry(record.fields.len()).or_default() += 1;
            all += 1;
        }
        let most = counts.iter().filter(|(fields, _)| **fields > 1).map(|(_, count)| *count).max();
        Ok((all - most.unwrap_or(0), all))
    }

    /// The records of a text that are not blank, one after the other.
    pub(super) fn records<R: Read>(self, text: R) -> Records<R> {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.separator).quoting(self.quotes);
        builder.buffer_capacity(1 << 16);
        let seen = Seen { text, bytes: vec![], from: 0, counted: 0, line: 1 };
        Records { reader: builder.from_reader(seen), fields: csv::StringRecord::new() }
    }

    /// Writes a record, in quotes what needs them.
    pub(super) fn write<'a>(self, fields: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        for (at, field) in fields.enumerate() {
            if at > 0 {
                out.push(self.separator);
            }
            let needs = |byte: u8| byte == self.separator || matches!(byte, b'"' | b'\n' | b'\r');
            if !self.quotes || !field.bytes().any(needs) {
                out.extend_from_slice(field.as_bytes());
                continue;
            }
            out.push(b'"');
            out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        }
        out.push(b'\n');
    }

    /// `comma`.
    pub(super) fn in_words(self) -> &'static str {
        match self.separator {
            b'\t' => "tab",
            b';' => "semicolon",
            b'|' => "bar",
            _ => "comma",
        }
    }
}

/// Records as they are read.
pub(super) struct Records<R> {
    reader: csv::Reader<Seen<R>>,
    fields: csv::StringRecord,
}

/// A record: the line that it begins in, and its fields.
pub(super) struct Record<'a> {
    pub(super) line: usize,
    pub(super) fields: &'a csv::StringRecord,
}

impl<R: Read> Records<R> {
    /// The next one.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            if !self.reader.read_record(&mut self.fields).map_err(io_error)? {
                return Ok(None);
            }
            let begins = self.fields.position().map_or(0, csv::Position::byte);
            let line = self.reader.get_mut().line_at(begins);
            let is_blank = self.fields.len() == 1 && self.fields.iter().all(|field| field.trim().is_empty());
            if !is_blank {
                return Ok(Some(Record { line, fields: &self.fields }));
            }
        }
    }
}

fn io_error(error: csv::Error) -> io::Error {
    let what = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidData, what),
    }
}

/// A text that keeps what was read of it since a record began, so that lines can be counted as an editor counts them.
pub(super) struct Seen<R> {
    text: R,
    bytes: Vec<u8>,
    /// Where in the text `bytes` begin.
    from: u64,
    /// How many of them are counted.
    counted: usize,
    /// The line of the first that is not.
    line: usize,
}

impl<R> Seen<R> {
    /// The line of a record; what reads it begins with the ends of blank lines before it.
    fn line_at(&mut self, begins: u64) -> usize {
        let mut at =
            usize::try_from(begins.saturating_sub(self.from)).unwrap_or(usize::MAX).min(self.bytes.len());
        at += self.bytes[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let at = at.max(self.counted);
        self.line += self.bytes[self.counted..at].iter().filter(|&&byte| byte == b'\n').count();
        self.counted = at;
        if self.counted > 1 << 20 {
            self.bytes.drain(..self.counted);
            self.from += self.counted as u64;
            self.counted = 0;
        }
        self.line
    }
}

impl<R: Read> Read for Seen<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        if self.bytes.len() - self.counted > LONGEST {
            let what = format!("holds a row of more than {} MiB, from line {} on", LONGEST >> 20, self.line);
            return Err(io::Error::other(what));
        }
        Ok(count)
    }
}

/// What the quotes of a text are like.
#[derive(Debug, Default, PartialEq)]
struct Quotes {
    /// The line of one that is never closed.
    open: Option<usize>,
    /// Whether something stands between a closing quote and the next separator.
    stray: bool,
}

impl Quotes {
    fn of(mut text: impl Read, separator: u8) -> io::Result<Self> {
        /// Where in a field one is.
        enum Place {
            Begin,
            Within,
            Quoted,
            /// After a quote that closes, or is the first of two.
            Closing,
        }
        let (mut found, mut line, mut opened, mut place) = (Self::default(), 1, 1, Place::Begin);
        let mut part = vec![0; 1 << 16];
        loop {
            let count = text.read(&mut part)?;
            if count == 0 {
                found.open = matches!(place, Place::Quoted).then_some(opened);
                return Ok(found);
            }
            for &byte in &part[..count] {
                place = match (place, byte) {
                    (Place::Begin, b'"') => {
                        opened = line;
                        Place::Quoted
                    }
                    (Place::Quoted, b'"') => Place::Closing,
                    (Place::Quoted, _) | (Place::Closing, b'"') => Place::Quoted,
                    (before, _) => {
                        let ends = byte == separator || byte == b'\n';
                        found.stray |= matches!(before, Place::Closing) && !ends && byte != b'\r';
                        if ends { Place::Begin } else { Place::Within }
                    }
                };
                line += usize::from(byte == b'\n');
            }
        }
    }

    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the first of some records holds names: ones that are known, or else short words that no later record has, over
/// other values.
pub(super) fn has_names(records: &[Vec<String>], is_name: fn(&str) -> bool) -> bool {
    let Some((first, rest)) = records.split_first() else { return false };
    if first.iter().any(|field| is_name(field)) {
        return true;
    }
    let is_number = |field: &str| field.trim().parse::<f64>().is_ok();
    let is_short = |field: &String| !field.trim().is_empty() && field.split_whitespace().count() <= 3;
    let comes_again =
        |(column, field): (usize, &String)| rest.iter().any(|row| row.get(column) == Some(field));
    !rest.is_empty()
        && first.iter().all(|field| !is_number(field) && is_short(field))
        && !first.iter().enumerate().any(comes_again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_name(field: &str) -> bool {
        matches!(field, "text" | "label")
    }

    fn find(text: &str) -> Result<(char, bool), (usize, String)> {
        match Dialect::find(text, || Ok(text.as_bytes()), is_name) {
            Ok(found) => Ok((char::from(found.separator), found.quotes)),
            Err(Fault::Line(line, what)) => Err((line, what)),
            Err(Fault::Io(error)) => Err((0, error.to_string())),
        }
    }

    #[test]
    fn separators_and_quotes_are_found() {
        assert_eq!(find("text,label\n\"a, b\nc\",1\nd,0\n"), Ok((',', true)));
        assert_eq!(find("text;label\n\"a; b\";1\nc, d;0\n"), Ok((';', true)));
        assert_eq!(find("text\tlabel\na, b, c\t1\nc; d\t0\n"), Ok(('\t', true)));
        assert_eq!(find("a film|good\nno film|bad\n"), Ok(('|', true)));
        // A quote that is one of the text.
        assert_eq!(find("text\tlabel\n\"so\" he said\t1\n\"oh\t0\n"), Ok(('\t', false)));
        let open = find("text,label\na,1\n\"b, c,1\nd, e,0\nf,1\n");
        assert_eq!(open, Err((3, "a quote opens here and never closes".into())));
    }

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        let lines = |text: &str| {
            let mut records = Dialect { separator: b',', quotes: true }.records(text.as_bytes());
            let mut lines = vec![];
            while let Some(record) = records.next().expect("read") {
                lines.push(record.line);
            }
            lines
        };
        assert_eq!(lines("a,b\r\n\r\n\"c\nd\",e\n\nf,g\n \n"), [1, 3, 6]);
        // Also where more is read than is kept.
        let many: String = (0..300_000).map(|at| format!("{at},\"a\n\"\n\n")).collect();
        assert!(lines(&many).into_iter().eq((0..300_000).map(|at| 1 + 3 * at)));
    }

    #[test]
    fn names_are_told_from_rows() {
        let rows = |rows: &[&[&str]]| -> Vec<Vec<String>> {
            rows.iter().map(|row| row.iter().map(|it| it.to_string()).collect()).collect()
        };
        assert!(has_names(&rows(&[&["x", "label"], &["y", "1"]]), is_name));
        assert!(has_names(&rows(&[&["phrase", "verdict"], &["a film", "good"], &["b", "bad"]]), is_name));
        assert!(!has_names(&rows(&[&["nice", "good"], &["a film", "good"]]), is_name));
        assert!(!has_names(&rows(&[&["nice", "1"], &["a film", "0"]]), is_name));
    }
}
