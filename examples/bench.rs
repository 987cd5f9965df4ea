//! Times this crate. Alone, it trains an epoch of a shipped model on the built-in reviews and shows where the time goes;
//! with a folder, it does the jobs of `scripts/bench_peers.py`, which come as JSON lines on standard input.
//!
//! ```sh
//! cargo run --release --example bench            # lstm
//! cargo run --release --example bench gru 3      # another model, so many epochs
//! ```

use candle_core::{Device, Tensor, Var};
use candle_nn::ops::sigmoid;
use candle_recurrent::data::{self, Dataset, Examples, Options, Source};
use candle_recurrent::layers::{Call, Gru, GruConfig, Lstm, LstmConfig, Mode};
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::train::{
    self, FitConfig, Objective, Observer, Optimizer, RmsProp, Shuffle, Step, backward, batch_loss, fit,
};
use candle_recurrent::zoo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CPU: Device = Device::Cpu;
const BATCH: usize = 64;

/// A model in training.
struct Training {
    model: Model,
    detached: Model,
    optimizer: Optimizer,
}

impl Training {
    fn new(config: &ModelConfig, weights: &Weights, learning_rate: f64) -> Result<Self> {
        let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let rmsprop = RmsProp::default().with_learning_rate(learning_rate);
        Ok(Self {
            model: Model::new(config, weights.var_builder())?,
            detached: Model::new(config, weights.detached())?,
            optimizer: Optimizer::new(variables, rmsprop)?,
        })
    }

    /// Seconds and loss of one pass over `rows` in their order, by `fit`.
    fn epoch(&mut self, rows: &Dataset) -> Result<(f64, f64)> {
        let config =
            FitConfig { epochs: 1, batch_size: BATCH, shuffle: Shuffle::Never, ..FitConfig::default() };
        let (rows, objective) = (Examples::from(rows), objective()?);
        let mut clock = Clock { start: Instant::now(), seconds: 0.0 };
        // As in the program.
        let outcome = candle_recurrent::awake(|| {
            let (model, detached, optimizer) = (&self.model, &self.detached, &mut self.optimizer);
            let training = train::Training { model, detached, optimizer, objective: &objective };
            fit(training, &rows, None, &config, &mut clock)
        })?;
        Ok((clock.seconds, outcome.history.epochs.last().map_or(f64::NAN, train::Epoch::loss)))
    }

    /// The same pass with a clock around each of its parts.
    fn phases(&mut self, rows: &Dataset) -> Result<Vec<(&'static str, f64)>> {
        let names = ["gather", "forward", "loss", "backward", "optimizer"];
        let mut sums = [0.0; 5];
        let order: Vec<u32> = (0..u32::try_from(rows.len())?).collect();
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        for (seed, batch) in order.chunks(BATCH).enumerate() {
            let mut times = [Instant::now(); 6];
            rows.gather(batch, &mut ids, &mut labels);
            let xs = Tensor::from_slice(&ids, (batch.len(), rows.max_len()), &CPU)?;
            let targets = Tensor::from_slice(&labels, batch.len(), &CPU)?;
            times[1] = Instant::now();
            let logits = self.model.logits(&xs, Mode::Training { seed: seed as u64 })?;
            times[2] = Instant::now();
            let loss = batch_loss(&logits, &targets)?.loss;
            times[3] = Instant::now();
            let grads = backward(&loss)?;
            times[4] = Instant::now();
            self.optimizer.step(&grads)?;
            times[5] = Instant::now();
            for (sum, pair) in sums.iter_mut().zip(times.windows(2)) {
                *sum += (pair[1] - pair[0]).as_secs_f64();
            }
        }
        Ok(names.into_iter().zip(sums).collect())
    }
}

/// What the zoo's models are to reach.
fn objective() -> Result<Objective> {
    Ok(Objective::named("binary_crossentropy", &["accuracy"])?)
}

/// Times an epoch from its begin to its last step; validation is not in it.
struct Clock {
    start: Instant,
    seconds: f64,
}

