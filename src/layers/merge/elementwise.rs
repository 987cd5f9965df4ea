//! Layers that join several tensors element by element: `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`
//! (`keras/src/layers/merging/`).

use crate::layers::flow::Flow;
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::{MaskJoin, MaskRule};
use crate::layers::pair::{Pair, divided, plus_repeated, times_numbers, widened};
use crate::layers::shape::{Checked, Shape, check_numbers, show};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

macro_rules! merging_layers {
    ($($(#[$doc:meta])* $layer:ident, $config:ident;)*) => {$(
        /// The layer's arguments; Keras has none.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $config {
            /// How masks are joined. Keras has no such argument: its versions differ.
            #[serde(skip_serializing_if = "MaskJoin::is_default")]
            pub mask_join: MaskJoin,
        }

        impl Config for $config {
            fn check(&self) -> Checked<()> {
                Ok(())
            }

            fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
                Merge::$layer.output_shape(inputs).map(Placed::one)
            }

            fn mask_rule(&self) -> MaskRule {
                MaskRule::Joins(self.mask_join)
            }

            fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
                Ok(Arc::new($layer::new(inputs, *self, vb)?))
            }
        }

        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            config: $config,
        }

        impl $layer {
            /// The layer over inputs of these shapes, the batch first. It has no variables; messages name it by the
            /// prefix of `vb`.
            ///
            /// # Errors
            /// If the inputs do not fit each other.
            pub fn new(inputs: &[Shape], config: $config, vb: VarBuilder) -> Result<Self> {
                match config.place(inputs) {
                    Ok(_) => Ok(Self { config }),
                    Err(what) => bail!("layer {}: {what}", vb.prefix()),
                }
            }

            /// The inputs joined.
            ///
            /// # Errors
            /// If they do not fit each other.
            pub fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
                Merge::$layer.forward(inputs)
            }
        }

        impl Layer for $layer {
            fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
                Ok(vec![Merge::$layer.run(inputs, self.config.mask_join)?.into()])
            }
        }
    )*};
}

merging_layers! {
    /// The sum of the inputs.
    Add, AddConfig;
    /// The first input less the second.
    Subtract, SubtractConfig;
    /// The product of the inputs.
    Multiply, MultiplyConfig;
    /// The mean of the inputs.
    Average, AverageConfig;
    /// The largest of the inputs, element by element.
    Maximum, MaximumConfig;
    /// The smallest of the inputs, element by element.
    Minimum, MinimumConfig;
}

/// All in the shape that they broadcast to, where that takes one op each at most.
fn widened_all(inputs: &[Strand]) -> Result<Option<Vec<Strand>>> {
    let rank = inputs.iter().map(|input| input.tensor().rank()).max().unwrap_or_default();
    let mut dims = vec![1; rank];
    for input in inputs {
        if input.tensor().rank() != rank || !input.fuses() {
            return Ok(None);
        }
        for (axis, &size) in dims.iter_mut().zip(input.tensor().dims()) {
            if *axis != 1 && size != 1 && *axis != size {
                return Ok(None);
            }
            *axis = size.max(*axis);
        }
    }
    check_numbers(&dims)?;
    inputs.iter().map(|input| widened(input, &dims)).collect()
}

/// How to join element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
}

impl Merge {
    fn run(self, inputs: &[Flow], join: MaskJoin) -> Result<Strand> {
        let values = inputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
        let masks: Vec<Option<Tensor>> = inputs.iter().map(|input| input.mask.clone()).collect();
        if let (Some(first), false) = (values.first(), self.heeds(&masks, join))
            && values.iter().all(|other| Pair::fits(first, other))
        {
            return self.fused(&values);
        }
        if let (Self::Multiply, false, [a, b]) = (self, self.heeds(&masks, join), values.as_slice()) {
            for (xs, numbers) in [(a, b), (b, a)] {
                if let Some(product) = times_numbers(xs, numbers)? {
                    return Ok(product);
                }
            }
        }
        if let (Self::Add, [a, b]) = (self, values.as_slice()) {
            for (xs, vector) in [(a, b), (b, a)] {
                if let Some(sum) = plus_repeated(xs, vector)? {
                    return Ok(sum);
                }
            }
        }
        if !self.heeds(&masks, join)
            && let Some(values) = widened_all(&values)?
        {
            return self.fused(&values);
        }
        let values: Vec<Tensor> = values.iter().map(|values| values.tensor().clone()).collect();
        self.forward_masked(&values, &masks, join).map(Strand::from)
    }

