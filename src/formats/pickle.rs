//! A reader for the pickles inside NumPy's object arrays of integer lists, protocols 2 to 5.
//!
//! Nothing is executed: the few constructors that such a file names are recognised by name, and anything else is an
//! error. The numbers go straight into one flat vector. Memory stays within a small multiple of the input, whatever
//! sizes the input claims.

use std::collections::HashMap;

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

/// Why a pickle was not read, in words that follow a file's name.
type Reason = String;

/// Reads the pickle of `numpy.array([[3, 1, …], …], dtype=object)`, whose header says `shape`: (rows), or
/// (rows, width) where NumPy saw lists of one length.
///
/// # Errors
/// In words: what the bytes hold that such an array does not.
pub fn read_rows(bytes: &[u8], shape: &[usize]) -> Result<Rows, Reason> {
    let count = shape.first().copied().unwrap_or_default();
    let mut reader = Reader { bytes, lists_expected: count.saturating_add(1), ..Reader::default() };
    let spans = match reader.run()? {
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
    Mark,
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
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    lists: Vec<List>,
    values: Vec<u32>,
    /// How many lists the header lets expect.
    lists_expected: usize,
    /// The array's list, once the array was filled.
    content: Option<usize>,
}

const TRUNCATED: &str = "the pickle ends too early";
const UNEXPECTED: &str = "the pickle holds something other than lists of whole numbers";

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let end = self.at.checked_add(count).ok_or(TRUNCATED)?;
        let bytes = self.bytes.get(self.at..end).ok_or(TRUNCATED)?;
        self.at = end;
        Ok(bytes)
    }

    /// An unsigned little-endian number of at most eight bytes.
    fn number(&mut self, width: usize) -> Result<u64, Reason> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>, Reason> {
        let length = usize::try_from(self.number(width)?).map_err(|_| TRUNCATED)?;
        Ok(Value::Text(self.take(length)?))
    }

    fn line(&mut self) -> Result<&'a [u8], Reason> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn pop(&mut self) -> Result<Value<'a>, Reason> {
        self.stack.pop().ok_or_else(|| UNEXPECTED.into())
    }

    /// The values above the last mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, Reason> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or(UNEXPECTED)?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn tuple(&mut self, values: Vec<Value<'a>>) {
        self.stack.push(Value::Tuple(self.tuples.len()));
        self.tuples.push(values);
    }

    fn remember(&mut self, index: u64) -> Result<(), Reason> {
        let index = u32::try_from(index).map_err(|_| UNEXPECTED)?;
        self.memo.insert(index, *self.stack.last().ok_or(UNEXPECTED)?);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), Reason> {
        let index = u32::try_from(index).map_err(|_| UNEXPECTED)?;
        self.stack.push(*self.memo.get(&index).ok_or(UNEXPECTED)?);
        Ok(())
    }

    /// Refuses what only a file made to fill the memory would hold.
    fn check_size(&self) -> Result<(), Reason> {
        let lists = self.lists.len();
        let fits = lists <= self.lists_expected
            && self.memo.len() <= lists + 64
            && self.tuples.len() <= 64
            && self.stack.len() <= 1 << 21;
        if fits { Ok(()) } else { Err(UNEXPECTED.into()) }
    }

    fn run(&mut self) -> Result<List, Reason> {
        loop {
            self.check_size()?;
            let code = self.take(1)?[0];
            match code {
                0x80 => match self.take(1)?[0] {
                    2..=5 => {}
                    other => return Err(format!("pickle protocol {other}, expected 2 to 5")),
                },
                0x95 => drop(self.take(8)?), // FRAME
                b'(' => self.mark()?,
                b'0' => drop(self.pop()?),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'K' | b'M' | b'J' | 0x8a => {
                    let number = self.integer(code)?;
                    self.stack.push(Value::Int(number));
                }
                b'U' | b'C' | 0x8c => self.push_text(1)?,
                b'T' | b'X' | b'B' => self.push_text(4)?,
                0x8d | 0x8e => self.push_text(8)?,
                b']' => {
                    self.stack.push(Value::List(self.lists.len()));
                    self.lists.push(List::Numbers { start: self.values.len(), length: 0 });
                }
                b'a' => {
                    let value = self.pop()?;
                    self.extend(&[value])?;
                }
                b'e' => {
                    let values = self.pop_mark()?;
                    self.extend(&values)?;
                }
                b')' => self.tuple(Vec::new()),
                0x85..=0x87 => {
                    let first = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or(UNEXPECTED)?;
                    let values = self.stack.split_off(first);
                    self.tuple(values);
                }
                b't' => {
                    let values = self.pop_mark()?;
                    self.tuple(values);
                }
                b'q' => self.number(1).and_then(|index| self.remember(index))?,
                b'r' => self.number(4).and_then(|index| self.remember(index))?,
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => self.number(1).and_then(|index| self.recall(index))?,
                b'j' => self.number(4).and_then(|index| self.recall(index))?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Text(name), Value::Text(module)) => self.global(module, name)?,
                    _ => return Err(UNEXPECTED.into()),
                },
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'.' => return self.finish(),
                other => {
                    return Err(format!("{UNEXPECTED} (pickle opcode {other:#04x} at byte {})", self.at - 1));
                }
            }
        }
    }

    fn push_text(&mut self, width: usize) -> Result<(), Reason> {
        let text = self.text(width)?;
        self.stack.push(text);
        Ok(())
    }

    /// The operand of BININT1, BININT2, BININT or LONG1.
    fn integer(&mut self, code: u8) -> Result<i64, Reason> {
        match code {
            b'K' => Ok(self.number(1)? as i64),
            b'M' => Ok(self.number(2)? as i64),
            b'J' => Ok(i64::from(self.number(4)? as u32 as i32)),
            _ => {
                let width = self.number(1)? as usize;
                if width > 8 {
                    return Err("the pickle holds a number too large for a token id".into());
                }
                let shift = 64 - 8 * width as u32;
                let number = self.number(width)?;
                Ok(if width == 0 { 0 } else { ((number << shift) as i64) >> shift })
            }
        }
    }

    /// A mark. Where plain numbers and APPENDS follow, as in nearly all of such a file, they go to the flat vector at
    /// once; otherwise only the mark is taken and the ordinary opcodes do the rest.
    fn mark(&mut self) -> Result<(), Reason> {
        let fast = match self.stack.last() {
            Some(&Value::List(list)) => match self.lists[list] {
                List::Numbers { length: 0, .. } => Some((list, self.values.len(), 0)),
                List::Numbers { start, length } => {
                    (start + length == self.values.len()).then_some((list, start, length))
                }
                List::Lists(_) => None,
            },
            _ => None,
        };
        if let Some((list, start, length)) = fast {
            let before = self.values.len();
            let mut rest = &self.bytes[self.at..];
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
                        self.lists[list] =
                            List::Numbers { start, length: length + self.values.len() - before };
                        self.at = self.bytes.len() - tail.len();
                        return Ok(());
                    }
                    _ => break,
                }
            }
            self.values.truncate(before);
        }
        self.stack.push(Value::Mark);
        Ok(())
    }

    /// Appends to the list on top of the stack.
    fn extend(&mut self, items: &[Value]) -> Result<(), Reason> {
        let Some(&Value::List(target)) = self.stack.last() else { return Err(UNEXPECTED.into()) };
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

    fn global(&mut self, module: &[u8], name: &[u8]) -> Result<(), Reason> {
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
        self.stack.push(Value::Global(global));
        Ok(())
    }

    /// REDUCE: a constructor called with a tuple.
    fn reduce(&mut self) -> Result<(), Reason> {
        let (Value::Tuple(arguments), Value::Global(callable)) = (self.pop()?, self.pop()?) else {
            return Err(UNEXPECTED.into());
        };
        let value = match (callable, self.tuples[arguments].as_slice()) {
            (Global::Reconstruct, [Value::Global(Global::NdArray), Value::Tuple(_), Value::Text(_)]) => {
                Value::Array
            }
            (Global::Dtype, [Value::Text(name), ..]) if name.first() == Some(&b'O') => Value::Object,
            (Global::Encode, [Value::Text(text), ..]) => Value::Text(text),
            _ => return Err(UNEXPECTED.into()),
        };
        self.stack.push(value);
        Ok(())
    }

    /// BUILD: the state of the dtype or of the array.
    fn build(&mut self) -> Result<(), Reason> {
        let Value::Tuple(state) = self.pop()? else { return Err(UNEXPECTED.into()) };
        match (self.stack.last(), self.tuples[state].as_slice()) {
            (Some(Value::Object), _) => Ok(()),
            (Some(Value::Array), [_, Value::Tuple(_), Value::Object, Value::Bool, Value::List(list)]) => {
                self.content = Some(*list);
                Ok(())
            }
            _ => Err(UNEXPECTED.into()),
        }
    }

    /// The list that fills the array.
    fn finish(&mut self) -> Result<List, Reason> {
        match (self.stack.last(), self.content) {
            (Some(Value::Array), Some(list)) => Ok(std::mem::take(&mut self.lists[list])),
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
mod tests;
