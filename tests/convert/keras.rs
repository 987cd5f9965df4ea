//! `.keras` and `.weights.h5`: written and read again.

use super::{Variables, bits, error, outputs, random, sequential};
use candle_recurrent::Result;
use candle_recurrent::keras::{self, Options};
use candle_recurrent::model::ModelConfig;
use serde_json::{Value, json};
use std::fs;

/// Writes, reads back: the same layers, bits, and bytes when written once more.
fn comes_back(config: &ModelConfig, variables: &Variables) -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let written = keras::to_keras(config, variables)?;
    assert_eq!(written.bytes, keras::to_keras(config, variables)?.bytes, "other bytes the second time");
    assert!(written.notes.is_empty(), "{:?}", written.notes);
    let path = folder.path().join("model.keras");
    fs::write(&path, &written.bytes).expect("a file");
    let (read, weights) = keras::load(&path)?;
    assert_eq!(&read, config);
    let weights = weights.snapshot()?;
    assert_eq!(bits(&weights)?, bits(variables)?);
    assert_eq!(keras::to_keras(&read, &weights)?.bytes, written.bytes);

    let path = folder.path().join("model.weights.h5");
    fs::write(&path, keras::to_weights_h5(config, variables)?.bytes).expect("a file");
    let options = Options { config: Some(folder.path().join("model.keras").into()), ..Options::default() };
    assert_eq!(bits(&keras::load_with(&path, &options)?.weights.snapshot()?)?, bits(variables)?);
    Ok(())
}

#[test]
fn every_model_of_the_zoo_comes_back() -> Result<()> {
    for entry in candle_recurrent::zoo::entries() {
        let config = entry.config()?.model;
        let weights = entry.weights(&config, &candle_core::Device::Cpu)?.snapshot()?;
        comes_back(&config, &weights)?;
    }
    Ok(())
}

fn steps(class: &str, name: &str, extra: Value) -> Value {
    let mut config = json!({"name": name, "units": 3, "return_sequences": true});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    json!({"class_name": class, "config": config})
}

/// Arguments that are no default come back too, and layers of one class keep their order.
#[test]
fn arguments_come_back() -> Result<()> {
    let config = sequential(
        json!([null, 5]),
        "int32",
        json!([
            {"class_name": "Embedding", "config": {"name": "e", "input_dim": 7, "output_dim": 4, "mask_zero": true}},
            steps("LSTM", "b", json!({"dropout": 0.1, "recurrent_dropout": 0.2, "unit_forget_bias": false})),
            steps("LSTM", "a", json!({"activation": "relu", "recurrent_activation": "hard_sigmoid"})),
            steps("GRU", "d", json!({"reset_after": false, "go_backwards": true})),
            steps("GRU", "c", json!({"use_bias": false, "zero_output_for_mask": true})),
            steps("SimpleRNN", "s", json!({"activation": "gelu", "return_sequences": false})),
            {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.25}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax", "use_bias": false}}
        ]),
    )?;
    comes_back(&config, &random(&config, 1)?)
}

/// Keras 3 has another function under the name; with the factor in the weights the numbers stay.
#[test]
fn the_old_hard_sigmoid_goes_into_the_weights() -> Result<()> {
    let old = "hard_sigmoid_keras2";
    let config = sequential(
        json!([null, 5, 2]),
        "float32",
        json!([
            steps("LSTM", "lstm", json!({"recurrent_activation": old})),
            steps("GRU", "after", json!({"recurrent_activation": old, "activation": old})),
            steps("GRU", "before", json!({"recurrent_activation": old, "reset_after": false})),
            steps("SimpleRNN", "simple", json!({"activation": old})),
            {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": old}}
        ]),
    )?;
    let variables = random(&config, 2)?;
    let written = keras::to_keras(&config, &variables)?;
    let named: Vec<&str> = written.notes.iter().filter_map(|note| note.split(':').next()).collect();
    // The GRU after the LSTM has it twice.
    assert_eq!(
        named,
        ["layer lstm", "layer after", "layer after", "layer before", "layer simple", "layer dense"]
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.keras");
    fs::write(&path, &written.bytes).expect("a file");
    let (read, weights) = keras::load(&path)?;
    assert!(!serde_json::to_string(&read).expect("JSON").contains(old));
    let before = outputs(&config, &variables, &[3, 5, 2], false)?;
    let after = outputs(&read, &weights.snapshot()?, &[3, 5, 2], false)?;
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() < 2e-6, "{before} {after}");
    }
    // The function must have been in use: the same weights without the factor give other numbers.
    let unscaled = outputs(&read, &variables, &[3, 5, 2], false)?;
    assert!(unscaled.iter().zip(&before).any(|(a, b)| (a - b).abs() > 1e-4));
    Ok(())
}

