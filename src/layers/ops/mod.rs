//! Operations between layers: Keras's `keras.ops` (`keras/src/ops/`), as a table with a row an operation.
//!
//! | file | what it has |
//! |---|---|
//! | `row.rs` | what a row is, and the arguments as rows see them |
//! | `kinds.rs` | truths, whole numbers and floats, and how they meet |
//! | `key.rs` | what stands between the brackets of `x[…]` |
//! | `elementwise.rs`, `pairs.rs` | rows of one and of two operands, number by number |
//! | `reductions.rs`, `axes.rs`, `pieces.rs`, `products.rs` | rows that see whole axes |
//! | `table.rs` | all rows |
//! | `operation.rs` | the layer |
//! | `text.rs` | an operation in a few words |

mod axes;
mod elementwise;
mod key;
mod kinds;
mod operation;
mod pairs;
mod pieces;
mod products;
mod reductions;
mod row;
mod table;
mod text;

pub use key::{Index, Key};
pub use operation::{Operation, OperationConfig};
pub(crate) use row::{Operands, Row};
pub(crate) use table::row;
