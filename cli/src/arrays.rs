//! Arrays in and out: NumPy's `.npz` and `.npy`, `.safetensors`, and tables of numbers.

use anyhow::{Context, anyhow, bail};
use candle_core::{DType, Device, Tensor};
use candle_recurrent::checkpoint::{to_safetensors, write_atomic};
use candle_recurrent::data::npz::{self, Header};
use candle_recurrent::text::read_text;
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
    format(&path).map(|_| path).ok_or_else(|| "give a .npz, .npy, .safetensors, .csv, .tsv or .txt".into())
}

/// Parses the path of a file of answers.
pub(super) fn answer_path(text: &str) -> Result<PathBuf, String> {
    let writes = |format| format != Format::Csv || text.to_lowercase().ends_with(".csv");
    match format(Path::new(text)) {
        Some(format) if writes(format) => Ok(text.into()),
        _ => Err("give a .npz, .npy, .safetensors or .csv".into()),
    }
}

/// What stands in a file of inputs.
pub(super) enum Arrays {
    /// One array for each of the model's inputs, in order.
    Tensors(Vec<Tensor>),
    /// Rows of numbers, whose shape the model decides.
    Table { rows: usize, columns: usize, values: Vec<f32> },
}

/// The array in the bytes of a `.npy`: in C's order or in Fortran's, as a transposed array or a table of pandas is saved,
/// with the low byte first or the high one. Memory is asked for by what is there, not by what the header says.
fn npy_tensor(bytes: &[u8]) -> anyhow::Result<Tensor> {
    let (header, whole) = Header::parse(bytes).map_err(anyhow::Error::msg)?;
    let unknown = || anyhow!("an array of type {}, expected floats or whole numbers", header.descr);
    let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
    let size = match kind {
        "i1" | "u1" | "b1" => 1,
        "i2" | "u2" | "f2" => 2,
        "i4" | "u4" | "f4" => 4,
        "i8" | "u8" | "f8" => 8,
        _ => return Err(unknown()),
    };
    let length = header.count().and_then(|count| count.checked_mul(size));
    let content = length
        .and_then(|length| whole.get(..length))
        .with_context(|| format!("the array ends too early for its shape {:?}", header.shape))?;
    // An empty array is refused where it is asked for.
    let rest = whole.len() - content.len();
    if rest > 0 && !content.is_empty() {
        bail!(
            "{rest} bytes follow the array of shape {:?}; save one array a file, or several in a .npz",
            header.shape
        );
    }
    // The bytes of each number, low byte first.
    let numbers = content.chunks_exact(size).map(|chunk| {
        let mut low = [0; 8];
        low[..size].copy_from_slice(chunk);
        if order == ">" {
            low[..size].reverse();
        }
        low
    });
    let low4 = |low: [u8; 8]| [low[0], low[1], low[2], low[3]];
    let device = &Device::Cpu;
    let tensor = match kind {
        "f8" => Tensor::from_iter(numbers.map(f64::from_le_bytes), device)?,
        "f4" => Tensor::from_iter(numbers.map(|low| f32::from_le_bytes(low4(low))), device)?,
        "f2" => {
            let half = |low: [u8; 8]| half::f16::from_le_bytes([low[0], low[1]]).to_f32();
            Tensor::from_iter(numbers.map(half), device)?
        }
        "u1" | "b1" => Tensor::from_slice(content, content.len(), device)?,
        _ => {
            let unused = 64 - 8 * size as u32;
            let signed = kind.starts_with('i');
            let whole = |low: [u8; 8]| match signed {
                // The sign stands in the highest bit that is used.
                true => (i64::from_le_bytes(low) << unused) >> unused,
                false => i64::try_from(u64::from_le_bytes(low)).unwrap_or(i64::MAX),
            };
            Tensor::from_iter(numbers.map(whole), device)?
        }
    };
    if !header.fortran_order {
        return Ok(tensor.reshape(header.shape)?);
    }
    let axes: Vec<usize> = (0..header.shape.len()).rev().collect();
    let reversed: Vec<usize> = header.shape.into_iter().rev().collect();
    Ok(tensor.reshape(reversed)?.permute(axes)?.contiguous()?)
}

/// A file with arrays, of which only those that are asked for are read.
enum Opened {
    Npz(Vec<String>),
    Held(BTreeMap<String, Tensor>),
}

impl Opened {
    fn new(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let shown = path.display();
        let cannot = || format!("{shown}: cannot be read");
        Ok(match format {
            Some(Format::Npz) => Self::Npz(npz::names(path)?),
            Some(Format::Npy) => {
                let bytes = std::fs::read(path).with_context(cannot)?;
                Self::Held(BTreeMap::from([("x".into(), npy_tensor(&bytes).with_context(cannot)?)]))
            }
            _ => {
                let tensors = candle_core::safetensors::load(path, &Device::Cpu).with_context(cannot)?;
                Self::Held(tensors.into_iter().collect())
            }
        })
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Npz(names) => names.iter().map(String::as_str).collect(),
            Self::Held(tensors) => tensors.keys().map(String::as_str).collect(),
        }
    }

    fn get(&self, path: &Path, name: &str) -> anyhow::Result<Tensor> {
        let shown = path.display();
        let tensor = match self {
            Self::Npz(_) => {
                npy_tensor(&npz::member(path, name)?).with_context(|| format!("{shown}: {name}"))?
            }
            Self::Held(tensors) => {
                tensors.get(name).cloned().with_context(|| format!("{shown}: holds no array {name}"))?
            }
        };
        if tensor.elem_count() == 0 {
            // One axis may be as long as it likes beside an empty one: nothing is to walk along it.
            bail!("{shown}: {name} holds no numbers, its shape being {:?}", tensor.dims());
        }
        Ok(tensor)
    }
}

