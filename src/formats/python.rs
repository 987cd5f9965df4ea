//! Objects in a pickle of Python's, as data, protocols 2 to 5.
//!
//! Nothing is executed and nothing is looked up: an object is the name of its class, its state and what was put into it.
//! The stream is read without recursion, and memory stays within a small multiple of the input.

use std::collections::HashMap;

/// Why a pickle was not read, in words that follow a file's name.
type Reason = String;

/// A value; what holds others is a number of [`Pickle`]'s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// The bytes of a text, or of what Python 2 called one.
    Text(&'a [u8]),
    /// A list, a dictionary, an object, a class.
    Node(usize),
    /// What is of no use here: floats, bytes, sets.
    Other,
    /// Stands between values while the stream is read.
    Mark,
}

/// What holds other values, or names a class.
#[derive(Debug)]
enum Node<'a> {
    Class(&'a [u8], &'a [u8]),
    /// Lists, tuples and sets: what stands in them is not asked for.
    Sequence,
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// An object of a class (a value, for nobody knows that it is one), with what was put into it and its state.
    Object {
        class: Value<'a>,
        items: Vec<(Value<'a>, Value<'a>)>,
        state: Value<'a>,
    },
}

/// A pickle that was read.
#[derive(Debug, Default)]
pub struct Pickle<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    memo: HashMap<u32, Value<'a>>,
    nodes: Vec<Node<'a>>,
    texts: usize,
}

const TRUNCATED: &str = "the pickle ends too early";
const DAMAGED: &str = "the pickle is damaged";
const LARGE: &str = "the pickle holds more objects than a vocabulary needs";

/// The most lists, dictionaries and objects, and the most values that wait for their place.
const MOST: usize = 1 << 16;

