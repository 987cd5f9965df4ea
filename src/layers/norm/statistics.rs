//! A normalisation of features by their mean and variance, as one op.

use crate::layers::cpu::with_floats;
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Device, Result, Tensor};
use candle_recurrent_kernel::normalization::{self as kernel, Features};

/// Mean and variance of each feature.
pub(super) struct Statistics {
    of: Features,
    mean: Vec<f64>,
    variance: Vec<f64>,
    batch: Option<Batch>,
}

/// What statistics of the batch itself are of: gradients go through them.
struct Batch {
    /// 0 for the rows that they leave out.
    mask: Option<Vec<u8>>,
    /// What the sums were divided by.
    count: f64,
    /// What the differences from the mean add up to: not quite 0, for Keras adds its epsilon to the number of rows.
    rest: Vec<f64>,
}

fn features(xs: &Tensor, axis: usize) -> Features {
    let dims = xs.dims();
    Features { features: dims[axis], inner: dims[axis + 1..].iter().product() }
}

impl Statistics {
    /// Those of the batch, of the rows that `mask` leaves.
    pub fn of_batch(xs: &Tensor, axis: usize, mask: Option<Vec<u8>>) -> Result<Self> {
        let of = features(xs, axis);
        let [sums, squares] = with_floats([xs], |[x]| kernel::sums(of, x, mask.as_deref()))?;
        let (rows, count) = match &mask {
            Some(mask) => {
                let rows = mask.iter().filter(|&&counts| counts != 0).count() as f64;
                (rows, rows + 1e-7)
            }
            None => {
                let rows = (xs.elem_count() / of.features) as f64;
                (rows, rows)
            }
        };
        let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        // Σ (x - mean)², mean as it is.
        let variance = squares.iter().zip(&sums).zip(&mean).map(|((square, sum), mean)| {
            let sum = square - 2.0 * mean * sum + rows * mean * mean;
            // What rounding left of 0; NaN stays.
            if sum < 0.0 { 0.0 } else { sum / count }
        });
        let variance = variance.collect();
        let rest = sums.iter().zip(&mean).map(|(sum, mean)| sum - rows * mean).collect();
        Ok(Self { of, mean, variance, batch: Some(Batch { mask, count, rest }) })
    }

    /// Those that are given: mean and variance, each (features). No gradient goes to them.
    pub fn given(xs: &Tensor, axis: usize, given: [&Tensor; 2]) -> Result<Self> {
        let [mean, variance] = with_floats(given, |given| {
            given.map(|values| values.iter().copied().map(f64::from).collect::<Vec<_>>())
        })?;
        Ok(Self { of: features(xs, axis), mean, variance, batch: None })
    }

    /// Mean and variance as tensors (features).
    pub fn tensors(&self, device: &Device) -> Result<[Tensor; 2]> {
        let tensor = |values: &[f64]| Tensor::from_vec(single(values.iter().copied()), values.len(), device);
        Ok([tensor(&self.mean)?, tensor(&self.variance)?])
    }
}

fn single(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

/// (x - mean) / sqrt(variance + epsilon) · gamma + beta.
pub(super) fn normalize(
    xs: &Strand,
    statistics: Statistics,
    epsilon: f64,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
) -> Result<Strand> {
    let Statistics { of, mean, variance, batch } = statistics;
    let or = |given: Option<&Tensor>, value: f32| match given {
        Some(given) => Ok(given.clone()),
        None => Tensor::full(value, of.features, &Device::Cpu),
    };
    let (gamma, beta) = (or(gamma, 1.0)?.into(), or(beta, 0.0)?.into());
    let mean = single(mean.into_iter());
    let inverse: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
    let (of_mean, of_inverse) = (mean.clone(), inverse.clone());
    fused(
        "normalize",
        [xs, &gamma, &beta],
        xs.tensor().shape(),
        |[x, gamma, beta], out| {
            kernel::scale(of, x, &of_mean, &scales(&of_inverse, gamma), beta, out);
        },
        move |Back { x: [x, gamma, _], d, wanted, .. }: Back<'_, 3>| {
            let none = || vec![0.0; of.features];
            let [sums, products] = match batch.is_some() || wanted[1] || wanted[2] {
                true => kernel::products(of, x, &d, &mean),
                false => [none(), none()],
            };
            let mut d_x = vec![];
            if wanted[0] {
                let through = batch.as_ref().map(|batch| through(batch, &inverse, &sums, &products));
                let [shift, slope] =
                    through.unwrap_or_else(|| [vec![0.0; of.features], vec![0.0; of.features]]);
                let back = kernel::Back { mean: mean.clone(), scale: scales(&inverse, gamma), shift, slope };
                let mask = batch.as_ref().and_then(|batch| batch.mask.as_deref());
                d_x = d;
                kernel::scale_back(of, &back, x, mask, &mut d_x);
            }
            let d_gamma = products.iter().zip(&inverse).map(|(product, inverse)| product * inverse);
            [d_x, single(d_gamma), single(sums.iter().copied())]
        },
    )
}

fn scales(inverse: &[f64], gamma: &[f32]) -> Vec<f32> {
    single(inverse.iter().zip(gamma).map(|(inverse, &gamma)| inverse * f64::from(gamma)))
}

/// What comes through the batch's mean and variance: see [`Back`].
fn through(batch: &Batch, inverse: &[f64], sums: &[f64], products: &[f64]) -> [Vec<f32>; 2] {
    let features = inverse.iter().zip(sums).zip(products).zip(&batch.rest);
    let (shift, slope) = features
        .map(|(((inverse, sum), product), rest)| {
            let slope = inverse * inverse * product / batch.count;
            (((sum / batch.count - slope * rest / batch.count) as f32), slope as f32)
        })
        .unzip();
    [shift, slope]
}

/// The last axes of each sample by their own mean and variance; `dims` are those axes.
pub(super) fn normalize_rows(
    xs: &Strand,
    dims: &[usize],
    epsilon: f64,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
) -> Result<Strand> {
    let width = dims.iter().product();
    let or = |given: Option<&Tensor>, value: f32| match given {
        Some(given) => Ok(given.clone()),
        None => Tensor::full(value, dims, &Device::Cpu),
    };
    let (gamma, beta) = (or(gamma, 1.0)?.into(), or(beta, 0.0)?.into());
    fused(
        "normalize-rows",
        [xs, &gamma, &beta],
        xs.tensor().shape(),
        |[x, gamma, beta], out| kernel::scale_by_row(width, epsilon, x, gamma, beta, out),
        move |Back { x: [x, gamma, _], mut d, .. }: Back<'_, 3>| {
            let [d_gamma, d_beta] = kernel::scale_by_row_back(width, epsilon, x, gamma, &mut d);
            [d, single(d_gamma.into_iter()), single(d_beta.into_iter())]
        },
    )
}
