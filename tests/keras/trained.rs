//! Models with frozen layers, regularisers and constraints, trained by real Keras 3.15 (`scripts/keras_trained.py`): the
//! same losses, the same weights.

use super::fixtures::FIXTURES;
use super::support::error;
use candle_core::npy::NpzTensors;
use candle_recurrent::data::{Dataset, Examples};
use candle_recurrent::keras;
use candle_recurrent::model::ModelConfig;
use candle_recurrent::train::{FitConfig, Objective, RmsProp, Shuffle, Trainer};
use std::path::Path;

/// The losses' error relative to them, and the largest error of a variable.
fn train(name: &str) -> (f64, Vec<(String, f64)>) {
    let path = |end: &str| Path::new(FIXTURES).join(format!("trained_{name}{end}"));
    let npz = NpzTensors::new(path(".golden.npz")).unwrap();
    let get = |name: &str| npz.get(name).unwrap().unwrap();
    let (x, y) = (get("x").to_vec2::<u32>().unwrap(), get("y").to_vec1::<f32>().unwrap());
    let rows = |from: usize, to: usize| {
        let labels = y[from..to].iter().map(|&label| label as u8).collect();
        Examples::from(&Dataset::new(x[from..to].concat(), labels, x[0].len()).unwrap())
    };
    let loaded = keras::load_with(path(".keras"), &keras::Options::default()).unwrap();
    assert_eq!(loaded.warnings, [""; 0], "{name}");
    let optimizer = RmsProp::default().with_learning_rate(0.01);
    let objective = Objective::named("binary_crossentropy", &[]).unwrap();
    let mut trainer = Trainer::new(&loaded.config, &loaded.weights, optimizer, objective).unwrap();
    let config = FitConfig { epochs: 3, batch_size: 8, shuffle: Shuffle::Never, ..FitConfig::default() };
    let outcome = trainer.fit(&rows(0, 24), Some(&rows(24, 40)), &config).unwrap();
    let mut worst = 0_f64;
    for key in ["loss", "val_loss"] {
        let expected = get(key).to_vec1::<f64>().unwrap();
        let found = outcome.history.epochs.iter().map(|epoch| epoch.get(key).unwrap());
        for (found, expected) in found.zip(expected) {
            worst = worst.max((found - expected).abs() / expected);
        }
    }
    let (_, after) = keras::load(path(".after.keras")).unwrap();
    let mut errors = vec![];
    for ((name, found), (other, expected)) in loaded.weights.iter().zip(after.iter()) {
        assert_eq!(name, other);
        errors.push((name.to_string(), error(&found.as_detached_tensor(), &expected.as_detached_tensor())));
    }
    (worst, errors)
}

#[test]
fn keras_trains_to_the_same_weights() {
    let mut failures = vec![];
    for name in ["frozen", "regularized", "activities", "constrained", "cells", "edges"] {
        let (loss, errors) = train(name);
        let worst = errors.iter().fold(0_f64, |worst, (_, error)| worst.max(*error));
        println!("{name}: losses within {loss:.1e}, weights within {worst:.1e}");
        if loss > 1e-5 {
            failures.push(format!("{name}: losses {loss:.1e}"));
        }
        let wrong = errors.iter().filter(|(_, error)| *error > 1e-4);
        failures.extend(wrong.map(|(variable, error)| format!("{name}: {variable} {error:.1e}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What Keras says of training goes through a file of this crate's, and through a model folder's JSON.
#[test]
fn rules_of_training_are_written_back() {
    for name in ["frozen", "regularized", "activities", "constrained", "cells", "edges"] {
        let path = Path::new(FIXTURES).join(format!("trained_{name}.keras"));
        let (config, weights) = keras::load(&path).unwrap();
        let written = keras::to_keras(&config, &weights.snapshot().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let again = folder.path().join("again.keras");
        written.save(&again).unwrap();
        let (read, _) = keras::load(&again).unwrap();
        assert_eq!(read.summary().unwrap(), config.summary().unwrap(), "{name}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(ModelConfig::from_json(&json).unwrap(), config, "{name}");
        let says = config.summary().unwrap().to_string();
        match name {
            "frozen" => assert!(says.contains("Trainable params: 199 (796.00 B)"), "{says}"),
            "regularized" => assert!(says.contains(" lstm.bias: L2(l2=0.05)"), "{says}"),
            _ => {}
        }
    }
}
