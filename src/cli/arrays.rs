//! Arrays in and out: NumPy's `.npz` and `.npy`, `.safetensors`, and tables of numbers.

use crate::checkpoint::{to_safetensors, write_atomic};
use crate::data::npz::{self, Header};
use anyhow::Context;
use candle_core::{DType, Device, Tensor, npy::NpzTensors};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

/// The kinds of files, by their suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Npz,
    Npy,
    Safetensors,
    Csv,
}

fn format(path: &Path) -> Option<Format> {
    Some(match path.extension()?.to_str()?.to_lowercase().as_str() {
        "npz" => Format::Npz,
        "npy" => Format::Npy,
        "safetensors" => Format::Safetensors,
        "csv" | "tsv" | "txt" => Format::Csv,
        _ => return None,
    })
}

/// Parses the path of a file of arrays.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    format(&path).map(|_| path).ok_or_else(|| "give a .npz, .npy, .safetensors or .csv".into())
}

/// What stands in a file of inputs.
pub(super) enum Arrays {
    /// One array for each of the model's inputs, in order.
    Tensors(Vec<Tensor>),
    /// Rows of numbers, whose shape the model decides.
    Table { rows: usize, columns: usize, values: Vec<f32> },
}

/// An array that Candle does not read: in Fortran's order, as a transposed array or a table of pandas is saved, or with the
/// high byte first.
fn unusual(bytes: &[u8]) -> candle_core::Result<Tensor> {
    let fail = |what: String| candle_core::Error::Msg(what);
    let (header, content) = Header::parse(bytes).map_err(fail)?;
    let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
    let big_endian = order == ">";
    let size =
        kind.get(1..).and_then(|size| size.parse::<usize>().ok()).filter(|size| (1..=8).contains(size));
    let unknown = || fail(format!("an array of type {}, expected floats or whole numbers", header.descr));
    let size = size.ok_or_else(unknown)?;
    let count =
        header.count().filter(|count| count.checked_mul(size).is_some_and(|all| all <= content.len()));
    let count = count.ok_or_else(|| fail("the array ends too early".into()))?;
    // The bytes of each number, low byte first.
    let numbers = content.chunks_exact(size).take(count).map(|chunk| {
        let mut low = [0; 8];
        let ordered: &mut dyn Iterator<Item = &u8> =
            if big_endian { &mut chunk.iter().rev() } else { &mut chunk.iter() };
        for (to, from) in low.iter_mut().zip(ordered) {
            *to = *from;
        }
        low
    });
    let unused = 64 - 8 * size as u32;
    let shape: Vec<usize> = if header.fortran_order {
        header.shape.iter().rev().copied().collect()
    } else {
        header.shape.clone()
    };
    let low4 = |low: [u8; 8]| [low[0], low[1], low[2], low[3]];
    let device = &Device::Cpu;
    let tensor = match kind {
        "f8" => Tensor::from_iter(numbers.map(f64::from_le_bytes), device)?,
        "f4" => Tensor::from_iter(numbers.map(|low| f32::from_le_bytes(low4(low))), device)?,
        "f2" => {
            let half = |low: [u8; 8]| half::f16::from_le_bytes([low[0], low[1]]).to_f32();
            Tensor::from_iter(numbers.map(half), device)?
        }
        _ if kind.starts_with(['i', 'u', 'b']) => {
            let signed = kind.starts_with('i');
            let whole = |low: [u8; 8]| match signed {
                // The sign stands in the highest bit that is used.
                true => (i64::from_le_bytes(low) << unused) >> unused,
                false => i64::try_from(u64::from_le_bytes(low)).unwrap_or(i64::MAX),
            };
            Tensor::from_iter(numbers.map(whole), device)?
        }
        _ => return Err(unknown()),
    };
    let tensor = tensor.reshape(shape)?;
    match header.fortran_order {
        true => tensor.permute((0..header.shape.len()).rev().collect::<Vec<_>>())?.contiguous(),
        false => Ok(tensor),
    }
}

