//! `x · kernel + bias`, the product of every layer that is dense in some axes: one op with its gradients in f32 on the CPU,
//! Candle's own elsewhere.

use crate::layers::cpu::{floats, suits_kernels, with_floats};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_recurrent_kernel as kernel;

/// `xs` (rows, features), `kernel` (features, units) and `bias` (units) to (rows, units).
pub(crate) fn product(xs: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((rows, features), (inputs, units)) = (xs.dims2()?, kernel.dims2()?);
    if features != inputs {
        bail!("{features} features do not fit a kernel of {inputs}")
    }
    if !suits_kernels(xs) || !suits_kernels(kernel) {
        let ys = xs.matmul(kernel)?;
        return match bias {
            Some(bias) => ys.broadcast_add(bias),
            None => Ok(ys),
        };
    }
    let (xs, kernel) = (xs.contiguous()?, kernel.contiguous()?);
    let sizes = kernel::Dense { rows, features, units };
    let op = ProductOp { sizes, with_bias: bias.is_some(), want_x: xs.track_op() };
    match bias {
        Some(bias) => xs.apply_op3(&kernel, &bias.contiguous()?, op),
        // Ops of three tensors take three.
        None => xs.apply_op3(&kernel, &kernel.detach(), op),
    }
}

struct ProductOp {
    sizes: kernel::Dense,
    with_bias: bool,
    want_x: bool,
}

impl CustomOp3 for ProductOp {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, kernel) = (floats(x, x_layout)?, floats(kernel, kernel_layout)?);
        let bias = if self.with_bias { Some(floats(bias, bias_layout)?) } else { None };
        let out = self.sizes.forward(x, kernel, bias);
        Ok((CpuStorage::F32(out), (self.sizes.rows, self.sizes.units).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        d: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = with_floats([x, kernel, d], |[x, kernel, d]| {
            self.sizes.backward(x, kernel, d, self.want_x, self.with_bias)
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            self.want_x.then(|| tensor(gradients.x, x)).transpose()?,
            Some(tensor(gradients.kernel, kernel)?),
            self.with_bias.then(|| tensor(gradients.bias, bias)).transpose()?,
        ))
    }
}
