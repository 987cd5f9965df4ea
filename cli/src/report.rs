//! What `train` tells of a run.

use candle_recurrent::train::History;
use serde::Serialize;

/// What a run came to, with the keys of `--json`.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) data: String,
    pub(super) epochs: usize,
    pub(super) best_epoch: usize,
    pub(super) best_val_loss: f64,
    pub(super) best_val_accuracy: f64,
    pub(super) test_loss: Option<f64>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) seconds: f64,
    pub(super) folder: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) interrupted: bool,
    #[serde(skip)]
    pub(super) params: usize,
    #[serde(skip)]
    pub(super) test_samples: usize,
    #[serde(skip)]
    pub(super) history: History,
}
