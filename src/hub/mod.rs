//! Files from and to the Hugging Face Hub: the cache that Python's `huggingface_hub` shares, its environment variables, and
//! downloads that say how far they are. This is the only room that opens a connection.
//!
//! ```no_run
//! use candle_recurrent::hub::{Address, Hub};
//!
//! # fn main() -> candle_recurrent::Result<()> {
//! let (hub, address): (Hub, Address) = (Hub::from_env()?, "hf://me/my-lstm".parse()?);
//! let listing = hub.list(&address)?;
//! let paths = hub.fetch(&address, &listing, &["config.json"], &mut |line| println!("{line}"))?;
//! # Ok(())
//! # }
//! ```

mod address;
mod cache;
mod client;
mod download;
mod repository;
mod settings;
mod upload;

pub use address::{Address, Kind};
pub use repository::Listing;
pub use settings::Hub;
pub use upload::{Content, Upload, UploadOptions, Uploaded};
