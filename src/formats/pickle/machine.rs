//! The stream of a pickle: its opcodes, the stack that they work on, the memo.

use super::Reason;
use std::collections::HashMap;

/// What has no parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atom<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits.
    Large,
    Float,
    /// A text, or what Python 2 called one.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// What holds values by their place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    List,
    Tuple,
    Set,
}

/// What the values of a stream become.
pub(super) trait Build<'a> {
    /// A value on the stack; what is large is a number of the builder's.
    type Value: Copy;
    /// What to say of what the stream does not hold as a rule.
    const UNEXPECTED: &'static str;

    /// Refuses what only a file made to fill the memory would hold; asked before each opcode.
    fn check(&self, stack: usize, memo: usize) -> Result<(), Reason>;
    fn atom(&mut self, atom: Atom<'a>) -> Result<Self::Value, Reason>;
    fn sequence(&mut self, kind: Kind, items: Vec<Self::Value>) -> Result<Self::Value, Reason>;
    fn append(&mut self, target: Self::Value, items: &[Self::Value]) -> Result<(), Reason>;
    fn class(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<Self::Value, Reason>;
    /// A class or function called with a tuple.
    fn call(&mut self, callee: Self::Value, arguments: Self::Value) -> Result<Self::Value, Reason>;
    /// The state of an object.
    fn state(&mut self, target: Self::Value, state: Self::Value) -> Result<(), Reason>;
    /// A text's bytes.
    fn text(&self, value: Self::Value) -> Option<&'a [u8]>;

    fn dictionary(&mut self) -> Result<Self::Value, Reason> {
        Err(Self::UNEXPECTED.into())
    }

    /// Keys and values in turn into a dictionary.
    fn put(&mut self, _target: Self::Value, _pairs: &[Self::Value]) -> Result<(), Reason> {
        Err(Self::UNEXPECTED.into())
    }

    /// What stands outside of the stream under an id.
    fn persistent(&mut self, _id: Self::Value) -> Result<Self::Value, Reason> {
        Err(Self::UNEXPECTED.into())
    }

    /// Takes what follows a mark up to its end by a shorter way, if it can: `top` is below the mark, and what is returned
    /// the number of bytes taken.
    fn shortcut(&mut self, _top: Option<Self::Value>, _rest: &'a [u8]) -> Option<usize> {
        None
    }
}

const TRUNCATED: &str = "the pickle ends too early";

/// Reads one pickle from the start of `bytes`: the value that it holds, and how long it is.
pub(super) fn run<'a, B: Build<'a>>(bytes: &'a [u8], build: &mut B) -> Result<(B::Value, usize), Reason> {
    if bytes.first().is_some_and(|&first| first != 0x80) {
        return Err(
            "a pickle of protocol 0 or 1 (or none at all), expected 2 to 5; load it in Python and dump it again with \
             `pickle.dump(it, file, protocol=4)`"
                .into(),
        );
    }
    let mut machine = Machine { bytes, at: 0, stack: vec![], marks: vec![], memo: HashMap::new(), build };
    loop {
        machine.build.check(machine.stack.len() + machine.marks.len(), machine.memo.len())?;
        if let Some(root) = machine.step()? {
            return Ok((root, machine.at));
        }
    }
}

struct Machine<'a, 'b, B: Build<'a>> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<B::Value>,
    /// How long the stack was at each mark that is still open.
    marks: Vec<usize>,
    memo: HashMap<u32, B::Value>,
    build: &'b mut B,
}

impl<'a, B: Build<'a>> Machine<'a, '_, B> {
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

    /// Where the values above the last open mark begin.
    fn fence(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<B::Value, Reason> {
        let above = self.stack.get(self.fence()..).and_then(|above| above.last());
        Ok(*above.ok_or(B::UNEXPECTED)?)
    }

    fn pop(&mut self) -> Result<B::Value, Reason> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The values above the last mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<B::Value>, Reason> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(B::UNEXPECTED)?;
        Ok(self.stack.split_off(mark))
    }

    fn push(&mut self, value: Result<B::Value, Reason>) -> Result<(), Reason> {
        self.stack.push(value?);
        Ok(())
    }

    fn atom(&mut self, atom: Atom<'a>) -> Result<(), Reason> {
        let value = self.build.atom(atom);
        self.push(value)
    }

    fn remember(&mut self, index: u64) -> Result<(), Reason> {
        let index = u32::try_from(index).map_err(|_| B::UNEXPECTED)?;
        self.memo.insert(index, self.top()?);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), Reason> {
        let known = u32::try_from(index).ok().and_then(|index| self.memo.get(&index));
        self.stack.push(*known.ok_or(B::UNEXPECTED)?);
        Ok(())
    }

