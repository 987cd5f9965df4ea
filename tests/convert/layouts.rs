//! The layouts: exact values, both ways, and what they cannot hold.

use super::{Variables, bits, error, outputs, random, sequential, tensor};
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_recurrent::Result;
use candle_recurrent::keras::{Layout, weights_from_safetensors};
use candle_recurrent::model::ModelConfig;
use serde_json::json;
use std::path::Path;

fn recurrent(class: &str, extra: serde_json::Value) -> Result<ModelConfig> {
    let mut config = json!({"name": "rnn", "units": 3});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    sequential(json!([null, 4, 2]), "float32", json!([{"class_name": class, "config": config}]))
}

/// PyTorch's gates r, z, n out of Keras's z, r, h, transposed; two biases kept apart.
#[test]
fn a_gru_s_gates_change_places() -> Result<()> {
    let config = sequential(
        json!([null, 4, 2]),
        "float32",
        json!([{"class_name": "GRU", "config": {"name": "gru", "units": 1}}]),
    )?;
    let variables = Variables::from([
        ("gru.kernel".into(), tensor(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], &[2, 3])?),
        ("gru.recurrent_kernel".into(), tensor(&[4.0, 5.0, 6.0], &[1, 3])?),
        ("gru.bias".into(), tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?),
    ]);
    for layout in [Layout::PyTorch, Layout::CandleNn] {
        let laid_out = layout.apply(&config, &variables)?;
        let expected = [
            ("gru.weight_ih_l0", tensor(&[2.0, 20.0, 1.0, 10.0, 3.0, 30.0], &[3, 2])?),
            ("gru.weight_hh_l0", tensor(&[5.0, 4.0, 6.0], &[3, 1])?),
            ("gru.bias_ih_l0", tensor(&[2.0, 1.0, 3.0], &[3])?),
            ("gru.bias_hh_l0", tensor(&[5.0, 4.0, 6.0], &[3])?),
        ];
        let expected: Variables = expected.map(|(name, tensor)| (name.to_string(), tensor)).into();
        assert_eq!(bits(&laid_out.tensors)?, bits(&expected)?);
        assert_eq!(bits(&layout.revert(&config, &expected)?)?, bits(&variables)?);
    }
    Ok(())
}

/// An LSTM there has two biases that are always added; Keras has their sum.
#[test]
fn an_lstm_s_two_biases_are_added() -> Result<()> {
    let config = recurrent("LSTM", json!({"units": 1}))?;
    let file = Variables::from([
        ("rnn.weight_ih_l0".into(), tensor(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0], &[4, 2])?),
        ("rnn.weight_hh_l0".into(), tensor(&[5.0, 6.0, 7.0, 8.0], &[4, 1])?),
        ("rnn.bias_ih_l0".into(), tensor(&[1.0, 2.0, 3.0, 4.0], &[4])?),
        ("rnn.bias_hh_l0".into(), tensor(&[10.0, 20.0, 30.0, 40.0], &[4])?),
    ]);
    let variables = Layout::PyTorch.revert(&config, &file)?;
    let expected = [
        ("rnn.kernel", tensor(&[1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0], &[2, 4])?),
        ("rnn.recurrent_kernel", tensor(&[5.0, 6.0, 7.0, 8.0], &[1, 4])?),
        ("rnn.bias", tensor(&[11.0, 22.0, 33.0, 44.0], &[4])?),
    ];
    let expected: Variables = expected.map(|(name, tensor)| (name.to_string(), tensor)).into();
    assert_eq!(bits(&variables)?, bits(&expected)?);
    Ok(())
}

