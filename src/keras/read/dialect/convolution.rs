//! Convolutions and poolings.

use super::fields::{Arguments, Fields};
use super::{Bilinear, Context};
use crate::Result;
use serde_json::{Value, json};

impl Context {
    pub fn conv1d(&self, fields: &Fields) -> Result<Arguments> {
        fields.channels_last()?;
        let need = |sizes: Option<Vec<usize>>| sizes.ok_or_else(|| fields.error("`kernel_size` is missing"));
        Ok(Arguments::new()
            .put("filters", Some(fields.need_count(&["filters", "nb_filter"])?))
            .put("kernel_size", Some(need(fields.sizes(&["kernel_size", "filter_length"], 1)?)?))
            .put("strides", fields.sizes(&["strides", "subsample_length"], 1)?)
            .put("padding", padding(fields, &["valid", "same", "causal"])?)
            .put("dilation_rate", fields.sizes(&["dilation_rate", "atrous_rate"], 1)?)
            .put("groups", fields.count(&["groups"])?.filter(|&groups| groups != 1))
            .put("use_bias", fields.flag(&["use_bias", "bias"])?))
    }

    pub fn conv2d(&self, fields: &Fields) -> Result<Arguments> {
        Ok(plane(fields)?
            .put("groups", fields.count(&["groups"])?.filter(|&groups| groups != 1))
            .put("use_bias", fields.flag(&["use_bias", "bias"])?))
    }

    pub fn conv3d(&self, fields: &Fields) -> Result<Arguments> {
        fields.channels_last()?;
        let kernel = fields.sizes(&["kernel_size"], 3)?;
        let kernel = kernel.ok_or_else(|| fields.error("`kernel_size` is missing"))?;
        Ok(Arguments::new()
            .put("filters", Some(fields.need_count(&["filters", "nb_filter"])?))
            .put("kernel_size", Some(kernel))
            .put("strides", fields.sizes(&["strides", "subsample"], 3)?)
            .put("padding", padding(fields, &["valid", "same"])?)
            .put("dilation_rate", fields.sizes(&["dilation_rate"], 3)?)
            .put("groups", fields.count(&["groups"])?.filter(|&groups| groups != 1))
            .put("use_bias", fields.flag(&["use_bias", "bias"])?))
    }

    /// Convolutions of each channel by itself, and those followed by one of all channels.
    pub fn depthwise(&self, fields: &Fields) -> Result<(&'static str, Arguments)> {
        let (class, axes, paddings): (_, _, &[&str]) = match fields.class {
            "DepthwiseConv1D" => ("DepthwiseConv1D", 1, &["valid", "same"]),
            "DepthwiseConv2D" | "DepthwiseConvolution2D" => ("DepthwiseConv2D", 2, &["valid", "same"]),
            "SeparableConv1D" | "SeparableConvolution1D" => {
                ("SeparableConv1D", 1, &["valid", "same", "causal"])
            }
            "SeparableConv2D" | "SeparableConvolution2D" => ("SeparableConv2D", 2, &["valid", "same"]),
            _ => return Err(fields.unknown()),
        };
        let mut arguments = window(fields, axes, paddings)?;
        if class.starts_with("Separable") {
            arguments = arguments.put("filters", Some(fields.need_count(&["filters", "nb_filter"])?));
        }
        let multiplier = fields.count(&["depth_multiplier"])?;
        Ok((class, arguments.put("depth_multiplier", multiplier)))
    }

    pub fn conv_transpose(&self, fields: &Fields) -> Result<(&'static str, Arguments)> {
        let (class, axes) = match fields.class {
            "Conv1DTranspose" | "Convolution1DTranspose" => ("Conv1DTranspose", 1),
            "Conv2DTranspose" | "Convolution2DTranspose" | "Deconvolution2D" => ("Conv2DTranspose", 2),
            "Conv3DTranspose" | "Convolution3DTranspose" | "Deconvolution3D" => ("Conv3DTranspose", 3),
            _ => return Err(fields.unknown()),
        };
        if fields.get(&["output_shape"]).is_some() {
            return Err(fields.error(
                "`output_shape` of Keras 1, which sets the output's lengths, is not supported; load the model in Keras 2 \
                 with a Conv2DTranspose and save it again",
            ));
        }
        let arguments = window(fields, axes, &["valid", "same"])?
            .put("filters", Some(fields.need_count(&["filters", "nb_filter"])?))
            .put("output_padding", fields.sizes(&["output_padding"], axes)?);
        Ok((class, arguments))
    }

