//! Noise in training: `SpatialDropout1D`, `GaussianNoise` (`keras/src/layers/regularization/`).

use super::{DropoutConfig, Mode, random::Stream};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Drops whole features of a sequence, the same at every step, in training.
#[derive(Clone, Debug)]
pub struct SpatialDropout1D {
    config: DropoutConfig,
    name: String,
}

impl SpatialDropout1D {
    /// `name` is the layer's path in the model: its masks are drawn from a stream of that name.
    pub fn new(config: DropoutConfig, name: String) -> Self {
        Self { config, name }
    }

    /// (batch, time, features), the same out.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let (batch, _, features) = xs.dims3()?;
        let mut stream = Stream::named(seed, &self.name);
        let mask = super::dropout::mask(&mut stream, self.config.rate, batch * features);
        xs.broadcast_mul(&Tensor::from_vec(mask, (batch, 1, features), xs.device())?.to_dtype(xs.dtype())?)
    }
}

/// Keras's `GaussianNoise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoiseConfig {
    /// The noise's standard deviation, from 0 to 1.
    pub stddev: f64,
}

impl GaussianNoiseConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if !(0.0..=1.0).contains(&self.stddev) {
            return Err(format!("stddev must be between 0 and 1, not {}", self.stddev));
        }
        Ok(())
    }
}

/// Adds normal noise in training.
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    config: GaussianNoiseConfig,
    name: String,
}

impl GaussianNoise {
    /// `name` is the layer's path in the model: its noise is drawn from a stream of that name.
    pub fn new(config: GaussianNoiseConfig, name: String) -> Self {
        Self { config, name }
    }

    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.stddev == 0.0 {
            return Ok(xs.clone());
        }
        let mut stream = Stream::named(seed, &self.name);
        let noise: Vec<f32> =
            (0..xs.elem_count()).map(|_| (stream.normal() * self.config.stddev) as f32).collect();
        xs + Tensor::from_vec(noise, xs.shape(), xs.device())?.to_dtype(xs.dtype())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const TRAINING: Mode = Mode::Training { seed: 3 };

    fn ramp(shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| i as f32 / 8.0 - 3.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn flat(xs: &Tensor) -> Vec<f32> {
        xs.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Mean and standard deviation.
    fn moments(values: &[f32]) -> (f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    }

    #[test]
    fn prediction_and_no_noise_leave_everything_as_it_is() {
        let xs = ramp(&[2, 5, 3]);
        for (rate, mode) in [(0.5, Mode::Inference), (0.0, TRAINING)] {
            let dropout = SpatialDropout1D::new(DropoutConfig { rate }, "d".into());
            assert_eq!(flat(&dropout.forward(&xs, mode).unwrap()), flat(&xs));
            let noise = GaussianNoise::new(GaussianNoiseConfig { stddev: rate }, "n".into());
            assert_eq!(flat(&noise.forward(&xs, mode).unwrap()), flat(&xs));
        }
    }

    /// A feature is dropped at all steps or at none, in each sample anew; what stays is scaled.
    #[test]
    fn spatial_dropout_drops_whole_features() {
        for rate in [0.2, 0.75] {
            let (batch, time, features) = (40, 6, 50);
            let xs = Tensor::ones((batch, time, features), candle_core::DType::F32, &Device::Cpu).unwrap();
            let ys =
                SpatialDropout1D::new(DropoutConfig { rate }, "d".into()).forward(&xs, TRAINING).unwrap();
            let ys: Vec<Vec<Vec<f32>>> = ys.to_vec3().unwrap();
            let kept = (1.0 / (1.0 - rate)) as f32;
            for sample in &ys {
                assert!(sample.iter().all(|step| step == &sample[0]));
                assert!(sample[0].iter().all(|&y| y == 0.0 || y == kept));
            }
            assert_ne!(ys[0][0], ys[1][0]);
            let dropped = ys.iter().flat_map(|sample| &sample[0]).filter(|&&y| y == 0.0).count();
            let share = dropped as f64 / (batch * features) as f64;
            // Five standard deviations.
            let slack = 5.0 * (rate * (1.0 - rate) / (batch * features) as f64).sqrt();
            assert!((share - rate).abs() < slack, "{share} of {rate}");
        }
        let dropout = SpatialDropout1D::new(DropoutConfig { rate: 1.0 }, "d".into());
        let gone = dropout.forward(&ramp(&[2, 3, 4]).abs().unwrap(), TRAINING).unwrap();
        assert!(flat(&gone).iter().all(|y| *y == 0.0), "{gone}");
        assert!(dropout.forward(&ramp(&[2, 3]), TRAINING).is_err());
    }

    /// Each element has noise of its own, of mean 0 and the asked deviation, normal: not unscaled, not scaled by the input.
    #[test]
    fn gaussian_noise_is_normal_and_added() {
        for stddev in [0.1, 0.7] {
            let xs = (ramp(&[25, 16, 50]) * 10.0).unwrap();
            let layer = GaussianNoise::new(GaussianNoiseConfig { stddev }, "n".into());
            let ys = layer.forward(&xs, TRAINING).unwrap();
            assert_eq!(ys.dims(), xs.dims());
            // From zeros, so that no digits are lost to the input.
            let noise = flat(&layer.forward(&xs.zeros_like().unwrap(), TRAINING).unwrap());
            let added: Vec<f32> = flat(&xs).iter().zip(&noise).map(|(x, n)| x + n).collect();
            assert_eq!(flat(&ys), added);
            let (mean, deviation) = moments(&noise);
            let count = noise.len() as f64;
            assert!(mean.abs() < 5.0 * stddev / count.sqrt(), "{mean}");
            assert!((deviation / stddev - 1.0).abs() < 5.0 / (2.0 * count).sqrt(), "{deviation} of {stddev}");
            // Shares within one and two deviations.
            for (width, share) in [(1.0, 0.682_689), (2.0, 0.954_500)] {
                let inside =
                    noise.iter().filter(|&&n| f64::from(n.abs()) < width * stddev).count() as f64 / count;
                assert!((inside - share).abs() < 0.02, "{inside} within {width}");
            }
            let distinct: std::collections::HashSet<u32> = noise.iter().map(|n| n.to_bits()).collect();
            assert!(distinct.len() as f64 > 0.99 * count);
        }
    }

    #[test]
    fn draws_follow_the_seed_and_the_name() {
        let xs = ramp(&[4, 3, 8]);
        let noise = |name: &str, seed: u64| {
            let layer = GaussianNoise::new(GaussianNoiseConfig { stddev: 0.5 }, name.into());
            flat(&layer.forward(&xs, Mode::Training { seed }).unwrap())
        };
        assert_eq!(noise("a", 1), noise("a", 1));
        assert_ne!(noise("a", 1), noise("a", 2));
        assert_ne!(noise("a", 1), noise("b", 1));
    }
}
