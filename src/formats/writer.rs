//! Arrays written some rows at a time, so that none of them has to be in memory.

use super::file::Staging;
use super::format::{ArrayHead, Format, Sink};
use crate::{Error, Result};
use candle_core::Tensor;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file of arrays that is written as their rows come, under a temporary name beside its own: it is whole in the end, or not
/// there.
///
/// A file holds one array after the other. The rows of the first are written where they belong; those of the others wait in
/// temporary files beside it.
pub struct ArrayWriter {
    format: &'static dyn Format,
    arrays: Vec<ArrayHead>,
    /// The numbers of each array that are written.
    counts: Vec<usize>,
    /// The arrays as they follow each other in the file.
    order: Vec<usize>,
    sink: Box<dyn Sink>,
    /// Where the rows of an array wait; of the first, nowhere.
    waiting: Vec<Option<BufWriter<File>>>,
    staging: Staging,
}

impl ArrayWriter {
    /// Begins a file of these arrays.
    pub(super) fn begin(path: &Path, format: &'static dyn Format, arrays: Vec<ArrayHead>) -> Result<Self> {
        let staging = Staging::begin(path)?;
        let order = format.order(&arrays);
        let out = BufWriter::with_capacity(1 << 20, staging.file()?);
        let mut sink = format.sink(out, &arrays)?;
        if let Some(first) = order.first() {
            sink.begin(&arrays[*first]).map_err(|error| staging.fail(error))?;
        }
        let waiting = (0..arrays.len()).map(|index| {
            if order.first() == Some(&index) {
                return Ok(None);
            }
            let file = tempfile::tempfile_in(staging.folder()).map_err(|error| staging.fail(error))?;
            Ok(Some(BufWriter::with_capacity(1 << 18, file)))
        });
        let waiting = waiting.collect::<Result<_>>()?;
        Ok(Self { format, counts: vec![0; arrays.len()], arrays, order, sink, waiting, staging })
    }

