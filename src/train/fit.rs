//! The training loop.

use super::callbacks::{Callback, CallbackConfig, LEARNING_RATE};
use super::evaluate::{Batch, Total, check_batches, measure};
use super::history::{Epoch, History};
use super::meters::Meters;
use super::objective::Objective;
use super::observer::{Observer, Step};
use super::optimizers::Optimizer;
use super::order::{grouped, lengths, shuffled};
use super::output::Output;
use super::schedules::LearningRate;
use super::state::RunState;
use super::trainable::Trainable;
use crate::data::Examples;
use crate::layers::{self, Mode, backward};
use crate::random::Stream;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// In which order an epoch sees the training rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Shuffle {
    /// Whether this is the default, which is not written down.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a run whose loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNan {
    /// It ends with [`Error::Diverged`].
    #[default]
    Stop,
    /// It goes back to the end of the epoch before, and on from there at half the learning rate; three times, then it ends.
    Rollback,
}

/// How to train. The defaults are the zoo's recipe, without callbacks.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// The most epochs to train for; 100.
    pub epochs: usize,
    /// Rows a step; 64. The last batch of an epoch takes what is left.
    pub batch_size: usize,
    /// The order of the training rows; one for all epochs.
    pub shuffle: Shuffle,
    /// Put rows of like length into a batch, so that short texts are not paid for as long ones. It wants a model that skips
    /// padding ([`Model::skips_padding`](crate::model::Model::skips_padding)), and rows that are shuffled.
    pub group_by_length: bool,
    /// Draws the orders and the dropout masks; 42.
    pub seed: u64,
    /// What ends the run, keeps epochs, changes the learning rate.
    pub callbacks: Vec<CallbackConfig>,
    /// By class, how much its rows count in training; 1 for those that are not named.
    pub class_weight: BTreeMap<u32, f64>,
    /// What a loss that is no number means; the end of the run.
    pub on_nan: OnNan,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 64,
            shuffle: Shuffle::default(),
            group_by_length: false,
            seed: 42,
            callbacks: vec![],
            class_weight: BTreeMap::new(),
            on_nan: OnNan::Stop,
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All epochs are done.
    Finished,
    /// [`EarlyStopping`](super::EarlyStopping) ended it.
    EarlyStopping,
    /// The observer ended it.
    Interrupted,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The figures of every complete epoch.
    pub history: History,
    /// The epoch, counted from 1, that a callback kept last; without one the best by the loss.
    pub best_epoch: Option<usize>,
    /// The epoch whose weights the model now holds, if `restore_best_weights` brought them back.
    pub restored_epoch: Option<usize>,
    /// Why the run ended.
    pub stop: Stop,
}

/// What is trained: a model, the same over detached tensors of the same storage for validation without a graph (the model
/// itself works too, at the cost of the graph), the optimiser of its variables, and what it is to reach.
pub struct Training<'a, T: ?Sized, F: ?Sized> {
    /// The model.
    pub model: &'a T,
    /// The same over detached tensors.
    pub detached: &'a F,
    /// Holds the model's variables.
    pub optimizer: &'a mut Optimizer,
    /// Losses and metrics of the outputs.
    pub objective: &'a Objective,
}

/// Trains.
///
/// As in Keras, training rows are shuffled (see [`Shuffle`]), the partial batch is kept, an epoch's figures are weighted
/// by batch size and are those of the moving weights; validation data is never shuffled. The order of an epoch depends
/// on the seed and the epoch alone, the dropout of a batch on the seed, the epoch and the batch alone.
///
/// Where a callback restores the best weights, they are back in the model however the run ends, also after an error or an
/// interruption. A stateful model is never reset, as in Keras; it takes batches of equal size and no shuffling.
///
/// Calls [`keep_memory`](crate::keep_memory): the process keeps memory that tensors have used.
///
/// # Errors
/// Before any work: zero epochs or batch size, empty data, callbacks that watch what is not there. [`Error::Diverged`] as soon
/// as the loss of a batch or of the validation is NaN or infinite, before that batch's step is taken; what the observer has
/// saved by then is untouched. Errors of the model and of the observer.
pub fn fit<T: Trainable + ?Sized, F: Trainable + ?Sized>(
    training: Training<'_, T, F>,
    train: &Examples,
    validation: Option<&Examples>,
    config: &FitConfig,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    fit_from(training, None, train, validation, config, observer)
}

