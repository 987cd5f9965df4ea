//! What a row of the table is, and an operation's arguments as its row sees them.

use crate::layers::shape::{Checked, Shape, axis_index, show};
use candle_core::{Error, Result, Tensor};
use serde_json::{Map, Value};

/// What a value of an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number.
    Whole,
    /// A whole number, or several in a list.
    Wholes,
    /// A number.
    Number,
    /// A text.
    Text,
    /// Pairs of whole numbers, or one pair, or one number.
    Pairs,
    /// A text, a number, or a list: what only the operation itself can judge.
    Any,
}

/// What an argument is where it is left out.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// It must be there.
    Needed,
    /// Python's `None`.
    Null,
    /// False.
    False,
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(&'static str),
    /// True.
    True,
}

/// An argument by Keras's name.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
}

/// The argument `name` of a row.
pub const fn argument(name: &'static str, kind: Kind, default: Default) -> Argument {
    Argument { name, kind, default }
}

/// `axis`, which may be left out, be one axis, or several; and `keepdims`.
pub const REDUCES: &[Argument] =
    &[argument("axis", Kind::Wholes, Default::Null), argument("keepdims", Kind::Flag, Default::False)];

type PlaceFn = fn(&Given, &[Shape]) -> Checked<Vec<Shape>>;

/// How an operation runs, which says how many operands it has.
#[derive(Clone, Copy)]
pub enum Run {
    /// One operand.
    One(fn(&Given, &Tensor) -> Result<Tensor>),
    /// Two.
    Two(fn(&Given, &Tensor, &Tensor) -> Result<Tensor>),
    /// Three.
    Three(fn(&Given, &Tensor, &Tensor, &Tensor) -> Result<Tensor>),
    /// One or more, which Keras takes one by one.
    Several(fn(&Given, &[Tensor]) -> Result<Tensor>),
    /// One or more, which Keras takes as a list.
    List(fn(&Given, &[Tensor]) -> Result<Tensor>),
    /// One, with several outputs.
    Apart(fn(&Given, &Tensor) -> Result<Vec<Tensor>>),
}

/// How many operands an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    Exactly(usize),
    Several,
    List,
}

/// How the shapes follow.
#[derive(Clone, Copy)]
pub enum Place {
    /// That of the only operand.
    Same,
    /// The operands' shapes broadcast.
    Broadcast,
    /// As the function says.
    By(PlaceFn),
}

/// A row of the table: one operation.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Keras's name for its class.
    pub op: &'static str,
    /// The module that Keras writes beside it.
    pub module: &'static str,
    pub arguments: &'static [Argument],
    pub place: Place,
    pub run: Run,
}

pub const NUMPY: &str = "keras.src.ops.numpy";
pub const NN: &str = "keras.src.ops.nn";
pub const MATH: &str = "keras.src.ops.math";
pub const CORE: &str = "keras.src.ops.core";
pub const LINALG: &str = "keras.src.ops.linalg";

impl Row {
    pub const fn new(
        module: &'static str,
        op: &'static str,
        arguments: &'static [Argument],
        place: Place,
        run: Run,
    ) -> Self {
        Self { op, module, arguments, place, run }
    }

    pub fn operands(&self) -> Operands {
        match self.run {
            Run::One(_) | Run::Apart(_) => Operands::Exactly(1),
            Run::Two(_) => Operands::Exactly(2),
            Run::Three(_) => Operands::Exactly(3),
            Run::Several(_) => Operands::Several,
            Run::List(_) => Operands::List,
        }
    }

    /// The argument of that name.
    pub fn argument(&self, name: &str) -> Option<&'static Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }
}

impl Kind {
    /// What a value must be that is not.
    pub fn expected(self, value: &Value) -> Option<&'static str> {
        let whole = |value: &Value| value.as_i64().is_some();
        let list = |value: &Value, of: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|list| list.iter().all(of))
        };
        let fits = match self {
            Self::Flag => value.is_boolean(),
            Self::Whole => whole(value),
            Self::Wholes => whole(value) || list(value, &|item| whole(item) || item.is_null()),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Pairs => whole(value) || list(value, &|item| whole(item) || list(item, &whole)),
            Self::Any => !value.is_object(),
        };
        let expected = match self {
            Self::Flag => "true or false",
            Self::Whole => "a whole number",
            Self::Wholes => "a whole number or a list of whole numbers",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Pairs => "a whole number, or pairs of whole numbers",
            Self::Any => "a number, a text or a list",
        };
        (!fits).then_some(expected)
    }
}

/// The arguments that an operation was given.
pub struct Given<'a> {
    row: &'static Row,
    arguments: &'a Map<String, Value>,
    /// The operands that are single numbers.
    scalars: &'a [Option<f64>],
}

impl<'a> Given<'a> {
    pub fn new(row: &'static Row, arguments: &'a Map<String, Value>, scalars: &'a [Option<f64>]) -> Self {
        Self { row, arguments, scalars }
    }

