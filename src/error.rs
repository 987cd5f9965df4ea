//! The one error type of the library.

use std::path::{Path, PathBuf};

/// What went wrong, said in one line: which file, layer, variable or argument, and what was expected.
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
    },
    /// An argument is out of range or unknown.
    #[error("{argument}: {what}")]
    Argument {
        /// The argument's name, as its user wrote it.
        argument: String,
        /// What was expected.
        what: String,
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
    #[error("network: {0}")]
    Network(String),
    /// Training produced a loss that is not a finite number.
    #[error(
        "the loss became {loss} in epoch {epoch}: try a smaller learning rate; what was saved before stays"
    )]
    Diverged {
        /// The loss, NaN or infinite.
        loss: f64,
        /// The epoch, counted from 1.
        epoch: usize,
    },
    /// An error of Candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::File`].
    pub fn file(path: impl AsRef<Path>, what: impl std::fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), what: one_line(&what) }
    }

    /// An [`Error::Argument`].
    pub fn argument(argument: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self::Argument { argument: one_line(&argument.into()), what: one_line(&what) }
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
    let mut line = String::new();
    for c in text.split("\n   0: ").next().unwrap_or_default().chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}
