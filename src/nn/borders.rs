//! Layers that make sequences and pictures longer or shorter at their ends or throughout, channels last: `ZeroPadding`,
//! `Cropping`, `UpSampling` of 1 to 3 axes (`keras/src/layers/reshaping/`).

use super::sizes::{Dims, Sizes, axes_needed, show};
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// What to add or to cut before and after, along each axis.
type Ends = Vec<[usize; 2]>;

/// Keras's `ZeroPadding1D` to `ZeroPadding3D`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPaddingConfig<const N: usize> {
    /// Zeros before and after, `[before, after]` along each axis.
    pub padding: Ends,
}

/// Keras's `Cropping1D` to `Cropping3D`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CroppingConfig<const N: usize> {
    /// What to cut off before and after, `[before, after]` along each axis.
    pub cropping: Ends,
}

/// Keras's `UpSampling1D` to `UpSampling3D`, each step repeated (`interpolation` nearest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSamplingConfig<const N: usize> {
    /// How often, along each axis.
    pub size: Sizes<N>,
}

/// The most steps to add or cut.
const MAX: usize = 1 << 16;

fn check_ends<const N: usize>(name: &str, ends: &Ends) -> std::result::Result<(), String> {
    if ends.len() != N || ends.iter().flatten().any(|&end| end > MAX) {
        return Err(format!("{name} needs [before, after] for each of {N} axes, at most {MAX} each"));
    }
    Ok(())
}

/// The shape with other lengths along its spatial axes.
fn reshaped<const N: usize>(
    input: &[Option<usize>],
    change: impl Fn(usize, usize) -> Option<usize>,
) -> std::result::Result<Dims, String> {
    if input.len() != N + 2 {
        return Err(axes_needed(N + 2, input));
    }
    let mut shape = input.to_vec();
    for (axis, length) in shape.iter_mut().skip(1).take(N).enumerate() {
        if let Some(known) = *length {
            let changed = change(axis, known).filter(|&changed| changed > 0);
            *length = Some(changed.ok_or_else(|| format!("nothing is left of its input {}", show(input)))?);
        }
    }
    Ok(shape)
}

fn check_rank<const N: usize>(xs: &Tensor) -> Result<()> {
    if xs.rank() != N + 2 {
        bail!("a layer over {N} axes needs {} axes, given {:?}", N + 2, xs.dims())
    }
    Ok(())
}

impl<const N: usize> ZeroPaddingConfig<N> {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        check_ends::<N>("padding", &self.padding)
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        reshaped::<N>(input, |axis, length| {
            self.padding.get(axis)?.iter().try_fold(length, |sum, &end| sum.checked_add(end))
        })
    }

    /// (batch, …, channels) with zeros around.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        check_rank::<N>(xs)?;
        let mut ys = xs.clone();
        for (axis, &[before, after]) in self.padding.iter().enumerate() {
            ys = ys.pad_with_zeros(axis + 1, before, after)?;
        }
        Ok(ys)
    }
}

impl<const N: usize> CroppingConfig<N> {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        check_ends::<N>("cropping", &self.cropping)
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        reshaped::<N>(input, |axis, length| {
            self.cropping.get(axis)?.iter().try_fold(length, |left, &end| left.checked_sub(end))
        })
    }

    /// (batch, …, channels) without its ends.
    ///
    /// # Errors
    /// If the input has another number of axes, or nothing is left of it.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        check_rank::<N>(xs)?;
        let mut ys = xs.clone();
        for (axis, &[before, after]) in self.cropping.iter().enumerate() {
            let length = ys.dim(axis + 1)?;
            let Some(left) = length.checked_sub(before + after).filter(|&left| left > 0) else {
                bail!("cropping {before} and {after} leaves nothing of {length} steps")
            };
            ys = ys.narrow(axis + 1, before, left)?;
        }
        ys.contiguous()
    }
}

impl<const N: usize> UpSamplingConfig<N> {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        self.size.check("size")
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        reshaped::<N>(input, |axis, length| length.checked_mul(*self.size.0.get(axis)?))
    }

    /// (batch, …, channels), each step as often as `size` says.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        check_rank::<N>(xs)?;
        let mut ys = xs.contiguous()?;
        for (axis, &times) in self.size.0.iter().enumerate() {
            let steps: Vec<u32> =
                (0..ys.dim(axis + 1)? as u32).flat_map(|step| std::iter::repeat_n(step, times)).collect();
            let count = steps.len();
            ys = ys.index_select(&Tensor::from_vec(steps, count, ys.device())?, axis + 1)?;
        }
        Ok(ys)
    }
}
