//! One layer of each class, to Keras 3's class and arguments.

use super::activation::{Found, activation_arguments};
use super::fields::{Arguments, Fields};
use super::preprocessing::{is_preprocessing, preprocessing};
use super::{Context, Layer, Source, tensorflow};
use crate::Result;
use crate::layers::number_value;
use serde_json::{Value, json};

impl Context {
    /// A layer that is not a model.
    pub fn simple(&mut self, fields: &Fields) -> Result<Layer> {
        let new = Arguments::new;
        let (class, arguments): (&'static str, Arguments) = match fields.class {
            "InputLayer" => ("InputLayer", self.input(fields)?),
            "Embedding" => {
                if fields.number(&["dropout"])?.is_some_and(|rate| rate > 0.0) {
                    self.warnings.push(format!(
                        "layer {}: Keras 1 drops words in training (`dropout`); training here would go without it",
                        fields.name
                    ));
                }
                let arguments = new()
                    .put("input_dim", Some(fields.need_count(&["input_dim"])?))
                    .put("output_dim", Some(fields.need_count(&["output_dim"])?))
                    .put("mask_zero", fields.flag(&["mask_zero"])?);
                ("Embedding", arguments)
            }
            "Dense" | "TimeDistributedDense" => {
                let arguments = new()
                    .put("units", Some(fields.need_count(&["units", "output_dim"])?))
                    .put("use_bias", fields.flag(&["use_bias", "bias"])?);
                return self.with_activation("Dense", fields, arguments);
            }
            "EinsumDense" => return self.with_activation("EinsumDense", fields, einsum_dense(fields)?),
            "Conv1D" | "Convolution1D" | "AtrousConvolution1D" => {
                let arguments = self.conv1d(fields)?;
                return self.with_activation("Conv1D", fields, arguments);
            }
            "Conv2D" | "Convolution2D" => {
                let arguments = self.conv2d(fields)?;
                return self.with_activation("Conv2D", fields, arguments);
            }
            "Conv3D" | "Convolution3D" => {
                let arguments = self.conv3d(fields)?;
                return self.with_activation("Conv3D", fields, arguments);
            }
            "DepthwiseConv1D"
            | "DepthwiseConv2D"
            | "DepthwiseConvolution2D"
            | "SeparableConv1D"
            | "SeparableConv2D"
            | "SeparableConvolution1D"
            | "SeparableConvolution2D" => {
                let (class, arguments) = self.depthwise(fields)?;
                let mut layer = self.with_activation(class, fields, arguments)?;
                layer.source.is_depthwise = true;
                return Ok(layer);
            }
            "Conv1DTranspose"
            | "Conv2DTranspose"
            | "Conv3DTranspose"
            | "Convolution1DTranspose"
            | "Convolution2DTranspose"
            | "Convolution3DTranspose"
            | "Deconvolution2D"
            | "Deconvolution3D" => {
                let (class, arguments) = self.conv_transpose(fields)?;
                return self.with_activation(class, fields, arguments);
            }
            "ZeroPadding1D" | "ZeroPadding2D" | "ZeroPadding3D" | "Cropping1D" | "Cropping2D"
            | "Cropping3D" | "UpSampling1D" | "UpSampling2D" | "UpSampling3D" => self.borders(fields)?,
            "Rescaling" => {
                if self.major < 3 && self.has_masks {
                    let what = "in a model with masks Keras 2 drops them here, which is not followed; save it with Keras 3";
                    return Err(fields.error(what));
                }
                let offset = fields.number(&["offset"])?;
                let scale = fields.number(&["scale"])?.ok_or_else(|| fields.error("`scale` is missing"))?;
                ("Rescaling", new().put("scale", Some(scale)).put("offset", offset))
            }
            class if is_preprocessing(class) => preprocessing(fields)?,
            "Identity" => return Ok(self.finish("Activation", activation_arguments("linear"), fields)),
            "SimpleRNN" | "LSTM" | "GRU" | "CuDNNLSTM" | "CuDNNGRU" | "ConvLSTM2D" => {
                return self.recurrent(fields);
            }
            "Bidirectional" => return self.bidirectional(fields),
            "RNN" => return self.rnn(fields),
            "TimeDistributed" => return self.time_distributed(fields),
            class if class.contains("Pool") => self.pooling(fields)?,
            "Concatenate" | "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" | "Dot"
            | "Merge" => self.merge(fields)?,
            "BatchNormalization"
            | "BatchNormalizationV1"
            | "BatchNormalizationV2"
            | "SyncBatchNormalization" => ("BatchNormalization", batch_normalization(fields)?),
            "LayerNormalization" => ("LayerNormalization", layer_normalization(fields)?),
            "UnitNormalization" => {
                if self.major < 3 {
                    self.warnings.push(format!(
                        "layer {}: Keras 2's UnitNormalization leaves vectors shorter than 1e-6 below length 1; here, as in \
                         Keras 3, only those below 1e-12",
                        fields.name
                    ));
                }
                ("UnitNormalization", new().put("axis", axes(fields)?))
            }
            "GroupNormalization" => ("GroupNormalization", group_normalization(fields)?),
            "Dropout" => {
                let arguments = new().put("rate", Some(rate(fields)?));
                ("Dropout", arguments.put("noise_shape", noise_shape(fields)?))
            }
            "GaussianDropout" => ("GaussianDropout", new().put("rate", Some(self.noise_rate(fields)?))),
            "AlphaDropout" => {
                let arguments = new().put("rate", Some(self.noise_rate(fields)?));
                ("AlphaDropout", arguments.put("noise_shape", noise_shape(fields)?))
            }
            "SpatialDropout1D" => ("SpatialDropout1D", new().put("rate", Some(rate(fields)?))),
            "SpatialDropout2D" | "SpatialDropout3D" => {
                fields.channels_last()?;
                let class =
                    if fields.class == "SpatialDropout2D" { "SpatialDropout2D" } else { "SpatialDropout3D" };
                (class, new().put("rate", Some(rate(fields)?)))
            }
            "GaussianNoise" => {
                let deviation = fields.number(&["stddev", "sigma"])?.unwrap_or(0.0);
                ("GaussianNoise", new().put("stddev", Some(deviation)))
            }
            "ActivityRegularization" => {
                let arguments = new().put("l1", fields.number(&["l1"])?).put("l2", fields.number(&["l2"])?);
                ("ActivityRegularization", arguments)
            }
            "Activation" => match self.activation(fields, &["activation"])? {
                Some(Found::Layer(class, config)) => return Ok(self.finish(class, config, fields)),
                Some(Found::Named(name)) => {
                    return Ok(self.finish("Activation", activation_arguments(name), fields));
                }
                None => return Err(fields.error("`activation` is missing")),
            },
            "ReLU" | "LeakyReLU" | "ELU" | "ThresholdedReLU" | "Softmax" => {
                let class = fields.class;
                match self.activation_layer(fields)? {
                    // As a layer it keeps its class.
                    Some(Found::Named(_)) if class == "ReLU" => ("ReLU", new()),
                    Some(Found::Named(_)) if class == "ELU" => ("ELU", new()),
                    Some(Found::Named(_)) => ("Softmax", new()),
                    Some(Found::Layer(class, config)) => return Ok(self.finish(class, config, fields)),
                    None => return Err(fields.unknown()),
                }
            }
            "PReLU" => {
                let axes = match fields.get(&["shared_axes"]) {
                    None => None,
                    Some(Value::Array(axes)) if axes.is_empty() => None,
                    Some(Value::Array(_)) => Some(fields.need_integers(&["shared_axes"])?),
                    Some(_) => Some(vec![fields.need_count(&["shared_axes"])? as i64]),
                };
                ("PReLU", new().put("shared_axes", axes))
            }
            "Flatten" => {
                fields.channels_last()?;
                ("Flatten", new())
            }
            "Reshape" => ("Reshape", new().put("target_shape", integers(fields, &["target_shape", "dims"])?)),
            "Permute" => ("Permute", new().put("dims", integers(fields, &["dims"])?)),
            "RepeatVector" => ("RepeatVector", new().put("n", Some(fields.need_count(&["n"])?))),
            "Masking" => {
                let value = fields.any_number(&["mask_value"])?.unwrap_or(0.0);
                ("Masking", new().put("mask_value", Some(number_value(value))))
            }
            "Attention" => ("Attention", self.attention(fields)?),
            "AdditiveAttention" => ("AdditiveAttention", self.attention(fields)?),
            "MultiHeadAttention" => return self.multi_head(fields),
            "GroupedQueryAttention" | "GroupQueryAttention" => return self.grouped_query(fields),
            "Lambda" => return self.lambda(fields),
            // This crate's own form.
            "Operation" => {
                let config = fields.config();
                for name in config.as_object().into_iter().flat_map(|config| config.keys()) {
                    fields.raw(&[name]);
                }
                return Ok(self.finish("Operation", config, fields));
            }
            class if tensorflow::CLASSES.contains(&class) => return Err(Self::no_operation(fields)),
            _ => return Err(fields.unknown()),
        };
        Ok(self.finish(class, arguments.done(), fields))
    }

