//! The same bytes from every instruction set, and of a sequence whatever the others in its batch are.

#![allow(missing_docs)]

use candle_recurrent_kernel::{
    Activation, Dropout, Gradients, Input, Kind, Layer, Rows, backward, forward, recompute_beyond,
};
use std::ops::Range;
use std::process::Command;

/// Numbers without pattern (SplitMix64).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn floats(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut float = || ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale;
        (0..count).map(|_| float()).collect()
    }
}

/// What a layer is given.
struct Data {
    weights: Vec<f32>,
    ids: Vec<u32>,
    x: Vec<f32>,
    squares: bool,
    sizes: bool,
    mask: Vec<u8>,
    states: Vec<f32>,
    /// Of the input, and of the state.
    masks: [Vec<f32>; 2],
    d_out: Vec<f32>,
}

/// A layer and the shapes of what it is given, drawn.
#[derive(Debug)]
struct Case {
    layer: Layer,
    batch: usize,
    time: usize,
    vocabulary: Option<usize>,
    masked: bool,
    /// Of the input, and of the state; whether each gate has its own.
    dropout: [bool; 2],
    per_gate: bool,
    scale: f32,
    seed: u64,
}

impl Case {
    fn draw(stream: &mut Stream) -> Self {
        use Activation::{Elu, Gelu, HardSigmoid, Relu, Sigmoid, Softplus, Tanh};
        let kinds =
            [Kind::SimpleRnn, Kind::Lstm, Kind::Gru { reset_after: true }, Kind::Gru { reset_after: false }];
        let usual = stream.below(3) > 0;
        let others = [HardSigmoid { slope: 0.2 }, Relu, Elu { alpha: 1.0, scale: 1.0 }, Gelu, Softplus, Tanh];
        let layer = Layer {
            kind: stream.pick(&kinds),
            features: stream.pick(&[1, 2, 3, 7, 8, 9, 16, 17, 31, 40, 65]),
            units: stream.pick(&[1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 24, 33, 48, 70, 130]),
            activation: if usual { Tanh } else { stream.pick(&others) },
            recurrent_activation: if usual { Sigmoid } else { stream.pick(&others) },
            use_bias: stream.below(4) > 0,
            return_sequences: stream.below(2) == 0,
            return_state: stream.below(3) == 0,
            go_backwards: stream.below(3) == 0,
            zero_output_for_mask: stream.below(2) == 0,
        };
        Self {
            layer,
            batch: stream.pick(&[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 37]),
            time: stream.pick(&[1, 2, 5, 8, 9, 19]),
            vocabulary: (stream.below(2) == 0).then(|| stream.pick(&[2, 5, 30, 200])),
            masked: stream.below(3) == 0,
            dropout: [stream.below(4) == 0, stream.below(4) == 0],
            per_gate: stream.below(2) == 0,
            // Some run into the ends of tanh and sigmoid, where values far from 0 are computed another way.
            scale: stream.pick(&[0.3, 1.0, 40.0]),
            seed: stream.next(),
        }
    }

    fn data(&self) -> Data {
        let Self { layer, batch, time, .. } = self;
        let mut stream = Stream(self.seed);
        let (batch, time, features, units) = (*batch, *time, layer.features, layer.units);
        let width = layer.kind.gates() * units;
        let bias_rows = if layer.use_bias { layer.kind.bias_rows() } else { 0 };
        let weights = stream.floats((features + units + bias_rows) * width, 0.4);
        let ids = (0..batch * time).map(|_| stream.below(self.vocabulary.unwrap_or(1)) as u32).collect();
        let x = stream.floats(self.vocabulary.unwrap_or(batch * time) * features, self.scale);
        let squares = self.vocabulary.is_some() && stream.below(2) == 0;
        let sizes = stream.below(2) == 0;
        let mask = (0..batch * time).map(|_| u8::from(stream.below(3) > 0)).collect();
        let states = stream.floats(batch * layer.kind.states() * units, 0.5);
        let gates = if self.per_gate { layer.kind.gates() } else { 1 };
        let mut masks = |width| -> Vec<f32> {
            (0..gates * batch * width).map(|_| if stream.below(3) > 0 { 1.5 } else { 0.0 }).collect()
        };
        let masks = [masks(features), masks(units)];
        let d_out = stream.floats(batch * layer.rows_out(time) * units, 1.0);
        Data { weights, ids, x, squares, sizes, mask, states, masks, d_out }
    }

    /// These sequences of the batch; all of them where there are dropout masks, which are not cut.
    fn input<'a>(&'a self, data: &'a Data, of: Range<usize>) -> Input<'a> {
        let (time, features) = (self.time, self.layer.features);
        let states = self.layer.kind.states() * self.layer.units;
        let steps = of.start * time..of.end * time;
        let rows = self.vocabulary.map(|vocabulary| Rows {
            ids: &data.ids[steps.clone()],
            vocabulary,
            squares: data.squares,
            sizes: data.sizes,
        });
        let dropout = |which: usize| {
            self.dropout[which].then_some(Dropout { masks: &data.masks[which], per_gate: self.per_gate })
        };
        Input {
            batch: of.len(),
            time,
            x: if rows.is_some() { &data.x } else { &data.x[steps.start * features..steps.end * features] },
            rows,
            mask: self.masked.then_some(&data.mask[steps]),
            states: &data.states[of.start * states..of.end * states],
            input_dropout: dropout(0),
            recurrent_dropout: dropout(1),
        }
    }

