//! The layers around the recurrent ones: their fused passes in f32 against the tensor path in f64, values and gradients, and
//! over any number of threads the same bits.

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{
    Activation, AddConfig, AverageConfig, AveragePooling, AveragePoolingConfig, Axes, BatchNormalization,
    BatchNormalizationConfig, Concatenate, ConcatenateConfig, Config, Dropout, DropoutConfig, Elu, EluConfig,
    Embedding, EmbeddingConfig, Flow, GlobalAveragePooling, GlobalAveragePoolingConfig, GlobalMaxPooling,
    GlobalMaxPoolingConfig, LayerNormalization, LayerNormalizationConfig, LeakyRelu, LeakyReluConfig,
    MaxPooling, MaxPoolingConfig, MaximumConfig, MinimumConfig, Mode, MultiplyConfig, Padding, RepeatVector,
    RepeatVectorConfig, Sizes, SpatialDropout1d, SpatialDropout1dConfig, SubtractConfig,
};
use candle_recurrent::model::{Model, ModelConfig};
use candle_recurrent::train::backward;
use serde_json::{Value, json};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

/// Numbers without pattern between -1 and 1 (SplitMix64), some of them equal.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Of 1,001 values, so that a maximum has ties.
        ((z ^ (z >> 31)) % 1001) as f32 / 500.0 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

/// A call on some tensors, in whatever type they are.
type Call<'a, T> = dyn Fn(&[Tensor]) -> Result<T> + Sync + 'a;

