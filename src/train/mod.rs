//! Training: [`Trainer`] with [`fit`] and [`evaluate`] below it, [`RmsProp`], the loss, callbacks that decide, and the history of a run.
//!
//! `fit` serves any module that gives one logit a sample ([`Trainable`]), not only the models of this crate. Whatever
//! is to be written or shown goes through the caller's [`Observer`].

mod callbacks;
mod fit;
mod history;
mod loss;
mod optimizers;
mod trainer;

pub use callbacks::{EarlyStopping, ModelCheckpoint, Monitor, Verdict};
pub use fit::{
    Batch, Evaluation, FitConfig, Observer, Outcome, Shuffle, Silent, Snapshot, Stop, Trainable, evaluate,
    fit,
};
pub use history::{Epoch, History};
pub use loss::{BatchLoss, batch_loss, binary_crossentropy};
pub use optimizers::{Optimizer, RmsProp, RmsPropConfig};
pub use trainer::Trainer;
