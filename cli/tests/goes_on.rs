//! `train` on arrays, from files that Keras began to train (`scripts/keras_goes_on.py`): the same course, the same weights.

use assert_cmd::Command;
use candle_core::Device;
use candle_recurrent::checkpoint::ModelFolder;
use candle_recurrent::keras;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn train(out: &Path, name: &str, options: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.arg("train").arg(fixture(&format!("goes_on_{name}.keras")));
    command.arg("--data").arg(fixture(&format!("goes_on_{name}.npz")));
    command.args(["--batch-size", "16", "--no-shuffle", "--epochs", "5", "--patience", "99"]).args(options);
    command.arg("--out").arg(out).assert()
}

#[test]
fn training_goes_on_where_keras_stopped() {
    for (name, options) in
        [("forecast", &[][..]), ("classes", &["--class-weight", "0=2,3=0.5"]), ("tagger", &[]), ("two", &[])]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        // The weights of the last epoch are looked at: the loss of training falls to the end.
        let said = train(&out, name, &[options, &["--monitor", "loss"]].concat()).success();
        let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
        assert!(said.contains(" goes on from the file's state, after 20 steps"), "{name}: {said}");
        let run = ModelFolder::open(&out).expect("a folder");
        let (history, config) = (run.history().expect("a history"), run.config().expect("a configuration"));
        let text = std::fs::read_to_string(fixture(&format!("goes_on_{name}.json"))).expect("a history");
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        let mut worst = 0_f64;
        for (figure, values) in expected.as_object().expect("figures") {
            for (epoch, value) in history.epochs.iter().zip(values.as_array().expect("values")) {
                let (found, value) = (epoch.get(figure), value.as_f64().expect("a number"));
                let found = found.unwrap_or_else(|| panic!("{name}: no {figure} in {:?}", history.names()));
                worst = worst.max((found - value).abs() / value.abs().max(1.0));
            }
        }
        assert!(worst < 1e-5, "{name}: figures differ by {worst:.1e}");
        assert_eq!(config.results.expect("results").best_epoch, 5, "{name}");
        let (model, after) = keras::load(fixture(&format!("goes_on_{name}.after.keras"))).expect("opens");
        let found = run.weights(&model, &Device::Cpu).expect("weights");
        for ((variable, found), (_, expected)) in found.iter().zip(after.iter()) {
            let numbers = |tensor: candle_core::Tensor| -> Vec<f32> {
                tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers")
            };
            let (found, expected) =
                (numbers(found.as_detached_tensor()), numbers(expected.as_detached_tensor()));
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0_f32, f32::max);
            assert!(worst < 1e-5, "{name}: {variable} differs by {worst:.1e}");
        }
    }
}

#[test]
fn what_does_not_fit_is_said_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    for (name, options, words) in [
        ("classes", &["--loss", "mse"][..], "y has shape (rows), and the loss of output `"),
        ("classes", &["--loss", "binary_crossentropy"], "softmax"),
        ("forecast", &["--loss", "sparse_categorical_crossentropy"], "sparse_categorical_crossentropy"),
        ("forecast", &["--loss", "msee"], "mse"),
        ("forecast", &["--metrics", "accurracy"], "accuracy"),
        ("forecast", &["--optimizer", "adamm"], "Adam"),
        ("forecast", &["--optimizer", "adam(beta1=0.9)"], "beta_1"),
        ("forecast", &["--monitor", "val_mea"], "did you mean `val_mae`?"),
        ("forecast", &["--learning-rate-schedule", "cosine(decay_steps=3)"], "CosineDecay"),
        ("forecast", &["--reduce-lr", "factor=2"], "factor: 2, expected a number between 0 and 1"),
        ("two", &["--metrics", "mae"], "2 outputs"),
    ] {
        let refused = train(&out, name, options).failure();
        let output = refused.get_output();
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains(words), "{name} {options:?}: {said}");
        assert!(output.stdout.is_empty(), "{name} {options:?}");
        assert!(
            !out.exists() || std::fs::read_dir(&out).expect("a folder").next().is_none(),
            "{name} {options:?}"
        );
    }
}
