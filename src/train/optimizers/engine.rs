//! An optimiser over named variables: what all of Keras's do around their formula (`base_optimizer.py`).

use super::formula::{Step, Tokens};
use super::fused::{Common, HostPass};
use super::gradient::{Gradient, clip_scale};
use super::kept::{Arrays, Kept};
use super::registry::OptimizerConfig;
use super::tensors::{Arena, TensorPass, Value};
use crate::layers::{TokenSquares, backward};
use crate::train::schedules::LearningRate;
use crate::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use candle_nn::VarMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// One of Keras's optimisers over named variables; [`OptimizerClass`](super::OptimizerClass) lists which there are.
///
/// A step goes through what Keras's does, in its order: gradients of a scaled loss are brought back
/// (`loss_scale_factor`), gathered over several batches (`gradient_accumulation_steps`), clipped; weights are decayed; the
/// class's formula; the variables' moving averages (`use_ema`). The result is the same, bit for bit, on any number of
/// threads.
///
/// Keras on TensorFlow keeps the gradient of an [`Embedding`](crate::layers::Embedding) as one slice a token and squares
/// slice by slice: the mean square of a word gathers `Σ g_t²` over the word's places in the batch, not `(Σ g_t)²`, and
/// Adamax's norm `Σ |g_t|`. So does this, for tables in f32 on the CPU; the norm that `clipnorm` and `global_clipnorm` clip
/// by is that of the slices. With `global_clipnorm` and `gradient_accumulation_steps` Keras then goes on with the sums, and
/// so does this. It differs in four places: with `clipvalue` (where Keras clips each slice, which a sum does not show) and
/// with RMSprop's `centered` (where the slices can bring NaN about) the sums are taken; Adamax's `clipnorm` goes by the
/// norm of the sums; and `loss_scale_factor`, with which Keras cannot train an Embedding, works.
///
/// What is gathered of the slices comes of the backward pass, in the same [`GradStore`]. A loop that changes the gradients
/// before the step (a loss that was scaled, clipping of its own, sums over several batches) does so without them; pass
/// gradients as they are, and use [`OptimizerConfig`]'s options.
pub struct Optimizer {
    pub(super) config: OptimizerConfig,
    pub(super) variables: Vec<(String, Var)>,
    /// Whether the names are the caller's.
    has_names: bool,
    pub(super) kept: Vec<Kept>,
    /// Calls of `step`; with gradients gathered over several batches there are fewer updates.
    pub(super) steps: u64,
    /// What the formula carries from step to step.
    pub(super) memory: Option<f64>,
    /// Companions that gather sizes, from before the tables are read.
    _companions: Vec<TokenSquares>,
}

impl Optimizer {
    /// An optimiser of `variables`, by full name (such as `lstm.kernel`), in its first state. `config` is one of the classes
    /// or a whole configuration: `Adam::default()`, `Sgd::default().with_learning_rate(0.1)`.
    ///
    /// # Errors
    /// An option out of range, a name given twice, a variable that is not of floating-point numbers.
    pub fn new(variables: Vec<(String, Var)>, config: impl Into<OptimizerConfig>) -> Result<Self> {
        let config = config.into();
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
        let kept = variables.iter().map(|(_, var)| Kept::new(var, &config)).collect::<Result<_>>()?;
        let sizes = config.gathers() == Tokens::Sizes;
        let mut companions = vec![];
        for (_, var) in &variables {
            let companion = match sizes && var.rank() == 2 {
                true => TokenSquares::of(var)?,
                false => TokenSquares::find(var),
            };
            if let Some(companion) = companion {
                companion.gather_sizes(sizes);
                companions.extend(sizes.then_some(companion));
            }
        }
        let memory = config.class.remembers();
        Ok(Self { config, variables, has_names: true, kept, steps: 0, memory, _companions: companions })
    }

