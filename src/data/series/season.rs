//! Seasons, and the forecasts that cost nothing: the last value again, or that of a season ago.

/// The longest season that is looked for, in steps.
const LONGEST: usize = 400;

/// As many values, the latest, tell.
const VALUES: usize = 20_000;

/// The length of a season by the autocorrelation: the place of its highest peak. None where there is no clear one.
pub(super) fn by_autocorrelation(values: &[f64]) -> Option<usize> {
    let values = &values[values.len().saturating_sub(VALUES)..];
    let count = values.len();
    if count < 8 {
        return None;
    }
    let rest = without_trend(values);
    let variance = rest.iter().map(|value| value * value).sum::<f64>();
    if variance.is_nan() || variance <= 0.0 {
        return None;
    }
    let at = |lag: usize| rest.iter().zip(&rest[lag..]).map(|(a, b)| a * b).sum::<f64>() / variance;
    let correlations: Vec<f64> = (0..=(count / 3).min(LONGEST)).map(at).collect();
    let least = 0.2_f64.max(2.0 / (count as f64).sqrt());
    let (mut lowest, mut best) = (f64::INFINITY, None);
    for (lag, part) in correlations.windows(3).enumerate() {
        lowest = lowest.min(part[0]);
        let is_peak = part[1] > part[0] && part[1] >= part[2] && part[1] >= least && part[1] - lowest >= 0.1;
        if is_peak && best.is_none_or(|(_, height)| part[1] > height) {
            best = Some((lag + 1, part[1]));
        }
    }
    best.map(|(lag, _)| lag).filter(|&lag| lag > 1)
}

/// The values less the straight line that fits them best.
fn without_trend(values: &[f64]) -> Vec<f64> {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let pairs = || values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value - mean));
    let slope =
        pairs().map(|(at, value)| at * value).sum::<f64>() / pairs().map(|(at, _)| at * at).sum::<f64>();
    pairs().map(|(at, value)| value - slope * at).collect()
}

/// What the naive forecast says of the step `step` (from 0) after the values before `origin`: the last of them.
pub fn naive(values: &[f64], origin: usize) -> f64 {
    values.get(origin.wrapping_sub(1)).copied().unwrap_or(f64::NAN)
}

/// What the seasonal naive forecast says: the value of a season ago, or of as many seasons as the step is beyond. Where the
/// series is shorter than that, the naive one.
pub fn seasonal_naive(values: &[f64], origin: usize, step: usize, season: usize) -> f64 {
    let back = season * (step / season + 1);
    match (origin + step).checked_sub(back) {
        Some(at) if season > 1 => values[at],
        _ => naive(values, origin),
    }
}

/// Whether there is a season before some value, or only the last value.
pub(super) fn has_season(values: usize, season: usize) -> bool {
    season > 1 && season < values
}

/// How far the seasonal naive forecast of one step is off within these values, on average; the naive one where they are no more
/// than a season.
pub(super) fn mase_scale(values: &[f64], season: usize) -> f64 {
    let season = if has_season(values.len(), season) { season } else { 1 };
    let errors = values.iter().zip(&values[season.min(values.len())..]).map(|(a, b)| (a - b).abs());
    let count = values.len().saturating_sub(season);
    errors.sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasons_are_found() {
        let wave = |season: f64, trend: f64| -> Vec<f64> {
            (0..200)
                .map(|at| (f64::from(at) * std::f64::consts::TAU / season).sin() + trend * f64::from(at))
                .collect()
        };
        assert_eq!(by_autocorrelation(&wave(12.0, 0.0)), Some(12));
        assert_eq!(by_autocorrelation(&wave(7.0, 0.5)), Some(7));
        let line: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(by_autocorrelation(&line), None);
        assert_eq!(by_autocorrelation(&[1.0; 50]), None);
    }

    #[test]
    fn naive_forecasts() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(naive(&values, 10), 9.0);
        let ahead: Vec<f64> = (0..6).map(|step| seasonal_naive(&values, 10, step, 4)).collect();
        assert_eq!(ahead, [6.0, 7.0, 8.0, 9.0, 6.0, 7.0]);
        assert_eq!(seasonal_naive(&values, 2, 0, 4), 1.0);
        assert_eq!(mase_scale(&values[..8], 4), 4.0);
        assert_eq!(mase_scale(&values[..3], 4), 1.0);
    }
}