    /// The operand of BININT1, BININT2, BININT or LONG1.
    fn integer(&mut self, code: u8) -> Result<Atom<'a>, Reason> {
        Ok(Atom::Int(match code {
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
                    return Ok(Atom::Large);
                }
            },
        }))
    }

    /// One opcode; the root at the end.
    fn step(&mut self) -> Result<Option<B::Value>, Reason> {
        let code = self.take(1)?[0];
        match code {
            0x80 => match self.take(1)?[0] {
                2..=5 => {}
                other => return Err(format!("pickle protocol {other}, expected 2 to 5")),
            },
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => {
                let (top, rest) = (self.top().ok(), self.bytes.get(self.at..).unwrap_or_default());
                match self.build.shortcut(top, rest) {
                    Some(taken) => self.at += taken,
                    None => self.marks.push(self.stack.len()),
                }
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.atom(Atom::None)?,
            0x88 | 0x89 => self.atom(Atom::Bool(code == 0x88))?,
            b'K' | b'M' | b'J' | 0x8a => self.integer(code).and_then(|number| self.atom(number))?,
            0x8b => self.counted(4).and_then(|_| self.atom(Atom::Large))?,
            b'G' => self.take(8).and_then(|_| self.atom(Atom::Float))?,
            b'U' | 0x8c => self.counted(1).and_then(|text| self.atom(Atom::Text(text)))?,
            b'T' | b'X' => self.counted(4).and_then(|text| self.atom(Atom::Text(text)))?,
            0x8d => self.counted(8).and_then(|text| self.atom(Atom::Text(text)))?,
            b'C' => self.counted(1).and_then(|bytes| self.atom(Atom::Bytes(bytes)))?,
            b'B' => self.counted(4).and_then(|bytes| self.atom(Atom::Bytes(bytes)))?,
            0x8e | 0x96 => self.counted(8).and_then(|bytes| self.atom(Atom::Bytes(bytes)))?,
            b']' => self.sequence(Kind::List, vec![])?,
            b')' => self.sequence(Kind::Tuple, vec![])?,
            0x8f => self.sequence(Kind::Set, vec![])?,
            b't' => self.pop_mark().and_then(|items| self.sequence(Kind::Tuple, items))?,
            0x91 => self.pop_mark().and_then(|items| self.sequence(Kind::Set, items))?,
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(code - 0x84));
                let first = first.filter(|&first| first >= self.fence()).ok_or(B::UNEXPECTED)?;
                let items = self.stack.split_off(first);
                self.sequence(Kind::Tuple, items)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.build.append(self.top()?, &[value])?;
            }
            b'e' | 0x90 => {
                let values = self.pop_mark()?;
                self.build.append(self.top()?, &values)?;
            }
            b'}' => {
                let dictionary = self.build.dictionary();
                self.push(dictionary)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.build.put(self.top()?, &[key, value])?;
            }
            b'u' => {
                let values = self.pop_mark()?;
                self.build.put(self.top()?, &values)?;
            }
            b'q' => self.number(1).and_then(|index| self.remember(index))?,
            b'r' => self.number(4).and_then(|index| self.remember(index))?,
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => self.number(1).and_then(|index| self.recall(index))?,
            b'j' => self.number(4).and_then(|index| self.recall(index))?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.class(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.build.text(module), self.build.text(name)) {
                    (Some(module), Some(name)) => self.class(module, name)?,
                    _ => return Err(B::UNEXPECTED.into()),
                }
            }
            b'R' | 0x81 => self.call()?,
            0x92 => {
                // The arguments by name are not asked for.
                self.pop()?;
                self.call()?;
            }
            b'b' => {
                let state = self.pop()?;
                self.build.state(self.top()?, state)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let value = self.build.persistent(id);
                self.push(value)?;
            }
            b'.' => return self.pop().map(Some),
            other => {
                let at = self.at - 1;
                return Err(format!("{} (pickle opcode {other:#04x} at byte {at})", B::UNEXPECTED));
            }
        }
        Ok(None)
    }

    fn sequence(&mut self, kind: Kind, items: Vec<B::Value>) -> Result<(), Reason> {
        let value = self.build.sequence(kind, items);
        self.push(value)
    }

    fn class(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<(), Reason> {
        let class = self.build.class(module, name);
        self.push(class)
    }

    fn call(&mut self) -> Result<(), Reason> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let made = self.build.call(callee, arguments);
        self.push(made)
    }
}
