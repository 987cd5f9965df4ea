//! This crate's own ops in Candle's graph, and the values that go from one to the next.
//!
//! Candle adds each gradient to zeros of the tensor that it belongs to: two more passes over memory for each op, which
//! beyond 65,536 numbers also wake Candle's own threads, and these then keep Rayon's from their processors. So where one of
//! our ops follows another, Candle's graph holds a *knot* of a single number between them. It keeps the order of the way
//! back; the gradient itself waits beside it. Whatever else reads the values finds a tensor as any other.
//!
//! A gradient that waits belongs to the graph and not to one pass over it: the ways back of a graph, or of two that share a
//! part, go one after the other, and a graph whose way back ended in an error is not gone back again.

use super::cpu::{suits_kernels, with_floats};
use super::leaves;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
};
use candle_recurrent_kernel::unwritten;
use rayon::prelude::*;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Values, and how their gradient finds its way back.
#[derive(Clone)]
pub struct Strand {
    tensor: Tensor,
    knot: Option<Knot>,
    /// The tensor that they are along other axes, where they have no knot.
    along: Option<Tensor>,
}

/// What stands in Candle's graph for values of an op of this crate: one number, and the gradient of the values.
#[derive(Clone)]
struct Knot {
    tensor: Tensor,
    gradient: Gradient,
}

impl fmt::Debug for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Strand").field(&self.tensor).finish()
    }
}

impl From<Tensor> for Strand {
    fn from(tensor: Tensor) -> Self {
        Self { tensor, knot: None, along: None }
    }
}

impl Strand {
    /// The values as a tensor.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether an op of this crate can take them: in f32, on the CPU, and not empty.
    pub fn fuses(&self) -> bool {
        suits_kernels(&self.tensor) && self.tensor.elem_count() > 0
    }

    /// Whether a gradient is wanted of them.
    pub fn tracks(&self) -> bool {
        self.tensor.track_op()
    }

    /// The same numbers along other axes; nothing is copied.
    pub fn reshape(&self, shape: Vec<usize>) -> Result<Self> {
        // Gradients of knots are numbers in a row, whatever the axes.
        let along = match self.knot {
            Some(_) => None,
            None => Some(self.source().clone()),
        };
        Ok(Self { tensor: self.tensor.reshape(shape)?, knot: self.knot.clone(), along })
    }

    /// What stands for the values in Candle's graph where no knot does: a reshape would be a node that adds up gradients.
    fn source(&self) -> &Tensor {
        self.along.as_ref().unwrap_or(&self.tensor)
    }

    fn way(&self) -> Way {
        match &self.knot {
            Some(knot) => Way::Knot(knot.gradient.clone()),
            None if self.tracks() => Way::Tensor(self.source().clone()),
            None => Way::Nowhere,
        }
    }
}

/// A gradient that is added up as it comes, until it is taken.
#[derive(Clone, Default)]
struct Gradient(Arc<Mutex<Option<Vec<f32>>>>);

impl Gradient {
    fn add(&self, values: Vec<f32>) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sum {
            Some(sum) => add_to(sum, &values),
            None => *sum = Some(values),
        }
    }

    /// The same for values that others need too.
    fn add_copy(&self, values: &[f32]) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sum {
            Some(sum) => add_to(sum, values),
            None => {
                let mut copied = unwritten(values.len());
                let copy = |(into, from): (&mut [f32], &[f32])| into.copy_from_slice(from);
                copied.par_chunks_mut(ADDED).zip(values.par_chunks(ADDED)).for_each(copy);
                *sum = Some(copied);
            }
        }
    }

    fn take(&self) -> Option<Vec<f32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn add_to(sum: &mut [f32], values: &[f32]) {
    let add = |(sum, values): (&mut [f32], &[f32])| {
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    };
    sum.par_chunks_mut(ADDED).zip(values.par_chunks(ADDED)).for_each(add);
}

/// Numbers that one thread adds at a time.
const ADDED: usize = 1 << 15;

/// What an op keeps of an input.
struct Held {
    values: Tensor,
    way: Way,
}

/// Where the gradient of an input goes.
enum Way {
    Nowhere,
    /// To another op of this crate.
    Knot(Gradient),
    /// To Candle, or past it if it is a variable.
    Tensor(Tensor),
}

