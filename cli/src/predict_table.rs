//! `predict --input` with a table of texts: the answers to its rows, in the same table with columns added to it.

use super::arrays::{packed_suffix, suffix};
use super::classify::{Answer, Batches, Classifier};
use super::output::message;
use super::prediction::{Prediction, check_top, unknown_note};
use super::{Outcome, Output};
use anyhow::bail;
use candle_recurrent::data::TextSource;
use candle_recurrent::formats::{
    AddedColumns, Cell, CellKind, ParquetAnswers, TextRow, TextRows, TextTable, WholeFile,
};
use candle_recurrent::model::ModelConfig;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// What is asked of a table.
pub(super) struct Asked<'a> {
    pub(super) source: TextSource,
    /// What the table is called in messages.
    pub(super) name: String,
    pub(super) out: Option<&'a Path>,
    /// Whether a row that cannot be read ends it.
    pub(super) strict: bool,
    /// How many of the likeliest classes are told.
    pub(super) top: usize,
    pub(super) as_json: bool,
}

/// So many rows are in memory at a time, or so many bytes of texts.
const ROWS: usize = 8192;
const BYTES: usize = 1 << 20;

/// So many texts run together where any number may.
const TOGETHER: usize = 128;

/// Whether a file is a table of texts, and not one of numbers or arrays. A column that is named makes it one, and so does its
/// being packed.
pub(super) fn holds(path: &Path, column: bool, model: &ModelConfig) -> bool {
    match packed_suffix(path).or_else(|| suffix(path)).as_deref() {
        Some("csv" | "tsv" | "txt") => {
            // Models that read text or numbers take rows of them.
            let reads_ids = model.vocab_size().is_some() && !model.reads_text();
            let is_packed = packed_suffix(path).is_some();
            column || is_packed || reads_ids && path.is_file() && !is_of_numbers(path)
        }
        Some("jsonl" | "ndjson" | "json" | "parquet") => true,
        _ => false,
    }
}

/// Whether one of the first two lines holds nothing but numbers.
fn is_of_numbers(path: &Path) -> bool {
    let mut bytes = vec![];
    let read = std::fs::File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let is_number = |line: &str| {
        line.contains(|c: char| c.is_ascii_digit())
            && line.chars().all(|c| c.is_ascii_digit() || "+-.,;|eE\" \t".contains(c))
    };
    let lines = text.trim_start_matches('\u{feff}').lines();
    read.is_ok() && lines.filter(|line| !line.trim().is_empty()).take(2).any(is_number)
}

