//! Operations between layers as tf.keras 2.0 to 2.3 writes them: `TensorFlowOpLayer`, a node of a graph of TensorFlow's with
//! its constant inputs.

use super::call::{Reference, ends};
use super::operands::{Found, Operand, is_constant, short, unknown};
use crate::layers::{Index, Key};
use serde_json::{Value, json};

type Checked<T> = std::result::Result<T, String>;

/// TensorFlow's name of a node's operation and Keras's, where the inputs are the operands.
const PLAIN: &[(&str, &str)] = &[
    ("Add", "Add"),
    ("AddV2", "Add"),
    ("Sub", "Subtract"),
    ("Mul", "Multiply"),
    ("RealDiv", "TrueDivide"),
    ("FloorDiv", "FloorDivide"),
    ("FloorMod", "Mod"),
    ("Pow", "Power"),
    ("Maximum", "Maximum"),
    ("Minimum", "Minimum"),
    ("Greater", "Greater"),
    ("GreaterEqual", "GreaterEqual"),
    ("Less", "Less"),
    ("LessEqual", "LessEqual"),
    ("Equal", "Equal"),
    ("NotEqual", "NotEqual"),
    ("LogicalAnd", "LogicalAnd"),
    ("LogicalOr", "LogicalOr"),
    ("LogicalNot", "LogicalNot"),
    ("SelectV2", "Where"),
    ("Abs", "Absolute"),
    ("Neg", "Negative"),
    ("Square", "Square"),
    ("Sign", "Sign"),
    ("Exp", "Exp"),
    ("Log", "Log"),
    ("Log1p", "Log1p"),
    ("Expm1", "Expm1"),
    ("Sqrt", "Sqrt"),
    ("Rsqrt", "Rsqrt"),
    ("Reciprocal", "Reciprocal"),
    ("Sin", "Sin"),
    ("Cos", "Cos"),
    ("Tanh", "Tanh"),
    ("Sigmoid", "Sigmoid"),
    ("Relu", "Relu"),
    ("Relu6", "Relu6"),
    ("Elu", "Elu"),
    ("Selu", "Selu"),
    ("Softplus", "Softplus"),
    ("Softsign", "Softsign"),
    ("Softmax", "Softmax"),
    ("LogSoftmax", "LogSoftmax"),
    ("Floor", "Floor"),
    ("Ceil", "Ceil"),
    ("Identity", "Copy"),
    ("StopGradient", "StopGradient"),
    ("ZerosLike", "ZerosLike"),
    ("OnesLike", "OnesLike"),
    ("MatMul", "Matmul"),
    ("BatchMatMul", "Matmul"),
    ("BatchMatMulV2", "Matmul"),
];

/// Those whose last input is a constant argument of Keras's.
const LAST: &[(&str, &str, &str)] = &[
    ("Mean", "Mean", "axis"),
    ("Sum", "Sum", "axis"),
    ("Max", "Max", "axis"),
    ("Min", "Min", "axis"),
    ("Prod", "Prod", "axis"),
    ("Any", "Any", "axis"),
    ("All", "All", "axis"),
    ("ArgMax", "Argmax", "axis"),
    ("ArgMin", "Argmin", "axis"),
    ("Transpose", "Transpose", "axes"),
    ("Reshape", "Reshape", "newshape"),
    ("ExpandDims", "ExpandDims", "axis"),
    ("ConcatV2", "Concatenate", "axis"),
    ("Tile", "Tile", "repeats"),
    ("ReverseV2", "Flip", "axis"),
    ("Pad", "Pad", "pad_width"),
    ("BroadcastTo", "BroadcastTo", "shape"),
    ("Cumsum", "Cumsum", "axis"),
];

