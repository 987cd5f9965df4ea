//! The model folder, its files, and the zoo.

use candle_core::Device;
use candle_recurrent::checkpoint::{Config, Contents, ModelFolder, Results, card};
use candle_recurrent::model::{ModelConfig, Weights};
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{Epoch, History};
use candle_recurrent::{Result, zoo};
use std::fs;
use std::path::Path;

fn error<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.to_string(),
    }
}

fn epoch(epoch: usize, val_loss: f64) -> Epoch {
    let figures = [("loss", 0.5), ("accuracy", 0.7), ("val_loss", val_loss), ("val_accuracy", 0.75)];
    Epoch::new(epoch, &figures, 0.25)
}

fn results() -> Results {
    Results {
        data: "imdb.npz".into(),
        seed: 42,
        epochs: 5,
        best_epoch: 2,
        figures: [
            ("val_loss", 0.4368),
            ("val_accuracy", 0.7944),
            ("test_loss", 0.4401),
            ("test_accuracy", 0.7931),
        ]
        .into_iter()
        .collect(),
        seconds: 12.5,
    }
}

/// Names, all parameters, and those of the recurrent layers (the chapter's table).
#[test]
fn the_zoo_counts_its_parameters_as_keras_does() -> Result<()> {
    let expected: [(&str, usize, &[usize]); 9] = [
        ("simple-rnn", 8209, &[200]),
        ("lstm", 8809, &[800]),
        ("dropout-lstm", 8809, &[800]),
        ("stacked-lstm", 9353, &[800, 544]),
        ("gru", 8633, &[624]),
        ("lstm-adam", 8809, &[800]),
        ("dropout-lstm-adam", 8809, &[800]),
        ("stacked-lstm-adam", 9353, &[800, 544]),
        ("gru-adam", 8633, &[624]),
    ];
    assert_eq!(zoo::names().collect::<Vec<_>>(), expected.map(|(name, ..)| name));
    for (name, total, recurrent) in expected {
        let config = zoo::get(name)?.config()?;
        assert_eq!(config.model.name, name);
        let summary = config.model.summary()?;
        assert_eq!(summary.total_params, total, "{name}");
        let layers = summary.layers[1..].iter().filter(|layer| layer.class_name != "Dense");
        assert_eq!(layers.map(|layer| layer.params).collect::<Vec<_>>(), recurrent, "{name}");
        let recipe = config.recipe;
        assert_eq!((recipe.vocab_size, recipe.max_len, recipe.batch_size), (500, 100, 64));
        let rate = if name.ends_with("-adam") { 1e-3 } else { 1e-4 };
        let patience = recipe.patience();
        assert_eq!((recipe.epochs, patience, recipe.optimizer.learning_rate.at(0)), (100, Some(3), rate));
    }
    Ok(())
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest() {
    assert!(error(zoo::get("stacked_lstm")).contains("did you mean `stacked-lstm`?"));
    assert!(error(zoo::get("transformer-xl")).contains("simple-rnn, lstm, dropout-lstm, stacked-lstm, gru"));
}

/// The zoo works out of the box: weights, vocabulary and figures belong together.
#[test]
fn every_model_of_the_zoo_loads() -> Result<()> {
    for entry in zoo::entries() {
        let checkpoint = entry.load(&Device::Cpu)?;
        let words = checkpoint.tokenizer.map(|tokenizer| tokenizer.vocab_size());
        assert!(words.is_some_and(|words| words <= checkpoint.config.recipe.vocab_size));
        let best = entry.history()?.best().map(|best| best.epoch);
        assert_eq!(checkpoint.config.results.map(|results| results.best_epoch), best, "{}", entry.name);
    }
    Ok(())
}

#[test]
fn a_folder_gives_back_what_was_written() -> Result<()> {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = ModelFolder::create(parent.path().join("deep/model"))?;
    let mut config = zoo::get("gru")?.config()?;
    config.set_text_shape(7, 5);
    config.results = Some(results());
    let weights = Weights::init(&config.model, 3, &Device::Cpu)?;
    let history = History { epochs: vec![epoch(1, 0.6), epoch(2, 0.4368)] };
    let tokenizer = Tokenizer::from_words(["film", "good", "bad"], 7)?;
    folder.save(&Contents {
        config: &config,
        weights: &weights.snapshot()?,
        epoch: Some(&history.epochs[1]),
        optimizer: None,
        tokenizer: Some(&tokenizer),
        history: Some(&history),
    })?;

    let folder = ModelFolder::open(folder.path())?;
    assert_eq!(Config { saved: None, ..folder.config()? }, config);
    assert_eq!(folder.history()?, history);
    let loaded = folder.weights(&config.model, &Device::Cpu)?;
    for ((name, before), (_, after)) in weights.iter().zip(loaded.iter()) {
        assert_eq!(before.flatten_all()?.to_vec1::<f32>()?, after.flatten_all()?.to_vec1::<f32>()?, "{name}");
    }
    let checkpoint = folder.load(&Device::Cpu)?;
    assert_eq!(checkpoint.model.config(), &config.model);
    let read = checkpoint.tokenizer.expect("a tokenizer");
    assert_eq!(read.encode("Good film!")?, tokenizer.encode("Good film!")?);
    // No temporary file is left.
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4);
    Ok(())
}

