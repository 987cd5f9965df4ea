//! `x · kernel + bias` for a few thousand multiplications, as one op in plain loops. Candle's matrix product asks the
//! system for its number of processors at every call, which takes longer than such a product.

use crate::layers::cpu::{floats, suits_kernels, with_floats};
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

/// Multiplications up to which this is the faster way.
const SMALL: usize = 1 << 15;

/// `xs` (rows, k), `kernel` (k, n) and `bias` (n) to (rows, n); none where Candle's own product is the better one.
pub(super) fn small_product(xs: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    let (rows, k) = xs.dims2()?;
    let n = kernel.dim(1)?;
    if !suits_kernels(xs) || !suits_kernels(kernel) || rows.saturating_mul(k).saturating_mul(n) > SMALL {
        return Ok(None);
    }
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(n, DType::F32, &Device::Cpu)?,
    };
    xs.contiguous()?.apply_op3(&kernel.contiguous()?, &bias, SmallProduct { rows, k, n }).map(Some)
}

struct SmallProduct {
    rows: usize,
    k: usize,
    n: usize,
}

impl CustomOp3 for SmallProduct {
    fn name(&self) -> &'static str {
        "small-product"
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
        let mut out = floats(bias, bias_layout)?.repeat(self.rows);
        for (out, x) in out.chunks_exact_mut(self.n).zip(x.chunks_exact(self.k)) {
            for (&x, weights) in x.iter().zip(kernel.chunks_exact(self.n)) {
                for (out, &weight) in out.iter_mut().zip(weights) {
                    *out += x * weight;
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((self.rows, self.n))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        d: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (mut d_x, mut d_kernel, mut d_bias) =
            (vec![0.0; self.rows * self.k], vec![0.0; self.k * self.n], vec![0.0; self.n]);
        with_floats([x, kernel, d], |[x, kernel, d]| {
            let rows = x.chunks_exact(self.k).zip(d_x.chunks_exact_mut(self.k)).zip(d.chunks_exact(self.n));
            for ((x, d_x), d) in rows {
                let weights = kernel.chunks_exact(self.n).zip(d_kernel.chunks_exact_mut(self.n));
                for ((&x, d_x), (weights, d_weights)) in x.iter().zip(d_x).zip(weights) {
                    for ((&d, &weight), d_weight) in d.iter().zip(weights).zip(d_weights) {
                        *d_x += d * weight;
                        *d_weight += x * d;
                    }
                }
                for (sum, &d) in d_bias.iter_mut().zip(d) {
                    *sum += d;
                }
            }
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((tensor(d_x, x)?, tensor(d_kernel, kernel)?, tensor(d_bias, bias)?))
    }
}
