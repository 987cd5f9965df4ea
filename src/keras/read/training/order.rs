//! The orders in which the families of optimisers keep their variables.

use super::generation::Generation;
use crate::keras::training::{Slots, slots};
use serde_json::Value;

/// A variable of an optimiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The iterations.
    Count,
    /// A number of that name.
    Scalar(&'static str),
    /// What is kept of the trained array of that number; nameless where Keras 3 keeps no such thing.
    Slot { name: Option<&'static str>, in_file: &'static str, variable: usize },
    /// A place that is held free.
    Nothing,
}

/// Something kept of each array: what Keras 3 calls it, and how the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    name: Option<&'static str>,
    in_file: &'static str,
    /// Whether its places are held free.
    is_free: bool,
}

/// One order: first, lists of what is kept variable by variable, one list after another, and last.
#[derive(Clone, Debug)]
pub(super) struct Order {
    first: Vec<Entry>,
    groups: Vec<Vec<Kept>>,
    last: Vec<Entry>,
}

impl Order {
    /// All variables for so many trained arrays.
    pub fn entries(&self, count: usize) -> Vec<Entry> {
        let mut entries = self.first.clone();
        for group in &self.groups {
            for variable in 0..count {
                entries.extend(group.iter().map(|kept| match kept.is_free {
                    true => Entry::Nothing,
                    false => Entry::Slot { name: kept.name, in_file: kept.in_file, variable },
                }));
            }
        }
        entries.extend(self.last.clone());
        entries
    }
}

/// The orders that a file of a family may have, for an optimiser in Keras 3's words. None where what it keeps is not known.
pub(super) fn orders(optimizer: &Value, generation: Generation) -> Option<Vec<Order>> {
    let slots = slots(optimizer)?;
    let class = optimizer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    Some(match generation {
        Generation::Keras3 => keras_3(&slots),
        Generation::TfKeras => tf_keras(&slots, class),
        Generation::Legacy => legacy(&slots, class),
        Generation::Old => old(&slots, class),
    })
}

