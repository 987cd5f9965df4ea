//! One epoch of `fit` on rows and initial weights from a file, with the loss of every batch: this crate's half of
//! `scripts/parity_keras.py`.
//!
//! ```sh
//! cargo run --release --example parity -- CONFIG.json START.safetensors END.safetensors
//! ```
//!
//! START holds the inputs `x0`, `x1`, … and the targets `y0`, `y1`, …, rows first, unsigned 32-bit or 32-bit floats, and the
//! initial weights by their names; END gets `losses` (batches), the figures of the epoch as `figures.NAME` (1), all f64,
//! and the trained weights. Rows come in the file's order; loss, metrics, optimiser and batch size are the recipe's.

use candle_core::{Device, Tensor, safetensors};
use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::{Array, Examples};
use candle_recurrent::model::Weights;
use candle_recurrent::train::{FitConfig, Objective, Observer, Shuffle, Step, Trainer, heads};
use candle_recurrent::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Takes the loss of each batch out of the mean so far.
#[derive(Default)]
struct Losses {
    sum: f64,
    rows: usize,
    losses: Vec<f64>,
}

impl Observer for Losses {
    fn on_step(&mut self, step: &Step) -> Result<ControlFlow<()>> {
        let rows = step.meters.samples();
        let sum = step.meters.loss() * rows as f64;
        self.losses.push((sum - self.sum) / (rows - self.rows) as f64);
        (self.sum, self.rows) = (sum, rows);
        Ok(ControlFlow::Continue(()))
    }
}

/// The arrays `x0`, `x1`, … or `y0`, `y1`, ….
fn take(tensors: &mut BTreeMap<String, Tensor>, letter: &str) -> Result<Vec<Array>> {
    let mut arrays = vec![];
    while let Some(tensor) = tensors.remove(&format!("{letter}{}", arrays.len())) {
        arrays.push(Array::from_tensor(&tensor)?);
    }
    match arrays.is_empty() {
        true => Err(Error::argument("START", format!("holds no `{letter}0`"))),
        false => Ok(arrays),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, start, end] = arguments.as_slice() else {
        println!("usage: parity CONFIG.json START.safetensors END.safetensors");
        return Ok(());
    };
    let device = Device::Cpu;
    let Config { model, recipe, .. } = Config::load(config)?;
    let mut tensors: BTreeMap<String, Tensor> = safetensors::load(start, &device)?.into_iter().collect();
    let examples = Examples::new(take(&mut tensors, "x")?, take(&mut tensors, "y")?)?;
    let weights = Weights::from_tensors(&model, tensors, &device)?;

    let objective = Objective::of_compile(&recipe.compile(), &heads(&model)?)?;
    let mut trainer = Trainer::new(&model, &weights, recipe.optimizer, objective)?;
    let fit = FitConfig {
        epochs: 1,
        batch_size: recipe.batch_size,
        shuffle: Shuffle::Never,
        ..FitConfig::default()
    };
    let mut losses = Losses::default();
    let outcome = trainer.fit_watched(&examples, None, &fit, &mut losses)?;

    let mut trained = weights.snapshot()?;
    for (name, figure) in outcome.history.epochs.iter().flat_map(|epoch| epoch.figures.iter()) {
        trained.insert(format!("figures.{name}"), Tensor::new(&[figure], &device)?);
    }
    let batches = losses.losses.len();
    trained.insert("losses".into(), Tensor::from_vec(losses.losses, batches, &device)?);
    safetensors::save(&trained.into_iter().collect(), end)?;
    println!("{batches} batches of {} rows", examples.rows());
    Ok(())
}
