//! The table that Keras prints (`keras/src/utils/summary_utils.py`).

use super::class::Class;
use super::config::{ModelConfig, Shape};
use crate::Result;
use crate::nn::show;
use serde::Serialize;
use std::fmt;

/// A model's layers, output shapes and parameters. `Display` prints Keras's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The model's name.
    #[serde(skip)]
    pub name: String,
    /// A row a layer, the InputLayer left out as Keras does.
    pub layers: Vec<SummaryLayer>,
    /// The number of parameters.
    pub total_params: usize,
}

/// A row of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryLayer {
    /// The layer's name.
    pub name: String,
    /// Keras's class.
    pub class_name: String,
    /// The output's shape, `None` (in JSON `null`) for the batch.
    pub output_shape: Shape,
    /// The number of parameters.
    pub params: usize,
}

impl ModelConfig {
    /// The table of its layers.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn summary(&self) -> Result<Summary> {
        let layers: Vec<SummaryLayer> = self
            .place()?
            .layers
            .into_iter()
            .filter(|placed| !matches!(placed.layer.class, Class::InputLayer(_)))
            .map(|placed| SummaryLayer {
                name: placed.layer.name.clone(),
                class_name: placed.layer.class.name().into(),
                output_shape: placed.outputs.into_iter().next().unwrap_or_default(),
                params: placed.variables.iter().map(|(_, v)| v.shape.iter().product::<usize>()).sum(),
            })
            .collect();
        let total_params = layers.iter().map(|layer| layer.params).sum();
        Ok(Summary { name: self.name.clone(), layers, total_params })
    }
}

/// `8809` as `8,809`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The memory of so many f32 parameters, as Keras words it.
fn memory(params: usize) -> String {
    let mut size = (params * 4) as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if size < 1024.0 {
            return format!("{size:.2} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} TB")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 3]> = self
            .layers
            .iter()
            .map(|layer| {
                let title = format!("{} ({})", layer.name, layer.class_name);
                [title, show(&layer.output_shape), thousands(layer.params)]
            })
            .collect();
        // Keras's widths in a terminal of 80 columns, more where a row needs it.
        let width = |column: usize, least: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(least)
        };
        let widths = [width(0, 31), width(1, 22), width(2, 13)];
        let rule = |f: &mut fmt::Formatter<'_>, [left, line, cross, right]: [&str; 4]| {
            let segments = widths.map(|width| line.repeat(width + 2));
            writeln!(f, "{left}{}{right}", segments.join(cross))
        };
        let row = |f: &mut fmt::Formatter<'_>, bar: &str, [a, b, c]: [&str; 3]| {
            let [wa, wb, wc] = widths;
            writeln!(f, "{bar} {a:<wa$} {bar} {b:<wb$} {bar} {c:>wc$} {bar}")
        };
        writeln!(f, "Model: \"{}\"", self.name)?;
        rule(f, ["┏", "━", "┳", "┓"])?;
        row(f, "┃", ["Layer (type)", "Output Shape", "Param #"])?;
        rule(f, ["┡", "━", "╇", "┩"])?;
        for (index, [a, b, c]) in rows.iter().enumerate() {
            if index > 0 {
                rule(f, ["├", "─", "┼", "┤"])?;
            }
            row(f, "│", [a, b, c])?;
        }
        rule(f, ["└", "─", "┴", "┘"])?;
        let total = format!("{} ({})", thousands(self.total_params), memory(self.total_params));
        writeln!(f, " Total params: {total}\n Trainable params: {total}\n Non-trainable params: 0 (0.00 B)")
    }
}
