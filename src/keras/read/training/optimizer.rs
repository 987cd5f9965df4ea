//! An optimiser of any Keras in Keras 3.15's words.

use super::generation::Generation;
use super::value::{is_foreign, number, object, plain, shown};
use crate::keras::training::{Kind, defaults, find, knows};
use serde_json::{Map, Value, json};

/// An optimiser as far as it is understood.
#[derive(Debug, Default)]
pub(super) struct Optimizer {
    pub value: Option<Value>,
    /// Whether its state stands in a group within (`LossScaleOptimizer`).
    pub is_inner: bool,
    pub unknown: Vec<String>,
    pub differs: Vec<String>,
}

/// Reads an optimiser: its name, or an object.
pub(super) fn read(value: &Value, generation: Generation, major: u32) -> Optimizer {
    let mut optimizer = Optimizer::default();
    let empty = Map::new();
    let (class, config) = match value {
        Value::String(name) => (name.as_str(), &empty),
        value => object(value).unwrap_or(("", &empty)),
    };
    if class == "LossScaleOptimizer" {
        let inner = config.get("inner_optimizer").or_else(|| config.get("optimizer")).unwrap_or(&Value::Null);
        // The file's family is that of the optimiser within.
        let mut inner = read(inner, generation, major);
        inner.is_inner = true;
        inner.differs.push(
            "the model was trained in float16 with a scaled loss (LossScaleOptimizer); here it goes on in float32 without"
                .into(),
        );
        return inner;
    }
    let class = match generation {
        Generation::TfKeras | Generation::Legacy => class.strip_prefix("Custom>").unwrap_or(class),
        _ => class,
    };
    let Some(class) = find(Kind::Optimizer, class).filter(|_| !is_foreign(value)) else {
        let what = match class {
            "" => format!("optimizer: {} is no optimiser that can be read", shown(value)),
            class => format!(
                "optimizer: `{class}` is no optimiser of Keras 3's: it is somebody's own, whose code is not in the file, or one that Keras has given up"
            ),
        };
        optimizer.unknown.push(what);
        return optimizer;
    };
    let reader = Reader { class, config, generation, major, found: &mut optimizer };
    let config = reader.read();
    optimizer.value = Some(json!({ "class_name": class, "config": config }));
    optimizer
}

struct Reader<'a> {
    class: &'static str,
    config: &'a Map<String, Value>,
    generation: Generation,
    major: u32,
    found: &'a mut Optimizer,
}

