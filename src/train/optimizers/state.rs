//! An optimiser's state, given out and taken over: by the variable's name, and in the order of Keras's files.

use super::engine::Optimizer;
use super::kept::Kept;
use crate::train::schedules::LearningRate;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// One of the variables of an optimiser of Keras's, as `optimizer.variables` lists them and its files number them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KerasVariable {
    /// Keras's name of what it is: `iteration`, `learning_rate`, `velocity`, `average`, `gradient_accumulator`. Nadam's
    /// product, to which Keras gives no name, is `u_product`.
    pub name: &'static str,
    /// The variable of the model that it belongs to, by full name; none where it belongs to all.
    pub of: Option<String>,
    /// Its value.
    pub value: Tensor,
}

/// A part of the state.
#[derive(Clone, Copy)]
enum Part {
    Iterations,
    LearningRate,
    Average(usize),
    Gathered(usize),
    Slot(usize, usize),
    Product,
}

/// A part and Keras's name for it.
struct Entry {
    part: Part,
    name: &'static str,
}

impl Entry {
    fn variable(&self) -> Option<usize> {
        match self.part {
            Part::Average(variable) | Part::Gathered(variable) | Part::Slot(variable, _) => Some(variable),
            Part::Iterations | Part::LearningRate | Part::Product => None,
        }
    }
}

/// What is loaded before any of it is taken over.
struct Loaded {
    steps: u64,
    learning_rate: LearningRate,
    memory: Option<f64>,
    kept: Vec<Kept>,
}