    /// Inputs of one shape, in one pass a pair.
    fn fused(self, inputs: &[Strand]) -> Result<Strand> {
        let pair = match self {
            Self::Average if inputs.len() == 2 => Pair::Mean,
            Self::Add | Self::Average => Pair::Sum,
            Self::Subtract => Pair::Difference,
            Self::Multiply => Pair::Product,
            Self::Maximum => Pair::Larger,
            Self::Minimum => Pair::Smaller,
        };
        let mut rest = inputs.iter();
        let Some(first) = rest.next() else { bail!("a merging layer needs inputs") };
        let merged = rest.try_fold(first.clone(), |merged, other| pair.of(&merged, other))?;
        match self {
            Self::Average if inputs.len() != 2 => divided(&merged, inputs.len() as f32),
            _ => Ok(merged),
        }
    }

    /// Whether masks change what is given.
    fn heeds(self, masks: &[Option<Tensor>], join: MaskJoin) -> bool {
        let heeds = matches!(self, Self::Multiply | Self::Maximum | Self::Minimum) && join == MaskJoin::Any;
        heeds && masks.iter().any(Option::is_some)
    }

    fn output_shape(self, inputs: &[Shape]) -> Checked<Shape> {
        if inputs.len() < 2 && self != Self::Add || inputs.is_empty() {
            return Err(format!("needs at least 2 inputs, given {}", inputs.len()));
        }
        if self == Self::Subtract && inputs.len() != 2 {
            return Err(format!("needs exactly 2 inputs, given {}", inputs.len()));
        }
        let rank = inputs.iter().map(Vec::len).max().unwrap_or_default();
        let mut merged = vec![Some(1); rank];
        for input in inputs {
            let [batch, rest @ ..] = input.as_slice() else { return Err("an input without axes".into()) };
            let missing = rank - input.len();
            let widened = std::iter::once(*batch)
                .chain(std::iter::repeat_n(Some(1), missing))
                .chain(rest.iter().copied());
            for (merged, axis) in merged.iter_mut().zip(widened) {
                *merged = match (*merged, axis) {
                    (Some(1), other) | (other, Some(1)) => other,
                    (None, _) | (_, None) => None,
                    (Some(a), Some(b)) if a == b => Some(a),
                    _ => {
                        let shapes: Vec<String> = inputs.iter().map(|input| show(input)).collect();
                        return Err(format!("its inputs {} do not fit each other", shapes.join(" and ")));
                    }
                };
            }
        }
        Ok(merged)
    }

    fn forward(self, inputs: &[Tensor]) -> Result<Tensor> {
        let rank = inputs.iter().map(Tensor::rank).max().unwrap_or_default();
        let mut widened = inputs.iter().map(|xs| -> Result<Tensor> {
            let mut xs = xs.clone();
            while xs.rank() < rank {
                xs = xs.unsqueeze(1)?;
            }
            Ok(xs)
        });
        let Some(first) = widened.next() else { bail!("a merging layer needs inputs") };
        let mut merged = first?;
        for xs in widened {
            let xs = xs?;
            merged = match self {
                Self::Add | Self::Average => merged.broadcast_add(&xs)?,
                Self::Subtract => merged.broadcast_sub(&xs)?,
                Self::Multiply => merged.broadcast_mul(&xs)?,
                // The first has the gradient where both are equal.
                Self::Maximum => choose(&merged, &xs, true)?,
                Self::Minimum => choose(&merged, &xs, false)?,
            };
        }
        if self == Self::Average { merged / inputs.len() as f64 } else { Ok(merged) }
    }

