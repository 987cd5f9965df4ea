//! The loss, `fit`, `evaluate` and the callbacks, against Keras 3.15 (`scripts/goldens_train.py` made the numbers).

use candle_core::{D, DType, Device, Tensor, Var};
use candle_recurrent::data::{Array, Dataset, Examples};
use candle_recurrent::layers::{Activation, Mode};
use candle_recurrent::train::*;
use candle_recurrent::{Error, Result as CrateResult};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn goldens() -> Result<HashMap<String, Tensor>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/train.safetensors");
    Ok(candle_core::safetensors::load(path, &Device::Cpu)?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn close(found: &[f32], expected: &[f32], tolerance: f32) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance * b.abs().max(1.0))
}

#[test]
fn the_loss_is_kerass_at_any_logit() -> Result<()> {
    let goldens = goldens()?;
    for dtype in [DType::F32, DType::F64] {
        for case in ["ones", "zeros", "mixed"] {
            let golden = |name: &str| &goldens[&format!("loss/{case}/{name}")];
            let logits = Var::from_tensor(&goldens["loss/logits"].to_dtype(dtype)?)?;
            let batch = batch_loss(&logits, golden("targets"))?;
            let gradient = batch.loss.backward()?.remove(&logits).ok_or("no gradient")?;
            let (loss, expected) = (numbers(&batch.loss)?, numbers(golden("loss"))?);
            assert!(close(&loss, &expected, 1e-6), "{case}: {loss:?}, not {expected:?}");
            assert!((batch.value as f32 - loss[0]).abs() <= 1e-6 * loss[0]);
            let (gradient, expected) = (numbers(&gradient)?, numbers(golden("gradient"))?);
            assert!(close(&gradient, &expected, 1e-7), "{case}: {gradient:?}, not {expected:?}");
        }
    }
    Ok(())
}

#[test]
fn the_loss_differentiates_through_what_comes_before_and_after() -> Result<()> {
    let xs = Var::new(&[0.3f32, -1.2, 2.0, 0.0], &Device::Cpu)?;
    let targets = Tensor::new(&[1f32, 0.0, 0.25, 1.0], &Device::Cpu)?;
    let loss = |xs: &Tensor| -> Result<Tensor> { Ok((binary_crossentropy(&(xs * 1.5)?, &targets)? * 2.0)?) };
    let gradient = numbers(loss(&xs)?.backward()?.get(&xs).ok_or("no gradient")?)?;
    for (index, gradient) in gradient.into_iter().enumerate() {
        let at = |step: f32| -> Result<f32> {
            let mut values = numbers(&xs)?;
            values[index] += step;
            Ok(loss(&Tensor::new(values, &Device::Cpu)?)?.to_scalar()?)
        };
        let numeric = (at(1e-2)? - at(-1e-2)?) / 2e-2;
        assert!((gradient - numeric).abs() < 1e-4, "{index}: {gradient}, by differences {numeric}");
    }
    Ok(())
}

#[test]
fn the_loss_refuses_what_does_not_match() -> Result<()> {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    assert!(binary_crossentropy(&zeros(&[4, 2])?, &zeros(&[4])?).is_err());
    assert!(binary_crossentropy(&zeros(&[0, 1])?, &zeros(&[0])?).is_err());
    // A NaN among the logits is not lost.
    let nan = Tensor::new(&[1f32, f32::NAN], &Device::Cpu)?;
    assert!(batch_loss(&nan, &zeros(&[2])?)?.value.is_nan());
    Ok(())
}

/// A logistic regression on ids / 10.
struct Logistic {
    variables: Vec<(String, Var)>,
}

impl Logistic {
    fn new(kernel: &Tensor, bias: &Tensor) -> Result<Self> {
        let var = |name: &str, value: &Tensor| -> Result<_> {
            Ok((name.to_string(), Var::from_tensor(&value.copy()?.detach())?))
        };
        Ok(Self { variables: vec![var("dense.kernel", kernel)?, var("dense.bias", bias)?] })
    }

