//! A model as PyTorch's modules: which layer is which module, and what it holds.

use super::Layout;
use super::form::Form;
use super::view::{self, View};
use crate::model::ModelConfig;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// A module with tensors.
pub(super) struct Module {
    /// The layer's path, for messages.
    pub layer: String,
    /// The module's path: `lstm`, `model_1.dense`.
    pub prefix: String,
    /// Its place in a stacked recurrent module: `weight_ih_l1` has 1.
    pub index: usize,
    /// Its tensors.
    pub parts: Vec<Part>,
    /// What to know when building the module.
    pub notes: Vec<String>,
    /// Why the numbers would not be the layer's.
    misfit: Option<String>,
    /// Whether there is a module for it in PyTorch only.
    pytorch_only: Option<&'static str>,
}

/// One variable of Keras, one or two tensors of the module.
pub(super) struct Part {
    /// The tensors' names in the module, those of a recurrent module with `_l0`.
    pub suffixes: Vec<String>,
    /// Keras's variable; of a constant, the one whose shape it has.
    pub variable: String,
    /// The variable's shape.
    pub shape: Vec<usize>,
    pub form: Form,
}

impl Module {
    fn new(view: &View<'_>, prefix: &str) -> Self {
        Self {
            layer: view.path.clone(),
            prefix: prefix.to_string(),
            index: 0,
            parts: vec![],
            notes: vec![],
            misfit: None,
            pytorch_only: None,
        }
    }

    /// Whether its tensors are numbered `_l0`.
    pub fn is_recurrent(&self) -> bool {
        self.parts.iter().any(|part| part.suffixes.iter().any(|suffix| suffix.starts_with("weight_ih_l0")))
    }

    /// The full name of one of its tensors.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}.{}", self.prefix, suffix.replace("_l0", &format!("_l{}", self.index)))
    }

    /// Refuses what the layout cannot hold.
    pub fn check(&self, layout: Layout) -> Result<()> {
        let fail = |what: &str| Err(Error::layer(self.layer.as_str(), format!("layout {layout}: {what}")));
        match (&self.misfit, self.pytorch_only) {
            (Some(misfit), _) => fail(misfit),
            (None, Some(reason)) if layout == Layout::CandleNn => fail(reason),
            _ => Ok(()),
        }
    }
}

/// Every module of the model with tensors, in the order of the layers.
pub(super) fn modules(config: &ModelConfig, layout: Layout) -> Result<Vec<Module>> {
    of_json(&view::model_json(config)?, config.variables()?.into_iter().collect(), layout)
}

/// The same of a model in JSON, with its variables' shapes.
pub(super) fn of_json(
    json: &Value,
    variables: BTreeMap<String, Vec<usize>>,
    layout: Layout,
) -> Result<Vec<Module>> {
    let mut walk = Walk { layout, variables, modules: vec![] };
    for layer in view::layers(json, "")? {
        walk.layer(&layer, layer.name())?;
    }
    Ok(walk.modules)
}

struct Walk {
    layout: Layout,
    variables: BTreeMap<String, Vec<usize>>,
    modules: Vec<Module>,
}