    /// Writes the next rows of each array.
    ///
    /// # Errors
    /// [`Error::Argument`] for rows of another shape or type than was said; [`Error::File`] where they cannot be written.
    pub fn append(&mut self, rows: &[Tensor]) -> Result<()> {
        if rows.len() != self.arrays.len() {
            let what = format!("{} arrays, expected {}", rows.len(), self.arrays.len());
            return Err(Error::argument("rows", what));
        }
        for (index, (rows, array)) in rows.iter().zip(&self.arrays).enumerate() {
            let (found, own) = (rows.dims(), array.shape.as_slice());
            let count = self.counts[index] + rows.elem_count();
            let same = found.len() == own.len() && found.get(1..) == own.get(1..);
            if !same || rows.dtype() != array.dtype || count > array.count() {
                let what = format!("rows of shape {found:?} do not go on an array of shape {own:?}");
                return Err(Error::argument(&array.name, what));
            }
            let (sink, waiting, staging) = (&mut self.sink, &mut self.waiting[index], &self.staging);
            self.format.encode(rows, &mut |bytes| {
                let written = match waiting {
                    None => sink.write(bytes),
                    Some(file) => file.write_all(bytes),
                };
                written.map_err(|error| staging.fail(error))
            })?;
            self.counts[index] = count;
        }
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Argument`] where rows are missing; [`Error::File`] where the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if let Some((array, count)) =
            self.arrays.iter().zip(&self.counts).find(|(array, count)| array.count() != **count)
        {
            let what = format!("{count} numbers do not fill the shape {:?}", array.shape);
            return Err(Error::argument(&array.name, what));
        }
        self.end().map_err(|error| self.staging.fail(error))?;
        self.sink.finish().map_err(|error| self.staging.fail(error))?;
        self.staging.end()?.rename()
    }

    /// Puts those that wait behind the first.
    fn end(&mut self) -> std::io::Result<()> {
        let mut part = vec![0; 1 << 20];
        for &index in self.order.iter().skip(1) {
            let Some(waiting) = self.waiting[index].take() else { continue };
            self.sink.begin(&self.arrays[index])?;
            let mut file = waiting.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            loop {
                match file.read(&mut part)? {
                    0 => break,
                    count => self.sink.write(&part[..count])?,
                }
            }
        }
        Ok(())
    }
}

/// A file that holds one array after the other, with nothing to be changed afterwards.
pub(super) struct Plain {
    pub out: BufWriter<File>,
    /// What stands before the numbers of an array.
    pub head: fn(&ArrayHead) -> Vec<u8>,
}

impl Sink for Plain {
    fn begin(&mut self, array: &ArrayHead) -> std::io::Result<()> {
        self.out.write_all(&(self.head)(array))
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use crate::formats::archive::archive;
    use crate::formats::{ArrayHead, begin, npy, write};
    use crate::{Error, Result};
    use candle_core::{DType, Device, Tensor};

    fn head(name: &str, tensor: &Tensor) -> ArrayHead {
        ArrayHead { name: name.into(), dtype: tensor.dtype(), shape: tensor.dims().to_vec() }
    }

    /// Rows that come a few at a time make the file that the whole arrays make.
    #[test]
    fn rows_in_pieces_make_the_same_file() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let device = &Device::Cpu;
        let a = Tensor::rand(-1f32, 1.0, (70, 3), device)?;
        let b = Tensor::rand(-1f64, 1.0, (70, 2, 2), device)?;
        for (suffix, arrays) in [
            ("npz", vec![("a", &a), ("b", &b)]),
            ("safetensors", vec![("a", &a), ("b", &b)]),
            ("npy", vec![("a", &b)]),
            ("csv", vec![("a", &a)]),
        ] {
            let (whole, parts) = (
                folder.path().join(format!("whole.{suffix}")),
                folder.path().join(format!("parts.{suffix}")),
            );
            write(&whole, &arrays)?;
            let mut writer = begin(&parts, arrays.iter().map(|(name, tensor)| head(name, tensor)).collect())?;
            for (from, count) in [(0, 1), (1, 40), (41, 29)] {
                let rows = arrays.iter().map(|(_, tensor)| tensor.narrow(0, from, count));
                writer.append(&rows.collect::<candle_core::Result<Vec<_>>>()?)?;
                assert!(!parts.exists());
            }
            writer.finish()?;
            let [whole, parts] = [&whole, &parts].map(|path| std::fs::read(path).expect("a file"));
            assert!(whole == parts, "{suffix}");
            if suffix == "npz" {
                let member = |(name, tensor): &(&str, &Tensor)| {
                    let mut bytes = npy::header(tensor.dims());
                    npy::put_numbers(tensor, &mut |more| {
                        bytes.extend_from_slice(more);
                        Ok(())
                    })?;
                    Ok((format!("{name}.npy"), bytes))
                };
                assert!(whole == archive(&arrays.iter().map(member).collect::<Result<Vec<_>>>()?)?);
            }
        }
        Ok(())
    }

    #[test]
    fn rows_that_do_not_belong_are_refused() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npz");
        let x = Tensor::zeros((4, 3), DType::F32, &Device::Cpu)?;
        let refused = |rows: &[Tensor], finish: bool| {
            let mut writer = begin(&path, vec![head("x", &x)])?;
            let appended = writer.append(rows);
            let result = if finish { writer.finish() } else { appended };
            Ok::<_, Error>(result.expect_err("refused").to_string())
        };
        assert!(refused(&[x.narrow(1, 0, 2)?], false)?.contains("do not go on an array of shape [4, 3]"));
        assert!(refused(&[x.to_dtype(DType::F64)?], false)?.contains("do not go on"));
        assert!(refused(&[Tensor::cat(&[&x, &x], 0)?], false)?.contains("do not go on"));
        assert!(refused(&[], false)?.contains("0 arrays, expected 1"));
        assert!(refused(&[x.narrow(0, 0, 3)?], true)?.contains("9 numbers do not fill the shape [4, 3]"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        Ok(())
    }
}
