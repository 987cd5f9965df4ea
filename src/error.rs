//! The one error type of the library.

use std::path::{Path, PathBuf};

/// What an error came from: an error of the system, of Candle, of a reader of some format.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, said in one line: which file, layer, variable or argument, and what was expected.
///
/// The line says all there is to say. What the error came from, where there is something, is its
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read, written or understood.
    #[error("{}: {what}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        what: String,
        /// What it came from.
        source: Option<Cause>,
    },
    /// A place in a file of lines holds what it should not.
    #[error("{}, line {line}{}: {what}", .path.display(), field(.column))]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The field in the line, counted from 1; none where it is the line as a whole.
        column: Option<usize>,
        /// What is wrong there.
        what: String,
    },
    /// An argument is out of range or unknown.
    #[error("{argument}: {what}")]
    Argument {
        /// The argument's or field's name.
        argument: String,
        /// What was expected.
        what: String,
        /// What it came from.
        source: Option<Cause>,
    },
    /// A layer's configuration does not make sense.
    #[error("layer {layer}: {what}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// What was expected.
        what: String,
    },
    /// A variable's shape does not fit the model.
    #[error("variable {name}: the model needs shape {expected:?}, the checkpoint holds {found:?}")]
    Shape {
        /// The variable's full name, such as `lstm.kernel`.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// Data that training cannot use, such as no rows or a single class.
    #[error("data: {0}")]
    Data(String),
    /// The network or the Hub did not answer.
    #[error("network: {what}")]
    Network {
        /// What failed and what to do.
        what: String,
        /// What it came from.
        source: Option<Cause>,
    },
    /// Training produced a loss that is no number, or so large that there is no way back.
    #[error(
        "the loss became {loss:e} in epoch {epoch}, {}{first}: try a smaller learning rate, or clipnorm in the optimizer's \
         config; what was saved before stays",
        step(batch)
    )]
    Diverged {
        /// The loss.
        loss: f64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step of the epoch, counted from 1; none for the loss of the validation.
        batch: Option<usize>,
        /// What was not finite first, in words; nothing where that is not known.
        first: String,
    },
    /// An error of Candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// When a loss was no number.
fn step(batch: &Option<usize>) -> String {
    batch.map_or("at the validation".into(), |batch| format!("step {batch}"))
}

/// The field of a [`Error::Cell`] in words.
fn field(column: &Option<usize>) -> String {
    column.map_or_else(String::new, |column| format!(", field {column}"))
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// So that a training loop in Candle's result can use this crate with `?`.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(error) => error,
            other => Self::wrap(other),
        }
    }
}

impl Error {
    /// An [`Error::File`].
    pub fn file(path: impl AsRef<Path>, what: impl std::fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), what: one_line(&what), source: None }
    }

    /// An [`Error::File`] in the system's words, which keeps the system's error.
    pub fn io(path: impl AsRef<Path>, error: std::io::Error) -> Self {
        Self::file(path, &error).with_source(error)
    }

    /// The same error with what it came from; those that come from nothing but the data stay as they are.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match &mut self {
            Self::File { source, .. } | Self::Argument { source, .. } | Self::Network { source, .. } => {
                *source = Some(cause.into());
            }
            _ => {}
        }
        self
    }

    /// An [`Error::Argument`].
    pub fn argument(argument: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self::Argument { argument: one_line(&argument.into()), what: one_line(&what), source: None }
    }

    /// An [`Error::Network`].
    pub fn network(what: impl std::fmt::Display) -> Self {
        Self::Network { what: one_line(&what), source: None }
    }

    /// An [`Error::Layer`].
    pub fn layer(layer: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self::Layer { layer: one_line(&layer.into()), what: one_line(&what) }
    }
}

/// The text without control characters: names out of a file may hold some, and a message is one line. A backtrace, which
/// Candle's errors may bring, is left out.
fn one_line(text: &impl std::fmt::Display) -> String {
    let text = text.to_string();
    let (mut line, mut word) = (String::new(), 0);
    for c in text.split("\n   0: ").next().unwrap_or_default().chars() {
        word = if c == ' ' { 0 } else { word + 1 };
        match c.is_control() {
            _ if word > LONGEST + 1 => {}
            _ if word > LONGEST => line.push('…'),
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Characters of a word in a message: what a file calls something may be as long as the file.
const LONGEST: usize = 300;

/// The candidate most like `name`, if one is like it at all: for "did you mean".
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // What a file calls something may be as long as the file, and to compare takes as long as both lengths multiplied.
    const MOST: usize = 200;
    candidates
        .filter(|candidate| name.len().max(candidate.len()) <= MOST)
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// How alike two names are, from 0 to 1; large and small letters are the same.
fn likeness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{Error, nearest};

    #[test]
    fn an_error_keeps_what_it_came_from() {
        use std::error::Error as _;
        let missing = std::fs::read("no/such/file").expect_err("nothing there");
        let line = format!("no/such/file: {missing}");
        let error = Error::io("no/such/file", missing);
        assert_eq!(error.to_string(), line);
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        // Through another error too.
        let outer = Error::file("outer", &error).with_source(error);
        let mut at = outer.source();
        while let Some(error) = at.filter(|error| !error.is::<std::io::Error>()) {
            at = error.source();
        }
        assert!(at.is_some(), "{outer:?}");
        assert!(Error::layer("lstm", "is wrong").with_source("cause").source().is_none());
    }

    #[test]
    fn the_nearest_name_is_found_whatever_its_letters() {
        let zoo = ["simple-rnn", "lstm", "gru"];
        assert_eq!(nearest("GRU", zoo.into_iter()), Some("gru"));
        assert_eq!(nearest("lsmt", zoo.into_iter()), Some("lstm"));
        assert_eq!(nearest("transformer", zoo.into_iter()), None);
        assert_eq!(nearest(&"lstm".repeat(1 << 20), zoo.into_iter()), None);
    }
}
