//! Operations between layers as tf.keras 2.4 to 2.15 writes them: `TFOpLambda` and `SlicingOpLambda`, each with the name of
//! a function of TensorFlow, and that function's arguments in the call.

use super::call::{Reference, reference};
use super::operands::{Found, Operand, is_constant, key_of, short, unknown};
use serde_json::{Map, Value};

/// The classes that stand for a function of TensorFlow.
pub(super) const CLASSES: [&str; 5] =
    ["TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"];

type Checked<T> = std::result::Result<T, String>;

/// A function of TensorFlow: its names, Keras's operation, the parameters that are operands, and the others. Of these
/// `perm=axes` has another name in Keras, `conjugate:false` must be left as it is, and `approximate!false` is what Keras
/// would take otherwise.
const FUNCTIONS: &[(&str, &str, &str, &str)] = &[
    ("math.abs abs", "Absolute", "x", ""),
    ("math.negative negative", "Negative", "x", ""),
    ("math.square square", "Square", "x", ""),
    ("math.sign sign", "Sign", "x", ""),
    ("math.exp exp", "Exp", "x", ""),
    ("math.expm1", "Expm1", "x", ""),
    ("math.log", "Log", "x", ""),
    ("math.log1p", "Log1p", "x", ""),
    ("math.sqrt sqrt", "Sqrt", "x", ""),
    ("math.rsqrt", "Rsqrt", "x", ""),
    ("math.reciprocal", "Reciprocal", "x", ""),
    ("math.sin sin", "Sin", "x", ""),
    ("math.cos cos", "Cos", "x", ""),
    ("math.tan tan", "Tan", "x", ""),
    ("math.sinh sinh", "Sinh", "x", ""),
    ("math.cosh cosh", "Cosh", "x", ""),
    ("math.tanh tanh nn.tanh", "Tanh", "x", ""),
    ("math.erf", "Erf", "x", ""),
    ("math.floor floor", "Floor", "x", ""),
    ("math.ceil ceil", "Ceil", "x", ""),
    ("math.round round", "Round", "x", ""),
    ("math.is_nan compat.v1.is_nan", "Isnan", "x", ""),
    ("math.is_finite", "Isfinite", "x", ""),
    ("math.logical_not", "LogicalNot", "x", ""),
    ("identity", "Copy", "input", ""),
    ("stop_gradient", "StopGradient", "input", ""),
    ("math.sigmoid sigmoid nn.sigmoid", "Sigmoid", "x", ""),
    ("math.log_sigmoid", "LogSigmoid", "x", ""),
    ("nn.relu", "Relu", "features", ""),
    ("nn.relu6", "Relu6", "features", ""),
    ("nn.silu nn.swish", "Silu", "features", "beta:1.0"),
    ("nn.gelu", "Gelu", "features", "approximate!false"),
    ("nn.elu", "Elu", "features", ""),
    ("nn.selu", "Selu", "features", ""),
    ("nn.softplus math.softplus", "Softplus", "features", ""),
    ("nn.softsign math.softsign", "Softsign", "features", ""),
    ("nn.leaky_relu", "LeakyRelu", "features", "alpha=negative_slope"),
    ("nn.softmax", "Softmax", "logits", "axis"),
    ("nn.log_softmax", "LogSoftmax", "logits", "axis"),
    ("clip_by_value", "Clip", "t", "clip_value_min=x_min clip_value_max=x_max"),
    ("cast", "Cast", "x", "dtype"),
    ("zeros_like", "ZerosLike", "input", "dtype"),
    ("ones_like", "OnesLike", "input", "dtype"),
    ("__operators__.add math.add add", "Add", "x y", ""),
    ("math.subtract subtract", "Subtract", "x y", ""),
    ("math.multiply multiply", "Multiply", "x y", ""),
    ("math.truediv math.divide divide realdiv", "TrueDivide", "x y", ""),
    ("math.divide_no_nan", "DivideNoNan", "x y", ""),
    ("math.floordiv compat.v1.floor_div floor_div", "FloorDivide", "x y", ""),
    ("math.floormod math.mod", "Mod", "x y", ""),
    ("math.pow pow", "Power", "x y", ""),
    ("math.maximum maximum", "Maximum", "x y", ""),
    ("math.minimum minimum", "Minimum", "x y", ""),
    ("math.greater greater", "Greater", "x y", ""),
    ("math.greater_equal greater_equal", "GreaterEqual", "x y", ""),
    ("math.less less", "Less", "x y", ""),
    ("math.less_equal less_equal", "LessEqual", "x y", ""),
    ("math.equal equal", "Equal", "x y", ""),
    ("math.not_equal not_equal", "NotEqual", "x y", ""),
    ("__operators__.eq", "Equal", "self other", ""),
    ("__operators__.ne", "NotEqual", "self other", ""),
    ("math.logical_and logical_and", "LogicalAnd", "x y", ""),
    ("math.logical_or logical_or", "LogicalOr", "x y", ""),
    ("math.logical_xor", "LogicalXor", "x y", ""),
    ("where compat.v1.where", "Where", "condition x y", ""),
    ("math.reduce_mean", "Mean", "input_tensor", "axis keepdims"),
    ("math.reduce_sum", "Sum", "input_tensor", "axis keepdims"),
    ("math.reduce_max", "Max", "input_tensor", "axis keepdims"),
    ("math.reduce_min", "Min", "input_tensor", "axis keepdims"),
    ("math.reduce_prod", "Prod", "input_tensor", "axis keepdims"),
    ("math.reduce_variance", "Var", "input_tensor", "axis keepdims"),
    ("math.reduce_std", "Std", "input_tensor", "axis keepdims"),
    ("math.reduce_any", "Any", "input_tensor", "axis keepdims"),
    ("math.reduce_all", "All", "input_tensor", "axis keepdims"),
    ("math.reduce_logsumexp", "Logsumexp", "input_tensor", "axis keepdims"),
    ("math.argmax", "Argmax", "input", "axis output_type:*"),
    ("math.argmin", "Argmin", "input", "axis output_type:*"),
    ("norm compat.v1.norm linalg.norm", "Norm", "tensor", "ord axis keepdims"),
    ("math.l2_normalize nn.l2_normalize", "Normalize", "x", "axis"),
    ("reshape", "Reshape", "tensor", "shape=newshape"),
    ("transpose compat.v1.transpose", "Transpose", "a", "perm=axes conjugate:false"),
    ("expand_dims", "ExpandDims", "input", "axis"),
    ("squeeze compat.v1.squeeze", "Squeeze", "input", "axis"),
    ("broadcast_to", "BroadcastTo", "input", "shape"),
    ("keras.backend.batch_flatten", "Reshape", "x", "newshape![null,-1]"),
    ("unstack", "Unstack", "value", "num axis"),
    ("concat", "Concatenate", "values*", "axis"),
    ("stack", "Stack", "values*", "axis"),
    ("reverse", "Flip", "tensor", "axis"),
    ("repeat", "Repeat", "input", "repeats axis"),
    ("tile", "Tile", "input", "multiples=repeats"),
    ("roll", "Roll", "input", "shift axis"),
    ("pad compat.v1.pad", "Pad", "tensor", "paddings=pad_width mode constant_values"),
    ("gather compat.v1.gather", "Take", "params indices", "axis batch_dims:0 validate_indices:*"),
    ("split", "Split", "value", "num_or_size_splits=indices_or_sections axis num:*"),
    ("math.cumsum cumsum", "Cumsum", "x", "axis exclusive:false reverse:false"),
    ("one_hot", "OneHot", "indices", "depth=num_classes axis dtype on_value:1 off_value:0"),
    ("linalg.matmul matmul", "Matmul", "a b", "transpose_a=a transpose_b=b"),
    ("tensordot", "Tensordot", "a b", "axes"),
];

