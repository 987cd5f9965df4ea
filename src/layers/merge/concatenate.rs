//! Keras's `Concatenate` (`keras/src/layers/merging/concatenate.py`).

use crate::layers::flow::Flow;
use crate::layers::join::{after, all_beside};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::{MaskJoin, MaskRule};
use crate::layers::shape::{Checked, Shape, axis_index, show};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Concatenate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcatenateConfig {
    /// The axis along which the inputs follow each other.
    pub axis: i64,
    /// How masks are joined. Keras has no such argument: its versions differ.
    #[serde(skip_serializing_if = "MaskJoin::is_default")]
    pub mask_join: MaskJoin,
}

impl Default for ConcatenateConfig {
    fn default() -> Self {
        Self { axis: -1, mask_join: MaskJoin::Any }
    }
}

impl ConcatenateConfig {
    fn output_shape(&self, inputs: &[Shape]) -> Checked<Shape> {
        let Some(first) = inputs.first() else { return Err("needs inputs".into()) };
        let axis = axis_index(self.axis, first.len())?;
        let mut joined = first.clone();
        let mut length = Some(0usize);
        for input in inputs {
            let fits = input.len() == first.len()
                && input
                    .iter()
                    .zip(first)
                    .enumerate()
                    .all(|(other, (a, b))| other == axis || a.is_none() || b.is_none() || a == b);
            if !fits {
                return Err(format!("its inputs {} and {} do not fit each other", show(first), show(input)));
            }
            length = length.zip(input[axis]).and_then(|(a, b)| a.checked_add(b));
            for (joined, size) in joined.iter_mut().zip(input) {
                *joined = joined.or(*size);
            }
        }
        joined[axis] = length;
        Ok(joined)
    }
}

impl Config for ConcatenateConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        self.output_shape(inputs).map(Placed::one)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Concatenates { axis: self.axis, join: self.mask_join }
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Concatenate::new(inputs, *self, vb)?))
    }
}

/// Joins its inputs one after another along an axis.
#[derive(Clone, Debug)]
pub struct Concatenate {
    config: ConcatenateConfig,
    name: String,
}

impl Concatenate {
    /// The layer over inputs of these shapes, the batch first. It has no variables; messages name it by the prefix of
    /// `vb`.
    ///
    /// # Errors
    /// If the inputs do not fit each other.
    pub fn new(inputs: &[Shape], config: ConcatenateConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.output_shape(inputs) {
            Ok(_) => Ok(Self { config, name }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The inputs after each other.
    ///
    /// # Errors
    /// If they do not fit each other.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let rank = inputs.first().map_or(0, Tensor::rank);
        match axis_index(self.config.axis, rank) {
            Ok(axis) if axis + 1 == rank => {
                let strands: Vec<Strand> = inputs.iter().cloned().map(Strand::from).collect();
                Ok(all_beside(&strands)?.tensor().clone())
            }
            Ok(axis) => Tensor::cat(inputs, axis),
            Err(what) => bail!("layer {}: {what}", self.name),
        }
    }
}

impl Layer for Concatenate {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let mut values = inputs.iter().map(|input| input.values.tensor()).collect::<Result<Vec<_>>>()?;
        if values.iter().any(|values| values.dtype().is_float()) {
            let rank = values.first().map_or(0, Tensor::rank);
            if axis_index(self.config.axis, rank).is_ok_and(|axis| axis + 1 == rank) {
                let strands = inputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
                return Ok(vec![all_beside(&strands)?.into()]);
            }
            if let Ok(axis) = axis_index(self.config.axis, rank) {
                let strands = inputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
                if let Some(joined) = after(&strands, axis)? {
                    return Ok(vec![joined.into()]);
                }
            }
            values = inputs.iter().map(Flow::floats).collect::<Result<_>>()?;
        }
        Ok(vec![self.forward(&values)?.into()])
    }
}
