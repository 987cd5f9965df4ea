//! `model.weights.h5`: variables at `layers/lstm/cell/vars/0` and so on, groups named by class and order.

use super::super::array::Array;
use super::super::hdf5::Hdf5;
use super::{Leaf, TopLayer, check, is_count, no_count};
use crate::{Error, Result};
use std::collections::BTreeMap;

pub(super) fn read(file: &Hdf5, layers: &[TopLayer]) -> Result<BTreeMap<String, Array>> {
    let mut arrays = BTreeMap::new();
    let leaves: Vec<&Leaf> = layers.iter().flat_map(|layer| &layer.leaves).collect();
    let fail = |leaf: &Leaf, what: String| Error::layer(leaf.prefix.as_str(), what);
    let find = |leaf: &Leaf| find(file, &leaf.group).map_err(|what| fail(leaf, what));
    let mut groups = vec![];
    for leaf in leaves {
        groups.push((leaf, find(leaf)?));
    }
    if !groups.is_empty() && groups.iter().all(|(_, group)| group.is_none()) {
        let what = "holds no weights of this model: was it saved before the model was built, or is it another kind of \
                    file?";
        return Err(Error::argument("weights", what));
    }
    for (leaf, group) in groups {
        let missing = || format!("its variables are missing: the file has no array `{}/vars/0`", leaf.group);
        let group = group.ok_or_else(|| fail(leaf, missing()))?;
        let children = file.children(&group).map_err(|what| fail(leaf, what))?;
        let (held, needed) = (children.len(), leaf.variables.len());
        if held != needed {
            let what =
                format!("the file holds {held} variables for it in `{group}`, the model needs {needed}");
            return Err(fail(leaf, what));
        }
        for (index, (name, shape)) in leaf.variables.iter().enumerate() {
            let array = match is_count(name) {
                true => no_count(),
                false => file.array(&format!("{group}/{index}")).map_err(|what| fail(leaf, what))?,
            };
            let (name, array) = check(name, shape, array)?;
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

/// The group of arrays of a layer, in any of the ways it has been written.
fn find(file: &Hdf5, group: &str) -> std::result::Result<Option<String>, String> {
    // TensorFlow 2.13 had another name for the list of layers; on Windows, tf.keras wrote backslashes.
    let renamed: Vec<&str> = group
        .split('/')
        .map(|part| if part == "layers" { "_layer_checkpoint_dependencies" } else { part })
        .collect();
    let renamed = renamed.join("/");
    for group in [group, &renamed] {
        for vars in [format!("{group}/vars"), format!("{}/vars", group.replace('/', "\\"))] {
            if file.has_array(&format!("{vars}/0"))? {
                return Ok(Some(vars));
            }
        }
    }
    Ok(None)
}