/// The operation that a node is.
pub(super) fn read(value: &Value, node: &Value) -> Checked<Found> {
    let wrong = || "its `node_def` cannot be understood".to_string();
    let definition = value.pointer("/config/node_def").ok_or_else(wrong)?;
    // The JSON of the protocol buffer, as a text.
    let definition = match definition {
        Value::String(text) => crate::json::parse(text).map_err(|_| wrong())?,
        value => value.clone(),
    };
    let op = definition.get("op").and_then(Value::as_str).ok_or_else(wrong)?;
    let tensors =
        ends(&without_arguments(node)).ok_or("its `inbound_nodes` are in a form that is not known")?;
    let mut operands = operands(value, tensors)?;
    let attribute = |name: &str| definition.pointer(&format!("/attr/{name}"));
    let is_set = |name: &str| attribute(name).and_then(|flag| flag.get("b")) == Some(&Value::Bool(true));
    if let Some((_, own)) = PLAIN.iter().find(|(known, _)| *known == op) {
        let turned = [is_set("adj_x") || is_set("transpose_a"), is_set("adj_y") || is_set("transpose_b")];
        if *own == "Matmul" && turned != [false, false] {
            let left = if turned[0] { "...ji" } else { "...ij" };
            let right = if turned[1] { "...kj" } else { "...jk" };
            return Ok(Found::new("Einsum", operands).with("subscripts", format!("{left},{right}->...ik")));
        }
        return Ok(Found::new(own, operands));
    }
    if let Some((_, own, name)) = LAST.iter().find(|(known, ..)| *known == op) {
        let Some(Operand::Constant(last)) = operands.pop() else {
            return Err(format!("stands for `{op}` with no constant for its {name}, which is not supported"));
        };
        if is_set("exclusive") || is_set("reverse") {
            return Err(format!("stands for `{op}` with exclusive or reverse, which is not supported"));
        }
        let found = Found::new(own, operands).with(name, last);
        return Ok(if is_set("keep_dims") { found.with("keepdims", true) } else { found });
    }
    let whole = |name: &str| match attribute(name).and_then(|value| value.get("i")) {
        Some(Value::String(text)) => text.parse::<i64>().ok(),
        Some(value) => value.as_i64(),
        None => None,
    };
    match op {
        "Pack" => Ok(Found::new("Stack", operands).with("axis", whole("axis").unwrap_or(0))),
        "Unpack" => Ok(Found::new("Unstack", operands).with("axis", whole("axis").unwrap_or(0))),
        "Squeeze" => {
            let axes = attribute("squeeze_dims").and_then(|value| value.pointer("/list/i")?.as_array());
            let axis = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
            let axes: Option<Vec<i64>> = axes.and_then(|axes| axes.iter().map(axis).collect());
            let found = Found::new("Squeeze", operands);
            Ok(axes.into_iter().fold(found, |found, axes| found.with("axis", axes)))
        }
        "LeakyRelu" => {
            let slope = attribute("alpha").and_then(|value| value.get("f")?.as_f64()).unwrap_or(0.2);
            Ok(Found::new("LeakyRelu", operands).with("negative_slope", slope))
        }
        "Cast" => {
            let dtype = attribute("DstT").and_then(|value| value.get("type")?.as_str()).unwrap_or_default();
            let dtype = match dtype {
                "DT_FLOAT" => "float32",
                "DT_DOUBLE" => "float64",
                "DT_INT32" => "int32",
                "DT_INT64" => "int64",
                "DT_BOOL" => "bool",
                other => other,
            };
            Ok(Found::new("Cast", operands).with("dtype", dtype))
        }
        "StridedSlice" => {
            let key = key(operands.split_off(operands.len().min(1)), &whole)?;
            Ok(Found::new("GetItem", operands).with("key", key.to_string()))
        }
        other => Err(unknown(other)),
    }
}

/// The references of a call without what stands after them.
fn without_arguments(node: &Value) -> Value {
    match node {
        Value::Array(list) => {
            list.iter().filter(|item| !item.is_object()).map(without_arguments).collect::<Vec<_>>().into()
        }
        other => other.clone(),
    }
}

/// The inputs of the node in order: the constants stand at the places that the file says.
fn operands(value: &Value, tensors: Vec<Reference>) -> Checked<Vec<Operand>> {
    let empty = serde_json::Map::new();
    let constants = value.pointer("/config/constants").and_then(Value::as_object).unwrap_or(&empty);
    let mut tensors = tensors.into_iter();
    let mut operands = vec![];
    let mut left = constants.len();
    loop {
        match constants.get(&operands.len().to_string()) {
            Some(constant) if is_constant(constant) => {
                left -= 1;
                operands.push(Operand::Constant(constant.clone()));
            }
            Some(constant) => return Err(format!("its constant {} is no number", short(constant))),
            None => match tensors.next() {
                Some(tensor) => operands.push(Operand::Tensor(tensor)),
                None if left == 0 => return Ok(operands),
                None => return Err("its constants stand at places that it does not have".into()),
            },
        }
    }
}

