//! The crate against Keras itself: `goldens/` holds what Keras computes, one file a case (see its README).
//!
//! Outputs agree within 1e-5 and gradients within 1e-4, both relative to values above 1.

mod graphs;
mod layers;
mod losses;
mod metrics;
mod models;
mod operations;
mod optimizers;
mod recurrent;
mod training;

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use candle_nn::VarBuilder;
use candle_recurrent::layers::Mode;
use candle_recurrent::model::ModelConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

const OUTPUT: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;

/// One file of `goldens/`.
struct Case {
    name: String,
    class_name: String,
    meta: Value,
    tensors: HashMap<String, Tensor>,
}

impl Case {
    /// Every case of a class; the number is checked so that no case goes missing unseen.
    fn all(class_name: &str, count: usize) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
        let mut cases: Vec<Self> = std::fs::read_dir(&folder)
            .expect("tests/goldens")
            .map(|entry| entry.expect("an entry of tests/goldens").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .map(|path| {
                let bytes = std::fs::read(&path).expect("a golden file");
                let (_, header) =
                    safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors header");
                let json = &header.metadata().as_ref().expect("metadata")["case"];
                let meta: Value = serde_json::from_str(json).expect("JSON");
                Self {
                    name: text(&meta["name"]),
                    class_name: text(&meta["class_name"]),
                    meta,
                    tensors: candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).expect("tensors"),
                }
            })
            .filter(|case| case.class_name == class_name)
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(cases.len(), count, "cases of {class_name}");
        cases
    }

    fn config<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.meta["config"].clone())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn mode(&self) -> Mode {
        match self.meta["seed"].as_u64() {
            Some(seed) => Mode::Training { seed },
            None if self.meta["training"] == true => Mode::Training { seed: 1 },
            None => Mode::Inference,
        }
    }

    fn get(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }

    /// The model of this case.
    fn model_config(&self) -> ModelConfig {
        let config = ModelConfig::from_json(&self.meta["config"].to_string());
        config.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The tensors of these keys as variables, as far as the case has them.
    fn variables(&self, keys: &[&str], dtype: DType) -> Result<HashMap<String, Var>> {
        let present = keys.iter().filter_map(|&key| Some((key, self.tensors.get(key)?)));
        present
            .map(|(key, tensor)| Ok((key.to_string(), Var::from_tensor(&tensor.to_dtype(dtype)?)?)))
            .collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_string()
}

/// The variables, still tracked, of a layer named `layer`.
fn builder(variables: &HashMap<String, Var>, dtype: DType) -> VarBuilder<'static> {
    let tensors = variables.iter().map(|(key, var)| (format!("layer.{key}"), var.as_tensor().clone()));
    VarBuilder::from_tensors(tensors.collect(), dtype, &Device::Cpu).pp("layer")
}

/// The same of a model, whose variables have full names.
fn model_builder<'a>(variables: impl IntoIterator<Item = (&'a String, &'a Var)>) -> VarBuilder<'static> {
    let tensors = variables.into_iter().map(|(key, var)| (key.clone(), var.as_tensor().clone()));
    VarBuilder::from_tensors(tensors.collect(), DType::F32, &Device::Cpu)
}

/// What did not agree; said all at once at the end.
#[derive(Default)]
struct Report {
    compared: usize,
    failures: Vec<String>,
}

impl Report {
    fn close(&mut self, what: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
        if actual.dims() != expected.dims() {
            self.failures.push(format!("{what}: shape {:?}, Keras has {:?}", actual.dims(), expected.dims()));
            return Ok(());
        }
        let flat = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (actual, expected) = (flat(actual)?, flat(expected)?);
        let error = |a: f64, e: f64| if a == e { 0.0 } else { (a - e).abs() / e.abs().max(1.0) };
        let worst = actual.iter().zip(&expected).map(|(&a, &e)| error(a, e)).enumerate();
        // NaN is larger than every number in this order, so that it fails.
        let (at, worst) = worst.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        self.compared += 1;
        if worst.is_nan() || worst > tolerance {
            let (a, e) = (actual[at], expected[at]);
            self.failures.push(format!("{what}: element {at} is {a}, in Keras {e} (off by {worst:.1e})"));
        }
        Ok(())
    }

    /// The gradients of `variables` against the case's `d…` tensors.
    fn gradients(
        &mut self,
        what: &str,
        case: &Case,
        variables: &HashMap<String, Var>,
        gradients: &GradStore,
    ) -> Result<()> {
        for (key, var) in variables {
            let expected = if key == "x" { case.get("dx") } else { case.get(&format!("d_{key}")) };
            let actual = gradient(gradients, var)?;
            self.close(&format!("{what}: d_{key}"), &actual, &expected.reshape(actual.dims())?, GRADIENT)?;
        }
        Ok(())
    }

    fn finish(self) {
        assert!(self.compared > 0, "nothing was compared");
        let (count, failures) = (self.failures.len(), self.failures.join("\n"));
        assert!(count == 0, "{count} of {} comparisons failed:\n{failures}", self.compared);
    }
}

/// sum(y · dy)
fn weighted(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    (y * dy.to_dtype(y.dtype())?)?.sum_all()
}

/// The gradient of a variable; none is one of zeros.
fn gradient(gradients: &GradStore, var: &Tensor) -> Result<Tensor> {
    gradients.get(var).map_or_else(|| var.zeros_like(), |gradient| Ok(gradient.clone()))
}
