//! Any objects in a pickle, as data: an object is its class's name, what that was called with, its state, and what was put
//! into it.

use super::Reason;
use super::machine::{Atom, Build, Kind, run};

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
    /// What is of no use here: floats, bytes, whole numbers beyond 64 bits.
    Other,
}

/// A key or a name, and what it stands for.
type Pair<'a> = (Value<'a>, Value<'a>);

/// What holds other values, or names a class.
#[derive(Debug)]
enum Node<'a> {
    Class(&'a [u8], &'a [u8]),
    /// A list, a tuple or a set.
    Sequence(Vec<Value<'a>>),
    Dict(Vec<Pair<'a>>),
    /// What came of a call of a class or function (a value, for nobody knows that it is one).
    Object {
        class: Value<'a>,
        arguments: Value<'a>,
        items: Vec<Pair<'a>>,
        state: Value<'a>,
    },
    /// What stands outside of the pickle, under this id.
    Persistent(Value<'a>),
}

/// A pickle that was read.
#[derive(Debug, Default)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    texts: usize,
    /// Pairs that stand in an object and in the list that it was called with.
    copied: usize,
}

const DAMAGED: &str = "the pickle is damaged";

/// The most lists, dictionaries and objects, and the most values that wait for their place.
const MOST: usize = 1 << 18;

impl<'a> Pickle<'a> {
    /// Reads a pickle; gives it with the value that it holds.
    ///
    /// # Errors
    /// In words: where the stream ends too early or holds what no file of data does.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, Value<'a>), Reason> {
        let (pickle, root, _) = Self::read_first(bytes)?;
        Ok((pickle, root))
    }

    /// The same where more follows, which is the last that is returned.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_first(bytes: &'a [u8]) -> Result<(Self, Value<'a>, &'a [u8]), Reason> {
        let mut pickle = Self::default();
        let (root, length) = run(bytes, &mut pickle)?;
        Ok((pickle, root, bytes.get(length..).unwrap_or_default()))
    }

    fn node(&self, value: Value) -> Option<&Node<'a>> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub fn name(&self, value: Value) -> Option<(&'a [u8], &'a [u8])> {
        match self.node(value)? {
            Node::Class(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// Module and name of an object's class, or of the function that gave it.
    pub fn class(&self, value: Value) -> Option<(&'a [u8], &'a [u8])> {
        match self.node(value)? {
            Node::Object { class, .. } => self.name(*class),
            _ => None,
        }
    }

    /// What an object's class was called with.
    pub fn arguments(&self, value: Value) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Object { arguments, .. } => self.items(*arguments),
            _ => None,
        }
    }

    /// The values of a list, a tuple or a set.
    pub fn items(&self, value: Value) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a dictionary, or of an object that is one.
    pub fn pairs(&self, value: Value) -> Option<&[Pair<'a>]> {
        match self.node(value)? {
            Node::Dict(pairs) | Node::Object { items: pairs, .. } => Some(pairs),
            _ => None,
        }
    }

    /// The pairs of an object's state.
    pub fn state(&self, value: Value) -> Option<&[Pair<'a>]> {
        match self.node(value)? {
            Node::Object { state, .. } => self.pairs(*state),
            _ => None,
        }
    }

    /// The id of what stands outside of the pickle.
    pub fn persistent(&self, value: Value) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Persistent(id) => self.items(*id),
            _ => None,
        }
    }

    /// The ids of all that stands outside of it.
    pub fn ids(&self) -> impl Iterator<Item = &[Value<'a>]> {
        (0..self.nodes.len()).filter_map(|at| self.persistent(Value::Node(at)))
    }

    /// Module and name of all that Python would call on reading it, whether anything of it is kept or not.
    pub fn calls(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Object { class, .. } => self.name(*class),
            _ => None,
        })
    }

    fn add(&mut self, node: Node<'a>) -> Result<Value<'a>, Reason> {
        self.nodes.push(node);
        Ok(Value::Node(self.nodes.len() - 1))
    }

    fn node_mut(&mut self, value: Value) -> Result<&mut Node<'a>, Reason> {
        let node = match value {
            Value::Node(at) => self.nodes.get_mut(at),
            _ => None,
        };
        node.ok_or_else(|| DAMAGED.into())
    }
}

