//! Which module of a file is which layer of the model.

use super::modules::{Module, Part};
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The tensors of one module, or of one layer of a stacked one, by name with `_l0`.
#[derive(Default)]
struct Group<'a>(BTreeMap<String, &'a Tensor>);

/// Modules of a file by path, and by their place in a stack.
type Groups<'a> = BTreeMap<String, BTreeMap<usize, Group<'a>>>;

/// Keras's variables from the file's tensors.
pub(super) fn variables(
    modules: &[Module],
    tensors: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>> {
    let groups = groups(tensors);
    let mut variables = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (module, (path, index)) in modules.iter().zip(pair(modules, &groups)?) {
        let Some(group) = groups.get(path).and_then(|stack| stack.get(&index)) else { continue };
        used.insert((path, index));
        for part in &module.parts {
            let held: Vec<Tensor> = part.suffixes.iter().filter_map(|name| group.get(name)).collect();
            let value = part.form.revert(&held, &part.shape).map_err(|error| {
                Error::layer(module.layer.as_str(), format!("{path}.{}: {error}", part.suffixes.join(", ")))
            })?;
            variables.extend(value.map(|value| (part.variable.clone(), value)));
        }
    }
    for (path, stack) in &groups {
        if let Some(index) = stack.keys().find(|&&index| !used.contains(&(path.as_str(), index))) {
            let which = if *index == 0 { path.clone() } else { format!("{path} (_l{index})") };
            return Err(Error::argument(
                "weights",
                format!("the model has no layer for the module `{which}`"),
            ));
        }
    }
    Ok(variables)
}

impl Group<'_> {
    fn get(&self, suffix: &str) -> Option<Tensor> {
        self.0.get(suffix).map(|&tensor| tensor.clone())
    }

    /// Whether it holds what the module wants, no more and no less, in the right shapes.
    fn fits(&self, module: &Module) -> bool {
        let wanted: usize = module.parts.iter().map(|part| part.suffixes.len()).sum();
        wanted == self.0.len() && module.parts.iter().all(|part| self.misfit(part).is_none())
    }

    /// What is wrong with the tensors of one variable.
    fn misfit(&self, part: &Part) -> Option<String> {
        part.suffixes.iter().zip(part.form.shapes(&part.shape)).find_map(|(suffix, shape)| {
            match self.0.get(suffix) {
                None => Some(format!("`{suffix}` {shape:?} is missing")),
                Some(tensor) if tensor.dims() != shape => Some(format!(
                    "`{suffix}` has shape {:?}, {} {:?} needs {shape:?}",
                    tensor.dims(),
                    part.variable,
                    part.shape
                )),
                Some(_) => None,
            }
        })
    }
}

/// The file's tensors by module. `num_batches_tracked` is a counter of PyTorch's training and is left out.
fn groups(tensors: &BTreeMap<String, Tensor>) -> Groups<'_> {
    let mut groups = Groups::new();
    for (name, tensor) in tensors {
        let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
        if last == "num_batches_tracked" {
            continue;
        }
        let (index, suffix) = unstack(last);
        let stack = groups.entry(path.to_string()).or_default();
        stack.entry(index).or_default().0.insert(suffix, tensor);
    }
    groups
}

/// `weight_ih_l1_reverse` to 1 and `weight_ih_l0_reverse`; `weight_ih` of a cell to 0 and `weight_ih_l0`.
fn unstack(name: &str) -> (usize, String) {
    if matches!(name, "weight_ih" | "weight_hh" | "bias_ih" | "bias_hh") {
        return (0, format!("{name}_l0"));
    }
    for stem in ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"] {
        let Some(rest) = name.strip_prefix(stem) else { continue };
        let (digits, tail) = match rest.strip_suffix("_reverse") {
            Some(digits) => (digits, "_reverse"),
            None => (rest, ""),
        };
        if let Ok(index) = digits.parse::<usize>() {
            return (index, format!("{stem}0{tail}"));
        }
    }
    (0, name.to_string())
}

