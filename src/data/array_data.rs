//! Training data in files of arrays: `x` and `y`, with or without parts for validation and test.

use super::array::{Array, check_whole};
use super::examples::Examples;
use super::inputs::{InputKind, ModelInput, table_shape};
use crate::error::nearest;
use crate::formats::{self, ArrayFile, StoredArray};
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where arrays for training stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArraySource {
    /// One file: `x` and `y`, or `x0`, `x1`, … and `y0`, `y1`, …, or the inputs' and outputs' own names; the same with `_val` and
    /// `_test` (or all with `_train`); `sample_weight`, or one an output: `sample_weight0`, ….
    File(PathBuf),
    /// A file of the one input, and one of the one target.
    Pair {
        /// The input.
        x: PathBuf,
        /// The target.
        y: PathBuf,
    },
}

impl ArraySource {
    /// Whether a file's name and arrays say that it holds arrays for training, and not reviews: an `imdb.npz` holds
    /// `x_train` as lists of ids.
    pub fn holds(path: &Path) -> bool {
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        match suffix.as_deref() {
            _ if path.file_name().is_some_and(|name| name == "imdb.npz") => false,
            Some("npz") => formats::open(path).map_or(true, |file| {
                let has = |name: &str| file.names().iter().any(|own| own == name);
                // Arrays of objects cannot be read as numbers.
                !(has("x_train") && file.stored("x_train").is_err())
            }),
            Some("safetensors" | "npy") => true,
            _ => false,
        }
    }

    /// The files' name: that of the one file, or of the input's.
    pub fn name(&self) -> String {
        let (Self::File(path) | Self::Pair { x: path, .. }) = self;
        path.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// The parts of training data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArraySplits {
    /// What is trained on; none in a file of test data alone.
    pub train: Option<Examples>,
    /// What each epoch is judged by.
    pub validation: Option<Examples>,
    /// What is looked at once, at the end.
    pub test: Option<Examples>,
}

impl ArraySplits {
    /// Keeps the last part of the training rows for validation, as Keras's `validation_split` does, where there is no
    /// validation data yet.
    ///
    /// # Errors
    /// [`Error::Data`] where a part would have no row.
    pub fn split_validation(&mut self, part: f64) -> Result<()> {
        let (Some(train), None) = (&self.train, &self.validation) else { return Ok(()) };
        let rows = train.rows();
        // Keras: int(math.floor(rows * (1 - validation_split))).
        let kept = (rows as f64 * (1.0 - part)).floor() as usize;
        if kept == 0 || kept == rows {
            let what = format!(
                "{rows} rows cannot be split into training and validation ({part}); give more, or x_val and y_val"
            );
            return Err(Error::Data(what));
        }
        let parts = (train.part(0, kept)?, train.part(kept, rows - kept)?);
        (self.train, self.validation) = (Some(parts.0), Some(parts.1));
        Ok(())
    }
}

/// Reads arrays for a model with these inputs, and outputs of these names.
///
/// # Errors
/// [`Error::File`] where a file cannot be read, or lacks an array, with the file; [`Error::Data`] with the array's name where it
/// does not fit the model, rows differ in number, or a number is not finite.
pub fn load_arrays(source: &ArraySource, inputs: &[ModelInput], outputs: &[String]) -> Result<ArraySplits> {
    if let Some(input) = inputs.iter().find(|input| input.kind == InputKind::Texts) {
        let what = format!("the input `{}` takes texts, and files of arrays hold numbers", input.name);
        return Err(Error::Data(what));
    }
    match source {
        ArraySource::Pair { x, y } => {
            if inputs.len() != 1 || outputs.len() != 1 {
                let what = format!(
                    "a pair of files is for one input and one output, and the model has {} and {}; give a .npz with x0, …, y0, …",
                    inputs.len(),
                    outputs.len()
                );
                return Err(Error::Data(what));
            }
            let (array, is_table) = only(x)?;
            let input = accept(inputs, 0, array, is_table).map_err(|error| within(x, error))?;
            let target = target(only(y)?.0).map_err(|error| within(y, error))?;
            let train = Examples::new(vec![input], vec![target]).map_err(|error| within(x, error))?;
            Ok(ArraySplits { train: Some(train), ..ArraySplits::default() })
        }
        ArraySource::File(path) => {
            let file = formats::open(path)?;
            let used = RefCell::default();
            let read = Parts { path, file: &file, inputs, outputs, used };
            let train = read.part(&["", "_train"])?;
            let (validation, test) = (read.part(&["_val"])?, read.part(&["_test"])?);
            if train.is_none() && test.is_none() {
                return Err(read.missing());
            }
            read.check_unused()?;
            Ok(ArraySplits { train, validation, test })
        }
    }
}

/// The one array of a file, and whether it is a table.
fn only(path: &Path) -> Result<(StoredArray, bool)> {
    let file = formats::open(path)?;
    match file.names() {
        [name] => Ok((file.stored(name)?, file.is_table())),
        names => {
            let what = format!("holds {} arrays, expected one; give it as --data", names.len());
            Err(Error::file(path, what))
        }
    }
}

/// The same error with the file that it is about.
fn within(path: &Path, error: Error) -> Error {
    match error {
        Error::Data(what) => Error::file(path, what),
        other => other,
    }
}

/// An array as an input takes it.
fn accept(inputs: &[ModelInput], at: usize, array: StoredArray, is_table: bool) -> Result<Array> {
    let mut shape = array.shape().to_vec();
    if let ([rows, columns], true) = (shape.as_slice(), is_table) {
        shape = table_shape(inputs, *rows, *columns)?;
    }
    let input = &inputs[at];
    // A last axis of 1 may be missing, or be there once too often.
    match (shape.len(), input.shape.as_slice(), shape.last()) {
        (rank, [.., Some(1)], _) if rank + 1 == input.shape.len() => shape.push(1),
        (rank, _, Some(1)) if rank == input.shape.len() + 1 => drop(shape.pop()),
        _ => {}
    }
    input.accept_stored(array.reshaped(shape)?)
}

fn target(array: StoredArray) -> Result<Array> {
    if !array.kind().is_float() {
        array.try_for_each_part(|_, values| check_whole(values))?;
    }
    Array::stored_floats(array)
}

/// The arrays of one file.
struct Parts<'a> {
    path: &'a Path,
    file: &'a ArrayFile<'a>,
    inputs: &'a [ModelInput],
    outputs: &'a [String],
    /// The names of the arrays that were taken.
    used: RefCell<BTreeSet<String>>,
}

