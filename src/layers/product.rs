//! `x · kernel + bias`, the product of every layer that is dense in some axes: one op with its gradients in f32 on the CPU,
//! Candle's own elsewhere.

use crate::layers::cpu::{suits_kernels, with_floats};
use crate::layers::strand::{Back, Strand, op};
use candle_core::{Result, Tensor, bail};
use candle_recurrent_kernel as kernel;

/// `xs` (…, features), `kernel` (features, units) and `bias` (units) to (…, units).
pub(crate) fn product(xs: &Strand, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Strand> {
    let (inputs, units) = kernel.dims2()?;
    let Some((&features, leading)) = xs.tensor().dims().split_last() else {
        bail!("a product needs an input of at least one axis")
    };
    if features != inputs {
        bail!("{features} features do not fit a kernel of {inputs}")
    }
    let rows: usize = leading.iter().product();
    let shape = [leading, &[units]].concat();
    if !suits_kernels(xs.tensor()) || !suits_kernels(kernel) {
        let ys = xs.tensor().contiguous()?.reshape((rows, features))?.matmul(kernel)?.reshape(shape)?;
        return match bias {
            Some(bias) => ys.broadcast_add(bias).map(Strand::from),
            None => Ok(ys.into()),
        };
    }
    let sizes = kernel::Dense { rows, features, units };
    let kernel = &kernel.clone().into();
    let Some(bias) = bias else {
        let out =
            with_floats([xs, kernel].map(Strand::tensor), |[x, kernel]| sizes.forward(x, kernel, None))?;
        return op("product", [xs, kernel], out, shape, move |back: Back<'_, 2>| {
            let gradients =
                sizes.backward(back.x[0], back.x[1], &back.d, [back.wanted[0], back.wanted[1], false]);
            [gradients.x, gradients.kernel]
        });
    };
    let inputs = [xs, kernel, &bias.clone().into()];
    let out =
        with_floats(inputs.map(Strand::tensor), |[x, kernel, bias]| sizes.forward(x, kernel, Some(bias)))?;
    op("product", inputs, out, shape, move |back: Back<'_, 3>| {
        let gradients = sizes.backward(back.x[0], back.x[1], &back.d, back.wanted);
        [gradients.x, gradients.kernel, gradients.bias]
    })
}