    /// An optimiser of all variables of a [`VarMap`], by their names there.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_varmap(variables: &VarMap, config: impl Into<OptimizerConfig>) -> Result<Self> {
        let variables = variables.data().lock().unwrap_or_else(PoisonError::into_inner);
        let named: BTreeMap<String, Var> =
            variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        Self::new(named.into_iter().collect(), config)
    }

    /// The options; a learning rate that was set since is among them.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// The variables, in the order given.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// How often the variables were updated: Keras's `iterations`.
    pub fn iterations(&self) -> u64 {
        self.steps / self.config.gradient_accumulation_steps.map_or(1, |steps| steps as u64).max(1)
    }

    /// The learning rate of the next step, that of the schedule where there is one.
    pub fn learning_rate(&self) -> f64 {
        self.config.learning_rate.at(self.steps)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// A negative rate, or one that is not a finite number; an optimiser whose learning rate is a schedule, as in Keras.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        if let LearningRate::Schedule(schedule) = &self.config.learning_rate {
            let what = format!(
                "it is a schedule ({}), and cannot be set; make the optimiser with a number",
                schedule.name()
            );
            return Err(Error::argument("learning_rate", what));
        }
        let rate = LearningRate::Constant(learning_rate);
        rate.check()?;
        self.config.learning_rate = rate;
        Ok(())
    }

    /// The loss times `loss_scale_factor`, to take the gradients of: [`step`](Self::step) divides by it again. Without that
    /// option it is the loss itself.
    ///
    /// # Errors
    /// Candle's own.
    pub fn scale_loss(&self, loss: &Tensor) -> Result<Tensor> {
        match self.config.loss_scale_factor {
            Some(factor) => Ok((loss * factor)?),
            None => Ok(loss.clone()),
        }
    }

    /// Refuses where the state is asked for by name and there are none.
    pub(super) fn check_names(&self) -> Result<()> {
        match self.has_names {
            true => Ok(()),
            false => Err(Error::argument(
                "optimizer",
                "its state is kept by name, and its variables have none; make it with Optimizer::new or of_varmap",
            )),
        }
    }

    /// One step: every variable that has a gradient in `grads` is changed in place, the others are left alone. With
    /// `gradient_accumulation_steps` the gradients are only gathered, until there are enough.
    ///
    /// # Errors
    /// No variable has a gradient, or a gradient's shape or type is not its variable's.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        if !self.variables.is_empty() && self.variables.iter().all(|(_, var)| grads.get(var).is_none()) {
            let what =
                "no variable has a gradient: is the loss computed from the variables of this optimiser?";
            return Err(Error::argument("gradients", what));
        }
        let mut gradients = self.gradients(grads)?;
        if self.gather(&mut gradients)? {
            self.update(gradients)?;
        }
        self.average()?;
        self.steps += 1;
        Ok(())
    }

    /// Each variable's gradient, as that of the loss.
    fn gradients(&self, grads: &GradStore) -> Result<Vec<Option<Gradient>>> {
        let config = &self.config;
        let (wanted, sizes) = (config.gathers() != Tokens::Sum, config.gathers() == Tokens::Sizes);
        let mut gradients = Vec::with_capacity(self.variables.len());
        for (name, var) in &self.variables {
            let companion = if wanted { TokenSquares::find(var) } else { None };
            if let Some(companion) = companion.as_ref().filter(|it| it.gathers_sizes() != sizes) {
                companion.gather_sizes(sizes);
                let what = "another optimiser of this table was made since, and the gradients are made for that one; the \
                            next ones are for this";
                return Err(Error::argument(name, what));
            }
            let gradient = Gradient::of(name, var, companion.as_ref().map(TokenSquares::companion), grads)?;
            gradients.push(match (gradient, config.loss_scale_factor) {
                (Some(gradient), Some(factor)) => Some(gradient.unscaled(factor, sizes)?),
                (gradient, _) => gradient,
            });
        }
        Ok(gradients)
    }

    /// Whether the variables change in this step; with gradients gathered over several, they come to their mean.
    fn gather(&mut self, gradients: &mut [Option<Gradient>]) -> Result<bool> {
        let Some(steps) = self.config.gradient_accumulation_steps else { return Ok(true) };
        let updates = (self.steps + 1).is_multiple_of(steps as u64);
        for (kept, gradient) in self.kept.iter_mut().zip(gradients) {
            let Some(gathered) = &mut kept.gathered else { continue };
            if let Some(gradient) = gradient {
                let sum = (gradient.value.detach() + &*gathered)?;
                match updates {
                    true => gradient.value = (sum / steps as f64)?,
                    false => *gathered = sum,
                }
            }
            if updates {
                *gathered = gathered.zeros_like()?;
            }
        }
        Ok(updates)
    }

    /// The formula, over all variables.
    fn update(&mut self, mut gradients: Vec<Option<Gradient>>) -> Result<()> {
        let config = &self.config;
        let has_squares = config.gathers() == Tokens::Squares;
        let only_norm = config.class.tokens() == Tokens::Sum || config.global_clipnorm.is_some();
        let (learning_rate, count) = (self.learning_rate(), self.iterations() + 1);
        let mut common = Common {
            learning_rate,
            weight_decay: config.weight_decay.unwrap_or(0.0),
            scale: 1.0,
            limit: config.clipvalue.unwrap_or(f64::INFINITY),
            sizes: config.gathers() == Tokens::Sizes,
        };
        if let Some(limit) = config.global_clipnorm {
            let mut total = 0.0;
            for gradient in gradients.iter().flatten() {
                total += gradient.square_sum(has_squares)?;
            }
            common.scale = clip_scale(total, limit);
        }
        let double = self.variables.first().is_some_and(|(_, var)| var.dtype() == DType::F64);
        if let Some(memory) = &mut self.memory {
            *memory = match double {
                true => config.class.remember(&Step::<f64>::new(learning_rate, count, *memory)),
                false => f64::from(config.class.remember(&Step::<f32>::new(learning_rate, count, *memory))),
            };
        }
        let memory = self.memory.unwrap_or(0.0);
        let host = Step::<f32>::new(learning_rate, count, memory);
        for (((_, var), kept), gradient) in self.variables.iter().zip(&mut self.kept).zip(&mut gradients) {
            let Some(gradient) = gradient else { continue };
            if let Some(limit) = config.clipnorm {
                common.scale = clip_scale(gradient.square_sum(has_squares)?, limit);
            }
            if only_norm {
                gradient.tokens = None;
            }
            let gradient = &*gradient;
            match &mut kept.arrays {
                Arrays::Host(slots) => {
                    let pass = HostPass { var, gradient, common, slots };
                    config.class.apply(&host, pass)?;
                }
                Arrays::Tensors(slots) => {
                    let arena = &Arena::default();
                    if var.dtype() == DType::F64 {
                        let pass = TensorPass::<true> { arena, var, gradient, common, slots };
                        config.class.apply(&Step::<Value<true>>::new(learning_rate, count, memory), pass)?;
                    } else {
                        let pass = TensorPass::<false> { arena, var, gradient, common, slots };
                        config.class.apply(&Step::<Value<false>>::new(learning_rate, count, memory), pass)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The moving averages after a step, and their way into the variables where it is time.
    fn average(&mut self) -> Result<()> {
        if !self.config.use_ema {
            return Ok(());
        }
        // Keras multiplies in f32; its first average is the variable itself.
        let momentum = if self.iterations() == 0 { 0.0 } else { self.config.ema_momentum as f32 };
        let rest = f64::from(1.0 - momentum);
        for ((_, var), kept) in self.variables.iter().zip(&mut self.kept) {
            if let Some(average) = &mut kept.average {
                *average = ((&*average * f64::from(momentum))? + (var.as_detached_tensor() * rest)?)?;
            }
        }
        match self.config.ema_overwrite_frequency {
            Some(steps) if (self.iterations() + 1).is_multiple_of(steps as u64) => self.finalize(),
            _ => Ok(()),
        }
    }

    /// Writes the moving averages into the variables, as Keras does after `fit`; without `use_ema` it does nothing.
    ///
    /// # Errors
    /// Candle's own.
    pub fn finalize(&self) -> Result<()> {
        if self.steps == 0 {
            // They are zeros yet.
            return Ok(());
        }
        for ((_, var), kept) in self.variables.iter().zip(&self.kept) {
            if let Some(average) = &kept.average {
                var.set(average)?;
            }
        }
        Ok(())
    }
}

/// Candle's own optimiser interface, for a loop with `backward_step(&loss)`. Variables without names are trained like any
/// others; only their state, which is kept by name, cannot be saved or loaded.
impl candle_nn::Optimizer for Optimizer {
    type Config = OptimizerConfig;

    fn new(variables: Vec<Var>, config: OptimizerConfig) -> candle_core::Result<Self> {
        // As candle-nn's own optimisers do: what is not of floating-point numbers is not trained.
        let numbered = variables.into_iter().filter(|var| var.dtype().is_float()).enumerate();
        let named = numbered.map(|(index, var)| (format!("variable {index}"), var)).collect();
        Ok(Self { has_names: false, ..Self::new(named, config)? })
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        Ok(self.step(grads)?)
    }

    fn backward_step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        let grads = backward(&self.scale_loss(loss)?)?;
        Ok(self.step(&grads)?)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate()
    }

    /// Candle's interface has no error here: the rate is taken as it is, also in the place of a schedule.
    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate.into();
    }
}
