//! `.h5` as Keras has written it since version 1: a group a layer, its arrays listed in an attribute.
//!
//! Only the order of that list says which array is which; the names in it are often another layer's.

use super::super::array::Array;
use super::super::hdf5::Hdf5;
use super::convert::{self, Origin};
use super::{Leaf, TopLayer, check, is_count, is_state, no_count};
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
    let mut arrays = BTreeMap::new();
    for (layer, group) in needing.into_iter().zip(matched) {
        read_layer(file, group, layer, groups.origin, &mut arrays)?;
    }
    Ok(arrays)
}

/// The variables of one layer of a model: first those that train, then the others.
fn read_layer(
    file: &Hdf5,
    group: &Group,
    layer: &TopLayer,
    origin: Origin,
    arrays: &mut BTreeMap<String, Array>,
) -> Result<()> {
    if layer.leaves.iter().any(|leaf| leaf.quantised.is_some()) {
        let what = "is quantised, and quantised weights are read of a .keras only; save the model as one";
        return Err(Error::layer(layer.name.as_str(), what));
    }
    let parts = ordered(&layer.leaves);
    let needed: usize = parts.iter().map(|part| part.variables.len()).sum();
    let split: usize = parts.iter().map(|part| convert::split_count(&part.names(), &part.shapes())).sum();
    let held = group.arrays.len();
    let is_split = held != needed && held == split;
    if held != needed && !is_split {
        let what = format!("the file holds {held} arrays for it, the model needs {needed}");
        return Err(Error::layer(layer.name.as_str(), what));
    }
    let mut paths = group.arrays.iter();
    for part in parts {
        let (names, shapes) = (part.names(), part.shapes());
        let count = if is_split { convert::split_count(&names, &shapes) } else { names.len() };
        let found = paths
            .by_ref()
            .take(count)
            .enumerate()
            .map(|(index, path)| match part.variables.get(index) {
                Some((name, _)) if is_count(name) => Ok(no_count()),
                _ => file.array(path).map_err(|what| Error::layer(layer.name.as_str(), what)),
            })
            .collect::<Result<Vec<_>>>()?;
        let found = if is_split { convert::join(&names, &shapes, found) } else { Some(found) };
        let found = found.ok_or_else(|| {
            Error::layer(part.prefix, "the separate arrays of its gates do not fit each other")
        })?;
        let origin = Origin { is_theano: origin.is_theano && !part.is_depthwise };
        let found = convert::fit(&names, &shapes, found, origin);
        for ((name, shape), array) in part.variables.iter().zip(found) {
            let (name, array) = check(name, shape, array)?;
            arrays.insert(name, array);
        }
    }
    Ok(())
}

/// Some variables of one leaf, in the order of the file.
struct Part<'a> {
    prefix: &'a str,
    /// Whether its kernels are of single channels: Keras on Theano turned these round when it used them.
    is_depthwise: bool,
    variables: Vec<&'a (String, Vec<usize>)>,
}

impl Part<'_> {
    /// The variables' own names: `kernel`, `bias`.
    fn names(&self) -> Vec<&str> {
        self.variables.iter().map(|(name, _)| name.rsplit('.').next().unwrap_or(name)).collect()
    }

    fn shapes(&self) -> Vec<&[usize]> {
        self.variables.iter().map(|(_, shape)| shape.as_slice()).collect()
    }
}

/// Trainable variables of all leaves first, then the others; all of a frozen layer count among the others.
fn ordered(leaves: &[Leaf]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for others in [false, true] {
        for leaf in leaves {
            let belongs = |name: &str| (leaf.is_frozen || is_state(name)) == others;
            let variables: Vec<_> = leaf.variables.iter().filter(|(name, _)| belongs(name)).collect();
            if !variables.is_empty() {
                parts.push(Part { prefix: &leaf.prefix, is_depthwise: leaf.is_depthwise, variables });
            }
        }
    }
    parts
}
