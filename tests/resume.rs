//! A run that goes on from its state comes to what it would have come to without the pause, to the bit.

use candle_core::{Device, Tensor};
use candle_recurrent::Error;
use candle_recurrent::checkpoint::{Config, RunOf, SavedRun};
use candle_recurrent::data::{Array, Examples};
use candle_recurrent::model::Weights;
use candle_recurrent::train::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROWS: usize = 24;
const STEPS: usize = 5;

/// Numbers that look random and never change.
fn drawn(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

fn examples(seed: u32) -> Result<Examples> {
    let xs = Array::floats(drawn(ROWS * STEPS * 3, seed), &[ROWS, STEPS, 3])?;
    let signs = drawn(ROWS * STEPS * 3, seed);
    let ys: Vec<f32> = signs.chunks(STEPS * 3).map(|row| f32::from(row.iter().sum::<f32>() > 0.0)).collect();
    Ok(Examples::new(vec![xs], vec![Array::floats(ys, &[ROWS, 1])?])?)
}

fn config(stateful: bool, recipe: Value) -> Result<Config> {
    let activation = if recipe["loss"] == "mse" { "linear" } else { "sigmoid" };
    let shape = if stateful { json!([6, STEPS, 3]) } else { json!([null, STEPS, 3]) };
    let config = json!({
        "model": {"name": "m", "layers": [
            {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": shape}},
            {"class_name": "GRU", "config": {
                "name": "gru", "units": 4, "dropout": 0.2, "recurrent_dropout": 0.1, "stateful": stateful}},
            {"class_name": "BatchNormalization", "config": {"name": "norm"}},
            {"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.3}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 1, "activation": activation}}]},
        "recipe": recipe});
    Ok(Config::from_json(&config.to_string(), Path::new("config.json"))?)
}

/// Ends a run at a step or behind an epoch, having taken its state.
struct Pause {
    /// Steps until then; an epoch's end counts as one.
    after: usize,
    state: Option<RunState>,
    best: BTreeMap<usize, Snapshot>,
    rollbacks: Vec<f64>,
}

impl Pause {
    fn after(after: usize) -> Self {
        Self { after, state: None, best: BTreeMap::new(), rollbacks: vec![] }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.after == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Observer for Pause {
    fn on_step(&mut self, _: &Step) -> candle_recurrent::Result<ControlFlow<()>> {
        Ok(self.flow())
    }

    fn on_epoch(&mut self, _: &History) -> candle_recurrent::Result<ControlFlow<()>> {
        Ok(self.flow())
    }

    fn on_best(&mut self, epoch: &Epoch, weights: &Snapshot, _: &Optimizer) -> candle_recurrent::Result<()> {
        self.best.insert(epoch.epoch, weights.clone());
        Ok(())
    }

    fn wants_state(&mut self, _: bool) -> bool {
        let wants = self.after == 1;
        self.after = self.after.saturating_sub(1);
        wants
    }

    fn on_state(&mut self, state: RunState) -> candle_recurrent::Result<()> {
        self.state = Some(state);
        Ok(())
    }

    fn on_rollback(&mut self, _: &Error, rate: f64) -> candle_recurrent::Result<()> {
        self.rollbacks.push(rate);
        Ok(())
    }
}

/// All that a run comes to.
#[derive(Debug, PartialEq)]
struct Ended {
    figures: Vec<Figures>,
    best_epoch: Option<usize>,
    restored_epoch: Option<usize>,
    stop: Stop,
    weights: BTreeMap<String, Vec<u32>>,
    state: BTreeMap<String, Vec<u32>>,
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Vec<u32>>> {
    let bits = |tensor: &Tensor| -> Result<Vec<u32>> {
        let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), bits(tensor)?))).collect()
}

struct Case {
    config: Config,
    on_nan: OnNan,
    train: Examples,
    validation: Examples,
}

impl Case {
    fn new(stateful: bool, recipe: Value) -> Result<Self> {
        let (train, validation) = (examples(1)?, examples(2)?);
        Ok(Self { config: config(stateful, recipe)?, on_nan: OnNan::Stop, train, validation })
    }

    fn trainer(&self) -> Result<(Weights, Trainer)> {
        let weights = Weights::init(&self.config.model, 7, &Device::Cpu)?;
        let optimizer = self.config.recipe.optimizer.clone();
        let trainer = Trainer::new(&self.config.model, &weights, optimizer, self.config.objective()?)?;
        Ok((weights, trainer))
    }

    fn fit(&self, trainer: &mut Trainer, state: Option<RunState>, observer: &mut Pause) -> Result<Outcome> {
        let config = FitConfig { on_nan: self.on_nan, ..self.config.recipe.fit_config(11) };
        Ok(trainer.fit_from(state, &self.train, Some(&self.validation), &config, observer)?)
    }

    /// Runs from a state, or from the beginning; with a pause after so many steps, which gives the state.
    fn run(&self, state: Option<RunState>, pause: usize) -> Result<(Ended, Pause)> {
        let (weights, mut trainer) = self.trainer()?;
        let mut observer = Pause::after(pause);
        let outcome = self.fit(&mut trainer, state, &mut observer)?;
        let ended = Ended {
            figures: outcome.history.epochs.into_iter().map(|epoch| epoch.figures).collect(),
            best_epoch: outcome.best_epoch,
            restored_epoch: outcome.restored_epoch,
            stop: outcome.stop,
            weights: bits(&weights.snapshot()?)?,
            state: bits(&trainer.optimizer().state()?)?,
        };
        Ok((ended, observer))
    }

    /// Pauses after every step and epoch in turn, writes the state down, reads it, and goes on in a new process's place.
    fn holds(&self) -> Result<Ended> {
        let (whole, uninterrupted) = self.run(None, 0)?;
        let here = tempfile::tempdir()?;
        let mut pauses = 0;
        for pause in 1.. {
            let (_, paused) = self.run(None, pause)?;
            let Some(state) = paused.state else { break };
            let of = RunOf {
                config: serde_json::to_value(&self.config)?,
                seed: 11,
                data: RunOf::sums(&[("training rows", Some(&self.train))], &[], None)?,
                begun: Value::Null,
                seconds: 1.5,
            };
            SavedRun { of: of.clone(), state }.save(here.path())?;
            let read = SavedRun::load(here.path())?;
            assert_eq!(read.of, of);
            let (resumed, observer) = self.run(Some(read.state), 0)?;
            assert_eq!(resumed, whole, "paused after {pause}");
            for (epoch, weights) in &observer.best {
                assert_eq!(bits(weights)?, bits(&uninterrupted.best[epoch])?, "best of epoch {epoch}");
            }
            pauses += 1;
        }
        assert!(pauses > 10, "{pauses} pauses");
        Ok(whole)
    }
}

#[test]
fn adam_with_callbacks_and_metrics_goes_on_to_the_bit() -> Result<()> {
    let case = Case::new(
        false,
        json!({"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.05}}, "batch_size": 7, "epochs": 12,
            "loss": "binary_crossentropy", "metrics": ["accuracy", "AUC", "F1Score", "Precision", "R2Score", "mse"],
            "callbacks": [
                {"class_name": "EarlyStopping", "config": {"patience": 3, "restore_best_weights": true}},
                {"class_name": "ReduceLROnPlateau", "config": {"patience": 1, "factor": 0.5}},
                {"class_name": "ModelCheckpoint", "config": {"save_best_only": true}}]}),
    )?;
    let whole = case.holds()?;
    assert!(
        whole.figures.iter().any(|it| it.get("learning_rate") < Some(0.05)),
        "the rate was never reduced"
    );
    assert!(whole.restored_epoch.is_some(), "nothing came back");
    Ok(())
}

#[test]
fn schedules_averages_and_gathered_gradients_go_on_to_the_bit() -> Result<()> {
    let case = Case::new(
        false,
        json!({"optimizer": {"class_name": "Nadam", "config": {"learning_rate": 0.01,
                "use_ema": true, "ema_momentum": 0.9, "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2}},
            "batch_size": 5, "epochs": 3, "shuffle": "every_epoch", "loss": "mse", "metrics": ["mae"],
            "callbacks": [{"class_name": "ModelCheckpoint", "config": {}}]}),
    )?;
    case.holds()?;
    let schedule = json!({"class_name": "ExponentialDecay",
        "config": {"initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.9}});
    let case = Case::new(
        false,
        json!({"optimizer": {"class_name": "RMSprop", "config": {"learning_rate": schedule, "momentum": 0.5}},
            "batch_size": 8, "epochs": 4, "loss": "binary_crossentropy", "callbacks": []}),
    )?;
    case.holds()?;
    Ok(())
}

#[test]
fn a_stateful_model_goes_on_to_the_bit() -> Result<()> {
    let case = Case::new(
        true,
        json!({"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.1}}, "batch_size": 6, "epochs": 3,
            "shuffle": "never", "loss": "binary_crossentropy", "callbacks": []}),
    )?;
    case.holds()?;
    Ok(())
}

#[test]
fn more_epochs_are_as_if_they_had_been_asked_for_at_once() -> Result<()> {
    let recipe = |epochs: usize| {
        json!({"optimizer": {"class_name": "Adam", "config": {"use_ema": true}}, "batch_size": 8, "epochs": epochs,
            "loss": "binary_crossentropy", "callbacks": []})
    };
    let (short, long) = (Case::new(false, recipe(2))?, Case::new(false, recipe(4))?);
    // The beginning; three steps and the end of an epoch, twice.
    let (_, ended) = short.run(None, 9)?;
    let state = ended.state.ok_or("no state")?;
    assert_eq!((state.epochs, state.batches), (2, 0));
    assert_eq!(long.run(Some(state), 0)?.0, long.run(None, 0)?.0);
    Ok(())
}

#[test]
fn another_run_is_refused_with_what_differs() -> Result<()> {
    let recipe = |rate: f64| {
        json!({"optimizer": {"class_name": "SGD", "config": {"learning_rate": rate}}, "epochs": 3,
            "loss": "binary_crossentropy", "callbacks": []})
    };
    let case = Case::new(false, recipe(0.1))?;
    let of = |config: &Config, seed: u64, data: &Examples| -> Result<RunOf> {
        let (config, data) =
            (serde_json::to_value(config)?, RunOf::sums(&[("training rows", Some(data))], &[], None)?);
        Ok(RunOf { config, seed, data, begun: Value::Null, seconds: 0.0 })
    };
    let own = of(&case.config, 1, &case.train)?;
    let mut longer = case.config.clone();
    longer.recipe.epochs = 9;
    own.check(&of(&longer, 1, &case.train)?)?;
    let refused = |other: &RunOf| own.check(other).expect_err("refused").to_string();
    let other = Case::new(false, recipe(0.2))?;
    let told = refused(&of(&other.config, 1, &case.train)?);
    assert!(told.contains("recipe.optimizer.config.learning_rate"), "{told}");
    assert!(told.contains("the run is of 0.1, and this is 0.2"), "{told}");
    assert!(refused(&of(&case.config, 2, &case.train)?).contains("seed: the run is of 1, and this is 2"));
    assert!(refused(&of(&case.config, 1, &case.validation)?).contains("training rows: they are other data"));
    // A state of another model is refused by the run itself.
    let (_, paused) = case.run(None, 2)?;
    let mut state = paused.state.ok_or("no state")?;
    state.now.weights.remove("dense.bias");
    let told = case.run(Some(state), 0).map(|_| ()).expect_err("refused").to_string();
    assert!(told.contains("dense.bias: the state lacks this variable"), "{told}");
    Ok(())
}

#[test]
fn a_damaged_state_is_refused() -> Result<()> {
    let case = Case::new(false, json!({"epochs": 2, "loss": "binary_crossentropy", "callbacks": []}))?;
    let (_, paused) = case.run(None, 1)?;
    let of = RunOf { config: json!({}), seed: 1, data: BTreeMap::new(), begun: Value::Null, seconds: 0.0 };
    let here = tempfile::tempdir()?;
    SavedRun { of, state: paused.state.ok_or("no state")? }.save(here.path())?;
    let path = here.path().join("state.safetensors");
    let bytes = std::fs::read(&path)?;
    for end in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..end])?;
        let told = SavedRun::load(here.path()).expect_err("refused").to_string();
        assert!(told.contains("state.safetensors: is no whole state of a run"), "{end}: {told}");
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let version = format!("written_by\\\":\\\"{}", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    let later = version.replace(env!("CARGO_PKG_VERSION"), &"9".repeat(env!("CARGO_PKG_VERSION").len()));
    let mut other = bytes.clone();
    let at = bytes.windows(version.len()).position(|it| it == version.as_bytes()).ok_or("no version")?;
    other[at..at + later.len()].copy_from_slice(later.as_bytes());
    std::fs::write(&path, other)?;
    let told = SavedRun::load(here.path()).expect_err("refused").to_string();
    assert!(told.contains("was written by candle-recurrent 99999"), "{told}");
    std::fs::remove_file(&path)?;
    assert!(
        SavedRun::load(here.path())
            .expect_err("refused")
            .to_string()
            .contains("there is no run to go on with")
    );
    Ok(())
}

/// A rate at which the first steps blow up, and three halvings that tame it, or do not.
#[test]
fn a_run_goes_back_where_the_loss_is_no_number() -> Result<()> {
    let recipe = |rate: f64| {
        json!({"optimizer": {"class_name": "SGD", "config": {"learning_rate": rate}}, "batch_size": 2, "epochs": 1,
            "loss": "mse", "callbacks": [{"class_name": "ModelCheckpoint", "config": {}}]})
    };
    let told = |case: &Case| case.run(None, 0).map(|_| ()).expect_err("diverges").to_string();
    let mut case = Case::new(false, recipe(1e38))?;
    let said = told(&case);
    assert!(said.contains("the loss became") && said.contains("in epoch 1, step "), "{said}");
    assert!(said.contains("was no longer finite") || said.contains("first in what layer"), "{said}");
    case.on_nan = OnNan::Rollback;
    let said = told(&case);
    assert!(said.contains("in epoch 1"), "{said}");
    // Where twice the rate fails and the rate does not, going back once is enough.
    let fails = |rate: f64| {
        Ok::<bool, Box<dyn std::error::Error>>(Case::new(false, recipe(rate))?.run(None, 0).is_err())
    };
    let mut rate = 1e38;
    while fails(rate)? {
        rate /= 2.0;
    }
    let mut case = Case::new(false, recipe(rate * 2.0))?;
    case.on_nan = OnNan::Rollback;
    let (ended, observer) = case.run(None, 0)?;
    assert_eq!((observer.rollbacks, ended.stop, ended.figures.len()), (vec![rate], Stop::Finished, 1));
    case.holds().map(|whole| assert_eq!(whole, ended))
}
