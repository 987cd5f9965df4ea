//! What holds for all recurrent layers: masks of every type, states that nobody wants, and NaN.

use super::{Call, GruConfig, Lstm, LstmConfig, SimpleRnn, SimpleRnnConfig};
use crate::layers::flow::Flow;
use crate::layers::layer::{Config, Layer, Pass};
use crate::layers::{Activation, Mode};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

/// Variables of a layer of 1 feature and 2 units with so many gates.
fn vb(gates: usize, dtype: DType) -> Result<VarBuilder<'static>> {
    let row = |rows: usize| Tensor::arange(1f32, (rows * 2 * gates) as f32 + 1.0, &CPU)? * 0.1;
    let tensors = [("kernel", 1), ("recurrent_kernel", 2)];
    let tensors =
        tensors.into_iter().map(|(name, rows)| Ok((name.into(), row(rows)?.reshape((rows, 2 * gates))?)));
    let mut tensors: HashMap<String, Tensor> = tensors.collect::<Result<_>>()?;
    tensors.insert("bias".into(), row(1)?);
    Ok(VarBuilder::from_tensors(tensors, dtype, &CPU))
}

/// Keras takes a mask as true and false: whatever is not 0 counts, also what a cast to bytes would make 0 of.
#[test]
fn masks_of_any_type_count_where_they_are_not_zero() -> Result<()> {
    let config = LstmConfig { return_sequences: true, ..LstmConfig::new(2) };
    let xs = Tensor::new(&[[[0.5f32], [-1.0], [2.0], [1.5]]], &CPU)?;
    let bytes = Tensor::new(&[[1u8, 1, 0, 1]], &CPU)?;
    let others = [
        Tensor::new(&[[0.5f32, -1.0, 0.0, 256.0]], &CPU)?,
        Tensor::new(&[[0.25f64, 512.0, 0.0, 1.0]], &CPU)?,
        Tensor::new(&[[256i64, -1, 0, 1]], &CPU)?,
        Tensor::new(&[[256u32, 1, 0, 1 << 31]], &CPU)?,
    ];
    let ys = |mask: &Tensor, dtype: DType| {
        let call = Call { mask: Some(mask), ..Call::default() };
        let lstm = Lstm::new(1, config.clone(), vb(4, dtype)?)?;
        let output = lstm.call(&xs.to_dtype(dtype)?, call)?;
        output.hidden.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()
    };
    for dtype in [DType::F32, DType::F64] {
        for mask in &others {
            assert_eq!(ys(mask, dtype)?, ys(&bytes, dtype)?, "{:?}, {dtype:?}", mask.dtype());
        }
    }
    Ok(())
}

/// What is broken must look broken, in the kernels and beside them.
#[test]
fn recurrent_layers_give_nan_for_nan() -> Result<()> {
    let xs = Tensor::new(&[[[1f32], [f32::NAN]]], &CPU)?;
    for &activation in Activation::ALL {
        for dtype in [DType::F32, DType::F64] {
            let config = SimpleRnnConfig { activation, ..SimpleRnnConfig::new(2) };
            let rnn = SimpleRnn::new(1, config, vb(1, dtype)?)?;
            let ys = rnn.forward(&xs.to_dtype(dtype)?)?.flatten_all()?.to_dtype(DType::F64)?;
            let ys = ys.to_vec1::<f64>()?;
            assert!(ys.iter().all(|y| y.is_nan()), "{}: {ys:?}", activation.name());
        }
    }
    Ok(())
}

/// Values from -1 to 1 that differ from each other.
fn waves(shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &CPU)
}

/// The output of a layer and its gradients, by the input and by the variables, with the final states and without.
fn with_and_without_states(
    build: &dyn Fn(bool) -> Result<std::sync::Arc<dyn Layer>>,
    variables: &VarMap,
    shape: [usize; 3],
    masked: bool,
    mode: Mode,
) -> Result<[Vec<Vec<f32>>; 2]> {
    let xs = Var::from_tensor(&waves(&shape)?)?;
    let mask: Vec<u8> = (0..shape[0] * shape[1]).map(|i| u8::from(i % 5 != 0)).collect();
    let mask = Tensor::from_vec(mask, (shape[0], shape[1]), &CPU)?;
    let input = Flow::new(xs.as_tensor().clone(), Some(mask).filter(|_| masked));
    let run = |return_state: bool| -> Result<Vec<Vec<f32>>> {
        let outputs = build(return_state)?.run(std::slice::from_ref(&input), Pass::from(mode))?;
        assert_eq!(outputs.len() == 1, !return_state);
        let hidden = outputs[0].values.tensor()?;
        assert!(hidden.is_contiguous() || hidden.rank() == 3);
        let grads = (&hidden * waves(hidden.dims())?)?.sum_all()?.backward()?;
        let mut all = vec![hidden];
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
        let configs: [(&str, Box<dyn Config>); 4] = [
            ("lstm", Box::new(lstm)),
            ("gru", Box::new(gru(true))),
            ("old_gru", Box::new(gru(false))),
            ("rnn", Box::new(rnn)),
        ];
        for (index, (name, mut config)) in configs.into_iter().enumerate() {
            let mut switched = |return_state| {
                let time_loop = config.time_loop().unwrap();
                config.set_time_loop(crate::layers::layer::TimeLoop { return_state, ..time_loop });
                config.build(&[vec![None, None, Some(4)]], vb.pp(name))
            };
            let layers = [switched(false)?, switched(true)?];
            let build = |return_state: bool| Ok(layers[usize::from(return_state)].clone());
            let [with, without] = with_and_without_states(&build, &variables, [batch, 7, 4], masked, mode)?;
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
    let whole = Lstm::new(1, config(false), vb(4, DType::F32)?)?.forward(&xs)?;
    let stateful = Lstm::new(1, config(true), vb(4, DType::F32)?)?;
    stateful.forward(&xs.narrow(1, 0, 4)?.contiguous()?)?;
    let rest = stateful.forward(&xs.narrow(1, 4, 2)?.contiguous()?)?;
    assert_eq!(rest.to_vec2::<f32>()?, whole.to_vec2::<f32>()?);
    stateful.reset_states();
    assert_eq!(stateful.forward(&xs)?.to_vec2::<f32>()?, whole.to_vec2::<f32>()?);
    Ok(())
}

/// Candle's own way of training draws dropout masks, each time anew.
#[test]
fn forward_t_draws() -> Result<()> {
    let config = LstmConfig { dropout: 0.5, ..LstmConfig::new(2) };
    let (lstm, xs) = (Lstm::new(1, config, vb(4, DType::F32)?)?, waves(&[2, 6, 1])?);
    let ys = |ys: Tensor| ys.to_vec2::<f32>();
    assert_eq!(ys(lstm.forward_t(&xs, false)?)?, ys(lstm.forward(&xs)?)?);
    let [first, second] = [lstm.forward_t(&xs, true)?, lstm.forward_t(&xs, true)?];
    assert_ne!(ys(first.clone())?, ys(lstm.forward(&xs)?)?);
    assert_ne!(ys(first)?, ys(second)?);
    Ok(())
}
