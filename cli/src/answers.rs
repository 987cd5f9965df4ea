//! Where a model's answers go, as they come batch by batch: a file, a table or JSON on standard output.

use super::output::Output;
use anyhow::{Context, bail};
use candle_core::{DType, Tensor};
use candle_recurrent::formats::{self, ArrayHead, ArrayWriter};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;

/// The answers to samples. No more than a batch of them is in memory: text that cannot be printed yet waits in temporary
/// files.
pub(super) struct Answers<'a> {
    out: Option<&'a Path>,
    as_json: bool,
    /// How many samples there will be, where that is known.
    samples: Option<usize>,
    /// The samples that are answered.
    answered: usize,
    /// The outputs, once the first batch has come; where it is not known how many samples there will be, without them.
    outputs: Vec<ArrayHead>,
    file: Option<ArrayWriter>,
    /// The text of each output that cannot be printed as it comes: of those after the first, and of the first one where the
    /// number of samples stands before it and is not known.
    waiting: Vec<Option<BufWriter<File>>>,
}

/// The names of a model's answers: `y`, or `y0`, `y1`, ….
fn names(outputs: usize) -> Vec<String> {
    match outputs {
        1 => vec!["y".into()],
        outputs => (0..outputs).map(|i| format!("y{i}")).collect(),
    }
}

impl<'a> Answers<'a> {
    pub(super) fn new(out: Option<&'a Path>, as_json: bool) -> Self {
        Self { out, as_json, samples: None, answered: 0, outputs: vec![], file: None, waiting: vec![] }
    }

    /// Says how many samples there will be.
    pub(super) fn expect(&mut self, samples: usize) {
        self.samples = Some(samples);
    }

    /// Whether numbers are shown on standard output.
    fn is_shown(&self) -> bool {
        self.as_json || self.out.is_none()
    }

    /// Takes the outputs of a model for the next samples, as many as `samples`.
    pub(super) fn add(
        &mut self,
        outputs: &[Tensor],
        samples: usize,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        if self.outputs.is_empty() {
            self.begin(outputs, samples, output)?;
        }
        if let Some(file) = &mut self.file {
            file.append(outputs)?;
        }
        if self.is_shown() {
            for (index, tensor) in outputs.iter().enumerate() {
                let text = if self.as_json {
                    json_rows(tensor, self.answered)
                } else {
                    rows(tensor, self.answered)
                }?;
                match &mut self.waiting[index] {
                    None => output.text(&text)?,
                    Some(file) => file.write_all(text.as_bytes()).context(WAITING)?,
                }
            }
        }
        self.answered += samples;
        Ok(())
    }

    /// Learns what the outputs are.
    fn begin(&mut self, outputs: &[Tensor], samples: usize, output: &mut Output) -> anyhow::Result<()> {
        for (name, tensor) in names(outputs.len()).into_iter().zip(outputs) {
            let shape = match (tensor.dims(), self.samples) {
                (whole, Some(all)) if samples == all => whole.to_vec(),
                ([rows, row @ ..], all) if *rows == samples => [&[all.unwrap_or(0)], row].concat(),
                (other, Some(all)) => bail!(
                    "{name} of {samples} samples has shape {other:?}, which is not a row a sample; run all at once with \
                     --batch-size {all}"
                ),
                (other, None) => {
                    bail!("{name} of {samples} samples has shape {other:?}, which is not a row a sample")
                }
            };
            self.outputs.push(ArrayHead { name, dtype: tensor.dtype(), shape });
        }
        if let Some(path) = self.out {
            self.file = Some(formats::begin(path, self.outputs.clone())?);
        }
        if self.is_shown() {
            let first_waits = !self.as_json && self.samples.is_none();
            for index in 0..self.outputs.len() {
                let waits = index > 0 || first_waits;
                let file = waits.then(tempfile::tempfile).transpose().context(WAITING)?;
                self.waiting.push(file.map(BufWriter::new));
            }
            if let (Some(first), false) = (self.outputs.first(), first_waits) {
                output.text(&self.heading(0, first))?;
            }
        }
        Ok(())
    }

    /// What stands before the rows of an output.
    fn heading(&self, index: usize, head: &ArrayHead) -> String {
        let (name, shape) = (&head.name, &head.shape);
        match (self.as_json, index, shape.len()) {
            (false, ..) => format!("{name} {shape:?}\n"),
            (true, 0, 0) => format!("{{\n  \"{name}\": "),
            (true, 0, _) => format!("{{\n  \"{name}\": ["),
            (true, _, 0) => format!(",\n  \"{name}\": "),
            (true, ..) => format!(",\n  \"{name}\": ["),
        }
    }