/// As [`fit`], from where a run stood ([`Observer::on_state`]). With the model, the data and the configuration of that run the
/// outcome is, to the bit, what it would have been without the pause; the most epochs may be others.
///
/// # Errors
/// As [`fit`], and for a state of another model, optimiser or number of rows.
pub fn fit_from<T: Trainable + ?Sized, F: Trainable + ?Sized>(
    training: Training<'_, T, F>,
    state: Option<RunState>,
    train: &Examples,
    validation: Option<&Examples>,
    config: &FitConfig,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    check(&training, train, validation, config)?;
    candle_recurrent_kernel::keep_memory();
    let device = match training.optimizer.variables().first() {
        Some((_, var)) => var.device().clone(),
        None => Device::Cpu,
    };
    let weighted = class_weighted(train, training.objective, &config.class_weight)?;
    let train = weighted.as_ref().unwrap_or(train);
    let mut run = Run {
        training,
        train,
        validation,
        config,
        callbacks: config.callbacks.clone(),
        settled: false,
        device,
        state: RunState::default(),
    };
    if let Some(state) = state {
        run.resume(state)?;
    }
    let result = run.epochs(observer);
    let finalized = match result {
        Ok(_) => run.training.optimizer.finalize(),
        Err(_) => Ok(()),
    };
    let mut restored_epoch = None;
    if let Some((epoch, weights)) = run.state.restorable.take() {
        run.restore(&weights)?;
        restored_epoch = Some(epoch);
    }
    let stop = result?;
    finalized?;
    let RunState { history, kept, .. } = run.state;
    let best_epoch = kept.or_else(|| history.best().map(|epoch| epoch.epoch));
    Ok(Outcome { stop, history, best_epoch, restored_epoch })
}

fn check<T: Trainable + ?Sized, F: Trainable + ?Sized>(
    training: &Training<'_, T, F>,
    train: &Examples,
    validation: Option<&Examples>,
    config: &FitConfig,
) -> Result<()> {
    for (argument, value) in [("epochs", config.epochs), ("batch_size", config.batch_size)] {
        if value == 0 {
            return Err(Error::argument(argument, "this must be at least 1"));
        }
    }
    config.callbacks.iter().try_for_each(Callback::check)?;
    let is_schedule = matches!(training.optimizer.config().learning_rate, LearningRate::Schedule(_));
    if is_schedule && config.callbacks.iter().any(Callback::changes_learning_rate) {
        let what =
            "the learning rate is a schedule, which ReduceLROnPlateau cannot change; leave one of them out";
        return Err(Error::argument("callbacks", what));
    }
    if is_schedule && config.on_nan == OnNan::Rollback {
        let what =
            "the learning rate is a schedule, and going back halves the rate; give a number, or let it stop";
        return Err(Error::argument("on_nan", what));
    }
    if training.optimizer.variables().is_empty() {
        return Err(Error::argument(
            "optimizer",
            "it has no variables to train: is every layer frozen (`trainable: false`)?",
        ));
    }
    let named =
        std::iter::once(("training", train)).chain(validation.map(|examples| ("validation", examples)));
    for (name, examples) in named {
        if examples.is_empty() {
            return Err(Error::Data(format!("there are no {name} rows")));
        }
        check_batches(training.model, name, examples, config.batch_size)?;
    }
    if training.model.is_stateful() && config.shuffle != Shuffle::Never {
        let what = "a stateful model goes on from batch to batch, so the rows are to stay in their order: take \
                    Shuffle::Never, `--no-shuffle`";
        return Err(Error::argument("shuffle", what));
    }
    if config.group_by_length {
        let wrong = match (training.model.skips_padding(), config.shuffle) {
            (true, Shuffle::Once | Shuffle::EveryEpoch) => None,
            (true, Shuffle::Never) => Some("the rows are to stay in their order; leave one of the two out"),
            (false, _) => Some(
                "the model does not skip padding: it wants an Embedding with mask_zero, and layers after it that heed the mask",
            ),
        };
        if let Some(what) = wrong {
            return Err(Error::argument("group_by_length", what));
        }
    }
    if u32::try_from(train.rows()).is_err() {
        return Err(Error::Data(format!("{} training rows, at most {} work", train.rows(), u32::MAX)));
    }
    Ok(())
}

