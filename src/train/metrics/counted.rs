//! Metrics that are made of counts of true and false, positive and negative. In Keras none of them looks at masks.

use super::confusion::{Counts, Levels, Selection};
use super::metric::{Direction, Fits, Metric, Named, check_batch, same_shape};
use super::scores::Scores;
use crate::Result;

/// A metric of counts; `counted!` makes a [`Config`](super::metric::Config) of it.
pub trait Counted: Named + Clone + std::fmt::Debug + Send + 'static {
    /// Which way it gets better.
    const DIRECTION: Option<Direction>;

    /// As [`Config::check`](super::metric::Config::check).
    ///
    /// # Errors
    /// The argument that makes no sense.
    fn check(&self) -> Result<()>;

    /// What outputs are held against.
    fn levels(&self) -> Levels;

    /// What is counted.
    fn selection(&self) -> Selection;

    /// The figures of the counts.
    fn figures(&self, counts: &Counts) -> Vec<f64>;
}

/// Whether outputs and targets of these widths can be counted.
pub(super) fn fits<C: Counted>(metric: &C, width: usize, target_width: usize) -> Fits {
    same_shape(C::CLASS, width, target_width)?;
    let Selection { class_id, top_k, class_weights, .. } = metric.selection();
    let given = |argument: &str, number: usize, limit: &str| {
        Err(format!(
            "{}: {argument} {number}, and the output's last axis is {width}: it must be {limit}",
            C::CLASS
        ))
    };
    match (class_id, top_k, class_weights.map(|weights| weights.len())) {
        (Some(class), ..) if class >= width => given("class_id", class, "less"),
        (_, Some(k), _) if k > width => given("top_k", k, "no more"),
        (.., Some(count)) if count != width => given("label_weights of length", count, "as many"),
        _ => Ok(()),
    }
}

/// Gathers the counts.
pub(super) struct Gatherer<C> {
    metric: C,
    levels: Levels,
    selection: Selection,
    counts: Counts,
}

impl<C: Counted> Gatherer<C> {
    pub(super) fn new(metric: C) -> Self {
        let (levels, selection) = (metric.levels(), metric.selection());
        let mut gatherer = Self { metric, levels, selection, counts: Counts::default() };
        gatherer.empty();
        gatherer
    }

    fn empty(&mut self) {
        self.counts = match self.selection.by_class {
            true => Counts::default(),
            false => Counts::sized(self.levels.len(), 1),
        };
    }
}

impl<C: Counted + super::metric::Config> Metric for Gatherer<C> {
    fn update(&mut self, batch: &Scores) -> Result<()> {
        check_batch(&self.metric, batch)?;
        self.counts.add(batch, &self.levels, &self.selection)
    }

    fn result(&self) -> Vec<f64> {
        self.metric.figures(&self.counts)
    }

    fn reset(&mut self) {
        self.empty();
    }

    fn state(&self) -> Vec<f64> {
        self.counts.state()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<()> {
        let by_class = self.selection.by_class;
        self.counts = Counts::from_state(C::CLASS, state, self.levels.len(), by_class)?;
        Ok(())
    }
}

/// The [`Config`](super::metric::Config) of a [`Counted`].
macro_rules! counted {
    ($class:ident) => {
        impl $crate::train::metrics::metric::Config for $class {
            $crate::train::metrics::metric::names!();

            fn check(&self) -> $crate::Result<()> {
                $crate::train::metrics::counted::Counted::check(self)
            }

            fn fits(&self, width: usize, target_width: usize) -> $crate::train::metrics::metric::Fits {
                $crate::train::metrics::counted::fits(self, width, target_width)
            }

            fn build(&self) -> Box<dyn $crate::train::metrics::metric::Metric> {
                Box::new($crate::train::metrics::counted::Gatherer::new(self.clone()))
            }

            fn direction(&self) -> Option<$crate::train::metrics::metric::Direction> {
                <Self as $crate::train::metrics::counted::Counted>::DIRECTION
            }

            fn heeds_mask(&self) -> bool {
                false
            }
        }
    };
}

/// A metric of thresholds alone: one of the four counts, by the name of its field in [`Counts`].
macro_rules! count {
    ($(#[$doc:meta])* $class:ident = $name:literal, $counts:ident) => {
        $crate::train::metrics::metric::arguments! {
            $(#[$doc])*
            $class = $name {
                /// What positive outputs are above, from 0 to 1; 0.5.
                thresholds: Option<$crate::train::metrics::confusion::Thresholds> = None,
            }
        }

        impl $crate::train::metrics::counted::Counted for $class {
            const DIRECTION: Option<$crate::train::metrics::metric::Direction> = None;

            fn check(&self) -> $crate::Result<()> {
                $crate::train::metrics::confusion::check_thresholds(stringify!($class), &self.thresholds)
            }

            fn levels(&self) -> $crate::train::metrics::confusion::Levels {
                $crate::train::metrics::confusion::Levels::of(&self.thresholds, None)
            }

            fn selection(&self) -> $crate::train::metrics::confusion::Selection {
                $crate::train::metrics::confusion::Selection::default()
            }

            fn figures(&self, counts: &$crate::train::metrics::confusion::Counts) -> Vec<f64> {
                counts.$counts.clone()
            }
        }

        $crate::train::metrics::counted::counted!($class);
    };
}

/// A share of positives, Precision or Recall, by the method of [`Counts`] that gives it.
macro_rules! share {
    ($(#[$doc:meta])* $class:ident = $name:literal, $shares:ident) => {
        $crate::train::metrics::metric::arguments! {
            $(#[$doc])*
            $class = $name {
                /// What positive outputs are above, from 0 to 1; 0.5, or anything where `top_k` is given.
                thresholds: Option<$crate::train::metrics::confusion::Thresholds> = None,
                /// Only so many of the greatest outputs of a position can be positive; of those that tie, the first.
                top_k: Option<usize> = None,
                /// Only this class counts; all do where none is given.
                class_id: Option<usize> = None,
            }
        }

        impl $crate::train::metrics::counted::Counted for $class {
            const DIRECTION: Option<$crate::train::metrics::metric::Direction> =
                Some($crate::train::metrics::metric::Direction::Up);

            fn check(&self) -> $crate::Result<()> {
                $crate::train::metrics::classes::check_k(stringify!($class), self.top_k.unwrap_or(1))?;
                $crate::train::metrics::confusion::check_thresholds(stringify!($class), &self.thresholds)
            }

            fn levels(&self) -> $crate::train::metrics::confusion::Levels {
                $crate::train::metrics::confusion::Levels::of(&self.thresholds, self.top_k)
            }

            fn selection(&self) -> $crate::train::metrics::confusion::Selection {
                $crate::train::metrics::confusion::Selection {
                    top_k: self.top_k,
                    class_id: self.class_id,
                    ..Default::default()
                }
            }

            fn figures(&self, counts: &$crate::train::metrics::confusion::Counts) -> Vec<f64> {
                counts.$shares()
            }
        }

        $crate::train::metrics::counted::counted!($class);
    };
}

pub(super) use {count, counted, share};
