//! What a file is and what is in it is said by name: in a refusal, or in a warning where it can be used all the same.

use super::fixtures::FIXTURES;
use candle_recurrent::keras::{self, Kind, Options};
use candle_recurrent::model::Class;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn says(text: &str, words: &[&str]) {
    assert!(!text.contains('\n'), "{text}");
    for word in words {
        assert!(text.contains(word), "expected `{word}` in: {text}");
    }
}

/// The architecture of a Sequential of these layers, read from a file of that version.
fn read(layers: Value, version: &str) -> Result<candle_recurrent::model::ModelConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let model = json!({ "class_name": "Sequential", "keras_version": version,
                        "config": { "name": "m", "layers": layers } });
    let text = model.to_string().replace("\"-inf\"", "-Infinity").replace("\"inf\"", "Infinity");
    keras::load_config(write(&folder, "m.json", text.as_bytes())).map_err(|error| error.to_string())
}

fn with_input(layer: Value) -> Value {
    json!([{ "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 4, 3] } }, layer])
}

#[test]
fn a_layer_that_is_missing_is_told_from_a_custom_one() {
    let refuse = |class: &str| {
        let layer = json!({ "class_name": class, "config": { "name": "l" } });
        read(with_input(layer), "3.15.1").unwrap_err()
    };
    for class in ["RandomFourierFeatures", "MelSpectrogram", "LocallyConnected1D", "MaxoutDense"] {
        says(
            &refuse(class),
            &["layer l", &format!("`{class}` is a layer of Keras's that is not supported yet")],
        );
    }
    says(&refuse("CrfLayer"), &["layer l", "`CrfLayer` is no layer of Keras's", "custom class"]);
    says(&refuse("lstm"), &["no layer of Keras's (Keras has `LSTM`)"]);
    assert!(refuse("CrfLayer").len() < 250, "{}", refuse("CrfLayer"));
}

/// Every class here is one of Keras's.
#[test]
fn no_class_is_called_custom() {
    for class in Class::NAMES.iter().filter(|class| !["Sequential", "Functional"].contains(class)) {
        let layer = json!({ "class_name": class, "config": { "name": "l" } });
        if let Err(error) = read(with_input(layer), "3.15.1") {
            assert!(!error.contains("is no layer of Keras's"), "{error}");
        }
    }
}

#[test]
fn keras_core_is_keras_3() {
    let dense = json!({ "module": "keras_core.layers", "class_name": "Dense",
                        "config": { "name": "d", "units": 2, "activation": "hard_sigmoid" } });
    let config = serde_json::to_string(&read(with_input(dense), "0.1.7").unwrap()).unwrap();
    assert!(config.contains("\"hard_sigmoid\""), "{config}");
}

#[test]
fn json_that_is_no_model_is_known() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, words) in [
        (
            "model.json",
            json!({ "format": "layers-model", "modelTopology": {}, "weightsManifest": [] }),
            ["TensorFlow.js", "tensorflowjs_converter"],
        ),
        (
            "a.weights.json",
            json!({ "metadata": { "total_size": 8 }, "weight_map": { "/layers/d/vars": "a_0.weights.h5" } }),
            ["cut into", "max_shard_size"],
        ),
        (
            "tokenizer.json",
            json!({ "class_name": "Tokenizer", "config": { "num_words": 9, "word_counts": "{}" } }),
            ["vocabulary", "--tokenizer"],
        ),
    ] {
        let path = write(&folder, name, content.to_string().as_bytes());
        says(&keras::kind(&path).unwrap_err().to_string(), &words);
        says(&keras::load(&path).unwrap_err().to_string(), &words);
    }
}

/// HDF5 allows a block of the user's own of any power of two from 512.
#[test]
fn user_blocks_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(Path::new(FIXTURES).join("old_keras_2_1.h5")).unwrap();
    let y = |path: &Path| {
        let golden = Path::new(FIXTURES).join("old_keras_2_1.golden.npz");
        super::support::check(path, &golden).unwrap()
    };
    for block in [512, 2048, 1 << 16] {
        let mut moved = vec![b'#'; block];
        moved.extend_from_slice(&bytes);
        // The base address, to which all others are relative; superblock 0 has it at byte 24.
        moved[block + 24..block + 32].copy_from_slice(&(block as u64).to_le_bytes());
        let path = write(&folder, "m.h5", &moved);
        assert_eq!(keras::kind(&path).unwrap(), Kind::Hdf5);
        assert!(y(&path) < 1e-5);
    }
    let none = write(&folder, "m.h5", &vec![b'#'; 5000]);
    says(&keras::kind(&none).unwrap_err().to_string(), &["is no model that can be read"]);
}

fn warnings(name: &str) -> String {
    let config = Path::new(FIXTURES).join(format!("{}.json", name.split('.').next().unwrap()));
    let config = name.contains(".weights.").then(|| config.into());
    let options = Options { config, ..Options::default() };
    keras::load_with(Path::new(FIXTURES).join(name), &options).unwrap().warnings.join("; ")
}

