//! `.h5` as Keras has written it since version 1: a group a layer, its arrays listed in an attribute.
//!
//! Only the order of that list says which array is which; the names in it are often another layer's.

use super::super::array::Array;
use super::super::hdf5::Hdf5;
use super::convert::{self, Origin};
use super::convert::{names, shapes};
use super::trained::Trained;
use super::{Leaf, TopLayer, check, is_count, no_count};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// The layers of a file.
pub(super) struct Groups {
    layers: Vec<Group>,
    origin: Origin,
}

struct Group {
    name: String,
    /// Paths of its arrays.
    arrays: Vec<String>,
}

/// The layers of a file of this form; none where it has another.
pub(super) fn find(file: &Hdf5) -> Result<Option<Groups>> {
    let fail = |what: String| Error::argument("weights", what);
    for base in ["model_weights", ""] {
        if !file.has_group(base).map_err(fail)? {
            continue;
        }
        let attributes = file.attributes(base).map_err(fail)?;
        let Some(names) = attributes.texts("layer_names") else { continue };
        // Keras 1.0 did not say which version it is; a weights file has the version beside the names, or nowhere.
        let root = file.attributes("").map_err(fail)?;
        let text = |name: &str| attributes.text(name).or_else(|| root.text(name)).map(str::to_lowercase);
        let origin = Origin { is_theano: text("backend").is_some_and(|backend| backend == "theano") };
        let join = |a: &str, b: &str| if a.is_empty() { b.to_string() } else { format!("{a}/{b}") };
        let mut layers = Vec::with_capacity(names.len());
        for name in names {
            let path = join(base, &name);
            let attributes = file.attributes(&path).map_err(|what| {
                fail(format!(
                    "{what} for the layer `{name}` (links to other files or places are not followed)"
                ))
            })?;
            let arrays = attributes.texts("weight_names").unwrap_or_default();
            let arrays = arrays.iter().map(|array| join(&path, array)).collect();
            layers.push(Group { name, arrays });
        }
        return Ok(Some(Groups { layers, origin }));
    }
    Ok(None)
}

/// Reads the arrays layer by layer in their order, as Keras does with a whole model and with weights alone
/// (`load_weights_from_hdf5_group`): names are numbered anew in every session. Where the file has layers that the model
/// has not, the names decide, as with Keras's `by_name=True`.
pub(super) fn read(
    file: &Hdf5,
    groups: &Groups,
    layers: &[TopLayer],
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Array>> {
    let mut arrays = BTreeMap::new();
    for (layer, group) in paired(groups, layers, warnings)? {
        for part in parts(group, layer)? {
            let found = part.paths.iter().enumerate().map(|(index, path)| match part.variables.get(index) {
                Some((name, _)) if is_count(name) => Ok(no_count()),
                _ => file.array(path).map_err(|what| Error::layer(layer.name.as_str(), what)),
            });
            let found = part.convert(found.collect::<Result<_>>()?, groups.origin)?;
            for ((name, shape), array) in part.variables.iter().zip(found) {
                let (name, array) = check(name, shape, array)?;
                arrays.insert(name, array);
            }
        }
    }
    Ok(arrays)
}

/// The trained variables as the file holds them, in the order of Keras's `trainable_weights`.
pub(super) fn trained(groups: &Groups, layers: &[TopLayer]) -> Result<Vec<Trained>> {
    let mut trained = vec![];
    for (layer, group) in paired(groups, layers, &mut vec![])? {
        for part in parts(group, layer)?.into_iter().filter(|part| part.is_trained) {
            trained.push(Trained {
                variables: part.variables.iter().map(|variable| (*variable).clone()).collect(),
                paths: part.paths.iter().map(|path| path.to_string()).collect(),
                is_split: part.is_split,
                origin: part.origin(groups.origin),
            });
        }
    }
    Ok(trained)
}

/// Which group of the file holds which layer's variables.
fn paired<'a>(
    groups: &'a Groups,
    layers: &'a [TopLayer],
    warnings: &mut Vec<String>,
) -> Result<Vec<(&'a TopLayer, &'a Group)>> {
    let needing: Vec<&TopLayer> = layers.iter().filter(|layer| !layer.leaves.is_empty()).collect();
    let holding: Vec<&Group> = groups.layers.iter().filter(|group| !group.arrays.is_empty()).collect();
    if holding.is_empty() && !needing.is_empty() {
        let what = "holds an architecture but no weights: it was saved before the model was built or trained";
        return Err(Error::argument("weights", what));
    }
    let by_name = |layer: &&TopLayer| holding.iter().find(|group| group.name == layer.name).copied();
    let named = needing.iter().map(by_name).collect::<Option<Vec<_>>>();
    let matched: Vec<&Group> = match named {
        named if holding.len() == needing.len() => {
            let moved = needing.iter().zip(&holding).find(|(layer, group)| layer.name != group.name);
            if let (Some((layer, group)), true) = (moved, named.is_some()) {
                warnings.push(format!(
                    "the weights have the names of the model's layers in another order; they are taken in their order, as \
                     Keras takes them: those of `{}` go into `{}`",
                    group.name, layer.name
                ));
            }
            holding
        }
        Some(matched) => {
            warnings.push(format!(
                "the file holds weights for {} layers and the model has {}: they are taken by the layers' names, which \
                 Keras does with `by_name=True` only",
                holding.len(),
                needing.len()
            ));
            matched
        }
        None => {
            let lone = needing.iter().find(|layer| by_name(layer).is_none());
            let name = lone.map_or("", |layer| layer.name.as_str());
            let what = format!(
                "the file holds no weights for it, and its {} layers with weights are not the model's {}",
                holding.len(),
                needing.len()
            );
            return Err(Error::layer(name, what));
        }
    };
    Ok(needing.into_iter().zip(matched).collect())
}

