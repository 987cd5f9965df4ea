//! Matrix products on slices, packed and blocked for the caches.
//!
//! The rows of the left operand are a few *runs* of floats each, at distances that are the same for every row: a matrix
//! has one run a row, a convolution one for each part of its window, read in place out of the input. So a convolution is a
//! product like any other, and no matrix of windows is written down.
//!
//! A number of a [`Product`] is one chain of fused multiplications and additions in the order of the features, whatever
//! the vectors, the blocks and the threads; where a product may take `few` rows another way, it is a tree of sixteen such
//! chains. One of a [`Gradient`] is a sum over rows, of parts that follow from the shapes alone.

mod dots;
mod each;
mod gradient;
mod operand;
mod pack;
mod panels;
mod product;
mod tile;

pub(crate) use each::Each;
pub(crate) use gradient::Gradient;
pub(crate) use operand::{Operand, Places, Run};
pub(crate) use pack::Matrix;
pub(crate) use product::{Prepared, Product, Start};
pub(crate) use tile::{some, write};
