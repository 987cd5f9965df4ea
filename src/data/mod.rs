//! Data sets as token ids and labels: the built-in corpus, IMDB in the forms people have it, NumPy's shuffling and
//! scikit-learn's split.

mod acl_imdb;
mod builtin;
mod dataset;
mod grammar;
mod imdb;
#[cfg(feature = "parquet")]
mod parquet;
mod random_state;
mod source;
mod texts;

pub use dataset::Dataset;
pub use random_state::{RandomState, train_test_split};
pub use source::{MAX_LEN, Options, Source, Splits, imdb_tokenizer, load, load_test};
