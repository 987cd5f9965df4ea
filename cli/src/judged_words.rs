//! A report in lines for a terminal.

use super::output::{table, visible};
use candle_recurrent::report::{
    ClassFigures, ClassReport, Means, Mistake, NumberReport, Report, Said, SetReport,
};

/// A confusion matrix of more classes is for the files alone.
const MOST_SHOWN: usize = 20;

/// The tables of a report; with `mistakes` the worst of them too.
pub(super) fn in_words(report: &Report, mistakes: bool) -> String {
    let mut parts = match report {
        Report::Classification(report) => classification(report),
        Report::MultiLabel(report) => sets(report),
        Report::Regression(report) => numbers(report),
    };
    if mistakes && !report.mistakes().is_empty() {
        let lines: Vec<String> = report.mistakes().iter().map(mistake).collect();
        parts.push(format!("the worst mistakes:\n{}", lines.join("\n")));
    }
    parts.join("\n\n")
}

fn classification(report: &ClassReport) -> Vec<String> {
    let means = [("macro mean", report.macro_mean), ("weighted mean", report.weighted_mean)];
    let area = report.roc_auc.map(|area| format!("ROC-AUC {area:.4}, ")).unwrap_or_default();
    let line = format!(
        "{area}Brier score {:.4}, calibration error {:.4}",
        report.brier, report.calibration.expected_calibration_error
    );
    let mut parts = vec![by_class(&report.classes, &means), line];
    if report.classes.len() <= MOST_SHOWN {
        parts.push(confusion(report));
    }
    parts
}

fn sets(report: &SetReport) -> Vec<String> {
    let means = [
        ("micro mean", report.micro_mean),
        ("macro mean", report.macro_mean),
        ("weighted mean", report.weighted_mean),
    ];
    let area = report.roc_auc.map(|area| format!("ROC-AUC {area:.4}, ")).unwrap_or_default();
    let line = format!(
        "sets that are right {:.4}, Hamming loss {:.4}, {area}calibration error {:.4}",
        report.accuracy, report.hamming_loss, report.calibration.expected_calibration_error
    );
    vec![by_class(&report.classes, &means), line]
}

fn numbers(report: &NumberReport) -> Vec<String> {
    vec![format!("MAE {:.4}, RMSE {:.4}, R² {:.4}", report.mae, report.rmse, report.r2)]
}

/// Precision, recall, F1 and rows of each class, and their means.
fn by_class(classes: &[ClassFigures], means: &[(&str, Means)]) -> String {
    let mut rows = vec![["class", "precision", "recall", "F1", "rows"].map(String::from).to_vec()];
    let figures = |precision: f64, recall: f64, f1: f64| [precision, recall, f1].map(|it| format!("{it:.4}"));
    rows.extend(classes.iter().map(|class| {
        let figures = match class.occurs() {
            true => figures(class.precision, class.recall, class.f1),
            false => ["-"; 3].map(String::from),
        };
        [&[label(&class.label)], &figures[..], &[class.support.to_string()]].concat()
    }));
    let all: usize = classes.iter().map(|class| class.support).sum();
    rows.extend(means.iter().map(|(name, mean)| {
        let figures = figures(mean.precision, mean.recall, mean.f1);
        [&[name.to_string()], &figures[..], &[all.to_string()]].concat()
    }));
    table(&rows)
}

fn confusion(report: &ClassReport) -> String {
    let names = report.classes.iter().map(|class| label(&class.label));
    let mut rows =
        vec![std::iter::once("is, taken for".to_string()).chain(names.clone()).collect::<Vec<_>>()];
    rows.extend(
        names
            .zip(&report.confusion)
            .map(|(name, row)| std::iter::once(name).chain(row.iter().map(ToString::to_string)).collect()),
    );
    table(&rows)
}

/// A name that fits into a table.
fn label(name: &str) -> String {
    const MOST: usize = 24;
    let name = visible(name).replace(['\n', '\t'], " ");
    match name.chars().count() > MOST {
        true => name.chars().take(MOST - 1).chain(['…']).collect(),
        false => name,
    }
}

/// `line 7: is good, taken for bad (0.9312): a lovely film`.
fn mistake(mistake: &Mistake) -> String {
    const SHOWN: usize = 160;
    let text = mistake.text.as_deref().unwrap_or_default();
    let text: String = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let colon = if text.is_empty() { "" } else { ": " };
    format!("{}: {}{colon}{cut}{more}", mistake.place.as_deref().unwrap_or_default(), said(&mistake.said))
}

/// `is good, taken for bad (0.9312)`.
pub(super) fn said(said: &Said) -> String {
    let set = |labels: &[String]| match labels {
        [] => "nothing".to_string(),
        labels => labels.iter().map(|it| label(it)).collect::<Vec<_>>().join(" + "),
    };
    match said {
        Said::Class { label: own, predicted, probability, .. } => {
            format!("is {}, taken for {} ({probability:.4})", label(own), label(predicted))
        }
        Said::Set { labels, predicted, .. } => format!("is {}, taken for {}", set(labels), set(predicted)),
        Said::Number { target, predicted } => format!("is {target}, taken for {predicted:.4}"),
    }
}
