//! Embedding, Dense, Dropout and the activations.

use crate::{Case, GRADIENT, OUTPUT, Report, builder, gradient, weighted};
use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{
    Activation, Dense, DenseConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, SimpleRnn,
    SimpleRnnConfig,
};
use std::collections::HashMap;

#[test]
fn dense() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Dense", 24) {
        let config = case.config::<DenseConfig>();
        let variables = case.variables(&["kernel", "bias", "x"], DType::F32)?;
        let xs = variables["x"].as_tensor();
        let layer = Dense::new(variables["kernel"].dim(0)?, config, builder(&variables, DType::F32))?;
        let ys = layer.forward(xs)?;
        report.close(&format!("{}: y", case.name), &ys, case.get("y"), OUTPUT)?;
        report.gradients(&case.name, &case, &variables, &weighted(&ys, case.get("dy"))?.backward()?)?;
    }
    report.finish();
    Ok(())
}

#[test]
fn embedding() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Embedding", 2) {
        let variables = case.variables(&["embeddings"], DType::F32)?;
        let layer = Embedding::new(case.config::<EmbeddingConfig>(), builder(&variables, DType::F32))?;
        let ys = layer.forward(case.get("x"))?;
        report.close(&format!("{}: y", case.name), &ys, case.get("y"), OUTPUT)?;
        report.gradients(&case.name, &case, &variables, &weighted(&ys, case.get("dy"))?.backward()?)?;
        match (layer.compute_mask(case.get("x"))?, case.tensors.get("y_mask")) {
            (Some(mask), Some(expected)) => report.close(&case.name, &mask, expected, 0.0)?,
            (mask, expected) => assert_eq!(mask.is_some(), expected.is_some(), "{}", case.name),
        }
    }
    report.finish();
    Ok(())
}

/// The masks are the crate's own, so the factors are compared, and that the same seed gives the same mask.
#[test]
fn dropout() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Dropout", 3) {
        let variables = case.variables(&["x"], DType::F32)?;
        let xs = variables["x"].as_tensor();
        let layer = Dropout::new(case.config::<DropoutConfig>(), builder(&variables, DType::F32))?;
        let mask = layer.forward(&xs.ones_like()?, case.mode())?;
        let ys = layer.forward(xs, case.mode())?;
        report.close(&format!("{}: y", case.name), &ys, &(xs * &mask)?, 0.0)?;
        let gradients = weighted(&ys, case.get("dy"))?.backward()?;
        let dx = gradient(&gradients, xs)?;
        report.close(&format!("{}: dx", case.name), &dx, &(case.get("dy") * &mask)?, 0.0)?;
        let factors = |mask: &Tensor| -> Result<Vec<f32>> {
            let mut factors = mask.flatten_all()?.to_vec1::<f32>()?;
            factors.sort_by(f32::total_cmp);
            factors.dedup();
            Ok(factors)
        };
        let expected = match case.tensors.get("dropout_mask") {
            Some(mask) => factors(mask)?,
            None => vec![1.0],
        };
        assert_eq!(factors(&mask)?, expected, "{}", case.name);
    }
    report.finish();
    Ok(())
}

/// Every activation of the crate, over a sweep of numbers or along rows, and its slope.
#[test]
fn activations() -> Result<()> {
    let mut report = Report::default();
    let cases = Case::all("Activation", 2);
    for &activation in Activation::ALL {
        // Keras 1 and 2 had this one: clip(0.2 x + 0.5, 0, 1). Keras 3 has it no more.
        if activation == Activation::HardSigmoidKeras2 {
            continue;
        }
        let name = activation.name();
        let key = format!("y.{name}");
        let Some(case) = cases.iter().find(|case| case.tensors.contains_key(&key)) else {
            panic!("no golden numbers for {name}")
        };
        let xs = Var::from_tensor(case.get("x"))?;
        let ys = activation.forward(&xs)?;
        report.close(&key, &ys, case.get(&key), OUTPUT)?;
        let (gradients, expected) = match case.tensors.get("dy") {
            Some(dy) => (weighted(&ys, dy)?.backward()?, case.get(&format!("dx.{name}"))),
            None => (ys.sum_all()?.backward()?, case.get(&format!("dy.{name}"))),
        };
        let slope = gradient(&gradients, &xs)?;
        report.close(&format!("slope of {name}"), &slope, expected, GRADIENT)?;
    }
    report.finish();
    Ok(())
}

/// The same activations inside the recurrent layers: one step of one unit with weight 1 is the activation itself.
#[test]
fn activations_of_a_recurrent_layer() -> Result<()> {
    let mut report = Report::default();
    let cases = Case::all("Activation", 2);
    let case = cases.iter().find(|case| case.name == "activations_elementwise").expect("the sweep");
    let count = case.get("x").elem_count();
    for &activation in Activation::ALL {
        let name = activation.name();
        let Some(expected) = case.tensors.get(&format!("y.{name}")) else { continue };
        let config = SimpleRnnConfig { activation, use_bias: false, ..SimpleRnnConfig::new(1) };
        let weights = HashMap::from([
            ("kernel".to_string(), Tensor::ones((1, 1), DType::F32, &Device::Cpu)?),
            ("recurrent_kernel".to_string(), Tensor::zeros((1, 1), DType::F32, &Device::Cpu)?),
        ]);
        let layer = SimpleRnn::new(1, config, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
        let xs = Var::from_tensor(&case.get("x").reshape((count, 1, 1))?)?;
        let ys = layer.forward(&xs)?.flatten_all()?;
        report.close(name, &ys, expected, OUTPUT)?;
        let slope = gradient(&ys.sum_all()?.backward()?, &xs)?.flatten_all()?;
        report.close(&format!("slope of {name}"), &slope, case.get(&format!("dy.{name}")), GRADIENT)?;
    }
    report.finish();
    Ok(())
}
