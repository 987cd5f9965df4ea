//! Convolutions and poolings.

use super::Context;
use super::fields::{Arguments, Fields};
use crate::Result;

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
            _ => return Err(fields.error("this pooling is not supported")),
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