#[test]
fn an_old_hard_sigmoid_without_weights_is_refused() -> Result<()> {
    let lstm = steps("LSTM", "lstm", json!({"activation": "hard_sigmoid_keras2"}));
    let config = sequential(json!([null, 5, 2]), "float32", json!([lstm]))?;
    let line = error(keras::to_keras(&config, &random(&config, 3)?));
    assert!(line.starts_with("layer lstm: its activation is Keras 1's and 2's hard_sigmoid"), "{line}");
    Ok(())
}

/// The layers with kernels of other names carry the old hard_sigmoid too, and come back with every argument.
#[test]
fn other_convolutions_come_back() -> Result<()> {
    let old = "hard_sigmoid_keras2";
    let layers = json!([
        {"class_name": "SeparableConv1D", "config": {"name": "s", "filters": 4, "kernel_size": 2, "depth_multiplier": 3,
            "dilation_rate": 2, "padding": "same", "activation": old}},
        {"class_name": "DepthwiseConv1D", "config": {"name": "d", "kernel_size": 3, "strides": 2, "padding": "same",
            "depth_multiplier": 2, "activation": old}},
        {"class_name": "Conv1DTranspose", "config": {"name": "t", "filters": 3, "kernel_size": 2, "strides": 3,
            "output_padding": 1, "activation": old}},
        {"class_name": "GroupNormalization", "config": {"name": "g", "groups": -1, "epsilon": 0.01, "center": false}},
        {"class_name": "UnitNormalization", "config": {"name": "u", "axis": [1, 2]}},
        {"class_name": "Dropout", "config": {"name": "o", "rate": 0.5, "noise_shape": [null, 1, 3]}},
        {"class_name": "AlphaDropout", "config": {"name": "a", "rate": 0.5, "noise_shape": [null, null, 1]}},
        {"class_name": "GaussianDropout", "config": {"name": "f", "rate": 0.25}},
        {"class_name": "EinsumDense", "config": {"name": "e", "equation": "abc,cde->abde", "output_shape": [9, 2, 5],
            "bias_axes": "de", "activation": old}}
    ]);
    let config = sequential(json!([null, 5, 2]), "float32", layers.clone())?;
    let variables = random(&config, 8)?;
    let written = keras::to_keras(&config, &variables)?;
    assert_eq!(written.notes.len(), 4, "{:?}", written.notes);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.keras");
    fs::write(&path, &written.bytes).expect("a file");
    let (read, weights) = keras::load(&path)?;
    let before = outputs(&config, &variables, &[3, 5, 2], false)?;
    let after = outputs(&read, &weights.snapshot()?, &[3, 5, 2], false)?;
    assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 2e-6));
    let unscaled = outputs(&read, &variables, &[3, 5, 2], false)?;
    assert!(unscaled.iter().zip(&before).any(|(a, b)| (a - b).abs() > 1e-4));
    let new = serde_json::from_str(&layers.to_string().replace(old, "hard_sigmoid")).expect("JSON");
    comes_back(&sequential(json!([null, 5, 2]), "float32", new)?, &variables)
}

