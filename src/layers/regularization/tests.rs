//! What noise in training must be like.

use super::*;
use crate::layers::{Config, Mode};
use candle_core::{DType, Device, Tensor};
use candle_nn::{ModuleT, VarBuilder};

fn spatial(rate: f64) -> SpatialDropout1d {
    SpatialDropout1d::new(SpatialDropout1dConfig { rate }, vb("d")).unwrap()
}

fn noise_layer(stddev: f64, name: &str) -> GaussianNoise {
    GaussianNoise::new(GaussianNoiseConfig { stddev }, vb(name)).unwrap()
}

fn vb(name: &str) -> VarBuilder<'static> {
    VarBuilder::zeros(DType::F32, &Device::Cpu).pp(name)
}

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
        let dropout = spatial(rate);
        assert_eq!(flat(&dropout.forward(&xs, mode).unwrap()), flat(&xs));
        let noise = noise_layer(rate, "n");
        assert_eq!(flat(&noise.forward(&xs, mode).unwrap()), flat(&xs));
    }
}

/// A feature is dropped at all steps or at none, in each sample anew; what stays is scaled.
#[test]
fn spatial_dropout_drops_whole_features() {
    for rate in [0.2, 0.75] {
        let (batch, time, features) = (40, 6, 50);
        let xs = Tensor::ones((batch, time, features), candle_core::DType::F32, &Device::Cpu).unwrap();
        let ys = spatial(rate).forward(&xs, TRAINING).unwrap();
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
    let dropout = spatial(1.0);
    let gone = dropout.forward(&ramp(&[2, 3, 4]).abs().unwrap(), TRAINING).unwrap();
    assert!(flat(&gone).iter().all(|y| *y == 0.0), "{gone}");
    assert!(dropout.forward(&ramp(&[2, 3]), TRAINING).is_err());
}

/// Each element has noise of its own, of mean 0 and the asked deviation, normal: not unscaled, not scaled by the input.
#[test]
fn gaussian_noise_is_normal_and_added() {
    for stddev in [0.1, 0.7] {
        let xs = (ramp(&[25, 16, 50]) * 10.0).unwrap();
        let layer = noise_layer(stddev, "n");
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
        let layer = noise_layer(0.5, name);
        flat(&layer.forward(&xs, Mode::Training { seed }).unwrap())
    };
    assert_eq!(noise("a", 1), noise("a", 1));
    assert_ne!(noise("a", 1), noise("a", 2));
    assert_ne!(noise("a", 1), noise("b", 1));
}

/// Candle's own way of training draws too, each time anew.
#[test]
fn forward_t_draws() {
    let (xs, layer) = (ramp(&[4, 3, 8]), noise_layer(0.5, "n"));
    assert_eq!(flat(&layer.forward_t(&xs, false).unwrap()), flat(&xs));
    let (first, second) = (layer.forward_t(&xs, true).unwrap(), layer.forward_t(&xs, true).unwrap());
    assert_ne!(flat(&first), flat(&xs));
    assert_ne!(flat(&first), flat(&second));
}

/// Factors around 1 of variance rate / (1 - rate), one for each element.
#[test]
fn gaussian_dropout_is_normal_and_multiplied() {
    for rate in [0.1, 0.6] {
        let layer = GaussianDropout::new(GaussianDropoutConfig { rate }, vb("g")).unwrap();
        let ones = Tensor::ones((40, 500), DType::F32, &Device::Cpu).unwrap();
        let factors = flat(&layer.forward(&ones, TRAINING).unwrap());
        let (mean, deviation) = moments(&factors);
        let (expected, count) = ((rate / (1.0 - rate)).sqrt(), factors.len() as f64);
        assert!((mean - 1.0).abs() < 5.0 * expected / count.sqrt(), "{mean}");
        assert!((deviation / expected - 1.0).abs() < 5.0 / (2.0 * count).sqrt(), "{deviation} of {expected}");
        let twos = flat(&layer.forward(&(ones * 2.0).unwrap(), TRAINING).unwrap());
        assert!(twos.iter().zip(&factors).all(|(two, factor)| *two == 2.0 * factor));
    }
    let all = GaussianDropout::new(GaussianDropoutConfig { rate: 1.0 }, vb("g")).unwrap();
    let xs = ramp(&[2, 3]);
    assert_eq!(flat(&all.forward(&xs, Mode::Inference).unwrap()), flat(&xs));
    assert!(all.forward(&xs, TRAINING).unwrap_err().to_string().contains("layer g: with rate 1"));
}

/// Of standard normal values mean and variance stay, whatever the rate; what is dropped has one value.
#[test]
fn alpha_dropout_keeps_mean_and_variance() {
    for rate in [0.1, 0.5] {
        let config = AlphaDropoutConfig { rate, noise_shape: None };
        let layer = AlphaDropout::new(config, vb("a")).unwrap();
        let xs = noise_layer(1.0, "n").forward(&ramp(&[200, 300]).zeros_like().unwrap(), TRAINING).unwrap();
        let ys = flat(&layer.forward(&xs, TRAINING).unwrap());
        let (mean, deviation) = moments(&ys);
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.03, "{mean} {deviation}");
        // Of zeros there are two values, and the lower one is dropped.
        let zeros = flat(&layer.forward(&xs.zeros_like().unwrap(), TRAINING).unwrap());
        let lowest = zeros.iter().copied().fold(f32::INFINITY, f32::min);
        let share = ys.iter().filter(|y| **y == lowest).count() as f64 / ys.len() as f64;
        assert!((share - rate).abs() < 0.01, "{share} of {rate}");
    }
    let all = AlphaDropout::new(AlphaDropoutConfig { rate: 1.0, noise_shape: None }, vb("a")).unwrap();
    assert!(all.forward(&ramp(&[2, 3]), TRAINING).unwrap_err().to_string().contains("layer a: with rate 1"));
}

/// An axis of 1 in `noise_shape` is dropped as one; what does not fit is said before and during training.
#[test]
fn noise_shapes_are_broadcast_or_refused() {
    let config =
        |noise_shape: &[Option<usize>]| DropoutConfig { rate: 0.5, noise_shape: Some(noise_shape.to_vec()) };
    let ones = Tensor::ones((3, 4, 50), DType::F32, &Device::Cpu).unwrap();
    let ys = Dropout::new(config(&[None, Some(1), Some(50)]), vb("d")).unwrap();
    let ys: Vec<Vec<Vec<f32>>> = ys.forward(&ones, TRAINING).unwrap().to_vec3().unwrap();
    assert!(ys.iter().all(|sample| sample.iter().all(|step| step == &sample[0])));
    assert_ne!(ys[0][0], ys[1][0]);
    let input = vec![None, Some(4), Some(50)];
    for fitting in [vec![Some(32), None, Some(1)], vec![Some(50)], vec![Some(4), Some(1)], vec![]] {
        assert!(config(&fitting).place(std::slice::from_ref(&input)).is_ok(), "{fitting:?}");
    }
    for wrong in [vec![None, Some(3), None], vec![Some(1); 4], vec![Some(4)], vec![Some(0), None, None]] {
        let error = config(&wrong).place(std::slice::from_ref(&input)).unwrap_err();
        assert!(error.contains("noise_shape") && error.contains("(None, 4, 50)"), "{error}");
    }
    let error = Dropout::new(config(&[Some(2), None, None]), vb("d")).unwrap().forward(&ones, TRAINING);
    assert!(error.unwrap_err().to_string().contains("layer d: noise_shape (2, None, None)"));
}