/// The outputs, and over one graph the gradients of a weighted sum of each output and of that of all of them.
fn run(call: &Call<'_, Vec<Tensor>>, inputs: &[Tensor], dtype: DType) -> Vec<Vec<f64>> {
    let vars: Vec<Var> =
        inputs.iter().map(|xs| Var::from_tensor(&xs.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let outputs = call(&tensors).unwrap();
    let flat = |xs: &Tensor| xs.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let mut all: Vec<Vec<f64>> = outputs.iter().map(flat).collect();
    let sum = |(ys, seed): (&Tensor, u64)| {
        (ys * random(ys.dims(), seed).to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap()
    };
    let sums: Vec<Tensor> = outputs.iter().zip(99..).map(sum).collect();
    let whole = sums[1..].iter().fold(sums[0].clone(), |whole, sum| (whole + sum).unwrap());
    let gradients = |loss: &Tensor| -> Vec<Vec<f64>> {
        let gradients = loss.backward().unwrap();
        vars.iter().map(|var| gradients.get(var).map_or(vec![], flat)).collect()
    };
    all.extend(sums.iter().flat_map(gradients));
    let gradients_of_whole = gradients(&whole);
    assert_eq!(gradients(&whole), gradients_of_whole, "the second way back over one graph");
    all.extend(gradients_of_whole);
    all
}

/// f32 and f64 agree, and one thread and others.
fn check_all(what: &str, inputs: &[Tensor], call: &Call<'_, Vec<Tensor>>) {
    let (single, double) = (run(call, inputs, DType::F32), run(call, inputs, DType::F64));
    for (at, (single, double)) in single.iter().zip(&double).enumerate() {
        let worst =
            single.iter().zip(double).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
        assert!(single.len() == double.len() && worst < 3e-5, "{what}, {at}: differs by {worst}");
    }
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| run(call, inputs, DType::F32));
        assert_eq!(again, single, "{what}: {threads} threads");
    }
}

fn check(what: &str, inputs: &[Tensor], call: &Call<'_, Tensor>) {
    check_all(what, inputs, &|xs| Ok(vec![call(xs)?]));
}

/// A layer of a model: its class, name and arguments, and the layers that it reads.
type Node<'a> = (&'a str, &'a str, Value, &'a [&'a str]);

/// The same for a model of these layers on `x`, and the gradients of its variables.
fn check_model(what: &str, x: &Tensor, nodes: &[Node<'_>], outputs: &[(&str, usize)]) {
    let shape = open(x);
    let mut layers =
        vec![json!({ "class_name": "InputLayer", "config": { "name": "x", "batch_shape": shape } })];
    for (class, name, config, from) in nodes {
        let mut config = config.clone();
        config["name"] = (*name).into();
        let from: Vec<Value> = from.iter().map(|from| json!([from, 0, 0])).collect();
        layers.push(json!({ "class_name": class, "config": config, "inbound_nodes": [from] }));
    }
    let outputs: Vec<Value> = outputs.iter().map(|(name, tensor)| json!([name, 0, tensor])).collect();
    let model = json!({
        "name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": outputs
    });
    let config = ModelConfig::from_json(&model.to_string()).unwrap();
    let (names, shapes): (Vec<String>, Vec<Vec<usize>>) = config.variables().unwrap().into_iter().unzip();
    let variables = shapes.iter().zip(200..).map(|(shape, seed)| (random(shape, seed) * 0.5).unwrap());
    let inputs: Vec<Tensor> = std::iter::once(x.clone()).chain(variables).collect();
    check_all(what, &inputs, &|given| {
        let variables: HashMap<String, Tensor> =
            names.iter().cloned().zip(given[1..].iter().cloned()).collect();
        let vb = VarBuilder::from_tensors(variables, given[0].dtype(), &CPU);
        let model = Model::new(&config, vb).map_err(candle_core::Error::wrap)?;
        model.forward_all(&given[..1], Mode::Inference).map_err(candle_core::Error::wrap)
    });
}

fn no_variables() -> VarBuilder<'static> {
    VarBuilder::from_tensors(HashMap::new(), DType::F32, &CPU)
}

fn open(xs: &Tensor) -> Vec<Option<usize>> {
    xs.dims().iter().map(|&length| Some(length)).collect()
}

/// Ties are of any places: their order of addition is not told.
#[test]
fn pooling() {
    let small = random(&[3, 7, 5], 1);
    let large = random(&[70, 33, 43], 2);
    let (whole, eight) = (random(&[70, 33, 32], 3), random(&[300, 33, 8], 4));
    for xs in [&small, &large, &whole, &eight] {
        let layer =
            GlobalMaxPooling::<1>::new(&open(xs), GlobalMaxPoolingConfig::default(), no_variables()).unwrap();
        check("GlobalMaxPooling1D", std::slice::from_ref(xs), &|xs| layer.forward(&xs[0]));
        let layer =
            GlobalAveragePooling::<1>::new(&open(xs), GlobalAveragePoolingConfig::default(), no_variables())
                .unwrap();
        check("GlobalAveragePooling1D", std::slice::from_ref(xs), &|xs| layer.forward(&xs[0]));
        let (batch, time, _) = xs.dims3().unwrap();
        let mask: Vec<u8> = (0..batch * time).map(|at| u8::from(at % 3 != 1)).collect();
        let mask = Tensor::from_vec(mask, (batch, time), &CPU).unwrap();
        check("GlobalAveragePooling1D, masked", std::slice::from_ref(xs), &|xs| {
            layer.forward_masked(&xs[0], Some(&mask))
        });
        for (pool_size, strides, padding) in [
            (2, None, Padding::Valid),
            (4, Some(1), Padding::Same),
            (3, Some(2), Padding::Same),
            (2, Some(3), Padding::Valid),
        ] {
            let strides = strides.map(Sizes::all);
            let config = MaxPoolingConfig::<1> { pool_size: Sizes::all(pool_size), strides, padding };
            let layer = MaxPooling::new(&open(xs), config, no_variables()).unwrap();
            check(&format!("{config:?}"), std::slice::from_ref(xs), &|xs| layer.forward(&xs[0]));
            let config = AveragePoolingConfig::<1> { pool_size: Sizes::all(pool_size), strides, padding };
            let layer = AveragePooling::new(&open(xs), config, no_variables()).unwrap();
            check(&format!("{config:?}"), std::slice::from_ref(xs), &|xs| layer.forward(&xs[0]));
        }
    }
    let plane = random(&[9, 8, 11, 3], 3);
    let space = random(&[5, 6, 5, 7, 2], 4);
    let layer =
        GlobalMaxPooling::<2>::new(&open(&plane), GlobalMaxPoolingConfig { keepdims: true }, no_variables());
    let layer = layer.unwrap();
    check("GlobalMaxPooling2D", std::slice::from_ref(&plane), &|xs| layer.forward(&xs[0]));
    for padding in [Padding::Valid, Padding::Same] {
        let config =
            MaxPoolingConfig::<2> { pool_size: Sizes([3, 2]), strides: Some(Sizes([2, 1])), padding };
        let layer = MaxPooling::new(&open(&plane), config, no_variables()).unwrap();
        check("MaxPooling2D", std::slice::from_ref(&plane), &|xs| layer.forward(&xs[0]));
        let config = AveragePoolingConfig::<3> {
            pool_size: Sizes([3, 2, 2]),
            strides: Some(Sizes([2, 1, 3])),
            padding,
        };
        let layer = AveragePooling::new(&open(&space), config, no_variables()).unwrap();
        check("AveragePooling3D", std::slice::from_ref(&space), &|xs| layer.forward(&xs[0]));
    }
}

#[test]
fn batch_normalization() {
    let training = Mode::Training { seed: 0 };
    for (dims, axis, masked) in [
        (vec![6, 5, 4], -1, false),
        (vec![6, 5, 4], -1, true),
        (vec![6, 5, 4], 1, false),
        (vec![90, 40, 33], -1, false),
        (vec![90, 40, 33], -1, true),
        (vec![50, 3, 40, 11], 1, false),
        (vec![300, 1], -1, false),
    ] {
        let xs = random(&dims, 5);
        let mask = masked.then(|| {
            let places: usize = dims[..dims.len() - 1].iter().product();
            let mask: Vec<u8> = (0..places).map(|at| u8::from(at % 4 != 2)).collect();
            Tensor::from_vec(mask, &dims[..dims.len() - 1], &CPU).unwrap()
        });
        let features = dims[if axis < 0 { dims.len() - 1 } else { 1 }];
        let (gamma, beta) = (random(&[features], 6), random(&[features], 7));
        let variance = (random(&[features], 8) + 1.5).unwrap();
        let config = BatchNormalizationConfig { axis, ..BatchNormalizationConfig::default() };
        for mode in [training, Mode::Inference] {
            let call = |given: &[Tensor]| {
                let dtype = given[0].dtype();
                let names = ["gamma", "beta"];
                let mut variables: HashMap<String, Tensor> =
                    names.iter().zip(&given[1..]).map(|(name, xs)| (name.to_string(), xs.clone())).collect();
                variables.insert("moving_mean".into(), random(&[features], 9).to_dtype(dtype)?);
                variables.insert("moving_variance".into(), variance.to_dtype(dtype)?);
                let vb = VarBuilder::from_tensors(variables, dtype, &CPU);
                BatchNormalization::new(&open(&given[0]), config, vb)?.forward(&given[0], mask.as_ref(), mode)
            };
            let what = format!("{dims:?}, axis {axis}, masked {masked}, {mode:?}");
            check(&what, &[xs.clone(), gamma.clone(), beta.clone()], &call);
        }
    }
}

#[test]
fn concatenation() {
    for time in [1, 9] {
        let inputs: Vec<Tensor> =
            [3, 8, 5].iter().zip(0..).map(|(&width, seed)| random(&[300, time, width], 10 + seed)).collect();
        let shapes: Vec<_> = inputs.iter().map(open).collect();
        for count in [1, 2, 3] {
            let layer =
                Concatenate::new(&shapes[..count], ConcatenateConfig::default(), no_variables()).unwrap();
            check("Concatenate", &inputs[..count], &|xs| layer.forward(xs));
        }
    }
}

#[test]
fn activations() {
    // Not a multiple of any vector, and several threads' worth.
    for shape in [vec![3, 7], vec![90, 31, 37]] {
        let xs = (random(&shape, 12) * 4.1).unwrap();
        for &activation in Activation::ALL {
            let what = format!("{activation:?}, {shape:?}");
            // Where numbers get large, so does what rounding takes.
            check(&what, std::slice::from_ref(&xs), &|xs| activation.forward(&xs[0]));
        }
        let layer =
            LeakyRelu::new(&open(&xs), LeakyReluConfig { negative_slope: 0.4 }, no_variables()).unwrap();
        check("LeakyReLU", std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0]));
        let layer = Elu::new(&open(&xs), EluConfig { alpha: 0.7 }, no_variables()).unwrap();
        check("ELU", std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0]));
    }
}