    /// The operation's name.
    pub fn op(&self) -> &'static str {
        self.row.op
    }

    /// Whether the argument stands there as `None`.
    pub fn is_none(&self, name: &str) -> bool {
        self.arguments.get(name).is_some_and(Value::is_null)
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.arguments.get(name).filter(|value| !value.is_null())
    }

    fn default(&self, name: &str) -> Default {
        self.row.argument(name).map_or(Default::Null, |argument| argument.default)
    }

    /// A number that stands in the place of an operand.
    pub fn scalar(&self, operand: usize) -> Option<f64> {
        self.scalars.get(operand).copied().flatten()
    }

    pub fn flag(&self, name: &str) -> bool {
        let default = matches!(self.default(name), Default::True);
        self.value(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(Value::as_f64).or(match self.default(name) {
            Default::Number(number) => Some(number),
            Default::Whole(whole) => Some(whole as f64),
            _ => None,
        })
    }

    pub fn whole(&self, name: &str) -> Option<i64> {
        self.value(name).and_then(Value::as_i64).or(match self.default(name) {
            Default::Whole(whole) => Some(whole),
            _ => None,
        })
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str).or(match self.default(name) {
            Default::Text(text) => Some(text),
            _ => None,
        })
    }

    /// Any value.
    pub fn any(&self, name: &str) -> Option<&'a Value> {
        self.value(name)
    }

    /// Whole numbers; one stands for a list of one.
    pub fn wholes(&self, name: &str) -> Option<Vec<i64>> {
        match self.value(name) {
            Some(Value::Array(list)) => list.iter().map(Value::as_i64).collect(),
            _ => self.whole(name).map(|one| vec![one]),
        }
    }

    /// The same with what is `None` in Python.
    pub fn sizes(&self, name: &str) -> Vec<Option<i64>> {
        match self.value(name) {
            Some(Value::Array(list)) => list.iter().map(Value::as_i64).collect(),
            _ => self.wholes(name).unwrap_or_default().into_iter().map(Some).collect(),
        }
    }

    /// An axis of a tensor of `rank` axes; none where the argument is `None`.
    pub fn axis_or_none(&self, name: &str, rank: usize) -> Checked<Option<usize>> {
        self.whole(name)
            .map(|axis| axis_index(axis, rank).map_err(|what| format!("{name}: {what}")))
            .transpose()
    }

    /// An axis that must be there.
    pub fn axis(&self, name: &str, rank: usize) -> Checked<usize> {
        self.axis_or_none(name, rank)?.ok_or_else(|| format!("{name} must be given"))
    }

    /// Axes, each once, in their order; all of them where the argument is `None`.
    pub fn axes(&self, name: &str, rank: usize) -> Checked<Vec<usize>> {
        let Some(axes) = self.wholes(name) else { return Ok((0..rank).collect()) };
        distinct(name, &axes, rank)
    }
}

/// Indices of axes, each once.
pub fn distinct(name: &str, axes: &[i64], rank: usize) -> Checked<Vec<usize>> {
    let mut indices = vec![];
    for &axis in axes {
        let index = axis_index(axis, rank).map_err(|what| format!("{name}: {what}"))?;
        if indices.contains(&index) {
            return Err(format!("{name} {axes:?} names an axis twice"));
        }
        indices.push(index);
    }
    Ok(indices)
}

/// The only shape.
pub fn one(shapes: &[Shape]) -> Checked<&Shape> {
    shapes.first().ok_or_else(|| "needs an operand".into())
}

/// The axes of a tensor as a shape.
pub fn shape_of(xs: &Tensor) -> Shape {
    xs.dims().iter().map(|&axis| Some(axis)).collect()
}

/// A shape without open axes.
pub fn closed(shape: &Shape) -> Checked<Vec<usize>> {
    shape.iter().copied().collect::<Option<_>>().ok_or_else(|| format!("the shape {} is open", show(shape)))
}

/// An error that is already in words.
pub fn said<T>(checked: Checked<T>) -> Result<T> {
    checked.map_err(Error::Msg)
}

/// Refuses an operation along the batch: of a model's first axis, which is open, each sample stands for itself.
pub fn not_along_batch(op: &str, axis: usize, shape: &Shape) -> Checked<()> {
    match (axis, shape.first()) {
        (0, Some(None)) => {
            Err(format!("{op} along axis 0, the batch, would mix its samples, which is not supported"))
        }
        _ => Ok(()),
    }
}

/// The shape to which `shapes` are broadcast, as NumPy does it.
pub fn broadcast(shapes: &[Shape]) -> Checked<Shape> {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or_default();
    let mut merged = vec![Some(1); rank];
    for shape in shapes {
        let offset = rank - shape.len();
        for (merged, axis) in merged.iter_mut().skip(offset).zip(shape) {
            *merged = match (*merged, *axis) {
                (Some(1), other) | (other, Some(1)) => other,
                (None, None) => None,
                (None, known) | (known, None) => known,
                (Some(a), Some(b)) if a == b => Some(a),
                _ => {
                    let shapes: Vec<String> = shapes.iter().map(|shape| show(shape)).collect();
                    return Err(format!("its operands {} do not fit each other", shapes.join(" and ")));
                }
            };
        }
    }
    Ok(merged)
}
