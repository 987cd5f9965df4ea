//! The matrices around heads: Keras's `EinsumDense` as `MultiHeadAttention` and `GroupedQueryAttention` have it.

use crate::layers::activation::Activation;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::pair::Pair;
use crate::layers::product::product;
use crate::layers::shape::{Checked, Shape, check_bias_axis, check_numbers};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

/// A linear map of the last axes of a tensor, `inputs`, to other axes, `outputs`.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    kernel: Tensor,
    bias: Option<Tensor>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// The projections of a layer of heads.
#[derive(Clone, Debug)]
pub(super) struct Projections {
    pub query: Projection,
    pub key: Projection,
    pub value: Projection,
    /// What the heads' outputs are multiplied with.
    pub gate: Option<Projection>,
    pub attention_output: Projection,
}

/// The sizes of a [`Projection`], and its name among the layer's variables.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub name: &'static str,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    pub use_bias: bool,
}

impl Sizes {
    /// kernel (inputs, outputs) and bias (outputs). Keras's fans here are the products of the axes on either side.
    pub fn variables(&self) -> Vec<Variable> {
        let count = |axes: &[usize]| axes.iter().map(|&axis| axis as f64).product::<f64>();
        let limit = (6.0 / (count(&self.inputs) + count(&self.outputs)).max(1.0)).sqrt();
        let shape = [self.inputs.as_slice(), &self.outputs].concat();
        let kernel = Variable::new("kernel", shape, Initializer::Uniform(limit));
        let bias = self.use_bias.then(|| Variable::new("bias", self.outputs.clone(), Initializer::Zeros));
        std::iter::once(kernel).chain(bias).map(|variable| variable.within(self.name)).collect()
    }
}

/// Refuses biases of heads that Keras 3 on TensorFlow adds along another axis: those of one feature a head where there are
/// as many heads as steps.
pub(super) fn check_biases(projections: &[Sizes], [query, value, key]: [&Shape; 3]) -> Checked<()> {
    for Sizes { name, outputs, .. } in projections.iter().filter(|sizes| sizes.use_bias) {
        let input = match *name {
            "key" => key,
            "value" => value,
            _ => query,
        };
        let kept = input.len().saturating_sub(1);
        let output: Shape =
            input.iter().take(kept).copied().chain(outputs.iter().map(|&n| Some(n))).collect();
        check_bias_axis(&format!("{name}.bias"), outputs, &output)?;
    }
    Ok(())
}

impl Projections {
    /// With the variables that `vb` holds.
    pub fn new(all: Vec<Sizes>, vb: &VarBuilder) -> Result<Self> {
        let find = |name: &str| all.iter().find(|sizes| sizes.name == name);
        let need = |name: &str| match find(name) {
            Some(sizes) => Projection::new(sizes, vb),
            None => bail!("layer {}: its {name} is missing", vb.prefix()),
        };
        Ok(Self {
            query: need("query")?,
            key: need("key")?,
            value: need("value")?,
            gate: find("gate").map(|sizes| Projection::new(sizes, vb)).transpose()?,
            attention_output: need("attention_output")?,
        })
    }

    /// The layer's output from what its heads give, through the gate of the layer's `query` where there is one.
    pub fn output(&self, query: &Strand, heads: &Strand) -> Result<Strand> {
        let Some(gate) = &self.gate else { return self.attention_output.forward(heads) };
        let opened = Activation::Sigmoid.over(&gate.forward(query)?)?;
        let gated = match Pair::fits(heads, &opened) {
            true => Pair::Product.of(heads, &opened)?,
            false => (heads.tensor() * opened.tensor())?.into(),
        };
        self.attention_output.forward(&gated)
    }
}

impl Projection {
    /// With the variables that `vb` holds.
    fn new(sizes: &Sizes, vb: &VarBuilder) -> Result<Self> {
        let tensors =
            sizes.variables().iter().map(|variable| variable.get(vb)).collect::<Result<Vec<_>>>()?;
        let mut tensors = tensors.into_iter();
        let Some(kernel) = tensors.next() else { bail!("{}: it has no kernel", sizes.name) };
        Ok(Self {
            kernel,
            bias: tensors.next(),
            inputs: sizes.inputs.clone(),
            outputs: sizes.outputs.clone(),
        })
    }

    /// (…, inputs) to (…, outputs)
    pub fn forward(&self, xs: &Strand) -> Result<Strand> {
        let dims = xs.tensor().dims();
        let (kept, given) = dims.split_at(dims.len().saturating_sub(self.inputs.len()));
        if given != self.inputs {
            bail!("needs {:?} features, given {given:?}", self.inputs)
        }
        let (rows, columns) = (kept.iter().product::<usize>(), self.outputs.iter().product::<usize>());
        check_numbers(&[rows, columns])?;
        let features = self.inputs.iter().product::<usize>();
        let kernel = self.kernel.reshape((features, columns))?;
        let bias = self.bias.as_ref().map(|bias| bias.reshape(columns)).transpose()?;
        let xs = xs.reshape(vec![rows, features])?;
        product(&xs, &kernel, bias.as_ref())?.reshape([kept, &self.outputs].concat())
    }
}
