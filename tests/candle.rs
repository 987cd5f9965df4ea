//! Candle's own ways: programs written for candle-nn run with the type's name changed.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_nn::{ModuleT, Optimizer as _, VarBuilder, VarMap};
use candle_recurrent::layers::{
    Call, Dense, DenseConfig, Gru, GruConfig, Lstm, LstmConfig, Rnn, SimpleRnn, SimpleRnnConfig,
};
use candle_recurrent::train::{Optimizer, RmsProp};

const CPU: Device = Device::Cpu;

fn waves(shape: &[usize]) -> Result<Tensor> {
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
    Tensor::from_vec(values, shape, &CPU)
}

fn close(a: &Tensor, b: &Tensor) -> Result<()> {
    assert_eq!(a.dims(), b.dims());
    let worst = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(worst < 1e-6, "{worst}");
    Ok(())
}

/// What a program written against the trait sees of a layer.
fn program<R: RNN>(rnn: &R, xs: &Tensor) -> Result<(Tensor, R::State)> {
    let states = rnn.seq(xs)?;
    let stepped = rnn.step(&xs.narrow(1, 0, 1)?.squeeze(1)?, &rnn.zero_state(xs.dim(0)?)?)?;
    Ok((rnn.states_to_tensor(&states)?, stepped))
}

/// A checkpoint that candle-nn saved gives its numbers here, through the same trait and through the kernels.
#[test]
fn a_checkpoint_of_candle_nn_loads() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let theirs =
        (lstm(3, 5, LSTMConfig::default(), vb.pp("lstm"))?, gru(3, 5, GRUConfig::default(), vb.pp("gru"))?);
    // Biases of zeros would prove nothing.
    for (name, var) in variables.data().lock().unwrap().iter() {
        if name.contains("bias") {
            var.set(&waves(var.dims())?)?;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candle.safetensors");
    variables.save(&path)?;
    let vb = VarBuilder::from_tensors(candle_core::safetensors::load(path, &CPU)?, DType::F32, &CPU);
    let ours = (
        Lstm::new(3, LstmConfig { return_sequences: true, ..LstmConfig::new(5) }, vb.pp("lstm"))?,
        Gru::new(3, GruConfig { return_sequences: true, ..GruConfig::new(5) }, vb.pp("gru"))?,
    );
    let xs = waves(&[4, 7, 3])?;
    let (expected, step) = program(&theirs.0, &xs)?;
    let (found, own_step) = program(&ours.0, &xs)?;
    close(&found, &expected)?;
    close(&own_step.h, &step.h)?;
    close(&own_step.c, &step.c)?;
    close(&ours.0.forward(&xs)?, &expected)?;
    let (expected, step) = program(&theirs.1, &xs)?;
    let (found, own_step) = program(&ours.1, &xs)?;
    close(&found, &expected)?;
    close(&own_step.h, &step.h)?;
    close(&ours.1.forward(&xs)?.flatten(1, 2)?, &expected)?;
    Ok(())
}

/// What of candle-nn's does not fit says what to change.
#[test]
fn a_checkpoint_that_does_not_fit_says_how() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let no_biases = LSTMConfig { b_ih_init: None, b_hh_init: None, ..LSTMConfig::default() };
    lstm(3, 5, no_biases, vb.pp("lstm"))?;
    gru(3, 5, GRUConfig::default(), vb.pp("gru"))?;
    let error = Lstm::new(3, LstmConfig::new(5), vb.pp("lstm")).unwrap_err().to_string();
    assert!(error.contains("layer lstm") && error.contains("use_bias to false"), "{error}");
    let config = GruConfig { reset_after: false, ..GruConfig::new(5) };
    let error = Gru::new(3, config, vb.pp("gru")).unwrap_err().to_string();
    assert!(error.contains("layer gru") && error.contains("reset_after: true"), "{error}");
    Ok(())
}

