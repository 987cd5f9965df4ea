//! Layers before the numbers, and models that begin with text, against Keras (`scripts/keras_texts.py`).

use super::fixtures::FIXTURES;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent::keras::{self, Options};
use candle_recurrent::layers::{Flow, Mode, Texts, Values};
use candle_recurrent::model::{Model, ModelConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(FIXTURES).join(name)).expect("the fixtures");
    serde_json::from_str(&text).expect("JSON")
}

fn sizes(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).expect("a shape")
}

/// Texts or numbers in this shape.
fn flow(given: &[Value], shape: &[usize], dtype: &str) -> Flow {
    let device = &Device::Cpu;
    match dtype {
        "string" => {
            let texts = given.iter().map(|text| text.as_str().expect("a text").to_string()).collect();
            Texts::new(texts, shape).expect("texts").into()
        }
        "int64" => {
            let values: Vec<i64> = given.iter().map(|value| value.as_i64().expect("whole")).collect();
            Tensor::from_vec(values, shape, device).expect("a tensor").into()
        }
        _ => {
            let values: Vec<f32> =
                given.iter().map(|value| value.as_f64().expect("a number") as f32).collect();
            Tensor::from_vec(values, shape, device).expect("a tensor").into()
        }
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Every argument of every layer that changes what it gives.
#[test]
fn layers_give_what_keras_gives() {
    let (cases, mut failures, mut worst) = (read("texts.json"), vec![], 0_f64);
    let cases = cases.as_array().expect("cases");
    for case in cases {
        let what = format!("{} {} on {}", case["class_name"], case["config"], case["given"]);
        match run(case) {
            Ok(error) if error <= 1e-6 => worst = worst.max(error),
            Ok(error) => failures.push(format!("{what}: error {error:.1e}")),
            Err(error) => failures.push(format!("{what}: {error}")),
        }
    }
    println!("{} layers: worst error {worst:.1e}", cases.len());
    assert!(cases.len() > 130, "{}", cases.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn run(case: &Value) -> Result<f64, String> {
    let (shape, dtype) = (sizes(&case["shape"]), case["dtype"].as_str().expect("a type"));
    let open: Vec<Option<usize>> =
        std::iter::once(None).chain(shape.iter().skip(1).copied().map(Some)).collect();
    let input = |name: &str, dtype: &str| json!({ "class_name": "InputLayer", "config": { "name": name, "batch_shape": open, "dtype": dtype } });
    let mut config = case["config"].clone();
    config["name"] = "layer".into();
    let weights = case["weights"].as_array();
    let mut inputs = vec!["x"];
    inputs.extend(weights.map(|_| "w"));
    let calls: Vec<Value> = inputs.iter().map(|name| json!([name, 0, 0])).collect();
    let layer = json!({ "class_name": case["class_name"], "config": config, "inbound_nodes": [calls] });
    let mut layers = vec![input("x", dtype), layer];
    if weights.is_some() {
        layers.push(input("w", "float32"));
        layers[0]["config"]["batch_shape"] = json!([null, shape[1]]);
    } else {
        // A single axis is for texts alone.
        let rank_one = shape.len() == 1 && dtype != "string";
        assert!(!rank_one, "give the input a second axis");
    }
    let json =
        json!({ "name": "m", "layers": layers, "input_layers": calls, "output_layers": [["layer", 0, 0]] });
    let config = ModelConfig::from_json(&json.to_string()).map_err(|error| error.to_string())?;
    let again = serde_json::to_string(&config).expect("JSON");
    assert_eq!(ModelConfig::from_json(&again).expect("its own JSON"), config);
    let model = Model::new(&config, VarBuilder::zeros(DType::F32, &Device::Cpu))
        .map_err(|error| error.to_string())?;
    let mut flows = vec![flow(case["given"].as_array().expect("values"), &shape, dtype)];
    flows.extend(weights.map(|weights| flow(weights, &shape, "float32")));
    let given = model.call(&flows, Mode::Inference).map_err(|error| error.to_string())?;
    let expected = case["output"].as_array().expect("values");
    let dims = sizes(&case["output_shape"]);
    match &given[0].values {
        Values::Texts(texts) => {
            assert_eq!(texts.dims(), dims);
            let same = texts.values().iter().zip(expected).all(|(a, b)| Some(a.as_str()) == b.as_str());
            if same { Ok(0.0) } else { Err(format!("{:?}, expected {expected:?}", texts.values())) }
        }
        values => {
            let tensor = values.tensor().expect("numbers");
            if tensor.dims() != dims {
                return Err(format!("shape {:?}, expected {dims:?}", tensor.dims()));
            }
            let differences =
                numbers(&tensor).into_iter().zip(expected).map(|(a, b)| (a - b.as_f64().unwrap()).abs());
            Ok(differences.fold(0.0, f64::max))
        }
    }
}

/// What a model is given, one input after the other, as `NAME` of the fixtures says.
fn inputs(answer: &Value) -> Vec<Flow> {
    let input = |given: &Value| {
        let rows = given.as_array().expect("rows");
        let row = rows[0].as_array().map_or(1, Vec::len);
        let flat: Vec<Value> = rows
            .iter()
            .flat_map(|row| row.as_array().cloned().unwrap_or_else(|| vec![row.clone()]))
            .collect();
        let dtype = match &flat[0] {
            Value::String(_) => "string",
            number if number.is_i64() => "int64",
            _ => "float32",
        };
        flow(&flat, &[rows.len(), row], dtype)
    };
    answer["given"].as_array().expect("inputs").iter().map(input).collect()
}

/// The worst difference of a model's answer.
pub fn check(path: &Path, answer: &Value) -> Result<f64, String> {
    let loaded = keras::load_with(path, &Options::default()).map_err(|error| error.to_string())?;
    let model = Model::new(&loaded.config, loaded.weights.detached()).map_err(|error| error.to_string())?;
    let outputs = model.call(&inputs(answer), Mode::Inference).map_err(|error| error.to_string())?;
    let found = outputs[0].values.tensor().map_err(|error| error.to_string())?;
    if found.dims() != sizes(&answer["shape"]) {
        return Err(format!("shape {:?}, expected {}", found.dims(), answer["shape"]));
    }
    let expected = answer["output"].as_array().expect("values");
    Ok(numbers(&found)
        .into_iter()
        .zip(expected)
        .fold(0.0, |worst, (a, b)| worst.max((a - b.as_f64().unwrap()).abs())))
}

/// The files of both libraries, and the same models written for Keras and read again.
#[test]
fn models_that_begin_with_text_agree() {
    let (mut failures, mut count, mut worst) = (vec![], 0, 0_f64);
    let folder = tempfile::tempdir().expect("a folder");
    for library in ["k3", "k2"] {
        for (name, answer) in read(&format!("texts_{library}.json")).as_object().expect("answers") {
            for kind in ["keras", "h5"] {
                let path = Path::new(FIXTURES).join(format!("{name}.{kind}"));
                // An .h5 holds nothing that was learnt.
                if !path.is_file() || kind == "h5" && name.ends_with("adapted") {
                    continue;
                }
                let written = written(&path, folder.path());
                for path in [Ok(path), written] {
                    count += 1;
                    match path.and_then(|path| check(&path, answer)) {
                        Ok(error) if error <= 1e-6 => worst = worst.max(error),
                        Ok(error) => failures.push(format!("{name}.{kind}: error {error:.1e}")),
                        Err(what) => failures.push(format!("{name}.{kind}: {what}")),
                    }
                }
            }
        }
    }
    println!("{count} files: worst error {worst:.1e}");
    assert!(count > 35, "{count}");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

fn written(path: &Path, folder: &Path) -> Result<PathBuf, String> {
    let loaded = keras::load_with(path, &Options::default()).map_err(|error| error.to_string())?;
    let variables = loaded.weights.snapshot().map_err(|error| error.to_string())?;
    let written = keras::to_keras(&loaded.config, &variables).map_err(|error| format!("written: {error}"))?;
    let path = folder.join("written.keras");
    written.save(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

#[test]
fn words_come_from_the_file_alone() {
    let refused = |path: &Path| keras::load(path).unwrap_err().to_string();
    // Keras's own .h5 forgets what was learnt, and its answers are of unknown words only.
    let lost = refused(&Path::new(FIXTURES).join("texts_k3_adapted.h5"));
    assert!(lost.contains("layer text_vectorization: its vocabulary is not in the file"), "{lost}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.json");
    let layer = |class: &str, config: Value| {
        let input = json!({ "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 1], "dtype": "string" } });
        let layer = json!({ "class_name": class, "config": config });
        let model =
            json!({ "class_name": "Sequential", "config": { "name": "m", "layers": [input, layer] } });
        std::fs::write(&path, model.to_string()).expect("written");
        keras::load_config(&path).map(|_| ()).map_err(|error| error.to_string())
    };
    let says = |class: &str, config: Value, line: &str| {
        let what = layer(class, config).expect_err(line);
        assert!(what.contains(line) && !what.contains('\n'), "{what}");
    };
    says(
        "TextVectorization",
        json!({ "vocabulary": "/etc/passwd" }),
        "its `vocabulary` is the path \"/etc/passwd\"",
    );
    says("StringLookup", json!({ "vocabulary": "words.txt" }), "files outside the model are not opened");
    says(
        "TextVectorization",
        json!({ "standardize": { "class_name": "function" } }),
        "`standardize` is a function, Python code",
    );
    says("TextVectorization", json!({ "split": { "class_name": "function" } }), "`split` is a function");
    says("TextVectorization", json!({ "ragged": true }), "`ragged` is true");
    says("TextVectorization", json!({ "encoding": "latin-1" }), "`encoding` is \"latin-1\"");
    says("TextVectorization", json!({ "ngrams": 1_000_000 }), "ngrams must be from 1 to 64");
    says("TextVectorization", json!({ "output_mode": "count" }), "its vocabulary is not known");
    says("StringLookup", json!({ "num_oov_indices": 1_u64 << 40 }), "num_oov_indices must be at most");
    says("StringLookup", json!({ "vocabulary": ["a"], "max_tokens": 1 }), "max_tokens must be more than 1");
    says(
        "StringLookup",
        json!({ "vocabulary": ["a", "b", "c"], "max_tokens": 2 }),
        "more than max_tokens, 2",
    );
    says("IntegerLookup", json!({ "vocabulary": ["a"] }), "expected");
    says(
        "Discretization",
        json!({ "bin_boundaries": null }),
        "its `bin_boundaries` are not in the configuration",
    );
    says("Discretization", json!({ "bin_boundaries": [2.0, 1.0] }), "bin_boundaries must rise");
    says("CategoryEncoding", json!({ "num_tokens": 0 }), "num_tokens must be at least 1");
    says("Normalization", json!({ "mean": [1.0] }), "mean and variance must both be given");
    assert!(layer("TextVectorization", json!({})).is_ok());
}