#[test]
fn dropout() {
    let mode = Mode::Training { seed: 3 };
    for dims in [vec![5, 3, 4], vec![300, 20, 11]] {
        let xs = random(&dims, 13);
        for noise_shape in [None, Some(vec![None, Some(1), None]), Some(vec![None, None, Some(1)])] {
            let config = DropoutConfig { rate: 0.3, noise_shape };
            let what = format!("{config:?}, {dims:?}");
            let layer = Dropout::new(config, no_variables()).unwrap();
            check(&what, std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0], mode));
        }
        let layer = SpatialDropout1d::new(SpatialDropout1dConfig { rate: 0.5 }, no_variables()).unwrap();
        check("SpatialDropout1D", std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0], mode));
    }
}

#[test]
fn layer_normalization() {
    for (dims, axes) in [(vec![6, 5, 4], 1), (vec![200, 10, 33], 1), (vec![40, 9, 7], 2), (vec![4, 3], 1)] {
        let xs = random(&dims, 14);
        let last = dims[dims.len() - axes..].to_vec();
        let axis = match axes {
            1 => Axes::One(-1),
            _ => Axes::Many(vec![1, 2]),
        };
        let config = LayerNormalizationConfig { axis, ..LayerNormalizationConfig::default() };
        let call = |given: &[Tensor]| {
            let dtype = given[0].dtype();
            let names = ["gamma", "beta"];
            let variables: HashMap<String, Tensor> =
                names.iter().zip(&given[1..]).map(|(name, xs)| (name.to_string(), xs.clone())).collect();
            let vb = VarBuilder::from_tensors(variables, dtype, &CPU);
            LayerNormalization::new(&open(&given[0]), config.clone(), vb)?.forward(&given[0])
        };
        check(&format!("{dims:?}"), &[xs, random(&last, 15), random(&last, 16)], &call);
    }
}

