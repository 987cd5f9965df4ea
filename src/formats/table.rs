//! Tables of numbers as text: `.csv`, `.tsv`, `.txt`.

use super::file::check_regular;
use super::format::{ArrayHead, Format, Holds, Opened, Put, Sink};
use super::gathered::Gathered;
use super::stored::{Kind, StoredArray};
use super::texts::{Gathering, StoredTexts};
use super::writer::Plain;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read};
use std::path::Path;

/// The format.
pub(super) struct Table;

impl Format for Table {
    fn suffixes(&self) -> &'static [&'static str] {
        &["csv", "tsv", "txt"]
    }

    fn written(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn holds(&self) -> Holds {
        Holds::Table
    }

    fn open<'a>(&self, path: &'a Path) -> Result<Opened<'a>> {
        let array = move |_: &str| Ok(read(path)?.0);
        let texts = move |_: &str| texts(path);
        Ok(Opened { names: vec!["x".into()], array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn sink(&self, out: BufWriter<File>, _: &[ArrayHead]) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Plain { out, head: |_| vec![] }))
    }

    fn encode(&self, rows: &Tensor, put: Put) -> Result<()> {
        let mut text = String::new();
        let lines = rows.dims().first().copied().unwrap_or(1);
        let columns = rows.elem_count() / lines.max(1);
        for row in rows.to_dtype(DType::F32)?.reshape((lines, columns))?.to_vec2::<f32>()? {
            for (column, value) in row.iter().enumerate() {
                let comma = if column == 0 { "" } else { "," };
                // Writing to a text does not fail.
                let _ = write!(text, "{comma}{value}");
            }
            text.push('\n');
        }
        put(text.as_bytes())
    }
}

/// The rows of a file, and what was made of its first line where that is not plain.
///
/// Rows of numbers are separated by commas, semicolons or tabs. A first line that holds no number at all is one of names
/// and passed over. So is one of the columns' numbers, which pandas writes where they have no names, if it can be told
/// from a sample.
pub(super) fn read(path: &Path) -> Result<(StoredArray, Option<String>)> {
    const NUMBER: usize = size_of::<f32>();
    let (text, separator) = open(path)?;
    let mut reader = builder().delimiter(separator.unwrap_or(b',')).trim(csv::Trim::All).from_reader(text);
    let (mut rows, mut columns, mut values) = (0, 0, Gathered::new(path));
    // Whether the first line counts the columns, and whether any line holds more than whole numbers.
    let (mut counts, mut fractions) = (false, false);
    let (mut record, mut is_first) = (csv::StringRecord::new(), true);
    while reader.read_record(&mut record).map_err(|error| unreadable(path, error))? {
        let wrong = |column: Option<usize>, what: String| {
            let line = record.position().map_or(0, |place| line(path, place.byte()));
            Error::Cell { path: path.into(), line, column, what }
        };
        let is_decimal_comma =
            |field: &str| field.contains(',') && field.replacen(',', ".", 1).parse::<f32>().is_ok();
        if let Some(column) = record.iter().position(is_decimal_comma) {
            let field = record.get(column).unwrap_or_default();
            let what = format!("{field:?} has a decimal comma; write a decimal point");
            return Err(wrong(Some(column + 1), what));
        }
        let is_first = std::mem::take(&mut is_first);
        if is_first && record.iter().all(|field| field.parse::<f32>().is_err()) {
            continue;
        }
        counts |= is_first && record.iter().enumerate().all(|(column, field)| *field == *column.to_string());
        fractions = fractions || record.iter().any(|field| field.parse::<i64>().is_err());
        if rows > 0 && record.len() != columns {
            let what = format!("{} numbers, the lines before have {columns}", record.len());
            return Err(wrong(None, what));
        }
        for (field, column) in record.iter().zip(1..) {
            let Ok(number) = field.parse::<f32>() else {
                return Err(wrong(Some(column), format!("{field:?} is no number")));
            };
            // Written as a number, it is one that f32 does not reach; `inf` may be meant.
            if number.is_infinite() && field.contains(|c: char| c.is_ascii_digit()) {
                let what = format!("{field:?} is beyond the range of f32, about 3.4e38");
                return Err(wrong(Some(column), what));
            }
            values.push(&number.to_le_bytes())?;
        }
        columns = record.len();
        rows += 1;
    }
    if rows == 0 {
        return Err(Error::file(path, "holds no numbers"));
    }
    let mut content = values.finish()?;
    let note = match counts && rows > 1 {
        false => None,
        // Two columns of 0 and 1 may well be a sample, and so may whole numbers among whole numbers.
        true if columns > 2 && fractions => {
            let numbers = content.part(columns * NUMBER..rows * columns * NUMBER);
            content = numbers.ok_or_else(|| Error::file(path, "ends too early"))?;
            rows -= 1;
            Some("line 1 counts the columns from 0, as pandas does where they have no names: it is no sample".into())
        }
        true => Some(
            "line 1 counts the columns from 0 and is taken for a sample; if it is a line of names, leave it out \
             (`to_csv(header=False)`)"
                .to_string(),
        ),
    };
    let array = StoredArray::new(content, Kind::F32, false, vec![rows, columns]);
    Ok((array.map_err(|what| Error::file(path, what))?, note))
}

/// A text a line, or in quotes over several; every line counts, the first as well.
fn texts(path: &Path) -> Result<StoredTexts> {
    let mut reader = builder().from_reader(open(path)?.0);
    let (mut texts, mut record) = (Gathering::new(path), csv::StringRecord::new());
    while reader.read_record(&mut record).map_err(|error| unreadable(path, error))? {
        let mut fields = record.iter();
        let (Some(text), None) = (fields.next(), fields.next()) else {
            let what = format!(
                "holds {} texts in line {}, expected one a line; put those with commas into quotes",
                record.len(),
                texts.count() + 1
            );
            return Err(Error::file(path, what));
        };
        texts.push(text)?;
    }
    texts.finish()
}