    /// A Lambda, in whose place somebody has named an operation.
    fn lambda(&mut self, fields: &Fields) -> Result<Layer> {
        let Some(operation) = self.lambdas.get(fields.name) else {
            return Err(fields.error(
                "holds Python code, which is not executed; if it is an operation such as x[:, -1] or sum(axis=1), name it \
                 with `keras::Options::lambdas`",
            ));
        };
        let operation = serde_json::to_value(operation).map_err(|error| fields.error(error))?;
        for name in LAMBDA {
            // What the operation stands for.
            fields.raw(&[name]);
        }
        self.found_lambdas.insert(fields.name.to_string());
        Ok(self.finish("Operation", operation, fields))
    }

    /// A layer without others in it.
    pub fn finish(&self, class: &'static str, config: Value, fields: &Fields) -> Layer {
        Layer { class, config, source: Source::new(fields.name, &fields.config()), tail: None }
    }

    /// A layer whose activation may have to become a layer of its own.
    fn with_activation(&self, class: &'static str, fields: &Fields, arguments: Arguments) -> Result<Layer> {
        match self.activation(fields, &["activation"])? {
            None => Ok(self.finish(class, arguments.done(), fields)),
            Some(Found::Named(name)) => {
                Ok(self.finish(class, arguments.put("activation", Some(name)).done(), fields))
            }
            Some(Found::Layer(tail, config)) => {
                let layer = self.finish(class, arguments.done(), fields);
                Ok(Layer { tail: Some((tail, config)), ..layer })
            }
        }
    }