/// What several layers read, ours and others, has the gradients of all of them, on every way back.
#[test]
fn gradients_meet() {
    // The gradients of more numbers than one thread adds at a time.
    let x = random(&[60, 40, 33], 17);
    let tanh = ("Activation", "a", json!({ "activation": "tanh" }), &["x"][..]);
    let nodes = [
        tanh.clone(),
        ("GlobalMaxPooling1D", "pooled", json!({}), &["a"]),
        ("LayerNormalization", "normal", json!({}), &["a"]),
        // It has no op of its own: Candle's reads the plain tensor.
        ("Rescaling", "scaled", json!({ "scale": 1.5, "offset": 0.25 }), &["a"]),
        ("Add", "sum", json!({}), &["normal", "scaled"]),
    ];
    check_model("three layers", &x, &nodes, &[("pooled", 0), ("sum", 0)]);
    // Each reader alone, and what is an output too.
    for reader in ["pooled", "normal", "scaled", "a"] {
        check_model(reader, &x, &nodes, &[(reader, 0)]);
        check_model(reader, &x, &nodes, &[("a", 0), (reader, 0)]);
    }
    let nodes = [
        tanh,
        ("Multiply", "square", json!({}), &["a", "a"]),
        ("Concatenate", "beside", json!({}), &["a", "square", "a"]),
        ("Activation", "sigmoid", json!({ "activation": "sigmoid" }), &["beside"]),
    ];
    check_model("twice into one layer", &x, &nodes, &[("sigmoid", 0), ("a", 0)]);
}

