//! RMSprop with Keras's formula (`keras/src/optimizers/rmsprop.py`): one fused pass a variable, in place.

mod fused;

use crate::layers::TokenSquares;
use crate::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, Storage, Tensor, Var};
use candle_nn::VarMap;
use fused::{Constants, FusedStep};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// Arrays are reduced and updated in blocks of this many values, so that a sum does not depend on the threads.
const BLOCK: usize = 1 << 14;

/// RMSprop's options, with Keras's names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropConfig {
    /// Step size; 0.001.
    pub learning_rate: f64,
    /// Decay of the mean of squared gradients; 0.9.
    pub rho: f64,
    /// Decay of the momentum buffer, which holds steps (the learning rate is inside); 0 is plain RMSprop.
    pub momentum: f64,
    /// Added to the mean square inside the root; 1e-7.
    pub epsilon: f64,
    /// Whether to divide by the variance instead of the mean square.
    pub centered: bool,
    /// `w -= w * weight_decay * learning_rate` before the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// The greatest norm of each variable's gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipnorm: Option<f64>,
    /// The greatest absolute value of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipvalue: Option<f64>,
    /// The greatest norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_clipnorm: Option<f64>,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self {
            learning_rate: 0.001,
            rho: 0.9,
            momentum: 0.0,
            epsilon: 1e-7,
            centered: false,
            weight_decay: None,
            clipnorm: None,
            clipvalue: None,
            global_clipnorm: None,
        }
    }
}

impl RmsPropConfig {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`] with the option's name. As in Keras, only one of the three ways to clip can be set.
    pub fn check(&self) -> Result<()> {
        let in_range = |name: &str, value: f64, fits: bool, wanted: &str| match fits && value.is_finite() {
            true => Ok(()),
            false => Err(Error::argument(name, format!("{value} does not work, give {wanted}"))),
        };
        in_range("learning_rate", self.learning_rate, self.learning_rate >= 0.0, "a number of at least 0")?;
        in_range("rho", self.rho, (0.0..=1.0).contains(&self.rho), "a number from 0 to 1")?;
        in_range("momentum", self.momentum, (0.0..=1.0).contains(&self.momentum), "a number from 0 to 1")?;
        in_range("epsilon", self.epsilon, self.epsilon >= 0.0, "a number of at least 0")?;
        if let Some(decay) = self.weight_decay {
            in_range("weight_decay", decay, decay >= 0.0, "a number of at least 0")?;
        }
        let clips = [
            ("clipnorm", self.clipnorm),
            ("clipvalue", self.clipvalue),
            ("global_clipnorm", self.global_clipnorm),
        ];
        for (name, limit) in clips {
            if let Some(limit) = limit {
                in_range(name, limit, limit > 0.0, "a number above 0")?;
            }
        }
        let set: Vec<_> = clips.iter().filter(|(_, limit)| limit.is_some()).map(|(name, _)| *name).collect();
        if set.len() > 1 {
            return Err(Error::argument(set.join(" and "), "give only one of them"));
        }
        Ok(())
    }
}

/// What the optimiser keeps for one variable, `T` being the array type.
struct Slots<T> {
    velocity: T,
    momentum: Option<T>,
    average_gradient: Option<T>,
}

enum State {
    /// Contiguous f32 on the CPU: the fused pass.
    Host(Slots<Vec<f32>>),
    /// Anything else: tensor operations in the variable's own type.
    Tensors(Slots<Tensor>),
}

/// Keras's RMSprop over named variables.
///
/// ```text
/// v = rho v + (1 - rho) g²
/// a = rho a + (1 - rho) g                            (centered)
/// step = learning_rate g / sqrt(v [- a²] + epsilon)
/// m = momentum m + step;  w -= m                     (momentum > 0; else w -= step)
/// ```
///
/// Gradients are clipped and weights decayed before. The result is the same, bit for bit, on any number of threads.
///
/// Keras on TensorFlow keeps the gradient of an [`Embedding`](crate::layers::Embedding) as one slice a token and squares
/// slice by slice: its mean square of a word gathers `Σ g_t²` over the word's places in the batch, not `(Σ g_t)²`. So does
/// this, for tables in f32 on the CPU. With `global_clipnorm` Keras takes the slices for the norm only, and so does this.
/// With `centered` (where they can bring NaN about in Keras) and with `clipvalue` (where Keras clips each slice, which a
/// sum does not show) the square of the sum is taken.
///
/// The squares come of the backward pass, in the same [`GradStore`]. A loop that changes the gradients before the step (a
/// loss that was scaled, clipping of its own, sums over several batches) does so without them; pass gradients as they
/// are, and use [`RmsPropConfig`]'s clipping.
pub struct RmsProp {
    config: RmsPropConfig,
    variables: Vec<(String, Var)>,
    /// Whether the names are the caller's.
    has_names: bool,
    states: Vec<State>,
}

impl RmsProp {
    /// An optimiser of `variables`, by full name (such as `lstm.kernel`), with a state of zeros. Candle's
    /// [`Optimizer::new`](candle_nn::Optimizer::new) takes them without names.
    ///
    /// # Errors
    /// An option out of range, a name given twice, a variable that is not of floating-point numbers.
    pub fn named(variables: Vec<(String, Var)>, config: RmsPropConfig) -> Result<Self> {
        config.check()?;
        let mut names = BTreeSet::new();
        for (name, var) in &variables {
            if !names.insert(name) {
                return Err(Error::argument(name, "this variable is given twice"));
            }
            if !var.dtype().is_float() {
                let what = format!("a variable of {:?} cannot be trained", var.dtype());
                return Err(Error::argument(name, what));
            }
        }
        let states = variables.iter().map(|(_, var)| State::new(var, &config)).collect::<Result<_>>()?;
        Ok(Self { config, variables, has_names: true, states })
    }

