//! What `train all` ends with: a table of the runs, and their validation losses in one picture.

use super::output::table;
use super::report::Report;
use super::run_folder::{RUNS, first_free};
use candle_recurrent::plot;
use candle_recurrent::train::History;
use std::path::{Path, PathBuf};

/// The table of the runs.
pub(super) fn comparison_table(reports: &[Report]) -> String {
    let header = ["name", "params", "best epoch", "val_loss", "val_acc", "test_loss", "test_acc", "seconds"];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(reports.iter().map(|report| {
        let figure =
            |name: &str| report.results.get(name).map_or_else(|| "-".into(), |value| format!("{value:.4}"));
        vec![
            report.model.clone(),
            report.params.to_string(),
            format!("{} of {}", report.results.best_epoch, report.results.epochs),
            figure("val_loss"),
            figure("val_accuracy"),
            figure("test_loss"),
            figure("test_accuracy"),
            format!("{:.1}", report.results.seconds),
        ]
    }));
    table(&rows)
}

/// Draws the comparison as SVG and PNG into `out`, or beside the other runs under a name that is free; the path of the
/// PNG.
pub(super) fn save_comparison(
    runs: &[(String, History)],
    data: &str,
    out: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let picture = plot::comparison(&format!("validation loss on {data}"), runs)?;
    let stem = match out {
        Some(out) => out.join("comparison"),
        None => first_free(Path::new(RUNS), "comparison", |stem| {
            !stem.with_extension("png").exists() && !stem.with_extension("svg").exists()
        }),
    };
    picture.save(stem.with_extension("svg"))?;
    let path = stem.with_extension("png");
    picture.save(&path)?;
    Ok(path)
}