/// A Reshape is no op: what comes before it and what comes after it share a gradient.
#[test]
fn gradients_meet_around_a_reshape() {
    let x = random(&[20, 6, 10], 21);
    let nodes: [Node<'_>; 9] = [
        ("Dense", "a", json!({ "units": 10, "activation": "tanh" }), &["x"]),
        ("Reshape", "wide", json!({ "target_shape": [3, 20] }), &["a"]),
        ("LSTM", "lstm", json!({ "units": 5, "return_sequences": true }), &["wide"]),
        ("LayerNormalization", "normal", json!({}), &["wide"]),
        ("Permute", "permuted", json!({ "dims": [2, 1] }), &["wide"]),
        ("Reshape", "narrow", json!({ "target_shape": [6, 10] }), &["normal"]),
        ("Conv1D", "conv", json!({ "filters": 10, "kernel_size": 3, "padding": "same" }), &["a"]),
        ("Add", "sum", json!({}), &["narrow", "conv"]),
        ("Rescaling", "scaled", json!({ "scale": -0.5 }), &["a"]),
    ];
    let ends = [("lstm", 0), ("permuted", 0), ("sum", 0), ("scaled", 0)];
    check_model("all", &x, &nodes, &ends);
    for (at, end) in ends.iter().enumerate() {
        check_model(end.0, &x, &nodes, &[*end]);
        check_model(&format!("{} and another", end.0), &x, &nodes, &[*end, ends[(at + 1) % ends.len()]]);
    }
}

/// A ConvLSTM2D gives more axes than other recurrent layers do; the other direction's steps are turned all the same.
#[test]
fn both_directions_of_a_conv_lstm() {
    let x = random(&[2, 4, 6, 5, 3], 22);
    for merge_mode in ["sum", "mul", "ave", "", "concat"] {
        for sequences in [false, true] {
            let layer =
                json!({ "name": "layer", "filters": 4, "kernel_size": 3, "return_sequences": sequences });
            let merge_mode = Some(merge_mode).filter(|merge_mode| !merge_mode.is_empty());
            let config = json!({
                "layer": { "class_name": "ConvLSTM2D", "config": layer }, "merge_mode": merge_mode
            });
            let ends = [("both", 0), ("both", 1)];
            let ends = if merge_mode.is_some() { &ends[..1] } else { &ends[..] };
            let what = format!("{merge_mode:?}, return_sequences {sequences}");
            check_model(&what, &x, &[("Bidirectional", "both", config, &["x"])], ends);
        }
    }
}

#[test]
fn merging() {
    let pair = [random(&[40, 30, 33], 18), random(&[40, 30, 33], 19)];
    let shapes: Vec<_> = pair.iter().map(open).collect();
    macro_rules! layers {
        ($($layer:ident, $config:ident;)*) => {$({
            let layer = $config::default().build(&shapes, no_variables()).unwrap();
            check(stringify!($layer), &pair, &|xs| {
                let inputs: Vec<Flow> = xs.iter().cloned().map(Flow::from).collect();
                layer.run(&inputs, Mode::Inference.into())?[0].floats()
            });
        })*};
    }
    layers! {
        Add, AddConfig;
        Subtract, SubtractConfig;
        Multiply, MultiplyConfig;
        Average, AverageConfig;
        Maximum, MaximumConfig;
        Minimum, MinimumConfig;
    }
    let none = [None, None];
    for (left, right) in [([3, 5, 7], [3, 4, 7]), ([40, 33, 30], [40, 50, 30])] {
        let inputs = [random(&left, 23), random(&right, 24)];
        check_layer("Dot", &json!({ "axes": 2 }), &inputs, &none, Mode::Inference);
        check_layer("Dot", &json!({ "axes": -1, "normalize": true }), &inputs, &none, Mode::Inference);
        let turned = random(&[right[0], right[2], right[1]], 25);
        check_layer("Dot", &json!({ "axes": [2, 1] }), &[inputs[0].clone(), turned], &none, Mode::Inference);
        check_layer(
            "Concatenate",
            &json!({ "axis": 1 }),
            &[&inputs[0], &inputs[0]].map(Tensor::clone),
            &none,
            Mode::Inference,
        );
        check_layer("Concatenate", &json!({ "axis": -2 }), &inputs, &none, Mode::Inference);
        let vectors = [random(&[300, 19], 26), random(&[300, 19], 27)];
        check_layer("Dot", &json!({ "axes": 1 }), &vectors, &none, Mode::Inference);
    }
    let plane = [random(&[30, 5, 6, 3], 28), random(&[30, 5, 2, 3], 29)];
    check_layer("Concatenate", &json!({ "axis": 2 }), &plane, &none, Mode::Inference);
    let noise = json!({ "stddev": 0.25 });
    check_layer("GaussianNoise", &noise, &pair[..1], &none[..1], Mode::Training { seed: 5 });
    check_layer(
        "GaussianDropout",
        &json!({ "rate": 0.25 }),
        &pair[..1],
        &none[..1],
        Mode::Training { seed: 5 },
    );
    let xs = random(&[50, 33], 20);
    let layer = RepeatVector::new(&open(&xs), RepeatVectorConfig { n: 40 }, no_variables()).unwrap();
    check("RepeatVector", std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0]));
}

