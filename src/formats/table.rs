//! Tables of numbers as text: `.csv`, `.tsv`, `.txt`.

use super::file::read_text;
use super::format::{ArrayHead, Format, Holds, Opened, Sink, TextArray};
use super::stored::StoredArray;
use super::writer::Plain;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::fmt::Write;
use std::fs::File;
use std::io::BufWriter;
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
        let text = read_text(path)?;
        let text = std::rc::Rc::new(text);
        let words = text.clone();
        let array = move |_: &str| StoredArray::of_tensor(&table(path, &text)?.0);
        let texts = move |_: &str| texts(path, &words);
        Ok(Opened { names: vec!["x".into()], array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn sink(&self, out: BufWriter<File>, _: &[ArrayHead]) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Plain { out, head: |_| vec![] }))
    }

    fn encode(&self, rows: &Tensor) -> Result<Vec<u8>> {
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
        Ok(text.into_bytes())
    }
}

/// The rows of a file, and what was made of its first line where that is not plain.
pub(super) fn read(path: &Path) -> Result<(Tensor, Option<String>)> {
    table(path, &read_text(path)?)
}

/// A text a line, or in quotes over several; every line counts, the first as well.
fn texts(path: &Path, text: &str) -> Result<TextArray> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut texts = vec![];
    for record in reader.records() {
        let record = record
            .map_err(|error| Error::file(path, format!("cannot be read: {error}")).with_source(error))?;
        if record.len() != 1 {
            let what = format!(
                "holds {} texts in line {}, expected one a line; put those with commas into quotes",
                record.len(),
                texts.len() + 1
            );
            return Err(Error::file(path, what));
        }
        texts.extend(record.iter().map(String::from));
    }
    let shape = vec![texts.len()];
    Ok((texts, shape))
}

/// Rows of numbers, separated by commas, semicolons or tabs. A first line that holds no number at all is one of names
/// and passed over. So is one of the columns' numbers, which pandas writes where they have no names, if it can be told
/// from a sample.
fn table(path: &Path, text: &str) -> Result<(Tensor, Option<String>)> {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let separator = [b'\t', b';', b','].into_iter().find(|&c| first.contains(char::from(c)));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut rows, mut columns, mut values) = (0, 0, Vec::new());
    // Whether the first line counts the columns, and whether any line holds more than whole numbers.
    let (mut counts, mut fractions) = (false, false);
    for (index, record) in reader.records().enumerate() {
        let record = record
            .map_err(|error| Error::file(path, format!("cannot be read: {error}")).with_source(error))?;
        // For messages only. The record's place is that of the blank lines before it.
        let wrong = |column: Option<usize>, what: String| {
            let at = record.position().map_or(0, |place| place.byte() as usize);
            let (before, rest) = text.split_at_checked(at).unwrap_or_default();
            let blank = &rest[..rest.len() - rest.trim_start_matches(['\n', '\r']).len()];
            let lines = [before, blank].iter().map(|part| part.matches('\n').count()).sum::<usize>();
            Error::Cell { path: path.into(), line: lines + 1, column, what }
        };
        let is_decimal_comma =
            |field: &str| field.contains(',') && field.replacen(',', ".", 1).parse::<f32>().is_ok();
        if let Some(column) = record.iter().position(is_decimal_comma) {
            let field = record.get(column).unwrap_or_default();
            let what = format!("{field:?} has a decimal comma; write a decimal point");
            return Err(wrong(Some(column + 1), what));
        }
        if index == 0 && record.iter().all(|field| field.parse::<f32>().is_err()) {
            continue;
        }
        counts |=
            index == 0 && record.iter().enumerate().all(|(column, field)| *field == *column.to_string());
        fractions |= record.iter().any(|field| field.parse::<i64>().is_err());
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
            values.push(number);
        }
        columns = record.len();
        rows += 1;
    }
    if rows == 0 {
        return Err(Error::file(path, "holds no numbers"));
    }
    let note = match counts && rows > 1 {
        false => None,
        // Two columns of 0 and 1 may well be a sample, and so may whole numbers among whole numbers.
        true if columns > 2 && fractions => {
            values.drain(..columns);
            rows -= 1;
            Some("line 1 counts the columns from 0, as pandas does where they have no names: it is no sample".into())
        }
        true => Some(
            "line 1 counts the columns from 0 and is taken for a sample; if it is a line of names, leave it out \
             (`to_csv(header=False)`)"
                .to_string(),
        ),
    };
    Ok((Tensor::from_vec(values, (rows, columns), &Device::Cpu)?, note))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows and what is said of the first.
    fn read(text: &str) -> std::result::Result<(Vec<Vec<f32>>, Option<String>), String> {
        let (rows, note) = table(Path::new("x.csv"), text).map_err(|error| error.to_string())?;
        Ok((rows.to_vec2().expect("a table"), note))
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
