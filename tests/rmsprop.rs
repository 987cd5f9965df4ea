//! RMSprop against Keras 3.15 (`scripts/goldens_train.py` made the numbers), and its own promises.

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_recurrent::Error;
use candle_recurrent::layers::{Mode, ModelConfig};
use candle_recurrent::model::{Model, Weights};
use candle_recurrent::train::{RmsProp, RmsPropConfig};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn goldens() -> Result<HashMap<String, Tensor>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/train/rmsprop.safetensors");
    Ok(candle_core::safetensors::load(path, &Device::Cpu)?)
}

fn cases() -> Vec<(&'static str, RmsPropConfig)> {
    let base = RmsPropConfig::default;
    vec![
        ("default", base()),
        ("learning_rate", RmsPropConfig { learning_rate: 0.05, ..base() }),
        ("rho", RmsPropConfig { rho: 0.5, ..base() }),
        ("rho_zero", RmsPropConfig { rho: 0.0, ..base() }),
        ("epsilon", RmsPropConfig { epsilon: 0.01, ..base() }),
        ("momentum", RmsPropConfig { momentum: 0.9, ..base() }),
        ("centered", RmsPropConfig { centered: true, ..base() }),
        ("centered_momentum", RmsPropConfig { centered: true, momentum: 0.7, ..base() }),
        ("weight_decay", RmsPropConfig { weight_decay: Some(0.1), learning_rate: 0.02, ..base() }),
        ("clipnorm", RmsPropConfig { clipnorm: Some(0.8), ..base() }),
        ("clipnorm_loose", RmsPropConfig { clipnorm: Some(1000.0), ..base() }),
        ("clipvalue", RmsPropConfig { clipvalue: Some(0.3), ..base() }),
        ("global_clipnorm", RmsPropConfig { global_clipnorm: Some(0.9), ..base() }),
        ("global_clipnorm_loose", RmsPropConfig { global_clipnorm: Some(1000.0), ..base() }),
        (
            "momentum_decay_clipnorm",
            RmsPropConfig { momentum: 0.5, weight_decay: Some(0.05), clipnorm: Some(0.4), ..base() },
        ),
        (
            "centered_decay_clipvalue",
            RmsPropConfig {
                centered: true,
                weight_decay: Some(0.05),
                clipvalue: Some(0.2),
                epsilon: 1e-3,
                ..base()
            },
        ),
        (
            "everything",
            RmsPropConfig {
                learning_rate: 0.01,
                rho: 0.8,
                momentum: 0.6,
                epsilon: 1e-4,
                centered: true,
                weight_decay: Some(0.02),
                global_clipnorm: Some(1.5),
                ..base()
            },
        ),
    ]
}

/// A store that holds the given gradients.
fn store(gradients: &[(&Var, &Tensor)]) -> Result<GradStore> {
    let mut store = Var::zeros((), DType::F32, &Device::Cpu)?.backward()?;
    for (var, gradient) in gradients {
        store.insert(var, (*gradient).clone());
    }
    Ok(store)
}

fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    let difference = (a.to_dtype(DType::F32)? - b.to_dtype(DType::F32)?)?.abs()?.flatten_all()?.max(0)?;
    Ok(difference.to_scalar::<f32>()?)
}

/// Ten steps of every case in `dtype`; the worst difference to Keras.
fn worst_difference(dtype: DType) -> Result<f32> {
    let goldens = goldens()?;
    let mut worst = 0f32;
    for (case, config) in cases() {
        let var = |name: &str| Var::from_tensor(&goldens[&format!("start/{name}")].to_dtype(dtype)?);
        let variables = vec![("a".to_string(), var("a")?), ("b".to_string(), var("b")?)];
        let mut optimizer = RmsProp::named(variables.clone(), config)?;
        for step in 0..10 {
            let gradient = |name: &str| goldens[&format!("gradient/{name}")].get(step)?.to_dtype(dtype);
            let (a, b) = (gradient("a")?, gradient("b")?);
            optimizer.step(&store(&[(&variables[0].1, &a), (&variables[1].1, &b)])?)?;
            for (name, var) in &variables {
                let found = difference(var, &goldens[&format!("{case}/{name}")].get(step)?)?;
                assert!(found <= 1e-6, "{case}, {name}, step {step}, {dtype:?}: {found}");
                worst = worst.max(found);
            }
        }
    }
    Ok(worst)
}