/// A layer called on inputs with masks, and perhaps in training.
fn check_layer(class: &str, config: &Value, inputs: &[Tensor], masks: &[Option<Tensor>], mode: Mode) {
    let mut config = config.clone();
    config["name"] = "layer".into();
    let (mut layers, mut names) = (vec![], vec![]);
    for (at, input) in inputs.iter().enumerate() {
        let name = format!("input_{at}");
        let input = json!({ "name": name, "batch_shape": open(input) });
        layers.push(json!({ "class_name": "InputLayer", "config": input }));
        names.push(json!([name, 0, 0]));
    }
    layers.push(json!({ "class_name": class, "config": config, "inbound_nodes": [names] }));
    let model = json!({
        "name": "m", "layers": layers, "input_layers": names, "output_layers": [["layer", 0, 0]]
    });
    let model_config = ModelConfig::from_json(&model.to_string()).unwrap();
    let (names, shapes): (Vec<String>, Vec<Vec<usize>>) =
        model_config.variables().unwrap().into_iter().unzip();
    let variables = shapes.iter().zip(200..).map(|(shape, seed)| (random(shape, seed) * 0.5).unwrap());
    let all: Vec<Tensor> = inputs.iter().cloned().chain(variables).collect();
    let what = format!(
        "{class} {config}, {mode:?}, masks {:?}",
        masks.iter().map(Option::is_some).collect::<Vec<_>>()
    );
    check(&what, &all, &|given| {
        let (inputs, variables) = given.split_at(inputs.len());
        let variables: HashMap<String, Tensor> =
            names.iter().cloned().zip(variables.iter().cloned()).collect();
        let vb = VarBuilder::from_tensors(variables, given[0].dtype(), &CPU);
        let model = Model::new(&model_config, vb).map_err(candle_core::Error::wrap)?;
        let flows: Vec<Flow> =
            inputs.iter().zip(masks).map(|(xs, mask)| Flow::new(xs.clone(), mask.clone())).collect();
        model.call(&flows, mode).map_err(candle_core::Error::wrap)?[0].values.tensor()
    });
}

/// Masks of one input or both; the past alone; dropout; many heads and few. A step that sees nothing is tested where -10⁹ stands
/// for what is hidden: where it is taken off, what is left of a score depends on the type.
#[test]
fn attention() {
    let mask = |xs: &Tensor, every: usize, blind: bool| {
        let (batch, steps, _) = xs.dims3().unwrap();
        let there = |at: usize| {
            let (sample, step) = (at / steps, at % steps);
            u8::from(if blind { sample != 1 && at % every != 1 } else { step == 0 || step % every != 1 })
        };
        Some(
            Tensor::from_vec((0..batch * steps).map(there).collect::<Vec<_>>(), (batch, steps), &CPU)
                .unwrap(),
        )
    };
    let heads = json!({ "num_heads": 3, "key_dim": 5 });
    let with = |config: &Value, other: Value| {
        let mut config = config.clone();
        config.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        config
    };
    for (batch, steps, places) in [(3, 7, 5), (20, 33, 60)] {
        let query = random(&[batch, steps, 9], 31);
        let value = random(&[batch, places, 9], 32);
        let inputs = [query.clone(), value.clone()];
        let masks = |blind| {
            let (query, value) = (mask(&query, 4, blind), mask(&value, 3, blind));
            [[None, None], [None, value.clone()], [query.clone(), None], [query, value]]
        };
        let (blind, masks) = (masks(true), masks(false));
        for (masks, blind) in masks.iter().zip(&blind) {
            for mode in [Mode::Inference, Mode::Training { seed: 3 }] {
                for other in [json!({}), json!({ "use_causal_mask": true }), json!({ "dropout": 0.4 })] {
                    let plain = with(&json!({ "use_scale": true }), other.clone());
                    check_layer("Attention", &plain, &inputs, masks, mode);
                    check_layer("AdditiveAttention", &other, &inputs, masks, mode);
                    check_layer("MultiHeadAttention", &with(&heads, other), &inputs, blind, mode);
                }
            }
        }
        check_layer("AdditiveAttention", &json!({ "use_scale": false }), &inputs, &masks[3], Mode::Inference);
        let key = random(&[batch, places, 9], 33);
        let inputs = [query.clone(), random(&[batch, places, 4], 34), key];
        check_layer("Attention", &json!({}), &inputs, &[None, None, None], Mode::Inference);
        let grouped = json!({ "head_dim": 5, "num_query_heads": 4, "num_key_value_heads": 2 });
        for mode in [Mode::Inference, Mode::Training { seed: 3 }] {
            check_layer(
                "GroupedQueryAttention",
                &grouped,
                &[query.clone(), value.clone()],
                &[None, None],
                mode,
            );
        }
        let config = with(&heads, json!({ "value_dim": 2 }));
        check_layer("MultiHeadAttention", &config, &inputs, &[None, None, None], Mode::Inference);
    }
}