fn as_named(group: &[&'static str]) -> Vec<Kept> {
    group.iter().map(|name| Kept { name: Some(name), in_file: name, is_free: false }).collect()
}

/// Keras 3. Up to 3.9 the averages and accumulators of a variable stood together, and a Nadam's product before the rest.
fn keras_3(slots: &Slots) -> Vec<Order> {
    let mut first = vec![Entry::Count];
    if slots.has_rate {
        first.push(Entry::Scalar("learning_rate"));
    }
    let groups: Vec<Vec<Kept>> = slots.groups.iter().map(|group| as_named(group)).collect();
    let product = || if slots.has_product { vec![Entry::Scalar("u_product")] } else { vec![] };
    let now = Order { first: first.clone(), groups: groups.clone(), last: product() };
    let mut before = Order { first: [first, product()].concat(), groups, last: vec![] };
    if slots.groups.first().is_some_and(|group| group == &["average"])
        && slots.groups.get(1).is_some_and(|group| group == &["gradient_accumulator"])
    {
        let accumulators = before.groups.remove(1);
        before.groups[0].extend(accumulators);
    }
    vec![now, before]
}

/// tf.keras 2.11 on: as Keras 3, but that a Nadam's product is not kept, and that SGD keeps a momentum of 0 too.
fn tf_keras(slots: &Slots, class: &str) -> Vec<Order> {
    let mut groups: Vec<Vec<Kept>> = slots.groups.iter().map(|group| as_named(group)).collect();
    if class == "SGD" && !slots.groups.iter().any(|group| group == &["momentum"]) {
        groups.push(vec![Kept { name: None, in_file: "m", is_free: false }]);
    }
    let without = Order { first: vec![Entry::Count], groups, last: vec![] };
    let rate = vec![Entry::Count, Entry::Scalar("learning_rate")];
    let bare = slots.groups.iter().map(|group| as_named(group)).collect();
    let plain = Order { first: vec![Entry::Count], groups: bare, last: vec![] };
    vec![without.clone(), Order { first: rate, ..without }, plain]
}

/// How tf.keras's `optimizer_v2` calls what Keras 3 keeps.
fn legacy_name(class: &str, name: &'static str) -> &'static str {
    match (class, name) {
        ("RMSprop", "velocity") => "rms",
        ("RMSprop", "average_gradient") => "mg",
        ("RMSprop" | "SGD", "momentum") => "momentum",
        ("Adadelta", "accumulated_grad") => "accum_grad",
        ("Adadelta", "accumulated_delta_var") => "accum_var",
        (_, "momentum") => "m",
        (_, "velocity" | "norm") => "v",
        (_, "velocity_hat") => "vhat",
        (_, name) => name,
    }
}

/// tf.keras's `optimizer_v2`: all of one kind, then all of the next; the names end with the kind.
fn legacy(slots: &Slots, class: &str) -> Vec<Order> {
    let mut first = vec![Entry::Count];
    if class == "Nadam" {
        first.push(Entry::Scalar("u_product"));
    }
    let kept =
        |name: &&'static str| Kept { name: Some(name), in_file: legacy_name(class, name), is_free: false };
    let each: Vec<Kept> = slots.groups.iter().flatten().map(kept).collect();
    let apart =
        Order { first: first.clone(), groups: each.iter().map(|kept| vec![*kept]).collect(), last: vec![] };
    let together = Order { first, groups: vec![each], last: vec![] };
    vec![apart, together]
}

/// Keras 1 and 2: all of one kind, then all of the next, and not always the iterations. From 2.1.3 an Adam without `amsgrad` holds
/// places free for it; SGD keeps a momentum of 0 too.
fn old(slots: &Slots, class: &str) -> Vec<Order> {
    let mut groups: Vec<Vec<Kept>> = slots.groups.iter().flatten().map(|name| as_named(&[name])).collect();
    if class == "SGD" && groups.is_empty() {
        groups.push(vec![Kept { name: None, in_file: "", is_free: false }]);
    }
    let mut of_groups = vec![groups.clone()];
    if class == "Adam" && groups.len() == 2 {
        of_groups.push([groups, vec![vec![Kept { name: None, in_file: "", is_free: true }]]].concat());
    }
    let mut firsts = vec![vec![Entry::Count], vec![]];
    if class == "Nadam" {
        firsts.push(vec![Entry::Count, Entry::Scalar("u_product")]);
    }
    let orders = of_groups.into_iter().flat_map(|groups| {
        firsts
            .iter()
            .map(move |first| Order { first: first.clone(), groups: groups.clone(), last: vec![] })
            .collect::<Vec<_>>()
    });
    orders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(optimizer: Value, generation: Generation, which: usize) -> Vec<String> {
        let orders = orders(&optimizer, generation).unwrap();
        let show = |entry: Entry| match entry {
            Entry::Count => "iteration".to_string(),
            Entry::Scalar(name) => name.to_string(),
            Entry::Slot { name, variable, .. } => format!("{variable}/{}", name.unwrap_or("-")),
            Entry::Nothing => "free".to_string(),
        };
        orders[which].entries(2).into_iter().map(show).collect()
    }

    #[test]
    fn each_family_has_its_order() {
        let adam = || json!({ "class_name": "Adam", "config": { "amsgrad": false } });
        let by_variable = ["0/momentum", "0/velocity", "1/momentum", "1/velocity"];
        let by_kind = ["0/momentum", "1/momentum", "0/velocity", "1/velocity"];
        assert_eq!(
            kinds(adam(), Generation::Keras3, 0),
            [&["iteration", "learning_rate"][..], &by_variable].concat()
        );
        assert_eq!(kinds(adam(), Generation::TfKeras, 0), [&["iteration"][..], &by_variable].concat());
        assert_eq!(kinds(adam(), Generation::Legacy, 0), [&["iteration"][..], &by_kind].concat());
        assert_eq!(
            kinds(adam(), Generation::Old, 2),
            [&["iteration"][..], &by_kind, &["free", "free"]].concat()
        );
        let nadam =
            json!({ "class_name": "Nadam", "config": { "learning_rate": { "class_name": "CosineDecay" } } });
        assert_eq!(kinds(nadam.clone(), Generation::Keras3, 0).last().unwrap(), "u_product");
        assert_eq!(kinds(nadam, Generation::Keras3, 1)[..2], ["iteration", "u_product"]);
        let both =
            json!({ "class_name": "SGD", "config": { "use_ema": true, "gradient_accumulation_steps": 2 } });
        assert_eq!(kinds(both.clone(), Generation::Keras3, 0)[2..4], ["0/average", "1/average"]);
        assert_eq!(kinds(both, Generation::Keras3, 1)[2..4], ["0/average", "0/gradient_accumulator"]);
    }
}
