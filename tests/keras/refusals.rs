//! What cannot be read is refused in one line that says why.

use super::fixtures::FIXTURES;
use candle_core::{DType, Device, Tensor};
use candle_recurrent::keras::{self, ConfigSource, Options};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::Model;
use hdf5_pure::FileBuilder;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The error of reading `path`.
fn refusal(path: &Path, options: &Options) -> String {
    let error = keras::load_with(path, options).expect_err("it must be refused").to_string();
    assert!(!error.contains('\n'), "{error}");
    assert!(
        error.starts_with(&*config_path(options).unwrap_or(path).to_string_lossy())
            || error.starts_with(&*path.to_string_lossy()),
        "{error}"
    );
    error
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "expected `{word}` in: {error}");
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn dense(units: usize) -> Value {
    json!({ "class_name": "Sequential", "keras_version": "3.15.1", "config": { "name": "m", "layers": [
        { "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 3] } },
        { "class_name": "Dense", "config": { "name": "dense", "units": units } },
    ] } })
}

/// A `.weights.h5` of a Dense layer of 2 units on 3 features.
fn dense_weights(kernel: &[f32]) -> Vec<u8> {
    let mut builder = FileBuilder::new();
    let mut layers = builder.create_group("layers");
    let mut dense = layers.create_group("dense");
    let mut vars = dense.create_group("vars");
    vars.create_dataset("0").with_f32_data(kernel).with_shape(&[3, 2]);
    vars.create_dataset("1").with_f32_data(&[0.5, 1.5]).with_shape(&[2]);
    dense.add_group(vars.finish());
    layers.add_group(dense.finish());
    builder.add_group(layers.finish());
    builder.finish().unwrap()
}

fn config_path(options: &Options) -> Option<&Path> {
    match options.config.as_ref()? {
        ConfigSource::File(path) => Some(path),
        ConfigSource::Memory(_) => None,
    }
}

fn with_config(folder: &tempfile::TempDir, config: &Value) -> Options {
    let config = write(folder, "config.json", config.to_string().as_bytes());
    Options { config: Some(config.into()), ..Options::default() }
}

#[test]
fn weights_alone_need_an_architecture() {
    let folder = folder();
    let path = write(&folder, "m.weights.h5", &dense_weights(&[1.0; 6]));
    says(&refusal(&path, &Options::default()), &["without an architecture", "`keras::Options::config`"]);
    let loaded = keras::load_with(&path, &with_config(&folder, &dense(2))).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let names: Vec<&str> = loaded.weights.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dense.bias", "dense.kernel"]);
}

#[test]
fn a_variable_of_another_shape_is_named_with_both_shapes() {
    let folder = folder();
    let path = write(&folder, "m.weights.h5", &dense_weights(&[1.0; 6]));
    let error = refusal(&path, &with_config(&folder, &dense(4)));
    says(&error, &["dense.kernel", "[3, 4]", "[3, 2]"]);
}

#[test]
fn weights_that_are_no_numbers_are_warned_of() {
    let folder = folder();
    let path = write(&folder, "m.weights.h5", &dense_weights(&[1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]));
    let loaded = keras::load_with(&path, &with_config(&folder, &dense(2))).unwrap();
    says(&loaded.warnings.join(" "), &["NaN", "1 of 2", "dense.kernel"]);
}

#[test]
fn files_without_weights_say_so() {
    let folder = folder();
    let path = write(&folder, "m.h5", &FileBuilder::new().finish().unwrap());
    says(&refusal(&path, &with_config(&folder, &dense(2))), &["no weights"]);
    let json = write(&folder, "m.json", dense(2).to_string().as_bytes());
    says(&refusal(&json, &Options::default()), &["architecture but no weights"]);
    assert_eq!(keras::load_config(&json).unwrap().name, "m");
}

#[test]
fn code_and_unknown_layers_are_refused_by_name() {
    let folder = folder();
    let layer = |layer: Value| {
        let mut model = dense(2);
        model["config"]["layers"].as_array_mut().unwrap().push(layer);
        let path = write(&folder, "m.json", model.to_string().as_bytes());
        let error = keras::load_config(&path).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let lambda = json!({ "class_name": "Lambda", "config": { "name": "squash", "function": "4wEAAAA=" } });
    says(&layer(lambda), &["squash", "Python code", "`keras::Options::lambdas`"]);
    let custom = json!({ "class_name": "Attention", "registered_name": "Custom>Attention", "module": null,
                         "config": { "name": "mine" } });
    says(&layer(custom), &["mine", "custom class", "Custom>Attention"]);
    let module = json!({ "class_name": "Attention", "module": "my_layers", "config": { "name": "mine" } });
    says(&layer(module), &["custom class", "my_layers.Attention"]);
    let unknown = json!({ "class_name": "MelSpectrogram", "config": { "name": "ears" } });
    says(&layer(unknown), &["ears", "`MelSpectrogram` is a layer of Keras's"]);
    let activation =
        json!({ "class_name": "Dense", "config": { "name": "d", "units": 2, "activation": "mine" } });
    says(&layer(activation), &["layer d", "`mine`", "none of Keras's"]);
    let renorm = json!({ "class_name": "BatchNormalization", "config": { "name": "n", "renorm": true } });
    says(&layer(renorm), &["layer n", "renorm"]);
}

/// A file that does not say whose a class is: what Keras's own always writes tells it from another of its name.
#[test]
fn attention_of_the_same_name_is_told_apart() {
    let folder = folder();
    let error = |class: &str, config: Value| {
        let mut model = dense(2);
        model["keras_version"] = "2.11.0".into();
        let mut layer = json!({ "class_name": class, "config": config });
        layer["config"]["name"] = "mine".into();
        model["config"]["layers"].as_array_mut().unwrap().push(layer);
        let path = write(&folder, "m.json", model.to_string().as_bytes());
        keras::load_config(&path).unwrap_err().to_string()
    };
    says(&error("Attention", json!({ "trainable": true })), &["mine", "custom class", "`use_scale`"]);
    says(&error("Attention", json!({ "use_scale": true, "step_dim": 3 })), &["custom class", "`step_dim`"]);
    says(&error("AdditiveAttention", json!({ "units": 3 })), &["custom class"]);
    says(
        &error("MultiHeadAttention", json!({ "num_heads": 2, "d_model": 8 })),
        &["custom class", "`key_dim`"],
    );
    says(&error("GroupedQueryAttention", json!({ "head_dim": 2 })), &["custom class"]);
    let plain = json!({ "num_heads": 2, "key_dim": 3 });
    let own = |key: &str, value: Value| {
        let mut config = plain.clone();
        config[key] = value;
        error("MultiHeadAttention", config)
    };
    says(&own("attention_axes", json!([-2])), &["layer mine", "attention_axes"]);
    says(&own("output_shape", json!("all")), &["layer mine", "output_shape"]);
}

/// Masks by hand that are not those that the inputs bring, and roles that there are none of.
#[test]
fn calls_of_attention_are_refused_by_role() {
    let folder = folder();
    let tensor = |layer: &str| json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, 0, 0] } });
    let error = |kwargs: Value, args: Value| {
        let input = |name: &str, shape: Value| {
            json!({ "class_name": "InputLayer", "name": name, "inbound_nodes": [],
                    "config": { "name": name, "batch_shape": shape } })
        };
        let heads = json!({ "class_name": "MultiHeadAttention", "module": "keras.layers", "name": "heads",
                            "config": { "name": "heads", "num_heads": 1, "key_dim": 2 },
                            "inbound_nodes": [{ "args": args, "kwargs": kwargs }] });
        let model = json!({ "class_name": "Functional", "keras_version": "3.15.1", "config": { "name": "m",
            "layers": [input("x", json!([null, 4, 3])), input("m", json!([null, 4])), heads],
            "input_layers": [["x", 0, 0], ["m", 0, 0]], "output_layers": ["heads", 0, 0] } });
        let path = write(&folder, "m.json", model.to_string().as_bytes());
        keras::load_config(&path).map_err(|error| error.to_string())
    };
    let on = || json!([tensor("x"), tensor("x")]);
    says(
        &error(json!({ "value_mask": tensor("m") }), on()).unwrap_err(),
        &["layer heads", "a mask of its own"],
    );
    says(&error(json!({ "states": tensor("m") }), on()).unwrap_err(), &["layer heads", "`states`", "key"]);
    says(
        &error(json!({}), json!([tensor("x")])).unwrap_err(),
        &["layer heads", "without a query or a value"],
    );
    says(
        &error(json!({ "attention_mask": [[true]] }), on()).unwrap_err(),
        &["layer heads", "attention_mask"],
    );
    let reversed = json!({ "value": tensor("x"), "query": tensor("x"), "attention_mask": tensor("m") });
    assert!(error(reversed, json!([])).is_ok());
}

