//! Keras's `MaxPooling1D` to `MaxPooling3D` and `AveragePooling1D` to `AveragePooling3D` (`keras/src/layers/pooling/`),
//! channels last.

use super::window::{Padding, Sizes, Window, taps, window_shape, windows};
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::pooling::{self as kernel, Axis};
use candle_recurrent_kernel::unwritten;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn two<const N: usize>() -> Sizes<N> {
    Sizes::all(2)
}

/// A configuration of windows, its check and its shapes; what becomes of a window is its own `forward`.
macro_rules! pooling {
    ($config:ident, $layer:ident, $doc:literal) => {
        /// The layer's arguments, with Keras's defaults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $config<const N: usize> {
            /// The window's size along each axis.
            #[serde(default = "two")]
            pub pool_size: Sizes<N>,
            /// How far the window moves at a time; by its own size, if left out.
            #[serde(default)]
            pub strides: Option<Sizes<N>>,
            /// What happens at the ends.
            #[serde(default)]
            pub padding: Padding,
        }

        impl<const N: usize> $config<N> {
            fn windows(&self) -> Vec<Window> {
                let strides = self.strides.unwrap_or(self.pool_size);
                windows(self.pool_size, strides, Sizes::all(1), self.padding)
            }
        }

        impl<const N: usize> Config for $config<N> {
            fn check(&self) -> Checked<()> {
                self.pool_size.check("pool_size")?;
                self.pool_size.check_places("pool_size")?;
                self.strides.map_or(Ok(()), |strides| strides.check("strides"))?;
                match self.padding {
                    Padding::Causal => Err("padding must be `valid` or `same`".into()),
                    Padding::Valid | Padding::Same => Ok(()),
                }
            }

            fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
                let input = single(inputs)?;
                window_shape(input, &self.windows(), input.last().copied().flatten()).map(Placed::one)
            }

            fn mask_rule(&self) -> MaskRule {
                MaskRule::Drops
            }

            fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
                Ok(Arc::new($layer::new(first_shape(inputs), *self, vb)?))
            }
        }

        plain_layer! {
            #[doc = $doc]
            $layer<const N: usize>, $config<N>, strand
        }
    };
}

pooling!(
    MaxPoolingConfig,
    MaxPooling,
    "The largest of each window: (batch, …, channels) with shorter axes between."
);
pooling!(
    AveragePoolingConfig,
    AveragePooling,
    "The mean of each window: (batch, …, channels) with shorter axes between."
);

/// Refuses an input that has other axes, or is shorter than the windows.
fn check_fit(xs: &Tensor, windows: &[Window]) -> Result<()> {
    if xs.rank() != windows.len() + 2 {
        bail!("a window over {} axes needs {} axes, given {:?}", windows.len(), windows.len() + 2, xs.dims())
    }
    let mut sizes = vec![xs.dim(0)?, xs.dim(D::Minus1)?];
    for (window, &length) in windows.iter().zip(&xs.dims()[1..]) {
        let count = window.count(length);
        if count == 0 {
            bail!("a window of {} places does not fit {length} steps", window.size)
        }
        sizes.push(count);
    }
    check_numbers(&sizes)
}

/// The windows as the kernels take them, and the output's shape.
fn over(xs: &Tensor, windows: &[Window]) -> Result<(kernel::Windows, Vec<usize>)> {
    check_fit(xs, windows)?;
    let mut axes = [Axis::ONE; 3];
    let mut shape = xs.dims().to_vec();
    for (at, window) in windows.iter().enumerate() {
        let length = xs.dim(at + 1)?;
        let (count, (before, _)) = (window.count(length), window.padding(length));
        axes[3 - windows.len() + at] =
            Axis { length, count, size: window.size, stride: window.stride, before };
        shape[at + 1] = count;
    }
    Ok((kernel::Windows { axes, channels: xs.dim(D::Minus1)? }, shape))
}

impl<const N: usize> MaxPoolingConfig<N> {
    /// NaN where there is one; the gradient goes to the first place that holds the largest.
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        if !xs.fuses() || N > 3 {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        let (windows, shape) = over(xs.tensor(), &self.windows())?;
        let back = move |Back { x: [x], y, d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            kernel::max_back(&windows, x, y, &d, &mut d_x);
            [d_x]
        };
        fused("max-pooling", [xs], shape, |[x], out| kernel::max(&windows, x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let mut taps = taps(xs, &self.windows(), f64::NEG_INFINITY)?.into_iter();
        let Some(mut largest) = taps.next() else { bail!("a window needs at least one place") };
        for tap in taps {
            // NaN is the largest of all, as in Keras on PyTorch; TensorFlow's depends on where it stands.
            let stays = tap.le(&largest)?.maximum(&largest.ne(&largest)?)?;
            largest = stays.where_cond(&largest, &tap)?;
        }
        Ok(largest)
    }
}

impl<const N: usize> AveragePoolingConfig<N> {
    /// Of those places that are within the input.
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        if !xs.fuses() || N > 3 {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        let (windows, shape) = over(xs.tensor(), &self.windows())?;
        let back = move |Back { x: [x], d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            kernel::mean_back(&windows, &d, &mut d_x);
            [d_x]
        };
        fused("average-pooling", [xs], shape, |[x], out| kernel::mean(&windows, x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
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