    fn weights(&self) -> Result<Vec<f32>> {
        Ok([numbers(&self.variables[0].1)?, numbers(&self.variables[1].1)?].concat())
    }

    fn optimizer(&self, learning_rate: f64) -> CrateResult<Optimizer> {
        Optimizer::new(self.variables.clone(), RmsProp::default().with_learning_rate(learning_rate))
    }

    /// The same model without a graph.
    fn detached(&self) -> impl Fn(&Tensor, Mode) -> CrateResult<Tensor> {
        let (kernel, bias) =
            (self.variables[0].1.as_detached_tensor(), self.variables[1].1.as_detached_tensor());
        move |xs, _| {
            let logits = (xs.to_dtype(DType::F32)? / 10.0)?.matmul(&kernel)?.broadcast_add(&bias)?;
            assert!(!logits.track_op(), "validation builds a graph");
            Ok(logits)
        }
    }
}

impl Logistic {
    fn logits(&self, xs: &Tensor, _: Mode) -> CrateResult<Tensor> {
        let xs = (xs.to_dtype(DType::F32)? / 10.0)?;
        Ok(xs.matmul(self.variables[0].1.as_tensor())?.broadcast_add(self.variables[1].1.as_tensor())?)
    }
}

impl Trainable for Logistic {
    fn call(&self, inputs: &[Tensor], mode: Mode) -> CrateResult<Called> {
        let output =
            Output { activation: Some(Activation::Sigmoid), ..self.logits(&inputs[0], mode)?.into() };
        Ok(Called { outputs: vec![output], penalty: None })
    }
}

/// Binary cross-entropy of logits, and accuracy of them: for closures that give logits.
fn of_logits() -> Objective {
    let loss = BinaryCrossentropy { from_logits: true, ..Default::default() };
    let accuracy = metrics::BinaryAccuracy { threshold: 0.0, name: Some("accuracy".into()) };
    Objective::new(loss, [accuracy.into()])
}

/// The same for a model that says that it ends in a sigmoid.
fn objective() -> Objective {
    Objective::named("binary_crossentropy", &["accuracy"]).expect("an objective")
}

/// Trains a logistic regression.
fn course(
    model: &Logistic,
    optimizer: &mut Optimizer,
    data: (&Examples, &Examples),
    config: &FitConfig,
    observer: &mut dyn Observer,
) -> CrateResult<Outcome> {
    run((model, model, &objective()), optimizer, data, config, observer)
}

/// Trains as the parts say.
fn run<T: Trainable + ?Sized, F: Trainable + ?Sized>(
    (model, detached, objective): (&T, &F, &Objective),
    optimizer: &mut Optimizer,
    (train, validation): (&Examples, &Examples),
    config: &FitConfig,
    observer: &mut dyn Observer,
) -> CrateResult<Outcome> {
    fit(Training { model, detached, optimizer, objective }, train, Some(validation), config, observer)
}

struct Case {
    model: Logistic,
    train: Examples,
    validation: Examples,
}

fn case() -> Result<Case> {
    let goldens = goldens()?;
    let dataset = |x: &str, y: &str| -> Result<Examples> {
        let ids = numbers(&goldens[x])?.into_iter().map(|id| id as u32).collect();
        let labels = numbers(&goldens[y])?.into_iter().map(|label| label as u8).collect();
        Ok(Examples::from(&Dataset::new(ids, labels, goldens[x].dim(D::Minus1)?)?))
    };
    Ok(Case {
        model: Logistic::new(&goldens["fit/kernel"], &goldens["fit/bias"])?,
        train: dataset("fit/x", "fit/y")?,
        validation: dataset("fit/x_val", "fit/y_val")?,
    })
}

/// Notes what `fit` tells it, and ends the run after a number of batches if asked.
#[derive(Default)]
struct Log {
    batches: usize,
    last: Option<(usize, usize, usize, Figures)>,
    epochs: usize,
    best: Vec<(usize, Vec<f32>)>,
    break_after: Option<usize>,
}

