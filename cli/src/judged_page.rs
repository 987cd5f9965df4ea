//! A report as a page of HTML that stands alone: no scripts, nothing from elsewhere.

use super::judged_words::said;
use super::output::visible;
use candle_recurrent::plot::{self, Ground, Picture};
use candle_recurrent::report::{Calibration, ClassFigures, Means, Mistake, Report, Roc};
use std::fmt::Write;

/// What stands at the head of a page.
pub(super) struct Head<'a> {
    pub(super) model: &'a str,
    pub(super) data: &'a str,
    /// `1000 texts`.
    pub(super) count: String,
    /// Loss and metrics by their names.
    pub(super) figures: Vec<(String, f64)>,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2.2rem}
p.data{margin-top:.2rem;opacity:.75}
dl{display:flex;flex-wrap:wrap;gap:.8rem;padding:0}dl div{background:var(--soft);border-radius:.5rem;padding:.5rem .9rem}
dt{font-size:.8rem;opacity:.75}dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}tr.mean td{font-style:italic}
.wide{overflow-x:auto}.pictures{display:flex;flex-wrap:wrap;gap:1rem}
svg{max-width:100%;height:auto}
ol{padding-left:1.4rem}li{margin:.7rem 0}li .said{font-weight:600}
blockquote{margin:.2rem 0 0;padding-left:.8rem;border-left:3px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere}
footer{margin-top:3rem;font-size:.85rem;opacity:.75}";

/// The page.
pub(super) fn page(head: &Head, report: &Report) -> String {
    let mut body = String::new();
    let title = format!("{} on {}", head.model, head.data);
    // Writing to a text does not fail.
    let _ = write!(body, "<h1>{}</h1>\n<p class=\"data\">{}</p>\n", escaped(&title), escaped(&head.count));
    let mut cards = head.figures.clone();
    match report {
        Report::Classification(report) => {
            cards.extend(report.roc_auc.map(|area| ("ROC-AUC".into(), area)));
            cards.push(("F1, macro".into(), report.macro_mean.f1));
            cards.push(("Brier score".into(), report.brier));
            cards.push(("calibration error".into(), report.calibration.expected_calibration_error));
            body.push_str(&figures(&cards));
            let means = [("macro mean", report.macro_mean), ("weighted mean", report.weighted_mean)];
            body.push_str(&by_class(&report.classes, &means));
            body.push_str(&section(
                "Confusion",
                plot::confusion(&report.classes, &report.confusion, Ground::Page),
            ));
            // One curve of two classes is that of the second.
            let classes = match report.classes.as_slice() {
                [_, second] if report.curves.len() == 1 => std::slice::from_ref(second),
                classes => classes,
            };
            let named = classes.iter().zip(&report.curves);
            let named: Vec<(&str, &Roc)> =
                named.filter_map(|(class, curve)| Some((class.label.as_str(), curve.as_ref()?))).collect();
            body.push_str(&section("True over false positives", plot::roc(&named, Ground::Page)));
            body.push_str(&calibrated(&report.calibration));
        }
        Report::MultiLabel(report) => {
            cards.extend(report.roc_auc.map(|area| ("ROC-AUC".into(), area)));
            cards.push(("F1, micro".into(), report.micro_mean.f1));
            cards.push(("F1, macro".into(), report.macro_mean.f1));
            cards.push(("sets that are right".into(), report.accuracy));
            cards.push(("Hamming loss".into(), report.hamming_loss));
            body.push_str(&figures(&cards));
            let means = [
                ("micro mean", report.micro_mean),
                ("macro mean", report.macro_mean),
                ("weighted mean", report.weighted_mean),
            ];
            body.push_str(&by_class(&report.classes, &means));
            let curves = report.classes.iter().zip(&report.curves);
            let named: Vec<(&str, &Roc)> =
                curves.filter_map(|(class, curve)| Some((class.label.as_str(), curve.as_ref()?))).collect();
            body.push_str(&section("True over false positives", plot::roc(&named, Ground::Page)));
            body.push_str(&calibrated(&report.calibration));
        }
        Report::Regression(report) => {
            cards.extend([
                ("MAE".into(), report.mae),
                ("RMSE".into(), report.rmse),
                ("R²".into(), report.r2),
            ]);
            body.push_str(&figures(&cards));
        }
    }
    body.push_str(&mistakes(report.mistakes()));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}\
         <footer>candle-recurrent {}. Figures as scikit-learn defines them; classes that occur neither in the data nor in the \
         answers are left out of the macro mean.</footer>\n</body>\n</html>\n",
        escaped(&title),
        env!("CARGO_PKG_VERSION")
    )
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn figures(cards: &[(String, f64)]) -> String {
    let card =
        |(name, value): &(String, f64)| format!("<div><dt>{}</dt><dd>{value:.4}</dd></div>", escaped(name));
    format!("<dl>{}</dl>\n", cards.iter().map(card).collect::<String>())
}

