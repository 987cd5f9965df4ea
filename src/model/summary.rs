//! The table that Keras prints (`keras/src/utils/summary_utils.py`).

use crate::Result;
use crate::layers::{LayerConfig, ModelConfig, Named, Placement, Shape, TensorRef, show};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A model's layers, output shapes and parameters. `Display` prints Keras's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The model's name.
    #[serde(skip)]
    pub name: String,
    /// A row a layer; as Keras does, without the InputLayer where the layers run one after another.
    pub layers: Vec<SummaryLayer>,
    /// The number of parameters.
    pub total_params: usize,
    /// Those of them that no optimiser trains: moving statistics.
    #[serde(skip_serializing_if = "is_zero")]
    pub non_trainable_params: usize,
    /// Whether the table says what each layer is connected to: where a graph branches.
    #[serde(skip)]
    pub branches: bool,
}

/// A row of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryLayer {
    /// The layer's name.
    pub name: String,
    /// Keras's class.
    pub class_name: String,
    /// The output's shape, `None` (in JSON `null`) for a batch of any size; of several outputs the first.
    pub output_shape: Shape,
    /// The shapes of the further outputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further_shapes: Vec<Shape>,
    /// The number of parameters.
    pub params: usize,
    /// The number of parameters that stay as they are since the layer, or one within it, is frozen.
    #[serde(skip_serializing_if = "is_zero")]
    pub frozen_params: usize,
    /// Its regularisers and constraints in words, by variable: `kernel` to `L2(l2=0.01)`; `activity` for its output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<(String, String)>,
    /// What the layer is called on, as `lstm[0][0]`: name, call, output. Empty where layers run one after another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connected_to: Vec<String>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl ModelConfig {
    /// The table of its layers.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn summary(&self) -> Result<Summary> {
        let placement = self.place()?;
        let branches = self.is_graph() && branches(&placement);
        let batch = self.batch_size();
        let mut non_trainable_params = 0;
        let mut layers = vec![];
        for placed in placement.layers {
            let (mut params, mut frozen_params, mut rules) = (0, 0, vec![]);
            for variable in &placed.variables {
                let regularizer = variable.regularizer.iter().map(in_words);
                let constraint = variable.constraint.iter().map(in_words);
                rules.extend(regularizer.chain(constraint).map(|words| (variable.name.clone(), words)));
                let count = variable.shape.iter().product::<usize>();
                params += count;
                non_trainable_params += if variable.trainable { 0 } else { count };
                frozen_params += if variable.frozen { count } else { 0 };
            }
            let activity = placed.layer.rules.activity_regularizer.iter();
            rules.extend(activity.map(|rule| ("activity".to_string(), in_words(rule))));
            if !self.is_graph() && placed.layer.config().input_shape().is_some() {
                continue;
            }
            let nodes = placed.layer.inbound_nodes.iter().flatten();
            let mut shapes = placed.outputs.into_iter().map(|mut shape| {
                if let Some(axis) = shape.first_mut() {
                    *axis = axis.or(batch);
                }
                shape
            });
            layers.push(SummaryLayer {
                name: placed.layer.name.clone(),
                class_name: placed.layer.class.name().into(),
                output_shape: shapes.next().unwrap_or_default(),
                further_shapes: shapes.collect(),
                params,
                frozen_params,
                rules,
                connected_to: nodes
                    .map(|TensorRef(name, node, at)| format!("{name}[{node}][{at}]"))
                    .collect(),
            });
        }
        let total_params = layers.iter().map(|layer| layer.params).sum();
        Ok(Summary { name: self.name.clone(), layers, total_params, non_trainable_params, branches })
    }
}

/// A regulariser or constraint as `L2(l2=0.01)`.
fn in_words(rule: &impl Serialize) -> String {
    // Plain data: nothing in it can fail.
    let rule = serde_json::to_value(rule).unwrap_or_default();
    let class = rule["class_name"].as_str().unwrap_or_default();
    let arguments = rule["config"].as_object().into_iter().flatten();
    let arguments: Vec<String> = arguments.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{class}({})", arguments.join(", "))
}

/// Whether a graph is more than a row: a call takes several tensors, two calls are as far from the end as each other, or
/// a layer is called twice. So Keras decides.
fn branches(placement: &Placement<'_, LayerConfig>) -> bool {
    let mut depths = vec![0usize; placement.calls.len()];
    for (index, call) in placement.calls.iter().enumerate().rev() {
        for &(from, _) in &call.inputs {
            depths[from] = depths[from].max(depths[index] + 1);
        }
    }
    let distinct: BTreeSet<usize> = depths.iter().copied().collect();
    let layers: BTreeSet<Option<usize>> = placement.calls.iter().map(|call| call.layer).collect();
    let count = placement.calls.len();
    placement.calls.iter().any(|call| call.inputs.len() > 1) || distinct.len() < count || layers.len() < count
}