impl Observer for Log {
    fn on_step(&mut self, step: &Step) -> CrateResult<ControlFlow<()>> {
        self.batches += 1;
        self.last = Some((step.epoch, step.batch, step.batches, step.meters.figures()));
        Ok(if self.break_after == Some(self.batches) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn on_epoch(&mut self, history: &History) -> CrateResult<ControlFlow<()>> {
        self.epochs = history.epochs.len();
        Ok(ControlFlow::Continue(()))
    }

    fn on_best(&mut self, epoch: &Epoch, weights: &Snapshot, _: &Optimizer) -> CrateResult<()> {
        let values = |name: &str| weights[name].flatten_all()?.to_vec1::<f32>();
        self.best.push((epoch.epoch, [values("dense.kernel")?, values("dense.bias")?].concat()));
        Ok(())
    }
}

#[test]
fn fit_takes_kerass_course() -> Result<()> {
    let (Case { model, train, validation }, goldens) = (case()?, goldens()?);
    let config = FitConfig {
        epochs: 5,
        batch_size: 8,
        callbacks: vec![ModelCheckpoint::default().into()],
        shuffle: Shuffle::Never,
        ..Default::default()
    };
    let mut log = Log::default();
    let mut optimizer = model.optimizer(0.02)?;
    let outcome = course(&model, &mut optimizer, (&train, &validation), &config, &mut log)?;
    for name in ["loss", "accuracy", "val_loss", "val_accuracy"] {
        let epochs = outcome.history.epochs.iter();
        let found: Vec<f32> = epochs.map(|epoch| epoch.get(name).unwrap_or(f64::NAN) as f32).collect();
        let expected = numbers(&goldens[&format!("fit/{name}")])?;
        assert!(close(&found, &expected, 2e-6), "{name}: {found:?}, not {expected:?}");
    }
    let expected = [numbers(&goldens["fit/kernel_after"])?, numbers(&goldens["fit/bias_after"])?].concat();
    assert!(close(&model.weights()?, &expected, 2e-6), "{:?}, not {expected:?}", model.weights()?);
    assert_eq!((outcome.stop, outcome.restored_epoch), (Stop::Finished, None));
    assert_eq!((log.batches, log.epochs, log.best.len()), (15, 5, 5));
    let (last, epoch) = (log.last.ok_or("no batch")?, &outcome.history.epochs[4]);
    assert_eq!((last.0, last.1, last.2), (5, 3, 3));
    assert_eq!([last.3.get("loss"), last.3.get("accuracy")], [epoch.get("loss"), epoch.get("accuracy")]);

    let evaluation = evaluate(&model.detached(), &of_logits(), &validation, 1024, &Device::Cpu)?;
    assert!((evaluation.loss() - epoch.val_loss().ok_or("no validation")?).abs() < 1e-7);
    assert_eq!((evaluation.get("accuracy"), evaluation.samples), (epoch.get("val_accuracy"), 13));
    Ok(())
}

#[test]
fn one_seed_gives_one_course() -> Result<()> {
    let run = |seed: u64, shuffle: Shuffle| -> Result<(Vec<f32>, Vec<u64>)> {
        let Case { model, train, validation } = case()?;
        let seeds = std::cell::RefCell::new(Vec::new());
        let tracked = |xs: &Tensor, mode: Mode| {
            if let Mode::Training { seed } = mode {
                seeds.borrow_mut().push(seed);
            }
            model.logits(xs, mode)
        };
        let config = FitConfig { epochs: 3, batch_size: 8, shuffle, seed, ..Default::default() };
        let mut optimizer = model.optimizer(0.02)?;
        run(
            (&tracked, &model.detached(), &of_logits()),
            &mut optimizer,
            (&train, &validation),
            &config,
            &mut Silent,
        )?;
        Ok((model.weights()?, seeds.into_inner()))
    };
    let (weights, seeds) = run(1, Shuffle::EveryEpoch)?;
    assert_eq!(run(1, Shuffle::EveryEpoch)?, (weights.clone(), seeds.clone()));
    assert_ne!(run(2, Shuffle::EveryEpoch)?.0, weights);
    assert_ne!(run(1, Shuffle::Never)?.0, weights);
    assert_ne!(run(1, Shuffle::Once)?.0, weights);
    // Every batch of every epoch has dropout masks of its own.
    let distinct: std::collections::BTreeSet<_> = seeds.iter().collect();
    assert_eq!((seeds.len(), distinct.len()), (9, 9));
    Ok(())
}

/// Every epoch sees every row once, in a drawn order: one for all epochs, or one for each.
#[test]
fn epochs_are_shuffled() -> Result<()> {
    let Case { model, .. } = case()?;
    let rows = 50u32;
    let ids = (0..rows).flat_map(|row| [row; 4]).collect();
    let train = Examples::from(&Dataset::new(ids, (0..50).map(|row| row % 2).collect(), 4)?);
    let seen = std::cell::RefCell::new(Vec::new());
    let tracked = |xs: &Tensor, mode: Mode| {
        seen.borrow_mut().extend(xs.i_first_column()?);
        model.logits(xs, mode)
    };
    for shuffle in [Shuffle::Once, Shuffle::EveryEpoch] {
        let config = FitConfig { epochs: 2, batch_size: 8, shuffle, ..Default::default() };
        run(
            (&tracked, &model.detached(), &of_logits()),
            &mut model.optimizer(1e-4)?,
            (&train, &train),
            &config,
            &mut Silent,
        )?;
        let seen = seen.take();
        let (first, second) = seen.split_at(50);
        assert_eq!(first == second, shuffle == Shuffle::Once);
        for epoch in [first, second] {
            assert_ne!(epoch, (0..rows).collect::<Vec<_>>());
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..rows).collect::<Vec<_>>());
        }
    }
    Ok(())
}