    /// The options.
    pub fn config(&self) -> &RmsPropConfig {
        &self.config
    }

    /// The variables, in the order given.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// A negative rate, or one that is not a finite number.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let config = RmsPropConfig { learning_rate, ..self.config.clone() };
        config.check()?;
        self.config = config;
        Ok(())
    }

    fn check_names(&self) -> Result<()> {
        match self.has_names {
            true => Ok(()),
            false => Err(Error::argument(
                "optimizer",
                "its state is kept by name, and its variables have none; make it with RmsProp::named or of_varmap",
            )),
        }
    }

    /// One step: every variable that has a gradient in `grads` is changed in place, the others are left alone.
    ///
    /// # Errors
    /// No variable has a gradient, or a gradient's shape or type is not its variable's.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        if !self.variables.is_empty() && self.variables.iter().all(|(_, var)| grads.get(var).is_none()) {
            let what =
                "no variable has a gradient: is the loss computed from the variables of this optimiser?";
            return Err(Error::argument("gradients", what));
        }
        let mut constants = Constants::new(&self.config);
        if let Some(limit) = self.config.global_clipnorm {
            let mut total = 0.0;
            for (name, var) in &self.variables {
                if let Some(gradient) = Gradient::of(name, var, &self.config, grads)? {
                    total += gradient.square_sum()?;
                }
            }
            constants.scale = clip_scale(total, limit);
        }
        for ((name, var), state) in self.variables.iter().zip(&mut self.states) {
            let Some(gradient) = Gradient::of(name, var, &self.config, grads)? else { continue };
            if let Some(limit) = self.config.clipnorm {
                constants.scale = clip_scale(gradient.square_sum()?, limit);
            }
            let squares = gradient.squares.as_ref().filter(|_| self.config.global_clipnorm.is_none());
            match state {
                State::Host(slots) => {
                    let op = FusedStep { constants: &constants, slots: RefCell::new(slots) };
                    match squares {
                        Some(squares) => var.inplace_op3(&gradient.value, squares, &op)?,
                        None => var.inplace_op2(&gradient.value, &op)?,
                    }
                }
                State::Tensors(slots) => {
                    tensor_step(var, &gradient.value, squares, slots, &self.config, constants.scale)?
                }
            }
        }
        Ok(())
    }

    /// An optimiser of all variables of a [`VarMap`], by their names there.
    ///
    /// # Errors
    /// As [`named`](Self::named).
    pub fn of_varmap(variables: &VarMap, config: RmsPropConfig) -> Result<Self> {
        let variables = variables.data().lock().unwrap_or_else(PoisonError::into_inner);
        let named: BTreeMap<String, Var> =
            variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        Self::named(named.into_iter().collect(), config)
    }

    /// A copy of the state by variable: `lstm.kernel/velocity`, with momentum `…/momentum`, centered
    /// `…/average_gradient`.
    ///
    /// # Errors
    /// An optimiser whose variables have no names; Candle's own.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.check_names()?;
        let mut state = BTreeMap::new();
        for ((name, var), kept) in self.variables.iter().zip(&self.states) {
            match kept {
                State::Host(slots) => {
                    for (slot, values) in slots.iter() {
                        let tensor = Tensor::from_slice(values, var.shape(), var.device())?;
                        state.insert(format!("{name}/{slot}"), tensor);
                    }
                }
                State::Tensors(slots) => {
                    for (slot, tensor) in slots.iter() {
                        state.insert(format!("{name}/{slot}"), tensor.copy()?);
                    }
                }
            }
        }
        Ok(state)
    }

    /// Takes over a state that [`Self::state`] gave; on an error, the old state stays.
    ///
    /// # Errors
    /// An array that is missing, unknown or of another shape; an optimiser whose variables have no names.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.check_names()?;
        let mut known = BTreeSet::new();
        for ((name, var), kept) in self.variables.iter().zip(&self.states) {
            for slot in kept.slot_names() {
                let key = format!("{name}/{slot}");
                let Some(tensor) = state.get(&key) else {
                    return Err(Error::argument(key, "the optimiser's state lacks this array"));
                };
                if tensor.dims() != var.dims() {
                    let what =
                        format!("the variable's shape is {:?}, the state's {:?}", var.dims(), tensor.dims());
                    return Err(Error::argument(key, what));
                }
                known.insert(key);
            }
        }
        if let Some(key) = state.keys().find(|key| !known.contains(*key)) {
            return Err(Error::argument(key, "this array belongs to no variable or option of the optimiser"));
        }
        let mut loaded = Vec::with_capacity(self.states.len());
        for ((name, var), kept) in self.variables.iter().zip(&self.states) {
            let read = |slot: &str| -> Result<Tensor> {
                let tensor = state[&format!("{name}/{slot}")].to_device(var.device())?;
                Ok(tensor.to_dtype(var.dtype())?.detach().copy()?)
            };
            let host = |slot: &str| -> Result<Vec<f32>> { Ok(read(slot)?.flatten_all()?.to_vec1()?) };
            loaded.push(match kept {
                State::Host(slots) => State::Host(slots.rebuild(host)?),
                State::Tensors(slots) => State::Tensors(slots.rebuild(read)?),
            });
        }
        self.states = loaded;
        Ok(())
    }
}

