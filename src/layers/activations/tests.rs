//! What is broken must look broken: Keras's functions give NaN for NaN, on TensorFlow and on PyTorch.

use super::{PRelu, PReluConfig, Relu, ReluConfig};
use crate::layers::Activation;
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::VarBuilder;

#[test]
fn activations_give_nan_for_nan() -> Result<()> {
    let xs = Tensor::new(&[[1f32, f32::NAN, 9.0]], &Device::Cpu)?;
    let is_nan = |ys: Tensor| -> Result<bool> { Ok(ys.flatten_all()?.to_vec1::<f32>()?[1].is_nan()) };
    for &activation in Activation::ALL {
        assert!(is_nan(activation.forward(&xs)?)?, "{}", activation.name());
    }
    let (shape, vb) = ([None, Some(3)], VarBuilder::zeros(DType::F32, &Device::Cpu));
    for max_value in [None, Some(6.0)] {
        let config = ReluConfig { max_value, ..ReluConfig::default() };
        assert!(is_nan(Relu::new(&shape, config, vb.clone())?.forward(&xs)?)?);
    }
    assert!(is_nan(PRelu::new(&shape, PReluConfig::default(), vb)?.forward(&xs)?)?);
    Ok(())
}
