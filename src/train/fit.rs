//! The training loop and evaluation.

use super::callbacks::{EarlyStopping, ModelCheckpoint};
use super::history::{Epoch, History};
use super::loss::{BatchLoss, batch_loss};
use super::optimizers::Optimizer;
use crate::data::{Dataset, RandomState};
use crate::layers::Mode;
use crate::model::Model;
use crate::random::Stream;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

/// A module that [`fit`] can train and [`evaluate`] can measure; closures of the same signature are such modules.
pub trait Trainable {
    /// Token ids (batch, time) of u32 to one logit a row, (batch, 1) or (batch).
    ///
    /// # Errors
    /// Whatever the module finds wrong with its input.
    fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor>;

    /// Variables by name that a training pass moves and the optimiser does not hold, such as moving statistics: [`fit`]
    /// keeps and restores them with the others.
    fn moving(&self) -> Vec<(String, Var)> {
        vec![]
    }

    /// Variables by name that nothing changes and that belong to the module: [`Observer::on_best`] gets them with the
    /// others.
    fn frozen(&self) -> Vec<(String, Tensor)> {
        vec![]
    }

    /// The logits, and what is added to the mean loss of the batch: the penalties of regularisers, a scalar.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    fn logits_with_penalty(&self, xs: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        Ok((self.logits(xs, mode)?, None))
    }

    /// Brings the variables within their constraints, after each step.
    ///
    /// # Errors
    /// The module's own.
    fn constrain(&self) -> Result<()> {
        Ok(())
    }
}

impl Trainable for Model {
    fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        Self::logits(self, xs, mode)
    }

    fn moving(&self) -> Vec<(String, Var)> {
        Self::moving(self)
    }

    fn frozen(&self) -> Vec<(String, Tensor)> {
        Self::frozen(self).to_vec()
    }

    fn logits_with_penalty(&self, xs: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        Self::logits_with_penalty(self, xs, mode)
    }

    fn constrain(&self) -> Result<()> {
        Self::constrain(self)
    }
}

impl<F: Fn(&Tensor, Mode) -> Result<Tensor>> Trainable for F {
    fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self(xs, mode)
    }
}

/// In which order an epoch sees the training rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shuffle {
    /// Their own.
    Never,
    /// One random order, drawn from the seed and kept for every epoch: what Keras does on TensorFlow after
    /// `keras.utils.set_random_seed`, since the seeded shuffle starts again with each epoch's iterator. Loss curves are
    /// smoother, and early stopping depends more on the order drawn.
    #[default]
    Once,
    /// Another random order every epoch: what Keras does without a seed.
    EveryEpoch,
}

/// How to train. The defaults are the zoo's recipe, with neither early stopping nor a choice of epochs to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// The most epochs to train for; 100.
    pub epochs: usize,
    /// Reviews a step; 64. The last batch of an epoch takes what is left.
    pub batch_size: usize,
    /// Reviews a step in validation; 1024. It changes speed and memory only.
    pub validation_batch_size: usize,
    /// The order of the training rows; one for all epochs.
    pub shuffle: Shuffle,
    /// Draws the orders and the dropout masks; 42.
    pub seed: u64,
    /// When to stop before the last epoch.
    pub early_stopping: Option<EarlyStopping>,
    /// Which epochs are handed to [`Observer::on_best`].
    pub checkpoint: ModelCheckpoint,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 64,
            validation_batch_size: 1024,
            shuffle: Shuffle::default(),
            seed: 42,
            early_stopping: None,
            checkpoint: ModelCheckpoint::default(),
        }
    }
}

/// Copies of a model's variables by full name.
pub type Snapshot = BTreeMap<String, Tensor>;

/// Where an epoch stands after a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Batches in this epoch.
    pub batches: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Accuracy of the epoch so far.
    pub accuracy: f64,
}

/// Watches a run: shows it, saves from it, ends it. Every method does nothing unless written.
///
/// An error from a method ends the run with that error; `ControlFlow::Break` ends it in good order, as for Ctrl-C.
pub trait Observer {
    /// Before an epoch's first batch: the epoch (from 1), the most epochs there can be, the batches in each.
    ///
    /// # Errors
    /// The observer's own.
    fn on_epoch_begin(&mut self, _epoch: usize, _epochs: usize, _batches: usize) -> Result<()> {
        Ok(())
    }

