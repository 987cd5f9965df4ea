//! Keras's `EinsumDense` (`keras/src/layers/core/einsum_dense.py`).

use super::equation::{Equation, Sizes};
use crate::layers::activation::Activation;
use crate::layers::cpu::suits_kernels;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::product::product;
use crate::layers::shape::{Checked, Shape, check_bias_axis, check_numbers, is_holdable, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`EinsumDense`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EinsumDenseConfig {
    /// Which axes of the input and of the kernel are multiplied and summed: `abc,cd->abd`, `...x,xy->...y` or
    /// `ab...,bc->ac...`.
    pub equation: String,
    /// The output's axes after the batch, without those that `...` stands for; `None` has the input's length.
    pub output_shape: OutputShape,
    /// The activation.
    #[serde(default)]
    pub activation: Activation,
    /// The letters of the output's axes along which there is a bias; none without one.
    #[serde(default)]
    pub bias_axes: Option<String>,
}

/// The axes of an output. In JSON a list, or one number for one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "Shape")]
pub struct OutputShape(pub Shape);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or a list of whole numbers and nulls")]
enum OneOrMany {
    One(usize),
    Many(Shape),
}

impl From<OneOrMany> for OutputShape {
    fn from(shape: OneOrMany) -> Self {
        match shape {
            OneOrMany::One(size) => Self(vec![Some(size)]),
            OneOrMany::Many(sizes) => Self(sizes),
        }
    }
}

impl From<OutputShape> for Shape {
    fn from(shape: OutputShape) -> Self {
        shape.0
    }
}

impl EinsumDenseConfig {
    fn sizes(&self, input: &[Option<usize>]) -> Checked<Sizes> {
        let equation = Equation::parse(&self.equation)?;
        equation.sizes(input, &self.output_shape.0, self.bias_axes.as_deref())
    }

    /// kernel, with the axes of the equation's second part; bias, with axes of 1 where there is none.
    ///
    /// # Errors
    /// If the equation does not fit the input.
    pub fn variables(&self, input: &[Option<usize>]) -> Checked<Vec<Variable>> {
        let Sizes { kernel, bias, fans: (fan_in, fan_out), .. } = self.sizes(input)?;
        if !is_holdable(kernel.iter().copied()) || !is_holdable(bias.iter().flatten().copied()) {
            return Err(format!("its kernel {kernel:?} would be more than 2^31 numbers"));
        }
        // Glorot's limit, with the fans along the axes that the equation sums over and those that it gives.
        let limit = (6.0 / (fan_in + fan_out).max(1.0)).sqrt();
        let mut variables = vec![Variable::new("kernel", kernel, Initializer::Uniform(limit))];
        if let Some(bias) = bias {
            variables.push(Variable::new("bias", bias, Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl Config for EinsumDenseConfig {
    fn check(&self) -> Checked<()> {
        let equation = Equation::parse(&self.equation)?;
        if self.output_shape.0.contains(&Some(0)) {
            return Err("output_shape needs sizes of at least 1".into());
        }
        equation.check_bias(self.bias_axes.as_deref())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let sizes = self.sizes(input)?;
        Ok(Placed::one(sizes.output).with(self.variables(input)?))
    }

    fn check_keras3(&self, inputs: &[Shape]) -> Checked<()> {
        let sizes = self.sizes(single(inputs)?)?;
        check_bias_axis("bias", &sizes.bias.unwrap_or_default(), &sizes.output)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(EinsumDense::new(first_shape(inputs), self.clone(), vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// A Dense whose axes an equation names.
#[derive(Clone, Debug)]
pub struct EinsumDense {
    config: EinsumDenseConfig,
    equation: Equation,
    name: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl EinsumDense {
    /// The layer over an input of this shape, the batch first, its variables taken from `vb`.
    ///
    /// # Errors
    /// If the equation does not fit the input, or `vb` lacks a variable or has it in another shape.
    pub fn new(input: &[Option<usize>], config: EinsumDenseConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let checked = config.check().and_then(|()| config.variables(input));
        let (variables, equation) = match checked.and_then(|v| Ok((v, Equation::parse(&config.equation)?))) {
            Ok(found) => found,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let mut tensors = variables.iter().map(|variable| variable.get(&vb));
        let Some(kernel) = tensors.next() else { bail!("layer {name}: no kernel") };
        Ok(Self { config, equation, name, kernel: kernel?, bias: tensors.next().transpose()? })
    }

    /// The configuration.
    pub fn config(&self) -> &EinsumDenseConfig {
        &self.config
    }

    /// The product and the bias, without the activation.
    fn linear(&self, xs: &Strand) -> Result<Strand> {
        match self.as_rows(xs)? {
            Some(ys) => Ok(ys),
            None => self.by_tensors(xs.tensor()).map(Strand::from),
        }
    }

    /// The same where it is rows times a matrix, and perhaps a number for each column.
    fn as_rows(&self, xs: &Strand) -> Result<Option<Strand>> {
        let Some(summed) = self.equation.as_rows() else { return Ok(None) };
        let (dims, kernel) = (xs.tensor().dims(), self.kernel.dims());
        if self.equation.elided(dims.len()).is_none() {
            return Ok(None);
        }
        let Some(kept) = dims.len().checked_sub(summed).filter(|&kept| kept > 0) else { return Ok(None) };
        let ((leading, last), (first, given)) = (dims.split_at(kept), kernel.split_at(summed));
        let fits = self.bias.as_ref().is_none_or(|bias| bias.dims() == given);
        if last != first || !fits || !xs.fuses() || !suits_kernels(&self.kernel) {
            return Ok(None);
        }
        let [rows, features, columns] = [leading, first, given].map(|axes| axes.iter().product::<usize>());
        check_numbers(&[rows, columns])?;
        let flat = |tensor: &Tensor, shape: &[usize]| match tensor.dims() == shape {
            true => Ok(tensor.clone()),
            false => tensor.reshape(shape),
        };
        let bias = self.bias.as_ref().map(|bias| flat(bias, &[columns])).transpose()?;
        let rows = xs.reshape(vec![rows, features])?;
        let ys = product(&rows, &flat(&self.kernel, &[features, columns])?, bias.as_ref())?;
        ys.reshape([leading, given].concat()).map(Some)
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = match self.equation.product(xs, &self.kernel)? {
            Some(ys) => ys,
            None => bail!(
                "layer {}: the equation {} does not fit an input of {:?} and its kernel of {:?}",
                self.name,
                self.config.equation,
                xs.dims(),
                self.kernel.dims()
            ),
        };
        match &self.bias {
            Some(bias) => ys.broadcast_add(bias),
            None => Ok(ys),
        }
    }
}

impl Module for EinsumDense {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = self.linear(&xs.clone().into())?;
        Ok(self.config.activation.over(&ys)?.tensor().clone())
    }
}

impl Layer for EinsumDense {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.linear(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}
