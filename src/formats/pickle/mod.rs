//! Python's pickles, protocols 2 to 5, as data: nothing in one is executed, and no class is looked up.
//!
//! | file | what it does |
//! |---|---|
//! | `machine.rs` | the stream: opcodes, stack and memo |
//! | `rows.rs` | NumPy's object arrays of lists of numbers, into one flat vector |
//! | `objects.rs` | any objects: the names of their classes, what they were called with, what was put into them |
//!
//! A stream is read without recursion, and memory stays within a small multiple of the input, whatever sizes it claims.

mod machine;
mod objects;
mod rows;

pub use objects::{Pickle, Value};
pub use rows::{Rows, read_rows};

/// Why a pickle was not read, in words that follow a file's name.
pub type Reason = String;
