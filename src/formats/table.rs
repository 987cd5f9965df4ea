//! Tables of numbers as text: `.csv`, `.tsv`, `.txt`.

use super::file::read_text;
use super::format::{Format, Holds, Opened, TextArray};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
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
        let array = move |_: &str| table(path, &text);
        let texts = move |_: &str| texts(path, &words);
        Ok(Opened { names: vec!["x".into()], array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn bytes(&self, arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
        let mut text = String::new();
        for (_, tensor) in arrays {
            let rows = tensor.dims().first().copied().unwrap_or(1);
            let columns = tensor.elem_count() / rows.max(1);
            let values = tensor.to_dtype(DType::F32)?.reshape((rows, columns))?;
            for row in values.to_vec2::<f32>()? {
                let row: Vec<String> = row.iter().map(f32::to_string).collect();
                text.push_str(&row.join(","));
                text.push('\n');
            }
        }
        Ok(text.into_bytes())
    }
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
/// and passed over.
fn table(path: &Path, text: &str) -> Result<Tensor> {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let separator = [b'\t', b';', b','].into_iter().find(|&c| first.contains(char::from(c)));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut rows, mut columns, mut values) = (0, 0, Vec::new());
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
        if index == 0 && record.iter().all(|field| field.parse::<f32>().is_err()) {
            continue;
        }
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
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
}
