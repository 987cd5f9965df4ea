//! The kernels against the tensor path, one operation after another in f64, and against finite differences.

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{
    Activation, Call, Embedding, EmbeddingConfig, Gru, GruConfig, Lstm, LstmConfig, Mode, RnnOutput,
    SimpleRnn, SimpleRnnConfig, Variable,
};
use candle_recurrent::train::{Adamax, Optimizer, RmsProp};
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

    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}

fn random(shape: &[usize], scale: f64, stream: &mut Stream) -> Tensor {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| ((2.0 * stream.uniform() - 1.0) * scale) as f32).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

/// A layer of any kind.
enum AnyLayer {
    Simple(SimpleRnn),
    Lstm(Lstm),
    Gru(Gru),
}

impl AnyLayer {
    fn call(&self, xs: &Tensor, call: Call<'_>) -> Result<RnnOutput> {
        match self {
            Self::Simple(layer) => layer.call(xs, call),
            Self::Lstm(layer) => layer.call(xs, call),
            Self::Gru(layer) => layer.call(xs, call),
        }
    }

    fn uses_kernels(&self, xs: &Tensor) -> bool {
        match self {
            Self::Simple(layer) => layer.uses_kernels(xs),
            Self::Lstm(layer) => layer.uses_kernels(xs),
            Self::Gru(layer) => layer.uses_kernels(xs),
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    kind: &'static str,
    batch: usize,
    time: usize,
    features: usize,
    units: usize,
    return_sequences: bool,
    go_backwards: bool,
    use_bias: bool,
    mask: bool,
    zero_output_for_mask: bool,
    dropout: f64,
    recurrent_dropout: f64,
    activation: Activation,
    recurrent_activation: Activation,
}

impl Case {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            batch: 5,
            time: 6,
            features: 3,
            units: 4,
            return_sequences: false,
            go_backwards: false,
            use_bias: true,
            mask: false,
            zero_output_for_mask: false,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
        }
    }

    fn variables(&self) -> Vec<Variable> {
        match self.kind {
            "simple" => self.simple().variables(self.features),
            "lstm" => self.lstm().variables(self.features),
            _ => self.gru().variables(self.features),
        }
    }

    fn simple(&self) -> SimpleRnnConfig {
        SimpleRnnConfig {
            units: self.units,
            activation: self.activation,
            use_bias: self.use_bias,
            dropout: self.dropout,
            recurrent_dropout: self.recurrent_dropout,
            return_sequences: self.return_sequences,
            return_state: false,
            go_backwards: self.go_backwards,
            stateful: false,
            zero_output_for_mask: self.zero_output_for_mask,
        }
    }

    fn lstm(&self) -> LstmConfig {
        LstmConfig {
            units: self.units,
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
            use_bias: self.use_bias,
            dropout: self.dropout,
            recurrent_dropout: self.recurrent_dropout,
            return_sequences: self.return_sequences,
            go_backwards: self.go_backwards,
            zero_output_for_mask: self.zero_output_for_mask,
            ..LstmConfig::default()
        }
    }

    fn gru(&self) -> GruConfig {
        GruConfig {
            units: self.units,
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
            use_bias: self.use_bias,
            reset_after: self.kind == "gru",
            dropout: self.dropout,
            recurrent_dropout: self.recurrent_dropout,
            return_sequences: self.return_sequences,
            return_state: false,
            go_backwards: self.go_backwards,
            stateful: false,
            zero_output_for_mask: self.zero_output_for_mask,
        }
    }

    fn layer(&self, vb: VarBuilder) -> Result<AnyLayer> {
        Ok(match self.kind {
            "simple" => AnyLayer::Simple(SimpleRnn::new(self.features, self.simple(), vb)?),
            "lstm" => AnyLayer::Lstm(Lstm::new(self.features, self.lstm(), vb)?),
            _ => AnyLayer::Gru(Gru::new(self.features, self.gru(), vb)?),
        })
    }

