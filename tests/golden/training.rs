//! The loss and steps of whole models.

use crate::models::{ruled_batch, ruled_variables};
use crate::{Case, GRADIENT, OUTPUT, Report, gradient, model_builder};
use candle_core::{Device, Result, Tensor, Var};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig};
use candle_recurrent::train::{Optimizer, RmsProp, binary_crossentropy};

#[test]
fn loss() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("BinaryCrossentropy", 1) {
        let xs = Var::from_tensor(case.get("x"))?;
        for target in [0.0, 1.0] {
            let targets = Tensor::full(target as f32, xs.dims(), &Device::Cpu)?;
            let loss = binary_crossentropy(&xs, &targets).expect("a loss");
            report.close(
                &format!("loss at {target}"),
                &loss.reshape(1)?,
                case.get(&format!("loss_{target}")),
                OUTPUT,
            )?;
            let dx = gradient(&loss.backward()?, &xs)?;
            report.close(&format!("slope at {target}"), &dx, case.get(&format!("dx_{target}")), GRADIENT)?;
            for (i, single) in case.get("x").to_vec1::<f32>()?.into_iter().enumerate() {
                let (x, z) = (Tensor::new(&[single], &Device::Cpu)?, targets.narrow(0, i, 1)?);
                let loss = binary_crossentropy(&x, &z).expect("a loss").reshape(1)?;
                let expected = case.get(&format!("losses_{target}")).narrow(0, i, 1)?;
                report.close(&format!("logit {single}, target {target}"), &loss, &expected, OUTPUT)?;
            }
        }
    }
    report.finish();
    Ok(())
}

/// Losses and weights of whole models over 20 and 50 steps from given weights.
#[test]
fn training() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Training", 8) {
        let config = case.model_config();
        let variables = ruled_variables(&case, &config)?;
        let learning_rate = case.meta["learning_rate"].as_f64().expect("a rate");
        let steps = case.meta["steps"].as_u64().expect("a number of steps");
        let losses = train(&config, &variables, learning_rate, steps)?;
        report.close(&format!("{}: losses", case.name), &losses, case.get("losses"), OUTPUT)?;
        for (name, var) in &variables {
            let mut value = var.as_tensor().clone();
            if name == "embedding.embeddings" {
                // Every twentieth row is kept.
                let rows = Tensor::arange_step(0, value.dim(0)? as u32, 20, &Device::Cpu)?;
                value = value.index_select(&rows, 0)?;
            }
            report.close(
                &format!("{}: {name}", case.name),
                &value,
                case.get(&format!("final.{name}")),
                1e-4,
            )?;
        }
        let model =
            Model::new(&config, model_builder(variables.iter().map(|(k, v)| (k, v)))).expect("a model");
        let ys = model.forward(&ruled_batch(steps)?.0, Mode::Inference).expect("an output");
        report.close(&format!("{}: probabilities", case.name), &ys, case.get("probabilities"), 1e-4)?;
    }
    report.finish();
    Ok(())
}

/// Takes the steps; gives the loss before each.
fn train(
    config: &ModelConfig,
    variables: &[(String, Var)],
    learning_rate: f64,
    steps: u64,
) -> Result<Tensor> {
    let model = Model::new(config, model_builder(variables.iter().map(|(k, v)| (k, v)))).expect("a model");
    let options = RmsProp::default().with_learning_rate(learning_rate);
    let mut optimizer = Optimizer::new(variables.to_vec(), options).expect("an optimizer");
    let mut losses = vec![];
    for step in 0..steps {
        let (ids, labels) = ruled_batch(step)?;
        let logits = model.logits(&ids, Mode::Training { seed: step }).expect("logits");
        let loss = binary_crossentropy(&logits, &labels).expect("a loss");
        losses.push(loss.to_scalar::<f32>()?);
        optimizer.step(&loss.backward()?).expect("a step");
    }
    Tensor::new(losses, &Device::Cpu)
}