/// Some variables of one leaf, in the order of the file.
struct Part<'a> {
    prefix: &'a str,
    /// Whether its kernels are of single channels: Keras on Theano turned these round when it used them.
    is_depthwise: bool,
    variables: Vec<&'a (String, Vec<usize>)>,
    /// Whether optimisers change them.
    is_trained: bool,
    /// Where its arrays stand.
    paths: &'a [String],
    /// Whether these are one for each gate.
    is_split: bool,
}

impl Part<'_> {
    fn origin(&self, file: Origin) -> Origin {
        Origin { is_theano: file.is_theano && !self.is_depthwise }
    }

    /// The arrays of the file as those of the variables.
    fn convert(&self, arrays: Vec<Array>, file: Origin) -> Result<Vec<Array>> {
        let converted = convert::from_file(&self.variables, self.is_split, arrays, self.origin(file));
        converted.ok_or_else(|| {
            Error::layer(self.prefix, "the separate arrays of its gates do not fit each other")
        })
    }
}

/// The variables of one layer of a model: first those that train, then the others.
fn parts<'a>(group: &'a Group, layer: &'a TopLayer) -> Result<Vec<Part<'a>>> {
    if layer.leaves.iter().any(|leaf| leaf.quantised.is_some()) {
        let what = "is quantised, and quantised weights are read of a .keras only; save the model as one";
        return Err(Error::layer(layer.name.as_str(), what));
    }
    let mut parts = ordered(&layer.leaves);
    let needed: usize = parts.iter().map(|part| part.variables.len()).sum();
    let split = |part: &Part| convert::split_count(&names(&part.variables), &shapes(&part.variables));
    let all: usize = parts.iter().map(split).sum();
    let held = group.arrays.len();
    let is_split = held != needed && held == all;
    if held != needed && !is_split {
        let what = format!("the file holds {held} arrays for it, the model needs {needed}");
        return Err(Error::layer(layer.name.as_str(), what));
    }
    let mut paths = group.arrays.as_slice();
    for part in &mut parts {
        let count = if is_split { split(part) } else { part.variables.len() };
        let (own, rest) = paths.split_at_checked(count).unwrap_or((paths, &[]));
        (part.paths, part.is_split) = (own, is_split);
        paths = rest;
    }
    Ok(parts)
}

/// Trainable variables of all leaves first, then the others; all of a frozen layer count among the others.
fn ordered(leaves: &[Leaf]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for is_trained in [true, false] {
        for leaf in leaves {
            let variables: Vec<_> =
                leaf.variables.iter().filter(|(name, _)| leaf.trains(name) == is_trained).collect();
            if !variables.is_empty() {
                let (prefix, is_depthwise) = (leaf.prefix.as_str(), leaf.is_depthwise);
                parts.push(Part { prefix, is_depthwise, variables, is_trained, paths: &[], is_split: false });
            }
        }
    }
    parts
}