/// A name without control characters: one out of a file may hold some, and a row of the table is a line.
fn shown(name: &str) -> String {
    let escaped = |c: char| c.is_control().then(|| c.escape_default().to_string());
    name.chars().map(|c| escaped(c).unwrap_or_else(|| c.into())).collect()
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

/// `text` in lines of at most `width`, broken at spaces; a longer word has a line to itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

impl Summary {
    /// Titles and least widths of the columns: Keras's in a terminal of 80 columns.
    fn columns(&self) -> Vec<(&'static str, usize)> {
        let titles = ["Layer (type)", "Output Shape", "Param #", "Connected to"];
        let widths: &[usize] = if self.branches { &[19, 17, 10, 17] } else { &[31, 22, 13] };
        titles.into_iter().zip(widths.iter().copied()).collect()
    }

    fn cells(&self, layer: &SummaryLayer) -> Vec<String> {
        let shape = if layer.further_shapes.is_empty() {
            show(&layer.output_shape)
        } else {
            let shapes: Vec<String> =
                std::iter::once(&layer.output_shape).chain(&layer.further_shapes).map(|s| show(s)).collect();
            format!("[{}]", shapes.join(", "))
        };
        let mut cells =
            vec![format!("{} ({})", layer.name, layer.class_name), shape, thousands(layer.params)];
        if self.branches {
            let connected = layer.connected_to.join(", ");
            cells.push(if connected.is_empty() { "-".into() } else { connected });
        }
        cells.iter().map(|cell| shown(cell)).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        let rows: Vec<Vec<String>> = self.layers.iter().map(|layer| self.cells(layer)).collect();
        // Wider than Keras's where a word needs it: nothing is cut.
        let longest = |column: usize| {
            let words = rows.iter().filter_map(|row| row.get(column)).flat_map(|cell| cell.split(' '));
            words.map(|word| word.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> =
            columns.iter().enumerate().map(|(column, &(_, least))| longest(column).max(least)).collect();
        let rule = |f: &mut fmt::Formatter<'_>, [left, line, cross, right]: [&str; 4]| {
            let segments: Vec<String> = widths.iter().map(|width| line.repeat(width + 2)).collect();
            writeln!(f, "{left}{}{right}", segments.join(cross))
        };
        let row = |f: &mut fmt::Formatter<'_>, bar: &str, cells: &[String]| {
            let lines: Vec<Vec<String>> =
                cells.iter().zip(&widths).map(|(cell, &width)| wrap(cell, width)).collect();
            let height = lines.iter().map(Vec::len).max().unwrap_or(0);
            for at in 0..height {
                write!(f, "{bar}")?;
                for (column, (lines, &width)) in lines.iter().zip(&widths).enumerate() {
                    let line = lines.get(at).map_or("", String::as_str);
                    match column {
                        2 => write!(f, " {line:>width$} {bar}")?,
                        _ => write!(f, " {line:<width$} {bar}")?,
                    }
                }
                writeln!(f)?;
            }
            Ok(())
        };
        writeln!(f, "Model: \"{}\"", shown(&self.name))?;
        rule(f, ["┏", "━", "┳", "┓"])?;
        let titles: Vec<String> = columns.iter().map(|(title, _)| (*title).to_string()).collect();
        row(f, "┃", &titles)?;
        rule(f, ["┡", "━", "╇", "┩"])?;
        for (index, cells) in rows.iter().enumerate() {
            if index > 0 {
                rule(f, ["├", "─", "┼", "┤"])?;
            }
            row(f, "│", cells)?;
        }
        rule(f, ["└", "─", "┴", "┘"])?;
        let trained = self.total_params.saturating_sub(self.non_trainable_params);
        let counts = [
            ("Total", self.total_params),
            ("Trainable", trained),
            ("Non-trainable", self.non_trainable_params),
        ];
        for (title, count) in counts {
            writeln!(f, " {title} params: {} ({})", thousands(count), memory(count))?;
        }
        let frozen = self.layers.iter().filter(|layer| layer.frozen_params > 0);
        let frozen: Vec<String> = frozen.map(|layer| layer.name.clone()).collect();
        if !frozen.is_empty() {
            writeln!(f, " Frozen: {}", shown(&frozen.join(", ")))?;
        }
        for layer in &self.layers {
            for (variable, rule) in &layer.rules {
                writeln!(f, " {}", shown(&format!("{}.{variable}: {rule}", layer.name)))?;
            }
        }
        Ok(())
    }
}