#[test]
fn within_a_sample() {
    let none = [None, None];
    for shape in [[3, 7, 6], [90, 40, 36]] {
        let xs = random(&shape, 41);
        let each = |class: &str, config: Value| {
            check_layer(class, &config, std::slice::from_ref(&xs), &none[..1], Mode::Inference);
        };
        for groups in [1, 2, 6, -1] {
            each("GroupNormalization", json!({ "groups": groups }));
        }
        each("GroupNormalization", json!({ "groups": 3, "scale": false, "center": false }));
        each("UnitNormalization", json!({}));
        each("UnitNormalization", json!({ "axis": [1, 2] }));
        each("Softmax", json!({ "axis": 1 }));
        each("PReLU", json!({}));
        each("PReLU", json!({ "shared_axes": [1] }));
        each("PReLU", json!({ "shared_axes": [2] }));
        each("PReLU", json!({ "shared_axes": [1, 2] }));
        each("ReLU", json!({ "negative_slope": 0.25, "threshold": 0.5, "max_value": 0.75 }));
        each("ReLU", json!({ "threshold": 0.5 }));
        each("Permute", json!({ "dims": [2, 1] }));
        each("Masking", json!({ "mask_value": 0.5 }));
        each(
            "EinsumDense",
            json!({ "equation": "abc,cd->abd", "output_shape": [null, 5], "bias_axes": "d" }),
        );
        each("EinsumDense", json!({ "equation": "abc,bcd->ad", "output_shape": 5, "bias_axes": "d" }));
        each("EinsumDense", json!({ "equation": "...c,cd->...d", "output_shape": 5 }));
        let [batch, steps, features] = shape;
        for other in [[batch, 1, features], [batch, steps, 1], [batch, 1, 1]] {
            for class in ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"] {
                let inputs = [xs.clone(), random(&other, 42)];
                check_layer(class, &json!({}), &inputs, &none, Mode::Inference);
            }
        }
    }
}

/// Places put amid zeros, cut off, repeated; numbers scaled.
#[test]
fn places_that_move() {
    for scale in [1, 30] {
        let steps = random(&[2 * scale, 3 * scale, 5], 71);
        let plane = random(&[2 * scale, 5, 6, 3], 72);
        let space = random(&[2 * scale, 3, 5, 4, 2], 73);
        for (axes, xs) in [(1, &steps), (2, &plane), (3, &space)] {
            let each = |class: &str, config: Value| {
                let class = format!("{class}{axes}D");
                check_layer(&class, &config, std::slice::from_ref(xs), &[None], Mode::Inference);
            };
            let ends = |[before, after]: [usize; 2]| match axes {
                1 => json!([before, after]),
                _ => Value::from(vec![json!([before, after]); axes]),
            };
            each("ZeroPadding", json!({ "padding": ends([2, 1]) }));
            each("ZeroPadding", json!({ "padding": ends([0, 3]) }));
            each("Cropping", json!({ "cropping": ends([1, 1]) }));
            each("Cropping", json!({ "cropping": ends([0, 2]) }));
            let size = [json!(3), json!([2, 3]), json!([2, 3, 1])][axes - 1].clone();
            each("UpSampling", json!({ "size": size }));
        }
        check_layer(
            "Rescaling",
            &json!({ "scale": 0.3, "offset": -1.5 }),
            std::slice::from_ref(&steps),
            &[None],
            Mode::Inference,
        );
        check_layer(
            "AlphaDropout",
            &json!({ "rate": 0.25 }),
            std::slice::from_ref(&steps),
            &[None],
            Mode::Training { seed: 7 },
        );
    }
}

