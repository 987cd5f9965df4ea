//! Keras's steps of an Embedding's variable.

use super::*;

/// A store that holds these gradients.
fn store(gradients: [(&Tensor, Tensor); 2]) -> GradStore {
    let mut store = Var::zeros((), DType::F32, &Device::Cpu).unwrap().backward().unwrap();
    for (of, gradient) in gradients {
        store.insert(of, gradient);
    }
    store
}

/// The mean square of the variable, which Keras on TensorFlow gathers token by token, with the options of
/// `scripts/goldens_train.py`.
#[test]
fn slices_take_kerass_steps() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/rmsprop.safetensors");
    let goldens = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let base = RmsPropConfig::default;
    let cases = [
        ("default", base()),
        ("momentum", RmsPropConfig { momentum: 0.9, ..base() }),
        ("weight_decay", RmsPropConfig { weight_decay: Some(0.1), learning_rate: 0.02, ..base() }),
        ("clipnorm", RmsPropConfig { clipnorm: Some(0.8), ..base() }),
        ("global_clipnorm", RmsPropConfig { global_clipnorm: Some(0.9), ..base() }),
        (
            "momentum_decay_clipnorm",
            RmsPropConfig { momentum: 0.5, weight_decay: Some(0.05), clipnorm: Some(0.4), ..base() },
        ),
    ];
    for (case, config) in cases {
        let var = Var::from_tensor(&goldens["slices/start"]).unwrap();
        let squares = TokenSquares::of(&var).unwrap().unwrap();
        let mut optimizer = RmsProp::named(vec![("table".into(), var.clone())], config).unwrap();
        for step in 0..10 {
            let golden = |name: &str| goldens[&format!("slices/{name}")].get(step).unwrap();
            let gradients = [(var.as_tensor(), golden("gradient")), (squares.companion(), golden("squares"))];
            optimizer.step(&store(gradients)).unwrap();
            let difference = (var.as_tensor() - golden(case)).unwrap().abs().unwrap().max_all().unwrap();
            let difference = difference.to_scalar::<f32>().unwrap();
            assert!(difference <= 1e-6, "{case}, step {step}: {difference}");
        }
    }
}
