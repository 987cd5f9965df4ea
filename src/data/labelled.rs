//! Texts with their labels from people's own files: which column is which, and rows that cannot be used.

use super::label_lists;
use super::left_out::{LeftOut, Skipped};
use crate::formats::{Encoding, How, TextTable, npz};
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file of texts and labels, or a folder with a sub-folder a class, and which columns to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledSource {
    /// The file or folder.
    pub path: PathBuf,
    /// Files with more of the same rows, which follow those of the first.
    pub more: Vec<PathBuf>,
    /// What all of it is called; by the file's name where nothing is said.
    pub name: Option<String>,
    /// The column of the texts, by its name or its number from 1; found by the names' usual meaning where none is given.
    pub text_column: Option<String>,
    /// The column of the labels, likewise.
    pub label_column: Option<String>,
    /// Whether a row may have several labels, or none.
    pub multi_label: bool,
    /// What stands between several labels; found out where it is not said.
    pub label_separator: Option<String>,
    /// The encoding of the files; found out where it is not said.
    pub encoding: Option<Encoding>,
}

/// Texts with their labels as they stand in a file.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    /// What the file is called.
    pub name: String,
    /// What the file was found to be, and which columns are taken, in words.
    pub found: String,
    /// The texts.
    pub texts: Vec<String>,
    /// Their labels, as numbers of [`names`](Self::names).
    pub labels: Vec<usize>,
    /// The labels that there are, in the order in which they come; where a row may have several, all of a row's as they
    /// stand in the file.
    pub names: Vec<String>,
    /// What stands between several labels of a row, where rows may have several.
    pub separator: Option<String>,
    /// Where each row stands: its line, its number or its file, in words by [`place`](Self::place).
    rows: Vec<usize>,
    /// How rows are named, and the names of those of a folder.
    kind: Kind,
    /// The rows that cannot be used: where they stand and what is wrong with them.
    pub skipped: LeftOut,
}

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Lines,
    Places(Vec<String>),
    /// Where the rows of each file begin, and its name.
    Files(Vec<(usize, String)>),
}

/// The names that columns of texts often have, the likeliest first.
pub(super) const TEXTS: [&str; 16] = [
    "text",
    "document",
    "review",
    "sentence",
    "content",
    "comment",
    "body",
    "message",
    "tweet",
    "utterance",
    "post",
    "review_text",
    "reviews",
    "texts",
    "sms",
    "description",
];

/// Those of labels.
const LABELS: [&str; 14] = [
    "label",
    "class",
    "target",
    "sentiment",
    "category",
    "labels",
    "intent",
    "emotion",
    "topic",
    "polarity",
    "rating",
    "score",
    "stars",
    "y",
];

pub(super) fn is_name(field: &str) -> bool {
    let field = field.trim().to_lowercase();
    TEXTS.contains(&field.as_str()) || LABELS.contains(&field.as_str())
}

/// The most bytes that a text may have.
pub(super) const LONGEST: usize = 16 << 20;

impl LabelledSource {
    /// Whether a path is one of texts and labels, and not of arrays or of reviews in one of their own forms.
    pub fn holds(path: &Path) -> bool {
        if path.is_dir() {
            let has = |name: &str| path.join(name).exists();
            return !["imdb.npz", "train/pos", "aclImdb/train/pos"].iter().any(|name| has(name))
                && (has_classes(path) || has_classes(&path.join("train")));
        }
        const ARRAYS: [&str; 4] = ["npz", "npy", "safetensors", "pt"];
        // An archive of such a name is no file of arrays, but a table that wants unpacking.
        const TABLES: [&str; 9] = ["csv", "tsv", "txt", "jsonl", "ndjson", "json", "gz", "zst", "zip"];
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        let is = |known: &[&str]| suffix.as_deref().is_some_and(|suffix| known.contains(&suffix));
        let is_archive = || std::fs::metadata(path).is_ok_and(|it| it.len() > 0) && npz::is_archive(path);
        path.is_file() && !is(&ARRAYS) && (is(&TABLES) || !is_archive())
    }

