//! What goes out: `.keras` and `.weights.h5`, the layouts of PyTorch and candle-nn, and the command `convert`.
//! `scripts/keras_roundtrip.py` and `scripts/torch_layout.py` hold the same against Keras and PyTorch themselves.

mod classes;
mod keras;
mod layouts;

use candle_core::{DType, Device, Tensor};
use candle_recurrent::Result;
use candle_recurrent::data::RandomState;
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig, Weights};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Variables = BTreeMap<String, Tensor>;

/// A Sequential of these layers, an input of `shape` before them.
fn sequential(shape: Value, dtype: &str, layers: Value) -> Result<ModelConfig> {
    let input = json!({"class_name": "InputLayer", "config":
        {"name": "input", "batch_shape": shape, "dtype": dtype}});
    let layers: Vec<Value> =
        [input].into_iter().chain(layers.as_array().into_iter().flatten().cloned()).collect();
    ModelConfig::from_json(&json!({"name": "model", "layers": layers}).to_string())
}

/// Values for every variable, biases too.
fn random(config: &ModelConfig, seed: u64) -> Result<Variables> {
    let draw = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let mut stream = RandomState::from_key(&[seed as u32, count as u32, name.len() as u32]);
        let low = if name.ends_with("variance") { 0.5 } else { -0.5 };
        let values: Vec<f32> =
            (0..count).map(|_| low + stream.permutation(1000)[0] as f32 / 1000.0).collect();
        Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    config.variables()?.into_iter().map(draw).collect()
}

/// What the model gives for a fixed input of 3 rows, flat.
fn outputs(config: &ModelConfig, variables: &Variables, shape: &[usize], ids: bool) -> Result<Vec<f32>> {
    let weights = Weights::from_tensors(config, variables.clone(), &Device::Cpu)?;
    let model = Model::new(config, weights.detached())?;
    let count: usize = shape.iter().product();
    let xs = match ids {
        true => Tensor::from_vec((0..count as u32).map(|i| i * 3 % 7).collect(), shape, &Device::Cpu)?,
        false => {
            let values = (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu)?
        }
    };
    Ok(model.forward(&xs, Mode::Inference)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[allow(clippy::type_complexity)]
fn bits(variables: &Variables) -> Result<BTreeMap<&str, (Vec<usize>, Vec<u32>)>> {
    variables
        .iter()
        .map(|(name, tensor)| {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bits = values.iter().map(|value| value.to_bits()).collect();
            Ok((name.as_str(), (tensor.dims().to_vec(), bits)))
        })
        .collect()
}

fn error<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.to_string(),
    }
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, &Device::Cpu)?)
}
