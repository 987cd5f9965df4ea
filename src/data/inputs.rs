//! A model's inputs, and arrays as they take them.

use super::array::{Array, check_whole};
use crate::formats::{Kind, Number, StoredArray, StoredTexts};
use crate::model::{Class, LayerConfig, ModelConfig, Shape, TensorRef};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::ops::Range;

/// An input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInput {
    /// The name of its layer.
    pub name: String,
    /// Its axes, the batch first.
    pub shape: Shape,
    /// What it holds.
    pub kind: InputKind,
}

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Numbers.
    Floats,
    /// Token ids.
    Ids,
    /// Whole numbers of any sign.
    Whole,
    /// Texts.
    Texts,
}

/// Numbers, by what may be wrong with them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Whole,
    /// Of no more than 32 bits.
    Floats,
    Doubles,
}

impl Numbers {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::F64 => Self::Doubles,
            kind if kind.is_float() => Self::Floats,
            _ => Self::Whole,
        }
    }
}

fn is_within_f32(value: f64) -> bool {
    !value.is_finite() || (value as f32).is_finite()
}

fn is_whole(value: f64) -> bool {
    value as i64 as f64 == value && value.abs() < 2_f64.powi(53)
}

fn is_id(value: f64) -> bool {
    f64::from(value as u32) == value
}

/// The inputs of a model in order.
pub fn model_inputs(config: &ModelConfig) -> Vec<ModelInput> {
    let input = |layer: &LayerConfig| match &layer.class {
        Class::InputLayer(input) => Some(ModelInput {
            name: layer.name.clone(),
            shape: input.batch_shape.clone(),
            kind: match input.dtype.as_str() {
                "string" => InputKind::Texts,
                "int64" => InputKind::Whole,
                dtype if dtype.contains("int") => InputKind::Ids,
                _ => InputKind::Floats,
            },
        }),
        Class::Embedding(_) => {
            Some(ModelInput { name: layer.name.clone(), shape: vec![None, None], kind: InputKind::Ids })
        }
        _ => None,
    };
    if !config.is_graph() {
        return config.layers.first().and_then(input).into_iter().collect();
    }
    let layer = |reference: &TensorRef| config.layers.iter().find(|layer| layer.name == reference.0);
    config.input_layers.iter().filter_map(|reference| input(layer(reference)?)).collect()
}

impl ModelInput {
    /// The same texts in the shape in which the model takes them: one a sample may stand without a second axis.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape does not fit.
    pub fn accept_texts(&self, texts: StoredTexts) -> Result<StoredTexts> {
        let shape = match (self.shape.as_slice(), texts.shape()) {
            ([_, Some(1)], &[rows]) => vec![rows, 1],
            ([_], &[rows, 1]) => vec![rows],
            (_, shape) => shape.to_vec(),
        };
        self.check_shape(&shape)?;
        texts.reshaped(shape)
    }

    /// The array as the model takes it: floats, or ids as u32.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape does not fit, or a number is no id or beyond f32.
    pub fn accept(&self, tensor: Tensor) -> Result<Tensor> {
        self.check_shape(tensor.dims())?;
        let numbers = match tensor.dtype() {
            DType::F64 => Numbers::Doubles,
            dtype if dtype.is_float() => Numbers::Floats,
            _ => Numbers::Whole,
        };
        if self.is_checked(numbers) {
            let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
            self.check(&values)?;
        }
        Ok(match self.kind {
            InputKind::Floats => tensor.to_dtype(DType::F32)?,
            InputKind::Whole => tensor.to_dtype(DType::I64)?,
            InputKind::Ids | InputKind::Texts => tensor.to_dtype(DType::U32)?,
        })
    }

    /// Whether numbers of this type have to be looked at one by one.
    fn is_checked(&self, numbers: Numbers) -> bool {
        match self.kind {
            InputKind::Floats => numbers == Numbers::Doubles,
            InputKind::Whole => numbers != Numbers::Whole,
            InputKind::Ids | InputKind::Texts => true,
        }
    }

    /// Refuses numbers that are not of the input's kind.
    fn check(&self, values: &[f64]) -> Result<()> {
        let find = |fits: fn(f64) -> bool| {
            // Without a branch first: as a rule all fit.
            match values.iter().fold(true, |all, &value| all & fits(value)) {
                true => None,
                false => values.iter().copied().find(|&value| !fits(value)),
            }
        };
        let (found, what): (_, fn(f64) -> String) = match self.kind {
            InputKind::Floats => {
                (find(is_within_f32), |value| format!("holds {value:e}, which is beyond the range of f32"))
            }
            InputKind::Whole => {
                (find(is_whole), |value| format!("is to hold whole numbers, and holds {value}"))
            }
            InputKind::Ids | InputKind::Texts => {
                (find(is_id), |value| format!("is to hold token ids, and holds {value}"))
            }
        };
        match found {
            None => Ok(()),
            Some(value) => Err(Error::Data(format!("the input `{}` {}", self.name, what(value)))),
        }
    }

