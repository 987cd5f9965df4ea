//! Layers of several inputs.

use super::Context;
use super::fields::{Arguments, Fields};
use crate::Result;
use serde_json::{Value, json};

impl Context {
    pub fn merge(&self, fields: &Fields) -> Result<(&'static str, Arguments)> {
        // This crate's own argument; what Keras did is known by the version.
        let new = || {
            Arguments::new().put("mask_join", fields.config().get("mask_join").filter(|_| self.own).cloned())
        };
        Ok(match fields.class {
            "Concatenate" => ("Concatenate", new().put("axis", fields.axis(&["axis"])?)),
            "Add" => ("Add", new()),
            "Subtract" => ("Subtract", new()),
            "Multiply" => ("Multiply", new()),
            "Average" => ("Average", new()),
            "Maximum" => ("Maximum", new()),
            "Minimum" => ("Minimum", new()),
            "Dot" => {
                let axes = axes(fields, &["axes"])?.ok_or_else(|| fields.error("`axes` is missing"))?;
                ("Dot", new().put("axes", Some(axes)).put("normalize", fields.flag(&["normalize"])?))
            }
            // Keras 1 had one layer for all.
            "Merge" => match fields.text(&["mode"])?.unwrap_or("a function") {
                "sum" => ("Add", new()),
                "mul" => ("Multiply", new()),
                "ave" => ("Average", new()),
                "max" => ("Maximum", new()),
                "concat" => ("Concatenate", new().put("axis", fields.axis(&["concat_axis"])?)),
                "dot" => ("Dot", new().put("axes", axes(fields, &["dot_axes"])?)),
                other => return Err(fields.error(format!("mode `{other}` is not supported"))),
            },
            _ => return Err(fields.unknown()),
        })
    }
}

/// One axis, or one of each input.
fn axes(fields: &Fields, names: &[&str]) -> Result<Option<Value>> {
    match fields.get(names) {
        Some(Value::Array(pair)) if pair.len() == 2 && pair.iter().all(Value::is_i64) => {
            Ok(Some(Value::Array(pair.clone())))
        }
        Some(Value::Array(pair)) if pair.len() == 2 => {
            let axes: Option<Vec<i64>> = pair.iter().map(Value::as_i64).collect();
            axes.map(|axes| Some(json!(axes))).ok_or_else(|| fields.error("its axes are no whole numbers"))
        }
        _ => Ok(fields.axis(names)?.map(Value::from)),
    }
}