/// The operation that a call of a function of TensorFlow is.
pub(super) fn read(value: &Value, node: &Value) -> Checked<Found> {
    let function = value.pointer("/config/function").and_then(Value::as_str).unwrap_or("a function");
    let (first, mut arguments) = taken(function, node)?;
    if function == "__operators__.getitem" {
        let [Given::Tensor(tensor)] = first.as_slice() else {
            return Err(format!("`{function}`: its tensor is missing"));
        };
        let key = arguments
            .shift_remove("slice_spec")
            .ok_or_else(|| format!("`{function}`: its slices are missing"))?;
        return Ok(Found::new("GetItem", vec![Operand::Tensor(tensor.clone())])
            .with("key", key_of(&key)?.to_string()));
    }
    let known = FUNCTIONS.iter().find(|(names, ..)| names.split(' ').any(|name| name == function));
    let Some((_, op, operands, others)) = known else { return Err(unknown(function)) };
    let mut given = Arguments { function, arguments };
    let mut found = Found::new(op, given.operands(first, operands)?);
    for other in others.split(' ').filter(|other| !other.is_empty()) {
        found = given.put(found, other)?;
    }
    given.finish()?;
    irregular(op, found)
}

/// What differs between a function and Keras's operation beyond the names.
fn irregular(op: &str, mut found: Found) -> Checked<Found> {
    let arguments = &mut found.config.arguments;
    match op {
        "Pad" => {
            let mode = arguments.shift_remove("mode").and_then(|mode| mode.as_str().map(str::to_lowercase));
            if let Some(mode) = mode.filter(|mode| mode != "constant") {
                return Err(format!("pads in the mode {mode}, which is not supported"));
            }
        }
        // TensorFlow takes the first axis that is not of the batch where none is given.
        "Take" if !arguments.contains_key("axis") => {
            return Err("gathers along the batch, which is not supported".into());
        }
        "Argmax" | "Argmin" if !arguments.contains_key("axis") => {
            arguments.insert("axis".into(), 0.into());
        }
        // Sizes of the parts there, places here.
        "Split" => {
            if let Some(Value::Array(sizes)) = arguments.get_mut("indices_or_sections") {
                let mut end = 0i64;
                for size in sizes.iter_mut() {
                    let known = size.as_i64().filter(|size| *size > 0).and_then(|size| end.checked_add(size));
                    end = known.ok_or("splits into sizes that are not all known, which is not supported")?;
                    *size = end.into();
                }
                sizes.pop();
            }
        }
        "Norm" if arguments.get("ord").is_some_and(|ord| ord == "euclidean") => {
            arguments.shift_remove("ord");
        }
        "Normalize" => {
            // Keras's epsilon is the root of TensorFlow's 1e-12.
            arguments.insert("epsilon".into(), 1e-6.into());
        }
        "Matmul" => {
            let turned = |name: &str, arguments: &mut Map<String, Value>| {
                arguments.shift_remove(name).is_some_and(|turned| turned == true)
            };
            let (a, b) = (turned("a", arguments), turned("b", arguments));
            if a || b {
                let (left, right) = (if a { "...ji" } else { "...ij" }, if b { "...kj" } else { "...jk" });
                found.config.op = "Einsum".into();
                let subscripts = format!("{left},{right}->...ik");
                found.config.arguments.insert("subscripts".into(), subscripts.into());
            }
        }
        _ => {}
    }
    Ok(found)
}

