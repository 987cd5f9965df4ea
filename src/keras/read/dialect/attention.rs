//! Attention layers: their arguments, the roles of what they are called with, and the layers of Keras's within them.

use super::call::{Call, Reference};
use super::fields::{Arguments, Fields};
use super::{Context, Layer, Source};
use crate::Result;
use serde_json::{Value, json};

/// Arguments of every layer.
const COMMON: [&str; 8] = [
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "activity_regularizer",
    "autocast",
    "quantization_config",
    "dynamic",
];

/// Arguments of the layers that `MultiHeadAttention` and `GroupedQueryAttention` hold.
const OF_PROJECTIONS: [&str; 7] = [
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "bias_constraint",
];

impl Context {
    /// Attention and AdditiveAttention.
    pub fn attention(&self, fields: &Fields) -> Result<Arguments> {
        self.check_keras_own(fields, &["use_scale"], &["score_mode", "dropout", "seed", "causal"])?;
        // tf.keras up to 2.8 had the switch of the call among the layer's own arguments.
        let causal = fields.flag(&["use_causal_mask", "causal"])?.filter(|causal| *causal);
        let arguments = Arguments::new()
            .put("use_scale", fields.flag(&["use_scale"])?)
            .put("dropout", fields.number(&["dropout"])?)
            .put("use_causal_mask", causal);
        let arguments = self.own_arguments(fields, arguments)?;
        Ok(match fields.class {
            "Attention" => arguments.put("score_mode", fields.text(&["score_mode"])?),
            _ => arguments,
        })
    }

    /// MultiHeadAttention.
    pub fn multi_head(&mut self, fields: &Fields) -> Result<Layer> {
        let others = [
            "value_dim",
            "dropout",
            "output_shape",
            "attention_axes",
            "sliding_window",
            "flash_attention",
            "use_gate",
            "seed",
            "query_shape",
            "value_shape",
            "key_shape",
            "softmax_robust_masking",
        ];
        self.check_keras_own(fields, &["num_heads", "key_dim"], &[&others[..], &OF_PROJECTIONS].concat())?;
        let softmax = match fields.flag(&["softmax_robust_masking"])?.unwrap_or(false) {
            // What a step that sees nothing gives: the mean of all until Keras 3.9, as in Keras 2.
            _ if self.major >= 3 && self.minor.is_some_and(|minor| minor < 10) => Some("keras2"),
            _ if self.major >= 3 => None,
            true => Some("robust"),
            false => Some("keras2"),
        };
        // Keras takes 0 and an empty list for none.
        let output = integers(fields, "output_shape")?;
        let output = output.filter(|sizes| !sizes.is_empty() && (sizes.len() > 1 || sizes != &[json!(0)]));
        let axes = integers(fields, "attention_axes")?;
        let is_backwards = |axis: &Value| axis.as_i64().is_some_and(|axis| axis < 0);
        if self.major < 3 && axes.iter().flatten().any(is_backwards) {
            let what = "its attention_axes count from the end, which Keras 2 gave another meaning; it is not supported";
            return Err(fields.error(what));
        }
        let arguments = Arguments::new()
            .put("num_heads", Some(fields.need_count(&["num_heads"])?))
            .put("key_dim", Some(fields.need_count(&["key_dim"])?))
            .put("value_dim", fields.count(&["value_dim"])?.filter(|&dim| dim > 0))
            .put("dropout", fields.number(&["dropout"])?)
            .put("use_bias", fields.flag(&["use_bias"])?)
            .put("output_shape", output)
            .put("attention_axes", axes)
            .put("sliding_window", fields.count(&["sliding_window"])?)
            .put("use_gate", fields.flag(&["use_gate"])?)
            .put("masked_softmax", softmax);
        let arguments = self.own_arguments(fields, arguments)?;
        Ok(self.heads("MultiHeadAttention", arguments, fields))
    }

    /// GroupedQueryAttention, which files call by the name that Keras exports as well.
    pub fn grouped_query(&mut self, fields: &Fields) -> Result<Layer> {
        let needed = ["head_dim", "num_query_heads", "num_key_value_heads"];
        let others = ["dropout", "sliding_window", "flash_attention", "use_gate", "seed"];
        self.check_keras_own(fields, &needed, &[&others[..], &OF_PROJECTIONS].concat())?;
        let arguments = Arguments::new()
            .put("head_dim", Some(fields.need_count(&["head_dim"])?))
            .put("num_query_heads", Some(fields.need_count(&["num_query_heads"])?))
            .put("num_key_value_heads", Some(fields.need_count(&["num_key_value_heads"])?))
            .put("dropout", fields.number(&["dropout"])?)
            .put("use_bias", fields.flag(&["use_bias"])?)
            .put("sliding_window", fields.count(&["sliding_window"])?)
            .put("use_gate", fields.flag(&["use_gate"])?);
        let arguments = self.own_arguments(fields, arguments)?;
        Ok(self.heads("GroupedQueryAttention", arguments, fields))
    }

