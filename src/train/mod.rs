//! Training: a [`Trainer`], or its parts [`fit`] and [`evaluate`](evaluate()); optimisers, learning rates, losses, metrics and
//! callbacks with Keras's names, arguments and numbers; and a run's history.
//!
//! `fit` serves any module ([`Trainable`]), not only the models of this crate. What a run shows or writes goes through the
//! caller's [`Observer`].

mod callbacks;
mod evaluate;
mod fit;
mod going_on;
mod history;
mod losses;
mod meters;
pub mod metrics;
mod objective;
mod observer;
mod optimizers;
mod options;
mod order;
mod output;
mod schedules;
mod state;
mod trainable;
mod trainer;

pub use crate::layers::backward;
pub use callbacks::{
    Callback, CallbackConfig, EarlyStopping, KnownFigure, ModelCheckpoint, MonitorMode, ReduceLROnPlateau,
    Verdict,
};
pub use evaluate::{Evaluation, evaluate, evaluate_rows};
pub use fit::{FitConfig, OnNan, Outcome, Shuffle, Stop, Training, fit, fit_from};
pub use history::{Epoch, Figures, History};
pub use losses::*;
pub use meters::Meters;
pub use metrics::MetricConfig;
pub use objective::{Compile, Head, Objective, OutputObjective, heads};
pub use observer::{Observer, Silent, Step};
pub use optimizers::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Ftrl, KerasVariable, Lion, Nadam, Optimizer, OptimizerClass,
    OptimizerConfig, RmsProp, Sgd,
};
pub use output::Output;
pub use schedules::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, LearningRate,
    PiecewiseConstantDecay, PolynomialDecay, Schedule,
};
pub use state::{CarriedStates, RunState, Snapshot, Standing};
pub use trainable::{Called, Trainable};
pub use trainer::Trainer;