/// What the way back is given.
pub struct Back<'a, const N: usize> {
    /// The inputs.
    pub x: [&'a [f32]; N],
    /// The output.
    pub y: &'a [f32],
    /// The output's gradient.
    pub d: Vec<f32>,
    /// Which inputs' gradients are wanted; any other may be left empty.
    pub wanted: [bool; N],
}

/// An op of tensors in f32 on the CPU: `forward` fills an output of this shape, whose numbers come in as whatever they are;
/// `backward` gives the inputs' gradients.
pub fn fused<const N: usize>(
    name: &'static str,
    inputs: [&Strand; N],
    shape: impl Into<Shape>,
    forward: impl FnOnce([&[f32]; N], &mut [f32]),
    backward: impl Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync + 'static,
) -> Result<Strand> {
    let shape = shape.into();
    let mut out = unwritten(shape.elem_count());
    with_floats(inputs.map(Strand::tensor), |x| forward(x, &mut out))?;
    op(name, inputs, out, shape, backward)
}

/// An op whose inputs have one and the same gradient: what `backward` makes of that of the output.
pub fn fused_alike<const N: usize>(
    name: &'static str,
    inputs: [&Strand; N],
    shape: impl Into<Shape>,
    forward: impl FnOnce([&[f32]; N], &mut [f32]),
    backward: impl Fn(Vec<f32>) -> Vec<f32> + Send + Sync + 'static,
) -> Result<Strand> {
    let shape = shape.into();
    let mut out = unwritten(shape.elem_count());
    with_floats(inputs.map(Strand::tensor), |x| forward(x, &mut out))?;
    let backward = move |back: Back<'_, N>| {
        let mut gradients = [const { vec![] }; N];
        if let Some(first) = gradients.first_mut() {
            *first = backward(back.d);
        }
        gradients
    };
    hung(name, inputs, out, shape, backward, true)
}

/// The same as [`fused`] where the output is there already.
pub fn op<const N: usize>(
    name: &'static str,
    inputs: [&Strand; N],
    out: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync + 'static,
) -> Result<Strand> {
    hung(name, inputs, out, shape.into(), backward, false)
}

/// An op in Candle's graph.
fn hung<const N: usize>(
    name: &'static str,
    inputs: [&Strand; N],
    out: Vec<f32>,
    shape: Shape,
    backward: impl Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync + 'static,
    alike: bool,
) -> Result<Strand> {
    if !inputs.iter().any(|input| input.tracks()) {
        return Ok(Tensor::from_vec(out, shape, &Device::Cpu)?.into());
    }
    let carriers = inputs.map(|input| input.knot.as_ref().map_or(input.source(), |knot| &knot.tensor));
    let held = inputs.map(|input| Held { values: input.tensor.detach(), way: input.way() });
    let (gradient, output) = (Gradient::default(), Arc::new(OnceLock::new()));
    let op = Op {
        name,
        inputs: held,
        output: output.clone(),
        shape: shape.clone(),
        gradient: gradient.clone(),
        backward,
        alike,
    };
    let knot = match carriers.as_slice() {
        [a] => a.apply_op1(op)?,
        [a, b] => a.apply_op2(b, op)?,
        [a, b, c] => a.apply_op3(b, c, op)?,
        _ => bail!("{name}: an op takes one to three tensors"),
    };
    let tensor = knot.apply_op1(Open { values: Mutex::new(out), shape, gradient: gradient.clone() })?;
    // Without its way back, so that the op does not hold itself.
    let _ = output.set(tensor.detach());
    Ok(Strand { tensor, knot: Some(Knot { tensor: knot, gradient }), along: None })
}

/// The numbers of all inputs, one after another in a row.
pub fn row<const N: usize>(inputs: [&Strand; N]) -> Result<Strand> {
    let out = with_floats(inputs.map(Strand::tensor), |x| x.concat())?;
    let shape = out.len();
    op("row", inputs, out, shape, |Back { x, d, .. }: Back<'_, N>| {
        let mut rest = &d[..];
        x.map(|x| {
            let (part, others) = rest.split_at(x.len());
            rest = others;
            part.to_vec()
        })
    })
}