    /// Weights, input and initial states, by name, all variables.
    fn inputs(&self, seed: u64) -> Vec<(String, Var)> {
        let mut stream = Stream(seed);
        let states = if self.kind == "lstm" { 2 } else { 1 };
        let mut named: Vec<(String, Tensor)> = self
            .variables()
            .into_iter()
            .map(|v| (v.name.clone(), random(&v.shape, 0.7, &mut stream)))
            .collect();
        named.push(("x".into(), random(&[self.batch, self.time, self.features], 1.0, &mut stream)));
        for state in 0..states {
            named.push((format!("state {state}"), random(&[self.batch, self.units], 0.5, &mut stream)));
        }
        named.into_iter().map(|(name, t)| (name, Var::from_tensor(&t).unwrap())).collect()
    }

    fn mask_tensor(&self) -> Option<Tensor> {
        // Row 0 is masked throughout, row 1 from the left, the others here and there.
        let bits = (0..self.batch * self.time).map(|i| {
            let (row, step) = (i / self.time, i % self.time);
            u8::from(row > 0 && (row != 1 || step >= 2) && (row < 2 || !(row + step).is_multiple_of(3)))
        });
        self.mask.then(|| Tensor::from_vec(bits.collect::<Vec<_>>(), (self.batch, self.time), &CPU).unwrap())
    }

    /// Whether the kernels know the activations.
    fn suits_kernels(&self) -> bool {
        let by_rows = [Activation::Softmax, Activation::LogSoftmax];
        !by_rows.contains(&self.activation)
            && (self.kind == "simple" || !by_rows.contains(&self.recurrent_activation))
    }

    /// A loss that touches every output and final state with its own weight: in f32 of the kernels, in f64 of the tensor
    /// path.
    fn loss(&self, inputs: &[(String, Var)], dtype: DType) -> Result<Tensor> {
        let cast = |(name, var): &(String, Var)| Ok((name.clone(), var.as_tensor().to_dtype(dtype)?));
        let tensors: HashMap<String, Tensor> = inputs.iter().map(cast).collect::<Result<_>>()?;
        let layer = self.layer(VarBuilder::from_tensors(tensors.clone(), dtype, &CPU))?;
        let states: Vec<Tensor> =
            (0..2).filter_map(|state| tensors.get(&format!("state {state}")).cloned()).collect();
        let mask = self.mask_tensor();
        let call = Call { mask: mask.as_ref(), states: Some(&states), mode: Mode::Training { seed: 9 } };
        let on_kernels = layer.uses_kernels(&tensors["x"]);
        assert_eq!(on_kernels, dtype == DType::F32 && self.suits_kernels(), "{self:?}: another path");
        let output = layer.call(&tensors["x"], call)?;
        let mut stream = Stream(77);
        let mut weighted =
            |ys: &Tensor| (ys * random(ys.dims(), 1.0, &mut stream).to_dtype(dtype)?)?.sum_all();
        let mut loss = weighted(&output.hidden)?;
        for state in &output.states {
            loss = (loss + weighted(state)?)?;
        }
        loss.to_dtype(DType::F32)
    }

    /// Loss and all gradients of the kernels against the tensor path's.
    fn check(&self) {
        let inputs = self.inputs(3);
        let (fast, oracle) =
            (self.loss(&inputs, DType::F32).unwrap(), self.loss(&inputs, DType::F64).unwrap());
        let value = |loss: &Tensor| loss.to_scalar::<f32>().unwrap();
        let difference = (value(&fast) - value(&oracle)).abs() / (1.0 + value(&oracle).abs());
        assert!(difference < 1e-5, "{self:?}: the losses differ by {difference}");
        let (fast, oracle) = (fast.backward().unwrap(), oracle.backward().unwrap());
        for (name, var) in &inputs {
            let gradient = |store: &candle_core::backprop::GradStore| {
                store.get(var).unwrap_or_else(|| panic!("{self:?}: no gradient of {name}")).clone()
            };
            let (a, b) = (gradient(&fast), gradient(&oracle));
            let worst = ((a - &b).unwrap().abs().unwrap() / (b.abs().unwrap() + 1.0).unwrap())
                .unwrap()
                .flatten_all()
                .unwrap()
                .max(0)
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!(worst < 5e-5, "{self:?}: the gradients of {name} differ by {worst}");
        }
    }
}