#[test]
fn a_folder_of_other_things_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.tex"), "years of work").expect("a file");
    assert!(error(ModelFolder::create(folder.path())).contains("no model folder"));
    assert!(error(ModelFolder::open(folder.path())).contains("no config.json"));
    assert!(error(ModelFolder::open(folder.path().join("none"))).contains("no such folder"));
    assert!(
        error(ModelFolder::create(folder.path().join("thesis.tex"))).contains("is a file, where a folder")
    );
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn a_recipe_takes_from_the_model_what_it_leaves_out() -> Result<()> {
    let model = r#"{"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 40], "dtype": "int32"}},
        {"class_name": "Embedding", "config": {"name": "embedding", "input_dim": 300, "output_dim": 4}},
        {"class_name": "GRU", "config": {"name": "gru", "units": 3}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 1, "activation": "sigmoid"}}]}"#;
    let config = Config::from_json(&format!(r#"{{"model": {model}}}"#), Path::new("c.json"))?;
    assert_eq!((config.recipe.vocab_size, config.recipe.max_len, config.recipe.epochs), (300, 40, 100));
    let read = Config::from_json(&config.to_json()?, Path::new("c.json"))?;
    assert_eq!(read, config);
    for (recipe, message) in [
        (r#"{"vocab_size": 500}"#, "recipe.vocab_size: 500, but the Embedding's input_dim is 300"),
        (r#"{"max_len": 0}"#, "recipe.max_len: 0"),
        (r#"{"batch_size": 0}"#, "recipe.batch_size: 0"),
        (r#"{"validation_split": 1.5}"#, "recipe.validation_split: 1.5"),
        (r#"{"optimizer": {"learning_rate": -1.0}}"#, "learning_rate"),
        (r#"{"batchsize": 3}"#, "batchsize"),
    ] {
        let json = format!(r#"{{"model": {model}, "recipe": {recipe}}}"#);
        let said = error(Config::from_json(&json, Path::new("c.json")));
        assert!(said.starts_with("c.json: ") && said.contains(message), "{said}");
    }
    Ok(())
}

/// A `config.json` with a model in a model in a model, so many levels.
fn nested(levels: usize) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for level in 1..levels {
        open += &format!(r#"{{"class_name": "Sequential", "config": {{"name": "m{level}", "layers": ["#);
        close += "]}}";
    }
    let layers = r#"{"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 4]}}"#;
    let dense = r#"{"class_name": "Dense", "config": {"name": "dense", "units": 2}}"#;
    format!(r#"{{"model": {{"name": "m0", "layers": [{layers}, {open}{dense}{close}]}}}}"#)
}

/// A test's thread has 2 MB of stack.
#[test]
fn models_in_models_are_read_however_deep_and_a_bomb_is_refused() -> Result<()> {
    let read = |levels: usize| Config::from_json(&nested(levels), Path::new("c.json"));
    let config = read(64)?;
    let variables = config.model.variables()?;
    assert_eq!(variables.len(), 2);
    assert!(variables[0].0.starts_with("m1.m2.") && variables[0].0.ends_with("m63.dense.kernel"));
    assert_eq!(Config::from_json(&config.to_json()?, Path::new("again.json"))?, config);
    // As many as the bound on JSON lets through are too many for a model.
    assert!(error(read(80)).contains("at most 64 can be read"));
    for levels in [200, 100_000] {
        let said = error(read(levels));
        assert_eq!(said, "c.json: is nested too deep: more than 256 lists and objects within each other");
    }
    let model = nested(64).replacen(r#"{"model": "#, "", 1);
    assert!(ModelConfig::from_json(&model[..model.len() - 1])?.variables().is_ok());
    Ok(())
}

#[test]
fn the_card_has_the_front_matter_of_the_hub() -> Result<()> {
    let mut config = zoo::get("stacked-lstm")?.config()?;
    config.results = None;
    let untrained = card(&config)?;
    assert!(untrained.starts_with("---\nlibrary_name: candle\n"));
    assert!(!untrained.contains("model-index"));
    config.results = Some(results());
    let text = card(&config)?;
    let front =
        text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).expect("front matter").0;
    for line in [
        "pipeline_tag: text-classification",
        "datasets:\n- stanfordnlp/imdb",
        "metrics:\n- accuracy",
        "model-index:\n- name: \"stacked-lstm\"",
        "      type: \"stanfordnlp/imdb\"",
        "    - type: accuracy\n      value: 0.7931",
        "- lstm",
    ] {
        assert!(front.contains(line), "{line} is not in:\n{front}");
    }
    assert_eq!(front.matches("- lstm\n").count(), 1);
    for line in
        ["| validation loss | 0.4368 |", "| best epoch | 2 of 5 |", "Total params: 9,353", "dropout 0.3"]
    {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    Ok(())
}
