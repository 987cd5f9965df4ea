//! The pickles inside NumPy's object arrays of integer lists.
//!
//! The few constructors that such a file names are recognised by name, and anything else is an error. The numbers go
//! straight into one flat vector.

use super::Reason;
use super::machine::{Atom, Build, Kind, run};

/// Rows of token ids, one after the other in `values`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    values: Vec<u32>,
    /// Start and length of each row in `values`.
    spans: Vec<(u32, u32)>,
}

impl Rows {
    /// Rows of equal length `width`, at least 1; `values` holds them one after the other.
    pub fn from_table(values: Vec<u32>, rows: usize, width: usize) -> Option<Self> {
        // Of empty rows a header can promise any number.
        if values.len() != rows.checked_mul(width)? || width == 0 {
            return None;
        }
        let width32 = u32::try_from(width).ok()?;
        u32::try_from(values.len()).ok()?;
        let spans = (0..rows).map(|row| ((row * width) as u32, width32)).collect();
        Some(Self { values, spans })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The ids of row `index`; empty where there is no such row.
    pub fn row(&self, index: usize) -> &[u32] {
        let Some(&(start, length)) = self.spans.get(index) else { return &[] };
        self.values.get(start as usize..start as usize + length as usize).unwrap_or_default()
    }
}

/// Reads the pickle of `numpy.array([[3, 1, …], …], dtype=object)`, whose header says `shape`: (rows), or
/// (rows, width) where NumPy saw lists of one length.
///
/// # Errors
/// In words: what the bytes hold that such an array does not.
pub fn read_rows(bytes: &[u8], shape: &[usize]) -> Result<Rows, Reason> {
    let count = shape.first().copied().unwrap_or_default();
    let mut reader = Reader { lists_expected: count.saturating_add(1), ..Reader::default() };
    let (root, _) = run(bytes, &mut reader)?;
    let spans = match reader.finish(root)? {
        List::Lists(rows) => rows.iter().map(|&row| reader.span(row)).collect::<Result<Vec<_>, _>>()?,
        List::Numbers { length: 0, .. } => Vec::new(),
        List::Numbers { start, length } => {
            let &[_, width] = shape else { return Err(UNEXPECTED.into()) };
            let values = reader.values.split_off(start);
            let table = (values.len() == length).then(|| Rows::from_table(values, count, width)).flatten();
            return table.ok_or_else(|| UNEXPECTED.into());
        }
    };
    if spans.len() != count || shape.len() != 1 {
        return Err(format!("the header says shape {shape:?}, the pickle holds {} lists", spans.len()));
    }
    Ok(Rows { values: reader.values, spans })
}

/// The constructors that a pickled object array names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    Reconstruct,
    NdArray,
    Dtype,
    Encode,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a [u8]),
    Tuple(usize),
    List(usize),
    Global(Global),
    Object,
    Array,
}

impl Default for List {
    fn default() -> Self {
        Self::Numbers { start: 0, length: 0 }
    }
}

/// A Python list: of numbers, as a span of the flat vector, or of lists.
#[derive(Debug)]
enum List {
    Numbers { start: usize, length: usize },
    Lists(Vec<usize>),
}

#[derive(Default)]
struct Reader<'a> {
    tuples: Vec<Vec<Value<'a>>>,
    lists: Vec<List>,
    values: Vec<u32>,
    /// How many lists the header lets expect.
    lists_expected: usize,
    /// The array's list, once the array was filled.
    content: Option<usize>,
}

const UNEXPECTED: &str = "the pickle holds something other than lists of whole numbers";

