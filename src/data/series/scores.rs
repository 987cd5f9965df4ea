//! How far forecasts are off, in the file's units.

use serde::Serialize;

/// Sums over forecasts, of which the figures are means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    absolute: f64,
    square: f64,
    relative: f64,
    scaled: f64,
    count: usize,
    /// How many of them there is a scale for.
    scaled_count: usize,
}

/// The figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The mean of the errors' sizes.
    pub mae: f64,
    /// The root of the mean of the errors' squares.
    pub rmse: f64,
    /// The mean of 2 |error| / (|truth| + |forecast|), in percent.
    pub smape: f64,
    /// The mean of the errors' sizes by that of the seasonal naive forecast of one step within the training part (Hyndman and
    /// Koehler 2006), over those series that have one; none where no series has.
    pub mase: Option<f64>,
}

impl Scores {
    /// Adds a forecast; `scale` is what MASE measures by, where there is such.
    pub fn add(&mut self, truth: f64, forecast: f64, scale: Option<f64>) {
        let error = (truth - forecast).abs();
        let size = truth.abs() + forecast.abs();
        self.absolute += error;
        self.square += error * error;
        self.relative += if size > 0.0 { 2.0 * error / size } else { 0.0 };
        self.count += 1;
        if let Some(scale) = scale {
            self.scaled += error / scale;
            self.scaled_count += 1;
        }
    }

    /// Adds what others have added up.
    pub fn merge(&mut self, other: &Self) {
        self.absolute += other.absolute;
        self.square += other.square;
        self.relative += other.relative;
        self.scaled += other.scaled;
        self.count += other.count;
        self.scaled_count += other.scaled_count;
    }

    /// How many forecasts there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The figures; NaN where there is no forecast.
    pub fn figures(&self) -> Figures {
        let mean = |sum: f64| sum / self.count as f64;
        Figures {
            mae: mean(self.absolute),
            rmse: mean(self.square).sqrt(),
            smape: 100.0 * mean(self.relative),
            mase: Some(self.scaled / self.scaled_count as f64).filter(|mase| mase.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_means() {
        let mut scores = Scores::default();
        scores.add(10.0, 6.0, Some(2.0));
        let mut other = Scores::default();
        other.add(0.0, 0.0, Some(2.0));
        scores.merge(&other);
        let figures = scores.figures();
        assert_eq!((figures.mae, figures.rmse, figures.smape), (2.0, 8.0_f64.sqrt(), 25.0));
        assert_eq!(figures.mase, Some(1.0));
        // What has no scale is left out of MASE alone.
        scores.add(1.0, 9.0, None);
        assert_eq!((scores.figures().mae, scores.figures().mase), (4.0, Some(1.0)));
        let mut without = Scores::default();
        without.add(1.0, 2.0, None);
        assert_eq!(without.figures().mase, None);
    }
}
