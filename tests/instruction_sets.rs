//! Layers give the same bytes with every instruction set and any number of threads, forwards and backwards.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{Activation, Mode};
use candle_recurrent::model::{Model, ModelConfig};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Command;

const CPU: Device = Device::Cpu;

/// Numbers without pattern between -1 and 1 (SplitMix64), some of them equal.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % 10_007) as f32 / 5003.0 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

/// A layer over an input of this shape; the input is drawn between `-scale` and `scale`.
struct Case {
    class: &'static str,
    config: Value,
    input: Vec<usize>,
    scale: f64,
}

impl Case {
    fn model(&self) -> ModelConfig {
        let mut config = self.config.clone();
        config["name"] = "layer".into();
        let shape: Vec<Option<usize>> = self.input.iter().copied().map(Some).collect();
        let input =
            json!({ "class_name": "InputLayer", "config": { "name": "input", "batch_shape": shape } });
        let from = json!(["input", 0, 0]);
        // Attention to itself, the products with itself.
        let twice = self.class.ends_with("Attention") || self.class == "Dot";
        let inbound = if twice { json!([[from, from]]) } else { json!([[from]]) };
        let layer = json!({ "class_name": self.class, "config": config, "inbound_nodes": inbound });
        let model = json!({
            "name": "m", "layers": [input, layer], "input_layers": [from], "output_layers": [["layer", 0, 0]]
        });
        ModelConfig::from_json(&model.to_string()).unwrap()
    }

    /// The output, the gradients of a weighted sum of it, and the moving statistics after it.
    fn results(&self, mode: Mode) -> Vec<(String, Tensor)> {
        let config = self.model();
        let var = |xs: Tensor| Var::from_tensor(&xs).unwrap();
        let mut vars: Vec<(String, Var)> = vec![];
        for ((name, shape), seed) in config.variables().unwrap().into_iter().zip(1..) {
            let positive = if name.ends_with("variance") { 1.5 } else { 0.0 };
            vars.push((name, var((random(&shape, seed) + positive).unwrap())));
        }
        let tensors: HashMap<String, Tensor> =
            vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let model = Model::new(&config, VarBuilder::from_tensors(tensors, DType::F32, &CPU)).unwrap();
        let x = var(self.draw());
        let y = model.forward(&x, mode).unwrap();
        let weights = random(y.dims(), 99);
        let gradients = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        vars.push(("x".into(), x));
        let mut results = vec![("y".to_string(), y)];
        for (name, var) in vars {
            // Moving statistics have none in training.
            if let Some(gradient) = gradients.get(&var) {
                results.push((format!("the gradient of {name}"), gradient.clone()));
            }
        }
        results.extend(model.moving().into_iter().map(|(name, var)| (name, var.as_tensor().clone())));
        results
    }

    /// Some of the numbers are those at which an instruction might differ.
    fn draw(&self) -> Tensor {
        let xs = (random(&self.input, 77) * self.scale).unwrap();
        if self.scale < 100.0 {
            return xs;
        }
        let special = [
            0.0,
            -0.0,
            1e-40,
            -1e-40,
            1e-20,
            -1e-20,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -3.0,
            3.0,
            6.0,
        ];
        let mut xs: Vec<f32> = xs.flatten_all().unwrap().to_vec1().unwrap();
        // At every place of a vector of sixteen.
        xs.iter_mut().step_by(5).zip(special.iter().cycle()).for_each(|(x, special)| *x = *special);
        Tensor::from_vec(xs, self.input.as_slice(), &CPU).unwrap()
    }
}