impl Walk {
    fn layer(&mut self, view: &View<'_>, prefix: &str) -> Result<()> {
        let mut module = Module::new(view, prefix);
        match view.class {
            "Sequential" | "Functional" | "Model" => {
                for layer in view.layers()? {
                    self.layer(&layer, &format!("{prefix}.{}", layer.name()))?;
                }
                return Ok(());
            }
            "TimeDistributed" => return self.layer(&view.inner("layer")?, prefix),
            "Bidirectional" => return self.bidirectional(view, prefix),
            "RNN" => return self.cells(view, prefix),
            "LSTM" | "GRU" | "SimpleRNN" => {
                self.recurrent(&mut module, view, "");
                if view.flag("go_backwards") {
                    module.misfit = Some("no module there walks from the last step to the first".into());
                }
            }
            "Embedding" => {
                self.part(&mut module, view, "embeddings", "weight", Form::Same);
                if view.flag("mask_zero") {
                    module.notes.push("mask_zero: there are no masks there, padding is not skipped".into());
                }
            }
            "Dense" => {
                self.part(&mut module, view, "kernel", "weight", Form::Transposed);
                self.part(&mut module, view, "bias", "bias", Form::Same);
            }
            "Conv1D" | "Conv2D" | "Conv1DTranspose" | "Conv2DTranspose" => {
                self.part(&mut module, view, "kernel", "weight", Form::Convolution);
                self.part(&mut module, view, "bias", "bias", Form::Same);
                module.notes.push("channels come before the window there: exchange the axes".into());
                if view.class.ends_with("Transpose") && view.text("padding") == Some("same") {
                    module
                        .notes
                        .push("padding=\"same\": cut the ends of the output off by hand there".into());
                }
            }
            "BatchNormalization" => {
                self.scale_and_offset(&mut module, view, "moving_mean");
                self.part(&mut module, view, "moving_mean", "running_mean", Form::Same);
                self.part(&mut module, view, "moving_variance", "running_var", Form::Same);
            }
            "LayerNormalization" => {
                self.scale_and_offset(&mut module, view, "");
                if view.flag("rms_scaling") {
                    module.misfit = Some("a LayerNorm there always subtracts the mean".into());
                }
            }
            "GroupNormalization" => {
                self.scale_and_offset(&mut module, view, "");
                let groups = view.config.get("groups").and_then(Value::as_i64).unwrap_or(32);
                let channels = module.parts.first().and_then(|part| part.shape.first()).copied();
                let groups = usize::try_from(groups).ok().or(channels).unwrap_or_default();
                module.notes.push(format!("num_groups={groups}"));
                module.notes.push("channels come right after the batch there: exchange the axes".into());
            }
            "PReLU" => {
                self.part(&mut module, view, "alpha", "weight", Form::Squeezed);
                let wide = module.parts.iter().any(|part| match part.shape.split_last() {
                    Some((_, leading)) => leading.iter().any(|&axis| axis != 1),
                    None => true,
                });
                if wide {
                    module.misfit = Some("PReLU has one number a channel there; set shared_axes".into());
                }
            }
            _ => {
                let own = format!("{}.", view.path);
                if self.variables.keys().any(|name| name.starts_with(&own)) {
                    let what = format!("layout {}: there is no module for a {}", self.layout, view.class);
                    return Err(Error::layer(view.path.as_str(), what));
                }
            }
        }
        self.add(module);
        Ok(())
    }

    fn add(&mut self, module: Module) {
        if !module.parts.is_empty() {
            self.modules.push(module);
        }
    }

    /// Adds a part, if the layer has the variable.
    fn part(&self, module: &mut Module, view: &View<'_>, variable: &str, suffix: &str, form: Form) {
        self.parts(module, view, variable, vec![suffix.to_string()], form);
    }

    fn parts(&self, module: &mut Module, view: &View<'_>, variable: &str, suffixes: Vec<String>, form: Form) {
        let variable = format!("{}.{variable}", view.path);
        if let Some(shape) = self.variables.get(&variable) {
            module.parts.push(Part { suffixes, shape: shape.clone(), variable, form });
        }
    }

    /// gamma and beta; where Keras has but one of them, or a BatchNormalization none, the other is 1 or 0.
    fn scale_and_offset(&self, module: &mut Module, view: &View<'_>, shape_of: &str) {
        let has = |name: &str| self.variables.contains_key(&format!("{}.{name}", view.path));
        let like = ["gamma", "beta", shape_of].into_iter().find(|name| has(name)).unwrap_or_default();
        for (variable, suffix, constant) in [("gamma", "weight", 1.0), ("beta", "bias", 0.0)] {
            match has(variable) {
                true => self.part(module, view, variable, suffix, Form::Same),
                false => self.part(module, view, like, suffix, Form::Constant(constant)),
            }
        }
        let epsilon = view.config.get("epsilon").and_then(Value::as_f64).unwrap_or(1e-3);
        module.notes.push(format!("eps={epsilon}"));
    }

