//! An operation of `keras.ops` as a layer.

use super::row::{Given, Operands, Place, Row, Run, broadcast};
use super::table::{names, row};
use crate::error::nearest;
use crate::layers::flow::Flow;
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::number::non_finite;
use crate::layers::shape::{Checked, Shape, check_bias_axis, is_holdable, show};
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// An operation and its arguments.
///
/// In JSON the arguments stand beside the operation's name: `{"op": "Mean", "axis": 1}`, `{"op": "GetItem", "key":
/// "[:, -1]"}`, `{"op": "Subtract", "operands": [1.0, null]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationConfig {
    /// Keras's name of the operation's class: `Mean`.
    pub op: String,
    /// Constants in the place of operands: numbers (`"Infinity"` and the like among them), or lists of them, and `null` for each tensor. Left out where all are
    /// tensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operands: Vec<Value>,
    /// The other arguments by Keras's names.
    #[serde(flatten)]
    pub arguments: Map<String, Value>,
}

impl OperationConfig {
    /// An operation on tensors only.
    pub fn new(op: impl Into<String>) -> Self {
        Self { op: op.into(), operands: vec![], arguments: Map::new() }
    }

    /// The same with an argument more.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    /// The names of every operation, by Keras's classes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        names()
    }

    /// That its arguments make sense, as far as they do without an input.
    pub(super) fn checked(&self) -> Checked<()> {
        self.check()
    }

    fn row(&self) -> Checked<&'static Row> {
        row(&self.op).ok_or_else(|| {
            let hint = nearest(&self.op, names())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            format!("op `{}` is unknown{hint}", self.op)
        })
    }

    /// The constants, with their shapes.
    fn constants(&self) -> Checked<Vec<Option<Constant>>> {
        let read = |(place, value): (usize, &Value)| match value {
            Value::Null => Ok(None),
            value => Constant::read(value).map(Some).ok_or_else(|| {
                format!("operand {place} must be null, a number, or lists of numbers that are of one length")
            }),
        };
        self.operands.iter().enumerate().map(read).collect()
    }

    /// The shapes of all operands where the tensors have `inputs`.
    fn operand_shapes(&self, row: &Row, inputs: &[Shape]) -> Checked<Vec<Shape>> {
        let constants = self.constants()?;
        let mut tensors = inputs.iter();
        let mut shapes = vec![];
        for constant in &constants {
            shapes.push(match constant {
                Some(constant) => constant.dims.iter().map(|&size| Some(size)).collect(),
                None => tensors.next().cloned().ok_or_else(|| self.wrong_count(row, inputs.len()))?,
            });
        }
        shapes.extend(tensors.cloned());
        let fits = match row.operands() {
            Operands::Exactly(count) => shapes.len() == count,
            Operands::Several | Operands::List => !shapes.is_empty(),
        };
        if fits { Ok(shapes) } else { Err(self.wrong_count(row, inputs.len())) }
    }

    fn wrong_count(&self, row: &Row, inputs: usize) -> String {
        let needed = match row.operands() {
            Operands::Exactly(count) => count.to_string(),
            Operands::Several | Operands::List => "one or more".into(),
        };
        let constants = self.operands.iter().filter(|value| !value.is_null()).count();
        format!("{} needs {needed} operands, given {inputs} tensors and {constants} constants", self.op)
    }
}

/// A constant in the place of a tensor.
#[derive(Clone, Debug)]
struct Constant {
    dims: Vec<usize>,
    numbers: Vec<f64>,
    dtype: DType,
}

impl Constant {
    fn read(value: &Value) -> Option<Self> {
        let mut constant = Self { dims: vec![], numbers: vec![], dtype: DType::U8 };
        constant.gather(value, 0)?;
        (constant.numbers.len() == constant.dims.iter().product::<usize>()).then_some(constant)
    }

    fn gather(&mut self, value: &Value, depth: usize) -> Option<()> {
        match value {
            Value::Array(list) if !list.is_empty() && depth < 16 => {
                match self.dims.get(depth) {
                    None if self.numbers.is_empty() => self.dims.push(list.len()),
                    Some(size) if *size == list.len() => {}
                    _ => return None,
                }
                list.iter().try_for_each(|item| self.gather(item, depth + 1))
            }
            Value::Bool(flag) if depth == self.dims.len() => {
                self.numbers.push(if *flag { 1.0 } else { 0.0 });
                Some(())
            }
            Value::Number(number) if depth == self.dims.len() => {
                let is_whole = number.is_i64() || number.is_u64();
                if !is_whole {
                    self.dtype = DType::F32;
                } else if self.dtype == DType::U8 {
                    self.dtype = DType::I64;
                }
                self.numbers.push(number.as_f64()?);
                Some(())
            }
            Value::String(word) if depth == self.dims.len() => {
                self.dtype = DType::F32;
                self.numbers.push(non_finite(word)?);
                Some(())
            }
            _ => None,
        }
    }

    fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.numbers, self.dims.as_slice(), device)?.to_dtype(self.dtype)
    }
}

