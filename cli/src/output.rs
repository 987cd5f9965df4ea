//! Standard output for results, standard error for everything else.

use super::closed;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Stdout, Write};

/// Standard output, line by line, so that a reader sees each line when it is there.
pub(super) struct Output(Stdout);

impl Output {
    pub(super) fn stdout() -> Self {
        Self(io::stdout())
    }

    /// Writes lines for people: what could move the cursor or turn the text around is escaped.
    pub(super) fn line(&mut self, text: impl std::fmt::Display) -> anyhow::Result<()> {
        self.bytes(format!("{}\n", visible(&text.to_string())).as_bytes())
    }

    /// Writes text as it stands, which nobody from outside has a say in: numbers, or lines that went through [`visible`].
    pub(super) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// The same, as bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        open().and_then(|()| self.0.write_all(bytes)).map_err(fail)
    }

    /// Writes one JSON value.
    pub(super) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        self.bytes(format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.0.flush().map_err(fail)
    }
}

/// Whether there is a standard output to write to.
pub(super) fn open() -> io::Result<()> {
    match closed::stdout() {
        true => Err(io::Error::other("it is closed")),
        false => Ok(()),
    }
}

/// Keeps the kind of error, so that a closed pipe is still known as one.
pub(super) fn fail(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => anyhow::anyhow!("standard output cannot be written: {error}"),
    }
}

/// Writes a line to standard error; where that is closed, to nobody.
pub(super) fn message(line: &str) {
    let _ = writeln!(io::stderr(), "{}", visible(&without_numbers(line)));
}

/// The line without the numbers of the system's errors, which say nothing to its reader.
fn without_numbers(line: &str) -> String {
    let mut parts = line.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |line, part| line + part.split_once(')').map_or(part, |(_, rest)| rest))
}

/// The text with control characters and those that set the direction of writing as escapes; lines and tabs stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    // As a rule there is nothing to be done, which bytes tell at once.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\t' => shown.push(c),
            _ if c.is_control() || turns => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A table with aligned columns: numbers (judged by the last row) to the right, words to the left.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |cell: &String| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit());
    let right: Vec<bool> = rows.last().map(|row| row.iter().map(is_number).collect()).unwrap_or_default();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&right).map(|((cell, &width), right)| match right {
            false => format!("{cell:<width$}"),
            true => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(
            visible("a\u{1b}[2J\u{9b}\u{7f}\r\u{202e}b\n\tc 가"),
            "a\\u{1b}[2J\\u{9b}\\u{7f}\\u{d}\\u{202e}b\n\tc 가"
        );
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let rows = [row(["name", "loss"]), row(["gru", "0.43"]), row(["simple-rnn", "0.5"])];
        assert_eq!(table(&rows), "name        loss\ngru         0.43\nsimple-rnn   0.5");
    }
}
