//! Files of measurements, here or on the Hub.

use super::output::{Output, message};
use anyhow::bail;
use candle_recurrent::data::series::TableSource;
use candle_recurrent::formats::{Encoding, WholeFile};
use candle_recurrent::sharing::{DataFiles, Wanted};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The files that `--data` names: itself, or the files of a data set on the Hub: those to train on, or the latest to measure a
/// model on. Columns are for others to say.
pub(super) fn find(
    data: &Path,
    of_hub: Option<&DataFiles>,
    wanted: Wanted,
    encoding: Option<Encoding>,
) -> anyhow::Result<TableSource> {
    let Some(files) = of_hub else {
        if !data.exists() {
            bail!("--data {}: there is no such file", data.display());
        }
        return Ok(TableSource { files: vec![data.into()], encoding, ..TableSource::default() });
    };
    let parts: [&[PathBuf]; 3] = match wanted {
        Wanted::All => [&files.train, &[], &[]],
        Wanted::Test => [&files.test, &files.validation, &files.train],
    };
    let Some(own) = parts.into_iter().find(|part| !part.is_empty()) else {
        bail!("--data {}: has no part to train on", data.display());
    };
    let name = Some(data.display().to_string());
    Ok(TableSource { files: own.to_vec(), name, encoding, ..TableSource::default() })
}

/// Says which groups are shorter than `rows`, and so left out.
pub(super) fn left_out(names: &[&str], of: usize, rows: usize, groups: &str) {
    const SHOWN: usize = 3;
    if names.is_empty() {
        return;
    }
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    message(&format!(
        "warning: {} of {of} {groups} have fewer than {rows} rows and are left out: {}{more}",
        names.len(),
        shown.join(", ")
    ));
}

/// Refuses a name for the answer that says another form than it has.
pub(super) fn check_output(out: Option<&Path>) -> anyhow::Result<()> {
    let Some(out) = out else { return Ok(()) };
    match form(out) {
        Some(_) => Ok(()),
        None => bail!(
            "--output {}: the answer to measurements is CSV or JSON; give a .csv or .json",
            out.display()
        ),
    }
}

/// Whether a name is that of a file of JSON; none where it is of neither form.
fn form(out: &Path) -> Option<bool> {
    let suffix = out.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    match suffix.as_deref() {
        Some("json") => Some(true),
        None | Some("csv" | "txt") => Some(false),
        Some(_) => None,
    }
}

/// An answer in its two forms.
pub(super) struct Answer<'a> {
    pub(super) csv: &'a dyn Fn() -> String,
    pub(super) json: &'a dyn Fn() -> Value,
    /// What is said of a file that it was written to: by `--json`, and else.
    pub(super) counts: Value,
    pub(super) in_words: String,
}

impl Answer<'_> {
    /// Prints it as CSV or JSON; or writes it into a file, in the form that the file's name says, and tells of that.
    pub(super) fn tell(
        mut self,
        out: Option<&Path>,
        as_json: bool,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let Some(out) = out else {
            return match as_json {
                true => output.json(&(self.json)()),
                false => output.text(&(self.csv)()),
            };
        };
        let text = match form(out) {
            Some(true) => serde_json::to_string_pretty(&(self.json)())? + "\n",
            _ => (self.csv)(),
        };
        let mut file = WholeFile::begin(out)?;
        file.add(text.as_bytes())?;
        file.finish()?;
        if as_json {
            self.counts["output"] = out.display().to_string().into();
            return output.json(&self.counts);
        }
        output.line(format_args!("{}: {}", out.display(), self.in_words))
    }
}

/// The name of a column that stands beside these: where one has it already, with `forecast_` before it.
pub(super) fn free(name: &str, taken: &[&str]) -> String {
    let mut name = name.to_string();
    while taken.contains(&name.as_str()) {
        name.insert_str(0, "forecast_");
    }
    name
}

/// A cell of a CSV.
pub(super) fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}
