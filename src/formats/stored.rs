//! An array whose numbers stay where they are, in a mapped file or in memory as the file has them, until they are asked for.

use super::mapped::Map;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// The type of an array's numbers in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole numbers.
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// Floats.
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// The bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether numbers may have a fraction.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

/// What numbers of a file are made into.
pub(crate) trait Number: Copy {
    fn of_f64(value: f64) -> Self;
    fn of_f32(value: f32) -> Self;
    fn of_i64(value: i64) -> Self;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            #[inline(always)]
            fn of_f64(value: f64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn of_f32(value: f32) -> Self {
                value as Self
            }
            #[inline(always)]
            fn of_i64(value: i64) -> Self {
                value as Self
            }
        }
    )*};
}

number!(f32, f64, u8, u32, i64);

/// Bytes that stand still: part of a map, or of memory.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum Owner {
    Map(Arc<Map>),
    Memory(Arc<Vec<u8>>),
}

impl Bytes {
    /// Part of a file; nothing where the file is shorter.
    pub fn of_map(map: &Arc<Map>, range: Range<usize>) -> Option<Self> {
        map.bytes().get(range.clone())?;
        Some(Self { owner: Owner::Map(map.clone()), range })
    }

    /// Bytes in memory.
    pub fn of_memory(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), owner: Owner::Memory(Arc::new(bytes)) }
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        let all = match &self.owner {
            Owner::Map(map) => map.bytes(),
            Owner::Memory(bytes) => bytes,
        };
        all.get(self.range.clone()).unwrap_or_default()
    }

    /// Part of these bytes; nothing where they are fewer.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        self.get().get(range.clone())?;
        let from = self.range.start;
        Some(Self { owner: self.owner.clone(), range: from + range.start..from + range.end })
    }

    /// Says that the pages of a passage are done with, once it has come to the end of a stretch of many.
    pub fn pass(&self, range: Range<usize>) {
        const STRETCH: usize = 16 << 20;
        if let Owner::Map(map) = &self.owner {
            let [from, to] = [range.start, range.end].map(|at| (self.range.start + at) / STRETCH * STRETCH);
            map.release(from..to);
            if range.end == self.range.len() {
                map.release(to..self.range.end);
            }
        }
    }
}

/// An array whose numbers are read from its file when they are asked for, a few rows at a time or all. A clone shares them.
///
/// A `.npy`, an uncompressed `.npz` and a `.safetensors` are mapped into memory, and the file must not be cut or written over
/// while the array is in use. What is compressed, or in Fortran's order, is in memory.
#[derive(Clone, Debug)]
pub struct StoredArray {
    content: Bytes,
    kind: Kind,
    /// Whether the high byte of a number comes first.
    is_big_endian: bool,
    shape: Vec<usize>,
}

impl StoredArray {
    /// Numbers of this type, in C's order; they fill the shape.
    pub(super) fn new(
        content: Bytes,
        kind: Kind,
        is_big_endian: bool,
        shape: Vec<usize>,
    ) -> std::result::Result<Self, String> {
        let count = shape.iter().try_fold(1_usize, |count, &axis| count.checked_mul(axis));
        match count.and_then(|count| count.checked_mul(kind.size())) {
            Some(length) if length == content.get().len() => Ok(Self { content, kind, is_big_endian, shape }),
            _ => Err(format!("the array ends too early for its shape {shape:?}")),
        }
    }

    /// The numbers of a tensor, as f32.
    pub(super) fn of_tensor(tensor: &Tensor) -> Result<Self> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let content = Bytes::of_memory(bytes);
        Ok(Self { content, kind: Kind::F32, is_big_endian: false, shape: tensor.dims().to_vec() })
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of numbers.
    pub(crate) fn count(&self) -> usize {
        self.content.get().len() / self.kind.size()
    }

    /// The numbers' type.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The same numbers in another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Self> {
        let found = &self.shape;
        Self::new(self.content.clone(), self.kind, self.is_big_endian, shape.clone())
            .map_err(|_| Error::Data(format!("an array of shape {found:?} has no shape {shape:?}")))
    }

    /// Puts these numbers, counted in C's order, at the end of `out`.
    pub(crate) fn extend<T: Number>(&self, range: Range<usize>, out: &mut Vec<T>) {
        let size = self.kind.size();
        let bytes = self.content.get().get(range.start * size..range.end * size).unwrap_or_default();
        let big = self.is_big_endian;
        match self.kind {
            Kind::U8 => out.extend(bytes.iter().map(|&byte| T::of_i64(byte.into()))),
            Kind::I8 => out.extend(bytes.iter().map(|&byte| T::of_i64((byte as i8).into()))),
            Kind::U16 => each(bytes, big, out, |low| T::of_i64(u16::from_le_bytes(low).into())),
            Kind::I16 => each(bytes, big, out, |low| T::of_i64(i16::from_le_bytes(low).into())),
            Kind::U32 => each(bytes, big, out, |low| T::of_i64(u32::from_le_bytes(low).into())),
            Kind::I32 => each(bytes, big, out, |low| T::of_i64(i32::from_le_bytes(low).into())),
            Kind::U64 => each(bytes, big, out, |low| {
                T::of_i64(i64::try_from(u64::from_le_bytes(low)).unwrap_or(i64::MAX))
            }),
            Kind::I64 => each(bytes, big, out, |low| T::of_i64(i64::from_le_bytes(low))),
            Kind::F16 => each(bytes, big, out, |low| T::of_f32(half::f16::from_le_bytes(low).to_f32())),
            Kind::Bf16 => each(bytes, big, out, |low| T::of_f32(half::bf16::from_le_bytes(low).to_f32())),
            Kind::F32 => each(bytes, big, out, |low| T::of_f32(f32::from_le_bytes(low))),
            Kind::F64 => each(bytes, big, out, |low| T::of_f64(f64::from_le_bytes(low))),
        }
    }

    /// Says that one who reads the numbers in order is done with these.
    pub(crate) fn pass(&self, range: Range<usize>) {
        let size = self.kind.size();
        self.content.pass(range.start * size..range.end * size);
    }

    /// Goes over all numbers in order, some thousands at a time; `visit` is given the place of the first.
    pub(crate) fn try_for_each_part<T: Number, E>(
        &self,
        mut visit: impl FnMut(usize, &[T]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        const PART: usize = 1 << 14;
        let count = self.count();
        let mut part = Vec::with_capacity(PART.min(count));
        for from in (0..count).step_by(PART) {
            let to = count.min(from + PART);
            part.clear();
            self.extend(from..to, &mut part);
            visit(from, &part)?;
            self.pass(from..to);
        }
        Ok(())
    }

    /// All of it, as a tensor: floats of 64 bits stay what they are, other floats are f32, bytes and truth values u8, other
    /// whole numbers i64.
    ///
    /// # Errors
    /// Candle's own.
    pub fn tensor(&self) -> Result<Tensor> {
        fn of<T: Number + candle_core::WithDType>(array: &StoredArray) -> candle_core::Result<Tensor> {
            let mut values = Vec::with_capacity(array.count());
            array.extend(0..array.count(), &mut values);
            Tensor::from_vec::<_, T>(values, array.shape.as_slice(), &Device::Cpu)
        }
        Ok(match self.kind {
            Kind::F64 => of::<f64>(self)?,
            kind if kind.is_float() => of::<f32>(self)?,
            Kind::U8 => of::<u8>(self)?,
            _ => of::<i64>(self)?,
        })
    }
}