/// Whether an array's name is that of an input: `x`, `x0`, `x1`, ….
fn is_input_name(name: &str) -> bool {
    name.strip_prefix('x').is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Reads the arrays `x`, or `x0`, `x1`, …, or those with the names of the model's inputs.
pub(super) fn read(path: &Path, inputs: &[String]) -> anyhow::Result<Arrays> {
    if !path.try_exists().unwrap_or(true) {
        bail!("--input {}: there is no such file", path.display());
    }
    let format = format(path);
    if format == Some(Format::Csv) {
        return table(path);
    }
    let file = Opened::new(path, format)?;
    let (shown, found) = (path.display(), file.names());
    let numbered = |i: usize| format!("x{i}");
    let has = |name: &str| found.contains(&name);
    let names: Vec<String> = match inputs.len() {
        1 if has("x") => vec!["x".into()],
        1 if found.len() == 1 => found.iter().map(ToString::to_string).collect(),
        count if (0..count).all(|i| has(&numbered(i))) => (0..count).map(numbered).collect(),
        _ => inputs.to_vec(),
    };
    if inputs.len() > 1 && format == Some(Format::Npy) {
        bail!(
            "{shown}: holds one array, and the model has {} inputs ({}); give a .npz or .safetensors with x0, x1, …",
            inputs.len(),
            inputs.join(", ")
        );
    }
    if let Some(missing) = names.iter().find(|name| !has(name)) {
        let (missing, needed) = match inputs.len() {
            1 => (format!("array {missing}"), "needed is x".to_string()),
            count => {
                let order = inputs.join(", ");
                let needed = format!("which are, in this order, the model's inputs {order}");
                (format!("arrays x0 to x{}", count - 1), needed)
            }
        };
        let listed = found.iter().take(8).copied().collect::<Vec<_>>().join(", ");
        let listed = if listed.is_empty() { "nothing" } else { listed.as_str() };
        bail!("{shown}: holds no {missing}; {needed}; found {listed}");
    }
    // What looks like an input and is not used would be a mistake that nobody sees. Others, such as the answers y, are
    // not the model's business.
    let is_input = |name: &str| is_input_name(name) || inputs.iter().any(|input| input == name);
    let unused = found.iter().find(|name| is_input(name) && !names.iter().any(|used| used == *name));
    if let Some(unused) = unused {
        let takes = match inputs.len() {
            1 => "one input".to_string(),
            count => format!("{count} inputs"),
        };
        bail!(
            "{shown}: holds {unused} besides {}, and the model has {takes}; leave it out",
            names.join(", ")
        );
    }
    let tensors = names.iter().map(|name| file.get(path, name)).collect::<anyhow::Result<_>>()?;
    Ok(Arrays::Tensors(tensors))
}

/// Rows of numbers, separated by commas, semicolons or tabs. A first line that holds no number at all is one of names
/// and passed over.
fn table(path: &Path) -> anyhow::Result<Arrays> {
    let shown = path.display();
    let text = read_text(path)?;
    let separator = [b'\t', b';', b',']
        .into_iter()
        .find(|&c| text.trim_start().lines().next().is_some_and(|line| line.contains(char::from(c))));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut rows, mut columns, mut values) = (0, 0, Vec::new());
    for (index, record) in reader.records().enumerate() {
        let record = record.with_context(|| format!("{shown}: cannot be read"))?;
        // For messages only. The record's place is that of the blank lines before it.
        let line = || {
            let at = record.position().map_or(0, |place| place.byte() as usize);
            let (before, rest) = text.split_at_checked(at).unwrap_or_default();
            let blank = &rest[..rest.len() - rest.trim_start_matches(['\n', '\r']).len()];
            [before, blank].iter().map(|part| part.matches('\n').count()).sum::<usize>() + 1
        };
        if index == 0 && record.iter().all(|field| field.parse::<f32>().is_err()) {
            continue;
        }
        if rows > 0 && record.len() != columns {
            bail!("{shown}, line {}: {} numbers, the lines before have {columns}", line(), record.len());
        }
        for (field, column) in record.iter().zip(1..) {
            let Ok(number) = field.parse::<f32>() else {
                bail!("{shown}, line {}, field {column}: {field:?} is no number", line());
            };
            // Written as a number, it is one that f32 does not reach; `inf` may be meant.
            if number.is_infinite() && field.contains(|c: char| c.is_ascii_digit()) {
                let range = "beyond the range of f32, about 3.4e38";
                bail!("{shown}, line {}, field {column}: {field:?} is {range}", line());
            }
            values.push(number);
        }
        columns = record.len();
        rows += 1;
    }
    if rows == 0 {
        bail!("{shown}: holds no numbers");
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
        _ => bail!(
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
