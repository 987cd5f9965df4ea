//! `train::backward` gives the gradients of Candle's.

#![allow(missing_docs)]

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::train::backward;
use serde_json::json;
use std::sync::{Arc, Mutex};

/// A table that two layers read, an LSTM that is called twice, layers whose gradients Candle adds up.
fn model() -> (Model, Weights) {
    let layer = |class: &str, config: serde_json::Value, calls: serde_json::Value| json!({"class_name": class, "config": config, "inbound_nodes": calls});
    let config = json!({
        "name": "model",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "ids", "batch_shape": [null, 9], "dtype": "int32"}},
            layer("Embedding", json!({"name": "embedding", "input_dim": 11, "output_dim": 6}), json!([[["ids", 0, 0]]])),
            layer("LSTM", json!({"name": "lstm", "units": 6, "return_sequences": true}), json!([[["embedding", 0, 0]], [["lstm", 0, 0]]])),
            layer("GRU", json!({"name": "gru", "units": 5, "use_bias": false}), json!([[["embedding", 0, 0]]])),
            layer("GlobalMaxPooling1D", json!({"name": "pooling"}), json!([[["lstm", 1, 0]]])),
            layer("UnitNormalization", json!({"name": "normal"}), json!([[["pooling", 0, 0]]])),
            layer("Concatenate", json!({"name": "both"}), json!([[["normal", 0, 0], ["gru", 0, 0]]])),
            layer("Dense", json!({"name": "dense", "units": 3}), json!([[["both", 0, 0]]])),
        ],
        "input_layers": [["ids", 0, 0]],
        "output_layers": [["dense", 0, 0]],
    });
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let weights = Weights::init(&config, 3, &Device::Cpu).unwrap();
    (Model::new(&config, weights.var_builder()).unwrap(), weights)
}

fn loss(model: &Model) -> Result<Tensor> {
    let ids: Vec<u32> = (0..7 * 9).map(|at| at * 5 % 11).collect();
    let ids = Tensor::from_vec(ids, (7, 9), &Device::Cpu)?;
    model.forward(&ids, Mode::Training { seed: 1 }).unwrap().sqr()?.sum_all()
}

fn bits(weights: &Weights, gradients: &GradStore) -> Vec<(String, Vec<u32>)> {
    let of = |(name, variable): (&str, &candle_core::Var)| {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name} has no gradient"));
        let numbers = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Candle adds to 0, which makes -0 a 0.
        (name.to_string(), numbers.into_iter().map(|x| (x + 0.0).to_bits()).collect())
    };
    weights.iter().map(of).collect()
}

#[test]
fn the_gradients_are_those_of_candle() {
    let (model, weights) = model();
    let watched = loss(&model).unwrap();
    let plain = bits(&weights, &watched.backward().unwrap());
    assert_eq!(plain.len(), 8);
    assert!(bits(&weights, &backward(&watched).unwrap()) == plain);
    assert!(bits(&weights, &watched.backward().unwrap()) == plain);
    // A graph of several passes, which Candle and the layers give to the same variables.
    let penalty = |(_, variable): (&str, &candle_core::Var)| variable.sqr().unwrap().sum_all().unwrap();
    let penalties = weights.iter().map(penalty).reduce(|a, b| (a + b).unwrap()).unwrap();
    let both = ((watched + loss(&model).unwrap()).unwrap() + penalties).unwrap();
    let [ours, plain] = [backward(&both), both.backward()].map(|gradients| gradients.unwrap());
    for (name, variable) in weights.iter() {
        let [ours, plain] = [&ours, &plain].map(|gradients| gradients.get(variable).unwrap());
        let apart = (ours - plain).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let size = plain.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let [apart, size] = [apart, size].map(|number| number.to_scalar::<f32>().unwrap());
        assert!(apart <= 1e-6 * size, "{name}: {apart} of {size}");
    }
}

/// An op whose way back goes through a graph of its own, as a thread that waits may take up another's work.
struct Within(Arc<Mutex<Vec<GradStore>>>, Arc<Model>, bool);

impl CustomOp1 for Within {
    fn name(&self) -> &'static str {
        "within"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let loss = loss(&self.1)?;
        let gradients = if self.2 { backward(&loss) } else { loss.backward() };
        self.0.lock().unwrap().push(gradients?);
        Ok(Some(gradient.clone()))
    }
}

#[test]
fn passes_within_passes_keep_apart() {
    let (model, weights) = model();
    let model = Arc::new(model);
    let plain = bits(&weights, &loss(&model).unwrap().backward().unwrap());
    for ours in [false, true] {
        let inner = Arc::new(Mutex::new(vec![]));
        let within = Within(inner.clone(), model.clone(), ours);
        let outer = backward(&loss(&model).unwrap().apply_op1(within).unwrap()).unwrap();
        assert!(bits(&weights, &outer) == plain);
        let inner = inner.lock().unwrap();
        assert_eq!(inner.len(), 1);
        assert!(bits(&weights, &inner[0]) == plain);
    }
}