#[test]
fn every_option_takes_kerass_steps() -> Result<()> {
    println!("fused pass: worst difference {}", worst_difference(DType::F32)?);
    println!("tensor operations: worst difference {}", worst_difference(DType::F64)?);
    Ok(())
}

/// A large variable of two rows, and gradients of it for a few steps.
fn large() -> Result<(Tensor, Vec<Tensor>)> {
    let n = 150_001;
    let values = |salt: usize| (0..2 * n).map(move |i| ((i * 7 + salt * 13) % 1009) as f32 / 500.0 - 1.0);
    let tensor = |salt| Tensor::from_iter(values(salt), &Device::Cpu)?.reshape((2, n));
    Ok((tensor(0)?, (1..4).map(tensor).collect::<std::result::Result<_, _>>()?))
}

#[test]
fn the_result_does_not_depend_on_the_threads() -> Result<()> {
    let (start, gradients) = large()?;
    for (_, config) in cases() {
        let run = |threads: usize| -> Result<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let var = Var::from_tensor(&start)?;
            let mut optimizer = RmsProp::named(vec![("w".to_string(), var.clone())], config.clone())?;
            for gradient in &gradients {
                let store = store(&[(&var, gradient)])?;
                pool.install(|| optimizer.step(&store))?;
            }
            Ok(var.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
        };
        assert!(run(1)? == run(3)?, "{config:?}");
    }
    Ok(())
}

#[test]
fn a_strided_gradient_is_read_in_its_own_order() -> Result<()> {
    let (start, gradients) = large()?;
    let after = |gradient: &Tensor| -> Result<Tensor> {
        let var = Var::from_tensor(&start)?;
        RmsProp::named(vec![("w".to_string(), var.clone())], RmsPropConfig::default())?
            .step(&store(&[(&var, gradient)])?)?;
        Ok(var.as_detached_tensor())
    };
    let strided = gradients[0].t()?.contiguous()?.t()?;
    assert!(!strided.is_contiguous());
    assert_eq!(difference(&after(&strided)?, &after(&gradients[0])?)?, 0.0);
    assert!(difference(&after(&strided)?, &start)? > 1e-3);
    Ok(())
}

/// A run that is saved and continued gives the same bits as one that was not; so does the other element type.
#[test]
fn the_state_continues_a_run() -> Result<()> {
    let goldens = goldens()?;
    let config = RmsPropConfig { momentum: 0.5, centered: true, ..RmsPropConfig::default() };
    for dtype in [DType::F32, DType::F64] {
        let gradient = |step: usize| goldens["gradient/b"].get(step)?.to_dtype(dtype);
        let var = Var::from_tensor(&goldens["start/b"].to_dtype(dtype)?)?;
        let mut optimizer = RmsProp::named(vec![("dense.kernel".to_string(), var.clone())], config.clone())?;
        for step in 0..4 {
            optimizer.step(&store(&[(&var, &gradient(step)?)])?)?;
        }
        let state = optimizer.state()?;
        let names: Vec<_> = state.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["dense.kernel/average_gradient", "dense.kernel/momentum", "dense.kernel/velocity"]
        );

        let copy = Var::from_tensor(&var.as_detached_tensor().copy()?)?;
        let mut continued = RmsProp::named(vec![("dense.kernel".to_string(), copy.clone())], config.clone())?;
        continued.load_state(&state)?;
        for step in 4..8 {
            optimizer.step(&store(&[(&var, &gradient(step)?)])?)?;
            continued.step(&store(&[(&copy, &gradient(step)?)])?)?;
        }
        assert_eq!(difference(&var, &copy)?, 0.0);
        // What was given out is a copy: neither run has changed it.
        let again = RmsProp::named(vec![("dense.kernel".to_string(), copy.clone())], config.clone())?;
        assert!(
            difference(&state["dense.kernel/velocity"], &again.state()?["dense.kernel/velocity"])? > 1e-4
        );
        assert!(
            difference(&state["dense.kernel/velocity"], &optimizer.state()?["dense.kernel/velocity"])? > 1e-4
        );
    }
    Ok(())
}

