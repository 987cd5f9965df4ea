//! What a file says of its model's training. Nothing here keeps a model from being read: what is not understood is said.

mod generation;
mod objects;
mod optimizer;
mod order;
mod state;
mod value;

use super::array::Array;
use super::assign;
use super::dialect::Source;
use super::hdf5::Hdf5;
use super::source::{self, Architecture};
use crate::Result;
use crate::keras::training::{Kind, OptimizerState, Training};
use candle_core::{Device, Tensor};
use generation::Generation;
use serde_json::Value;
use state::State;

/// What is needed to find an optimiser's variables in a file.
pub(super) struct Model<'a> {
    /// The layers as the file has them.
    pub layers: &'a [Source],
    /// Names and shapes of the variables.
    pub variables: &'a [(String, Vec<usize>)],
    /// The layers that give the outputs.
    pub outputs: &'a [&'a str],
}

/// Reads it; none where the file says nothing of it. `model` is given where the optimiser's variables are wanted.
pub(super) fn read(
    file: &Hdf5,
    architecture: &Architecture,
    model: &Model<'_>,
    device: Option<&Device>,
) -> Result<Option<Training>> {
    let compiled = match config(file, architecture) {
        Ok(Some(config)) => config,
        Ok(None) => return Ok(None),
        Err(what) => return Ok(Some(Training { unknown: vec![what], ..Training::default() })),
    };
    let mut training = Training::default();
    let get = |key: &str| compiled.get(key).unwrap_or(&Value::Null);
    let unknown = &mut training.unknown;
    training.loss = objects::read(get("loss"), Kind::Loss, unknown);
    training.loss_weights = value::plain(get("loss_weights"));
    training.metrics = flat(objects::read(get("metrics"), Kind::Metric, unknown), model.outputs.len());
    training.weighted_metrics =
        flat(objects::read(get("weighted_metrics"), Kind::Metric, unknown), model.outputs.len());

    let written =
        compiled.get("optimizer_config").or_else(|| compiled.get("optimizer")).unwrap_or(&Value::Null);
    let generation = Generation::find(&architecture.version, written);
    if generation != Generation::Keras3 {
        for metrics in [&mut training.metrics, &mut training.weighted_metrics] {
            without_outputs(metrics, model.outputs);
        }
    }
    if written.is_null() {
        training.unknown.push(
            "optimizer: the file does not name it (Keras leaves it out of what is saved after an .h5), and its state is left out"
                .into(),
        );
        return Ok(Some(training));
    }
    let read = optimizer::read(written, generation, architecture.version.major);
    training.unknown.extend(read.unknown);
    training.differs.extend(read.differs);
    if let Some(what) =
        read.value.as_ref().and_then(|optimizer| of_tables(file, optimizer, generation, model))
    {
        training.differs.push(what);
    }
    if let Some(device) = device {
        match &read.value {
            Some(optimizer) => {
                let found =
                    assign::trained(file, model.layers, model.variables).map_err(|error| error.to_string());
                let state = found
                    .and_then(|trained| {
                        let by_name = architecture.version.major == 1;
                        state::read(file, optimizer, generation, read.is_inner, by_name, &trained)
                    })
                    .map(|state| with_product(state, optimizer, generation));
                match state {
                    Ok(state) => training.state = tensors(state, device)?,
                    Err(what) => {
                        training.unknown.push(format!("the optimiser's state is left out: {what}"));
                    }
                }
            }
            None if state::is_held(file) => {
                training.unknown.push("the optimiser's state is left out with it".into());
            }
            None => {}
        }
    }
    training.optimizer = read.value;
    Ok(Some(training))
}

/// What `compile` said, as the file has it.
fn config(file: &Hdf5, architecture: &Architecture) -> std::result::Result<Option<Value>, String> {
    let of_archive = architecture.model.get("compile_config").cloned();
    let config = match of_archive {
        Some(config) => config,
        None => {
            let root = file.attributes("")?;
            if !root.has("training_config") {
                return Ok(None);
            }
            let text = root.text("training_config").ok_or("its attribute training_config is no text")?;
            source::parse(text.as_bytes(), "its attribute training_config")?
        }
    };
    match config {
        Value::Null => Ok(None),
        // A model that was never compiled.
        Value::Object(fields) if fields.is_empty() => Ok(None),
        Value::Object(_) => Ok(Some(config)),
        other => {
            Err(format!("what its model was compiled with is {}, expected an object", value::shown(&other)))
        }
    }
}