    /// The rate of noise that has none at the rates 0 and 1 in Keras 1 and 2, and in Keras 3 cannot be trained with 1.
    fn noise_rate(&self, fields: &Fields) -> Result<f64> {
        let rate = rate(fields)?;
        let is_none = self.major < 3 && !(0.0 < rate && rate < 1.0);
        Ok(if is_none { 0.0 } else { rate })
    }

    fn input(&mut self, fields: &Fields) -> Result<Arguments> {
        if fields.flag(&["ragged"])? == Some(true) {
            self.warnings.push(format!(
                "layer {}: takes sequences of different lengths (ragged=True), and here all rows of a batch are of one \
                 length: padding counts as steps; give sequences of one length at a time",
                fields.name
            ));
        }
        if fields.flag(&["sparse"])? == Some(true) {
            self.warnings.push(format!(
                "layer {}: takes sparse tensors (sparse=True), and here the whole ones, zeros too",
                fields.name
            ));
        }
        let shape = input_shape(fields)?
            .ok_or_else(|| fields.error("has no `batch_shape`: the model's input is not known"))?;
        // What else it holds follows from who reads it.
        let text = fields.get(&["dtype"]).filter(|dtype| *dtype == "string").cloned();
        Ok(Arguments::new().put("batch_shape", Some(shape)).put("dtype", text))
    }

    fn time_distributed(&mut self, fields: &Fields) -> Result<Layer> {
        let inner = fields.get(&["layer"]).ok_or_else(|| fields.error("`layer` is missing"))?;
        let Layer { class, config, source, tail } = self.layer(inner, "layer")?;
        let config = json!({ "name": null, "layer": super::canonical(class, config) });
        let mut layer = self.finish("TimeDistributed", config, fields);
        layer.source.children = vec![source.in_role("layer")];
        // What acts on each element may act on the whole sequence as well.
        Ok(Layer { tail, ..layer })
    }
}

/// The arguments of a Lambda.
const LAMBDA: [&str; 8] = [
    "function",
    "function_type",
    "module",
    "arguments",
    "output_shape",
    "output_shape_type",
    "output_shape_module",
    "mask",
];

