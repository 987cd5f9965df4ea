//! Keras's `Masking` (`keras/src/layers/core/masking.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::{MaskRule, not_equal};
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Numbers that one thread works through at a time.
const SHARE: usize = 1 << 15;

/// The argument of [`Masking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// A step whose features are all this value is skipped by the layers after this one. Nothing equals NaN, so that it
    /// skips none.
    #[serde(with = "crate::layers::number")]
    pub mask_value: f64,
}

impl MaskingConfig {
    /// The input, with 0 at the steps to be skipped.
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        let dims = xs.tensor().dims();
        let value = self.mask_value as f32;
        let [_, .., width] = *dims else { return self.by_tensors(xs.tensor()).map(Strand::from) };
        if !xs.fuses() {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        // Steps that are skipped become 0; the others are those of `x`, unless what is wanted is there already.
        let keep = move |x: &[f32], given: bool, into: &mut [f32]| {
            let rows = (SHARE / width).max(1) * width;
            x.par_chunks(rows).zip(into.par_chunks_mut(rows)).for_each(|(x, into)| {
                if !given {
                    into.copy_from_slice(x);
                }
                for (x, into) in x.chunks_exact(width).zip(into.chunks_exact_mut(width)) {
                    if x.iter().all(|&x| x == value) {
                        into.fill(0.0);
                    }
                }
            });
        };
        fused(
            "masking",
            [xs],
            dims.to_vec(),
            |[x], out| keep(x, false, out),
            move |Back { x: [x], mut d, .. }: Back<'_, 1>| {
                keep(x, true, &mut d);
                [d]
            },
        )
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let mask = not_equal(xs, self.mask_value, true)?;
        let mask = mask.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()?;
        mask.where_cond(xs, &xs.zeros_like()?)
    }
}

impl Config for MaskingConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Begins { value: self.mask_value, features: true }
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Masking::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// Masks the steps whose features all equal one value: they become 0, and the layers after it in a model skip
    /// them.
    Masking, MaskingConfig, strand
}
