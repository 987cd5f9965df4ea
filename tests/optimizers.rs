//! What every optimiser promises. Its numbers stand against Keras's in `golden/optimizers.rs`.

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_recurrent::Error;
use candle_recurrent::layers::{Mode, ModelConfig};
use candle_recurrent::model::{Model, Weights};
use candle_recurrent::train::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, CosineDecay, Ftrl, LearningRate, Lion, Nadam, Optimizer,
    OptimizerConfig, PiecewiseConstantDecay, RmsProp, Schedule, Sgd,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Every class, with the options that give it other arrays.
fn every_class() -> Vec<OptimizerConfig> {
    vec![
        RmsProp::default().into(),
        RmsProp { momentum: 0.5, ..RmsProp::default() }.into(),
        RmsProp { centered: true, ..RmsProp::default() }.into(),
        RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() }.into(),
        Adam::default().into(),
        Adam { amsgrad: true, ..Adam::default() }.into(),
        AdamW::default().into(),
        Nadam::default().into(),
        Adamax::default().into(),
        Sgd::default().into(),
        Sgd { momentum: 0.5, nesterov: true }.into(),
        Adagrad::default().into(),
        Adadelta::default().into(),
        Lion::default().into(),
        Ftrl::default().into(),
        OptimizerConfig { clipnorm: Some(0.5), use_ema: true, ..Adam::default().into() },
        OptimizerConfig { gradient_accumulation_steps: Some(2), ..Sgd::default().into() },
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
    for config in every_class() {
        let run = |threads: usize| -> Result<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let var = Var::from_tensor(&start)?;
            let mut optimizer = Optimizer::new(vec![("w".to_string(), var.clone())], config.clone())?;
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
        Optimizer::new(vec![("w".to_string(), var.clone())], RmsProp::default())?
            .step(&store(&[(&var, gradient)])?)?;
        Ok(var.as_detached_tensor())
    };
    let strided = gradients[0].t()?.contiguous()?.t()?;
    assert!(!strided.is_contiguous());
    assert_eq!(difference(&after(&strided)?, &after(&gradients[0])?)?, 0.0);
    assert!(difference(&after(&strided)?, &start)? > 1e-3);
    Ok(())
}