    /// The same columns of other files, which are read as one; none of no files.
    pub fn of_files(&self, files: &[PathBuf], name: Option<String>) -> Option<Self> {
        let (path, more) = files.split_first()?;
        Some(Self { path: path.clone(), more: more.to_vec(), name, ..self.clone() })
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Cell`] where the file cannot be read or understood, [`Error::Argument`] for a column that
    /// is not there, [`Error::Data`] where no row can be used.
    pub fn read(&self) -> Result<Labelled> {
        let mut rows = self.read_file()?;
        for path in &self.more {
            rows.append(Self { path: path.clone(), ..self.clone() }.read_file()?);
        }
        if !self.more.is_empty() {
            rows.found = format!("{} files, {}", self.more.len() + 1, rows.found);
        }
        rows.name = self.name.clone().unwrap_or(rows.name);
        rows.check(&self.path)?;
        if self.multi_label {
            let given = self.label_separator.clone();
            rows.separator = given.or_else(|| label_lists::find_separator(&rows.names));
            let what = label_lists::in_words(rows.separator.as_deref());
            rows.found.push_str(&format!("; {what}"));
        }
        Ok(rows)
    }

    fn read_file(&self) -> Result<Labelled> {
        let how = How { is_name, lists: self.multi_label, encoding: self.encoding };
        let table = TextTable::open(&self.path, how)?;
        let (text, label) = self.columns(&table)?;
        let name =
            self.path.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
        let columns = table.columns();
        let column = |index: usize| match table.has_names() {
            true => format!("{:?}", columns[index]),
            false => columns[index].clone(),
        };
        let found = format!(
            "{}; texts from column {}, labels from column {}",
            table.found(),
            column(text),
            column(label)
        );
        let mut rows = Labelled { name, found, ..Labelled::default() };
        let mut numbers = HashMap::<String, usize>::new();
        let is_folder = self.path.is_dir();
        let mut places = vec![];
        let skipped = &mut rows.skipped;
        let mut skip = |row: usize, what: String| skipped.push(|| Skipped { place: table.place(row), what });
        table.for_each(&[text, label], &mut |row, fields| {
            let (text, label) = match fields.and_then(|fields| usable(fields, self.multi_label)) {
                Ok(pair) => pair,
                Err(what) => return skip(row, what),
            };
            let number = match numbers.get(label) {
                Some(number) => *number,
                None => {
                    rows.names.push(label.into());
                    *numbers.entry(label.into()).or_insert(rows.names.len() - 1)
                }
            };
            rows.texts.push(text.into());
            rows.labels.push(number);
            rows.rows.push(row);
            if is_folder {
                places.push(table.place(row));
            }
        })?;
        if is_folder {
            rows.kind = Kind::Places(places);
        }
        Ok(rows)
    }

    /// The training, validation and test folders of a folder that has them, each with a sub-folder a class: `train`,
    /// `validation` (`valid`, `val`, `dev`) and `test`.
    pub fn folders(&self) -> Option<[Option<Self>; 3]> {
        let folder = |names: &[&str]| {
            let paths = names.iter().map(|name| self.path.join(name));
            let path = paths.into_iter().find(|path| has_classes(path))?;
            Some(Self { path, ..self.clone() })
        };
        let train = folder(&["train"])?;
        let parts = [Some(train), folder(&["validation", "valid", "val", "dev"]), folder(&["test"])];
        (!has_classes(&self.path)).then_some(parts)
    }

    /// The columns of texts and labels.
    fn columns(&self, table: &TextTable) -> Result<(usize, usize)> {
        let columns = table.columns();
        let all = || table.columns_in_words();
        if columns.len() < 2 {
            let what = format!("has one column ({}), expected one of texts and one of labels", all());
            return Err(Error::file(&self.path, what));
        }
        let named = |option: &str, name: &Option<String>| -> Result<Option<usize>> {
            let Some(name) = name else { return Ok(None) };
            let found = table.column(name);
            let missing = || {
                let what = format!("{} has no column {name:?}; it has {}", self.path.display(), all());
                Error::argument(option, what)
            };
            found.map(Some).ok_or_else(missing)
        };
        let text = named("text_column", &self.text_column)?;
        let label = named("label_column", &self.label_column)?;
        let usual = |names: &[&str], other: Option<usize>| {
            let is = |name: &str, column: &String| column.trim().to_lowercase() == name;
            let places = names.iter().filter_map(|name| columns.iter().position(|column| is(name, column)));
            places.into_iter().find(|place| Some(*place) != other)
        };
        let label = label.or_else(|| usual(&LABELS, text));
        let text = text.or_else(|| usual(&TEXTS, label));
        let other = |taken: usize| (columns.len() == 2).then_some(1 - taken.min(1));
        let (text, label) = match (text, label) {
            (None, None) if columns.len() == 2 => match (table.length(0), table.length(1)) {
                (Some(first), Some(second)) if first > second => (Some(0), Some(1)),
                (Some(first), Some(second)) if first < second => (Some(1), Some(0)),
                _ => (None, None),
            },
            (Some(text), None) => (Some(text), other(text)),
            (None, Some(label)) => (other(label), Some(label)),
            both => both,
        };
        let unknown = |argument: &str, what: &str| {
            let what = format!(
                "which column of {} holds the {what} cannot be told; name it: {}",
                self.path.display(),
                all()
            );
            Error::argument(argument, what)
        };
        let text = text.ok_or_else(|| unknown("text_column", "texts"))?;
        let label = label.ok_or_else(|| unknown("label_column", "labels"))?;
        if text == label {
            return Err(Error::argument("label_column", "is the column of the texts; name another"));
        }
        Ok((text, label))
    }
}

/// Whether some sub-folder holds texts.
fn has_classes(path: &Path) -> bool {
    let entries =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_text = |path: PathBuf| path.extension().is_some_and(|suffix| suffix == "txt");
    entries(path).any(|folder| folder.is_dir() && entries(&folder).any(is_text))
}

/// A text and a label that can be used.
fn usable<'a>(
    fields: &[Option<&'a str>],
    multi_label: bool,
) -> std::result::Result<(&'a str, &'a str), String> {
    let [text, label] = [0, 1].map(|at| fields.get(at).copied().flatten().unwrap_or(""));
    let label = label.trim();
    let what = match text {
        _ if text.trim().is_empty() && multi_label => "has no text",
        _ if label.is_empty() && text.trim().is_empty() => "has neither text nor label",
        _ if label.is_empty() && !multi_label => "has no label",
        _ if text.trim().is_empty() => "has no text",
        _ if text.contains('\0') || label.contains('\0') => "holds a NUL character",
        _ if text.len() > LONGEST => "has a text of more than 16 MiB",
        _ if label.len() > 1000 && !multi_label => "has a label of more than 1000 bytes",
        _ => return Ok((text, label)),
    };
    Err(what.into())
}

impl Labelled {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Where a row stands: `line 7`.
    pub fn place(&self, row: usize) -> String {
        match (&self.kind, self.rows.get(row)) {
            (Kind::Places(places), _) => places.get(row).cloned().unwrap_or_default(),
            (Kind::Lines, Some(line)) => format!("line {line}"),
            (Kind::Files(files), Some(line)) => match files.iter().rev().find(|(start, _)| *start <= row) {
                Some((_, name)) => format!("{name}, line {line}"),
                None => format!("line {line}"),
            },
            (Kind::Lines | Kind::Files(_), None) => format!("row {row}"),
        }
    }

    /// Puts the rows of another file after these.
    fn append(&mut self, mut other: Self) {
        let mut files = match std::mem::take(&mut self.kind) {
            Kind::Files(files) => files,
            Kind::Lines | Kind::Places(_) => {
                self.skipped.name(&self.name);
                vec![(0, self.name.clone())]
            }
        };
        files.push((self.len(), other.name.clone()));
        self.kind = Kind::Files(files);
        let mut numbers: HashMap<String, usize> =
            self.names.iter().cloned().enumerate().map(|(number, name)| (name, number)).collect();
        let renumbered: Vec<usize> = other
            .names
            .into_iter()
            .map(|name| {
                *numbers.entry(name).or_insert_with_key(|name| {
                    self.names.push(name.clone());
                    self.names.len() - 1
                })
            })
            .collect();
        self.labels.extend(other.labels.into_iter().map(|label| renumbered[label]));
        self.texts.extend(other.texts);
        self.rows.extend(other.rows);
        other.skipped.name(&other.name);
        self.skipped.append(other.skipped);
    }

    fn check(&self, path: &Path) -> Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        Err(Error::file(
            path,
            match self.skipped.first().first() {
                None => "holds no rows; expected rows of a text and a label".to_string(),
                Some(Skipped { place, what }) => {
                    format!("none of its {} rows can be used: {place} {what}", self.skipped.count())
                }
            },
        ))
    }

    /// Leaves out the rows whose label `against` says something about.
    pub(super) fn keep(&mut self, against: impl Fn(&str) -> Option<String>) {
        let is_bad: Vec<bool> = self.names.iter().map(|name| against(name).is_some()).collect();
        if !is_bad.contains(&true) {
            return;
        }
        let mut skipped = std::mem::take(&mut self.skipped);
        let (mut texts, mut labels, mut rows, mut places) = (vec![], vec![], vec![], vec![]);
        for (row, text) in std::mem::take(&mut self.texts).into_iter().enumerate() {
            let label = self.labels[row];
            if is_bad[label] {
                let what = || against(&self.names[label]).unwrap_or_default();
                skipped.push(|| Skipped { place: self.place(row), what: what() });
                continue;
            }
            texts.push(text);
            labels.push(label);
            rows.push(self.rows[row]);
            if !matches!(self.kind, Kind::Lines) {
                places.push(self.place(row));
            }
        }
        if !matches!(self.kind, Kind::Lines) {
            self.kind = Kind::Places(places);
        }
        (self.texts, self.labels, self.rows, self.skipped) = (texts, labels, rows, skipped);
    }
}
