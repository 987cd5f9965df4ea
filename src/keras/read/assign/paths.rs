//! `model.weights.h5`: variables at `layers/lstm/cell/vars/0` and so on, groups named by class and order.

use super::super::array::Array;
use super::super::hdf5::Hdf5;
use super::trained::Trained;
use super::{Leaf, TopLayer, check, convert, is_count, no_count};
use crate::{Error, Result};
use std::collections::BTreeMap;

pub(super) fn read(file: &Hdf5, layers: &[TopLayer]) -> Result<BTreeMap<String, Array>> {
    let mut arrays = BTreeMap::new();
    let leaves: Vec<&Leaf> = layers.iter().flat_map(|layer| &layer.leaves).collect();
    let fail = |leaf: &Leaf, what: String| Error::layer(leaf.prefix.as_str(), what);
    let mut groups = vec![];
    // One way for the whole file: what is `dense_2` in one is another layer in the other.
    for way in WAYS {
        let mut found = Vec::with_capacity(leaves.len());
        for &leaf in &leaves {
            found.push((leaf, way.find(file, leaf).map_err(|what| fail(leaf, what))?));
        }
        let count = |groups: &[(&Leaf, Option<String>)]| groups.iter().filter(|(_, g)| g.is_some()).count();
        if groups.is_empty() || count(&found) > count(&groups) {
            groups = found;
        }
        if count(&groups) == leaves.len() {
            break;
        }
    }
    if !groups.is_empty() && groups.iter().all(|(_, group)| group.is_none()) {
        let what = "holds no weights of this model (links to other places are not followed): was it saved before the model was \
                    built, or is it another kind of file?";
        return Err(Error::argument("weights", what));
    }
    for (leaf, group) in groups {
        let missing =
            || format!("its variables are missing: the file has no array `{}/vars/0` of its own", leaf.group);
        let group = group.ok_or_else(|| fail(leaf, missing()))?;
        let children = file.children(&group).map_err(|what| fail(leaf, what))?;
        let scales = usize::from(leaf.quantised.is_some());
        let (held, needed) = (children.len(), leaf.variables.len() + scales);
        if leaf.quantised.is_none() && file.is_quantised(&format!("{group}/0")) {
            let what = "its weights in the file are quantised to int8, and the architecture does not say so; give that of \
                        the quantised model";
            return Err(fail(leaf, what.into()));
        }
        if held != needed {
            let what =
                format!("the file holds {held} variables for it in `{group}`, the model needs {needed}");
            return Err(fail(leaf, what));
        }
        for (index, (name, shape)) in leaf.variables.iter().enumerate() {
            let path = |index: usize| format!("{group}/{index}");
            let array = match leaf.quantised {
                Some(quantised) if index == 0 => {
                    let whole = file.quantised(&path(index)).map_err(|what| fail(leaf, what))?;
                    // The scale comes last.
                    let scale = file.array(&path(leaf.variables.len())).map_err(|what| fail(leaf, what))?;
                    let shapes = format!("its scale {:?} does not fit {name} {:?}", scale.shape, whole.shape);
                    convert::dequantise(whole, &scale, quantised).ok_or_else(|| fail(leaf, shapes))?
                }
                _ if is_count(name) => no_count(),
                _ => file.array(&path(index)).map_err(|what| fail(leaf, what))?,
            };
            let (name, array) = check(name, shape, array)?;
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

/// The trained variables, as they are: Keras 3 and tf.keras 2.12 on keep nothing in other layouts.
pub(super) fn trained(layers: &[TopLayer]) -> Vec<Trained> {
    let mut trained = vec![];
    for leaf in layers.iter().flat_map(|layer| &layer.leaves) {
        let variables: Vec<_> =
            leaf.variables.iter().filter(|(name, _)| leaf.trains(name)).cloned().collect();
        if !variables.is_empty() {
            trained.push(Trained::same(variables));
        }
    }
    trained
}

/// How a version names the groups.
#[derive(Clone, Copy)]
struct Way {
    /// The name of a model's list of layers.
    list: &'static str,
    /// Whether the groups are numbered with gaps.
    gapped: bool,
}

/// Keras 3 and tf.keras since 2.14; tf.keras 2.12 and 2.13, and that list with the numbers of the others.
const WAYS: [Way; 3] = [
    Way { list: "layers", gapped: false },
    Way { list: "_layer_checkpoint_dependencies", gapped: true },
    Way { list: "_layer_checkpoint_dependencies", gapped: false },
];

impl Way {
    /// The group of arrays of a layer.
    fn find(self, file: &Hdf5, leaf: &Leaf) -> std::result::Result<Option<String>, String> {
        let group = if self.gapped { &leaf.gapped } else { &leaf.group };
        let renamed: Vec<&str> =
            group.split('/').map(|part| if part == "layers" { self.list } else { part }).collect();
        let group = renamed.join("/");
        // Parts of a layer that Keras keeps to itself in some versions, and shows in others.
        let hidden = match group.rsplit_once('/') {
            Some((before, part)) if part.ends_with("_dense") => format!("{before}/_{part}"),
            _ => group.clone(),
        };
        for group in [group, hidden] {
            // On Windows, tf.keras wrote backslashes.
            for vars in [format!("{group}/vars"), format!("{}/vars", group.replace('/', "\\"))] {
                if file.has_array(&format!("{vars}/0"))? {
                    return Ok(Some(vars));
                }
            }
        }
        Ok(None)
    }
}
