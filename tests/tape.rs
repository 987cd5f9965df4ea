//! A tape's gradients are those of `backward`, whatever it has watched.

#![allow(missing_docs)]

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};
use candle_recurrent::layers::{GradientTape, Mode};
use candle_recurrent::model::{Model, ModelConfig, Weights};
use serde_json::json;

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
fn a_tape_gives_the_gradients_of_backward() {
    let (model, weights) = model();
    let plain = bits(&weights, &loss(&model).unwrap().backward().unwrap());
    assert_eq!(plain.len(), 8);

    let tape = GradientTape::new();
    let watched = loss(&model).unwrap();
    assert!(bits(&weights, &tape.gradient(&watched).unwrap()) == plain);

    // What it has watched can be gone back through without it, and once it is gone.
    let tape = GradientTape::new();
    let watched = loss(&model).unwrap();
    assert!(bits(&weights, &watched.backward().unwrap()) == plain);
    drop(tape);
    assert!(bits(&weights, &watched.backward().unwrap()) == plain);

    // What it has not watched, by a tape.
    let before = loss(&model).unwrap();
    let tape = GradientTape::new();
    assert!(bits(&weights, &tape.gradient(&before).unwrap()) == plain);
}

#[test]
fn tapes_within_tapes_keep_apart() {
    let (model, weights) = model();
    let plain = bits(&weights, &loss(&model).unwrap().backward().unwrap());
    let outer = GradientTape::new();
    let of_outer = loss(&model).unwrap();
    let inner = GradientTape::new();
    let of_inner = loss(&model).unwrap();
    assert!(bits(&weights, &inner.gradient(&of_inner).unwrap()) == plain);
    // The outer one watches again.
    let of_outer = ((of_outer + loss(&model).unwrap()).unwrap() / 2.0).unwrap();
    let plain = bits(&weights, &of_outer.backward().unwrap());
    assert!(bits(&weights, &outer.gradient(&of_outer).unwrap()) == plain);
}
