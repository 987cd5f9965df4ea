//! Keras's `RepeatVector` (`keras/src/layers/reshaping/repeat_vector.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, check_numbers, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::pooling::{self, Places};
use candle_recurrent_kernel::{Repeats, unwritten};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`RepeatVector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatVectorConfig {
    /// How many steps.
    pub n: usize,
}

impl RepeatVectorConfig {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }

    fn over(&self, xs: &Strand) -> Result<Strand> {
        let (batch, features) = xs.tensor().dims2()?;
        check_numbers(&[batch, self.n, features])?;
        if !xs.fuses() {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        let of = Places { places: self.n, channels: features };
        let repeats = Repeats { lengths: [1; 3], times: [1, 1, self.n], channels: features };
        fused(
            "repeat",
            [xs],
            (batch, self.n, features),
            |[x], out| repeats.repeat(x, out),
            move |Back { x: [x], d, .. }: Back<'_, 1>| {
                let mut d_x = unwritten(x.len());
                pooling::global_sum(of, &d, &mut d_x);
                [d_x]
            },
        )
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, features) = xs.dims2()?;
        xs.unsqueeze(1)?.broadcast_as((batch, self.n, features))?.contiguous()
    }
}

impl Config for RepeatVectorConfig {
    fn check(&self) -> Checked<()> {
        match self.n {
            1..=0xff_ffff => Ok(()),
            n => Err(format!("n must be between 1 and 16777215, not {n}")),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        match **input {
            [batch, features] => Ok(Placed::one(vec![batch, Some(self.n), features])),
            _ => Err(axes_needed(2, input)),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(RepeatVector::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// Repeats a vector as a sequence: (batch, features) to (batch, n, features).
    RepeatVector, RepeatVectorConfig, any
}
