//! Padding that a batch has in common changes nothing, whether the model leaves it out or not.

use candle_core::{Device, Tensor};
use candle_recurrent::Result;
use candle_recurrent::layers::Mode;
use candle_recurrent::model::{Model, ModelConfig, Weights};

/// A model of these layers after an Embedding that masks 0.
fn model(layers: &str) -> Result<(Model, ModelConfig)> {
    let config = ModelConfig::from_json(&format!(
        r#"{{"name": "m", "layers": [
            {{"class_name": "InputLayer", "config": {{"name": "input", "batch_shape": [null, 12]}}}},
            {{"class_name": "Embedding", "config": {{"name": "embedding", "input_dim": 9, "output_dim": 5, "mask_zero": true}}}},
            {layers}
        ]}}"#
    ))?;
    let model = Model::new(&config, Weights::init(&config, 7, &Device::Cpu)?.detached())?;
    Ok((model, config))
}

const GRU: &str = r#"{"class_name": "GRU", "config": {"name": "gru", "units": 4}}"#;
const SEQUENCES: &str =
    r#"{"class_name": "LSTM", "config": {"name": "lstm", "units": 4, "return_sequences": true}}"#;
const BOTH: &str = r#"{"class_name": "Bidirectional", "config": {"name": "both", "layer":
    {"class_name": "GRU", "config": {"name": "gru", "units": 4, "return_sequences": true}}}}"#;
const LARGEST: &str = r#"{"class_name": "GlobalMaxPooling1D", "config": {"name": "pool"}}"#;
const MEAN: &str = r#"{"class_name": "GlobalAveragePooling1D", "config": {"name": "pool"}}"#;
const DENSE: &str = r#"{"class_name": "Dense", "config": {"name": "dense", "units": 2}}"#;
const DROPOUT: &str = r#"{"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.5}}"#;
const WORDS: &str =
    r#"{"class_name": "Dropout", "config": {"name": "words", "rate": 0.5, "noise_shape": [null, null, 1]}}"#;
const FIXED: &str =
    r#"{"class_name": "Dropout", "config": {"name": "words", "rate": 0.5, "noise_shape": [null, 12, 1]}}"#;
const CONV: &str = r#"{"class_name": "Conv1D", "config": {"name": "conv", "filters": 4, "kernel_size": 3}}"#;
const FLATTEN: &str = r#"{"class_name": "Flatten", "config": {"name": "flatten"}}"#;

#[test]
fn what_is_left_out_changes_no_answer() -> Result<()> {
    let skipping = [
        vec![GRU, DENSE],
        vec![SEQUENCES, LARGEST, DENSE],
        vec![SEQUENCES, MEAN, DENSE],
        vec![BOTH, LARGEST, DENSE],
        vec![BOTH, MEAN],
        vec![DROPOUT, BOTH, LARGEST],
        vec![WORDS, SEQUENCES, MEAN],
        vec![BOTH, DROPOUT, MEAN],
        vec![SEQUENCES, GRU],
    ];
    let mut random = candle_recurrent::data::RandomState::new(5);
    for layers in skipping {
        let (model, _) = model(&layers.join(","))?;
        assert!(model.skips_padding(), "{layers:?}");
        for (before, behind) in [(5, 0), (0, 5), (3, 4), (1, 1), (0, 0), (11, 0)] {
            let width = 12 - before - behind;
            let ids: Vec<u32> =
                random.permutation((3 * width) as u32).into_iter().map(|id| 1 + id % 8).collect();
            let row = |row: usize| {
                let ids = &ids[row * width..(row + 1) * width];
                [vec![0; before], ids.to_vec(), vec![0; behind]].concat()
            };
            // A row without padding keeps all columns there; what the others give is the same.
            let full: Vec<u32> = (0..12).map(|at| 1 + at % 8).collect();
            let padded = [row(0), row(1), row(2)].concat();
            let alone = Tensor::from_vec(padded.clone(), (3, 12), &Device::Cpu)?;
            let beside = Tensor::from_vec([padded, full].concat(), (4, 12), &Device::Cpu)?;
            let alone = model.forward(&alone, Mode::Inference)?.to_vec2::<f32>()?;
            let beside = model.forward(&beside, Mode::Inference)?.to_vec2::<f32>()?;
            assert_eq!(alone, beside[..3], "{layers:?}, {before} and {behind} columns of padding");
        }
    }
    Ok(())
}

#[test]
fn layers_that_padding_matters_to_keep_it() -> Result<()> {
    let backwards = SEQUENCES.replace("true", r#"true, "go_backwards": true"#);
    let keeping = [
        vec![CONV, GRU],
        vec![FLATTEN, DENSE],
        vec![SEQUENCES],
        vec![SEQUENCES, DENSE],
        vec![SEQUENCES, DROPOUT, LARGEST],
        vec![LARGEST],
        vec![DENSE, LARGEST],
        vec![FIXED, GRU],
        vec![&backwards, GRU],
    ];
    for layers in &keeping {
        assert!(!model(&layers.join(","))?.0.skips_padding(), "{layers:?}");
    }
    // Without a mask everything counts.
    let config = ModelConfig::from_json(&format!(
        r#"{{"name": "m", "layers": [
            {{"class_name": "Embedding", "config": {{"name": "embedding", "input_dim": 9, "output_dim": 5}}}}, {GRU}]}}"#
    ))?;
    let model = Model::new(&config, Weights::init(&config, 7, &Device::Cpu)?.detached())?;
    assert!(!model.skips_padding());
    Ok(())
}