trait FirstColumn {
    fn i_first_column(&self) -> CrateResult<Vec<u32>>;
}

impl FirstColumn for Tensor {
    fn i_first_column(&self) -> CrateResult<Vec<u32>> {
        Ok(self.narrow(1, 0, 1)?.flatten_all()?.to_vec1()?)
    }
}

/// A rate so large that the first epoch is the best: the run stops early and the first weights return.
#[test]
fn early_stopping_brings_the_best_weights_back() -> Result<()> {
    let Case { model, train, validation } = case()?;
    let early_stopping = EarlyStopping { patience: 2, restore_best_weights: true, ..Default::default() };
    let config = FitConfig {
        epochs: 30,
        batch_size: 8,
        callbacks: vec![early_stopping.clone().into(), ModelCheckpoint::best().into()],
        ..Default::default()
    };
    let mut log = Log::default();
    let mut optimizer = model.optimizer(3.0)?;
    let outcome = course(&model, &mut optimizer, (&train, &validation), &config, &mut log)?;
    let best = outcome.history.best().ok_or("no best epoch")?;
    assert_eq!(outcome.stop, Stop::EarlyStopping);
    assert_eq!((outcome.best_epoch, outcome.restored_epoch), (Some(best.epoch), Some(best.epoch)));
    assert_eq!(outcome.history.epochs.len(), best.epoch + 2);
    let (saved, weights) = log.best.last().ok_or("nothing saved")?;
    assert_eq!((*saved, weights), (best.epoch, &model.weights()?));
    let after = evaluate(&model.detached(), &of_logits(), &validation, 8, &Device::Cpu)?;
    assert_eq!(Some(after.loss()), best.val_loss());

    // Without it, the last epoch's weights stay.
    let Case { model, .. } = case()?;
    let keep = EarlyStopping { restore_best_weights: false, ..early_stopping };
    let config = FitConfig { callbacks: vec![keep.into()], ..config };
    let mut optimizer = model.optimizer(3.0)?;
    let outcome = course(&model, &mut optimizer, (&train, &validation), &config, &mut Silent)?;
    let after = evaluate(&model.detached(), &of_logits(), &validation, 8, &Device::Cpu)?;
    assert_eq!(outcome.restored_epoch, None);
    assert_eq!(outcome.history.epochs.last().and_then(Epoch::val_loss), Some(after.loss()));
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_the_best() -> Result<()> {
    for (bad, bad_batch) in [(f64::NAN, 8), (f64::INFINITY, 9)] {
        let Case { model, train, validation } = case()?;
        let calls = std::cell::Cell::new(0);
        // Three batches an epoch: the third epoch breaks in its second or third.
        let tracked = |xs: &Tensor, mode: Mode| {
            calls.set(calls.get() + 1);
            let logits = model.logits(xs, mode)?;
            Ok(if calls.get() == bad_batch { (logits.abs()? * bad)? } else { logits })
        };
        let early_stopping = EarlyStopping { patience: 9, restore_best_weights: true, ..Default::default() };
        let callbacks = vec![early_stopping.into(), ModelCheckpoint::best().into()];
        let config = FitConfig { batch_size: 8, callbacks, ..Default::default() };
        let mut log = Log::default();
        let mut optimizer = model.optimizer(0.02)?;
        let result = run(
            (&tracked, &model.detached(), &of_logits()),
            &mut optimizer,
            (&train, &validation),
            &config,
            &mut log,
        );
        match result {
            Err(Error::Diverged { loss, epoch, .. }) => {
                assert!(!loss.is_finite() && epoch == 3, "{loss}, {epoch}")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((log.epochs, log.batches), (2, bad_batch - 1));
        assert_eq!(log.best.last().map(|(_, weights)| weights.clone()), Some(model.weights()?));
    }
    // Validation that is not finite is no epoch either.
    let Case { model, train, validation } = case()?;
    let frozen = |xs: &Tensor, mode: Mode| Ok((model.logits(xs, mode)? * f64::NAN)?);
    let result = run(
        (&|xs: &Tensor, mode: Mode| model.logits(xs, mode), &frozen, &of_logits()),
        &mut model.optimizer(0.02)?,
        (&train, &validation),
        &Default::default(),
        &mut Silent,
    );
    assert!(matches!(result, Err(Error::Diverged { epoch: 1, .. })), "{result:?}");
    assert!(evaluate(&frozen, &of_logits(), &validation, 64, &Device::Cpu).is_err());
    Ok(())
}

#[test]
fn an_interrupted_run_keeps_its_history_and_best_weights() -> Result<()> {
    let Case { model, train, validation } = case()?;
    let early_stopping = EarlyStopping { patience: 9, restore_best_weights: true, ..Default::default() };
    let callbacks = vec![early_stopping.into(), ModelCheckpoint::best().into()];
    let config = FitConfig { batch_size: 8, callbacks, ..Default::default() };
    let mut log = Log { break_after: Some(8), ..Default::default() };
    let mut optimizer = model.optimizer(0.02)?;
    let outcome = course(&model, &mut optimizer, (&train, &validation), &config, &mut log)?;
    assert_eq!((outcome.stop, outcome.history.epochs.len(), log.batches), (Stop::Interrupted, 2, 8));
    assert_eq!(outcome.restored_epoch, outcome.best_epoch);
    assert_eq!(log.best.last().map(|(_, weights)| weights.clone()), Some(model.weights()?));
    Ok(())
}

#[test]
fn what_cannot_be_trained_is_refused_before_any_work() -> Result<()> {
    let Case { model, train, validation } = case()?;
    let untouchable = |_: &Tensor, _: Mode| -> CrateResult<Tensor> { panic!("the model was run") };
    let base = FitConfig::default;
    let nan = EarlyStopping { min_delta: f64::NAN, ..Default::default() };
    let factor = ReduceLROnPlateau { factor: 1.0, ..Default::default() };
    let empty = Examples::from(&Dataset::new(vec![], vec![], 4)?);
    let cases = [
        (&train, &validation, FitConfig { epochs: 0, ..base() }, "epochs: "),
        (&train, &validation, FitConfig { batch_size: 0, ..base() }, "batch_size: "),
        (&train, &validation, FitConfig { callbacks: vec![nan.into()], ..base() }, "min_delta: "),
        (&train, &validation, FitConfig { callbacks: vec![factor.into()], ..base() }, "factor: 1, expected"),
        (&train, &validation, FitConfig { class_weight: [(0, -1.0)].into(), ..base() }, "class_weight: "),
        (&empty, &validation, base(), "data: there are no training rows"),
        (&train, &empty, base(), "data: there are no validation rows"),
    ];
    for (train, validation, config, expected) in cases {
        let mut optimizer = model.optimizer(0.1)?;
        let parts = (&untouchable, &untouchable, &of_logits());
        let result = run(parts, &mut optimizer, (train, validation), &config, &mut Silent);
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(expected), "{message:?}, not {expected:?}");
    }
    let mut bare = Optimizer::new(Vec::new(), RmsProp::default())?;
    let parts = (&untouchable, &untouchable, &of_logits());
    assert!(run(parts, &mut bare, (&train, &validation), &base(), &mut Silent).is_err());
    assert!(evaluate(&untouchable, &of_logits(), &empty, 64, &Device::Cpu).is_err());
    assert!(evaluate(&untouchable, &of_logits(), &validation, 0, &Device::Cpu).is_err());
    Ok(())
}

/// What Keras's own callbacks did on each sequence of values.
#[test]
fn callbacks_decide_as_keras_does() -> Result<()> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/callbacks.json"))?;
    type Row =
        (String, String, usize, f64, Option<f64>, usize, usize, usize, bool, Option<usize>, Vec<usize>);
    #[derive(serde::Deserialize)]
    struct Table {
        sequences: HashMap<String, Vec<f64>>,
        cases: Vec<Row>,
    }
    let table: Table = serde_json::from_str(&text)?;
    assert!(table.cases.len() > 500);
    for case in table.cases {
        let (name, monitor, patience, min_delta, baseline, start_from_epoch, ..) = case.clone();
        let early_stopping = EarlyStopping {
            monitor: monitor.clone(),
            patience,
            min_delta,
            baseline,
            start_from_epoch,
            restore_best_weights: true,
            ..Default::default()
        };
        let checkpoint = ModelCheckpoint { monitor, save_best_only: true, ..Default::default() };
        let (mut epochs, mut saved, mut stop, mut restores) = (Vec::new(), Vec::new(), false, None);
        for (index, &value) in table.sequences[&name].iter().enumerate() {
            let epoch = index + 1;
            let figures = [("loss", 0.1 * epoch as f64), ("val_loss", value), ("val_accuracy", value)];
            epochs.push(Epoch::new(epoch, &figures, 1.0));
            let verdict = early_stopping.judge(&epochs);
            (stop, restores) = (verdict.stop, verdict.restores);
            if checkpoint.judge(&epochs).saves {
                saved.push(epoch);
            }
            if stop {
                break;
            }
        }
        let (.., expected_epochs, _wait, expected_stop, best_epoch, expected_saved) = case.clone();
        assert_eq!((epochs.len(), saved), (expected_epochs, expected_saved), "{case:?}");
        assert_eq!((stop, restores), (expected_stop, best_epoch), "{case:?}");
    }
    Ok(())
}

/// What Keras's `ReduceLROnPlateau` made of the rate on each sequence of values.
#[test]
fn the_rate_is_reduced_as_keras_does() -> Result<()> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/callbacks.json"))?;
    type Row = (String, String, usize, f64, usize, f64, Vec<f64>);
    #[derive(serde::Deserialize)]
    struct Table {
        sequences: HashMap<String, Vec<f64>>,
        plateaus: Vec<Row>,
    }
    let table: Table = serde_json::from_str(&text)?;
    assert!(table.plateaus.len() > 300);
    let mut reductions = 0;
    for case in table.plateaus {
        let (name, monitor, patience, min_delta, cooldown, min_lr, rates) = case.clone();
        let rule = ReduceLROnPlateau {
            monitor: monitor.clone(),
            factor: 0.5,
            patience,
            min_delta,
            cooldown,
            min_lr,
            ..Default::default()
        };
        let (mut rate, mut epochs) = (f64::from(0.1_f32), vec![]);
        for (index, &value) in table.sequences[&name].iter().enumerate() {
            assert!((rate - rates[index]).abs() < 1e-8, "{case:?}: epoch {}: {rate}", index + 1);
            epochs.push(Epoch::new(index + 1, &[(&monitor, value), ("learning_rate", rate)], 1.0));
            if let Some(reduced) = rule.judge(&epochs).learning_rate {
                // An optimiser keeps it in f32.
                rate = f64::from(reduced as f32);
                reductions += 1;
            }
        }
        assert!((rate - rates[rates.len() - 1]).abs() < 1e-8, "{case:?}: at the end {rate}");
    }
    assert!(reductions > 100);
    Ok(())
}

