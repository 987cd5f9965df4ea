//! What holds for several layers: masks of every type, and NaN.

use super::{
    Activation, Call, CroppingConfig, GlobalPoolingConfig, Lstm, LstmConfig, Merge, PRelu, PReluConfig,
    PoolingConfig, ReluConfig, SimpleRnn, SimpleRnnConfig, Sizes, UpSamplingConfig, ZeroPaddingConfig,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

/// Variables of a layer of 1 feature and 2 units with so many gates.
fn vb(gates: usize) -> Result<VarBuilder<'static>> {
    let row = |rows: usize| Tensor::arange(1f32, (rows * 2 * gates) as f32 + 1.0, &CPU)? * 0.1;
    let tensors = [("kernel", 1), ("recurrent_kernel", 2)];
    let tensors =
        tensors.into_iter().map(|(name, rows)| Ok((name.into(), row(rows)?.reshape((rows, 2 * gates))?)));
    let mut tensors: HashMap<String, Tensor> = tensors.collect::<Result<_>>()?;
    tensors.insert("bias".into(), row(1)?);
    Ok(VarBuilder::from_tensors(tensors, DType::F32, &CPU))
}

/// Keras takes a mask as true and false: whatever is not 0 counts, also what a cast to bytes would make 0 of.
#[test]
fn masks_of_any_type_count_where_they_are_not_zero() -> Result<()> {
    let config = LstmConfig { return_sequences: true, ..LstmConfig::new(2) };
    let lstm = Lstm::new(1, config, vb(4)?)?;
    let xs = Tensor::new(&[[[0.5f32], [-1.0], [2.0], [1.5]]], &CPU)?;
    let bytes = Tensor::new(&[[1u8, 1, 0, 1]], &CPU)?;
    let others = [
        Tensor::new(&[[0.5f32, -1.0, 0.0, 256.0]], &CPU)?,
        Tensor::new(&[[0.25f64, 512.0, 0.0, 1.0]], &CPU)?,
        Tensor::new(&[[256i64, -1, 0, 1]], &CPU)?,
        Tensor::new(&[[256u32, 1, 0, 1 << 31]], &CPU)?,
    ];
    let ys = |mask: &Tensor, steps: bool| {
        let call = Call { mask: Some(mask), ..Call::default() };
        let output = if steps { lstm.call_steps(&xs, call)? } else { lstm.call(&xs, call)? };
        output.output.flatten_all()?.to_vec1::<f32>()
    };
    for steps in [false, true] {
        for mask in &others {
            assert_eq!(ys(mask, steps)?, ys(&bytes, steps)?, "{:?}, steps {steps}", mask.dtype());
        }
    }
    Ok(())
}

/// What is broken must look broken: Keras's functions give NaN for NaN, on TensorFlow and on PyTorch.
#[test]
fn activations_give_nan_for_nan() -> Result<()> {
    let xs = Tensor::new(&[[1f32, f32::NAN, 9.0]], &CPU)?;
    let is_nan = |ys: Tensor| -> Result<bool> { Ok(ys.flatten_all()?.to_vec1::<f32>()?[1].is_nan()) };
    for &activation in Activation::ALL {
        assert!(is_nan(activation.forward(&xs)?)?, "{}", activation.name());
    }
    for max_value in [None, Some(6.0)] {
        assert!(is_nan(ReluConfig { max_value, ..ReluConfig::default() }.forward(&xs)?)?);
    }
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
    let variables = PReluConfig::default().variables(&[None, Some(3)]).map_err(candle_core::Error::msg)?;
    assert!(is_nan(PRelu::new(&variables, &vb)?.forward(&xs)?)?);
    Ok(())
}

/// The same in the kernels and beside them.
#[test]
fn recurrent_layers_give_nan_for_nan() -> Result<()> {
    let xs = Tensor::new(&[[[1f32], [f32::NAN]]], &CPU)?;
    for &activation in Activation::ALL {
        let rnn = SimpleRnn::new(1, SimpleRnnConfig { activation, ..SimpleRnnConfig::new(2) }, vb(1)?)?;
        for output in [rnn.call(&xs, Call::default())?, rnn.call_steps(&xs, Call::default())?] {
            let ys = output.output.flatten_all()?.to_vec1::<f32>()?;
            assert!(ys.iter().all(|y| y.is_nan()), "{}: {ys:?}", activation.name());
        }
    }
    Ok(())
}

#[test]
fn the_largest_of_anything_and_nan_is_nan() -> Result<()> {
    let xs = Tensor::new(&[1f32, f32::NAN, 2.0, 3.0, f32::NAN, 5.0], &CPU)?.reshape((1, 6, 1))?;
    let places = |ys: Tensor| -> Result<Vec<bool>> {
        Ok(ys.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::is_nan).collect())
    };
    let pooling: PoolingConfig<1> =
        PoolingConfig { pool_size: Sizes::all(2), strides: None, padding: Default::default() };
    assert_eq!(places(pooling.max(&xs)?)?, [true, false, true]);
    assert_eq!(places(GlobalPoolingConfig::<1>::default().max(&xs)?)?, [true]);
    let ones = xs.ones_like()?;
    for merge in [Merge::Maximum, Merge::Minimum] {
        let expected = [false, true, false, false, true, false];
        assert_eq!(places(merge.forward(&[xs.clone(), ones.clone()])?)?, expected);
        assert_eq!(places(merge.forward(&[ones.clone(), xs.clone()])?)?, expected);
    }
    Ok(())
}

/// Keras's `ZeroPadding1D((1, 2))`, `Cropping2D(((1, 0), (0, 1)))`, `UpSampling2D((1, 2))`.
#[test]
fn ends_are_padded_cut_and_repeated() -> Result<()> {
    let flat = |ys: Tensor| ys.flatten_all()?.to_vec1::<f32>();
    let row = Tensor::new(&[[[1f32], [2.0]]], &CPU)?;
    let padding = ZeroPaddingConfig::<1> { padding: vec![[1, 2]] };
    assert_eq!(flat(padding.forward(&row)?)?, [0.0, 1.0, 2.0, 0.0, 0.0]);
    assert_eq!(padding.output_shape(&[None, Some(2), Some(1)]), Ok(vec![None, Some(5), Some(1)]));
    let picture = Tensor::arange(1f32, 7.0, &CPU)?.reshape((1, 2, 3, 1))?;
    let cropping = CroppingConfig::<2> { cropping: vec![[1, 0], [0, 1]] };
    assert_eq!(flat(cropping.forward(&picture)?)?, [4.0, 5.0]);
    assert!(cropping.output_shape(&[None, Some(1), Some(3), Some(1)]).is_err());
    assert!(CroppingConfig::<2> { cropping: vec![[1, 0]] }.check().is_err());
    let up = UpSamplingConfig::<2> { size: Sizes([1, 2]) };
    assert_eq!(flat(up.forward(&picture)?)?, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0]);
    Ok(())
}
