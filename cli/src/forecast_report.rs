//! Figures of forecasts in tables and as JSON.

use candle_recurrent::data::series::ForecastFigures;
use candle_recurrent::forecast::{Backtest, Compared};

/// A number with as many digits as say something.
pub(super) fn number(value: f64) -> String {
    let whole = value.abs().max(1e-300).log10().floor() as i32 + 1;
    let digits = (5 - whole).clamp(0, 8) as usize;
    if value.is_finite() { format!("{value:.digits$}") } else { "-".into() }
}

/// The heads of the columns, `first` before them.
pub(super) fn heads(first: &[&str]) -> Vec<String> {
    first.iter().chain(&["MAE", "RMSE", "sMAPE", "MASE"]).map(|head| head.to_string()).collect()
}

fn figures(figures: &ForecastFigures) -> [String; 4] {
    let mase = figures.mase.map_or("-".into(), |mase| format!("{mase:.3}"));
    [number(figures.mae), number(figures.rmse), format!("{:.2}", figures.smape), mase]
}

/// A row for the model and for each of the naive ways.
pub(super) fn rows(first: &str, model: &str, season: usize, compared: &Compared) -> Vec<Vec<String>> {
    let all = compared.figures();
    let row = |name: &str, of: &ForecastFigures| {
        [vec![first.to_string(), name.to_string()], figures(of).to_vec()].concat()
    };
    let mut rows = vec![row(model, &all.model), row("naive", &all.naive)];
    if let Some(seasonal) = &all.seasonal_naive {
        rows.push(row(&format!("seasonal naive ({season})"), seasonal));
    }
    rows
}

/// What is said beneath the figures: how wide the band is (`80 of 100 truths are within the band`), and which figures are not
/// what their names say.
pub(super) fn remarks(test: &Backtest) -> Vec<String> {
    let coverage =
        test.coverage().map(|part| format!("{:.0} of 100 truths are within the band", 100.0 * part));
    let short = (test.without_season > 0).then(|| {
        format!(
            "{} of {} forecasts have less than a season before them: the seasonal naive one is the last value there",
            test.without_season, test.origins
        )
    });
    let unscaled = match test.unscaled.as_slice() {
        [] => None,
        [only] if only.is_empty() => {
            Some("no MASE: the model knows no training part of this series to measure by".into())
        }
        [first, ..] => Some(format!(
            "MASE leaves {} series out, the first {first:?}: the model knows no training part of them to measure by, or one \
             that never changes",
            test.unscaled.len()
        )),
    };
    coverage.into_iter().chain(short).chain(unscaled).collect()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_digits_that_say_something() {
        assert_eq!(number(1234567.8), "1234568");
        assert_eq!(number(371.2345), "371.23");
        assert_eq!(number(0.012_345_67), "0.012346");
        assert_eq!(number(0.0), "0.00000000");
        assert_eq!(number(f64::NAN), "-");
    }
}
