//! A dense layer, `x · kernel + bias`, and its gradients.

use crate::matmul::{Gradient, Matrix, Operand, Places, Product, Run, Start};
use crate::memory::unwritten;

/// The sizes of a dense layer's product.
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    /// Rows of the input.
    pub rows: usize,
    /// Features of a row.
    pub features: usize,
    /// Features of a row of the output.
    pub units: usize,
}

/// The gradients of a dense layer's operands.
#[derive(Debug, Default)]
pub struct DenseGradients {
    /// Of the input, (rows, features); empty if it was not asked for.
    pub x: Vec<f32>,
    /// Of the kernel, (features, units); empty if it was not asked for.
    pub kernel: Vec<f32>,
    /// Of the bias, (units); empty if it was not asked for.
    pub bias: Vec<f32>,
}

impl Dense {
    /// `x` (rows, features) times `kernel` (features, units), plus `bias` (units) if there is one.
    ///
    /// ```
    /// use candle_recurrent_kernel::Dense;
    ///
    /// let dense = Dense { rows: 1, features: 2, units: 3 };
    /// let y = dense.forward(&[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Some(&[100.0, 200.0, 300.0]));
    /// assert_eq!(y, [141.0, 252.0, 363.0]);
    /// ```
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(&self, x: &[f32], kernel: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = unwritten(self.rows * self.units);
        Product {
            a: Operand {
                floats: x,
                rows: self.rows,
                places: Places::every(self.features),
                runs: &[Run { offset: 0, len: self.features }],
            },
            b: Matrix::rows(kernel, self.features, self.units),
            start: bias.map_or(Start::Zeros, Start::Row),
            places: Places::every(self.units),
            few: false,
        }
        .run(&mut out);
        out
    }

    /// The gradients from that of the output, `d` (rows, units): those of the input, the kernel and the bias that are wanted.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn backward(
        &self,
        x: &[f32],
        kernel: &[f32],
        d: &[f32],
        [want_x, want_kernel, want_bias]: [bool; 3],
    ) -> DenseGradients {
        let Self { rows, features, units } = *self;
        let mut gradients = DenseGradients {
            x: vec![],
            kernel: vec![0.0; if want_kernel { features * units } else { 0 }],
            bias: vec![0.0; if want_bias { units } else { 0 }],
        };
        if want_x {
            gradients.x = unwritten(rows * features);
            Product {
                a: Operand {
                    floats: d,
                    rows,
                    places: Places::every(units),
                    runs: &[Run { offset: 0, len: units }],
                },
                b: Matrix::columns(kernel, units, features),
                start: Start::Zeros,
                places: Places::every(features),
                few: true,
            }
            .run(&mut gradients.x);
        }
        if !want_kernel {
            if want_bias {
                gradients.bias = column_sums(d, units);
            }
            return gradients;
        }
        let runs = [Run { offset: 0, len: features }];
        let a = Operand { floats: x, rows, places: Places::every(features), runs: &runs };
        Gradient { a, d, places: Places::every(units), columns: units }.run(
            &mut gradients.kernel,
            units,
            &mut gradients.bias,
        );
        gradients
    }
}

/// The sums of the columns of `d`, rows of so many floats.
pub fn column_sums(d: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    let rows = d.len() / columns.max(1);
    let a = Operand { floats: &[], rows, places: Places::every(0), runs: &[] };
    Gradient { a, d, places: Places::every(columns), columns }.run(&mut [], 0, &mut sums);
    sums
}
