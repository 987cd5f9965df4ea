//! Times one layer at one size, for `scripts/bench_scaling.py`: a line of JSON on standard output.
//!
//! ```sh
//! cargo run --release --example scaling -- '{"class_name": "LSTM", "units": 64, "features": 64, "batch": 64, "time": 100}'
//! ```
//!
//! With `vocabulary` the input is looked up in an embedding of so many rows; `training` adds the way back and a step of
//! RMSprop; with `recompute` no steps are kept for the way back. It goes on for `seconds`, two rounds at least.

use candle_core::{Device, Tensor, Var};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::train::{Optimizer, RmsProp, backward};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CPU: Device = Device::Cpu;

/// The most memory that this process has held, in bytes, where Linux says so.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// A size, as it is asked for.
struct Job {
    class: String,
    units: usize,
    features: usize,
    batch: usize,
    time: usize,
    vocabulary: Option<usize>,
    training: bool,
    seconds: f64,
}

impl Job {
    fn read(job: &Value) -> Result<Self> {
        let number = |name: &str| job[name].as_u64().map(|number| number as usize);
        let needed = |name: &str| number(name).ok_or_else(|| format!("{name} is missing"));
        if job["recompute"].as_bool() == Some(true) {
            candle_recurrent::recompute_beyond(0);
        }
        Ok(Self {
            class: job["class_name"].as_str().ok_or("class_name is missing")?.into(),
            units: needed("units")?,
            features: needed("features")?,
            batch: needed("batch")?,
            time: needed("time")?,
            vocabulary: number("vocabulary"),
            training: job["training"].as_bool().unwrap_or(false),
            seconds: job["seconds"].as_f64().unwrap_or(1.0),
        })
    }

    fn config(&self) -> Result<ModelConfig> {
        let shape = if self.vocabulary.is_some() {
            json!([null, self.time])
        } else {
            json!([null, self.time, self.features])
        };
        let dtype = if self.vocabulary.is_some() { "int32" } else { "float32" };
        let mut layers = vec![
            json!({"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape, "dtype": dtype}}),
        ];
        if let Some(rows) = self.vocabulary {
            let config = json!({"name": "embedding", "input_dim": rows, "output_dim": self.features});
            layers.push(json!({"class_name": "Embedding", "config": config}));
        }
        layers.push(json!({"class_name": self.class, "config": {"name": "layer", "units": self.units}}));
        Ok(serde_json::from_value(json!({"name": "scaling", "layers": layers}))?)
    }

    fn input(&self) -> Result<Tensor> {
        Ok(match self.vocabulary {
            Some(rows) => {
                // Every row has its turn.
                let ids: Vec<u32> = (0..self.batch * self.time).map(|at| (at * 7919 % rows) as u32).collect();
                Tensor::from_vec(ids, (self.batch, self.time), &CPU)?
            }
            None => Tensor::rand(-1f32, 1.0, (self.batch, self.time, self.features), &CPU)?,
        })
    }

    fn run(&self) -> Result<Vec<f64>> {
        let config = self.config()?;
        let weights = Weights::init(&config, 0, &CPU)?;
        let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let mut optimizer = Optimizer::new(variables, RmsProp::default())?;
        let vb = if self.training { weights.var_builder() } else { weights.detached() };
        let model = Model::new(&config, vb)?;
        // The gradient of numbers is wanted too, as if a layer stood before.
        let input = self.input()?;
        let input = if self.training && self.vocabulary.is_none() {
            Var::from_tensor(&input)?.into_inner()
        } else {
            input
        };
        let mode = if self.training { Mode::Training { seed: 0 } } else { Mode::Inference };
        let mut step = || -> Result<f64> {
            let start = Instant::now();
            let output = model.forward(&input, mode)?;
            if self.training {
                let loss = output.sqr()?.sum_all()?;
                optimizer.step(&backward(&loss)?)?;
                loss.to_scalar::<f32>()?;
            }
            Ok(start.elapsed().as_secs_f64())
        };
        let (begin, mut times) = (Instant::now(), vec![]);
        step()?;
        while times.len() < 2 || begin.elapsed() < Duration::from_secs_f64(self.seconds) {
            times.push(step()?);
        }
        Ok(times)
    }
}

fn main() -> Result<()> {
    // As in the program.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
    candle_recurrent::keep_memory();
    let job = Job::read(&serde_json::from_str(&std::env::args().nth(1).ok_or("a job is missing")?)?)?;
    let before = peak();
    let mut times = if job.training { candle_recurrent::awake(|| job.run()) } else { job.run() }?;
    times.sort_by(f64::total_cmp);
    println!("{}", json!({"seconds": times[times.len() / 2], "before": before, "peak": peak()}));
    Ok(())
}
