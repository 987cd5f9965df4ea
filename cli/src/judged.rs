//! What `evaluate` judges: which rows there are, where each stands, and its text.

use candle_recurrent::data::{Examples, Labelled, Targets};
use candle_recurrent::report::{Kind, Report, Rows};
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::Evaluation;
use serde::Serialize;

/// Where rows and their texts come from.
pub(super) enum Origin {
    /// A file of texts and labels.
    Texts(Labelled),
    /// Reviews, which are there as ids: their text is what the model reads.
    Reviews(Option<Tokenizer>),
    /// Arrays.
    Arrays,
}

impl Origin {
    /// Where a row stands.
    pub(super) fn place(&self, row: usize) -> String {
        match self {
            Self::Texts(rows) => rows.place(row),
            Self::Reviews(_) => format!("review {}", row + 1),
            Self::Arrays => format!("row {row}"),
        }
    }

    /// The text of a row, where it has one.
    pub(super) fn text(&self, row: usize, examples: &Examples) -> anyhow::Result<Option<String>> {
        match self {
            Self::Texts(rows) => Ok(rows.texts.get(row).cloned()),
            Self::Reviews(Some(tokenizer)) => words(row, examples, tokenizer).map(Some),
            Self::Reviews(None) | Self::Arrays => Ok(None),
        }
    }
}

/// The text of a row of ids.
fn words(row: usize, examples: &Examples, tokenizer: &Tokenizer) -> anyhow::Result<String> {
    let Some(ids) = examples.inputs().first() else { return Ok(String::new()) };
    let ids = ids.slice(row, 1, &candle_core::Device::Cpu)?.to_dtype(candle_core::DType::U32)?;
    Ok(tokenizer.decode(&ids.flatten_all()?.to_vec1::<u32>()?))
}

/// A measurement with its report.
#[derive(Serialize)]
pub(super) struct Judged {
    #[serde(flatten)]
    pub(super) evaluation: Evaluation,
    /// None where answers are neither classes nor one number a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Report>,
}

/// The names of the classes: the model's own, or those of reviews.
pub(super) fn class_names(own: &[String], kind: Kind, origin: &Origin) -> Vec<String> {
    match (own, kind, origin) {
        ([], Kind::Binary, Origin::Reviews(_)) => ["negative", "positive"].map(String::from).to_vec(),
        ([], Kind::Binary, Origin::Texts(rows)) => {
            Targets::of_sentiment(rows).classes().unwrap_or_default().to_vec()
        }
        (own, ..) => own.to_vec(),
    }
}

/// Judges the answers, with the worst mistakes' places and texts.
pub(super) fn judge(
    rows: &Rows,
    classes: &[String],
    mistakes: usize,
    origin: &Origin,
    examples: &Examples,
) -> anyhow::Result<Report> {
    let mut report = Report::new(rows, classes, mistakes)?;
    for mistake in report.mistakes_mut() {
        mistake.place = Some(origin.place(mistake.row));
        mistake.text = origin.text(mistake.row, examples)?;
    }
    Ok(report)
}
