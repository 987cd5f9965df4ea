//! Layers over windows of steps, rows and columns, channels last: convolutions, pooling, and layers that make axes
//! longer or shorter (`keras/src/layers/convolutional/`, `pooling/`, `reshaping/`).

#[allow(clippy::module_inception)]
mod conv;
mod cropping;
mod ends;
mod global_pooling;
mod pooling;
#[cfg(test)]
mod tests;
mod up_sampling;
mod window;
mod zero_padding;

pub use conv::{Conv, ConvConfig};
pub(crate) use conv::{convolve, one, yes};
pub use cropping::{Cropping, CroppingConfig};
pub use global_pooling::{
    GlobalAveragePooling, GlobalAveragePoolingConfig, GlobalMaxPooling, GlobalMaxPoolingConfig,
};
pub use pooling::{AveragePooling, AveragePoolingConfig, MaxPooling, MaxPoolingConfig};
pub use up_sampling::{UpSampling, UpSamplingConfig};
pub use window::{Padding, Sizes};
pub(crate) use window::{Window, window_shape, windows};
pub use zero_padding::{ZeroPadding, ZeroPaddingConfig};