impl Reader<'_> {
    fn read(mut self) -> Value {
        let mut config = defaults(self.class);
        if self.generation == Generation::Old {
            self.old_defaults(&mut config);
        }
        let (mut decay, mut name) = (None, None);
        for (key, value) in self.config {
            match key.as_str() {
                "name" => name = Some(value.clone()),
                "decay" => decay = number(value).filter(|decay| *decay != 0.0),
                // Those of tf.keras that say how to compute, not what.
                "jit_compile" | "is_legacy_optimizer" | "schedule_decay" => {}
                "lr" | "learning_rate" => {
                    let rate = self.rate(value);
                    config.extend(rate.map(|rate| ("learning_rate".to_string(), rate)));
                }
                key => self.argument(key, value, &mut config),
            }
        }
        if let Some(decay) = decay {
            self.decay(decay, &mut config);
        }
        self.clip(&mut config);
        self.differences(&config);
        if let Some(name) = name {
            config.insert("name".into(), name);
        }
        Value::Object(config)
    }

    /// Defaults of Keras 1 and 2 that are others in Keras 3.
    fn old_defaults(&self, config: &mut Map<String, Value>) {
        // The accumulators began with 0.
        if self.class == "Adagrad" {
            config.insert("initial_accumulator_value".into(), json!(0.0));
        }
        if self.major < 2 && config.contains_key("epsilon") {
            config.insert("epsilon".into(), json!(1e-8));
        }
    }

    fn argument(&mut self, key: &str, value: &Value, config: &mut Map<String, Value>) {
        let value = plain(value);
        match config.get(key) {
            // `epsilon: null` is Keras's own.
            Some(default) if value.is_null() && !default.is_null() => {}
            // What tf.keras 2.11 wrote where there is none.
            Some(Value::Null) if key == "weight_decay" && number(&value) == Some(0.0) => {}
            Some(_) => drop(config.insert(key.into(), value)),
            None if value.is_null() => {}
            None => {
                let what = format!(
                    "optimizer: {} has an argument `{key}` ({}), which Keras 3 does not have",
                    self.class,
                    shown(&value)
                );
                self.found.unknown.push(what);
            }
        }
    }

    /// A learning rate: a number or a schedule.
    fn rate(&mut self, value: &Value) -> Option<Value> {
        if let Some(number) = number(value) {
            return Some(json!(number));
        }
        let (class, config) = object(value).unwrap_or(("", self.config));
        let known = find(Kind::Schedule, class).filter(|_| !is_foreign(value));
        let Some(class) = known else {
            let what = format!("optimizer: the learning rate {} is no schedule of Keras 3's", shown(value));
            self.found.unknown.push(what);
            return None;
        };
        let mut arguments = Map::new();
        for (key, value) in config.iter().filter(|(_, value)| !value.is_null()) {
            match knows(Kind::Schedule, class, key) {
                true => drop(arguments.insert(key.clone(), plain(value))),
                false => {
                    let what = format!(
                        "optimizer: the schedule {class} has an argument `{key}`, which Keras 3 does not have"
                    );
                    self.found.unknown.push(what);
                }
            }
        }
        Some(json!({ "class_name": class, "config": arguments }))
    }

    /// Keras 1 and 2 divided the learning rate by 1 + decay · iterations, with the iterations before the step, as a schedule is
    /// asked in Keras 3.
    fn decay(&mut self, decay: f64, config: &mut Map<String, Value>) {
        match config.get("learning_rate") {
            // There it is the decay of the momentum's own schedule.
            _ if self.class == "Nadam" && self.generation != Generation::Old => {}
            Some(rate @ Value::Number(_)) => {
                let schedule = json!({ "initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay,
                    "staircase": false, "name": "InverseTimeDecay" });
                config.insert(
                    "learning_rate".into(),
                    json!({ "class_name": "InverseTimeDecay", "config": schedule }),
                );
            }
            _ => {
                let what =
                    format!("optimizer: decay {decay} of a schedule's rate, which Keras 3 does not have");
                self.found.unknown.push(what);
            }
        }
    }

    fn clip(&mut self, config: &mut Map<String, Value>) {
        // Keras 1 and 2 clipped by the norm of all gradients together.
        if self.generation == Generation::Old
            && let Some(norm) = config.get("clipnorm").filter(|norm| !norm.is_null()).cloned()
        {
            config.insert("global_clipnorm".into(), norm);
            config.insert("clipnorm".into(), Value::Null);
        }
        let clips = ["clipnorm", "global_clipnorm", "clipvalue"];
        let given: Vec<&str> =
            clips.into_iter().filter(|clip| config.get(*clip).is_some_and(|clip| !clip.is_null())).collect();
        if given.len() > 1 {
            let what = format!(
                "optimizer: gradients are clipped by {} together, and Keras 3 knows one at a time",
                given.join(" and ")
            );
            self.found.unknown.push(what);
        }
    }

    /// Where Keras 3 has another formula.
    fn differences(&mut self, config: &Map<String, Value>) {
        let who = self.generation.name();
        let by_hand = matches!(self.generation, Generation::Old | Generation::Legacy);
        let has_momentum =
            config.get("momentum").and_then(Value::as_f64).is_some_and(|momentum| momentum != 0.0);
        let mut differ = |what: String| self.found.differs.push(what);
        match self.class {
            "RMSprop" if by_hand && !(self.generation == Generation::Legacy && has_momentum) => {
                differ(format!(
                    "RMSprop: {who} added epsilon to the root of the mean square, Keras 3 adds it under the root"
                ))
            }
            "Adagrad" if by_hand => differ(format!(
                "Adagrad: {who} added epsilon to the root of the sum of squares, Keras 3 adds it under the root"
            )),
            "Nadam" if by_hand => {
                differ(format!("Nadam: {who} had the momentum rise by 0.96^(0.004 t), Keras 3 by 0.96^t"));
            }
            "Nadam" if self.generation == Generation::TfKeras => {
                differ(format!(
                    "Nadam: {who} multiplied its product of momenta once a variable, Keras 3 once a step"
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(class: &str, config: Value, generation: Generation, major: u32) -> Optimizer {
        read(&json!({ "class_name": class, "config": config }), generation, major)
    }

    #[test]
    fn keras_1_and_2_are_brought_to_keras_3() {
        let given = json!({ "lr": 0.01, "rho": 0.9, "decay": 0.5, "epsilon": null, "clipnorm": 1.0 });
        let read = reads("RMSprop", given, Generation::Old, 2);
        let config = &read.value.unwrap()["config"];
        let rate = json!({ "class_name": "InverseTimeDecay", "config": { "initial_learning_rate": 0.01, "decay_steps": 1,
            "decay_rate": 0.5, "staircase": false, "name": "InverseTimeDecay" } });
        assert_eq!(config["learning_rate"], rate);
        assert_eq!((&config["epsilon"], &config["momentum"]), (&json!(1e-7), &json!(0.0)));
        // All gradients together.
        assert_eq!((&config["global_clipnorm"], &config["clipnorm"]), (&json!(1.0), &Value::Null));
        assert!(read.unknown.is_empty() && read.differs.len() == 1, "{:?} {:?}", read.unknown, read.differs);
        let read =
            reads("Adagrad", json!({ "lr": { "type": "ndarray", "value": 0.25 } }), Generation::Old, 1);
        let config = &read.value.unwrap()["config"];
        assert_eq!((&config["learning_rate"], &config["epsilon"]), (&json!(0.25), &json!(1e-8)));
        assert_eq!(config["initial_accumulator_value"], 0.0);
    }

    #[test]
    fn what_is_not_keras_3s_is_said() {
        let custom = reads("Addons>LAMB", json!({}), Generation::TfKeras, 2);
        assert!(custom.value.is_none() && custom.unknown[0].contains("Addons>LAMB"), "{:?}", custom.unknown);
        let own =
            reads("Custom>Adam", json!({ "jit_compile": true, "use_ema": false }), Generation::TfKeras, 2);
        assert!(own.value.is_some_and(|it| it["class_name"] == "Adam") && own.unknown.is_empty());
        let both =
            reads("SGD", json!({ "lr": 0.1, "clipnorm": 1.0, "clipvalue": 0.5 }), Generation::Legacy, 2);
        assert!(both.unknown[0].contains("one at a time"), "{:?}", both.unknown);
        let schedule = json!({ "learning_rate": { "class_name": "MySchedule", "config": {} } });
        assert!(reads("Adam", schedule, Generation::Keras3, 3).unknown[0].contains("MySchedule"));
        assert!(read(&json!("adam"), Generation::Keras3, 3).value.is_some());
    }
}
