//! Numbers that can be told by hand.

use super::*;
use crate::layers::layer::Config;
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::VarBuilder;

const CPU: Device = Device::Cpu;

fn vb() -> VarBuilder<'static> {
    VarBuilder::zeros(DType::F32, &CPU)
}

#[test]
fn the_largest_of_anything_and_nan_is_nan() -> Result<()> {
    let xs = Tensor::new(&[1f32, f32::NAN, 2.0, 3.0, f32::NAN, 5.0], &CPU)?.reshape((1, 6, 1))?;
    let places = |ys: Tensor| -> Result<Vec<bool>> {
        Ok(ys.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::is_nan).collect())
    };
    let shape = [None, Some(6), Some(1)];
    let config = MaxPoolingConfig { pool_size: Sizes::all(2), strides: None, padding: Padding::Valid };
    assert_eq!(places(MaxPooling::<1>::new(&shape, config, vb())?.forward(&xs)?)?, [true, false, true]);
    let global = GlobalMaxPooling::<1>::new(&shape, GlobalMaxPoolingConfig::default(), vb())?;
    assert_eq!(places(global.forward(&xs)?)?, [true]);
    Ok(())
}

/// Keras's `ZeroPadding1D((1, 2))`, `Cropping2D(((1, 0), (0, 1)))`, `UpSampling2D((1, 2))`.
#[test]
fn ends_are_padded_cut_and_repeated() -> Result<()> {
    let flat = |ys: Tensor| ys.flatten_all()?.to_vec1::<f32>();
    let row = Tensor::new(&[[[1f32], [2.0]]], &CPU)?;
    let padding = ZeroPaddingConfig::<1> { padding: vec![[1, 2]] };
    let shape = [None, Some(2), Some(1)];
    assert_eq!(padding.place(&[shape.to_vec()]).unwrap().outputs, [[None, Some(5), Some(1)]]);
    assert_eq!(flat(ZeroPadding::new(&shape, padding, vb())?.forward(&row)?)?, [0.0, 1.0, 2.0, 0.0, 0.0]);
    let picture = Tensor::arange(1f32, 7.0, &CPU)?.reshape((1, 2, 3, 1))?;
    let shape = [None, Some(2), Some(3), Some(1)];
    let cropping = CroppingConfig::<2> { cropping: vec![[1, 0], [0, 1]] };
    assert!(cropping.place(&[vec![None, Some(1), Some(3), Some(1)]]).is_err());
    assert_eq!(flat(Cropping::new(&shape, cropping, vb())?.forward(&picture)?)?, [4.0, 5.0]);
    assert!(CroppingConfig::<2> { cropping: vec![[1, 0]] }.check().is_err());
    let up = UpSampling::new(
        &shape,
        UpSamplingConfig::<2> { size: Sizes([1, 2]), interpolation: Interpolation::Nearest },
        vb(),
    )?;
    let expected = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0];
    assert_eq!(flat(up.forward(&picture)?)?, expected);
    Ok(())
}