/// Something that a function was called on.
enum Given {
    Tensor(Reference),
    Constant(Value),
}

/// The first argument of the call, one or a list, and the others by name.
fn taken(function: &str, node: &Value) -> Checked<(Vec<Given>, Map<String, Value>)> {
    let wrong = || format!("`{function}`: its call is in a form that is not known");
    let list = node.as_array().ok_or_else(wrong)?;
    // `["x", 0, 0, {…}]`, or a list of these, or in a list of one.
    let parts: Vec<&[Value]> = match list.first() {
        Some(Value::String(_)) => vec![list.as_slice()],
        Some(Value::Array(inner)) if inner.first().is_some_and(Value::is_array) && list.len() == 1 => inner
            .iter()
            .map(Value::as_array)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?
            .into_iter()
            .map(Vec::as_slice)
            .collect(),
        _ => list
            .iter()
            .map(Value::as_array)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?
            .into_iter()
            .map(Vec::as_slice)
            .collect(),
    };
    let mut given = vec![];
    for part in &parts {
        given.push(match part {
            [Value::String(constant), _, value, ..] if constant == "_CONSTANT_VALUE" => {
                Given::Constant(value.clone())
            }
            part => Given::Tensor(reference(part).ok_or_else(wrong)?),
        });
    }
    let arguments = parts.first().and_then(|part| part.get(3)?.as_object().cloned());
    Ok((given, arguments.unwrap_or_default()))
}