/// What was laid out comes back bit for bit, whichever the layer, and is known for what it is.
#[test]
fn layouts_come_back() -> Result<()> {
    let embedding =
        json!({"class_name": "Embedding", "config": {"name": "e", "input_dim": 7, "output_dim": 4}});
    let steps = json!({"class_name": "LSTM", "config": {"name": "a", "units": 3, "return_sequences": true}});
    let config = sequential(
        json!([null, 5]),
        "int32",
        json!([embedding, steps,
            {"class_name": "GRU", "config": {"name": "b", "units": 5, "return_sequences": true, "use_bias": false}},
            {"class_name": "SimpleRNN", "config": {"name": "c", "units": 2, "activation": "relu"}},
            {"class_name": "Dropout", "config": {"name": "d", "rate": 0.5}},
            {"class_name": "Dense", "config": {"name": "f", "units": 2, "activation": "relu"}},
            {"class_name": "Dense", "config": {"name": "g", "units": 1, "use_bias": false}}]),
    )?;
    let variables = random(&config, 1)?;
    let laid_out = Layout::PyTorch.apply(&config, &variables)?;
    assert_eq!(Layout::detect(laid_out.tensors.keys().map(String::as_str)), Layout::PyTorch);
    assert_eq!(Layout::detect(variables.keys().map(String::as_str)), Layout::Keras);
    assert_eq!(bits(&Layout::PyTorch.revert(&config, &laid_out.tensors)?)?, bits(&variables)?);
    assert_eq!(laid_out.notes, ["layer b: bias=False", "layer c: nonlinearity=\"relu\""]);

    // As a file, found out by its names.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    laid_out.save(&path, &Layout::PyTorch.metadata(&config))?;
    let bytes = std::fs::read(path).expect("the file");
    let read = weights_from_safetensors(&config, &bytes, Path::new("model.safetensors"), &Device::Cpu)?;
    assert_eq!(bits(&read.snapshot()?)?, bits(&variables)?);
    Ok(())
}

/// A cell's tensors have no `_l0`; what it computes is a layer of one.
#[test]
fn a_cell_is_a_layer_of_one() -> Result<()> {
    for class in ["LSTM", "GRU"] {
        let config = recurrent(class, json!({}))?;
        let variables = random(&config, 5)?;
        let tensors = Layout::PyTorch.apply(&config, &variables)?.tensors;
        let of_cell = |(name, tensor): (String, Tensor)| {
            (name.replace("rnn.", "model.cell.").replace("_l0", ""), tensor)
        };
        let tensors: Variables = tensors.into_iter().map(of_cell).collect();
        assert_eq!(Layout::detect(tensors.keys().map(String::as_str)), Layout::PyTorch);
        assert_eq!(bits(&Layout::PyTorch.revert(&config, &tensors)?)?, bits(&variables)?);
    }
    Ok(())
}

/// There the first direction walks forwards, whatever it does here.
#[test]
fn directions_that_are_exchanged_are_refused() -> Result<()> {
    let lstm = json!({"class_name": "LSTM", "config": {"name": "f", "units": 2, "go_backwards": true}});
    let config = sequential(
        json!([null, 4, 2]),
        "float32",
        json!([{"class_name": "Bidirectional", "config": {"name": "both", "layer": lstm}}]),
    )?;
    let variables = random(&config, 6)?;
    for layout in [Layout::PyTorch, Layout::CandleNn] {
        let what = error(layout.apply(&config, &variables));
        assert!(what.contains("layer both") && what.contains("its first direction"), "{what}");
        assert_eq!(error(layout.revert(&config, &Variables::new())), what);
    }
    Ok(())
}

/// `candle_nn::lstm` and `gru` take the tensors and give this crate's numbers.
#[test]
fn candle_nn_gives_the_same_numbers() -> Result<()> {
    let shape = [3, 4, 2];
    for class in ["LSTM", "GRU"] {
        let config = recurrent(class, json!({}))?;
        let variables = random(&config, 2)?;
        let tensors = Layout::CandleNn.apply(&config, &variables)?.tensors;
        let vb = VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, &Device::Cpu);
        let values: Vec<f32> = (0..24).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let xs = Tensor::from_vec(values, &shape, &Device::Cpu)?;
        let last = match class {
            "LSTM" => lstm(2, 3, LSTMConfig::default(), vb.pp("rnn"))?.seq(&xs)?.pop().map(|state| state.h),
            _ => gru(2, 3, GRUConfig::default(), vb.pp("rnn"))?.seq(&xs)?.pop().map(|state| state.h),
        };
        let theirs = last.expect("a step").flatten_all()?.to_vec1::<f32>()?;
        let ours = outputs(&config, &variables, &shape, false)?;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-6, "{class}: {ours} {theirs}");
        }
    }
    Ok(())
}

