//! The loss, `fit`, `evaluate` and the callbacks, against Keras 3.15 (`scripts/goldens_train.py` made the numbers).

use candle_core::{D, DType, Device, Tensor, Var};
use candle_recurrent::data::Dataset;
use candle_recurrent::layers::Mode;
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
            assert_eq!(batch.correct, (numbers(golden("accuracy"))?[0] * 22.0).round() as usize, "{case}");
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

    fn optimizer(&self, learning_rate: f64) -> CrateResult<RmsProp> {
        RmsProp::named(self.variables.clone(), RmsPropConfig { learning_rate, ..Default::default() })
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

impl Trainable for Logistic {
    fn logits(&self, xs: &Tensor, _: Mode) -> CrateResult<Tensor> {
        let xs = (xs.to_dtype(DType::F32)? / 10.0)?;
        Ok(xs.matmul(self.variables[0].1.as_tensor())?.broadcast_add(self.variables[1].1.as_tensor())?)
    }
}

struct Case {
    model: Logistic,
    train: Dataset,
    validation: Dataset,
}

fn case() -> Result<Case> {
    let goldens = goldens()?;
    let dataset = |x: &str, y: &str| -> Result<Dataset> {
        let ids = numbers(&goldens[x])?.into_iter().map(|id| id as u32).collect();
        let labels = numbers(&goldens[y])?.into_iter().map(|label| label as u8).collect();
        Ok(Dataset::new(ids, labels, goldens[x].dim(D::Minus1)?)?)
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
    last: Option<Batch>,
    epochs: usize,
    best: Vec<(usize, Vec<f32>)>,
    break_after: Option<usize>,
}

impl Observer for Log {
    fn on_batch(&mut self, batch: &Batch) -> CrateResult<ControlFlow<()>> {
        self.batches += 1;
        self.last = Some(*batch);
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

    fn on_best(&mut self, epoch: &Epoch, weights: &Snapshot) -> CrateResult<()> {
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
        validation_batch_size: 5,
        shuffle: Shuffle::Never,
        ..Default::default()
    };
    let mut log = Log::default();
    let mut optimizer = model.optimizer(0.02)?;
    let outcome = fit(&model, &model.detached(), &mut optimizer, &train, &validation, &config, &mut log)?;
    let column = |figure: fn(&Epoch) -> f64| {
        outcome.history.epochs.iter().map(|e| figure(e) as f32).collect::<Vec<_>>()
    };
    for (name, found) in [
        ("loss", column(|epoch| epoch.loss)),
        ("accuracy", column(|epoch| epoch.accuracy)),
        ("val_loss", column(|epoch| epoch.val_loss)),
        ("val_accuracy", column(|epoch| epoch.val_accuracy)),
    ] {
        let expected = numbers(&goldens[&format!("fit/{name}")])?;
        assert!(close(&found, &expected, 2e-6), "{name}: {found:?}, not {expected:?}");
    }
    let expected = [numbers(&goldens["fit/kernel_after"])?, numbers(&goldens["fit/bias_after"])?].concat();
    assert!(close(&model.weights()?, &expected, 2e-6), "{:?}, not {expected:?}", model.weights()?);
    assert_eq!((outcome.stop, outcome.restored_epoch), (Stop::Finished, None));
    assert_eq!((log.batches, log.epochs, log.best.len()), (15, 5, 5));
    let (last, epoch) = (log.last.ok_or("no batch")?, outcome.history.epochs[4]);
    assert_eq!((last.epoch, last.batch, last.batches), (5, 3, 3));
    assert_eq!((last.loss, last.accuracy), (epoch.loss, epoch.accuracy));

    let evaluation = evaluate(&model.detached(), &validation, 1024, &Device::Cpu)?;
    assert!((evaluation.loss - epoch.val_loss).abs() < 1e-7);
    assert_eq!((evaluation.accuracy, evaluation.samples), (epoch.val_accuracy, 13));
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
        fit(&tracked, &model.detached(), &mut optimizer, &train, &validation, &config, &mut Silent)?;
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
    let train =
        Dataset::new((0..rows).flat_map(|row| [row; 4]).collect(), (0..50).map(|row| row % 2).collect(), 4)?;
    let seen = std::cell::RefCell::new(Vec::new());
    let tracked = |xs: &Tensor, mode: Mode| {
        seen.borrow_mut().extend(xs.i_first_column()?);
        model.logits(xs, mode)
    };
    for shuffle in [Shuffle::Once, Shuffle::EveryEpoch] {
        let config = FitConfig { epochs: 2, batch_size: 8, shuffle, ..Default::default() };
        fit(&tracked, &model.detached(), &mut model.optimizer(1e-4)?, &train, &train, &config, &mut Silent)?;
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
        early_stopping: Some(early_stopping.clone()),
        checkpoint: ModelCheckpoint { save_best_only: true, ..Default::default() },
        ..Default::default()
    };
    let mut log = Log::default();
    let mut optimizer = model.optimizer(3.0)?;
    let outcome = fit(&model, &model.detached(), &mut optimizer, &train, &validation, &config, &mut log)?;
    let best = outcome.history.best().ok_or("no best epoch")?;
    assert_eq!(outcome.stop, Stop::EarlyStopping);
    assert_eq!((outcome.best_epoch, outcome.restored_epoch), (Some(best.epoch), Some(best.epoch)));
    assert_eq!(outcome.history.epochs.len(), best.epoch + 2);
    let (saved, weights) = log.best.last().ok_or("nothing saved")?;
    assert_eq!((*saved, weights), (best.epoch, &model.weights()?));
    let after = evaluate(&model.detached(), &validation, 1024, &Device::Cpu)?;
    assert_eq!(after.loss, best.val_loss);

    // Without it, the last epoch's weights stay.
    let Case { model, .. } = case()?;
    let keep = EarlyStopping { restore_best_weights: false, ..early_stopping };
    let config = FitConfig { early_stopping: Some(keep), ..config };
    let mut optimizer = model.optimizer(3.0)?;
    let outcome = fit(&model, &model.detached(), &mut optimizer, &train, &validation, &config, &mut Silent)?;
    let after = evaluate(&model.detached(), &validation, 1024, &Device::Cpu)?;
    assert_eq!(outcome.restored_epoch, None);
    assert_eq!(outcome.history.epochs.last().map(|epoch| epoch.val_loss), Some(after.loss));
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
        let checkpoint = ModelCheckpoint { save_best_only: true, ..Default::default() };
        let config = FitConfig {
            batch_size: 8,
            early_stopping: Some(early_stopping),
            checkpoint,
            ..Default::default()
        };
        let mut log = Log::default();
        let mut optimizer = model.optimizer(0.02)?;
        let result = fit(&tracked, &model.detached(), &mut optimizer, &train, &validation, &config, &mut log);
        match result {
            Err(Error::Diverged { loss, epoch }) => {
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
    let result = fit(
        &model,
        &frozen,
        &mut model.optimizer(0.02)?,
        &train,
        &validation,
        &Default::default(),
        &mut Silent,
    );
    assert!(matches!(result, Err(Error::Diverged { epoch: 1, .. })), "{result:?}");
    assert!(evaluate(&frozen, &validation, 64, &Device::Cpu).is_err());
    Ok(())
}

#[test]
fn an_interrupted_run_keeps_its_history_and_best_weights() -> Result<()> {
    let Case { model, train, validation } = case()?;
    let early_stopping = EarlyStopping { patience: 9, restore_best_weights: true, ..Default::default() };
    let checkpoint = ModelCheckpoint { save_best_only: true, ..Default::default() };
    let config =
        FitConfig { batch_size: 8, early_stopping: Some(early_stopping), checkpoint, ..Default::default() };
    let mut log = Log { break_after: Some(8), ..Default::default() };
    let mut optimizer = model.optimizer(0.02)?;
    let outcome = fit(&model, &model.detached(), &mut optimizer, &train, &validation, &config, &mut log)?;
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
    let dataset = |labels: &[u8]| Dataset::new(vec![1; labels.len() * 4], labels.to_vec(), 4);
    let nan = EarlyStopping { min_delta: f64::NAN, ..Default::default() };
    let (empty, ones, zeros) = (dataset(&[])?, dataset(&[1, 1])?, dataset(&[0, 0, 0])?);
    let cases = [
        (&train, &validation, FitConfig { epochs: 0, ..base() }, "epochs: "),
        (&train, &validation, FitConfig { batch_size: 0, ..base() }, "batch_size: "),
        (&train, &validation, FitConfig { validation_batch_size: 0, ..base() }, "validation_batch_size: "),
        (&train, &validation, FitConfig { early_stopping: Some(nan), ..base() }, "min_delta: "),
        (&empty, &validation, base(), "data: there are no training rows"),
        (&train, &empty, base(), "data: there are no validation rows"),
        (&ones, &validation, base(), "data: all 2 training rows have label 1"),
        (&zeros, &validation, base(), "data: all 3 training rows have label 0"),
    ];
    for (train, validation, config, expected) in cases {
        let mut optimizer = model.optimizer(0.1)?;
        let result = fit(&untouchable, &untouchable, &mut optimizer, train, validation, &config, &mut Silent);
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(expected), "{message:?}, not {expected:?}");
    }
    let mut bare = RmsProp::named(Vec::new(), RmsPropConfig::default())?;
    assert!(fit(&untouchable, &untouchable, &mut bare, &train, &validation, &base(), &mut Silent).is_err());
    assert!(evaluate(&untouchable, &empty, 64, &Device::Cpu).is_err());
    assert!(evaluate(&untouchable, &validation, 0, &Device::Cpu).is_err());
    Ok(())
}

/// What Keras's own callbacks did on each sequence of values.
#[test]
fn callbacks_decide_as_keras_does() -> Result<()> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/callbacks.json"))?;
    type Row =
        (String, Monitor, usize, f64, Option<f64>, usize, usize, usize, bool, Option<usize>, Vec<usize>);
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
            monitor,
            patience,
            min_delta,
            baseline,
            start_from_epoch,
            restore_best_weights: true,
        };
        let checkpoint = ModelCheckpoint { monitor, save_best_only: true };
        let (mut epochs, mut saved, mut verdict) = (Vec::new(), Vec::new(), Verdict::default());
        for (index, &value) in table.sequences[&name].iter().enumerate() {
            let epoch = index + 1;
            let (loss, accuracy) = (0.1 * epoch as f64, 0.5);
            epochs.push(Epoch { epoch, loss, accuracy, val_loss: value, val_accuracy: value, seconds: 1.0 });
            verdict = early_stopping.judge(&epochs);
            if checkpoint.saves(&epochs) {
                saved.push(epoch);
            }
            if verdict.stop {
                break;
            }
        }
        let (.., expected_epochs, wait, stop, best_epoch, expected_saved) = case.clone();
        assert_eq!((epochs.len(), saved), (expected_epochs, expected_saved), "{case:?}");
        assert_eq!(verdict, Verdict { best_epoch, wait, stop }, "{case:?}");
    }
    Ok(())
}

#[test]
fn a_value_that_is_no_number_is_no_improvement() {
    let epoch = |epoch, val_loss| Epoch {
        epoch,
        loss: 1.0,
        accuracy: 0.5,
        val_loss,
        val_accuracy: 0.5,
        seconds: 1.0,
    };
    let epochs = [epoch(1, f64::NAN), epoch(2, 0.7), epoch(3, f64::NAN), epoch(4, 0.7)];
    let early_stopping = EarlyStopping { patience: 2, ..Default::default() };
    assert_eq!(early_stopping.judge(&epochs), Verdict { best_epoch: Some(2), wait: 2, stop: true });
    let checkpoint = ModelCheckpoint { save_best_only: true, ..Default::default() };
    let saves = (1..=4).map(|count| checkpoint.saves(&epochs[..count])).collect::<Vec<_>>();
    assert_eq!(saves, [false, true, false, false]);
}

#[test]
fn a_history_reads_back_bit_for_bit() -> Result<()> {
    let epoch = |epoch: usize, loss: f64| Epoch {
        epoch,
        loss,
        accuracy: 1.0 / 3.0,
        val_loss: loss / 7.0,
        val_accuracy: 0.1 + 0.2,
        seconds: 1e-9,
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
        ("epoch,loss\n1,0.5\n".to_string(), "no column accuracy"),
        (format!("{header}1,0.5,0.5,0.5,0.5\n"), "line 2: does not have as many figures"),
        (format!("{header}1,0.5,0.5,0.5,0.5,x\n"), "line 2: seconds is \"x\", expected a number"),
        (format!("{header}1,0.5,0.5,NaN,0.5,1\n"), "line 2: a figure is not a finite number"),
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
    let config: RmsPropConfig = serde_json::from_str(r#"{"learning_rate": 0.0001}"#)?;
    assert_eq!(config, RmsPropConfig { learning_rate: 1e-4, ..Default::default() });
    assert_eq!(serde_json::from_str::<RmsPropConfig>(&serde_json::to_string(&config)?)?, config);
    let early: EarlyStopping = serde_json::from_str(r#"{"monitor": "val_accuracy", "patience": 3}"#)?;
    assert_eq!(early, EarlyStopping { monitor: Monitor::ValAccuracy, patience: 3, ..Default::default() });
    assert!(serde_json::from_str::<RmsPropConfig>(r#"{"lr": 0.1}"#).is_err());
    Ok(())
}