    /// A recurrent layer or cell: its four tensors with `tail` after their names.
    fn recurrent(&self, module: &mut Module, view: &View<'_>, tail: &str) {
        let class = view.class.trim_end_matches("Cell");
        let gru = class == "GRU";
        let activation = view.text("activation").unwrap_or("tanh");
        let recurrent = view.text("recurrent_activation").unwrap_or("sigmoid");
        let before = gru && view.config.get("reset_after").and_then(Value::as_bool) == Some(false);
        if class == "SimpleRNN" {
            module.pytorch_only = Some("candle-nn has no plain RNN");
            match activation {
                "tanh" => {}
                "relu" => module.notes.push("nonlinearity=\"relu\"".into()),
                other => module.misfit = Some(format!("an RNN has tanh or relu there, not {other}")),
            }
        } else if activation != "tanh" {
            module.misfit = Some(format!("its activation is always tanh there, not {activation}"));
        } else if recurrent != "sigmoid" {
            module.misfit = Some(format!("the gates' activation is always sigmoid there, not {recurrent}"));
        }
        if before {
            let what = "a GRU there resets after the recurrent product: reset_after=False cannot be held";
            module.misfit = Some(what.into());
        }
        for (variable, stem) in [("kernel", "weight_ih_l0"), ("recurrent_kernel", "weight_hh_l0")] {
            self.part(module, view, variable, &format!("{stem}{tail}"), Form::Gates { swap: gru });
        }
        let biases = vec![format!("bias_ih_l0{tail}"), format!("bias_hh_l0{tail}")];
        let before_parts = module.parts.len();
        self.parts(module, view, "bias", biases, if gru { Form::GruBias } else { Form::Bias });
        if module.parts.len() == before_parts {
            module.notes.push("bias=False".into());
        }
    }

    fn bidirectional(&mut self, view: &View<'_>, prefix: &str) -> Result<()> {
        let (forward, backward) = (view.forward()?, view.backward()?);
        let mut module = Module::new(view, prefix);
        self.recurrent(&mut module, &forward, "");
        let same = ["units", "activation", "recurrent_activation", "use_bias", "reset_after"]
            .iter()
            .all(|key| forward.config.get(*key) == backward.config.get(*key));
        if forward.class != backward.class || !same {
            module.misfit = Some("both directions are of one kind and size there".into());
        }
        if !matches!(forward.class, "LSTM" | "GRU" | "SimpleRNN") {
            module.misfit = Some(format!("there is no module for a {}", forward.class));
        }
        if forward.flag("go_backwards") {
            let what = "its first direction walks from the first step to the last there, and here from the last to the first";
            module.misfit = Some(what.into());
        }
        if self.layout == Layout::CandleNn && forward.class == "GRU" {
            // `candle_nn::gru` knows `weight_ih_l0` only: the other direction is a module of its own.
            let mut other = Module::new(&backward, &format!("{prefix}.backward_layer"));
            self.recurrent(&mut other, &backward, "");
            other.notes.clear();
            other.notes.push("a GRU of its own, over the steps in reverse".into());
            self.add(module);
            self.add(other);
            return Ok(());
        }
        let notes = module.notes.len();
        self.recurrent(&mut module, &backward, "_reverse");
        module.notes.truncate(notes);
        module.notes.push("bidirectional=True".into());
        if self.layout == Layout::CandleNn {
            module.notes.push("an LSTM of Direction::Backward takes the steps in reverse".into());
        }
        self.add(module);
        Ok(())
    }

    /// An RNN over a cell, or over several as a stacked module.
    fn cells(&mut self, view: &View<'_>, prefix: &str) -> Result<()> {
        let cell = view.inner("cell")?;
        let cells = if cell.class == "StackedRNNCells" { cell.cells()? } else { vec![cell] };
        let kind = |cell: &View<'_>| (cell.class.to_string(), cell.config.get("units").cloned());
        let mixed = cells.windows(2).any(|pair| matches!(pair, [a, b] if kind(a) != kind(b)));
        let stacked = cells.len() > 1;
        for (index, cell) in cells.iter().enumerate() {
            let mut module = Module { index, ..Module::new(cell, prefix) };
            self.recurrent(&mut module, cell, "");
            if !matches!(cell.class, "LSTMCell" | "GRUCell" | "SimpleRNNCell") {
                module.misfit = Some(format!("there is no module for a {}", cell.class));
            } else if mixed {
                module.misfit = Some("stacked cells are of one kind and size there".into());
            } else if view.flag("go_backwards") {
                module.misfit = Some("no module there walks from the last step to the first".into());
            }
            if stacked && cell.class == "GRUCell" {
                module.pytorch_only = Some("candle_nn::gru cannot be stacked");
            }
            if stacked && index == 0 {
                module.notes.push(format!("num_layers={}", cells.len()));
            }
            self.add(module);
        }
        Ok(())
    }
}