impl Optimizer {
    /// A copy of the state by variable: `lstm.kernel/velocity` and so on, by Keras's names; with `use_ema` `…/average`, with
    /// `gradient_accumulation_steps` `…/gradient_accumulator`. Scalars beside them: `iterations` (batches seen),
    /// `learning_rate` where it is no schedule, Nadam's `u_product`.
    ///
    /// # Errors
    /// An optimiser whose variables have no names; Candle's own.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.check_names()?;
        let entries = self.entries();
        entries.iter().map(|entry| Ok((self.key(entry), self.value(entry)?))).collect()
    }

    /// Takes over a state that [`Self::state`] gave; on an error, the old state stays.
    ///
    /// # Errors
    /// An array that is missing, unknown or of another shape; an optimiser whose variables have no names.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.check_names()?;
        let entries = self.entries();
        let known: BTreeSet<String> = entries.iter().map(|entry| self.key(entry)).collect();
        let mut values = Vec::with_capacity(entries.len());
        for key in entries.iter().map(|entry| self.key(entry)) {
            match state.get(&key) {
                Some(value) => values.push(value),
                None => return Err(Error::argument(key, "the optimiser's state lacks this array")),
            }
        }
        if let Some(key) = state.keys().find(|key| !known.contains(*key)) {
            return Err(Error::argument(key, "this array belongs to no variable or option of the optimiser"));
        }
        self.load(&entries, &values)
    }

    /// The state as Keras lists it in `optimizer.variables`, the order in which its files number it.
    ///
    /// # Errors
    /// Candle's own.
    pub fn keras_variables(&self) -> Result<Vec<KerasVariable>> {
        let of = |entry: &Entry| entry.variable().map(|index| self.variables[index].0.clone());
        let variable = |entry: &Entry| {
            Ok(KerasVariable { name: entry.name, of: of(entry), value: self.keras_value(entry)? })
        };
        self.entries().iter().map(variable).collect()
    }

    /// Takes over the values of Keras's `optimizer.variables`, in that order; on an error, the old state stays.
    ///
    /// # Errors
    /// Another number of them, or one of another shape.
    pub fn load_keras_variables(&mut self, values: &[Tensor]) -> Result<()> {
        let entries = self.entries();
        if entries.len() != values.len() {
            let (expected, found) = (entries.len(), values.len());
            let what = format!(
                "its state is {expected} arrays, {found} are given: is it of the same class and options?"
            );
            return Err(Error::argument("optimizer", what));
        }
        self.load(&entries, &values.iter().collect::<Vec<_>>())
    }

    /// Everything, in Keras's order.
    fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry { part: Part::Iterations, name: "iteration" }];
        let mut put = |part, name| entries.push(Entry { part, name });
        if let LearningRate::Constant(_) = self.config.learning_rate {
            put(Part::LearningRate, "learning_rate");
        }
        let variables = 0..self.variables.len();
        if self.config.use_ema {
            variables.clone().for_each(|index| put(Part::Average(index), "average"));
        }
        if self.config.gradient_accumulation_steps.is_some() {
            variables.clone().for_each(|index| put(Part::Gathered(index), "gradient_accumulator"));
        }
        let slots = self.config.class.slots();
        let groups = slots.iter().map(|slot| slot.group + 1).max().unwrap_or(0);
        for group in 0..groups {
            for index in variables.clone() {
                let of_group = slots.iter().enumerate().filter(|(_, slot)| slot.group == group);
                of_group.for_each(|(at, slot)| put(Part::Slot(index, at), slot.name));
            }
        }
        if self.memory.is_some() {
            put(Part::Product, "u_product");
        }
        entries
    }

    /// An entry's name in the state.
    fn key(&self, entry: &Entry) -> String {
        match (entry.variable(), entry.part) {
            (Some(index), _) => format!("{}/{}", self.variables[index].0, entry.name),
            (None, Part::Iterations) => "iterations".into(),
            (None, _) => entry.name.into(),
        }
    }

    fn value(&self, entry: &Entry) -> Result<Tensor> {
        Ok(match entry.part {
            Part::Iterations => Tensor::new(i64::try_from(self.steps).unwrap_or(i64::MAX), &Device::Cpu)?,
            Part::LearningRate => Tensor::new(self.learning_rate(), &Device::Cpu)?,
            Part::Product => Tensor::new(self.memory.unwrap_or(1.0), &Device::Cpu)?,
            Part::Average(index) => copy(&self.kept[index].average)?,
            Part::Gathered(index) => copy(&self.kept[index].gathered)?,
            Part::Slot(index, slot) => self.kept[index].slot(slot, &self.variables[index].1)?,
        })
    }

    /// The value in the type that Keras has it in.
    fn keras_value(&self, entry: &Entry) -> Result<Tensor> {
        let value = self.value(entry)?;
        Ok(match entry.part {
            Part::LearningRate => value.to_dtype(DType::F32)?,
            Part::Product => {
                value.to_dtype(self.variables.first().map_or(DType::F32, |(_, var)| var.dtype()))?
            }
            _ => value,
        })
    }

    /// Takes over a value for each entry, all or none.
    fn load(&mut self, entries: &[Entry], values: &[&Tensor]) -> Result<()> {
        for (entry, value) in entries.iter().zip(values) {
            let expected = entry.variable().map_or(&[][..], |index| self.variables[index].1.dims());
            if value.dims() != expected {
                let of = if entry.variable().is_some() { "the variable's shape" } else { "its shape" };
                let what = format!("{of} is {expected:?}, the state's {:?}", value.dims());
                return Err(Error::argument(self.key(entry), what));
            }
        }
        let kept = self.variables.iter().map(|(_, var)| Kept::new(var, &self.config));
        let mut loaded = Loaded {
            steps: 0,
            learning_rate: self.config.learning_rate.clone(),
            memory: None,
            kept: kept.collect::<Result<_>>()?,
        };
        for (entry, value) in entries.iter().zip(values) {
            let of = |index: usize| array(value, &self.variables[index].1);
            match entry.part {
                Part::Iterations => {
                    let steps = number(value)?;
                    if !(0.0..=2f64.powi(53)).contains(&steps) {
                        let what = format!("{steps} is no number of steps, expected a whole number from 0");
                        return Err(Error::argument(self.key(entry), what));
                    }
                    loaded.steps = steps as u64;
                }
                Part::LearningRate => {
                    loaded.learning_rate = LearningRate::Constant(number(value)?);
                    loaded.learning_rate.check()?;
                }
                Part::Product => loaded.memory = Some(number(value)?),
                Part::Average(index) => loaded.kept[index].average = Some(of(index)?),
                Part::Gathered(index) => loaded.kept[index].gathered = Some(of(index)?),
                Part::Slot(index, slot) => loaded.kept[index].set_slot(slot, of(index)?)?,
            }
        }
        (self.steps, self.memory, self.kept) = (loaded.steps, loaded.memory, loaded.kept);
        self.config.learning_rate = loaded.learning_rate;
        Ok(())
    }
}

/// A copy of an array that is there with its option.
fn copy(array: &Option<Tensor>) -> Result<Tensor> {
    match array {
        Some(array) => Ok(array.copy()?),
        None => Err(Error::argument("optimizer", "an array of its options is missing")),
    }
}

/// A copy in the variable's type, where it is.
fn array(value: &Tensor, var: &Var) -> Result<Tensor> {
    Ok(value.to_device(var.device())?.to_dtype(var.dtype())?.detach().copy()?)
}

fn number(value: &Tensor) -> Result<f64> {
    Ok(value.to_dtype(DType::F64)?.to_scalar()?)
}
