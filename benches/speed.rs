//! Times layers, an optimiser step and an epoch, and prints what the times mean: GFLOP/s, the share of this machine's
//! best matrix product, and how cost grows with length and batch.
//!
//! ```sh
//! cargo bench                      # a few minutes
//! cargo bench -- lstm              # the names that hold "lstm"
//! ```
//!
//! Only the matrix products of a layer are counted: 2 · (features + units) · gates · units for a sequence and step, three
//! times that in training (forward, gradient of the state and input, gradient of the weights).

use candle_core::{Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::data::{Dataset, Examples, RandomState};
use candle_recurrent::layers::{
    Call, Gru, GruConfig, Lstm, LstmConfig, Mode, SimpleRnn, SimpleRnnConfig, Variable,
};
use candle_recurrent::model::{Model, Weights};
use candle_recurrent::train::{
    FitConfig, Objective, Optimizer, RmsProp, Shuffle, Silent, Training, evaluate, fit,
};
use candle_recurrent::zoo;
use criterion::{Criterion, SamplingMode};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CPU: Device = Device::Cpu;
const KINDS: [&str; 4] = ["simple_rnn", "lstm", "gru", "gru_reset_before"];
const UNITS: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];
const LENGTHS: [usize; 4] = [25, 100, 400, 1600];
const BATCHES: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// A case: a layer of `units` over as many features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    kind: &'static str,
    training: bool,
    units: usize,
    time: usize,
    batch: usize,
}

impl Case {
    fn name(self) -> String {
        let Self { units, time, batch, .. } = self;
        format!("units {units}, length {time}, batch {batch}")
    }

    fn mode(self) -> &'static str {
        if self.training { "training" } else { "inference" }
    }

    fn flops(self) -> f64 {
        let gates = match self.kind {
            "simple_rnn" => 1,
            "lstm" => 4,
            _ => 3,
        };
        let step = 2 * 2 * self.units * gates * self.units;
        (self.batch * self.time * step * if self.training { 3 } else { 1 }) as f64
    }
}

/// A layer of any kind.
enum Layer {
    SimpleRnn(SimpleRnn),
    Lstm(Lstm),
    Gru(Gru),
}

impl Layer {
    fn variables(kind: &str, units: usize) -> Vec<Variable> {
        match kind {
            "simple_rnn" => SimpleRnnConfig::new(units).variables(units),
            "lstm" => LstmConfig::new(units).variables(units),
            _ => Self::gru(kind, units).variables(units),
        }
    }

    fn gru(kind: &str, units: usize) -> GruConfig {
        GruConfig { reset_after: kind == "gru", ..GruConfig::new(units) }
    }

    fn new(kind: &str, units: usize, vb: VarBuilder) -> Result<Self> {
        Ok(match kind {
            "simple_rnn" => Self::SimpleRnn(SimpleRnn::new(units, SimpleRnnConfig::new(units), vb)?),
            "lstm" => Self::Lstm(Lstm::new(units, LstmConfig::new(units), vb)?),
            _ => Self::Gru(Gru::new(units, Self::gru(kind, units), vb)?),
        })
    }

    fn call(&self, xs: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let call = Call { mode, ..Call::default() };
        Ok(match self {
            Self::SimpleRnn(layer) => layer.call(xs, call)?.hidden,
            Self::Lstm(layer) => layer.call(xs, call)?.hidden,
            Self::Gru(layer) => layer.call(xs, call)?.hidden,
        })
    }
}

/// Seconds a run, by case: the median of Criterion's samples.
type Times = BTreeMap<Case, f64>;