#[test]
fn what_differs_from_keras_is_warned_of() {
    says(&warnings("k3_bfloat16.keras"), &["computed in float32", "dtype policy bfloat16"]);
    says(&warnings("k3_float16.keras"), &["computed in float32", "dtype policy float16"]);
    says(&warnings("k3_int8.keras"), &["quantised to int8", "not rounded"]);
    says(&warnings("old_ragged.h5"), &["layer input_1", "ragged=True"]);
    says(&warnings("old_reordered.weights.h5"), &["another order", "those of `b` go into `a`"]);
    assert_eq!(warnings("k3_text.keras"), "");
}

#[test]
fn other_quantised_weights_are_named() {
    let dense = |mode: &str| {
        json!({ "class_name": "Dense", "config": { "name": "d", "units": 2, "dtype": {
            "class_name": "QuantizedDTypePolicy", "config": { "mode": mode, "source_name": "float32" } } } })
    };
    for mode in ["int4/128", "float8", "gptq/4/128"] {
        says(
            &read(with_input(dense(mode)), "3.15.1").unwrap_err(),
            &["layer d", &format!("quantised to {mode}")],
        );
    }
    let conv =
        json!({ "class_name": "LSTM", "config": { "name": "l", "units": 2, "dtype": "int8_from_float32" } });
    says(&read(with_input(conv), "3.5.0").unwrap_err(), &["layer l", "of Dense and Embedding only"]);
}

/// As they come where the architecture was taken before `quantize`.
#[test]
fn quantised_weights_of_another_architecture_are_named() {
    let path = Path::new(FIXTURES).join("k3_int8.keras");
    let config = keras::load_config(&path).unwrap();
    let options = Options { config: Some(config.into()), ..Options::default() };
    let error = keras::load_with(&path, &options).unwrap_err().to_string();
    says(&error, &["layer embedding", "quantised to int8"]);
}

/// Python's words for numbers that JSON does not know are kept, or refused by the argument's name.
#[test]
fn infinite_arguments_are_not_dropped() {
    let refuse = |class: &str, argument: &str| {
        let mut layer =
            json!({ "class_name": class, "config": { "name": "l", "activation": "relu", "units": 2 } });
        layer["config"][argument] = "-inf".into();
        read(with_input(layer), "3.15.1").unwrap_err()
    };
    for (class, argument) in [
        ("LeakyReLU", "negative_slope"),
        ("ReLU", "threshold"),
        ("ELU", "alpha"),
        ("Dropout", "rate"),
        ("BatchNormalization", "epsilon"),
        ("LayerNormalization", "epsilon"),
        ("Rescaling", "scale"),
        ("LSTM", "dropout"),
        ("ReLU", "max_value"),
        ("GaussianNoise", "stddev"),
    ] {
        says(&refuse(class, argument), &["layer l", argument, "Infinity"]);
    }
    let relu = json!({ "class_name": "ReLU", "config": { "name": "l", "max_value": "inf" } });
    assert!(read(with_input(relu), "3.15.1").is_ok());
}

#[test]
fn softmax_takes_the_axes_of_a_sample() {
    let softmax = |axis: Value, version: &str| {
        read(with_input(json!({ "class_name": "Softmax", "config": { "name": "l", "axis": axis } })), version)
    };
    for axis in [json!(-1), json!([2]), json!([1, 2]), json!([-1, 1])] {
        assert!(softmax(axis.clone(), "3.15.1").is_ok(), "{axis}");
        assert!(softmax(axis, "2.15.0").is_ok());
    }
    says(&softmax(Value::Null, "3.15.1").unwrap_err(), &["layer l", "`axis` is None"]);
    assert!(softmax(Value::Null, "2.15.0").is_ok());
    for axis in [json!(0), json!([0, 1]), json!([1, -2]), json!([]), json!(3)] {
        says(&softmax(axis, "3.15.1").unwrap_err(), &["layer l", "axis"]);
    }
}

#[test]
fn arguments_of_another_kind_are_refused() {
    let refuse = |layer: Value, words: &[&str]| says(&read(with_input(layer), "3.15.1").unwrap_err(), words);
    let layer = |class: &str, config: Value| json!({ "class_name": class, "config": config });
    refuse(
        layer("PReLU", json!({ "name": "l", "shared_axes": "all" })),
        &["layer l", "shared_axes", "\"all\""],
    );
    refuse(
        layer("LayerNormalization", json!({ "name": "l", "epsilon": -5.0 })),
        &["layer l", "epsilon", "-5"],
    );
    let text = json!([{ "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 1], "dtype": "string" } },
                      layer("Dense", json!({ "name": "l", "units": 1 }))]);
    says(&read(text, "3.15.1").unwrap_err(), &["layer x", "string"]);
}