    /// The same where inputs have masks (`keras/src/layers/merging/base_merge.py`, `multiply.py`): in a product masked
    /// steps are 1, and 0 where they are masked in all inputs; of a maximum or minimum they are left out.
    ///
    /// # Errors
    /// If the inputs do not fit each other.
    fn forward_masked(self, inputs: &[Tensor], masks: &[Option<Tensor>], join: MaskJoin) -> Result<Tensor> {
        if !self.heeds(masks, join) {
            return self.forward(inputs);
        }
        let shape = self.forward(inputs)?.shape().clone();
        let wide = |tensor: &Tensor, at: usize| -> Result<Tensor> {
            let mut tensor = tensor.clone();
            while tensor.rank() < shape.rank() {
                let at = at.min(tensor.rank());
                tensor = tensor.unsqueeze(at)?;
            }
            tensor.broadcast_as(&shape)?.contiguous()
        };
        let inputs = inputs.iter().map(|xs| wide(xs, 1)).collect::<Result<Vec<_>>>()?;
        let last = shape.rank();
        let masks = masks
            .iter()
            .map(|mask| mask.as_ref().map(|mask| wide(mask, last)).transpose())
            .collect::<Result<Vec<_>>>()?;
        if self == Self::Multiply {
            let ones = |(xs, mask): (&Tensor, &Option<Tensor>)| match mask {
                Some(mask) => mask.where_cond(xs, &xs.ones_like()?),
                None => Ok(xs.clone()),
            };
            let product = self.forward(&inputs.iter().zip(&masks).map(ones).collect::<Result<Vec<_>>>()?)?;
            return match join.mask(&masks)? {
                Some(mask) => mask.where_cond(&product, &product.zeros_like()?),
                None => Ok(product),
            };
        }
        let mut pairs = inputs.into_iter().zip(masks);
        let Some((mut merged, mut merged_mask)) = pairs.next() else { bail!("a merging layer needs inputs") };
        for (mut xs, mask) in pairs {
            if let Some(mask) = &mask {
                xs = mask.where_cond(&xs, &merged)?;
            }
            if let Some(mask) = &merged_mask {
                merged = mask.where_cond(&merged, &xs)?;
            }
            merged_mask = join.mask(&[merged_mask, mask])?;
            merged = choose(&merged, &xs, self == Self::Maximum)?;
        }
        Ok(merged)
    }
}

/// The larger, or the smaller, of each pair; NaN where one is.
pub fn choose(a: &Tensor, b: &Tensor, larger: bool) -> Result<Tensor> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "choose")?;
    let (a, b) = (a.broadcast_as(&shape)?.contiguous()?, b.broadcast_as(&shape)?.contiguous()?);
    let wins = if larger { a.ge(&b)? } else { a.le(&b)? };
    wins.maximum(&a.ne(&a)?)?.where_cond(&a, &b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_largest_and_the_smallest_of_anything_and_nan_is_nan() -> Result<()> {
        let xs = Tensor::new(&[1f32, f32::NAN, 2.0, 3.0, f32::NAN, 5.0], &Device::Cpu)?.reshape((1, 6, 1))?;
        let ones = xs.ones_like()?;
        for merge in [Merge::Maximum, Merge::Minimum] {
            for pair in [[xs.clone(), ones.clone()], [ones.clone(), xs.clone()]] {
                let ys = merge.forward(&pair)?.flatten_all()?.to_vec1::<f32>()?;
                let places: Vec<bool> = ys.into_iter().map(f32::is_nan).collect();
                assert_eq!(places, [false, true, false, false, true, false]);
            }
        }
        Ok(())
    }
}
