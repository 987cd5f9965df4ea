//! Times this crate's layers one by one: the jobs of `scripts/bench_layers.py`, which come as JSON lines on standard input.

use candle_core::{DType, Device, Tensor, Var};
use candle_recurrent::layers::{Flow, Mode};
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::train::backward;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CPU: Device = Device::Cpu;
/// Calls that a job makes at least and at most.
const CALLS: (usize, usize) = (3, 2000);

/// A layer as a model of its own, on a batch.
struct Layer {
    model: Model,
    inputs: Vec<Flow>,
    training: bool,
    /// What gradients are wanted of.
    wanted: Vec<Var>,
}

impl Layer {
    /// The layer of a job of `scripts/peers/layers.py`.
    fn new(job: &Value) -> Result<Self> {
        let config = config(job)?;
        let training = job["training"].as_bool().ok_or("training is missing")?;
        let batch = job["batch"].as_u64().ok_or("batch is missing")? as usize;
        let (ids, masked) = (job["ids"] == true, job["masked"] == true);
        let weights = Weights::init(&config, 0, &CPU)?;
        let model = Model::new(&config, if training { weights.var_builder() } else { weights.detached() })?;
        let mut wanted: Vec<Var> = weights.trainable().map(|(_, var)| var.clone()).collect();
        let mut inputs = vec![];
        for shape in job["inputs"].as_array().ok_or("inputs are missing")? {
            let shape: Vec<usize> = serde_json::from_value(shape.clone())?;
            let dims = [&[batch], shape.as_slice()].concat();
            let values = match (ids, training) {
                (true, _) => Tensor::rand(0f32, 500.0, dims, &CPU)?.minimum(499.0)?.to_dtype(DType::U32)?,
                (false, true) => {
                    let var = Var::from_tensor(&Tensor::randn(0f32, 1.0, dims, &CPU)?)?;
                    wanted.push(var.clone());
                    var.as_tensor().clone()
                }
                (false, false) => Tensor::randn(0f32, 1.0, dims, &CPU)?,
            };
            // Steps after the first three quarters are masked.
            let there = |at: usize| u8::from(at % shape[0] < shape[0] * 3 / 4);
            let mask = masked
                .then(|| {
                    let mask = (0..batch * shape[0]).map(there).collect::<Vec<_>>();
                    Tensor::from_vec(mask, (batch, shape[0]), &CPU)
                })
                .transpose()?;
            inputs.push(Flow::new(values, mask));
        }
        Ok(Self { model, inputs, training, wanted })
    }

    /// One call; in training with the squares of what it gives and the way back to its variables and inputs.
    fn call(&self) -> Result<()> {
        if !self.training {
            self.model.call(&self.inputs, Mode::Inference)?;
            return Ok(());
        }
        let (_, squares) = self.model.call_for_loss(&self.inputs, Mode::Training { seed: 0 })?;
        let gradients = backward(&squares.ok_or("the layer gives nothing")?)?;
        match self.wanted.iter().all(|var| gradients.get(var).is_some()) {
            true => Ok(()),
            false => Err("a gradient is missing".into()),
        }
    }

    /// The median of calls that take so many seconds together.
    fn time(&self, seconds: f64) -> Result<f64> {
        let mut times = vec![];
        candle_recurrent::awake(|| -> Result<()> {
            self.call()?;
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            while times.len() < CALLS.0 || Instant::now() < end && times.len() < CALLS.1 {
                let start = Instant::now();
                self.call()?;
                times.push(start.elapsed().as_secs_f64());
            }
            Ok(())
        })?;
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

/// The model of one layer. In training the squares of its output are the loss, by Keras's `ActivityRegularization`: their sum
/// divided by the batch.
fn config(job: &Value) -> Result<ModelConfig> {
    let shapes = job["inputs"].as_array().ok_or("inputs are missing")?;
    let (mut layers, mut names) = (vec![], vec![]);
    for (at, shape) in shapes.iter().enumerate() {
        let mut dims = vec![Value::Null];
        dims.extend(shape.as_array().into_iter().flatten().cloned());
        let name = format!("input_{at}");
        layers.push(json!({ "class_name": "InputLayer", "config": { "name": name, "batch_shape": dims } }));
        names.push(json!([name, 0, 0]));
    }
    layers.push(json!({
        "class_name": job["class_name"], "config": job["config"], "inbound_nodes": [names]
    }));
    let model = |layers: &[Value], last: &str| -> Result<ModelConfig> {
        let outputs = [json!([last, 0, 0])];
        Ok(serde_json::from_value(json!({
            "name": "model", "layers": layers, "input_layers": names, "output_layers": outputs
        }))?)
    };
    let bare = model(&layers, "layer")?;
    if job["training"] == false {
        return Ok(bare);
    }
    layers.push(json!({
        "class_name": "ActivityRegularization", "config": { "name": "squares", "l2": 1.0 },
        "inbound_nodes": [[["layer", 0, 0]]]
    }));
    model(&layers, "squares")
}

fn answer(job: &Value, kept: &mut Option<(String, Layer)>) -> Result<Value> {
    if job["op"] == "versions" {
        let (version, instructions) = (env!("CARGO_PKG_VERSION"), candle_recurrent::instruction_set());
        return Ok(json!({ "version": format!("candle-recurrent {version} ({instructions})") }));
    }
    let key = format!("{}/{}/{}", job["name"], job["batch"], job["training"]);
    if kept.as_ref().is_none_or(|(known, _)| *known != key) {
        *kept = None;
        *kept = Some((key, Layer::new(job)?));
    }
    let Some((_, layer)) = kept else { return Err("there is no layer".into()) };
    let seconds = job["seconds"].as_f64().ok_or("seconds is missing")?;
    Ok(json!({ "seconds": layer.time(seconds)? }))
}

fn main() -> Result<()> {
    // As in the program.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
    candle_recurrent::keep_memory();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!({ "ready": 0 }))?;
    let mut kept = None;
    for line in std::io::stdin().lines() {
        let result = serde_json::from_str(&line?).map_err(Into::into).and_then(|job| answer(&job, &mut kept));
        writeln!(out, "{}", result.unwrap_or_else(|error| json!({ "error": error.to_string() })))?;
        out.flush()?;
    }
    Ok(())
}