fn by_class(classes: &[ClassFigures], means: &[(&str, Means)]) -> String {
    let cells = |cells: &[String]| cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
    let figure = |value: f64| format!("{value:.4}");
    let mut rows = String::new();
    for class in classes {
        let area = class.roc_auc.map_or_else(|| "–".into(), figure);
        let own = match class.occurs() {
            true => [class.precision, class.recall, class.f1].map(figure),
            false => ["–"; 3].map(String::from),
        };
        let row = [&[escaped(&class.label)], &own[..], &[area, class.support.to_string()]].concat();
        let _ = writeln!(rows, "<tr>{}</tr>", cells(&row));
    }
    let all: usize = classes.iter().map(|class| class.support).sum();
    for (name, mean) in means {
        let own = [mean.precision, mean.recall, mean.f1].map(figure);
        let row = [&[(*name).to_string()], &own[..], &[String::new(), all.to_string()]].concat();
        let _ = writeln!(rows, "<tr class=\"mean\">{}</tr>", cells(&row));
    }
    format!(
        "<h2>By class</h2>\n<div class=\"wide\"><table>\n<tr><th>class</th><th>precision</th><th>recall</th><th>F1</th>\
         <th>ROC-AUC</th><th>rows</th></tr>\n{rows}</table></div>\n"
    )
}

fn section(title: &str, picture: Option<Picture>) -> String {
    let Some(picture) = picture else { return String::new() };
    format!("<h2>{title}</h2>\n<div class=\"wide\">{}</div>\n", inline(&picture))
}

/// A picture as part of a page: without what stands before its first element, and as narrow as the page.
fn inline(picture: &Picture) -> String {
    let svg = picture.svg();
    let Some(at) = svg.find("<svg ") else { return String::new() };
    let svg = &svg[at..];
    let length = |name: &str| -> Option<&str> {
        let (_, rest) = svg.split_once(&format!(" {name}=\""))?;
        rest.split('"').next()
    };
    match (length("width"), length("height")) {
        (Some(width), Some(height)) => {
            svg.replacen("<svg ", &format!("<svg role=\"img\" viewBox=\"0 0 {width} {height}\" "), 1)
        }
        _ => svg.to_string(),
    }
}

fn calibrated(calibration: &Calibration) -> String {
    let Some(picture) = plot::reliability(calibration, Ground::Page) else { return String::new() };
    let mut rows = String::new();
    for bin in &calibration.bins {
        let shown = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
        let _ = writeln!(
            rows,
            "<tr><td>{:.1} – {:.1}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            bin.from,
            bin.to,
            bin.count,
            shown(bin.mean_probability),
            shown(bin.share)
        );
    }
    format!(
        "<h2>Calibration</h2>\n<div class=\"pictures\"><div>{}</div><div class=\"wide\"><table>\n<tr><th>probability</th><th>rows</th>\
         <th>mean</th><th>share that is so</th></tr>\n{rows}</table></div></div>\n",
        inline(&picture)
    )
}

fn mistakes(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return String::new();
    }
    const SHOWN: usize = 2000;
    let mut items = String::new();
    for mistake in mistakes {
        let text = mistake.text.as_deref().unwrap_or_default();
        let cut: String = text.chars().take(SHOWN).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        let place = mistake.place.as_deref().unwrap_or_default();
        let _ = write!(
            items,
            "<li>{}: <span class=\"said\">{}</span>",
            escaped(place),
            escaped(&said(&mistake.said))
        );
        if !text.is_empty() {
            let _ = write!(items, "<blockquote dir=\"auto\">{}{more}</blockquote>", escaped(&cut));
        }
        items.push_str("</li>\n");
    }
    format!("<h2>The worst mistakes</h2>\n<ol>\n{items}</ol>\n")
}
