//! Layers over windows of steps, rows and columns, channels last: convolutions, pooling, and layers that make axes
//! longer or shorter (`keras/src/layers/convolutional/`, `pooling/`, `reshaping/`).

#[allow(clippy::module_inception)]
mod conv;
mod conv_transpose;
mod cropping;
mod depthwise_conv;
mod ends;
mod global_pooling;
mod op;
mod pooling;
mod separable_conv;
#[cfg(test)]
mod tests;
mod up_sampling;
mod window;
mod zero_padding;

pub use conv::{Conv, ConvConfig};
pub(crate) use conv::{convolve, one, yes};
pub use conv_transpose::{ConvTranspose, ConvTransposeConfig};
pub use cropping::{Cropping, CroppingConfig};
pub use depthwise_conv::{DepthwiseConv, DepthwiseConvConfig};
pub use global_pooling::{
    GlobalAveragePooling, GlobalAveragePoolingConfig, GlobalMaxPooling, GlobalMaxPoolingConfig,
};
pub(crate) use op::convolution;
pub use pooling::{AveragePooling, AveragePoolingConfig, MaxPooling, MaxPoolingConfig};
pub use separable_conv::{SeparableConv, SeparableConvConfig};
pub use up_sampling::{Interpolation, UpSampling, UpSamplingConfig};
pub use window::{Padding, Sizes};
pub(crate) use window::{Window, window_shape, windows};
pub use zero_padding::{ZeroPadding, ZeroPaddingConfig};
