//! Models and data sets of the Hugging Face Hub: which files of a repository are what is asked for, and a model folder as a
//! repository.
//!
//! ```no_run
//! use candle_recurrent::checkpoint::ModelFolder;
//! use candle_recurrent::hub::Hub;
//! use candle_recurrent::sharing::{Needed, find_model};
//!
//! # fn main() -> candle_recurrent::Result<()> {
//! let found = find_model(&Hub::from_env()?, &"hf://me/my-lstm".parse()?, Needed::Model, &mut |_| ())?;
//! let checkpoint = ModelFolder::open(found.path)?.load(&candle_core::Device::Cpu)?;
//! # Ok(())
//! # }
//! ```

mod data;
mod model;
mod push;

pub use data::{DataFiles, Wanted, find_data};
pub use model::{FoundModel, Needed, find_model};
pub use push::Plan;

/// `a, b, c and 7 more`, for a message.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".into(),
        count if count > SHOWN => format!("{shown} and {} more", count - SHOWN),
        _ => shown,
    }
}
