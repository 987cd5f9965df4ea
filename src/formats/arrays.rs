//! Arrays in and out, whatever the format of their file.

use super::file::check_regular;
use super::format::{ArrayHead, Format, Holds, Opened, Read};
use super::npy::Npy;
use super::npz::Npz;
use super::safetensors::Safetensors;
use super::stored::StoredArray;
use super::table::{self, Table};
use super::texts::StoredTexts;
use super::writer::ArrayWriter;
use crate::{Error, Result};
use candle_core::Tensor;
use std::path::Path;

/// Every format, a line each.
const FORMATS: &[&dyn Format] = &[&Npz, &Npy, &Safetensors, &Table];

/// What stands in a file of inputs.
#[derive(Clone, Debug)]
pub enum Arrays {
    /// One array for each of a model's inputs, in order.
    Stored(Vec<StoredArray>),
    /// Rows of numbers, whose shape the model decides.
    Table {
        /// f32 (rows, columns).
        rows: StoredArray,
        /// What a user should know of how they were read.
        note: Option<String>,
    },
}

/// The ends of the names of the files that [`read`] takes: `npz`, `npy`, ….
pub fn read_suffixes() -> Vec<&'static str> {
    FORMATS.iter().flat_map(|format| format.suffixes()).copied().collect()
}

/// The ends of the names of the files that [`write`](write()) makes.
pub fn write_suffixes() -> Vec<&'static str> {
    FORMATS.iter().flat_map(|format| format.written()).copied().collect()
}

/// The format that a file's name asks for.
fn find(
    path: &Path,
    suffixes: impl Fn(&dyn Format) -> &'static [&'static str],
) -> Result<&'static dyn Format> {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_lowercase();
    FORMATS.iter().copied().find(|format| suffixes(*format).contains(&suffix.as_str())).ok_or_else(|| {
        let known: Vec<&str> = FORMATS.iter().flat_map(|format| suffixes(*format)).copied().collect();
        Error::file(path, format!("is of no known kind; known are .{}", known.join(", .")))
    })
}

/// Reads the arrays for a model whose inputs have the names `inputs`: `x`, or `x0`, `x1`, …, or arrays of these names.
/// Of a single input the file's only array may have any name.
///
/// # Errors
/// [`Error::File`] where the file cannot be read, lacks an array, or holds another that looks like an input;
/// [`Error::Cell`] for what is no number in a table.
pub fn read(path: impl AsRef<Path>, inputs: &[String]) -> Result<Arrays> {
    let path = path.as_ref();
    let format = find(path, |format| format.suffixes())?;
    check_regular(path)?;
    if format.holds() == Holds::Table {
        let (rows, note) = table::read(path)?;
        return Ok(Arrays::Table { rows, note });
    }
    let file = format.open(path)?;
    if inputs.len() > 1 && format.holds() == Holds::One {
        let (count, names) = (inputs.len(), inputs.join(", "));
        let what = format!(
            "holds one array, and the model has {count} inputs ({names}); give a .npz or .safetensors with x0, x1, …"
        );
        return Err(Error::file(path, what));
    }
    let names = choose(&file, inputs).map_err(|what| Error::file(path, what))?;
    let read = |name: &String| {
        let array = (file.array)(name)?;
        if array.count() == 0 {
            // One axis may be as long as it likes beside an empty one: nothing is to walk along it.
            let what = format!("{name} holds no numbers, its shape being {:?}", array.shape());
            return Err(Error::file(path, what));
        }
        Ok(array)
    };
    names.iter().map(read).collect::<Result<_>>().map(Arrays::Stored)
}

/// An open file of arrays by name, of which only those are read that are asked for. A `.npy` or a table is one array, `x`.
pub struct ArrayFile<'a> {
    names: Vec<String>,
    read: Read<'a>,
    is_table: bool,
}