impl super::Optimizer for RmsProp {
    fn variables(&self) -> &[(String, Var)] {
        self.variables()
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.step(grads)
    }
}

/// Candle's own optimiser interface: `RmsProp::new(varmap.all_vars(), config)`, `backward_step(&loss)`. Variables
/// without names are trained like any others; only their state, which is kept by name, cannot be saved or loaded.
impl candle_nn::Optimizer for RmsProp {
    type Config = RmsPropConfig;

    fn new(variables: Vec<Var>, config: RmsPropConfig) -> candle_core::Result<Self> {
        // As candle-nn's own optimisers do: what is not of floating-point numbers is not trained.
        let numbered = variables.into_iter().filter(|var| var.dtype().is_float()).enumerate();
        let named = numbered.map(|(index, var)| (format!("variable {index}"), var)).collect();
        Ok(Self { has_names: false, ..Self::named(named, config)? })
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        Ok(self.step(grads)?)
    }

    fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    /// Candle's interface has no error here: the rate is taken as it is.
    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }
}

impl State {
    fn new(var: &Var, config: &RmsPropConfig) -> Result<Self> {
        let (momentum, centered) = (config.momentum > 0.0, config.centered);
        let state = if matches!(var.device(), Device::Cpu) && var.dtype() == DType::F32 && var.is_contiguous()
        {
            let zeros = || vec![0.0; var.elem_count()];
            let (momentum, average_gradient) = (momentum.then(zeros), centered.then(zeros));
            State::Host(Slots { velocity: zeros(), momentum, average_gradient })
        } else {
            let zeros = || var.as_detached_tensor().zeros_like();
            let momentum = momentum.then(zeros).transpose()?;
            let average_gradient = centered.then(zeros).transpose()?;
            State::Tensors(Slots { velocity: zeros()?, momentum, average_gradient })
        };
        Ok(state)
    }

    fn slot_names(&self) -> Vec<&'static str> {
        match self {
            State::Host(slots) => slots.iter().map(|(name, _)| name).collect(),
            State::Tensors(slots) => slots.iter().map(|(name, _)| name).collect(),
        }
    }
}