    /// The output; the gradients of the weights, the input and the states.
    fn run(&self) -> [Vec<f32>; 4] {
        let data = self.data();
        let (layer, input) = (&self.layer, self.input(&data, 0..self.batch));
        let mut out = vec![0.0; data.d_out.len()];
        let saved = forward(layer, &input, &data.weights, true, &mut out).expect("saved");
        let mut again = vec![0.0; out.len()];
        assert!(forward(layer, &input, &data.weights, false, &mut again).is_none());
        assert!(bits(&out) == bits(&again), "training and inference differ: {self:?}");
        let gradients = backward(layer, &input, &data.weights, saved, &data.d_out, true);
        let x = [gradients.x, gradients.squares].concat();
        [out, gradients.weights, x, gradients.states]
    }

    /// The output of these sequences alone, in training or in inference.
    fn output(&self, data: &Data, of: Range<usize>, training: bool) -> Vec<f32> {
        let mut out = vec![0.0; of.len() * self.layer.rows_out(self.time) * self.layer.units];
        let saved = forward(&self.layer, &self.input(data, of), &data.weights, training, &mut out);
        assert_eq!(saved.is_some(), training);
        out
    }
}

/// Every NaN is one.
fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// FNV-1a.
fn hash(floats: &[f32]) -> u64 {
    bits(floats).into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, bits| {
        (hash ^ u64::from(bits)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn cases() -> Vec<Case> {
    let mut stream = Stream(7);
    let mut cases: Vec<Case> = (0..600).map(|_| Case::draw(&mut stream)).collect();
    // More blocks than there are sums.
    for kind in [Kind::Lstm, Kind::SimpleRnn] {
        let mut many = Case::draw(&mut stream);
        (many.layer.kind, many.layer.units, many.layer.features) = (kind, 3, 2);
        (many.batch, many.time) = (1100, 9);
        cases.push(many);
    }
    cases
}

/// Not a check of its own: what [`every_instruction_set_gives_the_same_bytes`] runs with each instruction set.
#[test]
fn hashes() {
    for (index, case) in cases().iter().enumerate() {
        println!("case {index} {}", case.run().map(|floats| format!("{:016x}", hash(&floats))).join(" "));
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    let run = |set: &str, threads: &str| {
        let program = std::env::current_exe().expect("this test's program");
        let output = Command::new(program)
            .args(["hashes", "--exact", "--nocapture"])
            .env("CANDLE_RECURRENT_SIMD", set)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("text");
        // On one thread the test's own name stands before what it prints first.
        let case = |line: &str| line.find("case ").map(|at| line[at..].to_string());
        lines.lines().filter_map(case).collect::<Vec<_>>()
    };
    let best = run("", "2");
    let cases = cases();
    assert_eq!(best.len(), cases.len());
    for (set, threads) in [("", "1"), ("", "5"), ("avx2", "2"), ("portable", "2")] {
        let these = run(set, threads);
        assert_eq!(these.len(), cases.len());
        let parts = ["output", "weights", "input", "states"];
        for ((one, other), case) in best.iter().zip(&these).zip(&cases) {
            let words = |line: &str| line.split(' ').skip(2).map(str::to_string).collect::<Vec<_>>();
            let differ: Vec<&str> = parts
                .into_iter()
                .zip(words(one).into_iter().zip(words(other)))
                .filter_map(|(part, (one, other))| (one != other).then_some(part))
                .collect();
            assert!(differ.is_empty(), "{set} on {threads} gives others in {differ:?}: {case:?}");
        }
    }
}

/// Puts the budget back.
struct Budget;

impl Drop for Budget {
    fn drop(&mut self) {
        recompute_beyond(512 << 20);
    }
}

#[test]
fn steps_that_are_computed_again_give_the_same_bytes() {
    let _budget = Budget;
    let mut smaller = 0;
    for case in cases() {
        let data = case.data();
        let (input, mut out) = (case.input(&data, 0..case.batch), vec![0.0; data.d_out.len()]);
        // With memory for all steps, and with none.
        let [kept, again] = [usize::MAX, 0].map(|bytes| {
            recompute_beyond(bytes);
            let saved = forward(&case.layer, &input, &data.weights, true, &mut out).expect("saved");
            let bytes = saved.bytes();
            let gradients = backward(&case.layer, &input, &data.weights, saved, &data.d_out, true);
            let Gradients { x, squares, weights, states } = gradients;
            (bytes, [&out, &weights, &x, &squares, &states].map(|floats| bits(floats)))
        });
        assert!(kept.1 == again.1, "{case:?}");
        // Eight steps are the shortest stretch.
        assert_eq!(again.0 < kept.0, case.time > 8, "{case:?}");
        smaller += usize::from(again.0 < kept.0);
    }
    assert!(smaller > 100, "{smaller}");
}

#[test]
fn a_sequence_gives_the_same_bytes_in_every_batch() {
    for case in cases().iter().filter(|case| case.dropout == [false, false]) {
        let data = case.data();
        let whole = case.output(&data, 0..case.batch, true);
        let each = whole.len() / case.batch;
        for size in [1, 2, 3] {
            // Those at the end may be fewer.
            for start in (0..case.batch).step_by(size) {
                let of = start..(start + size).min(case.batch);
                let within = bits(&whole[of.start * each..of.end * each]);
                for training in [true, false] {
                    let alone = bits(&case.output(&data, of.clone(), training));
                    assert!(alone == within, "{of:?}, training {training}: {case:?}");
                }
            }
        }
    }
}