impl ArrayFile<'_> {
    /// The arrays' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is a table, rows of numbers whose shape the model decides.
    pub fn is_table(&self) -> bool {
        self.is_table
    }

    /// The array of this name, whole: see [`StoredArray::tensor`].
    ///
    /// # Errors
    /// [`Error::File`] where there is none, or it cannot be read.
    pub fn array(&self, name: &str) -> Result<Tensor> {
        (self.read)(name)?.tensor()
    }

    /// The array of this name, whose numbers stay in the file until they are asked for.
    ///
    /// # Errors
    /// As [`array`](Self::array).
    pub fn stored(&self, name: &str) -> Result<StoredArray> {
        (self.read)(name)
    }
}

/// Opens a file of arrays.
///
/// # Errors
/// [`Error::File`] where it cannot be read, or is of no known kind; [`Error::Cell`] for what is no number in a table.
pub fn open(path: &Path) -> Result<ArrayFile<'_>> {
    let format = find(path, |format| format.suffixes())?;
    check_regular(path)?;
    if format.holds() == Holds::Table {
        let (rows, _) = table::read(path)?;
        return Ok(ArrayFile {
            names: vec!["x".into()],
            read: Box::new(move |_| Ok(rows.clone())),
            is_table: true,
        });
    }
    let Opened { names, array, .. } = format.open(path)?;
    if format.holds() == Holds::One {
        let own = names.first().cloned().unwrap_or_default();
        return Ok(ArrayFile {
            names: vec!["x".into()],
            read: Box::new(move |_| array(&own)),
            is_table: false,
        });
    }
    Ok(ArrayFile { names, read: array, is_table: false })
}

/// One of a model's inputs.
#[derive(Clone, Debug)]
pub enum InputArray {
    /// Numbers.
    Numbers(StoredArray),
    /// Texts.
    Texts(StoredTexts),
}

/// As [`read`] for a model of which some inputs are of texts: those where `texts` says so. A table is one of texts, a text
/// a line.
///
/// # Errors
/// As [`read`], and where an array is of another kind than its input.
pub fn read_mixed(path: impl AsRef<Path>, inputs: &[String], texts: &[bool]) -> Result<Vec<InputArray>> {
    let path = path.as_ref();
    let format = find(path, |format| format.suffixes())?;
    check_regular(path)?;
    let file = format.open(path)?;
    if inputs.len() > 1 && format.holds() != Holds::Arrays {
        let (count, names) = (inputs.len(), inputs.join(", "));
        let what = format!("the model has {count} inputs ({names}); give a .npz with x0, x1, …");
        return Err(Error::file(path, what));
    }
    let names = choose(&file, inputs).map_err(|what| Error::file(path, what))?;
    let read = |(name, is_text): (&String, &bool)| match (&file.texts, is_text) {
        (Some(texts), true) => (texts)(name).map(InputArray::Texts),
        (None, true) => Err(Error::file(path, "cannot hold texts; give a .npz, a .npy or a .csv")),
        (_, false) => (file.array)(name).map(InputArray::Numbers),
    };
    names.iter().zip(texts).map(read).collect()
}

/// The names of the arrays that are the inputs.
fn choose(file: &Opened, inputs: &[String]) -> std::result::Result<Vec<String>, String> {
    let found = &file.names;
    let numbered = |i: usize| format!("x{i}");
    let has = |name: &str| found.iter().any(|found| found == name);
    let names: Vec<String> = match inputs.len() {
        1 if has("x") => vec!["x".into()],
        1 if found.len() == 1 => found.clone(),
        count if (0..count).all(|i| has(&numbered(i))) => (0..count).map(numbered).collect(),
        _ => inputs.to_vec(),
    };
    if let Some(missing) = names.iter().find(|name| !has(name)) {
        let (missing, needed) = match inputs.len() {
            1 => (format!("array {missing}"), "needed is x".to_string()),
            count => {
                let order = inputs.join(", ");
                let needed = format!("which are, in this order, the model's inputs {order}");
                (format!("arrays x0 to x{}", count.saturating_sub(1)), needed)
            }
        };
        let listed = found.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        let listed = if listed.is_empty() { "nothing" } else { listed.as_str() };
        return Err(format!("holds no {missing}; {needed}; found {listed}"));
    }
    // What looks like an input and is not used would be a mistake that nobody sees. Others, such as the answers y, are
    // not the model's business.
    let is_input = |name: &String| is_input_name(name) || inputs.contains(name);
    if let Some(unused) = found.iter().find(|name| is_input(name) && !names.contains(name)) {
        let takes = match inputs.len() {
            1 => "one input".to_string(),
            count => format!("{count} inputs"),
        };
        let used = names.join(", ");
        return Err(format!("holds {unused} besides {used}, and the model has {takes}; leave it out"));
    }
    Ok(names)
}