#[test]
fn a_state_that_does_not_fit_is_refused() -> Result<()> {
    let var = Var::zeros((2, 3), DType::F32, &Device::Cpu)?;
    let mut optimizer = RmsProp::named(vec![("w".to_string(), var)], RmsPropConfig::default())?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let velocity = |shape: &[usize]| zeros(shape).map(|tensor| ("w/velocity".to_string(), tensor));
    let cases = [
        (BTreeMap::new(), "w/velocity: the optimiser's state lacks this array"),
        (
            BTreeMap::from([velocity(&[3, 2])?]),
            "w/velocity: the variable's shape is [2, 3], the state's [3, 2]",
        ),
        (
            BTreeMap::from([velocity(&[2, 3])?, ("w/momentum".to_string(), zeros(&[2, 3])?)]),
            "w/momentum: this array belongs to no variable or option of the optimiser",
        ),
    ];
    for (state, message) in cases {
        assert_eq!(optimizer.load_state(&state).map_err(|error| error.to_string()), Err(message.to_string()));
    }
    Ok(())
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let base = RmsPropConfig::default;
    let cases = [
        ("learning_rate", RmsPropConfig { learning_rate: -1e-3, ..base() }),
        ("learning_rate", RmsPropConfig { learning_rate: f64::NAN, ..base() }),
        ("learning_rate", RmsPropConfig { learning_rate: f64::INFINITY, ..base() }),
        ("rho", RmsPropConfig { rho: 1.1, ..base() }),
        ("momentum", RmsPropConfig { momentum: -0.1, ..base() }),
        ("epsilon", RmsPropConfig { epsilon: -1e-7, ..base() }),
        ("weight_decay", RmsPropConfig { weight_decay: Some(-1.0), ..base() }),
        ("clipnorm", RmsPropConfig { clipnorm: Some(0.0), ..base() }),
        ("clipvalue", RmsPropConfig { clipvalue: Some(f64::NAN), ..base() }),
        ("global_clipnorm", RmsPropConfig { global_clipnorm: Some(-1.0), ..base() }),
        ("clipnorm and clipvalue", RmsPropConfig { clipnorm: Some(1.0), clipvalue: Some(1.0), ..base() }),
    ];
    for (expected, config) in cases {
        match RmsProp::named(Vec::new(), config.clone()) {
            Err(Error::Argument { argument, .. }) => assert_eq!(argument, expected),
            Err(error) => panic!("{config:?}: {error}"),
            Ok(_) => panic!("{config:?} was taken"),
        }
    }
}

#[test]
fn gradients_that_do_not_fit_are_refused() -> Result<()> {
    let var = Var::zeros(3, DType::F32, &Device::Cpu)?;
    let mut optimizer = RmsProp::named(vec![("w".to_string(), var.clone())], RmsPropConfig::default())?;
    let none = optimizer.step(&store(&[])?).map_err(|error| error.to_string());
    assert!(none.as_ref().is_err_and(|message| message.contains("no variable has a gradient")), "{none:?}");
    let wrong = Tensor::zeros(4, DType::F32, &Device::Cpu)?;
    let shape = optimizer.step(&store(&[(&var, &wrong)])?).map_err(|error| error.to_string());
    assert!(
        shape.as_ref().is_err_and(|message| message.starts_with("w: ") && message.contains("[4]")),
        "{shape:?}"
    );
    let rate = optimizer.set_learning_rate(-1.0);
    assert!(rate.is_err() && optimizer.learning_rate() == 0.001);
    assert!(
        RmsProp::named(vec![("w".to_string(), var.clone()), ("w".to_string(), var)], Default::default())
            .is_err()
    );
    Ok(())
}

