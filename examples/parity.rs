//! One epoch of `fit` on rows and initial weights from a file, with the loss of every batch: this crate's half of
//! `scripts/parity_keras.py`.
//!
//! ```sh
//! cargo run --release --example parity -- CONFIG.json START.safetensors END.safetensors
//! ```
//!
//! START holds `ids` (rows, time) and `labels` (rows), unsigned 32-bit, and the initial weights by their names; END gets
//! `losses` (batches), f64, and the trained weights. Rows come in the file's order; rate and batch size are the recipe's.

use candle_core::{DType, Device, Tensor, safetensors};
use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::Dataset;
use candle_recurrent::model::{Model, Weights};
use candle_recurrent::train::{Batch, FitConfig, Observer, RmsProp, Shuffle, fit};
use candle_recurrent::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// Takes the loss of each batch out of the mean so far.
#[derive(Default)]
struct Losses {
    rows: usize,
    batch_size: usize,
    sum: f64,
    seen: usize,
    losses: Vec<f64>,
}

impl Observer for Losses {
    fn on_batch(&mut self, batch: &Batch) -> Result<ControlFlow<()>> {
        let rows = self.batch_size.min(self.rows - self.seen);
        self.seen += rows;
        let sum = batch.loss * self.seen as f64;
        self.losses.push((sum - self.sum) / rows as f64);
        self.sum = sum;
        Ok(ControlFlow::Continue(()))
    }
}

fn take(tensors: &mut HashMap<String, Tensor>, name: &str) -> Result<Tensor> {
    tensors.remove(name).ok_or_else(|| Error::argument("START", format!("holds no `{name}`")))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, start, end] = arguments.as_slice() else {
        println!("usage: parity CONFIG.json START.safetensors END.safetensors");
        return Ok(());
    };
    let device = Device::Cpu;
    let config = Config::load(config)?;
    let mut tensors = safetensors::load(start, &device)?;
    let (ids, labels) = (take(&mut tensors, "ids")?, take(&mut tensors, "labels")?);
    let (rows, max_len) = ids.dims2()?;
    let labels = labels.to_dtype(DType::U8)?.to_vec1()?;
    let dataset = Dataset::new(ids.flatten_all()?.to_vec1()?, labels, max_len)?;
    let weights = Weights::init(&config.model, 0, &device)?;
    weights.restore(&tensors.into_iter().collect::<BTreeMap<_, _>>())?;

    let model = Model::new(&config.model, weights.var_builder())?;
    let detached = Model::new(&config.model, weights.detached())?;
    let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
    let mut optimizer = RmsProp::named(variables, config.recipe.optimizer.clone())?;
    let batch_size = config.recipe.batch_size;
    let fit_config = FitConfig { epochs: 1, batch_size, shuffle: Shuffle::Never, ..FitConfig::default() };
    let mut losses = Losses { rows, batch_size, ..Losses::default() };
    fit(&model, &detached, &mut optimizer, &dataset, &dataset, &fit_config, &mut losses)?;

    let mut trained = weights.snapshot()?;
    let batches = losses.losses.len();
    trained.insert("losses".into(), Tensor::from_vec(losses.losses, batches, &device)?);
    safetensors::save(&trained.into_iter().collect(), end)?;
    println!("{batches} batches of {rows} rows");
    Ok(())
}
