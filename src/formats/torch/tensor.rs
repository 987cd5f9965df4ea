//! A tensor of a pickle: `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`.

use super::{Storages, shown};
use crate::formats::pickle::{Pickle, Reason, Value};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::collections::HashMap;

/// What the elements of a storage are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Element {
    Float(DType),
    /// Integers, flags and others that are no weights, of so many bytes.
    Other(usize),
}

impl Element {
    pub fn width(self) -> usize {
        match self {
            Self::Float(dtype) => dtype.size_in_bytes(),
            Self::Other(width) => width,
        }
    }
}

/// By the name of a storage's class (`FloatStorage`) or of a type (`float32`).
pub(super) fn element_type(name: &[u8]) -> Option<Element> {
    Some(match name {
        b"FloatStorage" | b"float32" => Element::Float(DType::F32),
        b"DoubleStorage" | b"float64" => Element::Float(DType::F64),
        b"HalfStorage" | b"float16" => Element::Float(DType::F16),
        b"BFloat16Storage" | b"bfloat16" => Element::Float(DType::BF16),
        b"LongStorage" | b"int64" | b"uint64" => Element::Other(8),
        b"IntStorage" | b"int32" | b"uint32" => Element::Other(4),
        b"ShortStorage" | b"int16" | b"uint16" => Element::Other(2),
        b"CharStorage" | b"ByteStorage" | b"BoolStorage" | b"UntypedStorage" | b"int8" | b"uint8"
        | b"bool" => Element::Other(1),
        _ => return None,
    })
}

