//! Whole models.

use crate::{Case, OUTPUT, Report, model_builder, weighted};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig};

/// Masks on their way through a model, and the gradient of every weight.
#[test]
fn models() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Sequential", 4) {
        let config = case.model_config();
        let names: Vec<String> =
            config.variables().expect("variables").into_iter().map(|(name, _)| name).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let variables = case.variables(&keys, DType::F32)?;
        let model = Model::new(&config, model_builder(&variables)).expect("a model");
        let ys = model.forward(case.get("x"), Mode::Inference).expect("an output");
        report.close(&format!("{}: y", case.name), &ys, case.get("y"), OUTPUT)?;
        report.gradients(&case.name, &case, &variables, &weighted(&ys, case.get("dy"))?.backward()?)?;
    }
    report.finish();
    Ok(())
}

/// Integers without pattern; `scripts/goldens.py` computes the same.
fn sequence(k: u64) -> u64 {
    k * 7919 + k * k % 104_729 + k * k * k % 1_299_709
}

/// Batch number `step` of 64 × 100 ids, and a label that the last two ids decide.
pub fn ruled_batch(step: u64) -> Result<(Tensor, Tensor)> {
    let ids: Vec<u32> = (step * 6400..(step + 1) * 6400).map(|k| (sequence(k) % 500) as u32).collect();
    let labels =
        ids.chunks(100).map(|row| if row[98] + row[99] < 500 { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    Ok((Tensor::from_vec(ids, (64, 100), &Device::Cpu)?, Tensor::from_vec(labels, (64, 1), &Device::Cpu)?))
}

/// A model's variables by the rule of `scripts/goldens.py`, in Keras's order.
pub fn ruled_variables(case: &Case, config: &ModelConfig) -> Result<Vec<(String, Var)>> {
    let variables = config.variables().expect("variables").into_iter().enumerate();
    variables
        .map(|(index, (name, shape))| {
            let kind = name.rsplit('.').next().expect("a name");
            let divisor = case.meta["divisors"][kind].as_f64().expect("a divisor") as f32;
            let first = 1_000_003 * index as u64;
            let size = shape.iter().product::<usize>() as u64;
            let value = |k| ((sequence(first + k) % 2001) as f32 - 1000.0) / divisor;
            let values = Tensor::from_vec((0..size).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu)?;
            Ok((name, Var::from_tensor(&values)?))
        })
        .collect()
}

/// Named variables as a map gives them.
pub fn pairs(variables: &[(String, Var)]) -> impl Iterator<Item = (&String, &Var)> {
    variables.iter().map(|(name, var)| (name, var))
}

/// The five models of the chapter: probabilities and the table that `summary()` prints.
#[test]
fn chapter() -> Result<()> {
    let mut report = Report::default();
    let summaries = include_str!("../goldens/summaries.txt");
    for case in Case::all("Inference", 5) {
        let config = case.model_config();
        let variables = ruled_variables(&case, &config)?;
        let model = Model::new(&config, model_builder(pairs(&variables))).expect("a model");
        let ys = model.forward(&ruled_batch(0)?.0, Mode::Inference).expect("an output");
        report.close(&case.name, &ys, case.get("probabilities"), OUTPUT)?;
        let summary = config.summary().expect("a summary").to_string();
        assert!(summaries.contains(summary.trim_end()), "{} has another table:\n{summary}", case.name);
    }
    report.finish();
    Ok(())
}