impl Asked<'_> {
    /// Answers all rows.
    pub(super) fn run(&self, classifier: &dyn Classifier, output: &mut Output) -> anyhow::Result<Outcome> {
        check_top(classifier.targets(), self.top)?;
        let (table, column) = self.source.open()?;
        let wanted = self.wanted(classifier);
        let wanted: Vec<(&str, CellKind)> =
            wanted.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let columns = table.add_columns(&wanted)?;
        let targets = classifier.targets();
        columns.check_texts(targets.classes().or(targets.labels()).unwrap_or_default())?;
        if targets.labels().is_some() {
            // What stands between several.
            columns.check_texts(&["|".into()])?;
        }
        self.check_output(&table)?;
        let mut rows = Rows { rows: table.rows(column)?, batches: classifier.batches() };
        if columns.names().iter().any(|name| name.starts_with("predicted_")) {
            let names = columns.names().join(", ");
            message(&format!(
                "note: {}: its own columns keep their names; the answers are in {names}",
                self.name()
            ));
        }
        let mut target = Target::begin(self.out, &table, &columns, output)?;
        let mut told = Told { name: self.name(), rows: 0, wrong: 0, unknown: 0, places: vec![] };
        let bar = self.bar();
        let mut batch = rows.next()?;
        while !batch.is_empty() {
            let work = || self.answer(classifier, &batch, &columns);
            let (answered, next) = rayon::join(work, || rows.next());
            let answered = answered?;
            bar.suspend(|| told.add(&answered, &table, batch.len()));
            if let (true, Some((row, what))) = (self.strict, answered.wrong.first()) {
                bar.finish_and_clear();
                bail!("{}, {}: {what}", self.name(), table.place(*row));
            }
            target.add(answered.written, output)?;
            bar.inc(batch.len() as u64);
            batch = next?;
        }
        bar.finish_and_clear();
        target.finish(columns.ending(), output)?;
        told.finish();
        self.report(&columns, &told, output)?;
        Ok(Outcome::Done)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    /// The columns that are added.
    fn wanted(&self, classifier: &dyn Classifier) -> Vec<(String, CellKind)> {
        let targets = classifier.targets();
        let (mut wanted, classes) = match (targets.labels(), targets.classes()) {
            // As many of each as a text has labels.
            (Some(labels), _) => (
                vec![("labels".to_string(), CellKind::Text), ("probabilities".into(), CellKind::Text)],
                labels,
            ),
            (None, Some(classes)) => (
                vec![("label".to_string(), CellKind::Text), ("probability".into(), CellKind::Number)],
                classes,
            ),
            (None, None) => return vec![("value".into(), CellKind::Number)],
        };
        for place in 1..=self.top.min(classes.len()) {
            wanted.push((format!("top_{place}"), CellKind::Text));
            wanted.push((format!("top_{place}_probability"), CellKind::Number));
        }
        wanted
    }

    /// That the answer goes where its kind can be.
    fn check_output(&self, table: &TextTable) -> anyhow::Result<()> {
        let name = self.name();
        let Some(out) = self.out else {
            if !table.is_text() {
                bail!(
                    "{name}: is {}, and the answer would be too, which is not for printing; give --output FILE",
                    table.found()
                );
            }
            if self.as_json {
                bail!(
                    "--json: the answer to a table is a table; give --output FILE, or the texts as lines on standard input"
                );
            }
            return Ok(());
        };
        let suffix = suffix(out).unwrap_or_default();
        if !table.suffixes().contains(&suffix.as_str()) {
            let known = table.suffixes().join(" or .");
            bail!(
                "--output {}: the answer to {name} is a table of the same kind; give a .{known}",
                out.display()
            );
        }
        Ok(())
    }

    fn bar(&self) -> ProgressBar {
        let shown =
            std::io::stderr().is_terminal() && (self.out.is_some() || !std::io::stdout().is_terminal());
        let bar = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{human_pos} rows, {per_sec}") {
            bar.set_style(style);
        }
        bar
    }

    /// The rows' answers, on all processors.
    fn answer(
        &self,
        classifier: &dyn Classifier,
        rows: &[TextRow],
        columns: &AddedColumns,
    ) -> anyhow::Result<Answered> {
        let texts: Vec<Result<&str, String>> = rows.iter().map(usable).collect();
        let given: Vec<&str> = texts.iter().filter_map(|text| text.as_ref().ok().copied()).collect();
        let classify = |texts: &[&str]| classifier.classify(texts);
        let answers: Vec<Vec<Answer>> = match classifier.batches() {
            Batches::Any => given.par_chunks(TOGETHER).map(classify).collect::<anyhow::Result<_>>()?,
            Batches::Of(size) => given.par_chunks(size).map(classify).collect::<anyhow::Result<_>>()?,
            Batches::InTurn => given.chunks(1).map(classify).collect::<anyhow::Result<_>>()?,
        };
        let mut answers = answers.into_iter().flatten();
        let mut answered = Answered::default();
        let mut cells = Vec::with_capacity(rows.len());
        for (row, text) in rows.iter().zip(&texts) {
            let own = match text {
                Err(what) => {
                    answered.wrong.push((row.number, what.clone()));
                    vec![Cell::Empty; columns.names().len()]
                }
                Ok(text) => {
                    let Some(Answer { values, words }) = answers.next() else {
                        bail!("{}: the model gives fewer answers than there are texts", self.name());
                    };
                    if !values.iter().all(|value| value.is_finite()) {
                        bail!("the model gives no number for {text:?}: are its weights finite?");
                    }
                    answered
                        .notes
                        .extend(words.and_then(|(words, unknown)| unknown_note(text, words, unknown)));
                    Prediction::new(text, classifier.targets(), &values, None).with_top(self.top).cells()
                }
            };
            cells.push(own);
        }
        answered.written = match columns.is_text() {
            false => Written::Cells(cells),
            true => Written::Bytes(
                rows.par_chunks(512)
                    .zip(cells.par_chunks(512))
                    .map(|(rows, cells)| {
                        let mut out = vec![];
                        rows.iter().zip(cells).for_each(|(row, cells)| columns.write(row, cells, &mut out));
                        out
                    })
                    .collect(),
            ),
        };
        Ok(answered)
    }

    fn report(&self, columns: &AddedColumns, told: &Told, output: &mut Output) -> anyhow::Result<()> {
        let Some(out) = self.out else { return Ok(()) };
        let (rows, wrong, names) = (told.rows, told.wrong, columns.names());
        if self.as_json {
            return output.json(&json!({
                "output": out.display().to_string(),
                "rows": rows,
                "answered": rows - wrong,
                "columns": names,
            }));
        }
        let without = if wrong > 0 { format!(", {wrong} of them without an answer") } else { String::new() };
        output.line(format_args!("{}: {rows} rows{without}; with {}", out.display(), names.join(", ")))
    }
}