const KINDS: [&str; 4] = ["simple", "lstm", "gru", "gru reset before"];

#[test]
fn kernels_agree_with_the_tensor_path_for_every_option() {
    for kind in KINDS {
        for bits in 0..128u32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let case = Case {
                return_sequences: bit(0),
                go_backwards: bit(1),
                use_bias: !bit(2),
                mask: bit(3),
                zero_output_for_mask: bit(4),
                dropout: if bit(5) { 0.4 } else { 0.0 },
                recurrent_dropout: if bit(6) { 0.3 } else { 0.0 },
                ..Case::new(kind)
            };
            // Two sequences share a vector where there are enough of them.
            Case { batch: 11, ..case.clone() }.check();
            case.check();
        }
    }
}

#[test]
fn kernels_agree_with_the_tensor_path_for_any_size() {
    for kind in KINDS {
        for (batch, time, features, units) in [
            (1, 1, 1, 1),
            (16, 3, 5, 7),
            (17, 9, 16, 8),
            (33, 4, 2, 19),
            (64, 5, 9, 33),
            (7, 12, 20, 13),
            (2, 70, 3, 8),
            (35, 3, 20, 131),
        ] {
            for return_sequences in [false, true] {
                let base = Case { batch, time, features, units, return_sequences, ..Case::new(kind) };
                base.check();
                Case { mask: true, dropout: 0.2, recurrent_dropout: 0.2, ..base }.check();
            }
        }
    }
}

#[test]
fn kernels_agree_with_the_tensor_path_for_every_activation() {
    for kind in KINDS {
        for &activation in Activation::ALL {
            // Exponentials of exponentials overflow within a few steps.
            let time = if activation == Activation::Exponential { 1 } else { 3 };
            Case { time, activation, ..Case::new(kind) }.check();
            if kind != "simple" {
                Case { time: 3, recurrent_activation: activation, ..Case::new(kind) }.check();
            }
        }
    }
}

