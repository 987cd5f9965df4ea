//! Optimisers and learning-rate schedules.

use crate::{Case, text, weighted};
use candle_core::{DType, Device, Module, Result, Tensor, Var, backprop::GradStore};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{Embedding, EmbeddingConfig};
use candle_recurrent::train::{Optimizer, OptimizerConfig, Schedule};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Of the greatest number in what is compared.
const TOLERANCE: f64 = 1e-6;

/// A store with these gradients.
fn store(gradients: &[(&Var, &Tensor)]) -> Result<GradStore> {
    let products = gradients.iter().map(|(var, gradient)| (var.as_tensor() * gradient.detach())?.sum_all());
    let products = products.collect::<Result<Vec<_>>>()?;
    Tensor::stack(&products, 0)?.sum_all()?.backward()
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The greatest difference as a part of the greatest number.
fn difference(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let greatest = expected.iter().fold(0f64, |greatest, x| greatest.max(x.abs())).max(1e-30);
    // NaN is larger than every number in this order, so that it fails.
    let differences = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
    differences.max_by(f64::total_cmp).unwrap_or(0.0) / greatest
}

/// The worst of each kind of comparison, and what is beyond the tolerance.
#[derive(Default)]
struct Worst {
    worst: HashMap<&'static str, (f64, String)>,
    beyond: Vec<String>,
}

impl Worst {
    fn compare(&mut self, kind: &'static str, name: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
        let found = difference(actual, expected);
        let worst = self.worst.entry(kind).or_default();
        if found.is_nan() || found > worst.0 {
            *worst = (found, name.to_string());
        }
        if found.is_nan() || found > tolerance {
            self.beyond.push(format!("{name}, {kind}: {found:.1e}"));
        }
    }

    fn finish(self) {
        for (kind, (found, name)) in &self.worst {
            println!("{kind}: worst difference {found:.1e}, {name}");
        }
        assert!(self.beyond.is_empty(), "{}", self.beyond.join("\n"));
    }
}

fn config(case: &Value) -> OptimizerConfig {
    let config = json!({ "class_name": case["class_name"], "config": case["config"] });
    serde_json::from_value(config).unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

/// 100 steps from given gradients, and the state that they end with; the same in f64, by tensor operations.
#[test]
fn every_option_takes_kerass_steps() -> Result<()> {
    let golden = Case::all("Optimizers", 1).remove(0);
    let cases = golden.meta["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 114);
    let kept: Vec<u64> =
        golden.meta["kept"].as_array().expect("steps").iter().filter_map(Value::as_u64).collect();
    let mut worst = Worst::default();
    for case in cases {
        let name = text(&case["name"]);
        for dtype in [DType::F32, DType::F64] {
            let var = |key: &str| Var::from_tensor(&golden.get(key).to_dtype(dtype)?);
            let (a, b) = (var("a")?, var("b")?);
            let named = vec![("a".to_string(), a.clone()), ("b".to_string(), b.clone())];
            let config = config(case);
            let scale = config.loss_scale_factor.unwrap_or(1.0);
            let mut optimizer = Optimizer::new(named, config).expect("an optimizer");
            let mut after = vec![];
            for step in 0..100 {
                let gradient = |key: &str| golden.get(key).get(step)?.to_dtype(dtype)? * scale;
                let (da, db) = (gradient("gradients_a")?, gradient("gradients_b")?);
                optimizer.step(&store(&[(&a, &da), (&b, &db)])?).expect("a step");
                if kept.contains(&(step as u64 + 1)) {
                    after.extend(numbers(&a)?);
                    after.extend(numbers(&b)?);
                }
            }
            let expected = numbers(golden.get(&format!("{name}.after")))?;
            let single = dtype == DType::F32;
            let (kind, tolerance) = if single { ("fused", TOLERANCE) } else { ("in f64", 20.0 * TOLERANCE) };
            worst.compare(kind, &name, &after, &expected, tolerance);
            if !single {
                continue;
            }
            let expected = numbers(golden.get(&format!("{name}.state")))?;
            let mut at = 0;
            let state = optimizer.keras_variables().expect("its state");
            assert_eq!(state.len(), case["variables"].as_array().expect("names").len());
            for (variable, keras) in state.iter().zip(case["variables"].as_array().expect("names")) {
                let own = match &variable.of {
                    Some(of) => format!("{of}_{}", variable.name),
                    None => variable.name.to_string(),
                };
                // Nadam's product has no name of its own in Keras.
                assert!(own == "u_product" || keras == &own, "{name}: {own}, in Keras {keras}");
                let actual = numbers(&variable.value)?;
                let expected = &expected[at..][..actual.len()];
                worst.compare("state", &format!("{name}, {own}"), &actual, expected, 2.0 * TOLERANCE);
                at += actual.len();
            }
            assert_eq!(at, expected.len());
        }
    }
    worst.finish();
    Ok(())
}

/// An Embedding under `fit`, whose gradient Keras keeps token by token, and what `fit` leaves in it.
#[test]
fn an_embedding_takes_kerass_steps() -> Result<()> {
    let golden = Case::all("Optimizers", 1).remove(0);
    let (rows, features) = golden.get("table").dims2()?;
    // Where the sums are taken instead of the slices: see `Optimizer`.
    let differs = |name: &str| {
        name.contains("clipvalue") || name.contains("RMSprop_centered") || name == "Adamax_clipnorm"
    };
    let (mut worst, mut compared) = (Worst::default(), 0);
    for case in golden.meta["cases"].as_array().expect("cases") {
        let name = text(&case["name"]);
        let Some(expected) = golden.tensors.get(&format!("{name}.table")) else { continue };
        if differs(&name) {
            continue;
        }
        let table = Var::from_tensor(golden.get("table"))?;
        let mut optimizer =
            Optimizer::new(vec![("table".to_string(), table.clone())], config(case)).expect("an optimizer");
        let config = EmbeddingConfig { input_dim: rows, output_dim: features, mask_zero: false };
        let tensors = HashMap::from([("embeddings".to_string(), table.as_tensor().clone())]);
        let embedding = Embedding::new(config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        let mut after = vec![];
        for step in 0..100 {
            let (ids, slices) = (golden.get("ids").get(step)?, golden.get("slices").get(step)?);
            let loss = weighted(&embedding.forward(&ids)?, &slices)?;
            optimizer.step(&loss.backward()?).expect("a step");
            if [0, 1, 9, 99].contains(&step) {
                after.extend(numbers(&table)?);
            }
        }
        optimizer.finalize().expect("the averages");
        after.extend(numbers(&table)?);
        worst.compare("embedding", &name, &after, &numbers(expected)?, TOLERANCE);
        compared += 1;
    }
    assert_eq!(compared, 91);
    worst.finish();
    Ok(())
}

/// The rates of the first steps, from the JSON that Keras writes.
#[test]
fn schedules() -> Result<()> {
    let golden = Case::all("Schedules", 1).remove(0);
    let cases = golden.meta["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 14);
    let mut worst = Worst::default();
    for case in cases {
        let name = text(&case["name"]);
        let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).expect("a schedule");
        let again = serde_json::from_value::<Schedule>(serde_json::to_value(&schedule).expect("JSON"));
        assert_eq!(again.expect("a schedule"), schedule);
        let rates: Vec<f64> = (0..=500).map(|step| schedule.at(step)).collect();
        worst.compare("rates", &name, &rates, &numbers(golden.get(&name))?, TOLERANCE);
    }
    worst.finish();
    Ok(())
}