impl Parts<'_> {
    fn has(&self, name: &str) -> bool {
        self.file.names().iter().any(|own| own == name)
    }

    /// The names under which arrays of one part may stand: `x`, `x0`, …, or those of the model.
    fn names(letter: &str, own: &[String], suffix: &str) -> Vec<Vec<String>> {
        let mut forms = vec![];
        if own.len() == 1 {
            forms.push(vec![format!("{letter}{suffix}")]);
        }
        forms.push((0..own.len()).map(|at| format!("{letter}{at}{suffix}")).collect());
        forms.push((0..own.len()).map(|at| format!("{letter}{suffix}{at}")).collect());
        forms.push(own.iter().map(|name| format!("{name}{suffix}")).collect());
        forms
    }

    fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.clone()).collect()
    }

    fn find(&self, letter: &str, own: &[String], suffix: &str) -> Option<Vec<String>> {
        Self::names(letter, own, suffix).into_iter().find(|names| names.iter().all(|name| self.has(name)))
    }

    /// The arrays whose names end in the first of these ways that is there.
    fn part(&self, suffixes: &[&str]) -> Result<Option<Examples>> {
        for suffix in suffixes {
            let Some(xs) = self.find("x", &self.input_names(), suffix) else { continue };
            let Some(ys) = self.find("y", self.outputs, suffix) else {
                let needed = &Self::names("y", self.outputs, suffix)[0];
                let what = format!("holds {} and no {}", xs.join(", "), needed.join(", "));
                return Err(Error::file(self.path, what));
            };
            let input = |(at, name): (usize, &String)| {
                accept(self.inputs, at, self.file.stored(name)?, false)
                    .map_err(|error| within(self.path, error))
            };
            let inputs = xs.iter().enumerate().map(input).collect::<Result<_>>()?;
            let targets = ys.iter().map(|name| target(self.file.stored(name)?)).collect::<Result<_>>()?;
            let within = |error| match error {
                Error::Data(what) if !suffix.is_empty() => {
                    Error::file(self.path, format!("{what} (of the arrays whose names end in {suffix})"))
                }
                other => within(self.path, other),
            };
            let mut examples = Examples::new(inputs, targets).map_err(within)?;
            let weights = self.weights(suffixes);
            if !weights.is_empty() {
                let arrays = weights.iter().map(|name| target(self.file.stored(name)?));
                examples = examples.with_weights(&arrays.collect::<Result<Vec<_>>>()?).map_err(within)?;
            }
            self.used.borrow_mut().extend(xs.into_iter().chain(ys).chain(weights));
            return Ok(Some(examples));
        }
        Ok(None)
    }

    /// The names of the sample weights that are there: one for all outputs, or one an output.
    fn weights(&self, suffixes: &[&str]) -> Vec<String> {
        let forms = suffixes.iter().flat_map(|suffix| {
            let outputs = 0..self.outputs.len();
            [
                vec![format!("sample_weight{suffix}")],
                outputs.clone().map(|at| format!("sample_weight{at}{suffix}")).collect(),
                outputs.map(|at| format!("sample_weight{suffix}{at}")).collect(),
            ]
        });
        let mut forms = forms.filter(|names: &Vec<String>| names.iter().all(|name| self.has(name)));
        forms.next().unwrap_or_default()
    }

    fn missing(&self) -> Error {
        let inputs = self.input_names();
        let needed = &Self::names("x", &inputs, "")[0];
        let found = self.file.names().iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "nothing".into() } else { found };
        let hint =
            match needed.first().and_then(|name| nearest(name, self.file.names().iter().map(String::as_str)))
            {
                Some(near) => format!("; is {near} meant?"),
                None => String::new(),
            };
        let (needed, own) = (needed.join(", "), inputs.join(", "));
        let what = format!("holds no {needed} for the model's inputs {own}; found {found}{hint}");
        Error::file(self.path, what)
    }

    /// Refuses what would not be used.
    fn check_unused(&self) -> Result<()> {
        let used = self.used.borrow();
        match self.file.names().iter().find(|name| !used.contains(*name)) {
            None => Ok(()),
            Some(unused) => {
                let used = used.iter().cloned().collect::<Vec<_>>().join(", ");
                let what = format!(
                    "holds {unused}, which is not used beside {used}: what belongs together is x, y, x_val, y_val, x_test, y_test \
                     (with 0, 1, … where there are several), sample_weight; leave it out"
                );
                Err(Error::file(self.path, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn npy(descr: &str, order: &str, shape: &str, content: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        [b"\x93NUMPY\x01\0\x76\0".as_slice(), format!("{header:117}\n").as_bytes(), content].concat()
    }

    fn input(kind: InputKind) -> ModelInput {
        ModelInput { name: "input".into(), shape: vec![None, Some(3)], kind }
    }

    /// However its numbers stand in the file, the array is that of the tensor which the whole file makes.
    #[test]
    fn numbers_of_a_file_are_those_of_its_tensor() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        let columns = [1_i64, 4, 2, 5, 3, 6];
        let small: Vec<u8> = columns.iter().map(|&value| value as u8).collect();
        let files = [
            npy("<f8", "True", "(2, 3)", &columns.map(|v| (v as f64).to_le_bytes()).concat()),
            npy(">f4", "True", "(2, 3)", &columns.map(|v| (v as f32).to_be_bytes()).concat()),
            npy("<i8", "True", "(2, 3)", &columns.map(i64::to_le_bytes).concat()),
            npy(">i4", "True", "(2, 3)", &columns.map(|v| (v as i32).to_be_bytes()).concat()),
            npy("|u1", "True", "(2, 3)", &small),
        ];
        for bytes in files {
            std::fs::write(&path, bytes).expect("written");
            for kind in [InputKind::Floats, InputKind::Whole, InputKind::Ids] {
                let file = formats::open(&path)?;
                let array = accept(&[input(kind)], 0, file.stored("x")?, false)?;
                assert_eq!(array, Array::from_tensor(&input(kind).accept(file.array("x")?)?)?);
                let rows = input(kind).rows(&file.stored("x")?, 1, 1)?;
                let expected = Tensor::new(&[[4_i64, 5, 6]], &Device::Cpu)?.to_dtype(rows.dtype())?;
                assert_eq!(rows.to_string(), expected.to_string());
            }
            let floats = target(formats::open(&path)?.stored("x")?)?;
            let row = floats.slice(1, 1, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(row, [4.0, 5.0, 6.0]);
        }
        Ok(())
    }

    #[test]
    fn numbers_that_do_not_fit_are_found() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        let refused = |bytes: Vec<u8>, kind| {
            std::fs::write(&path, bytes).expect("written");
            let array = formats::open(&path)?.stored("x")?;
            Ok::<_, Error>(accept(&[input(kind)], 0, array, false).expect_err("refused").to_string())
        };
        let f8 =
            |value: f64| npy("<f8", "False", "(1, 3)", &[0.0, value, 0.0].map(f64::to_le_bytes).concat());
        let i8 = |value: i64| npy("<i8", "False", "(1, 3)", &[0, value, 0].map(i64::to_le_bytes).concat());
        assert!(refused(f8(1e300), InputKind::Floats)?.contains("holds 1e300, which is beyond"));
        assert!(refused(f8(0.5), InputKind::Whole)?.contains("whole numbers, and holds 0.5"));
        assert!(refused(i8(1 << 25), InputKind::Whole)?.contains("beyond 2^24"));
        for (bytes, found) in [(f8(f64::NAN), "NaN"), (i8(-1), "-1"), (i8(1 << 32), "4294967296")] {
            assert!(refused(bytes, InputKind::Ids)?.contains(&format!("token ids, and holds {found}")));
        }
        std::fs::write(&path, i8(1 << 24 | 1)).expect("written");
        assert!(target(formats::open(&path)?.stored("x")?).is_err());
        Ok(())
    }
}
