//! From the arrays of a file to the variables of a model.

mod convert;
mod legacy;
mod paths;
mod trained;

pub(super) use trained::Trained;

use super::array::Array;
use super::dialect::{Quantised, Source};
use super::hdf5::Hdf5;
use crate::keras::names::GroupNames;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Variables by name, with shapes.
type Variables = [(String, Vec<usize>)];

/// A layer that has variables of its own.
struct Leaf {
    /// Its variables' names up to the last dot.
    prefix: String,
    /// Its group in a `model.weights.h5`.
    group: String,
    /// Its group in one of tf.keras 2.12 and 2.13, whose groups are numbered with gaps.
    gapped: String,
    /// How its weights were made smaller, if they were.
    quantised: Option<Quantised>,
    /// Whether it or a layer around it was frozen.
    is_frozen: bool,
    /// Whether its kernels are of single channels.
    is_depthwise: bool,
    /// Full names and shapes, in the order of `layer.weights`.
    variables: Vec<(String, Vec<usize>)>,
}

impl Leaf {
    /// Whether an optimiser changes a variable of it.
    fn trains(&self, name: &str) -> bool {
        !self.is_frozen && !is_state(name)
    }
}

/// A layer of the outermost model with all that is in it.
struct TopLayer {
    /// Its name in the file.
    name: String,
    leaves: Vec<Leaf>,
}

/// Reads the variables of a model from an HDF5 file in either of Keras's forms; what a user should know is added to
/// `warnings`.
///
/// # Errors
/// In words that follow the file's name: where there are no weights, or they do not fit the model.
pub(super) fn assign(
    file: &Hdf5,
    layers: &[Source],
    variables: &Variables,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Array>> {
    let layers = place(layers, variables)?;
    match legacy::find(file)? {
        Some(groups) => legacy::read(file, &groups, &layers, warnings),
        None => paths::read(file, &layers),
    }
}

/// The trained variables as the file holds them, in the order of Keras's `trainable_weights`, which is that of its optimisers.
///
/// # Errors
/// As [`assign`].
pub(super) fn trained(file: &Hdf5, layers: &[Source], variables: &Variables) -> Result<Vec<Trained>> {
    let layers = place(layers, variables)?;
    match legacy::find(file)? {
        Some(groups) => legacy::trained(&groups, &layers),
        None => Ok(paths::trained(&layers)),
    }
}

/// The names of the trained variables of a model in that order.
///
/// # Errors
/// Where a variable belongs to no layer.
pub(super) fn trained_names(layers: &[Source], variables: &Variables) -> Result<Vec<String>> {
    let trained = paths::trained(&place(layers, variables)?);
    Ok(trained.into_iter().flat_map(|part| part.variables).map(|(name, _)| name).collect())
}

/// Gives every variable to its layer.
fn place(sources: &[Source], variables: &Variables) -> Result<Vec<TopLayer>> {
    let mut owners: BTreeMap<&str, Vec<(String, Vec<usize>)>> = BTreeMap::new();
    for (name, shape) in variables {
        let (owner, _) = name.rsplit_once('.').unwrap_or(("", name));
        owners.entry(owner).or_default().push((name.clone(), shape.clone()));
    }
    let mut layers = Vec::new();
    let mut gapped = GroupNames::default();
    for source in sources {
        let mut leaves = Vec::new();
        Place::default().collect(source, &mut gapped, &mut owners, &mut leaves);
        layers.push(TopLayer { name: source.name.clone(), leaves });
    }
    match owners.keys().next() {
        Some(owner) => Err(Error::layer(*owner, "where its variables stand in the file is not known")),
        None => Ok(layers),
    }
}

/// Where a layer is that has others in it.
#[derive(Clone, Default)]
struct Place {
    prefix: String,
    group: String,
    gapped: String,
    is_frozen: bool,
}

impl Place {
    /// The layers of `source`, which is here, that have variables.
    fn collect(
        &self,
        source: &Source,
        numbers: &mut GroupNames,
        owners: &mut BTreeMap<&str, Vec<(String, Vec<usize>)>>,
        leaves: &mut Vec<Leaf>,
    ) {
        let prefix = join(&self.prefix, ".", &source.role);
        let is_of_model = source.group.starts_with("layers/") && !source.class.is_empty();
        let gapped = match is_of_model {
            true => {
                let within = format!("{prefix}.");
                let next = owners.range(within.as_str()..).next();
                let has_weights = owners.contains_key(prefix.as_str())
                    || next.is_some_and(|(owner, _)| owner.starts_with(within.as_str()));
                format!("layers/{}", numbers.take(&source.class, if has_weights { 2 } else { 1 }))
            }
            false => source.group.clone(),
        };
        let here = Self {
            group: join(&self.group, "/", &source.group),
            gapped: join(&self.gapped, "/", &gapped),
            is_frozen: self.is_frozen || !source.trainable,
            prefix,
        };
        if let Some(variables) = owners.remove(here.prefix.as_str()) {
            let of_cell = |group: &str| join(group, "/", if source.is_cell { "cell" } else { "" });
            leaves.push(Leaf {
                group: of_cell(&here.group),
                gapped: of_cell(&here.gapped),
                prefix: here.prefix.clone(),
                quantised: source.quantised,
                is_depthwise: source.is_depthwise,
                is_frozen: here.is_frozen,
                variables,
            });
        }
        let mut numbers = GroupNames::default();
        for child in &source.children {
            here.collect(child, &mut numbers, owners, leaves);
        }
    }
}

/// The two with the separator between them, where both are there.
fn join(a: &str, separator: &str, b: &str) -> String {
    match (a, b) {
        ("", b) => b.to_string(),
        (a, "") => a.to_string(),
        (a, b) => format!("{a}{separator}{b}"),
    }
}

/// Whether optimisers leave the variable alone, as those of BatchNormalization.
fn is_state(name: &str) -> bool {
    // Those of BatchNormalization, and all of Normalization.
    let own = name.rsplit('.').next().unwrap_or(name);
    matches!(own, "moving_mean" | "moving_variance" | "mean" | "variance" | "count")
}

/// Whether the variable says only how many samples others come from: a whole number, which no answer depends on.
fn is_count(name: &str) -> bool {
    name.ends_with(".count")
}

/// What is taken for such a number.
fn no_count() -> Array {
    Array { shape: vec![], values: vec![0.0] }
}

/// Takes `array` as the variable `name`.
fn check(name: &str, expected: &[usize], array: Array) -> Result<(String, Array)> {
    match array.shape == expected {
        true => Ok((name.into(), array)),
        false => Err(Error::Shape { name: name.into(), expected: expected.to_vec(), found: array.shape }),
    }
}