    /// `count` rows of an array in a file from `from` on, as the model takes them; they are looked at as they are read.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and for rows that are not there.
    pub fn rows(&self, array: &StoredArray, from: usize, count: usize) -> Result<Tensor> {
        let shape = array.shape();
        self.check_shape(shape)?;
        let [rows, row @ ..] = shape else {
            return Err(Error::Data("an array without axes has no rows".into()));
        };
        if from.checked_add(count).is_none_or(|end| end > *rows) {
            return Err(Error::Data(format!("rows {from} to {} of {rows}", from.saturating_add(count))));
        }
        let width: usize = row.iter().product();
        let range = from * width..(from + count) * width;
        let mut checked = Vec::new();
        if self.is_checked(Numbers::of(array.kind())) {
            checked.reserve_exact(range.len());
            array.extend::<f64>(range.clone(), &mut checked);
            self.check(&checked)?;
        }
        let shape = [&[count], row].concat();
        let tensor = match self.kind {
            InputKind::Floats => {
                Tensor::from_vec(numbers::<f32>(array, &range, &checked), shape, &Device::Cpu)
            }
            InputKind::Whole => {
                Tensor::from_vec(numbers::<i64>(array, &range, &checked), shape, &Device::Cpu)
            }
            InputKind::Ids | InputKind::Texts => {
                Tensor::from_vec(numbers::<u32>(array, &range, &checked), shape, &Device::Cpu)
            }
        };
        array.pass(range);
        Ok(tensor?)
    }

    /// The array of a file as what is trained on; its numbers stay where they are, and are looked at once.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and for whole numbers that floats cannot tell apart, beyond 2²⁴.
    pub(super) fn accept_stored(&self, array: StoredArray) -> Result<Array> {
        self.check_shape(array.shape())?;
        if self.is_checked(Numbers::of(array.kind())) {
            array.try_for_each_part(|_, values| self.check(values))?;
        }
        match self.kind {
            InputKind::Floats => Array::stored_floats(array),
            InputKind::Whole => {
                array.try_for_each_part(|_, values| check_whole(values))?;
                Array::stored_floats(array)
            }
            InputKind::Ids | InputKind::Texts => Array::stored_ids(array),
        }
    }

    fn check_shape(&self, found: &[usize]) -> Result<()> {
        let fits = found.len() == self.shape.len()
            && found
                .iter()
                .zip(&self.shape)
                .skip(1)
                .all(|(found, axis)| axis.is_none_or(|axis| axis == *found));
        if fits {
            return Ok(());
        }
        let (name, needed) = (&self.name, axes(&self.shape));
        Err(Error::Data(format!("the input `{name}` has shape {found:?}, the model needs ({needed})")))
    }
}

/// Numbers of an array, from those that were read to be looked at where there are any.
fn numbers<T: Number>(array: &StoredArray, range: &Range<usize>, checked: &[f64]) -> Vec<T> {
    if checked.len() == range.len() {
        return checked.iter().map(|&value| T::of_f64(value)).collect();
    }
    let mut values = Vec::with_capacity(range.len());
    array.extend(range.clone(), &mut values);
    values
}

/// Axes in words, open ones as `any`.
fn axes(shape: &[Option<usize>]) -> String {
    let axes = shape.iter().map(|axis| axis.map_or_else(|| "any".into(), |axis| axis.to_string()));
    axes.collect::<Vec<_>>().join(", ")
}

/// A table (rows, columns) as a model's one input: a sample a row, or a single sequence with a step a row.
///
/// # Errors
/// [`Error::Data`] where the model has other inputs, or the columns do not make its shape.
pub fn shape_table(inputs: &[ModelInput], table: &StoredArray) -> Result<StoredArray> {
    let &[rows, columns] = table.shape() else {
        return Err(Error::Data(format!("an array of shape {:?} is no table", table.shape())));
    };
    table.reshaped(table_shape(inputs, rows, columns)?)
}

/// The shape that [`shape_table`] gives a table of so many rows and columns.
pub(super) fn table_shape(inputs: &[ModelInput], rows: usize, columns: usize) -> Result<Vec<usize>> {
    let [input] = inputs else {
        let what =
            format!("the model has {} inputs; give a .npz or .safetensors with x0, x1, …", inputs.len());
        return Err(Error::Data(what));
    };
    let shape: Vec<usize> = match input.shape.as_slice() {
        [_, axis] if axis.is_none_or(|axis| axis == columns) => vec![rows, columns],
        [_, time, Some(features)] if columns == *features && time.is_none_or(|time| time == rows) => {
            vec![1, rows, columns]
        }
        [_, None, Some(features)] if columns.is_multiple_of(*features) => {
            vec![rows, columns / features, *features]
        }
        [_, rest @ ..] => {
            let fixed: Option<Vec<usize>> = rest.iter().copied().collect();
            match fixed {
                Some(fixed) if fixed.iter().product::<usize>() == columns => [vec![rows], fixed].concat(),
                _ => {
                    let needed = axes(rest);
                    let what =
                        format!("{columns} numbers a line do not make the model's input of shape ({needed})");
                    return Err(Error::Data(what));
                }
            }
        }
        [] => return Err(Error::Data("the model has no input".into())),
    };
    Ok(shape)
}