/// `Optimizer` where candle-nn's `AdamW` would stand; dropout comes with `forward_t`.
#[test]
fn a_training_loop_of_candle_s() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let config = LstmConfig { dropout: 0.1, ..LstmConfig::new(8) };
    let lstm = Lstm::new(2, config, vb.pp("lstm"))?;
    let head = Dense::new(8, DenseConfig::new(1), vb.pp("head"))?;
    let mut optimizer = <Optimizer as candle_nn::Optimizer>::new(
        variables.all_vars(),
        RmsProp::default().with_learning_rate(0.01),
    )?;
    let xs = waves(&[16, 5, 2])?;
    let ys = xs.sum(D::Minus1)?.sum_keepdim(1)?;
    let loss = |train: bool| (head.forward(&lstm.forward_t(&xs, train)?)? - &ys)?.sqr()?.mean_all();
    let before = loss(false)?.to_scalar::<f32>()?;
    for _ in 0..100 {
        optimizer.backward_step(&loss(true)?)?;
    }
    let after = loss(false)?.to_scalar::<f32>()?;
    assert!(after < 0.2 * before, "{before} to {after}");
    // Its state is kept by name, and these have none.
    assert!(optimizer.state().unwrap_err().to_string().contains("of_varmap"));
    let mut named = Optimizer::of_varmap(&variables, RmsProp::default())?;
    named.backward_step(&loss(true)?)?;
    let names: Vec<String> = named.state()?.into_keys().collect();
    assert_eq!(names[0], "head.bias/velocity");
    assert!(names.contains(&"lstm.recurrent_kernel/velocity".to_string()));
    Ok(())
}

/// Layers name themselves when a rank or a type does not fit; outputs are contiguous.
#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let config = LstmConfig { return_sequences: true, ..LstmConfig::new(2) };
    let lstm = Lstm::new(3, config, vb.pp("lstm"))?;
    let rnn = SimpleRnn::new(3, SimpleRnnConfig::new(2), vb.pp("rnn"))?;
    let xs = waves(&[2, 4, 3])?;
    let error = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert!(
        error(lstm.forward(&xs.to_dtype(DType::F64)?))
            .contains("layer lstm: its weights are F32, its input is F64; convert")
    );
    assert!(
        error(lstm.forward(&xs.flatten(0, 1)?))
            .contains("layer lstm: needs an input (batch, time, features), given [8, 3]")
    );
    assert!(
        error(rnn.forward(&xs.narrow(2, 0, 2)?)).contains("layer rnn: built for 3 input features, given 2")
    );
    let output = lstm.call(&xs, Default::default())?;
    assert!(output.hidden.is_contiguous() && output.states.iter().all(Tensor::is_contiguous));
    Ok(())
}

/// A layer of one cell is the layer of that cell, called with states and a mask and as a module.
#[test]
fn a_layer_of_cells_is_called_like_the_others() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &CPU);
    let json = r#"{"cell": {"class_name": "LSTMCell", "config": {"units": 2}}, "return_state": true}"#;
    let rnn = Rnn::new(3, serde_json::from_str(json).map_err(candle_core::Error::wrap)?, vb.pp("rnn"))?;
    let lstm = Lstm::new(3, LstmConfig { return_state: true, ..LstmConfig::new(2) }, vb.pp("rnn.cell"))?;
    let xs = waves(&[2, 4, 3])?;
    let mask = Tensor::new(&[[1f32, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]], &CPU)?;
    let states = [waves(&[2, 2])?, waves(&[2, 2])?.neg()?];
    let call = Call { mask: Some(&mask), states: Some(&states), ..Call::default() };
    let (ours, expected) = (rnn.call(&xs, call)?, lstm.call(&xs, call)?);
    assert_eq!(ours.hidden.to_vec2::<f32>()?, expected.hidden.to_vec2::<f32>()?);
    assert_eq!(ours.states.len(), 2);
    assert_eq!(ours.states[1].to_vec2::<f32>()?, expected.states[1].to_vec2::<f32>()?);
    assert_eq!(rnn.forward_t(&xs, false)?.to_vec2::<f32>()?, lstm.forward(&xs)?.to_vec2::<f32>()?);
    Ok(())
}
