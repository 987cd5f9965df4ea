//! The layers around the recurrent ones: their fused passes in f32 against the tensor path in f64, values and gradients, and
//! over any number of threads the same bits.

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{
    Activation, AddConfig, AverageConfig, AveragePooling, AveragePoolingConfig, Axes, BatchNormalization,
    BatchNormalizationConfig, Concatenate, ConcatenateConfig, Config, Dropout, DropoutConfig, Elu, EluConfig,
    Flow, GlobalAveragePooling, GlobalAveragePoolingConfig, GlobalMaxPooling, GlobalMaxPoolingConfig,
    LayerNormalization, LayerNormalizationConfig, LeakyRelu, LeakyReluConfig, MaxPooling, MaxPoolingConfig,
    MaximumConfig, MinimumConfig, Mode, MultiplyConfig, Padding, RepeatVector, RepeatVectorConfig, Sizes,
    SpatialDropout1d, SpatialDropout1dConfig, SubtractConfig,
};
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

/// A layer's call on some tensors, in whatever type they are.
type Call<'a> = dyn Fn(&[Tensor]) -> Result<Tensor> + Sync + 'a;

/// The output, and the gradients of a weighted sum of it.
fn run(call: &Call<'_>, inputs: &[Tensor], dtype: DType) -> Vec<Vec<f64>> {
    let vars: Vec<Var> =
        inputs.iter().map(|xs| Var::from_tensor(&xs.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let ys = call(&tensors).unwrap();
    let weights = random(ys.dims(), 99).to_dtype(dtype).unwrap();
    let gradients = (&ys * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let flat = |xs: &Tensor| xs.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let mut all = vec![flat(&ys)];
    all.extend(vars.iter().map(|var| flat(gradients.get(var).unwrap())));
    all
}

/// f32 and f64 agree, and one thread and three.
fn check(what: &str, inputs: &[Tensor], call: &Call<'_>) {
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
    let large = random(&[70, 33, 19], 2);
    for xs in [&small, &large] {
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

/// What two ops read, one of them of this crate and one of Candle's, has both gradients.
#[test]
fn gradients_meet() {
    let xs = random(&[60, 40, 33], 17);
    let pool =
        GlobalMaxPooling::<1>::new(&open(&xs), GlobalMaxPoolingConfig::default(), no_variables()).unwrap();
    check("both ways", std::slice::from_ref(&xs), &|xs| {
        let ys = Activation::Tanh.forward(&xs[0])?;
        pool.forward(&ys)? + Activation::Relu.forward(&ys)?.sqr()?.sum(1)?
    });
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
    let xs = random(&[50, 33], 20);
    let layer = RepeatVector::new(&open(&xs), RepeatVectorConfig { n: 40 }, no_variables()).unwrap();
    check("RepeatVector", std::slice::from_ref(&xs), &|xs| layer.forward(&xs[0]));
}
