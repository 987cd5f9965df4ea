//! `hard_sigmoid` of Keras 1 and 2 in a file of Keras 3, where the name means another function.
//!
//! Keras 1 and 2: clip(0.2 x + 0.5, 0, 1). Keras 3: relu6(x + 3) / 6 = clip(x / 6 + 0.5, 0, 1). So the old function of x
//! is the new one of 1.2 x, and where x is a sum of products with the layer's own variables these can carry the factor.

use crate::keras::hard_sigmoid::HardSigmoid;
use crate::keras::layout::view::{self, View};
use crate::{Error, Result};
use candle_core::{D, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

const FACTOR: f64 = 1.2;

/// Puts the factor into the variables of `model` wherever the old function is used; a note for each such layer.
///
/// # Errors
/// [`Error::Layer`] where the function acts on something else than such a sum.
pub(super) fn rescale(model: &Value, variables: &mut BTreeMap<String, Tensor>) -> Result<Vec<String>> {
    let mut rescale = Rescale { variables, notes: vec![] };
    for layer in view::layers(model, "")? {
        rescale.layer(&layer)?;
    }
    Ok(rescale.notes)
}

struct Rescale<'a> {
    variables: &'a mut BTreeMap<String, Tensor>,
    notes: Vec<String>,
}

impl Rescale<'_> {
    fn layer(&mut self, layer: &View<'_>) -> Result<()> {
        match layer.class {
            "Sequential" | "Functional" | "Model" => layer.layers()?.iter().try_for_each(|l| self.layer(l)),
            "TimeDistributed" => self.layer(&layer.inner("layer")?),
            "RNN" => self.layer(&layer.inner("cell")?),
            "StackedRNNCells" => layer.cells()?.iter().try_for_each(|cell| self.layer(cell)),
            "Bidirectional" => {
                self.layer(&layer.forward()?)?;
                self.layer(&layer.backward()?)
            }
            class => {
                // Which of how many blocks of the last axis each activation sees.
                let (activation, recurrent, blocks): (&[usize], &[usize], _) = match class {
                    "LSTM" | "LSTMCell" | "ConvLSTM2D" => (&[], &[0, 1, 3], 4),
                    "GRU" | "GRUCell" => (&[2], &[0, 1], 3),
                    "SimpleRNN" | "SimpleRNNCell" | "Dense" | "Conv1D" | "Conv2D" | "Conv3D" => {
                        (&[0], &[], 1)
                    }
                    "DepthwiseConv1D" | "DepthwiseConv2D" | "SeparableConv1D" | "SeparableConv2D"
                    | "EinsumDense" | "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" => {
                        (&[0], &[], 1)
                    }
                    _ => (&[], &[], 1),
                };
                self.use_of(layer, "activation", activation, blocks)?;
                self.use_of(layer, "recurrent_activation", recurrent, blocks)
            }
        }
    }

    fn use_of(&mut self, layer: &View<'_>, key: &str, scaled: &[usize], blocks: usize) -> Result<()> {
        if layer.text(key) != Some(HardSigmoid::Keras2.name()) {
            return Ok(());
        }
        if scaled.is_empty() {
            let what = "is Keras 1's and 2's hard_sigmoid, clip(0.2 x + 0.5, 0, 1): Keras 3 has no name for it, and \
                        here no weights to carry the difference";
            return Err(Error::layer(layer.path.as_str(), format!("its {key} {what}")));
        }
        // Of the two kernels of a separable convolution, the second carries it.
        for variable in ["kernel", "recurrent_kernel", "pointwise_kernel", "bias"] {
            let name = format!("{}.{variable}", layer.path);
            let Some(tensor) = self.variables.get_mut(&name) else { continue };
            let parts = tensor.chunk(blocks, D::Minus1)?;
            let parts = parts.iter().enumerate().map(|(block, part)| match scaled.contains(&block) {
                true => part * FACTOR,
                false => Ok(part.clone()),
            });
            *tensor =
                Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, D::Minus1)?.contiguous()?;
        }
        self.notes.push(format!(
            "layer {}: Keras 3's hard_sigmoid is another function than Keras 1's and 2's; the weights before it are 1.2 \
             times the old ones, which gives the same numbers",
            layer.path
        ));
        Ok(())
    }
}
