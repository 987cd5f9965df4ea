//! What models are trained on: [`Examples`] of arrays, from files of arrays, from reviews (the built-in corpus, IMDB in the
//! forms people have it), or from people's own labelled texts; NumPy's shuffling and scikit-learn's split.

mod acl_imdb;
mod array;
mod array_data;
mod builtin;
mod dataset;
mod examples;
mod grammar;
mod imdb;
mod inputs;
mod label_lists;
mod labelled;
mod left_out;
#[cfg(feature = "parquet")]
mod parquet;
mod python_lists;
mod random_state;
mod sentences;
pub mod series;
mod source;
mod targets;
mod texts;
mod unlabelled;
mod windows;

pub use array::Array;
pub use array_data::{ArraySource, ArraySplits, load_arrays};
pub use dataset::Dataset;
pub use examples::Examples;
pub use inputs::{InputKind, ModelInput, model_inputs, shape_table};
pub use labelled::{Labelled, LabelledSource};
pub use left_out::{LeftOut, Skipped};
pub use random_state::{RandomState, train_test_split};
pub use sentences::{Prepared, Sentences, SplitOptions, doubt, labelled_examples};
pub use source::{MAX_LEN, Options, Source, Splits, holds_ids, imdb_tokenizer, load, load_test};
pub use targets::{Targets, Task};
pub use unlabelled::TextSource;
