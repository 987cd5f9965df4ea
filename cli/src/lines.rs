//! The texts to classify, some at a time: arguments, or the lines of standard input.

use super::output;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, IsTerminal, Read};

/// The most bytes that a line may have.
const LONGEST: usize = 16 << 20;

/// About as many bytes of lines are handed out at a time, or fewer where there are no more for now.
const AT_A_TIME: usize = 1 << 20;

/// Where texts come from.
pub(super) enum Lines {
    /// Texts that are there already.
    Given(Vec<String>),
    /// Lines of standard input.
    Read(Reader<std::io::Stdin>),
}

impl Lines {
    /// The lines of standard input.
    pub(super) fn stdin() -> Self {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            output::message("type a text a line; Ctrl-D ends");
        }
        Self::Read(Reader::new(stdin))
    }

    /// The next texts, as many as there are without waiting, and one at least; nothing at the end. A blank line is a text
    /// without characters.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        match self {
            Self::Given(texts) if texts.is_empty() => Ok(None),
            Self::Given(texts) => Ok(Some(std::mem::take(texts))),
            Self::Read(reader) => reader.next(),
        }
    }
}

/// Lines that are being read.
pub(super) struct Reader<R> {
    reader: BufReader<R>,
    /// The lines that were read.
    number: usize,
    /// What went wrong behind the lines that were handed out last.
    failed: Option<anyhow::Error>,
}

impl<R: Read> Reader<R> {
    fn new(source: R) -> Self {
        Self { reader: BufReader::with_capacity(AT_A_TIME, source), number: 0, failed: None }
    }

    fn next(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut lines, mut size) = (Vec::new(), 0);
        while size < AT_A_TIME {
            // Of a pipe that pauses, what is there is answered first.
            if !lines.is_empty() && !self.reader.buffer().contains(&b'\n') {
                break;
            }
            match self.line() {
                Ok(Some(line)) => {
                    size += line.len() + 1;
                    lines.push(line);
                }
                Ok(None) => break,
                Err(error) if lines.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok((!lines.is_empty()).then_some(lines))
    }

    fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = Vec::new();
        let most = LONGEST as u64 + 2;
        let count = (&mut self.reader).take(most).read_until(b'\n', &mut line);
        if count.context("standard input cannot be read")? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > LONGEST {
            bail!("standard input, line {number}: is longer than {} MiB; give a text a line", LONGEST >> 20);
        }
        let Ok(mut line) = String::from_utf8(line) else {
            bail!("standard input, line {number}: is not UTF-8 text; convert the file first");
        };
        // Windows's editors put a byte order mark first.
        if number == 1 && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        if line.trim().is_empty() {
            line.clear();
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> (Vec<String>, Option<String>) {
        let mut reader = Reader::new(text);
        let mut lines = vec![];
        loop {
            match reader.next() {
                Ok(Some(more)) => lines.extend(more),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn lines_keep_their_places() {
        let lines = |text: &str| {
            let (lines, error) = all(text.as_bytes());
            assert_eq!(error, None);
            lines
        };
        assert_eq!(lines("\u{feff}good\r\n\n \t\nbad"), ["good", "", "", "bad"]);
        assert_eq!(lines("good\n"), ["good"]);
        assert_eq!(lines("\n"), [""]);
        assert!(lines("").is_empty());
        let many: String = (0..300_000).map(|at| format!("line {at}\n")).collect();
        let many = lines(&many);
        assert_eq!((many.len(), many[299_999].as_str()), (300_000, "line 299999"));
    }

    /// What stands before it is handed out, and it is named by its number.
    #[test]
    fn what_is_no_text_is_named() {
        let (lines, error) = all(b"good\n\nb\xff\nmore\n");
        assert_eq!(lines, ["good", ""]);
        assert_eq!(
            error.as_deref(),
            Some("standard input, line 3: is not UTF-8 text; convert the file first")
        );
        let long = [b"good\n".as_slice(), &vec![b'a'; LONGEST + 1], b"\nmore\n"].concat();
        let (lines, error) = all(&long);
        assert_eq!(lines, ["good"]);
        assert!(error.is_some_and(|error| error.contains("line 2: is longer than 16 MiB")));
        let most = [vec![b'a'; LONGEST].as_slice(), b"\r\nmore"].concat();
        assert_eq!(all(&most).0.len(), 2);
    }
}
