//! Every loss as `fit` computes it: the value and the gradient at the last layer's pre-activation, with masks, weights and
//! reductions.

use crate::{Case, text};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_recurrent::layers::Activation;
use candle_recurrent::train::{Loss, Output};
use serde_json::Value;

/// Of the value, and of the greatest slope of a case.
const TOLERANCE: f64 = 1e-6;
/// Keras rounds 1 - sigmoid(x) before it takes powers of it and multiplies them by x.
const FOCAL: f64 = 2e-6;

/// Cuts the arrays of a file into cases, one after another.
struct Cutter<'a> {
    case: &'a Case,
    at: [usize; 6],
}

impl Cutter<'_> {
    fn cut(&mut self, key: usize, dims: &[usize]) -> Result<Tensor> {
        let name = ["x", "mask", "targets", "weights", "value", "dx"][key];
        let length = dims.iter().product();
        let tensor = self.case.get(name).narrow(0, self.at[key], length)?.reshape(dims)?;
        self.at[key] += length;
        Ok(tensor)
    }
}

fn dims(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).expect("a shape")
}

/// The greatest difference, relative to the greatest value or to 0.1.
fn apart(actual: &Tensor, expected: &Tensor) -> Result<f64> {
    let flat = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (actual, expected) = (flat(actual)?, flat(expected)?);
    let scale = expected.iter().fold(0.1, |scale: f64, value| scale.max(value.abs()));
    let pairs = actual.iter().zip(&expected);
    Ok(pairs.map(|(a, e)| (a - e).abs() / scale).max_by(f64::total_cmp).unwrap_or(f64::NAN))
}

#[test]
fn losses() -> Result<()> {
    let (mut failures, mut compared, mut worst) = (vec![], 0, [0.0f64; 2]);
    for file in Case::all("Loss", 17) {
        let mut cutter = Cutter { case: &file, at: [0; 6] };
        for (index, case) in file.meta["cases"].as_array().expect("cases").iter().enumerate() {
            let shape = dims(&case["x"]);
            let x = cutter.cut(0, &shape)?;
            let masked = case["masked"] == true;
            let mask = if masked { Some(cutter.cut(1, &shape[..shape.len() - 1])?) } else { None };
            let targets = cutter.cut(2, &dims(&case["targets"]))?;
            let weighted = !case["weights"].is_null();
            let weights = if weighted { Some(cutter.cut(3, &dims(&case["weights"]))?) } else { None };
            let (value, dx) = (cutter.cut(4, &[])?, cutter.cut(5, &shape)?);

            let config = serde_json::json!({"class_name": case["class_name"], "config": case["config"]});
            let loss: Loss = serde_json::from_value(config.clone()).expect("a loss");
            let activation: Activation = text(&case["activation"]).parse().expect("an activation");
            let activation = Some(activation).filter(|&activation| activation != Activation::Linear);
            for dtype in [DType::F32, DType::F64] {
                let x = Var::from_tensor(&x.to_dtype(dtype)?)?;
                let output = Output { values: x.as_tensor().clone(), activation, mask: mask.clone() };
                let batch = loss.batch(&output, &targets, weights.as_ref()).expect("a loss");
                let gradient = batch.loss.backward()?.remove(&x).expect("a gradient");
                let numbers = Tensor::new(batch.value, &Device::Cpu)?;
                let errors =
                    [apart(&batch.loss, &value)?.max(apart(&numbers, &value)?), apart(&gradient, &dx)?];
                compared += 1;
                for (worst, error) in worst.iter_mut().zip(errors) {
                    *worst = worst.max(error);
                }
                let tolerance = if loss.name() == "binary_focal_crossentropy" { FOCAL } else { TOLERANCE };
                if errors.iter().any(|error| error.is_nan() || *error > tolerance) {
                    failures.push(format!(
                        "{config}, case {index} {shape:?} {activation:?} in {dtype:?}, masked {masked}, weighted \
                         {weighted}: off by {errors:?}\n  x {x}\n  targets {targets}\n  {} for {value}\n  {gradient}\n  {dx}",
                        batch.value
                    ));
                }
            }
        }
    }
    println!("{compared} compared, worst {worst:?}");
    assert!(failures.is_empty(), "{} of {compared}\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