impl<'a> Build<'a> for Reader<'a> {
    type Value = Value<'a>;
    const UNEXPECTED: &'static str = UNEXPECTED;

    fn check(&self, stack: usize, memo: usize) -> Result<(), Reason> {
        let lists = self.lists.len();
        let fits =
            lists <= self.lists_expected && memo <= lists + 64 && self.tuples.len() <= 64 && stack <= 1 << 21;
        if fits { Ok(()) } else { Err(UNEXPECTED.into()) }
    }

    fn atom(&mut self, atom: Atom<'a>) -> Result<Value<'a>, Reason> {
        match atom {
            Atom::None => Ok(Value::None),
            Atom::Bool(_) => Ok(Value::Bool),
            Atom::Int(number) => Ok(Value::Int(number)),
            Atom::Text(text) | Atom::Bytes(text) => Ok(Value::Text(text)),
            Atom::Large => Err("the pickle holds a number too large for a token id".into()),
            Atom::Float => Err(UNEXPECTED.into()),
        }
    }

    fn sequence(&mut self, kind: Kind, items: Vec<Value<'a>>) -> Result<Value<'a>, Reason> {
        match kind {
            Kind::List => {
                self.lists.push(List::Numbers { start: self.values.len(), length: 0 });
                Ok(Value::List(self.lists.len() - 1))
            }
            Kind::Tuple => {
                self.tuples.push(items);
                Ok(Value::Tuple(self.tuples.len() - 1))
            }
            Kind::Set => Err(UNEXPECTED.into()),
        }
    }

    fn append(&mut self, target: Value<'a>, items: &[Value<'a>]) -> Result<(), Reason> {
        let Value::List(target) = target else { return Err(UNEXPECTED.into()) };
        for item in items {
            let end = self.values.len();
            match (&mut self.lists[target], item) {
                (List::Numbers { start, length }, &Value::Int(number))
                    if *length == 0 || *start + *length == end =>
                {
                    if *length == 0 {
                        *start = end;
                    }
                    *length += 1;
                    let id = u32::try_from(number)
                        .map_err(|_| format!("token id {number} is negative or too large"))?;
                    self.values.push(id);
                }
                (List::Lists(lists), &Value::List(list)) if list != target => lists.push(list),
                (content @ List::Numbers { length: 0, .. }, &Value::List(list)) if list != target => {
                    *content = List::Lists(vec![list]);
                }
                _ => return Err(UNEXPECTED.into()),
            }
        }
        Ok(())
    }

    fn class(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<Value<'a>, Reason> {
        let global = match (module, name) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Global::Reconstruct,
            (b"numpy", b"ndarray") => Global::NdArray,
            (b"numpy", b"dtype") => Global::Dtype,
            (b"_codecs", b"encode") => Global::Encode,
            _ => {
                let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                return Err(format!(
                    "the pickle asks for {}.{}, which lists of numbers do not need; nothing was run",
                    show(module),
                    show(name)
                ));
            }
        };
        Ok(Value::Global(global))
    }

    fn call(&mut self, callee: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>, Reason> {
        let (Value::Tuple(arguments), Value::Global(callee)) = (arguments, callee) else {
            return Err(UNEXPECTED.into());
        };
        match (callee, self.tuples[arguments].as_slice()) {
            (Global::Reconstruct, [Value::Global(Global::NdArray), Value::Tuple(_), Value::Text(_)]) => {
                Ok(Value::Array)
            }
            (Global::Dtype, [Value::Text(name), ..]) if name.first() == Some(&b'O') => Ok(Value::Object),
            (Global::Encode, [Value::Text(text), ..]) => Ok(Value::Text(text)),
            _ => Err(UNEXPECTED.into()),
        }
    }

    /// Of the dtype or of the array.
    fn state(&mut self, target: Value<'a>, state: Value<'a>) -> Result<(), Reason> {
        let Value::Tuple(state) = state else { return Err(UNEXPECTED.into()) };
        match (target, self.tuples[state].as_slice()) {
            (Value::Object, _) => Ok(()),
            (Value::Array, [_, Value::Tuple(_), Value::Object, Value::Bool, Value::List(list)]) => {
                self.content = Some(*list);
                Ok(())
            }
            _ => Err(UNEXPECTED.into()),
        }
    }

    fn text(&self, value: Value<'a>) -> Option<&'a [u8]> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Plain numbers and APPENDS, as in nearly all of such a file, go to the flat vector at once; otherwise the ordinary
    /// opcodes do it.
    fn shortcut(&mut self, top: Option<Value<'a>>, bytes: &'a [u8]) -> Option<usize> {
        let Some(Value::List(list)) = top else { return None };
        let (start, length) = match self.lists[list] {
            List::Numbers { length: 0, .. } => (self.values.len(), 0),
            List::Numbers { start, length } if start + length == self.values.len() => (start, length),
            List::Numbers { .. } | List::Lists(_) => return None,
        };
        let before = self.values.len();
        let mut rest = bytes;
        loop {
            match *rest {
                [b'K', low, ref tail @ ..] => {
                    self.values.push(u32::from(low));
                    rest = tail;
                }
                [b'M', low, high, ref tail @ ..] => {
                    self.values.push(u32::from(u16::from_le_bytes([low, high])));
                    rest = tail;
                }
                [b'J', a, b, c, d, ref tail @ ..] if d < 0x80 => {
                    self.values.push(u32::from_le_bytes([a, b, c, d]));
                    rest = tail;
                }
                [b'e', ref tail @ ..] => {
                    self.lists[list] = List::Numbers { start, length: length + self.values.len() - before };
                    return Some(bytes.len() - tail.len());
                }
                _ => {
                    self.values.truncate(before);
                    return None;
                }
            }
        }
    }
}

impl Reader<'_> {
    /// The list that fills the array.
    fn finish(&mut self, root: Value) -> Result<List, Reason> {
        match (root, self.content) {
            (Value::Array, Some(list)) => Ok(std::mem::take(&mut self.lists[list])),
            _ => Err(UNEXPECTED.into()),
        }
    }

    /// Start and length of a list of numbers.
    fn span(&self, list: usize) -> Result<(u32, u32), Reason> {
        match self.lists[list] {
            List::Numbers { start, length } => match (u32::try_from(start), u32::try_from(length)) {
                (Ok(start), Ok(length)) => Ok((start, length)),
                _ => Err("the lists hold more than 4,294,967,295 numbers".into()),
            },
            List::Lists(_) => Err(UNEXPECTED.into()),
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
