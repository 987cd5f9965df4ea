//! Pooling, channels last (`keras/src/layers/pooling/`).

use super::conv::taps;
use super::sizes::{Dims, Padding, Sizes, Window, axes_needed, window_shape, windows};
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Keras's `MaxPooling1D` to `MaxPooling3D` and `AveragePooling1D` to `AveragePooling3D`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolingConfig<const N: usize> {
    /// The window's size along each axis.
    #[serde(default = "two")]
    pub pool_size: Sizes<N>,
    /// How far the window moves at a time; its size, if left out.
    #[serde(default)]
    pub strides: Option<Sizes<N>>,
    /// What happens at the ends.
    #[serde(default)]
    pub padding: Padding,
}

fn two<const N: usize>() -> Sizes<N> {
    Sizes::all(2)
}

impl<const N: usize> PoolingConfig<N> {
    fn windows(&self) -> Vec<Window> {
        windows(self.pool_size, self.strides.unwrap_or(self.pool_size), Sizes::all(1), self.padding)
    }

    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        self.pool_size.check("pool_size")?;
        self.strides.map_or(Ok(()), |strides| strides.check("strides"))?;
        match self.padding {
            Padding::Causal => Err("padding must be `valid` or `same`".into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        window_shape(input, &self.windows(), input.last().copied().flatten())
    }

    /// The largest of each window, NaN where there is one; its gradient goes to the first place that holds it.
    ///
    /// # Errors
    /// If the input has another number of axes or is shorter than a window.
    pub fn max(&self, xs: &Tensor) -> Result<Tensor> {
        let mut taps = taps(xs, &self.windows(), f64::NEG_INFINITY)?.into_iter();
        let Some(mut largest) = taps.next() else { bail!("a window needs at least one place") };
        for tap in taps {
            // NaN is the largest of all, as in Keras on PyTorch; TensorFlow's depends on where it stands.
            let stays = tap.le(&largest)?.maximum(&largest.ne(&largest)?)?;
            largest = stays.where_cond(&largest, &tap)?;
        }
        Ok(largest)
    }

    /// The mean of each window, of those places that are within the input.
    ///
    /// # Errors
    /// If the input has another number of axes or is shorter than a window.
    pub fn average(&self, xs: &Tensor) -> Result<Tensor> {
        let sum = |xs: &Tensor| -> Result<Tensor> {
            let taps = taps(xs, &self.windows(), 0.0)?;
            Tensor::stack(&taps, 0)?.sum(0)
        };
        let mut shape = xs.dims().to_vec();
        for axis in [0, xs.rank() - 1] {
            shape[axis] = 1;
        }
        let counts = sum(&Tensor::ones(shape, xs.dtype(), xs.device())?)?;
        sum(xs)?.broadcast_div(&counts)
    }
}

/// Keras's `GlobalMaxPooling1D`, `GlobalAveragePooling1D` and those of 2 and 3 axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalPoolingConfig<const N: usize> {
    /// Leave axes of 1 where the input's were.
    #[serde(default)]
    pub keepdims: bool,
}

impl<const N: usize> GlobalPoolingConfig<N> {
    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        match input {
            [batch, spatial @ .., channels] if spatial.len() == N => {
                let kept = if self.keepdims { N } else { 0 };
                let kept = std::iter::repeat_n(Some(1), kept);
                Ok(std::iter::once(*batch).chain(kept).chain([*channels]).collect())
            }
            _ => Err(axes_needed(N + 2, input)),
        }
    }

    fn axes(&self, xs: &Tensor) -> Result<Vec<usize>> {
        if xs.rank() != N + 2 {
            bail!("global pooling over {N} axes needs {} axes, given {:?}", N + 2, xs.dims())
        }
        Ok((1..=N).collect())
    }

    fn finish(&self, ys: Tensor) -> Result<Tensor> {
        if self.keepdims {
            return Ok(ys);
        }
        let (batch, channels) = (ys.dim(0)?, ys.dim(N + 1)?);
        ys.reshape((batch, channels))
    }

    /// The largest of each channel, NaN where there is one; where several places hold it, they share its gradient.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn max(&self, xs: &Tensor) -> Result<Tensor> {
        let axes = self.axes(xs)?;
        let mut largest = xs.detach();
        for &axis in &axes {
            largest = largest.max_keepdim(axis)?;
        }
        // Not "equal": NaN is less than nothing and so comes through.
        let places = xs.detach().broadcast_lt(&largest)?.eq(0u8)?.to_dtype(xs.dtype())?;
        let count = places.sum_keepdim(axes.as_slice())?;
        // The mean of the places that hold it: the value, with the gradient shared.
        let zeros = xs.zeros_like()?;
        let held = places.ne(0.0)?.where_cond(xs, &zeros)?;
        self.finish((held.sum_keepdim(axes.as_slice())? / count)?)
    }

    /// The mean of each channel; with a mask (batch, time), u8, of the steps that it leaves.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn average(&self, xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let axes = self.axes(xs)?;
        let Some(mask) = mask else { return self.finish(xs.mean_keepdim(axes.as_slice())?) };
        let mask = mask.ne(0u8)?.unsqueeze(2)?;
        let count = mask.to_dtype(xs.dtype())?.sum_keepdim(1)?;
        let kept = mask.broadcast_as(xs.shape())?.contiguous()?.where_cond(xs, &xs.zeros_like()?)?;
        self.finish(kept.sum_keepdim(1)?.broadcast_div(&count)?)
    }
}