#[test]
fn rows_that_only_fill_a_group_up_spoil_nothing() {
    // From zeros, the exponential of this layer runs away within a few steps; these inputs hold it down.
    for (batch, mask) in [1, 3, 5, 9, 17].into_iter().flat_map(|batch| [(batch, false), (batch, true)]) {
        let case = Case {
            batch,
            mask,
            time: 12,
            features: 1,
            activation: Activation::Exponential,
            return_sequences: true,
            ..Case::new("simple")
        };
        let mut inputs = case.inputs(1);
        for (name, var) in &mut inputs {
            let value = match name.as_str() {
                "kernel" => 1.0,
                "recurrent_kernel" => 3.0,
                "x" => -9.0,
                _ => 0.0,
            };
            *var =
                Var::from_tensor(&var.as_tensor().zeros_like().unwrap().affine(1.0, value).unwrap()).unwrap();
        }
        if let (Some(mask), Some((_, x))) =
            (case.mask_tensor(), inputs.iter_mut().find(|(name, _)| name == "x"))
        {
            // What is masked may be as large as it likes.
            let mask = mask.unsqueeze(2).unwrap().to_dtype(DType::F32).unwrap();
            *x = Var::from_tensor(&mask.affine(-109.0, 100.0).unwrap()).unwrap();
        }
        let gradients = case.loss(&inputs, DType::F32).unwrap().backward().unwrap();
        for (name, var) in &inputs {
            let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(gradient.iter().all(|d| d.is_finite()), "{case:?}: {name}");
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for kind in KINDS {
        for (mask, recurrent_dropout) in [(false, 0.0), (true, 0.3)] {
            let case = Case {
                mask,
                recurrent_dropout,
                dropout: recurrent_dropout,
                return_sequences: true,
                ..Case::new(kind)
            };
            let inputs = case.inputs(5);
            let gradients = case.loss(&inputs, DType::F32).unwrap().backward().unwrap();
            let step = 1e-2f32;
            for (name, var) in &inputs {
                let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for at in [0, values.len() / 2, values.len() - 1] {
                    let shifted = |by: f32| {
                        let mut values = values.clone();
                        values[at] += by;
                        var.set(&Tensor::from_vec(values, var.shape(), &CPU).unwrap()).unwrap();
                        case.loss(&inputs, DType::F32).unwrap().to_scalar::<f32>().unwrap()
                    };
                    let slope = (shifted(step) - shifted(-step)) / (2.0 * step);
                    shifted(0.0);
                    assert!(
                        (slope - gradient[at]).abs() < 5e-3 * (1.0 + slope.abs()),
                        "{case:?}: {name}[{at}]: slope {slope}, gradient {}",
                        gradient[at]
                    );
                }
            }
        }
    }
}

#[test]
fn reading_the_embedding_in_place_gives_what_looking_it_up_first_gives() {
    // A vocabulary shorter than the tokens is projected once, without dropout; a longer one is looked up.
    for (vocabulary, dropout, units) in
        [(11, 0.3, 4), (11, 0.0, 4), (11, 0.3, 8), (11, 0.0, 8), (300, 0.0, 8)]
    {
        for kind in KINDS {
            let base = Case { batch: 19, time: 7, dropout, units, ..Case::new(kind) };
            for case in
                [base.clone(), Case { mask: true, go_backwards: true, return_sequences: true, ..base }]
            {
                read_in_place(vocabulary, &case);
            }
        }
    }
}

fn read_in_place(vocabulary: usize, case: &Case) {
    let mut stream = Stream(1);
    let table = Var::from_tensor(&random(&[vocabulary, 3], 1.0, &mut stream)).unwrap();
    let ids: Vec<u32> = (0..19 * 7).map(|_| stream.below(vocabulary as u32)).collect();
    let ids = Tensor::from_vec(ids, (19, 7), &CPU).unwrap();
    let config = EmbeddingConfig { input_dim: vocabulary, output_dim: 3, mask_zero: false };
    let tensors = HashMap::from([("embeddings".to_string(), table.as_tensor().clone())]);
    let embedding = Embedding::new(config, VarBuilder::from_tensors(tensors, DType::F32, &CPU)).unwrap();
    let inputs = case.inputs(4);
    let tensors: HashMap<String, Tensor> =
        inputs.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let layer = case.layer(VarBuilder::from_tensors(tensors, DType::F32, &CPU)).unwrap();
    let mask = case.mask_tensor();
    let call = Call { mask: mask.as_ref(), mode: Mode::Training { seed: 3 }, ..Call::default() };
    let looked_up = layer.call(&embedding.forward(&ids).unwrap(), call).unwrap().hidden;
    let rows = embedding.rows(&ids).unwrap();
    let in_place = match &layer {
        AnyLayer::Simple(layer) => layer.call_rows(&rows, call),
        AnyLayer::Lstm(layer) => layer.call_rows(&rows, call),
        AnyLayer::Gru(layer) => layer.call_rows(&rows, call),
    }
    .unwrap()
    .hidden;
    let difference = |a: &Tensor, b: &Tensor| {
        let scale = (b.abs().unwrap() + 1.0).unwrap();
        let relative = ((a - b).unwrap().abs().unwrap() / scale).unwrap();
        relative.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
    };
    let worst = difference(&in_place, &looked_up);
    assert!(worst <= 1e-6, "{case:?}: the outputs differ by {worst}");
    let d = |output: &Tensor, var: &Var| {
        output.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(var).unwrap().clone()
    };
    let weights = inputs.iter().filter(|(name, _)| case.variables().iter().any(|v| v.name == *name));
    for (name, var) in weights.map(|(name, var)| (name.as_str(), var)).chain([("table", &table)]) {
        let worst = difference(&d(&in_place, var), &d(&looked_up, var));
        assert!(worst < 1e-5, "{case:?}: the gradients of {name} differ by {worst}");
    }
    // An optimiser that squares gradients sees the sum of the squares of the tokens' gradients, on either way, and one that
    // takes their sizes the sum of those.
    let rows = Var::from_tensor(&embedding.forward(&ids).unwrap().detach()).unwrap();
    let tokens = d(&layer.call(&rows, call).unwrap().hidden, &rows).reshape((19 * 7, 3)).unwrap();
    let zeros = Tensor::zeros((vocabulary, 3), DType::F32, &CPU).unwrap();
    let of_words = |of: Tensor| zeros.index_add(&ids.flatten_all().unwrap(), &of, 0).unwrap();
    let squares = RmsProp { rho: 0.0, ..RmsProp::default() }.with_learning_rate(0.0);
    let sizes = Adamax::default().with_learning_rate(0.0);
    for (config, slot, expected) in [
        (squares, "table/velocity", of_words(tokens.sqr().unwrap())),
        (sizes, "table/norm", of_words(tokens.abs().unwrap())),
    ] {
        for output in [&in_place, &looked_up] {
            let mut optimizer =
                Optimizer::new(vec![("table".into(), table.clone())], config.clone()).unwrap();
            optimizer.step(&output.sqr().unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
            let worst = difference(&optimizer.state().unwrap()[slot], &expected);
            assert!(worst < 1e-5, "{case:?}: {slot} differs by {worst}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for kind in KINDS {
        let case = Case { batch: 70, time: 9, units: 8, features: 5, dropout: 0.2, ..Case::new(kind) };
        let inputs = case.inputs(8);
        let bits = |threads: usize| -> Vec<u32> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let gradients = case.loss(&inputs, DType::F32).unwrap().backward().unwrap();
                let flat =
                    |var: &Var| gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                inputs.iter().flat_map(|(_, var)| flat(var)).map(f32::to_bits).collect()
            })
        };
        assert_eq!(bits(1), bits(3), "{kind}");
    }
}

#[test]
fn a_stateful_layer_goes_on_where_it_stopped() {
    let case = Case { time: 8, ..Case::new("lstm") };
    let inputs = case.inputs(2);
    let tensors: HashMap<String, Tensor> =
        inputs.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let vb = || VarBuilder::from_tensors(tensors.clone(), DType::F32, &CPU);
    let whole = Lstm::new(3, case.lstm(), vb()).unwrap();
    let stateful = Lstm::new(3, LstmConfig { stateful: true, ..case.lstm() }, vb()).unwrap();
    let xs = &tensors["x"];
    let part = |from: usize| xs.narrow(1, from, 4).unwrap();
    let expected = whole.call(xs, Call::default()).unwrap();
    for _ in 0..2 {
        stateful.call(&part(0), Call::default()).unwrap();
        let second = stateful.call(&part(4), Call::default()).unwrap();
        for (a, b) in second.states.iter().zip(&expected.states) {
            assert_eq!(a.to_vec2::<f32>().unwrap(), b.to_vec2::<f32>().unwrap());
        }
        stateful.reset_states();
    }
    // Another batch size without a reset is an error that names the way out.
    stateful.call(&part(0), Call::default()).unwrap();
    let error = stateful.call(&part(0).narrow(0, 0, 2).unwrap(), Call::default()).unwrap_err().to_string();
    assert!(error.contains("reset_states"), "{error}");
}
