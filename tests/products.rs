//! Dense and convolutional layers on the kernels against the same layers in f64, one operation after another.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Module, VarBuilder};
use candle_recurrent::layers::{
    Activation, Call, Conv, ConvConfig, ConvLstm, ConvLstmConfig, ConvTranspose, ConvTransposeConfig, Dense,
    DenseConfig, DepthwiseConv, DepthwiseConvConfig, Padding, SeparableConv, SeparableConvConfig, Sizes,
    Variable,
};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

/// Numbers without pattern (SplitMix64).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    fn number(&mut self) -> f32 {
        ((self.next() >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.number()).collect();
        Tensor::from_vec(values, shape, &CPU).unwrap()
    }
}

/// A layer over an input of this shape.
struct Case<'a> {
    name: String,
    input: Vec<usize>,
    variables: Vec<Variable>,
    run: &'a (dyn Fn(VarBuilder, &Tensor) -> Result<Tensor> + Sync),
}

impl Case<'_> {
    fn vars(&self, dtype: DType) -> Vec<(String, Var)> {
        let mut stream = Stream(7);
        let shapes =
            self.variables.iter().map(|variable| (variable.name.to_string(), variable.shape.to_vec()));
        let var = |shape: &[usize], stream: &mut Stream| {
            Var::from_tensor(&stream.tensor(shape).to_dtype(dtype).unwrap()).unwrap()
        };
        let mut vars: Vec<_> = shapes.map(|(name, shape)| (name, var(&shape, &mut stream))).collect();
        vars.push(("x".into(), var(&self.input, &mut stream)));
        vars
    }

    /// The output, and the gradients of a weighted sum of it.
    fn results(&self, dtype: DType) -> Vec<(String, Tensor)> {
        let vars = self.vars(dtype);
        let tensors: HashMap<String, Tensor> =
            vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let x = tensors["x"].clone();
        let y = (self.run)(VarBuilder::from_tensors(tensors, dtype, &CPU), &x).unwrap();
        let weights = Stream(9).tensor(y.dims()).to_dtype(dtype).unwrap();
        let gradients = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = |(name, var): &(String, Var)| (name.clone(), gradients.get(var).unwrap().clone());
        std::iter::once(("y".to_string(), y)).chain(vars.iter().map(gradient)).collect()
    }

    fn check(&self) {
        for ((name, actual), (_, expected)) in self.results(DType::F32).iter().zip(self.results(DType::F64)) {
            assert_eq!(actual.dims(), expected.dims(), "{}: {name}", self.name);
            let actual = actual.to_dtype(DType::F64).unwrap();
            let apart = (&actual - &expected).unwrap().abs().unwrap().flatten_all().unwrap();
            let scale = expected.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            let apart = apart.max(0).unwrap().to_scalar::<f64>().unwrap();
            let scale = scale.to_scalar::<f64>().unwrap().max(1.0);
            assert!(apart / scale < 1e-5, "{}: {name} differs by {apart} of {scale}", self.name);
        }
    }

    fn bytes(&self, threads: usize) -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let results = pool.install(|| self.results(DType::F32));
        let bits =
            |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
        results.iter().flat_map(|(_, tensor)| bits(tensor)).collect()
    }
}