/// The training rows with the weights of their classes, as Keras makes them: by the number of the class, or by the greatest
/// of a row of targets.
fn class_weighted(
    train: &Examples,
    objective: &Objective,
    class_weight: &BTreeMap<u32, f64>,
) -> Result<Option<Examples>> {
    if class_weight.is_empty() {
        return Ok(None);
    }
    let wrong = |what: &str| Err(Error::argument("class_weight", what));
    if let Some((class, weight)) =
        class_weight.iter().find(|(_, weight)| !(weight.is_finite() && **weight >= 0.0))
    {
        return wrong(&format!("the weight of class {class} is {weight}, expected a number of at least 0"));
    }
    if !train.weights().is_empty() {
        return wrong("the rows have weights of their own (sample_weight); give one or the other");
    }
    let [targets] = train.targets() else {
        return wrong("the model has several outputs; give sample_weight instead");
    };
    // The number of a class for each step is a sequence too.
    let is_sparse = objective
        .outputs
        .iter()
        .filter_map(|output| output.loss.as_ref())
        .any(|loss| loss.name() == "sparse_categorical_crossentropy");
    let width = match targets.row_shape() {
        [] => 1,
        [width] if *width == 1 || !is_sparse => *width,
        _ => {
            return wrong(
                "the targets are sequences, and a weight is that of a row; give sample_weight instead",
            );
        }
    };
    let class = |row: &[f32]| match row {
        [class] => class.round_ties_even() as i64,
        row => row.iter().enumerate().fold(0, |best, (at, value)| if *value > row[best] { at } else { best })
            as i64,
    };
    let weight = |class: i64| {
        let class = u32::try_from(class).ok();
        class.and_then(|class| class_weight.get(&class)).copied().unwrap_or(1.0) as f32
    };
    let (mut seen, mut weights) = (BTreeSet::new(), Vec::with_capacity(targets.rows()));
    targets.try_for_each_part(|_, values| {
        for class in values.chunks(width.max(1)).map(class) {
            seen.insert(class);
            weights.push(weight(class));
        }
        Ok::<(), Error>(())
    })?;
    if let Some(class) = class_weight.keys().find(|class| !seen.contains(&i64::from(**class))) {
        return wrong(&format!("class {class} has a weight, and no training row is of it"));
    }
    let rows = weights.len();
    Ok(Some(train.clone().with_weights(&[crate::data::Array::floats(weights, &[rows])?])?))
}

pub(super) struct Run<'a, T: ?Sized, F: ?Sized> {
    pub(super) training: Training<'a, T, F>,
    pub(super) train: &'a Examples,
    validation: Option<&'a Examples>,
    pub(super) config: &'a FitConfig,
    callbacks: Vec<CallbackConfig>,
    /// Whether the callbacks know which way their figures are better.
    settled: bool,
    pub(super) device: Device,
    /// Where it stands; how it stands (`now`) is in the model and the optimiser while it runs.
    pub(super) state: RunState,
}