/// FNV-1a; every NaN is one.
fn hash(xs: &Tensor) -> u64 {
    let bits = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let xs: Vec<f32> = xs.flatten_all().unwrap().to_vec1().unwrap();
    xs.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, x| {
        (hash ^ u64::from(bits(x))).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    let mut add = |class, config, input: &[usize]| {
        cases.push(Case { class, config, input: input.to_vec(), scale: 1.0 });
    };
    for padding in ["valid", "same"] {
        for (size, stride, dilation) in [(1, 1, 1), (3, 1, 1), (4, 2, 1), (3, 1, 2)] {
            let with = |other: Value| {
                let mut config = json!({ "kernel_size": size, "strides": stride, "padding": padding, "dilation_rate": dilation });
                config.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
                config
            };
            for groups in [1, 2] {
                let config = with(json!({ "filters": 38, "groups": groups, "activation": "tanh" }));
                add("Conv1D", config, &[3, 19, 6]);
                add("Conv2D", with(json!({ "filters": 6, "groups": groups })), &[2, 9, 8, 34]);
            }
            add("Conv3D", with(json!({ "filters": 5 })), &[2, 7, 8, 7, 3]);
            for (multiplier, channels) in [(1, 5), (1, 40), (3, 17)] {
                let config = with(json!({ "depth_multiplier": multiplier }));
                add("DepthwiseConv1D", config.clone(), &[3, 19, channels]);
                add("DepthwiseConv2D", config, &[2, 9, 11, channels]);
                let config = with(json!({ "filters": 21, "depth_multiplier": multiplier }));
                add("SeparableConv1D", config, &[3, 19, channels]);
            }
            for filters in [3, 37] {
                add("Conv1DTranspose", with(json!({ "filters": filters })), &[3, 13, 5]);
                add("Conv2DTranspose", with(json!({ "filters": filters })), &[2, 5, 6, 18]);
            }
        }
        for (size, stride) in [(2, 2), (3, 1), (3, 2)] {
            let config = json!({ "pool_size": size, "strides": stride, "padding": padding });
            for class in ["MaxPooling1D", "AveragePooling1D"] {
                add(class, config.clone(), &[3, 17, 5]);
                add(class, config.clone(), &[3, 17, 35]);
                add(class, config.clone(), &[3, 17, 43]);
            }
            for class in ["MaxPooling2D", "AveragePooling2D"] {
                add(class, config.clone(), &[3, 9, 8, 19]);
            }
            add("AveragePooling3D", config, &[2, 7, 6, 5, 3]);
        }
        for filters in [1, 5, 8, 20] {
            for sequences in [false, true] {
                let config = json!({
                    "filters": filters, "kernel_size": 3, "padding": padding, "return_sequences": sequences
                });
                add("ConvLSTM2D", config, &[3, 4, 6, 5, 3]);
            }
            let config = json!({ "filters": filters, "kernel_size": 3, "padding": padding, "strides": 2 });
            add("ConvLSTM2D", config, &[40, 3, 6, 5, 3]);
            let config = json!({ "filters": filters, "kernel_size": 3, "padding": padding, "dropout": 0.3 });
            add("ConvLSTM2D", config, &[2, 3, 21, 17, 3]);
        }
    }
    for class in ["GlobalMaxPooling1D", "GlobalAveragePooling1D"] {
        for channels in [1, 5, 16, 35] {
            add(class, json!({}), &[4, 41, channels]);
        }
    }
    for class in ["GlobalMaxPooling2D", "GlobalAveragePooling2D"] {
        add(class, json!({}), &[3, 9, 8, 19]);
        add(class, json!({}), &[3, 9, 8, 43]);
    }
    for (input, axis) in [
        (vec![6, 5, 4], -1),
        (vec![50, 21, 33], -1),
        (vec![50, 3, 40], 1),
        (vec![300, 1], -1),
        (vec![9, 7, 5, 16], -1),
    ] {
        for (scale, center) in [(true, true), (false, true)] {
            let config = json!({ "axis": axis, "scale": scale, "center": center });
            add("BatchNormalization", config, &input);
        }
    }
    for (input, axis) in [
        (vec![4, 3], json!(-1)),
        (vec![6, 5, 16], json!(-1)),
        (vec![40, 9, 37], json!(-1)),
        (vec![20, 9, 7], json!([1, 2])),
        (vec![5, 1], json!(-1)),
    ] {
        add("LayerNormalization", json!({ "axis": axis }), &input);
    }
    for (steps, features) in [(1, 3), (5, 9), (33, 16), (60, 21)] {
        let input = [6, steps, features];
        for other in [json!({}), json!({ "use_causal_mask": true, "dropout": 0.3 })] {
            add("Attention", other.clone(), &input);
            add("AdditiveAttention", other.clone(), &input);
            let mut heads = json!({ "num_heads": 3, "key_dim": 5 });
            heads.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
            add("MultiHeadAttention", heads, &input);
        }
        add("GroupNormalization", json!({ "groups": 1 }), &input);
        add("GroupNormalization", json!({ "groups": -1 }), &input);
        add("UnitNormalization", json!({}), &input);
        add("Dot", json!({ "axes": 2 }), &input);
        add("PReLU", json!({ "shared_axes": [1] }), &input);
        add("Permute", json!({ "dims": [2, 1] }), &input);
    }
    for width in [1, 3, 16, 41] {
        add("Softmax", json!({}), &[30, width]);
        add("Dropout", json!({ "rate": 0.3 }), &[30, 7, width]);
        add("Dropout", json!({ "rate": 0.3, "noise_shape": [null, 1, null] }), &[30, 7, width]);
        add("SpatialDropout1D", json!({ "rate": 0.3 }), &[30, 7, width]);
    }
    for &activation in Activation::ALL {
        let config = json!({ "units": 19, "activation": activation.name() });
        add("Dense", config, &[21, 18]);
    }
    let mut others = vec![
        ("LeakyReLU", json!({ "negative_slope": 0.4 })),
        ("ELU", json!({ "alpha": 0.7 })),
        ("ReLU", json!({})),
        ("ReLU", json!({ "max_value": 6.0 })),
        ("ReLU", json!({ "negative_slope": 0.1, "threshold": 0.5 })),
        ("PReLU", json!({})),
        ("Softmax", json!({ "axis": 1 })),
    ];
    others.extend(
        Activation::ALL.iter().map(|activation| ("Activation", json!({ "activation": activation.name() }))),
    );
    for (class, config) in others {
        for (input, scale) in
            [(vec![3, 7], 4.1), (vec![30, 11, 17], 4.1), (vec![30, 61], 40.0), (vec![30, 61], 120.0)]
        {
            cases.push(Case { class, config: config.clone(), input, scale });
        }
    }
    cases
}

const MODES: [Mode; 2] = [Mode::Inference, Mode::Training { seed: 5 }];

/// Not a check of its own: what [`every_instruction_set_gives_the_same_bytes`] runs with each instruction set.
#[test]
fn hashes() {
    for case in cases() {
        for mode in MODES {
            for (part, xs) in case.results(mode) {
                let Case { class, config, input, scale } = &case;
                println!(
                    "case {class} {config} on {input:?} to {scale}, {mode:?}, {part}: {:016x}",
                    hash(&xs)
                );
            }
        }
    }
}

/// In processes of their own: the instruction set is chosen once a process.
#[test]
fn every_instruction_set_gives_the_same_bytes() {
    let run = |set: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["hashes", "--exact", "--nocapture"])
            .env("CANDLE_RECURRENT_SIMD", set)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // On one thread the test's own name stands before what it prints first.
        let case = |line: &str| line.find("case ").map(|at| line[at..].to_string());
        String::from_utf8(output.stdout).unwrap().lines().filter_map(case).collect::<Vec<_>>()
    };
    let best = run("");
    assert!(best.len() >= 2 * MODES.len() * cases().len(), "{} lines", best.len());
    for set in ["avx2", "portable"] {
        let these = run(set);
        assert_eq!(these.len(), best.len(), "{set}");
        let differ = best.iter().zip(&these).filter(|(one, other)| one != other).map(|(one, _)| one);
        let differ: Vec<&String> = differ.take(20).collect();
        assert!(differ.is_empty(), "{set} gives others, of these first: {differ:#?}");
    }
}

/// Directions that are long enough run side by side.
#[test]
fn both_directions_give_the_same_bytes_with_any_number_of_threads() {
    for merge_mode in ["concat", "sum"] {
        for (class, sequences) in [("LSTM", true), ("GRU", false)] {
            let layer = json!({
                "name": "of", "units": 40, "return_sequences": sequences,
                "dropout": 0.2, "activity_regularizer": "L2"
            });
            let config = json!({
                "layer": { "class_name": class, "config": layer }, "merge_mode": merge_mode
            });
            for batch in [1, 3, 20] {
                let input = vec![batch, 700, 40];
                let case = Case { class: "Bidirectional", config: config.clone(), input, scale: 1.0 };
                for mode in MODES {
                    let hashes = |threads| {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        let results = pool.install(|| case.results(mode));
                        results.into_iter().map(|(name, xs)| (name, hash(&xs))).collect::<Vec<_>>()
                    };
                    let one = hashes(1);
                    for threads in [2, 4] {
                        assert_eq!(one, hashes(threads), "{config} on {batch} sequences, {threads} threads");
                    }
                }
            }
        }
    }
}
