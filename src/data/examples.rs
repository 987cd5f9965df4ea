//! What a model is trained on: its inputs, the targets of its outputs, and how much each example counts.

use super::array::Array;
use super::dataset::Dataset;
use crate::formats::sums::in_hex;
use crate::{Error, Result};

/// Inputs and targets, row by row. A clone shares the numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examples {
    inputs: Vec<Array>,
    targets: Vec<Array>,
    /// None, one for all outputs, or one an output.
    weights: Vec<Array>,
}

impl Examples {
    /// Inputs in the order of the model's, targets in the order of its outputs; all of as many rows.
    ///
    /// # Errors
    /// [`Error::Data`] with the array's name (`x`, or `x0`, `x1`, …; likewise `y`): no input, arrays of different lengths, a
    /// number that is not finite.
    pub fn new(inputs: Vec<Array>, targets: Vec<Array>) -> Result<Self> {
        let Some(rows) = inputs.first().map(Array::rows) else {
            return Err(Error::Data("there is no input".into()));
        };
        for (letter, arrays) in [("x", &inputs), ("y", &targets)] {
            for (index, array) in arrays.iter().enumerate() {
                let name = if arrays.len() == 1 { letter.to_string() } else { format!("{letter}{index}") };
                check(&name, array, rows, if inputs.len() == 1 { "x" } else { "x0" })?;
            }
        }
        let targets = targets.iter().map(Array::to_floats).collect();
        Ok(Self { inputs, targets, weights: vec![] })
    }

    /// The same with a weight for each row, (rows), or for each step, (rows, time): Keras's `sample_weight`, which
    /// multiplies an example's loss. One array serves all outputs; several are those of each.
    ///
    /// # Errors
    /// [`Error::Data`] for weights of another number of rows, negative or not finite, or for another number of outputs.
    pub fn with_weights(self, weights: &[Array]) -> Result<Self> {
        let (count, outputs) = (weights.len(), self.targets.len());
        if count > 1 && count != outputs {
            let what = format!(
                "there are {count} arrays of sample weights for {outputs} outputs; give one, or one an output"
            );
            return Err(Error::Data(what));
        }
        let weights: Vec<Array> = weights.iter().map(Array::to_floats).collect();
        let mut any = self.is_empty() || count == 0;
        for (index, weights) in weights.iter().enumerate() {
            let name = if count == 1 { "sample_weight".into() } else { format!("sample_weight{index}") };
            check(&name, weights, self.rows(), "x")?;
            weights.try_for_each_part(|first, values| {
                match values.iter().position(|&weight| weight < 0.0) {
                    None => {
                        any |= values.iter().any(|&weight| weight > 0.0);
                        Ok(())
                    }
                    Some(at) => {
                        let (row, weight) = (first + at, values[at]);
                        Err(Error::Data(format!(
                            "{name} holds {weight} (number {row}), expected no negative one"
                        )))
                    }
                }
            })?;
        }
        if !any {
            return Err(Error::Data("sample_weight holds nothing but 0: no row would count".into()));
        }
        Ok(Self { weights, ..self })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.inputs.first().map_or(0, Array::rows)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The inputs, in the order of the model's.
    pub fn inputs(&self) -> &[Array] {
        &self.inputs
    }

    /// The targets, floats, in the order of the model's outputs.
    pub fn targets(&self) -> &[Array] {
        &self.targets
    }

    /// The weights of rows or steps: none where all count alike, one array for all outputs, or one an output.
    pub fn weights(&self) -> &[Array] {
        &self.weights
    }

    /// A SHA-256 of all shapes and numbers, in hexadecimal digits: equal data have equal sums.
    pub fn sum(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut sum = Sha256::new();
        for (kind, arrays) in
            [("inputs", self.inputs()), ("targets", self.targets()), ("weights", self.weights())]
        {
            for array in arrays {
                sum.update(format!("{kind} {} {:?}\n", array.rows(), array.row_shape()));
                let mut bytes = vec![];
                let read = array.try_for_each_part(|_, values| {
                    bytes.clear();
                    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    sum.update(&bytes);
                    Ok::<(), std::convert::Infallible>(())
                });
                match read {
                    Ok(()) => {}
                }
            }
        }
        in_hex(&sum.finalize())
    }

    /// `count` rows from `from` on.
    ///
    /// # Errors
    /// [`Error::Data`] for rows that are not there.
    pub fn part(&self, from: usize, count: usize) -> Result<Self> {
        let part =
            |arrays: &[Array]| arrays.iter().map(|array| array.part(from, count)).collect::<Result<_>>();
        Ok(Self { inputs: part(&self.inputs)?, targets: part(&self.targets)?, weights: part(&self.weights)? })
    }
}

fn check(name: &str, array: &Array, rows: usize, first: &str) -> Result<()> {
    if array.rows() != rows {
        let what = format!("{name} has {} rows and {first} has {rows}; give as many of each", array.rows());
        return Err(Error::Data(what));
    }
    if let Some((row, column, value)) = array.not_finite() {
        let place = if array.row_shape().is_empty() { String::new() } else { format!(", number {column}") };
        let what = format!("{name} holds {value} (row {row}{place}, counted from 0); give finite numbers");
        return Err(Error::Data(what));
    }
    Ok(())
}

impl From<&Dataset> for Examples {
    fn from(dataset: &Dataset) -> Self {
        let (rows, max_len) = (dataset.len(), dataset.max_len());
        let labels: Vec<f32> = dataset.labels().iter().map(|&label| f32::from(label)).collect();
        // Of a Dataset's own lengths: neither can fail.
        let inputs = Array::ids(dataset.ids(), &[rows, max_len]).into_iter().collect();
        let targets = Array::floats(labels, &[rows, 1]).into_iter().collect();
        Self { inputs, targets, weights: vec![] }
    }
}