    /// ZeroPadding, Cropping and UpSampling.
    pub fn borders(&mut self, fields: &Fields) -> Result<(&'static str, Arguments)> {
        let (class, axes, name) = match fields.class {
            "ZeroPadding1D" => ("ZeroPadding1D", 1, "padding"),
            "ZeroPadding2D" => ("ZeroPadding2D", 2, "padding"),
            "ZeroPadding3D" => ("ZeroPadding3D", 3, "padding"),
            "Cropping1D" => ("Cropping1D", 1, "cropping"),
            "Cropping2D" => ("Cropping2D", 2, "cropping"),
            "Cropping3D" => ("Cropping3D", 3, "cropping"),
            "UpSampling1D" => ("UpSampling1D", 1, "size"),
            "UpSampling2D" => ("UpSampling2D", 2, "size"),
            "UpSampling3D" => ("UpSampling3D", 3, "size"),
            _ => return Err(fields.unknown()),
        };
        fields.channels_last()?;
        if name == "size" {
            let interpolation = self.interpolation(fields)?;
            let size = fields.sizes(&["size", "length"], axes)?.unwrap_or_else(|| vec![2; axes]);
            let arguments = Arguments::new().put(name, Some(size)).put("interpolation", interpolation);
            return Ok((class, arguments));
        }
        let value = fields.get(&[name]).ok_or_else(|| fields.error(format!("`{name}` is missing")))?;
        let ends = ends(value, axes)
            .ok_or_else(|| fields.error(format!("its `{name}` {value} is not understood")))?;
        Ok((class, Arguments::new().put(name, Some(ends))))
    }

    /// What stands between the steps of an UpSampling, where it is not the nearest.
    fn interpolation(&mut self, fields: &Fields) -> Result<Option<&'static str>> {
        match fields.text(&["interpolation"])? {
            None | Some("nearest") => return Ok(None),
            Some("bilinear") if fields.class == "UpSampling2D" => {}
            Some(other) => {
                return Err(fields.error(format!(
                    "interpolation `{other}` is not supported, only nearest and, for UpSampling2D, bilinear"
                )));
            }
        }
        match self.bilinear {
            Bilinear::Middles => {}
            Bilinear::Corners => {
                return Err(fields.error(
                    "interpolation `bilinear` of Keras before it was tf.keras, which sets steps at their corners, is not \
                     supported",
                ));
            }
            Bilinear::Either => self.warnings.push(format!(
                "layer {}: tf.keras 2.2.4 interpolated in two ways, up to TensorFlow 1.13 with steps at their corners, and \
                 the file does not say which; here they are at their middles, as since then",
                fields.name
            )),
        }
        Ok(Some("bilinear"))
    }

    pub fn pooling(&self, fields: &Fields) -> Result<(&'static str, Arguments)> {
        let (class, axes): (_, usize) = match fields.class {
            "MaxPooling1D" | "MaxPool1D" => ("MaxPooling1D", 1),
            "AveragePooling1D" | "AvgPool1D" => ("AveragePooling1D", 1),
            "MaxPooling2D" | "MaxPool2D" => ("MaxPooling2D", 2),
            "AveragePooling2D" | "AvgPool2D" => ("AveragePooling2D", 2),
            "MaxPooling3D" | "MaxPool3D" => ("MaxPooling3D", 3),
            "AveragePooling3D" | "AvgPool3D" => ("AveragePooling3D", 3),
            "GlobalMaxPooling1D" | "GlobalMaxPool1D" => ("GlobalMaxPooling1D", 0),
            "GlobalAveragePooling1D" | "GlobalAvgPool1D" => ("GlobalAveragePooling1D", 0),
            "GlobalMaxPooling2D" | "GlobalMaxPool2D" => ("GlobalMaxPooling2D", 0),
            "GlobalAveragePooling2D" | "GlobalAvgPool2D" => ("GlobalAveragePooling2D", 0),
            "GlobalMaxPooling3D" | "GlobalMaxPool3D" => ("GlobalMaxPooling3D", 0),
            "GlobalAveragePooling3D" | "GlobalAvgPool3D" => ("GlobalAveragePooling3D", 0),
            _ => return Err(fields.unknown()),
        };
        fields.channels_last()?;
        let arguments = Arguments::new();
        if axes == 0 {
            let keepdims = fields.flag(&["keepdims"])?.filter(|keep| *keep);
            return Ok((class, arguments.put("keepdims", keepdims)));
        }
        let size = fields.sizes(&["pool_size", "pool_length"], axes)?.unwrap_or_else(|| vec![2; axes]);
        let strides = fields.sizes(&["strides", "stride"], axes)?.unwrap_or_else(|| size.clone());
        let arguments = arguments
            .put("pool_size", Some(size))
            .put("strides", Some(strides))
            .put("padding", padding(fields, &["valid", "same"])?);
        Ok((class, arguments))
    }
}