#[test]
fn candle_nn_linear_takes_a_dense_layer() -> Result<()> {
    let config = sequential(
        json!([null, 2]),
        "float32",
        json!([{"class_name": "Dense", "config": {"name": "dense", "units": 3}}]),
    )?;
    let variables = random(&config, 3)?;
    let tensors = Layout::CandleNn.apply(&config, &variables)?.tensors;
    let vb = VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, &Device::Cpu);
    let values: Vec<f32> = (0..6).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let theirs =
        candle_nn::linear(2, 3, vb.pp("dense"))?.forward(&Tensor::from_vec(values, (3, 2), &Device::Cpu)?)?;
    let ours = outputs(&config, &variables, &[3, 2], false)?;
    for (ours, theirs) in ours.iter().zip(theirs.flatten_all()?.to_vec1::<f32>()?) {
        assert!((ours - theirs).abs() < 1e-6);
    }
    Ok(())
}

/// One stacked `torch.nn.LSTM`, and names that are not the layers'.
#[test]
fn a_stacked_lstm_is_several_layers() -> Result<()> {
    let layer = |name: &str, sequences: bool| json!({"class_name": "LSTM", "config": {"name": name, "units": 2, "return_sequences": sequences}});
    let config = sequential(
        json!([null, 4, 2]),
        "float32",
        json!([layer("first", true), layer("second", true), layer("third", false),
            {"class_name": "Dense", "config": {"name": "head", "units": 1}}]),
    )?;
    let variables = random(&config, 4)?;
    let ours = Layout::PyTorch.apply(&config, &variables)?.tensors;
    let renamed = |(name, tensor): (String, Tensor)| {
        let name = name.replace("head.", "fc.");
        let name = ["first", "second", "third"].iter().enumerate().fold(name, |name, (index, layer)| {
            match name.strip_prefix(&format!("{layer}.")) {
                Some(rest) => format!("encoder.rnn.{}", rest.replace("_l0", &format!("_l{index}"))),
                None => name,
            }
        });
        (name, tensor)
    };
    let stacked: Variables = ours.into_iter().map(renamed).collect();
    assert!(stacked.contains_key("encoder.rnn.weight_hh_l2") && stacked.contains_key("fc.weight"));
    assert_eq!(bits(&Layout::PyTorch.revert(&config, &stacked)?)?, bits(&variables)?);
    Ok(())
}

/// A module that holds the model's layers, in whichever of its parts: names end as the layers' do.
#[test]
fn names_may_begin_with_those_of_a_larger_module() -> Result<()> {
    let lstm = |name: &str| json!({"class_name": "LSTM", "config": {"name": name, "units": 2, "return_sequences": true}});
    let dense = |name: &str| json!({"class_name": "Dense", "config": {"name": name, "units": 2}});
    let layers = json!([lstm("lstm"), lstm("lstm_1"), dense("dense"), dense("dense_1")]);
    let config = sequential(json!([null, 4, 2]), "float32", layers)?;
    let variables = random(&config, 4)?;
    let ours = Layout::PyTorch.apply(&config, &variables)?.tensors;
    let under = |prefix: &dyn Fn(&str) -> &'static str| -> Variables {
        ours.iter().map(|(name, tensor)| (format!("{}{name}", prefix(name)), tensor.clone())).collect()
    };
    let encoder = |name: &str| if name.starts_with("lstm") { "net.encoder." } else { "head." };
    for renamed in [under(&|_| "model."), under(&|_| "module.model."), under(&encoder)] {
        assert_eq!(bits(&Layout::PyTorch.revert(&config, &renamed)?)?, bits(&variables)?);
    }
    // Two ends that are the same are no name.
    let twice = |name: &str| if name.starts_with("lstm.") { "a." } else { "b." };
    let twice =
        under(&twice).into_iter().map(|(name, tensor)| (name.replace("lstm_1", "lstm"), tensor)).collect();
    let line = error(Layout::PyTorch.revert(&config, &twice));
    assert!(line.contains("a.lstm, b.lstm") && line.contains("cannot be told"), "{line}");
    let mut wrong = under(&|_| "model.");
    wrong.insert("model.lstm.weight_hh_l0".into(), tensor(&[0.0; 24], &[12, 2])?);
    let line = error(Layout::PyTorch.revert(&config, &wrong));
    assert!(line.contains("the module `model.lstm`") && line.contains("has shape [12, 2]"), "{line}");
    Ok(())
}