/// Begin, end and strides, and the bits of those that do not count.
fn key(bounds: Vec<Operand>, whole: &dyn Fn(&str) -> Option<i64>) -> Checked<Key> {
    let wrong =
        || "stands for `StridedSlice` with bounds that are no constants, which is not supported".to_string();
    let numbers = |operand: &Operand| match operand {
        Operand::Constant(value) => {
            let list = value.as_array().cloned().unwrap_or_else(|| vec![json!(value)]);
            list.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>()
        }
        Operand::Tensor(_) => None,
    };
    let bounds: Vec<Vec<i64>> = bounds.iter().map(numbers).collect::<Option<_>>().ok_or_else(wrong)?;
    let [begin, end, strides] = bounds.as_slice() else { return Err(wrong()) };
    if begin.len() != end.len() || begin.len() != strides.len() || begin.len() > 32 {
        return Err(wrong());
    }
    let bit = |name: &str, axis: usize| whole(name).unwrap_or(0) >> axis & 1 == 1;
    let index = |(axis, ((&start, &stop), &step)): (usize, ((&i64, &i64), &i64))| match () {
        () if bit("ellipsis_mask", axis) => Index::Ellipsis,
        () if bit("new_axis_mask", axis) => Index::NewAxis,
        () if bit("shrink_axis_mask", axis) => Index::At(start),
        () => Index::Slice {
            start: (!bit("begin_mask", axis)).then_some(start),
            stop: (!bit("end_mask", axis)).then_some(stop),
            step: (step != 1).then_some(step),
        },
    };
    Ok(Key(begin.iter().zip(end).zip(strides).enumerate().map(index).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::operation_row;

    #[test]
    fn nodes_are_operations() {
        for (_, own) in PLAIN {
            assert!(operation_row(own).is_some(), "{own}");
        }
        for (_, own, name) in LAST {
            assert!(operation_row(own).is_some_and(|row| row.argument(name).is_some()), "{own}");
        }
    }

    /// As TensorFlow 2.3 writes them: the node is JSON in a text, with its numbers in texts.
    #[test]
    fn constants_stand_where_the_node_has_them() {
        let layer = |node: Value, constants: Value| json!({ "config": { "node_def": node.to_string(), "constants": constants } });
        let on = json!([["x", 0, 0, {}]]);
        let shown = |found: Checked<Found>| serde_json::to_value(found.unwrap().config).unwrap();
        let half = read(
            &layer(json!({ "name": "mul", "op": "Mul", "input": ["mul/x", "x"] }), json!({ "0": 0.5 })),
            &on,
        );
        assert_eq!(shown(half), json!({ "op": "Multiply", "operands": [0.5, null] }));
        let node = json!({ "name": "m", "op": "Mean", "input": ["x", "axis"], "attr": { "keep_dims": { "b": true } } });
        assert_eq!(
            shown(read(&layer(node, json!({ "1": 1 })), &on)),
            json!({ "op": "Mean", "axis": 1, "keepdims": true })
        );
        let masks =
            json!({ "begin_mask": { "i": "5" }, "end_mask": { "i": "5" }, "shrink_axis_mask": { "i": "2" } });
        let node = json!({ "name": "s", "op": "StridedSlice", "input": ["x", "b", "e", "s"], "attr": masks });
        let constants = json!({ "1": [0, -1, 0], "2": [0, 0, 0], "3": [1, 1, -1] });
        assert_eq!(
            shown(read(&layer(node, constants), &on)),
            json!({ "op": "GetItem", "key": "[:, -1, ::-1]" })
        );
        let error = read(&layer(json!({ "op": "Bincount" }), json!({})), &on).map(|_| ()).unwrap_err();
        assert!(error.contains("`Bincount`"), "{error}");
    }
}