fn dense(rows: &[usize], features: usize, units: usize, use_bias: bool, f: &mut dyn FnMut(&Case<'_>)) {
    let config = DenseConfig { use_bias, ..DenseConfig::new(units) };
    f(&Case {
        name: format!("dense {rows:?} {features} {units} {use_bias}"),
        input: [rows, &[features]].concat(),
        variables: config.variables(features),
        run: &|vb, xs| Dense::new(features, config, vb)?.forward(xs),
    });
}

#[test]
fn dense_layers_agree_with_f64() {
    for (rows, features, units) in [
        (1, 1, 1),
        (1, 7, 200),
        (2, 33, 130),
        (3, 5, 10),
        (5, 16, 16),
        (13, 600, 3),
        (50, 31, 17),
        (70, 64, 49),
        (300, 20, 40),
        (1000, 3, 100),
    ] {
        dense(&[rows], features, units, rows % 2 == 1, &mut |case| case.check());
    }
    dense(&[3, 4], 6, 5, true, &mut |case| case.check());
}

fn conv<const N: usize>(
    lengths: [usize; N],
    channels: usize,
    config: ConvConfig<N>,
    f: &mut dyn FnMut(&Case<'_>),
) {
    f(&Case {
        name: format!("{config:?} on {lengths:?} of {channels}"),
        input: [&[3][..], &lengths, &[channels]].concat(),
        variables: config.variables(channels).unwrap(),
        run: &|vb, xs| Conv::new(channels, config.clone(), vb)?.forward(xs),
    });
}

fn sizes<const N: usize>(kernel_size: usize, strides: usize, dilation_rate: usize) -> ConvConfig<N> {
    ConvConfig {
        filters: 6,
        kernel_size: Sizes::all(kernel_size),
        strides: Sizes::all(strides),
        padding: Padding::Valid,
        dilation_rate: Sizes::all(dilation_rate),
        groups: 1,
        activation: Activation::Linear,
        use_bias: true,
    }
}

#[test]
fn convolutions_agree_with_f64() {
    let mut check = |case: &Case<'_>| case.check();
    for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
        for (size, stride, dilation) in
            [(1, 1, 1), (3, 1, 1), (4, 2, 1), (2, 5, 1), (3, 3, 1), (3, 1, 2), (2, 2, 3), (5, 3, 2)]
        {
            for groups in [1, 2] {
                let config = ConvConfig { padding, groups, ..sizes::<1>(size, stride, dilation) };
                conv([17], 4, config.clone(), &mut check);
                conv([19], 6, ConvConfig { filters: 40, use_bias: false, ..config }, &mut check);
            }
        }
    }
    for padding in [Padding::Valid, Padding::Same] {
        for (size, stride, dilation) in [(1, 1, 1), (3, 1, 1), (2, 2, 1), (3, 2, 1), (2, 3, 2)] {
            let config = ConvConfig { padding, ..sizes::<2>(size, stride, dilation) };
            conv([7, 9], 3, config.clone(), &mut check);
            conv([8, 6], 4, ConvConfig { groups: 2, ..config }, &mut check);
        }
        conv([4, 6, 5], 2, ConvConfig { padding, ..sizes::<3>(2, 1, 1) }, &mut check);
        conv([4, 6, 5], 2, ConvConfig { padding, ..sizes::<3>(3, 2, 1) }, &mut check);
    }
}

fn transposed<const N: usize>(
    lengths: [usize; N],
    config: ConvTransposeConfig<N>,
    f: &mut dyn FnMut(&Case<'_>),
) {
    f(&Case {
        name: format!("{config:?} on {lengths:?}"),
        input: [&[2][..], &lengths, &[5]].concat(),
        variables: config.variables(5),
        run: &|vb, xs| ConvTranspose::new(5, config.clone(), vb)?.forward(xs),
    });
}

fn transposed_sizes<const N: usize>(
    filters: usize,
    (size, stride, dilation): (usize, usize, usize),
) -> ConvTransposeConfig<N> {
    ConvTransposeConfig {
        filters,
        kernel_size: Sizes::all(size),
        strides: Sizes::all(stride),
        padding: Padding::Valid,
        output_padding: None,
        dilation_rate: Sizes::all(dilation),
        activation: Activation::Linear,
        use_bias: true,
    }
}

#[test]
fn transposed_convolutions_agree_with_f64() {
    for padding in [Padding::Valid, Padding::Same] {
        for (size, stride, dilation, surplus) in [
            (1, 1, 1, None),
            (3, 1, 1, None),
            (4, 2, 1, None),
            (2, 5, 1, None),
            (3, 2, 1, Some(1)),
            (3, 1, 2, None),
        ] {
            let of = (size, stride, dilation);
            let output_padding = surplus.map(Sizes::all);
            let config = ConvTransposeConfig { padding, output_padding, ..transposed_sizes(3, of) };
            transposed([9], config, &mut |case| case.check());
            let output_padding = surplus.map(Sizes::all);
            let config = ConvTransposeConfig { padding, output_padding, ..transposed_sizes(3, of) };
            transposed([4, 5], config, &mut |case| case.check());
        }
    }
}

fn depthwise(
    batch: usize,
    lengths: [usize; 2],
    channels: usize,
    config: DepthwiseConvConfig<2>,
    f: &mut dyn FnMut(&Case<'_>),
) {
    f(&Case {
        name: format!("{config:?} on {lengths:?} of {channels}"),
        input: [&[batch][..], &lengths, &[channels]].concat(),
        variables: config.variables(channels).unwrap(),
        run: &|vb, xs| DepthwiseConv::new(channels, config.clone(), vb)?.forward(xs),
    });
}

#[test]
fn convolutions_of_each_channel_agree_with_f64() {
    for padding in [Padding::Valid, Padding::Same] {
        for (size, stride, dilation, multiplier, channels) in
            [(1, 1, 1, 1, 5), (3, 1, 1, 1, 20), (3, 2, 1, 2, 5), (2, 1, 2, 3, 17), (4, 3, 1, 1, 33)]
        {
            let config = DepthwiseConvConfig::<2> {
                kernel_size: Sizes::all(size),
                strides: Sizes::all(stride),
                padding,
                dilation_rate: Sizes::all(dilation),
                depth_multiplier: multiplier,
                activation: Activation::Linear,
                use_bias: true,
            };
            depthwise(2, [8, 9], channels, config, &mut |case| case.check());
            let config = SeparableConvConfig::<1> {
                filters: 7,
                kernel_size: Sizes::all(size),
                strides: Sizes::all(stride),
                padding,
                dilation_rate: Sizes::all(dilation),
                depth_multiplier: multiplier,
                activation: Activation::Linear,
                use_bias: true,
            };
            Case {
                name: format!("{config:?} of {channels}"),
                input: vec![3, 30, channels],
                variables: config.variables(channels).unwrap(),
                run: &|vb, xs| SeparableConv::new(channels, config.clone(), vb)?.forward(xs),
            }
            .check();
        }
    }
}

fn conv_lstm(batch: usize, config: ConvLstmConfig, f: &mut dyn FnMut(&Case<'_>)) {
    conv_lstm_over(&[batch, 4, 6, 5, 3], config, f);
}

fn conv_lstm_over(input: &[usize], config: ConvLstmConfig, f: &mut dyn FnMut(&Case<'_>)) {
    f(&Case {
        name: format!("{config:?} of {input:?}"),
        input: input.to_vec(),
        variables: config.variables(3),
        run: &|vb, xs| {
            let output = ConvLstm::new(3, config.clone(), vb)?.call(xs, Call::default())?;
            // The states count too, each in its own way.
            let states = (output.states[0].sum_all()? * 0.1)?.add(&(output.states[1].sum_all()? * 0.2)?)?;
            output.hidden.broadcast_add(&states)
        },
    });
}

fn conv_lstm_config(filters: usize) -> ConvLstmConfig {
    serde_json::from_str(&format!(r#"{{"filters": {filters}, "kernel_size": 3}}"#)).unwrap()
}

#[test]
fn a_conv_lstm_agrees_with_f64() {
    let mut check = |case: &Case<'_>| case.check();
    for filters in [1, 5, 8, 20] {
        conv_lstm(2, conv_lstm_config(filters), &mut check);
    }
    let base = conv_lstm_config(6);
    // More samples than a block has.
    conv_lstm(50, base.clone(), &mut check);
    conv_lstm(2, ConvLstmConfig { return_sequences: true, go_backwards: true, ..base.clone() }, &mut check);
    conv_lstm(
        2,
        ConvLstmConfig { kernel_size: Sizes([2, 4]), padding: Padding::Same, ..base.clone() },
        &mut check,
    );
    for same in [Padding::Same, Padding::Valid] {
        let config = ConvLstmConfig { padding: same, ..base.clone() };
        conv_lstm(2, ConvLstmConfig { strides: Sizes([2, 1]), ..config.clone() }, &mut check);
        conv_lstm(2, ConvLstmConfig { dilation_rate: Sizes([1, 2]), ..config.clone() }, &mut check);
        // Strides that pass over rows of the input.
        let config = ConvLstmConfig { kernel_size: Sizes([2, 1]), strides: Sizes([4, 2]), ..config };
        conv_lstm(2, ConvLstmConfig { use_bias: false, return_sequences: true, ..config }, &mut check);
    }
    // More places than a thread works through at a time.
    conv_lstm_over(&[3, 3, 21, 19, 3], base.clone(), &mut check);
    conv_lstm(
        2,
        ConvLstmConfig { activation: Activation::Softsign, return_sequences: true, ..base },
        &mut check,
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut check = |case: &Case<'_>| {
        let one = case.bytes(1);
        for threads in [2, 4] {
            assert_eq!(one, case.bytes(threads), "{}: {threads} threads", case.name);
        }
    };
    dense(&[70], 64, 130, true, &mut check);
    dense(&[1500], 40, 33, true, &mut check);
    dense(&[2], 600, 700, true, &mut check);
    conv([400], 32, ConvConfig { filters: 24, ..sizes::<1>(5, 1, 1) }, &mut check);
    conv([300], 40, ConvConfig { padding: Padding::Same, filters: 40, ..sizes::<1>(4, 3, 1) }, &mut check);
    conv_lstm(2, ConvLstmConfig { return_sequences: true, ..conv_lstm_config(12) }, &mut check);
    conv_lstm(30, conv_lstm_config(12), &mut check);
    for batch in [1, 3] {
        for return_sequences in [false, true] {
            let config = ConvLstmConfig { return_sequences, ..conv_lstm_config(12) };
            conv_lstm_over(&[batch, 3, 21, 19, 3], config, &mut check);
        }
    }
    conv([30, 20], 12, ConvConfig { padding: Padding::Same, filters: 24, ..sizes::<2>(3, 2, 1) }, &mut check);
    conv([200], 32, ConvConfig { filters: 24, groups: 2, ..sizes::<1>(5, 1, 1) }, &mut check);
    for (stride, multiplier, channels) in [(1, 1, 40), (2, 3, 17)] {
        let config = DepthwiseConvConfig {
            kernel_size: Sizes::all(3),
            strides: Sizes::all(stride),
            padding: Padding::Same,
            dilation_rate: Sizes::all(1),
            depth_multiplier: multiplier,
            activation: Activation::Linear,
            use_bias: true,
        };
        depthwise(20, [30, 21], channels, config, &mut check);
    }
    transposed([900], transposed_sizes::<1>(40, (5, 2, 1)), &mut check);
    transposed([40, 30], transposed_sizes::<2>(24, (3, 1, 2)), &mut check);
    let same = ConvTransposeConfig { padding: Padding::Same, ..transposed_sizes::<2>(17, (3, 2, 1)) };
    transposed([40, 31], same, &mut check);
}

/// Says in a process of its own what it computes with: the instruction set is chosen once a process.
#[test]
fn the_instruction_set_changes_no_bit() {
    const ASKED: &str = "CANDLE_RECURRENT_TEST_PRODUCTS";
    if std::env::var_os(ASKED).is_some() {
        let mut sum = 0u64;
        let mut add = |case: &Case<'_>| {
            for bits in case.bytes(2) {
                sum = (sum ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3).rotate_left(7);
            }
        };
        dense(&[3], 50, 21, true, &mut add);
        dense(&[70], 64, 130, true, &mut add);
        conv([40], 3, ConvConfig { padding: Padding::Same, filters: 24, ..sizes::<1>(5, 2, 1) }, &mut add);
        conv([9, 8], 12, ConvConfig { filters: 10, ..sizes::<2>(3, 1, 1) }, &mut add);
        println!("bytes {sum:016x}");
        return;
    }
    let run = |simd: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_instruction_set_changes_no_bit", "--nocapture"])
            .env(ASKED, "1")
            .env("CANDLE_RECURRENT_SIMD", simd)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text.find("bytes ").unwrap_or_else(|| panic!("{simd}: {text}"));
        text[at..at + 22].to_string()
    };
    let best = run("");
    for simd in ["avx2", "portable"] {
        assert_eq!(run(simd), best, "{simd}");
    }
}
