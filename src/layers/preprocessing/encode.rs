//! How ids leave a layer: as they are, or as vectors (`keras/src/utils/numerical_utils.py`).

use crate::layers::shape::{Checked, Shape, check_numbers, show};
use candle_core::{Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// How ids leave a layer, by Keras's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// The ids.
    #[default]
    Int,
    /// For each id a vector with a 1 at its place.
    OneHot,
    /// For each sample a vector with a 1 at the place of every id that it holds.
    #[serde(alias = "binary")]
    MultiHot,
    /// For each sample how often it holds each id.
    Count,
    /// The same, weighted by how rare an id is.
    #[serde(alias = "tf-idf")]
    TfIdf,
}

impl OutputMode {
    /// The shape of what ids of this shape become, as vectors of `depth` numbers.
    pub fn place(self, input: &[Option<usize>], depth: Option<usize>) -> Checked<Shape> {
        let depth = || depth.ok_or("its vocabulary is not known, and with it the size of what it gives");
        match (self, input) {
            (Self::Int, input) => Ok(input.to_vec()),
            (Self::OneHot, [rest @ .., Some(1)]) if !rest.is_empty() => {
                Ok([rest, &[Some(depth()?)]].concat())
            }
            (Self::OneHot, input) => Ok([input, &[Some(depth()?)]].concat()),
            (_, [batch, _]) => Ok(vec![*batch, Some(depth()?)]),
            (_, input) => Err(format!(
                "counts the ids of each sample, and needs them in 2 axes with the batch, given {}",
                show(input)
            )),
        }
    }

    /// `ids`, row-major in the shape `dims`, encoded. Those that are not below `depth` count nowhere. With `weights` each
    /// id counts as much as its weight says; `idf` are weights of the places.
    ///
    /// # Errors
    /// If the shape is none that can be encoded, or too large.
    pub fn encode(
        self,
        ids: Vec<i64>,
        dims: &[usize],
        depth: usize,
        weights: Option<&[f32]>,
        idf: Option<&[f32]>,
        device: &Device,
    ) -> Result<Tensor> {
        if self == Self::Int {
            return Tensor::from_vec(ids, dims, device);
        }
        let open: Shape = dims.iter().copied().map(Some).collect();
        let shape = self.place(&open, Some(depth)).map_err(candle_core::Error::msg)?;
        let shape: Vec<usize> = shape.into_iter().flatten().collect();
        check_numbers(&shape)?;
        let rows = shape.iter().take(shape.len().saturating_sub(1)).product::<usize>();
        let mut values = vec![0_f32; shape.iter().product()];
        let each = ids.len() / rows.max(1);
        if let Some(id) = ids.iter().find(|&&id| id < 0 && self != Self::OneHot) {
            bail!("the id {id} is below 0")
        }
        for (index, id) in ids.into_iter().enumerate() {
            let Some(place) = usize::try_from(id).ok().filter(|&id| id < depth) else { continue };
            let Some(value) = values.get_mut(index / each.max(1) * depth + place) else { continue };
            match self {
                Self::OneHot | Self::MultiHot => *value = 1.0,
                Self::Int | Self::Count | Self::TfIdf => {
                    *value += weights.and_then(|weights| weights.get(index)).copied().unwrap_or(1.0);
                }
            }
        }
        if let Some(idf) = idf {
            for row in values.chunks_exact_mut(depth.max(1)) {
                row.iter_mut().zip(idf).for_each(|(value, weight)| *value *= weight);
            }
        }
        Tensor::from_vec(values, shape, device)
    }
}

/// The whole numbers of a tensor; floats lose their fraction, as in TensorFlow.
pub(super) fn whole(xs: &Tensor) -> Result<Vec<i64>> {
    if xs.dtype().is_int() {
        return xs.to_dtype(candle_core::DType::I64)?.flatten_all()?.to_vec1();
    }
    let values = xs.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(values.into_iter().map(|value| value as i64).collect())
}
