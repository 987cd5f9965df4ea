//! From the arrays of a file to the variables of a model.

mod convert;
mod legacy;
mod paths;

use super::array::Array;
use super::dialect::Source;
use super::hdf5::Hdf5;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// Variables by name, with shapes.
type Variables = [(String, Vec<usize>)];

/// A layer that has variables of its own.
struct Leaf {
    /// Its variables' names up to the last dot.
    prefix: String,
    /// Its group in a `model.weights.h5`.
    group: String,
    /// Whether it or a layer around it was frozen.
    is_frozen: bool,
    /// Whether its kernels are of single channels.
    is_depthwise: bool,
    /// Full names and shapes, in the order of `layer.weights`.
    variables: Vec<(String, Vec<usize>)>,
}

/// A layer of the outermost model with all that is in it.
struct TopLayer {
    /// Its name in the file.
    name: String,
    leaves: Vec<Leaf>,
}

/// Reads the variables of a model from an HDF5 file in either of Keras's forms.
///
/// # Errors
/// In words that follow the file's name: where there are no weights, or they do not fit the model.
pub(super) fn assign(
    file: &Hdf5,
    layers: &[Source],
    variables: &Variables,
) -> Result<BTreeMap<String, Array>> {
    let layers = place(layers, variables)?;
    match legacy::find(file)? {
        Some(groups) => legacy::read(file, &groups, &layers),
        None => paths::read(file, &layers),
    }
}

/// Gives every variable to its layer.
fn place(sources: &[Source], variables: &Variables) -> Result<Vec<TopLayer>> {
    let mut owners: HashMap<&str, Vec<(String, Vec<usize>)>> = HashMap::new();
    for (name, shape) in variables {
        let (owner, _) = name.rsplit_once('.').unwrap_or(("", name));
        owners.entry(owner).or_default().push((name.clone(), shape.clone()));
    }
    let mut layers = Vec::new();
    for source in sources {
        let mut leaves = Vec::new();
        collect(source, "", "", false, &mut owners, &mut leaves);
        layers.push(TopLayer { name: source.name.clone(), leaves });
    }
    match owners.keys().next() {
        Some(owner) => Err(Error::layer(*owner, "where its variables stand in the file is not known")),
        None => Ok(layers),
    }
}

fn collect(
    source: &Source,
    prefix: &str,
    group: &str,
    is_frozen: bool,
    owners: &mut HashMap<&str, Vec<(String, Vec<usize>)>>,
    leaves: &mut Vec<Leaf>,
) {
    let join = |a: &str, separator: &str, b: &str| match (a, b) {
        ("", b) => b.to_string(),
        (a, "") => a.to_string(),
        (a, b) => format!("{a}{separator}{b}"),
    };
    let (prefix, group) = (join(prefix, ".", &source.role), join(group, "/", &source.group));
    let is_frozen = is_frozen || !source.trainable;
    if let Some(variables) = owners.remove(prefix.as_str()) {
        let group = join(&group, "/", if source.is_cell { "cell" } else { "" });
        let is_depthwise = source.is_depthwise;
        leaves.push(Leaf { prefix: prefix.clone(), group, is_frozen, is_depthwise, variables });
    }
    for child in &source.children {
        collect(child, &prefix, &group, is_frozen, owners, leaves);
    }
}

/// Whether optimisers leave the variable alone, as those of BatchNormalization.
fn is_state(name: &str) -> bool {
    name.ends_with(".moving_mean") || name.ends_with(".moving_variance")
}

/// Takes `array` as the variable `name`.
fn check(name: &str, expected: &[usize], array: Array) -> Result<(String, Array)> {
    match array.shape == expected {
        true => Ok((name.into(), array)),
        false => Err(Error::Shape { name: name.into(), expected: expected.to_vec(), found: array.shape }),
    }
}
