//! Which variables an optimiser of Keras 3.15 keeps, and in which order (`build` of `keras/src/optimizers/*.py`).

use serde_json::Value;

/// The variables of an optimiser after `iteration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::keras) struct Slots {
    /// Whether the learning rate is a variable: where it is no schedule.
    pub has_rate: bool,
    /// What is kept of each trained variable. Those of one list stand variable by variable, and the lists one after another.
    pub groups: Vec<Vec<&'static str>>,
    /// Whether `u_product` comes last.
    pub has_product: bool,
}

/// Those of `optimizer`, in this crate's form; none where they are not known.
pub(in crate::keras) fn slots(optimizer: &Value) -> Option<Slots> {
    let class = optimizer.get("class_name").and_then(Value::as_str)?;
    let argument = |name: &str| optimizer.get("config").and_then(|config| config.get(name));
    let flag = |name: &str| argument(name).and_then(Value::as_bool).unwrap_or(false);
    let number = |name: &str| argument(name).and_then(Value::as_f64).unwrap_or(0.0);
    let mut groups: Vec<Vec<&'static str>> = vec![];
    if flag("use_ema") {
        groups.push(vec!["average"]);
    }
    // Python's truth: 0 is none.
    if number("gradient_accumulation_steps") != 0.0 {
        groups.push(vec!["gradient_accumulator"]);
    }
    match class {
        "SGD" if number("momentum") != 0.0 => groups.push(vec!["momentum"]),
        "SGD" => {}
        "RMSprop" => {
            groups.push(vec!["velocity"]);
            if number("momentum") > 0.0 {
                groups.push(vec!["momentum"]);
            }
            if flag("centered") {
                groups.push(vec!["average_gradient"]);
            }
        }
        "Adam" | "AdamW" => {
            groups.push(vec!["momentum", "velocity"]);
            if flag("amsgrad") {
                groups.push(vec!["velocity_hat"]);
            }
        }
        "Nadam" | "ScheduleFreeAdamW" => groups.push(vec!["momentum", "velocity"]),
        "Adamax" => groups.push(vec!["momentum", "norm"]),
        "Adagrad" => groups.push(vec!["accumulator"]),
        "Adadelta" => groups.push(vec!["accumulated_grad", "accumulated_delta_var"]),
        "Ftrl" => groups.push(vec!["accumulator", "linear"]),
        "Lion" => groups.push(vec!["momentum"]),
        _ => return None,
    }
    let has_rate = !argument("learning_rate").is_some_and(Value::is_object);
    Some(Slots { has_rate, groups, has_product: class == "Nadam" })
}