/// Metrics of a model with one output without the list around them that tf.keras has.
fn flat(metrics: Value, outputs: usize) -> Value {
    match metrics {
        Value::Array(mut list) if outputs < 2 && list.len() == 1 && list[0].is_array() => list.remove(0),
        metrics => metrics,
    }
}

/// Takes the names of the outputs from the names of their metrics, where tf.keras put them when it was trained; Keras 3 puts
/// them there again when it shows them.
fn without_outputs(metrics: &mut Value, outputs: &[&str]) {
    if outputs.len() < 2 {
        return;
    }
    let named = |metric: &mut Value, output: &str| {
        let name = metric.pointer("/config/name").and_then(Value::as_str);
        let own = name.and_then(|name| name.strip_prefix(output)?.strip_prefix('_')).map(String::from);
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            metric["config"]["name"] = own.into();
        }
    };
    let each = |metrics: &mut Value, output: &str| match metrics {
        Value::Array(list) => list.iter_mut().for_each(|metric| named(metric, output)),
        metric => named(metric, output),
    };
    match metrics {
        Value::Array(list) => {
            list.iter_mut().zip(outputs).for_each(|(metrics, output)| each(metrics, output))
        }
        Value::Object(map) if !map.contains_key("class_name") => {
            map.iter_mut().for_each(|(output, metrics)| each(metrics, output));
        }
        _ => {}
    }
}

/// A sentence where a table's gradients are squared in another way than Keras 3 on TensorFlow does.
fn of_tables(file: &Hdf5, optimizer: &Value, generation: Generation, model: &Model<'_>) -> Option<String> {
    let has_table = model.variables.iter().any(|(name, _)| name.ends_with(".embeddings"));
    let class = optimizer.get("class_name").and_then(Value::as_str)?;
    // Those that use the gradient as it is, or its sign after it is added to something.
    if !has_table || matches!(class, "SGD" | "Lion") {
        return None;
    }
    let who = match generation {
        Generation::Keras3 => {
            let root = file.attributes("").ok()?;
            match root.text("backend")? {
                "tensorflow" => return None,
                backend => format!("Keras on {backend}"),
            }
        }
        other => other.name().to_string(),
    };
    Some(format!(
        "{class}: {who} adds up the gradients of an embedding's row before it squares them, Keras 3 on TensorFlow squares \
         those of each token"
    ))
}

/// A Nadam's product of momenta where the file does not hold it.
fn with_product(mut state: State, optimizer: &Value, generation: Generation) -> State {
    let is_nadam = optimizer.get("class_name").is_some_and(|class| class == "Nadam");
    let has = state.variables.iter().any(|(name, _)| name == "u_product");
    let (true, false, Some(iterations)) = (is_nadam, has, state.iterations) else { return state };
    let beta = optimizer.pointer("/config/beta_1").and_then(Value::as_f64).unwrap_or(0.9) as f32;
    let decay = if matches!(generation, Generation::Old | Generation::Legacy) { 0.004_f32 } else { 1.0 };
    let mut product = 1_f32;
    // By then it is 0, or does not change.
    for step in 1..=iterations.min(100_000) {
        product *= beta * (1.0 - 0.5 * libm::powf(0.96, decay * step as f32));
        if product == 0.0 {
            break;
        }
    }
    state.variables.insert(0, ("u_product".into(), Array { shape: vec![], values: vec![product] }));
    state
}

fn tensors(state: State, device: &Device) -> Result<OptimizerState> {
    let tensor = |(name, Array { shape, values })| Ok((name, Tensor::from_vec(values, shape, device)?));
    let variables = state.variables.into_iter().map(tensor).collect::<Result<_>>()?;
    Ok(OptimizerState { iterations: state.iterations, variables })
}