/// `[before, after]` along each axis, from one number for all, one for each axis, or a pair for each.
fn ends(value: &Value, axes: usize) -> Option<Value> {
    let pair = |value: &Value| match value {
        Value::Array(pair) => {
            let [before, after] = pair.as_slice() else { return None };
            Some([before.as_u64()?, after.as_u64()?])
        }
        both => both.as_u64().map(|end| [end, end]),
    };
    let pairs: Vec<[u64; 2]> = match value {
        // Of one axis the pair may stand alone.
        Value::Array(list) if axes == 1 && list.len() == 2 => vec![pair(value)?],
        Value::Array(list) if list.len() == axes => list.iter().map(pair).collect::<Option<_>>()?,
        Value::Array(_) => return None,
        all => vec![pair(all)?; axes],
    };
    Some(json!(pairs))
}

/// What a ConvLSTM2D has beside a cell's arguments.
pub(super) fn conv_lstm(fields: &Fields) -> Result<Arguments> {
    plane(fields)
}

/// What is common to convolutions of pictures.
fn plane(fields: &Fields) -> Result<Arguments> {
    fields.channels_last()?;
    let kernel = match fields.sizes(&["kernel_size"], 2)? {
        Some(kernel) => kernel,
        None => vec![fields.need_count(&["nb_row"])?, fields.need_count(&["nb_col"])?],
    };
    Ok(Arguments::new()
        .put("filters", Some(fields.need_count(&["filters", "nb_filter"])?))
        .put("kernel_size", Some(kernel))
        .put("strides", fields.sizes(&["strides", "subsample"], 2)?)
        .put("padding", padding(fields, &["valid", "same"])?)
        .put("dilation_rate", fields.sizes(&["dilation_rate"], 2)?))
}

/// What is common to the convolutions over any number of axes that have no groups: windows and bias.
fn window(fields: &Fields, axes: usize, paddings: &[&str]) -> Result<Arguments> {
    fields.channels_last()?;
    if let Some(groups) = fields.count(&["groups"])?.filter(|&groups| groups != 1) {
        return Err(fields.error(format!("`groups` {groups} is not supported for this class, only 1")));
    }
    let kernel = match fields.sizes(&["kernel_size", "filter_length"], axes)? {
        Some(kernel) => kernel,
        None if axes == 2 && fields.get(&["nb_row"]).is_some() => {
            vec![fields.need_count(&["nb_row"])?, fields.need_count(&["nb_col"])?]
        }
        None => return Err(fields.error("`kernel_size` is missing")),
    };
    Ok(Arguments::new()
        .put("kernel_size", Some(kernel))
        .put("strides", fields.sizes(&["strides", "subsample", "subsample_length"], axes)?)
        .put("padding", padding(fields, paddings)?)
        .put("dilation_rate", fields.sizes(&["dilation_rate", "atrous_rate"], axes)?)
        .put("use_bias", fields.flag(&["use_bias", "bias"])?))
}

fn padding<'a>(fields: &Fields<'a>, known: &[&str]) -> Result<Option<&'a str>> {
    let padding = fields.text(&["padding", "border_mode"])?;
    match padding.filter(|padding| !known.contains(padding)) {
        Some(padding) => {
            Err(fields.error(format!("padding `{padding}` is not supported, only {}", known.join(", "))))
        }
        None => Ok(padding),
    }
}
