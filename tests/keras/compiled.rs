//! Models that Keras 3.15 and tf_keras 2.21 compiled and trained (`scripts/keras_compiled.py`): what they were compiled with,
//! and their optimisers' states.

use super::fixtures::FIXTURES;
use candle_core::{DType, Device, Tensor, safetensors};
use candle_recurrent::keras::{self, Loaded, Options, Training};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(FIXTURES).join(name)
}

fn open(file: &Path) -> Loaded {
    keras::load_with(file, &Options::default()).unwrap()
}

/// The files by name, with what they were compiled with and the variables of their optimisers.
fn cases() -> BTreeMap<String, (Value, HashMap<String, Tensor>)> {
    let mut cases = BTreeMap::new();
    for library in ["compiled_k3", "compiled_k2"] {
        let json = std::fs::read_to_string(path(&format!("{library}.json"))).unwrap();
        let words: serde_json::Map<String, Value> = serde_json::from_str(&json).unwrap();
        let arrays = safetensors::load(path(&format!("{library}.safetensors")), &Device::Cpu).unwrap();
        for (file, words) in words {
            let own = arrays.iter().filter_map(|(name, tensor)| {
                let (of, name) = name.split_once('|')?;
                (of == file).then(|| (name.to_string(), tensor.clone()))
            });
            let own = own.collect();
            cases.insert(file, (words, own));
        }
    }
    cases
}

/// Whether everything that is expected stands there, numbers to 32 bits.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, value)| holds(found, value))
        }
        (Value::Number(found), Value::Number(expected)) => {
            found.as_f64().unwrap() as f32 == expected.as_f64().unwrap() as f32
        }
        (found, expected) => found == expected,
    }
}

fn check_words(training: &Training, expected: &Value) -> Result<(), String> {
    let optimizer = training.optimizer.clone().unwrap_or_default();
    let found = [
        ("optimizer", &optimizer),
        ("loss", &training.loss),
        ("loss_weights", &training.loss_weights),
        ("metrics", &training.metrics),
        ("weighted_metrics", &training.weighted_metrics),
    ];
    for (key, found) in found {
        if !holds(found, &expected[key]) {
            return Err(format!("{key}: {found}, expected {}", expected[key]));
        }
    }
    Ok(())
}

fn check_state(training: &Training, expected: &HashMap<String, Tensor>) -> Result<(), String> {
    let steps = expected["iterations"].to_dtype(DType::I64).unwrap().to_scalar::<i64>().unwrap() as u64;
    if training.state.iterations != Some(steps) {
        return Err(format!("iterations {:?}, expected {steps}", training.state.iterations));
    }
    let mut names: Vec<&str> = training.state.variables.iter().map(|(name, _)| name.as_str()).collect();
    let mut needed: Vec<&str> =
        expected.keys().map(String::as_str).filter(|name| *name != "iterations").collect();
    // What tf_keras does not write is computed.
    names.retain(|name| *name != "u_product" || expected.contains_key(*name));
    names.sort();
    needed.sort();
    if names != needed {
        return Err(format!("variables {names:?}, expected {needed:?}"));
    }
    for (name, found) in training.state.variables.iter().filter(|(name, _)| needed.contains(&name.as_str())) {
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        if found.dims() != expected[name].dims() || flat(found) != flat(&expected[name]) {
            return Err(format!("{name}: {found}, expected {}", expected[name]));
        }
    }
    Ok(())
}

#[test]
fn what_a_model_was_compiled_with_and_its_optimisers_state_are_read() {
    let (mut failures, cases) = (vec![], cases());
    for (file, (words, state)) in &cases {
        let loaded = open(&path(file));
        let Some(training) = loaded.training else {
            failures.push(format!("{file}: nothing is said of training"));
            continue;
        };
        println!("{file}: {:?} {:?}", training.unknown, training.differs);
        if !training.unknown.is_empty() {
            failures.push(format!("{file}: {:?}", training.unknown));
        }
        for checked in [check_words(&training, words), check_state(&training, state)] {
            failures.extend(checked.err().map(|what| format!("{file}: {what}")));
        }
    }
    assert!(cases.len() > 30, "the fixtures are missing");
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// What is written of a model reads as it did before; `scripts/keras_compiled.py check` opens it in Keras.
#[test]
fn it_is_written_back() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("CANDLE_RECURRENT_COMPILED").map_or(temporary.path().into(), PathBuf::from);
    let mut failures = vec![];
    for file in cases().into_keys() {
        let loaded = open(&path(&file));
        let training = loaded.training.unwrap();
        let variables = loaded.weights.snapshot().unwrap();
        let written = keras::to_keras_with(&loaded.config, &variables, Some(&training)).unwrap();
        assert_eq!(written.notes, [""; 0], "{file}");
        let again = folder.join(format!("{file}.written.keras"));
        written.save(&again).unwrap();
        let read = open(&again).training.unwrap();
        assert_eq!(read.unknown, [""; 0], "{file}");
        let words = serde_json::json!({ "optimizer": training.optimizer, "loss": training.loss,
            "loss_weights": training.loss_weights, "metrics": training.metrics,
            "weighted_metrics": training.weighted_metrics });
        let steps = Tensor::new(training.state.iterations.unwrap() as i64, &Device::Cpu).unwrap();
        let mut state: HashMap<String, Tensor> = training.state.variables.iter().cloned().collect();
        state.insert("iterations".into(), steps);
        // What the configuration says stands among Keras 3's variables.
        if let Some(rate) = read.state.get("learning_rate") {
            state.entry("learning_rate".into()).or_insert(rate.clone());
        }
        for checked in [check_words(&read, &words), check_state(&read, &state)] {
            failures.extend(checked.err().map(|what| format!("{file}: {what}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Real files: a model opens whatever is said of its training, and what is not understood is said.
#[test]
fn what_other_peoples_models_were_compiled_with_is_read() {
    for folder in ["keras/chapter", "keras/wild", "keras-next"] {
        let Some(folder) = super::common::shared(folder) else { return };
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "h5" || end == "keras"));
        files.sort();
        let (mut opened, mut with, mut known, mut states) = (0, 0, 0, 0);
        for file in &files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Ok(loaded) = keras::load_with(file, &Options::default()) else { continue };
            opened += 1;
            let Some(training) = loaded.training else { continue };
            with += 1;
            known += usize::from(training.unknown.is_empty());
            states += usize::from(!training.state.is_empty());
            for what in &training.unknown {
                println!("{name}: {what}");
            }
        }
        println!(
            "{}: {} files, {opened} open, {with} say how they were trained, {known} in words that are understood, {states} \
             with a state",
            folder.display(),
            files.len()
        );
    }
}