/// Somebody who knows what a Lambda does may say it; its code is not looked at.
#[test]
fn an_operation_may_stand_for_a_lambda() {
    let folder = folder();
    let mut model = dense(2);
    let lambda = json!({ "class_name": "Lambda", "config": { "name": "half", "function": "4wEAAAA=" } });
    model["config"]["layers"].as_array_mut().unwrap().push(lambda);
    let path = write(&folder, "m.weights.h5", &dense_weights(&[1.0; 6]));
    let run = |name: &str, operation: &str| {
        let given = |name: &str| (name.to_string(), operation.parse().unwrap());
        let lambdas = [given("half"), given(name)].into();
        let options = Options { lambdas, ..with_config(&folder, &model) };
        let loaded = keras::load_with(&path, &options).map_err(|error| error.to_string())?;
        let model =
            Model::new(&loaded.config, loaded.weights.detached()).map_err(|error| error.to_string())?;
        let x = Tensor::ones((1, 3), DType::F32, &Device::Cpu).unwrap();
        Ok::<_, String>(
            model.forward(&x, Mode::Inference).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        )
    };
    assert_eq!(run("half", "multiply(0.5)").unwrap(), [1.75, 2.25]);
    assert_eq!(run("half", "x[:, ::-1]").unwrap(), [4.5, 3.5]);
    assert_eq!(run("half", "sum(axis=-1)").unwrap(), [8.0]);
    says(&run("hall", "sum(axis=-1)").unwrap_err(), &["hall", "no Lambda of that name"]);
    says(&run("half", "sum(axis=2)").unwrap_err(), &["layer half", "axis 2 is beyond"]);
    says(&run("half", "sum(axis=0)").unwrap_err(), &["layer half", "the batch"]);
}

