//! Layers that look at several places at once (`keras/src/layers/attention/`).

mod additive;
#[allow(clippy::module_inception)]
mod attention;
mod fused;
mod grouped_query;
mod heads;
mod multi_head;
mod projection;
mod weigh;

pub use additive::{AdditiveAttention, AdditiveAttentionConfig};
pub use attention::{Attention, AttentionConfig, ScoreMode};
pub use grouped_query::{GroupedQueryAttention, GroupedQueryAttentionConfig};
pub use heads::{HeadMasks, MaskedSoftmax};
pub use multi_head::{MultiHeadAttention, MultiHeadAttentionConfig};
pub use weigh::AttentionMasks;