#[test]
fn a_value_that_is_no_number_is_no_improvement() {
    let epoch = |epoch, val_loss| Epoch::new(epoch, &[("loss", 1.0), ("val_loss", val_loss)], 1.0);
    let epochs = [epoch(1, f64::NAN), epoch(2, 0.7), epoch(3, f64::NAN), epoch(4, 0.7)];
    let early_stopping = EarlyStopping::patience(2);
    let verdict = early_stopping.judge(&epochs);
    assert_eq!((verdict.stop, verdict.restores), (true, Some(2)));
    let saves =
        (1..=4).map(|count| ModelCheckpoint::best().judge(&epochs[..count]).saves).collect::<Vec<_>>();
    assert_eq!(saves, [false, true, false, false]);
}

#[test]
fn a_history_reads_back_bit_for_bit() -> Result<()> {
    let epoch = |epoch: usize, loss: f64| {
        let (accuracy, val_loss, val_accuracy) = (1.0 / 3.0, loss / 7.0, 0.1 + 0.2);
        let figures =
            [("loss", loss), ("accuracy", accuracy), ("val_loss", val_loss), ("val_accuracy", val_accuracy)];
        Epoch::new(epoch, &figures, 1e-9)
    };
    let history = History { epochs: vec![epoch(1, 0.7), epoch(2, 1e-300), epoch(3, 123_456_789.123)] };
    let text = history.to_csv();
    assert!(
        text.starts_with("epoch,loss,accuracy,val_loss,val_accuracy,seconds\n1,0.7,0.3333333333333333,"),
        "{text}"
    );
    assert_eq!(History::from_csv(&text, Path::new("history.csv"))?, history);
    assert_eq!(History::from_csv(&text.replace('\n', "\r\n"), Path::new("history.csv"))?, history);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.csv");
    std::fs::write(&path, &text)?;
    assert_eq!(History::load(&path)?, history);
    Ok(())
}