impl Config for OperationConfig {
    fn check(&self) -> Checked<()> {
        let row = self.row()?;
        for (name, value) in &self.arguments {
            let Some(argument) = row.argument(name) else {
                let known: Vec<&str> = row.arguments.iter().map(|argument| argument.name).collect();
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "it takes none".into(),
                    None => format!("it takes {}", known.join(", ")),
                };
                return Err(format!("{} has no argument `{name}`; {hint}", self.op));
            };
            if let Some(expected) = argument.kind.expected(value).filter(|_| !value.is_null()) {
                return Err(format!("{name} is {value}, expected {expected}"));
            }
        }
        for argument in row.arguments {
            let is_needed = matches!(argument.default, super::row::Default::Needed);
            if is_needed && self.arguments.get(argument.name).is_none_or(Value::is_null) {
                return Err(format!("{} needs `{}`", self.op, argument.name));
            }
        }
        self.constants().map(|_| ())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let row = self.row()?;
        let shapes = self.operand_shapes(row, inputs)?;
        let given = Given::new(row, &self.arguments, &[]);
        let outputs = match row.place {
            Place::Same => vec![shapes.first().cloned().unwrap_or_default()],
            Place::Broadcast => {
                let shape = broadcast(&shapes)?;
                // A constant with an axis for the batch would fix its size.
                let batch = inputs
                    .iter()
                    .filter(|input| input.len() == shape.len())
                    .any(|input| input.first() == Some(&None));
                if batch && shape.first() != Some(&None) {
                    let shapes: Vec<String> = shapes.iter().map(|shape| show(shape)).collect();
                    return Err(format!(
                        "its operands {} would fix the size of the batch, which is not supported",
                        shapes.join(" and ")
                    ));
                }
                vec![shape]
            }
            Place::By(place) => place(&given, &shapes)?,
        };
        Ok(Placed::new(outputs))
    }

    fn check_keras3(&self, inputs: &[Shape]) -> Checked<()> {
        let shapes = self.operand_shapes(self.row()?, inputs)?;
        match (self.op.as_str(), shapes.first(), self.constants()?.get(1)) {
            ("Add", Some(first), Some(Some(constant))) => check_bias_axis("constant", &constant.dims, first),
            _ => Ok(()),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        // Neither version of Keras hands a mask on.
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Operation::new(inputs, self.clone(), vb)?))
    }
}

/// An operation of `keras.ops` between layers.
#[derive(Clone, Debug)]
pub struct Operation {
    config: OperationConfig,
    constants: Vec<Option<Tensor>>,
    scalars: Vec<Option<f64>>,
}

impl Operation {
    /// The operation on inputs of these shapes, the batch first. It has no variables; messages name it by the prefix of
    /// `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or the inputs do not fit.
    pub fn new(inputs: &[Shape], config: OperationConfig, vb: VarBuilder) -> Result<Self> {
        let constants = config.check().and_then(|()| config.place(inputs)).and_then(|_| config.constants());
        let constants = match constants {
            Ok(constants) => constants,
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        };
        let scalar = |constant: &Option<Constant>| {
            constant.as_ref().filter(|constant| constant.dims.is_empty())?.numbers.first().copied()
        };
        let scalars = constants.iter().map(scalar).collect();
        let tensor = |constant: &Option<Constant>| {
            constant.as_ref().map(|constant| constant.tensor(vb.device())).transpose()
        };
        let constants = constants.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self { config, constants, scalars })
    }

    /// The configuration.
    pub fn config(&self) -> &OperationConfig {
        &self.config
    }

    /// The outputs for the tensors among the operands. Truths are u8, whole numbers i64.
    ///
    /// # Errors
    /// If the tensors do not fit.
    pub fn call(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let row = match self.config.row() {
            Ok(row) => row,
            Err(what) => bail!("{what}"),
        };
        let mut tensors = inputs.iter();
        let mut operands = vec![];
        for constant in &self.constants {
            match constant.as_ref().or_else(|| tensors.next()) {
                Some(operand) => operands.push(operand.clone()),
                None => bail!("{}", self.config.wrong_count(row, inputs.len())),
            }
        }
        operands.extend(tensors.cloned());
        self.check_size(row, &operands)?;
        let given = Given::new(row, &self.config.arguments, &self.scalars);
        let outputs = match (row.run, operands.as_slice()) {
            (Run::One(run), [xs]) => vec![run(&given, xs)?],
            (Run::Two(run), [a, b]) => vec![run(&given, a, b)?],
            (Run::Three(run), [a, b, c]) => vec![run(&given, a, b, c)?],
            (Run::Several(run) | Run::List(run), [_, ..]) => vec![run(&given, &operands)?],
            (Run::Apart(run), [xs]) => run(&given, xs)?,
            _ => bail!("{}", self.config.wrong_count(row, inputs.len())),
        };
        Ok(outputs)
    }

    /// Refuses what is broadcast to more than memory holds.
    fn check_size(&self, row: &Row, operands: &[Tensor]) -> Result<()> {
        if !matches!(row.place, Place::Broadcast) {
            return Ok(());
        }
        let shapes: Vec<Shape> =
            operands.iter().map(|xs| xs.dims().iter().map(|&n| Some(n)).collect()).collect();
        match broadcast(&shapes) {
            Ok(shape) if is_holdable(shape.iter().copied().flatten()) => Ok(()),
            Ok(shape) => bail!("{}: {} would be more than 2^31 numbers", self.config.op, show(&shape)),
            Err(what) => bail!("{}: {what}", self.config.op),
        }
    }
}

impl Layer for Operation {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let tensors = inputs.iter().map(|input| input.values.tensor()).collect::<Result<Vec<_>>>()?;
        Ok(self.call(&tensors)?.into_iter().map(Flow::from).collect())
    }
}