/// Keras 3 has no causal SeparableConv1D.
#[test]
fn a_causal_separable_convolution_is_refused() -> Result<()> {
    let layers = json!([{"class_name": "SeparableConv1D", "config":
        {"name": "s", "filters": 4, "kernel_size": 2, "padding": "causal"}}]);
    let config = sequential(json!([null, 5, 2]), "float32", layers)?;
    let line = error(keras::to_keras(&config, &random(&config, 9)?));
    assert!(line.starts_with("layer s: padding `causal`"), "{line}");
    Ok(())
}

#[test]
fn variables_that_do_not_fit_are_refused() -> Result<()> {
    let config = sequential(json!([null, 5, 2]), "float32", json!([steps("LSTM", "lstm", json!({}))]))?;
    let mut variables = random(&config, 4)?;
    variables.insert("gru.kernel".into(), super::tensor(&[0.0], &[1])?);
    assert!(error(keras::to_keras(&config, &variables)).contains("`gru.kernel` belongs to no layer"));
    variables.remove("gru.kernel");
    variables.remove("lstm.bias");
    assert!(error(keras::to_keras(&config, &variables)).contains("variable lstm.bias"));
    Ok(())
}

/// The members of the zip are stored, and hold no time.
#[test]
fn the_archive_is_as_keras_writes_it() -> Result<()> {
    let config = sequential(json!([null, 5, 2]), "float32", json!([steps("LSTM", "lstm", json!({}))]))?;
    let bytes = keras::to_keras(&config, &random(&config, 5)?)?.bytes;
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip");
    let names: Vec<_> = (0..zip.len())
        .map(|i| zip.by_index(i).expect("a member").name().expect("a name").to_string())
        .collect();
    assert_eq!(names, ["metadata.json", "config.json", "model.weights.h5"]);
    for index in 0..zip.len() {
        let member = zip.by_index(index).expect("a member");
        assert_eq!(member.compression(), zip::CompressionMethod::Stored);
        assert_eq!(member.last_modified(), Some(zip::DateTime::default()));
    }
    Ok(())
}

/// Biases that Keras 3 on TensorFlow would add along another axis: a model of Keras 2 that has them gives its own numbers
/// here (`tests/fixtures/k2_bias_axes.h5`), and cannot be written.
#[test]
fn biases_of_another_axis_in_keras_3_are_refused() -> Result<()> {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/k2_bias_axes.h5");
    let (config, weights) = keras::load(fixture)?;
    let line = error(keras::to_keras(&config, &weights.snapshot()?));
    assert!(line.starts_with("layer heads: its query.bias lies along axis 2 of (None, 3, 3, 1)"), "{line}");
    assert!(line.ends_with("write a model folder instead"), "{line}");

    let inner = |heads: usize| {
        json!({"class_name": "Functional", "config": {"name": "inside", "layers": [
            {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [null, null, 4]}},
            {"class_name": "MultiHeadAttention", "config": {"name": "a", "num_heads": heads, "key_dim": 1},
             "inbound_nodes": [[["i", 0, 0], ["i", 0, 0]]]}],
            "input_layers": [["i", 0, 0]], "output_layers": [["a", 0, 0]]}})
    };
    let config = |heads| sequential(json!([null, 3, 4]), "float32", json!([inner(heads)]));
    let line = error(keras::to_keras(&config(3)?, &random(&config(3)?, 10)?));
    assert!(line.starts_with("layer inside: layer a: its query.bias"), "{line}");
    comes_back(&config(2)?, &random(&config(2)?, 10)?)
}

/// An EinsumDense is written with the sizes that its `output_shape` leaves open, but for axes that its equation leaves out:
/// those are none of the `output_shape`'s.
#[test]
fn an_equation_with_dots_keeps_its_output_shape() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/k2_einsum.h5");
    let (config, weights) = keras::load(path)?;
    let bytes = keras::to_keras(&config, &weights.snapshot()?)?.bytes;
    let text = String::from_utf8_lossy(&bytes).replace([' ', '\n'], "");
    for layer in [
        r#""equation":"abc,cde->abde","output_shape":[4,2,3]"#,
        r#""equation":"...x,xy->...y","output_shape":[3]"#,
    ] {
        assert!(text.contains(layer), "{layer} is not in the file");
    }
    Ok(())
}