/// The arguments of a call by name, of which each is asked for once.
struct Arguments<'a> {
    function: &'a str,
    arguments: Map<String, Value>,
}

impl Arguments<'_> {
    fn operands(&mut self, first: Vec<Given>, names: &str) -> Checked<Vec<Operand>> {
        let Self { function, .. } = *self;
        let mut operands = vec![];
        for given in first {
            operands.push(match given {
                Given::Tensor(reference) => Operand::Tensor(reference),
                Given::Constant(value) if is_constant(&value) => Operand::Constant(value),
                Given::Constant(value) => {
                    return Err(format!("`{function}`: its operand {} is no number", short(&value)));
                }
            });
        }
        let mut names = names.split(' ');
        let is_list = names.next().is_some_and(|name| name.ends_with('*'));
        if !is_list && operands.len() != 1 {
            return Err(format!("`{function}`: its call is in a form that is not known"));
        }
        for name in names {
            let value = self.arguments.shift_remove(name).filter(|value| !value.is_null());
            let value = value.ok_or_else(|| format!("`{function}`: the file does not say its `{name}`"))?;
            let tensor = value.as_array().and_then(|list| reference(list));
            operands.push(match tensor {
                Some(reference) => Operand::Tensor(reference),
                None if is_constant(&value) => Operand::Constant(value),
                None => {
                    return Err(format!(
                        "`{function}`: its `{name}` {} is neither a tensor nor numbers",
                        short(&value)
                    ));
                }
            });
        }
        Ok(operands)
    }

    /// Puts an argument into the operation by a rule of the table.
    fn put(&mut self, found: Found, rule: &str) -> Checked<Found> {
        let Self { function, .. } = *self;
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        if let Some((name, only)) = rule.split_once(':') {
            let value = self.arguments.shift_remove(name).filter(|value| !value.is_null());
            let same = |a: &Value, b: &Value| a.as_f64().is_some() && a.as_f64() == b.as_f64();
            return match value {
                Some(value) if only != "*" && value != json(only) && !same(&value, &json(only)) => {
                    Err(format!("`{function}`: its `{name}` is {}, which is not supported", short(&value)))
                }
                _ => Ok(found),
            };
        }
        let (rule, default) =
            rule.split_once('!').map_or((rule, None), |(name, default)| (name, Some(default)));
        let (name, own) = rule.split_once('=').unwrap_or((rule, rule));
        let value = self.arguments.shift_remove(name).filter(|value| !value.is_null());
        let Some(value) = value.or_else(|| default.map(json)) else { return Ok(found) };
        if default.is_none() && !(is_constant(&value) || value.is_string()) {
            return Err(format!(
                "`{function}`: its `{name}` {} is no constant, which is not supported",
                short(&value)
            ));
        }
        Ok(found.with(own, value))
    }

    /// That nothing is left that would change the numbers.
    fn finish(self) -> Checked<()> {
        let Self { function, arguments } = self;
        let left = arguments.iter().find(|(name, value)| *name != "name" && !value.is_null());
        match left {
            Some((name, value)) => {
                Err(format!("`{function}`: its argument `{name}` {} is not supported", short(value)))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::operation_row;

    /// The table names operations and arguments that there are.
    #[test]
    fn functions_are_operations() {
        for (names, op, _, others) in FUNCTIONS {
            let row = operation_row(op).unwrap_or_else(|| panic!("{names}: {op}"));
            for rule in others.split(' ').filter(|rule| !rule.is_empty() && !rule.contains(':')) {
                let (rule, _) = rule.split_once('!').unwrap_or((rule, ""));
                let own = rule.split_once('=').map_or(rule, |(_, own)| own);
                let known = row.argument(own).is_some() || *op == "Matmul";
                assert!(known, "{names}: {rule}");
            }
        }
    }
}