/// Whether an array's name is that of an input: `x`, `x0`, `x1`, ….
fn is_input_name(name: &str) -> bool {
    name.strip_prefix('x').is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Writes a model's answers by name, whole or not at all: f32, in a `.safetensors` of their own type. A table has a
/// line for each step of the first axis.
///
/// # Errors
/// [`Error::File`] where the format holds one array and there are several, or the file cannot be written.
pub fn write(path: impl AsRef<Path>, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let head = |(name, tensor): &(&str, &Tensor)| ArrayHead {
        name: name.to_string(),
        dtype: tensor.dtype(),
        shape: tensor.dims().to_vec(),
    };
    let mut writer = begin(path, arrays.iter().map(head).collect())?;
    writer.append(&arrays.iter().map(|&(_, tensor)| tensor.clone()).collect::<Vec<_>>())?;
    writer.finish()
}

/// As [`write`](write()), for arrays whose rows come a few at a time.
///
/// # Errors
/// As [`write`](write()).
pub fn begin(path: impl AsRef<Path>, arrays: Vec<ArrayHead>) -> Result<ArrayWriter> {
    let path = path.as_ref();
    let format = find(path, |format| format.written())?;
    if format.holds() != Holds::Arrays && arrays.len() != 1 {
        let what = format!(
            "the model has {} outputs; name a .npz or .safetensors, which can hold them all",
            arrays.len()
        );
        return Err(Error::file(path, what));
    }
    ArrayWriter::begin(path, format, arrays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_format_gives_back_what_was_written() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let values = Tensor::new(&[[0.1_f32, -2.5, 3e38], [1e-38, 0.0, 7.0]], &Device::Cpu)?;
        for suffix in write_suffixes() {
            let path = folder.path().join(format!("x.{suffix}"));
            write(&path, &[("x", &values)])?;
            let read = match read(&path, &["input".into()])? {
                Arrays::Table { rows, .. } => rows.tensor()?,
                Arrays::Stored(arrays) => arrays[0].tensor()?,
            };
            assert_eq!(read.to_vec2::<f32>()?, values.to_vec2::<f32>()?, "{suffix}");
        }
        let what = write(folder.path().join("x.txt"), &[("x", &values)]).expect_err("refused").to_string();
        assert!(
            what.ends_with("x.txt: is of no known kind; known are .npz, .npy, .safetensors, .csv"),
            "{what}"
        );
        Ok(())
    }

    #[test]
    fn several_arrays_need_names() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (Tensor::new(&[1_f32], &Device::Cpu)?, Tensor::new(&[2_f32, 3.0], &Device::Cpu)?);
        let inputs = ["left".to_string(), "right".to_string()];
        for suffix in ["npz", "safetensors"] {
            for names in [["x0", "x1"], ["left", "right"]] {
                let path = folder.path().join(format!("x.{suffix}"));
                write(&path, &[(names[0], &a), (names[1], &b)])?;
                let Arrays::Stored(read) = read(&path, &inputs)? else { panic!("no table") };
                assert_eq!(read.iter().map(StoredArray::count).collect::<Vec<_>>(), [1, 2]);
            }
        }
        for suffix in ["npy", "csv"] {
            let path = folder.path().join(format!("x.{suffix}"));
            let what = write(&path, &[("x0", &a), ("x1", &b)]).expect_err("refused").to_string();
            assert!(what.contains("the model has 2 outputs; name a .npz"), "{what}");
        }
        Ok(())
    }
}