/// Candle's own training loop, on a variable without a gradient too.
#[test]
fn it_is_an_optimizer_of_candle() -> Result<()> {
    use candle_nn::Optimizer;
    let (w, unused) = (Var::new(&[3f32, -2.0], &Device::Cpu)?, Var::new(&[1f32], &Device::Cpu)?);
    let config = RmsPropConfig { learning_rate: 0.05, weight_decay: Some(0.1), ..RmsPropConfig::default() };
    let mut optimizer = <RmsProp as Optimizer>::new(vec![w.clone(), unused.clone()], config)?;
    for _ in 0..200 {
        optimizer.backward_step(&w.sqr()?.sum_all()?)?;
    }
    let rest = w.abs()?.max(0)?.to_scalar::<f32>()?;
    assert!(rest < 0.1, "{rest}");
    assert_eq!(unused.to_vec1::<f32>()?, [1.0]);
    Ok(())
}

/// An Embedding read by two layers, in one model and through a model within it: the same step of RMSprop.
#[test]
fn a_table_read_through_a_model_within_trains_the_same() {
    let layer = |class: &str, name: &str, config: Value, from: Value| {
        let mut layer = json!({ "class_name": class, "config": config, "inbound_nodes": from });
        layer["config"]["name"] = name.into();
        layer
    };
    let input =
        |name: &str, shape: Value| layer("InputLayer", name, json!({ "batch_shape": shape }), json!([]));
    let embedding =
        layer("Embedding", "embedding", json!({ "input_dim": 5, "output_dim": 3 }), json!([[["ids", 0, 0]]]));
    let two = |from: &str| {
        let lstm = |name: &str| layer("LSTM", name, json!({ "units": 2 }), json!([[[from, 0, 0]]]));
        let sum = layer("Add", "sum", json!({}), json!([[["a", 0, 0], ["b", 0, 0]]]));
        vec![lstm("a"), lstm("b"), sum]
    };
    let model = |mut layers: Vec<Value>, output: &str| -> ModelConfig {
        layers.insert(0, embedding.clone());
        layers.insert(0, input("ids", json!([null, 4])));
        let dense = json!({ "units": 1, "activation": "sigmoid" });
        layers.push(layer("Dense", "dense", dense, json!([[[output, 0, 0]]])));
        let config = json!({
            "name": "m", "layers": layers, "input_layers": [["ids", 0, 0]], "output_layers": [["dense", 0, 0]]
        });
        serde_json::from_value(config).unwrap()
    };
    let mut inner = vec![input("x", json!([null, 4, 3]))];
    inner.extend(two("x"));
    let inner = json!({ "layers": inner, "input_layers": [["x", 0, 0]], "output_layers": [["sum", 0, 0]] });
    let within = layer("Functional", "within", inner, json!([[["embedding", 0, 0]]]));
    let step = |config: ModelConfig, prefix: &str| -> Vec<f32> {
        let weights = Weights::init(&config, 1, &Device::Cpu).unwrap();
        for (name, var) in weights.iter() {
            let seed = name.strip_prefix(prefix).unwrap_or(name).bytes().map(u32::from).sum::<u32>();
            let count = var.elem_count() as u32;
            let values: Vec<f32> = (0..count).map(|i| ((i * 7 + seed) % 13) as f32 / 13.0 - 0.5).collect();
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        let variables = weights.trainable().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let mut optimizer = RmsProp::named(variables, RmsPropConfig::default()).unwrap();
        let model = Model::new(&config, weights.var_builder()).unwrap();
        let ids = Tensor::new(&[[1u32, 2, 2, 3], [4, 1, 1, 1]], &Device::Cpu).unwrap();
        let loss = model.forward(&ids, Mode::Inference).unwrap().sum_all().unwrap();
        optimizer.step(&loss.backward().unwrap()).unwrap();
        let table = weights.iter().find(|(name, _)| name.ends_with("embeddings")).unwrap().1;
        table.flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(step(model(two("embedding"), "sum"), ""), step(model(vec![within], "within"), "within."));
}