    fn heads(&mut self, class: &'static str, arguments: Arguments, fields: &Fields) -> Layer {
        if fields.get(&["activity_regularizer"]).is_some() {
            self.warnings.push(format!(
                "layer {}: its activity_regularizer, which is of the projections in it, is left out; training would go \
                 without it",
                fields.name
            ));
        }
        let mut layer = self.finish(class, arguments.done(), fields);
        let part = |role: &str| {
            let group = if role == "attention_output" { "output" } else { role };
            Source { group: format!("{group}_dense"), ..Source::new(role, &Value::Null) }
        };
        layer.source.children = ["query", "key", "gate", "value", "attention_output"].map(part).into();
        layer
    }

    /// The arguments of the call that this crate keeps among the layer's, and its own.
    fn own_arguments(&self, fields: &Fields, mut arguments: Arguments) -> Result<Arguments> {
        if !self.own {
            return Ok(arguments);
        }
        for name in ["use_causal_mask", "return_attention_scores", "attention_mask"] {
            arguments = arguments.put(name, fields.flag(&[name])?.filter(|flag| *flag));
        }
        for name in ["unmasked", "masked_softmax"] {
            arguments = arguments.put(name, fields.get(&[name]).cloned());
        }
        Ok(arguments)
    }

    /// Refuses a layer that lacks what Keras's own of its name always has, or has what that one has not: a class of the
    /// same name of somebody else's, where nothing else tells.
    fn check_keras_own(&self, fields: &Fields, needed: &[&str], others: &[&str]) -> Result<()> {
        if self.own {
            return Ok(());
        }
        let foreign = |what: String| {
            Err(fields.error(format!(
                "{what}: this is not Keras's class of that name but a custom class, whose code is not in the file"
            )))
        };
        if let Some(missing) = needed.iter().find(|name| fields.raw(&[name]).is_none()) {
            return foreign(format!("its configuration has no `{missing}`"));
        }
        let is_known = |name: &str| [&COMMON[..], needed, others].concat().contains(&name);
        let config = fields.config();
        let mut names = config.as_object().into_iter().flat_map(|map| map.keys());
        match names.find(|name| !is_known(name)) {
            Some(name) => foreign(format!("its configuration has a `{name}`")),
            None => Ok(()),
        }
    }
}

/// A whole number or a list of them, as a list.
fn integers(fields: &Fields, name: &str) -> Result<Option<Vec<Value>>> {
    let list = match fields.get(&[name]) {
        None => return Ok(None),
        Some(Value::Array(list)) => list.clone(),
        Some(Value::Object(tuple)) => {
            tuple.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
        }
        Some(one) => vec![one.clone()],
    };
    match list.iter().all(|value| value.is_i64() || value.is_u64()) {
        true => Ok(Some(list)),
        false => Err(fields.error(format!("`{name}` is {}, expected whole numbers", json!(list)))),
    }
}

/// Whether a layer of this class is called on a query, a value and a key rather than on a list of them.
pub(super) fn takes_roles(class: &str) -> bool {
    matches!(class, "MultiHeadAttention" | "GroupedQueryAttention" | "GroupQueryAttention")
}

/// The arguments of a call in their order.
const ROLES: [&str; 7] = ["query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask"];

/// Brings what a call is given into the order query, value, key and mask, however it was given: by position or by name.
/// Masks of single inputs become masks by hand.
pub(super) fn order_roles(call: &mut Call) -> std::result::Result<(), String> {
    let mut found: [Option<(String, Reference)>; 7] = Default::default();
    for (name, input) in call.names.drain(..).zip(call.inputs.drain(..)) {
        let place = match name.strip_prefix('#').map(str::parse::<usize>) {
            Some(place) => place.ok(),
            None => ROLES.iter().position(|role| *role == name),
        };
        let free = place.and_then(|place| found.get_mut(place)).filter(|place| place.is_none());
        match free {
            Some(place) => *place = Some((name, input)),
            None => return Err(format!("is called with `{name}`, expected {}", ROLES.join(", "))),
        }
    }
    let [query, value, key, query_mask, value_mask, key_mask, attention_mask] = found;
    if query.is_none() || value.is_none() {
        return Err("is called without a query or a value".into());
    }
    call.has_attention_mask = attention_mask.is_some();
    (call.names, call.inputs) = [query, value, key, attention_mask].into_iter().flatten().unzip();
    let masks = [query_mask, value_mask, key_mask].into_iter().enumerate();
    call.single_masks = masks.filter_map(|(index, mask)| Some((index, mask?.1))).collect();
    Ok(())
}