#[test]
fn a_broken_history_is_refused_with_its_place() {
    let header = "epoch,loss,accuracy,val_loss,val_accuracy,seconds\n";
    let cases = [
        ("".to_string(), "no column epoch"),
        ("epoch,loss\n1,0.5\n".to_string(), "no column seconds"),
        (format!("{header}1,0.5,0.5,0.5,0.5\n"), "line 2: does not have as many figures"),
        (format!("{header}1,0.5,0.5,0.5,0.5,x\n"), "line 2: seconds is \"x\", expected a number"),
        (format!("{header}1,0.5,0.5,NaN,0.5,1\n"), "line 2: val_loss is \"NaN\", expected a finite number"),
        (format!("{header}1,0.5,0.5,0.5,0.5,1\n3,0.5,0.5,0.5,0.5,1\n"), "line 3: epoch 3 where 2 is due"),
    ];
    for (text, expected) in cases {
        let result = History::from_csv(&text, Path::new("runs/x/history.csv"));
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with("runs/x/history.csv: ") && message.contains(expected), "{message:?}");
    }
}

#[test]
fn options_read_back_from_json() -> Result<()> {
    let config: OptimizerConfig = serde_json::from_str(r#"{"learning_rate": 0.0001}"#)?;
    assert_eq!(config, RmsProp::default().with_learning_rate(1e-4));
    assert_eq!(serde_json::from_str::<OptimizerConfig>(&serde_json::to_string(&config)?)?, config);
    let early: EarlyStopping = serde_json::from_str(r#"{"monitor": "val_accuracy", "patience": 3}"#)?;
    assert_eq!(early, EarlyStopping { monitor: "val_accuracy".into(), patience: 3, ..Default::default() });
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"lr": 0.1}"#).is_err());
    Ok(())
}

/// Gives its input, and twice that.
struct TwoOutputs;

impl Trainable for TwoOutputs {
    fn call(&self, inputs: &[Tensor], _: Mode) -> CrateResult<Called> {
        let outputs = vec![inputs[0].clone().into(), (&inputs[0] * 2.0)?.into()];
        Ok(Called { outputs, penalty: None })
    }
}

#[test]
fn each_output_has_sample_weights_of_its_own() -> Result<()> {
    let array = |values: &[f32]| Array::floats(values.to_vec(), &[values.len(), 1]);
    let (x, y) = ([1.0, 2.0, -3.0_f32], [[0.5, 2.0, 1.0], [1.0, 5.0, -6.0_f32]]);
    let examples = Examples::new(vec![array(&x)?], vec![array(&y[0])?, array(&y[1])?])?;
    let outputs = ["a", "b"].map(|name| -> CrateResult<_> {
        Ok(OutputObjective {
            weighted_metrics: vec!["mae".parse()?],
            ..OutputObjective::new(name, "mean_squared_error".parse()?)
        })
    });
    let objective = Objective { outputs: outputs.into_iter().collect::<CrateResult<_>>()? };
    let weights = [[1.0, 0.0, 2.0_f32], [0.5, 3.0, 0.25]];
    let arrays: Vec<Array> =
        weights.iter().map(|weights| Array::floats(weights.to_vec(), &[3])).collect::<CrateResult<_>>()?;
    let found = |weights: &[Array]| -> Result<Evaluation> {
        Ok(evaluate(&TwoOutputs, &objective, &examples.clone().with_weights(weights)?, 32, &Device::Cpu)?)
    };
    let both = found(&arrays)?;
    let mut total = 0.0;
    for (output, name) in ["a", "b"].into_iter().enumerate() {
        let of = |power: i32| -> Vec<f32> {
            let scale = if output == 0 { 1.0 } else { 2.0 };
            x.iter().zip(y[output]).map(|(x, y)| (scale * x - y).abs().powi(power)).collect()
        };
        let sum = |values: Vec<f32>| {
            values.iter().zip(weights[output]).map(|(value, weight)| value * weight).sum::<f32>()
        };
        // Keras: a loss is divided by the rows, a metric by the weights.
        let (loss, mae) = (sum(of(2)) / 3.0, sum(of(1)) / weights[output].iter().sum::<f32>());
        let figure =
            |found: &Evaluation, what: &str| found.get(&format!("{name}_{what}")).unwrap_or(f64::NAN) as f32;
        assert!(
            close(&[figure(&both, "loss"), figure(&both, "mae")], &[loss, mae], 1e-6),
            "{name}: {both:?}"
        );
        // One array serves both.
        assert_eq!(figure(&found(&arrays[output..=output])?, "loss"), figure(&both, "loss"), "{name}");
        total += loss;
    }
    assert!(close(&[both.loss() as f32], &[total], 1e-6), "{both:?}");
    let three = [arrays.clone(), arrays[..1].to_vec()].concat();
    let error = examples.clone().with_weights(&three).expect_err("refused").to_string();
    assert!(error.contains("3 arrays of sample weights for 2 outputs"), "{error}");
    Ok(())
}