/// The call that gives a tensor, whatever is around it: a parameter, or a class of somebody's own.
fn rebuilding<'a, 'p>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<(&'a [u8], &'p [Value<'a>])> {
    let (mut value, mut depth) = (value, 0);
    loop {
        let (module, name) = pickle.class(value)?;
        let arguments = pickle.arguments(value)?;
        match (module, name, arguments) {
            (b"torch._utils", b"_rebuild_parameter" | b"_rebuild_parameter_with_state", [data, ..])
                if depth < 8 =>
            {
                value = *data;
            }
            (b"torch._tensor", b"_rebuild_from_type_v2", [function, _, arguments, ..]) => {
                return Some((pickle.name(*function)?.1, pickle.items(*arguments)?));
            }
            (b"torch._utils", name, arguments) if name.starts_with(b"_rebuild") => {
                return Some((name, arguments));
            }
            _ => return None,
        }
        depth += 1;
    }
}

/// Whether a value is a tensor of any kind.
pub(super) fn is_tensor<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> bool {
    rebuilding(pickle, value).is_some()
}

/// Whether a tensor may be weights: more than one number, and no integers.
pub(super) fn may_be_weights<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> bool {
    View::of(pickle, value).map_or(true, |view| {
        matches!(view.element, Element::Float(_)) && !view.shape.iter().all(|&size| size == 1)
    })
}

/// Where a tensor's numbers are in a storage.
struct View<'a> {
    key: &'a str,
    element: Element,
    /// The elements that the pickle promises, from the first.
    first: usize,
    numel: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

const DAMAGED: &str = "is not put together as PyTorch does it; is the file damaged?";

fn whole(value: Value) -> Result<usize, Reason> {
    match value {
        Value::Int(number) => usize::try_from(number).map_err(|_| DAMAGED.into()),
        _ => Err(DAMAGED.into()),
    }
}

impl<'a> View<'a> {
    fn of(pickle: &Pickle<'a>, value: Value<'a>) -> Result<Self, Reason> {
        let (function, arguments) = rebuilding(pickle, value).ok_or(DAMAGED)?;
        let (&[storage, offset, size, stride], more) = match function {
            b"_rebuild_tensor" | b"_rebuild_tensor_v2" | b"_rebuild_tensor_v3" => {
                arguments.split_first_chunk::<4>().ok_or(DAMAGED)?
            }
            other => {
                let kind = shown(other);
                return Err(format!(
                    "is of a kind that is not read ({kind}); save it as an ordinary, dense tensor"
                ));
            }
        };
        // `requires_grad` and hooks; in the third version a type; then bits (negated, conjugated) that are as a rule not there.
        let bits = more.get(if function == b"_rebuild_tensor_v3" { 3 } else { 2 });
        if bits.is_some_and(|&bits| pickle.pairs(bits).is_some_and(|bits| !bits.is_empty())) {
            return Err("is a negated or conjugated view; save a copy of it (`.clone()`)".into());
        }
        let (class, key, numel, outer) = match pickle.persistent(storage).ok_or(DAMAGED)? {
            [Value::Text(b"storage"), class, Value::Text(key), _, numel, outer @ ..] => {
                (*class, *key, *numel, outer)
            }
            _ => return Err(DAMAGED.into()),
        };
        // A storage of bytes says nothing of the numbers.
        let class = more.get(2).filter(|_| function == b"_rebuild_tensor_v3").map_or(class, |&class| class);
        let (_, name) = pickle.name(class).ok_or(DAMAGED)?;
        let element = element_type(name).ok_or_else(|| {
            format!("has the type {}, expected float32, float64, float16, bfloat16 or integers", shown(name))
        })?;
        let numel = match function {
            b"_rebuild_tensor_v3" => whole(numel)? / element.width(),
            _ => whole(numel)?,
        };
        // Before 1.6 a storage may be a part of another.
        let (first, numel) = match outer.first().and_then(|&outer| pickle.items(outer)) {
            Some(&[_, first, size]) => {
                let (first, size) = (whole(first)?, whole(size)?);
                first.checked_add(size).filter(|&end| end <= numel).ok_or(DAMAGED)?;
                (first, size)
            }
            _ => (0, numel),
        };
        let list = |value: Value<'a>| -> Result<Vec<usize>, Reason> {
            // Nobody has more axes.
            let items = pickle.items(value).filter(|items| items.len() <= 64).ok_or(DAMAGED)?;
            items.iter().map(|&item| whole(item)).collect()
        };
        let (shape, strides) = (list(size)?, list(stride)?);
        if shape.len() != strides.len() {
            return Err(DAMAGED.into());
        }
        let key = std::str::from_utf8(key).map_err(|_| DAMAGED)?;
        Ok(Self { key, element, first, numel, offset: whole(offset)?, shape, strides })
    }

    /// The number of elements.
    fn count(&self) -> Result<usize, Reason> {
        let count = self.shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        count.ok_or_else(|| format!("its shape {:?} is too large", self.shape))
    }

    /// Refuses a view that reaches beyond its storage.
    fn check(&self, held: usize) -> Result<(), Reason> {
        let end = self.first.checked_add(self.numel);
        if end.is_none_or(|end| end > held) {
            return Err(format!(
                "its storage {} holds {held} numbers, not the {} that the file says",
                shown(self.key.as_bytes()),
                self.numel
            ));
        }
        let mut steps = self.shape.iter().zip(&self.strides);
        let last = steps.try_fold(self.offset, |last, (&size, &stride)| {
            last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
        });
        if last.is_none_or(|last| last >= self.numel) {
            return Err(format!(
                "its shape {:?} with strides {:?} from {} on goes beyond the {} numbers of its storage",
                self.shape, self.strides, self.offset, self.numel
            ));
        }
        Ok(())
    }

    /// The bytes of the elements in order, little-endian.
    fn gather(&self, storage: &[u8], count: usize, big_endian: bool) -> Result<Vec<u8>, Reason> {
        let width = self.element.width();
        let start = (self.first + self.offset) * width;
        let mut bytes = Vec::with_capacity(count * width);
        if self.is_contiguous() {
            bytes.extend_from_slice(storage.get(start..start + count * width).ok_or(DAMAGED)?);
        } else {
            let mut index = vec![0; self.shape.len()];
            for _ in 0..count {
                let at: usize =
                    index.iter().zip(&self.strides).map(|(&at, &stride): (&usize, _)| at * stride).sum();
                let at = start + at * width;
                bytes.extend_from_slice(storage.get(at..at + width).ok_or(DAMAGED)?);
                for (place, &size) in index.iter_mut().zip(&self.shape).rev() {
                    *place += 1;
                    if *place < size {
                        break;
                    }
                    *place = 0;
                }
            }
        }
        if big_endian {
            bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }
}

/// Reads tensors, each storage once.
pub(super) struct Tensors<'s, 'p, 'a, 'f> {
    pickle: &'p Pickle<'a>,
    storages: &'s mut dyn Storages<'f>,
    read: HashMap<&'a str, Cow<'f, [u8]>>,
    /// The bytes of memory that are left.
    budget: usize,
}

impl<'s, 'p, 'a, 'f> Tensors<'s, 'p, 'a, 'f> {
    pub fn new(pickle: &'p Pickle<'a>, storages: &'s mut dyn Storages<'f>, budget: usize) -> Self {
        Self { pickle, storages, read: HashMap::new(), budget }
    }

    /// The tensor; none where it is one of integers.
    ///
    /// # Errors
    /// In words that follow its name.
    pub fn tensor(&mut self, value: Value<'a>) -> Result<Option<Tensor>, Reason> {
        let view = View::of(self.pickle, value)?;
        let Element::Float(dtype) = view.element else { return Ok(None) };
        let (count, width) = (view.count()?, view.element.width());
        let bytes = match count {
            0 => vec![],
            _ => {
                if !self.read.contains_key(view.key) {
                    let bytes = self.storages.bytes(view.key, &mut self.budget)?;
                    self.read.insert(view.key, bytes);
                }
                let storage = self.read.get(view.key).ok_or(DAMAGED)?;
                view.check(storage.len() / width)?;
                // Views of few numbers may be large, and many views of one storage.
                let left = count.checked_mul(width).and_then(|length| self.budget.checked_sub(length));
                self.budget = left.ok_or("is far larger than the file; it is not opened")?;
                view.gather(storage, count, self.storages.big_endian())?
            }
        };
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &view.shape, &Device::Cpu);
        tensor.map(Some).map_err(|error| error.to_string())
    }
}
