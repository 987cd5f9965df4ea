//! Which `hard_sigmoid` weights were made for. Keras 1 and 2 had one, Keras 3 has another, and `convert` puts the
//! difference into the weights; so weights alone, with the architecture from another file, must say which they need.

use serde_json::Value;

/// The attribute, or the metadata of a safetensors file, that says which.
pub(crate) const KEY: &str = "hard_sigmoid";

/// One of the two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HardSigmoid {
    /// clip(0.2 x + 0.5, 0, 1)
    Keras2,
    /// clip(x / 6 + 0.5, 0, 1)
    Keras3,
}

impl HardSigmoid {
    const BOTH: [Self; 2] = [Self::Keras2, Self::Keras3];

    /// Its name as an activation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keras2 => "hard_sigmoid_keras2",
            Self::Keras3 => "hard_sigmoid",
        }
    }

    /// What a file says.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Keras2 => "clip(0.2 x + 0.5, 0, 1)",
            Self::Keras3 => "clip(x / 6 + 0.5, 0, 1)",
        }
    }

    pub fn from_formula(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|function| function.formula() == text)
    }

    /// That of a version of Keras.
    pub fn of_major(major: u32) -> Self {
        if major < 3 { Self::Keras2 } else { Self::Keras3 }
    }

    /// The one that a model in this crate's form uses; none if it uses none, or both.
    pub fn used(model: &Value) -> Option<Self> {
        let mut used = [false; 2];
        each_activation(&mut model.clone(), &mut |name| {
            for (used, function) in used.iter_mut().zip(Self::BOTH) {
                *used |= name == function.name();
            }
        });
        match used {
            [true, false] => Some(Self::Keras2),
            [false, true] => Some(Self::Keras3),
            _ => None,
        }
    }

    /// Puts it in the place of the other one; whether there was one.
    pub fn put_into(self, model: &mut Value) -> bool {
        let mut changed = false;
        each_activation(model, &mut |name| {
            let is_other = Self::BOTH.iter().any(|other| *other != self && name == other.name());
            if is_other {
                *name = self.name().into();
            }
            changed |= is_other;
        });
        changed
    }
}

/// Calls `visit` with the name of every activation.
fn each_activation(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(name) if key == "activation" || key == "recurrent_activation" => {
                        visit(name)
                    }
                    value => each_activation(value, visit),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each_activation(value, visit)),
        _ => {}
    }
}
