//! Models as layers: `Sequential` and `Functional` (`keras/src/models/`).

mod config;
mod padding;
mod place;
mod run;

pub use config::GraphConfig;
pub use place::{PlacedLayer, Placement};
pub use run::Graph;