/// Where two modules fit a layer, nothing is guessed.
#[test]
fn two_modules_that_fit_are_not_guessed_at() -> Result<()> {
    let dense = |name: &str| json!({"class_name": "Dense", "config": {"name": name, "units": 2}});
    let config = sequential(json!([null, 2]), "float32", json!([dense("a"), dense("b")]))?;
    let tensors = Layout::PyTorch.apply(&config, &random(&config, 5)?)?.tensors;
    let swapped: Variables = tensors
        .into_iter()
        .map(|(name, tensor)| (name.replace("a.", "fc1.").replace("b.", "fc2."), tensor))
        .collect();
    let line = error(Layout::PyTorch.revert(&config, &swapped));
    assert!(line.contains("layer a") && line.contains("fc1, fc2") && line.contains("`a`"), "{line}");
    Ok(())
}

#[test]
fn what_is_missing_or_left_over_is_named() -> Result<()> {
    let config = recurrent("LSTM", json!({}))?;
    let tensors = Layout::PyTorch.apply(&config, &random(&config, 6)?)?.tensors;
    let mut short = tensors.clone();
    short.remove("rnn.bias_hh_l0");
    let line = error(Layout::PyTorch.revert(&config, &short));
    assert!(line.contains("layer rnn") && line.contains("`bias_hh_l0` [12] is missing"), "{line}");
    let mut wrong = tensors.clone();
    wrong.insert("rnn.weight_hh_l0".into(), tensor(&[0.0; 24], &[12, 2])?);
    let line = error(Layout::PyTorch.revert(&config, &wrong));
    assert!(line.contains("`weight_hh_l0` has shape [12, 2]") && line.contains("needs [12, 3]"), "{line}");
    let mut more = tensors;
    more.insert("fc.weight".into(), tensor(&[0.0], &[1, 1])?);
    let line = error(Layout::PyTorch.revert(&config, &more));
    assert!(line.contains("no layer for the module `fc`"), "{line}");
    Ok(())
}

#[test]
fn what_a_layout_cannot_hold_is_refused_with_the_reason() -> Result<()> {
    let cases = [
        ("GRU", json!({"reset_after": false}), "reset_after=False"),
        ("LSTM", json!({"activation": "relu"}), "always tanh there, not relu"),
        ("GRU", json!({"recurrent_activation": "hard_sigmoid"}), "always sigmoid there, not hard_sigmoid"),
        ("SimpleRNN", json!({"activation": "sigmoid"}), "tanh or relu there, not sigmoid"),
        ("LSTM", json!({"go_backwards": true}), "from the last step to the first"),
    ];
    for (class, extra, reason) in cases {
        let config = recurrent(class, extra)?;
        let line = error(Layout::PyTorch.apply(&config, &random(&config, 7)?));
        assert!(line.starts_with("layer rnn: layout pytorch: ") && line.contains(reason), "{line}");
    }
    let config = recurrent("SimpleRNN", json!({}))?;
    let variables = random(&config, 8)?;
    assert!(Layout::PyTorch.apply(&config, &variables).is_ok());
    assert!(error(Layout::CandleNn.apply(&config, &variables)).contains("candle-nn has no plain RNN"));
    Ok(())
}