impl<'a> Pickle<'a> {
    /// Reads a pickle; gives it with the value that it holds.
    ///
    /// # Errors
    /// In words: where the stream ends too early or holds what no file of data does.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, Value<'a>), Reason> {
        let mut pickle = Self { bytes, ..Self::default() };
        let root = pickle.run()?;
        Ok((pickle, root))
    }

    /// Module and name of an object's class.
    pub fn class(&self, value: Value) -> Option<(&'a [u8], &'a [u8])> {
        let Value::Node(at) = value else { return None };
        match self.nodes.get(at)? {
            Node::Object { class: Value::Node(at), .. } => match self.nodes.get(*at)? {
                Node::Class(module, name) => Some((module, name)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The pairs of a dictionary, or of an object that is one.
    pub fn pairs(&self, value: Value) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Value::Node(at) = value else { return None };
        match self.nodes.get(at)? {
            Node::Dict(pairs) | Node::Object { items: pairs, .. } => Some(pairs),
            Node::Class(..) | Node::Sequence => None,
        }
    }

    /// The pairs of an object's state.
    pub fn state(&self, value: Value) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Value::Node(at) = value else { return None };
        match self.nodes.get(at)? {
            Node::Object { state, .. } => self.pairs(*state),
            _ => None,
        }
    }

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

    /// What follows its length, a number of `width` bytes.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], Reason> {
        let length = usize::try_from(self.number(width)?).map_err(|_| TRUNCATED)?;
        self.take(length)
    }

    fn line(&mut self) -> Result<&'a [u8], Reason> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn pop(&mut self) -> Result<Value<'a>, Reason> {
        self.stack.pop().ok_or_else(|| DAMAGED.into())
    }

    /// The values above the last mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, Reason> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark).ok_or(DAMAGED)?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn push_node(&mut self, node: Node<'a>) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn push_text(&mut self, width: usize) -> Result<(), Reason> {
        let text = self.counted(width)?;
        self.texts += 1;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn push_other(&mut self, width: usize) -> Result<(), Reason> {
        self.counted(width)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Result<(), Reason> {
        let index = u32::try_from(index).map_err(|_| DAMAGED)?;
        self.memo.insert(index, *self.stack.last().ok_or(DAMAGED)?);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), Reason> {
        let index = u32::try_from(index).map_err(|_| DAMAGED)?;
        self.stack.push(*self.memo.get(&index).ok_or(DAMAGED)?);
        Ok(())
    }

    /// An object of the class below the arguments on the stack.
    fn make(&mut self, arguments: usize) -> Result<(), Reason> {
        for _ in 0..arguments {
            self.pop()?;
        }
        let class = self.pop()?;
        self.push_node(Node::Object { class, items: vec![], state: Value::None });
        Ok(())
    }

    /// Puts pairs into what is on top of the stack.
    fn put(&mut self, values: &[Value<'a>]) -> Result<(), Reason> {
        let Some(Value::Node(at)) = self.stack.last() else { return Err(DAMAGED.into()) };
        match self.nodes.get_mut(*at) {
            Some(Node::Dict(pairs) | Node::Object { items: pairs, .. }) => {
                pairs.extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }

    fn run(&mut self) -> Result<Value<'a>, Reason> {
        if self.bytes.first() != Some(&0x80) {
            return Err("not a pickle of protocol 2 to 5; dump it again with `protocol=4`".into());
        }
        loop {
            if self.nodes.len().max(self.stack.len()) > MOST
                || self.memo.len() > self.nodes.len() + self.texts + 64
            {
                return Err(LARGE.into());
            }
            let code = self.take(1)?[0];
            match code {
                0x80 => match self.take(1)?[0] {
                    2..=5 => {}
                    other => return Err(format!("pickle protocol {other}, expected 2 to 5")),
                },
                0x95 => drop(self.take(8)?), // FRAME
                b'(' => self.stack.push(Value::Mark),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => self.stack.push(*self.stack.last().ok_or(DAMAGED)?),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool(code == 0x88)),
                b'K' | b'M' | b'J' | 0x8a => {
                    let number = self.integer(code)?;
                    self.stack.push(number);
                }
                b'G' => {
                    self.take(8)?;
                    self.stack.push(Value::Other);
                }
                b'U' | 0x8c => self.push_text(1)?,
                b'T' | b'X' => self.push_text(4)?,
                0x8d => self.push_text(8)?,
                b'C' => self.push_other(1)?,
                b'B' | 0x8b => self.push_other(4)?,
                0x8e | 0x96 => self.push_other(8)?,
                b']' | 0x8f | b')' => self.push_node(Node::Sequence),
                b'}' => self.push_node(Node::Dict(vec![])),
                b'a' => drop(self.pop()?),
                b'e' | 0x90 => drop(self.pop_mark()?),
                0x91 | b't' => {
                    self.pop_mark()?;
                    self.push_node(Node::Sequence);
                }
                0x85..=0x87 => {
                    let first = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or(DAMAGED)?;
                    self.stack.truncate(first);
                    self.push_node(Node::Sequence);
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.put(&[key, value])?;
                }
                b'u' => {
                    let values = self.pop_mark()?;
                    self.put(&values)?;
                }
                b'q' => self.number(1).and_then(|index| self.remember(index))?,
                b'r' => self.number(4).and_then(|index| self.remember(index))?,
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => self.number(1).and_then(|index| self.recall(index))?,
                b'j' => self.number(4).and_then(|index| self.recall(index))?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_node(Node::Class(module, name));
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Text(name), Value::Text(module)) => self.push_node(Node::Class(module, name)),
                    _ => return Err(DAMAGED.into()),
                },
                b'R' | 0x81 => self.make(1)?,
                0x92 => self.make(2)?,
                b'b' => self.build()?,
                b'.' => return self.pop(),
                other => {
                    return Err(format!("{DAMAGED} (opcode {other:#04x} at byte {})", self.at - 1));
                }
            }
        }
    }

    /// The operand of BININT1, BININT2, BININT or LONG1.
    fn integer(&mut self, code: u8) -> Result<Value<'a>, Reason> {
        Ok(Value::Int(match code {
            b'K' => self.number(1)? as i64,
            b'M' => self.number(2)? as i64,
            b'J' => i64::from(self.number(4)? as u32 as i32),
            _ => match self.number(1)? as usize {
                0 => 0,
                width @ 1..=8 => {
                    let shift = 64 - 8 * width as u32;
                    ((self.number(width)? << shift) as i64) >> shift
                }
                width => {
                    self.take(width)?;
                    return Ok(Value::Other);
                }
            },
        }))
    }

    /// BUILD: the state of the object below it.
    fn build(&mut self) -> Result<(), Reason> {
        let new = self.pop()?;
        let Some(Value::Node(at)) = self.stack.last() else { return Err(DAMAGED.into()) };
        match self.nodes.get_mut(*at) {
            Some(Node::Object { state, .. }) => {
                *state = new;
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps(C(), protocol=4)` of a class `m.C` whose instance has `n = 7` and `d = OrderedDict(a=1)`.
    const OBJECT: &[u8] =
        b"\x80\x04\x8c\x01m\x94\x8c\x01C\x94\x93\x94)\x81\x94}\x94(\x8c\x01n\x94K\x07\x8c\x01d\x94\
        \x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01a\x94K\x01sub.";

    #[test]
    fn an_object_is_data() {
        let (pickle, root) = Pickle::read(OBJECT).expect("read");
        assert_eq!(pickle.class(root), Some((b"m".as_slice(), b"C".as_slice())));
        let state = pickle.state(root).expect("a state");
        assert_eq!(state[0], (Value::Text(b"n"), Value::Int(7)));
        assert_eq!(
            pickle.pairs(state[1].1),
            Some([(Value::Text(b"a".as_slice()), Value::Int(1))].as_slice())
        );
    }

    #[test]
    fn nothing_is_run_and_nothing_grows() {
        // `os.system("…")` is an object of a class of that name.
        let (pickle, root) = Pickle::read(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.").expect("read");
        assert_eq!(pickle.class(root), Some((b"os".as_slice(), b"system".as_slice())));
        let many = |code: u8| [b"\x80\x04N".to_vec(), vec![code; 1 << 20], b".".to_vec()].concat();
        for code in [b']', b'}', b'N', b'(', b'2', 0x94] {
            assert!(Pickle::read(&many(code)).is_err(), "{code:#x}");
        }
        for end in 0..OBJECT.len() {
            assert!(Pickle::read(&OBJECT[..end]).is_err(), "{end}");
        }
        for at in 0..OBJECT.len() {
            let mut flipped = OBJECT.to_vec();
            flipped[at] ^= 0xff;
            let _ = Pickle::read(&flipped);
        }
    }
}