fn builder() -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).buffer_capacity(1 << 16);
    builder
}

fn unreadable(path: &Path, error: csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map(|pos| format!(": line {} is not", line(path, pos.byte())));
            let line = line.unwrap_or_default();
            Error::file(path, format!("is not UTF-8 text{line}; save it as UTF-8"))
        }
        _ => Error::file(path, format!("cannot be read: {error}")).with_source(error),
    }
}

/// The byte order mark that Windows's editors put first.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A file's text, without the byte order mark, and what separates the fields of the first line that is not blank.
fn open(path: &Path) -> Result<(impl Read, Option<u8>)> {
    check_regular(path)?;
    let fail = |error| Error::io(path, error);
    let mut reader = BufReader::new(File::open(path).map_err(fail)?);
    let (mut start, mut from) = (vec![], 0);
    loop {
        let count = reader.read_until(b'\n', &mut start).map_err(fail)?;
        if start.starts_with(MARK) {
            start.drain(..MARK.len());
        }
        if count == 0 || !String::from_utf8_lossy(&start[from..]).trim().is_empty() {
            break;
        }
        from = start.len();
    }
    let separator = [b'\t', b';', b','].into_iter().find(|separator| start[from..].contains(separator));
    Ok((Cursor::new(start).chain(reader), separator))
}

/// The line of the record that begins at this byte of the text, or behind blank lines there.
fn line(path: &Path, at: u64) -> usize {
    let count = || {
        let mut reader = BufReader::new(File::open(path)?);
        let mark = if reader.fill_buf()?.starts_with(MARK) { MARK.len() as u64 } else { 0 };
        let (mut left, mut lines) = (at.saturating_add(mark), 1);
        loop {
            let part = reader.fill_buf()?;
            let before = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let blank = part[before..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let (seen, end) = (before + blank, part.len());
            lines += part[..seen].iter().filter(|&&byte| byte == b'\n').count();
            if end == 0 || seen < end {
                return Ok::<_, std::io::Error>(lines);
            }
            left -= before as u64;
            reader.consume(end);
        }
    };
    count().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows and what is said of the first.
    fn read(text: &str) -> std::result::Result<(Vec<Vec<f32>>, Option<String>), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.csv");
        std::fs::write(&path, text).expect("written");
        let within = format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR);
        let (rows, note) = super::read(&path).map_err(|error| error.to_string().replace(&within, ""))?;
        Ok((rows.tensor().and_then(|rows| Ok(rows.to_vec2()?)).expect("a table"), note))
    }

    #[test]
    fn lines_are_counted_with_those_that_are_blank_and_quoted() {
        for (text, line) in [
            ("\n\r\n1,2\n\n3,x\n", 5),
            ("\u{feff}a,b\n1,x\n", 2),
            ("\"a\nb\",c\r\n1,2\r\n\r\n3,x", 5),
            ("x,1\n", 1),
        ] {
            let what = read(text).expect_err("refused");
            assert!(what.starts_with(&format!("x.csv, line {line}")), "{text:?}: {what}");
        }
        assert_eq!(read("\u{feff} \n1\t2\n").expect("a table").0, [[1.0, 2.0]]);
        assert!(read(" \n").expect_err("refused").contains("holds no numbers"));
    }

    #[test]
    fn texts_may_have_several_lines() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "\u{feff}a film\n\"one, \"\"two\"\"\nthree\"\n\"\"\n").expect("written");
        let found = texts(&path)?;
        assert_eq!(found.shape(), [3]);
        assert_eq!(found.read(0..3)?, ["a film", "one, \"two\"\nthree", ""]);
        std::fs::write(&path, b"a film\n\n\xff\n").expect("written");
        let what = texts(&path).expect_err("refused").to_string();
        assert!(what.contains("is not UTF-8 text: line 3 is not"), "{what}");
        Ok(())
    }

    #[test]
    fn decimal_commas_are_no_header() {
        for text in ["0,5;1,5\n4;5\n", "\"0,5\",\"1,5\"\n", "4;5\n0,5;1\n"] {
            let what = read(text).expect_err("refused");
            assert!(what.contains("\"0,5\" has a decimal comma"), "{what}");
            assert!(what.starts_with("x.csv, line 1") || text.starts_with('4'), "{what}");
        }
        assert_eq!(read("a;b\n4;5\n").expect("a table").0, [[4.0, 5.0]]);
    }

    #[test]
    fn a_line_that_counts_the_columns_is_not_passed_over_in_silence() {
        let (rows, note) = read("0,1,2\n0.5,1,2\n4,5,6\n").expect("a table");
        assert_eq!(rows, [[0.5, 1.0, 2.0], [4.0, 5.0, 6.0]]);
        assert!(note.expect("a note").contains("it is no sample"));
        for text in ["0,1,2\n4,5,6\n", "0,1\n0.5,1\n", "0\n0.5\n"] {
            let (rows, note) = read(text).expect("a table");
            assert_eq!(rows.len(), 2);
            assert!(note.expect("a note").contains("taken for a sample"));
        }
        for text in ["0,1,2\n", "0,1,3\n0.5,1,2\n", "0.0,1,2\n0.5,1,2\n"] {
            assert_eq!(read(text).expect("a table").1, None);
        }
    }
}