    /// After every step. On `Break` this epoch is given up and leaves no line in the history.
    ///
    /// # Errors
    /// The observer's own.
    fn on_batch(&mut self, _batch: &Batch) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After validation, with the epochs so far, the last one new.
    ///
    /// # Errors
    /// The observer's own.
    fn on_epoch(&mut self, _history: &History) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After [`Self::on_epoch`] where [`ModelCheckpoint`] keeps the epoch: here the weights are written.
    ///
    /// # Errors
    /// The observer's own.
    fn on_best(&mut self, _epoch: &Epoch, _weights: &Snapshot) -> Result<()> {
        Ok(())
    }
}

/// An observer that does nothing.
pub struct Silent;

impl Observer for Silent {}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All epochs are done.
    Finished,
    /// [`EarlyStopping`] ended it.
    EarlyStopping,
    /// The observer ended it.
    Interrupted,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The figures of every complete epoch.
    pub history: History,
    /// The epoch, counted from 1, that is best by the checkpoint's monitor.
    pub best_epoch: Option<usize>,
    /// The epoch whose weights the model now holds, if `restore_best_weights` brought them back.
    pub restored_epoch: Option<usize>,
    /// Why the run ended.
    pub stop: Stop,
}

/// Loss and accuracy on a data set.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// Mean binary cross-entropy.
    pub loss: f64,
    /// Share of rows classified correctly.
    pub accuracy: f64,
    /// Rows.
    pub samples: usize,
}

/// Trains `model`, whose variables `optimizer` holds; `detached` is the same model over detached tensors of the same
/// storage, for validation without a graph (`model` itself works too, at the cost of the graph).
///
/// As in Keras, training rows are shuffled (see [`Shuffle`]), the partial batch is kept, an epoch's figures are weighted
/// by batch size and are those of the moving weights; validation data is never shuffled. The order of an epoch depends
/// on the seed and the epoch alone, the dropout of a batch on the seed, the epoch and the batch alone.
///
/// Where [`EarlyStopping::restore_best_weights`] is set, the best epoch's weights are back in the model however the
/// run ends, also after an error or an interruption.
///
/// # Errors
/// Before any work: zero epochs or batch size, empty data, training labels of one class only.
/// [`Error::Diverged`] as soon as the loss of a batch or of the validation is NaN or beyond 10⁶, before that batch's
/// step is taken; what the observer has saved by then is untouched. Errors of the model and of the observer.
pub fn fit<T: Trainable + ?Sized, F: Trainable + ?Sized>(
    model: &T,
    detached: &F,
    optimizer: &mut dyn Optimizer,
    train: &Dataset,
    validation: &Dataset,
    config: &FitConfig,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    check(optimizer, train, validation, config)?;
    let device = match optimizer.variables().first() {
        Some((_, var)) => var.device().clone(),
        None => Device::Cpu,
    };
    let mut best = None;
    let mut run =
        Run { model, detached, optimizer, train, validation, config, device, history: History::default() };
    let result = run.epochs(observer, &mut best);
    let mut restored_epoch = None;
    if let Some((epoch, weights)) = best {
        run.restore(&weights)?;
        restored_epoch = Some(epoch);
    }
    let best_epoch = config.checkpoint.monitor.best(&run.history.epochs).map(|epoch| epoch.epoch);
    Ok(Outcome { stop: result?, history: run.history, best_epoch, restored_epoch })
}

/// Loss and accuracy of `model` on `dataset` in order, without dropout. Give a model over detached tensors, or every
/// batch builds a graph for nothing; 1024 is a good `batch_size`.
///
/// # Errors
/// Empty data, zero batch size, a loss that is NaN or infinite ([`Error::Data`]), errors of the model.
pub fn evaluate<T: Trainable + ?Sized>(
    model: &T,
    dataset: &Dataset,
    batch_size: usize,
    device: &Device,
) -> Result<Evaluation> {
    if dataset.is_empty() {
        return Err(Error::Data("there are no rows to evaluate".to_string()));
    }
    positive("batch_size", batch_size)?;
    let evaluation = measure(model, dataset, batch_size, device)?;
    if !evaluation.loss.is_finite() {
        let what = format!("the model's loss on them is {}: are its weights finite?", evaluation.loss);
        return Err(Error::Data(what));
    }
    Ok(evaluation)
}

