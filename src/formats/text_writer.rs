//! A table of texts written again with columns added to it, in the form in which it was read.

use super::text_rows::{Kept, TextRow};
use super::text_table::{Form, Lines, TextTable, row_error, text};
use crate::{Error, Result};
use std::fmt::Write;
use std::path::Path;

/// What a column that is added holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Texts.
    Text,
    /// Numbers.
    Number,
}

/// What is added to a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number.
    Number(f32),
    /// Nothing: the row has no answer.
    Empty,
}

/// The columns that a table gets, by names that were free.
pub struct AddedColumns<'a> {
    table: &'a TextTable,
    names: Vec<String>,
    kinds: Vec<CellKind>,
}

impl TextTable {
    /// Adds columns. Where the table has one of these names already, all of them begin with `predicted_`; where it has such ones
    /// too, they are numbered.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read.
    pub fn add_columns(&self, wanted: &[(&str, CellKind)]) -> Result<AddedColumns<'_>> {
        let plain = wanted.iter().map(|(name, _)| name.to_string());
        let predicted = |number: usize| {
            let end = if number == 1 { String::new() } else { format!("_{number}") };
            wanted.iter().map(move |(name, _)| format!("predicted_{name}{end}")).collect::<Vec<_>>()
        };
        let mut names: Vec<String> = plain.collect();
        let mut number = 0;
        while self.has_any(&names)? {
            number += 1;
            names = predicted(number);
        }
        let kinds = wanted.iter().map(|(_, kind)| *kind).collect();
        Ok(AddedColumns { table: self, names, kinds })
    }

    /// Whether a column has one of these names, or a key of a row far down.
    fn has_any(&self, names: &[String]) -> Result<bool> {
        if self.columns().iter().any(|column| names.contains(column)) {
            return Ok(true);
        }
        #[cfg(feature = "parquet")]
        if let Form::Parquet(_) = &self.form {
            return Ok(super::parquet::fields(&self.path)?.iter().any(|field| names.contains(field)));
        }
        let keys: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        if let Form::JsonList(items) = &self.form {
            return Ok(items.iter().any(|item| keys.iter().any(|key| item.get().contains(key.as_str()))));
        }
        let Form::JsonLines(coding) = &self.form else { return Ok(false) };
        let mut lines = Lines::new(text(&self.path, *coding)?);
        while let Some((_, line)) = lines.next().map_err(|error| row_error(&self.path, error))? {
            if keys.iter().any(|key| line.contains(key.as_str())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ends of the names of files of this form.
    pub fn suffixes(&self) -> &'static [&'static str] {
        match &self.form {
            Form::Delimited { .. } => &["csv", "tsv", "txt"],
            Form::JsonLines(_) => &["jsonl", "ndjson", "json"],
            Form::JsonList(_) => &["json"],
            Form::FastText(_) | Form::Folder(_) => &[],
            #[cfg(feature = "parquet")]
            Form::Parquet(_) => &["parquet"],
        }
    }

    /// Whether rows are text, which can be written to anywhere.
    pub fn is_text(&self) -> bool {
        matches!(self.form, Form::Delimited { .. } | Form::JsonLines(_) | Form::JsonList(_))
    }
}

impl AddedColumns<'_> {
    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The file that they are added to.
    pub fn path(&self) -> &Path {
        &self.table.path
    }

    /// Whether rows are text: see [`TextTable::is_text`].
    pub fn is_text(&self) -> bool {
        self.table.is_text()
    }

    /// What the columns hold.
    pub fn kinds(&self) -> &[CellKind] {
        &self.kinds
    }

    /// Refuses texts that would stand in the new columns and that the file has no way to write: a separator, where quotes mean
    /// nothing.
    ///
    /// # Errors
    /// [`Error::File`] with the text.
    pub fn check_texts(&self, texts: &[String]) -> Result<()> {
        let Form::Delimited { dialect, .. } = &self.table.form else { return Ok(()) };
        let breaks = |text: &&String| text.contains([char::from(dialect.separator), '\n', '\r']);
        match texts.iter().find(breaks).filter(|_| !dialect.quotes) {
            None => Ok(()),
            Some(text) => {
                let what = format!(
                    "quotes mean nothing in this file, so it cannot hold {text:?}, which has a {} or a line's end in it",
                    dialect.in_words()
                );
                Err(Error::file(&self.table.path, what))
            }
        }
    }

    /// What stands before the rows: the line of names, where the table has one; the bracket of a list.
    pub fn heading(&self) -> Vec<u8> {
        match &self.table.form {
            Form::Delimited { dialect, .. } if self.table.has_names() => {
                let names = self.table.columns().iter().chain(&self.names).map(String::as_str);
                let mut out = vec![];
                dialect.write(names, &mut out);
                out
            }
            Form::JsonList(_) => b"[".to_vec(),
            _ => vec![],
        }
    }

    /// What stands after them.
    pub fn ending(&self) -> &'static [u8] {
        if matches!(self.table.form, Form::JsonList(_)) { b"\n]\n" } else { b"" }
    }

    /// Writes a row with its cells behind it; of Parquet nothing.
    pub fn write(&self, row: &TextRow, cells: &[Cell], out: &mut Vec<u8>) {
        match (&self.table.form, &row.kept) {
            (Form::Delimited { dialect, .. }, Kept::Fields(fields)) => {
                // A row that is too short has its cells where all rows have them.
                let missing = self.table.columns().len().saturating_sub(fields.len());
                let cells: Vec<String> = cells.iter().map(shown).collect();
                let fields = fields.iter().chain(std::iter::repeat_n("", missing));
                dialect.write(fields.chain(cells.iter().map(String::as_str)), out);
            }
            (Form::JsonLines(_), kept) => {
                self.write_object(kept, cells, out);
                out.push(b'\n');
            }
            (Form::JsonList(_), kept) => {
                out.extend_from_slice(if row.number > 1 { b",\n" } else { b"\n" });
                self.write_object(kept, cells, out);
            }
            _ => {}
        }
    }

    /// Writes an object with its cells as the last of its fields.
    fn write_object(&self, kept: &Kept, cells: &[Cell], out: &mut Vec<u8>) {
        let object = match kept {
            Kept::Line(line) => line.trim_end().strip_suffix('}').unwrap_or("{"),
            _ => "{",
        };
        // A comma follows in the line of the last field.
        let object = if object.contains('\n') { object.trim_end() } else { object };
        out.extend_from_slice(object.as_bytes());
        let is_empty = object.trim_start().strip_prefix('{').is_none_or(|rest| rest.trim().is_empty());
        for (at, (name, cell)) in self.names.iter().zip(cells).enumerate() {
            let comma = if is_empty && at == 0 { "" } else { ", " };
            out.extend_from_slice(format!("{comma}{}: {}", json(name), json_cell(cell)).as_bytes());
        }
        out.push(b'}');
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(number) => number.to_string(),
        Cell::Empty => String::new(),
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => json(text),
        Cell::Number(number) if number.is_finite() => {
            let mut shown = String::new();
            // Writing to a text does not fail.
            let _ = write!(shown, "{number}");
            shown
        }
        Cell::Number(_) | Cell::Empty => "null".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::How;

    fn added(name: &str, text: &str) -> (Vec<String>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        written(&path)
    }

    fn written(path: &Path) -> (Vec<String>, String) {
        let table =
            TextTable::open(path, How::plain(|name| matches!(name, "text" | "label"))).expect("a table");
        let wanted = [("label", CellKind::Text), ("probability", CellKind::Number)];
        let columns = table.add_columns(&wanted).expect("columns");
        let mut out = columns.heading();
        let column = table.columns().iter().position(|name| name == "text").unwrap_or(0);
        let mut rows = table.rows(column).expect("rows");
        while let Some(row) = rows.read().expect("read") {
            let cells = match &row.text {
                Ok(Some(_)) => [Cell::Text("a, \"b\"".into()), Cell::Number(0.25)],
                _ => [Cell::Empty, Cell::Empty],
            };
            columns.write(&row, &cells, &mut out);
        }
        out.extend_from_slice(columns.ending());
        (columns.names().to_vec(), String::from_utf8(out).expect("text"))
    }

    /// Whatever stood in a row stands in it again, and the cells are the last.
    #[test]
    fn rows_are_written_as_they_were() {
        let (names, text) = added("x.csv", "id,text\r\n7,\"so, \"\"he\"\"\nsaid\"\n8\n9,b,c\n");
        assert_eq!(names, ["label", "probability"]);
        assert_eq!(
            text,
            "id,text,label,probability\n7,\"so, \"\"he\"\"\nsaid\",\"a, \"\"b\"\"\",0.25\n8,,,\n9,b,c,,\n"
        );
        let (names, text) = added("x.csv", "text;label\nso;1\n");
        assert_eq!(names, ["predicted_label", "predicted_probability"]);
        assert_eq!(text, "text;label;predicted_label;predicted_probability\nso;1;\"a, \"\"b\"\"\";0.25\n");
        // Quotes that mean nothing.
        let (_, text) = added("x.tsv", "text\tid\n\"so\" he said\t1\n\"oh\t2\n");
        assert_eq!(
            text,
            "text\tid\tlabel\tprobability\n\"so\" he said\t1\ta, \"b\"\t0.25\n\"oh\t2\ta, \"b\"\t0.25\n"
        );
    }

    /// What JSON cannot be read from again is left as it was.
    #[test]
    fn objects_are_written_as_they_were() {
        let (_, text) = added(
            "x.jsonl",
            "{ \"n\": 1.50, \"text\": \"so\"}\n{ }\nno\n{\"text\": [1]}\n{\"text\": null, \"n\": 12345678901234567890123}\n",
        );
        let expected = "{ \"n\": 1.50, \"text\": \"so\", \"label\": \"a, \\\"b\\\"\", \"probability\": 0.25}\n\
                        { \"label\": null, \"probability\": null}\n\
                        {\"label\": null, \"probability\": null}\n\
                        {\"text\": [1], \"label\": null, \"probability\": null}\n\
                        {\"text\": null, \"n\": 12345678901234567890123, \"label\": null, \"probability\": null}\n";
        assert_eq!(text, expected);
        // A key that comes late is a name that is taken too.
        let many: String = (0..200).map(|_| "{\"text\": \"so\"}\n").collect();
        assert_eq!(
            added("x.jsonl", &(many.clone() + "{\"text\": \"so\", \"label\": 1}\n")).0[0],
            "predicted_label"
        );
        assert_eq!(added("x.jsonl", &(many + "{\"text\": \"the \\\"label\\\" says\"}\n")).0[0], "label");
    }
}