    /// What stands after them.
    fn ending(&self, head: &ArrayHead) -> &'static str {
        match (self.as_json, head.shape.first()) {
            (false, _) | (true, None) => "",
            (true, Some(0)) => "]",
            (true, Some(_)) => "\n  ]",
        }
    }

    /// All samples are answered: ends the file, or what is printed.
    pub(super) fn finish(mut self, output: &mut Output) -> anyhow::Result<()> {
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        if !self.is_shown() {
            if let Some(path) = self.out {
                let shapes = self.outputs.iter().map(|head| format!("{} {:?}", head.name, head.shape));
                output.line(format_args!("{}: {}", path.display(), shapes.collect::<Vec<_>>().join(", ")))?;
            }
            return Ok(());
        }
        if self.samples.is_none() {
            let counts = self.outputs.iter_mut().filter_map(|head| head.shape.first_mut());
            counts.for_each(|count| *count = self.answered);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (index, (head, file)) in self.outputs.iter().zip(waiting).enumerate() {
            if let Some(file) = file {
                output.text(&self.heading(index, head))?;
                copy(file, output)?;
            }
            output.text(self.ending(head))?;
        }
        if self.as_json { output.text("\n}\n") } else { Ok(()) }
    }
}

/// What is said where text cannot wait.
const WAITING: &str = "the answers cannot be kept in a temporary file";

/// Prints a text that has waited.
fn copy(file: BufWriter<File>, output: &mut Output) -> anyhow::Result<()> {
    let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error).context(WAITING)?;
    file.rewind().context(WAITING)?;
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part).context(WAITING)? {
            0 => return Ok(()),
            count => output.bytes(&part[..count])?,
        }
    }
}

/// The numbers of a tensor.
fn values(tensor: &Tensor) -> anyhow::Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// A line a sample, as many numbers as one can read; the samples before are counted.
fn rows(tensor: &Tensor, before: usize) -> anyhow::Result<String> {
    const SHOWN: usize = 8;
    let size = tensor.elem_count() / tensor.dim(0)?.max(1);
    let mut text = String::new();
    for (index, row) in values(tensor)?.chunks(size.max(1)).enumerate() {
        write!(text, "{:>6}  ", before + index)?;
        for (place, value) in row.iter().take(SHOWN).enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(text, "{space}{value:>10.5}")?;
        }
        if row.len() > SHOWN {
            write!(text, "  … ({} in all)", row.len())?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The rows of a tensor as those of a JSON list, one that is a value of an object; `before` others stand before them.
fn json_rows(tensor: &Tensor, before: usize) -> anyhow::Result<String> {
    let values = values(tensor)?;
    let Some((&count, shape)) = tensor.dims().split_first() else {
        return Ok(serde_json::to_string(&values.first())?);
    };
    let size = shape.iter().product::<usize>();
    let mut text = String::new();
    for index in 0..count {
        let values = values.get(index * size..(index + 1) * size).unwrap_or_default();
        text.push_str(if before + index == 0 { "\n    " } else { ",\n    " });
        text.push_str(&serde_json::to_string_pretty(&Nested { values, shape })?.replace('\n', "\n    "));
    }
    Ok(text)
}

/// Values as lists in lists, each with no more digits than f32 has.
struct Nested<'a> {
    values: &'a [f32],
    shape: &'a [usize],
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shape.split_first() {
            None => self.values.first().serialize(serializer),
            Some((&count, shape)) => {
                let size = shape.iter().product::<usize>();
                let part = |i| self.values.get(i * size..(i + 1) * size).unwrap_or_default();
                serializer.collect_seq((0..count).map(|i| Nested { values: part(i), shape }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Batch by batch it is the JSON that serde_json makes of the whole.
    #[test]
    fn rows_in_pieces_are_the_json_of_the_whole() -> anyhow::Result<()> {
        let values: Vec<f32> = (0..24).map(|at| at as f32 / 7.0).collect();
        for shape in [vec![4, 6], vec![4, 3, 2], vec![24]] {
            let tensor = Tensor::from_slice(&values, shape.as_slice(), &Device::Cpu)?;
            let half = shape[0] / 2;
            let parts = [tensor.narrow(0, 0, half)?, tensor.narrow(0, half, half)?];
            let text = json_rows(&parts[0], 0)? + &json_rows(&parts[1], half)?;
            let whole = std::collections::BTreeMap::from([("y", Nested { values: &values, shape: &shape })]);
            assert_eq!(format!("{{\n  \"y\": [{text}\n  ]\n}}"), serde_json::to_string_pretty(&whole)?);
        }
        Ok(())
    }
}
