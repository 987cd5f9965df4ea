//! What holds for several layers: masks of every type, states that nobody wants, and NaN.

use super::{
    Activation, Call, CroppingConfig, GlobalPoolingConfig, Gru, GruConfig, Lstm, LstmConfig, Merge, Mode,
    PRelu, PReluConfig, PoolingConfig, ReluConfig, SimpleRnn, SimpleRnnConfig, Sizes, UpSamplingConfig,
    ZeroPaddingConfig,
    recurrent::{RecurrentLayer, Source},
};
use candle_core::{DType, Device, Module, Result, Tensor, Var};
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

/// Values from -1 to 1 that differ from each other.
fn waves(shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &CPU)
}

/// The output of a layer and its gradients, by the input and by the variables, with the final states and without.
fn with_and_without_states(
    layer: &dyn RecurrentLayer,
    variables: &VarMap,
    shape: [usize; 3],
    masked: bool,
    mode: Mode,
) -> Result<[Vec<Vec<f32>>; 2]> {
    let xs = Var::from_tensor(&waves(&shape)?)?;
    let mask: Vec<u8> = (0..shape[0] * shape[1]).map(|i| u8::from(i % 5 != 0)).collect();
    let mask = Tensor::from_vec(mask, (shape[0], shape[1]), &CPU)?;
    let call = Call { mask: Some(&mask).filter(|_| masked), mode, ..Call::default() };
    let run = |return_state: bool| -> Result<Vec<Vec<f32>>> {
        let output = layer.run(Source::Features(xs.as_tensor()), call, return_state)?;
        assert_eq!(output.states.is_empty(), !return_state);
        assert!(output.output.is_contiguous() || output.output.rank() == 3);
        let grads = (&output.output * waves(output.output.dims())?)?.sum_all()?.backward()?;
        let mut all = vec![output.output.clone()];
        for var in std::iter::once(xs.clone()).chain(variables.all_vars()) {
            all.extend(grads.get(&var).cloned());
        }
        all.iter().map(|tensor| tensor.flatten_all()?.to_vec1()).collect()
    };
    Ok([run(true)?, run(false)?])
}

/// Models ask for the final states only where a layer is to return them; nothing else may hang on it.
#[test]
fn an_output_does_not_hang_on_who_wants_the_states() -> Result<()> {
    let mode = Mode::Training { seed: 3 };
    for (batch, units, return_sequences, go_backwards, masked) in [
        (1, 3, false, false, false),
        (3, 8, true, true, true),
        (9, 8, false, true, true),
        (17, 5, true, false, true),
        (21, 20, false, false, true),
        (33, 8, true, true, false),
    ] {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
        let (dropout, recurrent_dropout) = if masked { (0.3, 0.2) } else { (0.0, 0.0) };
        let lstm = LstmConfig {
            return_sequences,
            go_backwards,
            dropout,
            recurrent_dropout,
            ..LstmConfig::new(units)
        };
        let gru = |reset_after| GruConfig {
            return_sequences,
            go_backwards,
            dropout,
            recurrent_dropout,
            reset_after,
            ..GruConfig::new(units)
        };
        let rnn = SimpleRnnConfig { return_sequences, go_backwards, dropout, ..SimpleRnnConfig::new(units) };
        let layers: [&dyn RecurrentLayer; 4] = [
            &Lstm::new(4, lstm, vb.pp("lstm"))?,
            &Gru::new(4, gru(true), vb.pp("gru"))?,
            &Gru::new(4, gru(false), vb.pp("old_gru"))?,
            &SimpleRnn::new(4, rnn, vb.pp("rnn"))?,
        ];
        for (index, layer) in layers.into_iter().enumerate() {
            let [with, without] = with_and_without_states(layer, &variables, [batch, 7, 4], masked, mode)?;
            assert!(with.len() == 5 && with.iter().flatten().any(|&value| value != 0.0));
            assert_eq!(with, without, "layer {index}, batch {batch}, {units} units");
        }
    }
    Ok(())
}

/// A stateful layer carries its states on whoever calls it.
#[test]
fn a_stateful_layer_goes_on_where_it_was_whoever_calls() -> Result<()> {
    let config = |stateful| LstmConfig { stateful, ..LstmConfig::new(2) };
    let xs = waves(&[2, 6, 1])?;
    let whole = Lstm::new(1, config(false), vb(4)?)?.forward(&xs)?;
    let stateful = Lstm::new(1, config(true), vb(4)?)?;
    stateful.forward(&xs.narrow(1, 0, 4)?.contiguous()?)?;
    let rest = stateful.forward(&xs.narrow(1, 4, 2)?.contiguous()?)?;
    assert_eq!(rest.to_vec2::<f32>()?, whole.to_vec2::<f32>()?);
    stateful.reset_states();
    assert_eq!(stateful.forward(&xs)?.to_vec2::<f32>()?, whole.to_vec2::<f32>()?);
    Ok(())
}