/// The input's shape with the batch, where an argument gives it. Keras 2 gives it to the first layer of a Sequential.
pub(super) fn input_shape(fields: &Fields) -> Result<Option<Value>> {
    let wrong = || fields.error("its input shape is no list of sizes");
    let Some(shape) = fields.get(&["batch_shape", "batch_input_shape"]) else { return Ok(None) };
    let axes = match shape {
        Value::Array(axes) => axes,
        // `{"class_name": "__tuple__", "items": […]}`
        Value::Object(object) => object.get("items").and_then(Value::as_array).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    // A batch of fixed size matters to stateful layers.
    let mut shape = vec![];
    for axis in axes {
        match axis {
            Value::Null => shape.push(Value::Null),
            axis => shape.push(axis.as_u64().ok_or_else(wrong)?.into()),
        }
    }
    Ok(Some(shape.into()))
}

fn rate(fields: &Fields) -> Result<f64> {
    Ok(fields.number(&["rate", "p"])?.unwrap_or(0.0))
}

fn integers(fields: &Fields, names: &[&str]) -> Result<Option<Value>> {
    let wrong = || fields.error(format!("`{}` is no list of whole numbers", names.first().unwrap_or(&"")));
    let list = fields.get(names).ok_or_else(wrong)?;
    let list = match list {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    match list.iter().all(|value| value.as_i64().is_some()) {
        true => Ok(Some(list.into())),
        false => Err(wrong()),
    }
}

fn batch_normalization(fields: &Fields) -> Result<Arguments> {
    if fields.flag(&["renorm"])? == Some(true) {
        return Err(fields.error("`renorm` is not supported"));
    }
    if let Some(mode @ 1..) = fields.count(&["mode"])? {
        return Err(fields.error(format!("`mode` {mode} of Keras 1 is not supported, only 0")));
    }
    Ok(Arguments::new()
        .put("axis", fields.axis(&["axis"])?)
        .put("momentum", fields.number(&["momentum"])?)
        .put("epsilon", fields.number(&["epsilon"])?)
        .put("center", fields.flag(&["center"])?)
        .put("scale", fields.flag(&["scale"])?))
}

fn layer_normalization(fields: &Fields) -> Result<Arguments> {
    Ok(Arguments::new()
        .put("axis", axes(fields)?)
        .put("epsilon", fields.number(&["epsilon"])?)
        .put("center", fields.flag(&["center"])?)
        .put("scale", fields.flag(&["scale"])?)
        .put("rms_scaling", fields.flag(&["rms_scaling"])?.filter(|rms| *rms)))
}

fn group_normalization(fields: &Fields) -> Result<Arguments> {
    let groups = fields.number(&["groups"])?.unwrap_or(32.0);
    if groups.fract() != 0.0 || groups.abs() > 1e9 {
        return Err(fields.error(format!("`groups` is {groups}, expected a whole number")));
    }
    Ok(Arguments::new()
        .put("groups", Some(groups as i64))
        .put("axis", fields.axis(&["axis"])?)
        .put("epsilon", fields.number(&["epsilon"])?)
        .put("center", fields.flag(&["center"])?)
        .put("scale", fields.flag(&["scale"])?))
}

/// One axis, or several.
fn axes(fields: &Fields) -> Result<Option<Value>> {
    match fields.get(&["axis"]) {
        Some(Value::Array(list)) if list.len() > 1 => Ok(Some(Value::Array(list.clone()))),
        _ => Ok(fields.axis(&["axis"])?.map(Value::from)),
    }
}

/// What a dropout draws, where it is not each element by itself.
fn noise_shape(fields: &Fields) -> Result<Option<Value>> {
    let Some(value) = fields.get(&["noise_shape"]) else { return Ok(None) };
    let list = value.get("items").unwrap_or(value).as_array();
    let list =
        list.filter(|list| list.iter().all(|axis| axis.is_null() || axis.as_u64().is_some_and(|n| n > 0)));
    let wrong =
        || fields.error(format!("`noise_shape` is {value}, expected a list of sizes from 1 and nulls"));
    list.map(|list| Some(Value::Array(list.clone()))).ok_or_else(wrong)
}

fn einsum_dense(fields: &Fields) -> Result<Arguments> {
    let equation = fields.text(&["equation"])?.ok_or_else(|| fields.error("`equation` is missing"))?;
    let shape = fields.get(&["output_shape"]).ok_or_else(|| fields.error("`output_shape` is missing"))?;
    let shape = shape.get("items").unwrap_or(shape);
    let known = match shape {
        Value::Array(axes) => axes.iter().all(|axis| axis.is_null() || axis.is_u64()),
        axis => axis.is_u64(),
    };
    if !known {
        return Err(fields.error(format!("`output_shape` is {shape}, expected sizes and nulls")));
    }
    Ok(Arguments::new()
        .put("equation", Some(equation.replace(' ', "")))
        .put("output_shape", Some(shape.clone()))
        .put("bias_axes", fields.text(&["bias_axes"])?))
}
