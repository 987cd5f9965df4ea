//! From the losses of positions to one number: masks, sample weights, and how they are added up
//! (`keras/src/losses/loss.py`: `apply_mask`, `reduce_weighted_values`).

use crate::Error;
use serde::{Deserialize, Serialize};

/// How the losses of a batch's positions become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
pub enum Reduction {
    /// The sum of the weighted losses divided by the number of positions; masked ones do not count.
    #[default]
    SumOverBatchSize,
    /// The sum of the weighted losses.
    Sum,
    /// Another name for `sum_over_batch_size`.
    Mean,
    /// The sum of the weighted losses divided by the sum of the weights.
    MeanWithSampleWeight,
}

impl TryFrom<String> for Reduction {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        const KNOWN: &str = "sum_over_batch_size, sum, mean or mean_with_sample_weight";
        Ok(match name.as_str() {
            "sum_over_batch_size" => Self::SumOverBatchSize,
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "mean_with_sample_weight" => Self::MeanWithSampleWeight,
            "none" => {
                return Err(format!("reduction `none` leaves many losses where training needs one: {KNOWN}"));
            }
            _ => return Err(format!("reduction `{name}` is unknown: {KNOWN}")),
        })
    }
}

/// Numbers in a shape.
#[derive(Debug)]
pub struct Shaped {
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

/// What each position counts: its loss times its weight, divided by the divisor, adds to the loss of the batch.
#[derive(Debug)]
pub struct Weighting {
    /// None: 1 each.
    pub weights: Option<Vec<f32>>,
    pub divisor: f64,
}

impl Reduction {
    /// The weighting of positions in a shape (batch, …), of which a mask (0 or 1) and sample weights give leading axes.
    ///
    /// As in Keras, a mean counts what the mask leaves, not what the weights say; only `mean_with_sample_weight` divides
    /// by the weights' sum, before they are spread over axes that they lack. Weights (batch) go to every step of their
    /// sample, where Keras wants them as (batch, 1).
    ///
    /// # Errors
    /// A mask or weights whose axes are not the leading ones.
    pub fn weigh(
        self,
        positions: &[usize],
        mask: Option<Shaped>,
        weights: Option<Shaped>,
    ) -> crate::Result<Weighting> {
        let count = positions.iter().product::<usize>();
        let mask = mask.map(|mask| leading(mask, positions, "mask")).transpose()?;
        let weights = weights.map(|weights| leading(weights, positions, "sample_weight")).transpose()?;
        let mean = matches!(self, Self::SumOverBatchSize | Self::Mean);
        let mask = mask.map(|mut mask| {
            let valid: f64 = mask.iter().sum();
            let share = if mean && valid > 0.0 { mask.len() as f64 / valid } else { 1.0 };
            mask.iter_mut().for_each(|weight| *weight *= share);
            mask
        });
        let combined = match (mask, weights) {
            (Some(mask), Some(weights)) => {
                let length = mask.len().max(weights.len());
                let pairs = spread(&mask, length).zip(spread(&weights, length));
                Some(pairs.map(|(mask, weight)| mask * weight).collect())
            }
            (one, other) => one.or(other),
        };
        let Some(combined): Option<Vec<f64>> = combined else {
            let divisor = if self == Self::Sum { 1.0 } else { count as f64 };
            return Ok(Weighting { weights: None, divisor });
        };
        let divisor = match self {
            Self::SumOverBatchSize | Self::Mean => count as f64,
            Self::Sum => 1.0,
            Self::MeanWithSampleWeight => combined.iter().sum(),
        };
        // Divided by nothing at all it is 0.
        let (nothing, divisor) = (divisor == 0.0, if divisor == 0.0 { 1.0 } else { divisor });
        let weight = |weight: f64| if nothing { 0.0 } else { weight as f32 };
        Ok(Weighting { weights: Some(spread(&combined, count).map(weight).collect()), divisor })
    }
}

/// Each value over the positions that it stands for.
fn spread(values: &[f64], count: usize) -> impl Iterator<Item = f64> {
    let times = count / values.len().max(1);
    values.iter().flat_map(move |&value| std::iter::repeat_n(value, times))
}

fn leading(shaped: Shaped, positions: &[usize], what: &str) -> crate::Result<Vec<f64>> {
    let mut dims = shaped.dims.as_slice();
    while let ([rest @ .., 1], false) = (dims, positions.starts_with(dims)) {
        dims = rest;
    }
    match positions.starts_with(dims) && !dims.is_empty() {
        true => Ok(shaped.values),
        false => {
            let found = &shaped.dims;
            Err(Error::argument(
                what,
                format!("its shape is {found:?}, and the output has a loss at each of {positions:?}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reduction, Shaped};

    fn shaped(dims: &[usize], values: &[f64]) -> Option<Shaped> {
        Some(Shaped { dims: dims.to_vec(), values: values.to_vec() })
    }

    #[test]
    fn a_mean_counts_what_the_mask_leaves() {
        let mask = || shaped(&[2, 2], &[1.0, 0.0, 1.0, 1.0]);
        let weighting = Reduction::SumOverBatchSize.weigh(&[2, 2], mask(), None).expect("a weighting");
        let third = 4.0 / 3.0;
        assert_eq!(weighting.weights, Some(vec![third, 0.0, third, third]));
        assert_eq!(weighting.divisor, 4.0);
        let weights = shaped(&[2], &[2.0, 0.5]);
        let weighting = Reduction::MeanWithSampleWeight.weigh(&[2, 2], mask(), weights).expect("a weighting");
        assert_eq!(weighting.weights, Some(vec![2.0, 0.0, 0.5, 0.5]));
        assert_eq!(weighting.divisor, 3.0);
    }

    #[test]
    fn nothing_left_is_a_loss_of_0() {
        for reduction in [Reduction::SumOverBatchSize, Reduction::MeanWithSampleWeight] {
            let weighting = reduction.weigh(&[2], shaped(&[2], &[0.0, 0.0]), None).expect("a weighting");
            assert_eq!(weighting.weights, Some(vec![0.0, 0.0]));
            assert!(weighting.divisor > 0.0);
        }
    }

    #[test]
    fn a_shape_that_does_not_lead_is_refused() {
        let ones = |dims: &[usize]| shaped(dims, &vec![1.0; dims.iter().product()]);
        for dims in [&[3][..], &[2, 5], &[2, 3, 2], &[]] {
            let error = Reduction::Sum.weigh(&[2, 3], None, ones(dims)).expect_err("no leading axes");
            assert!(error.to_string().starts_with("sample_weight: "), "{error}");
        }
        for dims in [&[2][..], &[2, 1], &[2, 3], &[2, 3, 1]] {
            assert!(Reduction::Sum.weigh(&[2, 3], None, ones(dims)).is_ok(), "{dims:?}");
        }
    }
}
