//! Mean and variance of a few numbers.

pub(super) struct Moments {
    pub mean: f64,
    pub variance: f64,
}

impl Moments {
    pub(super) fn of(numbers: &[f32]) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|&it| f64::from(it)).sum::<f64>() / count;
        let squares = numbers.iter().map(|&it| (f64::from(it) - mean) * (f64::from(it) - mean));
        Self { mean, variance: squares.sum::<f64>() / count }
    }

    /// How far a number is off the mean.
    pub(super) fn off(&self, number: f32) -> f64 {
        f64::from(number) - self.mean
    }
}