fn measure<T: Trainable + ?Sized>(
    model: &T,
    dataset: &Dataset,
    batch_size: usize,
    device: &Device,
) -> Result<Evaluation> {
    let mut sums = Sums::default();
    let mut targets = Vec::new();
    let rows = dataset.ids().chunks(batch_size.saturating_mul(dataset.max_len().max(1)));
    for (ids, labels) in rows.zip(dataset.labels().chunks(batch_size)) {
        targets.clear();
        targets.extend(labels.iter().map(|&label| f32::from(label)));
        let xs = Tensor::from_slice(ids, (labels.len(), dataset.max_len()), device)?;
        let targets = Tensor::from_slice(&targets, labels.len(), device)?;
        let batch = loss_of(model, &xs, &targets, Mode::Inference)?;
        sums.add(batch.value, batch.correct, labels.len());
    }
    Ok(Evaluation { loss: sums.loss(), accuracy: sums.accuracy(), samples: sums.samples })
}

/// The loss of a batch, penalties added.
fn loss_of<T: Trainable + ?Sized>(model: &T, xs: &Tensor, targets: &Tensor, mode: Mode) -> Result<BatchLoss> {
    let (logits, penalty) = model.logits_with_penalty(xs, mode)?;
    let batch = batch_loss(&logits, targets)?;
    let Some(penalty) = penalty else { return Ok(batch) };
    let value = batch.value + f64::from(penalty.to_dtype(DType::F32)?.to_scalar::<f32>()?);
    Ok(BatchLoss { loss: (batch.loss + penalty)?, value, ..batch })
}

fn positive(argument: &str, value: usize) -> Result<()> {
    match value {
        0 => Err(Error::argument(argument, "this must be at least 1")),
        _ => Ok(()),
    }
}

fn check(optimizer: &dyn Optimizer, train: &Dataset, validation: &Dataset, config: &FitConfig) -> Result<()> {
    positive("epochs", config.epochs)?;
    positive("batch_size", config.batch_size)?;
    positive("validation_batch_size", config.validation_batch_size)?;
    if let Some(early_stopping) = &config.early_stopping {
        early_stopping.check()?;
    }
    if optimizer.variables().is_empty() {
        return Err(Error::argument(
            "optimizer",
            "it has no variables to train: is every layer frozen (`trainable: false`)?",
        ));
    }
    for (name, dataset) in [("training", train), ("validation", validation)] {
        if dataset.is_empty() {
            return Err(Error::Data(format!("there are no {name} rows")));
        }
    }
    if u32::try_from(train.len()).is_err() {
        return Err(Error::Data(format!("{} training rows, at most {} work", train.len(), u32::MAX)));
    }
    let positives = train.positives();
    if positives == 0 || positives == train.len() {
        let label = usize::from(positives > 0);
        let what = format!("all {} training rows have label {label}; both classes are needed", train.len());
        return Err(Error::Data(what));
    }
    Ok(())
}

/// Sums over the batches of an epoch.
#[derive(Default)]
struct Sums {
    loss: f64,
    correct: usize,
    samples: usize,
}

impl Sums {
    fn add(&mut self, mean_loss: f64, correct: usize, samples: usize) {
        self.loss += mean_loss * samples as f64;
        self.correct += correct;
        self.samples += samples;
    }

    fn loss(&self) -> f64 {
        self.loss / self.samples as f64
    }

    fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

struct Run<'a, T: ?Sized, F: ?Sized> {
    model: &'a T,
    detached: &'a F,
    optimizer: &'a mut dyn Optimizer,
    train: &'a Dataset,
    validation: &'a Dataset,
    config: &'a FitConfig,
    device: Device,
    history: History,
}

