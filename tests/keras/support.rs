//! Golden answers beside files: `NAME.golden.npz` with `x` or `x0`, `x1`, …, and `y` or `y0`, `y1`, ….

use candle_core::{DType, Device, Tensor, npy::NpzTensors};
use candle_recurrent::keras::{self, Loaded};
use candle_recurrent::layers::Mode;
use candle_recurrent::model::Model;
use std::path::Path;

/// Names and tensors of one answer: what goes in, what comes out.
pub struct Case {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// The answers in `path`: the plain one, and the padded one where there is one.
pub fn cases(path: &Path) -> Vec<Case> {
    let npz = NpzTensors::new(path).unwrap();
    let names: Vec<String> = npz.names().into_iter().cloned().collect();
    let read = |letter: &str, end: &str| -> Vec<Tensor> {
        let numbered = (0..).map(|i| format!("{letter}{i}{end}")).take_while(|name| names.contains(name));
        let mut found: Vec<String> = numbered.collect();
        if found.is_empty() && names.contains(&format!("{letter}{end}")) {
            found.push(format!("{letter}{end}"));
        }
        found.iter().map(|name| npz.get(name).unwrap().unwrap()).collect()
    };
    ["", "_pad"]
        .iter()
        .map(|end| Case { inputs: read("x", end), outputs: read("y", end) })
        .filter(|case| !case.inputs.is_empty())
        .collect()
}

/// Runs the model of `loaded`.
pub fn run(loaded: &Loaded, inputs: &[Tensor]) -> candle_recurrent::Result<Vec<Tensor>> {
    let model = Model::new(&loaded.config, loaded.weights.detached())?;
    // An Embedding reads floats too, as in Keras.
    let inputs: Vec<Tensor> = inputs.iter().map(floats).collect();
    model.forward_all(&inputs, Mode::Inference)
}

fn floats(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap()
}

/// The largest difference between two answers, relative to the largest number of the second.
pub fn error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let flat = |tensor: &Tensor| floats(tensor).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (flat(found), flat(expected));
    let largest = expected.iter().fold(0_f64, |largest, &value| largest.max(f64::from(value).abs()));
    let difference = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    let worst = found.iter().zip(&expected).map(difference).fold(0_f64, |worst, difference| {
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    });
    worst / largest.max(1e-6)
}

/// The worst error of a file against its golden answers.
pub fn check(file: &Path, golden: &Path) -> Result<f64, String> {
    check_with(file, golden, &keras::Options::default())
}

/// The same with the architecture from another file.
pub fn check_with(file: &Path, golden: &Path, options: &keras::Options) -> Result<f64, String> {
    let loaded = keras::load_with(file, options).map_err(|error| error.to_string())?;
    let mut worst = 0_f64;
    for case in cases(golden) {
        let outputs = run(&loaded, &case.inputs).map_err(|error| error.to_string())?;
        if outputs.len() != case.outputs.len() {
            return Err(format!("{} outputs, expected {}", outputs.len(), case.outputs.len()));
        }
        for (found, expected) in outputs.iter().zip(&case.outputs) {
            if found.dims() != expected.dims() {
                return Err(format!("output {:?}, expected {:?}", found.dims(), expected.dims()));
            }
            worst = worst.max(error(found, expected));
        }
    }
    Ok(worst)
}