/// Has Criterion time `work`, and keeps the median.
fn time(
    criterion: &mut Criterion,
    group: &str,
    name: String,
    mut work: impl FnMut() -> Result<()>,
) -> Option<f64> {
    let mut samples = Vec::new();
    let mut group = criterion.benchmark_group(group);
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(name, |bencher| {
        samples.clear();
        bencher.iter_custom(|runs| {
            let start = Instant::now();
            for _ in 0..runs {
                work().expect("a case that runs");
            }
            let elapsed = start.elapsed();
            samples.push(elapsed.as_secs_f64() / runs as f64);
            elapsed
        });
    });
    group.finish();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

fn layer(criterion: &mut Criterion, times: &mut Times, case: Case) -> Result<()> {
    if times.contains_key(&case) {
        return Ok(());
    }
    let mut weights = Weights::default();
    weights.add("layer", &Layer::variables(case.kind, case.units), 1, &CPU)?;
    let tracked = Layer::new(case.kind, case.units, weights.var_builder().pp("layer"))?;
    let frozen = Layer::new(case.kind, case.units, weights.detached().pp("layer"))?;
    let xs = Tensor::randn(0f32, 1f32, (case.batch, case.time, case.units), &CPU)?;
    let var = Var::from_tensor(&xs)?;
    let work = || -> Result<()> {
        if !case.training {
            frozen.call(&xs, Mode::Inference)?;
            return Ok(());
        }
        let output = tracked.call(var.as_tensor(), Mode::Training { seed: 1 })?;
        let grads = output.sum_all()?.backward()?;
        grads.get(var.as_tensor()).ok_or("the input has no gradient")?;
        Ok(())
    };
    let group = format!("{} {}", case.kind, case.mode());
    if let Some(seconds) = time(criterion, &group, case.name(), work) {
        times.insert(case, seconds);
    }
    Ok(())
}

fn layers(criterion: &mut Criterion, times: &mut Times) -> Result<()> {
    let base = Case { kind: "lstm", training: true, units: 8, time: 100, batch: 64 };
    for kind in KINDS {
        for training in [false, true] {
            for units in UNITS {
                layer(criterion, times, Case { kind, training, units, ..base })?;
            }
        }
    }
    for kind in ["lstm", "gru"] {
        for units in [8, 64] {
            for time in LENGTHS {
                layer(criterion, times, Case { kind, units, time, ..base })?;
            }
            for batch in BATCHES {
                layer(criterion, times, Case { kind, units, batch, ..base })?;
                layer(criterion, times, Case { kind, units, batch, training: false, ..base })?;
            }
        }
    }
    Ok(())
}

/// RMSprop over the variables of a small and of a large LSTM.
fn optimizer(criterion: &mut Criterion) -> Result<()> {
    for units in [8, 512] {
        let mut weights = Weights::default();
        weights.add("layer", &LstmConfig::new(units).variables(units), 1, &CPU)?;
        let variables: Vec<_> = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let mut loss = Tensor::zeros((), candle_core::DType::F32, &CPU)?;
        for (_, var) in &variables {
            loss = (loss + var.as_tensor().sqr()?.sum_all()?)?;
        }
        let grads = loss.backward()?;
        let count: usize = variables.iter().map(|(_, var)| var.elem_count()).sum();
        let mut rmsprop = Optimizer::new(variables, RmsProp::default())?;
        time(criterion, "rmsprop step", format!("{count} parameters"), || Ok(rmsprop.step(&grads)?));
    }
    Ok(())
}

/// An epoch of the zoo's models on random ids, 20,000 × 100 in batches of 64, and their evaluation.
fn epochs(criterion: &mut Criterion) -> Result<()> {
    let mut random = RandomState::new(1);
    let mut rows = |count: usize| {
        let ids = (0..count * 100).map(|_| random.permutation(500)[0]).collect();
        let labels = (0..count).map(|row| (row % 2) as u8).collect();
        Ok::<_, Box<dyn Error>>(Examples::from(&Dataset::new(ids, labels, 100)?))
    };
    let (train, validation) = (rows(20_000)?, rows(64)?);
    let objective = Objective::named("binary_crossentropy", &["accuracy"])?;
    let config = FitConfig { epochs: 1, shuffle: Shuffle::Never, ..FitConfig::default() };
    for name in zoo::names() {
        let model = zoo::get(name)?.config()?.model;
        let weights = Weights::init(&model, 1, &CPU)?;
        let (tracked, frozen) =
            (Model::new(&model, weights.var_builder())?, Model::new(&model, weights.detached())?);
        let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let mut rmsprop = Optimizer::new(variables, RmsProp::default().with_learning_rate(1e-4))?;
        time(criterion, "epoch of 20000 x 100", name.into(), || {
            let (optimizer, objective) = (&mut rmsprop, &objective);
            let training = Training { model: &tracked, detached: &frozen, optimizer, objective };
            fit(training, &train, Some(&validation), &config, &mut Silent)?;
            Ok(())
        });
        time(criterion, "evaluate 20000 x 100", name.into(), || {
            evaluate(&frozen, &objective, &train, 1024, &CPU)?;
            Ok(())
        });
    }
    let lstm = zoo::get("lstm")?.load(&CPU)?.model;
    let ids = train.inputs()[0].slice(0, 1, &CPU)?;
    time(criterion, "one review", "lstm".into(), || {
        lstm.logits(&ids, Mode::Inference)?;
        Ok(())
    });
    Ok(())
}

/// GFLOP/s of the best of Candle's square matrix products here.
fn best_product() -> Result<f64> {
    let mut best = 0f64;
    for size in [512, 1024, 2048] {
        let a = Tensor::randn(0f32, 1f32, (size, size), &CPU)?;
        for _ in 0..4 {
            let start = Instant::now();
            a.matmul(&a)?;
            best = best.max(2e-9 * (size as f64).powi(3) / start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// What the times mean.
fn report(times: &Times) -> Result<()> {
    let best = best_product()?;
    println!(
        "\n{} threads, {}; Candle's best matrix product here: {best:.1} GFLOP/s",
        rayon::current_num_threads(),
        candle_recurrent::instruction_set()
    );
    println!(
        "\n{:<36} {:<10} {:>12} {:>9} {:>9}",
        "layer, batch 64, length 100", "", "time", "GFLOP/s", "share"
    );
    for (case, &seconds) in times.iter().filter(|(case, _)| case.batch == 64 && case.time == 100) {
        let rate = 1e-9 * case.flops() / seconds;
        let name = format!("{}, units {}", case.kind, case.units);
        let time = Duration::from_secs_f64(seconds);
        println!(
            "{name:<36} {:<10} {:>12} {rate:>9.2} {:>7.1} %",
            case.mode(),
            format!("{time:.1?}"),
            100.0 * rate / best
        );
    }
    for (what, size) in [("length", (|case| case.time) as fn(&Case) -> usize), ("batch", |case| case.batch)] {
        println!(
            "\n{:<36} {:<10} {what:>8} {:>12} {:>14} {:>8}",
            format!("cost by {what}"),
            "",
            "time",
            "a unit",
            "to 64/100"
        );
        for (case, &seconds) in times {
            let normal = Case { time: 100, batch: 64, ..*case };
            let other = if what == "length" { case.batch == 64 } else { case.time == 100 };
            let swept = ["lstm", "gru"].contains(&case.kind) && [8, 64].contains(&case.units);
            let (Some(&of_normal), true, true) = (times.get(&normal), other, swept) else { continue };
            if what == "length" && !case.training {
                continue;
            }
            let each = |case: &Case, seconds: f64| seconds / size(case) as f64;
            let name = format!("{}, units {}", case.kind, case.units);
            println!(
                "{name:<36} {:<10} {:>8} {:>12} {:>14} {:>7.2}x",
                case.mode(),
                size(case),
                format!("{:.1?}", Duration::from_secs_f64(seconds)),
                format!("{:.2?}", Duration::from_secs_f64(each(case, seconds))),
                each(case, seconds) / each(&normal, of_normal)
            );
        }
    }
    println!(
        "\nThe last column is the cost of a step (or of a sequence) beside that at length 100 and batch 64: 1 is linear."
    );
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(400))
        .configure_from_args();
    let mut times = Times::new();
    layers(&mut criterion, &mut times)?;
    optimizer(&mut criterion)?;
    epochs(&mut criterion)?;
    criterion.final_summary();
    if !times.is_empty() && !std::env::args().any(|arg| arg == "--test") {
        report(&times)?;
    }
    Ok(())
}
