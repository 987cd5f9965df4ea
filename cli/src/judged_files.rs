//! `evaluate --out`: the report as files in a folder.

use super::judged::{Judged, Origin};
use super::judged_page::{Head, page};
use anyhow::bail;
use candle_recurrent::data::Examples;
use candle_recurrent::formats::WholeFile;
use candle_recurrent::plot::{self, Ground};
use candle_recurrent::report::{Kind, Report, Rows};
use std::path::Path;

/// Makes the folder, and says why not where it cannot be.
pub(super) fn prepare(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("--out {}: is no folder; name another", folder.display());
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| anyhow::anyhow!("--out {}: cannot be made: {error}", folder.display()))
}

/// Everything that the files tell of.
pub(super) struct Told<'a> {
    pub(super) judged: &'a Judged,
    pub(super) report: &'a Report,
    pub(super) rows: &'a Rows,
    pub(super) origin: &'a Origin,
    pub(super) examples: &'a Examples,
    pub(super) head: Head<'a>,
}

impl Told<'_> {
    /// Writes the files.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let whole = |name: &str, bytes: &[u8]| -> anyhow::Result<()> {
            let mut file = WholeFile::begin(folder.join(name))?;
            file.add(bytes)?;
            Ok(file.finish()?)
        };
        whole("report.html", page(&self.head, self.report).as_bytes())?;
        whole("report.json", (serde_json::to_string_pretty(self.judged)? + "\n").as_bytes())?;
        if let Report::Classification(report) = self.report
            && let Some(picture) = plot::confusion(&report.classes, &report.confusion, Ground::Paper)
        {
            picture.save(folder.join("confusion.svg"))?;
            picture.save(folder.join("confusion.png"))?;
        }
        self.predictions(&folder.join("predictions.csv"))
    }

    /// A line a row: where it stands, what it is, what it is taken for, the probability of each class, its text.
    fn predictions(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = WholeFile::begin(path)?;
        let names = self.names();
        let probabilities = names.iter().map(|name| format!("probability of {name}"));
        let heading: Vec<String> = ["place", "label", "predicted"].map(String::from).to_vec();
        let heading = heading.into_iter().chain(probabilities).chain(["text".into()]).collect::<Vec<_>>();
        file.add(line(&heading).as_bytes())?;
        for row in 0..self.rows.len() {
            let mut cells = vec![self.origin.place(row)];
            cells.extend(self.answer(row, &names));
            cells.extend(
                (0..names.len()).map(|class| format!("{}", self.rows.probability(row, class) as f32)),
            );
            cells.push(self.origin.text(row, self.examples)?.unwrap_or_default());
            file.add(line(&cells).as_bytes())?;
        }
        Ok(file.finish()?)
    }

    fn names(&self) -> Vec<String> {
        match self.report {
            Report::Classification(report) => {
                report.classes.iter().map(|class| class.label.clone()).collect()
            }
            Report::MultiLabel(report) => report.classes.iter().map(|class| class.label.clone()).collect(),
            Report::Regression(_) => vec![],
        }
    }

    /// What a row is, and what it is taken for.
    fn answer(&self, row: usize, names: &[String]) -> [String; 2] {
        let rows = self.rows;
        match rows.kind() {
            Kind::Binary | Kind::Classes => {
                [rows.class(row), rows.predicted(row)].map(|class| names[class].clone())
            }
            Kind::Sets => [|it: (bool, bool)| it.0, |it: (bool, bool)| it.1].map(|of| {
                let within = names.iter().enumerate().filter(|(class, _)| of(rows.in_set(row, *class)));
                within.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("|")
            }),
            Kind::Numbers => [rows.target(row), rows.values(row)]
                .map(|it| it.first().map(f32::to_string).unwrap_or_default()),
        }
    }
}

/// A line of fields separated by commas, in quotes where they need them.
fn line(fields: &[String]) -> String {
    let quoted = |field: &String| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}
