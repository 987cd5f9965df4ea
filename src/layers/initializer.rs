//! Keras's initialisers (`keras/src/initializers/random_initializers.py`), drawn from the crate's own generator.

use super::constraint::Constraint;
use super::regularizer::Regularizer;
use crate::random::Stream;
use candle_core::{DType, Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};

/// How a variable gets its initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// U(±sqrt(6 / (fan_in + fan_out))) with the fans of the whole shape (Glorot and Bengio 2010).
    GlorotUniform,
    /// A (rows, columns) matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).
    Orthogonal,
    /// U(±limit).
    Uniform(f64),
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Zeros, but ones in the forget gate's block, the second of four (Jozefowicz et al. 2015).
    UnitForgetBias,
}

/// A variable that a layer asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its path within the layer: `kernel`, or `forward_layer.kernel`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it begins.
    pub initializer: Initializer,
    /// Whether an optimiser trains it; moving statistics are not, nor is what is frozen.
    pub trainable: bool,
    /// Whether it stays as it is: that of a frozen layer.
    pub frozen: bool,
    /// What it adds to the loss.
    pub regularizer: Option<Regularizer>,
    /// What is done to it after each step.
    pub constraint: Option<Constraint>,
}

impl Variable {
    /// A variable that an optimiser trains.
    pub fn new(name: &str, shape: impl Into<Vec<usize>>, initializer: Initializer) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
            initializer,
            trainable: true,
            frozen: false,
            regularizer: None,
            constraint: None,
        }
    }

    /// A variable that no optimiser trains.
    pub fn untrained(name: &str, shape: impl Into<Vec<usize>>, initializer: Initializer) -> Self {
        Self { trainable: false, ..Self::new(name, shape, initializer) }
    }

    /// The same variable of a layer within another, where that layer is the part `role`.
    pub fn within(self, role: &str) -> Self {
        Self { name: format!("{role}.{}", self.name), ..self }
    }

    /// Reads the variable from `vb`. A `VarMap` that does not hold it yet draws Keras's initial values, from Candle's
    /// generator: what Candle's [`Init`] cannot say is made of what it drew.
    pub(crate) fn get(&self, vb: &VarBuilder) -> Result<Tensor> {
        let is_new = !vb.contains_tensor(&self.name);
        let hint = self.initializer.hint(&self.shape);
        let tensor = vb.get_with_hints(self.shape.as_slice(), &self.name, hint)?;
        if is_new && tensor.is_variable() {
            self.initializer.complete(&tensor)?;
        }
        Ok(tensor)
    }
}

impl Initializer {
    /// Initial values for `shape`, row-major.
    pub fn draw(self, shape: &[usize], stream: &mut Stream) -> Vec<f32> {
        let len = shape.iter().product();
        let mut uniform =
            |limit: f64| (0..len).map(|_| ((2.0 * stream.uniform() - 1.0) * limit) as f32).collect();
        match self {
            Self::GlorotUniform => uniform(glorot_limit(shape)),
            Self::Uniform(limit) => uniform(limit),
            Self::Orthogonal => orthogonal(shape, &mut || stream.normal()),
            Self::Zeros => vec![0.0; len],
            Self::Ones => vec![1.0; len],
            Self::UnitForgetBias => unit_forget_bias(len),
        }
    }

    /// Turns what [`hint`](Self::hint) made Candle draw for a new variable into initial values of this kind.
    fn complete(self, drawn: &Tensor) -> Result<()> {
        let mut values = drawn.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?.into_iter();
        let shape = drawn.dims();
        let made = match self {
            // Normal numbers, and more than once around only where a vector is a sum of the others.
            Self::Orthogonal => orthogonal(shape, &mut || values.next().unwrap_or(1.0)),
            Self::UnitForgetBias => unit_forget_bias(values.len()),
            Self::GlorotUniform | Self::Uniform(_) | Self::Zeros | Self::Ones => return Ok(()),
        };
        let made = Tensor::from_vec(made, shape, drawn.device())?.to_dtype(drawn.dtype())?;
        Var::from_tensor(drawn)?.set(&made)
    }

    fn hint(self, shape: &[usize]) -> Init {
        match self {
            Self::GlorotUniform => {
                let limit = glorot_limit(shape);
                Init::Uniform { lo: -limit, up: limit }
            }
            Self::Uniform(limit) => Init::Uniform { lo: -limit, up: limit },
            Self::Orthogonal => Init::Randn { mean: 0.0, stdev: 1.0 },
            Self::Zeros | Self::UnitForgetBias => Init::Const(0.0),
            Self::Ones => Init::Const(1.0),
        }
    }
}

