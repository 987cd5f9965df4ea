//! Training: a [`Trainer`], or its parts [`fit`] and [`evaluate`]; [`RmsProp`], the loss, callbacks, and a run's
//! history.
//!
//! `fit` serves any module that gives one logit a sample ([`Trainable`]), not only the models of this crate. What a
//! run shows or writes goes through the caller's [`Observer`].

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