impl<'a> Build<'a> for Pickle<'a> {
    type Value = Value<'a>;
    const UNEXPECTED: &'static str = DAMAGED;

    fn check(&self, stack: usize, memo: usize) -> Result<(), Reason> {
        if self.nodes.len().max(stack) > MOST || memo > self.nodes.len() + self.texts + 64 {
            return Err("the pickle holds more objects than a vocabulary or a model needs".into());
        }
        Ok(())
    }

    fn atom(&mut self, atom: Atom<'a>) -> Result<Value<'a>, Reason> {
        Ok(match atom {
            Atom::None => Value::None,
            Atom::Bool(flag) => Value::Bool(flag),
            Atom::Int(number) => Value::Int(number),
            Atom::Text(text) => {
                self.texts += 1;
                Value::Text(text)
            }
            Atom::Bytes(_) => {
                self.texts += 1;
                Value::Other
            }
            Atom::Large | Atom::Float => Value::Other,
        })
    }

    fn sequence(&mut self, _: Kind, items: Vec<Value<'a>>) -> Result<Value<'a>, Reason> {
        self.add(Node::Sequence(items))
    }

    fn append(&mut self, target: Value<'a>, items: &[Value<'a>]) -> Result<(), Reason> {
        // What is put into an object that is a list is not asked for.
        if let Node::Sequence(list) = self.node_mut(target)? {
            list.extend(items);
        }
        Ok(())
    }

    fn dictionary(&mut self) -> Result<Value<'a>, Reason> {
        self.add(Node::Dict(vec![]))
    }

    fn put(&mut self, target: Value<'a>, pairs: &[Value<'a>]) -> Result<(), Reason> {
        match self.node_mut(target)? {
            Node::Dict(items) | Node::Object { items, .. } => {
                items.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }

    fn class(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<Value<'a>, Reason> {
        self.add(Node::Class(module, name))
    }

    fn call(&mut self, class: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>, Reason> {
        let mut items: Vec<Pair<'a>> = vec![];
        // Python 2 calls it with its pairs, each a list.
        if self.name(class) == Some((b"collections", b"OrderedDict")) {
            let list = self.items(arguments).and_then(|list| self.items(*list.first()?)).unwrap_or_default();
            let pair = |pair: &Value| match self.items(*pair) {
                Some(&[key, value]) => Some((key, value)),
                _ => None,
            };
            // Each pair is a list of its own, unless one list is taken over and over to fill the memory.
            if self.copied + list.len() > self.nodes.len() {
                return Err(DAMAGED.into());
            }
            items = list.iter().filter_map(pair).collect();
            self.copied += items.len();
        }
        self.add(Node::Object { class, arguments, items, state: Value::None })
    }

    fn state(&mut self, target: Value<'a>, new: Value<'a>) -> Result<(), Reason> {
        match self.node_mut(target)? {
            Node::Object { state, .. } => {
                *state = new;
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }

    fn text(&self, value: Value<'a>) -> Option<&'a [u8]> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn persistent(&mut self, id: Value<'a>) -> Result<Value<'a>, Reason> {
        self.add(Node::Persistent(id))
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

    /// Python 2's OrderedDict is called with lists of two; what stands outside has an id.
    #[test]
    fn pairs_and_ids() {
        let old = b"\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01ee\x85R.";
        let (pickle, root) = Pickle::read(old).expect("read");
        assert_eq!(pickle.pairs(root), Some([(Value::Text(b"a".as_slice()), Value::Int(1))].as_slice()));
        let (pickle, root, rest) = Pickle::read_first(b"\x80\x02(U\x01aK\x01tQ.more").expect("read");
        assert_eq!(pickle.persistent(root), Some([Value::Text(b"a".as_slice()), Value::Int(1)].as_slice()));
        assert_eq!(rest, b"more");
    }

    #[test]
    fn older_protocols_are_told() {
        for old in [&b"ccopy_reg\n_reconstructor\np0\n"[..], b"(dp0\n."] {
            let what = Pickle::read(old).expect_err("refused");
            assert!(what.contains("protocol 0 or 1") && what.contains("protocol=4"), "{what}");
        }
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
