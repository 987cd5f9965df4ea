//! Every class of layers is written. `classes.json` has the models, in which each class stands at least once.

use super::{Variables, bits, random};
use candle_core::{Device, Tensor};
use candle_recurrent::Result;
use candle_recurrent::keras;
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Class, Model, ModelConfig, Weights};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Where `scripts/keras_roundtrip.py` wants the files.
const KEPT: &str = "CANDLE_RECURRENT_WRITTEN";

/// The model of a case: its layers one after another, the first on all inputs; and the inputs.
fn model(case: &Value) -> Result<(ModelConfig, Vec<Tensor>)> {
    let shapes: Vec<Vec<usize>> = serde_json::from_value(case["inputs"].clone()).expect("shapes");
    let ids = case["ids"] == true;
    let (mut layers, mut inputs, mut calls) = (vec![], vec![], vec![]);
    for (index, shape) in shapes.iter().enumerate() {
        let name = format!("x{index}");
        let batch = case.get("batch").cloned().unwrap_or_default();
        let batch_shape: Vec<Value> =
            [batch].into_iter().chain(shape.iter().map(|&axis| axis.into())).collect();
        let dtype = if ids { "int32" } else { "float32" };
        layers.push(json!({"class_name": "InputLayer",
                           "config": {"name": name, "batch_shape": batch_shape, "dtype": dtype}}));
        calls.push(json!([name, 0, 0]));
        let count = 3 * shape.iter().product::<usize>();
        let value = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0 + index as f32 / 10.0;
        let values: Vec<f32> = (0..count).map(|i| if ids { (i * 3 % 7) as f32 } else { value(i) }).collect();
        inputs.push(Tensor::from_vec(values, [vec![3], shape.clone()].concat(), &Device::Cpu)?);
    }
    for (index, layer) in case["layers"].as_array().expect("layers").iter().enumerate() {
        let (mut layer, name) = (layer.clone(), format!("layer_{index}"));
        layer["config"]["name"] = name.clone().into();
        layer["inbound_nodes"] = json!([calls]);
        calls = vec![json!([name, 0, 0])];
        layers.push(layer);
    }
    let inputs_of = |index| json!([format!("x{index}"), 0, 0]);
    let config = json!({"name": "model", "layers": layers, "output_layers": calls,
                        "input_layers": (0..shapes.len()).map(inputs_of).collect::<Vec<_>>()});
    Ok((ModelConfig::from_json(&config.to_string())?, inputs))
}

fn run(config: &ModelConfig, variables: &Variables, inputs: &[Tensor]) -> Result<Tensor> {
    let weights = Weights::from_tensors(config, variables.clone(), &Device::Cpu)?;
    Ok(Model::new(config, weights.detached())?.forward_all(inputs, Mode::Inference)?.remove(0))
}

/// The names of the classes in a model, those within layers too.
fn classes(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("class_name").and_then(Value::as_str).map(String::from));
            object.values().for_each(|value| classes(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| classes(value, found)),
        _ => {}
    }
}

#[test]
fn every_class_is_written() -> Result<()> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("classes.json")).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let kept = std::env::var_os(KEPT).map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(folder.path());
    let mut written = BTreeSet::from(["InputLayer".to_string()]);
    for (index, case) in cases.iter().enumerate() {
        classes(case, &mut written);
        let (config, inputs) = model(case)?;
        let variables = random(&config, index as u64)?;
        let before = run(&config, &variables, &inputs)?;
        let path = folder.join(format!("{index}.keras"));
        keras::to_keras(&config, &variables)?.save(&path)?;
        let (read, weights) = keras::load(&path)?;
        let weights = weights.snapshot()?;
        assert_eq!(bits(&weights)?, bits(&variables)?, "case {index}");
        let after = run(&read, &weights, &inputs)?;
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        assert_eq!(values(&after)?, values(&before)?, "case {index}");
        assert!(values(&before)?.iter().all(|value| value.is_finite()), "case {index}");
        if kept.is_some() {
            let names = (0..inputs.len()).map(|input| format!("x{input}"));
            let mut arrays: Vec<(String, Tensor)> = names.zip(inputs).collect();
            arrays.push(("y0".into(), before));
            let arrays: Vec<(&str, &Tensor)> = arrays.iter().map(|(name, x)| (name.as_str(), x)).collect();
            candle_recurrent::formats::write(folder.join(format!("{index}.npz")), &arrays)?;
        }
    }
    let missing: Vec<&&str> = Class::NAMES.iter().filter(|name| !written.contains(**name)).collect();
    assert!(missing.is_empty(), "no case in classes.json has {missing:?}");
    Ok(())
}