impl Observer for Clock {
    fn on_epoch_begin(&mut self, _: usize, _: usize, _: usize) -> candle_recurrent::Result<()> {
        self.start = Instant::now();
        Ok(())
    }

    fn on_step(&mut self, step: &Step) -> candle_recurrent::Result<ControlFlow<()>> {
        if step.batch == step.batches {
            self.seconds = self.start.elapsed().as_secs_f64();
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A recurrent layer alone, for the rows of single steps.
enum Layer {
    Lstm(Lstm),
    Gru(Gru),
}

struct Stepper {
    layer: Layer,
    xs: Var,
    optimizer: Optimizer,
}

impl Stepper {
    /// Forward, backward (to the weights and to the input) and a step of the optimiser: seconds and loss.
    fn step(&mut self) -> Result<(f64, f64)> {
        let start = Instant::now();
        let call = Call { mode: Mode::Training { seed: 0 }, ..Call::default() };
        let output = match &self.layer {
            Layer::Lstm(lstm) => lstm.call(self.xs.as_tensor(), call)?.hidden,
            Layer::Gru(gru) => gru.call(self.xs.as_tensor(), call)?.hidden,
        };
        let loss = output.sqr()?.sum_all()?;
        let grads = backward(&loss)?;
        self.optimizer.step(&grads)?;
        if grads.get(self.xs.as_tensor()).is_none() {
            return Err("the input has no gradient".into());
        }
        let loss = loss.to_scalar::<f32>()?;
        Ok((start.elapsed().as_secs_f64(), f64::from(loss)))
    }
}

/// Does the jobs of `bench_peers.py`.
struct Worker {
    train: Dataset,
    validation: Dataset,
    test: Dataset,
    weights: HashMap<String, Tensor>,
    trainings: HashMap<String, Training>,
    stepper: Option<(String, Stepper)>,
}

impl Worker {
    fn new(folder: &Path) -> Result<Self> {
        let data = candle_core::safetensors::load(folder.join("data.safetensors"), &CPU)?;
        let part = |name: &str| -> Result<Dataset> {
            let get =
                |what: &str| data.get(&format!("{name}.{what}")).ok_or("data.safetensors lacks a tensor");
            let ids = get("ids")?;
            let max_len = ids.dim(1)?;
            Ok(Dataset::new(ids.flatten_all()?.to_vec1()?, get("labels")?.to_vec1()?, max_len)?)
        };
        Ok(Self {
            train: part("train")?,
            validation: part("validation")?,
            test: part("test")?,
            weights: candle_core::safetensors::load(folder.join("weights.safetensors"), &CPU)?,
            trainings: HashMap::new(),
            stepper: None,
        })
    }

    /// The tensors under `prefix`/, renamed to `name.rest` where a name is given.
    fn values(&self, prefix: &str, name: &str) -> BTreeMap<String, Tensor> {
        let strip = |(key, value): (&String, &Tensor)| {
            let rest = key.strip_prefix(prefix)?.strip_prefix('/')?;
            Some((format!("{name}{rest}"), value.clone()))
        };
        self.weights.iter().filter_map(strip).collect()
    }

    fn training(&self, model: &str) -> Result<Training> {
        let config = zoo::get(model)?.config()?.model;
        let weights = Weights::init(&config, 0, &CPU)?;
        weights.restore(&self.values(model, ""))?;
        Training::new(&config, &weights, 1e-4)
    }

    fn rows(&self, batches: Option<usize>) -> Result<Dataset> {
        let all = &self.train;
        let rows = batches.map_or(all.len(), |batches| all.len().min(batches * BATCH));
        let ids = all.ids()[..rows * all.max_len()].to_vec();
        Ok(Dataset::new(ids, all.labels()[..rows].to_vec(), all.max_len())?)
    }

    fn answer(&mut self, job: &Value) -> Result<Value> {
        let text = |name: &str| job[name].as_str().ok_or_else(|| format!("{name} is missing"));
        let number = |name: &str| job[name].as_u64().map(|number| number as usize);
        let needed = |name: &str| number(name).ok_or_else(|| format!("{name} is missing"));
        let lost = "`first` comes before";
        match text("op")? {
            "versions" => {
                let version = format!(
                    "candle-recurrent {} ({}), {} threads",
                    env!("CARGO_PKG_VERSION"),
                    candle_recurrent::instruction_set(),
                    rayon::current_num_threads()
                );
                Ok(json!({"version": version}))
            }
            "first" => {
                let model = text("model")?;
                let (_, loss) = self.training(model)?.epoch(&self.rows(number("batches"))?)?;
                self.trainings.insert(model.into(), self.training(model)?);
                Ok(json!({"loss": loss}))
            }
            "epoch" => {
                let rows = self.rows(number("batches"))?;
                let (seconds, loss) = self.trainings.get_mut(text("model")?).ok_or(lost)?.epoch(&rows)?;
                Ok(json!({"seconds": seconds, "loss": loss}))
            }
            "mixed" => {
                let model = text("model")?;
                if !self.trainings.contains_key(model) {
                    self.trainings.insert(model.into(), mixed(&job["layers"])?);
                }
                let rows = self.rows(number("batches"))?;
                let (seconds, loss) = self.trainings.get_mut(model).ok_or(lost)?.epoch(&rows)?;
                Ok(json!({"seconds": seconds, "loss": loss}))
            }
            "phases" => {
                let mut training = self.training(text("model")?)?;
                training.phases(&self.train)?;
                let phases = training.phases(&self.train)?.into_iter();
                Ok(Value::Object(phases.map(|(name, seconds)| (name.into(), seconds.into())).collect()))
            }
            "validate" => {
                let training = self.trainings.get(text("model")?).ok_or(lost)?;
                let rows = Examples::from(&self.validation);
                let result = train::evaluate(&training.detached, &objective()?, &rows, 1000, &CPU)?;
                Ok(json!({"loss": result.loss(), "accuracy": result.get("accuracy")}))
            }
            "evaluate" => {
                let model = zoo::get("lstm")?.load(&CPU)?.model;
                let batch = needed("batch")?;
                let (validation, test, objective) =
                    (Examples::from(&self.validation), Examples::from(&self.test), objective()?);
                train::evaluate(&model, &objective, &validation, batch, &CPU)?;
                let start = Instant::now();
                let result = train::evaluate(&model, &objective, &test, batch, &CPU)?;
                let seconds = start.elapsed().as_secs_f64();
                Ok(json!({"seconds": seconds, "loss": result.loss(), "accuracy": result.get("accuracy")}))
            }
            "review" => {
                let model = zoo::get("lstm")?.load(&CPU)?.model;
                let (mut times, mut probability) = (Vec::new(), 0.0);
                for _ in 0..needed("calls")? {
                    let start = Instant::now();
                    let ids = Tensor::from_slice(self.test.row(0), (1, self.test.max_len()), &CPU)?;
                    let logits = model.logits(&ids, Mode::Inference)?;
                    probability = sigmoid(&logits)?.flatten_all()?.get(0)?.to_scalar::<f32>()?;
                    times.push(start.elapsed().as_secs_f64());
                }
                Ok(json!({"seconds": median(&mut times), "probability": probability}))
            }
            "step" => {
                let (kind, units) = (text("kind")?, needed("units")?);
                let key = format!("{kind}/{units}");
                if self.stepper.as_ref().is_none_or(|(known, _)| *known != key) {
                    self.stepper = Some((key.clone(), self.make_stepper(kind, units)?));
                }
                let Some((_, stepper)) = &mut self.stepper else { return Err(lost.into()) };
                let (mut times, mut last) = (Vec::new(), 0.0);
                let steps = needed("steps")?;
                let run = || -> Result<()> {
                    for _ in 0..steps {
                        let (seconds, loss) = stepper.step()?;
                        times.push(seconds);
                        last = loss;
                    }
                    Ok(())
                };
                candle_recurrent::awake(run)?;
                Ok(json!({"seconds": median(&mut times), "loss": last}))
            }
            "read" => {
                let source = Source::Path(text("path")?.into());
                let start = Instant::now();
                let splits = data::load(&source, &Options::default(), None, &mut |_| ())?;
                let seconds = start.elapsed().as_secs_f64();
                let sets = [&splits.train, &splits.validation, &splits.test];
                let sum: u64 = sets.iter().flat_map(|set| set.ids()).map(|&id| u64::from(id)).sum();
                Ok(json!({"seconds": seconds, "sum": sum}))
            }
            other => Err(format!("unknown job {other}").into()),
        }
    }

    fn make_stepper(&self, kind: &str, units: usize) -> Result<Stepper> {
        let mut weights = Weights::default();
        let variables = match kind {
            "lstm" => LstmConfig::new(units).variables(units),
            _ => GruConfig::new(units).variables(units),
        };
        weights.add("layer", &variables, 0, &CPU)?;
        weights.restore(&self.values(&format!("step/{kind}/{units}"), "layer."))?;
        let vb = weights.var_builder().pp("layer");
        let layer = match kind {
            "lstm" => Layer::Lstm(Lstm::new(units, LstmConfig::new(units), vb)?),
            _ => Layer::Gru(Gru::new(units, GruConfig::new(units), vb)?),
        };
        let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let config = RmsProp::default().with_learning_rate(1e-3);
        let xs = self.weights.get(&format!("step/x/{units}")).ok_or("weights.safetensors lacks the input")?;
        Ok(Stepper { layer, xs: Var::from_tensor(xs)?, optimizer: Optimizer::new(variables, config)? })
    }
}

/// A model of the row `mixed`: these layers between an embedding and a logit.
fn mixed(layers: &Value) -> Result<Training> {
    let mut all = vec![
        json!({"class_name": "InputLayer", "config": {"name": "ids", "batch_shape": [null, 100], "dtype": "int32"}}),
        json!({"class_name": "Embedding", "config": {"name": "embedding", "input_dim": 500, "output_dim": 32}}),
    ];
    all.extend(layers.as_array().into_iter().flatten().cloned());
    all.push(
        json!({"class_name": "Dense", "config": {"name": "dense", "units": 1, "activation": "sigmoid"}}),
    );
    let config: ModelConfig = serde_json::from_value(json!({"name": "mixed", "layers": all}))?;
    Training::new(&config, &Weights::init(&config, 0, &CPU)?, 1e-4)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn serve(folder: &Path) -> Result<()> {
    let start = Instant::now();
    let mut worker = Worker::new(folder)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!({"ready": start.elapsed().as_secs_f64()}))?;
    for line in std::io::stdin().lines() {
        let answer = serde_json::from_str(&line?).map_err(Into::into).and_then(|job| worker.answer(&job));
        writeln!(out, "{}", answer.unwrap_or_else(|error| json!({"error": error.to_string()})))?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> Result<()> {
    // As in the program.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
    let mut args = std::env::args().skip(1);
    let first = args.next().unwrap_or_else(|| "lstm".into());
    if Path::new(&first).join("data.safetensors").is_file() {
        return serve(Path::new(&first));
    }
    let entry = zoo::get(&first)?;
    let epochs = args.next().map_or(Ok(1), |epochs| epochs.parse())?;
    let rows = data::load(&Source::Builtin, &Options::default(), None, &mut |_| ())?.train;
    let config = entry.config()?.model;
    let mut training = Training::new(&config, &Weights::init(&config, 42, &CPU)?, 1e-4)?;
    println!("{first}, {} reviews of {} in batches of {BATCH}", rows.len(), rows.max_len());
    for epoch in 1..=epochs {
        let (seconds, loss) = training.epoch(&rows)?;
        println!("epoch {epoch}: {seconds:.3} s, loss {loss:.4}");
    }
    let phases = training.phases(&rows)?;
    let whole: f64 = phases.iter().map(|(_, seconds)| seconds).sum();
    for (name, seconds) in phases {
        println!("{name:>10}: {seconds:.3} s, {:.0} %", 100.0 * seconds / whole);
    }
    Ok(())
}
