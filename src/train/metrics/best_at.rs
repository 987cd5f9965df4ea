//! What the metrics of one figure at a least other one share.

/// The greatest of `figures` where `constrained` is at least `least`, compared in float as in Keras; 0 where it never is.
pub(super) fn best_at(constrained: &[f64], least: f64, figures: &[f64]) -> f64 {
    let pairs = constrained.iter().zip(figures);
    let feasible = pairs.filter(|&(&it, _)| it as f32 >= least as f32);
    feasible.map(|(_, &figure)| figure).fold(0.0, f64::max)
}

/// A metric that holds outputs against thresholds evenly from 0 to 1, with `figure` its figure.
macro_rules! best_at_metric {
    (
        $(#[$doc:meta])* $class:ident = $name:literal {
            $(#[$field_doc:meta])* $least:ident: f64,
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $class {
            /// Its name in the logs; Keras's default where none is given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
            $(#[$field_doc])*
            pub $least: f64,
            /// How many thresholds, evenly from 0 to 1; 200. One is 0.5.
            #[serde(default = "super::best_at::default_thresholds")]
            pub num_thresholds: usize,
            /// Only this class counts; all do where none is given.
            #[serde(default)]
            pub class_id: Option<usize>,
        }

        $crate::train::metrics::metric::named!($class = $name);

        impl $class {
            /// With 200 thresholds and all classes.
            pub fn new($least: f64) -> Self {
                let num_thresholds = super::best_at::default_thresholds();
                Self { name: None, $least, num_thresholds, class_id: None }
            }
        }

        impl super::counted::Counted for $class {
            const DIRECTION: Option<super::metric::Direction> = Some(super::metric::Direction::Up);

            fn check(&self) -> $crate::Result<()> {
                super::best_at::check(stringify!($class), stringify!($least), self.$least, self.num_thresholds)
            }

            fn levels(&self) -> super::confusion::Levels {
                super::confusion::Levels::even(self.num_thresholds)
            }

            fn selection(&self) -> super::confusion::Selection {
                super::confusion::Selection { class_id: self.class_id, ..Default::default() }
            }

            fn figures(&self, counts: &Counts) -> Vec<f64> {
                vec![self.figure(counts)]
            }
        }

        super::counted::counted!($class);
    };
}

pub(super) use best_at_metric;

use crate::{Error, Result};

pub(super) fn default_thresholds() -> usize {
    200
}

pub(super) fn check(class: &str, argument: &str, least: f64, thresholds: usize) -> Result<()> {
    let what = if !(0.0..=1.0).contains(&least) {
        format!("{argument} {least}: it must be from 0 to 1")
    } else if thresholds == 0 {
        "num_thresholds is 0: it must be at least 1".to_string()
    } else {
        return check_count(class, thresholds);
    };
    Err(Error::argument(format!("metric {class}"), what))
}

/// That the thresholds fit into memory, whatever a file asks for.
pub(super) fn check_count(class: &str, thresholds: usize) -> Result<()> {
    const MOST: usize = 1_000_000;
    match thresholds <= MOST {
        true => Ok(()),
        false => {
            let what = format!("num_thresholds {thresholds}: at most {MOST} work");
            Err(Error::argument(format!("metric {class}"), what))
        }
    }
}
