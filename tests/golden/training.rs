//! The loss, RMSprop and steps of whole models.

use crate::models::{ruled_batch, ruled_variables};
use crate::{Case, GRADIENT, OUTPUT, Report, gradient, model_builder, weighted};
use candle_core::{DType, Device, Module, Result, Tensor, Var, backprop::GradStore};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{Embedding, EmbeddingConfig, Mode};
use candle_recurrent::model::{Model, ModelConfig};
use candle_recurrent::train::{RmsProp, RmsPropConfig, binary_crossentropy};
use std::collections::HashMap;

/// A store with these gradients.
fn store(gradients: &[(&Var, &Tensor)]) -> Result<GradStore> {
    let products = gradients.iter().map(|(var, gradient)| (var.as_tensor() * gradient.detach())?.sum_all());
    let products = products.collect::<Result<Vec<_>>>()?;
    Tensor::stack(&products, 0)?.sum_all()?.backward()
}

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

/// Every option of RMSprop over a few steps with given gradients, and the state that it ends with.
#[test]
fn rmsprop() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("RMSprop", 9) {
        let (a, b) = (Var::from_tensor(case.get("a"))?, Var::from_tensor(case.get("b"))?);
        let named = vec![("a".to_string(), a.clone()), ("b".to_string(), b.clone())];
        let mut optimizer = RmsProp::named(named, case.config::<RmsPropConfig>()).expect("an optimizer");
        for step in 0..case.get("after_a").dim(0)? {
            let gradients = [case.get("gradients_a").get(step)?, case.get("gradients_b").get(step)?];
            optimizer.step(&store(&[(&a, &gradients[0]), (&b, &gradients[1])])?).expect("a step");
            for (key, var) in [("a", &a), ("b", &b)] {
                let what = format!("{}, step {step}: {key}", case.name);
                report.close(&what, var, &case.get(&format!("after_{key}")).get(step)?, OUTPUT)?;
            }
        }
        let state = optimizer.state().expect("its state");
        let slots = case.tensors.iter().filter_map(|(key, slot)| Some((key.strip_prefix("slot.")?, slot)));
        for (key, slot) in slots {
            report.close(&format!("{}: {key}", case.name), &state[&key.replace('.', "/")], slot, OUTPUT)?;
        }
    }
    report.finish();
    Ok(())
}

/// The gradient of an Embedding, which Keras squares slice by slice.
#[test]
fn rmsprop_of_an_embedding() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("RMSpropSlices", 5) {
        let table = Var::from_tensor(case.get("a"))?;
        let (rows, features) = table.dims2()?;
        let config = EmbeddingConfig { input_dim: rows, output_dim: features, mask_zero: false };
        let tensors = HashMap::from([("embeddings".to_string(), table.as_tensor().clone())]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let embedding = Embedding::new(config, vb)?;
        let named = vec![("a".to_string(), table.clone())];
        let mut optimizer = RmsProp::named(named, case.config::<RmsPropConfig>())?;
        for step in 0..case.get("after").dim(0)? {
            let (ids, slices) = (case.get("ids").get(step)?, case.get("slices").get(step)?);
            // The gradient of each row that is looked up is its slice.
            optimizer.step(&weighted(&embedding.forward(&ids)?, &slices)?.backward()?)?;
            report.close(
                &format!("{}, step {step}", case.name),
                &table,
                &case.get("after").get(step)?,
                OUTPUT,
            )?;
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
    let options = RmsPropConfig { learning_rate, ..RmsPropConfig::default() };
    let mut optimizer = RmsProp::named(variables.to_vec(), options).expect("an optimizer");
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
