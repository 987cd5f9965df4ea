//! The HDF5 file of a `.weights.h5`: groups named by path, each with its `vars`.

use crate::{Error, Result};
use candle_core::{DType, Tensor};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use std::collections::BTreeMap;

/// A group of the file.
#[derive(Default)]
pub(super) struct Group {
    groups: BTreeMap<String, Group>,
    /// The layer's name and its variables, `vars/0` and so on.
    vars: Option<(String, Vec<Tensor>)>,
    /// An array with a name of its own among the `vars`: weights of words.
    named: Option<(&'static str, Vec<f32>)>,
    /// Attributes of the file, if it is the root. Keras reads none there.
    pub attributes: BTreeMap<&'static str, &'static str>,
}

impl Group {
    /// The group at `path` below this one, made where it is not there yet.
    pub fn at(&mut self, path: &str) -> &mut Self {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(self, |group, part| group.groups.entry(part.to_string()).or_default())
    }

    /// Gives the group its `vars`, which has the attribute `name`.
    pub fn set_vars(&mut self, name: &str, variables: Vec<Tensor>) {
        self.vars = Some((name.to_string(), variables));
    }

    /// Adds an array with a name of its own to the `vars`.
    pub fn set_named(&mut self, name: &'static str, values: Vec<f32>) {
        self.named = Some((name, values));
    }

    /// The file with this group as its root. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] where HDF5 cannot hold it.
    pub fn file(&self) -> Result<Vec<u8>> {
        let mut file = FileBuilder::new();
        for (name, value) in &self.attributes {
            file.set_attr(name, AttrValue::String((*value).into()));
        }
        if let Some(vars) = &self.vars {
            let mut group = file.create_group("vars");
            fill(&mut group, vars, None)?;
            file.add_group(group.finish());
        }
        for (name, child) in &self.groups {
            let mut group = file.create_group(name);
            child.build(&mut group)?;
            file.add_group(group.finish());
        }
        file.finish().map_err(|error| {
            Error::argument("weights", format!("HDF5 cannot hold them: {error}")).with_source(error)
        })
    }

    /// The path of every variable, sorted.
    #[cfg(test)]
    pub fn paths(&self, prefix: &str) -> Vec<String> {
        let count = self.vars.as_ref().map_or(0, |(_, variables)| variables.len());
        let own = (0..count).map(|index| format!("{prefix}vars/{index}"));
        let below = self.groups.iter().flat_map(|(name, group)| group.paths(&format!("{prefix}{name}/")));
        let mut paths: Vec<String> = own.chain(below).collect();
        paths.sort();
        paths
    }

    fn build(&self, group: &mut GroupBuilder) -> Result<()> {
        for (name, child) in &self.groups {
            let mut inner = group.create_group(name);
            child.build(&mut inner)?;
            group.add_group(inner.finish());
        }
        if let Some(vars) = &self.vars {
            let mut inner = group.create_group("vars");
            fill(&mut inner, vars, self.named.as_ref())?;
            group.add_group(inner.finish());
        }
        Ok(())
    }
}

fn fill(
    group: &mut GroupBuilder,
    (name, variables): &(String, Vec<Tensor>),
    named: Option<&(&'static str, Vec<f32>)>,
) -> Result<()> {
    group.set_attr("name", AttrValue::String(name.clone()));
    for (index, variable) in variables.iter().enumerate() {
        let shape: Vec<u64> = variable.dims().iter().map(|&axis| axis as u64).collect();
        let (name, flat) = (index.to_string(), variable.flatten_all()?);
        // An optimiser's iterations are whole numbers.
        if flat.dtype() == DType::I64 {
            group.create_dataset(&name).with_i64_data(&flat.to_vec1()?).with_shape(&shape);
        } else {
            let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            group.create_dataset(&name).with_f32_data(&values).with_shape(&shape);
        }
    }
    if let Some((name, values)) = named {
        group.create_dataset(name).with_f32_data(values).with_shape(&[values.len() as u64]);
    }
    Ok(())
}