/// Reads the arrays `x`, or `x0`, `x1`, …, or those with the names of the model's inputs.
pub(super) fn read(path: &Path, inputs: &[String]) -> anyhow::Result<Arrays> {
    let shown = path.display();
    let mut tensors: BTreeMap<String, Tensor> = match format(path) {
        Some(Format::Npz) => {
            let npz = NpzTensors::new(path).with_context(|| format!("{shown}: cannot be read"))?;
            let names: Vec<String> = npz.names().into_iter().cloned().collect();
            let read = |name: String| {
                let tensor = npz.get(&name).or_else(|error| {
                    let bytes = npz::member(path, &name).map_err(|_| error)?;
                    unusual(&bytes).map(Some)
                });
                let tensor = tensor.with_context(|| format!("{shown}: {name}"))?;
                Ok(tensor.map(|tensor| (name, tensor)))
            };
            names.into_iter().filter_map(|name| read(name).transpose()).collect::<anyhow::Result<_>>()?
        }
        Some(Format::Npy) => {
            let tensor = Tensor::read_npy(path).or_else(|_| unusual(&std::fs::read(path)?));
            let tensor = tensor.with_context(|| format!("{shown}: cannot be read"))?;
            BTreeMap::from([("x".into(), tensor)])
        }
        Some(Format::Safetensors) => candle_core::safetensors::load(path, &Device::Cpu)
            .with_context(|| format!("{shown}: cannot be read"))?
            .into_iter()
            .collect(),
        _ => return table(path),
    };
    let numbered = |i: usize| format!("x{i}");
    let names: Vec<String> = match inputs.len() {
        1 if tensors.contains_key("x") => vec!["x".into()],
        1 if tensors.len() == 1 => tensors.keys().cloned().collect(),
        count if (0..count).all(|i| tensors.contains_key(&numbered(i))) => (0..count).map(numbered).collect(),
        _ => inputs.to_vec(),
    };
    let found: Vec<&str> = tensors.keys().map(String::as_str).take(8).collect();
    let found = found.join(", ");
    names
        .iter()
        .map(|name| {
            tensors.remove(name).with_context(|| {
                let (missing, needed) = match inputs.len() {
                    1 => (format!("array {name}"), "needed is x".to_string()),
                    count => {
                        let last = count - 1;
                        let all = format!("arrays x0 to x{last}");
                        (all, format!("which are, in this order, the model's inputs {}", inputs.join(", ")))
                    }
                };
                let found = if found.is_empty() { "nothing" } else { found.as_str() };
                format!("{shown}: holds no {missing}; {needed}; found {found}")
            })
        })
        .collect::<anyhow::Result<_>>()
        .map(Arrays::Tensors)
}

/// Rows of numbers, separated by commas, semicolons or tabs; a first line of names is passed over.
fn table(path: &Path) -> anyhow::Result<Arrays> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read"))?;
    let separator = [b'\t', b';', b',']
        .into_iter()
        .find(|&c| text.lines().next().is_some_and(|line| line.contains(char::from(c))));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut rows, mut columns, mut values) = (0, 0, Vec::new());
    for (number, record) in reader.records().enumerate() {
        let record = record.with_context(|| format!("{shown}: cannot be read"))?;
        let numbers: Result<Vec<f32>, _> = record.iter().map(str::parse::<f32>).collect();
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(_) if number == 0 => continue,
            Err(_) => anyhow::bail!("{shown}, line {}: expected numbers only", number + 1),
        };
        if rows > 0 && numbers.len() != columns {
            anyhow::bail!(
                "{shown}, line {}: {} numbers, the lines before have {columns}",
                number + 1,
                numbers.len()
            );
        }
        columns = numbers.len();
        rows += 1;
        values.extend(numbers);
    }
    if rows == 0 {
        anyhow::bail!("{shown}: holds no numbers");
    }
    Ok(Arrays::Table { rows, columns, values })
}

/// The names of a model's answers: `y`, or `y0`, `y1`, ….
pub(super) fn names(outputs: usize) -> Vec<String> {
    match outputs {
        1 => vec!["y".into()],
        outputs => (0..outputs).map(|i| format!("y{i}")).collect(),
    }
}

/// Writes a model's answers.
pub(super) fn write(path: &Path, outputs: &[Tensor]) -> anyhow::Result<()> {
    let names = names(outputs.len());
    let single = || match outputs {
        [one] => Ok(one),
        _ => anyhow::bail!(
            "{}: the model has {} outputs; name a .npz or .safetensors, which can hold them all",
            path.display(),
            outputs.len()
        ),
    };
    let bytes = match format(path) {
        Some(Format::Npz) => {
            let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let stored = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored)
                .last_modified_time(zip::DateTime::default());
            for (name, output) in names.iter().zip(outputs) {
                archive.start_file(format!("{name}.npy"), stored)?;
                archive.write_all(&npy(output)?)?;
            }
            archive.finish()?.into_inner()
        }
        Some(Format::Npy) => npy(single()?)?,
        Some(Format::Safetensors) => {
            let tensors = names.into_iter().zip(outputs.iter().cloned()).collect();
            to_safetensors(&tensors, &BTreeMap::new())?
        }
        _ => rows(single()?)?
            .iter()
            .flat_map(|row| {
                let row: Vec<String> = row.iter().map(f32::to_string).collect();
                format!("{}\n", row.join(",")).into_bytes()
            })
            .collect(),
    };
    Ok(write_atomic(path, &bytes)?)
}

/// A tensor sample by sample.
pub(super) fn rows(tensor: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
    let samples = tensor.dim(0)?;
    let size = tensor.elem_count() / samples.max(1);
    Ok(tensor.to_dtype(DType::F32)?.reshape((samples, size))?.to_vec2()?)
}

/// A `.npy` of little-endian f32.
fn npy(tensor: &Tensor) -> anyhow::Result<Vec<u8>> {
    let axes: Vec<String> = tensor.dims().iter().map(|axis| format!("{axis},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", axes.join(" "));
    // The values begin at a multiple of 64 bytes, the line before them ends with a newline.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len())?.to_le_bytes());
    bytes.extend(header.into_bytes());
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}