/// One gradient for several: of a variable that is added to itself, of two ops, of both.
#[test]
fn gradients_that_are_alike() {
    let x = random(&[40, 30, 33], 74);
    let nodes: [Node<'_>; 5] = [
        ("ReLU", "above", json!({}), &["x"]),
        ("Add", "twice", json!({}), &["above", "above"]),
        ("Add", "both", json!({}), &["above", "twice"]),
        ("Average", "mean", json!({}), &["both", "x"]),
        ("Add", "all", json!({}), &["x", "mean", "x"]),
    ];
    check_model("gradients that are alike", &x, &nodes, &[("all", 0), ("mean", 0)]);
}

/// The squares of what a layer gives, as a loss.
#[test]
fn squares() {
    for shape in [[3, 7, 6], [90, 40, 36]] {
        let xs = random(&shape, 75);
        let config = ModelConfig::from_json(
            &json!({
                "name": "m", "input_layers": [["x", 0, 0]], "output_layers": [["squares", 0, 0]],
                "layers": [
                    { "class_name": "InputLayer", "config": { "name": "x", "batch_shape": open(&xs) } },
                    { "class_name": "ReLU", "config": { "name": "above" }, "inbound_nodes": [[["x", 0, 0]]] },
                    { "class_name": "ActivityRegularization", "config": { "name": "squares", "l2": 0.5 },
                      "inbound_nodes": [[["above", 0, 0]]] },
                ],
            })
            .to_string(),
        )
        .unwrap();
        check("squares", std::slice::from_ref(&xs), &|xs| {
            let vb = VarBuilder::from_tensors(HashMap::new(), xs[0].dtype(), &CPU);
            let model = Model::new(&config, vb).map_err(candle_core::Error::wrap)?;
            let (_, loss) =
                model.call_for_loss(xs, Mode::Training { seed: 0 }).map_err(candle_core::Error::wrap)?;
            loss.ok_or_else(|| candle_core::Error::msg("there is no loss"))
        });
    }
}

/// The rows of a table, and their gradients, over any number of threads.
#[test]
fn embedding() {
    let table = random(&[37, 19], 61);
    let ids: Vec<u32> = (0..7000u32).map(|at| at * at % 61 % 37).collect();
    let ids = Tensor::from_vec(ids, (70, 100), &CPU).unwrap();
    let config = EmbeddingConfig { input_dim: 37, output_dim: 19, mask_zero: false };
    let run = || {
        let table = Var::from_tensor(&table).unwrap();
        let tensors = HashMap::from([("embeddings".to_string(), table.as_tensor().clone())]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &CPU);
        let rows = Embedding::new(config, vb).unwrap().forward(&ids).unwrap();
        let loss = (&rows * random(rows.dims(), 62)).unwrap().sum_all().unwrap();
        let gradients = backward(&loss).unwrap();
        let flat = |xs: &Tensor| xs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        [flat(&rows), flat(gradients.get(&table).unwrap())]
    };
    let (flat, given) = (ids.flatten_all().unwrap(), random(&[70, 100, 19], 62));
    let rows = table.index_select(&flat, 0).unwrap();
    let sums = table.zeros_like().unwrap().index_add(&flat, &given.reshape((7000, 19)).unwrap(), 0).unwrap();
    let expected = [rows, sums].map(|xs| xs.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(run), expected, "{threads} threads");
    }
}
