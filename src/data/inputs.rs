//! A model's inputs, and arrays as they take them.

use crate::layers::Texts;
use crate::model::{Class, LayerConfig, ModelConfig, Shape, TensorRef};
use crate::{Error, Result};
use candle_core::{DType, Tensor};

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
    /// Texts as the model takes them: one a sample may stand without a second axis.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape does not fit.
    pub fn accept_texts(&self, texts: Vec<String>, shape: Vec<usize>) -> Result<Texts> {
        let shape = match (self.shape.as_slice(), shape.as_slice()) {
            ([_, Some(1)], [rows]) => vec![*rows, 1],
            ([_], [rows, 1]) => vec![*rows],
            _ => shape,
        };
        self.check_shape(&shape)?;
        Ok(Texts::new(texts, shape)?)
    }

    /// The array as the model takes it: floats, or ids as u32.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape does not fit, or a number is no id or beyond f32.
    pub fn accept(&self, tensor: Tensor) -> Result<Tensor> {
        self.check_shape(tensor.dims())?;
        let wrong = |what: String| Err(Error::Data(format!("the input `{}` {what}", self.name)));
        let values = || tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        match self.kind {
            InputKind::Floats => {
                if tensor.dtype() == DType::F64 {
                    let beyond = |value: &&f64| value.is_finite() && !(**value as f32).is_finite();
                    if let Some(value) = values()?.iter().find(beyond) {
                        return wrong(format!("holds {value:e}, which is beyond the range of f32"));
                    }
                }
                Ok(tensor.to_dtype(DType::F32)?)
            }
            InputKind::Whole => {
                if tensor.dtype().is_float() {
                    let is_whole = |value: &f64| value.fract() == 0.0 && value.abs() < 2_f64.powi(53);
                    if let Some(value) = values()?.iter().find(|value| !is_whole(value)) {
                        return wrong(format!("is to hold whole numbers, and holds {value}"));
                    }
                }
                Ok(tensor.to_dtype(DType::I64)?)
            }
            InputKind::Ids | InputKind::Texts => {
                let is_id =
                    |value: &&f64| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(*value);
                if let Some(value) = values()?.iter().find(|value| !is_id(value)) {
                    return wrong(format!("is to hold token ids, and holds {value}"));
                }
                Ok(tensor.to_dtype(DType::U32)?)
            }
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

/// Axes in words, open ones as `any`.
fn axes(shape: &[Option<usize>]) -> String {
    let axes = shape.iter().map(|axis| axis.map_or_else(|| "any".into(), |axis| axis.to_string()));
    axes.collect::<Vec<_>>().join(", ")
}

/// A table (rows, columns) as a model's one input: a sample a row, or a single sequence with a step a row.
///
/// # Errors
/// [`Error::Data`] where the model has other inputs, or the columns do not make its shape.
pub fn shape_table(inputs: &[ModelInput], table: &Tensor) -> Result<Tensor> {
    let (rows, columns) = table.dims2()?;
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
    Ok(table.reshape(shape)?)
}