/// Numbers of N bytes, each made from its bytes with the low one first.
#[inline(always)]
fn each<const N: usize, T>(
    bytes: &[u8],
    is_big_endian: bool,
    out: &mut Vec<T>,
    number: impl Fn([u8; N]) -> T,
) {
    let numbers = bytes.as_chunks::<N>().0.iter();
    match is_big_endian {
        false => out.extend(numbers.map(|&low| number(low))),
        true => out.extend(numbers.map(|&(mut low)| {
            low.reverse();
            number(low)
        })),
    }
}

/// Numbers of `size` bytes that stand with the first axis running fastest, in C's order.
pub(super) fn in_c_order(bytes: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    // How far apart neighbours along each axis stand.
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for &axis in shape {
        strides.push(stride);
        stride = stride.saturating_mul(axis);
    }
    let mut ordered = Vec::with_capacity(bytes.len());
    let mut place = vec![0; shape.len()];
    let mut at = 0;
    while ordered.len() < bytes.len() {
        ordered.extend_from_slice(bytes.get(at..at + size).unwrap_or_default());
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            at += strides[axis];
            if place[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            place[axis] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_are_what_they_were() {
        let array = |kind, big, bytes: Vec<u8>| {
            let count = bytes.len() / Kind::size(kind);
            StoredArray::new(Bytes::of_memory(bytes), kind, big, vec![count]).expect("an array")
        };
        let values = |array: &StoredArray| {
            let mut values = vec![];
            array.extend::<f64>(0..array.count(), &mut values);
            values
        };
        assert_eq!(values(&array(Kind::U8, false, vec![0, 255])), [0.0, 255.0]);
        assert_eq!(values(&array(Kind::I8, false, vec![0, 255])), [0.0, -1.0]);
        for big in [false, true] {
            let order = |mut bytes: Vec<u8>| {
                if big {
                    bytes.reverse();
                }
                bytes
            };
            let of = |kind, bytes: &[u8]| values(&array(kind, big, order(bytes.to_vec())))[0];
            assert_eq!(of(Kind::U16, &65_535_u16.to_le_bytes()), 65_535.0);
            assert_eq!(of(Kind::I16, &(-2_i16).to_le_bytes()), -2.0);
            assert_eq!(of(Kind::U32, &u32::MAX.to_le_bytes()), 4_294_967_295.0);
            assert_eq!(of(Kind::I32, &(-3_i32).to_le_bytes()), -3.0);
            assert_eq!(of(Kind::U64, &u64::MAX.to_le_bytes()), i64::MAX as f64);
            assert_eq!(of(Kind::I64, &(-4_i64).to_le_bytes()), -4.0);
            assert_eq!(of(Kind::F16, &half::f16::from_f32(0.5).to_le_bytes()), 0.5);
            assert_eq!(of(Kind::Bf16, &half::bf16::from_f32(-0.5).to_le_bytes()), -0.5);
            assert_eq!(of(Kind::F32, &1.5_f32.to_le_bytes()), 1.5);
            assert_eq!(of(Kind::F64, &1e300_f64.to_le_bytes()), 1e300);
        }
    }

    #[test]
    fn fortrans_order_is_turned() {
        // Column by column of ((1, 2, 3), (4, 5, 6)).
        assert_eq!(in_c_order(&[1, 4, 2, 5, 3, 6], 1, &[2, 3]), [1, 2, 3, 4, 5, 6]);
        let bytes: Vec<u8> = (0..48).collect();
        let turned = in_c_order(&bytes, 2, &[2, 3, 4]);
        for (i, j, k) in [(0, 0, 0), (1, 2, 3), (0, 2, 1), (1, 0, 2)] {
            let (c, f) = ((i * 3 + j) * 4 + k, i + 2 * (j + 3 * k));
            assert_eq!(turned[2 * c..2 * c + 2], bytes[2 * f..2 * f + 2]);
        }
        assert!(in_c_order(&[], 4, &[0, 1 << 60]).is_empty());
    }
}