impl<T: Trainable + ?Sized, F: Trainable + ?Sized> Run<'_, T, F> {
    fn epochs(&mut self, observer: &mut dyn Observer) -> Result<Stop> {
        if self.state.stopped {
            return Ok(Stop::EarlyStopping);
        }
        if observer.wants_state(true) {
            self.hand_over(observer)?;
        }
        let rows = self.train.rows() as u32;
        let lengths = match self.train.inputs() {
            [ids, ..] if self.config.group_by_length => lengths(ids),
            _ => vec![],
        };
        let mut order: Vec<u32> = vec![];
        while self.state.epochs < self.config.epochs {
            let epoch = self.state.epochs + 1;
            if order.is_empty() || self.config.shuffle == Shuffle::EveryEpoch {
                order = self.order(rows, &lengths, epoch);
            }
            if self.config.on_nan == OnNan::Rollback && self.state.before.is_none() {
                self.state.before = Some(self.standing()?);
            }
            match self.epoch(epoch, &order, observer) {
                Ok(None) => {}
                Ok(Some(stop)) => return Ok(stop),
                Err(fault @ Error::Diverged { .. }) => self.roll_back(fault, observer)?,
                Err(error) => return Err(error),
            }
        }
        Ok(Stop::Finished)
    }

    /// The order of an epoch.
    fn order(&self, rows: u32, lengths: &[u32], epoch: usize) -> Vec<u32> {
        let FitConfig { seed, batch_size, .. } = *self.config;
        let drawn = match self.config.shuffle {
            Shuffle::Never => return (0..rows).collect(),
            Shuffle::Once => 1,
            Shuffle::EveryEpoch => epoch,
        };
        let order = shuffled(rows, seed, drawn);
        if self.config.group_by_length { grouped(order, lengths, batch_size, seed, drawn) } else { order }
    }

    /// One epoch: training, validation, what the callbacks make of it. Why the run ends, if it does.
    fn epoch(&mut self, epoch: usize, order: &[u32], observer: &mut dyn Observer) -> Result<Option<Stop>> {
        let (start, before) = (Instant::now(), self.state.seconds);
        let seconds = || before + start.elapsed().as_secs_f64();
        let batches = order.len().div_ceil(self.config.batch_size);
        observer.on_epoch_begin(epoch, self.config.epochs, batches)?;
        let Some(meters) = self.batches(epoch, order, &seconds, observer)? else {
            return Ok(Some(Stop::Interrupted));
        };
        let mut figures = meters.figures();
        if let Some(name) = self.not_finite()? {
            let first = format!(", after which the variable {name} was not finite");
            return Err(Error::Diverged { loss: f64::NAN, epoch, batch: Some(batches), first });
        }
        if let Some(examples) = self.validation {
            let (model, objective) = (self.training.detached, self.training.objective);
            let (carried, mut is_interrupted) = (model.carried(), false);
            let mut on_rows = |_: &[Output]| {
                is_interrupted = observer.is_interrupted();
                if is_interrupted { Err(Error::argument("validation", "interrupted")) } else { Ok(()) }
            };
            let validation =
                measure(model, objective, examples, self.config.batch_size, &self.device, &mut on_rows);
            if is_interrupted {
                // It begins anew when the run goes on.
                model.set_carried(&carried)?;
                (self.state.meters, self.state.seconds) = (meters.state(), seconds());
                if observer.wants_state(false) {
                    self.hand_over(observer)?;
                }
                return Ok(Some(Stop::Interrupted));
            }
            let validation = validation?;
            if !is_finite(validation.loss(), objective) {
                let loss = validation.loss();
                return Err(Error::Diverged { loss, epoch, batch: None, first: String::new() });
            }
            validation.figures.prefixed("val_").iter().for_each(|(name, value)| figures.set(name, value));
        }
        if self.callbacks.iter().any(Callback::changes_learning_rate) {
            figures.set(LEARNING_RATE, self.training.optimizer.learning_rate());
        }
        self.state.history.epochs.push(Epoch { epoch, figures, seconds: seconds() });
        self.state.epochs = epoch;
        (self.state.batches, self.state.seconds, self.state.before) = (0, 0.0, None);
        self.state.meters.clear();
        self.judge(epoch, observer)
    }

    /// What the callbacks make of the epoch that is done; why the run ends, if it does.
    fn judge(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<Option<Stop>> {
        let epochs = &self.state.history.epochs;
        let verdicts: Vec<_> = self.callbacks.iter().map(|rule| rule.judge(epochs)).collect();
        let restores = verdicts.iter().any(|verdict| verdict.restores == Some(epoch));
        let saves = verdicts.iter().any(|verdict| verdict.saves);
        let weights = if restores || saves { Some(self.snapshot()?) } else { None };
        if let Some(weights) = weights.as_ref().filter(|_| restores) {
            self.state.restorable = Some((epoch, weights.clone()));
        }
        if let Some(rate) = verdicts.iter().filter_map(|verdict| verdict.learning_rate).next_back() {
            self.training.optimizer.set_learning_rate(rate)?;
        }
        let flow = observer.on_epoch(&self.state.history)?;
        if let (Some(weights), Some(last), true) = (&weights, self.state.history.epochs.last(), saves) {
            self.state.kept = Some(epoch);
            observer.on_best(last, weights, self.training.optimizer)?;
        }
        self.state.stopped = verdicts.iter().any(|verdict| verdict.stop);
        if observer.wants_state(true) {
            self.hand_over(observer)?;
        }
        Ok(if flow.is_break() {
            Some(Stop::Interrupted)
        } else if self.state.stopped {
            Some(Stop::EarlyStopping)
        } else {
            None
        })
    }

    /// One pass over the training data, or what is left of it; nothing if the observer ended it.
    fn batches(
        &mut self,
        epoch: usize,
        order: &[u32],
        seconds: &dyn Fn() -> f64,
        observer: &mut dyn Observer,
    ) -> Result<Option<Meters>> {
        let mut meters: Option<Meters> = None;
        let mut seeds = Stream::named(self.config.seed, &format!("batch/{epoch}"));
        let batches = order.len().div_ceil(self.config.batch_size);
        let (objective, done) = (self.training.objective, self.state.batches);
        for (index, rows) in order.chunks(self.config.batch_size).enumerate() {
            let mode = Mode::Training { seed: seeds.next_u64() };
            // A run that stopped behind its last batch still has that one's figures to tell.
            if index < done {
                continue;
            }
            let inputs = self.train.inputs().iter().map(|input| input.gather(rows, &self.device));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let called = self.training.model.call(&inputs, mode)?;
            let batch = Batch::gather(self.train, rows, &self.device)?;
            let total = Total::of(objective, &called, &batch)?;
            if !is_finite(total.value, objective) {
                let first = self.first_not_finite(&inputs, mode)?;
                return Err(Error::Diverged { loss: total.value, epoch, batch: Some(index + 1), first });
            }
            if meters.is_none() {
                meters = Some(self.meters(batch.meters(objective, &called))?);
            }
            let loss = self.training.optimizer.scale_loss(&total.loss)?;
            self.training.optimizer.step(&backward(&loss)?)?;
            self.training.model.constrain()?;
            let Some(meters) = &mut meters else { continue };
            total.add_to(meters, &called, &batch)?;
            let flow = observer.on_step(&Step { epoch, batch: index + 1, batches, meters })?;
            self.state.batches = index + 1;
            if observer.wants_state(false) {
                (self.state.meters, self.state.seconds) = (meters.state(), seconds());
                self.hand_over(observer)?;
            }
            if flow.is_break() {
                return Ok(None);
            }
        }
        match meters {
            Some(meters) => Ok(Some(meters)),
            // Every batch was done before: their meters are those of any batch, and what they had gathered.
            None => self.gathered(order).map(Some),
        }
    }

    /// The meters of an epoch all of whose batches were done before the run went on.
    fn gathered(&mut self, order: &[u32]) -> Result<Meters> {
        let rows = &order[..self.config.batch_size.min(order.len())];
        let inputs = self.train.inputs().iter().map(|input| input.gather(rows, &self.device));
        let carried = self.training.detached.carried();
        let called = self.training.detached.call(&inputs.collect::<Result<Vec<_>>>()?, Mode::Inference)?;
        self.training.detached.set_carried(&carried)?;
        let meters = Batch::gather(self.train, rows, &self.device)?.meters(self.training.objective, &called);
        self.meters(meters)
    }

    /// The meters of an epoch, with what they had gathered before the run went on.
    fn meters(&mut self, mut fresh: Meters) -> Result<Meters> {
        self.settle(&fresh)?;
        if !self.state.meters.is_empty() {
            fresh.load_state(&self.state.meters)?;
        }
        Ok(fresh)
    }

    /// What was not finite first, in words that go on from a step.
    fn first_not_finite(&self, inputs: &[Tensor], mode: Mode) -> Result<String> {
        for (index, input) in inputs.iter().enumerate() {
            if !layers::is_finite(input)? {
                return Ok(format!(", where input {index} of the data holds values that are not finite"));
            }
        }
        if let Some(name) = self.not_finite()? {
            return Ok(format!(", where the variable {name} was no longer finite"));
        }
        self.training.model.first_not_finite(inputs, mode)
    }

    /// The first variable that holds NaN or infinite numbers.
    fn not_finite(&self) -> Result<Option<String>> {
        let moving = self.training.model.moving();
        for (name, var) in self.training.optimizer.variables().iter().chain(&moving) {
            if !layers::is_finite(var.as_tensor())? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// Tells the callbacks which way their figures are better, before the first step.
    fn settle(&mut self, meters: &Meters) -> Result<()> {
        if self.settled {
            return Ok(());
        }
        let mut known = meters.known();
        if self.validation.is_some() {
            known.extend(meters.known().into_iter().map(|(name, highest)| (format!("val_{name}"), highest)));
        }
        self.callbacks.iter_mut().try_for_each(|callback| callback.settle(&known))?;
        self.settled = true;
        Ok(())
    }
}

/// The greatest cross-entropy of a run that is still learning: one that is sure and wrong everywhere, at float's
/// probabilities, has about 100.
const GREATEST_CROSSENTROPY: f64 = 1e6;

/// Whether training can come back from a loss.
fn is_finite(loss: f64, objective: &Objective) -> bool {
    loss.is_finite() && (loss <= GREATEST_CROSSENTROPY || !objective.is_plainly_of_classes())
}