/// The text of a row that can be answered, or what is wrong with it.
fn usable(row: &TextRow) -> Result<&str, String> {
    match &row.text {
        Ok(text) => TextSource::usable(text.as_deref()),
        Err(what) => Err(what.clone()),
    }
}

/// Rows as they are read, some at a time.
struct Rows<'a> {
    rows: TextRows<'a>,
    batches: Batches,
}

impl Rows<'_> {
    /// The next rows; none at the end. Where texts matter to each other, as many as run together.
    fn next(&mut self) -> anyhow::Result<Vec<TextRow>> {
        let together = match self.batches {
            Batches::Of(size) => size.max(1),
            Batches::Any | Batches::InTurn => 1,
        };
        let (mut batch, mut bytes, mut texts) = (vec![], 0, 0);
        while batch.len() < ROWS && bytes < BYTES || texts % together != 0 {
            let Some(row) = self.rows.read()? else { break };
            if let Ok(text) = usable(&row) {
                bytes += text.len();
                texts += 1;
            }
            batch.push(row);
        }
        Ok(batch)
    }
}

/// The answers to some rows.
#[derive(Default)]
struct Answered {
    written: Written,
    /// Rows that cannot be read, and why.
    wrong: Vec<(usize, String)>,
    notes: Vec<String>,
}

enum Written {
    /// As they go into the table.
    Bytes(Vec<Vec<u8>>),
    /// The columns that are added.
    Cells(Vec<Vec<Cell>>),
}

impl Default for Written {
    fn default() -> Self {
        Self::Bytes(vec![])
    }
}

/// Where the table goes.
enum Target {
    Printed,
    File(WholeFile),
    Parquet(Box<ParquetAnswers>),
}

impl Target {
    fn begin(
        out: Option<&Path>,
        table: &TextTable,
        columns: &AddedColumns,
        output: &mut Output,
    ) -> anyhow::Result<Self> {
        let heading = columns.heading();
        Ok(match out {
            None => {
                output.bytes(&heading)?;
                Self::Printed
            }
            Some(out) if table.is_text() => {
                let mut file = WholeFile::begin(out)?;
                file.add(&heading)?;
                Self::File(file)
            }
            Some(out) => {
                let (names, kinds) = (columns.names(), columns.kinds());
                Self::Parquet(Box::new(ParquetAnswers::begin(columns.path(), out, names, kinds)?))
            }
        })
    }

    fn add(&mut self, written: Written, output: &mut Output) -> anyhow::Result<()> {
        match (self, written) {
            (Self::Printed, Written::Bytes(parts)) => parts.iter().try_for_each(|part| output.bytes(part)),
            (Self::File(file), Written::Bytes(parts)) => {
                Ok(parts.iter().try_for_each(|part| file.add(part))?)
            }
            (Self::Parquet(file), Written::Cells(cells)) => {
                Ok(cells.iter().try_for_each(|cells| file.add(cells))?)
            }
            _ => Ok(()),
        }
    }

    fn finish(self, ending: &[u8], output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Printed => output.bytes(ending),
            Self::File(mut file) => {
                file.add(ending)?;
                Ok(file.finish()?)
            }
            Self::Parquet(file) => Ok(file.finish()?),
        }
    }
}

/// What was said of rows: the first ones in words, the others by their places and their number.
struct Told {
    name: String,
    rows: usize,
    wrong: usize,
    unknown: usize,
    places: Vec<String>,
}

/// So many rows are told in words, and so many more by their places.
const IN_WORDS: usize = 10;
const BY_PLACE: usize = 100;

impl Told {
    fn add(&mut self, answered: &Answered, table: &TextTable, rows: usize) {
        self.rows += rows;
        for (row, what) in &answered.wrong {
            self.wrong += 1;
            if self.wrong <= IN_WORDS {
                message(&format!(
                    "warning: {}, {}: {what}; the row has no answer",
                    self.name,
                    table.place(*row)
                ));
            } else if self.places.len() < BY_PLACE {
                self.places.push(table.place(*row));
            }
        }
        for note in &answered.notes {
            self.unknown += 1;
            if self.unknown <= IN_WORDS {
                message(note);
            }
        }
    }

    fn finish(&self) {
        if self.wrong > IN_WORDS {
            let (count, places) = (self.wrong - IN_WORDS, self.places.join(", "));
            let more = if count > self.places.len() { ", …" } else { "" };
            message(&format!(
                "warning: {}: {count} more rows have no answer for such reasons: {places}{more}",
                self.name
            ));
        }
        if self.unknown > IN_WORDS {
            let count = self.unknown - IN_WORDS;
            message(&format!("note: {}: of {count} more texts the vocabulary knows no word", self.name));
        }
    }
}