/// What an operation cannot be is said by its name.
#[test]
fn operations_that_cannot_be_are_refused_by_name() {
    let folder = folder();
    let refuse = |layer: Value, words: &[&str]| {
        let input = json!({ "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
                            "config": { "name": "x", "batch_input_shape": [null, 4, 3] } });
        let mut layer = layer;
        layer["name"] = "op".into();
        layer["config"]["name"] = "op".into();
        let config = json!({ "name": "m", "layers": [input, layer], "input_layers": [["x", 0, 0]],
                             "output_layers": [["op", 0, 0]] });
        let model = json!({ "class_name": "Functional", "config": config });
        let path = write(&folder, "m.json", model.to_string().as_bytes());
        let error = keras::load_config(&path).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        says(&error, &[&["layer op"], words].concat());
    };
    let function = |name: &str, arguments: Value| json!({ "class_name": "TFOpLambda", "config": { "function": name }, "inbound_nodes": [["x", 0, 0, arguments]] });
    refuse(function("math.reduce_mean", json!({ "axis": 7 })), &["axis 7"]);
    refuse(function("math.reduce_mean", json!({ "axis": 0 })), &["the batch"]);
    refuse(function("math.bessel_i0", json!({})), &["`math.bessel_i0`", "not supported"]);
    refuse(function("cast", json!({ "dtype": "float16" })), &["float16"]);
    refuse(function("reshape", json!({ "shape": [7, 5] })), &["(7, 5)"]);
    refuse(function("math.cumsum", json!({ "axis": 1, "reverse": true })), &["`math.cumsum`", "reverse"]);
    refuse(function("nn.softmax", json!({ "axis": 1, "speed": 3 })), &["`speed`"]);
    refuse(function("__operators__.eq", json!({})), &["does not say its `other`"]);
    refuse(
        function(
            "__operators__.getitem",
            json!({ "slice_spec": [{ "start": null, "stop": null, "step": null }, { "start": null, "stop": null, "step": 0 }] }),
        ),
        &["[:, ::0]", "a step cannot be 0"],
    );
    let tensor = json!({ "class_name": "__keras_tensor__", "config": { "keras_history": ["x", 0, 0] } });
    let operation = |class: &str, config: Value, args: Value| {
        json!({ "class_name": class, "module": "keras.src.ops.numpy", "config": config,
                "inbound_nodes": [{ "args": args, "kwargs": {} }] })
    };
    refuse(operation("Bincount", json!({}), json!([tensor])), &["`Bincount`", "an operation"]);
    refuse(operation("Mean", json!({ "axis": 1, "where": 3 }), json!([tensor])), &["Mean", "`where`"]);
    refuse(operation("Add", json!({}), json!([tensor])), &["Add needs 2 operands"]);
    refuse(
        operation("Add", json!({}), json!([tensor, { "class_name": "Box", "config": {} }])),
        &["neither a tensor"],
    );
    refuse(operation("Tile", json!({ "repeats": [1, 1_i64 << 40, 1_i64 << 40] }), json!([tensor])), &["op"]);
}

