//! Whether probabilities say how often something is so.

use serde::Serialize;

/// How many bins probabilities fall into, all of the same width.
const BINS: usize = 10;

/// Probabilities beside what came true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The mean over bins, weighted by their rows, of how far the mean probability is from the share that came true.
    pub expected_calibration_error: f64,
    /// Ten bins of the same width; a probability on an edge falls into the lower one.
    pub bins: Vec<Bin>,
}

/// The probabilities between two edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Above this; the first bin holds 0 too.
    pub from: f64,
    /// Up to this.
    pub to: f64,
    /// How many there are.
    pub count: usize,
    /// Their mean; none of none.
    pub mean_probability: Option<f64>,
    /// The share that came true.
    pub share: Option<f64>,
}

impl Calibration {
    /// Of probabilities, each with whether it came true.
    pub fn of(all: impl Iterator<Item = (f64, bool)>) -> Self {
        let edge = |at: usize| if at == BINS { 1.0 } else { at as f64 * (1.0 / BINS as f64) };
        let edges: Vec<f64> = (1..BINS).map(edge).collect();
        let mut sums = [(0_usize, 0.0_f64, 0_usize); BINS];
        for (probability, is_true) in all {
            let bin = &mut sums[edges.partition_point(|&edge| edge < probability)];
            *bin = (bin.0 + 1, bin.1 + probability, bin.2 + usize::from(is_true));
        }
        let rows: usize = sums.iter().map(|bin| bin.0).sum();
        let gap = |&(count, sum, hits): &(usize, f64, usize)| {
            (sum - hits as f64).abs() / rows.max(1) as f64 * f64::from(count > 0)
        };
        let bins = sums.iter().enumerate().map(|(at, &(count, sum, hits))| Bin {
            from: edge(at),
            to: edge(at + 1),
            count,
            mean_probability: (count > 0).then(|| sum / count as f64),
            share: (count > 0).then(|| hits as f64 / count as f64),
        });
        Self { expected_calibration_error: sums.iter().map(gap).sum(), bins: bins.collect() }
    }
}