/// For each module the path and the place of its tensors in the file.
fn pair<'a>(modules: &[Module], groups: &'a Groups<'_>) -> Result<Vec<(&'a str, usize)>> {
    let mut found: Vec<Option<(&str, usize)>> = vec![None; modules.len()];
    let mut left: Vec<&str> = groups.keys().map(String::as_str).collect();
    // By name first: what has a layer's name is that layer, or its shapes are wrong.
    let names = names(modules, groups);
    left.retain(|path| {
        let named = names.iter().find(|(_, named)| named == path);
        named.is_none_or(|(start, _)| !assign(modules, groups, path, *start, &mut found))
    });
    // Then by content, as long as there is one way.
    loop {
        let free = |found: &[Option<(&str, usize)>], path: &str| -> Vec<usize> {
            let starts = 0..modules.len();
            starts.filter(|&start| follow(modules, groups, path, start, found).is_some()).collect()
        };
        let only = left.iter().enumerate().find_map(|(at, path)| match free(&found, path).as_slice() {
            [start] => Some((at, *path, *start)),
            _ => None,
        });
        let Some((at, path, start)) = only else { break };
        // Two modules that fit one layer only are no single way either.
        let rivals = left.iter().filter(|other| free(&found, other).as_slice() == [start]);
        if rivals.count() > 1 {
            break;
        }
        assign(modules, groups, path, start, &mut found);
        left.remove(at);
    }
    let complete = found.iter().zip(modules).map(|(place, module)| {
        let named =
            names.iter().find(|(start, _)| modules.get(*start).is_some_and(|m| m.prefix == module.prefix));
        let path = named.map_or(module.prefix.as_str(), |(_, path)| *path);
        place.ok_or_else(|| Error::layer(module.layer.as_str(), missing(module, path, groups, &left)))
    });
    complete.collect()
}

/// The paths that have the names of modules: the whole path or, where the modules are part of a larger one
/// (`model.lstm`, `encoder.lstm`), its end, if no other path ends so and it is the end of no other module's path.
fn names<'a>(modules: &[Module], groups: &'a Groups<'_>) -> Vec<(usize, &'a str)> {
    let starts: Vec<(usize, &Module)> =
        modules.iter().enumerate().filter(|(_, module)| module.index == 0).collect();
    let ends = |path: &str, module: &Module| {
        path.strip_suffix(module.prefix.as_str()).is_some_and(|outer| outer.ends_with('.'))
    };
    let mut names = vec![];
    for &(start, module) in &starts {
        if let Some((path, _)) = groups.get_key_value(&module.prefix) {
            names.push((start, path.as_str()));
            continue;
        }
        let mut longer = groups.keys().filter(|path| ends(path, module));
        let (Some(path), None) = (longer.next(), longer.next()) else { continue };
        let other = |&(_, other): &(usize, &Module)| other.prefix == *path || ends(path, other);
        if starts.iter().filter(|start| other(start)).count() == 1 {
            names.push((start, path));
        }
    }
    names
}

/// Gives the modules from `start` on to the stack at `path`; whether all of it found its place.
fn assign<'a>(
    modules: &[Module],
    groups: &'a Groups<'_>,
    path: &'a str,
    start: usize,
    found: &mut [Option<(&'a str, usize)>],
) -> bool {
    let Some(places) = follow(modules, groups, path, start, found) else { return false };
    for (at, index) in places {
        if let Some(slot) = found.get_mut(at) {
            *slot = Some((path, index));
        }
    }
    true
}

/// The modules from `start` on that take the stack at `path` one after another, if they fit it.
fn follow(
    modules: &[Module],
    groups: &Groups<'_>,
    path: &str,
    start: usize,
    found: &[Option<(&str, usize)>],
) -> Option<Vec<(usize, usize)>> {
    let stack = groups.get(path)?;
    let rest = modules.iter().enumerate().skip(start);
    // The next of a stack is the next recurrent layer of the model.
    let mut chain = rest.filter(|(at, module)| *at == start || module.is_recurrent());
    let mut places = Vec::new();
    for (&index, group) in stack {
        let (at, module) = chain.next()?;
        if found.get(at)?.is_some() || !group.fits(module) {
            return None;
        }
        places.push((at, index));
    }
    Some(places)
}

/// Why a module found no tensors, those at `path` or any.
fn missing(module: &Module, path: &str, groups: &Groups<'_>, left: &[&str]) -> String {
    if let Some(group) = groups.get(path).and_then(|stack| stack.get(&module.index)) {
        if let Some(what) = module.parts.iter().find_map(|part| group.misfit(part)) {
            return format!("in the module `{path}`, {what}");
        }
        return format!("the module `{path}` holds tensors that the layer does not have");
    }
    let fits = |path: &&&str| groups.get(**path).is_some_and(|stack| stack.values().any(|g| g.fits(module)));
    let candidates: Vec<&str> = left.iter().filter(fits).copied().collect();
    let needs: Vec<String> = module.parts.iter().flat_map(needs).collect();
    match candidates.as_slice() {
        [] => format!("no module of the file holds {}", needs.join(", ")),
        _ => format!(
            "fits the modules {}: which one it is cannot be told; give it the layer's name, `{}`",
            candidates.join(", "),
            module.prefix
        ),
    }
}

fn needs(part: &Part) -> Vec<String> {
    let shapes = part.form.shapes(&part.shape).into_iter();
    part.suffixes.iter().zip(shapes).map(|(suffix, shape)| format!("{suffix} {shape:?}")).collect()
}
