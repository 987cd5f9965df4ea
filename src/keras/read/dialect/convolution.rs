//! Convolutions and poolings.

use super::Context;
use super::fields::{Arguments, Fields};
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

    /// ZeroPadding, Cropping and UpSampling.
    pub fn borders(&self, fields: &Fields) -> Result<(&'static str, Arguments)> {
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
            if let Some(other) = fields.text(&["interpolation"])?.filter(|kind| *kind != "nearest") {
                return Err(fields.error(format!("interpolation `{other}` is not supported, only nearest")));
            }
            let size = fields.sizes(&["size", "length"], axes)?.unwrap_or_else(|| vec![2; axes]);
            return Ok((class, Arguments::new().put(name, Some(size))));
        }
        let value = fields.get(&[name]).ok_or_else(|| fields.error(format!("`{name}` is missing")))?;
        let ends = ends(value, axes)
            .ok_or_else(|| fields.error(format!("its `{name}` {value} is not understood")))?;
        Ok((class, Arguments::new().put(name, Some(ends))))
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

fn padding<'a>(fields: &Fields<'a>, known: &[&str]) -> Result<Option<&'a str>> {
    let padding = fields.text(&["padding", "border_mode"])?;
    match padding.filter(|padding| !known.contains(padding)) {
        Some(padding) => {
            Err(fields.error(format!("padding `{padding}` is not supported, only {}", known.join(", "))))
        }
        None => Ok(padding),
    }
}
