//! Ops of plain slices with gradients written by hand: each one pass over memory, as one node of Candle's graph.

use super::cpu::{floats, suits_kernels, with_floats};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// Whether a tensor can go into such an op: in f32, on the CPU, and not empty.
pub fn fuses(xs: &Tensor) -> bool {
    suits_kernels(xs) && xs.elem_count() > 0
}

/// An op of one tensor in f32 on the CPU: `forward` fills an output of this shape, which comes in as zeros; `backward` fills
/// the input's gradient, zeros too, given the input, the output and the output's gradient.
pub fn fused1(
    name: &'static str,
    xs: &Tensor,
    shape: impl Into<Shape>,
    forward: impl Fn(&[f32], &mut [f32]) + Send + Sync + 'static,
    backward: impl Fn([&[f32]; 3], &mut [f32]) + Send + Sync + 'static,
) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(Fused { name, shape: shape.into(), forward, backward })
}

/// The same of two tensors. `backward` gives the gradients of both, given them, the output and its gradient.
pub fn fused2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    shape: impl Into<Shape>,
    forward: impl Fn([&[f32]; 2], &mut [f32]) + Send + Sync + 'static,
    backward: impl Fn([&[f32]; 4]) -> [Vec<f32>; 2] + Send + Sync + 'static,
) -> Result<Tensor> {
    let fused = Fused { name, shape: shape.into(), forward, backward };
    a.contiguous()?.apply_op2(&b.contiguous()?, fused)
}

/// The same of three.
pub fn fused3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    shape: impl Into<Shape>,
    forward: impl Fn([&[f32]; 3], &mut [f32]) + Send + Sync + 'static,
    backward: impl Fn([&[f32]; 5]) -> [Vec<f32>; 3] + Send + Sync + 'static,
) -> Result<Tensor> {
    let fused = Fused { name, shape: shape.into(), forward, backward };
    a.contiguous()?.apply_op3(&b.contiguous()?, &c.contiguous()?, fused)
}

struct Fused<F, B> {
    name: &'static str,
    shape: Shape,
    forward: F,
    backward: B,
}

impl<F, B> Fused<F, B> {
    fn output(&self, fill: impl FnOnce(&mut [f32])) -> (CpuStorage, Shape) {
        let mut out = vec![0.0; self.shape.elem_count()];
        fill(&mut out);
        (CpuStorage::F32(out), self.shape.clone())
    }
}

fn gradient(values: Vec<f32>, of: &Tensor) -> Result<Option<Tensor>> {
    match of.track_op() {
        true => Tensor::from_vec(values, of.shape(), of.device()).map(Some),
        false => Ok(None),
    }
}

impl<F, B> CustomOp1 for Fused<F, B>
where
    F: Fn(&[f32], &mut [f32]) + Send + Sync,
    B: Fn([&[f32]; 3], &mut [f32]) + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        Ok(self.output(|out| (self.forward)(x, out)))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, d: &Tensor) -> Result<Option<Tensor>> {
        let mut d_x = vec![0.0; x.elem_count()];
        with_floats([x, y, d], |given| (self.backward)(given, &mut d_x))?;
        gradient(d_x, x)
    }
}

impl<F, B> CustomOp2 for Fused<F, B>
where
    F: Fn([&[f32]; 2], &mut [f32]) + Send + Sync,
    B: Fn([&[f32]; 4]) -> [Vec<f32>; 2] + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let given = [floats(a, a_layout)?, floats(b, b_layout)?];
        Ok(self.output(|out| (self.forward)(given, out)))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        d: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [d_a, d_b] = with_floats([a, b, y, d], |given| (self.backward)(given))?;
        Ok((gradient(d_a, a)?, gradient(d_b, b)?))
    }
}

impl<F, B> CustomOp3 for Fused<F, B>
where
    F: Fn([&[f32]; 3], &mut [f32]) + Send + Sync,
    B: Fn([&[f32]; 5]) -> [Vec<f32>; 3] + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
        c: &CpuStorage,
        c_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let given = [floats(a, a_layout)?, floats(b, b_layout)?, floats(c, c_layout)?];
        Ok(self.output(|out| (self.forward)(given, out)))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        d: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [d_a, d_b, d_c] = with_floats([a, b, c, y, d], |given| (self.backward)(given))?;
        Ok((gradient(d_a, a)?, gradient(d_b, b)?, gradient(d_c, c)?))
    }
}