#[test]
fn models_that_are_code_are_refused() {
    let folder = folder();
    let model =
        json!({ "class_name": "MyModel", "config": { "name": "mine" }, "registered_name": "Custom>MyModel" });
    let path = write(&folder, "m.json", model.to_string().as_bytes());
    says(&keras::load_config(&path).unwrap_err().to_string(), &["mine", "custom class"]);
}

#[test]
fn links_and_external_storage_are_not_followed() {
    let error =
        |name: &str| refusal(&Path::new(FIXTURES).join(format!("refused_{name}.h5")), &Options::default());
    says(&error("soft_link"), &["dense/kernel:0", "links"]);
    says(&error("external_link"), &["dense/kernel:0", "links"]);
    says(&error("external_storage"), &["dense/kernel:0", "external"]);
}

#[test]
fn other_files_are_known_for_what_they_are() {
    let folder = folder();
    let torch = |name: &str| {
        let path = folder.path().join("model.hdf5");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"data").unwrap();
        archive.finish().unwrap();
        refusal(&path, &Options::default())
    };
    says(&torch("archive/data.pkl"), &["PyTorch"]);
    says(&torch("saved_model.pb"), &["SavedModel"]);
    says(&torch("x.npy"), &["NumPy"]);
    says(&torch("readme.txt"), &["no config.json"]);
    let pickle = write(&folder, "model.h5", b"\x80\x04\x95\0\0\0\0\0\0\0\0");
    says(&refusal(&pickle, &Options::default()), &["pickle"]);
    let empty = write(&folder, "model.keras", b"");
    says(&refusal(&empty, &Options::default()), &["empty"]);
}

#[test]
fn a_small_archive_that_unpacks_to_much_is_refused() {
    let folder = folder();
    let path = folder.path().join("bomb.keras");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let deflated =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file("config.json", deflated).unwrap();
    archive.write_all(dense(2).to_string().as_bytes()).unwrap();
    archive.start_file("model.weights.h5", deflated).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        archive.write_all(&zeros).unwrap();
    }
    archive.finish().unwrap();
    says(&refusal(&path, &Options::default()), &["model.weights.h5", "far more than"]);
}

#[test]
fn arrays_that_claim_more_than_the_file_holds_are_refused() {
    let folder = folder();
    // A file whose headers carry no checksums. The embedding's shape (12, 3) becomes (2^36, 3).
    let mut bytes = std::fs::read(Path::new(FIXTURES).join("old_keras_2_1.h5")).unwrap();
    let shape = [12_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
    let at = bytes.windows(16).position(|window| window == shape).expect("the shape");
    bytes[at..at + 8].copy_from_slice(&(1_u64 << 36).to_le_bytes());
    let path = write(&folder, "m.h5", &bytes);
    says(&refusal(&path, &Options::default()), &["embedding", "far more than the file can hold"]);
}

/// Keras's own form of a model in a model, 64 of them; and what is no model but a bomb.
#[test]
fn depth_is_no_mistake_and_has_an_end() {
    let folder = folder();
    let mut layer = json!({ "class_name": "Dense", "config": { "name": "dense", "units": 2 } });
    let input =
        json!({ "class_name": "InputLayer", "config": { "name": "input", "batch_shape": [null, 3] } });
    for level in 0..64 {
        let layers = if level == 63 { json!([input, layer]) } else { json!([layer]) };
        layer = json!({ "class_name": "Sequential", "config": { "name": format!("m{level}"), "layers": layers } });
    }
    let path = write(&folder, "m.json", layer.to_string().as_bytes());
    assert_eq!(keras::load_config(&path).unwrap().variables().unwrap().len(), 2);
    let bomb = write(&folder, "bomb.json", "{\"config\":".repeat(100_000).as_bytes());
    let error = keras::load_config(&bomb).unwrap_err().to_string();
    says(&error, &["bomb.json: it is nested too deep: more than 256"]);
    assert!(!error.contains('\n'));
}
