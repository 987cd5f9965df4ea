//! Variables that an optimiser changes, as a file holds them: what it keeps of each has the same layout.

use super::super::array::Array;
use super::super::hdf5::Hdf5;
use super::convert::{self, Origin};

/// Trained variables of one layer.
pub(in crate::keras::read) struct Trained {
    /// Names and shapes in the model.
    pub variables: Vec<(String, Vec<usize>)>,
    /// Where their arrays stand in the file; empty where these have the variables' shapes.
    pub paths: Vec<String>,
    /// Whether these are one for each gate.
    pub is_split: bool,
    pub origin: Origin,
}

impl Trained {
    /// Those that stand in the file as in the model.
    pub fn same(variables: Vec<(String, Vec<usize>)>) -> Self {
        Self { variables, paths: vec![], is_split: false, origin: Origin { is_theano: false } }
    }

    /// The shapes of the arrays in the file.
    pub fn shapes(&self, file: &Hdf5) -> std::result::Result<Vec<Vec<usize>>, String> {
        match self.paths.as_slice() {
            [] => Ok(self.variables.iter().map(|(_, shape)| shape.clone()).collect()),
            paths => paths.iter().map(|path| file.shape(path)).collect(),
        }
    }

    /// Arrays of the file's shapes, one for each of its own, as those of the variables; none where values would have to be
    /// added up or thrown away, for then what an optimiser keeps of them means something else.
    pub fn rearrange(&self, arrays: Vec<Array>) -> Option<Vec<Array>> {
        let held: usize = arrays.iter().map(|array| array.values.len()).sum();
        let variables: Vec<&(String, Vec<usize>)> = self.variables.iter().collect();
        let arrays = convert::from_file(&variables, self.is_split, arrays, self.origin)?;
        let fits = arrays.len() == self.variables.len()
            && arrays.iter().zip(&self.variables).all(|(array, (_, shape))| array.shape == *shape);
        let kept: usize = arrays.iter().map(|array| array.values.len()).sum();
        (fits && held == kept).then_some(arrays)
    }
}