impl<T: Trainable + ?Sized, F: Trainable + ?Sized> Run<'_, T, F> {
    /// All epochs; `best` receives what is to be restored at the end.
    fn epochs(&mut self, observer: &mut dyn Observer, best: &mut Option<(usize, Snapshot)>) -> Result<Stop> {
        let rows = self.train.len() as u32;
        let mut order: Vec<u32> = (0..rows).collect();
        let batches = self.train.len().div_ceil(self.config.batch_size);
        for epoch in 1..=self.config.epochs {
            let start = Instant::now();
            observer.on_epoch_begin(epoch, self.config.epochs, batches)?;
            match self.config.shuffle {
                Shuffle::Never => {}
                Shuffle::Once if epoch > 1 => {}
                Shuffle::Once | Shuffle::EveryEpoch => order = shuffled(rows, self.config.seed, epoch),
            }
            let Some(sums) = self.epoch(epoch, &order, observer)? else { return Ok(Stop::Interrupted) };
            let batch_size = self.config.validation_batch_size;
            let validation = measure(self.detached, self.validation, batch_size, &self.device)?;
            finite(validation.loss, epoch)?;
            self.history.epochs.push(Epoch {
                epoch,
                loss: sums.loss(),
                accuracy: sums.accuracy(),
                val_loss: validation.loss,
                val_accuracy: validation.accuracy,
                seconds: start.elapsed().as_secs_f64(),
            });
            let early_stopping = self.config.early_stopping.as_ref();
            let verdict = early_stopping.map(|rule| rule.judge(&self.history.epochs)).unwrap_or_default();
            let restores = early_stopping.is_some_and(|rule| rule.restore_best_weights);
            let saves = self.config.checkpoint.saves(&self.history.epochs);
            let improved = restores && verdict.best_epoch == Some(epoch);
            let weights = if improved || saves { Some(self.snapshot()?) } else { None };
            if let Some(weights) = weights.as_ref().filter(|_| improved) {
                *best = Some((epoch, weights.clone()));
            }
            let flow = observer.on_epoch(&self.history)?;
            if let (Some(weights), Some(last), true) = (&weights, self.history.epochs.last(), saves) {
                observer.on_best(last, weights)?;
            }
            if flow.is_break() {
                return Ok(Stop::Interrupted);
            }
            if verdict.stop {
                return Ok(Stop::EarlyStopping);
            }
        }
        Ok(Stop::Finished)
    }

    /// One pass over the training data; `None` if the observer ended it.
    fn epoch(&mut self, epoch: usize, order: &[u32], observer: &mut dyn Observer) -> Result<Option<Sums>> {
        let mut sums = Sums::default();
        let mut seeds = Stream::named(self.config.seed, &format!("batch/{epoch}"));
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        let batches = order.len().div_ceil(self.config.batch_size);
        for (index, rows) in order.chunks(self.config.batch_size).enumerate() {
            self.train.gather(rows, &mut ids, &mut labels);
            let xs = Tensor::from_slice(&ids, (rows.len(), self.train.max_len()), &self.device)?;
            let targets = Tensor::from_slice(&labels, rows.len(), &self.device)?;
            let mode = Mode::Training { seed: seeds.next_u64() };
            let batch = loss_of(self.model, &xs, &targets, mode)?;
            finite(batch.value, epoch)?;
            self.optimizer.step(&batch.loss.backward()?)?;
            self.model.constrain()?;
            sums.add(batch.value, batch.correct, rows.len());
            let (loss, accuracy) = (sums.loss(), sums.accuracy());
            if observer.on_batch(&Batch { epoch, batch: index + 1, batches, loss, accuracy })?.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(sums))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let moving = self.model.moving();
        let variables = self.optimizer.variables().iter().chain(&moving);
        let copy =
            |(name, var): &(String, Var)| Ok((name.clone(), var.as_detached_tensor().copy()?.detach()));
        let mut snapshot = variables.map(copy).collect::<Result<Snapshot>>()?;
        snapshot.extend(self.model.frozen());
        Ok(snapshot)
    }

    fn restore(&self, weights: &Snapshot) -> Result<()> {
        for (name, var) in self.optimizer.variables().iter().chain(&self.model.moving()) {
            if let Some(value) = weights.get(name) {
                var.set(value)?;
            }
        }
        Ok(())
    }
}

/// The order of an epoch, `n` rows: in NumPy `RandomState([seed % 2**32, seed >> 32, epoch]).permutation(n)`.
fn shuffled(n: u32, seed: u64, epoch: usize) -> Vec<u32> {
    RandomState::from_key(&[seed as u32, (seed >> 32) as u32, epoch as u32]).permutation(n)
}

/// The greatest loss of a run that is still learning: one that is sure and wrong everywhere, at float's probabilities, has
/// about 100.
const GREATEST_LOSS: f64 = 1e6;

/// Refuses what no training comes back from.
fn finite(loss: f64, epoch: usize) -> Result<()> {
    match loss <= GREATEST_LOSS {
        true => Ok(()),
        false => Err(Error::Diverged { loss, epoch }),
    }
}
