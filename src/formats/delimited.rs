//! Texts in columns that commas, semicolons, tabs or bars separate: which of them, whether fields stand in quotes, and whether
//! the first line holds names.

use std::collections::HashMap;

/// Takes a row, by its number, with the fields that were asked for, in that order, or with what is wrong with it.
pub(crate) type OnRow<'a> = &'a mut dyn FnMut(usize, std::result::Result<&[Option<&str>], String>);

/// How the fields of a file are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) separator: u8,
    /// Whether a field may stand in quotes.
    pub(super) quotes: bool,
}

/// A record that is read: the line that it begins in, and its fields.
pub(super) struct Record<'a> {
    pub(super) line: usize,
    pub(super) fields: &'a csv::StringRecord,
}

const SEPARATORS: [u8; 4] = *b"\t,;|";

/// As much of a file's beginning tells how it is separated.
const SAMPLE: usize = 1 << 18;

impl Dialect {
    /// Finds it out. `is_name` knows the names that columns often have.
    ///
    /// # Errors
    /// The line and what is wrong in it: a quote that never closes.
    pub(super) fn find(text: &str, is_name: fn(&str) -> bool) -> Result<Self, (usize, String)> {
        let beginning = text.as_bytes().get(..SAMPLE);
        let end = beginning.and_then(|beginning| beginning.iter().rposition(|&byte| byte == b'\n'));
        let sample = end.and_then(|end| text.get(..end)).unwrap_or(text);
        let mut best = (0.0, b',');
        for separator in SEPARATORS {
            // Where there are quotes that nobody closes, lines tell more than records.
            let plain = Quotes::of(sample, separator).is_plain();
            let score = Self { separator, quotes: plain }.score(sample, is_name);
            if score > best.0 {
                best = (score, separator);
            }
        }
        let separator = best.1;
        let (quoted, bare) = (Self { separator, quotes: true }, Self { separator, quotes: false });
        let quotes = Quotes::of(text, separator);
        if quotes.is_plain() {
            return Ok(quoted);
        }
        // Some files have quotes that mean nothing, and then every line has its fields.
        let (odd, all) = bare.odd(text);
        if odd * 100 <= all {
            return Ok(bare);
        }
        match quotes.open {
            Some(line) => Err((line, "a quote opens here and never closes".into())),
            None => Ok(quoted),
        }
    }

    /// How well a beginning falls into fields: the share of records with as many as most have, and more where the first line
    /// has names that are known.
    fn score(self, sample: &str, is_name: fn(&str) -> bool) -> f64 {
        let (odd, all) = self.odd(sample);
        let mut names = 0;
        let mut columns = 0;
        self.for_each(sample, &mut |record| {
            columns = record.fields.len();
            names = record.fields.iter().filter(|field| is_name(field)).count();
            false
        });
        match columns {
            0 | 1 => 0.0,
            _ => (all - odd) as f64 / all.max(1) as f64 + names.min(2) as f64,
        }
    }

    /// The records with another number of fields than most have, or with one; and all records.
    fn odd(self, text: &str) -> (usize, usize) {
        let (mut counts, mut all) = (HashMap::<usize, usize>::new(), 0);
        self.for_each(text, &mut |record| {
            *counts.entry(record.fields.len()).or_default() += 1;
            all += 1;
            true
        });
        let most = counts.iter().filter(|(fields, _)| **fields > 1).map(|(_, count)| *count).max();
        (all - most.unwrap_or(0), all)
    }

    /// Goes over the records that are not blank until `on` says that it is enough.
    pub(super) fn for_each(self, text: &str, on: &mut dyn FnMut(Record) -> bool) {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.separator).quoting(self.quotes);
        let mut reader = builder.from_reader(text.as_bytes());
        let mut fields = csv::StringRecord::new();
        let (mut line, mut seen, bytes) = (1, 0, text.as_bytes());
        // Of a text in memory nothing can fail.
        while reader.read_record(&mut fields).unwrap_or(false) {
            let mut at = fields.position().map_or(0, |place| place.byte() as usize).min(bytes.len());
            at += bytes[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            line += bytes[seen..at.max(seen)].iter().filter(|&&byte| byte == b'\n').count();
            seen = at.max(seen);
            let is_blank = fields.len() == 1 && fields.iter().all(|field| field.trim().is_empty());
            if !is_blank && !on(Record { line, fields: &fields }) {
                return;
            }
        }
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

/// What the quotes of a text are like.
#[derive(Debug, Default, PartialEq)]
struct Quotes {
    /// The line of one that is never closed.
    open: Option<usize>,
    /// Whether something stands between a closing quote and the next separator.
    stray: bool,
}

impl Quotes {
    fn of(text: &str, separator: u8) -> Self {
        let bytes = text.as_bytes();
        let (mut found, mut line, mut at, mut begins) = (Self::default(), 1, 0, true);
        while at < bytes.len() {
            let byte = bytes[at];
            if begins && byte == b'"' {
                let opened = line;
                at += 1;
                loop {
                    match (bytes.get(at), bytes.get(at + 1)) {
                        (None, _) => {
                            found.open = Some(opened);
                            return found;
                        }
                        (Some(b'"'), Some(b'"')) => at += 1,
                        (Some(b'"'), after) => {
                            found.stray |=
                                after.is_some_and(|it| *it != separator && !matches!(it, b'\n' | b'\r'));
                            break;
                        }
                        (Some(b'\n'), _) => line += 1,
                        _ => {}
                    }
                    at += 1;
                }
            }
            line += usize::from(byte == b'\n');
            begins = byte == separator || byte == b'\n';
            at += 1;
        }
        found
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
        Dialect::find(text, is_name).map(|found| (char::from(found.separator), found.quotes))
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
        let mut lines = vec![];
        let dialect = Dialect { separator: b',', quotes: true };
        dialect.for_each("a,b\r\n\r\n\"c\nd\",e\n\nf,g\n \n", &mut |record| {
            lines.push(record.line);
            true
        });
        assert_eq!(lines, [1, 3, 6]);
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
