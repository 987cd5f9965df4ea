//! Layers that run other layers (`keras/src/layers/rnn/bidirectional.py`, `time_distributed.py`).

mod bidirectional;
mod time_distributed;

pub use bidirectional::{Bidirectional, BidirectionalConfig, MergeMode};
pub use time_distributed::{TimeDistributed, TimeDistributedConfig};