/// sqrt(6 / (fan_in + fan_out)); for more than two axes the leading ones are a receptive field, as in Keras.
fn glorot_limit(shape: &[usize]) -> f64 {
    let (fan_in, fan_out) = match *shape {
        [] => (1, 1),
        [n] => (n, n),
        [ref field @ .., fan_in, fan_out] => {
            let field: usize = field.iter().product();
            (fan_in * field, fan_out * field)
        }
    };
    (6.0 / (fan_in + fan_out).max(1) as f64).sqrt()
}

/// Q of the QR decomposition of a normal (max, min) matrix, its columns' signs those of R's diagonal, transposed if
/// rows < columns. Gram-Schmidt, twice for accuracy: R's diagonal comes out positive.
fn orthogonal(shape: &[usize], normal: &mut dyn FnMut() -> f64) -> Vec<f32> {
    let columns = shape.last().copied().unwrap_or(1);
    let rows = shape.iter().product::<usize>() / columns.max(1);
    let (long, short) = (rows.max(columns), rows.min(columns));
    // One orthonormal vector of length `long` after another.
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(short);
    while basis.len() < short {
        let mut vector: Vec<f64> = (0..long).map(|_| normal()).collect();
        for _ in 0..2 {
            for other in &basis {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        if norm > 1e-6 {
            basis.push(vector.into_iter().map(|a| a / norm).collect());
        }
    }
    let element = |r: usize, c: usize| if rows <= columns { basis[r][c] } else { basis[c][r] };
    (0..rows * columns).map(|i| element(i / columns, i % columns) as f32).collect()
}

/// Ones in the second of four blocks.
fn unit_forget_bias(len: usize) -> Vec<f32> {
    (0..len).map(|i| if (len / 4..len / 2).contains(&i) { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_nn::VarMap;

    /// A `VarMap` begins as Keras does, and a variable that it holds is left as it is.
    #[test]
    fn a_varmap_gets_keras_s_initial_values() {
        let variables = VarMap::new();
        for dtype in [DType::F32, DType::F64] {
            let vb = VarBuilder::from_varmap(&variables, dtype, &Device::Cpu).pp(format!("{dtype:?}"));
            let recurrent = Variable::new("recurrent_kernel", [4, 16], Initializer::Orthogonal);
            let kernel = recurrent.get(&vb).unwrap();
            let product = kernel.matmul(&kernel.t().unwrap()).unwrap().to_dtype(DType::F32).unwrap();
            let off = (product - Tensor::eye(4, DType::F32, &Device::Cpu).unwrap()).unwrap().abs().unwrap();
            assert!(off.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
            let bias = Variable::new("bias", [8], Initializer::UnitForgetBias).get(&vb).unwrap();
            let bias = bias.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(bias, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
            let again = recurrent.get(&vb).unwrap();
            let bits = |kernel: &Tensor| {
                kernel.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>()
            };
            assert_eq!(bits(&again).unwrap(), bits(&kernel).unwrap());
        }
    }

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        for (rows, columns) in [(8, 32), (32, 8), (5, 5), (1, 4)] {
            let q = Initializer::Orthogonal.draw(&[rows, columns], &mut Stream::new(7));
            let (count, len) = (rows.min(columns), rows.max(columns));
            let at = |i: usize, j: usize| {
                f64::from(if rows <= columns { q[i * columns + j] } else { q[j * columns + i] })
            };
            for a in 0..count {
                for b in 0..count {
                    let dot: f64 = (0..len).map(|j| at(a, j) * at(b, j)).sum();
                    let expected = if a == b { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-6, "({rows}, {columns}): {a}·{b} = {dot}");
                }
            }
        }
    }

    #[test]
    fn glorot_uses_the_fused_shape() {
        let limit = (6.0f64 / 48.0).sqrt() as f32;
        let kernel = Initializer::GlorotUniform.draw(&[16, 32], &mut Stream::new(1));
        let largest = kernel.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(largest <= limit && largest > 0.98 * limit, "{largest} against {limit}");
        let mean: f32 = kernel.iter().sum::<f32>() / 512.0;
        assert!(mean.abs() < 0.05, "{mean}");
    }

    #[test]
    fn the_forget_gate_starts_at_one() {
        let bias = Initializer::UnitForgetBias.draw(&[8], &mut Stream::new(1));
        assert_eq!(bias, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