impl<T> Slots<T> {
    fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        let momentum = self.momentum.iter().map(|slot| ("momentum", slot));
        let average = self.average_gradient.iter().map(|slot| ("average_gradient", slot));
        std::iter::once(("velocity", &self.velocity)).chain(momentum).chain(average)
    }

    /// The same slots, each read by name.
    fn rebuild(&self, read: impl Fn(&str) -> Result<T>) -> Result<Self> {
        Ok(Self {
            velocity: read("velocity")?,
            momentum: self.momentum.as_ref().map(|_| read("momentum")).transpose()?,
            average_gradient: self.average_gradient.as_ref().map(|_| read("average_gradient")).transpose()?,
        })
    }
}

/// A variable's gradient, contiguous, and the squares of its slices where it is a table's.
struct Gradient {
    value: Tensor,
    squares: Option<Tensor>,
}

impl Gradient {
    fn of(name: &str, var: &Var, config: &RmsPropConfig, grads: &GradStore) -> Result<Option<Self>> {
        let Some(value) = grads.get(var) else { return Ok(None) };
        let slices = config.clipvalue.is_none() && !config.centered;
        let companion = if slices { TokenSquares::find(var) } else { None };
        let squares = companion.as_ref().and_then(|squares| grads.get(squares.companion()));
        for tensor in std::iter::once(value).chain(squares) {
            if tensor.shape() != var.shape() || tensor.dtype() != var.dtype() {
                let expected = format!("{:?} of {:?}", var.dims(), var.dtype());
                let found = format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
                let what = format!("the gradient needs the variable's shape, {expected}, not {found}");
                return Err(Error::argument(name, what));
            }
        }
        let squares = squares.map(Tensor::contiguous).transpose()?;
        Ok(Some(Self { value: value.contiguous()?, squares }))
    }

    /// The square of the norm; blocks of fixed size, added in order.
    fn square_sum(&self) -> Result<f64> {
        let (tensor, squared) = match &self.squares {
            Some(squares) => (squares, true),
            None => (&self.value, false),
        };
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        {
            let block = |block: &[f32]| -> f64 {
                block.iter().map(|&x| f64::from(x)).map(|x| if squared { x } else { x * x }).sum()
            };
            let values = &values[start..end];
            return Ok(match values.len() > BLOCK {
                true => values.par_chunks(BLOCK).map(block).collect::<Vec<_>>().iter().sum(),
                false => block(values),
            });
        }
        drop(storage);
        let tensor = tensor.to_dtype(DType::F32)?;
        let tensor = if squared { tensor } else { tensor.sqr()? };
        Ok(f64::from(tensor.sum_all()?.to_scalar::<f32>()?))
    }
}

/// The factor that brings a gradient of this squared norm to at most `limit`; NaN if the norm is not finite.
fn clip_scale(square_sum: f64, limit: f64) -> f32 {
    let norm = square_sum.sqrt();
    match norm.is_finite() {
        true => (limit / norm.max(limit)) as f32,
        false => f32::NAN,
    }
}

/// The same step in tensor operations.
fn tensor_step(
    var: &Var,
    gradient: &Tensor,
    squares: Option<&Tensor>,
    slots: &mut Slots<Tensor>,
    config: &RmsPropConfig,
    scale: f32,
) -> Result<()> {
    let mut g = gradient.detach();
    if scale != 1.0 {
        g = (g * f64::from(scale))?;
    }
    if let Some(limit) = config.clipvalue {
        g = g.clamp(-limit, limit)?;
    }
    let square = match squares {
        Some(squares) => (squares.detach() * f64::from(scale).powi(2))?,
        None => g.sqr()?,
    };
    let mean = |old: &Tensor, new: &Tensor| (old * config.rho)? + (new * (1.0 - config.rho))?;
    slots.velocity = mean(&slots.velocity, &square)?;
    let mut denominator = slots.velocity.clone();
    if let Some(average) = &mut slots.average_gradient {
        *average = mean(average, &g)?;
        denominator = (denominator - average.sqr()?)?;
    }
    let mut step = ((g * config.learning_rate)? / (denominator + config.epsilon)?.sqrt()?)?;
    if let Some(momentum) = &mut slots.momentum {
        *momentum = ((&*momentum * config.momentum)? + step)?;
        step = momentum.clone();
    }
    let mut weights = var.as_detached_tensor();
    if let Some(decay) = config.weight_decay {
        weights = (&weights - (&weights * (decay * config.learning_rate))?)?;
    }
    Ok(var.set(&(weights - step)?)?)
}

#[cfg(test)]
mod tests;