/// A run that is saved and continued gives the same bits as one that was not: by the names of variables and in Keras's
/// order, in both element types.
#[test]
fn the_state_continues_a_run() -> Result<()> {
    let gradients: Vec<Tensor> = (0..9u32)
        .map(|step| {
            Tensor::from_iter((0..6u32).map(|i| ((i * 7 + step * 5) % 11) as f32 - 5.0), &Device::Cpu)
        })
        .collect::<std::result::Result<_, _>>()?;
    for config in every_class() {
        for dtype in [DType::F32, DType::F64] {
            let gradient = |step: usize| gradients[step].to_dtype(dtype);
            let var = Var::from_tensor(&Tensor::arange(0f32, 6.0, &Device::Cpu)?.to_dtype(dtype)?)?;
            let make =
                |var: &Var| Optimizer::new(vec![("dense.kernel".to_string(), var.clone())], config.clone());
            let mut optimizer = make(&var)?;
            optimizer.set_learning_rate(0.02)?;
            for step in 0..5 {
                optimizer.step(&store(&[(&var, &gradient(step)?)])?)?;
            }
            let copies: Vec<Var> = (0..2)
                .map(|_| Var::from_tensor(&var.as_detached_tensor().copy()?))
                .collect::<std::result::Result<_, _>>()?;
            let (mut by_name, mut by_order) = (make(&copies[0])?, make(&copies[1])?);
            let state = optimizer.state()?;
            let bytes = safetensors::serialize(&state, None)?;
            by_name.load_state(
                &candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?.into_iter().collect(),
            )?;
            let keras: Vec<Tensor> = optimizer.keras_variables()?.into_iter().map(|it| it.value).collect();
            by_order.load_keras_variables(&keras)?;
            assert_eq!((by_name.iterations(), by_name.learning_rate()), (optimizer.iterations(), 0.02));
            for step in 5..9 {
                optimizer.step(&store(&[(&var, &gradient(step)?)])?)?;
                by_name.step(&store(&[(&copies[0], &gradient(step)?)])?)?;
                by_order.step(&store(&[(&copies[1], &gradient(step)?)])?)?;
            }
            optimizer.finalize()?;
            by_name.finalize()?;
            by_order.finalize()?;
            assert_eq!(difference(&var, &copies[0])?, 0.0, "{config:?}");
            // Keras keeps the rate in f32.
            assert!(difference(&var, &copies[1])? < 1e-6, "{config:?}");
            // What was given out is a copy: no run has changed it.
            let again = make(&copies[0])?;
            let (fresh, later) = (again.state()?, optimizer.state()?);
            for (key, value) in state.iter().filter(|(key, _)| key.contains('/')) {
                assert!(
                    config.gradient_accumulation_steps.is_some() || difference(value, &fresh[key])? > 0.0,
                    "{key}"
                );
                assert!(difference(value, &later[key])? > 0.0, "{key}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_state_has_kerass_names() -> Result<()> {
    let variables = || -> Result<Vec<(String, Var)>> {
        let var = |shape: &[usize]| Var::zeros(shape, DType::F32, &Device::Cpu);
        Ok(vec![("d.kernel".to_string(), var(&[4, 2])?), ("d.bias".to_string(), var(&[2])?)])
    };
    let config = OptimizerConfig {
        use_ema: true,
        gradient_accumulation_steps: Some(2),
        ..Adam { amsgrad: true, ..Adam::default() }.into()
    };
    let optimizer = Optimizer::new(variables()?, config)?;
    let own: Vec<String> = optimizer.state()?.into_keys().collect();
    let slots = ["average", "gradient_accumulator", "momentum", "velocity", "velocity_hat"];
    let mut expected: Vec<String> =
        ["d.bias", "d.kernel"].iter().flat_map(|of| slots.map(|slot| format!("{of}/{slot}"))).collect();
    expected.extend(["iterations".to_string(), "learning_rate".to_string()]);
    assert_eq!(own, expected);
    let keras: Vec<String> = optimizer
        .keras_variables()?
        .into_iter()
        .map(|it| it.of.map_or(it.name.to_string(), |of| format!("{} {}", of, it.name)))
        .collect();
    let expected = [
        "iteration",
        "learning_rate",
        "d.kernel average",
        "d.bias average",
        "d.kernel gradient_accumulator",
        "d.bias gradient_accumulator",
        "d.kernel momentum",
        "d.kernel velocity",
        "d.bias momentum",
        "d.bias velocity",
        "d.kernel velocity_hat",
        "d.bias velocity_hat",
    ];
    assert_eq!(keras, expected);
    let nadam = Optimizer::new(variables()?, Nadam::default())?;
    assert!(nadam.state()?.contains_key("u_product"));
    assert_eq!(nadam.keras_variables()?.last().map(|it| it.name), Some("u_product"));
    let message = |result: candle_recurrent::Result<()>| {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let mut sgd = Optimizer::new(variables()?, Sgd::default())?;
    let few = message(sgd.load_keras_variables(&[]));
    assert!(few.contains("its state is 2 arrays, 0 are given"), "{few}");
    Ok(())
}

#[test]
fn a_state_that_does_not_fit_is_refused() -> Result<()> {
    let var = Var::zeros((2, 3), DType::F32, &Device::Cpu)?;
    let mut optimizer = Optimizer::new(vec![("w".to_string(), var)], RmsProp::default())?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let whole = optimizer.state()?;
    let with = |key: &str, value: Option<Tensor>| {
        let mut state = whole.clone();
        match value {
            Some(value) => state.insert(key.to_string(), value),
            None => state.remove(key),
        };
        state
    };
    let cases = [
        (BTreeMap::new(), "iterations: the optimiser's state lacks this array"),
        (with("w/velocity", None), "w/velocity: the optimiser's state lacks this array"),
        (
            with("w/velocity", Some(zeros(&[3, 2])?)),
            "w/velocity: the variable's shape is [2, 3], the state's [3, 2]",
        ),
        (
            with("w/momentum", Some(zeros(&[2, 3])?)),
            "w/momentum: this array belongs to no variable or option of the optimiser",
        ),
        (with("iterations", Some(zeros(&[1])?)), "iterations: its shape is [], the state's [1]"),
        (
            with("iterations", Some(Tensor::new(-1i64, &Device::Cpu)?)),
            "iterations: -1 is no number of steps, expected a whole number from 0",
        ),
        (
            with("learning_rate", Some(Tensor::new(f64::NAN, &Device::Cpu)?)),
            "learning_rate: NaN does not work, give a number of at least 0",
        ),
    ];
    for (state, message) in cases {
        assert_eq!(optimizer.load_state(&state).map_err(|error| error.to_string()), Err(message.to_string()));
    }
    Ok(())
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let adam = || OptimizerConfig::from(Adam::default());
    let cases: Vec<(&str, OptimizerConfig)> = vec![
        ("learning_rate", adam().with_learning_rate(-1e-3)),
        ("learning_rate", adam().with_learning_rate(f64::NAN)),
        ("learning_rate", adam().with_learning_rate(f64::INFINITY)),
        ("rho", RmsProp { rho: 1.1, ..RmsProp::default() }.into()),
        ("momentum", RmsProp { momentum: -0.1, ..RmsProp::default() }.into()),
        ("epsilon", RmsProp { epsilon: -1e-7, ..RmsProp::default() }.into()),
        ("beta_1", Adam { beta_1: 1.0, ..Adam::default() }.into()),
        ("beta_2", AdamW { beta_2: f64::NAN, ..AdamW::default() }.into()),
        ("beta_2", Nadam { beta_2: -0.1, ..Nadam::default() }.into()),
        ("epsilon", Adamax { epsilon: f64::NAN, ..Adamax::default() }.into()),
        ("momentum", Sgd { momentum: 1.5, nesterov: false }.into()),
        (
            "initial_accumulator_value",
            Adagrad { initial_accumulator_value: -1.0, ..Adagrad::default() }.into(),
        ),
        ("rho", Adadelta { rho: 2.0, ..Adadelta::default() }.into()),
        ("beta_1", Lion { beta_1: 0.0, ..Lion::default() }.into()),
        ("learning_rate_power", Ftrl { learning_rate_power: 0.5, ..Ftrl::default() }.into()),
        ("beta", Ftrl { beta: -1.0, ..Ftrl::default() }.into()),
        ("weight_decay", OptimizerConfig { weight_decay: Some(-1.0), ..adam() }),
        ("weight_decay", OptimizerConfig { weight_decay: None, ..AdamW::default().into() }),
        ("clipnorm", OptimizerConfig { clipnorm: Some(0.0), ..adam() }),
        ("clipvalue", OptimizerConfig { clipvalue: Some(f64::NAN), ..adam() }),
        ("global_clipnorm", OptimizerConfig { global_clipnorm: Some(-1.0), ..adam() }),
        ("clipnorm and clipvalue", OptimizerConfig { clipnorm: Some(1.0), clipvalue: Some(1.0), ..adam() }),
        ("ema_momentum", OptimizerConfig { ema_momentum: 1.1, ..adam() }),
        (
            "ema_overwrite_frequency",
            OptimizerConfig { ema_overwrite_frequency: Some(0), use_ema: true, ..adam() },
        ),
        ("ema_overwrite_frequency", OptimizerConfig { ema_overwrite_frequency: Some(1), ..adam() }),
        ("loss_scale_factor", OptimizerConfig { loss_scale_factor: Some(0.0), ..adam() }),
        ("gradient_accumulation_steps", OptimizerConfig { gradient_accumulation_steps: Some(1), ..adam() }),
        (
            "boundaries",
            adam().with_learning_rate(PiecewiseConstantDecay {
                boundaries: vec![3.0, 3.5],
                values: vec![1.0; 3],
            }),
        ),
        (
            "values",
            adam().with_learning_rate(PiecewiseConstantDecay { boundaries: vec![3.0], values: vec![1.0] }),
        ),
    ];
    for (expected, config) in cases {
        match Optimizer::new(Vec::new(), config.clone()) {
            Err(Error::Argument { argument, .. }) => assert_eq!(argument, expected),
            Err(error) => panic!("{config:?}: {error}"),
            Ok(_) => panic!("{config:?} was taken"),
        }
    }
}

/// Keras's words in and out.
#[test]
fn json_is_kerass() -> Result<()> {
    let read = |json: &str| serde_json::from_str::<OptimizerConfig>(json).map_err(|error| error.to_string());
    // Of `keras.optimizers.serialize`.
    let keras = r#"{"module": "keras.optimizers", "class_name": "Adam", "config": {"name": "adam_1", "learning_rate":
        {"module": "keras.optimizers.schedules", "class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1,
        "decay_steps": 10, "alpha": 0.0, "name": "CosineDecay", "warmup_target": null, "warmup_steps": 0},
        "registered_name": null}, "weight_decay": null, "clipnorm": null, "global_clipnorm": 0.5, "clipvalue": null,
        "use_ema": true, "ema_momentum": 0.9, "ema_overwrite_frequency": null, "loss_scale_factor": null,
        "gradient_accumulation_steps": null, "beta_1": 0.8, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": true},
        "registered_name": null}"#;
    let schedule = Schedule::from(CosineDecay {
        initial_learning_rate: 0.1,
        decay_steps: 10.0,
        alpha: 0.0,
        warmup_target: None,
        warmup_steps: 0.0,
    });
    let expected = OptimizerConfig {
        global_clipnorm: Some(0.5),
        use_ema: true,
        ema_momentum: 0.9,
        ..Adam { beta_1: 0.8, amsgrad: true, ..Adam::default() }.with_learning_rate(schedule)
    };
    assert_eq!(read(keras)?, expected);
    for config in every_class().into_iter().chain([expected]) {
        assert_eq!(read(&serde_json::to_string(&config)?)?, config);
    }
    assert_eq!(read("\"adam\"")?, Adam::default().into());
    assert_eq!(read("\"SGD\"")?.learning_rate, LearningRate::Constant(0.01));
    assert_eq!(read(r#"{"class_name": "adamw"}"#)?.weight_decay, Some(0.004));
    // As it was written when there was only RMSprop.
    let old = read(
        r#"{"learning_rate": 0.0001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": false}"#,
    )?;
    assert_eq!(old, RmsProp::default().with_learning_rate(1e-4));
    let written = json!({ "class_name": "SGD", "config": { "learning_rate": 0.1, "momentum": 0.5, "nesterov": false } });
    let sgd = Sgd { momentum: 0.5, nesterov: false }.with_learning_rate(0.1);
    assert_eq!(serde_json::to_value(sgd)?, written);
    for (json, message) in [
        (r#"{"class_name": "Adem"}"#, "optimizer: class `Adem` is unknown; did you mean `Adam`?"),
        (
            r#"{"class_name": "Adam", "config": {"beta1": 0.5}}"#,
            "Adam: the field `beta1` is unknown; did you mean `beta_1`?",
        ),
        (
            r#"{"class_name": "SGD", "config": {"clip_norm": 0.5}}"#,
            "SGD: the field `clip_norm` is unknown; did you mean `clipnorm`?",
        ),
        (r#"{"class_name": "SGD", "config": {"rate": 0.5}}"#, "SGD: the field `rate` is unknown;"),
        (
            r#"{"class_name": "SGD", "config": {"momentum": "a"}}"#,
            "SGD: momentum: expected a number, found \"a\"",
        ),
        (r#"{"class_name": "SGD", "config": {"clipnorm": "a"}}"#, "clipnorm: expected a number, found \"a\""),
        (r#"{"class_name": "SGD", "config": {"learning_rate": null}}"#, "learning_rate: expected a number"),
        (r#"{"class_name": "SGD", "config": {"learning_rate": -1}}"#, "learning_rate: -1 does not work"),
        (
            r#"{"learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 1}}}"#,
            "lacks the field `decay_steps`",
        ),
        (
            r#"{"learning_rate": {"class_name": "CosinDecay", "config": {}}}"#,
            "class `CosinDecay` is unknown; did you mean `CosineDecay`?",
        ),
        (
            r#"{"class_name": "Own>Adam", "registered_name": "Own>Adem"}"#,
            "is a class of somebody's own, which is not known here",
        ),
        ("3", "optimizer: expected a class's name or an object of class_name and config, found 3"),
    ] {
        let found = read(json).err().unwrap_or_default();
        assert!(found.contains(message), "{found:?}, not {message:?}");
    }
    Ok(())
}

/// The rate of a schedule follows the steps, and is not to be set.
#[test]
fn a_schedule_gives_the_rate_of_each_step() -> Result<()> {
    let var = Var::zeros(1, DType::F32, &Device::Cpu)?;
    let schedule = PiecewiseConstantDecay { boundaries: vec![1.0], values: vec![0.5, 0.25] };
    let named = vec![("w".to_string(), var.clone())];
    let mut optimizer = Optimizer::new(named, Sgd::default().with_learning_rate(schedule))?;
    let ones = Tensor::ones(1, DType::F32, &Device::Cpu)?;
    for expected in [-0.5, -1.0, -1.25] {
        optimizer.step(&store(&[(&var, &ones)])?)?;
        assert_eq!(var.to_vec1::<f32>()?, [expected]);
    }
    assert_eq!((optimizer.iterations(), optimizer.learning_rate()), (3, 0.25));
    let refused = optimizer.set_learning_rate(0.1).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("learning_rate: it is a schedule (PiecewiseConstantDecay)"), "{refused}");
    assert!(!optimizer.state()?.contains_key("learning_rate"));
    Ok(())
}

#[test]
fn gradients_that_do_not_fit_are_refused() -> Result<()> {
    let var = Var::zeros(3, DType::F32, &Device::Cpu)?;
    let mut optimizer = Optimizer::new(vec![("w".to_string(), var.clone())], RmsProp::default())?;
    let none = optimizer.step(&store(&[])?).map_err(|error| error.to_string());
    assert!(none.as_ref().is_err_and(|message| message.contains("no variable has a gradient")), "{none:?}");
    let wrong = Tensor::zeros(4, DType::F32, &Device::Cpu)?;
    let shape = optimizer.step(&store(&[(&var, &wrong)])?).map_err(|error| error.to_string());
    assert!(
        shape.as_ref().is_err_and(|message| message.starts_with("w: ") && message.contains("[4]")),
        "{shape:?}"
    );
    assert_eq!(optimizer.iterations(), 0);
    let rate = optimizer.set_learning_rate(-1.0);
    assert!(rate.is_err() && optimizer.learning_rate() == 0.001);
    let twice = vec![("w".to_string(), var.clone()), ("w".to_string(), var)];
    assert!(Optimizer::new(twice, RmsProp::default()).is_err());
    Ok(())
}

/// Candle's own training loop, on a variable without a gradient too.
#[test]
fn it_is_an_optimizer_of_candle() -> Result<()> {
    use candle_nn::Optimizer as Candle;
    let (w, unused) = (Var::new(&[3f32, -2.0], &Device::Cpu)?, Var::new(&[1f32], &Device::Cpu)?);
    let config = OptimizerConfig {
        weight_decay: Some(0.1),
        loss_scale_factor: Some(8.0),
        ..RmsProp::default().with_learning_rate(0.05)
    };
    let mut optimizer = <Optimizer as Candle>::new(vec![w.clone(), unused.clone()], config)?;
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
        let mut optimizer = Optimizer::new(variables, RmsProp::default()).unwrap();
        let model = Model::new(&config, weights.var_builder()).unwrap();
        let ids = Tensor::new(&[[1u32, 2, 2, 3], [4, 1, 1, 1]], &Device::Cpu).unwrap();
        let loss = model.forward(&ids, Mode::Inference).unwrap().sum_all().unwrap();
        optimizer.step(&loss.backward().unwrap()).unwrap();
        let table = weights.iter().find(|(name, _)| name.ends_with("embeddings")).unwrap().1;
        table.flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(step(model(two("embedding"), "sum"), ""), step(model(vec![within], "within"), "within."));
}
