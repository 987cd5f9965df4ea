//! What Keras 3.15's `compile` knows by name (`classes.json`, written by `scripts/keras_compile_classes.py`).

use serde_json::{Map, Value};
use std::sync::OnceLock;

/// What an object of `compile` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keras) enum Kind {
    Optimizer,
    Schedule,
    Loss,
    Metric,
}

impl Kind {
    /// Its part of the table.
    fn table(self) -> &'static str {
        match self {
            Self::Optimizer => "optimizers",
            Self::Schedule => "schedules",
            Self::Loss => "losses",
            Self::Metric => "metrics",
        }
    }

    /// Its module in Keras.
    pub fn module(self) -> &'static str {
        match self {
            Self::Optimizer => "keras.optimizers",
            Self::Schedule => "keras.optimizers.schedules",
            Self::Loss => "keras.losses",
            Self::Metric => "keras.metrics",
        }
    }
}

fn table(part: &str) -> &'static Value {
    static TABLE: OnceLock<Value> = OnceLock::new();
    let table =
        TABLE.get_or_init(|| serde_json::from_str(include_str!("classes.json")).unwrap_or(Value::Null));
    table.get(part).unwrap_or(&Value::Null)
}

/// The classes of a kind.
fn classes(kind: Kind) -> impl Iterator<Item = &'static str> {
    table(kind.table()).as_object().into_iter().flat_map(|classes| classes.keys().map(String::as_str))
}

/// Keras's class of that name, whatever its case: in `compile`, `"adam"` stands for `Adam`.
pub(in crate::keras) fn find(kind: Kind, name: &str) -> Option<&'static str> {
    classes(kind).find(|class| class.eq_ignore_ascii_case(name))
}

/// An optimiser's arguments at their defaults, its name not among them.
pub(in crate::keras) fn defaults(optimizer: &str) -> Map<String, Value> {
    table("optimizers").get(optimizer).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Whether a class has an argument.
pub(in crate::keras) fn knows(kind: Kind, class: &str, argument: &str) -> bool {
    let arguments = table(kind.table()).get(class);
    arguments.and_then(Value::as_array).is_some_and(|list| list.iter().any(|known| known == argument))
}

/// The name under which Keras 3.15 knows a loss or metric that files call `name`; none where it knows none.
pub(in crate::keras) fn name_of(kind: Kind, name: &str) -> Option<String> {
    // As Keras 1 and 2 called them.
    let now = match name {
        "cosine" | "cosine_proximity" => "cosine_similarity",
        "kullback_leibler_divergence" => "kl_divergence",
        "logcosh" if kind == Kind::Metric => "log_cosh_error",
        "logcosh" => "log_cosh",
        "log_cosh" if kind == Kind::Metric => "log_cosh_error",
        "huber_loss" => "huber",
        "kld" | "KLD" if kind == Kind::Metric => "kl_divergence",
        // Keras chooses by the output's shape.
        "acc" | "accuracy" | "ce" | "crossentropy" if kind == Kind::Metric => return Some(name.into()),
        name => name,
    };
    let list = match kind {
        Kind::Loss => "loss_functions",
        _ => "metric_functions",
    };
    let is_known = table(list).as_array().is_some_and(|list| list.iter().any(|known| known == now));
    is_known.then(|| now.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_there() {
        assert_eq!(find(Kind::Optimizer, "rmsprop"), Some("RMSprop"));
        assert_eq!(defaults("SGD")["learning_rate"], 0.01);
        assert!(knows(Kind::Metric, "AUC", "curve") && !knows(Kind::Loss, "Huber", "from_logits"));
        assert_eq!(name_of(Kind::Loss, "kullback_leibler_divergence").as_deref(), Some("kl_divergence"));
        assert_eq!(name_of(Kind::Loss, "my_loss"), None);
        assert_eq!(classes(Kind::Schedule).count(), 6);
    }
}
