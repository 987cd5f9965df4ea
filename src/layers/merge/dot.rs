//! Keras's `Dot` (`keras/src/layers/merging/dot.py`).

use crate::layers::flow::Flow;
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, axis_index, check_numbers, show};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Dot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotConfig {
    /// The axis of each input over which products are summed, or one axis for both.
    pub axes: Axes,
    /// Whether to scale both to length 1 along that axis first.
    #[serde(default)]
    pub normalize: bool,
}

impl DotConfig {
    fn indices(&self, left: usize, right: usize) -> Checked<(usize, usize)> {
        let (a, b) = match &self.axes {
            Axes::One(axis) => (*axis, *axis),
            Axes::Many(axes) => match axes.as_slice() {
                [a, b] => (*a, *b),
                _ => return Err(format!("axes {axes:?} must be one axis or two")),
            },
        };
        match (axis_index(a, left)?, axis_index(b, right)?) {
            (0, _) | (_, 0) => Err("axis 0 is the batch".into()),
            axes => Ok(axes),
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Checked<Shape> {
        let [left, right] = inputs else {
            return Err(format!("needs exactly 2 inputs, given {}", inputs.len()));
        };
        let (a, b) = self.indices(left.len(), right.len())?;
        if left[a].is_some() && right[b].is_some() && left[a] != right[b] {
            return Err(format!(
                "its inputs {} and {} differ along axes {a} and {b}",
                show(left),
                show(right)
            ));
        }
        let rest = |dims: &[Option<usize>], axis: usize| -> Shape {
            dims.iter().enumerate().filter(|&(i, _)| i != axis && i != 0).map(|(_, &size)| size).collect()
        };
        let mut shape = vec![left[0].or(right[0])];
        shape.extend(rest(left, a));
        shape.extend(rest(right, b));
        if shape.len() == 1 {
            shape.push(Some(1));
        }
        Ok(shape)
    }
}

impl Config for DotConfig {
    fn check(&self) -> Checked<()> {
        match &self.axes {
            Axes::Many(axes) if axes.len() != 2 => Err(format!("axes {axes:?} must be one axis or two")),
            _ => Ok(()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        self.output_shape(inputs).map(Placed::one)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Dot::new(inputs, self.clone(), vb)?))
    }
}

/// Products of two inputs, summed along an axis.
#[derive(Clone, Debug)]
pub struct Dot {
    config: DotConfig,
    name: String,
}

impl Dot {
    /// The layer over inputs of these shapes, the batch first. It has no variables; messages name it by the prefix of
    /// `vb`.
    ///
    /// # Errors
    /// If the inputs do not fit each other.
    pub fn new(inputs: &[Shape], config: DotConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check().and_then(|()| config.output_shape(inputs)) {
            Ok(_) => Ok(Self { config, name }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The products of the two inputs.
    ///
    /// # Errors
    /// If they do not fit each other.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let strands: Vec<Strand> = inputs.iter().cloned().map(Strand::from).collect();
        Ok(self.over(&strands)?.tensor().clone())
    }

    fn over(&self, inputs: &[Strand]) -> Result<Strand> {
        let [left, right] = inputs else {
            bail!("layer {}: needs exactly 2 inputs, given {}", self.name, inputs.len())
        };
        match self.by_rows(left, right)? {
            Some(products) => Ok(products),
            None => self.by_tensors(left.tensor(), right.tensor()).map(Strand::from),
        }
    }

    /// The same as one op, where both sums run along the last axis.
    fn by_rows(&self, left: &Strand, right: &Strand) -> Result<Option<Strand>> {
        let (of_left, of_right) = (left.tensor().dims(), right.tensor().dims());
        let ([batch, rows @ .., length], [batch_of_right, columns @ .., length_of_right]) =
            (of_left, of_right)
        else {
            return Ok(None);
        };
        let last = (of_left.len() - 1, of_right.len() - 1);
        let fits = batch == batch_of_right && length == length_of_right && left.fuses() && right.fuses();
        if !fits || self.config.normalize || self.config.indices(of_left.len(), of_right.len()) != Ok(last) {
            return Ok(None);
        }
        let mut shape = [&[*batch], rows, columns].concat();
        if shape.len() == 1 {
            shape.push(1);
        }
        let count = |axes: &[usize]| axes.iter().product::<usize>();
        let sizes =
            kernel::Dot { batch: *batch, rows: count(rows), columns: count(columns), length: *length };
        check_numbers(&shape)?;
        let back = move |Back { x: [left, right], d, .. }: Back<'_, 2>| sizes.backward(left, right, &d);
        fused("dot", [left, right], shape, |[left, right], out| sizes.forward(left, right, out), back)
            .map(Some)
    }

    fn by_tensors(&self, left: &Tensor, right: &Tensor) -> Result<Tensor> {
        let (a, b) = match self.config.indices(left.rank(), right.rank()) {
            Ok(axes) => axes,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        let (left, right) = if self.config.normalize {
            (unit_length(left, a)?, unit_length(right, b)?)
        } else {
            (left.clone(), right.clone())
        };
        let (batch, length) = (left.dim(0)?, left.dim(a)?);
        if right.dim(0)? != batch || right.dim(b)? != length {
            bail!(
                "layer {}: {:?} and {:?} differ along axes {a} and {b}",
                self.name,
                left.dims(),
                right.dims()
            )
        }
        // Left: the axis last. Right: the axis first, after the batch.
        let others = |rank: usize, axis: usize| (1..rank).filter(move |&other| other != axis);
        let order: Vec<usize> = std::iter::once(0).chain(others(left.rank(), a)).chain([a]).collect();
        let left = left.permute(order)?.contiguous()?;
        let order: Vec<usize> = [0, b].into_iter().chain(others(right.rank(), b)).collect();
        let right = right.permute(order)?.contiguous()?;
        let rows = left.elem_count() / (batch * length).max(1);
        let columns = right.elem_count() / (batch * length).max(1);
        let mut shape = left.dims()[..left.rank() - 1].to_vec();
        shape.extend(&right.dims()[2..]);
        if shape.len() == 1 {
            shape.push(1);
        }
        let left = left.reshape((batch, rows, length))?;
        left.matmul(&right.reshape((batch, length, columns))?)?.reshape(shape)
    }
}

impl Layer for Dot {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let values = inputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
        Ok(vec![self.over(&values)?.into()])
    }
}

/// x / max(‖x‖, 1e-7) along an axis (`keras/src/ops/nn.py`, `_normalize`).
fn unit_length(xs: &Tensor, axis: usize) -> Result<Tensor> {
    let squares = xs.sqr()?.sum_keepdim(axis)?;
    let least = (squares.ones_like()? * 1e-14)?;
    let squares = squares.gt(&least)?.where_cond(&squares, &least)?;
    xs.broadcast_mul(&squares.sqrt()?.recip()?)
}