fn nothing() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// An op, of which Candle sees a knot.
struct Op<const N: usize, B> {
    name: &'static str,
    inputs: [Held; N],
    output: Arc<OnceLock<Tensor>>,
    shape: Shape,
    gradient: Gradient,
    backward: B,
    /// Whether the first of the gradients is that of all inputs.
    alike: bool,
}

impl<const N: usize, B: Fn(Back<'_, N>) -> [Vec<f32>; N]> Op<N, B> {
    /// The inputs' gradients, as Candle is to add them: those that go past it are put where they are waited for.
    fn back(&self, knot: &Tensor) -> Result<impl Iterator<Item = Option<Tensor>>> {
        let Some(output) = self.output.get() else { bail!("{}: it has no output", self.name) };
        let inputs = &self.inputs;
        let d = self.gradient.take().unwrap_or_else(|| vec![0.0; self.shape.elem_count()]);
        let wanted = inputs.each_ref().map(|input| !matches!(input.way, Way::Nowhere));
        let values = inputs.each_ref().map(|input| &input.values);
        let gradients =
            with_floats([output], |[y]| with_floats(values, |x| (self.backward)(Back { x, y, d, wanted })))??;
        let mut given = [const { None }; N];
        if self.alike {
            if let Some(gradient) = gradients.into_iter().next() {
                self.share(knot, gradient, &mut given)?;
            }
            return Ok(given.into_iter());
        }
        for ((given, gradient), input) in given.iter_mut().zip(gradients).zip(inputs) {
            *given = match &input.way {
                Way::Nowhere => None,
                Way::Tensor(tensor) => leaves::take(knot, tensor, gradient.into())?,
                Way::Knot(waiting) => {
                    waiting.add(gradient);
                    Some(Tensor::zeros(1, DType::F32, &Device::Cpu)?)
                }
            };
        }
        Ok(given.into_iter())
    }

    /// Gives all inputs the same gradient, with no more copies than it takes: tensors can share one.
    fn share(&self, knot: &Tensor, gradient: Vec<f32>, given: &mut [Option<Tensor>; N]) -> Result<()> {
        let ways = self.inputs.each_ref().map(|input| &input.way);
        let last = match ways.iter().any(|way| matches!(way, Way::Tensor(_))) {
            true => None,
            false => ways.iter().rposition(|way| matches!(way, Way::Knot(_))),
        };
        for (at, (given, way)) in given.iter_mut().zip(ways).enumerate() {
            if let Way::Knot(waiting) = way {
                if last != Some(at) {
                    waiting.add_copy(&gradient);
                }
                *given = Some(Tensor::zeros(1, DType::F32, &Device::Cpu)?);
            }
        }
        if let Some(Way::Knot(waiting)) = last.map(|at| ways[at]) {
            waiting.add(gradient);
            return Ok(());
        }
        let gradient = Tensor::from_vec(gradient, self.shape.clone(), &Device::Cpu)?;
        for (given, way) in given.iter_mut().zip(ways) {
            if let Way::Tensor(tensor) = way {
                *given = leaves::take(knot, tensor, gradient.clone().into())?;
            }
        }
        Ok(())
    }
}

impl<const N: usize, B: Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync> CustomOp1 for Op<N, B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(nothing())
    }

    fn bwd(&self, _: &Tensor, knot: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.back(knot)?.next().flatten())
    }
}

impl<const N: usize, B: Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync> CustomOp2 for Op<N, B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(nothing())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        knot: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut given = self.back(knot)?;
        Ok((given.next().flatten(), given.next().flatten()))
    }
}

impl<const N: usize, B: Fn(Back<'_, N>) -> [Vec<f32>; N] + Send + Sync> CustomOp3 for Op<N, B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(nothing())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        knot: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut given = self.back(knot)?;
        let mut next = || given.next().flatten();
        Ok((next(), next(), next()))
    }
}

/// From a knot to the values, for whatever is no op of this crate.
struct Open {
    values: Mutex<Vec<f32>>,
    shape: Shape,
    gradient: Gradient,
}

impl CustomOp1 for Open {
    fn name(&self) -> &'static str {
        "open"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((CpuStorage::F32(values), self.shape.clone()))
    }

    fn bwd(&self, knot: &Tensor, _: &Tensor, d: &Tensor) -> Result<Option<Tensor>> {
        self.gradient.add(d.flatten_all()?.to_vec1()?);
        knot.zeros_like().map(Some)
    }
}
