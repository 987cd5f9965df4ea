//! An optimiser's variables in a file, by the names of the model's.
//!
//! No version names them so that they could be found again: they stand one after another, in an order that each family of
//! optimisers has of its own.

use super::super::array::Array;
use super::super::assign::Trained;
use super::super::hdf5::Hdf5;
use super::generation::Generation;
use super::order::{Entry, Order, orders};
use serde_json::Value;

/// An optimiser's variables: the iterations, and arrays by name.
#[derive(Default)]
pub(super) struct State {
    pub iterations: Option<u64>,
    pub variables: Vec<(String, Array)>,
}

/// What stands in a file: paths and shapes.
struct Held {
    path: String,
    shape: Vec<usize>,
}

/// Whether a file holds any variable of an optimiser.
pub(super) fn is_held(file: &Hdf5) -> bool {
    ["optimizer_weights", "optimizer/vars", "optimizer\\vars", "optimizer/inner_optimizer/vars"]
        .iter()
        .any(|group| file.children(group).is_ok_and(|children| !children.is_empty()))
}

/// The paths of the variables in their order.
fn paths(file: &Hdf5, is_inner: bool) -> Result<Vec<String>, String> {
    if file.has_group("optimizer_weights")? {
        let names = file.attributes("optimizer_weights")?.texts("weight_names").unwrap_or_default();
        return Ok(names.iter().map(|name| format!("optimizer_weights/{name}")).collect());
    }
    let group = if is_inner { "optimizer/inner_optimizer/vars" } else { "optimizer/vars" };
    for group in [group.to_string(), group.replace('/', "\\")] {
        let count = file.children(&group)?.len();
        if count > 0 {
            return Ok((0..count).map(|index| format!("{group}/{index}")).collect());
        }
    }
    Ok(vec![])
}

/// Reads them. With `by_name` the optimiser took the trained arrays in the order of their names, as in Keras 1
/// (`collect_trainable_weights`).
///
/// # Errors
/// In a sentence: where they do not fit the model or the optimiser.
pub(super) fn read(
    file: &Hdf5,
    optimizer: &Value,
    generation: Generation,
    is_inner: bool,
    by_name: bool,
    trained: &[Trained],
) -> Result<State, String> {
    let mut held = vec![];
    for path in paths(file, is_inner)? {
        held.push(Held { shape: file.shape(&path)?, path });
    }
    if held.is_empty() {
        return Ok(State::default());
    }
    let mut shapes = vec![];
    for part in trained {
        shapes.extend(part.shapes(file)?);
    }
    let mut sequence: Vec<usize> = (0..shapes.len()).collect();
    if by_name {
        let all: Vec<&str> = trained
            .iter()
            .flat_map(|part| &part.paths)
            .map(|path| path.rsplit('/').next().unwrap_or(path))
            .collect();
        sequence.sort_by_key(|&variable| all.get(variable));
    }
    let shapes: Vec<Vec<usize>> = sequence.iter().map(|&variable| shapes[variable].clone()).collect();
    let known = orders(optimizer, generation).ok_or("what its optimiser keeps is not known here")?;
    let fits = |order: &&Order| order.fits(&held, &shapes, generation == Generation::Legacy);
    let order = known.iter().find(fits).ok_or_else(|| {
        format!("its {} variables do not fit the {} trained arrays of the model", held.len(), shapes.len())
    })?;
    take(file, &held, &order.entries(shapes.len()), &sequence, trained)
}

impl Order {
    /// Whether what is held has this order.
    fn fits(&self, held: &[Held], shapes: &[Vec<usize>], named: bool) -> bool {
        let entries = self.entries(shapes.len());
        entries.len() == held.len()
            && entries.iter().zip(held).all(|(entry, held)| {
                let has_shape = match entry {
                    Entry::Count | Entry::Scalar(_) => held.shape.iter().product::<usize>() == 1,
                    Entry::Slot { variable, .. } => shapes.get(*variable) == Some(&held.shape),
                    Entry::Nothing => true,
                };
                // `Adam/lstm/lstm_cell/kernel/m:0`
                let last = held.path.rsplit('/').next().unwrap_or_default().split(':').next();
                let has_name = match entry {
                    Entry::Slot { in_file, .. } if named => last == Some(*in_file),
                    _ => true,
                };
                has_shape && has_name
            })
    }
}

/// Reads what is held, `entries`. `sequence` says which of the file's trained arrays each number means.
fn take(
    file: &Hdf5,
    held: &[Held],
    entries: &[Entry],
    sequence: &[usize],
    trained: &[Trained],
) -> Result<State, String> {
    let mut state = State::default();
    // The arrays of each kind by the file's own variable.
    let mut kinds: Vec<(&'static str, Vec<(usize, Array)>)> = vec![];
    for (entry, held) in entries.iter().zip(held) {
        match entry {
            Entry::Count => state.iterations = Some(file.count(&held.path)?),
            Entry::Scalar(name) => {
                let array = file.array(&held.path)?;
                state.variables.push((name.to_string(), Array { shape: vec![], ..array }));
            }
            Entry::Slot { name: None, .. } | Entry::Nothing => {}
            Entry::Slot { name: Some(name), variable, .. } => {
                let array = (sequence[*variable], file.array(&held.path)?);
                match kinds.iter_mut().find(|(kind, _)| kind == name) {
                    Some((_, arrays)) => arrays.push(array),
                    None => kinds.push((name, vec![array])),
                }
            }
        }
    }
    for (kind, mut arrays) in kinds {
        arrays.sort_by_key(|(variable, _)| *variable);
        let mut arrays = arrays.into_iter().map(|(_, array)| array);
        for part in trained {
            let count = if part.paths.is_empty() { part.variables.len() } else { part.paths.len() };
            let own = part.rearrange(arrays.by_ref().take(count).collect()).ok_or_else(|| {
                let names: Vec<&str> = part.variables.iter().map(|(name, _)| name.as_str()).collect();
                format!(
                    "what it keeps of {} is in a layout that cannot be brought to the model's",
                    names.join(", ")
                )
            })?;
            let named =
                part.variables.iter().zip(own).map(|((name, _), array)| (format!("{name}/{kind}"), array));
            state.variables.extend(named);
        }
    }
    Ok(state)
}
